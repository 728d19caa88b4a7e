"""HDF5: values that lie elsewhere are read from the file's own folder, or refused; never filled up."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from nnunet_ext.errors import UserError
from nnunet_ext.images import matlab
from nnunet_ext.images.files import read_header, read_image
from nnunet_ext.images.image import Hints

RAW = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``data/a.h5`` beside ``data/source.h5`` and ``data/raw.bin``, and the same two in ``elsewhere``."""
    for name in ("data", "elsewhere"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "raw.bin").write_bytes(RAW.tobytes())
        with h5py.File(tmp_path / name / "source.h5", "w") as source:
            source["raw"] = RAW
            source["cut"] = RAW[:2]
    monkeypatch.chdir("/")  # not where relative names are meant
    with h5py.File(tmp_path / "data" / "a.h5", "w"):
        return tmp_path / "data" / "a.h5"


def read(path: Path, key: str = "x") -> np.ndarray:
    """The pixels; header and image agree."""
    header, image = read_header(path, Hints(key)), read_image(path, Hints(key))
    assert header.shape == image.pixels.shape[1:]
    return image.pixels[0]


def virtual(path: Path, source: str, key: str = "raw", planes: int = 3) -> None:
    layout = h5py.VirtualLayout((planes, 4, 5), "u1")
    layout[:3] = h5py.VirtualSource(source, key, RAW.shape)
    with h5py.File(path, "a") as file:
        file.create_virtual_dataset("x", layout, fillvalue=0)


def external(path: Path, source: str, offset: int = 0) -> None:
    with h5py.File(path, "a") as file:
        file.create_dataset("x", RAW.shape, "u1", external=[(source, offset, h5py.h5f.UNLIMITED)])


def linked(path: Path, source: str, key: str = "raw") -> None:
    with h5py.File(path, "a") as file:
        file["x"] = h5py.ExternalLink(source, key)


KINDS = [(virtual, "source.h5"), (external, "raw.bin"), (linked, "source.h5")]


@pytest.mark.parametrize(("make", "source"), KINDS)
@pytest.mark.parametrize("absolute", [False, True])
def test_sources_beside_the_file_are_read(file: Path, make: object, source: str, absolute: bool) -> None:
    make(file, str(file.with_name(source)) if absolute else source)  # type: ignore[operator]
    np.testing.assert_array_equal(read(file), RAW)


@pytest.mark.parametrize(("make", "source"), KINDS)
@pytest.mark.parametrize("how", ["relative", "absolute", "symbolic link"])
def test_sources_outside_of_the_folder_are_refused(file: Path, make: object, source: str, how: str) -> None:
    outside = file.parents[1] / "elsewhere" / source
    if how == "symbolic link":
        file.with_name("near").symlink_to(outside)
    name = {"relative": f"../elsewhere/{source}", "absolute": str(outside), "symbolic link": "near"}[how]
    make(file, name)  # type: ignore[operator]
    for function in (read_header, read_image):
        with pytest.raises(
            UserError, match=rf"a\.h5: takes values from .*elsewhere/{source}, outside of its"
        ):
            function(file, Hints("x"))


@pytest.mark.parametrize(("make", "source"), KINDS)
def test_missing_sources_are_refused(file: Path, make: object, source: str) -> None:
    make(file, source)  # type: ignore[operator]
    file.with_name(source).unlink()
    with pytest.raises(UserError, match=rf"a\.h5: takes values from .*{source}, which is missing"):
        read_image(file, Hints("x"))


def test_sources_that_do_not_hold_all_of_it(file: Path) -> None:
    external(file, "raw.bin", 30)
    with pytest.raises(UserError, match=r"a\.h5: .* raw\.bin|raw\.bin, which is cut off: 60 of 90 bytes"):
        read_image(file, Hints("x"))
    for key in ("cut", "nothing"):
        file.unlink()
        virtual(file, "source.h5", key)
        with pytest.raises(
            UserError, match=rf"a\.h5: .*takes values from '{key}' in source\.h5, where that is"
        ):
            read_image(file, Hints("x"))
    file.unlink()
    virtual(file, "source.h5", planes=6)
    with pytest.raises(
        UserError, match=r"a\.h5: 60 of 120 voxels of the virtual dataset '/x' have no source"
    ):
        read_image(file, Hints("x"))
    file.unlink()
    virtual(file, "source.h5")
    file.with_name("source.h5").write_bytes(file.with_name("source.h5").read_bytes()[:2000])
    with pytest.raises(UserError, match=r"a\.h5: cannot be read as HDF5 .*truncated"):
        read_image(file, Hints("x"))


