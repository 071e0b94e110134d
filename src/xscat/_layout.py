"""The layout of a statistics Dataset: what every operation on it needs to know.

Everything here follows from names of dimensions, so that it holds for any subset of the
variables, for any leading dimensions, and for a line, which has no orientations.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr

SCALES = ("j1", "j2", "j3")
ORIENTATIONS = ("l1", "l2", "l3")
RELATIVE_ORIENTATIONS = ("dl12", "dl13")
RATIOS = ("dj12", "dj13")
HARMONICS = ("harmonic", "harmonic1", "harmonic2", "harmonic3")

#: Dimensions that number the statistics of one field; all others are leading dimensions.
STATISTIC_DIMS = (
    "moment",
    "field",
    *SCALES,
    "scale_harmonic",
    *RATIOS,
    *ORIENTATIONS,
    *RELATIVE_ORIENTATIONS,
    *HARMONICS,
)

#: Variables that describe or scale the statistics and are no statistics themselves.
AUXILIARY = ("P11", "S2_auto")


def is_std(name: str) -> bool:
    """Whether a variable holds standard deviations."""
    return name.endswith("_std")


def base_name(name: str) -> str:
    """The statistic that a variable belongs to: S3 for S3 and S3_std."""
    return name.removesuffix("_std")


def is_cross(ds: xr.Dataset) -> bool:
    """Whether the statistics are of two fields: S4 is then defined for all j1, j2 <= j3."""
    return (
        bool(ds.attrs.get("cross", False))
        or any(name in ds for name in ("S3P", "S3P_std", "S2_auto"))
        or ("S1" in ds and "field" in ds.S1.dims)
        or ("S2" in ds and np.iscomplexobj(ds.S2))
        or any(str(dim).endswith("_a") for dim in ds.dims)
    )


def is_complex(ds: xr.Dataset, name: str) -> bool:
    """Whether a statistic is complex; a standard deviation answers for its statistic."""
    base = base_name(name)
    if base in ds:
        return np.iscomplexobj(ds[base])
    return base in ("S3", "S3P", "S4") or (base == "S2" and is_cross(ds))


def statistics_of(ds: xr.Dataset, names: Iterable[str] | None = None) -> list[str]:
    """The variables that are statistics, in order; those asked for must be there."""
    if names is None:
        names = sorted(map(str, ds.data_vars))
        return [n for n in names if not is_std(n) and n not in AUXILIARY]
    names = [names] if isinstance(names, str) else list(names)
    for name in names:
        require(ds, name, "this call")
    return names


def require(ds: xr.Dataset, name: str, who: str) -> xr.DataArray:
    """A variable of the Dataset, or an error with the way out."""
    if name not in ds:
        have = ", ".join(map(str, ds.data_vars)) or "none"
        raise ValueError(
            f"{who} needs {name}, but the Dataset has {have}: "
            f"compute with statistics=(..., {base_name(name)!r})"
            + (" and variance=True" if is_std(name) else "")
        )
    return ds[name]


def leading_dims(variables: Iterable[xr.DataArray]) -> list[str]:
    """Dimensions that all variables share and that do not number statistics."""
    variables = list(variables)
    first = variables[0].dims if variables else ()
    return [
        str(d) for d in first if d not in STATISTIC_DIMS and all(d in v.dims for v in variables[1:])
    ]


def numbered_dims(var: xr.DataArray, names: tuple[str, ...], what: str) -> list[str]:
    """The scale or orientation dimensions of a variable, checked to be all there.

    Reductions over relative scales or orientations need the first of them, and all of them
    with the same labels.
    """
    dims = [d for d in names if d in var.dims]
    if not dims:
        return []
    size = var.sizes[dims[0]]
    complete = dims == list(names[: len(dims)]) and all(
        np.array_equal(var[d], np.arange(size)) for d in dims
    )
    if not complete:
        have = ", ".join(f"{d}: {var[d].values.tolist()}" for d in dims)
        raise ValueError(
            f"{var.name or 'the variable'} has only part of its {what} ({have}): "
            "reduce first, select afterwards"
        )
    return dims


def scale_dims(var: xr.DataArray) -> list[str]:
    """The dimensions j1.. of a variable, complete."""
    return numbered_dims(var, SCALES, "scales")


def orientation_dims(var: xr.DataArray) -> list[str]:
    """The dimensions l1.. of a variable, complete. The last one is the outer orientation."""
    return numbered_dims(var, ORIENTATIONS, "orientations")


def take(var: xr.DataArray, index: Mapping[str, xr.DataArray]) -> xr.DataArray:
    """The elements of a variable at given places of some of its dimensions.

    What ``var.isel(index)`` gives, in one task per block when lazy (dask's own pointwise
    indexing breaks the result into small chunks).

    Parameters
    ----------
    var : DataArray
    index : mapping of dimension to DataArray of int
        places, broadcast against one another.

    Returns
    -------
    DataArray
        (other dimensions of var, dimensions of the index), with the coordinates of the index and
        those of the other dimensions.
    """
    places = xr.broadcast(*index.values())
    new = places[0].dims
    var = var.chunk(dict.fromkeys(index, -1)) if var.chunks else var
    out = xr.apply_ufunc(
        _pick,
        var,
        kwargs={"places": tuple(p.values for p in places)},
        input_core_dims=[list(index)],
        output_core_dims=[list(new)],
        exclude_dims=set(index),
        dask="parallelized",
        output_dtypes=[var.dtype],
        dask_gufunc_kwargs={"output_sizes": places[0].sizes},
        keep_attrs=True,
    )
    return out.assign_coords({n: c for p in places for n, c in p.coords.items()})


def _pick(values: np.ndarray, places: tuple[np.ndarray, ...]) -> np.ndarray:
    index: tuple[Any, ...] = (..., *places)
    return values[index]


def along_diagonals(
    var: xr.DataArray, first: str, offsets: Mapping[str, xr.DataArray]
) -> tuple[xr.DataArray, dict[str, xr.DataArray]]:
    """Re-index dimensions by their offset from a first one.

    The element at (first, offset, ...) is the one at (first, first + offset, ...), modulo the
    length of the dimension. Works lazily.

    Parameters
    ----------
    var : DataArray
        with the dimension `first` and the keys of `offsets`, all of one length.
    first : str
    offsets : mapping of dimension to DataArray
        1-D integers along the new dimension that replaces the key.

    Returns
    -------
    DataArray, dict
        the variable on the new dimensions, and first + offset (not wrapped) by old dimension.
    """
    size = var.sizes[first]
    start = xr.DataArray(np.arange(size), dims=first)
    positions = {dim: start + offset for dim, offset in offsets.items()}
    if not offsets:
        return var, positions
    order = [offsets[d].dims[0] if d in offsets else d for d in map(str, var.dims)]
    places = {dim: where % size for dim, where in positions.items()}
    picked = take(var, {first: start, **places}).transpose(*order)
    return picked.assign_coords(_coords_along(var, first)), positions


def _coords_along(var: xr.DataArray, dim: str) -> dict[str, xr.DataArray]:
    return {str(n): c for n, c in var.coords.items() if c.dims == (dim,)}


def in_triangle(labels: Mapping[str, xr.DataArray], cross: bool) -> xr.DataArray:
    """Where statistics are defined: j1 <= j2 <= j3; for two fields only j1, j2 <= j3.

    The labels are those of one variable by dimension. At fixed ratios, dj12 >= 0 and
    dj12 <= dj13 say the same; dj12 may be negative in S4 of two fields.
    """
    js = [labels[d] for d in SCALES if d in labels]
    if "dj12" in labels:
        js = [xr.DataArray(0), *(labels[d] for d in RATIOS if d in labels)]
    inside = xr.DataArray(True)
    for inner in js[:-1]:
        inside = inside & (inner <= js[-1])
    if len(js) == 3 and not cross:
        inside = inside & (js[0] <= js[1])
    return inside


def abs2(z: xr.DataArray) -> xr.DataArray:
    """|z|², real, for real and complex z."""
    return z.real**2 + z.imag**2 if np.iscomplexobj(z) else z**2


def spread(var: xr.DataArray, dim: str, ddof: int = 0) -> xr.DataArray:
    """Standard deviation over a dimension; of complex values sqrt(mean |z - mean|²)."""
    squares = abs2(var - var.mean(dim, skipna=False)).sum(dim, skipna=False)
    return xr.ufuncs.sqrt(squares / (var.sizes[dim] - ddof))


def describe(
    var: xr.DataArray, like: xr.DataArray, note: str = "", units: str | None = None
) -> xr.DataArray:
    """Give a variable the attrs of another, with a note behind its long_name and new units."""
    attrs = dict(like.attrs)
    if note:
        attrs["long_name"] = f"{attrs.get('long_name', like.name)}, {note}"
    if units is not None:
        attrs["units"] = units
    out = var.copy(deep=False)
    out.attrs = attrs
    return out


def rebuild(
    ds: xr.Dataset,
    variables: Mapping[str, xr.DataArray],
    reduction: str | None = None,
    **attrs: str | int | float,
) -> xr.Dataset:
    """A Dataset of new variables with the coordinates and parameters of the old one.

    Coordinates of dimensions that are gone go with them. `reduction` is added to the names of
    reductions already done, in the attribute of that name.
    """
    out = xr.Dataset(dict(variables))
    kept = {n: c for n, c in ds.coords.items() if n not in out and set(c.dims) <= set(out.dims)}
    out = out.assign_coords(kept)
    out.attrs = {**ds.attrs, **attrs}
    if reduction:
        out.attrs["reduction"] = " ".join([*ds.attrs.get("reduction", "").split(), reduction])
    return out


def check_same_grid(a: xr.Dataset, b: xr.Dataset) -> None:
    """Raise ValueError where two Datasets do not number the same wavelets.

    Compared are the parameters grid, level and L, the number of orientations, and the
    wavelengths of the scales that both have (unless they wait in a dask graph).
    """
    for name in ("grid", "level", "L", "wavelet"):
        one, other = a.attrs.get(name), b.attrs.get(name)
        if one is not None and other is not None and one != other:
            raise ValueError(
                f"the statistics have different {name}, {one} and {other}: "
                "they can only be compared when computed on one grid with one L"
            )
    for dim in (*ORIENTATIONS, *RELATIVE_ORIENTATIONS):
        if dim in a.dims and dim in b.dims and a.sizes[dim] != b.sizes[dim]:
            raise ValueError(
                f"the statistics have different L: {a.sizes[dim]} and {b.sizes[dim]} along {dim}"
            )
    for dim in SCALES:
        one, other = a.coords.get(f"wavelength_{dim}"), b.coords.get(f"wavelength_{dim}")
        if one is None or other is None or one.chunks or other.chunks:
            continue
        one, other = xr.align(one, other, join="inner")
        if not np.allclose(one, other, rtol=1e-6):
            raise ValueError(
                f"the statistics are on different grids: wavelength_{dim} is {one.values} "
                f"and {other.values}; compute both at one resolution"
            )


def common_scales(a: xr.Dataset, b: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset]:
    """Cut two Datasets of one grid to the scales that both have."""
    check_same_grid(a, b)
    for dim in SCALES:
        if dim in a.dims and dim in b.dims:
            labels = np.intersect1d(a[dim], b[dim])
            a, b = a.sel({dim: labels}), b.sel({dim: labels})
    return a, b
