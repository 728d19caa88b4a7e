"""One case of several models read from folders: what it holds, and what is refused with which words."""

import json

import numpy as np
import pytest
import SimpleITK as sitk
from skimage import io

from nnunet_ext.errors import UnusableCase, UserError
from nnunet_ext.evaluation.case_folders import CaseFolders, view_of
from nnunet_ext.evaluation.case_mistakes import count_mistakes
from nnunet_ext.images.instance_files import write_instances
from nnunet_ext.metrics import evaluate_folders, evaluate_instance_folders

LABELS = {"background": 0, "vessel": 1, "nucleus": 2}


def write(file, array, spacing=None, origin=None):
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".png":
        io.imsave(file, array.astype(np.uint8), check_contrast=False)
    else:
        image = sitk.GetImageFromArray(array)
        image.SetSpacing((spacing or (1.0,) * array.ndim)[::-1])
        image.SetOrigin(origin or (0.0,) * array.ndim)
        sitk.WriteImage(image, str(file))


def blocks(seed, shape, values=3):
    small = np.random.default_rng(seed).integers(0, values, [edge // 2 for edge in shape])
    return np.kron(small, np.ones((2,) * len(shape))).astype(np.uint8)


def dataset(root, shape=(16, 20), ending=".png", labels=LABELS, channels=("grey",), **more):
    """A raw dataset with two test cases, and two models that predicted them."""
    content = {"labels": labels, "file_ending": ending, "channel_names": dict(enumerate(channels)), **more}
    root.mkdir(exist_ok=True)
    (root / "dataset.json").write_text(json.dumps(content))
    for number, case in enumerate(("a", "b")):
        write(root / "labelsTs" / f"{case}{ending}", blocks(number, shape))
        for model in ("one", "two"):
            write(root / model / f"{case}{ending}", blocks(number + 10 * len(model) + ord(model[0]), shape))
        for channel in range(len(channels)):
            write(root / "imagesTs" / f"{case}_000{channel}{ending}", blocks(50 + channel, shape, 200))
    return root / "labelsTs", {"one": root / "one", "two": root / "two"}, root / "imagesTs"


@pytest.mark.parametrize(("shape", "ending"), [((16, 20), ".png"), ((6, 10, 12), ".nii.gz")])
def test_a_case_holds_what_the_files_do_and_its_mistakes_add_up_to_the_betti_errors(tmp_path, shape, ending):
    reference, predictions, images = dataset(tmp_path / "d", shape, ending)
    folders = CaseFolders(reference, predictions, images)
    assert folders.cases == ["a", "b"]
    view = folders.view("b")
    assert view.case == "b"
    assert view.class_names == {1: "vessel", 2: "nucleus"}
    assert view.spacing == (None if ending == ".png" else (1.0, 1.0, 1.0))
    assert view.ignored is None
    np.testing.assert_array_equal(view.reference, blocks(1, shape))
    np.testing.assert_array_equal(view.image, blocks(50, shape, 200))
    counts = count_mistakes(view)
    for model, folder in predictions.items():
        (case,) = [
            case["metrics"]
            for case in evaluate_folders(reference, folder)["metric_per_case"]
            if case["reference_file"].endswith(f"b{ending}")
        ]
        one = CaseFolders(reference, {model: folder}).view("b")
        for key, name in view.class_names.items():
            only = count_mistakes(type(one)(**{**vars(one), "class_names": {key: name}}))[model]
            difference = only["false"] - only["missed"] + only["break"] - only["merge"]
            assert abs(difference) == case[str(key)]["Beta0Error"]
        assert sum(counts[model].values()) > 0


def test_regions_ignore_label_and_several_channels(tmp_path):
    labels = {"background": 0, "whole": [1, 2], "core": 2, "ignore": 3}
    reference, predictions, images = dataset(
        tmp_path / "d", labels=labels, channels=("x", "y"), regions_class_order=[1, 2]
    )
    marked = blocks(0, (16, 20))
    marked[:4] = 3
    write(reference / "a.png", marked)
    view = view_of("a", reference, predictions, images)
    assert view.class_names == {(1, 2): "whole", 2: "core"}
    np.testing.assert_array_equal(view.ignored, marked == 3)
    np.testing.assert_array_equal(view.image, blocks(50, (16, 20), 200))


def test_a_colour_image(tmp_path):
    reference, predictions, images = dataset(tmp_path / "d", channels=("R", "G", "B"))
    colours = np.random.default_rng(0).integers(0, 255, (16, 20, 3))
    for file in images.iterdir():
        file.unlink()
    write(images / "a_0000.png", colours)
    assert view_of("a", reference, predictions).image is None
    np.testing.assert_array_equal(view_of("a", reference, predictions, images).image, colours)


def instance_folders(root):
    ids = np.zeros((20, 30), np.int32)
    ids[2:8, 2:8], ids[2:8, 9:15], ids[12:18, 3:9], ids[12:18, 20:28] = 1, 2, 3, 4
    prediction = ids.copy()
    prediction[ids == 2] = 1
    prediction[ids == 3] = 0
    for folder, array in (("instancesTs", ids), ("jc", prediction)):
        (root / folder).mkdir(parents=True)
        write_instances(root / folder / "a.tif", array, (0.5, 0.25))
    return root / "instancesTs", {"JC": root / "jc"}, (ids, prediction)


def test_instances(tmp_path):
    reference, predictions, (ids, prediction) = instance_folders(tmp_path)
    write(tmp_path / "imagesTs" / "a_0000.png", ids * 10)
    view = view_of("a", reference, predictions, tmp_path / "imagesTs", kind="instances")
    assert view.spacing == pytest.approx((0.5, 0.25))
    np.testing.assert_array_equal(view.reference, ids)
    np.testing.assert_array_equal(view.predictions["JC"], prediction)
    np.testing.assert_array_equal(view.image, ids * 10)
    assert count_mistakes(view) == {"JC": {"matched": 1, "missed": 1, "extra": 0, "merged": 2, "split": 0}}
    values = evaluate_instance_folders(reference, predictions["JC"])["pooled"]
    assert (values["tp"], values["fp"], values["fn"]) == (1, 1, 3)


def test_instances_that_nobody_judged(tmp_path):
    reference, predictions, (ids, _) = instance_folders(tmp_path)
    content = {"labels": {"background": 0, "cell": 1, "ignore": 2}, "file_ending": ".png"}
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    write(tmp_path / "labelsTs" / "a.png", np.where(np.arange(20)[:, None] > 10, 2, ids > 0))
    view = view_of("a", reference, predictions, kind="instances", spacing=(1, 2))
    assert view.spacing == (1.0, 2.0)
    assert view.ignored.sum() == 9 * 30
    assert count_mistakes(view)["JC"]["missed"] == 0


@pytest.mark.parametrize(
    ("case", "options", "match"),
    [
        ("c", {}, "labelsTs has no case c. It has: a, b"),
        ("a", {"predictions": {}}, "No folder of predictions"),
        ("a", {"predictions": {"one": "nowhere"}}, "There is no folder nowhere"),
        ("a", {"images_folder": "nowhere"}, "There is no folder nowhere"),
        ("a", {"spacing": (1, 2, 3)}, "spacing: expected 2 positive numbers"),
        ("a", {"dataset_json": "nowhere.json"}, "There is no file nowhere.json"),
    ],
)
def test_what_is_not_there(tmp_path, case, options, match):
    reference, predictions, images = dataset(tmp_path / "d")
    arguments = {"predictions": predictions, "images_folder": images, **options}
    with pytest.raises(UserError, match=match):
        view_of(case, reference, arguments.pop("predictions"), arguments.pop("images_folder"), **arguments)


def test_a_model_without_the_case_and_an_image_that_is_missing(tmp_path):
    reference, predictions, images = dataset(tmp_path / "d")
    (predictions["two"] / "b.png").unlink()
    folders = CaseFolders(reference, predictions, images)
    assert folders.cases == ["a"]
    with pytest.raises(UserError, match=r"two has no case b\. It has: a"):
        folders.view("b")
    (images / "a_0000.png").unlink()
    with pytest.raises(UserError, match=r"no image of the case a\. It has: b_0000\.png"):
        folders.view("a")


def test_one_folder_twice_and_the_reference_as_a_prediction(tmp_path):
    reference, predictions, _ = dataset(tmp_path / "d")
    with pytest.raises(UserError, match="x and y are one folder"):
        CaseFolders(reference, {"x": predictions["one"], "y": predictions["one"]})
    with pytest.raises(UserError, match="-ref and -pred are one folder"):
        CaseFolders(reference, {"x": reference})


def test_damaged_files_other_shapes_and_labels_are_named(tmp_path):
    reference, predictions, images = dataset(tmp_path / "d")
    file = predictions["two"] / "a.png"
    good = file.read_bytes()
    for array, match in (
        (np.zeros((4, 5)), r"two.a\.png: shape \(4, 5\), but the reference has \(16, 20\)"),
        (np.full((16, 20), 7), "contains 7, not in the labels of dataset.json"),
    ):
        write(file, array)
        with pytest.raises(UnusableCase, match=match):
            view_of("a", reference, predictions, images)
    file.write_bytes(good[: len(good) // 2])
    with pytest.raises(UnusableCase, match=r"two.a\.png"):
        view_of("a", reference, predictions, images)
    file.write_bytes(good)
    write(images / "a_0000.png", np.zeros((3, 3)))
    with pytest.raises(UnusableCase, match=r"a_0000\.png: shape \(3, 3\), but the reference has \(16, 20\)"):
        view_of("a", reference, predictions, images)


def test_other_places_in_space_unless_headers_are_ignored(tmp_path):
    reference, predictions, images = dataset(tmp_path / "d", (4, 6, 8), ".nii.gz")
    write(images / "a_0000.nii.gz", blocks(0, (4, 6, 8)), origin=(5.0, 0.0, 0.0))
    with pytest.raises(UnusableCase, match=r"a_0000\.nii\.gz: .*different places"):
        view_of("a", reference, predictions, images)
    assert view_of("a", reference, predictions, images, ignore_headers=True).image is not None
    write(predictions["one"] / "a.nii.gz", blocks(0, (4, 6, 8)), spacing=(3.0, 1.0, 1.0))
    with pytest.raises(UnusableCase, match=r"one.a\.nii\.gz: .*different places"):
        view_of("a", reference, predictions)


def test_models_of_other_labels_need_to_be_told_which_count(tmp_path):
    reference, predictions, _ = dataset(tmp_path / "d")
    for name, labels in (("one", LABELS), ("two", {**LABELS, "third": 3})):
        content = {"labels": labels, "file_ending": ".png"}
        (predictions[name] / "dataset.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"one and two have different labels.*-djfile"):
        CaseFolders(reference, predictions)
    view = view_of("a", reference, predictions, dataset_json=predictions["two"] / "dataset.json")
    assert len(view.class_names) == 3


def test_classes_are_no_instances_and_the_other_way_round(tmp_path):
    reference, predictions, _ = dataset(tmp_path / "d")
    with pytest.raises(UserError, match="not instances"):
        CaseFolders(reference, predictions, kind="instances")
    (tmp_path / "d" / "instancesTs").mkdir()
    with pytest.raises(UserError, match="holds instances, not classes"):
        CaseFolders(tmp_path / "d" / "instancesTs", predictions)
