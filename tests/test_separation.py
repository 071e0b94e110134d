"""Separation: what each component is, against a linear filter that knows the spectra."""

import numpy as np
import pytest
import xarray as xr

import gaussian
import xscat
from test_denoising import rmse, spectrum
from xscat import terms

KWARGS = {"J": 4, "boundary": "periodic"}


def standard(da):
    return (da - da.mean()) / da.std()


def texture(n, seed):
    return standard(np.exp(gaussian.flat((n, n), -2.5, 1, seed).isel(time=0)))


def random_phases(da, seed):
    """Gaussian field with the power spectrum of another one."""
    phases = np.fft.fft2(np.random.default_rng([seed, 3]).normal(size=da.shape))
    modes = abs(np.fft.fft2(da)) * phases / abs(phases)
    return da.copy(data=np.fft.ifft2(modes).real)


def points(da, seed):
    rng = np.random.default_rng([seed, 4])
    values = np.zeros(da.shape)
    n = da.size // 100
    values[tuple(rng.integers(0, len(da), (2, n)))] = rng.lognormal(0, 0.5, n)
    return standard(da.copy(data=values))


def linear(mixture, truth):
    """Wiener filter that knows the power of each component, shell by shell."""
    n = len(mixture)
    shell = np.hypot(*np.meshgrid(*[n * np.fft.fftfreq(n)] * 2)).round().astype(int)
    power = []
    for x in truth:
        power.append(np.bincount(shell.ravel(), abs(np.fft.fft2(x)).ravel() ** 2)[shell])
    share = power[0] / np.maximum(sum(power), 1e-9)
    first = mixture.copy(data=np.fft.ifft2(np.fft.fft2(mixture) * share).real)
    return first, mixture - first


def correlation(a, b):
    return np.corrcoef(a.values.ravel(), b.values.ravel())[0, 1]


def spectral_error(x, truth):
    """rms error of the logarithms of the power, in dex."""
    return np.sqrt(np.mean(np.log10(spectrum(x) / spectrum(truth)) ** 2))


@pytest.mark.parametrize(
    ("n", "J", "gain"), [(96, 3, 0.9), pytest.param(128, 4, 0.65, marks=pytest.mark.long)]
)
def test_texture_and_points(n, J, gain):
    truth = texture(n, 0), points(texture(n, 0), 0)
    targets = {"texture": texture(n, 1), "points": points(texture(n, 0), 1)}
    mixture = sum(truth)
    parts = xscat.separate(mixture, targets, max_iter=60, **(KWARGS | {"J": J}))
    np.testing.assert_allclose(parts.texture + parts.points, mixture, atol=1e-10)
    for true, filtered, part in zip(truth, linear(mixture, truth), parts.values(), strict=True):
        assert rmse(part, true) < gain * rmse(filtered, true)
        assert correlation(part, true) > correlation(filtered, true) + 0.03
        assert spectral_error(part, true) < 0.5 * spectral_error(filtered, true)


@pytest.mark.parametrize("cross", [None, pytest.param("zero", marks=pytest.mark.long)])
def test_texture_and_gaussian_field_of_the_same_spectrum(cross):
    truth = texture(128, 0), random_phases(texture(128, 0), 0)
    targets = {"texture": texture(128, 1), "other": random_phases(texture(128, 1), 1)}
    mixture = sum(truth)
    tol = 0.7 if cross is None else 1.0
    parts = xscat.separate(mixture, targets, cross=cross, max_iter=60, tol=tol, **KWARGS)
    for true, filtered, part in zip(truth, linear(mixture, truth), parts.values(), strict=True):
        assert spectral_error(part, true) < 0.6 * spectral_error(filtered, true)
        if cross is None:
            assert correlation(part, true) > correlation(filtered, true) + 0.02
        else:  # all of the power; unrelated as the truth; no closer to it than the linear filter
            assert correlation(part, true) > correlation(filtered, true) - 0.02
    assert abs(correlation(*parts.values())) < 0.2 < correlation(*linear(mixture, truth))


def test_given_cross_statistics():
    def pair(seed):
        common, own = texture(48, seed), random_phases(texture(48, seed + 10), seed)
        return common, standard(common + own)

    truth, targets = pair(0), dict(zip("ab", pair(1), strict=True))
    kwargs = {"J": 2, "boundary": "periodic", "max_iter": 60, "tol": 0.3}
    given = xscat.separate(sum(truth), targets, cross="targets", **kwargs)
    zero = xscat.separate(sum(truth), targets, **kwargs)
    wanted = correlation(*truth)
    assert wanted > 0.5
    assert abs(correlation(given.a, given.b) - wanted) < 0.1
    assert correlation(zero.a, zero.b) < wanted - 0.2
    wrong = {"a": truth[0], "b": terms.Histogram(truth[1])}
    with pytest.raises(ValueError, match="component 'b' has no field"):
        xscat.separate(sum(truth), wrong, cross="targets", **kwargs)


def test_template_noise_and_time():
    a, b = texture(32, 0), random_phases(texture(32, 5), 0)
    template = standard(a + 0.3 * random_phases(a, 8))
    noisy = a + b + 0.3 * np.random.default_rng(1).normal(size=a.shape)
    mixture = xr.concat([noisy, 2 * noisy], "time").assign_attrs(units="K")
    components = {
        "a": [terms.Statistics(a), terms.Cross(template, a)],
        "b": [terms.Statistics(b), terms.Cross(template)],
    }
    kwargs = {"J": 2, "boundary": "periodic", "sigma": 0.3, "max_iter": 20}
    parts = xscat.separate(mixture, components, **kwargs)
    assert parts.a.dims == mixture.dims
    assert parts.a.attrs == {"units": "K"}
    without = xscat.separate(noisy, {"a": a, "b": b}, **kwargs)
    assert correlation(parts.a[0], a) > correlation(without.a, a) + 0.03
    assert 0.15 < (parts.a + parts.b - mixture)[0].std() < 0.45
    assert correlation(parts.a[0], a) > correlation(linear(noisy, (a, b))[0], a) + 0.05
    lazy = xscat.separate(mixture.chunk(time=1), components, **kwargs)
    assert lazy.a.chunks is not None
    np.testing.assert_allclose(lazy.a, parts.a)


def test_errors():
    da = texture(32, 0)
    with pytest.raises(ValueError, match="at least two"):
        xscat.separate(da, {"a": da})
    with pytest.raises(ValueError, match="cross='one'"):
        xscat.separate(da, {"a": da, "b": da}, cross="one")
    with pytest.raises(ValueError, match="update"):
        xscat.separate(da, {"a": da, "b": da}, update=da > 0)
