"""Photographs and masks that are not the same way up, and scaling both down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.dataset_conversion.case import RESIZED, TURNED, Case, CaseError, Note
from nnunet_ext.dataset_conversion.overlay import CLEAR, contrast

_WINDOW = 101  # pixels: several times the width of a crack
Turned = tuple[NDArray[np.uint8], NDArray[np.uint8], tuple[Note, ...]]


def on_the_mask(image: NDArray[np.uint8], label: NDArray[np.uint8], case: Case, turned: str) -> Turned:
    """Bring a photograph and the mask of something dark in it together.

    A photograph of the mask's size turned by 90 degrees is turned as its EXIF orientation says, if that gives
    the size of the mask. A mask is taken to be upside down if, turned by 180 degrees, it lies on clearly
    darker pixels.

    Parameters
    ----------
    image, label : ndarray
        Shapes (y, x, 3) and (y, x), as stored.
    case : Case
        Whose files they are.
    turned : str
        What to do about a mask that is upside down: "stop", "turn" or "keep".

    Returns
    -------
    tuple of (ndarray, ndarray, tuple of Note)
        Image, label and what was done to them.

    Raises
    ------
    CaseError
        If the mask is upside down and `turned` is "stop".
    """
    notes: tuple[Note, ...] = ()
    if image.shape[:2] != label.shape and image.shape[:2] == label.shape[::-1]:
        upright = _as_exif_says(case.images[0])
        if upright.shape[:2] == label.shape:
            image = upright
            notes = (Note(TURNED, f"{case.images[0]}: as its EXIF orientation says, to the mask's size"),)
    if image.shape[:2] != label.shape or turned == "keep":
        return image, label, notes
    grey, other = image.mean(axis=2, dtype=np.float32), np.rot90(label, 2)
    as_stored, upside_down = contrast(grey, label, _WINDOW), contrast(grey, other, _WINDOW)
    if upside_down > as_stored - CLEAR or upside_down > -CLEAR:
        return image, label, notes
    found = f"turned by 180 degrees it lies on darker pixels ({upside_down:.2f} against {as_stored:.2f})"
    if turned == "stop":
        raise CaseError(
            f"{case.labels[0]}: {found}: is the mask or the photograph upside down? Look at them; "
            "--turned turn turns such masks, --turned keep keeps them"
        )
    return image, np.ascontiguousarray(other), (*notes, Note(TURNED, f"{case.labels[0]}: {found}"))


def shrink(image: NDArray[np.uint8], label: NDArray[np.uint8], short_side: int, file: Path) -> Turned:
    """Scale a picture down to a length of its shorter side, if it is larger; 0 leaves it as it is.

    A pixel is labelled where the label covers half of it.
    """
    if label.shape != image.shape[:2] or not 0 < short_side < min(label.shape):
        return image, label, ()
    height, width = (max(1, round(side * short_side / min(label.shape))) for side in label.shape)
    size = f"{label.shape[0]}x{label.shape[1]} to {height}x{width}"
    small = _scaled(label * np.uint8(255), (width, height)) > 127
    return (
        _scaled(image, (width, height)),
        small.astype(np.uint8),
        (Note(RESIZED, f"{file}: {size}"),),
    )


def _scaled(pixels: NDArray[Any], size: tuple[int, int]) -> NDArray[np.uint8]:
    import PIL.Image

    # Pillow's box filter averages over all pixels that become one
    return np.asarray(PIL.Image.fromarray(pixels).resize(size, PIL.Image.Resampling.BOX))


def _as_exif_says(file: Path) -> NDArray[np.uint8]:
    import PIL.Image
    import PIL.ImageOps

    with PIL.Image.open(file) as picture:
        return np.asarray(PIL.ImageOps.exif_transpose(picture).convert("RGB"))
