"""From fields to statistics: one pass from the finest to the coarsest scale, on any grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch

Tensor = torch.Tensor


class Transforms(Protocol):
    """What a grid offers. States and coverages are its own affair (see `flat`, `sphere`)."""

    spec: Any

    def coverage(self, weights: Tensor, min_coverage: float) -> Any: ...
    def start(self, fields: Tensor, coverage: Any) -> Any: ...
    def first(self, state: Any, j: int, coverage: Any) -> tuple[Tensor, Tensor]: ...
    def mean(self, x: Tensor, j: int, coverage: Any) -> Tensor: ...
    def append(self, state: Any, U: Tensor, j: int, coverage: Any) -> Any: ...
    def coarsen(self, state: Any, j: int, coverage: Any) -> Any: ...
    def gram(self, state: Any, j: int, coverage: Any) -> Tensor: ...


@dataclass(frozen=True)
class Moments:
    """Moments of B batches of F fields under R sets of weights, one entry per scale.

    Attributes
    ----------
    modulus : list of (R, B, F, L)
        Mean of U.
    power : list of (R, B, F, F, L) complex
        Mean of W of the first field times the conjugate of W of the second.
    gram : list of (R, B, L, F, C, F, C) complex
        At outer scale j3 and orientation l3: mean products of the filtered columns
        ``[W, U[0, 0], U[0, 1], ..., U[j3, L-1]]``.
    """

    modulus: list[Tensor]
    power: list[Tensor]
    gram: list[Tensor]


def moments(
    grid: Transforms, fields: Tensor, coverage: Any, *, second_layer: bool = True
) -> Moments:
    """Moments of fields (B, F, cells) whose missing cells are given by *coverage*."""
    n_fields = fields.shape[1]
    modulus, power, gram = [], [], []
    state = grid.start(fields, coverage)
    for j in range(grid.spec.J):
        real, imag = grid.first(state, j, coverage)
        U = hypotenuse(real, imag)
        modulus.append(grid.mean(U, j, coverage))
        power.append(grid.mean(_products(real, imag), j, coverage))
        if second_layer:
            state = grid.append(state, U, j, coverage)
            g = grid.gram(state, j, coverage)
            gram.append(g.unflatten(-1, (n_fields, -1)).unflatten(-3, (n_fields, -1)))
        if j + 1 < grid.spec.J:
            state = grid.coarsen(state, j, coverage)
    return Moments(modulus, power, gram)


def dense(m: Moments, J: int, L: int) -> dict[str, Tensor]:
    """Moments as arrays over all scales and orientations, NaN where they do not exist.

    Returns
    -------
    dict
        ``S1`` (R, B, F, j1, l1), ``S2`` (R, B, F, F, j1, l1), ``S3`` (R, B, F, F, j1, j2, l1, l2) and
        ``S4`` (R, B, F, F, j1, j2, j3, l1, l2, l3). In S3 the first field is the one that is not inside
        a modulus; in S4 the fields belong to (j1, l1) and (j2, l2).
    """
    result = {"S1": torch.stack(m.modulus, 3), "S2": torch.stack(m.power, 4)}
    if not m.gram:
        return result
    R, B, _, F = m.gram[0].shape[:4]
    S3 = m.gram[0].new_full((R, B, F, F, J, J, L, L), complex("nan+nanj"))
    S4 = m.gram[0].new_full((R, B, F, F, J, J, J, L, L, L), complex("nan+nanj"))
    for j, gram in enumerate(m.gram):
        # (R, B, l3, f, g, j1, l1) → (R, B, f, g, j1, l1, l3)
        S3_j = gram[:, :, :, :, 0, :, 1:].unflatten(-1, (j + 1, L)).permute(0, 1, 3, 4, 5, 6, 2)
        S3[:, :, :, :, : j + 1, j] = S3_j
        # (R, B, l3, f, j1, l1, g, j2, l2) → (R, B, f, g, j1, j2, l1, l2, l3)
        S4_j = gram[:, :, :, :, 1:, :, 1:].unflatten(-1, (j + 1, L)).unflatten(-4, (j + 1, L))
        S4[:, :, :, :, : j + 1, : j + 1, j] = S4_j.permute(0, 1, 3, 6, 4, 7, 5, 8, 2)
    return result | {"S3": S3, "S4": S4}


def hypotenuse(real: Tensor, imag: Tensor) -> Tensor:
    """Modulus, with a zero gradient where it is zero."""
    square = real * real + imag * imag
    if not square.requires_grad:
        return square.sqrt_()
    return square.clamp_min(torch.finfo(square.dtype).tiny).sqrt()


def _products(real: Tensor, imag: Tensor) -> Tensor:
    """W_f conj(W_g) for all pairs of fields: (batch, f, g, ...)."""
    if real.shape[1] == 1:
        return (real * real + imag * imag)[:, :, None]
    W = torch.complex(real, imag)
    return W[:, :, None] * W[:, None].conj()
