"""Networks of nested classes inside nnU-Net's trainer: build, train, validate, resume, predict."""

import copy
import json
import os

import numpy as np
import pytest
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from toy_plans import toy_plans
from toy_targets import blobs, write_case

from nnunet_ext.errors import UserError
from nnunet_ext.trainers import get_trainer
from nnunet_ext.training.multilevel import IN_PLANS, hierarchy_in

DATASET = "Dataset997_Toy"
CASES = [f"case{i}" for i in range(4)]
SHAPES = {"2d": (1, 48, 48), "3d": (16, 32, 32)}
CLASSES = {"background": 0, "cell": 1, "nucleus": 2}
REGIONS = {"background": 0, "nucleus": 2, "cell": [1, 2]}
NAMES = [f"nnUNetTrainerMultiLevel{loss}" for loss in ("SSE", "MCE", "NCE")]


@pytest.fixture(params=["2d"])
def dataset(request, nnunet_folders, monkeypatch):
    """Four preprocessed cases, three to train on and one to validate with."""
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")
    base = nnunet_folders["nnUNet_preprocessed"] / DATASET
    data = base / "nnUNetPlans_2d"
    data.mkdir(parents=True)
    for i, case in enumerate(CASES):
        write_case(data, case, blobs(SHAPES[request.param], i))
    (base / "splits_final.json").write_text(json.dumps([{"train": CASES[:3], "val": CASES[3:]}]))
    (base / "dataset_fingerprint.json").write_text("{}")
    return base


def make(name, labels=CLASSES, nesting=None, plans=None, **architecture):
    content = {"labels": labels, "channel_names": {"0": "x"}, "file_ending": ".tif", "numTraining": 4}
    if nesting is not None:
        content["nesting"] = nesting
    if any(isinstance(value, list) for value in labels.values()):
        content["regions_class_order"] = [2, 1]
    plans = plans or toy_plans(DATASET, **architecture)
    torch.manual_seed(0)
    np.random.seed(0)
    return get_trainer(name)(plans, "2d", 0, content, torch.device("cpu"))


def train_one_epoch(trainer):
    trainer.on_train_start()
    trainer.on_epoch_start()
    trainer.on_train_epoch_start()
    losses = [trainer.train_step(next(trainer.dataloader_train))["loss"] for _ in range(2)]
    trainer.on_train_epoch_end([{"loss": loss} for loss in losses])
    trainer.on_validation_epoch_start()
    result = trainer.validation_step(next(trainer.dataloader_val))
    return losses, result


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("labels", [CLASSES, REGIONS], ids=["classes", "regions"])
@pytest.mark.parametrize("options", ["", "_nodeepsupervision_kappa6_h0.8"])
def test_training_and_validation(name, labels, options, dataset):
    trainer = make(name + options + "_1epochs_2iters", labels)
    losses, result = train_one_epoch(trainer)
    assert np.isfinite([*losses, result["loss"]]).all()
    assert len(result["tp_hard"]) == 2  # pseudo Dice of both classes
    network = trainer.plain_network
    assert network.head.channels == 1
    assert trainer.loss.training is False
    gradients = [p.grad.abs().max() for p in network.backbone.decoder.seg_layers[-1].parameters()]
    assert max(gradients) > 0


@pytest.mark.parametrize(
    ("options", "gain"), [("", 0.2), ("_kappa4", 0.5), ("_gain1", 1.0), ("_kappa4_gain0.1", 0.1)]
)
def test_each_step_starts_with_a_slope_of_two_unless_the_name_says_so(options, gain, dataset):
    trainer = make(f"nnUNetTrainerMultiLevelMCE{options}_1epochs_2iters")
    trainer.initialize()
    assert trainer.plain_network.head.gain.item() == pytest.approx(gain)
    assert f"gain of the head {gain:g}," in trainer.describe_options()


@pytest.mark.parametrize("options", ["", "_nodeepsupervision"])
@pytest.mark.parametrize("name", NAMES)
def test_nnunets_validation_loss_is_the_training_loss_of_the_same_output(name, options, dataset):
    trainer = make(f"{name}{options}_1epochs_2iters")
    trainer.on_train_start()
    with torch.no_grad():
        for layer in trainer.plain_network.backbone.decoder.seg_layers:
            layer.weight.mul_(200)  # saturated
    trainer.on_validation_epoch_start()
    trainer.network.eval()
    batch = next(trainer.dataloader_val)
    found = trainer.validation_step({key: copy.deepcopy(value) for key, value in batch.items()})["loss"]
    trainer.loss.train()
    trainer.plain_network.head.train()  # then it gives channels; the rest stays in evaluation
    with torch.no_grad():
        expected = trainer.loss(trainer.network(batch["data"]), batch["target"])
    assert float(found) == float(expected)
    if name.endswith("MCE"):
        assert float(expected) > 20


@pytest.mark.parametrize("dataset", ["3d"], indirect=True)
def test_3d_tree_residual_encoder(dataset):
    labels = {"background": 0, "cell": 1, "debris": 2}
    nesting = {"cell": {}, "debris": {}}
    trainer = make("nnUNetTrainerMultiLevelMCE_1epochs_2iters", labels, nesting, dimensions=3, residual=True)
    losses, result = train_one_epoch(trainer)
    assert np.isfinite([*losses, result["loss"]]).all()
    assert trainer.plain_network.head.channels == 2
    assert type(trainer.plain_network.backbone).__name__ == "ResidualEncoderUNet"
    trainer.set_deep_supervision_enabled(False)
    trainer.network.eval()
    assert trainer.network(torch.zeros(1, 1, 16, 32, 32)).shape == (1, 3, 16, 32, 32)


def test_mce_has_the_class_counts_of_the_fold(dataset):
    trainer = make("nnUNetTrainerMultiLevelMCE_1epochs_2iters")
    trainer.initialize()
    trainer.get_tr_and_val_datasets()
    counts = [sum(int((blobs(SHAPES["2d"], i) == y).sum()) for i in range(3)) for y in range(3)]
    weights = trainer._multi_level_loss._tables["chain 0"].tolist()
    assert weights == pytest.approx([sum(counts) / count for count in counts])
    other = make("nnUNetTrainerMultiLevelSSE_1epochs_2iters")
    other.initialize()
    other.get_tr_and_val_datasets()
    assert "chain 0" not in other._multi_level_loss._tables


def test_checkpoint_resumes_and_predicts_with_its_thresholds(dataset, nnunet_folders):
    name = "nnUNetTrainerMultiLevelMCE_1epochs_2iters"
    trainer = make(name)
    trainer.initialize()
    trainer.plain_network.head.thresholds.copy_(torch.tensor([0.4, 1.7]))
    folder = nnunet_folders["nnUNet_results"] / DATASET / f"{name}__nnUNetPlans__2d"
    plans = trainer.plans_manager.plans
    for file, content in (("plans.json", plans), ("dataset.json", trainer.dataset_json)):
        (folder / file).write_text(json.dumps(content))
    trainer.disable_checkpointing = False
    trainer.save_checkpoint(str(folder / "fold_0" / "checkpoint_final.pth"))

    resumed = make(name)
    resumed.load_checkpoint(str(folder / "fold_0" / "checkpoint_final.pth"))
    for key, value in trainer.network.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[key]), key
    assert resumed.plain_network.head.thresholds.tolist() == pytest.approx([0.4, 1.7])

    predictor = nnUNetPredictor(use_mirroring=False, device=torch.device("cpu"))
    predictor.initialize_from_trained_model_folder(str(folder), (0,))
    image = torch.randn(1, 1, 32, 32)
    trainer.set_deep_supervision_enabled(False)
    trainer.network.eval()
    torch.testing.assert_close(predictor.network.eval()(image), trainer.network(image))


SWAPPED = ["nucleus", "cell"]  # as many classes, chains and weights


def saved_fold(name, nnunet_folders):
    """Folder of a model whose fold 0 has a checkpoint."""
    folder = nnunet_folders["nnUNet_results"] / DATASET / f"{name}__nnUNetPlans__2d"
    (folder / "fold_0").mkdir(parents=True)
    trainer = make(name)
    trainer.initialize()
    trainer.disable_checkpointing = False
    (folder / "plans.json").write_text(json.dumps(trainer.plans_manager.plans))
    trainer.save_checkpoint(str(folder / "fold_0" / "checkpoint_final.pth"))
    return folder


