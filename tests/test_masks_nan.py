"""Missing cells: what they leave out, and that nothing depends on what lies under them."""

import warnings

import healpy
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

import xscat
from brute_force import morlets, statistics
from helpers import assert_same, healpix, line, plane, sphere, sphere_texture, texture

S1234 = ("S1", "S2", "S3", "S4")


def supports(shape, J, L, boundary):
    """Per scale, from valid cells to the cells with only such within three standard deviations."""

    def eroded(j):
        radius = 3 * 0.8 * 2**j * max(1, L / 4)
        r = int(radius)
        offsets = np.ogrid[tuple(slice(-r, r + 1) for _ in shape)]
        disk = sum(np.square(o) for o in offsets) <= radius**2

        def erode(valid):
            mode = {"mode": "wrap"} if boundary == "periodic" else {"constant_values": False}
            padded = np.pad(valid, r, **mode)
            inner = tuple(slice(r, r + n) for n in shape)
            return ndimage.binary_erosion(padded, disk)[inner]

        return erode

    return [eroded(j) for j in range(J)]


def holes(*shape):
    """Cells that are not missing."""
    valid = np.ones(shape, bool)
    valid[(slice(3, 8), *[slice(20, 22)] * (len(shape) - 1))] = False
    valid[tuple(n - 9 for n in shape)] = False
    return valid


@pytest.mark.parametrize("boundary", ["periodic", "valid"])
@pytest.mark.parametrize(("shape", "L"), [((96, 110), 2), ((101, 90), 4), ((300,), 1)])
def test_means_are_over_coefficients_whose_support_is_valid(boundary, shape, L):
    field, valid = texture(*shape), holes(*shape)
    dims = ("y", "x")[-len(shape) :]
    da = xr.DataArray(np.where(valid, field, np.nan), dims=dims)
    stats = da.scat.covariance(3, L, boundary=boundary)
    psi = morlets(shape, 3, L, cut=True)
    direct = statistics(field, psi, valid, supports(shape, 3, L, boundary))
    reshaped = {n: (stats[n].dims, v.reshape(stats[n].shape)) for n, v in direct.items()}
    expected = xr.Dataset(reshaped, stats.coords)
    assert_same(stats, expected, names=["S1", "S2"])
    # the second layer of scale 0 is averaged over all cells, of others over points further apart
    fine = {"j2": [0], "j3": [0]}
    assert_same(stats.isel(fine), expected.isel(fine))
    assert_same(stats, expected, tol=5e-3)
    np.testing.assert_allclose(stats.S0, [field[valid].mean(), field[valid].var()])


FIELDS = {
    "plane": lambda: plane(48, 40),
    "line": lambda: line(80),
    "sphere": lambda: sphere(3),
    "part": lambda: sphere(4).isel(cells=slice(0, 1024)),
}


def missing(da, seed, share=0.02):
    """Where a few cells are missing, the others True."""
    rng = np.random.default_rng(seed)
    return xr.DataArray(rng.random(da.shape) > share, dims=da.dims)


@pytest.mark.parametrize("kind", FIELDS)
@pytest.mark.parametrize("garbage", [0.0, 1e30, np.inf, np.nan])
def test_values_under_a_mask_do_not_matter_by_a_single_bit(kind, garbage):
    da = FIELDS[kind]()
    valid = missing(da, 0)
    expected = da.where(valid).scat.covariance(1)
    xr.testing.assert_identical(da.scat.covariance(1, mask=valid), expected)
    xr.testing.assert_identical(da.where(valid, garbage).scat.covariance(1, mask=valid), expected)
    single = da.astype("float32")
    xr.testing.assert_identical(
        single.where(valid, np.float32(1e30)).scat.covariance(1, mask=valid),
        single.where(valid).scat.covariance(1),
    )


@pytest.mark.parametrize("kind", FIELDS)
def test_missing_cells_are_not_contagious(kind):
    da = FIELDS[kind]()
    stats = da.where(missing(da, 0, share=0.005)).scat.covariance(1)
    assert all(np.isfinite(v).all() for v in stats.values())
    np.testing.assert_allclose(stats.S1, da.scat.covariance(1).S1, rtol=0.15)


@pytest.mark.parametrize("kind", FIELDS)
@given(
    st.integers(0, 100),
    st.floats(-50, 50).filter(lambda a: abs(a) > 1e-2),
    st.floats(-100, 100),
)
def test_linear_change_of_the_values(kind, seed, a, b):
    da = FIELDS[kind]()
    da = da.where(missing(da, seed, share=0.01))
    stats = da.scat.covariance(1, statistics=S1234)
    factors = {"S1": abs(a), "S2": a**2, "S3": a * abs(a), "S4": a**2}
    expected = stats.assign({k: f * stats[k] for k, f in factors.items()})
    assert_same((a * da + b).scat.covariance(1), expected, tol=1e-9 / min(1, abs(a)))


