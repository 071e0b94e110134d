"""The xscat half of a benchmark: ``python worker_xscat.py '<case as JSON>'``, see measure.py."""

import numpy as np
import torch
import xarray as xr
from measure import serve

import xscat


def labelled(values: np.ndarray, grid: str) -> xr.DataArray:
    if grid == "plane":
        y, x = (np.arange(n, dtype="float64") for n in values.shape)
        return xr.DataArray(values, dims=("y", "x"), coords={"y": y, "x": x})
    import xdggs

    attrs = {
        "grid_name": "healpix",
        "level": (values.size // 12).bit_length() // 2,
        "indexing_scheme": "nested",
    }
    ids = xr.DataArray(np.arange(values.size), dims="cells", attrs=attrs)
    return xdggs.decode(xr.DataArray(values, dims="cells", coords={"cell_ids": ids}))


def prepare(case: dict):
    torch.set_num_threads(1)
    field = labelled(np.load(case["map"]).astype(case["dtype"]), case["grid"])
    options = {"J": case["J"], "L": case["L"], "dtype": case["dtype"]}
    if case["grid"] == "plane":
        options["boundary"] = "periodic"

    def covariance(warm_up: bool) -> None:
        field.scat.covariance(**options)

    def synthesis(warm_up: bool) -> None:
        new = field.scat.synthesize(
            J=case["J"],
            L=case["L"],
            steps=case["steps"],
            max_iter=1 if warm_up else case["our_iterations"],
            seed=1,
        )
        np.save(case["out"], new.values)

    def residual(warm_up: bool) -> float:
        """Rms of (Φ(u) - Φ(d)) / σ in xscat's statistics."""
        target = xscat.covariance(field, variance=True, **options)
        synthesized = field.copy(data=np.load(case["out"]).reshape(field.shape))
        new = xscat.covariance(synthesized, **options)
        parts = [(new[k] - target[k]) / target[f"{k}_std"] for k in ("S1", "S2", "S3", "S4")]
        squares = np.concatenate([(abs(p) ** 2).values.ravel() for p in parts])
        return float(np.sqrt(np.nanmean(squares)))

    return {"covariance": covariance, "synthesis": synthesis, "residual": residual}[case["kind"]]


if __name__ == "__main__":
    serve(prepare)
