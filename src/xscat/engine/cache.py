"""Transforms kept between calls, up to a number of bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import torch
from dask.base import tokenize

# Masks whose coverage a grid keeps.
_COVERAGES = 2

# Results that a function of `remembered` keeps.
_RESULTS = 32

T = TypeVar("T")

_lock = threading.Lock()
_kept: OrderedDict[str, Any] = OrderedDict()


def transforms(spec: Any, memory: int) -> Any:
    """The transforms of a specification, made or kept; the least recently used ones go first."""
    key = tokenize(spec)
    with _lock:
        if key not in _kept:
            with torch.inference_mode(False):  # they may serve a gradient later
                _kept[key] = spec.build()
        _kept.move_to_end(key)
        found = _kept[key]
        while sum(t.nbytes for t in _kept.values()) > memory and len(_kept) > 1:
            _kept.popitem(last=False)
        if found.nbytes > memory:
            del _kept[key]
        return found


def coverage(grid: Any, weights: torch.Tensor, min_coverage: float) -> Any:
    """Coverage of a grid, kept for the masks that it met last: most maps of a series share one."""
    key = (weights.cpu().numpy().tobytes(), tuple(weights.shape), weights.dtype, min_coverage)
    with _lock:
        known = vars(grid).setdefault("_coverages", OrderedDict())
        if key in known:
            known.move_to_end(key)
            return known[key]
    found = grid.coverage(weights, min_coverage)
    with _lock:
        known[key] = found
        if len(known) > _COVERAGES:
            known.popitem(last=False)
    return found


def remembered(function: Callable[..., T]) -> Callable[..., T]:
    """A function whose last results are kept, whatever its arguments are."""
    results: OrderedDict[str, T] = OrderedDict()

    @wraps(function)
    def call(*args: Any) -> T:
        key = tokenize(*args)
        with _lock:
            if key in results:
                results.move_to_end(key)
                return results[key]
        found = function(*args)
        with _lock:
            results[key] = found
            if len(results) > _RESULTS:
                results.popitem(last=False)
        return found

    return call
