"""The same structure gives the same statistics on a sphere, a plane and a line."""

import healpy as hp
import numpy as np
import pytest
import xarray as xr
import xdggs

import xscat

NSIDE = 64


def wave(degrees):
    """A ripple of 40 periods whose amplitude follows, out of phase, a swell of 4 periods."""
    x = np.deg2rad(degrees)
    return np.cos(4 * x) + (1 + np.sin(4 * x + 0.7)) * np.cos(40 * x)


@pytest.fixture(scope="module")
def sphere():
    lon, lat = hp.pix2ang(NSIDE, np.arange(12 * NSIDE**2), nest=True, lonlat=True)
    attrs = {"grid_name": "healpix", "level": 6, "indexing_scheme": "nested"}
    coords = {"cell_ids": ("cells", np.arange(12 * NSIDE**2), attrs)}
    return lon, xr.DataArray(np.abs(lat) < 50, dims="cells", coords=coords).pipe(xdggs.decode)


def swell(stats, size):
    """Phase and strength of S3 of the ripple with the swell, at the scales that hold them."""
    j1 = int(np.argmin(np.abs(stats.wavelength_j1.values - size / 40)))
    j2 = int(np.argmin(np.abs(stats.wavelength_j2.values - size / 4)))
    return complex(stats.S3.isel(j1=j1, j2=j2, missing_dims="ignore").squeeze())


@pytest.mark.filterwarnings("ignore:no valid coefficient")
def test_phase_of_s3_is_the_same_on_all_grids(sphere):
    lon, band = sphere
    on_sphere = band.copy(data=wave(lon)).scat.covariance(J=5, mask=band)
    x = np.arange(0, 360, 360 / 512)
    on_plane = xr.DataArray(np.tile(wave(x), (512, 1)), dims=("y", "x"), coords={"x": x, "y": x})
    on_plane = on_plane.scat.covariance(J=7, boundary="periodic")
    on_line = xr.DataArray(wave(x), dims="x", coords={"x": x}).scat.covariance(
        J=7, boundary="periodic"
    )
    pick = {"l1": 0, "l2": 0}
    plane, line = swell(on_plane.isel(pick), 360), swell(on_line, 360)
    assert abs(plane / line - 1) < 1e-9
    normalized = on_sphere.scat.normalize().S3.isel(pick)
    reference = on_plane.scat.normalize().S3.isel(pick)
    for j1, j2 in ((0, 3), (1, 2), (1, 3)):
        ours = complex(normalized[j1, j2])
        theirs = complex(reference[j1 + 1, j2 + 2])  # the coarser cells of the sphere
        assert abs(np.angle(ours / theirs)) < 0.25, (j1, j2, ours, theirs)
        assert abs(np.angle(ours)) > 0.5  # a conjugate would be noticed


@pytest.mark.filterwarnings("ignore:no valid coefficient")
def test_divergence_is_that_of_the_plane(sphere):
    lon, band = sphere
    lat = hp.pix2ang(NSIDE, np.arange(len(lon)), nest=True, lonlat=True)[1]

    def flow(x, metric=1.0):
        return (wave(x + 1e-3) - wave(x - 1e-3)) / 2e-3 / metric

    u = band.copy(data=flow(lon, np.cos(np.deg2rad(lat))))
    ours = xr.Dataset({"u": u, "v": 0 * u}).scat.covariance(spin=1, J=4, mask=band)
    x = np.arange(0, 360, 360 / 512)
    u = xr.DataArray(np.tile(flow(x), (512, 1)), dims=("y", "x"))
    theirs = xr.Dataset({"u": u, "v": 0 * u}).scat.covariance(spin=1, J=6, boundary="periodic")
    pick = {"mode": "divergence", "l1": 0, "l2": 0}
    a, b = complex(ours.S3.sel(pick)[1, 2]), complex(theirs.S3.sel(pick)[2, 4])
    assert abs(np.angle(a / b)) < 0.3
    assert abs(np.angle(a)) > 0.5
    assert xscat.Parameters.from_attrs(ours).spin == 1
