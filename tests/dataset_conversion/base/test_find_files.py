"""Nothing that fits is passed over: links to nothing, folders with a file's name, folders that are shut."""

import os
import unicodedata
from pathlib import Path

import pytest

from nnunet_ext.dataset_conversion import UserError, case_id, entries, list_files, match_files, subfolders

NFC, NFD = (unicodedata.normalize(form, "Größe") for form in ("NFC", "NFD"))


def names(files: list[Path]) -> list[str]:
    return [file.name for file in files]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two files, a link to nothing, a folder called as a file, a plain folder, and what systems add."""
    for name in ("a.tif", "b.TIF", ".DS_Store", "._a.tif", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "gone.tif").symlink_to(tmp_path / "nowhere.tif")
    (tmp_path / "c.tif").mkdir()
    (tmp_path / "more").mkdir()
    (tmp_path / "more/d.tif").touch()
    return tmp_path


def shut(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Let the system refuse to list a folder, as it does not for root."""
    listed = Path.iterdir

    def iterdir(self):
        if self.name == name:
            raise PermissionError(13, "Permission denied", str(self))
        return listed(self)

    monkeypatch.setattr(Path, "iterdir", iterdir)


def test_what_has_the_name_of_a_file_is_found(folder):
    assert names(list_files(folder, r".+\.tif")) == ["a.tif", "b.TIF", "c.tif", "gone.tif"]
    assert [path.relative_to(folder).as_posix() for path, _ in match_files(folder, r"(?:.*/)?\w+\.tif")] == [
        *("a.tif", "b.TIF", "c.tif", "gone.tif", "more/d.tif")
    ]
    assert names(list_files(folder, ".*")) == ["a.tif", "b.TIF", "c.tif", "gone.tif", "notes.txt"]


def test_a_folder_that_may_not_be_read(folder, monkeypatch):
    shut(monkeypatch, "more")
    said = r"more: this folder cannot be read \(Permission denied\). Allow it, or move it away"
    for look in (
        lambda: match_files(folder, r".*\.tif"),
        lambda: list_files(folder / "more", ".*"),
        lambda: subfolders(folder / "more"),
        lambda: entries(folder / "more"),
    ):
        with pytest.raises(UserError, match=said):
            look()
    assert names(list_files(folder, r"a\.tif")) == ["a.tif"]  # it is of no interest here


def test_a_link_that_led_to_a_folder(folder):
    (folder / "case9").symlink_to(folder / "unplugged")
    with pytest.raises(UserError, match=r"case9: a link to .*unplugged, which is not there"):
        subfolders(folder)


def test_links_to_folders_are_followed_but_not_in_circles(tmp_path):
    for name in ("root/one", "elsewhere/two"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "a.tif").touch()
    (tmp_path / "root/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root/again").symlink_to(tmp_path / "root/one")
    (tmp_path / "root/one/up").symlink_to(tmp_path)
    (tmp_path / "elsewhere/two/circle").symlink_to(tmp_path / "elsewhere")
    root = tmp_path / "root"
    found = [path.relative_to(root).as_posix() for path, _ in match_files(root, r".*\.tif")]
    assert found == ["linked/two/a.tif", "one/a.tif"]


@pytest.mark.parametrize("stored", [NFC, NFD])
def test_names_are_compared_composed(tmp_path, stored):
    (tmp_path / f"{stored} 1.tif").touch()
    assert [found[1] for _, found in match_files(tmp_path, rf"({NFC}) 1\.tif")] == [NFC]
    assert len(list_files(tmp_path, rf"{NFC} \d\.tif")) == 1
    assert case_id(f"{stored} 1") == f"{NFC}_1"


def test_what_systems_leave_behind_is_no_folder_of_data(tmp_path):
    for name in ("lost+found", "System Volume Information", "__MACOSX", "data"):
        (tmp_path / name).mkdir()
    assert names(subfolders(tmp_path)) == ["data"]


def test_no_folder(tmp_path):
    assert list_files(tmp_path / "nowhere", ".*") == []
    assert match_files(tmp_path / "nowhere", ".*") == []
    with pytest.raises(UserError, match="cannot be read"):
        entries(tmp_path / "nowhere")
    assert os.listdir(tmp_path) == []
