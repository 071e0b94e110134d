"""Weighted means, medians and Gram matrices: every statistic is one of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from .wavelets import Array

Tensor = torch.Tensor


@dataclass(frozen=True)
class Pass:
    """Sets of valid cells whose moments one pass over the wavelets gives."""

    members: list[int]
    """Which of the sets."""
    spec: Any
    """Specification of the transforms."""
    rows: list[Array | slice]
    """Cells that these are of, for each of the sets."""


class Coverage(Protocol):
    """Which coefficients count, for each of R sets of weights. Lists go over the scales."""

    @property
    def field(self) -> Tensor:
        """(R, ...): weights of the cells."""

    @property
    def first(self) -> list[Tensor]:
        """(R, P): weights of the coefficients of the first layer, 0 where one does not count."""

    @property
    def rows(self) -> list[Tensor]:
        """(R, 1 + scales, P): 1 where a filtered column of each group counts."""

    @property
    def weights(self) -> list[Tensor]:
        """(R, P): weights of the filtered columns."""


def column_groups(n_columns: int, n_fields: int, L: int) -> Tensor:
    """Validity group of each column of a state: 0 for the field, 1 + j for the moduli of scale j.

    Columns are [W, U[0, 0], U[0, 1], ..., U[j, L-1]], the same for each field.
    """
    groups = torch.cat([torch.zeros(1, dtype=torch.long), 1 + torch.arange(n_columns - 1) // L])
    return groups.repeat(n_fields)


def centered(x: Tensor, valid: Tensor, dim: int) -> Tensor:
    """X minus the mean of the valid elements along *dim*, 0 in place of the others.

    To a wavelet, whose sum is zero, missing elements are then as good as the mean of the others,
    and so are those beyond the edge of a map.
    """
    total = torch.where(valid, x, 0).sum(dim, keepdim=True)
    return torch.where(valid, x - total / valid.sum(dim, keepdim=True).clamp_min(1), 0)


def weighted_mean(x: Tensor, weights: Tensor | None) -> Tensor:
    """Means of x (..., P) under weights (R, P): shape (R, ...), NaN where all weigh 0."""
    if weights is None:
        return x.mean(-1)[None]
    total = weights.sum(1).view(-1, *[1] * (x.ndim - 1))
    return ratio(torch.stack([x @ w.to(x.dtype) for w in weights]), total)


def median(x: Tensor, weights: Tensor | None) -> Tensor:
    """Medians of x (..., P) over the cells of nonzero weight, real and imaginary part apart."""
    if x.is_complex():
        return torch.complex(median(x.real, weights), median(x.imag, weights))
    if weights is None:
        return x.median(-1).values[None]
    return torch.stack([x.masked_fill(w == 0, torch.nan).nanmedian(-1).values for w in weights])


def gram(
    real: Tensor, imag: Tensor, even: Tensor | None = None, odd: Tensor | None = None
) -> Tensor:
    """Gram matrices ``sum_p rows_a conj(rows_b)`` of rows (..., C, P) given as two real tensors.

    The P terms of the real part are weighted by *even*, those of the imaginary part by *odd*.
    """
    odd = even if odd is None else odd
    left = (real, imag) if even is None else (real * even, imag * even)
    cross = (imag if odd is None else imag * odd) @ real.mT
    return torch.complex(left[0] @ real.mT + left[1] @ imag.mT, cross - cross.mT)


def mean_products(
    real: Tensor, imag: Tensor, valid: Tensor | None, weights: Tensor | None
) -> Tensor:
    """Means of the products of rows over the cells where both are valid.

    Parameters
    ----------
    real, imag : (B, C, P)
        Rows.
    valid : (R, C, P), optional
        1 where a row counts, else 0. Default: everywhere.
    weights : (R, P), optional
        Weight of each cell.

    Returns
    -------
    (R, B, C, C) complex
        ``sum_p w valid_a valid_b rows_a conj(rows_b) / sum_p w valid_a valid_b``
    """
    if valid is None or weights is None:
        return gram(real, imag)[None] / real.shape[-1]
    sets = zip(valid, weights, strict=True)
    return torch.stack([ratio(gram(real * v, imag * v, w), (v * w) @ v.mT) for v, w in sets])


def ratio(total: Tensor, weight: Tensor) -> Tensor:
    """Total over weight, NaN with a gradient of 0 where nothing weighs."""
    some = weight > 0
    nan = complex("nan+nanj") if total.is_complex() else torch.nan
    return torch.where(some, total / torch.where(some, weight, 1), nan)


def median_products(
    real: Tensor, imag: Tensor, valid: Tensor | None, weights: Tensor | None
) -> Tensor:
    """Medians of the products of rows, as `mean_products`."""
    rows = torch.complex(real, imag)
    if valid is None or weights is None:
        return torch.stack([median(row[:, None] * rows.conj(), None) for row in rows.unbind(1)], 2)
    result = []
    for v, w in zip(valid, weights, strict=True):
        counted = v * w > 0
        masked = rows.masked_fill(~counted, torch.nan)
        products = (row[:, None] * masked.conj() for row in masked.unbind(1))
        result.append(torch.stack([_nanmedian(z) for z in products], 1))
    return torch.stack(result)


def _nanmedian(z: Tensor) -> Tensor:
    return torch.complex(z.real.nanmedian(-1).values, z.imag.nanmedian(-1).values)


def block_products(
    real: Tensor, imag: Tensor, valid: Tensor | None, weights: Tensor
) -> tuple[Tensor, Tensor]:
    """Means of the products of rows, and the variances of these means, from blocks of cells.

    Blocks of neighbors are nearly independent, however strongly cells are correlated within them,
    so their scatter gives the error of the mean.

    Parameters
    ----------
    real, imag : (B, C, blocks, P)
        Rows.
    valid : (R, C, blocks, P), optional
        1 where a row counts, else 0. Default: everywhere.
    weights : (R, blocks, P)
        Weight of each cell; 1, or 0 beyond the field, if *valid* is not given.

    Returns
    -------
    mean, variance : (R, B, C, C) complex and real
    """
    real, imag = real.transpose(-3, -2), imag.transpose(-3, -2)
    if valid is None:
        count = weights[0].sum(-1)[:, None, None]
        mean, variance = _ratio_of_blocks(gram(real, imag), count, -3)
        return mean[None], variance[None]
    result = []
    for v, w in zip(valid.transpose(-3, -2), weights[..., None, :], strict=True):
        result.append(_ratio_of_blocks(gram(real * v, imag * v, w), (v * w) @ v.mT, -3))
    means, variances = zip(*result, strict=True)
    return torch.stack(means), torch.stack(variances)


def block_means(x: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Means of x (..., blocks, P) under weights (R, blocks, P), and the variances of the means."""
    result = []
    for w in weights:
        total = (x * w).sum(-1)
        result.append(_ratio_of_blocks(total, w.sum(-1), -1))
    means, variances = zip(*result, strict=True)
    return torch.stack(means), torch.stack(variances)


def mean_of_blocks(means: Tensor) -> tuple[Tensor, Tensor]:
    """Mean of the means over equal blocks (blocks, ...), and its variance."""
    n, mean = len(means), means.mean(0)
    return mean, abs2(means - mean).sum(0) / (n * (n - 1))


def _ratio_of_blocks(total: Tensor, weight: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Sum of totals over sum of weights along the blocks, and its variance.

    The variance is that of a ratio estimator: ``n / (n - 1) sum |total - mean weight|² / (sum
    weight)²``, n blocks of nonzero weight; NaN where there is only one.
    """
    mean = ratio(total.sum(dim), weight.sum(dim))
    n = (weight > 0).sum(dim)
    residual = abs2(total - mean.unsqueeze(dim) * weight).sum(dim)
    known = weight.sum(dim) ** 2 * (n > 1)
    return mean, ratio(residual * n / (n - 1).clamp_min(1), known)


def border_loss(radius: float) -> float:
    """Mean distance, in one direction, of cells that an envelope of this radius correlates."""
    return math.sqrt(2 / math.pi) * radius / 3


def abs2(x: Tensor) -> Tensor:
    """Squared modulus."""
    return x.real**2 + x.imag**2 if x.is_complex() else x**2
