"""The arguments of a search, checked before anything is computed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from functools import partial
from typing import Any

import xarray as xr

from ..errors import (
    check_callable,
    check_choice,
    checked_count,
    checked_device,
    checked_dtype,
    checked_flag,
    checked_names,
    checked_number,
    shown,
)
from ..parameters import STATISTICS

MOST_ITERATIONS = 10**6  # a loss of each is kept


def checked_arguments(given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `synthesize`, those that have a check checked."""
    return {k: _CHECKS[k](k, v) if k in _CHECKS else v for k, v in given.items()}


def checked_array(argument: str, value: Any) -> xr.DataArray:
    """A DataArray of numbers or booleans."""
    if not isinstance(value, xr.DataArray):
        raise TypeError(f"{argument} must be a DataArray, got {type(value).__name__}")
    if value.dtype.kind not in "biuf":
        raise TypeError(f"{argument} has dtype {value.dtype}: real numbers or booleans are needed")
    return value


def checked_terms(argument: str, terms: Any) -> tuple[Any, ...]:
    """Terms, or one alone: things to call, or with a method ``prepare``."""
    alone = callable(terms) or hasattr(terms, "prepare")
    if not alone and (isinstance(terms, str | Mapping) or not isinstance(terms, Iterable)):
        raise TypeError(f"{argument}={shown(terms)} must be a list of terms, see xscat.terms")
    if isinstance(terms, xr.DataArray | xr.Dataset):
        raise TypeError(f"{argument} is a field: make a term of it, xscat.terms.Statistics(field)")
    terms = (terms,) if alone else tuple(terms)
    for i, term in enumerate(terms):
        name = f"{argument}[{i}]"
        if isinstance(term, type):
            raise TypeError(f"{name} is the class {term.__name__}: make one, {term.__name__}(...)")
        if not callable(getattr(term, "prepare", None)):
            check_callable(name, term, "fields", "context")
    return terms


def check_term(term: Any) -> None:
    """Check what a term of `xscat.terms` was made of, by the names of its arguments."""
    kind = type(term).__name__
    for field in fields(term):
        value = getattr(term, field.name)
        if value is None and field.default is None:
            continue
        if field.name == "sigma" and isinstance(value, xr.DataArray) and kind == "Pixels":
            checked_array(f"sigma of {kind}", value)
            if value.chunks is None and bool((value <= 0).any()):
                raise ValueError(f"sigma of {kind} has values <= 0: errors are positive, or NaN")
        elif field.name in _TERM_CHECKS:
            checked = _TERM_CHECKS[field.name](f"{field.name} of {kind}", value)
            if field.name == "statistics":
                object.__setattr__(term, "statistics", checked)


def _optional(check: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
    return lambda argument, value: None if value is None else check(argument, value)


def _one_of(*choices: str) -> Callable[[str, Any], Any]:
    def check(argument: str, value: Any) -> Any:
        check_choice(argument, value, choices)
        return value

    return check


def _callback(argument: str, value: Any) -> Any:
    check_callable(argument, value, "level", "iteration", "loss")
    return value


_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "steps": checked_count,
    "seed": _optional(partial(checked_count, least=0, most=2**63 - 1)),
    "realizations": checked_count,
    "match": _one_of("each", "mean"),
    "statistics": partial(checked_names, choices=STATISTICS),
    "reduction": _optional(_one_of("iso_mean", "fft_ang")),
    "nharm": partial(checked_count, least=0),
    "imaginary": checked_flag,
    "use_variance": checked_flag,
    "gaussianize": checked_flag,
    "initial": _optional(checked_array),
    "update": _optional(checked_array),
    "mask": _optional(checked_array),
    "cross_with": _optional(checked_array),
    "upsample": partial(checked_count, least=0, most=16),
    "terms": checked_terms,
    "max_iter": partial(checked_count, most=MOST_ITERATIONS),
    "tol": partial(checked_number, zero=True),
    "optimizer": _one_of("lbfgs", "scipy", "torch"),
    "progress": _optional(checked_flag),
    "callback": _optional(_callback),
    "frame": _optional(_one_of("meridian", "stereographic")),
    "dtype": _optional(lambda _, value: checked_dtype(value)),
    "device": _optional(lambda _, value: checked_device(value)),
}
_TERM_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    **dict.fromkeys(("target", "template", "data", "noise", "mask"), checked_array),
    "sigma": checked_number,
    "weight": partial(checked_number, zero=True),
    **{name: _CHECKS[name] for name in ("statistics", "reduction", "nharm", "use_variance")},
}
