"""Scattering-covariance statistics of three months of sea-surface temperature (`make demo`).

Opens a zarr store lazily, computes the statistics month by month, and leaves in the folder demo/
the statistics (stats.zarr) and two pictures (field.png, statistics.png).
"""

import argparse
import time
from pathlib import Path

import healpy
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from tqdm.dask import TqdmCallback

import xscat  # registers the accessor .scat
import xscat.tutorial

matplotlib.use("Agg")


def main(folder: Path, J: int = 4, L: int = 4) -> xr.Dataset:
    start = time.perf_counter()
    sst = xscat.tutorial.open_dataset("sst").sst
    stats = sst.scat.covariance(J=J, L=L)  # lazy: nothing is computed yet

    folder.mkdir(parents=True, exist_ok=True)
    with TqdmCallback(desc="statistics"):
        stats.to_zarr(folder / "stats.zarr", mode="w", consolidated=False)
    seconds = time.perf_counter() - start

    stats = xr.open_zarr(folder / "stats.zarr", consolidated=False)[list(stats.data_vars)]
    print(stats)
    draw_field(sst.isel(time=0)).savefig(folder / "field.png", dpi=150)
    iso = stats.scat.normalize().scat.iso_mean().compute()
    iso.scat.plot(hue="time", imaginary=False).savefig(folder / "statistics.png", dpi=150)
    plt.close("all")

    total = time.perf_counter() - start
    print(
        f"\n{sst.sizes['time']} maps of {sst.sizes['cells']} cells: statistics in {seconds:.1f} s, "
        f"with the pictures {total:.1f} s.\n"
        f"Written: {folder}/stats.zarr, {folder}/field.png, {folder}/statistics.png"
    )
    return stats


def draw_field(field: xr.DataArray) -> plt.Figure:
    """Draw a nested full-sky HEALPix map in the Mollweide projection, missing cells in gray."""
    lon, lat = np.linspace(-180, 180, 1801), np.linspace(-90, 90, 901)
    middle = np.meshgrid((lon[1:] + lon[:-1]) / 2, (lat[1:] + lat[:-1]) / 2)
    nside = healpy.npix2nside(field.sizes["cells"])
    image = field.values[healpy.ang2pix(nside, *middle, nest=True, lonlat=True)]

    fig = plt.figure(figsize=(9, 5.2), layout="constrained")
    ax = fig.add_subplot(projection="mollweide", facecolor="0.82")
    mesh = ax.pcolormesh(np.radians(lon), np.radians(lat), image, cmap="RdYlBu_r", rasterized=True)
    ax.grid(color="0.3", linewidth=0.3, alpha=0.6)
    ax.set_latitude_grid(30)
    ax.set_xticklabels([])
    ax.tick_params(labelsize=7, colors="0.3")
    bar = fig.colorbar(mesh, orientation="horizontal", shrink=0.5, aspect=40, pad=0.03)
    bar.set_label(f"{field.long_name} [{field.units.replace('degC', '°C')}]")
    bar.outline.set_visible(False)
    month = field.time.dt.strftime("%B %Y").item()
    title = f"{field.long_name.capitalize()}, {month}, HEALPix nside {nside}"
    ax.set_title(title, fontweight="bold", pad=12)
    return fig


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("demo"), help="where to write")
    main(parser.parse_args().folder)
