"""Guards: whether statistics are in the state that is needed, and whether two Datasets go together.

What a Dataset of statistics is stands in its attributes: its kind, its parameters, its grid, and
what was done to it since. Numbers put together by hand have none; then their layout decides.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from ._layout import (
    ORIENTATIONS,
    RELATIVE_ORIENTATIONS,
    SCALES,
    STATISTICS,
    base_name,
    kind_of,
    reductions_of,
    statistic_dims,
)
from .parameters import Parameters

#: What two Datasets must have in common, where both say it.
_COMMON = ("kind", "grid", "level", "grid_units", "spacing", "L", "spin", "wavelet")
_COMPUTED = ("boundary", "frame", "exponent", "average")


def state(ds: xr.Dataset, name: str) -> str | None:
    """What was done: normalized, logarithm, reduction or as_real; None where it was not."""
    if name == "reduction":
        return " ".join(reductions_of(ds)) or None
    if name == "as_real" and name not in ds.attrs:
        # statistics without attributes, read from a file
        parts = "part" in ds.dims and [str(p) for p in ds["part"].values] == ["real", "imag"]
        split = [str(n) for n, v in ds.data_vars.items() if parts and "part" in v.dims]
        return " ".join(n for n in split if base_name(n) in STATISTICS) or None
    return str(ds.attrs[name]) if name in ds.attrs else None


def refuse(ds: xr.Dataset, who: str, *states: str) -> None:
    """Raise ValueError where one of the states of `state` was reached before `who`."""
    for name in states:
        value = state(ds, name)
        if value is None:
            continue
        raise ValueError(
            {
                "normalized": f"{who} needs statistics that are not normalized, these are by "
                f"{value}: call denormalize() first",
                "logarithm": f"{who} needs the statistics themselves, but {value} are logarithms: "
                f"call {who}() before log()",
                "reduction": f"{who} needs the statistics before {value}: write "
                f"stats.scat.{who}().scat.{value.split()[0]}(), in this order",
                "as_real": f"{who} needs complex numbers, but {value} are split in real and "
                "imaginary parts: call from_real() first",
            }[name]
        )


def check_alike(a: xr.Dataset, b: xr.Dataset, sigma: bool = False) -> None:
    """Raise ValueError unless two Datasets hold the same statistics in the same state.

    Compared are kind, grid, parameters and what was done, as far as both say it, the dimensions
    that number each statistic, the number of orientations and the wavelengths of common scales.

    Parameters
    ----------
    a, b : Dataset
    sigma : bool
        `b` holds standard deviations of `a`: real, and perhaps a spread over orientations.
    """
    _check_parameters(a, b)
    _check_done(a, b, sigma)
    for dim in (*ORIENTATIONS, *RELATIVE_ORIENTATIONS):
        if dim in a.dims and dim in b.dims and a.sizes[dim] != b.sizes[dim]:
            raise ValueError(
                f"the statistics have different L: {a.sizes[dim]} and {b.sizes[dim]} along {dim}"
            )
    own, others = statistic_dims(a), {base_name(str(n)): v for n, v in b.data_vars.items()}
    for name, var in a.data_vars.items():
        other = others.get(base_name(str(name)))
        one = [str(d) for d in var.dims if d in own]
        two = [] if other is None else [str(d) for d in other.dims if d in statistic_dims(b)]
        if other is not None and set(one) != set(two) - ({"part"} if sigma else set()):
            raise ValueError(
                f"{name} has the dimensions {', '.join(one) or 'none'} and "
                f"{', '.join(two) or 'none'}: reduce both in the same way"
            )
    _check_wavelengths(a, b)


def _check_parameters(a: xr.Dataset, b: xr.Dataset) -> None:
    """Kind, grid and parameters: only what both have as an attribute."""
    one, other = a.attrs, b.attrs
    wavelet = {k for x in (one, other) for k in x if k.startswith("wavelet_") and "wavelet" in x}
    for name in (*_COMMON, *_COMPUTED, *sorted(wavelet)):
        both = name in one and name in other
        if name in wavelet and "wavelet" in one and "wavelet" in other:
            both = True
        if not both or _same(one.get(name), other.get(name)) or _idle(name, one, other):
            continue
        raise ValueError(
            f"the statistics have different {name}, {one.get(name)} and {other.get(name)}: they "
            f"can only be compared when computed with one {name.replace('grid_units', 'unit')}"
        )


def _idle(name: str, one: dict, other: dict) -> bool:
    """Whether a parameter has no meaning on the grid."""
    sphere = one.get("grid", other.get("grid")) == "healpix"
    angles = "angles" in (one.get("frame"), other.get("frame"))
    return (name == "boundary" and sphere) or (name == "frame" and not sphere and not angles)


def _same(one: Any, other: Any) -> bool:
    numbers = (int, float, np.number)
    if isinstance(one, numbers) and isinstance(other, numbers):
        return bool(np.isclose(one, other, rtol=1e-5, atol=0))
    return str(one) == str(other)


def _check_done(a: xr.Dataset, b: xr.Dataset, sigma: bool) -> None:
    """What was done to both; standard deviations are real and need no as_real."""
    ways = {
        "normalized": ("normalized by", "normalize them alike"),
        "normalized_with": ("normalized with the power of", "normalize them alike"),
        "logarithm": ("logarithms in", "call log() for both or for none"),
        "reduction": ("reduced by", "reduce both in the same way"),
        "as_real": ("split by as_real in", "call from_real() first"),
    }
    for name, (what, way) in ways.items():
        one, other = state(a, name), state(b, name)
        if sigma and name == "as_real":
            continue
        if name == "reduction" and not (a.attrs and b.attrs):
            continue  # made by hand: dimensions tell
        if sigma and name == "reduction":  # a spread over orientations may serve as error
            one, other = (x and x.replace("iso_std", "iso_mean") for x in (one, other))
        if one != other:
            raise ValueError(
                f"the statistics are {what} {one or 'nothing'} and by {other or 'nothing'}: {way}"
                if what.endswith("by")
                else f"the statistics are {what} {one or 'nothing'} and {other or 'nothing'}: {way}"
            )


def _check_wavelengths(a: xr.Dataset, b: xr.Dataset) -> None:
    for dim in SCALES:
        one, other = a.coords.get(f"wavelength_{dim}"), b.coords.get(f"wavelength_{dim}")
        if one is None or other is None or one.chunks or other.chunks:
            continue
        if dim in one.dims and dim in other.dims:
            one, other = xr.align(one, other, join="inner")
        if one.shape == other.shape and not np.allclose(one, other, rtol=1e-6):
            raise ValueError(
                f"the statistics are on different grids: wavelength_{dim} is {one.values} "
                f"and {other.values}; compute both at one resolution"
            )


def matched(
    a: xr.Dataset, b: xr.Dataset, sigma: bool = False, cut: bool = True
) -> tuple[xr.Dataset, xr.Dataset]:
    """Two Datasets that go together, `b` in the order of `a`, both on the scales that both have.

    Parameters
    ----------
    a, b : Dataset
    sigma : bool
        as in `check_alike`.
    cut : bool
        False leaves the scales alone.
    """
    check_alike(a, b, sigma)
    for dim in SCALES if cut else ():
        if dim in a.dims and dim in b.dims:
            labels = np.intersect1d(a[dim], b[dim])
            if not len(labels):
                raise ValueError(f"the statistics have no {dim} in common: select others")
            a, b = a.sel({dim: labels}), b.sel({dim: labels})
    return a, in_order_of(b, a, () if cut else SCALES)


def in_order_of(b: xr.Dataset, a: xr.Dataset | xr.DataArray, but: tuple[str, ...] = ()) -> Any:
    """Dataset `b` with the labels of `a` in their order; ValueError where they are not the same."""
    for dim in map(str, b.dims):
        if dim not in a.dims or dim in but:
            continue
        if dim not in a.coords or dim not in b.coords:
            if a.sizes[dim] != b.sizes[dim]:
                raise ValueError(
                    f"{dim} is not aligned: it has {a.sizes[dim]} and {b.sizes[dim]} elements"
                )
            continue
        one, other = a.indexes[dim], b.indexes[dim]
        if one.equals(other):
            continue
        place = other.get_indexer(one) if other.is_unique else np.full(len(one), -1)
        if len(one) != len(other) or (place < 0).any():
            raise ValueError(
                f"{dim} is not aligned: its labels are {_few(one)} and {_few(other)}; "
                f"select the same in both, e.g. .sel({dim}=...)"
            )
        b = b.isel({dim: place})
    return b


def _few(labels: Any) -> str:
    texts = [str(x) for x in labels[:5]]
    return "[" + ", ".join(texts) + (", ...]" if len(labels) > 5 else "]")


# ---------------------------------------------------------------------------------------------


def check_synthesis_target(target: xr.Dataset, grid: Any, **given: Any) -> Parameters:
    """Parameters of statistics; ValueError unless a field of a grid can be made from them.

    Parameters beside the statistics, None where not given, must agree with theirs.
    """
    refuse(target, "synthesize", "normalized", "logarithm", "as_real")
    if reductions_of(target):
        raise ValueError(
            f"synthesize needs the statistics before {state(target, 'reduction')}: pass statistics "
            "as covariance() returns them, and reduction= to reduce them"
        )
    attrs, wavelet = dict(target.attrs), given.pop("wavelet", None)
    own_wavelet = wavelet is not None and attrs.get("wavelet") == type(wavelet).__name__
    if own_wavelet and attrs["wavelet"] != "Morlet":
        attrs["wavelet"] = "Morlet"
    parameters = Parameters.from_attrs(attrs)
    if attrs != target.attrs:
        parameters = replace(parameters, wavelet=wavelet)
    _check_kind(target, parameters)
    _check_on(target, grid)
    for name, value in (given | {"wavelet": wavelet}).items():
        own = getattr(parameters, name)
        idle = {"L": not grid.oriented, "boundary": grid.kind == "healpix"}
        if value is not None and value != own and not idle.get(name, False):
            raise ValueError(
                f"{name}={value!r} is given beside statistics that have {name}={own!r}: leave out "
                f"{name}=, or compute the statistics with it"
            )
    complete_labels(target, parameters)
    return parameters


def complete_labels(target: xr.Dataset, p: Parameters) -> xr.Dataset:
    """All scales and orientations of statistics in order, NaN where they were selected away."""
    sizes = {f"{c}{i}": getattr(p, c.upper()) for c in "jl" for i in "123"}
    for dim in [d for d in sizes if d in target.dims]:
        have, labels = target[dim].values, np.arange(sizes[dim])
        if np.array_equal(have, labels):
            continue
        if dim not in target.coords or not np.isin(have, labels).all():
            raise ValueError(
                f"target has {len(have)} elements along {dim}, its attribute {dim[0].upper()} "
                f"says {sizes[dim]}: pass statistics as covariance() returns them"
            )
        target = target.reindex({dim: labels})
    return target


def _check_kind(target: xr.Dataset, p: Parameters) -> None:
    """Raise for statistics that are not those of one scalar field by the mean of moduli."""
    found = None
    if kind_of(target) != "auto":
        found = {"cross": "of two fields", "pairs": "of pairs of fields", "modes": "of modes"}[
            kind_of(target)
        ]
    elif p.spin:
        found = f"of a field of spin {p.spin}"
    elif p.exponent != 1:
        found = f"with exponent={p.exponent:g}"
    elif p.average != "mean":
        found = f"with average={p.average!r}"
    elif p.frame == "angles":
        found = "in a local frame of angles"
    if found is not None:
        raise ValueError(
            f"synthesize cannot make a field from statistics {found}: compute those of one scalar "
            "field with covariance(), exponent=1, average='mean' and a named frame"
        )


def _check_on(target: xr.Dataset, grid: Any) -> None:
    """Raise unless statistics are those of a grid."""
    facts = grid.attrs() | {"grid_units": grid.units}
    for name in ("grid", "level", "spacing", "grid_units"):
        if name not in facts or name not in target.attrs:
            continue
        if not _same(facts[name], target.attrs[name]):
            raise ValueError(
                f"the statistics have {name}={target.attrs[name]}, like= has {name}="
                f"{facts[name]}: pass like= on the grid that the statistics were computed on"
            )
