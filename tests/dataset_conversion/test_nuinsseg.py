"""NuInsSeg in miniature: organ folders, two sets of label masks, vague areas, pictures with alpha."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import tifffile
from reports import notes

from nnunet_ext.dataset_conversion import UserError
from nnunet_ext.dataset_conversion.engine.run import convert
from nnunet_ext.dataset_conversion.nuinsseg import NuInsSeg
from nnunet_ext.images.instance_files import read_instances

SHAPE = (32, 40)
IDS = np.zeros(SHAPE, np.uint16)
IDS[4:12, 4:12], IDS[4:12, 12:20], IDS[20:28, 20:30] = 3, 900, 7
VAGUE = np.zeros(SHAPE, np.uint8)
VAGUE[8:16, 8:16] = 255
NAMES = {"human bladder": ("human_bladder_01", "human_bladder_02"), "mouse fat (white)": ("01", "02", "03")}


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(pixels).save(path)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Five images of two organs; the second is RGBA; one has no mask of vague areas."""
    root = tmp_path / "NuInsSeg"
    rng = np.random.default_rng(0)
    for organ, names in NAMES.items():
        for name in names:
            folder = root / organ
            channels = 4 if name == "human_bladder_02" else 3
            save(folder / "tissue images" / f"{name}.png", rng.integers(0, 256, (*SHAPE, channels), np.uint8))
            for labels in ("label masks modify", "label masks"):
                (folder / labels).mkdir(parents=True, exist_ok=True)
                summed = IDS + IDS.T[: SHAPE[0], :1] if labels == "label masks" else IDS
                tifffile.imwrite(folder / labels / f"{name}.tif", summed)
            save(folder / "mask binary" / f"{name}.png", (IDS > 0).astype(np.uint8) * 255)
            if name != "03":
                save(folder / "vague areas/mask binary" / f"{name}.png", VAGUE)
        (root / organ / "tissue images" / ".DS_Store").write_bytes(b"no image")
    return root


def picture(file: Path) -> np.ndarray:
    return np.asarray(PIL.Image.open(file))


def test_instances_and_ids(source: Path, raw: Path, accept: Callable[[Path], dict]) -> None:
    result = convert(NuInsSeg(split="folds"), source.parent, 521)
    assert result.folder == raw / "Dataset521_NuInsSeg"
    ids = ["human_bladder_01", "human_bladder_02", "mouse_fat_white__01", "mouse_fat_white__02"]
    assert sorted(result.report["cases"]) == [*ids, "mouse_fat_white__03"]
    for case in ids:
        instances, _ = read_instances(result.folder / f"instancesTr/{case}.tif")
        np.testing.assert_array_equal(instances, np.select([IDS == 3, IDS == 7, IDS == 900], [1, 2, 3]))
        label = picture(result.folder / f"labelsTr/{case}.png")
        assert (label[IDS > 0] > 0).all()
        assert (label[6, [5, 11, 12, 18, 22]].tolist(), label[24, 25]) == ([1, 2, 2, 1, 0], 1)
    original = picture(source / "human bladder/tissue images/human_bladder_02.png")
    np.testing.assert_array_equal(
        picture(result.folder / "imagesTr/human_bladder_02_0000.png"), original[..., :3]
    )
    assert notes(result.report, "alpha channel")[0].startswith(
        "dropped from 1 file: human bladder/tissue images/"
    )
    assert notes(result.report, "partial dataset") == ["train: 5 cases found, 665 in the complete dataset"]
    assert list(accept(result.folder)["configurations"]) == ["2d"]


