"""Statistics of two fields, or of all pairs of fields along a dimension."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import xarray as xr

from .engine.wavelets import Morlet, Wavelet
from .errors import GridError, check_choice
from .grids import align_to, find_grid
from .inputs import check_field
from .keywords import checked_keywords
from .parameters import STATISTICS
from .statistics import (
    Scales,
    compute,
    frame_name,
    framed,
    prepare,
)


@checked_keywords
def cross(
    a: xr.DataArray,
    b: xr.DataArray | None = None,
    J: int | None = None,
    L: int = 4,
    *,
    over: Hashable | None = None,
    dim: Hashable | Sequence[Hashable] | None = None,
    statistics: Sequence[str] = STATISTICS,
    mask: xr.DataArray | None = None,
    region: xr.DataArray | None = None,
    min_coverage: float = 1.0,
    boundary: str = "valid",
    frame: str | xr.DataArray = "meridian",
    wavelet: Wavelet | None = None,
    exponent: float = 1.0,
    average: str = "mean",
    scales: Scales | None = None,
    max_delta_j: int | None = None,
    variance: bool = False,
    dtype: str | None = None,
    device: str | None = None,
) -> xr.Dataset:
    r"""Cross statistics of two fields, or of all pairs of fields along a dimension.

    .. math::

        S_2 = \langle W^a_{j_1 l_1} \overline{W^b_{j_1 l_1}} \rangle, \quad
        S_3 = \langle W^a_{j_2 l_2} \overline{U^b_{j_1 l_1} \star \psi_{j_2 l_2}} \rangle, \quad
        S_{3P} = \langle W^b_{j_2 l_2} \overline{U^a_{j_1 l_1} \star \psi_{j_2 l_2}} \rangle, \quad
        S_4 = \langle (U^a_{j_1 l_1} \star \psi_{j_3 l_3})
                       \overline{(U^b_{j_2 l_2} \star \psi_{j_3 l_3})} \rangle

    A cell that is missing in one field is missing in all.

    Parameters
    ----------
    a : DataArray
        First field, or all fields if *over* is given.
    b : DataArray, optional
        Second field: on the same cells in any order, with the coordinates of *a* along the
        dimensions that both have. Dimensions that only one has are broadcast.
    over : str, optional
        Dimension of *a* whose elements are paired, instead of *b*. It must be in one chunk.
    dim : str or (str, str), optional
        Dimension of a line, or dimensions (y, x) of a plane, if not found by themselves.
    J, L, statistics, mask, region, min_coverage, boundary, frame, wavelet
        As in `covariance`.
    exponent, average, scales, max_delta_j, variance, dtype, device
        As in `covariance`.

    Returns
    -------
    Dataset
        With *b*: ``S0`` and ``S1`` of both (dimension ``field``), complex ``S2``, ``S2_auto`` (the
        power of each field), ``S3``, ``S3P``, and ``S4`` for all j1, j2 <= j3; `normalize` makes
        them correlation coefficients. With *over* = "frequency", say: ``S0`` and ``S1``
        (frequency), ``S2``, ``S3`` and ``S4`` (frequency_a, frequency_b); S3P is S3 with a and b
        swapped.

    Raises
    ------
    GridError
        If the fields are not on the same cells, or *over* is chunked.
    TypeError, ValueError
        As `covariance`.

    References
    ----------
    Régaldo-Saint Blancard, Allys, Auclair et al. 2023, *Generative models of multichannel data
    from a single example*, ApJ 943, 9.

    Examples
    --------
    >>> import numpy as np, xarray as xr, xscat
    >>> rng = np.random.default_rng(0)
    >>> a = xr.DataArray(rng.normal(size=(32, 32)), dims=("y", "x"))
    >>> r = a.scat.cross(2 * a, J=2, boundary="periodic").scat.normalize()
    >>> round(float(r.S2[0, 0].real), 6)
    1.0
    """
    if (b is None) == (over is None):
        raise ValueError("cross needs either a second field b or over=, a dimension to pair along")
    covered = region if mask is None else mask
    a = check_field(a, "a", covered)
    one = a if over is None else _first_of(a, over)
    grid = framed(one, find_grid(one, dim), frame)
    fields = [a]
    if b is not None:
        fields.append(align_to(a, grid, check_field(b, "b", covered), "b"))
    plan, weights, regions = prepare(
        "cross" if over is None else "pairs",
        fields,
        grid,
        J,
        L,
        stacked=None if over is None else str(over),
        mask=mask,
        region=region,
        scales=scales,
        max_delta_j=max_delta_j,
        variance=variance,
        dtype=dtype,
        device=device,
        statistics=statistics,
        boundary=boundary,
        frame=frame_name(frame),
        wavelet=wavelet or Morlet(),
        min_coverage=min_coverage,
        exponent=exponent,
        average=average,
    )
    ds = compute(fields, weights, regions, plan)
    return ds if over is None else ds.assign_coords(_pair_coords(a, str(over), ds))


def _first_of(a: xr.DataArray, over: Hashable) -> xr.DataArray:
    """One of the fields along a dimension, which must be in one chunk."""
    check_choice("over", over, map(str, a.dims))
    n = len(a.chunksizes.get(over, (1,)))
    if n > 1:
        raise GridError(
            f"dimension {over!r} is split into {n} chunks, but all its elements are paired: "
            f"use .chunk({{{over!r}: -1}})"
        )
    return a.isel({over: 0}, drop=True)


def _pair_coords(a: xr.DataArray, dim: str, ds: xr.Dataset) -> dict[str, Any]:
    """The coordinate of a dimension, for its elements and for the two members of the pairs."""
    if dim not in a.coords:
        return {}
    names = [n for n in (dim, f"{dim}_a", f"{dim}_b") if n in ds.dims]
    return {n: (n, a[dim].values, a[dim].attrs) for n in names}
