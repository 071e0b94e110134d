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
from typing import Any, ClassVar, Self

import numpy as np
import torch

from .cascade import Cascade
from .level import Level
from .moments import Pass, border_loss, column_groups, ratio
from .operators import Operator
from .products import block_grams
from .stencils import (
    SMOOTHING,
)
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

    def build(self, known: Callable[[SphereSpec], Sphere] | None = None) -> Sphere:
        """The transforms themselves, from others that may be known."""
        if self.parts:
            return Sphere.joined(self, [spec.build(known) for spec in self.parts])
        if self.within is None:
            return self.sphere_type()(self)
        return (known or SphereSpec.build)(self.within).part(self)

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
