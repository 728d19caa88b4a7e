"""The folder of predictions: its dataset.json and its files, or what else it is."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from nnunet_ext.errors import UserError, some_of
from nnunet_ext.nnunet_files import case_files

_CHANNEL = re.compile(r"(.+)_(\d{4})")
_LEVELS = 3  # the folder, and two above: in ``fold_0/validation`` that is the one of the model


def check_folder(folder: Path) -> None:
    """Raise a `UserError` if this is no folder."""
    if folder.is_file():
        raise UserError(f"-i {folder} is a file: give the folder that nnUNetv2_predict wrote.")
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}.")


def find_description(folder: Path) -> Path:
    """Return the dataset.json in the folder or above it; else raise a `UserError` with what is there."""
    resolved = folder.resolve()
    for place in (folder, *resolved.parents[: _LEVELS - 1]):
        if (place / "dataset.json").is_file():
            return place / "dataset.json"
    raise UserError(
        f"No dataset.json in {folder} or above it. {_contents(folder)} nnUNetv2_predict leaves a "
        "dataset.json beside its predictions; that of the dataset will do as well: -djfile DATASET.json."
    )


def find_files(folder: Path, content: dict[str, Any], probabilities: bool) -> dict[str, list[Path]]:
    """Return, for each case, its label file and, if needed, its .npz.

    Parameters
    ----------
    folder : Path
        Of the predictions.
    content : dict
        Of dataset.json.
    probabilities : bool
        Whether they are needed.

    Raises
    ------
    UserError
        If there are none, they are images, or one is a dead link or a folder; the text says what there is.
    """
    ending = content["file_ending"]
    labels = case_files.find_files(folder, [ending], "label map")
    if not labels:
        raise UserError(
            f"No file ending in {ending}, which dataset.json states, in {folder}. {_contents(folder)} Give "
            "the folder that nnUNetv2_predict wrote, or the dataset.json of these files with -djfile."
        )
    if not (folder / "dataset.json").is_file() and _are_images(
        labels, len(content.get("channel_names", "1"))
    ):
        raise UserError(
            f"{folder} holds images ({next(iter(labels.values())).name}, ...), not predictions. Predict them "
            "first with nnUNetv2_predict, and give the folder that it wrote."
        )
    if not probabilities:
        return {case: [file] for case, file in labels.items()}
    arrays = case_files.find_files(folder, [".npz"], "array of probabilities")
    _check_pairs(folder, labels, arrays)
    return {case: [file, arrays[case]] for case, file in labels.items()}


def _check_pairs(folder: Path, labels: dict[str, Path], arrays: dict[str, Path]) -> None:
    """Raise a `UserError` unless every case has labels and probabilities."""
    missing = [f"{case}.npz" for case in labels if case not in arrays]
    if missing:
        raise UserError(
            f"No {some_of(missing, 1)} in {folder}: this method needs probabilities. Predict again with "
            "--save_probabilities."
        )
    alone = [file.name for case, file in arrays.items() if case not in labels]
    if alone:
        raise UserError(
            f"{folder}: {some_of(alone, 1)} has no label file, which nnUNetv2_predict writes beside it. "
            "Predict again, or move it away."
        )


def _are_images(names: Any, channels: int) -> bool:
    """Whether all names end in the number of a channel, and each case has all channels."""
    numbers = defaultdict(set)
    for name in names:
        match = _CHANNEL.fullmatch(name)
        if match is None:
            return False
        numbers[match[1]].add(int(match[2]))
    return all(found == set(range(channels)) for found in numbers.values())


def _contents(folder: Path) -> str:
    """Say in a sentence what a folder is, or holds."""
    entries = sorted(folder.iterdir())
    folders = [path.name for path in entries if path.is_dir()]
    endings = Counter(
        "".join(path.suffixes[-2:]) if path.suffix == ".gz" else path.suffix
        for path in entries
        if path.is_file()
    )
    if any(re.fullmatch(r"fold_(\d|all)", name) for name in folders) or endings[".pth"]:
        return "It is the folder of a trained model, not of predictions."
    if "imagesTr" in folders or "labelsTr" in folders:
        return "It is the folder of a dataset, not of predictions."
    if set(endings) - {".pkl", ".json"} == {".npz"}:
        return f"It holds {endings['.npz']} .npz files, not the label files that nnUNetv2_predict writes too."
    if endings:
        held = ", ".join(
            f"{number} {ending or 'without ending'}" for ending, number in endings.most_common(4)
        )
        return f"It holds files: {held}."
    if folders:
        more = ", ..." if len(folders) > 4 else ""
        return f"It holds no files, only folders: {', '.join(folders[:4])}{more}."
    return "It is empty."
