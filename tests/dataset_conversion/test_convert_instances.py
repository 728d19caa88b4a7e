"""Your own images with instance labels: formats in and out, refusals before anything is written."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import SimpleITK as sitk
import tifffile

from nnunet_ext.cli.conversion_summary import print_conversion
from nnunet_ext.dataset_conversion import Case, Ids, UserError
from nnunet_ext.dataset_conversion.base.instance_ids import MERGED, WITHOUT_CORE, smaller_radii
from nnunet_ext.dataset_conversion.engine.report import Conversion
from nnunet_ext.dataset_conversion.engine.run import convert
from nnunet_ext.dataset_conversion.instances import Instances
from nnunet_ext.images.instance_files import read_instances

NAME = "Dataset510_Instances"


def cells(shape: tuple[int, ...], dtype: str = "uint16") -> np.ndarray:
    """Boxes of 10 voxels: 7 and 900 touch along x, 30 lies 4 voxels below them, 12 far from all."""
    ids = np.zeros((shape[-2], shape[-1]), dtype)
    ids[2:12, 2:12], ids[2:12, 12:22], ids[16:26, 2:12], ids[30:38, 30:38] = 7, 900, 30, 12
    return ids if len(shape) == 2 else np.stack([ids] * shape[0])


def touching(ids: np.ndarray, radius: int) -> np.ndarray:
    """Cell voxels with another cell in the window, one by one."""
    found = np.zeros(ids.shape, bool)
    for index in np.argwhere(ids):
        window = ids[tuple(slice(max(0, i - radius), i + radius + 1) for i in index)]
        found[tuple(index)] = bool((~np.isin(window, [0, ids[tuple(index)]])).any())
    return found


def grey(shape: tuple[int, ...], dtype: str = "uint8", seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 200, shape).astype(dtype)


Saver = Callable[[Path, np.ndarray], None]


def save_tif(path: Path, pixels: np.ndarray) -> None:
    tifffile.imwrite(path, pixels, photometric="minisblack")


def save_imagej(path: Path, pixels: np.ndarray) -> None:
    axes = "ZCYX" if pixels.ndim == 4 else "ZYX"
    metadata = {"axes": axes, "spacing": 0.5, "unit": "um"}
    tifffile.imwrite(path, pixels, imagej=True, resolution=(5, 5), metadata=metadata)


def save_png(path: Path, pixels: np.ndarray) -> None:
    PIL.Image.fromarray(pixels).save(path)


def save_nifti(path: Path, pixels: np.ndarray) -> None:
    image = sitk.GetImageFromArray(pixels)
    image.SetSpacing((0.2, 0.2, 0.5)[: pixels.ndim])
    image.SetOrigin((1.0, 2.0, 3.0)[: pixels.ndim])
    sitk.WriteImage(image, str(path))


@pytest.fixture
def folders(tmp_path: Path, raw: Path) -> Callable[..., tuple[Path, Path]]:
    """Make folders of images and labels from one function that saves and one that names each kind."""

    def make(
        save: Saver,
        ending: str,
        image: Callable[[int], np.ndarray],
        label: Callable[[int], np.ndarray],
        number: int = 3,
        name: str = "data",
    ) -> tuple[Path, Path]:
        places = tmp_path / name / "images", tmp_path / name / "labels"
        for place, content in zip(places, (image, label), strict=True):
            place.mkdir(parents=True)
            for i in range(number):
                save(place / f"c{i}{ending}", content(i))
        return places

    return make


def run(images: Path, labels: Path | None, **options: object) -> Conversion:
    return convert(Instances(labels=labels, **options), images, 510)  # type: ignore[arg-type]


def names(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def nothing_written(raw: Path) -> bool:
    """Nothing but the list of what is wrong."""
    return {path.name for path in raw.rglob("*.*")} <= {"conversion_report.json"}


# --- what comes out -----------------------------------------------------------------------------


def test_png(folders, raw) -> None:
    images, labels = folders(save_png, ".png", lambda i: grey((40, 40), seed=i), lambda i: cells((40, 40)))
    result = run(images, labels)
    assert result.folder == raw / NAME
    assert names(result.folder) == sorted(
        ["conversion_report.json", "dataset.json", "splits_final.json"]
        + [f"{kind}/c{i}{rest}" for i in range(3) for kind, rest in (
            ("imagesTr", "_0000.png"), ("labelsTr", ".png"), ("instancesTr", ".tif")
        )]
    )  # fmt: skip
    np.testing.assert_array_equal(
        PIL.Image.open(result.folder / "imagesTr/c1_0000.png"), grey((40, 40), seed=1)
    )
    ids, spacing = read_instances(result.folder / "instancesTr/c0.tif")
    assert spacing is None
    assert ids.dtype == np.uint16
    expected = np.select([cells((40, 40)) == value for value in (7, 12, 30, 900)], [1, 2, 3, 4])
    np.testing.assert_array_equal(ids, expected)
    dataset = json.loads((result.folder / "dataset.json").read_text())
    assert dataset["labels"] == {"background": 0, "cell": 1, "touching": 2, "gap": 3}
    assert dataset["channel_names"] == {"0": "channel"}
    assert "overwrite_image_reader_writer" not in dataset


def test_classes(folders, raw) -> None:
    images, labels = folders(save_png, ".png", lambda i: grey((40, 40)), lambda i: cells((40, 40)))
    ids, maps = cells((40, 40)), {}
    for classes in (4, 3, 2):
        result = convert(Instances(labels=labels, classes=classes), images, 510, overwrite=True)
        maps[classes] = np.asarray(PIL.Image.open(result.folder / "labelsTr/c0.png"))
        assert list(json.loads((result.folder / "dataset.json").read_text())["labels"].values()) == list(
            range(classes)
        )
    near = touching(ids, 2)
    assert near.sum() == 40  # two columns of ten on both sides
    np.testing.assert_array_equal(maps[2], ids > 0)
    np.testing.assert_array_equal(maps[3], (ids > 0) + near.astype(int))
    np.testing.assert_array_equal(maps[4] % 3, maps[3])  # gap is background in it
    assert (maps[4][13:15, 3:11] == 3).all()  # between the boxes 4 voxels apart
    assert (maps[4][26:, :15] == 0).all()


def test_counts_of_the_report(folders, raw) -> None:
    images, labels = folders(save_png, ".png", lambda i: grey((40, 40)), lambda i: cells((40, 40)), 5)
    report = run(images, labels, classes=3, touching_radius=1).report
    near = int(touching(cells((40, 40)), 1).sum())
    assert near == 20
    assert report["instances"] == {"train": 20}
    assert report["classes"]["touching"]["voxels"] == {"train": 5 * near}
    assert report["cases"]["c0"]["instances"] == 4


def test_colours_stay_in_one_png(folders, raw) -> None:
    images, labels = folders(save_png, ".png", lambda i: grey((40, 40, 4)), lambda i: cells((40, 40)))
    result = run(images, labels)
    np.testing.assert_array_equal(
        PIL.Image.open(result.folder / "imagesTr/c0_0000.png"), grey((40, 40, 4))[..., :3]
    )
    dataset = json.loads((result.folder / "dataset.json").read_text())
    assert dataset["channel_names"] == {"0": "R", "1": "G", "2": "B"}
    alpha = [note["text"] for note in result.report["notes"] if note["kind"] == "alpha channel"]
    assert alpha == ["dropped from 3 files: c0.png, c1.png, c2.png"]


@pytest.mark.parametrize(
    ("shape", "dtype"), [((40, 40), "uint16"), ((2, 40, 40), "uint8"), ((3, 40, 40), ">u2")]
)
def test_what_png_cannot_hold_becomes_tif(folders, raw, shape, dtype) -> None:
    images, labels = folders(save_tif, ".tif", lambda i: grey(shape, dtype), lambda i: cells((40, 40)))
    result = run(images, labels)
    channels = grey(shape, dtype).reshape(-1, 40, 40)
    assert len(list((result.folder / "imagesTr").iterdir())) == 3 * len(channels)
    for number, channel in enumerate(channels):
        np.testing.assert_array_equal(
            tifffile.imread(result.folder / f"imagesTr/c0_{number:04d}.tif"), channel
        )


def test_stacks_carry_their_spacing(folders, raw) -> None:
    images, labels = folders(save_imagej, ".tif", lambda i: grey((6, 40, 40)), lambda i: cells((6, 40, 40)))
    folder = run(images, labels).folder
    for file in ("imagesTr/c0.json", "labelsTr/c0.json"):
        assert json.loads((folder / file).read_text())["spacing"] == pytest.approx([0.5, 0.2, 0.2])
    assert read_instances(folder / "instancesTr/c0.tif")[1] == pytest.approx((0.5, 0.2, 0.2))
    assert json.loads((folder / "dataset.json").read_text())["overwrite_image_reader_writer"] == "Tiff3DIO"


def test_labels_of_another_format(folders, raw) -> None:
    images, labels = folders(save_imagej, ".tif", lambda i: grey((6, 40, 40)), lambda i: cells((6, 40, 40)))
    for file in labels.iterdir():
        save_nifti(labels / f"{file.stem}_mask.nii.gz", cells((6, 40, 40)).astype(np.float32))
        file.unlink()
    result = run(images, labels)
    assert (result.folder / "labelsTr/c0.tif").exists()
    kinds = {note["kind"]: note["text"] for note in result.report["notes"]}
    assert kinds["labels stored as floating-point numbers"].endswith("c2_mask.nii.gz: float32")


def test_given_spacing_wins(folders, raw) -> None:
    images, labels = folders(save_imagej, ".tif", lambda i: grey((6, 40, 40)), lambda i: cells((6, 40, 40)))
    result = run(images, labels, spacing=(3.0, 1.0, 1.0))
    assert json.loads((result.folder / "imagesTr/c2.json").read_text())["spacing"] == [3, 1, 1]
    notes = [note["text"] for note in result.report["notes"] if note["kind"] == "spacing replaced"]
    assert notes == ["--spacing 3.0 1.0 1.0 instead of that stated in 3 files: c0.tif, c1.tif, c2.tif"]


def test_stacks_without_spacing(folders, raw) -> None:
    images, labels = folders(save_tif, ".tif", lambda i: grey((6, 40, 40)), lambda i: cells((6, 40, 40)))
    result = run(images, labels)
    assert json.loads((result.folder / "imagesTr/c0.json").read_text())["spacing"] == [1, 1, 1]
    assert read_instances(result.folder / "instancesTr/c0.tif")[1] is None
    assert "no spacing" in {note["kind"] for note in result.report["notes"]}


def test_physical_radii(folders, raw) -> None:
    images, labels = folders(
        save_imagej, ".tif", lambda i: grey((6, 40, 40)), lambda i: cells((6, 40, 40)), number=1
    )
    physical = run(images, labels, classes=3, physical_radii=True, touching_radius=0.4)  # 2 voxels of 0.2
    label = tifffile.imread(physical.folder / "labelsTr/c0.tif")
    np.testing.assert_array_equal(label == 2, np.stack([touching(cells((40, 40)), 2)] * 6))


def test_split_components(folders, raw) -> None:
    images, labels = folders(
        save_png, ".png", lambda i: grey((40, 40)), lambda i: (cells((40, 40)) > 0).astype(np.uint8)
    )
    report = run(images, labels).report
    assert report["instances"] == {"train": 3}
    notes = {note["kind"]: note["text"] for note in report["notes"]}
    assert notes["a single instance"].endswith("one id in 3 pieces. A mask of all cells? --split-components")
    split = convert(Instances(labels=labels, split_components=True), images, 510, overwrite=True).report
    assert split["instances"] == {"train": 9}
    assert "a single instance" not in {note["kind"] for note in split["notes"]}


def test_ids_beyond_16_bits(folders, raw) -> None:
    images, labels = folders(
        save_tif, ".tif", lambda i: grey((40, 40)), lambda i: cells((40, 40), "uint32") * 100_000
    )
    ids, _ = read_instances(run(images, labels).folder / "instancesTr/c0.tif")
    assert (ids.dtype, ids.max()) == (np.uint16, 4)


def test_images_and_labels_in_one_folder(tmp_path, raw) -> None:
    for i in range(3):
        save_png(tmp_path / f"c{i}.png", grey((40, 40)))
        save_png(tmp_path / f"c{i}_cp_masks.png", cells((40, 40)))
    assert run(tmp_path, tmp_path).report["counts"]["train"] == 3


def test_channels_in_several_files(tmp_path, raw) -> None:
    (tmp_path / "labels").mkdir()
    (tmp_path / "images").mkdir()
    (tmp_path / "new").mkdir()
    for i in range(2):
        save_png(tmp_path / f"labels/c{i}.png", cells((40, 40)))
        for channel in range(2):
            for seed, place in enumerate(("images", "new")):
                save_png(
                    tmp_path / place / f"c{i}_{channel:04d}.png", grey((40, 40), seed=channel + 2 * seed)
                )
    folder = run(tmp_path / "images", tmp_path / "labels", test=(tmp_path / "new",)).folder
    for number in range(2):
        for seed, file in enumerate((f"imagesTr/c0_{number:04d}.tif", f"imagesTs/test_c1_{number:04d}.tif")):
            np.testing.assert_array_equal(
                tifffile.imread(folder / file), grey((40, 40), seed=number + 2 * seed)
            )


def test_constant_and_empty_images_are_noted(folders, raw) -> None:
    images, labels = folders(
        save_png,
        ".png",
        lambda i: np.full((40, 40), 9, np.uint8) if i == 1 else grey((40, 40)),
        lambda i: cells((40, 40)) * (i != 2),
    )
    notes = {note["kind"]: note["text"] for note in run(images, labels).report["notes"]}
    assert notes["images of one grey value"] == "c1.png: channel 0"
    assert notes["empty masks"].endswith("labels/c2.png: no foreground")


def test_names_become_case_ids(tmp_path, raw) -> None:
    for place in ("images", "labels"):
        (tmp_path / place).mkdir()
        pixels = grey((40, 40)) if place == "images" else cells((40, 40)).astype(np.uint8)
        save_png(tmp_path / place / "cell 1 (a).png", pixels)
    assert list(run(tmp_path / "images", tmp_path / "labels").report["cases"]) == ["cell_1_a_"]


# --- test images --------------------------------------------------------------------------------


def test_test_images_with_and_without_labels(folders, raw) -> None:
    images, labels = folders(save_png, ".png", lambda i: grey((40, 40)), lambda i: cells((40, 40)))
    new, truth = folders(
        save_png, ".png", lambda i: grey((40, 40), seed=9 + i), lambda i: cells((40, 40)), 2, "new"
    )
    for file in (*new.iterdir(), *truth.iterdir()):
        file.rename(file.with_name(f"n{file.name}"))
    folder = run(images, labels, test=(new,)).folder
    assert sorted(p.name for p in (folder / "imagesTs").iterdir()) == ["nc0_0000.png", "nc1_0000.png"]
    assert not (folder / "labelsTs").exists()
    result = run(images, labels, test=(new, truth))
    assert (result.converted, result.kept) == (2, 3)
    assert sorted(p.name for p in (folder / "instancesTs").iterdir()) == ["nc0.tif", "nc1.tif"]
    assert sorted(p.name for p in (folder / "labelsTs").iterdir()) == ["nc0.png", "nc1.png"]
    assert result.report["instances"] == {"train": 12, "test": 8}
    assert json.loads((folder / "dataset.json").read_text())["numTraining"] == 3


def test_new_images_can_be_added_to_predict(folders, raw) -> None:
    images, labels = folders(save_png, ".png", lambda i: grey((40, 40)), lambda i: cells((40, 40)))
    new, _ = folders(
        save_png, ".png", lambda i: grey((40, 40), seed=9 + i), lambda i: cells((40, 40)), 2, "new"
    )
    run(images, labels)
    result = run(images, labels, test=(new,))
    assert (result.converted, result.kept) == (2, 3)
    assert json.loads((result.folder / "dataset.json").read_text())["numTraining"] == 3
    assert run(images, labels).nothing_to_do  # the test images stay
    assert len(list((result.folder / "imagesTs").iterdir())) == 2


def test_test_images_of_the_same_name_get_another_id(folders, raw) -> None:
    images, labels = folders(save_png, ".png", lambda i: grey((40, 40)), lambda i: cells((40, 40)))
    new, _ = folders(
        save_png, ".png", lambda i: grey((40, 40), seed=9 + i), lambda i: cells((40, 40)), name="new"
    )
    folder = run(images, labels, test=(new, labels)).folder
    assert sorted(p.name for p in (folder / "imagesTs").iterdir()) == [
        f"test_c{i}_0000.png" for i in range(3)
    ]


# --- few cases ----------------------------------------------------------------------------------


def test_few_cases_and_then_more(folders, raw) -> None:
    images, labels = folders(save_png, ".png", lambda i: grey((40, 40)), lambda i: cells((40, 40)))
    result = run(images, labels)
    installed = raw.parent / "preprocessed" / NAME / "splits_final.json"
    assert [fold["val"] for fold in json.loads(installed.read_text())] == [["c0"], ["c1"], ["c2"]]
    assert "few training cases" in {note["kind"] for note in result.report["notes"]}

    def add(number: int) -> None:
        save_png(images / f"c{number}.png", grey((40, 40)))
        save_png(labels / f"c{number}.png", cells((40, 40)))

    add(3)
    assert run(images, labels).converted == 1  # our own split is replaced without a question
    assert len(json.loads(installed.read_text())) == 4
    add(4)
    result = run(images, labels)
    assert not installed.exists()  # nnU-Net makes five folds itself
    assert not (result.folder / "splits_final.json").exists()
    assert run(images, labels).nothing_to_do


def test_a_single_case(folders, raw) -> None:
    images, labels = folders(save_png, ".png", lambda i: grey((40, 40)), lambda i: cells((40, 40)), 1)
    result = run(images, labels)
    assert json.loads((result.folder / "splits_final.json").read_text()) == [{"train": ["c0"], "val": ["c0"]}]
    text = next(note["text"] for note in result.report["notes"] if note["kind"] == "few training cases")
    assert text == "1 training case: it is also the validation case (fold 0), whose scores will be too good"


# --- resume -------------------------------------------------------------------------------------


def test_interrupted_run_continues(folders, raw) -> None:
    images, labels = folders(save_imagej, ".tif", lambda i: grey((6, 40, 40)), lambda i: cells((6, 40, 40)))
    whole = convert(Instances(labels=labels), images, 509).folder
    expected = {name: (whole / name).read_bytes() for name in names(whole) if not name.endswith("t.json")}

    def stop(items, total, description):  # type: ignore[no-untyped-def]
        for count, item in enumerate(items):
            if description.startswith("Converting") and count == 1:
                raise KeyboardInterrupt
            yield item

    with pytest.raises(KeyboardInterrupt):
        convert(Instances(labels=labels), images, 510, progress=stop)
    assert not (raw / NAME / "dataset.json").exists()
    result = run(images, labels)
    assert (result.converted, result.kept) == (1, 2)
    for name, content in expected.items():
        assert (result.folder / name).read_bytes() == content
    (result.folder / "instancesTr/c1.tif").unlink()
    (result.folder / "labelsTr/c2.json").unlink()
    assert run(images, labels).converted == 2
    assert run(images, labels).nothing_to_do


def test_a_changed_spacing_file_is_seen(folders, raw) -> None:
    images, labels = folders(save_tif, ".tif", lambda i: grey((6, 40, 40)), lambda i: cells((6, 40, 40)))
    for i in range(3):
        (images / f"c{i}.json").write_text('{"spacing": [2, 1, 1]}')
    assert not [n for n in run(images, labels).report["notes"] if n["kind"] == "files of no case"]
    (images / "c1.json").write_text('{"spacing": [3, 1, 1]}')
    result = run(images, labels)
    assert result.converted == 1
    assert json.loads((result.folder / "labelsTr/c1.json").read_text()) == {"spacing": [3, 1, 1]}


def test_two_processes_equal_one(folders, raw) -> None:
    images, labels = folders(save_imagej, ".tif", lambda i: grey((6, 40, 40)), lambda i: cells((6, 40, 40)))
    one = convert(Instances(labels=labels), images, 510).folder
    two = convert(Instances(labels=labels), images, 511, processes=2).folder
    for name in names(one):
        if "/" in name:
            assert (one / name).read_bytes() == (two / name).read_bytes()


# --- refusals, before anything is written -------------------------------------------------------


def refused(raw: Path, images: Path, labels: Path | None, **options: object) -> str:
    with pytest.raises(UserError) as caught:
        run(images, labels, **options)
    assert nothing_written(raw)
    return str(caught.value)


def test_all_wrong_files_are_listed(folders, raw) -> None:
    images, labels = folders(save_tif, ".tif", lambda i: grey((40, 40)), lambda i: cells((40, 40)), 8)
    save_tif(labels / "c0.tif", cells((40, 40)).astype(np.int16) - 1)
    save_tif(labels / "c1.tif", cells((40, 40)).astype(np.float32) / 2)
    save_tif(labels / "c2.tif", cells((40, 44)))
    tifffile.imwrite(labels / "c3.tif", np.zeros((40, 40, 3), np.uint8), photometric="rgb")
    save_tif(labels / "c4.tif", cells((40, 40)).astype(np.uint64) * 2**40)
    save_tif(images / "c5.tif", grey((40, 40)).astype(np.complex64))
    with pytest.warns(UserWarning, match="zero-size"):
        save_tif(images / "c6.tif", np.zeros((0, 40), np.uint8))
    text = refused(raw, images, labels)
    assert text.splitlines()[0] == f"7 cases in {images} cannot be converted:"
    assert text.splitlines()[-1] == "Nothing was converted."
    for line in (
        f"  {labels / 'c0.tif'}: holds -1, but instance ids are whole numbers from 0",
        f"  {labels / 'c1.tif'}: holds 3.5, but instance ids are whole numbers from 0.",
        f"  {labels / 'c2.tif'}: the labels are 40x44, the image c2.tif 40x40",
        f"  {labels / 'c3.tif'}: labels of one channel are expected, found 3",
        "  c5.tif: pixels are complex64, but real numbers are expected",
        "  c6.tif: the image is empty, its shape is (0, 40).",
    ):
        assert line in text.splitlines()
    assert f"{labels / 'c4.tif'}: holds 989560464998400, but instance ids end at 4294967295 (32 bits)" in text


def test_damaged_tifs_are_listed(folders, raw) -> None:
    stack, ids = grey((6, 40, 40)), cells((6, 40, 40))
    images, labels = folders(save_imagej, ".tif", lambda i: stack, lambda i: ids, 4)
    whole = (images / "c0.tif").read_bytes()
    (images / "c0.tif").write_bytes(whole[: len(whole) // 2])
    (labels / "c1.tif").write_bytes(whole[: 3 * len(whole) // 4])
    description = "ImageJ=1.54f\nimages=6\nslices=6\n"
    tifffile.imwrite(images / "c2.tif", stack[:2], description=description, metadata=None)
    text = refused(raw, images, labels)
    assert text.splitlines()[0] == f"3 cases in {images} cannot be converted:"
    assert "  c0.tif: holds 3 of 6 slices or channels. " in text
    assert f"  {labels / 'c1.tif'}: holds 4 of 6 slices or channels. " in text
    assert "  c2.tif: holds 2 of 6 slices or channels. " in text


def test_each_axis_has_its_own_unit(folders, raw) -> None:
    def save(path: Path, pixels: np.ndarray) -> None:
        metadata = {"axes": "ZYX", "unit": "micron", "zunit": "nm", "spacing": 300}
        tifffile.imwrite(path, pixels, imagej=True, resolution=(5, 5), metadata=metadata)

    images, labels = folders(save, ".tif", lambda i: grey((6, 40, 40)), lambda i: cells((6, 40, 40)))
    result = run(images, labels)
    spacing = json.loads((result.folder / "imagesTr/c1.json").read_text())["spacing"]
    assert spacing == pytest.approx([0.3, 0.2, 0.2])


def test_an_unknown_unit_needs_a_given_spacing(folders, raw) -> None:
    def save(path: Path, pixels: np.ndarray) -> None:
        metadata = {"axes": "ZYX", "unit": "furlong", "spacing": 0.3}
        tifffile.imwrite(path, pixels, imagej=True, resolution=(5, 5), metadata=metadata)

    images, labels = folders(save, ".tif", lambda i: grey((6, 40, 40)), lambda i: cells((6, 40, 40)))
    assert "c0.tif: the spacing along z is 0.3 in an unknown unit, 'furlong'" in refused(raw, images, labels)
    result = run(images, labels, spacing=(0.3, 0.2, 0.2))
    assert json.loads((result.folder / "imagesTr/c1.json").read_text())["spacing"] == [0.3, 0.2, 0.2]


def test_a_fourth_channel_that_is_no_alpha_is_a_channel(folders, raw) -> None:
    def save(path: Path, pixels: np.ndarray) -> None:
        how = {"photometric": "rgb", "extrasamples": ["unspecified"]} if pixels.ndim == 3 else {}
        tifffile.imwrite(path, pixels, **how)

    images, labels = folders(save, ".tif", lambda i: grey((40, 40, 4)), lambda i: cells((40, 40)))
    result = run(images, labels)
    assert len(list(result.folder.glob("imagesTr/c0_000?.tif"))) == 4
    assert not [note for note in result.report["notes"] if note["kind"] == "alpha channel"]


def test_image_without_label(folders, raw) -> None:
    images, labels = folders(save_png, ".png", lambda i: grey((40, 40)), lambda i: cells((40, 40)))
    (labels / "c1.png").unlink()
    assert f"{images / 'c1.png'}: has no label" in refused(raw, images, labels)
    assert "where are its labels? Give their folder with -l" in refused(raw, images, None)


def test_flat_images_and_stacks_are_not_mixed(folders, raw) -> None:
    images, labels = folders(
        save_tif, ".tif", lambda i: grey((6, 40, 40)[i > 0 :]), lambda i: cells((6, 40, 40)[i > 0 :])
    )
    text = refused(raw, images, labels)
    assert "2D and 3D images are mixed" in text
    assert f"  3D: 1, {images / 'c0.tif'}" in text
    assert f"  2D: 2, {images / 'c1.tif'}, {images / 'c2.tif'}" in text


def test_numbers_of_channels_are_not_mixed(folders, raw) -> None:
    images, labels = folders(
        save_png, ".png", lambda i: grey((40, 40, 3) if i else (40, 40)), lambda i: cells((40, 40))
    )
    text = refused(raw, images, labels)
    assert "Numbers of channels are mixed" in text
    assert f"  1 channel(s): 1, {images / 'c0.png'}" in text


def test_nifti_is_not_mixed_with_others(folders, raw) -> None:
    images, labels = folders(save_imagej, ".tif", lambda i: grey((6, 40, 40)), lambda i: cells((6, 40, 40)))
    (images / "c0.tif").unlink()
    save_nifti(images / "c0.nii.gz", grey((6, 40, 40)))
    assert "NIfTI and other formats are mixed" in refused(raw, images, labels)


def test_physical_radii_need_a_spacing(folders, raw) -> None:
    images, labels = folders(save_tif, ".tif", lambda i: grey((6, 40, 40)), lambda i: cells((6, 40, 40)))
    radii = {"physical_radii": True, "touching_radius": 0.4, "gap_radius": 1.0}
    text = refused(raw, images, labels, **radii)
    assert "3 of 3 images state no spacing" in text
    assert str(images / "c0.tif") in text
    assert "--spacing" in text
    assert run(images, labels, spacing=(0.5, 0.2, 0.2), **radii).converted == 3


def test_spacing_may_come_from_the_labels(folders, raw) -> None:
    images, labels = folders(save_tif, ".tif", lambda i: grey((6, 40, 40)), lambda i: cells((6, 40, 40)), 1)
    (labels / "c0.tif").unlink()
    sitk.WriteImage(sitk.GetImageFromArray(cells((6, 40, 40))), str(labels / "c0.nii.gz"))
    radii = {"classes": 3, "physical_radii": True, "touching_radius": 0.4}
    assert "1 of 1 images state no spacing" in refused(raw, images, labels, **radii)  # 1, 1, 1 says nothing
    save_nifti(labels / "c0.nii.gz", cells((6, 40, 40)))
    folder = run(images, labels, **radii).folder
    assert read_instances(folder / "instancesTr/c0.tif")[1] == pytest.approx((0.5, 0.2, 0.2))


def test_physical_radii_have_no_default() -> None:
    with pytest.raises(UserError, match="needs --touching-radius and --gap-radius"):
        Instances(physical_radii=True)
    with pytest.raises(UserError, match="needs --gap-radius, in"):
        Instances(physical_radii=True, touching_radius=0.4)
    Instances(physical_radii=True, touching_radius=0.4, classes=3)


def test_some_stacks_without_spacing_are_refused(folders, raw) -> None:
    images, labels = folders(save_tif, ".tif", lambda i: grey((6, 40, 40)), lambda i: cells((6, 40, 40)))
    save_imagej(images / "c0.tif", grey((6, 40, 40)))
    assert f"2 of 3 images state no spacing: {images / 'c1.tif'}" in refused(raw, images, labels)


@pytest.mark.parametrize("spacing", [(0.2, 0.2), (0.5, 0.2, 0.2, 1.0)])
def test_spacing_of_the_wrong_length(folders, raw, spacing) -> None:
    images, labels = folders(save_tif, ".tif", lambda i: grey((6, 40, 40)), lambda i: cells((6, 40, 40)))
    assert "but the images are 3D: give z y x" in refused(raw, images, labels, spacing=spacing)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"spacing": (0.0, 1.0)}, "--spacing 0.0 1.0 is not possible"),
        ({"spacing": (float("nan"),)}, "--spacing nan is not possible"),
        ({"touching_radius": -1.0}, "--touching-radius -1.0 is not possible"),
        ({"classes": 5}, "has no classes '5'. Choose from: 4, 3, 2"),
        ({"test": (Path("a"), Path("b"), Path("c"))}, "--test takes a folder of images and one of labels"),
    ],
)
def test_impossible_options(options, said) -> None:
    with pytest.raises(UserError, match=said):
        Instances(**options)


def test_missing_folders(tmp_path, folders, raw) -> None:
    images, labels = folders(save_png, ".png", lambda i: grey((40, 40)), lambda i: cells((40, 40)))
    nowhere = tmp_path / "nowhere"
    assert f"{nowhere} does not exist" in refused(raw, nowhere, labels)
    assert f"{nowhere} does not exist" in refused(raw, images, nowhere)
    assert f"{nowhere} does not exist" in refused(raw, images, labels, test=(nowhere,))
    assert "is a file" in refused(raw, images / "c0.png", labels)
    nowhere.mkdir()
    assert f"{nowhere} holds no images" in refused(raw, images, labels, test=(nowhere,))
    assert "No training cases of Instances were found" in refused(raw, nowhere, nowhere)


def test_not_a_number_is_refused_by_file(folders, raw) -> None:
    def image(i: int) -> np.ndarray:
        return np.where(i == 1, np.nan, grey((40, 40))).astype(np.float32)

    images, labels = folders(save_tif, ".tif", image, lambda i: cells((40, 40)))
    with pytest.raises(UserError, match=r"c1.tif: holds values that are not finite"):
        run(images, labels)
    assert not (raw / NAME / "dataset.json").exists()


def test_labels_turned_against_their_image(folders, raw) -> None:
    images, labels = folders(save_nifti, ".nii.gz", lambda i: grey((6, 40, 40)), lambda i: cells((6, 40, 40)))
    turned = sitk.ReadImage(str(labels / "c1.nii.gz"))
    turned.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    sitk.WriteImage(turned, str(labels / "c1.nii.gz"))
    assert f"{labels / 'c1.nii.gz'}: its axes point elsewhere than those of" in refused(raw, images, labels)


# --- HDF5 ---------------------------------------------------------------------------------------


@pytest.fixture
def h5_folder(tmp_path: Path, raw: Path) -> Path:
    h5py = pytest.importorskip("h5py")
    for place, number in (("h5", 3), ("new", 2)):
        (tmp_path / place).mkdir()
        for i in range(number):
            with h5py.File(tmp_path / place / f"{place}{i}.h5", "w") as file:
                file["raw"] = grey((6, 40, 40), seed=i if place == "h5" else 9 + i)
                file["raw"].attrs["element_size_um"] = (0.5, 0.2, 0.2)
                if place == "h5" or i:
                    file["label"] = cells((6, 40, 40))
    return tmp_path / "h5"


def test_h5_holds_both(h5_folder, raw) -> None:
    result = run(h5_folder, None, test=(h5_folder.parent / "new",))
    assert result.report["counts"] == {"train": 3, "val": 0, "test": 2}
    assert sorted(p.name for p in (result.folder / "labelsTs").iterdir()) == ["new1.json", "new1.tif"]
    assert json.loads((result.folder / "imagesTs/new0.json").read_text())["spacing"] == [0.5, 0.2, 0.2]
    np.testing.assert_array_equal(
        tifffile.imread(result.folder / "imagesTr/h51_0000.tif"), grey((6, 40, 40), seed=1)
    )


def test_h5_without_the_key(h5_folder, raw) -> None:
    text = refused(raw, h5_folder, None, image_key="volume")
    assert "h50.h5: has no dataset 'volume'. Datasets there: 'label' (6, 40, 40), 'raw' (6, 40, 40)." in text
    assert "has no dataset 'mask'" in refused(raw, h5_folder, None, label_key="mask")


def test_without_h5py(h5_folder, raw, monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    text = refused(raw, h5_folder, None)
    assert text == "HDF5 files need h5py, which is not installed: pip install 'nnunet-ext[h5]'"


# --- partly annotated -----------------------------------------------------------------------------


@dataclass(frozen=True)
class PartlyAnnotated(Instances):
    """Stacks of which nobody has labelled the slices without a label."""

    name = "Partly"

    def has_ignore(self, cases: Sequence[Case]) -> bool:
        return True

    def ignored(self, case: Case, ids: Ids) -> np.ndarray:
        unknown = np.ones(ids.shape, bool)
        unknown[3] = False
        unknown[:, :5, :5] = True
        return unknown


def test_what_nobody_annotated_is_ignored(folders, raw, accept) -> None:
    def labels(i: int) -> np.ndarray:
        stack = cells((6, 40, 40))
        stack[[0, 1, 2, 4, 5]] = 0
        stack[5, 20, 20] = 9  # wins over ignore
        return stack

    images, folder = folders(save_tif, ".tif", lambda i: grey((6, 40, 40), seed=i), labels)
    result = convert(PartlyAnnotated(labels=folder, spacing=(1, 1, 1)), images, 510)
    content = json.loads((result.folder / "dataset.json").read_text())
    assert content["labels"] == {"background": 0, "cell": 1, "touching": 2, "gap": 3, "ignore": 4}
    label = tifffile.imread(result.folder / "labelsTr/c0.tif")
    assert (label[[0, 1, 2, 4]] == 4).all()
    assert np.count_nonzero(label[5] != 4) == 1
    assert (label[3] != 4)[5:, 5:].all()
    ids = read_instances(result.folder / "instancesTr/c0.tif")[0]
    np.testing.assert_array_equal(np.isin(label, (1, 2)), ids > 0)
    assert result.report["classes"]["ignore"]["voxels"]["train"] == 3 * np.count_nonzero(label == 4)
    accept(result.folder)


# --- nnU-Net's own readers ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("save", "ending", "image_shape", "label_shape", "dtype", "spacing"),
    [
        (save_png, ".png", (40, 40), (40, 40), "uint8", (999, 1, 1)),
        (save_png, ".png", (40, 40, 3), (40, 40), "uint8", (999, 1, 1)),
        (save_tif, ".tif", (2, 40, 40), (40, 40), "uint16", (999, 1, 1)),
        (save_imagej, ".tif", (6, 40, 40), (6, 40, 40), "uint8", (0.5, 0.2, 0.2)),
        (save_imagej, ".tif", (3, 40, 40), (3, 40, 40), "uint8", (0.5, 0.2, 0.2)),
        (save_imagej, ".tif", (6, 2, 40, 40), (6, 40, 40), "uint16", (0.5, 0.2, 0.2)),
        (save_nifti, ".nii.gz", (6, 40, 40), (6, 40, 40), "int16", (0.5, 0.2, 0.2)),
        (save_nifti, ".nii.gz", (40, 40), (40, 40), "uint8", None),
    ],
)
def test_nnunet_reads_it_back(
    folders, raw, capsys, save, ending, image_shape, label_shape, dtype, spacing
) -> None:
    registry = pytest.importorskip("nnunetv2.imageio.reader_writer_registry")
    images, labels = folders(
        save, ending, lambda i: grey(image_shape, dtype), lambda i: cells(label_shape), 1
    )
    folder = run(images, labels).folder
    dataset = json.loads((folder / "dataset.json").read_text())
    image_files = sorted(str(p) for p in (folder / "imagesTr").iterdir() if p.suffix != ".json")
    reader = registry.determine_reader_writer_from_dataset_json(dataset, image_files[0])()
    pixels, properties = reader.read_images(image_files)
    segmentation, label_properties = reader.read_seg(str(folder / f"labelsTr/c0{dataset['file_ending']}"))

    channels = grey(image_shape, dtype)
    if save is save_png and channels.ndim == 3:
        channels = channels.transpose(2, 0, 1)
    elif channels.ndim == 4:
        channels = channels.transpose(1, 0, 2, 3)
    np.testing.assert_array_equal(pixels.reshape(channels.shape), channels)
    np.testing.assert_array_equal(segmentation.reshape(label_shape) % 3 > 0, cells(label_shape) > 0)
    assert pixels.shape[1:] == segmentation.shape[1:]
    for found in (properties, label_properties):
        if spacing:
            assert found["spacing"] == pytest.approx(spacing)
    if ending == ".nii.gz":
        assert properties["sitk_stuff"] == label_properties["sitk_stuff"]
        assert properties["sitk_stuff"]["origin"] == pytest.approx((1, 2, 3)[: len(image_shape)])
    assert "WARNING" not in capsys.readouterr().out


def test_instances_without_a_core_are_counted_and_named(folders, raw, capsys) -> None:
    ids = np.zeros((40, 40), np.uint16)
    ids[1:10, 1:10] = 5
    ids[20:22, 20:22] = [[1, 2], [3, 4]]  # four single pixels: one of them can have a core
    images, labels = folders(save_tif, ".tif", lambda i: grey((40, 40), seed=i), lambda i: ids)
    conversion = run(images, labels)
    report = conversion.report
    assert report["instances_without_core"] == {"train": 9}
    assert report["cases"]["c1"]["without_core"] == 3
    _, note, _ = (note["text"] for note in report["notes"] if note["kind"] == WITHOUT_CORE)
    assert "c1.tif: 3 of 5 instances" in note
    assert "no smaller --touching-radius keeps more" in note
    print_conversion(conversion)
    assert "instances without a core" in capsys.readouterr().out
    written = json.loads((raw / NAME / "dataset.json").read_text())
    assert written["touching_radius"] == {"radius": 2.0, "unit": "voxels"}


def test_instances_that_touch_are_counted_in_a_single_class(folders) -> None:
    images, labels = folders(save_tif, ".tif", lambda i: grey((40, 40), seed=i), lambda i: cells((40, 40)))
    notes = run(images, labels, classes=2).report["notes"]
    merged = [note["text"] for note in notes if note["kind"] == MERGED]
    assert len(merged) == 3
    assert "4 instances are 3 connected pieces" in merged[0]


def test_smaller_radii() -> None:
    assert smaller_radii(2.5, (1.0, 1.0)) == [2.0, 1.0, 0.0]
    assert smaller_radii(0.6, (0.5, 0.2)) == pytest.approx([0.4, 0.2, 0.0])
    assert smaller_radii(0, (1.0, 1.0)) == []
    assert smaller_radii(10, (1.0, 1.0)) == [9.0, 6.0, 3.0, 0.0]
