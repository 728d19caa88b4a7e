"""The cases of a report in pictures, small enough that the page can be sent by mail."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from nnunet_ext.errors import UserError
from nnunet_ext.evaluation.case_folders import CaseFolders
from nnunet_ext.figures.case_figure import draw_case, find_mistakes
from nnunet_ext.figures.case_marks import in_words
from nnunet_ext.images.files import stem_of
from nnunet_ext.report.content import Subject
from nnunet_ext.worker_pool import Progress, silent

_WIDEST = 1600  # pixels
_DPI = 130
_MOST_BYTES = 12_000_000  # of all pictures of a page
_QUALITIES = (85, 70, 50)


@dataclass(frozen=True)
class Picture:
    """A case drawn.

    Attributes
    ----------
    case : str
        File name of its predictions.
    why : str
        Such as "worst".
    address : str
        The image itself, as a data address; "" if the case could not be drawn.
    width, height : int
        In pixels.
    mistakes : dict
        Model -> "2 breaks, 1 merge" in words.
    problem : str
        Why there is no image, or "".
    """

    case: str
    why: str
    address: str
    width: int
    height: int
    mistakes: dict[str, str]
    problem: str = ""


def draw_pictures(
    subject: Subject, chosen: Mapping[str, Sequence[str]], progress: Progress = silent
) -> list[Picture]:
    """Draw the chosen cases, with the predictions of each model's first training."""
    folders = CaseFolders(
        subject.reference,
        {name: model.predictions[0] for name, model in subject.models.items()},
        subject.images,
        kind="instances" if subject.instances else "classes",
        dataset_json=subject.dataset_json,
    )
    wanted = [(case, why) for why, cases in chosen.items() for case in cases]
    pictures: list[Picture] = []
    for case, why in progress(wanted, len(wanted), "Drawing"):
        left = (_MOST_BYTES - sum(len(picture.address) for picture in pictures)) / (
            len(wanted) - len(pictures)
        )
        try:
            view = folders.view(stem_of(Path(case)))
            found = find_mistakes(view)
            words = {name: in_words(mistakes.counts) for name, mistakes in found.items()}
            pictures.append(_picture(case, why, draw_case(view, found), words, left))
        except UserError as error:
            pictures.append(Picture(case, why, "", 0, 0, {}, str(error)))
    return pictures


def _picture(case: str, why: str, figure: Figure, words: dict[str, str], most_bytes: float) -> Picture:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI)
    with Image.open(buffer) as image:
        pixels = image.convert("RGB")
    if pixels.width > _WIDEST:
        pixels = pixels.resize(
            (_WIDEST, round(pixels.height * _WIDEST / pixels.width)), Image.Resampling.LANCZOS
        )
    for quality in _QUALITIES:
        content = io.BytesIO()
        pixels.save(content, format="webp", quality=quality)
        if content.tell() * 4 / 3 <= most_bytes:
            break
    else:
        return Picture(case, why, "", 0, 0, words, "The picture would make the page too large to send.")
    address = f"data:image/webp;base64,{base64.b64encode(content.getvalue()).decode('ascii')}"
    return Picture(case, why, address, pixels.width, pixels.height, words)
