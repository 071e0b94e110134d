"""Options of the numerical engine."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from .errors import check_choice, checked_device, checked_dtype


@dataclass(frozen=True)
class Options:
    """How the engine works; see `set_options`."""

    device: str = "cpu"
    dtype: str | None = None
    threads: int = 1
    memory: int = 2**30
    progress: bool = True


_current = Options()


class set_options:
    """Set options of the engine, for good or, as a context manager, for a block.

    Options are read when a result is built, not when dask computes it.

    Parameters
    ----------
    device : str, default "cpu"
        Torch device, such as "cuda".
    dtype : {"float32", "float64"}, optional
        Precision. Default: that of the field.
    threads : int, default 1
        Torch threads of one task. Dask runs several tasks side by side already.
    memory : int, default 2**30
        Bytes that one task may use for its maps, and that the stencils kept between calls may take.
        Maps are worked on in batches that fit.
    progress : bool, default True
        Whether synthesis shows a progress bar.

    Raises
    ------
    ValueError
        If an option does not exist or its value makes no sense.

    Examples
    --------
    >>> import xscat
    >>> with xscat.set_options(dtype="float32"):
    ...     pass
    """

    def __init__(self, **options: Any):
        global _current
        for name, value in list(options.items()):
            check_choice("option", name, [f.name for f in fields(Options)])
            if name == "dtype" and value is not None:
                options["dtype"] = checked_dtype(value)
            if name == "device":
                options["device"] = checked_device(value)
            if name in ("threads", "memory") and not (isinstance(value, int) and value > 0):
                raise ValueError(f"{name}={value!r} must be a positive integer")
        self._previous = _current
        _current = replace(_current, **options)

    def __enter__(self) -> None:
        return None

    def __exit__(self, *exception: object) -> None:
        global _current
        _current = self._previous


def get_options() -> Options:
    """Options in force."""
    return _current
