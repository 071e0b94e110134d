"""HEALPix cells, as xdggs describes them."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..errors import GridError
from .base import Array
from .dims import is_dggs

if TYPE_CHECKING:
    import xarray as xr

    from ..parameters import Parameters

_NAMES = ("level", "nside", "order", "resolution", "depth", "nest", "indexing_scheme")
MIN_LEVEL, MAX_LEVEL = 2, 10


@dataclass(frozen=True, eq=False)
class HealpixGrid:
    """HEALPix cells in any order, the whole sphere or part of it.

    Attributes
    ----------
    dims : tuple of str
        The dimension of the cells.
    level : int
        HEALPix level, log2(nside).
    cells : array of int, optional
        Nested numbers, sorted; None for the whole sphere.
    order : array of int, optional
        Position in the caller's array of each cell in nested order; None if it is in that order.
    size : int
        Number of cells.
    angles : array of float, optional
        Directions in radians, counter-clockwise from east, from which orientations count at each
        cell, in nested order.
    """

    dims: tuple[str, ...]
    level: int
    cells: Array | None
    order: Array | None
    size: int
    angles: Array | None = None

    kind: ClassVar[str] = "healpix"
    oriented: ClassVar[bool] = True
    units: ClassVar[str] = "degrees"

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.size,)

    def sorted_cells(self) -> Array:
        """Nested numbers of the cells in increasing order."""
        return np.arange(self.size) if self.cells is None else self.cells

    def with_angles(self, angles: Array) -> HealpixGrid:
        """The grid with a local frame, given in the caller's order."""
        return replace(self, angles=self.arrange(angles))

    def largest_J(self, parameters: Parameters, layers: int) -> int:
        from healpix_geo import nested

        reach = layers * parameters.wavelet.radius + bool(parameters.spin)
        for J in range(self.level - 1, 0, -1):
            level = self.level - J + 1
            if self.cells is None:
                return J
            parents, counts = np.unique(self.cells // 4 ** (J - 1), return_counts=True)
            whole = parents[counts == 4 ** (J - 1)]
            if len(whole) > 4 * reach**2:
                around = nested.kth_neighbourhood(
                    whole.astype(np.uint64), level, reach, num_threads=1
                )
                if (np.isin(around, whole) | (around < 0)).all(1).any():
                    return J
        return 0

    def wavelength(self, parameters: Parameters, j: int) -> float:
        from ..engine.stencils import band_center

        side = np.rad2deg(np.sqrt(np.pi / 3) / 2 ** (self.level - j))
        return float(2 * np.pi / band_center(parameters.wavelet, parameters.L, j) * side)

    def attrs(self) -> dict[str, Any]:
        return {"grid": self.kind, "level": self.level, "nside": 2**self.level}

    def spec(self, parameters: Parameters, dtype: str, device: str) -> Any:
        import torch

        from ..engine.sphere import SphereSpec
        from ..engine.spin import SpinSphereSpec

        spec = SphereSpec(
            level=self.level,
            cells=self.cells,
            frame=parameters.frame if self.angles is None else self.angles,
            wavelet=parameters.wavelet,
            J=parameters.J,
            L=parameters.L,
            dtype=getattr(torch, dtype),
            device=torch.device(device),
        )
        return SpinSphereSpec(**vars(spec), spin=parameters.spin) if parameters.spin else spec

    def arrange(self, values: Array) -> Array:
        return values if self.order is None else values[..., self.order]

    def restore(self, values: Array) -> Array:
        if self.order is None:
            return values
        result = np.empty_like(values)
        result[..., self.order] = values
        return result


def decoding(
    name: Hashable, dim: Hashable, size: int, ids: str | None = None, scheme: str = "nested"
) -> str:
    """The line that decodes a field whose cell numbers are not labelled, for messages.

    Parameters
    ----------
    name, dim : str
        Coordinate and dimension of the cells.
    size : int
        Number of cells, which tells the level if it is that of a whole sphere.
    ids : str, optional
        Code of the numbers. Default: those of a whole sphere, or a variable of that name.
    scheme : {"nested", "ring"}
        How cells are numbered.
    """
    level = sphere_level(size)
    if ids is None:
        ids = "ids" if level is None else f"np.arange({size})"
    return (
        f"`field.assign_coords({{{name!r}: ({dim!r}, {ids}, {{'grid_name': 'healpix', 'level': "
        f"{'level' if level is None else level}, 'indexing_scheme': {scheme!r}}})}})"
        f".pipe(xdggs.decode, name={name!r})`"
    )


def sphere_level(size: int) -> int | None:
    """Level of the sphere with that many cells, if it is one that wavelets fit on."""
    level = (size // 12).bit_length() // 2
    return level if level >= MIN_LEVEL and size == 12 * 4**level else None


def find_cells(da: xr.DataArray) -> str | None:
    """Name of the coordinate that holds HEALPix cell numbers, if there is one."""
    for name, index in da.xindexes.items():
        if is_dggs(index):
            return str(name)
    for name, coordinate in da.coords.items():
        if coordinate.attrs.get("grid_name") == "healpix" and coordinate.ndim == 1:
            return str(name)
    return None


def mended(da: xr.DataArray) -> xr.DataArray:
    """The field with its cell numbers along its cells, where renaming left the index behind."""
    name = find_cells(da)
    if name is None or set(da[name].dims) <= set(da.dims):
        return da
    ids = da.coords[name]
    dims = [d for d, n in da.sizes.items() if n == ids.size and d not in da.drop_vars(name).coords]
    if len(dims) != 1:
        raise GridError(
            f"{name!r} is along {ids.dims[0]!r}, a dimension that the field has not: rename before "
            "xdggs.decode"
        )
    level, scheme = cell_scheme(da, name)
    attrs = {"grid_name": "healpix", "level": level, "indexing_scheme": scheme}
    import xdggs

    fresh = da.drop_vars(name).assign_coords({name: (dims[0], ids.values, attrs)})
    return fresh.pipe(xdggs.decode, name=name)


def healpix_grid(da: xr.DataArray, name: str) -> HealpixGrid:
    """The HEALPix grid of a DataArray whose cell coordinate is *name*, checked."""
    ids = da[name]
    (dim,) = ids.dims
    level, scheme = cell_scheme(da, name)
    nested, level = _nested(ids, level, scheme)
    if not MIN_LEVEL <= level <= MAX_LEVEL:
        raise GridError(
            f"level {level} (nside {2**level}) of {name!r} is not supported: "
            f"levels {MIN_LEVEL} to {MAX_LEVEL} (nside 4 to {2**MAX_LEVEL}) are"
        )
    n_sphere = 12 * 4**level
    bad = (nested < 0) | (nested >= n_sphere)
    if bad.any():
        raise GridError(
            f"{name!r} holds {int(bad.sum())} cell ids outside 0..{n_sphere - 1}, the range of "
            f"level {level} (first: {ids.values[bad][0]}): check the level in its attributes"
        )
    order = None
    if (np.diff(nested) <= 0).any():
        order = np.argsort(nested, kind="stable")
        nested = nested[order]
        repeated = np.diff(nested) == 0
        if repeated.any():
            raise GridError(
                f"{name!r} holds {int(repeated.sum())} duplicate cell ids (first: "
                f"{nested[1:][repeated][0]}, nested): keep one of each, e.g. "
                f"`field.isel({{{dim!r}: np.unique(field[{name!r}], return_index=True)[1]}})`, or "
                f"average them before decoding, with .groupby({name!r}).mean()"
            )
    cells = None if len(nested) == n_sphere else nested
    return HealpixGrid((str(dim),), level, cells, order, len(nested))


def cell_scheme(da: xr.DataArray, name: str) -> tuple[int | None, str]:
    """Level and indexing scheme, from the index or from the attributes."""
    import xdggs

    ids, (dim,) = da[name], da[name].dims
    info = getattr(da.xindexes.get(name), "grid_info", None)
    if info is None:
        attrs: dict[str, Any] = {k: v for k, v in da[name].attrs.items() if k in _NAMES}
        if attrs.get("indexing_scheme") == "zuniq":  # files have no None, and the ids tell
            attrs = {"level": None, "indexing_scheme": "zuniq"}
        try:
            info = xdggs.HealpixInfo.from_dict(attrs)
        except (TypeError, ValueError) as error:
            raise GridError(
                f"the attributes of {name!r} do not describe a HEALPix grid ({error}): decode it "
                f"with right ones, {decoding(name, dim, ids.size, f'field[{name!r}].values')}"
            ) from error
    if not isinstance(info, xdggs.HealpixInfo):
        raise GridError(f"{name!r} is a {type(info).__name__} grid: only HEALPix is supported")
    return info.level, info.indexing_scheme


def _nested(coordinate: xr.DataArray, level: int | None, scheme: str) -> tuple[Array, int]:
    """Nested cell numbers and their level."""
    from healpix_geo import ring, zuniq

    ids, name = coordinate.values, str(coordinate.name)
    if ids.dtype.kind == "f" and np.array_equal(ids, np.round(ids)):
        ids = ids.astype(np.int64)
    if ids.dtype.kind not in "iu":
        raise GridError(_no_integers(coordinate))
    if scheme == "zuniq":
        nested, depth = zuniq.to_nested(ids.astype(np.uint64), num_threads=1)
        levels = sorted(set(depth.tolist()))
        if len(levels) != 1:
            raise GridError(f"{name!r} mixes levels {levels}: take the cells of one level")
        return nested.astype(np.int64), levels[0]
    if level is None:
        raise GridError(f"the level of {name!r} is not known: set it in its attributes")
    ids = ids.astype(np.int64)
    if scheme == "ring":
        inside = (ids >= 0) & (ids < 12 * 4**level)
        converted = ring.to_nested(np.where(inside, ids, 0).astype(np.uint64), level, num_threads=1)
        return np.where(inside, converted.astype(np.int64), -1), level
    return ids, level


def _no_integers(coordinate: xr.DataArray) -> str:
    """The message for cell numbers that are none."""
    name, (dim,) = coordinate.name, coordinate.dims
    what = f"{name!r} holds cell ids that are no integers (dtype {coordinate.dtype}): "
    if coordinate.isnull().any():
        return (
            f"{what}some are missing, leave them out before decoding, "
            f"`field.isel({{{dim!r}: field[{name!r}].notnull().values}})`"
        )
    return (
        f"{what}convert them before decoding, "
        f"`field.assign_coords({{{name!r}: field[{name!r}].astype('int64')}})`"
    )
