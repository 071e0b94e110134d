"""Synthesis: gradients, the options of `synthesize`, labels, laziness, interruption."""

import healpy
import numpy as np
import pytest
import torch
import xarray as xr
import xdggs

import xscat
from xscat.engine.cache import transforms
from xscat.grids import find_grid
from xscat.statistics import make_parameters
from xscat.synthesis.multiscale import Level, coarsened, pyramid
from xscat.synthesis.objective import StatisticsLoss, make_domain, measure
from xscat.synthesis.records import Constraint

ALL = ("S0", "S1", "S2", "S3", "S4")


def healpix(level, cells=None, seed=0):
    ids = np.arange(12 * 4**level) if cells is None else cells
    attrs = {"grid_name": "healpix", "level": level, "indexing_scheme": "nested"}
    ids = xr.DataArray(ids, dims="cells", attrs=attrs)
    values = np.random.default_rng(seed).normal(size=len(ids))
    return xdggs.decode(xr.DataArray(values, dims="cells", coords={"cell_ids": ids}))


def plane(n=32, seed=0, slope=1.2):
    """A skewed, correlated field."""
    rng = np.random.default_rng(seed)
    k = np.hypot(np.fft.fftfreq(n)[:, None], np.fft.rfftfreq(n))
    k[0, 0] = np.inf
    x = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(n, n))) / k**slope, s=(n, n))
    return xr.DataArray(np.exp(x / x.std()), dims=("y", "x"), name="rain", attrs={"units": "mm"})


def line(n=128):
    values = np.random.default_rng(1).normal(size=n).cumsum()
    return xr.DataArray(values - np.linspace(0, values[-1], n), dims="t")


GRIDS = {
    "plane": (plane(24), {"J": 2, "boundary": "periodic"}),
    "gappy plane": (plane(32).where(plane(32) < 4), {"J": 1}),
    "line": (line(64), {"J": 3, "boundary": "periodic"}),
    "sphere": (healpix(3), {"J": 2}),
    "part of a sphere": (healpix(4, np.arange(700)), {"J": 2}),
}


def engine_and_cells(da, J, **kwargs):
    grid = find_grid(da)
    parameters = make_parameters(grid, J, 4, **kwargs)
    cells = grid.arrange(da.values.reshape(-1, *grid.shape))[0]
    return transforms(grid.spec(parameters, "float64", "cpu"), 2**30), cells


@pytest.mark.parametrize("reduction", [None, "iso_mean", "fft_ang"])
@pytest.mark.parametrize("name", GRIDS)
def test_gradient(name, reduction):
    da, kwargs = GRIDS[name]
    reduction = None if name == "line" else reduction
    engine, cells = engine_and_cells(da, **kwargs)
    domain = make_domain(engine, ~np.isnan(cells), 1.0)
    x = torch.as_tensor(np.nan_to_num(cells))
    with torch.no_grad():
        z, variance = measure(engine, x[None, None], domain, True, variance=True)
    loss = StatisticsLoss(engine, domain, Constraint(ALL, reduction), z[0], variance[0])
    generator = torch.Generator().manual_seed(1)
    u = torch.randn(2, len(x), dtype=torch.float64, generator=generator, requires_grad=True)
    d = torch.randn(2, len(x), dtype=torch.float64, generator=generator)
    (gradient,) = torch.autograd.grad(loss(u), u)
    h = 1e-6
    with torch.no_grad():
        difference = (loss(u + h * d) - loss(u - h * d)) / (2 * h)
        assert loss(x[None]) < 1e-16
    np.testing.assert_allclose((gradient * d).sum().item(), difference.item(), rtol=2e-6)


@pytest.mark.parametrize("reduction", [None, "iso_mean", "fft_ang"])
def test_the_loss_compares_the_statistics_of_covariance(reduction):
    a, b = plane(24), plane(24, seed=5)
    engine, x = engine_and_cells(a, 2, boundary="periodic")
    domain = make_domain(engine, np.ones(len(x), bool), 1.0)
    zs = []
    for da in (a, b):
        field = torch.as_tensor(da.values.reshape(1, 1, -1))
        zs.append(measure(engine, field, domain, True)[0][0])
    constraint = Constraint(ALL[1:], reduction, use_variance=False)
    loss = StatisticsLoss(engine, domain, constraint, zs[0], torch.ones_like(zs[0]))
    found = loss(torch.as_tensor(b.values.reshape(1, -1))).item()
    total, count, square = 0, 0, 0
    stats = [xscat.covariance(x, J=2, boundary="periodic") for x in (a, b)]
    if reduction:
        stats = [getattr(s.scat, reduction)() for s in stats]
    for name in ALL[1:]:
        difference = abs(stats[0][name] - stats[1][name]).values ** 2
        total += np.nansum(difference)
        count += np.isfinite(difference).sum()
        square += np.nansum(abs(stats[0][name]).values ** 2)
    assert loss.n_statistics == count
    # 1 % of the rms of all, real and imaginary parts counted apart
    error = 0.01 * np.sqrt(square / len(loss.wanted))
    np.testing.assert_allclose(found, total / count / error**2, rtol=1e-10)


