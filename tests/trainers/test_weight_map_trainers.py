"""The families of weighted cross-entropy: their maps, losses and options, alone and on SCNP."""

from types import SimpleNamespace

import pytest
import torch
from nnunetv2.training.loss.compound_losses import DC_and_BCE_loss, DC_and_CE_loss
from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss
from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

from nnunet_ext.errors import UserError
from nnunet_ext.losses import SCNPLoss, WeightedCrossEntropy, same_class_neighbor_penalization
from nnunet_ext.losses import weighted_cross_entropy as function
from nnunet_ext.trainers import FAMILIES, get_trainer
from nnunet_ext.training.extra_targets import UserWeights
from nnunet_ext.training.extra_targets.weight_maps import (
    ClassBalance,
    DistanceMap,
    ShapeAware,
    UNetMap,
)
from nnunet_ext.training.weighted import WeightedTrainer

PREFIX = "nnUNetTrainer"
WEIGHTED = [name.removeprefix(PREFIX) for name in FAMILIES if issubclass(get_trainer(name), WeightedTrainer)]
LABELS = {"background": 0, "touching": 1, "cell": 2, "gap": 3}


def trainer_of(name, labels=LABELS, regions=False, ignore_label=None):
    """A trainer as far as loss and maps need one."""
    trainer = object.__new__(recursive_find_trainer_class_by_name(PREFIX + name))
    trainer.label_manager = SimpleNamespace(has_regions=regions, ignore_label=ignore_label)
    trainer.dataset_json = {"labels": labels, "file_ending": ".png"}
    trainer.plans_manager = SimpleNamespace(
        dataset_name="Dataset510_Cells", image_reader_writer_class=dict, transpose_forward=[0, 1, 2]
    )
    return trainer


def test_there_are_five():
    assert WEIGHTED == ["BWM", "UNetWM", "DWM", "SAW", "Weighted"]


@pytest.mark.parametrize("wrapper", ["", "SCNP_"])
@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("BWM", ClassBalance()),
        ("BWM_dice", ClassBalance()),
        ("UNetWM", UNetMap(10.0, 5.0, (2,))),
        ("UNetWM_peak3_sigma10", UNetMap(3.0, 10.0, (2,))),
        ("UNetWM_peak3_sigma10_cascade", UNetMap(3.0, 10.0, (2,), True)),
        ("DWM", DistanceMap(30.0)),
        ("DWM_beta12.5", DistanceMap(12.5)),
        ("SAW", ShapeAware(2.0, None, (2,))),
        ("SAW_sigma0_tau4.5", ShapeAware(0.0, 4.5, (2,))),
    ],
)
def test_the_map_has_the_parameters_of_the_name(wrapper, name, target):
    assert trainer_of(wrapper + name).extra_targets() == (target,)


def test_weighted_reads_the_users_weights(monkeypatch):
    monkeypatch.setenv("nnUNet_raw", "/raw")
    (target,) = trainer_of("SCNP_Weighted_dice").extra_targets()
    assert isinstance(target, UserWeights)
    assert str(target.folder) == "/raw/Dataset510_Cells/weightsTr"


def problem(regions):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 9, 9, generator=generator)
    labels = torch.randint(0, 4, (2, 1, 9, 9), generator=generator)  # 3 is ignored
    weights = torch.rand(2, 1, 9, 9, generator=generator)
    if regions:
        channels = [labels.eq(1) | labels.eq(2), labels.eq(2), labels.eq(0)]
        return logits, torch.cat([*channels, labels.eq(3)], 1), weights
    return logits, labels, weights


def stock_loss(regions):
    """As nnU-Net builds it."""
    dice = {"batch_dice": True, "smooth": 1e-5, "do_bg": regions, "ddp": False}
    if regions:
        return DC_and_BCE_loss({}, dice, use_ignore_label=True, dice_class=MemoryEfficientSoftDiceLoss)
    return DC_and_CE_loss(dice, {}, ignore_label=3, dice_class=MemoryEfficientSoftDiceLoss)


def dice_alone(regions, logits, target):
    loss = stock_loss(regions)
    mask = target[:, -1:] == 0 if regions else target != 3
    return loss.dc(logits, target[:, :-1] if regions else target * mask, loss_mask=mask)


