"""From coarse to fine: one field, or one batch of realizations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..engine.cache import transforms
from .multiscale import Level
from .optimize import Loss, Outcome, Search, minimize
from .precondition import preconditioner
from .records import Settings

Array = np.ndarray[Any, np.dtype[Any]]

COARSE_TOL = 0.1  # a level that is only a start for the next one need not be better


@dataclass(frozen=True)
class Stage:
    """What is searched for at one level."""

    loss: Loss
    begin: Callable[[Array | None], Array]
    """First guess (B, cells), given the refined result of the coarser level or None."""
    power: Array | None = None
    """Power of each scale in what is searched for, to precondition the search."""


@dataclass
class Solution:
    """Fields and how they were found; lists go from the coarsest to the finest level."""

    fields: Array
    outcomes: list[Outcome] = field(default_factory=list)


def engine_of(level: Level, settings: Settings) -> Any:
    """Transforms of a level."""
    spec = level.grid.spec(level.parameters, settings.dtype, settings.device)
    return transforms(spec, settings.memory)


def solve(
    levels: Sequence[Level],
    stage: Callable[[int, Any], Stage],
    valid: Sequence[Array],
    free: Sequence[Array | None],
    settings: Settings,
) -> Solution:
    """Minimize level after level, each beginning with the result of the coarser one.

    Parameters
    ----------
    levels : sequence of Level
        The finest first.
    stage : callable
        What to do at a level, given its number and its engine.
    valid, free : sequences of (cells,) bool
        Per level: cells that exist, and cells that may move (None: all).
    """
    import torch

    solution = Solution(np.empty(0))
    refined, interrupted = None, False
    with Bar(len(levels), settings) as bar:
        for k in reversed(range(len(levels))):
            if interrupted and refined is not None:
                solution.fields = refined
                solution.outcomes.append(Outcome(refined, [np.nan], np.nan, "interrupted"))
            else:
                current = stage(k, engine_of(levels[k], settings))
                like = torch.empty(0, dtype=getattr(torch, settings.dtype), device=settings.device)
                search = Search(
                    current.loss,
                    current.begin(refined),
                    free[k],
                    dtype=like.dtype,
                    device=like.device,
                    target=(settings.tol if k == 0 else max(settings.tol, COARSE_TOL)) ** 2,
                    notify=bar.notifier(k),
                    precondition=_preconditioner(levels[k], current.power, like),
                )
                outcome = minimize(search, settings.max_iter, settings.optimizer)
                interrupted = outcome.reason == "interrupted"
                solution.outcomes.append(outcome)
                solution.fields = outcome.fields
            if k > 0:
                known = np.where(valid[k], solution.fields, np.nan)
                refined = levels[k - 1].refine(known)
    return solution


def _preconditioner(level: Level, power: Array | None, like: Any) -> Any:
    if power is None:
        return None
    grid = level.grid
    xi = 2 * np.pi * getattr(grid, "step", 1) / grid.wavelength(level.parameters, 0)
    return preconditioner(grid, power, xi, like)


class Bar:
    """Progress bar with the loss, if there is a terminal and tqdm is installed."""

    def __init__(self, n_levels: int, settings: Settings):
        self.settings, self.bar = settings, None
        if settings.progress is False:
            return
        try:
            from tqdm.auto import tqdm
        except ImportError:
            return
        disable = None if settings.progress is None else False
        self.bar = tqdm(total=n_levels * settings.max_iter, disable=disable, leave=False)

    def notifier(self, level: int) -> Callable[[float], None]:
        """Function that is told the loss of each iteration of a level."""
        iteration = 0

        def notify(loss: float) -> None:
            nonlocal iteration
            iteration += 1
            if self.bar is not None:
                self.bar.update()
                self.bar.set_postfix(level=level, rms=f"{loss**0.5:.3g}", refresh=False)
            if self.settings.callback is not None:
                self.settings.callback(level, iteration, loss)

        return notify

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.close()
