"""TopoMortar: photographs of brick walls, mortar labelled."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from nnunet_ext.dataset_conversion import (
    PARTS,
    Case,
    Converter,
    DatasetDescription,
    Facts,
    Hints,
    Sample,
    UnusableCase,
    UserError,
    list_files,
    option,
    read_image,
    threshold_mask,
)

LABEL_SETS = ("accurate", "noisy", "pseudo")


@dataclass(frozen=True)
class TopoMortar(Converter):
    """TopoMortar (Valverde et al. 2025, arXiv:2503.03365), 512 x 512 RGB, mortar against bricks.

    Noisy and pseudo labels exist for training and validation; the test labels are always accurate.
    The group of a case is the test domain of ``dataset_types.txt`` ("indistr", "angles", ...), which
    the authors ask not to average over.
    """

    name = "TopoMortar"
    title = "Brick walls, photographs: mortar, with in- and out-of-distribution test images"
    licence = "MIT"
    url = "https://github.com/jmlipman/TopoMortar"
    reference = "Valverde et al. (2025), TopoMortar, arXiv:2503.03365"
    layout = ("train/images", "val/images")
    facts = Facts(
        task="mortar between bricks",
        dimension="2D",
        cases="50 / 20 / 350",
        classes="mortar",
        serves="SCNP, Table I.10",
        split="official",
    )

    labels: str = option("accurate", "label set for training and validation", LABEL_SETS)

    def describe(self) -> DatasetDescription:
        """Return RGB, background and mortar, png."""
        return DatasetDescription(
            channel_names=("R", "G", "B"),
            labels={"background": 0, "mortar": 1},
            file_ending=".png",
            official_counts={"train": 50, "val": 20, "test": 350},
        )

    def find_cases(self, root: Path) -> list[Case]:
        """Pair images and masks by name; see `Converter.find_cases`."""
        groups = _groups(root / "dataset_types.txt")
        cases = []
        for part in PARTS:
            images = root / part / "images"
            masks = root / part / (self.labels if part != "test" else "accurate")
            if images.is_dir() and not masks.is_dir():
                there = [name for name in LABEL_SETS if (root / part / name).is_dir()]
                raise UserError(
                    f"{masks} is missing; label sets there: {', '.join(there) or 'none'} (--labels)."
                )
            # the union, so that a mask without image is reported like an image without mask
            files = [*list_files(images, r"\d+\.png"), *list_files(masks, r"\d+\.png")]
            for file in sorted({path.name for path in files}):
                case_id = Path(file).stem
                cases.append(Case(case_id, part, (images / file,), (masks / file,), groups.get(case_id)))
        return cases

    def read_case(self, case: Case, description: DatasetDescription) -> Sample:
        """Threshold the mask; the image is copied as it is."""
        file = case.labels[0]
        channels = read_image(file, Hints(dimension=2, label=True)).pixels
        if len(channels) != 1:
            raise UnusableCase(f"{file}: a mask of one channel is expected, found {len(channels)}")
        label, notes = threshold_mask(channels[0], file)
        return Sample(images=case.images, label=label, notes=notes)


def _groups(path: Path) -> dict[str, str]:
    """Read ``ID,group`` lines; none if the file is missing."""
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        return {row["ID"]: row["group"] for row in csv.DictReader(file)}
