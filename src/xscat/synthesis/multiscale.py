"""Coarse to fine: the grids of a pyramid, and how fields go from one to the next.

On a plane or line a level keeps the lower half of the wave numbers: Fourier series if the boundary
is periodic, cosine series otherwise. On the sphere it is what the engine itself does between two
scales, so the statistics of a level are those of the finer one without its first scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from ..grids import Grid, HealpixGrid
from ..parameters import Parameters
from .harmonic import harmonic

Array = np.ndarray[Any, np.dtype[Any]]

_SMALLEST = {"healpix": 4, "plane": 8, "line": 8}
_LEAST_SHARE = 0.5  # of a coarse cell that has to be valid
_REFINING_ITERATIONS = 20
_DAMPING = 0.02  # details are amplified by 1 / (2 sqrt(0.02)) at most


@dataclass(frozen=True)
class Level:
    """One resolution: its grid and how many scales there are."""

    grid: Grid
    parameters: Parameters

    @property
    def periodic(self) -> bool:
        """Whether cells have neighbors across the border of a plane or line."""
        return self.parameters.boundary == "periodic"

    def coarser(self) -> Level | None:
        """The next level, or None if it would be too small."""
        if self.parameters.J == 1:
            return None
        # scales not wanted are NaN in the statistics, their list is of the finest level
        parameters = replace(self.parameters, J=self.parameters.J - 1, selected=None)
        grid = coarser_grid(self.grid)
        if grid is None or grid.largest_J(parameters, layers=1) < parameters.J:
            return None
        return Level(grid, parameters)

    def coarsen(self, x: Array) -> Array:
        """Values of x (..., cells) on the next level, NaN where half of a cell is missing."""
        valid = ~np.isnan(x)
        if valid.all() and getattr(self.grid, "cells", None) is None:
            return self._coarsen(x)
        share = self._coarsen(valid.astype(float))
        total = self._coarsen(np.where(valid, x, 0))
        missing = share < _LEAST_SHARE
        return np.where(missing, np.nan, total / np.where(missing, 1, share))

    def without_gaps(self, x: Array) -> Array:
        """Values x (..., cells) with gaps filled smoothly."""
        return np.apply_along_axis(harmonic, -1, x, self.grid, periodic=self.periodic)

    def refine(self, x: Array) -> Array:
        """The smoothest values on this level whose `coarsen` is x (..., coarser cells)."""
        coarse = coarser_grid(self.grid)
        assert coarse is not None
        x = replace(self, grid=coarse).without_gaps(x)
        if isinstance(self.grid, HealpixGrid):
            return _pseudo_inverse(sphere_coarsener(self.grid), x)
        return self._resample(x, coarse.shape, self.grid.shape)

    def _coarsen(self, x: Array) -> Array:
        if isinstance(self.grid, HealpixGrid):
            return (sphere_coarsener(self.grid) @ x.reshape(-1, x.shape[-1]).T).T.reshape(
                *x.shape[:-1], -1
            )
        coarse = coarser_grid(self.grid)
        assert coarse is not None
        return self._resample(x, self.grid.shape, coarse.shape)

    def _resample(self, x: Array, old: tuple[int, ...], new: tuple[int, ...]) -> Array:
        from scipy.signal import resample

        x = x.reshape(*x.shape[:-1], *old)
        for axis, size in zip(range(-len(new), 0), new, strict=True):
            how = resample if self.periodic else _cosine_resample
            x = how(x, size, axis=axis)
        return x.reshape(*x.shape[: -len(new)], -1)


def _cosine_resample(x: Array, size: int, axis: int) -> Array:
    """Resample by cutting or padding the cosine series."""
    from scipy.fft import dct, idct

    old = x.shape[axis]
    spectrum = np.moveaxis(dct(x, axis=axis, norm="ortho"), axis, -1)[..., :size]
    padding = [(0, 0)] * (x.ndim - 1) + [(0, size - spectrum.shape[-1])]
    spectrum = np.pad(spectrum, padding) * np.sqrt(size / old)
    return np.moveaxis(idct(spectrum, axis=-1, norm="ortho"), -1, axis)


def pyramid(level: Level, steps: int) -> list[Level]:
    """At most *steps* levels, the finest first."""
    levels = [level]
    while len(levels) < steps and (coarser := levels[-1].coarser()) is not None:
        levels.append(coarser)
    return levels


def coarsened(levels: Sequence[Level], x: Array) -> list[Array]:
    """Values (..., cells) on all levels, the finest first."""
    result = [x]
    for level in levels[:-1]:
        result.append(level.coarsen(result[-1]))
    return result


def filled(levels: Sequence[Level], x: list[Array]) -> list[Array]:
    """Values (..., cells) on all levels, gaps filled smoothly on all but the finest.

    Coarser levels only give a start, and cells near gaps that nothing constrains would spoil it.
    """
    rest = zip(levels[1:], x[1:], strict=True)
    return [x[0], *(level.without_gaps(y) for level, y in rest)]


def coarser_grid(grid: Any) -> Grid | None:
    """Grid of half the resolution, or None if it would be too small."""
    smallest = _SMALLEST[grid.kind]
    if isinstance(grid, HealpixGrid):
        if 2**grid.level <= smallest:
            return None
        cells = None if grid.cells is None else np.unique(grid.cells // 4)
        size = 12 * 4 ** (grid.level - 1) if cells is None else len(cells)
        coarse = replace(grid, level=grid.level - 1, cells=cells, order=None, size=size)
        if grid.angles is None:
            return coarse
        sums = np.zeros(size, complex)
        rows = np.searchsorted(coarse.sorted_cells(), grid.sorted_cells() // 4)
        np.add.at(sums, rows, np.exp(1j * grid.angles))
        return replace(coarse, angles=np.angle(sums))
    shape = tuple((n + 1) // 2 for n in grid.shape)
    if min(shape) < smallest:
        return None
    sizes = zip(grid.spacing, grid.shape, shape, strict=True)
    return replace(grid, shape=shape, spacing=tuple(s * n / m for s, n, m in sizes))


def sphere_coarsener(grid: HealpixGrid) -> Any:
    """Matrix (coarser cells, cells) of the engine's smoothing and averaging, nested order."""
    cells = None if grid.cells is None else grid.cells.tobytes()
    return _sphere_coarsener(grid.level, cells)


