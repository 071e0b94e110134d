"""Products of sparse matrices with many maps at once."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from scipy import sparse

from .wavelets import Array

Tensor = torch.Tensor

with warnings.catch_warnings():  # torch announces once per process that CSR is in beta
    warnings.simplefilter("ignore")
    torch.eye(2).to_sparse_csr()

# From so many columns on, sums over bags of embeddings are faster than CSR, most at multiples.
BAG_COLUMNS = 16


def to_torch(matrix: Any, dtype: torch.dtype, device: torch.device) -> Tensor:
    """CSR matrix of SciPy as one of torch."""
    return torch.sparse_csr_tensor(
        torch.as_tensor(matrix.indptr.astype(np.int32, copy=False)),
        torch.as_tensor(matrix.indices.astype(np.int32, copy=False)),
        torch.as_tensor(matrix.data, dtype=dtype),
        matrix.shape,
        device=device,
        check_invariants=False,
    )


def times(matrix: Tensor, x: Tensor) -> Tensor:
    """CSR matrix times x (n, columns)."""
    if x.shape[1] < BAG_COLUMNS or x.dtype != torch.float32 or x.device.type != "cpu":
        return matrix @ x
    columns, pointer = matrix.col_indices(), matrix.crow_indices()
    return torch.embedding_bag(x, columns, pointer, False, 0, False, matrix.values(), True)[0]


class _Product(torch.autograd.Function):
    """Some channels of an operator times x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, operator: Operator, channels: slice) -> Tensor:
        ctx.operator, ctx.channels = operator, channels
        return operator.times(x, channels)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return ctx.operator.adjoint(gradients[0].clone(), ctx.channels), None, None


class Operator:
    """A sparse matrix applied to the columns of a map, differentiable.

    Parameters
    ----------
    matrix : scipy.sparse.csr_array
        Its rows are those of all channels, one channel after the other. It acts on the rows of the
        input followed by the halo, counted in groups of *copies*.
    channels : int
        Number of channels.
    halo : (h copies,) int, optional
        Rows of the input that are appended to it.
    copies : int
        Number of consecutive rows that share a stencil.
    odd : range, optional
        Channels that change their sign in the second half of the copies.
    """

    def __init__(
        self,
        matrix: Any,
        channels: int = 1,
        *,
        halo: Array | None = None,
        copies: int = 1,
        odd: range = range(0),
        dtype: torch.dtype,
        device: torch.device,
    ):
        self.channels, self.copies, self.dtype, self.device = channels, copies, dtype, device
        self.halo = None if halo is None else torch.as_tensor(halo, device=device)
        self._odd = odd if copies > 1 else range(0)
        self._scipy = matrix
        self._parts: dict[tuple[int, int, bool], Tensor] = {}

    @property
    def nbytes(self) -> int:
        """Memory of the matrix."""
        return self._scipy.indices.nbytes + self._scipy.data.nbytes

    def _part(self, channels: slice, transposed: bool = False) -> Tensor:
        """Rows of some channels, or their transpose, made when it is asked for."""
        start, stop, _ = channels.indices(self.channels)
        key = start, stop, transposed
        if key not in self._parts:
            whole, n = self._scipy, self._scipy.shape[0] // self.channels
            pointer = whole.indptr[n * start : n * stop + 1]
            data, indices = (x[pointer[0] : pointer[-1]] for x in (whole.data, whole.indices))
            shape = n * (stop - start), whole.shape[1]
            rows = sparse.csr_array((data, indices, pointer - pointer[0]), shape)
            with torch.inference_mode(False):
                rows = rows.T.tocsr() if transposed else rows
                self._parts[key] = to_torch(rows, self.dtype, self.device)
        return self._parts[key]

    def _signed(self, y: Tensor, channels: slice) -> Tensor:
        """Change signs in y (C, n_out, columns) where copies have others than the stencil."""
        start = range(self.channels)[channels].start
        first, last = (max(0, i - start) for i in (self._odd.start, self._odd.stop))
        if first < min(last, len(y)):
            y.view(len(y), -1, 2, self.copies // 2, y.shape[-1])[first:last, :, 1].neg_()
        return y

    def times(self, x: Tensor, channels: slice = slice(None)) -> Tensor:
        """Apply the channels to x (n_in, ...): (C, n_out, ...); not differentiable."""
        columns, matrix = x.shape[1:], self._part(channels)
        x = x.reshape(len(x), -1)
        if self.halo is not None:
            x = torch.cat([x, x.index_select(0, self.halo)])
        n_columns = x.shape[1]
        y = times(matrix, x.view(matrix.shape[1], -1))
        y = self._signed(y.view(len(range(self.channels)[channels]), -1, n_columns), channels)
        return y.view(*y.shape[:2], *columns)

    def adjoint(self, y: Tensor, channels: slice = slice(None)) -> Tensor:
        """Apply the transpose to y (C, n_out, ...), which is lost: (n_in, ...)."""
        columns, matrix = y.shape[2:], self._part(channels, transposed=True)
        y = self._signed(y.contiguous().view(*y.shape[:2], -1), channels)
        x = times(matrix, y.view(matrix.shape[1], -1))
        x = x.view(matrix.shape[0] * self.copies, -1)
        if self.halo is not None:
            n = len(x) - len(self.halo)
            x = x[:n].index_add_(0, self.halo, x[n:])
        return x.view(-1, *columns)

    def __call__(self, x: Tensor, channels: slice = slice(None)) -> Tensor:
        """Apply the channels to x (n_in, ...): (C, n_out, ...)."""
        result: Tensor = _Product.apply(x, self, channels)
        return result
