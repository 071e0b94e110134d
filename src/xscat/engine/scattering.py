"""From fields to statistics: one pass from the finest to the coarsest scale, on any grid."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from .moments import (
    Coverage,
    block_means,
    block_products,
    column_groups,
    mean_of_blocks,
    mean_products,
    median,
    median_products,
    weighted_mean,
)

Tensor = torch.Tensor


class Transforms(Protocol):
    """What a grid offers. States are its own affair (see `flat`, `sphere`)."""

    spec: Any

    def coverage(self, weights: Tensor, min_coverage: float) -> Any:
        """Which coefficients count, given weights (R, cells); None if all do, and alike."""

    def within(self, coverage: Any) -> Transforms:
        """The transforms for a coverage: what follows is asked of these."""

    def start(self, fields: Tensor, coverage: Any) -> Any:
        """State of scale 0 of fields (batch, field, cells)."""

    def first(self, state: Any, j: int, coverage: Any) -> tuple[Tensor, Tensor]:
        """Coefficients W of scale j of the fields, real and imaginary (batch, field, l, P)."""

    def to_field(self, x: Tensor, j: int) -> Tensor:
        """Coefficients (..., P) of scale j on the cells of the field."""

    def append(self, state: Any, U: Tensor, j: int, coverage: Any) -> Any:
        """State with moduli of scale j (batch, field, l, P) as further columns."""

    def coarsen(self, state: Any, j: int, coverage: Any) -> Any:
        """State of scale j + 1."""

    def cascade(self, fields: Tensor, second_layer: bool, exponent: float = 1) -> Tensor | None:
        """Means over all cells (batch, N, l) of all scales, if there is a short cut to them.

        They are, of fields (batch, field, cells), those of U (field) at each scale, then of the
        products of W (field, field, 1 or 2) at each scale, then, with a second layer, of those of
        all filtered columns (field, C, field, C, 2); 1 and 2 are real and imaginary part.
        """

    def gram(self, state: Any, j: int) -> Tensor | None:
        """Means over all cells of the products of all filtered columns, if there is a short cut."""

    def block_grams(self, state: Any, j: int) -> Tensor | None:
        """The same over each of equal blocks of cells (blocks, ...), if there is a short cut."""

    def grams(self, state: Any, j: int, coverage: Any) -> Tensor | None:
        """The same (R, ...) over the coefficients that count, if there is a short cut."""

    def spans(self, j: int) -> list[slice] | None:
        """The coefficients of scale j of each of R parts that have moments of their own."""

    def rows(self, state: Any, j: int) -> Iterator[tuple[Tensor, Tensor]]:
        """For each orientation, all columns filtered at scale j, real and imaginary (B, C, P)."""

    def blocks(self, x: Tensor, j: int) -> Tensor:
        """Values (..., P) of scale j by blocks of neighboring cells (..., blocks, P), 0 beyond."""

    def block_share(self, j: int) -> float:
        """Part of the variance of a mean that the scatter of blocks shows."""


@dataclass(frozen=True)
class Moments:
    """Moments of B batches of F fields under R sets of weights, one entry per scale.

    Attributes
    ----------
    modulus : list of (R, B, F, L)
        Mean of U.
    power : list of (R, B, F, F, L) complex
        Mean of W of the first field times the conjugate of W of the second.
    gram : list of (R, B, L, F, C, F, C) complex
        At outer scale j3 and orientation l3: mean products of the filtered columns
        ``[W, U[0, 0], U[0, 1], ..., U[j3, L-1]]``.
    variance : Moments, optional
        Variances of these means, from blocks of cells.
    """

    modulus: list[Tensor]
    power: list[Tensor]
    gram: list[Tensor]
    variance: Moments | None = None


def moments(
    grid: Transforms,
    fields: Tensor,
    coverage: Coverage | None,
    *,
    second_layer: bool = True,
    variance: bool = False,
    exponent: float = 1,
    average: str = "mean",
) -> Moments:
    """Moments of fields (B, F, cells), with U = |W|^exponent, over the valid coefficients."""
    n_fields = fields.shape[1]
    grid = grid.within(coverage)
    short_cut = coverage is None and average == "mean" and not variance
    result = Moments([], [], [], Moments([], [], []) if variance else None)
    found = grid.cascade(fields, second_layer, exponent) if short_cut else None
    if found is not None:
        return _unpacked(found, n_fields, grid.spec.J, second_layer)
    state = grid.start(fields, coverage)
    for j in range(grid.spec.J):
        real, imag = grid.first(state, j, coverage)
        U = hypotenuse(real, imag)
        U = U if exponent == 1 else U**exponent
        state = grid.append(state, U, j, coverage) if second_layer else state
        gram = grid.gram(state, j) if short_cut and second_layer else None
        if gram is not None:
            _all_cells(result, U.mean(-1), gram)
        else:
            _first_layer(result, grid, j, U, _products(real, imag), coverage, average)
            if second_layer:
                _second_layer(result, grid, j, state, n_fields, coverage, average)
        if j + 1 < grid.spec.J:
            state = grid.coarsen(state, j, coverage)
    return result


def _unpacked(means: Tensor, n_fields: int, J: int, second_layer: bool) -> Moments:
    """Moments from what `Transforms.cascade` returns."""
    F, L = n_fields, means.shape[-1]
    columns = [1 + (j + 1) * L for j in range(J)] if second_layer else []
    shapes: list[tuple[int, ...]] = [(F,)] * J + [(F, F, 1 if F == 1 else 2)] * J
    shapes += [(F, C, F, C, 2) for C in columns]
    parts = means[None].split([math.prod(shape) for shape in shapes], 2)
    parts = tuple(p.unflatten(2, shape) for p, shape in zip(parts, shapes, strict=True))
    power = [p.transpose(-2, -1) for p in parts[J : 2 * J]]
    gram = [p.movedim(-1, 2).contiguous() for p in parts[2 * J :]]
    return Moments(
        list(parts[:J]),
        [p[..., 0] if F == 1 else torch.view_as_complex(p.contiguous()) for p in power],
        [torch.view_as_complex(g) for g in gram],
    )


def _all_cells(result: Moments, U: Tensor, gram: Tensor) -> None:
    """Moments of one scale from the mean of U (batch, field, l) and the Gram matrices."""
    n_fields = U.shape[1]
    gram = _by_field(gram[None], n_fields)
    power = gram[:, :, :, :, 0, :, 0].permute(0, 1, 3, 4, 2)
    result.modulus.append(U[None])
    result.power.append(power.real if n_fields == 1 else power)
    result.gram.append(gram)


def _by_field(gram: Tensor, n_fields: int) -> Tensor:
    """From all columns twice, (..., C, C), to those of each field (..., field, C, field, C)."""
    return gram.unflatten(-1, (n_fields, -1)).unflatten(-3, (n_fields, -1))


def _first_layer(
    result: Moments,
    grid: Transforms,
    j: int,
    U: Tensor,
    products: Tensor,
    coverage: Coverage | None,
    average: str,
) -> None:
    weights = None if coverage is None else coverage.first[j]
    if result.variance is None:
        center = weighted_mean if average == "mean" else median
        result.modulus.append(_in_parts(center, grid.spans(j), U, weights))
        result.power.append(_in_parts(center, grid.spans(j), products, weights))
        return
    weights = U.new_ones(1, U.shape[-1]) if weights is None else weights
    blocks = grid.blocks(weights, j)
    for x, means, variances in (
        (U, result.modulus, result.variance.modulus),
        (products, result.power, result.variance.power),
    ):
        mean, variance = block_means(grid.blocks(x, j), blocks)
        means.append(mean)
        variances.append(variance / grid.block_share(j))


def _in_parts(
    center: Callable[..., Tensor], spans: list[slice] | None, *arrays: Tensor | None
) -> Tensor:
    """Means (R, ...) of arrays (..., P), each over the coefficients of one of R parts."""
    if spans is None:
        return center(*arrays)
    parts = ([None if x is None else x[..., s] for x in arrays] for s in spans)
    return torch.cat([center(*part) for part in parts])


def _second_layer(
    result: Moments,
    grid: Transforms,
    j: int,
    state: Any,
    n_fields: int,
    coverage: Coverage | None,
    average: str,
) -> None:
    if coverage is None and average == "mean" and result.variance is not None:
        means = grid.block_grams(state, j)
        if means is not None:
            mean, variance = mean_of_blocks(means)
            variance = variance / grid.block_share(j)
            result.variance.gram.append(_by_field(variance[None], n_fields))
            result.gram.append(_by_field(mean[None], n_fields))
            return
    if coverage is not None and average == "mean" and result.variance is None:
        means = grid.grams(state, j, coverage)
        if means is not None:
            result.gram.append(_by_field(means, n_fields))
            return
    valid = weights = None
    grams, variances = [], []
    for real, imag in grid.rows(state, j):
        if coverage is not None:
            groups = column_groups(real.shape[-2] // n_fields, n_fields, grid.spec.L)
            valid, weights = coverage.rows[j][:, groups], coverage.weights[j]
        if result.variance is None:
            center = mean_products if average == "mean" else median_products
            grams.append(_in_parts(center, grid.spans(j), real, imag, valid, weights))
            continue
        w = real.new_ones(1, real.shape[-1]) if weights is None else weights
        mean, variance = block_products(
            grid.blocks(real, j),
            grid.blocks(imag, j),
            None if valid is None else grid.blocks(valid, j),
            grid.blocks(w, j),
        )
        grams.append(mean)
        variances.append(variance / grid.block_share(j))
    result.gram.append(_by_field(torch.stack(grams, 2), n_fields))
    if result.variance is not None:
        result.variance.gram.append(_by_field(torch.stack(variances, 2), n_fields))


def dense(m: Moments, J: int, L: int) -> dict[str, Tensor]:
    """Moments as arrays over all scales and orientations, NaN where they do not exist.

    Returns
    -------
    dict
        ``S1`` (R, B, F, j1, l1), ``S2`` (R, B, F, F, j1, l1), ``S3`` (R, B, F, F, j1, j2, l1, l2)
        and ``S4`` (R, B, F, F, j1, j2, j3, l1, l2, l3). In S3 the first field is the one that is
        not inside a modulus; in S4 the fields belong to (j1, l1) and (j2, l2).
    """
    result = {"S1": torch.stack(m.modulus, 3), "S2": torch.stack(m.power, 4)}
    if not m.gram:
        return result
    R, B, _, F = m.gram[0].shape[:4]
    nan = complex("nan+nanj") if m.gram[0].is_complex() else torch.nan
    S3 = m.gram[0].new_full((R, B, F, F, J, J, L, L), nan)
    S4 = m.gram[0].new_full((R, B, F, F, J, J, J, L, L, L), nan)
    for j, gram in enumerate(m.gram):
        # (R, B, l3, f, g, j1, l1) → (R, B, f, g, j1, l1, l3)
        S3_j = gram[:, :, :, :, 0, :, 1:].unflatten(-1, (j + 1, L)).permute(0, 1, 3, 4, 5, 6, 2)
        S3[:, :, :, :, : j + 1, j] = S3_j
        # (R, B, l3, f, j1, l1, g, j2, l2) → (R, B, f, g, j1, j2, l1, l2, l3)
        S4_j = gram[:, :, :, :, 1:, :, 1:].unflatten(-1, (j + 1, L)).unflatten(-4, (j + 1, L))
        S4[:, :, :, :, : j + 1, : j + 1, j] = S4_j.permute(0, 1, 3, 6, 4, 7, 5, 8, 2)
    return result | {"S3": S3, "S4": S4}


class _Hypotenuse(torch.autograd.Function):
    """Modulus, with a zero gradient where it is zero."""

    @staticmethod
    def forward(ctx: Any, real: Tensor, imag: Tensor) -> Tensor:
        modulus = (real * real).addcmul_(imag, imag).sqrt_()
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(real, imag, modulus)
        return modulus

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        real, imag, modulus = ctx.saved_tensors
        least = torch.finfo(modulus.dtype).tiny ** 0.5
        over = gradients[0] / modulus.clamp_min(least)
        return real * over, imag * over


def hypotenuse(real: Tensor, imag: Tensor) -> Tensor:
    """Modulus of a complex tensor."""
    result: Tensor = _Hypotenuse.apply(real, imag)
    return result


def _products(real: Tensor, imag: Tensor) -> Tensor:
    """W_f conj(W_g) for all pairs of fields: (batch, f, g, ...), real for a single field."""
    if real.shape[1] == 1:
        return (real * real + imag * imag)[:, :, None]
    W = torch.complex(real, imag)
    return W[:, :, None] * W[:, None].conj()
