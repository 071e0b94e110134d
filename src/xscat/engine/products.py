"""Gram matrices of filtered columns, and their gradient in closed form.

Real and imaginary parts of the filtered moduli are matrices A, B of a row for each cell, those of
the filtered fields, which are known, the rows of a matrix W. The Gram matrix of all is a linear
function of the products A^T A, B^T B, B^T A, W A, W B and W W^T.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from scipy import sparse

from .operators import to_torch

Tensor = torch.Tensor

# Matrices with fewer columns are multiplied slowly.
LEAST_COLUMNS = 16


class _Gram(torch.autograd.Function):
    """Sums of products of the columns [W, filtered moduli]: (batch l, (F, C, F, C, 2)).

    Of the copies of a stencil, k stand side by side in a row if there would be few columns.
    """

    @staticmethod
    def forward(ctx: Any, moduli: Tensor, real: Tensor, imag: Tensor, operator: Any) -> Tensor:
        _, n_batch, F, C = moduli.shape
        k = operator.copies
        while k % 2 == 0 and k * F * C >= 2 * LEAST_COLUMNS:
            k //= 2
        A, B = X = _rows(operator.times(moduli), operator, n_batch, k)
        W = _first_rows(real, imag, k)
        products = [A.mT @ A, B.mT @ B, B.mT @ A, W @ A, W @ B, W @ W.mT]
        to_gram, _ = _gram_of_products(k, F, C, moduli.dtype, moduli.device)
        if any(ctx.needs_input_grad):
            ctx.sizes = [p.shape[1:] for p in products]
            ctx.operator, ctx.k, ctx.shapes = operator, k, (moduli.shape, real.shape)
            ctx.rows = X, W
        return (to_gram @ torch.cat([p.flatten(1) for p in products], 1).T).T.contiguous()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        (X, W), (_, n_batch, F, C) = ctx.rows, ctx.shapes[0]
        _, to_products = _gram_of_products(ctx.k, F, C, X.dtype, X.device)
        D = (to_products @ gradients[0].T).T.contiguous()
        parts = D.split([size.numel() for size in ctx.sizes], 1)
        AA, _, BA, WA, WB, WW = (p.unflatten(1, s) for p, s in zip(parts, ctx.sizes, strict=True))
        (A, B), dX, H = X, torch.empty_like(X), AA + AA.mT
        torch.bmm(A, H, out=dX[0]).baddbmm_(B, BA).baddbmm_(W.mT, WA)
        torch.bmm(B, H, out=dX[1]).baddbmm_(A, BA.mT).baddbmm_(W.mT, WB)
        dW = ((WW + WW.mT) @ W).baddbmm_(WA, A.mT).baddbmm_(WB, B.mT)
        dmoduli = ctx.operator.transposed_times(_columns(dX, ctx.operator, n_batch, ctx.k))
        return dmoduli.view(ctx.shapes[0]), *_from_first_rows(dW, ctx.shapes[1], ctx.k), None


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def _gram_of_products(
    k: int, F: int, C: int, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Sparse matrix from the products in `_Gram` to the Gram matrix, and its transpose."""
    inner, first = (k, F, C), (2, k, F)
    shapes = [inner + inner] * 3 + [first + inner] * 2 + [first + first]
    stops = np.cumsum([math.prod(shape) for shape in shapes])
    index = [np.arange(n - math.prod(s), n).reshape(s) for n, s in zip(stops, shapes, strict=True)]
    AA, BB, BA = (x.diagonal(axis1=0, axis2=3) for x in index[:3])
    WA, WB = (x.diagonal(axis1=1, axis2=3) for x in index[3:5])
    WW = index[5].diagonal(axis1=1, axis2=4)
    gram = np.arange(2 * (F + F * C) ** 2).reshape(F, 1 + C, F, 1 + C, 2)
    real, imag = np.moveaxis(gram, -1, 0)
    terms = [
        (real[:, 1:, :, 1:], AA, 1),
        (real[:, 1:, :, 1:], BB, 1),
        (imag[:, 1:, :, 1:], BA, 1),
        (imag[:, 1:, :, 1:].transpose(2, 3, 0, 1), BA, -1),
        (real[:, 0, :, 0], WW[0, :, 0], 1),
        (real[:, 0, :, 0], WW[1, :, 1], 1),
        (imag[:, 0, :, 0], WW[1, :, 0], 1),
        (imag[:, 0, :, 0], WW[0, :, 1], -1),
    ]
    for re, im, sign in (
        (real[:, 0, :, 1:], imag[:, 0, :, 1:], 1),
        (*(x[:, 1:, :, 0].transpose(2, 0, 1) for x in (real, imag)), -1),
    ):
        terms += [(re, WA[0], 1), (re, WB[1], 1), (im, WA[1], sign), (im, WB[0], -sign)]
    rows = np.concatenate([np.repeat(g.ravel(), k) for g, _, _ in terms])
    columns = np.concatenate([p.ravel() for _, p, _ in terms])
    signs = np.concatenate([np.full(p.size, float(sign)) for _, p, sign in terms])
    matrix = sparse.csr_array((signs, (rows, columns)), shape=(gram.size, stops[-1]))
    return to_torch(matrix, dtype, device), to_torch(matrix.T.tocsr(), dtype, device)


