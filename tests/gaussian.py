"""Draws of Gaussian fields with a power spectrum k^power."""

import healpy
import numpy as np
import xarray as xr

from helpers import healpix


def flat(shape, power, count, seed=0, margin=1):
    """Fields (time, [y,] x) on a plane or line; part of one *margin* times as long each way.

    With margin=1 they are periodic.
    """
    large = tuple(margin * n for n in shape)
    k = np.sqrt(sum(np.square(q) for q in np.meshgrid(*map(np.fft.fftfreq, large), indexing="ij")))
    k.flat[0] = np.inf if power < 0 else 1
    axes = tuple(range(1, 1 + len(shape)))
    noise = np.random.default_rng(seed).normal(size=(count, *large))
    field = np.fft.ifftn(np.fft.fftn(noise, axes=axes) * k ** (power / 2), axes=axes).real
    field = field[(slice(None), *map(slice, shape))]
    return xr.DataArray(
        field / field.std(), dims=("time", "y", "x")[:1] + ("y", "x")[-len(shape) :]
    )


def sphere(level, power, count, seed=0):
    """Isotropic fields (time, cells), C_l ~ l^power up to l = 3 nside - 1."""
    nside = 2**level
    lmax = 3 * nside - 1
    l, m = healpy.Alm.getlm(lmax)
    rng = np.random.default_rng(seed)
    amplitude = np.where(l > 0, np.maximum(l, 1) ** (power / 2), 0) * np.where(m > 0, 0.5**0.5, 1)
    maps = []
    for _ in range(count):
        real, imag = rng.normal(size=(2, l.size))
        alm = amplitude * (real + 1j * np.where(m > 0, imag, 0))
        maps.append(healpy.reorder(healpy.alm2map(alm, nside, lmax=lmax), r2n=True))
    return healpix(np.array(maps), level, lead=("time",))
