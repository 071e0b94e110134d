"""Pictures of statistics (matplotlib, the extra ``plot``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from ._layout import (
    RATIOS,
    SCALES,
    abs2,
    base_name,
    is_std,
    kind_of,
    paired_dim,
    rebuild,
    statistic_dims,
)
from ._operation import operation
from ._panels import TITLES, Picture, prettify
from ._states import check_alike, matched, refuse
from .errors import check_choice

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@operation
def plot(
    ds: xr.Dataset,
    other: xr.Dataset | Sequence[xr.Dataset] | None = None,
    *,
    hue: str | None = None,
    col: str | None = None,
    labels: Sequence[str] | None = None,
    imaginary: bool | None = None,
) -> Figure:
    r"""Draw the statistics of one field or of several.

    S1 and S2 are drawn against the wavelength, S3 against j2 for each j1, and S4 against j2 for
    each j1 and j3. S3 and S4 that are not normalized yet are divided by the power of the field
    (`normalize`) if S2 is there. There is one line for each orientation: the direction of the
    wave vector for S1 and S2, the relative orientation l2 - l1 for S3 and, in one panel for each
    l2 - l1, the relative orientation l3 - l1 for S4. Before `iso_mean` there are L lines of each,
    one for each l1, conjugated where the outer orientation wraps. Bands are plus and minus
    one standard deviation ``*_std`` (for a complex value z that of :math:`|z|`), where
    there is one: what is divided by its own power has none, see `normalize`.

    Parameters
    ----------
    ds : Dataset
        Statistics, all or some of them, reduced or not.
    other : Dataset or sequence of Datasets, optional
        Statistics on the same grid to lay over those of `ds`. The numbers of scales may differ.
    hue, col : str, optional
        Dimension (time, region, ...) along which lines get colors or there is one column of
        panels each. All dimensions that do not number statistics must be named or selected away.
    labels : sequence of str, optional
        Names of the Datasets in the legend. Default: their attribute ``source``, numbered if equal.
    imaginary : bool, optional
        Draw the imaginary parts of complex statistics. Default: of those where they matter, with
        more than a quarter of the root mean square of the real parts.

    Returns
    -------
    Figure
        The labels of its axes (``ax.get_label()``) say what they show, as in "S1", "S3 imag" or
        "S4 real 45°"; with `col` the value stands behind, as in "S1 | time = 2".

    Raises
    ------
    ValueError
        If there is nothing to draw, for dimensions that are not there or left over, and for
        Datasets on different grids.

    Examples
    --------
    >>> import numpy as np, xarray as xr, xscat
    >>> field = xr.DataArray(np.random.default_rng(0).normal(size=(64, 64)), dims=("y", "x"))
    >>> stats = field.scat.covariance(J=3, boundary="periodic")
    >>> fig = stats.scat.plot(imaginary=False)
    >>> [ax.get_label() for ax in fig.axes]
    ['S1', 'S2', 'S3 real', 'S4 real 0°', 'S4 real 45°', 'S4 real 90°', 'S4 real 135°']
    """
    others = [] if other is None else [other] if isinstance(other, xr.Dataset) else list(other)
    datasets = [_display(_drawable(each)) for each in (ds, *others)]
    for each in datasets[1:]:
        check_alike(datasets[0], each)
    columns = _columns(datasets, _names(datasets, labels), hue, col)
    title = _title(datasets[0], hue) if hue else ""
    return Picture(columns, imaginary, title, residual=False).draw()


@operation
def plot_residuals(
    a: xr.Dataset,
    b: xr.Dataset,
    sigma: xr.Dataset | float | None = None,
    *,
    hue: str | None = None,
    col: str | None = None,
    imaginary: bool | None = None,
) -> Figure:
    r"""Draw the differences of two sets of statistics in standard deviations, (a - b) / σ.

    Panels and lines are those of `plot`. The gray band is ±1; titles give the root mean square
    of :math:`|a - b| / σ`, real and imaginary part together, which is 1 for differences as large
    as their errors.

    Parameters
    ----------
    a, b : Dataset
        Statistics on the same grid, normalized or reduced alike. Compared on the scales
        that both have. Dimensions of only one of them (time, realization, ...) broadcast.
    sigma : Dataset or float, optional
        Standard deviations of the difference, under the names of the statistics or with ``_std``
        behind. Default: the ``*_std`` of `a` and `b`, in quadrature where both have them.
    hue, col, imaginary
        As in `plot`.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If there are no standard deviations, and as `plot`.

    Examples
    --------
    >>> import xarray as xr
    >>> a = xr.Dataset({"S1": ("j1", [1.0, 2.0]), "S1_std": ("j1", [0.1, 0.1])})
    >>> plot_residuals(a, a * 1.1).axes[0].get_title(loc="left")
    'S1 (rms 1.1), mean modulus'
    """
    from .comparison import _sigmas, no_error

    a, b = matched(_drawable(a), _drawable(b))
    if isinstance(sigma, xr.Dataset):
        a, sigma = matched(a, sigma.compute(), sigma=True)
        a, b = matched(a, b)
        errors = _sigmas(sigma)
    elif sigma is not None:
        errors = dict.fromkeys(TITLES, xr.DataArray(sigma))
    else:
        errors = _errors_of_difference(a, b)
    names = [n for n in TITLES if n in a and n in b and n in errors]
    if not names:
        raise ValueError(no_error(a))
    with xr.set_options(arithmetic_join="exact"):
        residuals = {n: (a[n] - b[n].reset_coords(drop=True)) / errors[n] for n in names}
    ds = rebuild(a, {n: r.where(np.isfinite(abs2(r))) for n, r in residuals.items()})
    columns = _columns([ds], [""], hue, col)
    title = _title(ds, hue) if hue else ""
    return Picture(columns, imaginary, title, residual=True).draw()


# --------------------------------------------------------------------------- what is drawn


def _drawable(ds: xr.Dataset) -> xr.Dataset:
    """The statistics with scales that a plot shows, and their standard deviations, computed."""
    refuse(ds, "plot", "as_real")
    names = [n for n in TITLES if n in ds and set(ds[n].dims) & {*SCALES, *RATIOS}]
    if not names:
        have = ", ".join(map(str, ds.data_vars)) or "no variables"
        raise ValueError(
            f"nothing to draw: the Dataset has {have}, plots are of S1, S2, S3, S4 along their "
            "scales j1, j2, j3. Compute them with field.scat.covariance(...)"
        )
    wanted = [*names, *(f"{n}_std" for n in names), "S2_auto"]
    return ds[[n for n in wanted if n in ds]].compute()


def _display(ds: xr.Dataset) -> xr.Dataset:
    """S3 and S4 (of two fields S2 too) divided by the power, if they are not and it is there."""
    from .normalization import normalize

    power = ds.get("S2_auto", ds.get("S2"))
    if power is None or {"normalized", "logarithm"} & set(ds.attrs):
        return ds
    pairs = kind_of(ds) == "pairs"
    selected = {"j1", "l1"} & (set(power.coords) - set(power.dims)) or "j1" not in power.dims
    if selected or (np.iscomplexobj(power) and not pairs):
        return ds
    means = {
        d: "mean"
        for d in power.dims
        if str(d).startswith("harmonic") and "mean" in power[d].values.tolist()
    }
    plain = ds.assign({str(power.name): power.sel(means, drop=True)})
    plain.attrs.pop("reduction", None)
    done = normalize(plain)
    kept = [str(n) for n in done.data_vars if not means or not str(n).startswith(("S1", "S2"))]
    kept = [n for n in kept if n in ds]
    dropped = [n for n in ds.data_vars if is_std(str(n)) and n not in done]
    out = ds.drop_vars(dropped).assign(done[kept].data_vars)
    return out.assign_attrs(normalized="S2", normalized_with="itself")


def _errors_of_difference(a: xr.Dataset, b: xr.Dataset) -> dict[str, xr.DataArray]:
    errors: dict[str, xr.DataArray] = {}
    for each in (a, b):
        for name in map(str, each.data_vars):
            if is_std(name):
                square = each[name].reset_coords(drop=True) ** 2
                name = base_name(name)
                errors[name] = errors[name] + square if name in errors else square
    return {name: xr.ufuncs.sqrt(square) for name, square in errors.items()}


def _columns(
    datasets: Sequence[xr.Dataset], names: Sequence[str], hue: str | None, col: str | None
) -> dict[str, dict[str, xr.Dataset]]:
    """Datasets without leading dimensions by text of the column and text of the series."""
    leading = {
        str(d): None
        for ds in datasets
        for v in ds.data_vars.values()
        for d in v.dims
        if d not in _drawn_dims(ds)
    }
    for argument, dim in (("hue", hue), ("col", col)):
        if dim is not None and not leading:
            raise ValueError(
                f"{argument}={dim!r}: the statistics have no dimension besides those that "
                f"number them; leave out {argument}"
            )
        if dim is not None:
            check_choice(argument, dim, leading)
    if hue is not None and hue == col:
        raise ValueError(f"hue and col are both {hue!r}: name one of them")
    rest = [d for d in leading if d not in (hue, col)]
    for dim in rest:
        if any(ds.sizes.get(dim, 1) > 1 for ds in datasets):
            raise ValueError(
                f"the statistics have the dimension {dim!r}: pass hue={dim!r} or col={dim!r}, "
                f"or reduce it before, e.g. .isel({dim}=0) or .mean({dim!r})"
            )
    flat = [ds.squeeze([d for d in rest if d in ds.dims], drop=True) for ds in datasets]
    cut = [_slices(ds, col) for ds in flat]
    columns: dict[str, dict[str, xr.Dataset]] = {}
    for head in dict.fromkeys(h for parts in cut for h in parts if h or col is None):
        series = columns.setdefault(head and f"{col} = {head}", {})
        for name, parts in zip(names, cut, strict=True):
            for text, one in _slices(parts.get(head, parts.get("")), hue).items():
                series[", ".join(t for t in (name, text) if t)] = one
    return columns


def _drawn_dims(ds: xr.Dataset) -> set[str]:
    """The dimensions along which there are curves; pairs and modes are shown one by one."""
    paired = paired_dim(ds)
    return statistic_dims(ds) - {paired, f"{paired}_a", f"{paired}_b"}


def _slices(ds: xr.Dataset | None, dim: str | None) -> dict[str, xr.Dataset]:
    """The elements along a dimension by their label; the Dataset itself if it has none."""
    if ds is None:
        return {}
    if dim is None or dim not in ds.dims:
        return {"": ds}
    texts = [_text(value) for value in ds[dim].values]
    if len(set(texts)) < len(texts):
        texts = [str(value) for value in ds[dim].values]
    return {text: ds.isel({dim: i}, drop=True) for i, text in enumerate(texts)}


def _text(value: Any) -> str:
    if isinstance(value, np.datetime64):
        return str(value.astype("datetime64[m]")).removesuffix("T00:00")
    return f"{value:.4g}" if isinstance(value, float | np.floating) else str(value)


def _names(datasets: Sequence[xr.Dataset], labels: Sequence[str] | None) -> list[str]:
    """Names of the Datasets for the legend, all different."""
    if labels is not None and len(labels) != len(datasets):
        raise ValueError(f"{len(labels)} labels for {len(datasets)} Datasets: give one for each")
    if len(datasets) == 1 and labels is None:
        return [""]
    names = [str(ds.attrs.get("source", "")) for ds in datasets] if labels is None else [*labels]
    if len(set(names)) < len(names) or not all(names):
        names = [f"{name} {i}".strip() for i, name in enumerate(names, 1)]
    return names


def _title(ds: xr.Dataset, dim: str) -> str:
    attrs = ds[dim].attrs if dim in ds.coords else {}
    units = f" [{prettify(attrs['units'])}]" if "units" in attrs else ""
    return f"{attrs.get('long_name', dim)}{units}"
