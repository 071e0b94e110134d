"""Reductions and extensions along the scales."""

import numpy as np
import pytest
import scipy.fft
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import direct
from xscat.normalization import log
from xscat.reductions import iso_mean
from xscat.scales import interp_scales, mean_over_scales, scale_ft


def diagonal(var, d12, d13=None):
    """Values along j1 at fixed ratios, those that exist."""
    J = var.sizes["j1"]
    out = []
    for j1 in range(J):
        js = {"j1": j1, "j2": j1 + d12} | ({} if d13 is None else {"j3": j1 + d13})
        if all(0 <= j < J for j in js.values()):
            out.append(var.isel(js).values)
    return np.array(out)


@pytest.mark.parametrize("L", [0, 3])
def test_mean_at_fixed_ratios(L):
    J = 4
    ds = direct.random_statistics(J=J, L=L, std=True, lead={"time": 2})
    out = mean_over_scales(ds)
    np.testing.assert_allclose(out.S1, ds.S1.mean("j1"))
    np.testing.assert_allclose(out.S1_std, ds.S1_std.mean("j1"))
    rest = out.S4.dims[3:]
    assert out.S4.dims == ("time", "dj12", "dj13", *rest)
    for d12 in range(J):
        values = diagonal(ds.S3, d12)
        assert len(values) == J - d12
        np.testing.assert_allclose(out.S3.sel(dj12=d12), values.mean(0))
        std = diagonal(ds.S3_std, d12).mean(0)
        np.testing.assert_allclose(out.S3_std.sel(dj12=d12), std)
        for d13 in range(J):
            found = out.S4.sel(dj12=d12, dj13=d13)
            if d12 <= d13:
                np.testing.assert_allclose(found, diagonal(ds.S4, d12, d13).mean(0))
            else:
                assert found.isnull().all()
    assert out.ratio_dj13.values.tolist() == [1, 2, 4, 8]
    assert not [c for c in out.coords if "j1" in str(c).replace("dj1", "")]
    assert out.attrs == {**ds.attrs, "reduction": "mean_over_scales"}
    assert out.S3.attrs == {"long_name": "long name of S3, mean over scales", "units": "K^2"}
    assert out.S0.identical(ds.S0)


def test_cross_has_both_orders_of_the_inner_scales():
    ds = direct.random_statistics(J=3, L=2, cross=True)
    out = mean_over_scales(ds)
    assert out.dj12.values.tolist() == [-2, -1, 0, 1, 2]
    np.testing.assert_allclose(out.S4.sel(dj12=-1, dj13=0), diagonal(ds.S4, -1, 0).mean(0))
    np.testing.assert_allclose(out.S4.sel(dj12=-2, dj13=0), ds.S4.isel(j1=2, j2=0, j3=2))
    np.testing.assert_allclose(out.S3P.sel(dj12=1), diagonal(ds.S3P, 1).mean(0))
    assert out.S3.sel(dj12=[-2, -1]).isnull().all()
    assert out.S4.where(out.dj12 > out.dj13).isnull().all()
    ds = direct.random_statistics(J=4, L=2, cross=True)
    ft = scale_ft(ds)
    expected = scipy.fft.dct(diagonal(ds.S4, -1, 1).real, norm="ortho", axis=0)
    assert len(expected) == 2
    found = ft.S4.sel(dj12=-1, dj13=1).real
    np.testing.assert_allclose(found[: len(expected)], expected, atol=1e-12)
    assert found[len(expected) :].isnull().all()


def test_scale_free_statistics_keep_their_value():
    ds = direct.random_statistics(J=4)
    S3 = ds.S3.where(ds.S3.isnull(), 1 + 2j) * 3.0 ** (ds.j2 - ds.j1)
    out = mean_over_scales(ds.assign(S3=S3.transpose(*ds.S3.dims)))
    for d in range(4):
        np.testing.assert_allclose(out.S3.sel(dj12=d), (1 + 2j) * 3.0**d)


