"""The loss: how far the statistics of fields are from those wanted, in units of their errors.

All moments of a field stand in one vector z (see `Layout`). A statistic, reduced or not, is a real
linear function of z, so the loss is ``sum((A z - t)²) / K`` with the errors divided out of the rows
of the sparse matrix A and of the targets t.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import sparse

from ..engine.moments import Coverage, column_groups, weighted_mean
from ..engine.operators import Operator
from ..engine.scattering import Moments, moments
from .records import Constraint
from .rest import Rest

Array = np.ndarray[Any, np.dtype[Any]]
Tensor = torch.Tensor


_UNIFORM_ERROR = 0.01  # of the rms of all statistics, where these have no errors of their own


@dataclass(frozen=True)
class Domain:
    """The cells that count."""

    weights: Tensor
    """(cells,), in the order of the grid."""
    coverage: Coverage | None
    """What the engine makes of them."""


def make_domain(engine: Any, valid: Array, min_coverage: float) -> Domain:
    """Domain of the valid cells (cells,)."""
    weights = torch.as_tensor(np.asarray(valid, bool), device=engine.spec.device)
    coverage = engine.coverage(weights[None], min_coverage)
    return Domain(weights.to(engine.spec.dtype), coverage)


class Layout:
    """Positions of the moments of F fields in the vector z.

    Attributes
    ----------
    S0 : (F, 2) int
        Mean and variance.
    modulus, power, gram : lists of int arrays
        Per scale, (F, L), (F, F, L, parts) and (L, F, C, F, C, 2); the last axis is real and
        imaginary part. The power of a single field has one part. In z, orientations come last.
    """

    def __init__(self, J: int, L: int, n_fields: int, second_layer: bool):
        self.J, self.L, self.n_fields, self.size = J, L, n_fields, 0
        F, parts = n_fields, 1 if n_fields == 1 else 2
        self.S0 = self._take(F, 2)
        self.modulus = [self._take(F, L) for _ in range(J)]
        self.power = [self._take(F, F, parts, L).swapaxes(2, 3) for _ in range(J)]
        columns = [1 + (j + 1) * L for j in range(J)] if second_layer else []
        self.gram = [np.moveaxis(self._take(F, C, F, C, 2, L), -1, 0) for C in columns]

    def _take(self, *shape: int) -> Array:
        first = self.size
        self.size += math.prod(shape)
        return np.arange(first, self.size).reshape(shape)

    def parts(self, name: str, f: int, g: int) -> Iterator[tuple[Array, bool]]:
        """Positions (..., l of all orientations) of a statistic of the fields f, g, part by part.

        Scales are flattened, orientations come last. The flag tells imaginary parts.
        """
        if name == "S0":
            yield self.S0[g][:, None], False
        elif name == "S1":
            yield np.stack([m[g] for m in self.modulus]), False
        elif name == "S2":
            power = np.stack([p[f, g] for p in self.power])
            for part in range(power.shape[-1] if f != g else 1):
                yield power[..., part], part == 1
        else:
            arrays = [self._outer(name, j, f, g) for j in range(self.J)]
            stacked = np.concatenate(arrays)
            yield stacked[..., 0], False
            yield stacked[..., 1], True

    def _outer(self, name: str, j: int, f: int, g: int) -> Array:
        """S3 (j1, l1, l2, part) or S4 (pairs of scales, l1, l2, l3, part) at one outer scale."""
        gram = self.gram[j][:, f, :, g]
        if name == "S3":
            return np.moveaxis(gram[:, 0, 1:].reshape(self.L, j + 1, self.L, 2), 0, 2)
        inner = gram[:, 1:, 1:].reshape(self.L, j + 1, self.L, j + 1, self.L, 2)
        j1, j2 = np.triu_indices(j + 1) if f == g else np.indices((j + 1, j + 1)).reshape(2, -1)
        return np.moveaxis(inner[:, j1, :, j2], 1, 3)  # (pair, l3, l1, l2, 2) -> l3 behind


def measure(
    engine: Any, fields: Tensor, domain: Domain, second_layer: bool, variance: bool = False
) -> tuple[Tensor, Tensor | None]:
    """Vectors z (B, N), in float64, of fields (B, F, cells), and the variances of their entries."""
    s0 = _field_moments(fields, domain)
    means = engine.cascade(fields, second_layer) if domain.coverage is None else None
    if means is None:
        means = _joined(moments(engine, fields, domain.coverage, second_layer=second_layer))
    z = torch.cat([s0, means.flatten(1)], 1).double()
    if not variance:
        return z, None
    # short cuts give the means, to rounding, but not the variances
    spreads = moments(
        engine, fields, domain.coverage, second_layer=second_layer, variance=True
    ).variance
    assert spreads is not None
    mean, power = s0.unflatten(1, (-1, 2)).unbind(-1)
    fourth = weighted_mean((fields - mean[..., None]) ** 4, domain.weights[None])[0]
    s0 = torch.stack([power, fourth - power**2], -1).flatten(1) / domain.weights.sum()
    spread = torch.cat([s0, _joined(spreads, repeat=True)], 1).double()
    layout = Layout(engine.spec.J, engine.spec.L, fields.shape[1], second_layer)
    least = [least_variance(x.cpu().numpy(), layout, domain) for x in z]
    return z, torch.maximum(spread, torch.as_tensor(np.stack(least), device=spread.device))


def least_variance(z: Array, layout: Layout, domain: Domain) -> Array:
    """Variances of the entries of z (N,), were all coefficients independent and Gaussian.

    That is ``<|a|²> <|b|²> / n`` for a mean of n products of a and b. Error bars from the scatter
    within a map are not below unless only few coefficients are valid.
    """
    variance = np.full(layout.size, np.nan)
    variance[layout.S0] = 0
    n_cells = float((domain.weights > 0).sum())
    fields = range(layout.n_fields)
    for j in range(layout.J):
        n, groups = _counts(domain, j, n_cells, layout)
        modulus, pairs = z[layout.modulus[j]], layout.power[j]
        power = np.stack([z[pairs[f, f, :, 0]] for f in fields])
        variance[layout.modulus[j]] = (power - modulus**2).clip(0) / n
        variance[pairs] = (power[:, None] * power)[..., None] / n
        if not layout.gram:
            continue
        gram = layout.gram[j]
        own = np.stack([np.einsum("lccp->lcp", gram[:, f, :, f])[..., 0] for f in fields], 1)
        rows = z[own]
        rows[:, :, 0] = power.T
        products = rows[:, :, :, None, None] * rows[:, None, None]
        counts = np.minimum(groups[:, None], groups)[:, None]
        variance[gram] = (products / counts)[..., None]
    return variance


def _counts(domain: Domain, j: int, n_cells: float, layout: Layout) -> tuple[float, Array]:
    """Number of valid coefficients of scale j, and of each column (C,) filtered there."""
    columns = layout.gram[j].shape[2] if layout.gram else 1
    if domain.coverage is None:
        n_wavelets = max(1.0, n_cells / 4**j)
        return n_wavelets, np.full(columns, n_wavelets)
    rows = domain.coverage.rows[j]
    valid = (rows * (domain.coverage.weights[j][:, None] > 0))[0].sum(-1).cpu().numpy()
    group = column_groups(columns, 1, layout.L).numpy()
    return max(1.0, float(valid[0])), np.maximum(1, valid[group])


def _field_moments(fields: Tensor, domain: Domain) -> Tensor:
    """Means and variances (B, (F, 2)) of fields (B, F, cells)."""
    if domain.coverage is None:
        s0: Tensor = _MeanAndVariance.apply(fields)
        return s0
    weights = domain.weights
    mean = weighted_mean(fields, weights[None])[0]
    x = torch.where(weights > 0, fields - mean[..., None], 0)
    return torch.stack([mean, weighted_mean(x * x, weights[None])[0]], -1).flatten(1)


class _MeanAndVariance(torch.autograd.Function):
    """Both (B, (F, 2)) of fields (B, F, cells), with the gradient in one go."""

    @staticmethod
    def forward(ctx: Any, fields: Tensor) -> Tensor:
        variance, mean = torch.var_mean(fields, -1, correction=0)
        ctx.save_for_backward(fields, mean)
        return torch.stack([mean, variance], -1).flatten(1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        fields, mean = ctx.saved_tensors
        d = gradients[0].view(*mean.shape, 2) / fields.shape[-1]
        d_mean, slope = d[..., :1], 2 * d[..., 1:]
        return torch.addcmul(d_mean - slope * mean[..., None], fields, slope)


class _SquaredDistance(torch.autograd.Function):
    """Sum of (A z - t)² over the rows of A and vectors z (B, N)."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, matrix: Operator, wanted: Tensor) -> Tensor:
        ctx.matrix, ctx.residuals = matrix, matrix.times(z.T).sub_(wanted[:, None])
        return ctx.residuals.square().sum()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return ctx.matrix.adjoint(2 * gradients[0] * ctx.residuals).T, None, None


