"""Arguments of functions on fields: types, values, keywords; each error names the argument."""

import inspect
import pickle
import subprocess
import sys

import healpy
import numpy as np
import pytest
import torch
import xarray as xr

import xscat
from helpers import healpix, line, plane, sphere
from xscat import terms
from xscat.grids import find_grid
from xscat.synthesis.filling import closeness
from xscat.synthesis.harmonic import harmonic
from xscat.synthesis.multiscale import Level

NAN, INF = float("nan"), float("inf")
DA = plane(16, 16)
GAPPY = DA.where(DA.x > 4)
QUICK = {"J": 1, "seed": 1, "max_iter": 1, "progress": False}
STATS = DA.scat.covariance(1)

SEARCH = {
    "statistics": [None, 5, (), "S9", ["S1", "s2"], [None], DA],
    "tol": ["0.1", NAN, -1, None, True, INF],
    "terms": [None, 3, "Histogram", {"a": 1}, [3], [terms.Histogram], DA, [lambda: 0]],
    "max_iter": [1.5, 0, True, "9", None, 10**12, -3],
    "optimizer": ["adam", None, 3, torch.optim.LBFGS],
    "callback": [5, "print", lambda loss: None],
    "dtype": ["float16", 3, int],
    "boundary": ["periodical", 3, ["valid"]],
    "frame": ["meridain", 5, DA],
    "wavelet": ["haar", 3, xscat.Morlet],
    "progress": ["no", 1],
    "J": [0, -1, 2.5, True, "2", 99],
    "L": [0, -1, 2.5, True, "2", 10**6],
}
SYNTHESIS = {
    "seed": [-1, 1.5, "a", 10**30, True],
    "realizations": [0, 1.5, True, None, "2"],
    "reduction": ["iso", 3],
    "nharm": [-1, 1.5, "a"],
    "imaginary": [None, "no"],
    "mask": [np.ones((16, 16)), "all", STATS],
}
FIRST = [None, {}, "field", 3.0, np.ones((16, 16)), [1, 2], DA.to_dataset(name="sst"), DA + 1j]
FUNCTIONS = {
    "covariance": (
        lambda **k: xscat.covariance(DA, **k),
        {
            **{n: SEARCH[n] for n in ("statistics", "dtype", "boundary", "wavelet", "J", "L")},
            "frame": ["meridain", None, 5, np.ones((16, 16))],
            "exponent": ["a", NAN, 0, -1, INF, None, True],
            "average": ["mode", None, 3],
            "min_coverage": ["all", 0, 1.5, NAN, None],
            "max_delta_j": [-1, 1.5, "a", True],
            "variance": [None, "yes", 1],
            "spin": [3, "1", None, 1.0, True],
            "cross_modes": ["yes", None],
            "mask": SYNTHESIS["mask"],
            "region": [np.ones((16, 16)), "all", 3],
        },
    ),
    "cross": (
        lambda **k: xscat.cross(DA, **({"b": DA} | k)),
        {
            **{n: SEARCH[n] for n in ("statistics", "dtype", "boundary", "wavelet", "J", "L")},
            "b": [np.ones((16, 16)), "b", 3, {}],
            "variance": [None, "yes"],
            "exponent": ["a", 0],
        },
    ),
    "dominant_orientation": (
        lambda **k: xscat.dominant_orientation(DA, **({"j": 0} | k)),
        {"j": [-1, 1.5, "a", None, True, 9], "L": [2, 1.5, None, "a", 10**6], "dtype": [3]},
    ),
    "synthesize": (
        lambda **k: xscat.synthesize(DA, **(QUICK | k)),
        SEARCH
        | SYNTHESIS
        | {
            "steps": [0, 1.5, True, None],
            "upsample": [-1, 1.5, "a", 99],
            "match": ["all", None],
            "use_variance": [None, "a"],
            "gaussianize": [None, 3],
            "initial": [np.ones((16, 16)), 3, "noise"],
            "update": [np.ones((16, 16)), 3],
            "like": [DA.to_dataset(name="a"), 3],
        },
    ),
    "inpaint": (
        lambda **k: xscat.inpaint(GAPPY, **(QUICK | k)),
        SEARCH | SYNTHESIS | {"target": [3, "DA", np.ones(3)], "update": [np.ones((16, 16)), 3]},
    ),
    "denoise": (
        lambda **k: xscat.denoise(DA, **({"noise": 0.1} | QUICK | k)),
        SEARCH
        | SYNTHESIS
        | {
            "noise": [None, np.ones((3, 16, 16)), "a", NAN, -1, 0, True, DA + 1j],
            "noise_dim": ["time", 3],
            "cross": [None, "yes"],
        },
    ),
    "separate": (
        lambda **k: xscat.separate(DA, **({"components": {"a": DA, "b": DA.T}} | QUICK | k)),
        {n: v for n, v in SEARCH.items() if n not in ("statistics", "terms")}
        | {
            "components": [None, [DA, DA], {"a": DA}, {"a": DA, "b": None}, {"a": DA, "b": "c"}],
            "sigma": ["a", -1, NAN, 0, True, np.ones((16, 16))],
            "cross": ["none", False, 3],
        },
    ),
}
CASES = [
    (f, name, i)
    for f, (_, wrong) in FUNCTIONS.items()
    for name, values in wrong.items()
    for i in range(len(values))
]


