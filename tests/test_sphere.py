"""HEALPix: direct evaluation, exact symmetries, orders of cells, isotropy, stencils, all sizes."""

import healpy
import numpy as np
import pytest
import xarray as xr
import xdggs
from hypothesis import given
from hypothesis import strategies as st

import xscat
from helpers import assert_same, healpix, relabel, sphere, sphere_texture
from xscat.engine import stencils

LEVEL = 3
NSIDE, N = 2**LEVEL, 12 * 4**LEVEL


@pytest.fixture(scope="module")
def field():
    return sphere(LEVEL)


@pytest.fixture(scope="module")
def stats(field):
    return field.scat.covariance()


def filtered(x, around, weights):
    """Sums over the neighbors of each cell of weights (..., n, K) times x (n)."""
    return (weights * np.where(around < 0, 0, x[around])).sum(-1)


def direct_statistics(x, level, J, L, wavelet):
    """S1..S4 of nested cells, stencil by stencil and pair by pair."""
    S1, S2 = np.empty((2, J, L))
    S3 = np.full((J, J, L, L), complex("nan+nanj"))
    S4 = np.full((J, J, J, L, L, L), complex("nan+nanj"))
    U = {}
    for j3 in range(J):
        cells = np.arange(12 * 4 ** (level - j3))
        places = stencils.neighborhood(cells, level - j3, wavelet.radius)
        psi = stencils.wavelet_stencils(*places, 0.0, wavelet, L)
        W = filtered(x, places[0], psi)
        U |= {(j3, l): np.abs(W[l]) for l in range(L)}
        S1[j3], S2[j3] = np.abs(W).mean(1), (np.abs(W) ** 2).mean(1)
        V = {key: filtered(u, places[0], psi) for key, u in U.items()}
        for (j1, l1), one in V.items():
            S3[j1, j3, l1] = (W * one.conj()).mean(1)
            for (j2, l2), two in V.items():
                if j1 <= j2:
                    S4[j1, j2, j3, l1, l2] = (one * two.conj()).mean(1)
        places = stencils.neighborhood(cells, level - j3, stencils.SMOOTHING_RADIUS)
        weights = stencils.smoothing_stencils(*places)
        x = filtered(x, places[0], weights).reshape(-1, 4).mean(1)
        U = {k: filtered(u, places[0], weights).reshape(-1, 4).mean(1) for k, u in U.items()}
    return {"S1": S1, "S2": S2, "S3": S3, "S4": S4}


@pytest.mark.parametrize(
    ("level", "J", "L", "radius"), [(3, 2, 4, 2), (4, 3, 4, 2), (4, 2, 3, 1), (3, 2, 2, 3)]
)
def test_statistics_are_their_formulas(level, J, L, radius):
    wavelet = xscat.Morlet(radius=radius)
    field = sphere_texture(level)
    stats = healpix(field, level).scat.covariance(J, L, wavelet=wavelet)
    direct = direct_statistics(field, level, J, L, wavelet)
    expected = xr.Dataset({n: (stats[n].dims, v) for n, v in direct.items()}, stats.coords)
    assert_same(stats, expected)
    np.testing.assert_allclose(stats.S0, [field.mean(), field.var()])


def test_stencils_are_morlet_wavelets_in_the_tangent_plane():
    cells = np.arange(N)
    around, east, north = stencils.neighborhood(cells, LEVEL, 1)
    neighbors = healpy.get_all_neighbours(NSIDE, cells, nest=True).T
    np.testing.assert_array_equal(np.sort(around), np.sort(np.c_[cells, neighbors]))
    lon, lat = np.deg2rad(healpy.pix2ang(NSIDE, cells, nest=True, lonlat=True))
    here, there = (np.where(around < 0, cells[:, None], around), cells[:, None])[::-1]
    # great-circle distance and bearing
    dlon = lon[there] - lon[here]
    a = np.cos(lat[there]) * np.sin(dlon)
    b = np.cos(lat[here]) * np.sin(lat[there])
    b -= np.sin(lat[here]) * np.cos(lat[there]) * np.cos(dlon)
    c = np.sin(lat[here]) * np.sin(lat[there])
    c += np.cos(lat[here]) * np.cos(lat[there]) * np.cos(dlon)
    distance, bearing = np.arctan2(np.hypot(a, b), c), np.arctan2(a, b)
    side = np.sqrt(4 * np.pi / N)
    np.testing.assert_allclose(east, distance * np.sin(bearing) / side, atol=1e-12)
    np.testing.assert_allclose(north, distance * np.cos(bearing) / side, atol=1e-12)

    psi = stencils.wavelet_stencils(around, east, north, 0.0, xscat.Morlet(radius=1), 4)
    assert np.abs(psi.sum(-1)).max() < 1e-14
    g = np.where(around < 0, 0, np.exp(-(east**2 + north**2) / (2 * 0.8**2)))
    g /= g.sum(-1, keepdims=True)
    for l in range(4):
        # a convolution: the wavelet around the neighbor, at the central cell
        along = -(east * np.cos(np.pi * l / 4) + north * np.sin(np.pi * l / 4))
        wave = g * np.exp(0.75j * np.pi * along)
        expected = wave - g * wave.sum(-1, keepdims=True)
        np.testing.assert_allclose(psi[l], expected, atol=1e-13)


