"""Ctrl-C, and losses that are no number: a search ends, says why and keeps what it found."""

import functools
import signal
import subprocess
import sys
import time

import dask
import numpy as np
import pytest
import torch
import xarray as xr

import xscat
from helpers import line, plane, sphere
from xscat import terms
from xscat.synthesis import interrupt

KWARGS = {"J": 1, "seed": 1, "max_iter": 8, "steps": 2, "progress": False}


def small():
    return plane(16, 16)


def nan(fields, context):
    return fields.mean() * np.nan


def infinite(fields, context):
    return (fields**2).mean() / 0


def root_at_zero(fields, context):
    return ((fields - fields.detach()) ** 2).sum().sqrt()  # 0, and its gradient is NaN


NOT_FINITE = {"nan": nan, "infinite": infinite, "root_at_zero": root_at_zero}


@pytest.mark.parametrize("optimizer", ["lbfgs", "scipy", "torch"])
@pytest.mark.parametrize("max_iter", [1, 300])
@pytest.mark.parametrize("name", NOT_FINITE)
def test_a_term_that_is_no_number_is_named(name, max_iter, optimizer):
    fine = terms.PowerSpectrum(small())
    kwargs = KWARGS | {"max_iter": max_iter, "optimizer": optimizer}
    calls = []

    @functools.wraps(NOT_FINITE[name])
    def counted(fields, context):
        calls.append(1)
        return NOT_FINITE[name](fields, context)

    with pytest.raises(ValueError, match=rf"terms\[1\] \({name}\).*at the start of level [01]"):
        small().scat.synthesize(boundary="periodic", terms=[fine, counted], **kwargs)
    assert len(calls) == 2  # the second time to see which one it is


@pytest.mark.parametrize("make", [small, lambda: line(32), lambda: sphere(2)])
@pytest.mark.parametrize("realizations", [1, 2])
def test_on_every_grid_and_with_realizations(make, realizations):
    with pytest.raises(ValueError, match=r"terms\[0\] \(nan\) is nan"):
        make().scat.synthesize(terms=nan, realizations=realizations, **KWARGS)


def test_in_every_function_that_searches():
    da = small()
    kwargs = {k: v for k, v in KWARGS.items() if k != "steps"}
    with pytest.raises(ValueError, match=r"terms\[0\] \(nan\)"):
        da.where(da.x > 3).scat.inpaint(terms=[nan], **kwargs)
    with pytest.raises(ValueError, match=r"terms\[0\] \(nan\)"):
        da.scat.denoise(0.1, terms=[nan], **kwargs)
    with pytest.raises(ValueError, match=r"components\['b'\]\[1\] \(nan\)"):
        da.scat.separate({"a": da, "b": [terms.Statistics(da), nan]}, **kwargs)
    with pytest.raises(ValueError, match=r"terms\[0\] \(nan\)"):
        da.scat.synthesize(terms=[nan], gaussianize=True, **kwargs)
    lazy = da.expand_dims(time=2).chunk(time=1).scat.synthesize(terms=[nan], **kwargs)
    with dask.config.set(scheduler="threads"), pytest.raises(ValueError, match=r"terms\[0\] \(nan"):
        lazy.compute()


@pytest.mark.parametrize("optimizer", ["scipy", "torch"])
def test_what_was_found_before_the_loss_was_no_number_is_kept(optimizer):
    calls = []

    def soon_nan(fields, context):
        calls.append(1)
        return fields.mean() * (np.nan if len(calls) > 8 else 0)

    kwargs = KWARGS | {"max_iter": 30, "steps": 1, "optimizer": optimizer}
    with pytest.warns(UserWarning, match=r"terms\[0\] \(soon_nan\)"):
        new, history = small().scat.synthesize(terms=[soon_nan], return_history=True, **kwargs)
    assert new.attrs["stopped"] == ["not_finite"]
    assert new.notnull().all()
    assert np.isfinite(new.attrs["final_loss"]).all()
    assert history.stopped.attrs["flag_meanings"].split()[int(history.stopped[-1])] == "not_finite"
    assert len(calls) < 20


@pytest.mark.parametrize(
    ("term", "error", "message"),
    [
        (lambda f, c: 1.0, TypeError, "gave float: a scalar tensor"),
        (lambda f, c: None, TypeError, "gave NoneType"),
        (lambda f, c: f.mean(1), ValueError, r"gave .*of shape \(1,\): a real scalar"),
        (lambda f, c: f, ValueError, "gave .*of shape"),
        (lambda f, c: (f > 0).sum(), ValueError, "gave torch.int64"),
        (lambda f, c: torch.fft.fft(f).mean(), ValueError, "gave torch.complex"),
    ],
)
def test_what_is_no_loss_is_named(term, error, message):
    with pytest.raises(error, match=rf"terms\[0\] \(<lambda>\) at level \d {message}"):
        small().scat.synthesize(terms=[term], **KWARGS)


def test_a_search_that_gains_nothing_ends():
    def flat(fields, context):
        return fields.new_tensor(1e20) + 0 * fields.sum()

    new = small().scat.synthesize(terms=[flat], statistics="S0", **KWARGS | {"max_iter": 20})
    assert new.notnull().all()


