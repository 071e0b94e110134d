"""Every kind of wrong input through every public function: right, or an error of xscat's own.

`ARGUMENTS` says of each argument of each function what kind it is, `WRONG` what is wrong for one.
An error must be raised by xscat itself, not by what it calls, and name the argument. What looks
wrong but has one meaning is in `RIGHT`, with what it must give.
"""

import functools
import inspect
import linecache
import pathlib
import traceback
import warnings

import dask
import numpy as np
import pytest
import xarray as xr
import xdggs

import xscat
from helpers import plane, sphere

HOME = pathlib.Path(xscat.__file__).parent
ERRORS = (TypeError, ValueError)
ATTRS = {"grid_name": "healpix", "level": 2, "indexing_scheme": "nested"}


def even(n=16, seed=0):
    """Plane with coordinates."""
    return plane(n, n, seed=seed, coords={"y": 1.0 * np.arange(n), "x": 1.0 * np.arange(n)})


def vectors():
    return xr.Dataset({"u": even(), "v": even(seed=1)})


@functools.cache
def stats(**kwargs):
    return even().scat.covariance(1, 4, boundary="periodic", **kwargs)


@functools.cache
def two_scales():
    return even(seed=3).scat.covariance(2, 4, boundary="periodic", variance=True)


@functools.cache
def ensemble():
    maps = xr.concat([even(seed=i) for i in range(3)], "time").assign_coords(time=range(3))
    return maps.scat.covariance(1, 2, boundary="periodic")


# What is wrong for each kind of argument; functions where a value is made at need.

BARE = xr.Dataset({"t": ("x", np.ones(3))})
OBJECTS = {
    "a dict": {"S1": 1},
    "a list": [1, 2],
    "text": "S1",
    "a number": 1.5,
    "an object": object(),
}
ARRAY = {"an array": np.ones((16, 16))}

FIELD = {
    "None": None,
    **OBJECTS,
    **ARRAY,
    "complex": lambda: even() * 1j,
    "objects": lambda: even().astype(object),
    "times": lambda: even().astype("datetime64[ns]"),
    "texts": lambda: even().astype(str),
    "integer dims": lambda: xr.DataArray(np.ones((16, 16)), dims=(0, 1)),
    "tuple dims": lambda: xr.DataArray(np.ones((16, 16)), dims=(("a", "b"), "x")),
    "twice a dim": lambda: _twice(),
    "a statistic": lambda: stats().S1.astype(complex),
}
GRID = {
    "one number": lambda: xr.DataArray(1.0),
    "no values": lambda: even()[:0],
    "one row": lambda: even()[:1],
    "chunked": lambda: even().chunk(y=8),
    "uneven": lambda: even()[[*range(8), 9, *range(11, 16)]].assign_coords(y=np.arange(14) ** 2),
    "a gap": lambda: even()[[*range(8), *range(9, 16)]],
    "unordered": lambda: even()[[1, 0, *range(2, 16)]],
    "repeated": lambda: even()[[0, 0, *range(2, 16)]],
    "missing label": lambda: even().assign_coords(x=[np.nan, *range(1, 16)]),
    "texts as labels": lambda: even().assign_coords(x=list("abcdefghijklmnop")),
    "booleans as labels": lambda: even().assign_coords(x=np.arange(16) > 7),
    "labels of two dims": lambda: _two_dimensional(),
    "two units": lambda: even().assign_coords(x=("x", range(16), {"units": "m"})),
    "bare sphere": lambda: xr.DataArray(np.ones(192), dims="pix"),
    "bare spheres": lambda: xr.DataArray(np.ones((2, 192)), dims=("time", "pix")),
    "bare cells": lambda: xr.DataArray(np.ones(20), dims="cells"),
    "undecoded": lambda: _cells(attrs={}),
    "undecoded, of CF": lambda: _cells("cell_index", {"standard_name": "healpix_index"}),
    "no level": lambda: _cells(attrs={"grid_name": "healpix"}),
    "other scheme": lambda: _cells(attrs={**ATTRS, "indexing_scheme": "nest"}),
    "wrong level": lambda: _cells(attrs={**ATTRS, "level": 1}),
    "deep level": lambda: _cells(attrs={**ATTRS, "level": 12}),
    "cells twice": lambda: _cells(ids=np.r_[0, 0, 2:192]),
    "cells as texts": lambda: _cells(ids=np.arange(192).astype(str)),
    "cells missing": lambda: _cells(ids=np.r_[np.nan, 1:192]),
    "cells beyond": lambda: _cells(ids=np.arange(192) + 1),
    "chunked cells": lambda: _cells().chunk(cells=96),
    "three dims": lambda: xr.DataArray(np.ones((8, 8, 8)), dims=("a", "b", "c")),
}
OTHER = {
    **OBJECTS,
    **ARRAY,
    "complex": FIELD["complex"],
    "texts": lambda: even().astype(str),
    "integer dims": FIELD["integer dims"],
    "other size": lambda: even(20)[:, 4:].assign_coords(x=even().x).drop_vars("y"),
    "other labels": lambda: even().assign_coords(x=np.arange(16) + 100.0),
    "other dims": lambda: even().rename(x="z"),
    "on a sphere": lambda: sphere(2),
    "a number without dims": lambda: xr.DataArray(1.0),
    "chunked": lambda: even().chunk(x=8),
}
WEIGHTS = OTHER | {
    "negative": lambda: -even(),
    "infinite": lambda: even().where(even() < 1, np.inf),
}
COUNT = {"zero": 0, "negative": -1, "fraction": 1.5, "text": "2", "a list": [1], "nan": np.nan}
INTEGER = {k: v for k, v in COUNT.items() if k != "zero"}
POSITIVE = {
    "zero": 0.0,
    "negative": -1.0,
    "nan": np.nan,
    "text": "1",
    "a list": [1.0],
    "infinite": np.inf,
}
CHOICE = {"misspelt": "meen", "a number": 3, "a list": ["mean"], "empty": "", "a dict": {}}
NAMES = {"unknown": ["S7"], "misspelt": ("S_2",), "a number": 3, "numbers": [1], "empty": ()}
DIM = {"unknown": "zz", "a number": 3, "twice": ("x", "x"), "three": ("y", "x", "z"), "empty": ()}
ALONG = {"unknown": "zz", "a number": 3, "a list": ["time"], "None": None}
STATISTICS = {
    **OBJECTS,
    "None": None,
    "an array": np.ones(3),
    "a field": even,
    "a statistic": lambda: stats().S1,
    "empty": xr.Dataset,
    "no statistics": BARE,
    "fields": vectors,
}
REFERENCE = {k: v for k, v in STATISTICS.items() if k != "None"}
FUNCTION = {"text": "all", "a number": 1, "a list": [1]}

