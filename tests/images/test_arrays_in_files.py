"""Arrays of MATLAB (v5, v7.3) and NumPy."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
import scipy.sparse

from nnunet_ext.errors import UserError
from nnunet_ext.images import matlab, numpy_files

LABELS = np.arange(24, dtype=np.uint16).reshape(4, 3, 2)  # in MATLAB's order


def v5(path: Path) -> Path:
    content = {"axons": LABELS, "note": "text", "voxel": np.array([[15.0, 15.0, 50.0]])}
    scipy.io.savemat(path, content, do_compression=True)
    return path


def v73(path: Path) -> Path:
    """As MATLAB writes it: 512 bytes of its own before the HDF5 file, axes reversed, references aside."""
    with h5py.File(path, "w", userblock_size=512) as file:
        file["final_lbl"] = LABELS.T
        file["#refs#/a"] = np.zeros((2, 2, 2))
        file["voxel"] = np.array([[15.0], [15.0], [50.0]])
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(512))
    return path


@pytest.mark.parametrize(("write", "name"), [(v5, "axons"), (v73, "final_lbl")])
def test_both_versions_alike(tmp_path: Path, write: object, name: str) -> None:
    path = write(tmp_path / "a.mat")  # type: ignore[operator]
    assert matlab.shapes(path) == {name: (4, 3, 2), "voxel": (1, 3)}
    for array in (matlab.read(path), matlab.read(path, name)):
        np.testing.assert_array_equal(array, LABELS)
        assert array.dtype == np.uint16
    np.testing.assert_array_equal(matlab.read(path, "voxel"), [[15, 15, 50]])
    with pytest.raises(UserError, match=rf"a.mat: has no variable 'x'. Arrays there: '{name}' \(4, 3, 2\)"):
        matlab.read(path, "x")
    with pytest.raises(UserError, match="has 0 arrays with 4 axes, one is expected"):
        matlab.read(path, ndim=4)


@pytest.mark.parametrize("write", [v5, v73])
def test_damaged_matlab_files(tmp_path: Path, write: object) -> None:
    path = write(tmp_path / "a.mat")  # type: ignore[operator]
    content = path.read_bytes()
    for wrong in (content[: len(content) // 2], b"", b"x" * 600):
        path.write_bytes(wrong)
        with pytest.raises(UserError, match=r"a.mat: cannot be read as|a.mat: has 0 arrays"):
            matlab.read(path)


def test_what_is_no_array_of_numbers_in_matlab(tmp_path: Path) -> None:
    content = {
        "cell": np.array([[np.zeros((2, 2, 2)), "x"]], object),
        "struct": {"a": LABELS},
        "sparse": scipy.sparse.eye(3).tocsc(),
        "complex": LABELS * 1j,
    }
    scipy.io.savemat(tmp_path / "a.mat", content)
    with pytest.raises(UserError, match=r"no variable 'cell'.*Not arrays of numbers: .*'struct' \(struct\)"):
        matlab.read(tmp_path / "a.mat", "cell")
    with pytest.raises(UserError, match=r"a.mat: 'complex' holds complex128, but real numbers are expected"):
        matlab.read(tmp_path / "a.mat")
    with h5py.File(tmp_path / "b.mat", "w", userblock_size=512) as file:
        file["text"] = np.zeros((2, 3, 4), np.uint16)
        file["text"].attrs["MATLAB_class"] = np.bytes_("char")
        file["mask"] = np.ones((2, 3, 4), np.uint8)
        file["mask"].attrs["MATLAB_class"] = np.bytes_("logical")
    assert matlab.shapes(tmp_path / "b.mat") == {"mask": (4, 3, 2)}


def test_the_checksum_of_a_compressed_matlab_array_is_compared(tmp_path: Path) -> None:
    path = v5(tmp_path / "a.mat")
    content = bytearray(path.read_bytes())
    content[128 + 8 + int.from_bytes(content[132:136], "little") - 1] ^= 1  # the end of the first variable
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"a.mat: cannot be read as a MATLAB file .*incorrect data check"):
        matlab.read(path, "axons")


def test_numpy_files(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", LABELS)
    np.savez_compressed(tmp_path / "a.npz", data=LABELS)
    np.save(tmp_path / "b.npy", np.array([{}], object))
    np.testing.assert_array_equal(numpy_files.read(tmp_path / "a.npy"), LABELS)
    np.testing.assert_array_equal(numpy_files.read(tmp_path / "a.npz", "data"), LABELS)
    with pytest.raises(UserError, match=r"a.npz: has no array 'x'. Arrays there: 'data'"):
        numpy_files.read(tmp_path / "a.npz", "x")
    with pytest.raises(UserError, match=r"b.npy: cannot be read as a NumPy file .*pickled"):
        numpy_files.read(tmp_path / "b.npy")


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_damaged_numpy_files(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    np.save(path, LABELS) if name == "a.npy" else np.savez(path, data=LABELS)
    content = path.read_bytes()
    for wrong in (content[:-10], content[:30], b"", b"x" * 99):
        path.write_bytes(wrong)
        for read in (numpy_files.read, numpy_files.header):
            with pytest.raises(UserError, match=f"{name}: (cannot be read as a NumPy|the file is cut)"):
                read(path, "data")
    with pytest.raises(UserError, match=r"none\.npy: cannot be read \(No such file"):
        numpy_files.read(tmp_path / "none.npy")


def test_an_array_that_is_longer_than_its_header_says(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", LABELS)
    content = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(content.replace(b"(4, 3, 2)", b"(4, 3, 1)"))
    with pytest.raises(UserError, match=r"a.npy: the file is damaged: it goes on after the 4 x 3 x 1 voxels"):
        numpy_files.read(tmp_path / "a.npy")


@pytest.mark.parametrize(
    "array", [LABELS, np.asfortranarray(LABELS), LABELS.astype(">f4"), LABELS[:, :0], LABELS > 3, np.uint8(3)]
)
def test_every_array_of_numbers_comes_back(tmp_path: Path, array: object) -> None:
    np.save(tmp_path / "a.npy", array)
    np.savez_compressed(tmp_path / "a.npz", data=array)
    for name in ("a.npy", "a.npz"):
        read = numpy_files.read(tmp_path / name, "data")
        np.testing.assert_array_equal(read, array)
        assert (read.shape, read.dtype) == numpy_files.header(tmp_path / name, "data")


@pytest.mark.parametrize("array", [np.array(["a"]), np.zeros(3, complex), np.zeros(3, "i4,f4")])
def test_arrays_that_hold_no_numbers(tmp_path: Path, array: object) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(UserError, match=r"a.npy: the file holds .*, but numbers are expected"):
        numpy_files.read(tmp_path / "a.npy")
