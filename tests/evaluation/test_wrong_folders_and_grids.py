"""Predictions that lie elsewhere than their references, and folders that hold something else."""

import json
import os

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from nnunet_ext.errors import UserError
from nnunet_ext.images.instance_files import write_instances
from nnunet_ext.metrics import evaluate_folders, evaluate_instance_folders

FLIPPED = (-1, 0, 0, 0, -1, 0, 0, 0, 1)


def write_nifti(file, array, spacing=(1, 1, 1), origin=(0, 0, 0), direction=None):
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    if direction:
        image.SetDirection(direction)
    sitk.WriteImage(image, str(file))


def cells(shape=(4, 12, 16)):
    """Three cells that no mirroring maps onto each other."""
    instances = np.zeros(shape, np.uint8)
    instances[..., 1:3, 1:4], instances[..., 1:5, 9:11], instances[..., 7:9, 2:10] = 1, 2, 3
    return instances


def make_folders(root, ending=".nii.gz"):
    (root / "ref").mkdir()
    (root / "pred").mkdir()
    (root / "dataset.json").write_text(
        json.dumps({"labels": {"background": 0, "a": 1, "b": 2, "c": 3}, "file_ending": ending})
    )
    return root / "ref", root / "pred"


@pytest.mark.parametrize("evaluate", [evaluate_folders, evaluate_instance_folders])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"direction": FLIPPED}, "pred/a.nii.gz: direction -1 x "),
        ({"origin": (0, 0, 5)}, "pred/a.nii.gz: origin 0 x 0 x 5 against 0 x 0 x 0 in the reference"),
        ({"spacing": (1, 1, 2)}, "pred/a.nii.gz: spacing 2 x 1 x 1 against 1 x 1 x 1 in the reference"),
    ],
)
def test_another_grid_is_refused_by_name(tmp_path, evaluate, changes, message):
    folders = make_folders(tmp_path)
    for case in ("a", "b"):
        write_nifti(folders[0] / f"{case}.nii.gz", cells())
        write_nifti(folders[1] / f"{case}.nii.gz", cells(), **(changes if case == "a" else {}))
    with pytest.raises(UserError) as error:
        evaluate(*folders)
    text = str(error.value)
    assert text.startswith("1 of 2 cases cannot be evaluated:")
    assert message in text
    assert "--ignore-headers" in text
    summary = evaluate(*folders, ignore_headers=True)
    assert any(
        "1 predictions do not state the grid" in note and "a.nii.gz" in note for note in summary["notes"]
    )
    assert summary["foreground_mean"]["PQ" if "pooled" in summary else "Dice"] == 1


def forget_place(file):
    """Save a NIfTI file again with neither sform nor qform, nor a spacing."""
    image = nibabel.Nifti1Image(np.asarray(nibabel.load(file).dataobj), None)
    assert (int(image.header["sform_code"]), int(image.header["qform_code"])) == (0, 0)
    nibabel.save(image, file)


@pytest.mark.parametrize("evaluate", [evaluate_folders, evaluate_instance_folders])
@pytest.mark.parametrize("shape", [(4, 12, 16), (1, 12, 16)])
@pytest.mark.parametrize(("which", "words"), [(0, "in the reference"), (1, "unlike the reference")])
def test_a_place_that_only_one_file_states_is_that_of_both(tmp_path, evaluate, shape, which, words):
    folders = make_folders(tmp_path)
    for case in ("a", "b"):
        for folder in folders:
            write_nifti(folder / f"{case}.nii.gz", cells(shape), (0.5, 0.5, 2), (3, 4, 5), FLIPPED)
    forget_place(folders[which] / "a.nii.gz")
    summary = evaluate(*folders)
    note = next(note for note in summary["notes"] if "grid" in note)
    assert "1 predictions do not state the grid of their references, and were compared voxel by voxel" in note
    said = f"neither sform nor qform to say where the voxels lie{',' * which} {words}"
    assert f"(a.nii.gz: {said})" in note
    assert summary["foreground_mean"]["PQ" if "pooled" in summary else "Dice"] == 1


@pytest.mark.parametrize("evaluate", [evaluate_folders, evaluate_instance_folders])
def test_two_files_without_a_place_are_nothing_to_say(tmp_path, evaluate):
    folders = make_folders(tmp_path)
    for folder in folders:
        write_nifti(folder / "a.nii.gz", cells())
        forget_place(folder / "a.nii.gz")
    assert not any("grid" in note for note in evaluate(*folders)["notes"])


