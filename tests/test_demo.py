"""The demo of `make demo`, from the tutorial field to the pictures."""

import importlib.util
from pathlib import Path

import matplotlib.image
import numpy as np
import xarray as xr

SCRIPT = Path(__file__).parents[1] / "scripts" / "demo.py"


def test_demo(tmp_path, capsys):
    spec = importlib.util.spec_from_file_location("demo", SCRIPT)
    demo = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(demo)
    demo.main(tmp_path / "demo")

    stats = xr.open_zarr(tmp_path / "demo" / "stats.zarr", consolidated=False).load()
    assert dict(stats.S3.sizes) == {"time": 3, "j1": 4, "j2": 4, "l1": 4, "l2": 4}
    assert set(stats.data_vars) == {"S0", "S1", "S2", "S3", "S4"}
    assert stats.S2.units == "degC^2"
    assert (stats.S2 > 0).all()
    assert (stats.S2.diff("j1") > 0).all()  # the ocean varies most on its largest scales
    assert (stats.S2.sel(l1=2) > 2 * stats.S2.sel(l1=0)).all()  # and most from south to north
    for name in ("field.png", "statistics.png"):
        picture = matplotlib.image.imread(tmp_path / "demo" / name)
        assert min(picture.shape[:2]) > 600
        assert np.std(picture[..., :3]) > 0.05
    out = capsys.readouterr()
    assert "S4" in out.out
    assert "statistics in" in out.out
    assert "100%" in out.err
