"""Dask, zarr, indexes, numeric types: nothing is computed early and nothing is lost on the way."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import dask
import numpy as np
import pytest
import torch
import xarray as xr
import xdggs

import xscat
from helpers import assert_same, healpix, plane, sphere, sphere_texture, texture

PLANES = np.stack([texture(40, 36, seed=i) for i in range(4)]).reshape(2, 2, 40, 36)


def planes():
    coords = {"time": [10, 20], "height": 2.0}
    attrs = {"units": "K"}
    return xr.DataArray(
        PLANES, dims=("run", "time", "y", "x"), coords=coords, attrs=attrs, name="T"
    )


def spheres():
    coords = {"time": np.array(["2020-01-01", "2020-02-01", "2020-03-01"], "datetime64[ns]")}
    da = healpix(sphere_texture(3, 3), 3, lead=("time",)).assign_coords(coords)
    return da.assign_attrs(units="m s-1").rename("u")


FIELDS = {"plane": planes, "sphere": spheres}
CHUNKS = {"plane": {"run": 1, "time": 1}, "sphere": {"time": 2}}


def forbid(dsk, keys, **kwargs):
    raise AssertionError("a task ran while the graph was built")


@pytest.mark.parametrize("kind", FIELDS)
def test_nothing_is_computed_until_asked(kind):
    da = FIELDS[kind]()
    lazy = da.chunk(CHUNKS[kind])
    with dask.config.set(scheduler=forbid):
        stats = lazy.scat.covariance(2)
        gone = lazy.where(lazy > 0.3).scat.covariance(2, variance=True)
        masked = lazy.scat.covariance(2, mask=lazy > 0.3)
    for ds in (stats, gone, masked):
        assert all(dask.is_dask_collection(v.data) for v in ds.values())
    assert stats.S4.chunksizes[("run" if kind == "plane" else "time")] == (
        (1, 1) if kind == "plane" else (2, 1)
    )
    eager = da.scat.covariance(2)
    assert stats.S4.dtype == eager.S4.dtype
    assert_same(stats.compute(), eager)
    xr.testing.assert_identical(stats.coords.to_dataset(), eager.coords.to_dataset())
    assert stats.attrs == eager.attrs
    assert {n: v.attrs for n, v in stats.items()} == {n: v.attrs for n, v in eager.items()}


@pytest.mark.parametrize("kind", FIELDS)
def test_maps_that_miss_cells_are_the_same_chunked(kind):
    da = FIELDS[kind]()
    da = da.where(np.random.default_rng(0).random(da.shape) > 0.01)
    with pytest.warns(UserWarning, match="no valid coefficient"):
        lazy = da.chunk(CHUNKS[kind]).scat.covariance(2).compute()
    with pytest.warns(UserWarning, match="no valid coefficient"):
        assert_same(lazy, da.scat.covariance(2))


def test_the_same_call_gives_the_same_graph():
    def call(**kwargs):
        lazy = xr.DataArray(dask.array.zeros((2, 768), chunks=(1, 768)), dims=("time", "cells"))
        da = healpix(lazy.data, 3, lead=("time",))
        return da.scat.covariance(**kwargs)

    def keys(ds):
        return set(ds.__dask_graph__())

    assert keys(call()) == keys(call())
    assert keys(call()).isdisjoint(keys(call(J=1)) - keys(call(J=1, L=2)))
    with xscat.set_options(dtype="float32"):
        assert call().S1.data.name != keys(call(dtype="float64"))
        single = call().S1.data.name
    assert single != call().S1.data.name


def test_graph_keys_are_the_same_in_another_process():
    code = (
        "import numpy as np, xarray as xr, xscat\n"
        "attrs = {'grid_name': 'healpix', 'level': 3, 'indexing_scheme': 'nested'}\n"
        "cells = np.arange(768)[::-1]\n"
        "da = xr.DataArray(np.ones((2, 768)), dims=('time', 'cells'),\n"
        "                  coords={'cell_ids': ('cells', cells, attrs)}).chunk(time=1)\n"
        "print(da.scat.covariance().S3.data.name)\n"
    )
    names = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
        for _ in range(2)
    }
    assert len(names) == 1
    assert names.pop().strip()


def test_options_are_those_of_the_call_not_of_the_computation():
    da = planes().chunk(run=1)
    with xscat.set_options(dtype="float32"):
        stats = da.scat.covariance(2)
    exact = da.scat.covariance(2, dtype="float64")
    assert 1e-9 < float(abs(stats.S2 / exact.S2 - 1).max()) < 1e-5
    assert stats.S1.dtype == stats.compute().S1.dtype == "float64"
    assert stats.S4.dtype == stats.compute().S4.dtype == "complex128"


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed")
    config = {"distributed.worker.use-file-locking": False, "distributed.admin.tick.limit": "60s"}
    with (
        dask.config.set(config),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def test_two_workers_give_what_one_process_gives(cluster):
    for kind in FIELDS:
        da = FIELDS[kind]()
        lazy = da.chunk(dict.fromkeys(CHUNKS[kind], 1))
        assert len(cluster.scheduler_info()["workers"]) == 2
        xr.testing.assert_allclose(
            lazy.scat.covariance(2).compute(), da.scat.covariance(2), rtol=1e-12
        )
        part = da.isel({da.dims[-1]: slice(0, 30)}) if kind == "plane" else da[:, :500]
        assert_same(
            part.chunk(dict.fromkeys(CHUNKS[kind], 1)).scat.covariance(1).compute(),
            part.scat.covariance(1),
        )


@pytest.mark.parametrize("kind", FIELDS)
def test_zarr_gives_back_the_same(kind, tmp_path):
    da = FIELDS[kind]()
    stats = da.chunk(CHUNKS[kind]).scat.covariance(2, variance=True)
    stats.to_zarr(tmp_path / "stats.zarr", consolidated=False)
    back = xr.open_zarr(tmp_path / "stats.zarr", consolidated=False)
    expected = stats.compute()
    xr.testing.assert_identical(back.compute(), expected)
    assert back.S3.dtype == complex
    assert back.attrs == expected.attrs
    assert back.S4.attrs["units"] == expected.S4.attrs["units"]
    parameters = xscat.Parameters.from_attrs(back)
    assert parameters == xscat.Parameters.from_attrs(expected)
    again = da.scat.covariance(parameters.J, parameters.L, wavelet=parameters.wavelet)
    assert_same(again, expected[list(again)])


def test_a_decoded_store_is_read_lazily(tmp_path):
    da = spheres()
    # the attributes of the index go back to its coordinate before writing
    da.to_dataset().dggs.encode("xdggs").to_zarr(tmp_path / "u.zarr", consolidated=False)
    lazy = xr.open_zarr(tmp_path / "u.zarr", consolidated=False).pipe(xdggs.decode).u
    assert isinstance(lazy.xindexes["cell_ids"], xdggs.HealpixIndex)
    lazy = lazy.chunk(cells=-1)
    with dask.config.set(scheduler=forbid):
        stats = lazy.scat.covariance()
    assert_same(stats.compute(), da.scat.covariance())


def test_coordinates_and_indexes_of_other_dimensions_are_kept():
    stats = planes().scat.covariance(2)
    assert list(stats.indexes["time"]) == [10, 20]
    assert float(stats.height) == 2
    assert not {"y", "x"} & set(stats.variables)
    da = spheres().assign_coords(lat=("cells", np.zeros(768)))
    stats = da.scat.covariance()
    assert stats.indexes["time"].equals(da.time.to_index())
    assert not {"cells", "cell_ids", "lat"} & (set(stats.variables) | set(stats.dims))


def test_the_index_of_the_cells_is_kept_where_they_are():
    da = spheres().isel(time=0)
    local = da.chunk().scat.dominant_orientation(0)
    assert local.dims == da.dims
    assert isinstance(local.xindexes["cell_ids"], xdggs.HealpixIndex)
    assert local.xindexes["cell_ids"].equals(da.xindexes["cell_ids"])


def test_labels_units_and_attributes():
    stats = planes().scat.covariance(2, 3)
    assert stats.S3.dims == ("run", "time", "j1", "j2", "l1", "l2")
    assert stats.S4.dims == ("run", "time", "j1", "j2", "j3", "l1", "l2", "l3")
    assert stats.S0.dims == ("run", "time", "moment")
    units = {name: v.attrs.get("units") for name, v in stats.items()}
    assert units == {"S0": None, "S1": "K", "S2": "K^2", "S3": "K^2", "S4": "K^2"}
    assert spheres().scat.covariance().S2.attrs["units"] == "(m s-1)^2"
    described = set(stats.variables) - {"time", "height", "moment"}
    assert all(stats[name].attrs["long_name"] for name in described)
    assert not any("standard_name" in v.attrs for v in stats.variables.values())
    assert stats.attrs["source"] == "T"
    assert stats.attrs["grid"] == "plane"
    assert all(isinstance(v, str | int | float) for v in stats.attrs.values())
    assert "units" not in plane(40, 40).scat.covariance(1).S2.attrs
    for i in "123":
        assert stats[f"wavelength_j{i}"].dims == (f"j{i}",)
        assert stats[f"angle_l{i}"].attrs["units"] == "degrees"
    j1, j2, j3 = np.ogrid[:2, :2, :2]
    np.testing.assert_array_equal(
        np.isnan(stats.S4.values[0, 0, ..., 0, 0, 0]), ~((j1 <= j2) & (j2 <= j3))
    )
    np.testing.assert_array_equal(np.isnan(stats.S3.values[0, 0, ..., 0, 0].imag), [[0, 0], [1, 0]])


@pytest.mark.parametrize("number", [1, 2])
def test_threads_and_modes_of_torch_are_left_alone(number):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(number)
        with xscat.set_options(threads=3 - number):
            sphere(3).scat.covariance()
        assert torch.get_num_threads() == number
        assert torch.is_grad_enabled()
        assert torch.get_default_dtype() == torch.float32
    finally:
        torch.set_num_threads(before)


def test_threads_are_left_alone_by_tasks_side_by_side():
    def in_a_new_thread():
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(torch.get_num_threads).result()

    stats = healpix(sphere_texture(4, 12), 4, lead=("time",)).chunk(time=1).scat.covariance()
    before = torch.get_num_threads()
    try:
        for _ in range(4):
            torch.set_num_threads(2)
            stats.compute(scheduler="threads", num_workers=4)
            assert torch.get_num_threads() == in_a_new_thread() == 2
    finally:
        torch.set_num_threads(before)


def test_numeric_types_and_layouts():
    values = (100 * texture(40, 36)).round()
    da = xr.DataArray(values, dims=("y", "x"))
    stats = da.scat.covariance(2)
    for dtype in ("int16", ">i4", ">f8", "longdouble"):
        assert_same(da.astype(dtype).scat.covariance(2), stats)
    readonly = values.copy()
    readonly.flags.writeable = False
    assert_same(da.copy(data=readonly).scat.covariance(2), stats)
    spread = np.zeros((80, 72))
    spread[::2, ::2] = values
    strided = da.copy(data=spread[::2, ::2])
    assert not strided.data.flags.contiguous
    assert_same(strided.scat.covariance(2), stats)
    assert_same(da.copy(data=np.asfortranarray(values)).scat.covariance(2), stats)
    assert_same(da.copy(data=values[::-1, ::-1][::-1, ::-1]).scat.covariance(2), stats)
    half = (values / 1000).astype("float16")
    single = da.copy(data=half.astype("float32")).scat.covariance(2)
    assert_same(da.copy(data=half).scat.covariance(2), single, tol=1e-6)
    assert single.S1.dtype == "float64"
    assert_same(da.astype(">f4").scat.covariance(2), da.astype("f4").scat.covariance(2), tol=1e-6)
    boolean = da > da.mean()
    assert_same(boolean.scat.covariance(2), boolean.astype(float).scat.covariance(2))
    small = xr.DataArray(np.clip(values, 0, 255).astype("uint8"), dims=("y", "x"))
    assert_same(small.scat.covariance(2), small.astype(float).scat.covariance(2))
    assert_same(da.scat.covariance(2, dtype="float32"), stats, tol=1e-5)


def run(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()


def test_import_is_light():
    heavy = "{'torch', 'healpy', 'healpix_geo', 'xdggs', 'matplotlib', 'scipy'}"
    loaded = run(f"import sys, xarray, xscat\nprint(*({heavy} & set(sys.modules)))")
    assert loaded == []


def test_import_takes_less_than_1_5_seconds_on_top_of_xarray():
    code = (
        "import time, xarray\nstart = time.process_time()\nimport xscat\n"
        "print(time.process_time() - start)"
    )
    assert min(float(run(code)[0]) for _ in range(2)) < 1.5
