"""Names of dimensions: different strings, and those of the values."""

from __future__ import annotations

from typing import Any, TypeVar

import xarray as xr

from ..errors import GridError

Labelled = TypeVar("Labelled", xr.DataArray, xr.Dataset)


def check_dims(da: Labelled, argument: str) -> Labelled:
    """Raise unless all dimensions are named by different strings; mend those of renamed cells."""
    code = code_name(argument)
    if len(set(da.dims)) < len(da.dims):
        raise GridError(
            f"{argument} has a dimension twice, {da.dims}: name them apart, e.g. "
            f"`xr.DataArray({code}.values, dims=('y', 'x'))`"
        )
    odd = [d for d in da.dims if not isinstance(d, str)]
    if odd:
        pair = len(da.dims) == 2 == len(odd) and not any(isinstance(d, tuple) for d in odd)
        names = dict(zip(odd, "yx" if pair else map(_as_name, odd), strict=True))
        raise GridError(
            f"{argument} has dimensions {da.dims}: names must be strings, e.g. "
            f"`{code}.rename({names!r})`"
        )
    return with_own_dim(da)


def code_name(argument: str) -> str:
    """What an argument is called in lines of code in messages."""
    return argument if argument.isidentifier() else "field"


def _as_name(dim: Any) -> str:
    return "_".join(map(str, dim)) if isinstance(dim, tuple) else f"dim_{dim}"


def with_own_dim(da: Labelled) -> Labelled:
    """The same with the cells along a dimension of the array, after ``.rename(cells="cell_ids")``.

    The index of xdggs keeps the old name of its dimension when that takes the name of the index.
    """
    for name, index in da.xindexes.items():
        if is_dggs(index) and name in da.dims and name not in da[name].dims:
            import xdggs

            cells = (name, da[name].values, index.grid_info.to_dict())
            fresh = da.drop_vars(name).assign_coords({name: cells})
            return fresh.pipe(xdggs.decode, name=name)
    return da


def is_dggs(index: object) -> bool:
    """Whether an index is one of xdggs."""
    return type(index).__module__.partition(".")[0] == "xdggs"
