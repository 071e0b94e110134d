"""The ``.scat`` accessors: one line a method, each calls the function of the same name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import xarray as xr

from .cross import cross
from .orientation import dominant_orientation
from .plot import plot
from .statistics import covariance

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@xr.register_dataarray_accessor("scat")
class DataArrayScat:
    """Scattering-covariance statistics of a field: ``da.scat``."""

    def __init__(self, da: xr.DataArray):
        self._da = da

    def covariance(self, J: int | None = None, L: int = 4, **kwargs: Any) -> xr.Dataset:
        """Statistics S0..S4 of the field; see `xscat.covariance`."""
        return covariance(self._da, J, L, **kwargs)

    def cross(self, b: xr.DataArray | None = None, **kwargs: Any) -> xr.Dataset:
        """Statistics of two fields, or of all pairs along a dimension; see `xscat.cross`."""
        return cross(self._da, b, **kwargs)

    def dominant_orientation(self, j: int, L: int = 8, **kwargs: Any) -> xr.DataArray:
        """Direction in which the field varies most; see `xscat.dominant_orientation`."""
        return dominant_orientation(self._da, j, L, **kwargs)


@xr.register_dataset_accessor("scat")
class DatasetScat:
    """Operations on statistics: ``ds.scat``."""

    def __init__(self, ds: xr.Dataset):
        self._ds = ds

    def plot(self, other: Any = None, **kwargs: Any) -> Figure:
        """Picture of the statistics, and of others over them; see `xscat.plot.plot`."""
        return plot(self._ds, other, **kwargs)
