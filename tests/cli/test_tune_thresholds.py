"""``nnunet_ext tune-thresholds`` on a results folder as nnU-Net leaves it, with tiny predictions."""

import json
import os
import shutil

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from skimage.io import imread, imsave
from typer.testing import CliRunner

from nnunet_ext.cli.app import app
from nnunet_ext.errors import UserError
from nnunet_ext.networks.multilevel import MultiLevelHead
from nnunet_ext.nnunet_files.hierarchy import hierarchy_of
from nnunet_ext.thresholds.checkpoint import Checkpoint
from nnunet_ext.thresholds.model import TrainedModel
from nnunet_ext.thresholds.tune import tune

TRAINER = "nnUNetTrainerMultiLevelMCE_5epochs"
CHAIN = {"background": 0, "cell": 1, "nucleus": 2}


class Results:
    """Folds of a model: references, probabilities made with given thresholds, and checkpoints."""

    def __init__(self, folders, labels, nesting=None, shape=(24, 31), ending=".png"):
        self.pre = folders["nnUNet_preprocessed"] / "Dataset520_Nested"
        self.folder = folders["nnUNet_results"] / "Dataset520_Nested" / f"{TRAINER}__nnUNetPlans__2d"
        self.json = {"labels": labels, "file_ending": ending, "channel_names": {"0": "grey"}}
        self.json |= {} if nesting is None else {"nesting": nesting}
        if any(isinstance(value, list) for value in labels.values()):
            self.json["regions_class_order"] = [1, 2, 3][: len(labels) - 1]
        self.hierarchy = hierarchy_of(self.json)
        self.shape, self.ending = shape, ending
        (self.pre / "gt_segmentations").mkdir(parents=True)
        self.folder.mkdir(parents=True)
        (self.folder / "dataset.json").write_text(json.dumps(self.json))
        reader = "NaturalImage2DIO" if ending == ".png" else "SimpleITKIO"
        plans = {"dataset_name": self.pre.name, "plans_name": "nnUNetPlans", "label_manager": "LabelManager"}
        plans |= {"image_reader_writer": reader, "configurations": {}}
        plans["nnunet_ext_nesting"] = {key: self.json.get(key) for key in ("labels", "nesting")}
        (self.folder / "plans.json").write_text(json.dumps(plans))

    def write_labels(self, file, labels):
        if self.ending == ".png":
            imsave(file, labels.astype(np.uint8), check_contrast=False)
        else:
            sitk.WriteImage(sitk.GetImageFromArray(labels.astype(np.uint8)), str(file))

    def segment(self, activations, thresholds):
        """Labels, and the probabilities that nnU-Net would write."""
        head = MultiLevelHead(self.hierarchy, thresholds, 10.0, 1.0)
        scores = head.scores([torch.from_numpy(a)[None] for a in activations])[0]
        if self.hierarchy.regions:
            labels = np.zeros(scores.shape[1:], np.uint8)
            for score, label in zip(scores, self.json["regions_class_order"], strict=True):
                labels[score.numpy() > 0] = label
            return labels, scores.sigmoid().numpy()
        return scores.argmax(0).numpy(), scores.softmax(0).numpy()

    def case(self, fold, name, activations, truth, made_with):
        validation = self.folder / f"fold_{fold}" / "validation"
        validation.mkdir(parents=True, exist_ok=True)
        labels, p = self.segment(activations, made_with)
        p = p[:, None] if len(self.shape) == 2 else p
        np.savez_compressed(validation / f"{name}.npz", probabilities=p)
        self.write_labels(validation / f"{name}{self.ending}", labels)
        self.write_labels(self.pre / "gt_segmentations" / f"{name}{self.ending}", truth)

    def checkpoint(self, fold, thresholds, weight=1.0):
        weights = {
            "backbone.w": torch.full((3,), weight),
            "head.thresholds": torch.tensor([theta for chain in thresholds for theta in chain]),
        }
        content = {"network_weights": weights, "trainer_name": TRAINER, "current_epoch": 5}
        torch.save(content, self.folder / f"fold_{fold}" / "checkpoint_final.pth")

    def thresholds(self, fold=0, name="checkpoint_final.pth"):
        content = torch.load(self.folder / f"fold_{fold}" / name, weights_only=False)
        return content["network_weights"]["head.thresholds"].numpy()


