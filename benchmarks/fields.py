"""The maps that both sides are given: Gaussian, fixed seed, mean 0, standard deviation 1."""

import numpy as np


def healpix(nside: int, seed: int = 1) -> np.ndarray:
    """C_l ~ l^-2 up to l = 2 nside, nested order, shape (12 nside^2,)."""
    import healpy

    lmax = 2 * nside
    l, m = healpy.Alm.getlm(lmax)
    draw = np.random.default_rng(seed).standard_normal((2, l.size))
    imaginary = np.where(m > 0, draw[1], 0)
    alm = (draw[0] + 1j * imaginary) * np.sqrt(np.where(m > 0, 0.5, 1)) / np.maximum(l, 1)
    alm[0] = 0
    ring = healpy.alm2map(alm, nside, lmax=lmax)
    return standardized(healpy.reorder(ring, r2n=True))


def plane(n: int, seed: int = 1) -> np.ndarray:
    """Power ~ k^-3, periodic, shape (n, n)."""
    ky, kx = np.meshgrid(np.fft.fftfreq(n), np.fft.rfftfreq(n), indexing="ij")
    k = np.hypot(ky, kx)
    k[0, 0] = np.inf
    noise = np.random.default_rng(seed).standard_normal((n, n))
    return standardized(np.fft.irfft2(np.fft.rfft2(noise) * k**-1.5, s=(n, n)))


def standardized(field: np.ndarray) -> np.ndarray:
    return (field - field.mean()) / field.std()
