"""The cells of one scale on the sphere, and the sparse operators that start from them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from scipy import sparse

from .moments import centered
from .operators import Operator
from .stencils import (
    SMOOTHING_RADIUS,
    cell_vectors,
    neighborhood,
    smoothing_stencils,
    wavelet_stencils,
)
from .symmetry import composed, orbits
from .wavelets import Array

if TYPE_CHECKING:
    from .sphere import SphereSpec

Tensor = torch.Tensor


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
