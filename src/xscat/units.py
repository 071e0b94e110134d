"""Fields without their offset and unit, so that statistics hold in single precision too."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Standardized:
    """Fields of mean 0 and of a size near 1.

    Attributes
    ----------
    fields : (B, F, cells)
        ``(field - mean) / 2**exponent``, in double precision, 0 where a cell weighs 0.
    exponent : (B, F) int
        A power of two, so that scaling does not round.
    S0 : (B, F, 2)
        Mean and variance.
    """

    fields: Array
    exponent: Array
    S0: Array


def standardized(
    fields: Array, weights: Array, *, center: bool = True, together: bool = False
) -> Standardized:
    """Remove the weighted mean of fields (B, F, cells) of any dtype and scale them.

    Parameters
    ----------
    fields : (B, F, cells)
        Numbers. Those of cells without weight do not matter.
    weights : (cells,)
        Weights >= 0 or booleans.
    center : bool
        Whether to remove the mean.
    together : bool
        Whether the F fields, components of one, share a scale.
    """
    x = np.array(fields, dtype=float, order="C")  # a copy, of native byte order
    valid, w = weights > 0, weights.astype(float)
    if not valid.any():
        nothing = np.full((*x.shape[:2], 2), np.nan)
        return Standardized(np.zeros_like(x), np.zeros(x.shape[:2], int), nothing)
    w /= w.sum()
    missing = None if valid.all() else ~valid
    if missing is not None:
        x[..., missing] = x[..., valid.argmax(), None]
    with np.errstate(invalid="ignore", over="ignore"):
        low, high = x.min(-1), x.max(-1)
        first = _exponent(np.maximum(np.abs(low), np.abs(high)), together)
        x = _times_two_to(x, -first[..., None])
        mean = x @ w
        y = x - mean[..., None]
        rest = y @ w  # what rounding left, for means far above the scatter
        mean, y = mean + rest, y - rest[..., None]
        y[low == high] = 0
        variance = (y * y) @ w
        power = variance if center else variance + mean**2
        second = _exponent(np.sqrt(power), together)
        y = _times_two_to(y if center else x, -second[..., None])
        if missing is not None:
            y[..., missing] = 0
        S0 = np.stack([_times_two_to(mean, first), _times_two_to(variance, 2 * first)], -1)
    return Standardized(y, first + second, S0)


def _exponent(size: Array, together: bool) -> Array:
    """Exponents of two of sizes (B, F), 0 for a size of 0."""
    size = np.broadcast_to(size.max(1, keepdims=True), size.shape) if together else size
    return np.frexp(size)[1].astype(int)


def _times_two_to(x: Array, exponent: Array) -> Array:
    """X times 2**exponent, in two steps that stay in double precision."""
    half = np.floor(exponent / 2)
    return x * _two_to(half) * _two_to(exponent - half)


def _two_to(exponent: Array) -> Array:
    """Powers of two, exact for integers."""
    whole = np.floor(exponent)
    return np.ldexp(np.exp2(exponent - whole), whole.astype(int))


def in_units(name: str, values: Array, exponent: Array, power: float) -> Array:
    """Statistics of fields in the units of these, in double precision.

    Parameters
    ----------
    name : {"S1", "S2", "S3", "S4"}
        Statistic, or its standard deviation.
    values : (B, F, ...) or (B, F, F, ...)
        Of standardized fields.
    exponent : (B, F)
        Their exponents of two.
    power : float
        To which moduli are raised.
    """
    a, b = exponent[:, :, None], exponent[:, None]
    two = {"S1": power * exponent, "S2": a + b, "S3": a + power * b, "S4": power * (a + b)}[name]
    values = values.astype(np.result_type(values, float), copy=False)
    parts = values.view(float) if np.iscomplexobj(values) else values
    two = two.reshape(*two.shape, *[1] * (parts.ndim - two.ndim))
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        result = _times_two_to(parts, two)
    _warn_if_lost(name, parts, result, exponent)
    return result.view(values.dtype)


def _warn_if_lost(name: str, before: Array, after: Array, exponent: Array) -> None:
    """Warn of statistics that double precision does not hold."""
    over = np.isinf(after).any()
    tiny = np.finfo(float).tiny
    largest = [np.nanmax(np.abs(x), initial=0) for x in (before, after)]
    under = largest[1] < tiny <= largest[0] * np.finfo(float).eps
    if over or under:
        size = f"1e{round(float(np.abs(exponent).max() * np.sign(1 if over else -1)) * 0.30103)}"
        warnings.warn(
            f"{name} of fields of a size near {size} leaves double precision: give the field in "
            f"other units, e.g. field / {size}",
            stacklevel=2,
        )
