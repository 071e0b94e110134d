"""Reductions over orientation: against the definitions, under rotations, and for errors."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import direct
from xscat.reductions import amplitude, fft_ang, fft_ang_sigma, iso_mean, iso_std, phase

J = 3


@pytest.fixture(scope="module", params=[4, 6, 8])
def pair(request):
    """Statistics of a plane and of the plane turned by 90 degrees."""
    plane = direct.field(request.param)
    L = request.param
    return direct.statistics(plane, J, L), direct.statistics(direct.turned(plane), J, L)


def by_definition(L, seed=0):
    """S3, S4 by (l1, dl12[, dl13]), from orientations that are followed over two half turns."""
    angles = np.pi * np.arange(2 * L) / L
    full = direct.evaluate(direct.field(seed), direct.field(seed), J, angles)
    l1, d12 = np.arange(L)[:, None], np.arange(L)
    S3 = full["S3"][:, :, l1, l1 + d12]
    l1, d12, d13 = np.arange(L)[:, None, None], d12[:, None], np.arange(L)
    # the inner orientation has period L, the outer one is followed as it is
    S4 = full["S4"][:, :, :, l1, l1 + d12, l1 + d13]
    return S3, S4


@pytest.mark.parametrize("L", [4, 6])
def test_iso_mean_follows_the_outer_orientation_past_half_a_turn(L):
    S3, S4 = by_definition(L)
    ds = direct.statistics(direct.field(0), J, L)
    iso = iso_mean(ds)
    assert iso.S3.dims == ("j1", "j2", "dl12")
    assert iso.S4.dims == ("j1", "j2", "j3", "dl12", "dl13")
    np.testing.assert_allclose(iso.S3, S3.mean(2), atol=1e-12)
    np.testing.assert_allclose(iso.S4, S4.mean(3), atol=1e-12)
    np.testing.assert_allclose(iso.S2, ds.S2.values.mean(-1), rtol=1e-14)
    std = iso_std(ds)
    np.testing.assert_allclose(std.S3, S3.std(2), atol=1e-12)
    np.testing.assert_allclose(std.S4, S4.std(3), atol=1e-12)
    assert std.S4.dtype == float
    # the conjugate matters: without it the imaginary parts are others
    plain = iso_mean(ds, conjugate=False)
    assert np.nanmax(abs(plain.S3 - iso.S3)) > 0.1 * np.nanmax(abs(iso.S3.imag))
    np.testing.assert_allclose(plain.S3.real, iso.S3.real, atol=1e-12)


@pytest.mark.parametrize("L", [4, 6, 8])
def test_conjugate_false_is_the_plain_mean_of_stored_values(L):
    ds = direct.random_statistics(L=L)
    plain = iso_mean(ds, conjugate=False)
    for d12 in range(L):
        for d13 in range(L):
            terms = [ds.S4.values[..., i, (i + d12) % L, (i + d13) % L] for i in range(L)]
            mean = plain.S4.sel(dl12=d12, dl13=d13)
            np.testing.assert_allclose(mean, sum(terms) / L, rtol=1e-12)


def test_mean_divides_by_L(pair):
    ds = pair[0]
    ones = ds.map(lambda v: xr.ones_like(v.real))
    for mean in iso_mean(ones).data_vars.values():
        np.testing.assert_allclose(mean, 1, rtol=1e-14)


def test_turning_the_field_by_90_degrees_leaves_the_real_means(pair):
    for op in (iso_mean, lambda ds: iso_mean(ds, repeat=True)):
        one, other = (op(ds) for ds in pair)
        for name in ("S1", "S2", "S3", "S4"):
            scale = np.nanmax(abs(one[name]))
            np.testing.assert_allclose(other[name].real, one[name].real, atol=1e-12 * scale)


def test_turning_the_field_by_180_degrees_conjugates():
    plane = direct.field(5)
    one, other = direct.statistics(plane, J, 4), direct.statistics(plane[::-1, ::-1], J, 4)
    assert np.nanmax(abs(one.S3.imag)) > 0.05 * np.nanmax(abs(one.S3))
    for op in (iso_mean, fft_ang):
        for name in ("S3", "S4"):
            np.testing.assert_allclose(op(other)[name], op(one)[name].conj(), atol=1e-12)


def test_a_symmetric_field_has_no_imaginary_parts_and_a_mirrored_one_negative_orientations():
    plane = direct.field(6)
    even = plane + np.roll(plane[::-1, ::-1], (1, 1), (0, 1))
    iso = iso_mean(direct.statistics(even, J, 4))
    assert np.nanmax(abs(iso.S3.imag)) < 1e-12
    one = iso_mean(direct.statistics(plane, J, 4))
    mirrored = iso_mean(direct.statistics(plane[::-1], J, 4))
    back = mirrored.isel(dl12=-np.arange(4), dl13=-np.arange(4))
    np.testing.assert_allclose(back.S3.real, one.S3.real, atol=1e-12)
    np.testing.assert_allclose(back.S4.real, one.S4.real, atol=1e-12)
    assert np.nanmax(abs(mirrored.S3.real - one.S3.real)) > 1e-3


def turn_harmonics(harmonics, odd, degrees):
    """(cos k, sin k) of a field turned by an angle: k turns by 2k, or (2k-1), times the angle."""
    out = harmonics.copy(deep=True)
    names = list(harmonics.harmonic.values)
    for k in range(1, 1 + sum(n.startswith("sin") for n in names)):
        angle = np.radians(degrees) * (2 * k - odd)
        cos, sin = (harmonics.sel(harmonic=f"{f}{k}") for f in ("cos", "sin"))
        out.loc[{"harmonic": f"cos{k}"}] = np.cos(angle) * cos - np.sin(angle) * sin
        out.loc[{"harmonic": f"sin{k}"}] = np.sin(angle) * cos + np.cos(angle) * sin
    return out


def test_turning_the_field_by_90_degrees_turns_the_harmonics(pair):
    L = pair[0].attrs["L"]
    nharm = (L - 1) // 2
    one, other = (fft_ang(ds, nharm=nharm) for ds in pair)
    for name in ("S1", "S2", "S3", "S4"):
        scale = np.nanmax(abs(one[name]))
        expected = turn_harmonics(one[name].real, 0, 90)
        np.testing.assert_allclose(other[name].real, expected, atol=1e-12 * scale)
    for name in ("S3", "S4"):
        scale = np.nanmax(abs(one[name]))
        expected = turn_harmonics(one[name].imag, 1, 90)
        waves = {"harmonic": slice(1, None)}  # the mean of the imaginary part is no invariant
        np.testing.assert_allclose(other[name].imag[waves], expected[waves], atol=1e-12 * scale)
    a, b = amplitude(one), amplitude(other)
    for name in ("S1", "S2", "S3", "S4"):
        np.testing.assert_allclose(a[name], b[name], atol=1e-12 * np.nanmax(a[name]))
    assert np.nanmin(a.S3) > 0
    for part, odd in (("real", 0), ("imag", 1)):
        a, b = phase(one, part), phase(other, part)
        period = 360 / (2 * a.harmonic - odd)
        for name in ("S3", "S4") if odd else ("S2", "S3"):
            turned = (b[name] - a[name] - 90) % period
            distance = np.minimum(turned, period - turned)
            # S4 at j1 = j2, l1 = l2 has no imaginary part, and that has no phase
            distance = distance.where(amplitude(one.imag if odd else one.real)[name] > 1e-9)
            assert np.nanmax(distance) < 1e-6
            assert float(a[name].min()) >= 0
            assert bool((a[name] < period).where(a[name].notnull(), True).all())
            defined = one[name].isel(harmonic=0, drop=True).notnull()
            assert bool((a[name].notnull() == defined).all())


def test_phase_is_where_the_plane_wave_points():
    y, x = np.mgrid[:32, :32]
    for degrees, wave in ((0, x), (45, x + y), (90, y), (135, y - x)):
        plane = np.cos(2 * np.pi * 6 * wave / 32)
        found = phase(fft_ang(direct.statistics(plane, J, 8))).S2.sel(harmonic=1)
        np.testing.assert_allclose(found.isel(j1=slice(0, 2)), degrees, atol=1e-6)
        assert found.attrs["units"] == "degrees"


@pytest.mark.parametrize("L", [4, 6, 8, 5])
def test_harmonic_mean_is_iso_mean_exactly(L):
    ds = direct.random_statistics(L=L, std=True)
    iso, ang = iso_mean(ds), fft_ang(ds, nharm=2)
    for name in ds.data_vars:
        if name != "S0":
            np.testing.assert_array_equal(ang[name].sel(harmonic="mean"), iso[name])


@pytest.mark.parametrize("L", [4, 6, 8])
def test_harmonics_are_the_projections_of_the_formula(L):
    ds = direct.random_statistics(L=L)
    nharm = (L - 1) // 2
    ang, ang0 = fft_ang(ds, nharm), fft_ang(ds, nharm, imaginary=False)
    names = ["mean"] + [f"{f}{k}" for k in range(1, nharm + 1) for f in ("cos", "sin")]
    assert ang.harmonic.values.tolist() == names
    assert ang0.identical(ang.sel(harmonic=[n for n in names if n[0] != "s"]))
    assert ang.S1.dims == ("j1", "harmonic")
    assert ang.S3.dims == ("j1", "j2", "dl12", "harmonic")
    assert ang.S4.dims == ("j1", "j2", "j3", "dl12", "dl13", "harmonic")
    turn = np.arange(L) / L
    z = np.stack([[ds.S3.values[..., i, (i + d) % L] for d in range(L)] for i in range(L)])
    for i in range(L):
        z[i, L - i :] = z[i, L - i :].conj()
    for k in range(1, nharm + 1):
        for f in (np.cos, np.sin):
            real = np.einsum("ld...,l->d...", z.real, f(2 * np.pi * k * turn))
            imag = np.einsum("ld...,l->d...", z.imag, f(2 * np.pi * (k - 0.5) * turn))
            found = ang.S3.sel(harmonic=f"{f.__name__}{k}").transpose("dl12", ...)
            np.testing.assert_allclose(found, real + 1j * imag, atol=1e-12)


def test_separate_projections_are_a_tensor_product():
    L = 6
    ds = direct.random_statistics(L=L)
    ang = fft_ang(ds, 2, relative=False)
    assert ang.S1.dims == ("j1", "harmonic1")
    assert ang.S3.dims == ("j1", "j2", "harmonic1", "harmonic2")
    assert ang.S4.dims == ("j1", "j2", "j3", "harmonic1", "harmonic2", "harmonic3")
    angle = 2 * np.pi * np.arange(L) / L
    basis = {
        odd: np.array(
            [np.full(L, 1 / L)]
            + [f((k - odd / 2) * angle) for k in (1, 2) for f in (np.cos, np.sin)]
        )
        for odd in (0, 1)
    }
    z = ds.S4.values
    rule = "...lmn,al,bm,cn->...abc"
    real = np.einsum(rule, z.real, basis[0], basis[0], basis[0])
    imag = np.einsum(rule, z.imag, basis[0], basis[0], basis[1])
    np.testing.assert_allclose(ang.S4, real + 1j * imag, atol=1e-12)
    plain = fft_ang(ds, 2, relative=False, conjugate=False)
    expected = np.einsum(rule, z, basis[0], basis[0], basis[0])
    np.testing.assert_allclose(plain.S4, expected, atol=1e-12)


def test_too_many_harmonics_and_part_of_the_orientations_are_errors():
    ds = direct.random_statistics(L=4)
    with pytest.raises(ValueError, match=r"nharm=3 .* L=4 .* 0\.\.2"):
        fft_ang(ds, nharm=3)
    with pytest.raises(ValueError, match="reduce first, select afterwards"):
        iso_mean(ds.isel(l2=[0, 1]))
    with pytest.raises(ValueError, match="reduce first, select afterwards"):
        fft_ang(ds.isel(l1=0))
    with pytest.raises(ValueError, match="call fft_ang"):
        amplitude(ds)
    with pytest.raises(ValueError, match="imaginary=True"):
        phase(fft_ang(ds, imaginary=False))
    with pytest.raises(ValueError, match="variance=True"):
        fft_ang_sigma(ds[["S3"]])


@pytest.mark.parametrize("L", [2, 4, 6])
def test_last_harmonic_has_a_cosine_only_and_errors_are_positive(L):
    ds = direct.random_statistics(L=L, std=True)
    sigma = fft_ang_sigma(ds, nharm=L // 2)
    assert sigma.harmonic.values[-1] == f"cos{L // 2}"
    assert sigma.sizes["harmonic"] == L
    for name, var in sigma.data_vars.items():
        assert name.endswith("_std")
        assert bool(((var > 0) | var.isnull()).all())
        assert bool((var > 0).any())
    strength = amplitude(fft_ang(ds, nharm=L // 2))
    assert strength.harmonic.values.tolist() == list(range(1, L // 2 + 1))


@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("L", [4, 6])
def test_errors_agree_with_the_scatter_of_draws(L, relative):
    draws = 500
    sigma = direct.random_statistics(1, J=2, L=L, std=True)
    sigma = sigma[[n for n in sigma.data_vars if n.endswith("_std")]]
    rng = np.random.default_rng(0)
    ds = xr.Dataset(attrs=sigma.attrs, coords=sigma.coords)
    for name, std in sigma.data_vars.items():
        shape = (draws, *std.shape)
        values = rng.normal(size=shape)
        if name in ("S3_std", "S4_std"):
            values = (values + 1j * rng.normal(size=shape)) / np.sqrt(2)
        base = name.removesuffix("_std")
        ds[base] = (("draw", *std.dims), values * std.values)
    both = ds.merge(sigma)
    cases = [(fft_ang(both, relative=relative), fft_ang_sigma(sigma, relative=relative))]
    plain = sigma.rename({n: n.removesuffix("_std") for n in sigma.data_vars})
    renamed = fft_ang_sigma(plain, relative=relative)
    for reduced, expected in cases:
        for name in ("S1", "S2", "S3", "S4"):
            values = reduced[name]
            scatter = np.sqrt((abs(values - values.mean("draw")) ** 2).mean("draw"))
            ratio = (scatter / expected[f"{name}_std"]).values
            ratio = ratio[np.isfinite(ratio)]
            assert abs(ratio.mean() - 1) < 5 * 0.032 / np.sqrt(ratio.size)
            assert abs(ratio - 1).max() < 0.17  # 1 / sqrt(2 draws) is 0.032
            # beside the statistics stand bounds, which hold for dependent coefficients too
            bound, independent = reduced[f"{name}_std"], expected[f"{name}_std"]
            assert bool(((bound >= independent * (1 - 1e-12)) | bound.isnull()).all())
    for name in plain.data_vars:
        np.testing.assert_array_equal(renamed[name], cases[0][1][f"{name}_std"])


@settings(max_examples=20, deadline=None)
@given(L=st.integers(1, 7), J=st.integers(1, 3), seed=st.integers(0, 9), conjugate=st.booleans())
def test_repeat_puts_the_mean_back(L, J, seed, conjugate):
    ds = direct.random_statistics(seed, J=J, L=L, std=True)
    once, back = iso_mean(ds, conjugate=conjugate), iso_mean(ds, True, conjugate)
    again = iso_mean(back, conjugate=conjugate)
    spread = iso_std(back, conjugate=conjugate)
    for name in ("S1", "S2", "S3", "S4"):
        assert back[name].dims == ds[name].dims
        assert set(back[name].coords) == set(ds[name].coords)
        np.testing.assert_allclose(again[name], once[name], atol=1e-12)
        assert np.nanmax(spread[name]) < 1e-12
    assert back.S1_std.dims == ds.S1_std.dims
    assert iso_std(ds, repeat=True).S4.dims == ds.S4.dims


def test_names_units_coordinates_and_parameters():
    ds = direct.random_statistics(lead={"time": 2}, std=True)
    iso = iso_mean(ds)
    assert iso.S4.dims == ("time", "j1", "j2", "j3", "dl12", "dl13")
    assert iso.S3.attrs == {
        "long_name": "long name of S3, mean over orientations",
        "units": "K^2",
    }
    assert iso.attrs == {**ds.attrs, "reduction": "iso_mean"}
    assert iso.dl12.values.tolist() == [0, 1, 2, 3]
    assert iso.angle_dl13.values.tolist() == [0, 45, 90, 135]
    assert iso.angle_dl13.attrs["units"] == "degrees"
    assert not {"l1", "l2", "angle_l1", "angle_l3"} & set(iso.coords)
    assert iso.wavelength_j3.identical(ds.wavelength_j3)
    assert iso.S0.identical(ds.S0)
    assert set(iso_std(ds).data_vars) == {"S1", "S2", "S3", "S4"}
    assert fft_ang(ds).attrs["reduction"] == "fft_ang"
    assert amplitude(fft_ang(ds)).S3.attrs["units"] == "K^2"
    assert amplitude(fft_ang(ds)).attrs["reduction"] == "fft_ang amplitude"


def test_line_is_left_as_it_is():
    ds = direct.random_statistics(L=0, std=True)
    for op in (iso_mean, fft_ang):
        out = op(ds)
        for name in ds.data_vars:
            assert out[name].identical(ds[name])


def test_cross_and_extra_dimensions():
    ds = direct.random_statistics(L=4, lead={"frequency_a": 2, "mode": 2}, cross=True)
    iso = iso_mean(ds)
    assert iso.S1.dims == ("frequency_a", "mode", "field", "j1")
    assert iso.S2.dtype == complex
    assert iso.S3P.dims == ("frequency_a", "mode", "j1", "j2", "dl12")
    one = iso_mean(ds.isel(frequency_a=1, mode=0))
    np.testing.assert_allclose(iso.S4[1, 0], one.S4, rtol=1e-13)
    swapped = iso_mean(ds.assign(S3=ds.S3P))
    np.testing.assert_array_equal(iso.S3P, swapped.S3)


@pytest.mark.parametrize("L", [4, 6])
def test_harmonics_of_a_cross_power_turn_too(L):
    a, b = direct.field(1), direct.field(2)
    one = fft_ang(direct.cross_statistics(a, b, 2, L))
    other = fft_ang(direct.cross_statistics(direct.turned(a), direct.turned(b), 2, L))
    for name in ("S2", "S3P", "S4"):
        scale = np.nanmax(abs(one[name]))
        waves = {"harmonic": slice(1, None if L > 2 else 2)}
        for part, odd in (("real", 0), ("imag", 1)):
            expected = turn_harmonics(getattr(one[name], part), odd, 90)
            found = getattr(other[name], part)
            np.testing.assert_allclose(found[waves], expected[waves], atol=1e-12 * scale)


def test_single_precision_stays():
    ds = direct.random_statistics(dtype=np.float32, std=True)
    for op in (iso_mean, fft_ang, iso_std):
        out = op(ds)
        assert out.S1.dtype == np.float32
        assert out.S3.dtype == (np.float32 if op is iso_std else np.complex64)
    assert iso_mean(ds, repeat=True).S4.dtype == np.complex64
    assert fft_ang_sigma(ds).S4_std.dtype == np.float32
    assert amplitude(fft_ang(ds)).S4.dtype == np.float32
    assert phase(fft_ang(ds)).S4.dtype == np.float32
