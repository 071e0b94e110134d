"""Masks, weights, regions and how much of a wavelet has to be valid."""

import re

import dask
import healpy
import numpy as np
import pytest
import xarray as xr
from scipy import ndimage

import gaussian
import xscat
from brute_force import convolve, morlets, statistics
from helpers import assert_same, line, plane, sphere, texture
from xscat.engine import stencils

S1234 = ["S1", "S2", "S3", "S4"]
LEVEL = 4
XYZ = np.array(healpy.pix2vec(2**LEVEL, np.arange(12 * 4**LEVEL), nest=True))
FIELDS = {
    "plane": lambda seed=0: plane(64, 56, seed=seed),
    "line": lambda seed=0: line(200, seed=seed),
    "sphere": lambda seed=0: sphere(LEVEL, seed=seed),
    "part": lambda seed=0: sphere(LEVEL, seed=seed).isel(cells=slice(100, 2600)),
}
every_grid = pytest.mark.parametrize("kind", FIELDS)


def raising(*args, **kwargs):
    raise RuntimeError("computed while the graph was built")


def holes(da, seed=0):
    """False at a few cells next to each other, which leave room for wavelets of two scales."""
    valid = np.ones(da.shape, bool)
    flat = valid.reshape(-1)
    start = (0.3 + 0.2 * np.random.default_rng(seed).random()) * flat.size
    flat[int(start) : int(start) + 4] = False
    return xr.DataArray(valid, dims=da.dims)


def halves(da):
    """Labels 0 and 1."""
    if da.dims == ("cells",):
        left = XYZ[2][da.cell_ids.values] > 0.1
    else:
        left = np.broadcast_to(np.arange(da.shape[-1]) < 0.45 * da.shape[-1], da.shape)
    return xr.DataArray(left.astype(int), dims=da.dims)


def labelled(da, values):
    """The same cells, other values."""
    return da.copy(data=np.broadcast_to(values, da.shape))


def labelled_axes(da):
    if da.dims == ("cells",):
        return da
    return da.assign_coords({d: 5.0 * np.arange(n) for d, n in da.sizes.items()})


# --- masks


@every_grid
def test_booleans_weights_and_nan_say_the_same(kind):
    da, valid = FIELDS[kind](), holes(FIELDS[kind]())
    expected = da.where(valid).scat.covariance(2, variance=True)
    assert np.isfinite(expected.S4.isel(j1=1, j2=1, j3=1)).all()
    for mask in (valid, valid.astype(int), 1.0 * valid, xr.where(valid, 1.0, np.nan)):
        xr.testing.assert_identical(da.scat.covariance(2, variance=True, mask=mask), expected)
    both = da.where(valid).scat.covariance(2, variance=True, mask=1.0 * valid)
    xr.testing.assert_identical(both, expected)
    # the size of equal weights is of no matter, in single precision neither
    for size in (1e-200, 1e-30, 3.0, 1e30, 1e200):
        sized = da.scat.covariance(2, variance=True, mask=size * valid)
        xr.testing.assert_identical(sized, expected)
    single = da.astype("float32")
    expected = single.where(valid).scat.covariance(2, variance=True)
    sized = single.scat.covariance(2, variance=True, mask=1e-30 * valid)
    xr.testing.assert_identical(sized, expected)


CALLS = {
    "plain": {},
    "softened": {"min_coverage": 0.6},
    "error bars": {"variance": True},
    "median": {"average": "median", "J": 1, "L": 2},
    "squares": {"exponent": 2},
    "single precision": {"dtype": "float32"},
    "periodic": {"boundary": "periodic"},
}


@every_grid
@pytest.mark.parametrize("call", CALLS)
def test_values_under_the_mask_do_not_matter_by_a_single_bit(kind, call):
    da, valid = FIELDS[kind](), holes(FIELDS[kind]())
    options = {"J": 2, "L": 2, "mask": valid} | CALLS[call]
    expected = da.scat.covariance(**options)
    assert np.isfinite(expected.S2).all()
    for garbage in (0.0, 1e30, np.inf, -np.inf, np.nan):
        xr.testing.assert_identical(da.where(valid, garbage).scat.covariance(**options), expected)


