"""From labelled fields to arrays of one map, and back."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from .. import labels
from .._states import complete_labels
from ..errors import checked_device
from ..parameters import STATISTICS
from . import interrupt
from .alignment import (
    NOISE_DIM,
    REALIZATION_DIM,
    Frame,
    Inputs,
    check_names,
    labels_needed,
    put_back,
    taken_out,
)
from .records import Maps, Task

Array = np.ndarray[Any, np.dtype[Any]]

REASONS = ("tolerance", "max_iter", "stalled", "interrupted", "not_finite")
STACK, _LEVEL, _ITERATION = "__stack", "__level", "__iteration"  # no user has these


def frames(target: Any, field: xr.DataArray, task: Task) -> tuple[Frame, Frame]:
    """Where the target is, and where the result."""
    grid = task.target_grid
    one = first_along(field, [d for d in field.dims if d not in grid.dims])
    sample = field
    core = set(grid.dims)
    if isinstance(target, xr.Dataset):
        arrays = statistics_of(target, grid)
        sample, dims = next(iter(arrays.values()))
        core = set(dims)
    sample = first_along(sample, [d for d in sample.dims if d in core])
    maps = sample.copy(data=np.arange(sample.size).reshape(sample.shape))
    frame = Frame(one, grid, maps, None if sample.chunks is None else dict(sample.chunksizes))
    if task.grid.shape == grid.shape:
        return frame, frame
    zeros = np.broadcast_to(0.0, task.grid.shape)
    larger = xr.DataArray(zeros, dims=grid.dims, coords=_continued(field, task.grid))
    return frame, replace(frame, field=larger, grid=task.grid)


def first_along(da: xr.DataArray, dims: Sequence[Hashable]) -> xr.DataArray:
    """The first element along dimensions, without the coordinates that these have."""
    da = da.drop_vars([c for c, v in da.coords.items() if not set(dims).isdisjoint(v.dims)])
    return da.isel(dict.fromkeys(dims, 0))


def _continued(field: xr.DataArray, grid: Any) -> dict[str, Any]:
    """Coordinates of a larger plane or line, continued evenly."""
    coords = {}
    for dim, n in zip(grid.dims, grid.shape, strict=True):
        if dim in field.coords:
            known = field[dim].values
            step = (known[-1] - known[0]) / (len(known) - 1)
            if known.dtype.kind in "iu" and step == round(step):
                step = known.dtype.type(step)
            coords[dim] = (dim, known[0] + step * np.arange(n), field[dim].attrs)
    return coords


def statistics_of(target: xr.Dataset, grid: Any) -> Inputs:
    """Statistics and standard deviations by name, and their dimensions."""
    inputs: Inputs = {}
    for name in target.data_vars:
        if str(name).removesuffix("_std") not in STATISTICS:
            continue
        array, dims = target[name], _core_dims(str(name), grid.oriented)
        if not set(dims) <= set(array.dims):
            raise ValueError(
                f"{name} has the dimensions {array.dims}, not all of {tuple(dims)}: "
                "pass statistics as covariance() returns them, and reduction= to reduce them"
            )
        inputs[str(name)] = array, dims
    return inputs


def _core_dims(name: str, oriented: bool) -> list[str]:
    """Dimensions of a statistic or of its standard deviation; a line has no orientations."""
    name = name.removesuffix("_std")
    dims = ("moment",) if name == "S0" else labels.DIMS[name]
    return [d for d in dims if oriented or not d.startswith("l")]


def over_maps(
    solver: Callable[[dict[str, Array], Task, int], tuple[Array, Any]],
    inputs: Inputs,
    frame: Frame,
    task: Task,
    n_stack: int,
    dtype: np.dtype[Any],
) -> tuple[xr.DataArray, xr.Dataset]:
    """Fields (..., _stack, *cells) from a function of the arrays of one map, and their history."""
    # the result may be larger than the target
    out = {f"__{d}": n for d, n in zip(task.grid.dims, task.grid.shape, strict=True)}
    n_levels = len(task.levels)
    history = {_LEVEL: n_levels, _ITERATION: task.settings.max_iter + 1}
    maps = frame.maps.drop_vars(list(frame.maps.coords))
    maps = maps if frame.chunks is None else maps.chunk(frame.chunks)
    given = {"solver": solver, "names": tuple(inputs), "task": task, "n_stack": n_stack}
    interrupt.watch_dask()
    with interrupt.scope():
        fields, loss, iterations, stopped = xr.apply_ufunc(
            _block,
            maps,
            *(array for array, _ in inputs.values()),
            kwargs=given | {"kind": dtype.str},
            input_core_dims=[[], *(core for _, core in inputs.values())],
            output_core_dims=[[STACK, *out], [*history], [_LEVEL], [_LEVEL]],
            vectorize=True,
            dask="parallelized",
            output_dtypes=[dtype, np.float64, np.int64, np.int64],
            dask_gufunc_kwargs={"output_sizes": {STACK: n_stack} | out | history},
            join="exact",
            keep_attrs=False,
        )
    fields = fields.rename(dict(zip(out, task.grid.dims, strict=True)))
    return fields, xr.Dataset({"loss": loss, "iterations": iterations, "stopped": stopped})


def _block(
    number: int,
    *arrays: Array,
    solver: Any,
    names: Sequence[str],
    task: Task,
    n_stack: int,
    kind: str,
) -> tuple[Array, ...]:
    """One map: fields (stack, ...), losses (level, iteration), iterations and reasons (level,)."""
    import torch

    from ..engine.threads import torch_threads
    from .optimize import Outcome

    given = dict(zip(names, arrays, strict=True))
    task = replace(task, terms=put_back(task.terms, given))

    def search() -> tuple[Array, Any]:
        checked_device(task.settings.device)  # a worker may lack what the maker of the graph has
        with torch_threads(task.settings.threads), torch.inference_mode(False), torch.enable_grad():
            return solver(given, task, int(number))

    def nothing() -> tuple[Array, Any]:
        unknown = np.full((n_stack, *task.grid.shape), np.nan)
        return unknown, [Outcome(unknown, [np.nan], np.nan, "interrupted")] * len(task.levels)

    values, outcomes = interrupt.one_map(search, nothing)
    values = solver.frozen(values, given, task)
    loss = np.full((len(outcomes), task.settings.max_iter + 1), np.nan)
    for row, outcome in zip(loss, outcomes, strict=True):
        length = min(len(row), len(outcome.history))
        row[:length] = outcome.history[:length]
    iterations = np.array([len(o.history) - 1 for o in outcomes])
    reasons = np.array([REASONS.index(o.reason) for o in outcomes])
    return values.astype(kind), loss, iterations, reasons


def with_frame(task: Task, terms: Sequence[Any], frame: Frame) -> Task:
    """The task with the labels of the result, if terms may need them."""
    if not labels_needed(terms):
        return task
    field = frame.field.copy(data=np.zeros(frame.field.shape, bool))
    return replace(task, frame=replace(frame, field=field))


def mapped(
    target: xr.DataArray | xr.Dataset,
    field: xr.DataArray,
    extras: dict[str, xr.DataArray],
    task: Task,
    return_history: bool = False,
    noise_dim: Any = None,
) -> Any:
    """Map the synthesis over the leading dimensions."""
    if isinstance(target, xr.Dataset):
        target = complete_labels(target, task.parameters)
    frame, there = frames(target, field, task)
    from_statistics = isinstance(target, xr.Dataset)
    others = [d for d in field.dims if d not in frame.grid.dims]
    if from_statistics and others and "update" in extras and "field" not in extras:
        raise ValueError(
            f"like has the dimension {others[0]!r}, update= needs one field: select it"
        )
    extras = {"field": frame.field if from_statistics else field} | extras
    inputs = _extras(extras, frame, there, task, noise_dim)
    if isinstance(target, xr.Dataset):
        bare = statistics_of(target.drop_vars(list(target.coords)), frame.grid)
        inputs |= bare
    task = with_frame(task, task.terms, there)
    terms, of_terms = taken_out(task.terms, there)
    inputs |= _moved(of_terms, frame, there)
    several = task.realizations > 1
    own = ["realization"] * several + ["level", "iteration"] * return_history
    check_names(frame.maps, inputs, own)
    dtype = field.dtype if field.dtype.kind == "f" else np.dtype("float64")
    solver = _Synthesis(from_statistics)
    task = replace(task, terms=tuple(terms))
    result, history = over_maps(solver, inputs, frame, task, task.realizations, dtype)
    result = result.rename({STACK: "realization"}) if several else result.isel({STACK: 0})
    result = labelled(result, field, frame, there)
    result.attrs = dict(field.attrs) | {"seed": task.seed} | found(history)
    return (result, _history(history, frame, task)) if return_history else result


def _moved(inputs: Inputs, frame: Frame, there: Frame) -> Inputs:
    """Inputs on the cells of the result, under the names that these have in a block."""
    if there is frame:
        return inputs
    names = {d: f"__{d}" for d in there.grid.dims}
    return {
        k: (x.rename(names), [names.get(d, d) for d in core]) for k, (x, core) in inputs.items()
    }


def _extras(
    extras: dict[str, xr.DataArray], frame: Frame, there: Frame, task: Task, noise_dim: Any
) -> Inputs:
    """Further fields on the cells."""
    inputs: Inputs = {}
    cells = list(frame.grid.dims)
    for name, given in extras.items():
        if name in ("update", "cross_with") and there is not frame:
            raise ValueError(f"{name}= is for a result as large as the target, not for upsample=")
        if name == "noise":
            inputs[name] = frame.stack(given, name, NOISE_DIM, noise_dim), [NOISE_DIM, *cells]
        elif name == "initial":
            inputs |= _moved({name: _initial(given, there, task)}, frame, there)
        else:
            read = frame.chosen if name in ("update", "mask") else frame.aligned
            inputs[name] = read(given, name if name != "source" else "target"), cells
    return inputs


def _initial(given: Any, frame: Frame, task: Task) -> tuple[xr.DataArray, list[str]]:
    """The start of each map, or of each realization."""
    initial, cells = frame.aligned(given, "initial"), list(frame.grid.dims)
    if "realization" not in initial.dims or "realization" in frame.maps.dims:
        return initial, cells
    n = initial.sizes["realization"]
    if n != task.realizations:
        raise ValueError(f"initial has {n} realizations, realizations={task.realizations}")
    initial = initial.drop_vars("realization", errors="ignore")
    initial = initial.rename(realization=REALIZATION_DIM)
    if initial.chunks is not None:
        initial = initial.chunk({REALIZATION_DIM: -1})
    return initial, [REALIZATION_DIM, *cells]


@dataclass(frozen=True)
class _Synthesis:
    """The synthesis of one map from its arrays."""

    from_statistics: bool

    def __call__(self, given: dict[str, Array], task: Task, number: int) -> tuple[Array, Any]:
        from .denoising import denoised
        from .task import run

        search = run if task.denoising is None else denoised
        solution = search(self._maps(given, task), task, number)
        return task.grid.restore(solution.fields), solution.outcomes

    def frozen(self, values: Array, given: dict[str, Array], task: Task) -> Array:
        """The result with the cells that were not to change."""
        if task.grid.shape != task.target_grid.shape:
            return values
        kept = ~given["update"] if "update" in given else np.isnan(given["field"])
        return np.where(kept, given["field"], values)

    def _maps(self, given: dict[str, Array], task: Task) -> Maps:
        """Arrays in the order of the engine."""

        def cells(name: str, grid: Any = task.target_grid) -> Any:
            if name not in given:
                return None
            return grid.arrange(np.asarray(given[name], dtype=float).reshape(-1, *grid.shape))

        field = cells("field")[0]
        target: Any = field
        if self.from_statistics:
            target = {n: x for n, x in given.items() if n.removesuffix("_std") in STATISTICS}
        elif "source" in given:
            target = cells("source")[0]
        if "mask" in given and not self.from_statistics:
            target = np.where(cells("mask")[0] > 0, target, np.nan)
        valid = ~np.isnan(field)
        if task.grid.shape != task.target_grid.shape:
            valid = np.ones(int(np.prod(task.grid.shape)), bool)
        update = None
        if "update" in given:
            update = cells("update")[0] > 0
            valid = valid | update
        cross_with = cells("cross_with")
        return Maps(
            target,
            valid,
            base=None if update is None else field,
            initial=cells("initial", task.grid),
            update=update,
            reference=None if cross_with is None else cross_with[0],
            noise=cells("noise"),
        )


def labelled(result: xr.DataArray, field: xr.DataArray, frame: Frame, there: Frame) -> xr.DataArray:
    """The result in the order of the field's dimensions, with its name and coordinates."""
    order = [d for d in field.dims if d in result.dims]
    order = [*(d for d in frame.maps.dims if d not in order), *order]
    result = result.transpose(*(d for d in result.dims if d not in order), *order)
    same = there is frame and set(field.dims) <= set(result.dims)
    result = result.assign_coords((field if same else there.field).coords)
    return result.assign_coords(frame.maps.coords).rename(field.name)


