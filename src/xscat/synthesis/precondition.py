"""Coordinates in which all scales of a field are as easy to change.

L-BFGS moves v, the fields are u = u0 + P v. P is symmetric and amplifies each scale by the
amplitude that it has in the target.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from ..engine.sphere import Level as Stencils
from ..engine.sphere import SphereSpec
from ..engine.wavelets import Morlet
from ..grids import Grid, HealpixGrid
from .multiscale import coarser_grid

Array = np.ndarray[Any, np.dtype[Any]]
Tensor = torch.Tensor
Map = Callable[[Tensor], Tensor]

_LARGEST = 1e3


def preconditioner(grid: Grid, power: Array, xi: float, like: Tensor) -> Map | None:
    """P for fields (B, cells) of a grid, from the mean power S2 of each scale (J,).

    *xi* is the wave number of the first scale, in radians per cell. None where it would do nothing.
    """
    J = len(power)
    with np.errstate(divide="ignore", invalid="ignore"):
        gains = np.sqrt(power / power[0] * 2.0 ** np.arange(J))
    if J == 1 or not np.isfinite(gains).all() or (gains <= 0).any():
        return None
    gains = np.clip(gains, 1 / _LARGEST, _LARGEST)
    if isinstance(grid, HealpixGrid):
        return _on_sphere(grid, gains, like)
    return _on_plane(grid, gains, xi, like)


def _on_plane(grid: Any, gains: Array, xi: float, like: Tensor) -> Map:
    shape = grid.shape
    steps = [abs(s) / grid.step for s in grid.spacing]
    ks = [np.fft.fftfreq(n, step) for n, step in zip(shape, steps, strict=True)]
    ks[-1] = np.fft.rfftfreq(shape[-1], steps[-1])
    k = 2 * np.pi * np.sqrt(sum(g**2 for g in np.meshgrid(*ks, indexing="ij")))
    bands = np.log(xi) - np.log(2) * np.arange(len(gains))
    logs = np.interp(np.log(np.maximum(k, 1e-12)), bands[::-1], np.log(gains[::-1]))
    response = torch.as_tensor(np.exp(logs), dtype=like.dtype, device=like.device)
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