@every_grid
def test_values_outside_all_regions_do_not_matter_by_a_single_bit(kind):
    da, valid = FIELDS[kind](), holes(FIELDS[kind]())
    regions = halves(da).where(valid, -1)
    expected = da.scat.covariance(1, region=regions)
    for garbage in (1e30, np.inf, np.nan):
        wild = da.where(valid, garbage)
        xr.testing.assert_identical(wild.scat.covariance(1, region=regions), expected)
        half = regions == 1
        one = da.where(half, garbage).scat.covariance(1, region=half.astype(int).where(half, -1))
        xr.testing.assert_identical(one.sel(region=1, drop=True), da.where(half).scat.covariance(1))


@every_grid
def test_values_under_the_mask_matter_without_it(kind):
    da, valid = FIELDS[kind](), holes(FIELDS[kind]())
    ratio = da.where(valid, 30).scat.covariance(1).S2 / da.scat.covariance(1, mask=valid).S2
    assert ratio.max() > 2


@every_grid
def test_masks_are_aligned_by_label(kind):
    da = labelled_axes(FIELDS[kind]())
    valid = labelled(da, holes(da).values)
    expected = da.scat.covariance(2, mask=valid)
    rng = np.random.default_rng(0)
    shuffled = valid.isel({d: rng.permutation(n) for d, n in da.sizes.items()})
    assert not np.array_equal(shuffled, valid)
    xr.testing.assert_identical(da.scat.covariance(2, mask=shuffled), expected)
    moved = da.isel({d: rng.permutation(n) for d, n in da.sizes.items()})
    if kind in ("sphere", "part"):
        xr.testing.assert_identical(moved.scat.covariance(2, mask=shuffled), expected)
        # by position where there are no labels
        bare = xr.DataArray(shuffled.values, dims="cells")
        other = moved.isel(cells=slice(None)).scat.covariance(2, mask=bare)
        assert not other.equals(expected)


def test_a_mask_of_the_whole_sphere_serves_a_part():
    da = FIELDS["sphere"]()
    valid = labelled(da, holes(da).values)
    part = da.isel(cells=slice(100, 2600))
    expected = part.scat.covariance(1, mask=valid.isel(cells=slice(100, 2600)))
    xr.testing.assert_identical(part.scat.covariance(1, mask=valid), expected)


def test_each_time_has_its_mask():
    maps = xr.concat([FIELDS["sphere"](s) for s in (0, 1, 2)], "time").assign_coords(time=[3, 5, 7])
    valid = xr.concat([holes(maps[0], s) for s in (0, 1, 0)], "time").assign_coords(time=[3, 5, 7])
    stats = maps.scat.covariance(1, mask=valid)
    for t in (3, 5, 7):
        one = maps.sel(time=t).scat.covariance(1, mask=valid.sel(time=t))
        assert_same(stats.sel(time=t), one)
    # labels of the mask's times, not their order
    xr.testing.assert_identical(maps.scat.covariance(1, mask=valid.isel(time=[2, 0, 1])), stats)
    with pytest.raises(xscat.GridError, match="mask lacks values of coordinate 'time'"):
        maps.scat.covariance(1, mask=valid.isel(time=[0, 1]))
    # the same cells, other weights
    rng = np.random.default_rng(0)
    weights = valid.isel(time=0, drop=True) * xr.DataArray(
        1 + rng.random(maps.shape), dims=maps.dims
    )
    weighted = maps.scat.covariance(1, mask=weights)
    for i in range(3):
        assert_same(weighted.isel(time=i), maps[i].scat.covariance(1, mask=weights.isel(time=i)))
    # one field under several masks
    several = maps[0].scat.covariance(1, mask=valid.rename(time="draw"))
    assert_same(several.isel(draw=1), maps[0].scat.covariance(1, mask=valid[1]))
    # one mask for all times
    same = maps.scat.covariance(1, mask=valid[0])
    assert_same(same.isel(time=2), maps[2].scat.covariance(1, mask=valid[0]))


