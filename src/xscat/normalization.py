"""Normalization of S3 and S4 by the power that the field has at their scales, and logarithms."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ._layout import (
    ORIENTATIONS,
    SCALES,
    base_name,
    check_same_grid,
    describe,
    is_cross,
    rebuild,
    require,
    take,
)
from .errors import check_choice
from .keywords import checked_keywords


@checked_keywords
def normalize(ds: xr.Dataset, by: str = "S2", reference: xr.Dataset | None = None) -> xr.Dataset:
    """Divide the statistics by the power of the field, which leaves numbers of order one.

    With ``by="S2"``::

        S3 / sqrt(S2[j1,l1] S2[j2,l2])      S4 / sqrt(S2[j1,l1] S2[j2,l2])

    and with ``by="P11"``, the power of the moduli P11[j1,j2,l1,l2] = S4[j1,j1,j2,l1,l1,l2]::

        S3 / sqrt(S2[j2,l2] P11[j1,j2,l1,l2])
        S4 / sqrt(P11[j1,j3,l1,l3] P11[j2,j3,l2,l3])

    The powers are those of `ds`, and S1 and S2 stay as they are; or those of `reference`, and
    then S1 and S2 are divided by sqrt(S2) and S2 of the reference too. Standard deviations
    ``*_std`` are divided as their statistics. The powers are taken to be free of error.

    Statistics of two fields a, b become correlation coefficients: S2 and S4 are divided by
    sqrt(S2a[j1,l1] S2b[j2,l2]) (S2 with j2 = j1, l2 = l1), S3 by sqrt(S2a[j2,l2] S2b[j1,l1]),
    S3P by sqrt(S2b[j2,l2] S2a[j1,l1]), where the powers of both are the variable ``S2_auto``
    with the dimension ``field``, or the diagonal of S2 along ``frequency_a``, ``frequency_b``.

    Parameters
    ----------
    ds : Dataset
        statistics before any reduction.
    by : {"S2", "P11"}
        "P11" is for one field only.
    reference : Dataset, optional
        statistics on the same grid, with at least the scales of `ds`; no leading dimensions, or
        those of `ds`.

    Returns
    -------
    Dataset
        with units "1" for what was divided, the attribute ``normalized`` = `by`, and, for
        ``by="P11"`` without reference, the variable P11, which `denormalize` needs.

    Raises
    ------
    ValueError
        if a variable that gives the power is missing (the message says which), if `ds` is
        normalized or reduced already, if the grids differ.

    Examples
    --------
    >>> import xarray as xr
    >>> ds = xr.Dataset({"S2": ("j1", [4.0, 9.0]),
    ...                  "S3": (("j1", "j2"), [[4j, 3j], [float("nan"), 18j]])})
    >>> normalize(ds).S3.values.imag
    array([[1. , 0.5],
           [nan, 2. ]])
    """
    if "normalized" in ds.attrs:
        raise ValueError(
            f"already normalized by {ds.attrs['normalized']}: call denormalize() first"
        )
    _check_not_reduced(ds, "normalize")
    out = {}
    for name, factor in _factors(ds, by, reference).items():
        var = ds[name]
        divided = describe(_exactly(var, factor, False), var, f"normalized by {by}", "1")
        if "units" in var.attrs:
            divided.attrs["units_before"] = var.attrs["units"]
        out[name] = divided
    if by == "P11" and reference is None and "S4" in ds:
        units = ds.S4.attrs.get("units")
        out["P11"] = describe(_p11(ds), xr.DataArray(name="P11"), "power of the moduli", units)
        out["P11"].attrs["long_name"] = "power of the moduli"
    source = "itself" if reference is None else "reference"
    return rebuild(ds, {**_variables(ds), **out}, normalized=by, normalized_with=source)


@checked_keywords
def denormalize(ds: xr.Dataset, reference: xr.Dataset | None = None) -> xr.Dataset:
    """Undo `normalize`: multiply by the same powers and give the units back.

    Parameters
    ----------
    ds : Dataset
        what `normalize` gave, before any reduction.
    reference : Dataset, optional
        the same that was given to `normalize`.

    Returns
    -------
    Dataset

    Raises
    ------
    ValueError
        if `ds` is not normalized, was reduced since, or the reference is missing.

    Examples
    --------
    >>> import xarray as xr
    >>> ds = xr.Dataset({"S2": ("j1", [4.0]), "S3": (("j1", "j2"), [[4j]])})
    >>> denormalize(normalize(ds)).S3.item()
    4j
    """
    by = ds.attrs.get("normalized")
    if by is None:
        raise ValueError("the statistics are not normalized (they have no attribute normalized)")
    _check_not_reduced(ds, "denormalize")
    if (reference is None) != (ds.attrs.get("normalized_with") == "itself"):
        wanted = "the reference= that normalize had" if reference is None else "no reference="
        raise ValueError(f"denormalize needs {wanted}")
    out = {n: v for n, v in _variables(ds).items() if n != "P11"}
    for name, factor in _factors(ds, by, reference).items():
        var = _exactly(ds[name], factor, True)
        attrs = dict(ds[name].attrs)
        attrs["long_name"] = attrs.get("long_name", name).removesuffix(f", normalized by {by}")
        attrs.pop("units", None)
        if "units_before" in attrs:
            attrs["units"] = attrs.pop("units_before")
        var.attrs = attrs
        out[name] = var
    result = rebuild(ds, out)
    del result.attrs["normalized"], result.attrs["normalized_with"]
    return result


@checked_keywords
def log(ds: xr.Dataset) -> xr.Dataset:
    """Natural logarithm of S1 and S2; everything else stays.

    Their standard deviations become those of the logarithm, σ/S to first order.

    Parameters
    ----------
    ds : Dataset

    Returns
    -------
    Dataset
        S1, S2 with units written "ln(re 1 K)", and S1_std, S2_std with units "1".

    Raises
    ------
    ValueError
        for the complex S2 of two fields, for logarithms of logarithms, and for the harmonics
        of `fft_ang`, which may be negative.

    Examples
    --------
    >>> import xarray as xr
    >>> log(xr.Dataset({"S1": ("j1", [1.0, 2.0])}, attrs={"L": 4})).S1.values.round(3)
    array([0.   , 0.693])
    """
    if "logarithm" in ds.attrs:
        raise ValueError("S1 and S2 are logarithms already")
    out = _variables(ds)
    for name in ("S1", "S2"):
        var = ds.get(name)
        if var is None:
            continue
        if np.iscomplexobj(var):
            raise ValueError("S2 of two fields is complex: take log(abs(ds.S2)) yourself")
        if any(str(d).startswith("harmonic") for d in var.dims):
            raise ValueError("harmonics may be negative: call log() before fft_ang()")
        units = f"ln(re 1 {var.attrs['units']})" if "units" in var.attrs else None
        out[name] = describe(xr.ufuncs.log(var), var, "natural logarithm", units)
        std = f"{name}_std"
        if std in ds:
            out[std] = describe(ds[std] / var, ds[std], "of the natural logarithm", "1")
    return rebuild(ds, out, logarithm="S1 S2")


# ---------------------------------------------------------------------------------------------


def _variables(ds: xr.Dataset) -> dict[str, xr.DataArray]:
    return {str(n): v for n, v in ds.data_vars.items()}


def _check_not_reduced(ds: xr.Dataset, who: str) -> None:
    if ds.attrs.get("reduction"):
        raise ValueError(
            f"{who} needs the statistics before {ds.attrs['reduction']}: "
            "write stats.scat.normalize().scat.iso_mean(), in this order"
        )
    chosen = [d for d in (*SCALES, *ORIENTATIONS) if d in ds.coords and ds[d].ndim == 0]
    if chosen:
        raise ValueError(
            f"{who} needs all scales and orientations, but {', '.join(chosen)} is selected: "
            f"select after it, e.g. stats.scat.{who}().isel({chosen[0]}=...)"
        )


def _factors(ds: xr.Dataset, by: str, reference: xr.Dataset | None) -> dict[str, xr.DataArray]:
    """What every variable is divided by, for those that are."""
    check_choice("by", by, ("S2", "P11"))
    if by == "P11" and is_cross(ds):
        raise ValueError("by='P11' is for the statistics of one field: use by='S2'")
    if reference is not None:
        check_same_grid(ds, reference)
        if "normalized" in reference.attrs or reference.attrs.get("reduction"):
            raise ValueError("the reference must be neither normalized nor reduced")
    source = ds if reference is None else reference
    names = ["S3", "S3P", "S4"]
    if reference is not None:
        names += ["S1", "S2", "S2_auto"]
    elif is_cross(ds):
        names += ["S2"]
    found = {}
    for name in map(str, ds.data_vars):
        if base_name(name) in names:
            found[name] = _cut(_factor(base_name(name), source, by), ds[name])
    return found


def _factor(name: str, source: xr.Dataset, by: str) -> xr.DataArray:
    """The square root of the powers that belong to one statistic: the formulas of `normalize`."""
    if by == "P11" and name in ("S3", "S4"):
        power = _p11(source)
        if name == "S3":
            return xr.ufuncs.sqrt(_at(_powers(source)[0], {"1": "2"}) * power)
        return xr.ufuncs.sqrt(_at(power, {"2": "3"}) * _at(power, {"1": "2", "2": "3"}))
    if name in ("S1", "S2_auto") and "S2_auto" in source:
        auto = _bare(source.S2_auto)
        return auto if name == "S2_auto" else xr.ufuncs.sqrt(auto)
    a, b = _powers(source)
    if name == "S1":
        # of all pairs along a dimension, S1 has the dimension itself
        own = {d: str(d)[:-2] for d in a.dims if str(d).endswith("_a")}
        return xr.ufuncs.sqrt(a.rename(own))
    if name == "S2":
        return xr.ufuncs.sqrt(a * b)
    inner, outer = (b, a) if name == "S3" else (a, b)
    return xr.ufuncs.sqrt(inner * _at(outer, {"1": "2"}))


def _powers(source: xr.Dataset) -> tuple[xr.DataArray, xr.DataArray]:
    """Power (j1, l1) of the first and of the second field; of one field twice the same."""
    if "S2_auto" in source:
        auto = _bare(source.S2_auto)
        return auto.isel(field=0, drop=True), auto.isel(field=1, drop=True)
    power = require(source, "S2", "normalize")
    pair = [str(d)[:-2] for d in power.dims if str(d).endswith("_a")]
    if pair:
        first, second = f"{pair[0]}_a", f"{pair[0]}_b"
        if not np.array_equal(power[first], power[second]):
            raise ValueError(f"normalize needs all pairs: {first} and {second} must be the same")
        same = xr.DataArray(np.arange(power.sizes[first]), dims=first)
        diagonal = take(_bare(power), {first: same, second: same}).real
        diagonal = diagonal.assign_coords({first: _bare(power[first])})
        return diagonal, diagonal.rename({first: second})
    if np.iscomplexobj(power):
        raise ValueError(
            "normalize needs the power of both fields, S2_auto, beside the complex S2: "
            "compute with cross(..., statistics=(..., 'S2'))"
        )
    return _bare(power), _bare(power)


def _p11(source: xr.Dataset) -> xr.DataArray:
    """P11[j1,j2,l1,l2] = S4[j1,j1,j2,l1,l1,l2], the power of a modulus in an outer wavelet."""
    if "P11" in source:
        return _bare(source.P11)
    s4 = require(source, "S4", "normalize(by='P11')")
    if "j1" not in s4.dims or not np.array_equal(s4.j1, s4.j2):
        raise ValueError("normalize(by='P11') needs all scales of S4: normalize before selecting")
    index = {}
    for one, other in (("j1", "j2"), ("l1", "l2")):
        if one in s4.dims:
            same = xr.DataArray(np.arange(s4.sizes[one]), dims=one)
            index.update({one: same, other: same})
    diagonal = take(_bare(s4), index).real
    diagonal = diagonal.assign_coords({d: _bare(s4[d]) for d in ("j1", "l1") if d in index})
    order = [d for d in s4.dims if d not in ("j2", "l2")]
    return _at(diagonal.transpose(*order), {"3": "2"})


def _bare(var: xr.DataArray) -> xr.DataArray:
    """Without the coordinates that are no index: the result keeps those of the statistics."""
    return var.reset_coords(drop=True)


def _at(power: xr.DataArray, places: dict[str, str]) -> xr.DataArray:
    """The same numbers for other scale and orientation indices: {"1": "2"} is j1 → j2, l1 → l2."""
    names = {d: f"{d[0]}{places[d[1]]}" for d in (*SCALES, *ORIENTATIONS) if d[1] in places}
    return power.rename({old: new for old, new in names.items() if old in power.dims})


def _cut(factor: xr.DataArray, var: xr.DataArray) -> xr.DataArray:
    """The scales of a factor that the statistic has; a reference may have more."""
    dims = [d for d in SCALES if d in factor.dims and d in var.dims]
    if any(not np.isin(var[d], factor[d]).all() for d in dims):
        raise ValueError(
            f"the powers for {var.name} lack some of its scales: "
            "normalize before selecting, or give a reference with as many scales"
        )
    return factor.sel({d: var[d].values for d in dims})


def _exactly(var: xr.DataArray, factor: xr.DataArray, multiply: bool) -> xr.DataArray:
    """Product or quotient with every label matched, on the dimensions of var."""
    with xr.set_options(arithmetic_join="exact"):
        # not var / factor: numpy warns of complex NaN / NaN
        out = var * (factor if multiply else 1 / factor)
    added = [d for d in out.dims if d not in var.dims]
    return out.transpose(*added, *var.dims)
