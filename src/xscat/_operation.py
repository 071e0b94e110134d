"""What every operation on statistics does first: it checks its arguments and puts labels in order.

`operation` wraps a function whose first argument is a Dataset of statistics, or the paths made of
it. Arguments are known by their names, which have one meaning in all operations.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Hashable, Iterable
from typing import Any, ParamSpec, TypeVar

import dask
import numpy as np
import xarray as xr

from ._layout import (
    AUXILIARY,
    ORIENTATIONS,
    RATIOS,
    RELATIVE_ORIENTATIONS,
    SCALES,
    STATISTICS,
    base_name,
    statistic_dims,
)
from .errors import check_choice, shown
from .keywords import checked_keywords

P = ParamSpec("P")
R = TypeVar("R")
Check = Callable[[str, str, Any], Any]

_NUMBERED = (*SCALES, *ORIENTATIONS, *RATIOS, *RELATIVE_ORIENTATIONS)


def operation(function: Callable[P, R]) -> Callable[P, R]:
    """Check the arguments of an operation by their names before it runs."""
    signature = inspect.signature(function)
    first = next(iter(signature.parameters))

    @checked_keywords
    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError:
            return function(*args, **kwargs)  # Python says which argument is wrong
        known: dict[tuple[int, Any], Any] = {}  # one object given twice stays one
        for name, value in bound.arguments.items():
            parameter = signature.parameters[name]
            given = not (parameter.default is None and value is None)
            if name in _CHECKS and given and parameter.kind is not parameter.VAR_KEYWORD:
                check, key = _CHECKS[name], (id(value), _CHECKS[name])
                if key not in known:
                    known[key] = check(function.__name__, name, value)
                bound.arguments[name] = known[key]
        ds = bound.arguments[first]
        if "over" in bound.arguments and isinstance(ds, xr.Dataset):
            _check_over(function.__name__, ds, bound.arguments["over"])
        return function(*bound.args, **bound.kwargs)

    return checked


def as_statistics(who: str, name: str, value: Any) -> xr.Dataset:
    """A Dataset of statistics with its labels in order and its own coordinates in memory."""
    if not isinstance(value, xr.Dataset):
        way = "compute it with field.scat.covariance(...)"
        if isinstance(value, xr.DataArray):
            if "path" in value.dims:
                way = "call from_vector() or from_paths() first"
            elif value.name is not None and base_name(str(value.name)) in STATISTICS:
                way = f"keep the Dataset, e.g. stats[[{value.name!r}]]"
        found = type(value).__name__
        raise TypeError(f"{who} needs {name}, a Dataset of statistics, got {found}: {way}")
    if not any(base_name(str(n)) in (*STATISTICS, *AUXILIARY) for n in value.data_vars):
        have = ", ".join(map(str, value.data_vars)) or "no variables"
        raise ValueError(
            f"{who} needs {name}, a Dataset of statistics, but it has {have}: "
            "compute it with field.scat.covariance(...)"
        )
    return _in_order(in_memory(value, statistic_dims(value)))


def in_memory(obj: Any, dims: Iterable[str]) -> Any:
    """Read the coordinates of some dimensions, short ones, where they wait in a dask graph.

    After `open_zarr` all but dimension coordinates do, and merging variables would compare, hence
    compute them again and again. Those of other dimensions stay as they are.
    """
    lazy = {
        name: coord
        for name, coord in obj.coords.items()
        if coord.chunks is not None and set(coord.dims) <= set(dims)
    }
    if not lazy:
        return obj
    # in this thread, as xarray itself reads dimension coordinates; a cluster reads its own
    cluster = hasattr(dask.base.get_scheduler(), "__self__")
    how = {} if cluster else {"scheduler": "synchronous"}
    values = dask.compute(*(c.data for c in lazy.values()), **how)
    read = zip(lazy.items(), values, strict=True)
    return obj.assign_coords({n: (c.dims, v, c.attrs) for (n, c), v in read})


def _in_order(ds: xr.Dataset) -> xr.Dataset:
    """Scales and orientations by increasing labels: what follows may go by position."""
    for dim in _NUMBERED:
        if dim not in ds.dims or dim not in ds.coords:
            continue
        labels = ds[dim].values
        if labels.dtype.kind not in "iuf" or len(np.unique(labels)) < len(labels):
            raise ValueError(
                f"{dim} has the labels {labels.tolist()}: they must be numbers, each of them once"
            )
        if (np.diff(labels) < 0).any():
            ds = ds.isel({dim: np.argsort(labels)})
    return ds


def check_free(obj: Any, who: str, *names: str) -> None:
    """Raise where an operation would make dimensions or coordinates that are there already."""
    for name in names:
        if name in obj.dims or name in obj.coords:
            raise ValueError(
                f"{who} makes a dimension or coordinate {name!r}, but there is one of that name: "
                f"rename it, e.g. .rename({name}={name + '_'!r})"
            )


def _check_over(who: str, ds: xr.Dataset, over: Any) -> None:
    """The dimension must be one of those that do not number statistics."""
    if not isinstance(over, Hashable):
        raise TypeError(f"{who}: over={over!r} must be the name of a dimension")
    own = statistic_dims(ds)
    lead = [d for d in ds.dims if d not in own]
    if over in ds.dims and over in own:
        raise ValueError(
            f"over={over!r} numbers statistics: {who} runs over a dimension of the fields, "
            f"of which there are {lead}"
        )
    if not lead:
        raise ValueError(
            f"over={over!r} is no dimension: the statistics are of one field, {who} needs several"
        )
    check_choice("over", over, list(map(str, lead)))


def _flag(who: str, name: str, value: Any) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{who}: {name}={shown(value)} must be True or False")
    return bool(value)


def _integer(who: str, name: str, value: Any) -> int:
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise TypeError(f"{who}: {name}={shown(value)} must be an integer")
    return int(value)


def _text(who: str, name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{who}: {name}={shown(value)} must be a str")
    return value


def texts(who: str, name: str, value: Any) -> list[str]:
    """Several names; one by itself counts as a list of one."""
    if isinstance(value, str):
        return [value]
    iterable = isinstance(value, Iterable) and not isinstance(
        value, dict | xr.Dataset | xr.DataArray
    )
    found = list(value) if iterable else [value]
    if not iterable or not all(isinstance(v, str) for v in found):
        raise TypeError(f"{who}: {name}={shown(value)} must be a list of str")
    if not found:
        raise ValueError(f"{who}: {name} is empty: leave it out to take all")
    return found


def _positive(who: str, name: str, value: Any) -> float:
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not number or isinstance(value, np.complexfloating):
        raise TypeError(f"{who}: {name}={shown(value)} must be a number")
    if not 0 < value < np.inf:
        raise ValueError(f"{who}: {name}={shown(value)} must be positive and finite")
    return float(value)


def _sigma(who: str, name: str, value: Any) -> Any:
    if isinstance(value, xr.Dataset):
        return as_statistics(who, name, value)
    if isinstance(value, xr.DataArray) or not isinstance(value, int | float | np.number):
        raise TypeError(
            f"{who}: {name} must be a Dataset of standard deviations or a positive number, "
            f"got {type(value).__name__}"
        )
    return _positive(who, name, value)


def _mask(who: str, name: str, value: Any) -> xr.Dataset:
    mask = as_statistics(who, name, value)
    wrong = [str(n) for n, v in mask.data_vars.items() if v.dtype != bool]
    if wrong:
        raise TypeError(
            f"{who}: {name} must be boolean, {wrong[0]} has dtype {mask[wrong[0]].dtype}: "
            "pass what significant() gives, or a comparison such as stats > 0"
        )
    return mask


def _others(who: str, name: str, value: Any) -> list[xr.Dataset]:
    several = isinstance(value, Iterable) and not isinstance(value, xr.Dataset | xr.DataArray | str)
    every = list(value) if several and not isinstance(value, dict) else [value]
    return [as_statistics(who, name, each) for each in every]


def _other(who: str, name: str, value: Any) -> Any:
    return (_others if who == "plot" else as_statistics)(who, name, value)


def _datasets(who: str, name: str, value: Any) -> list[xr.Dataset]:
    if isinstance(value, xr.Dataset | xr.DataArray | str | dict) or not isinstance(value, Iterable):
        raise TypeError(
            f"{who} needs {name}, a list of Datasets of statistics, got {type(value).__name__}: "
            "write concat_realizations([one, another])"
        )
    return [as_statistics(who, f"{name}[{i}]", each) for i, each in enumerate(value)]


def _paths(who: str, name: str, value: Any) -> xr.DataArray:
    """Coefficients along ``path``, its coordinates in memory."""
    maker = "to_vector" if who == "from_vector" else "to_paths"
    if not isinstance(value, xr.DataArray):
        raise TypeError(f"{who} needs a DataArray, what {maker} gives, got {type(value).__name__}")
    if "path" not in value.dims or "statistic" not in value.coords:
        raise ValueError(
            f"{who} needs the dimension path and its coordinate statistic: pass what {maker} gives"
        )
    return in_memory(value, ("path",))


_CHECKS: dict[str, Check] = {
    **dict.fromkeys(("ds", "a", "b", "reference"), as_statistics),
    **dict.fromkeys(("repeat", "conjugate", "imaginary", "relative", "dropna"), _flag),
    **dict.fromkeys(("nharm", "J"), _integer),
    **dict.fromkeys(("by", "at", "side", "part", "hue", "col"), _text),
    **dict.fromkeys(("statistics", "labels"), texts),
    **dict.fromkeys(("paths", "vector"), _paths),
    "snr": _positive,
    "sigma": _sigma,
    "mask": _mask,
    "other": _other,
    "datasets": _datasets,
}
