"""Statistics know no offsets and no units: a I + b has those of I times powers of a."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from helpers import assert_same, healpix, line, plane, sphere_texture
from xscat.units import standardized

HALF = np.arange(12 * 4**3) < 6 * 4**3 * 1.5
KINDS = {
    "line": (line(160), {}),
    "plane": (plane(40, 32), {}),
    "periodic": (plane(40, 32), {"boundary": "periodic"}),
    "sphere": (healpix(sphere_texture(3), 3), {}),
    "part of a sphere": (healpix(sphere_texture(3)[HALF], 3, np.flatnonzero(HALF)), {}),
}
NAMES = ("S1", "S2", "S3", "S4")


def in_other_units(stats, a, exponent=1.0):
    """The statistics that a times the field should have, S0 left out."""
    powers = {"S1": exponent, "S2": 2, "S3": 1 + exponent, "S4": 2 * exponent}
    factors = {n: a ** powers[n.removesuffix("_std")] for n in stats if n != "S0"}
    return stats.drop_vars("S0", errors="ignore").assign(
        {n: stats[n] * f for n, f in factors.items()}
    )


@pytest.mark.parametrize("a", [1.0, 1e-22, 1e12, 1e20, 1e28, 1e-30])
@pytest.mark.parametrize("kind", KINDS)
def test_units_in_single_precision(kind, a):
    da, options = KINDS[kind]
    f = (a * da).astype("float32")
    stats = f.scat.covariance(2, 2, variance=True, **options)
    expected = da.astype("float32").scat.covariance(2, 2, variance=True, **options)
    expected = in_other_units(expected, a)
    assert_same(stats, expected, tol=1e-5, names=NAMES)
    for name in (f"{n}_std" for n in NAMES):
        size = float(np.abs(expected[name]).max())
        np.testing.assert_allclose(stats[name], expected[name], rtol=1e-4, atol=1e-5 * size)
    double = f.astype(float)
    np.testing.assert_allclose(stats.S0, [double.mean(), double.var()], rtol=1e-12)
    assert {v.dtype.itemsize for v in stats.values()} == {8, 16}


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("a", [1e-70, 1e28])
@pytest.mark.parametrize("kind", KINDS)
def test_units_in_double_precision(kind, a, exponent):
    da, options = KINDS[kind]
    options = {"exponent": exponent, "J": 2, "L": 2} | options
    stats = (a * da).scat.covariance(**options)
    expected = in_other_units(da.scat.covariance(**options), a, exponent)
    for name, variable in expected.items():
        size = float(np.abs(variable).max())
        np.testing.assert_allclose(stats[name], variable, rtol=1e-9, atol=1e-12 * size)


@pytest.mark.parametrize("a", [1e-150])
def test_units_at_the_limit_of_double_precision(a):
    da, options = KINDS["periodic"]
    stats = (a * da).scat.covariance(2, 2, variance=True, **options)
    expected = da.scat.covariance(2, 2, variance=True, **options)
    np.testing.assert_allclose(np.abs(stats.S4) / a / a, np.abs(expected.S4), rtol=1e-6)
    np.testing.assert_allclose(stats.S4_std / a / a, expected.S4_std, rtol=1e-6)


@pytest.mark.parametrize("a", [1e-200])
def test_what_double_precision_does_not_hold_is_told(a):
    da, options = KINDS["periodic"]
    with pytest.warns(UserWarning, match="S[234] of .* leaves double precision: .* field / 1e"):
        (a * da).scat.covariance(2, 2, **options)


@pytest.mark.parametrize("kind", KINDS)
def test_offsets_in_single_precision(kind):
    da, options = KINDS[kind]
    # values that single precision holds with and without the offset
    da = (np.round(da * 16) / 16).astype("float32")
    stats = da.scat.covariance(2, 2, **options)
    shifted = (da + np.float32(101325)).scat.covariance(2, 2, **options)
    assert_same(shifted, stats, tol=1e-5, names=NAMES)
    np.testing.assert_allclose(shifted.S0[1], da.astype(float).var(), rtol=1e-6)
    np.testing.assert_allclose(shifted.S0[0], da.astype(float).mean() + 101325, rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_medians_of_single_precision(kind):
    da, options = KINDS[kind]
    options = {"J": 1, "L": 2, "average": "median"} | options
    da = (np.round(da * 16) / 16).astype("float32")
    expected = in_other_units(da.scat.covariance(**options), 2.0**66)
    shifted = (2.0**66 * (da.astype(float) + 4096)).astype("float32").scat.covariance(**options)
    assert_same(shifted, expected, tol=1e-4, names=NAMES)


@pytest.mark.parametrize("kind", KINDS)
def test_single_is_double(kind):
    da, options = KINDS[kind]
    single = (1000 + da).astype("float32")
    stats = single.scat.covariance(2, 2, **options)
    double = single.scat.covariance(2, 2, dtype="float64", **options)
    assert_same(stats, double, tol=1e-5)
    np.testing.assert_array_equal(stats.S0, double.S0)


@pytest.mark.parametrize("n", [64, 512])
def test_mean_and_variance_of_a_pressure(n):
    rng = np.random.default_rng(0)
    x = (101325 + 0.3 * rng.normal(size=(n, n))).astype("float32")
    s = xr.DataArray(x, dims=("y", "x")).scat.covariance(1, statistics=["S0"]).S0
    np.testing.assert_allclose(s, [x.astype(float).mean(), x.astype(float).var()], rtol=1e-9)


@pytest.mark.parametrize("kind", ["periodic", "sphere"])
def test_each_of_two_fields_has_its_units(kind):
    a, options = KINDS[kind]
    b = a.copy(data=np.roll(a.values, 5)) + 0.3 * a
    options = {"J": 2, "L": 2, "variance": True, "exponent": 2.0} | options
    x, y = 1e-20, 1e15
    expected = a.scat.cross(b, **options)
    stats = (x * a).astype("float32").scat.cross((y * (b + 99)).astype("float32"), **options)
    powers = {"S2": x * y, "S3": x * y**2, "S3P": y * x**2, "S4": (x * y) ** 2}
    for name, factor in powers.items():
        for n in (name, f"{name}_std"):
            size = float(np.abs(expected[n]).max())
            np.testing.assert_allclose(stats[n] / factor, expected[n], rtol=1e-3, atol=1e-4 * size)
    auto = stats.S2_auto / xr.DataArray([x**2, y**2], dims="field")
    np.testing.assert_allclose(auto.transpose(*expected.S2_auto.dims), expected.S2_auto, rtol=1e-4)
    pair = xr.concat([x * a, y * b], "n").scat.cross(over="n", **options)
    np.testing.assert_allclose(pair.S4[0, 1] / (x * y) ** 2, expected.S4, rtol=1e-7)


@pytest.mark.parametrize("kind", ["periodic", "sphere"])
def test_units_of_spin_fields(kind):
    a, options = KINDS[kind]
    field = xr.Dataset({"u": a, "v": 1e-3 * a.copy(data=np.roll(a.values, 5))})
    options = {"J": 1, "L": 2, "spin": 1} | options
    expected = in_other_units(field.scat.covariance(**options), 1e-22)
    stats = (1e-22 * field).astype("float32").scat.covariance(**options)
    for name, variable in expected.items():
        size = float(np.abs(variable).max())
        np.testing.assert_allclose(stats[name], variable, rtol=1e-4, atol=1e-5 * size)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [0.0, 101325.3, -1e-30])
def test_constant_fields(kind, value):
    da, options = KINDS[kind]
    stats = da.copy(data=np.full(da.shape, value)).scat.covariance(1, 2, **options)
    np.testing.assert_allclose(stats.S0, [value, 0])
    assert (stats.S1 == 0).all()
    assert (np.abs(stats.S4.dropna("j1", how="all")) == 0).all()


@pytest.mark.parametrize("dtype", ["int16", "uint8", "int64", ">f4", "float16"])
def test_dtypes_are_converted_in_double_precision(dtype):
    da = plane(32, 32).clip(0, 6)
    big = 2**40 if dtype == "int64" else 0
    x = (da * 30).astype(dtype) + np.array(big, dtype=dtype if dtype[0] != ">" else "f4")
    expected = (x.astype(float) - big).scat.covariance(1, 2)
    stats = x.scat.covariance(1, 2, dtype="float64")
    assert_same(stats.drop_vars("S0"), expected.drop_vars("S0"), tol=1e-9)


@pytest.mark.parametrize("chunks", [None, {"time": 1}])
def test_results_are_double_lazy_or_not(chunks):
    da = xr.concat([plane(24, 24), plane(24, 24, seed=1)], "time").astype("float32")
    stats = (da if chunks is None else da.chunk(chunks)).scat.covariance(1, 2)
    for s in (stats, stats.compute()):
        assert {str(v.dtype) for v in s.values()} == {"float64", "complex128"}


def test_directions_know_no_offset():
    x = np.arange(48)
    da = xr.DataArray(np.sin(0.9 * x + 0.5 * x[:, None]), dims=("y", "x"))
    da = (np.round(da * 256) / 256).astype("float32")
    expected = da.scat.dominant_orientation(0)
    for a, b in ((1, 8192), (1e-25, 0)):
        other = (a * da + np.float32(b)).astype("float32").scat.dominant_orientation(0)
        np.testing.assert_allclose(other, expected, atol=1e-3)


@settings(max_examples=12, phases=[Phase.explicit, Phase.generate])
@given(
    kind=st.sampled_from(sorted(KINDS)),
    power=st.integers(-40, 20),
    sign=st.sampled_from([-1, 1]),
    offset=st.integers(-8, 8),
)
def test_any_unit_and_any_offset(kind, power, sign, offset):
    """Over 60 orders of magnitude, offsets up to 1e8 times the scatter."""
    da, options = KINDS[kind]
    b = 0.0 if not offset else float(np.sign(offset) * 10.0 ** abs(offset))
    f = (da + b) * sign * 10.0**power
    stats = f.scat.covariance(1, 2, **options)
    expected = in_other_units(da.scat.covariance(1, 2, **options), 10.0**power)
    expected["S3"] = sign * expected.S3
    assert_same(stats, expected, tol=1e-5, names=NAMES)


def test_missing_values_do_not_count():
    rng = np.random.default_rng(0)
    x, w = 5 + rng.normal(size=(1, 1, 100)), rng.random(100) * (rng.random(100) < 0.5)
    found = standardized(np.where(w > 0, x, np.nan), w)
    mean = np.average(x[0, 0], weights=w)
    variance = np.average((x[0, 0] - mean) ** 2, weights=w)
    np.testing.assert_allclose(found.S0[0, 0], [mean, variance])
    assert (found.fields[..., w == 0] == 0).all()
    back = found.fields[..., w > 0] * 2.0 ** found.exponent[..., None] + mean
    np.testing.assert_allclose(back, x[..., w > 0], rtol=1e-14)
