"""Wavelets on a plane whose orientations count from a direction that changes from cell to cell."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from .compact import Compact
from .flat import Flat, FlatSpec
from .wavelets import Array, Wavelet

Tensor = torch.Tensor


@dataclass(frozen=True)
class FramedSpec(FlatSpec):
    """All that the transforms on a plane with a local frame depend on."""

    angles: Array
    """(y, x): directions in radians, from +x toward +y, from which orientations count."""

    def build(self, known: Any = None) -> FramedFlat:
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


def _fixed(spec: FramedSpec) -> FlatSpec:
    """What the transforms with as many fixed orientations as interpolation asks for depend on."""
    return FlatSpec(
        shape=spec.shape,
        step=spec.step,
        periodic=spec.periodic,
        wavelet=_SameShape(spec.wavelet, spec.L),
        J=spec.J,
        L=2 * math.ceil(max(16, 4 * spec.L) / 2),  # over 180 degrees
        dtype=spec.dtype,
        device=spec.device,
    )


def _turned(
    filtered: Iterable[tuple[Tensor, Tensor]], n_filters: int, angles: Tensor, L: int
) -> list[tuple[Tensor, Tensor]]:
    """Fields (..., P) filtered at each orientation of a local frame at angles (P,).

    A field filtered at one cell is a smooth periodic function of the orientation of the wavelet:
    fields filtered at N equidistant orientations give it at any other by trigonometric
    interpolation. Orientations turned by 180° are the complex conjugates.
    """
    sums: list[list[Any]] = [[0.0, 0.0] for _ in range(L)]
    for n, (real, imag) in enumerate(filtered):
        for l in range(L):
            turn = angles + math.pi * (l / L - n / n_filters)
            here, opposite = (_dirichlet(turn + t, n_filters) for t in (0, math.pi))
            sums[l][0] = sums[l][0] + (here + opposite).to(real.dtype) * real
            sums[l][1] = sums[l][1] + (here - opposite).to(imag.dtype) * imag
    return [(real, imag) for real, imag in sums]


class FramedFlat(Flat):
    """The transforms on a periodic plane without gaps with a local frame."""

    spec: FramedSpec

    def __init__(self, spec: FramedSpec):
        super().__init__(spec)
        self._fixed = Flat(_fixed(spec))
        self._angles = torch.as_tensor(spec.angles, device=spec.device)

    @cached_property
    @torch.inference_mode(False)
    def compact(self) -> FramedCompact:
        """The transforms for a border or for gaps."""
        return FramedCompact(self.spec)

    def gram(self, state: Tensor, j: int) -> None:  # type: ignore[override]
        """Parseval's theorem does not help where wavelets turn."""
        return None

    def first(self, state: Tensor, j: int, coverage: None) -> tuple[Tensor, Tensor]:
        """Coefficients W of scale j of each field, real and imaginary part (batch, field, l, P)."""
        turned = self._at_points(state[:, :, 0], j, self.spec.shape)
        real, imag = (torch.stack(part, -2) for part in zip(*turned, strict=True))
        return real, imag

    def rows(self, state: Tensor, j: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Real and imaginary part (batch, C, P) of all columns filtered at scale j, on its grid."""
        yield from self._at_points(state.flatten(1, 2), j, self.grids[j])

    def _at_points(
        self, spectra: Tensor, j: int, grid: tuple[int, int]
    ) -> list[tuple[Tensor, Tensor]]:
        y, x = (
            ((torch.arange(g) + 0.5) * n / g).long()
            for n, g in zip(self.spec.shape, grid, strict=True)
        )
        N = self._fixed.spec.L
        filtered = (self._fixed._filtered(spectra, j, slice(n, n + 1), grid) for n in range(N))
        return _turned(filtered, N, self._angles[y[:, None], x].flatten(), self.spec.L)


class FramedCompact(Compact):
    """The transforms on a plane with borders or gaps with a local frame."""

    spec: FramedSpec

    def __init__(self, spec: FramedSpec):
        super().__init__(spec)
        self._fixed = Compact(_fixed(spec))
        self._angles = torch.as_tensor(spec.angles, device=spec.device)

    @property
    def nbytes(self) -> int:
        """Memory of the filters."""
        return self._fixed.nbytes

    def _values(
        self, j: int, everywhere: bool, spectra: Tensor, kind: str = "scalar"
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """For each orientation, real and imaginary part (n, P) given spectra (n, channels, ...)."""
        strides, origin, shape = self._points(j, everywhere)
        y, x = (
            torch.arange(n) * stride + math.floor(first)
            for n, stride, first in zip(shape, strides, origin, strict=True)
        )
        filtered = self._fixed._values(j, everywhere, spectra)
        angles = self._angles[y[:, None], x].flatten()
        yield from _turned(filtered, self._fixed.spec.L, angles, self.spec.L)


def _dirichlet(x: Tensor, n: int) -> Tensor:
    """Interpolation kernel of periodic functions known at 2 n equidistant angles."""
    half = torch.sin(x / 2)
    safe = torch.where(half.abs() < 1e-9, 1.0, half)
    kernel = torch.sin(n * x) * torch.cos(x / 2) / (2 * n * safe)
    return torch.where(half.abs() < 1e-9, 1.0, kernel)
