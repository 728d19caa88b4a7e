"""The families of further losses: what they train with, two iterations of each, and when a term begins."""

import itertools
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import matplotlib.figure
import numpy as np
import pytest
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.training.loss.compound_losses import DC_and_CE_loss
from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss

from nnunet_ext.errors import UserError
from nnunet_ext.losses import (
    CenterlineCrossEntropyLoss,
    ClDiceLoss,
    CrossEntropyLoss,
    FocalLoss,
    LossWithTerm,
    RegionWiseLoss,
    SCNPLoss,
    SkeletonRecallLoss,
    TopologicalLoss,
    TverskyLoss,
    cross_entropy,
)
from nnunet_ext.networks.attention import AttentionGate
from nnunet_ext.trainers import FAMILIES, get_trainer
from nnunet_ext.training.extra_targets.shapes import Depths, Tubes
from nnunet_ext.training.term import TermTrainer

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
from toy_plans import toy_plans
from toy_targets import blobs, write_case

PREFIX = "nnUNetTrainer"
DATASET = "Dataset994_Toy"
CLASSES = {"labels": {"background": 0, "a": 1, "b": 2}}
REGIONS = {"labels": {"background": 0, "whole": [1, 2], "core": 2}, "regions_class_order": [1, 2]}
NEW = [
    "CE",
    "Dice",
    "AttentionUNet",
    *(n.removeprefix(PREFIX) for n in FAMILIES if issubclass(get_trainer(n), TermTrainer)),
]


def bare(name, labels=CLASSES, batch_dice=False):
    """A trainer as far as its loss needs one."""
    trainer = object.__new__(get_trainer(PREFIX + name))
    regions = "regions_class_order" in labels
    trainer.label_manager = SimpleNamespace(
        has_regions=regions, ignore_label=None, foreground_labels=[1, 2], foreground_regions=[(1, 2), 2]
    )
    trainer.configuration_manager = SimpleNamespace(batch_dice=batch_dice, patch_size=(32, 32))
    return trainer


def stock_loss():
    """As nnU-Net builds it."""
    dice = {"batch_dice": True, "smooth": 1e-5, "do_bg": False, "ddp": False}
    return DC_and_CE_loss(dice, {}, dice_class=MemoryEfficientSoftDiceLoss)


def problem():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 3, 9, 9, generator=generator), torch.randint(
        0, 3, (2, 1, 9, 9), generator=generator
    )


# what a name trains with


def test_cross_entropy_and_dice_alone_are_nnunets_halves():
    logits, target = problem()
    parts = [bare(name).build_loss(stock_loss())(logits, target) for name in ("CE", "Dice")]
    assert parts[0] > 0.1 > -0.1 > parts[1]
    torch.testing.assert_close(sum(parts), stock_loss()(logits, target))


