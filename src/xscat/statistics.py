"""Scattering-covariance statistics of fields: DataArray → Dataset, eager or lazy."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from . import labels
from ._layout import ORIENTATIONS, RATIOS, RELATIVE_ORIENTATIONS, SCALES
from .blocks import Plan, statistics_block
from .components import spin_field
from .engine.wavelets import Morlet, Wavelet
from .errors import (
    GridError,
    check_callable,
    check_choice,
    checked_count,
    checked_device,
    checked_dtype,
    checked_flag,
)
from .grids import Grid, HealpixGrid, PlaneGrid, align_to, find_grid
from .inputs import check_field, check_weights
from .keywords import checked_keywords
from .normalization import normalize
from .options import get_options
from .parameters import STATISTICS, Parameters, check_spin_number

Scales = Callable[[int, int, int], bool]


@checked_keywords
def covariance(
    da: xr.DataArray | xr.Dataset,
    J: int | None = None,
    L: int = 4,
    *,
    dim: Hashable | Sequence[Hashable] | None = None,
    statistics: Sequence[str] = STATISTICS,
    mask: xr.DataArray | None = None,
    region: xr.DataArray | None = None,
    min_coverage: float = 1.0,
    boundary: str = "valid",
    frame: str | xr.DataArray = "meridian",
    wavelet: Wavelet | None = None,
    exponent: float = 1.0,
    average: str = "mean",
    scales: Scales | None = None,
    max_delta_j: int | None = None,
    variance: bool = False,
    reference: xr.Dataset | None = None,
    spin: int = 0,
    component: Hashable | None = None,
    components: Sequence[Hashable] | None = None,
    convention: str = "COSMO",
    cross_modes: bool = False,
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

    and S0 the mean and variance of the field. NaN cells are missing, whatever else they are: a
    coefficient counts only where the support of its wavelets is valid.

    Parameters
    ----------
    da : DataArray
        Real field on HEALPix cells (decoded by xdggs), on a plane (``y``, ``x``) or on a line;
        integers and booleans are converted to floats. Other dimensions are mapped over, with dask
        lazily.
    J : int, optional
        Number of dyadic scales. Default: as many as fit.
    L : int, default 4
        Number of orientations in [0°, 180°); not used on a line.
    dim : str or (str, str), optional
        Dimension of a line, or dimensions (y, x) of a plane, if not found by themselves.
    statistics : sequence of str, default ("S0", "S1", "S2", "S3", "S4")
        What to compute. S3 and S4 take most of the time.
    mask : DataArray, optional
        Booleans or weights >= 0 on the cells of the field, in any order; other dimensions as the
        field, or missing. 0, False and NaN are missing cells; values there do not matter.
    region : DataArray, optional
        Parts of the field whose statistics are wanted; only wavelets inside a part count there.
        Integer labels on the cells (negative or NaN: none), or a stack of masks along a further
        dimension. The result has the dimension ``region``, or that dimension.
    min_coverage : float, default 1
        Part of the support of a wavelet that has to be valid, in (0, 1]. The border of a plane or
        line always counts in full.
    boundary : {"valid", "periodic"}
        On a plane or line: leave out coefficients whose wavelet crosses the border, or wrap around.
    frame : {"meridian", "stereographic"} or DataArray, default "meridian"
        The direction from which orientations count. On the sphere, local east; or east turned
        back by the longitude (forth in the south), which is regular at the poles but not across
        the equator. On the sphere and on planes, angles in degrees, from east toward north or from
        +x toward +y, on the cells of the field (see `dominant_orientation`).
    wavelet : Wavelet, optional
        The mother wavelet. Default: ``Morlet()``.
    exponent : float, default 1
        Use \|W\|^exponent for U.
    average : {"mean", "median"}
        How to average over cells; medians (of real and imaginary parts) are robust but slow, and
        take weights as a mask.
    scales : callable, optional
        ``scales(j1, j2, j3)`` says which scales of S4 to keep; S3 at (j1, j2) goes with
        (j1, j2, j2). Others are NaN.
    max_delta_j : int, optional
        Keep only scales with j3 - j1 and j3 - j2 up to this.
    variance : bool, default False
        Add the standard deviations of the means, ``S1_std`` and so on, with :math:`|z|^2` for
        complex ones. Neighboring coefficients are correlated, so they come from the scatter of the
        means over blocks of cells (36 on a plane, 32 on a line, 12 or 48 on the sphere), corrected
        for the correlation across the borders of blocks. What varies over more than the whole
        field cannot be seen in it: there they are too small. They cost up to 1.7 times the means
        alone, 3 times on a periodic plane.
    reference : Dataset, optional
        Statistics whose power normalizes the result (see `normalize`).
    spin : {0, 1, 2}, default 0
        1 for vectors: a Dataset of the components (u toward east or +x, v toward north or +y), or a
        DataArray with these along the dimension *component*; 2 for polarization (Q, U) likewise.
        Names or ``standard_name`` tell which is which, in any order: u and v, Q and U, x and y,
        east and north, zonal and meridional, with whatever else both names have in common.
        W is then that of the modes, divergence and curl (over the wave number) or E and B, from
        local wavelets, so on part of the sky too; U is their modulus.
    component : str, optional
        Dimension of the components of a DataArray. Default: ``"component"``.
    components : (str, str), optional
        Names of the two components, in the order (east, north) or (Q, U), where they do not tell
        themselves: variables of a Dataset, or labels along *component*.
    convention : {"COSMO", "IAU"}
        Sign of U for spin 2: that of HEALPix, or that of the IAU, where U is positive between north
        and east. On a plane x stands for east and y for north.
    cross_modes : bool, default False
        For spin fields: all pairs of modes, along ``mode_a`` and ``mode_b``.
    dtype : {"float32", "float64"}, optional
        Precision of the computation. Default: single for float32 and float16, else double. Mean
        and scale of the field are taken in double before, and results are always double.
    device : str, optional
        Torch device. Default: ``set_options(device=...)``.

    Returns
    -------
    Dataset
        ``S0`` (moment), ``S1`` and ``S2`` (j1, l1), ``S3`` (j1, j2, l1, l2) and ``S4`` (j1, j2, j3,
        l1, l2, l3), complex the last two and NaN unless j1 <= j2 <= j3, behind the other dimensions
        of the field. Wavelengths (in degrees on the sphere, else in the coordinates' units) and
        angles (degrees from +x or east) are coordinates, the parameters are attributes. For spin
        fields S1 to S4 have the dimension ``mode``.

    Raises
    ------
    GridError
        If there is no usable grid, J does not fit, or mask, region or frame are on another grid.
    TypeError
        If the field is complex or no number.
    ValueError
        If an argument has no such value.

    References
    ----------
    Cheng, Morel, Allys, Ménard & Mallat 2024, *Scattering spectra models for physics*, PNAS Nexus
    3, pgae103. Mousset, Allys, Price et al. 2024, *Generative models of astrophysical fields with
    scattering transforms on the sphere*, A&A 691, A269.

    Examples
    --------
    >>> import numpy as np, xarray as xr, xscat
    >>> field = xr.DataArray(np.random.default_rng(0).normal(size=(64, 64)), dims=("y", "x"))
    >>> stats = field.scat.covariance(J=3, boundary="periodic")
    >>> stats.S3.dims
    ('j1', 'j2', 'l1', 'l2')
    """
    check_spin_number(spin)
    checked_flag("cross_modes", cross_modes)
    covered = region if mask is None else mask
    field, stacked = checked_field(da, spin, component, components, convention, covered)
    one = field if stacked is None else field.isel({stacked: 0}, drop=True)
    grid = framed(one, find_grid(one, dim), frame)
    if spin:
        check_spin(grid, frame)
    check_reference(reference)
    kind = "auto" if not spin else "pairs" if cross_modes else "modes"
    plan, weights, regions = prepare(
        kind,
        [field],
        grid,
        J,
        L,
        stacked=stacked,
        mask=mask,
        region=region,
        scales=scales,
        max_delta_j=max_delta_j,
        variance=variance,
        dtype=dtype,
        device=device,
        statistics=statistics,
        boundary=boundary,
        frame=frame_name(frame),
        wavelet=wavelet or Morlet(),
        min_coverage=min_coverage,
        exponent=exponent,
        average=average,
        spin=spin,
    )
    stats = compute([field], weights, regions, plan)
    return stats if reference is None else normalize(stats, reference=reference)


