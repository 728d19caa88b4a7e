"""Every reader of images and arrays over damaged files: the right array, or an error that names the file.

Small valid files of every format are cut, changed, spliced and renamed at random, from seeds. Of a format
with a checksum no other array may come out; of one without, a changed value cannot be noticed.

To add a format, add a `Format` to `FORMATS`. ``NNUNET_EXT_FUZZ=20 pytest tests/test_fuzz_readers.py`` does
so many times as much.
"""

from __future__ import annotations

import os
import random
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import h5py
import nibabel
import numpy as np
import PIL.Image
import pytest
import scipy.io
import SimpleITK as sitk
import tifffile

from nnunet_ext.errors import UserError
from nnunet_ext.images import matlab, numpy_files
from nnunet_ext.images.files import read_header, read_image
from nnunet_ext.images.image import Hints
from nnunet_ext.images.instance_files import read_instances, write_instances
from nnunet_ext.nnunet_files.reading import read_channels, read_labels, read_probabilities, read_segmentation

TIMES = int(os.environ.get("NNUNET_EXT_FUZZ", "1"))
SEEDS = 40  # of each reader of each format

VOLUME = np.random.default_rng(0).integers(0, 4, (5, 12, 13)).astype(np.uint8)
PLANE = VOLUME[0]
FLOATS = VOLUME.astype(np.float32) / 3
P = np.stack([1 - FLOATS, FLOATS]).astype(np.float16)

Read = Callable[[Path], Any]
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@dataclass(frozen=True)
class Format:
    """A kind of file: how it is written, and everything that reads it."""

    ending: str
    write: Callable[[Path], object]
    readers: tuple[Read, ...]
    checksum: bool = False


# --- readers ------------------------------------------------------------------------------------


@cache
def reader(name: str) -> Any:
    from nnunetv2.imageio.reader_writer_registry import recursive_find_reader_writer_by_name

    return recursive_find_reader_writer_by_name(name)()


def pixels(path: Path, hints: Hints) -> Any:
    return read_image(path, hints).pixels


def head(path: Path, hints: Hints) -> None:
    read_header(path, hints)


def labels(path: Path, name: str) -> Any:
    return read_labels(reader(name), path, range(4))[0]


def segmentation(path: Path, name: str) -> Any:
    return read_segmentation(reader(name), path)[0]


def channels(path: Path, name: str) -> Any:
    return read_channels(reader(name), [path])[0]


def instances(path: Path) -> Any:
    return read_instances(path)[0]


def probabilities(path: Path, folder: bool) -> Any:
    return np.array(read_probabilities(path, 2, VOLUME.shape, path.parent if folder else None))


def own(dimension: int, key: str = "") -> tuple[Read, ...]:
    """Our readers of image files."""
    hints = [Hints(key, number, label) for number in (None, dimension) for label in (False, True)]
    return (*(partial(pixels, hints=each) for each in hints), partial(head, hints=hints[0]))


def nnunet(*names: str) -> tuple[Read, ...]:
    """nnU-Net's, through ours."""
    return tuple(partial(read, name=name) for name in names for read in (labels, segmentation, channels))


# --- writers ------------------------------------------------------------------------------------


def itk(array: np.ndarray, compressed: bool = False) -> Callable[[Path], object]:
    return lambda path: sitk.WriteImage(sitk.GetImageFromArray(array), str(path), compressed)


def tif(array: np.ndarray, **options: Any) -> Callable[[Path], object]:
    return lambda path: tifffile.imwrite(path, array, **options)


def picture(array: np.ndarray, mode: str | None = None) -> Callable[[Path], object]:
    return lambda path: PIL.Image.fromarray(array, mode).save(path)


def hdf5(**options: Any) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        with h5py.File(path, "w") as file:
            file.create_dataset("raw", data=VOLUME, **options).attrs["element_size_um"] = (2.0, 1.0, 1.0)

    return write


def v73(path: Path) -> None:
    with h5py.File(path, "w", userblock_size=512) as file:
        file["x"] = VOLUME
        file["x"].attrs["MATLAB_class"] = np.bytes_("uint8")
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(512))


