"""Scattering-covariance statistics for xarray.

Importing the package registers the ``.scat`` accessors on DataArray and Dataset.
"""

from importlib.metadata import version as _version

from . import tutorial
from .accessor import DataArrayScat, DatasetScat
from .cross import cross
from .engine.wavelets import Morlet, Wavelet
from .errors import GridError
from .options import set_options
from .orientation import dominant_orientation
from .parameters import Parameters
from .plot import plot_residuals
from .statistics import covariance

__version__ = _version("xscat")

__all__ = [
    "DataArrayScat",
    "DatasetScat",
    "GridError",
    "Morlet",
    "Parameters",
    "Wavelet",
    "covariance",
    "cross",
    "dominant_orientation",
    "plot_residuals",
    "set_options",
    "tutorial",
]
