import json
import math
import os
import pickle

import numpy as np
import pytest
import SimpleITK as sitk
from skimage import io

from nnunet_ext.errors import UserError
from nnunet_ext.evaluation.classes import UnusableCase, case_metrics
from nnunet_ext.metrics import cl_dice, evaluate_folders, save_summary
from nnunet_ext.nnunet_files.dataset_json import Classes

NNUNET_METRICS = ("Dice", "IoU", "TP", "FP", "FN", "TN", "n_pred", "n_ref")
CLASSES = {"background": 0, "vessel": 1, "nucleus": 2}
REGIONS = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "rim": 3}


def write(file, labels):
    if file.suffix == ".png":
        io.imsave(file, labels.astype(np.uint8), check_contrast=False)
    else:
        sitk.WriteImage(sitk.GetImageFromArray(labels.astype(np.uint8)), str(file))


def make_folders(root, shape, ending, labels, n_values, cases=3, **dataset_json):
    """Random blocky label maps, and predictions that differ in some blocks."""
    rng = np.random.default_rng(0)
    reference, prediction = root / "labelsTr", root / "pred"
    reference.mkdir()
    prediction.mkdir()
    for i in range(cases):
        small = rng.integers(0, n_values, [s // 2 for s in shape])
        other = np.where(rng.random(small.shape) < 0.2, 0, small)
        for folder, array in ((reference, small), (prediction, other)):
            for axis in range(len(shape)):
                array = np.repeat(array, 2, axis)
            write(folder / f"case{i}{ending}", array)
    content = {"labels": labels, "file_ending": ending, "channel_names": {"0": "x"}, **dataset_json}
    (root / "dataset.json").write_text(json.dumps(content))
    return reference, prediction


def assert_equal_to_nnunet(summary, reader, regions, ignore_label=None):
    from nnunetv2.evaluation.evaluate_predictions import compute_metrics, label_or_region_to_key

    for case in summary["metric_per_case"]:
        files = case["reference_file"], case["prediction_file"]
        expected = compute_metrics(*files, reader, regions, ignore_label)["metrics"]
        assert list(case["metrics"]) == [label_or_region_to_key(region) for region in regions]
        for region in regions:
            for metric in NNUNET_METRICS:
                ours = case["metrics"][label_or_region_to_key(region)][metric]
                assert ours == pytest.approx(expected[region][metric], nan_ok=True)


def test_classes_in_2d_equal_nnunet(tmp_path):
    from nnunetv2.imageio.natural_image_reader_writer import NaturalImage2DIO

    folders = make_folders(tmp_path, (24, 20), ".png", CLASSES, 3)
    summary = evaluate_folders(*folders)
    assert_equal_to_nnunet(summary, NaturalImage2DIO(), [1, 2])
    assert summary["class_names"] == {"1": "vessel", "2": "nucleus"}
    values = [case["metrics"]["1"]["Beta0Error"] for case in summary["metric_per_case"]]
    assert summary["mean"]["1"]["Beta0Error"] == pytest.approx(np.mean(values))
    assert summary["foreground_mean"]["Dice"] == pytest.approx(
        (summary["mean"]["1"]["Dice"] + summary["mean"]["2"]["Dice"]) / 2
    )
    labels = [io.imread(folder / "case0.png") for folder in reversed(folders)]
    assert summary["metric_per_case"][0]["metrics"]["2"]["clDice"] == cl_dice(*(lab == 2 for lab in labels))


def test_classes_in_3d_with_ignore_label_equal_nnunet_and_can_be_read_by_it(tmp_path):
    from nnunetv2.evaluation.evaluate_predictions import load_summary_json
    from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO

    labels = {**CLASSES, "ignore": 3}
    reference, prediction = make_folders(tmp_path, (8, 12, 10), ".nii.gz", labels, 4, cases=2)
    with pytest.raises(UserError, match=r"voxels are 3, the dataset's ignore label: it marks what nobody"):
        evaluate_folders(reference, prediction)
    for file in prediction.iterdir():  # a network never predicts the ignore label
        array = sitk.GetArrayFromImage(sitk.ReadImage(str(file)))
        write(file, np.where(array == 3, 1, array))
    summary = evaluate_folders(reference, prediction)
    assert_equal_to_nnunet(summary, SimpleITKIO(), [1, 2], ignore_label=3)
    json_file, _ = save_summary(summary, prediction / "summary.json")
    loaded = load_summary_json(str(json_file))
    assert loaded["foreground_mean"]["Dice"] == summary["foreground_mean"]["Dice"]
    assert loaded["metric_per_case"][1]["metrics"][2]["Dice"] == pytest.approx(
        summary["metric_per_case"][1]["metrics"]["2"]["Dice"]
    )
    assert evaluate_folders(reference, prediction)["mean"] == summary["mean"]  # the new files do not disturb


def test_regions_equal_nnunet(tmp_path):
    from nnunetv2.imageio.natural_image_reader_writer import NaturalImage2DIO

    folders = make_folders(tmp_path, (24, 20), ".png", REGIONS, 4, cases=2, regions_class_order=[1, 2, 3])
    summary = evaluate_folders(*folders)
    assert_equal_to_nnunet(summary, NaturalImage2DIO(), [(1, 2, 3), (2, 3), 3])
    assert summary["class_names"] == {"(1, 2, 3)": "whole", "(2, 3)": "core", "3": "rim"}


@pytest.mark.slow
def test_several_processes_give_the_same(tmp_path):
    folders = make_folders(tmp_path, (24, 20), ".png", CLASSES, 3)
    seen = []

    def progress(results, total, description):
        for result in results:
            seen.append(total)
            yield result

    several = evaluate_folders(*folders, processes=2, progress=progress, containment=True)
    assert json.dumps(several) == json.dumps(evaluate_folders(*folders, containment=True))  # with NaN
    assert seen == [3, 3, 3]


def test_one_slice_is_evaluated_in_2d(tmp_path):
    reference, prediction = make_folders(tmp_path, (2, 4, 4), ".nii.gz", CLASSES, 3, cases=1)
    ring = np.ones((1, 3, 3))
    ring[0, 1, 1] = 0
    write(reference / "case0.nii.gz", ring)
    write(prediction / "case0.nii.gz", np.ones((1, 3, 3)))
    metrics = evaluate_folders(reference, prediction, connectivity=2)["metric_per_case"][0]["metrics"]
    assert metrics["1"]["Beta1Error"] == 1
    assert math.isnan(metrics["2"]["Dice"])
    assert math.isnan(metrics["2"]["clDice"])
    assert metrics["2"]["Beta0Error"] == 0


def test_connectivity(tmp_path):
    reference, prediction = make_folders(tmp_path, (4, 4), ".png", CLASSES, 3, cases=1)
    write(reference / "case0.png", np.eye(3))
    write(prediction / "case0.png", np.diag([1, 1, 0]))
    errors = {
        connectivity: evaluate_folders(reference, prediction, connectivity=connectivity)["mean"]["1"][
            "Beta0Error"
        ]
        for connectivity in (None, 2, 1)
    }
    assert errors == {None: 0, 2: 0, 1: 1}
    with pytest.raises(UserError, match=r"connectivity 3: the images are 2D.* 1 \(4 .* 2 \(8"):
        evaluate_folders(reference, prediction, connectivity=3)


def test_ignored_voxels_are_background_before_components_are_counted():
    classes = Classes({"1": (1,)}, {"1": "line"}, (0, 1), ignore_label=2)
    reference = np.array([[1, 1, 2, 1, 1]])
    prediction = np.array([[1, 1, 1, 1, 1]])
    before = prediction.copy(), reference.copy()
    metrics = case_metrics(prediction, reference, classes)["1"]
    assert (metrics["Dice"], metrics["clDice"], metrics["Beta0Error"]) == (1, 1, 0)
    assert metrics["TP"] + metrics["FP"] + metrics["FN"] + metrics["TN"] == 4
    np.testing.assert_array_equal(prediction, before[0])
    np.testing.assert_array_equal(reference, before[1])


def test_missing_and_extra_cases_are_all_named(tmp_path):
    reference, prediction = make_folders(tmp_path, (4, 4), ".png", CLASSES, 3, cases=4)
    os.rename(prediction / "case1.png", prediction / "other.png")
    os.remove(prediction / "case3.png")
    with pytest.raises(UserError) as error:
        evaluate_folders(reference, prediction)
    assert "for 2 references: case1.png, case3.png" in str(error.value)
    assert "for 1 predictions: other.png" in str(error.value)
    os.remove(prediction / "other.png")
    with pytest.raises(UserError, match="--chill"):
        evaluate_folders(reference, prediction)
    assert len(evaluate_folders(reference, prediction, chill=True)["metric_per_case"]) == 2


def test_every_unusable_case_is_named(tmp_path, capfd):
    reference, prediction = make_folders(tmp_path, (4, 4), ".png", CLASSES, 3, cases=6)
    (reference / "case0.png").write_text("not an image")
    write(prediction / "case1.png", np.zeros((4, 6)))
    write(reference / "case2.png", np.full((4, 4), 255))
    write(prediction / "case3.png", np.full((4, 4), 7))
    io.imsave(prediction / "case4.png", np.zeros((4, 4, 3), np.uint8), check_contrast=False)
    with pytest.raises(UserError) as error:
        evaluate_folders(reference, prediction)
    header, *lines = str(error.value).splitlines()
    assert header == "5 of 6 cases cannot be evaluated:"
    for line, words in zip(
        lines,
        (
            ("labelsTr/case0.png", "cannot be read"),
            ("pred/case1.png", "shape (4, 6), but the reference has (4, 4)"),
            ("labelsTr/case2.png", "contains 255"),
            ("pred/case3.png", "contains 7"),
            ("pred/case4.png", "expected one channel of labels"),
        ),
        strict=True,
    ):
        assert all(word in line for word in words), line
    assert "Traceback" not in capfd.readouterr().err  # nnU-Net's reader search prints some


def test_broken_nifti_is_named(tmp_path):
    reference, prediction = make_folders(tmp_path, (4, 4, 4), ".nii.gz", CLASSES, 3, cases=2)
    (prediction / "case1.nii.gz").write_bytes(b"broken")
    with pytest.raises(UserError, match=r"1 of 2 cases.*\n.*pred/case1.nii.gz: cannot be read"):
        evaluate_folders(reference, prediction)


def test_dataset_json_next_to_the_predictions_comes_first(tmp_path):
    reference, prediction = make_folders(tmp_path, (4, 4), ".png", CLASSES, 3, cases=1)
    (prediction / "dataset.json").write_text(
        json.dumps({"labels": {**CLASSES, "third": 3}, "file_ending": ".png"})
    )
    assert list(evaluate_folders(reference, prediction)["mean"]) == ["1", "2", "3"]
    assert list(evaluate_folders(reference, prediction, tmp_path / "dataset.json")["mean"]) == ["1", "2"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No dataset.json in .*pred.*labelsTr.*-djfile"),
        ("{", "not valid JSON"),
        ('{"labels": {}}', "has no 'file_ending'"),
        ("[]", "expected an object with keys"),
        (
            '{"labels": {"vessel": 1}, "file_ending": ".png"}',
            "nnU-Net does not accept the labels.*[Bb]ackground",
        ),
        ('{"labels": {"background": 0, "x": [1, 2]}, "file_ending": ".png"}', "regions_class_order"),
        (
            '{"labels": {"background": 0, "x": 1}, "file_ending": ".xyz"}',
            "No file ending in .xyz in .*labelsTr",
        ),
    ],
)
def test_unusable_dataset_json_is_named(tmp_path, content, message):
    folders = make_folders(tmp_path, (4, 4), ".png", CLASSES, 3, cases=1)
    if content is None:
        os.remove(tmp_path / "dataset.json")
    else:
        (tmp_path / "dataset.json").write_text(content)
    with pytest.raises(UserError, match=message):
        evaluate_folders(*folders)


def test_file_ending_without_a_reader_and_folders_that_are_not_there(tmp_path):
    reference, prediction = make_folders(tmp_path, (4, 4), ".png", CLASSES, 3, cases=1)
    for folder in (reference, prediction):
        (folder / "a.xyz").touch()
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": CLASSES, "file_ending": ".xyz"}))
    with pytest.raises(UserError, match=r"no reader for the file ending '.xyz'"):
        evaluate_folders(reference, prediction)
    with pytest.raises(UserError, match=r"There is no folder .*nowhere"):
        evaluate_folders(reference, tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"There is no file .*none.json"):
        evaluate_folders(reference, prediction, tmp_path / "none.json")


def test_problems_travel_between_processes():
    assert str(pickle.loads(pickle.dumps(UnusableCase("which file, and why")))) == "which file, and why"
