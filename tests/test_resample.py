"""Fields at any number of points from a block of their Fourier coefficients: a direct sum."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import assert_same, plane
from xscat.engine.resample import to_cells

sizes = st.integers(4, 13)


def waves(n, points, half):
    """Values (points, 2 half + 1) of waves of -half..half periods; the Nyquist wave is a cosine."""
    position = (np.arange(points) + 0.5) * n / points - 0.5
    phase = 2 * np.pi / n * np.arange(-half, half + 1) * position[:, None]
    return np.where(
        2 * np.abs(np.arange(-half, half + 1)) == n, np.cos(phase) / 2, np.exp(1j * phase)
    )


def direct(field, halves, grid):
    """Values at evenly spaced, centered points of what long enough waves a field consists of."""
    (ny, nx), (hy, hx) = field.shape, halves
    y, x = (np.arange(-h, h + 1) for h in halves)
    spectrum = np.fft.fft2(field)[np.ix_(y % ny, x % nx)] / field.size
    values = waves(ny, grid[0], hy) @ spectrum @ waves(nx, grid[1], hx).T
    assert np.abs(values.imag).max() < 1e-12
    return values.real


def block(field, halves):
    """The coefficients as the engine keeps them."""
    (ny, _), (hy, hx) = field.shape, halves
    y = np.arange(ny) if hy == ny // 2 else np.r_[0 : hy + 1, -hy:0]
    return torch.as_tensor(np.fft.rfft2(field)[y, : hx + 1])


@settings(max_examples=150)
@given(st.data(), sizes, sizes, st.integers(0, 1000))
def test_values_are_the_sum_of_their_waves(data, ny, nx, seed):
    halves = tuple(data.draw(st.integers(1, n // 2)) for n in (ny, nx))
    grid = tuple(data.draw(st.integers(1, n)) for n in (ny, nx))
    field = np.random.default_rng(seed).normal(size=(ny, nx))
    values = to_cells(block(field, halves), (ny, nx), grid)
    np.testing.assert_allclose(values, direct(field, halves, grid), atol=1e-12)


@pytest.mark.parametrize("n", [8, 9])
@pytest.mark.parametrize("g", [8, 7, 4, 3, 2])
@pytest.mark.parametrize("half", [4, 3, 2])
def test_lines(n, g, half):
    field = np.random.default_rng(n).normal(size=(1, n))
    values = to_cells(block(field, (0, half)), (1, n), (1, g))
    y = np.fft.fft(field[0])[np.arange(-half, half + 1) % n] / n
    np.testing.assert_allclose(values[0], (waves(n, g, half) @ y).real, atol=1e-12)


@pytest.mark.parametrize("shape", [(8, 8), (7, 9), (6, 11), (13, 12)])
def test_all_waves_on_all_cells_are_the_field(shape):
    field = np.random.default_rng(0).normal(size=(3, *shape))
    x = torch.as_tensor(np.fft.rfft2(field))
    np.testing.assert_allclose(to_cells(x, shape, shape), field, atol=1e-14)


def test_single_precision_stays():
    x = torch.fft.rfft2(torch.rand(9, 10))[[0, 1, 2, -2, -1], :3]
    assert to_cells(x, (9, 10), (4, 5)).dtype == torch.float32


@pytest.mark.parametrize("shape", [(48, 48), (45, 50), (37, 61)])
def test_means_on_the_coarse_grids_are_those_of_parseval(shape):
    da = plane(*shape)
    exact = da.scat.covariance(3, boundary="periodic")
    sampled = da.scat.covariance(3, boundary="periodic", variance=True)
    assert_same(sampled, exact, tol=1e-4, names=["S1", "S2", "S3", "S4"])
