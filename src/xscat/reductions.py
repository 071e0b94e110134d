"""Reductions over the orientation of the field: means, spreads and harmonics.

For a real field the wavelet turned by half a turn is its complex conjugate. A modulus does not
notice, so an *inner* orientation has the period L. Turning the *outer* orientation, the last one
of a statistic, by L conjugates the statistic. Along the global orientation, l1 at fixed relative
orientations, the real part of a statistic therefore has the period L (half a turn), while its
imaginary part changes sign after L and has the period 2 L (a full turn).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr

from ._layout import (
    abs2,
    along_diagonals,
    describe,
    integer_attr,
    is_complex,
    is_std,
    orientation_dims,
    rebuild,
    spread,
    take,
)
from ._operation import check_free, operation
from ._states import refuse
from .errors import check_choice

Operation = Callable[[xr.DataArray, bool], xr.DataArray]
Projection = Callable[[xr.DataArray, str, str, int, bool, bool], xr.DataArray]


@operation
def iso_mean(ds: xr.Dataset, repeat: bool = False, conjugate: bool = True) -> xr.Dataset:
    """Average over the orientation of the field, at fixed relative orientations.

    S1, S2 (l1) lose the orientation; S3 (l1, l2) gets the dimension dl12 = (l2 - l1) mod L, S4
    (l1, l2, l3) gets dl12 and dl13, the conjugate being taken where the outer orientation wraps.
    Variables without orientations, as on a line, are left as they are. Different
    orientations are correlated, so standard deviations ``*_std`` become upper bounds, Σ σ / L, that
    of a mean of fully correlated values.

    Parameters
    ----------
    ds : Dataset
        statistics with all of their orientations.
    repeat : bool
        put the mean back on the full dimensions l1, l2, l3.
    conjugate : bool
        False averages the values as they are stored, without the conjugate at the wrap.

    Returns
    -------
    Dataset
        with ``angle_dl12``, ``angle_dl13`` in degrees. Units do not change.

    Raises
    ------
    ValueError
        if only some of the orientations are there.

    Notes
    -----
    Turning the field by a multiple of 180/L degrees leaves the real parts of the result. The
    imaginary parts change sign when the field is turned by half a turn, hence their mean over a
    full turn is 0, and the mean over l1 (half a turn) depends on where it begins: use
    `fft_ang` and `amplitude` for a measure of the imaginary parts that does not.

    Examples
    --------
    >>> import xarray as xr
    >>> ds = xr.Dataset({"S1": (("j1", "l1"), [[1.0, 3.0], [2.0, 2.0]])}, attrs={"L": 2})
    >>> iso_mean(ds).S1.values
    array([2., 2.])
    """

    def mean(var: xr.DataArray, conjugate: bool = conjugate) -> xr.DataArray:
        return _relative(var, conjugate).mean("l1", skipna=False)

    return _over_orientations(ds, mean, "iso_mean", repeat, conjugate)


@operation
def iso_std(ds: xr.Dataset, repeat: bool = False, conjugate: bool = True) -> xr.Dataset:
    """Spread over the orientation of the field, at fixed relative orientations.

    The standard deviation (divisor L) over l1 of what `iso_mean` averages: 0 for an isotropic
    field, up to noise. Of complex statistics ``sqrt(mean |z - mean|²)``, hence real. Variables keep
    their names; ``*_std`` and variables without orientations are left out.

    Parameters
    ----------
    ds : Dataset
        statistics with all of their orientations.
    repeat, conjugate : bool
        as in `iso_mean`.

    Returns
    -------
    Dataset
        real, on the dimensions of `iso_mean`, in the units of the statistics.

    Examples
    --------
    >>> import xarray as xr
    >>> ds = xr.Dataset({"S1": (("j1", "l1"), [[1.0, 3.0], [2.0, 2.0]])}, attrs={"L": 2})
    >>> iso_std(ds).S1.values
    array([1., 0.])
    """
    names = [n for n, v in ds.data_vars.items() if "l1" in v.dims and not is_std(str(n))]

    def std(var: xr.DataArray, conjugate: bool = conjugate) -> xr.DataArray:
        return spread(_relative(var, conjugate), "l1")

    return _over_orientations(ds[names], std, "iso_std", repeat, conjugate)


@operation
def fft_ang(
    ds: xr.Dataset,
    nharm: int = 1,
    imaginary: bool = True,
    conjugate: bool = True,
    relative: bool = True,
) -> xr.Dataset:
    """Fourier coefficients along the orientation of the field.

    At fixed relative orientations, as in `iso_mean`, the global orientation l1 is projected on
    1/L ("mean", exactly `iso_mean`), cos(2πk l1/L) ("cos1", ...) and sin(2πk l1/L) ("sin1", ...).
    S1, S2 get the dimension harmonic; S3 dl12, harmonic; S4 dl12, dl13, harmonic. For k = L/2
    the sine is 0 at all orientations and is left out.

    The imaginary part of a complex statistic changes sign after half a turn (see the head of
    this module), so its harmonics are the odd ones of the full turn: cos and sin of
    π(2k-1) l1/L. Then turning the field by an angle α turns, for real and imaginary parts,
    (cos, sin) of harmonic k by 2kα and (2k-1)α. With ``conjugate=False`` both parts
    are projected on the harmonics of the real part.

    Standard deviations ``*_std`` beside the statistics become upper bounds, ``Σ |A| σ`` for the
    projection Σ A x, whatever the correlations; `fft_ang_sigma` gives those of independent
    coefficients.

    Parameters
    ----------
    ds : Dataset
        statistics with all of their orientations.
    nharm : int
        number of harmonics, at most L/2.
    imaginary : bool
        False keeps the mean and the cosines only.
    conjugate : bool
        False takes the values as they are stored, without the conjugate at the wrap.
    relative : bool
        False projects each orientation l1, l2, l3 by itself instead, which gives the dimensions
        harmonic1, harmonic2, harmonic3.

    Returns
    -------
    Dataset
        with the dimension ``harmonic`` ("mean", "cos1", "sin1", "cos2", ...). Units do not change.

    Raises
    ------
    ValueError
        if nharm is above L/2, or if only some of the orientations are there.

    Examples
    --------
    >>> import xarray as xr
    >>> ds = xr.Dataset({"S2": ("l1", [3.0, 2.0, 1.0, 2.0])})
    >>> fft_ang(ds).S2.values.round(12)
    array([2., 2., 0.])
    """
    return _project_all(ds, _project_bound, nharm, imaginary, conjugate, relative)


@operation
def fft_ang_sigma(
    ds: xr.Dataset,
    nharm: int = 1,
    imaginary: bool = True,
    conjugate: bool = True,
    relative: bool = True,
) -> xr.Dataset:
    """Standard deviations of what `fft_ang` gives, from those of the statistics.

    For independent coefficients the standard deviation of Σ A x is sqrt(Σ A² σ²). The variance
    of a complex coefficient, ``|z|²``, is taken to be half in its real and half in its imaginary
    part.

    Parameters
    ----------
    ds : Dataset
        standard deviations, real: the variables ``*_std`` where there are any (others are then
        left out), else all variables.
    nharm, imaginary, conjugate, relative
        as in `fft_ang`.

    Returns
    -------
    Dataset
        the names of the given variables, the shapes of `fft_ang`; positive.

    Raises
    ------
    ValueError
        for complex input, and as `fft_ang`.

    Examples
    --------
    >>> import xarray as xr
    >>> fft_ang_sigma(xr.Dataset({"S2_std": ("l1", [1.0, 1.0, 1.0, 1.0])})).S2_std.values
    array([0.5       , 1.41421356, 1.41421356])
    """
    complex_names = [str(n) for n, v in ds.data_vars.items() if np.iscomplexobj(v)]
    names = [str(n) for n in ds.data_vars if is_std(str(n))]
    if not names and complex_names:
        raise ValueError(
            f"{', '.join(complex_names)} is complex: fft_ang_sigma takes standard deviations; "
            "compute with variance=True, or call fft_ang"
        )
    plain = {} if names else {str(n): f"{n}_std" for n in ds.data_vars}
    kinds = {} if not names else {n: ds[n] for n in complex_names}
    sigma = ds[names or list(plain)].rename(plain)
    given = sigma.assign(kinds)
    out = _project_all(given, _project_sigma, nharm, imaginary, conjugate, relative)
    return out.drop_vars(kinds).rename({std: name for name, std in plain.items()})


@operation
def amplitude(ds: xr.Dataset) -> xr.Dataset:
    """Strength of each angular harmonic, ``sqrt(|cos|² + |sin|²)``.

    Does not change when the field is turned. A relative modulation 1 + a cos(2kα) of a statistic
    with mean m has the amplitude a m L / 2 (the projections of `fft_ang` are sums over the L
    orientations). For k = L/2 there is a cosine only.

    Parameters
    ----------
    ds : Dataset
        what `fft_ang` gives, with its sines.

    Returns
    -------
    Dataset
        real, with the dimension ``harmonic`` = 1, ..., nharm instead of "cos1", "sin1", ...; in
        the units of the statistics. Variables without harmonics and ``*_std`` are left out.

    Raises
    ------
    ValueError
        if there is no dimension ``harmonic``, or no sines.

    Examples
    --------
    >>> import xarray as xr
    >>> ds = xr.Dataset({"S2": ("l1", [3.0, 2.0, 1.0, 2.0])})
    >>> amplitude(fft_ang(ds)).S2.values.round(12)
    array([2.])
    """
    out = {}
    for name, (cos, sin) in _waves(ds, "amplitude").items():
        out[name] = describe(
            xr.ufuncs.sqrt(abs2(cos) + abs2(sin)), ds[name], "amplitude of the harmonic"
        )
    return rebuild(ds, out, "amplitude")


@operation
def phase(ds: xr.Dataset, part: str = "real") -> xr.Dataset:
    """Orientation at which each angular harmonic peaks, in degrees.

    The orientation is that of l1, the wave vector counted from +x (east) toward +y (north). The
    k-th harmonic of the real part peaks there and every 180/k degrees on; that of the
    imaginary part every 360/(2k-1) degrees on: its first harmonic has a direction.

    Parameters
    ----------
    ds : Dataset
        what `fft_ang` gives, with its sines.
    part : {"real", "imag"}
        the part of complex statistics to look at. Real ones have no "imag" and are left out.

    Returns
    -------
    Dataset
        degrees in [0, 180/k), for the imaginary part in [0, 360/(2k-1)), with the dimension
        ``harmonic`` = 1, ..., nharm. Variables without harmonics and ``*_std`` are left out.

    Raises
    ------
    ValueError
        if there is no dimension ``harmonic``, no sines, or another part.

    Examples
    --------
    >>> import xarray as xr
    >>> ds = xr.Dataset({"S2": ("l1", [2.0, 3.0, 2.0, 1.0])})
    >>> phase(fft_ang(ds)).S2.values.round(12)
    array([45.])
    """
    check_choice("part", part, ("real", "imag"))
    out = {}
    for name, (cos, sin) in _waves(ds, "phase").items():
        if part == "imag" and not np.iscomplexobj(cos):
            continue
        cos, sin = getattr(cos, part), getattr(sin, part)
        turns = 2 * cos.harmonic - (part == "imag")
        angle = (np.degrees(np.arctan2(sin, cos)) / turns) % (360 / turns)
        angle = angle.where(~(angle >= 360 / turns), 0).astype(cos.dtype)
        out[name] = describe(angle, ds[name], f"orientation of the peak ({part} part)", "degrees")
    return rebuild(ds, out, "phase")


# ---------------------------------------------------------------------------------------------


def orientations_of(ds: xr.Dataset, name: object) -> list[str]:
    """The orientation dimensions of a variable, all of those that its Dataset says it has."""
    return orientation_dims(ds[name], integer_attr(ds, "L"))


def _project_all(
    ds: xr.Dataset,
    of_std: Projection,
    nharm: int,
    imaginary: bool,
    conjugate: bool,
    relative: bool,
) -> xr.Dataset:
    """`fft_ang` with a choice of what becomes of standard deviations."""
    refuse(ds, "fft_ang", "as_real")

    def project(name: str, var: xr.DataArray) -> xr.DataArray:
        odd = conjugate and is_complex(ds, name)
        operation = of_std if is_std(name) else _project
        if relative:
            turned = _relative(var, conjugate and not is_std(name))
            return operation(turned, "l1", "harmonic", nharm, imaginary, odd)
        dims = orientation_dims(var)
        for dim in dims:
            outer = dim == dims[-1]
            new = dim.replace("l", "harmonic")
            var = operation(var, dim, new, nharm, imaginary, odd and outer)
        return var

    out = {}
    for key, var in ds.data_vars.items():
        dims = orientations_of(ds, key)
        if dims:
            news = ["harmonic"] if relative else [d.replace("l", "harmonic") for d in dims]
            check_free(var, "fft_ang", *news)
            bound = is_std(str(key)) and of_std is _project_bound
            var = describe(project(str(key), var), var, "angular harmonics", bound=bound)
        out[str(key)] = var
    return rebuild(ds, out, "fft_ang")


def _relative(var: xr.DataArray, conjugate: bool) -> xr.DataArray:
    """A statistic by global and relative orientations: (l1, l2, l3) → (l1, dl12, dl13)."""
    dims = orientation_dims(var)
    size = var.sizes[dims[0]]
    offsets = {}
    for dim in dims[1:]:
        new = dim.replace("l", "dl1")
        labels = np.arange(size)
        number = xr.Variable(new, labels, {"long_name": f"relative orientation {dim} - l1"})
        degrees = xr.Variable(
            new,
            180.0 * labels / size,
            {"units": "degrees", "long_name": f"relative orientation {dim} - l1"},
        )
        offsets[dim] = xr.DataArray(number, coords={new: number, f"angle_{new}": degrees})
    out, positions = along_diagonals(var, "l1", offsets)
    return _conjugate_where(out, positions[dims[-1]] >= size) if conjugate and offsets else out


def _absolute(reduced: xr.DataArray, like: xr.DataArray, conjugate: bool) -> xr.DataArray:
    """Put (dl12, dl13) back on the dimensions (l1, l2, l3) of the statistic `like`."""
    dims = orientation_dims(like)
    turn = {d: xr.DataArray(np.arange(like.sizes[d]), dims=d) for d in dims}
    index = {f"dl1{d[1]}": (turn[d] - turn["l1"]) % like.sizes[d] for d in dims[1:]}
    coords = {n: c for n, c in like.coords.items() if set(c.dims) & set(dims)}
    if not index:
        return reduced.expand_dims(l1=like.sizes["l1"]).transpose(*like.dims).assign_coords(coords)
    out = take(reduced, index)
    if conjugate:
        out = _conjugate_where(out, turn[dims[-1]] < turn["l1"])
    return out.transpose(*like.dims).assign_coords(coords)


def _conjugate_where(var: xr.DataArray, condition: xr.DataArray) -> xr.DataArray:
    if not np.iscomplexobj(var):
        return var
    return var.where(~condition, var.conj()).transpose(*var.dims)


def _over_orientations(
    ds: xr.Dataset, operation: Operation, name: str, repeat: bool, conjugate: bool
) -> xr.Dataset:
    """Apply a reduction over l1 to every variable with orientations; errors have no phase."""
    refuse(ds, name, "as_real")
    note = {"iso_mean": "mean over orientations", "iso_std": "spread over orientations"}[name]
    out = {}
    for key, var in ds.data_vars.items():
        if orientations_of(ds, key):
            std = is_std(str(key))
            reduced = operation(var, conjugate and not std)
            if repeat:
                reduced = _absolute(reduced, var, conjugate)
            var = describe(reduced, var, note, bound=std)
        out[str(key)] = var
    return rebuild(ds, out, name)


def _error_of_mean(sigma: xr.DataArray, dim: str) -> xr.DataArray:
    """Standard deviation of a mean of n independent values, sqrt(Σ σ²) / n."""
    return xr.ufuncs.sqrt((sigma**2).mean(dim, skipna=False) / sigma.sizes[dim])


def _basis(
    size: int, dim: str, out: str, nharm: int, imaginary: bool, odd: bool, dtype: np.dtype
) -> xr.DataArray:
    """Cos and sin of 2πk l/L, k = 1..nharm; of 2π(k-1/2) l/L if `odd`. Dims (out, dim)."""
    if not 0 <= nharm <= size / 2:
        raise ValueError(
            f"nharm={nharm} is out of range: L={size} orientations give 0..{size // 2}"
        )
    angle = 2 * np.pi * np.arange(size) / size
    rows, names = [], []
    for k in range(1, nharm + 1):
        turns = k - 0.5 if odd else k
        names.append(f"cos{k}")
        rows.append(np.cos(turns * angle))
        if imaginary and 2 * k < size:
            names.append(f"sin{k}")
            rows.append(np.sin(turns * angle))
    values = np.reshape(rows, (len(names), size)).astype(dtype)
    return xr.DataArray(values, dims=(out, dim), coords={out: np.array(names, dtype=object)})


def _project(
    var: xr.DataArray, dim: str, out: str, nharm: int, imaginary: bool, odd: bool
) -> xr.DataArray:
    """Project a dimension on the mean and the harmonics; they become the last dimension."""

    def waves(values: xr.DataArray, odd: bool) -> xr.DataArray:
        basis = _basis(var.sizes[dim], dim, out, nharm, imaginary, odd, values.real.dtype)
        return xr.dot(values, basis, dim=dim)

    if odd and np.iscomplexobj(var):
        harmonics = waves(var.real, False) + 1j * waves(var.imag, True)
    else:
        harmonics = waves(var, False)
    return _with_mean(var.mean(dim, skipna=False), harmonics, out)


def _project_sigma(
    sigma: xr.DataArray, dim: str, out: str, nharm: int, imaginary: bool, odd: bool
) -> xr.DataArray:
    """Standard deviations of independent values through the squared projection of `_project`."""
    bases = [
        _basis(sigma.sizes[dim], dim, out, nharm, imaginary, half, sigma.dtype)
        for half in ((False, True) if odd else (False,))
    ]
    weights = sum(basis**2 for basis in bases) / len(bases)
    harmonics = xr.ufuncs.sqrt(xr.dot(sigma**2, weights, dim=dim))
    return _with_mean(_error_of_mean(sigma, dim), harmonics, out)


def _project_bound(
    sigma: xr.DataArray, dim: str, out: str, nharm: int, imaginary: bool, odd: bool
) -> xr.DataArray:
    """Upper bounds ``Σ |A| σ`` of the standard deviations, whatever the correlations.

    Of a complex value the parts have projections of their own; the larger of both bounds it, by
    the triangle inequality for the pairs (A_real σ_real, A_imag σ_imag).
    """
    size = sigma.sizes[dim], dim, out, nharm, imaginary
    weights = abs(_basis(*size, False, sigma.dtype))
    if odd:
        weights = xr.ufuncs.maximum(weights, abs(_basis(*size, True, sigma.dtype)))
    return _with_mean(sigma.mean(dim, skipna=False), xr.dot(sigma, weights, dim=dim), out)


def _with_mean(mean: xr.DataArray, harmonics: xr.DataArray, out: str) -> xr.DataArray:
    mean = mean.expand_dims({out: np.array(["mean"], dtype=object)})
    joined = xr.concat(
        [mean, harmonics], out, coords="minimal", compat="override", join="exact"
    ).transpose(..., out)
    joined[out].attrs["long_name"] = "angular harmonic"
    if joined.chunks is None:
        return joined
    return joined.copy(data=joined.variable.chunk({out: -1}).data)  # zarr wants even chunks


def _waves(ds: xr.Dataset, who: str) -> dict[str, tuple[xr.DataArray, xr.DataArray]]:
    """The cosines and sines of every statistic, along the numbered dimension harmonic."""
    refuse(ds, who, "as_real")
    made = "harmonic" in ds.coords and "mean" in ds["harmonic"].values.tolist()
    if "harmonic" not in ds.dims or not made:
        raise ValueError(f"{who} needs the dimension harmonic: call fft_ang(relative=True) first")
    names = [str(n) for n in ds.harmonic.values]
    numbers = [int(n[3:]) for n in names if n.startswith("cos")]
    without_sine = [k for k in numbers if f"sin{k}" not in names]
    if any(2 * k != integer_attr(ds, "L") for k in without_sine):
        raise ValueError(f"{who} needs the sines: call fft_ang(imaginary=True)")
    label = xr.Variable("harmonic", numbers, {"long_name": "number of the angular harmonic"})

    def pick(var: xr.DataArray, kind: str) -> xr.DataArray:
        index = [names.index(f"{kind}{k}") if f"{kind}{k}" in names else 0 for k in numbers]
        there = xr.DataArray([f"{kind}{k}" in names for k in numbers], dims="harmonic")
        waves = var.drop_vars("harmonic").isel(harmonic=index)
        return waves.where(there, 0).assign_coords(harmonic=label).transpose(*var.dims)

    return {
        str(n): (pick(var, "cos"), pick(var, "sin"))
        for n, var in ds.data_vars.items()
        if "harmonic" in var.dims and not is_std(str(n))
    }
