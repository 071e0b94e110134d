"""Options of the numerical engine."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import Any

from .errors import (
    check_choice,
    checked_count,
    checked_device,
    checked_dtype,
    checked_flag,
)

MOST_THREADS = 1024  # far more than help; the operating system refuses to start some thousands


@dataclass(frozen=True)
class Options:
    """How the engine works; see `set_options`."""

    device: str = "cpu"
    dtype: str | None = None
    threads: int = 1
    memory: int = 2**30
    progress: bool = True


_default = Options()
"""Set by the main thread; in force wherever nothing else was set."""
_own: ContextVar[Mapping[str, Any]] = ContextVar("xscat_options", default=MappingProxyType({}))
"""Set in this thread, or in this task of asyncio."""


class set_options:
    """Set options of the engine, for good or, as a context manager, for a block.

    Options are read when a result is built, not when dask computes it.

    Each thread, and each task of asyncio, has options of its own: what one sets, another does not
    see. Threads that set none have those that the main thread set for good (not those of its
    blocks, unless they run in a copy of its context).

    Parameters
    ----------
    device : str, default "cpu"
        Torch device: "cpu", "cuda", "cuda:1", ..., or "auto", a GPU if there is one.
    dtype : {"float32", "float64"}, optional
        Precision. Default: that of the field.
    threads : int, default 1
        Torch threads of one task, at most 1024. Dask runs several tasks side by side already.
    memory : int, default 2**30
        Bytes that one task may use for its maps, and that the stencils kept between calls may take.
        Maps are worked on in batches that fit.
    progress : bool, default True
        Whether synthesis shows a progress bar.

    Raises
    ------
    ValueError, TypeError
        If an option does not exist, its value makes no sense, or the device is not there.

    Examples
    --------
    >>> import xscat
    >>> with xscat.set_options(dtype="float32"):
    ...     pass
    """

    def __init__(self, **options: Any):
        global _default
        checked = {name: _checked(name, value) for name, value in options.items()}
        self._options = checked
        self._before = _default, _own.get()
        own = dict(_own.get())
        if threading.current_thread() is threading.main_thread():
            _default = replace(_default, **checked)
            checked = {name: value for name, value in checked.items() if name in own}
        _own.set(own | checked)

    def __enter__(self) -> None:
        global _default
        default, own = self._before
        if threading.current_thread() is threading.main_thread():
            _default = default
        _own.set({**own, **self._options})

    def __exit__(self, *exception: object) -> None:
        before = self._before[1]
        others = {k: v for k, v in _own.get().items() if k not in self._options}
        _own.set(others | {k: before[k] for k in self._options if k in before})


def _checked(name: str, value: Any) -> Any:
    """The value of an option, if it makes sense."""
    check_choice("option", name, [f.name for f in fields(Options)])
    if name == "device":
        return checked_device(value)
    if name == "dtype":
        return None if value is None else checked_dtype(value)
    if name == "progress":
        return checked_flag(name, value)
    if name == "memory":
        return checked_count(name, value)
    try:
        return checked_count(name, value, most=MOST_THREADS)
    except ValueError as error:
        raise ValueError(f"{error}; this machine has {os.cpu_count()} CPUs") from None


def get_options() -> Options:
    """Options in force."""
    return replace(_default, **_own.get())
