"""Where the values of a field sit: HEALPix cells, a plane or a line."""

from .align import align_along, align_to
from .base import Grid
from .find import find_grid
from .flat import LineGrid, PlaneGrid
from .healpix import HealpixGrid, mended

__all__ = [
    "Grid",
    "HealpixGrid",
    "LineGrid",
    "PlaneGrid",
    "align_along",
    "align_to",
    "find_grid",
    "mended",
]
