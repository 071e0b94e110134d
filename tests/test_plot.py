"""Pictures of statistics: what stands in their axes."""

import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from matplotlib.collections import PolyCollection
from matplotlib.text import Annotation

import xscat
from helpers import line, plane
from xscat.normalization import log, normalize
from xscat.plot import plot, plot_residuals
from xscat.reductions import fft_ang, iso_mean
from xscat.scales import interp_scales

L = 4


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def stats():
    field = plane(64, 64, name="sst", attrs={"units": "K"})
    field = field.assign_coords({d: (d, np.arange(64) * 30.0, {"units": "m"}) for d in "xy"})
    return field.scat.covariance(J=3, L=L, boundary="periodic", variance=True)


@pytest.fixture(scope="module")
def months(stats):
    """Statistics with a dimension time; months differ by factors."""
    factors = xr.DataArray([1.0, 2.0, 3.0], dims="time")
    dates = np.array(["2015-01-16", "2015-02-16", "2015-03-16"], "datetime64[ns]")
    with xr.set_options(keep_attrs=True):
        return (stats * factors).assign_coords(time=dates)


def axes_of(fig):
    return {ax.get_label(): ax for ax in fig.axes}


def lines_in(ax, key=None):
    lines = [one for one in ax.lines if not one.get_label().startswith("_")]
    return [one for one in lines if key is None or one.get_label() == key]


def lines_of(ax, key=None):
    """Values of the lines with a label, in gaps between groups removed."""
    drawn = [one.get_ydata()[np.isfinite(one.get_xdata())] for one in lines_in(ax, key)]
    return np.array(drawn)


def legend_of(ax_or_fig):
    legend = getattr(ax_or_fig, "legends", None) or [ax_or_fig.get_legend()]
    return [text.get_text() for text in legend[0].get_texts()]


def row_of_labels(ax, height):
    """The texts in one of the rows below the axis, counted from above: name, then labels."""
    texts = [t for t in ax.texts if isinstance(t, Annotation)]
    levels = sorted({t.xyann[1] for t in texts}, reverse=True)
    return [t.get_text() for t in texts if t.xyann[1] == levels[height]]


# ------------------------------------------------------------------- what is drawn


@pytest.mark.parametrize(("name", "units"), [("S1", "K"), ("S2", "K$^{2}$")])
def test_power_against_wavelength(stats, name, units):
    ax = axes_of(stats.scat.plot())[name]
    assert len(lines_of(ax)) == L
    for l, label in enumerate(["0°", "45°", "90°", "135°"]):
        np.testing.assert_array_equal(lines_of(ax, label), [stats[name][:, l]])
    np.testing.assert_allclose(ax.lines[0].get_xdata(), stats.wavelength_j1)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert ax.get_xlabel() == "wavelength [m]"
    assert ax.get_ylabel() == f"{name} [{units}]"
    assert [t.get_text() for t in ax.get_xticklabels()] == ["80", "160", "320"]
    assert row_of_labels(ax, 0) == ["j1", "0", "1", "2"]


def test_panels_of_all_statistics(stats):
    names = [ax.get_label() for ax in plot(stats, imaginary=True).axes]
    angles = ["0°", "45°", "90°", "135°"]
    parts = [f"S4 {part} {angle}" for part in ("real", "imag") for angle in angles]
    assert names == ["S1", "S2", "S3 real", "S3 imag", *parts]


def test_s3_is_normalized_and_grouped_by_j1(stats):
    ax = axes_of(plot(stats))["S3 real"]
    s3 = normalize(stats).S3.real
    for dl, label in enumerate(["0°", "45°", "90°", "135°"]):
        found = {tuple(y) for y in lines_of(ax, label)}
        pairs = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]
        expected = {
            tuple(float(s3[j1, j2, l1, (l1 + dl) % L]) for j1, j2 in pairs) for l1 in range(L)
        }
        assert found == expected
    gaps = np.isnan(ax.lines[-1].get_xdata())
    assert np.flatnonzero(gaps).tolist() == [3, 6]  # a new line for each j1
    assert ax.get_ylabel() == "Re S3, normalized by S2"
    assert "80·2$^j$ m" in ax.get_xlabel()
    assert row_of_labels(ax, 0) == ["j2", "0", "1", "2", "1", "2", "2"]
    assert row_of_labels(ax, 1) == ["j1", "0", "1", "2"]