def test_a_reader_that_turns_makes_two_grids_of_files_with_and_without_a_place(tmp_path):
    """It has turned each array by its own header: they no longer lie on the same voxels."""
    folders = make_folders(tmp_path)
    content = json.loads((tmp_path / "dataset.json").read_text())
    content["overwrite_image_reader_writer"] = "NibabelIOWithReorient"
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    for folder in folders:
        write_nifti(folder / "a.nii.gz", cells(), (0.5, 0.5, 2), (3, 4, 5))
    forget_place(folders[1] / "a.nii.gz")
    with pytest.raises(UserError, match="so the two lie in different places"):
        evaluate_folders(*folders)


@pytest.mark.parametrize("evaluate", [evaluate_folders, evaluate_instance_folders])
@pytest.mark.parametrize("changes", [{"direction": FLIPPED}, {"origin": (0, 4, 0)}, {"spacing": (1, 2, 1)}])
def test_another_grid_of_one_slice(tmp_path, evaluate, changes):
    folders = make_folders(tmp_path)
    write_nifti(folders[0] / "a.nii.gz", cells((1, 12, 16)))
    write_nifti(folders[1] / "a.nii.gz", cells((1, 12, 16)), **changes)
    with pytest.raises(UserError, match=rf"pred/a.nii.gz: {next(iter(changes))} .* in the reference"):
        evaluate(*folders)


@pytest.mark.parametrize("evaluate", [evaluate_folders, evaluate_instance_folders])
def test_rounded_headers_are_no_other_grid(tmp_path, evaluate):
    folders = make_folders(tmp_path)
    for folder, spacing in zip(folders, ((0.7031250, 0.7031250, 3.0), (0.70312, 0.70312, 3.0)), strict=True):
        write_nifti(folder / "a.nii.gz", cells(), spacing, origin=(-100.1234567, 3, 4))
    assert "grid" not in str(evaluate(*folders)["notes"])


def test_a_reorienting_reader_compares_both_in_one_orientation(tmp_path):
    folders = make_folders(tmp_path)
    content = json.loads((tmp_path / "dataset.json").read_text())
    content["overwrite_image_reader_writer"] = "NibabelIOWithReorient"
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    shape = np.array(cells().shape[::-1])
    write_nifti(folders[0] / "a.nii.gz", cells())
    # the same image in space, its x and y stored the other way round
    write_nifti(
        folders[1] / "a.nii.gz",
        cells()[:, ::-1, ::-1].copy(),
        (1, 1, 1),
        (*(shape - 1)[:2].tolist(), 0),
        FLIPPED,
    )
    summary = evaluate_folders(*folders)
    assert summary["foreground_mean"]["Dice"] == 1


def test_a_tif_that_was_stored_in_another_orientation_is_refused(tmp_path):
    folders = make_folders(tmp_path)
    write_nifti(folders[0] / "a.nii.gz", cells(), direction=FLIPPED)
    write_instances(folders[1] / "a.tif", cells())
    assert evaluate_instance_folders(*folders)["pooled"]["PQ"] == 1
    write_instances(folders[1] / "a.tif", cells()[:, ::-1, ::-1])
    with pytest.raises(
        UserError, match=r"pred/a.tif: .* hardly match the reference, but mirrored along y and x they"
    ):
        evaluate_instance_folders(*folders)
    assert evaluate_instance_folders(*folders, ignore_headers=True)["pooled"]["tp"] == 0


@pytest.mark.parametrize(
    ("turn", "words"),
    [
        (lambda a: a[:, ::-1], "mirrored along x they do"),
        (lambda a: a.T, "its axes in the order x y they do"),
        (lambda a: np.rot90(a), "its axes in the order x y and mirrored along"),
    ],
)
def test_mirrored_and_swapped_axes_in_2d(tmp_path, turn, words):
    folders = make_folders(tmp_path)
    square = cells((16, 16))
    write_instances(folders[0] / "a.tif", square)
    write_instances(folders[1] / "a.tif", turn(square))
    with pytest.raises(UserError, match=words):
        evaluate_instance_folders(*folders)


def test_swapped_axes_of_another_shape_are_said(tmp_path):
    folders = make_folders(tmp_path)
    write_instances(folders[0] / "a.tif", cells((12, 16)))
    write_instances(folders[1] / "a.tif", cells((12, 16)).T)
    with pytest.raises(
        UserError, match=r"shape \(16, 12\), but the reference has \(12, 16\): its axes are in"
    ):
        evaluate_instance_folders(*folders)