def check_reference(reference: Any) -> None:
    """Raise unless the reference, if there is one, is a Dataset."""
    if reference is not None and not isinstance(reference, xr.Dataset):
        found = type(reference).__name__
        raise TypeError(
            f"reference must be a Dataset of statistics, got {found}: of a field pass those, "
            "reference=other.scat.covariance(...)"
        )


def check_spin(grid: Grid, frame: str | xr.DataArray) -> None:
    """Raise where an argument does not go with a spin field."""
    if not isinstance(frame, str) and grid.kind == "plane":
        raise GridError("spin fields on a plane have no local frame: leave out frame=")


def checked_field(
    fields: xr.DataArray | xr.Dataset,
    spin: int,
    component: Hashable | None,
    components: Sequence[Hashable] | None,
    convention: str,
    mask: xr.DataArray | None,
) -> tuple[xr.DataArray, str | None]:
    """The field; of a spin field, its components in order, and their dimension."""
    if spin:
        if not isinstance(fields, xr.Dataset):
            fields = check_field(fields, mask=mask)
        return spin_field(fields, spin, component, components, convention, mask)
    if isinstance(fields, xr.Dataset):
        raise TypeError("a Dataset needs spin=1 or 2; else select a variable, e.g. ds['sst']")
    if components is not None:
        raise ValueError(f"components={components!r} is for spin=1 or 2")
    return check_field(fields, mask=mask), None


