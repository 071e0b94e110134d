"""Blocks of maps: NumPy arrays in, NumPy arrays out, in batches that fit in memory.

This is what dask runs on its workers, and what an eager call runs once.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import checked_device
from .grids import Grid
from .labels import Layout
from .parameters import Parameters
from .units import Standardized, in_units, standardized

if TYPE_CHECKING:
    from .engine.moments import Pass

Array = np.ndarray[Any, np.dtype[Any]]

# Larger temporary arrays cost more in memory traffic than a larger batch saves.
BATCH_BYTES = 2**25


@dataclass(frozen=True)
class Plan:
    """All that a block needs to know, resolved when the graph is built."""

    grid: Grid
    parameters: Parameters
    layout: Layout
    dtype: str
    device: str
    threads: int
    memory: int
    weighted: bool = False
    """Whether the last input holds weights."""


@dataclass(frozen=True)
class Batch:
    """Maps that miss the same cells and have the same weights."""

    index: Array
    """Positions in the block."""
    fields: Array
    """(B, F, cells)"""
    weights: Array
    """(R, cells), 0 where a cell is missing."""


def statistics_block(*inputs: Array, plan: Plan) -> Array | tuple[Array, ...]:
    """Variables of the layout for the maps of one block.

    A region is a mask: each has a pass of its own.

    Parameters
    ----------
    *inputs : arrays
        The field (..., [stacked,] *cells) or two of them and, if *weighted*, the weights
        (..., [regions,] *cells).
    """
    n_core = len(plan.grid.shape) + (plan.layout.stacked is not None)
    n_weights = len(plan.grid.shape) + (plan.layout.regions is not None)
    fields, weights = (inputs[:-1], inputs[-1]) if plan.weighted else (inputs, None)
    leads = [f.shape[: f.ndim - n_core] for f in fields]
    if weights is not None:
        leads.append(weights.shape[: weights.ndim - n_weights])
    lead = np.broadcast_shapes(*leads)

    def flat(x: Array, n: int) -> Array:
        core = x.shape[x.ndim - n :]
        return plan.grid.arrange(np.broadcast_to(x, (*lead, *core)).reshape(-1, *core))

    stacked = [flat(f, n_core) for f in fields]
    maps = stacked[0] if plan.layout.stacked else np.stack(stacked, 1)
    if weights is not None:
        weights = flat(weights, n_weights)
        weights = weights if plan.layout.regions else weights[:, None]
    empty, parts = Empty(), []
    for batch in batches(maps, weights, plan):
        parts.append((batch.index, batch_statistics(batch, plan, empty)))
    empty.warn()
    order = np.argsort(np.concatenate([index for index, _ in parts]))
    result = []
    for name in plan.layout.variables():
        values = np.concatenate([part[name] for _, part in parts])[order]
        values = values if plan.layout.regions else values[:, 0]
        result.append(values.reshape(*lead, *values.shape[1:]))
    return tuple(result) if len(result) > 1 else result[0]


def batches(maps: Array, weights: Array | None, plan: Plan) -> Iterator[Batch]:
    """Batches of maps (maps, fields, cells) that share their weights and fit in memory."""
    groups: dict[bytes, list[int]] = {}
    masks: dict[bytes, Array] = {}
    for i, fields in enumerate(maps):
        valid = ~np.isnan(fields).any(0) if fields.dtype.kind == "f" else np.ones(1, bool)
        mask = np.broadcast_to(valid, fields.shape[-1:])[None]
        if weights is not None:
            mask = np.where(mask & (weights[i] > 0), weights[i], 0).astype(float)
            # relative to the largest, so that their sums and squares fit in single precision
            largest = mask.max(-1, keepdims=True)
            mask = mask / np.where(largest > 0, largest, 1)
        key = np.packbits(mask).tobytes() if mask.dtype == bool else mask.tobytes()
        groups.setdefault(key, []).append(i)
        masks.setdefault(key, mask)
    n_fields, n_cells = maps.shape[1:]
    columns = 8 * (plan.parameters.L + 1) * n_fields
    bytes_per_map = n_cells * columns * np.dtype(plan.dtype).itemsize
    size = max(1, min(BATCH_BYTES, plan.memory) // bytes_per_map)
    for key, members in groups.items():
        for start in range(0, len(members), size):
            index = np.array(members[start : start + size])
            yield Batch(index, maps[index], masks[key])


def standard_fields(fields: Array, weights: Array, plan: Plan, *, center: bool) -> Standardized:
    """The fields without offset and unit, as the engine takes them."""
    together = bool(plan.parameters.spin)
    s = standardized(fields, weights, center=center, together=together)
    return replace(s, fields=s.fields.astype(plan.dtype, copy=False))


def batch_statistics(batch: Batch, plan: Plan, empty: Empty) -> dict[str, Array]:
    """Variables of the layout, (B, R, *core shape) each."""
    from .engine.threads import torch_threads

    p, layout = plan.parameters, plan.layout
    checked_device(plan.device)  # a worker may lack what is there where the graph was made
    spec = plan.grid.spec(p, plan.dtype, plan.device)
    found: dict[int, dict[str, Array]] = {}
    with torch_threads(plan.threads):
        alone = layout.variance or p.average != "mean"
        for each in spec.passes(batch.weights > 0, alone):
            found |= zip(each.members, one_pass(batch, each, plan, empty), strict=True)
    return {n: np.stack([found[i][n] for i in sorted(found)], 1) for n in layout.variables()}


def one_pass(batch: Batch, each: Pass, plan: Plan, empty: Empty) -> list[dict[str, Array]]:
    """Variables of the layout, (B, *core shape) each, for each set of cells of a pass."""
    p, layout = plan.parameters, plan.layout
    weights = [batch.weights[i][rows] for i, rows in zip(each.members, each.rows, strict=True)]
    scaled = [
        standard_fields(batch.fields[..., rows], w, plan, center=each.spec.blind_to_mean)
        for rows, w in zip(each.rows, weights, strict=True)
    ]
    means: list[dict[str, Array]] = [{}] * len(scaled)
    spreads = means
    if set(p.statistics) - {"S0"}:
        fields, w = (np.concatenate(x, -1) for x in ([s.fields for s in scaled], weights))
        means, spreads = _moments(fields, w, each.spec, plan, empty)
    result = []
    for own, mean, spread in zip(scaled, means, spreads, strict=True):
        arrays, errors = (
            {k: in_units(k, v, own.exponent, p.exponent) for k, v in x.items()}
            for x in (mean, spread)
        )
        arrays["S0"] = own.S0
        names = {v: v.removesuffix("_std") for v in layout.variables()}
        picked = {v: pick(n, arrays if v == n else errors, layout) for v, n in names.items()}
        result.append({v: finished(picked[v], n, plan) for v, n in names.items()})
    return result


def _moments(
    fields: Array, weights: Array, spec: Any, plan: Plan, empty: Empty
) -> tuple[list[dict[str, Array]], list[dict[str, Array]]]:
    """Means and their standard deviations, for each part of the cells (cells,)."""
    import torch

    from .engine.cache import coverage, transforms
    from .engine.scattering import dense, moments

    p = plan.parameters
    with torch.inference_mode():
        engine = transforms(spec, plan.memory)
        x = torch.as_tensor(fields, device=plan.device)
        w = torch.as_tensor(np.array(weights), device=plan.device)
        covered = coverage(engine, w[None], p.min_coverage, plan.memory)
        empty.add(covered, engine)
        m = moments(
            engine,
            x,
            covered,
            second_layer=not {"S3", "S4"}.isdisjoint(p.statistics),
            variance=plan.layout.variance,
            exponent=p.exponent,
            average=p.average,
        )
        means = {k: v.cpu().numpy() for k, v in dense(m, p.J, p.L).items()}
        parts = [{k: v[i] for k, v in means.items()} for i in range(len(means["S1"]))]
        if m.variance is None:
            return parts, [{}] * len(parts)
        spread = {k: v[0].sqrt().cpu().numpy() for k, v in dense(m.variance, p.J, p.L).items()}
        return parts, [spread]


def pick(name: str, arrays: dict[str, Array], layout: Layout) -> Array:
    """The part of the moments of all fields and pairs that a variable holds, (B, ...)."""
    if name == "S2_auto":
        return np.stack([arrays["S2"][:, i, i].real for i in (0, 1)], 1)
    array = arrays["S3" if name == "S3P" else name]
    if name in ("S0", "S1"):
        return array[:, 0] if layout.kind == "auto" else array
    if layout.kind == "pairs":
        return array
    if layout.kind == "modes":
        same = np.stack([array[:, i, i] for i in (0, 1)], 1)
        return same.real if name == "S2" else same
    if layout.kind == "cross":
        return array[:, 1, 0] if name == "S3P" else array[:, 0, 1]
    return array[:, 0, 0].real if name == "S2" else array[:, 0, 0]


def finished(values: Array, name: str, plan: Plan) -> Array:
    """Array (B, ...) with NaN at scales not wanted, and no l on a line."""
    layout, p = plan.layout, plan.parameters
    own = {"S3P": "S3", "S2_auto": "S2"}.get(name, name)
    if own in ("S3", "S4"):
        table = scale_table(p, ordered=layout.kind in ("auto", "modes"))
        table = table if own == "S4" else np.einsum("abb->ab", table)
        n_l = len(own_orientations(own))
        values = values.copy()
        nan = complex("nan+nanj") if np.iscomplexobj(values) else np.nan
        values[..., ~table, *[slice(None)] * n_l] = nan
    if not layout.oriented and own != "S0":
        values = values.reshape(values.shape[: values.ndim - len(own_orientations(own))])
    return values


def own_orientations(name: str) -> list[str]:
    """Orientation dimensions of a statistic."""
    from .labels import DIMS

    return [d for d in DIMS[name] if d.startswith("l")]


def scale_table(parameters: Parameters, ordered: bool) -> Array:
    """Which (j1, j2, j3) a result holds: j1, j2 <= j3, also j1 <= j2 if *ordered*, and selected."""
    j1, j2, j3 = np.ogrid[: parameters.J, : parameters.J, : parameters.J]
    table = (j1 <= j3) & (j2 <= j3) & ((j1 <= j2) | (not ordered))
    if parameters.selected is not None:
        chosen = np.zeros_like(table)
        chosen[tuple(np.array(parameters.selected, dtype=int).reshape(-1, 3).T)] = True
        table &= chosen
    return table


class Empty:
    """Scales without a single valid coefficient, in some set of weights."""

    def __init__(self) -> None:
        self.n_sets = 0
        self.first: set[int] = set()
        self.second: set[int] = set()

    def add(self, coverage: Any, engine: Any) -> None:
        """Note those of a coverage, part by part, unless it is empty itself."""
        self.n_sets += len(engine.spans(0) or [0])
        if coverage is None or not bool((coverage.field > 0).any()):
            return
        for j, (first, rows) in enumerate(zip(coverage.first, coverage.rows, strict=True)):
            for span in engine.spans(j) or [slice(None)]:
                if not bool((first[..., span] > 0).any()):
                    self.first.add(j)
                if not bool((rows[:, -1, span] > 0).any()):
                    self.second.add(j)

    def warn(self) -> None:
        """Warn once of all of them."""
        scales = ", ".join(f"j={j}" for j in sorted(self.first or self.second))
        if not scales:
            return
        what = "the statistics" if self.first else "some of S3 and S4"
        where = " in some regions" if self.n_sets > 1 else ""
        warnings.warn(
            f"no valid coefficient at scale {scales}{where}: {what} there are NaN. Too few "
            "wavelets fit between the missing cells; use a smaller J or min_coverage",
            stacklevel=2,
        )
