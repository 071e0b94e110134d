"""Further losses for `xscat.synthesize`.

A term is any callable ``term(fields, context)`` that returns a scalar tensor. ``fields`` are the
standardized fields (realization, cells) of one level of resolution, in the order of the engine;
``context`` tells the level, the engine and the standardization, and brings fields to the level:
``context.field(da)`` by the labels of *da* (see `xscat.synthesis.task.Context`).
A term with a method ``prepare(context)`` is asked once a level for a function of the fields alone.
The terms here have it.

Fields given to the terms here are on the cells of the result, in any order, or on more cells. With
further dimensions of the synthesized field, such as time, each map has its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
import xarray as xr

from .inputs import check_field
from .keywords import checked_class
from .parameters import STATISTICS

if TYPE_CHECKING:
    from .synthesis.records import Constraint

__all__ = ["Cross", "Histogram", "Noise", "Pixels", "PowerSpectrum", "Statistics", "Term"]

Array = np.ndarray[Any, np.dtype[Any]]
Loss = Callable[[Any], Any]


class Term(Protocol):
    """What a term offers."""

    def __call__(self, fields: Any, context: Any) -> Any:
        """Scalar tensor from fields (realization, cells)."""
        ...


class Prepared:
    """A term that is prepared once a level."""

    arrays: ClassVar[tuple[str, ...]]
    """Its fields: matched by label with that of the synthesis, an array of one map in `prepare`."""
    weight: float

    def __post_init__(self) -> None:
        """Arguments are checked; sentinels in the arrays are missing values."""
        from .synthesis.arguments import check_term

        check_term(self)
        for name, value in vars(self).items():
            if isinstance(value, xr.DataArray):
                object.__setattr__(self, name, check_field(value, name))

    def prepare(self, context: Any) -> Loss:
        """The term as a function of fields (realization, cells) on one level."""
        raise TypeError(f"{type(self).__name__} must define prepare()")

    def __call__(self, fields: Any, context: Any) -> Any:
        return self.prepare(context)(fields)


@checked_class
@dataclass(frozen=True, eq=False)
class Statistics(Prepared):
    """Mean of ``|Φ(u) - Φ(target)|² / σ²`` over the statistics of a target field.

    S0, S1, ... weigh alike, however many numbers each of them has.

    Parameters
    ----------
    target : DataArray
        A field on the grid of the synthesis; missing cells do not count.
    statistics : sequence of str
        Which of S0..S4.
    weight : float, default 1
        Factor of the loss.
    reduction : {None, "iso_mean", "fft_ang"}
        Compare reduced statistics; *nharm* as in `xscat.fft_ang`.
    use_variance : bool, default True
        Divide by the error bars.
    """

    target: xr.DataArray
    statistics: Sequence[str] = STATISTICS
    weight: float = 1.0
    reduction: str | None = None
    nharm: int = 1
    use_variance: bool = True

    arrays = ("target",)

    def prepare(self, context: Any) -> Loss:
        return _weighted(self.weight, _loss(_wanted(self), context, context.field(self.target)[0]))


@checked_class
@dataclass(frozen=True, eq=False)
class Cross(Prepared):
    """Cross statistics of a template with the field, to be those with a target.

    Parameters
    ----------
    template : DataArray
        A second field on the same grid, standardized by itself.
    target : DataArray, optional
        Match the cross statistics of the template with it. Default: they shall be zero, in units of
        their error bars for unrelated fields.
    statistics : sequence of str
        Which of S2, S3, S4.
    weight : float, default 1
        Factor of the loss.
    """

    template: xr.DataArray
    target: xr.DataArray | None = None
    statistics: Sequence[str] = ("S2", "S3", "S4")
    weight: float = 1.0
    reduction: str | None = None
    nharm: int = 1
    use_variance: bool = True

    arrays = ("template", "target")

    def prepare(self, context: Any) -> Loss:
        template = context.field(self.template, standardize=False)[0]
        template = (template - np.nanmean(template)) / np.nanstd(template)
        target = None if self.target is None else context.field(self.target)[0]
        return _weighted(self.weight, _loss(_wanted(self), context, target, template))


def _weighted(weight: float, loss: Loss) -> Loss:
    return lambda fields: weight * loss(fields)


def _wanted(term: Any, **more: Any) -> Constraint:
    """What a term asks of the statistics."""
    from .synthesis.records import Constraint

    names = tuple(n for n in STATISTICS if n in term.statistics)
    settings = ("reduction", "nharm", "use_variance")
    own = {name: getattr(term, name) for name in settings if hasattr(term, name)}
    return Constraint(names, **own, **more)


def _loss(
    constraint: Constraint, context: Any, target: Array | None, template: Array | None = None
) -> Loss:
    """Loss against a target (cells,), or of the cross statistics with a template."""
    import torch

    from .synthesis.filling import balance
    from .synthesis.objective import Layout, StatisticsLoss, make_domain, measure

    engine, coverage = context.engine, context.level.parameters.min_coverage
    unrelated = target is None
    if target is None:
        assert template is not None
        rng = np.random.default_rng(0)
        target = np.where(np.isnan(template), np.nan, rng.permutation(template))
    valid, stack = ~np.isnan(target), [target]
    if template is not None:
        valid &= ~np.isnan(template)
        stack = [template, target]
    stacked = context.tensor(np.nan_to_num(np.stack(stack)))[None]
    with torch.no_grad():
        domain = make_domain(engine, valid, coverage)
        z, variance = measure(engine, stacked, domain, constraint.second_layer, variance=True)
    assert variance is not None
    reference = None if template is None else stacked[0, 0]
    wanted = torch.zeros_like(z[0]) if unrelated else z[0]
    here = make_domain(engine, context.valid & valid, coverage)
    pairs = ((0, 0),) if template is None else ((0, 1), (1, 0))
    layout = Layout(engine.spec.J, engine.spec.L, len(stack), constraint.second_layer)
    error = variance[0] * variance.new_tensor(balance(layout, constraint))
    return StatisticsLoss(engine, here, constraint, wanted, error, reference, pairs)


@checked_class
@dataclass(frozen=True, eq=False)
class Pixels(Prepared):
    """Mean of (u - data)² / sigma² over cells: the values themselves, with an error.

    Parameters
    ----------
    data : DataArray
        Values on the grid of the synthesis; missing cells do not count.
    sigma : float or DataArray
        Standard deviation of the error, in the units of the data.
    mask : DataArray, optional
        True or 1: the cell counts.
    weight : float, default 1
        Factor of the loss.
    """

    data: xr.DataArray
    sigma: float | xr.DataArray
    mask: xr.DataArray | None = None
    weight: float = 1.0

    arrays = ("data", "sigma", "mask")

    def prepare(self, context: Any) -> Loss:
        data = context.values(self.data)
        if self.mask is not None:
            data = np.where(context.values(self.mask) > 0, data, np.nan)
        return _weighted(self.weight, pixels_loss(context, data, self.sigma))


def pixels_loss(context: Any, data: Array, sigma: float | xr.DataArray | Array) -> Loss:
    """Loss against values, with the standard deviation of their error."""
    import torch

    values = context.field(data)[0]
    if np.ndim(sigma):
        sigma = context.field(sigma, standardize=False)[0]
    else:
        sigma = np.full(values.shape, sigma)
    inverse = np.where(np.isnan(values) | ~(sigma > 0), 0, context.std / sigma)
    # a mean over 4 cells (2 on a line) has an error that is smaller
    inverse *= np.sqrt(context.cells_per_cell)
    n: int = max(1, int(np.count_nonzero(inverse)))
    wanted, inverse = context.tensor(np.nan_to_num(values)), context.tensor(inverse)

    def loss(fields: Any) -> Any:
        r = (fields - wanted) * inverse
        return torch.mean(r * r, dtype=torch.float64) * (inverse.numel() / n)

    return loss


@checked_class
@dataclass(frozen=True, eq=False)
class Noise(Prepared):
    """Statistics of the field with noise added: mean ``|<Φ(u + n)> - Φ(data)|² / σ²``.

    The mean over the noise is taken anew for each u, so it costs as many evaluations as there are
    realizations; `xscat.denoise` needs far fewer.

    Parameters
    ----------
    data : DataArray
        The noisy field.
    noise : DataArray
        Realizations of the noise along one more dimension, on the same grid. Each is used with
        both signs.
    statistics : sequence of str
        Which of S0..S4.
    weight : float, default 1
        Factor of the loss.
    """

    data: xr.DataArray
    noise: xr.DataArray
    statistics: Sequence[str] = STATISTICS
    weight: float = 1.0

    arrays = ("data", "noise")

    def prepare(self, context: Any) -> Loss:
        loss = _loss(_wanted(self, match="mean"), context, context.field(self.data)[0])
        noise = context.field(self.noise, standardize=False)
        noise = context.tensor(np.nan_to_num(np.concatenate([noise, -noise]) / context.std))

        def mean_loss(fields: Any) -> Any:
            losses = [loss(u + noise) for u in fields]
            return self.weight * sum(losses[1:], losses[0]) / len(losses)

        return mean_loss


@checked_class
@dataclass(frozen=True, eq=False)
class PowerSpectrum(Prepared):
    """Mean of (ln P(u) - ln P(target))² / sigma² over third-octave bins of wave numbers.

    Parameters
    ----------
    target : DataArray
        A field on the grid of the synthesis.
    sigma : float, default 0.02
        Error of ln P.
    weight : float, default 1
        Factor of the loss.
    """

    target: xr.DataArray
    sigma: float = 0.02
    weight: float = 1.0

    arrays = ("target",)

    def prepare(self, context: Any) -> Loss:
        import torch

        from .synthesis.spectrum import Spectrum

        power = Spectrum(context.level, context.valid, context.tensor)
        target = context.tensor(np.nan_to_num(context.field(self.target)))
        wanted = power(target).log()
        keep = torch.isfinite(wanted[0])

        def loss(fields: Any) -> Any:
            r = (power(fields).log() - wanted)[:, keep] / self.sigma
            return self.weight * (r * r).mean()

        return loss


@checked_class
@dataclass(frozen=True, eq=False)
class Histogram(Prepared):
    """Mean of (q(u) - q(target))² / sigma² over all quantiles q of the values.

    Parameters
    ----------
    target : DataArray
        A field on the grid of the synthesis.
    sigma : float, default 0.03
        Error, in standard deviations of the target of the synthesis.
    weight : float, default 1
        Factor of the loss.
    """

    target: xr.DataArray
    sigma: float = 0.03
    weight: float = 1.0

    arrays = ("target",)

    def prepare(self, context: Any) -> Loss:
        values = context.field(self.target)[0]
        values = np.sort(values[~np.isnan(values)])
        n_cells = int(np.count_nonzero(context.valid))
        ranks = (np.arange(n_cells) + 0.5) / n_cells
        wanted = np.interp(ranks, (np.arange(len(values)) + 0.5) / len(values), values)
        quantiles, valid = context.tensor(wanted), context.valid

        def loss(fields: Any) -> Any:
            cells = fields if valid.all() else fields[:, valid]
            r = (cells.sort(-1).values - quantiles) / self.sigma
            return self.weight * (r * r).mean()

        return loss