def prepare(
    kind: str,
    fields: list[xr.DataArray],
    grid: Grid,
    J: int | None,
    L: int,
    *,
    stacked: str | None = None,
    mask: xr.DataArray | None,
    region: xr.DataArray | None,
    scales: Scales | None,
    max_delta_j: int | None,
    variance: bool,
    dtype: str | None,
    device: str | None,
    **parameters: Any,
) -> tuple[Plan, xr.DataArray | None, xr.DataArray | None]:
    """Check the arguments: the plan, the weights and the coordinate of their sets."""
    if checked_flag("variance", variance) and parameters["average"] != "mean":
        raise ValueError("variance=True needs average='mean'")
    p = selected(make_parameters(grid, J, L, **parameters), scales, max_delta_j)
    one = fields[0] if stacked is None else fields[0].isel({stacked: 0}, drop=True)
    weights, regions = combine_weights(one, grid, mask, region)
    if weights is not None and stacked in weights.dims:
        raise GridError(
            f"mask or region varies along {stacked!r}, whose elements are taken together: "
            f"make it one for all, e.g. mask.all({stacked!r})"
        )
    region_dim = None if regions is None else str(regions.dims[0])
    layout = labels.Layout(kind, p.statistics, variance, region_dim, stacked, p.spin, grid.oriented)
    plan = make_plan(fields, grid, p, layout, dtype, device)
    return replace(plan, weighted=weights is not None), weights, regions


def frame_name(frame: str | xr.DataArray) -> str:
    """What the attributes say of a frame."""
    return frame if isinstance(frame, str) else "angles"


def framed(da: xr.DataArray, grid: Grid, frame: str | xr.DataArray) -> Grid:
    """The grid with the angles of a local frame, if one is given."""
    if isinstance(frame, str):
        check_choice("frame", frame, ("meridian", "stereographic"))
        return grid
    if not isinstance(grid, HealpixGrid | PlaneGrid):
        raise GridError("a line has no orientations: frame is for HEALPix cells and planes")
    angles = check_field(align_to(da, grid, frame, "frame"), "frame")
    if set(angles.dims) != set(grid.dims):
        raise GridError(f"frame has dimensions {angles.dims}: only {grid.dims} are allowed")
    values = np.deg2rad(np.asarray(angles.transpose(*grid.dims).values, dtype=float))
    if not np.isfinite(values).all():
        raise ValueError("frame has missing angles: fill them, e.g. `frame.fillna(0)`")
    return grid.with_angles(values)


