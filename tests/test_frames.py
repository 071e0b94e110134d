"""Orientations that count from a local direction, and the direction of a field itself."""

from dataclasses import dataclass

import dask
import healpy
import numpy as np
import pytest
import xarray as xr

import xscat
from brute_force import convolve
from helpers import assert_same, healpix, line, plane, relabel, sphere, texture

S1234 = ("S1", "S2", "S3", "S4")
GRIDS = {
    "plane": lambda: plane(48, 44),
    "sphere": lambda: sphere(4),
    "part": lambda: sphere(4).isel(cells=slice(100, 2500)),
}
every_grid = pytest.mark.parametrize("kind", GRIDS)


def raising(*args, **kwargs):
    raise RuntimeError("computed while the graph was built")


def angles(da, values):
    return da.copy(data=np.broadcast_to(values, da.shape)).rename("direction")


def swirl(da):
    """A smooth map of directions, in degrees."""
    if "cells" in da.dims:
        lon, lat = lonlat(da)
        return angles(da, 70 * np.sin(2 * np.deg2rad(lon)) + 0.4 * lat + 100)
    y, x = (np.arange(n) / n * 2 * np.pi for n in da.shape)
    return angles(da, 70 * np.sin(x) + 40 * np.cos(y)[:, None] + 100)


def lonlat(da):
    return healpy.pix2ang(2 ** level(da), da.cell_ids.values, nest=True, lonlat=True)


def level(da):
    return da.dggs.grid_info.level


# --- a constant angle


@every_grid
@pytest.mark.parametrize("L", [4, 2])
@pytest.mark.parametrize("steps", [-5, -1, 1, 2, 4])
def test_an_angle_of_so_many_orientations_shifts_them(kind, L, steps):
    da = GRIDS[kind]()
    stats = da.scat.covariance(2, L)
    turned = da.scat.covariance(2, L, frame=angles(da, steps * 180 / L))
    assert_same(turned, relabel(stats, np.arange(L) - steps))
    assert turned.attrs["frame"] == "angles"
    if steps % L:
        assert not np.allclose(turned.S2, stats.S2, rtol=0.01)


@every_grid
def test_an_angle_of_0_changes_nothing(kind):
    da = GRIDS[kind]()
    assert_same(da.scat.covariance(2, frame=angles(da, 0)), da.scat.covariance(2))
    assert_same(da.scat.covariance(2, frame=angles(da, 360)), da.scat.covariance(2))
    one, two = (da.scat.covariance(2, frame=f, variance=True) for f in ("meridian", angles(da, 0)))
    for name in S1234:
        np.testing.assert_allclose(two[f"{name}_std"], one[f"{name}_std"], rtol=1e-6, atol=1e-12)


@dataclass(frozen=True)
class Turned:
    """The Morlet wavelet turned counter-clockwise by an angle in degrees."""

    angle: float
    radius: int = 2

    def _turned(self, along, across):
        cos, sin = np.cos(np.deg2rad(self.angle)), np.sin(np.deg2rad(self.angle))
        return along * cos + across * sin, across * cos - along * sin

    def fourier(self, along, across, L):
        return xscat.Morlet().fourier(*self._turned(along, across), L)

    def values(self, along, across, L):
        return xscat.Morlet().values(*self._turned(along, across), L)


@every_grid
@pytest.mark.parametrize(("angle", "L"), [(17, 4), (-33, 3), (61, 8)])
def test_any_angle_turns_the_wavelets(kind, angle, L):
    da = GRIDS[kind]() if kind != "plane" else plane(80, 70)
    options = {"J": 2, "L": L, "boundary": "periodic"}
    frame = da.scat.covariance(frame=angles(da, angle), **options)
    turned = da.scat.covariance(wavelet=Turned(angle), variance=True, **options)
    # on a plane, what is filtered at some angles gives the rest
    tol = 3e-6 if kind == "plane" else 1e-12
    assert_same(frame, turned[["S0", *S1234]], tol)


# --- an angle that changes from cell to cell


