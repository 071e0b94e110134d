"""What a synthesis is asked to do: records that travel to the workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..grids import Grid
from ..parameters import Parameters
from .multiscale import Level, pyramid

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Constraint:
    """Which statistics are matched, and how."""

    statistics: tuple[str, ...]
    reduction: str | None = None
    nharm: int = 1
    imaginary: bool = True
    use_variance: bool = True
    match: str = "each"

    @property
    def second_layer(self) -> bool:
        """Whether S3 or S4 are among them."""
        return not {"S3", "S4"}.isdisjoint(self.statistics)


@dataclass(frozen=True)
class Settings:
    """How to search."""

    max_iter: int
    tol: float
    optimizer: str
    dtype: str
    device: str
    threads: int
    memory: int
    progress: bool | None = None
    callback: Callable[[int, int, float], None] | None = None


@dataclass(frozen=True)
class Denoising:
    """What is known of the noise besides realizations, and how it is removed."""

    std: float | None
    """Standard deviation of white noise, unless there are realizations."""
    cross: bool
    """Whether cross statistics of data and result are constrained."""


@dataclass(frozen=True)
class Task:
    """All that the synthesis of a map depends on, besides arrays."""

    grid: Grid
    """Grid of the result."""
    target_grid: Grid
    parameters: Parameters
    constraint: Constraint
    settings: Settings
    steps: int
    seed: int
    realizations: int
    gaussianize: bool
    terms: tuple[Any, ...] = ()
    denoising: Denoising | None = None
    filling: bool = False
    """Whether the cells that may change are gaps, to become like their surroundings."""
    frame: Any = None
    """Labels of the result, where terms may ask for them."""

    @property
    def levels(self) -> list[Level]:
        """Levels of the result, the finest first."""
        return pyramid(Level(self.grid, self.parameters), self.steps)

    @property
    def target_levels(self) -> list[Level]:
        """As many levels of the target."""
        return pyramid(Level(self.target_grid, self.parameters), len(self.levels))


@dataclass(frozen=True)
class Maps:
    """Arrays (cells,) of one map in the engine's order; (1 or realization, cells) the start."""

    target: Array | Mapping[str, Array]
    """Values, NaN where they do not count, or arrays of statistics."""
    valid: Array
    """Cells of the result that exist."""
    base: Array | None = None
    """Values of the frozen cells."""
    initial: Array | None = None
    update: Array | None = None
    reference: Array | None = None
    noise: Array | None = None
    """(n, cells) realizations of the noise, to be removed."""