@pytest.mark.parametrize("level", [3, 4, 6])
def test_response_of_the_stencils_to_white_noise_is_uniform(level):
    places = stencils.neighborhood(np.arange(12 * 4**level), level, 2)
    power = np.abs(stencils.wavelet_stencils(*places, 0.0, xscat.Morlet(), 4)) ** 2
    total = power.sum(-1)  # of each orientation and cell
    assert total.std() / total.mean() < 0.03


def numbered(scheme, cells):
    """Numbers of nested cells in another scheme, and their attributes."""
    attrs = {"grid_name": "healpix", "level": LEVEL, "indexing_scheme": scheme}
    if scheme == "ring":
        return healpy.nest2ring(NSIDE, cells), attrs
    if scheme == "zuniq":  # the level is where the last bit is set
        return (2 * cells + 1) << 2 * (29 - LEVEL), attrs | {"level": None}
    return cells, attrs


@given(st.sampled_from(["ring", "zuniq", "nested"]), st.integers(0, 2**32 - 1))
def test_order_and_numbers_of_the_cells_do_not_matter(scheme, seed):
    field = sphere(LEVEL)
    cells = np.random.default_rng(seed).permutation(N)
    ids, attrs = numbered(scheme, cells)
    shuffled = field.values[cells]
    da = xr.DataArray(shuffled, dims="cells", coords={"cell_ids": ("cells", ids, attrs)})
    stats = field.scat.covariance()
    assert_same(da.scat.covariance(), stats)
    assert_same(da.pipe(xdggs.decode).scat.covariance(), stats)


def test_names_types_and_decoding_of_the_cells_do_not_matter(field, stats):
    attrs = {"grid_name": "healpix", "level": LEVEL, "indexing_scheme": "nested"}
    for dim, name, dtype in [
        ("cell", "cell", "uint64"),
        ("values", "healpix", "float64"),
        ("cells", "cell_ids", ">i4"),
    ]:
        coords = {name: (dim, np.arange(N).astype(dtype), attrs)}
        da = xr.DataArray(field.values, dims=dim, coords=coords)
        assert_same(da.scat.covariance(), stats)
        assert_same(da.pipe(xdggs.decode, name=name).scat.covariance(), stats)
        assert_same(da.scat.covariance(dim=dim), stats)
    indexed = xr.DataArray(field.values, dims="cells", coords={"cells": ("cells", range(N), attrs)})
    assert "cells" in indexed.indexes
    assert_same(indexed.scat.covariance(), stats)


@given(st.integers(1, 3), st.sampled_from([3, 4]))
def test_quarter_turns_in_longitude_change_nothing(turns, L):
    field = sphere_texture(LEVEL, seed=turns)
    lon, lat = healpy.pix2ang(NSIDE, np.arange(N), nest=True, lonlat=True)
    turned = field[healpy.ang2pix(NSIDE, lon - 90 * turns, lat, nest=True, lonlat=True)]
    assert not np.array_equal(turned, field)
    one, two = healpix(field, LEVEL), healpix(turned, LEVEL)
    assert_same(two.scat.covariance(L=L), one.scat.covariance(L=L))


@given(st.integers(0, 100), st.sampled_from([1, 2, 4, 5]), st.sampled_from([1, 2, 3]))
def test_mirror_at_the_equator_reflects_the_orientations(seed, L, radius):
    field = sphere_texture(LEVEL, seed=seed)
    lon, lat = healpy.pix2ang(NSIDE, np.arange(N), nest=True, lonlat=True)
    mirrored = field[healpy.ang2pix(NSIDE, lon, -lat, nest=True, lonlat=True)]
    wavelet = xscat.Morlet(radius=radius)
    expected = relabel(healpix(field, LEVEL).scat.covariance(L=L, wavelet=wavelet), -np.arange(L))
    assert_same(healpix(mirrored, LEVEL).scat.covariance(L=L, wavelet=wavelet), expected)


