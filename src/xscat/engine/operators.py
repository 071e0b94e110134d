"""Products of sparse matrices with many maps at once."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
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


class _Matrix:
    """A CSR matrix, its parts at hand."""

    def __init__(self, matrix: Any, dtype: torch.dtype, device: torch.device):
        self.shape, self.whole = matrix.shape, to_torch(matrix, dtype, device)
        self.columns, self.pointer = self.whole.col_indices(), self.whole.crow_indices()
        self.values, self.bags = (
            self.whole.values(),
            dtype == torch.float32 and device.type == "cpu",
        )

    def times(self, x: Tensor) -> Tensor:
        """The matrix times x (n, columns)."""
        if not self.bags or x.shape[1] < BAG_COLUMNS:
            return torch.mm(self.whole, x)
        bags = torch.embedding_bag(
            x, self.columns, self.pointer, False, 0, False, self.values, True
        )
        return bags[0]


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
        self._parts: dict[tuple[int | None, int | None, bool], _Matrix] = {}

    @property
    def nbytes(self) -> int:
        """Memory of the matrix."""
        return self._scipy.indices.nbytes + self._scipy.data.nbytes

    def restricted(self, outputs: Array, inputs: Array) -> Operator:
        """The operator from some rows of the input to some rows of the output, others being 0.

        All channels have to have the same nonzero elements.
        """
        matrix, n_in = self._scipy, self._scipy.shape[1] * self.copies
        stencils, copies = np.divmod(outputs, self.copies)
        n, size = matrix.shape[0] // self.channels, matrix.nnz // self.channels
        one = np.arange(size), matrix.indices[:size], matrix.indptr[: n + 1]
        chosen = sparse.csr_array(one, (n, matrix.shape[1]))[stencils]
        copy = np.repeat(copies, np.diff(chosen.indptr))
        rows = chosen.indices.astype(np.int64) * self.copies + copy
        if self.halo is not None:
            halo = self.halo.cpu().numpy()
            n_in -= len(halo)
            rows = np.concatenate([np.arange(n_in), halo])[rows]
        places = np.full(n_in, -1, np.int32)
        places[inputs] = np.arange(len(inputs), dtype=np.int32)
        columns = places[rows]
        data = matrix.data.reshape(self.channels, -1)[:, chosen.data]
        data[:, columns < 0] = 0
        data[self._odd.start : self._odd.stop, copy >= self.copies / 2] *= -1
        lengths = np.tile(np.diff(chosen.indptr), self.channels)
        pointer = np.concatenate([[0], lengths.cumsum()]).astype(np.int32)
        columns = np.tile(columns.clip(min=0), self.channels)
        shape = len(outputs) * self.channels, len(inputs)
        part = sparse.csr_array((data.ravel(), columns, pointer), shape)
        return Operator(part, self.channels, dtype=self.dtype, device=self.device)

    @classmethod
    def joined(cls, operators: Sequence[Operator]) -> Operator:
        """Operators without copies side by side: each acts on the rows of its own map."""
        first, offset = operators[0], 0
        n_channels, indices, lengths, data = first.channels, [], [], []
        for operator in operators:
            matrix = operator._scipy
            n, size = matrix.shape[0] // n_channels, matrix.nnz // n_channels
            indices.append(matrix.indices[:size] + np.int32(offset))
            lengths.append(np.diff(matrix.indptr[: n + 1]))
            data.append(matrix.data.reshape(n_channels, size))
            offset += matrix.shape[1]
        pointer = np.concatenate([[0], np.tile(np.concatenate(lengths), n_channels).cumsum()])
        columns = np.tile(np.concatenate(indices), n_channels)
        entries = np.concatenate(data, 1).ravel(), columns, pointer.astype(np.int32)
        matrix = sparse.csr_array(entries, shape=(len(pointer) - 1, offset))
        return cls(matrix, n_channels, dtype=first.dtype, device=first.device)

    def _part(self, channels: slice, transposed: bool = False) -> _Matrix:
        """Rows of some channels, or their transpose, made when it is asked for."""
        key = channels.start, channels.stop, transposed
        if key not in self._parts:
            start, stop, _ = channels.indices(self.channels)
            whole, n = self._scipy, self._scipy.shape[0] // self.channels
            pointer = whole.indptr[n * start : n * stop + 1]
            data, indices = (x[pointer[0] : pointer[-1]] for x in (whole.data, whole.indices))
            shape = n * (stop - start), whole.shape[1]
            rows = sparse.csr_array((data, indices, pointer - pointer[0]), shape)
            with torch.inference_mode(False):
                rows = rows.T.tocsr() if transposed else rows
                self._parts[key] = _Matrix(rows, self.dtype, self.device)
        return self._parts[key]

    def _signed(self, y: Tensor, channels: slice) -> Tensor:
        """Change signs in y (C, n_out, columns) where copies have others than the stencil."""
        if not self._odd:
            return y
        start = channels.start or 0
        first, last = (max(0, i - start) for i in (self._odd.start, self._odd.stop))
        n, n_out, n_columns = y.shape
        if first < min(last, n):
            half = n_columns * self.copies // 2
            rows = (min(last, n) - first) * n_out // self.copies
            offset = y.storage_offset() + first * n_out * n_columns + half
            y.as_strided((rows, half), (2 * half, 1), offset).neg_()
        return y

    def times(self, x: Tensor, channels: slice = slice(None)) -> Tensor:
        """Apply the channels to x (n_in, ...): (C, n_out, ...); not differentiable."""
        columns, matrix = x.shape[1:], self._part(channels)
        n_columns = math.prod(columns)
        x = x.reshape(-1, n_columns)
        if self.halo is not None:
            x = torch.cat([x, x.index_select(0, self.halo)])
        y = matrix.times(x.view(matrix.shape[1], -1))
        n_out = self._scipy.shape[0] // self.channels * self.copies
        return self._signed(y.view(-1, n_out, n_columns), channels).view(-1, n_out, *columns)

    def adjoint(self, y: Tensor, channels: slice = slice(None)) -> Tensor:
        """Apply the transpose to y (C, n_out, ...), which is lost: (n_in, ...)."""
        columns, matrix = y.shape[2:], self._part(channels, transposed=True)
        y = self._signed(y.contiguous().flatten(2), channels)
        x = matrix.times(y.view(matrix.shape[1], -1)).view(matrix.shape[0] * self.copies, -1)
        if self.halo is not None:
            n = len(x) - len(self.halo)
            x, beyond = x.split([n, len(self.halo)])
            x.index_add_(0, self.halo, beyond)
        return x.view(-1, *columns)

    def __call__(self, x: Tensor, channels: slice = slice(None)) -> Tensor:
        """Apply the channels to x (n_in, ...): (C, n_out, ...)."""
        result: Tensor = _Product.apply(x, self, channels)
        return result
