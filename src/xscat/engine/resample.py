"""Real fields from their Fourier coefficients, on grids of any number of points."""

from __future__ import annotations

import math

import torch

Tensor = torch.Tensor


def to_cells(block: Tensor, shape: tuple[int, int], grid: tuple[int, int]) -> Tensor:
    """Values on a grid of real periodic fields given by a block of Fourier coefficients.

    Parameters
    ----------
    block : (..., ky, kx) complex
        Coefficients as `torch.fft.rfft2` of a field of *shape* gives them, without high wave
        numbers: ky = 0, ..., h, -h, ..., -1 (or all) and kx = 0, ..., h'.
    shape : (int, int)
        Shape of the field.
    grid : (int, int)
        Number of points along y and x, evenly spaced and centered in the field; *shape* for its
        cells. Fewer points alias nothing but the values: each is exact.

    Returns
    -------
    (..., *grid) real
    """
    (ny, nx), (gy, gx) = shape, grid
    along_y = torch.fft.ifft(_fold_y(block, ny, gy), dim=-2) * (gy / ny)
    return torch.fft.irfft(_fold_x(along_y, nx, gx), n=gx, dim=-1) * (gx / nx)


def _shift(k: Tensor, n: int, g: int) -> Tensor:
    """Phases of waves of k periods at the first of g centered points."""
    return torch.exp(1j * math.pi / n * (n / g - 1) * k.double())


def _fold_y(block: Tensor, n: int, g: int) -> Tensor:
    """Coefficients of g points from those of n, along the axis of all ky."""
    size = block.shape[-2]
    half = size // 2
    if g == n and size == n:
        return block
    if g == n:
        gap = block.new_zeros(*block.shape[:-2], n - size, 1).expand(
            *block.shape[:-2], n - size, block.shape[-1]
        )
        return torch.cat([block[..., : half + 1, :], gap, block[..., half + 1 :, :]], -2)
    k = torch.cat([torch.arange(size - half), torch.arange(-half, 0)]).to(block.device)
    if size == n and n % 2 == 0:  # the Nyquist wave is as much one of k as of -k
        middle = block[..., half : half + 1, :] / 2
        block = torch.cat([block[..., :half, :], middle, middle, block[..., half + 1 :, :]], -2)
        k = torch.cat([torch.arange(half + 1), torch.arange(-half, 0)]).to(block.device)
    block = block * _shift(k, n, g).to(block.dtype)[:, None]
    folded = block.new_zeros(*block.shape[:-2], g, block.shape[-1])
    return folded.index_add(-2, k % g, block)


def _fold_x(block: Tensor, n: int, g: int) -> Tensor:
    """Coefficients of g points from those of n, along the axis of kx >= 0."""
    if g == n:
        return block
    k = torch.arange(block.shape[-1], device=block.device)
    block = block * _shift(k, n, g).to(block.dtype)
    if n % 2 == 0 and block.shape[-1] == n // 2 + 1:
        block = torch.cat([block[..., :-1], block[..., -1:] / 2], -1)
    target = k % g
    beyond = target > g - target
    block = torch.where(beyond, block.conj(), block)
    target = torch.where(beyond, g - target, target)
    # irfft counts wave numbers 0 and g / 2 once, and only their real part
    once = ((target == 0) & (k > 0)) | (2 * target == g)
    block = torch.where(once, (2 * block.real).to(block.dtype), block)
    return block.new_zeros(*block.shape[:-1], g // 2 + 1).index_add(-1, target, block)
