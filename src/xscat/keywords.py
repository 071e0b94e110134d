"""Unknown keywords of public functions, met with the one that was meant."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any, ParamSpec, TypeVar, overload

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C", bound=type)

# Words of FOSCAT, of other packages and of earlier versions, in lower case: what they are called
# here, the first that a function has.
_ELSEWHERE: dict[str, tuple[str, ...]] = {
    "norient": ("L",),
    "n_orient": ("L",),
    "orientations": ("L",),
    "nori": ("L",),
    "jmax": ("J",),
    "nscales": ("J",),
    "n_scales": ("J",),
    "kernelsz": ("wavelet",),
    "select": ("scales", "select"),
    "grid_dim": ("dim",),
    "dims": ("dim", "over"),
    "axis": ("dim", "over"),
    "reference": ("cross_with", "reference"),
    "image2": ("cross_with", "b"),
    "component": ("components",),
    "nstep": ("max_iter",),
    "nsteps": ("max_iter",),
    "num_epochs": ("max_iter",),
    "epochs": ("max_iter",),
    "niter": ("max_iter",),
    "n_iter": ("max_iter",),
    "maxiter": ("max_iter",),
    "iterations": ("max_iter",),
    "tolerance": ("tol",),
    "eval_frequency": ("callback",),
    "random_state": ("seed",),
    "n_realizations": ("realizations",),
    "init": ("initial",),
    "input_image": ("initial",),
    "grd_mask": ("update",),
    "gap": ("update",),
    "gaps": ("update",),
    "weights": ("mask",),
    "std": ("sigma", "variance", "noise"),
    "errors": ("variance",),
    "compute_std": ("variance",),
    "calc_var": ("variance",),
    "norm": ("by", "reference"),
    "periodic": ("boundary",),
    "pbc": ("boundary",),
    "padding": ("boundary",),
    "all_type": ("dtype",),
    "precision": ("dtype",),
    "gpupos": ("device",),
    "gpu": ("device",),
    "backend": ("device",),
    "verbose": ("progress",),
}
# Words that stand for nothing here, and why.
_NOTHING: dict[str, str] = {
    "nside": "the resolution is that of the cells (level in their attributes)",
    "nest": "the ordering is that of the cells (indexing_scheme in their attributes)",
    "chans": "the sphere or the plane is found from the field",
    "use_2d": "the sphere or the plane is found from the field",
    "use_1d": "a line is chosen by dim='x'",
}


@overload
def checked_keywords(function: Callable[P, R]) -> Callable[P, R]: ...
@overload
def checked_keywords(*, also: Iterable[str]) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def checked_keywords(function: Any = None, *, also: Iterable[str] = ()) -> Any:
    """Decorate a public function: an unknown keyword is met with the one that was meant.

    Parameters
    ----------
    also : iterable of str
        Keywords that ``**kwargs`` of the function may hold.
    """
    if function is None:
        return lambda f: _checked(f, tuple(sorted(also)))
    return _checked(function, ())


def _checked(function: Callable[P, R], also: tuple[str, ...]) -> Callable[P, R]:
    kinds = inspect.Parameter
    parameters = inspect.signature(function).parameters.values()
    names = [
        p.name for p in parameters if p.kind in (kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY)
    ]
    if not also and any(p.kind is kinds.VAR_KEYWORD for p in parameters):
        return function
    known = frozenset(names).union(also)

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        for word in kwargs:
            if word not in known:
                raise TypeError(_message(function.__name__, word, dict.fromkeys([*names, *also])))
        return function(*args, **kwargs)

    return checked


def checked_class(cls: C) -> C:
    """The same for the arguments of a class."""
    init: Any = cls.__init__  # type: ignore[misc]
    names = list(inspect.signature(cls).parameters)

    @functools.wraps(init)
    def checked(self: Any, *args: Any, **kwargs: Any) -> None:
        for word in kwargs:
            if word not in names:
                raise TypeError(_message(cls.__name__, word, names))
        init(self, *args, **kwargs)

    cls.__init__ = checked  # type: ignore[misc]
    return cls


def _message(function: str, word: str, names: Iterable[str]) -> str:
    """What to say of an unknown keyword."""
    names = [name for name in names if name != "self"]
    start = f"{function}() has no argument {word!r}"
    if (why := _NOTHING.get(word.lower())) is not None:
        return f"{start}: {why}"
    meant = [name for name in _ELSEWHERE.get(word.lower(), ()) if name in names]
    if not meant:
        lower = {name.lower(): name for name in reversed(names)}
        meant = [lower[m] for m in difflib.get_close_matches(word.lower(), lower, n=1, cutoff=0.6)]
    hint = f" Did you mean {meant[0]!r}?" if meant else f" It has {', '.join(names)}."
    return f"{start}.{hint}"