def test_east_west_mirror_reflects_the_orientations(field, stats):
    lon, lat = healpy.pix2ang(NSIDE, np.arange(N), nest=True, lonlat=True)
    mirrored = field.values[healpy.ang2pix(NSIDE, -lon, lat, nest=True, lonlat=True)]
    expected = relabel(stats, 4 - np.arange(4))
    assert_same(healpix(mirrored, LEVEL).scat.covariance(), expected)


@given(
    st.integers(0, 100),
    st.floats(-50, 50).filter(lambda a: abs(a) > 1e-2),
    st.floats(-100, 100),
)
def test_linear_change_of_the_values(seed, a, b):
    da = sphere(LEVEL, seed=seed)
    stats = da.scat.covariance(statistics=("S1", "S2", "S3", "S4"))
    factors = {"S1": abs(a), "S2": a**2, "S3": a * abs(a), "S4": a**2}
    expected = stats.assign({k: f * stats[k] for k, f in factors.items()})
    assert_same((a * da + b).scat.covariance(), expected, tol=1e-9 / min(1, abs(a)))


def test_quarter_turn_and_mirror_with_missing_cells():
    sky = sphere(4)
    sky[np.random.default_rng(0).random(sky.size) < 0.003] = np.nan
    lon, lat = healpy.pix2ang(16, np.arange(sky.size), nest=True, lonlat=True)
    stats = sky.scat.covariance(2)

    def at(lon, lat):
        return sky.copy(data=sky.values[healpy.ang2pix(16, lon, lat, nest=True, lonlat=True)])

    assert_same(at(lon - 90, lat).scat.covariance(2), stats)
    assert_same(at(lon, -lat).scat.covariance(2), relabel(stats, -np.arange(4)))


def test_frames(field, stats):
    # a frame turned by one orientation counts each from the one before
    turned = field.scat.covariance(frame=xr.full_like(field, 45.0))
    assert_same(turned, relabel(stats, np.arange(4) - 1))
    # turning the sphere by 90 degrees turns the stereographic frame by -90 degrees in the north
    # and by 90 degrees in the south
    stereographic = field.scat.covariance(frame="stereographic")
    lon, lat = healpy.pix2ang(NSIDE, np.arange(N), nest=True, lonlat=True)
    moved = field.copy(data=field.values[healpy.ang2pix(NSIDE, lon - 90, lat, True, True)])
    expected = relabel(stereographic, np.arange(4) + 2)
    moved = moved.scat.covariance(frame="stereographic")
    assert_same(moved, expected, names=["S1", "S2"])
    assert stereographic.attrs["frame"] == "stereographic"


def test_stereographic_frame_does_not_turn_around_the_poles():
    x, y, _ = healpy.pix2vec(64, np.arange(12 * 64**2), nest=True)
    for direction, l in [(y, 0), (x, 2)]:
        wave = healpix(np.cos(100 * direction), 6)
        near = wave.isel(cells=np.unique(healpy.query_disc(64, (0, 0, 1), 0.3, nest=True)))
        S2 = near.scat.covariance(1, frame="stereographic").S2[0]
        assert S2.argmax("l1") == l
        assert S2.max() > 3 * np.sort(S2)[-2]
        S2 = near.scat.covariance(1).S2[0]
        assert S2.max() < 1.5 * S2.min()


def test_many_maps_are_the_same_as_a_loop():
    maps = sphere_texture(LEVEL, 2, 3)
    da = healpix(maps, LEVEL, lead=("run", "time"))
    loop = xr.concat(
        [xr.concat([da[i, j].scat.covariance() for j in range(3)], "time") for i in range(2)], "run"
    )
    assert_same(da.scat.covariance(), loop)
    assert_same(da.transpose("cells", "time", "run").scat.covariance(), loop)
    with xscat.set_options(memory=1):  # one map at a time, no stencil kept
        assert_same(da.scat.covariance(), loop)


def test_single_precision_is_close_to_double(field, stats):
    single = field.astype("float32").scat.covariance()
    assert {v.dtype for v in single.values()} == {np.dtype("float64"), np.dtype("complex128")}
    assert_same(single, stats, tol=2e-6)


@pytest.mark.parametrize("level", range(2, 8))
def test_sizes_from_nside_4_to_128(level):
    da = sphere(level).astype("float32")
    stats = da.scat.covariance()
    assert stats.sizes["j1"] == level - 1
    inside = stats.scat.to_vector() if hasattr(stats.scat, "to_vector") else stats.S4[0, 0]
    assert np.isfinite(inside).all()
    assert (np.diff(stats.wavelength_j1) > 0).all()


