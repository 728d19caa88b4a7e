"""TopoMortar: photographs of brick walls, mortar labelled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nnunet_ext.dataset_conversion import (
    PARTS,
    Case,
    Converter,
    DatasetDescription,
    Facts,
    FilesByKey,
    Hints,
    Note,
    Progress,
    Sample,
    Survey,
    UnusableCase,
    UserError,
    list_files,
    option,
    read_image,
    read_table,
    silent,
    some_of,
    threshold_mask,
)

LABEL_SETS = ("accurate", "noisy", "pseudo")
_DOMAINS = "dataset_types.txt"


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
        groups = _groups(root)
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
            files = FilesByKey(
                ((folder, path.stem), path)
                for folder in (images, masks)
                for path in list_files(folder, r"\d+\.png")
            )
            for name in sorted({name for _, name in files}):
                image = files.get((images, name), images / f"{name}.png")
                mask = files.get((masks, name), masks / f"{name}.png")
                wrong = files.wrong((images, name), (masks, name))
                cases.append(Case(name, part, (image,), (mask,), groups.get(name), wrong=wrong))
        return cases

    def known_files(self) -> Mapping[str, str]:
        """Return the label sets that are not asked for."""
        others = "|".join(name for name in LABEL_SETS if name != self.labels)
        return {rf"(train|val)/({others})/\d+\.png": "of other label sets (--labels)"}

    def survey(self, cases: Sequence[Case], progress: Progress = silent) -> Survey:
        """See `Converter.survey`; test images without a domain, and the reverse, are noted."""
        survey = super().survey(cases, progress)
        domains, there = _groups(cases[0].images[0].parents[2]), {case.id for case in cases}
        without = [case.id for case in cases if case.part == "test" and not case.group]
        missing = [name for name in domains if name not in there]
        texts = {"test images that it does not name": without, "named there, but no case": missing}
        notes = tuple(
            Note("test domains", f"{_DOMAINS}: {words}: {some_of(names)}")
            for words, names in texts.items()
            if names and domains
        )
        return replace(survey, notes=notes)

    def read_case(self, case: Case, description: DatasetDescription) -> Sample:
        """Threshold the mask; the image is copied as it is."""
        file = case.labels[0]
        channels = read_image(file, Hints(dimension=2, label=True)).pixels
        if len(channels) != 1:
            raise UnusableCase(f"{file}: a mask of one channel is expected, found {len(channels)}")
        label, notes = threshold_mask(channels[0], file)
        return Sample(images=case.images, label=label, notes=notes)


def _groups(root: Path) -> dict[str, str]:
    """Read ``ID,group`` lines; none if the file is missing."""
    return read_table(root / _DOMAINS, "ID", "group") if (root / _DOMAINS).is_file() else {}