def test_lazy_masks():
    maps = xr.concat([FIELDS["sphere"](s) for s in (0, 1, 2)], "time")
    valid = xr.concat([holes(maps[0], s) for s in (0, 1, 2)], "time")
    eager = maps.scat.covariance(1, mask=valid, region=halves(maps[0]))
    with dask.config.set(scheduler=raising):
        lazy = maps.chunk(time=1).scat.covariance(
            1, mask=valid.chunk(time=2), region=halves(maps[0])
        )
        only_mask = maps.scat.covariance(1, mask=valid.chunk(time=2), region=halves(maps[0]))
    for result in (lazy, only_mask):
        computed = result.compute(scheduler="synchronous")
        xr.testing.assert_allclose(computed, eager, rtol=1e-12, atol=1e-15)


def test_what_is_no_mask_is_an_error():
    da = FIELDS["plane"]()
    with pytest.raises(TypeError, match="mask must be a DataArray, got ndarray"):
        da.scat.covariance(1, mask=np.ones(da.shape, bool))
    for wrong in (da - 5, da.where(da < 2, np.inf)):
        with pytest.raises(ValueError, match=r"mask has negative or infinite weights"):
            da.scat.covariance(1, mask=wrong)
    with pytest.raises(TypeError, match="mask has dtype <U3: booleans or weights"):
        da.scat.covariance(1, mask=xr.full_like(da, "yes", dtype="U3"))
    with pytest.raises(xscat.GridError, match="mask has 30 elements along 'x', the field 56"):
        da.scat.covariance(1, mask=da.isel(x=slice(0, 30)) > 0)
    with pytest.raises(xscat.GridError, match="mask is at HEALPix level 3, the field at level 4"):
        FIELDS["sphere"]().scat.covariance(1, mask=sphere(3) > 0)
    with pytest.raises(xscat.GridError, match="mask lacks 472 of the 2500 cells"):
        FIELDS["part"]().scat.covariance(1, mask=FIELDS["part"]().isel(cells=slice(0, 2028)) > 0)
    with pytest.raises(ValueError, match=r"min_coverage=0 must lie in \(0, 1\]"):
        da.scat.covariance(1, min_coverage=0)


# --- weights


@pytest.mark.parametrize(("kind", "J"), [("plane", 1), ("line", 1), ("sphere", 2)])
def test_weights_are_those_of_a_mean(kind, J):
    da = FIELDS[kind]()
    one, two = (1 + np.random.default_rng(i).random(da.shape) for i in (0, 1))
    one, two = one * (1 + 3 * halves(da)), two * (2 - halves(da))
    a, b, both = (
        da.scat.covariance(J, mask=w, boundary="periodic") for w in (one, two, one + 2 * two)
    )
    share = float((one / (one + 2 * two).mean()).mean())
    expected = share * a + (1 - share) * b
    assert_same(both, expected, names=S1234)
    assert np.abs(a.S2 / b.S2 - 1).max() > 0.01
    x, w = da.values, one.values / one.values.sum()
    mean = (x * w).sum()
    np.testing.assert_allclose(a.S0, [mean, ((x - mean) ** 2 * w).sum()], rtol=1e-9)


@pytest.mark.parametrize("shape", [(40, 36), (90,)])
def test_weights_are_those_of_a_sum_over_the_cells(shape):
    field, L = texture(*shape), 4 if len(shape) == 2 else 1
    w = np.random.default_rng(0).random(shape)
    psi = morlets(shape, 1, L, cut=True)[0]
    U = np.abs([convolve(field, p) for p in psi])
    V = np.array([[convolve(u, p) for u in U] for p in psi]).reshape(L, L, -1)  # outer, inner
    dims = ("y", "x")[-len(shape) :]
    mask = xr.DataArray(w, dims=dims)
    stats = xr.DataArray(field, dims=dims).scat.covariance(1, L, mask=mask, boundary="periodic")
    S1 = U.reshape(L, -1) @ w.ravel() / w.sum()
    S4 = np.einsum("lap,lbp,p->abl", V, V.conj(), w.ravel()) / w.sum()
    np.testing.assert_allclose(stats.S1.values.ravel(), S1, rtol=1e-10)
    np.testing.assert_allclose(stats.S4.values.reshape(S4.shape), S4, atol=1e-10 * abs(S4).max())