def noisy_case(seed, lengths, shape, true_thresholds, labels_of):
    """Activations, and the truth: what true thresholds make of them, with noise."""
    generator = np.random.default_rng(seed)
    activations = [generator.uniform(0, m, shape).astype(np.float32) for m in lengths]
    noisy = [
        np.clip(a + generator.normal(0, 0.05, shape), 0, m).astype(np.float32)
        for a, m in zip(activations, lengths, strict=True)
    ]
    return activations, labels_of(noisy, true_thresholds)[0]


def fill(results, folds, true_thresholds, made_with=None, cases=3):
    """Cases of folds, the same noise in each; true thresholds by fold."""
    lengths = [len(chain) for chain in results.hierarchy.chains]
    made_with = made_with or [[preset(m, j) for j in range(m)] for m in lengths]
    for fold in folds:
        for number in range(cases):
            true = true_thresholds[fold] if isinstance(true_thresholds, dict) else true_thresholds
            activations, truth = noisy_case(number, lengths, results.shape, true, results.segment)
            results.case(fold, f"f{fold}c{number}", activations, truth, made_with)
        results.checkpoint(fold, made_with)
    return results


def preset(levels, j):
    return [[0.5], [2 / 3, 4 / 3], [0.6, 1.5, 2.4]][levels - 1][j]


TRUE = [[0.4, 1.6]]
CELLS, TREE = {"cell": 1, "nucleus": 2}, {"cell": {"nucleus": {}}, "debris": {}}
#: labels, nesting, true thresholds; tuned thresholds, Dice before and after
EXPECTED = {
    "one": ({"a": 1}, None, [[0.3]], [0.285], [0.83696], [0.97316]),
    "chain": (CELLS, None, TRUE, [0.395, 1.605], [0.70481, 0.74297], [0.96242, 0.93685]),
    "ignore": ({**CELLS, "ignore": 3}, None, TRUE, [0.395, 1.605], [0.70481, 0.74297], [0.96242, 0.93685]),
    "regions": (
        {"cell": [1, 2], "nucleus": 2},
        None,
        TRUE,
        [0.395, 1.605],
        [0.90919, 0.74297],
        [0.98777, 0.93685],
    ),
    "tree": (
        {**CELLS, "debris": 3},
        TREE,
        [[0.4, 1.6], [0.8]],
        [0.415, 1.605, 0.865],
        [0.62208, 0.75723, 0.37067],
        [0.96274, 0.94916, 0.74451],
    ),
    "tree of regions": (
        {"cell": [1, 2], "nucleus": [2], "debris": [3]},
        None,
        [[0.4, 1.6], [0.8]],
        [0.415, 1.605, 0.805],
        [0.6905, 0.5992, 0.59669],
        [0.96636, 0.92753, 0.90694],
    ),
}


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch):
    """Commands that are printed say so, wherever the tests run."""
    monkeypatch.setattr("nnunet_ext.training.device.gpus", lambda: {"cuda": False, "mps": False})


@pytest.fixture
def chain(nnunet_folders):
    return fill(Results(nnunet_folders, CHAIN, ["cell", "nucleus"]), [0], TRUE)


def run(*words, fold=(0,), trainer=TRAINER):
    words = ["-d", 520, "-c", "2d", "-tr", trainer, "-f", *fold, *words]
    return CliRunner().invoke(app, ["tune-thresholds", *map(str, words)])


