"""PulmonaryVA: chest CT, pulmonary arteries and veins labelled, often in one lung only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.dataset_conversion import (
    IGNORE,
    RESIZED,
    Case,
    DatasetDescription,
    Facts,
    Note,
    Part,
    PathPattern,
    Progress,
    Survey,
    UnusableCase,
    UserError,
    Volume,
    VolumeConverter,
    as_labels,
    case_id,
    check_brighter,
    check_folder,
    option,
    pair_by_pattern,
    part_of_name,
    read_filled,
    relabel,
    silent,
)
from nnunet_ext.dataset_conversion.pulmonaryva.halves import (
    HALVES,
    cut,
    half_of,
    ignore_half,
    keep_labelled,
)
from nnunet_ext.images.files import NIFTI_ENDINGS, ending_of

_IGNORED = 3
_WINDOW = (1, 41, 41)  # several times the width of a vessel


@dataclass(frozen=True)
class PulmonaryVA(VolumeConverter):
    """Pulmonary arteries and veins (ICPR 2024); the names and formats of the files are not established."""

    name = "PulmonaryVA"
    title = "Chest CT: pulmonary arteries and veins"
    licence = "Apache 2.0 (according to Kaggle)"
    url = "https://www.kaggle.com/datasets/xiaoweixumedicalai/mytest"
    reference = (
        "Fusion of machine learning and deep neural networks for pulmonary arteries and veins, ICPR 2024"
    )
    facts = Facts(
        task="lung vessels in CT",
        dimension="3D",
        cases="106 / – / –",
        classes="artery, vein",
        registration="Kaggle account, or e-mail",
        serves="SCNP, Table I.9",
        split="none official: five folds by patient",
        open_points=(
            "names and formats of the files (--images, --labels)",
            "which number is artery, vein, area of the lung (--artery, --vein, --background)",
            "whether scans are whole, and how 95 of them became 106 cases (--lungs)",
            "how a name tells the patient (--patient)",
        ),
    )
    example = "-i PulmonaryVA --images 'images/{case}.nii.gz' --labels 'labels/{case}.nii.gz' -d 506"

    images: str = option("", "where the CT lie below -i; {case} is the name of a case, * is anything")
    labels: str = option("", "where the labels lie, likewise; the names of the cases must be equal")
    artery: tuple[int, ...] = option((1,), "numbers of arteries in the label files")
    vein: tuple[int, ...] = option((2,), "numbers of veins")
    background: tuple[int, ...] = option((0,), "numbers of everything else, such as the area of the lung")
    lungs: str = option(
        "check",
        "volumes with vessels in one half only, the other lung not labelled: check lists them as wrong, "
        "cut makes each half with vessels a case, ignore hides the other half in training, keep keeps it",
        ("check", "cut", "ignore", "keep"),
    )
    share: float = option(0.1, "share of all vessel voxels from which on a half counts as labelled")
    patient: str = option(
        r"(.+?)(?:_(?:left|right|l|r))?", "regular expression whose group is the patient in a case's name"
    )
    spacing: tuple[float, ...] = option((), "voxel size in mm, z y x, of files that are not NIfTI")
    overlay: str = option(
        "check", "vessels not brighter than what is around them: list or keep", ("check", "keep")
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        numbers = (*self.artery, *self.vein, *self.background)
        if len(numbers) > len(set(numbers)):
            raise UserError("A number can be one of --artery, --vein and --background only.")
        if len(self.spacing) not in (0, 3):
            raise UserError("--spacing takes three numbers, z y x, in mm.")
        if not 0 < self.share <= 0.5:
            raise UserError(f"--share {self.share} is not possible: above 0 and at most 0.5 is expected.")

    def locate(self, source: Path) -> Path:
        """Return the folder itself."""
        check_folder(source, "the folder that holds PulmonaryVA with -i")
        return source.resolve()

    def describe(self) -> DatasetDescription:
        """Return CT, artery and vein, NIfTI."""
        ignore = {IGNORE: _IGNORED} if self.lungs == "ignore" else {}
        counts: dict[Part, int] = {"train": 106} if self.lungs == "cut" else {}
        labels = {"background": 0, "artery": 1, "vein": 2, **ignore}
        return DatasetDescription(("CT",), labels, ".nii.gz", counts, 3)

    def find_cases(self, root: Path) -> list[Case]:
        """Pair images and labels by the names the patterns give them."""
        images, labels = PathPattern(self.images, "--images"), PathPattern(self.labels, "--labels")
        cases = []
        for name, *files in pair_by_pattern(root, images, labels):
            patient, (image, label) = part_of_name(name, self.patient, "--patient"), files
            ids = [case_id(name) + half for half in (HALVES if self.lungs == "cut" else ("",))]
            cases += [Case(half, "train", (image,), (label,), patient) for half in ids]
        return cases

    def survey(self, cases: Sequence[Case], progress: Progress = silent) -> Survey:
        """If volumes are cut, read the labels and keep the halves that have vessels."""
        survey = super().survey(cases, progress)
        if self.lungs != "cut":
            return survey
        kept, notes = keep_labelled(cases, (*self.artery, *self.vein), self.share, progress)
        return replace(survey, cases=tuple(kept), notes=tuple(notes))

    def read_files(self, case: Case) -> tuple[Volume, tuple[Note, ...]]:
        """Read image and label, see that they belong together, and treat a half that is not labelled."""
        file, (volume, filled) = case.labels[0], read_filled(case)
        volume = self._spaced(volume, case.images[0])
        values, rounded = as_labels(np.asarray(volume.label), file)
        label, numbered = self._numbered(values, file)
        if self.overlay == "check":
            check_brighter(volume.channels[0], label > 0, _WINDOW, file)
        notes: tuple[Note, ...] = (*filled, *rounded, *numbered)
        if self.lungs in ("check", "ignore"):
            ignored = _IGNORED if self.lungs == "ignore" else None
            label, ignored_half = ignore_half(label, volume.grid, self.share, ignored, file)
            notes += ignored_half
        volume = replace(volume, label=label)
        if self.lungs == "cut" and (half := half_of(case)) is not None:
            return cut(volume, half), (*notes, Note(RESIZED, f"{file}: cut to half {half + 1} of 2"))
        return volume, notes

    def _numbered(
        self, values: NDArray[np.integer[Any]], file: Path
    ) -> tuple[NDArray[np.uint8], tuple[Note, ...]]:
        groups = (self.background, self.artery, self.vein)
        classes = {number: value for value, numbers in enumerate(groups) for number in numbers}
        try:
            return relabel(values, classes, file)
        except UnusableCase as error:
            raise UnusableCase(f"{error}; see --artery, --vein, --background") from error

    def _spaced(self, volume: Volume, file: Path) -> Volume:
        if ending_of(file) in NIFTI_ENDINGS:
            return volume
        if not self.spacing:
            raise UnusableCase(f"{file}: its voxel size in mm is not known: give it with --spacing Z Y X")
        return replace(volume, grid=replace(volume.grid, spacing=self.spacing))
