"""Lines: direct evaluation of the formulas, exact symmetries, coordinates."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from brute_force import morlets, statistics
from helpers import assert_same, line, texture

lengths = st.integers(40, 90)
boundaries = st.sampled_from(["periodic", "valid"])


@pytest.mark.parametrize("n", [64, 81, 97, 250])
@pytest.mark.parametrize("step", [1, -1])
def test_statistics_are_their_formulas(n, step):
    field = texture(n)
    da = xr.DataArray(field, dims="time", coords={"time": step * np.arange(n)})
    stats = da.scat.covariance(4, boundary="periodic")
    assert stats.S1.dims == stats.S2.dims == ("j1",)
    assert stats.S3.dims == ("j1", "j2")
    assert stats.S4.dims == ("j1", "j2", "j3")
    assert not any(name.startswith(("l", "angle")) for name in stats.variables)
    direct = statistics(field, morlets((n,), 4, 1, (step,)))
    squeezed = {k: v.reshape(stats[k].shape) for k, v in direct.items()}
    expected = xr.Dataset({k: (stats[k].dims, v) for k, v in squeezed.items()}, stats.coords)
    assert_same(stats, expected)


@given(lengths, st.integers(-200, 200))
def test_translation_changes_nothing(n, shift):
    da = line(n)
    stats = da.scat.covariance(3, boundary="periodic", dim="x")
    assert_same(da.roll(x=shift).scat.covariance(3, boundary="periodic", dim="x"), stats)


@given(lengths, boundaries)
def test_mirror_conjugates(n, boundary):
    da = line(n)
    mirrored = da.copy(data=da.values[::-1]).scat.covariance(2, boundary=boundary, dim="x")
    stats = da.scat.covariance(2, boundary=boundary, dim="x")
    assert_same(mirrored, stats.assign(S3=stats.S3.conj(), S4=stats.S4.conj()))
    assert np.abs(stats.S3.imag).max() > 1e-5


@given(lengths, boundaries)
def test_direction_is_that_of_the_coordinate(n, boundary):
    da = line(n, coords={"x": np.linspace(0, 1, n)})
    backwards = da.isel(x=slice(None, None, -1))
    stats = da.scat.covariance(2, boundary=boundary, dim="x")
    assert_same(backwards.scat.covariance(2, boundary=boundary, dim="x"), stats)


@given(lengths, boundaries, st.floats(0.1, 10), st.booleans(), st.floats(-100, 100))
def test_linear_change_of_the_values(n, boundary, size, negative, b):
    a = -size if negative else size
    da = line(n)
    stats = da.scat.covariance(2, boundary=boundary, dim="x", statistics=("S1", "S2", "S3", "S4"))
    factors = {"S1": size, "S2": size**2, "S3": a * size, "S4": size**2}
    changed = (a * da + b).scat.covariance(2, boundary=boundary, dim="x")
    assert_same(changed, stats.assign({k: f * stats[k] for k, f in factors.items()}), tol=1e-9)


def test_wavelengths_of_a_time_axis_are_in_days():
    time = np.arange("2000-01-01", "2000-04-10", dtype="datetime64[D]").astype("datetime64[ns]")
    da = xr.DataArray(texture(len(time)), dims="time", coords={"time": time})
    stats = da.scat.covariance(2)
    np.testing.assert_allclose(stats.wavelength_j1, [8 / 3, 16 / 3])
    assert stats.wavelength_j1.attrs["units"] == "days"
    hourly = da.assign_coords(time=time[0] + np.arange(len(time)) * np.timedelta64(1, "h"))
    np.testing.assert_allclose(hourly.scat.covariance(2).wavelength_j1, [1 / 9, 2 / 9])
    months = xr.date_range("2000-01-01", periods=100, freq="D", calendar="360_day", use_cftime=True)
    noleap = da.assign_coords(time=months)
    np.testing.assert_allclose(noleap.scat.covariance(2).wavelength_j1, [8 / 3, 16 / 3])


def test_a_line_of_many_series():
    series = np.stack([texture(64, seed=i) for i in range(4)])
    da = xr.DataArray(series, dims=("station", "time"))
    stats = da.scat.covariance(3, dim="time")
    loop = xr.concat([da[i].scat.covariance(3) for i in range(4)], "station")
    assert_same(stats, loop)
    assert_same(da.T.scat.covariance(3, dim="time"), loop)
    assert stats.S4.dims == ("station", "j1", "j2", "j3")


def test_a_tone_is_strongest_at_its_own_wavelength():
    da = xr.DataArray(np.cos(2 * np.pi * np.arange(256) / (8 / 3 * 4)), dims="x")
    assert da.scat.covariance(4).S2.argmax("j1") == 2
