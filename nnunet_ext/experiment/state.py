"""What nnU-Net's folders and ours hold of an experiment: whole, half-written, or nothing yet."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from nnunet_ext.commands import headline, was_begun
from nnunet_ext.errors import UserError, some_of
from nnunet_ext.evaluation.summary import load_summary
from nnunet_ext.files import read_json, replacing, time_of
from nnunet_ext.images.files import check_whole, ending_of, stem_of
from nnunet_ext.nnunet_files.checkpoint import CHECKPOINTS, is_whole
from nnunet_ext.nnunet_files.dataset_json import read_dataset_json
from nnunet_ext.nnunet_files.folders import required_folder


def raw_folder(dataset: str) -> Path:
    """A dataset in nnUNet_raw; `UserError` if the variable is not set."""
    return required_folder("nnUNet_raw") / dataset


def preprocessed_folder(dataset: str) -> Path:
    """A dataset in nnUNet_preprocessed, which need not be there; `UserError` if the variable is not set."""
    return required_folder("nnUNet_preprocessed") / dataset


def file_ending(dataset: str) -> str:
    """That of a dataset's files."""
    return str(read_dataset_json(raw_folder(dataset) / "dataset.json")["file_ending"])


def is_trained(folder: Path) -> bool:
    """Whether a training and the validation at its end are complete."""
    final, summary = folder / CHECKPOINTS[0], folder / "validation" / "summary.json"
    return summary.is_file() and final.is_file() and time_of(final) <= time_of(summary) and is_whole(final)


def is_usable(result: Path) -> bool:
    """Whether a folder is there, or a summary that can be read."""
    try:
        return result.is_dir() or bool(load_summary(result))
    except UserError:
        return False


def go_on_options(folder: Path) -> list[str]:
    """The option that continues a training: only its validation is missing, or part of the training."""
    there = [name for name in CHECKPOINTS if (folder / name).is_file()]
    if CHECKPOINTS[0] in there:
        return ["--val"]
    return ["--c"] if there else []


def put_damaged_aside(folder: Path) -> None:
    """Rename checkpoints of a training, ``fold_0``, that are cut off."""
    for name in CHECKPOINTS:
        file = folder / name
        if file.is_file() and not is_whole(file):
            file.replace(file.with_suffix(".damaged"))


def check_same_data(model: Path, preprocessed: Path, plans: str) -> None:
    """Refuse a model of which a fold was trained, or begun, with other plans or another dataset.json.

    Parameters
    ----------
    model : Path
        nnU-Net's folder of the model, with its folds.
    preprocessed : Path
        The preprocessed dataset.
    plans : str
        Name of the plans.
    """
    if not any(model.glob("fold_*")):
        return
    for trained, there in (("plans.json", f"{plans}.json"), ("dataset.json", "dataset.json")):
        if not ((model / trained).is_file() and (preprocessed / there).is_file()):
            continue
        if read_json(model / trained) != read_json(preprocessed / there):
            raise UserError(
                f"{model} was begun with another {there} than {preprocessed / there}. Move that folder away "
                "to train anew, or get the earlier file back."
            )


def cases_of_images(images: Path, ending: str) -> set[str]:
    """Files that a prediction of a folder of images has to make."""
    return {file.name[: -len(ending) - 5] + ending for file in images.glob(f"*_0000{ending}")}


def cases_in(folders: Sequence[Path], ending: str) -> set[str]:
    """Names of the files of some folders."""
    return {file.name for folder in folders for file in folder.glob(f"*{ending}")}


def with_files(folder: Path) -> list[Path]:
    """A folder, whose time tells of files that went, and what is in it; nothing if it is not there."""
    return [folder, *folder.iterdir()] if folder.is_dir() else []


def remove_of_others(folder: Path, words: Sequence[str], log: Path) -> None:
    """Empty a folder that another command filled last, and forget that one: nnU-Net would keep its files."""
    if was_begun(words, log):
        return
    for proof in (log, log.with_suffix(".unfinished")):
        proof.unlink(missing_ok=True)
    for file in folder.iterdir() if folder.is_dir() else ():
        if file.is_file():
            file.unlink()


def remove_without_source(folder: Path, source: Path) -> None:
    """Make the folder above, and remove instance maps of cases that are not predicted any more."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    predicted = {stem_of(file) for file in source.iterdir()}
    for file in folder.iterdir() if folder.is_dir() else ():
        if ending_of(file) and stem_of(file) not in predicted:
            file.unlink()


def remove_unusable(folder: Path, ending: str, wanted: set[str], since: int) -> None:
    """Remove predictions that nobody wants, are damaged or from before a time, which nnU-Net would keep."""
    for file in folder.glob(f"*{ending}"):
        try:
            check_whole(file, labels=True)
            usable = file.name in wanted and time_of(file) >= since
        except UserError:
            usable = False
        if not usable:
            file.unlink()


def collect(sources: Sequence[Path], target: Path, ending: str, words: Sequence[str], log: Path) -> None:
    """Bring the validation predictions of all folds into one folder; each case once, or it is an error."""
    files = [file for source in sources for file in sorted(source.glob(f"*{ending}"))]
    names = [file.name for file in files]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"These cases were validated in several folds: {some_of(twice)}.")
    remove_of_others(target, words, log)
    for file in target.glob(f"*{ending}"):
        file.unlink()
    for file in files:
        with replacing(target / file.name) as temporary:
            shutil.copyfile(file, temporary)
    log.parent.mkdir(parents=True, exist_ok=True)
    with replacing(log) as temporary:
        temporary.write_text(headline(words), encoding="utf-8")
