"""The foscat half of a benchmark: ``python worker_foscat.py '<case as JSON>'``, see measure.py."""

import contextlib
import tempfile

import numpy as np
import torch
from measure import serve


def operator(case: dict, cache: str):
    """The object that foscat computes with. It keeps kernels on disk below `cache`."""
    options = {"NORIENT": case["L"], "all_type": case["dtype"], "TEMPLATE_PATH": cache}
    if case["grid"] == "plane":
        import foscat.scat_cov2D as foscat2d

        return foscat2d.funct(**options)  # always 5x5
    import foscat.scat_cov as foscat

    return foscat.funct(KERNELSZ=case["kernel"], **options)


def prepare(case: dict):
    torch.set_num_threads(1)
    field = np.load(case["map"]).astype(case["dtype"])
    op = operator(case, stack.enter_context(tempfile.TemporaryDirectory()))
    J = case["foscat_J"]

    def covariance(warm_up: bool) -> None:
        op.eval(field, Jmax=J).S4.cpu()

    def synthesis(warm_up: bool) -> None:
        epochs = 1 if warm_up else case["iterations"]
        np.save(case["out"], op.synthesis(field, nstep=case["steps"], NUM_EPOCHS=epochs, Jmax=J))

    def residual(warm_up: bool) -> float:
        """Rms of (Φ(u) - Φ(d)) / σ in foscat's statistics, as its synthesis minimizes it."""
        op.eval(field, Jmax=J, norm="auto")  # the factors of "auto" are those of the first map
        target, sigma = op.eval(field, Jmax=J, norm="auto", calc_var=True)
        new = op.eval(np.load(case["out"]).astype(case["dtype"]), Jmax=J, norm="auto")
        distance = op.reduce_distance(*map(op.reduce_mean_batch, (new, target, sigma)))
        return float(distance) ** 0.5

    return {"covariance": covariance, "synthesis": synthesis, "residual": residual}[case["kind"]]


if __name__ == "__main__":
    with contextlib.ExitStack() as stack:
        serve(prepare)
