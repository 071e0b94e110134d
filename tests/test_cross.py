"""Statistics of two fields and of pairs along a dimension."""

import dask
import numpy as np
import pytest
import xarray as xr

import xscat
from brute_force import convolve, morlets
from helpers import assert_same, healpix, line, plane, sphere, texture
from xscat.engine.compact import Compact
from xscat.normalization import normalize

GRIDS = {
    "plane": lambda seed=0: plane(50, 44, seed=seed),
    "line": lambda seed=0: line(90, seed=seed),
    "sphere": lambda seed=0: sphere(4, seed=seed),
    "part": lambda seed=0: sphere(4, seed=seed).isel(cells=slice(100, 2300)),
}
STATISTICS = ["S0", "S1", "S2", "S2_auto", "S3", "S3P", "S4"]
every_grid = pytest.mark.parametrize("kind", GRIDS)
both_boundaries = pytest.mark.parametrize("boundary", ["valid", "periodic"])


def raising(*args, **kwargs):
    raise RuntimeError("computed while the graph was built")


def pair(kind):
    """Two fields that have something in common."""
    a = GRIDS[kind](0).rename("a")
    return a, (GRIDS[kind](1) + 0.5 * a).rename("b")


def stack(kind, *seeds, dim="time", labels=None):
    maps = [GRIDS[kind](s) for s in seeds]
    return xr.concat(maps, dim).assign_coords({dim: list(labels or seeds)})


def swapped(ds):
    """What the statistics of (b, a) are, from those of (a, b)."""
    order = {"j1": "j2", "j2": "j1", "l1": "l2", "l2": "l1"}
    order = {k: v for k, v in order.items() if k in ds.S4.dims}
    s4 = ds.S4.conj().drop_vars([c for c in ds.S4.coords if c not in ds.S4.dims])
    result = ds.isel(field=[1, 0]).assign_coords(field=ds.field)
    s4 = s4.rename(order).transpose(*ds.S4.dims)
    return result.assign(S2=ds.S2.conj(), S3=ds.S3P, S3P=ds.S3, S4=s4)


def direct(a, b, psi):
    """The formulas, product by product."""
    J, L = psi.shape[:2]
    shape3, shape4 = (J, J, L, L), (J, J, J, L, L, L)
    out = {
        "S0": np.array([[x.mean(), x.var()] for x in (a, b)]),
        "S1": np.empty((2, J, L)),
        "S2": np.empty((J, L), complex),
        "S2_auto": np.empty((2, J, L)),
        "S3": np.full(shape3, complex("nan+nanj")),
        "S3P": np.full(shape3, complex("nan+nanj")),
        "S4": np.full(shape4, complex("nan+nanj")),
    }
    W = {
        (f, j, l): convolve(x, psi[j, l]) for f, x in enumerate((a, b)) for j, l in np.ndindex(J, L)
    }
    for j3, l3 in np.ndindex(J, L):
        A, B = W[0, j3, l3], W[1, j3, l3]
        out["S1"][:, j3, l3] = np.abs(A).mean(), np.abs(B).mean()
        out["S2"][j3, l3] = (A * B.conj()).mean()
        out["S2_auto"][:, j3, l3] = (np.abs(A) ** 2).mean(), (np.abs(B) ** 2).mean()
        V = {k: convolve(np.abs(w), psi[j3, l3]) for k, w in W.items() if k[1] <= j3}
        for j1, l1 in np.ndindex(j3 + 1, L):
            out["S3"][j1, j3, l1, l3] = (A * V[1, j1, l1].conj()).mean()
            out["S3P"][j1, j3, l1, l3] = (B * V[0, j1, l1].conj()).mean()
            for j2, l2 in np.ndindex(j3 + 1, L):
                product = V[0, j1, l1] * V[1, j2, l2].conj()
                out["S4"][j1, j2, j3, l1, l2, l3] = product.mean()
    return out


