"""Names, coordinates and attributes of fields: what results keep, what does not disturb them."""

import warnings

import numpy as np
import pytest
import xarray as xr

import xscat
from helpers import healpix, sphere_texture, texture

OPTIONS = {"J": 1, "seed": 1, "progress": False, "boundary": "periodic", "max_iter": 1}
SEPARATION = dict(OPTIONS)
OPTIONS |= {"statistics": ("S0", "S1", "S2")}
MAKERS = {
    "synthesize": lambda da: da.scat.synthesize(**OPTIONS),
    "realizations": lambda da: da.scat.synthesize(realizations=2, **OPTIONS),
    "inpaint": lambda da: da.where(da < float(da.quantile(0.9))).scat.inpaint(**OPTIONS),
    "denoise": lambda da: da.scat.denoise(0.1, **OPTIONS),
    "separate": lambda da: xscat.separate(da, {"a": da, "b": 2 * da}, **SEPARATION).a,
    "from statistics": lambda da: da.scat.covariance(J=1, boundary="periodic").scat.synthesize(
        like=da, seed=1, progress=False, max_iter=1
    ),
}


def plane(**kwargs):
    times = np.array(["2001-01-01", "2001-01-02"], "M8[ns]")
    coords = {
        "time": ("time", times, {"long_name": "when"}),
        "y": ("y", np.arange(8) * 2.0, {"units": "km"}),
        "x": ("x", np.arange(12) * 1.0, {"units": "km", "axis": "X"}),
        "season": ("time", ["DJF", "MAM"], {"note": "of the time"}),
        "depth": ("y", np.arange(8) ** 2.0, {"units": "m"}),
        "age": (("time", "x"), np.ones((2, 12))),
        "height": ((), 10.0, {"units": "m"}),
    }
    values = np.stack([texture(8, 12), texture(8, 12, seed=1)])
    attrs = {"units": "K", "long_name": "temperature"}
    return xr.DataArray(values, coords, ("time", "y", "x"), name="sst", attrs=attrs)


def sphere():
    da = healpix(sphere_texture(2, 2), 2, lead=("time",))
    area = ("cells", np.arange(192.0), {"units": "m2"})
    return da.assign_coords(area=area, height=10.0).rename("sst").assign_attrs(units="K")


def assert_kept(new, da):
    assert new.name == ("a" if new.name == "a" else da.name)
    assert da.attrs.items() <= new.attrs.items()
    assert set(da.coords) <= set(new.coords)
    for name, coord in da.coords.items():
        xr.testing.assert_identical(new[name].variable, coord.variable)
    assert dict(new.xindexes).keys() == dict(da.xindexes).keys()


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("make", [plane, sphere])
def test_results_keep_what_the_field_had(maker, lazy, make):
    da = make()
    given = da.copy(data=da.chunk(time=1).data) if lazy else da
    new = MAKERS[maker](given)
    if maker == "from statistics":  # these have no coordinates on time and cells together
        da = da.drop_vars("age", errors="ignore")
    assert [d for d in new.dims if d != "realization"] == list(da.dims)
    assert (new.chunks is not None) == lazy
    assert_kept(new, da)


@pytest.mark.parametrize("maker", MAKERS)
def test_results_can_be_written(maker, tmp_path):
    new = MAKERS[maker](plane())
    new.to_netcdf(tmp_path / "nc", engine="h5netcdf")
    with xr.open_dataarray(tmp_path / "nc", engine="h5netcdf") as back:
        xr.testing.assert_equal(back, new)
        assert set(back.attrs) == set(new.attrs)
    new = new.drop_vars("season").rename("a")  # zarr warns of strings
    new.to_dataset().to_zarr(tmp_path / "zarr", consolidated=False)
    xr.testing.assert_equal(xr.open_zarr(tmp_path / "zarr", consolidated=False).a, new)