@pytest.mark.parametrize("regions", [False, True], ids=["classes", "regions"])
@pytest.mark.parametrize("name", WEIGHTED)
def test_loss_is_the_weighted_cross_entropy_and_with_dice_nnunets_dice_more(name, regions):
    logits, target, weights = problem(regions)
    plain, mask = (target[:, :-1].float(), target[:, -1:] == 0) if regions else (target, target != 3)
    expected = function(logits, plain, weights, mask)
    loss = trainer_of(name, regions=regions, ignore_label=3).build_loss(stock_loss(regions))
    assert isinstance(loss, WeightedCrossEntropy)
    torch.testing.assert_close(loss(logits, target, weights), expected)
    loss = trainer_of(f"{name}_dice", regions=regions, ignore_label=3).build_loss(stock_loss(regions))
    dice = dice_alone(regions, logits, target)
    assert abs(dice) > 0.1
    torch.testing.assert_close(loss(logits, target, weights), expected + dice)


@pytest.mark.parametrize("name", WEIGHTED)
def test_on_scnp_the_same_weights_go_with_the_penalised_logits(name):
    logits, target, weights = problem(False)
    logits.requires_grad_()
    worst = same_class_neighbor_penalization(logits, target, 5, target != 3)
    expected = function(worst, target, weights, target != 3)
    loss = trainer_of(f"SCNP_{name}_w5", ignore_label=3).build_loss(stock_loss(False))
    assert isinstance(loss, SCNPLoss)
    value = loss(logits, target, weights)
    torch.testing.assert_close(value, expected)
    joint = trainer_of(f"SCNP_{name}_joint_w5", ignore_label=3).build_loss(stock_loss(False))
    both = joint(logits, target, weights)
    torch.testing.assert_close(both, expected + function(logits, target, weights, target != 3))
    value.backward()
    assert logits.grad.abs().sum() > 0
    with pytest.raises(TypeError):  # weights cannot get lost on the way
        loss(logits, target)


@pytest.mark.parametrize("wrapper", ["", "SCNP_"])
@pytest.mark.parametrize("name", ["UNetWM", "DWM", "SAW"])
def test_when_maps_are_made_can_be_chosen(name, wrapper):
    """The family lists the choice that is not its own; the other one is the same training."""
    family = get_trainer(PREFIX + wrapper + name)
    (option,) = [each for each in family.options if each.attribute == "extra_targets_per_case"]
    (target,) = trainer_of(wrapper + name).extra_targets()
    assert family.extra_targets_per_case is None
    assert target.per_case((512, 512)) is not option.value
    chosen = get_trainer(f"{family.__name__}_{option.syntax}")
    assert (chosen.extra_targets_per_case, chosen.same_as) == (option.value, "")
    assert {option.syntax, option.opposite} == {"percase", "onthefly"}
    opposite = get_trainer(f"{family.__name__}_{option.opposite}")
    assert (opposite.extra_targets_per_case, opposite.same_as) == (None, family.__name__)


@pytest.mark.parametrize("number", ["0", "1", "3", "5", "03", "0.5", "010", "1e-4", "10"])
@pytest.mark.parametrize(
    "family",
    [
        f
        for f in FAMILIES
        if f not in ("nnUNetTrainerExt", "nnUNetTrainerSCNP") and not get_trainer(f).refuses_wrapping
    ],
)
def test_no_word_can_be_read_as_two_options_of_a_combination(family, number):
    options = get_trainer(f"{PREFIX}SCNP_{family.removeprefix(PREFIX)}").all_options()
    for option in options:
        word = option.syntax.replace("<n>", number).replace("<x>", number)
        assert [each for each in options if each.match(word)] in ([option], [])
    words = [option.syntax.partition("<")[0] for option in options]
    assert len(set(words) - {""}) == len([word for word in words if word])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("UNetWM_w03", "unknown option '_w03'.*_peak<x>"),
        ("UNetWM_sigma0", "<x> in _sigma<x> is above 0"),
        ("UNetWM_percase_onthefly", "_percase and _onthefly set the same thing. Keep one"),
        ("DWM_beta0", "above 0"),
        ("DWM_peak3", "unknown option"),
        ("SAW_tau0", "above 0"),
        ("BWM_percase", "unknown option '_percase'"),  # there is nothing to compute
        ("Weighted_onthefly", "unknown option '_onthefly'"),
    ],
)
def test_a_wrong_option_is_refused_with_a_sentence(name, text):
    with pytest.raises(UserError, match=f"(?s)nnUNetTrainer{name}: .*{text}"):
        get_trainer(PREFIX + name)
