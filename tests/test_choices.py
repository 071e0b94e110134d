"""Other wavelets, exponents and averages, scales left out, and a reference field."""

from dataclasses import dataclass

import dask
import numpy as np
import pytest
import xarray as xr

import xscat
from brute_force import convolve
from helpers import assert_same, line, plane, sphere, texture
from xscat.engine import stencils
from xscat.normalization import normalize

S1234 = ["S1", "S2", "S3", "S4"]
GRIDS = {
    "plane": lambda seed=0: plane(50, 44, seed=seed),
    "line": lambda seed=0: line(120, seed=seed),
    "sphere": lambda seed=0: sphere(4, seed=seed),
}
every_grid = pytest.mark.parametrize("kind", GRIDS)


def raising(*args, **kwargs):
    raise RuntimeError("computed while the graph was built")


# --- wavelets


def bank(shape, J, L, sigma, xi, slant):
    """Morlet wavelets (J, L, *shape) sampled in space, with periodic images, transformed."""
    result = np.empty((J, L, *shape), complex)
    for j, l in np.ndindex(J, L):
        s, angle = sigma * 2**j, np.pi * l / L
        count = [int(np.ceil(8 * s * max(1, 1 / slant) / n)) for n in shape]
        axes = [np.arange(-c * n, (c + 1) * n) for c, n in zip(count, shape, strict=True)]
        if len(shape) == 1:
            along, across, norm = axes[0], 0, np.sqrt(2 * np.pi) * s
        else:
            y, x = np.meshgrid(*axes, indexing="ij")
            along = x * np.cos(angle) + y * np.sin(angle)
            across = slant * (y * np.cos(angle) - x * np.sin(angle))
            norm = 2 * np.pi * s**2 / slant
        g = np.exp(-(along**2 + across**2) / (2 * s**2)) / norm
        wave = g * np.exp(1j * xi / 2**j * along)
        psi = wave - wave.sum() / g.sum() * g
        blocks = [k for c, n in zip(count, shape, strict=True) for k in (2 * c + 1, n)]
        psi = psi.reshape(blocks).sum(tuple(range(0, 2 * len(shape), 2)))
        result[j, l] = np.fft.fftn(psi)
    return result


def direct(field, psi, exponent=1, average=np.mean):
    """S1..S4 of a periodic field, one product after the other."""
    J, L = psi.shape[:2]
    W = {(j, l): convolve(field, psi[j, l]) for j, l in np.ndindex(J, L)}
    U = {k: np.abs(w) ** exponent for k, w in W.items()}

    def center(z):
        return complex(average(z.real), average(z.imag))

    S1 = np.array([[average(U[j, l]) for l in range(L)] for j in range(J)])
    S2 = np.array([[average(np.abs(W[j, l]) ** 2) for l in range(L)] for j in range(J)])
    S3 = np.full((J, J, L, L), complex("nan+nanj"))
    S4 = np.full((J, J, J, L, L, L), complex("nan+nanj"))
    for j3, l3 in np.ndindex(J, L):
        V = {k: convolve(u, psi[j3, l3]) for k, u in U.items() if k[0] <= j3}
        for (j1, l1), one in V.items():
            S3[j1, j3, l1, l3] = center(W[j3, l3] * one.conj())
            for (j2, l2), two in V.items():
                if j1 <= j2:
                    S4[j1, j2, j3, l1, l2, l3] = center(one * two.conj())
    return {"S1": S1, "S2": S2, "S3": S3, "S4": S4}


def as_dataset(arrays, like):
    return xr.Dataset(
        {n: (like[n].dims, v.reshape(like[n].shape)) for n, v in arrays.items()}, like.coords
    )


def field_of(shape):
    field = texture(*shape)
    return field, xr.DataArray(field, dims=("y", "x")[-len(shape) :])


@pytest.mark.parametrize("shape", [(36, 40), (90,)])
@pytest.mark.parametrize(
    "choice",
    [
        {"sigma": 1.1},
        {"xi": 2.0},
        {"slant": 0.5},
        {"slant": 1.6, "sigma": 0.9, "xi": 1.8},
    ],
)
def test_parameters_of_the_morlet_wavelet(shape, choice):
    field, da = field_of(shape)
    L = 3 if len(shape) == 2 else 1
    stats = da.scat.covariance(2, L, wavelet=xscat.Morlet(**choice), boundary="periodic")
    full = {"sigma": 0.8, "xi": 3 * np.pi / 4, "slant": 4 / L} | choice
    assert_same(stats, as_dataset(direct(field, bank(shape, 2, L, **full)), stats), tol=1e-10)
    for name, value in choice.items():
        assert stats.attrs[f"wavelet_{name}"] == value
    np.testing.assert_allclose(stats.wavelength_j1, 2 * np.pi / full["xi"] * np.array([1, 2]))
    assert xscat.Parameters.from_attrs(stats).wavelet == xscat.Morlet(**choice)


