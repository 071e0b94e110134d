"""Normalization: its formulas, its inverse, correlation coefficients, logarithms."""

import numpy as np
import pytest
import xarray as xr

import direct
from xscat.normalization import denormalize, log, normalize
from xscat.reductions import fft_ang, iso_mean
from xscat.statistics import covariance


def by_loops(s3, s4, power):
    """The S2 formulas, one element at a time."""
    S3, S4 = s3.copy(), s4.copy()
    for j1, j2, l1, l2 in np.ndindex(s3.shape):
        S3[j1, j2, l1, l2] /= np.sqrt(power[j1, l1] * power[j2, l2])
    for i in np.ndindex(s4.shape):
        j1, j2, _, l1, l2, _ = i
        S4[i] /= np.sqrt(power[j1, l1] * power[j2, l2])
    return S3, S4


def test_by_power():
    ds = direct.random_statistics(J=3, L=3, std=True)
    out = normalize(ds)
    S3, S4 = by_loops(ds.S3.values, ds.S4.values, ds.S2.values)
    np.testing.assert_allclose(out.S3, S3, rtol=1e-13)
    np.testing.assert_allclose(out.S4, S4, rtol=1e-13)
    assert not {"S3_std", "S4_std"} & set(out.data_vars)
    scaled = normalize(ds, reference=ds.copy())
    std3, std4 = by_loops(ds.S3_std.values, ds.S4_std.values, ds.S2.values)
    np.testing.assert_allclose(scaled.S3_std, std3, rtol=1e-13)
    np.testing.assert_allclose(scaled.S4_std, std4, rtol=1e-13)
    for name in ("S0", "S1", "S2", "S1_std", "S2_std"):
        assert out[name].identical(ds[name])
    assert out.S3.attrs["units"] == scaled.S4_std.attrs["units"] == "1"
    assert out.S4.attrs["long_name"] == "long name of S4, normalized by S2"
    assert out.attrs["normalized"] == "S2"
    assert set(out.coords) == set(ds.coords)


def test_by_modulus_power():
    ds = direct.statistics(direct.field(3), 3, 4)
    out = normalize(ds, by="P11")
    s4, P = ds.S4.values, np.empty((3, 3, 4, 4))
    for j1, j2, l1, l2 in np.ndindex(P.shape):
        P[j1, j2, l1, l2] = s4[j1, j1, j2, l1, l1, l2].real
    np.testing.assert_allclose(out.P11, P)
    for j1, j2, l1, l2 in [(0, 1, 2, 3), (1, 2, 0, 1), (0, 0, 1, 1)]:
        expected = ds.S3.values[j1, j2, l1, l2] / np.sqrt(ds.S2.values[j2, l2] * P[j1, j2, l1, l2])
        np.testing.assert_allclose(out.S3[j1, j2, l1, l2], expected)
    for i in [(0, 1, 2, 3, 1, 0), (0, 0, 2, 1, 2, 3), (1, 1, 1, 0, 2, 1)]:
        j1, j2, j3, l1, l2, l3 = i
        expected = s4[i] / np.sqrt(P[j1, j3, l1, l3] * P[j2, j3, l2, l3])
        np.testing.assert_allclose(out.S4.values[i], expected)
    # correlation coefficients of moduli: 1 with themselves, at most 1 with others
    np.testing.assert_allclose(out.S4[0, 0, 2].values[1, 1], 1)
    assert np.nanmax(abs(out.S4)) < 1 + 1e-12
    assert np.nanmax(abs(out.S3)) < 1 + 1e-12


def test_amplitude_of_the_field_drops_out():
    plane = direct.field(3)
    for by in ("S2", "P11"):
        one, other = (normalize(direct.statistics(c * plane + 5, 3, 4), by) for c in (1, 7))
        xr.testing.assert_allclose(one[["S3", "S4"]], other[["S3", "S4"]])


