"""``nnunet_ext instances``: spacing and orientation, results that are damaged, wrong folders, nasty names."""

import json
import os
import shutil

import nibabel
import numpy as np
import pytest
import tifffile
from skimage import io
from typer.testing import CliRunner

from nnunet_ext.cli.app import app
from nnunet_ext.errors import UserError
from nnunet_ext.evaluation import evaluate_instance_folders
from nnunet_ext.images.instance_files import read_instances, write_instances
from nnunet_ext.instances import case_maker, instances_from_folder

LABELS = {"background": 0, "cell": 1, "touching": 2}
CELLS = np.zeros((5, 6, 9), np.uint8)  # two cells, the touching voxels between them, and one apart
CELLS[:, 1:3, 1:3], CELLS[:, 1:3, 3], CELLS[:, 1:3, 4:6], CELLS[1, 4, 7] = 1, 2, 1, 1


def run(*words):
    return CliRunner().invoke(app, ["instances", *map(str, words)])


def write_dataset(folder, ending, **more):
    folder.mkdir(parents=True, exist_ok=True)
    content = {"channel_names": {"0": "x"}, "labels": LABELS, "file_ending": ending, "numTraining": 1, **more}
    (folder / "dataset.json").write_text(json.dumps(content))


@pytest.fixture
def pred(tmp_path):
    """Two 2D predictions."""
    folder = tmp_path / "pred"
    write_dataset(folder, ".png")
    for case in ("a", "b"):
        io.imsave(folder / f"{case}.png", CELLS[1], check_contrast=False)
    return folder


@pytest.mark.parametrize("method", ["map", "threshold"])
@pytest.mark.parametrize("tile", [[], ["--tile"]])
@pytest.mark.parametrize("reader", ["NibabelIOWithReorient", "SimpleITKIOWithReorient", "SimpleITKIO"])
def test_instances_lie_as_the_file_does(tmp_path, reader, tile, method):
    """A perfect prediction is perfect, in a file whose axes run P, I, R."""
    write_dataset(tmp_path / "pred", ".nii.gz", overwrite_image_reader_writer=reader)
    affine = np.array([[0, 0, 3.0, 0], [-0.5, 0, 0, 0], [0, -2.0, 0, 0], [0, 0, 0, 1]])
    file = tmp_path / "pred/a.nii.gz"
    nibabel.save(nibabel.Nifti1Image(CELLS.T, affine), file)  # spacing z, y, x: 3, 2, .5
    if method == "threshold":  # as nnU-Net stores them: with the axes of the reader
        p = np.eye(3, dtype=np.float32)[as_read(reader, file)].transpose(3, 0, 1, 2)
        np.savez(tmp_path / "pred/a.npz", probabilities=p)
    reference = np.zeros_like(CELLS)
    reference[:, 1:3, 1:4], reference[:, 1:3, 4:6], reference[1, 4, 7] = 1, 2, 3
    (tmp_path / "ref").mkdir()
    write_instances(tmp_path / "ref/a.tif", reference, (3.0, 2.0, 0.5))
    result = run("-i", tmp_path / "pred", "-o", tmp_path / "out", "--method", method, *tile)
    assert result.exit_code == 0, result.exception
    ids, spacing = read_instances(tmp_path / "out/a.tif")
    np.testing.assert_array_equal(ids, reference)
    assert spacing == pytest.approx((3, 2, 0.5))
    assert evaluate_instance_folders(tmp_path / "ref", tmp_path / "out")["pooled"]["PQ"] == 1


def as_read(reader, file):
    from nnunetv2.imageio.reader_writer_registry import recursive_find_reader_writer_by_name

    return recursive_find_reader_writer_by_name(reader)().read_seg(str(file))[0][0].astype(int)


def test_an_unknown_spacing_is_said_and_not_written(tmp_path):
    write_dataset(tmp_path / "pred", ".tif")
    for case in ("a", "b"):
        tifffile.imwrite(tmp_path / f"pred/{case}.tif", CELLS)
    (tmp_path / "pred/b.json").write_text(json.dumps({"spacing": [2, 1, 1]}))
    result = run("-i", tmp_path / "pred", "-o", tmp_path / "out")
    assert result.exit_code == 0
    assert "Note: No voxel spacing is stated for 1 of 2 cases (a)." in result.output
    assert "--spacing z y x" in result.output
    assert read_instances(tmp_path / "out/a.tif")[1] is None
    assert read_instances(tmp_path / "out/b.tif")[1] == (2, 1, 1)
    given = run("-i", tmp_path / "pred", "-o", tmp_path / "given", "--spacing", 3, 1, 1)
    assert "spacing is stated" not in given.output
    assert read_instances(tmp_path / "given/a.tif")[1] == (3, 1, 1)


