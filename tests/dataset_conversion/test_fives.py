"""FIVES, converted from a miniature of its tree."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from skimage import io

from nnunet_ext.dataset_conversion import UserError
from nnunet_ext.dataset_conversion.engine.run import convert
from nnunet_ext.dataset_conversion.fives import Fives

SHAPE = (24, 20)
TOP = "FIVES A Fundus Image Dataset for AI-based Vessel Segmentation"


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    io.imsave(path, pixels.astype(np.uint8), check_contrast=False)


def vessel(number: int) -> np.ndarray:
    """A mask as the masks of FIVES are: three equal channels, 0 and 255; 20 pixels of vessel."""
    mask = np.zeros((*SHAPE, 3), np.uint8)
    mask[number % SHAPE[0]] = 255
    return mask


@pytest.fixture
def fives(tmp_path: Path) -> Path:
    """5 training cases per disease and 1 test case of each, with the same names."""
    root = tmp_path / "unpacked" / TOP
    rng = np.random.default_rng(0)
    for part, count in (("train", 5), ("test", 1)):
        for number in range(1, 4 * count + 1):
            name = f"{number}_{'ADGN'[(number - 1) // count]}.png"
            save(root / part / "Original" / name, rng.integers(0, 256, (*SHAPE, 3)))
            save(root / part / "Ground truth" / name, vessel(number))
    (root / "train/Original/Thumbs.db").write_bytes(b"no image")
    (root / "Quality Assessment.xlsx").write_bytes(b"a table")
    return root


def split_of(folder: Path) -> dict[str, list[str]]:
    (fold,) = json.loads((folder / "splits_final.json").read_text())
    return dict(fold)


def test_fives(fives: Path, raw: Path, accept: Callable[[Path], dict]) -> None:
    result = convert(Fives(), fives.parent, 502)
    assert result.folder == raw / "Dataset502_FIVES"
    assert result.report["counts"] == {"train": 16, "val": 4, "test": 4}
    assert result.report["groups"] == {"test": {"A": 1, "D": 1, "G": 1, "N": 1}}
    ids = {
        part: [c for c, r in result.report["cases"].items() if r["part"] == part] for part in ("test", "val")
    }
    assert ids["test"] == ["test_1_A", "test_2_D", "test_3_G", "test_4_N"]
    assert [case[-1] for case in sorted(ids["val"], key=lambda case: case[-1])] == list("ADGN")
    assert split_of(result.folder)["val"] == sorted(ids["val"])
    image = result.folder / "imagesTs/test_1_A_0000.png"
    assert image.read_bytes() == (fives / "test/Original/1_A.png").read_bytes()
    label = io.imread(result.folder / "labelsTs/test_1_A.png")
    np.testing.assert_array_equal(label, vessel(1)[..., 0] // 255)
    assert result.report["altered"] == {"dropped": 24}
    assert "train/Ground truth/1_A.png: 2 channels equal to the first" in [
        note["text"] for note in result.report["notes"]
    ]
    assert list(accept(result.folder)["configurations"]) == ["2d"]


def test_a_picture_with_alpha_is_not_copied(fives: Path, raw: Path) -> None:
    file = fives / "train/Original/2_A.png"
    colours = io.imread(file)
    save(file, np.dstack([colours, np.full(SHAPE, 255)]))
    result = convert(Fives(split="folds"), fives, 502)
    written = io.imread(result.folder / "imagesTr/train_2_A_0000.png")
    np.testing.assert_array_equal(written, colours)
    assert {"kind": "dropped", "text": "train/Original/2_A.png: alpha channel"} in result.report["notes"]


def test_a_misspelt_folder_of_masks(fives: Path, raw: Path) -> None:
    (fives / "test/Ground truth").rename(fives / "test/Groud truth")
    assert convert(Fives(), fives, 502).report["counts"]["test"] == 4


def test_splits(fives: Path, raw: Path, tmp_path: Path) -> None:
    own = tmp_path / "split.json"
    own.write_text(json.dumps({"train": ["train_1_A", "train_6_D"], "val": ["train_11_G"]}))
    folders = [
        convert(converter, fives, number, f"S{number}").folder
        for number, converter in enumerate((Fives(), Fives(seed=1), Fives(split_file=own)), start=1)
    ]
    assert split_of(folders[0]) != split_of(folders[1])
    assert split_of(folders[2]) == {"train": ["train_1_A", "train_6_D"], "val": ["train_11_G"]}
    report = json.loads((folders[2] / "conversion_report.json").read_text())
    assert len(report["left_out"]) == 17
    assert report["left_out"]["train/Original/2_A.png"] == "not named in the split file"
    default = Fives.facts.split
    assert report["split"] == f"--split-file {own} instead of: {default}"
    splits = [json.loads((f / "conversion_report.json").read_text())["split"] for f in folders[:2]]
    assert splits == [default, f"--seed 1 instead of: {default}"]
    all_train = convert(Fives(split="folds"), fives, 4, "S4")
    assert all_train.report["counts"] == {"train": 20, "val": 0, "test": 4}
    assert not (all_train.folder / "splits_final.json").exists()
    with pytest.raises(UserError, match="--split folds contradicts it"):
        Fives(split="folds", split_file=own)


def test_a_split_file_that_was_changed_is_another_split(fives: Path, raw: Path, tmp_path: Path) -> None:
    own = tmp_path / "split.json"
    own.write_text(json.dumps({"train": ["train_1_A"], "val": ["train_11_G"]}))
    assert convert(Fives(split_file=own), fives, 502).converted == 6
    own.write_text(json.dumps({"train": ["train_11_G"], "val": ["train_1_A"]}))
    with pytest.raises(
        UserError, match=r"was converted with split_file '.*split\.json, SHA-256 \w{64}' instead"
    ):
        convert(Fives(split_file=own), fives, 502)
    assert convert(Fives(split_file=own), fives, 502, overwrite=True).converted == 6


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([["train_1_A"]], r'expected as {"train": \[case ids\], "val": \[case ids\]}'),
        ({"train": [], "test": []}, r"found test"),
        ({"train": ["train_1_A"], "val": ["train_1_A"]}, r"cases named more than once: train_1_A"),
        ({"train": ["1_A"]}, r"cases not in the dataset: 1_A"),
    ],
)
def test_wrong_split_files(fives: Path, raw: Path, tmp_path: Path, content: object, message: str) -> None:
    own = tmp_path / "split.json"
    own.write_text(json.dumps(content))
    with pytest.raises(UserError, match=message):
        convert(Fives(split_file=own), fives, 502)


def test_what_is_wrong_is_listed_by_file(fives: Path, raw: Path) -> None:
    masks = fives / "train/Ground truth"
    (fives / "train/Original/3_A.png").unlink()
    (masks / "4_A.png").unlink()
    coloured = vessel(5)
    coloured[..., 1] = 0
    save(masks / "5_A.png", coloured)
    save(masks / "6_D.png", vessel(6) // 255)
    save(masks / "7_D.png", vessel(7)[:-1])
    with pytest.raises(UserError) as caught:
        convert(Fives(), fives, 502)
    for text in (
        "train/Original/3_A.png: missing",
        "train/Ground truth/4_A.png: missing",
        "train/Ground truth/5_A.png: a mask of one grey channel is expected, found 3 that differ",
        "train/Ground truth/6_D.png: a mask of 0 and 1, but 0 and 255 are expected",
        "train/Ground truth/7_D.png: the mask is 23x20, its image train/Original/7_D.png 24x20",
    ):
        assert text in str(caught.value)
    result = convert(Fives(), fives, 502, on_error="skip")
    assert sum(result.report["counts"].values()) == 19
    assert "train_5_A" not in result.report["cases"]
