"""Denoising: fields that look like the data once noise is added to them.

The search begins close to its end, with a linear filter of the data, so there is one level of
resolution only. What noise adds to the statistics of a field depends on the field. It is held fixed
while L-BFGS runs and measured anew where that ends, until the field found fulfills the condition
with the noise measured there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from scipy import sparse

from ..engine.operators import Operator
from . import interrupt
from .multiscale import Level
from .objective import Domain, Layout, design, make_domain, measure
from .optimize import Losses, Outcome
from .records import Constraint, Maps, Settings, Task
from .solve import Solution, Stage, engine_of, solve
from .start import Amplitude, filtered
from .task import STATISTICS, Context, named_terms, scale, searched

Array = np.ndarray[Any, np.dtype[Any]]
Tensor = torch.Tensor

_DRAWS = 10  # of white noise
_EPOCH = 30  # iterations with the effect of the noise held fixed
_CORRECTIONS = 4  # of the filter that gives the start
_LEAST_GAIN = 0.9  # of the loss from one measurement of the noise's effect to the next
_LEAST_VARIANCE = 1e-10  # relative to the largest: below, a statistic is zero but for rounding


def denoised(maps: Maps, task: Task, index: int) -> Solution:
    """Fields (realization, cells) in the units of the data, and how they were found."""
    mean, std = scale(maps)
    level, settings = task.levels[0], task.settings
    assert task.denoising is not None
    assert maps.initial is not None
    assert not isinstance(maps.target, Mapping)
    noise, cross = maps.noise, task.denoising.cross
    if noise is None:
        rng = np.random.default_rng([task.seed, index])
        assert task.denoising.std is not None
        noise = rng.standard_normal((_DRAWS, len(maps.valid))) * task.denoising.std
    if task.realizations > len(noise):
        raise ValueError(
            f"realizations={task.realizations}, but there are {len(noise)} of the noise: each "
            "result begins with another one"
        )
    engine = engine_of(level, settings)
    kind: dict[str, Any] = {"dtype": engine.spec.dtype, "device": engine.spec.device}

    def tensor(values: Any) -> Tensor:
        return torch.as_tensor(np.nan_to_num(values), **kind)

    domain = make_domain(engine, ~np.isnan(maps.target), task.parameters.min_coverage)
    data = tensor((maps.initial - mean) / std)
    added = tensor(np.concatenate([noise, -noise]) / std)
    context = Context(0, [level], engine, maps.valid, mean, std, task.frame, index)
    terms = named_terms("terms", task.terms, context)
    problem = Noisy(engine, domain, task.constraint, data, added, cross, terms)

    def search(members: range) -> Solution:
        noise = added[members[0]] if cross else None
        start = starting_point(problem, level, noise)
        return _search(problem, level, start, maps.valid, settings)

    parts = searched(search, [range(r, r + 1) for r in range(task.realizations)])
    fields = np.concatenate([p.fields for p in parts]) * std + mean
    return Solution(fields, [max((p.outcomes[0] for p in parts), key=lambda o: o.best)])


class Noisy:
    """How far the statistics of a field with noise are from those of the data.

    Without *cross* the condition is ``Φ(d) = <Φ(u + n)>``, the mean over realizations n of the
    noise; with it also ``Φ×(d, u) = <Φ×(u + n, u)>``. Errors are the scatter over n. S0, S1, ...
    weigh alike, however many numbers each of them has.

    Parameters
    ----------
    engine, domain
        Transforms and cells.
    constraint : Constraint
        Which statistics.
    data : (1, cells)
        Data.
    noise : (n, cells)
        Realizations of the noise, with both signs: so a field cannot cancel the noise by
        correlating with what was drawn.
    cross : bool
        Whether the cross statistics of the data and the field count.
    terms : mapping
        Further losses, by name.
    """

    def __init__(
        self,
        engine: Any,
        domain: Domain,
        constraint: Constraint,
        data: Tensor,
        noise: Tensor,
        cross: bool,
        terms: dict[str, Any] | None = None,
    ):
        self.engine, self.domain, self.constraint = engine, domain, constraint
        self.data, self.noise, self.cross, self.terms = data, noise, cross, terms or {}
        blocks = _blocks(engine, constraint, cross)
        self.kinds = np.repeat(np.arange(len(blocks)), [b.shape[0] for b in blocks])
        self.matrix: Any = sparse.vstack(blocks, format="csr")

    def rows(self, x: Tensor, u: Tensor) -> Tensor:
        """Statistics of x (B, cells), and their cross statistics with u, less those of u."""
        return self._operator(self.matrix)(self._moments(x, u).T.contiguous())[0]

    def _operator(self, matrix: Any) -> Operator:
        return Operator(matrix.tocsr(), dtype=torch.float64, device=self.engine.spec.device)

    def _moments(self, x: Tensor, u: Tensor) -> Tensor:
        second = self.constraint.second_layer
        if self.cross:
            stacked = torch.stack(torch.broadcast_tensors(x, u), 1)
            return measure(self.engine, stacked, self.domain, second)[0]
        own = measure(self.engine, u[:, None], self.domain, second)[0]
        if x is self.data:
            return self._of_data - own
        return measure(self.engine, x[:, None], self.domain, second)[0] - own

    @cached_property
    def _of_data(self) -> Tensor:
        with torch.no_grad():
            second = self.constraint.second_layer
            return measure(self.engine, self.data[:, None], self.domain, second)[0]

    def around(self, field: Tensor) -> Losses:
        """The loss with the effect of noise on a field (1, cells) held fixed."""
        with torch.no_grad():
            samples = torch.cat([self.rows(field + n, field) for n in self.noise], 1)
        mean, variance = samples.mean(1).cpu().numpy(), samples.var(1).cpu().numpy()
        weights = np.zeros_like(mean)
        for kind in np.unique(self.kinds):
            of_kind = self.kinds == kind
            least = _LEAST_VARIANCE * np.nanmax(variance[of_kind], initial=0)
            of_kind &= np.isfinite(mean) & (variance > least)
            weights[of_kind] = 1 / (variance[of_kind] * of_kind.sum())
        keep = weights > 0
        if not keep.any():
            raise ValueError("no statistic is finite, or the noise changes none of them")
        root = np.sqrt(weights[keep] / len(np.unique(self.kinds[keep])))
        operator = self._operator(sparse.diags_array(root) @ self.matrix[keep])
        wanted = torch.as_tensor(root * mean[keep], device=self.data.device)[:, None]

        def loss(fields: Tensor) -> Tensor:
            r = operator(self._moments(self.data, fields).T.contiguous())[0] - wanted
            return (r * r).sum() / len(fields)

        return Losses({STATISTICS: loss} | self.terms)

    def power(self, x: Tensor, y: Tensor) -> Array:
        """Mean over orientations of S2 of x with y (1, cells), scale by scale."""
        layout = Layout(self.engine.spec.J, self.engine.spec.L, 2, False)
        with torch.no_grad():
            z = measure(self.engine, torch.stack([x, y], 1), self.domain, False)[0]
        positions = np.stack([p[0, 1, :, 0] for p in layout.power])
        return z.cpu().numpy()[:, positions].mean((0, 2))


def _blocks(engine: Any, constraint: Constraint, cross: bool) -> list[Any]:
    """Rows of `Noisy.rows`, a matrix for each kind of statistics."""
    layout = Layout(engine.spec.J, engine.spec.L, 2 if cross else 1, constraint.second_layer)

    def rows(name: str, pair: tuple[int, int]) -> Any:
        return design(layout, replace(constraint, statistics=(name,)), [pair])[0]

    names = constraint.statistics
    if not cross:
        return [rows(name, (0, 0)) for name in names]
    blocks = [rows(name, (0, 0)) - rows(name, (1, 1)) for name in names]
    own = np.arange(layout.size)
    for f, g in ((0, 1), (1, 0)):
        for power in layout.power:
            own[power[f, g]] = power[1, 1]
        for gram in layout.gram:
            own[gram[:, f, :, g]] = gram[:, 1, :, 1]
        for name in (n for n in names if n not in ("S0", "S1")):
            of_pair = rows(name, (f, g)).tocoo()
            entries = (of_pair.data, (of_pair.row, own[of_pair.col]))
            blocks.append(of_pair - sparse.csr_array(entries, shape=of_pair.shape))
    return blocks


def starting_point(problem: Noisy, level: Level, noise: Tensor | None = None) -> Tensor:
    """Data filtered so that each scale has the power of the signal, (1, cells).

    Given a realization of the noise (cells,), its filtered values make up for part of the power, so
    that what was taken from the data is not correlated with the field that is left.
    """
    d = problem.data
    total = problem.power(d, d)
    draws = np.stack([problem.power(n[None], n[None]) for n in problem.noise[::2]])
    # no less than what cannot be told from none
    signal = np.maximum(total - draws.mean(0), draws.std(0))
    share = signal / np.maximum(total, signal)
    if noise is None:
        gains = np.sqrt(share)
        for _ in range(_CORRECTIONS):
            u = amplified(level, gains, d)
            gains = gains * np.sqrt(signal / problem.power(u, u))
        return amplified(level, gains, d)
    gains, others = share, np.sqrt((1 - share) * signal / draws.mean(0))
    for _ in range(_CORRECTIONS):
        u, n = amplified(level, gains, d), amplified(level, others, noise[None])
        lacking = np.maximum(signal - problem.power(u, u), 0.1 * signal)
        gains = gains * signal / np.maximum(problem.power(d, u), 0.1 * signal)
        others = others * np.sqrt(lacking / problem.power(n, n))
    return amplified(level, gains, d) + amplified(level, others, noise[None])


def amplified(level: Level, gains: Array, x: Tensor) -> Tensor:
    """Fields (B, cells) with each scale multiplied by its gain, smoothly in the wave number."""
    values = filtered(level, x.double().cpu().numpy(), Amplitude.of_scales(level, gains))
    return torch.as_tensor(values, dtype=x.dtype, device=x.device)


def _search(
    problem: Noisy, level: Level, start: Tensor, valid: Array, settings: Settings
) -> Solution:
    """Minimize, with the effect of noise measured anew until it is that on the result."""
    total = Outcome(np.where(valid, start.double().cpu().numpy(), 0))
    power = problem.power(start, start)
    amplitude = Amplitude.of_scales(level, np.sqrt(power * 4.0 ** np.arange(len(power))))
    anew = np.inf  # loss where the effect of noise was measured last
    while (left := settings.max_iter + 1 - max(1, len(total.history))) > 0:
        epoch = replace(settings, max_iter=min(left, _EPOCH))
        try:
            field = torch.as_tensor(total.fields, dtype=start.dtype, device=start.device)
            stage = Stage(problem.around(field), lambda *_, x=total.fields: x, amplitude)
            found = solve([level], lambda *_, s=stage: s, [None], epoch).outcomes[0]
        except KeyboardInterrupt:
            interrupt.caught()
            found = Outcome(total.fields, [np.nan], total.best, "interrupted")
        total.history += found.history[1:] if total.history else found.history
        total.fields, total.best = found.fields, found.best
        before, anew = anew, found.history[0]
        if anew <= settings.tol**2 or found.reason in ("stalled", "interrupted", "not_finite"):
            total.reason = found.reason
            break
        if anew > _LEAST_GAIN * before:
            total.reason = "stalled"
            break
    total.reason = total.reason or "max_iter"
    return Solution(total.fields, [total])