def make_parameters(grid: Grid, J: int | None, L: int, **kwargs: Any) -> Parameters:
    """Parameters for a grid, with the default J and checks of J and L."""
    parameters = Parameters(J=1 if J is None else J, L=L, **kwargs)
    if not grid.oriented:
        parameters = replace(parameters, L=1)
    largest = grid.largest_J(parameters, layers=1)
    if largest < 1:
        raise GridError(
            f"dimension {', '.join(grid.dims)} (size {grid.shape}) is too small for any wavelet"
        )
    if J is None:
        return replace(parameters, J=max(1, grid.largest_J(parameters, layers=2)))
    if largest < parameters.J:
        raise GridError(
            f"J={J} is too large for dimension {', '.join(grid.dims)} (size {grid.shape}): "
            f"the largest is {largest}"
        )
    return parameters


def selected(p: Parameters, scales: Scales | None, max_delta_j: int | None) -> Parameters:
    """Parameters with the list of the scales wanted."""
    if scales is None and max_delta_j is None:
        return p
    if max_delta_j is not None:
        checked_count("max_delta_j", max_delta_j, least=0)
    if scales is not None:
        check_callable("scales", scales, "j1", "j2", "j3")

    def wanted(j1: int, j2: int, j3: int) -> bool:
        near = max_delta_j is None or j3 - min(j1, j2) <= max_delta_j
        return near and (scales is None or bool(scales(j1, j2, j3)))

    triples = ((j1, j2, j3) for j3 in range(p.J) for j1 in range(j3 + 1) for j2 in range(j3 + 1))
    chosen = tuple(js for js in triples if wanted(*js))
    if not chosen:
        raise ValueError("scales= leaves none: it must be true for some (j1, j2, j3)")
    return replace(p, selected=chosen)


def combine_weights(
    da: xr.DataArray, grid: Grid, mask: xr.DataArray | None, region: xr.DataArray | None
) -> tuple[xr.DataArray | None, xr.DataArray | None]:
    """Weights of the cells (..., [regions,] *cells), and the coordinate of the regions."""
    weights = None if mask is None else check_weights(align_to(da, grid, mask, "mask"), "mask")
    if region is None:
        return weights, None
    region = check_field(align_to(da, grid, region, "region"), "region")
    extra = [d for d in region.dims if d not in grid.dims]
    if len(extra) > 1 or set(extra) & set(da.dims):
        raise GridError(f"region has dimensions {region.dims}: the cells and one more are allowed")
    if extra:
        stack, dim = check_weights(region, "region"), extra[0]
        coord = region[dim].reset_coords(drop=True)
    else:
        values = np.unique(region.values[~np.isnan(region.values.astype(float))])
        values = values[values >= 0]
        if not len(values):
            raise ValueError("region labels no cell: all labels are negative or NaN")
        if not np.array_equal(values, values.astype(int)):
            raise ValueError("region has labels that are no integers: pass weights as mask=")
        coord = xr.DataArray(values.astype(int), dims="region", name="region")
        stack = (region.reset_coords(drop=True) == coord).astype(float)
    return (stack if weights is None else weights * stack), coord


def make_plan(
    fields: list[xr.DataArray],
    grid: Grid,
    parameters: Parameters,
    layout: labels.Layout,
    dtype: str | None,
    device: str | None,
) -> Plan:
    """Resolve options and precision."""
    options = get_options()
    dtype = options.dtype if dtype is None else dtype
    if dtype is None:
        single = all(f.dtype.kind == "f" and f.dtype.itemsize < 8 for f in fields)
        dtype = "float32" if single else "float64"
    dtype, device = (
        checked_dtype(dtype),
        checked_device(options.device if device is None else device),
    )
    return Plan(grid, parameters, layout, dtype, device, options.threads, options.memory)


