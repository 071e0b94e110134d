"""The mother wavelet, its Fourier transform on a grid of wave numbers and its support."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, pi
from typing import Any, Protocol, runtime_checkable

import numpy as np

from ..errors import checked_count, checked_number
from ..keywords import checked_class

Array = np.ndarray[Any, np.dtype[Any]]

# Parts of their peak below which a filter's transform and its envelope count as zero.
FOURIER_CUT = 1e-8
SUPPORT_CUT = np.exp(-4.5)  # three standard deviations of a Gaussian
# Radius of the compact wavelets of E and B on a plane over that of the mother wavelet.
MODE_RADIUS = 2.0


@runtime_checkable
class Wavelet(Protocol):
    """What xscat asks of a wavelet: its Fourier transform and its values.

    Both methods describe scale 0 as a pair *(wave, envelope)* of NumPy arrays; xscat uses
    ``wave - beta * envelope`` with the one ``beta`` that makes it sum to zero on the grid at hand.
    Positions and wave numbers are given *along* the wave vector and *across* it, in cells and in
    radians per cell. ``radius`` is the half-width, in cells, of the neighborhood that carries the
    wavelet on the sphere.
    """

    @property
    def radius(self) -> int:
        """Half-width of the neighborhood."""
        ...

    def fourier(self, along: Array, across: Array, L: int) -> tuple[Array, Array]:
        """Fourier transforms (real) of the wave and of its envelope."""
        ...

    def values(self, along: Array, across: Array, L: int) -> tuple[Array, Array]:
        """Values of the wave (complex) and of its envelope (real)."""
        ...


@checked_class
@dataclass(frozen=True)
class Morlet:
    r"""Morlet wavelet: a plane wave under a Gaussian envelope.

    .. math:: \psi(u) = g(u)\,(e^{i \xi u_\parallel} - \beta), \qquad
              g(u) \propto e^{-(u_\parallel^2 + s^2 u_\perp^2) / 2 \sigma^2}

    with :math:`g` of unit sum and :math:`\beta` such that :math:`\psi` sums to zero. At scale j it
    is :math:`2^j` times wider; at orientation l it is turned by :math:`180° l / L`.

    Parameters
    ----------
    sigma : float, default 0.8
        Standard deviation of the envelope along the wave vector, in cells.
    xi : float, default 3 pi / 4
        Wave number at the center of the band, in radians per cell.
    slant : float, optional
        Width of the envelope along the wave vector over its width along the crests. Default: 4 / L,
        so that more orientations are also more selective ones.
    radius : int, default 2
        On the sphere, the wavelet is sampled on the (2 radius + 1)² cells around each cell.

    Raises
    ------
    ValueError
        If a parameter is not positive and finite, or the radius is not 1, 2, 3 or 4.

    References
    ----------
    Bruna & Mallat 2013, *Invariant scattering convolution networks*, IEEE TPAMI 35, 1872.

    Examples
    --------
    >>> import xscat
    >>> xscat.Morlet(radius=3).radius
    3
    """

    sigma: float = 0.8
    xi: float = 3 * pi / 4
    slant: float | None = None
    radius: int = 2

    def __post_init__(self) -> None:
        if checked_count("radius", self.radius) > 4:
            raise ValueError(f"radius={self.radius}: choose 1, 2, 3 or 4 cells")
        for name in ("sigma", "xi", "slant"):
            if (value := getattr(self, name)) is not None or name != "slant":
                checked_number(name, value)

    def _slant(self, L: int) -> float:
        return 4 / L if self.slant is None else self.slant

    def fourier(self, along: Array, across: Array, L: int) -> tuple[Array, Array]:
        """Fourier transforms of the wave and of its envelope (see `Wavelet`)."""
        across2 = (across / self._slant(L)) ** 2
        wave = np.exp(-(self.sigma**2) / 2 * ((along - self.xi) ** 2 + across2))
        envelope = np.exp(-(self.sigma**2) / 2 * (along**2 + across2))
        return wave, envelope

    def values(self, along: Array, across: Array, L: int) -> tuple[Array, Array]:
        """Values of the wave and of its envelope (see `Wavelet`); the sum is 1 on unit cells."""
        slant = self._slant(L)
        envelope = np.exp(-(along**2 + (slant * across) ** 2) / (2 * self.sigma**2))
        envelope = envelope * slant / (2 * pi * self.sigma**2)
        return envelope * np.exp(1j * self.xi * along), envelope


def orientations(L: int) -> Array:
    """Directions of the wave vectors in radians, counter-clockwise from +x or east."""
    return pi * np.arange(L) / L


def turn(x: Array, y: Array, angle: Array | float) -> tuple[Array, Array]:
    """Components of the vector (x, y) along and across a direction."""
    cos, sin = np.cos(angle), np.sin(angle)
    return x * cos + y * sin, y * cos - x * sin


def periodized(
    wavelet: Wavelet,
    kx: Array,
    ky: Array,
    angle: float,
    L: int,
    j: int,
    period: tuple[float | None, float | None],
    reach: float,
) -> Array:
    """Transform of the sampled wavelet of scale j at wave numbers kx, ky; it is zero at (0, 0).

    Sampling folds wave numbers beyond the *period* (along x, along y) back onto the grid's; *reach*
    is the largest one that counts.
    """

    def shifts(p: float | None) -> Array:
        n = 0 if p is None else ceil(reach / p + 0.5)
        return np.arange(-n, n + 1) * (p or 0.0)

    def folded(kx: Array, ky: Array) -> tuple[Array, Array]:
        wave = envelope = np.zeros(1)
        for shift_x in shifts(period[0]):
            for shift_y in shifts(period[1]):
                along, across = turn(2**j * (kx + shift_x), 2**j * (ky + shift_y), angle)
                parts = wavelet.fourier(along, across, L)
                wave, envelope = wave + parts[0], envelope + parts[1]
        return wave, envelope

    wave, envelope = folded(kx, ky)
    wave0, envelope0 = folded(np.zeros(1), np.zeros(1))
    return wave - wave0 / envelope0 * envelope


def fourier_reach(wavelet: Wavelet, L: int) -> float:
    """Largest wave number, radians per cell, at which the wavelet of scale 0 is not negligible."""
    k, angle = np.linspace(0, 40, 2001)[:, None], np.linspace(0, 2 * pi, 128, endpoint=False)
    wave = np.abs(wavelet.fourier(k * np.cos(angle), k * np.sin(angle), L)[0])
    return float(k[(wave > FOURIER_CUT * wave.max()).any(1)].max())


def support_radius(wavelet: Wavelet, L: int) -> float:
    """Distance, in cells, beyond which the envelope of the wavelet of scale 0 counts as zero."""
    u, angle = np.linspace(0, 20, 1001)[:, None], np.linspace(0, pi, 8, endpoint=False)
    envelope = wavelet.values(u * np.cos(angle), u * np.sin(angle), L)[1]
    return float(u[(envelope >= SUPPORT_CUT * envelope[0]).any(1)].max())