@pytest.mark.parametrize(
    "choice", [{"sigma": 1.1}, {"xi": 2.0, "radius": 3}, {"slant": 0.5}, {"radius": 1}]
)
def test_parameters_of_the_morlet_wavelet_on_the_sphere(choice):
    da = GRIDS["sphere"]()
    stats = da.scat.covariance(1, 3, wavelet=xscat.Morlet(**choice))
    p = {"sigma": 0.8, "xi": 3 * np.pi / 4, "slant": 4 / 3, "radius": 2} | choice
    around, east, north = stencils.neighborhood(np.arange(da.size), 4, p["radius"])
    for l in range(3):
        along = east * np.cos(np.pi * l / 3) + north * np.sin(np.pi * l / 3)
        across = p["slant"] * (north * np.cos(np.pi * l / 3) - east * np.sin(np.pi * l / 3))
        g = np.exp(-(along**2 + across**2) / (2 * p["sigma"] ** 2)) * (around >= 0)
        g /= g.sum(1, keepdims=True)
        wave = g * np.exp(1j * p["xi"] * along)
        psi = wave - wave.sum(1, keepdims=True) * g
        power = np.abs((psi * da.values[around]).sum(1)) ** 2
        np.testing.assert_allclose(stats.S2[0, l], power.mean(), rtol=1e-10)


@pytest.mark.parametrize("value", [{"sigma": 0}, {"xi": -1}, {"slant": 0}, {"radius": 5}])
def test_parameters_that_make_no_wavelet(value):
    (name,) = value
    with pytest.raises(ValueError, match=f"{name}=.*(must be positive|choose 1, 2, 3 or 4)"):
        xscat.Morlet(**value)


class Own:
    """A Morlet wavelet written by a user, with nothing but what the documentation asks for."""

    radius = 2

    def __init__(self, xi=3 * np.pi / 4):
        self.xi = xi

    def fourier(self, along, across, L):
        s = L / 4
        wave = np.exp(-0.32 * ((along - self.xi) ** 2 + (s * across) ** 2))
        return wave, np.exp(-0.32 * (along**2 + (s * across) ** 2))

    def values(self, along, across, L):
        s = 4 / L
        g = np.exp(-(along**2 + (s * across) ** 2) / 1.28) * s / (1.28 * np.pi)
        return g * np.exp(1j * self.xi * along), g


@dataclass(frozen=True)
class MexicanHat:
    """Another shape: the Laplacian of a Gaussian, the same at all orientations."""

    radius: int = 2

    def fourier(self, along, across, L):
        k2 = along**2 + across**2
        return k2 * np.exp(-k2 / 2), np.exp(-k2 / 2)

    def values(self, along, across, L):
        r2 = along**2 + across**2
        g = np.exp(-r2 / 2) / (2 * np.pi)
        return (2 - r2) * g + 0j, g


@every_grid
@pytest.mark.parametrize("boundary", ["valid", "periodic"])
def test_a_wavelet_of_ones_own(kind, boundary):
    da = GRIDS[kind]()
    options = {"J": 2, "L": 3, "boundary": boundary}
    stats = da.scat.covariance(wavelet=Own(), **options)
    assert_same(stats, da.scat.covariance(**options))
    assert stats.attrs["wavelet"] == "Own"
    expected = da.scat.covariance(**options).wavelength_j1
    np.testing.assert_allclose(stats.wavelength_j1, expected, rtol=1e-3)
    # another wavelet of the same class is not taken for the first one
    other = da.scat.covariance(wavelet=Own(2.0), **options)
    assert_same(other, da.scat.covariance(wavelet=xscat.Morlet(xi=2.0), **options))
    with pytest.raises(ValueError, match="wavelet 'Own' cannot be made from attributes"):
        xscat.Parameters.from_attrs(stats)


