"""Wavelets at borders and gaps are cut: what lies outside of their support does not matter."""

import warnings

import numpy as np
import pytest
import torch
import xarray as xr

import xscat
from brute_force import convolve, morlets
from helpers import assert_same, texture
from test_masks_nan import supports
from xscat.engine.flat import FlatSpec
from xscat.engine.kernels import cut_wavelets
from xscat.engine.scattering import moments
from xscat.engine.spin import SpinFlatSpec
from xscat.engine.spin_kernels import mode_wavelets
from xscat.engine.wavelets import fourier_reach, orientations, periodized

S1234 = ("S1", "S2", "S3", "S4")


def spec(shape, step=(1.0, 1.0), J=3, L=4, spin=0, periodic=False):
    args = shape, step, periodic, xscat.Morlet(), J, L, torch.float64, torch.device("cpu")
    return SpinFlatSpec(*args, spin) if spin else FlatSpec(*args)


def array(values):
    return xr.DataArray(values, dims=("y", "x")[-values.ndim :])


def with_trend(shape, size, seed=0):
    """Noise of unit variance on a slope whose range is so many times as large."""
    slope = sum(i / n for i, n in zip(np.indices(shape), shape, strict=True))
    return np.random.default_rng(seed).normal(size=shape) + size * slope


@pytest.mark.parametrize("size", [1e3, 1e6])
@pytest.mark.parametrize(("shape", "J"), [((300,), 3), ((90, 100), 2)])
def test_what_lies_beyond_the_border_does_not_matter(shape, J, size):
    """The whole of a small plane is the middle of a larger one, whatever surrounds it."""
    field = with_trend(shape, size)
    middle = tuple(slice(21, n - 24) for n in shape)  # products are formed at the same points
    inside = np.zeros(shape, bool)
    inside[middle] = True
    stats = array(field[middle]).scat.covariance(J, statistics=S1234)
    for surroundings in (field, 1e12 * size):
        da = array(np.where(inside, field, surroundings))
        for boundary in ("valid", "periodic"):
            large = da.scat.covariance(J, mask=array(inside), boundary=boundary, statistics=S1234)
            assert_same(large, stats, tol=1e-9)


def test_power_of_noise_on_a_trend_is_that_of_the_noise():
    """Of a straight slope, a wavelet across it gives the same everywhere, one along it nothing."""
    noise = np.random.default_rng(0).normal(size=(96, 96))
    slope = 1e3 * np.arange(96)[:, None] / 96
    plain, steep = (array(f).scat.covariance(3).S2.sel(l1=0) for f in (noise, noise + slope))
    np.testing.assert_allclose(steep, plain, rtol=1e-9)


