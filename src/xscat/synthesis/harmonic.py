"""Smooth values for gaps: the discrete Laplace equation."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..grids import Grid, HealpixGrid

Array = np.ndarray[Any, np.dtype[Any]]


def harmonic(
    values: Array, grid: Grid, update: Array | None = None, *, periodic: bool = False
) -> Array:
    """Values (cells,) with each gap filled by the mean of its neighbors, the rest untouched.

    Only cells of *update* are filled; gaps that touch no value get the mean. On a periodic plane or
    line cells have neighbors across the border.
    """
    from scipy import sparse
    from scipy.sparse.csgraph import connected_components
    from scipy.sparse.linalg import spsolve

    gap = np.isnan(values) & (True if update is None else update)
    known = ~np.isnan(values)
    if not gap.any() or not known.any():
        return values
    rows, columns = edges(grid, periodic)
    use = gap[rows] & (gap[columns] | known[columns])
    rows, columns = rows[use], columns[use]
    number = np.cumsum(gap) - 1
    n = int(gap.sum())
    inside = gap[columns]
    between = (number[rows[inside]], number[columns[inside]])
    links = sparse.csr_array((np.ones(len(between[0])), between), (n, n))
    _, component = connected_components(links, directed=False)
    right = np.bincount(number[rows[~inside]], values[columns[~inside]], n)
    border = np.bincount(number[rows[~inside]], minlength=n)
    reached = np.isin(component, component[border > 0])
    degree = np.bincount(number[rows], minlength=n).astype(float)
    filled = np.full(n, values[known].mean())
    matrix = (sparse.diags_array(degree) - links)[reached][:, reached]
    if reached.any():
        filled[reached] = spsolve(matrix.tocsc(), right[reached])
    result = values.copy()
    result[gap] = filled
    return result


def edges(grid: Any, periodic: bool) -> tuple[Array, Array]:
    """Pairs of neighboring cells, each in both orders; those across a border if it is periodic."""
    if isinstance(grid, HealpixGrid):
        from healpix_geo import nested

        cells = grid.sorted_cells()
        around = nested.kth_neighbourhood(cells.astype(np.uint64), grid.level, 1, num_threads=1)
        around = around.astype(np.int64)
        place = np.searchsorted(cells, around).clip(max=len(cells) - 1)
        found = (cells[place] == around) & (around != cells[:, None])
        rows = np.broadcast_to(np.arange(len(cells))[:, None], around.shape)
        return rows[found], place[found]
    numbers = np.arange(int(np.prod(grid.shape))).reshape(grid.shape)
    pairs = []
    for axis in range(numbers.ndim):
        along = np.moveaxis(numbers, axis, 0)
        first, last = (along, np.roll(along, -1, 0)) if periodic else (along[:-1], along[1:])
        pairs.append((first.ravel(), last.ravel()))
    one, other = (np.concatenate(x) for x in zip(*pairs, strict=True))
    return np.r_[one, other], np.r_[other, one]
