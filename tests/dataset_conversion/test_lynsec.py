"""LyNSeC in miniature: colours, ids and kinds in one array; faulty files; folders with a space."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from reports import notes

from nnunet_ext.dataset_conversion import UserError
from nnunet_ext.dataset_conversion.engine.run import convert
from nnunet_ext.dataset_conversion.lynsec import Lynsec
from nnunet_ext.images.instance_files import read_instances

SHAPE = (32, 32)
IDS = np.zeros(SHAPE)
IDS[4:12, 4:12], IDS[4:12, 12:20], IDS[20:28, 4:12] = 5, 70, 300
KINDS = np.select([IDS == 5, IDS > 5], [1, 2], 0)
COLOURS = np.random.default_rng(0).integers(0, 256, (*SHAPE, 3))


def array(channels: int, dtype: str = "float64") -> np.ndarray:
    return np.concatenate([COLOURS, IDS[..., None], KINDS[..., None]], axis=2)[..., :channels].astype(dtype)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "lynsec"
    for folder, numbers, channels in (("1", range(4), 5), ("2", (0, 34, 35, 101), 4), ("3", range(3), 5)):
        (root / f"lynsec {folder}").mkdir(parents=True)
        for number in numbers:
            np.save(root / f"lynsec {folder}" / f"{number}_l{folder}.npy", array(channels))
    (root / "lynsec 1/.DS_Store").write_bytes(b"no image")
    np.save(root / "lynsec 1/1_l1.npy", array(5, "int64"))
    return root


def test_all_folders_without_the_faulty_files(
    source: Path, raw: Path, accept: Callable[[Path], dict]
) -> None:
    result = convert(Lynsec(split="folds"), source.parent, 523)
    cases = ["0_l1", "0_l3", "101_l2", "1_l1", "1_l3", "2_l1", "2_l3", "35_l2", "3_l1"]
    assert sorted(result.report["cases"]) == cases
    assert sorted(result.report["left_out"]) == ["lynsec 2/0_l2.npy", "lynsec 2/34_l2.npy"]
    assert "labels do not belong to its image" in result.report["left_out"]["lynsec 2/0_l2.npy"]
    for case in cases:
        ids, _ = read_instances(result.folder / f"instancesTr/{case}.tif")
        np.testing.assert_array_equal(ids, np.select([IDS == 5, IDS == 70, IDS == 300], [1, 2, 3], 0))
        image = np.asarray(PIL.Image.open(result.folder / f"imagesTr/{case}_0000.png"))
        np.testing.assert_array_equal(image, COLOURS)
    label = np.asarray(PIL.Image.open(result.folder / "labelsTr/35_l2.png"))
    assert label[8, [5, 11, 12, 18, 24]].tolist() == [1, 2, 2, 1, 0]
    assert notes(result.report, "partial dataset") == ["train: 9 cases found, 664 in the complete dataset"]
    accept(result.folder)


@pytest.mark.parametrize(
    ("lynsec2", "left_out", "size"), [("all", 0, 559), ("partly", 2, 532), ("none", 4, 335)]
)
def test_how_much_of_lynsec_2(source: Path, raw: Path, lynsec2: str, left_out: int, size: int) -> None:
    converter = Lynsec(lynsec2=lynsec2)
    cases = converter.find_cases(source)
    assert sum(bool(case.left_out) for case in cases) == left_out
    result = convert(converter, source, 523)
    found = result.report["counts"]
    assert sum(found.values()) == 11 - left_out
    assert notes(result.report, "partial dataset")[0] == (
        f"train: {found['train']} cases found, {size} in the complete dataset"
    )


def test_sizes_of_the_complete_dataset(tmp_path: Path) -> None:
    for folder, count in (("1", 379), ("2", 280), ("3", 40)):
        (tmp_path / f"lynsec {folder}").mkdir()
        for number in range(count):
            (tmp_path / f"lynsec {folder}/{number}_l{folder}.npy").touch()
    for options in (
        {"lynsec2": "all"},
        {},
        {"lynsec2": "none"},
        {"target": "staining"},
        {"target": "tumour"},
    ):
        converter = Lynsec(**options)
        parts = [case.part for case in converter.find_cases(tmp_path) if not case.left_out]
        assert {part: parts.count(part) for part in ("train", "val", "test")} == converter.sizes()
    assert Lynsec(lynsec2="all").sizes() == {"train": 559, "val": 70, "test": 70}
    test = {c.id for c in Lynsec().find_cases(tmp_path) if c.part == "test"}
    assert [sum(case.endswith(f"l{i}") for case in test) for i in (1, 2, 3)] == [38, 24, 4]
    assert test != {c.id for c in Lynsec(seed=1).find_cases(tmp_path) if c.part == "test"}


def test_kinds_as_classes(source: Path, raw: Path) -> None:
    odd = array(5)
    odd[0, :4, 4] = 1
    np.save(source / "lynsec 3/2_l3.npy", odd)
    result = convert(Lynsec(target="tumour", split="folds"), source, 523)
    assert sorted(result.report["cases"]) == ["0_l3", "1_l3", "2_l3"]
    label = np.asarray(PIL.Image.open(result.folder / "labelsTr/0_l3.png"))
    np.testing.assert_array_equal(label, KINDS)
    names = json.loads((result.folder / "dataset.json").read_text())["labels"]
    assert names == {"background": 0, "non-tumour": 1, "tumour": 2}
    assert notes(result.report, "kinds that do not cover the nuclei") == ["lynsec 3/2_l3.npy: 4 pixels"]
    assert len(result.report["left_out"]) == 8
    with pytest.raises(UserError, match="leave out --classes and the radii"):
        Lynsec(target="staining", gap_radius=3)


def test_what_is_wrong_is_listed(source: Path, raw: Path) -> None:
    folder = source / "lynsec 1"
    np.save(folder / "0_l1.npy", array(5).transpose(2, 0, 1))
    np.save(folder / "1_l1.npy", array(5) / [255, 255, 255, 1, 1])
    whole = (folder / "2_l1.npy").read_bytes()
    (folder / "2_l1.npy").write_bytes(whole[: len(whole) // 2])
    kinds = array(5)
    kinds[5, 5, 4] = 3
    np.save(folder / "3_l1.npy", kinds)
    with pytest.raises(UserError) as caught:
        convert(Lynsec(target="staining"), source, 523)
    assert "0_l1.npy: is 5x32x32, but y, x and 5 channels are expected" in str(caught.value)
    assert "2_l1.npy: the file is cut off: its header promises 32 x 32 x 5 voxels" in str(caught.value)
    result = convert(Lynsec(), source, 523, on_error="skip")
    wrong = {case: record["problems"][0] for case, record in result.report["not_converted"].items()}
    assert sorted(wrong) == ["0_l1", "1_l1", "2_l1"]
    assert ": a colour is 0." in wrong["1_l1"]
    assert "but whole numbers up to 255 are expected" in wrong["1_l1"]
    (folder / "0_l1.npy").unlink()
    (folder / "2_l1.npy").unlink()
    np.save(folder / "1_l1.npy", array(5))
    with pytest.raises(UserError, match=r"3_l1.npy: label values \[3\] are not among \[0, 1, 2\]"):
        convert(Lynsec(target="staining"), source, 524, name="Staining")


def test_nuclei_without_a_kind_are_counted(source: Path, raw: Path) -> None:
    odd = array(5)
    odd[..., 4][odd[..., 3] == 70] = 0
    np.save(source / "lynsec 1/0_l1.npy", odd)
    report = convert(Lynsec(target="staining"), source, 523).report
    assert notes(report, "dropped") == ["lynsec 1/0_l1.npy: 1 of 3 nuclei have no kind"]
