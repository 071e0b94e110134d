"""No operation computes, turns a coordinate lazy or loses one: all of them, fresh and stored."""

import dask
import numpy as np
import pytest
import xarray as xr

import xscat
from helpers import healpix, sphere_texture, texture

TIME = {"time": np.array(["2020-01-01", "2020-02-01"], "datetime64[ns]")}


def forbid(dsk, keys, **kwargs):
    raise AssertionError("a task ran while the graph was built")


def planes(seed=0):
    values = np.stack([texture(32, 32, seed=seed + i) for i in range(2)])
    da = xr.DataArray(values, dims=("time", "y", "x"), coords=TIME, attrs={"units": "K"}, name="T")
    return da.assign_coords(season=("time", [1, 4]), height=2.0)


def wind():
    both = xr.concat([planes(), planes(5)], "component").assign_coords(
        component=np.array(["u", "v"], object)
    )
    return both.drop_vars("season")


KW = {"J": 2, "L": 2, "boundary": "periodic"}
MAKE = {
    "auto": lambda a: a.scat.covariance(**KW, variance=True),
    "cross": lambda a: a.scat.cross(a**2, **KW, variance=True),
    "pairs": lambda a: a.scat.cross(over="run", **KW, variance=True),
    "modes": lambda a: a.scat.covariance(spin=1, **KW),
    "cross_modes": lambda a: a.scat.covariance(spin=1, cross_modes=True, **KW),
    "line": lambda a: a.scat.covariance(J=2, dim="x", boundary="periodic", variance=True),
}
FIELD = {
    "auto": planes,
    "cross": planes,
    "pairs": lambda: xr.concat([planes(), planes(3)], "run").assign_coords(
        run=np.array(["a", "b"], object)
    ),
    "modes": wind,
    "cross_modes": wind,
    "line": lambda: planes().isel(y=0),
}
OPERATIONS = {
    "iso_mean": lambda s: s.scat.iso_mean(),
    "iso_mean repeat": lambda s: s.scat.iso_mean(repeat=True),
    "iso_std": lambda s: s.scat.iso_std(),
    "fft_ang": lambda s: s.scat.fft_ang(),
    "fft_ang separate": lambda s: s.scat.fft_ang(relative=False),
    "fft_ang_sigma": lambda s: s.scat.fft_ang_sigma(),
    "amplitude": lambda s: s.scat.fft_ang().scat.amplitude(),
    "phase": lambda s: s.scat.fft_ang().scat.phase(),
    "normalize": lambda s: s.scat.normalize(),
    "normalize P11": lambda s: s.scat.normalize("P11"),
    "normalize reference": lambda s: s.scat.normalize(reference=s + 0),
    "denormalize": lambda s: s.scat.normalize().scat.denormalize(),
    "log": lambda s: s.scat.log(),
    "distance": lambda s: s.scat.distance(s + 0),
    "distance sigma": lambda s: s.scat.distance(s + 0, sigma=s),
    "significant": lambda s: s.scat.significant(),
    "select": lambda s: s.scat.select(s.scat.significant(), j1=[0]),
    "select labels": lambda s: s.scat.select(statistics=["S1", "S3"], j1=0),
    "mean_over_scales": lambda s: s.scat.mean_over_scales(),
    "scale_ft": lambda s: s.scat.scale_ft(),
    "interp_scales": lambda s: s.scat.interp_scales(3),
    "interp_scales fine": lambda s: s.scat.interp_scales(3, side="fine"),
    "std_over": lambda s: s.scat.std_over("time"),
    "covariance_of": lambda s: s.scat.covariance_of("time", ["S1", "S2"]),
    "concat_realizations": lambda s: xscat.concat_realizations([s, s + 0]),
    "as_real": lambda s: s.scat.as_real(),
    "from_real": lambda s: s.scat.as_real().scat.from_real(),
    "to_paths": lambda s: s.scat.to_paths(),
    "from_paths": lambda s: s.scat.to_paths().scat.from_paths(),
    "to_vector": lambda s: s.scat.to_vector(),
    "from_vector": lambda s: s.scat.to_vector().scat.from_vector(),
    "chain": lambda s: s.scat.normalize().scat.iso_mean().scat.mean_over_scales(),
}
NOT_FOR = {
    ("normalize P11", "cross"),
    ("normalize P11", "pairs"),
    ("normalize P11", "cross_modes"),
    ("log", "cross"),
    ("log", "pairs"),
    ("log", "cross_modes"),
    *(
        (n, k)
        for n in ("fft_ang_sigma", "distance sigma", "significant", "select")
        for k in ("modes", "cross_modes")
    ),
    *((n, "line") for n in ("amplitude", "phase", "iso_std")),
}


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Statistics of each kind in memory, and where they are stored."""
    found = {}
    for kind, make in MAKE.items():
        stats = make(FIELD[kind]())
        path = tmp_path_factory.mktemp("zarr") / f"{kind}.zarr"
        stats.chunk(time=1).to_zarr(path, consolidated=False)
        found[kind] = stats, path
    return found


def check(lazy, eager):
    """Nothing is lazy but the variables, and no coordinate is lost or changed."""
    arrays = [lazy] if isinstance(lazy, xr.DataArray) else list(lazy.data_vars.values())
    assert arrays
    assert all(a.chunks is not None for a in arrays)
    assert all(type(c.data) is np.ndarray for n, c in lazy.coords.items())
    assert set(lazy.coords) == set(eager.coords)
    for name, coord in eager.coords.items():
        np.testing.assert_array_equal(lazy[name].values, coord.values)
        assert lazy[name].dims == coord.dims
        assert lazy[name].attrs == coord.attrs


def chunked(field):
    """A lazy field; `chunk` makes coordinates lazy, too."""
    return field.chunk(time=1).assign_coords(field.coords)


QUICK = ("auto",)  # the other kinds take up to a minute each, and the same ways


@pytest.mark.parametrize(
    "kind", [k if k in QUICK else pytest.param(k, marks=pytest.mark.long) for k in MAKE]
)
def test_nothing_is_computed_and_no_coordinate_is_lazy(kind, stored):
    stats, path = stored[kind]
    field = chunked(FIELD[kind]())
    for name, operation in OPERATIONS.items():
        if (name, kind) in NOT_FOR:
            continue
        eager = operation(stats)
        with dask.config.set(scheduler=forbid):
            fresh = operation(MAKE[kind](field))
        check(fresh, eager)
        for chunks in ("auto", {}, {"time": 1}):
            read = xr.open_zarr(path, consolidated=False, chunks=chunks)
            own = [n for n, c in read.coords.items() if "time" in c.dims and n != "time"]
            read = read.assign_coords({n: read[n].compute() for n in own})
            with dask.config.set(scheduler=forbid):
                out = operation(read)
            check(out, eager)


def test_the_field_of_the_bug():
    da = healpix(sphere_texture(3, 4), 3, lead=("time",)).assign_coords(time=np.arange(4))
    with dask.config.set(scheduler=forbid):
        for name in ("iso_mean", "iso_std", "fft_ang", "mean_over_scales", "scale_ft", "as_real"):
            out = da.chunk(time=2).scat.covariance(2, 2).scat
            out = getattr(out, name)()
            assert all(c.chunks is None for c in out.coords.values())


def test_lazy_coordinates_of_the_user_stay_lazy():
    """What belongs to the fields, not to the statistics, may be large."""
    field = planes().chunk(time=1)
    area = ("time", dask.array.ones(2, chunks=1))
    stats = field.assign_coords(area=area).scat.covariance(**KW)
    with dask.config.set(scheduler=forbid):
        out = stats.scat.normalize().scat.iso_mean()
    assert out.area.chunks is not None
    assert out.wavelength_j1.chunks is None


def test_paths_read_from_a_store_come_back_unread(stored, tmp_path):
    stats, _ = stored["auto"]
    for to, back in (("to_paths", "from_paths"), ("to_vector", "from_vector")):
        paths = getattr(stats.scat, to)()
        paths.to_dataset().to_zarr(tmp_path / to, consolidated=False)
        read = xr.open_zarr(tmp_path / to, consolidated=False)
        read = read.coefficients.assign_coords(season=read.season.compute())
        with dask.config.set(scheduler=forbid):
            out = getattr(read.scat, back)()
        xr.testing.assert_identical(out.compute(), getattr(paths.scat, back)())


@pytest.mark.filterwarnings("error:invalid value")
def test_harmonics_and_means_of_a_lazy_field_are_stored(tmp_path):
    stats = planes().chunk(time=1).scat.covariance(2, variance=True)
    for name in ("fft_ang", "fft_ang_sigma", "mean_over_scales"):
        done = getattr(stats.scat, name)()
        done.to_zarr(tmp_path / name, consolidated=False)
        back = xr.open_zarr(tmp_path / name, consolidated=False)
        xr.testing.assert_equal(back.compute(), done.compute())