WRONG = {
    "field": FIELD | GRID,
    "values": FIELD,
    "other": OTHER,
    "weights": WEIGHTS,
    "count": COUNT,
    "integer": INTEGER,
    "positive": POSITIVE,
    "tolerance": {k: v for k, v in POSITIVE.items() if k not in ("zero", "infinite")},
    "part": POSITIVE | {"too large": 1.5},
    "choice": CHOICE,
    "names": NAMES,
    "dim": DIM,
    "along": ALONG,
    "statistics": STATISTICS,
    "reference": REFERENCE,
    "function": FUNCTION,
    "flag": {},
    "wavelet": {"text": "haar", "a number": 2, "the class": xscat.Morlet},
    "frame": CHOICE | {k: v for k, v in OTHER.items() if k not in ("text", *CHOICE)},
    "dtype": {"half": "float16", "integer": "int32", "text": "double precision", "a number": 32},
    "device": {"misspelt": "cuad", "a number": 3, "not here": "mps"},
    "spin": {"three": 3, "text": "1", "negative": -1, "a list": [1]},
    "components": {"text": "uv", "one": ("u",), "three": ("u", "v", "w"), "a number": 1},
    "terms": {"a number": 3, "text": "Pixels", "not callable": [3], "None in a list": [None]},
    "J": COUNT | {"too large": 9},
    "L": COUNT | {"too large": 10**6},
    "seed": {"negative": -1, "text": "1", "fraction": 1.5, "a list": [1]},
    "noise": {"None": None, "text": "white", "an array": np.ones((2, 16, 16)), "negative": -1.0,
              "nan": np.nan, "no realizations": even,
              "one realization": lambda: even().expand_dims("n"),
              "other labels": lambda: OTHER["other labels"]().expand_dims(n=2)},
    "mixed": {"None": None, "a list": [1, 2], "one": lambda: {"a": even()}, "none": {},
              "text": "ab", "numbers": {"a": 1, "b": 2},
              "arrays": {"a": np.ones((16, 16)), "b": np.ones((16, 16))},
              "complex": lambda: {"a": even() * 1j, "b": even()},
              "other labels": lambda: {"a": OTHER["other labels"](), "b": even()},
              "on a sphere": lambda: {"a": sphere(2), "b": even()}},
    "sigma": {"text": "1", "negative": -1.0, "nan": np.nan, "a list": [1.0], "a dict": {}},
    "target": {k: v for k, v in (FIELD | OTHER).items() if k != "None"},
    "paths": FIELD | {"a field": even},
    "datasets": {"None": None, "numbers": [1, 2], "empty": [], "arrays": [np.ones(3)],
                 "fields": lambda: [even()], "no statistics": [BARE], "text": "S1",
                 "other kinds": lambda: [stats(), stats().scat.normalize()]},
    "label list": {"a number": 3, "none": [], "too many": list("abcde")},
}  # fmt: skip


