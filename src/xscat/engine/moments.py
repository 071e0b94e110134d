"""Weighted means and Gram matrices: every statistic is one of the two."""

from __future__ import annotations

import torch

Tensor = torch.Tensor


def column_groups(n_columns: int, n_fields: int, L: int) -> Tensor:
    """Validity group of each column of a state: 0 for the field, 1 + j for the moduli of scale j.

    Columns are [W, U[0, 0], U[0, 1], ..., U[j, L-1]], the same for each field.
    """
    groups = torch.cat([torch.zeros(1, dtype=torch.long), 1 + torch.arange(n_columns - 1) // L])
    return groups.repeat(n_fields)


def weighted_mean(x: Tensor, weights: Tensor) -> Tensor:
    """Means of x (..., P) under several weights (R, P): shape (R, ...), NaN where all weigh 0."""
    total = weights.sum(1).view(-1, *[1] * (x.ndim - 1))
    return torch.stack([x @ w.to(x.dtype) for w in weights]) / total


def filled(x: Tensor, valid: Tensor, dim: int) -> Tensor:
    """Copy of x with the mean of the valid elements along *dim* in place of the others."""
    mean = torch.where(valid, x, 0).sum(dim, keepdim=True) / valid.sum(dim, keepdim=True).clamp_min(
        1
    )
    return torch.where(valid, x, mean)


def gram(
    real: Tensor, imag: Tensor, even: Tensor | None = None, odd: Tensor | None = None
) -> Tensor:
    """Gram matrices ``sum_p rows_a conj(rows_b)`` of rows (..., C, P) given as two real tensors.

    The P terms of the real part are weighted by *even*, those of the imaginary part by *odd*.
    """
    if odd is None:
        odd = even
    left = (real, imag) if even is None else (real * even, imag * even)
    cross = (imag if odd is None else imag * odd) @ real.mT
    return torch.complex(left[0] @ real.mT + left[1] @ imag.mT, cross - cross.mT)


def masked_gram(real: Tensor, imag: Tensor, valid: Tensor, weights: Tensor) -> Tensor:
    """Means of the products of rows over the cells where both are valid.

    Parameters
    ----------
    real, imag : (B, C, P)
        Rows.
    valid : (R, C, P)
        1 where a row counts, else 0.
    weights : (R, P)
        Weight of each cell.

    Returns
    -------
    (R, B, C, C) complex
        ``sum_p w valid_a valid_b rows_a conj(rows_b) / sum_p w valid_a valid_b``
    """
    return torch.stack(
        [
            gram(real * v, imag * v, w) / ((v * w) @ v.mT)
            for v, w in zip(valid, weights, strict=True)
        ]
    )