@pytest.mark.parametrize(("function", "name", "number"), CASES)
def test_wrong_values_are_named(function, name, number):
    call, wrong = FUNCTIONS[function]
    with pytest.raises((TypeError, ValueError)) as caught:
        call(**{name: wrong[name][number]})
    assert name in str(caught.value), caught.value
    assert raised_by_xscat(caught), caught.value


def raised_by_xscat(caught):
    return "xscat" in str(caught.traceback[-1].path)


@pytest.mark.parametrize("value", range(len(FIRST)))
@pytest.mark.parametrize("function", [*FUNCTIONS, "gaussianize"])
def test_what_is_no_field(function, value):
    more = {"cross": [DA], "dominant_orientation": [0], "denoise": [0.1], "separate": [{}]}
    with pytest.raises((TypeError, ValueError)) as caught:
        getattr(xscat, function)(FIRST[value], *more.get(function, []))
    assert raised_by_xscat(caught), caught.value


def test_right_values_of_other_types():
    kwargs = QUICK | {"J": np.int64(1), "seed": np.int64(3), "max_iter": np.int32(2), "tol": 1}
    one = DA.scat.synthesize(terms=terms.Histogram(DA), statistics="S1", **kwargs)
    two = DA.scat.synthesize(terms=[terms.Histogram(DA)], statistics=["S1"], **kwargs)
    xr.testing.assert_identical(one, two)
    assert set(DA.scat.covariance(np.int64(1), np.int8(3), statistics="S1").data_vars) == {"S1"}
    assert terms.Statistics(DA, "S1").statistics == ("S1",)
    function = terms.Histogram(DA).__call__
    assert DA.scat.synthesize(terms=lambda f, c: function(f, c), **kwargs).notnull().all()


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: xscat.Morlet(sigma="a"), "sigma"),
        (lambda: xscat.Morlet(sigma=NAN), "sigma"),
        (lambda: xscat.Morlet(xi=INF), "xi"),
        (lambda: xscat.Morlet(xi=None), "xi"),
        (lambda: xscat.Morlet(slant=-1), "slant"),
        (lambda: xscat.Morlet(radius=2.5), "radius"),
        (lambda: xscat.Morlet(radius=True), "radius"),
        (lambda: xscat.Morlet(radius=5), "radius"),
        (lambda: xscat.Morlet(sgima=1), "'sigma'"),
        (lambda: xscat.Parameters(J=-1, L=4), "J"),
        (lambda: xscat.Parameters(J=True, L=4), "J"),
        (lambda: xscat.Parameters(J=2.5, L=4), "J"),
        (lambda: xscat.Parameters(J=2, L=10**6), "L"),
        (lambda: xscat.Parameters(J=2, L=4, frame="x"), "frame"),
        (lambda: xscat.Parameters(J=2, L=4, statistics=None), "statistics"),
        (lambda: xscat.Parameters(J=2, L=4, statistics=[3]), "statistics"),
        (lambda: xscat.Parameters(J=2, L=4, selected=((0, 1),)), "selected"),
        (lambda: xscat.Parameters(J=2, L=4, selected=((0, 1, 2),)), "selected"),
        (lambda: xscat.Parameters(J=2, L=4, selected=3), "selected"),
        (lambda: xscat.Parameters(J=2, L=4, selected="0,0,0"), "selected"),
        (lambda: xscat.Parameters(J=2, L=4, spin=3), "spin"),
        (lambda: xscat.Parameters(J=2, NORIENT=4), "'L'"),
        (lambda: terms.Pixels(DA, 0), "sigma of Pixels"),
        (lambda: terms.Pixels(DA, -1), "sigma"),
        (lambda: terms.Pixels(DA, NAN), "sigma"),
        (lambda: terms.Pixels(DA, "1"), "sigma"),
        (lambda: terms.Pixels(DA, 0 * DA), "sigma"),
        (lambda: terms.Pixels(DA, 1, mask=DA.values), "mask"),
        (lambda: terms.Pixels(DA.values, 1), "data"),
        (lambda: terms.Histogram(DA, sigma=0), "sigma"),
        (lambda: terms.Histogram(DA, weight=NAN), "weight"),
        (lambda: terms.Histogram(DA, weight=-1), "weight"),
        (lambda: terms.Histogram(None), "target"),
        (lambda: terms.PowerSpectrum(DA, sigma=INF), "sigma"),
        (lambda: terms.Statistics(DA, statistics=("S1", "S7")), "statistics"),
        (lambda: terms.Statistics(DA, reduction="iso"), "reduction"),
        (lambda: terms.Statistics(STATS), "target"),
        (lambda: terms.Cross(3), "template"),
        (lambda: terms.Cross(DA, nharm=-1), "nharm"),
        (lambda: terms.Noise(DA, None), "noise"),
        (lambda: terms.Noise(DA, DA, wieght=1), "'weight'"),
    ],
)
def test_what_is_made_of_wrong_values(make, word):
    with pytest.raises((TypeError, ValueError)) as caught:
        make()
    assert word in str(caught.value), caught.value
    assert raised_by_xscat(caught), caught.value


