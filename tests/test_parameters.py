"""What was asked for, in attributes and back; options; the cache of transforms."""

import pickle

import numpy as np
import pytest
import xarray as xr
from dask.base import tokenize
from hypothesis import given
from hypothesis import strategies as st

import xscat
from helpers import assert_same, plane, sphere
from xscat.engine import cache
from xscat.options import Options, get_options

wavelets = st.builds(
    xscat.Morlet,
    sigma=st.floats(0.5, 2),
    xi=st.floats(0.5, 3),
    slant=st.none() | st.floats(0.3, 2),
    radius=st.integers(1, 4),
)
parameters = st.builds(
    xscat.Parameters,
    J=st.integers(1, 9),
    L=st.integers(1, 32),
    statistics=st.lists(
        st.sampled_from(["S0", "S1", "S2", "S3", "S4"]), min_size=1, unique=True
    ).map(tuple),
    boundary=st.sampled_from(["valid", "periodic"]),
    frame=st.sampled_from(["meridian", "stereographic"]),
    wavelet=wavelets,
    min_coverage=st.floats(0.1, 1),
)


@given(parameters)
def test_attributes_give_back_the_parameters(p):
    attrs = p.to_attrs()
    assert all(isinstance(v, str | int | float) for v in attrs.values())
    assert xscat.Parameters.from_attrs(attrs) == p
    assert xscat.Parameters.from_attrs(xr.Dataset(attrs=attrs)) == p
    # as a store may hand them out
    loose = {k: np.float64(v) if isinstance(v, float) else v for k, v in attrs.items()}
    loose = {k: np.int64(v) if isinstance(v, int) else v for k, v in loose.items()}
    back = xscat.Parameters.from_attrs(loose)
    assert back == p
    assert type(back.J) is int
    assert pickle.loads(pickle.dumps(p)) == p
    assert hash(p) == hash(back)
    assert tokenize(p) == tokenize(back)


def test_a_result_carries_the_parameters_it_was_made_with():
    wavelet = xscat.Morlet(sigma=0.9, radius=1)
    stats = sphere(3).scat.covariance(2, 3, wavelet=wavelet, frame="stereographic")
    p = xscat.Parameters.from_attrs(stats)
    assert p == xscat.Parameters(2, 3, wavelet=wavelet, frame="stereographic")
    names = {"S2", "S1"}
    stats = plane(40, 40).scat.covariance(2, boundary="periodic", statistics=names)
    p = xscat.Parameters.from_attrs(stats)
    assert set(p.statistics) == set(stats.data_vars) == names
    assert p.boundary == "periodic"


def test_attributes_without_parameters():
    with pytest.raises(ValueError, match="no parameters"):
        xscat.Parameters.from_attrs(xr.Dataset())
    attrs = xscat.Parameters(2, 4).to_attrs() | {"wavelet": "Mexican"}
    with pytest.raises(ValueError, match="'Mexican'"):
        xscat.Parameters.from_attrs(attrs)


class Gauss:
    """A wavelet of a user: a plane wave under a round Gaussian, written anew."""

    radius = 2

    def fourier(self, along, across, L):
        g = np.exp(-0.32 * across**2)
        return g * np.exp(-0.32 * (along - 2) ** 2), g * np.exp(-0.32 * along**2)

    def values(self, along, across, L):
        g = np.exp(-(along**2 + across**2) / 1.28) / (2 * np.pi * 0.64)
        return g * np.exp(2j * along), g


@pytest.mark.parametrize("field", [plane(64, 64), sphere(4)], ids=["plane", "sphere"])
def test_a_wavelet_of_a_user(field):
    assert isinstance(Gauss(), xscat.Wavelet)
    stats = field.scat.covariance(2, wavelet=Gauss())
    assert_same(stats, field.scat.covariance(2, wavelet=xscat.Morlet(xi=2, slant=1)), tol=1e-9)
    assert stats.attrs["wavelet"] == "Gauss"