def tuned(*words, **more):
    result = run(*words, **more)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def refused(*words, **more):
    result = run(*words, **more)
    assert isinstance(result.exception, UserError), (result.output, result.exception)
    return str(result.exception)


def row(output, name):
    """The cells of the last row of a class or fold."""
    lines = [line for line in output.splitlines() if line.startswith("│") and line.split()[1] == name]
    return lines[-1].replace("│", " ").split()[1:]


def slow_dice(results, thresholds, fold=0):
    """Mean Dice per class of the fold's cases segmented with thresholds, from the files alone."""
    values = []
    for npz in sorted((results.folder / f"fold_{fold}" / "validation").glob("*.npz")):
        p = np.load(npz)["probabilities"]
        a = np.log(p[1] / p[0]) / 8 + preset(2, 0)
        found = (a[0] > thresholds[0]).astype(int) + (a[0] > thresholds[1])
        truth = imread(results.pre / "gt_segmentations" / f"{npz.stem}.png")
        values.append(
            [
                2 * ((found == c) & (truth == c)).sum() / ((found == c).sum() + (truth == c).sum())
                for c in (1, 2)
            ]
        )
    return np.mean(values, 0)


def test_finds_the_thresholds_behind_the_truth_and_says_what_they_gain(chain):
    output = tuned()
    theta = chain.thresholds()
    np.testing.assert_allclose(theta, TRUE[0], atol=0.03)
    before, after = slow_dice(chain, [2 / 3, 4 / 3]), slow_dice(chain, theta)
    for k, name in enumerate(["cell", "nucleus"]):
        numbers = [float(cell) for cell in row(output, name)]
        expected = [preset(2, k), theta[k], before[k], after[k]]
        np.testing.assert_allclose(numbers, expected, atol=5.1e-4 if k > 3 else 6e-4)
    assert float(row(output, "mean")[-1]) == pytest.approx(after.mean(), abs=6e-5)
    assert after.mean() > before.mean() + 0.1
    assert f"nnUNetv2_train 520 2d 0 -tr {TRAINER} -p nnUNetPlans -device cpu --val --npz" in output
    assert "agree" not in output


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("name", EXPECTED)
def test_literal_thresholds_and_dice(nnunet_folders, name, dtype):
    """Of two folds; the numbers are those of an earlier implementation."""
    labels, nesting, true, thresholds, before, after = EXPECTED[name]
    results = fill(Results(nnunet_folders, {"background": 0, **labels}, nesting), [0, 1], true)
    for file in results.folder.glob("fold_*/validation/*.npz"):
        np.savez_compressed(file, probabilities=np.load(file)["probabilities"].astype(dtype))
    model = TrainedModel("520", "2d", TRAINER, "nnUNetPlans")
    tuning = tune(model, model.folds(["0", "1"], "checkpoint_final.pth"))
    np.testing.assert_allclose(tuning.thresholds, thresholds, rtol=1e-6)
    np.testing.assert_allclose(tuning.dice(), [before, after], atol=1e-5)
    for fold in (0, 1):  # they have the same cases
        np.testing.assert_allclose(tuning.own[fold], thresholds, rtol=1e-6)
        np.testing.assert_allclose(tuning.dice(fold), [before, after], atol=1e-5)
    assert tuning.costs == [0, 0]


def test_the_untuned_file_is_kept_and_nothing_else_changes(chain):
    fold = chain.folder / "fold_0"
    before = (fold / "checkpoint_final.pth").read_bytes()
    tuned()
    assert (fold / "checkpoint_final_untuned.pth").read_bytes() == before
    content = torch.load(fold / "checkpoint_final.pth", weights_only=False)
    assert content["current_epoch"] == 5
    assert content["network_weights"]["backbone.w"].tolist() == [1, 1, 1]
    assert content["network_weights"]["head.thresholds"].dtype == torch.float32
    assert {path.name for path in fold.iterdir()} == {
        "checkpoint_final.pth",
        "checkpoint_final_untuned.pth",
        "validation",
    }


