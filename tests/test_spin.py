"""Spin fields through the public interface."""

import healpy as hp
import numpy as np
import pytest
import xarray as xr
import xdggs

import xscat

NSIDE = 64
IDS = {
    "cell_ids": (
        "cells",
        np.arange(12 * NSIDE**2),
        {"grid_name": "healpix", "level": 6, "indexing_scheme": "ring"},
    )
}


def dataset(**components):
    """Components on the cells of the whole sphere, ring order, in mK."""
    variables = {name: ("cells", x, {"units": "mK"}) for name, x in components.items()}
    return xr.Dataset(variables, coords=IDS).pipe(xdggs.decode)


@pytest.fixture(scope="module")
def pure_e():
    """Polarization without B, C_l ~ l^-2, in HEALPix's convention; and its E map."""
    ell = np.arange(3 * NSIDE)
    power = np.where(ell >= 2, 1 / np.maximum(ell, 1) ** 2.0, 0)
    rng = np.random.default_rng(4)
    size = hp.Alm.getsize(3 * NSIDE - 1)
    m = hp.Alm.getlm(3 * NSIDE - 1)[1]
    alm = rng.normal(size=size) + 1j * np.where(m > 0, rng.normal(size=size), 0)
    alm = hp.almxfl(alm, np.sqrt(power / 2))
    _, Q, U = hp.alm2map([0 * alm, alm, 0 * alm], NSIDE)
    return dataset(Q=Q, U=U), dataset(E=hp.alm2map(alm, NSIDE)).E


@pytest.fixture(scope="module")
def stats(pure_e):
    return pure_e[0].scat.covariance(J=4, spin=2)


def test_pure_e_has_no_b(stats):
    leak = stats.S2.sel(mode="B").mean("l1") / stats.S2.sel(mode="E").mean("l1")
    assert (leak < 0.01).all(), leak.values


def test_e_is_the_scalar_e(pure_e, stats):
    scalar = pure_e[1].scat.covariance(J=4)
    ratio = (stats.S2.sel(mode="E") / scalar.S2).mean("l1")
    assert ((ratio > 0.75) & (ratio < 1.1)).all(), ratio.values


def test_layout(stats):
    assert list(stats.mode.values) == ["E", "B"]
    assert stats.S0.dims == ("component", "moment")
    assert list(stats.component.values) == ["Q", "U"]
    assert stats.S3.dims == ("mode", "j1", "j2", "l1", "l2")
    assert stats.S2.dtype.kind == "f"
    assert stats.S2.attrs["units"] == "mK^2"
    assert xscat.Parameters.from_attrs(stats).spin == 2
    assert stats.scat.normalize().scat.iso_mean().S3.dims == ("mode", "j1", "j2", "dl12")


def test_conventions_differ_by_the_sign_of_u(pure_e, stats):
    Q, U = pure_e[0].Q, pure_e[0].U
    iau = xr.Dataset({"Q": Q, "U": -U}).scat.covariance(J=4, spin=2, convention="IAU")
    xr.testing.assert_equal(iau.S3, stats.S3)
    wrong = xr.Dataset({"Q": Q, "U": -U}).scat.covariance(J=4, spin=2)
    assert (wrong.S2.sel(mode="B") > 0.2 * stats.S2.sel(mode="E")).all()


def test_turning_the_polarization_by_45_degrees_swaps_the_modes(pure_e, stats):
    ds = pure_e[0]
    turned = xr.Dataset({"Q": -ds.U, "U": ds.Q}).scat.covariance(J=4, spin=2)
    a, b = turned.sel(mode="B", drop=True), stats.sel(mode="E", drop=True)
    for name in ("S1", "S2", "S4"):
        np.testing.assert_allclose(
            a[name], b[name], rtol=1e-9, atol=1e-12 * float(abs(b[name]).max())
        )
    scale = float(abs(b.S3).max())  # odd in the field: the sign of B depends on which way it turns
    assert min(float(abs(a.S3 + s * b.S3).max()) for s in (1, -1)) < 1e-12 * scale