KEYWORDS = [
    ("covariance", "NORIENT", "L"),
    ("covariance", "Jmax", "J"),
    ("covariance", "KERNELSZ", "wavelet"),
    ("covariance", "statistic", "statistics"),
    ("covariance", "boundry", "boundary"),
    ("synthesize", "NUM_EPOCHS", "max_iter"),
    ("synthesize", "nstep", "max_iter"),
    ("synthesize", "realisations", "realizations"),
    ("inpaint", "maxiter", "max_iter"),
    ("inpaint", "Max_iter", "max_iter"),
    ("denoise", "noisedim", "noise_dim"),
    ("denoise", "optimiser", "optimizer"),
    ("separate", "component", "components"),
    ("separate", "sigmas", "sigma"),
    ("iso_mean", "nharmonics", None),
    ("fft_ang", "nharms", "nharm"),
    ("plot", "normalise", None),
]


@pytest.mark.parametrize(("function", "word", "meant"), KEYWORDS)
def test_unknown_keywords(function, word, meant):
    message = rf"^{function}\(\) has no argument '{word}'\."
    message += "" if meant is None else rf" Did you mean '{meant}'\?"
    with pytest.raises(TypeError, match=message):
        getattr(xscat, function)(DA, **{word: 1})
    owner = DA if hasattr(DA.scat, function) else STATS
    with pytest.raises(TypeError, match=message):
        getattr(owner.scat, function)(**{word: 1})


def test_words_that_stand_for_nothing():
    with pytest.raises(TypeError, match="'nside': the resolution is that of the cells"):
        DA.scat.covariance(nside=32)


def test_every_public_function_checks_its_keywords():
    functions = [getattr(xscat, n) for n in xscat.__all__ if inspect.isfunction(getattr(xscat, n))]
    assert len(functions) > 30
    for function in functions:
        if function is xscat.select:  # its keywords are names of dimensions
            continue
        with pytest.raises(TypeError, match=rf"^{function.__name__}\(\) has no argument 'qwxyz'"):
            function(DA, qwxyz=1)
        assert pickle.loads(pickle.dumps(function)) is function
        assert "qwxyz" not in inspect.signature(function).parameters
        assert function.__doc__


@pytest.mark.parametrize(
    ("function", "word"),
    [("denoise", "steps"), ("denoise", "upsample"), ("separate", "realizations")],
)
def test_arguments_that_mean_nothing_here(function, word):
    more = {"denoise": [0.1], "separate": [{"a": DA, "b": DA}]}
    with pytest.raises(ValueError, match=rf"{word}: not for {function}\(\)"):
        getattr(xscat, function)(DA, *more[function], **{word: 2})


@pytest.mark.parametrize("name", ["synthesize", "inpaint", "denoise", "separate"])
def test_frames_by_wrong_names(name):
    call, _ = FUNCTIONS[name]
    with pytest.raises(ValueError, match=r"frame='meridain'.*Did you mean 'meridian'"):
        call(frame="meridain")
    with pytest.raises(ValueError, match="Did you mean 'meridian'"):
        sphere(3).scat.synthesize(1, frame="meridain")


def test_statistics_in_a_frame_of_angles_make_no_field():
    stats = DA.scat.covariance(1, frame=0 * DA)
    with pytest.raises(ValueError, match="local frame of angles"):
        xscat.synthesize(stats, like=DA)