def test_a_bad_prediction_is_no_mirrored_one(tmp_path):
    folders = make_folders(tmp_path)
    write_instances(folders[0] / "a.tif", cells((12, 16)))
    for prediction in (np.roll(cells((12, 16)), 5, 0), np.zeros((12, 16), np.uint8)):
        write_instances(folders[1] / "a.tif", prediction)
        assert evaluate_instance_folders(*folders)["pooled"]["tp"] == 0


def test_another_spacing_of_tifs_is_said(tmp_path):
    folders = make_folders(tmp_path)
    write_instances(folders[0] / "a.tif", cells(), (2, 0.5, 0.5))
    write_instances(folders[1] / "a.tif", cells(), (1, 1, 1))
    notes = evaluate_instance_folders(*folders)["notes"]
    assert any("a.tif: spacing 1 x 1 x 1 against 2 x 0.5 x 0.5 in the reference" in note for note in notes)
    write_instances(folders[1] / "a.tif", cells())  # does not say
    assert not any("grid" in note for note in evaluate_instance_folders(*folders)["notes"])


def make_raw_dataset(root):
    raw = root / "Dataset501_Cells"
    for name in ("labelsTs", "instancesTs", "imagesTs"):
        (raw / name).mkdir(parents=True)
        write_instances(raw / name / "a.tif", cells())
    (root / "pred").mkdir()
    write_instances(root / "pred" / "a.tif", cells())
    (raw / "dataset.json").write_text(
        json.dumps({"labels": {"background": 0, "a": 1, "b": 2, "c": 3}, "file_ending": ".tif"})
    )
    return raw, root / "pred"


@pytest.mark.parametrize(
    ("name", "kind"), [("labelsTs", "classes"), ("imagesTs", "images"), ("", "a whole dataset")]
)
def test_folders_of_a_dataset_that_hold_no_instances(tmp_path, name, kind):
    raw, prediction = make_raw_dataset(tmp_path)
    with pytest.raises(UserError, match=rf"-ref .* holds {kind}.*, not instances. Give .*/instancesTs\."):
        evaluate_instance_folders(raw / name, prediction)
    assert evaluate_instance_folders(raw / "instancesTs", prediction)["pooled"]["PQ"] == 1


def test_folders_of_a_dataset_that_hold_no_classes(tmp_path):
    raw, prediction = make_raw_dataset(tmp_path)
    with pytest.raises(
        UserError, match=r"-ref .*instancesTs holds instances, not classes. Give .*/labelsTs\. .*--inst"
    ):
        evaluate_folders(raw / "instancesTs", prediction)
    with pytest.raises(UserError, match=r"-ref .*imagesTs holds images, not classes. Give .*/labelsTs"):
        evaluate_folders(raw / "imagesTs", prediction)
    (prediction / "instances.json").write_text("{}")
    with pytest.raises(UserError, match=r"-pred .*pred holds instances"):
        evaluate_folders(raw / "labelsTs", prediction)


def test_ids_that_look_like_classes(tmp_path):
    folders = make_folders(tmp_path)
    many = np.zeros((30, 30), np.uint8)
    many[1::3, 1::3] = 1
    many[2::3, 1::3] = 2
    numbered = np.zeros((30, 30), np.uint16)
    numbered[many > 0] = np.arange(1, np.count_nonzero(many) + 1)
    write_instances(folders[0] / "a.tif", many)
    write_instances(folders[1] / "a.tif", numbered)
    (note,) = evaluate_instance_folders(*folders)["notes"]
    assert "ids of the references in" in note
    assert "look like classes" in note
    (note,) = evaluate_instance_folders(*folders[::-1])["notes"]
    assert "ids of the predictions in" in note
    write_instances(folders[0] / "a.tif", numbered)
    assert not any("classes" in note for note in evaluate_instance_folders(*folders)["notes"])


@pytest.mark.parametrize("evaluate", [evaluate_folders, evaluate_instance_folders])
def test_a_folder_with_itself_or_its_copy(tmp_path, evaluate):
    folders = make_folders(tmp_path)
    for folder in folders:
        write_nifti(folder / "a.nii.gz", cells())
        write_nifti(folder / "b.nii.gz", np.zeros((2, 3, 4), np.uint8))
    link = tmp_path / "link"
    link.symlink_to(folders[0])
    for other in (folders[0], link):
        with pytest.raises(UserError, match="-ref and -pred are one folder"):
            evaluate(folders[0], other)
    (note,) = evaluate(*folders)["notes"]
    assert "equal their references voxel by voxel" in note


