"""The ``.scat`` accessors: one line a method, each is the function of the same name."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

import xarray as xr

from . import (
    comparison,
    cross,
    ensemble,
    gaussianize,
    normalization,
    orientation,
    paths,
    plot,
    reductions,
    scales,
    statistics,
    synthesis,
)

P = ParamSpec("P")
R = TypeVar("R")


def _method(function: Callable[Concatenate[Any, P], R]) -> Callable[Concatenate[Any, P], R]:
    """The function as a method of an accessor, with its documentation and signature."""

    @functools.wraps(function)
    def method(self: Any, *args: P.args, **kwargs: P.kwargs) -> R:
        return function(self._obj, *args, **kwargs)

    signature = inspect.signature(function)
    first, *others = signature.parameters.values()
    method.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[first.replace(name="self", annotation=first.empty), *others]
    )
    return method


@xr.register_dataarray_accessor("scat")
class DataArrayScat:
    """Scattering-covariance statistics of a field: ``da.scat``."""

    def __init__(self, obj: xr.DataArray):
        self._obj = obj

    covariance = _method(statistics.covariance)
    cross = _method(cross.cross)
    dominant_orientation = _method(orientation.dominant_orientation)
    from_paths = _method(paths.from_paths)
    from_vector = _method(paths.from_vector)
    synthesize = _method(synthesis.synthesize)
    inpaint = _method(synthesis.inpaint)
    denoise = _method(synthesis.denoise)
    separate = _method(synthesis.separate)
    gaussianize = _method(gaussianize.gaussianize)


@xr.register_dataset_accessor("scat")
class DatasetScat:
    """Operations on statistics: ``ds.scat``."""

    def __init__(self, obj: xr.Dataset):
        self._obj = obj

    covariance = _method(statistics.covariance)
    synthesize = _method(synthesis.synthesize)
    iso_mean = _method(reductions.iso_mean)
    iso_std = _method(reductions.iso_std)
    fft_ang = _method(reductions.fft_ang)
    fft_ang_sigma = _method(reductions.fft_ang_sigma)
    amplitude = _method(reductions.amplitude)
    phase = _method(reductions.phase)
    normalize = _method(normalization.normalize)
    denormalize = _method(normalization.denormalize)
    log = _method(normalization.log)
    distance = _method(comparison.distance)
    significant = _method(comparison.significant)
    select = _method(comparison.select)
    mean_over_scales = _method(scales.mean_over_scales)
    scale_ft = _method(scales.scale_ft)
    interp_scales = _method(scales.interp_scales)
    std_over = _method(ensemble.std_over)
    covariance_of = _method(ensemble.covariance_of)
    to_paths = _method(paths.to_paths)
    to_vector = _method(paths.to_vector)
    as_real = _method(paths.as_real)
    from_real = _method(paths.from_real)
    plot = _method(plot.plot)
