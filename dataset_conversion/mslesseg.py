"""MSLesSeg: lesions of multiple sclerosis in MRI of the brain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from nnunet_ext.dataset_conversion import (
    Case,
    DatasetDescription,
    Facts,
    Part,
    SeededSplit,
    VolumeConverter,
    match_files,
)

CHANNELS = ("T1", "T2", "FLAIR")
# T1 and T2 are time points as well as modalities: only the last word is the modality
_NAMES = r"(?P<part>train|test)/(?:.*/)?(?P<scan>P\d+(?:_T\d+)?)_(?:T1|T2|FLAIR|MASK)\.nii\.gz"


@dataclass(frozen=True)
class MSLesSeg(SeededSplit, VolumeConverter):
    """MSLesSeg (Guarnera et al. 2025): T1w, T2w, FLAIR in MNI space, 1 mm, skull-stripped.

    A patient has up to four scans (time points), which stay in one part and one fold.
    """

    name = "MSLesSeg"
    title = "T1w, T2w and FLAIR MRI of the brain: lesions of multiple sclerosis"
    licence = "CC BY 4.0"
    url = "https://doi.org/10.6084/m9.figshare.27919209"
    reference = "Guarnera et al. (2025), MSLesSeg, Scientific Data 12:920"
    layout = ("train", "test")
    facts = Facts(
        task="multiple sclerosis lesions in MRI",
        dimension="3D",
        cases="74 / 19 / 22",
        classes="lesion",
        serves="SCNP, Table I.11",
        split="official test; 19 of 93 training scans, seeded, whole patients, as validation",
        open_points=("which 19 training scans validated in the paper, and whether by patient",),
    )
    example = '-i "MSLesSeg Dataset" -d 523'

    seeded_parts: ClassVar[tuple[Part, ...]] = ("train", "val")

    def sizes(self) -> Mapping[Part, int]:
        """Return the scans per part; the test set is official."""
        return {"train": 74, "val": 19, "test": 22}

    def describe(self) -> DatasetDescription:
        """Return T1w, T2w, FLAIR, background and lesion, NIfTI."""
        channels, labels = ("T1w", "T2w", "FLAIR"), {"background": 0, "lesion": 1}
        return DatasetDescription(channels, labels, ".nii.gz", self.counts(), 3)

    def find_cases(self, root: Path) -> list[Case]:
        """Return one case per scan that has any of its four files."""
        scans = {
            (path.parent, found["scan"], found["part"].lower()) for path, found in match_files(root, _NAMES)
        }
        cases = [_case(folder, scan, is_test=part == "test") for folder, scan, part in sorted(scans)]
        train = [case for case in cases if case.part == "train"]
        test = [case for case in cases if case.part == "test"]
        return [*self.assign_parts(train), *test]


def _case(folder: Path, scan: str, is_test: bool) -> Case:
    *images, mask = (folder / f"{scan}_{word}.nii.gz" for word in (*CHANNELS, "MASK"))
    return Case(scan, "test" if is_test else "train", tuple(images), (mask,), scan.partition("_")[0])
