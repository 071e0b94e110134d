"""Gaps filled with the statistics of their surroundings.

Coefficients of wavelets that are centered in a gap are compared with those that are centered around
it, in one and the same field: first filled smoothly. So land and borders cut both in the same way,
and a field that is not the same everywhere is compared with what is near.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ..engine.moments import column_groups
from .harmonic import edges
from .multiscale import Level, coarsened
from .objective import Domain, Layout, StatisticsLoss, design, measure
from .records import Constraint, Maps, Task
from .start import Amplitude, centers
from .task import Batch

Array = np.ndarray[Any, np.dtype[Any]]

_START = 0.1  # amplitude of the noise in the start, which makes realizations differ
_TINY = 1e-6  # weight of a cell that is there but should not count


class Filling(Batch):
    """Some fillings of the gaps of one map."""

    def __init__(self, maps: Maps, task: Task, index: int, members: range, mean: float, std: float):
        super().__init__(maps, task, index, members, mean, std)
        assert maps.update is not None
        assert isinstance(maps.target, np.ndarray)
        level, exists = self.levels[0], self.valid[0]
        if self.reference is not None:
            exists = exists & ~np.isnan(self.reference[0])
        exists = exists & (maps.update | ~np.isnan(maps.target))  # or else masked
        near = closeness(maps.update, exists, level, 2.0**task.parameters.J)
        around = np.where(maps.update, _TINY * near, near)
        self.near, self.around = (
            [np.nan_to_num(w) for w in coarsened(self.levels, np.where(exists, x, np.nan))]
            for x in (near, around)
        )

    def _guess(self, k: int, amplitude: Amplitude, attempt: int) -> Array:
        finest = amplitude(centers(self.levels[k])[:1])
        return super()._guess(k, amplitude, attempt) + _START * finest * self._noise(k)

    def _loss(self, k: int, engine: Any) -> StatisticsLoss:
        constraint, minimum = self.task.constraint, self.task.parameters.min_coverage
        assert self.initial is not None
        fields = np.nan_to_num(self.initial[k]).reshape(1, -1)
        if self.reference is not None:
            fields = np.concatenate([self._finite_reference(k)[None], fields])
        whole = weighted_domain(engine, self.near[k], minimum)
        part = weighted_domain(engine, self.around[k], minimum)
        stacked = torch.as_tensor(fields[None], dtype=engine.spec.dtype, device=engine.spec.device)
        with torch.no_grad():
            second = constraint.second_layer
            z, variance = measure(engine, stacked, part, second, variance=True)
        assert variance is not None
        layout = Layout(engine.spec.J, engine.spec.L, len(fields), second)
        scale = torch.as_tensor(new_share(whole, part, layout) * balance(layout, constraint))
        error = variance[0] * scale.to(variance.device)
        other = None if self.reference is None else stacked[0, 0]
        return StatisticsLoss(engine, whole, constraint, z[0], error, other)


def closeness(gap: Array, exists: Array, level: Level, reach: float) -> Array:
    """Weights (cells,): 1 far inside of gaps, falling off around them; 0 where nothing exists.

    This is the solution w of ``w - reach² Δw = gap``, which falls as e^(-d / reach) at the distance
    d, in cells, from a straight rim.
    """
    from scipy import sparse
    from scipy.sparse.linalg import cg

    rows, columns = edges(level.grid, level.periodic)
    use = exists[rows] & exists[columns]
    links = sparse.csr_array((np.ones(use.sum()), (rows[use], columns[use])), (gap.size, gap.size))
    laplacian = sparse.diags_array(links.sum(1)) - links
    # sum of dx² over the neighbors, halved: 8 of them have 12, 4 or 2 of them have 2 each way
    step = 3 if level.grid.kind == "healpix" else 1
    matrix = sparse.eye_array(gap.size) + reach**2 / step * laplacian
    w, _ = cg(matrix.tocsr(), gap.astype(float), rtol=1e-4)
    return np.where(exists, np.maximum(w, _TINY), 0)


def weighted_domain(engine: Any, weights: Array, min_coverage: float) -> Domain:
    """Domain of the cells of nonzero weight."""
    w = torch.as_tensor(weights, dtype=torch.float64, device=engine.spec.device)
    return Domain(w.to(engine.spec.dtype), engine.coverage(w[None], min_coverage))


def new_share(whole: Domain, part: Domain, layout: Layout) -> Array:
    """Share (N,) of the weight of each moment that belongs to the whole but not to its part.

    A mean over n coefficients and the mean over all but a share f of them differ by a random
    number whose variance is f times that of the latter.
    """
    share = np.empty(layout.size)
    a, b = whole.coverage, part.coverage
    assert a is not None
    assert b is not None
    share[layout.S0] = 1 - float(part.weights.sum() / whole.weights.sum())
    for j in range(layout.J):
        first = _share(a.first[j].double().sum(), b.first[j].double().sum())
        share[layout.modulus[j]] = share[layout.power[j]] = first
        if layout.gram:
            valid = [c.rows[j][0].double() for c in (a, b)]
            pairs = [(v * c.weights[j][0]) @ v.mT for v, c in zip(valid, (a, b), strict=True)]
            group = column_groups(layout.gram[j].shape[2], 1, layout.L).numpy()
            by_group = _share(*pairs)[group][:, group]
            share[layout.gram[j]] = by_group[None, None, :, None, :, None]
    return share


def _share(whole: torch.Tensor, part: torch.Tensor) -> Array:
    return (1 - part / whole.clamp_min(1e-300)).clamp_min(0).cpu().numpy()


def balance(layout: Layout, constraint: Constraint) -> Array:
    """Factors (N,) for variances that make S0, S1, ... weigh alike in the loss."""
    last = layout.n_fields - 1
    pairs = {(last, last), *([(0, 1), (1, 0)] if last else [])}
    factor = np.ones(layout.size)
    counts = {
        name: design(layout, replace(constraint, statistics=(name,)), [(last, last)])[1]
        for name in constraint.statistics
    }
    total = sum(counts.values())
    for name, count in counts.items():
        for f, g in pairs:
            if f != g and name in ("S0", "S1"):
                continue
            for positions, _ in layout.parts(name, f, g):
                factor[positions] = count * len(counts) / total
    return factor
