"""What was asked for: a frozen record that travels to the workers and into the attributes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from numbers import Integral
from typing import TYPE_CHECKING, Any

from .engine.wavelets import Morlet, Wavelet
from .errors import (
    GridError,
    check_choice,
    checked_count,
    checked_names,
    checked_number,
    shown,
)
from .keywords import checked_class

if TYPE_CHECKING:
    import xarray as xr

STATISTICS = ("S0", "S1", "S2", "S3", "S4")
FRAMES = ("meridian", "stereographic", "angles")
MOST_ORIENTATIONS = 32
_MORLET = ("sigma", "xi", "slant", "radius")


@checked_class
@dataclass(frozen=True)
class Parameters:
    """Parameters of a set of statistics.

    Attributes
    ----------
    J, L : int
        Number of scales and of orientations (1 on a line).
    statistics : tuple of str
        Which of S0..S4.
    boundary : {"valid", "periodic"}
        Treatment of the border of a plane or line.
    frame : {"meridian", "stereographic", "angles"}
        Directions from which orientations count; the last are those given as an array.
    wavelet : Morlet or another wavelet
        The mother wavelet.
    min_coverage : float
        Part of a wavelet's support that has to be valid.
    exponent : float
        Power to which the modulus is raised.
    average : {"mean", "median"}
        How coefficients are averaged over cells.
    spin : {0, 1, 2}
        Spin of the field.
    selected : tuple of (j1, j2, j3), optional
        Scales kept; S3 at (j1, j2) belongs to (j1, j2, j2). Default: all.

    Examples
    --------
    >>> import xscat
    >>> xscat.Parameters(J=4, L=4).statistics
    ('S0', 'S1', 'S2', 'S3', 'S4')
    """

    J: int
    L: int
    statistics: tuple[str, ...] = STATISTICS
    boundary: str = "valid"
    frame: str = "meridian"
    wavelet: Wavelet = field(default_factory=Morlet)
    min_coverage: float = 1.0
    exponent: float = 1.0
    average: str = "mean"
    spin: int = 0
    selected: tuple[tuple[int, int, int], ...] | None = None

    def __post_init__(self) -> None:
        checked: dict[str, Any] = {
            "J": checked_count("J", self.J, error=GridError),
            "L": checked_count("L", self.L, most=MOST_ORIENTATIONS, error=GridError),
            "statistics": checked_names("statistics", self.statistics, STATISTICS),
            "min_coverage": checked_number("min_coverage", self.min_coverage, most=1),
            "exponent": checked_number("exponent", self.exponent),
            "selected": _checked_scales(self.selected, self.J),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        check_spin_number(self.spin)
        check_choice("boundary", self.boundary, ("valid", "periodic"))
        check_choice("frame", self.frame, FRAMES)
        check_choice("average", self.average, ("mean", "median"))
        if isinstance(self.wavelet, type) or not isinstance(self.wavelet, Wavelet):
            raise TypeError(
                f"wavelet={self.wavelet!r} has no fourier(), values() and radius: "
                "use xscat.Morlet(...) or an object with these (see xscat.Wavelet)"
            )

    def to_attrs(self) -> dict[str, Any]:
        """Flat attributes for a Dataset."""
        attrs = {
            "J": self.J,
            "L": self.L,
            "statistics": " ".join(self.statistics),
            "boundary": self.boundary,
            "frame": self.frame,
            "wavelet": type(self.wavelet).__name__,
            "min_coverage": self.min_coverage,
            "exponent": self.exponent,
            "average": self.average,
            "spin": self.spin,
        }
        if self.selected is not None:
            attrs["selected"] = " ".join(",".join(map(str, js)) for js in self.selected)
        if isinstance(self.wavelet, Morlet):
            values = {name: getattr(self.wavelet, name) for name in _MORLET}
            attrs |= {f"wavelet_{k}": v for k, v in values.items() if v is not None}
        return attrs

    @classmethod
    def from_attrs(cls, obj: xr.Dataset | Mapping[str, Any]) -> Parameters:
        """Parameters of a statistics Dataset, from its attributes.

        Parameters
        ----------
        obj : Dataset or mapping
            A Dataset that `covariance` returned, or its ``attrs``.

        Raises
        ------
        ValueError
            If attributes are missing, or the wavelet is not xscat's own.
        """
        attrs: Any = getattr(obj, "attrs", obj)
        if not isinstance(attrs, Mapping) or not {"J", "L", "wavelet"} & set(attrs):
            raise ValueError(
                "no parameters in these attributes: is it a Dataset of statistics, as covariance() "
                "returns it?"
            )
        if attrs.get("wavelet", "Morlet") != Morlet.__name__:
            raise ValueError(
                f"the wavelet {attrs['wavelet']!r} cannot be made from attributes: pass it yourself"
            )
        kinds = {"sigma": float, "xi": float, "slant": float, "radius": _whole}
        morlet = {
            k: _attribute(attrs, f"wavelet_{k}", kind)
            for k, kind in kinds.items()
            if f"wavelet_{k}" in attrs
        }
        return cls(
            J=_attribute(attrs, "J", _whole),
            L=_attribute(attrs, "L", _whole),
            statistics=_attribute(attrs, "statistics", _words),
            boundary=_attribute(attrs, "boundary", _word),
            frame=_attribute(attrs, "frame", _word),
            wavelet=Morlet(**morlet),
            min_coverage=_attribute(attrs, "min_coverage", float),
            exponent=_attribute(attrs, "exponent", float),
            average=_attribute(attrs, "average", _word),
            spin=_attribute(attrs, "spin", _whole),
            selected=_attribute(attrs, "selected", _parse_scales) if "selected" in attrs else None,
        )


def _attribute(attrs: Mapping[str, Any], name: str, kind: Callable[[Any], Any]) -> Any:
    """The value of an attribute, or an error that names it."""
    if name not in attrs:
        raise ValueError(
            f"the attribute {name} is missing: pass statistics with the attributes that "
            "covariance() gave them (arithmetic may drop these: see xarray.set_options(keep_attrs))"
        )
    try:
        return kind(attrs[name])
    except (TypeError, ValueError, AttributeError):
        raise ValueError(
            f"the attribute {name}={attrs[name]!r} is not what covariance() writes: restore it"
        ) from None


def _whole(value: Any) -> int:
    if isinstance(value, bool) or int(value) != float(value):
        raise ValueError
    return int(value)


def _word(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _words(value: Any) -> tuple[str, ...]:
    """Names; what operations add to those of `covariance` is none of its parameters."""
    names = tuple(n for n in _word(value).split() if n in STATISTICS)
    if not names:
        raise ValueError
    return names


def _parse_scales(text: str) -> tuple[tuple[int, int, int], ...]:
    triples = (tuple(map(int, js.split(","))) for js in text.split())
    return tuple((j1, j2, j3) for j1, j2, j3 in triples)


def check_spin_number(spin: Any) -> None:
    """Raise unless a field can have this spin."""
    if not isinstance(spin, Integral) or isinstance(spin, bool) or spin not in (0, 1, 2):
        raise ValueError(f"spin={shown(spin)} must be 0, 1 (vectors) or 2 (polarization)")


def _checked_scales(selected: Any, J: int) -> tuple[tuple[int, int, int], ...] | None:
    """Triples of scales below J."""
    if selected is None:
        return None
    try:
        return tuple(
            (
                checked_count("selected", j1, least=0, most=J - 1),
                checked_count("selected", j2, least=0, most=J - 1),
                checked_count("selected", j3, least=0, most=J - 1),
            )
            for j1, j2, j3 in selected
        )
    except (TypeError, ValueError):
        raise ValueError(
            f"selected={shown(selected)} must hold triples (j1, j2, j3) of integers in 0..{J - 1}"
        ) from None
