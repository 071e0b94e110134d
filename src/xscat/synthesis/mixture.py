"""Components of a mixture, level by level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from itertools import combinations
from typing import Any

import numpy as np
import torch

from ..terms import Statistics, pixels_loss
from .denoising import amplified
from .filling import balance
from .multiscale import coarsened, filled
from .objective import Layout, StatisticsLoss, least_variance, make_domain, measure
from .optimize import Loss, Losses, Outcome
from .records import Constraint, Task
from .solve import Stage, solve
from .start import Amplitude
from .task import Context, named_terms

Array = np.ndarray[Any, np.dtype[Any]]
Tensor = torch.Tensor

_CROSS = ("S2", "S3", "S4")


def solve_mixture(
    mixture: Array,
    components: Mapping[str, Sequence[Any]],
    task: Task,
    sigma: float | Array | None,
    cross: str | None,
    number: int = 0,
) -> tuple[Array, list[Outcome]]:
    """Fields (component, *shape) in the units of the mixture (*shape), and how they were found."""
    grid, levels = task.grid, task.levels
    cells = grid.arrange(np.asarray(mixture, float).reshape(-1, *grid.shape))[0]
    std = float(np.nanstd(cells))
    data = filled(levels, coarsened(levels, cells / std))
    valid = [~np.isnan(x) for x in data]

    def stage(k: int, engine: Any) -> Stage:
        context = Context(k, levels, engine, valid[k], 0.0, std, task.frame, number)
        total = context.tensor(np.nan_to_num(data[k]))[None]
        targets = [_target(terms, context) for terms in components.values()]
        losses = _component_losses(components, context)
        if cross is not None:
            for pair in _pairs(targets):
                a, b = (list(components)[i] for i in pair)
                between = _between(pair, targets, context, total, cross)
                losses[f"the cross statistics of {a!r} and {b!r}"] = between
        if sigma is not None:
            noise = pixels_loss(context, mixture, sigma)
            losses["the difference to the mixture"] = lambda u: noise(u.sum(0, keepdim=True))
        power = np.stack([_power(t, context) for t in targets])
        means = [0.0 if t is None else float(t.nanmean()) for t in targets]

        def of_all(loss: Loss) -> Loss:
            return lambda u: loss(_with_rest(u, total) if sigma is None else u)

        def begin(coarser: Array | None, attempt: int = 0) -> Array:
            share = power / (power.sum(0) + (0 if sigma is None else _noise_power(sigma, context)))
            rest = total - sum(means)
            parts = [
                mean + amplified(levels[k], gains, rest)[0].cpu().numpy()
                for mean, gains in zip(means, share, strict=True)
            ]
            guess = np.stack(parts[: len(parts) - (sigma is None)])
            if coarser is not None:
                guess = coarser + guess - levels[k].refine(levels[k].coarsen(guess))
            return np.where(valid[k], guess, 0)

        typical = np.exp(np.log(power).mean(0)) * 4.0 ** np.arange(power.shape[1])
        loss = Losses({name: of_all(part) for name, part in losses.items()})
        return Stage(loss, begin, Amplitude.of_scales(levels[k], np.sqrt(typical)))

    solution = solve(levels, stage, [None] * len(levels), task.settings)
    fields = solution.fields
    if sigma is None:
        fields = np.concatenate([fields, (data[0] - fields.sum(0))[None]])
    fields = np.where(valid[0], fields * std, np.nan)
    return grid.restore(fields), solution.outcomes


def _with_rest(fields: Tensor, total: Tensor) -> Tensor:
    return torch.cat([fields, total - fields.sum(0, keepdim=True)])


def _pairs(components: Sequence[Any]) -> list[tuple[int, int]]:
    return list(combinations(range(len(components)), 2))


def _target(terms: Sequence[Any], context: Context) -> Tensor | None:
    """Target (1, cells) of the statistics of a component, if there is one."""
    fields = [t.target for t in terms if isinstance(t, Statistics)]
    return context.tensor(context.field(fields[0])) if fields else None


def _component_losses(components: Mapping[str, Sequence[Any]], context: Context) -> dict[str, Loss]:
    """Losses of the components (component, cells), by name."""
    losses: dict[str, Loss] = {}
    for i, (component, terms) in enumerate(components.items()):
        named = named_terms(f"components[{component!r}]", terms, context)
        losses |= {name: _of_component(term, i) for name, term in named.items()}
    return losses


def _of_component(term: Loss, i: int) -> Loss:
    return lambda parts: term(parts[i : i + 1])


def _moments(fields: Sequence[Tensor], context: Context, second_layer: bool) -> tuple[Any, Any]:
    """Vector z of fields (1, cells) on the cells where all have values, and the domain."""
    valid = ~torch.stack([torch.isnan(f[0]) for f in fields]).any(0).cpu().numpy()
    minimum = context.level.parameters.min_coverage
    domain = make_domain(context.engine, context.valid & valid, minimum)
    stacked = torch.nan_to_num(torch.cat(list(fields)))[None]
    with torch.no_grad():
        return measure(context.engine, stacked, domain, second_layer)[0][0], domain


def _power(target: Tensor | None, context: Context) -> Array:
    """Mean power of each scale (J,); 1 if it is not known."""
    spec = context.engine.spec
    if target is None:
        return np.ones(spec.J)
    z, _ = _moments([target], context, second_layer=False)
    positions = np.stack([p[0, 0, :, 0] for p in Layout(spec.J, spec.L, 1, False).power])
    return np.maximum(z.cpu().numpy()[positions].mean(1), 1e-12)


def _noise_power(sigma: float | Array, context: Context) -> Array:
    """Power of each scale (J,) of white noise."""
    std = np.sqrt(np.nanmean(np.square(sigma)) / context.cells_per_cell) / context.std
    draw = np.random.default_rng(0).standard_normal((1, len(context.valid)))
    return _power(context.tensor(std * draw), context)


def _between(
    pair: tuple[int, int],
    targets: Sequence[Tensor | None],
    context: Context,
    total: Tensor,
    cross: str,
) -> Loss:
    """Loss of the cross statistics of two components, in units of errors of unrelated fields.

    The errors follow from the powers of the targets, or of the mixture where there is no target.
    """
    fields = [total if (t := targets[i]) is None else t for i in pair]
    engine = context.engine
    z, domain = _moments(fields, context, second_layer=True)
    layout = Layout(engine.spec.J, engine.spec.L, 2, True)
    constraint = Constraint(_CROSS)
    variance = least_variance(z.cpu().numpy(), layout, domain) * balance(layout, constraint)
    wanted = z if cross == "targets" else torch.where(torch.isnan(z), z, 0)
    core = StatisticsLoss(
        engine,
        make_domain(engine, context.valid, context.level.parameters.min_coverage),
        constraint,
        wanted,
        torch.as_tensor(variance, device=z.device),
        total[0],
        ((0, 1), (1, 0)),
    )
    first, second = pair

    def loss(parts: Tensor) -> Tensor:
        moving = copy(core)
        moving.reference = parts[first]
        return moving(parts[second : second + 1])

    return loss
