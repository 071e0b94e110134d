"""Fields given to synthesis beside the target: by label, map by map, lazily; one sense of masks."""

import dask
import numpy as np
import pytest
import xarray as xr

import xscat
from helpers import healpix, sphere_texture, texture
from xscat import terms

OPTIONS = {"J": 2, "seed": 1, "progress": False, "boundary": "periodic", "max_iter": 25}
OPTIONS["statistics"] = ("S0", "S1", "S2")
PARTS = {k: v for k, v in OPTIONS.items() if k != "statistics"}  # separate takes all of them
SPHERE = OPTIONS | {"J": 1}


def raising(dsk, keys, **kwargs):
    raise RuntimeError("computed")


def plane(seed=0, n=16, time=0):
    lead, dims = ((time,), ("time", "y", "x")) if time else ((), ("y", "x"))
    values = np.stack([texture(n, n, seed=seed + 10 * i) for i in range(max(time, 1))])
    coords = {"y": np.arange(n) * 1.0, "x": np.arange(n) * 0.5}
    coords |= {"time": np.arange(time) + 5} if time else {}
    return xr.DataArray(values.reshape(*lead, n, n), dims=dims, coords=coords)


def sphere(seed=0, level=3, **kwargs):
    return healpix(sphere_texture(level, seed=seed), level, **kwargs)


def undecoded(da):
    """The same with attributes, but without an index."""
    ids = da.cell_ids.values
    attrs = {"grid_name": "healpix", "level": 3, "indexing_scheme": "nested"}
    return da.drop_vars("cell_ids").assign_coords(cell_ids=("cells", ids, attrs))


def bare_numbers(da):
    """The same with numbers alone, as xr.where leaves them."""
    return da.drop_vars("cell_ids").assign_coords(cell_ids=("cells", da.cell_ids.values))


ORDERS = {
    "transposed": lambda da: da.transpose(..., "x", "y"),
    "y descending": lambda da: da[..., ::-1, :],
    "more cells": lambda da: da.pad(y=(0, 3), x=(2, 0)).assign_coords(
        y=np.arange(19.0), x=np.arange(-2, 16) * 0.5
    ),
    "no coordinates": lambda da: da.drop_vars(["x", "y"]),
}
SHUFFLED = np.random.default_rng(1).permutation(768)
CELLS = {
    "shuffled": lambda da: da.isel(cells=SHUFFLED),
    "attributes alone": lambda da: undecoded(da.isel(cells=SHUFFLED)),
    "numbers alone": lambda da: bare_numbers(da.isel(cells=SHUFFLED)),
    "another name": lambda da: da.isel(cells=SHUFFLED).rename(cells="pix"),
    "no coordinates": lambda da: da.drop_vars("cell_ids"),
}


def with_terms(f, q, order):
    """Terms with a second field, brought into another order."""
    noise = xr.concat([q, -2 * q, q + f], "member")
    near = f > f.median()

    def function(u, context):
        return ((u - context.tensor(context.field(order(q)))) ** 2).mean()

    def nested(u, context):
        return terms.Pixels(order(q), order(1 + 0 * q))(u, context)

    return [
        terms.Pixels(order(q), order(1 + abs(q)), order(near.astype(float))),
        terms.Statistics(order(q), ("S1", "S2")),
        terms.Cross(order(q), order(q + f), ("S2",)),
        terms.Noise(order(q), order(noise), ("S1", "S2")),
        terms.PowerSpectrum(order(q.where(near))),
        terms.Histogram(order(q.where(near))),
        function,
        nested,
    ]


EXTRAS = {
    "mask": lambda f, q: f > f.quantile(0.2),
    "update": lambda f, q: f > f.median(),
    "initial": lambda f, q: q,
    "cross_with": lambda f, q: f + q,
}


@pytest.mark.parametrize("order", ORDERS)
def test_terms_on_a_plane(order):
    f, q = plane(), plane(9)
    options = OPTIONS | {"max_iter": 2, "steps": 1}
    wanted = f.scat.synthesize(terms=with_terms(f, q, lambda da: da), **options)
    found = f.scat.synthesize(terms=with_terms(f, q, ORDERS[order]), **options)
    xr.testing.assert_allclose(found, wanted)


@pytest.mark.parametrize("order", CELLS)
def test_terms_on_cells(order):
    f, q = sphere(), sphere(9)
    options = SPHERE | {"max_iter": 2, "steps": 1}
    wanted = f.scat.synthesize(terms=with_terms(f, q, lambda da: da), **options)
    found = f.scat.synthesize(terms=with_terms(f, q, CELLS[order]), **options)
    xr.testing.assert_allclose(found, wanted)


