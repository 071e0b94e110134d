"""From coarse to fine: one field, or one batch of realizations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..engine.cache import transforms
from . import interrupt
from .multiscale import Level
from .optimize import Losses, NotFinite, Outcome, Search, minimize
from .precondition import preconditioner
from .records import Settings
from .start import Amplitude

Array = np.ndarray[Any, np.dtype[Any]]

COARSE_TOL = 0.1  # a level that is only a start for the next one need not be better
TRIAL = 60  # iterations after which the coarsest level is begun anew if it is stuck, and
STUCK = 0.3  # the rms of the residuals that tells it
_FINAL = ("interrupted", "not_finite")  # reasons for which another attempt would be in vain


@dataclass(frozen=True)
class Stage:
    """What is searched for at one level."""

    loss: Losses
    begin: Callable[[Array | None, int], Array]
    """First guess (B, cells), given the refined result of the coarser level or None, and the number
    of the attempt."""
    amplitude: Amplitude | None = None
    """How strong waves are in what is searched for, to precondition the search."""
    random: bool = False
    """Whether each attempt begins elsewhere."""
    separate: bool = False
    """Whether the loss is the mean of those of the fields."""


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
    free : sequence of (cells,) bool
        Per level: cells that may move (None: all).
    """
    solution, refined = Solution(np.empty(0)), None
    with Bar(len(levels), settings) as bar:
        for k in reversed(range(len(levels))):

            def search(k: int = k, refined: Array | None = refined) -> Outcome:
                current = stage(k, engine_of(levels[k], settings))
                search = _searcher(levels[k], current, free[k], settings, k, bar.notifier(k))
                if refined is None:
                    return _from_noise(current, search, settings.max_iter)
                return search(current.begin(refined, 0), settings.max_iter)

            outcome = _unless_interrupted(search, refined)
            solution.outcomes.append(outcome)
            solution.fields = outcome.fields
            if k > 0:
                refined = levels[k - 1].refine(solution.fields)
    return solution


def _unless_interrupted(search: Callable[[], Outcome], refined: Array | None) -> Outcome:
    """What a level finds, or what the coarser one found."""
    if refined is None:
        return search()
    if not interrupt.requested():
        try:
            return search()
        except KeyboardInterrupt:
            interrupt.caught()
    return Outcome(refined, [np.nan], np.nan, "interrupted")


Searcher = Callable[[Array, int], Outcome]


def _searcher(
    level: Level,
    stage: Stage,
    free: Array | None,
    settings: Settings,
    k: int,
    notify: Callable[[float], None],
) -> Searcher:
    """The search at a level as a function of the start and the number of iterations."""
    import torch

    like = torch.empty(0, dtype=getattr(torch, settings.dtype), device=settings.device)
    amplitude = stage.amplitude
    precondition = None if amplitude is None else preconditioner(level, amplitude, like)

    def search(start: Array, max_iter: int) -> Outcome:
        problem = Search(
            stage.loss,
            start,
            free,
            dtype=like.dtype,
            device=like.device,
            target=(max(settings.tol, COARSE_TOL) if k > 0 else settings.tol) ** 2,
            notify=notify,
            precondition=precondition,
        )
        try:
            return minimize(problem, max_iter, settings.optimizer)
        except NotFinite as error:
            raise ValueError(
                f"{error} at the start of level {k} (the resolution halved {k} times), where it "
                "has to be finite: check its arguments, and initial= if one was given"
            ) from None

    return search


def _from_noise(stage: Stage, search: Searcher, max_iter: int) -> Outcome:
    """The coarsest level, from the best of several starts where one gets stuck.

    There are few waves, and how they go together is hard to change later.
    """
    if not stage.random:
        return search(stage.begin(None, 0), max_iter)
    n_fields = len(stage.begin(None, 0))
    groups = [slice(i, i + 1) for i in range(n_fields)] if stage.separate else [slice(None)]
    outcomes: list[Outcome] = []
    for group in groups:
        if outcomes and outcomes[-1].reason == "interrupted":
            start = stage.begin(None, 0)[group]
            outcomes.append(Outcome(start, [np.inf], np.inf, "interrupted"))
        else:
            outcomes.append(_best_of(stage, group, search, max_iter))
    return joined(outcomes)


def _best_of(stage: Stage, group: slice, search: Searcher, max_iter: int) -> Outcome:
    """The best of as many attempts as it takes, gone on with, for some of the fields."""
    attempts: list[Outcome] = []
    history: list[float] = []
    while (left := max_iter + 1 - max(1, len(history))) > 0:
        found = search(stage.begin(None, len(attempts))[group], min(TRIAL, left))
        history += found.history[bool(history) :]
        attempts.append(found)
        best = min(attempts, key=lambda o: o.best)
        if best.best < STUCK**2 or found.reason in _FINAL or len(found.history) < 2:
            break
    if found.reason in _FINAL:
        best.reason = found.reason
    left = max_iter + 1 - len(history)
    if found.reason not in ("tolerance", *_FINAL) and left > 0:
        best = search(best.fields, left)
        history += best.history[1:]
    best.history = np.minimum.accumulate(history).tolist()
    return best


def joined(outcomes: Sequence[Outcome]) -> Outcome:
    """One outcome of several fields; the history is their mean, the reason that of the worst."""
    worst = max(outcomes, key=lambda o: o.best)
    length = max(len(o.history) for o in outcomes)
    padded = [o.history + o.history[-1:] * (length - len(o.history)) for o in outcomes]
    fields = np.concatenate([o.fields for o in outcomes])
    history = np.mean(padded, 0).tolist()
    return Outcome(fields, history, history[-1], worst.reason)


class Bar:
    """Progress bar with the loss, if there is a terminal and tqdm is installed."""

    def __init__(self, n_levels: int, settings: Settings):
        self.settings, self.bar = settings, None
        if settings.progress is False:
            return
        try:
            from tqdm.auto import tqdm
        except ImportError as error:
            if settings.progress:
                message = "a progress bar needs tqdm: pip install 'xscat[tutorial]'"
                raise ImportError(message) from error
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
