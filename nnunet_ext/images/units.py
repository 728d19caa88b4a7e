"""Units of length as image files write them, and numbers with a decimal comma."""

from __future__ import annotations

import math
import re
import unicodedata
from typing import Any

_POWERS = dict(zip("YZEPTGMk", range(24, 0, -3), strict=True)) | {"h": 2, "da": 1, "": 0, "d": -1, "c": -2}
_POWERS |= dict(zip(("m", "μ", "n", "p", "f", "a", "z", "y"), range(-3, -27, -3), strict=True))
_INCH = 25_400.0  # µm
#: the symbols of OME, whose case counts
_SYMBOLS = {f"{prefix}m": float(f"1e{6 + power}") for prefix, power in _POWERS.items()} | {
    "Å": 1e-4,
    "thou": _INCH / 1000,
    "li": _INCH / 12,
    "in": _INCH,
    "ft": 12 * _INCH,
    "yd": 36 * _INCH,
    "mi": 63_360 * _INCH,
    "pt": _INCH / 72,
}
_METRES = {"": 1e6, "centi": 1e4, "milli": 1e3, "micro": 1.0, "nano": 1e-3, "pico": 1e-6}
#: what else is written, in small letters and without a plural s
_WORDS = {
    **{f"{prefix}{metre}": step for prefix, step in _METRES.items() for metre in ("meter", "metre")},
    **{"m": 1e6, "cm": 1e4, "mm": 1e3, "nm": 1e-3, "pm": 1e-6},
    **dict.fromkeys(("um", "μm", "μ", "u", "micron"), 1.0),
    **dict.fromkeys(("å", "a", "angstrom", "angström", "ångström", "ångstrom"), 1e-4),
    **dict.fromkeys(("inch", "inche", '"'), _INCH),
    "mil": _INCH / 1000,
    "point": _INCH / 72,
}
#: steps of the grid, and no unit at all: how long they are is not said
_NO_LENGTH = {"", "pixel", "px", "voxel", "vx", "reference frame", "unit", "none", "null", "arbitrary", "au"}


def micrometres(unit: str) -> float | None:
    r"""Return how long a unit is in µm, or None if it is no length, such as ImageJ's "pixel".

    Parameters
    ----------
    unit : str
        As it is written; ``\u00B5`` may stand for µ, as ImageJ writes it.

    Raises
    ------
    ValueError
        If the unit is not known.

    Examples
    --------
    >>> micrometres("\\u00B5m"), micrometres("Å"), micrometres("mm"), micrometres("pixels")
    (1.0, 0.0001, 1000.0, None)
    """
    text = re.sub(r"\\u([0-9A-Fa-f]{4})", lambda match: chr(int(match[1], 16)), unit)
    text = unicodedata.normalize("NFKC", text).replace("Â", "")  # the rest of µ in the wrong encoding
    text = text.strip(" \t\0[]().")
    word = text.lower()
    words = (word, word.removesuffix("s"))
    if not _NO_LENGTH.isdisjoint(words):
        return None
    if text in _SYMBOLS:
        return _SYMBOLS[text]
    for key in words:
        if key in _WORDS:
            return _WORDS[key]
    raise ValueError(f"unknown unit of length {unit!r}")


def number(value: Any) -> float:
    """Return a number as it is written, with a decimal comma too; NaN if it is none.

    Examples
    --------
    >>> number("0,3"), number(2), number("wide")
    (0.3, 2.0, nan)
    """
    if isinstance(value, bool):
        return math.nan
    if isinstance(value, str) and value.count(",") == 1 and "." not in value:
        value = value.replace(",", ".")
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan
