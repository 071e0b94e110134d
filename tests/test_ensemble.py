"""Ensembles: concatenation, spread, covariance."""

import numpy as np
import pytest
import xarray as xr

import direct
from xscat.ensemble import concat_realizations, covariance_of, std_over
from xscat.paths import to_vector


@pytest.fixture(scope="module")
def ensemble():
    return direct.random_statistics(lead={"time": 2, "member": 6}, J=2, std=True)


def test_concat_realizations():
    one, two = direct.random_statistics(0), direct.random_statistics(1).assign_attrs(source="x")
    both = concat_realizations([one.assign_attrs(source="y"), two])
    assert both.S3.dims == ("realization", *one.S3.dims)
    assert both.attrs == one.attrs
    assert both.realization.values.tolist() == [0, 1]
    for i, ds in enumerate((one, two)):
        xr.testing.assert_equal(both.isel(realization=i, drop=True), ds)
    assert both.S3.attrs == one.S3.attrs
    more = concat_realizations([both, one])
    assert more.realization.values.tolist() == [0, 1, 2]
    assert more.wavelength_j1.dims == ("j1",)
    with pytest.raises(ValueError, match="at least one"):
        concat_realizations([])
    with pytest.raises(ValueError, match="variables"):
        concat_realizations([one, two[["S1"]]])
    with pytest.raises(ValueError, match="another J"):
        concat_realizations([one, direct.random_statistics(J=2)])
    with pytest.raises(ValueError, match="different L"):
        concat_realizations([one, direct.random_statistics(L=6)])


def test_std_over(ensemble):
    out = std_over(ensemble, "member")
    assert set(out.data_vars) == {"S0_std", "S1_std", "S2_std", "S3_std", "S4_std"}
    np.testing.assert_allclose(out.S2_std, ensemble.S2.values.std(1, ddof=1))
    np.testing.assert_allclose(out.S3_std, ensemble.S3.values.std(1, ddof=1))
    assert out.S3_std.dtype == float
    assert out.S3_std.dims == ensemble.S3.isel(member=0).dims
    assert out.S3_std.attrs == {
        "units": "K^2",
        "long_name": "long name of S3, standard deviation over member",
    }
    assert "member" not in out.coords
    with pytest.raises(ValueError, match="'day'"):
        std_over(ensemble, "day")
    with pytest.raises(ValueError, match="two or more"):
        std_over(ensemble.isel(member=[0]), "member")


def test_covariance_of(ensemble):
    matrix = covariance_of(ensemble, "member", ["S1", "S3"])
    assert matrix.dims == ("time", "path", "path_")
    vector = to_vector(ensemble, ["S1", "S3"])
    for time in (0, 1):
        expected = np.cov(vector.isel(time=time).values, rowvar=False)
        np.testing.assert_allclose(matrix.isel(time=time), expected, atol=1e-13)
    assert matrix.statistic_.values.tolist() == vector.statistic.values.tolist()
    assert matrix.l2_.values.tolist() == matrix.l2.values.tolist() == vector.l2.values.tolist()
    assert matrix.part.values.tolist() == vector.part.values.tolist()
    # the variances are those of std_over, complex ones in two parts
    variance = np.diagonal(matrix.isel(time=0))
    std = std_over(ensemble, "member").isel(time=0)
    np.testing.assert_allclose(variance[:8], std.S1_std.values.ravel() ** 2)
    real, imag = variance[8:].reshape(2, -1)
    total = to_vector(std.rename(S3_std="S3")[["S3"]]).values ** 2
    np.testing.assert_allclose(real + imag, total)
    assert covariance_of(ensemble, "member").sizes["path"] == to_vector(ensemble).sizes["path"]
    with pytest.raises(ValueError, match="'day'"):
        covariance_of(ensemble, "day", ["S1"])


def test_a_statistic_without_the_dimension_is_left_out(ensemble):
    ds = ensemble.assign(S1=ensemble.S1.isel(member=0, drop=True))
    assert "S1_std" not in std_over(ds, "member")
    assert "S1" not in covariance_of(ds, "member").statistic.values