def test_coarse_maps_are_means_over_the_valid_cells():
    """Scale 1 of the sphere: smoothing and means weigh only the cells that are not missing."""
    da = FIELDS["sphere"]()
    valid = holes(da).values & (XYZ[0] + XYZ[2] > -0.3)
    places = stencils.neighborhood(np.arange(da.size), LEVEL, stencils.SMOOTHING_RADIUS)
    weights, around = stencils.smoothing_stencils(*places), places[0]
    x = np.where(valid, da.values - da.values[valid].mean(), 0)
    total, share = (
        (weights * np.where(around < 0, 0, v[around])).sum(1).reshape(-1, 4).mean(1)
        for v in (x, 1.0 * valid)
    )
    whole = valid.reshape(-1, 4).all(1)
    x = np.where(whole, total / np.maximum(share, 1e-6), 0)
    x = np.where(whole, x - x[whole].mean(), 0)
    around, *positions = stencils.neighborhood(np.arange(whole.size), LEVEL - 1, 2)
    psi = stencils.wavelet_stencils(around, *positions, 0.0, xscat.Morlet(), 4)
    inner = whole & (whole[around] | (around < 0)).all(1)
    power = np.abs((psi * x[around]).sum(-1)) ** 2
    assert 100 < inner.sum() < 700
    stats = da.scat.covariance(2, mask=xr.DataArray(valid, dims="cells"), statistics=("S2",))
    np.testing.assert_allclose(stats.S2[1], power[:, inner].mean(1), rtol=1e-10)


# --- regions


@every_grid
@pytest.mark.parametrize("boundary", ["valid", "periodic"])
def test_regions_are_masks(kind, boundary):
    da = FIELDS[kind]()
    labels = halves(da)
    options = {"J": 2, "boundary": boundary}
    stats = da.scat.covariance(region=labels, **options)
    assert stats.S4.dims[0] == stats.S0.dims[0] == "region"
    np.testing.assert_array_equal(stats.region, [0, 1])
    for i in (0, 1):
        one, alone = stats.sel(region=i), da.scat.covariance(mask=labels == i, **options)
        np.testing.assert_allclose(one.S0, alone.S0, rtol=1e-12)
        if kind in ("sphere", "part"):
            # the stencils of scale 0 end at the border of the region
            fine = {"j1": [0], "j2": [0], "j3": [0]}
            assert_same(one.isel(fine), alone.isel(fine), tol=1e-13)
        # the tails of the other wavelets see cells of the other region, not a mean in their place
        assert_same(one, alone, tol=1e-3)
        assert not np.allclose(stats.S2.sel(region=1 - i), alone.S2, rtol=0.02)


@every_grid
def test_a_single_region_is_a_mask(kind):
    da = FIELDS[kind]()
    half = halves(da) == 1
    expected = da.scat.covariance(2, mask=half, variance=True)
    one = da.scat.covariance(2, region=half.astype(int).where(half, -7), variance=True)
    xr.testing.assert_identical(one.sel(region=1, drop=True), expected)
    stack = half.expand_dims(basin=["north"])
    named = da.scat.covariance(2, region=stack, variance=True)
    assert named.basin.item() == "north"
    xr.testing.assert_identical(named.sel(basin="north", drop=True), expected)


