"""Statistics say what they are, operations keep it true, and guards compare it."""

import numpy as np
import pytest
import xarray as xr

import direct
import xscat
from helpers import healpix, line, plane, sphere_texture

KW = {"J": 2, "L": 4, "boundary": "periodic"}


@pytest.fixture(scope="module")
def field():
    return plane(32, 32).assign_attrs(units="K")


@pytest.fixture(scope="module")
def raw(field):
    return field.scat.covariance(**KW)


def renamed(ds, **attrs):
    return ds.assign_attrs(attrs)


def test_what_statistics_say(field, raw):
    facts = {"kind": "auto", "grid": "plane", "spacing": 1.0, "grid_units": "cells"}
    assert facts.items() <= raw.attrs.items()
    pairs = xr.concat([field, field**2], "frequency").scat.cross(over="frequency", **KW)
    assert (pairs.kind, pairs.paired, pairs.stacked) == ("pairs", "frequency", "frequency")
    assert field.scat.cross(field**2, **KW).kind == "cross"
    wind = xr.Dataset({"u": field, "v": field**2})
    modes = wind.scat.covariance(spin=1, **KW)
    assert (modes.kind, modes.paired, modes.stacked) == ("modes", "mode", "component")
    assert wind.scat.covariance(spin=1, cross_modes=True, **KW).kind == "pairs"
    assert all(isinstance(v, str | int | float) for v in pairs.attrs.values())


def test_operations_keep_the_attributes_true(raw):
    done = raw.scat.normalize().scat.iso_mean().scat.mean_over_scales()
    assert done.normalized == "S2"
    assert done.normalized_with == "itself"
    assert done.reduction == "iso_mean mean_over_scales"
    assert raw.scat.log().logarithm == "S1 S2"
    split = raw.scat.as_real()
    assert split.as_real == "S3 S4"
    assert split.scat.from_real().identical(raw)
    assert raw.expand_dims(run=2).scat.std_over("run").std_over == "run"
    for to, back in (("to_paths", "from_paths"), ("to_vector", "from_vector")):
        there = getattr(done.scat, to)()
        assert getattr(there.scat, back)().attrs == done.attrs
    fine = raw.scat.interp_scales(3, side="fine")
    assert (fine.J, fine.spacing) == (3, 0.5)


UNLIKE = {
    "normalized": (lambda s: s.scat.normalize(), "normalized by .*S2"),
    "by P11": (lambda s: s.scat.normalize("P11"), "normalized by .*P11"),
    "reference": (lambda s: s.scat.normalize(reference=s + 0), "normalized by .*S2"),
    "log": (lambda s: s.scat.log(), "logarithms in .*S1 S2|logarithms: call"),
    "iso": (lambda s: s.scat.iso_mean(), "reduced by .*iso_mean"),
    "repeat": (lambda s: s.scat.iso_mean(repeat=True), "reduced by .*iso_mean"),
    "real": (lambda s: s.scat.as_real(), "as_real"),
    **{
        name: (lambda s, name=name, value=value: s.assign_attrs({name: value}), f"different {name}")
        for name, value in {
            "kind": "cross",
            "grid": "healpix",
            "spacing": 2.0,
            "grid_units": "km",
            "L": 6,
            "spin": 1,
            "wavelet": "Other",
            "wavelet_sigma": 1.0,
            "boundary": "valid",
            "frame": "angles",
            "exponent": 2.0,
            "average": "median",
        }.items()
    },
}


@pytest.mark.parametrize("name", UNLIKE)
def test_unlike_statistics_are_not_compared(name, raw):
    change, message = UNLIKE[name]
    other = change(raw)
    std = raw.expand_dims(run=2).scat.std_over("run")
    calls = [
        lambda: raw.scat.distance(other),
        lambda: other.scat.distance(raw),
        lambda: xscat.concat_realizations([raw, other]),
        lambda: xscat.plot_residuals(raw, other, 1.0),
    ]
    if name not in ("real", "reference", "by P11"):
        calls.append(lambda: other.scat.distance(other, sigma=std))
    if message.startswith("different") and name != "kind":
        calls += [lambda: raw.scat.normalize(reference=other), lambda: raw.scat.plot(other)]
    for call in calls:
        with pytest.raises(ValueError, match=f"{message}|from_real|select\\(\\) common ones"):
            call()


