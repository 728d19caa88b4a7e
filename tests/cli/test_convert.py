"""``nnunet_ext convert`` as typed."""

from __future__ import annotations

import io as io_text
import json
import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
from fresh import modules_after
from skimage import io
from typer.testing import CliRunner

from nnunet_ext.cli.conversion_summary import _cases_table, catalogue_table
from nnunet_ext.cli.convert import convert_app
from nnunet_ext.dataset_conversion import CATALOGUE, load
from nnunet_ext.errors import UserError

runner = CliRunner()


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A TopoMortar of three cases; the folders of nnU-Net are set."""
    for name in ("raw", "preprocessed", "results"):
        monkeypatch.setenv(f"nnUNet_{name}", str(tmp_path / name))
    root = tmp_path / "TopoMortar"
    for part, number in (("train", 1), ("val", 51), ("test", 71)):
        kinds = ("images", "accurate") if part == "test" else ("images", "accurate", "noisy")
        for kind in kinds:
            file = root / part / kind / f"{number:03d}.png"
            file.parent.mkdir(parents=True)
            pixels = np.zeros((16, 16, 3) if kind == "images" else (16, 16), np.uint8)
            pixels[:4] = 255
            if part == "test" and kind == "accurate":
                pixels[9, :6] = 8
            io.imsave(file, pixels, check_contrast=False)
    return root


def run(*words: object) -> str:
    result = runner.invoke(convert_app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def test_convert_prints_a_summary(source: Path) -> None:
    text = run("topomortar", "-i", source, "-d", 501, "-np", 2)
    assert "3 cases converted." in text
    assert "25.00%" in text
    assert "test/accurate/071.png: 6 pixels (value 8: 6), thresholded at 127" in text
    assert "Split: fold 0, in " in text
    assert "Next: nnUNetv2_plan_and_preprocess -d 501 --verify_dataset_integrity" in text
    assert (source.parent / "raw/Dataset501_TopoMortar/dataset.json").exists()


def test_second_run_says_there_is_nothing_to_do(source: Path) -> None:
    run("topomortar", "-i", source, "-d", 501)
    assert "Dataset501_TopoMortar is complete already: nothing to do." in run(
        "topomortar", "-i", source, "-d", 501
    )


def test_options_reach_the_converter(source: Path) -> None:
    run("topomortar", "-i", source, "-d", 7, "--labels", "noisy", "--name", "Noisy")
    report = (source.parent / "raw/Dataset007_Noisy/conversion_report.json").read_text()
    assert '"labels": "noisy"' in report
    result = runner.invoke(convert_app, ["topomortar", "-i", str(source), "-d", "7", "--name", "Noisy"])
    assert isinstance(result.exception, UserError)
    assert "--overwrite" in str(result.exception)
    text = run("topomortar", "-i", source, "-d", 7, "--name", "Noisy", "--overwrite")
    assert "3 cases converted." in text


def test_without_preprocessed_folder_the_split_is_explained(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("nnUNet_preprocessed")
    assert "nnUNet_preprocessed is not set. Set it and run this again" in run(
        "topomortar", "-i", source, "-d", 501
    )


def test_wrong_choice_lists_the_choices(source: Path) -> None:
    result = runner.invoke(convert_app, ["topomortar", "-i", str(source), "-d", "501", "--labels", "exact"])
    assert result.exit_code == 2
    for choice in ("accurate", "noisy", "pseudo"):
        assert choice in result.output


def test_errors_are_for_people(source: Path) -> None:
    result = runner.invoke(convert_app, ["topomortar", "-i", "nowhere", "-d", "501"])
    assert isinstance(result.exception, UserError)
    assert "nowhere does not exist" in str(result.exception)


def test_help_lists_licence_and_source() -> None:
    text = run("--help")
    for word in ("dsb2018", "instances", "plantseg", "topomortar", "MIT", "github.com/jmlipman/TopoMortar"):
        assert word in text
    text = run("topomortar", "--help")
    for word in ("--labels", "-np", "--overwrite", "Example"):
        assert word in text
    assert text.index("Options of this dataset") < text.index("--labels")


def test_the_list_of_datasets() -> None:
    text = run("--list")
    for word in (
        *("name", "task", "dim.", "train / val / test", "classes", "licence", "registration", "serves"),
        *("topomortar", "mortar between bricks", "2D", "50 / 20 / 350", "MIT", "SCNP, Table I.10"),
    ):
        assert word in text, word


def test_the_list_in_a_narrow_terminal_says_the_same() -> None:
    from rich.console import Console

    console = Console(width=80, record=True, file=io_text.StringIO())
    console.print(catalogue_table({name: load(name) for name in CATALOGUE}, 80))
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) < 7 * len(CATALOGUE)
    words = " ".join(" ".join(lines).split())
    for name in CATALOGUE:
        assert f" {name} " in words
    for word in ("mortar", "50 / 20 / 350", "MIT;", "registration:", "T2 256 / 31 / 31,"):
        assert word in words, word


def test_many_groups_are_counted() -> None:
    report = {"counts": {"train": 30}, "classes": {}, "notes": []}
    for groups, words in (
        ({"angles": 3, "shadows": 27}, "train: 3 angles, 27 shadows"),
        ({f"P{i}": 1 + (i == 0) for i in range(29)}, "train: 29 groups of 1 to 2 cases"),
        ({f"P{i}": 2 for i in range(15)}, "train: 15 groups of 2 cases"),
        ({"P1": 30}, ""),
    ):
        assert _cases_table("a", {**report, "groups": {"train": groups}}).caption == words


def test_keys_are_for_hdf5_alone() -> None:
    with_keys = {name for name in CATALOGUE if "image_key" in {spec.name for spec in load(name).options()}}
    assert with_keys == {"instances", "plantseg"}


def test_every_dataset_says_what_it_is() -> None:
    for name in CATALOGUE:
        converter = load(name)
        facts = converter.facts
        assert facts.task, name
        assert facts.dimension in ("2D", "3D", "2D, 3D"), name
        assert facts.cases, name
        assert facts.classes, name
        assert facts.split, name
        assert converter.title, name
        if converter.url:
            assert converter.licence, name
            assert converter.reference, name


def test_wrong_cases_are_skipped_aloud(source: Path) -> None:
    (source / "train/accurate/001.png").unlink()
    io.imsave(source / "train/images/002.png", np.zeros((16, 16, 3), np.uint8), check_contrast=False)
    io.imsave(source / "train/accurate/002.png", np.zeros((16, 16), np.uint8), check_contrast=False)
    arguments = ["topomortar", "-i", str(source), "-d", "501", "--on-error", "skip"]
    result = runner.invoke(convert_app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert "Skipped: 1 case that cannot be converted" in result.output
    assert "  train/accurate/001.png: missing" in result.output
    assert "3 cases converted." in result.output
    assert isinstance(runner.invoke(convert_app, arguments[:-2]).exception, UserError)


@pytest.mark.parametrize("flags", [("--part-id", "--num-parts"), ("-part_id", "-num_parts")])
def test_parts_of_a_job_array(source: Path, flags: tuple[str, str]) -> None:
    part, parts = flags
    text = run("topomortar", "-i", source, "-d", 501, part, 0, parts, 2)
    assert "2 cases converted. 1 case is left to other parts: Dataset501_TopoMortar is complete" in text
    text = run("topomortar", "-i", source, "-d", 501, part, 1, parts, 2)
    assert text.startswith("1 case converted. ")
    assert "Next: nnUNetv2_plan_and_preprocess" in text


@pytest.mark.parametrize("words", [["--help"], ["--list"], ["fives", "--help"]])
def test_help_imports_no_imaging_library(words: list[str]) -> None:
    heavy = {"torch", "nnunetv2", "skimage", "tifffile", "PIL", "h5py"}
    assert not heavy & modules_after("convert", *words)


def test_a_dataset_is_imported_alone() -> None:
    loaded = modules_after("convert", "fives", "--help")
    modules = {
        name: f"nnunet_ext.dataset_conversion.{CATALOGUE[name].partition(':')[0]}" for name in CATALOGUE
    }
    assert {name for name, module in modules.items() if module in loaded} == {"fives"}


# --- instances ----------------------------------------------------------------------------------


@pytest.fixture
def stacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two tif stacks with labels and one new stack, without spacing."""
    for name in ("raw", "preprocessed", "results"):
        monkeypatch.setenv(f"nnUNet_{name}", str(tmp_path / name))
    ids = np.zeros((6, 24, 24), np.uint16)
    ids[:, 2:12, 2:12], ids[:, 2:12, 12:22] = 5, 9
    for place, number in (("images", 2), ("labels", 2), ("new", 1)):
        (tmp_path / place).mkdir()
        for i in range(number):
            pixels = ids if place == "labels" else (ids * 20 + i + 2 * (place == "new")).astype(np.uint8)
            tifffile.imwrite(tmp_path / place / f"c{i}.tif", pixels, photometric="minisblack")
    return tmp_path


