"""Bad input: the error comes before any work, and says what was found and the way out."""

import dask
import dask.array
import numpy as np
import pytest
import xarray as xr

import xscat
from helpers import healpix, line, plane, sphere

ATTRS = {"grid_name": "healpix", "level": 3, "indexing_scheme": "nested"}


def cells(ids, **attrs):
    coords = {"cell_ids": ("cells", ids, ATTRS | attrs)}
    return xr.DataArray(np.ones(len(ids)), dims="cells", coords=coords)


def even(**changes):
    """Plane whose x coordinate has some values changed by position."""
    x = np.arange(64.0)
    for i, value in changes.items():
        x[int(i[1:])] = value
    coords = {d: (d, v, {"units": "km"}) for d, v in [("y", np.arange(64)), ("x", x)]}
    return plane(64, 64, coords=coords)


IDS = np.arange(768)
BAD_GRIDS = {
    "no grid": (
        xr.DataArray(np.ones((4, 30, 60)), dims=("time", "lat", "lon")),
        {},
        [r"'time', 'lat', 'lon'", "xdggs.decode", "dim="],
    ),
    "a number": (xr.DataArray(1.0), {}, ["no grid"]),
    "not decoded": (
        xr.DataArray(np.ones(768), dims="cells", coords={"cell_ids": ("cells", IDS)}),
        {},
        ["'cell_ids'", "not decoded", "xdggs.decode"],
    ),
    "no cell numbers": (xr.DataArray(np.ones(768), dims="cells"), {}, ["'cells'", "xdggs.decode"]),
    "duplicated cells": (
        cells(np.r_[5, 5, 5, IDS[9:]]),
        {},
        ["'cell_ids'", "2 duplicate", "first: 5", "groupby"],
    ),
    "duplicated, shuffled": (cells(np.r_[IDS[9:], 12]), {}, ["'cell_ids'", "1 duplicate", "12"]),
    "beyond the range": (
        cells(IDS + 2),
        {},
        ["'cell_ids'", "2 cell ids", "0..767", "level 3", "768"],
    ),
    "negative": (cells(IDS - 1), {}, ["'cell_ids'", "1 cell ids", "0..767", "-1"]),
    "beyond the range of rings": (
        cells(IDS + 1, indexing_scheme="ring"),
        {},
        ["'cell_ids'", "0..767", "768"],
    ),
    "fractions": (cells(IDS + 0.5), {}, ["'cell_ids'", "float64", "astype"]),
    "missing numbers": (cells(np.r_[np.nan, IDS[1:]]), {}, ["'cell_ids'", "missing", "notnull"]),
    "text": (cells(IDS.astype(str)), {}, ["'cell_ids'", "<U", "astype"]),
    "no level": (
        xr.DataArray(
            np.ones(768),
            dims="cells",
            coords={"cell_ids": ("cells", IDS, {"grid_name": "healpix"})},
        ),
        {},
        ["'cell_ids'", "level"],
    ),
    "unknown scheme": (cells(IDS, indexing_scheme="nest"), {}, ["'cell_ids'", "nested"]),
    "level out of range": (cells(IDS, level=11), {}, ["'cell_ids'", "level 11", "2 to 10"]),
    "nside 2": (cells(np.arange(48), level=1), {}, ["nside 2", "nside 4 to 1024"]),
    "chunked cells": (
        cells(IDS).chunk(cells=100),
        {},
        ["'cells'", "8 chunks", r".chunk({'cells': -1})"],
    ),
    "chunked y": (plane(64, 64).chunk(y=16), {}, ["'y'", "4 chunks", r".chunk({'y': -1})"]),
    "chunked x": (
        plane(64, 64).expand_dims(time=3).chunk(x=32),
        {},
        ["'x'", "2 chunks", r".chunk({'x': -1})"],
    ),
    "chunked line": (line(64).chunk(x=40), {"dim": "x"}, ["'x'", "2 chunks", ".chunk"]),
    "uneven": (even(i63=70.5), {}, ["'x'", "unevenly", "1 to 8.5", "interp", "drop_vars"]),
    "gap": (even(i63=70.0), {}, ["'x'", "unevenly", "1 to 8", "reindex", "drop_vars"]),
    "repeated": (even(i10=9.0), {}, ["'x'", "repeated", "drop_duplicates"]),
    "unordered": (even(i10=20.0), {}, ["'x'", "unordered", "sortby"]),
    "missing coordinate": (even(i10=np.nan), {}, ["'x'", "missing"]),
    "text coordinate": (
        plane(64, 64, coords={"x": np.arange(64).astype(str)}),
        {},
        ["'x'", "<U", "numeric"],
    ),
    "two units": (
        even().assign_coords(y=("y", range(64), {"units": "m"})),
        {},
        ["'y', 'x'", "km", "m", "same units"],
    ),
    "few cells": (plane(3, 64), {}, ["'y'", "3 cells", "at least 4"]),
    "too small for a wavelet": (plane(4, 5), {}, ["y, x", "(4, 5)", "too small"]),
    "empty time": (plane(64, 64).expand_dims(time=0), {}, ["empty", "time"]),
    "empty cells": (cells(IDS[:0]), {}, ["empty", "cells"]),
    "empty map of cells": (
        cells(IDS).expand_dims(time=0),
        {"dim": "cells"},
        ["empty", "time"],
    ),
    "three dims": (plane(64, 64), {"dim": ("x", "y", "z")}, ["'z'", "one dimension", "two"]),
    "no such dim": (line(64), {"dim": "time"}, ["'time'", "'x'"]),
    "J of a plane": (plane(64, 64), {"J": 5}, ["J=5", "y, x", "(64, 64)", "largest is 4"]),
    "J of a periodic plane": (
        plane(64, 64),
        {"J": 6, "boundary": "periodic"},
        ["J=6", "largest is 5"],
    ),
    "J of a line": (line(100), {"J": 9}, ["J=9", "(100,)", "largest is 5"]),
    "J of a sphere": (sphere(3), {"J": 3}, ["J=3", "768", "largest is 2"]),
    "J of a part": (sphere(5)[:64], {"J": 2}, ["J=2", "(64,)", "largest is 1"]),
    "a part too small": (sphere(5)[:9], {}, ["cells", "(9,)", "too small"]),
    "J zero": (sphere(3), {"J": 0}, ["J=0", "positive integer"]),
    "J fraction": (sphere(3), {"J": 1.5}, ["J=1.5", "positive integer"]),
    "J text": (sphere(3), {"J": "2"}, ["J='2'", "positive integer"]),
    "L zero": (sphere(3), {"L": 0}, ["L=0", "positive integer"]),
    "L large": (sphere(3), {"L": 33}, ["L=33", "largest is 32"]),
}


