"""What every conversion does: resume, refuse, overwrite, check, run in parallel."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage import io

from nnunet_ext.dataset_conversion import (
    CATALOGUE,
    Case,
    Converter,
    DatasetDescription,
    Sample,
    UserError,
    load,
)
from nnunet_ext.dataset_conversion.engine import worker
from nnunet_ext.dataset_conversion.engine.run import convert
from nnunet_ext.dataset_conversion.topomortar import TopoMortar

NAME = "Dataset501_TopoMortar"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def times(folder: Path) -> dict[str, int]:
    return {str(p): p.stat().st_mtime_ns for p in folder.rglob("*.*")}


@pytest.fixture
def reference(source: Path, raw: Path) -> dict[str, bytes]:
    """The files of an undisturbed conversion (made under another id, then removed)."""
    folder = convert(TopoMortar(), source, 500).folder
    found = contents(folder)
    for path in (folder, raw.parent / "preprocessed" / folder.name):
        for file in path.rglob("*.*"):
            if file.is_file():
                file.unlink()
        for sub in sorted(path.rglob("*"), reverse=True):
            sub.rmdir()
        path.rmdir()
    return {name: data.replace(b"Dataset500", b"Dataset501") for name, data in found.items()}


def die_after(number: int) -> Callable[[Iterable[Any], int, str], Iterator[Any]]:
    """A progress callback that ends the run after some cases, as Ctrl-C would."""

    def progress(items: Iterable[Any], total: int, description: str) -> Iterator[Any]:
        for count, item in enumerate(items):
            if count == number:
                raise KeyboardInterrupt
            yield item

    return progress


# --- resume -------------------------------------------------------------------------------------


def test_interrupted_run_continues(source: Path, raw: Path, reference: dict[str, bytes]) -> None:
    with pytest.raises(KeyboardInterrupt):
        convert(TopoMortar(), source, 501, progress=die_after(3))
    folder = raw / NAME
    assert not (folder / "dataset.json").exists()
    label = folder / "labelsTr/001.png"
    before = label.stat().st_mtime_ns
    result = convert(TopoMortar(), source, 501)
    assert (result.converted, result.kept) == (3, 4)  # the fourth case was written before the callback saw it
    assert label.stat().st_mtime_ns == before
    assert contents(folder) == reference


def test_killed_while_writing(
    source: Path, raw: Path, reference: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def half_a_copy(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes()[:20])
        if source.name == "003.png":
            raise KeyboardInterrupt
        target.write_bytes(source.read_bytes())

    with monkeypatch.context() as patch:
        patch.setattr(worker.shutil, "copyfile", half_a_copy)
        with pytest.raises(KeyboardInterrupt):
            convert(TopoMortar(), source, 501)
    folder = raw / NAME
    assert not list(folder.glob("images*/003*"))  # the half file lies in .partial, not where nnU-Net looks
    assert convert(TopoMortar(), source, 501).kept == 2
    assert contents(folder) == reference


def test_lost_output_is_made_again(source: Path, raw: Path, reference: dict[str, bytes]) -> None:
    folder = convert(TopoMortar(), source, 501).folder
    (folder / "dataset.json").unlink()
    (folder / "labelsTr/002.png").unlink()
    result = convert(TopoMortar(), source, 501)
    assert (result.converted, result.kept) == (1, 6)
    assert contents(folder) == reference


def test_second_run_does_nothing(source: Path, raw: Path) -> None:
    first = convert(TopoMortar(), source, 501)
    before = times(raw)
    second = convert(TopoMortar(), source / "dataset", 501)
    assert second.nothing_to_do
    assert not first.nothing_to_do
    assert second.report == first.report
    assert times(raw) == before


def test_changed_source_file_is_converted_again(source: Path, raw: Path) -> None:
    convert(TopoMortar(), source, 501)
    mask = np.zeros((24, 20), np.uint8)
    mask[:5] = 255
    io.imsave(source / "dataset/train/accurate/002.png", mask, check_contrast=False)
    result = convert(TopoMortar(), source, 501)
    assert (result.converted, result.kept) == (1, 6)
    assert io.imread(result.folder / "labelsTr/002.png").sum() == 100
    assert json.loads((result.folder / "conversion_report.json").read_text()) == result.report


def test_source_that_lost_a_case_is_refused(source: Path, raw: Path) -> None:
    convert(TopoMortar(), source, 501)
    for kind in ("images", "accurate"):
        (source / "dataset/test" / kind / "071.png").unlink()
    with pytest.raises(UserError, match=r"not in the folders given: imagesTs/071_0000.png, labelsTs/071.png"):
        convert(TopoMortar(), source, 501)
    assert convert(TopoMortar(), source, 501, overwrite=True).report["counts"]["test"] == 1


# --- other parameters, overwrite ----------------------------------------------------------------


def test_other_parameters_are_refused_by_name(source: Path, raw: Path) -> None:
    convert(TopoMortar(), source, 501)
    with pytest.raises(
        UserError, match=r"labels 'accurate' instead of 'noisy'. Choose another id.*--overwrite"
    ):
        convert(TopoMortar(labels="noisy"), source, 501)


def test_other_parameters_are_refused_for_an_interrupted_run(source: Path, raw: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        convert(TopoMortar(), source, 501, progress=die_after(1))
    with pytest.raises(UserError, match="labels 'accurate' instead of 'noisy'"):
        convert(TopoMortar(labels="noisy"), source, 501)


def test_other_source_is_refused(source: Path, raw: Path) -> None:
    convert(TopoMortar(), source, 501)
    moved = source.rename(source.parent / "elsewhere")
    with pytest.raises(UserError, match=r"source '.*TopoMortar/dataset' instead of '.*elsewhere/dataset'"):
        convert(TopoMortar(), moved, 501)


def test_overwrite_replaces(source: Path, raw: Path) -> None:
    folder = convert(TopoMortar(), source, 501).folder
    accurate = (folder / "labelsTr/001.png").read_bytes()
    result = convert(TopoMortar(labels="noisy"), source, 501, overwrite=True)
    assert result.converted == 7
    assert result.report["identity"]["parameters"] == {"labels": "noisy"}
    assert (folder / "labelsTr/001.png").read_bytes() != accurate


def test_overwrite_replaces_an_interrupted_run(source: Path, raw: Path, reference: dict[str, bytes]) -> None:
    with pytest.raises(KeyboardInterrupt):
        convert(TopoMortar(labels="noisy"), source, 501, progress=die_after(2))
    convert(TopoMortar(), source, 501, overwrite=True)
    assert contents(raw / NAME) == reference


def test_an_interrupted_overwrite_is_continued(source: Path, raw: Path, reference: dict[str, bytes]) -> None:
    convert(TopoMortar(labels="noisy"), source, 501)
    with pytest.raises(KeyboardInterrupt):
        convert(TopoMortar(), source, 501, overwrite=True, progress=die_after(2))
    assert convert(TopoMortar(), source, 501, overwrite=True).kept >= 2
    assert contents(raw / NAME) == reference


def test_overwrite_with_missing_files_leaves_the_earlier_conversion(source: Path, raw: Path) -> None:
    convert(TopoMortar(), source, 501)
    before = contents(raw / NAME)
    (source / "dataset/train/noisy/001.png").unlink()
    with pytest.raises(UserError, match="Nothing was overwritten"):
        convert(TopoMortar(labels="noisy"), source, 501, overwrite=True)
    assert contents(raw / NAME) == before


def test_damaged_report_can_be_overwritten(source: Path, raw: Path, reference: dict[str, bytes]) -> None:
    folder = convert(TopoMortar(), source, 501).folder
    (folder / "conversion_report.json").write_text("{")
    with pytest.raises(UserError, match=r"not valid JSON.*--overwrite"):
        convert(TopoMortar(), source, 501)
    convert(TopoMortar(), source, 501, overwrite=True)
    assert contents(raw / NAME) == reference


@pytest.mark.parametrize("overwrite", [False, True])
def test_folder_of_someone_else_is_never_touched(source: Path, raw: Path, overwrite: bool) -> None:
    (raw / NAME / "imagesTr").mkdir(parents=True)
    (raw / NAME / "dataset.json").write_text("{}")
    with pytest.raises(UserError, match="was not made by 'nnunet_ext convert'"):
        convert(TopoMortar(), source, 501, overwrite=overwrite)
    assert (raw / NAME / "dataset.json").read_text() == "{}"


# --- wrong cases --------------------------------------------------------------------------------


def test_all_wrong_cases_are_listed_and_the_rest_is_kept(source: Path, raw: Path) -> None:
    data = source / "dataset"
    io.imsave(data / "train/images/001.png", np.zeros((24, 30, 3), np.uint8), check_contrast=False)
    (data / "train/accurate/002.png").unlink()
    (data / "val/images/051.png").unlink()
    (data / "val/images/052.png").write_bytes(b"\x89PNG broken")
    io.imsave(data / "test/images/071.png", np.zeros((24, 20, 4), np.uint8), check_contrast=False)
    with pytest.raises(UserError) as caught:
        convert(TopoMortar(), source, 501)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"5 cases in {data} cannot be converted:"
    assert "  train/accurate/001.png: the mask is 24x20, its image train/images/001.png 24x30" in lines
    assert "  train/accurate/002.png: missing" in lines
    assert "  val/images/051.png: missing" in lines
    assert any(line.startswith("  val/images/052.png: cannot be read as an image") for line in lines)
    assert "  test/images/071.png: 4 channels, 3 are expected (R, G, B)" in lines
    assert "has no dataset.json" in lines[-1]
    assert not (raw / NAME / "dataset.json").exists()
    assert not (raw.parent / "preprocessed" / NAME).exists()

    for broken in ("train/{}/001", "train/{}/002", "val/{}/051", "val/{}/052", "test/{}/071"):
        for kind in ("images", "accurate"):
            (data / (broken.format(kind) + ".png")).unlink(missing_ok=True)
    io.imsave(data / "val/images/053.png", np.zeros((24, 20, 3), np.uint8), check_contrast=False)
    io.imsave(data / "val/accurate/053.png", np.zeros((24, 20), np.uint8), check_contrast=False)
    result = convert(TopoMortar(), source, 501)
    assert (result.converted, result.kept) == (1, 2)


def test_empty_mask_is_reported(source: Path, raw: Path) -> None:
    io.imsave(source / "dataset/val/accurate/051.png", np.zeros((24, 20), np.uint8), check_contrast=False)
    report = convert(TopoMortar(), source, 501).report
    assert {"kind": "empty masks", "text": "val/accurate/051.png: no foreground"} in report["notes"]
    assert [note["kind"] for note in report["cases"]["051"]["notes"]] == ["empty masks"]


def test_same_id_in_two_parts(source: Path, raw: Path) -> None:
    for kind in ("images", "accurate"):
        file = source / "dataset/val" / kind / "051.png"
        (source / "dataset/test" / kind / "051.png").write_bytes(file.read_bytes())
    with pytest.raises(
        UserError, match=r"val/images/051.png, test/images/051.png: 2 cases with the same id '051'"
    ):
        convert(TopoMortar(), source, 501)


def test_files_of_no_case_are_reported(source: Path, raw: Path) -> None:
    (source / "dataset/train/images/notes.txt").write_text("")
    notes = convert(TopoMortar(), source, 501).report["notes"]
    assert {"kind": "files of no case", "text": "train/images/notes.txt"} in notes


# --- where it goes ------------------------------------------------------------------------------


def test_raw_folder_unset(source: Path, raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("nnUNet_raw")
    with pytest.raises(UserError, match="nnUNet_raw is not set"):
        convert(TopoMortar(), source, 501)


def test_raw_folder_cannot_be_written(source: Path, raw: Path) -> None:
    raw.write_text("a file")
    with pytest.raises(UserError, match=r"Cannot write to .*Dataset501_TopoMortar: Not a directory"):
        convert(TopoMortar(), source, 501)


def test_preprocessed_unset(source: Path, raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("nnUNet_preprocessed")
    result = convert(TopoMortar(), source, 501)
    assert result.installed_split is None
    assert (result.folder / "splits_final.json").exists()
    monkeypatch.setenv("nnUNet_preprocessed", str(raw.parent / "later"))
    again = convert(TopoMortar(), source, 501)
    assert again.nothing_to_do
    assert (raw.parent / "later" / NAME / "splits_final.json").exists()


@pytest.mark.parametrize("dataset_id", [0, -1, 1000])
def test_id_out_of_range(source: Path, raw: Path, dataset_id: int) -> None:
    with pytest.raises(UserError, match=f"id {dataset_id} is not possible: nnU-Net takes 1 to 999"):
        convert(TopoMortar(), source, dataset_id)


@pytest.mark.parametrize("place", ["raw", "preprocessed", "results"])
def test_id_taken_by_another_dataset(source: Path, raw: Path, place: str) -> None:
    (raw.parent / place / "Dataset501_Heart").mkdir(parents=True)
    with pytest.raises(UserError, match=f"Id 501 is taken by .*{place}/Dataset501_Heart"):
        convert(TopoMortar(), source, 501)


@pytest.mark.parametrize("name", ["a b", "a/b", "a__b", "_a"])
def test_bad_name(source: Path, raw: Path, name: str) -> None:
    with pytest.raises(UserError, match="cannot be a dataset name"):
        convert(TopoMortar(), source, 501, name=name)


def test_no_processes(source: Path, raw: Path) -> None:
    with pytest.raises(UserError, match="at least one process"):
        convert(TopoMortar(), source, 501, processes=0)


def test_different_split_is_not_replaced_silently(source: Path, raw: Path) -> None:
    path = raw.parent / "preprocessed" / NAME / "splits_final.json"
    path.parent.mkdir(parents=True)
    path.write_text('[{"train": ["001"], "val": ["002"]}]')
    with pytest.raises(UserError, match=r"splits_final.json exists and is not the split of this dataset"):
        convert(TopoMortar(), source, 501)
    assert "003" not in path.read_text()
    convert(TopoMortar(), source, 501, overwrite=True)
    assert json.loads(path.read_text())[0]["val"] == ["051", "052"]


def test_equal_split_in_another_order_is_fine(source: Path, raw: Path) -> None:
    path = raw.parent / "preprocessed" / NAME / "splits_final.json"
    path.parent.mkdir(parents=True)
    text = '[{"val": ["052", "051"], "train": ["003", "001", "002"]}]'
    path.write_text(text)
    convert(TopoMortar(), source, 501)
    assert path.read_text() == text


# --- the source ---------------------------------------------------------------------------------


def test_source_missing_or_a_file(source: Path, raw: Path) -> None:
    with pytest.raises(UserError, match="nowhere does not exist"):
        convert(TopoMortar(), source / "nowhere", 501)
    with pytest.raises(UserError, match=r"is a file. Unpack it"):
        convert(TopoMortar(), source / "dataset/dataset_types.txt", 501)


def test_source_of_something_else(tmp_path: Path, raw: Path) -> None:
    (tmp_path / "other/scans").mkdir(parents=True)
    (tmp_path / "other/readme.txt").write_text("")
    with pytest.raises(UserError) as caught:
        convert(TopoMortar(), tmp_path / "other", 501)
    assert "holds train/images and val/images" in str(caught.value)
    assert "Found there: readme.txt, scans/." in str(caught.value)


def test_source_that_holds_the_dataset_twice(source: Path, raw: Path) -> None:
    for part in ("train", "val"):
        (source / "copy" / part / "images").mkdir(parents=True)
    with pytest.raises(UserError, match="holds TopoMortar more than once"):
        convert(TopoMortar(), source, 501)


def test_empty_source(tmp_path: Path, raw: Path) -> None:
    for part in ("train", "val"):
        for kind in ("images", "accurate"):
            (tmp_path / "empty" / part / kind).mkdir(parents=True)
    with pytest.raises(UserError, match="No training cases of TopoMortar were found"):
        convert(TopoMortar(), tmp_path / "empty", 501)


# --- in parallel, other converters, imports -----------------------------------------------------


def test_two_processes_equal_one(source: Path, raw: Path, reference: dict[str, bytes]) -> None:
    seen = []

    def progress(items: Iterable[Any], total: int, description: str) -> Iterator[Any]:
        for item in items:
            seen.append((item["id"], total))
            yield item

    convert(TopoMortar(), source, 501, processes=2, progress=progress)
    assert contents(raw / NAME) == reference
    assert sorted(seen) == [(i, 7) for i in ("001", "002", "003", "051", "052", "071", "163")]


@dataclass(frozen=True)
class Squares(Converter):
    """A dataset of arrays: one grey channel, unlabelled test cases, no split of its own."""

    name = "Squares"
    title = "Squares"
    licence = "none"
    url = "none"
    reference = "none"
    layout = ("points.txt",)

    def describe(self) -> DatasetDescription:
        return DatasetDescription(("grey",), {"background": 0, "square": 1, "edge": 2}, ".png")

    def find_cases(self, root: Path) -> list[Case]:
        file = (root / "points.txt",)
        return [Case("a", "train", file, file), Case("b", "train", file, file), Case("t", "test", file)]

    def read_case(self, case: Case, description: DatasetDescription) -> Sample:
        image = np.full((8, 8), 50, np.uint8)
        label = np.zeros((8, 8), np.int64)
        label[2:5, 2:5] = 3 if case.id == "b" and "3" in case.images[0].read_text() else 2
        return Sample((image,), None if case.part == "test" else label)


def test_another_converter_fits(tmp_path: Path, raw: Path) -> None:
    (tmp_path / "squares").mkdir()
    points = tmp_path / "squares/points.txt"
    points.write_text("3")
    with pytest.raises(UserError, match=r"points.txt: label values \[3\] are not among \[0, 1, 2\]"):
        convert(Squares(), tmp_path / "squares", 7)
    points.write_text("2 and 2")
    folder = convert(Squares(), tmp_path / "squares", 7).folder
    assert folder.name == "Dataset007_Squares"
    assert sorted(contents(folder)) == [
        "conversion_report.json",
        "dataset.json",
        "imagesTr/a_0000.png",
        "imagesTr/b_0000.png",
        "imagesTs/t_0000.png",
        "labelsTr/a.png",
        "labelsTr/b.png",
        "splits_final.json",
    ]
    assert json.loads((folder / "dataset.json").read_text())["numTraining"] == 2


def test_catalogue() -> None:
    assert load("topomortar") is TopoMortar
    with pytest.raises(UserError, match=r"no converter called 'cats'. Known: .*dsb2018, .*topomortar"):
        load("cats")
    assert list(CATALOGUE) == sorted(CATALOGUE)
    for name in CATALOGUE:
        assert issubclass(load(name), Converter), name


def test_case_id_must_be_a_file_name() -> None:
    with pytest.raises(ValueError, match="Got: 'a/b'"):
        Case("a/b", "train", ())


def test_describing_a_dataset_imports_no_imaging_library() -> None:
    code = (
        "import sys, nnunet_ext.dataset_conversion as d; d.load('topomortar')().describe(); "
        "print([m for m in ('torch', 'nnunetv2', 'skimage', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
