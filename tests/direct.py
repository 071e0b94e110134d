"""Test data: the definitions evaluated directly with numpy on a periodic plane, and random numbers.

Nothing here uses xscat. The filters are Morlet wavelets sampled and periodized in Fourier space.
"""

import numpy as np
import xarray as xr


def bank(n, J, angles):
    """Fourier transforms (J, angle, n, n) of Morlet wavelets at the given angles (radians)."""
    k = 2 * np.pi * np.fft.fftfreq(n)
    ky, kx = np.meshgrid(k, k, indexing="ij")

    def gauss(x, y, angle, sigma):
        along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        return np.exp(-(sigma**2) * (along**2 + (across / 0.75) ** 2) / 2)

    out = np.zeros((J, len(angles), n, n))
    for j in range(J):
        sigma, xi = 0.8 * 2**j, 0.75 * np.pi / 2**j
        for i, angle in enumerate(angles):
            wave, low = np.zeros((2, n, n))
            for my in range(-2, 3):
                for mx in range(-2, 3):
                    x, y = kx + 2 * np.pi * mx, ky + 2 * np.pi * my
                    wave += gauss(x - xi * np.cos(angle), y - xi * np.sin(angle), angle, sigma)
                    low += gauss(x, y, angle, sigma)
            out[j, i] = wave - low * wave[0, 0] / low[0, 0]
    return out


def evaluate(a, b, J, angles, cross=False):
    """S1 (of both), S2, S3, S3P, S4 of two periodic planes, as DESIGN's formulas say."""
    psi = bank(a.shape[0], J, angles)
    fields = np.stack([a, b])
    W = np.fft.ifft2(np.fft.fft2(fields)[:, None, None] * psi)
    U = np.abs(W)
    V = np.fft.ifft2(np.fft.fft2(U)[:, :, :, None, None] * psi)  # field, j, l, outer j, outer l
    n, size = len(angles), a.size
    S2 = np.einsum("jlyx,jlyx->jl", W[0], W[1].conj()) / size
    S3 = np.einsum("klyx,jmklyx->jkml", W[0], V[1].conj()) / size
    S3P = np.einsum("klyx,jmklyx->jkml", W[1], V[0].conj()) / size
    S4 = np.empty((J, J, J, n, n, n), complex)
    for k in range(J):
        for m in range(n):
            one, two = V[0, :, :, k, m], V[1, :, :, k, m]
            gram = one.reshape(J * n, -1) @ two.reshape(J * n, -1).conj().T / size
            S4[:, :, k, :, :, m] = gram.reshape(J, n, J, n).transpose(0, 2, 1, 3)
    j = np.arange(J)
    S3[j[:, None] > j] = S3P[j[:, None] > j] = complex("nan+nanj")
    outside = (j[:, None, None] > j) | (j[:, None] > j)
    if not cross:
        outside = outside | (j[:, None, None] > j[:, None])
    S4[outside] = complex("nan+nanj")
    power = (np.abs(W) ** 2).mean((-1, -2))
    return {"S1": U.mean((-1, -2)), "S2": S2, "S3": S3, "S3P": S3P, "S4": S4, "S2_auto": power}


def coordinates(J, L):
    coords = {}
    for i in "123":
        coords[f"j{i}"] = (f"j{i}", np.arange(J), {"long_name": "scale"})
        attrs = {"units": "m", "long_name": "wavelength"}
        coords[f"wavelength_j{i}"] = (f"j{i}", 2.5 * 2.0 ** np.arange(J), attrs)
        if L:
            coords[f"l{i}"] = (f"l{i}", np.arange(L), {"long_name": "orientation"})
            attrs = {"units": "degrees", "long_name": "direction of the wave vector"}
            coords[f"angle_l{i}"] = (f"l{i}", 180 / L * np.arange(L), attrs)
    return coords


def dims(name, line=False):
    full = {
        "S0": "moment",
        "S1": "j1 l1",
        "S2": "j1 l1",
        "S2_auto": "field j1 l1",
        "S3": "j1 j2 l1 l2",
        "S3P": "j1 j2 l1 l2",
        "S4": "j1 j2 j3 l1 l2 l3",
    }[name.removesuffix("_std")].split()
    return [d for d in full if not (line and d[0] == "l")]


