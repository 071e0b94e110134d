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
STYLE = {
    "figure.dpi": 150,
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}


def main(folder: Path, J: int = 4, L: int = 4) -> xr.Dataset:
    start = time.perf_counter()
    sst = xscat.tutorial.open_dataset("sst").sst
    stats = sst.scat.covariance(J=J, L=L)  # lazy: nothing is computed yet

    folder.mkdir(parents=True, exist_ok=True)
    with TqdmCallback(desc="statistics"):
        stats.to_zarr(folder / "stats.zarr", mode="w", consolidated=False)
    seconds = time.perf_counter() - start

    stats = xr.open_zarr(folder / "stats.zarr", consolidated=False)
    print(stats)
    with plt.rc_context(STYLE):
        draw_field(sst.isel(time=0)).savefig(folder / "field.png")
        draw_statistics(stats).savefig(folder / "statistics.png")
    plt.close("all")

    total = time.perf_counter() - start
    print(
        f"\nStatistics of {sst.sizes['time']} maps of {sst.sizes['cells']} cells took {seconds:.1f} s, "
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
    mesh = ax.pcolormesh(
        np.radians(lon), np.radians(lat), image, cmap="RdYlBu_r", rasterized=True
    )
    ax.grid(color="0.3", linewidth=0.3, alpha=0.6)
    ax.set_latitude_grid(30)
    ax.set_xticklabels([])
    ax.tick_params(labelsize=7, colors="0.3")
    bar = fig.colorbar(mesh, orientation="horizontal", shrink=0.5, aspect=40, pad=0.03)
    bar.set_label(f"{field.long_name} [{field.units.replace('degC', '°C')}]")
    bar.outline.set_visible(False)
    month = field.time.dt.strftime("%B %Y").item()
    ax.set_title(f"{field.long_name.capitalize()}, {month}, HEALPix nside {nside}", pad=12)
    return fig


def draw_statistics(stats: xr.Dataset) -> plt.Figure:
    """Draw S1, S2 and the normalized S3, S4 against wavelength."""
    normalized = stats.scat.normalize().scat.iso_mean().mean("time").compute()
    fig, axes = plt.subplots(2, 2, figsize=(9, 7), layout="constrained")
    for ax, name in zip(axes[0], ("S1", "S2"), strict=True):
        draw_spectrum(ax, stats[name].compute())
    parallel = normalized.sel(dl12=0, dl13=0)
    draw_s3(axes[1, 0], parallel.S3)
    draw_s4(axes[1, 1], parallel.S4)
    fig.suptitle(f"Scattering-covariance statistics of {stats.attrs.get('source', 'the field')}")
    return fig


def draw_spectrum(ax: plt.Axes, values: xr.DataArray) -> None:
    """One line per orientation, and the months as dots around it."""
    for l1, color in enumerate(plt.cm.twilight_shifted(np.linspace(0.15, 0.85, values.sizes["l1"]))):
        one = values.isel(l1=l1)
        label = f"{float(one.angle_l1):.0f}°"
        ax.loglog(one.wavelength_j1, one.mean("time"), color=color, label=label)
        ax.plot(one.wavelength_j1, one.transpose("j1", "time"), ".", color=color, markersize=4)
    ax.set(title=f"{values.name}: {values.long_name}", ylabel=f"[{values.units}]")
    wavelength_axis(ax, values.wavelength_j1)
    ax.legend(title="direction of\nthe wave vector")


def draw_s3(ax: plt.Axes, values: xr.DataArray) -> None:
    for j1 in values.j1.values:
        one = values.sel(j1=j1)
        ax.plot(one.wavelength_j2, abs(one), "o-", label=f"{float(one.wavelength_j1):.3g}")
    ax.set(title="S3, normalized", ylabel="modulus")
    wavelength_axis(ax, values.wavelength_j2)
    ax.legend(title="fine wavelength")


def draw_s4(ax: plt.Axes, values: xr.DataArray) -> None:
    for j1 in values.j1.values:
        for j2 in values.j2.values[j1:]:
            one = values.sel(j1=j1, j2=j2)
            label = f"{float(one.wavelength_j1):.3g}, {float(one.wavelength_j2):.3g}"
            ax.plot(one.wavelength_j3, abs(one), "o-", label=label)
    ax.set(title="S4, normalized", ylabel="modulus")
    wavelength_axis(ax, values.wavelength_j3)
    ax.legend(title="fine wavelengths")


def wavelength_axis(ax: plt.Axes, wavelength: xr.DataArray) -> None:
    ax.set(xscale="log", xlabel=f"wavelength [{wavelength.units}]")
    ax.set_xticks(wavelength.values, [f"{value:.3g}" for value in wavelength.values])
    ax.minorticks_off()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("demo"), help="where to write")
    main(parser.parse_args().folder)
