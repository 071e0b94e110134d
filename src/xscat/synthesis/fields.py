"""Synthesis of labelled fields: DataArray or Dataset in, DataArray out, eager or lazy."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from inspect import signature
from typing import Any

import numpy as np
import xarray as xr

from .._operation import as_statistics
from .._states import check_synthesis_target
from ..engine.wavelets import Morlet, Wavelet
from ..grids import find_grid
from ..inputs import check_field
from ..keywords import checked_keywords
from ..options import get_options
from ..parameters import STATISTICS, Parameters
from ..statistics import make_parameters
from .arguments import checked_arguments
from .mapping import mapped
from .records import Constraint, Settings, Task


@checked_keywords
def synthesize(
    target: xr.DataArray | xr.Dataset,
    J: int | None = None,
    L: int | None = None,
    *,
    like: xr.DataArray | None = None,
    dim: Hashable | Sequence[Hashable] | None = None,
    steps: int = 4,
    seed: int | None = None,
    realizations: int = 1,
    match: str = "each",
    statistics: Sequence[str] = STATISTICS,
    reduction: str | None = None,
    nharm: int = 1,
    imaginary: bool = True,
    use_variance: bool = True,
    gaussianize: bool = False,
    initial: xr.DataArray | None = None,
    update: xr.DataArray | None = None,
    mask: xr.DataArray | None = None,
    cross_with: xr.DataArray | None = None,
    upsample: int = 0,
    terms: Sequence[Any] = (),
    max_iter: int = 300,
    tol: float = 0.03,
    optimizer: str = "lbfgs",
    progress: bool | None = None,
    callback: Callable[[int, int, float], None] | None = None,
    boundary: str | None = None,
    frame: str | None = None,
    wavelet: Wavelet | None = None,
    dtype: str | None = None,
    device: str | None = None,
    return_history: bool = False,
) -> Any:
    r"""New fields with the statistics of a given one, made from white noise.

    Minimizes the mean over all statistics of

    .. math:: |\Phi(u) - \Phi|^2 / \sigma^2

    from coarse to fine, each level beginning with the result of the coarser one. The mean and the
    variance of the field are among the statistics, and, if the target is a field, so is its power
    spectrum in third octaves where no wavelet sees it: of waves longer than those of the last
    scale and, on planes and lines, close to the Nyquist frequency.

    Parameters
    ----------
    target : DataArray or Dataset
        A field, on a grid that `covariance` accepts, or statistics S0..S4 that it returned, with
        error bars if ``variance=True``. Further dimensions are mapped over; with dask, lazily.
    J, L : int
        Scales and orientations, as in `covariance`; by default two scales less if the boundary is
        periodic: no other field has all statistics of waves that are as large as the field. Those
        of the statistics, if they are given.
    like : DataArray, optional
        With statistics: a field on the grid of the result; missing cells stay missing.
    dim : str or (str, str), optional
        Dimension(s) of a line or plane, if not found by themselves.
    steps : int, default 4
        Levels of resolution at most.
    seed : int, optional
        The same seed gives the same field on the same device. Maps of one call differ.
    realizations : int, default 1
        Independent fields, along a dimension ``realization`` if more than one.
    match : {"each", "mean"}
        Match the statistics of each realization, or their mean over the realizations.
    statistics : sequence of str
        What is constrained.
    reduction : {None, "iso_mean", "fft_ang"}
        Constrain statistics reduced over orientations; *nharm* and *imaginary* as in `fft_ang`.
    use_variance : bool, default True
        Divide by the error bars. False: all statistics of the standardized field weigh alike, in
        units of 1 % of their rms, and are S0 to S4 alone.
    gaussianize : bool, default False
        Map the histogram to a Gaussian before, and back after.
    initial : DataArray, optional
        Begin with this field instead of white noise; along ``realization``, each with its own.
    update : DataArray, optional
        True or 1: the cell may change. The others keep the values of the target.
    mask : DataArray, optional
        True or 1: the cell of the target counts in its statistics. 0, False and NaN: it does not.
    cross_with : DataArray, optional
        A second field: cross statistics with it are matched as well.
    upsample : int, default 0
        On a plane or line: make 2^n times as many cells a side, with the same spacing.
    terms : sequence, optional
        Further losses, see `xscat.terms`.
    max_iter : int, default 300
        Iterations a level at most.
    tol : float, default 0.03
        The search ends where the rms of (Φ(u) - Φ) / σ is below this; coarser levels end at 0.1 if
        that is more.
    optimizer : {"lbfgs", "scipy", "torch"}
        L-BFGS of SciPy on the CPU and of torch elsewhere, or the one that is named.
    progress : bool, optional
        Show a progress bar (tqdm). Default: in a terminal, unless ``set_options(progress=False)``.
    callback : callable, optional
        Called with (level, iteration, loss).
    boundary, frame, wavelet, dtype, device
        As in `covariance`; with statistics, theirs.
    return_history : bool, default False
        Return a Dataset of losses as well.

    Returns
    -------
    DataArray
        Dimensions, coordinates, name and attributes as the target. When it is not lazy, its
        attributes also say the seed and, from the coarsest level to the finest, the iterations, the
        final loss and why the level ended: "tolerance", "max_iter", "stalled", "interrupted" or
        "not_finite" (the best fields before the loss was no number are kept).
    Dataset
        If asked for: ``loss`` (..., level, iteration), ``iterations`` and ``stopped`` (..., level);
        level counts how often the resolution was halved.

    Raises
    ------
    GridError
        If there is no usable grid.
    TypeError, ValueError
        If an argument has no such value, the target does not vary, or the loss is no finite number
        where a level begins: the message names the term.

    Notes
    -----
    Ctrl-C stops all maps and keeps what was found, also while dask's threads compute. Maps that
    were not begun are NaN, or what was given where cells are frozen; realizations that were not
    begun are their start or NaN. The second Ctrl-C raises KeyboardInterrupt.

    Examples
    --------
    >>> import numpy as np, xarray as xr, xscat
    >>> x = np.random.default_rng(0).normal(size=(32, 32)).cumsum(0).cumsum(1)
    >>> field = xr.DataArray(x, dims=("y", "x"))
    >>> new = field.scat.synthesize(J=3, boundary="periodic", seed=1, max_iter=5)
    >>> new.dims, new.attrs["seed"]
    (('y', 'x'), 1)
    """
    given = {k: v for k, v in locals().items() if k not in ("target", "return_history")}
    field, task, extras = grid_and_task(target, **given)
    return mapped(
        field if isinstance(target, xr.DataArray) else target, field, extras, task, return_history
    )


SEARCH = {n for n, p in signature(synthesize).parameters.items() if p.kind is p.KEYWORD_ONLY}
"""Keywords of `synthesize`."""


def grid_and_task(
    target: xr.DataArray | xr.Dataset, J: int | None = None, L: int | None = None, **given: Any
) -> tuple[xr.DataArray, Task, dict[str, xr.DataArray]]:
    """Field on the grid, task and further arrays, from the arguments of `synthesize`."""
    return _grid_and_task(target, J, L, **checked_arguments(given))


def _grid_and_task(
    target: xr.DataArray | xr.Dataset,
    J: int | None = None,
    L: int | None = None,
    *,
    like: xr.DataArray | None = None,
    dim: Hashable | Sequence[Hashable] | None = None,
    steps: int = 4,
    seed: int | None = None,
    realizations: int = 1,
    match: str = "each",
    statistics: Sequence[str] = STATISTICS,
    reduction: str | None = None,
    nharm: int = 1,
    imaginary: bool = True,
    use_variance: bool = True,
    gaussianize: bool = False,
    upsample: int = 0,
    terms: Sequence[Any] = (),
    boundary: str | None = None,
    frame: str | None = None,
    wavelet: Wavelet | None = None,
    dtype: str | None = None,
    device: str | None = None,
    **others: Any,
) -> tuple[xr.DataArray, Task, dict[str, xr.DataArray]]:
    field = _field_of(target, like, others.get("mask"))
    grid = find_grid(field, dim)
    given = {"J": J, "L": L, "boundary": boundary, "frame": frame, "wavelet": wavelet}
    parameters = _parameters(target, grid, tuple(statistics), given)
    if parameters.frame == "angles":
        raise ValueError(
            "the statistics count orientations from angles of their own (frame=), which a "
            "synthesis cannot: compute them with frame='meridian' or 'stereographic'"
        )
    if reduction == "fft_ang" and not 0 <= nharm <= parameters.L // 2:
        raise ValueError(
            f"nharm={nharm}: L={parameters.L} orientations give 0..{parameters.L // 2}"
        )
    names = tuple(n for n in STATISTICS if n in statistics)
    reduction = reduction if grid.oriented else None
    extras = {n: others.pop(n) for n in ("initial", "update", "mask", "cross_with") if n in others}
    for name, x in extras.items():
        if x is not None and name in ("initial", "cross_with"):
            extras[name] = check_field(x, name)
    task = Task(
        _larger(grid, upsample),
        grid,
        parameters,
        Constraint(names, reduction, nharm, imaginary, use_variance, match),
        _settings(_precision(field, dtype), device, **others),
        steps,
        int(np.random.default_rng().integers(2**32)) if seed is None else seed,
        realizations,
        gaussianize,
        tuple(terms),
    )
    return field, task, {name: x for name, x in extras.items() if x is not None}


def _parameters(
    target: xr.DataArray | xr.Dataset, grid: Any, names: tuple[str, ...], given: dict[str, Any]
) -> Parameters:
    """Those of the statistics, beside which others are errors; of a field those that are given."""
    if isinstance(target, xr.Dataset):
        target = as_statistics("synthesize", "target", target)
        return replace(check_synthesis_target(target, grid, **given), statistics=names)
    defaults: dict[str, Any] = {
        "L": 4,
        "boundary": "valid",
        "frame": "meridian",
        "wavelet": Morlet(),
    }
    kwargs: dict[str, Any] = {n: defaults.get(n) if v is None else v for n, v in given.items()}
    return _field_parameters(grid, statistics=names, **kwargs)


def _field_parameters(grid: Any, J: int | None, L: int, **kwargs: Any) -> Parameters:
    """Those of `covariance`, but with a default J that other fields can fulfill as well."""
    parameters = make_parameters(grid, J, L, **kwargs)
    if J is None and parameters.boundary == "periodic" and grid.kind != "healpix":
        return replace(parameters, J=max(1, parameters.J - 2))
    return parameters


def _settings(
    dtype: str,
    device: str | None,
    *,
    max_iter: int = 300,
    tol: float = 0.03,
    optimizer: str = "lbfgs",
    progress: bool | None = None,
    callback: Callable[[int, int, float], None] | None = None,
) -> Settings:
    """Arguments of the search, and options."""
    options = get_options()
    return Settings(
        max_iter,
        tol,
        optimizer,
        dtype,
        options.device if device is None else device,
        options.threads,
        options.memory,
        progress if options.progress or progress else False,
        callback,
    )


def _precision(field: xr.DataArray, dtype: str | None) -> str:
    """Single for float32 and float16, else double."""
    dtype = get_options().dtype if dtype is None else dtype
    if dtype is None:
        single = field.dtype.kind == "f" and field.dtype.itemsize < 8
        return "float32" if single else "float64"
    return dtype


def _field_of(target: Any, like: xr.DataArray | None, mask: Any) -> xr.DataArray:
    """The field that gives the grid."""
    if isinstance(target, xr.Dataset):
        if not set(STATISTICS) & set(target.data_vars):
            raise TypeError(
                "the target is a Dataset without statistics: of fields, select one, e.g. "
                f"ds[{next(iter(target.data_vars), 'sst')!r}]; two components (spin=1 or 2) are "
                "not synthesized together"
            )
        if like is None:
            raise ValueError("from statistics alone there is no grid: pass like=, a field on it")
        return check_field(like, "like")
    if like is not None:
        raise ValueError("like= is for statistics; the grid is that of the target")
    return check_field(target, "target", mask)


def _larger(grid: Any, upsample: int) -> Any:
    if upsample == 0:
        return grid
    if grid.kind == "healpix":
        raise ValueError("upsample= is for planes and lines: a sphere has one size")
    return replace(grid, shape=tuple(n * 2**upsample for n in grid.shape))
