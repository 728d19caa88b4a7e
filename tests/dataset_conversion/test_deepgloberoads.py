"""DeepGlobe Roads, converted from a miniature of its tree."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from skimage import io

from nnunet_ext.dataset_conversion import UserError
from nnunet_ext.dataset_conversion.deepgloberoads import DeepGlobeRoads
from nnunet_ext.dataset_conversion.engine.run import convert

SHAPE = (24, 20)
IDS = [10005, 100034, 2, 333, 4096, 55, 61, 7, 8080, 99999]


def road(number: int) -> np.ndarray:
    mask = np.zeros(SHAPE, np.uint8)
    mask[:, number % 20] = 255
    return mask


def save_picture(path: Path, rng: np.random.Generator) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(rng.integers(0, 256, (*SHAPE, 3), np.uint8)).save(path)


@pytest.fixture
def roads(tmp_path: Path) -> Path:
    """RGB masks, one of them grey and one with values around 128; 3 images without masks; one level more."""
    root = tmp_path / "archive"
    rng = np.random.default_rng(0)
    for number in IDS:
        save_picture(root / f"train/{number}_sat.jpg", rng)
        mask = np.repeat(road(number)[..., None], 3, axis=2)
        io.imsave(root / f"train/{number}_mask.png", mask, check_contrast=False)
    io.imsave(root / "train/2_mask.png", road(2), check_contrast=False)
    impure = road(55)
    impure[impure > 0], impure[0, :3], impure[1, :2] = 254, 127, 128
    io.imsave(root / "train/55_mask.png", np.repeat(impure[..., None], 3, axis=2), check_contrast=False)
    for part, number in (("valid", 2), ("valid", 3), ("test", 2)):
        save_picture(root / f"{part}/{number}_sat.jpg", rng)
    (root / "metadata.csv").write_text("image_id,split,sat_image_path,mask_path\n")
    (root / "class_dict.csv").write_text("name,r,g,b\nroad,255,255,255\nbackground,0,0,0\n")
    return root


def test_deepglobe_roads(roads: Path, raw: Path, accept: Callable[[Path], dict]) -> None:
    result = convert(DeepGlobeRoads(), roads.parent, 505)
    assert result.folder == raw / "Dataset505_DeepGlobeRoads"
    assert result.report["counts"] == {"train": 7, "val": 1, "test": 2}
    assert sorted(result.report["cases"]) == sorted(map(str, IDS))
    assert result.report["left_out"] == {
        f"{file}_sat.jpg": "no masks were published: --unlabelled adds it to imagesTs"
        for file in ("valid/2", "valid/3", "test/2")
    }
    assert result.report["altered"] == {"thresholded": 1, "dropped": 9}
    notes = [note["text"] for note in result.report["notes"] if note["kind"] == "thresholded"]
    assert notes == [
        "train/55_mask.png: 29 pixels (value 127: 3, value 128: 2, value 254: 24), thresholded at 127"
    ]
    for number in IDS:
        part = "Ts" if result.report["cases"][str(number)]["part"] == "test" else "Tr"
        expected = road(number) // 255
        if number == 55:
            expected[1, :2] = 1
        np.testing.assert_array_equal(io.imread(result.folder / f"labels{part}/{number}.png"), expected)
        written = io.imread(result.folder / f"images{part}/{number}_0000.png")
        np.testing.assert_array_equal(written, io.imread(roads / f"train/{number}_sat.jpg"))
    assert list(accept(result.folder)["configurations"]) == ["2d"]


def test_images_without_masks_are_added_on_demand(roads: Path, raw: Path) -> None:
    result = convert(DeepGlobeRoads(unlabelled=True), roads, 505)
    assert result.report["counts"] == {"train": 7, "val": 1, "test": 5}
    assert result.report["left_out"] == {}
    for case in ("valid_2", "valid_3", "test_2"):
        assert (result.folder / f"imagesTs/{case}_0000.png").is_file()
        assert not (result.folder / f"labelsTs/{case}.png").exists()
    texts = [note["text"] for note in result.report["notes"] if note["kind"] == "partial dataset"]
    assert "test: 5 cases found, 3590 in the complete dataset" in texts


def test_splits(roads: Path, raw: Path, tmp_path: Path) -> None:
    own = tmp_path / "split.json"
    own.write_text(json.dumps({"train": ["2", "7"], "val": ["55"], "test": ["333"]}))
    paper, other, file, folds = (
        convert(converter, roads, number, f"S{number}").report
        for number, converter in enumerate(
            (
                DeepGlobeRoads(),
                DeepGlobeRoads(seed=1),
                DeepGlobeRoads(split_file=own),
                DeepGlobeRoads(split="folds"),
            ),
            start=1,
        )
    )
    parts = [{case: record["part"] for case, record in report["cases"].items()} for report in (paper, other)]
    assert parts[0] != parts[1]
    assert file["counts"] == {"train": 2, "val": 1, "test": 1}
    assert file["cases"]["333"]["part"] == "test"
    assert folds["counts"] == {"train": 10, "val": 0, "test": 0}


def test_what_is_wrong_is_listed_by_file(roads: Path, raw: Path) -> None:
    (roads / "train/7_mask.png").unlink()
    (roads / "train/61_sat.jpg").unlink()
    (roads / "train/333_sat.jpg").write_bytes((roads / "train/333_sat.jpg").read_bytes()[:300])
    with pytest.raises(UserError) as caught:
        convert(DeepGlobeRoads(), roads, 505)
    for text in ("7_mask.png: missing", "61_sat.jpg: missing", "333_sat.jpg: cannot be read as an image"):
        assert f"train/{text}" in str(caught.value)
    assert sum(convert(DeepGlobeRoads(), roads, 505, on_error="skip").report["counts"].values()) == 7


def test_another_dataset_is_refused(tmp_path: Path, raw: Path) -> None:
    (tmp_path / "other/train").mkdir(parents=True)
    with pytest.raises(UserError, match=r"does not look like DeepGlobeRoads.*holds train/<number>_sat.jpg"):
        convert(DeepGlobeRoads(), tmp_path / "other", 505)