def test_one_reference_normalization_is_not_the_other(raw):
    with pytest.raises(ValueError, match="with the power of"):
        raw.scat.normalize().scat.distance(raw.scat.normalize(reference=raw + 0))


def test_boundary_does_not_matter_on_the_sphere_nor_frame_on_a_plane(raw):
    assert raw.scat.distance(renamed(raw, frame="stereographic")) == 0
    ball = raw.assign_attrs(grid="healpix")
    assert ball.scat.distance(renamed(ball, boundary="valid")) == 0


def test_states_that_an_operation_cannot_take(raw):
    with pytest.raises(ValueError, match=r"S1 S2 are logarithms: call normalize\(\) before log"):
        raw.scat.log().scat.normalize()
    for name in ("iso_mean", "fft_ang", "normalize", "to_vector", "log"):
        with pytest.raises(ValueError, match=r"S3 S4 are split.*call from_real\(\) first"):
            getattr(raw.scat.as_real().scat, name)()
    real = raw.scat.as_real().drop_attrs()  # as read from a file without attributes
    with pytest.raises(ValueError, match="from_real"):
        real.scat.iso_mean()
    assert np.iscomplexobj(real.scat.from_real().S3)
    with pytest.raises(ValueError, match=r"log\(\) before scale_ft"):
        raw.scat.scale_ft().scat.log()


# ------------------------------------------------------------------ labels, not positions


@pytest.mark.parametrize("dim", ["l1", "l3", "j1", "j2"])
def test_labels_decide(dim, raw):
    """Permuted scales and orientations give the same, by label and, sorted, by position."""
    mixed = raw.isel({dim: np.roll(np.arange(raw.sizes[dim])[::-1], 1)})
    for name in ("normalize", "iso_mean", "fft_ang", "mean_over_scales", "to_vector"):
        xr.testing.assert_allclose(getattr(mixed.scat, name)(), getattr(raw.scat, name)())
    assert mixed.scat.distance(raw) == 0
    assert raw.scat.distance(mixed) == 0
    found, expected = (raw.scat.normalize(reference=x) for x in (mixed, raw + 0))
    xr.testing.assert_allclose(found, expected)


