"""What holds for every operation on statistics: lazy, map by map, on any subset, writable."""

import dask
import numpy as np
import pytest
import xarray as xr

import direct
from xscat.comparison import distance, select, significant
from xscat.ensemble import concat_realizations, covariance_of, std_over
from xscat.normalization import denormalize, log, normalize
from xscat.paths import as_real, from_paths, from_real, from_vector, to_paths, to_vector
from xscat.reductions import amplitude, fft_ang, fft_ang_sigma, iso_mean, iso_std, phase
from xscat.scales import interp_scales, mean_over_scales, scale_ft

OPERATIONS = {
    "iso_mean": iso_mean,
    "iso_mean repeat": lambda ds: iso_mean(ds, repeat=True),
    "iso_std": iso_std,
    "fft_ang": fft_ang,
    "fft_ang separate": lambda ds: fft_ang(ds, relative=False),
    "fft_ang_sigma": fft_ang_sigma,
    "amplitude": lambda ds: amplitude(fft_ang(ds)),
    "phase": lambda ds: phase(fft_ang(ds)),
    "normalize S2": normalize,
    "normalize P11": lambda ds: normalize(ds, by="P11"),
    "normalize reference": lambda ds: normalize(ds, reference=ds),
    "denormalize": lambda ds: denormalize(normalize(ds)),
    "log": log,
    "distance": lambda ds: distance(ds, 2 * ds).to_dataset(),
    "distance sigma": lambda ds: distance(ds, 2 * ds, sigma=ds).to_dataset(),
    "significant": significant,
    "select": lambda ds: select(ds, significant(ds), j1=[0, 1]),
    "mean_over_scales": mean_over_scales,
    "scale_ft": scale_ft,
    "interp_scales": lambda ds: interp_scales(ds, 4),
    "as_real": as_real,
    "from_real": lambda ds: from_real(as_real(ds)),
    "to_paths": lambda ds: to_paths(ds).to_dataset(),
    "from_paths": lambda ds: from_paths(to_paths(ds)),
    "to_vector": lambda ds: to_vector(ds).to_dataset(),
    "from_vector": lambda ds: from_vector(to_vector(ds)),
    "chain": lambda ds: mean_over_scales(iso_mean(normalize(ds))),
}
ENSEMBLE = {
    "std_over": lambda ds: std_over(ds, "member"),
    "covariance_of": lambda ds: covariance_of(ds, "member", ["S1", "S3"]).to_dataset(),
    "concat_realizations": lambda ds: concat_realizations([ds, ds]),
}
every = pytest.mark.parametrize("name", list(OPERATIONS | ENSEMBLE))
each = pytest.mark.parametrize("name", list(OPERATIONS))


def raising(*args, **kwargs):
    raise RuntimeError("computed while the graph was built")


@pytest.fixture(scope="module")
def ds():
    return direct.random_statistics(lead={"time": 2, "member": 3}, std=True)


@pytest.fixture(scope="module")
def stored(ds, tmp_path_factory):
    path = tmp_path_factory.mktemp("zarr") / "stats.zarr"
    ds.chunk(time=1).to_zarr(path, consolidated=False)
    return path


@every
def test_lazy_is_eager(name, ds, stored):
    operation = (OPERATIONS | ENSEMBLE)[name]
    expected = operation(ds)
    lazy = xr.open_zarr(stored, consolidated=False)  # coordinates are lazy too
    with dask.config.set(scheduler=raising):
        out, again = operation(lazy), operation(lazy)
    for var in out.data_vars.values():
        assert var.chunks is not None
        if "time" in var.dims and name != "concat_realizations":
            assert var.chunksizes["time"] == (1, 1)
    xr.testing.assert_allclose(out.compute(scheduler="synchronous"), expected, rtol=1e-13)
    for var in out.data_vars:
        assert out[var].dims == expected[var].dims
        assert out[var].dtype == expected[var].dtype
        assert out[var].attrs == expected[var].attrs
        assert out[var].__dask_keys__() == again[var].__dask_keys__()
    assert set(out.coords) == set(expected.coords)
    assert out.attrs == expected.attrs