def test_a_quarter_turn_of_the_sphere_changes_nothing(pure_e, stats):
    def turned(x):
        theta, phi = hp.pix2ang(NSIDE, np.arange(12 * NSIDE**2))
        return x.values[hp.ang2pix(NSIDE, theta, phi - np.pi / 2)]

    other = dataset(Q=turned(pure_e[0].Q), U=turned(pure_e[0].U)).scat.covariance(J=4, spin=2)
    for name in ("S1", "S2", "S3", "S4"):
        scale = float(abs(stats[name]).max())
        np.testing.assert_allclose(other[name], stats[name], atol=1e-9 * scale)


def test_component_dimension_and_laziness(pure_e, stats):
    da = pure_e[0].to_dataarray("stokes").expand_dims(frequency=[100, 143]).chunk(frequency=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dask.base.compute", lambda *a, **k: pytest.fail("computed"))
        lazy = da.scat.covariance(J=4, spin=2, component="stokes")
    assert lazy.S4.chunks is not None
    np.testing.assert_allclose(lazy.S2[1].compute(), stats.S2, rtol=1e-12)


def test_part_of_the_sky(pure_e):
    ds = pure_e[0]
    north = ds.dggs.cell_centers().latitude.values > 0
    part = ds.isel(cells=north).scat.covariance(J=3, spin=2)
    mask = xr.DataArray(north, dims="cells")
    masked = ds.scat.covariance(J=3, spin=2, mask=mask)
    np.testing.assert_allclose(part.S2, masked.S2, rtol=1e-9)
    leak = part.S2.sel(mode="B").mean("l1") / part.S2.sel(mode="E").mean("l1")
    assert (leak < 0.01).all(), leak.values
    junk = ds.where(north, np.inf)
    xr.testing.assert_identical(junk.scat.covariance(J=3, spin=2, mask=mask), masked)


def test_cross_modes(pure_e, stats):
    pairs = pure_e[0].scat.covariance(J=2, spin=2, cross_modes=True)
    assert pairs.S4.dims[:2] == ("mode_a", "mode_b")
    both = {"mode_a": "E", "mode_b": "E"}
    np.testing.assert_allclose(pairs.S2.sel(both), stats.S2.sel(mode="E", j1=[0, 1]), rtol=1e-9)
    eb = abs(pairs.S2.sel(mode_a="E", mode_b="B"))
    assert (eb < 0.1 * abs(pairs.S2.sel(both))).all()


def test_gradient_flow_has_no_curl_on_a_plane():
    rng = np.random.default_rng(0)
    n = 64
    k = 2 * np.pi * np.fft.fftfreq(n)
    k[n // 2] = 0  # a real derivative has none at Nyquist
    potential = np.fft.fft2(rng.normal(size=(n, n))) / (0.1 + np.hypot(k, k[:, None])) ** 2
    u, v = (np.fft.ifft2(1j * q * potential).real for q in (k[None, :], k[:, None]))
    ds = xr.Dataset({"u": (("y", "x"), u), "v": (("y", "x"), v)})
    stats = xscat.covariance(ds[["u", "v"]], J=4, spin=1, boundary="periodic")
    assert list(stats.mode.values) == ["divergence", "curl"]
    power = stats.S2.sel(mode="divergence")
    assert (stats.S2.sel(mode="curl") < 1e-10 * power).all()
    swirl = xr.Dataset({"u": -ds.v, "v": ds.u}).scat.covariance(J=4, spin=1, boundary="periodic")
    np.testing.assert_allclose(swirl.S2.sel(mode="curl"), power, rtol=1e-9)


def gradient_flow(n, slope, seed=0):
    """The flow of a periodic potential: spectral derivatives, power falling as k^-slope."""
    k = 2 * np.pi * np.fft.fftfreq(n)
    length = np.hypot(k, k[:, None])
    noise = np.fft.fft2(np.random.default_rng(seed).normal(size=(n, n)))
    potential = noise * np.where(length > 0, length, np.inf) ** (-slope / 2 - 1)
    k[n // 2] = 0  # a real derivative has none at Nyquist
    u, v = (np.fft.ifft2(1j * q * potential).real for q in (k[None, :], k[:, None]))
    return flow(u, v)


def flow(u, v, **coords):
    return xr.Dataset({"u": (("y", "x"), u), "v": (("y", "x"), v)}, coords)


@pytest.mark.parametrize("slope", [1.5, 2, 3])
@pytest.mark.parametrize("boundary", ["valid", "periodic"])
def test_gradient_flow_has_no_curl_beside_borders_and_gaps(slope, boundary):
    ds = gradient_flow(160, slope)
    y, x = np.ogrid[:160, :160]
    if boundary == "valid":
        ds = ds.isel(y=slice(20, 148), x=slice(9, 150))
    else:
        ds = ds.where(xr.DataArray(np.hypot(y - 60, x - 70) > 20, dims=("y", "x")))
    power = ds.scat.covariance(J=4, spin=1, boundary=boundary, statistics=["S2"]).S2
    leak = power.sel(mode="curl") / power.sel(mode="divergence")
    assert (leak < 1e-4).all(), leak.values


@pytest.mark.parametrize("spin", [1, 2])
def test_constant_and_linear_components_have_no_modes(spin):
    y, x = np.meshgrid(np.arange(56.0), np.arange(60.0), indexing="ij")
    for u, v in ((x, y), (-y, x), (y, 0 * x), (x, -y)):
        S2 = flow(u + 3, v - 5).scat.covariance(J=2, spin=spin, components=("u", "v")).S2
        assert (S2 < 1e-20).all()


@pytest.mark.parametrize("spin", [1, 2])
@pytest.mark.parametrize("beyond", [np.nan, 1e12])
def test_modes_beside_a_gap_are_those_without_it(spin, beyond):
    """The same coefficients, from a part, from data with a gap and whatever stands in it."""
    ds = gradient_flow(96, 3, seed=1)
    below = xr.DataArray(np.broadcast_to((np.arange(96) >= 30)[:, None], (96, 96)), dims=("y", "x"))
    part = ds.isel(y=slice(30, None)).scat.covariance(J=2, spin=spin, components=("u", "v"))
    gone = ds.where(below, beyond).scat.covariance(
        J=2, spin=spin, components=("u", "v"), mask=below
    )
    for name in ("S1", "S2", "S3", "S4"):
        scale = float(abs(part[name]).max())
        np.testing.assert_allclose(gone[name], part[name], atol=1e-10 * scale)


@pytest.mark.parametrize("spin", [1, 2])
def test_symmetries_on_a_plane_with_a_border(spin):
    u, v = np.random.default_rng(2).normal(size=(2, 60, 60))
    u[20:22, 31] = np.nan

    def statistics(u, v, **coords):
        return flow(np.ascontiguousarray(u), np.ascontiguousarray(v), **coords).scat.covariance(
            J=2, spin=spin, components=("u", "v"), statistics=["S1", "S2"]
        )

    here = statistics(u, v)
    turned = (np.rot90(f, -1) for f in ((-v, u) if spin == 1 else (-u, -v)))
    mirrored = (np.fliplr(f) for f in ((-u, v) if spin == 1 else (u, -v)))
    descending = statistics(u[::-1], v[::-1], y=np.arange(60)[::-1], x=np.arange(60))
    for other, l in (
        (statistics(*turned), [2, 3, 0, 1]),
        (statistics(*mirrored), [0, 3, 2, 1]),
        (descending, [0, 1, 2, 3]),
    ):
        for name in ("S1", "S2"):
            np.testing.assert_allclose(other[name].isel(l1=l).values, here[name], rtol=1e-9)


def test_errors(pure_e):
    ds = pure_e[0]
    with pytest.raises(ValueError, match=r"two components.*ds\[\['Q', 'U'\]\]"):
        ds.assign(V=ds.Q).scat.covariance(spin=2)
    with pytest.raises(TypeError, match="spin=1 or 2"):
        ds.scat.covariance()
    with pytest.raises(TypeError, match="reference must be a Dataset"):
        ds.scat.covariance(spin=2, reference=ds.Q)
    with pytest.raises(ValueError, match="spin=3"):
        ds.scat.covariance(spin=3)
    with pytest.raises(ValueError, match="Did you mean 'IAU'"):
        ds.scat.covariance(spin=2, convention="IAUU")
    with pytest.raises(ValueError, match="component='stoke'"):
        ds.to_dataarray("stokes").scat.covariance(spin=2, component="stoke")
