"""Wavelets on a plane whose orientations count from a direction that changes from cell to cell."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from .flat import Flat, FlatCoverage, FlatSpec
from .wavelets import Array, Wavelet

Tensor = torch.Tensor


@dataclass(frozen=True)
class FramedSpec(FlatSpec):
    """All that the transforms on a plane with a local frame depend on."""

    angles: Array
    """(y, x): directions in radians, from +x toward +y, from which orientations count."""

    def build(self) -> FramedFlat:
        """The transforms themselves."""
        return FramedFlat(self)


@dataclass(frozen=True)
class _SameShape:
    """A wavelet as it is for L orientations, however many are asked for."""

    wavelet: Wavelet
    L: int

    @property
    def radius(self) -> int:
        return self.wavelet.radius

    def fourier(self, along: Array, across: Array, L: int) -> tuple[Array, Array]:
        return self.wavelet.fourier(along, across, self.L)

    def values(self, along: Array, across: Array, L: int) -> tuple[Array, Array]:
        return self.wavelet.values(along, across, self.L)


class FramedFlat(Flat):
    """The transforms on a plane with a local frame.

    A field filtered at one cell is a smooth periodic function of the orientation of the wavelet:
    fields filtered at N equidistant orientations give it at any other by trigonometric
    interpolation. Orientations turned by 180° are the complex conjugates.
    """

    spec: FramedSpec

    def __init__(self, spec: FramedSpec):
        self.n_filters = 2 * math.ceil(max(16, 4 * spec.L) / 2)  # over 180 degrees
        super().__init__(spec)
        self._fixed = Flat(
            FlatSpec(
                shape=spec.shape,
                step=spec.step,
                periodic=spec.periodic,
                wavelet=_SameShape(spec.wavelet, spec.L),
                J=spec.J,
                L=self.n_filters,
                dtype=spec.dtype,
                device=spec.device,
            )
        )
        self._angles = torch.as_tensor(spec.angles, device=spec.device)

    def gram(self, state: Tensor, j: int) -> None:  # type: ignore[override]
        """Parseval's theorem does not help where wavelets turn."""
        return None

    def first(self, state: Tensor, j: int, coverage: FlatCoverage | None) -> tuple[Tensor, Tensor]:
        """Coefficients W of scale j of each field, real and imaginary part (batch, field, l, P)."""
        W = [torch.stack(pair) for pair in self._turned(state[:, :, 0], j, self.spec.shape)]
        real, imag = torch.stack(W, -2)
        return real, imag

    def rows(self, state: Tensor, j: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Real and imaginary part (batch, C, P) of all columns filtered at scale j, on its grid."""
        yield from self._turned(state.flatten(1, 2), j, self.grids[j])

    def _turned(
        self, spectra: Tensor, j: int, grid: tuple[int, int]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Fields (..., P) filtered at each orientation of the local frame."""
        y, x = (
            ((torch.arange(g) + 0.5) * n / g).long()
            for n, g in zip(self.spec.shape, grid, strict=True)
        )
        angles = self._angles[y[:, None], x].flatten()
        sums: list[list[Any]] = [[0.0, 0.0] for _ in range(self.spec.L)]
        for n in range(self.n_filters):
            filtered = self._fixed._filtered(spectra, j, slice(n, n + 1), grid)
            for l in range(self.spec.L):
                turn = angles + math.pi * (l / self.spec.L - n / self.n_filters)
                here, opposite = (_dirichlet(turn + t, self.n_filters) for t in (0, math.pi))
                sums[l][0] = sums[l][0] + (here + opposite).to(filtered[0].dtype) * filtered[0]
                sums[l][1] = sums[l][1] + (here - opposite).to(filtered[0].dtype) * filtered[1]
        yield from ((real, imag) for real, imag in sums)


def _dirichlet(x: Tensor, n: int) -> Tensor:
    """Interpolation kernel of periodic functions known at 2 n equidistant angles."""
    half = torch.sin(x / 2)
    safe = torch.where(half.abs() < 1e-9, 1.0, half)
    kernel = torch.sin(n * x) * torch.cos(x / 2) / (2 * n * safe)
    return torch.where(half.abs() < 1e-9, 1.0, kernel)
