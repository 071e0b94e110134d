"""How strong waves are in what is searched for, and Gaussian noise like that, to begin with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..grids import HealpixGrid
from .multiscale import Level

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Amplitude:
    """Amplitude of waves, relative to white noise of variance 1, at a few wave numbers."""

    k: Array
    """Wave numbers, 1 / wavelength, increasing."""
    values: Array

    @classmethod
    def of(cls, k: Array, values: Array) -> Amplitude:
        """Those that are finite and positive; 1 if there are none."""
        use = np.isfinite(values) & (values > 0)
        order = np.argsort(k[use])
        return cls(k[use][order], values[use][order]) if use.any() else cls(k[:1], np.ones(1))

    @classmethod
    def of_scales(cls, level: Level, gains: Array) -> Amplitude:
        """Those of the waves in the middle of each scale's band."""
        return cls.of(centers(level), gains)

    def __call__(self, k: Array) -> Array:
        """Interpolated between logarithms; constant below the first, falling on beyond the last."""
        x, y = np.log(self.k), np.log(self.values)
        log_k = np.log(np.maximum(k, self.k[0]))
        slope = min(0.0, (y[-1] - y[-2]) / (x[-1] - x[-2])) if len(x) > 1 else 0.0
        return np.exp(np.interp(log_k, x, y) + slope * np.maximum(log_k - x[-1], 0))


def centers(level: Level) -> Array:
    """Wave number (J,) in the middle of each scale's band."""
    scales = range(level.parameters.J)
    return np.array([1 / level.grid.wavelength(level.parameters, j) for j in scales])


def colored(
    level: Level, noise: Array, amplitude: Amplitude, valid: Array, variance: float
) -> Array:
    """White noise (B, cells) with an amplitude, and at least the variance that is wanted.

    What is missing goes to waves far longer than those of the last scale: the search would put it
    wherever that is cheap.
    """
    last = centers(level)[-1]

    def long_waves(k: Array) -> Array:
        return np.exp(-((4 * k / last) ** 2))

    field, waves = filtered(level, noise, amplitude), filtered(level, noise, long_waves)
    field, waves = (x - x[:, valid].mean(1, keepdims=True) for x in (field, waves))
    pairs = ((waves, waves), (waves, field), (field, field))
    a, b, c = ((x * y)[:, valid].mean(1) for x, y in pairs)
    missing = np.maximum(variance - c, 0)
    return field + ((np.sqrt(b**2 + a * missing) - b) / np.where(a > 0, a, 1))[:, None] * waves


def filtered(level: Level, x: Array, response: Callable[[Array], Array]) -> Array:
    """Fields x (B, cells) times a response to the wave number 1 / wavelength.

    Planes and lines that are not periodic are continued evenly.
    """
    from scipy import fft

    grid: Any = level.grid
    if isinstance(grid, HealpixGrid):
        return _filtered_on_sphere(grid, x, response)
    sizes = list(zip(grid.shape, grid.spacing, strict=True))
    if level.parameters.boundary == "periodic":
        waves, there, back = [fft.fftfreq(n, abs(s)) for n, s in sizes], fft.fftn, fft.ifftn
    else:
        waves = [np.arange(n) / (2 * n * abs(s)) for n, s in sizes]
        there, back = fft.dctn, fft.idctn
    k = np.sqrt(sum(g**2 for g in np.meshgrid(*waves, indexing="ij")))
    axes = tuple(range(-k.ndim, 0))
    spectrum = there(x.reshape(len(x), *grid.shape), axes=axes) * response(k)
    return back(spectrum, axes=axes).real.reshape(x.shape)


def _filtered_on_sphere(grid: HealpixGrid, x: Array, response: Callable[[Array], Array]) -> Array:
    """Harmonics are filtered, what they leave of x takes the response of the last one."""
    import healpy

    nside = 2**grid.level
    lmax = 3 * nside - 1
    factors = response(np.arange(lmax + 1) / 360)
    full = np.zeros((len(x), 12 * nside**2))
    full[:, grid.sorted_cells()] = x
    changed = []
    for m in healpy.reorder(full, n2r=True):
        alm = healpy.almxfl(healpy.map2alm(m, lmax=lmax, iter=1), factors - factors[-1])
        changed.append(factors[-1] * m + healpy.alm2map(alm, nside, lmax=lmax))
    return healpy.reorder(np.stack(changed), r2n=True)[:, grid.sorted_cells()]