@pytest.mark.parametrize("L", [0, 3])
def test_cosine_transform_against_scipy(L):
    J = 4
    ds = direct.random_statistics(J=J, L=L, std=True)
    out = scale_ft(ds)
    np.testing.assert_allclose(out.S2, scipy.fft.dct(ds.S2, axis=0, norm="ortho"), atol=1e-12)
    assert out.S4.dims[:3] == ("scale_harmonic", "dj12", "dj13")
    for d12, d13 in [(0, 0), (0, 2), (1, 1), (1, 3), (2, 2)]:
        x = diagonal(ds.S4, d12, d13)
        n = J - d13
        expected = [scipy.fft.dct(part, axis=0, norm="ortho") for part in (x.real, x.imag)]
        found = out.S4.sel(dj12=d12, dj13=d13)
        np.testing.assert_allclose(found[:n], expected[0] + 1j * expected[1], atol=1e-12)
        assert found[n:].isnull().all()
        error = out.S4_std.sel(dj12=d12, dj13=d13)
        matrix = scipy.fft.dct(np.eye(n), axis=0, norm="ortho")
        bound = np.tensordot(abs(matrix), diagonal(ds.S4_std, d12, d13), 1)
        np.testing.assert_allclose(error[:n], bound)
    assert out.S4.sel(dj12=2, dj13=1).isnull().all()
    mean = mean_over_scales(ds)
    np.testing.assert_allclose(
        out.S3.isel(scale_harmonic=0), mean.S3 * np.sqrt(J - mean.dj12), atol=1e-12
    )


def power_law(J, L, cross=False):
    """Statistics that are a power of every scale, with a phase that depends on orientation only."""
    ds = direct.random_statistics(J=J, L=L, cross=cross, std=True)
    rng = np.random.default_rng(0)
    out = ds.copy()
    for name, var in ds.data_vars.items():
        js = [d for d in var.dims if d in ("j1", "j2", "j3")]
        if js:
            phase = rng.uniform(1, 2, [var.sizes[d] for d in var.dims if d not in js])
            law = sum(
                (0.3 + 0.5 * i) * xr.DataArray(np.arange(J), dims=d) for i, d in enumerate(js)
            )
            value = np.exp(law) * xr.DataArray(phase, dims=[d for d in var.dims if d not in js])
            value = value * np.exp(0.7j) if np.iscomplexobj(var) else value
            out[name] = value.transpose(*var.dims).where(var.notnull()).assign_attrs(var.attrs)
    return out


@settings(max_examples=25, deadline=None)
@given(
    old=st.integers(2, 4),
    new=st.integers(1, 6),
    L=st.sampled_from([0, 2]),
    side=st.sampled_from(["coarse", "fine"]),
    cross=st.booleans(),
)
def test_power_laws_continue_exactly(old, new, L, side, cross):
    ds, expected = power_law(old, L, cross), power_law(new, L, cross)
    if side == "fine":  # what was j is now j + new - old
        shift = 1.0 * (new - old)
        for name, var in expected.data_vars.items():
            n = len([d for d in var.dims if str(d) in ("j1", "j2", "j3")])
            law = sum(0.3 + 0.5 * i for i in range(n))
            expected[name] = var * np.exp(-shift * law) if n else var
        for i in "123":
            expected[f"wavelength_j{i}"] = expected[f"wavelength_j{i}"] / 2**shift
    out = interp_scales(ds, new, side)
    xr.testing.assert_allclose(out, expected, rtol=1e-10)
    assert out.attrs == {**ds.attrs, "J": new}
    for name in ds.variables:
        assert out[name].attrs == ds[name].attrs


def test_extension_keeps_what_there_is():
    ds = direct.random_statistics(J=3, std=True, lead={"time": 2})
    out = interp_scales(ds, 5)
    inside = {f"j{i}": [0, 1, 2] for i in "123"}
    xr.testing.assert_identical(out.sel(inside).drop_attrs(), ds.drop_attrs())
    np.testing.assert_array_equal(out.S4.isel(l1=0, l2=0, l3=0, time=0).notnull().sum(), 35)
    fine = interp_scales(ds.assign_attrs(level=6), 4, side="fine")
    assert fine.attrs["level"] == 7
    shifted = fine.isel({f"j{i}": slice(1, None) for i in "123"})
    np.testing.assert_array_equal(shifted.S4, ds.S4)
    iso = interp_scales(iso_mean(ds), 4)
    np.testing.assert_array_equal(iso.S3.isel(j1=slice(3), j2=slice(3)), iso_mean(ds).S3)
    xr.testing.assert_identical(interp_scales(ds, 3), ds)


def test_errors():
    ds = direct.random_statistics(J=3)
    with pytest.raises(ValueError, match="two or more"):
        interp_scales(ds.isel(j1=[0], j2=[0], j3=[0]), 3)
    with pytest.raises(ValueError, match="before log"):
        interp_scales(log(ds), 5)
    with pytest.raises(ValueError, match="reduce first, select afterwards"):
        mean_over_scales(ds.isel(j1=[0, 1]))
    with pytest.raises(ValueError, match="'ratio'"):
        mean_over_scales(ds, at="ration")
    with pytest.raises(ValueError, match="'coarse', 'fine'"):
        interp_scales(ds, 4, side="up")
    with pytest.raises(ValueError, match="J=0"):
        interp_scales(ds, 0)
