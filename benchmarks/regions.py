"""Time 12 regions that share out the sky against one map: ``python benchmarks/regions.py``.

CPU seconds, one thread, calls of both interleaved.
"""

import statistics
import time
from collections.abc import Callable

import fields
import numpy as np
import torch
from worker_xscat import labelled

LEVEL, J = 6, 5


def cpu(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def main() -> None:
    torch.set_num_threads(1)
    field = labelled(fields.healpix(2**LEVEL).astype("float32"), "healpix")
    region = field.copy(data=np.arange(field.size) // 4**LEVEL)
    calls = {
        "one map": lambda: field.scat.covariance(J),
        "12 regions": lambda: field.scat.covariance(J, region=region),
    }
    for name, call in calls.items():
        print(f"{name}: first call {cpu(call):.2f} s")
    times = [[cpu(call) for call in calls.values()] for _ in range(9)]
    for name, t in zip(calls, zip(*times, strict=True), strict=True):
        print(f"{name}: best {min(t):.4f} s, median {statistics.median(t):.4f} s")


if __name__ == "__main__":
    main()
