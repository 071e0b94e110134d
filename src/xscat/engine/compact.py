"""Wavelet transforms on a plane or a line with a border or with gaps.

A Fourier filter reaches everywhere: of a strong trend beyond a border, or of what stands in a gap,
it sees a tail. So here wavelets are cut at the edge of the disc that has to be valid, where their
envelope counts as zero, and sum to zero again. What lies outside of it does not matter, at any
contrast.

A *state* is the Fourier transform of a stack of real fields with all wave numbers, as those of a
cut wavelet never end: (batch, field, column, ky, kx), column 0 the field itself, the others the
moduli U[j1, l1]. Coefficients are then wanted at every so many cells only: a transform of all cells
folds into one of these points.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.fft import next_fast_len

from .kernels import cut_wavelets, within
from .moments import centered
from .regular import Regular
from .wavelets import Array

if TYPE_CHECKING:
    from .flat import FlatSpec

Tensor = torch.Tensor

# Largest step between the points of products, in cells times 2^j: it leaves less than 1e-4 of
# their variations unresolved.
COARSEST = 0.8


@dataclass(frozen=True)
class FlatCoverage:
    """Which coefficients of a plane count (see `moments.Coverage`)."""

    field: Tensor
    """(R, P)"""
    first: list[Tensor]
    """(R, P), on all cells."""
    rows: list[Tensor]
    """(R, 1 + scales, P), on the points of each scale."""
    weights: list[Tensor]
    """(R, P), on the same."""


class Bank:
    """Wavelets of one scale that give coefficients at every so many cells.

    Parameters
    ----------
    kernels : (L, channels, y, x) complex
        Values on the cells around a point; those opposite to it are conjugate.
    indices : (y,), (x,)
        Where these cells are.
    size, strides : (int, int)
        Number of cells along y and x, and from one point to the next.
    origin : (float, float)
        Position of the first point, in cells.
    spec : FlatSpec
        Precision and device.
    """

    def __init__(
        self,
        kernels: Array,
        indices: tuple[Array, Array],
        size: tuple[int, int],
        strides: tuple[int, int],
        origin: tuple[float, float],
        spec: FlatSpec,
    ):
        self.strides = strides
        self.coarse = (size[0] // strides[0], size[1] // strides[1])
        cells = np.zeros((*kernels.shape[:2], *size), complex)
        y, x = (i % n for i, n in zip(indices, size, strict=True))
        np.add.at(cells.transpose(2, 3, 0, 1), (y[:, None], x), kernels.transpose(2, 3, 0, 1))
        ky, kx = (2 * math.pi * np.fft.fftfreq(n) for n in size)
        # counted from a point, the two halves of a wavelet are conjugate and its transform is real
        phase = np.exp(1j * (ky[:, None] * origin[0] + kx * origin[1]))
        real = torch.as_tensor((np.fft.fft2(cells) / phase).real, dtype=spec.dtype)
        real = real.to(spec.device) / math.prod(strides)
        moved = torch.as_tensor(phase).to(spec.device, torch.complex(real[:0], real[:0]).dtype)
        self.phase = moved if any(origin) else None
        self.filters = real if self._everywhere else self._folded(real).transpose(1, 2).contiguous()

    @property
    def nbytes(self) -> int:
        """Memory of the wavelets."""
        return self.filters.nbytes + (0 if self.phase is None else self.phase.nbytes)

    @property
    def _everywhere(self) -> bool:
        return self.strides == (1, 1)

    def _folded(self, x: Tensor) -> Tensor:
        """Wave numbers (a, b, ky, kx) by those of the points: (k, channel and fold, a)."""
        (sy, sx), (gy, gx) = self.strides, self.coarse
        folds = x.unflatten(-1, (sx, gx)).unflatten(-3, (sy, gy))
        return folds.permute(3, 5, 1, 2, 4, 0).reshape(gy * gx, -1, len(x))

    def __call__(self, spectra: Tensor) -> Iterator[Tensor]:
        """For each orientation, values (n, y, x) at the points given spectra (n, channels, ...)."""
        if self.phase is not None:
            spectra = spectra * self.phase
        if self._everywhere:
            for filters in self.filters:
                yield torch.fft.ifft2((spectra * filters).sum(1))
            return
        parts = torch.view_as_real(self._folded(spectra)).flatten(-2)
        folded = (self.filters @ parts).unflatten(-1, (-1, 2)).permute(1, 2, 0, 3)
        values = torch.fft.ifft2(
            torch.view_as_complex(folded.contiguous()).unflatten(-1, self.coarse)
        )
        yield from values


class Compact(Regular):
    """The transforms of one plane by compact wavelets."""

    field_support = 1.0
    """Support of the wavelets that act on the field itself, in supports of the mother wavelet."""

    def __init__(self, spec: FlatSpec):
        super().__init__(spec)
        self.size = self._padded(0), self._padded(1)
        self.strides = [self._strides(j) for j in range(spec.J)]
        self.grids = [
            ((spec.shape[0] - 1) // sy + 1, (spec.shape[1] - 1) // sx + 1)
            for sy, sx in self.strides
        ]
        self._banks: dict[Any, Bank] = {}

    @property
    def nbytes(self) -> int:
        """Memory of the filters."""
        return sum(bank.nbytes for bank in self._banks.values())

    def _padded(self, axis: int) -> int:
        """Cells along an axis and as many empty ones as make transforms fast and points few."""
        n, step = self.spec.shape[axis], abs(self.spec.step[axis])
        if self.spec.periodic or n == 1:
            return n
        wanted = max(1, int(min(n / 4, COARSEST * 2 ** (self.spec.J - 1) / step)))
        power = 1 << (wanted.bit_length() - 1)
        base = power * 3 // 2 if wanted >= power * 3 // 2 else power
        return int(base * next_fast_len(math.ceil(n / base)))

    def _strides(self, j: int) -> tuple[int, int]:
        """Cells along y and x from one point of scale j to the next: parts of the plane."""

        def largest(size: int, step: float) -> int:
            coarsest = max(1, int(COARSEST * 2**j / abs(step)))
            return max(s for s in range(1, min(size, coarsest) + 1) if size % s == 0)

        (ny, nx), (dy, dx) = self.size, self.spec.step
        return largest(ny, dy), largest(nx, dx)

    def _points(
        self, j: int, everywhere: bool
    ) -> tuple[tuple[int, int], tuple[float, float], tuple[int, int]]:
        """Cells between points, position of the first one in cells, and numbers, along y and x.

        Points of a scale are centered in the plane, so that its mirror images have the same ones:
        they lie on cells or between two.
        """
        shape = self.spec.shape
        if everywhere:
            return (1, 1), (0.0, 0.0), shape
        sy, sx = self.strides[j]
        return (sy, sx), ((shape[0] - 1) % sy / 2, (shape[1] - 1) % sx / 2), self.grids[j]

    def _kernels(
        self, kind: str, j: int, origin: tuple[float, float]
    ) -> tuple[Array, tuple[Array, Array]]:
        """Values (L, channels, y, x) of the wavelets on the cells around a point, and the cells."""
        values, indices = cut_wavelets(self.spec, j, origin)
        return values[:, None], indices

    def _bank(self, j: int, everywhere: bool, kind: str) -> Bank:
        """Wavelets that act at all cells or at the points of scale j."""
        strides, origin, _ = self._points(j, everywhere)
        key = kind, j, strides, origin
        if key not in self._banks:
            with torch.inference_mode(False):  # they may serve a gradient later
                made = self._kernels(kind, j, origin)
                self._banks[key] = Bank(*made, self.size, strides, origin, self.spec)
        return self._banks[key]

    def _values(
        self, j: int, everywhere: bool, spectra: Tensor, kind: str = "scalar"
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """For each orientation, real and imaginary part (n, P) given spectra (n, channels, ...)."""
        ny, nx = self._points(j, everywhere)[-1]
        for values in self._bank(j, everywhere, kind)(spectra):
            inside = values[..., :ny, :nx].flatten(-2)
            yield inside.real, inside.imag

    def start(self, fields: Tensor, coverage: FlatCoverage) -> Any:
        """State of scale 0 of fields (batch, field, cells)."""
        return self._spectrum(fields[:, :, None], coverage.field)

    def _spectrum(self, cells: Tensor, valid: Tensor) -> Tensor:
        """Spectra of the valid ones of cells (..., P)."""
        cells = centered(cells, valid.amax(0) > 0, -1)
        return torch.fft.fft2(cells.unflatten(-1, self.spec.shape), s=self.size)

    def first(self, state: Any, j: int, coverage: FlatCoverage) -> tuple[Tensor, Tensor]:
        """Coefficients W of scale j of each field, real and imaginary part (batch, field, l, P)."""
        parts = zip(*self._values(j, True, state[:, :, :1].flatten(0, 1)), strict=True)
        real, imag = (torch.stack(part, 1).unflatten(0, state.shape[:2]) for part in parts)
        return real, imag

    def append(self, state: Any, U: Tensor, j: int, coverage: FlatCoverage) -> Any:
        """State with the moduli of scale j (batch, field, l, P) as further columns."""
        return torch.cat([state, self._spectrum(U, coverage.first[j])], 2)

    def coarsen(self, state: Any, j: int, coverage: FlatCoverage) -> Any:
        """State of scale j + 1 from that of scale j: the same."""
        return state

    def gram(self, state: Any, j: int) -> None:
        """There is no short cut."""
        return None

    def rows(self, state: Any, j: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Real and imaginary part (batch, C, P) of all columns filtered at scale j."""
        for real, imag in self._values(j, False, state.flatten(0, 2)[:, None]):
            yield real.unflatten(0, (len(state), -1)), imag.unflatten(0, (len(state), -1))

    def coverage(self, weights: Tensor, min_coverage: float) -> FlatCoverage:
        """Which coefficients count, given the weights (R, cells) of the cells; 0 is missing."""
        field = weights.reshape(-1, *self.spec.shape).to(torch.float64)
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
        offsets = []
        inside = torch.ones((), dtype=torch.bool, device=valid.device)
        pad: list[int] = []
        for n, step in zip(self.spec.shape, self.spec.step, strict=True):
            # a closed boundary is a gap of missing cells as wide as the support, from end to start
            size = n
            if n > 1 and not self.spec.periodic:
                size = next_fast_len(n + math.ceil(radius / abs(step)), real=True)
            pad = [0, size - n, *pad]
            to_border = torch.arange(1, n + 1, **kind) * abs(step)
            far = torch.minimum(to_border, to_border.flip(0)) > radius
            inside = inside[..., None] & (far | (size == n))
            offsets.append(torch.fft.fftfreq(size, 1 / size, **kind) * step)
        y, x = offsets[0][:, None], offsets[1]
        disc = within(y, x, radius)
        kernel = torch.where(disc, torch.exp(-4.5 * (y**2 + x**2) / radius**2), 0)
        kernel /= kernel.sum()
        missing = torch.nn.functional.pad(1 - valid, pad, value=1.0)
        spectrum = torch.fft.rfft2(missing) * torch.fft.rfft2(kernel)
        lost = torch.fft.irfft2(spectrum, s=missing.shape[-2:])
        ny, nx = self.spec.shape
        lost = lost[..., :ny, :nx]
        # less than the cell at the edge of the disc that weighs least
        rounding = min(1e-9, float(kernel[disc].min()) / 2)
        return ((1 - lost >= min_coverage - rounding) & inside).double() * valid

    def _sample(self, x: Tensor, j: int) -> Tensor:
        """Values of x (..., y, x) at the points of scale j, flattened; means between two cells."""
        strides, origins, shape = self._points(j, everywhere=False)
        for dim, size, stride, origin in zip((-2, -1), shape, strides, origins, strict=True):
            points = stride * torch.arange(size, device=x.device)
            below, above = points + math.floor(origin), points + math.ceil(origin)
            x = (x.index_select(dim, below) + x.index_select(dim, above)) / 2
        return x.flatten(-2)