def test_a_source_of_a_source_is_looked_up_too(file: Path) -> None:
    virtual(file, "b.h5", "x")
    external(file.with_name("b.h5"), str(file.parents[1] / "elsewhere" / "raw.bin"))
    with pytest.raises(UserError, match=r"a\.h5: takes values from .*elsewhere/raw\.bin, outside"):
        read_image(file, Hints("x"))


def test_links_within_a_file(file: Path) -> None:
    with h5py.File(file, "a") as content:
        content["group/raw"] = RAW
        content["soft"] = h5py.SoftLink("/group")
        content["group/near"] = h5py.SoftLink("raw")
        content["round"] = h5py.SoftLink("/round")
        content["dead"] = h5py.SoftLink("/nothing")
    for key in ("group/raw", "soft/raw", "/soft/near", "group//near"):
        np.testing.assert_array_equal(read(file, key), RAW)
    with pytest.raises(UserError, match=r"a\.h5: the links to .* go in circles"):
        read_image(file, Hints("round"))
    for key in ("dead", "group", "group/raw/x", "", "/"):
        with pytest.raises(UserError, match=rf"a\.h5: has no dataset '{key}'. Datasets there: 'group/raw'"):
            read_image(file, Hints(key))


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("text", "holds object"),
        (np.zeros((3, 4), complex), "holds complex128"),
        (np.zeros((3, 4), "i4,f4"), "holds .*, but numbers are expected"),
        (np.zeros((3, 4), "S3"), "holds .S3, but numbers"),
        (3, r"has the shape \(\)"),
        (h5py.Empty("f4"), "is empty"),
        (np.zeros((0, 4), np.uint8), "is empty"),
    ],
)
def test_what_is_no_image(file: Path, data: object, text: str) -> None:
    with h5py.File(file, "a") as content:
        content["x"] = data
    for function in (read_header, read_image):
        with pytest.raises(UserError, match=rf"a\.h5: dataset 'x' {text}"):
            function(file, Hints("x"))


@pytest.mark.parametrize("chunks", [None, (1, 4, 5)])
def test_a_dataset_that_was_never_written(file: Path, chunks: tuple[int, ...] | None) -> None:
    with h5py.File(file, "a") as content:
        content.create_dataset("x", RAW.shape, "u1", chunks=chunks)
    with pytest.raises(UserError, match=r"a\.h5: dataset '/x' was declared, but never written"):
        read_image(file, Hints("x"))


def test_a_size_that_no_memory_holds(file: Path) -> None:
    with h5py.File(file, "a") as content:
        dataset = content.create_dataset("x", (60000,) * 3, "u1", chunks=(1, 100, 100))
        dataset[0, :100, :100] = 1
    with pytest.raises(
        UserError, match=r"'/x' declares 60000 x 60000 x 60000 .* \(216 TB\), of which only 10000"
    ):
        read_image(file, Hints("x"))


def test_an_unknown_filter_is_named(file: Path) -> None:
    created = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    created.set_chunk(RAW.shape)
    created.set_filter(32001, h5py.h5z.FLAG_OPTIONAL, (0,))  # blosc, an extra
    with h5py.File(file, "a") as content:
        space = h5py.h5s.create_simple(RAW.shape)
        h5py.h5d.create(content.id, b"x", h5py.h5t.NATIVE_UINT8, space, created).write(space, space, RAW)
    if h5py.h5z.filter_avail(32001):
        pytest.skip("blosc is installed")
    with pytest.raises(
        UserError, match=r"a\.h5: dataset '/x' is compressed by .*32001\), which is not installed"
    ):
        read_image(file, Hints("x"))


@pytest.mark.parametrize("options", [{"compression": "gzip"}, {"fletcher32": True}])
def test_damaged_chunks(file: Path, options: dict[str, object]) -> None:
    with h5py.File(file, "a") as content:
        dataset = content.create_dataset("x", data=RAW, chunks=RAW.shape, **options)
        place = dataset.id.get_chunk_info(0).byte_offset
    whole = file.read_bytes()
    file.write_bytes(whole[: place + 9] + bytes([whole[place + 9] ^ 0xFF]) + whole[place + 10 :])
    with pytest.raises(UserError, match=r"a\.h5: cannot be read as HDF5 \(damaged"):
        read_image(file, Hints("x"))


def test_matlab_files_are_checked_alike(file: Path) -> None:
    path = file.with_name("a.mat")
    external(path, str(file.parents[1] / "elsewhere" / "raw.bin"))
    with pytest.raises(UserError, match=r"a\.mat: takes values from .*elsewhere/raw\.bin, outside"):
        matlab.read(path, "x")
    assert os.getcwd() == "/"