def test_instances_with_all_flags(stacks: Path) -> None:
    text = run(
        *("instances", "-i", stacks / "images", "-l", stacks / "labels", "-d", 510, "-n", "MyCells"),
        *("--classes", 3, "--physical-radii", "--touching-radius", 0.4, "--spacing", 0.5, 0.2, 0.2),
        *("--test", stacks / "new", "-np", 1),
    )
    folder = stacks / "raw/Dataset510_MyCells"
    assert "3 cases converted." in text
    assert "instances │ 4 │ -" in text
    assert "voxels touching (2) │ 480 (6.94%) │ -" in text  # 2 stacks × 6 slices × 10 rows × 4 columns
    assert "2 training cases: nnU-Net's own five folds need 5" in text
    assert "Split: folds 0 to 1, in " in text
    assert "Next: nnUNetv2_plan_and_preprocess -d 510" in text
    assert json.loads((folder / "imagesTs/test_c0.json").read_text()) == {"spacing": [0.5, 0.2, 0.2]}
    report = json.loads((folder / "conversion_report.json").read_text())
    assert report["identity"]["parameters"] == {
        "classes": 3,
        "touching_radius": 0.4,
        "gap_radius": None,
        "physical_radii": True,
        "spacing": [0.5, 0.2, 0.2],
        "split_components": False,
        "image_key": "raw",
        "label_key": "label",
        "labels": str(stacks / "labels"),
    }


