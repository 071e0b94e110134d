"""Gram matrices of filtered columns, and their gradient in closed form.

Real and imaginary parts of the filtered columns are matrices A, B of a row for each cell. The Gram
matrix is ``A^T A + B^T B + i (B^T A - A^T B)``.
"""

from __future__ import annotations

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


class Products:
    """Products of filtered columns Y (2 l, cells, batch, F, C), real and then imaginary parts.

    Of the *copies* of a stencil, k stand side by side in a row of a matrix if there would be few
    columns.
    """

    def __init__(self, Y: Tensor, copies: int):
        self.shape = Y.shape
        two_l, _, n_batch, F, C = Y.shape
        k = copies
        while k % 2 == 0 and k * F * C >= 2 * LEAST_COLUMNS:
            k //= 2
        self.k = k
        X = Y.view(2, two_l // 2, -1, k, n_batch, F * C).permute(0, 4, 1, 2, 3, 5)
        self.X = X.flatten(4).flatten(1, 2)  # (part, batch l, cells / k, k F C), Y itself if it can

    def sums(self) -> list[Tensor]:
        """Sums over cells of A^T A + B^T B and of B^T A: (batch l, n)."""
        A, B = self.X.unbind()
        return [p.flatten(1) for p in ((A.mT @ A).baddbmm_(B.mT, B), B.mT @ A)]

    def gradient(self, d_sums: Sequence[Tensor]) -> Tensor:
        """Gradient to Y, given those to the sums."""
        A, B = self.X.unbind()
        even, odd = (d.unflatten(1, (A.shape[-1], -1)) for d in d_sums)
        dX, even = torch.empty_like(self.X), even + even.mT
        torch.bmm(A, even, out=dX[0]).baddbmm_(B, odd)
        torch.bmm(B, even, out=dX[1]).baddbmm_(A, odd.mT)
        two_l, _, n_batch, F, C = self.shape
        dX = dX.view(2, n_batch, two_l // 2, -1, self.k, F * C).permute(0, 2, 3, 4, 1, 5)
        return dX.reshape(self.shape)


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def means_of_sums(
    scales: tuple[tuple[int, int, int], ...], F: int, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Sparse matrix from sums over cells to means, for all scales, and its transpose.

    Of each scale (k, C, number of cells), the sums are those of U (F) and of `Products`; the means
    those of U (F), the power (F, F, 1 or 2) and, unless C is 1, the Gram matrix (F, C, F, C, 2).
    All means of U come first and all Gram matrices last.
    """
    modulus, power, gram = [], [], []
    for k, C, n_cells in scales:
        full = sparse.block_diag([np.eye(F), _gram_of_products(k, F, C)], format="csr") / n_cells
        rows = F + np.arange(full.shape[0] - F).reshape(F, C, F, C, 2)
        modulus.append(full[:F])
        power.append(full[rows[:, 0, :, 0, : 1 if F == 1 else 2].ravel()])
        gram.append(full[F:] if C > 1 else full[:0])
    blocks = [sparse.block_diag(matrices) for matrices in (modulus, power, gram)]
    matrix = sparse.vstack(blocks, format="csr")
    return to_torch(matrix, dtype, device), to_torch(matrix.T.tocsr(), dtype, device)


def _gram_of_products(k: int, F: int, C: int) -> Any:
    """Sparse matrix from sums of `Products` to the Gram matrix (F, C, F, C, 2)."""
    index = np.arange(2 * (k * F * C) ** 2).reshape(2, k, F, C, k, F, C)
    even, odd = (x.diagonal(axis1=0, axis2=3) for x in index)
    gram = np.arange(2 * (F * C) ** 2).reshape(F, C, F, C, 2)
    real, imag = np.moveaxis(gram, -1, 0)
    terms = [(real, even, 1.0), (imag, odd, 1.0), (imag.transpose(2, 3, 0, 1), odd, -1.0)]
    rows = np.concatenate([np.repeat(g.ravel(), k) for g, _, _ in terms])
    columns = np.concatenate([p.ravel() for _, p, _ in terms])
    signs = np.concatenate([np.full(p.size, sign) for _, p, sign in terms])
    return sparse.csr_array((signs, (rows, columns)), shape=(gram.size, index.size))


def block_grams(filtered: Tensor, n_blocks: int) -> Tensor:
    """Sums of the products of all columns over each of n_blocks stretches of cells.

    *filtered* are real and imaginary parts (2 l, cells, batch, C), the result is (n_blocks, batch,
    l, C, C) complex.
    """
    y = filtered.unflatten(1, (n_blocks, -1)).unflatten(0, (2, -1))
    A, B = y.permute(0, 2, 4, 1, 5, 3)
    cross = B @ A.mT
    return torch.complex(A @ A.mT + B @ B.mT, cross - cross.mT)