def test_pyramid():
    for da, kwargs in (GRIDS["plane"], GRIDS["line"], GRIDS["sphere"]):
        grid = find_grid(da)
        levels = pyramid(Level(grid, make_parameters(grid, kwargs["J"], 4)), 2)
        assert len(levels) == 2
        rng = np.random.default_rng(0)
        coarse = levels[0].coarsen(rng.normal(size=(3, int(np.prod(grid.shape)))))
        again = levels[0].coarsen(levels[0].refine(coarse))
        assert np.sqrt(np.mean((again - coarse) ** 2)) < 0.1 * coarse.std()
        constant = np.full(int(np.prod(grid.shape)), 7.0)
        np.testing.assert_allclose(coarsened(levels, constant)[1], 7)


@pytest.mark.parametrize("name", ["plane", "line", "sphere", "part of a sphere"])
def test_statistics_are_reached(name):
    da, kwargs = GRIDS[name]
    da = da.assign_coords(extra=3)
    new = da.scat.synthesize(seed=1, tol=0.15, max_iter=300, **kwargs)
    assert new.attrs["final_loss"][-1] <= 0.15**2
    assert new.attrs["stopped"][-1] == "tolerance"
    assert new.dims == da.dims
    assert new.extra == 3
    assert abs(np.corrcoef(new.values.ravel(), da.values.ravel())[0, 1]) < 0.6
    np.testing.assert_allclose(new.std(), da.std(), rtol=0.1)


def test_seed_and_realizations():
    da = plane()
    kwargs = {"J": 2, "boundary": "periodic", "max_iter": 15}
    a = da.scat.synthesize(seed=1, **kwargs)
    xr.testing.assert_identical(a, da.scat.synthesize(seed=1, **kwargs))
    assert abs(a - da.scat.synthesize(seed=2, **kwargs)).max() > 0.1
    assert (a.name, a.attrs["units"], a.attrs["seed"]) == ("rain", "mm", 1)
    both = da.scat.synthesize(seed=1, realizations=2, match="mean", **kwargs)
    assert both.dims == ("realization", "y", "x")
    assert abs(both[0] - both[1]).max() > 0.1


def test_lazy_and_independent_of_chunks():
    da = xr.concat([plane(), plane(seed=1), 2 * plane()], "time")
    kwargs = {"J": 2, "boundary": "periodic", "max_iter": 4, "seed": 1}
    eager = da.scat.synthesize(**kwargs)
    for size in (1, 2):
        lazy, history = da.chunk(time=size).scat.synthesize(return_history=True, **kwargs)
        assert lazy.chunks is not None
        assert lazy.chunksizes["time"][0] == size
        assert "final_loss" not in lazy.attrs
        np.testing.assert_array_equal(lazy, eager)
        assert dict(history.loss.sizes) == {"time": 3, "level": 2, "iteration": 5}
        assert (history.loss.diff("iteration") <= 0).all()
    assert abs(eager[0] - eager[2] / 2).max() > 0.1  # other noise


def test_sphere_keeps_index_and_missing_cells():
    da = healpix(3).where(np.arange(768) > 20)
    new = da.scat.synthesize(J=1, seed=1, max_iter=5)
    assert new.dggs.grid_info.level == 3
    np.testing.assert_array_equal(new.isnull(), da.isnull())


def test_update_initial_mask():
    da = plane().astype("float32")
    kwargs = {"J": 2, "boundary": "periodic", "seed": 1, "max_iter": 8}
    move = xr.zeros_like(da, dtype=bool)
    move[10:20] = True
    new = da.scat.synthesize(update=move, **kwargs)
    np.testing.assert_array_equal(new.where(~move), da.where(~move))
    assert abs(new - da).where(move).max() > 0.1
    same = da.scat.synthesize(initial=da, **kwargs)
    np.testing.assert_allclose(same, da, rtol=1e-4)
    other = da.where(~move, 1e6)
    masked = other.scat.synthesize(mask=~move, **(kwargs | {"J": 1}))
    assert masked.max() < 1000
    assert masked.notnull().all()


