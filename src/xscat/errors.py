"""Errors, and the checks that raise them early with a way out."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GridError(ValueError):
    """The grid of a field is missing, broken, chunked, or too small for what was asked."""


def check_choice(argument: str, value: object, choices: Iterable[str]) -> None:
    """Raise ValueError unless *value* is one of *choices*; suggest the nearest one.

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
    raise ValueError(f"{argument}={value!r} is not one of {', '.join(map(repr, choices))}.{hint}")