def _joined(m: Moments, repeat: bool = False) -> Tensor:
    """All moments in one vector; *repeat* real numbers that stand for both parts of a moment."""

    def flat(x: Tensor, n_parts: int, l_axis: int) -> Tensor:
        if x.is_complex():
            x = torch.view_as_real(x)
        elif n_parts == 2 and repeat:
            x = x[..., None].expand(*x.shape, 2)
        return x[0].movedim(l_axis, -1).flatten(1)

    pair = 1 if m.modulus[0].shape[2] == 1 else 2
    parts = [flat(x, 1, 2) for x in m.modulus]
    parts += [flat(x, pair, 3) for x in m.power]
    parts += [flat(x, 2, 1) for x in m.gram]
    return torch.cat(parts, 1)


def design(
    layout: Layout, constraint: Constraint, pairs: Sequence[tuple[int, int]]
) -> tuple[Any, int]:
    """Matrix A of the statistics of the given pairs of fields, and their number.

    Of a pair (f, g) of different fields all but S0 and S1 are taken.
    """
    blocks, count = [], 0
    for f, g in pairs:
        for name in constraint.statistics:
            if f != g and name in ("S0", "S1"):
                continue
            for positions, imaginary in layout.parts(name, f, g):
                block = _block(positions, imaginary, name, layout, constraint)
                blocks.append(block)
                count += 0 if imaginary else block.shape[0]
    return sparse.vstack(blocks, format="csr"), count


