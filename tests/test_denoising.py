"""Denoising: the power spectrum where there is ten times as much noise, maps, statistics."""

import healpy
import numpy as np
import pytest
import torch
import xarray as xr

import gaussian
import xscat

PERIODIC = {"J": 4, "boundary": "periodic", "seed": 1}


def signal(kind, skewed, power=-2.3, n=128, level=5):
    """Field of unit variance on a plane or sphere; skewed: log-normal."""
    da = gaussian.flat((n, n), power, 1) if kind == "plane" else gaussian.sphere(level, power, 1)
    da = da.isel(time=0)
    da = np.exp(da) if skewed else da
    return (da - da.mean()) / da.std()


def draws(da, count, seed):
    values = np.random.default_rng([seed, 1]).normal(size=(count, *da.shape))
    return xr.DataArray(values, dims=("member", *da.dims))


def modes(da):
    """Third-octave bin of each mode of a map, its power, and how many real numbers it is."""
    if "cells" in da.dims:
        cl = healpy.anafast(healpy.reorder(da.values, n2r=True), iter=0)
        l = np.arange(len(cl))
        return third_octaves(l, da.dggs.grid_info.nside * 2), cl, 2 * l + 1
    n = len(da)
    k = np.hypot(*np.meshgrid(*[n * np.fft.fftfreq(n)] * 2))
    power = abs(np.fft.fft2(da - da.mean())) ** 2
    return third_octaves(k, n // 2), power, np.ones_like(k)


def third_octaves(k, largest):
    with np.errstate(divide="ignore"):
        bins = np.floor(3 * np.log2(k) + 1e-9)
    return np.where((k < 5) | (k >= largest), -1, bins).astype(int)


def spectrum(da):
    bins, power, count = modes(da)
    inside = bins >= 0
    total = np.bincount(bins[inside], (power * count)[inside])
    number = np.bincount(bins[inside], count[inside])
    return total[number > 0] / number[number > 0]


def wiener(da, truth):
    """The best of a linear isotropic filter of a plane, which knows the spectrum of the signal."""
    n = len(da)
    shell = np.hypot(*np.meshgrid(*[n * np.fft.fftfreq(n)] * 2)).round().astype(int)
    power = abs(np.fft.fft2(truth)) ** 2
    power = (np.bincount(shell.flat, power.flat) / np.bincount(shell.flat))[shell]
    return da.copy(data=np.fft.ifft2(np.fft.fft2(da) * power / (power + n**2)).real)


def rmse(x, truth):
    return float(np.sqrt(((x - truth) ** 2).mean()))


def misfit(da, truth, **kwargs):
    """rms of the differences of S3 and S4, in units of their error bars."""
    kwargs = {k: v for k, v in kwargs.items() if k != "seed"}
    wanted = truth.scat.covariance(variance=True, **kwargs)
    found = da.scat.covariance(**kwargs)
    square = [abs(found[n] - wanted[n]) ** 2 / wanted[f"{n}_std"] ** 2 for n in ("S3", "S4")]
    return np.array([float(np.sqrt(x.where(np.isfinite(x)).mean())) for x in square])


def check_denoising(s, count, **kwargs):
    """Signal-to-noise ratio 1; spectra are those of some maps with the same signal."""
    noisy = draws(s, count, 0) + s
    noise = draws(s, 10, 1).rename(member="draw")
    clean = xr.concat([xscat.denoise(d, noise, **kwargs) for d in noisy], "member")
    truth, with_noise, found = (
        np.mean([spectrum(m) for m in x], 0) for x in (s.expand_dims("member"), noisy, clean)
    )
    ratio = np.mean([spectrum(s.copy(data=n)) for n in noise.values], 0) / truth
    counted = ratio < 10.5
    assert ratio[counted].max() > 8
    assert np.log10(with_noise / truth)[counted].max() > 0.95
    assert abs(np.log10(found / truth))[counted].max() < 0.1
    return noisy, clean


@pytest.mark.parametrize(
    ("skewed", "power", "count"),
    [(False, -2.3, 4), pytest.param(True, -2.6, 6, marks=pytest.mark.long)],
)
def test_power_spectrum_on_a_plane(skewed, power, count):
    s = signal("plane", skewed, power)
    noisy, clean = check_denoising(s, count, **PERIODIC)
    linear = wiener(noisy[0], s)
    assert np.log10(spectrum(linear) / spectrum(s)).min() < -0.8
    assert rmse(clean[0], s) < 0.6 * rmse(noisy[0], s)
    if skewed:
        assert rmse(clean[0], s) < rmse(linear, s)
        kwargs = {"J": 4, "boundary": "periodic"}
        assert (misfit(clean[0], s, **kwargs) < 0.5 * misfit(linear, s, **kwargs)).all()
        assert (misfit(clean[0], s, **kwargs) < 0.6).all()
    else:
        assert rmse(clean[0], s) < 1.2 * rmse(linear, s)


@pytest.mark.parametrize(
    ("skewed", "power"), [pytest.param(False, -2.5, marks=pytest.mark.long), (True, -2.58)]
)
def test_power_spectrum_on_a_sphere(skewed, power):
    s = signal("sphere", skewed, power)
    noisy, clean = check_denoising(s, 4, J=4, seed=1)
    assert rmse(clean[0], s) < 0.5 * rmse(noisy[0], s)


def test_white_noise_is_drawn_for_each_map():
    s = signal("plane", True, n=32)
    noisy = (draws(s, 2, 0) + s).rename(member="time")
    kwargs = {"J": 2, "boundary": "periodic", "seed": 1}
    eager = noisy.scat.denoise(1.0, **kwargs)
    lazy = noisy.chunk(time=1).scat.denoise(1.0, **kwargs)
    assert lazy.chunks is not None
    np.testing.assert_array_equal(lazy, eager)
    assert rmse(eager, s) < 0.7 * rmse(noisy, s)
    again = xr.concat([noisy[0], noisy[0]], "time").scat.denoise(1.0, **kwargs)
    assert not (again[0] == again[1]).all()


def test_cross_leaves_noise_that_is_not_correlated_with_the_field():
    s = signal("plane", True, n=64)
    noisy, noise = draws(s, 1, 0)[0] + s, draws(s, 10, 1)
    kwargs = {"J": 3, "boundary": "periodic", "seed": 1}

    def correlated(u):
        return abs(np.corrcoef((noisy - u).values.ravel(), u.values.ravel())[0, 1])

    alone = noisy.scat.denoise(noise, **kwargs)
    u = noisy.scat.denoise(noise, cross=True, realizations=3, **kwargs)
    assert u.dims == ("realization", "y", "x")
    assert correlated(alone) > 0.1
    assert max(correlated(x) for x in u) < 0.05
    assert rmse(u.mean("realization"), s) < rmse(u[0], s) < 0.8 * rmse(noisy, s)


def test_land_stays_missing():
    s = signal("sphere", True, level=4).where(np.arange(3072) > 500)
    clean = (draws(s, 1, 0)[0] + s).scat.denoise(draws(s, 5, 1), J=2)
    np.testing.assert_array_equal(clean.isnull(), s.isnull())
    assert rmse(clean, s) < 0.8


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"noise_dim": None, "noise": lambda n: n[0]}, "noise_dim"),
        ({"noise": lambda n: n[:1]}, "scatter"),
        ({"steps": 2}, "steps"),
        ({"realizations": 2}, "cross=True"),
        ({"realizations": 9, "cross": True}, "realizations=9"),
    ],
)
def test_errors(kwargs, message):
    s = signal("plane", False, n=32)
    noise = kwargs.pop("noise", lambda n: n)(draws(s, 3, 1))
    with pytest.raises(ValueError, match=message):
        s.scat.denoise(noise, J=2, **kwargs)


def test_cross_statistics_are_compared_with_those_of_the_field():
    from test_synthesis import engine_and_cells
    from xscat.synthesis.denoising import Noisy
    from xscat.synthesis.objective import make_domain
    from xscat.synthesis.records import Constraint

    s = signal("plane", True, n=32)
    engine, _ = engine_and_cells(s, 2, boundary="periodic")
    x, u = (torch.as_tensor(v.reshape(1, -1)) for v in (s.values, draws(s, 1, 0).values))
    domain = make_domain(engine, np.ones(1024, bool), 1.0)
    constraint = Constraint(("S0", "S1", "S2", "S3", "S4"))
    problem = Noisy(engine, domain, constraint, x, x, cross=True)
    own, others = problem.rows(u, u), problem.rows(x, u)[:, 0].numpy()
    np.testing.assert_allclose(own, 0, atol=1e-12)
    real = others[problem.kinds == 5][:8].reshape(2, 4).mean(1)  # S2 of x with u
    expected = problem.power(x, u) - problem.power(u, u)
    np.testing.assert_allclose(real, expected, rtol=1e-9)
    assert all(abs(others[problem.kinds == kind]).max() > 1e-3 for kind in range(11))
