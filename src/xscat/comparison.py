"""Comparison of statistics: distances, significance, selection."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr

from ._layout import (
    abs2,
    base_name,
    describe,
    is_std,
    leading_dims,
    rebuild,
    require,
    statistics_of,
)
from ._operation import operation
from ._states import matched, refuse
from .errors import check_choice


@operation
def distance(
    ds: xr.Dataset,
    other: xr.Dataset,
    sigma: xr.Dataset | float | None = None,
    statistics: Iterable[str] | None = None,
) -> xr.DataArray:
    """Mean squared difference of two sets of statistics, ``Σ |a - b|² / σ² / N``.

    The sums run over all coefficients of all statistics that are in both; complex ones count
    with ``|z|²``. Coefficients that are NaN on either side, as outside the scale triangle, do not
    count. Datasets with different numbers of scales are compared on the scales that both have.

    Parameters
    ----------
    ds, other : Dataset
        statistics on the same grid with the same L. Leading dimensions of only one of them
        broadcast; those of both must have the same labels.
    sigma : Dataset or float, optional
        standard deviations, under the names of the statistics or with ``_std`` behind. With
        them, only the statistics that have one are compared; coefficients whose standard
        deviation is 0 or NaN do not count. Without, normalize first: statistics in K and
        in K^2 are summed as they are.
    statistics : iterable of str, optional
        names of the variables to compare; default all, ``*_std`` excepted.

    Returns
    -------
    DataArray
        over the leading dimensions (time, ...). No units with `sigma`; NaN where nothing counts.

    Raises
    ------
    ValueError
        for different grids or L, different labels of leading dimensions, missing variables.

    Examples
    --------
    >>> import xarray as xr
    >>> a = xr.Dataset({"S1": ("j1", [1.0, 2.0])})
    >>> distance(a, a + 1, sigma=2.0).item()
    0.25
    """
    for each in (ds, other):
        refuse(each, "distance", "as_real")
    ds, other = matched(ds, other)
    errors = None
    if isinstance(sigma, xr.Dataset):
        ds, sigma = matched(ds, sigma, sigma=True)
        ds, other = matched(ds, other)
        errors = _sigmas(sigma)
    names = _compared(ds, other, errors, statistics)
    lead = {d for each in (ds, other) for d in leading_dims(each, names)}
    total = number = xr.DataArray(0.0)
    with xr.set_options(arithmetic_join="exact"):
        for name in names:
            square = abs2(_plain(ds[name]) - _plain(other[name]))
            if sigma is not None:
                error = xr.DataArray(sigma) if errors is None else errors[name]
                square = square / error.where(error > 0) ** 2
            dims = [d for d in square.dims if d not in lead]
            total = total + square.sum(dims, skipna=True)
            number = number + square.notnull().sum(dims)
    out = (total / number).rename("distance")
    out.attrs = {"long_name": "mean squared difference of the statistics"}
    if sigma is not None:
        out.attrs["units"] = "1"
    return out.assign_coords({n: c for n, c in ds.coords.items() if set(c.dims) <= set(lead)})


@operation
def significant(
    ds: xr.Dataset, sigma: xr.Dataset | float | None = None, snr: float = 3.0
) -> xr.Dataset:
    """Where the statistics exceed `snr` standard deviations, ``|x| > snr σ``.

    Parameters
    ----------
    ds : Dataset
    sigma : Dataset or float, optional
        standard deviations, under the names of the statistics or with ``_std`` behind. Default:
        the variables ``*_std`` of `ds`.
    snr : float
        signal to noise ratio to exceed.

    Returns
    -------
    Dataset
        boolean, of the statistics that have a standard deviation; False where NaN. Pass it as
        ``mask`` to `select`.

    Raises
    ------
    ValueError
        if there is no standard deviation of any statistic.

    Examples
    --------
    >>> import xarray as xr
    >>> ds = xr.Dataset({"S1": ("j1", [1.0, 4.0]), "S1_std": ("j1", [1.0, 1.0])})
    >>> significant(ds).S1.values
    array([False,  True])
    """
    refuse(ds, "significant", "logarithm", "as_real")
    if sigma is None:
        sigma = ds[[n for n in ds.data_vars if is_std(str(n))]]
    elif isinstance(sigma, xr.Dataset):
        ds, sigma = matched(ds, sigma, sigma=True)
    if isinstance(sigma, xr.Dataset):
        errors = _sigmas(sigma)
    else:
        errors = dict.fromkeys(statistics_of(ds), xr.DataArray(sigma))
    out = {}
    with xr.set_options(arithmetic_join="exact"):
        for name in _with_sigma(ds, errors):
            where = xr.ufuncs.sqrt(abs2(ds[name])) > snr * errors[name]
            out[name] = describe(where, ds[name], f"above {snr:g} standard deviations")
            out[name].attrs.pop("units", None)
    return rebuild(ds, out)


@operation
def select(
    ds: xr.Dataset,
    mask: xr.Dataset | None = None,
    statistics: Iterable[str] | None = None,
    **labels: Any,
) -> xr.Dataset:
    """Part of the statistics, on the layout that `to_vector` and the synthesis accept.

    Parameters
    ----------
    ds : Dataset
    mask : Dataset, optional
        boolean, as `significant` gives. Statistics are NaN where it is False, and left out where
        it has no variable of their name.
    statistics : iterable of str, optional
        names of the statistics to keep, with their ``*_std``.
    **labels
        labels to keep by dimension, as ``j1=slice(0, 2)`` or ``l1=[0, 2]``. A single label keeps
        its dimension, with length one.

    Returns
    -------
    Dataset
        with the attribute ``statistics`` saying what is left.

    Raises
    ------
    ValueError
        for a variable, a dimension or a label that is not there.

    Examples
    --------
    >>> import xarray as xr
    >>> ds = xr.Dataset({"S1": ("j1", [1.0, 2.0]), "S2": ("j1", [3.0, 4.0])},
    ...                 coords={"j1": [0, 1]})
    >>> select(ds, statistics=["S1"], j1=1).S1.values
    array([2.])
    """
    names = statistics_of(ds, statistics)
    if mask is not None:
        ds, mask = matched(ds, mask, sigma=True, cut=False)
        names = [n for n in names if n in mask]
    if mask is None and statistics is None:
        kept = [str(n) for n in ds.data_vars]
    else:
        kept = [str(n) for n in ds.data_vars if base_name(str(n)) in names]
    part = ds[kept]
    if mask is not None:
        with xr.set_options(arithmetic_join="exact"):
            parts = {n: part[n].where(mask[base_name(n)]) for n in kept}
        part = rebuild(part, {n: describe(v, ds[n]) for n, v in parts.items()})
    for dim, wanted in labels.items():
        part = _labels(part, dim, wanted)
    part.attrs = {**ds.attrs, "statistics": " ".join(n for n in names if n in part)}
    return part


# ---------------------------------------------------------------------------------------------


def _labels(ds: xr.Dataset, dim: str, wanted: Any) -> xr.Dataset:
    """The elements at one label or several; the dimension stays."""
    check_choice("the dimension to select along", dim, map(str, ds.dims))
    try:
        return ds.sel({dim: [wanted] if np.ndim(wanted) == 0 and not _several(wanted) else wanted})
    except (KeyError, IndexError, TypeError, ValueError) as error:
        have = ds[dim].values.tolist()
        raise ValueError(
            f"{dim}={wanted!r} is not among the labels of {dim}: "
            f"{have[:10]}{' ...' if len(have) > 10 else ''}"
        ) from error


def _several(wanted: Any) -> bool:
    return isinstance(wanted, slice | xr.DataArray)


def _plain(var: xr.DataArray) -> xr.DataArray:
    """Without the coordinates that are no index, which need not agree."""
    return var.reset_coords(drop=True)


def _sigmas(sigma: xr.Dataset) -> dict[str, xr.DataArray]:
    """Standard deviations by statistic: the variables ``*_std``, or all if there are none."""
    names = [str(n) for n in sigma.data_vars]
    names = [n for n in names if is_std(n)] or names
    return {base_name(n): _plain(sigma[n]) for n in names}


def _with_sigma(ds: xr.Dataset, errors: dict[str, xr.DataArray]) -> list[str]:
    names = [n for n in statistics_of(ds) if n in errors]
    if not names:
        raise ValueError(no_error(ds))
    return names


def no_error(ds: xr.Dataset) -> str:
    """What to say where no statistic has a standard deviation."""
    dropped = ds.attrs.get("std_dropped")
    why = f" (normalize left out those of {dropped})" if dropped else ""
    return (
        f"no statistic has a standard deviation{why}: compute with variance=True, "
        "or give sigma=, for instance std_over(ensemble, 'realization')"
    )


def _compared(
    ds: xr.Dataset,
    other: xr.Dataset,
    errors: dict[str, xr.DataArray] | None,
    statistics: Iterable[str] | None,
) -> list[str]:
    """The names of the statistics to compare."""
    if statistics is not None:
        names = statistics_of(ds, statistics)
        for name in names:
            require(other, name, "distance (of the other Dataset)")
            if errors is not None and name not in errors:
                raise ValueError(f"sigma has no standard deviation of {name}")
        return names
    names = statistics_of(ds) if errors is None else _with_sigma(ds, errors)
    names = [n for n in names if n in other]
    if not names:
        raise ValueError("the two Datasets have no statistic in common")
    return names
