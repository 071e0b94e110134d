"""The wavelets of E and B modes: exact on a plane, below 1 % of leakage on the sphere."""

from functools import cache

import healpy as hp
import numpy as np
import pytest
import torch

from xscat.engine.flat import FlatSpec
from xscat.engine.scattering import dense, moments
from xscat.engine.sphere import SphereSpec
from xscat.engine.spin import SpinFlatSpec, SpinSphereSpec
from xscat.engine.spin_stencils import SpinFit, transport_angles
from xscat.engine.stencils import cell_vectors, neighborhood
from xscat.engine.wavelets import Morlet

DOUBLE = {"dtype": torch.float64, "device": torch.device("cpu")}
SPINS = pytest.mark.parametrize("spin", [1, 2])


@pytest.fixture(autouse=True)
def one_thread():
    n = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n)


@cache
def sphere(level, spin=0, J=4, frame="meridian", cells=None):
    kwargs = dict(level=level, frame=frame, wavelet=Morlet(), J=J, L=4, **DOUBLE)
    kwargs["cells"] = None if cells is None else np.array(cells)
    return (SpinSphereSpec(**kwargs, spin=spin) if spin else SphereSpec(**kwargs)).build()


def plane(shape, spin=0, J=3, step=(1.0, 1.0), periodic=True):
    kwargs = dict(shape=shape, step=step, periodic=periodic, wavelet=Morlet(), J=J, L=4, **DOUBLE)
    return (SpinFlatSpec(**kwargs, spin=spin) if spin else FlatSpec(**kwargs)).build()


def statistics(engine, fields, coverage=None, **kwargs):
    fields = torch.as_tensor(np.asarray(fields, float))
    return dense(moments(engine, fields, coverage, **kwargs), engine.spec.J, engine.spec.L)


def assert_same(a, b, rtol=1e-10):
    for name in a:
        scale = b[name][~b[name].isnan()].abs().max()
        torch.testing.assert_close(a[name], b[name], rtol=0, atol=rtol * scale, equal_nan=True)


def mode_field(nside, spin, slope, seed=0, mode=0):
    """A map of E (or of B) and its components in our frame: toward east and north, nested."""
    ell = np.arange(3 * nside)
    power = np.where(ell < 2, 0, np.maximum(ell, 1.0) ** slope)
    rng = np.random.default_rng(seed)
    size, m = hp.Alm.getsize(ell[-1]), hp.Alm.getlm(ell[-1])[1]
    noise = rng.normal(size=(2, size))
    alm = hp.almxfl(np.where(m == 0, noise[0], (noise[0] + 1j * noise[1]) / 2**0.5), power**0.5)
    alms = [alm, 0 * alm] if mode == 0 else [0 * alm, alm]
    c_theta, c_phi = hp.alm2map_spin(alms, nside, spin, ell[-1])
    # component along phi is the one along east, along theta the one along south
    components = (c_phi, -c_theta) if spin == 1 else (-c_theta, -c_phi)
    scalar = hp.alm2map(alm, nside, lmax=ell[-1])
    return tuple(hp.reorder(np.stack([scalar, *components]), r2n=True))


def wave_numbers(shape, step):
    ky, kx = (2 * np.pi * np.fft.fftfreq(n, d) for n, d in zip(shape, step, strict=True))
    return ky[:, None], kx


@pytest.mark.parametrize(
    ("shape", "step"),
    [
        ((64, 64), (1.0, 1.0)),
        ((45, 64), (-1.0, 1.0)),
        ((64, 51), (1.0, 0.6)),
        ((50, 36), (0.8, 1.0)),
    ],
)
def test_a_gradient_has_no_curl_and_a_curl_no_divergence(shape, step):
    potential = np.random.default_rng(0).normal(size=shape)
    gradient = [
        np.fft.ifft2(1j * k * np.fft.fft2(potential)).real for k in wave_numbers(shape, step)
    ]
    v, u = (g.ravel() for g in gradient)
    engine = plane(shape, 1, step=step)
    power = statistics(engine, [[u, v], [-v, u]], second_layer=False)["S2"][0].real
    assert (power[0, 1, 1] < 1e-20 * power[0, 0, 0]).all()
    assert (power[1, 0, 0] < 1e-20 * power[1, 1, 1]).all()