@lru_cache(maxsize=16)
def _sphere_coarsener(level: int, cells: bytes | None) -> Any:
    import torch

    from ..engine.level import Level as Stencils
    from ..engine.sphere import SphereSpec
    from ..engine.wavelets import Morlet

    numbers = None if cells is None else np.frombuffer(cells, np.int64)
    # this frame has no symmetry, hence neither copies nor a halo
    spec = SphereSpec(
        level, numbers, "stereographic", Morlet(), 1, 1, torch.float64, torch.device("cpu")
    )
    return Stencils(spec, level, numbers, "stereographic").coarsening[0]


def _pseudo_inverse(matrix: Any, x: Array) -> Array:
    """Small values y with matrix @ y close to x (..., n), by conjugate gradients."""
    b = x.reshape(-1, x.shape[-1]).T
    y = np.zeros_like(b)
    residual = b.copy()
    direction, power = residual.copy(), (residual**2).sum(0)
    transpose = 4 * matrix.T
    for _ in range(_REFINING_ITERATIONS):
        image = matrix @ (transpose @ direction) + _DAMPING * direction
        step = power / np.maximum((direction * image).sum(0), np.finfo(float).tiny)
        y += step * direction
        residual -= step * image
        previous, power = power, (residual**2).sum(0)
        direction = residual + power / np.maximum(previous, np.finfo(float).tiny) * direction
    return (transpose @ y).T.reshape(*x.shape[:-1], -1)
