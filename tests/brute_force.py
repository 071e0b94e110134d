"""The definitions, written down once more and evaluated without any shortcut.

Wavelets are sampled in space with as many periodic images as count, fields are filtered on the
whole grid, and every mean is a mean over cells. Nothing here uses xscat.
"""

from itertools import product

import numpy as np


def morlets(shape, J, L, step=None, cut=False):
    """Fourier transforms (J, L, *shape) of the periodized Morlet wavelets; L = 1 on a line.

    With *cut* they end at three standard deviations of the longer side of their envelope.
    """
    step = step or (1.0,) * len(shape)
    result = np.empty((J, L, *shape), complex)
    for j, l in np.ndindex(J, L):
        sigma, xi, angle = 0.8 * 2**j, 3 * np.pi / 4 / 2**j, np.pi * l / L
        reach = 9 * sigma * max(1, L / 4)
        axes = [images(n, s, reach) for n, s in zip(shape, step, strict=True)]
        wave, envelope = 0, 0
        for axis in product(*axes):
            if len(shape) == 1:
                along, across, width = axis[0], 0, 1
            else:
                y, x = np.meshgrid(*axis, indexing="ij")
                along = x * np.cos(angle) + y * np.sin(angle)
                across = (y * np.cos(angle) - x * np.sin(angle)) * 4 / L
                width = L / 4
            g = np.exp(-(along**2 + across**2) / (2 * sigma**2))
            if cut:
                support = 3 * sigma * max(1, L / 4)
                g = g * (sum(np.square(a) for a in np.ix_(*axis)) <= support**2 * (1 + 1e-12))
            g *= np.prod(np.abs(step)) / (np.sqrt(2 * np.pi) * sigma) ** len(shape) / width
            wave = wave + g * np.exp(1j * xi * along)
            envelope = envelope + g
        result[j, l] = np.fft.fftn(wave - wave.sum() / envelope.sum() * envelope)
    return result


def images(n, step, reach):
    """Positions of n cells and of as many of their periodic images as lie within *reach*."""
    count = int(np.ceil(reach / n / abs(step)))
    return [(np.arange(n) + k * n) * step for k in range(-count, count + 1)]


def convolve(field, psi):
    """Fields (..., *shape) filtered by one wavelet."""
    axes = tuple(range(-psi.ndim, 0))
    return np.fft.ifftn(np.fft.fftn(field, axes=axes) * psi, axes=axes)


def statistics(field, psi, valid=None, supports=None):
    """S1, S2 (j, l), S3 (j1, j2, l1, l2) and S4 (j1, j2, j3, l1, l2, l3) of a field.

    Parameters
    ----------
    field : (*shape)
    psi : (J, L, *shape)
    valid : (*shape) bool, optional
        Cells that are not missing. Missing ones take the mean of the others.
    supports : list of callable, optional
        Per scale, a function from valid cells to the cells whose whole neighborhood is valid.
    """
    J, L = psi.shape[:2]
    if valid is None:
        valid, supports = np.ones(field.shape, bool), [lambda mask: mask] * J
    field = np.where(valid, field, field[valid].mean())
    S1, S2 = np.empty((2, J, L))
    S3 = np.full((J, J, L, L), complex("nan+nanj"))
    S4 = np.full((J, J, J, L, L, L), complex("nan+nanj"))
    U, inner = [], []
    for j, l in np.ndindex(J, L):
        W = convolve(field, psi[j, l])
        where = supports[j](valid)
        S1[j, l], S2[j, l] = np.abs(W)[where].mean(), (np.abs(W) ** 2)[where].mean()
        modulus = np.abs(W)
        U.append(np.where(where, modulus, modulus[where].mean()))
        inner.append((j, l, where))
    for j3, l3 in np.ndindex(J, L):
        W, where = convolve(field, psi[j3, l3]), supports[j3](valid)
        V = [convolve(u, psi[j3, l3]) for u in U[: (j3 + 1) * L]]
        masks = [supports[j3](mask) for _, _, mask in inner[: (j3 + 1) * L]]
        for a, (j1, l1, _) in enumerate(inner[: (j3 + 1) * L]):
            S3[j1, j3, l1, l3] = (W * V[a].conj())[where & masks[a]].mean()
            for b, (j2, l2, _) in enumerate(inner[: (j3 + 1) * L]):
                if j1 <= j2:
                    both = masks[a] & masks[b]
                    S4[j1, j2, j3, l1, l2, l3] = (V[a] * V[b].conj())[both].mean()
    return {"S1": S1, "S2": S2, "S3": S3, "S4": S4}
