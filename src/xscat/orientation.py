"""The direction in which a field varies most, cell by cell."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import xarray as xr

from . import labels
from .blocks import Array, Batch, Plan, batches, standard_fields
from .engine.wavelets import Morlet, Wavelet, orientations
from .errors import GridError, checked_count, checked_device
from .grids import HealpixGrid, find_grid
from .inputs import check_field
from .keywords import checked_keywords
from .statistics import make_parameters, make_plan


@checked_keywords
def dominant_orientation(
    da: xr.DataArray,
    j: int,
    L: int = 8,
    *,
    dim: Hashable | Sequence[Hashable] | None = None,
    boundary: str = "valid",
    wavelet: Wavelet | None = None,
    dtype: str | None = None,
    device: str | None = None,
) -> xr.DataArray:
    r"""Direction of the wave vector that dominates at a scale: across fronts and filaments.

    .. math:: \theta = \tfrac12 \arg \sum_l |W_{jl}|^2 e^{2 i \theta_l}

    Parameters
    ----------
    da : DataArray
        Field on HEALPix cells or on a plane, as for `covariance`. Other dimensions are mapped over.
    j : int
        Scale, 0 is the finest.
    L : int, default 8
        Number of orientations; at least 3.
    dim, boundary, wavelet, dtype, device
        As in `covariance`.

    Returns
    -------
    DataArray
        Angles in degrees in [0, 180), from east toward north or from +x toward +y, on the cells of
        the field; NaN where the wavelet meets missing cells. Its values, or these plus 90 for the
        direction along a front, can be a ``frame`` of `covariance`.

    Raises
    ------
    GridError
        If there is no grid with orientations, or scale j does not fit.

    Examples
    --------
    >>> import numpy as np, xarray as xr, xscat
    >>> x = np.arange(64)
    >>> wave = xr.DataArray(np.sin(0.6 * (x + x[:, None])), dims=("y", "x"))
    >>> wave.scat.dominant_orientation(1)[32, 32].round(3).item()
    45.0
    """
    da = check_field(da)
    grid = find_grid(da, dim)
    if not grid.oriented:
        raise GridError("a line has no orientations: use HEALPix cells or a plane")
    checked_count("j", j, least=0)
    if checked_count("L", L) < 3:
        raise ValueError(f"L={L!r}: at least 3 orientations are needed to find a direction")
    kwargs = {"boundary": boundary, "wavelet": wavelet or Morlet(), "statistics": ("S1",)}
    try:
        parameters = make_parameters(grid, j + 1, L, **kwargs)
    except GridError as error:
        raise GridError(f"j={j}: {error}") from None
    plan = make_plan([da], grid, parameters, labels.Layout("auto", ("S1",)), dtype, device)
    result = xr.apply_ufunc(
        _orientation_block,
        da,
        kwargs={"plan": plan},
        input_core_dims=[list(grid.dims)],
        output_core_dims=[list(grid.dims)],
        dask="parallelized",
        output_dtypes=[np.dtype(plan.dtype)],
        keep_attrs=False,
    ).transpose(*da.dims)
    name = "dominant orientation" if da.name is None else f"dominant orientation of {da.name}"
    labels.keep_attributes(result, [da])
    result.attrs = {"long_name": name, "units": "degrees", "scale": j}
    return result.rename("orientation")


def _orientation_block(values: Array, plan: Plan) -> Array:
    """Angles in degrees of the maps (..., *cells) of one block."""
    n_core = len(plan.grid.shape)
    lead = values.shape[: values.ndim - n_core]
    maps = plan.grid.arrange(values.reshape(-1, *plan.grid.shape))[:, None]
    result = np.empty((len(maps), maps.shape[-1]), plan.dtype)
    for batch in batches(maps, None, plan):
        result[batch.index] = _angles(batch, plan)
    return plan.grid.restore(result).reshape(*lead, *plan.grid.shape)


def _angles(batch: Batch, plan: Plan) -> Array:
    import torch

    from .engine.cache import transforms
    from .engine.threads import torch_threads

    p = plan.parameters
    j, doubled = p.J - 1, 2 * torch.as_tensor(orientations(p.L))
    checked_device(plan.device)
    with torch_threads(plan.threads), torch.inference_mode():
        engine = transforms(plan.grid.spec(p, plan.dtype, plan.device), plan.memory)
        weights = torch.as_tensor(np.array(batch.weights)).to(plan.device)
        coverage = engine.coverage(weights, p.min_coverage)
        fields = standard_fields(batch.fields, batch.weights[0], plan, center=True).fields
        engine = engine.within(coverage)
        state = engine.start(torch.as_tensor(fields, device=plan.device), coverage)
        for i in range(j):
            state = engine.coarsen(state, i, coverage)
        real, imag = engine.first(state, j, coverage)
        power = (real**2 + imag**2)[:, 0]
        doubled = doubled.to(power)[:, None]
        angle = torch.atan2((power * doubled.sin()).sum(1), (power * doubled.cos()).sum(1)) / 2
        if coverage is not None:
            angle = torch.where(coverage.first[j][0] > 0, angle, torch.nan)
        angle = engine.to_field(angle, j).cpu().numpy()
    if isinstance(plan.grid, HealpixGrid) and j > 0:
        angle = angle + _frame_turn(plan.grid, j)
    degrees = np.rad2deg(angle) % 180
    # what is a rounding error below 0 ends at 180, in the precision of the result if not here
    return np.where(degrees.astype(plan.dtype) >= 180, 0, degrees)


def _frame_turn(grid: HealpixGrid, j: int) -> Array:
    """Angles that turn directions at the coarse cells of scale j into the frame of their cells."""
    from .engine.spin_stencils import transport_angles

    cells = grid.sorted_cells()
    return transport_angles(cells, cells[:, None] // 4**j, grid.level, grid.level - j)[:, 0]
