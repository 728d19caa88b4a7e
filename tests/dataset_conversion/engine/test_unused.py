"""What no case uses: named where nobody expects it, counted where it is known why."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnunet_ext.dataset_conversion import Case
from nnunet_ext.dataset_conversion.engine.unused import find_unused


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two organs of which one is complete, folders of maps, a readme, system files."""
    for name in (
        *("liver/images/a.png", "liver/labels/a.tif", "liver/maps/a.png", "liver/maps/b.png"),
        *("lung/image/a.png", "lung/image/b.png", "lung/maps/a.png", "README.md", "info/table.csv"),
        *(".DS_Store", "liver/images/._a.png", "liver/images/Thumbs.db", "lung/.DS_Store"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def liver(root: Path) -> list[Case]:
    return [Case("a", "train", (root / "liver/images/a.png",), (root / "liver/labels/a.tif",))]


def test_folders_that_no_case_is_in(root: Path) -> None:
    unused = find_unused(liver(root), root, {})
    assert unused.files == ["liver/maps/ (2 files)", "lung/ (3 files)"]
    assert unused.on_purpose == {}
    (note,) = unused.notes()
    assert (note.kind, note.text) == ("files of no case", "liver/maps/ (2 files), lung/ (3 files)")


def test_what_is_known_is_counted(root: Path) -> None:
    unused = find_unused(liver(root), root, {r"[^/]+/MAPS/.+": "maps", r"lung/images/.+": ""})
    assert unused.files == ["lung/ (2 files)"]  # its maps are known, the folder "image" is not
    assert unused.on_purpose == {"maps": 3}


def test_without_a_reason_nothing_is_said(root: Path) -> None:
    unused = find_unused(liver(root), root, {r"[^/]+/maps/.+": "", "lung/image/.+": ""})
    assert (unused.files, unused.on_purpose, unused.notes()) == ([], {}, [])


def test_one_of_each_folder_and_ending_is_named_first(root: Path) -> None:
    for name in (*(f"liver/images/x{n}.tiff" for n in range(9)), "liver/labels/y.png", "liver/images/z.txt"):
        (root / name).touch()
    unused = find_unused(liver(root), root, {r".*/maps/.+": "maps", "lung/.+": "lungs"})
    assert len(unused.files) == 11
    assert unused.notes()[0].text == (
        "liver/images/x0.tiff, liver/labels/y.png, liver/images/z.txt, liver/images/x1.tiff, "
        "liver/images/x2.tiff and 6 more"
    )


def test_many_folders_do_not_hide_a_file(root: Path) -> None:
    for number in range(9):
        (root / f"gut{number}").mkdir()
        (root / f"gut{number}/a.png").touch()
    (root / "odd.tif").touch()
    text = find_unused(liver(root), root, {".*/maps/.+": ""}).notes()[0].text
    assert text == "gut0/ (1 file), odd.tif, gut1/ (1 file), gut2/ (1 file), gut3/ (1 file) and 6 more"


def test_known_files_beside_those_of_cases_stay_in_the_list(root: Path) -> None:
    (root / "liver/images/b.png").touch()
    unused = find_unused(liver(root), root, {r".*\.png": "pictures"})
    assert unused.files == ["liver/images/b.png"]
    assert unused.on_purpose == {"pictures": 6}
    assert unused.notes() == []


def test_cases_outside_the_root(tmp_path: Path) -> None:
    for name in ("images/a.png", "labels/a.png", "labels/b.png", "elsewhere/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    case = Case("a", "train", (tmp_path / "images/a.png",), (tmp_path / "labels/a.png",))
    assert find_unused([case], tmp_path / "images", {}).files == ["../labels/b.png"]


def test_slices_without_an_ending_are_no_documents(root: Path) -> None:
    for name in ("dicom/IM0001", "dicom/IM0002", "LICENSE", "Licence of the data"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).touch()
    assert find_unused(liver(root), root, {"(lung|liver)/.+": ""}).files == ["dicom/ (2 files)"]
