"""The images that ``nnUNetv2_predict`` is given: nnU-Net passes over, or fails at, those of another form."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from nnunet_ext.errors import UserError, some_of
from nnunet_ext.files import read_json
from nnunet_ext.nnunet_files.folders import dataset_folder
from nnunet_ext.nnunet_files.trained_models import model_folder

_COMMANDS = ("nnUNetv2_predict", "nnUNetv2_predict_from_modelfolder")
# nnU-Net's options that say what is predicted with, and those that argparse would take for one of them
_OPTIONS = ("-i", "-d", "-p", "-tr", "-c", "-m", "-device", "-chk", "-prev_stage_predictions", "-part_id")
_REMEDY = (
    "New images have to be converted like those of the training: repeat the command of their conversion with "
    "--test FOLDER at its end, and predict what it writes into imagesTs."
)


def check_images_to_predict(argv: Sequence[str]) -> None:
    """Raise if a command line is one of nnU-Net's predictions and its images cannot be predicted as named.

    Parameters
    ----------
    argv : sequence of str
        The command line, the program first.

    Raises
    ------
    UserError
        If no file has the ending of the training's images, or some lack the number of the channel.
    """
    if not argv or Path(argv[0]).name not in _COMMANDS:
        return
    parser = argparse.ArgumentParser(add_help=False)
    for option in _OPTIONS:
        parser.add_argument(option)
    given = parser.parse_known_args(argv[1:])[0]
    try:
        model = Path(given.m) if given.m else _model(given)
        ending = str(read_json(model / "dataset.json")["file_ending"])
        names = sorted(path.name for path in Path(given.i).iterdir() if path.is_file())
    except (AttributeError, KeyError, OSError, TypeError, UserError):
        return  # nnU-Net says what is wrong
    images = [name for name in names if name.endswith(ending)]
    if not images:
        raise UserError(f"No file in {given.i} ends in {ending}, as the images of the training do. {_REMEDY}")
    if without := _without_channel(images, ending):
        raise UserError(
            f"{given.i}: {some_of(without, 3)} cannot be predicted: a name has to end in the channel, "
            f"_0000{ending}. {_REMEDY}"
        )


def _model(given: argparse.Namespace) -> Path:
    results = dataset_folder(given.d, "nnUNet_results", "")
    return model_folder(results, given.tr, given.p or "nnUNetPlans", given.c)


def _without_channel(images: Sequence[str], ending: str) -> list[str]:
    """The names in which nnU-Net, which cuts off five characters, finds no case: it ends in an IndexError."""
    numbered = re.compile(rf".*_\d{{4}}{re.escape(ending)}", re.DOTALL)
    cases = {name[: -len(ending) - 5] for name in images if numbered.fullmatch(name)}
    return [name for name in images if name[: -len(ending) - 5] not in cases]
