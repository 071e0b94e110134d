"""What both workers share: one call at a time, timed, one JSON line each.

Runs in the environment of xscat and in that of foscat, so only the standard library.
"""

import contextlib
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path


def peak_bytes() -> int:
    """Peak resident memory of this process since the last `reset_peak`."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def reset_peak() -> None:
    """Start the peak anew (Linux). Where this is not allowed, peaks are those of the process."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def serve(prepare: Callable[[dict], Callable[[bool], float | None]]) -> None:
    """Answer each line on stdin ("warm-up" or "run") with one JSON line on stdout.

    ``prepare(case)`` imports what it needs, reads the map and returns the function to time.
    Its memory is the baseline: what a call takes on top is the cost of the method. What the
    function returns is passed on as "value".
    """
    answers = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):  # foscat prints
        call = prepare(json.loads(sys.argv[1]))
        reset_peak()
        baseline = peak_bytes()
        for line in sys.stdin:
            reset_peak()
            start = time.process_time()
            value = call(line.strip() == "warm-up")
            cpu = time.process_time() - start
            report = {"cpu": cpu, "peak": peak_bytes(), "baseline": baseline, "value": value}
            print(json.dumps(report), file=answers, flush=True)
