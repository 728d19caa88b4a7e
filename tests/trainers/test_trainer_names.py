"""Trainers made from their names, as nnU-Net's own finder meets them."""

import inspect
import pickle
from types import SimpleNamespace

import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

import nnunet_ext.trainers
from nnunet_ext.errors import UserError
from nnunet_ext.losses import JCLoss, SCNPLoss
from nnunet_ext.trainers import FAMILIES, get_trainer
from nnunet_ext.training.trainer import TRAINING_PER_VALIDATION_ITERATION, ExtTrainer


@pytest.mark.parametrize("family", FAMILIES)
def test_nnunet_finds_every_family_and_its_options_are_declared(family):
    trainer = recursive_find_trainer_class_by_name(family)
    assert issubclass(trainer, ExtTrainer)
    assert trainer.__name__ == family
    assert trainer.__doc__
    for option in trainer.all_options():
        assert hasattr(trainer, option.attribute)


def test_nnunet_finds_a_name_with_options():
    trainer = recursive_find_trainer_class_by_name("nnUNetTrainerSCNP_w5_joint_3epochs_7iters_nomirroring")
    assert trainer.__name__ == "nnUNetTrainerSCNP_w5_joint_3epochs_7iters_nomirroring"
    assert (trainer.neighborhood, trainer.joint, trainer.epochs, trainer.iterations, trainer.mirroring) == (
        5, True, 3, 7, False,
    )  # fmt: skip
    assert get_trainer("nnUNetTrainerSCNP").neighborhood == 3


@pytest.mark.parametrize(
    "name",
    ["nnUNetTrainerSCNP_w7", "nnUNetTrainerJC_lambda0.25_adam1e-4", "nnUNetTrainerSCNP_JC_lambda0.5"],
)
def test_a_class_made_from_its_name_can_be_pickled(name):
    trainer = recursive_find_trainer_class_by_name(name)
    assert pickle.loads(pickle.dumps(trainer)) is trainer
    assert trainer is getattr(nnunet_ext.trainers, name)
    assert trainer.__name__ == name


MULTI_LEVEL = [f"nnUNetTrainerMultiLevel{loss}" for loss in ("SSE", "MCE", "NCE")]
OTHERS = [
    family for family in FAMILIES if family not in ("nnUNetTrainerExt", "nnUNetTrainerSCNP", *MULTI_LEVEL)
]


@pytest.mark.parametrize("family", OTHERS)
def test_every_other_family_sits_on_scnp_with_the_options_of_both(family):
    word = family.removeprefix("nnUNetTrainer")
    trainer = recursive_find_trainer_class_by_name(f"nnUNetTrainerSCNP_{word}_w5_2epochs")
    scnp, base = get_trainer("nnUNetTrainerSCNP"), get_trainer(family)
    assert issubclass(trainer, scnp)
    assert issubclass(trainer, base)
    assert (trainer.neighborhood, trainer.epochs) == (5, 2)
    assert trainer.options == (*scnp.options, *base.options)
    assert get_trainer(f"nnUNetTrainerSCNP_{word}") in trainer.__mro__


def test_loss_of_a_combination_is_the_base_on_scnp_logits():
    trainer = object.__new__(get_trainer("nnUNetTrainerSCNP_JC_w5_joint_lambda0.25"))
    trainer.label_manager = SimpleNamespace(has_regions=False, ignore_label=9)
    loss = trainer.build_loss(torch.nn.Identity())
    assert isinstance(loss, SCNPLoss)
    assert (loss.scnp.neighborhood, loss.joint, loss.ignore_label) == (5, True, 9)
    assert isinstance(loss.base_loss, JCLoss)
    assert (loss.base_loss.weight, loss.base_loss.ignore_label) == (0.25, 9)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("nnUNetTrainerSCNP_Ext", "cannot wrap Ext: nnU-Net's own loss is what a family without another"),
        ("nnUNetTrainerSCNP_SCNP_w5", "cannot wrap SCNP: it wraps other families itself"),
        ("nnUNetTrainerJC_SCNP", "nnUNetTrainerJC cannot be combined with SCNP"),
        ("nnUNetTrainerSCNP_MultiLevelMCE", "cannot wrap MultiLevelMCE: a multi-level channel is no logit"),
        (
            "nnUNetTrainerSCNP_w5_JC",
            "(?s)unknown option '_JC'.*directly after nnUNetTrainerSCNP: .*_JC",
        ),
        ("nnUNetTrainerSCNP_JC_typo", "(?s)unknown option '_typo'.*_w<n>.*_lambda<x>"),
    ],
)
def test_a_wrong_combination_is_refused_with_a_sentence(name, text):
    with pytest.raises(UserError, match=text):
        get_trainer(name)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("nnUNetTrainerSCNP_w4", "odd, 3 to 31"),
        ("nnUNetTrainerSCNP_typo", "unknown option '_typo'.*_w<n>.*_joint.*_<n>epochs"),
        ("nnUNetTrainerExt_w5", "unknown option '_w5'"),
        ("nnUNetTrainerSCNP__w5", "single underscores"),
        ("nnUNetTrainerSCNP_w5_", "single underscores"),
    ],
)
def test_a_wrong_option_stops_nnunets_search(name, text):
    with pytest.raises(UserError, match=rf"(?s){name}: .*{text}"):
        recursive_find_trainer_class_by_name(name)


