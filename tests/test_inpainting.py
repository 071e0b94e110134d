"""Inpainting: frozen cells, values and statistics in gaps whose truth is known."""

import healpy
import numpy as np
import xarray as xr

import xscat
from helpers import sphere, texture
from xscat.grids import find_grid
from xscat.synthesis.harmonic import harmonic


def clouds(level, share, seed=0):
    """Scattered gaps of all sizes: the highest values of a smooth random field on nested cells."""
    nside = 2**level
    l, m = healpy.Alm.getlm(3 * nside - 1)
    rng = np.random.default_rng(seed)
    alm = rng.normal(size=l.size) + 1j * np.where(m > 0, rng.normal(size=l.size), 0)
    alm = alm * np.where(l > 3, np.maximum(l, 1) ** -1.1, 0) * np.exp(-((l / nside) ** 2) / 2)
    field = healpy.reorder(healpy.alm2map(alm, nside), r2n=True)
    return field > np.quantile(field, 1 - share)


def disc(level, lon, lat, radius):
    nside = 2**level
    center = healpy.ang2vec(lon, lat, lonlat=True)
    cells = healpy.query_disc(nside, center, np.deg2rad(radius), nest=True)
    return np.isin(np.arange(12 * nside**2), cells)


def smooth(gappy, gap):
    return gappy.copy(data=harmonic_values(gappy, gap))


def harmonic_values(gappy, gap):
    grid = find_grid(gappy)
    cells = grid.arrange(gappy.values.reshape(1, *grid.shape))[0]
    update = grid.arrange(gap.values.reshape(1, *grid.shape))[0]
    return grid.restore(harmonic(cells, grid, update)[None])[0]


def rmse(x, truth, gap):
    return float(np.sqrt(((x - truth) ** 2).where(gap).mean()))


def misfit(da, truth, gap, **kwargs):
    """rms of the differences of S1, ..., S4 in the gap, in units of their error bars."""
    mask = xr.where(gap, 1, 1e-6).where(truth.notnull(), 0)
    wanted = truth.scat.covariance(variance=True, mask=mask, **kwargs)
    found = da.scat.covariance(mask=mask, **kwargs)
    result = []
    for name in ("S1", "S2", "S3", "S4"):
        error = wanted[f"{name}_std"]
        square = (abs(found[name] - wanted[name]) ** 2).where(error > 0) / error**2
        result.append(float(np.sqrt(square.where(np.isfinite(square)).mean())))
    return np.array(result)


def check_filling(truth, gap, J, **kwargs):
    """Fill gaps smoothly and by inpaint(): misfits of statistics, and values."""
    gap = gap & truth.notnull()
    gappy = truth.where(~gap)
    filled = gappy.scat.inpaint(J=J, update=gap, seed=1, **kwargs)
    np.testing.assert_array_equal(filled.where(~gap), gappy)
    assert set(filled.attrs["stopped"]) == {"tolerance"}
    flat = smooth(gappy, gap)
    fits = [misfit(x, truth, gap, J=J, **kwargs) for x in (flat, filled)]
    return fits, [rmse(x, truth, gap) for x in (flat, filled)]


def test_sea_surface_temperature():
    sst = xscat.tutorial.open_dataset("sst").sst.isel(time=0).load()
    gap = sst.copy(data=disc(6, -140, -25, 15) | clouds(6, 0.06))
    (flat, filled), (error_flat, error) = check_filling(sst, gap, 4)
    assert error < 0.9 * error_flat
    assert (filled < 0.7 * flat).all()
    assert (filled[:3] < 1).all()
    assert flat[2] > 1.8


def test_skewed_texture_on_a_plane():
    truth = xr.DataArray(texture(96, 96, seed=1), dims=("y", "x"))
    gap = xr.DataArray(texture(96, 96, seed=7), dims=("y", "x")) > 2.5
    gap[30:64, 30:64] = True
    (flat, filled), (error_flat, error) = check_filling(truth, gap, 3, boundary="periodic")
    # a field of the same law that knows nothing of this one would be 2**0.5 off
    assert error < 2**0.5 * error_flat
    assert (filled[:3] < 2**0.5).all()
    assert (flat[:3] > (8, 4, 2.5)).all()


def test_skewed_texture_on_a_sphere():
    truth = sphere(5, seed=1)
    gap = truth.copy(data=disc(5, 30, 20, 15) | clouds(5, 0.06))
    (flat, filled), (error_flat, error) = check_filling(np.log(truth), gap, 3)
    assert error < 1.15 * error_flat
    assert (filled[:3] < 1.25).all()
    assert (flat[:2] > (3.5, 2.2)).all()


def test_realizations_differ_in_gaps_only():
    truth = xr.DataArray(texture(48, 48, seed=1), dims=("y", "x"))
    gap = xr.zeros_like(truth, dtype=bool)
    gap[10:30, 10:30] = True
    kwargs = {"J": 2, "boundary": "periodic", "seed": 1}
    new = truth.where(~gap).scat.inpaint(realizations=2, **kwargs)
    assert (new[0] != new[1]).where(gap, True).all()
    np.testing.assert_array_equal(new[0].where(~gap), truth.where(~gap))
    whole = truth.scat.inpaint(**kwargs)
    np.testing.assert_array_equal(whole, truth)


def test_land_does_not_spoil_coarse_levels():
    land = disc(5, 100, 0, 40) | disc(5, -60, 0, 25)
    truth = (np.log(sphere(5, seed=1)) + 5).where(~land)
    gap = truth.copy(data=disc(5, 30, 20, 15)) & truth.notnull()
    filled = truth.where(~gap).scat.inpaint(truth, J=3, update=gap, seed=1, max_iter=100, tol=0.1)
    assert len(filled.attrs["final_loss"]) == 3
    assert max(filled.attrs["final_loss"]) <= 0.1**2
    np.testing.assert_array_equal(filled.where(~gap), truth.where(~gap))