def test_nside_256_all_statistics():
    da = sphere(8).astype("float32")
    stats = da.scat.covariance(7)
    assert np.isfinite(stats.S4[0, 0]).all()
    assert stats.attrs["nside"] == 256


@pytest.mark.parametrize("radius", [1, 2, 3])
@pytest.mark.parametrize("L", [1, 2, 8])
def test_all_radii_at_the_smallest_nside(radius, L):
    stats = sphere(2).scat.covariance(L=L, wavelet=xscat.Morlet(radius=radius))
    assert stats.sizes["j1"] == 1
    assert np.isfinite(stats.S4).all()


@pytest.mark.long
def test_nside_1024_in_less_than_16_GB():
    import resource

    da = sphere(10).astype("float32")
    stats = da.scat.covariance()
    assert stats.sizes["j1"] == 9
    assert np.isfinite(stats.S4[0, 0]).all()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 16 * 2**20


def gaussian_maps(n, nside, seed):
    """Isotropic Gaussian maps with C_l ~ l^-2 up to 2 nside, and the same, turned at random."""
    rng = np.random.default_rng(seed)
    lmax = 2 * nside
    l, m = healpy.Alm.getlm(lmax)
    maps = np.empty((2, n, 12 * nside**2))
    for i in range(n):
        real, imag = rng.normal(size=(2, len(l))) / np.maximum(l, 1) / np.sqrt(2)
        alm = np.where(m == 0, np.sqrt(2) * real, real + 1j * imag) * (l > 0)
        maps[0, i] = healpy.alm2map(alm, nside)
        first, third = rng.uniform(0, 2 * np.pi, size=2)
        healpy.rotate_alm(alm, first, np.arccos(rng.uniform(-1, 1)), third)
        maps[1, i] = healpy.alm2map(alm, nside)
    return maps


@pytest.fixture(scope="module")
def gaussian():
    maps = gaussian_maps(60, 64, seed=0)
    da = healpix(maps, 6, scheme="ring", lead=("turned", "map"))
    return da.scat.covariance(4, statistics=("S1", "S2"))


@pytest.mark.parametrize(
    ("name", "limits"),
    [("S1", [0.0005, 0.0012, 0.0025, 0.006]), ("S2", [0.001, 0.0025, 0.005, 0.009])],
)
def test_turned_maps_have_the_same_statistics(gaussian, name, limits):
    still, turned = gaussian[name].mean("l1")
    rms = np.sqrt(((turned / still - 1) ** 2).mean("map"))
    assert (rms < limits).all(), rms.values


def test_power_of_isotropic_fields_is_the_same_in_all_directions(gaussian):
    S2 = gaussian.S2.mean(("turned", "map"))
    ratio = S2.max("l1") / S2.min("l1")
    assert (ratio < [1.03, 1.04, 1.05, 1.05]).all(), ratio.values


def test_power_is_the_integral_of_the_spectrum_under_the_wavelet(gaussian):
    """S2 = sum (2 l + 1) / 4 pi C_l |psi(l side)|^2, psi averaged over its directions."""
    l = np.arange(1, 129)[:, None]
    angle = np.linspace(0, 2 * np.pi, 180, endpoint=False)
    k = l * np.sqrt(np.pi / 3) / 64
    beta = np.exp(-((0.8 * 0.75 * np.pi) ** 2) / 2)
    for j in range(4):
        # what is left of the map, in cells of level 6 - j, behind the smoothing and the averages
        left = np.ones_like(k * angle)
        for i in range(j):
            x, y = 2**i * k * np.cos(angle) / 2, 2**i * k * np.sin(angle) / 2
            smooth = np.exp(-((stencils.SMOOTHING * 2**i * k) ** 2) / 2)
            left = left * smooth * np.cos(x) * np.cos(y)
        along, across = 2**j * k * np.cos(angle), 2**j * k * np.sin(angle)
        psi = np.exp(-0.32 * ((along - 0.75 * np.pi) ** 2 + across**2))
        psi -= beta * np.exp(-0.32 * (along**2 + across**2))
        power = ((psi * left) ** 2).mean(1, keepdims=True)
        expected = ((2 * l + 1) / (4 * np.pi) / l**2.0 * power).sum()
        measured = gaussian.S2[:, :, j].mean()
        assert abs(measured / expected - 1) < [0.02, 0.05, 0.06, 0.1][j]