@pytest.mark.parametrize(("shape", "L"), [((32, 27), 3), ((64,), 1)])
def test_statistics_are_their_formulas(shape, L):
    a, b = texture(*shape), texture(*shape, seed=1) + 0.5 * texture(*shape)
    dims = ("y", "x")[-len(shape) :]
    stats = xr.DataArray(a, dims=dims).scat.cross(
        xr.DataArray(b, dims=dims), J=3, L=L, boundary="periodic"
    )
    expected = {
        name: (stats[name].dims, values.reshape(stats[name].shape))
        for name, values in direct(a, b, morlets(shape, 3, L)).items()
    }
    assert list(stats) == STATISTICS
    scale = np.abs(stats.S2_auto).max()
    for name, (dims, values) in expected.items():
        assert stats[name].dims == dims
        np.testing.assert_array_equal(np.isnan(stats[name]), np.isnan(values))
        np.testing.assert_allclose(stats[name], values, atol=1e-12 * scale, rtol=1e-9)
    # the power that is not in phase is not dropped
    assert np.abs(stats.S2.imag).max() > 0.1 * np.abs(stats.S2.real).max()


@every_grid
@both_boundaries
def test_a_field_with_itself_has_its_own_statistics(kind, boundary):
    a = GRIDS[kind]()
    auto = a.scat.covariance(2, boundary=boundary, variance=True)
    cross = a.scat.cross(a, J=2, boundary=boundary, variance=True)
    assert cross.S2.dtype == complex
    for name in ("S0", "S1", "S1_std"):
        for f in (0, 1):
            xr.testing.assert_allclose(cross[name][f].drop_vars("field"), auto[name], rtol=1e-12)
    ordered = cross.where(auto.j1 <= auto.j2) if "S4" in cross else cross
    one = cross[["S2", "S3", "S2_std", "S3_std"]].assign(S4=ordered.S4, S4_std=ordered.S4_std)
    assert_same(one, auto, names=["S2", "S3", "S4"])
    for name in ("S2_std", "S3_std", "S4_std"):
        np.testing.assert_allclose(one[name], auto[name], rtol=1e-6, atol=1e-14)
    xr.testing.assert_allclose(cross.S3P, cross.S3.assign_attrs(cross.S3P.attrs), rtol=1e-9)
    np.testing.assert_allclose(cross.S2_auto, xr.concat([auto.S2] * 2, "field"), rtol=1e-12)
    # both orders of scales are there, and each is the conjugate of the other
    assert np.isfinite(cross.S4.isel(j1=1, j2=0, j3=1)).all()
    assert_same(swapped(cross), cross, names=["S2", "S3", "S4"])


@every_grid
def test_swapped_fields(kind):
    a, b = pair(kind)
    ab, ba = a.scat.cross(b, J=2), b.scat.cross(a, J=2)
    expected = swapped(ab).assign_coords(field=["b", "a"])
    for name in STATISTICS:
        xr.testing.assert_allclose(ba[name], expected[name].assign_attrs(ba[name].attrs), rtol=1e-9)
    assert float(np.abs(ab.S4 - ba.S4).max()) > 0.05 * float(np.abs(ab.S4).max())


@every_grid
@pytest.mark.parametrize(("x", "y"), [(-2.5, 0.7), (0.01, 3.0)])
def test_linear_in_each_field(kind, x, y):
    a, b = pair(kind)
    c = GRIDS[kind](7)
    options = {"J": 2, "L": 2, "statistics": ("S2", "S3")}
    mixed = x * a + y * c - 3
    ab, cb, of_first = (f.scat.cross(b, **options) for f in (a, c, mixed))
    ba, bc, of_second = (b.scat.cross(f, **options) for f in (a, c, mixed))
    for name, actual, one, two in (
        ("S2", of_first, ab, cb),
        ("S3", of_first, ab, cb),
        ("S2", of_second, ba, bc),
        ("S3P", of_second, ba, bc),
    ):
        expected = x * one[name] + y * two[name]
        scale = float(np.abs(expected).max())
        xr.testing.assert_allclose(actual[name], expected, rtol=1e-9, atol=1e-11 * scale)


@every_grid
@pytest.mark.parametrize("factor", [3.0, -0.5])
def test_correlation_coefficients_of_proportional_fields_are_one(kind, factor):
    a, other = pair(kind)
    r = normalize(a.scat.cross(factor * a - 2, J=2))
    np.testing.assert_allclose(r.S2, np.sign(factor), rtol=1e-9)
    alone = normalize(a.scat.covariance(2))
    np.testing.assert_allclose(r.S3, alone.S3, atol=1e-9)
    np.testing.assert_allclose(r.S3P, np.sign(factor) * alone.S3, atol=1e-9)
    np.testing.assert_allclose(r.S4.where(alone.j1 <= alone.j2), alone.S4, atol=1e-9)
    r = normalize(a.scat.cross(other, J=2))
    assert np.abs(r.S2).max() < 0.99
    assert np.abs(r.S2).min() > 0.01


