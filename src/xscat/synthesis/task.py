"""The synthesis of one map, from arrays to arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import GridError
from ..gaussianize import Gaussianization
from . import interrupt
from .multiscale import Level, coarsened, filled
from .objective import Domain, Layout, StatisticsLoss, least_variance, make_domain, measure
from .optimize import Losses, Outcome
from .records import Maps, Task
from .rest import Differences, Rest
from .solve import Solution, Stage, engine_of, solve
from .spectrum import Spectrum
from .start import Amplitude, centers, colored

Array = np.ndarray[Any, np.dtype[Any]]

STATISTICS = "the loss of the statistics"  # its name in an error


@dataclass(frozen=True)
class Context:
    """What a term is told about a level.

    Attributes
    ----------
    number : int
        How often the resolution was halved.
    level : Level
        Grid and parameters.
    engine
        The transforms.
    mean, std : float
        Fields are ``(values - mean) / std``.
    frame, map_number
        The labels of the result, and which of its maps this is.
    """

    number: int
    levels: Sequence[Level]
    engine: Any
    valid: Array
    mean: float
    std: float
    frame: Any = None
    map_number: int = 0

    @property
    def level(self) -> Level:
        """Grid and parameters of this level."""
        return self.levels[self.number]

    @property
    def cells_per_cell(self) -> int:
        """Cells of the finest level in one of this level."""
        return (2 if self.level.grid.kind == "line" else 4) ** self.number

    def tensor(self, values: Array) -> Any:
        """Tensor in the precision and on the device of the fields."""
        import torch

        spec = self.engine.spec
        return torch.as_tensor(np.array(values), dtype=spec.dtype, device=spec.device)

    def values(self, field: Any) -> Array:
        """A DataArray by its labels, or an array as it is: (..., *shape) on the cells."""
        if hasattr(field, "dims"):
            if self.frame is None:
                raise TypeError("the labels of the result are not known here: pass an array")
            field = self.frame.of_map(field, self.map_number)
        return np.asarray(field, dtype=float)

    def field(self, values: Any, standardize: bool = True) -> Array:
        """A DataArray, or values (..., *shape) on the cells of the result, here (..., cells)."""
        grid = self.levels[0].grid
        cells = grid.arrange(self.values(values).reshape(-1, *grid.shape))
        if standardize:
            cells = (cells - self.mean) / self.std
        return coarsened(self.levels[: self.number + 1], cells)[-1]


def run(maps: Maps, task: Task, index: int) -> Solution:
    """Fields (realization, cells) in the units of the target, and how they were found."""
    if len(task.levels) == 0 or not maps.valid.any():
        raise ValueError("there is no valid cell to synthesize")
    transform = None
    if task.gaussianize:
        maps, transform = _gaussianized(maps)
    mean, std = scale(maps)
    size = _batch_size(task)
    batch = Batch
    if task.filling and maps.update is not None and maps.update.any():
        from .filling import Filling

        batch = Filling

    def search(members: range) -> Solution:
        return batch(maps, task, index, members, mean, std).solve()

    firsts = range(0, task.realizations, size)
    groups = [range(i, min(i + size, task.realizations)) for i in firsts]
    parts = searched(search, groups)
    solution = _joined(parts)
    values = solution.fields * std + mean
    if transform is not None:
        values = transform.inverse(values)
    solution.fields = values
    return solution


def _gaussianized(maps: Maps) -> tuple[Maps, Gaussianization]:
    if isinstance(maps.target, Mapping):
        raise ValueError("gaussianize=True needs a target field, not its statistics")
    transform = Gaussianization.fit(maps.target)
    others = {
        name: transform.forward(value)
        for name in ("base", "initial")
        if (value := getattr(maps, name)) is not None
    }
    return replace(maps, target=transform.forward(maps.target), **others), transform


def scale(maps: Maps) -> tuple[float, float]:
    """Mean and standard deviation of the target."""
    if isinstance(maps.target, Mapping):
        mean, variance = maps.target.get("S0", (0.0, 1.0))
    else:
        mean, variance = np.nanmean(maps.target), np.nanvar(maps.target)
    if not variance > 0:
        raise ValueError(f"the target has the variance {variance}: it must vary")
    return float(mean), float(np.sqrt(variance))


def _batch_size(task: Task) -> int:
    """Realizations that fit in memory together."""
    if task.constraint.match == "mean":
        return task.realizations
    columns = 1 + task.parameters.L * task.parameters.J
    n_cells = int(np.prod(task.grid.shape))
    itemsize = np.dtype(task.settings.dtype).itemsize
    return max(1, task.settings.memory // (8 * n_cells * columns * itemsize))


def searched(search: Callable[[range], Solution], groups: Sequence[range]) -> list[Solution]:
    """What is found of each group of realizations; NaN of those after an interrupt."""
    parts: list[Solution] = []
    for members in groups:
        try:
            if not (parts and interrupt.requested()):
                parts.append(search(members))
                continue
        except KeyboardInterrupt:
            if not parts:
                raise
            interrupt.caught()
        fields = np.full((len(members), parts[0].fields.shape[1]), np.nan)
        outcome = Outcome(fields, [np.nan], np.inf, "interrupted")
        parts.append(Solution(fields, [outcome] * len(parts[0].outcomes)))
    return parts


def _joined(parts: list[Solution]) -> Solution:
    """One solution of several batches: histories are of the worst."""
    fields = np.concatenate([p.fields for p in parts])
    outcomes = [
        max(group, key=lambda o: o.best) for group in zip(*(p.outcomes for p in parts), strict=True)
    ]
    return Solution(fields, outcomes)


class Batch:
    """Some realizations of one map."""

    def __init__(self, maps: Maps, task: Task, index: int, members: range, mean: float, std: float):
        self.task, self.index, self.members = task, index, members
        self.mean, self.std, self.maps = mean, std, maps
        self.levels = task.levels
        sizes = [int(np.prod(level.grid.shape)) for level in self.levels[1:]]
        self.valid = [maps.valid.astype(bool), *(np.ones(n, bool) for n in sizes)]
        self.free: list[Any] = [None] * len(self.levels)
        self.base = self._standardized(maps.base)
        self.initial = self._standardized(maps.initial)
        if maps.update is not None:
            self.free = [v > 1e-3 for v in coarsened(self.levels, maps.update.astype(float))]
            self.free[0] = maps.update.astype(bool)
        self.targets = None
        if not isinstance(maps.target, Mapping):
            values = (maps.target - mean) / std
            self.targets = filled(task.target_levels, coarsened(task.target_levels, values))
        self.reference = None
        if maps.reference is not None:
            r = (maps.reference - np.nanmean(maps.reference)) / np.nanstd(maps.reference)
            self.reference = filled(self.levels, coarsened(self.levels, r))

    def _standardized(self, values: Array | None) -> list[Array] | None:
        if values is None:
            return None
        return filled(self.levels, coarsened(self.levels, (values - self.mean) / self.std))

    def solve(self) -> Solution:
        return solve(self.levels, self._stage, self.free, self.task.settings)

    def _context(self, k: int, engine: Any) -> Context:
        frame = self.task.frame
        return Context(
            k, self.levels, engine, self.valid[k], self.mean, self.std, frame, self.index
        )

    def _stage(self, k: int, engine: Any) -> Stage:
        context = self._context(k, engine)
        main = self._loss(k, engine)
        amplitude = self._amplitude(k, main.gains, main.rest)
        others = named_terms("terms", self.task.terms, context)

        def begin(coarser: Array | None, attempt: int = 0) -> Array:
            guess, level = self._guess(k, amplitude, attempt), self.levels[k]
            if coarser is not None:
                guess = coarser + guess - level.refine(level.coarsen(guess))
            if self.free[k] is not None and self.base is not None:
                frozen = np.where(np.isnan(self.base[k]), 0, self.base[k])
                guess = np.where(self.free[k], guess, frozen)
            return np.where(self.valid[k], guess, 0)

        separate = self.task.constraint.match == "each" and not others
        loss = Losses({STATISTICS: main} | others)
        return Stage(loss, begin, amplitude, self.initial is None, separate)

    def _loss(self, k: int, engine: Any) -> StatisticsLoss:
        """Loss of the statistics at a level."""
        constraint = self.task.constraint
        domain = make_domain(engine, self.valid[k], self.task.parameters.min_coverage)
        others = constraint.use_variance and "S0" in constraint.statistics
        rest = self._rest(k, engine) if others else None
        if k > 0:  # cells near a border that only finer levels constrain would vary instead
            names = tuple(n for n in constraint.statistics if n != "S0")
            constraint = replace(constraint, statistics=names)
        target, variance = self._target(k, engine, domain)
        reference = None
        if self.reference is not None:
            reference = self._context(k, engine).tensor(self._finite_reference(k))
        return StatisticsLoss(engine, domain, constraint, target, variance, reference, rest=rest)

    def _finite_reference(self, k: int) -> Array:
        assert self.reference is not None
        return np.nan_to_num(self.reference[k])

    def _rest(self, k: int, engine: Any) -> Rest | None:
        """Statistics of what no wavelet sees of the target."""
        if self.targets is None:
            return None
        to_tensor = self._context(k, engine).tensor
        level, there = self.levels[k], self.task.target_levels[k]
        own_valid, valid = self.valid[k], ~np.isnan(self.targets[k])
        target = to_tensor(np.nan_to_num(self.targets[k])[None])
        of_target = Spectrum(there, valid, to_tensor, rest=True)
        own = Spectrum(level, own_valid, to_tensor, of_target.first, rest=True)
        differences = None
        if level.grid.kind == "healpix":
            differences = Differences(level.grid, own_valid & valid, target)
        return Rest(own, of_target, target, differences, shape=k == 0)

    def _amplitude(self, k: int, gains: Array, rest: Rest | None) -> Amplitude:
        """Amplitude of waves from the power at each scale, and from the rest of the spectrum."""
        ks = centers(self.levels[k])
        if rest is not None:
            ks = np.r_[ks, rest.k]
            gains = np.r_[gains, rest.power.sqrt().cpu().numpy()]
        return Amplitude.of(ks, gains)

    def _guess(self, k: int, amplitude: Amplitude, attempt: int) -> Array:
        """Noise, the same for a seed, a map and a realization; or the given start."""
        if self.initial is not None:
            guess = np.nan_to_num(self.initial[k])
            if len(guess) > 1:
                return guess[list(self.members)]
            return np.broadcast_to(guess, (len(self.members), guess.shape[-1]))
        noise = self._noise(k, attempt)
        return colored(self.levels[k], noise, amplitude, self.valid[k], 1.0)

    def _noise(self, k: int, attempt: int = 0) -> Array:
        """White noise (realization, cells), the same for a seed, a map and a realization."""
        n_cells = len(self.valid[k])
        seeds = ([self.task.seed, self.index, r, k, attempt] for r in self.members)
        return np.stack([np.random.default_rng(s).standard_normal(n_cells) for s in seeds])

    def _target(self, k: int, engine: Any, domain: Domain) -> tuple[Any, Any]:
        """Vector z of the target at a level and the variances of its entries."""
        import torch

        second = self.task.constraint.second_layer
        if self.targets is None:
            assert isinstance(self.maps.target, Mapping)
            return from_statistics(self.maps.target, k, engine, domain, second, self.std)
        settings, level = self.task.settings, self.task.target_levels[k]
        engine = engine_of(level, settings)
        target = self.targets[k]
        valid = ~np.isnan(target)
        fields = [np.nan_to_num(target)]
        if self.reference is not None:
            fields = [self._finite_reference(k), *fields]
            valid &= ~np.isnan(self.reference[k])
        domain = make_domain(engine, valid, level.parameters.min_coverage)
        stacked = torch.as_tensor(np.stack(fields)[None], dtype=engine.spec.dtype)
        with torch.no_grad():
            stacked = stacked.to(engine.spec.device)
            z, variance = measure(engine, stacked, domain, second, variance=True)
        assert variance is not None
        return z[0], variance[0]


def named_terms(argument: str, terms: Sequence[Any], context: Context) -> dict[str, Any]:
    """Terms as functions of fields alone, by what they are called in an error."""
    names = [getattr(t, "__name__", type(t).__name__) for t in terms]
    full = [f"{argument}[{i}] ({name})" for i, name in enumerate(names)]
    return {name: prepared(t, context, name) for t, name in zip(terms, full, strict=True)}


def prepared(term: Any, context: Context, name: str = "the term") -> Any:
    """A term as a function of fields alone that says by name what is wrong with its result."""
    import torch

    try:
        known = hasattr(term, "prepare")
        function = term.prepare(context) if known else lambda fields: term(fields, context)
    except ValueError as error:
        kind = GridError if isinstance(error, GridError) else ValueError
        raise kind(f"{name} at level {context.number}: {error}") from error

    def checked(fields: Any) -> Any:
        value = function(fields)
        if not isinstance(value, torch.Tensor):
            raise TypeError(
                f"{name} at level {context.number} gave {type(value).__name__}: a scalar tensor "
                "that torch computes from the fields is needed"
            )
        if value.ndim or not value.is_floating_point():
            raise ValueError(
                f"{name} at level {context.number} gave {value.dtype} of shape "
                f"{tuple(value.shape)}: a real scalar is needed, such as .mean()"
            )
        return value

    return checked


def from_statistics(
    statistics: Mapping[str, Array],
    k: int,
    engine: Any,
    domain: Domain,
    second_layer: bool,
    std: float,
) -> tuple[Any, Any]:
    """Vector z at a level, and variances, from arrays of statistics without leading dimensions.

    A level begins with scale k of the statistics. What is missing is NaN and does not count.
    """
    import torch

    J, L = engine.spec.J, engine.spec.L
    layout = Layout(J, L, 1, second_layer)
    z, variance = np.full(layout.size, np.nan), np.full(layout.size, np.nan)
    if k == 0 and "S0" in statistics:
        z[layout.S0[0]] = 0, 1
    for values, suffix in ((z, ""), (variance, "_std")):
        for name in ("S1", "S2", "S3", "S4"):
            if name + suffix not in statistics or (name in ("S3", "S4") and not second_layer):
                continue
            array = np.asarray(statistics[name + suffix])
            array = array / std ** (1 if name == "S1" else 2)
            _place(values, layout, name, _by_orientation(array, name, L), k)
    least = least_variance(z, layout, domain)
    variance = np.where(np.isnan(variance), least, np.maximum(variance**2, least))
    variance[layout.S0[0]] = 1 / engine.n_cells, 2 / engine.n_cells
    device = engine.spec.device
    return torch.as_tensor(z, device=device), torch.as_tensor(variance, device=device)


def _by_orientation(array: Array, name: str, L: int) -> Array:
    """Put back the orientation axes that a line has not."""
    scales = {"S1": 1, "S2": 1, "S3": 2, "S4": 3}[name]
    return array.reshape(*array.shape[:scales], *(L,) * scales)


def _place(z: Array, layout: Layout, name: str, array: Array, k: int) -> None:
    """Write one statistic into z, or its standard deviation, the same for both parts."""

    def parts(x: Array) -> Array:
        return np.stack([x.real, x.imag if np.iscomplexobj(x) else x], -1)

    for j in range(layout.J):
        if name == "S1":
            z[layout.modulus[j][0]] = array[k + j]
        elif name == "S2":
            z[layout.power[j][0, 0, :, 0]] = array[k + j].real
        elif name == "S3":
            positions = layout._outer("S3", j, 0, 0)
            z[positions] = parts(array[k : k + j + 1, k + j])
        else:
            j1, j2 = np.triu_indices(j + 1)
            z[layout._outer("S4", j, 0, 0)] = parts(array[k + j1, k + j2, k + j])