def _noise():
    return xr.concat([even(seed=i) / 9 for i in (4, 5)], "n")


def _twice():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return xr.DataArray(np.ones((16, 16)), dims=("x", "x"))


def _two_dimensional():
    return even().drop_vars("x").assign_coords(x=(("y", "x"), even().values))


def _renamed(field):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return field.rename(cells="cell_ids")


def _cells(name="cell_ids", attrs=ATTRS, ids=None):
    ids = np.arange(192) if ids is None else ids
    values = np.random.default_rng(0).normal(size=len(ids))
    return xr.DataArray(values, dims="cells", coords={name: ("cells", ids, attrs)})


QUICK = {"J": 1, "L": 2, "boundary": "periodic"}
SEARCH = QUICK | {"max_iter": 1, "seed": 0, "progress": False, "statistics": ("S1", "S2")}
SHARED = {
    "J": "J", "L": "L", "dim": "dim", "statistics": "names", "boundary": "choice",
    "wavelet": "wavelet", "dtype": "dtype", "device": "device",
}  # fmt: skip
MEASURE = SHARED | {
    "mask": "weights", "region": "weights", "min_coverage": "part", "frame": "frame",
    "exponent": "positive", "average": "choice", "scales": "function", "max_delta_j": "integer",
    "variance": "flag",
}  # fmt: skip
SOLVE = {"max_iter": "count", "tol": "tolerance", "progress": "flag", "return_history": "flag"}
SYNTHESIS = SHARED | SOLVE | {
    "like": "reference", "frame": "choice", "mask": "weights", "steps": "count", "seed": "seed",
    "realizations": "count", "match": "choice", "reduction": "choice", "nharm": "integer",
    "imaginary": "flag", "use_variance": "flag", "gaussianize": "flag", "initial": "other",
    "update": "other", "cross_with": "other", "upsample": "integer", "terms": "terms",
    "optimizer": "choice", "callback": "function",
}  # fmt: skip
TURN = {"ds": "statistics", "repeat": "flag", "conjugate": "flag"}
HARMONICS = {
    "ds": "statistics", "nharm": "integer", "imaginary": "flag", "conjugate": "flag",
    "relative": "flag",
}  # fmt: skip

