"""The pixels of the panels of a case: the image in grey, and over it what is labelled."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.colors import to_rgb
from numpy.typing import NDArray

from nnunet_ext.arrays.checks import dense_instances
from nnunet_ext.evaluation.case_mistakes import foreground
from nnunet_ext.evaluation.case_view import CaseView
from nnunet_ext.figures.case_marks import LOOKS
from nnunet_ext.figures.case_planes import Plane
from nnunet_ext.figures.contact_sheet import whole_colours
from nnunet_ext.figures.style import CLASSES, IGNORED, grey_range
from nnunet_ext.metrics.mistakes import InstanceMark

Pixels = NDArray[np.float64]
#: of truth that a prediction leaves out, and of the instances of the truth
ONLY_TRUTH, TRUTH = "#a6d5f2", "#9aa5b8"
_OVER_IMAGE, _OVER_NOTHING = 0.6, 0.9  # how much of a colour covers what is below
_LUMINANCE = np.array([0.299, 0.587, 0.114])
_FRONT = ("matched", "split", "merged", "extra")  # of instances behind one another the last is seen


def class_colour(number: int) -> str:
    """Return the colour of the class of this number, from 0."""
    return CLASSES[1 + number % (len(CLASSES) - 1)]


def image_pixels(view: CaseView, plane: Plane) -> Pixels:
    """Return (y, x, 3) from 0 to 1: the image, brightest along a projection, or white without one."""
    image = view.image
    if image is None:
        return np.ones((*plane.cut(view.reference).shape, 3))
    if image.ndim > view.reference.ndim:
        return whole_colours(np.moveaxis(image, -1, 0)) / 255
    low, high = grey_range(image)
    grey = plane.cut(np.nan_to_num(image, nan=low, posinf=high, neginf=low))
    return np.repeat(((grey - low) / (high - low)).clip(0, 1)[..., None], 3, axis=-1)


def _below(view: CaseView, plane: Plane) -> Pixels:
    """Return the image without its colours, which would mix with those of labels and marks."""
    grey = image_pixels(view, plane) @ _LUMINANCE
    return np.repeat(grey[..., None], 3, axis=-1)


def truth_pixels(view: CaseView, plane: Plane) -> Pixels:
    """Return the panel of the reference."""
    pixels = _below(view, plane)
    share = _OVER_NOTHING if view.image is None else _OVER_IMAGE
    if view.kind == "instances":
        _tint(pixels, plane.cut(view.reference > 0), TRUTH, share)
        _darken(pixels, _borders(plane, view.reference))
    for number, key in enumerate(view.class_names):
        _tint(pixels, plane.cut(foreground(view.reference, key)), class_colour(number), share)
    return _with_ignored(pixels, view, plane)


def prediction_pixels(view: CaseView, model: str, marks: Iterable[Any], plane: Plane) -> Pixels:
    """Return the panel of a model; `marks` tell the kinds of instances."""
    pixels, prediction = _below(view, plane), view.predictions[model]
    share = _OVER_NOTHING if view.image is None else _OVER_IMAGE
    if view.kind == "instances":
        _paint_instances(pixels, view, prediction, [m for m in marks if isinstance(m, InstanceMark)], plane)
        return _with_ignored(pixels, view, plane)
    # First what is left out, so that in a projection it does not hide what is there.
    for key in view.class_names:
        lost = foreground(view.reference, key) & ~foreground(prediction, key)
        _tint(pixels, plane.cut(lost), ONLY_TRUTH, share)
    for number, key in enumerate(view.class_names):
        _tint(pixels, plane.cut(foreground(prediction, key)), class_colour(number), share)
    return _with_ignored(pixels, view, plane)


def _paint_instances(
    pixels: Pixels, view: CaseView, prediction: NDArray[Any], marks: list[InstanceMark], plane: Plane
) -> None:
    share = _OVER_NOTHING if view.image is None else _OVER_IMAGE
    _tint(pixels, plane.cut(_true_ones(view, marks, "missed")), LOOKS["missed"].colour, share)
    dense, count = dense_instances(prediction)
    kinds = [mark.kind for mark in marks if mark.of == "prediction"]  # in the order of their ids
    assert len(kinds) == count
    fronts = np.array([0, *(1 + _FRONT.index(kind) if kind in _FRONT else 0 for kind in kinds)], np.uint8)
    codes = fronts[dense]
    codes[_true_ones(view, marks, "merged") & (dense > 0)] = 1 + _FRONT.index("merged")  # in a matched one
    front = plane.cut(codes)
    for number, kind in enumerate(_FRONT, 1):
        _tint(pixels, front == number, LOOKS[kind].colour, share)
    _darken(pixels, _borders(plane, prediction))


def _true_ones(view: CaseView, marks: list[InstanceMark], kind: str) -> NDArray[np.bool_]:
    """Where the reference instances of a kind are."""
    ids = [mark.id for mark in marks if mark.of == "reference" and mark.kind == kind]
    return np.isin(view.reference, ids)


def _with_ignored(pixels: Pixels, view: CaseView, plane: Plane) -> Pixels:
    if view.ignored is not None:
        everywhere = ~plane.cut(~view.ignored)  # all along a projection
        _tint(pixels, everywhere, IGNORED, 0.8)
    return pixels


def _tint(pixels: Pixels, where: NDArray[np.bool_], colour: str, share: float) -> None:
    pixels[where] = (1 - share) * pixels[where] + share * np.array(to_rgb(colour))


def _darken(pixels: Pixels, where: NDArray[np.bool_]) -> None:
    pixels[where] *= 0.35


def _borders(plane: Plane, instances: NDArray[Any]) -> NDArray[np.bool_]:
    """Where two instances touch; nowhere in a projection, in which they lie behind one another."""
    if plane.is_projection:
        return np.zeros(plane.cut(instances).shape, bool)
    ids = plane.cut(instances)
    borders = np.zeros(ids.shape, bool)
    for here, there in ((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:])):
        borders[here] |= (ids[here] != ids[there]) & (ids[here] > 0) & (ids[there] > 0)
    return borders