@pytest.mark.parametrize("by", ["S2", "P11"])
def test_reference(by):
    plane = direct.field(3)
    ref = direct.statistics(plane, 3, 4)
    ds = direct.statistics(2 * plane, 3, 4).expand_dims(time=[10, 20])
    out = normalize(ds, by, reference=ref.isel(j1=slice(None)))
    own = normalize(ref, by)
    np.testing.assert_allclose(out.S1.isel(time=1), 2 * ref.S1 / np.sqrt(ref.S2))
    np.testing.assert_allclose(out.S2, 4)
    np.testing.assert_allclose(out.S3.isel(time=0), 4 * own.S3, atol=1e-12)
    np.testing.assert_allclose(out.S4.isel(time=0), 4 * own.S4, atol=1e-12)
    assert out.S1.attrs["units"] == out.S2.attrs["units"] == "1"
    assert out.S1.dims == ("time", "j1", "l1")
    assert "P11" not in out
    # a reference with more scales serves, one with fewer does not
    fewer = {"j1": [0, 1], "j2": [0, 1], "j3": [0, 1]}
    xr.testing.assert_allclose(normalize(ds.sel(fewer), by, ref), out.sel(fewer))
    with pytest.raises(ValueError, match="lack some of its scales"):
        normalize(ds, by, ref.sel(fewer))
    back = denormalize(out, reference=ref)
    xr.testing.assert_allclose(back, ds)
    assert back.attrs == ds.attrs
    for name in ds.data_vars:
        assert back[name].attrs == ds[name].attrs


def test_leading_labels_of_a_reference_must_agree():
    ds = direct.random_statistics(lead={"time": 3})
    xr.testing.assert_identical(normalize(ds, reference=ds).S3, normalize(ds).S3)
    with pytest.raises(ValueError, match=r"not aligned|cannot align"):
        normalize(ds, reference=ds.isel(time=[0, 1]))


@pytest.mark.parametrize("by", ["S2", "P11"])
@pytest.mark.parametrize("L", [0, 4])
def test_denormalize_restores(by, L):
    ds = direct.random_statistics(L=L, std=True, lead={"time": 2})
    back = denormalize(normalize(ds, by))
    ds = ds.drop_vars(["S3_std", "S4_std"])  # no error is known of what its own power divides
    xr.testing.assert_allclose(back, ds, rtol=1e-13)
    assert back.attrs == {**ds.attrs, "std_dropped": "S3 S4"}
    assert list(back.data_vars) == list(ds.data_vars)
    for name in ds.data_vars:
        assert back[name].attrs == ds[name].attrs
        assert back[name].dims == ds[name].dims


def test_cross_gives_correlation_coefficients():
    a, b = direct.field(1), 3 * direct.field(2) + direct.field(1)
    ds = direct.cross_statistics(a, b, 3, 4)
    out = normalize(ds)
    pa, pb = ds.S2_auto.values
    j1, j2, l1, l2 = 0, 2, 1, 3
    expected = {
        "S3": np.sqrt(pa[j2, l2] * pb[j1, l1]),
        "S3P": np.sqrt(pb[j2, l2] * pa[j1, l1]),
    }
    for name, factor in expected.items():
        np.testing.assert_allclose(out[name][j1, j2, l1, l2], ds[name][j1, j2, l1, l2] / factor)
    factor = np.sqrt(pa[2, 1] * pb[0, 3])
    np.testing.assert_allclose(out.S4[2, 0, 2, 1, 3, 0], ds.S4[2, 0, 2, 1, 3, 0] / factor)
    np.testing.assert_allclose(out.S2, ds.S2 / np.sqrt(pa * pb))
    assert np.abs(out.S2).max() < 1
    assert out.S1.identical(ds.S1)
    same = normalize(direct.cross_statistics(a, 2 * a, 3, 4))
    np.testing.assert_allclose(same.S2, 1)
    alone = normalize(direct.statistics(a, 3, 4))
    np.testing.assert_allclose(same.S3, alone.S3, atol=1e-12)
    np.testing.assert_allclose(same.S3P, alone.S3, atol=1e-12)
    xr.testing.assert_allclose(denormalize(out), ds)
    referred = normalize(ds, reference=ds)
    np.testing.assert_allclose(referred.S1, ds.S1 / np.sqrt(ds.S2_auto))
    np.testing.assert_allclose(referred.S2_auto, 1)
    xr.testing.assert_allclose(denormalize(referred, reference=ds), ds)


