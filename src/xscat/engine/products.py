"""Gram matrices of filtered columns, and their gradient in closed form.

Real and imaginary parts A, B of all columns filtered by one wavelet are one matrix X = [A B], a row
for each stencil. All products are in X^T X: G = A^T A + B^T B + i (B^T A - A^T B). For a loss with
the gradients H and K to the real and imaginary part of G, with H' = H + H^T and K' = K - K^T,

    dX = X [[H', -K'], [K', H']]
"""

from __future__ import annotations

from typing import Any

import torch

Tensor = torch.Tensor


class _Gram(torch.autograd.Function):
    """Sums of products of the rows of the filtered columns, (batch, l, C, C)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, operator: Any, n_batch: int) -> Tensor:
        ctx.operator = operator
        X = _joined(operator.pairs @ x, operator, n_batch)
        products = (X.mT @ X).unflatten(-1, (2, operator.copies, -1))
        products = products.unflatten(-4, (2, operator.copies, -1)).diagonal(dim1=-5, dim2=-2)
        products = products.sum(-1)  # (batch, l, part, C, part, C)
        AA, BB = products[:, :, 0, :, 0], products[:, :, 1, :, 1]
        G = torch.complex(AA + BB, products[:, :, 1, :, 0] - products[:, :, 0, :, 1])
        ctx.rows = X if ctx.needs_input_grad[0] else None
        return G

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        G, operator = gradients[0], ctx.operator
        H, K = G.real + G.real.mT, G.imag - G.imag.mT
        blocks = torch.cat([torch.cat([H, -K], -1), torch.cat([K, H], -1)], -2)
        blocks = blocks.unflatten(-1, (2, 1, -1)).unflatten(-4, (2, 1, -1))
        same = torch.eye(operator.copies, dtype=H.dtype, device=H.device)
        blocks = (blocks * same[:, None, None, :, None]).flatten(-3).flatten(-4, -2)
        return operator.pairs_transposed @ _split(ctx.rows @ blocks, operator), None, None


class _Pairs(torch.autograd.Function):
    """Real and imaginary parts (l, n, part, columns) of filtered columns."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, operator: Any) -> Tensor:
        ctx.operator = operator
        return (operator.pairs @ x).view(operator.n_pairs, -1, 2, x.shape[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        gradient = gradients[0].reshape(-1, gradients[0].shape[-1])
        return ctx.operator.pairs_transposed @ gradient, None


def _joined(y: Tensor, operator: Any, n_batch: int) -> Tensor:
    """(l n 2, copies batch C) → (batch, l, n, 2 copies C), without a copy if the batch is 1."""
    y = y.view(
        operator.n_pairs, -1, 2, operator.copies, n_batch, y.shape[1] // operator.copies // n_batch
    )
    return y.permute(4, 0, 1, 2, 3, 5).flatten(3)


def _split(X: Tensor, operator: Any) -> Tensor:
    """Inverse of `_joined`."""
    X = X.unflatten(-1, (2, operator.copies, -1)).permute(1, 2, 3, 4, 0, 5)
    return X.reshape(X.shape[0] * X.shape[1] * 2, -1)


def filtered_pairs(state: Tensor, operator: Any) -> tuple[Tensor, Tensor]:
    """Real and imaginary parts (l, cells, ...) of a state (cells, ...) filtered by all pairs."""
    y = _Pairs.apply(operator.with_halo(state), operator)
    real, imag = (y[:, :, part].reshape(len(y), -1, *state.shape[1:]) for part in (0, 1))
    return real, imag


def filtered_gram(state: Tensor, operator: Any) -> Tensor:
    """Sums over cells of the products of the columns of a state filtered by pairs of matrices.

    Parameters
    ----------
    state : (cells, batch, ...) tensor
        Columns; the last axes together are the C columns.
    operator : Operator
        Matrices of the real and imaginary parts in turn.

    Returns
    -------
    (batch, pairs, C, C) complex
    """
    return _Gram.apply(operator.with_halo(state.flatten(2)), operator, state.shape[1])


def block_grams(state: Tensor, operator: Any, n_blocks: int) -> Tensor:
    """The sums of `filtered_gram` over each of n_blocks stretches of stencils and of the copies.

    Returns
    -------
    (n_blocks copies, batch, pairs, C, C) complex
    """
    x = operator.with_halo(state.flatten(2))
    X = _joined(operator.pairs @ x, operator, state.shape[1]).unflatten(-2, (n_blocks, -1))
    X = X.unflatten(-1, (2, operator.copies, -1))  # (batch, l, block, n, part, copy, C)
    A, B = X.permute(4, 2, 5, 0, 1, 6, 3).flatten(1, 2)
    cross = B @ A.mT
    return torch.complex(A @ A.mT + B @ B.mT, cross - cross.mT)