def _rows(y: Tensor, operator: Any, n_batch: int, k: int) -> Tensor:
    """(part l n, copies batch C) → (part, batch l, n copies / k, k C), a view for one batch."""
    y = y.view(2, operator.channels // 2, -1, k, n_batch, y.shape[1] // operator.copies // n_batch)
    return y.permute(0, 4, 1, 2, 3, 5).flatten(4).flatten(1, 2)


def _columns(X: Tensor, operator: Any, n_batch: int, k: int) -> Tensor:
    """Inverse of `_rows`."""
    X = X.view(2, n_batch, operator.channels // 2, X.shape[2], k, -1).permute(0, 2, 3, 4, 1, 5)
    return X.reshape(-1, operator.copies * n_batch * X.shape[-1])


def _first_rows(real: Tensor, imag: Tensor, k: int) -> Tensor:
    """Two (batch, F, l, P) → (batch l, part k F, P / k)."""
    W = torch.stack([real, imag]).unflatten(-1, (-1, k))
    return W.permute(1, 3, 0, 5, 2, 4).flatten(2, 4).flatten(0, 1)


def _from_first_rows(W: Tensor, shape: tuple[int, ...], k: int) -> tuple[Tensor, Tensor]:
    """Inverse of `_first_rows`."""
    W = W.view(shape[0], shape[2], 2, k, shape[1], -1)
    real, imag = W.permute(2, 0, 4, 1, 5, 3).reshape(2, *shape)
    return real, imag


def filtered_gram(moduli: Tensor, real: Tensor, imag: Tensor, operator: Any) -> Tensor:
    """Sums over cells of the products of [W, filtered moduli].

    Parameters
    ----------
    moduli : (cells, batch, field, C - 1) tensor
        Columns to filter.
    real, imag : (batch, field, l, cells) tensors
        W, the filtered fields themselves.
    operator : Operator
        Its channels are the real parts of all orientations, then the imaginary parts.

    Returns
    -------
    (batch, l, field C, field C) complex
    """
    G = _Gram.apply(moduli, real, imag, operator)
    n_batch, n_fields, L, _ = real.shape
    n = n_fields * (1 + moduli.shape[-1])
    return torch.view_as_complex(G.view(n_batch, L, n, n, 2))


def block_grams(columns: Tensor, operator: Any, n_blocks: int) -> Tensor:
    """Sums of the products of all columns over each of n_blocks stretches of stencils and copies.

    *columns* are (cells, batch, C), the result is (n_blocks copies, batch, l, C, C) complex.
    """
    y = operator(columns).view(
        2, operator.channels // 2, n_blocks, -1, operator.copies, *columns.shape[1:]
    )
    A, B = y.permute(0, 2, 4, 5, 1, 6, 3).flatten(1, 2)  # (block copy, batch, l, C, n)
    cross = B @ A.mT
    return torch.complex(A @ A.mT + B @ B.mT, cross - cross.mT)