COLOURS = np.random.default_rng(1).integers(0, 255, (12, 13, 3)).astype(np.uint8)
OME = {"axes": "ZYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "PhysicalSizeZ": 2.0}
NIFTI = ("SimpleITKIO", "NibabelIO", "NibabelIOWithReorient")
FORMATS = {
    "nii.gz": Format(".nii.gz", itk(VOLUME), own(3) + nnunet(*NIFTI), checksum=True),
    "nii.gz of floats": Format(".nii.gz", itk(FLOATS), own(3) + nnunet("SimpleITKIO"), checksum=True),
    "nii": Format(".nii", itk(VOLUME), own(3) + nnunet("NibabelIO", "NibabelIOWithReorient")),
    "nii, nibabel": Format(
        ".nii",
        lambda path: nibabel.save(
            nibabel.Nifti1Image(VOLUME.T.astype(np.int16), np.diag([-1, 1, 2, 1])), path
        ),
        own(3) + nnunet("NibabelIO"),
    ),
    "mha": Format(".mha", itk(VOLUME), nnunet("SimpleITKIO")),
    "mha, compressed": Format(".mha", itk(VOLUME, True), nnunet("SimpleITKIO")),
    "nrrd": Format(".nrrd", itk(VOLUME), nnunet("SimpleITKIO")),
    "nrrd, compressed": Format(".nrrd", itk(VOLUME, True), nnunet("SimpleITKIO")),
    "gipl": Format(".gipl", itk(VOLUME), nnunet("SimpleITKIO")),
    "tif": Format(".tif", tif(VOLUME, photometric="minisblack"), own(3) + nnunet("Tiff3DIO")),
    "tif, zlib": Format(
        ".tif", tif(VOLUME, compression="zlib", photometric="minisblack"), own(3) + nnunet("Tiff3DIO")
    ),
    "tif, plane": Format(".tif", tif(PLANE), own(2) + nnunet("NaturalImage2DIO")),
    "tif, ImageJ": Format(
        ".tif", tif(VOLUME, imagej=True, metadata={"axes": "ZYX", "spacing": 2.0, "unit": "um"}), own(3)
    ),
    "tif, OME": Format(".ome.tif", tif(VOLUME, metadata=OME), own(3)),
    "tif, instances": Format(
        ".tif", lambda path: write_instances(path, VOLUME, (2.0, 1.0, 1.0)), (instances, *own(3))
    ),
    "png": Format(".png", picture(PLANE), own(2) + nnunet("NaturalImage2DIO")),
    "png, colours": Format(".png", picture(COLOURS), own(2) + nnunet("NaturalImage2DIO")),
    "png, 16 bits": Format(".png", picture(PLANE.astype(np.uint16) * 9000), own(2)),
    "bmp": Format(".bmp", picture(PLANE), own(2) + nnunet("NaturalImage2DIO")),
    "jpg": Format(".jpg", picture(COLOURS), own(2)),
    "HDF5": Format(".h5", hdf5(), own(3, "raw")),
    "HDF5, gzip": Format(".h5", hdf5(compression="gzip", chunks=(2, 12, 13)), own(3, "raw")),
    "npy": Format(".npy", lambda path: np.save(path, VOLUME), (numpy_files.read, numpy_files.header)),
    "npz": Format(
        ".npz",
        lambda path: np.savez_compressed(path, data=VOLUME),
        (partial(numpy_files.read, key="data"),),
        checksum=True,
    ),
    "probabilities": Format(
        ".npz",
        lambda path: np.savez_compressed(path, probabilities=P),
        (partial(probabilities, folder=False), partial(probabilities, folder=True)),
        checksum=True,
    ),
    "mat, v5": Format(
        ".mat",
        lambda path: scipy.io.savemat(path, {"x": VOLUME}, do_compression=True),
        (matlab.read, matlab.shapes),
    ),
    "mat, v7.3": Format(".mat", v73, (matlab.read, matlab.shapes)),
}


# --- damage -------------------------------------------------------------------------------------


def cut(content: bytes, other: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content))]