def test_twice_gives_the_same_even_from_a_copy(chain):
    tuned()
    first, file = chain.thresholds(), chain.folder / "fold_0" / "checkpoint_final.pth"
    written = file.read_bytes()
    output = tuned()
    assert "has these thresholds already" in output
    assert file.read_bytes() == written
    copy = chain.folder.with_name("copy")
    shutil.copytree(chain.folder, copy, copy_function=shutil.copyfile)  # all dates are new
    shutil.rmtree(chain.folder)
    copy.rename(chain.folder)
    tuned("--class", "cell")
    assert chain.thresholds().tolist() != first.tolist()
    tuned()
    assert chain.thresholds().tolist() == first.tolist()
    assert chain.thresholds(name="checkpoint_final_untuned.pth").tolist() == pytest.approx([2 / 3, 4 / 3])


def test_predictions_made_again_with_the_tuned_thresholds_give_the_same(chain):
    tuned()
    first = chain.thresholds()
    fill_again = [first.tolist()]
    for number in (0, 1):  # the third case is still of the old thresholds: a validation that was cut off
        activations, truth = noisy_case(number, [2], chain.shape, TRUE, chain.segment)
        chain.case(0, f"f0c{number}", activations, truth, fill_again)
    output = tuned()
    np.testing.assert_allclose(chain.thresholds(), first, atol=0.011)
    tuned("--class", "nucleus")  # on record are now two kinds of predictions
    tuned()
    np.testing.assert_allclose(chain.thresholds(), first, atol=0.011)
    assert float(row(output, "mean")[-1]) == pytest.approx(slow_dice_of(chain, first), abs=2e-3)


def slow_dice_of(results, theta):
    """Mean Dice of activations that are made anew."""
    values = []
    for number in range(3):
        activations, truth = noisy_case(number, [2], results.shape, TRUE, results.segment)
        found = results.segment(activations, [theta.tolist()])[0]
        values += [
            2 * ((found == c) & (truth == c)).sum() / ((found == c).sum() + (truth == c).sum())
            for c in (1, 2)
        ]
    return np.mean(values)


def test_a_newer_training_replaces_the_untuned_file(chain):
    tuned()
    chain.checkpoint(0, [[2 / 3, 4 / 3]], weight=2.0)
    tuned()
    untuned = torch.load(chain.folder / "fold_0" / "checkpoint_final_untuned.pth", weights_only=False)
    assert untuned["network_weights"]["backbone.w"].tolist() == [2, 2, 2]
    np.testing.assert_allclose(chain.thresholds(), TRUE[0], atol=0.03)


def test_a_finished_training_that_is_continued_keeps_the_untuned_file(chain):
    """nnU-Net then saves the tuned network as its own, without what we noted in it."""
    tuned()
    first = chain.thresholds()
    chain.checkpoint(0, [first.tolist()])
    error = refused()
    assert "do not fit" in error
    assert "--val --npz" in error
    fill(chain, [0], TRUE, made_with=[first.tolist()])
    tuned()
    np.testing.assert_allclose(chain.thresholds(), first, atol=0.011)
    assert chain.thresholds(name="checkpoint_final_untuned.pth").tolist() == pytest.approx([2 / 3, 4 / 3])


def test_dry_run_and_figure(chain, tmp_path):
    picture = tmp_path / "new" / "thresholds.png"
    before = (chain.folder / "fold_0" / "checkpoint_final.pth").read_bytes()
    output = tuned("--dry-run", "-o", picture)
    assert (chain.folder / "fold_0" / "checkpoint_final.pth").read_bytes() == before
    assert not (chain.folder / "fold_0" / "checkpoint_final_untuned.pth").exists()
    assert f"Wrote {picture}" in output
    assert imread(picture).shape[1] > 800
    assert [path.name for path in picture.parent.iterdir()] == ["thresholds.png"]


