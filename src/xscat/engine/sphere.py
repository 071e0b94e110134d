"""Wavelet transforms on HEALPix cells, as sparse products on a pyramid of ever coarser maps.

A *state* holds the maps at the level of scale j, cells first. On the full sky, cells are in the
order of `symmetry.orbits`: consecutive ones share a stencil, which then applies to as many times as
many columns. Otherwise they are in nested order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import torch
from scipy import sparse

from .cascade import Cascade
from .moments import Pass, border_loss, centered, column_groups, ratio
from .operators import Operator
from .products import block_grams
from .stencils import (
    SMOOTHING,
    SMOOTHING_RADIUS,
    cell_vectors,
    neighborhood,
    smoothing_stencils,
    wavelet_stencils,
)
from .symmetry import composed, orbits
from .wavelets import Array, Wavelet, support_radius

Tensor = torch.Tensor

# Blocks of cells whose scatter gives error bars have at least so many.
CELLS_PER_BLOCK = 32

# Part of the weight of smoothing from which on its result counts.
LEAST_SHARE = 1e-6

# Up to this share of valid cells they have transforms of their own. On the whole sphere cells share
# stencils, which makes its products faster.
LARGEST_PART = 0.3

# Parts of at most so many cells have their moments together: 2.7 kB of stencils a cell.
MOST_JOINED = 300_000


@dataclass(frozen=True)
class SphereSpec:
    """All that the transforms on a set of HEALPix cells depend on.

    ``cells`` are sorted nested numbers, None for all. ``frame`` is "meridian", "stereographic" or
    the angle in radians from which orientations count at each cell, counter-clockwise from east.
    """

    level: int
    cells: Array | None
    frame: str | Array
    wavelet: Wavelet
    J: int
    L: int
    dtype: torch.dtype
    device: torch.device
    within: SphereSpec | None = field(default=None, kw_only=True)
    """The transforms from which these, of a part of their cells, are taken."""

    parts: tuple[SphereSpec, ...] = field(default=(), kw_only=True)
    """Of several parts, in one: those of each."""

    blind_to_mean: ClassVar[bool] = True
    """Whether no wavelet sees a constant."""

    def build(self, known: Callable[[SphereSpec], Sphere]) -> Sphere:
        """The transforms themselves, from others that may be known."""
        if self.parts:
            return Sphere.joined(self, [spec.build(known) for spec in self.parts])
        return self.sphere_type()(self) if self.within is None else known(self.within).part(self)

    @classmethod
    def sphere_type(cls) -> type[Sphere]:
        """Type of the transforms."""
        return Sphere

    def passes(self, valid: Array, alone: bool) -> Iterator[Pass]:
        """How to come to the moments of each set of valid cells (R, cells).

        Sets that are parts go together, unless each has to be *alone* or they take too much memory.
        """
        alone = alone or not isinstance(self.frame, str)
        single: list[tuple[int, SphereSpec, Any, int]] = []
        joint: list[tuple[int, SphereSpec, Any, int]] = []
        for i, cells in enumerate(valid):
            spec, rows = self.part(cells)
            (single if alone or spec.cells is None or spec is self else joint).append(
                (i, spec, rows, int(cells.sum()))
            )
        if len(joint) < 2 or sum(n for *_, n in joint) > MOST_JOINED:
            single, joint = single + joint, []
        for i, spec, rows, _ in single:
            yield Pass([i], spec, [rows])
        if joint:
            members, specs, places, _ = zip(*joint, strict=True)
            cells = np.concatenate([spec.cells for spec in specs])
            yield Pass(list(members), replace(self, cells=cells, parts=specs), list(places))

    def part(self, valid: Array) -> tuple[SphereSpec, Array | slice]:
        """The transforms that do for the valid cells (cells,), and which cells they are of."""
        if not 0 < valid.sum() <= LARGEST_PART * len(valid):
            return self, slice(None)
        rows = np.flatnonzero(valid)
        cells = rows if self.cells is None else self.cells[rows]
        frame = self.frame if isinstance(self.frame, str) else self.frame[rows]
        return replace(self, cells=cells, frame=frame, within=self), rows


@dataclass(frozen=True)
class SphereCoverage:
    """Which coefficients count (see `moments.Coverage`)."""

    field: Tensor
    """(R, cells)"""
    columns: list[Tensor]
    """(cells, 1 + scales): 1 where the field and the moduli of each finer scale are valid."""
    first: list[Tensor]
    """(R, cells)"""
    rows: list[Tensor]
    """(R, 1 + scales, cells)"""
    weights: list[Tensor]
    """(R, cells)"""
    shares: list[Tensor]
    """(coarser cells, 1 + scales): part of the weight of smoothing that is on valid cells."""

    def of_field(self, j: int) -> Tensor:
        """Validity of the field at scale j, as a mask of the fields of a state."""
        return self.columns[j][:, :1, None]

    def by_column(self, groups: Tensor, n_columns: int, L: int) -> Tensor:
        """Values of groups (cells, 1 + scales) for the columns of a state (cells, 1, 1, C)."""
        n = (n_columns - 1) // L
        moduli = groups[:, 1 : 1 + n].repeat_interleave(L, -1)
        return torch.cat([groups[:, :1], moduli], -1)[:, None, None]


@dataclass(frozen=True)
class State:
    """Maps of one scale: the fields, and the moduli that were taken so far."""

    fields: Tensor
    """(cells, batch, field)"""
    moduli: Tensor | None = None
    """(cells, batch, field, column): U[0, 0], U[0, 1], ..., U[j, L-1]"""

    @property
    def columns(self) -> Tensor:
        """Both, as columns of each field."""
        fields = self.fields[..., None]
        return fields if self.moduli is None else torch.cat([fields, self.moduli], -1)


class Level:
    """The cells of one scale and the operators that start from them."""

    # operators to the cells themselves, and to the next level
    here: ClassVar[tuple[str, ...]] = ("wavelets", "envelope")
    down: ClassVar[tuple[str, ...]] = ("coarsener",)

    def __init__(self, spec: SphereSpec, level: int, cells: Array | None, frame: str | Array):
        self.spec, self.level, self.cells, self.frame = spec, level, cells, frame
        symmetric = cells is None and isinstance(frame, str) and frame == "meridian"
        self.copies = 8 if symmetric else 1
        if symmetric:
            all_cells = orbits(level)
        else:
            all_cells = (np.arange(12 * 4**level) if cells is None else cells)[:, None]
        self.centers = all_cells[:, 0]
        """Nested numbers of the cells whose stencils are stored."""
        self.n_cells = all_cells.size
        self.within: tuple[Array, int, bool] | None = None
        """Of a part: positions among the cells of the whole, their number, if they are a sphere."""
        self.ends: list[int] | None = None
        """Of several parts: where the cells of each of them end."""
        if symmetric:
            order = all_cells.ravel()
            self._place = np.empty_like(order)
            self._place[order] = np.arange(len(order))
            self._orders = [torch.as_tensor(x, device=spec.device) for x in (order, self._place)]

    def part(self, spec: SphereSpec, cells: Array) -> Self:
        """The level of a part of the cells, without operators."""
        rows = cells if self.cells is None else np.searchsorted(self.cells, cells)
        frame = self.frame if isinstance(self.frame, str) else self.frame[rows]
        level = type(self)(spec, self.level, cells, frame)
        level.within = rows, self.n_cells, self.cells is None
        return level

    @classmethod
    def joined(cls, spec: SphereSpec, levels: Sequence[Self]) -> Self:
        """Levels of parts side by side, as if each had a sphere of its own."""
        n_sphere = 12 * 4 ** levels[0].level
        cells = [i * n_sphere + level.cells for i, level in enumerate(levels)]
        result = cls(spec, levels[0].level, np.concatenate(cells), levels[0].frame)
        result.ends = np.cumsum([len(c) for c in cells]).tolist()
        for name in cls.here + cls.down:
            if name in vars(levels[0]):
                operators = [getattr(level, name) for level in levels]
                setattr(result, name, Operator.joined(operators))
        return result

    @property
    def spans(self) -> list[slice] | None:
        """The rows of each of several parts."""
        if self.ends is None:
            return None
        return [slice(a, b) for a, b in zip([0, *self.ends], self.ends, strict=False)]

    def centered(self, x: Tensor, valid: Tensor) -> Tensor:
        """Rows x less the mean of the valid ones, part by part; 0 in place of the others."""
        if self.spans is None:
            return centered(x, valid, 0)
        return torch.cat([centered(x[s], valid[s], 0) for s in self.spans])

    def places(self, rows: Array) -> Array:
        """Rows of a state that hold the cells at *rows*, in nested order."""
        return rows if self.copies == 1 else self._place[rows]

    def arranged(self, x: Tensor) -> Tensor:
        """Maps (..., cells) in nested order → (..., cells) in that of the states."""
        return x if self.copies == 1 else x.index_select(-1, self._orders[0])

    def nested(self, x: Tensor, dim: int = -1) -> Tensor:
        """The inverse of `arranged`, along an axis."""
        return x if self.copies == 1 else x.index_select(dim, self._orders[1])

    def _positions(self, neighbors: Array) -> Array:
        """Rows of a state that hold cells, -1 for cells that are not in the map."""
        if self.cells is not None:
            rows = np.searchsorted(self.cells, neighbors).clip(max=len(self.cells) - 1)
            return np.where(self.cells[rows] == neighbors, rows, -1)
        if self.copies == 1:
            return neighbors
        return np.where(neighbors < 0, -1, self._place[neighbors])

    def _with_halo(self, positions: Array) -> tuple[Array, Array | None]:
        """Rows of the input followed by its halo, in groups of copies; rows that are the halo."""
        copies = self.copies
        if copies == 1:
            return positions, None
        across = (positions % copies > 0) & (positions >= 0)
        rows = np.where(positions < 0, -1, positions // copies)
        foreign = np.unique(positions[across])
        rows[across] = len(self.centers) + np.searchsorted(foreign, positions[across])
        own, copy = np.divmod(foreign.astype(np.int64), copies)
        turned = composed(np.arange(copies), copy[:, None])
        return rows, (copies * own[:, None] + turned).ravel()

    def _angles(self, centers: Array) -> Array | float:
        """Angle at cells from which orientations count, in radians from east."""
        if not isinstance(self.frame, str):
            return self.frame[np.searchsorted(self.centers, centers)]
        if self.frame == "meridian":
            return 0.0
        x, y, z = cell_vectors(centers, self.level).T
        return -np.arctan2(y, x) * np.where(z >= 0, 1, -1)

    def _matrix(
        self, radius: int, weights: Any, centers: Array | None = None
    ) -> tuple[Any, Array | None]:
        """CSR matrix (C n, rows) of weights(neighbors, east, north, centers) → (C, n, K); halo."""
        centers = self.centers if centers is None else centers
        size = (2 * radius + 1) ** 2
        positions = np.empty((len(centers), size), np.int32)
        values = np.empty((0, *positions.shape))
        for start in range(0, len(centers), 2**16):
            part = slice(start, min(start + 2**16, len(centers)))
            around, east, north = neighborhood(centers[part], self.level, radius)
            block = weights(around, east, north, centers[part])
            if not len(values):
                values = np.empty((len(block), *positions.shape), block.dtype)
            positions[part] = self._positions(around)
            values[:, part] = np.where(positions[part] < 0, 0, block)
        rows, halo = self._with_halo(positions)
        n_columns = len(self.centers) + (0 if halo is None else len(halo) // self.copies)
        # absent cells have weight 0 in the first column: all rows are then of one length
        columns = np.tile(rows.clip(min=0).ravel(), len(values))
        pointer = np.arange(0, len(columns) + 1, size, dtype=np.int32)
        shape = (len(values) * len(centers), n_columns)
        return sparse.csr_array((values.ravel(), columns, pointer), shape), halo

    @property
    def _precision(self) -> type[np.floating[Any]]:
        return np.float32 if self.spec.dtype == torch.float32 else np.float64

    def _operator(
        self,
        matrix: Any,
        halo: Array | None,
        channels: int = 1,
        *,
        odd: range = range(0),
        dtype: torch.dtype | None = None,
    ) -> Operator:
        return Operator(
            matrix,
            channels,
            halo=halo,
            copies=self.copies,
            odd=odd,
            dtype=dtype or self.spec.dtype,
            device=self.spec.device,
        )

    @cached_property
    def wavelets(self) -> Operator:
        """The wavelets: channels are the real parts of all orientations, then the imaginary."""

        def weights(around: Array, east: Array, north: Array, centers: Array) -> Array:
            angles = self._angles(centers)
            psi = wavelet_stencils(around, east, north, angles, self.spec.wavelet, self.spec.L)
            return np.concatenate([psi.real, psi.imag]).astype(self._precision)

        L, matrix = self.spec.L, self._matrix(self.spec.wavelet.radius, weights)
        return self._operator(*matrix, 2 * L, odd=range(L, 2 * L))

    @cached_property
    def envelope(self) -> Operator:
        """The part of the wavelets' envelope on the cells around each cell, in float64."""
        return self._envelope(self.spec.wavelet.radius)

    def _envelope(self, radius: int, stretch: float = 1) -> Operator:
        """The same for an envelope *stretch* times as wide."""

        def weights(around: Array, east: Array, north: Array, centers: Array) -> Array:
            distance = np.hypot(east, north) / stretch
            _, envelope = self.spec.wavelet.values(distance, 0 * east, self.spec.L)
            envelope[around < 0] = 0
            return (envelope / envelope.sum(-1, keepdims=True))[None]

        return self._operator(*self._matrix(radius, weights), dtype=torch.float64)

    @property
    def field_envelope(self) -> Operator:
        """The same for the wavelets that act on the field itself."""
        return self.envelope

    @cached_property
    def parents(self) -> Any:
        """Matrix of the means of the four children of each coarser cell."""
        parents, rows = np.unique(self.centers // 4, return_inverse=True)
        n = len(rows)
        return sparse.csr_array((np.full(n, 0.25), (rows, np.arange(n))), (len(parents), n))

    @cached_property
    def siblings(self) -> Array:
        """All children of the coarser cells: the cells, and absent ones on part of a sphere."""
        if self.cells is None:
            return self.centers
        return (4 * np.unique(self.cells // 4)[:, None] + np.arange(4)).ravel()

    @property
    def mean_of_siblings(self) -> Any:
        """Matrix of the means of four siblings."""
        n = len(self.siblings) // 4
        quarter = np.full(4 * n, 0.25, self._precision)
        return sparse.csr_array((quarter, np.arange(4 * n), 4 * np.arange(n + 1)))

    @cached_property
    def coarsening(self) -> tuple[Any, Array | None]:
        """Matrix of Gaussian smoothing followed by the mean of the four children, and its halo."""

        def weights(around: Array, east: Array, north: Array, centers: Array) -> Array:
            return smoothing_stencils(around, east, north)[None].astype(self._precision)

        smoothing, halo = self._matrix(SMOOTHING_RADIUS, weights, self.siblings)
        return (self.mean_of_siblings @ smoothing).tocsr(), halo

    @cached_property
    def coarsener(self) -> Operator:
        """The same, for states."""
        matrix, halo = self.coarsening
        return self._operator(matrix, halo)

    def coarser(self) -> Level:
        """The next level."""
        frame = self.frame
        if not isinstance(frame, str):
            # directions 180° apart are one axis; of its two, the one that most children share
            mean, doubled = (self.parents @ np.exp(n * 1j * frame) for n in (1, 2))
            axis = np.sqrt(doubled)
            frame = np.angle(np.where((axis * mean.conj()).real < 0, -axis, axis))
        cells = None if self.cells is None else np.unique(self.cells // 4)
        return type(self)(self.spec, self.level - 1, cells, frame)

    @property
    def rows(self) -> Array:
        """Of a part: positions of its cells among those of the whole."""
        assert self.within is not None
        return self.within[0]

    @property
    def n_blocked(self) -> tuple[int, bool]:
        """Number of cells that blocks share out, and whether they are a whole sphere."""
        return (self.n_cells, self.cells is None) if self.within is None else self.within[1:]

    def slots(self, n: int) -> Tensor:
        """Of a part: its cells in each of n blocks of the whole, filled up with their number."""
        assert self.within is not None
        rows, n_whole, _ = self.within
        block = rows // -(-n_whole // n)
        first = np.searchsorted(block, np.unique(block))
        counts = np.diff(np.append(first, len(block)))
        slots = np.arange(counts.max())
        slots = np.where(slots < counts[:, None], first[:, None] + slots, len(block))
        return torch.as_tensor(slots, device=self.spec.device)

    def children_mean(self, x: Tensor) -> Tensor:
        """Means (R, coarser cells) of x (R, cells) over the four children; absent ones count 0."""
        columns = x.view(len(x), -1, self.copies).transpose(0, 1).flatten(1).double().cpu().numpy()
        means = torch.as_tensor(self.parents @ columns, device=x.device)
        return means.view(len(means), len(x), -1).transpose(0, 1).flatten(1)


class Sphere:
    """The transforms of one set of HEALPix cells.

    Parameters
    ----------
    spec : SphereSpec
        Level, cells, frame, wavelet, number of scales and orientations, precision, device.
    """

    level_type = Level

    def __init__(self, spec: SphereSpec):
        self.spec = spec
        self.levels = [self.level_type(spec, spec.level, spec.cells, spec.frame)]
        while len(self.levels) < spec.J:
            self.levels.append(self.levels[-1].coarser())
        self.n_cells = self.levels[0].n_cells
        self.radius = support_radius(spec.wavelet, spec.L)
        self._make()

    def _make(self) -> None:
        """Make the operators that all fields need."""
        for level, after in zip(self.levels, [*self.levels[1:], None], strict=True):
            for name in level.here if after is None else level.here + level.down:
                if not name.endswith("envelope"):
                    getattr(level, name)

    @property
    def nbytes(self) -> int:
        """Memory of the stencils."""
        made = (x for level in self.levels for x in vars(level).values())
        return sum(x.nbytes for x in made if isinstance(x, Operator))

    def part(self, spec: SphereSpec) -> Self:
        """The transforms on some of the cells, taken from these.

        Neighbors beyond the part weigh 0 in the stencils, as if they were missing.
        """
        part = copy(self)
        part.spec, part.levels = spec, []
        for j, level in enumerate(self.levels):
            part.levels.append(level.part(spec, np.unique(spec.cells // 4**j)))
        part.n_cells = part.levels[0].n_cells
        for level, own in zip(self.levels, part.levels, strict=True):
            here = level.places(own.rows)
            for name in level.here:
                setattr(own, name, getattr(level, name).restricted(here, here))
        for j, level in enumerate(self.levels[:-1]):
            fine, coarse = (self.levels[i].places(part.levels[i].rows) for i in (j, j + 1))
            for name in level.down:
                setattr(part.levels[j], name, getattr(level, name).restricted(coarse, fine))
        return part

    @staticmethod
    def joined(spec: SphereSpec, parts: Sequence[Sphere]) -> Sphere:
        """The transforms of several parts in one: each has moments of its own."""
        result = copy(parts[0])
        levels = zip(*(part.levels for part in parts), strict=True)
        result.levels = [type(one[0]).joined(spec, one) for one in levels]
        result.spec, result.n_cells = spec, result.levels[0].n_cells
        return result

    def within(self, coverage: SphereCoverage | None) -> Sphere:
        """The transforms for a coverage: the same for all."""
        return self

    def start(self, fields: Tensor, coverage: SphereCoverage | None) -> State:
        """State of scale 0 of fields (batch, field, cells)."""
        x = self.levels[0].arranged(fields).permute(2, 0, 1).contiguous()
        if coverage is None:
            return State(x)
        return State(self.levels[0].centered(x, coverage.of_field(0) > 0))

    def first(self, state: State, j: int, coverage: SphereCoverage | None) -> tuple[Tensor, Tensor]:
        """Coefficients W of scale j of each field, real and imaginary part (batch, field, l, P)."""
        W = self.levels[j].wavelets(state.fields).unflatten(0, (2, -1))
        real, imag = W.permute(0, 3, 4, 1, 2).unbind()
        return real, imag

    def append(self, state: State, U: Tensor, j: int, coverage: SphereCoverage | None) -> State:
        """State with the moduli of scale j (batch, field, l, P) as further columns."""
        U = U.permute(3, 0, 1, 2)
        if coverage is not None:
            valid = coverage.columns[j][:, j + 1, None, None, None] > 0
            U = self.levels[j].centered(U, valid)
        return State(state.fields, U if state.moduli is None else torch.cat([state.moduli, U], -1))

    def coarsen(self, state: State, j: int, coverage: SphereCoverage | None) -> State:
        """State of scale j + 1: valid cells smoothed, then averaged by four."""
        coarsener, moduli = self.levels[j].coarsener, state.moduli
        if coverage is None:
            fields = coarsener(state.fields)[0]
            return State(fields, None if moduli is None else coarsener(moduli)[0])
        x = self._coarse(state.columns, j, coverage)
        return State(x[..., 0], None if moduli is None else x[..., 1:])

    def _coarse(self, columns: Tensor, j: int, coverage: SphereCoverage) -> Tensor:
        """Columns of scale j + 1 from the valid cells of those of scale j."""
        valid, share, coarse_valid = (
            coverage.by_column(groups, columns.shape[-1], self.spec.L)
            for groups in (coverage.columns[j], coverage.shares[j], coverage.columns[j + 1])
        )
        x = self.levels[j].coarsener(columns * valid)[0] / share
        return self.levels[j + 1].centered(x, coarse_valid > 0)

    def grams(self, state: State, j: int, coverage: SphereCoverage) -> Tensor | None:
        """Means of the products of all filtered columns over the valid cells (R, batch, l, C, C).

        R is the number of parts.
        """
        level, columns = self.levels[j], state.columns
        y = level.wavelets(columns)
        group = column_groups(columns.shape[-1], 1, self.spec.L)
        factor = coverage.rows[j][0][group].T * coverage.weights[j][0][:, None].sqrt()
        y = (y * factor[:, None, None]).flatten(3).unflatten(0, (2, -1))
        A, B = y.permute(0, 3, 1, 2, 4).unbind()
        means = []
        for s in level.spans or [slice(None)]:
            a, b, own = A[..., s, :], B[..., s, :], factor[s]
            cross = b.mT @ a
            total = torch.complex(a.mT @ a + b.mT @ b, cross - cross.mT)
            means.append(ratio(total, (own.T @ own).repeat(2 * (columns.shape[2],))))
        return torch.stack(means)

    def spans(self, j: int) -> list[slice] | None:
        """The coefficients of scale j of each of several parts."""
        return self.levels[j].spans

    def gram(self, state: State, j: int) -> None:
        """All scales together are faster."""
        return None

    def cascade(self, fields: Tensor, second_layer: bool, exponent: float = 1) -> Tensor | None:
        """Means over all cells, of all scales (see `Transforms.cascade`)."""
        result: Tensor = Cascade.apply(fields, self.levels, second_layer, exponent)
        return result

    def block_grams(self, state: State, j: int) -> Tensor | None:
        """The means of these products over each block (blocks, batch, l, C, C)."""
        level, n_blocks = self.levels[j], self._n_blocks(j)
        if level.cells is not None:  # blocks of a part of the sphere are not equal
            return None
        filtered = level.nested(level.wavelets(state.columns.flatten(2)), 1)
        return block_grams(filtered, n_blocks) * (n_blocks / level.n_cells)

    def rows(self, state: State, j: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Real and imaginary part (batch, C, P) of all columns filtered at scale j."""
        columns, wavelets, L = state.columns.flatten(2), self.levels[j].wavelets, self.spec.L
        for l in range(L):
            real, imag = (wavelets(columns, slice(i, i + 1))[0] for i in (l, L + l))
            yield real.permute(1, 2, 0), imag.permute(1, 2, 0)

    def blocks(self, x: Tensor, j: int) -> Tensor:
        """Values (..., P) by blocks of cells that follow each other (..., blocks, P), 0 beyond."""
        level, n = self.levels[j], self._n_blocks(j)
        if level.within is not None:
            slots = level.slots(n)
            x = torch.nn.functional.pad(x, (0, 1))
            return x.index_select(-1, slots.ravel()).unflatten(-1, slots.shape)
        x = level.nested(x)
        padding = -x.shape[-1] % n
        x = torch.nn.functional.pad(x, (0, padding)) if padding else x
        return x.unflatten(-1, (n, -1))

    def _n_blocks(self, j: int) -> int:
        """Faces of the whole sphere or their quarters, or 12 to 48 stretches of a part of it."""
        n_cells, whole = self.levels[j].n_blocked
        if whole:
            return 48 if n_cells >= 48 * CELLS_PER_BLOCK else 12
        return min(48, max(4, n_cells // CELLS_PER_BLOCK))

    def block_share(self, j: int) -> float:
        """Part of the variance of a mean that the scatter of blocks shows (see `Flat`)."""
        sigma2 = (self.radius / 3) ** 2
        sigma2 += SMOOTHING**2 * (1 - 4.0**-j) / 3
        side = math.sqrt(self.levels[j].n_blocked[0] / self._n_blocks(j))
        return max(0.25, 1 - border_loss(3 * math.sqrt(sigma2)) / side) ** 2

    def to_field(self, x: Tensor, j: int) -> Tensor:
        """Values (..., P) of scale j on the cells inside each of its cells, in nested order."""
        level, cells = self.levels[j], self.levels[0].cells
        x = level.nested(x)
        if cells is None or level.cells is None:
            return x.repeat_interleave(4**j, -1)
        return x[..., np.searchsorted(level.cells, cells // 4**j)]

    def coverage(self, weights: Tensor, min_coverage: float) -> SphereCoverage | None:
        """Which coefficients count, given the weights (R, cells) of the cells; 0 is missing.

        Returns None when all cells of the sphere count alike.
        """
        w = self.levels[0].arranged(weights).double()
        if self.spec.cells is None and bool((w == w[0, 0]).all()) and w[0, 0] > 0:
            return None
        enough = min_coverage - 1e-9
        columns, first, rows, weights_j, shares = [], [], [], [], []
        groups = [(w > 0).double()]
        for level in self.levels:

            def erode(valid: Tensor, envelope: Operator) -> Tensor:
                return (enough <= envelope(valid.T.contiguous())[0].T) * valid

            groups.append(erode(groups[0], level.field_envelope))
            first.append(groups[-1] * w)
            columns.append(torch.stack([g[0] for g in groups], 1))
            inner = [groups[-1], *(erode(g, level.envelope) for g in groups[1:])]
            rows.append(torch.stack(inner, 1))
            weights_j.append(w)
            if level is not self.levels[-1]:
                share = level.coarsener(columns[-1].to(self.spec.dtype))[0]
                shares.append(share.clamp_min(LEAST_SHARE))
                groups = [(level.children_mean(g) >= enough).double() for g in groups]
                w = level.children_mean(w)

        def cast(tensors: list[Tensor]) -> list[Tensor]:
            return [t.to(self.spec.dtype) for t in tensors]

        lists = (cast(x) for x in (columns, first, rows, weights_j, shares))
        return SphereCoverage(weights_j[0], *lists)
