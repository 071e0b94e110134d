"""Errors that say a way out as code: whoever follows it gets there."""

import datetime
import re

import healpix_geo
import numpy as np
import pytest
import xarray as xr
import xdggs

import xscat
from helpers import healpix, plane

ATTRS = {"grid_name": "healpix", "level": 2, "indexing_scheme": "nested"}
IDS = np.arange(192)
WAVES = np.random.default_rng(0).normal(size=(24, 24)).cumsum(0).cumsum(1)


def flat(**coords):
    """Plane with coordinates along y and x, each a pair of values and units or values alone."""
    field = xr.DataArray(WAVES, dims=("y", "x"))
    for dim, given in coords.items():
        values, units = given if isinstance(given, tuple) else (given, None)
        attrs = {} if units is None else {"units": units}
        field = field.isel({dim: slice(len(values))}).assign_coords({dim: (dim, values, attrs)})
    return field


def series(times):
    values = np.random.default_rng(0).normal(size=len(times))
    return xr.DataArray(values, dims="time", coords={"time": times})


def cells(ids=IDS, attrs=ATTRS, name="cell_ids", dim="cells"):
    values = np.random.default_rng(0).normal(size=len(ids))
    return xr.DataArray(values, dims=dim, coords={name: (dim, ids, attrs)})


def bare(*shape, dims):
    return xr.DataArray(np.random.default_rng(0).normal(size=shape), dims=dims)


def lacking(times):
    """Times with some left out."""
    return series(times).isel(time=[*range(20), *range(24, 50), *range(51, len(times))])


GAUSSIAN = np.rad2deg(np.arcsin(np.polynomial.legendre.leggauss(24)[0]))
RISING = np.arange(24.0)
HOURS = xr.date_range("2000-01-01 05:00", periods=90, freq="7h")
CFTIME = xr.date_range("2000-01-01", periods=90, freq="D", calendar="noleap", use_cftime=True)
MONTHS = xr.date_range("2000-01-01", periods=90, freq="MS")
ZUNIQ = (2 * np.arange(192, dtype="uint64") + 1) << np.uint64(2 * (29 - 2))

# field, arguments, and whether there is a way out (or it must simply work)
FIELDS = {
    "a bare sphere": (bare(192, dims="pix"), {}),
    "bare spheres": (bare(2, 192, dims=("time", "pix")), {}),
    "bare cells": (bare(192, dims="cells"), {}),
    "bare cells of a part": (bare(600, dims="cells"), {}),
    "ids without attributes": (cells(attrs={}), {}),
    "ids of a part without attributes": (cells(np.arange(600), attrs={}), {}),
    "ids of CF": (cells(attrs={"standard_name": "healpix_index"}, name="cell_index"), {}),
    "ids of CF under another name": (cells(attrs={"standard_name": "healpix_index"}, name="i"), {}),
    "ids as dimension": (cells(attrs={}, name="cells"), {}),
    "ids without level": (cells(attrs={"grid_name": "healpix"}), {}),
    "ids of an unknown scheme": (cells(attrs={**ATTRS, "indexing_scheme": "nest"}), {}),
    "ids twice": (cells(np.r_[np.arange(192), 7, 9]), {}),
    "ids twice, decoded": (cells(np.r_[np.arange(192), 7, 9]).pipe(xdggs.decode), {}),
    "ids as texts": (cells(np.arange(192).astype(str)), {}),
    "ids missing": (cells(np.r_[np.nan, 1:192]), {}),
    "ids in chunks": (cells().chunk(cells=96), {}),
    "decoded, in chunks": (cells().pipe(xdggs.decode).chunk(cells=96), {}),
    "a gap in hours": (lacking(HOURS), {}),
    "a gap in days of a calendar": (lacking(CFTIME), {}),
    "a gap in durations": (lacking(HOURS - HOURS[0]), {}),
    "a gap backward": (lacking(HOURS)[::-1], {}),
    "a gap, lazily": (lacking(HOURS).chunk(time=20), {}),
    "a gap of numbers": (flat(y=np.r_[0:10, 12:22] * 0.1), {}),
    "months": (series(MONTHS), {}),
    "uneven numbers": (flat(y=RISING**1.2), {}),
    "uneven latitudes": (
        flat(y=(GAUSSIAN, "degrees_north"), x=(7 * RISING, "degrees_east")).rename(
            y="lat", x="lon"
        ),
        {"dim": ("lat", "lon")},
    ),
    "other units": (flat(y=(RISING, "m"), x=(RISING, "km")), {}),
    "units and none": (flat(y=(RISING, "m")), {}),
    "in chunks": (flat().chunk(y=12), {}),
    "in chunks, both": (flat().chunk(y=12, x=6), {}),
    "labels twice": (flat(y=np.r_[0:20, 19:23]), {}),
    "labels unordered": (flat(y=np.r_[1, 0, 2:24]), {}),
    "labels twice and unordered": (flat(y=np.r_[1, 0, 0, 2:23]), {}),
    "labels missing": (flat(y=np.r_[np.nan, 1:24]), {}),
    "times missing": (series(np.r_[HOURS.values[:20], [np.datetime64("NaT")], HOURS[21:]]), {}),
    "texts": (flat(y=list("abcdefghijklmnopqrstuvwx")), {}),
    "booleans": (flat(y=RISING > 9), {}),
    "levels": (flat().stack(z=("y", "x"))[:64].rename(y="a", x="b"), {}),
    "integer dims": (bare(24, 24, dims=(0, 1)), {}),
    "tuple dims": (bare(24, 24, dims=(("a", "b"), "x")), {}),
    "an integer dim": (bare(24, dims=(0,)), {}),
    "three dims": (bare(3, 24, 24, dims=("a", "b", "c")), {}),
    "complex": (flat() * 1j, {}),
    "objects": (flat().astype(object), {}),
    "texts as values": (flat().astype(str), {}),
    "large values": (flat() * 1e35, {}),
    "mask negative": (flat(), {"mask": flat() - WAVES.mean()}),
    "mask infinite": (flat(), {"mask": abs(flat()).where(flat().y > 2, np.inf)}),
    "mask in chunks": (flat(), {"mask": xr.ones_like(flat()).chunk(y=12)}),
    "mask with integer dims": (flat(), {"mask": bare(24, 24, dims=(0, 1)) > -9}),
    "frame with gaps": (flat(), {"frame": flat().where(flat().y > 2)}),
    "frame in chunks": (flat(), {"frame": flat().chunk(x=12)}),
}  # fmt: skip
WORK = {
    "zuniq": cells(ZUNIQ, {"grid_name": "healpix", "indexing_scheme": "zuniq"}),
    "zuniq with a level": cells(ZUNIQ, {**ATTRS, "indexing_scheme": "zuniq"}),
    "not decoded": cells(),
    "curvilinear": flat().assign_coords(lat=(("y", "x"), WAVES), lon=(("y", "x"), WAVES)),
}


