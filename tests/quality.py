"""How good a synthesis is, by statistics that it was not asked for; and fields to try it on."""

from functools import cache

import healpy
import numpy as np
import xarray as xr

import xscat
from helpers import healpix

THIRD = 2 ** (1 / 3)
PERCENT = np.arange(1, 100)
THRESHOLDS = np.arange(5, 100, 10)  # percentiles of the target


# Fields


def wave_numbers(n):
    """Cycles per field on an n x n plane, as `rfft2` has them."""
    return np.hypot(n * np.fft.fftfreq(n)[:, None], n * np.fft.rfftfreq(n))


def gaussian_values(n, amplitude, rng):
    """Periodic Gaussian field of variance 1, with amplitude(cycles per cell)."""
    spectrum = np.fft.rfft2(rng.normal(size=(n, n))) * amplitude(wave_numbers(n) / n)
    spectrum[0, 0] = 0
    field = np.fft.irfft2(spectrum, s=(n, n))
    return field / field.std()


@cache
def lognormal(n, seed=0):
    """Periodic, skewed, correlated over a few cells, with a power law below that."""
    rng = np.random.default_rng(seed)
    g = gaussian_values(n, lambda k: (1 + (k / 0.04) ** 2) ** -0.75, rng)
    return xr.DataArray(np.exp(0.7 * g), dims=("y", "x"))


