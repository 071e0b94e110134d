r"""Compact wavelets of the E and B modes of a spin field on a plane.

E is ``A1 c1 + A2 c2`` and B is ``A1 c2 - A2 c1``. In Fourier space A1 and A2 are
:math:`\hat\psi(k) \cos s\varphi` and :math:`\hat\psi(k) \sin s\varphi`, which are not smooth at
k = 0: these kernels have algebraic tails, and no cut of them keeps E and B apart. So kernels are
fitted, on the cells of the disc that has to be valid, or as smooth functions that vanish outside.
With the responses R to plane waves of E and B and a red spectrum S, they minimize

.. math:: \int S(k) \left( |R_E(k) - \hat\psi(k)|^2 + \lambda |R_B(k)|^2 \right) d^2k

* From scale 2 on they are derivatives of one function chi, a spline: its gradient for spin 1, its
  second derivatives for spin 2. Waves of E have no B then, by construction.
* At scales 0 and 1 wavelets are not much wider than a cell. The values themselves are fitted, with
  a large lambda. A lattice does not tell directions apart near its highest wave numbers, so that
  little of the response is left there: at scale 0, 80 % of the power of white noise.

A disc cannot hold the response to waves much longer than itself. What they lack is made up for at
somewhat shorter ones, such that fields with power-law spectra have the power that they have on a
periodic plane, within 2.5 % (4 % at scale 0) for slopes from 1.5 to 3. Where spectra are steeper,
long waves take over: of k^-4 the wavelets see 50 to 80 %.

Leakage, B over E in power, is below 1e-4 for spectra from white to k^-6: 1e-5 to 5e-5 at scale 0,
below 5e-6 for slopes of 1.5 and more at others.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from scipy.fft import next_fast_len

from .cache import remembered
from .kernels import around, within
from .wavelets import (
    MODE_RADIUS,
    Array,
    Wavelet,
    fourier_reach,
    orientations,
    periodized,
    support_radius,
)

if TYPE_CHECKING:
    from .spin import SpinFlatSpec

# Weight of the leakage against the fidelity of the response to the mode itself, and that of waves
# at the highest wave number against others: derivatives of a potential can have many of these.
LEAK_WEIGHT, EDGE_WEIGHT = 2500.0, 100.0
# Prior spectrum, in radians per cell of the scale: red, flat below the lowest wave number, on a
# floor that rises beyond the edge. A part of the variance keeps the fit well conditioned.
PRIOR_SLOPE, PRIOR_LOWEST, PRIOR_FLOOR, PRIOR_EDGE, PRIOR_NOISE = 3.0, 0.05, 0.03, 5.0, 1e-7
# Slopes of spectra that have, in the mean, the power that they have on a periodic plane.
POWER_SLOPES = 1.5, 2.0, 2.5, 3.0
# Least side of the periodic plane on which wavelets are fitted, in cells of the scale and in radii.
_SIDE, _SIDE_RADII = 96, 8
# Values of wavelets are fitted one by one up to this scale and number; then they are splines of
# fifth order: knots per radius, largest distance of knots in cells of the scale.
_FITTED_SCALES, _MOST_VALUES = 2, 1500
_KNOTS, _WIDEST = 20, 0.48


def mode_wavelets(
    spec: SpinFlatSpec, j: int, origin: tuple[float, float]
) -> tuple[Array, tuple[Array, Array]]:
    """Wavelets A1, A2 (L, 2, y, x) of scale j on the cells around a point, and these cells.

    Their transforms are real: those of spin 1 act on the components times i. See `cut_wavelets`.
    """
    radius = MODE_RADIUS * support_radius(spec.wavelet, spec.L)
    indices = around(spec, radius * 2**j, origin)
    steps = tuple(s / 2**j for s in spec.step)
    y, x = ((i + o) * s for i, o, s in zip(indices, origin, steps, strict=True))
    disc = within(y[:, None], x, radius)
    if j < _FITTED_SCALES and np.count_nonzero(disc) <= _MOST_VALUES:
        values = _fitted(spec.wavelet, spec.L, spec.spin, steps, origin)
    else:
        chi = _spline(spec.wavelet, spec.L, spec.spin)
        values = chi(y, x) * math.prod(map(abs, steps))
        envelope = disc * (1 - (y[:, None] ** 2 + x**2) / radius**2) ** 2
        excess = values.sum((-2, -1), keepdims=True)
        values = values - excess * envelope / envelope.sum()
    return values, indices


class _Waves:
    """The waves of a periodic plane of cells of given sides, and what is wanted of them.

    Two targets (2, L, ky, kx) are the wavelet and the part of it at wave numbers too low for the
    disc. Cells are measured in those of the scale; a *sampled* wavelet folds wave numbers that they
    do not tell apart.
    """

    def __init__(self, wavelet: Wavelet, L: int, step: tuple[float, float], sampled: bool):
        self.radius = MODE_RADIUS * support_radius(wavelet, L)
        side = max(_SIDE, _SIDE_RADII * self.radius)
        self.size = tuple(_even(side / abs(s)) for s in step)
        ky, kx = (2 * math.pi * np.fft.fftfreq(n, s) for n, s in zip(self.size, step, strict=True))
        self.ky, self.kx = ky[:, None], kx
        self.k = np.hypot(self.kx, self.ky)
        self.prior = (self.k**2 + PRIOR_LOWEST**2) ** (-PRIOR_SLOPE / 2)
        self.prior += PRIOR_FLOOR * (1 + (self.k / PRIOR_EDGE) ** 4)
        period_y, period_x = (2 * math.pi / abs(s) if sampled else None for s in step)
        args = L, 0, (period_x, period_y), fourier_reach(wavelet, L)
        psi = np.stack([periodized(wavelet, self.kx, self.ky, a, *args) for a in orientations(L)])
        low = np.exp(-2 * (self.k * support_radius(wavelet, L) / 3) ** 2)
        self.targets = np.stack([psi, psi * low])

    def directions(self, spin: int) -> tuple[Array, Array, Array]:
        """Components (cos, sin) of waves of E of unit size, and what is left of their direction.

        A wave at the highest wave number is as much one of k as of -k: it has the mean of both.
        """

        def both(k: Array) -> tuple[Array, Array]:
            return k, np.where(np.isclose(abs(k), abs(k).max()), -k, k)

        k = np.where(self.k > 0, self.k, 1)
        pairs = [(kx + 1j * ky) / k for ky in both(self.ky) for kx in both(self.kx)]
        wave = np.mean(np.stack(pairs) ** spin, 0)
        share = np.where(abs(wave) > 1e-9, abs(wave), 0)
        wave = np.where(share > 0, wave / np.where(share > 0, share, 1), 0)
        return wave.real, wave.imag, np.where(share > 1 - 1e-9, 1, share)

    def at_cells(self, spectrum: Array, cells: tuple[Array, Array]) -> Array:
        """The function with a spectrum (..., ky, kx) on cells (..., n) of given indices."""
        y, x = (i % n for i, n in zip(cells, self.size, strict=True))
        return np.asarray(np.fft.ifft2(spectrum)[..., y, x])

    def between_cells(self, spectrum: Array, cells: tuple[Array, Array]) -> Array:
        """The even function of a spectrum at the distances (n, n) of all pairs of cells."""
        y, x = (i[:, None] - i for i in cells)
        return self.at_cells(spectrum, (y, x)).real

    def spectrum(self, values: Array, cells: tuple[Array, Array], shift: Array | int = 1) -> Array:
        """The spectrum of values (..., n) on cells, real once the phases of a shift are off."""
        plane = np.zeros((*values.shape[:-1], *self.size), complex)
        y, x = (i % n for i, n in zip(cells, self.size, strict=True))
        plane[..., y, x] = values
        return np.asarray((np.fft.fft2(plane) / shift).real)

    def mixture(self, responses: Array, counted: Array | bool = True) -> Array:
        """Weights of the fits (2, L) to both targets, given the responses (2, L, ky, kx) to a mode.

        The waves that count, with power-law spectra, then have the power that the wavelets give
        them, in the mean.
        """
        k = np.where((self.k > 0) & counted, self.k, np.inf)
        weights = [k**-slope for slope in POWER_SLOPES]
        wanted = np.stack([(self.targets[0] ** 2 * w).sum((-2, -1)) for w in weights], 1)
        products = [np.einsum("alyx,blyx,yx->lab", responses, responses, w) for w in weights]
        matrix = np.stack(products, 1) / wanted[..., None, None]
        v = np.tile([1.0, 0.0], (len(wanted), 1))
        for _ in range(20):
            slopes = np.einsum("lsab,lb->lsa", matrix, v)
            missing = 1 - np.einsum("lsa,la->ls", slopes, v)
            v = v + (np.linalg.pinv(2 * slopes) @ missing[..., None])[..., 0]
        return v.T


def _even(n: float) -> int:
    """Even size of fast transforms."""
    return 2 * next_fast_len(math.ceil(n / 2))


def _solved(normal: Array, right: Array, fixed: Array) -> Array:
    """Solutions (T, n) of the normal equations for (T, n), without a part along *fixed* (F, n)."""
    normal = normal + np.diag(PRIOR_NOISE * normal.diagonal())
    parts = np.concatenate([right.real, right.imag, fixed])
    solutions = np.linalg.solve(normal, parts.T).T
    real, imag, pull = np.split(solutions, [len(right), 2 * len(right)])
    free = real + 1j * imag
    return np.asarray(free - free @ fixed.T @ np.linalg.solve(pull @ fixed.T, pull))


@remembered
def _fitted(
    wavelet: Wavelet, L: int, spin: int, step: tuple[float, float], origin: tuple[float, float]
) -> Array:
    """Wavelets A1, A2 (L, 2, y, x), each value of which is fitted."""
    waves = _Waves(wavelet, L, step, sampled=True)
    ranges = tuple(
        np.arange(math.ceil(-waves.radius / abs(s) - o), math.floor(waves.radius / abs(s) - o) + 1)
        for s, o in zip(step, origin, strict=True)
    )
    y, x = ((i + o) * s for i, o, s in zip(ranges, origin, step, strict=True))
    disc = np.nonzero(within(y[:, None], x, waves.radius))
    cells = ranges[0][disc[0]], ranges[1][disc[1]]
    y, x = y[disc[0]], x[disc[1]]
    cos, sin, share = waves.directions(spin)
    leak = LEAK_WEIGHT * np.where(share < 1, EDGE_WEIGHT, 1)
    equal, crossed = (
        waves.between_cells(waves.prior * part, cells)
        for part in (cos**2 + leak * sin**2, (1 - leak) * cos * sin)
    )
    other = waves.between_cells(waves.prior * (sin**2 + leak * cos**2), cells)
    shift = np.exp(1j * (waves.ky * origin[0] * step[0] + waves.kx * origin[1] * step[1]))
    wanted = waves.prior * waves.targets.reshape(-1, *waves.size) * share * shift
    right = np.concatenate([waves.at_cells(wanted * part, cells) for part in (cos, sin)], -1)
    zero, one = np.zeros(len(y)), np.ones(len(y))
    # components that are constant or linear have no mode
    fixed = [pair for f in (one, x, y) for pair in ((f, zero), (zero, f))]
    normal = np.block([[equal, crossed], [crossed, other]])
    a = _solved(normal, right, np.array(fixed).reshape(len(fixed), -1)).reshape(2, L, 2, -1)
    a1, a2 = waves.spectrum(a, cells, shift).transpose(2, 0, 1, 3, 4)
    a = np.einsum("al,alcn->lcn", waves.mixture(a1 * cos + a2 * sin, share == 1), a)
    values = np.zeros((L, 2, *(len(r) for r in ranges)), complex)
    values[..., disc[0], disc[1]] = a
    return values


@remembered
def _spline(wavelet: Wavelet, L: int, spin: int) -> Callable[[Array, Array], Array]:
    """Wavelets A1, A2 (L, 2, y, x) at positions (y,), (x,) in cells of the scale."""
    from scipy.interpolate import BSpline

    radius = MODE_RADIUS * support_radius(wavelet, L)
    h = min(radius / _KNOTS, _WIDEST)
    waves = _Waves(wavelet, L, (h, h), sampled=False)
    n = int(radius / h)
    at = np.arange(-n, n + 1)
    inside = np.nonzero(np.hypot(abs(at[:, None]) + 3, abs(at) + 3) * h <= radius)
    knots = at[inside[0]], at[inside[1]]
    element = np.sinc(waves.ky * h / 2 / math.pi) * np.sinc(waves.kx * h / 2 / math.pi)
    element = element**6 * waves.k**spin
    normal = waves.between_cells(waves.prior * element**2, knots)
    targets = waves.targets.reshape(-1, *waves.size)
    right = waves.at_cells(waves.prior * element * targets, knots)
    # for spin 1, a constant divergence has no mode
    c = _solved(normal, right, np.ones((int(spin == 1), len(knots[0])))).reshape(2, L, -1)
    c = np.einsum("al,aln->ln", waves.mixture(waves.spectrum(c, knots) * element), c)
    chi = np.zeros((L, len(at), len(at)), complex)
    chi[:, inside[0], inside[1]] = c / h**2
    basis = BSpline.basis_element(np.arange(-3.0, 4.0), extrapolate=False)

    def derivative(x: Array, order: int) -> Array:
        values = basis.derivative(order) if order else basis
        return np.nan_to_num(values(x[:, None] / h - at)) / h**order

    def values(y: Array, x: Array) -> Array:
        def part(order_y: int, order_x: int) -> Array:
            return derivative(y, order_y) @ chi @ derivative(x, order_x).T

        if spin == 1:
            return np.stack([-1j * part(0, 1), -1j * part(1, 0)], 1)
        return np.stack([part(2, 0) - part(0, 2), -2 * part(1, 1)], 1)

    return values
