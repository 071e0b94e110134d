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
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
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
    ax.set_title(f"{field.long_name.capitalize()}, {month}, HEALPix nside {nside}", pad=12)
    return fig


def draw_statistics(stats: xr.Dataset) -> plt.Figure:
    """Draw S1, S2 and the normalized S3, S4 against wavelength: lines are means over months."""
    iso = stats.scat.normalize().scat.iso_mean().sel(dl12=0, dl13=0).compute()
    fig, axes = plt.subplots(2, 2, figsize=(9.5, 7.5), layout="constrained")
    for ax, name in zip(axes[0], ("S1", "S2"), strict=True):
        draw_orientations(ax, stats[name].compute())
    for ax, name in zip(axes[1], ("S3", "S4"), strict=True):
        draw_couplings(ax, iso[name])
    months = stats.time.dt.strftime("%B %Y").values
    fig.suptitle(
        f"Sea-surface temperature, {months[0]} to {months[-1]}: mean (line) and months (dashes)",
        fontweight="bold",
    )
    return fig


def draw_orientations(ax: plt.Axes, values: xr.DataArray) -> None:
    """S1 or S2: one color per orientation."""
    ax.set_yscale("log")
    colors = plt.cm.hsv(np.linspace(0, 1, values.sizes["l1"], endpoint=False)) * (0.8, 0.7, 0.8, 1)
    for one, color in zip(values.transpose("l1", ...), colors, strict=True):
        draw_months(ax, one, one.wavelength_j1, color, label=f"{one.angle_l1:.0f}°")
    units = values.units.replace("degC", "°C").replace("^2", "²")
    ax.set(title=f"{values.name}, {values.long_name}", ylabel=f"{values.name} [{units}]")
    ax.legend(title="wave vector,\nfrom east", alignment="left")


def draw_couplings(ax: plt.Axes, values: xr.DataArray) -> None:
    """S3, or S4 at j1 = j2: one color per inner scale, along the outer one."""
    outer = str(values.dims[-1])
    what = "field with envelope" if outer == "j2" else "power of the envelope (j1 = j2)"
    colors = plt.cm.viridis(np.linspace(0, 0.85, values.sizes["j1"]))
    for j1, color in zip(values.j1.values, colors, strict=True):
        one = values.sel(j1=j1) if outer == "j2" else values.sel(j1=j1, j2=j1)
        label = f"{one.wavelength_j1:.3g}"
        draw_months(ax, abs(one), values[f"wavelength_{outer}"], color, label=label)
    ax.set(title=f"{values.name}, {what}", ylabel=f"|{values.name}| / √(S2 S2)", ylim=(0, None))
    ax.set_xlabel(f"outer {ax.get_xlabel()}")
    ax.legend(title=f"inner wavelength\n[{one.wavelength_j1.units}]", alignment="left")


def draw_months(
    ax: plt.Axes, values: xr.DataArray, wavelength: xr.DataArray, color: np.ndarray, **style: str
) -> None:
    """Line of the mean over the months, and a dash for each month."""
    values = values.transpose(..., "time")
    ax.plot(wavelength, values.mean("time"), "o-", color=color, markersize=5, **style)
    ax.plot(wavelength, values, "_", color=color, markersize=9)
    ax.set(xscale="log", xlabel=f"wavelength [{wavelength.units}]")
    ax.set_xticks(wavelength.values, [f"{value:.3g}" for value in wavelength.values])
    ax.minorticks_off()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("demo"), help="where to write")
    main(parser.parse_args().folder)
