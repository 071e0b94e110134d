"""Scattering-covariance statistics of fields: DataArray → Dataset, eager or lazy."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from . import labels
from .engine.wavelets import Morlet, Wavelet
from .errors import GridError, check_choice
from .grids import Grid, find_grid
from .options import get_options
from .parameters import STATISTICS, Parameters

if TYPE_CHECKING:
    import torch

Array = np.ndarray[Any, np.dtype[Any]]

# Beyond this size of a temporary array, memory is slower than what a larger batch saves.
_BATCH_BYTES = 2**25


@dataclass(frozen=True)
class Plan:
    """All that a block of maps needs to know, resolved when the graph is built."""

    grid: Grid
    parameters: Parameters
    dtype: str
    device: str
    threads: int
    memory: int


def covariance(
    da: xr.DataArray,
    J: int | None = None,
    L: int = 4,
    *,
    dim: Hashable | Sequence[Hashable] | None = None,
    statistics: Sequence[str] = STATISTICS,
    boundary: str = "valid",
    frame: str = "meridian",
    wavelet: Wavelet | None = None,
    dtype: str | None = None,
    device: str | None = None,
) -> xr.Dataset:
    r"""Scattering-covariance statistics of a field.

    With :math:`W_{jl} = I \star \psi_{jl}`, :math:`U_{jl} = |W_{jl}|` and means over cells,

    .. math::

        S_1 = \langle U_{j_1 l_1} \rangle, \quad S_2 = \langle |W_{j_1 l_1}|^2 \rangle, \quad
        S_3 = \langle W_{j_2 l_2} \overline{U_{j_1 l_1} \star \psi_{j_2 l_2}} \rangle, \quad
        S_4 = \langle (U_{j_1 l_1} \star \psi_{j_3 l_3})
                       \overline{(U_{j_2 l_2} \star \psi_{j_3 l_3})} \rangle

    and S0 the mean and variance of the field. NaN cells are missing: a coefficient counts only where
    the support of its wavelets is valid.

    Parameters
    ----------
    da : DataArray
        Real field on HEALPix cells (decoded by xdggs), on a plane (``y``, ``x``) or on a line; integers
        and booleans are converted to floats. Other dimensions are mapped over; with dask, lazily.
    J : int, optional
        Number of dyadic scales. Default: as many as fit.
    L : int, default 4
        Number of orientations in [0°, 180°); not used on a line.
    dim : str or (str, str), optional
        Dimension of a line, or dimensions (y, x) of a plane, if not found by themselves.
    statistics : sequence of str, default ("S0", "S1", "S2", "S3", "S4")
        What to compute. S3 and S4 take most of the time.
    boundary : {"valid", "periodic"}
        On a plane or line: leave out coefficients whose wavelet crosses the border, or wrap around.
    frame : {"meridian", "stereographic"}
        On the sphere: count orientations from local east, or from east turned by the longitude
        (back in the south), which is regular at the poles but not across the equator.
    wavelet : Wavelet, optional
        The mother wavelet. Default: ``Morlet()``.
    dtype : {"float32", "float64"}, optional
        Precision of the computation. Default: single for float32 and float16, else double.
    device : str, optional
        Torch device. Default: ``set_options(device=...)``.

    Returns
    -------
    Dataset
        ``S0`` (moment), ``S1`` and ``S2`` (j1, l1), ``S3`` (j1, j2, l1, l2) and ``S4`` (j1, j2, j3, l1, l2,
        l3), complex the last two and NaN unless j1 <= j2 <= j3, behind the other dimensions of the
        field. Wavelengths (in degrees on the sphere, else in the coordinates' units) and angles
        (degrees from +x or east) are coordinates, the parameters are attributes.

    Raises
    ------
    GridError
        If there is no usable grid, or J does not fit.
    TypeError
        If the field is complex or no number.
    ValueError
        If an argument has no such value.

    References
    ----------
    Cheng, Morel, Allys, Ménard & Mallat 2024, *Scattering spectra models for physics*, PNAS Nexus 3.
    Mousset, Allys, Price et al. 2024, *Generative models of astrophysical fields with scattering
    transforms on the sphere*, A&A 691, A269.

    Examples
    --------
    >>> import numpy as np, xarray as xr, xscat
    >>> field = xr.DataArray(np.random.default_rng(0).normal(size=(64, 64)), dims=("y", "x"))
    >>> stats = field.scat.covariance(J=3, boundary="periodic")
    >>> stats.S3.dims
    ('j1', 'j2', 'l1', 'l2')
    """
    check_field(da)
    grid = find_grid(da, dim)
    wavelet = Morlet() if wavelet is None else wavelet
    parameters = make_parameters(
        grid, J, L, statistics=tuple(statistics), boundary=boundary, frame=frame, wavelet=wavelet
    )
    return _statistics(da, make_plan(da, grid, parameters, dtype, device))


def check_field(da: xr.DataArray) -> None:
    """Raise unless *da* is a DataArray of real numbers."""
    if not isinstance(da, xr.DataArray):
        raise TypeError(f"a DataArray is needed, got {type(da).__name__}")
    if da.dtype.kind == "c":
        raise TypeError(
            f"the field is complex ({da.dtype}), statistics are of real fields: "
            "pass .real, .imag or abs(...)"
        )
    if da.dtype.kind not in "fiub":
        raise TypeError(f"the field has dtype {da.dtype}: convert it, e.g. .astype('float64')")


def make_parameters(grid: Grid, J: int | None, L: int, **kwargs: Any) -> Parameters:
    """Parameters for a grid, with the default J and checks of J and L."""
    for name, value in (("J", J), ("L", L)):
        if value is None and name == "J":
            continue
        if not isinstance(value, int | np.integer) or value < 1:
            raise GridError(f"{name}={value!r} must be a positive integer")
    if L > 32:
        raise GridError(f"L={L} orientations are too many: the largest is 32")
    check_choice("frame", kwargs.get("frame", "meridian"), ("meridian", "stereographic"))
    parameters = Parameters(J=1, L=int(L) if grid.oriented else 1, **kwargs)
    largest = grid.largest_J(parameters, layers=1)
    if largest < 1:
        raise GridError(
            f"dimension {', '.join(grid.dims)} (size {grid.shape}) is too small for any wavelet"
        )
    if J is None:
        J = max(1, grid.largest_J(parameters, layers=2))
    if largest < J:
        raise GridError(
            f"J={J} is too large for dimension {', '.join(grid.dims)} (size {grid.shape}): "
            f"the largest is {largest}"
        )
    return Parameters(J=int(J), L=parameters.L, **kwargs)


def make_plan(
    da: xr.DataArray, grid: Grid, parameters: Parameters, dtype: str | None, device: str | None
) -> Plan:
    """Resolve options and precision."""
    options = get_options()
    dtype = dtype or options.dtype
    if dtype is None:
        dtype = "float32" if da.dtype.kind == "f" and da.dtype.itemsize < 8 else "float64"
    check_choice("dtype", dtype, ("float32", "float64"))
    device = device or options.device
    return Plan(grid, parameters, dtype, device, options.threads, options.memory)


def _statistics(da: xr.DataArray, plan: Plan) -> xr.Dataset:
    names, grid = plan.parameters.statistics, plan.grid
    complex_dtype = np.result_type(plan.dtype, "complex64")
    out_dims = [labels.core_dims(name, grid) for name in names]
    all_sizes = labels.sizes(plan.parameters)
    results = xr.apply_ufunc(
        _block,
        da,
        kwargs={"plan": plan},
        input_core_dims=[list(grid.dims)],
        output_core_dims=[list(dims) for dims in out_dims],
        exclude_dims=set(grid.dims),
        dask="parallelized",
        output_dtypes=[
            complex_dtype if n in labels.COMPLEX else np.dtype(plan.dtype) for n in names
        ],
        dask_gufunc_kwargs={"output_sizes": {d: all_sizes[d] for dims in out_dims for d in dims}},
        keep_attrs=False,
    )
    results = results if isinstance(results, tuple) else (results,)
    variables = dict(zip(names, results, strict=True))
    return labels.labelled(variables, da, plan.parameters, grid)


def _block(values: Array, plan: Plan) -> Array | tuple[Array, ...]:
    """Statistics of the maps of one block, (..., cells) → arrays (..., statistic's own shape)."""
    names = plan.parameters.statistics
    lead = values.shape[: values.ndim - len(plan.grid.shape)]
    maps = plan.grid.arrange(values.reshape(-1, *plan.grid.shape))
    parts = [(index, _maps_statistics(batch, plan)) for index, batch in _batches(maps, plan)]
    order = np.argsort(np.concatenate([index for index, _ in parts]))
    result = []
    for name in names:
        stacked = np.concatenate([part[name] for _, part in parts])[order]
        result.append(stacked.reshape(*lead, *stacked.shape[1:]))
    return tuple(result) if len(result) > 1 else result[0]


def _batches(maps: Array, plan: Plan) -> Iterator[tuple[Array, Array]]:
    """Batches of maps that miss the same cells and fit in memory, with their positions."""
    groups: dict[bytes, list[int]] = {}
    for i, values in enumerate(maps):
        missing = np.isnan(values) if values.dtype.kind == "f" else np.zeros(1, bool)
        key = np.packbits(missing).tobytes() if missing.any() else b""
        groups.setdefault(key, []).append(i)
    columns = 8 * (plan.parameters.L + 1)
    bytes_per_map = maps.shape[1] * columns * np.dtype(plan.dtype).itemsize
    size = max(1, min(_BATCH_BYTES, plan.memory) // bytes_per_map)
    for members in groups.values():
        for start in range(0, len(members), size):
            index = np.array(members[start : start + size])
            yield index, maps[index]


def _maps_statistics(maps: Array, plan: Plan) -> dict[str, Array]:
    """Statistics of maps (B, cells) that all miss the same cells."""
    import torch

    from .engine.cache import transforms
    from .engine.scattering import dense, moments

    p = plan.parameters
    weights = ~np.isnan(maps[:1])
    n_threads = torch.get_num_threads()
    torch.set_num_threads(plan.threads)
    try:
        with torch.inference_mode():
            engine = transforms(plan.grid.spec(p, plan.dtype, plan.device), plan.memory)
            fields = _tensor(maps, plan)
            w = torch.as_tensor(weights, device=fields.device)
            result = {"S0": _mean_variance(fields, w[0])} if "S0" in p.statistics else {}
            if set(p.statistics) - {"S0"}:
                coverage = engine.coverage(w, p.min_coverage)
                _warn_invalid(engine, coverage)
                second = not {"S3", "S4"}.isdisjoint(p.statistics)
                m = moments(engine, fields[:, None], coverage, second_layer=second)
                result |= _auto(dense(m, p.J, p.L))
    finally:
        torch.set_num_threads(n_threads)
    return {name: _without_l(name, result[name].cpu().numpy(), plan) for name in p.statistics}


def _tensor(maps: Array, plan: Plan) -> torch.Tensor:
    """Writable native tensor of maps of any byte order and type."""
    import torch

    return torch.as_tensor(np.array(maps, dtype=plan.dtype, order="C"), device=plan.device)


def _mean_variance(fields: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """S0 of fields (B, cells): mean and variance over the valid cells (B, 2)."""
    import torch

    x = fields[:, valid]
    mean = x.mean(1, keepdim=True)
    return torch.cat([mean, ((x - mean) ** 2).mean(1, keepdim=True)], 1)


def _auto(arrays: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Statistics of single fields: real S2, and S4 for j1 <= j2 only."""
    result = {"S1": arrays["S1"][0, :, 0], "S2": arrays["S2"][0, :, 0, 0].real}
    if "S3" in arrays:
        result["S3"] = arrays["S3"][0, :, 0, 0]
        S4 = arrays["S4"][0, :, 0, 0]
        j = np.arange(S4.shape[1])
        S4[:, j[:, None] > j] = complex("nan+nanj")
        result["S4"] = S4
    return result


def _without_l(name: str, array: Array, plan: Plan) -> Array:
    """Drop the orientation axes, of size one, of a line."""
    if plan.grid.oriented:
        return array
    n = sum(d.startswith("l") for d in labels.DIMS[name])
    return array.reshape(array.shape[: array.ndim - n])


def _warn_invalid(engine: Any, coverage: Any) -> None:
    """Warn once of scales without a single valid coefficient."""
    if coverage is None or not bool((coverage.field > 0).any()):
        return
    empty = [j for j, first in enumerate(coverage.first) if not bool(first.any())]
    second = [j for j, rows in enumerate(coverage.rows) if not bool(rows[:, -1].any())]
    if empty or second:
        scales = ", ".join(f"j={j}" for j in (empty or second))
        what = "all statistics" if empty else "some of S3 and S4"
        warnings.warn(
            f"no valid coefficient at scale {scales}: {what} there are NaN. Too few wavelets fit "
            "between the missing cells; use a smaller J",
            stacklevel=2,
        )
