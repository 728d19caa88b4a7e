"""One case of nnU-Net's, read with nnU-Net's own reader: images, labels with spacing, probabilities.

nnU-Net's readers return floating point with a z axis also in 2D, print what they miss, raise whatever their
library raises, and accept any value. Here every file comes checked, or an `UnusableCase` names it.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.arrays.checks import digits
from nnunet_ext.errors import UnusableCase, UserError
from nnunet_ext.images import numpy_files
from nnunet_ext.images.files import check_whole
from nnunet_ext.images.image import Grid, unreadable
from nnunet_ext.nnunet_files.probability_check import check_probabilities
from nnunet_ext.nnunet_files.reader_grid import grid_of

_ARRAY = "probabilities"  # in CASE.npz, which nnUNetv2_predict --save_probabilities writes
_LISTED = 5  # values in an error text


def find_reader(dataset_json: dict[str, Any], example: Path) -> Any:
    """Return nnU-Net's reader for files like `example`; importing nnU-Net costs about 7 s the first time.

    Parameters
    ----------
    dataset_json : dict
        Content of dataset.json.
    example : Path
        A file that the reader has to accept; a small one, as it is read.

    Returns
    -------
    nnunetv2.imageio.base_reader_writer.BaseReaderWriter
        For the functions below; it can be sent to other processes.

    Raises
    ------
    UserError
        If nnU-Net has no reader for the file ending.
    """
    from nnunetv2.imageio.reader_writer_registry import determine_reader_writer_from_dataset_json

    # nnU-Net tries the readers on an example and prints the tracebacks of those that fail. If all do, the
    # example is broken: take the reader of the file ending, and name the file with the other broken ones.
    for file in (str(example) if _is_text(example) else None, None):
        silenced = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
        with contextlib.suppress(RuntimeError), silenced[0], silenced[1]:
            return determine_reader_writer_from_dataset_json(dataset_json, file, verbose=False)()
    raise UserError(f"nnU-Net has no reader for the file ending {dataset_json['file_ending']!r}.")


def read_labels(
    reader: Any, file: Path, labels: Collection[int], ignore_label: int | None = None
) -> tuple[NDArray[np.unsignedinteger], Grid]:
    """Read a segmentation of known labels.

    Parameters
    ----------
    reader : nnunetv2.imageio.base_reader_writer.BaseReaderWriter
        The reader of the dataset.
    file : Path
        The segmentation.
    labels : collection of int
        The labels that it may contain, each from 0 to 65 535.
    ignore_label : int, optional
        The ignore label of the dataset where it is not among `labels`: the error then says what it is.

    Returns
    -------
    segmentation : ndarray of uint8, or of uint16 with labels above 255
        (y, x) or (z, y, x); images of one slice are 2D.
    grid : Grid
        Where the voxels of the returned array lie, as far as the file says it: the spacing is None for png
        and bmp, and for a tif without nnU-Net's file of its spacing, where nnU-Net takes 1. To be compared
        with `images.image.grid_difference`.

    Raises
    ------
    UnusableCase
        If the file is damaged or cannot be read, has several channels, or contains anything else than
        `labels`.
    """
    channels, properties = read_segmentation(reader, file)
    if channels.ndim != 4 or channels.shape[0] != 1:
        hint = _stack_hint(reader, channels)
        raise UnusableCase(f"{file}: expected one channel of labels, got shape {channels.shape}{hint}")
    segmentation = _as_labels(channels[0], labels)
    if segmentation is None:  # np.unique is slow on large volumes, so only now
        raise UnusableCase(f"{file}: {_wrong_values(channels, labels, ignore_label)}")
    grid = grid_of(reader, file, properties)
    if segmentation.shape[0] == 1:  # as nnU-Net's readers return 2D
        return segmentation[0], grid.plane()
    return segmentation, grid


def read_segmentation(reader: Any, file: Path) -> tuple[NDArray[Any], dict[str, Any]]:
    """Read what lies where a segmentation does, whatever its values.

    Returns
    -------
    array : ndarray
        (channels, z, y, x), as nnU-Net's reader returns it; in 2D z = 1.
    properties : dict
        nnU-Net's, with ``spacing`` in the order of the axes.

    Raises
    ------
    UnusableCase
        If it is damaged, or cannot be read.
    """
    _check_whole(reader, file, labels=True)
    with _reading(file):
        array, properties = reader.read_seg(str(file))
    return array, properties


def read_channels(reader: Any, files: Sequence[Path]) -> tuple[NDArray[Any], Grid]:
    """Read an image, one file per channel.

    Returns
    -------
    channels : ndarray
        (channels, z, y, x), as nnU-Net's reader returns it; in 2D z = 1.
    grid : Grid
        Where the voxels lie, as in `read_labels`; of three axes, or of two if the file has no third.

    Raises
    ------
    UnusableCase
        If a file is damaged, or the image cannot be read.
    """
    for file in files:
        _check_whole(reader, file)
    with _reading(files[0]):
        channels, properties = reader.read_images([str(file) for file in files])
    return channels, grid_of(reader, files[0], properties, channel=True)


def read_probabilities(
    file: Path, channels: int, shape: tuple[int, ...], scratch: Path | None, regions: bool = False
) -> NDArray[Any]:
    """Read the probabilities of a case.

    Parameters
    ----------
    file : Path
        ``CASE.npz`` as nnU-Net writes it.
    channels : int
        Number of classes of the dataset.
    shape : tuple of int
        Shape of the labels of the case.
    scratch : Path, optional
        Folder to unpack the array into; it is then memory-mapped instead of read.
    regions : bool
        Whether the classes overlap. If not, their probabilities add up to 1 in every voxel.

    Returns
    -------
    (C, *shape) ndarray of float16, float32 or float64

    Raises
    ------
    UnusableCase
        If it cannot be read, is not of this shape, does not fit into memory, or does not hold probabilities.
    """
    try:
        _check_form(file, channels, shape)
        if scratch is None:
            p = numpy_files.read(file, _ARRAY)
        else:
            p = numpy_files.unpack(file, _ARRAY, scratch / f"{_ARRAY}.npy")
        p = p.reshape(channels, *shape)
        check_probabilities(p, str(file), exclusive=not regions)
    except UserError as error:
        raise UnusableCase(str(error)) from error
    return p


def _check_form(file: Path, channels: int, shape: tuple[int, ...]) -> None:
    """Refuse an array of another form by its header: nothing is read, and no file inflates."""
    found, dtype = numpy_files.header(file, _ARRAY)
    if len(found) == len(shape) + 2 and found[1] == 1:  # 2D, as nnU-Net stores it
        found = (found[0], *found[2:])
    if found != (channels, *shape):
        raise UserError(f"{file}: expected probabilities of shape {(channels, *shape)}, got {found}")
    if dtype.kind != "f":
        raise UserError(f"{file}: expected probabilities, got {dtype}")


def _as_labels(data: NDArray[Any], labels: Collection[int]) -> NDArray[np.unsignedinteger] | None:
    """`data` in the smallest type; None where it contains anything but `labels`."""
    largest = max(labels)
    if not (data.min(initial=0) >= 0 and data.max(initial=0) <= largest):  # NaN too
        return None
    segmentation: NDArray[np.unsignedinteger] = data.astype(np.uint8 if largest < 256 else np.uint16)
    if not np.array_equal(segmentation, data):  # fractions
        return None
    if len(set(labels)) <= largest:  # some number in between is no label
        known = sum(int(np.count_nonzero(segmentation == label)) for label in set(labels))
        return segmentation if known == segmentation.size else None
    return segmentation


def _stack_hint(reader: Any, channels: NDArray[Any]) -> str:
    """Say what to do where nnU-Net's 2D reader takes a stack of three or four slices for colours."""
    if type(reader).__name__ != "NaturalImage2DIO" or channels.ndim != 4 or len(channels) not in (3, 4):
        return ""
    return (
        f": nnU-Net's reader NaturalImage2DIO takes it for {len(channels)} colours. If these are slices of a "
        'tif, add "overwrite_image_reader_writer": "Tiff3DIO" to dataset.json'
    )