def test_from_statistics():
    da = plane()
    stats = da.scat.covariance(J=2, boundary="periodic", variance=True)
    new = xscat.synthesize(stats, like=da, seed=1, tol=0.15)
    assert new.attrs["final_loss"][-1] <= 0.15**2
    np.testing.assert_allclose(new.std(), da.std(), rtol=0.1)
    with pytest.raises(ValueError, match="like="):
        xscat.synthesize(stats)
    with pytest.raises(ValueError, match="reduction="):
        xscat.synthesize(stats.scat.iso_mean(), like=da)


def test_reference_and_gaussianize():
    da, other = plane(), plane(seed=3)
    mixed = da + other
    kwargs = {"J": 2, "boundary": "periodic", "seed": 1, "max_iter": 100, "steps": 2}
    alone = da.scat.synthesize(**kwargs)
    new = da.scat.synthesize(cross_with=mixed, **kwargs)

    def together(x):
        return np.corrcoef(x.values.ravel(), mixed.values.ravel())[0, 1]

    assert together(da) > 0.5
    assert abs(together(new) - together(da)) < 0.1 < abs(together(alone) - together(da))
    gaussian = da.scat.synthesize(gaussianize=True, **kwargs)
    assert gaussian.min() > 0


def test_gaussianize_is_invertible():
    da = plane()
    gaussian, transform = da.scat.gaussianize()
    np.testing.assert_allclose(transform.inverse(gaussian), da, rtol=1e-12)
    assert abs(gaussian.mean()) < 1e-10
    np.testing.assert_allclose(gaussian.std(), 1, rtol=0.02)


def test_upsample():
    da = plane(16).assign_coords(x=np.arange(16) * 0.5, y=np.arange(16) * 0.5)
    new = da.scat.synthesize(J=2, boundary="periodic", upsample=1, seed=1, max_iter=30)
    assert new.shape == (32, 32)
    np.testing.assert_allclose(new.x, np.arange(32) * 0.5)


def test_interruption_keeps_what_was_found():
    losses = []

    def callback(level, iteration, loss):
        losses.append((level, loss))
        if level == 0 and iteration == 5:
            raise KeyboardInterrupt

    kwargs = {"J": 2, "boundary": "periodic", "seed": 1}
    new = plane().scat.synthesize(callback=callback, **kwargs)
    assert new.attrs["stopped"][-1] == "interrupted"
    assert new.attrs["final_loss"][-1] <= min(loss for level, loss in losses if level == 0)
    assert new.notnull().all()


def test_torch_optimizer_agrees():
    kwargs = {"J": 2, "boundary": "periodic", "seed": 1, "tol": 0.2, "steps": 1}
    for optimizer in ("scipy", "torch"):
        new = plane().scat.synthesize(optimizer=optimizer, **kwargs)
        assert new.attrs["stopped"] == ["tolerance"]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"match": "all"}, "match"),
        ({"optimizer": "adam"}, "optimizer"),
        ({"realizations": 0}, "realizations"),
        ({"reduction": "iso"}, "iso_mean"),
        ({"reduction": "fft_ang", "nharm": 5}, "nharm"),
        ({"upsample": -1}, "upsample"),
    ],
)
def test_errors(kwargs, message):
    with pytest.raises(ValueError, match=message):
        plane().scat.synthesize(J=2, **kwargs)


def test_interruption_of_the_first_of_several():
    def callback(level, iteration, loss):
        if iteration == 5:
            raise KeyboardInterrupt

    kwargs = {"J": 2, "boundary": "periodic", "seed": 1, "realizations": 2}
    new, history = plane().scat.synthesize(callback=callback, return_history=True, **kwargs)
    assert new.attrs["stopped"] == ["interrupted"] * 2
    assert int(history.iterations.max()) <= 5
    assert new.notnull().all()


def test_part_of_a_sphere_with_a_ragged_edge():
    cells = np.sort(healpy.query_disc(32, healpy.ang2vec(0.9, 0.3), np.deg2rad(40), nest=True))
    assert (np.unique(cells // 4, return_counts=True)[1] < 2).any()
    new = healpix(5, cells).scat.synthesize(J=2, seed=1, tol=0.15)
    assert new.notnull().all()
    assert new.attrs["final_loss"][-1] <= 0.15**2


def test_uniform_weights():
    da = plane()
    kwargs = {"J": 2, "boundary": "periodic"}
    new = da.scat.synthesize(use_variance=False, seed=1, max_iter=60, **kwargs)
    power = [x.scat.covariance(**kwargs).S2 for x in (da, new)]
    np.testing.assert_allclose(power[1], power[0], rtol=0.1)


def test_statistics_of_selected_scales_have_coarser_levels_too():
    field = plane(32, 32)
    stats = field.scat.covariance(3, boundary="periodic", max_delta_j=1)
    new, history = stats.scat.synthesize(
        like=field, seed=0, max_iter=3, steps=3, return_history=True
    )
    assert history.sizes["level"] == 3
    assert np.isfinite(new).all()
