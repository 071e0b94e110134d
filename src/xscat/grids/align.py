"""Other inputs brought to the cells of a field, by cell number or by coordinate."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ..errors import GridError
from .base import Grid
from .dims import check_dims
from .healpix import HealpixGrid, cell_scheme, find_cells, healpix_grid, mended


def align_to(da: xr.DataArray, grid: Grid, other: xr.DataArray, argument: str) -> xr.DataArray:
    """*other* with its cells in the order of those of *da*, on the same dimensions.

    Parameters
    ----------
    da, grid : DataArray, Grid
        The field and its grid.
    other : DataArray
        A mask, a second field or the like: on the same cells in any order, or on more cells;
        without coordinates it is matched by position.
    argument : str
        What to call it in an error.

    Raises
    ------
    GridError
        If it is on another grid, or lacks cells of the field.
    """
    if not isinstance(other, xr.DataArray):
        raise TypeError(f"{argument} must be a DataArray, got {type(other).__name__}")
    check_dims(other, argument)
    if isinstance(grid, HealpixGrid):
        other = mended(other)
        other = _align_cells(da, grid, other, argument)
    for dim in map(str, other.dims):
        if dim in da.dims and not (dim in grid.dims and isinstance(grid, HealpixGrid)):
            other = _align_dim(da, other, dim, argument)
    absent = [d for d in grid.dims if d not in other.dims]
    if absent:
        one = {d: 0 for d in da.dims if d not in grid.dims}
        way = f"`{argument}.broadcast_like(field{f'.isel({one})' if one else ''})`"
        raise GridError(
            f"{argument} has no dimension {', '.join(absent)}, which the field has"
            f"{f': {way}' if argument in ('mask', 'region', 'frame', 'update') else ''}"
        )
    for dim in grid.dims:
        n = len(other.chunksizes.get(dim, (1,)))
        if n > 1:
            raise GridError(
                f"dimension {dim!r} of {argument} is split into {n} chunks: "
                f"use `{argument}.chunk({{{dim!r}: -1}})`"
            )
    return other


def align_along(da: xr.DataArray, other: xr.DataArray, argument: str) -> xr.DataArray:
    """*other* in the order of *da* along all dimensions that both have."""
    for dim in map(str, other.dims):
        if dim in da.dims:
            other = _align_dim(da, other, dim, argument)
    return other


def _align_cells(
    da: xr.DataArray, grid: HealpixGrid, other: xr.DataArray, argument: str
) -> xr.DataArray:
    theirs = _cells_of(da, other)
    if theirs is None:
        (cells,) = grid.dims
        if cells in other.xindexes and cells in da.xindexes:
            return _align_dim(da, other, cells, argument)
        if cells not in other.xindexes and other.sizes.get(cells) == grid.size:
            return other  # as in xarray: no labels, same positions
        raise GridError(f"{argument} has no HEALPix cells: decode it with xdggs.decode")
    if theirs.level != grid.level:
        raise GridError(
            f"{argument} is at HEALPix level {theirs.level}, the field at level {grid.level}"
        )
    ours = grid.sorted_cells()
    position = np.searchsorted(theirs.sorted_cells(), ours).clip(max=theirs.size - 1)
    lacking = int((theirs.sorted_cells()[position] != ours).sum())
    if lacking:
        raise GridError(f"{argument} lacks {lacking} of the {grid.size} cells of the field")
    if theirs.order is not None:
        position = theirs.order[position]
    position = grid.restore(position)
    (dim,) = theirs.dims
    other = other.drop_vars([c for c, v in other.coords.items() if dim in v.dims])
    if not (theirs.size == grid.size and np.array_equal(position, np.arange(grid.size))):
        other = other.isel({dim: position})
    return other.rename({dim: grid.dims[0]} if dim != grid.dims[0] else {})


def _cells_of(da: xr.DataArray, other: xr.DataArray) -> HealpixGrid | None:
    """The cells of *other*: as it describes them, or by the name of those of *da*."""
    name = find_cells(other)
    if name is not None:
        return healpix_grid(other, name)
    ours = find_cells(da)
    if ours is None or ours not in other.coords or other[ours].ndim != 1:
        return None
    # numbers that lost their description on the way, as in xr.where
    level, scheme = cell_scheme(da, ours)
    attrs = {"grid_name": "healpix", "level": level, "indexing_scheme": scheme}
    numbers = (other[ours].dims[0], other[ours].values, attrs)
    return healpix_grid(other.drop_vars(ours).assign_coords({ours: numbers}), ours)


def _align_dim(da: xr.DataArray, other: xr.DataArray, dim: str, argument: str) -> xr.DataArray:
    if dim in da.xindexes and dim in other.xindexes:
        wanted, found = da.get_index(dim), other.get_index(dim)
        if wanted.equals(found):
            return other
        if found.is_unique and wanted.isin(found).all():
            return other.isel({dim: found.get_indexer(wanted)})
        raise GridError(
            f"{argument} lacks values of coordinate {dim!r} that the field has: select or "
            f"interpolate it, e.g. .interp({dim}=field[{dim!r}])"
        )
    if da.sizes[dim] != other.sizes[dim]:
        raise GridError(
            f"{argument} has {other.sizes[dim]} elements along {dim!r}, the field {da.sizes[dim]}"
        )
    return other
