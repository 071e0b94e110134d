"""Names of dimensions: different strings."""

from __future__ import annotations

from typing import Any

import xarray as xr

from ..errors import GridError


def check_dims(da: xr.DataArray | xr.Dataset, argument: str) -> None:
    """Raise unless all dimensions are named by different strings."""
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


def code_name(argument: str) -> str:
    """What an argument is called in lines of code in messages."""
    return argument if argument.isidentifier() else "field"


def _as_name(dim: Any) -> str:
    return "_".join(map(str, dim)) if isinstance(dim, tuple) else f"dim_{dim}"


def is_dggs(index: object) -> bool:
    """Whether an index is one of xdggs."""
    return type(index).__module__.partition(".")[0] == "xdggs"
