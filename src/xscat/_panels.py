"""The figure of `plot`: what goes into which panel, and how it looks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr

from ._curves import Curves, Scales, curves

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: The statistics that are drawn.
TITLES = {
    "S1": "mean modulus",
    "S2": "mean power",
    "S3": "field with envelope",
    "S3P": "field with envelope, fields exchanged",
    "S4": "envelope with envelope",
}
# Okabe & Ito's colors for all kinds of color vision, without the yellow.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = "os^Dv<>pPX*h"
_STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}
_WIDTH = 11.0  # of a figure, in inches
_ROW = 11.0  # height of a row of labels below an axis, in points
_WIDE = 50  # combinations of scales from which a panel takes the whole width


class Panel(NamedTuple):
    """What one panel shows."""

    name: str
    part: str  # "real", "imag", or "" for real statistics
    angle: str  # the relative orientation that has a panel of its own

    def label(self, head: str) -> str:
        """Label of its axes in the column with this head."""
        text = " ".join(word for word in self if word)
        return f"{text} | {head}" if head else text


def prettify(units: str) -> str:
    """Units for a label: powers as exponents.

    Examples
    --------
    >>> prettify("degC^2")
    '°C$^{2}$'
    """
    return re.sub(r"\^(-?\d+)", r"$^{\1}$", units.replace("degC", "°C"))


def short(value: float) -> str:
    """A number with three digits.

    Examples
    --------
    >>> short(0.0022222), short(40960.0)
    ('0.00222', '41000')
    """
    if not 1e-4 <= abs(value) < 1e6:
        return f"{value:.3g}"
    return np.format_float_positional(value, 3, unique=False, fractional=False, trim="-")


class Picture:
    """Panels of the statistics of several fields.

    Parameters
    ----------
    columns : mapping of mapping of Dataset
        statistics without leading dimensions, by head of the column and name of the series.
    imaginary : bool or None
        whether to draw imaginary parts; None decides by their size.
    title : str
        of the legend of the series.
    residual : bool
        whether the statistics are differences in standard deviations.
    """

    def __init__(
        self,
        columns: Mapping[str, Mapping[str, xr.Dataset]],
        imaginary: bool | None,
        title: str,
        residual: bool,
    ):
        self.heads, self.title, self.residual = list(columns), title, residual
        self.series = list(dict.fromkeys(key for some in columns.values() for key in some))
        every = [ds for some in columns.values() for ds in some.values()]
        self.attrs = {n: ds[n].attrs for ds in every for n in TITLES if n in ds}
        self.logarithm = any("logarithm" in ds.attrs for ds in every)
        self.curves = {
            (head, name): {key: curves(ds, name) for key, ds in some.items() if name in ds}
            for head, some in columns.items()
            for name in TITLES
        }
        found = {n: [c for h in self.heads for c in self.curves[h, n].values()] for n in TITLES}
        self.found = {name: some for name, some in found.items() if some}
        self.scales = {name: Scales(some) for name, some in self.found.items()}
        self.keys = {n: _sorted(k for c in some for k in c.keys) for n, some in self.found.items()}
        self.rows = self._rows(imaginary)

    def _rows(self, imaginary: bool | None) -> list[list[Panel]]:
        """Panels row by row: S1 beside S2, others in pairs if there is room."""
        groups: dict[str, list[Panel]] = {}
        for name, some in self.found.items():
            real = not any(np.iscomplexobj(c.values) for c in some)
            both = not real and (_imaginary_matters(some) if imaginary is None else imaginary)
            angles = _sorted(panel for c in some for panel in c.panels)
            for part in ("",) if real else ("real", "imag") if both else ("real",):
                group = (
                    "S12"
                    if real and name in ("S1", "S2")
                    else name + (part if angles != [""] else "")
                )
                groups.setdefault(group, []).extend(Panel(name, part, angle) for angle in angles)
        rows = []
        for panels in groups.values():
            wide = len(self.heads) > 1 or len(self.scales[panels[0].name].places) > _WIDE
            step = 1 if wide else 2
            rows += [panels[i : i + step] for i in range(0, len(panels), step)]
        return rows

    def draw(self) -> Figure:
        """Draw all panels."""
        plt = _pyplot()
        wide = int(np.lcm.reduce([len(row) for row in self.rows]))
        mosaic: list[Any] = [
            [p.label(h) for h in self.heads for p in row for _ in range(wide // len(row))]
            for row in self.rows
        ]
        width = _WIDTH * max(1.0, 0.45 * len(self.heads))
        levels = [len(self.scales[row[0].name].labels()) for row in self.rows]
        height = sum(2.4 + n * _ROW / 72 for n in levels) + 0.5 * (len(self.series) > 1)
        with plt.rc_context(_STYLE):
            fig, axes = plt.subplot_mosaic(mosaic, figsize=(width, height), layout="constrained")
            alike: dict[tuple[str, str], Axes] = {}
            for row in self.rows:
                for head in self.heads:
                    for panel in row:
                        ax = axes[panel.label(head)]
                        if panel[:2] in alike:
                            ax.sharey(alike[panel[:2]])
                        alike.setdefault(panel[:2], ax)
                        self._fill(ax, panel, head)
                        self._label(ax, panel, head, width / len(self.heads) / len(row) - 1)
            for ax in axes.values():
                _log_ticks(ax)
            self._legends(fig, axes)
        return fig

    def _fill(self, ax: Axes, panel: Panel, head: str) -> None:
        """Lines and bands of one panel."""
        scales = self.scales[panel.name]
        dense = len(scales.places) > _WIDE
        power = panel.name in ("S1", "S2") and not panel.part and not self.residual
        values = [c.values[np.isfinite(c.values)] for c in self.found[panel.name]]
        if len(scales.names) == 1 and scales.wavelength:
            ax.set_xscale("log")
        if power and not self.logarithm and all((v > 0).all() for v in values):
            ax.set_yscale("log")
        elif not power or not self.logarithm:
            ax.axhline(0, color="0.6", linewidth=0.6, zorder=0.5)
        if self.residual:
            ax.axhspan(-1, 1, color="0.5", alpha=0.25, linewidth=0, zorder=0.4)
        groups = scales.groups()
        for first, last in groups[::2]:
            ax.axvspan(first - 0.8, last + 0.8, color="0.95", linewidth=0, zorder=0.1)
        if groups:
            ax.set_xlim(groups[0][0] - 1.2, groups[-1][1] + 1.2)
        for series, c in self.curves[head, panel.name].items():
            x, breaks = scales.points(c)
            own = np.flatnonzero(np.array(c.panels) == panel.angle)
            repeated = len(own) > len(set(c.keys))
            for i in own:
                color, marker = self._look(panel.name, series, c.keys[i])
                y = _part(c.values[:, i], panel.part)
                ax.plot(
                    *_broken(breaks, x, y),
                    color=color,
                    marker=marker,
                    markersize=(1.5 if dense else 3) + (not repeated),
                    linewidth=0.6 if repeated else 1.2,
                    label=", ".join(t for t in (series, c.keys[i]) if t) or panel.name,
                )
                if c.std is not None:
                    low, high = y - c.std[:, i], y + c.std[:, i]
                    if ax.get_yscale() == "log":
                        low = np.maximum(low, y / 10)
                    _band(ax, x, low, high, breaks, color)

    def _look(self, name: str, series: str, key: str) -> tuple[Any, str]:
        """Color and marker: the marker says which orientation, so does the color of one series."""
        index = self.keys[name].index(key)
        one = len(self.series) == 1
        number, of = (index, self.keys[name]) if one else (self.series.index(series), self.series)
        return _color(number, len(of)), _MARKERS[index % len(_MARKERS)]

    def _label(self, ax: Axes, panel: Panel, head: str, width: float) -> None:
        """Titles and axis labels of a panel that is so many inches wide."""
        c, scales = self.found[panel.name][0], self.scales[panel.name]
        rms = f" (rms {_rms(self.curves[head, panel.name].values()):.3g})" if self.residual else ""
        title = f"{panel.name}{rms}, {TITLES[panel.name]}"
        if panel.angle:
            title += f", {c.panel_title} = {panel.angle}"
        if head and panel in self.rows[0]:
            title = f"{head}\n{title}"
        ax.set_title(title)
        ax.set_ylabel(self._quantity(panel))
        rows, text = scales.labels(), scales.wavelength_text()
        if len(scales.names) == 1 and scales.wavelength:
            values = [scales.wavelength[place[0]] for place in scales.places]
            room = _room(ax, values, [f"{v:.3g}" for v in values], width, 0.1)
            texts = [short(v) if fits else "" for v, fits in zip(values, room, strict=True)]
            ax.set_xticks(values, texts)
            ax.set_xticks([], minor=True)
            rows, text = rows[:1], f"wavelength [{scales.units or '1'}]"
            level = ticks = 1.6
        else:
            ax.set_xticks([])
            text = f"lines along {rows[0][0]}; {text}".removesuffix("; ")
            level, ticks = 0.6, 0.0
        for name, xs, texts in rows:
            room = _room(ax, xs, texts, width, 0.075)
            if np.mean(room) > 0.75:
                _label_row(
                    ax, name, [(x, t) for x, t, r in zip(xs, texts, room, strict=True) if r], level
                )
                level += 1
        ax.set_xlabel(text, labelpad=2 + _ROW * (level - ticks))

    def _quantity(self, panel: Panel) -> str:
        """Label of the vertical axis."""
        part = {"real": "Re ", "imag": "Im ", "": ""}[panel.part]
        if self.residual:
            return f"{part}Δ{panel.name} / σ"
        attrs = self.attrs[panel.name]
        norm = re.search(r"normalized by \w+", attrs.get("long_name", ""))
        units = attrs.get("units", "1")
        return (
            f"{part}{panel.name}"
            + (f", {norm[0]}" if norm else "")
            + (f" [{prettify(units)}]" if units != "1" else "")
        )

    def _legends(self, fig: Figure, axes: Mapping[str, Axes]) -> None:
        """One legend of the series on top, and those of the orientations beside the panels."""
        from matplotlib.lines import Line2D

        one = len(self.series) == 1
        shown = set()
        for row in self.rows:
            for panel in reversed(row):
                c, keys = self.found[panel.name][0], self.keys[panel.name]
                if len(keys) == 1 or (c.key_title, *keys) in shown:
                    continue
                shown.add((c.key_title, *keys))
                looks = [self._look(panel.name, self.series[0], key) for key in keys]
                handles = [
                    Line2D([], [], color=color if one else "0.3", marker=marker, label=key)
                    for key, (color, marker) in zip(keys, looks, strict=True)
                ]
                axes[panel.label(self.heads[-1])].legend(
                    handles=handles,
                    title=c.key_title,
                    loc="upper left",
                    bbox_to_anchor=(1.0, 1.0),
                    fontsize="small",
                    alignment="left",
                    ncols=-(-len(keys) // 12),
                )
        if not one:
            step = -(-len(self.series) // 12)
            some = [(i, key) for i, key in enumerate(self.series) if i % step == 0]
            handles = [
                Line2D([], [], color=_color(i, len(self.series)), linewidth=2, label=key)
                for i, key in some
            ]
            fig.legend(
                handles=handles,
                title=self.title,
                loc="outside upper left",
                alignment="left",
                ncols=min(len(some), 6),
            )


def _room(
    ax: Axes, xs: Sequence[float], texts: Sequence[str], width: float, letter: float
) -> list[bool]:
    """Whether there is room for each text after those before, letters being so many inches wide."""
    to_axes = (ax.transData - ax.transAxes).transform
    room, end = [], -np.inf
    for x, text in zip(xs, texts, strict=True):
        at, half = to_axes((x, 1))[0] * width, letter * len(text) / 2
        room.append(bool(at - half >= end))
        end = at + half if room[-1] else end
    return room


def _label_row(ax: Axes, name: str, labels: Sequence[tuple[float, str]], level: float) -> None:
    """Write a row of labels below an axis, and its name on the left."""
    look: dict[str, Any] = {"textcoords": "offset points", "va": "top", "fontsize": 7.5}
    down, below = -_ROW * level, ("data", "axes fraction")
    ax.annotate(name, (0, 0), (-4, down), xycoords="axes fraction", ha="right", **look)
    for x, text in labels:
        ax.annotate(text, (x, 0), (0, down), xycoords=below, ha="center", color="0.3", **look)


def _log_ticks(ax: Axes) -> None:
    """Plain numbers at 1, 2, 5 along a logarithmic axis over less than three decades."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    decades = np.ptp(np.log10(ax.get_ylim())) if ax.get_yscale() == "log" else np.inf
    if decades < 3:
        narrow = decades < 0.8
        ax.yaxis.set_major_locator(
            MaxNLocator(5, steps=(1, 2, 5, 10)) if narrow else LogLocator(subs=(1, 2, 5))
        )
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
        ax.yaxis.set_minor_formatter(NullFormatter())


