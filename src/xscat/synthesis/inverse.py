"""Inverse problems: gaps, noise, mixtures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from ..errors import check_choice, checked_flag, checked_number, shown
from ..inputs import check_field
from ..keywords import checked_keywords
from ..parameters import STATISTICS
from ..terms import Statistics
from .alignment import Inputs, put_back, taken_out
from .arguments import checked_array, checked_terms
from .fields import SEARCH, grid_and_task
from .harmonic import harmonic
from .mapping import STACK, found, frames, labelled, mapped, over_maps, with_frame
from .records import Denoising

Array = np.ndarray[Any, np.dtype[Any]]

_ONLY_FOR_SYNTHESIS = {"like", "match", "use_variance", "gaussianize"} | {
    "initial",
    "update",
    "cross_with",
    "upsample",
}
_NOT_FOR_DENOISING = _ONLY_FOR_SYNTHESIS | {"steps"}
_NOT_FOR_SEPARATION = _ONLY_FOR_SYNTHESIS | {
    "statistics",
    "reduction",
    "nharm",
    "imaginary",
    "mask",
    "realizations",
    "terms",
    "return_history",
}


@checked_keywords(also=SEARCH - {"like"})
def inpaint(
    da: xr.DataArray,
    target: xr.DataArray | xr.Dataset | None = None,
    J: int | None = None,
    L: int = 4,
    *,
    update: xr.DataArray | None = None,
    **kwargs: Any,
) -> Any:
    r"""Fill gaps so that they have the statistics of their surroundings, or the field given ones.

    The model: values outside of the gaps are exact, and

    .. math:: \Phi_w(u) = \Phi_{w'}(d)

    where the weights w of cells are 1 in wide gaps and fall off around them over :math:`2^J` cells,
    w' are the same but 0 in the gaps, and d is filled with harmonic (smoothest) values, with which
    the search begins. Errors are those of a mean over the cells of the gaps; S1, ..., S4 weigh
    alike. The mean and variance (S0) are not among the statistics: the cells around a gap say more
    of the values inside. The search ends where the rms difference is 1 error bar (*tol*), as
    surroundings tell no more than that; it gives one field of many that are possible.

    With a *target* the statistics of the whole filled field are those of the target, as in
    `synthesize`.

    Parameters
    ----------
    da : DataArray
        Field with NaN where it is missing. All other cells stay as they are, bit for bit.
    target : DataArray or Dataset, optional
        A field on the same grid with the statistics wanted of the whole field, or statistics.
    J, L : int
        As in `synthesize`.
    update : DataArray, optional
        True or 1: the missing cell is filled; the others stay missing, such as land. Default: all.
    **kwargs
        As in `synthesize`; without a target, ``statistics=("S1", "S2", "S3", "S4")``, ``tol=1`` and
        ``steps=1`` are the defaults.

    Returns
    -------
    DataArray
        As from `synthesize`.

    Raises
    ------
    ValueError, GridError
        As `synthesize`.

    Examples
    --------
    >>> import numpy as np, xarray as xr, xscat
    >>> x = np.random.default_rng(0).normal(size=(32, 32)).cumsum(0).cumsum(1)
    >>> field = xr.DataArray(x, dims=("y", "x"))
    >>> gappy = field.where((field.y < 10) | (field.y > 13))
    >>> filled = gappy.scat.inpaint(J=2, boundary="periodic", seed=1, max_iter=5)
    >>> bool(filled.notnull().all()), bool((filled == field)[:10].all())
    (True, True)
    """
    da = check_field(da)
    if target is not None and not isinstance(target, xr.Dataset):
        target = check_field(target, "target")
    source = target if isinstance(target, xr.Dataset) else da
    like: dict[str, Any] = {"like": da} if isinstance(target, xr.Dataset) else {}
    history = kwargs.pop("return_history", False)
    if target is None:
        kwargs = {"statistics": STATISTICS[1:], "tol": 1.0, "steps": 1} | kwargs
    field, task, extras = grid_and_task(source, J, L, **like, **kwargs)
    gaps, grid, frame = da.isnull(), task.grid, frames(da, da, task)[0]
    if update is not None:
        gaps = gaps & frame.chosen(checked_array("update", update), "update")
    seen = da.where(frame.chosen(extras["mask"], "mask")) if "mask" in extras else da
    smooth = xr.apply_ufunc(
        _harmonic,
        seen,
        gaps,
        kwargs={"grid": grid, "periodic": task.levels[0].periodic},
        input_core_dims=[list(grid.dims)] * 2,
        output_core_dims=[list(grid.dims)],
        vectorize=True,
        dask="parallelized",
        output_dtypes=[np.float64],
    )
    task = replace(task, filling=target is None)
    extras = {"field": da, "initial": smooth} | extras | {"update": gaps}
    if isinstance(target, xr.DataArray):
        extras["source"] = target
    return mapped(source, field, extras, task, history)


def _harmonic(values: Array, gaps: Array, grid: Any, periodic: bool) -> Array:
    shape = values.shape
    cells = grid.arrange(np.asarray(values, float).reshape(-1, *shape))[0]
    update = grid.arrange(gaps.reshape(-1, *shape))[0]
    return grid.restore(harmonic(cells, grid, update, periodic=periodic)[None])[0]


@checked_keywords(also=SEARCH)
def denoise(
    da: xr.DataArray,
    noise: xr.DataArray | float,
    J: int | None = None,
    L: int = 4,
    *,
    cross: bool = False,
    dim: Any = None,
    noise_dim: str | None = None,
    seed: int | None = None,
    tol: float = 0.7,
    **kwargs: Any,
) -> Any:
    r"""Find a field which, with noise added, has the statistics of a noisy field.

    The model: ``da = s + n``. The result u is such that the mean over realizations of the noise

    .. math:: \langle \Phi(u + n_i) \rangle_i = \Phi(d)

    in units of the scatter over i, which is what the noise of the data may have changed; S0, S1,
    ..., S4 weigh alike. The search begins with the data filtered so that each scale has the power
    that is left without the noise, and ends where the rms difference is *tol*. So the statistics of
    the result are those of s within their errors, and its values are close to s as far as the
    signal stands out. The mean square error is that of a Wiener filter at best; a Wiener filter
    loses power and structure.

    With ``cross=True`` the cross statistics with the data are constrained as well,

    .. math:: \langle \Phi^\times(u + n_i, u) \rangle_i = \Phi^\times(d, u),

    so that ``da - u`` is like noise, too, unrelated to u. The result is then a draw among the
    fields that may be s, farther from s than the other one is. Realizations differ; each begins
    with another realization of the noise.

    Parameters
    ----------
    da : DataArray
        Signal and noise.
    noise : DataArray or float
        Realizations of the noise along one dimension that *da* has not, on the same grid: ten are
        enough, and few give rough errors. Or the standard deviation of white noise, of which ten
        realizations are drawn. Each is used with both signs, so the noise should be as likely as
        its negative.
    J, L : int
        As in `synthesize`.
    cross : bool, default False
        Constrain the cross statistics of the data with the result.
    dim : str or (str, str), optional
        Dimension(s) of a line or plane.
    noise_dim : str, optional
        Dimension of the realizations, if it cannot be guessed.
    seed : int, optional
        Seed of white noise.
    tol : float, default 0.7
        Where to stop: 1 is what the noise of the data leaves at s itself, 0 would fit that noise.
    **kwargs
        ``statistics``, ``reduction``, ``realizations``, ``mask``, ``terms``, ``max_iter``,
        ``boundary``, ... as in `synthesize`. There is one level of resolution.

    Returns
    -------
    DataArray
        As from `synthesize`.

    Raises
    ------
    ValueError
        If the noise has no dimension of realizations or several that may be it, or an argument of
        `synthesize` has no meaning here.

    Examples
    --------
    >>> import numpy as np, xarray as xr, xscat
    >>> rng = np.random.default_rng(0)
    >>> s = xr.DataArray(rng.normal(size=(32, 32)).cumsum(0).cumsum(1), dims=("y", "x"))
    >>> noisy = s / s.std() + rng.normal(size=s.shape)
    >>> clean = noisy.scat.denoise(1.0, J=3, seed=1)
    >>> bool(abs(clean - s / s.std()).mean() < 0.6 * abs(noisy - s / s.std()).mean())
    True

    References
    ----------
    Regaldo-Saint Blancard, Allys, Boulanger, Levrier & Jeffrey 2021, *A new approach for the
    statistical denoising of Planck interstellar dust polarization data*, A&A 649, L18.
    Delouis, Allys, Gauvrit & Boulanger 2022, *Non-Gaussian modelling and statistical denoising of
    Planck dust polarisation full-sky maps using scattering transforms*, A&A 668, A122.
    """
    da = check_field(da)
    _refuse("denoise", _NOT_FOR_DENOISING, kwargs)
    checked_flag("cross", cross)
    noise = _checked_noise(noise)
    history = kwargs.pop("return_history", False)
    field, task, extras = grid_and_task(da, J, L, dim=dim, seed=seed, steps=1, tol=tol, **kwargs)
    if task.realizations > 1 and not cross:
        raise ValueError("without cross=True there is one result: realizations= would be the same")
    extras["initial"] = da
    std = None
    if isinstance(noise, xr.DataArray):
        extras["noise"] = check_field(noise, "noise")
    elif noise_dim is None:
        std = noise
    else:
        raise ValueError(f"noise_dim={noise_dim!r}, but noise={noise} is a number")
    task = replace(task, denoising=Denoising(std, cross))
    return mapped(da, field, extras, task, history, noise_dim)


def _refuse(function: str, wrong: set[str], given: Mapping[str, Any]) -> None:
    """Raise if there are arguments that have no meaning in a function."""
    if found := sorted(wrong & set(given)):
        raise ValueError(f"{', '.join(found)}: not for {function}()")


def _checked_noise(noise: Any) -> float | xr.DataArray:
    """Realizations, or the standard deviation of white noise."""
    if isinstance(noise, xr.DataArray):
        return checked_array("noise", noise)
    try:
        return checked_number("noise", noise)
    except TypeError:
        raise TypeError(
            f"noise={shown(noise)} must be the standard deviation of white noise, or a DataArray "
            "of realizations along a dimension that the field has not"
        ) from None


@checked_keywords(also=SEARCH)
def separate(
    mixture: xr.DataArray,
    components: Mapping[str, Any],
    J: int | None = None,
    L: int = 4,
    *,
    sigma: float | xr.DataArray | None = None,
    cross: str | None = "zero",
    **kwargs: Any,
) -> xr.Dataset:
    r"""Separate a sum of components by their statistics.

    The model: ``mixture = sum of components + noise``. The components :math:`u_a` minimize

    .. math:: \sum_a |\Phi(u_a) - \Phi(t_a)|^2 / \sigma_a^2
              + \sum_{a<b} |\Phi^\times(u_a, u_b) - \Phi^\times_{ab}|^2 / \sigma_{ab}^2

    each term a mean over the statistics in which S0, ..., S4 weigh alike. Here :math:`t_a` are
    their targets and the cross statistics S2, S3, S4 are zero or those of the targets, in units of
    their errors for unrelated fields of these powers. The search begins with what a Wiener filter
    gives.

    Components that look different are told apart. Those that differ in little, such as a texture
    from a Gaussian field of the same spectrum, are not closer to the truth than by a Wiener filter
    when their cross statistics vanish, but have the right power; ``cross=None`` is then closer.

    Parameters
    ----------
    mixture : DataArray
        Further dimensions are mapped over; with dask, lazily.
    components : mapping
        For each component a field with its statistics, or a term or list of terms
        (`xscat.terms`): `Statistics`, `Cross` with a template, `Pixels` as a prior of the values,
        ... Targets stand for the component's mean and variance, too.
    J, L : int
        As in `synthesize`.
    sigma : float or DataArray, optional
        Standard deviation of white noise in the mixture. Without it the sum of the components is
        the mixture exactly, as the last is what the others leave.
    cross : {"zero", "targets", None}
        What the cross statistics between components shall be: zero, or those between the fields
        given for their statistics. None: anything.
    **kwargs
        ``max_iter``, ``boundary``, ... as in `synthesize`; ``steps=1`` and ``tol=1`` are the
        defaults.

    Returns
    -------
    Dataset
        The components by name, on the grid of the mixture. When it is not lazy, its attributes say
        iterations, final loss and why the search ended, from the coarsest level to the finest.

    Raises
    ------
    ValueError
        If there are fewer than two components, an argument has no such value, or cross statistics
        of targets are wanted and a component has none.

    Examples
    --------
    >>> import numpy as np, xarray as xr, xscat
    >>> noise = np.random.default_rng(0).normal(size=(3, 32, 32))
    >>> rain = xr.DataArray(np.exp(noise[0].cumsum(0).cumsum(1) / 20), dims=("y", "x"))
    >>> white, like = (rain.copy(data=n) for n in noise[1:])
    >>> parts = xscat.separate(rain + white, {"rain": rain, "noise": like}, J=3, max_iter=30)
    >>> bool(abs(parts.rain - rain).mean() < 0.8 * abs(white).mean())
    True

    References
    ----------
    Delouis, Allys, Gauvrit & Boulanger 2022, A&A 668, A122; Auclair et al. 2024, *Separation of
    dust emission from the cosmic infrared background in Herschel observations with wavelet phase
    harmonics*, A&A 681, A1.
    """
    mixture = check_field(mixture, "mixture")
    if not isinstance(components, Mapping):
        raise TypeError(
            f"components={shown(components)} must map names to fields or terms, e.g. "
            "{'dust': dust, 'noise': noise}"
        )
    _refuse("separate", _NOT_FOR_SEPARATION, kwargs)
    if len(components) < 2:
        raise ValueError(f"components={list(components)}: a mixture has at least two")
    if cross is not None:
        check_choice("cross", cross, ("zero", "targets"))
    if sigma is not None and not isinstance(sigma, xr.DataArray):
        sigma = checked_number("sigma", sigma)
    terms = {name: _terms(name, wanted) for name, wanted in components.items()}
    for name, wanted in terms.items():
        if cross == "targets" and not any(isinstance(t, Statistics) for t in wanted):
            raise ValueError(f"cross='targets', but component {name!r} has no field as a target")
    _, task, _ = grid_and_task(mixture, J, L, **({"steps": 1, "tol": 1.0} | kwargs))
    frame, _ = frames(mixture, mixture, task)
    cells = list(frame.grid.dims)
    inputs: Inputs = {"mixture": (mixture.drop_vars(list(mixture.coords)), cells)}
    if isinstance(sigma, xr.DataArray):
        inputs["sigma"] = frame.aligned(sigma, "sigma"), cells
        sigma = None
    task = with_frame(task, [t for wanted in terms.values() for t in wanted], frame)
    bare: dict[str, Sequence[Any]] = {}
    for name, wanted in terms.items():
        bare[name], arrays = taken_out(wanted, frame, f"component {name!r}: ")
        inputs |= arrays
    dtype = mixture.dtype if mixture.dtype.kind == "f" else np.dtype("float64")
    solver = _Separation(bare, sigma, cross)
    fields, history = over_maps(solver, inputs, frame, task, len(terms), dtype)
    parts = {}
    for i, name in enumerate(terms):
        parts[name] = labelled(fields.isel({STACK: i}), mixture, frame, frame)
        parts[name].attrs = dict(mixture.attrs)
    return xr.Dataset(parts, attrs=found(history))


def _terms(name: Any, wanted: Any) -> tuple[Any, ...]:
    """Terms of a component."""
    if isinstance(wanted, xr.DataArray):
        return (Statistics(checked_array(f"component {name!r}", wanted)),)
    return checked_terms(f"components[{name!r}]", wanted)


@dataclass(frozen=True)
class _Separation:
    """The separation of one map from its arrays."""

    components: Mapping[str, Sequence[Any]]
    sigma: float | None
    cross: str | None

    def __call__(self, given: dict[str, Array], task: Any, number: int) -> tuple[Array, Any]:
        from .mixture import solve_mixture

        components = {name: put_back(terms, given) for name, terms in self.components.items()}
        sigma = given.get("sigma", self.sigma)
        return solve_mixture(given["mixture"], components, task, sigma, self.cross, number)

    def frozen(self, values: Array, given: dict[str, Array], task: Any) -> Array:
        """The components: all of their cells change."""
        return values
