"""Several conversions into one dataset, killed ones, and folders that lie inside each other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from nnunet_ext.dataset_conversion import UserError
from nnunet_ext.dataset_conversion.engine.nnunet_folders import alone
from nnunet_ext.dataset_conversion.engine.run import convert
from nnunet_ext.dataset_conversion.instances import Instances

NAME = "Dataset510_Instances"


@pytest.fixture
def places(tmp_path: Path, raw: Path) -> tuple[Path, Path]:
    """Three images and their labels."""
    folders = tmp_path / "images", tmp_path / "labels"
    for folder in folders:
        folder.mkdir()
    for number in range(3):
        image = np.random.default_rng(number).integers(0, 200, (32, 32)).astype(np.uint8)
        ids = np.zeros((32, 32), np.uint8)
        ids[2:12, 2 + number : 12 + number], ids[16:26, 4:14] = 1, 2
        for folder, pixels in zip(folders, (image, ids), strict=True):
            tifffile.imwrite(folder / f"c{number}.tif", pixels)
    return folders


def left_behind(raw: Path) -> list[str]:
    """Everything that a conversion makes for itself."""
    return [path.name for path in raw.rglob("*") if path.name.startswith(".")]


def in_another_process(lock_holder: str, raw: Path) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", lock_holder, str(raw / NAME)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "holds it\n"
    return process


COMMAND = "from nnunet_ext.cli.app import main; main()"
HOLD = """
import sys
from pathlib import Path
from nnunet_ext.dataset_conversion.engine.nnunet_folders import alone
with alone(Path(sys.argv[1])):
    print("holds it", flush=True)
    sys.stdin.read()