@pytest.mark.parametrize("name", EXTRAS)
@pytest.mark.parametrize("grid", ["plane", "sphere"])
def test_further_fields(name, grid):
    make, orders, options = (plane, ORDERS, OPTIONS) if grid == "plane" else (sphere, CELLS, SPHERE)
    f, q = make(), make(9)
    options = options | {"max_iter": 3, "steps": 1}
    extra = EXTRAS[name](f, q)
    wanted = f.scat.synthesize(**{name: extra}, **options)
    assert abs(wanted - f.scat.synthesize(**options)).max() > 1e-3
    for order in orders.values():
        found = f.scat.synthesize(**{name: order(extra.astype(float))}, **options)
        xr.testing.assert_allclose(found, wanted)


@pytest.mark.parametrize("lazy", [False, True])
def test_each_map_has_its_own(lazy):
    f, q = plane(time=3), plane(9, time=3)
    extras = {name: make(f, q) for name, make in EXTRAS.items() if name != "cross_with"}
    pixels = [terms.Pixels(q, 0.1), lambda u, context: (u - context.tensor(context.field(q))).std()]
    options = OPTIONS | {"max_iter": 4, "steps": 1}
    loop = []
    for i in range(3):
        one = [terms.Pixels(q[i], 0.1), lambda u, c, i=i: (u - c.tensor(c.field(q[i]))).std()]
        here = {name: x[i] for name, x in extras.items()}
        loop.append(f[i].scat.synthesize(terms=one, **here, **options))
    other = [2, 0, 1]
    extras = {name: x[other] for name, x in extras.items()}
    pixels[0] = terms.Pixels(q[other].transpose("y", "time", "x"), 0.1)
    if lazy:
        f = f.chunk(time=1)
        extras = {name: x.chunk(time=2) for name, x in extras.items()}
        pixels[0] = terms.Pixels(q[other].chunk(time=1), 0.1)
    with dask.config.set(scheduler=raising if lazy else "synchronous"):
        found = f.scat.synthesize(terms=pixels, **extras, **options)
    assert (found.chunks is not None) == lazy
    found = found.compute(scheduler="synchronous")
    for i in range(3):
        # noise differs from map to map, but all start from initial
        np.testing.assert_allclose(found[i], loop[i], rtol=1e-10)


def test_a_term_without_time_serves_all_maps():
    f, q = plane(time=2), plane(9)
    new = f.scat.synthesize(terms=[terms.Pixels(q[::-1], 0.01)], **OPTIONS)
    for i in range(2):
        assert np.corrcoef(new[i].values.ravel(), q.values.ravel())[0, 1] > 0.95


def test_components_and_sigma_of_a_mixture():
    a, b = plane(0, time=2), plane(3, time=2)
    mixture, sigma = a + b, 0.1 + 0.01 * abs(b)
    options = PARTS | {"max_iter": 4}
    wanted = xscat.separate(mixture, {"a": a, "b": terms.Statistics(b)}, sigma=sigma, **options)
    one = [xscat.separate(mixture[0], {"a": a[0], "b": b[0]}, sigma=sigma[0], **options)]
    for name in "ab":
        np.testing.assert_allclose(wanted[name][0], one[0][name])
        assert wanted[name].dims == mixture.dims
    back = slice(None, None, -1)
    parts = {"a": a[back, :, back].transpose("x", "time", "y"), "b": terms.Statistics(b[:, back])}
    for given in (parts, xr.Dataset({"a": a, "b": b}).isel(y=back)):
        found = xscat.separate(mixture, given, sigma=sigma[:, back, back], **options)
        xr.testing.assert_allclose(found, wanted)
    with dask.config.set(scheduler=raising):
        lazy = xscat.separate(
            mixture.chunk(time=1),
            xr.Dataset({"a": a, "b": b}).chunk(time=1),
            sigma=sigma,
            **options,
        )
    xr.testing.assert_allclose(lazy.compute(scheduler="synchronous"), wanted)


def test_noise_and_target():
    d = plane(0, time=2)
    noise = xr.concat([plane(s, time=2) - plane(s + 1, time=2) for s in range(4, 8)], "member")
    options = {k: v for k, v in OPTIONS.items() if k != "max_iter"} | {"max_iter": 3}
    wanted = d.scat.denoise(noise, **options)
    found = d.scat.denoise(noise[:, ::-1, ::-1].transpose("x", "member", "y", "time"), **options)
    xr.testing.assert_allclose(found, wanted)
    gappy = d.where((d.y < 4) | (d.y > 9))
    wanted = gappy.scat.inpaint(d, update=gappy.isnull() & (d.x > 2), **options)
    update = (gappy.isnull() & (d.x > 2))[::-1, ::-1, ::-1]
    xr.testing.assert_allclose(gappy.scat.inpaint(d[:, ::-1], update=update, **options), wanted)
    assert wanted.isnull().sum() == (gappy.isnull() & ~(d.x > 2)).sum()


WRONG = {
    "other coordinates": lambda da: da.assign_coords(y=da.y + 0.5),
    "another level": lambda da: sphere(level=2),
    "less cells": lambda da: da.isel(y=slice(3, None)),
    "no dimension": lambda da: da.isel(x=0),
    "other times": lambda da: da.expand_dims(time=[5, 6, 9]),
}