def no_task(*args, **kwargs):
    raise AssertionError("a task ran before the error")


@pytest.mark.parametrize("case", BAD_GRIDS)
def test_what_concerns_the_grid(case):
    da, arguments, words = BAD_GRIDS[case]
    with dask.config.set(scheduler=no_task), pytest.raises(xscat.GridError) as caught:
        da.scat.covariance(**arguments)
    message = str(caught.value)
    assert all(word in message for word in words), message


@pytest.mark.parametrize("case", BAD_GRIDS)
def test_no_work_is_done_before_the_error(case, monkeypatch):
    monkeypatch.setattr(xscat.blocks, "batch_statistics", no_task)
    da, arguments, _ = BAD_GRIDS[case]
    with pytest.raises(xscat.GridError):
        da.scat.covariance(**arguments)


def test_errors_of_grids_are_value_errors():
    assert issubclass(xscat.GridError, ValueError)


@pytest.mark.parametrize(
    ("dtype", "words"),
    [
        ("complex64", ["complex64", ".real", ".imag"]),
        ("object", ["object", "astype"]),
        ("U5", ["<U5", "astype"]),
        ("datetime64[ns]", ["datetime64[ns]", "astype"]),
    ],
)
def test_fields_that_are_no_real_numbers(dtype, words):
    da = xr.DataArray(np.ones((64, 64)).astype(dtype), dims=("y", "x"))
    with pytest.raises(TypeError) as caught:
        da.scat.covariance()
    assert all(word in str(caught.value) for word in words), caught.value
    lazy = xr.DataArray(dask.array.ones((64, 64), dtype="complex64"), dims=("y", "x"))
    with dask.config.set(scheduler=no_task), pytest.raises(TypeError, match="complex64"):
        lazy.scat.covariance()


def test_what_is_no_dataarray():
    with pytest.raises(TypeError, match="the field must be a DataArray, got ndarray"):
        xscat.covariance(np.ones((64, 64)))
    with pytest.raises(TypeError, match="Dataset"):
        xscat.covariance(plane(64, 64).to_dataset(name="sst"))


@pytest.mark.parametrize(
    ("argument", "value", "suggestion"),
    [
        ("boundary", "periodical", "periodic"),
        ("frame", "meridan", "meridian"),
        ("statistics", ("S1", "S_2"), "S2"),
        ("statistics", "S5", "S"),
        ("dtype", "float16", "float64"),
        ("device", "cuad", "cuda"),
        ("average", "medain", "median"),
    ],
)
def test_wrong_names_are_met_with_the_nearest_right_one(argument, value, suggestion):
    da = sphere(3).chunk()
    with (
        dask.config.set(scheduler=no_task),
        pytest.raises(ValueError, match=rf"{argument}=.*Did you mean '{suggestion}"),
    ):
        da.scat.covariance(**{argument: value})
    for name, wrong in [("thread", 2), ("progres", True)]:
        with pytest.raises(ValueError, match=f"'{name}' .* Did you mean '{name}s'"):
            xscat.set_options(**{name: wrong})


@pytest.mark.parametrize(
    ("option", "value"), [("threads", 0), ("memory", -1), ("memory", 1.5), ("dtype", "int8")]
)
def test_options_without_sense(option, value):
    with pytest.raises(ValueError, match=option):
        xscat.set_options(**{option: value})


def test_other_arguments_without_sense():
    da = plane(64, 64)
    with pytest.raises(ValueError, match=r"statistics=\(\) is empty"):
        da.scat.covariance(statistics=())
    with pytest.raises(ValueError, match=r"min_coverage=0.*\(0, 1\]"):
        da.scat.covariance(min_coverage=0)
    with pytest.raises(TypeError, match=r"wavelet='haar'.*Morlet"):
        da.scat.covariance(wavelet="haar")
    for kwargs in ({"radius": 5}, {"sigma": 0}, {"xi": -1.0}, {"slant": 0.0}):
        with pytest.raises(ValueError, match=next(iter(kwargs))):
            xscat.Morlet(**kwargs)


def test_latitude_and_longitude_make_a_plane_if_named():
    coords = {
        "lat": ("lat", np.linspace(60, 40, 41), {"units": "degrees_north"}),
        "lon": ("lon", np.linspace(0, 40, 81), {"units": "degrees_east"}),
    }
    da = xr.DataArray(np.ones((41, 81)), dims=("lat", "lon"), coords=coords)
    stats = da.scat.covariance(dim=("lat", "lon"))
    assert stats.wavelength_j1.attrs["units"] == "degrees"


def test_cells_of_a_decoded_field_may_have_any_name():
    da = healpix(np.ones(768), 3, dim="values", name="where")
    assert da.scat.covariance().attrs["grid"] == "healpix"
