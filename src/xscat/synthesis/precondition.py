"""Coordinates in which all scales of a field are as easy to change.

L-BFGS moves v, the fields are u = u0 + P v. P is symmetric and amplifies each scale by the square
root of the amplitude that it has in the target: more makes the largest scales take all, less leaves
them behind.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from ..engine.level import Level as Stencils
from ..engine.sphere import SphereSpec
from ..engine.wavelets import Morlet
from ..grids import HealpixGrid
from .multiscale import Level, coarser_grid
from .start import Amplitude, centers

Array = np.ndarray[Any, np.dtype[Any]]
Tensor = torch.Tensor
Map = Callable[[Tensor], Tensor]

_LARGEST = 30.0


def preconditioner(level: Level, amplitude: Amplitude, like: Tensor) -> Map:
    """P for fields (B, cells) of a level."""
    grid, bands = level.grid, centers(level)
    first = amplitude(bands[:1])[0]

    def gain(k: Array) -> Array:
        return np.clip(np.sqrt(amplitude(k) / first), 1 / _LARGEST, _LARGEST)

    if isinstance(grid, HealpixGrid):
        return _on_sphere(grid, gain(bands), like)
    return _on_plane(grid, gain, like)


def _on_plane(grid: Any, gain: Callable[[Array], Array], like: Tensor) -> Map:
    shape = grid.shape
    steps = [abs(s) for s in grid.spacing]
    ks = [np.fft.fftfreq(n, step) for n, step in zip(shape, steps, strict=True)]
    ks[-1] = np.fft.rfftfreq(shape[-1], steps[-1])
    k = np.sqrt(sum(g**2 for g in np.meshgrid(*ks, indexing="ij")))
    response = torch.as_tensor(gain(k), dtype=like.dtype, device=like.device)
    axes = tuple(range(-len(shape), 0))

    def apply(v: Tensor) -> Tensor:
        spectrum = torch.fft.rfftn(v.unflatten(-1, shape), dim=axes) * response
        return torch.fft.irfftn(spectrum, s=shape, dim=axes).flatten(-len(shape))

    return apply


def _on_sphere(grid: HealpixGrid, gains: Array, like: Tensor) -> Map:
    """The gain of the finest scale plus what coarser maps need more, level by level."""
    n_steps = 0
    level: Any = grid
    while n_steps < len(gains) - 1 and (coarse := coarser_grid(level)) is not None:
        n_steps, level = n_steps + 1, coarse
    cells = None if grid.cells is None else grid.cells.tobytes()
    levels = _stencils(grid.level, cells, n_steps, like.dtype, like.device)
    extra = [float(gains[0]), *np.maximum(np.diff(gains), 0).tolist()]

    def apply(v: Tensor) -> Tensor:
        if not levels:
            return extra[0] * v
        columns, parts = levels[0].arranged(v).T.contiguous(), []
        for step in levels:
            parts.append(columns)
            columns = step.coarsener.times(columns)[0]
        total = extra[n_steps] * columns
        for k in reversed(range(n_steps)):
            total = levels[k].coarsener.adjoint(4 * total[None]).add_(parts[k], alpha=extra[k])
        return levels[0].nested(total.T)

    return lambda v: _Symmetric.apply(v, apply)


@lru_cache(maxsize=16)
def _stencils(
    level: int, cells: bytes | None, n_steps: int, dtype: torch.dtype, device: torch.device
) -> list[Stencils]:
    """The engine's coarseners of a grid and of the next ones."""
    numbers = None if cells is None else np.frombuffer(cells, np.int64)
    spec = SphereSpec(level, numbers, "meridian", Morlet(), 1, 1, dtype, device)
    levels = [Stencils(spec, level, numbers, "meridian")] if n_steps else []
    while len(levels) < n_steps:
        levels.append(levels[-1].coarser())
    return levels


class _Symmetric(torch.autograd.Function):
    """A symmetric linear map."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, apply: Map) -> Tensor:
        ctx.map = apply
        return apply(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return ctx.map(gradients[0]), None