def test_labels_and_a_stack_of_masks_say_the_same():
    da, labels = FIELDS["sphere"](), halves(FIELDS["sphere"]()) * 3 + 2
    stats = da.scat.covariance(1, region=labels)
    np.testing.assert_array_equal(stats.region, [2, 5])
    masks = xr.concat([labels == 2, labels == 5], "basin").assign_coords(basin=["south", "north"])
    masks.basin.attrs["long_name"] = "part of the ocean"
    stacked = da.scat.covariance(1, region=masks)
    assert stacked.basin.values.tolist() == ["south", "north"]
    assert stacked.basin.attrs["long_name"] == "part of the ocean"
    for name in ["S0", *S1234]:
        np.testing.assert_array_equal(stats[name], stacked[name])
        assert stacked[name].dims[0] == "basin"
    # floats with gaps, and other dimensions in front or behind
    gaps = labels.where(labels > 2).astype(float)
    only = da.scat.covariance(1, region=gaps)
    assert only.region.values.tolist() == [5]
    xr.testing.assert_identical(
        da.scat.covariance(1, region=masks.transpose("cells", "basin")), stacked
    )
    # regions may overlap, and a mask cuts all of them
    overlapping = da.scat.covariance(1, region=xr.concat([labels > 0, labels == 5], "basin"))
    assert_same(overlapping.isel(basin=0), da.scat.covariance(1))
    valid = holes(da)
    cut = da.scat.covariance(1, region=masks, mask=valid)
    assert_same(cut, da.where(valid).scat.covariance(1, region=masks))
    assert not cut.S2.equals(stacked.S2)


def test_regions_of_every_time_and_of_two_fields():
    maps = xr.concat([FIELDS["sphere"](s) for s in (0, 1)], "time")
    labels = halves(maps[0])
    stats = maps.scat.covariance(1, region=labels)
    assert stats.S2.dims == ("time", "region", "j1", "l1")
    assert_same(stats.isel(time=1), maps[1].scat.covariance(1, region=labels))
    cross = maps[0].scat.cross(maps[1], J=1, region=labels)
    assert cross.S1.dims == ("region", "field", "j1", "l1")
    np.testing.assert_allclose(cross.S2_auto.isel(field=1), stats.S2.isel(time=1), rtol=1e-9)
    pairs = maps.rename(time="f").scat.cross(over="f", J=1, region=labels)
    np.testing.assert_allclose(pairs.S2.isel(f_a=0, f_b=1), cross.S2, rtol=1e-9)
    assert pairs.S2.dims == ("region", "f_a", "f_b", "j1", "l1")


def test_what_is_no_region_is_an_error():
    da = FIELDS["plane"]()
    with pytest.raises(ValueError, match="region labels no cell"):
        da.scat.covariance(1, region=xr.full_like(da, -1, dtype=int))
    with pytest.raises(TypeError, match="region has dtype <U1"):
        da.scat.covariance(1, region=xr.full_like(da, "a", dtype="U1"))
    with pytest.raises(ValueError, match="region has labels that are no integers"):
        da.scat.covariance(1, region=da)
    stack = xr.DataArray(np.ones((2, 2, *da.shape)), dims=("a", "b", "y", "x"))
    with pytest.raises(xscat.GridError, match="the cells and one more are allowed"):
        da.scat.covariance(1, region=stack)
    with pytest.raises(xscat.GridError, match="region has no dimension x"):
        da.scat.covariance(1, region=stack[0, 0, :, 0])


def test_masks_made_of_the_field_itself():
    maps = xr.concat([FIELDS["sphere"](s) for s in (0, 1)], "time").assign_coords(time=[3, 5])
    mask = maps.isel(time=0) > 0.02
    bare = mask.drop_vars("time")
    assert "time" in mask.coords
    expected = maps.scat.covariance(1, mask=bare, region=bare.astype(int))
    stats = maps.scat.covariance(1, mask=mask, region=mask.astype(int))
    xr.testing.assert_identical(stats, expected)
    pairs = maps.scat.cross(over="time", J=1, mask=mask, region=mask.astype(int))
    np.testing.assert_array_equal(pairs.time, [3, 5])
    np.testing.assert_allclose(pairs.S1.isel(time=1), stats.S1.isel(time=1), rtol=1e-12)