def test_images_without_a_spacing_need_none_in_2d(pred, tmp_path):
    result = run("-i", pred, "-o", tmp_path / "out")
    assert result.exit_code == 0
    assert "Note" not in result.output


@pytest.mark.parametrize("keep", [0, 60])
def test_an_empty_or_cut_result_is_made_again(pred, tmp_path, keep):
    out = tmp_path / "out"
    run("-i", pred, "-o", out)
    whole = (out / "a.tif").read_bytes()
    (out / "a.tif").write_bytes(whole[:keep])
    again = run("-i", pred, "-o", out)
    assert "1 made, 1 kept from an earlier run" in again.output
    assert read_instances(out / "a.tif")[0].max() == 3


def test_an_evaluation_of_replaced_instances_goes(pred, tmp_path):
    out = tmp_path / "out"
    run("-i", pred, "-o", out)
    (out / "evaluation.json").write_text('{"metric_per_case": []}')
    (out / "evaluation.csv").write_text("old")
    assert "Removed" not in run("-i", pred, "-o", out).output
    assert (out / "evaluation.csv").exists()
    again = run("-i", pred, "-o", out, "--overwrite")
    assert f"Note: Removed evaluation.json and evaluation.csv from {out}" in again.output
    assert not (out / "evaluation.json").exists()
    assert not (out / "evaluation.csv").exists()
    (out / "evaluation.json").write_text('{"mine": 1}')
    assert "Removed" not in run("-i", pred, "-o", out, "--overwrite").output
    assert (out / "evaluation.json").exists()
    (out / "evaluation.json").write_text('{"metric_per_case": []}')
    io.imsave(pred / "a.png", CELLS[0], check_contrast=False)  # a newer prediction
    assert "Removed evaluation.json" in run("-i", pred, "-o", out).output


def test_cases_without_instances_are_said(pred, tmp_path):
    io.imsave(pred / "b.png", np.zeros((6, 9), np.uint8), check_contrast=False)
    result = run("-i", pred, "-o", tmp_path / "out")
    assert result.exit_code == 0
    assert "Note: No instances in 1 of 2 cases (b)." in result.output
    none = run("-i", pred, "-o", tmp_path / "none", "--min-size", 99)
    assert "Note: No instances in any case" in none.output
    assert none.exit_code == 0


def test_too_little_memory_names_the_case_the_array_and_a_remedy(pred, tmp_path, monkeypatch):
    def hoard(*_, **__):
        raise MemoryError("Unable to allocate 7.45 GiB for an array with shape (1000, 1000, 1000)")

    monkeypatch.setattr(case_maker, "from_semantic", hoard)
    for flags, remedy in (([], "Try --tile, or fewer"), (["--tile"], "Try fewer")):
        text = str(run("-i", pred, "-o", tmp_path / "out", *flags).exception)
        assert "2 of 2 cases cannot be made" in text
        assert f"{pred / 'a.png'}: not enough memory (Unable to allocate 7.45 GiB" in text
        assert f"{remedy} processes (-np)" in text


def test_what_a_killed_run_left_goes(pred, tmp_path):
    out = tmp_path / "out"
    (out / ".a.work").mkdir(parents=True)
    (out / ".a.tif.123.tmp").write_text("half")
    run("-i", pred, "-o", out)
    assert sorted(path.name for path in out.iterdir()) == ["a.tif", "b.tif", "instances.json"]


def of_model(folder):
    (folder / "fold_0").mkdir(parents=True)


def of_dataset(folder):
    (folder / "imagesTr").mkdir(parents=True)


def of_probabilities(folder):
    folder.mkdir()
    for name in ("a.npz", "b.npz", "a.pkl"):
        (folder / name).write_text("")


def of_others(folder):
    folder.mkdir()
    for name in ("a.tif", "b.tif", "a.nii.gz"):
        (folder / name).write_text("")


