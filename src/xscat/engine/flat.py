"""Wavelet transforms on a periodic plane or line without gaps, in Fourier space.

Where there is a border or a gap, `compact` takes their place.

A *state* is the Fourier transform of a stack of real fields on the block of wave numbers that
scale j occupies: (batch, field, column, ky, kx), ky in the order of the FFT, kx >= 0. Column 0 is
the field itself, the others are the moduli U[j1, l1]: one filter serves all rows of a Gram matrix.

The transform f of a wavelet is real. With f_e, f_o its even and odd parts, the real and imaginary
parts of a filtered field are the real fields of transforms f_e X and -i f_o X.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, ClassVar

import numpy as np
import torch
from scipy.fft import next_fast_len

from .compact import Compact, FlatCoverage
from .moments import Pass, gram
from .regular import Regular
from .resample import to_cells
from .wavelets import Array, Wavelet, fourier_reach, orientations, periodized

Tensor = torch.Tensor


@dataclass(frozen=True)
class FlatSpec:
    """All that the transforms on a plane depend on."""

    shape: tuple[int, int]
    step: tuple[float, float]
    """Spacing along y and x over the larger of the two; negative where the coordinate descends."""
    periodic: bool
    wavelet: Wavelet
    J: int
    L: int
    dtype: torch.dtype
    device: torch.device

    blind_to_mean: ClassVar[bool] = True
    """Whether no wavelet sees a constant."""

    def build(self, known: Any = None) -> Flat:
        """The transforms themselves."""
        return Flat(self)

    def passes(self, valid: Array, alone: bool) -> Iterator[Pass]:
        """How to come to the moments of each set of valid cells (R, cells): one by one."""
        yield from (Pass([i], self, [slice(None)]) for i in range(len(valid)))


class Flat(Regular):
    """The transforms of one periodic plane without gaps, and the way to those of any other."""

    def __init__(self, spec: FlatSpec):
        super().__init__(spec)
        self.reach = fourier_reach(spec.wavelet, spec.L)
        self.halves = [self._halves(j) for j in range(spec.J)]
        self.grids = [self._grid(j) for j in range(spec.J)]

    @cached_property
    @torch.inference_mode(False)
    def filters(self) -> list[tuple[Tensor, Tensor]]:
        """Even and odd parts of the wavelets' transforms at each scale."""
        return [self._filters(j) for j in range(self.spec.J)]

    @property
    def nbytes(self) -> int:
        """Memory of the filters, of those that have been needed."""
        made = vars(self)
        compact = made["compact"].nbytes if "compact" in made else 0
        return compact + sum(2 * 2 * even.nbytes for even, _ in made.get("filters", ()))

    def _halves(self, j: int) -> tuple[int, int]:
        """Largest ky and kx index of the block of scale j; n // 2 stands for all of them."""
        cycles = self.reach / 2**j / (2 * math.pi)
        half_y, half_x = (
            min(n // 2, math.ceil(n * abs(step) * cycles))
            for n, step in zip(self.spec.shape, self.spec.step, strict=True)
        )
        return half_y, half_x

    def _grid(self, j: int) -> tuple[int, int]:
        """Shape of a grid fine enough for the products of fields filtered at scale j.

        Its step is 0.8 2^j cells, which leaves less than 1e-4 of their variations unresolved.
        """
        ny, nx = (
            min(n, next_fast_len(math.ceil(n * abs(step) / (0.8 * 2**j)), real=True))
            for n, step in zip(self.spec.shape, self.spec.step, strict=True)
        )
        return ny, nx

    def _filters(self, j: int) -> tuple[Tensor, Tensor]:
        """Even and odd parts (l, ky, kx) of the wavelets' transforms on the block of scale j."""
        spec, (half_y, half_x) = self.spec, self.halves[j]
        ny, nx = spec.shape
        y = np.arange(ny) if half_y == ny // 2 else np.r_[0 : half_y + 1, -half_y:0]
        ky = 2 * math.pi / (ny * spec.step[0]) * y[:, None]
        kx = 2 * math.pi / (nx * spec.step[1]) * np.arange(half_x + 1)
        period_y, period_x = (
            2 * math.pi / abs(step) if n > 1 else None
            for n, step in zip(spec.shape, spec.step, strict=True)
        )

        def bank(sign: int) -> np.ndarray:
            args = (spec.L, j, (period_x, period_y), self.reach / 2**j)
            angles = orientations(spec.L)
            return np.stack(
                [periodized(spec.wavelet, sign * kx, sign * ky, a, *args) for a in angles]
            )

        even, odd = (bank(1) + bank(-1)) / 2, (bank(1) - bank(-1)) / 2
        to_tensor = partial(torch.as_tensor, dtype=spec.dtype, device=spec.device)
        return to_tensor(even), to_tensor(odd)

    @cached_property
    @torch.inference_mode(False)
    def _parseval(self) -> list[tuple[Tensor, Tensor]]:
        """Weights (l, ky kx) of the real and imaginary parts of the products of two spectra.

        A sum over all wave numbers is a sum over kx >= 0 of k and -k, where f^2(k) + f^2(-k)
        multiplies the real and f^2(k) - f^2(-k) the imaginary part; kx = 0 holds both k and -k.
        """
        weights = []
        for even, odd in self.filters:
            double = even.new_full(even.shape[-1:], 2.0)
            double[0] = 1
            if self.spec.shape[1] % 2 == 0 and len(double) == self.spec.shape[1] // 2 + 1:
                double[-1] = 1
            double /= self.n_cells**2
            real, imag = (even**2 + odd**2) * double, 2 * even * odd * double
            weights.append((real.flatten(-2), imag.flatten(-2)))
        return weights

    def _crop(self, spectrum: Tensor, j: int) -> Tensor:
        """Block of scale j of a wider spectrum."""
        half_y, half_x = self.halves[j]
        n, spectrum = spectrum.shape[-2], spectrum[..., : half_x + 1]
        if n <= 2 * half_y + 1:
            return spectrum
        return torch.cat([spectrum[..., : half_y + 1, :], spectrum[..., n - half_y :, :]], -2)

    def _filtered(
        self, state: Tensor, j: int, l: slice, grid: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Real and imaginary part of the state filtered at scale j, on a grid of cells."""
        even, odd = (filters[l] for filters in self.filters[j])
        real = to_cells(_scaled(state, even), self.spec.shape, grid)
        imag = to_cells(_scaled(state * -1j, odd), self.spec.shape, grid)
        return real.flatten(-2), imag.flatten(-2)

    def start(self, fields: Tensor, coverage: None) -> Tensor:
        """State of scale 0 of fields (batch, field, cells)."""
        return self._spectrum(fields[:, :, None], 0)

    def _spectrum(self, cells: Tensor, j: int) -> Tensor:
        """Spectra of cells (..., P)."""
        along_x = torch.fft.rfft(cells.unflatten(-1, self.spec.shape))
        return self._crop(torch.fft.fft(along_x[..., : self.halves[j][1] + 1], dim=-2), j)

    def first(self, state: Tensor, j: int, coverage: None) -> tuple[Tensor, Tensor]:
        """Coefficients W of scale j of each field, real and imaginary part (batch, field, l, P)."""
        return self._filtered(state[:, :, :1], j, slice(None), self.spec.shape)

    def append(self, state: Tensor, U: Tensor, j: int, coverage: None) -> Tensor:
        """State with the moduli of scale j (batch, field, l, P) as further columns."""
        return torch.cat([state, self._spectrum(U, j)], 2)

    def coarsen(self, state: Tensor, j: int, coverage: None) -> Tensor:
        """State of scale j + 1 from that of scale j."""
        return self._crop(state, j + 1)

    def gram(self, state: Tensor, j: int) -> Tensor:
        """Gram matrices (batch, l, C, C) of all columns filtered at scale j, C = fields x columns.

        Means over all cells, by Parseval's theorem.
        """
        rows = state.flatten(-2).flatten(1, 2)
        real, imag = rows.real.contiguous(), rows.imag.contiguous()
        weights = zip(*self._parseval[j], strict=True)
        return torch.stack([gram(real, imag, even, odd) for even, odd in weights], 1)

    def rows(self, state: Tensor, j: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Real and imaginary part (batch, C, P) of all columns filtered at scale j, on its grid."""
        for l in range(self.spec.L):
            yield self._filtered(state.flatten(1, 2), j, slice(l, l + 1), self.grids[j])

    @cached_property
    @torch.inference_mode(False)
    def compact(self) -> Compact:
        """The transforms for a border or for gaps."""
        return Compact(self.spec)

    def within(self, coverage: FlatCoverage | None) -> Regular:
        """The transforms for a coverage."""
        return self if coverage is None else self.compact

    def coverage(self, weights: Tensor, min_coverage: float) -> FlatCoverage | None:
        """Which coefficients count, given the weights (R, cells) of the cells; 0 is missing.

        Returns None when all count alike.
        """
        first = weights[0, 0]
        if self.spec.periodic and first > 0 and bool((weights == first).all()):
            return None
        return self.compact.coverage(weights, min_coverage)


def _scaled(spectrum: Tensor, filters: Tensor) -> Tensor:
    """Complex times real, which torch would do as complex times complex."""
    return torch.view_as_complex(torch.view_as_real(spectrum) * filters[..., None])