def test_both_spellings_of_the_name(stacks: Path) -> None:
    for dataset_id, flag in ((510, "-n"), (511, "--name")):
        run("instances", "-i", stacks / "images", "-l", stacks / "labels", "-d", dataset_id, flag, "Cells")
        assert (stacks / f"raw/Dataset{dataset_id}_Cells/dataset.json").exists()


def test_test_images_and_their_labels(stacks: Path) -> None:
    (stacks / "new_labels").mkdir()
    (stacks / "new_labels/c0.tif").write_bytes((stacks / "labels/c0.tif").read_bytes())
    run(
        *("instances", "-i", stacks / "images", "-l", stacks / "labels", "-d", 510),
        *("--test", stacks / "new", stacks / "new_labels"),
    )
    assert len(list((stacks / "raw/Dataset510_Instances/instancesTs").iterdir())) == 1


@pytest.mark.parametrize(
    ("models", "label", "named"),
    [
        ((), "Next, when a model is trained", "-c CONFIGURATION -f FOLD -tr TRAINER"),
        (
            ("nnUNetTrainerJC__nnUNetPlans__3d_fullres/fold_1",),
            "Next:",
            "-c 3d_fullres -f 1 -tr nnUNetTrainerJC",
        ),
        (
            ("nnUNetTrainerJC__nnUNetPlansSmall__2d/fold_1", "nnUNetTrainerJC__nnUNetPlansSmall__2d/fold_0"),
            "Next:",
            "-c 2d -f 0 1 -tr nnUNetTrainerJC -p nnUNetPlansSmall",
        ),
        (
            ("A__nnUNetPlans__2d/fold_0", "B__P__2d/fold_all"),
            "Next, with the newest of 2",
            "-f all -tr B -p P",
        ),
    ],
)
def test_after_new_test_images_comes_prediction(stacks: Path, models, label, named, monkeypatch) -> None:
    monkeypatch.setattr("nnunet_ext.training.device.gpus", lambda: {"cuda": False, "mps": False})
    words = ("instances", "-i", stacks / "images", "-l", stacks / "labels", "-d", 510)
    assert "Next: nnUNetv2_plan_and_preprocess" in run(*words)
    for age, name in enumerate(models):
        checkpoint = stacks / "results/Dataset510_Instances" / name / "checkpoint_final.pth"
        checkpoint.parent.mkdir(parents=True)
        checkpoint.touch()
        os.utime(checkpoint, (1000 + age, 1000 + age))
    text = run(*words, "--test", stacks / "new")
    assert "1 case converted, 2 kept" in text
    line = "Next" + text.strip().rpartition("Next")[2]
    assert line.startswith(label)
    images = stacks / "raw/Dataset510_Instances/imagesTs"
    assert line.endswith(f"{named} -i {images} -o predicted -device cpu")
    assert "nnUNetv2_predict -d 510 -c" in line


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--physical-radii", "--touching-radius", 1, "--gap-radius", 2), "2 of 2 images state no spacing"),
        (("--physical-radii",), "--physical-radii needs --touching-radius and --gap-radius"),
        (("--spacing", 1, 2), "--spacing has 2 values, but the images are 3D: give z y x"),
        (("--touching-radius", -1), "--touching-radius -1.0 is not possible"),
        (("--test", "nowhere"), "nowhere does not exist. Give a folder of test images with --test"),
        (("--test", "a", "b", "c"), "got 3 folders"),
    ],
)
def test_mistakes_are_said_before_anything_is_written(
    stacks: Path, words: tuple[object, ...], said: str
) -> None:
    with pytest.raises(UserError) as caught:
        run("instances", "-i", stacks / "images", "-l", stacks / "labels", "-d", 510, *words)
    assert said in str(caught.value)
    assert not (stacks / "raw").exists()


def test_a_dataset_that_is_not_there() -> None:
    result = runner.invoke(convert_app, ["fifes"])
    assert result.exit_code == 2
    assert "No such command 'fifes'" in result.output


def test_help_of_instances_shows_every_flag() -> None:
    text = run("instances", "--help")
    for word in (
        *(
            "-l",
            "-n",
            "-np",
            "--classes",
            "--touching-radius",
            "--gap-radius",
            "--physical-radii",
            "--spacing",
        ),
        *(
            "--test",
            "--image-key",
            "--label-key",
            "--split-components",
            "--overwrite",
            "2 voxels",
            "7 voxels",
        ),
        "Example: nnunet_ext convert instances -i images -l labels -d 510 -n MyCells",
    ):
        assert word in text
    assert "Licence" not in text
