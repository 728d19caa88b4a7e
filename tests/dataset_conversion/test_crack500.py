"""Crack500, converted from a miniature of its tree."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from skimage import io

from nnunet_ext.dataset_conversion import UserError
from nnunet_ext.dataset_conversion.crack500 import Crack500
from nnunet_ext.dataset_conversion.engine.run import convert

SHAPE = (48, 64)
FULL = {
    "train": ("20160222_081011.jpg", "20160222_164129.JPG", "20160328_154452.jpg"),
    "val": ("20160222_164843.jpg",),
    "test": ("20160222_080850.jpg",),
}
CROPS = {
    "train": ("20160222_081011_1_361", "20160328_154452_641_1"),
    "val": ("20160328_154452_1_1", "20160222_164843_1_1"),
    "test": ("20160222_080850_1_1",),
}


def crack(shape: tuple[int, int] = SHAPE) -> np.ndarray:
    mask = np.zeros(shape, np.uint8)
    mask[8:12, 4:-20] = 255
    return mask


def save_picture(path: Path, mask: np.ndarray, seed: int = 0, exif: int = 1) -> None:
    """Grey asphalt with a dark crack."""
    path.parent.mkdir(parents=True, exist_ok=True)
    grey = np.random.default_rng(seed).normal(140, 8, (*mask.shape, 1)) - 60.0 * (mask[..., None] > 0)
    orientation = PIL.Image.Exif()
    orientation[0x0112] = exif
    picture = PIL.Image.fromarray(np.repeat(grey, 3, axis=2).clip(0, 255).astype(np.uint8))
    picture.save(path, quality=95, exif=orientation)


def save_mask(path: Path, mask: np.ndarray) -> None:
    io.imsave(path, mask, check_contrast=False)


@pytest.fixture
def cracks(tmp_path: Path) -> Path:
    """Full photographs and crops; every archive repeats its name as a folder; sizes differ."""
    root = tmp_path / "pavement crack datasets/CRACK500"
    for part, files in FULL.items():
        for seed, file in enumerate(files):
            mask = crack(SHAPE if file != "20160222_164843.jpg" else (64, 48))
            folder = root / f"{part}data/{part}data"
            save_picture(folder / file, mask, seed)
            save_mask(folder / f"{file[:-4]}_mask.png", mask)
    for part, names in CROPS.items():
        for seed, name in enumerate(names):
            mask = crack((32, 48) if seed else (48, 32))
            folder = root / f"{part}crop/{part}crop"
            save_picture(folder / f"{name}.jpg", mask, seed)
            save_mask(folder / f"{name}.png", mask)
    for part in FULL:
        (root / f"{part}.txt").write_text("")
        (root / f"{part}crop.zip").write_bytes(b"an archive")
    return root


def test_full_photographs(cracks: Path, raw: Path, accept: Callable[[Path], dict]) -> None:
    one_bit = cracks / "testdata/testdata/20160222_080850_mask.png"
    PIL.Image.fromarray(crack() > 0).save(one_bit)
    assert PIL.Image.open(one_bit).mode == "1"
    result = convert(Crack500(), cracks.parent, 504)
    assert result.folder == raw / "Dataset504_Crack500"
    parts = {case: record["part"] for case, record in result.report["cases"].items()}
    assert parts == {file[:-4]: part for part, files in FULL.items() for file in files}
    for label, shape in (("Tr/20160222_164129", SHAPE), ("Tr/20160222_164843", (64, 48))):
        np.testing.assert_array_equal(io.imread(result.folder / f"labels{label}.png"), crack(shape) // 255)
    np.testing.assert_array_equal(io.imread(result.folder / "labelsTs/20160222_080850.png"), crack() // 255)
    np.testing.assert_array_equal(
        io.imread(result.folder / "imagesTr/20160222_081011_0000.png"),
        io.imread(cracks / "traindata/traindata/20160222_081011.jpg"),
    )
    assert result.report["altered"] == {}
    assert list(accept(result.folder)["configurations"]) == ["2d"]


def test_crops_and_photographs_in_several_parts(cracks: Path, raw: Path) -> None:
    kept = convert(Crack500(pictures="crops"), cracks, 1, "Kept").report
    assert kept["counts"] == {"train": 2, "val": 2, "test": 1}
    notes = {"kind": "photograph in several parts", "text": "20160328_154452: train, val"}
    assert notes in kept["notes"]
    dropped = convert(Crack500(pictures="crops", shared="drop"), cracks, 2, "Dropped").report
    assert dropped["counts"] == {"train": 1, "val": 2, "test": 1}
    assert dropped["left_out"] == {
        "traincrop/traincrop/20160328_154452_641_1.jpg": "its photograph is in val too (--shared drop)"
    }
    assert all(note["kind"] != "photograph in several parts" for note in dropped["notes"])


def test_a_mask_upside_down(cracks: Path, raw: Path) -> None:
    file = cracks / "traindata/traindata/20160222_081011_mask.png"
    save_mask(file, np.rot90(crack(), 2))
    with pytest.raises(UserError, match=r"20160222_081011_mask.png: turned by 180 degrees it lies on darker"):
        convert(Crack500(), cracks, 1)
    turned = convert(Crack500(turned="turn"), cracks, 2, "Turned")
    np.testing.assert_array_equal(io.imread(turned.folder / "labelsTr/20160222_081011.png"), crack() // 255)
    assert turned.report["altered"] == {"turned": 1}
    kept = convert(Crack500(turned="keep"), cracks, 3, "Kept")
    np.testing.assert_array_equal(
        io.imread(kept.folder / "labelsTr/20160222_081011.png"), np.rot90(crack(), 2) // 255
    )
    skipped = convert(Crack500(), cracks, 1, on_error="skip")
    assert list(skipped.report["not_converted"]) == ["20160222_081011"]


def test_a_photograph_on_its_side(cracks: Path, raw: Path) -> None:
    folder = cracks / "traindata/traindata"
    save_picture(folder / "20160222_081011.jpg", np.rot90(crack()), exif=6)  # shown turned clockwise
    result = convert(Crack500(), cracks, 504)
    image = io.imread(result.folder / "imagesTr/20160222_081011_0000.png")
    assert image.shape == (*SHAPE, 3)
    assert image[crack() > 0].mean() < 100 < image[crack() == 0].mean()
    assert result.report["altered"] == {"turned": 1}
    save_picture(folder / "20160222_081011.jpg", np.rot90(crack()))  # no EXIF orientation to say how
    with pytest.raises(UserError, match=r"20160222_081011_mask.png: the mask is 48x64, its image .* 64x48"):
        convert(Crack500(), cracks, 505, "Sideways")


def test_scaling(cracks: Path, raw: Path) -> None:
    result = convert(Crack500(short_side=24), cracks, 504)
    label = io.imread(result.folder / "labelsTr/20160222_081011.png")
    expected = np.zeros((24, 32), np.uint8)
    expected[4:6, 2:-10] = 1
    np.testing.assert_array_equal(label, expected)
    assert io.imread(result.folder / "imagesTr/20160222_164843_0000.png").shape == (32, 24, 3)
    assert result.report["altered"] == {"resized": 5}
    with pytest.raises(UserError, match="--short-side -1 is not possible"):
        Crack500(short_side=-1)


def test_missing_files(cracks: Path, raw: Path) -> None:
    (cracks / "valdata/valdata/20160222_164843_mask.png").unlink()
    (cracks / "testdata/testdata/20160222_080850.jpg").unlink()
    with pytest.raises(UserError) as caught:
        convert(Crack500(), cracks, 504)
    for text in ("164843_mask.png: missing", "080850.jpg: missing"):
        assert text in str(caught.value)


def test_archives_that_are_not_there(cracks: Path, raw: Path) -> None:
    (cracks / "traindata").rename(cracks.parent / "elsewhere")
    with pytest.raises(
        UserError, match=r"no training pictures in traindata. The newer .* lacks traindata.zip"
    ):
        convert(Crack500(), cracks, 504)
    for part in ("val", "test"):
        (cracks / f"{part}data").rename(cracks.parent / f"{part}elsewhere")
    with pytest.raises(UserError, match=r"holds one of traindata, valdata, testdata, which --pictures full"):
        convert(Crack500(), cracks, 504)
