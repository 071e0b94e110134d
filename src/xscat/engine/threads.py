"""The number of torch threads while something is computed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_lock = threading.Lock()
_running = 0
_before = 1


@contextmanager
def torch_threads(number: int) -> Iterator[None]:
    """Set the number of torch threads, and put back the one from before the first of several tasks.

    Torch starts a new thread with the number that was set last, in whatever thread: a task that
    puts back what it found may have found what another one had set.
    """
    global _running, _before
    with _lock:
        if not _running:
            _before = torch.get_num_threads()
        _running += 1
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(_before)
        with _lock:
            _running -= 1
