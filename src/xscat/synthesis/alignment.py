"""Further inputs of a synthesis, brought to the cells and the maps of the field by their labels.

Arrays reach a block map by map, without labels. Those of terms leave a `Slot` behind when the graph
is built and come back as arrays in the block.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from ..errors import GridError
from ..grids import Grid, align_along, align_to
from ..terms import Prepared

Array = np.ndarray[Any, np.dtype[Any]]

NOISE_DIM = "__noise"
REALIZATION_DIM = "__realization"


@dataclass(frozen=True)
class Frame:
    """Where the maps are that fields are made for.

    Attributes
    ----------
    field : DataArray
        A field on the cells, without leading dimensions; its values do not matter.
    grid : Grid
        Its grid.
    maps : DataArray
        Numbers of the maps, with the leading dimensions and their coordinates.
    chunks : mapping, optional
        How the maps are chunked, if they are.
    """

    field: xr.DataArray
    grid: Grid
    maps: xr.DataArray
    chunks: Mapping[Hashable, tuple[int, ...]] | None = None

    def aligned(self, other: Any, argument: str) -> xr.DataArray:
        """*other* on the cells and, where it has their dimensions, the maps; without coordinates.

        Those of dimensions that neither cells nor maps have are kept.
        """
        check_real(other, argument)
        other = align_to(self.field, self.grid, other, argument)
        other = align_along(self.maps, other, argument)
        known = {*self.grid.dims, *self.maps.dims}
        return other.drop_vars([c for c in other.coords if c not in other.dims or c in known])

    def chosen(self, other: Any, argument: str) -> xr.DataArray:
        """Booleans on the cells from booleans or from 0 and 1; NaN is 0."""
        other = self.aligned(other, argument)
        return xr.apply_ufunc(
            _chosen,
            other,
            kwargs={"argument": argument},
            dask="parallelized",
            output_dtypes=[bool],
        )

    def stack(self, other: Any, argument: str, name: str, dim: Hashable | None) -> xr.DataArray:
        """Several fields for each map along one more dimension, under a private name."""
        other = self.aligned(other, argument)
        known = {*self.grid.dims, *self.maps.dims}
        extra = [d for d in other.dims if d not in known] if dim is None else [dim]
        if len(extra) != 1 or extra[0] not in other.dims:
            raise ValueError(
                f"{argument} has the dimensions {other.dims}: it needs one more than the field, of "
                "realizations; of several, name it by noise_dim="
            )
        if other.sizes[extra[0]] < 2:
            raise ValueError(
                f"{argument} has one realization, which does not tell its scatter: give ten or so"
            )
        other = other.rename({extra[0]: name}).drop_vars(name, errors="ignore")
        return other if other.chunks is None else other.chunk({name: -1})

    def of_map(self, other: xr.DataArray, number: int) -> Array:
        """Values (..., *cells) of a field for one of the maps."""
        other = self.aligned(other, "the field of a term")
        at = dict(zip(self.maps.dims, np.unravel_index(number, self.maps.shape), strict=True))
        other = other.isel({d: int(i) for d, i in at.items() if d in other.dims})
        return np.asarray(other.transpose(..., *self.grid.dims).values)


def check_real(other: Any, argument: str) -> None:
    """Raise unless an argument is a DataArray of real numbers."""
    if not isinstance(other, xr.DataArray):
        raise TypeError(f"{argument} must be a DataArray, got {type(other).__name__}")
    if other.dtype.kind == "c":
        raise TypeError(
            f"{argument} is complex ({other.dtype}), fields are real: pass its .real, .imag or "
            "abs(...)"
        )
    if other.dtype.kind not in "fiub":
        raise TypeError(f"{argument} has dtype {other.dtype}: convert it, e.g. .astype('float64')")


def _chosen(values: Array, argument: str) -> Array:
    wrong = ~np.isin(values, (0, 1)) & ~np.isnan(values)
    if wrong.any():
        raise ValueError(
            f"{argument} has weights that are neither 0 nor 1, such as {values[wrong][0]:g}: here "
            f"cells count or they do not, pass e.g. {argument} > 0"
        )
    return np.asarray(values == 1)


@dataclass(frozen=True)
class Slot:
    """Stands for an array of a term until a block has it."""

    key: str


Inputs = dict[str, tuple[xr.DataArray, list[str]]]
"""Arrays by name, and their dimensions in a block."""


def taken_out(terms: Sequence[Any], frame: Frame, owner: str = "") -> tuple[list[Any], Inputs]:
    """Terms without their arrays, and these on the cells and the maps."""
    result, inputs = [], {}
    for i, term in enumerate(terms):
        slots: dict[str, Any] = {}
        for name in term.arrays if isinstance(term, Prepared) else ():
            value = getattr(term, name)
            if value is None or (np.ndim(value) == 0 and not isinstance(value, xr.DataArray)):
                continue
            slots[name] = Slot(f"{owner}{i}.{name}")
            argument = f"{owner}{name} of terms.{type(term).__name__}"
            inputs[slots[name].key] = _of_term(frame, value, argument, name)
        result.append(_with(term, slots) if slots else term)
    return result, inputs


def _with(term: Any, arrays: Mapping[str, Any]) -> Any:
    """The term with other arrays, which are not checked again: slots, or values of one map."""
    result = copy(term)
    for name, value in arrays.items():
        object.__setattr__(result, name, value)
    return result


def _of_term(frame: Frame, value: Any, argument: str, name: str) -> tuple[xr.DataArray, list[str]]:
    if name == "noise":
        array = frame.stack(value, argument, NOISE_DIM, None)
        return array, [NOISE_DIM, *frame.grid.dims]
    array = (frame.chosen if name == "mask" else frame.aligned)(value, argument)
    return array, list(frame.grid.dims)


def put_back(terms: Sequence[Any], given: Mapping[str, Array]) -> tuple[Any, ...]:
    """Terms with the arrays of one map."""
    result = []
    for term in terms:
        names = term.arrays if isinstance(term, Prepared) else ()
        slots = {n: s for n in names if isinstance(s := getattr(term, n), Slot)}
        result.append(_with(term, {n: given[s.key] for n, s in slots.items()}) if slots else term)
    return tuple(result)


def labels_needed(terms: Sequence[Any]) -> bool:
    """Whether a term may ask for the labels of the field: one that is not ours."""
    return not all(isinstance(term, Prepared) for term in terms)


def check_names(maps: xr.DataArray, inputs: Inputs, own: Sequence[str]) -> None:
    """Raise where a dimension of the inputs has the name of one that the result will have."""
    dims = {d for array, core in inputs.values() for d in array.dims if d not in core}
    for name in own:
        if name in dims or name in maps.dims:
            raise GridError(
                f"the result has a dimension {name!r} of its own: rename that of the field, e.g. "
                f".rename({name}={name + '_'!r})"
            )
