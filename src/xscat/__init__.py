"""Scattering-covariance statistics for xarray.

Importing the package registers the ``.scat`` accessors on DataArray and Dataset.
"""

from importlib.metadata import version as _version

from . import terms, tutorial
from .accessor import DataArrayScat, DatasetScat
from .comparison import distance, select, significant
from .cross import cross
from .engine.wavelets import Morlet, Wavelet
from .ensemble import concat_realizations, covariance_of, std_over
from .errors import GridError
from .gaussianize import gaussianize
from .normalization import denormalize, log, normalize
from .options import set_options
from .orientation import dominant_orientation
from .parameters import Parameters
from .paths import as_real, from_paths, from_real, from_vector, to_paths, to_vector
from .plot import plot, plot_residuals
from .reductions import amplitude, fft_ang, fft_ang_sigma, iso_mean, iso_std, phase
from .scales import interp_scales, mean_over_scales, scale_ft
from .statistics import covariance
from .synthesis import denoise, inpaint, separate, synthesize

__version__ = _version("xscat")

__all__ = [
    "DataArrayScat",
    "DatasetScat",
    "GridError",
    "Morlet",
    "Parameters",
    "Wavelet",
    "amplitude",
    "as_real",
    "concat_realizations",
    "covariance",
    "covariance_of",
    "cross",
    "denoise",
    "denormalize",
    "distance",
    "dominant_orientation",
    "fft_ang",
    "fft_ang_sigma",
    "from_paths",
    "from_real",
    "from_vector",
    "gaussianize",
    "inpaint",
    "interp_scales",
    "iso_mean",
    "iso_std",
    "log",
    "mean_over_scales",
    "normalize",
    "phase",
    "plot",
    "plot_residuals",
    "scale_ft",
    "select",
    "separate",
    "set_options",
    "significant",
    "std_over",
    "synthesize",
    "terms",
    "to_paths",
    "to_vector",
    "tutorial",
]