def found(history: xr.Dataset) -> dict[str, Any]:
    """What the attributes of a result say of the search, unless it is lazy."""
    if history.iterations.chunks is not None:
        return {}
    others = [d for d in history.iterations.dims if d != _LEVEL]
    end = history.iterations.clip(max=history.sizes[_ITERATION] - 1)
    worst = history.loss.isel({_ITERATION: end}).max(others)
    reasons = history.stopped.transpose(_LEVEL, ...).values.reshape(history.sizes[_LEVEL], -1)
    return {
        "iterations": history.iterations.max(others).values.tolist(),
        "final_loss": worst.values.tolist(),
        "stopped": [" ".join(REASONS[code] for code in sorted(set(row))) for row in reasons],
    }


def _history(history: xr.Dataset, frame: Frame, task: Task) -> xr.Dataset:
    """Losses of all iterations with coordinates and attributes."""
    history = history.rename({_LEVEL: "level", _ITERATION: "iteration"})
    history = history.assign_coords(frame.maps.coords)
    levels = np.arange(history.sizes["level"])[::-1]
    history = history.assign_coords(level=levels)
    history.attrs = task.parameters.to_attrs() | {"seed": task.seed}
    history["level"].attrs = {"long_name": "halvings of the resolution"}
    history["stopped"].attrs = {
        "long_name": "why the level ended",
        "flag_values": list(range(len(REASONS))),
        "flag_meanings": " ".join(REASONS),
    }
    history["loss"].attrs = {"long_name": "mean of |Φ(u) - Φ|² / σ²", "units": "1"}
    return history
