"""PlantSeg-style HDF5 files: image, instance labels and voxel size in one file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.dataset_conversion import (
    IGNORE,
    Case,
    Facts,
    Hdf5Instances,
    Ids,
    Note,
    Progress,
    Survey,
    UserError,
    case_id,
    find_folder,
    list_files,
    option,
    silent,
)
from nnunet_ext.images.hdf5 import datasets, library

OUTSIDE = "outside of the tissue"
ENDS = "slices without cells at the ends"
TWICE = "test files called like training files"
_IS_BACKGROUND = 0.01  # share of voxels from which 0 is the outside
_TIMES_LARGER = 5  # than the next largest instance is the outside
_FACES = 3  # of the volume that the outside touches at least


@dataclass(frozen=True)
class PlantSeg(Hdf5Instances):
    """Confocal and light-sheet stacks as PlantSeg stores them (Wolny et al. 2020, eLife 57613).

    Each file holds ``raw`` and ``label``, (z, y, x), with the attribute ``element_size_um``, (z, y, x) in µm.
    In some of these data the outside of the tissue is 0, in others it has an id as a cell has.
    """

    name = "PlantSeg"
    title = "Plant tissue in 3D (ovules, lateral roots, nuclei): cells, from PlantSeg-style HDF5 files"
    licence = "that of the files"
    url = "https://github.com/kreshuklab/plant-seg"
    reference = "Wolny et al. (2020), Accurate and versatile 3D segmentation of plant tissues, eLife 9:e57613"
    facts = Facts(
        task="cells of plant tissue",
        dimension="3D",
        cases="any",
        classes="cell, touching, gap",
        split="none: --test for a test set, nnU-Net's five folds",
    )
    example = "-i ovules/train -d 512 -n Ovules --test ovules/test"

    test: Path | None = option(  # noqa: RUF009 - a dataclass field
        None, "folder with test files, with or without labels", adds_cases=True
    )
    background: str = option(
        "auto", "id of the outside of the tissue; auto: 0, or one huge id at the border", metavar="ID|auto"
    )

    ends: str = option(
        "background",
        "slices at the ends of a volume without any cell, which in some files nobody labelled: background or "
        "nnU-Net's ignore label; they are noted either way",
        ("background", IGNORE),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.background != "auto" and not self.background.isdecimal():
            raise UserError(f"--background {self.background} is not possible: give an id or auto.")

    def locate(self, source: Path) -> Path:
        """Return the folder at or below `source` that holds HDF5 files."""
        return find_folder(source, lambda folder: bool(_files(folder)), "holds .h5 files", self.name)

    def find_cases(self, root: Path) -> list[Case]:
        """Return one case per HDF5 file; test files need no labels."""
        library()
        cases = [Case(case_id(file.stem), "train", (file,), (file,)) for file in _files(root)]
        if self.test is None:
            return cases
        test = _files(self.locate(self.test))
        prefix = "test_" if {case.id for case in cases} & {case_id(file.stem) for file in test} else ""
        return cases + [self._test_case(file, prefix) for file in test]

    def _test_case(self, file: Path, prefix: str) -> Case:
        labels = (file,) if self.label_key in datasets(file) else ()
        return Case(f"{prefix}{case_id(file.stem)}", "test", (file,), labels)

    def adapt(self, ids: Ids, file: Path) -> tuple[Ids, tuple[Note, ...]]:
        """Set the outside of the tissue to 0; the note says what was found."""
        if self.background == "auto":
            outside, text = find_outside(ids)
        else:
            outside = int(self.background)
            share = np.count_nonzero(ids == outside) / ids.size
            text = f"id {outside} is {share:.1%} of the voxels (--background)"
        notes = [Note(OUTSIDE, f"{file}: {text}")]
        cells = np.where(ids == outside, ids.dtype.type(0), ids) if outside else ids
        if any(ends := empty_ends(cells)):
            notes.append(Note(ENDS, f"{file}: the first {ends[0]} and the last {ends[1]} of {len(ids)}"))
        return cells, tuple(notes)

    def survey(self, cases: Sequence[Case], progress: Progress = silent) -> Survey:
        """See `Hdf5Instances.survey`; test files called like training files are noted."""
        survey = super().survey(cases, progress)
        train = {case.images[0].name.lower() for case in cases if case.part == "train"}
        same = [case.images[0] for case in cases if case.part == "test"]
        notes = [Note(TWICE, f"{file}") for file in same if file.name.lower() in train]
        return replace(survey, notes=(*survey.notes, *notes))

    def has_ignore(self, cases: Sequence[Case]) -> bool:
        """Tell whether slices may be ignored."""
        return self.ends == IGNORE

    def ignored(self, case: Case, ids: Ids) -> NDArray[np.bool_] | None:
        """Return the slices without any cell at the ends."""
        if self.ends != IGNORE:
            return None
        first, last = empty_ends(ids)
        unknown = np.zeros(ids.shape, bool)
        unknown[:first] = unknown[len(ids) - last :] = True
        return unknown


def empty_ends(ids: Ids) -> tuple[int, int]:
    """Return how many slices without any cell a volume begins and ends with; 0 if there is no cell at all."""
    filled = np.flatnonzero(ids.any(axis=tuple(range(1, ids.ndim))))
    return (int(filled[0]), int(len(ids) - 1 - filled[-1])) if filled.size and ids.ndim == 3 else (0, 0)


def find_outside(ids: Ids) -> tuple[int, str]:
    """Find the id of what lies outside the tissue, and say in words why.

    It is 0 where 0 is at least 1 % of the voxels; else an id five times larger than any other that touches
    at least three faces of the volume; else 0 again, which then is hardly there.

    Examples
    --------
    >>> ids = np.ones((8, 8, 8), np.uint16)
    >>> ids[2:4, 2:6, 2:4], ids[4:6, 2:6, 2:4] = 2, 3
    >>> find_outside(ids)
    (1, 'id 1 is 93.8% of the voxels, 30 times the next largest, at 6 faces of the volume; 0 is 0 voxels')
    """
    values, counts = np.unique(ids, return_counts=True)
    sizes = {int(value): int(count) for value, count in zip(values, counts, strict=True)}
    zeros = sizes.pop(0, 0)
    if zeros >= _IS_BACKGROUND * ids.size or len(sizes) < 2:
        return 0, f"0, {zeros / ids.size:.1%} of the voxels"
    largest, second = sorted(sizes, key=lambda value: -sizes[value])[:2]
    ratio = sizes[largest] / sizes[second]
    faces = sum(bool((ids.take(end, axis) == largest).any()) for axis in range(ids.ndim) for end in (0, -1))
    text = (
        f"id {largest} is {sizes[largest] / ids.size:.1%} of the voxels, {ratio:.2g} times the next largest, "
        f"at {faces} faces of the volume; 0 is {zeros} voxels"
    )
    if ratio >= _TIMES_LARGER and faces >= _FACES:
        return largest, text
    return 0, f"none found: {text}"


def _files(folder: Path) -> list[Path]:
    return list_files(folder, r".+\.(h5|hdf5)")