# --- how the two are brought together


@every_grid
def test_a_shuffled_copy_gives_the_same_numbers(kind):
    a, b = pair(kind)
    rng = np.random.default_rng(0)
    if kind in ("plane", "line"):
        coords = {d: 10 + np.arange(a.sizes[d]) for d in a.dims}
        a, b = a.assign_coords(coords), b.assign_coords(coords)
    expected = a.scat.cross(b, J=2)
    shuffled = b.isel({d: rng.permutation(b.sizes[d]) for d in b.dims})
    xr.testing.assert_identical(a.scat.cross(shuffled, J=2), expected)
    if kind in ("sphere", "part"):
        # both in another order, and each in its own
        again = a.isel(cells=rng.permutation(a.size))
        xr.testing.assert_identical(again.scat.cross(shuffled, J=2), expected)
        renamed = shuffled.rename(cells="pixels", cell_ids="id")
        xr.testing.assert_identical(a.scat.cross(renamed, J=2), expected)


def test_cells_in_another_scheme_are_matched_by_place():
    import healpy

    a, b = pair("sphere")
    ring = healpix(healpy.reorder(b.values, n2r=True), 4, scheme="ring").rename("b")
    xr.testing.assert_identical(a.scat.cross(ring, J=2), a.scat.cross(b, J=2))


def test_more_cells_than_needed_are_left_out():
    a, b = pair("sphere")
    part = a.isel(cells=slice(500, 2000))
    expected = part.scat.cross(b.isel(cells=slice(500, 2000)), J=1)
    xr.testing.assert_identical(part.scat.cross(b, J=1), expected)


def test_other_grids_are_an_error():
    a, b = pair("sphere")
    with pytest.raises(xscat.GridError, match="b is at HEALPix level 3, the field at level 4"):
        a.scat.cross(sphere(3), J=1)
    with pytest.raises(xscat.GridError, match="b lacks 2572 of the 3072 cells"):
        a.scat.cross(b.isel(cells=slice(0, 500)), J=1)
    with pytest.raises(xscat.GridError, match="b has no HEALPix cells"):
        a.scat.cross(plane(32, 32), J=1)
    a, b = pair("plane")
    with pytest.raises(xscat.GridError, match="b has 40 elements along 'x', the field 44"):
        a.scat.cross(b.isel(x=slice(0, 40)), J=1)
    with pytest.raises(xscat.GridError, match="b has no dimension x"):
        a.scat.cross(b.isel(x=0), J=1)
    coords = {"x": np.arange(44), "y": np.arange(50)}
    with pytest.raises(xscat.GridError, match="b lacks values of coordinate 'x'"):
        a.assign_coords(coords).scat.cross(
            b.assign_coords(coords | {"x": np.arange(44) + 0.5}), J=1
        )
    with pytest.raises(xscat.GridError):
        a.scat.cross(a, J=6)


def test_what_is_no_field_is_an_error():
    a, b = pair("plane")
    with pytest.raises(TypeError, match="b must be a DataArray, got ndarray"):
        a.scat.cross(b.values, J=1)
    with pytest.raises(TypeError, match="complex"):
        a.scat.cross(1j * b, J=1)
    with pytest.raises(ValueError, match=r"either a second field b or over="):
        a.scat.cross(J=1)
    with pytest.raises(ValueError, match=r"either a second field b or over="):
        a.scat.cross(b, over="y", J=1)


@every_grid
def test_fields_without_time_are_broadcast(kind):
    maps, b = stack(kind, 0, 1, 2), GRIDS[kind](9)
    dim = None if kind in ("sphere", "part") else list(b.dims)
    options = {"J": 1, "L": 2, "dim": dim}
    loop = xr.concat([m.scat.cross(b, J=1, L=2) for m in maps], "time")
    assert_same_cross(maps.scat.cross(b, **options), loop)
    loop = xr.concat([b.scat.cross(m, J=1, L=2) for m in maps], "time")
    assert_same_cross(b.scat.cross(maps, **options), loop)
    members = stack(kind, 5, 6, dim="member")
    both = maps.scat.cross(members, **options)
    assert (both.sizes["time"], both.sizes["member"]) == (3, 2)
    one = maps[2].scat.cross(members[1], J=1, L=2)
    assert_same_cross(both.isel(time=2, member=1), one)