# function: what is right, and the kinds of the arguments
ARGUMENTS = {
    "covariance": (
        lambda: {"da": even(), **QUICK},
        {"da": "field", "reference": "reference", "spin": "spin", "component": "flag",
         "components": "components", "convention": "flag", "cross_modes": "flag"} | MEASURE,
    ),
    "cross": (
        lambda: {"a": even(), "b": even(seed=1), **QUICK},
        {"a": "field", "b": "other", "over": "along"} | MEASURE,
    ),
    "dominant_orientation": (
        lambda: {"da": even(), "j": 0, "L": 4, "boundary": "periodic"},
        {"da": "field", "j": "integer", "L": "L", "dim": "dim", "boundary": "choice",
         "wavelet": "wavelet", "dtype": "dtype", "device": "device"},
    ),
    "gaussianize": (lambda: {"da": even()}, {"da": "values"}),
    "synthesize": (lambda: {"target": even(), **SEARCH}, {"target": "field"} | SYNTHESIS),
    "inpaint": (
        lambda: {"da": even().where(even().x > 4), **SEARCH},
        {"da": "field", "target": "target"} | {k: SYNTHESIS[k] for k in
         ("J", "L", "update", "max_iter", "tol", "mask", "terms", "seed", "device", "frame")},
    ),
    "denoise": (
        lambda: {"da": even(), "noise": _noise(), **SEARCH},
        {"da": "field", "noise": "noise", "noise_dim": "along", "cross": "flag"}
        | {k: SYNTHESIS[k] for k in ("J", "L", "dim", "seed", "tol", "max_iter", "mask", "device")},
    ),
    "separate": (
        lambda: {"mixture": even(), "components": {"a": even(seed=1), "b": even(seed=2)},
                 **{k: v for k, v in SEARCH.items() if k != "statistics"}},
        {"mixture": "field", "components": "mixed", "sigma": "sigma", "cross": "choice"}
        | {k: SYNTHESIS[k] for k in ("J", "L", "seed", "tol", "max_iter", "device", "optimizer")},
    ),
    "iso_mean": (lambda: {"ds": stats()}, TURN),
    "iso_std": (lambda: {"ds": stats()}, TURN),
    "fft_ang": (lambda: {"ds": stats()}, HARMONICS),
    "fft_ang_sigma": (lambda: {"ds": stats(variance=True)}, HARMONICS),
    "amplitude": (lambda: {"ds": stats().scat.fft_ang()}, {"ds": "statistics"}),
    "phase": (lambda: {"ds": stats().scat.fft_ang()}, {"ds": "statistics", "part": "choice"}),
    "normalize": (
        lambda: {"ds": stats()}, {"ds": "statistics", "by": "choice", "reference": "reference"}
    ),
    "denormalize": (
        lambda: {"ds": stats().scat.normalize()}, {"ds": "statistics", "reference": "reference"}
    ),
    "log": (lambda: {"ds": stats()}, {"ds": "statistics"}),
    "distance": (
        lambda: {"ds": stats(), "other": stats()},
        {"ds": "statistics", "other": "statistics", "sigma": "sigma", "statistics": "names"},
    ),
    "significant": (
        lambda: {"ds": stats(variance=True)},
        {"ds": "statistics", "sigma": "sigma", "snr": "positive"},
    ),
    "select": (
        lambda: {"ds": stats()}, {"ds": "statistics", "mask": "reference", "statistics": "names"}
    ),
    "mean_over_scales": (lambda: {"ds": two_scales()}, {"ds": "statistics", "at": "choice"}),
    "scale_ft": (lambda: {"ds": two_scales()}, {"ds": "statistics"}),
    "interp_scales": (
        lambda: {"ds": two_scales(), "J": 3}, {"ds": "statistics", "J": "count", "side": "choice"}
    ),
    "std_over": (
        lambda: {"ds": ensemble(), "over": "time"}, {"ds": "statistics", "over": "along"}
    ),
    "covariance_of": (
        lambda: {"ds": ensemble(), "over": "time"},
        {"ds": "statistics", "over": "along", "statistics": "names", "dropna": "flag"},
    ),
    "concat_realizations": (
        lambda: {"datasets": [stats(), stats()]}, {"datasets": "datasets", "over": "flag"}
    ),
    "to_paths": (
        lambda: {"ds": stats()}, {"ds": "statistics", "statistics": "names", "dropna": "flag"}
    ),
    "from_paths": (lambda: {"paths": stats().scat.to_paths()}, {"paths": "paths"}),
    "to_vector": (
        lambda: {"ds": stats()}, {"ds": "statistics", "statistics": "names", "dropna": "flag"}
    ),
    "from_vector": (lambda: {"vector": stats().scat.to_vector()}, {"vector": "paths"}),
    "as_real": (lambda: {"ds": stats()}, {"ds": "statistics"}),
    "from_real": (lambda: {"ds": stats().scat.as_real()}, {"ds": "statistics"}),
    "plot": (
        lambda: {"ds": stats()},
        {"ds": "statistics", "other": "reference", "hue": "choice", "col": "choice",
         "labels": "label list", "imaginary": "flag"},
    ),
    "plot_residuals": (
        lambda: {"a": stats(), "b": stats(), "sigma": 1.0},
        {"a": "statistics", "b": "statistics", "sigma": "sigma", "hue": "choice", "col": "choice",
         "imaginary": "flag"},
    ),
    "set_options": (
        lambda: {},
        {"device": "device", "dtype": "dtype", "threads": "count", "memory": "count"},
    ),
    "Morlet": (
        lambda: {},
        {"sigma": "positive", "xi": "positive", "slant": "positive", "radius": "count"},
    ),
    "Parameters": (
        lambda: {"J": 1, "L": 2},
        {"J": "count", "L": "L", "boundary": "choice", "frame": "choice", "wavelet": "wavelet",
         "min_coverage": "part", "exponent": "positive", "average": "choice",
         "statistics": "names", "spin": "spin"},
    ),
    "terms.Statistics": (
        lambda: {"target": even(seed=2)},
        {"target": "other", "statistics": "names", "weight": "sigma", "reduction": "choice"},
    ),
    "terms.Cross": (
        lambda: {"template": even(seed=2)},
        {"template": "other", "target": "other", "statistics": "names", "weight": "sigma"},
    ),
    "terms.Pixels": (
        lambda: {"data": even(seed=2), "sigma": 1.0},
        {"data": "other", "sigma": "positive", "mask": "weights", "weight": "sigma"},
    ),
    "terms.PowerSpectrum": (
        lambda: {"target": even(seed=2)},
        {"target": "other", "sigma": "positive", "weight": "sigma"},
    ),
    "terms.Histogram": (
        lambda: {"target": even(seed=2)},
        {"target": "other", "sigma": "positive", "weight": "sigma"},
    ),
}  # fmt: skip

