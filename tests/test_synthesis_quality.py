"""Synthesis against statistics that it was not asked for: spectrum, histogram, morphology."""

from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import pytest
import xarray as xr

import quality
import xscat

SEEDS = range(1, 6)
SPECTRUM, SPECTRUM_ASKED_FOR, QUANTILES, RESIDUAL = 0.08, 0.03, 0.06, 0.1
MINKOWSKI = 2.0
"""In units of the scatter, from five fields: of independent draws one in ten has more somewhere."""


# What is not reached, with what was measured over five seeds.
LOWER_EDGE = (
    "4.2, 1.5, 2.4 scatters off on a plane, 0.8, 0.8, 2.1 on the sphere: log-normal values end "
    "sharply at the lower side, which the statistics do not fix"
)
LONG_WAVES = "0.12 σ off: the few waves longer than the last scale shape the histogram"


SMALL_FIELD = "0.097 to 0.110, by seed: 64 x 64 cells with a border hardly bear three scales"


def except_for(reason, *names, of):
    """All of these cases, those with the given names expected to fail."""
    mark = pytest.mark.xfail(reason=reason, strict=False)
    return [pytest.param(name, marks=mark) if name in names else name for name in of]


@dataclass(frozen=True)
class Case:
    """A target; which proofs hold for it."""

    field: partial
    periodic: bool = False
    small: bool = True
    """Whether its structures are much smaller than the field."""

    @property
    def kwargs(self):
        return {"boundary": "periodic" if self.periodic else "valid", "progress": False}


CASES = {
    "log-normal": Case(partial(quality.lognormal, 128), periodic=True),
    "turbulence": Case(partial(quality.turbulence, 128), periodic=True),
    "log-normal sphere": Case(partial(quality.lognormal_sphere, 5)),
    "elevation": Case(partial(quality.dem, 128), small=False),
    "brightness": Case(partial(quality.brightness, 128), small=False),
    "SST": Case(partial(quality.sst, 5), small=False),
}
GENERATED = [name for name, case in CASES.items() if case.small]


@cache
def synthetic(name, with_spectrum=False):
    """Target and five synthetic fields; with the power spectrum asked for, two."""
    case = CASES[name]
    target = case.field()
    terms = [xscat.terms.PowerSpectrum(target)] if with_spectrum else []
    seeds = SEEDS[:2] if with_spectrum else SEEDS
    return target, [target.scat.synthesize(seed=s, terms=terms, **case.kwargs) for s in seeds]


@cache
def draws(name):
    """Ten other fields of the generator of a target, if it was generated."""
    field = CASES[name].field
    if not CASES[name].small:
        return None
    return [field.func(*field.args, seed) for seed in range(11, 21)]


def correlations(fields):
    """|r| of all pairs of different fields."""
    values = np.stack([np.ravel(f) for f in fields])
    r = np.corrcoef(values[:, np.isfinite(values).all(0)])
    return abs(r[np.triu_indices(len(r), 1)])


@pytest.mark.long
@pytest.mark.parametrize("name", CASES)
def test_spectrum(name):
    target, fields = synthetic(name)
    error = quality.spectrum_error(fields, target, CASES[name].periodic)
    assert quality.rms(error) < SPECTRUM, error.round(2)


@pytest.mark.long
@pytest.mark.parametrize("name", CASES)
def test_spectrum_that_was_asked_for(name):
    target, fields = synthetic(name, with_spectrum=True)
    error = quality.spectrum_error(fields, target, CASES[name].periodic)
    assert quality.rms(error) < SPECTRUM_ASKED_FOR, error.round(2)


@pytest.mark.long
@pytest.mark.parametrize("name", except_for(LONG_WAVES, "brightness", of=CASES))
def test_quantiles(name):
    target, fields = synthetic(name)
    error = quality.quantile_error(fields, target)
    assert quality.rms(error) < QUANTILES, error[:, 9::10].round(2)


