"""What a field must be, and which of its values are none: the entry of every function of fields.

Files and packages without NaN write numbers for missing values, which would count as data: UNSEEN
of HEALPix (-1.6375e30), fill values of netCDF. Here they become NaN, with a warning.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import xarray as xr

from .errors import GridError
from .grids.healpix import with_own_dim

Array = np.ndarray[Any, np.dtype[Any]]

LARGEST = 1e30
"""Larger values are missing: beyond are UNSEEN and the fill values of netCDF, 9.97e36 and 1e37."""
_FILLS = ("_FillValue", "missing_value")


def check_field(da: Any, argument: str = "the field") -> xr.DataArray:
    """The field with NaN for all that is no value, lazy if it is lazy; nothing else is changed.

    Missing are infinite values, those beyond ±1e30, and a ``_FillValue`` or ``missing_value`` that
    is still in the attributes or the encoding. One warning says what was found; that of a lazy
    field comes when it is computed. Masks are not looked at: they may cover such values or not.

    Parameters
    ----------
    da : DataArray
        Real numbers in an array of NumPy or dask.
    argument : str
        What to call it in an error.

    Raises
    ------
    TypeError
        If it is no DataArray, or not of real numbers.
    GridError
        If dimensions have no usable names.
    ValueError
        If different values, and all of them, are beyond ±1e30.

    Examples
    --------
    >>> import warnings, xarray as xr
    >>> da = xr.DataArray([1.0, -9.0], dims="x", attrs={"missing_value": -9.0})
    >>> with warnings.catch_warnings(record=True):
    ...     check_field(da).values
    array([ 1., nan])
    """
    da = _check_type(da, argument)
    fills = _fill_values(da)
    if not fills and da.dtype.kind != "f":
        return da
    name = f"{argument} {da.name!r}" if isinstance(da.name, str) else argument
    kwargs = {"fills": fills, "name": name}
    if da.chunks is None:
        values = da.values
        cleaned = clean(values, **kwargs)
        return da if cleaned is values else da.copy(data=cleaned)
    return xr.apply_ufunc(
        _clean_block,
        da,
        kwargs=kwargs,
        dask="parallelized",
        output_dtypes=[da.dtype if da.dtype.kind == "f" else np.dtype(float)],
        keep_attrs=True,
    )


def _check_type(da: Any, argument: str) -> xr.DataArray:
    """Raise unless *da* holds real numbers as NumPy or dask do, along named dimensions."""
    if not isinstance(da, xr.DataArray):
        raise TypeError(f"{argument} must be a DataArray, got {type(da).__name__}")
    da = check_dims(da, argument)
    if da.dtype.kind == "c":
        raise TypeError(
            f"{argument} is complex ({da.dtype}), statistics are of real fields: "
            "pass `field.real`, `field.imag` or `abs(field)`"
        )
    if da.dtype.kind not in "fiub":
        raise TypeError(
            f"{argument} has dtype {da.dtype}, which is no number: convert it, e.g. "
            "`field.astype('float64')`"
        )
    data = da.variable._data if da.chunks is None else da.data
    kind = type(getattr(data, "_meta", data))
    if kind is not np.ndarray and hasattr(data, "__array_function__"):
        kept = "; `field.pint.dequantify()` keeps the units" if "pint" in kind.__module__ else ""
        raise TypeError(
            f"{argument} holds a {kind.__module__.partition('.')[0]} array ({kind.__name__}): make "
            f"it a NumPy array, `field.as_numpy()`{kept}"
        )
    return da


def check_dims(da: xr.DataArray, argument: str) -> xr.DataArray:
    """Raise unless all dimensions are named by different strings; mend those of renamed cells."""
    if len(set(da.dims)) < len(da.dims):
        raise GridError(
            f"{argument} has a dimension twice, {da.dims}: name them apart, e.g. "
            "`xr.DataArray(field.values, dims=('y', 'x'))`"
        )
    odd = [d for d in da.dims if not isinstance(d, str)]
    if odd:
        names = {d: _as_name(d) for d in odd}
        raise GridError(
            f"{argument} has dimensions {da.dims}: names must be strings, e.g. "
            f"`field.rename({names!r})`"
        )
    return with_own_dim(da)


def _as_name(dim: Any) -> str:
    return "_".join(map(str, dim)) if isinstance(dim, tuple) else f"dim_{dim}"


def _fill_values(da: xr.DataArray) -> list[float]:
    """Fill values that may still be among the values, finite and not too large."""
    packed = {"scale_factor", "add_offset"} & set(da.encoding)
    places = (da.attrs,) if packed else (da.attrs, da.encoding)  # fills of packed data are packed
    found: set[float] = set()
    for attrs in places:
        for key in _FILLS:
            try:
                values = np.asarray(attrs.get(key, np.nan), dtype=float).ravel()
            except (TypeError, ValueError):  # text, say: no value of a field is that
                continue
            found |= {float(v) for v in values if abs(v) <= LARGEST}
    return sorted(found)


def _clean_block(values: Array, fills: list[float], name: str) -> Array:
    """What dask runs: of one dtype, whatever is found."""
    cleaned = clean(values, fills, name, counted=False)
    return cleaned if cleaned.dtype.kind == "f" else cleaned.astype(float)


def clean(values: Array, fills: list[float], name: str, counted: bool = True) -> Array:
    """Values with NaN for sentinels; the same array if there are none.

    Parameters
    ----------
    values : array
    fills : list of float
        Values that stand for missing ones, beside infinite and too large ones.
    name : str
        What to call the values in a warning.
    counted : bool
        Whether the warning says how many; without, blocks of a lazy field have one warning.
    """
    found: dict[str, Array] = {}
    if values.dtype.kind == "f" and values.size:
        low, high = np.fmin.reduce(values, axis=None), np.fmax.reduce(values, axis=None)
        if high > LARGEST or low < -LARGEST:
            _check_units(values, name)
            infinite = np.isinf(values)
            found["infinite values"] = infinite
            found[f"values beyond ±{LARGEST:g}"] = (abs(values) > LARGEST) & ~infinite
    for fill in fills:
        # a fill value may have been written in single precision, or in that of the values
        found[f"values equal to the fill value {fill:g}"] = np.isin(
            values, _as_stored(fill, values)
        )
    found = {what: where for what, where in found.items() if where.any()}
    if not found:
        return values
    what = " and ".join(f"{int(w.sum())} {k}" if counted else k for k, w in found.items())
    good = [f"(field != {fill!r})" for fill in fills] + [f"(abs(field) < {LARGEST:g})"]
    warnings.warn(
        f"{name} has {what}: they count as missing. Put NaN in their place, "
        f"`field.where({' & '.join(good)})`, or open files with mask_and_scale=True",
        stacklevel=2,
    )
    dtype = values.dtype if values.dtype.kind == "f" else float
    return np.where(np.logical_or.reduce(list(found.values())), np.nan, values).astype(dtype)


def _as_stored(fill: float, values: Array) -> Array:
    if values.dtype.kind != "f":
        return np.array([fill])
    with np.errstate(over="ignore"):
        return np.array([fill, np.float32(fill), values.dtype.type(fill)]).astype(values.dtype)


def _check_units(values: Array, name: str) -> None:
    """Raise where all values are too large, so that none would be left of a real field."""
    with np.errstate(invalid="ignore"):
        beyond = abs(values) > LARGEST
        left = (abs(values) <= LARGEST).any()
    finite = values[beyond & np.isfinite(values)]
    if not left and finite.size and (finite != finite[0]).any():
        raise ValueError(
            f"all values of {name} are beyond ±{LARGEST:g}, where values count as missing: change "
            f"the units, e.g. `field / {float(np.median(abs(finite))):.0e}`"
        )