# What has no name in a message: the field, its dimensions and coordinates.
GRID_WORDS = ["field", "dimension", "coordinate", "cell_ids", "cells"]

# What a message may call an argument, beside its name.
ALSO = {
    "da": GRID_WORDS, "a": ["statistic", "Dataset", *GRID_WORDS], "target": GRID_WORDS,
    "mixture": GRID_WORDS,
    "ds": ["statistic", "Dataset"], "datasets": ["statistic", "Dataset"],
    "paths": ["path", "DataArray"], "vector": ["path", "vector", "DataArray"],
    "over": ["dimension"], "components": ["component"], "statistics": ["statistic"],
    "j": ["J", "scale"],
}  # fmt: skip


def function_of(name):
    return functools.reduce(getattr, name.split("."), xscat)


def call(name, **changes):
    """The function with right arguments but for the changes; a term within a synthesis."""
    arguments = {**ARGUMENTS[name][0](), **changes}
    if name == "set_options":
        with xscat.set_options(**arguments):
            return None
    if not name.startswith("terms."):
        return function_of(name)(**arguments)
    term = function_of(name)(**arguments)
    return xscat.synthesize(even(), terms=[term], **SEARCH)


def wrong_values():
    """(function, argument, what is wrong) of all wrong values."""
    for name, (_, arguments) in ARGUMENTS.items():
        for argument, kind in arguments.items():
            yield from ((name, argument, what) for what in WRONG[kind])


def wrong_keywords():
    """(function, misspelt keyword, keyword) of all arguments that can be given by name."""
    for name, (_, arguments) in ARGUMENTS.items():
        for argument in arguments:
            if (
                len(argument) > 3
                and argument[-1] != argument[-2]
                and argument not in ("mixture", "paths", "vector", "datasets")
            ):
                yield name, argument[:-2] + argument[-1] + argument[-2], argument


def misspelt(function):
    """Whether a function is left out: its keywords are labels, or it has none."""
    return function in ("select",)


NO_FAULT = {
    # without these the argument is not given
    ("denoise", "noise_dim", "None"),
    # not given, or given with what makes it right
    ("cross", "over", "None"),
}
CASES = sorted(set(wrong_values()) - NO_FAULT)
KEYWORDS = [case for case in wrong_keywords() if not misspelt(case[0])]