def test_leading_labels_decide():
    ds = direct.random_statistics(lead={"region": 3}).assign_coords(region=[5, 2, 9])
    mixed = ds.isel(region=[2, 0, 1])
    assert float(abs(ds.scat.distance(mixed)).max()) == 0
    xr.testing.assert_allclose(ds.scat.normalize(reference=mixed).S3, ds.scat.normalize().S3)
    message = r"region is not aligned: its labels are .*\.sel\(region"
    for call in (
        lambda: ds.scat.distance(ds.assign_coords(region=[5, 2, 8])),
        lambda: ds.scat.normalize(reference=ds.isel(region=[0, 1])),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_part_of_the_orientations_is_not_taken_for_all(raw):
    few = raw.isel(l1=[0, 1], l2=[0, 1], l3=[0, 1])
    for name in ("iso_mean", "fft_ang", "iso_std"):
        with pytest.raises(ValueError, match="only part of its orientations"):
            getattr(few.scat, name)()
    with pytest.raises(ValueError, match="lack some of its orientations"):
        raw.isel(l1=[0, 1]).scat.normalize()
    with pytest.raises(ValueError, match=r"only part of its|before selecting"):
        raw.isel(l1=[0, 1]).scat.plot()
    alone = few[["S1", "S2"]]
    assert alone.scat.plot(imaginary=False).axes
    same = few.scat.normalize()  # all that is needed is there
    xr.testing.assert_allclose(same.S3, raw.scat.normalize().S3.sel(l1=[0, 1], l2=[0, 1]))


def test_repeated_labels(raw):
    with pytest.raises(ValueError, match=r"l1 has the labels \[0, 0\].*each of them once"):
        raw.isel(l1=[0, 0]).scat.to_vector()


# ------------------------------------------------------------------ A8: names of dimensions

NAMES = [
    "station_a",
    "field",
    "mode",
    "mode_a",
    "harmonic",
    "path",
    "component",
    "level",
    "realization",
    "part",
    "statistic",
    "scale_harmonic",
    "frequency_b",
]


def right_or(call, ds, advice):
    """What a call gives, or None where it raises an error with some advice."""
    try:
        return call(ds)
    except ValueError as error:
        if advice not in str(error):
            raise
        return None


@pytest.mark.parametrize("name", NAMES)
def test_the_name_of_a_leading_dimension_does_not_matter(name, field):
    """Right, or an error that tells to rename."""
    two = xr.concat([field, field**2], name)
    stats, plain = two.scat.covariance(**KW), two.rename({name: "time"}).scat.covariance(**KW)
    for call in (
        lambda s: s.scat.normalize(),
        lambda s: s.scat.iso_mean(),
        lambda s: s.scat.fft_ang(),
        lambda s: s.scat.fft_ang().scat.amplitude(),
        lambda s: s.scat.scale_ft(),
        lambda s: s.scat.mean_over_scales(),
        lambda s: s.scat.to_vector(),
        lambda s: s.scat.to_paths(),
        lambda s: s.scat.as_real().scat.from_real(),
        lambda s: s.scat.distance(0 * s),
        lambda s: s.scat.std_over(s.S1.dims[0]),
        lambda s: s.scat.interp_scales(3),
    ):
        expected = call(plain)
        found = right_or(call, stats, "rename")
        if found is None:
            continue
        if name in found.dims:
            found = found.rename({name: "time"})
        xr.testing.assert_allclose(found.drop_attrs(), expected.drop_attrs())


@pytest.mark.parametrize("name", ["j1", "l2", "dl12", "wavelength_j1", "S1", "moment"])
def test_coordinates_of_the_field_that_the_statistics_have_themselves(name, field):
    with pytest.raises(ValueError, match=f"{name}.*rename|{name}.*drop_vars"):
        field.assign_coords({name: 3.0}).scat.covariance(**KW)
    lead = xr.concat([field, field], "time").assign_coords({name: ("time", [1, 2])})
    with pytest.raises(ValueError, match=f"{name}.*rename|{name}.*drop_vars"):
        lead.scat.covariance(**KW)


def _pairs(field):
    return xr.concat([field, field**2, field + field.T.values], "run")


BACK = {
    "auto": lambda f: f.scat.covariance(**KW),
    "regions": lambda f: f.scat.covariance(
        **KW, region=(f > f.mean()).astype(int), min_coverage=0.2
    ),
    "time": lambda f: xr.concat([f, f**2], "time").scat.covariance(**KW),
    "cross": lambda f: f.scat.cross(f**2, **KW),
    "pairs": lambda f: _pairs(f).scat.cross(over="run", **KW),
    "labelled pairs": lambda f: (
        _pairs(f).assign_coords(run=[30, 10, 20]).scat.cross(over="run", **KW)
    ),
    "modes": lambda f: xr.Dataset({"u": f, "v": f**2}).scat.covariance(spin=1, **KW),
    "cross_modes": lambda f: xr.Dataset({"u": f, "v": f**2}).scat.covariance(
        spin=1, cross_modes=True, **KW
    ),
    "line": lambda f: f.isel(y=0).scat.covariance(J=2, dim="x", boundary="periodic"),
    "pairs in time": lambda f: xr.concat([_pairs(f), _pairs(f) ** 2], "time").scat.cross(
        over="run", **KW
    ),
}


@pytest.mark.parametrize("kind", BACK)
@pytest.mark.parametrize("how", ["S2", "P11", "reference"])
def test_denormalize_undoes_normalize(kind, how, field):
    stats = BACK[kind](field)
    if how == "P11" and kind in (
        "cross",
        "pairs",
        "labelled pairs",
        "cross_modes",
        "pairs in time",
    ):
        with pytest.raises(ValueError, match="by='S2'"):
            stats.scat.normalize(how)
        return
    options = {"reference": 3 * stats} if how == "reference" else {"by": how}
    done = stats.scat.normalize(**options)
    assert float(abs(done.S3).max()) < 1e3
    options.pop("by", None)
    back = done.scat.denormalize(**options)
    xr.testing.assert_allclose(back, stats, rtol=1e-12)
    assert back.attrs == stats.attrs
    assert set(back.data_vars) == set(stats.data_vars)
    for name in stats.data_vars:
        assert back[name].attrs == stats[name].attrs
        assert back[name].dims == stats[name].dims


def test_pairs_over_time_go_through_paths(field):
    days = np.array(["2020-01-01", "2020-01-02", "2020-01-03"], "datetime64[ns]")
    stats = _pairs(field).rename(run="time").assign_coords(time=days).scat.cross(over="time", **KW)
    back = stats.scat.to_paths().scat.from_paths()
    xr.testing.assert_identical(back, stats)


@pytest.mark.parametrize("unit", [1e-22, 1e-12, 1e12, 1e19])
def test_single_precision_in_odd_units(unit, raw):
    """Statistics whose power, not the product of two, fits single precision."""
    power = np.float32(unit)
    small = raw.assign(
        {n: raw[n] * (1 if n == "S0" else power) for n in ("S0", "S2", "S3", "S4")}
    ).astype({n: np.complex64 if n in ("S3", "S4") else np.float32 for n in raw.data_vars})
    found, expected = small.scat.normalize(), raw.scat.normalize()
    for name in ("S3", "S4"):
        assert found[name].dtype == np.complex64
        scale = float(abs(expected[name]).max())
        np.testing.assert_allclose(found[name], expected[name], atol=1e-6 * scale)


# ------------------------------------------------------------------ A9: error bars


def _scatter_ratio(fields, names=("S1", "S2"), stop=lambda s: s.scat.iso_mean()):
    """Claimed over true standard deviation of reduced statistics, root mean square over maps."""
    stats = stop(fields.scat.covariance(J=3, boundary="periodic", variance=True))
    out = {}
    for name in names:
        true = stats[name].std("realization")
        claimed = np.sqrt((stats[f"{name}_std"] ** 2).mean("realization"))
        out[name] = (claimed / true).values.ravel()
    return out


@pytest.mark.long
@pytest.mark.parametrize("kind", ["gaussian", "lognormal"])
@pytest.mark.parametrize("name", ["iso_mean", "fft_ang", "mean_over_scales", "scale_ft"])
def test_claimed_errors_bound_the_scatter_of_realizations(kind, name):
    rng = np.random.default_rng(0)
    k = np.hypot(np.fft.fftfreq(64)[:, None], np.fft.rfftfreq(64)).clip(1 / 64)
    g = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(200, 64, 64))) / k, s=(64, 64))
    g = g / g.std()
    values = g if kind == "gaussian" else np.exp(g)
    fields = xr.DataArray(values, dims=("realization", "y", "x"))
    found = _scatter_ratio(fields, stop=lambda s: getattr(s.scat, name)())
    for of, ratio in found.items():
        ratio = ratio[np.isfinite(ratio)]
        assert ratio.min() > 0.9, (of, ratio)  # 200 realizations: 5 %, and the errors' own bias
        assert np.median(ratio) > 1, (of, ratio)