@pytest.mark.long
@pytest.mark.parametrize(
    "name", except_for(LOWER_EDGE, "log-normal", "log-normal sphere", of=CASES)
)
def test_minkowski_functionals(name):
    target, fields = synthetic(name)
    ratio = quality.minkowski_error(fields, target, CASES[name].periodic, draws(name))
    assert ratio.max() < MINKOWSKI, ratio.round(2)


@pytest.mark.long
@pytest.mark.parametrize("name", GENERATED)
def test_seeds_are_independent(name):
    target, fields = synthetic(name)
    assert correlations([target, *fields]).max() < 0.1


TUTORIAL = {
    "elevation 64": partial(quality.dem, 64),
    "elevation 128": partial(quality.dem, 128),
    "elevation 256": partial(quality.dem, 256),
    "brightness 64": partial(quality.brightness, 64),
    "brightness 128": partial(quality.brightness, 128),
    "SST nside 32": partial(quality.sst, 5),
    "SST nside 64": partial(quality.sst, 6),
}


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:no valid coefficient")
@pytest.mark.parametrize("name", except_for(SMALL_FIELD, "elevation 64", of=TUTORIAL))
def test_residual(name):
    target = TUTORIAL[name]()
    new, history = target.scat.synthesize(seed=1, max_iter=300, progress=False, return_history=True)
    found = quality.residual(new, target, xscat.Parameters.from_attrs(history))
    said = np.sqrt(new.attrs["final_loss"][-1])
    assert max(found, said) < RESIDUAL, (found, said, new.attrs["iterations"])


# The same in small, and what the measures are worth


@pytest.mark.parametrize("field", [quality.lognormal, quality.turbulence])
def test_small_fields(field):
    target = field(64)
    new, history = target.scat.synthesize(
        seed=1, boundary="periodic", tol=0.5 * RESIDUAL, progress=False, return_history=True
    )
    found = quality.residual(new, target, xscat.Parameters.from_attrs(history))
    np.testing.assert_allclose(found, np.sqrt(new.attrs["final_loss"][-1]), rtol=0.05)
    assert found < RESIDUAL
    assert quality.rms(quality.spectrum_error([new], target, periodic=True)) < SPECTRUM
    assert quality.rms(quality.quantile_error([new], target)) < QUANTILES
    assert correlations([target, new]).max() < 0.2


@pytest.mark.parametrize(
    "name", ["log-normal", pytest.param("turbulence", marks=pytest.mark.long), "log-normal sphere"]
)
def test_gaussian_fields_fail_and_further_draws_do_not(name):
    periodic, field = CASES[name].periodic, CASES[name].field
    target = field()
    gaussian = [quality.gaussian_like(target, periodic, seed) for seed in SEEDS]
    assert quality.rms(quality.spectrum_error(gaussian, target, periodic)) < 0.01
    assert quality.rms(quality.quantile_error(gaussian, target)) > QUANTILES
    assert quality.minkowski_error(gaussian, target, periodic).min() > 1.5 * MINKOWSKI
    assert quality.minkowski_error(gaussian, target, periodic, draws(name)).min() > MINKOWSKI
    further = [field.func(*field.args, seed) for seed in SEEDS]
    assert quality.minkowski_error(further, target, periodic, draws(name)).max() < MINKOWSKI


def test_minkowski_functionals_of_known_shapes():
    square = np.zeros((8, 8))
    square[1:3, 1:3] = square[5, 5] = 1

    def found(x, periodic):
        return (64 * quality.minkowski(xr.DataArray(x, dims=("y", "x")), [0.5], periodic)).ravel()

    np.testing.assert_allclose(found(square, True), [5, 12, 2])
    np.testing.assert_allclose(found(1 - square, True), [59, 12, -2])
    np.testing.assert_allclose(found(1 - square, False), [59, 12, -1])
    ball = quality.lognormal_sphere(3)
    np.testing.assert_allclose(768 * quality.minkowski(ball, [-1])[:, 0], [768, 0, 2])
    cap = xr.zeros_like(ball)
    cap[0] = 1
    np.testing.assert_allclose(768 * quality.minkowski(cap, [0.5])[:, 0], [1, 4, 1])
