"""Inverse problems and loss terms."""

import numpy as np
import pytest
import torch
import xarray as xr

import xscat
from test_synthesis import healpix, plane
from xscat import terms

KWARGS = {"J": 2, "boundary": "periodic", "seed": 1, "max_iter": 40}


def gaps(da):
    hole = xr.zeros_like(da, dtype=bool)
    hole[5:12, 8:15] = True
    return da.where(~hole), hole


def test_inpaint_keeps_the_rest():
    da = plane()
    gappy, hole = gaps(da)
    filled = gappy.scat.inpaint(**KWARGS)
    np.testing.assert_array_equal(filled.where(~hole), gappy)
    assert filled.notnull().all()
    some = gappy.scat.inpaint(update=hole & (hole.y < 9), **(KWARGS | {"max_iter": 3}))
    assert some.isnull().sum() == (hole & (hole.y >= 9)).sum()


def test_inpaint_with_given_statistics_lazily():
    da = plane()
    gappy, _ = gaps(da)
    stats = da.scat.covariance(J=2, boundary="periodic")
    xscat.inpaint(gappy, stats, seed=1, max_iter=3)
    xscat.inpaint(gappy, da, **(KWARGS | {"max_iter": 3}))
    lazy = gappy.expand_dims(time=2).chunk(time=1).scat.inpaint(**(KWARGS | {"max_iter": 2}))
    assert lazy.chunks is not None
    assert lazy.notnull().all()


def test_inpaint_restores_small_scales():
    da = np.log(plane(64, seed=2))
    hole = xr.zeros_like(da, dtype=bool)
    hole[10:40, 10:40] = True
    gappy = da.where(~hole)
    kwargs = KWARGS | {"J": 3}
    filled = gappy.scat.inpaint(**kwargs)
    smooth = gappy.scat.inpaint(**(kwargs | {"max_iter": 1, "steps": 1}))
    inside = {"y": slice(14, 36), "x": slice(14, 36)}

    def small_scales(x):
        return float((x.isel(inside).diff("x") ** 2).mean())

    truth = small_scales(da)
    assert abs(np.log(small_scales(filled) / truth)) < 0.5 * abs(
        np.log(small_scales(smooth) / truth)
    )


TERMS = {
    "spectrum": lambda da, rest: terms.PowerSpectrum(da),
    "histogram": lambda da, rest: terms.Histogram(da),
    "pixels": lambda da, rest: terms.Pixels(da, 0.5),
    "statistics": lambda da, rest: terms.Statistics(da),
    "cross": lambda da, rest: terms.Cross(rest, da),
    "no cross": lambda da, rest: terms.Cross(rest),
    "noise": lambda da, rest: terms.Noise(da, xr.concat([rest, rest], "member")),
    "function": lambda da, rest: lambda fields, context: (fields**2).mean(),
}


@pytest.mark.parametrize("name", TERMS)
@pytest.mark.parametrize("grid", ["plane", "sphere"])
def test_gradients_of_terms(name, grid):
    from xscat.synthesis.fields import grid_and_task
    from xscat.synthesis.mapping import frames
    from xscat.synthesis.solve import engine_of
    from xscat.synthesis.task import Context, prepared

    da, rest = (plane(24), plane(24, 1)) if grid == "plane" else (healpix(3), healpix(3, seed=1))
    _, task, _ = grid_and_task(da, 2, boundary="periodic")
    levels = task.levels
    n = int(np.prod(levels[1].grid.shape))
    engine, frame = engine_of(levels[1], task.settings), frames(da, da, task)[1]
    context = Context(1, levels, engine, np.ones(n, bool), float(da.mean()), 2.0, frame)
    loss = prepared(TERMS[name](da, rest), context)
    generator = torch.Generator().manual_seed(1)
    u, d = torch.randn(2, 2, n, dtype=torch.float64, generator=generator)
    u.requires_grad_()
    (gradient,) = torch.autograd.grad(loss(u), u)
    h = 1e-6
    with torch.no_grad():
        difference = (loss(u + h * d) - loss(u - h * d)) / (2 * h)
    np.testing.assert_allclose((gradient * d).sum().item(), difference.item(), rtol=1e-5)


def test_terms_pull_the_field():
    da = plane()
    kwargs = KWARGS | {"max_iter": 60}
    new = da.scat.synthesize(terms=[terms.Histogram(da)], **kwargs)
    np.testing.assert_allclose(np.sort(new.values.ravel()), np.sort(da.values.ravel()), atol=0.5)
    pulled = da.scat.synthesize(terms=[terms.Pixels(da, 0.01)], **kwargs)
    assert np.corrcoef(pulled.values.ravel(), da.values.ravel())[0, 1] > 0.95
