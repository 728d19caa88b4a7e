"""CirrMRI600+: cirrhotic livers in T1- and T2-weighted MRI."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nnunet_ext.dataset_conversion import (
    PARTS,
    Case,
    DatasetDescription,
    Facts,
    Part,
    UserError,
    VolumeConverter,
    case_id,
    find_root,
    match_files,
    option,
    split_cases,
)

_FILE = r"(?P<kind>images|masks)/(?P<name>[^/]+)\.nii\.gz"
_PATIENTS = r"Cirrhosis_{0}_3D/(?:.*/)?(?P<part>train|val|test)(?:id)?_" + _FILE
_HEALTHY = r"(?:.*/)?{0}_W_Healthy/(?:.*/)?(?P<part>){0}_" + _FILE
_SIZES: Mapping[str, Mapping[Part, int]] = {
    "T1": {"train": 248, "val": 31, "test": 31},
    "T2": {"train": 256, "val": 31, "test": 31},
}
_HEALTHY_SIZE = 55  # per sequence
_PAPER: Mapping[Part, int] = {"train": 198, "val": 50}


@dataclass(frozen=True)
class CirrMRI600(VolumeConverter):
    """CirrMRI600+ (Jha et al. 2025): 3D volumes, one sequence or both, each a case of its own.

    A patient has the same number in T1 and T2, but the official parts were made per sequence.
    """

    name = "CirrMRI600"
    title = "T1w or T2w MRI of the abdomen: cirrhotic liver"
    licence = "CC BY-NC 4.0"
    url = "https://osf.io/cuk24"
    reference = (
        "Jha et al. (2025), Large scale MRI collection and segmentation of cirrhotic liver, Sci. Data 12:896"
    )
    facts = Facts(
        task="cirrhotic liver in MRI",
        dimension="3D",
        cases="T2 256 / 31 / 31, T1 248 / 31 / 31",
        classes="liver",
        serves="SCNP, Table I.11",
        split="official, per sequence; --split patients: seeded, by patient, of the same sizes",
        open_points=(
            "SCNP's 198 / 50 / 31 T2w cases: 198 + 50 is the number of T1 training cases, T2 has 256; "
            "--split paper splits the training folder in this proportion",
            "whether the T1 and T2 of a patient lie on each other: they are separate cases here",
            "whether a healthy subject has the same number in T1 and T2: with both, equal ones stay together",
        ),
    )
    example = "-i CirrMRI600+ -d 522 --sequence T2"

    sequence: str = option("T2", "sequence to convert; both needs --split patients", ("T2", "T1", "both"))
    split: str = option(
        "official",
        "official: the folders; paper: the training folder split 198 to 50, the validation folder left out; "
        "patients: all split anew, by patient; folds: training and validation folder in five folds",
        ("official", "paper", "patients", "folds"),
        decides_split=True,
    )
    healthy: str = option(
        "none", "what healthy subjects are added to", ("none", "train", "test"), decides_split=True
    )
    seed: int = option(12345, "another one gives another split (--split paper, patients)", decides_split=True)

    @property
    def _sequences(self) -> tuple[str, ...]:
        return ("T1", "T2") if self.sequence == "both" else (self.sequence,)

    def locate(self, source: Path) -> Path:
        """Return the folder that holds the folders of the sequences asked for."""
        wanted = [f"Cirrhosis_{sequence}_3D" for sequence in self._sequences]
        if self.healthy != "none":
            wanted.append("Healthy_subjects")
        return find_root(source, wanted, self.name)

    def describe(self) -> DatasetDescription:
        """Return the sequence, background and liver, NIfTI."""
        name = "MRI" if self.sequence == "both" else f"{self.sequence}w"
        return DatasetDescription((name,), {"background": 0, "liver": 1}, ".nii.gz", self._counts(), 3)

    def _counts(self) -> dict[Part, int]:
        counts = sum((Counter(_SIZES[sequence]) for sequence in self._sequences), Counter[Part]())
        train, val = counts["train"], counts["val"]
        if self.split == "paper":
            counts["val"] = round(train * _PAPER["val"] / sum(_PAPER.values()))
            counts["train"] = train - counts["val"]
        elif self.split == "folds":
            counts["train"], counts["val"] = train + val, 0
        if self.healthy != "none":
            counts["test" if self.healthy == "test" else "train"] += _HEALTHY_SIZE * len(self._sequences)
        return {part: counts[part] for part in PARTS if counts[part]}

    def find_cases(self, root: Path) -> list[Case]:
        """Pair images and masks by name and assign the parts."""
        cases, healthy = [], []
        for sequence in self._sequences:
            cases += self._cases(root, _PATIENTS.format(sequence), f"{sequence}_")
            if self.healthy != "none":
                healthy += self._cases(root, _HEALTHY.format(sequence), f"healthy_{sequence}_")
        cases = self._assign_parts(cases)
        _check_patients([case for case in cases if not case.left_out])
        return cases + [replace(case, part="test" if self.healthy == "test" else "train") for case in healthy]

    def known_files(self) -> Mapping[str, str]:
        """Return the sequence and the subjects that are not asked for, and the slices."""
        known = {r"(.*/)?Cirrhosis_T[12]_2D/.*": "slices, which the volumes hold too"}
        for sequence in {"T1", "T2"} - {*self._sequences}:
            known[rf"(.*/)?(Cirrhosis_)?{sequence}(_3D|_W_Healthy)/.*"] = "of the other sequence (--sequence)"
        if self.healthy == "none":
            known[r"(.*/)?Healthy_subjects/.*"] = "of healthy subjects (--healthy)"
        return known

    def _cases(self, root: Path, pattern: str, prefix: str) -> list[Case]:
        """Return a case per image or mask; with both sequences its group is the patient."""
        cases = {}
        for path, found in match_files(root, pattern):
            folder = path.parent.name[: -len(found["kind"])]
            image, mask = (path.parent.with_name(folder + kind) / path.name for kind in ("images", "masks"))
            name = f"{prefix}{case_id(found['name'])}"
            group = name.replace("T1_", "").replace("T2_", "") if self.sequence == "both" else None
            part: Part = next((part for part in PARTS if part == found["part"].lower()), "train")
            cases[image] = Case(name, part, (image,), (mask,), group)
        return list(cases.values())

    def _assign_parts(self, cases: Sequence[Case]) -> list[Case]:
        if self.split == "patients":
            return split_cases(cases, self._counts(), self.seed)
        if self.split == "folds":
            return [replace(case, part="train") if case.part == "val" else case for case in cases]
        if self.split == "official":
            return list(cases)
        train, others = (
            [case for case in cases if (case.part == "train") == wanted] for wanted in (True, False)
        )
        left_out = "of the validation folder, not used with --split paper"
        return split_cases(train, _PAPER, self.seed) + [
            replace(case, left_out=left_out) if case.part == "val" else case for case in others
        ]


def _check_patients(cases: Sequence[Case]) -> None:
    """Raise `UserError` if scans of one patient are in several parts."""
    parts: dict[str, set[str]] = defaultdict(set)
    for case in cases:
        if case.group:
            parts[case.group].add(case.part)
    if several := sorted(group for group, found in parts.items() if len(found) > 1):
        more = ", ..." if len(several) > 5 else ""
        raise UserError(
            f"{len(several)} patients are in several parts, with T1 in one and T2 in another: "
            f"{', '.join(several[:5])}{more}. Split them anew, by patient: --split patients."
        )