def _block(
    positions: Array, imaginary: bool, name: str, layout: Layout, constraint: Constraint
) -> Any:
    """Rows of A for one part of a statistic."""
    L = layout.L
    if constraint.reduction is None or name == "S0":
        index = positions.reshape(-1, 1)
        values = np.ones_like(index, dtype=float)
    else:
        index, sign = _relative(positions, {"S3": 1, "S4": 2}.get(name, 0), L)
        basis = _basis(L, constraint, odd=imaginary)
        values = basis[:, None] * (sign if imaginary else 1)  # (harmonic, relative, l1)
        values = np.broadcast_to(values[None], (len(index), *values.shape[:1], *index.shape[1:]))
        index = np.broadcast_to(index[:, None], values.shape)
        index, values = index.reshape(-1, L), values.reshape(-1, L)
    rows = np.repeat(np.arange(len(index)), index.shape[1])
    entries = (values.ravel(), (rows, index.ravel()))
    return sparse.csr_array(entries, shape=(len(index), layout.size))


def _relative(positions: Array, n_relative: int, L: int) -> tuple[Array, Array]:
    """Re-index (n, l1, [l2, [l3]]) to (n, relative orientations, l1), with the conjugate's sign."""
    l1 = np.arange(L)
    if n_relative == 0:
        return positions[:, None], np.ones((1, L))
    d = [x[..., None] for x in np.indices((L,) * n_relative).reshape(n_relative, -1)]
    others = tuple((l1 + x) % L for x in d)
    sign = np.where(l1 + d[-1] >= L, -1.0, 1.0)
    index: tuple[Any, ...] = (slice(None), np.broadcast_to(l1, others[0].shape), *others)
    return positions[index], sign


def _basis(L: int, constraint: Constraint, odd: bool) -> Array:
    """Mean and harmonics along l1, as `xscat.fft_ang` defines them: (harmonic, l1)."""
    rows = [np.full(L, 1 / L)]
    if constraint.reduction == "fft_ang":
        angle = 2 * np.pi * np.arange(L) / L
        for k in range(1, constraint.nharm + 1):
            turns = k - 0.5 if odd else k
            rows.append(np.cos(turns * angle))
            if constraint.imaginary and 2 * k < L:
                rows.append(np.sin(turns * angle))
    return np.stack(rows)