"""


@pytest.mark.slow
def test_a_second_conversion_is_refused_until_the_first_has_ended(places, raw) -> None:
    images, labels = places
    process = in_another_process(HOLD, raw)
    with pytest.raises(UserError, match=f"Another 'nnunet_ext convert' is writing to .*{NAME}"):
        convert(Instances(labels=labels), images, 510)
    assert not (raw / NAME).exists()
    process.communicate()
    assert convert(Instances(labels=labels), images, 510).completed
    assert left_behind(raw) == []


@pytest.mark.slow
def test_a_killed_one_keeps_nobody_out(places, raw) -> None:
    images, labels = places
    process = in_another_process(HOLD, raw)
    process.kill()
    process.wait()
    assert left_behind(raw) == [f".{NAME}.lock"]
    assert convert(Instances(labels=labels), images, 510).completed
    assert left_behind(raw) == []


@pytest.mark.slow
def test_three_at_once(places, raw) -> None:
    images, labels = places
    words = [sys.executable, "-c", COMMAND, "convert", "instances", "-i", str(images)]
    words += ["-l", str(labels), "-d", "510"]
    together = [subprocess.Popen(words, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    errors = [process.communicate()[1] for process in together]
    assert 0 in [process.returncode for process in together]
    for process, error in zip(together, errors, strict=True):
        assert process.returncode == 0 or "Another 'nnunet_ext convert' is writing to" in error
    assert left_behind(raw) == []
    assert len(list((raw / NAME / "imagesTr").iterdir())) == 3
    assert json.loads((raw / NAME / "dataset.json").read_text())["numTraining"] == 3
    assert convert(Instances(labels=labels), images, 510).nothing_to_do


def test_the_lock_goes_with_the_conversion(raw) -> None:
    with alone(raw / NAME):
        assert left_behind(raw) == [f".{NAME}.lock"]
    assert left_behind(raw) == []
    with pytest.raises(ZeroDivisionError), alone(raw / NAME):
        _ = 1 / 0
    assert left_behind(raw) == []


def test_what_a_killed_conversion_left_is_tidied_up(places, raw) -> None:
    images, labels = places

    def killed(items, total, description):  # type: ignore[no-untyped-def]
        for count, item in enumerate(items):
            if description.startswith("Converting") and count == 1:
                raise KeyboardInterrupt
            yield item

    with pytest.raises(KeyboardInterrupt):
        convert(Instances(labels=labels), images, 510, progress=killed)
    (raw / NAME / ".partial/c2_0000.png").write_bytes(b"half")
    (raw / NAME / ".dataset.json.4711.tmp").write_text("{")
    assert convert(Instances(labels=labels), images, 510).converted == 1
    assert left_behind(raw) == []


def test_sources_inside_the_dataset_are_not_overwritten(places, raw) -> None:
    images, labels = places
    folder = convert(Instances(labels=labels), images, 510).folder
    before = {path: path.read_bytes() for path in folder.rglob("*.*")}
    for overwrite in (False, True):
        with pytest.raises(UserError, match=r"lies in .*Dataset510_Instances, which the conversion"):
            convert(
                Instances(labels=folder / "labelsTr"), folder / "imagesTr", 510, overwrite=overwrite, yes=True
            )
    assert {path: path.read_bytes() for path in folder.rglob("*.*")} == before


def test_raw_inside_the_images(places, monkeypatch) -> None:
    images, labels = places
    monkeypatch.setenv("nnUNet_raw", str(images / "raw"))
    result = convert(Instances(labels=labels), images, 510)
    assert convert(Instances(labels=labels), images, 510).nothing_to_do
    assert result.report["counts"]["train"] == 3


@pytest.mark.parametrize("what", ["another name", "a dataset of somebody else", "a file"])
def test_a_place_that_is_taken(places, raw, what) -> None:
    images, labels = places
    taken = raw / ("Dataset510_Other" if what == "another name" else NAME)
    raw.mkdir()
    if what == "a file":
        taken.write_text("mine")
    else:
        taken.mkdir()
        (taken / "dataset.json").write_text('{"mine": 1}')
    said = {
        "another name": r"Id 510 is taken by .*Dataset510_Other.*-n Other",
        "a dataset of somebody else": "exists and was not made by 'nnunet_ext convert'",
        "a file": "Cannot write to .*Dataset510_Instances",
    }
    for overwrite in (False, True):
        with pytest.raises(UserError, match=said[what]):
            convert(Instances(labels=labels), images, 510, overwrite=overwrite)
    assert os.listdir(raw) == [taken.name]
    assert taken.is_file() or (taken / "dataset.json").read_text() == '{"mine": 1}'


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[]", r"conversion_report.json: the file is \[\]; expected"),
        ('{"cases": 3}', "conversion_report.json: cases is 3; expected"),
        ('{"cases": {"c0": []}}', r"cases.c0 is \[\]; expected"),
        ('{"cases": {"c0": {"id": "c0", "part": "train"}}}', "cases.c0 has no 'sources'"),
        ('{"cases": {}, "identity": 7}', "identity is 7; expected"),
        ("{", "is not valid JSON"),
    ],
)
def test_a_damaged_report(places, raw, content, said) -> None:
    images, labels = places
    folder = convert(Instances(labels=labels), images, 510).folder
    (folder / "conversion_report.json").write_text(content)
    with pytest.raises(UserError, match=f"{said}.*Convert again with --overwrite"):
        convert(Instances(labels=labels), images, 510)
    assert convert(Instances(labels=labels), images, 510, overwrite=True).converted == 3


def test_damaged_files_of_an_interrupted_conversion(places, raw) -> None:
    images, labels = places
    partial = raw / NAME / ".partial"
    partial.mkdir(parents=True)
    (partial / "identity.json").write_text('{"converter": 1}')
    with pytest.raises(UserError, match=r"identity.json: converter is 1; expected a text"):
        convert(Instances(labels=labels), images, 510)
    identity = {
        "converter": "Instances",
        "source": str(images),
        "parameters": Instances(labels=labels).parameters(),
    }
    (partial / "identity.json").write_text(json.dumps(identity))
    (partial / "case_c0.json").write_text('{"id": "c0", "part": 1, "sources": {}}')
    with pytest.raises(UserError, match=r"case_c0.json: part is 1; expected .* Remove it"):
        convert(Instances(labels=labels), images, 510)
    (partial / "case_c0.json").unlink()
    assert convert(Instances(labels=labels), images, 510).converted == 3
