"""Wavelets on the cells around a point of a plane or a line, cut at the edge of their support."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from .wavelets import Array, Wavelet, orientations, support_radius, turn

if TYPE_CHECKING:
    from .flat import FlatSpec


def around(spec: FlatSpec, radius: float, origin: tuple[float, float]) -> tuple[Array, Array]:
    """Indices of the cells, along y and x, within a radius of a point that *origin* is off one."""
    return tuple(  # type: ignore[return-value]
        np.arange(math.ceil(-radius / abs(s) - o), math.floor(radius / abs(s) - o) + 1)
        if n > 1
        else np.zeros(1, int)
        for n, s, o in zip(spec.shape, spec.step, origin, strict=True)
    )


def cut_wavelets(
    spec: FlatSpec, j: int, origin: tuple[float, float], angles: Array | None = None
) -> tuple[Array, tuple[Array, Array]]:
    """Wavelets of scale j on the cells of their support, which they sum to zero on.

    Parameters
    ----------
    spec : FlatSpec
        Of the plane or the line.
    j : int
        Scale.
    origin : (float, float)
        Position along y and x, in cells, of the point at which coefficients are wanted.

    Returns
    -------
    values : (L, y, x) complex
        ``psi(u)`` at the points that are u away from a cell: for convolution.
    indices : (y,), (x,)
        Their cells: u less the origin, in cells.
    """
    radius = support_radius(spec.wavelet, spec.L) * 2**j
    indices = around(spec, radius, origin)
    y, x = ((i + o) * s for i, o, s in zip(indices, origin, spec.step, strict=True))
    y = y[:, None]
    inside = within(y, x, radius)
    if spec.shape[0] == 1:
        wave, envelope = _along_a_line(spec.wavelet, x / 2**j, spec.L)
        parts = wave[None, None], envelope[None, None]
    else:
        along, across = turn(x / 2**j, y / 2**j, orientations(spec.L)[:, None, None])
        parts = spec.wavelet.values(along, across, spec.L)
    area = math.prod(abs(s) / 2**j for n, s in zip(spec.shape, spec.step, strict=True) if n > 1)
    wave, envelope = (part * inside * area for part in parts)
    beta = wave.sum((-2, -1), keepdims=True) / envelope.sum((-2, -1), keepdims=True)
    return wave - beta * envelope, indices


def within(y: Any, x: Any, radius: float) -> Any:
    """Whether positions are in the disc that a coefficient needs, its edge included."""
    return y**2 + x**2 <= radius**2 * (1 + 1e-12)


def _along_a_line(wavelet: Wavelet, x: Array, L: int) -> tuple[Array, Array]:
    """Values of the wave and of the envelope on a line: their integrals across it."""
    width = 4 * max(1.0, support_radius(wavelet, L))
    across = np.linspace(-width, width, 801)
    wave, envelope = wavelet.values(x[:, None], across, L)
    step = across[1] - across[0]
    return wave.sum(-1) * step, envelope.sum(-1) * step
