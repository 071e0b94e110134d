"""A real elevation map against the numbers of a peer (see data/README.md)."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from matplotlib import cbook

import xscat

FILES = sorted((Path(__file__).parent / "data").glob("dem_*.npz"))


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def case(request):
    """Our statistics with orientations as the peer counts them, and the peer's."""
    with np.load(request.param) as file:
        peer = dict(file)
    y, x, height, width = peer["crop"]
    with cbook.get_sample_data("jacksboro_fault_dem.npz") as file:
        dem = file["elevation"].astype(float)[y : y + height, x : x + width]
    field = xr.DataArray((dem - dem.mean()) / dem.std(), dims=("y", "x"))
    J, L = int(peer["J"]), int(peer["L"])
    ours = xscat.covariance(field, J, L, boundary="periodic")
    ours = ours.isel({f"l{i}": np.arange(1, L + 1) % L for i in "123"})
    np.testing.assert_allclose(ours.angle_l1, (90 - 180 * (L / 2 - 1 - np.arange(L)) / L) % 180)
    S4 = ours.S4.values
    S4[..., -1] = S4[..., -1].conj()  # 180 degrees instead of 0, outside the moduli
    return ours, S4, peer


def test_there_are_three_files():
    assert len(FILES) == 3


def test_S1_and_S2_agree_with_the_peer(case):
    ours, _, peer = case
    np.testing.assert_allclose(ours.S1, peer["S1"], rtol=1e-10)
    np.testing.assert_allclose(ours.S2, peer["P00"], rtol=1e-10)


def test_each_element_of_S4_agrees_with_the_peer(case):
    _, S4, peer = case
    expected = peer["C11_pre_norm"]
    np.testing.assert_array_equal(np.isnan(S4), np.isnan(expected))
    inside = ~np.isnan(expected)
    assert inside.sum() == 20 * int(peer["L"]) ** 3
    error = np.abs(S4 - expected)[inside] / np.abs(expected[inside])
    assert error.max() < 1e-4
