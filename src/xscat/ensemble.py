"""Statistics of several fields: gather them, their spread, their covariance."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import xarray as xr

from ._layout import SCALES, describe, in_one_chunk, rebuild, spread, statistic_dims, statistics_of
from ._operation import check_free, operation
from ._states import check_alike, in_order_of
from .paths import to_vector


@operation
def concat_realizations(datasets: Iterable[xr.Dataset], over: str = "realization") -> xr.Dataset:
    """Put the statistics of several fields behind one another along a dimension.

    Parameters
    ----------
    datasets : iterable of Dataset
        statistics on the same grid with the same J and L, with or without the dimension.
    over : str
        the dimension, numbered from 0 in the result.

    Returns
    -------
    Dataset
        the dimension comes first. Attributes on which the fields disagree are dropped, and scalar
        coordinates on which they disagree, as ``time``, get the dimension.

    Raises
    ------
    ValueError
        if there is no Dataset, if their variables, grids, parameters or labels differ, or what
        was done to them.

    Examples
    --------
    >>> import xarray as xr
    >>> one = xr.Dataset({"S1": ("j1", [1.0, 2.0])})
    >>> concat_realizations([one, one]).S1.dims
    ('realization', 'j1')
    """
    every = list(datasets)
    if not every:
        raise ValueError("concat_realizations needs at least one Dataset")
    if not isinstance(over, str):
        raise TypeError(f"over={over!r} must be a str, the name of a dimension")
    if any(over in statistic_dims(ds) for ds in every):
        raise ValueError(f"over={over!r} numbers statistics: choose another name")
    first = every[0]
    every = [first, *(_joinable(first, ds, i, over) for i, ds in enumerate(every[1:], 1))]
    every = [ds.drop_vars(over, errors="ignore") for ds in every]
    every = [ds if over in ds.dims else ds.expand_dims(over) for ds in every]
    out = xr.concat(
        _alongside(every, over),
        over,
        data_vars="all",
        coords="minimal",
        compat="override",
        join="exact",
        combine_attrs="drop_conflicts",
    )
    return out.assign_coords({over: np.arange(out.sizes[over])})


def _joinable(first: xr.Dataset, ds: xr.Dataset, number: int, over: str) -> xr.Dataset:
    """A Dataset in the order of the first one, if it holds the same statistics."""
    if set(ds.data_vars) != set(first.data_vars):
        raise ValueError(
            f"Dataset {number} has the variables {sorted(map(str, ds.data_vars))}, "
            f"the first one {sorted(map(str, first.data_vars))}: select() common ones"
        )
    one, other = (
        each.isel({over: 0}, drop=True)
        if over in each.dims
        else each.drop_vars(over, errors="ignore")
        for each in (first, ds)
    )
    check_alike(one, other)
    if any(other.sizes.get(d) != one.sizes[d] for d in SCALES if d in one.dims):
        raise ValueError(f"Dataset {number} has another J: cut with interp_scales(J)")
    for name, var in one.data_vars.items():
        if set(var.dims) != set(other[name].dims):
            raise ValueError(
                f"{name} of Dataset {number} has the dimensions {other[name].dims}, "
                f"that of the first one {var.dims}: select the same in both"
            )
    return in_order_of(ds, first, (over,))


def _alongside(every: list[xr.Dataset], over: str) -> list[xr.Dataset]:
    """Coordinates without dimension on which Datasets disagree, along the new dimension."""
    for name in {n for ds in every for n, c in ds.coords.items() if set(c.dims) <= {over}} - {over}:
        have = [ds.coords.get(name) for ds in every]
        if any(c is None or set(c.dims) - {over} for c in have):
            every = [ds.drop_vars(name, errors="ignore") for ds in every]
        elif any(c.dims or c.chunks or not c.variable.equals(have[0].variable) for c in have):
            every = [
                ds.assign_coords(
                    {name: c if c.dims else c.variable.expand_dims({over: ds.sizes[over]})}
                )
                for ds, c in zip(every, have, strict=True)
            ]
    return every


@operation
def std_over(ds: xr.Dataset, over: str) -> xr.Dataset:
    """Standard deviation of every statistic over a dimension, as ``S1_std``, ``S2_std``, ...

    The sample standard deviation (divisor n - 1), of complex statistics
    ``sqrt(Σ |z - mean|² / (n - 1))``. It serves as ``sigma`` of `distance` and `significant`.

    Parameters
    ----------
    ds : Dataset
    over : str
        a leading dimension: realization, time, ...

    Returns
    -------
    Dataset
        real, without the dimension; units as the statistics. Variables without it and the ``*_std``
        of `ds` are left out.

    Raises
    ------
    ValueError
        if no statistic has the dimension, or if its length is 1.

    Examples
    --------
    >>> import xarray as xr
    >>> std_over(xr.Dataset({"S1": (("time", "j1"), [[1.0], [3.0]])}), "time").S1_std.values
    array([1.41421356])
    """
    names = _varying(ds, over)
    out = {
        f"{n}_std": describe(spread(ds[n], over, ddof=1), ds[n], f"standard deviation over {over}")
        for n in names
    }
    return rebuild(ds, out, std_over=over)


@operation
def covariance_of(
    ds: xr.Dataset, over: str, statistics: Iterable[str] | None = None, dropna: bool = False
) -> xr.DataArray:
    """Covariance between the statistics over a dimension, for likelihoods.

    Parameters
    ----------
    ds : Dataset
        statistics of n fields along the dimension.
    over : str
        a leading dimension: realization, time, ...
    statistics, dropna
        what to take, as in `to_vector`.

    Returns
    -------
    DataArray
        ``(..., path, path_)``, real and symmetric, divisor n - 1. The order and the coordinates are
        those of `to_vector`, on ``path_`` with a "_" behind their names. Its rank is below n, and
        S4 at j1 = j2 has every number twice: reduce and select first, or regularize, to invert.

    Raises
    ------
    ValueError
        if no statistic has the dimension, or if its length is 1.

    Examples
    --------
    >>> import xarray as xr
    >>> ds = xr.Dataset({"S1": (("time", "j1"), [[1.0, 0.0], [3.0, 4.0]])})
    >>> covariance_of(ds, "time").values
    array([[2., 4.],
           [4., 8.]])
    """
    names = [n for n in _varying(ds, over) if statistics is None]
    check_free(ds, "covariance_of", "path_")
    vector = to_vector(ds, names or statistics, dropna)
    out = xr.apply_ufunc(
        _covariance,
        in_one_chunk(vector, over),
        input_core_dims=[[over, "path"]],
        output_core_dims=[["path", "path_"]],
        dask="parallelized",
        output_dtypes=[vector.dtype],
        dask_gufunc_kwargs={"output_sizes": {"path_": vector.sizes["path"]}},
    )
    along = {str(n): c for n, c in vector.coords.items() if c.dims == ("path",)}
    out = out.assign_coords({f"{n}_": ("path_", c.data, c.attrs) for n, c in along.items()})
    out.attrs = {**ds.attrs, "long_name": f"covariance of the statistics over {over}"}
    return out.rename("covariance")


def _covariance(vectors: np.ndarray) -> np.ndarray:
    """Sample covariance of vectors (..., n, path)."""
    centered = vectors - vectors.mean(-2, keepdims=True)
    return np.swapaxes(centered, -1, -2) @ centered / (vectors.shape[-2] - 1)


def _varying(ds: xr.Dataset, over: str) -> list[str]:
    """The statistics that have a dimension, of at least two elements."""
    names = [n for n in statistics_of(ds) if over in ds[n].dims]
    if not names:
        raise ValueError(f"no statistic has the dimension {over!r}: there are {list(ds.dims)}")
    if ds.sizes[over] < 2:
        raise ValueError(f"{over} has one element: a spread needs two or more")
    return names