def test_a_plane_cell_by_cell():
    """Each coefficient is that of the wavelet turned by the angle at its cell."""
    shape, L = (20, 24), 3
    field = texture(*shape)
    choices = np.array([10.0, 75.0, 200.0])
    which = np.random.default_rng(0).integers(0, 3, shape)
    da = xr.DataArray(field, dims=("y", "x"))
    frame = angles(da, choices[which])
    stats = da.scat.covariance(1, L, frame=frame, boundary="periodic")

    def filtered(x, l):
        by_angle = [convolve(x, morlet(shape, L, 180 * l / L + a)) for a in choices]
        return np.choose(which, by_angle)

    W = [filtered(field, l) for l in range(L)]
    S3, S4 = np.empty((L, L), complex), np.empty((L, L, L), complex)
    for l3 in range(L):
        V = [filtered(np.abs(w), l3) for w in W]
        for l1 in range(L):
            S3[l1, l3] = (W[l3] * V[l1].conj()).mean()
            for l2 in range(L):
                S4[l1, l2, l3] = (V[l1] * V[l2].conj()).mean()
    values = {"S1": np.abs(W).mean((1, 2)), "S2": (np.abs(W) ** 2).mean((1, 2)), "S3": S3, "S4": S4}
    expected = {n: (stats[n].dims, v.reshape(stats[n].shape)) for n, v in values.items()}
    assert_same(stats, xr.Dataset(expected, stats.coords), tol=1e-6)
    constant = da.scat.covariance(1, L, boundary="periodic")
    assert np.abs(stats.S2 / constant.S2 - 1).max() > 0.02


def morlet(shape, L, angle):
    """Fourier transform of the periodic Morlet wavelet of scale 0 at an angle in degrees."""
    sigma, xi, s, angle = 0.8, 3 * np.pi / 4, 4 / L, np.deg2rad(angle)
    offsets = [np.arange(-2 * n, 3 * n) for n in shape]
    y, x = np.meshgrid(*offsets, indexing="ij")
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    g = np.exp(-(along**2 + (s * across) ** 2) / (2 * sigma**2)) * s / (2 * np.pi * sigma**2)
    wave = g * np.exp(1j * xi * along)
    psi = wave - wave.sum() / g.sum() * g
    folded = psi.reshape(5, shape[0], 5, shape[1]).sum((0, 2))
    return np.fft.fft2(folded)


@pytest.mark.parametrize("kind", ["plane", "sphere"])
def test_cells_turned_by_a_half_turn_have_the_same_moduli(kind):
    da = GRIDS[kind]()
    half = angles(da, 180 * np.random.default_rng(0).integers(0, 2, da.shape))
    one, two = (da.scat.covariance(2, frame=swirl(da) + turn) for turn in (0, half))
    assert_same(two, one, names=("S1", "S2"))
    # what an outer wavelet makes of them is another matter
    assert np.abs(two.S3 - one.S3).max() > 1e-3 * np.abs(one.S3).max()
    everywhere = da.scat.covariance(2, frame=swirl(da) + 180)
    assert_same(everywhere, relabel(one, np.arange(4) - 4))


def test_one_angle_here_and_another_there():
    da = plane(64, 64)
    frame = angles(da, np.where(np.arange(64) < 32, 45, 90))
    for columns, steps in ((slice(4, 28), 1), (slice(36, 60), 2)):
        mask = xr.zeros_like(da, bool)
        mask[:, columns] = True
        stats = da.scat.covariance(2, frame=frame, mask=mask)
        expected = relabel(da.scat.covariance(2, mask=mask), np.arange(4) - steps)
        # products of scale 1 are averaged over the points of another grid, near the edge
        fine = {"j1": [0], "j2": [0], "j3": [0]}
        assert_same(stats.isel(fine), expected.isel(fine))
        assert_same(stats, expected, tol=1e-3)


def test_regions_of_the_sphere_with_frames_of_their_own():
    da = sphere(5)
    _, lat = lonlat(da)
    frame = angles(da, np.where(lat > 0, 45, 135))
    for mask, steps in ((lat > 0, 1), (lat < -10, 3)):
        mask = xr.DataArray(mask, dims="cells")
        one = da.scat.covariance(2, frame=frame, mask=mask)
        assert_same(one, relabel(da.scat.covariance(2, mask=mask), np.arange(4) - steps))


