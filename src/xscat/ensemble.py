"""Statistics of several fields: gather them, their spread, their covariance."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import xarray as xr

from ._layout import check_same_grid, describe, rebuild, spread, statistics_of
from .paths import to_vector


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
        the dimension comes first. Parameters on which the fields disagree are dropped.

    Raises
    ------
    ValueError
        if there is no Dataset, if their variables, grids, J or L differ.

    Examples
    --------
    >>> import xarray as xr
    >>> one = xr.Dataset({"S1": ("j1", [1.0, 2.0])})
    >>> concat_realizations([one, one]).S1.dims
    ('realization', 'j1')
    """
    datasets = [ds if over in ds.dims else ds.expand_dims(over) for ds in datasets]
    if not datasets:
        raise ValueError("concat_realizations needs at least one Dataset")
    first = datasets[0]
    for number, ds in enumerate(datasets[1:], 1):
        check_same_grid(first, ds)
        if set(ds.data_vars) != set(first.data_vars):
            raise ValueError(
                f"Dataset {number} has the variables {sorted(map(str, ds.data_vars))}, "
                f"the first one {sorted(map(str, first.data_vars))}: select() common ones"
            )
        scales = [d for d in first.dims if str(d)[0] == "j"]
        if any(ds.sizes.get(d) != first.sizes[d] for d in scales):
            raise ValueError(f"Dataset {number} has another J: cut with interp_scales(J)")
    bare = [ds.drop_vars(over, errors="ignore") for ds in datasets]
    out = xr.concat(
        bare,
        over,
        data_vars="all",
        coords="minimal",
        compat="override",
        join="exact",
        combine_attrs="drop_conflicts",
    )
    return out.assign_coords({over: np.arange(out.sizes[over])})


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
    return rebuild(ds, out)


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
    vector = to_vector(ds, names or statistics, dropna)
    out = xr.apply_ufunc(
        _covariance,
        vector.chunk({over: -1}) if vector.chunks else vector,
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