def points(n, j):
    """Points of scale j along a valid axis whose length is a multiple of 12."""
    stride = (1, 1, 3, 6)[j]
    return slice((n - 1) % stride // 2, None, stride)


@pytest.mark.parametrize(("shape", "L"), [((96,), 1), ((84, 84), 2)])
@pytest.mark.parametrize("gap", [np.nan, 1e9])
def test_coefficients_beside_a_gap_are_those_without_it(shape, L, gap):
    """The truth stands in the gap of the direct sums."""
    J, field = 3, with_trend(shape, 100)
    valid = np.ones(shape, bool)
    valid[tuple(slice(0, 6) for _ in shape)] = False
    da = array(np.where(valid, field, gap))
    stats = da.scat.covariance(J, L, mask=array(valid))
    psi, erode = morlets(shape, J, L, cut=True), supports(shape, J, L, "valid")
    W = np.stack([[convolve(field, psi[j, l]) for l in range(L)] for j in range(J)])
    first = [erode[j](valid) for j in range(J)]
    for j in range(J):
        for name, x in (("S1", np.abs(W[j])), ("S2", np.abs(W[j]) ** 2)):
            mean = x[:, first[j]].mean(-1)
            np.testing.assert_allclose(stats[name].sel(j1=j).values.ravel(), mean, rtol=1e-10)
    for j3, l3 in np.ndindex(J, L):
        at = tuple(points(n, j3) for n in shape)
        V = [convolve(np.abs(W[j]), psi[j3, l3]) for j in range(j3 + 1)]
        where = [erode[j3](first[j]) for j in range(j3 + 1)]
        for j1 in range(j3 + 1):
            both = (where[j1] & first[j3])[at]
            S3 = (W[j3, l3][at] * V[j1][(slice(None), *at)].conj())[:, both].mean(-1)
            here = stats.S3.isel(j1=j1, j2=j3, l2=l3, missing_dims="ignore")
            np.testing.assert_allclose(here.values.ravel(), S3, atol=1e-10 * abs(S3).max())
            for j2 in range(j1, j3 + 1):
                both = (where[j1] & where[j2])[at]
                a, b = (V[j][(slice(None), *at)][:, both] for j in (j1, j2))
                S4 = a @ b.conj().T / both.sum()
                here = stats.S4.isel(j1=j1, j2=j2, j3=j3, l3=l3, missing_dims="ignore")
                np.testing.assert_allclose(
                    here.values.reshape(L, L), S4, atol=1e-10 * abs(S4).max()
                )


@pytest.mark.parametrize(
    ("shape", "L", "spin"),
    [((60, 64), 4, 0), ((60, 64), 4, 1), ((70, 66), 6, 0), ((70, 66), 6, 1), ((1, 90), 1, 0)],
)
@pytest.mark.parametrize("step", [(1.0, 1.0), (-1.0, 0.6)])
def test_a_cell_is_in_the_support_that_has_to_be_valid_or_has_no_weight(shape, L, step, spin):
    engine = spec(shape, step, 2, L, spin, periodic=True).build()
    cell = (shape[0] // 2, shape[1] // 2)
    valid = np.ones(shape)
    valid[cell] = 0
    coverage = engine.coverage(torch.as_tensor(valid).reshape(1, -1), 1.0)
    make = mode_wavelets if spin else cut_wavelets
    for j in range(2):
        values, (y, x) = make(engine.spec, j, (0.0, 0.0))
        values = values.reshape(-1, len(y), len(x))
        reached = np.zeros(shape, bool)
        reached[(cell[0] + y[:, None]) % shape[0], (cell[1] + x) % shape[1]] = (values != 0).any(0)
        lost = coverage.first[j].reshape(shape).numpy() == 0
        assert (reached == lost).all() if not spin else not (reached & ~lost).any()


@pytest.mark.parametrize("slope", [0, 1.5, 2])
def test_cut_wavelets_give_the_power_of_the_periodic_plane(slope):
    n = 101
    ky, kx = np.meshgrid(*[2 * np.pi * np.fft.fftfreq(n)] * 2, indexing="ij")
    weights = np.where(ky**2 + kx**2 > 0, ky**2 + kx**2, np.inf) ** (-slope / 2)
    whole, cut = (abs(morlets((n, n), 3, 4, cut=c)) ** 2 * weights for c in (False, True))
    np.testing.assert_allclose(cut.sum((-2, -1)), whole.sum((-2, -1)), rtol=0.006)


class Box:
    """A wavelet of one's own that is not smooth: a wave in a square."""

    radius = 2

    def fourier(self, along, across, L):
        def box(k):
            return np.sinc(1.5 * k / np.pi)

        return box(along - 2) * box(across), box(along) * box(across)

    def values(self, along, across, L):
        envelope = ((abs(along) < 1.5) & (abs(across) < 1.5)) / 9
        return envelope * np.exp(2j * along), envelope


def test_a_wavelet_of_ones_own():
    field = with_trend((64, 60), 1e3)
    gap = np.ones(field.shape, bool)
    gap[30:33, 20:24] = False
    a, b = (
        array(np.where(gap, field, other)).scat.covariance(2, 4, mask=array(gap), wavelet=Box())
        for other in (0.0, 1e12)
    )
    xr.testing.assert_identical(a, b)
    assert all(np.isfinite(a[name]).all() for name in ("S1", "S2"))


@pytest.mark.parametrize("spin", [0, 1])
def test_a_scale_wider_than_the_plane_has_no_coefficient(spin):
    engine = spec((20, 24), J=5, spin=spin).build()
    coverage = engine.coverage(torch.ones(1, 480), 1.0)
    fields = torch.as_tensor(np.random.default_rng(0).normal(size=(1, 1 + (spin > 0), 480)))
    result = moments(engine, fields, coverage)
    assert result.modulus[0].isfinite().all()
    assert all(m.isnan().all() for m in result.modulus[3:])


def test_a_periodic_plane_of_a_prime_number_of_cells_with_a_gap():
    da = array(texture(61, 67))
    da[30, 20] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stats = da.scat.covariance(2, boundary="periodic")
        moved = da.roll(y=31, x=40).scat.covariance(2, boundary="periodic")
    assert_same(moved, stats, names=S1234)


@pytest.mark.parametrize("spin", [0, 1, 2])
@pytest.mark.parametrize("periodic", [True, False])
def test_gradient(spin, periodic):
    engine = spec((30, 33), J=2, L=2, spin=spin, periodic=periodic).build()
    rng = np.random.default_rng(9)
    valid = np.ones((1, 30, 33))
    valid[0, 3:5, 3] = 0
    coverage = engine.coverage(torch.as_tensor(valid).reshape(1, -1), 1.0)
    shape = (1, 1 + (spin > 0), engine.n_cells)
    x, d = (torch.as_tensor(rng.normal(size=shape)) for _ in range(2))
    x.requires_grad_()

    def loss(x):
        m = moments(engine, x, coverage)
        return sum(t.abs().square().nansum() for t in (*m.modulus, *m.power, *m.gram))

    (slope,) = torch.autograd.grad(loss(x), x)
    h = 1e-5
    with torch.no_grad():
        expected = (loss(x + h * d) - loss(x - h * d)) / (2 * h)
    torch.testing.assert_close((slope * d).sum(), expected, rtol=1e-6, atol=0)
    assert (slope[..., valid.ravel() == 0] == 0).all()


def responses(spin, j, step):
    """Of E and of B to waves of E, what is wanted of E, and the length of the waves' vectors."""
    plane = spec((64, 64), step, spin=spin)
    values, (y, x) = mode_wavelets(plane, j, (0.0, 0.0))
    shape = tuple(int(96 * 2**j / abs(s)) | 1 for s in step)
    cells = np.zeros((4, 2, *shape), complex)
    cells[:, :, y[:, None], x] = values
    a1, a2 = np.fft.fft2(cells).real.swapaxes(0, 1)
    ky, kx = np.meshgrid(
        *(2 * np.pi * np.fft.fftfreq(n, s) for n, s in zip(shape, step, strict=True)), indexing="ij"
    )
    k = np.hypot(ky, kx)
    wave = ((kx + 1j * ky) / np.where(k > 0, k, 1)) ** spin
    period = tuple(2 * np.pi / abs(s) for s in step[::-1])
    reach = fourier_reach(plane.wavelet, 4) / 2**j
    wanted = [periodized(plane.wavelet, kx, ky, a, 4, j, period, reach) for a in orientations(4)]
    E, B = (a1 * wave.real + a2 * wave.imag, a2 * wave.real - a1 * wave.imag)
    return E, B, np.array(wanted), k


@pytest.mark.parametrize("spin", [1, 2])
@pytest.mark.parametrize(
    ("j", "step"),
    [(0, (1.0, 1.0)), (0, (-1.0, 0.7)), (1, (1.0, 1.0)), (1, (0.7, 1.0)), (2, (1.0, 1.0))],
)
def test_the_response_of_fitted_wavelets(spin, step, j):
    """No B of waves of E, and the power of the periodic plane, for many spectra."""
    E, B, wanted, k = responses(spin, j, step)
    for slope in (0, 1, 1.5, 2, 2.5, 3, 4, 5):
        weights = np.where(k > 0, k, np.inf) ** -slope
        power = [(abs(f) ** 2 * weights).sum((-2, -1)) for f in (E, B, wanted)]
        assert (power[1] < 1e-4 * power[0]).all(), (slope, power[1] / power[0])
        if 1.5 <= slope <= 3:
            np.testing.assert_allclose(power[0].mean(), power[2].mean(), rtol=0.025 if j else 0.04)
