"""From the engine's arrays to labelled variables: dimensions, coordinates and attributes."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from .grids import Grid
from .parameters import Parameters

DIMS = {
    "S0": ("moment",),
    "S1": ("j1", "l1"),
    "S2": ("j1", "l1"),
    "S3": ("j1", "j2", "l1", "l2"),
    "S4": ("j1", "j2", "j3", "l1", "l2", "l3"),
}
LONG_NAMES = {
    "S0": "mean and variance of the field",
    "S1": "mean modulus of the wavelet coefficients",
    "S2": "mean power of the wavelet coefficients",
    "S3": "covariance of wavelet coefficients with filtered moduli",
    "S4": "covariance of filtered moduli",
}
COMPLEX = ("S3", "S4")


def core_dims(name: str, grid: Grid) -> tuple[str, ...]:
    """Dimensions of a statistic; a line has no orientations."""
    return tuple(d for d in DIMS[name] if grid.oriented or not d.startswith("l"))


def sizes(parameters: Parameters) -> dict[str, int]:
    """Sizes of the dimensions of all statistics."""
    js = {f"j{i}": parameters.J for i in (1, 2, 3)}
    ls = {f"l{i}": parameters.L for i in (1, 2, 3)}
    return {"moment": 2} | js | ls


def coordinates(dims: set[str], parameters: Parameters, grid: Grid) -> dict[str, Any]:
    """Coordinates of the given dimensions."""
    coords: dict[str, Any] = {}
    wavelengths = [grid.wavelength(parameters, j) for j in range(parameters.J)]
    for dim in sorted(dims):
        kind, position = dim[0], dim[1:]
        if dim == "moment":
            coords[dim] = ["mean", "variance"]
        elif kind == "j" and position.isdigit():
            coords[dim] = (dim, np.arange(parameters.J), {"long_name": "scale"})
            attrs = {"long_name": "wavelength", "units": grid.units}
            coords[f"wavelength_{dim}"] = (dim, wavelengths, attrs)
        elif kind == "l" and position.isdigit():
            coords[dim] = (dim, np.arange(parameters.L), {"long_name": "orientation"})
            angles = 180 / parameters.L * np.arange(parameters.L)
            attrs = {"long_name": "direction of the wave vector", "units": "degrees"}
            coords[f"angle_{dim}"] = (dim, angles, attrs)
    return coords


def power_units(units: str, exponent: int) -> str:
    """Units of a power of a quantity.

    Examples
    --------
    >>> power_units("K", 2), power_units("m s-1", 2), power_units("1", 2)
    ('K^2', '(m s-1)^2', '1')
    """
    if exponent == 1 or units in ("1", ""):
        return units
    simple = units.replace("_", "").isalpha()
    return f"{units}^{exponent}" if simple else f"({units})^{exponent}"


def variable_attrs(name: str, units: str | None) -> dict[str, str]:
    """Long name and units of a statistic of a field in given units."""
    attrs = {"long_name": LONG_NAMES[name]}
    if units is not None and name != "S0":
        attrs["units"] = power_units(units, 1 if name == "S1" else 2)
    return attrs


def labelled(
    variables: dict[str, xr.DataArray], field: xr.DataArray, parameters: Parameters, grid: Grid
) -> xr.Dataset:
    """Dataset of statistics with coordinates and attributes."""
    units = field.attrs.get("units")
    used = {str(d) for v in variables.values() for d in v.dims}
    ds = xr.Dataset(variables)
    ds = ds.assign_coords(coordinates(used & set(sizes(parameters)), parameters, grid))
    for name in variables:
        ds[name].attrs = variable_attrs(name, None if units is None else str(units))
    source = {} if field.name is None else {"source": str(field.name)}
    ds.attrs = parameters.to_attrs() | grid.attrs() | source
    return ds
