"""DeepGlobe Roads: satellite images, roads labelled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nnunet_ext.dataset_conversion import (
    Case,
    Facts,
    FilesByKey,
    Part,
    SeededPictures,
    find_folder,
    list_files,
    option,
)

_UNLABELLED: dict[str, int] = {"valid": 1243, "test": 1101}


@dataclass(frozen=True)
class DeepGlobeRoads(SeededPictures):
    """DeepGlobe road extraction (Demir et al. 2018), 1024 x 1024 RGB, 0.5 m per pixel.

    The challenge published masks of its training images only. These are split into training, validation
    and test; the images of ``valid`` and ``test`` have no labels.
    """

    name = "DeepGlobeRoads"
    title = "Satellite images, 0.5 m per pixel: roads"
    licence = "challenge terms, research use"
    url = "https://www.kaggle.com/datasets/balraj98/deepglobe-road-extraction-dataset"
    reference = "Demir et al. (2018), DeepGlobe 2018: A Challenge to Parse the Earth through Satellite Images"
    facts = Facts(
        task="roads from above",
        dimension="2D",
        cases="4357 / 623 / 1246",
        classes="road",
        registration="Kaggle account",
        serves="SCNP, Table I.10",
        split="none official: the 6226 labelled images, seeded, in the paper's sizes",
        open_points=(
            "which images trained, validated and tested in the paper (--seed, --split-file)",
            "the exact licence",
        ),
    )
    foreground = "road"

    unlabelled: bool = option(
        False, "add the images of valid and test, which have no masks, to imagesTs", decides_split=True
    )

    def sizes(self) -> Mapping[Part, int]:
        """Return those of the paper."""
        return {"train": 4357, "val": 623, "test": 1246}

    def locate(self, source: Path) -> Path:
        """Return the folder with ``train/<id>_sat.jpg``."""
        return find_folder(
            source,
            lambda folder: bool(list_files(folder / "train", r"\d+_sat\.jpe?g")),
            "holds train/<number>_sat.jpg",
            self.name,
        )

    def counts(self) -> dict[Part, int]:
        """Count the images without masks to the test set, if they are asked for."""
        counts = super().counts()
        if self.unlabelled and self.split_file is None:
            counts["test"] = counts.get("test", 0) + sum(_UNLABELLED.values())
        return counts

    def find_cases(self, root: Path) -> list[Case]:
        """Pair images and masks of ``train`` by number; name the images of ``valid`` and ``test``."""
        train = root / "train"
        files = FilesByKey(
            (tuple(path.stem.lower().split("_")), path)
            for path in list_files(train, r"\d+_(sat\.jpe?g|mask\.png)")
        )
        labelled = [
            Case(
                number,
                "train",
                (files.get((number, "sat"), train / f"{number}_sat.jpg"),),
                (files.get((number, "mask"), train / f"{number}_mask.png"),),
                wrong=files.wrong((number, "sat"), (number, "mask")),
            )
            for number in sorted({number for number, _ in files})
        ]
        why = "" if self.unlabelled else "no masks were published: --unlabelled adds it to imagesTs"
        others = [
            Case(f"{part}_{image.name.split('_')[0]}", "test", (image,), left_out=why)
            for part in _UNLABELLED
            for image in list_files(root / part, r"\d+_sat\.jpe?g")
        ]
        return [*self.assign_parts(labelled), *others]
