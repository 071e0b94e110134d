"""Test fields, and what several test modules ask of a pair of results."""

import numpy as np
import xarray as xr
import xdggs


def texture(*shape, seed=0):
    """Skewed periodic field with power at all scales."""
    k = np.sqrt(sum(np.square(q) for q in np.meshgrid(*map(np.fft.fftfreq, shape), indexing="ij")))
    noise = np.random.default_rng(seed).normal(size=shape)
    smooth = np.fft.ifftn(np.fft.fftn(noise) / (k + 0.05)).real
    return np.exp(0.7 * smooth / smooth.std())


def plane(*shape, seed=0, **kwargs):
    return xr.DataArray(texture(*shape, seed=seed), dims=("y", "x"), **kwargs)


def line(n, *, seed=0, **kwargs):
    return xr.DataArray(texture(n, seed=seed), dims="x", **kwargs)


def sphere_texture(level, *lead, seed=0):
    """Skewed field on nested cells, with power at all scales."""
    rng = np.random.default_rng(seed)
    maps = sum(
        2.0 ** (level - coarse)
        * rng.normal(size=(*lead, 12 * 4**coarse, 1))
        .repeat(4 ** (level - coarse), -1)
        .reshape(*lead, -1)
        for coarse in range(level + 1)
    )
    return np.exp(0.7 * maps / maps.std())


def healpix(values, level, cells=None, scheme="nested", dim="cells", name="cell_ids", lead=()):
    """DataArray on HEALPix cells with an xdggs index."""
    cells = np.arange(12 * 4**level) if cells is None else cells
    info = xdggs.HealpixInfo(level=level, indexing_scheme=scheme)
    attrs = {"grid_name": "healpix", **info.to_dict()}
    da = xr.DataArray(values, dims=(*lead, dim), coords={name: (dim, cells, attrs)})
    return da.pipe(xdggs.decode, name=name)


def sphere(level, *, seed=0, **kwargs):
    return healpix(sphere_texture(level, seed=seed), level, **kwargs)


def orientation_dims(variable):
    return [d for d in variable.dims if d[0] == "l" and d[1:].isdigit()]


def relabel(ds, target):
    """Statistics of the field whose orientation *l* became orientation *target[l]*.

    Targets outside 0..L-1 are the same orientation by half turns; each of these conjugates what is
    filtered there, which is the last orientation of S3 and of S4.
    """
    target = np.asarray(target)
    L = len(target)
    conjugated = xr.DataArray(target // L % 2 == 1, dims="outer")
    source = np.argsort(target % L)
    result = ds.copy()
    for name, variable in ds.items():
        dims = orientation_dims(variable)
        if dims and variable.dtype.kind == "c":
            variable = xr.where(conjugated.rename(outer=dims[-1]), variable.conj(), variable)
        for dim in dims:
            variable = variable.isel({dim: source}).assign_coords({dim: ds[dim]})
        result[name] = variable.transpose(*ds[name].dims)
    return result


def assert_same(actual, expected, tol=1e-11, names=None):
    """Variables agree within *tol* of the power at their scales, and are NaN in the same places."""
    names = set(expected.data_vars) if names is None else set(names)
    assert names <= set(actual.data_vars)
    power = np.abs(expected["S2"])
    power = power.max(orientation_dims(power))
    at = {i: power.rename({d: d.replace("1", i) for d in map(str, power.coords)}) for i in "123"}
    scale = {
        "S0": np.abs(expected["S0"]).max("moment") if "S0" in expected else None,
        "S1": np.sqrt(at["1"]),
        "S2": at["1"],
        "S3": np.sqrt(at["1"] * at["2"]),
        "S4": np.sqrt(at["1"] * at["2"]),
    }
    for name in sorted(names):
        one, two = xr.align(actual[name], expected[name], join="exact")
        two = two.transpose(*one.dims)
        np.testing.assert_array_equal(np.isnan(one), np.isnan(two), err_msg=f"NaN in {name}")
        error = float((np.abs(one - two) / scale[name]).max())
        assert not error > tol, f"{name} differs by {error:.2g}"