def compute(
    fields: list[xr.DataArray],
    weights: xr.DataArray | None,
    regions: xr.DataArray | None,
    plan: Plan,
) -> xr.Dataset:
    """Map the plan over the other dimensions of the fields, lazily where they are lazy."""
    layout, cells = plan.layout, list(plan.grid.dims)
    out = layout.variables()
    sizes = labels.sizes(plan.parameters)
    if layout.stacked is not None:
        n = fields[0].sizes[layout.stacked]
        sizes |= {layout.stacked: n, f"{layout.stacked}_a": n, f"{layout.stacked}_b": n}
    if regions is not None:
        sizes[str(regions.dims[0])] = regions.size
    core = [d for d in (layout.stacked,) if d is not None] + cells
    used = {d for dims in out.values() for d in dims}
    inputs: list[xr.DataArray] = [without_coords(f, own_names(out)) for f in fields]
    input_dims = [core] * len(fields)
    if weights is not None:
        inputs.append(weights)
        input_dims.append([d for d in (layout.regions,) if d is not None] + cells)
    check_dimensions(inputs, input_dims, out)
    results = xr.apply_ufunc(
        statistics_block,
        *inputs,
        kwargs={"plan": plan},
        input_core_dims=input_dims,
        output_core_dims=[list(dims) for dims in out.values()],
        exclude_dims={d for dims in input_dims for d in dims},
        dask="parallelized",
        output_dtypes=[np.dtype(complex if layout.is_complex(n) else float) for n in out],
        dask_gufunc_kwargs={"output_sizes": {d: sizes[d] for d in used}},
        keep_attrs=False,
    )
    results = results if isinstance(results, tuple) else (results,)
    variables = dict(zip(out, results, strict=True))
    used = {d for dims in out.values() for d in dims}
    ds = labels.labelled(variables, fields, plan.parameters, plan.grid, used)
    labels.keep_attributes(ds, inputs)
    if layout.spin and layout.stacked in fields[0].coords:
        ds = ds.assign_coords({layout.stacked: fields[0][layout.stacked].variable})
    ds.attrs |= layout.attrs()
    return ds if regions is None else ds.assign_coords({str(regions.dims[0]): regions})


def own_names(out: dict[str, tuple[str, ...]]) -> set[str]:
    """Names of variables, dimensions and coordinates that belong to statistics, of any kind."""
    numbered = {*SCALES, *ORIENTATIONS, *RELATIVE_ORIENTATIONS, *RATIOS}
    beside = {f"{a}_{d}" for d in numbered for a in ("wavelength", "angle", "ratio")}
    return (
        numbered | beside | {*out, *labels.LONG_NAMES} | {d for dims in out.values() for d in dims}
    )


def without_coords(field: xr.DataArray, names: set[str]) -> xr.DataArray:
    """The field without the coordinates that have a name of the statistics' own."""
    return field.drop_vars([c for c in field.coords if c in names and c not in field.dims])


def check_dimensions(
    inputs: list[xr.DataArray], core: list[list[str]], out: dict[str, tuple[str, ...]]
) -> None:
    """Raise where the results would have a name of the inputs beside one of the same name."""
    others = {d for x, dims in zip(inputs, core, strict=True) for d in x.dims if d not in dims}
    for name in sorted(map(str, others & own_names(out))):
        raise GridError(
            f"the statistics have a name {name!r} of their own: rename the dimension of the field, "
            f"e.g. .rename({name}={name + '_'!r})"
        )
    for name, dims in out.items():
        for dim in (name, *dims):
            if dim in others or dims.count(dim) > 1:
                raise GridError(
                    f"the statistics have a dimension {dim!r} of their own: rename that of the "
                    f"field, mask or region, e.g. .rename({dim}={dim + '_'!r})"
                )
