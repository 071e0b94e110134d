r"""Wavelets of the E and B modes of a spin field, as weights on the neighbors of a HEALPix cell.

The E wavelet acts on the two components as the kernels of transforms
:math:`\hat\psi(k) \cos s\varphi_k` and :math:`\hat\psi(k) \sin s\varphi_k`, the B wavelet as
:math:`-\sin` and :math:`\cos`. These kernels fall off slowly and HEALPix cells form no square
lattice: simply sampled on 7x7 or 9x9 cells they turn 5 % of the E power of a map with
:math:`C_\ell \propto \ell^{-2}` into B (spin 2). So the weights are fitted, cell by cell. In the
tangent plane, a plane wave of E or B on the neighbors gives the responses :math:`R_E(k), R_B(k)`.
The weights minimize

.. math:: \int S(k) \left( |R_E(k) - \hat\psi(k)|^2 + \lambda |R_B(k)|^2 \right) d^2k

with a red prior spectrum S, and do not respond to constant components. With lambda = 1, the
least-squares fit of both modes, 1.5 to 7 % leak on 7x7 cells; lambda = 10 leaves 0.1 to 0.8 % for
spectra from white to :math:`\ell^{-3}`, and 70 to 100 % of the power that scalar wavelets see in E.
A steeper prior leaks less (slope 4: 0.3 % at :math:`\ell^{-4}`), but follows E less well.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import pi

import numpy as np

from .stencils import cell_vectors
from .wavelets import Array, Wavelet, orientations, turn

# Weight of the leakage against the fidelity of the response to the mode itself.
LEAK_WEIGHT = 10.0
# Prior spectrum: k^-3 above 0.1 radians per cell, under a Gaussian of 0.5 cells (a coarsening).
# A noise, as a part of its variance, keeps the fit well conditioned.
PRIOR_SLOPE, PRIOR_LOWEST, PRIOR_SMOOTHING, PRIOR_NOISE = 3, 0.1, 0.5, 1e-5
# Grid of the target: cells of 1/8, so that the quintic spline is exact to 1e-6, on 64x64 cells.
_STEP, _SIZE = 0.125, 512
# Step of the table of covariances, in cells.
_LAG = 0.002
# Angles, from 0 to pi, from which the weights at any angle are interpolated.
_TURNS = 16
_CELLS_AT_ONCE = 512


def transport_angles(cells: Array, neighbors: Array, level: int, neighbor_level: int) -> Array:
    """Angles (n, K) that turn components at the neighbors into the frame of their central cell.

    A direction at an angle chi from east at the neighbor is parallel, along the great circle, to
    the direction at chi plus this angle from east at the central cell. Absent neighbors (-1) get 0.
    """
    center = cell_vectors(cells, level)
    present = np.where(neighbors < 0, cells[:, None] if level == neighbor_level else 0, neighbors)
    around = cell_vectors(present.ravel(), neighbor_level).reshape(*neighbors.shape, 3)
    east_c, east = _east(center), _east(around)
    north_c = np.cross(center, east_c)
    bend = np.einsum("nkc,nc->nk", east, center) / (1 + np.einsum("nkc,nc->nk", around, center))

    def component(direction: Array) -> Array:
        along = np.einsum("nkc,nc->nk", east, direction)
        return along - np.einsum("nkc,nc->nk", around, direction) * bend

    return np.where(neighbors < 0, 0, np.arctan2(component(north_c), component(east_c)))


def _east(vectors: Array) -> Array:
    x, y = vectors[..., 0], vectors[..., 1]
    return np.stack([-y, x, np.zeros_like(x)], -1) / np.hypot(x, y)[..., None]


def _prior(k: Array) -> Array:
    """Spectrum of E and of B for which the fit is the best one; k in radians per cell."""
    red = (k**2 + PRIOR_LOWEST**2) ** (-PRIOR_SLOPE / 2)
    return red * np.exp(-((PRIOR_SMOOTHING * k) ** 2))


@dataclass(frozen=True)
class SpinFit:
    """Fitted weights of the E and B wavelets of all orientations.

    Parameters
    ----------
    wavelet : Wavelet
        The mother wavelet.
    L : int
        Number of orientations.
    spin : {1, 2}
        Vectors (u, v) or polarization (Q, U).
    """

    wavelet: Wavelet
    L: int
    spin: int

    @cached_property
    def _targets(self) -> list[Array]:
        """Covariances of the wanted coefficient with both components, on a grid of positions.

        They are the transforms of ``psi S cos`` and ``psi S sin``, as coefficients of a spline:
        real and imaginary part of the first, then of the second. With a factor i for spin 1, E and
        B are real fields: the divergence and the curl, over the wave number.
        """
        from scipy.ndimage import spline_filter

        k = 2 * pi * np.fft.fftfreq(_SIZE, _STEP)
        kx, ky = k[:, None], k[None, :]
        wave, envelope = self.wavelet.fourier(kx, ky, self.L)
        wave0, envelope0 = self.wavelet.fourier(np.zeros(1), np.zeros(1), self.L)
        # the spectra are real or imaginary: psi(-u), which a convolution puts on neighbors, is
        # their conjugate, and the factor of spin 1 is turned with it
        unit = -1j if self.spin == 1 else 1
        spectrum = unit * (wave - wave0 / envelope0 * envelope) * _prior(np.hypot(kx, ky))
        angle = self.spin * np.arctan2(ky, kx)
        result = []
        for part in (np.cos(angle), np.sin(angle)):
            target = np.fft.fftshift(np.fft.ifft2(spectrum * part)).conj() / _STEP**2
            result += [spline_filter(target.real, 5), spline_filter(target.imag, 5)]
        return result

    @cached_property
    def _covariance(self) -> Array:
        """Covariances of components at distances of 0, 1, ... times _LAG.

        The real part is that of equal components, the imaginary part varies as cos and sin of 2
        spin times the direction.
        """
        from scipy.interpolate import CubicSpline
        from scipy.special import jv

        dk, coarse = 0.02, np.arange(0, 40, 0.05)
        k = np.arange(dk / 2, 12, dk)
        weight = _prior(k) * k * dk / (2 * pi)
        order = 2 * self.spin
        kr = k * coarse[:, None]
        values = jv(0, kr) @ weight + 1j * (-1) ** self.spin * (jv(order, kr) @ weight)
        return CubicSpline(coarse, values)(np.arange(0, coarse[-1], _LAG))

    def __call__(self, neighbors: Array, east: Array, north: Array, frame: Array | float) -> Array:
        """Weights of n cells, for components in the frame of the central cell.

        Parameters
        ----------
        neighbors : (n, K) int
            Cells around each cell, -1 where there is none.
        east, north : (n, K) float
            Their positions in its tangent plane, in cells.
        frame : (n,) float or float
            Angle from east from which orientations count, in radians.

        Returns
        -------
        (L, 2, n, K) complex
            Weights A1, A2 of the first and second component. E is ``A1 c1 + A2 c2`` and B is
            ``A1 c2 - A2 c1``.
        """
        # between the polar caps, all cells of a ring have neighbors at the same places
        places = np.concatenate([east, north, neighbors < 0], 1)
        rounded = np.round(places * 1e7).astype(np.int64)
        _, index, inverse = np.unique(rounded, axis=0, return_index=True, return_inverse=True)
        cells = np.argsort(inverse.ravel(), kind="stable")
        turned = np.ndim(frame) > 0
        angles = orientations(_TURNS if turned else self.L) + (0 if turned else frame)
        result = np.empty((self.L, 2, *neighbors.shape), complex)
        for start in range(0, len(index), _CELLS_AT_ONCE):
            some = index[start : start + _CELLS_AT_ONCE]
            fitted = self._fit(neighbors[some] < 0, east[some], north[some], angles)
            first, last = np.searchsorted(inverse.ravel()[cells], [start, start + len(some)])
            for part in np.array_split(cells[first:last], 1 + (last - first) // _CELLS_AT_ONCE):
                weights = fitted[inverse.ravel()[part] - start]
                result[:, :, part] = (
                    self._turned(weights, np.asarray(frame)[part])
                    if turned
                    else weights.transpose(1, 2, 0, 3)
                )
        return result

    def _turned(self, weights: Array, frame: Array) -> Array:
        """Weights (L, 2, n, K) for orientations that count from a frame (n,).

        They are band-limited functions of the angle, known at _TURNS angles from 0 to pi; another
        pi conjugates them. *weights* has shape (n, _TURNS, 2, K).
        """
        wanted = frame[:, None] + orientations(self.L)
        off = wanted[..., None] - 2 * orientations(2 * _TURNS)
        harmonics = np.arange(1, _TURNS)[:, None, None, None]
        dirichlet = (1 + 2 * np.cos(harmonics * off).sum(0)) / (2 * _TURNS)
        near, far = dirichlet[..., :_TURNS], dirichlet[..., _TURNS:]
        real = np.einsum("nla,nack->lcnk", near + far, weights.real)
        return real + 1j * np.einsum("nla,nack->lcnk", near - far, weights.imag)

    def _fit(self, missing: Array, east: Array, north: Array, angles: Array) -> Array:
        """Weights (n, A, 2, K) of wavelets at A angles from east."""
        n, K = missing.shape
        targets = self._target(east, north, angles) * ~missing
        targets = targets.transpose(2, 1, 3, 0).reshape(n, 2 * K, -1)
        constants = np.zeros((n, 2 * K, 2))
        constants[:, :K, 0] = constants[:, K:, 1] = ~missing
        right = np.concatenate([targets.real, targets.imag, constants], -1)
        solved = np.linalg.solve(self._normal_matrix(missing, east, north), right)
        weights, pull = solved[..., :-2], solved[..., -2:]
        sums = constants.transpose(0, 2, 1)
        weights = weights - pull @ np.linalg.solve(sums @ pull, sums @ weights)
        weights = weights[..., : len(angles)] + 1j * weights[..., len(angles) :]
        return weights.reshape(n, 2, K, -1).transpose(0, 3, 1, 2)

    def _target(self, east: Array, north: Array, angles: Array) -> Array:
        """Right-hand sides (A, 2, n, K) for wavelets at A angles from east."""
        from scipy.ndimage import map_coordinates

        angles = angles[:, None, None]
        at = np.stack(turn(east, north, angles)) / _STEP + _SIZE // 2
        parts = [map_coordinates(t, at, order=5, prefilter=False) for t in self._targets]
        along, across = parts[0] + 1j * parts[1], parts[2] + 1j * parts[3]
        cos, sin = np.cos(self.spin * angles), np.sin(self.spin * angles)
        return np.stack([along * cos - across * sin, along * sin + across * cos], 1)

    def _normal_matrix(self, missing: Array, east: Array, north: Array) -> Array:
        """Matrix (n, 2 K, 2 K) of the least-squares problem; rows of absent neighbors are unity."""
        n, K = missing.shape
        a, b = np.triu_indices(K, 1)
        x, y = east[:, a] - east[:, b], north[:, a] - north[:, b]
        distance2 = x * x + y * y
        lag, part = np.divmod(np.sqrt(distance2) / _LAG, 1)
        lag = lag.astype(np.int32)
        covariance = self._covariance[lag]
        covariance += part * (self._covariance[lag + 1] - covariance)
        covariance *= ~(missing[:, a] | missing[:, b])
        turned = (x + 1j * y) ** 2 / np.where(distance2 > 0, distance2, 1)
        turned = (1 - LEAK_WEIGHT) / 2 * covariance.imag * (turned if self.spin == 1 else turned**2)
        equal = (1 + LEAK_WEIGHT) / 2 * covariance.real
        variance = ((1 + LEAK_WEIGHT) / 2 + PRIOR_NOISE) * self._covariance[0].real
        normal = np.zeros((n, 2, K, 2, K))
        for i, j, values in ((0, 0, equal + turned.real), (1, 1, equal - turned.real)):
            normal[:, i, a, j, b] = normal[:, i, b, j, a] = values
            normal[:, i, range(K), j, range(K)] = np.where(missing, 1, variance)
        for i, j in ((0, 1), (1, 0)):
            normal[:, i, a, j, b] = normal[:, i, b, j, a] = turned.imag
        return normal.reshape(n, 2 * K, 2 * K)