def test_dimensions_of_one_name_are_an_error():
    maps = xr.concat([FIELDS["plane"](s) for s in (0, 1)], "time")
    stack = maps > 1
    with pytest.raises(xscat.GridError, match="mask or region varies along 'time'"):
        maps.scat.cross(over="time", J=1, mask=stack)
    with pytest.raises(xscat.GridError, match="mask or region varies along 'time'"):
        maps.scat.cross(over="time", J=1, region=stack)
    for name in ("j1", "moment"):
        own = rf"a (dimension|name) '{name}' of their own: .*\.rename\({name}='{name}_'\)"
        with pytest.raises(xscat.GridError, match=own):
            maps[0].scat.covariance(1, region=stack.rename(time=name))
        with pytest.raises(xscat.GridError, match=own):
            maps.rename(time=name).scat.covariance(1)
        with pytest.raises(xscat.GridError, match=own):
            maps.rename(time=name).scat.cross(over=name, J=1)
    with pytest.raises(xscat.GridError, match=r"a (dimension|name) 'field' of their own"):
        maps[0].scat.cross(maps.rename(time="field"), J=1, dim=("y", "x"))


# --- how much of a wavelet has to be valid


def enough(shape, share):
    """From valid cells to those with so much of the envelope of scale 0 on valid cells, L = 2."""
    offsets = np.ogrid[tuple(slice(-2, 3) for _ in shape)]
    distance2 = sum(np.square(o) for o in offsets)
    g = np.exp(-distance2 / (2 * 0.8**2)) * (distance2 <= (3 * 0.8) ** 2)

    def erode(valid):
        return (ndimage.convolve(1.0 * valid, g / g.sum(), mode="wrap") >= share - 1e-9) & valid

    return erode


@pytest.mark.parametrize("share", [1.0, 0.9, 0.8, 1e-9])
@pytest.mark.parametrize("shape", [(40, 36), (90,)])
def test_coefficients_count_where_so_much_of_the_envelope_is_valid(share, shape):
    # for L = 4 the envelope is round
    field, valid, L = texture(*shape), np.ones(shape, bool), 4 if len(shape) == 2 else 1
    valid[10:15, ...] = valid[..., 30] = False
    da = xr.DataArray(np.where(valid, field, np.nan), dims=("y", "x")[-len(shape) :])
    stats = da.scat.covariance(1, L, min_coverage=share, boundary="periodic")
    erode = enough(shape, share)
    direct = statistics(field, morlets(shape, 1, L, cut=True), valid, [erode])
    expected = xr.Dataset(
        {n: (stats[n].dims, v.reshape(stats[n].shape)) for n, v in direct.items()}, stats.coords
    )
    assert_same(stats, expected)
    assert erode(valid).sum() == valid.sum() if share < 0.1 else erode(valid).sum() < valid.sum()


@pytest.mark.parametrize("share", [1.0, 0.9, 0.8, 1e-9])
def test_coefficients_count_where_so_much_of_a_stencil_is_valid(share):
    x, valid = FIELDS["sphere"]().values, holes(FIELDS["sphere"]()).values
    valid = valid & (XYZ[0] > -0.5)
    cells = np.arange(x.size)
    around, east, north = stencils.neighborhood(cells, LEVEL, 2)
    psi = stencils.wavelet_stencils(around, east, north, 0.0, xscat.Morlet(), 4)
    g = np.exp(-(east**2 + north**2) / (2 * 0.8**2)) * (around >= 0)
    counted = valid & ((g * valid[around]).sum(1) / g.sum(1) >= share - 1e-9)
    assert counted.sum() == valid.sum() if share < 0.1 else counted.sum() < valid.sum()
    filled = np.where(valid, x, x[valid].mean())
    U = np.abs((psi * filled[around]).sum(-1))
    da = FIELDS["sphere"]().where(xr.DataArray(valid, dims="cells"))
    stats = da.scat.covariance(1, min_coverage=share)
    np.testing.assert_allclose(stats.S1[0], U[:, counted].mean(1), rtol=1e-10)
    np.testing.assert_allclose(stats.S2[0], (U[:, counted] ** 2).mean(1), rtol=1e-10)


def test_min_coverage_brings_scales_back():
    da = FIELDS["sphere"]()
    valid = np.random.default_rng(0).random(da.size) > 0.09
    field = da.where(xr.DataArray(valid, dims="cells"))
    with pytest.warns(UserWarning, match=r"no valid coefficient at scale j=1: "):
        strict = field.scat.covariance(2)
    assert np.isnan(strict.S2.isel(j1=1)).all()
    assert np.isfinite(strict.S2.isel(j1=0)).all()
    soft = field.scat.covariance(2, min_coverage=0.5)
    assert np.isfinite(soft.S2).all()
    np.testing.assert_allclose(soft.S2, da.scat.covariance(2).S2, rtol=0.5)