def around(values, gap, periodic):
    """Each cell of the gap minus the mean of its neighbors, by np.roll on a padded field."""
    x = np.pad(values, 1, mode="wrap") if periodic else np.pad(values, 1, constant_values=np.nan)
    axes = range(values.ndim)
    stack = np.stack([np.roll(x, s, a) for a in axes for s in (1, -1)])
    number = np.isfinite(stack).sum(0)
    inside = (slice(1, -1),) * values.ndim
    return (number * x - np.nansum(stack, 0))[inside][gap]


@pytest.mark.parametrize("da", [plane(12, 9), line(20)], ids=["plane", "line"])
@pytest.mark.parametrize("periodic", [True, False])
def test_gaps_at_a_border_are_filled_from_all_neighbors(da, periodic):
    gap = np.zeros(da.shape, bool)
    gap[-2:], gap[:1] = True, True
    values = np.where(gap, np.nan, da.values)
    grid = find_grid(da)
    filled = harmonic(values.ravel(), grid, periodic=periodic).reshape(da.shape)
    np.testing.assert_allclose(around(filled, gap, periodic), 0, atol=1e-12)


@pytest.mark.parametrize("da", [plane(24, 24), line(32)], ids=["plane", "line"])
def test_inpainting_commutes_with_translations_of_a_periodic_field(da):
    da = da.copy(data=np.log(da.values))
    gap = xr.zeros_like(da, dtype=bool)
    gap[{d: slice(10, 14) for d in da.dims}] = True
    shift = dict.fromkeys(da.dims, 12)  # the gap across the border
    kwargs = QUICK | {"boundary": "periodic", "tol": 1e6}  # the start alone, without its noise

    def start(da, gap):
        return smooth_start(da.where(~gap), kwargs)

    moved = start(da.roll(shift), gap.roll(shift))
    np.testing.assert_allclose(moved, start(da, gap).roll(shift), rtol=1e-10)
    weights = [closeness_of(g, kwargs) for g in (gap.roll(shift), gap)]
    np.testing.assert_allclose(weights[0], weights[1].roll(shift), atol=1e-4)


def smooth_start(gappy, kwargs):
    from xscat.synthesis.inverse import _harmonic

    gap = gappy.isnull().values
    return gappy.copy(data=_harmonic(gappy.values, gap, find_grid(gappy), periodic=True))


def closeness_of(gap, kwargs):
    grid = find_grid(gap.astype(float))
    level = Level(grid, xscat.Parameters(J=1, L=4 if grid.oriented else 1, boundary="periodic"))
    values = closeness(gap.values.ravel(), np.ones(gap.size, bool), level, 4.0)
    return gap.copy(data=values.reshape(gap.shape))


def test_gaps_across_the_faces_of_a_sphere():
    x, y, z = unit_vectors(4)
    truth = healpix(x + 2 * y - z, 4)  # the harmonic of degree 1 is smooth everywhere
    gap = (abs(x - 1) < 0.05) | (abs(z - 1) < 0.05)  # where faces meet
    filled = harmonic(np.where(gap, np.nan, truth.values), find_grid(truth))
    neighbors = healpy.get_all_neighbours(16, np.flatnonzero(gap), nest=True)
    assert (neighbors // 256 != np.flatnonzero(gap) // 256).any(0).mean() > 0.2  # other faces
    mean = np.where(neighbors >= 0, filled[neighbors], 0).sum(0) / (neighbors >= 0).sum(0)
    np.testing.assert_allclose(filled[gap], mean, atol=1e-12)


def unit_vectors(level):
    return np.stack(healpy.pix2vec(2**level, np.arange(12 * 4**level), nest=True))


BLOCKED = """
import sys
sys.modules["matplotlib"] = sys.modules["tqdm"] = sys.modules["tqdm.auto"] = None
import numpy as np, xarray as xr, xscat
da = xr.DataArray(np.random.default_rng(0).normal(size=(16, 16)), dims=("y", "x"))
for call in (da.scat.covariance(1).scat.plot, lambda: da.scat.synthesize(1, progress=True)):
    try:
        call()
    except ImportError as error:
        print(error)
assert da.scat.synthesize(1, max_iter=1).notnull().all()
"""


def test_extras_that_are_missing_are_named():
    result = subprocess.run(
        [sys.executable, "-c", BLOCKED], capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    plot, progress = result.stdout.splitlines()
    assert "pip install 'xscat[plot]'" in plot
    assert "tqdm" in progress
    assert "pip install 'xscat[tutorial]'" in progress
