"""Ctrl-C: all maps stop, what was found is kept.

Python raises KeyboardInterrupt in the main thread. If that is where a search runs, the search
catches it. If dask's threads run the searches, the main thread waits for them: while dask computes,
a handler of the signal asks the searches to stop instead, and dask ends as usual. The second Ctrl-C
is never caught.
"""

from __future__ import annotations

import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

R = TypeVar("R")

_lock = threading.Lock()
_open = 0  # calls and computations of dask that are under way
_begun = 0  # maps that they came to
_warned = False
_abandoned = False  # KeyboardInterrupt left dask, whose threads may come to further maps
_stop = threading.Event()


@contextmanager
def scope(begins: bool = True) -> Iterator[None]:
    """What is stopped together: the maps of a call; those of all calls that overlap in time."""
    _enter(begins)
    try:
        yield
    finally:
        _leave()


def _enter(begins: bool = True) -> None:
    """A call or a computation begins, or a map of one: of an abandoned one, it stays stopped."""
    global _open, _begun, _warned, _abandoned
    with _lock:
        if begins if _abandoned else not _open:
            _begun, _warned, _abandoned = 0, False, False
            _stop.clear()
        _open += 1


def _leave() -> None:
    global _open
    with _lock:
        _open -= 1


def requested() -> bool:
    """Whether the searches shall stop."""
    return _stop.is_set()


def one_map(search: Callable[[], R], nothing: Callable[[], R]) -> R:
    """What is found of one map; nothing, if it was not begun or had not found anything."""
    global _begun
    with scope(begins=False):
        with _lock:
            _begun += 1
        if not requested():
            try:
                return search()
            except KeyboardInterrupt:
                caught()
        _warn_once()
        return nothing()


def _warn_once() -> None:
    global _warned
    with _lock:
        before, _warned = _warned, True
    if not before:
        warnings.warn("interrupted: maps that were not begun are NaN", stacklevel=2)


def caught() -> None:
    """In an ``except KeyboardInterrupt``: stop all searches; a second interrupt is raised again."""
    if requested():
        raise
    _stop.set()


def watch_dask() -> None:
    """Let Ctrl-C stop the searches that dask's threads will run."""
    from dask.callbacks import Callback

    Callback.active.add(_CALLBACK)


_handlers: list[Any] = []  # those from before each computation of dask, one inside another


def _started(_: Any) -> None:
    _enter()
    if threading.current_thread() is threading.main_thread():
        before = signal.getsignal(signal.SIGINT)
        _handlers.append(before)
        if callable(before):  # else the signal is ignored, or not for Python
            signal.signal(signal.SIGINT, _on_signal)


def _finished(*_: Any) -> None:
    if threading.current_thread() is threading.main_thread() and _handlers:
        before = _handlers.pop()
        if callable(before):
            signal.signal(signal.SIGINT, before)
    _leave()


def _on_signal(number: int, frame: FrameType | None) -> None:
    global _abandoned
    first = bool(_begun) and not requested()
    _stop.set()
    if not first:
        _abandoned = True
        _handlers[0](number, frame)


_CALLBACK = (_started, None, None, None, _finished)