def test_one_class(chain):
    output = tuned("--class", "nucleus")
    theta = chain.thresholds()
    assert theta[0] == np.float32(2 / 3)
    assert theta[1] == pytest.approx(1.6, abs=0.03)
    assert float(row(output, "nucleus")[-1]) == pytest.approx(slow_dice(chain, theta)[1], abs=6e-5)


def test_a_threshold_beyond_its_level_is_pointed_out(nnunet_folders):
    fill(Results(nnunet_folders, CHAIN), [0], [[1.2, 1.6]])
    output = tuned()
    assert "θ of cell is 1." in output
    assert "not between 0 and 1" in output
    assert "θ of nucleus is" not in output


def test_the_best_checkpoint_needs_its_own_predictions(chain):
    folder = chain.folder / "fold_0"
    (folder / "checkpoint_final.pth").rename(folder / "checkpoint_best.pth")
    output = tuned("-chk", "checkpoint_best.pth")
    assert "have to be of checkpoint_best.pth" in output
    assert "--val --val_best --npz" in output
    for npz in (folder / "validation").glob("*.npz"):
        npz.unlink()
    assert "--val --val_best --npz" in refused("-chk", "checkpoint_best.pth")


def test_help_has_an_example():
    result = CliRunner().invoke(app, ["tune-thresholds", "--help"])
    assert result.exit_code == 0
    assert "Example: nnunet_ext tune-thresholds" in result.output


def test_folds_that_agree_share_thresholds(nnunet_folders):
    results = fill(Results(nnunet_folders, CHAIN), [0, 1], {0: [[0.4, 1.6]], 1: [[0.41, 1.59]]})
    output = tuned(fold=(0, 1))
    assert results.thresholds(0).tolist() == results.thresholds(1).tolist()
    assert "The folds agree" in output
    assert "fold 0 + 1, 6 cases" in output
    costs = [float(row(output, str(fold))[-1]) for fold in (0, 1)]
    assert all(0 <= cost < 0.005 for cost in costs)


def test_folds_that_do_not_agree(nnunet_folders, tmp_path):
    true = {0: [[0.4, 1.6]], 1: [[0.9, 1.2]]}
    results = fill(Results(nnunet_folders, CHAIN), [0, 1], true)
    output = tuned("-o", tmp_path / "folds.png", fold=(0, 1))
    assert "The folds do not agree" in output
    theta = results.thresholds(0)
    assert theta.tolist() == results.thresholds(1).tolist()
    for fold in (0, 1):
        own = [float(cell) for cell in row(output, str(fold))[:2]]
        np.testing.assert_allclose(own, true[fold][0], atol=0.04)
        cost = slow_dice(results, own, fold).mean() - slow_dice(results, theta, fold).mean()
        assert float(row(output, str(fold))[-1]) == pytest.approx(cost, abs=2e-3)
    pooled = np.mean([slow_dice(results, theta, fold).mean() for fold in (0, 1)])
    assert float(row(output, "mean")[-1]) == pytest.approx(pooled, abs=6e-5)


def test_folds_tuned_apart_before_are_told_apart(nnunet_folders):
    fill(Results(nnunet_folders, CHAIN), [0, 1], {0: [[0.4, 1.6]], 1: [[0.9, 1.2]]})
    tuned(fold=(0,))
    output = tuned(fold=(0, 1))
    assert row(output, "cell")[0] == "differs"


def test_regions(nnunet_folders):
    labels = {"background": 0, "cell": [1, 2], "nucleus": 2}
    results = fill(Results(nnunet_folders, labels), [0], TRUE)
    tuned()
    np.testing.assert_allclose(results.thresholds(), TRUE[0], atol=0.03)


def test_a_volume_keeps_its_axes(nnunet_folders):
    results = Results(nnunet_folders, {"background": 0, "organ": 1}, shape=(5, 12, 18), ending=".nii.gz")
    fill(results, [0], [[0.8]])
    tuned()
    np.testing.assert_allclose(results.thresholds(), [0.8], atol=0.03)


