"""What the transforms of a plane or a line have in common, whatever their wavelets."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from .moments import border_loss
from .wavelets import support_radius

if TYPE_CHECKING:
    from .flat import FlatSpec

Tensor = torch.Tensor

# Blocks of cells whose scatter gives error bars: on a line, and along each side of a plane.
N_BLOCKS_LINE, N_BLOCKS_SIDE = 32, 6


class Regular:
    """A plane; a line is a plane of one row and one orientation.

    Parameters
    ----------
    spec : FlatSpec
        Shape, spacing, boundary, wavelet, number of scales and orientations, precision, device.
    """

    grids: list[tuple[int, int]]
    """Numbers of points along y and x, evenly spaced, at which products of scale j are formed."""

    def __init__(self, spec: FlatSpec):
        self.spec = spec
        self.n_cells = math.prod(spec.shape)
        self.radius = support_radius(spec.wavelet, spec.L)

    def cascade(self, fields: Tensor, second_layer: bool, exponent: float = 1) -> None:
        """Scales have a short cut each."""
        return None

    def block_grams(self, state: Tensor, j: int) -> None:
        """Parseval's theorem is for the whole plane."""
        return None

    def grams(self, state: Tensor, j: int, coverage: Any) -> None:
        """One orientation after the other takes less memory."""
        return None

    def spans(self, j: int) -> None:
        """There is one set of cells."""
        return None

    def blocks(self, x: Tensor, j: int) -> Tensor:
        """Values (..., P) by rectangles of cells (..., blocks, P), padded with 0."""
        ny, nx = self.spec.shape if x.shape[-1] == self.n_cells else self.grids[j]
        by, bx = self._block_counts(ny, nx)
        x = x.unflatten(-1, (ny, nx))
        if ny % by or nx % bx:
            x = torch.nn.functional.pad(x, (0, -nx % bx, 0, -ny % by))
        tiles = x.unflatten(-2, (by, -1)).unflatten(-1, (bx, -1))
        return tiles.transpose(-3, -2).flatten(-4, -3).flatten(-2)

    @staticmethod
    def _block_counts(ny: int, nx: int) -> tuple[int, int]:
        """Numbers of blocks along y and x, such that they need no padding if that is possible."""

        def best(n: int, wanted: int) -> int:
            near = sorted(range(wanted - 2, wanted + 3), key=lambda b: (n % b > 0, abs(b - wanted)))
            return near[0]

        if ny == 1:
            return 1, best(nx, N_BLOCKS_LINE)
        return best(ny, N_BLOCKS_SIDE), best(nx, N_BLOCKS_SIDE)

    def block_share(self, j: int) -> float:
        """Part of the variance of a mean that the scatter of blocks shows.

        Blocks of side s see 1 - <|u|> / s of it in each direction, where <|u|> is the mean distance
        under the autocorrelation of the wavelet's envelope, a Gaussian: neighbors are correlated
        across their border.
        """
        radius = self.radius * 2**j
        share = 1.0
        counts = self._block_counts(*self.grids[j])
        for n, step, blocks in zip(self.spec.shape, self.spec.step, counts, strict=True):
            if n > 1:
                share *= max(0.25, 1 - border_loss(radius) * blocks / (n * abs(step)))
        return share

    def to_field(self, x: Tensor, j: int) -> Tensor:
        """Values (..., P) of the first layer of scale j on the cells of the field: themselves."""
        return x
