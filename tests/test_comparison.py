"""Distances, significance and selection."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import direct
from xscat.comparison import distance, select, significant
from xscat.ensemble import std_over
from xscat.paths import to_vector
from xscat.reductions import iso_mean

NAMES = ["S0", "S1", "S2", "S3", "S4"]


def pooled(a, b, sigma=None, names=NAMES):
    """Mean squared difference of all defined coefficients, with numpy."""
    z = []
    for name in names:
        d = (a[name] - b[name]) / (1 if sigma is None else sigma[f"{name}_std"])
        z.append(abs(d.values[d.notnull().values]) ** 2)
    return np.concatenate(z).mean()


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 99), L=st.sampled_from([0, 1, 4]), J=st.integers(1, 3))
def test_mean_squared_difference(seed, L, J):
    a, b = (direct.random_statistics(seed + i, J=J, L=L, std=True) for i in (0, 1))
    np.testing.assert_allclose(distance(a, b), pooled(a, b))
    np.testing.assert_allclose(distance(a, b), distance(b, a))
    assert distance(a, a) == 0
    names = ["S1", "S2", "S3", "S4"]
    np.testing.assert_allclose(distance(a, b, sigma=a), pooled(a, b, a, names))
    plain = a[[f"{n}_std" for n in names]].rename({f"{n}_std": n for n in names})
    np.testing.assert_allclose(distance(a, b, sigma=plain), pooled(a, b, a, names))
    np.testing.assert_allclose(distance(a, b, sigma=2.0), pooled(a, b) / 4)
    found = distance(a, b, statistics=["S3"])
    np.testing.assert_allclose(found, pooled(a, b, names=["S3"]))


def test_expected_value_is_one_for_independent_draws():
    rng = np.random.default_rng(0)
    mean = direct.random_statistics(J=2, std=True)
    draws = []
    for _ in range(40):
        one = mean.copy()
        for name in ("S1", "S2", "S3", "S4"):
            noise = rng.normal(size=mean[name].shape)
            if name in ("S3", "S4"):
                noise = (noise + 1j * rng.normal(size=mean[name].shape)) / np.sqrt(2)
            one[name] = mean[name] + noise * mean[f"{name}_std"]
        draws.append(one)
    ensemble = xr.concat(draws, "draw", data_vars="all")
    assert abs(float(distance(ensemble, mean, sigma=mean).mean()) - 1) < 0.02
    assert abs(float(distance(ensemble, mean, sigma=std_over(ensemble, "draw")).mean()) - 1) < 0.02


def test_coefficients_without_a_positive_error_do_not_count():
    a, b = (direct.random_statistics(i, std=True) for i in (0, 1))
    a.S1_std[0, 0] = 0
    expected = abs((a.S1 - b.S1) / a.S1_std).values.ravel()[1:] ** 2
    np.testing.assert_allclose(distance(a, b, a, ["S1"]), expected.mean())
    a.S1[:] = np.nan
    assert np.isnan(distance(a, b, statistics=["S1"]))


def test_leading_dimensions_stay_and_broadcast():
    a = direct.random_statistics(0, lead={"time": 3, "member": 2})
    b = direct.random_statistics(1)
    out = distance(a, b)
    assert out.dims == ("time", "member")
    assert out.time.equals(a.time)
    assert out.name == "distance"
    np.testing.assert_allclose(out[2, 1], pooled(a.isel(time=2, member=1), b))
    np.testing.assert_allclose(distance(b, a), out)
    with pytest.raises(ValueError, match=r"not aligned|cannot align"):
        distance(a, a.isel(time=[0, 2]))
    cross = direct.random_statistics(0, cross=True, lead={"time": 2})
    assert distance(cross, cross.isel(time=0)).dims == ("time",)


def test_different_J_is_compared_on_the_common_scales():
    a, b = direct.random_statistics(0, J=4), direct.random_statistics(1, J=3)
    cut = a.sel({f"j{i}": [0, 1, 2] for i in "123"})
    np.testing.assert_allclose(distance(a, b), pooled(cut, b))
    np.testing.assert_allclose(distance(b, a), pooled(cut, b))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda ds: direct.random_statistics(L=6), "different L, 4 and 6"),
        (lambda ds: direct.random_statistics(L=6).drop_attrs(), "different L"),
        (lambda ds: ds.assign_attrs(grid="healpix"), "different grid"),
        (lambda ds: ds.assign_coords(wavelength_j1=2 * ds.wavelength_j1), "wavelength_j1"),
        (lambda ds: iso_mean(direct.random_statistics(L=6)).drop_attrs(), "different L"),
    ],
)
def test_what_cannot_be_compared(change, message):
    ds = direct.random_statistics()
    with pytest.raises(ValueError, match=message):
        distance(iso_mean(ds) if "dl12" in change(ds).dims else ds, change(ds))


def test_missing_statistics():
    ds = direct.random_statistics()
    with pytest.raises(ValueError, match=r"needs S4.*statistics=\(\.\.\., 'S4'\)"):
        distance(ds, ds[["S1"]], statistics=["S4"])
    with pytest.raises(ValueError, match="in common"):
        distance(ds[["S3"]], ds[["S1"]])
    with pytest.raises(ValueError, match="no standard deviation of S0"):
        distance(ds, ds, direct.random_statistics(std=True), statistics=["S0"])
    with pytest.raises(ValueError, match="variance=True"):
        significant(ds)


def test_significant():
    ds = direct.random_statistics(std=True, lead={"time": 2})
    mask = significant(ds, snr=2)
    assert set(mask.data_vars) == {"S1", "S2", "S3", "S4"}
    for name, where in mask.data_vars.items():
        assert where.dtype == bool
        assert "units" not in where.attrs
        expected = np.nan_to_num(abs(ds[name].values)) > 2 * np.nan_to_num(
            ds[f"{name}_std"].values, nan=np.inf
        )
        np.testing.assert_array_equal(where, expected)
        assert where.any()
        assert not where.all()
    again = significant(ds, ds[["S1_std"]].rename(S1_std="S1"), snr=2)
    assert again.S1.identical(mask.S1)
    assert list(again.data_vars) == ["S1"]


def test_select():
    ds = direct.random_statistics(std=True)
    some = select(ds, statistics=["S1", "S3"], j2=slice(1, 2), l1=0)
    assert list(some.data_vars) == ["S1", "S1_std", "S3", "S3_std"]
    assert some.attrs == {**ds.attrs, "statistics": "S1 S3"}
    assert some.S3.dims == ds.S3.dims
    assert some.S3.identical(ds.S3.sel(j2=slice(1, 2), l1=[0]))
    mask = significant(ds, snr=2)
    kept = select(ds, mask)
    assert kept.S4.identical(ds.S4.where(mask.S4))
    assert kept.S4_std.identical(ds.S4_std.where(mask.S4))
    assert "S0" not in kept
    vector = to_vector(kept, dropna=True)
    n = {name: int(mask[name].sum()) for name in mask.data_vars}
    assert vector.sizes["path"] == n["S1"] + n["S2"] + 2 * (n["S3"] + n["S4"])
    assert not np.isnan(vector).any()
    assert select(ds).identical(ds)
    with pytest.raises(ValueError, match="needs S5"):
        select(ds, statistics=["S5"])
    with pytest.raises(ValueError, match=r"j1=7 is not among the labels of j1: \[0, 1, 2\]"):
        select(ds, j1=7)
