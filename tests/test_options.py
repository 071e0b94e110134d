"""Options: threads, tasks of asyncio, limits, devices."""

import asyncio
import contextvars
import itertools
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

import xscat
from helpers import plane, sphere
from xscat.options import Options, get_options


@pytest.fixture(autouse=True)
def options_stay():
    before = get_options()
    yield
    xscat.set_options(**vars(before))


def test_64_threads_with_options_of_their_own():
    da = plane(16, 16)
    barrier = threading.Barrier(64)

    def values(**options):
        return da.scat.covariance(1, statistics="S1", **options).S1.values.tobytes()

    exact = {name: values(dtype=name) for name in ("float32", "float64")}
    assert exact["float32"] != exact["float64"]

    def dtype(i):
        wanted = (None, "float32", "float64")[i % 3]
        barrier.wait()
        found = set()
        for _ in range(5):
            if wanted is None:  # those of the main thread
                found.add(values() == exact["float64"])
                continue
            with xscat.set_options(dtype=wanted, threads=1 + i % 3):
                found |= {values() == exact[wanted], get_options().threads == 1 + i % 3}
        return found

    with ThreadPoolExecutor(64) as pool:
        assert list(pool.map(dtype, range(64))) == [{True}] * 64
    assert get_options().dtype is None


def test_what_the_main_thread_sets_for_good_is_seen_by_all():
    before = ThreadPoolExecutor(1)
    before.submit(get_options).result()
    xscat.set_options(threads=3)
    with ThreadPoolExecutor(1) as later, before as earlier:
        assert earlier.submit(get_options).result().threads == 3
        assert later.submit(get_options).result().threads == 3

        def of_its_own():
            xscat.set_options(threads=5)
            return get_options().threads

        assert later.submit(of_its_own).result() == 5
    assert get_options().threads == 3


def test_blocks_are_of_their_thread():
    with xscat.set_options(threads=7), ThreadPoolExecutor(1) as pool:
        assert pool.submit(get_options).result().threads == Options().threads
        context = contextvars.copy_context()
        assert pool.submit(context.run, get_options).result().threads == 7


def test_tasks_of_asyncio():
    async def task(n):
        with xscat.set_options(threads=n):
            await asyncio.sleep(0.001)
            return get_options().threads

    async def tasks():
        return await asyncio.gather(*(task(n) for n in range(1, 40)))

    assert asyncio.run(tasks()) == list(range(1, 40))
    assert get_options().threads == Options().threads


def test_blocks_inside_one_another():
    with xscat.set_options(dtype="float32"):
        xscat.set_options(threads=2)  # for good
        assert get_options() == Options(dtype="float32", threads=2)
        with xscat.set_options(dtype=None, memory=10**6):
            assert get_options() == Options(threads=2, memory=10**6)
    assert get_options() == Options(threads=2)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *itertools.product(["threads", "memory"], [0, -1, 1.5, "2", True, None, np.float64(2)]),
        ("threads", 10**9),
        ("threads", 1025),
        *itertools.product(["progress"], [1, "no", None]),
        *itertools.product(["dtype"], ["int8", 5, "double", float]),
    ],
)
def test_values_without_sense(name, value):
    if value is float:
        xscat.set_options(dtype=float)
        return
    with pytest.raises((ValueError, TypeError), match=f"{name}="):
        xscat.set_options(**{name: value})
    assert get_options() == Options()


def test_numbers_of_threads_say_what_there_is():
    with pytest.raises(ValueError, match=f"1024.* {os.cpu_count()} CPUs"):
        xscat.set_options(threads=10**9)
    xscat.set_options(threads=np.int64(2))
    assert type(get_options().threads) is int


ABSENT = ["mps", "xpu", "gpu", "cuda:77", "cuda:x", "cpu:3", "GPU", "tpu", 0, "cuad"]
if not torch.cuda.is_available():
    ABSENT += ["cuda", "cuda:0"]


def uses(device):
    """All functions with device=."""
    da, kwargs = plane(16, 16), {"device": device}
    yield lambda: xscat.set_options(device=device)
    yield lambda: da.scat.covariance(1, **kwargs)
    yield lambda: da.chunk().scat.covariance(1, **kwargs)
    yield lambda: sphere(2).scat.covariance(1, **kwargs)
    yield lambda: da.scat.cross(da, 1, **kwargs)
    yield lambda: da.scat.dominant_orientation(0, **kwargs)
    kwargs |= {"max_iter": 1, "seed": 0, "progress": False}
    yield lambda: da.scat.synthesize(1, **kwargs)
    yield lambda: da.chunk().scat.synthesize(1, **kwargs)
    yield lambda: da.where(da.x > 4).scat.inpaint(J=1, **kwargs)
    yield lambda: da.scat.denoise(0.1, 1, **kwargs)
    yield lambda: da.scat.separate({"a": da, "b": da.T}, 1, **kwargs)


@pytest.mark.parametrize("device", ABSENT)
def test_devices_that_are_not_there(device):
    for use in uses(device):
        with pytest.raises(ValueError, match=f"device='{device}' is not there.*'cpu'.*'auto'"):
            use()
    assert get_options() == Options()


def test_automatic_device():
    for use in uses("auto"):
        use()
    assert get_options().device == ("cuda" if torch.cuda.is_available() else "cpu")


def test_a_worker_without_the_device(monkeypatch):
    lazy = plane(16, 16).chunk()
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    graphs = [
        lazy.scat.covariance(1, device="cuda").S1,
        lazy.scat.dominant_orientation(0, device="cuda:0"),
        lazy.scat.synthesize(1, device="auto", seed=0),
    ]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    for graph in graphs:
        with pytest.raises(ValueError, match=r"device='cuda.* is not there.*'cpu'"):
            graph.compute()
