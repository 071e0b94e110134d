"""Components of spin fields: told apart by their names, in any order."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import healpix

NAMES = {
    1: [
        ("u", "v"),
        ("U", "V"),
        ("u10", "v10"),
        ("U10M", "V10M"),
        ("uo", "vo"),
        ("ua", "va"),
        ("us", "vs"),
        ("ugos", "vgos"),
        ("uas", "vas"),
        ("uwnd", "vwnd"),
        ("wind_u", "wind_v"),
        ("10m_u_component_of_wind", "10m_v_component_of_wind"),
        ("eastward_wind", "northward_wind"),
        ("east", "north"),
        ("zonal_flow", "meridional_flow"),
        ("taux", "tauy"),
    ],
    2: [("Q", "U"), ("q", "u"), ("Q_353", "U_353"), ("Q_POLARISATION", "U_POLARISATION")],
}
CASES = [(spin, *pair) for spin, pairs in NAMES.items() for pair in pairs]
OPTIONS = {1: {"J": 2, "L": 2, "boundary": "periodic"}, 2: {"J": 1, "L": 2}}


def two(spin):
    """Two different fields: on a plane, or on a sphere."""
    rng = np.random.default_rng(spin)
    if spin == 1:
        return [xr.DataArray(x, dims=("y", "x")) for x in rng.normal(size=(2, 16, 16))]
    return [healpix(x, 2) for x in rng.normal(size=(2, 192))]


def expected(spin, names=("a", "b")):
    a, b = two(spin)
    ds = xr.Dataset({names[0]: a, names[1]: b})
    return ds.scat.covariance(spin=spin, components=names, **OPTIONS[spin])


@pytest.mark.parametrize(("spin", "first", "second"), CASES)
def test_any_order_of_variables_and_labels(spin, first, second):
    a, b = two(spin)
    wanted = expected(spin, (first, second))
    assert wanted.component.values.tolist() == [first, second]
    one, other = xr.Dataset({first: a, second: b}), xr.Dataset({second: b, first: a})
    for ds in (one, other):
        xr.testing.assert_identical(ds.scat.covariance(spin=spin, **OPTIONS[spin]), wanted)
        array = ds.to_dataarray("part")
        found = array.scat.covariance(spin=spin, component="part", **OPTIONS[spin])
        assert found.part.values.tolist() == [first, second]
        for name in wanted.data_vars:
            np.testing.assert_array_equal(found[name], wanted[name])


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=8), st.text(max_size=8), st.sampled_from(["uv", "xy"]))
def test_whatever_names_have_in_common(before, after, letters):
    from xscat.components import ordered

    names = [f"{before}{letter}{after}" for letter in letters]
    assert ordered(names, 1) == ordered(names[::-1], 1) == names


def test_standard_names():
    a, b = two(1)
    pairs = [
        ("eastward_wind", "northward_wind"),
        ("surface_eastward_sea_water_velocity", "surface_northward_sea_water_velocity"),
        ("grid_eastward_wind", "grid_northward_wind"),
        ("sea_water_x_velocity", "sea_water_y_velocity"),
    ]
    wanted = expected(1)
    for east, north in pairs:
        ds = xr.Dataset({"b": b.assign_attrs(standard_name=north)})
        ds["a"] = a.assign_attrs(standard_name=east)
        assert list(ds) == ["b", "a"]
        xr.testing.assert_identical(ds.scat.covariance(spin=1, **OPTIONS[1]), wanted)
    ds = ds.rename(a="v", b="u")
    with pytest.raises(ValueError, match=r"contradict.*components=\('u', 'v'\)"):
        ds.scat.covariance(spin=1, **OPTIONS[1])


def test_names_that_do_not_tell():
    a, b = two(1)
    for names in (("a", "b"), ("Q", "U"), ("uu", "vv"), ("u", "v10")):
        ds = xr.Dataset(dict(zip(names, (a, b), strict=True)))
        with pytest.raises(ValueError, match="components="):
            ds.scat.covariance(spin=1, **OPTIONS[1])
        ds.scat.covariance(spin=1, components=names, **OPTIONS[1])  # the way out
    with pytest.raises(ValueError, match="components="):
        xr.Dataset({"u": a, "v": b}).scat.covariance(spin=2, **OPTIONS[1])


def test_components_are_chosen_among_others():
    a, b = two(1)
    ds = xr.Dataset({"sst": 0 * a, "b": b, "a": a})
    with pytest.raises(ValueError, match="sst, b, a"):
        ds.scat.covariance(spin=1, **OPTIONS[1])
    options = OPTIONS[1] | {"components": ("a", "b")}
    xr.testing.assert_identical(ds.scat.covariance(spin=1, **options), expected(1))
    array = ds.to_dataarray("component")
    found = array.scat.covariance(spin=1, **options)
    np.testing.assert_array_equal(found.S3, expected(1).S3)
    assert found.component.values.tolist() == ["a", "b"]


def test_a_dimension_without_labels():
    a, b = two(1)
    array = xr.concat([a, b], "component")
    for components in (None, ("u", "v")):
        with pytest.raises(ValueError, match="assign_coords"):
            array.scat.covariance(spin=1, components=components, **OPTIONS[1])
    labelled = array.assign_coords({"component": ["u", "v"]})
    np.testing.assert_array_equal(
        labelled.scat.covariance(spin=1, **OPTIONS[1]).S2, expected(1, ("u", "v")).S2
    )
    numbered = array.assign_coords(component=[7, 3])
    with pytest.raises(ValueError, match=r"components=\(7, 3\)"):
        numbered.scat.covariance(spin=1, **OPTIONS[1])
    found = numbered.scat.covariance(spin=1, components=(7, 3), **OPTIONS[1])
    np.testing.assert_array_equal(found.S2, expected(1).S2)


@pytest.mark.parametrize("components", ["uv", ("a",), ("a", "a"), ("a", "c")])
def test_wrong_components(components):
    a, b = two(1)
    with pytest.raises(ValueError, match="components="):
        xr.Dataset({"a": a, "b": b}).scat.covariance(spin=1, components=components, **OPTIONS[1])


def test_components_are_for_spin():
    a, _ = two(1)
    with pytest.raises(ValueError, match="components="):
        a.scat.covariance(components=("a", "b"), **OPTIONS[1])


def test_directory_order_of_a_store(tmp_path):
    a, b = two(1)
    ds = xr.Dataset({"v": b, "u": a})
    ds.to_zarr(tmp_path / "store", consolidated=False)
    back = xr.open_zarr(tmp_path / "store", consolidated=False)
    for order in (["u", "v"], ["v", "u"]):
        found = back[order].scat.covariance(spin=1, **OPTIONS[1])
        assert found.S2.chunks is not None
        np.testing.assert_allclose(found.S2, expected(1, ("u", "v")).S2)