def test_a_wavelet_of_another_shape():
    shape = (48, 50)
    field, da = field_of(shape)
    stats = da.scat.covariance(2, 2, wavelet=MexicanHat(), boundary="periodic")
    ky, kx = (2 * np.pi * np.fft.fftfreq(n) for n in shape)
    power = np.abs(np.fft.fft2(field)) ** 2 / field.size**2
    for j in (0, 1):
        psi = 0
        for fold_y, fold_x in np.ndindex(5, 5):
            y, x = ky[:, None] + 2 * np.pi * (fold_y - 2), kx + 2 * np.pi * (fold_x - 2)
            k2 = 4**j * (x**2 + y**2)
            psi = psi + k2 * np.exp(-k2 / 2)
        np.testing.assert_allclose(stats.S2[j], (power * psi**2).sum(), rtol=1e-6)
    np.testing.assert_allclose(stats.S2[:, 0], stats.S2[:, 1], rtol=1e-10)
    on_sphere = GRIDS["sphere"]().scat.covariance(2, 2, wavelet=MexicanHat())
    np.testing.assert_allclose(on_sphere.S2[:, 0], on_sphere.S2[:, 1], rtol=1e-10)
    # a real wavelet of even symmetry sees no phases
    assert float(np.abs(on_sphere.S3.imag).max()) == 0


def test_what_is_no_wavelet_is_an_error():
    class Half:
        radius = 2

        def fourier(self, along, across, L):
            return along, across

    for wavelet in (Half(), "Morlet", xscat.Morlet):
        with pytest.raises(TypeError, match=r"has no fourier\(\), values\(\) and radius"):
            plane(48, 48).scat.covariance(1, wavelet=wavelet)


# --- exponents


@pytest.mark.parametrize("shape", [(36, 40), (90,)])
@pytest.mark.parametrize("exponent", [2, 0.5])
def test_powers_of_the_modulus(shape, exponent):
    field, da = field_of(shape)
    L = 3 if len(shape) == 2 else 1
    da.attrs["units"] = "K"
    stats = da.scat.covariance(2, L, exponent=exponent, boundary="periodic")
    expected = direct(field, bank(shape, 2, L, 0.8, 3 * np.pi / 4, 4 / L), exponent)
    assert_same(stats, as_dataset(expected, stats), tol=1e-10)
    units = {2: ("K^2", "K^2", "K^3", "K^4"), 0.5: ("K^0.5", "K^2", "K^1.5", "K")}
    assert tuple(stats[n].attrs["units"] for n in S1234) == units[exponent]


def test_squares_on_the_sphere():
    da = GRIDS["sphere"]()
    stats = da.scat.covariance(2, exponent=2)
    np.testing.assert_allclose(stats.S1, stats.S2, rtol=1e-12)
    doubled = (2 * da).scat.covariance(2, exponent=2)
    np.testing.assert_allclose(doubled.S3, 8 * stats.S3, atol=1e-14)
    np.testing.assert_allclose(doubled.S4, 16 * stats.S4, atol=1e-14)
    with pytest.raises(ValueError, match="exponent=0 must be positive"):
        da.scat.covariance(1, exponent=0)


# --- medians