@every_grid
def test_directions_are_aligned_by_label(kind):
    da = GRIDS[kind]()
    if kind == "plane":
        da = da.assign_coords({d: 2.0 * np.arange(n) for d, n in da.sizes.items()})
    frame = swirl(da)
    expected = da.scat.covariance(1, frame=frame)
    rng = np.random.default_rng(0)
    shuffled = frame.isel({d: rng.permutation(n) for d, n in frame.sizes.items()})
    xr.testing.assert_identical(da.scat.covariance(1, frame=shuffled), expected)
    if kind != "plane":
        moved = da.isel(cells=rng.permutation(da.size))
        xr.testing.assert_identical(moved.scat.covariance(1, frame=shuffled), expected)
    else:
        flipped = da.isel(y=slice(None, None, -1))
        assert_same(flipped.scat.covariance(1, frame=frame), expected)
        xr.testing.assert_identical(da.scat.covariance(1, frame=frame.T), expected)


# --- on the sphere


def turned_by_90(da, turns=1):
    """The sphere turned eastward by quarter turns: each face goes to the next."""
    faces = da.values.reshape(3, 4, -1)
    return da.copy(data=np.roll(faces, turns, 1).ravel())


def test_the_frame_turns_with_the_sphere():
    da = sphere(4)
    frame = swirl(da)
    expected = da.scat.covariance(3, frame=frame)
    turned = turned_by_90(da).scat.covariance(3, frame=turned_by_90(frame))
    assert_same(turned, expected)
    assert not np.allclose(turned_by_90(da).scat.covariance(3, frame=frame).S2, expected.S2)


def test_stereographic_is_a_map_of_angles():
    da = sphere(5)
    lon, lat = lonlat(da)
    expected = da.scat.covariance(3, frame="stereographic")
    stats = da.scat.covariance(3, frame=angles(da, np.where(lat >= 0, -lon, lon)))
    fine = {"j1": [0], "j2": [0], "j3": [0]}
    assert_same(stats.isel(fine), expected.isel(fine))
    # of coarse cells, the angle is the mean of their parts'
    assert_same(stats, expected, tol=0.02)
    assert expected.attrs["frame"] == "stereographic"
    assert not np.allclose(expected.S2, da.scat.covariance(3).S2, rtol=0.01)


def polar_wave(level, center=(0.05, 0.1, 1.0)):
    """A plane wave around the pole, cut off far from it."""
    xyz = np.array(healpy.pix2vec(2**level, np.arange(12 * 4**level), nest=True))
    center = np.array(center) / np.linalg.norm(center)
    return np.cos(2**level * 1.6 * xyz[0]) * np.exp(-8 * (1 - center @ xyz))


def test_stereographic_is_regular_at_the_pole():
    """A wave across the pole has one direction there; from east it has all of them."""
    da = healpix(polar_wave(5), 5)
    near = xr.DataArray(lonlat(da)[1] > 75, dims="cells")
    options = {"J": 1, "L": 4, "mask": near, "statistics": ("S2",)}
    power = {f: da.scat.covariance(frame=f, **options).S2[0] for f in ("meridian", "stereographic")}
    shares = {f: float(p.max() / p.sum()) for f, p in power.items()}
    assert shares["stereographic"] > 0.65
    assert shares["meridian"] < 0.45
    # x, the wave vector, is east at longitude -90; there the frame points 90 degrees north of it
    assert power["stereographic"].values.argmax() == 2


def test_stereographic_maps_keep_their_statistics_under_quarter_turns():
    da = sphere(4)
    stats = da.scat.covariance(2, frame="stereographic", mask=angles(da, lonlat(da)[1] > 20))
    turned = turned_by_90(da)
    turned = turned.scat.covariance(2, frame="stereographic", mask=angles(da, lonlat(da)[1] > 20))
    assert_same(turned, relabel(stats, np.arange(4) + 2))


# --- the direction of a field


def apart(a, b):
    """Angle between two axes, in degrees."""
    return np.abs((a - b + 90) % 180 - 90)