def test_ignored_voxels_take_no_part(nnunet_folders):
    results = fill(Results(nnunet_folders, {**CHAIN, "ignore": 3}), [0], TRUE)
    for file in (results.pre / "gt_segmentations").iterdir():
        labels = imread(file)
        results.write_labels(file, np.where(np.indices(labels.shape)[0] < 4, 3, labels))
    tuned()
    theta = results.thresholds()
    np.testing.assert_allclose(theta, TRUE[0], atol=0.04)


def test_a_tree_is_tuned_chain_by_chain_and_measured_whole(nnunet_folders):
    labels = {**CHAIN, "debris": 3}
    results = Results(nnunet_folders, labels, {"cell": {"nucleus": {}}, "debris": {}})
    assert [len(c) for c in results.hierarchy.chains] == [2, 1]
    generator = np.random.default_rng(0)
    for number in range(2):
        debris = np.zeros(results.shape, bool)
        debris[:, :8] = True
        a = [np.where(debris, 0, generator.uniform(0, 2, results.shape)).astype(np.float32)]
        a.append(np.where(debris, generator.uniform(0, 1, results.shape), 0).astype(np.float32))
        truth = results.segment(a, [[0.4, 1.6], [0.3]])[0]
        results.case(0, f"c{number}", a, truth, [[2 / 3, 4 / 3], [0.5]])
    results.checkpoint(0, [[2 / 3, 4 / 3], [0.5]])
    output = tuned()
    np.testing.assert_allclose(results.thresholds(), [0.4, 1.6, 0.3], atol=0.03)
    assert float(row(output, "mean")[-1]) > 0.97
    found = results.segment(a, [results.thresholds()[:2].tolist(), results.thresholds()[2:].tolist()])[0]
    assert (found == truth).mean() > 0.98


def test_a_tree_that_would_lose_is_left_alone(nnunet_folders):
    """The debris channel lights up on cells, where cells win; by itself it looks far too eager."""
    labels = {"background": 0, "cell": 1, "debris": 2}
    results = Results(nnunet_folders, labels, {"cell": {}, "debris": {}})
    generator = np.random.default_rng(0)
    truth = np.zeros(results.shape, np.uint8)
    truth[:, :12], truth[:, 20:] = 1, 2
    cell = np.where(truth == 1, 0.95, 0.05)
    debris = np.where(truth == 1, 0.6, np.where(truth == 2, generator.uniform(0.55, 0.95, truth.shape), 0.05))
    results.case(0, "c", [cell.astype(np.float32), debris.astype(np.float32)], truth, [[0.5], [0.5]])
    results.checkpoint(0, [[0.5], [0.5]])
    error = refused()
    assert "Nothing was written" in error
    assert results.thresholds().tolist() == [0.5, 0.5]


def test_predictions_of_another_network_are_refused(chain):
    chain.checkpoint(0, [[0.3, 1.7]])
    error = refused()
    assert "do not fit" in error
    assert f"nnUNetv2_train 520 2d 0 -tr {TRAINER} -p nnUNetPlans -device cpu --val --npz" in error
    assert not (chain.folder / "fold_0" / "checkpoint_final_untuned.pth").exists()


def test_only_folds_with_stale_predictions_are_to_be_validated_again(nnunet_folders):
    results = fill(Results(nnunet_folders, CHAIN), [0, 1], TRUE)
    results.checkpoint(1, [[0.3, 1.7]])
    error = refused(fold=(0, 1))
    assert error.startswith("3 of 6 cases cannot be used")
    assert "f1c2.npz was not made with the checkpoint's thresholds" in error
    assert "nnUNetv2_train 520 2d 1 " in error
    assert "nnUNetv2_train 520 2d 0 " not in error