def use(name, f, other):
    """Give a function a field under the name of an argument."""
    if name == "data of":
        return f.scat.synthesize(terms=[terms.Pixels(other, 1.0)], **OPTIONS)
    if name == "noise":
        return f.scat.denoise(xr.concat([other, other], "member"), **OPTIONS)
    if name == "sigma":
        return xscat.separate(f, {"a": f, "b": f}, sigma=other, **PARTS)
    if name == "component 'b'":
        return xscat.separate(f, {"a": f, "b": other}, **PARTS)
    if name == "target":
        return f.scat.inpaint(other, **OPTIONS)
    return f.scat.synthesize(**{name: other}, **OPTIONS)


NAMES = ["initial", "cross_with", "data of", "noise", "sigma", "component 'b'", "target"]


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("name", [*NAMES, "mask", "update"])
def test_what_is_elsewhere_is_refused(wrong, name):
    other = WRONG[wrong](plane(9))
    other = other > 1 if name in ("mask", "update") else other
    with pytest.raises(ValueError, match=name):
        use(name, plane(time=3), other)


@pytest.mark.parametrize("name", NAMES)
def test_complex_fields_are_refused(name):
    with pytest.raises(TypeError, match=f"{name}.* complex"):
        use(name, plane(), plane(9) * 1j)


@pytest.mark.parametrize("function", ["synthesize", "denoise", "inpaint"])
@pytest.mark.parametrize("grid", ["plane", "sphere"])
def test_what_is_masked_does_not_matter(function, grid):
    f, options = (plane(), OPTIONS) if grid == "plane" else (sphere(), SPHERE)
    options = options | {"max_iter": 5}
    good = (f.y < 11) if grid == "plane" else f.dggs.cell_centers().latitude > -30
    good = good & xr.ones_like(f, bool)
    if function == "inpaint":
        f = f.where(f < f.quantile(0.98))
    arguments = {"denoise": {"noise": 0.1}}.get(function, {})
    results = []
    for wild in (0.0, 1e3):
        da = f.where(good | f.isnull(), wild)
        new = getattr(da.scat, function)(mask=good.astype(float), **arguments, **options)
        results.append(new.where(good))
    if function == "denoise":  # a filter comes first
        assert abs(results[1].mean()) < 10
    else:
        np.testing.assert_allclose(results[1], results[0], rtol=1e-6, atol=1e-6)


def test_weights_are_no_mask_here():
    f = plane()
    weights = 0.5 + 0 * f
    for name in ("mask", "update"):
        with pytest.raises(ValueError, match=rf"{name} has weights .* 0\.5.* {name} > 0"):
            f.scat.synthesize(**{name: weights}, **OPTIONS)
        lazy = f.scat.synthesize(**{name: weights.chunk()}, **OPTIONS)
        with pytest.raises(ValueError, match=f"{name} has weights"):
            lazy.compute(scheduler="synchronous")
    with pytest.raises(ValueError, match=r"mask of terms\.Pixels has weights"):
        f.scat.synthesize(terms=[terms.Pixels(f, 1.0, weights)], **OPTIONS)
    f.scat.synthesize(mask=weights > 0, **(OPTIONS | {"max_iter": 1}))  # the way out


def test_arrays_are_no_fields():
    f = plane()
    with pytest.raises(TypeError, match=r"data of Pixels must be a DataArray, got ndarray"):
        f.scat.synthesize(terms=[terms.Pixels(f.values, 1.0)], **OPTIONS)
    with pytest.raises(TypeError, match="initial must be a DataArray, got ndarray"):
        f.scat.synthesize(initial=f.values, **OPTIONS)


def test_a_start_for_each_realization():
    f = plane()
    starts = xr.concat([plane(s) for s in (4, 5)], "realization")
    options = OPTIONS | {"max_iter": 2, "steps": 1}
    both = f.scat.synthesize(initial=starts, realizations=2, match="mean", **options)
    assert both.sizes["realization"] == 2
    assert np.corrcoef(both[1].values.ravel(), starts[1].values.ravel())[0, 1] > 0.5
    with pytest.raises(ValueError, match="initial has 2 realizations, realizations=3"):
        f.scat.synthesize(initial=starts, realizations=3, **options)


def test_labels_of_cells_that_are_not_described():
    field = healpix(sphere_texture(2), 2)
    order = np.random.default_rng(0).permutation(field.size)
    mask = xr.DataArray(field.values[order] > 1, dims="cells", coords={"cells": order})
    with pytest.raises(xscat.GridError, match="mask"):
        field.scat.covariance(1, mask=mask)
    both = field.assign_coords(cells=np.arange(field.size))
    given = both.scat.covariance(1, mask=mask, min_coverage=0.3)
    wanted = field.scat.covariance(1, mask=field > 1, min_coverage=0.3)
    assert np.isfinite(wanted.S2).all()
    np.testing.assert_allclose(given.S2, wanted.S2, rtol=1e-12)
