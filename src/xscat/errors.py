"""Errors, and the checks that raise them early with a way out."""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

import numpy as np


class GridError(ValueError):
    """The grid of a field is missing, broken, chunked, or too small for what was asked."""


def did_you_mean(word: object, choices: Iterable[str]) -> str:
    """A sentence with the nearest of some words, or nothing.

    Examples
    --------
    >>> did_you_mean("periodical", ["valid", "periodic"])
    " Did you mean 'periodic'?"
    """
    close = difflib.get_close_matches(str(word), list(choices), n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""


def shown(value: object) -> str:
    """A value as it stands in a message: short, and never the contents of an array.

    Examples
    --------
    >>> import numpy as np
    >>> shown(np.zeros(3)), shown("0.1")
    ('ndarray', "'0.1'")
    """
    plain = isinstance(value, str | Integral | Real | tuple | list | dict) or value is None
    text = repr(value) if plain else type(value).__name__
    return text if len(text) <= 60 else f"{text[:57]}..."


def check_choice(
    argument: str, value: object, choices: Iterable[str], error: type[ValueError] = ValueError
) -> None:
    """Raise an error unless *value* is one of *choices*; suggest the nearest one.

    Examples
    --------
    >>> check_choice("boundary", "periodical", ["valid", "periodic"])
    Traceback (most recent call last):
    ...
    ValueError: boundary='periodical' is not one of 'valid', 'periodic'. Did you mean 'periodic'?
    """
    choices = list(choices)
    if isinstance(value, str) and value in choices:
        return
    names = ", ".join(map(repr, choices))
    raise error(f"{argument}={shown(value)} is not one of {names}.{did_you_mean(value, choices)}")


def checked_count(
    argument: str,
    value: Any,
    least: int = 1,
    most: int | None = None,
    error: type[ValueError] = ValueError,
) -> int:
    """An integer in a range; a float, a string or a bool is none.

    Examples
    --------
    >>> checked_count("steps", 0)
    Traceback (most recent call last):
    ...
    ValueError: steps=0 must be a positive integer
    """
    is_integer = isinstance(value, Integral) and not isinstance(value, bool)
    if is_integer and least <= value and (most is None or value <= most):
        return int(value)
    if is_integer and value >= least:
        raise error(f"{argument}={value} is too large: the largest is {most}")
    what = "a positive integer" if least == 1 else f">= {least} and an integer"
    raise error(f"{argument}={shown(value)} must be {what}")


def checked_number(
    argument: str, value: Any, *, zero: bool = False, most: float = math.inf
) -> float:
    """A finite number above 0, or at least 0 if *zero*, and up to *most*.

    Examples
    --------
    >>> checked_number("tol", "0.1")
    Traceback (most recent call last):
    ...
    TypeError: tol='0.1' must be a number
    """
    if not isinstance(value, Real) or isinstance(value, bool | np.bool_):
        raise TypeError(f"{argument}={shown(value)} must be a number")
    number = float(value)
    if math.isfinite(number) and (number > 0 or (zero and number == 0)) and number <= most:
        return number
    if math.isfinite(most):
        raise ValueError(f"{argument}={value!r} must lie in {'[' if zero else '('}0, {most:g}]")
    raise ValueError(f"{argument}={value!r} must be {'>= 0' if zero else 'positive'} and finite")


def checked_flag(argument: str, value: Any) -> bool:
    """True or False."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{argument}={shown(value)} must be True or False")
    return bool(value)


def checked_names(argument: str, value: Any, choices: Iterable[str]) -> tuple[str, ...]:
    """Some of the names in *choices*: a sequence of them, or one alone.

    Examples
    --------
    >>> checked_names("statistics", "S1", ["S1", "S2"])
    ('S1',)
    """
    choices = list(choices)
    if isinstance(value, str):
        value = (value,)
    if not isinstance(value, Iterable):
        raise TypeError(f"{argument}={shown(value)} must name some of {', '.join(choices)}")
    names = tuple(value)
    if not names:
        raise ValueError(f"{argument}=() is empty: name at least one of {', '.join(choices)}")
    for name in names:
        check_choice(argument, name, choices)
    return names


def check_callable(argument: str, value: Any, *arguments: str) -> None:
    """Raise unless *value* can be called with so many positional arguments."""
    call = f"{argument}({', '.join(arguments)})"
    if not callable(value):
        raise TypeError(f"{argument}={shown(value)} is no function: it is called as {call}")
    try:
        inspect.signature(value).bind(*arguments)
    except ValueError:  # some functions that are not Python's do not tell
        return
    except TypeError as error:
        raise TypeError(f"{argument} is called as {call}, but this one: {error}") from None


def checked_dtype(dtype: Any) -> str:
    """Name of a precision that the engine has.

    Examples
    --------
    >>> import numpy as np
    >>> checked_dtype(np.float32)
    'float32'
    """
    try:
        name = dtype if isinstance(dtype, str) else np.dtype(dtype).name
    except TypeError:
        name = shown(dtype)
    check_choice("dtype", name, ("float32", "float64"))
    return name


_NO_DEVICE = {
    "gpu": "Did you mean 'cuda'?",
    "mps": "xscat needs double precision, which 'mps' has not.",
    "xpu": "xscat knows 'cpu' and 'cuda'.",
}


def checked_device(device: Any) -> str:
    """Name of a torch device that is there; "auto" is the GPU if there is one.

    Examples
    --------
    >>> checked_device("cpu")
    'cpu'
    """
    name = str(device)
    if name == "cpu":  # torch need not be asked
        return name
    import torch

    there = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    if name == "auto":
        return "cuda" if there else "cpu"
    if name in there or (name == "cuda" and there):
        return name
    kind = name.partition(":")[0]
    hint = _NO_DEVICE.get(kind, "")
    if kind not in ("cpu", "cuda", *_NO_DEVICE):
        hint = did_you_mean(kind, ("auto", "cpu", "cuda")).strip()
    raise ValueError(
        f"device={name!r} is not there. {hint}{' ' if hint else ''}Torch finds "
        f"{', '.join(map(repr, ['cpu', *there]))} here; 'auto' takes a GPU if there is one"
    )