FIRST = ("field", "a", "target")


def follow(code, field, arguments):
    """Field and arguments after a line of code of a message."""
    names = {"field": field, **arguments, "np": np, "xr": xr, "xdggs": xdggs, "datetime": datetime}
    names |= {"level": 3, "ids": np.arange(field.sizes.get("cells", 0))}
    if re.match(r"\w+=", code):
        return field, arguments | eval(f"dict({code})", names)
    found = eval(code, names | dict.fromkeys(FIRST, field))
    changed = next(n for n in (*FIRST, *arguments) if re.search(rf"\b{n}\b", code))
    return (found, arguments) if changed in FIRST else (field, arguments | {changed: found})


def reaches(function, field, arguments, depth=4):
    """Follow each advice until the function accepts; the advice that does not lead out."""
    try:
        function(field, **arguments)
    except (TypeError, ValueError) as error:
        message = str(error)
        advice = re.findall(r"`([^`]+)`", message)
        assert advice, f"no way out: {message}"
        assert depth, f"leads in circles: {message}"
        for code in advice:
            if "pint" not in code:
                reaches(function, *follow(code, field, arguments), depth - 1)


def covariance(field, **arguments):
    arguments = {"J": 1, "L": 2, "boundary": "periodic", "statistics": ("S0", "S1")} | arguments
    return xscat.covariance(field, **arguments)


@pytest.mark.parametrize("case", FIELDS)
def test_each_advice_can_be_followed(case):
    field, arguments = FIELDS[case]
    with pytest.raises((TypeError, ValueError)):
        covariance(field, **arguments)
    reaches(covariance, field, arguments)


@pytest.mark.filterwarnings("ignore:rename")  # xarray: it makes no index
def test_cells_renamed_as_their_numbers():
    field = cells().pipe(xdggs.decode)
    renamed = field.rename(cells="cell_ids")
    xr.testing.assert_identical(covariance(renamed), covariance(field))
    new = OTHERS["synthesize"](renamed, seed=0)
    assert new.dims == ("cell_ids",)
    assert new.xindexes["cell_ids"].grid_info.level == 2