def labelled(arrays, J, L, lead=(), **attrs):
    """A statistics Dataset as xscat makes it."""
    variables = {}
    for name, values in arrays.items():
        own = dims(name, line=not L)
        if name.startswith("S1") and "S2_auto" in arrays:
            own = ["field", *own]
        meta = {"long_name": f"long name of {name}"}
        if not name.startswith("S0"):
            meta["units"] = "K" if name.startswith("S1") else "K^2"
        variables[name] = ([*lead, *own], values, meta)
    ds = xr.Dataset(variables)
    coords = {k: v for k, v in coordinates(J, L).items() if v[0] in ds.dims}
    for dim, values in {"moment": ["mean", "variance"], "field": ["a", "b"]}.items():
        if dim in ds.dims:
            coords[dim] = np.array(values, dtype=object)
    grid = {"grid": "plane" if L else "line", "J": J, "L": L or 1, "boundary": "periodic"}
    names = " ".join(n for n in arrays if not n.endswith("_std"))
    return ds.assign_coords(coords).assign_attrs({**grid, "statistics": names, **attrs})


def statistics(field, J, L, turn=0.0):
    """Statistics of one plane; orientations begin at `turn` (radians)."""
    arrays = evaluate(field, field, J, turn + np.pi * np.arange(L) / L)
    kept = {n: arrays[n] for n in ("S3", "S4")}
    return labelled({"S1": arrays["S1"][0], "S2": arrays["S2"].real, **kept}, J, L)


def cross_statistics(a, b, J, L):
    arrays = evaluate(a, b, J, np.pi * np.arange(L) / L, cross=True)
    return labelled(arrays, J, L)


def field(seed, n=32):
    """A periodic plane that is neither isotropic, nor Gaussian, nor symmetric."""
    rng = np.random.default_rng(seed)
    k = np.fft.fftfreq(n)
    ky, kx = np.meshgrid(k, k, indexing="ij")
    smooth = np.exp(-150 * ((kx + 0.5 * ky) ** 2 + 0.2 * ky**2))
    x = np.fft.ifft2(np.fft.fft2(rng.normal(size=(n, n))) * smooth).real
    return np.exp(x / x.std()) + 0.3 * rng.normal(size=(n, n))


def turned(plane):
    """The plane turned by 90 degrees from +x (columns) toward +y (rows)."""
    return np.rot90(plane, -1)


def random_statistics(seed=0, J=3, L=4, lead=None, std=False, cross=False, dtype=np.float64):
    """Random numbers in the layout of a statistics Dataset; L=0 is a line."""
    rng = np.random.default_rng(seed)
    lead = dict(lead or {})
    names = ["S0", "S1", "S2", "S3", "S4"]
    if cross:
        names += ["S3P", "S2_auto"]
    sizes = {"moment": 2, "field": 2} | {f"j{i}": J for i in "123"} | {f"l{i}": L for i in "123"}
    j = np.arange(J)
    arrays = {}
    for name in [n + s for n in names for s in (("", "_std") if std and n != "S0" else ("",))]:
        own = dims(name, line=not L)
        if name.startswith("S1") and cross:
            own = ["field", *own]
        shape = [*lead.values(), *(sizes[d] for d in own)]
        x = rng.uniform(0.5, 2, size=shape).astype(dtype)
        if name in ("S3", "S3P", "S4") or (name == "S2" and cross):
            z = rng.normal(size=(2, *shape)).astype(dtype)
            x = z[0] + dtype(1).astype(np.result_type(dtype, np.complex64)) * 1j * z[1]
        inside = np.ones([J] * sum(d[0] == "j" for d in own), bool)
        if inside.ndim == 2:
            inside = j[:, None] <= j
        elif inside.ndim == 3:
            inside = (j[:, None, None] <= j) & (j[:, None] <= j)
            if not cross:
                inside &= j[:, None, None] <= j[:, None]
        if inside.ndim > 1:
            n_l = sum(d[0] == "l" for d in own)
            x = np.where(inside.reshape(inside.shape + (1,) * n_l), x, x.dtype.type(np.nan))
            if np.iscomplexobj(x):
                x[np.isnan(x)] = complex("nan+nanj")
        if name == "S4" and not cross:  # the power of a modulus
            axes = [len(lead), len(lead) + 1] + ([len(lead) + 3, len(lead) + 4] if L else [])
            equal = np.ones(shape, bool)
            for one, other in zip(axes[::2], axes[1::2], strict=True):
                i = np.indices(shape, sparse=True)
                equal &= i[one] == i[other]
            x = np.where(equal, abs(x), x)
        arrays[name] = x
    ds = labelled(arrays, J, L, lead=tuple(lead))
    return ds.assign_coords({d: np.arange(n) for d, n in lead.items()})
