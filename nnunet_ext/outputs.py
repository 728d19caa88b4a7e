"""Where results must not be written: over what was read, into the input, over nnU-Net's own files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from nnunet_ext.errors import UserError

_DATA = (".nii.gz", ".nii", ".tif", ".tiff", ".png", ".bmp", ".npz", ".npy", ".h5", ".mha", ".nrrd")
#: of a raw dataset, and of a dataset's files that nnU-Net does not know
_RAW = re.compile(r"(images|labels|instances|weights)T[rs]|gt_segmentations")
_DATASET = re.compile(r"Dataset\d{3}_")
_FOLD = re.compile(r"fold_(\d+|all)")
#: a folder with one of these is nnU-Net's: a dataset, predictions, a model
_MARKS = ("dataset.json", "plans.json", "predict_from_raw_data_args.json", "dataset_fingerprint.json")
#: names that nnU-Net, or a command here that goes on where it stopped, looks for
_NAMES = (*_MARKS, "splits_final.json", "conversion_report.json", "instances.json", "closed.json")
_MADE = re.compile(r".*plans.*\.json|checkpoint_.*\.pth|training_log_.*\.txt|postprocessing\.pkl", re.I)
_OURS = '"class_names"'  # in a summary that `evaluate` wrote; nnU-Net's has none


def check_output(path: Path, inputs: Iterable[Path] = (), option: str = "-o") -> None:
    """Refuse a file to write that would destroy or mix with what is there; an earlier result is replaced.

    Parameters
    ----------
    path : Path
        The file.
    inputs : iterable of Path
        Files and folders that are read. In a folder a result must not have the ending of its data, which a
        later command would take it for.
    option : str
        The option on the command line that named it, for the error text.

    Raises
    ------
    UserError
        If `path` is an input, a folder, a device or the like, a link that leads nowhere, a file of nnU-Net's,
        or lies among images, labels or predictions and looks like one of them.
    """
    said = f"{option} {path}"
    if path.is_dir():
        raise UserError(f"{said} is a folder: name a file in it.")
    if path.is_symlink() and not path.exists():
        raise UserError(f"{said} is a link to {path.readlink()}, which is not there: choose another file.")
    if path.exists() and not path.is_file():
        raise UserError(f"{said} is no plain file but a device or the like: choose another file.")
    _check_folder_above(path, said)
    inputs = list(inputs)
    if any(_is_same(path, file) for file in inputs):
        raise UserError(f"{said} is what this command reads: choose another file.")
    for place in {path.absolute(), path.resolve()}:
        if reason := _reason_to_keep(place):
            raise UserError(f"{said} {reason}: choose another file.")
        for folder in (folder for folder in inputs if folder.is_dir()):
            if place.name.lower().endswith(_DATA) and place.is_relative_to(folder.resolve()):
                raise UserError(
                    f"{said} lies in {folder}, where it would be taken for data later: choose another folder."
                )


def check_output_folder(path: Path, inputs: Iterable[Path] = (), option: str = "-o") -> None:
    """Refuse a folder for results that is an input, no folder, or one of nnU-Net's.

    Parameters are those of `check_output`. A folder within an input is accepted: nnU-Net and the commands
    here do not look into folders of folders.
    """
    said = f"{option} {path}"
    if path.exists() and not path.is_dir():
        raise UserError(f"{said} is not a folder: choose another one.")
    if path.is_symlink() and not path.exists():
        raise UserError(f"{said} is a link to {path.readlink()}, which is not there: choose another folder.")
    _check_folder_above(path, said)
    if any(_is_same(path, folder) for folder in inputs):
        raise UserError(f"{said} is what this command reads: choose another folder.")
    for place in {path.absolute(), path.resolve()}:
        mark = next((name for name in _MARKS if (place / name).is_file()), None)
        if mark is not None:
            raise UserError(f"{said} holds files of nnU-Net's ({mark}): choose another folder.")
        if _is_raw(place) or (place.name == "validation" and _FOLD.fullmatch(place.parent.name)):
            raise UserError(f"{said} belongs to a dataset or model of nnU-Net's: choose another folder.")


def _check_folder_above(path: Path, said: str) -> None:
    """Refuse what lies below a file."""
    above = next(folder for folder in path.absolute().parents if folder.exists() or folder.is_symlink())
    if not above.is_dir():
        raise UserError(f"{said}: {above} is not a folder.")


def _reason_to_keep(place: Path) -> str:
    """Why a file must not be written or replaced, or "" if it may."""
    if any(_is_raw(folder) for folder in place.parents):
        return "lies in a folder of an nnU-Net dataset"
    if place.name in _NAMES:
        return "has the name of a file that nnU-Net or a command here reads"
    if not place.exists():
        return ""
    if _MADE.fullmatch(place.name) or (place.name == "summary.json" and not _is_ours(place)):
        return "is a file of nnU-Net's, which would be lost"
    if place.suffix == ".json":
        for image in (place.with_suffix(".tif"), place.with_suffix(".tiff")):
            if image.exists() or image.with_name(f"{image.stem}_0000{image.suffix}").exists():
                return f"is the spacing file of {image.name}, which would be lost"
    return ""


def _is_ours(summary: Path) -> bool:
    try:
        return _OURS in summary.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def _is_raw(folder: Path) -> bool:
    """Whether a folder is one of images, labels or the like of a dataset."""
    return bool(_RAW.fullmatch(folder.name) and _DATASET.match(folder.parent.name))


def _is_same(a: Path, b: Path) -> bool:
    try:
        return a.samefile(b)
    except OSError:
        return a.absolute() == b.absolute()