@pytest.mark.parametrize("case", WORK)
def test_what_needs_no_advice(case):
    assert np.isfinite(covariance(WORK[case]).S1).all()


OTHERS = {
    "dominant_orientation": lambda f, **kw: xscat.dominant_orientation(f, 0, **kw),
    "cross": lambda f, **kw: xscat.cross(f, f, 1, 2, statistics=("S0", "S1"), **kw),
    "synthesize": lambda f, **kw: xscat.synthesize(f, 1, 2, max_iter=1, progress=False, **kw),
}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("case", ["a bare sphere", "ids of CF", "uneven latitudes", "integer dims"])
def test_each_function_on_a_grid_gives_the_advice(name, case):
    field, arguments = FIELDS[case]

    def function(field, **arguments):
        if "dim" in arguments and "pix" in arguments["dim"] and name == "dominant_orientation":
            return  # a line has no orientations
        OTHERS[name](field, **arguments)

    reaches(function, field, arguments)


@pytest.mark.parametrize("size", [192, 768, 3072])
def test_a_bare_sphere_is_no_line(size):
    for shape, dims in [((size,), "pix"), ((2, size), ("time", "pix"))]:
        with pytest.raises(xscat.GridError, match=r"xdggs\.decode.*nest=False.*dim='pix'"):
            bare(*shape, dims=dims).scat.covariance()
    if size > 12:
        assert bare(size, dims="x").scat.covariance(1, dim="x").attrs["grid"] == "line"
        even = bare(size, dims="x").assign_coords(x=range(size))
        assert even.scat.covariance(1).attrs["grid"] == "line"


def test_the_advice_for_a_bare_sphere_gives_its_statistics():
    field = bare(192, dims="pix")
    with pytest.raises(xscat.GridError) as caught:
        field.scat.covariance()
    decoded, _ = follow(re.findall(r"`([^`]+)`", str(caught.value))[0], field, {})
    nested = field.values[healpix_geo.nested.to_ring(IDS.astype("uint64"), 2)]  # of healpy's map
    expected = healpix(nested, 2).scat.covariance(1)
    xr.testing.assert_equal(decoded.scat.covariance(1), expected)


def test_a_gap_is_filled_with_missing_values():
    whole = series(HOURS)
    gappy = lacking(HOURS)
    with pytest.raises(xscat.GridError) as caught:
        gappy.scat.covariance()
    filled, _ = follow(re.findall(r"`([^`]+)`", str(caught.value))[0], gappy, {})
    expected = whole.where(whole.time.isin(gappy.time))
    xr.testing.assert_equal(filled, expected)
    assert np.isfinite(filled.scat.covariance(1).S1).all()


def test_plane_of_the_helpers_needs_no_advice():
    assert covariance(plane(16, 16)).attrs["grid"] == "plane"


LABELS = xr.DataArray(np.repeat([["west"] * 12 + ["east"] * 12], 24, 0), dims=("y", "x"))
ACROSS = xr.DataArray(np.arange(24) > 3, dims="x")


@pytest.mark.parametrize(
    ("name", "given"), [("region", LABELS), ("mask", ACROSS), ("frame", 10.0 * ACROSS)]
)
def test_advice_on_what_goes_with_a_field(name, given):
    field = flat().expand_dims(time=2)
    with pytest.raises((TypeError, ValueError)) as caught:
        field.scat.covariance(1, **{name: given})
    code = re.findall(r"`([^`]+)`", str(caught.value))[0]
    way = eval(code, {"field": field, name: given, "np": np, "xr": xr})
    found = field.scat.covariance(1, **{name: way})
    if name == "region":  # in the order of np.unique: east, west
        expected = field.scat.covariance(1, region=xr.where(LABELS == "west", 1, 0))
        xr.testing.assert_equal(found, expected)


def test_packed_integers_are_not_in_their_units():
    packed = (1000 * flat()).round().astype("int16").assign_attrs(units="K", scale_factor=1e-3)
    with pytest.warns(UserWarning, match="is packed.*scale_factor") as caught:
        packed.scat.covariance(1)
    way = eval(re.findall(r"`([^`]+)`", str(caught[0].message))[0], {"field": packed, "xr": xr})
    expected = (packed.astype(float) * 1e-3).scat.covariance(1)
    xr.testing.assert_allclose(way.scat.covariance(1), expected)


def test_a_dataset_of_fields_is_no_target():
    wind = xr.Dataset({"u": flat(), "v": flat()})
    with pytest.raises(TypeError, match=r"without statistics.*ds\['u'\]"):
        wind.scat.synthesize(1)
