"""IHC_TMA: negative and positive nuclei in immunohistochemistry of tissue microarrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.dataset_conversion import (
    DROPPED,
    NUCLEI,
    OVERLAP,
    PAPER_OR_FOLDS,
    Case,
    Facts,
    FilesByKey,
    Header,
    Ids,
    KindsOfNuclei,
    Note,
    Part,
    PictureInstances,
    SeededInstances,
    UnusableCase,
    as_ids,
    list_files,
    option,
    read_header,
    size_text,
)
from nnunet_ext.images import numpy_files
from nnunet_ext.images.instance_files import instance_dtype

BACKGROUND = "background map that is not the rest"
_PARTS: dict[str, Part] = {"1": "train", "2": "val", "3": "test"}
_STEM = r"fold([123])_\w.*"


@dataclass(frozen=True)
class IhcTma(KindsOfNuclei, SeededInstances, PictureInstances):
    """IHC_TMA: 266 patches of 256 x 256, 12 stains.

    A mask file is (channels, y, x): ids of negative nuclei, ids of positive ones, ..., background. The ids
    start anew in each channel.
    """

    name = "IHC_TMA"
    title = "Nuclei in immunohistochemistry of tissue microarrays, negative or positive"
    licence = "CC BY 4.0 (according to InstanSeg)"
    url = "https://zenodo.org/records/7647846"
    reference = (
        "Simultaneously segmenting and classifying cell nuclei by using multi-task learning in multiplex "
        "immunohistochemical tissue microarray sections, Biomedical Signal Processing and Control 93 (2024)"
    )
    layout = ("images", "masks")
    facts = Facts(
        task="nuclei in IHC",
        dimension="2D",
        cases="195 / 36 / 35",
        classes="cell, touching, gap; or negative, positive",
        serves="SCNP, Table I.12",
        split="official, by the file names; --split paper: 212 / 27 / 27 as in SCNP, seeded",
        open_points=(
            "which patches SCNP validated and tested on (a shuffle by InstanSeg, not the official folds)",
            "pixel size: not in the files, InstanSeg assumes 0.25 µm (--spacing 0.25 0.25)",
            "which patches are of one patient or core",
        ),
    )

    split: str = option(
        "official",
        f"official: fold 1, 2, 3 of the names; {PAPER_OR_FOLDS}",
        ("official", "paper", "folds"),
        decides_split=True,
    )
    target: str = option(
        NUCLEI, "nuclei: instances of either kind; staining: negative and positive", (NUCLEI, "staining")
    )

    def sizes(self) -> Mapping[Part, int]:
        """Return the official ones, or those of SCNP."""
        if self.split == "official":
            return {"train": 195, "val": 36, "test": 35}
        return {"train": 212, "val": 27, "test": 27}

    def find_cases(self, root: Path) -> list[Case]:
        """Pair images and masks by name."""
        files = FilesByKey(
            ((kind, path.stem), path)
            for kind, ending in (("images", "png"), ("masks", "npy"))
            for path in list_files(root / kind, rf"{_STEM}\.{ending}")
        )
        cases = [
            Case(
                stem,
                _PARTS[stem[len("fold")]],
                (files.get(("images", stem), root / "images" / f"{stem}.png"),),
                (files.get(("masks", stem), root / "masks" / f"{stem}.npy"),),
                wrong=files.wrong(("images", stem), ("masks", stem)),
            )
            for stem in sorted({stem for _, stem in files})
        ]
        is_official = self.split == "official" and self.split_file is None
        return cases if is_official else self.assign_parts(cases)

    def headers(self, case: Case, dimension: int | None) -> tuple[Header, Header | None]:
        """Check that picture and maps fit, without reading the maps."""
        header, (shape, _) = read_header(case.images[0]), numpy_files.header(case.labels[0])
        if len(shape) != 3 or shape[0] < 3 or shape[1:] != header.shape:
            raise UnusableCase(
                f"{case.labels[0]}: is {size_text(shape)}, but 3 or more maps of {size_text(header.shape)} "
                f"are expected, as {case.images[0]} is"
            )
        return header, None

    def read_ids(self, case: Case) -> tuple[Ids, tuple[Note, ...]]:
        """Number the positive nuclei after the negative ones; the background map is compared with them."""
        file = case.labels[0]
        maps = numpy_files.read(file)
        ids, shared = _merged(maps, file)
        notes = _lost(maps, ids, file)
        if shared:
            notes.append(Note(OVERLAP, f"{file}: {shared} pixels, given to the negative one"))
        if different := np.count_nonzero((ids == 0) != (maps[-1] > 0)):
            notes.append(Note(BACKGROUND, f"{file}: {different} pixels; the nuclei count"))
        return ids, tuple(notes)

    def kinds(self) -> tuple[str, ...]:
        """Return negative and positive."""
        return ("negative", "positive")

    def read_kinds(self, case: Case) -> tuple[NDArray[np.uint8], tuple[Note, ...]]:
        """Return 1 in negative, 2 in positive nuclei; where they overlap, 1."""
        negative, positive = (channel > 0 for channel in numpy_files.read(case.labels[0])[:2])
        return np.where(negative, 1, np.where(positive, 2, 0)).astype(np.uint8), ()


def _merged(maps: NDArray[Any], file: Path) -> tuple[Ids, int]:
    """Return ids 1 to n of both kinds of nuclei, and how many pixels are in one of either kind."""
    negative, positive = (as_ids(channel, file) for channel in maps[:2])
    offset = int(negative.max())
    positive = positive.astype(np.uint64) + np.where(positive > 0, np.uint64(offset), np.uint64(0))
    ids = np.where(negative > 0, negative, positive)
    return ids.astype(instance_dtype(int(ids.max()))), int(np.count_nonzero((negative > 0) & (positive > 0)))


def _lost(maps: NDArray[Any], ids: Ids, file: Path) -> list[Note]:
    """Return notes on nuclei of which nothing is left, and on maps that are not read."""
    drawn = sum(np.count_nonzero(np.unique(channel)) for channel in maps[:2])
    notes = []
    if hidden := drawn - np.count_nonzero(np.unique(ids)):
        notes.append(
            Note(DROPPED, f"{file}: {hidden} positive nuclei all of whose pixels are negative ones too")
        )
    if others := sum(np.count_nonzero(np.unique(channel)) for channel in maps[2:-1]):
        text = f"{file}: {others} numbers in maps between the positive nuclei and the background, not read"
        notes.append(Note(DROPPED, text))
    return notes
