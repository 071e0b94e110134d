"""Minimization of a loss of fields, on one level of resolution."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from . import interrupt

Array = np.ndarray[Any, np.dtype[Any]]
Tensor = torch.Tensor
Loss = Callable[[Tensor], Tensor]

_PAIRS = (10, 40)  # of steps and gradients that L-BFGS remembers, at least and at most
_PAIR_VALUES = 5 * 2**16  # numbers in the steps it remembers, if that is between the two
_STALL = 20  # evaluations at most in one line search


@dataclass
class Outcome:
    """The best fields that were found, and how the search went."""

    fields: Any
    """(B, cells), a tensor during the search and a float64 array at its end."""
    history: list[float] = field(default_factory=list)
    """Loss at the start and after each iteration."""
    best: float = np.inf
    reason: str = ""
    """"tolerance", "max_iter", "stalled", "interrupted" or "not_finite"."""


class _Enough(Exception):
    """The loss is below the tolerance."""


class _Stalled(Exception):
    """An iteration brought nothing."""


class _Interrupted(Exception):
    """Another search, or a handler of signals, was told to stop."""


class NotFinite(ValueError):
    """The loss or its gradient has no finite value."""


class Losses:
    """Sum of losses that have names."""

    def __init__(self, parts: Mapping[str, Loss]):
        self.parts = parts

    def __call__(self, fields: Tensor) -> Tensor:
        first, *others = (part(fields) for part in self.parts.values())
        return sum(others, first)

    def culprit(self, fields: Tensor) -> str:
        """What is not finite, and in which way."""
        for name, part in self.parts.items():
            x = fields.detach().requires_grad_()
            value = part(x)
            if not torch.isfinite(value):
                return f"{name} is {value.item()}"
            (gradient,) = torch.autograd.grad(value, x, allow_unused=True)
            if gradient is not None and not torch.isfinite(gradient).all():
                return f"the gradient of {name} is not finite"
        return "the loss is not finite"


class Search:
    """A loss as a function of the changes of some fields.

    Parameters
    ----------
    loss : Losses
        Scalar tensor from fields (B, cells).
    start : (B, cells)
        Where to begin; frozen cells keep these values.
    free : (cells,) bool, optional
        Cells that may move. Default: all.
    dtype, device
        Precision and device of the fields.
    target : float
        Stop when the loss is below this.
    notify : callable, optional
        Called with the loss after each iteration.
    precondition : callable, optional
        Symmetric linear map of changes (B, cells), see `precondition`.
    """

    def __init__(
        self,
        loss: Losses,
        start: Array,
        free: Array | None,
        *,
        dtype: torch.dtype,
        device: torch.device,
        target: float,
        notify: Callable[[float], None] | None = None,
        precondition: Callable[[Tensor], Tensor] | None = None,
    ):
        self.loss, self.target, self.notify = loss, target, notify
        self.precondition = precondition
        self.base = torch.as_tensor(start, dtype=dtype, device=device)
        everywhere = free is None or bool(free.all())
        self.free = None if everywhere else torch.as_tensor(free, device=device)
        self.outcome = Outcome(np.array(start, dtype=float))
        self._current = np.inf

    def fields(self, x: Tensor) -> Tensor:
        """Fields (B, cells) that belong to the vector x of the search."""
        change = x.view_as(self.base)
        if self.precondition is not None:
            change = self.precondition(change)
        if self.free is not None:
            change = torch.where(self.free, change, 0)
        return self.base + change

    def start(self) -> Tensor:
        """The vector at the beginning."""
        return torch.zeros_like(self.base).flatten()

    def anew(self) -> Tensor:
        """Make the best fields the beginning."""
        self.base = torch.as_tensor(self.outcome.fields).to(self.base)
        return self.start()

    def evaluate(self, x: Tensor) -> tuple[float, Tensor]:
        """Loss and gradient; remembers the best."""
        if interrupt.requested():
            raise _Interrupted
        x = x.detach().requires_grad_()
        fields = self.fields(x)
        value = self.loss(fields)
        (gradient,) = torch.autograd.grad(value, x)
        self._current = value.item()
        if not (np.isfinite(self._current) and bool(torch.isfinite(gradient).all())):
            raise NotFinite(self.loss.culprit(fields))
        if self._current < self.outcome.best:
            self.outcome.best = self._current
            self.outcome.fields = fields.detach()
        if not self.outcome.history:
            self.outcome.history.append(self._current)
        if self._current <= self.target:
            self._finished_iteration()
            raise _Enough
        return self._current, gradient

    def _finished_iteration(self, *_: Any) -> None:
        self.outcome.history.append(self.outcome.best)
        if self.notify is not None:
            self.notify(self.outcome.best)


def minimize(search: Search, max_iter: int, optimizer: str = "lbfgs") -> Outcome:
    """Run L-BFGS: SciPy's on the CPU, torch's on other devices, where fields stay.

    A line search that fails, in single precision mostly, or that comes where the loss is not
    finite, is begun anew from the best fields. A loss that is not finite at the start is an error.
    """
    outcome = search.outcome
    try:
        outcome.reason = _attempts(search, max_iter, optimizer)
    except _Enough:
        outcome.reason = "tolerance"
    except _Interrupted:
        outcome.reason = "interrupted"
    except KeyboardInterrupt:
        interrupt.caught()
        outcome.reason = "interrupted"
    outcome.history = outcome.history or [np.nan]
    outcome.fields = torch.as_tensor(outcome.fields).double().cpu().numpy()
    return outcome


def _attempts(search: Search, max_iter: int, optimizer: str) -> str:
    """Try, and begin anew, as long as it brings something; why it ended."""
    history = search.outcome.history
    on_cpu = search.base.device.type == "cpu"
    run = _scipy if optimizer == "scipy" or (optimizer == "lbfgs" and on_cpu) else _torch
    x, attempts, broken = search.start(), 0, None
    while (left := max_iter + 1 - max(1, len(history))) > 0 and attempts < 3:
        before, broken = len(history), None
        try:
            x = run(search, x, left)
        except NotFinite as error:
            if not history:
                raise
            x, broken = search.anew(), error
        gained = len(history) - max(before, 1)
        attempts = attempts + 1 if gained < _STALL else 1
    if broken is None:
        return "max_iter" if left <= 0 else "stalled"
    warnings.warn(f"the search ended at the best fields before {broken}", stacklevel=2)
    return "not_finite"


def _memory(x: Tensor) -> int:
    """Number of pairs to remember: many speed up the search, but not that of large fields."""
    least, most = _PAIRS
    return max(least, min(most, _PAIR_VALUES // x.numel()))


def _scipy(search: Search, x: Tensor, max_iter: int) -> Tensor:
    from scipy.optimize import minimize as scipy_minimize

    def function(values: Array) -> tuple[float, Array]:
        loss, gradient = search.evaluate(torch.as_tensor(values, dtype=x.dtype))
        return loss, gradient.double().numpy()

    options = {"maxiter": max_iter, "maxfun": 10 * max_iter + 20, "maxcor": _memory(x)}
    result = scipy_minimize(
        function,
        x.double().numpy(),
        jac=True,
        method="L-BFGS-B",
        callback=search._finished_iteration,
        options=options | {"ftol": 0.0, "gtol": 0.0, "maxls": _STALL},
    )
    return torch.as_tensor(result.x, dtype=x.dtype)


def _torch(search: Search, x: Tensor, max_iter: int) -> Tensor:
    best = x.clone()
    x = x.clone().requires_grad_()
    solver = torch.optim.LBFGS(
        [x],
        max_iter=max_iter,
        max_eval=10 * max_iter + 20,
        history_size=_memory(x),
        tolerance_grad=0,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )
    finished, reached = 0, np.inf

    def finish(n: int) -> None:
        """There is no callback: that an iteration is over is seen from the number of the next."""
        nonlocal finished, reached
        if finished < n:
            finished = n
            search._finished_iteration()
            if search.outcome.best >= reached:
                raise _Stalled
            reached = search.outcome.best

    def closure() -> float:
        finish(solver.state[x].get("n_iter", 0) - 1)
        loss, x.grad = search.evaluate(x)
        if loss == search.outcome.best:
            best.copy_(x.detach())
        return loss

    with suppress(_Stalled):
        solver.step(closure)
        finish(solver.state[x]["n_iter"])
    return best
