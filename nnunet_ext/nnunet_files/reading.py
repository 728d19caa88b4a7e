"""Reading one case of a folder that nnUNetv2_predict wrote: labels with spacing, probabilities."""

from __future__ import annotations

import contextlib
import io
import shutil
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.errors import UnusableCase, UserError

# nnUNetv2_predict --save_probabilities writes CASE.npz with this array, (C, z, y, x); in 2D z = 1.
_ARRAY = "probabilities"


def read_labels(reader: Any, file: Path, largest: int) -> tuple[NDArray[Any], tuple[float, ...]]:
    """Read a label file.

    Parameters
    ----------
    reader : nnunetv2.imageio.base_reader_writer.BaseReaderWriter
        The reader of the dataset.
    file : Path
        The label file.
    largest : int
        The largest label of the dataset.

    Returns
    -------
    labels : ndarray of uint8 or uint16
        (y, x) or (z, y, x); images of one slice are 2D.
    spacing : tuple of float
        In the order of the axes.

    Raises
    ------
    UnusableCase
        If it cannot be read, or does not hold one channel of labels from 0 to `largest`.
    """
    try:
        # A tif without a file for its spacing makes the reader print; its spacing is then 1, 1, 1.
        with contextlib.redirect_stdout(io.StringIO()):
            channels, properties = reader.read_seg(str(file))
    except Exception as error:  # whatever a file format library raises, the file is what is wrong
        raise UnusableCase(f"{file}: cannot be read ({_last_line(error)})") from error
    if channels.ndim != 4 or channels.shape[0] != 1:
        raise UnusableCase(f"{file}: expected one channel of labels, got shape {channels.shape}")
    data = channels[0]
    lowest, highest = data.min(initial=0), data.max(initial=0)
    if lowest < 0 or highest > largest:
        wrong = lowest if lowest < 0 else highest
        raise UnusableCase(f"{file}: contains {wrong:g}, but the labels of dataset.json are 0 to {largest}")
    labels = data.astype(np.uint8 if largest < 256 else np.uint16)
    if not np.array_equal(labels, data):
        raise UnusableCase(f"{file}: contains fractions; expected labels 0 to {largest}")
    spacing = tuple(float(step) for step in properties["spacing"])
    return (labels[0], spacing[1:]) if labels.shape[0] == 1 else (labels, spacing)


def read_probabilities(
    file: Path, channels: int, shape: tuple[int, ...], scratch: Path | None
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

    Returns
    -------
    (C, *shape) ndarray of float16 or float32

    Raises
    ------
    UnusableCase
        If it cannot be read, or is not of this shape.
    """
    try:
        if scratch is None:
            with np.load(file) as arrays:
                p = arrays[_ARRAY]
        else:
            unpacked = scratch / f"{_ARRAY}.npy"
            with (
                zipfile.ZipFile(file) as archive,
                archive.open(f"{_ARRAY}.npy") as packed,
                unpacked.open("wb") as target,
            ):
                shutil.copyfileobj(packed, target, 1 << 20)
            p = np.load(unpacked, mmap_mode="r")
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UnusableCase(f"{file}: cannot be read ({_last_line(error)})") from error
    if p.ndim == len(shape) + 2 and p.shape[1] == 1:
        p = p[:, 0]
    if p.shape != (channels, *shape):
        raise UnusableCase(f"{file}: expected probabilities of shape {(channels, *shape)}, got {p.shape}")
    if p.dtype.kind != "f":
        raise UnusableCase(f"{file}: expected probabilities, got {p.dtype}")
    return p


def _last_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1].strip()


def find_reader(dataset_json: dict[str, Any], example: Path) -> Any:
    """Return nnU-Net's reader for files like `example`; importing nnU-Net costs about 7 s the first time.

    Parameters
    ----------
    dataset_json : dict
        Content of dataset.json.
    example : Path
        A file that the reader has to accept; a small one, as it is read.

    Raises
    ------
    UserError
        If nnU-Net has no reader for the file ending.
    """
    from nnunetv2.imageio.reader_writer_registry import determine_reader_writer_from_dataset_json

    # nnU-Net tries the readers on an example and prints the tracebacks of those that fail. If all do, the
    # example is broken: take the reader of the file ending, and name the file with the other broken ones.
    for example_file in (str(example), None):
        with contextlib.suppress(RuntimeError), contextlib.redirect_stderr(io.StringIO()):
            return determine_reader_writer_from_dataset_json(dataset_json, example_file, verbose=False)()
    raise UserError(f"nnU-Net has no reader for the file ending {dataset_json['file_ending']!r}.")