@pytest.mark.parametrize("command", ["nnUNetv2_train", "pytest"])
def test_other_nesting_than_the_checkpoint_is_refused(command, dataset, nnunet_folders, monkeypatch):
    name = "nnUNetTrainerMultiLevelSSE_1epochs_2iters"
    checkpoint = str(saved_fold(name, nnunet_folders) / "fold_0" / "checkpoint_final.pth")
    monkeypatch.setattr("sys.argv", [command])
    make(name, nesting=["cell", "nucleus"]).load_checkpoint(checkpoint)  # said, not changed
    for labels, nesting in ((CLASSES, SWAPPED), (CLASSES, {"cell": {}, "nucleus": {}}), (REGIONS, None)):
        refused = make(name, labels, nesting)
        with pytest.raises(SystemExit if command == "nnUNetv2_train" else UserError) as error:
            refused.load_checkpoint(checkpoint)
        assert f"{checkpoint} was trained with {{cell: {{nucleus: {{}}}}}}" in str(error.value)


class Hidden:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("family", ["nnUNetTrainerMultiLevelSSE", "nnUNetTrainerExt", "nnUNetTrainerSCNP_JC"])
def test_training_on_runs_nothing_that_is_hidden_in_a_checkpoint(family, dataset, tmp_path, monkeypatch):
    """nnU-Net would: it reads its checkpoints without care."""
    monkeypatch.setattr("sys.argv", ["nnUNetv2_train"])
    trainer, made, file = make(f"{family}_1epochs_2iters"), tmp_path / "made", tmp_path / "checkpoint.pth"
    trainer.initialize()
    trainer.disable_checkpointing = False
    trainer.save_checkpoint(str(file))
    content = torch.load(file, weights_only=False)
    trainer.load_checkpoint(str(file))
    torch.save({**content, "more": Hidden(made)}, file)
    with pytest.raises(SystemExit, match=r"checkpoint.pth was not loaded: it holds .*mkdir"):
        trainer.load_checkpoint(str(file))
    assert not made.exists()
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(SystemExit, match=r"checkpoint.pth cannot be read as a checkpoint: it is cut short"):
        trainer.load_checkpoint(str(file))


def test_other_nesting_than_other_folds_is_refused(dataset, nnunet_folders):
    """plans.json, from which a prediction knows the nesting, belongs to all folds."""
    name = "nnUNetTrainerMultiLevelSSE_1epochs_2iters"
    folder = saved_fold(name, nnunet_folders)
    make(name, nesting=SWAPPED).on_train_start()  # the only fold, from the start
    before = (folder / "plans.json").read_text()
    (folder / "fold_0").rename(folder / "fold_1")
    with pytest.raises(UserError, match=r"__2d was trained with \{nucleus: \{cell: \{\}\}\}, but"):
        make(name).on_train_start()
    assert (folder / "plans.json").read_text() == before
    make(name, nesting=SWAPPED).on_train_start()


def test_thresholds_of_pretrained_weights_are_left_behind(dataset):
    trainer = make("nnUNetTrainerMultiLevelMCE_1epochs_2iters")
    trainer.initialize()
    trainer.plain_network.head.set_thresholds([[0.1, 0.2]])  # as nnU-Net does with -pretrained_weights
    trainer.on_train_start()
    assert trainer.plain_network.head.thresholds.tolist() == pytest.approx([2 / 3, 4 / 3])
    trainer.plain_network.head.set_thresholds([[0.1, 0.2]])
    trainer.current_epoch = 1  # resumed
    trainer.on_train_start()
    assert trainer.plain_network.head.thresholds.tolist() == pytest.approx([0.1, 0.2])


def test_hierarchy_travels_in_the_plans(dataset):
    trainer = make(NAMES[0], {**CLASSES, "debris": 3}, {"cell": {"nucleus": {}}, "debris": {}})
    plans = json.loads(json.dumps(trainer.plans_manager.plans))
    assert hierarchy_in(plans) == trainer.hierarchy
    del plans[IN_PLANS]
    with pytest.raises(ValueError, match=r"use the plans\.json in the results folder"):
        hierarchy_in(plans)


def test_a_wrong_nesting_is_refused_before_anything_is_written(dataset, nnunet_folders):
    with pytest.raises(UserError, match="'nucleus'"):
        make(NAMES[0], CLASSES, ["cell"])
    assert not list(nnunet_folders["nnUNet_results"].iterdir())


@pytest.mark.parametrize("name", NAMES)
def test_nothing_else_of_the_trainer_is_ours(name):
    assert get_trainer(name).__mro__[-2] is nnUNetTrainer