def test_seeded_split(source: Path, raw: Path) -> None:
    for folder, ending in (("tissue images", "png"), ("label masks modify", "tif")):
        first = source / "human bladder" / folder / f"human_bladder_01.{ending}"
        first.with_stem("human_bladder_12").write_bytes(first.read_bytes())
    cases = NuInsSeg(seed=7).find_cases(source)
    assert sorted(case.part for case in cases) == ["test", *["train"] * 4, "val"]
    assert [case.part for case in cases] != [case.part for case in NuInsSeg().find_cases(source)]
    result = convert(NuInsSeg(seed=7), source, 521)
    assert result.report["counts"] == {"train": 4, "val": 1, "test": 1}
    (fold,) = json.loads((result.folder / "splits_final.json").read_text())
    assert fold["val"] == [case.id for case in cases if case.part == "val"]
    assert notes(result.report, "partial dataset")[-1] == "test: 1 cases found, 67 in the complete dataset"


def test_vague_areas_may_be_ignored(source: Path, raw: Path) -> None:
    result = convert(NuInsSeg(vague="ignore", split="folds"), source, 521)
    label = picture(result.folder / "labelsTr/human_bladder_01.png")
    np.testing.assert_array_equal(label == 4, (VAGUE > 0) & (IDS == 0))
    assert not (picture(result.folder / "labelsTr/mouse_fat_white__03.png") == 4).any()
    assert json.loads((result.folder / "dataset.json").read_text())["labels"]["ignore"] == 4
    assert notes(result.report, "no vague areas") == [
        "1 images have no mask of them: mouse fat (white)/tissue images/03.png"
    ]


@pytest.mark.parametrize(
    ("mask", "problem"),
    [(VAGUE[:20], "is 20x40, the labels 32x40"), (VAGUE // 2, r"holds \[0, 127\], but a mask of 0 and 255")],
)
def test_wrong_vague_areas(source: Path, raw: Path, mask: np.ndarray, problem: str) -> None:
    save(source / "human bladder/vague areas/mask binary/human_bladder_01.png", mask)
    with pytest.raises(UserError, match=f"mask binary/human_bladder_01.png: {problem}"):
        convert(NuInsSeg(vague="ignore"), source, 521)


def test_no_vague_areas_at_all(source: Path, raw: Path) -> None:
    for mask in source.glob("*/vague areas/mask binary/*.png"):
        mask.unlink()
    with pytest.raises(UserError, match="holds no masks of vague areas"):
        convert(NuInsSeg(vague="ignore"), source, 521)


def test_wrong_and_missing_labels_are_listed_or_skipped(source: Path, raw: Path) -> None:
    folder = source / "human bladder/label masks modify"
    (folder / "human_bladder_01.tif").unlink()
    tifffile.imwrite(folder / "human_bladder_02.tif", IDS[:20])
    (source / "mouse fat (white)/tissue images/02.png").unlink()
    with pytest.raises(UserError) as caught:
        convert(NuInsSeg(), source, 521)
    text = str(caught.value)
    assert "human bladder/label masks modify/human_bladder_01.tif: missing" in text
    assert "human_bladder_02.tif: the labels are 20x40, the image" in text
    assert "mouse fat (white)/tissue images/02.png: missing" in text
    result = convert(NuInsSeg(split="folds"), source, 521, on_error="skip")
    assert sorted(result.report["cases"]) == ["mouse_fat_white__01", "mouse_fat_white__03"]


def test_something_else(tmp_path: Path, raw: Path) -> None:
    (tmp_path / "label masks modify").mkdir()
    with pytest.raises(
        UserError, match=r"does not look like NuInsSeg: no folder in it.*holds folders of organs"
    ):
        convert(NuInsSeg(), tmp_path, 521)


def test_an_organ_without_images_is_said(source: Path, raw: Path) -> None:
    """Its maps are known, its images are not there: it does not go among what is not used on purpose."""
    save(source / "mouse lung/mask binary/1.png", VAGUE)
    report = convert(NuInsSeg(split="folds"), source, 521).report
    assert notes(report, "folders of organs without cases") == [
        "mouse lung: neither tissue images/ nor label masks modify/"
    ]
    assert report["unused_on_purpose"] == {
        "other masks and maps of the dataset": 11,
        "vague areas (--vague ignore)": 4,
    }
