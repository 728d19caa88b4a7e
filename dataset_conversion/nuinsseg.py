"""NuInsSeg: nuclei in stained sections of 31 human and mouse organs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.dataset_conversion import (
    Case,
    Facts,
    FileInstances,
    FilesByKey,
    Ids,
    Note,
    Part,
    Progress,
    SeededInstances,
    Survey,
    UnusableCase,
    UserError,
    case_id,
    examples,
    find_folder,
    match_files,
    option,
    read_mask,
    silent,
    size_text,
    some_of,
    subfolders,
)

IMAGES, LABELS = "tissue images", "label masks modify"
VAGUE = "vague areas"
_PATTERNS = {
    IMAGES: rf"([^/]+)/{IMAGES}/([^/]+)\.png",
    LABELS: rf"([^/]+)/{LABELS}/([^/]+)\.tiff?",
    VAGUE: r"([^/]+)/[^/]*vague[^/]*/[^/]*mask[^/]*/([^/]+)\.(?:png|tiff?)",
}


@dataclass(frozen=True)
class NuInsSeg(SeededInstances, FileInstances):
    """NuInsSeg (Mahbod et al. 2024): H&E, 512 x 512, one folder per organ.

    The instances are those of ``label masks modify``; in ``label masks`` the ids of overlapping nuclei are
    added up.
    """

    name = "NuInsSeg"
    title = "Nuclei in H&E-stained sections of 31 human and mouse organs"
    licence = "CC BY 4.0"
    url = "https://zenodo.org/records/10518968"
    reference = (
        "Mahbod et al. (2024), NuInsSeg: a fully annotated dataset for nuclei instance segmentation in "
        "H&E-stained histological images, Scientific Data 11:295"
    )
    facts = Facts(
        task="nuclei in H&E",
        dimension="2D",
        cases="532 / 66 / 67",
        classes="cell, touching, gap",
        serves="SCNP, Table I.12",
        split="none official: sizes of SCNP, seeded; --split folds for five folds",
        open_points=(
            "which images SCNP validated and tested on (InstanSeg shuffles a listing, whose order varies)",
            "pixel size: not in the files, InstanSeg assumes 0.25 µm (--spacing 0.25 0.25)",
            "whether SCNP did anything about the vague areas: --vague ignore leaves them out of the loss",
            "which patients the images are of: cases of one may be in several parts",
        ),
    )

    vague: str = option(
        "keep",
        "pixels of ambiguous areas that are in no nucleus; keep: background, as labelled; ignore: nnU-Net's "
        "ignore label",
        ("keep", "ignore"),
    )

    def sizes(self) -> Mapping[Part, int]:
        """Return those of SCNP."""
        return {"train": 532, "val": 66, "test": 67}

    def locate(self, source: Path) -> Path:
        """Return the folder of the organs."""
        return find_folder(
            source,
            lambda folder: any((organ / IMAGES).is_dir() for organ in subfolders(folder)),
            f"holds folders of organs with {IMAGES}/",
            self.name,
        )

    def find_cases(self, root: Path) -> list[Case]:
        """Pair images, labels and, if wanted, vague areas by organ and name."""
        files = FilesByKey(
            ((kind, match[1], match[2]), path)
            for kind, pattern in _PATTERNS.items()
            if kind != VAGUE or self.vague == "ignore"
            for path, match in match_files(root, pattern)
        )
        kinds = {kind for kind, *_ in files}
        if self.vague == "ignore" and VAGUE not in kinds:
            raise UserError(
                f"{root} holds no masks of vague areas, ORGAN/{VAGUE}/mask binary: leave out --vague."
            )
        cases = []
        for organ, name in sorted({key[1:] for key in files if key[0] != VAGUE}):
            image = files.get((IMAGES, organ, name), root / organ / IMAGES / f"{name}.png")
            label = files.get((LABELS, organ, name), root / organ / LABELS / f"{name}.tif")
            vague = (VAGUE, organ, name)
            others = (files.get(vague, root),) if vague in files else ()
            wrong = files.wrong(*((kind, organ, name) for kind in _PATTERNS))
            cases.append(Case(_id(organ, name), "train", (image,), (label,), others=others, wrong=wrong))
        return self.assign_parts(cases)

    def known_files(self) -> Mapping[str, str]:
        """Return the other masks and maps of the dataset."""
        maps = r"label masks|mask binary[^/]*|distance maps|weighted_?maps?[^/]*|overlay[^/]*|stacked masks?"
        known = {rf"[^/]+/({maps}|Imagj_zips)/.+": "other masks and maps of the dataset"}
        if self.vague == "keep":
            return {**known, r"[^/]+/[^/]*vague[^/]*/.+": "vague areas (--vague ignore)"}
        return {**known, r"[^/]+/[^/]*vague[^/]*/Imagj_zips/.+": "other masks and maps of the dataset"}

    def survey(self, cases: Sequence[Case], progress: Progress = silent) -> Survey:
        """See `InstanceConverter.survey`; images without vague areas and organs without images are noted."""
        survey, notes = super().survey(cases, progress), list[Note]()
        without = [case.images[0] for case in cases if not case.others]
        if self.vague == "ignore" and without:
            text = f"{len(without)} images have no mask of them: {examples(without)}"
            notes.append(Note(f"no {VAGUE}", text))
        holds = {organ: subfolders(organ) for organ in subfolders(cases[0].images[0].parents[2])}
        kinds = {organ: {folder.name.lower() for folder in folders} for organ, folders in holds.items()}
        if bare := [organ.name for organ, names in kinds.items() if names and not names & {IMAGES, LABELS}]:
            text = f"{some_of(bare)}: neither {IMAGES}/ nor {LABELS}/"
            notes.append(Note("folders of organs without cases", text))
        return replace(survey, notes=(*survey.notes, *notes))

    def has_ignore(self, cases: Sequence[Case]) -> bool:
        """Tell whether there are vague areas to ignore."""
        return self.vague == "ignore"

    def ignored(self, case: Case, ids: Ids) -> NDArray[np.bool_] | None:
        """Return the vague areas; their masks are 0/255, or 0/1 as the authors' page has it."""
        if not case.others:
            return None
        mask, _ = read_mask(case.others[0])
        if mask.shape != ids.shape:
            raise UnusableCase(
                f"{case.others[0]}: is {size_text(mask.shape)}, the labels {size_text(ids.shape)}"
            )
        values = np.unique(mask).tolist()
        if len(values) > 2 or not set(values) <= {0, 1, 255}:
            raise UnusableCase(
                f"{case.others[0]}: holds {values[:5]}, but a mask of 0 and 255 (or 1) is expected"
            )
        return mask > 0


def _id(organ: str, name: str) -> str:
    """Return the name with its organ before it: names may repeat between organs."""
    prefix, stem = case_id(organ), case_id(name)
    return stem if stem.startswith(prefix) else f"{prefix}_{stem}"
