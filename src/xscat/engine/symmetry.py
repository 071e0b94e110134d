"""Rotations of the sphere that take HEALPix cells to cells: their stencils are the same.

They are eight: by multiples of 90° about the poles, and the same after one by 180° about the axis
through longitude 0 on the equator. No cell stays in its place. The latter takes pixel p of a face,
in nested order, to the last one minus p of another, and turns east and north by 180°: the transform
of a wavelet being real, its real part stays the same and its imaginary part changes its sign.
"""

from __future__ import annotations

import numpy as np

from .wavelets import Array


def orbits(level: int) -> Array:
    """Cells of a level as (stencils, 8): all those that share one.

    Copy a + 4 b is the first one turned over if b = 1, then turned eastward by a times 90°.
    """
    rings = np.arange(12 * 4**level).reshape(3, 4, -1)
    over = rings[::-1, :, ::-1].copy()
    over[0] = over[0, [3, 0, 1, 2]]
    both = np.concatenate([rings, over], 1).swapaxes(1, 2)
    return np.concatenate([both[0], both[1, : both.shape[1] // 2]])


def composed(outer: Array, inner: Array) -> Array:
    """Copy to which the *outer* copy of the whole sphere takes the *inner* one of a cell."""
    quarters = outer + np.where(outer < 4, inner, -inner)
    return quarters % 4 + 4 * ((outer // 4 + inner // 4) % 2)
