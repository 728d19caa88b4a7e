"""The spacing of the meristem stacks, which a text file per plant states."""

from __future__ import annotations

import re
from pathlib import Path

from nnunet_ext.dataset_conversion.case import CaseError


def resolution(file: Path, hour: int) -> tuple[float, float, float]:
    """Return the spacing (z, y, x) in µm of the stack of an hour.

    A row of the file holds time, x, y, z and the factor by which z was stretched, in brackets:
    ``[0hrs, (0.2196471, 0.2196471, 0.26), 1.06]``. The spacing in z is the quotient of the last two.

    Raises
    ------
    CaseError
        If there is not one row for the hour.
    """
    rows = []
    for line in file.read_text(encoding="utf-8-sig", errors="replace").splitlines():
        first, *cells = line.split(",")
        time = re.search(r"(\d+) *h", first) or re.search(r"(\d+)", first)
        numbers = [re.sub(r"[^0-9.eE+-]", "", cell) for cell in cells[:4]]
        if time and int(time[1]) == hour and len(numbers) == 4 and all(map(_is_step, numbers)):
            rows.append([float(number) for number in numbers])
    if len(rows) != 1:
        raise CaseError(
            f"{file}: {len(rows)} rows hold time, x, y, z, stretching factor of {hour} h, one is expected; "
            "--spacing z y x gives a spacing for all stacks"
        )
    x, y, z, factor = rows[0]
    return z / factor, y, x


def _is_step(text: str) -> bool:
    try:
        return 0 < float(text) < 100
    except ValueError:
        return False
