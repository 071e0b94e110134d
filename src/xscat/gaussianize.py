"""A monotone map between the histogram of a field and a Gaussian."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from .inputs import check_field
from .keywords import checked_keywords

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, eq=False)
class Gaussianization:
    """Increasing, piecewise linear map from values to Gaussian ones, and back.

    Attributes
    ----------
    values, scores : (n,) arrays
        The knots, both increasing. Beyond them the map goes on straight.

    Examples
    --------
    >>> import numpy as np
    >>> g = Gaussianization.fit(np.array([1.0, 10.0, 100.0]))
    >>> g.inverse(g.forward(np.array([3.0, 200.0])))
    array([  3., 200.])
    """

    values: Array
    scores: Array

    @classmethod
    def fit(cls, values: Array) -> Gaussianization:
        """Map the finite *values* (any shape) to quantiles of a Gaussian, equal ones to one score.

        Raises
        ------
        ValueError
            If there are not two different values.
        """
        from scipy.special import ndtri

        knots, counts = np.unique(values[np.isfinite(values)].astype(float), return_counts=True)
        if len(knots) < 2:
            raise ValueError("a field without two different values cannot be made Gaussian")
        ranks = counts.cumsum() - counts / 2
        return cls(knots, ndtri(ranks / counts.sum()))

    def forward(self, values: Any) -> Any:
        """Gaussian scores of values, an array or a DataArray."""
        return self._map(values, self.values, self.scores)

    def inverse(self, scores: Any) -> Any:
        """Values of Gaussian scores, an array or a DataArray."""
        return self._map(scores, self.scores, self.values)

    def _map(self, x: Any, old: Array, new: Array) -> Any:
        if isinstance(x, xr.DataArray):
            return x.copy(data=self._map(x.values, old, new))
        x = np.asarray(x, dtype=float)
        i = np.clip(np.searchsorted(old, x, side="right") - 1, 0, len(old) - 2)
        t = (x - old[i]) / (old[i + 1] - old[i])
        return new[i] * (1 - t) + new[i + 1] * t


@checked_keywords
def gaussianize(da: xr.DataArray) -> tuple[xr.DataArray, Gaussianization]:
    """The field with its histogram made Gaussian, and the map that did it.

    Parameters
    ----------
    da : DataArray
        Real field of any dimensions; one map is fitted to all of its values. Missing values stay.
        It is computed.

    Returns
    -------
    DataArray
        Float64, of mean 0 and variance 1 nearly, without units.
    Gaussianization
        Its ``inverse`` brings fields back, to rounding inside the range of the field.

    Examples
    --------
    >>> import numpy as np, xarray as xr, xscat
    >>> rain = xr.DataArray(np.random.default_rng(0).lognormal(size=(32, 32)), dims=("y", "x"))
    >>> gaussian, transform = rain.scat.gaussianize()
    >>> bool(abs(transform.inverse(gaussian) - rain).max() < 1e-12)
    True
    """
    da = check_field(da)
    transform = Gaussianization.fit(da.values)
    result = transform.forward(da)
    result.attrs = {"long_name": f"gaussianized {da.name or 'field'}", "units": "1"}
    return result, transform
