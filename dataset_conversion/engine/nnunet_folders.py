"""Where nnU-Net wants the dataset: folder names, ids that are taken, the split it will train on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nnunet_ext.dataset_conversion.base.case import Case, Split
from nnunet_ext.dataset_conversion.engine.output import writing_to
from nnunet_ext.errors import UserError
from nnunet_ext.files import read_json, write_json
from nnunet_ext.nnunet_files.folders import VARIABLES, environment_folder
from nnunet_ext.worker_pool import one_at_a_time


def target_folder(dataset_id: int, name: str) -> Path:
    """Return ``$nnUNet_raw/DatasetXXX_name``, which need not exist.

    Raises
    ------
    UserError
        If nnUNet_raw is not set, the id is not in 1..999 or taken by another name, or the name would not
        survive nnU-Net's folder names.
    """
    raw = environment_folder("nnUNet_raw")
    if raw is None:
        raise UserError(
            "nnUNet_raw is not set. Set it to the folder of your nnU-Net raw datasets: export nnUNet_raw=..."
        )
    if not 1 <= dataset_id <= 999:
        raise UserError(f"Dataset id {dataset_id} is not possible: nnU-Net takes 1 to 999. Give one with -d.")
    if not re.fullmatch(r"[A-Za-z0-9]+([_-][A-Za-z0-9]+)*", name):
        raise UserError(f"'{name}' cannot be a dataset name: use letters, digits and single '_' or '-'.")
    folder = f"Dataset{dataset_id:03d}_{name}"
    # nnU-Net looks an id up in all three places and stops when it finds two names
    for place in filter(None, map(environment_folder, VARIABLES)):
        for other in sorted(place.glob(f"Dataset{dataset_id:03d}*")):
            if other.is_dir() and other.name != folder:
                raise UserError(
                    f"Id {dataset_id} is taken by {other}. Choose another id with -d, or go on with that "
                    f"dataset: -n {other.name.partition('_')[2]}"
                )
    return raw / folder


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep other conversions out of a dataset folder while this one writes to it.

    Raises
    ------
    UserError
        If another one is at work.
    """
    lock = folder.with_name(f".{folder.name}.lock")

    def refuse() -> None:
        raise UserError(
            f"Another 'nnunet_ext convert' is writing to {folder}. Run this again when it has ended; to "
            f"share the work give both --num-parts and --part-id. (If there is no other one, remove {lock}.)"
        )

    with writing_to(folder):
        with suppress(FileExistsError):  # a file in its place: what is said below is clearer
            folder.parent.mkdir(parents=True, exist_ok=True)
        lock.touch()
    with one_at_a_time(lock, refuse, keep=False):
        yield


def check_sources(folder: Path, cases: Iterable[Case]) -> None:
    """Raise `UserError` if files to convert lie in the dataset folder that is written to."""
    target = folder.resolve()
    files = [file for case in cases for file in case.files if file.resolve().is_relative_to(target)]
    if files:
        raise UserError(
            f"{files[0]} lies in {folder}, which the conversion writes to. Give the folders with your own "
            "files, or another id with -d."
        )


def installed_split(dataset: str) -> Path | None:
    """Return where nnU-Net looks for the split of `dataset`, or None if nnUNet_preprocessed is not set."""
    preprocessed = environment_folder("nnUNet_preprocessed")
    return preprocessed / dataset / "splits_final.json" if preprocessed else None


def check_installed_split(
    dataset: str, splits: list[Split] | None, earlier: list[Split] | None, overwrite: bool
) -> None:
    """Raise `UserError` if nnU-Net would train on another split than `splits`.

    One that an `earlier` conversion to the same folder installed may be replaced.
    """
    path = installed_split(dataset)
    if splits is None or path is None or overwrite or not path.exists():
        return
    if not _holds(path, splits) and not (earlier and _holds(path, earlier)):
        raise UserError(
            f"{path} exists and is not the split of this dataset, so nnU-Net would train on another one.\n"
            "Move it away and run this again, or replace it (and the converted dataset) with --overwrite."
        )


def install_split(dataset: str, splits: list[Split] | None, earlier: list[Split] | None) -> None:
    """Write the split to where nnU-Net looks for it, unless an equal one is there already.

    Without a split, one that an `earlier` conversion installed is removed: nnU-Net makes its own.
    """
    path = installed_split(dataset)
    if path is None or (splits is not None and _holds(path, splits)):
        return
    with writing_to(path.parent):
        if splits is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, splits)
        elif earlier and _holds(path, earlier):
            path.unlink()


def _holds(path: Path, splits: list[Split]) -> bool:
    """Tell whether a split file holds these folds, whatever the order of their cases."""
    try:
        return [_fold(fold) for fold in read_json(path, schema=list[dict[str, list[str]]])] == [
            _fold(fold) for fold in splits
        ]
    except (UserError, KeyError):
        return False


def _fold(fold: Split) -> tuple[list[str], list[str]]:
    return sorted(fold["train"]), sorted(fold["val"])