@pytest.mark.parametrize("kind", FIELDS)
def test_each_map_of_a_stack_has_its_own_missing_cells(kind):
    da = FIELDS[kind]()
    maps = xr.concat(
        [da, da.where(missing(da, 1)), da * np.nan, da + 1, da.where(missing(da, 1)) ** 2], "time"
    )
    dim = list(da.dims) if kind in ("plane", "line") else None
    stats = maps.scat.covariance(1, dim=dim)
    loop = xr.concat([m.scat.covariance(1, dim=dim) for m in maps], "time")
    assert_same(stats.isel(time=[0, 1, 3, 4]), loop.isel(time=[0, 1, 3, 4]))
    assert_same(stats.isel(time=[0, 3]), loop.isel(time=[0, 3]))
    gone = stats.isel(time=2)
    assert all(np.isnan(v).all() for v in gone.values())
    assert np.isnan(gone.S3.values.imag).all()


@pytest.mark.parametrize("kind", FIELDS)
def test_a_map_without_valid_cells_gives_nan_and_no_warning(kind):
    da = FIELDS[kind]() * np.nan
    stats = da.scat.covariance(1)
    assert all(np.isnan(v).all() for v in stats.values())


def half_sky(level):
    x, _, _ = healpy.pix2vec(2**level, np.arange(12 * 4**level), nest=True)
    return x > 0


@pytest.mark.parametrize("radius", [1, 2, 3])
@pytest.mark.parametrize("L", [4, 8])
@pytest.mark.parametrize("coverage", [1.0, 0.6])
def test_part_of_the_sky_is_the_sky_with_the_rest_missing(radius, L, coverage):
    keep = half_sky(5)
    sky = sphere(5)
    options = {"wavelet": xscat.Morlet(radius=radius), "min_coverage": coverage}
    masked = sky.where(keep).scat.covariance(3, L, **options)
    part = sky[keep].scat.covariance(3, L, **options)
    assert_same(part, masked)
    shuffled = sky[np.random.default_rng(0).permutation(np.flatnonzero(keep))]
    assert_same(shuffled.scat.covariance(3, L, **options), masked)


@given(st.integers(0, 1000), st.integers(1, 3), st.floats(0.3, 1.5))
def test_any_disc_of_cells_is_the_sky_with_the_rest_missing(seed, J, size):
    center = np.random.default_rng(seed).normal(size=3)
    cells = healpy.query_disc(32, center, size, nest=True)
    valid = np.isin(np.arange(12 * 32**2), cells)
    sky = sphere(5, seed=seed)
    part = sky[valid]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            stats = part.scat.covariance(J)
        except xscat.GridError:
            return  # too small for J
        assert_same(stats, sky.where(valid).scat.covariance(J))


@pytest.mark.parametrize("kind", ["plane", "sphere"])
def test_one_warning_names_the_scales_without_a_valid_coefficient(kind):
    da = plane(64, 64) if kind == "plane" else sphere(4)
    valid = np.ones(da.shape, bool)
    valid.flat[:: 23 if kind == "plane" else 30] = False
    maps = xr.concat([da.where(xr.DataArray(valid, dims=da.dims))] * 3, "time")
    with pytest.warns(UserWarning, match=r"no valid coefficient at scale j=[12]") as caught:
        stats = maps.scat.covariance(3, dim=("y", "x") if kind == "plane" else None)
    assert len(caught) == 1
    assert "smaller J" in str(caught[0].message)
    assert np.isfinite(stats.S1[:, 0]).all()
    assert np.isnan(stats.S1[:, 2]).all()
    assert np.isnan(stats.S4[:, 2, 2, 2]).all()


def test_a_real_ocean():
    sst = xscat.tutorial.open_dataset("sst").sst.load()
    stats = sst.scat.covariance(4)
    inside = stats.scat.to_vector() if hasattr(stats.scat, "to_vector") else stats.S4[:, 0, 0]
    assert np.isfinite(inside).all()
    land = sst.isnull()
    assert land.mean() > 0.25
    xr.testing.assert_identical(sst.fillna(1e6).scat.covariance(4, mask=~land), stats)
    cliffs = sst.fillna(-100).scat.covariance(4, statistics=("S2",))
    assert (cliffs.S2 > 30 * stats.S2).all()


def test_equal_weights_change_nothing():
    for da in (plane(48, 40), sphere(3)):
        ones = xr.ones_like(da)
        assert_same(da.scat.covariance(1, mask=3 * ones), da.scat.covariance(1))
        assert_same(da.scat.covariance(1, mask=ones > 0), da.scat.covariance(1))


def test_lead_dimensions_with_a_gap_in_one_map_only():
    maps = sphere_texture(3, 2)
    maps[1, 100] = np.nan
    stats = healpix(maps, 3, lead=("time",)).scat.covariance()
    assert np.isfinite(stats.S1).all()
    assert_same(stats.isel(time=0), healpix(maps[0], 3).scat.covariance())