@SPINS
def test_modes_on_a_plane_are_scalar_fields(spin):
    shape, step = (36, 45), (-1.0, 0.8)
    ky, kx = wave_numbers(shape, step)
    angle, k = np.arctan2(ky, kx), np.hypot(kx, ky)
    modes = np.fft.fft2(np.random.default_rng(1).normal(size=(2, *shape)) ** 3)
    modes[:, np.abs(ky[:, 0]) == np.abs(ky).max()] = 0  # the highest wave number has no direction
    modes[:, 0, 0] = 0
    E, B = modes
    if spin == 1:  # u = dx phi - dy chi, with E = div / |k|, B = curl / |k|
        u, v = -1j * (kx * E - ky * B), -1j * (ky * E + kx * B)
        components = np.stack([u, v]) / np.where(k > 0, k, 1)
    else:
        cos, sin = np.cos(2 * angle), np.sin(2 * angle)
        components = np.stack([cos * E - sin * B, sin * E + cos * B])
    fields = [np.fft.ifft2(x).real.reshape(1, 2, -1) for x in (components, modes)]
    result = statistics(plane(shape, spin, step=step), fields[0])
    expected = statistics(plane(shape, step=step), fields[1])
    assert_same(result, expected)


@SPINS
@pytest.mark.parametrize("grid", ["plane", "sphere"])
def test_a_turn_of_the_components_swaps_the_modes(spin, grid):
    engine = plane((32, 32), spin) if grid == "plane" else sphere(3, spin, J=2)
    a, b = np.random.default_rng(2).normal(size=(2, engine.n_cells))
    before = statistics(engine, [[a, b]])
    after = statistics(engine, [[-b, a]])
    # E' = -B and B' = E: a modulus has no sign, W has that of E'
    for name in ("S1", "S2", "S3", "S4"):
        n_fields = 1 if name == "S1" else 2
        swapped = before[name].flip(tuple(range(2, 2 + n_fields)))
        if name == "S2":
            swapped[:, :, 0, 1] *= -1
            swapped[:, :, 1, 0] *= -1
        if name == "S3":
            swapped[:, :, 0] *= -1
        scale = swapped[~swapped.isnan()].abs().max()
        torch.testing.assert_close(after[name], swapped, rtol=0, atol=1e-12 * scale, equal_nan=True)


@SPINS
@pytest.mark.parametrize("slope", [-1.0, -2.0, -3.0])
def test_leakage_is_below_one_percent(spin, slope):
    for mode in (0, 1):
        _, a, b = mode_field(64, spin, slope, mode=mode)
        power = statistics(sphere(6, spin), [[a, b]], second_layer=False)["S2"][0, 0].real
        leakage = power[1 - mode, 1 - mode] / power[mode, mode]
        assert leakage.max() < 0.01, leakage
        assert leakage.min() > 1e-6  # it is measured


@SPINS
def test_coefficients_follow_the_scalar_of_the_mode(spin):
    scalar, a, b = mode_field(64, spin, -2.0, seed=3)
    engines = sphere(6), sphere(6, spin)
    states = [
        engine.start(torch.as_tensor(np.stack(f)[None]), None)
        for engine, f in zip(engines, ([scalar], [a, b]), strict=True)
    ]
    for j in range(3):
        W, M = (
            torch.complex(*engine.first(state, j, None))[0]
            for engine, state in zip(engines, states, strict=True)
        )
        norm = (W[0].abs() ** 2).mean(-1)
        # the E of healpy's spin 1 is minus the divergence
        sign = -1 if spin == 1 else 1
        product = (sign * M[0] * W[0].conj()).mean(-1) / norm
        assert ((product.real > 0.75) & (product.real < 1.05)).all(), product
        assert (product.imag.abs() < 0.03).all(), product
        states = [e.coarsen(s, j, None) for e, s in zip(engines, states, strict=True)]


@SPINS
def test_rotation_by_90_degrees_in_longitude_leaves_all_statistics(spin):
    level, n = 4, 4**4
    a, b = np.random.default_rng(4).normal(size=(2, 12 * n))
    turned = [x.reshape(3, 4, n)[:, [3, 0, 1, 2]].ravel() for x in (a, b)]
    for cells in (None, tuple(range(12 * n))):
        result = statistics(sphere(level, spin, J=3, cells=cells), [[a, b], turned])
        for x in result.values():
            scale = x[~x.isnan()].abs().max()
            torch.testing.assert_close(x[:, 0], x[:, 1], rtol=0, atol=1e-9 * scale, equal_nan=True)


@SPINS
def test_all_cells_of_a_part_are_the_full_sphere(spin):
    a, b = np.random.default_rng(5).normal(size=(2, 12 * 4**4))
    full = statistics(sphere(4, spin, J=3), [[a, b]])
    part = statistics(sphere(4, spin, J=3, cells=tuple(range(len(a)))), [[a, b]])
    assert_same(full, part, 1e-6)  # neighbors are at the same places but for 1e-7