def low_median(x):
    """The element in the middle, the smaller one of two."""
    return np.sort(x, axis=None)[(x.size - 1) // 2]


@pytest.mark.parametrize("shape", [(33, 35), (36, 40), (91,)])
def test_medians_of_real_and_imaginary_part(shape):
    field, da = field_of(shape)
    L = 2 if len(shape) == 2 else 1
    stats = da.scat.covariance(1, L, average="median", boundary="periodic")
    psi = bank(shape, 1, L, 0.8, 3 * np.pi / 4, 4 / L)
    assert_same(stats, as_dataset(direct(field, psi, average=low_median), stats), tol=1e-10)
    np.testing.assert_allclose(stats.S0, [field.mean(), field.var()])
    assert stats.attrs["average"] == "median"


@every_grid
def test_medians_are_robust(kind):
    da = GRIDS[kind]()
    wrong = da.copy()
    wrong[{d: n // 2 for d, n in da.sizes.items()}] = 1e4
    for average, low, high in (("median", 0, 0.5), ("mean", 5, np.inf)):
        options = {"J": 1, "L": 2, "average": average}
        clean, dirty = (f.scat.covariance(**options) for f in (da, wrong))
        change = np.abs(dirty.S1 / clean.S1 - 1).max()
        assert low <= change < high
        for name in ("S3", "S4"):
            scale = float(np.abs(clean.S4).max())
            change = float(np.abs(dirty[name] - clean[name]).max()) / scale
            assert low <= change < high


@every_grid
def test_medians_over_the_valid_cells(kind):
    da = GRIDS[kind]()
    valid = xr.DataArray(np.arange(da.size).reshape(da.shape) > 0.4 * da.size, dims=da.dims)
    options = {"J": 1, "L": 2, "average": "median"}
    expected = da.where(valid).scat.covariance(**options)
    for weight in (1, 3.5):
        masked = da.scat.covariance(mask=weight * valid, **options)
        xr.testing.assert_allclose(masked, expected, rtol=1e-12, atol=0)
    regions = da.scat.covariance(region=valid.astype(int).where(valid, -1), **options)
    xr.testing.assert_identical(regions.isel(region=0, drop=True), expected)
    assert np.isfinite(expected.S4).all()


# --- scales left out


def kept(stats, name):
    """Where a statistic is not NaN, as a set of scales."""
    finite = np.isfinite(stats[name])
    over = [d for d in finite.dims if d.startswith("l")]
    np.testing.assert_array_equal(finite.any(over), finite.all(over))
    return {tuple(map(int, js)) for js in np.argwhere(finite.any(over).values)}


def triples(J):
    return [(a, b, c) for a in range(J) for b in range(a, J) for c in range(b, J)]


CHOICES = {
    "max_delta_j 0": ({"max_delta_j": 0}, lambda a, b, c: c == a),
    "max_delta_j 1": ({"max_delta_j": 1}, lambda a, b, c: c - a <= 1 and c - b <= 1),
    "scales": ({"scales": lambda a, b, c: a == b}, lambda a, b, c: a == b),
    "both": (
        {"scales": lambda a, b, c: b < c, "max_delta_j": 1},
        lambda a, b, c: b < c and c - a <= 1,
    ),
    "nothing left out": ({"max_delta_j": 9}, lambda a, b, c: True),
}


@every_grid
@pytest.mark.parametrize("choice", CHOICES)
def test_scales_not_selected_are_nan_and_the_others_the_same(kind, choice):
    options, wanted = CHOICES[choice]
    da = GRIDS[kind]() if kind != "sphere" else sphere(5)
    whole = da.scat.covariance(3, 2, boundary="periodic")
    stats = da.scat.covariance(3, 2, boundary="periodic", **options)
    assert kept(stats, "S4") == {js for js in triples(3) if wanted(*js)}
    assert kept(stats, "S3") == {(a, c) for a, b, c in triples(3) if b == c and wanted(a, b, c)}
    for name in ("S0", "S1", "S2"):
        xr.testing.assert_identical(stats[name], whole[name])
    for name in ("S3", "S4"):
        xr.testing.assert_identical(stats[name], whole[name].where(np.isfinite(stats[name])))
        assert np.array_equal(np.isnan(stats[name].real), np.isnan(stats[name].imag))


def test_selected_scales_of_two_fields():
    da, b = GRIDS["plane"](), GRIDS["plane"](1)
    options = {"J": 3, "L": 2, "boundary": "periodic", "variance": True}
    stats = da.scat.cross(b, max_delta_j=1, **options)
    all_triples = [(x, y, z) for z in range(3) for x in range(z + 1) for y in range(z + 1)]
    assert kept(stats, "S4") == {(x, y, z) for x, y, z in all_triples if z - min(x, y) <= 1}
    pairs = {(x, y) for x in range(3) for y in range(x, 3) if y - x <= 1}
    assert kept(stats, "S3P") == kept(stats, "S3") == pairs
    for name in ("S3", "S3P", "S4"):
        assert kept(stats, f"{name}_std") == kept(stats, name)


def test_a_selection_of_nothing_is_an_error():
    da = GRIDS["plane"]()
    with pytest.raises(ValueError, match="scales= leaves none"):
        da.scat.covariance(2, scales=lambda a, b, c: False)
    with pytest.raises(ValueError, match="max_delta_j=-1 must be >= 0"):
        da.scat.covariance(2, max_delta_j=-1)


# --- what was asked for, in the attributes


ASKED = {
    "defaults": {},
    "wavelet": {"wavelet": xscat.Morlet(0.9, 2.0, 0.7, 3)},
    "scales": {"max_delta_j": 1},
    "predicate": {"scales": lambda a, b, c: a == b},
    "exponent": {"exponent": 1.5},
    "median": {"average": "median", "statistics": ("S1", "S3")},
    "border": {"boundary": "periodic", "min_coverage": 0.7},
    "frame": {"frame": "stereographic"},
}


@pytest.mark.parametrize("name", ASKED)
def test_parameters_come_back_from_the_attributes(name, tmp_path):
    da = sphere(3).rename("sst")
    options = {"J": 2 if "scales" in name else 1, "L": 3} | ASKED[name]
    stats = da.scat.covariance(**options)
    assert all(isinstance(v, str | int | float) for v in stats.attrs.values())
    stats.to_zarr(tmp_path / "stats.zarr", consolidated=False)
    read = xr.open_zarr(tmp_path / "stats.zarr", consolidated=False)
    xr.testing.assert_identical(read.load(), stats)
    p = xscat.Parameters.from_attrs(read)
    assert p == xscat.Parameters.from_attrs(stats.attrs)
    assert (options["J"], 3) == (p.J, p.L)
    for key in set(options) - {"max_delta_j", "scales"}:
        assert getattr(p, key) == options[key]
    # what was asked for gives the same once more
    again = da.scat.covariance(
        p.J,
        p.L,
        statistics=p.statistics,
        boundary=p.boundary,
        frame=p.frame,
        wavelet=p.wavelet,
        min_coverage=p.min_coverage,
        exponent=p.exponent,
        average=p.average,
        scales=None if p.selected is None else lambda *js: js in p.selected,
    )
    xr.testing.assert_identical(again, stats)


def test_attributes_without_parameters():
    with pytest.raises(ValueError, match="no parameters in these attributes"):
        xscat.Parameters.from_attrs(xr.Dataset())


def test_lazy_with_every_choice():
    maps = xr.concat([sphere(3, seed=s) for s in (0, 1)], "time")
    options = {
        "J": 2,
        "L": 2,
        "wavelet": Own(),
        "exponent": 2,
        "max_delta_j": 0,
        "min_coverage": 0.9,
    }
    with dask.config.set(scheduler=raising):
        lazy = maps.chunk(time=1).scat.covariance(**options)
    eager = maps.scat.covariance(**options)
    xr.testing.assert_allclose(lazy.compute(scheduler="synchronous"), eager, rtol=1e-12)


# --- a reference


@every_grid
def test_reference_is_normalization_by_its_statistics(kind):
    da, ref = GRIDS[kind]().assign_attrs(units="K"), GRIDS[kind](1).assign_attrs(units="K")
    options = {"J": 2, "boundary": "periodic"}
    reference = ref.scat.covariance(**options)
    stats = da.scat.covariance(reference=reference, **options)
    expected = normalize(da.scat.covariance(**options), reference=reference)
    assert_identical_statistics(stats, expected)
    assert all(stats[n].attrs["units"] == "1" for n in S1234)
    itself = da.scat.covariance(reference=da.scat.covariance(**options), **options)
    np.testing.assert_allclose(itself.S2, 1)
    np.testing.assert_allclose(itself.S3, normalize(da.scat.covariance(**options)).S3)
    own = da.scat.covariance(**options).S2 / reference.S2
    np.testing.assert_allclose(stats.S2, own)


def assert_identical_statistics(actual, expected):
    assert set(actual) == set(expected)
    for name in expected:
        np.testing.assert_allclose(actual[name], expected[name], rtol=1e-12, atol=1e-14)
        assert actual[name].attrs == expected[name].attrs
    assert actual.attrs == expected.attrs


def test_reference_of_each_time_under_a_mask():
    maps = xr.concat([sphere(4, seed=s) for s in (0, 1)], "time").assign_coords(time=[1, 2])
    refs = xr.concat([sphere(4, seed=s) for s in (2, 3)], "time").assign_coords(time=[1, 2])
    valid = xr.DataArray(np.arange(maps.sizes["cells"]) != 99, dims="cells")
    options = {"J": 2, "mask": valid, "variance": True}
    reference = refs.scat.covariance(**options)
    stats = maps.scat.covariance(reference=reference, **options)
    expected = normalize(maps.scat.covariance(**options), reference=reference)
    assert_identical_statistics(stats, expected)
    of_first = reference.sel(time=1, drop=True)
    one = maps.scat.covariance(reference=of_first, **options)
    np.testing.assert_allclose(one.S2.sel(time=1), stats.S2.sel(time=1))
    assert not np.allclose(one.S2.sel(time=2), stats.S2.sel(time=2))
    with dask.config.set(scheduler=raising):
        lazy = maps.chunk(time=1).scat.covariance(reference=reference.chunk(time=2), **options)
    xr.testing.assert_allclose(lazy.compute(scheduler="synchronous"), expected, rtol=1e-9)


def test_what_is_no_reference_is_an_error():
    da = GRIDS["sphere"]()
    with pytest.raises(TypeError, match=r"reference=other.scat.covariance\(...\)"):
        da.scat.covariance(1, reference=da)
    with pytest.raises(ValueError, match="level"):
        da.scat.covariance(1, reference=sphere(3).scat.covariance(1))