def test_s4_is_grouped_by_j3_then_j1(stats):
    iso = iso_mean(normalize(stats))
    ax = axes_of(plot(iso))["S4 real 45°"]
    order = [(0, 0, 0), (0, 0, 1), (0, 1, 1), (1, 1, 1), (0, 0, 2), (0, 1, 2), (0, 2, 2)]
    order += [(1, 1, 2), (1, 2, 2), (2, 2, 2)]
    expected = [iso.S4.real[j1, j2, j3, 1, 2] for j1, j2, j3 in sorted(order, key=lambda t: t[2])]
    order.sort(key=lambda t: (t[2], t[0], t[1]))
    expected = [iso.S4.real[j1, j2, j3, 1, 2] for j1, j2, j3 in order]
    np.testing.assert_array_equal(lines_of(ax, "90°"), [expected])
    assert row_of_labels(ax, 0)[1:] == [str(j2) for _, j2, _ in order]
    assert row_of_labels(ax, 1) == ["j1", "0", "0", "1", "0", "1", "2"]
    assert row_of_labels(ax, 2) == ["j3", "0", "1", "2"]
    assert ax.get_title(loc="left") == "S4, envelope with envelope, l2 − l1 = 45°"
    assert legend_of(axes_of(ax.figure)["S4 real 45°"]) == ["0°", "45°", "90°", "135°"]


def test_lines_average_to_those_of_the_mean(stats):
    """The conjugate where the outer orientation wraps: imaginary parts tell."""
    full = axes_of(plot(stats.drop_vars("S2"), imaginary=True))
    iso = axes_of(plot(iso_mean(stats).drop_vars("S2"), imaginary=True))
    assert full.keys() == iso.keys()
    for name in full.keys() - {"S1"}:
        for key in ("0°", "45°", "90°", "135°"):
            many, one = lines_of(full[name], key), lines_of(iso[name], key)
            assert len(many) == L
            assert len(one) == 1
            np.testing.assert_allclose(many.mean(0), one[0], rtol=1e-9, atol=1e-15)


def test_reduced_statistics_are_normalized_by_the_reduced_power(stats):
    iso = iso_mean(stats)
    ax = axes_of(plot(iso))["S3 real"]
    expected = iso.S3[0, 2, 1].real / np.sqrt(iso.S2[0] * iso.S2[2])
    np.testing.assert_allclose(lines_of(ax, "45°")[0][2], expected)


def test_units_where_nothing_divides(stats):
    ax = axes_of(plot(stats[["S3"]]))["S3 real"]
    assert ax.get_ylabel() == "Re S3 [K$^{2}$]"
    one = stats.isel(j1=[0])  # its power is not that of all j2
    with pytest.raises(ValueError, match="normalize before selecting"):
        plot(one)
    for dim in ("j1", "l1"):
        axes = axes_of(plot(stats.isel({dim: 0})))
        assert axes["S3 real"].get_ylabel() == "Re S3 [K$^{2}$]"


def test_no_units_no_claim(stats):
    bare = stats.copy()
    for var in bare.data_vars.values():
        var.attrs.pop("units", None)
    axes = axes_of(plot(bare))
    assert axes["S2"].get_ylabel() == "S2"
    assert axes["S3 real"].get_ylabel() == "Re S3, normalized by S2"


def test_bands_are_standard_deviations(stats):
    iso = iso_mean(stats)
    axes = axes_of(plot(iso))
    (band,) = [c for c in axes["S1"].collections if isinstance(c, PolyCollection)]
    ends = band.get_paths()[0].vertices
    for j, x in enumerate(iso.wavelength_j1.values):
        here = ends[np.isclose(ends[:, 0], x), 1]
        mean, std = float(iso.S1[j]), float(iso.S1_std[j])
        np.testing.assert_allclose([here.min(), here.max()], [mean - std, mean + std])
    # what is divided by its own power has no error
    assert not [c for c in axes["S3 real"].collections if isinstance(c, PolyCollection)]
    # a single point between gaps has a bar: S3 at (j1, j2) = (2, 2)
    axes = axes_of(plot(iso[["S3", "S3_std"]]))
    bars = [c for c in axes["S3 real"].collections if not isinstance(c, PolyCollection)]
    bar = bars[1].get_segments()[0][:, 1]
    np.testing.assert_allclose(np.ptp(bar), 2 * iso.S3_std[2, 2, 1])
    without = axes_of(plot(iso.drop_vars(["S1_std", "S2_std", "S3_std", "S4_std"])))
    assert not without["S1"].collections


