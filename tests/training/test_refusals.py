"""What a trainer refuses before nnU-Net writes anything."""

import pytest
import torch
from toy_plans import toy_plans

from nnunet_ext.errors import UserError
from nnunet_ext.trainers import FAMILIES, get_trainer

FEW = {"background": 0, "cell": 1, "nucleus": 2}


def make(name, stages=4, labels=FEW, device="cpu", nesting=None, dimensions=2):
    plans = toy_plans("Dataset996_Toy", dimensions)
    arch = plans["configurations"]["2d"]["architecture"]["arch_kwargs"]
    arch["n_stages"] = stages
    for key in ("features_per_stage", "kernel_sizes", "strides", "n_conv_per_stage"):
        arch[key] = arch[key][:stages]
    arch["n_conv_per_stage_decoder"] = arch["n_conv_per_stage_decoder"][: stages - 1]
    content = {"labels": labels, "channel_names": {"0": "x"}, "file_ending": ".tif", "numTraining": 4}
    if nesting is not None:
        content["nesting"] = nesting
    return get_trainer(name)(plans, "2d", 0, content, torch.device(device))


NAMES = [*FAMILIES, "nnUNetTrainerSCNP_JC", "nnUNetTrainerSCNP_Weighted_joint", "nnUNetTrainerUNetWM_dice"]


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("command", ["nnUNetv2_train", "pytest"])
def test_one_weighted_output_is_refused_before_training(
    name, command, dimensions, nnunet_folders, monkeypatch
):
    monkeypatch.setattr("sys.argv", [command])
    with pytest.raises(SystemExit if command == "nnUNetv2_train" else UserError) as error:
        make(name, stages=2, dimensions=dimensions)
    assert "2 stages" in str(error.value)
    assert f"-tr {name}_nodeepsupervision" in str(error.value)
    assert not list(nnunet_folders["nnUNet_results"].iterdir())
    make(f"{name}_nodeepsupervision", stages=2, dimensions=dimensions)
    make(name, stages=3, dimensions=dimensions)


def test_three_stages_have_finite_weights(nnunet_folders):
    trainer = make("nnUNetTrainerExt", stages=3)
    assert trainer._build_loss().weight_factors == (1, 0)


@pytest.mark.parametrize("name", ["nnUNetTrainerExt", "nnUNetTrainerSCNP_w5", "nnUNetTrainerMultiLevelSSE"])
def test_without_a_gpu_the_remedy_comes_in_place_of_a_traceback(name, nnunet_folders, monkeypatch):
    monkeypatch.setattr("sys.argv", ["nnUNetv2_train"])
    found = {"cuda": False, "mps": False}
    monkeypatch.setattr("nnunet_ext.training.device.gpus", lambda: found)
    with pytest.raises(SystemExit) as error:
        make(name, device="cuda")
    lines = str(error.value).splitlines()
    assert lines[0] == "Error: PyTorch finds no NVIDIA GPU here. Train with -device cpu:"
    assert lines[1] == f"  nnUNetv2_train Dataset996_Toy 2d 0 -p nnUNetPlans -tr {name} -device cpu"
    assert lines[-1] == "  nnunet_ext small-plans -d Dataset996_Toy -c 2d -p nnUNetPlans"
    assert not list(nnunet_folders["nnUNet_results"].iterdir())
    with pytest.raises(SystemExit, match="no Apple GPU"):
        make(name, device="mps")
    found["mps"] = True
    with pytest.raises(SystemExit, match="-device mps"):
        make(name, device="cuda")


@pytest.mark.parametrize("labels", [("cell", "touching"), ("cell", "touching", "gap"), ("Cell", "Gap")])
def test_classes_of_instances_are_no_chain(labels, nnunet_folders):
    labels = {name: value for value, name in enumerate(("background", *labels))}
    with pytest.raises(UserError, match=r'ell, .* exclude each other.*nnUNetTrainerJC.*"nesting"'):
        make("nnUNetTrainerMultiLevelMCE", labels=labels)
    make("nnUNetTrainerJC", labels=labels)
    make("nnUNetTrainerMultiLevelMCE", labels=labels, nesting={name: {} for name in [*labels][1:]})  # said so


def test_the_log_names_the_nesting_and_where_it_comes_from(nnunet_folders):
    assert (
        make("nnUNetTrainerMultiLevelMCE")
        .describe_options()
        .endswith(
            'nesting {cell: {nucleus: {}}} (dataset.json has no "nesting": each label lies in the one before)'
        )
    )
    apart = {"cell": {}, "nucleus": {}}
    described = make("nnUNetTrainerMultiLevelMCE", nesting=apart).describe_options()
    assert described.endswith("nesting {cell: {}, nucleus: {}}")