def flip(content: bytes, other: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 20))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def early(content: bytes, other: bytes, rng: random.Random) -> bytes:
    """Changed where headers are."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 2, 4))):
        changed[rng.randrange(min(len(changed), 400))] = rng.choice((0, 1, 255, 128, rng.randrange(256)))
    return bytes(changed)


def overwrite(content: bytes, other: bytes, rng: random.Random) -> bytes:
    first = rng.randrange(len(content))
    length = min(rng.choice((1, 4, 64, 512)), len(content) - first)
    filling = rng.choice((bytes(length), b"\xff" * length, rng.randbytes(length)))
    return content[:first] + filling + content[first + length :]


def without(content: bytes, other: bytes, rng: random.Random) -> bytes:
    first = rng.randrange(len(content))
    return content[:first] + content[first + rng.choice((1, 4, 100)) :]


def with_more(content: bytes, other: bytes, rng: random.Random) -> bytes:
    first = rng.choice((0, rng.randrange(len(content)), len(content)))
    return content[:first] + rng.choice((bytes(8), rng.randbytes(20), content)) + content[first:]


def splice(content: bytes, other: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content))] + other[rng.randrange(len(other)) :]


def another(content: bytes, other: bytes, rng: random.Random) -> bytes:
    return other


def nothing(content: bytes, other: bytes, rng: random.Random) -> bytes:
    return rng.choice((b"", b"\0" * 500, b"text\n" * 99, rng.randbytes(700)))


DAMAGE = (cut, flip, flip, early, early, overwrite, without, with_more, splice, another, nothing)


# --- tests --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A valid file of each format."""
    folder, found = tmp_path_factory.mktemp("valid"), {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, each in FORMATS.items():
            each.write(folder / f"a{each.ending}")
            found[name] = (folder / f"a{each.ending}").read_bytes()
    return found


def outcome(read: Read, path: Path, words: str = "") -> Any:
    """What a reader returns; None where it raises an error for the user, which has to name the file."""
    try:
        return read(path)
    except UserError as error:
        text = str(error)
    except Exception as error:
        raise AssertionError(f"{words}: {type(error).__name__}: {error}") from error
    assert path.name in text, f"{words}: {text!r} does not name {path.name}"
    assert "\n" not in text.strip(), f"{words}: {text!r} has several lines"
    return None


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_files(name: str, contents: dict[str, bytes], tmp_path: Path) -> None:
    about = FORMATS[name]
    path = tmp_path / f"case{about.ending}"
    rng = random.Random(zlib.crc32(name.encode()))
    path.write_bytes(contents[name])
    whole = [outcome(read, path) for read in about.readers]
    for seed in range(SEEDS * TIMES):
        damage, other = rng.choice(DAMAGE), rng.choice([*contents])
        content = damage(contents[name], contents[other], rng)
        path.write_bytes(content)
        for read, expected in zip(about.readers, whole, strict=True):
            words = f"seed {seed}: {damage.__name__} with {other}, {read}"
            found = outcome(read, path, words)
            if about.checksum and found is not None and damage is not another:
                assert np.array_equal(found, expected), f"{words}: another array without a word"


@pytest.mark.parametrize("name", FORMATS)
def test_valid_files_are_read(name: str, contents: dict[str, bytes], tmp_path: Path) -> None:
    """So that the test above is not passed by refusing everything."""
    about = FORMATS[name]
    path = tmp_path / f"case{about.ending}"
    path.write_bytes(contents[name])
    found = [outcome(read, path) for read in about.readers]
    assert any(array is not None and np.size(array) for array in found)


@pytest.mark.parametrize("name", FORMATS)
def test_files_with_the_ending_of_another_format(
    name: str, contents: dict[str, bytes], tmp_path: Path
) -> None:
    for other, about in FORMATS.items():
        if other != name:
            path = tmp_path / f"case{about.ending}"
            path.write_bytes(contents[name])
            for read in about.readers:
                outcome(read, path, f"{name} named {other}, {read}")