class StatisticsLoss:
    """Mean of |Φ(u) - Φ|² / σ² over the statistics.

    Parameters
    ----------
    engine, domain
        Transforms and cells of the fields u.
    constraint : Constraint
        Which statistics, and how they are weighted.
    target, variance : (N,) float64
        Vector z that is wanted, and the variances of its entries.
    reference : (cells,) tensor, optional
        A second field; its cross statistics with u are matched as well.
    pairs : sequence of (int, int), optional
        Whose statistics to match: 0 is the reference if there is one, the last is u.
    rest : Rest, optional
        Power at wave numbers that no wavelet sees, as further statistics.
    """

    def __init__(
        self,
        engine: Any,
        domain: Domain,
        constraint: Constraint,
        target: Tensor,
        variance: Tensor,
        reference: Tensor | None = None,
        pairs: Sequence[tuple[int, int]] | None = None,
        rest: Rest | None = None,
    ):
        self.engine, self.domain, self.constraint = engine, domain, constraint
        self.reference, self.rest = reference, rest
        n_fields = 1 if reference is None else 2
        layout = Layout(engine.spec.J, engine.spec.L, n_fields, constraint.second_layer)
        if pairs is None:
            pairs = [(0, 0)] if reference is None else [(1, 1), (0, 1), (1, 0)]
        matrix, count = design(layout, constraint, pairs)
        z, v = (x.detach().cpu().numpy() for x in (target, variance))
        usable = self._computable(layout, z) & np.isfinite(z) & np.isfinite(v)
        bad = np.asarray((abs(matrix) @ ~usable) > 0)
        var = (matrix * matrix) @ np.where(usable, v, 0)
        bad |= ~(var > 0)
        keep = ~bad
        if not keep.any():
            raise ValueError("no statistic of the target is finite: there are too few valid cells")
        sigma = np.sqrt(np.where(bad, 1, var))
        if not constraint.use_variance:
            typical = (matrix[keep] @ np.where(usable, z, 0)) ** 2
            sigma[:] = _UNIFORM_ERROR * np.sqrt(typical.mean()) or 1.0
        matrix = sparse.diags_array(1 / sigma[keep]) @ matrix[keep]
        self.n_statistics = max(1, round(count * keep.sum() / len(keep)))
        self.n_statistics += 0 if rest is None else len(rest)
        self.matrix = Operator(matrix.tocsr(), dtype=torch.float64, device=engine.spec.device)
        wanted = matrix @ np.where(usable, z, 0)
        self.wanted = torch.as_tensor(wanted, device=engine.spec.device)

    def _computable(self, layout: Layout, target: Array) -> Array:
        """Which moments have a value on the domain; and what white noise lacks to the target."""
        n_cells = len(self.domain.weights)
        noise = torch.randn(1, n_cells, dtype=self.engine.spec.dtype, generator=_generator())
        with torch.no_grad():
            z = self.measure(noise.to(self.engine.spec.device))[0].cpu().numpy()
        bands = np.stack([p[-1, -1, :, 0] for p in layout.power])
        with np.errstate(invalid="ignore", divide="ignore"):
            self.gains = np.sqrt(target[bands].mean(1) / z[bands].mean(1))
        """Factors that bring white noise to the power of the target at each scale."""
        return np.isfinite(z)

    def measure(self, fields: Tensor) -> Tensor:
        """Vectors z (B, N) of fields (B, cells)."""
        stacked = fields[:, None]
        if self.reference is not None:
            stacked = torch.stack([self.reference.expand_as(fields), fields], 1)
        return measure(self.engine, stacked, self.domain, self.constraint.second_layer)[0]

    def __call__(self, fields: Tensor) -> Tensor:
        """Loss of fields (B, cells)."""
        z, together = self.measure(fields), self.constraint.match == "mean"
        if together:
            z = z.mean(0, keepdim=True)
        total: Tensor = _SquaredDistance.apply(z, self.matrix, self.wanted)
        if self.rest is not None:
            total = total + self.rest(fields, together).square().sum()
        return total / (self.n_statistics * len(z))


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)
