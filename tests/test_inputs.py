"""Numbers that stand for missing values, and arrays that are no plain numbers."""

import warnings

import dask
import numpy as np
import pytest
import xarray as xr

import xscat
from helpers import healpix, line, plane, sphere_texture
from xscat import terms
from xscat.inputs import check_field

UNSEEN = -1.6375e30
SENTINELS = {
    "UNSEEN": (UNSEEN, {}, r"9 values beyond ±1e\+30"),
    "UNSEEN in single precision": (float(np.float32(UNSEEN)), {}, "9 values beyond"),
    "fill of netCDF": (9.969209968386869e36, {}, "9 values beyond"),
    "inf": (np.inf, {}, "9 infinite values"),
    "-inf": (-np.inf, {}, "9 infinite values"),
    "_FillValue": (-999.0, {"attrs": {"_FillValue": -999.0}}, "9 values equal to the fill value"),
    "missing_value": (1e20, {"attrs": {"missing_value": np.float32(1e20)}}, "9 values equal"),
    "a list": (-99.0, {"attrs": {"missing_value": [-1e9, -99.0]}}, "9 values equal"),
    "encoding": (-999.0, {"encoding": {"_FillValue": -999.0}}, "9 values equal"),
}
SETTINGS = {"max_iter": 1, "seed": 0, "progress": False, "statistics": ("S1", "S2")}


def fields(kind, dtype="float64"):
    """A field with NaN on nine cells."""
    if kind == "plane":
        field = plane(24, 24)
        field[4:7, 4:7] = np.nan
    elif kind == "line":
        field = line(96)
        field[30:39] = np.nan
    else:
        field = healpix(sphere_texture(3), 3)
        field[100:109] = np.nan
    return field.astype(dtype)


def spoilt(field, sentinel):
    value, changes, words = SENTINELS[sentinel]
    field = field.fillna(value).assign_attrs(changes.get("attrs", {}))
    field.encoding |= changes.get("encoding", {})
    return field, words