def test_imaginary_parts_where_they_matter(stats):
    def names(ds, **kwargs):
        return [ax.get_label() for ax in plot(ds, **kwargs).axes]

    turned = stats[["S3"]].assign(S3=stats.S3 * (1 + 0.5j))
    small = stats[["S3"]].assign(S3=stats.S3.real * (1 + 0.2j))
    assert names(turned) == ["S3 real", "S3 imag"]
    assert names(small) == ["S3 real"]
    assert names(small, imaginary=True) == ["S3 real", "S3 imag"]
    assert names(turned, imaginary=False) == ["S3 real"]


def test_line_has_one_line():
    field = line(256, attrs={"units": "m s-1"}).assign_coords(x=("x", np.arange(256.0)))
    stats = field.scat.covariance(J=4, boundary="periodic")
    axes = axes_of(plot(stats, imaginary=True))
    assert list(axes) == ["S1", "S2", "S3 real", "S3 imag", "S4 real", "S4 imag"]
    assert all(len(lines_of(ax)) == 1 and ax.get_legend() is None for ax in axes.values())
    s3 = normalize(stats).S3.values
    np.testing.assert_array_equal(lines_of(axes["S3 imag"])[0], s3[np.triu_indices(4)].imag)
    assert axes["S2"].get_ylabel() == "S2 [(m s-1)$^{2}$]"


def test_two_fields():
    a, b = plane(32, 32, seed=1, name="u"), plane(32, 32, seed=2, name="v")
    cross = a.scat.cross(a + b, J=2, L=2, boundary="periodic")
    axes = axes_of(plot(cross, imaginary=False))
    assert list(axes)[:4] == ["S1", "S2 real", "S3 real", "S3P real"]
    assert legend_of(axes["S1"])[:2] == [f"0°, {name}" for name in cross.field.values]
    np.testing.assert_array_equal(
        lines_of(axes["S2 real"], "90°")[0], normalize(cross).S2[:, 1].real
    )
    assert axes["S2 real"].get_yscale() == "linear"
    # all j1, j2 <= j3
    assert row_of_labels(axes["S4 real 0°"], 0)[1:] == ["0", "0", "1", "0", "1"]


def test_harmonics_logarithms_and_selections(stats):
    axes = axes_of(plot(fft_ang(stats)))
    assert legend_of(axes["S2"]) == ["mean", "cos1", "sin1"]
    assert axes["S2"].get_yscale() == "linear"
    np.testing.assert_array_equal(lines_of(axes["S1"], "cos1")[0], fft_ang(stats).S1[:, 1])
    mean = lines_of(axes_of(plot(iso_mean(stats)))["S3 real"], "45°")
    np.testing.assert_allclose(lines_of(axes["S3 real"], "45°, mean"), mean)

    with xr.set_options(keep_attrs=True):
        positive = log(stats * 1000)[["S1"]]
    ax = axes_of(plot(positive))["S1"]
    assert ax.get_yscale() == "linear"
    assert ax.get_ylabel() == "S1 [ln(re 1 K)]"

    chosen = normalize(stats).sel(j1=1, l1=1)
    axes = axes_of(plot(chosen))
    assert next(iter(axes)) == "S3 real"
    np.testing.assert_allclose(lines_in(axes["S3 real"])[0].get_xdata(), stats.wavelength_j2[1:])
    np.testing.assert_array_equal(lines_of(axes["S3 real"], "45°")[0], chosen.S3[1:, 2].real)


def test_missing_values_are_gaps(stats):
    nothing = stats.where(stats.j1 > 5)
    assert len(plot(nothing).axes) == 7
    assert len(plot_residuals(nothing, nothing).axes) == 7
    part = stats.where(stats.j1 != 1)
    assert np.isnan(lines_of(axes_of(plot(part))["S1"], "0°")[0]).tolist() == [False, True, False]


def test_lazy_statistics(stats):
    fig = plot(stats.chunk())
    np.testing.assert_array_equal(lines_of(axes_of(fig)["S1"], "0°")[0], stats.S1[:, 0])


# ------------------------------------------------------------------- several fields