def assert_same_cross(actual, expected):
    for name in STATISTICS:
        one, two = actual[name], expected[name].transpose(*actual[name].dims)
        np.testing.assert_allclose(one, two, rtol=1e-8, atol=1e-13, err_msg=name)


def test_times_are_matched_by_their_labels():
    a, b = stack("plane", 0, 1, 2), stack("plane", 3, 4, 5, labels=[0, 1, 2])
    expected = a.scat.cross(b, J=1)
    xr.testing.assert_identical(a.scat.cross(b.isel(time=[2, 0, 1]), J=1), expected)
    with pytest.raises(xscat.GridError, match="b lacks values of coordinate 'time'"):
        a.scat.cross(b.isel(time=[0, 1]), J=1)
    with pytest.raises(xscat.GridError, match="b lacks values of coordinate 'time'"):
        a.scat.cross(b.assign_coords(time=[0, 1, 7]), J=1)
    unlabelled = b.drop_vars("time")
    assert_same_cross(a.scat.cross(unlabelled, J=1), expected)
    with pytest.raises(xscat.GridError, match="b has 2 elements along 'time', the field 3"):
        a.scat.cross(unlabelled.isel(time=[0, 1]), J=1)


@every_grid
def test_cells_missing_in_one_are_missing_in_both(kind):
    a, b = pair(kind)
    rng = np.random.default_rng(0)
    one, two = (xr.DataArray(rng.random(a.shape) > 0.01, dims=a.dims) for _ in "ab")
    expected = a.where(one & two).scat.cross(b.where(one & two), J=1)
    xr.testing.assert_identical(a.where(one).scat.cross(b.where(two), J=1), expected)
    xr.testing.assert_identical(a.where(one).scat.cross(b, J=1, mask=two), expected)
    wild = a.where(one, np.inf).scat.cross(b.where(two, -1e30), J=1, mask=one & two)
    xr.testing.assert_identical(wild, expected)


# --- pairs along a dimension


@every_grid
@both_boundaries
def test_pairs_are_the_statistics_of_two_fields(kind, boundary):
    maps = stack(kind, 0, 1, 2, dim="frequency", labels=[100, 143, 217])
    options = {"J": 2, "L": 2, "boundary": boundary, "variance": True}
    pairs = maps.scat.cross(over="frequency", **options)
    assert pairs.S0.dims == ("frequency", "moment")
    assert pairs.S1.dims[0] == "frequency"
    for name in ("S2", "S3", "S4", "S2_std", "S3_std", "S4_std"):
        assert pairs[name].dims[:2] == ("frequency_a", "frequency_b")
    for name in ("frequency", "frequency_a", "frequency_b"):
        np.testing.assert_array_equal(pairs[name], [100, 143, 217])
    for a, b in ((100, 143), (217, 100), (143, 143)):
        one = maps.sel(frequency=a).scat.cross(maps.sel(frequency=b), **options)
        these = pairs.sel(frequency_a=a, frequency_b=b)
        for name in ("S2", "S3", "S4", "S2_std", "S3_std", "S4_std"):
            np.testing.assert_allclose(these[name], one[name], rtol=1e-7, atol=1e-13, err_msg=name)
        np.testing.assert_allclose(
            pairs.S3.sel(frequency_a=b, frequency_b=a), one.S3P, rtol=1e-7, atol=1e-13
        )
        for name in ("S0", "S1", "S1_std"):
            two = pairs[name].sel(frequency=[a, b])
            np.testing.assert_allclose(two, one[name], rtol=1e-9, atol=1e-13)


def test_pairs_of_every_time():
    maps = xr.concat(
        [stack("sphere", *s, dim="frequency", labels=[1, 2]) for s in ((0, 1), (2, 3))], "time"
    )
    pairs = maps.scat.cross(over="frequency", J=1)
    loop = xr.concat([m.scat.cross(over="frequency", J=1) for m in maps], "time")
    for name in pairs:
        assert set(pairs[name].dims) == set(loop[name].dims)
        np.testing.assert_allclose(pairs[name].transpose(*loop[name].dims), loop[name], atol=1e-13)


