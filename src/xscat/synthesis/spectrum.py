"""Power spectra that a gradient can go through, in third-octave bins."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from ..grids import HealpixGrid
from .multiscale import Level

Array = np.ndarray[Any, np.dtype[Any]]
Tensor = torch.Tensor

_BINS_PER_OCTAVE = 3
_BEGIN_OF_WAVELETS = 1.5  # of the center of the last scale, whose octave is not resolved else
_END_OF_WAVELETS = 0.65  # of the Nyquist frequency: there the finest wavelets of a plane lose grip
_LEAST_NSIDE = 8
_MATRIX_SIZE = 2**20  # up to so many values of harmonics on cells, a matrix is faster than healpy


class Spectrum:
    """Mean power in third-octave bins of wave numbers: fields (B, cells) to (B, bins).

    White noise of variance 1 has the power 1. On a plane or line whose border is not periodic it is
    that of the periodic component of the field (Moisan 2011, J. Math. Imaging Vis. 39, 161), which
    lacks the jump from one border to the opposite one. Missing cells are as the mean.

    Parameters
    ----------
    level : Level
        Grid and boundary.
    valid : (cells,) bool
        Cells that exist.
    to_tensor : callable
        Makes tensors of the precision and on the device of the fields.
    first : float, optional
        Wave number, 1 / wavelength, at which the first bin begins. Default: the lowest.
    rest : bool, default False
        Only bins that the wavelets do not fix: waves as long as those of the last scale and longer,
        and on a plane also those close to the Nyquist frequency and beyond it, in the corners.

    Attributes
    ----------
    numbers, k, n_modes : (bins,)
        Number of the third octave, mean wave number and number of independent modes.
    first, nyquist : float
        Where the first bin begins, and the last but those of the corners ends.
    """

    def __init__(
        self,
        level: Level,
        valid: Array,
        to_tensor: Callable[[Array], Tensor],
        first: float | None = None,
        rest: bool = False,
    ):
        self.weights = to_tensor(valid.astype(float))
        parameters = level.parameters
        last = _BEGIN_OF_WAVELETS / level.grid.wavelength(parameters, parameters.J - 1)
        if isinstance(level.grid, HealpixGrid):
            self._modes: Any = _SphereModes(level.grid, self.weights, last if rest else None)
        else:
            periodic = level.parameters.boundary == "periodic"
            self._modes = _PlaneModes(level.grid, periodic, to_tensor)
        k, n = self._modes.k, self._modes.multiplicity
        self.first = k[k > 0].min() if first is None else first
        with np.errstate(divide="ignore"):
            number = np.floor(_BINS_PER_OCTAVE * np.log2(k / self.first) + 1e-9)
        bins = np.unique(number[(k > 0) & (number >= 0)])
        average = np.where(number[:, None] == bins, n[:, None], 0.0)
        self.n_modes = average.sum(0)
        average /= self.n_modes
        self.k = k @ average
        self.nyquist = self._modes.nyquist
        if rest:
            keep = (self.k < last) | (self.k > _END_OF_WAVELETS * self.nyquist)
        else:
            keep = self.k <= self.nyquist
        self.k, self.n_modes, self.numbers = self.k[keep], self.n_modes[keep], bins[keep]
        self._average = to_tensor(average[:, keep])

    def __call__(self, fields: Tensor) -> Tensor:
        mean = (fields * self.weights).sum(-1, keepdim=True) / self.weights.sum()
        return self._modes((fields - mean) * self.weights) @ self._average


class _PlaneModes:
    """Power (B, modes) of each mode of a plane or a line."""

    def __init__(self, grid: Any, periodic: bool, to_tensor: Callable[[Array], Tensor]):
        self.shape, self.periodic = grid.shape, periodic
        steps = [abs(s) for s in grid.spacing]
        axes = [np.fft.fftfreq(n) for n in grid.shape]
        axes[-1] = np.fft.rfftfreq(grid.shape[-1])
        mesh = np.meshgrid(*axes, indexing="ij")
        self.k = np.sqrt(sum((g / s) ** 2 for g, s in zip(mesh, steps, strict=True))).ravel()
        self.nyquist = min(0.5 / s for s in steps) * (1 + 1e-9)
        both = np.where((mesh[-1] == 0) | (mesh[-1] == 0.5), 1.0, 2.0)
        self.multiplicity = both.ravel()
        laplacian = sum(2 - 2 * np.cos(2 * np.pi * g) for g in mesh)
        self._inverse = to_tensor(1 / np.where(laplacian == 0, np.inf, laplacian))
        self._jumps = [
            (to_tensor(1 - np.cos(2 * np.pi * g)), to_tensor(-np.sin(2 * np.pi * g))) for g in mesh
        ]

    def __call__(self, x: Tensor) -> Tensor:
        x = x.unflatten(-1, self.shape)
        n_axes = len(self.shape)
        spectrum = torch.fft.rfftn(x, dim=tuple(range(-n_axes, 0)))
        for axis in range(n_axes) if not self.periodic else ():
            dim = axis - n_axes
            jump = x.narrow(dim, 0, 1) - x.narrow(dim, x.shape[dim] - 1, 1)
            across = self._transform_across(jump, dim)
            spectrum = spectrum - across * torch.complex(*self._jumps[axis]) * self._inverse
        return (spectrum.real**2 + spectrum.imag**2).flatten(1) / np.prod(self.shape)

    def _transform_across(self, jump: Tensor, dim: int) -> Tensor:
        """Transform along the other axis, if there is one."""
        if len(self.shape) == 1:
            return jump + 0j
        return torch.fft.rfft(jump, dim=-1) if dim == -2 else torch.fft.fft(jump, dim=-2)


class _SphereModes:
    """C_l (B, l) of fields in nested order, in units of that of white noise.

    Where only large waves are asked for, cells are averaged first.
    """

    nyquist = np.inf

    def __init__(self, grid: HealpixGrid, weights: Tensor, largest: float | None):
        self.nside = 2**grid.level
        self.lmax = 2 * self.nside
        if largest is not None:
            self.lmax = min(self.lmax, max(1, int(360 * largest)))
        self.low = self.nside
        while largest is not None and self.low > max(_LEAST_NSIDE, self.lmax):
            self.low //= 2
        l = np.arange(self.lmax + 1)
        self.k, self.multiplicity = l / 360, 2.0 * l + 1
        self.cells = self.harmonics = None
        if 12 * self.low**2 * (self.lmax + 1) ** 2 <= _MATRIX_SIZE:
            harmonics, of_l = _harmonics(self.low, self.lmax)
            self.harmonics, self.of_l = (
                torch.as_tensor(m, dtype=weights.dtype, device=weights.device)
                for m in (harmonics, of_l)
            )
        if grid.cells is not None:
            self.cells = torch.as_tensor(grid.cells, device=weights.device)

    def __call__(self, x: Tensor) -> Tensor:
        n_cells = 12 * self.nside**2
        if self.cells is not None:
            x = x.new_zeros(len(x), n_cells).index_copy(1, self.cells, x)
        x = x.unflatten(-1, (12 * self.low**2, -1)).mean(-1)
        scale = n_cells / (4 * np.pi)
        if self.harmonics is None:
            return _Spectrum.apply(x, self.low, self.lmax) * scale
        return (x @ self.harmonics).square() @ (self.of_l * scale)


@lru_cache(maxsize=8)
def _harmonics(nside: int, lmax: int) -> tuple[Array, Array]:
    """Real harmonics on nested cells (cells, modes), in weights of a mean; from modes to l."""
    import healpy

    l, m = healpy.Alm.getlm(lmax)
    modes = np.diag(np.where(m > 0, np.sqrt(0.5), 1) + 0j)
    modes = np.concatenate([modes, 1j * modes[m > 0]])
    maps = np.stack([healpy.alm2map(mode, nside, lmax=lmax) for mode in modes])
    maps = healpy.reorder(maps, r2n=True) * (4 * np.pi / healpy.nside2npix(nside))
    of_l = (np.r_[l, l[m > 0]][:, None] == np.arange(lmax + 1)) / (2 * np.arange(lmax + 1) + 1)
    return maps.T.copy(), of_l


class _Spectrum(torch.autograd.Function):
    """C_l (B, l) of fields (B, cells) in nested order; healpy does the transforms."""

    @staticmethod
    def forward(ctx: Any, fields: Tensor, nside: int, lmax: int) -> Tensor:
        import healpy

        ring = healpy.reorder(fields.detach().double().cpu().numpy(), n2r=True)
        alms = [healpy.map2alm(m, lmax=lmax, iter=0) for m in np.atleast_2d(ring)]
        ctx.alms, ctx.nside, ctx.lmax = alms, nside, lmax
        cls = np.stack([healpy.alm2cl(a, lmax=lmax) for a in alms])
        return torch.as_tensor(cls, dtype=fields.dtype, device=fields.device)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        import healpy

        per_mode = 2 / (2 * np.arange(ctx.lmax + 1) + 1) * 4 * np.pi / healpy.nside2npix(ctx.nside)
        maps = [
            healpy.alm2map(healpy.almxfl(a, g * per_mode), ctx.nside, lmax=ctx.lmax)
            for a, g in zip(ctx.alms, gradients[0].double().cpu().numpy(), strict=True)
        ]
        nested = healpy.reorder(np.stack(maps), r2n=True)
        gradient = torch.as_tensor(nested, dtype=gradients[0].dtype, device=gradients[0].device)
        return gradient, None, None
