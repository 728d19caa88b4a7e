"""Axons: white matter of the rat in 3D electron microscopy, myelinated axons labelled (DeepACSON)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.dataset_conversion import (
    ORDERS,
    RELABELLED,
    TURNED,
    Case,
    Converter,
    DatasetDescription,
    Facts,
    FilesByKey,
    Grid,
    Hints,
    Note,
    Progress,
    Sample,
    Survey,
    UnusableCase,
    UnusableCases,
    as_ids,
    axes_of,
    find_folder,
    match_files,
    option,
    read_image,
    reorder,
    silent,
    subfolders,
)
from nnunet_ext.images import hdf5, matlab

_FOLDER = r"(?P<arm>Sham|TBI)_(?P<place>\d+_(?:contra|ipsi))"
_ARMS = {"25": "Sham", "49": "Sham", "2": "TBI", "24": "TBI", "28": "TBI"}
#: voxel size in µm (z, y, x), which is in no file but in the dataset's README
_SPACING = {"HM": (0.05, 0.015, 0.015), "LM": (0.05, 0.05, 0.05)}
_CLASSES = {
    "axons": {"background": 0, "axon": 1},
    "fibres": {"background": 0, "fibre": 1},
    "both": {"background": 0, "axon": 1, "myelin": 2},
}


@dataclass(frozen=True)
class Axons(Converter):
    """DeepACSON's white matter volumes (Abdollahzadeh et al. 2021); the group of a case is the animal."""

    name = "Axons"
    title = "Electron microscopy of white matter, 3D: myelinated axons (DeepACSON)"
    licence = "CC BY 4.0"
    url = "https://doi.org/10.23729/bad417ca-553f-4fa6-ae0a-22eddd29a230"
    reference = "Abdollahzadeh et al. (2021), DeepACSON, Communications Biology 4:179"
    facts = Facts(
        task="axons in electron microscopy",
        dimension="3D",
        cases="10 / – / –",
        classes="axon",
        serves="SCNP, Table I.9",
        split="none official: five folds, both hemispheres of an animal in one",
        open_points=(
            "whether the paper's foreground includes the myelin (--foreground)",
            "which volumes were in which of its folds",
        ),
    )

    foreground: str = option(
        "axons",
        "the inside of the axons; fibres, with their myelin, as one class; or both as two",
        tuple(_CLASSES),
    )
    magnification: str = option(
        "HM", "HM: high, 15 x 15 x 50 nm; LM: low, 50 nm, volumes of many GB each", tuple(_SPACING)
    )
    label_axes: str = option(
        "auto", "order of the axes in the MATLAB files; auto: as fits the image", ("auto", *ORDERS)
    )

    def locate(self, source: Path) -> Path:
        """Return the folder that holds one folder per sample."""
        return find_folder(
            source,
            lambda folder: any(re.fullmatch(_FOLDER, sub.name, re.IGNORECASE) for sub in subfolders(folder)),
            "holds folders such as Sham_25_contra",
            self.name,
        )

    def describe(self) -> DatasetDescription:
        """Return one channel and the classes of `foreground`, tif."""
        return DatasetDescription(("EM",), _CLASSES[self.foreground], ".tif", {"train": 10}, 3)

    def find_cases(self, root: Path) -> list[Case]:
        """Find the volumes of the magnification by any of their files; one label file has a prefix."""
        kind, wanted = self.magnification, ["myelinated_axons", "myelin"][: 1 + (self.foreground != "axons")]
        pattern = (
            rf"(?P<folder>{_FOLDER})/(?:mat_)?(?P<stem>{kind}_\d+_(?:contra|ipsi))(?P<what>_.+)?\.(?:h5|mat)"
        )
        files = FilesByKey(
            ((path.parent, match["stem"].lower(), (match["what"] or "").lower()), path)
            for path, match in match_files(root, pattern)
        )
        cases = []
        for folder, name in sorted({key[:2] for key in files}):
            # the letter case of a copy makes no other sample
            arm, stem = folder.name.split("_")[0], f"{kind}{name[len(kind) :]}"
            arm = next(known for known in _ARMS.values() if known.lower() == arm.lower())
            labels = tuple(files.get((folder, name, f"_{w}"), folder / f"{stem}_{w}.mat") for w in wanted)
            image = files.get((folder, name, ""), folder / f"{stem}.h5")
            wrong = files.wrong(*((folder, name, what) for what in ("", *(f"_{w}" for w in wanted))))
            group = f"animal {stem.split('_')[1]}"
            cases.append(Case(f"{arm}_{stem}", "train", (image,), labels, group, wrong=wrong))
        return cases

    def known_files(self) -> Mapping[str, str]:
        """Return the volumes of the other magnification, and labels that are not asked for."""
        other = "LM" if self.magnification == "HM" else "HM"
        return {
            rf"{_FOLDER}/(?:mat_)?{other}_[^/]+\.(?:h5|mat)": "of the other magnification (--magnification)",
            rf"{_FOLDER}/[^/]+_myelin\.mat": "the myelin (--foreground)",
            rf"{_FOLDER}/[^/]+_nucleus\.mat": "the nuclei of cells, which are no class here",
        }

    def survey(self, cases: Sequence[Case], progress: Progress = silent) -> Survey:
        """Check that folders and files name the same sample."""
        problems: dict[str, list[str]] = {}
        for case in cases:
            arm, _, place = case.images[0].parent.name.partition("_")
            _, animal, side = case.images[0].stem.split("_")
            if place.lower() != f"{animal}_{side}".lower():
                problems[case.id] = [f"{case.images[0]}: is not of the sample its folder names, {place}"]
            elif _ARMS.get(animal, arm).lower() != arm.lower():
                problems[case.id] = [
                    f"{case.images[0]}: animal {animal} belongs to {_ARMS[animal]}, not to {arm}"
                ]
        if problems:
            raise UnusableCases(problems)
        return super().survey(cases, progress)

    def read_case(self, case: Case, description: DatasetDescription) -> Sample:
        """Read the volume and its masks, bring the masks into the volume's order of axes, and join them."""
        file = case.images[0]
        channels = read_image(file, Hints(_key(file), dimension=3)).pixels
        if len(channels) != 1:
            raise UnusableCase(f"{file}: one channel is expected, found {len(channels)}")
        image, order, notes = channels[0], self.label_axes, list[Note]()
        label = np.zeros(image.shape, np.uint8)
        for value, path in reversed(list(enumerate(case.labels, start=1))):  # axons last, over the myelin
            values = as_ids(matlab.read(path), path)
            order = axes_of(values, image, path) if order == "auto" else order
            inside = reorder(values, order, image.shape, path) > 0
            if both := np.count_nonzero(label[inside]):
                notes.append(Note("overlap", f"{path}: {both} voxels are myelin too, and become axon"))
            label[inside] = value if self.foreground == "both" else 1
            notes += _notes(values, order, path)
        return Sample((image,), label, tuple(notes), grid=Grid(_SPACING[self.magnification]))


def _notes(values: NDArray[Any], order: str, file: Path) -> list[Note]:
    largest = values.max()
    ids = [Note(RELABELLED, f"{file}: numbers up to {largest:g} to one class")] if largest > 1 else []
    turned = [Note(TURNED, f"{file}: axes {order} to zyx")] if order != "zyx" else []
    return [*turned, *ids]


def _key(file: Path) -> str:
    """Return the dataset that holds the volume."""
    there = hdf5.datasets(file)
    return next((key for key in ("raw", "data", "image") if key in there), "raw")