def test_bounds_hold_whatever_the_correlations():
    """Fully correlated coefficients reach the bound, independent ones stay below it."""
    rng = np.random.default_rng(0)
    ds = direct.random_statistics(J=2, L=4, std=True)
    sigma = ds[[n for n in ds.data_vars if n.endswith("_std")]]
    one = rng.normal(size=400)
    draws = ds.copy()
    for name in ("S1", "S2"):
        shift = xr.DataArray(one, dims="draw") * sigma[f"{name}_std"]
        draws[name] = ds[name] + shift
    for operation in (xscat.iso_mean, xscat.fft_ang, xscat.mean_over_scales, xscat.scale_ft):
        out = operation(draws)
        for name in ("S1", "S2"):
            true, claimed = out[name].std("draw"), out[f"{name}_std"]
            assert bool((claimed > 0.999 * true / one.std() * one.std()).all())
            assert "upper bound of the" in claimed.long_name
    np.testing.assert_allclose(xscat.iso_mean(ds).S1_std, ds.S1_std.mean("l1"))
    np.testing.assert_allclose(xscat.mean_over_scales(ds).S1_std, ds.S1_std.mean("j1"))


def test_errors_of_what_is_normalized_by_itself_are_left_out(field):
    stats = field.scat.covariance(**KW, variance=True)
    done = stats.scat.normalize()
    assert "S3_std" not in done
    assert "S4_std" not in done
    assert done.std_dropped == "S3 S4"
    assert done.S1_std.identical(stats.S1_std)
    assert done.scat.plot(imaginary=False).axes
    assert stats.scat.plot(imaginary=False).axes
    with pytest.raises(ValueError, match="normalize left out those of S3 S4"):
        done[["S3"]].scat.significant()
    other = 2 * stats
    scaled = stats.scat.normalize(reference=other)
    np.testing.assert_allclose(scaled.S3_std * other.scat.normalize().S3.notnull(), scaled.S3_std)
    np.testing.assert_allclose(scaled.S2_std, stats.S2_std / other.S2)
    assert "std_dropped" not in scaled.attrs
    xr.testing.assert_allclose(scaled.scat.denormalize(other), stats)
    assert "S3_std" not in stats.scat.normalize(reference=stats)  # not independent
    cross = field.scat.cross(field**2, **KW, variance=True).scat.normalize()
    assert not {"S2_std", "S3_std", "S3P_std", "S4_std"} & set(cross.data_vars)


