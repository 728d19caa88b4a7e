"""The Cell Tracking Challenge: cells in 2D and 3D sequences, any of its datasets."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.dataset_conversion import (
    IGNORE,
    Case,
    DatasetDescription,
    Facts,
    FilesByKey,
    Grid,
    Header,
    Hints,
    Ids,
    InstanceConverter,
    Note,
    Progress,
    Survey,
    UnusableCase,
    UserError,
    find_folder,
    list_files,
    match_files,
    option,
    read_header,
    read_image,
    silent,
    size_text,
    some_of,
    subfolders,
)
from nnunet_ext.dataset_conversion.ctc.annotations import (
    TRUTHS,
    Background,
    is_gold,
    read_cells,
    slice_of,
    truth_files,
)
from nnunet_ext.dataset_conversion.ctc.table import About, about


@dataclass(frozen=True)
class Ctc(InstanceConverter):
    """One dataset of the Cell Tracking Challenge (Maška et al. 2023), each annotated frame a case.

    Gold truth (GT) is drawn by people, in some frames or single slices, not always of all cells; silver truth
    (ST) is a vote of algorithms on nearly all cells. Where background is not known to be background it is
    ignored, see `annotations.Background`. The two sequences are the folds.
    """

    name = "CTC"
    title = "Cell Tracking Challenge, any dataset: cells in 2D or 3D, gold or silver truth"
    licence = "by permission of the providers"
    url = "https://celltrackingchallenge.net"
    reference = (
        "Maška et al. (2023), The Cell Tracking Challenge: 10 years of objective benchmarking, "
        "Nature Methods 20"
    )
    facts = Facts(
        task="cells in microscopy",
        dimension="2D, 3D",
        cases="by dataset and release",
        classes="cell, touching, gap",
        serves="Youden's J losses, Table 2 (DIC HeLa)",
        split="sequences 01 and 02 as two folds",
        open_points=(
            "voxel sizes of Fluo-C2DL-Huh7 and Fluo-C3DH-A549-SIM (--spacing)",
            "whether a slice has cells without a marker in that slice (--background none if in doubt)",
            "whether ids of gold segmentations are those of the markers: they are not compared",
        ),
    )
    example = "-i DIC-C2DH-HeLa -d 530 -n DICHeLa --truth both"

    truth: str = option("gold", "gold; silver; both: silver for frames without gold", TRUTHS)
    background: str = option(
        "checked",
        "background that is not ignored; checked: of frames and slices each of whose markers (TRA) lies in a "
        "cell; all: of every annotated frame or slice; none",
        ("checked", "all", "none"),
    )
    missing_radius: float | None = option(
        None,
        "ignore background this near to a marker in no cell, in pixels",
        shown="all of the frame or slice",
    )
    border: int | None = option(
        None, "pixels at the edges where background of gold truth is ignored", shown="the dataset's own"
    )
    dataset: str = option("", "name of the dataset, if the folder has another", metavar="NAME")
    test: Path | None = option(  # noqa: RUF009 - a dataclass field
        None, "folder of the test sequences, which have no truth", adds_cases=True
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, value in (("border", self.border), ("missing-radius", self.missing_radius)):
            if value is not None and not 0 <= value < math.inf:
                raise UserError(f"--{name} {value} is not possible: give 0 or more.")

    def locate(self, source: Path) -> Path:
        """Return the folder that holds ``01_GT`` or ``01_ST``."""
        return find_folder(source, lambda folder: bool(_sequences(folder)), "holds 01_GT or 01_ST", self.name)

    def find_cases(self, root: Path) -> list[Case]:
        """Return one case per frame that has a segmentation, and the test frames."""
        about(root, self.dataset)
        cases = []
        for sequence in _sequences(root):
            images, tracks = root / sequence, root / f"{sequence}_GT/TRA"
            found = FilesByKey(
                ((folder, re.sub(r"\D", "", path.stem)), path)
                for folder, name in ((images, "t"), (tracks, "man_track"))
                for path in list_files(folder, rf"{name}\d{{3,4}}\.tiff?")
            )
            for frame, files in truth_files(root, sequence, self.truth).items():
                image, markers = (images, frame), (tracks, frame)
                others = (found.get(markers, tracks),) if markers in found else ()
                file, wrong = found.get(image, images / f"t{frame}.tif"), found.wrong(image, markers)
                name = f"{sequence}_t{frame}"
                cases.append(Case(name, "train", (file,), files, sequence, others, wrong=wrong))
        if not cases:
            there = ", ".join(sorted(str(path.parent.relative_to(root)) for path in root.glob("*_[GS]T/SEG")))
            raise UserError(
                f"{root} has no {self.truth} truth; segmentations are in: {there or 'none'} (--truth)."
            )
        return [*cases, *self._test_cases()]

    def known_files(self) -> Mapping[str, str]:
        """Return the frames without truth, their markers, and the truth that is not asked for."""
        known = {
            r"\d\d/t\d{3,4}\.tiff?": "frames without truth",
            r"\d\d_GT/TRA/man_track\d{3,4}\.tiff?": "markers of frames without truth",
            r"\d\d_GT/TRA/man_track\.txt": "",
        }
        if self.truth != "both":
            other, folder = ("silver", "ST") if self.truth == "gold" else ("gold", "GT")
            known[rf"\d\d_{folder}/SEG/man_seg[\d_]+\.tiff?"] = f"{other} truth (--truth)"
        else:
            known[r"\d\d_ST/SEG/man_seg[\d_]+\.tiff?"] = "silver truth of frames that have gold truth"
        return known

    def survey(self, cases: Sequence[Case], progress: Progress = silent) -> Survey:
        """See `InstanceConverter.survey`; say which truth is not used, and where only cells are known."""
        survey = super().survey(cases, progress)
        test = {case.images[0].parents[1] for case in cases if case.part == "test"}
        if truth := [str(path) for folder in test for path in sorted(folder.glob("[0-9][0-9]_[GS]T"))]:
            text = f"{some_of(truth)}: test cases are converted without labels"
            survey = replace(survey, notes=(*survey.notes, Note("truth of the test sequences", text)))
        if self._about(cases[0]).kind != "lineages":
            return survey
        text = (
            "only the cells of some lineages are annotated: all background is ignored, whatever --background"
        )
        return replace(survey, notes=(*survey.notes, Note("no background", text)))

    def headers(self, case: Case, dimension: int | None) -> tuple[Header, Header | None]:
        """Return the headers, with the voxel size of the table; single slices are compared in `read_ids`."""
        known, image = self._about(case), read_header(case.images[0])
        if known.dimension and len(image.shape) != known.dimension:
            raise UnusableCase(
                f"{case.images[0]}: is {size_text(image.shape)}, but the data are {known.dimension}D"
            )
        spacing = known.of_sequence.get(case.images[0].parent.name, known.spacing)
        image = replace(image, grid=Grid(spacing))
        if not case.labels or slice_of(case.labels[0]) is not None:
            return image, None
        label = read_header(case.labels[0], Hints(dimension=len(image.shape), label=True))
        return image, replace(label, grid=image.grid)  # the files state no spacing that counts

    def read_pixels(self, case: Case, description: DatasetDescription) -> NDArray[Any]:
        """Read the frame."""
        return read_image(case.images[0], Hints(dimension=description.dimension)).pixels

    def read_ids(self, case: Case) -> tuple[Ids, tuple[Note, ...]]:
        """Read the frame's segmentation, or put its slices in their places."""
        return read_cells(case)

    def has_ignore(self, cases: Sequence[Case]) -> bool:
        """Tell whether slices, a border, or background that may hold cells will be ignored."""
        return any(self._may_ignore(case) for case in cases if case.labels)

    def make_label(
        self, case: Case, instances: Ids, grid: Grid, description: DatasetDescription
    ) -> tuple[NDArray[np.uint8], tuple[Note, ...]]:
        """Ignore what is not known to be background, and say why."""
        label, lost = super().make_label(case, instances, grid, description)
        unknown, notes = self._background(case).unknown(case, instances)
        unknown &= instances == 0
        if IGNORE not in description.labels:
            if unknown.any():
                raise UnusableCase(f"{notes[0].text}, but simulated truth is complete")
            return label, lost
        label[unknown] = description.values[-1]
        return label, lost + notes

    def make_classes(
        self,
        case: Case,
        instances: Ids,
        spacing: tuple[float, ...] | None,
        touching_radius: float | None = None,
    ) -> NDArray[np.uint8]:
        """Return the classes; single slices one by one, as a closing in 3D finds no gap in a slice."""
        if slice_of(case.labels[0]) is None:
            return super().make_classes(case, instances, spacing, touching_radius)
        label = np.zeros(instances.shape, np.uint8)
        for number in np.flatnonzero(instances.any(axis=(1, 2))):
            steps = spacing and spacing[1:]
            label[number] = super().make_classes(case, instances[number], steps, touching_radius)
        return label

    def _test_cases(self) -> list[Case]:
        if self.test is None:
            return []
        holds_frames, holds = (lambda folder: bool(_frames(folder))), "holds 01/t000.tif"
        folder = find_folder(self.test, holds_frames, holds, f"{self.name} test data")
        return [Case(f"test_{name}", "test", (file,)) for name, file in _frames(folder)]

    def _about(self, case: Case) -> About:
        return about(case.images[0].parents[1], self.dataset)

    def _background(self, case: Case) -> Background:
        known, background = self._about(case), self.background
        if known.kind == "lineages":
            background = "none"
        elif known.kind == "simulated" and background == "checked" and not case.others:
            background = "all"
        z, *_, x = self.spacing or known.spacing or (1.0, 1.0)
        return Background(
            background, known.border if self.border is None else self.border, self.missing_radius, z / x
        )

    def _may_ignore(self, case: Case) -> bool:
        background, is_exact = self._background(case), self._about(case).kind == "simulated"
        is_cut = slice_of(case.labels[0]) is not None or (background.border > 0 and is_gold(case.labels[0]))
        return is_cut or background.known == "none" or (background.known == "checked" and not is_exact)


def _sequences(root: Path) -> list[str]:
    names = (re.fullmatch(r"(\d\d)_[GS]T", folder.name) for folder in subfolders(root))
    return sorted({name[1] for name in names if name})


def _frames(root: Path) -> list[tuple[str, Path]]:
    return [
        (f"{found[1]}_{found[2]}", path) for path, found in match_files(root, r"(\d\d)/(t\d{3,4})\.tiff?")
    ]
