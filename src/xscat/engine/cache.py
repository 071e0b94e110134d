"""Transforms kept between calls, up to a number of bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

import torch
from dask.base import tokenize

# Masks whose coverage a grid keeps.
_COVERAGES = 2

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
