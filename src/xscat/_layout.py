"""The layout of a statistics Dataset: what every operation on it needs to know.

Everything here follows from names of dimensions, so that it holds for any subset of the
variables, for any leading dimensions, and for a line, which has no orientations.
"""

from __future__ import annotations

import difflib
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from .errors import check_choice

SCALES = ("j1", "j2", "j3")
ORIENTATIONS = ("l1", "l2", "l3")
RELATIVE_ORIENTATIONS = ("dl12", "dl13")
RATIOS = ("dj12", "dj13")
HARMONICS = ("harmonic", "harmonic1", "harmonic2", "harmonic3")

#: Variables that describe or scale the statistics and are no statistics themselves.
AUXILIARY = ("P11", "S2_auto")
STATISTICS = ("S0", "S1", "S2", "S3", "S3P", "S4")
KINDS = ("auto", "cross", "pairs", "modes")


def is_std(name: str) -> bool:
    """Whether a variable holds standard deviations."""
    return name.endswith("_std")


def base_name(name: str) -> str:
    """The statistic that a variable belongs to: S3 for S3 and S3_std."""
    return name.removesuffix("_std")


def kind_of(ds: xr.Dataset) -> str:
    """What is paired: "auto", "cross", "pairs" or "modes", as the attribute ``kind`` says.

    Without it, as of numbers put together by hand, the variables say it where they can.
    """
    if "kind" in ds.attrs:
        check_choice("the attribute kind", ds.attrs["kind"], KINDS)
        return str(ds.attrs["kind"])
    if paired_dim(ds) is not None:
        return "pairs"
    if any(name in ds for name in ("S3P", "S3P_std", "S2_auto")):
        return "cross"
    two = ("S1" in ds and "field" in ds.S1.dims) or ("S2" in ds and np.iscomplexobj(ds.S2))
    return "cross" if two else "auto"


def paired_dim(ds: xr.Dataset) -> str | None:
    """The dimension whose elements are paired, or that of the modes of a spin field."""
    if "kind" in ds.attrs:
        return str(ds.attrs["paired"]) if "paired" in ds.attrs else None
    power = ds.get("S2")
    if power is None or not np.iscomplexobj(power):
        return None
    firsts = [d[:-2] for d in map(str, power.dims) if d.endswith("_a")]
    return next((d for d in firsts if f"{d}_b" in power.dims), None)


def is_cross(ds: xr.Dataset) -> bool:
    """Whether the statistics are of two fields: S4 is then defined for all j1, j2 <= j3."""
    return kind_of(ds) in ("cross", "pairs")


def integer_attr(ds: xr.Dataset, name: str) -> int | None:
    """An attribute that must be an integer, or None where it is missing."""
    value = ds.attrs.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise ValueError(f"the attribute {name}={value!r} must be an integer: restore it")
    return int(value)


def reductions_of(ds: xr.Dataset) -> list[str]:
    """The reductions that were done, in order."""
    return str(ds.attrs.get("reduction", "")).split()


def statistic_dims(ds: xr.Dataset) -> set[str]:
    """The dimensions that number the statistics of one field (or pair); all others are leading.

    A user's own dimension may be called mode, field or harmonic: the attributes tell.
    """
    told, done = "kind" in ds.attrs, set(reductions_of(ds))
    own = {*SCALES, *RATIOS, *ORIENTATIONS, *RELATIVE_ORIENTATIONS}
    own |= {"moment"} if {"S0", "S0_std"} & set(ds.data_vars) else set()
    own |= {"field"} if kind_of(ds) == "cross" else set()
    own |= {"part"} if "as_real" in ds.attrs else set()
    own |= set(HARMONICS) if not told or done & {"fft_ang", "amplitude", "phase"} else set()
    own |= {"scale_harmonic"} if not told or "scale_ft" in done else set()
    paired = paired_dim(ds)
    if paired is not None:
        own |= {paired, str(ds.attrs.get("stacked", paired))}
        own |= {f"{paired}_a", f"{paired}_b"} if kind_of(ds) == "pairs" else set()
    return own


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
        require(ds, name, f"statistics={name!r}")
    return names


def require(ds: xr.Dataset, name: str, who: str) -> xr.DataArray:
    """A variable of the Dataset, or an error with the way out."""
    if name not in ds:
        have = ", ".join(map(str, ds.data_vars)) or "none"
        close = difflib.get_close_matches(name, map(str, ds.data_vars), n=1, cutoff=0.5)
        if base_name(name) not in (*STATISTICS, *AUXILIARY) and close:
            raise ValueError(
                f"{who} needs {name}, but the Dataset has {have}. Did you mean {close[0]!r}?"
            )
        raise ValueError(
            f"{who} needs {name}, but the Dataset has {have}: "
            f"compute with statistics=(..., {base_name(name)!r})"
            + (" and variance=True" if is_std(name) else "")
        )
    return ds[name]


def leading_dims(ds: xr.Dataset, names: Iterable[str]) -> list[str]:
    """Dimensions that some variables share and that do not number statistics."""
    variables = [ds[n] for n in names]
    own = statistic_dims(ds)
    first = variables[0].dims if variables else ()
    return [str(d) for d in first if d not in own and all(d in v.dims for v in variables[1:])]


def numbered_dims(
    var: xr.DataArray, names: tuple[str, ...], what: str, size: int | None = None
) -> list[str]:
    """The scale or orientation dimensions of a variable, checked to be all there.

    Reductions over relative scales or orientations need the first of them, and all of them
    with the same labels.
    """
    dims = [d for d in names if d in var.dims]
    if not dims:
        return []
    size = var.sizes[dims[0]] if size is None else size
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


def orientation_dims(var: xr.DataArray, L: int | None = None) -> list[str]:
    """The dimensions l1.. of a variable, all L. The last one is the outer orientation."""
    return numbered_dims(var, ORIENTATIONS, "orientations", L)


def in_one_chunk(var: xr.DataArray, *dims: Hashable) -> xr.DataArray:
    """A variable, if it is lazy, with some dimensions in one chunk.

    `DataArray.chunk` would make its coordinates lazy as well.
    """
    if not var.chunks:
        return var
    return var.copy(data=var.variable.chunk(dict.fromkeys(dims, -1)).data)


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
    var = in_one_chunk(var, *index)
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
    var: xr.DataArray,
    like: xr.DataArray,
    note: str = "",
    units: str | None = None,
    bound: bool = False,
) -> xr.DataArray:
    """Give a variable the attrs of another, with a note behind its long_name and new units.

    The note of an upper bound stands before it as well.
    """
    attrs = dict(like.attrs)
    start = "upper bound of the "
    if bound and not str(attrs.get("long_name", "")).startswith(start):
        attrs["long_name"] = f"{start}{attrs.get('long_name', like.name)}"
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
        out.attrs["reduction"] = " ".join([*reductions_of(ds), reduction])
    return out