def test_names_of_others_are_left_to_others():
    assert recursive_find_trainer_class_by_name("nnUNetTrainerNoMirroring").__module__.startswith("nnunetv2.")
    with pytest.raises(RuntimeError, match="Could not find requested nnunet trainer"):
        recursive_find_trainer_class_by_name("nnUNetTrainerScnp")
    with pytest.raises(AttributeError):
        nnunet_ext.trainers.nothing  # noqa: B018
    with pytest.raises(
        UserError, match=r"Known families: nnUNetTrainerExt.*\nDid you mean nnUNetTrainerSCNP\?"
    ):
        get_trainer("nnUNetTrainerSCPN")


DEFAULTS = [
    ("nnUNetTrainerSCNP_w3", "nnUNetTrainerSCNP"),
    ("nnUNetTrainerSCNP_w3_joint", "nnUNetTrainerSCNP_joint"),
    ("nnUNetTrainerSCNP_JC_lambda5e-1_w5", "nnUNetTrainerSCNP_JC_w5"),
    ("nnUNetTrainerUNetWM_percase_peak10.0", "nnUNetTrainerUNetWM"),
    ("nnUNetTrainerExt_1000epochs_adam1e-2_250iters", "nnUNetTrainerExt_adam1e-2"),
    ("nnUNetTrainerMultiLevelMCE_kappa10_h1", "nnUNetTrainerMultiLevelMCE"),
]


@pytest.mark.parametrize(("name", "shorter"), DEFAULTS)
@pytest.mark.parametrize("command", ["nnUNetv2_train", "pytest"])
def test_default_options_are_refused_before_anything_is_written(
    name, shorter, command, monkeypatch, nnunet_folders
):
    """They would put the same training into a second folder. Models of such a name can be predicted with."""
    monkeypatch.setattr("sys.argv", [command])
    trainer = recursive_find_trainer_class_by_name(name)
    labels = {"background": 0, "a": 1}
    with pytest.raises(SystemExit if command == "nnUNetv2_train" else UserError) as error:
        trainer(plans={}, configuration="2d", fold=0, dataset_json={"labels": labels})
    assert f"{name} is the same training as {shorter}" in str(error.value)
    assert list(nnunet_folders["nnUNet_results"].iterdir()) == []
    assert get_trainer(shorter).same_as == ""
    for option in trainer.all_options():
        assert getattr(trainer, option.attribute) == getattr(get_trainer(shorter), option.attribute)


def test_defaults_are_nnunets():
    source = inspect.getsource(nnUNetTrainer.__init__)
    assert f"self.num_epochs = {ExtTrainer.epochs}\n" in source
    assert f"self.num_iterations_per_epoch = {ExtTrainer.iterations}\n" in source
    validation = ExtTrainer.iterations // TRAINING_PER_VALIDATION_ITERATION
    assert f"self.num_val_iterations_per_epoch = {validation}\n" in source


def test_constructor_keeps_nnunets_parameters():
    """nnU-Net reads its caller's locals by these names."""
    assert list(inspect.signature(ExtTrainer).parameters) == list(inspect.signature(nnUNetTrainer).parameters)


def test_no_deep_supervision_on_several_gpus_is_refused_before_anything_is_written(
    monkeypatch, nnunet_folders
):
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    with pytest.raises(
        NotImplementedError, match="nnUNetTrainerExt_nodeepsupervision cannot train on several"
    ):
        get_trainer("nnUNetTrainerExt_nodeepsupervision")(
            plans={}, configuration="2d", fold=0, dataset_json={}
        )
    assert list(nnunet_folders["nnUNet_results"].iterdir()) == []