@pytest.mark.parametrize("batch_dice", [False, True])
@pytest.mark.parametrize(
    ("name", "kind", "settings"),
    [
        ("Focal", FocalLoss, {"gamma": 2.0}),
        ("Focal_gamma0.5", FocalLoss, {"gamma": 0.5}),
        ("Tversky", TverskyLoss, {"fp": 0.5, "fn": 0.5}),
        ("Tversky_fp0.3_fn0.7", TverskyLoss, {"fp": 0.3, "fn": 0.7}),
        ("RegionWise", RegionWiseLoss, {}),
        ("SkelRecall", SkeletonRecallLoss, {}),
        ("ClDice", ClDiceLoss, {"steps": 10}),
        ("ClDice_iter5", ClDiceLoss, {"steps": 5}),
        ("CenterlineCE", CenterlineCrossEntropyLoss, {"steps": 3}),
        ("Topo", TopologicalLoss, {"patch_size": None, "holes": False}),
        ("Topo_patch50_holes", TopologicalLoss, {"patch_size": 50, "holes": True}),
    ],
)
def test_the_term_has_the_parameters_of_the_name(name, kind, settings, batch_dice):
    term = bare(name, batch_dice=batch_dice).build_term()
    assert type(term) is kind
    assert {key: getattr(term, key) for key in settings} == settings
    assert getattr(term, "batch_dice", batch_dice) == batch_dice


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("Focal", ""), ("Focal_dice", "dice"), ("Tversky", ""), ("Tversky_ce", "ce"), ("RegionWise", ""),
        ("RegionWise_ce", "ce"), ("RegionWise_dice", "dice"), ("RegionWise_ce_dice", "ce dice"),
        ("SkelRecall", "ce"), ("SkelRecall_dice", "ce dice"), ("CenterlineCE", "dice"),
        ("CenterlineCE_ce", "ce dice"), ("ClDice", "dice"), ("ClDice_ce_alpha0.3", "ce dice"),
        ("Topo", "ce"), ("Topo_weight0.5_dice", "ce dice"),
    ],
)  # fmt: skip
def test_what_the_term_is_added_to(name, base):
    logits, target = problem()
    maps = torch.ones_like(target).float()
    given = (maps,) if "Region" in name or "Skel" in name else ()
    trainer = bare(name)
    loss = trainer.build_loss(stock_loss())
    assert isinstance(loss, LossWithTerm)
    shares = {"ClDice": (0.5, 0.5), "ClDice_ce_alpha0.3": (0.3, 0.7), "Topo": (0.01, 1)}
    share = {**shares, "Topo_weight0.5_dice": (0.5, 1)}.get(name, (1, 1))
    expected = share[0] * trainer.build_term()(logits, target, *given)
    if "ce" in base.split():
        expected = expected + share[1] * cross_entropy(logits, target)
    if "dice" in base:
        stock = stock_loss()
        expected = expected + share[1] * stock.dc(logits, target)
    torch.testing.assert_close(loss(logits, target, *given), expected)


def test_extra_targets_of_classes_and_regions():
    assert bare("RegionWise").extra_targets() == (Depths(),)
    assert bare("RegionWise", REGIONS).extra_targets() == (Depths(((1, 2), (2,))),)
    assert bare("SkelRecall").extra_targets() == (Tubes(((1, 2),)),)
    assert bare("SkelRecall_perclass").extra_targets() == (Tubes(((1,), (2,))),)
    assert bare("SkelRecall_perclass", REGIONS).extra_targets() == (Tubes(((1, 2), (2,))),)


def test_on_scnp_the_whole_loss_sees_the_penalised_logits():
    loss = bare("SCNP_SkelRecall_w5_joint").build_loss(stock_loss())
    assert isinstance(loss, SCNPLoss)
    assert (loss.scnp.neighborhood, loss.joint) == (5, True)
    assert isinstance(loss.base_loss, LossWithTerm)
    assert isinstance(loss.base_loss.base, CrossEntropyLoss)


# real trainings


@pytest.fixture
def train(nnunet_folders, monkeypatch):
    """Train a name on toy cases for two iterations per epoch; return the trainer."""
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")

    def run(name, labels=CLASSES, dimensions=2, go_on=False, until=None):
        shape = (1, 48, 48) if dimensions == 2 else (20, 40, 40)
        base = nnunet_folders["nnUNet_preprocessed"] / DATASET
        data = base / "nnUNetPlans_2d"
        if not data.is_dir():
            data.mkdir(parents=True)
            for i in range(4):
                write_case(data, f"case{i}", blobs(shape, i))
            cases = [f"case{i}" for i in range(4)]
            (base / "splits_final.json").write_text(json.dumps([{"train": cases[:3], "val": cases[3:]}]))
            (base / "dataset_fingerprint.json").write_text("{}")
        content = {**labels, "channel_names": {"0": "x"}, "file_ending": ".tif", "numTraining": 4}
        plans = toy_plans(DATASET, dimensions) | {"continue_training": go_on}
        plans["foreground_intensity_properties_per_channel"] = {"0": {}}  # asked for by a prediction
        trainer = get_trainer(PREFIX + name)(plans, "2d", 0, content, torch.device("cpu"))
        if go_on:
            trainer.load_checkpoint(f"{trainer.output_folder}/checkpoint_latest.pth")
        if until is None:
            trainer.run_training()
            return trainer
        trainer.save_every = 1
        start = trainer.on_epoch_start

        def start_or_stop():
            if trainer.current_epoch == until:
                raise InterruptedError
            start()

        trainer.on_epoch_start = start_or_stop
        with pytest.raises(InterruptedError):
            trainer.run_training()
        return trainer

    return run