def test_pairs_compute_the_wavelets_of_each_field_once(monkeypatch):
    filtered = []
    first = Compact.first

    def counting(self, state, j, coverage):
        filtered.append(state.shape[0] * state.shape[1])
        return first(self, state, j, coverage)

    monkeypatch.setattr(Compact, "first", counting)
    maps = stack("plane", *range(6), dim="frequency")
    maps.scat.cross(over="frequency", J=2)
    assert filtered == [6, 6]


def test_correlation_coefficients_of_pairs():
    a, b = pair("sphere")
    maps = xr.concat([a, b, 2 * a], "frequency").assign_coords(frequency=[1, 2, 3])
    pairs = maps.scat.cross(over="frequency", J=2)
    r = normalize(pairs).S2
    np.testing.assert_allclose(r.sel(frequency_a=1, frequency_b=3), 1, rtol=1e-9)
    ones = [r.sel(frequency_a=i, frequency_b=i) for i in (1, 2, 3)]
    np.testing.assert_allclose(ones, 1, rtol=1e-9)
    expected = normalize(a.scat.cross(b, J=2)).S2
    np.testing.assert_allclose(r.sel(frequency_a=1, frequency_b=2), expected, rtol=1e-9)
    np.testing.assert_allclose(r.sel(frequency_a=2, frequency_b=3), expected.conj(), rtol=1e-9)


def test_pairs_along_what_is_no_dimension():
    maps = stack("sphere", 0, 1, dim="frequency")
    with pytest.raises(ValueError, match=r"over='frequencies' is not one of .* mean 'frequency'"):
        maps.scat.cross(over="frequencies", J=1)


# --- lazy


@pytest.mark.parametrize("kind", ["plane", "sphere"])
def test_nothing_is_computed_while_the_graph_is_built(kind):
    a, b = stack(kind, 0, 1, 2), stack(kind, 3, 4, 5, labels=[0, 1, 2])
    dim = list(a.dims[1:]) if kind == "plane" else None
    options = {"J": 2, "dim": dim, "variance": True}
    valid = xr.DataArray(np.random.default_rng(0).random(a.shape) > 0.005, a.coords, a.dims)
    eager = a.scat.cross(b, mask=valid, **options)
    one, two, mask = a.chunk(time=1), b.isel(time=[1, 2, 0]).chunk(time=2), valid.chunk(time=1)
    with dask.config.set(scheduler=raising):
        lazy = one.scat.cross(two, mask=mask, **options)
        again = one.scat.cross(two, mask=mask, **options)
        half = a.scat.cross(two, mask=valid, **options)
    for name, variable in lazy.items():
        assert variable.chunks is not None
        assert variable.chunksizes["time"] == (1, 1, 1)
        assert variable.dtype == eager[name].dtype
        assert variable.__dask_keys__() == again[name].__dask_keys__()
    with dask.config.set(scheduler="synchronous"):
        xr.testing.assert_identical(lazy.compute(), eager)
        xr.testing.assert_identical(half.compute(), eager)


def test_lazy_pairs():
    maps = xr.concat(
        [stack("sphere", *s, dim="frequency", labels=[1, 2]) for s in ((0, 1), (2, 3))], "time"
    )
    eager = maps.scat.cross(over="frequency", J=2)
    with dask.config.set(scheduler=raising):
        lazy = maps.chunk(time=1).scat.cross(over="frequency", J=2)
        with pytest.raises(xscat.GridError, match=r"2 chunks.*\.chunk\(\{'frequency': -1\}\)"):
            maps.chunk(frequency=1).scat.cross(over="frequency", J=2)
        with pytest.raises(xscat.GridError, match=r"'cells' of b.*\.chunk\(\{'cells': -1\}\)"):
            maps.scat.cross(maps.chunk(cells=1000), J=2)
    assert lazy.S4.chunksizes["time"] == (1, 1)
    lazy = lazy.compute(scheduler="synchronous")
    xr.testing.assert_allclose(lazy, eager, rtol=1e-12, atol=1e-14)


# --- labels