def test_overlay(stats, months):
    january, march = iso_mean(months.isel(time=0)), iso_mean(months.isel(time=2))
    fig = january.scat.plot(march)
    assert legend_of(fig) == ["sst 1", "sst 2"]
    fig = january.scat.plot([march, interp_scales(january, 4)], labels=["January", "March", "J=4"])
    assert legend_of(fig) == ["January", "March", "J=4"]
    axes = axes_of(fig)
    np.testing.assert_array_equal(lines_of(axes["S1"], "March"), [march.S1])
    assert legend_of(axes["S3 real"]) == ["0°", "45°", "90°", "135°"]
    # the same pair of scales has the same place for all
    three, four = (
        next(one for one in axes["S3 real"].lines if one.get_label() == f"{name}, 45°")
        for name in ("January", "J=4")
    )
    common = {x: y for x, y in zip(*three.get_data(), strict=True) if np.isfinite(x)}
    longer = dict(zip(*four.get_data(), strict=True))
    assert len(common) == 6
    for x, y in common.items():
        np.testing.assert_allclose(longer[x], y, rtol=1e-6)
    colors = {one.get_color() for one in axes["S1"].lines}
    assert len(colors) == 3


def test_hue(months):
    fig = iso_mean(months).scat.plot(hue="time")
    assert legend_of(fig) == ["2015-01-16", "2015-02-16", "2015-03-16"]
    assert fig.legends[0].get_title().get_text() == "time"
    ax = axes_of(fig)["S2"]
    np.testing.assert_array_equal(lines_of(ax), iso_mean(months).S2.transpose("time", "j1"))


def test_col(months):
    fig = iso_mean(months).scat.plot(col="time", imaginary=False)
    assert len(fig.axes) == 3 * 7
    axes = axes_of(fig)
    np.testing.assert_array_equal(
        lines_of(axes["S1 | time = 2015-03-16"]), [iso_mean(months).S1.isel(time=2)]
    )
    limits = {axes[f"S1 | time = 2015-0{m}-16"].get_ylim() for m in (1, 2, 3)}
    assert len(limits) == 1
    first = axes["S1 | time = 2015-02-16"].get_title(loc="left")
    assert first == "time = 2015-02-16\nS1, mean modulus"


def test_many_hues_have_colors_and_a_short_legend(stats):
    years = xr.concat([iso_mean(stats)[["S1"]]] * 30, "year").assign_coords(year=np.arange(30.0))
    fig = plot(years, hue="year")
    assert len({tuple(one.get_color()) for one in fig.axes[0].lines}) == 30
    assert len(legend_of(fig)) <= 12


# ------------------------------------------------------------------- residuals


def test_residuals(months):
    a, b = iso_mean(months.isel(time=0)), iso_mean(months.isel(time=1))
    fig = xscat.plot_residuals(a, b)
    axes = axes_of(fig)
    sigma = np.hypot(a.S2_std, b.S2_std)
    np.testing.assert_allclose(lines_of(axes["S2"]), [(a.S2 - b.S2) / sigma])
    assert axes["S2"].get_ylabel() == "ΔS2 / σ"
    assert axes["S2"].get_yscale() == "linear"
    expected = abs(a.S3 - b.S3) / np.hypot(a.S3_std, b.S3_std)
    title = axes["S3 real"].get_title(loc="left")
    assert title == f"S3 (rms {np.sqrt((expected**2).mean().item()):.3g}), field with envelope"


def test_residuals_with_given_sigma(months):
    a, b = (iso_mean(months.isel(time=t))[["S1", "S2"]] for t in (0, 1))
    ax = axes_of(plot_residuals(a, b, sigma=0.5))["S1"]
    np.testing.assert_allclose(lines_of(ax), [(a.S1 - b.S1) / 0.5])
    axes = axes_of(plot_residuals(a, b, sigma=a[["S2"]]))
    assert list(axes) == ["S2"]
    np.testing.assert_allclose(lines_of(axes["S2"]), [(a.S2 - b.S2) / a.S2])
    many = iso_mean(months)[["S1"]]
    fig = plot_residuals(many, a[["S1"]], sigma=1.0, hue="time")
    assert len(legend_of(fig)) == 3
    np.testing.assert_array_equal(lines_of(fig.axes[0])[0], 0)


def test_residuals_say_what_is_missing(stats):
    with pytest.raises(ValueError, match="variance=True"):
        plot_residuals(stats[["S1"]], stats[["S1"]])
    with pytest.raises(ValueError, match="normalized by S2 and by nothing"):
        plot_residuals(normalize(stats), stats)
    with pytest.raises(ValueError, match="reduce both in the same way"):
        plot_residuals(stats, iso_mean(stats))