def predict(trainer):
    """What nnU-Net's own predictor makes of an image with the trained model, from its folder."""
    predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False, use_mirroring=False)
    predictor.initialize_from_trained_model_folder(trainer.output_folder_base, (0,), "checkpoint_final.pth")
    shape = (1, 40, 36) if len(trainer.configuration_manager.patch_size) == 2 else (18, 40, 36)
    image = np.random.default_rng(0).random((1, *shape), np.float32)
    return predictor.predict_single_npy_array(image, {"spacing": [1.0, 1.0, 1.0]}), shape


@pytest.mark.slow
@pytest.mark.parametrize("dimensions", [2, 3], ids=["2d", "3d"])
@pytest.mark.parametrize("labels", [CLASSES, REGIONS], ids=["classes", "regions"])
@pytest.mark.parametrize("name", NEW)
def test_two_iterations_of_every_family(name, labels, dimensions, train, monkeypatch):
    monkeypatch.setattr("nnunetv2.training.logging.nnunet_logger.LocalLogger.plot_progress_png", print)
    wrapper = "SCNP_" if (dimensions == 3) == (labels is CLASSES) else ""  # each of both alone and on SCNP
    trainer = train(f"{wrapper}{name}_1epochs_2iters", labels, dimensions)
    assert trainer.enable_deep_supervision
    log = trainer.logger.local_logger.my_fantastic_logging
    assert np.isfinite([*log["train_losses"], *log["val_losses"]]).all()
    predicted, shape = predict(trainer)
    assert predicted.shape == shape
    assert set(np.unique(predicted)) <= {0, 1, 2}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SkelRecall_attention", "MultiLevelMCE_attention_nodeepsupervision"])
def test_attention_is_an_option_of_every_family(name, train):
    trainer = train(f"{name}_1epochs_2iters")
    assert "attention gates" in trainer.describe_options()
    gates = [module for module in trainer.network.modules() if isinstance(module, AttentionGate)]
    assert len(gates) == 2  # of three skip connections
    assert all(parameter.grad.abs().max() > 0 for gate in gates for parameter in gate.of_skip.parameters())
    predicted, shape = predict(trainer)
    assert predicted.shape == shape
    assert get_trainer(f"{PREFIX}AttentionUNet_attention").same_as == f"{PREFIX}AttentionUNet"


def test_networks_that_no_gate_fits_into_are_refused(nnunet_folders):
    plans = toy_plans(DATASET)
    plans["configurations"]["2d"]["architecture"]["network_class_name"] = "some.where.ResidualUNet"
    content = {**CLASSES, "channel_names": {"0": "x"}, "file_ending": ".tif", "numTraining": 4}
    with pytest.raises(UserError, match=r"for PlainConvUNet and ResidualEncoderUNet, but .*some\.where"):
        get_trainer(f"{PREFIX}AttentionUNet")(plans, "2d", 0, content, torch.device("cpu"))


@pytest.mark.slow
@pytest.mark.parametrize("options", ["", "_onthefly", "_nodeepsupervision"])
def test_variants(options, train, nnunet_folders):
    trainer = train(f"SkelRecall_perclass{options}_1epochs_2iters")
    assert np.isfinite(trainer.logger.local_logger.my_fantastic_logging["train_losses"]).all()
    stored = nnunet_folders["nnUNet_preprocessed"] / DATASET / "nnUNetPlans_2d_tubes_of=1_2"
    assert stored.is_dir() != ("onthefly" in options)


