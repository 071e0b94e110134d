"""Neighborhoods of HEALPix cells, and the wavelets and averages sampled on them.

Nested cell numbers only. `healpix_geo` gives the neighbors and the centers.
"""

from __future__ import annotations

from math import pi

import numpy as np

from .wavelets import Array, Wavelet, orientations, turn

# Standard deviation, in cells, of the Gaussian that smooths a map before four cells become one,
# and half-width of the neighborhood on which it is sampled.
SMOOTHING = 1.0
SMOOTHING_RADIUS = 3


def cell_vectors(cells: Array, level: int) -> Array:
    """Unit vectors (n, 3) of the centers of cells."""
    from healpix_geo import nested

    lon, lat = nested.healpix_to_lonlat(
        cells.astype(np.uint64), level, ellipsoid="sphere", num_threads=1
    )
    lon, lat = np.deg2rad(lon), np.deg2rad(lat)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], -1)


def neighborhood(cells: Array, level: int, radius: int) -> tuple[Array, Array, Array]:
    """Cells around each cell, and where they lie in its tangent plane.

    Parameters
    ----------
    cells : (n,) int
        Nested numbers of the central cells.
    level : int
        Level of the cells.
    radius : int
        Half-width of the neighborhood.

    Returns
    -------
    neighbors : (n, K) int
        Nested numbers, -1 where there is none; K = (2 radius + 1)².
    east, north : (n, K) float
        Azimuthal-equidistant positions seen from the central cell, in units of the side of a cell.
    """
    from healpix_geo import nested

    neighbors = nested.kth_neighbourhood(cells.astype(np.uint64), level, radius, num_threads=1)
    neighbors = neighbors.astype(np.int64)
    center = cell_vectors(cells, level)
    vectors = cell_vectors(np.where(neighbors < 0, cells[:, None], neighbors).ravel(), level)
    vectors = vectors.reshape(*neighbors.shape, 3)
    x, y, _ = center.T
    planar = np.hypot(x, y)
    to_east = np.stack([-y / planar, x / planar, np.zeros_like(x)], -1)
    to_north = np.cross(center, to_east)
    east = np.einsum("nkc,nc->nk", vectors, to_east)
    north = np.einsum("nkc,nc->nk", vectors, to_north)
    sine = np.hypot(east, north)
    angle = np.arctan2(sine, np.einsum("nkc,nc->nk", vectors, center))
    side = np.sqrt(pi / 3) / 2**level
    scale = angle / np.where(sine > 0, sine, 1) / side
    return neighbors, east * scale, north * scale


def wavelet_stencils(
    neighbors: Array, east: Array, north: Array, frame: Array | float, wavelet: Wavelet, L: int
) -> Array:
    """Complex weights (L, n, K) of the wavelets of all orientations on the neighbors of n cells.

    *frame* is the angle in radians, counter-clockwise from east, from which orientations count.
    The envelope has unit sum and the wavelet zero sum on each neighborhood. A convolution weights
    a neighbor by the wavelet at the position of the central cell as the neighbor sees it.
    """
    missing = neighbors < 0
    stencils = np.empty((L, *neighbors.shape), dtype=complex)
    for l, angle in enumerate(orientations(L)):
        along, across = turn(-east, -north, np.asarray(angle + frame)[..., None])
        wave, envelope = wavelet.values(along, across, L)
        wave[missing], envelope[missing] = 0, 0
        norm = envelope.sum(-1, keepdims=True)
        beta = wave.sum(-1, keepdims=True) / norm
        stencils[l] = (wave - beta * envelope) / norm
    return stencils


def smoothing_stencils(neighbors: Array, east: Array, north: Array) -> Array:
    """Weights (n, K), of unit sum, of a Gaussian on the neighbors of n cells."""
    weights = np.exp(-(east**2 + north**2) / (2 * SMOOTHING**2)) * (neighbors >= 0)
    return weights / weights.sum(-1, keepdims=True)


def smoothing_response(k: Array, j: int) -> Array:
    """Attenuation by the smoothings and means on the way to scale j; k in radians per cell."""
    response = np.ones_like(k)
    for i in range(1, j + 1):
        response *= np.exp(-((SMOOTHING * k / 2**i) ** 2) / 2) * np.cos(k / 2**i / 2)
    return response


def band_center(wavelet: Wavelet, L: int, j: int) -> float:
    """Wave number, radians per cell of scale j, to which scale j responds most."""
    k = np.linspace(0, 2 * pi, 6284)
    response = np.abs(wavelet.fourier(k, np.zeros_like(k), L)[0]) * smoothing_response(k, j)
    return float(k[np.argmax(response)])
