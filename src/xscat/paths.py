"""Compact forms: one path a coefficient, a matrix for machine learning, real numbers only."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import xarray as xr

from ._layout import (
    describe,
    in_one_chunk,
    in_triangle,
    is_cross,
    leading_dims,
    rebuild,
    statistics_of,
    take,
)
from ._operation import check_free, operation
from ._states import refuse, state

PARTS = np.array(["real", "imag"], dtype=object)


@operation
def to_paths(
    ds: xr.Dataset, statistics: Iterable[str] | None = None, dropna: bool = False
) -> xr.DataArray:
    """All coefficients along one dimension ``path``, without those outside the scale triangle.

    Parameters
    ----------
    ds : Dataset
    statistics : iterable of str, optional
        names of the variables to take; default all, ``*_std`` included.
    dropna : bool
        drop the paths that are NaN for every element of the leading dimensions, as after
        `select`. This looks at the values, so dask arrays are computed.

    Returns
    -------
    DataArray
        (..., path), complex if a variable is. Along the path: ``statistic`` (name of the variable),
        j1, j2, ..., l1, ... (-1, or "", where it has none), the ``wavelength_*``, ``angle_*`` (NaN
        where it has none). Attributes of the variables are kept as "S1:units".
        Can be written to zarr.

    Examples
    --------
    >>> import xarray as xr
    >>> ds = xr.Dataset({"S2": ("j1", [4.0, 9.0]),
    ...                  "S3": (("j1", "j2"), [[4.0, 3.0], [float("nan"), 18.0]])})
    >>> to_paths(ds).values
    array([ 4.,  9.,  4.,  3., 18.])
    >>> to_paths(ds).j2.values
    array([-1, -1,  0,  1,  1])
    """
    names = sorted(map(str, ds.data_vars)) if statistics is None else statistics_of(ds, statistics)
    if not names:
        raise ValueError("the Dataset has no variable")
    check_free(ds, "to_paths", "path", "statistic")
    lead = leading_dims(ds, names)
    cross = is_cross(ds)
    parts, index = zip(*(_flatten(ds[n], lead, cross) for n in names), strict=True)
    kind = np.result_type(*(p.dtype for p in parts))
    out = _join([p.astype(kind) for p in parts]).rename("coefficients")
    sizes = [p.sizes["path"] for p in parts]
    statistic = np.repeat(np.array(names, dtype=object), sizes)
    out = out.assign_coords(_path_coords(ds, index, sizes)).assign_coords(
        statistic=("path", statistic)
    )
    out.attrs = dict(ds.attrs)
    for name in names:
        kept = {
            "dims": " ".join(map(str, ds[name].dims)),
            "dtype": str(ds[name].dtype),
            **ds[name].attrs,
        }
        out.attrs |= {f"{name}:{key}": value for key, value in kept.items()}
    if dropna:
        out = out.isel(path=np.flatnonzero(out.notnull().any(lead).values))
    return out


@operation
def from_paths(paths: xr.DataArray) -> xr.Dataset:
    """The Dataset that `to_paths` was given.

    Parameters
    ----------
    paths : DataArray
        what `to_paths` gave, also with some of the paths dropped, which are NaN then.

    Returns
    -------
    Dataset

    Raises
    ------
    ValueError
        if it is not what `to_paths` gives.

    Examples
    --------
    >>> import xarray as xr
    >>> ds = xr.Dataset({"S2": ("j1", [4.0, 9.0])}, coords={"j1": [0, 1]})
    >>> from_paths(to_paths(ds)).identical(ds)
    True
    """
    statistic = _texts(paths.statistic)
    names = list(dict.fromkeys(statistic))
    attrs = {n: _attrs_of(paths, n) for n in names}
    dims = {n: attrs[n].pop("dims").split() for n in names}
    dtypes = {n: _dtype(n, attrs[n].pop("dtype")) for n in names}
    first = {}
    for dim in dict.fromkeys(d for n in names for d in dims[n]):
        if dim in paths.coords and paths[dim].dims == ("path",):
            having = np.isin(statistic, [n for n in names if dim in dims[n]])
            first[dim] = _first_of_each(paths[dim].values, np.flatnonzero(having))
    bare = paths.drop_vars([n for n, c in paths.coords.items() if "path" in c.dims])
    out = {}
    for name in names:
        where = np.flatnonzero(statistic == name)
        places = {d: _place(paths[d].values, where, first[d]) for d in dims[name] if d in first}
        var = _unflatten(bare, where, places, [len(first[d]) for d in places])
        var = (var if dtypes[name].kind == "c" else var.real).astype(dtypes[name])
        out[name] = var.transpose(..., *(d for d in dims[name] if d in var.dims))
        out[name].attrs = attrs[name]
    result = xr.Dataset(out).assign_coords(_dense_coords(paths, first))
    result.attrs = {key: value for key, value in paths.attrs.items() if ":" not in key}
    return result


@operation
def to_vector(
    ds: xr.Dataset, statistics: Iterable[str] | None = None, dropna: bool = False
) -> xr.DataArray:
    """The statistics as real vectors, for machine learning and likelihoods.

    Parameters
    ----------
    ds : Dataset
    statistics : iterable of str, optional
        names of the variables to take; default all but ``*_std``, P11 and S2_auto.
    dropna : bool
        as in `to_paths`: drop the paths that are NaN for every element, as after `select`.

    Returns
    -------
    DataArray
        (..., path), real: all real parts, then the imaginary parts of the complex statistics,
        told apart by the coordinate ``part`` ("real", "imag"). The imaginary part of S4 at
        equal inner indices is 0 by definition, and is there too.

    Examples
    --------
    >>> import xarray as xr
    >>> ds = xr.Dataset({"S2": ("j1", [4.0]), "S3": (("j1", "j2"), [[3.0 + 1j]])})
    >>> to_vector(ds).values
    array([4., 3., 1.])
    """
    refuse(ds, "to_vector", "as_real")
    check_free(ds, "to_vector", "part")
    paths = to_paths(ds, statistics_of(ds, statistics), dropna)
    has_imag = _complex_paths(paths)
    which = np.concatenate([np.arange(paths.sizes["path"]), has_imag])
    out = _join([paths.real, paths.imag.isel(path=has_imag)]) if len(has_imag) else paths.real
    parts = np.repeat(PARTS, [paths.sizes["path"], len(has_imag)])
    places = {"path": xr.DataArray(which, dims="path")}
    bare = {n: c.reset_coords(drop=True) for n, c in paths.coords.items() if c.dims == ("path",)}
    coords = {n: take(c, places) for n, c in bare.items()}
    return out.assign_coords(coords).assign_coords(part=("path", parts)).assign_attrs(paths.attrs)


@operation
def from_vector(vector: xr.DataArray) -> xr.Dataset:
    """The Dataset that `to_vector` was given.

    Parameters
    ----------
    vector : DataArray
        what `to_vector` gave; values may have changed.

    Returns
    -------
    Dataset
        of the variables that `to_vector` took.

    Raises
    ------
    ValueError
        if it is not what `to_vector` gives, with all of its paths.

    Examples
    --------
    >>> import xarray as xr
    >>> ds = xr.Dataset({"S3": (("j1", "j2"), [[3.0 + 1j]])}, coords={"j1": [0], "j2": [0]})
    >>> from_vector(to_vector(ds)).identical(ds)
    True
    """
    if "part" not in vector.coords:
        raise ValueError("from_vector needs the coordinate part, which to_vector gives")
    is_real = _texts(vector.part) == "real"
    paths = vector.isel(path=np.flatnonzero(is_real)).drop_vars("part")
    imag = vector.isel(path=np.flatnonzero(~is_real))
    has_imag = _complex_paths(paths)
    if not np.array_equal(_texts(paths.statistic)[has_imag], _texts(imag.statistic)):
        raise ValueError("real and imaginary parts do not match: paths were dropped or reordered")
    if len(has_imag):
        place = np.full(paths.sizes["path"], -1)
        place[has_imag] = np.arange(len(has_imag))
        bare = imag.drop_vars([n for n, c in imag.coords.items() if "path" in c.dims])
        full = bare.isel(path=place.clip(0)).where(xr.DataArray(place >= 0, dims="path"))
        paths = _complex(paths, full).assign_attrs(vector.attrs)
    return from_paths(paths)


@operation
def as_real(ds: xr.Dataset) -> xr.Dataset:
    """Complex variables as real ones with a last dimension ``part`` ("real", "imag").

    For formats and tools without complex numbers, as netCDF. Real variables stay.

    Parameters
    ----------
    ds : Dataset

    Returns
    -------
    Dataset

    Examples
    --------
    >>> import xarray as xr
    >>> as_real(xr.Dataset({"S3": ("j1", [3.0 + 1j])})).S3.values
    array([[3., 1.]])
    """
    split = [str(n) for n, v in ds.data_vars.items() if np.iscomplexobj(v)]
    if split and "as_real" not in ds.attrs:
        check_free(ds, "as_real", "part")
    out = {}
    for name, var in ds.data_vars.items():
        if np.iscomplexobj(var):
            both = _join([var.real, var.imag], "part").transpose(..., "part")
            var = describe(both.assign_coords(part=PARTS), var)
        out[str(name)] = var
    done = " ".join([*str(ds.attrs.get("as_real", "")).split(), *sorted(split)])
    return rebuild(ds, out, **({"as_real": done} if done else {}))


@operation
def from_real(ds: xr.Dataset) -> xr.Dataset:
    """Complex variables from those that `as_real` has split.

    Parameters
    ----------
    ds : Dataset
        what `as_real` gave.

    Returns
    -------
    Dataset

    Examples
    --------
    >>> import xarray as xr
    >>> ds = xr.Dataset({"S3": ("j1", [3.0 + 1j])})
    >>> from_real(as_real(ds)).identical(ds)
    True
    """
    split = str(state(ds, "as_real") or "").split()
    out = {}
    for name, var in ds.data_vars.items():
        if name in split and "part" in var.dims:
            real, imag = (var.sel(part=p, drop=True) for p in ("real", "imag"))
            var = describe(_complex(real, imag), var)
        out[str(name)] = var
    result = rebuild(ds.drop_vars("part", errors="ignore") if split else ds, out)
    result.attrs.pop("as_real", None)
    return result


# ---------------------------------------------------------------------------------------------


def _flatten(
    var: xr.DataArray, lead: list[str], cross: bool
) -> tuple[xr.DataArray, dict[str, np.ndarray]]:
    """The defined elements of a variable along `path`, and where they are, by dimension."""
    dims = [str(d) for d in var.dims if d not in lead]
    bare = var.drop_vars([n for n, c in var.coords.items() if set(c.dims) & set(dims)])
    if not dims:
        return bare.expand_dims("path", -1), {}
    labels = {d: var[d].reset_coords(drop=True) for d in dims}
    shape = xr.DataArray(np.ones([var.sizes[d] for d in dims], bool), labels, dims)
    inside = (shape & in_triangle(labels, cross)).transpose(*dims)
    index = dict(zip(dims, np.nonzero(inside.values), strict=True))
    picked = take(bare, {d: xr.DataArray(i, dims="path") for d, i in index.items()})
    return picked.transpose(*lead, "path"), index


def _unflatten(
    bare: xr.DataArray, where: np.ndarray, places: dict[str, np.ndarray], shape: list[int]
) -> xr.DataArray:
    """Put the paths `where` at their places in dense dimensions, NaN elsewhere."""
    if not places:
        return bare.isel(path=int(where[0]))
    table = np.full(shape, -1)
    table[tuple(places.values())] = where
    dense = take(bare, {"path": xr.DataArray(table.clip(0), dims=tuple(places))})
    there = xr.DataArray(table >= 0, dims=tuple(places))
    return dense.where(there) if bare.dtype.kind in "fc" else dense.where(there, 0)


def _path_coords(
    ds: xr.Dataset, index: tuple[dict[str, np.ndarray], ...], sizes: list[int]
) -> dict[str, xr.DataArray]:
    """Every coordinate of one statistic dimension, along the paths."""
    out = {}
    for dim in dict.fromkeys(d for i in index for d in i):
        place = np.concatenate(
            [i.get(dim, np.full(n, -1)) for i, n in zip(index, sizes, strict=True)]
        )
        there = xr.DataArray(place >= 0, dims="path")
        along = {dim: ds[dim]} | {str(n): c for n, c in ds.coords.items() if c.dims == (dim,)}
        for name, coord in along.items():
            text = coord.dtype.kind not in "iufmM"
            values = coord.variable.to_base_variable().astype(object if text else coord.dtype)
            placed = take(xr.DataArray(values), {dim: xr.DataArray(place.clip(0), dims="path")})
            fills = {"f": np.nan, "i": -1, "u": -1}
            fill = fills.get(coord.dtype.kind, "") if text or coord.dtype.kind in fills else None
            if fill is None:
                fill = np.array("NaT", coord.dtype)
            out[name] = describe(placed.where(there, fill), coord)
    return out


def _dense_coords(paths: xr.DataArray, first: dict[str, np.ndarray]) -> dict[str, tuple]:
    """The coordinates of the dense dimensions; `first` is a path for each of their labels."""
    out = {}
    for name, coord in paths.coords.items():
        dim = str(name) if name in first else str(name).rpartition("_")[2]
        if coord.dims == ("path",) and dim in first:
            out[str(name)] = (dim, coord.data[first[dim]], coord.attrs)
    return out


def _first_of_each(values: np.ndarray, having: np.ndarray) -> np.ndarray:
    """The first path of each label: numbers in order, texts as they come."""
    number = values.dtype.kind in "iuf"
    _, first = np.unique(values[having] if number else _texts(values[having]), return_index=True)
    return having[first if number else np.sort(first)]


def _place(values: np.ndarray, where: np.ndarray, first: np.ndarray) -> np.ndarray:
    """The place of each path among the labels."""
    place = {label: i for i, label in enumerate(values[first].tolist())}
    return np.array([place[label] for label in values[where].tolist()])


def _texts(values: xr.DataArray | np.ndarray) -> np.ndarray:
    """Texts of whatever type they were read as."""
    return np.array([str(value) for value in np.asarray(values)])


def _attrs_of(paths: xr.DataArray, name: str) -> dict:
    """The attributes of one variable among those of all, "S1:units"."""
    start = f"{name}:"
    attrs = {k.removeprefix(start): v for k, v in paths.attrs.items() if k.startswith(start)}
    if not {"dims", "dtype"} <= set(attrs) or not isinstance(attrs["dims"], str):
        raise ValueError(f"the attributes {name}:dims and {name}:dtype of to_paths are missing")
    return attrs


def _dtype(name: str, text: object) -> np.dtype:
    try:
        return np.dtype(str(text))
    except TypeError:
        raise ValueError(f"the attribute {name}:dtype={text!r} is no dtype: restore it") from None


def _complex_paths(paths: xr.DataArray) -> np.ndarray:
    """The numbers of the paths that belong to complex variables."""
    statistic = _texts(paths.statistic)
    attrs = {n: _attrs_of(paths, n) for n in np.unique(statistic)}
    kinds = {n: _dtype(n, of["dtype"]).kind for n, of in attrs.items()}
    return np.flatnonzero(np.isin(statistic, [n for n, kind in kinds.items() if kind == "c"]))


def _complex(real: xr.DataArray, imag: xr.DataArray) -> xr.DataArray:
    """Complex numbers from two parts, exactly: also with infinite or missing parts."""

    def join(re: np.ndarray, im: np.ndarray) -> np.ndarray:
        out = np.empty(re.shape, np.result_type(re.dtype, np.complex64))
        out.real, out.imag = re, im
        return out

    return xr.apply_ufunc(
        join,
        real,
        imag,
        dask="parallelized",
        output_dtypes=[np.result_type(real.dtype, np.complex64)],
    )


def _join(parts: list[xr.DataArray], dim: str = "path") -> xr.DataArray:
    if dim == "path":
        parts = [p.drop_vars([n for n, c in p.coords.items() if dim in c.dims]) for p in parts]
    out = xr.concat(parts, dim, coords="minimal", compat="override", join="exact")
    return in_one_chunk(out, dim)
