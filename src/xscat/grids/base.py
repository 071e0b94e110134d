"""What the rest of the package may ask of any grid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

if TYPE_CHECKING:
    from ..parameters import Parameters

Array = np.ndarray[Any, np.dtype[Any]]


class Grid(Protocol):
    """A grid of cells, made from the coordinates of a DataArray; hashable by dask, picklable."""

    kind: ClassVar[str]
    oriented: ClassVar[bool]
    """Whether there is more than one orientation."""

    @property
    def dims(self) -> tuple[str, ...]:
        """Dimensions of the DataArray that hold the cells."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Their sizes."""
        ...

    @property
    def units(self) -> str:
        """Units of lengths."""
        ...

    def largest_J(self, parameters: Parameters, layers: int) -> int:
        """Number of scales whose wavelets fit in the field, one behind another if layers = 2."""
        ...

    def wavelength(self, parameters: Parameters, j: int) -> float:
        """Wavelength at the center of the band of scale j."""
        ...

    def attrs(self) -> dict[str, Any]:
        """Facts about the grid for the attributes of a result."""
        ...

    def with_angles(self, angles: Array) -> Grid:
        """The grid with directions, radians, from which orientations count at each cell."""
        ...

    def spec(self, parameters: Parameters, dtype: str, device: str) -> Any:
        """Specification of the engine's transforms."""
        ...

    def arrange(self, values: Array) -> Array:
        """Values (..., *shape) in the engine's order (..., cells)."""
        ...

    def restore(self, values: Array) -> Array:
        """Inverse of `arrange`."""
        ...
