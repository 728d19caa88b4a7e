"""The three kinds of converter of the guide, each with the traps it is to catch."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from textwrap import dedent

import numpy as np
import PIL.Image
import pytest
import SimpleITK as sitk
import tifffile
from skimage import io

from nnunet_ext.dataset_conversion import (
    RELABELLED,
    Case,
    Converter,
    DatasetDescription,
    Facts,
    FileInstances,
    Grid,
    Header,
    Ids,
    Note,
    Part,
    Sample,
    UserError,
    as_labels,
    list_files,
    match_files,
    option,
    read_mask,
    read_rgb,
    read_volume,
    split_cases,
    threshold_mask,
)
from nnunet_ext.dataset_conversion.engine.run import convert
from nnunet_ext.images.instance_files import read_instances

# --- pictures with masks ------------------------------------------------------------------------


@dataclass(frozen=True)
class Leaves(Converter):
    """Leaves: jpg photographs, masks in colour, an official test set only."""

    name = "Leaves"
    title = "Scanned leaves: veins"
    licence = "CC BY 4.0"
    url = "https://example.org/leaves"
    reference = "Doe (2020), Leaves"
    layout = ("train/scans", "test/scans")
    facts = Facts(split="official test; 20 % of training, seeded, as validation")

    seed: int = option(12345, "another one gives another validation set")

    def describe(self) -> DatasetDescription:
        counts: dict[Part, int] = {"train": 8, "val": 2, "test": 3}
        return DatasetDescription(("R", "G", "B"), {"background": 0, "vein": 1}, ".png", counts)

    def find_cases(self, root: Path) -> list[Case]:
        train, test = (leaf_cases(root / part, part) for part in ("train", "test"))
        return [*split_cases(train, {"train": 8, "val": 2}, self.seed), *test]

    def read_case(self, case: Case, description: DatasetDescription) -> Sample:
        image, image_notes = read_rgb(case.images[0])
        mask, mask_notes = read_mask(case.labels[0])
        label, thresholded = threshold_mask(mask, case.labels[0])
        return Sample((image,), label, (*image_notes, *mask_notes, *thresholded))


def leaf_cases(folder: Path, part: str) -> list[Case]:
    pattern = r"leaf_\d+\.(jpg|png)"
    names = {path.stem for sub in ("scans", "masks") for path in list_files(folder / sub, pattern)}
    return [
        Case(
            f"{part}_{name}",
            "test" if part == "test" else "train",
            (folder / "scans" / f"{name}.jpg",),
            (folder / "masks" / f"{name}.png",),
        )
        for name in sorted(names)
    ]


VEIN = np.zeros((24, 20), np.uint8)
VEIN[10:12], VEIN[:, 3] = 255, 255


@pytest.fixture
def leaves(tmp_path: Path) -> Path:
    """Equal names in both parts; a mask in three equal channels; one with six grey pixels."""
    root = tmp_path / "leaves"
    rng = np.random.default_rng(0)
    for part, count in (("train", 10), ("test", 3)):
        for kind in ("scans", "masks"):
            (root / part / kind).mkdir(parents=True)
        for number in range(1, count + 1):
            pixels = rng.integers(0, 256, (24, 20, 3), np.uint8)
            PIL.Image.fromarray(pixels).save(root / part / "scans" / f"leaf_{number}.jpg")
            io.imsave(root / part / "masks" / f"leaf_{number}.png", VEIN, check_contrast=False)
    colour = np.repeat(VEIN[..., None], 3, axis=2)
    io.imsave(root / "test/masks/leaf_1.png", colour, check_contrast=False)
    grey = VEIN.copy()
    grey[0, 10:16] = 90
    io.imsave(root / "test/masks/leaf_2.png", grey, check_contrast=False)
    return root


@pytest.mark.slow
def test_pictures(leaves: Path, raw: Path, accept: Callable[[Path], dict]) -> None:
    result = convert(Leaves(), leaves, 7)
    report = result.report
    assert report["counts"] == {"train": 8, "val": 2, "test": 3}
    assert report["altered"] == {"thresholded": 1, "dropped": 1}
    assert [note["text"] for note in report["notes"]] == [
        "test/masks/leaf_1.png: 2 channels equal to the first",
        "test/masks/leaf_2.png: 6 pixels (value 90: 6), thresholded at 127",
    ]
    assert report["split"] == Leaves.facts.split
    for label in ("labelsTr/train_leaf_4", "labelsTs/test_leaf_1", "labelsTs/test_leaf_2"):
        np.testing.assert_array_equal(io.imread(result.folder / f"{label}.png"), VEIN // 255)
    written = io.imread(result.folder / "imagesTr/train_leaf_4_0000.png")
    np.testing.assert_array_equal(written, np.asarray(PIL.Image.open(leaves / "train/scans/leaf_4.jpg")))
    (fold,) = json.loads((result.folder / "splits_final.json").read_text())
    assert (len(fold["train"]), len(fold["val"])) == (8, 2)
    assert list(accept(result.folder)["configurations"]) == ["2d"]


def test_another_seed_is_another_split(leaves: Path, raw: Path) -> None:
    splits = [
        json.loads((convert(Leaves(seed), leaves, i, f"S{i}").folder / "splits_final.json").read_text())
        for i, seed in ((1, 12345), (2, 12345), (3, 1))
    ]
    assert splits[0] == splits[1]
    assert splits[0] != splits[2]


def test_the_converter_printed_in_the_guide(
    leaves: Path, raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (Path(__file__).parents[2] / "docs/writing_a_converter.md").read_text(encoding="utf-8")
    code = re.search(r"^    from dataclasses .*?(?=^\S)", text, re.DOTALL | re.MULTILINE)
    assert code
    (tmp_path / "converter_of_the_guide.py").write_text(dedent(code[0]), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    guide = import_module("converter_of_the_guide")
    result = convert(guide.Leaves(), leaves / "train", 123)
    assert result.report["counts"] == {"train": 10, "val": 0, "test": 0}
    np.testing.assert_array_equal(io.imread(result.folder / "labelsTr/leaf_4.png"), VEIN // 255)


# --- volumes ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lesions(Converter):
    """Lesions: BIDS names, two channels, labels stored as almost 1."""

    name = "Lesions"
    title = "Lesions in MRI"
    licence = "none"
    url = "none"
    reference = "none"
    layout = ("derivatives",)

    def describe(self) -> DatasetDescription:
        return DatasetDescription(("ADC", "DWI"), {"background": 0, "lesion": 1}, ".nii.gz", dimension=3)

    def find_cases(self, root: Path) -> list[Case]:
        pattern = r"derivatives/(sub-\w+)/(ses-\d+)/\1_\2_(?:space-ncct_)?lesion-msk\.nii\.gz"
        return [
            Case(
                found[1],
                "train",
                tuple(path.with_name(f"{found[1]}_{found[2]}_{name}.nii.gz") for name in ("adc", "dwi")),
                (path,),
            )
            for path, found in match_files(root, pattern)
        ]

    def read_case(self, case: Case, description: DatasetDescription) -> Sample:
        volume = read_volume(case)
        assert volume.label is not None
        label, notes = as_labels(volume.label, case.labels[0])
        return Sample(volume.channels, label, notes, grid=volume.grid)


LESION = np.zeros((6, 16, 14), np.float64)
LESION[2:4, 5:9, 5:8] = 1
OBLIQUE = (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0)


def save_volume(
    path: Path, pixels: np.ndarray, spacing: tuple[float, ...] = (0.4, 0.5, 2.0), origin: float = 3.0
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(pixels)
    image.SetSpacing(spacing)
    image.SetOrigin((origin, -4.0, 7.5))
    image.SetDirection(OBLIQUE)
    sitk.WriteImage(image, str(path))


@pytest.fixture
def lesions(tmp_path: Path) -> Path:
    root = tmp_path / "isles/train"
    rng = np.random.default_rng(0)
    for number in range(1, 6):
        stem = f"sub-stroke{number:04d}"
        folder = root / "derivatives" / stem / "ses-02"
        for value, name in ((1000, "adc"), (100, "dwi")):
            pixels = rng.normal(value, 5, LESION.shape).astype(np.float32)
            save_volume(folder / f"{stem}_ses-02_{name}.nii.gz", pixels)
        space = "" if number == 2 else "space-ncct_"
        scale = 0.99999999977 if number == 3 else 1
        save_volume(folder / f"{stem}_ses-02_{space}lesion-msk.nii.gz", LESION * scale)
        (folder / f"._{stem}_ses-02_lesion-msk.nii.gz").write_bytes(b"no image")
    return root


@pytest.mark.slow
def test_volumes(lesions: Path, raw: Path, accept: Callable[[Path], dict]) -> None:
    result = convert(Lesions(), lesions.parent, 8)
    assert sorted(result.report["cases"]) == [f"sub-stroke{i:04d}" for i in range(1, 6)]
    for case in result.report["cases"]:
        label = sitk.ReadImage(str(result.folder / f"labelsTr/{case}.nii.gz"))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(label), LESION)
        assert label.GetDirection() == pytest.approx(OBLIQUE)
        adc, dwi = (sitk.ReadImage(str(result.folder / f"imagesTr/{case}_000{i}.nii.gz")) for i in range(2))
        assert adc.GetSpacing() == pytest.approx((0.4, 0.5, 2.0))
        assert adc.GetOrigin() == pytest.approx((3.0, -4.0, 7.5))
        assert sitk.GetArrayFromImage(adc).mean() == pytest.approx(1000, abs=1)
        assert sitk.GetArrayFromImage(dwi).mean() == pytest.approx(100, abs=1)
    assert result.report["altered"] == {"rounded": 1}
    assert (
        "sub-stroke0003_ses-02_space-ncct_lesion-msk.nii.gz: 24 voxels" in result.report["notes"][0]["text"]
    )
    assert accept(result.folder)["configurations"]["3d_fullres"]["spacing"] == pytest.approx([2.0, 0.5, 0.4])


def test_what_is_wrong_with_volumes(lesions: Path, raw: Path) -> None:
    def file(number: int, name: str) -> Path:
        stem = f"sub-stroke{number:04d}"
        return lesions / "derivatives" / stem / "ses-02" / f"{stem}_ses-02_{name}.nii.gz"

    whole = file(1, "adc").read_bytes()
    file(1, "adc").write_bytes(whole[: len(whole) // 2])
    save_volume(file(3, "dwi"), LESION, origin=3.1)
    save_volume(file(4, "dwi"), LESION, spacing=(0.4, 0.5, 2.1))
    save_volume(file(5, "space-ncct_lesion-msk"), LESION / 2)
    with pytest.raises(UserError) as caught:
        convert(Lesions(), lesions, 8)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("4 cases in ")
    assert re.search(r"stroke0001_ses-02_adc.nii.gz: the file is damaged or cut off", lines[1])
    assert re.search(
        r"0003_ses-02_dwi.nii.gz: does not lie on the voxels of .*adc.nii.gz: origin 3.1", lines[2]
    )
    assert re.search(
        r"0004_ses-02_dwi.nii.gz: does .*: spacing 2.1 x 0.5 x 0.4 against 2 x 0.5 x 0.4", lines[3]
    )
    assert re.search(r"stroke0005_.*lesion-msk.nii.gz: holds 0.5, but labels are whole numbers", lines[4])


# --- instances ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Meristem(FileInstances):
    """Stacks whose background is 1 and whose spacing lies in a text file."""

    name = "Meristem"
    title = "Meristems"
    licence = "none"
    url = "none"
    reference = "none"
    layout = ("plant1",)

    def find_cases(self, root: Path) -> list[Case]:
        return [
            Case(
                f"plant{found[1]}_{found[2]}h",
                "test" if found[1] == "4" else "train",
                (path,),
                (path.with_name(f"{found[2]}hrs_seg.tif"),),
                group=f"plant{found[1]}",
                others=(root / f"plant{found[1]}/resolutions.txt",),
            )
            for path, found in match_files(root, r"plant(\d+)/(\d+)hrs_raw\.tif")
        ]

    def headers(self, case: Case, dimension: int | None) -> tuple[Header, Header | None]:
        image, label = super().headers(case, dimension)
        spacing = tuple(map(float, case.others[0].read_text().split()))
        return replace(image, grid=Grid(spacing)), label

    def adapt(self, ids: Ids, file: Path) -> tuple[Ids, tuple[Note, ...]]:
        note = Note(RELABELLED, f"{file}: id 1, the outside, to 0")
        return np.where(ids == 1, 0, ids).astype(ids.dtype), (note,)


@pytest.fixture
def plants(tmp_path: Path) -> Path:
    ids = np.ones((6, 20, 20), np.uint16)
    ids[1:5, 3:10, 4:16], ids[1:5, 10:17, 4:16] = 7, 300
    for plant, hours in ((1, (0, 4, 24)), (2, (0, 4)), (4, (0,))):
        folder = tmp_path / f"PNAS/plant{plant}"
        folder.mkdir(parents=True)
        (folder / "resolutions.txt").write_text(f"0.{plant}5 0.22 0.22")
        for hour in hours:
            tifffile.imwrite(folder / f"{hour}hrs_raw.tif", (ids % 251).astype(np.uint8))
            tifffile.imwrite(folder / f"{hour}hrs_seg.tif", ids)
    return tmp_path / "PNAS"


@pytest.mark.slow
def test_instances_of_a_dataset(plants: Path, raw: Path, accept: Callable[[Path], dict]) -> None:
    result = convert(Meristem(), plants, 9)
    assert result.report["counts"] == {"train": 5, "val": 0, "test": 1}
    ids, spacing = read_instances(result.folder / "instancesTr/plant2_4h.tif")
    assert spacing == pytest.approx((0.25, 0.22, 0.22))
    assert np.unique(ids, return_counts=True)[1].tolist() == [6 * 400 - 2 * 336, 336, 336]
    label = tifffile.imread(result.folder / "labelsTs/plant4_0h.tif")
    assert set(np.unique(label[ids == 0])) <= {0, 3}
    assert set(np.unique(label[ids > 0])) == {1, 2}
    folds = json.loads((result.folder / "splits_final.json").read_text())
    plants_of = [{case[:6] for case in fold["val"]} for fold in folds]
    assert plants_of == [{"plant1"}, {"plant2"}]
    assert result.report["altered"] == {"relabelled": 6}
    spacing = accept(result.folder)["original_median_spacing_after_transp"]
    assert sorted(spacing) == pytest.approx([0.15, 0.22, 0.22])