def _wrong_values(values: NDArray[Any], labels: Collection[int], ignore_label: int | None) -> str:
    """Say what is wrong with values that are not all among `labels`."""
    if np.isnan(values).any():
        return "contains NaN, which is no label"
    unknown = sorted(set(np.unique(values).tolist()) - set(labels))
    if ignore_label in unknown:
        return (
            f"{np.count_nonzero(values == ignore_label)} voxels are {ignore_label}, the dataset's ignore "
            "label: it marks what nobody judged, in references only, and nnU-Net never predicts it. Give the "
            "predictions as nnU-Net wrote them, or set these voxels to a class (0 is the background)"
        )
    listed = ", ".join(digits(value) for value in unknown[:_LISTED])
    more = ", …" if len(unknown) > _LISTED else ""
    return f"contains {listed}{more}, not in the labels of dataset.json"


def _is_text(file: Path) -> bool:
    """Whether a name can be given to SimpleITK, which ends the whole process otherwise."""
    try:
        str(file).encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_whole(reader: Any, file: Path, labels: bool = False) -> None:
    """Refuse a damaged file before nnU-Net's reader fills it up with zeros."""
    if not _is_text(file):
        raise UnusableCase(f"{str(file)!a}: its name is no text (not UTF-8). Rename it.")
    try:
        check_whole(file, labels)
    except UserError as error:
        raise UnusableCase(str(error)) from error
    twin = file.with_name(file.name[:-3])
    if "SimpleITK" in type(reader).__name__ and file.name.endswith(".nii.gz") and twin.is_file():
        raise UnusableCase(
            f"{file}: {twin.name} lies beside it, and SimpleITK, with which nnU-Net reads, takes the voxels "
            "from there. Move one of the two away."
        )


@contextlib.contextmanager
def _reading(file: Path) -> Iterator[None]:
    """Let a reader print nothing, and make an `UnusableCase` of whatever it raises.

    nnU-Net's reader of tifs prints where there is no file of their spacing.
    """
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    except MemoryError as error:
        raise UnusableCase(str(unreadable(file, "an image", error))) from error
    except Exception as error:  # each file format library raises its own
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UnusableCase(f"{file}: cannot be read ({lines[-1].strip()})") from error