def test_probabilities_of_an_earlier_validation_are_refused(chain):
    """Trained again without --npz: the segmentations are new, the probabilities are not."""
    file = chain.folder / "fold_0" / "validation" / "f0c1.png"
    labels = imread(file)
    labels[3, 4] = (labels[3, 4] + 1) % 3
    chain.write_labels(file, labels)
    assert "f0c1.npz and f0c1.png are not of the same prediction" in refused()


@pytest.mark.parametrize("which", ["all", "one"])
def test_missing_probabilities_name_the_command(chain, which):
    validation = chain.folder / "fold_0" / "validation"
    for file in validation.glob("*.npz") if which == "all" else [validation / "f0c1.npz"]:
        file.unlink()
    error = refused()
    assert f"nnUNetv2_train 520 2d 0 -tr {TRAINER} -p nnUNetPlans -device cpu --val --npz" in error
    assert "f0c0.png and 2 more" in error if which == "all" else "f0c1.png" in error


def test_hidden_files_are_no_predictions(chain):
    expected = row(tuned("--dry-run"), "nucleus")
    for name in ("._f0c0.npz", "._f0c0.png"):  # what macOS writes beside the files
        (chain.folder / "fold_0" / "validation" / name).write_bytes(b"no array")
    assert row(tuned("--dry-run"), "nucleus") == expected


def test_mistakes_are_sentences(chain):
    assert "nnUNetTrainerMultiLevelMCE" in refused(trainer="nnUNetTrainer")
    assert "no thresholds to tune" in refused(trainer="nnUNetTrainerSCNP")
    assert f"{TRAINER}__nnUNetPlans__2d" in refused(trainer="nnUNetTrainerMultiLevelMCE")
    assert "fold_0" in refused(fold=(3,))
    assert "checkpoint_final.pth" in refused("-chk", "checkpoint_best.pth")
    assert "kept as it is" in refused("-chk", "checkpoint_final_untuned.pth")
    assert "cell, nucleus" in refused("--class", "vessel")
    assert "picture" in refused("-o", "thresholds.txt")
    (chain.pre / "gt_segmentations" / "f0c2.png").unlink()
    assert "f0c2.png" in refused()


def test_a_class_that_is_nowhere_cannot_be_tuned(chain):
    for file in (chain.pre / "gt_segmentations").iterdir():
        chain.write_labels(file, np.minimum(imread(file), 1))
    assert "'nucleus'" in refused("--class", "nucleus")
    output = tuned()
    assert row(output, "nucleus")[-1] == "–"


def test_broken_files_are_named(chain):
    validation = chain.folder / "fold_0" / "validation"
    (validation / "f0c0.npz").write_bytes(b"nothing")
    assert "f0c0.npz" in refused()
    (chain.folder / "fold_0" / "checkpoint_final.pth").write_bytes(b"nothing")
    assert "checkpoint_final.pth cannot be read" in refused()


class Hidden:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("where", ["checkpoint_final.pth", "checkpoint_final_untuned.pth"])
def test_a_checkpoint_runs_nothing_unless_it_is_trusted(chain, tmp_path, where):
    file, made = chain.folder / "fold_0" / where, tmp_path / "made"
    final = chain.folder / "fold_0" / "checkpoint_final.pth"
    torch.save({**torch.load(final, weights_only=False), "more": Hidden(made)}, file)
    before = final.read_bytes()
    error = refused()
    assert f"{where} was not loaded: it holds" in error
    assert "--trust" in error
    assert final.read_bytes() == before
    assert not made.exists()
    tuned("--trust")
    assert made.exists()
    np.testing.assert_allclose(chain.thresholds(), TRUE[0], atol=0.03)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_thresholds_that_are_no_numbers_are_refused(chain, value):
    chain.checkpoint(0, [[value, 4 / 3]])
    assert "thresholds that are no numbers" in refused()


