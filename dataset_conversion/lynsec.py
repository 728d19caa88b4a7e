"""LyNSeC: nuclei of lymphoma, immunohistochemistry and H&E."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.dataset_conversion import (
    NUCLEI,
    Case,
    DatasetDescription,
    Facts,
    Grid,
    Header,
    Ids,
    KindsOfNuclei,
    Note,
    Part,
    SeededInstances,
    UnusableCase,
    as_ids,
    find_folder,
    match_files,
    option,
    relabel,
    size_text,
)
from nnunet_ext.images import numpy_files

_FILE = r"lynsec[ _-]?([123])/(\d+)_l\1\.npy"
UNEVEN = "kinds that do not cover the nuclei"
_FAULTY = 35  # 0_l2 to 34_l2
_SIZES = {"1": 379, "2": 280, "3": 40}
#: what the kinds are, and of which folder
_TARGETS = {"staining": ("1", ("negative", "positive")), "tumour": ("3", ("non-tumour", "tumour"))}


@dataclass(frozen=True)
class Lynsec(KindsOfNuclei, SeededInstances):
    """LyNSeC (Naji et al. 2024): 512 x 512; lynsec 1 is IHC, 2 and 3 are H&E.

    A file is (y, x, channels): red, green, blue, ids and, in lynsec 1 and 3, the kind of nucleus.
    """

    name = "LyNSeC"
    title = "Nuclei of diffuse large B-cell lymphoma in IHC and H&E"
    licence = "CC BY 4.0"
    url = "https://zenodo.org/records/8065174"
    reference = (
        "Naji et al. (2024), HoLy-Net: segmentation of histological images of diffuse large B-cell lymphoma, "
        "Computers in Biology and Medicine 170:107978"
    )
    facts = Facts(
        task="nuclei in IHC and H&E",
        dimension="2D",
        cases="532 / 66 / 66",
        classes="cell, touching, gap; or negative, positive; or non-tumour, tumour",
        serves="SCNP, Table I.12 (with --lynsec2 all: 559 / 70 / 70)",
        split="none official: 80, 10, 10 % of each folder, seeded; --split folds for five folds",
        open_points=(
            "which images SCNP validated and tested on; its 699 are all, the faulty ones included",
            "how much of the rest of lynsec 2 is annotated wrongly: InstanSeg leaves out the folder",
            "pixel size: not in the files, InstanSeg assumes 0.25 µm (--spacing 0.25 0.25)",
            "which images are of one patient",
        ),
    )

    lynsec2: str = option(
        "partly",
        "files of lynsec 2, of which 0 to 34 have labels that do not belong to their images; partly: without "
        "those; none: as in InstanSeg; all: as many as in SCNP",
        ("partly", "none", "all"),
    )
    target: str = option(
        NUCLEI,
        "nuclei: instances of all kinds; staining: negative and positive, lynsec 1 alone; tumour: non-tumour "
        "and tumour, lynsec 3 alone",
        (NUCLEI, *_TARGETS),
    )

    def sizes(self) -> Mapping[Part, int]:
        """Return 80, 10 and 10 % of each folder, rounded as `assign_parts` does."""
        tenths = [round(count / 10) for count in self._counts().values()]
        return {
            "train": sum(self._counts().values()) - 2 * sum(tenths),
            "val": sum(tenths),
            "test": sum(tenths),
        }

    def _counts(self) -> dict[str, int]:
        """Return the number of cases to convert in each folder of the complete dataset."""
        if self.target != NUCLEI:
            folder = _TARGETS[self.target][0]
            return {folder: _SIZES[folder]}
        second = {"partly": _SIZES["2"] - _FAULTY, "none": 0, "all": _SIZES["2"]}[self.lynsec2]
        return {**_SIZES, "2": second}

    def locate(self, source: Path) -> Path:
        """Return the folder of the folders lynsec 1, 2 and 3."""
        return find_folder(
            source, lambda folder: bool(match_files(folder, _FILE)), "holds lynsec 1/0_l1.npy ...", self.name
        )

    def find_cases(self, root: Path) -> list[Case]:
        """Return one case per file; those that are not wanted are left out."""
        cases = [
            Case(path.stem, "train", (path,), (path,), left_out=self._reason(found[1], int(found[2])))
            for path, found in match_files(root, _FILE)
        ]
        kept = self.assign_parts([case for case in cases if not case.left_out], lambda case: case.id[-1])
        return kept + [case for case in cases if case.left_out]

    def _reason(self, folder: str, number: int) -> str:
        """Say why a file is not converted, if it is not."""
        if self.target != NUCLEI and folder != _TARGETS[self.target][0]:
            return f"lynsec {folder} does not tell {' from '.join(self.kinds())} nuclei (--target)"
        if folder == "2" and self.lynsec2 == "none":
            return "of lynsec 2, not wanted (--lynsec2 none)"
        if folder == "2" and self.lynsec2 == "partly" and number < _FAULTY:
            return "its labels do not belong to its image; --lynsec2 all converts it"
        return ""

    def headers(self, case: Case, dimension: int | None) -> tuple[Header, Header | None]:
        """Read the size of the array only."""
        shape, _ = numpy_files.header(case.images[0])
        channels = (4, 5) if self.target == NUCLEI else (5,)
        if len(shape) != 3 or shape[2] not in channels:
            wanted = " or ".join(map(str, channels))
            raise UnusableCase(
                f"{case.images[0]}: is {size_text(shape)}, but y, x and {wanted} channels are expected"
            )
        return Header(shape[:2], 3, np.dtype(np.uint8), Grid()), None

    def read_pixels(self, case: Case, description: DatasetDescription) -> NDArray[Any]:
        """Return the colours as 8 bit, whatever the array's type."""
        file = case.images[0]
        colours = np.moveaxis(numpy_files.read(file)[..., :3], -1, 0)
        with np.errstate(invalid="ignore"):  # not a number is refused below
            pixels = colours.astype(np.uint8)
        if (odd := pixels != colours).any():
            raise UnusableCase(
                f"{file}: a colour is {colours[odd][0]:g}, but whole numbers up to 255 are expected"
            )
        return pixels

    def read_ids(self, case: Case) -> tuple[Ids, tuple[Note, ...]]:
        """Return channel 3."""
        return as_ids(numpy_files.read(case.labels[0])[..., 3], case.labels[0]), ()

    def kinds(self) -> tuple[str, ...]:
        """Return those of the target."""
        return _TARGETS[self.target][1]

    def read_kinds(self, case: Case) -> tuple[NDArray[np.uint8], tuple[Note, ...]]:
        """Return channel 4; a note says where it does not cover the nuclei."""
        file = case.labels[0]
        ids, kinds = np.moveaxis(numpy_files.read(file)[..., 3:5], -1, 0)
        label, notes = relabel(as_ids(kinds, file), {0: 0, 1: 1, 2: 2}, file)
        different = np.count_nonzero((ids > 0) != (label > 0))
        return label, notes + (Note(UNEVEN, f"{file}: {different} pixels"),) * bool(different)
