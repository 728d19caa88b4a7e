"""FIVES: photographs of the fundus, blood vessels labelled."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from nnunet_ext.dataset_conversion import (
    Case,
    Facts,
    FilesByKey,
    Part,
    SeededPictures,
    UserError,
    list_files,
    subfolders,
)


@dataclass(frozen=True)
class Fives(SeededPictures):
    """FIVES (Jin et al. 2022), 2048 x 2048 RGB; the letter of a name is the disease.

    The same names occur in train and test, so the case ids begin with the part. The group of a test case is
    its disease: A (age-related macular degeneration), D (diabetic retinopathy), G (glaucoma) or N (normal).
    """

    name = "FIVES"
    title = "Fundus photographs of four diseases: blood vessels"
    licence = "CC BY 4.0"
    url = "https://doi.org/10.6084/m9.figshare.19688169"
    reference = (
        "Jin et al. (2022), FIVES: A Fundus Image Dataset for AI-based Vessel Segmentation, Sci. Data 9:475"
    )
    layout = ("train/Original", "test/Original")
    facts = Facts(
        task="retinal vessels",
        dimension="2D",
        cases="480 / 120 / 200",
        classes="vessel",
        serves="SCNP, Table I.9",
        split="official test; a seeded 20 % of training, 30 per disease, as validation",
        open_points=(
            "which 120 training cases validated in the paper (--seed, --split-file)",
            "one user reports two photographs as unusable, without their names: look at the dataset",
        ),
    )
    foreground = "vessel"
    seeded_parts: ClassVar[tuple[Part, ...]] = ("train", "val")

    def sizes(self) -> Mapping[Part, int]:
        """Return those of the paper; the test set is official."""
        return {"train": 480, "val": 120, "test": 200}

    def find_cases(self, root: Path) -> list[Case]:
        """Pair images and masks by name; the training cases are split disease by disease."""
        train = self.assign_parts(_cases(root / "train", "train"), strata=lambda case: case.id[-1].upper())
        return [*train, *_cases(root / "test", "test")]


def _cases(folder: Path, part: Part) -> list[Case]:
    images, masks = folder / "Original", _masks(folder)
    # the union, so that a mask without image is reported like an image without mask
    files = FilesByKey(
        ((sub, path.stem), path) for sub in (images, masks) for path in list_files(sub, r"\d+_[ADGN]\.png")
    )
    return [
        Case(
            f"{part}_{name}",
            part,
            (files.get((images, name), images / f"{name}.png"),),
            (files.get((masks, name), masks / f"{name}.png"),),
            group=name[-1].upper() if part == "test" else None,  # a group would not be split
            wrong=files.wrong((images, name), (masks, name)),
        )
        for name in sorted({name for _, name in files})
    ]


def _masks(folder: Path) -> Path:
    """Return the folder of the masks, which is spelt "Groud truth" in places."""
    named = [sub for sub in subfolders(folder) if re.fullmatch(r"groun?d[ _]truth", sub.name, re.IGNORECASE)]
    if len(named) > 1:
        raise UserError(f"{' and '.join(map(str, named))} both hold masks. Keep one of them.")
    return named[0] if named else folder / "Ground truth"
