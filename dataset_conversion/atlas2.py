"""ATLAS v2.0: stroke lesions in T1-weighted MRI of the brain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from nnunet_ext.dataset_conversion import (
    Case,
    DatasetDescription,
    Facts,
    Part,
    VolumeConverter,
    find_folder,
    match_files,
)

_IMAGE, _MASK, _BARE_MASK = "_T1w.nii.gz", "_label-L_desc-T1lesion_mask.nii.gz", "_lesion_mask.nii.gz"
_NAMES = (
    r"(?:(?P<part>train|training|test|testing)/)?(?:.*/)?"
    r"(?P<subject>sub-r\d+s\d+)(?P<session>_ses-[a-z0-9]+)?(?:_space-[a-z0-9]+)?"
    r"(?P<kind>_T1w|(?:_label-L_desc-T1|_)lesion_mask)\.nii\.gz"
)
#: folders by which the three forms of the archive are known: as released, of the challenge, a flat mirror
_FORMS = ("Training", "train/derivatives/ATLAS", "images")


@dataclass(frozen=True)
class Atlas2(VolumeConverter):
    """ATLAS v2.0 (Liew et al. 2022): T1w in MNI space, 1 mm, lesions of chronic stroke.

    The case id is the subject with its session. The masks of the test set are not public.
    """

    name = "ATLAS2"
    title = "T1w MRI of the brain: stroke lesions (ATLAS v2.0)"
    licence = "data use agreement, no redistribution"
    url = "https://fcon_1000.projects.nitrc.org/indi/retro/atlas.html"
    reference = (
        "Liew et al. (2022), A large, curated, open-source stroke neuroimaging dataset, Sci. Data 9:320"
    )
    facts = Facts(
        task="stroke lesions in MRI",
        dimension="3D",
        cases="655 / – / 300 (no masks)",
        classes="lesion",
        registration="form and password",
        serves="SCNP, Table I.11",
        split="official test set, without masks; nnU-Net's five folds",
        open_points=("which of the 655 cases were in which of the paper's five folds",),
    )
    example = "-i ATLAS_2 -d 520"

    def locate(self, source: Path) -> Path:
        """Return the folder that holds any of the three forms of the archive."""
        return find_folder(
            source,
            lambda folder: any((folder / form).is_dir() for form in _FORMS),
            f"holds {' or '.join(_FORMS)}",
            self.name,
        )

    def describe(self) -> DatasetDescription:
        """Return T1w, background and lesion, NIfTI."""
        counts: dict[Part, int] = {"train": 655, "test": 300}
        return DatasetDescription(("T1w",), {"background": 0, "lesion": 1}, ".nii.gz", counts, 3)

    def known_files(self) -> Mapping[str, str]:
        """Return the template of the space the images are in."""
        return {r"MNI152[^/]*\.nii\.gz": ""}

    def find_cases(self, root: Path) -> list[Case]:
        """Find the images wherever they lie; a mask without image is a case whose image is missing."""
        hits = match_files(root, _NAMES)
        there = {path for path, _ in hits}
        cases: dict[tuple[Path, Path], Case] = {}
        for path, found in hits:
            is_image = found["kind"].lower() == "_t1w"
            image, mask = (path, _mask_of(path)) if is_image else (_image_of(path), path)
            is_test = (found["part"] or "").lower().startswith("test")
            labels = () if is_test and mask not in there else (mask,)
            name, subject = f"{found['subject']}{found['session'] or ''}", found["subject"]
            cases[image, mask] = Case(name, "test" if is_test else "train", (image,), labels, subject)
        sessions = Counter(case.group for case in cases.values())
        # a group of one need not be kept together: nnU-Net makes its own five folds then
        return [c if sessions[c.group] > 1 else replace(c, group=None) for c in cases.values()]


def _mask_of(image: Path) -> Path:
    stem = image.name[: -len(_IMAGE)]
    if image.parent.name.lower() == "images":
        return image.parents[1] / "masks" / f"{stem}{_BARE_MASK}"
    return image.with_name(f"{stem}{_MASK}")


def _image_of(mask: Path) -> Path:
    ending = _MASK if mask.name.lower().endswith(_MASK.lower()) else _BARE_MASK
    folder = mask.parents[1] / "images" if mask.parent.name.lower() == "masks" else mask.parent
    return folder / f"{mask.name[: -len(ending)]}{_IMAGE}"
