"""Regular grids: a plane or a line."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from ..engine.wavelets import MODE_RADIUS, support_radius
from ..errors import GridError
from .axes import axis, in_cells
from .base import Array

if TYPE_CHECKING:
    import xarray as xr

    from ..parameters import Parameters


@dataclass(frozen=True, eq=False)
class _RegularGrid:
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    """Step of the coordinate along each dimension; negative where it descends."""
    units: str
    angles: Array | None = None
    """Directions in radians, from +x toward +y, from which orientations count at each cell."""

    kind: ClassVar[str]
    oriented: ClassVar[bool]

    @property
    def step(self) -> float:
        """Side of the cell in which the wavelets are measured: the larger spacing."""
        return max(map(abs, self.spacing))

    def with_angles(self, angles: Array) -> Self:
        """The grid with a local frame."""
        return replace(self, angles=angles)

    def largest_J(self, parameters: Parameters, layers: int) -> int:
        sizes = [n * abs(s) / self.step for n, s in zip(self.shape, self.spacing, strict=True)]
        if parameters.boundary == "periodic":
            return int(math.log2(min(sizes))) - 1
        # the modes of a spin field need more in the first layer
        layers_wide = layers + (MODE_RADIUS - 1) * bool(parameters.spin)
        radius = layers_wide * support_radius(parameters.wavelet, parameters.L)
        return math.ceil(math.log2(min(sizes) / (2 * radius)))

    def wavelength(self, parameters: Parameters, j: int) -> float:
        return band_wavelength(parameters) * 2**j * self.step

    def attrs(self) -> dict[str, Any]:
        return {"grid": self.kind, "spacing": self.step}

    def spec(self, parameters: Parameters, dtype: str, device: str) -> Any:
        import torch

        from ..engine.flat import FlatSpec
        from ..engine.framed import FramedSpec
        from ..engine.spin import SpinFlatSpec

        *ny, nx = self.shape
        *dy, dx = self.spacing
        spec = FlatSpec(
            shape=(ny[0] if ny else 1, nx),
            step=(dy[0] / self.step if dy else 1.0, dx / self.step),
            periodic=parameters.boundary == "periodic",
            wavelet=parameters.wavelet,
            J=parameters.J,
            L=parameters.L,
            dtype=getattr(torch, dtype),
            device=torch.device(device),
        )
        if parameters.spin:
            return SpinFlatSpec(**vars(spec), spin=parameters.spin)
        return spec if self.angles is None else FramedSpec(**vars(spec), angles=self.angles)

    def arrange(self, values: Array) -> Array:
        return values.reshape(*values.shape[: values.ndim - len(self.shape)], -1)

    def restore(self, values: Array) -> Array:
        return values.reshape(*values.shape[:-1], *self.shape)


@dataclass(frozen=True, eq=False)
class PlaneGrid(_RegularGrid):
    """A plane with evenly spaced y and x.

    Wavelets are round in the units of the coordinates: where the spacings differ, they are measured
    in cells of the larger one. Orientations are counted from +x toward +y of the coordinates.
    """

    kind = "plane"
    oriented = True


@dataclass(frozen=True, eq=False)
class LineGrid(_RegularGrid):
    """One axis with evenly spaced values."""

    kind = "line"
    oriented = False


def band_wavelength(parameters: Parameters) -> float:
    """Wavelength, in cells, at the center of the band of scale 0."""
    xi = getattr(parameters.wavelet, "xi", None)
    if xi is None:
        k = np.linspace(0, 2 * np.pi, 6284)
        xi = k[np.abs(parameters.wavelet.fourier(k, 0 * k, parameters.L)[0]).argmax()]
    return float(2 * np.pi / xi)


def regular_grid(da: xr.DataArray, dims: tuple[str, ...]) -> PlaneGrid | LineGrid:
    """The plane or line of a DataArray, checked."""
    axes = [axis(da, dim, dims) for dim in dims]
    spacing, units = tuple(step for step, _ in axes), [unit for _, unit in axes]
    if len(set(units)) > 1:
        raise GridError(
            f"dimensions {dims} have different units {sorted(set(units))}: convert one of their "
            f"coordinates, give both the same units, or work in cells, {in_cells(da, dims)}"
        )
    shape = tuple(da.sizes[dim] for dim in dims)
    for dim, size in zip(dims, shape, strict=True):
        if size < 4:
            raise GridError(f"dimension {dim!r} has {size} cells: at least 4 are needed")
    return (PlaneGrid if len(dims) == 2 else LineGrid)(dims, shape, spacing, units[0])
