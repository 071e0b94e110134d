"""Power spectra that a gradient can go through, in third-octave bins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ..grids import HealpixGrid
from .multiscale import Level

Array = np.ndarray[Any, np.dtype[Any]]
Tensor = torch.Tensor

_BINS_PER_OCTAVE = 3


def octave_bins(k: Array) -> Array:
    """Number of the third-octave bin of each wave number; 0 for the mean."""
    first = k[k > 0].min()
    with np.errstate(divide="ignore"):
        bins = np.floor(_BINS_PER_OCTAVE * np.log2(k / first) + 1e-9)
    _, numbers = np.unique(np.where(k > 0, bins, -1), return_inverse=True)
    return numbers.reshape(k.shape)


def binned_spectrum(
    level: Level, valid: Array, to_tensor: Callable[[Array], Tensor]
) -> Callable[[Tensor], Tensor]:
    """Function from fields (B, cells) to their mean power in bins (B, bins), without the mean.

    Planes and lines that are not periodic are tapered by a Hann window; missing cells are 0.
    """
    window = valid.astype(float)
    if isinstance(level.grid, HealpixGrid):
        return _on_sphere(level.grid, to_tensor(window))
    grid: Any = level.grid
    shape = grid.shape
    if level.parameters.boundary != "periodic":
        taper = np.ones(())
        for n in shape:
            taper = taper[..., None] * np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2
        window = window * taper.ravel()
    ks = [np.fft.fftfreq(n, abs(s)) for n, s in zip(shape, grid.spacing, strict=True)]
    k = np.sqrt(sum(g**2 for g in np.meshgrid(*ks, indexing="ij")))
    nyquist = min(0.5 / abs(s) for s in grid.spacing)
    bins = np.where(k <= nyquist * (1 + 1e-9), octave_bins(k), 0)
    average = _averager(bins.ravel(), np.ones(bins.size), to_tensor)
    w = to_tensor(window)
    axes = tuple(range(-len(shape), 0))

    def power(fields: Tensor) -> Tensor:
        mean = (fields * w).sum(-1, keepdim=True) / w.sum()
        spectrum = torch.fft.fftn(((fields - mean) * w).unflatten(-1, shape), dim=axes)
        return (spectrum.real**2 + spectrum.imag**2).flatten(1) @ average

    return power


def _averager(bins: Array, weights: Array, to_tensor: Callable[[Array], Tensor]) -> Tensor:
    """Matrix (modes, bins) that averages over each bin but the one of the mean."""
    n_bins = bins.max()
    matrix = np.zeros((bins.size, n_bins))
    inside = bins > 0
    matrix[np.flatnonzero(inside), bins[inside] - 1] = weights[inside]
    return to_tensor(matrix / matrix.sum(0))


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


def _on_sphere(grid: HealpixGrid, window: Tensor) -> Callable[[Tensor], Tensor]:
    nside, n_sphere = 2**grid.level, 12 * 4**grid.level
    lmax = 2 * nside
    l = np.arange(lmax + 1)
    average = _averager(octave_bins(l.astype(float)), 2.0 * l + 1, window.new_tensor)
    cells = None if grid.cells is None else torch.as_tensor(grid.cells, device=window.device)

    def power(fields: Tensor) -> Tensor:
        mean = (fields * window).sum(-1, keepdim=True) / window.sum()
        x = (fields - mean) * window
        if cells is not None:
            x = x.new_zeros(len(x), n_sphere).index_copy(1, cells, x)
        return _Spectrum.apply(x, nside, lmax) @ average

    return power
