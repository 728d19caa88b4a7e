"""Image and labels that do not lie on the same voxels: refused, or the image counts and that is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
import tifffile

from nnunet_ext.dataset_conversion import UserError
from nnunet_ext.dataset_conversion.engine.run import convert
from nnunet_ext.dataset_conversion.instances import Instances

SHAPE = (6, 24, 24)


def ids() -> np.ndarray:
    labels = np.zeros(SHAPE, np.uint16)
    labels[:, 2:10, 2:10], labels[:, 12:20, 2:10] = 1, 2
    return labels


def grey(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 200, SHAPE).astype(np.uint16)


def save_nifti(
    path: Path,
    pixels: np.ndarray,
    spacing: tuple[float, ...] = (0.2, 0.2, 0.5),
    origin: tuple[float, ...] = (1.0, 2.0, 3.0),
    turned: bool = False,
) -> None:
    image = sitk.GetImageFromArray(pixels)
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    if turned:
        image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    sitk.WriteImage(image, str(path))


def save_tif(path: Path, pixels: np.ndarray, step: float | None = None, unit: str = "um") -> None:
    if step is None:
        tifffile.imwrite(path, pixels, photometric="minisblack")
        return
    metadata = {"axes": "ZYX", "spacing": step, "unit": unit}
    tifffile.imwrite(path, pixels, imagej=True, resolution=(1 / step, 1 / step), metadata=metadata)


@pytest.fixture
def places(tmp_path: Path, raw: Path) -> tuple[Path, Path]:
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    return tmp_path / "images", tmp_path / "labels"


def notes(images: Path, labels: Path) -> dict[str, str]:
    report = convert(Instances(labels=labels), images, 510).report
    return {note["kind"]: note["text"] for note in report["notes"] if note["kind"] != "few training cases"}


def refused(images: Path, labels: Path, raw: Path) -> str:
    with pytest.raises(UserError) as caught:
        convert(Instances(labels=labels), images, 510)
    assert {path.name for path in raw.rglob("*.*")} <= {"conversion_report.json"}
    return str(caught.value)


def test_the_same_grid_is_nothing_to_say(places) -> None:
    images, labels = places
    save_nifti(images / "a.nii.gz", grey())
    save_nifti(labels / "a.nii.gz", ids(), origin=(1.01, 2.0, 3.0))  # a twentieth of a voxel: rounding
    assert notes(images, labels) == {}


def test_another_origin_is_refused(places, raw) -> None:
    images, labels = places
    for name in "ab":
        save_nifti(images / f"{name}.nii.gz", grey())
        save_nifti(labels / f"{name}.nii.gz", ids(), origin=(1.0, 2.0, 3.0 + 0.5 * (name == "b")))
    text = refused(images, labels, raw)
    assert f"{labels / 'b.nii.gz'}: its first voxel lies elsewhere than that of b.nii.gz: " in text
    assert "origin 1 x 2 x 3 against 1 x 2 x 3.5" in text
    assert "a.nii.gz: its first" not in text


def test_an_origin_that_was_lost_is_noted(places) -> None:
    images, labels = places
    save_nifti(images / "a.nii.gz", grey())
    save_nifti(labels / "a.nii.gz", ids(), origin=(0, 0, 0))
    found = notes(images, labels)
    assert found == {
        "position of the labels": f"the image's is taken, the origin is 0 in 1 file: {labels / 'a.nii.gz'}"
    }


def forget_place(file: Path) -> None:
    """Save a NIfTI file again with neither sform nor qform, nor a spacing."""
    image = nibabel.Nifti1Image(np.asarray(nibabel.load(file).dataobj), None)
    assert (int(image.header["sform_code"]), int(image.header["qform_code"])) == (0, 0)
    nibabel.save(image, file)


@pytest.mark.parametrize("shape", [SHAPE, SHAPE[1:]])
def test_labels_that_do_not_say_where_they_lie_get_the_grid_of_the_image(places, shape) -> None:
    images, labels = places
    step = (0.2, 0.2, 0.5)[: len(shape)]
    save_nifti(
        images / "a.nii.gz",
        grey()[: shape[0]] if len(shape) == 3 else grey()[0],
        step,
        (1.0, 2.0, 3.0)[: len(shape)],
    )
    save_nifti(labels / "a.nii.gz", ids() if len(shape) == 3 else ids()[0], step, (0,) * len(shape))
    forget_place(labels / "a.nii.gz")
    found = notes(images, labels)
    said = "they are taken to lie on the voxels of the image; neither sform nor qform says so in 1 file"
    assert found == {"labels without a position": f"{said}: {labels / 'a.nii.gz'}"}


def test_labels_without_a_place_are_written_with_that_of_the_image(places, raw) -> None:
    images, labels = places
    save_nifti(images / "a.nii.gz", grey())
    save_nifti(labels / "a.nii.gz", ids())
    forget_place(labels / "a.nii.gz")
    notes(images, labels)
    made = sitk.ReadImage(str(next(raw.rglob("labelsTr/a.nii.gz"))))
    assert made.GetOrigin() == pytest.approx((1, 2, 3))
    assert made.GetSpacing() == pytest.approx((0.2, 0.2, 0.5))
    assert (sitk.GetArrayFromImage(made)[ids() > 0] > 0).all()


def test_labels_without_a_place_of_another_shape_are_refused(places, raw) -> None:
    images, labels = places
    save_nifti(images / "a.nii.gz", grey())
    save_nifti(labels / "a.nii.gz", ids()[:, :, :20])
    forget_place(labels / "a.nii.gz")
    assert f"{labels / 'a.nii.gz'}: the labels are " in refused(images, labels, raw)


def test_an_image_that_does_not_say_where_it_lies(places) -> None:
    images, labels = places
    save_nifti(images / "a.nii.gz", grey())
    save_nifti(labels / "a.nii.gz", ids())
    forget_place(images / "a.nii.gz")
    found = notes(images, labels)
    assert set(found) == {"images without a position", "spacing of image and labels"}
    assert found["images without a position"].endswith("neither sform nor qform is in 1 file: a.nii.gz")


def test_another_direction_is_refused(places, raw) -> None:
    images, labels = places
    save_nifti(images / "a.nii.gz", grey())
    save_nifti(labels / "a.nii.gz", ids(), turned=True)
    assert "a.nii.gz: its axes point elsewhere than those of" in refused(images, labels, raw)


def test_another_spacing_is_noted(places) -> None:
    images, labels = places
    save_nifti(images / "a.nii.gz", grey())
    save_nifti(labels / "a.nii.gz", ids(), spacing=(0.2, 0.2, 1.0))
    found = notes(images, labels)
    said = f"that of the image is taken, another one is stated in 1 file: {labels / 'a.nii.gz'}"
    assert found == {"spacing of image and labels": said}


@pytest.mark.parametrize(
    ("image", "label", "kind"),
    [
        ((0.5, "um"), (0.5, "um"), None),
        ((0.5, "um"), (500, "nm"), None),
        ((0.5, "um"), (0.5, "mm"), "spacing of image and labels"),
        ((0.5, "um"), (0.25, "um"), "spacing of image and labels"),
        ((0.5, "um"), (0.5, "pixel"), "labels without spacing"),
        ((0.5, "um"), (None, ""), "labels without spacing"),
        ((None, ""), (0.5, "um"), "spacing of the labels"),
    ],
)
def test_units_of_tifs(places, image, label, kind) -> None:
    images, labels = places
    save_tif(images / "a.tif", grey(), *image)
    save_tif(labels / "a.tif", ids(), *label)
    found = notes(images, labels)
    assert set(found) == ({kind} if kind else set())
    assert all(str(labels / "a.tif") in text for text in found.values())


def test_a_spacing_that_is_given_needs_no_words_about_the_labels(places) -> None:
    images, labels = places
    save_tif(images / "a.tif", grey(), 0.5)
    save_tif(labels / "a.tif", ids())
    report = convert(Instances(labels=labels, spacing=(0.5, 0.5, 0.5)), images, 510).report
    assert {note["kind"] for note in report["notes"]} == {"few training cases"}


Save = Callable[[Path, int], None]


@pytest.mark.parametrize(
    ("ending", "save", "said"),
    [
        (".nii.gz", lambda path, i: save_nifti(path, grey(i), origin=(1, 2, 3 + i)), "origin 1 x 2 x 4"),
        (".nii.gz", lambda path, i: save_nifti(path, grey(i), turned=i > 0), "direction"),
        (".tif", lambda path, i: save_tif(path, grey(i), 0.5 + i), "spacing 1.5 x 1.5 x 1.5 against"),
    ],
)  # fmt: skip
def test_channels_on_other_voxels_are_refused(places, raw, ending: str, save: Save, said: str) -> None:
    images, labels = places
    for channel in range(2):
        save(images / f"a_{channel:04d}{ending}", channel)
    save_tif(labels / "a.tif", ids(), 0.5)
    text = refused(images, labels, raw)
    assert f"a_0001{ending}: does not lie on the voxels of the channel" in text
    assert said in text
