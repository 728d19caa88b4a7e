"""Units of length and numbers as files write them."""

import math

import pytest

from nnunet_ext.images.units import micrometres, number


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("um", 1),
        ("µm", 1),  # micro sign
        ("\u03bcm", 1),  # Greek mu
        ("\\u00B5m", 1),  # as Fiji escapes it
        ("\\u00b5m", 1),
        ("Âµm", 1),  # UTF-8 read as Latin-1
        ("µ", 1),
        ("[um]", 1),
        ("micron", 1),
        ("Microns", 1),
        ("micrometre", 1),
        ("nm", 1e-3),
        ("Nanometers", 1e-3),
        ("pm", 1e-6),
        ("Å", 1e-4),  # letter
        ("\u212b", 1e-4),  # Angstrom sign
        ("A", 1e-4),
        ("Angstrom", 1e-4),
        ("mm", 1e3),
        ("MM", 1e3),
        ("Mm", 1e12),  # OME: megametre
        ("cm", 1e4),
        ("m", 1e6),
        ("inch", 25_400),
        ("inches", 25_400),
        ("in", 25_400),
        ("thou", 25.4),
        ("pixel", None),
        ("Pixels", None),
        ("reference frame", None),
        ("", None),
    ],
)
def test_units(unit, expected):
    assert micrometres(unit) == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize("unit", ["furlong", "sec", "?m", "1/cm", "µmm"])
def test_unknown_units(unit):
    with pytest.raises(ValueError, match="unknown unit of length"):
        micrometres(unit)


def test_numbers():
    assert [number(text) for text in ("0,3", "0.3", " 2 ", 4, "-0,5")] == [0.3, 0.3, 2, 4, -0.5]
    assert all(math.isnan(number(text)) for text in ("1,234.5", "1,2,3", "wide", None, True, "nan"))
