"""The ignore label of a dataset in the evaluation of its instances, and of its classes."""

import json

import numpy as np
import pytest
import SimpleITK as sitk
import tifffile
from skimage import io

from nnunet_ext.errors import UserError
from nnunet_ext.images.instance_files import write_instances
from nnunet_ext.metrics import evaluate_folders, evaluate_instance_folders, panoptic_quality

IGNORE = 2


def write_labels(file, labels):
    if file.name.endswith((".nii.gz", ".mha", ".nrrd")):
        sitk.WriteImage(sitk.GetImageFromArray(labels), str(file))
    elif file.suffix == ".tif":
        tifffile.imwrite(file, labels)
    else:
        io.imsave(file, labels, check_contrast=False)


def frame(shape):
    """Cells of edge 3; those in the outer 5 voxels of y and x nobody judged."""
    full = np.zeros(shape, np.uint16)
    for number, (y, x) in enumerate(np.ndindex(4, 4), 1):
        full[..., 1 + 6 * y : 4 + 6 * y, 1 + 6 * x : 4 + 6 * x] = number
    border = np.ones(shape, bool)
    border[..., 5:-5, 5:-5] = False
    return full, np.where(border, 0, full).astype(np.uint16), border


def make_dataset(root, shape=(24, 24), ending=".png", part="Tr", ignore=True):
    """A raw dataset of two cases with a predictor that also finds the cells in the border."""
    full, annotated, border = frame(shape)
    instances, labels, cells = (root / name for name in (f"instances{part}", f"labels{part}", "cells"))
    for folder in (instances, labels, cells):
        folder.mkdir(parents=True)
    for case in ("a", "b"):
        write_instances(instances / f"{case}.tif", annotated)
        write_instances(cells / f"{case}.tif", full)
        semantic = (annotated > 0).astype(np.uint8)
        semantic[border] = IGNORE if ignore else 0
        write_labels(labels / f"{case}{ending}", semantic)
    declared = {"background": 0, "cell": 1, **({"ignore": IGNORE} if ignore else {})}
    (root / "dataset.json").write_text(json.dumps({"labels": declared, "file_ending": ending}))
    return instances, cells


@pytest.mark.parametrize(
    ("shape", "ending", "part"),
    [
        ((24, 24), ".png", "Tr"),
        ((24, 24), ".tif", "Ts"),
        ((3, 24, 24), ".nii.gz", "Tr"),
        ((3, 24, 24), ".tif", "Ts"),
        ((3, 24, 24), ".mha", "Ts"),  # which only nnU-Net's reader reads
        ((3, 24, 24), ".nrrd", "Tr"),
        ((1, 24, 24), ".nii.gz", "Tr"),
    ],
)
def test_the_ignore_label_beside_the_reference_is_found(tmp_path, shape, ending, part):
    folders = make_dataset(tmp_path, shape, ending, part)
    summary = evaluate_instance_folders(*folders)
    pooled = summary["pooled"]
    assert (pooled["tp"], pooled["fp"], pooled["fn"], pooled["PQ"], pooled["AJI"]) == (8, 0, 0, 1, 1)
    assert pooled["ContourF1@2"] == pooled["mean_matched_dice"] == 1
    voxels = (24 * 24 - 14 * 14) * (shape[0] if len(shape) == 3 else 1)
    assert summary["ignored"] == {
        "labels": str(tmp_path / f"labels{part}"),
        "label": IGNORE,
        "voxels": 2 * voxels,
        "of_voxels": 2 * np.prod(shape),
        "left_out": [0, 24],
    }
    assert [case["ignored_voxels"] for case in summary["metric_per_case"]] == [voxels, voxels]
    assert [row["n_true"] for row in summary["by_size"]] == [8]
    json.dumps(summary)


def test_a_dataset_that_ignores_nothing_counts_everything(tmp_path):
    summary = evaluate_instance_folders(*make_dataset(tmp_path, ignore=False))
    assert (summary["pooled"]["tp"], summary["pooled"]["fp"]) == (8, 24)
    assert (summary["ignored"], summary["notes"]) == (None, [])
    assert "ignored_voxels" not in summary["metric_per_case"][0]


def test_sizes_of_bins_are_those_of_what_was_judged(tmp_path):
    reference, prediction = make_dataset(tmp_path)
    half = np.zeros((24, 24), np.uint16)
    half[10, 3:9] = 1  # 2 of 6 voxels in the border
    half[18, 16:22] = 2  # 3 of 6: half is not mostly
    half[12, 0:9] = 3  # 5 of 9
    for case in ("a", "b"):
        write_instances(reference / f"{case}.tif", np.zeros((24, 24), np.uint16))
        write_instances(prediction / f"{case}.tif", half)
    bins = evaluate_instance_folders(reference, prediction, size_bins=[4])["by_size"]
    assert [row["fp"] for row in bins] == [2, 2]


