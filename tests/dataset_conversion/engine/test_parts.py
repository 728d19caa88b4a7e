"""Job arrays: each part converts its share, the last one completes the dataset."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from skimage import io

from nnunet_ext.dataset_conversion import UserError
from nnunet_ext.dataset_conversion.engine.output import DatasetFolder
from nnunet_ext.dataset_conversion.engine.run import convert
from nnunet_ext.dataset_conversion.topomortar import TopoMortar

NAME = "Dataset501_TopoMortar"
IDS = ["001", "002", "003", "051", "052", "071", "163"]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def whole(source: Path, raw: Path) -> dict[str, bytes]:
    """What a conversion in one piece writes."""
    found = contents(convert(TopoMortar(), source, 501).folder)
    for place in ("raw", "preprocessed"):
        shutil.rmtree(raw.parent / place)
    return found


def labels(raw: Path) -> set[str]:
    return {path.stem for place in ("labelsTr", "labelsTs") for path in (raw / NAME / place).glob("*.png")}


def test_parts_one_after_the_other(source: Path, raw: Path, whole: dict[str, bytes]) -> None:
    first = convert(TopoMortar(), source, 501, part_id=1, num_parts=3)
    assert (first.converted, first.waiting, first.report) == (2, 5, {})
    assert labels(raw) == {"002", "052"}
    assert not (raw / NAME / "dataset.json").exists()
    assert not (raw.parent / "preprocessed" / NAME).exists()
    again = convert(TopoMortar(), source, 501, part_id=1, num_parts=3)
    assert (again.converted, again.kept, again.waiting) == (0, 2, 5)
    assert convert(TopoMortar(), source, 501, part_id=0, num_parts=3).waiting == 2
    last = convert(TopoMortar(), source, 501, part_id=2, num_parts=3)
    assert (last.converted, last.waiting, last.completed) == (2, 0, True)
    assert contents(raw / NAME) == whole
    assert (raw.parent / "preprocessed" / NAME / "splits_final.json").exists()
    for part in range(3):
        assert convert(TopoMortar(), source, 501, part_id=part, num_parts=3).nothing_to_do


def test_parts_at_the_same_time(source: Path, raw: Path, whole: dict[str, bytes]) -> None:
    code = (
        "import sys\n"
        "from nnunet_ext.dataset_conversion.engine.run import convert\n"
        "from nnunet_ext.dataset_conversion.topomortar import TopoMortar\n"
        "convert(TopoMortar(), sys.argv[1], 501, part_id=int(sys.argv[2]), num_parts=3)"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, str(source), str(part)]) for part in range(3)]
    assert [process.wait() for process in running] == [0, 0, 0]
    assert contents(raw / NAME) == whole


def test_the_folder_is_completed_while_another_part_looks(
    source: Path, raw: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another part removes the records between the listing and the reading of them."""
    convert(TopoMortar(), source, 501, part_id=0, num_parts=2)
    reading = Path.read_text

    def read_late(path: Path, *arguments: str, **options: str) -> str:
        if path.name == "case_003.json":
            monkeypatch.undo()
            for name in ("raw", "preprocessed", "results"):
                monkeypatch.setenv(f"nnUNet_{name}", str(raw.parent / name))
            convert(TopoMortar(), source, 501)
        return reading(path, *arguments, **options)

    monkeypatch.setattr(Path, "read_text", read_late)
    records = DatasetFolder(raw / NAME, {}).records()
    assert sorted(records) == IDS
    assert contents(raw / NAME) == whole


def test_a_run_without_parts_does_the_rest(source: Path, raw: Path, whole: dict[str, bytes]) -> None:
    convert(TopoMortar(), source, 501, part_id=0, num_parts=4)
    assert convert(TopoMortar(), source, 501).converted == 5
    assert contents(raw / NAME) == whole


def test_more_parts_than_cases(source: Path, raw: Path) -> None:
    assert convert(TopoMortar(), source, 501, part_id=8, num_parts=9).waiting == 7


def test_wrong_cases_of_other_parts(source: Path, raw: Path) -> None:
    io.imsave(source / "dataset/train/accurate/002.png", np.zeros((9, 9), np.uint8), check_contrast=False)
    assert convert(TopoMortar(), source, 501, part_id=0, num_parts=2).waiting == 3
    with pytest.raises(UserError, match=r"1 case in .*\n.*002.png: the mask is 9x9"):
        convert(TopoMortar(), source, 501, part_id=1, num_parts=2)
    with pytest.raises(UserError, match=r"002.png: the mask is 9x9"):  # all but this one are done
        convert(TopoMortar(), source, 501, part_id=0, num_parts=2)
    assert sorted(json.loads((raw / NAME / "conversion_report.json").read_text())["not_converted"]) == ["002"]
    result = convert(TopoMortar(), source, 501, part_id=0, num_parts=2, on_error="skip")
    assert result.completed
    assert sorted(result.report["cases"]) == [case for case in IDS if case != "002"]


@pytest.mark.parametrize(("part", "parts"), [(2, 2), (-1, 2), (0, 0), (0, -1)])
def test_impossible_parts(source: Path, raw: Path, part: int, parts: int) -> None:
    with pytest.raises(UserError, match=f"Part {part} of {parts} is not possible"):
        convert(TopoMortar(), source, 501, part_id=part, num_parts=parts)


def test_overwriting_in_parts_is_refused(source: Path, raw: Path) -> None:
    with pytest.raises(UserError, match="would remove what the others have done"):
        convert(TopoMortar(), source, 501, overwrite=True, num_parts=2)