# ------------------------------------------------------------------ statistics for synthesis

TARGETS = {
    "normalized": (lambda s: s.scat.normalize(), "not normalized"),
    "log": (lambda s: s.scat.log(), "logarithms"),
    "iso_mean": (lambda s: s.scat.iso_mean(), "reduction="),
    "repeat": (lambda s: s.scat.iso_mean(repeat=True), "reduction="),
    "as_real": (lambda s: s.scat.as_real(), "from_real"),
    "exponent": (lambda s: s.assign_attrs(exponent=2.0), "exponent=2"),
    "median": (lambda s: s.assign_attrs(average="median"), "average='median'"),
    "cross": (lambda s: s.assign_attrs(kind="cross"), "of two fields"),
    "pairs": (lambda s: s.assign_attrs(kind="pairs", paired="time"), "of pairs"),
    "spin": (lambda s: s.assign_attrs(spin=1), "spin 1"),
    "modes": (lambda s: s.assign_attrs(kind="modes", paired="mode"), "of modes"),
    "angles": (lambda s: s.assign_attrs(frame="angles"), "local frame"),
    "spacing": (lambda s: s.assign_attrs(spacing=2.0), "spacing=2.0, like= has spacing=1.0"),
    "grid": (lambda s: s.assign_attrs(grid="healpix"), "grid=healpix"),
    "units": (lambda s: s.assign_attrs(grid_units="km"), "grid_units=km"),
    "no attributes": (lambda s: s.drop_attrs(), "no parameters"),
    "J lost": (lambda s: renamed(s, J="x"), "attribute J='x'"),
    "scale lost": (lambda s: s.isel(j1=0), "has the dimensions"),
    "strange labels": (lambda s: s.assign_coords(j1=[3, 4]), "along j1"),
}


@pytest.mark.parametrize("name", TARGETS)
def test_statistics_that_no_field_can_be_made_from(name, field, raw):
    change, message = TARGETS[name]
    with pytest.raises(ValueError, match=message):
        change(raw).scat.synthesize(like=field, max_iter=1, progress=False)


