"""Components of a mixture, level by level."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from ..engine.scattering import moments
from ..terms import Pixels, Statistics
from .multiscale import coarsened, filled
from .objective import make_domain
from .optimize import Outcome
from .records import Task
from .solve import Stage, solve
from .task import Context, prepared

Array = np.ndarray[Any, np.dtype[Any]]


def solve_mixture(
    mixture: xr.DataArray,
    components: Mapping[str, Any],
    task: Task,
    sigma: float | xr.DataArray | None,
    uncorrelated: bool,
) -> tuple[Array, list[Outcome]]:
    """Fields (component, *shape) in the units of the mixture, and how they were found."""
    grid, levels = task.grid, task.levels
    cells = grid.arrange(np.asarray(mixture.values, float).reshape(-1, *grid.shape))[0]
    std = float(np.nanstd(cells))
    data = filled(levels, coarsened(levels, cells / std))
    valid = [~np.isnan(x) for x in data]
    names = list(components)

    def stage(k: int, engine: Any) -> Stage:
        context = Context(k, levels, engine, valid[k], 0.0, std)
        total = context.tensor(np.nan_to_num(data[k]))[None]
        losses = [_component_loss(components[name], context) for name in names]
        between = _uncorrelated(context, uncorrelated)
        noise = None if sigma is None else Pixels(mixture, sigma).prepare(context)

        def loss(fields: Any) -> Any:
            parts = _with_rest(fields, total) if sigma is None else fields
            value = sum(f(parts[i : i + 1]) for i, f in enumerate(losses))
            if noise is not None:
                value = value + noise(parts.sum(0, keepdim=True))
            return value + between(parts)

        def begin(coarser: Array | None, attempt: int = 0) -> Array:
            if coarser is not None:
                fine = np.nan_to_num(data[k] - levels[k].refine(levels[k].coarsen(data[k])))
                return coarser + fine / len(names)
            share = np.nan_to_num(data[k]) / len(names)
            return np.repeat(share[None], len(names) - (sigma is None), 0)

        return Stage(loss, begin)

    free = [None] * len(levels)
    solution = solve(levels, stage, free, task.settings)
    fields = solution.fields
    if sigma is None:
        fields = np.concatenate([fields, (data[0] - fields.sum(0))[None]])
    fields = np.where(valid[0], fields * std, np.nan)
    return grid.restore(fields), solution.outcomes


def _with_rest(fields: Any, total: Any) -> Any:
    import torch

    return torch.cat([fields, total - fields.sum(0, keepdim=True)])


def _component_loss(wanted: Any, context: Context) -> Callable[[Any], Any]:
    """Loss of one component (1, cells)."""
    if isinstance(wanted, xr.DataArray):
        wanted = Statistics(wanted)
    terms = wanted if isinstance(wanted, list | tuple) else [wanted]
    functions = [prepared(term, context) for term in terms]
    return lambda field: sum(f(field) for f in functions)


def _uncorrelated(context: Context, wanted: bool) -> Callable[[Any], Any]:
    """Loss that asks for no correlation between the components, scale by scale."""
    if not wanted:
        return lambda parts: 0.0

    parameters = context.level.parameters
    domain = make_domain(context.engine, context.valid, parameters.min_coverage)

    def loss(parts: Any) -> Any:
        m = moments(context.engine, parts[None], domain.coverage, second_layer=False)
        value = parts.new_zeros(())
        for power in m.power:
            auto = power[0, 0].real.diagonal().T  # (component, l)
            norm = (auto[:, None] * auto[None]).clamp_min(1e-30)
            square = (power[0, 0].real ** 2 + power[0, 0].imag ** 2) / norm
            off = square.sum() - square.diagonal().sum()
            value = value + off
        return value

    return loss