def _band(
    ax: Axes, x: np.ndarray, low: np.ndarray, high: np.ndarray, breaks: np.ndarray, color: Any
) -> None:
    """Band between two lines with gaps; a bar where there is a single point between gaps."""
    across, down, up = _broken(breaks, x, low, high)
    ax.fill_between(across, down, up, color=color, alpha=0.2, linewidth=0)
    bounds = np.array([0, *breaks, len(x)])
    alone = bounds[:-1][np.diff(bounds) == 1]
    ax.vlines(x[alone], low[alone], high[alone], color=color, alpha=0.3, linewidth=3)


def _broken(breaks: np.ndarray, *columns: np.ndarray) -> list[np.ndarray]:
    """Columns with a gap before these rows."""
    return [np.insert(column, breaks, np.nan) for column in columns]


def _part(values: np.ndarray, part: str) -> np.ndarray:
    return getattr(values, part or "real")


def _rms(some: Iterable[Curves]) -> float:
    """Root mean square of |z|."""
    values = np.concatenate([c.values.ravel() for c in some])
    values = values[np.isfinite(values)]
    return float(np.sqrt(np.mean(np.abs(values) ** 2))) if values.size else np.nan


def _pyplot() -> Any:
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError("plots need matplotlib: pip install 'xscat[plot]'") from error
    return plt


def _imaginary_matters(some: Iterable[Curves]) -> bool:
    """Whether the imaginary parts are more than a quarter of the real ones."""
    values = np.concatenate([c.values.ravel() for c in some])
    return bool(np.nansum(values.imag**2) > np.nansum(values.real**2) / 16)


def _color(index: int, count: int) -> Any:
    import matplotlib

    few = count <= len(_COLORS)
    return _COLORS[index] if few else matplotlib.colormaps["viridis"](0.92 * index / (count - 1))


def _sorted(texts: Iterable[str]) -> list[str]:
    """Different texts in the order of the numbers at their beginning, else as they come."""

    def number(text: str) -> float:
        match = re.match(r"[\d.]+", text)
        return float(match[0]) if match else 0.0

    return sorted(dict.fromkeys(texts), key=number)
