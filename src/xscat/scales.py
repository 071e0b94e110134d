"""Reductions and extensions along the scales, at fixed ratios of scales."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr

from ._layout import (
    RATIOS,
    SCALES,
    abs2,
    along_diagonals,
    base_name,
    describe,
    integer_attr,
    is_cross,
    is_std,
    rebuild,
    reductions_of,
    scale_dims,
    take,
)
from ._operation import check_free, operation
from ._states import refuse
from .errors import check_choice

Operation = Callable[[xr.DataArray, xr.DataArray], xr.DataArray]


@operation
def mean_over_scales(ds: xr.Dataset, at: str = "ratio") -> xr.Dataset:
    """Average over the scales at fixed ratios: scale-invariant statistics.

    S1, S2 (j1) lose j1; S3 (j1, j2) gets the dimension dj12 = j2 - j1; S4 (j1, j2, j3) gets dj12
    and dj13 = j3 - j1. The mean runs over the j1 for which all scales are there. It is meant
    for normalized statistics: others are dominated by the scales with most power. Standard
    deviations ``*_std`` become upper bounds, Σ σ / n, those of a mean of fully correlated values.

    Parameters
    ----------
    ds : Dataset
        statistics with all of their scales.
    at : {"ratio"}
        what is kept fixed.

    Returns
    -------
    Dataset
        dj12, dj13 run from 0 to J-1; dj12 of two fields from -(J-1). ``ratio_dj12``,
        ``ratio_dj13`` are the ratios of wavelengths, 2**dj12, 2**dj13. Units do not change.

    Raises
    ------
    ValueError
        if only some of the scales are there, or for another `at`.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> ds = xr.Dataset({"S3": (("j1", "j2"), [[1.0, 5.0], [np.nan, 2.0]])})
    >>> mean_over_scales(ds).S3.values
    array([1.5, 5. ])
    """
    check_choice("at", at, ["ratio"])

    def mean(var: xr.DataArray, there: xr.DataArray) -> xr.DataArray:
        # NaN among what the statistic is a mean of: no bound is known
        number = there.sum("j1").astype(var.real.dtype)
        total = var.where(there, 0).sum("j1", skipna=False)
        return (total / number.clip(1)).where(number > 0)

    return _over_ratios(ds, mean, "mean over scales", "mean_over_scales")


@operation
def scale_ft(ds: xr.Dataset) -> xr.Dataset:
    """Cosine transform along the scales at fixed ratios.

    At fixed dj12 = j2 - j1, dj13 = j3 - j1 the n values along j1 are replaced by their
    orthonormal discrete cosine transform (DCT-II), along the dimension ``scale_harmonic``::

        sqrt((2 - δ_k0) / n) Σ_j1 x[j1] cos(π k (j1 + 1/2) / n)     k = 0, ..., n-1

    j1 being counted from the first for which all scales are there. Smooth dependence on scale
    ends in the first few numbers. Number 0 is sqrt(n) times `mean_over_scales`. Standard
    deviations ``*_std`` become upper bounds, ``Σ |A| σ`` for the transform Σ A x.

    Parameters
    ----------
    ds : Dataset
        statistics with all of their scales.

    Returns
    -------
    Dataset
        with the dimensions scale_harmonic (0..J-1), dj12, dj13; NaN where scale_harmonic >= n,
        n = J - max(dj12, dj13). Units do not change.

    Raises
    ------
    ValueError
        if only some of the scales are there.

    Examples
    --------
    >>> import xarray as xr
    >>> scale_ft(xr.Dataset({"S1": ("j1", [1.0, 1.0, 1.0, 1.0])})).S1.values.round(12) + 0.0
    array([2., 0., 0., 0.])
    """
    check_free(ds, "scale_ft", "scale_harmonic")
    return _over_ratios(ds, _cosine_transform, "cosine transform over scales", "scale_ft")


@operation
def interp_scales(ds: xr.Dataset, J: int, side: str = "coarse") -> xr.Dataset:
    """Extend statistics to J scales by extrapolation, or cut them to J.

    One scale is added after the other. Moduli are extrapolated log-linearly from the two
    last scales, at fixed ratios j2 - j1, j3 - j1 and fixed orientations; phases (signs) are kept.
    Coefficients with ratios that were not there before are extrapolated along the scales
    that move, at the inner scale that cannot. A power law in every scale is continued exactly.

    Parameters
    ----------
    ds : Dataset
        statistics with all of their scales, two or more to extend.
    J : int
        the number of scales to get.
    side : {"coarse", "fine"}
        where scales are added or cut. "coarse": behind the last, on the same grid. "fine": before
        the first, as for a grid of higher resolution. What was j is then j + J - ds.J, and
        the attributes ``level``, ``nside`` and ``spacing`` follow.

    Returns
    -------
    Dataset
        with J scales, ``wavelength_*`` continued. The units do not change.

    Raises
    ------
    ValueError
        if there are no two scales to extrapolate from, if only some of the scales are
        there, or if S1, S2 are logarithms.

    Examples
    --------
    >>> import xarray as xr
    >>> interp_scales(xr.Dataset({"S1": ("j1", [1.0, 3.0])}), J=4).S1.values
    array([ 1.,  3.,  9., 27.])
    """
    check_choice("side", side, ("coarse", "fine"))
    refuse(ds, "interp_scales", "logarithm", "as_real")
    if "phase" in reductions_of(ds):
        raise ValueError("angles cannot be extrapolated: call interp_scales() before phase()")
    scales = {str(n): scale_dims(v) for n, v in ds.data_vars.items()}
    old = max((ds.sizes[dims[0]] for dims in scales.values() if dims), default=0)
    if J < 1 or old < min(J, 2):
        raise ValueError(f"cannot bring {old} scales to J={J}: extrapolation needs two or more")
    out = {
        n: describe(_resize(ds[n], dims, J, side), ds[n]) if dims else ds[n]
        for n, dims in scales.items()
    }
    coords = {n: _resize(c, list(c.dims), J, side) for n, c in ds.coords.items() if _is_scale(c)}
    for d in [d for d in SCALES if d in ds.coords]:
        coords[d] = xr.DataArray(np.arange(J), dims=d, attrs=ds[d].attrs)
    result = rebuild(ds.drop_dims([d for d in SCALES if d in ds.dims]), out)
    result = result.assign_coords(coords)
    if "J" in ds.attrs:
        result.attrs["J"] = J
    finer = J - old if side == "fine" else 0
    level, spacing = integer_attr(ds, "level"), ds.attrs.get("spacing")
    if level is not None:
        result.attrs["level"] = level + finer
        result.attrs |= {"nside": 2 ** (level + finer)} if "nside" in ds.attrs else {}
    if isinstance(spacing, int | float | np.number):
        result.attrs["spacing"] = float(spacing) / 2**finer
    return result


# ---------------------------------------------------------------------------------------------


def _over_ratios(ds: xr.Dataset, operation: Operation, note: str, reduction: str) -> xr.Dataset:
    """Apply a reduction over j1 at fixed ratios to every variable with scales.

    A standard deviation is that of the elements of its statistic that are there.
    """
    out, cross = {}, is_cross(ds)
    for key, var in ds.data_vars.items():
        if scale_dims(var):
            values = _at_ratios(var, cross)
            std = is_std(str(key))
            base = base_name(str(key)) if std and base_name(str(key)) in ds else str(key)
            there = (values if base == key else _at_ratios(ds[base], cross)).notnull()
            there = there.all([d for d in there.dims if d not in values.dims])
            var = describe(operation(values, there), var, note, bound=std)
        out[str(key)] = var
    return rebuild(ds, out, reduction)


def _at_ratios(var: xr.DataArray, cross: bool) -> xr.DataArray:
    """A statistic by first scale and ratios: (j1, j2, j3) → (j1, dj12, dj13), NaN outside."""
    dims = scale_dims(var)
    size = var.sizes["j1"]
    offsets = {}
    for dim in dims[1:]:
        new = dim.replace("j", "dj1")
        labels = np.arange(1 - size if cross and dim == "j2" else 0, size)
        steps = xr.Variable(new, labels, {"long_name": f"{dim} - j1"})
        ratio = xr.Variable(
            new, 2.0**labels, {"units": "1", "long_name": f"ratio of wavelengths {dim} / j1"}
        )
        offsets[dim] = xr.DataArray(steps, coords={new: steps, f"ratio_{new}": ratio})
    out, positions = along_diagonals(var, "j1", offsets)
    for position in positions.values():
        out = out.where((position >= 0) & (position < size))
    return out


def _cosine_transform(var: xr.DataArray, there: xr.DataArray) -> xr.DataArray:
    """Σ_j1 C x, C the DCT-II of the n scales at each ratio; of standard deviations Σ |C| σ."""
    size = var.sizes["j1"]
    first, last = xr.DataArray(0), xr.DataArray(size - 1)
    for dim in [d for d in RATIOS if d in var.dims]:
        step = var[dim].reset_coords(drop=True)
        first = xr.ufuncs.maximum(first, -step)
        last = xr.ufuncs.minimum(last, size - 1 - step)
    n = last - first + 1
    k = xr.DataArray(np.arange(size), dims="scale_harmonic", coords={"scale_harmonic": range(size)})
    k.scale_harmonic.attrs["long_name"] = "number of the cosine over scales"
    j = xr.DataArray(np.arange(size), dims="j1")
    length = n.clip(1)
    cosine = (
        xr.ufuncs.cos(np.pi * k * (j - first + 0.5) / length) * ((2 - (k == 0)) / length) ** 0.5
    )
    cosine = abs(cosine) if is_std(str(var.name)) else cosine
    matrix = cosine.where((j >= first) & (j <= last), 0).astype(var.real.dtype)
    complete = ((var.notnull() & there).sum("j1") == n) & (k < n)
    out = xr.dot(var.fillna(0), matrix, dim="j1").where(complete)
    return out.transpose(*("scale_harmonic" if d == "j1" else d for d in var.dims))


def _is_scale(coord: xr.DataArray) -> bool:
    """Whether a coordinate, no index, belongs to one scale dimension: wavelength_j1."""
    return coord.name not in SCALES and len(coord.dims) == 1 and coord.dims[0] in SCALES


def _resize(var: xr.DataArray, dims: list[str], J: int, side: str) -> xr.DataArray:
    """Cut or extrapolate a variable along its scale dimensions; drops their coordinates."""
    var = var.drop_vars([n for n, c in var.coords.items() if set(c.dims) & set(dims)])
    size = var.sizes[dims[0]]
    kept = slice(0, J) if side == "coarse" else slice(max(size - J, 0), size)
    var = var.isel(dict.fromkeys(dims, kept))
    flip = {d: slice(None, None, 1 if side == "coarse" else -1) for d in dims}
    for _ in range(J - size):
        var = _add_scale(var.isel(flip), dims).isel(flip)
    return var


def _add_scale(var: xr.DataArray, dims: list[str]) -> xr.DataArray:
    """Continue a variable by one scale at the end of its scale dimensions.

    A new element follows x[source], one step back in every dimension that can go back. It grows
    as the last pair of elements that differ by the same step.
    """
    size = var.sizes[dims[0]]
    place = {d: xr.DataArray(np.arange(size + 1), dims=d) for d in dims}
    new = xr.DataArray(False)
    for d in dims:
        new = new | (place[d] == size)
    source = {d: xr.where(new, (j - 1).clip(0), j) for d, j in place.items()}
    step = {d: place[d] - source[d] for d in dims}
    last = {d: xr.where(step[d] > 0, source[d].clip(1), source[d]) for d in dims}
    before = {d: last[d] - step[d] for d in dims}
    growth = xr.ufuncs.sqrt(abs2(take(var, last)) / abs2(take(var, before)))
    return (take(var, source) * growth.where(new, 1)).transpose(*var.dims)