@pytest.mark.parametrize("theta", [0, 13, 45, 78, 90, 121, 179])
@pytest.mark.parametrize("spacing", [(1, 1), (-2, 2), (1, 1.5)])
def test_direction_of_a_plane_wave(theta, spacing):
    y, x = (s * np.arange(80) for s in spacing)
    t, k = np.deg2rad(theta), 1.1 / max(map(abs, spacing))
    wave = np.sin(k * (x * np.cos(t) + y[:, None] * np.sin(t)) + 0.3)
    da = xr.DataArray(wave, dims=("y", "x"), coords={"y": y, "x": x}, name="wave")
    found = da.scat.dominant_orientation(1)
    valid = np.isfinite(found)
    # a frame of missing ones as wide as the wavelet
    assert bool(valid[40, 40])
    assert not bool(valid[0].any())
    assert float(apart(found, theta).max()) < 1.5
    assert float(found.min()) >= 0
    assert float(found.max()) < 180
    assert found.dims == ("y", "x")
    assert found.attrs["units"] == "degrees"
    assert found.attrs["long_name"] == "dominant orientation of wave"
    xr.testing.assert_equal(found.x, da.x)


def rings(level, k, axis):
    """A wave in the distance from a point, and the direction toward it in degrees from east."""
    lon, lat = np.deg2rad(
        healpy.pix2ang(2**level, np.arange(12 * 4**level), nest=True, lonlat=True)
    )
    axis = np.array(axis) / np.linalg.norm(axis)
    xyz = np.array([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    east = np.array([-np.sin(lon), np.cos(lon), 0 * lon])
    north = np.cross(xyz.T, east.T).T
    side = np.sqrt(np.pi / 3) / 2**level
    wave = np.cos(k / side * np.arccos(np.clip(axis @ xyz, -1, 1)))
    return healpix(wave, level), np.rad2deg(np.arctan2(axis @ north, axis @ east)), axis @ xyz


@pytest.mark.parametrize(("level", "j", "k"), [(5, 0, 2.0), (5, 1, 1.1), (6, 2, 0.55)])
@pytest.mark.parametrize("axis", [(0, 0, 1), (1, 0, 0), (1, 2, 0.5)])
def test_direction_on_the_sphere(level, j, k, axis):
    da, expected, cosine = rings(level, k, axis)
    found = da.scat.dominant_orientation(j)
    error = apart(found.values, expected)[np.abs(cosine) < 0.9]
    assert np.median(error) < 2
    assert (error < 6).mean() > 0.9
    assert error.max() < 25  # at the poles and where three cells meet


def test_direction_follows_the_order_of_the_cells():
    da, *_ = rings(4, 1.1, (1, 2, 0.5))
    whole = da.scat.dominant_orientation(1)
    shuffle = np.random.default_rng(0).permutation(da.size)
    moved = da.isel(cells=shuffle).scat.dominant_orientation(1)
    np.testing.assert_array_equal(moved, whole[shuffle])
    np.testing.assert_array_equal(moved.cell_ids, da.cell_ids[shuffle])
    assert moved.dggs.grid_info.level == 4
    part = da.isel(cells=slice(100, 2500)).scat.dominant_orientation(1)
    inside = np.isfinite(part.values)
    assert 0.5 < inside.mean() < 1
    # coarse cells near the edge are means of fewer cells
    assert apart(part.values[inside], whole.values[100:2500][inside]).max() < 3
    part = da.isel(cells=slice(100, 2500)).scat.dominant_orientation(0)
    inside = np.isfinite(part.values)
    whole = da.scat.dominant_orientation(0).values[100:2500]
    np.testing.assert_allclose(part.values[inside], whole[inside], atol=1e-6)


def test_direction_is_lazy_and_map_by_map():
    maps = xr.concat([plane(48, 44, seed=s) for s in (0, 1)], "time")
    maps[1, 20, 20] = np.nan
    eager = maps.scat.dominant_orientation(1)
    with dask.config.set(scheduler=raising):
        lazy = maps.chunk(time=1).scat.dominant_orientation(1)
    assert lazy.chunksizes["time"] == (1, 1)
    xr.testing.assert_allclose(lazy.compute(scheduler="synchronous"), eager)
    xr.testing.assert_allclose(eager[0], maps[0].scat.dominant_orientation(1))
    assert np.isnan(eager[1, 18:23, 18:23]).all()
    assert np.isfinite(eager[0, 18:23, 18:23]).all()
    back = maps.transpose("x", "time", "y").scat.dominant_orientation(1)
    assert back.dims == ("x", "time", "y")
    xr.testing.assert_allclose(back.transpose("time", "y", "x"), eager)
    single = maps.astype("float32").scat.dominant_orientation(1)
    assert single.dtype == np.float32


@pytest.mark.parametrize("kind", ["plane", "sphere", "wrapped"])
def test_along_its_own_direction_a_field_varies_most(kind):
    """Rings vary equally in all directions, except across themselves."""
    if kind == "plane":
        y, x = np.mgrid[-48:48, -48:48] + 0.5
        da = xr.DataArray(np.cos(1.1 * np.hypot(x, y)), dims=("y", "x"))
    else:
        # around a pole of the y axis, directions pass through 180 degrees
        da, *_ = rings(5, 1.1, (1, 2, 0.5) if kind == "sphere" else (0, 1, 0))
    options = {"J": 2, "L": 4}
    plain = da.scat.covariance(**options).S2[1]
    assert float(plain.max() / plain.sum()) < 0.45
    frame = da.scat.dominant_orientation(1)
    power = da.scat.covariance(frame=frame.fillna(0), **options).S2[1]
    assert power.values.argmax() == 0
    assert float(power[0] / power.sum()) > 0.6
    across = da.scat.covariance(frame=frame.fillna(0) + 90, **options).S2[1]
    assert across.values.argmax() == 2
    np.testing.assert_allclose(across.roll(l1=2), power, rtol=1e-6)


# --- laziness, other options, errors


def test_frames_and_everything_else():
    maps = xr.concat([sphere(4, seed=s) for s in (0, 1)], "time")
    frame = swirl(maps[0])
    one, two = maps[0], maps[1]
    cross = one.scat.cross(two, J=2, frame=frame)
    auto = maps.scat.covariance(2, frame=frame)
    np.testing.assert_allclose(cross.S2_auto, auto.S2, rtol=1e-9)
    with dask.config.set(scheduler=raising):
        lazy = maps.chunk(time=1).scat.covariance(2, frame=frame)
    xr.testing.assert_allclose(lazy.compute(scheduler="synchronous"), auto, rtol=1e-12)
    single = maps.astype("float32").scat.covariance(2, frame=frame)
    assert_same(single, auto, tol=1e-5)
    valid = xr.DataArray(np.arange(one.size) != 1000, dims="cells")
    wild = one.where(valid, np.inf).scat.covariance(2, frame=frame, mask=valid)
    xr.testing.assert_identical(wild, one.where(valid).scat.covariance(2, frame=frame))


def test_what_is_no_frame_is_an_error(tmp_path):
    da = plane(48, 44)
    with pytest.raises(ValueError, match="frame='north' is not one of 'meridian'"):
        da.scat.covariance(1, frame="north")
    with pytest.raises(
        ValueError, match=r"frame has missing angles: fill them, e.g. `frame.fillna\(0\)`"
    ):
        da.scat.covariance(1, frame=da.where(da > 1))
    with pytest.raises(xscat.GridError, match="a line has no orientations"):
        line(64).scat.covariance(1, frame=line(64))
    with pytest.raises(xscat.GridError, match=r"frame has dimensions \('time', 'y', 'x'\)"):
        da.scat.covariance(1, frame=da.expand_dims(time=2))
    with pytest.raises(xscat.GridError, match="frame has 20 elements along 'x'"):
        da.scat.covariance(1, frame=da.isel(x=slice(0, 20)))
    with pytest.raises(xscat.GridError, match="frame is at HEALPix level 3"):
        sphere(4).scat.covariance(1, frame=sphere(3))
    with pytest.raises(xscat.GridError, match="a line has no orientations"):
        line(64).scat.dominant_orientation(0)
    with pytest.raises(ValueError, match="at least 3 orientations"):
        da.scat.dominant_orientation(0, 2)
    with pytest.raises(xscat.GridError, match="too large"):
        da.scat.dominant_orientation(7)
    stats = da.scat.covariance(1, frame=swirl(da))
    stats.to_zarr(tmp_path / "stats.zarr", consolidated=False)
    read = xr.open_zarr(tmp_path / "stats.zarr", consolidated=False).load()
    xr.testing.assert_identical(read, stats)
    assert xscat.Parameters.from_attrs(read).frame == "angles"
