"""A region is a mask: what lies outside does not matter, at any contrast."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import xscat
from helpers import healpix
from xscat.engine import cache, sphere
from xscat.engine.stencils import cell_vectors

pytestmark = pytest.mark.filterwarnings("ignore:no valid coefficient")

LEVEL = 3
VECTORS = cell_vectors(np.arange(12 * 4**LEVEL), LEVEL)
# few cells, which have transforms of their own, and many, which are masked
CAP, REST = VECTORS[:, 2] > 0.35, VECTORS[:, 2] < 0.1


def on_cells(values, cells=slice(None)):
    return healpix(values[cells], LEVEL, np.arange(12 * 4**LEVEL)[cells])


def kinds():
    rng = np.random.default_rng(0)
    line = xr.DataArray(rng.normal(size=200), dims="x")
    plane = xr.DataArray(rng.normal(size=(40, 48)), dims=("y", "x"))
    ball = on_cells(rng.normal(size=12 * 4**LEVEL))
    labels = np.where(CAP, 1, np.where(REST, 7, -1))
    north = np.flatnonzero(VECTORS[:, 2] > -0.95)
    x = xr.DataArray(np.arange(48) // 26, dims="x")
    return {
        "line": (line, line.copy(data=np.arange(200) // 110), {}),
        "plane": (plane, x.broadcast_like(plane), {}),
        "periodic": (plane, x.broadcast_like(plane), {"boundary": "periodic"}),
        "sphere": (ball, ball.copy(data=labels), {}),
        "part of a sphere": (on_cells(ball.values, north), on_cells(labels, north), {}),
        "stereographic": (ball, ball.copy(data=labels), {"frame": "stereographic"}),
        "angles": (
            ball,
            ball.copy(data=labels),
            {"frame": ball.copy(data=100 * VECTORS[:, 0])},
        ),
    }


KINDS = kinds()
CALLS = {
    "plain": {},
    "error bars": {"variance": True},
    "median": {"average": "median", "statistics": ("S1", "S2", "S3")},
    "softened": {"min_coverage": 0.6},
    "squares": {"exponent": 2.0},
}


def close(actual, expected, tol=1e-10):
    assert set(actual) == set(expected)
    for name in expected:
        a, b = actual[name].values, expected[name].values
        np.testing.assert_array_equal(np.isnan(a), np.isnan(b), err_msg=name)
        np.testing.assert_allclose(
            a, b, rtol=tol, atol=tol * np.fmax.reduce(np.abs(b).ravel()), err_msg=name
        )


def loud(da, region, label, contrast):
    """Noise that is that many times louder outside of a region."""
    return da * xr.where(region == label, 1.0, contrast)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_region_is_a_mask(kind, call):
    da, region, options = KINDS[kind]
    options = {"J": 1, "L": 2} | options | CALLS[call]
    for label in np.unique(region.values[region.values >= 0]):
        f = loud(da, region, label, 1e12)
        inside = region == label
        stats = f.scat.covariance(region=region, **options).sel(region=label, drop=True)
        assert np.isfinite(stats.S2).all()
        close(stats, f.scat.covariance(mask=inside, **options))
        close(stats, f.where(inside).scat.covariance(**options))
        quiet = da.scat.covariance(region=region, **options).sel(region=label, drop=True)
        close(stats, quiet)


@pytest.mark.parametrize("kind", ["line", "plane", "sphere", "part of a sphere"])
def test_stacks_of_masks_and_masks_of_time(kind):
    da, region, options = KINDS[kind]
    labels = np.unique(region.values[region.values >= 0])
    stack = xr.concat([(region == n) * 2.0**i for i, n in enumerate(labels)], "basin")
    stack = stack.assign_coords(basin=["a", "b"])
    rng = np.random.default_rng(1)
    maps = xr.concat([loud(da, region, n, 1e9) for n in labels], "time")
    mask = xr.concat([da.copy(data=rng.random(da.shape) < q) for q in (0.995, 0.99)], "time")
    options = {"J": 1, "L": 2, "min_coverage": 0.9} | options
    options |= {"dim": "x"} if kind == "line" else {}
    stats = maps.scat.covariance(mask=mask, region=stack, **options)
    assert stats.S3.dims[:2] == ("time", "basin")
    for t in range(2):
        for b in range(2):
            one = {"time": t}
            both = mask.isel(one) * stack.isel(basin=b, drop=True)
            expected = maps.isel(one).scat.covariance(mask=both, **options)
            close(stats.isel(one | {"basin": b}, drop=True), expected)
    lazy = maps.chunk(time=1).scat.covariance(mask=mask, region=stack, **options)
    close(lazy.compute(), stats)


@pytest.mark.parametrize("kind", ["line", "plane", "sphere", "part of a sphere"])
def test_regions_of_pairs(kind):
    da, region, options = KINDS[kind]
    options = {"J": 1, "L": 2, "variance": True} | options
    other = da.copy(data=np.roll(da.values, 3))
    for label in np.unique(region.values[region.values >= 0]):
        a, b = loud(da, region, label, 1e9), 1e-6 * loud(other, region, label, 1e5)
        inside = region == label
        stats = a.scat.cross(b, region=region, **options).sel(region=label, drop=True)
        close(stats, a.scat.cross(b, mask=inside, **options))
        pair = xr.concat([a, b], "time")
        stats = pair.scat.cross(over="time", region=region, **options).sel(region=label, drop=True)
        close(stats, pair.scat.cross(over="time", mask=inside, **options))


@pytest.mark.parametrize("spin", [1, 2])
@pytest.mark.parametrize("kind", ["periodic", "sphere", "part of a sphere"])
def test_regions_of_spin_fields(kind, spin):
    da, region, options = KINDS[kind]
    options = {"J": 1, "L": 2, "spin": spin, "variance": True} | options
    other = da.copy(data=np.roll(da.values, 3))
    for label in np.unique(region.values[region.values >= 0]):
        u, v = (loud(f, region, label, 1e9) for f in (da, other))
        field = xr.Dataset(dict(zip(("u", "v") if spin == 1 else ("Q", "U"), (u, v), strict=True)))
        stats = field.scat.covariance(region=region, **options).sel(region=label, drop=True)
        close(stats, field.scat.covariance(mask=region == label, **options))


FRAMES = ["sphere", "part of a sphere", "stereographic", "angles"]


@pytest.mark.parametrize("options", [{"variance": True}, {"min_coverage": 0.6}, {"spin": 1}])
@pytest.mark.parametrize("kind", FRAMES)
def test_parts_of_a_sphere_are_taken_from_the_whole(kind, options, monkeypatch):
    """Transforms of the cells of a mask give what those of all the cells give."""
    da, region, more = KINDS[kind]
    mask = region == 1
    f = da if "spin" not in options else xr.Dataset({"u": da, "v": da.copy(data=da.values[::-1])})
    found = []
    for share in (1.0, 0.0):
        monkeypatch.setattr(sphere, "LARGEST_PART", share)
        monkeypatch.setattr(cache, "_kept", type(cache._kept)())
        found.append(f.scat.covariance(2, 2, mask=mask, **more, **options))
        parts = [t.spec.within is not None for t in cache._kept.values()]
        assert sorted(parts) == ([False, True] if share else [False])
    close(*found, tol=1e-13)


def test_an_empty_region_is_nan():
    da = KINDS["sphere"][0]
    stack = xr.concat([da > -9, da > 99], "part")
    stats = da.scat.covariance(1, 2, region=stack)
    for variable in stats.values():
        assert np.isnan(variable[1]).all()
    close(stats.isel(part=0), da.scat.covariance(1, 2))


@settings(max_examples=8, phases=[Phase.explicit, Phase.generate])
@given(
    kind=st.sampled_from(sorted(KINDS)),
    seed=st.integers(0, 2**16),
    power=st.integers(-12, 12),
    softened=st.booleans(),
)
def test_regions_of_any_shape_are_masks(kind, seed, power, softened):
    da, _, options = KINDS[kind]
    rng = np.random.default_rng(seed)
    if "x" in da.dims:
        edge = rng.integers(0, da.sizes["x"] // 3)
        region = da.copy(data=np.broadcast_to(np.arange(da.sizes["x"]) >= edge, da.shape) * 1)
    else:
        direction = rng.normal(size=3)
        cells = VECTORS[da.cell_ids.values] @ direction > rng.uniform(-1, 0.3)
        region = da.copy(data=cells * 1)
    f = loud(da, region, 1, 10.0**power)
    options = {"J": 1, "L": 2, "min_coverage": 0.5 if softened else 1.0} | options
    stats = f.scat.covariance(region=region, **options).sel(region=1, drop=True)
    close(stats, f.scat.covariance(mask=region == 1, **options))


def test_what_is_kept_stays_within_the_memory(monkeypatch):
    da = KINDS["sphere"][0]
    for name in ("_kept", "_coverages"):
        monkeypatch.setattr(cache, name, type(cache._kept)())
    memory = 10**6
    with xscat.set_options(memory=memory):
        for i in range(6):
            da.scat.covariance(1, 2, mask=da.copy(data=np.roll(CAP, 50 * i)))
            for kept in (cache._kept, cache._coverages):
                assert sum(k.nbytes for k in kept.values()) <= memory
    assert cache._coverages


@pytest.mark.parametrize("spin", [0, 1])
def test_parts_of_a_sphere_have_one_pass_together(spin, monkeypatch):
    from xscat.engine.sphere import Sphere

    joined = []
    made = Sphere.joined.__func__ if hasattr(Sphere.joined, "__func__") else Sphere.joined
    monkeypatch.setattr(
        Sphere, "joined", staticmethod(lambda s, p: joined.append(len(p)) or made(s, p))
    )
    da = healpix(np.random.default_rng(0).normal(size=3072), 4)
    labels = da.copy(data=np.arange(da.size) // (da.size // 8))
    noise = da * xr.where(labels % 2 == 0, 1, 1e12).values
    field = noise if not spin else xr.Dataset({"u": noise, "v": noise[::-1].values + 0 * noise})
    options = {"J": 2, "L": 3, "spin": spin}
    stats = field.scat.covariance(region=labels, **options)
    assert joined == [8]
    for label in (0, 1, 7):
        close(
            stats.sel(region=label, drop=True),
            field.scat.covariance(mask=labels == label, **options),
        )
