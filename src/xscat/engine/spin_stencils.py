r"""Wavelets of the E and B modes of a spin field, as weights on the neighbors of a HEALPix cell.

The E wavelet acts on the two components as the kernels of transforms
:math:`\hat\psi(k) \cos s\varphi_k` and :math:`\hat\psi(k) \sin s\varphi_k`, the B wavelet as
:math:`-\sin` and :math:`\cos`. These kernels fall off slowly and HEALPix cells form no square
lattice: simply sampled on 7x7 or 9x9 cells they turn 5 % of the E power of a map with
:math:`C_\ell \propto \ell^{-2}` into B (spin 2). So the weights are fitted, cell by cell. In the tangent
plane, where a plane wave of E or B on the neighbors gives the responses :math:`R_E(k), R_B(k)`,
they minimize

.. math:: \int S(k) \left( |R_E(k) - \hat\psi(k)|^2 + \lambda |R_B(k)|^2 \right) d^2k

with a red prior spectrum S, and do not respond to constant components. With lambda = 1, the
least-squares fit of both modes, 1.5 to 7 % leak on 7x7 cells; lambda = 10 leaves 0.1 to 0.5 %.
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
# Prior spectrum: k^-3 above 0.1 radians per cell, smoothed by a Gaussian of 0.4 cells; and a noise,
# as a part of its variance, that keeps the fit well conditioned.
PRIOR_SLOPE, PRIOR_LOWEST, PRIOR_SMOOTHING, PRIOR_NOISE = 3, 0.1, 0.4, 1e-5
# Grid of the target: cells of 1/8, so that the quintic spline is exact to 1e-6, on 64x64 cells.
_STEP, _SIZE = 0.125, 512
_CELLS_AT_ONCE = 512


def transport_angles(cells: Array, neighbors: Array, level: int, neighbor_level: int) -> Array:
    """Angles (n, K) that turn components at the neighbors into the frame of their central cell.

    A direction at an angle chi from east at the neighbor is parallel, along the great circle, to the
    direction at chi plus this angle from east at the central cell. Absent neighbors (-1) get 0.
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
    def _targets(self) -> tuple[Array, Array]:
        """Covariances of the wanted coefficient with both components, on a grid of positions.

        They are the transforms of ``psi S cos`` and ``psi S sin``. With the factor i for spin 1,
        E and B are real fields: the divergence and the curl, over the wave number.
        """
        k = 2 * pi * np.fft.fftfreq(_SIZE, _STEP)
        kx, ky = k[:, None], k[None, :]
        wave, envelope = self.wavelet.fourier(kx, ky, self.L)
        wave0, envelope0 = self.wavelet.fourier(np.zeros(1), np.zeros(1), self.L)
        spectrum = (wave - wave0 / envelope0 * envelope) * _prior(np.hypot(kx, ky))
        angle = self.spin * np.arctan2(ky, kx)
        # stencils are correlated with the map: they respond to a wave vector k as psi to -k
        unit = -1j if self.spin == 1 else 1
        cos, sin = (
            unit * np.fft.fftshift(np.fft.ifft2(spectrum * part)) / _STEP**2
            for part in (np.cos(angle), np.sin(angle))
        )
        return cos, sin

    @cached_property
    def _covariances(self) -> tuple[Array, Array, Array]:
        """Distances; covariance of equal components; its part of angular order 2 spin."""
        from scipy.special import jv

        dk = 0.02
        k = np.arange(dk / 2, 12, dk)
        distance = np.linspace(0, 40, 16001)
        weight = _prior(k) * k * dk / (2 * pi)
        kr = k * distance[::20, None]
        scalar, spin = jv(0, kr) @ weight, (-1) ** self.spin * jv(2 * self.spin, kr) @ weight
        from scipy.interpolate import CubicSpline

        return distance, *(CubicSpline(distance[::20], f)(distance) for f in (scalar, spin))

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
        frame = np.broadcast_to(np.asarray(frame, float), len(neighbors))
        # most cells of a ring between the polar caps have neighbors at the same places
        places = np.concatenate([east, north, frame[:, None], neighbors < 0], 1)
        rounded = np.round(places * 1e7).astype(np.int64)
        _, index, inverse = np.unique(rounded, axis=0, return_index=True, return_inverse=True)
        result = np.empty((self.L, 2, len(index), east.shape[1]), complex)
        for start in range(0, len(index), _CELLS_AT_ONCE):
            some = index[start : start + _CELLS_AT_ONCE]
            part = self._fit(neighbors[some] < 0, east[some], north[some], frame[some])
            result[:, :, start : start + len(some)] = part
        return result[:, :, inverse.ravel()]

    def _fit(self, missing: Array, east: Array, north: Array, frame: Array) -> Array:
        n, K = missing.shape
        normal = self._normal_matrix(missing, east, north)
        targets = np.stack([self._target(east, north, a + frame) for a in orientations(self.L)], -1)
        targets = (targets * ~missing[..., None]).transpose(1, 0, 2, 3).reshape(n, 2 * K, self.L)
        constants = np.zeros((n, 2 * K, 2))
        constants[:, :K, 0] = constants[:, K:, 1] = ~missing
        right = np.concatenate([targets.real, targets.imag, constants], -1)
        solved = np.linalg.solve(normal, right)
        weights, pull = solved[..., :-2], solved[..., -2:]
        sums = constants.transpose(0, 2, 1)
        weights = weights - pull @ np.linalg.solve(sums @ pull, sums @ weights)
        weights = weights[..., : self.L] + 1j * weights[..., self.L :]
        return weights.reshape(n, 2, K, self.L).transpose(3, 1, 0, 2)

    def _target(self, east: Array, north: Array, angle: Array) -> Array:
        """Right-hand side (2, n, K) for a wavelet at an angle (n,) from east."""
        from scipy.ndimage import map_coordinates

        x, y = turn(east, north, angle[:, None])
        at = np.stack([x, y]) / _STEP + _SIZE // 2
        along, across = (
            map_coordinates(t.real, at, order=5) + 1j * map_coordinates(t.imag, at, order=5)
            for t in self._targets
        )
        cos, sin = np.cos(self.spin * angle)[:, None], np.sin(self.spin * angle)[:, None]
        return np.stack([along * cos - across * sin, along * sin + across * cos])

    def _normal_matrix(self, missing: Array, east: Array, north: Array) -> Array:
        """Matrix (n, 2 K, 2 K) of the least-squares problem; rows of absent neighbors are unity."""
        n, K = missing.shape
        position = east + 1j * north
        separation = position[:, :, None] - position[:, None]
        distance = np.abs(separation)
        grid, scalar, spin = self._covariances
        direction = (separation / np.where(distance > 0, distance, 1)) ** (2 * self.spin)
        turned = (1 - LEAK_WEIGHT) / 2 * np.interp(distance, grid, spin) * direction
        equal = (1 + LEAK_WEIGHT) / 2 * np.interp(distance, grid, scalar)
        normal = np.empty((n, 2, K, 2, K))
        normal[:, 0, :, 0] = equal + turned.real
        normal[:, 1, :, 1] = equal - turned.real
        normal[:, 0, :, 1] = normal[:, 1, :, 0] = turned.imag
        normal *= (~missing[:, None, :, None, None]) & (~missing[:, None, None, None, :])
        normal = normal.reshape(n, 2 * K, 2 * K)
        diagonal = np.where(missing, 1, PRIOR_NOISE * scalar[0])
        normal[:, np.arange(2 * K), np.arange(2 * K)] += np.concatenate([diagonal, diagonal], 1)
        return normal
