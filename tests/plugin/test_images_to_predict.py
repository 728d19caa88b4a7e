"""What is said where images to predict are not named as nnU-Net needs them."""

import json

import pytest

from nnunet_ext.errors import UserError
from nnunet_ext.plugin.images_to_predict import check_images_to_predict

MODEL = "nnUNetTrainerJC__nnUNetPlansSmall__2d"


@pytest.fixture
def images(nnunet_folders, tmp_path):
    model = nnunet_folders["nnUNet_results"] / "Dataset510_MyCells" / MODEL
    model.mkdir(parents=True)
    (model / "dataset.json").write_text(json.dumps({"file_ending": ".png"}))
    folder = tmp_path / "new images"
    folder.mkdir()
    return folder


def predict(images, *names, program="nnUNetv2_predict", model=()):
    for name in names:
        (images / name).touch()
    which = model or ("-d", "510", "-c", "2d", "-tr", "nnUNetTrainerJC", "-p", "nnUNetPlansSmall")
    words = ["-i", str(images), "-o", "predicted", *which, "-f", "0", "-device", "cpu", "-chk", "best.pth"]
    check_images_to_predict([f"/bin/{program}", *words])


@pytest.mark.parametrize("names", [["a.tif", "b.tif"], [], ["a_0000.tif"]])
def test_another_ending(images, names):
    with pytest.raises(UserError, match=r"No file in .*new images ends in \.png.*with --test FOLDER"):
        predict(images, *names)


@pytest.mark.parametrize("names", [["a.png"], ["ok_0000.png", "a.png"], ["ok_0000.png", "a.png", "b_0.png"]])
def test_no_channel(images, names):
    with pytest.raises(UserError, match=r"new images: a\.png.* cannot be predicted: .*_0000\.png"):
        predict(images, *names)


def test_a_model_folder(images, nnunet_folders):
    model = nnunet_folders["nnUNet_results"] / "Dataset510_MyCells" / MODEL
    with pytest.raises(UserError, match="No file"):
        predict(images, "a.tif", program="nnUNetv2_predict_from_modelfolder", model=("-m", str(model)))


@pytest.mark.parametrize("names", [["a_0000.png"], ["a_0000.png", "a_0001.png", "notes.txt", "a_mask.png"]])
def test_what_nnunet_predicts_passes(images, names):
    predict(images, *names)


def test_everything_else_is_left_to_nnunet(images, tmp_path):
    predict(images, "a.tif", program="nnUNetv2_train")
    predict(images, model=("-d", "999", "-c", "2d", "-tr", "nnUNetTrainerJC"))
    predict(images, model=("-m", str(tmp_path / "nowhere")))
    check_images_to_predict(["/bin/nnUNetv2_predict"])
