"""Your own images with instance labels: a folder of images and one of labels."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nnunet_ext.dataset_conversion import (
    Case,
    DatasetDescription,
    Facts,
    Hdf5Instances,
    Look,
    Pair,
    Part,
    UserError,
    case_id,
    check_folder,
    entries,
    examples,
    has_channel_numbers,
    is_label_name,
    look_at,
    option,
    pair_by_name,
    without_labels,
)
from nnunet_ext.images.files import HDF5_ENDINGS, IMAGE_ENDINGS, LABEL_ENDINGS, ending_of, stem_of
from nnunet_ext.images.hdf5 import datasets
from nnunet_ext.images.tif_spacing import spacing_files

_LABEL_NAMES = "a_label, a_labels, a_mask, a_masks, a_cp_masks, a_seg, a_instances, a_gt, a_lbl"


@dataclass(frozen=True)
class Instances(Hdf5Instances):
    """Images and instance labels that pair by name, in tif, png, NIfTI or HDF5, 2D or 3D."""

    name = "Instances"
    title = "Your own images with instance labels (cells, nuclei), 2D or 3D: tif, png, NIfTI, HDF5"
    licence = ""
    url = ""
    reference = ""
    facts = Facts(
        task="your own instances",
        dimension="2D, 3D",
        cases="any",
        classes="cell, touching, gap",
        split="none: --test for a test set, nnU-Net's five folds",
    )
    example = "-i images -l labels -d 510 -n MyCells"

    labels: Path | None = option(  # noqa: RUF009 - a dataclass field
        None,
        "folder with the labels, named as the images or as a_label, a_mask, a_masks, a_cp_masks; may be that "
        "of the images; not needed where HDF5 files hold both",
        flags=("-l", "--labels"),
    )
    test: tuple[Path, ...] = option(
        (),
        "folder with test images and, if there are any, that of their labels",
        metavar="IMAGES [LABELS]",
        adds_cases=True,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.test) > 2:
            raise UserError(
                f"--test takes a folder of images and one of labels; got {len(self.test)} folders."
            )

    def locate(self, source: Path) -> Path:
        """Return the folder of the images itself."""
        check_folder(source, "the folder of the images with -i")
        return source.resolve()

    def find_cases(self, root: Path) -> list[Case]:
        """Pair images and labels by name.

        Raises
        ------
        UserError
            If names do not pair; all of them are listed.
        """
        train = self._training_pairs(root)
        apart = any(has_channel_numbers(pair) for pair in train)
        test = self._test_pairs(*self.test, channels_apart=apart) if self.test else []
        if self.test and not test:
            raise UserError(f"{self.test[0]} holds no images. Give a folder of test images with --test.")
        clash = _folded(train) & _folded(test)
        prefix = "test_" if clash else ""
        return [_case(pair, "train") for pair in train] + [_case(pair, "test", prefix) for pair in test]

    def look(self, case: Case, description: DatasetDescription) -> Look | None:
        """Look at image and labels: the folders are the user's, and may be the wrong ones."""
        ids = self.read_ids(case)[0] if case.labels else None
        found = look_at(self.read_pixels(case, description), ids)
        if self.split_components and found.fragments == "reused ids":
            return replace(found, fragments="")
        return found

    def _training_pairs(self, images: Path) -> list[Pair]:
        if self.labels is not None:
            return _pairs(images, self.labels)
        files = _files(images, IMAGE_ENDINGS)
        if others := [file for file in files if not _is_hdf5(file)]:
            raise UserError(
                f"{others[0]}: where are its labels? Give their folder with -l. "
                f"Only HDF5 files hold both, as '{self.image_key}' and '{self.label_key}'. "
                "Images to predict need none: add --test and their folder to the command of the dataset."
            )
        return [Pair(stem_of(file), (file,), file) for file in files]

    def _test_pairs(self, images: Path, labels: Path | None = None, *, channels_apart: bool) -> list[Pair]:
        check_folder(images, "a folder of test images with --test")
        if labels is not None:
            return _pairs(images, labels)
        pairs = without_labels(_files(images, IMAGE_ENDINGS), channels_apart)
        return [replace(pair, label=self._own_labels(pair.images[0])) for pair in pairs]

    def _own_labels(self, image: Path) -> Path | None:
        return image if _is_hdf5(image) and self.label_key in datasets(image) else None


def _folded(pairs: Sequence[Pair]) -> set[str]:
    """Return the ids without regard to upper and lower case."""
    return {case_id(pair.name).casefold() for pair in pairs}


def _pairs(images: Path, labels: Path) -> list[Pair]:
    """Pair the files of two folders, or of one that holds both."""
    check_folder(labels, "the folder of the labels")
    image_files, label_files = _files(images, IMAGE_ENDINGS), _files(labels, LABEL_ENDINGS)
    if labels.resolve() == images.resolve():
        label_files = [file for file in label_files if is_label_name(file)]
        if image_files and not label_files:
            raise UserError(
                f"{images} is given for images and labels, but no name in it ends as those of labels do: "
                f"{_LABEL_NAMES}. Give the folder of the labels."
            )
        image_files = [file for file in image_files if file not in label_files]
    try:
        return pair_by_name(image_files, label_files)
    except UserError as error:
        text = f"{error}\nThe labels of a.tif are called a.tif or {_LABEL_NAMES}."
        others = [*_others(images, IMAGE_ENDINGS), *_others(labels, LABEL_ENDINGS)]
        if others:
            known = ", ".join(sorted(LABEL_ENDINGS))
            text += (
                f"\nNot looked at: {examples(others)}. Labels end in {known}; subfolders are not searched."
            )
        raise UserError(text) from error


def _others(folder: Path, endings: Collection[str]) -> list[Path]:
    return [path for path in entries(folder.resolve()) if ending_of(path) not in endings]


def _files(folder: Path, endings: Collection[str]) -> list[Path]:
    return [path for path in entries(folder.resolve()) if ending_of(path) in endings]


def _is_hdf5(file: Path) -> bool:
    return ending_of(file) in HDF5_ENDINGS


def _case(pair: Pair, part: Part, prefix: str = "") -> Case:
    name = case_id(pair.name)
    labels = () if pair.label is None else (pair.label,)
    files: Sequence[Path] = (*pair.images, *labels)
    others = {beside for file in files for beside in spacing_files(file) if beside.is_file()}
    return Case(f"{prefix}{name}", part, pair.images, labels, others=tuple(sorted(others)))