def test_references_elsewhere(tmp_path):
    reference, prediction = make_dataset(tmp_path)
    right = evaluate_instance_folders(reference, prediction)
    link = tmp_path / "elsewhere" / "truth"
    link.parent.mkdir()
    link.symlink_to(reference)
    assert evaluate_instance_folders(link, prediction)["pooled"] == right["pooled"]
    moved = reference.rename(tmp_path / "truth")  # beside a dataset.json that declares an ignore label
    (note,) = evaluate_instance_folders(moved, prediction)["notes"]
    assert "dataset.json declares an ignore label (2), but there are no label maps beside" in note
    assert "--ignored" in note
    named = evaluate_instance_folders(moved, prediction, ignored=tmp_path / "labelsTr")
    assert (named["pooled"], named["notes"]) == (right["pooled"], [])
    far = moved.rename(tmp_path / "elsewhere" / "gold")
    nothing_known = evaluate_instance_folders(far, prediction)
    assert (nothing_known["pooled"]["fp"], nothing_known["notes"]) == (24, [])
    (tmp_path / "dataset.json").rename(tmp_path / "elsewhere" / "d.json")
    with pytest.raises(UserError, match=r"--ignored .*labelsTr: no dataset.json in it or above it"):
        evaluate_instance_folders(far, prediction, ignored=tmp_path / "labelsTr")
    options = {"ignored": tmp_path / "labelsTr", "dataset_json": tmp_path / "elsewhere" / "d.json"}
    assert evaluate_instance_folders(far, prediction, **options)["pooled"] == right["pooled"]
    with pytest.raises(UserError, match=r"--ignored .*nowhere: there is no such folder"):
        evaluate_instance_folders(far, prediction, ignored=tmp_path / "nowhere")


def test_an_ignore_label_that_is_asked_for_must_be_declared(tmp_path):
    reference, prediction = make_dataset(tmp_path, ignore=False)
    with pytest.raises(UserError, match="declares no label 'ignore'"):
        evaluate_instance_folders(reference, prediction, ignored=tmp_path / "labelsTr")


def test_label_maps_that_are_missing_or_do_not_fit(tmp_path):
    reference, prediction = make_dataset(tmp_path)
    (tmp_path / "labelsTr" / "b.png").unlink()
    summary = evaluate_instance_folders(reference, prediction)
    assert [case["metrics"]["instances"]["fp"] for case in summary["metric_per_case"]] == [0, 12]
    (note,) = summary["notes"]
    assert "no label map, which would say what to ignore, for 1 of 2 cases (b.tif)" in note
    write_labels(tmp_path / "labelsTr" / "b.png", np.zeros((24, 23), np.uint8))
    with pytest.raises(UserError, match=r"b.png: shape \(24, 23\), but the reference instances.*\(24, 24\)"):
        evaluate_instance_folders(reference, prediction)
    (tmp_path / "labelsTr" / "b.png").write_bytes(b"broken")
    with pytest.raises(UserError, match=r"1 of 2 cases.*\n.*b.png: cannot be read"):
        evaluate_instance_folders(reference, prediction)
    for file in (tmp_path / "labelsTr").iterdir():
        file.unlink()
    (tmp_path / "labelsTr").rmdir()
    (note,) = evaluate_instance_folders(reference, prediction)["notes"]
    assert "there are no label maps beside" in note


def test_a_dataset_json_that_cannot_be_read_is_said(tmp_path):
    reference, prediction = make_dataset(tmp_path)
    (tmp_path / "dataset.json").write_text("{")
    (note,) = evaluate_instance_folders(reference, prediction)["notes"]
    assert "is to be ignored is not known" in note
    assert "dataset.json is not valid JSON" in note


def test_a_label_map_elsewhere_does_not_say_what_to_ignore(tmp_path):
    reference, prediction = make_dataset(tmp_path, (3, 24, 24), ".nii.gz")
    full, annotated, _ = frame((3, 24, 24))
    for folder, instances in ((reference, annotated), (prediction, full)):
        for case in ("a", "b"):
            (folder / f"{case}.tif").unlink()
            image = sitk.GetImageFromArray(instances)
            image.SetOrigin((0, 0, 9 * (case == "b")))
            sitk.WriteImage(image, str(folder / f"{case}.nii.gz"))
    with pytest.raises(
        UserError, match=r"1 of 2 .*\n.*labelsTr/b.nii.gz: origin .* of the reference instances"
    ):
        evaluate_instance_folders(reference, prediction)
    assert evaluate_instance_folders(reference, prediction, ignore_headers=True)["pooled"]["PQ"] == 1


def test_the_array_function_gives_the_same(tmp_path):
    reference, prediction = make_dataset(tmp_path)
    full, annotated, border = frame((24, 24))
    full[10, 3:9] = 99
    write_instances(prediction / "a.tif", full)
    found = evaluate_instance_folders(reference, prediction)["metric_per_case"][0]["metrics"]["instances"]
    expected = panoptic_quality(annotated, full, mask=~border)
    assert (found["PQ"], found["fp"]) == (expected["pq"], expected["fp"])
    assert 0 < found["PQ"] < 1


def test_of_classes_as_well(tmp_path):
    make_dataset(tmp_path, ending=".png")
    full, _, border = frame((24, 24))
    (tmp_path / "predicted").mkdir()
    for case in ("a", "b"):
        write_labels(tmp_path / "predicted" / f"{case}.png", (full > 0).astype(np.uint8))
    summary = evaluate_folders(tmp_path / "labelsTr", tmp_path / "predicted")
    assert summary["mean"]["1"]["Dice"] == summary["mean"]["1"]["clDice"] == 1
    assert summary["mean"]["1"]["Beta0Error"] == 0
    assert summary["ignored"] == {"label": IGNORE, "voxels": 2 * border.sum(), "of_voxels": 2 * 24 * 24}