def test_history_can_be_written(tmp_path):
    _, history = plane().scat.synthesize(return_history=True, **OPTIONS)
    history.to_netcdf(tmp_path / "nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "nc", engine="h5netcdf") as back:
        xr.testing.assert_equal(back, history)
    assert history.time.attrs == {"long_name": "when"}
    parts = xscat.separate(plane(), {"a": plane(), "b": 2 * plane()}, **SEPARATION)
    parts.to_netcdf(tmp_path / "parts", engine="h5netcdf")


def test_a_finer_grid_has_coordinates():
    da = plane()
    new = da.scat.synthesize(upsample=1, **OPTIONS)
    np.testing.assert_allclose(new.y, np.arange(16) * 2.0)
    np.testing.assert_allclose(new.x, np.arange(24) * 1.0)
    assert new.x.attrs == da.x.attrs
    for name in ("time", "season", "height"):
        xr.testing.assert_identical(new[name].variable, da[name].variable)
    assert "depth" not in new.coords
    days = np.datetime64("2001-01-01", "ns") + np.arange(16) * np.timedelta64(1, "D")
    line = xr.DataArray(texture(16), {"t": days}, ("t",))
    longer = line.scat.synthesize(upsample=1, **OPTIONS)
    assert longer.t.dtype == line.t.dtype
    np.testing.assert_array_equal(longer.t[:16], days)
    assert longer.sizes["t"] == 32
    calendar = xr.date_range("2001-01-01", periods=16, calendar="noleap", use_cftime=True)
    longer = line.assign_coords(t=calendar).scat.synthesize(upsample=1, **OPTIONS)
    assert longer.t.values[16] - longer.t.values[15] == calendar[1] - calendar[0]


def test_terms_and_starts_are_on_the_finer_grid():
    da = plane().isel(time=0)
    coords = {"y": np.arange(16) * 2.0, "x": np.arange(24) * 1.0}
    fine = xr.DataArray(texture(16, 24), coords, ("y", "x"))
    pixels = [xscat.terms.Pixels(fine[::-1], 0.01)]
    options = OPTIONS | {"max_iter": 20, "upsample": 1}
    new = da.scat.synthesize(terms=pixels, initial=fine[:, ::-1], **options)
    assert np.corrcoef(new.values.ravel(), fine.values.ravel())[0, 1] > 0.9
    for name in ("update", "cross_with"):
        with pytest.raises(ValueError, match=f"{name}= .*upsample="):
            da.scat.synthesize(**{name: da > 0}, **options)
    with pytest.raises(xscat.GridError, match="data of"):
        da.scat.synthesize(terms=[xscat.terms.Pixels(da, 0.01)], **options)


NAMES = ["level", "iteration", "realization", "field", "mode", "component", "harmonic", "path"]
NAMES += ["moment", "j1", "l1", "S1", "loss", "block"]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_of_a_leading_dimension(name):
    da = plane().drop_vars(["season", "age"])
    named = da.rename(time=name)
    for maker in ("synthesize", "inpaint", "denoise", "separate"):
        new, wanted = MAKERS[maker](named), MAKERS[maker](da)
        np.testing.assert_array_equal(new.values, wanted.values)
        assert new.dims == named.dims
        xr.testing.assert_identical(new[name], named[name])
    if name == "realization":
        with pytest.raises(xscat.GridError, match=r"\.rename\(realization='realization_'\)"):
            MAKERS["realizations"](named)
    elif name in ("level", "iteration"):
        with pytest.raises(xscat.GridError, match=rf"\.rename\({name}='{name}_'\)"):
            named.scat.synthesize(return_history=True, **OPTIONS)
        again = named.rename({name: f"{name}_"})  # the way out
        assert name in again.scat.synthesize(return_history=True, **OPTIONS)[1].loss.dims


def test_scalar_coordinates_do_not_disturb_statistics():
    da = plane().drop_vars(["season", "age"])
    options = {"J": 1, "boundary": "periodic"}
    wanted = da.scat.covariance(**options)
    for name in ("j1", "l1", "j3", "moment", "S0", "S1", "wavelength_j1", "angle_l1", "region"):
        named = da.assign_coords({name: 7.0})
        xr.testing.assert_equal(
            named.scat.covariance(**options).drop_vars("region", errors="ignore"), wanted
        )
        aux = da.assign_coords({name: ("time", [7.0, 8.0])}).scat.covariance(**options)
        xr.testing.assert_equal(aux.drop_vars("region", errors="ignore"), wanted)
        named.scat.cross(named, **options)
        pairs = named.scat.cross(over="time", **options)
        assert pairs.S1.dims == ("time", "j1", "l1")
        by_region = named.scat.covariance(region=xr.ones_like(da[0], int), **options)
        assert by_region.S1.dims == ("time", "region", "j1", "l1")
    assert wanted.time.attrs == {"long_name": "when"}
    assert float(wanted.height) == 10
    with pytest.raises(xscat.GridError, match=r"rename\(S1='S1_'\)"):
        da.rename(time="S1").scat.covariance(**options)


@pytest.mark.parametrize("make", [plane, sphere])
def test_statistics_and_orientations_keep_coordinates(make):
    da = make()
    options = {} if make is sphere else {"boundary": "periodic"}
    found = da.scat.dominant_orientation(0, **options)
    xr.testing.assert_identical(found.coords.to_dataset(), da.coords.to_dataset())
    for stats in (da.scat.covariance(J=1, **options), da.scat.cross(da, J=1, **options)):
        for name, coord in da.coords.items():
            if set(coord.dims) <= {"time"}:
                xr.testing.assert_identical(stats[name].variable, coord.variable)


def test_integers_become_floats():
    da = (plane() * 40).round().astype("uint8")
    parts = xscat.separate(da, {"a": da, "b": plane() * 20}, **SEPARATION)
    wanted = xscat.separate(
        da.astype(float), {"a": da.astype(float), "b": plane() * 20}, **SEPARATION
    )
    xr.testing.assert_equal(parts, wanted)
    for maker in ("synthesize", "denoise"):
        new = MAKERS[maker](da)
        assert new.dtype == float
        xr.testing.assert_equal(new, MAKERS[maker](da.astype(float)))
    np.testing.assert_array_equal(da.scat.inpaint(**OPTIONS), da)
    single = xscat.separate(plane().astype("f4"), {"a": plane(), "b": plane()}, **SEPARATION)
    assert single.a.dtype == "f4"


@pytest.mark.parametrize("name", ["cell_ids", "pix"])
def test_renamed_cells(name):
    da = sphere().isel(time=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # xarray makes no index of it
        named = da.rename(cells=name)
    stats = named.scat.covariance(J=1)
    np.testing.assert_array_equal(stats.S3, da.scat.covariance(J=1).S3)
    assert set(stats.coords) == set(da.scat.covariance(J=1).coords)
    new = named.scat.synthesize(**OPTIONS)
    assert new.dims == (name,)
    np.testing.assert_array_equal(new, da.scat.synthesize(**OPTIONS))
    again = new.scat.covariance(J=1, mask=named > 0)
    xr.testing.assert_equal(again, new.scat.covariance(J=1, mask=da > 0))
