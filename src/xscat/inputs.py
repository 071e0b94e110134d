"""What a field must be, and which of its values are none: the entry of every function of fields.

Files and packages without NaN write numbers for missing values, which would count as data: UNSEEN
of HEALPix (-1.6375e30), fill values of netCDF. Here they become NaN, with a warning.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import xarray as xr

from .grids.dims import check_dims, code_name
from .grids.healpix import mended

Array = np.ndarray[Any, np.dtype[Any]]

LARGEST = 1e30
"""Larger values are missing: beyond are UNSEEN and the fill values of netCDF, 9.97e36 and 1e37."""
_NETCDF_FILL = float(np.float32(9.969209968386869e36))
_FILLS = ("_FillValue", "missing_value")


def check_field(da: Any, argument: str = "the field", mask: Any = None) -> xr.DataArray:
    """The field with NaN for all that is no value, lazy if it is lazy; nothing else is changed.

    Missing are infinite values, those beyond ±1e30, and a ``_FillValue`` or ``missing_value`` that
    is still in the attributes or the encoding. One warning says what was found; that of a lazy
    field comes when it is computed. With a mask, which may cover such values, there is none.

    Parameters
    ----------
    da : DataArray
        Real numbers in an array of NumPy or dask.
    argument : str
        What to call it in an error.
    mask : DataArray, optional
        What the function was given as a mask.

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
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     check_field(da).values
    array([ 1., nan])
    """
    da = _check_type(da, argument)
    fills = _fill_values(da)
    if packing := sorted({"scale_factor", "add_offset"} & set(da.attrs)):
        _warn_of_packed(da, argument, packing)
    if not fills and da.dtype.kind != "f":
        return da
    kwargs: dict[str, Any] = {"fills": fills, "argument": argument, "quiet": mask is not None}
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


def _warn_of_packed(da: xr.DataArray, argument: str, packing: list[str]) -> None:
    """One warning that integers are not in the units of the attributes."""
    if da.dtype.kind in "iu":
        warnings.warn(
            f"{argument} is packed, its attributes have {' and '.join(packing)}: it is taken as it "
            "is, in other units than these say. Unpack it, "
            f"`xr.decode_cf({code_name(argument)}.to_dataset(name='packed')).packed`",
            stacklevel=2,
        )


def _check_type(da: Any, argument: str) -> xr.DataArray:
    """Raise unless *da* holds real numbers as NumPy or dask do, along named dimensions."""
    if isinstance(da, xr.Dataset):
        variable = next(iter(da.data_vars), "name")
        raise TypeError(
            f"{argument} must be a DataArray, got Dataset: select a variable, e.g. ds[{variable!r}]"
        )
    if not isinstance(da, xr.DataArray):
        raise TypeError(
            f"{argument} must be a DataArray, got {type(da).__name__}: make one of values on a "
            "grid, xr.DataArray(values, dims=...)"
        )
    check_dims(da, argument)
    da, code = mended(da), code_name(argument)
    if da.dtype.kind == "c":
        raise TypeError(
            f"{argument} is complex ({da.dtype}), statistics are of real fields: "
            f"pass `{code}.real`, `{code}.imag` or `abs({code})`"
        )
    if da.dtype.kind not in "fiub":
        way = f"convert it, e.g. `{code}.astype('float64')`"
        if argument == "region":
            way = (
                f"number the labels, `xr.ones_like({code}, dtype=int).copy(data=np.unique({code}, "
                "return_inverse=True)[1].reshape(region.shape))`, in the order of np.unique"
            )
        raise TypeError(f"{argument} has dtype {da.dtype}, which is no number: {way}")
    data = da.variable._data if da.chunks is None else da.data
    kind = type(getattr(data, "_meta", data))
    if kind is not np.ndarray and hasattr(data, "__array_function__"):
        kept = f"; `{code}.pint.dequantify()` keeps the units" if "pint" in kind.__module__ else ""
        raise TypeError(
            f"{argument} holds a {kind.__module__.partition('.')[0]} array ({kind.__name__}): make "
            f"it a NumPy array, `{code}.as_numpy()`{kept}"
        )
    return da


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


def _clean_block(values: Array, **kwargs: Any) -> Array:
    """What dask runs: of one dtype, whatever is found."""
    cleaned = clean(values, **kwargs, counted=False)
    return cleaned if cleaned.dtype.kind == "f" else cleaned.astype(float)


def clean(
    values: Array,
    fills: list[float],
    argument: str,
    *,
    quiet: bool = False,
    counted: bool = True,
) -> Array:
    """Values with NaN for sentinels; the same array if there are none.

    Parameters
    ----------
    values : array
    fills : list of float
        Values that stand for missing ones, beside infinite and too large ones.
    argument : str
        What to call them in a warning.
    quiet : bool
        Give no warning.
    counted : bool
        Whether the warning says how many; without, blocks of a lazy field have one warning.
    """
    found: dict[str, Array] = {}
    if values.dtype.kind == "f" and values.size:
        low, high = (float(f.reduce(values, axis=None)) for f in (np.fmin, np.fmax))
        if high > LARGEST or low < -LARGEST:
            infinite = np.isinf(values)
            beyond = (abs(values.astype(np.float64)) > LARGEST) & ~infinite
            _check_units(values, beyond, argument)
            found["infinite values"] = infinite
            found[f"values beyond ±{LARGEST:g}"] = beyond
    for fill in fills:
        found[f"values equal to the fill value {fill:g}"] = _equal(values, fill)
    found = {what: where for what, where in found.items() if where.any()}
    if not found:
        return values
    if not quiet:
        _warn(values, found, argument, counted)
    dtype = values.dtype if values.dtype.kind == "f" else float
    return np.where(np.logical_or.reduce(list(found.values())), np.nan, values).astype(dtype)


def _equal(values: Array, fill: float) -> Array:
    """Where values are a fill value, which may have been written in single precision."""
    if values.dtype.kind != "f":
        return np.asarray(values == fill)
    return abs(values - fill) <= 2.0**-23 * abs(fill)


def _warn(values: Array, found: dict[str, Array], argument: str, counted: bool) -> None:
    """One warning of all that was found, with the line that puts NaN there."""
    what = " and ".join(f"{int(w.sum())} {k}" if counted else k for k, w in found.items())
    code = code_name(argument)
    wrong = [values[where][0].item() for where in found.values()]
    good = [f"({code} != {v!r})" for v in wrong if abs(v) <= LARGEST]
    good += [f"(abs({code}) < {LARGEST:g})"] * (len(good) < len(wrong))
    warnings.warn(
        f"{argument} has {what}: they count as missing. Put NaN in their place, "
        f"`{code}.where({' & '.join(good)})`, or open files with mask_and_scale=True",
        stacklevel=2,
    )


def _check_units(values: Array, beyond: Array, argument: str) -> None:
    """Raise where all values are too large, so that none would be left of a real field."""
    large = abs(values[beyond])
    if large.size and not (np.isfinite(values) & ~beyond).any() and (large != large[0]).any():
        raise ValueError(
            f"all values of {argument} are beyond ±{LARGEST:g}, where they count as missing: "
            f"change the units, e.g. `{code_name(argument)} / {float(np.median(large)):.0e}`"
        )


def check_weights(weights: xr.DataArray, argument: str) -> xr.DataArray:
    """Weights as floats, 0 where they are missing, without coordinates that are no index."""
    if weights.dtype.kind not in "bfiu":
        raise TypeError(
            f"{argument} has dtype {weights.dtype}: booleans or weights are needed, e.g. "
            f"`{code_name(argument)} == 'yes'`"
        )
    return xr.apply_ufunc(
        _weights_block,
        weights,
        kwargs={"fills": _fill_values(weights), "argument": argument},
        dask="parallelized",
        output_dtypes=[np.dtype(float)],
    ).reset_coords(drop=True)


def _weights_block(values: Array, fills: list[float], argument: str) -> Array:
    values = values.astype(float)
    values[np.isin(values, [*fills, _NETCDF_FILL]) | np.isnan(values)] = 0
    if values.size and not 0 <= values.min() <= values.max() < np.inf:
        code = code_name(argument)
        raise ValueError(
            f"{argument} has negative or infinite weights ({values.min():g} to {values.max():g}): "
            f"they must be >= 0, e.g. `{code}.where(({code} > 0) & ({code} < np.inf), 0)`"
        )
    return values