@pytest.mark.parametrize("name", ["chain", "from_vector", "interp_scales", "phase"])
def test_stored_numbers_without_dask(name, ds, stored):
    read = xr.open_zarr(stored, consolidated=False, chunks=None)
    xr.testing.assert_allclose(OPERATIONS[name](read), OPERATIONS[name](ds), rtol=1e-13)


@each
def test_map_by_map(name, ds):
    before = ds.copy(deep=True)
    out = OPERATIONS[name](ds).isel(time=1, member=2)
    xr.testing.assert_identical(ds, before)
    alone = OPERATIONS[name](ds.isel(time=1, member=2))
    kept = {k: v for k, v in out.attrs.items() if not k.endswith(":dims")}
    xr.testing.assert_allclose(out, alone, rtol=1e-13)
    assert kept == {k: v for k, v in alone.attrs.items() if not k.endswith(":dims")}


@each
def test_a_subset_of_the_variables(name, ds):
    names = ["S2", "S2_std", "S3", "S3_std"] + (["S4"] if "P11" in name else [])
    out, whole = OPERATIONS[name](ds[names]), OPERATIONS[name](ds)
    assert len(out.data_vars) > 0
    if set(out.dims) & {"path"} or name.startswith("distance"):
        return
    for var in out.data_vars:
        xr.testing.assert_equal(out[var], whole[var])


@every
def test_result_is_written_and_read_identically(name, ds, tmp_path):
    out = (OPERATIONS | ENSEMBLE)[name](ds)
    assert all(isinstance(v, str | int | float) for v in out.attrs.values())
    out.to_zarr(tmp_path / "out.zarr", consolidated=False)
    read = xr.open_zarr(tmp_path / "out.zarr", consolidated=False)
    xr.testing.assert_identical(read.load(), out)


@each
def test_line(name):
    ds = direct.random_statistics(L=0, std=True)
    if name in ("amplitude", "phase"):
        with pytest.raises(ValueError, match="harmonic"):
            OPERATIONS[name](ds)
    elif name == "iso_std":
        assert not OPERATIONS[name](ds).data_vars
    else:
        out = OPERATIONS[name](ds)
        assert len(out.data_vars) > 0
        assert not any(str(d).startswith("l") for d in out.dims)
        assert all(bool(v.notnull().any()) for v in out.data_vars.values()) or name == "select"


@pytest.mark.parametrize(
    "name",
    ["chain", "fft_ang", "from_vector", "interp_scales", "iso_std", "scale_ft", "significant"],
)
def test_cross(name):
    ds = direct.random_statistics(std=True, cross=True, lead={"frequency": 2})
    out = OPERATIONS[name](ds)
    alone = OPERATIONS[name](ds.isel(frequency=1))
    xr.testing.assert_allclose(out.isel(frequency=1), alone, rtol=1e-13)


def test_paths_survive_storage_and_come_back(ds, tmp_path):
    for convert, back in ((to_paths, from_paths), (to_vector, from_vector)):
        path = tmp_path / f"{convert.__name__}.zarr"
        convert(ds).to_dataset().to_zarr(path, consolidated=False)
        read = xr.open_zarr(path, consolidated=False).coefficients
        restored = back(read)
        kept = ds if convert is to_paths else ds[["S0", "S1", "S2", "S3", "S4"]]
        xr.testing.assert_identical(restored.compute(), kept)


def test_harmonics_are_read_back(ds, tmp_path):
    fft_ang(ds).to_zarr(tmp_path / "ang.zarr", consolidated=False)
    read = xr.open_zarr(tmp_path / "ang.zarr", consolidated=False)
    xr.testing.assert_allclose(amplitude(read), amplitude(fft_ang(ds)))
    np.testing.assert_allclose(phase(read).S2, phase(fft_ang(ds)).S2)
