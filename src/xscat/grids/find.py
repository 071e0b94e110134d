"""Which grid a DataArray is on."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import xarray as xr

from ..errors import GridError, check_choice
from .base import Grid
from .flat import regular_grid
from .healpix import decoding, find_cells, healpix_grid, sphere_level

# What dimensions and coordinates of HEALPix cells are called.
_CELL_NAMES = ("cell_ids", "cells", "cell", "healpix", "cell_index", "healpix_index")


def find_grid(da: xr.DataArray, dim: Hashable | Sequence[Hashable] | None = None) -> Grid:
    """The grid of a field, checked for everything that can be checked without computing.

    HEALPix cells come first, then the dimensions ``y`` and ``x``, then the only dimension.

    Parameters
    ----------
    da : DataArray
        The field.
    dim : str or two strs, optional
        Dimension of a line, or the dimensions (y, x) of a plane.

    Raises
    ------
    GridError
        If there is no grid, or it is incomplete, uneven, chunked or empty.
    """
    if da.size == 0:
        empty = [str(d) for d, n in da.sizes.items() if n == 0]
        raise GridError(f"the field is empty: dimension {', '.join(empty)} has no elements")
    cells = find_cells(da)
    dims = _guessed(da, cells) if dim is None else _named(da, dim)
    _check_chunks(da, dims)
    if cells is not None and dims == da[cells].dims:
        return healpix_grid(da, cells)
    return regular_grid(da, dims)


def _named(da: xr.DataArray, dim: Hashable | Sequence[Hashable]) -> tuple[str, ...]:
    names = dim if isinstance(dim, Sequence) and not isinstance(dim, str) else (dim,)
    dims = tuple(map(str, names))
    if not 1 <= len(dims) <= 2 or len(set(dims)) < len(dims):
        raise GridError(f"dim={dim!r}: name one dimension of a line or two (y, x) of a plane")
    for name in dims:
        check_choice("dim", name, map(str, da.dims), GridError)
    return dims


def _guessed(da: xr.DataArray, cells: str | None) -> tuple[str, ...]:
    if cells is not None:
        return tuple(map(str, da[cells].dims))
    if {"y", "x"} <= set(da.dims):
        return "y", "x"
    _check_decoded(da)
    if da.ndim == 1:
        return (str(da.dims[0]),)
    if not da.ndim:
        raise GridError("the field is one number, there is no grid: it needs dimensions")
    *_, y, x = da.dims
    raise GridError(
        f"no grid found on dimensions {da.dims}: decode HEALPix cells with xdggs.decode, or name "
        f"the dimensions, e.g. `dim=({y!r}, {x!r})` for a plane or `dim={x!r}` for a line"
    )


def _check_decoded(da: xr.DataArray) -> None:
    """Raise where the values may be on HEALPix cells without a word of their numbers."""
    for name, coordinate in da.coords.items():
        named = name in _CELL_NAMES or coordinate.attrs.get("standard_name") == "healpix_index"
        if named and coordinate.ndim == 1:
            line = decoding(name, coordinate.dims[0], coordinate.size, f"field[{name!r}].values")
            raise GridError(
                f"{name!r} has no HEALPix attributes, the field is not decoded: call {line}, where "
                "level is log2(nside)"
            )
    bare = [d for d in da.dims if d not in da.coords]
    named = [d for d in bare if d in _CELL_NAMES]
    if named or (bare and bare[-1] == da.dims[-1] and sphere_level(da.shape[-1]) is not None):
        dim = named[0] if named else bare[-1]
        line = decoding("cell_ids", dim, da.sizes[dim], scheme="ring")
        raise GridError(
            f"dimension {dim!r} has {da.sizes[dim]} values without a coordinate, which may be "
            f"HEALPix cells: decode them, {line} ('ring' for healpy.read_map(..., nest=False), "
            "the default of healpy, else 'nested'; level is log2(nside)), or "
            f"name it, `dim={dim!r}`, if it is a line"
        )


def _check_chunks(da: xr.DataArray, dims: tuple[str, ...]) -> None:
    for name in dims:
        n = len(da.chunksizes.get(name, (1,)))
        if n > 1:
            raise GridError(
                f"dimension {name!r} is split into {n} chunks, but a wavelet needs all of it: "
                f"use `field.chunk({{{name!r}: -1}})`"
            )