def test_parallel_transport_keeps_the_angle_to_the_great_circle():
    cells = np.random.default_rng(6).permutation(12 * 4**3)
    neighbors = np.roll(cells, 1)[:, None]
    angle = transport_angles(cells, neighbors, 3, 3)[:, 0]

    def direction(here, there):
        """Angle from east at which the great circle leaves for the other cell."""
        there = there - here * (here * there).sum(1, keepdims=True)
        x, y, _ = here.T
        return np.arctan2(there[:, 2], x * there[:, 1] - y * there[:, 0])

    here, there = cell_vectors(cells, 3), cell_vectors(neighbors[:, 0], 3)
    arriving = direction(there, here) + np.pi
    np.testing.assert_allclose(
        np.exp(1j * (direction(here, there) - arriving - angle)), 1, atol=1e-9
    )


@SPINS
def test_weights_in_any_frame(spin):
    cells = np.r_[:20, 1000:1010, 4**5 * 4]  # the last is at a corner of faces
    around, east, north = neighborhood(cells, 5, 3)
    assert (around < 0).any()
    fit = SpinFit(Morlet(), 4, spin)
    turned = fit(around, east, north, np.full(len(cells), 2.3))
    direct = fit(around, east, north, 2.3)
    np.testing.assert_allclose(turned, direct, atol=2e-7 * abs(direct).max())
    np.testing.assert_allclose(direct.sum(-1), 0, atol=1e-10)
    np.testing.assert_allclose(
        fit(around, east, north, np.pi), fit(around, east, north, 0).conj(), atol=1e-9
    )


@SPINS
@pytest.mark.parametrize("grid", ["plane", "sphere"])
def test_values_under_a_mask_do_not_matter(spin, grid):
    if grid == "plane":
        engine = plane((72, 80), spin, J=2, periodic=False)
        valid = np.ones((72, 80), bool)
        valid[:30, :30] = False
    else:
        engine = sphere(5, spin, J=2)
        valid = np.ones(engine.n_cells, bool)
        valid[:1500] = False
    valid = valid.ravel()
    coverage = engine.coverage(torch.as_tensor(valid[None].astype(float)), 1.0)
    fields = np.random.default_rng(7).normal(size=(1, 2, engine.n_cells))
    clean = statistics(engine, fields, coverage)
    fields[..., ~valid] = 1e6
    dirty = statistics(engine, fields, coverage)
    for name, x in clean.items():
        assert torch.equal(x.nan_to_num(), dirty[name].nan_to_num()), name
    assert not clean["S4"][..., 0, 0, 1, :, :, :].isnan().any()


@SPINS
def test_half_a_sphere_has_the_power_and_the_leakage_of_the_whole(spin):
    _, a, b = mode_field(64, spin, -2.0, seed=8)
    half = np.flatnonzero(cell_vectors(np.arange(len(a)), 6)[:, 2] > 0)
    engine = sphere(6, spin, cells=tuple(half.tolist()))
    coverage = engine.coverage(torch.ones(1, len(half)), 1.0)
    part = statistics(engine, [[a[half], b[half]]], coverage, second_layer=False)["S2"][0, 0].real
    whole = statistics(sphere(6, spin), [[a, b]], second_layer=False)["S2"][0, 0].real
    assert (part[1, 1] < 0.01 * part[0, 0]).all()
    torch.testing.assert_close(part[0, 0, :3], whole[0, 0, :3], rtol=0.2, atol=0)


@SPINS
@pytest.mark.parametrize("grid", ["plane", "sphere"])
def test_gradient(spin, grid):
    engine = plane((16, 18), spin, J=2) if grid == "plane" else sphere(3, spin, J=2)
    rng = np.random.default_rng(9)
    x = torch.tensor(rng.normal(size=(1, 2, engine.n_cells)), requires_grad=True)
    d = torch.tensor(rng.normal(size=x.shape))

    def loss(x):
        m = moments(engine, x, None)
        return sum(t.abs().square().sum() for t in (*m.modulus, *m.power, *m.gram))

    (slope,) = torch.autograd.grad(loss(x), x)
    h = 1e-5
    with torch.no_grad():
        expected = (loss(x + h * d) - loss(x - h * d)) / (2 * h)
    torch.testing.assert_close((slope * d).sum(), expected, rtol=1e-6, atol=0)
