"""Errors, and the checks that raise them early with a way out."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

import numpy as np


class GridError(ValueError):
    """The grid of a field is missing, broken, chunked, or too small for what was asked."""


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
    if value in choices:
        return
    close = difflib.get_close_matches(str(value), choices, n=1, cutoff=0.5)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise error(f"{argument}={value!r} is not one of {', '.join(map(repr, choices))}.{hint}")


def checked_dtype(dtype: Any) -> str:
    """Name of a precision that the engine has.

    Examples
    --------
    >>> import numpy as np
    >>> checked_dtype(np.float32)
    'float32'
    """
    name = dtype if isinstance(dtype, str) else np.dtype(dtype).name
    check_choice("dtype", name, ("float32", "float64"))
    return name


def checked_device(device: Any) -> str:
    """Name of a torch device; whether it is there is for the worker to find out.

    Examples
    --------
    >>> checked_device("cuda:1")
    'cuda:1'
    """
    check_choice("device", str(device).partition(":")[0], ("cpu", "cuda", "mps", "xpu"))
    return str(device)
