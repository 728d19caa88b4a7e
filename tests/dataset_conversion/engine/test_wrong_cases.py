"""Cases that cannot be converted: stop or skip, and what the report says of them."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage import io

from nnunet_ext.dataset_conversion import (
    Case,
    DatasetDescription,
    Progress,
    Sample,
    Survey,
    UnusableCases,
    UserError,
    silent,
)
from nnunet_ext.dataset_conversion.engine.run import convert
from nnunet_ext.dataset_conversion.topomortar import TopoMortar

NAME = "Dataset501_TopoMortar"


def report_of(raw: Path) -> dict[str, Any]:
    return dict(json.loads((raw / NAME / "conversion_report.json").read_text()))


def wrong(report: dict[str, Any]) -> dict[str, list[str]]:
    return {case: record["problems"] for case, record in report["not_converted"].items()}


def split_of(raw: Path) -> Any:
    return json.loads((raw.parent / "preprocessed" / NAME / "splits_final.json").read_text())


def written(raw: Path) -> list[str]:
    places = ("imagesTr", "labelsTr", "imagesTs", "labelsTs")
    return sorted(path.name[:3] for place in places for path in (raw / NAME / place).glob("*.png"))


def times(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*.*")}


@pytest.fixture
def damaged(source: Path) -> Path:
    """Case 002 has a mask of another size, 052 no mask, 071 an image that is cut off."""
    data = source / "dataset"
    io.imsave(data / "train/accurate/002.png", np.zeros((9, 9), np.uint8), check_contrast=False)
    (data / "val/accurate/052.png").unlink()
    image = data / "test/images/071.png"
    image.write_bytes(image.read_bytes()[:80])
    return source


def correct(source: Path) -> None:
    data = source / "dataset"
    for part, name in (("train", "002"), ("val", "052")):
        mask = np.zeros((24, 20), np.uint8)
        mask[3] = 255
        io.imsave(data / part / "accurate" / f"{name}.png", mask, check_contrast=False)
    io.imsave(data / "test/images/071.png", np.zeros((24, 20, 3), np.uint8), check_contrast=False)


WRONG = {
    "002": ["train/accurate/002.png: the mask is 9x9, its image train/images/002.png 24x20"],
    "052": ["val/accurate/052.png: missing"],
    "071": [
        "test/images/071.png: is cut short: 0 of 1464 bytes of its pixels are there. Copy or export it again."
    ],
}


def test_stop_lists_them_in_the_report_too(damaged: Path, raw: Path) -> None:
    with pytest.raises(UserError, match=r"3 cases in .* cannot be converted") as caught:
        convert(TopoMortar(), damaged, 501)
    report = report_of(raw)
    assert wrong(report) == WRONG
    assert report["complete"] is False
    assert sorted(report["cases"]) == ["001", "003", "051", "163"]
    assert all(line in str(caught.value) for lines in WRONG.values() for line in lines)
    assert not (raw / NAME / "dataset.json").exists()
    correct(damaged)
    result = convert(TopoMortar(), damaged, 501)
    assert (result.converted, result.kept) == (3, 4)
    assert report_of(raw)["not_converted"] == {}
    assert report_of(raw)["complete"] is True


def test_a_copied_png_without_its_last_rows_is_refused(source: Path, raw: Path) -> None:
    """Pillow reads the missing rows as black, so the copy would look whole to every check after it."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    half = zlib.compress(bytes(12 * (1 + 3 * 20)))  # of 24 rows
    header = struct.pack(">IIBBBBB", 20, 24, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", half) + chunk(b"IEND", b"")
    (source / "dataset/train/images/002.png").write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
    with pytest.raises(UserError, match=r"002.png: is cut short: 732 of 1464 bytes of its pixels are there"):
        convert(TopoMortar(), source, 501)


def test_skip_makes_the_dataset_without_them(damaged: Path, raw: Path) -> None:
    result = convert(TopoMortar(), damaged, 501, on_error="skip")
    assert result.converted == 4
    assert wrong(result.report) == WRONG
    assert sorted(result.report["cases"]) == ["001", "003", "051", "163"]
    assert result.report["counts"] == {"train": 2, "val": 1, "test": 1}
    assert json.loads((raw / NAME / "dataset.json").read_text())["numTraining"] == 3
    assert split_of(raw) == [{"train": ["001", "003"], "val": ["051"]}]
    assert written(raw) == ["001", "001", "003", "003", "051", "051", "163", "163"]


def test_skip_again_does_nothing(damaged: Path, raw: Path) -> None:
    convert(TopoMortar(), damaged, 501, on_error="skip")
    before = times(raw)
    assert convert(TopoMortar(), damaged, 501, on_error="skip").nothing_to_do
    assert times(raw) == before


def test_stop_after_skip_says_what_is_missing_and_leaves_the_dataset(damaged: Path, raw: Path) -> None:
    convert(TopoMortar(), damaged, 501, on_error="skip")
    before = times(raw)
    with pytest.raises(UserError, match=r"(?s)002.png: the mask is 9x9.*is left as it is"):
        convert(TopoMortar(), damaged, 501)
    assert times(raw) == before


@pytest.mark.parametrize("on_error", ["stop", "skip"])
def test_corrected_cases_come_into_the_dataset(damaged: Path, raw: Path, on_error: Any) -> None:
    convert(TopoMortar(), damaged, 501, on_error="skip")
    correct(damaged)
    result = convert(TopoMortar(), damaged, 501, on_error=on_error)
    assert (result.converted, result.kept) == (3, 4)
    assert result.report["not_converted"] == {}
    assert split_of(raw) == [{"train": ["001", "002", "003"], "val": ["051", "052"]}]


def test_a_case_that_went_wrong_later_leaves_the_dataset(source: Path, raw: Path) -> None:
    convert(TopoMortar(), source, 501)
    io.imsave(source / "dataset/train/accurate/002.png", np.zeros((9, 9), np.uint8), check_contrast=False)
    (source / "dataset/test/accurate/071.png").unlink()
    result = convert(TopoMortar(), source, 501, on_error="skip")
    assert sorted(wrong(result.report)) == ["002", "071"]
    assert set(written(raw)) == {"001", "003", "051", "052", "163"}
    assert split_of(raw) == [{"train": ["001", "003"], "val": ["051", "052"]}]


def test_stop_then_skip(damaged: Path, raw: Path) -> None:
    with pytest.raises(UserError):
        convert(TopoMortar(), damaged, 501)
    result = convert(TopoMortar(), damaged, 501, on_error="skip")
    assert (result.converted, result.kept) == (0, 4)
    assert wrong(result.report) == WRONG


def test_nothing_left_to_train(source: Path, raw: Path) -> None:
    for mask in [*source.glob("dataset/train/accurate/*.png"), *source.glob("dataset/val/accurate/*.png")]:
        mask.write_bytes(b"")
    with pytest.raises(UserError, match="No training case is left"):
        convert(TopoMortar(), source, 501, on_error="skip")
    assert not (raw / NAME / "dataset.json").exists()


def test_overwrite_with_skip(source: Path, raw: Path) -> None:
    convert(TopoMortar(), source, 501)
    (source / "dataset/train/noisy/001.png").unlink()
    result = convert(TopoMortar(labels="noisy"), source, 501, overwrite=True, on_error="skip")
    assert sorted(result.report["cases"]) == ["002", "003", "051", "052", "071", "163"]


@dataclass(frozen=True)
class Locked(TopoMortar):
    """Has a file that may not be read."""

    def read_case(self, case: Case, description: DatasetDescription) -> Sample:
        if case.id == "003":
            raise PermissionError(13, "Permission denied", str(case.images[0]))
        return super().read_case(case, description)


def test_a_file_that_may_not_be_read_is_listed(source: Path, raw: Path) -> None:
    result = convert(Locked(), source, 501, on_error="skip")
    assert wrong(result.report) == {"003": ["train/images/003.png: Permission denied"]}


# --- found before anything is written -----------------------------------------------------------


@dataclass(frozen=True)
class Surveyed(TopoMortar):
    """Finds in its survey that the images of two cases have odd numbers."""

    def survey(self, cases: Sequence[Case], progress: Progress = silent) -> Survey:
        odd = [case for case in cases if case.id in ("003", "051")]
        if odd:
            raise UnusableCases({case.id: [f"{case.images[0]}: odd"] for case in odd})
        return super().survey(cases, progress)


def test_what_the_survey_finds_is_in_the_report(source: Path, raw: Path) -> None:
    with pytest.raises(UserError, match=r"(?s)train/images/003.png: odd.*Nothing was converted"):
        convert(Surveyed(), source, 501)
    assert [path.name for path in (raw / NAME).iterdir()] == ["conversion_report.json"]
    assert wrong(report_of(raw)) == {"003": ["train/images/003.png: odd"], "051": ["val/images/051.png: odd"]}
    # such a report binds to nothing: other options, another source
    assert convert(TopoMortar(labels="noisy"), source, 501).converted == 7


def test_the_survey_is_repeated_without_them(source: Path, raw: Path) -> None:
    result = convert(Surveyed(), source, 501, on_error="skip")
    assert sorted(wrong(result.report)) == ["003", "051"]
    assert sorted(result.report["cases"]) == ["001", "002", "052", "071", "163"]


def test_a_survey_that_fails_leaves_an_earlier_dataset(source: Path, raw: Path) -> None:
    convert(TopoMortar(), source, 501)
    before = times(raw)
    with pytest.raises(UserError, match="odd"):
        convert(Surveyed(), source, 501)
    assert times(raw) == before


# --- left out on purpose ------------------------------------------------------------------------


@dataclass(frozen=True)
class Choosy(TopoMortar):
    """Leaves out one case."""

    def find_cases(self, root: Path) -> list[Case]:
        from dataclasses import replace

        return [
            replace(case, left_out="mask of another wall") if case.id == "002" else case
            for case in super().find_cases(root)
        ]


def test_cases_left_out_are_listed(source: Path, raw: Path) -> None:
    result = convert(Choosy(), source, 501)
    assert result.report["left_out"] == {"train/images/002.png": "mask of another wall"}
    assert "002" not in result.report["cases"]
    assert result.report["unused_files"] == []
    assert convert(Choosy(), source, 501).nothing_to_do


def test_all_unused_files_are_listed(source: Path, raw: Path) -> None:
    for number in range(7):
        (source / f"dataset/train/images/note{number}.txt").write_text("")
    report = convert(TopoMortar(), source, 501).report
    assert report["unused_files"] == [f"train/images/note{number}.txt" for number in range(7)]
    texts = [note["text"] for note in report["notes"] if note["kind"] == "files of no case"]
    assert texts[0].endswith("note4.txt and 2 more")


def test_a_case_of_two_files_may_be_skipped(source: Path, raw: Path) -> None:
    images = source / "dataset/train/images"
    (images / "002.PNG").write_bytes((images / "002.png").read_bytes())
    with pytest.raises(UserError) as caught:
        convert(TopoMortar(), source, 501)
    line = "train/images/002.PNG, train/images/002.png: one file is expected. Keep one of them"
    assert line in str(caught.value).replace(f"{source / 'dataset'}/", "")
    report = convert(TopoMortar(), source, 501, on_error="skip").report
    assert report["not_converted"]["002"]["problems"] == [line]
    assert "002" not in report["cases"]


def test_what_is_missing_may_be_there_by_another_name(source: Path, raw: Path) -> None:
    masks = source / "dataset/train/accurate"
    (masks / "002.png").rename(masks / "002.tif")
    with pytest.raises(UserError, match=r"train/accurate/002.png: missing \(there is 002.tif\)\n"):
        convert(TopoMortar(), source, 501)
