"""From the engine's arrays to labelled variables: dimensions, coordinates and attributes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from .grids import Grid
from .parameters import Parameters

DIMS = {
    "S1": ("j1", "l1"),
    "S2": ("j1", "l1"),
    "S3": ("j1", "j2", "l1", "l2"),
    "S4": ("j1", "j2", "j3", "l1", "l2", "l3"),
}
LONG_NAMES = {
    "S0": "mean and variance of the field",
    "S1": "mean modulus of the wavelet coefficients",
    "S2": "mean power of the wavelet coefficients",
    "S2_auto": "mean power of the wavelet coefficients of each field",
    "S3": "covariance of wavelet coefficients with filtered moduli",
    "S3P": "covariance of the second field's coefficients with filtered moduli of the first",
    "S4": "covariance of filtered moduli",
}


@dataclass(frozen=True)
class Layout:
    """Which variables a result has, and their dimensions behind those of the field.

    Attributes
    ----------
    kind : {"auto", "cross", "pairs", "modes"}
        Statistics of single fields, of two fields, of all pairs along a dimension, or of the modes
        of a spin field.
    names : tuple of str
        The statistics asked for.
    variance : bool
        Whether there are standard deviations.
    regions : str, optional
        Dimension of the sets of weights.
    stacked : str, optional
        Dimension of the input that holds the fields of pairs or the components of a spin field.
    spin : int
        Spin of the components; the modes take the place of the components then.
    oriented : bool
        Whether there are orientations.
    """

    kind: str
    names: tuple[str, ...]
    variance: bool = False
    regions: str | None = None
    stacked: str | None = None
    spin: int = 0
    oriented: bool = True

    def variables(self) -> dict[str, tuple[str, ...]]:
        """Core dimensions of each variable, in the order of the outputs."""
        single: tuple[str, ...] = ()
        double: tuple[str, ...] = ()
        if self.kind == "cross":
            single = ("field",)
        elif self.stacked is not None:
            member = "mode" if self.spin else self.stacked
            single, double = (member,), (f"{member}_a", f"{member}_b")
            double = single if self.kind == "modes" else double
        dims = {}
        for name in self.names:
            if name == "S0":
                dims["S0"] = (*((self.stacked,) if self.stacked else single), "moment")
                continue
            prefix = single if name == "S1" else double
            dims[name] = (*prefix, *self._own(name))
            if name == "S2" and self.kind == "cross":
                dims["S2_auto"] = (*single, *self._own("S2"))
            if name == "S3" and self.kind == "cross":
                dims["S3P"] = self._own("S3")
        if self.variance:
            dims |= {f"{name}_std": d for name, d in dims.items() if name != "S0"}
        lead = () if self.regions is None else (self.regions,)
        return {name: (*lead, *d) for name, d in dims.items()}

    def _own(self, name: str) -> tuple[str, ...]:
        return tuple(d for d in DIMS[name] if self.oriented or not d.startswith("l"))

    def attrs(self) -> dict[str, str]:
        """What is paired, along which dimension; and the dimension of S0 if that is another."""
        attrs = {"kind": self.kind}
        if self.stacked is not None:
            attrs |= {"paired": "mode" if self.spin else self.stacked, "stacked": self.stacked}
        return attrs

    def is_complex(self, variable: str) -> bool:
        """Whether a variable holds complex numbers."""
        if variable == "S2":
            return self.kind in ("cross", "pairs")
        return variable in ("S3", "S3P", "S4")


def sizes(parameters: Parameters) -> dict[str, int]:
    """Sizes of the dimensions that all results share."""
    js = {f"j{i}": parameters.J for i in (1, 2, 3)}
    ls = {f"l{i}": parameters.L for i in (1, 2, 3)}
    return {"moment": 2, "field": 2, "mode": 2, "mode_a": 2, "mode_b": 2} | js | ls


def coordinates(dims: set[str], parameters: Parameters, grid: Grid) -> dict[str, Any]:
    """Coordinates of the given dimensions."""
    coords: dict[str, Any] = {}
    wavelengths = [grid.wavelength(parameters, j) for j in range(parameters.J)]
    angles = 180 / parameters.L * np.arange(parameters.L)
    for dim in sorted(dims):
        if dim == "moment":
            coords[dim] = _names("mean", "variance")
        elif dim in ("mode", "mode_a", "mode_b"):
            coords[dim] = _names(*(("divergence", "curl") if parameters.spin == 1 else "EB"))
        elif dim in ("j1", "j2", "j3"):
            coords[dim] = (dim, np.arange(parameters.J), {"long_name": "scale"})
            attrs = {"long_name": "wavelength", "units": grid.units}
            coords[f"wavelength_{dim}"] = (dim, wavelengths, attrs)
        elif dim in ("l1", "l2", "l3"):
            coords[dim] = (dim, np.arange(parameters.L), {"long_name": "orientation"})
            attrs = {"long_name": "direction of the wave vector", "units": "degrees"}
            coords[f"angle_{dim}"] = (dim, angles, attrs)
    return coords


def _names(*names: str) -> Any:
    """Labels along a dimension; as objects, zarr writes them without a warning."""
    return np.array(names, dtype=object)


def combined_units(*factors: tuple[str, float]) -> str:
    """Units of a product of powers of quantities.

    Examples
    --------
    >>> combined_units(("K", 2)), combined_units(("m s-1", 2)), combined_units(("K", 1), ("m", 1))
    ('K^2', '(m s-1)^2', 'K m')
    """
    powers: dict[str, float] = {}
    for units, exponent in factors:
        powers[units] = powers.get(units, 0) + exponent
    parts = []
    for units, exponent in powers.items():
        if units in ("1", "") or not exponent:
            continue
        simple = units.replace("_", "").isalpha()
        base = units if simple or (exponent == 1 and len(powers) == 1) else f"({units})"
        parts.append(base if exponent == 1 else f"{base}^{exponent:g}")
    return " ".join(parts) or "1"


def variable_attrs(name: str, fields: list[xr.DataArray], exponent: float) -> dict[str, str]:
    """Long name and units of a variable; no units where the fields have none."""
    base = name.removesuffix("_std")
    attrs = {"long_name": LONG_NAMES[base]}
    if base != name:
        attrs["long_name"] = f"standard deviation of the {attrs['long_name']}"
    units = [f.attrs.get("units") for f in fields]
    if base == "S0" or None in units:
        return attrs
    a, b = str(units[0]), str(units[-1])
    if base in ("S1", "S2_auto") and a != b:
        return attrs
    factors = {
        "S1": [(a, exponent)],
        "S2": [(a, 1.0), (b, 1.0)],
        "S2_auto": [(a, 2.0)],
        "S3": [(a, 1.0), (b, exponent)],
        "S3P": [(b, 1.0), (a, exponent)],
        "S4": [(a, exponent), (b, exponent)],
    }
    return attrs | {"units": combined_units(*factors[base])}


def keep_attributes(result: Any, sources: list[xr.DataArray]) -> None:
    """Give coordinates the attributes that they have in the first of the sources, in place."""
    for source in reversed(sources):
        for name, coord in source.coords.items():
            if name in result.coords and result[name].dims == coord.dims:
                result[name].attrs = dict(coord.attrs)


def labelled(
    variables: dict[str, xr.DataArray],
    fields: list[xr.DataArray],
    parameters: Parameters,
    grid: Grid,
    used: set[str],
) -> xr.Dataset:
    """Dataset of statistics with coordinates and attributes; `used` are the dimensions they number.

    Others, of the fields, may have the names of dimensions of other statistics.
    """
    ds = xr.Dataset(variables)
    ds = ds.assign_coords(coordinates(used & set(sizes(parameters)), parameters, grid))
    names = [str(f.name) for f in fields if f.name is not None]
    if "field" in used:
        labels = names if len(set(names)) == 2 else ["a", "b"]
        ds = ds.assign_coords(field=("field", _names(*labels)))
    for name in variables:
        ds[name].attrs = variable_attrs(name, fields, parameters.exponent)
    source = {"source": " x ".join(names)} if names else {}
    ds.attrs = parameters.to_attrs() | grid.attrs() | {"grid_units": grid.units} | source
    return ds
