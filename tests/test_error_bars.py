"""Standard deviations: against the scatter of 200 independent realizations, exact properties."""

import numpy as np
import pytest
import xarray as xr

import gaussian
import xscat
from helpers import line, plane, sphere

COUNT = 200
NAMES = ("S1", "S2", "S3", "S4")


def wavelets_that_fit(maps, J):
    """Number of wavelets of each scale in a field: its cells over those under an envelope."""
    width = np.sqrt(2 * np.pi) * 0.8 * 2.0 ** np.arange(J)
    return maps.isel(time=0).size / width ** (1 if maps.dims[1:] == ("x",) else 2)


def compared(stats, name):
    """Root mean square error bar over the scatter of realizations, mean over orientations."""
    scatter = stats[name] - stats[name].mean("time")
    scatter = np.sqrt((np.abs(scatter) ** 2).sum("time") / (stats.sizes["time"] - 1))
    error = np.sqrt((stats[f"{name}_std"] ** 2).mean("time"))
    over = [d for d in scatter.dims if d in ("l1", "l2", "l3", "field")]
    ratio = error.mean(over) / scatter.mean(over)
    outer = {"S1": "j1", "S2": "j1", "S3": "j2", "S3P": "j2", "S4": "j3"}[name]
    return ratio, outer


def assert_agree(stats, J, names=NAMES):
    """Within 30 % at each outer scale, for all inner scales, and within 10 % on average."""
    for j in range(J):
        ratios = []
        for name in names:
            ratio, outer = compared(stats, name)
            values = ratio.sel({outer: j}).values.ravel()
            values = values[np.isfinite(values)]
            counts = {"S3": j + 1, "S3P": j + 1, "S4": (j + 1) * (j + 2) // 2}
            assert len(values) == counts.get(name, 1)
            assert np.abs(values - 1).max() < 0.3, (name, j, values)
            ratios.append(values.mean())
        assert abs(np.mean(ratios) - 1) < 0.1, (j, ratios)


@pytest.mark.parametrize("power", [0, -2])
@pytest.mark.parametrize("boundary", ["valid", "periodic"])
def test_on_a_plane(power, boundary):
    maps = gaussian.flat((80, 90), power, COUNT)
    J = int((wavelets_that_fit(maps, 6) >= 100).sum())
    assert J == 3
    stats = maps.scat.covariance(J, boundary=boundary, variance=True)
    assert_agree(stats, J)


@pytest.mark.parametrize("power", [0, -2])
@pytest.mark.parametrize("boundary", ["valid", "periodic"])
def test_on_a_line(power, boundary):
    maps = gaussian.flat((1000,), power, COUNT, margin=4)
    J = int((wavelets_that_fit(maps, 6) >= 100).sum())
    assert J == 3
    stats = maps.scat.covariance(J, boundary=boundary, dim="x", variance=True)
    assert_agree(stats, J)


@pytest.mark.parametrize("power", [0, -2])
def test_on_the_sphere(power):
    maps = gaussian.sphere(5, power, COUNT)
    J = int((wavelets_that_fit(maps, 6) >= 100).sum())
    assert J == 3
    assert_agree(maps.scat.covariance(J, variance=True), J)


@pytest.mark.parametrize("power", [0, -2])
def test_on_part_of_the_sphere(power):
    maps = gaussian.sphere(4, power, COUNT).isel(cells=slice(0, 1700))
    J = int((wavelets_that_fit(maps, 6) >= 100).sum())
    assert J == 2
    assert_agree(maps.scat.covariance(J, variance=True), J)


@pytest.mark.parametrize("kind", ["plane", "sphere"])
def test_under_masks_and_in_regions(kind):
    maps = gaussian.flat((64, 64), -1, COUNT) if kind == "plane" else gaussian.sphere(4, -1, COUNT)
    shape = maps.shape[1:]
    rng = np.random.default_rng(0)
    weights = rng.random(shape) * (rng.random(shape) > 0.004)
    half = np.arange(np.prod(shape)).reshape(shape) < 0.5 * np.prod(shape)
    weights = np.stack([weights, 1.0 * half])
    regions = xr.DataArray(weights, dims=("part", *maps.dims[1:]))
    stats = maps.scat.covariance(2, region=regions, variance=True)
    for part in (0, 1):
        assert_agree(stats.isel(part=part), 2)


def test_of_two_fields():
    maps = gaussian.sphere(4, -1, 2 * COUNT)
    a = maps.isel(time=slice(0, COUNT))
    b = a + 0.7 * maps.isel(time=slice(COUNT, None))
    stats = a.scat.cross(b, J=2, variance=True)
    assert_agree(stats.assign(S4=stats.S4.where(stats.j1 <= stats.j2)), 2)
    assert_agree(stats, 2, names=("S3P",))


def test_of_a_skewed_field():
    maps = np.exp(gaussian.flat((64, 64), 0, COUNT))
    assert_agree(maps.scat.covariance(2, variance=True), 2)


# --- exactly


GRIDS = {"plane": lambda: plane(48, 50), "line": lambda: line(120), "sphere": lambda: sphere(4)}


@pytest.mark.parametrize("kind", GRIDS)
@pytest.mark.parametrize("boundary", ["valid", "periodic"])
def test_the_means_are_the_same_with_them(kind, boundary):
    da = GRIDS[kind]()
    without = da.scat.covariance(2, boundary=boundary)
    stats = da.scat.covariance(2, boundary=boundary, variance=True)
    assert list(stats) == ["S0", *NAMES, *(f"{n}_std" for n in NAMES)]
    scale = float(without.S2.max())
    for name in NAMES:
        np.testing.assert_allclose(stats[name], without[name], atol=1e-4 * scale)
        std = stats[f"{name}_std"]
        assert std.dims == stats[name].dims
        assert std.dtype == float
        np.testing.assert_array_equal(np.isnan(std), np.isnan(stats[name]))
        assert std.min() >= 0


@pytest.mark.parametrize("kind", GRIDS)
def test_they_scale_with_the_field(kind):
    da = GRIDS[kind]()
    one, two = (f.scat.covariance(2, variance=True) for f in (da, 3 - 5 * da))
    for name, factor in {"S1": 5, "S2": 25, "S3": 25, "S4": 25}.items():
        std = one[f"{name}_std"]
        np.testing.assert_allclose(two[f"{name}_std"], factor * std, rtol=1e-6, atol=1e-12)
    assert one.S1_std.attrs.get("units") is None
    assert da.assign_attrs(units="K").scat.covariance(1, variance=True).S3_std.units == "K^2"


def test_they_shrink_with_the_size_of_the_field():
    small, large = (
        gaussian.flat((n, n), 0, 20).scat.covariance(2, boundary="periodic", variance=True)
        for n in (48, 96)
    )
    for name in NAMES:
        ratio = small[f"{name}_std"].mean("time") / large[f"{name}_std"].mean("time")
        assert float(ratio.mean()) == pytest.approx(2, rel=0.2)


def test_they_are_those_of_the_modulus_squared():
    """The mean of a complex z has the variance of its real and of its imaginary part."""
    maps = gaussian.flat((64, 64), 0, COUNT)
    stats = maps.scat.covariance(2, boundary="periodic", variance=True)
    S3 = stats.S3.isel(j1=0, j2=1)
    parts = S3.real.var("time", ddof=1) + S3.imag.var("time", ddof=1)
    np.testing.assert_allclose((stats.S3_std.isel(j1=0, j2=1) ** 2).mean("time"), parts, rtol=0.4)
    assert float(S3.imag.var("time").mean() / parts.mean()) > 0.3


def test_a_pattern_that_repeats_in_every_block_has_no_error():
    x = np.arange(96)
    tile = np.random.default_rng(0).normal(size=(16, 16))
    da = xr.DataArray(np.tile(tile, (6, 6)), dims=("y", "x"), coords={"x": x, "y": x})
    stats = da.scat.covariance(2, boundary="periodic", variance=True)
    for name in NAMES:
        scale = float(stats.S2.max())
        # products of the coarse scale are averaged over points that are not in step with the blocks
        assert float(stats[f"{name}_std"].max()) < 0.02 * scale, name


def test_what_lies_in_one_block_has_no_error_bar():
    da = sphere(5)
    spot = xr.DataArray(np.arange(da.size) < 256, dims="cells")
    stats = da.where(spot).scat.covariance(1, variance=True)
    assert np.isfinite(stats.S1).all()
    assert np.isnan(stats.S1_std).all()
    assert np.isnan(stats.S3_std).all()


def test_medians_have_none():
    with pytest.raises(ValueError, match="variance=True needs average='mean'"):
        plane(48, 48).scat.covariance(1, variance=True, average="median")


def test_lazy_and_stored(tmp_path):
    maps = gaussian.sphere(3, -1, 3).rename("sst")
    eager = maps.scat.covariance(1, variance=True)
    lazy = maps.chunk(time=1).scat.covariance(1, variance=True)
    assert lazy.S4_std.chunksizes["time"] == (1, 1, 1)
    xr.testing.assert_allclose(lazy.compute(scheduler="synchronous"), eager, rtol=1e-12)
    eager.to_zarr(tmp_path / "stats.zarr", consolidated=False)
    read = xr.open_zarr(tmp_path / "stats.zarr", consolidated=False).load()
    xr.testing.assert_identical(read, eager)
    assert "standard deviation" in read.S4_std.long_name
    assert isinstance(xscat.Parameters.from_attrs(read), xscat.Parameters)
