"""E and B modes of spin fields: vectors (spin 1) and polarization (spin 2).

The two fields that come in are components with respect to east and north (or x and y): (u, v), or
(Q, U) with Q > 0 along east and U > 0 along the diagonal between east and north. The two fields of
coefficients are the modes E and B; for spin 1 they are the divergence and the curl, over the wave
number. Their moduli are scalars and are treated as such.

All components turned by 90° / spin, counter-clockwise, have the modes -B and E.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy import sparse

from .compact import Compact, FlatCoverage
from .flat import Flat, FlatSpec
from .level import Level
from .operators import Operator
from .sphere import LEAST_SHARE, Sphere, SphereCoverage, SphereSpec, State
from .spin_kernels import mode_wavelets
from .spin_stencils import SpinFit, transport_angles
from .stencils import SMOOTHING_RADIUS, smoothing_stencils
from .wavelets import MODE_RADIUS, Array

Tensor = torch.Tensor

# Width of the wavelets of the modes over that of the mother wavelet on the sphere.
MODE_SUPPORT = 1.5


@dataclass(frozen=True)
class SpinFlatSpec(FlatSpec):
    """All that the transforms of a spin field on a plane depend on."""

    spin: int

    def build(self, known: Any = None) -> SpinFlat:
        """The transforms themselves."""
        return SpinFlat(self)


class SpinFlat(Flat):
    """The transforms of a spin field on a periodic plane without gaps.

    The wavelets of the modes, ``psi(k) cos(s phi)`` and ``psi(k) sin(s phi)`` on the components,
    are the wavelet of the fields E and B. So the spectra are turned once, by the angle of their
    wave vectors.
    """

    spec: SpinFlatSpec

    @cached_property
    @torch.inference_mode(False)
    def compact(self) -> SpinCompact:
        """The transforms for a border or for gaps."""
        return SpinCompact(self.spec)

    @cached_property
    def _turn(self) -> tuple[Tensor, Tensor]:
        """Cosine and sine of s times the angle of the wave vectors, on the block of scale 0.

        A wave number of n / 2 stands for both signs: it gets the mean of the two.
        """
        (ny, nx), (half_y, half_x) = self.spec.shape, self.halves[0]
        full = half_y == ny // 2
        y = np.fft.fftfreq(ny, 1 / ny) if full else np.r_[0 : half_y + 1, -half_y:0]
        ky = 2 * np.pi / (ny * self.spec.step[0]) * y[:, None]
        kx = 2 * np.pi / (nx * self.spec.step[1]) * np.arange(half_x + 1.0)
        other_y = np.where(2 * np.abs(y[:, None]) == ny, -ky, ky)
        other_x = np.where(2 * np.arange(half_x + 1) == nx, -kx, kx)
        pairs = [(kx, ky), (other_x, ky), (kx, other_y), (other_x, other_y)]
        waves = np.mean([_unit(x + 1j * y) ** self.spec.spin for x, y in pairs], 0)
        cos, sin = (
            torch.as_tensor(part, dtype=self.spec.dtype) for part in (waves.real, waves.imag)
        )
        return cos.to(self.spec.device), sin.to(self.spec.device)

    def start(self, fields: Tensor, coverage: None) -> Tensor:
        """State of scale 0 of components (batch, 2, cells): spectra of E and B."""
        c1, c2 = super().start(fields, coverage).unbind(1)
        cos, sin = self._turn
        modes = torch.stack([cos * c1 + sin * c2, cos * c2 - sin * c1], 1)
        return 1j * modes if self.spec.spin == 1 else modes


class SpinState(NamedTuple):
    """Spectra of a spin field and of the moduli of its modes."""

    components: Tensor
    """(batch * mode, 2, ky, kx): what both wavelets of a mode act on."""
    moduli: Tensor
    """(batch, mode, column, ky, kx)"""


class SpinCompact(Compact):
    """The transforms of a spin field on a plane with a border or gaps (see `spin_kernels`)."""

    spec: SpinFlatSpec
    field_support = MODE_RADIUS

    def _kernels(
        self, kind: str, j: int, origin: tuple[float, float]
    ) -> tuple[Array, tuple[Array, Array]]:
        if kind == "modes":
            return mode_wavelets(self.spec, j, origin)
        return super()._kernels(kind, j, origin)

    def start(self, fields: Tensor, coverage: FlatCoverage) -> SpinState:
        """State of scale 0 of components (batch, 2, cells)."""
        spectra = self._spectrum(fields, coverage.field)
        spectra = 1j * spectra if self.spec.spin == 1 else spectra
        c1, c2 = spectra.unbind(1)
        components = torch.stack([c1, c2, c2, -c1], 1).unflatten(1, (2, 2)).flatten(0, 1)
        return SpinState(components, spectra[:, :, None][:, :, :0])

    def first(self, state: SpinState, j: int, coverage: FlatCoverage) -> tuple[Tensor, Tensor]:
        """Coefficients W of scale j of the modes, real and imaginary part (batch, mode, l, P)."""
        parts = zip(*self._values(j, True, state.components, "modes"), strict=True)
        real, imag = (torch.stack(part, 1).unflatten(0, (-1, 2)) for part in parts)
        return real, imag

    def append(self, state: SpinState, U: Tensor, j: int, coverage: FlatCoverage) -> SpinState:
        """State with the moduli of scale j (batch, mode, l, P) as further columns."""
        return SpinState(state.components, super().append(state.moduli, U, j, coverage))

    def rows(self, state: SpinState, j: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Real and imaginary part (batch, C, P) of all columns filtered at scale j."""
        batch, modes, columns = state.moduli.shape[:3]
        of_modes = self._values(j, False, state.components, "modes")
        of_moduli = self._values(j, False, state.moduli.flatten(0, 2)[:, None])
        for mode, modulus in zip(of_modes, of_moduli, strict=True):
            real, imag = (
                torch.cat(
                    [m.view(batch, modes, 1, -1), u.view(batch, modes, columns, -1)], 2
                ).flatten(1, 2)
                for m, u in zip(mode, modulus, strict=True)
            )
            yield real, imag