@cache
def turbulence(n, seed=0, steps=150):
    """Vorticity of a decaying two-dimensional flow: vortices and filaments, intermittent."""
    rng = np.random.default_rng(seed)
    m, dt = 3 * n // 2, 0.1  # a finer grid, against aliasing; vorticity has the variance 1
    k = wave_numbers(m)
    ky, kx = 1j * m * np.fft.fftfreq(m)[:, None], 1j * m * np.fft.rfftfreq(m)
    damping = np.exp(-2 * dt * (2 * k / n) ** 4)
    keep = k <= n / 2
    k[0, 0] = np.inf
    start = gaussian_values(m, lambda q: np.exp(-6 * (12 * m / n * q - 1) ** 2), rng)
    w = np.fft.rfft2(start)

    def tendency(w):
        psi = -w / k**2
        u, v, wx, wy = (np.fft.irfft2(f, s=(m, m)) for f in (-ky * psi, kx * psi, kx * w, ky * w))
        return -np.fft.rfft2(u * wx + v * wy) * keep

    for _ in range(steps):
        a = tendency(w)
        b = tendency(w + dt / 2 * a)
        c = tendency(w + dt / 2 * b)
        d = tendency(w + dt * c)
        w = damping * (w + dt / 6 * (a + 2 * b + 2 * c + d))
    rows = np.r_[: n // 2, m - n // 2 : m]
    return xr.DataArray(np.fft.irfft2(w[rows, : n // 2 + 1], s=(n, n)), dims=("y", "x"))


@cache
def lognormal_sphere(level, seed=0):
    """Skewed field on the whole sphere, correlated over a few cells."""
    nside = 2**level
    l = np.arange(3 * nside)
    alm = np.random.default_rng(seed).normal(size=(2, healpy.Alm.getsize(l[-1])))
    alm = alm[0] + 1j * np.where(np.arange(alm.shape[1]) > l[-1], alm[1], 0)
    g = healpy.alm2map(healpy.almxfl(alm, (1 + (l / (0.25 * nside)) ** 2) ** -0.75), nside)
    return healpix(healpy.reorder(np.exp(0.7 * g / g.std()), r2n=True), level)


def sst(level):
    """Sea-surface temperature on all of the oceans; coarser than level 6 by averages."""
    field = xscat.tutorial.open_dataset("sst").sst[0].load()
    if level == 6:
        return field
    values = field.values.reshape(12 * 4**level, -1).mean(1)  # land where any cell is land
    return healpix(values, level)


def dem(n):
    return xscat.tutorial.open_dataset("dem").elevation[40 : 40 + n, 40 : 40 + n].astype(float)


def brightness(n):
    field = xscat.tutorial.open_dataset("brightness").brightness.astype(float)
    whole = field.notnull().values
    for y in range(0, field.sizes["y"] - n + 1, 4):
        for x in range(0, field.sizes["x"] - n + 1, 4):
            if whole[y : y + n, x : x + n].all():
                return field[y : y + n, x : x + n]
    raise ValueError("there is no such part without missing values")


def gaussian_like(da, periodic=False, seed=0):
    """Gaussian field of the same spectrum, mean and variance: random phases."""
    values = da.values
    hole = np.isnan(values)
    mean, std = np.nanmean(values), np.nanstd(values)
    x = np.where(hole, 0, values - mean)
    rng = np.random.default_rng(seed)
    if da.ndim == 2:
        n = len(x)
        x = x if periodic else np.pad(x, [(0, n), (0, n)], mode="symmetric")
        phases = np.fft.rfft2(rng.normal(size=x.shape))
        new = np.fft.irfft2(abs(np.fft.rfft2(x)) * phases / abs(phases), s=x.shape)[:n, :n]
    else:
        nside = healpy.npix2nside(len(x))
        noise = rng.normal(size=x.shape)
        wanted, given = (healpy.map2alm(healpy.reorder(m, n2r=True)) for m in (x, noise))
        gain = np.sqrt(healpy.alm2cl(wanted) / healpy.alm2cl(given))
        new = healpy.reorder(healpy.alm2map(healpy.almxfl(given, gain), nside), r2n=True)
    new = np.where(hole, np.nan, new)
    return da.copy(data=mean + std * (new - np.nanmean(new)) / np.nanstd(new))


# Measures


def periodic_part(x):
    """What is left of a plane without the smoothest field that has its jumps at the borders.

    Moisan 2011, *Periodic plus smooth image decomposition*. All cells weigh alike, unlike those
    under a taper.
    """
    jumps = np.zeros(x.shape)
    for axis in (0, 1):
        y = np.moveaxis(jumps, axis, 0)
        jump = np.take(x, 0, axis) - np.take(x, -1, axis)
        y[0] += jump
        y[-1] -= jump
    ky, kx = (
        2 * np.pi * f(n) for f, n in zip((np.fft.fftfreq, np.fft.rfftfreq), x.shape, strict=True)
    )
    laplacian = 4 - 2 * np.cos(ky)[:, None] - 2 * np.cos(kx)
    laplacian[0, 0] = np.inf
    return x - np.fft.irfft2(np.fft.rfft2(jumps) / laplacian, s=x.shape)


def spectrum(da, periodic=False):
    """Mean power in third-octave bins above the lowest octave, and their wave numbers.

    In cycles per field, up to the Nyquist wave number; or l up to 2 nside. Of planes that are not
    periodic, that of the periodic part.
    """
    x = np.nan_to_num(da.values - np.nanmean(da.values))
    if da.ndim == 1:
        nside = healpy.npix2nside(len(x))
        power = healpy.anafast(healpy.reorder(x, n2r=True), lmax=2 * nside)
        k = np.arange(len(power)).astype(float)
        weights = 2 * k + 1
    else:
        n = len(x)
        x = x if periodic else periodic_part(x)
        power = abs(np.fft.rfft2(x)) ** 2
        k = wave_numbers(n)
        weights = np.where((np.arange(k.shape[1]) % (n // 2)) > 0, 2.0, 1.0) + 0 * k
        # the last bin has the Nyquist wave number as well: there are but two such waves
        k = np.where(k > n / 2, 0, np.minimum(k, n / 2 - 0.01))
    with np.errstate(divide="ignore"):
        bins = np.floor(3 * np.log2(k) + 1e-9)
    numbers = np.arange(3, bins.max() + 1)
    inside = [weights * (bins == i) for i in numbers]
    inside = [w for w in inside if w.any()]
    return (
        np.array([(w * k).sum() / w.sum() for w in inside]),
        np.array([(w * power).sum() / w.sum() for w in inside]),
    )


def spectrum_error(fields, target, periodic=False):
    """Departures log10 P / P(target), (fields, bins)."""
    wanted = spectrum(target, periodic)[1]
    return np.log10([spectrum(f, periodic)[1] / wanted for f in fields])


def quantile_error(fields, target):
    """Departures of the percentiles 1..99, in standard deviations, (fields, percentiles)."""
    wanted = np.nanpercentile(target, PERCENT)
    return np.array([np.nanpercentile(f, PERCENT) - wanted for f in fields]) / float(target.std())


@cache
def around(shape, periodic):
    """The eight cells around each, an edge first, then a corner, ...; -1 where there is none."""
    if len(shape) == 1:
        nside = healpy.npix2nside(*shape)
        return healpy.get_all_neighbours(nside, np.arange(*shape), nest=True).T
    steps = [(0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1)]
    cells = np.pad(np.arange(shape[0] * shape[1]).reshape(shape), 1, constant_values=-1)
    if periodic:
        cells = np.pad(cells[1:-1, 1:-1], 1, mode="wrap")
    inner = [cells[1 + y : 1 + y + shape[0], 1 + x : 1 + x + shape[1]].ravel() for y, x in steps]
    return np.stack(inner, -1)


def minkowski(da, levels, periodic=False):
    """Area, boundary and Euler number of the cells above some levels, per cell: (3, levels).

    Cells are closed: the Euler number is that of corners - edges + cells. The border of the valid
    cells is no boundary.
    """
    table = around(da.shape, periodic)
    there = table >= 0
    corner_is_there, next_edge_is_there = there[:, 1::2], np.roll(there[:, ::2], -1, 1)
    shared = 1 + there[:, ::2]
    meeting = 1 + there[:, ::2] + corner_is_there + next_edge_is_there
    values = np.append(da.values.ravel(), np.nan)
    valid = ~np.isnan(values)
    result = []
    for level in levels:
        above = values > level
        near, here = above[table] & there, above[:-1, None]
        edge, corner = near[:, ::2], near[:, 1::2]
        border = (edge != here) & valid[table[:, ::2]] & valid[:-1, None]
        edges = (edge | here) / shared
        corners = (edge | corner | np.roll(edge, -1, 1) | here) / meeting
        euler = corners.sum() - edges.sum() + above.sum()
        result.append((above.sum(), border.sum() / 2, euler))
    return np.array(result).T / valid.sum()


def minkowski_error(fields, target, periodic=False, draws=None):
    """Departure of the mean from the target over the scatter between fields, for each functional.

    The rms over levels of the one over that of the other. It is near 1 if the target is one more
    draw of what the fields are draws of. The scatter is that of other *draws* of the target, if
    there are some.
    """
    levels = np.nanpercentile(target, THRESHOLDS)
    wanted = minkowski(target, levels, periodic)
    found = np.array([minkowski(f, levels, periodic) for f in fields])
    others = found if draws is None else [minkowski(f, levels, periodic) for f in draws]
    scatter = np.var(others, 0, ddof=1) * (1 + 1 / len(fields))
    return np.sqrt(((found.mean(0) - wanted) ** 2).mean(1) / scatter.mean(1))


def residual(new, target, parameters):
    """rms of (Φ(u) - Φ(d)) / σ over all statistics and the mean, from `covariance` of both."""
    kwargs = {"J": parameters.J, "L": parameters.L, "boundary": parameters.boundary}
    found = new.scat.covariance(**kwargs)
    wanted = target.scat.covariance(variance=True, **kwargs)
    square = count = 0
    for name in ("S1", "S2", "S3", "S4"):
        with np.errstate(invalid="ignore", divide="ignore"):
            r = (abs(found[name] - wanted[name]) / wanted[f"{name}_std"]).values
        r = r[np.isfinite(r)]
        square, count = square + (r**2).sum(), count + r.size
    return np.sqrt(square / count)


def rms(x, axis=None):
    return np.sqrt(np.mean(np.square(x), axis))