@every_grid
def test_one_warning_names_the_scale_and_the_way_out(kind):
    da = FIELDS[kind]()
    names = {"plane": 48, "line": 12, "sphere": 300, "part": 300}
    small = xr.DataArray(np.arange(da.size).reshape(da.shape) < names[kind], dims=da.dims)
    if kind == "plane":
        small = xr.DataArray(
            np.fromfunction(lambda y, x: (y < 16) & (x < 16), da.shape), dims=da.dims
        )
    regions = xr.concat([small, small | True], "part")
    maps = xr.concat([da] * 3, "time")
    dim = None if kind in ("sphere", "part") else list(da.dims)
    with pytest.warns(UserWarning, match="no valid coefficient at scale") as caught:
        stats = maps.scat.covariance(3, dim=dim, region=regions, statistics=("S1",))
    assert len(caught) == 1
    message = str(caught[0].message)
    missing = [int(j) for j in re.findall(r"j=(\d)", message)]
    gone = np.isnan(stats.S1.isel(time=0)).all([d for d in stats.S1.dims if d == "l1"])
    np.testing.assert_array_equal(np.flatnonzero(gone.isel(part=0)), missing)
    assert missing
    assert 0 not in missing
    assert not gone.isel(part=1).any()
    assert "in some regions" in message
    assert "use a smaller J or min_coverage" in message


def test_scales_without_room_for_the_second_layer_are_named():
    da = FIELDS["plane"]()
    valid = np.fromfunction(lambda y, x: (y < 15) & (x < 15), da.shape)
    with pytest.warns(UserWarning, match=r"at scale j=1: some of S3 and S4 there are NaN"):
        stats = da.where(xr.DataArray(valid, dims=da.dims)).scat.covariance(2)
    assert np.isfinite(stats.S2).all()
    assert np.isnan(stats.S4.isel(j1=1, j2=1, j3=1)).all()
    assert np.isfinite(stats.S4.isel(j1=0, j2=0, j3=0)).all()


# --- a half of an isotropic field


def test_half_of_the_sky_is_the_sky_within_its_error_bars():
    maps = gaussian.sphere(5, -2, 30)
    half = xr.DataArray(
        np.array(healpy.pix2vec(32, np.arange(maps.sizes["cells"]), nest=True))[0] > 0, dims="cells"
    )
    options = {"J": 3, "variance": True, "L": 2}
    whole = maps.scat.covariance(**options)
    for part in (
        maps.scat.covariance(mask=half, **options),
        maps.isel(cells=half.values).scat.covariance(**options),
    ):
        for name in S1234:
            error = part[f"{name}_std"]
            # the half is part of the whole, so they have half of the scatter in common
            z = np.abs(part[name] - whole[name]) / error
            many = z.where(np.isfinite(z)).stack(all=z.dims).dropna("all").values
            assert np.sqrt((many**2).mean()) < 1.1
            assert np.sqrt((many**2).mean()) > 0.5
            assert (many < 1).mean() > 0.6
            assert (many < 4).mean() > 0.99
            # nor is there an offset that the scatter of single maps hides
            offset = np.abs((part[name] - whole[name]).mean("time")) / error.mean("time")
            assert float(np.sqrt((offset**2).mean())) < 0.4
            assert float(offset.max()) < 1


@pytest.mark.parametrize("dims", [("y", "x"), ("x",)])
def test_min_coverage_does_not_let_the_opposite_border_in(dims):
    ramp = xr.DataArray(np.arange(64.0), dims="x").expand_dims(y=64 if "y" in dims else 1)
    ramp = ramp.transpose("y", "x") if "y" in dims else ramp.isel(y=0)
    soft, strict = (ramp.scat.covariance(2, min_coverage=share) for share in (0.6, 1))
    for name in ("S1", "S2"):  # the second layer also takes in coefficients next to the border
        np.testing.assert_array_equal(soft[name], strict[name])