def test_swapped_folders_are_said(tmp_path):
    folders = make_folders(tmp_path)
    for folder in folders:
        write_instances(folder / "a.tif", cells((12, 16)))
    for mark, evaluate in (
        ("instances.json", evaluate_instance_folders),
        ("predict_from_raw_data_args.json", evaluate_folders),
    ):
        (tmp_path / "dataset.json").write_text(
            json.dumps({"labels": {"background": 0, "a": 1, "b": 2, "c": 3}, "file_ending": ".tif"})
        )
        (folders[0] / mark).write_text("{}")
        assert any("-ref and -pred swapped?" in note for note in evaluate(*folders)["notes"])
        (folders[0] / mark).unlink()


@pytest.mark.parametrize("evaluate", [evaluate_folders, evaluate_instance_folders])
def test_what_is_no_file_is_not_passed_over(tmp_path, evaluate):
    folders = make_folders(tmp_path)
    for folder in folders:
        write_nifti(folder / "a.nii.gz", cells())
        (folder / "._a.nii.gz").write_bytes(b"left by macOS")
    assert len(evaluate(*folders)["metric_per_case"]) == 1
    (folders[0] / "b.nii.gz").symlink_to(tmp_path / "gone.nii.gz")
    with pytest.raises(UserError, match=r"ref/b.nii.gz: a link to a file that is not there"):
        evaluate(*folders)
    os.remove(folders[0] / "b.nii.gz")
    (folders[1] / "c.nii.gz").mkdir()
    with pytest.raises(UserError, match=r"pred/c.nii.gz: a folder, but it is named like"):
        evaluate(*folders)


def test_reference_and_prediction_of_different_formats(tmp_path):
    folders = make_folders(tmp_path)
    write_nifti(folders[0] / "a.nii.gz", cells())
    write_instances(folders[1] / "a.tif", cells())
    write_instances(folders[0] / "b.tiff", cells())  # tif goes before NIfTI, and a case would vanish
    with pytest.raises(UserError, match=r"No reference in .*ref for 1 predictions: a.tif"):
        evaluate_instance_folders(*folders)
    (folders[1] / "b.tif").write_bytes((folders[1] / "a.tif").read_bytes())
    (folders[1] / "a.tif").unlink()
    summary = evaluate_instance_folders(*folders)
    assert summary["metric_per_case"][0]["reference_file"].endswith("b.tiff")
    assert any("not 1 others: a.nii.gz" in note for note in summary["notes"])


def test_physical_tolerances_in_another_unit_are_refused(tmp_path):
    folders = make_folders(tmp_path)
    for folder in folders:
        write_instances(folder / "a.tif", cells(), (0.002, 0.0005, 0.0005))  # mm, taken for µm
    with pytest.raises(
        UserError, match=r"the whole image measures 0.008 x 0.006 x 0.008 \(voxels of 0.002 x"
    ):
        evaluate_instance_folders(*folders, physical=True, tolerances=[0.5])
    assert (
        evaluate_instance_folders(*folders, physical=True, tolerances=[0.001])["settings"]["unit"]
        == "physical"
    )


@pytest.mark.parametrize(("side", "named"), [(0, "references"), (1, "predictions")])
def test_a_background_with_a_number_is_said(tmp_path, side, named):
    folders = make_folders(tmp_path, ".tif")
    for number, folder in enumerate(folders):
        write_instances(folder / "a.tif", np.roll(cells(), number, -1) + (number == side))
    (note,) = evaluate_instance_folders(*folders)["notes"]
    assert note.startswith(f"No voxel of 1 {named} (a.tif) is 0, the background")
    write_instances(folders[1 - side] / "a.tif", cells() + 4)  # cells that fill both
    assert not evaluate_instance_folders(*folders)["notes"]


@pytest.mark.parametrize(
    ("steps", "spacing", "said"),
    [
        ((2.0, 1.0, 1.0), None, True),
        ((1.0, 1.0, 1.0), None, False),  # cubes, as those without a spacing
        ((2.0, 1.0, 1.0), (2, 1, 1), False),
    ],
)
def test_spacings_that_only_some_references_state_are_said(tmp_path, steps, spacing, said):
    folders = make_folders(tmp_path, ".tif")
    for case, stated in (("a", steps), ("b", None)):
        write_instances(folders[0] / f"{case}.tif", cells(), stated)
        write_instances(folders[1] / f"{case}.tif", np.roll(cells(), 1, -1))
    notes = evaluate_instance_folders(*folders, spacing=spacing)["notes"]
    assert [note[:45] for note in notes] == ["1 of 2 references (b.tif) state no spacing: t"] * said
