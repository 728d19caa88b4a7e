"""Whether a mask lies on what it marks, told by how bright the image is inside against around it.

Masks come upside down, with the axes in MATLAB's order, or with the wrong image. Sizes and headers often do
not show it, but what is marked (a vessel, a crack, an axon) differs in brightness from its neighbourhood only
where the mask lies on it. `contrast` measures that; the others decide by it.
"""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.dataset_conversion.base.case import TURNED, Case, Note
from nnunet_ext.dataset_conversion.base.label_maps import size_text
from nnunet_ext.errors import UnusableCase

#: a difference in contrast that is not chance, in standard deviations
CLEAR = 0.2
#: every order of three axes, that of MATLAB first
ORDERS = tuple(sorted(map("".join, permutations("xyz"))))

_BRIGHTNESS_SLICES = 32  # of a volume that `check_brighter` reads
_ORDER_SLICES = 16  # of a volume that `axes_of` reads
_ORDER_WINDOW = (1, 101, 101)  # voxels: within slices, several times the width of an axon
_CRACK_WINDOW = 101  # pixels: several times the width of a crack


def contrast(image: NDArray[Any], mask: NDArray[Any], window: int | tuple[int, ...]) -> float:
    """Return how much brighter an image is inside a mask than outside, compared with its neighbourhood.

    Each voxel is compared with the mean of the window around it, so that shadows and gradients do not count.
    A mask that belongs to another image, or is turned, has a contrast near 0.

    Parameters
    ----------
    image : ndarray
        Shape (*spatial), any type of number.
    mask : ndarray
        Same shape; what is not 0 is inside.
    window : int or tuple of int
        Side of the neighbourhood in voxels, per axis if they differ: several times the width of what the mask
        marks. Along an axis of 1 nothing is averaged.

    Returns
    -------
    float
        In standard deviations; negative if the inside is darker; 0 if everything or nothing is inside or the
        image is flat.

    Examples
    --------
    >>> image = np.array([[9, 9, 1, 9, 9]])
    >>> contrast(image, image == 1, (1, 3)) < -1
    True
    >>> contrast(np.zeros((4, 4)), np.eye(4), 3)
    0.0
    """
    from scipy.ndimage import uniform_filter

    pixels, inside = image.astype(np.float32), mask != 0
    pixels -= uniform_filter(pixels, window)
    spread = float(pixels.std())
    if not spread or inside.all() or not inside.any():
        return 0.0
    return float(pixels[inside].mean() - pixels[~inside].mean()) / spread


def check_brighter(image: NDArray[Any], mask: NDArray[np.bool_], window: tuple[int, ...], file: Path) -> None:
    """Raise `UnusableCase` unless a volume is clearly brighter inside a mask; an empty mask passes.

    Parameters
    ----------
    image, mask, window
        As in `contrast`; of the first axis some slices are compared.
    file : Path
        Where the mask was read.
    """
    some = _some(image, _BRIGHTNESS_SLICES)
    if not mask[some].any():
        return
    found = contrast(image[some], mask[some], window)
    if not found > CLEAR:
        raise UnusableCase(
            f"{file}: what is labelled is not brighter than what is around it ({found:.2f} standard "
            "deviations): does this label belong to this image, and is it the same way round? Look at them; "
            "--overlay keep takes such cases"
        )


def axes_of(values: NDArray[Any], image: NDArray[Any], file: Path) -> str:
    """Return the order of the axes of a label volume: "xyz" if it is the reverse of the image's.

    Where several orders fit the image's size, it is the one in which the labels have the largest `contrast`,
    whether they are brighter or darker.

    Parameters
    ----------
    values : ndarray
        Labels as read, 3D; what is above 0 is inside.
    image : ndarray
        Shape (z, y, x).
    file : Path
        Where the labels were read.

    Raises
    ------
    UnusableCase
        If no order fits, or the image does not tell which.
    """
    fitting = [order for order in ORDERS if _to_zyx(values, order).shape == image.shape]
    if not fitting:
        raise UnusableCase(
            f"{file}: {size_text(values.shape)} voxels do not fit the image's {size_text(image.shape)} in "
            "any order of the axes"
        )
    if len(fitting) == 1:
        return fitting[0]
    some = _some(image, _ORDER_SLICES)
    clear = {
        order: abs(contrast(image[some], _to_zyx(values, order)[some] > 0, _ORDER_WINDOW))
        for order in fitting
    }
    best, second, *_ = sorted(fitting, key=lambda order: -clear[order])
    if clear[best] - clear[second] < CLEAR:
        raise UnusableCase(
            f"{file}: the axes could be {best} or {second}: both fit the image's size "
            f"{size_text(image.shape)}, and neither its pixels clearly better. Say which with --label-axes"
        )
    return best


def reorder(values: NDArray[Any], order: str, shape: tuple[int, ...], file: Path) -> NDArray[Any]:
    """Return a view of labels with the axes in the order z, y, x.

    Raises
    ------
    UnusableCase
        If it does not have this shape then.
    """
    turned = _to_zyx(values, order)
    if turned.shape != shape:
        raise UnusableCase(
            f"{file}: {size_text(values.shape)} voxels with the axes {order} do not fit the image's "
            f"{size_text(shape)} (z, y, x)"
        )
    return turned


def align_photograph(
    image: NDArray[np.uint8], label: NDArray[np.uint8], case: Case, turned: str
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], tuple[Note, ...]]:
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
    UnusableCase
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
    as_stored, upside_down = contrast(grey, label, _CRACK_WINDOW), contrast(grey, other, _CRACK_WINDOW)
    if upside_down > as_stored - CLEAR or upside_down > -CLEAR:
        return image, label, notes
    found = f"turned by 180 degrees it lies on darker pixels ({upside_down:.2f} against {as_stored:.2f})"
    if turned == "stop":
        raise UnusableCase(
            f"{case.labels[0]}: {found}: is the mask or the photograph upside down? Look at them; "
            "--turned turn turns such masks, --turned keep keeps them"
        )
    return image, np.ascontiguousarray(other), (*notes, Note(TURNED, f"{case.labels[0]}: {found}"))


def _some(image: NDArray[Any], number: int) -> slice:
    """Return evenly spaced slices of the first axis, about this many."""
    return slice(None, None, max(1, len(image) // number))


def _to_zyx(values: NDArray[Any], order: str) -> NDArray[Any]:
    return np.transpose(values, [order.index(axis) for axis in "zyx"])


def _as_exif_says(file: Path) -> NDArray[np.uint8]:
    import PIL.Image
    import PIL.ImageOps

    with PIL.Image.open(file) as picture:
        return np.asarray(PIL.ImageOps.exif_transpose(picture).convert("RGB"))
