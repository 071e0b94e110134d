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
from .parameters import Parameters
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
    "set_options",
    "tutorial",
]
