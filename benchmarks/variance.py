"""Time statistics with and without error bars, one thread: ``python benchmarks/variance.py``."""

import os
import sys
import time

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

import fields
import numpy as np
import xarray as xr
import xdggs

import xscat  # noqa: F401  (the accessor)

ROUNDS = 9


def sphere(level: int) -> xr.DataArray:
    values = fields.healpix(2**level).astype("float32")
    attrs = {"grid_name": "healpix", "level": level, "indexing_scheme": "nested"}
    cells = ("cells", np.arange(values.size), attrs)
    return xr.DataArray(values, dims="cells", coords={"cell_ids": cells}).pipe(xdggs.decode)


def plane(n: int) -> xr.DataArray:
    return xr.DataArray(fields.plane(n).astype("float32"), dims=("y", "x"))


def cases() -> dict[str, tuple[xr.DataArray, dict]]:
    half = sphere(6).isel(cells=slice(0, 6 * 4**6))
    line = plane(256).stack(z=("y", "x")).drop_vars(("z", "y", "x"))
    return {
        "sphere, nside 64": (sphere(6), {"J": 5}),
        "sphere, nside 128": (sphere(7), {"J": 6}),
        "half of the sphere, nside 64": (half, {"J": 4}),
        "plane 256x256, valid": (plane(256), {"J": 5}),
        "plane 512x512, valid": (plane(512), {"J": 6}),
        "plane 256x256, periodic": (plane(256), {"J": 7, "boundary": "periodic"}),
        "line 65536, valid": (line, {"J": 8}),
        "line 65536, periodic": (line, {"J": 8, "boundary": "periodic"}),
    }


def best_of(da: xr.DataArray, options: dict) -> tuple[float, float]:
    """CPU seconds without and with error bars, calls interleaved after one of each."""
    times: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(ROUNDS + 1):
        for variance in times:
            start = time.process_time()
            da.scat.covariance(variance=variance, **options)
            times[variance].append(time.process_time() - start)
    return min(times[False][1:]), min(times[True][1:])


def main() -> int:
    print(f"{'':32}  without      with  ratio    CPU s, best of {ROUNDS}")
    worst = 0.0
    for name, (da, options) in cases().items():
        without, with_bars = best_of(da, options)
        ratio = with_bars / without
        print(f"{name:32}  {without:7.4f}   {with_bars:7.4f}  {ratio:5.2f}", flush=True)
        if options.get("boundary") != "periodic":
            worst = max(worst, ratio)
    print(f"largest ratio, without the periodic ones (they lose Parseval's short cut): {worst:.2f}")
    return int(worst > 2)


if __name__ == "__main__":
    sys.exit(main())
