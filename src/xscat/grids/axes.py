"""The coordinates of regular grids: even steps and units, or an error with the way out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import GridError
from .base import Array

if TYPE_CHECKING:
    import xarray as xr


def axis(da: xr.DataArray, dim: str, dims: tuple[str, ...]) -> tuple[float, str]:
    """Spacing and units of one of the dimensions of a grid."""
    if dim not in da.coords:
        return 1.0, "cells"
    coordinate = da[dim]
    if coordinate.ndim != 1:
        raise GridError(
            f"coordinate {dim!r} has dimensions {coordinate.dims}: it must be along {dim!r} alone; "
            f"work in cells, {in_cells(da, dims)}"
        )
    values, units = _numbers(coordinate, in_cells(da, dims))
    steps = np.diff(values)
    if not len(steps):
        return 1.0, units
    _check_order(values, dim)
    mean = float(steps.mean())
    noise = 1e-3 * abs(mean) + 2 * np.spacing(np.float32(np.abs(values).max()))
    if np.abs(steps - mean).max() > noise:
        low, high = np.abs(steps).min(), np.abs(steps).max()
        raise GridError(
            f"coordinate {dim!r} is unevenly spaced (steps from {low:g} to {high:g}): "
            f"{_even(coordinate, values)}work in cells, {in_cells(da, dims)}"
        )
    return mean, units


def in_cells(da: xr.DataArray, dims: tuple[str, ...]) -> str:
    """The line that drops the coordinates of all of the dimensions, for messages."""
    names: list[str] = []
    for dim in dims:
        index = da.xindexes.get(dim)
        together = [
            str(n) for n, other in da.xindexes.items() if index is not None and other is index
        ]
        names += together or [dim] * (dim in da.coords)
    return f"`field.drop_vars({list(dict.fromkeys(names))!r})`"


def _numbers(coordinate: xr.DataArray, cells: str) -> tuple[Array, str]:
    """Values of a coordinate as floats, and their units."""
    values, units = coordinate.values, str(coordinate.attrs.get("units", "1"))
    if units.startswith("degree"):  # degrees_north and degrees_east are of one kind
        units = "degrees"
    if values.dtype.kind == "O" and hasattr(values[0], "calendar"):
        return np.array([(v - values[0]).total_seconds() for v in values]) / 86400, "days"
    if values.dtype.kind in "mM":
        first = values[~np.isnat(values)][:1]
        return (values - (first if len(first) else values[0])) / np.timedelta64(1, "D"), "days"
    if values.dtype.kind not in "iuf":
        raise GridError(
            f"coordinate {coordinate.name!r} is of type {values.dtype}: it must be numeric or "
            f"time; work in cells, {cells}"
        )
    return values.astype(float), units


def _check_order(values: Array, dim: str) -> None:
    """Raise unless the values are finite and either increase or decrease."""
    if not np.isfinite(values).all():
        raise GridError(
            f"coordinate {dim!r} has missing values: leave them out, "
            f"`field.isel({{{dim!r}: field[{dim!r}].notnull().values}})`"
        )
    steps = np.diff(values)
    if (steps > 0).all() or (steps < 0).all():
        return
    if (steps >= 0).all() or (steps <= 0).all():
        raise GridError(
            f"coordinate {dim!r} has repeated values: drop them, `field.drop_duplicates({dim!r})`"
        )
    raise GridError(f"coordinate {dim!r} has unordered values: sort it, `field.sortby({dim!r})`")


def _even(coordinate: xr.DataArray, values: Array) -> str:
    """The line that makes a coordinate even: fills its gaps with NaN, or else interpolates."""
    dim, steps = coordinate.name, np.diff(values)
    step = steps[np.abs(steps).argmin()]
    counts = steps / step
    whole = np.abs(counts - counts.round()).max() < 1e-2
    gaps = whole and counts.round().max() > 1 and counts.round().sum() < 100 * len(values)
    n = round(counts.round().sum()) + 1 if gaps else len(values)
    labels = f"np.linspace({float(values[0])!r}, {float(values[-1])!r}, {n})"
    quarter = f"{abs(float(step)) / 4:g}"
    if coordinate.dtype.kind in "OmM":
        if not gaps:
            return ""
        seconds = (values[-1] - values[0]) / (n - 1) * 86400

        def span(s: float) -> str:
            if coordinate.dtype.kind == "O":
                return f"datetime.timedelta(seconds={s:.6f})"
            whole = abs(s - round(s)) < 1e-9
            return f"np.timedelta64({round(s if whole else s * 1e9)}, '{'s' if whole else 'ns'}')"

        labels = f"field[{dim!r}].values[0] + np.arange({n}) * {span(seconds)}"
        quarter = span(abs(seconds) / 4)
    if gaps:
        return (
            f"put NaN into its gaps, `field.reindex({{{dim!r}: {labels}}}, "
            f"method='nearest', tolerance={quarter})`, or "
        )
    return f"interpolate, `field.interp({{{dim!r}: {labels}}})`, or "
