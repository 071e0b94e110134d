"""Gram matrices of filtered columns, and their gradient in closed form.

Real and imaginary parts A, B of all columns filtered by one wavelet are one matrix X = [A B], a row
for each cell. All products are in X^T X: G = A^T A + B^T B + i (B^T A - A^T B). For a loss with the
gradients H and K to the real and imaginary part of G, with H' = H + H^T and K' = K - K^T,

    dX = X [[H', -K'], [K', H']]

The first column of each field is its wavelet transform W, which is known; the moduli are filtered.
"""

from __future__ import annotations

from typing import Any

import torch

Tensor = torch.Tensor

# Matrices with fewer columns are multiplied slowly.
LEAST_COLUMNS = 16


class _Gram(torch.autograd.Function):
    """Sums of products of the columns [W, filtered moduli]: (batch l, F, C, F, C) complex.

    Of the copies of a stencil, k stand side by side in a row if there would be few columns. Their
    products are the diagonal blocks.
    """

    @staticmethod
    def forward(ctx: Any, moduli: Tensor, real: Tensor, imag: Tensor, operator: Any) -> Tensor:
        _, n_batch, F, C = moduli.shape
        k = operator.copies
        while k % 2 == 0 and k * F * C >= 2 * LEAST_COLUMNS:
            k //= 2
        X, W = _rows(operator.times(moduli), operator, n_batch, k), _first_rows(real, imag, k)
        A, B = X.unbind(1)
        both = X.flatten(1, 2)
        inner = torch.stack([both.mT @ both, B.mT @ A], 1).view(len(X), 2, k, F, C, k, F, C)
        inner = inner.diagonal(dim1=2, dim2=5).sum(-1)
        cross = torch.stack([W @ A, W @ B], 2).view(len(X), 2, k, F, 2, k, F, C)
        corner = (W @ W.mT).view(len(X), 2, k, F, 2, k, F, 1)
        first = torch.cat([corner, cross], -1).diagonal(dim1=2, dim2=5).sum(-1)
        G = moduli.new_empty(len(X), F, 1 + C, F, 1 + C, 2)
        G[:, :, 1:, :, 1:, 0] = inner[:, 0]
        G[:, :, 1:, :, 1:, 1] = inner[:, 1] - inner[:, 1].permute(0, 3, 4, 1, 2)
        G[:, :, 0, :, :, 0] = first[:, 0, :, 0] + first[:, 1, :, 1]
        G[:, :, 0, :, :, 1] = first[:, 1, :, 0] - first[:, 0, :, 1]
        G = torch.view_as_complex(G)
        G[:, :, 1:, :, 0] = G[:, :, 0, :, 1:].permute(0, 2, 3, 1).conj()
        if any(ctx.needs_input_grad):
            ctx.operator, ctx.k, ctx.shapes = operator, k, (moduli.shape, real.shape)
            ctx.rows = X, W
        return G

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        (X, W), k = ctx.rows, ctx.k
        H, K = gradients[0].real, gradients[0].imag
        H, K = H + H.permute(0, 3, 4, 1, 2), K - K.permute(0, 3, 4, 1, 2)
        inner_H, inner_K = (
            _copied(g[:, :, 1:, :, 1:].flatten(3).flatten(1, 2)[:, None], k) for g in (H, K)
        )
        first = [torch.stack(pair, 1)[:, :, :, 0] for pair in ((H, K), (-K, H))]
        cross = [_copied(g[..., 1:].flatten(3), k) for g in first]
        corner = torch.cat([_copied(g[..., 0], k) for g in first], -1)
        dX = (X.flatten(1, 2) @ inner_H).view_as(X)
        for part, sign in ((0, 1), (1, -1)):
            d = dX[:, part].baddbmm_(X[:, 1 - part], inner_K, alpha=sign)
            d.baddbmm_(W.mT, cross[part])
        dW = (corner @ W).baddbmm_(cross[0], X[:, 0].mT).baddbmm_(cross[1], X[:, 1].mT)
        shape, first_shape = ctx.shapes
        dmoduli = ctx.operator.transposed_times(_columns(dX, ctx.operator, shape[1], k))
        return dmoduli.view(shape), *_from_first_rows(dW, first_shape, k), None


def _rows(y: Tensor, operator: Any, n_batch: int, k: int) -> Tensor:
    """(l part n, copies batch C) → (batch l, part, n copies / k, k C); a view if the batch is 1."""
    y = y.view(operator.channels // 2, 2, -1, k, n_batch, y.shape[1] // operator.copies // n_batch)
    return y.permute(4, 0, 1, 2, 3, 5).flatten(4).flatten(0, 1)


def _columns(X: Tensor, operator: Any, n_batch: int, k: int) -> Tensor:
    """Inverse of `_rows`."""
    X = X.unflatten(-1, (k, -1)).unflatten(0, (n_batch, -1)).permute(1, 2, 3, 4, 0, 5)
    return X.reshape(-1, operator.copies * n_batch * X.shape[-1])


def _first_rows(real: Tensor, imag: Tensor, k: int) -> Tensor:
    """Two (batch, F, l, P) → (batch l, part k F, P / k)."""
    W = torch.stack([real, imag]).unflatten(-1, (-1, k))
    return W.permute(1, 3, 0, 5, 2, 4).flatten(2, 4).flatten(0, 1)


def _from_first_rows(W: Tensor, shape: tuple[int, ...], k: int) -> tuple[Tensor, Tensor]:
    """Inverse of `_first_rows`."""
    W = W.unflatten(1, (2, k, -1)).unflatten(0, (shape[0], -1))
    real, imag = W.permute(2, 0, 4, 1, 5, 3).reshape(2, *shape)
    return real, imag


def _copied(g: Tensor, k: int) -> Tensor:
    """Blocks (n, p, a, b) as k diagonal blocks each: (n, p k a, k b)."""
    same = torch.eye(k, dtype=g.dtype, device=g.device)
    return (g[:, :, None, :, None] * same[:, None, :, None]).flatten(4).flatten(1, 3)


def filtered_gram(moduli: Tensor, real: Tensor, imag: Tensor, operator: Any) -> Tensor:
    """Sums over cells of the products of [W, filtered moduli].

    Parameters
    ----------
    moduli : (cells, batch, field, C - 1) tensor
        Columns to filter.
    real, imag : (batch, field, l, cells) tensors
        W, the filtered fields themselves.
    operator : Operator
        Its channels are real and imaginary part of each orientation in turn.

    Returns
    -------
    (batch, l, field C, field C) complex
    """
    G = _Gram.apply(moduli, real, imag, operator)
    return G.flatten(3).flatten(1, 2).unflatten(0, (len(real), -1))


def block_grams(columns: Tensor, operator: Any, n_blocks: int) -> Tensor:
    """Sums of the products of all columns over each of n_blocks stretches of stencils and copies.

    *columns* are (cells, batch, C), the result is (n_blocks copies, batch, l, C, C) complex.
    """
    y = operator(columns).view(
        operator.channels // 2, 2, n_blocks, -1, operator.copies, *columns.shape[1:]
    )
    A, B = y.permute(1, 2, 4, 5, 0, 6, 3).flatten(1, 2)  # (block copy, batch, l, C, n)
    cross = B @ A.mT
    return torch.complex(A @ A.mT + B @ B.mT, cross - cross.mT)