def test_interrupt_of_one_map_stops_all():
    maps = xr.concat([small() + i for i in range(4)], "time")

    def stop_in_the_second(level, iteration, loss):
        calls.append((level, iteration))
        if len(calls) == first + 2:
            raise KeyboardInterrupt

    calls, first = [], 1000
    maps[:1].scat.synthesize(callback=stop_in_the_second, **KWARGS)
    first, calls = len(calls), []
    with pytest.warns(UserWarning, match="interrupted"):
        new, history = maps.scat.synthesize(
            callback=stop_in_the_second, return_history=True, **KWARGS
        )
    assert len(calls) == first + 2
    assert new[:2].notnull().all()
    assert new[2:].isnull().all()
    assert "interrupted" in new.attrs["stopped"][-1]
    assert (history.stopped[2:] == 3).all()
    again = maps.scat.synthesize(**KWARGS)  # the next call begins anew
    assert again.notnull().all()


def test_second_interrupt_is_raised():
    from xscat.synthesis import interrupt

    def interrupted():
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            interrupt.caught()

    with interrupt.scope():
        interrupted()
        assert interrupt.requested()
        with pytest.raises(KeyboardInterrupt):
            interrupted()
    with interrupt.scope():
        assert not interrupt.requested()


def test_signals_while_dask_computes():
    from xscat.synthesis import interrupt

    def search():
        signal.raise_signal(signal.SIGINT)
        return interrupt.requested()

    before = signal.getsignal(signal.SIGINT)
    interrupt._started(None)
    try:
        with pytest.raises(KeyboardInterrupt):  # no search was begun
            signal.raise_signal(signal.SIGINT)
    finally:
        interrupt._finished()
    interrupt._started(None)  # that computation is over, the next one is watched as well
    try:
        assert interrupt.one_map(search, lambda: "nothing") is True
        with pytest.warns(UserWarning, match="interrupted"):
            assert interrupt.one_map(search, lambda: "nothing") == "nothing"
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    finally:
        interrupt._finished()
    assert signal.getsignal(signal.SIGINT) is before


def test_inpaint_denoise_and_separate_keep_maps_and_frozen_cells():
    maps = xr.concat([small() + i for i in range(3)], "time")
    kwargs = {k: v for k, v in KWARGS.items() if k != "steps"}

    def stop(level, iteration, loss):
        raise KeyboardInterrupt

    gap = (maps.x > 4) & (maps.x < 8)
    with pytest.warns(UserWarning, match="interrupted"):
        filled = maps.where(~gap).scat.inpaint(callback=stop, **kwargs)
    assert filled[0].notnull().all()
    np.testing.assert_array_equal(filled.isnull()[1:], (maps.notnull() & gap)[1:])
    with pytest.warns(UserWarning, match="interrupted"):
        clean = maps.scat.denoise(0.1, callback=stop, **kwargs)
    assert clean[0].notnull().all()
    assert clean[1:].isnull().all()
    with pytest.warns(UserWarning, match="interrupted"):
        parts = maps.scat.separate({"a": small(), "b": small().T}, callback=stop, **kwargs)
    assert parts.a[0].notnull().all()
    assert parts.a[1:].isnull().all()
    assert "interrupted" in parts.attrs["stopped"][-1]


SCRIPT = """
import signal, threading, time, warnings
import dask, numpy as np, xarray as xr, xscat
warnings.simplefilter("ignore")
values = np.random.default_rng(0).normal(size=(200, 16, 16))
maps = xr.DataArray(values, dims=("time", "y", "x"))

lock = threading.Lock()

def callback(level, iteration, loss):
    with lock:
        if not calls:
            print("begun", flush=True)
        calls.append(1)
    time.sleep(0.02)

kwargs = dict(J=1, seed=1, tol=0, max_iter=20, steps=1, progress=False, callback=callback)
kwargs["return_history"] = True

def eager():
    return maps.scat.synthesize(**kwargs)

def realizations():
    return maps[0].scat.synthesize(realizations=100, **kwargs)

def threads():
    lazy = maps.chunk(time=1).scat.synthesize(**kwargs)
    return dask.compute(*lazy, scheduler="threads", num_workers=2)

for call in (eager, realizations, threads):
    calls = []
    new, history = call()
    end, n = time.monotonic(), int(new.notnull().any(["y", "x"]).sum())
    mine = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    print(n, int((history.stopped == 3).sum()), int(mine), end, flush=True)
"""


def test_control_c_stops_all_and_keeps_what_is_found():
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, text=True, bufsize=1
    )
    assert process.stdout is not None
    sizes = {"eager": 200, "realizations": 100, "threads": 200}
    for how, n_maps in sizes.items():
        assert process.stdout.readline() == "begun\n"
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        sent = time.monotonic()
        found, stopped, restored, end = map(float, process.stdout.readline().split())
        assert 1 <= found <= n_maps, how
        assert found < n_maps or how == "realizations"
        assert stopped >= 1, how
        assert restored, how
        assert end - sent < 3, how
    assert process.wait(60) == 0
    process.stdout.close()


def test_nothing_is_swallowed_elsewhere(monkeypatch):
    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(xscat.blocks, "one_pass", stop)
    with pytest.raises(KeyboardInterrupt):
        small().scat.covariance(1)
    with pytest.raises(KeyboardInterrupt), dask.config.set(scheduler="synchronous"):
        small().chunk().scat.covariance(1).compute()


def test_maps_of_an_abandoned_computation_are_not_begun(monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(interrupt, "_handlers", [interrupted])
    interrupt._started(None)
    with pytest.raises(KeyboardInterrupt):  # before any map was begun
        interrupt._on_signal(2, None)
    interrupt._finished()
    with pytest.warns(UserWarning, match="interrupted"):
        assert interrupt.one_map(lambda: "searched", lambda: "nothing") == "nothing"
    with interrupt.scope():
        assert interrupt.one_map(lambda: "searched", lambda: "nothing") == "searched"
