"""Compact forms and their inverses."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import direct
from xscat.comparison import select
from xscat.paths import as_real, from_paths, from_real, from_vector, to_paths, to_vector
from xscat.reductions import amplitude, fft_ang, iso_mean
from xscat.scales import mean_over_scales, scale_ft


def as_is(ds):
    return ds


reductions = st.sampled_from(
    [as_is, iso_mean, fft_ang, mean_over_scales, scale_ft, lambda ds: amplitude(fft_ang(ds))]
)


@settings(max_examples=30, deadline=None)
@given(
    L=st.sampled_from([0, 3, 4]),
    J=st.integers(1, 3),
    cross=st.booleans(),
    std=st.booleans(),
    lead=st.sampled_from([{}, {"time": 2}, {"time": 2, "member": 1}]),
    dtype=st.sampled_from([np.float32, np.float64]),
    reduce=reductions,
)
def test_round_trips(L, J, cross, std, lead, dtype, reduce):
    ds = direct.random_statistics(0, J, L, lead, std, cross, dtype)
    if not L and reduce not in (as_is, mean_over_scales):
        reduce = iso_mean
    ds = reduce(ds)
    paths = to_paths(ds)
    assert paths.dims == (*lead, "path")
    xr.testing.assert_identical(from_paths(paths), ds)
    assert {n: v.dtype for n, v in from_paths(paths).data_vars.items()} == ds.dtypes
    xr.testing.assert_identical(from_real(as_real(ds)), ds)
    statistics = [n for n in ds.data_vars if not n.endswith("_std") and n != "S2_auto"]
    xr.testing.assert_identical(from_vector(to_vector(ds)), from_paths(to_paths(ds, statistics)))
    assert to_vector(ds).dtype == dtype


@pytest.mark.parametrize(("cross", "triples"), [(False, 10), (True, 14)])
def test_only_what_is_defined_is_kept(cross, triples):
    J, L = 3, 4
    ds = direct.random_statistics(J=J, L=L, cross=cross)
    paths = to_paths(ds, ["S2", "S3", "S4"])
    counts = {n: int((paths.statistic == n).sum()) for n in ("S2", "S3", "S4")}
    assert counts == {"S2": J * L, "S3": 6 * L**2, "S4": triples * L**3}
    assert paths.notnull().all()
    j1, j2, j3 = (paths[f"j{i}"].values for i in "123")
    four = paths.statistic.values == "S4"
    assert np.all(j1[four] <= j3[four])
    assert np.any(j1[four] > j2[four]) == cross
    assert set(j2[paths.statistic.values == "S2"]) == {-1}
    for i in np.random.default_rng(0).integers(0, paths.sizes["path"], 30):
        path = paths[i]
        name = str(path.statistic.values)
        index = {d: int(path[d]) for d in ds[name].dims}
        assert path.item() == ds[name].sel(index).item()
        assert path.wavelength_j1 == ds.wavelength_j1[index["j1"]]
        assert np.isnan(path.angle_l3) == (name != "S4")


def test_paths_come_in_one_order_whatever_that_of_the_variables():
    ds = direct.random_statistics(std=True)
    other = ds[list(ds.data_vars)[::-1]]
    for convert in (to_paths, to_vector):
        xr.testing.assert_identical(convert(ds).drop_attrs(), convert(other).drop_attrs())
    names = list(dict.fromkeys(to_vector(ds).statistic.values))
    assert names == ["S0", "S1", "S2", "S3", "S4"]


def test_ratios_that_cannot_be_are_no_paths():
    paths = to_paths(mean_over_scales(direct.random_statistics(J=3, L=2)))
    assert paths.notnull().all()
    assert int((paths.statistic == "S4").sum()) == 6 * 2**3
    both = to_paths(mean_over_scales(direct.random_statistics(J=3, L=2, cross=True)), ["S3", "S4"])
    assert both.isel(path=both.statistic == "S3").notnull().all()
    assert bool((both.dj12 <= both.dj13)[both.statistic == "S4"].all())


def test_vector():
    ds = direct.random_statistics(lead={"time": 3}, std=True)
    vector = to_vector(ds)
    n = {name: int((to_paths(ds).statistic == name).sum()) for name in ("S1", "S3", "S4")}
    assert vector.dims == ("time", "path")
    assert vector.sizes["path"] == 2 + 2 * n["S1"] + 2 * n["S3"] + 2 * n["S4"]
    assert vector.dtype == float
    imag = vector.isel(path=(vector.part == "imag") & (vector.statistic == "S3"))
    again = to_paths(ds, ["S3"]).imag
    np.testing.assert_array_equal(imag, again)
    np.testing.assert_array_equal(imag.l2, again.l2)
    changed = from_vector(vector + 1)
    np.testing.assert_allclose(changed.S1, ds.S1 + 1)
    np.testing.assert_allclose(changed.S4, ds.S4 + 1 + 1j)
    assert changed.attrs == ds.attrs
    one = from_vector(vector.isel(time=0))
    np.testing.assert_array_equal(one.S4, ds.S4.isel(time=0))
    with pytest.raises(ValueError, match="dropped or reordered"):
        from_vector(vector.isel(path=slice(0, -1)))
    with pytest.raises(ValueError, match="coordinate part"):
        from_vector(vector.drop_vars("part"))


def test_part_of_the_statistics():
    ds = select(direct.random_statistics(), statistics=["S1", "S3"], j1=[0, 1], l1=[1, 3])
    xr.testing.assert_identical(from_paths(to_paths(ds)), ds)
    paths = to_paths(ds)
    fewer = from_paths(paths.isel(path=slice(1, None)))
    assert np.isnan(fewer.S1[0, 0])
    np.testing.assert_array_equal(fewer.S3, ds.S3)
    np.testing.assert_array_equal(fewer.S1.values.ravel()[1:], ds.S1.values.ravel()[1:])
    masked = ds.assign(S1=ds.S1.where(ds.S1 > 1), S3=ds.S3.where(ds.l2 > 0))
    kept = to_paths(masked, dropna=True)
    assert kept.notnull().all()
    assert kept.sizes["path"] == int(masked.notnull().sum().to_array().sum())
    with pytest.raises(ValueError, match="statistic"):
        from_paths(paths.drop_vars("statistic"))
    with pytest.raises(ValueError, match="S1:dims"):
        from_paths(paths.drop_attrs())
    with pytest.raises(ValueError, match="no variable"):
        to_paths(ds[[]])


def test_types_come_back():
    ds = direct.random_statistics(std=True)
    mixed = ds.assign(S1=ds.S1.astype(np.float32))
    mask = ds.notnull()
    for each in (mixed, mask):
        back = from_paths(to_paths(each))
        xr.testing.assert_identical(back, each)
        assert back.dtypes == each.dtypes


def test_leading_dimensions_added_later():
    ds = direct.random_statistics()
    paths = to_paths(ds)
    several = xr.concat([paths, 2 * paths.assign_attrs(paths.attrs)], "draw")
    out = from_paths(several.assign_attrs(paths.attrs))
    assert out.S3.dims == ("draw", *ds.S3.dims)
    np.testing.assert_array_equal(out.S4[1], 2 * ds.S4)


def test_real_and_imaginary_parts():
    ds = direct.random_statistics(std=True)
    real = as_real(ds)
    assert real.S3.dims == (*ds.S3.dims, "part")
    assert real.part.values.tolist() == ["real", "imag"]
    assert not any(np.iscomplexobj(v) for v in real.data_vars.values())
    np.testing.assert_array_equal(real.S4.sel(part="imag"), ds.S4.imag)
    assert real.S3.attrs == ds.S3.attrs
    assert real.S1.identical(ds.S1)
    odd = xr.Dataset({"S3": ("j1", [complex(np.inf, 1), complex(1, np.nan)])})
    np.testing.assert_array_equal(from_real(as_real(odd)).S3.real, [np.inf, 1])


def test_real_parts_go_through_netcdf(tmp_path):
    ds = direct.random_statistics()
    as_real(ds).to_netcdf(tmp_path / "stats.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "stats.nc", engine="h5netcdf") as read:
        xr.testing.assert_identical(from_real(read.load()), ds)