def test_units_are_those_of_the_products():
    a, b = pair("plane")
    a, b = a.assign_attrs(units="K"), b.assign_attrs(units="m s-1")
    stats = a.scat.cross(b, J=1, variance=True)
    units = {"S2": "K (m s-1)", "S3": "K (m s-1)", "S3P": "(m s-1) K", "S4": "K (m s-1)"}
    assert {k: v.attrs.get("units") for k, v in stats.items() if "_std" not in k} == {
        "S0": None,
        "S1": None,  # of each field its own
        "S2_auto": None,
        **units,
    }
    assert all(stats[f"{k}_std"].attrs["units"] == u for k, u in units.items())
    assert all(v.attrs["long_name"] for v in stats.values())
    assert "standard deviation" in stats.S3P_std.attrs["long_name"]
    same = a.scat.cross(b.assign_attrs(units="K"), J=1, exponent=2)
    assert [same[k].attrs["units"] for k in STATISTICS[1:]] == [
        "K^2", "K^2", "K^2", "K^3", "K^3", "K^4"
    ]  # fmt: skip
    bare = a.scat.cross(b.drop_attrs(), J=1)
    assert not any("units" in v.attrs for v in bare.values())
    pairs = stack("plane", 0, 1, dim="f").assign_attrs(units="K").scat.cross(over="f", J=1)
    assert [pairs[k].attrs["units"] for k in ("S1", "S2", "S3", "S4")] == ["K", *["K^2"] * 3]
    assert pairs.S2.attrs["units"] == "K^2"
    assert "standard_name" not in str(stats.to_dict(data=False))


def test_fields_are_labelled_by_their_names():
    a, b = pair("plane")
    stats = a.rename("sst").scat.cross(b.rename("ssh"), J=1)
    assert stats.field.values.tolist() == ["sst", "ssh"]
    assert stats.attrs["source"] == "sst x ssh"
    assert stats.attrs["grid"] == "plane"
    nameless = a.rename(None).scat.cross(b.rename(None), J=1)
    assert nameless.field.values.tolist() == ["a", "b"]
    assert "source" not in nameless.attrs
    assert a.scat.cross(a, J=1).field.values.tolist() == ["a", "b"]
    np.testing.assert_array_equal(stats.angle_l3, [0, 45, 90, 135])
    np.testing.assert_allclose(stats.wavelength_j3, [8 / 3])


@pytest.mark.parametrize("dtypes", [("float32", "float32"), ("float32", "float64"), ("int16",) * 2])
def test_precision_follows_both_fields(dtypes):
    a, b = ((100 * f).astype(t) for f, t in zip(pair("sphere"), dtypes, strict=True))
    stats = a.scat.cross(b, J=2)
    single = set(dtypes) == {"float32"}
    assert stats.S1.dtype == np.float64
    assert stats.S2.dtype == stats.S3P.dtype == np.complex128
    if single:
        double = a.scat.cross(b, J=2, dtype="float64")
        assert double.S2.dtype == np.complex128
        assert_same(stats, double.assign(S2=double.S2), tol=1e-4, names=["S2", "S3", "S4"])


def test_a_subset_of_the_statistics_costs_less():
    a, b = pair("sphere")
    whole = a.scat.cross(b, J=2)
    some = a.scat.cross(b, J=2, statistics=("S2",))
    assert list(some) == ["S2", "S2_auto"]
    xr.testing.assert_allclose(some.S2, whole.S2, rtol=1e-12)
    assert list(a.scat.cross(b, J=2, statistics=("S4", "S1"))) == ["S4", "S1"]


@pytest.mark.parametrize("kind", ["fields", "pairs"])
def test_stored_and_read(kind, tmp_path):
    a, b = pair("plane")
    options = {"J": 2, "variance": True, "max_delta_j": 0, "region": (a.y > 25) + 0 * (a > 9)}
    if kind == "fields":
        stats = a.scat.cross(b, **options)
    else:
        maps = xr.concat([a, b], "f").assign_coords(f=[100.0, 143.0])
        stats = maps.scat.cross(over="f", **options)
    assert all(isinstance(v, str | int | float) for v in stats.attrs.values())
    stats.to_zarr(tmp_path / "stats.zarr", consolidated=False)
    read = xr.open_zarr(tmp_path / "stats.zarr", consolidated=False)
    xr.testing.assert_identical(read.load(), stats)
    assert xscat.Parameters.from_attrs(read) == xscat.Parameters.from_attrs(stats)