# when a term begins


def terms_of(trainer):
    return [module for module in trainer.loss.modules() if isinstance(module, LossWithTerm)]


@pytest.fixture
def begun(monkeypatch):
    """Epoch by epoch, whether each loss of training and validation had the term."""
    notes = []
    forward = LossWithTerm.forward

    def noting(self, *given):
        notes.append(self.begun)
        return forward(self, *given)

    monkeypatch.setattr(LossWithTerm, "forward", noting)
    return notes


def by_epoch(notes, epochs):
    """The notes of `epochs` epochs, one for each if all of its losses agree."""
    each = len(notes) // epochs
    parts = [set(notes[start : start + each]) for start in range(0, len(notes), each)]
    assert all(len(part) == 1 for part in parts)
    return list(itertools.chain.from_iterable(parts))


@pytest.fixture
def marks(monkeypatch):
    """Where vertical lines are drawn into the plots."""
    found = []
    monkeypatch.setattr(
        "matplotlib.axes.Axes.axvline", lambda self, x, **style: found.append(x) or self.plot([x, x], [0, 1])
    )
    return found


@pytest.mark.slow
def test_a_term_begins_with_its_epoch(train, begun, marks):
    save = matplotlib.figure.Figure.savefig
    trainer = train("SCNP_SkelRecall_from2epochs_4epochs_2iters")
    assert by_epoch(begun, 4) == [False, False, True, True]
    (log,) = Path(trainer.output_folder).glob("training_log_*.txt")
    lines = log.read_text().splitlines()
    assert any("term from epoch 2 on" in line for line in lines)
    at = next(i for i, line in enumerate(lines) if "From this epoch on the loss has its further term" in line)
    assert "Epoch 2" in "".join(lines[at - 4 : at])
    assert marks == [2] * 2 * 4  # two epochs, four axes
    assert matplotlib.figure.Figure.savefig is save
    assert (Path(trainer.output_folder) / "progress.png").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("stop", [1, 3])
def test_a_resumed_training_knows_when(stop, train, begun):
    name = "SkelRecall_from2epochs_4epochs_2iters"
    train(name, until=stop)
    assert by_epoch(begun, stop) == [False, False, True][:stop]
    begun.clear()
    train(name, go_on=True)
    assert by_epoch(begun, 4 - stop) == [False, False, True, True][stop:]


@pytest.mark.parametrize(
    ("name", "epochs", "begins"),
    [
        ("Topo", 1000, 700), ("Topo_10epochs", 10, 7), ("Topo_1epochs", 1, 0), ("SkelRecall", 1000, 0),
        ("Topo_2epochs", 2, 1), ("SCNP_Topo_from5epochs", 1000, 5), ("Topo_from0epochs", 1000, 0),
    ],
)  # fmt: skip
def test_the_first_epoch_of_a_term(name, epochs, begins):
    trainer = bare(name)
    assert (trainer.epochs, trainer.first_epoch_of_term) == (epochs, begins)


def test_tunnels_need_gudhi(train, monkeypatch):
    monkeypatch.setitem(sys.modules, "gudhi", None)
    with pytest.raises(UserError, match=r"pip install 'nnunet-ext\[topo\]'"):
        train("Topo_holes_1epochs_2iters", dimensions=3)


def test_a_term_that_would_never_begin_is_refused(train):
    with pytest.raises(UserError, match=r"begins with epoch 4, but the last of 4 epochs is 3\. Begin"):
        train("SkelRecall_from4epochs_4epochs")
    assert get_trainer(f"{PREFIX}SkelRecall_from0epochs").same_as == f"{PREFIX}SkelRecall"
