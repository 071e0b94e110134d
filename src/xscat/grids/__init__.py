"""Where the values of a field sit: HEALPix cells, a plane or a line."""

from .base import Grid
from .find import find_grid
from .flat import LineGrid, PlaneGrid
from .healpix import HealpixGrid

__all__ = ["Grid", "HealpixGrid", "LineGrid", "PlaneGrid", "find_grid"]
