"""Transforms and coverages kept between calls, up to a number of bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from hashlib import sha256
from typing import Any, TypeVar

import torch
from dask.base import tokenize

# Share of the memory that coverages take: most maps of a series have one mask, or few regions.
_COVERAGES = 1 / 8

# Results that a function of `remembered` keeps.
_RESULTS = 32

T = TypeVar("T")

_lock = threading.RLock()
_kept: OrderedDict[str, Any] = OrderedDict()
_coverages: OrderedDict[Any, _Coverage] = OrderedDict()


@dataclass(frozen=True)
class _Coverage:
    """A coverage, None if all coefficients count."""

    value: Any

    @property
    def nbytes(self) -> int:
        parts = [] if self.value is None else vars(self.value).values()
        return sum(t.nbytes for part in parts for t in (part if isinstance(part, list) else [part]))


def transforms(spec: Any, memory: int) -> Any:
    """The transforms of a specification, made or kept; the least recently used ones go first."""
    key = tokenize(spec)
    with _lock:
        if key not in _kept:
            with torch.inference_mode(False):  # they may serve a gradient later
                made = spec.build(lambda whole: transforms(whole, memory))
            made.token, _kept[key] = key, made
        return _newest(_kept, key, memory)


def coverage(grid: Any, weights: torch.Tensor, min_coverage: float, memory: int) -> Any:
    """Coverage of a grid, made or kept."""
    digest = sha256(weights.cpu().numpy().tobytes()).digest()
    key = (grid.token, digest, weights.dtype, min_coverage)
    with _lock:
        if key in _coverages:
            return _newest(_coverages, key, memory * _COVERAGES).value
    found = _Coverage(grid.coverage(weights, min_coverage))
    with _lock:
        _coverages[key] = found
        return _newest(_coverages, key, memory * _COVERAGES).value


def _newest(kept: OrderedDict[Any, Any], key: Any, memory: float) -> Any:
    """What is kept under a key, now the newest. Others go, and itself, if they take too much."""
    kept.move_to_end(key)
    found = kept[key]
    while kept and sum(k.nbytes for k in kept.values()) > memory:
        kept.popitem(last=False)
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
