"""Gram matrices of filtered columns, and their gradient in closed form.

Real and imaginary parts of the filtered moduli are matrices A, B of a row for each cell; those of
the wavelet transform W of the field are rows of a matrix. The Gram matrix of all is a linear
function of the products A^T A, B^T B, B^T A, W A, W B and W W^T.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from scipy import sparse

from .operators import to_torch

Tensor = torch.Tensor

# Matrices with fewer columns are multiplied slowly.
LEAST_COLUMNS = 16


class Powers:
    """Products of W (2, l, cells, batch, F), real and imaginary part, with itself."""

    def __init__(self, W: Tensor):
        self.shape = W.shape
        self.W = W.permute(3, 1, 0, 4, 2).flatten(2, 3).flatten(0, 1)  # (batch l, part F, cells)

    def sums(self) -> Tensor:
        """Sums over cells (batch l, (part, F, part, F))."""
        return (self.W @ self.W.mT).flatten(1)

    def gradient(self, d_sums: Tensor) -> Tensor:
        """Gradient to W, given that to the sums."""
        _, L, _, n_batch, F = self.shape
        d = d_sums.unflatten(1, (2 * F, 2 * F))
        dW = ((d + d.mT) @ self.W).view(n_batch, L, 2, F, -1)
        return dW.permute(2, 1, 4, 0, 3)


class Products:
    """Products of W (2, l, cells, batch, F) and filtered moduli Y (2 l, cells, batch, F, C).

    The first axes are real and imaginary part. Of the *copies* of a stencil, k stand side by side
    in a row of a matrix if there would be few columns.
    """

    def __init__(self, W: Tensor, Y: Tensor, copies: int):
        self.shapes = W.shape, Y.shape
        _, _, n_batch, F, C = Y.shape
        L, k = W.shape[1], copies
        while k % 2 == 0 and k * F * C >= 2 * LEAST_COLUMNS:
            k //= 2
        self.k = k
        X = Y.view(2, L, -1, k, n_batch, F * C).permute(0, 4, 1, 2, 3, 5)
        self.X = X.flatten(4).flatten(1, 2)  # (part, batch l, cells / k, k F C), Y itself if it can
        W = W.view(2, L, -1, k, n_batch, F).permute(4, 1, 0, 3, 5, 2)
        self.W = W.flatten(2, 4).flatten(0, 1)  # (batch l, part k F, cells / k)

    def sums(self) -> list[Tensor]:
        """Sums over cells of all that a Gram matrix is made of, but the powers: (batch l, n)."""
        (A, B), W = self.X, self.W
        products = [A.mT @ A, B.mT @ B, B.mT @ A, W @ A, W @ B]
        self.sizes = [p.shape[1:] for p in products]
        return [p.flatten(1) for p in products]

    def gradient(self, d_sums: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Gradients to W and Y, given those to the sums."""
        (A, B), W = self.X, self.W
        AA, _, BA, WA, WB = (d.unflatten(1, s) for d, s in zip(d_sums, self.sizes, strict=True))
        dX, H = torch.empty_like(self.X), AA + AA.mT
        torch.bmm(A, H, out=dX[0]).baddbmm_(B, BA).baddbmm_(W.mT, WA)
        torch.bmm(B, H, out=dX[1]).baddbmm_(A, BA.mT).baddbmm_(W.mT, WB)
        dW = (WA @ A.mT).baddbmm_(WB, B.mT)
        W_shape, Y_shape = self.shapes
        _, L, _, n_batch, F = W_shape
        dX = dX.view(2, n_batch, L, dX.shape[2], self.k, -1).permute(0, 2, 3, 4, 1, 5)
        dW = dW.view(n_batch, L, 2, self.k, F, -1).permute(2, 1, 5, 3, 0, 4)
        return dW.reshape(W_shape), dX.reshape(Y_shape)


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def means_of_sums(
    scales: tuple[tuple[int, int, int], ...], F: int, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Sparse matrix from sums over cells to means, for all scales, and its transpose.

    Of each scale (k, C, number of cells), the sums are those of U (F), of `Powers` and, unless C is
    0, of `Products`; the means those of U (F), the power (F, F, 1 or 2) and, unless C is 0, the
    Gram matrix (F, 1 + C, F, 1 + C, 2). All means of U come first and all Gram matrices last.
    """
    modulus, power, gram = [], [], []
    for k, C, n_cells in scales:
        full = sparse.block_diag([np.eye(F), _gram_of_products(k, F, C)], format="csr") / n_cells
        rows = F + np.arange(full.shape[0] - F).reshape(F, 1 + C, F, 1 + C, 2)
        modulus.append(full[:F])
        power.append(full[rows[:, 0, :, 0, : 1 if F == 1 else 2].ravel()])
        gram.append(full[F:] if C else full[:0])
    blocks = [sparse.block_diag(matrices) for matrices in (modulus, power, gram)]
    matrix = sparse.vstack(blocks, format="csr")
    return to_torch(matrix, dtype, device), to_torch(matrix.T.tocsr(), dtype, device)


def _gram_of_products(k: int, F: int, C: int) -> Any:
    """Sparse matrix from sums of `Powers` and `Products` to the Gram matrix (F, 1 + C) twice, 2."""
    inner, first = (k, F, C), (2, k, F)
    shapes = [(2, F, 2, F)] + [inner + inner] * 3 + [first + inner] * 2
    stops = np.cumsum([math.prod(shape) for shape in shapes])
    index = [np.arange(n - math.prod(s), n).reshape(s) for n, s in zip(stops, shapes, strict=True)]
    WW = index[0]
    AA, BB, BA = (x.diagonal(axis1=0, axis2=3) for x in index[1:4])
    WA, WB = (x.diagonal(axis1=1, axis2=3) for x in index[4:])
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
    rows = np.concatenate([np.repeat(g.ravel(), p.size // max(1, g.size)) for g, p, _ in terms])
    columns = np.concatenate([p.ravel() for _, p, _ in terms])
    signs = np.concatenate([np.full(p.size, float(sign)) for _, p, sign in terms])
    return sparse.csr_array((signs, (rows, columns)), shape=(gram.size, stops[-1]))


def block_grams(filtered: Tensor, n_blocks: int) -> Tensor:
    """Sums of the products of all columns over each of n_blocks stretches of cells.

    *filtered* are real and imaginary parts (2 l, cells, batch, C), the result is (n_blocks, batch,
    l, C, C) complex.
    """
    y = filtered.unflatten(1, (n_blocks, -1)).unflatten(0, (2, -1))
    A, B = y.permute(0, 2, 4, 1, 5, 3)
    cross = B @ A.mT
    return torch.complex(A @ A.mT + B @ B.mT, cross - cross.mT)