def fault(action, words):
    """What is wrong with the error of an action; None if it is as it should be."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = action()
            if isinstance(result, xr.DataArray | xr.Dataset):
                result.load()
    except Exception as error:
        *_, (frame, number) = traceback.walk_tb(error.__traceback__)
        path = pathlib.Path(frame.f_code.co_filename)
        own = HOME in path.parents and linecache.getline(str(path), number).strip().startswith(
            "raise"
        )
        message = f"{type(error).__name__}: {error}"
        if not own or not isinstance(error, ERRORS):
            return f"foreign ({path.name}:{number}): {message}"
        if not any(word in message for word in words):
            return f"does not name {' or '.join(words)}: {message}"
        return None
    return "accepted without a word"


@pytest.mark.parametrize(("name", "argument", "what"), CASES)
def test_wrong_value(name, argument, what):
    value = WRONG[ARGUMENTS[name][1][argument]][what]
    value = value() if inspect.isfunction(value) or value is even or value is xr.Dataset else value
    found = fault(lambda: call(name, **{argument: value}), [argument, *ALSO.get(argument, [])])
    assert found is None, found


@pytest.mark.parametrize(("name", "wrong", "right"), KEYWORDS)
def test_misspelt_keyword(name, wrong, right):
    given = {wrong: 1}
    found = fault(lambda: call(name, **given), [repr(right), repr(right[:-1])])
    assert found is None, found


def test_every_function_and_argument_is_tried():
    left_out = {"DataArrayScat", "DatasetScat", "GridError", "Wavelet", "terms", "tutorial"}
    assert set(xscat.__all__) - left_out <= set(ARGUMENTS)
    for name, (_, arguments) in ARGUMENTS.items():
        for parameter in inspect.signature(function_of(name)).parameters.values():
            named = parameter.kind is not parameter.VAR_KEYWORD
            assert not named or parameter.name in arguments or name in PARTLY, (name, parameter)


# those that take what `synthesize` takes, and those that are made of fields of a class
PARTLY = {"Parameters", "inpaint", "denoise", "separate", "set_options"}
PARTLY |= {name for name in ARGUMENTS if name.startswith("terms.")}


def test_methods_are_the_functions():
    for accessor in (xscat.DataArrayScat, xscat.DatasetScat):
        for name in filter(lambda n: n[0] != "_", vars(accessor)):
            ours = inspect.signature(getattr(accessor, name)).parameters
            theirs = inspect.signature(function_of(name)).parameters
            assert list(ours)[1:] == list(theirs)[1:]


def test_count():
    count = len(CASES) + len(KEYWORDS) + len(RIGHT)
    print(f"{count} wrong inputs")
    assert count >= 600


# What looks wrong and is right: the field or argument, and the field that it must be like.


def _with(value, where=slice(3, 5)):
    field = even()
    field[where, where] = value
    return field


def _read_only():
    field = even()
    field.values.flags.writeable = False
    return field


def _decoded(field):
    return field.pipe(xdggs.decode)


RIGHT = {
    "big-endian": (lambda: even().astype(">f8"), even),
    "read-only": (_read_only, even),
    "not contiguous": (lambda: even().copy(data=np.asfortranarray(even().values)), even),
    "transposed": (lambda: even().T, even),
    "lazy": (lambda: even().chunk(), even),
    "long": (lambda: even().astype("longdouble"), even),
    "integers": (
        lambda: (10 * even()).astype("int16"), lambda: (10 * even()).astype("int16").astype(float)
    ),
    "booleans": (lambda: even() > 1, lambda: (even() > 1) * 1.0),
    "UNSEEN": (lambda: _with(-1.6375e30), lambda: _with(np.nan)),
    "infinite": (lambda: _with(np.inf), lambda: _with(np.nan)),
    "fill of netCDF": (lambda: _with(9.969209968386869e36), lambda: _with(np.nan)),
    "missing_value": (
        lambda: _with(-999.0).assign_attrs(missing_value=-999.0), lambda: _with(np.nan)
    ),
    "_FillValue": (lambda: _with(-999.0).assign_attrs(_FillValue=[-999.0]), lambda: _with(np.nan)),
    "text as fill": (lambda: even().assign_attrs(missing_value="none"), even),
    "curvilinear": (
        lambda: even().drop_vars(["x", "y"]).assign_coords(lat=(("y", "x"), even().values)), even
    ),
    "dask-backed coordinate": (
        lambda: even().assign_coords(lat=("y", dask.array.ones(16))), even
    ),
    "renamed cells": (
        lambda: _renamed(_decoded(_cells())), lambda: _decoded(_cells())
    ),
    "cells without index": (_cells, lambda: _decoded(_cells())),
    "cells as whole floats": (
        lambda: _cells(ids=np.arange(192.0)), lambda: _decoded(_cells())
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", RIGHT)
@pytest.mark.parametrize("name", ["covariance", "cross", "dominant_orientation", "synthesize"])
def test_what_is_right(name, case):
    mine, expected = (make() for make in RIGHT[case])
    first = next(iter(ARGUMENTS[name][1]))
    both = []
    for field in (mine, expected):
        fields = {first: field} | ({"b": field} if name == "cross" else {})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            both.append(call(name, **fields))
    found, wanted = both
    if isinstance(found, xr.DataArray):
        found, wanted = found.to_dataset(name="f"), wanted.to_dataset(name="f")
    for variable in wanted.data_vars:
        dims = [d for d in wanted[variable].dims if d in found[variable].dims]
        values = found[variable].transpose(*dims, ...).values
        np.testing.assert_allclose(values, wanted[variable].values, rtol=1e-10, atol=1e-12)
