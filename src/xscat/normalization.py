"""Normalization of S3 and S4 by the power that the field has at their scales, and logarithms."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ._layout import (
    ORIENTATIONS,
    SCALES,
    base_name,
    describe,
    is_cross,
    is_std,
    kind_of,
    paired_dim,
    rebuild,
    reductions_of,
    require,
    take,
)
from ._operation import operation
from ._states import check_alike, in_order_of, refuse
from .errors import check_choice


@operation
def normalize(ds: xr.Dataset, by: str = "S2", reference: xr.Dataset | None = None) -> xr.Dataset:
    """Divide the statistics by the power of the field, which leaves numbers of order one.

    With ``by="S2"``::

        S3 / sqrt(S2[j1,l1] S2[j2,l2])      S4 / sqrt(S2[j1,l1] S2[j2,l2])

    and with ``by="P11"``, the power of the moduli P11[j1,j2,l1,l2] = S4[j1,j1,j2,l1,l1,l2]::

        S3 / sqrt(S2[j2,l2] P11[j1,j2,l1,l2])
        S4 / sqrt(P11[j1,j3,l1,l3] P11[j2,j3,l2,l3])

    The powers are those of `ds`, and S1 and S2 stay as they are; or those of `reference`, and
    then S1 and S2 are divided by sqrt(S2) and S2 of the reference too.

    Errors of a statistic and of the power of the same field are correlated, so the standard
    deviations of what is divided by its own power are left out; the attribute ``std_dropped`` says
    of which statistics. Those divided by the power of a reference, taken to be free of error and
    independent, are divided with their statistics.

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
        ``by="P11"`` without reference, the variable P11, for all pairs along a dimension the
        variable S2_auto: the power of each field, which `denormalize` needs.

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
    _check_whole(ds, "normalize")
    out, dropped = {}, []
    for name, factor in _factors(ds, by, reference).items():
        var = ds[name]
        if is_std(name) and (reference is None or reference is ds):
            dropped.append(name)
            continue
        divided = describe(_exactly(var, factor, False), var, f"normalized by {by}", "1")
        if "units" in var.attrs:
            divided.attrs["units_before"] = var.attrs["units"]
        out[name] = divided
    if by == "P11" and reference is None and "S4" in ds:
        units = ds.S4.attrs.get("units")
        out["P11"] = describe(_p11(ds), xr.DataArray(name="P11"), "power of the moduli", units)
        out["P11"].attrs["long_name"] = "power of the moduli"
    if reference is None and kind_of(ds) == "pairs" and "S2_auto" not in ds and "S2" in ds:
        out["S2_auto"] = _diagonal(ds).assign_attrs(ds.S2.attrs)
        out["S2_auto"].attrs["long_name"] = "mean power of the wavelet coefficients of each field"
    attrs = {"normalized": by, "normalized_with": "itself" if reference is None else "reference"}
    if dropped:
        attrs["std_dropped"] = " ".join(sorted(map(base_name, dropped)))
    kept = {n: v for n, v in _variables(ds).items() if n not in dropped}
    return rebuild(ds, {**kept, **out}, **attrs)


