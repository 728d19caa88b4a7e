"""The files of the crops of Post-NAT-BRCA, and what their names say about slides."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from nnunet_ext.dataset_conversion.sources import match_files
from nnunet_ext.errors import UserError

_FILE = r"(?:.*/)?([^/]+?)(_mask)?(?:_crop|_key)?\.(tiff?|png|xml)"


def crop_files(root: Path) -> dict[str, dict[str, Path]]:
    """Return the files of each crop by kind, "image", "xml" or "mask"."""
    files: dict[str, dict[str, Path]] = defaultdict(dict)
    for path, found in match_files(root, _FILE):
        kind = "xml" if path.suffix.lower() == ".xml" else "mask" if found[2] else "image"
        if (other := files[found[1]].setdefault(kind, path)) != path:
            raise UserError(f"{path} and {other} have the same name: give one of their folders with -i.")
    return files


def presumed_slides(names: Iterable[str]) -> dict[str, str]:
    """Guess which crops are of one slide, from names such as "102_Region 10".

    Numbered through, the crops of a slide follow each other with growing numbers of the region. Crops of two
    slides may be taken for one, which does no harm; names of another form are left out.

    Examples
    --------
    >>> presumed_slides(["10_Region 0", "11_Region 4", "12_Region 1", "9_Region 7"])
    {'9_Region 7': 'slide9', '10_Region 0': 'slide10', '11_Region 4': 'slide10', '12_Region 1': 'slide12'}
    """
    matches = filter(None, (re.fullmatch(r"(\d+)_Region (\d+)", name) for name in names))
    slides: dict[str, str] = {}
    slide, last = "", -1
    for number, region, name in sorted((int(m[1]), int(m[2]), m[0]) for m in matches):
        slide = slide if region > last and slide else f"slide{number}"
        slides[name], last = slide, region
    return slides


def read_patients(file: Path, names: Iterable[str]) -> dict[str, str]:
    """Read the table of patients, which must have every image."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as table:
            patients = {row["image"]: row["patient"] for row in csv.DictReader(table)}
    except (OSError, KeyError, UnicodeDecodeError) as error:
        raise UserError(
            f"{file}: cannot be read as a csv file with the columns image, patient: {error}"
        ) from error
    if missing := [name for name in names if not patients.get(name)]:
        raise UserError(f"{file}: has no patient for {', '.join(missing[:5])}, {len(missing)} images in all.")
    return patients
