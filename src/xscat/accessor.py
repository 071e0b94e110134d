"""The ``.scat`` accessors: one line a method, each calls the function of the same name."""

from __future__ import annotations

from typing import Any

import xarray as xr

from .cross import cross
from .statistics import covariance


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


@xr.register_dataset_accessor("scat")
class DatasetScat:
    """Operations on statistics: ``ds.scat``."""

    def __init__(self, ds: xr.Dataset):
        self._ds = ds