@pytest.mark.parametrize("sentinel", SENTINELS)
@pytest.mark.parametrize("kind", ["plane", "line", "sphere"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sentinels_are_missing(kind, sentinel, dtype):
    expected = fields(kind, dtype)
    field, words = spoilt(expected, sentinel)
    with pytest.warns(UserWarning, match=f"the field has {words}.*missing"):
        stats = field.scat.covariance(1, 2)
    xr.testing.assert_equal(stats, expected.scat.covariance(1, 2))


@pytest.mark.parametrize("sentinel", ["UNSEEN", "inf", "missing_value"])
def test_the_advice_of_the_warning_can_be_followed(sentinel):
    field, _ = spoilt(fields("plane"), sentinel)
    with pytest.warns(UserWarning, match="missing") as caught:
        stats = field.scat.covariance(1, 2)
    assert len(caught) == 1
    code = str(caught[0].message).split("`")[1]
    xr.testing.assert_equal(eval(code, {"field": field}).scat.covariance(1, 2), stats)


def test_a_lazy_field_stays_lazy_and_warns_once_when_computed():
    field = xr.concat([fields("plane")] * 4, "time").fillna(UNSEEN)
    expected = fields("plane").scat.covariance(1, 2)
    stats = field.chunk(time=1).scat.covariance(1, 2)
    assert stats.S2.chunks is not None
    with warnings.catch_warnings(record=True) as caught, dask.config.set(scheduler="sync"):
        warnings.simplefilter("default")
        stats = stats.compute()
    assert len(caught) == 1
    assert "values beyond" in str(caught[0].message)
    xr.testing.assert_allclose(stats.isel(time=3), expected)


def test_integers_with_a_fill_value():
    values = (1000 * fields("plane")).fillna(-32768)
    packed = values.astype("int16").assign_attrs(_FillValue=np.int16(-32768))
    expected = values.astype("int16").where(fields("plane").notnull()).scat.covariance(1, 2)
    for field in (packed, packed.chunk()):
        with pytest.warns(UserWarning, match="fill value -32768"):
            stats = field.scat.covariance(1, 2).compute()
        xr.testing.assert_allclose(stats, expected)


def test_a_fill_value_of_packed_numbers_is_none_of_the_unpacked():
    field = plane(24, 24).round(1)
    number = float(field[0, 0])
    field.encoding = {"_FillValue": number, "scale_factor": 0.1}
    assert check_field(field) is field
    field.encoding = {"_FillValue": number}
    with pytest.warns(UserWarning, match="equal to the fill value"):
        assert check_field(field).isnull().any()


@pytest.mark.parametrize("unit", [1e-30, 1e20, 1e29])
def test_large_units_are_values(unit):
    field = (plane(24, 24) / 100 * unit).astype("float32")
    assert check_field(field) is field
    assert np.isfinite(field.scat.covariance(1, 2, statistics=["S0"], dtype="float64").S0[0])


def test_a_field_in_units_too_large_is_refused():
    with pytest.raises(ValueError, match=r"all values of the field are beyond.*`field / \d"):
        (1e35 * plane(24, 24)).scat.covariance(1)


def test_a_map_without_values_gives_no_numbers():
    missing = xr.full_like(plane(24, 24), UNSEEN)
    with pytest.warns(UserWarning, match="576 values beyond"):
        assert check_field(missing).isnull().all()
    both = xr.concat([plane(24, 24), missing], "time")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stats = both.scat.covariance(1, 2)
    assert stats.S2.isel(time=1).isnull().all()
    assert stats.S2.isel(time=0).notnull().all()


def test_nothing_is_copied_when_there_is_nothing_to_mend():
    for field in (plane(24, 24), plane(24, 24).astype("float32"), fields("plane"), plane(9, 9) > 1):
        assert check_field(field) is field
    assert check_field(plane(24, 24).assign_attrs(missing_value="none")) is not None
    assert check_field(plane(24, 24)[:0]).size == 0
    assert check_field(xr.DataArray(1.0)).ndim == 0


def test_values_under_a_mask_need_no_warning():
    expected = fields("plane")
    good = expected.notnull()
    masked = expected.fillna(UNSEEN).scat.covariance(1, 2, mask=good)
    xr.testing.assert_equal(masked, expected.scat.covariance(1, 2, mask=good))


def test_masks_regions_and_frames_with_fill_values():
    field, good = plane(24, 24), fields("plane").notnull()
    expected = field.scat.covariance(1, 2, mask=good)
    land = good.astype("uint8").where(good, 255).astype("uint8").assign_attrs(_FillValue=255)
    xr.testing.assert_equal(field.scat.covariance(1, 2, mask=land), expected)
    for fill in (np.nan, 9.969209968386869e36):
        mask = xr.where(good, 1.0, fill)
        xr.testing.assert_equal(field.scat.covariance(1, 2, mask=mask), expected)
    with pytest.raises(ValueError, match=r"mask has negative or infinite weights"):
        field.scat.covariance(1, 2, mask=xr.where(good, 1.0, UNSEEN)).compute()
    lazy = xr.where(good, 1.0, -1.0).chunk()
    with pytest.raises(ValueError, match=r"mask has negative or infinite weights"):
        field.scat.covariance(1, 2, mask=lazy).compute()
    with pytest.warns(UserWarning, match="region has 9 values"):
        labelled = field.scat.covariance(1, 2, region=xr.where(good, 0.0, 1e35))
    xr.testing.assert_allclose(labelled.sel(region=0, drop=True), expected)
    with (
        pytest.warns(UserWarning, match="frame has 9 values"),
        pytest.raises(ValueError, match="frame has missing angles"),
    ):
        field.scat.covariance(1, 2, frame=xr.where(good, 10.0, UNSEEN))


def both(action, field, clean):
    """What a function gives for a field with sentinels, and for the same with NaN."""
    with pytest.warns(UserWarning, match="count as missing"):
        found = action(field)
    return found, action(clean)


A, B = plane(24, 24, seed=5), plane(24, 24, seed=6)
QUICK = SETTINGS | {"J": 1, "L": 2, "boundary": "periodic"}
SEPARATION = {name: value for name, value in QUICK.items() if name != "statistics"}
FUNCTIONS = {
    "cross, first": lambda f: f.scat.cross(A, 1, 2),
    "cross, second": lambda f: A.scat.cross(f, 1, 2),
    "components": lambda f: xr.Dataset({"u": A, "v": f}).scat.covariance(1, 2, spin=1),
    "dominant_orientation": lambda f: f.scat.dominant_orientation(0, 4),
    "gaussianize": lambda f: f.scat.gaussianize()[0],
    "synthesize": lambda f: f.scat.synthesize(**QUICK),
    "initial": lambda f: A.scat.synthesize(initial=f, **QUICK),
    "cross_with": lambda f: A.scat.synthesize(cross_with=f, **QUICK),
    "like": lambda f: A.scat.covariance(1, 2, boundary="periodic").scat.synthesize(
        like=f, **{k: v for k, v in SETTINGS.items() if k != "boundary"}
    ),
    "terms": lambda f: A.scat.synthesize(terms=[terms.Pixels(f, 0.1)], **QUICK),
    "inpaint": lambda f: f.scat.inpaint(**QUICK),
    "target of inpaint": lambda f: fields("plane").scat.inpaint(target=f, **QUICK),
    "denoise": lambda f: f.scat.denoise(0.1, **QUICK),
    "noise": lambda f: A.scat.denoise(xr.concat([f, B], "n"), **QUICK),
    "separate": lambda f: xscat.separate(f, {"a": A, "b": B}, **SEPARATION),
    "component of a mixture": lambda f: xscat.separate(B, {"a": A, "b": f}, **SEPARATION),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_that_takes_a_field_cleans_it(name):
    clean = fields("plane")
    found, expected = both(FUNCTIONS[name], clean.fillna(UNSEEN), clean)
    xr.testing.assert_equal(found, expected)


class Sparse(np.lib.mixins.NDArrayOperatorsMixin):
    """An array of another package, as far as xarray asks."""

    __module__ = "sparse.coo"
    shape, ndim, dtype, size = (24, 24), 2, np.dtype(float), 576

    def __array_function__(self, *args, **kwargs):
        return NotImplemented

    def __array_ufunc__(self, *args, **kwargs):
        return NotImplemented

    def __getitem__(self, key):
        return self

    def todense(self):
        return np.ones((24, 24))


class Quantity(Sparse):
    """An array with units."""

    __module__ = "pint.registry"


@pytest.mark.parametrize(
    ("kind", "words"),
    [(Sparse, r"sparse array .*`field\.as_numpy\(\)`"), (Quantity, r"pint.*pint\.dequantify\(\)")],
)
@pytest.mark.parametrize("name", ["covariance", "synthesize", "dominant_orientation"])
def test_arrays_of_other_packages(kind, words, name):
    field = xr.DataArray(kind(), dims=("y", "x"))
    arguments = {"j": 0} if name == "dominant_orientation" else {"J": 1}
    with pytest.raises(TypeError, match=words.replace("field", r"\w+")):
        getattr(xscat, name)(field, **arguments)