@pytest.mark.parametrize("value", ["x", [1.0], torch.zeros(2, 2), None])
def test_thresholds_of_another_shape_are_refused(chain, value):
    file = chain.folder / "fold_0" / "checkpoint_final.pth"
    content = torch.load(file, weights_only=False)
    content["network_weights"]["head.thresholds"] = value
    torch.save(content, file)
    assert "checkpoint_final.pth has" in refused()


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        ("dataset.json", {"file_ending": 3}, "dataset.json: file_ending is 3; expected a text"),
        ("dataset.json", {"labels": ["cell"]}, "dataset.json: labels is"),
        ("plans.json", {"image_reader_writer": None}, "plans.json: image_reader_writer is null"),
        ("plans.json", {"image_reader_writer": "NoReader"}, "nnU-Net does not accept its plans"),
        ("plans.json", {"label_manager": "NoManager"}, "nnU-Net does not accept its plans"),
    ],
)
def test_files_of_the_model_of_another_shape_are_named(chain, file, change, words):
    path = chain.folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert words in refused()


@pytest.mark.parametrize("content", [{"network_weights": None}, {"network_weights": [1]}, {}])
def test_a_checkpoint_of_something_else_is_refused(chain, content):
    torch.save(content, chain.folder / "fold_0" / "checkpoint_final.pth")
    assert "has no thresholds" in refused()


@pytest.mark.parametrize("record", [None, 3, {"f0c0.npz": None}, {"f0c0.npz": {"content": [1]}}])
def test_a_record_of_another_shape_is_none(chain, record):
    file = chain.folder / "fold_0" / "checkpoint_final.pth"
    torch.save({**torch.load(file, weights_only=False), "nnunet_ext_thresholds": record}, file)
    tuned()
    np.testing.assert_allclose(chain.thresholds(), TRUE[0], atol=0.03)


@pytest.mark.parametrize("damage", ["cut", "text", "empty"])
@pytest.mark.parametrize("what", ["npz", "segmentation", "reference"])
def test_no_checkpoint_is_written_when_a_case_cannot_be_read(chain, what, damage):
    fold = chain.folder / "fold_0"
    folder, ending = (
        (chain.pre / "gt_segmentations", "png") if what == "reference" else (fold / "validation", "png")
    )
    file = folder / f"f0c1.{'npz' if what == 'npz' else ending}"
    content = file.read_bytes()
    file.write_bytes({"cut": content[: len(content) // 2], "text": b"nothing", "empty": b""}[damage])
    before = (fold / "checkpoint_final.pth").read_bytes()
    assert "f0c1" in refused()
    assert (fold / "checkpoint_final.pth").read_bytes() == before
    assert not (fold / "checkpoint_final_untuned.pth").exists()


def test_a_fold_without_cases_is_refused(chain):
    for file in (chain.folder / "fold_0" / "validation").iterdir():
        file.unlink()
    assert "no probabilities (.npz) of any case" in refused()
    (chain.folder / "fold_0" / "validation").rmdir()
    assert "no probabilities (.npz) of any case" in refused()


def test_nothing_is_left_when_writing_fails(chain, monkeypatch):
    file = chain.folder / "fold_0" / "checkpoint_final.pth"
    before = file.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space"):
        Checkpoint(file).write(np.array([0.1, 0.2], np.float32), [])
    assert file.read_bytes() == before
    assert not list(file.parent.glob(".*"))


def test_a_reference_that_is_cut_off_tunes_nothing(nnunet_folders):
    """SimpleITK would read what is missing as background."""
    results = fill(Results(nnunet_folders, CHAIN, ["cell", "nucleus"], ending=".nii.gz"), [0], TRUE)
    file = next((results.pre / "gt_segmentations").iterdir())
    file.write_bytes(file.read_bytes()[:-30])
    folder = results.folder / "fold_0"
    before = {path: path.read_bytes() for path in folder.glob("*.pth")}
    assert f"{file.name}: the file is damaged or cut off" in refused()
    assert {path: path.read_bytes() for path in folder.glob("*.pth")} == before