@pytest.mark.parametrize(
    "given",
    [{"boundary": "valid"}, {"J": 1}, {"L": 2}, {"wavelet": xscat.Morlet(sigma=1.0)}],
)
def test_arguments_beside_statistics_must_agree(given, field, raw):
    name = next(iter(given))
    with pytest.raises(ValueError, match=f"{name}=.*is given beside statistics.*leave out {name}="):
        raw.scat.synthesize(like=field, max_iter=1, progress=False, **given)


def test_the_same_field_whatever_the_order_of_the_labels(field, raw):
    options = {"like": field, "max_iter": 3, "progress": False, "seed": 0}
    expected = raw.scat.synthesize(**options)
    mixed = raw.isel(j1=[1, 0], j3=[1, 0], l1=[2, 0, 3, 1], l2=[3, 2, 1, 0])
    xr.testing.assert_allclose(mixed.scat.synthesize(**options, J=2, L=4), expected)
    part = xscat.select(raw, l3=[1, 3]).scat.synthesize(**options)
    assert bool(part.notnull().all())


def test_custom_wavelets_are_given_beside_their_statistics(field):
    class Other(xscat.Morlet):
        pass

    stats = field.scat.covariance(**KW, wavelet=Other())
    with pytest.raises(ValueError, match="pass it yourself"):
        stats.scat.synthesize(like=field, max_iter=1, progress=False)
    stats.scat.synthesize(like=field, wavelet=Other(), max_iter=1, progress=False)


# ------------------------------------------------------------------ parameters in attributes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"J": "x"}, "attribute J='x'"),
        ({"J": 2.5}, "attribute J=2.5"),
        ({"L": None}, "attribute L=None"),
        ({"wavelet_sigma": None}, "attribute wavelet_sigma=None"),
        ({"wavelet_radius": "wide"}, "attribute wavelet_radius='wide'"),
        ({"statistics": 3}, "attribute statistics=3"),
        ({"boundary": 1}, "attribute boundary=1"),
        ({"boundary": "cyclic"}, "boundary='cyclic'"),
        ({"selected": "0,1"}, "attribute selected='0,1'"),
        ({"exponent": "two"}, "attribute exponent='two'"),
    ],
)
def test_malformed_attributes_are_named(change, message, raw):
    with pytest.raises(ValueError, match=message):
        xscat.Parameters.from_attrs(raw.assign_attrs(change))


@pytest.mark.parametrize("name", ["J", "L", "boundary", "statistics", "average", "spin"])
def test_missing_attributes_are_named(name, raw):
    attrs = {k: v for k, v in raw.attrs.items() if k != name}
    with pytest.raises(ValueError, match=f"the attribute {name} is missing"):
        xscat.Parameters.from_attrs(attrs)


def test_parameters_of_what_is_none():
    for wrong in (None, 3, [], {}, xr.Dataset()):
        with pytest.raises(ValueError, match="no parameters"):
            xscat.Parameters.from_attrs(wrong)


# ------------------------------------------------------------------ other grids, in brief


def test_statistics_of_another_level_or_grid(raw):
    ball = healpix(sphere_texture(3), 3)
    stats = ball.scat.covariance(J=1)
    with pytest.raises(ValueError, match="level=3, like= has level=2"):
        stats.scat.synthesize(like=healpix(sphere_texture(2), 2), max_iter=1, progress=False)
    with pytest.raises(ValueError, match="different"):
        stats.scat.distance(raw)
    row = line(64).scat.covariance(J=2, boundary="periodic")
    with pytest.raises(ValueError, match="grid=line"):
        row.scat.synthesize(like=plane(32, 32), max_iter=1, progress=False)


def test_concatenation_keeps_labels_that_differ(field):
    one = field.assign_coords(time=np.datetime64("2020-01-01", "ns")).scat.covariance(**KW)
    two = field.assign_coords(time=np.datetime64("2020-02-01", "ns")).scat.covariance(**KW)
    both = xscat.concat_realizations([one, two])
    assert both.time.dims == ("realization",)
    assert both.isel(realization=1).time == two.time
    mixed = two.isel(l1=[1, 0, 2, 3])
    xr.testing.assert_equal(xscat.concat_realizations([one, mixed]), both)