def _unit(z: Array) -> Array:
    return z / np.where(z == 0, 1, np.abs(z))


@dataclass(frozen=True)
class SpinSphereSpec(SphereSpec):
    """All that the transforms of a spin field on a set of HEALPix cells depend on."""

    spin: int
    blind_to_mean = False  # components that are constant in the frames of the cells are a field

    @cached_property
    def fit(self) -> SpinFit:
        """The weights of the modes' wavelets."""
        return SpinFit(self.wavelet, self.L, self.spin)

    @property
    def radius(self) -> int:
        """Half-width of the neighborhood on which modes are told apart."""
        return self.wavelet.radius + 1

    @classmethod
    def sphere_type(cls) -> type[SpinSphere]:
        """Type of the transforms."""
        return SpinSphere


class SpinLevel(Level):
    """The cells of one scale and the operators that start from them."""

    spec: SpinSphereSpec
    here = (*Level.here, "mode_wavelets", "field_envelope")
    down = (*Level.down, "component_coarsener")

    @cached_property
    def mode_wavelets(self) -> Operator:
        """The wavelets of the modes.

        Channels 2 l and 2 l + 1 are the real parts of A1 and A2, where E is ``A1 c1 + A2 c2`` and B
        is ``A1 c2 - A2 c1``. The imaginary parts of all orientations follow.
        """
        spin, fit = self.spec.spin, self.spec.fit
        precision = np.float32 if self.spec.dtype == torch.float32 else np.float64

        def weights(around: Array, east: Array, north: Array, centers: Array) -> Array:
            a1, a2 = fit(around, east, north, self._angles(centers)).transpose(1, 0, 2, 3)
            angle = spin * transport_angles(centers, around, self.level, self.level)
            cos, sin = np.cos(angle), np.sin(angle)
            a1, a2 = a1 * cos + a2 * sin, a2 * cos - a1 * sin
            parts = np.stack([[a1.real, a2.real], [a1.imag, a2.imag]]).swapaxes(1, 2)
            return parts.reshape(-1, *around.shape).astype(precision)

        L, matrix = self.spec.L, self._matrix(self.spec.radius, weights)
        # those of spin 1 have an imaginary transform, which changes the symmetry of both parts
        odd = range(2 * L) if spin == 1 else range(2 * L, 4 * L)
        return self._operator(*matrix, 4 * L, odd=odd)

    @cached_property
    def field_envelope(self) -> Operator:
        """The part of the support of the modes' wavelets around each cell, in float64."""
        return self._envelope(self.spec.radius, MODE_SUPPORT)

    @cached_property
    def component_coarsener(self) -> Operator:
        """Smoothing and mean of four children, in the frame of the parent: cosine and sine part."""

        def weights(around: Array, east: Array, north: Array, centers: Array) -> Array:
            angle = transport_angles(centers, around, self.level, self.level)
            return (smoothing_stencils(around, east, north) * self._phase(angle))[None]

        smoothing, halo = self._matrix(SMOOTHING_RADIUS, weights, self.siblings)
        children = self.siblings[:, None]
        angle = transport_angles(children[:, 0] // 4, children, self.level - 1, self.level)
        turned = self.mean_of_siblings @ sparse.dia_array(
            (self._phase(angle.T), [0]), (len(children),) * 2
        )
        matrix = (turned @ smoothing).tocsr()
        return self._operator(sparse.vstack([matrix.real, matrix.imag], format="csr"), halo, 2)

    def _phase(self, angle: Array) -> Array:
        return np.exp(1j * self.spec.spin * angle)


class SpinSphere(Sphere):
    """The transforms of a spin field on a set of HEALPix cells.

    Components at the neighbors of a cell are turned into its frame by parallel transport. The
    wavelets of the modes are those of `SpinFit`, on neighborhoods one cell wider than scalar ones.
    """

    spec: SpinSphereSpec
    levels: list[SpinLevel]  # type: ignore[assignment]
    level_type = SpinLevel

    def _modes(self, state: State, j: int, l: slice) -> Tensor:
        """Coefficients of the modes: (l, real and imaginary, cells, batch, mode)."""
        wavelets, (start, stop, _) = self.levels[j].mode_wavelets, l.indices(self.spec.L)
        channels = (slice(2 * start + i, 2 * stop + i) for i in (0, 2 * self.spec.L))
        parts = [wavelets(state.fields, c).unflatten(0, (-1, 2)) for c in channels]
        a1, a2 = torch.stack(parts, 1).unbind(2)
        return torch.stack([a1[..., 0] + a2[..., 1], a1[..., 1] - a2[..., 0]], -1)

    def start(self, fields: Tensor, coverage: SphereCoverage | None) -> State:
        """State of scale 0 of components (batch, component, cells), 0 where they are missing."""
        state = super().start(fields, None)
        if coverage is None:
            return state
        return State(torch.where(coverage.of_field(0) > 0, state.fields, 0))

    def first(self, state: State, j: int, coverage: SphereCoverage | None) -> tuple[Tensor, Tensor]:
        """Coefficients W of scale j of the modes, real and imaginary part (batch, mode, l, P)."""
        real, imag = self._modes(state, j, slice(None)).permute(1, 3, 4, 0, 2)
        return real, imag

    def cascade(self, fields: Tensor, second_layer: bool, exponent: float = 1) -> None:
        """There is no short cut: the first columns are filtered otherwise."""
        return None

    def block_grams(self, state: State, j: int) -> None:
        """There is none for blocks either."""
        return None

    def rows(self, state: State, j: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Real and imaginary part (batch, C, P) of all columns filtered at scale j."""
        assert state.moduli is not None
        wavelets, L = self.levels[j].wavelets, self.spec.L
        for l in range(L):
            modes = self._modes(state, j, slice(l, l + 1))[0]
            moduli = (wavelets(state.moduli, slice(i, i + 1))[0] for i in (l, L + l))
            real, imag = (
                torch.cat([first[..., None], others], -1).flatten(-2).permute(1, 2, 0)
                for first, others in zip(modes, moduli, strict=True)
            )
            yield real, imag

    def grams(self, state: State, j: int, coverage: SphereCoverage) -> None:
        """The first columns are filtered otherwise than the others."""
        return None

    def coarsen(self, state: State, j: int, coverage: SphereCoverage | None) -> State:
        """State of scale j + 1: valid cells smoothed, then averaged by four."""
        x = state.fields if coverage is None else state.fields * coverage.of_field(j)
        cos, sin = self.levels[j].component_coarsener(x)
        coarse = torch.stack([cos[..., 0] - sin[..., 1], cos[..., 1] + sin[..., 0]], -1)
        if coverage is not None:
            share = coverage.shares[j][:, :1, None]
            known = (share > LEAST_SHARE) & (coverage.of_field(j + 1) > 0)
            coarse = torch.where(known, coarse / share, 0)
        return State(coarse, super().coarsen(state, j, coverage).moduli)
