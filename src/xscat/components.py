"""The two components of a spin field, told apart by their names."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import xarray as xr

from .errors import check_choice
from .grids.dims import check_dims
from .inputs import check_field

# What stands in the names of the first and the second component where they differ.
_ROLES = {
    1: (("u", "v"), ("x", "y"), ("east", "north"), ("zonal", "meridional")),
    2: (("q", "u"),),
}
_MEANING = {1: "toward east (or +x) and north (or +y)", 2: "Q and U"}
_EXAMPLE = {1: ("u", "v"), 2: ("Q", "U")}


def spin_field(
    fields: xr.DataArray | xr.Dataset,
    spin: int,
    component: Hashable | None,
    components: Sequence[Hashable] | None,
    convention: str,
    mask: xr.DataArray | None,
) -> tuple[xr.DataArray, str]:
    """The components toward east and north, in this order, and their dimension."""
    check_choice("convention", convention, ("COSMO", "IAU"))
    dim = "component" if component is None else str(component)
    if isinstance(fields, xr.Dataset):
        array = _of_dataset(fields, spin, dim, components, mask)
    else:
        array = _of_array(fields, spin, dim, components)
    if array.chunks is not None:
        array = array.chunk({dim: -1})
    return (array if spin == 1 else _from_east(array, dim, convention)), dim


def _of_dataset(
    ds: xr.Dataset,
    spin: int,
    dim: str,
    components: Sequence[Hashable] | None,
    mask: xr.DataArray | None,
) -> xr.DataArray:
    names = list(ds.data_vars)
    if components is None and len(names) != 2:
        raise ValueError(
            f"spin={spin} needs a Dataset of two components, this one has the variables "
            f"{', '.join(map(str, names))}: name them, components={_EXAMPLE[spin]}, or select "
            f"them, e.g. ds[{list(_EXAMPLE[spin])}]"
        )
    standard = [ds[n].attrs.get("standard_name") for n in names]
    chosen = ordered(names, spin, components, standard)
    units = [ds[n].attrs.get("units") for n in chosen]
    check_dims(ds, "the Dataset")
    parts = {n: check_field(ds[n], f"variable {n!r}", mask) for n in chosen}
    array = ds[chosen].assign(parts).to_dataarray(dim)
    array = array.assign_coords({dim: array[dim].astype(str)})
    array.name = "-".join(map(str, chosen))
    array.attrs = {"units": units[0]} if units[0] is not None and units[0] == units[1] else {}
    return array


def _of_array(
    da: xr.DataArray, spin: int, dim: str, components: Sequence[Hashable] | None
) -> xr.DataArray:
    check_choice("component", dim, map(str, da.dims))
    if dim not in da.coords:
        raise ValueError(
            f"dimension {dim!r} has no labels that tell the components {_MEANING[spin]} apart: "
            f"use .assign_coords({{{dim!r}: {list(_EXAMPLE[spin])}}}), in the order of the data"
        )
    names = da[dim].values.tolist()
    if components is None and len(names) != 2:
        raise ValueError(
            f"dimension {dim!r} has the {len(names)} elements {names}, a spin field has two "
            f"components: name them, components={_EXAMPLE[spin]}"
        )
    chosen = ordered(names, spin, components)
    return da.isel({dim: [names.index(n) for n in chosen]})


def ordered(
    names: Sequence[Any],
    spin: int,
    components: Sequence[Hashable] | None = None,
    standard_names: Sequence[Any] = (),
) -> list[Any]:
    """The names of the two components, that toward east (or Q) first.

    Examples
    --------
    >>> ordered(["v10", "u10"], 1), ordered(["U_353", "Q_353"], 2)
    (['u10', 'v10'], ['Q_353', 'U_353'])
    >>> ordered(["b", "a"], 1, standard_names=["northward_wind", "eastward_wind"])
    ['a', 'b']
    """
    if components is not None:
        return _named(names, components)
    orders = {_order(pair, spin) for pair in (names, standard_names)} - {None}
    if len(orders) == 1:
        first = orders.pop()
        assert first is not None
        return [names[first], names[1 - first]]
    what = "the names and standard_name contradict each other" if orders else "no names that tell"
    raise ValueError(
        f"which of {names[0]!r} and {names[1]!r} is which of the components {_MEANING[spin]}? "
        f"({what}): name them in this order, e.g. components=({names[0]!r}, {names[1]!r})"
    )


def _named(names: Sequence[Any], components: Sequence[Hashable]) -> list[Any]:
    if isinstance(components, str) or len(components) != 2 or components[0] == components[1]:
        raise ValueError(f"components={components!r}: two different names are needed")
    for name in components:
        if name not in names:
            raise ValueError(f"components={tuple(components)!r}: {name!r} is not one of {names}")
    return list(components)


def _order(names: Sequence[Any], spin: int) -> int | None:
    """Which of two names is that of the first component; None if they do not tell."""
    if len(names) != 2 or not all(isinstance(n, str) for n in names):
        return None
    a, b = (n.lower() for n in names)
    for first, second in _ROLES[spin]:
        if _swapped(a, b, first, second):
            return 0
        if _swapped(b, a, first, second):
            return 1
    return None


def _swapped(a: str, b: str, first: str, second: str) -> bool:
    """Whether a is b with *first* in the place of *second*."""
    places = (i for i in range(len(a)) if a.startswith(first, i))
    return any(a[:i] + second + a[i + len(first) :] == b for i in places)


def _from_east(array: xr.DataArray, dim: str, convention: str) -> xr.DataArray:
    """Q and U by the angle from east: in both conventions it counts from north, so Q turns over."""
    signs = xr.DataArray([-1.0, 1.0 if convention == "IAU" else -1.0], dims=dim)
    turned = array * signs.astype(array.dtype if array.dtype.kind == "f" else float)
    turned.name, turned.attrs = array.name, array.attrs
    return turned