@operation
def denormalize(ds: xr.Dataset, reference: xr.Dataset | None = None) -> xr.Dataset:
    """Undo `normalize`: multiply by the same powers and give the units back.

    Parameters
    ----------
    ds : Dataset
        what `normalize` gave, before any reduction. Standard deviations that it left out do not
        come back.
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
    _check_whole(ds, "denormalize")
    refuse(ds, "denormalize", "logarithm")
    if (reference is None) != (ds.attrs.get("normalized_with") == "itself"):
        wanted = "the reference= that normalize had" if reference is None else "no reference="
        raise ValueError(f"denormalize needs {wanted}")
    added = ("P11", "S2_auto") if kind_of(ds) == "pairs" else ("P11",)
    out = {n: v for n, v in _variables(ds).items() if n not in added}
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


@operation
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
        raise ValueError("S1 and S2 are logarithms already: log() is done once")
    refuse(ds, "log", "as_real")
    signed = {"fft_ang", "scale_ft", "phase"} & set(reductions_of(ds))
    if signed:
        name = signed.pop()
        raise ValueError(f"what {name} gives may be negative: call log() before {name}()")
    out = _variables(ds)
    for name in ("S1", "S2"):
        var = ds.get(name)
        if var is None:
            continue
        if np.iscomplexobj(var):
            raise ValueError("S2 of two fields is complex: take log(abs(ds.S2)) yourself")
        units = f"ln(re 1 {var.attrs['units']})" if "units" in var.attrs else None
        out[name] = describe(xr.ufuncs.log(var), var, "natural logarithm", units)
        std = f"{name}_std"
        if std in ds:
            out[std] = describe(ds[std] / var, ds[std], "of the natural logarithm", "1")
    return rebuild(ds, out, logarithm="S1 S2")


# ---------------------------------------------------------------------------------------------


def _variables(ds: xr.Dataset) -> dict[str, xr.DataArray]:
    return {str(n): v for n, v in ds.data_vars.items()}


def _check_whole(ds: xr.Dataset, who: str) -> None:
    """Raise where powers cannot be had: after reductions, or with scales selected away."""
    refuse(ds, who, "reduction", "as_real", *(["logarithm"] if who == "normalize" else []))
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
    names = ["S3", "S3P", "S4"]
    if reference is not None:
        if "normalized" in reference.attrs or reductions_of(reference):
            raise ValueError("the reference must be neither normalized nor reduced")
        refuse(reference, "normalize (of the reference)", "logarithm", "as_real")
        done = ("normalized", "normalized_with")
        plain = ds.assign_attrs()
        plain.attrs = {k: v for k, v in ds.attrs.items() if k not in done}
        check_alike(plain, reference)
        names += ["S1", "S2", "S2_auto"]
    elif is_cross(ds):
        names += ["S2"]
    source = ds if reference is None else reference
    found = {}
    for name in map(str, ds.data_vars):
        if base_name(name) in names:
            found[name] = _cut(_factor(base_name(name), source, by), ds[name])
    return found


def _factor(name: str, source: xr.Dataset, by: str) -> xr.DataArray:
    """The square root of the powers that belong to one statistic: the formulas of `normalize`."""
    if by == "P11" and name in ("S3", "S4"):
        power = _root(_p11(source))
        if name == "S3":
            return _at(_root(_powers(source)[0]), {"1": "2"}) * power
        return _at(power, {"2": "3"}) * _at(power, {"1": "2", "2": "3"})
    if name in ("S1", "S2_auto"):
        auto = _auto(source)
        return _bare(auto) if name == "S2_auto" else _root(auto)
    a, b = map(_root, _powers(source))
    if name == "S2":
        return a * b
    inner, outer = (b, a) if name == "S3" else (a, b)
    return inner * _at(outer, {"1": "2"})


def _root(power: xr.DataArray) -> xr.DataArray:
    """Square root in double precision: a product of two single ones may leave its range."""
    return xr.ufuncs.sqrt(_bare(power).astype(np.float64))


def _auto(source: xr.Dataset) -> xr.DataArray:
    """Power (..., j1, l1) of every field."""
    if "S2_auto" in source:
        return source.S2_auto
    power = require(source, "S2", "normalize")
    if kind_of(source) == "pairs":
        return _diagonal(source)
    if np.iscomplexobj(power):
        raise ValueError(
            "normalize needs the power of both fields, S2_auto, beside the complex S2: "
            "compute with cross(..., statistics=(..., 'S2'))"
        )
    return power


def _powers(source: xr.Dataset) -> tuple[xr.DataArray, xr.DataArray]:
    """Power (j1, l1) of the first and of the second field; of one field twice the same."""
    auto, kind = _auto(source), kind_of(source)
    if kind == "cross":
        if auto.sizes.get("field") != 2:
            raise ValueError("normalize needs the power of both fields: select a field after it")
        return auto.isel(field=0, drop=True), auto.isel(field=1, drop=True)
    if kind == "pairs":
        own = paired_dim(source)
        return auto.rename({own: f"{own}_a"}), auto.rename({own: f"{own}_b"})
    return auto, auto


def _diagonal(source: xr.Dataset) -> xr.DataArray:
    """The power of each field among those of all pairs along a dimension."""
    power, own = source.S2, paired_dim(source)
    first, second = f"{own}_a", f"{own}_b"
    if first not in power.dims or second not in power.dims:
        raise ValueError(f"normalize needs all pairs: select {first} and {second} after it")
    one, other = power.indexes.get(first), power.indexes.get(second)
    place = np.arange(power.sizes[first])
    if one is not None and other is not None:
        place = other.get_indexer(one) if other.is_unique else place - len(place)
    if power.sizes[first] != power.sizes[second] or (place < 0).any():
        raise ValueError(f"normalize needs all pairs: {first} and {second} must be the same")
    index = {first: xr.DataArray(np.arange(len(place)), dims=own)}
    diagonal = take(power, index | {second: xr.DataArray(place, dims=own)}).real
    order = [own if d == first else d for d in power.dims if d != second]
    labels = {} if one is None else {own: power[first].rename({first: own})}
    return diagonal.transpose(*order).assign_coords(labels).drop_attrs()


def _p11(source: xr.Dataset) -> xr.DataArray:
    """P11[j1,j2,l1,l2] = S4[j1,j1,j2,l1,l1,l2], the power of a modulus in an outer wavelet."""
    if "P11" in source:
        return _bare(source.P11)
    s4 = require(source, "S4", "normalize(by='P11')")
    index = {}
    for one, other in (("j1", "j2"), ("l1", "l2")):
        if one in s4.dims or other in s4.dims:
            if one not in s4.dims or not np.array_equal(s4[one], s4[other]):
                raise ValueError(
                    "normalize(by='P11') needs all scales and orientations of S4: "
                    "normalize before selecting"
                )
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
    """A factor at the labels of its statistic; a reference may have more scales."""
    dims = [d for d in (*SCALES, *ORIENTATIONS) if d in factor.indexes and d in var.indexes]
    for dim in dims:
        if not np.isin(var[dim], factor[dim]).all():
            what = "scales" if dim in SCALES else "orientations"
            raise ValueError(
                f"the powers for {var.name} lack some of its {what}: "
                f"normalize before selecting, or give a reference with as many {what}"
            )
    return in_order_of(factor.sel({d: var[d].values for d in dims}), var)


def _exactly(var: xr.DataArray, factor: xr.DataArray, multiply: bool) -> xr.DataArray:
    """Product or quotient with every label matched, on the dimensions and in the dtype of var."""
    with xr.set_options(arithmetic_join="exact"):
        # not var / factor: numpy warns of complex NaN / NaN
        out = var * (factor if multiply else 1 / factor)
    added = [d for d in out.dims if d not in var.dims]
    return out.transpose(*added, *var.dims).astype(var.dtype)