# ------------------------------------------------------------------- errors


def test_nothing_to_draw(stats):
    with pytest.raises(ValueError, match=r"has S0, .*covariance"):
        plot(stats[["S0"]])
    with pytest.raises(ValueError, match="no variables"):
        plot(xr.Dataset())


def test_dimensions_that_are_not_there_or_left(stats, months):
    with pytest.raises(ValueError, match="Did you mean 'time'"):
        plot(months, hue="tme")
    with pytest.raises(ValueError, match="leave out col"):
        plot(stats, col="time")
    with pytest.raises(ValueError, match=r"hue='time' or col='time'.*isel\(time=0\)"):
        plot(months)
    with pytest.raises(ValueError, match="hue and col are both"):
        plot(months, hue="time", col="time")
    assert plot(months.isel(time=[0])).axes  # a single month needs no name


def test_fields_that_do_not_fit(stats):
    coarse = stats.assign_coords(wavelength_j1=stats.wavelength_j1 * 2)
    with pytest.raises(ValueError, match="different grids"):
        plot(stats, coarse)
    with pytest.raises(ValueError, match="normalized by S2 and by P11"):
        plot(stats, normalize(stats, by="P11"))
    with pytest.raises(ValueError, match="1 labels for 2 Datasets"):
        plot(stats, stats, labels=["one"])


# ------------------------------------------------------------------- legibility


def visible_texts(fig):
    """Everything that is written, with its place in pixels."""
    renderer = fig.canvas.get_renderer()
    for ax in fig.axes:
        texts = [*ax.texts, ax.title, ax._left_title, ax.xaxis.label, ax.yaxis.label]
        for axis in (ax.xaxis, ax.yaxis):
            low, high = axis.get_view_interval()
            ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
            texts += [tick.label1 for tick in ticks if low <= tick.get_loc() <= high]
        for legend in filter(None, [ax.get_legend()]):
            texts += [*legend.get_texts(), legend.get_title()]
        for text in texts:
            if text.get_text().strip() and text.get_visible():
                yield ax.get_label(), text.get_text(), text.get_window_extent(renderer)
    for legend in fig.legends:
        for text in legend.get_texts():
            yield "figure", text.get_text(), text.get_window_extent(renderer)


def overlapping(fig):
    """Texts that touch others or the border of the figure."""
    fig.canvas.draw()
    *texts, boxes = zip(*visible_texts(fig), strict=True)
    low = np.array([box.min + 0.5 for box in boxes])
    high = np.array([box.max - 0.5 for box in boxes])
    outside = (low < 0).any(1) | (high > fig.canvas.get_width_height()).any(1)
    touch = ((low[:, None] < high) & (low < high[:, None])).all(-1)
    pairs = np.argwhere(np.triu(touch, 1))
    names = [" ".join(text) for text in zip(*texts, strict=True)]
    return [names[i] for i in np.flatnonzero(outside)] + [(names[i], names[j]) for i, j in pairs]


@pytest.mark.parametrize("J", [1, 3, 6, 9])
def test_no_text_overlaps(stats, J):
    assert not overlapping(plot(interp_scales(iso_mean(stats), J)))


@pytest.mark.parametrize("way", [{"hue": "time"}, {"col": "time"}])
def test_no_text_overlaps_with_legends_and_columns(months, way):
    assert not overlapping(plot(iso_mean(months), **way))


@pytest.mark.parametrize("decades", [0, 0.1, 0.5, 1, 2, 3, 10])
def test_ticks_of_power(decades):
    """There are at least two numbers on a logarithmic axis, and they do not overlap."""
    values = 3e-4 * 10 ** np.linspace(0, decades, 4)
    fig = plot(xr.Dataset({"S2": ("j1", values)}))
    assert not overlapping(fig)
    (ax,) = fig.axes
    low, high = ax.get_ylim()
    assert sum(low <= tick <= high for tick in ax.get_yticks()) >= 2


def test_import_needs_no_matplotlib():
    code = "import sys, xscat; sys.exit('matplotlib' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_dimension_of_the_field_may_be_called_harmonic():
    lines = line(256).expand_dims(harmonic=2)
    plot(lines.scat.covariance(2, dim="x"), hue="harmonic")
