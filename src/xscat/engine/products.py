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
        ctx.operator, ctx.n_batch, ctx.rows = operator, n_batch, []
        grams = []
        for matrix in operator.pairs:
            X = _joined(matrix @ x, operator.copies, n_batch)
            products = (X.mT @ X).unflatten(2, (2, operator.copies, -1))
            products = products.unflatten(1, (2, operator.copies, -1))
            AA, AB, BA, BB = (
                products[:, a, :, :, b].diagonal(dim1=1, dim2=3).sum(-1)
                for a in (0, 1)
                for b in (0, 1)
            )
            grams.append(torch.complex(AA + BB, BA - AB))
            if ctx.needs_input_grad[0]:
                ctx.rows.append(X)
        return torch.stack(grams, 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        G, copies = gradients[0], ctx.operator.copies
        H, K = G.real + G.real.mT, G.imag - G.imag.mT
        blocks = torch.cat([torch.cat([H, -K], -1), torch.cat([K, H], -1)], -2)
        C = H.shape[-1]
        same = torch.eye(copies, dtype=H.dtype, device=H.device)
        total = None
        for l, (X, transposed) in enumerate(
            zip(ctx.rows, ctx.operator.pairs_transposed, strict=True)
        ):
            block = blocks[:, l].reshape(-1, 2, 1, C, 2, 1, C) * same[:, None, None, :, None]
            dX = X @ block.reshape(len(X), *X.shape[-1:] * 2)
            image = transposed @ _split(dX, copies, C)
            total = image if total is None else total.add_(image)
        assert total is not None
        return total, None, None


def _joined(y: Tensor, copies: int, n_batch: int) -> Tensor:
    """(2 n, copies batch C) → (batch, n, 2 copies C), without a copy if the batch is 1."""
    y = y.view(len(y) // 2, 2, copies, n_batch, -1)
    return y.permute(3, 0, 1, 2, 4).reshape(n_batch, len(y), -1)


def _split(X: Tensor, copies: int, C: int) -> Tensor:
    """Inverse of `_joined`."""
    X = X.view(len(X), -1, 2, copies, C)
    return X.permute(1, 2, 3, 0, 4).reshape(2 * X.shape[1], -1)


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
