"""Planes: direct evaluation of the formulas, exact symmetries, angles and lengths."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import xscat
from brute_force import morlets, statistics
from helpers import assert_same, plane, relabel, texture

SHAPES = [(32, 32), (27, 36), (24, 45), (33, 31), (50, 26)]
shapes = st.sampled_from(SHAPES)
orientations = st.sampled_from([1, 2, 3, 4, 6])
boundaries = st.sampled_from(["periodic", "valid"])


def variables(ds):
    return ds[["S1", "S2", "S3", "S4"]]


def assert_formulas(stats, field, step, tol=1e-11):
    J, L = stats.attrs["J"], stats.attrs["L"]
    direct = statistics(field, morlets(field.shape, J, L, step))
    expected = xr.Dataset({n: (stats[n].dims, direct[n]) for n in direct}, stats.coords)
    assert_same(stats, expected, tol)
    assert stats.S3.dtype == stats.S4.dtype == complex


@pytest.mark.parametrize(
    ("shape", "J", "L"), [((32, 32), 3, 4), ((27, 36), 3, 3), ((33, 25), 2, 6), ((20, 64), 3, 1)]
)
def test_statistics_are_their_formulas(shape, J, L):
    field = texture(*shape)
    stats = xr.DataArray(field, dims=("y", "x")).scat.covariance(J, L, boundary="periodic")
    assert_formulas(stats, field, (1, 1))
    np.testing.assert_allclose(stats.S0, [field.mean(), field.var()])


@pytest.mark.parametrize("step", [(3.0, 3.0), (-1.0, 1.0), (2.0, 1.0), (0.5, -1.0), (1.0, 1.4)])
def test_statistics_are_their_formulas_in_the_units_of_the_coordinates(step):
    field = texture(40, 48)
    coords = {d: s * np.arange(n) for d, s, n in zip("yx", step, field.shape, strict=True)}
    da = xr.DataArray(field, dims=("y", "x"), coords=coords)
    stats = da.scat.covariance(3, 4, boundary="periodic")
    cell = max(map(abs, step))
    assert_formulas(stats, field, tuple(s / cell for s in step))


def test_scales_up_to_the_largest_follow_the_formulas():
    field = texture(32, 48)
    stats = xr.DataArray(field, dims=("y", "x")).scat.covariance(4, 2, boundary="periodic")
    assert_formulas(stats, field, (1, 1))


@given(shapes, orientations, st.tuples(st.integers(-60, 60), st.integers(-60, 60)))
def test_translation_changes_nothing(shape, L, shift):
    da = plane(*shape)
    moved = da.roll(y=shift[0], x=shift[1])
    stats = da.scat.covariance(2, L, boundary="periodic")
    assert_same(moved.scat.covariance(2, L, boundary="periodic"), stats)


@given(st.integers(20, 40), st.sampled_from([2, 4, 6]), st.integers(1, 3), boundaries)
def test_quarter_turns_shift_the_orientations_and_conjugate_at_the_wrap(n, L, turns, boundary):
    da = plane(n, n)
    turned = da.copy(data=np.rot90(da, -turns))  # counter-clockwise, as y increases with the row
    stats = da.scat.covariance(1, L, boundary=boundary)
    expected = relabel(stats, np.arange(L) + turns * L // 2)
    assert_same(turned.scat.covariance(1, L, boundary=boundary), expected)


@given(st.sampled_from([48, 45, 64]), st.sampled_from([2, 4]), st.integers(1, 3))
def test_quarter_turns_at_several_scales(n, L, turns):
    da = plane(n, n)
    turned = da.copy(data=np.rot90(da, -turns))
    expected = relabel(da.scat.covariance(3, L, boundary="periodic"), np.arange(L) + turns * L // 2)
    assert_same(turned.scat.covariance(3, L, boundary="periodic"), expected)


def test_without_the_conjugate_a_quarter_turn_would_be_wrong():
    da = plane(32, 32)
    turned = da.copy(data=np.rot90(da, -1)).scat.covariance(2, 4, boundary="periodic")
    shifted = da.scat.covariance(2, 4, boundary="periodic").roll(l1=2, l2=2, l3=2)
    error = np.abs(turned.S3 - shifted.S3) / np.abs(turned.S3).max(("l1", "l2"))
    assert error.isel(l2=[0, 1]).max() > 0.3
    assert error.isel(l2=[2, 3]).max() < 1e-10


@given(shapes, orientations, st.sampled_from(["x", "y"]), boundaries)
def test_mirror_reflects_the_orientations(shape, L, dim, boundary):
    da = plane(*shape)
    mirrored = da.copy(data=np.flip(da, da.get_axis_num(dim)))
    stats = da.scat.covariance(1, L, boundary=boundary)
    expected = relabel(stats, (L if dim == "x" else 0) - np.arange(L))
    assert_same(mirrored.scat.covariance(1, L, boundary=boundary), expected)


@pytest.mark.parametrize("shape", [(64, 64), (96, 75)])
@pytest.mark.parametrize("boundary", ["periodic", "valid"])
def test_mirror_and_quarter_turns_with_holes(shape, boundary):
    da = plane(*shape)
    da[20:23, 31] = np.nan
    da[40, 12] = np.nan

    def stats(values):
        return xr.DataArray(values, dims=("y", "x")).scat.covariance(3, 4, boundary=boundary)

    here, l = stats(da.values), np.arange(4)
    assert_same(stats(np.fliplr(da)), relabel(here, 4 - l))
    assert_same(stats(np.flipud(da)), relabel(here, -l))
    assert_same(stats(np.rot90(da, -1)), relabel(here, l + 2))


@given(shapes, st.sampled_from([2, 4]))
def test_transposed_values_swap_x_and_y(shape, L):
    da = plane(*shape)
    swapped = xr.DataArray(da.values.T, dims=("y", "x"))
    stats = da.scat.covariance(2, L, boundary="periodic")
    expected = relabel(stats, L // 2 - np.arange(L))
    assert_same(swapped.scat.covariance(2, L, boundary="periodic"), expected)


@given(
    shapes,
    boundaries,
    st.floats(-50, 50).filter(lambda a: abs(a) > 1e-2),
    st.floats(-100, 100),
)
def test_linear_change_of_the_values(shape, boundary, a, b):
    da = plane(*shape)
    stats = da.scat.covariance(1, 3, boundary=boundary)
    expected = stats.assign(
        S0=stats.S0 * [a, a**2] + [b, 0], S1=abs(a) * stats.S1, S2=a**2 * stats.S2
    ).assign(S3=a * abs(a) * stats.S3, S4=a**2 * stats.S4)
    changed = (a * da + b).scat.covariance(1, 3, boundary=boundary)
    assert_same(variables(changed), variables(expected), tol=1e-9 / min(1, abs(a)))
    np.testing.assert_allclose(changed.S0, expected.S0, rtol=1e-9, atol=1e-9)


@given(shapes, boundaries, st.sets(st.sampled_from(["y", "x"]), min_size=1))
def test_angles_belong_to_the_coordinates_not_to_the_array(shape, boundary, dims):
    da = plane(*shape, coords={d: np.arange(n) for d, n in zip("yx", shape, strict=True)})
    reversed_ = da.isel({d: slice(None, None, -1) for d in dims})
    stats = da.scat.covariance(1, 4, boundary=boundary)
    assert_same(reversed_.scat.covariance(1, 4, boundary=boundary), stats)


@pytest.mark.parametrize("boundary", ["periodic", "valid"])
def test_order_of_dimensions_in_the_array_does_not_matter(boundary):
    da = plane(40, 56)
    stats = da.scat.covariance(2, 4, boundary=boundary)
    assert_same(da.transpose("x", "y").scat.covariance(2, 4, boundary=boundary), stats)
    named = da.rename(x="lon", y="lat").transpose("lon", "lat")
    assert_same(named.scat.covariance(2, 4, boundary=boundary, dim=("lat", "lon")), stats)


@pytest.mark.parametrize("l", range(4))
@pytest.mark.parametrize("descending", [False, True])
def test_a_plane_wave_is_strongest_at_its_own_angle(l, descending):
    angle = np.deg2rad(45 * l)
    y, x = np.arange(64.0), np.arange(0, 64, 0.5)
    y = y[::-1] if descending else y
    da = xr.DataArray(
        np.cos(0.5 * (x * np.cos(angle) + y[:, None] * np.sin(angle))),
        dims=("y", "x"),
        coords={"y": y, "x": x},
    )
    S2 = da.scat.covariance(3, 4, statistics=("S2",)).S2
    assert S2.isel(j1=2).argmax("l1") == l
    assert S2.angle_l1[l] == 45 * l


def test_power_of_a_plane_wave_is_the_response_of_the_wavelet():
    n, cycles = 64, np.array([5, 12])
    y, x = np.mgrid[:n, :n]
    wave = np.cos(2 * np.pi * (cycles[0] * x + cycles[1] * y) / n)
    stats = xr.DataArray(wave, dims=("y", "x")).scat.covariance(3, 4, boundary="periodic")
    psi = morlets((n, n), 3, 4)
    both = psi[:, :, cycles[1], cycles[0]], psi[:, :, -cycles[1], -cycles[0]]
    np.testing.assert_allclose(stats.S2, (abs(both[0]) ** 2 + abs(both[1]) ** 2) / 4, atol=1e-14)


def test_wavelengths_are_in_the_units_of_the_coordinates():
    attrs = {"units": "m"}
    coords = {d: (d, 500.0 * np.arange(64), attrs) for d in "yx"}
    stats = plane(64, 64, coords=coords).scat.covariance(3)
    np.testing.assert_allclose(stats.wavelength_j1, 500 * 8 / 3 * 2.0 ** np.arange(3))
    assert stats.wavelength_j3.attrs["units"] == "m"
    assert plane(64, 64).scat.covariance(3).wavelength_j1.attrs["units"] == "cells"
    np.testing.assert_array_equal(stats.angle_l3, [0, 45, 90, 135])


@pytest.mark.parametrize("boundary", ["periodic", "valid"])
def test_many_maps_are_the_same_as_a_loop(boundary, monkeypatch):
    maps = np.stack([texture(40, 36, seed=i) for i in range(6)]).reshape(2, 3, 40, 36)
    da = xr.DataArray(maps, dims=("run", "time", "y", "x"), coords={"time": [3, 4, 5]})
    loop = xr.concat(
        [
            xr.concat([da[i, j].scat.covariance(2, boundary=boundary) for j in range(3)], "time")
            for i in range(2)
        ],
        "run",
    )
    assert_same(da.scat.covariance(2, boundary=boundary), loop)
    assert_same(da.transpose("y", "time", "x", "run").scat.covariance(2, boundary=boundary), loop)
    with xscat.set_options(memory=1):  # one map at a time
        assert_same(da.scat.covariance(2, boundary=boundary), loop)


@pytest.mark.parametrize("boundary", ["periodic", "valid"])
def test_single_precision_is_close_to_double(boundary):
    da = plane(64, 48)
    single = da.astype("float32").scat.covariance(2, boundary=boundary)
    assert {v.dtype for v in single.values()} == {np.dtype("float64"), np.dtype("complex128")}
    assert_same(single, da.scat.covariance(2, boundary=boundary), tol=2e-6)


def test_one_statistic_alone_is_the_same():
    da = plane(32, 40)
    stats = da.scat.covariance(2)
    for name in stats:
        alone = da.scat.covariance(2, statistics=(name,))
        assert list(alone) == [name]
        xr.testing.assert_allclose(alone[name], stats[name], rtol=1e-13)
