"""Crack500: photographs of pavement, cracks labelled; full size or cut into crops."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nnunet_ext.dataset_conversion import (
    PARTS,
    Case,
    Converter,
    DatasetDescription,
    Facts,
    FilesByKey,
    Note,
    Part,
    Progress,
    Sample,
    Survey,
    UserError,
    align_photograph,
    case_id,
    find_folder,
    match_files,
    option,
    read_foreground,
    read_rgb,
    rgb_description,
    shrink,
    silent,
)

_FOLDERS = {"full": "data", "crops": "crop"}
_COUNTS: dict[str, dict[Part, int]] = {
    "full": {"train": 250, "val": 50, "test": 200},
    "crops": {"train": 1896, "val": 348, "test": 1124},
}


@dataclass(frozen=True)
class Crack500(Converter):
    """Crack500 (Zhang et al. 2016, Yang et al. 2019), RGB photographs of 4 to 8 megapixels, and crops."""

    name = "Crack500"
    title = "Photographs of pavement: cracks"
    licence = "none stated"
    url = "https://github.com/fyangneil/pavement-crack-detection"
    reference = (
        "Yang et al. (2019), Feature Pyramid and Hierarchical Boosting Network, IEEE T-ITS (arXiv:1901.06340)"
    )
    facts = Facts(
        task="cracks in pavement",
        dimension="2D",
        cases="250 / 50 / 200",
        classes="crack",
        serves="SCNP, Table I.10",
        split="official, by folder",
        open_points=(
            "how the paper scaled the photographs down to a median of 640 x 896 pixels (--short-side)",
            "which masks are upside down: found by brightness, which is no proof (--turned)",
        ),
    )

    pictures: str = option("full", "whole photographs or the authors' crops of them", ("full", "crops"))
    short_side: int = option(0, "scale down to this length of the shorter side; 0 leaves the size")
    turned: str = option(
        "stop",
        "masks that seem to be upside down: list them as wrong, turn them by 180 degrees, keep them",
        ("stop", "turn", "keep"),
    )
    shared: str = option(
        "keep",
        "photographs in several parts: keep (noted), or drop from all but the last of train, val, test",
        ("keep", "drop"),
        decides_split=True,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.short_side < 0:
            raise UserError(f"--short-side {self.short_side} is not possible: it is a number of pixels.")

    def locate(self, source: Path) -> Path:
        """Return the folder that holds the unpacked archives of a part at least."""
        names = [f"{part}{_FOLDERS[self.pictures]}" for part in PARTS]
        return find_folder(
            source,
            lambda folder: any((folder / name).is_dir() for name in names),
            f"holds one of {', '.join(names)}, which --pictures {self.pictures} needs (unpacked)",
            self.name,
        )

    def describe(self) -> DatasetDescription:
        """Return RGB, background and crack, png."""
        return rgb_description("crack", _COUNTS[self.pictures])

    def find_cases(self, root: Path) -> list[Case]:
        """Pair images and masks, which lie in one folder, by name."""
        kind, suffix = _FOLDERS[self.pictures], "_mask" if self.pictures == "full" else ""
        where = rf"(?:.*/)?(train|val|test){kind}/([^/]+)"
        images = _by_name(match_files(root, rf"{where}\.jpe?g"))
        masks = _by_name(match_files(root, rf"{where}{suffix}\.png"))
        cases = []
        # the union, so that a mask without photograph is reported like a photograph without mask
        for key in sorted({*images, *masks}):
            folder, part, stem = key
            image = images.get(key, folder / f"{stem}.jpg")
            mask = masks.get(key, folder / f"{stem}{suffix}.png")
            wrong = (*images.wrong(key), *masks.wrong(key))
            cases.append(Case(case_id(stem), part, (image,), (mask,), wrong=wrong))
        if not any(case.part == "train" for case in cases):
            raise UserError(
                f"{root} has no training pictures in train{kind}. The newer of the two archives lacks "
                "traindata.zip: take the older one, or the crops (--pictures crops)."
            )
        return self._once(cases) if self.shared == "drop" else cases

    def known_files(self) -> Mapping[str, str]:
        """Return the pictures that are not asked for, which are not archives still to be unpacked."""
        others = "crop" if self.pictures == "full" else "data"
        return {rf"(?:.*/)?(train|val|test){others}/[^/]+\.(jpe?g|png)": "of the other kind (--pictures)"}

    def survey(self, cases: Sequence[Case], progress: Progress = silent) -> Survey:
        """Note photographs that are in several parts; no file is read."""
        notes = tuple(
            Note("photograph in several parts", f"{photograph}: {', '.join(parts)}")
            for photograph, parts in self._parts(cases).items()
            if len(parts) > 1
        )
        return replace(super().survey(cases, progress), notes=notes)

    def read_case(self, case: Case, description: DatasetDescription) -> Sample:
        """Read picture and mask, bring them together if the mask is upside down, and scale both."""
        image, image_notes = read_rgb(case.images[0])
        label, notes = read_foreground(case.labels[0])
        image, label, turned = align_photograph(image, label, case, self.turned)
        image, label, scaled = shrink(image, label, self.short_side, case.labels[0])
        return Sample((image,), label, (*image_notes, *notes, *turned, *scaled))

    def _photograph(self, case: Case) -> str:
        """Return the photograph; the name of a crop goes on with two coordinates: 20160222_081011_1_361."""
        return re.sub(r"_\d+_\d+$", "", case.id) if self.pictures == "crops" else case.id

    def _parts(self, cases: Iterable[Case]) -> dict[str, list[Part]]:
        """Return the parts of every photograph, in the order train, val, test."""
        found: dict[str, set[Part]] = defaultdict(set)
        for case in cases:
            found[self._photograph(case)].add(case.part)
        return {photograph: [p for p in PARTS if p in parts] for photograph, parts in sorted(found.items())}

    def _once(self, cases: Sequence[Case]) -> list[Case]:
        """Leave a photograph out of all parts but its last."""
        last = {photograph: parts[-1] for photograph, parts in self._parts(cases).items()}
        return [
            case
            if case.part == (part := last[self._photograph(case)])
            else replace(case, left_out=f"its photograph is in {part} too (--shared drop)")
            for case in cases
        ]


def _by_name(hits: Iterable[tuple[Path, re.Match[str]]]) -> FilesByKey[tuple[Path, Part, str]]:
    """Return files by folder, part and name without ending."""
    parts: dict[str, Part] = {part: part for part in PARTS}
    return FilesByKey(((path.parent, parts[found[1].lower()], found[2]), path) for path, found in hits)