def test_shim_steps_aside_where_the_package_is_missing(monkeypatch):
    """The environment variable is inherited by other Pythons, in which the package may not be installed."""
    import importlib.util
    import sys

    from nnunet_ext.plugin.register import FOLDER

    spec = importlib.util.spec_from_file_location("shim", f"{FOLDER}/nnunet_ext_shim.py")
    shim = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(shim)
    assert hasattr(shim, "nnUNetTrainerSCNP_w5")
    assert not hasattr(shim, "nnUNetTrainerOther")
    monkeypatch.setitem(sys.modules, "nnunet_ext.errors", None)  # what import finds when it is not there
    assert not hasattr(shim, "nnUNetTrainerSCNP_w5")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("nnUNetTrainerSNCP", "nnUNetTrainerSCNP"),
        ("nnUNetTrainerSCPN_w5_joint", "nnUNetTrainerSCNP_w5_joint"),
        ("nnUNetTrainerScnp_W5", "nnUNetTrainerSCNP_w5"),
        ("nnUNetTrainerSNCP_typo", "nnUNetTrainerSCNP"),
        ("nnUNetTrainerJC_SCNP", "nnUNetTrainerSCNP_JC"),
        ("nnUNetTrainerjc_scnp_w5_lambda0.25", "nnUNetTrainerSCNP_JC_w5_lambda0.25"),
        ("nnUNetTrainerJC_lambda0.25_SCNP", "nnUNetTrainerSCNP_JC_lambda0.25"),
        ("nnUNetTrainerSCNP_w5_JC", "nnUNetTrainerSCNP_JC_w5"),
        ("nnUNetTrainerWeightd", "nnUNetTrainerWeighted"),
        ("SCNP_w5", "nnUNetTrainerSCNP_w5"),
        ("SNCP", "nnUNetTrainerSCNP"),
        ("sncp_jc_w5", "nnUNetTrainerSCNP_JC_w5"),
        ("nnUNetTrainerSCNP-JC+w5", "nnUNetTrainerSCNP_JC_w5"),
        ("nnUNetTrainerExtt", "nnUNetTrainerExt"),
        ("MCE", "nnUNetTrainerMultiLevelMCE"),
        ("nnUNetTrainerMCE_adam1e-4", "nnUNetTrainerMultiLevelMCE_adam1e-4"),
        ("nnUNetTrainerMultilevelMCE", "nnUNetTrainerMultiLevelMCE"),
    ],
)
def test_what_was_probably_meant_is_said_and_exists(name, meant):
    with pytest.raises(UserError) as error:
        get_trainer(name)
    assert str(error.value).endswith(f"\nDid you mean {meant}?")
    assert get_trainer(meant).__name__ == meant


@pytest.mark.parametrize(
    "name",
    [
        "nnUNetTrainer", "nnUNetTrainerDA5", "nnUNetTrainerOther", "extra_trainer", "MyTrainer",
        "nnUNetTrainerSCNP_w4", "Other_w5",
        "nnUNetTrainerMultiLevelMCE_SCNP", "nnUNetTrainerBWM_JC", "nnUNetTrainerSCNP_typo",
    ],
)  # fmt: skip
def test_nothing_that_would_not_work_is_suggested(name):
    with pytest.raises(UserError) as error:
        get_trainer(name)
    assert "\nDid you mean" not in str(error.value)


def test_families_that_cannot_be_combined_are_not_listed():
    with pytest.raises(UserError) as error:
        get_trainer("nnUNetTrainerSCNP_typo")
    listed = str(error.value).rpartition("directly after nnUNetTrainerSCNP: ")[2].split(", ")
    assert listed == [f"_{family.removeprefix('nnUNetTrainer')}" for family in OTHERS]
    for word in listed:
        assert get_trainer(f"nnUNetTrainerSCNP{word}")


@pytest.mark.parametrize("name", ["nnUNetTrainerFoo", "Foo"])
def test_a_name_of_nobody_on_nnunets_command_line_is_told_in_a_sentence(name, monkeypatch):
    monkeypatch.setattr("sys.argv", ["/bin/nnUNetv2_train"])
    with pytest.raises(
        SystemExit, match=f"no trainer {name}. nnunet-ext has nnUNetTrainerExt, .*NCE. Options"
    ):
        recursive_find_trainer_class_by_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "nnUNetTrainerscnp",
        "nnUNetTrainerSCNPw5",
        "nnUNetTrainer_SCNP",
        "nnunettrainerscnp_w5",
        "nnUNetTrainerSNCP",
    ],
)
def test_a_near_miss_on_nnunets_command_line_names_the_family(name, monkeypatch):
    monkeypatch.setattr("sys.argv", ["/bin/nnUNetv2_train"])
    with pytest.raises(SystemExit, match=f"no trainer {name}. Did you mean nnUNetTrainerSCNP"):
        recursive_find_trainer_class_by_name(name)
    monkeypatch.setattr("sys.argv", ["pytest"])
    with pytest.raises(RuntimeError, match="Could not find requested nnunet trainer"):
        recursive_find_trainer_class_by_name(name)
