"""Wavelet transforms on a plane or a line, in Fourier space.

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

from .moments import border_loss, centered, gram
from .resample import to_cells
from .wavelets import (
    Array,
    Wavelet,
    fourier_reach,
    orientations,
    periodized,
    support_radius,
)

Tensor = torch.Tensor

# Blocks of cells whose scatter gives error bars: on a line, and along each side of a plane.
N_BLOCKS_LINE, N_BLOCKS_SIDE = 32, 6


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

    def build(self) -> Flat:
        """The transforms themselves."""
        return Flat(self)

    def part(self, valid: Array) -> tuple[FlatSpec, slice]:
        """The transforms that do for the valid cells (cells,), and which cells they are of: all."""
        return self, slice(None)


@dataclass(frozen=True)
class FlatCoverage:
    """Which coefficients of a plane count (see `moments.Coverage`)."""

    field: Tensor
    """(R, P)"""
    first: list[Tensor]
    """(R, P), on all cells."""
    rows: list[Tensor]
    """(R, 1 + scales, P), on the grid of each scale's block."""
    weights: list[Tensor]
    """(R, P), on the same."""


class Flat:
    """The transforms of one plane; a line is a plane of one row and one orientation.

    Parameters
    ----------
    spec : FlatSpec
        Shape, spacing, boundary, wavelet, number of scales and orientations, precision, device.
    """

    field_support = 1.0
    """Support of the wavelets that act on the field itself, in supports of the mother wavelet."""

    def __init__(self, spec: FlatSpec):
        self.spec = spec
        self.n_cells = math.prod(spec.shape)
        self.reach = fourier_reach(spec.wavelet, spec.L)
        self.radius = support_radius(spec.wavelet, spec.L)
        self.halves = [self._halves(j) for j in range(spec.J)]
        self.grids = [self._grid(j) for j in range(spec.J)]
        self.filters = [self._filters(j) for j in range(spec.J)]

    @property
    def nbytes(self) -> int:
        """Memory of the filters."""
        return sum(2 * 2 * even.nbytes for even, _ in self.filters)

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

    def start(self, fields: Tensor, coverage: FlatCoverage | None) -> Tensor:
        """State of scale 0 of fields (batch, field, cells)."""
        return self._spectrum(fields[:, :, None], None if coverage is None else coverage.field, 0)

    def _spectrum(self, cells: Tensor, valid: Tensor | None, j: int) -> Tensor:
        """Spectra of cells (..., P), of the valid ones if not all are."""
        if valid is not None:
            cells = centered(cells, valid.amax(0) > 0, -1)
        along_x = torch.fft.rfft(cells.unflatten(-1, self.spec.shape))
        return self._crop(torch.fft.fft(along_x[..., : self.halves[j][1] + 1], dim=-2), j)

    def first(self, state: Tensor, j: int, coverage: FlatCoverage | None) -> tuple[Tensor, Tensor]:
        """Coefficients W of scale j of each field, real and imaginary part (batch, field, l, P)."""
        return self._filtered(state[:, :, :1], j, slice(None), self.spec.shape)

    def append(self, state: Tensor, U: Tensor, j: int, coverage: FlatCoverage | None) -> Tensor:
        """State with the moduli of scale j (batch, field, l, P) as further columns."""
        valid = None if coverage is None else coverage.first[j]
        return torch.cat([state, self._spectrum(U, valid, j)], 2)

    def coarsen(self, state: Tensor, j: int, coverage: FlatCoverage | None) -> Tensor:
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

    def cascade(self, fields: Tensor, second_layer: bool, exponent: float = 1) -> None:
        """Scales have a short cut each."""
        return None

    def block_grams(self, state: Tensor, j: int) -> None:
        """Parseval's theorem is for the whole plane."""
        return None

    def grams(self, state: Tensor, j: int, coverage: FlatCoverage) -> None:
        """One orientation after the other takes less memory."""
        return None

    def rows(self, state: Tensor, j: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Real and imaginary part (batch, C, P) of all columns filtered at scale j, on its grid."""
        for l in range(self.spec.L):
            yield self._filtered(state.flatten(1, 2), j, slice(l, l + 1), self.grids[j])

    def blocks(self, x: Tensor, j: int) -> Tensor:
        """Values (..., P) by rectangles of cells (..., blocks, P), padded with 0."""
        ny, nx = self.spec.shape if x.shape[-1] == self.n_cells else self.grids[j]
        by, bx = self._block_counts(ny, nx)
        x = x.unflatten(-1, (ny, nx))
        if ny % by or nx % bx:
            x = torch.nn.functional.pad(x, (0, -nx % bx, 0, -ny % by))
        tiles = x.unflatten(-2, (by, -1)).unflatten(-1, (bx, -1))
        return tiles.transpose(-3, -2).flatten(-4, -3).flatten(-2)

    @staticmethod
    def _block_counts(ny: int, nx: int) -> tuple[int, int]:
        """Numbers of blocks along y and x, such that they need no padding if that is possible."""

        def best(n: int, wanted: int) -> int:
            near = sorted(range(wanted - 2, wanted + 3), key=lambda b: (n % b > 0, abs(b - wanted)))
            return near[0]

        if ny == 1:
            return 1, best(nx, N_BLOCKS_LINE)
        return best(ny, N_BLOCKS_SIDE), best(nx, N_BLOCKS_SIDE)

    def block_share(self, j: int) -> float:
        """Part of the variance of a mean that the scatter of blocks shows.

        Blocks of side s see 1 - <|u|> / s of it in each direction, where <|u|> is the mean distance
        under the autocorrelation of the wavelet's envelope, a Gaussian: neighbors are correlated
        across their border.
        """
        radius = self.radius * 2**j
        share = 1.0
        counts = self._block_counts(*self.grids[j])
        for n, step, blocks in zip(self.spec.shape, self.spec.step, counts, strict=True):
            if n > 1:
                share *= max(0.25, 1 - border_loss(radius) * blocks / (n * abs(step)))
        return share

    def to_field(self, x: Tensor, j: int) -> Tensor:
        """Values (..., P) of the first layer of scale j on the cells of the field: themselves."""
        return x

    def coverage(self, weights: Tensor, min_coverage: float) -> FlatCoverage | None:
        """Which coefficients count, given the weights (R, cells) of the cells; 0 is missing.

        Returns None when all count alike.
        """
        field = weights.reshape(-1, *self.spec.shape).to(torch.float64)
        if self.spec.periodic and field[0, 0, 0] > 0 and bool((field == field[0, 0, 0]).all()):
            return None
        valid = (field > 0).double()
        support = self.field_support
        inner = [self._erode(valid, j, min_coverage, support) for j in range(self.spec.J)]
        rows, sampled = [], []
        for j in range(self.spec.J):
            second = self._erode(torch.stack(inner[: j + 1], 1), j, min_coverage)
            groups = torch.cat([inner[j][:, None], second], 1)
            rows.append(self._sample(groups, j).floor())
            sampled.append(self._sample(field, j))
        first = [(valid_j * field).flatten(1) for valid_j in inner]

        def cast(tensors: list[Tensor]) -> list[Tensor]:
            return [t.to(self.spec.dtype) for t in tensors]

        weights = field.flatten(1).to(self.spec.dtype)
        return FlatCoverage(weights, cast(first), cast(rows), cast(sampled))

    def _erode(self, valid: Tensor, j: int, min_coverage: float, support: float = 1) -> Tensor:
        """1 where enough of the support of the wavelet of scale j is valid (..., y, x).

        The border of a plane that is not periodic has to be outside of the support altogether: the
        Fourier transform brings in what stands at the opposite border.
        """
        radius = support * self.radius * 2**j
        kind: dict[str, Any] = {"dtype": torch.float64, "device": valid.device}
        distance2 = torch.zeros((), **kind)
        inside = torch.ones((), dtype=torch.bool, device=valid.device)
        pad: list[int] = []
        for n, step in zip(self.spec.shape, self.spec.step, strict=True):
            # a closed boundary is a gap of missing cells as wide as the support, from end to start
            size = n
            if n > 1 and not self.spec.periodic:
                size = next_fast_len(n + math.ceil(radius / abs(step)), real=True)
            pad = [0, size - n, *pad]
            to_border = torch.arange(1, n + 1, **kind) * abs(step)
            within = torch.minimum(to_border, to_border.flip(0)) > radius
            inside = inside[..., None] & (within | (size == n))
            offset = torch.fft.fftfreq(size, 1 / size, **kind)
            distance2 = distance2[..., None] + (offset * step) ** 2
        kernel = torch.exp(-4.5 * distance2 / radius**2) * (distance2 <= radius**2)
        missing = torch.nn.functional.pad(1 - valid, pad, value=1.0)
        spectrum = torch.fft.rfft2(missing) * torch.fft.rfft2(kernel / kernel.sum())
        lost = torch.fft.irfft2(spectrum, s=missing.shape[-2:])
        ny, nx = self.spec.shape
        lost = lost[..., :ny, :nx]
        return ((1 - lost >= min_coverage - 1e-9) & inside).double() * valid

    def _sample(self, x: Tensor, j: int) -> Tensor:
        """Values of x (..., y, x) at the points of the grid of scale j, flattened.

        A point on the border of two cells takes their mean.
        """
        for dim, size in zip((-2, -1), self.grids[j], strict=True):
            points = (2 * torch.arange(size, device=x.device) + 1) * x.shape[dim]
            below, above = (points - 1) // (2 * size), points // (2 * size)
            x = (x.index_select(dim, below) + x.index_select(dim, above)) / 2
        return x.flatten(-2)


def _scaled(spectrum: Tensor, filters: Tensor) -> Tensor:
    """Complex times real, which torch would do as complex times complex."""
    return torch.view_as_complex(torch.view_as_real(spectrum) * filters[..., None])
