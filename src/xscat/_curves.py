"""A statistic as curves over combinations of scales, one for each orientation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from ._layout import RATIOS, SCALES, in_triangle, is_cross

Array = np.ndarray[Any, np.dtype[Any]]
Place = tuple[int, ...]


class Curves(NamedTuple):
    """One statistic of one field: curves are columns, combinations of scales are rows."""

    scales: tuple[str, ...]
    places: list[Place]  # the scales of a row
    wavelength: dict[int, float]  # by scale
    wavelength_units: str
    values: Array
    std: Array | None
    panels: list[str]  # of a curve: the relative orientation that has a panel of its own
    keys: list[str]  # of a curve: its entry in the legend
    panel_title: str
    key_title: str


def curves(ds: xr.Dataset, name: str) -> Curves:
    """Take a statistic without leading dimensions apart."""
    var = ds[name]
    scales = tuple(d for d in (*SCALES, *RATIOS) if d in var.dims)
    others = tuple(str(d) for d in var.dims if d not in scales)
    there = {d: var[d] for d in (*SCALES, *RATIOS) if d in var.dims or d in var.coords}
    whole = xr.DataArray(np.ones([var.sizes[d] for d in scales], bool), dims=scales)
    inside = (in_triangle(there, is_cross(ds)) & whole).transpose(*scales)
    rows = np.nonzero(inside.values)
    numbers = [var[d].values[row] for d, row in zip(scales, rows, strict=True)]
    places = [tuple(map(int, place)) for place in zip(*numbers, strict=True)]
    order = sorted(range(len(places)), key=lambda i: _group(places[i]) + places[i])
    n = int(np.prod([var.sizes[d] for d in others]))

    def columns(of: xr.DataArray) -> Array:
        return of.transpose(*scales, *others).values[rows].reshape(len(places), n)[order]

    along = dict(
        zip(others, np.indices([var.sizes[d] for d in others]).reshape(-1, n), strict=True)
    )
    angles, turned = _orientations(var, along, n)
    titles = list(angles)
    entries = [angles[title] for title in titles[-1:]]
    entries += [list(map(str, var[d].values[along[d]])) for d in others if d[0] not in "ld"]
    values = columns(var)
    wave = var.coords.get(f"wavelength_{scales[0]}")
    std = f"{name}_std"
    return Curves(
        scales,
        [places[i] for i in order],
        {}
        if wave is None
        else dict(zip(var[scales[0]].values.tolist(), wave.values.tolist(), strict=True)),
        "" if wave is None else str(wave.attrs.get("units", "")),
        np.where(turned, values.conj(), values),
        columns(ds[std]) if std in ds else None,
        angles[titles[0]] if len(titles) > 1 else [""] * n,
        [", ".join(parts) for parts in zip(*entries, strict=True)] or [""] * n,
        titles[0] if len(titles) > 1 else "",
        titles[-1] if titles else "",
    )


def _orientations(
    var: xr.DataArray, along: dict[str, Array], n: int
) -> tuple[dict[str, list[str]], Array]:
    """Text of the orientations in which n curves differ, by name, and where to conjugate.

    Of absolute orientations l1, l2, l3 these are the relative ones, or l1 alone. The outer one
    wraps where it is smaller than the first; the conjugate is taken there, as in `iso_mean`.
    """

    def degrees(dim: str) -> Array | None:
        angle = var.coords.get(f"angle_{dim}")
        if dim in along:
            values = var[dim] * 180 / var.sizes[dim] if angle is None else angle
            return values.values[along[dim]]
        return None if angle is None else np.full(n, angle.item())

    first, turned = degrees("l1"), np.zeros(n, bool)
    found: dict[str, Array] = {}
    for k in "23":
        angle, relative = degrees(f"l{k}"), degrees(f"dl1{k}")
        if angle is not None and first is not None:
            relative, turned = angle - first, angle < first
        if relative is not None:
            found[f"l{k} − l1"] = relative
        elif angle is not None:
            found[f"l{k}"] = angle
    if not found and first is not None:
        found["direction"] = first
    texts = {t: [f"{a:.4g}°" for a in angle.round(6) % 180] for t, angle in found.items()}
    return {title: text for title, text in texts.items() if len(set(text)) > 1}, turned


# ---------------------------------------------------------------------------------------------


def _group(place: Place) -> Place:
    """The scales by which curves are grouped: j1 of (j1, j2), (j3, j1) of (j1, j2, j3)."""
    return (place[-1], place[0]) if len(place) == 3 else place[: len(place) - 1]


class Scales:
    """The horizontal axis of a statistic: wavelength, or combinations of scales in groups.

    Parameters
    ----------
    every : sequence of Curves
        all curves that are drawn on it.
    """

    def __init__(self, every: Sequence[Curves]):
        self.names = every[0].scales
        for each in every:
            if each.scales != self.names:
                raise ValueError(
                    f"the Datasets have different scale dimensions, {', '.join(self.names)} and "
                    f"{', '.join(each.scales)}: select the same in all of them"
                )
        largest = max(every, key=lambda c: len(c.wavelength))
        self.wavelength, self.units = largest.wavelength, largest.wavelength_units
        self.places = sorted({p for c in every for p in c.places}, key=lambda p: _group(p) + p)
        if len(self.names) == 1:
            self._x = {p: self.wavelength.get(p[0], float(p[0])) for p in self.places}
        else:
            steps = [0.0, *(self._step(*pair) for pair in pairwise(self.places))]
            self._x = dict(zip(self.places, np.cumsum(steps).tolist(), strict=True))

    @staticmethod
    def _step(before: Place, after: Place) -> float:
        """Room between neighbors: within a curve, between curves, between groups of curves."""
        if _group(before) == _group(after):
            return 1.0
        return 1.6 if _group(before)[0] == _group(after)[0] else 2.5

    def points(self, curve: Curves) -> tuple[Array, Array]:
        """Abscissae of the rows of curves, and the rows before which a new curve begins."""
        x = np.array([self._x[place] for place in curve.places])
        new = [_group(a) != _group(b) for a, b in pairwise(curve.places)]
        return x, 1 + np.flatnonzero(new)

    def labels(self) -> list[tuple[str, list[float], list[str]]]:
        """Rows of labels, from the innermost: name, abscissae and texts."""
        first, middle, last = 0, len(self.names) // 2, len(self.names) - 1
        levels: list[tuple[int, Callable[[Place], Place]]] = [(middle, lambda p: p)]
        if middle != first:
            levels.append((first, _group))
        if middle != last:
            levels.append((last, lambda p: _group(p)[:1]))
        rows: list[tuple[str, list[float], list[str]]] = []
        for number, member in levels:
            found: dict[tuple[Place, int], list[float]] = {}
            for place in self.places:
                found.setdefault((member(place), place[number]), []).append(self._x[place])
            texts = [str(scale) for _, scale in found]
            rows.append((self.names[number], [float(np.mean(x)) for x in found.values()], texts))
        return rows

    def groups(self) -> list[tuple[float, float]]:
        """First and last abscissa of every group."""
        if len(self.names) == 1:
            return []
        found: dict[int, list[float]] = {}
        for place in self.places:
            found.setdefault(_group(place)[0], []).append(self._x[place])
        return [(x[0], x[-1]) for x in found.values()]

    def wavelength_text(self) -> str:
        """Say what wavelengths scales have: ``2.67·2^j cells``."""
        if not self.wavelength:
            return ""
        j, values = np.array([*self.wavelength]), np.array([*self.wavelength.values()])
        first = values[0] / 2.0 ** j[0]
        if np.allclose(values, first * 2.0**j, rtol=1e-3):
            return f"wavelength of scale j: {first:.3g}·2$^j$ {self.units}"
        return f"wavelengths {', '.join(f'{value:.3g}' for value in values)} {self.units}"