def of_folders(folder):
    (folder / "run1").mkdir(parents=True)
    (folder / "run2").mkdir()


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (of_model, "the folder of a trained model"),
        (of_dataset, "the folder of a dataset"),
        (of_probabilities, "2 .npz files, not the label files"),
        (of_others, "It holds files: 2 .tif, 1 .nii.gz."),
        (of_folders, "no files, only folders: run1, run2"),
        (lambda folder: folder.mkdir(), "It is empty."),
        (lambda folder: folder.write_text(""), "is a file: give the folder"),
        (lambda folder: None, "There is no folder"),
    ],
)
def test_a_wrong_folder_is_told_apart(pred, tmp_path, make, text):
    make(tmp_path / "wrong")
    for more in ([], ["-djfile", pred / "dataset.json"]):
        result = run("-i", tmp_path / "wrong", "-o", tmp_path / "out", *more)
        assert isinstance(result.exception, UserError)
        assert text in str(result.exception)
        assert ("-djfile" in str(result.exception)) == (text[:4] not in ("is a", "Ther"))
    assert not (tmp_path / "out").exists()


def test_images_are_no_predictions(pred, tmp_path):
    images = tmp_path / "imagesTs"
    images.mkdir()
    for case in ("a", "b"):
        io.imsave(images / f"{case}_0000.png", CELLS[1] * 80, check_contrast=False)
    result = run("-i", images, "-o", tmp_path / "out", "-djfile", pred / "dataset.json")
    assert "holds images (a_0000.png, ...), not predictions" in str(result.exception)
    assert "nnUNetv2_predict" in str(result.exception)
    for case in ("a", "b"):  # cases may be called so
        shutil.move(pred / f"{case}.png", pred / f"{case}_0000.png")
    assert run("-i", pred, "-o", tmp_path / "out").exit_code == 0


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.symlink_to("nowhere.png"), "c.png: a link to a file that is not there"),
        (lambda path: path.mkdir(), "c.png: a folder, but it is named like a label map"),
    ],
)
def test_what_is_named_like_a_prediction_is_not_passed_over(pred, tmp_path, make, said):
    make(pred / "c.png")
    result = run("-i", pred, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert said in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_hidden_files_are_no_predictions_and_endings_may_be_in_capitals(pred, tmp_path):
    (pred / "._a.png").write_bytes(b"what macOS writes beside a.png")
    (pred / "b.png").rename(pred / "b.PNG")
    assert run("-i", pred, "-o", tmp_path / "out").exit_code == 0
    assert sorted(path.name for path in (tmp_path / "out").glob("*.tif")) == ["a.tif", "b.tif"]
    assert read_instances(tmp_path / "out/b.tif")[0].max() == 3


def test_probabilities_without_labels_are_not_passed_over(pred, tmp_path):
    for case in ("a", "b", "c"):
        np.savez(pred / f"{case}.npz", probabilities=np.eye(3, dtype=np.float32)[CELLS[1]].transpose(2, 0, 1))
    result = run("-i", pred, "-o", tmp_path / "out", "--method", "threshold")
    assert result.exit_code == 1
    assert "c.npz has no label file" in str(result.exception)
    assert run("-i", pred, "-o", tmp_path / "out").exit_code == 0  # map needs no probabilities


def test_the_validation_of_a_fold_finds_the_dataset_json_of_the_model(pred, tmp_path):
    validation = tmp_path / "model/fold_0/validation"
    shutil.copytree(pred, validation)
    shutil.move(validation / "dataset.json", tmp_path / "model/dataset.json")
    assert run("-i", validation, "-o", tmp_path / "out").exit_code == 0


NASTY = ("[red]x", "[bold]", ":smile:", "a b", "$HOME", "it's", "*", "a\u0308", "-np", "x" * 120)


@pytest.mark.parametrize("name", NASTY)
def test_nasty_names(tmp_path, name):
    folder, out = tmp_path / f"pred {name}[/]", tmp_path / f"out {name}[/]"  # closing what the name opens
    write_dataset(folder, ".png")
    io.imsave(folder / "good.png", CELLS[1], check_contrast=False)
    shutil.copy(folder / "good.png", folder / f"{name}.png")
    (folder / f"{name}bad.png").write_text("no image")
    result = instances_from_folder(folder, out)
    assert set(result.cases) == {"good", name}
    assert len(result.problems) == 1
    assert f"{name}bad.png: cannot be read" in result.problems[0]
    assert (out / f"{name}.tif").is_file()
    printed = run("-i", folder, "-o", out)
    assert f" {name} " in printed.output
    assert f"2 kept from an earlier run, in {out}\n" in printed.output


def test_a_name_that_is_no_text_is_refused_and_the_others_made(pred, tmp_path):
    os.rename(os.fsencode(pred / "b.png"), os.fsencode(pred) + b"/b\xe9.png")  # SimpleITK would abort
    result = instances_from_folder(pred, tmp_path / "out")
    assert set(result.cases) == {"a"}
    assert result.problems == [f"'{pred}/b\\udce9.png': its name is no text (not UTF-8). Rename it."]