def test_pairs_along_a_dimension_take_the_diagonal():
    planes = [direct.field(i) for i in (1, 2)]
    pairs = [[direct.cross_statistics(a, b, 2, 4) for b in planes] for a in planes]
    names = ["S2", "S3", "S4"]
    expected = xr.concat(
        [xr.concat([normalize(p)[names] for p in row], "frequency_b") for row in pairs],
        "frequency_a",
    )
    ds = xr.concat(
        [xr.concat([p[names] for p in row], "frequency_b") for row in pairs], "frequency_a"
    )
    coords = {"frequency_a": [100, 143], "frequency_b": [100, 143]}
    out = normalize(ds.assign_coords(coords))
    for name in names:
        assert out[name].dims == ds[name].dims
        np.testing.assert_allclose(out[name], expected[name], atol=1e-12)
    S1 = xr.concat([row[0].S1.isel(field=0, drop=True) for row in pairs], "frequency")
    pairs_with_S1 = ds.assign_coords(coords).assign(S1=S1.assign_coords(frequency=[100, 143]))
    referred = normalize(pairs_with_S1, reference=pairs_with_S1)
    assert referred.S1.dims == S1.dims
    for i, plane in enumerate(planes):
        one = direct.statistics(plane, 2, 4)
        np.testing.assert_allclose(referred.S1[i], normalize(one, reference=one).S1)
    with pytest.raises(ValueError, match="needs all pairs"):
        normalize(ds.assign_coords(coords).isel(frequency_b=[1]))


def test_errors_say_the_way_out():
    ds = direct.random_statistics()
    with pytest.raises(ValueError, match=r"needs S2.*statistics=\(\.\.\., 'S2'\)"):
        normalize(ds[["S3"]])
    with pytest.raises(ValueError, match=r"needs S4.*statistics=\(\.\.\., 'S4'\)"):
        normalize(ds[["S2", "S3"]], by="P11")
    with pytest.raises(ValueError, match="Did you mean"):
        normalize(ds, by="p11")
    with pytest.raises(ValueError, match="already normalized"):
        normalize(normalize(ds))
    with pytest.raises(ValueError, match="not normalized"):
        denormalize(ds)
    with pytest.raises(ValueError, match="the reference="):
        denormalize(normalize(ds, reference=ds))
    with pytest.raises(ValueError, match="no reference="):
        denormalize(normalize(ds), reference=ds)
    with pytest.raises(ValueError, match="before iso_mean"):
        normalize(iso_mean(ds))
    with pytest.raises(ValueError, match="before iso_mean"):
        denormalize(iso_mean(normalize(ds)))
    with pytest.raises(ValueError, match="different L"):
        normalize(ds, reference=direct.random_statistics(L=6))
    with pytest.raises(ValueError, match="neither normalized nor reduced"):
        normalize(ds, reference=normalize(ds))
    with pytest.raises(ValueError, match="normalize before selecting"):
        normalize(ds.sel(j1=[0]))
    cross = direct.random_statistics(cross=True)
    with pytest.raises(ValueError, match="S2_auto"):
        normalize(cross.drop_vars("S2_auto"))
    with pytest.raises(ValueError, match="by='S2'"):
        normalize(cross, by="P11")
    assert normalize(ds[["S1", "S2"]]).S2.identical(ds.S2)


def test_log():
    ds = direct.random_statistics(std=True)
    out = log(ds)
    np.testing.assert_allclose(out.S1, np.log(ds.S1))
    np.testing.assert_allclose(out.S2_std, ds.S2_std / ds.S2)
    assert out.S2.attrs["units"] == "ln(re 1 K^2)"
    assert out.S2_std.attrs["units"] == "1"
    assert out.S3.identical(ds.S3)
    with pytest.raises(ValueError, match="already"):
        log(out)
    with pytest.raises(ValueError, match="complex"):
        log(direct.random_statistics(cross=True))
    with pytest.raises(ValueError, match=r"before fft_ang"):
        log(fft_ang(ds))


@pytest.mark.parametrize("selection", [{"j1": 0}, {"l2": 1}])
def test_normalize_wants_all_scales_and_orientations(selection):
    field = xr.DataArray(np.random.default_rng(0).normal(size=(32, 32)), dims=("y", "x"))
    stats = covariance(field, J=2, boundary="periodic").isel(selection)
    with pytest.raises(ValueError, match="select after it"):
        normalize(stats)