def test_parameters_of_the_wavelet_matter():
    da = plane(64, 64)
    S2 = da.scat.covariance(2).S2
    for wavelet in (xscat.Morlet(sigma=1), xscat.Morlet(xi=2), xscat.Morlet(slant=0.5)):
        assert np.abs(da.scat.covariance(2, wavelet=wavelet).S2 / S2 - 1).max() > 0.02
    sphere_S2 = sphere(3).scat.covariance().S2
    other = sphere(3).scat.covariance(wavelet=xscat.Morlet(radius=3)).S2
    assert np.abs(other / sphere_S2 - 1).max() > 1e-3


def test_default_J_leaves_room_for_two_layers():
    assert plane(64, 64).scat.covariance().sizes["j1"] == 3
    assert plane(256, 300).scat.covariance(statistics="S2").sizes["j1"] == 5
    assert plane(64, 64).scat.covariance(boundary="periodic").sizes["j1"] == 5
    assert sphere(4).scat.covariance().sizes["j1"] == 3
    assert sphere(5)[:1024].scat.covariance().sizes["j1"] == 2
    stats = plane(64, 64).scat.covariance()
    assert np.isfinite(stats.S4[2, 2, 2]).all()


def test_options_hold_in_a_block_and_for_good():
    before = get_options()
    assert before == Options()
    with xscat.set_options(dtype="float32", threads=2):
        assert get_options().threads == 2
        with xscat.set_options(memory=2**20):
            assert get_options() == Options(dtype="float32", threads=2, memory=2**20)
        assert plane(40, 40).scat.covariance(1).S1.dtype == "float64"
        assert plane(40, 40).scat.covariance(1, dtype=np.float64).S1.dtype == "float64"
    assert get_options() == before
    try:
        xscat.set_options(threads=3)
        assert get_options().threads == 3
    finally:
        xscat.set_options(threads=1)
    with pytest.raises(RuntimeError, match="in a block"), xscat.set_options(threads=4):
        raise RuntimeError("in a block")
    assert get_options() == before


@pytest.fixture
def empty_cache(monkeypatch):
    kept = type(cache._kept)()
    monkeypatch.setattr(cache, "_kept", kept)
    return kept


def test_transforms_are_kept_per_grid_and_within_the_memory(empty_cache):
    one, two = sphere(4), sphere(4, seed=1)
    one.scat.covariance(2)
    two.scat.covariance(2)
    assert len(empty_cache) == 1
    (kept,) = empty_cache.values()
    # other cells of the same level are another grid
    part = one[np.arange(2048) + 512].scat.covariance(2)
    xr.testing.assert_identical(one[np.arange(2048)[::-1] + 512].scat.covariance(2), part)
    other = one[np.arange(2048)].scat.covariance(2)
    assert len(empty_cache) == 3
    assert np.abs(other.S2 / part.S2 - 1).max() > 0.01
    # the oldest go first
    with xscat.set_options(memory=int(1.2 * kept.nbytes)):
        sphere(4).scat.covariance(2, 3)
    assert sum(t.nbytes for t in empty_cache.values()) <= 1.2 * kept.nbytes
    with xscat.set_options(memory=1000):
        assert_same(one.scat.covariance(2), sphere(4).scat.covariance(2))


@pytest.mark.parametrize("field", [plane(40, 40), sphere(3)], ids=["plane", "sphere"])
def test_maps_are_worked_on_in_batches_that_fit_in_the_memory(field, monkeypatch):
    maps = xr.concat([field + i for i in range(12)], "time")
    dim = field.dims
    sizes = []
    whole = xscat.blocks.batch_statistics

    def recorded(batch, *others):
        sizes.append(batch.fields.nbytes)
        return whole(batch, *others)

    monkeypatch.setattr(xscat.blocks, "batch_statistics", recorded)
    stats = maps.scat.covariance(1, dim=dim)
    assert len(sizes) == 1
    memory = 100 * field.nbytes
    with xscat.set_options(memory=memory):
        parts = maps.scat.covariance(1, dim=dim)
    assert 2 < len(sizes) - 1 <= 12
    assert max(sizes[1:]) < memory / 16  # what is filtered is some times larger
    assert_same(parts, stats)
