import json
from copy import deepcopy
from math import prod

import numpy as np
import pytest
from typer.testing import CliRunner

from nnunet_ext.cli.app import app
from nnunet_ext.errors import UserError
from nnunet_ext.nnunet_files.plans import shrink, write_small_plans


def configuration(patch, strides, blocks="n_conv_per_stage"):
    stages = len(strides)
    return {
        "data_identifier": "nnUNetPlans_x",
        "batch_size": 12,
        "patch_size": patch,
        "architecture": {
            "arch_kwargs": {
                "n_stages": stages,
                "features_per_stage": [32] * stages,
                "kernel_sizes": [[3] * len(patch)] * stages,
                "strides": strides,
                blocks: [2] * stages,
                "n_conv_per_stage_decoder": [2] * (stages - 1),
            }
        },
    }


PLANAR = configuration([512, 448], [[1, 1], *[[2, 2]] * 6])
# Anisotropic: no pooling along z at first.
STACK = configuration(
    [20, 320, 256], [[1, 1, 1], [1, 2, 2], *[[2, 2, 2]] * 2, *[[1, 2, 2]] * 3], "n_blocks_per_stage"
)
PLANS = {
    "plans_name": "nnUNetPlans",
    "configurations": {
        "2d": PLANAR,
        "3d_fullres": STACK,
        "3d_lowres": STACK | {"next_stage": "3d_cascade_fullres"},
        "3d_cascade_fullres": {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"},
        "custom": {"inherits_from": "3d_cascade_fullres", "batch_size": 40, "patch_size": [20, 256, 256]},
    },
}


@pytest.mark.parametrize("planned", [PLANAR, STACK], ids=["2d", "anisotropic 3d"])
@pytest.mark.parametrize("patch", [None, 16, 48, 100, 4096])
def test_patch_fits_the_strides_and_the_plan(planned, patch):
    before = deepcopy(planned)
    small = shrink(planned, patch, None, features=8)
    assert planned == before
    arch = small["architecture"]["arch_kwargs"]
    for axis, (edge, original) in enumerate(zip(small["patch_size"], planned["patch_size"], strict=True)):
        assert edge <= max(original, 1)
        assert edge % prod(stride[axis] for stride in arch["strides"]) == 0
    stages = arch["n_stages"]
    assert stages >= 3
    assert len(arch["strides"]) == len(arch["kernel_sizes"]) == len(arch["features_per_stage"]) == stages
    assert len(arch.get("n_conv_per_stage", arch.get("n_blocks_per_stage"))) == stages
    assert len(arch["n_conv_per_stage_decoder"]) == stages - 1
    assert small["data_identifier"] == planned["data_identifier"]


def test_defaults_of_a_2d_plan():
    small = shrink(PLANAR, None, None, features=8)
    assert small["patch_size"] == [128, 128]
    assert small["batch_size"] == 4
    assert small["architecture"]["arch_kwargs"]["features_per_stage"] == [8, 16, 32, 64, 64]


def test_a_real_network_can_be_built_from_anisotropic_small_plans():
    import torch
    from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet

    small = shrink(STACK, 64, 2, features=4)
    network = ResidualEncoderUNet(
        1,
        conv_op=torch.nn.Conv3d,
        num_classes=2,
        norm_op=torch.nn.InstanceNorm3d,
        **small["architecture"]["arch_kwargs"],
    )
    assert network(torch.zeros(1, 1, *small["patch_size"])).shape[2:] == tuple(small["patch_size"])


def planned_by_nnunet(shape, spacing):
    """Patch, strides and kernels that nnU-Net plans for images of a shape and spacing."""
    from nnunetv2.experiment_planning.experiment_planners.network_topology import get_pool_and_conv_props

    _, strides, kernels, patch, _ = get_pool_and_conv_props(spacing, shape, 4, 999999)
    return list(map(int, patch)), [list(s) for s in strides], [list(k) for k in kernels]


def supervision_weights(strides):
    """As nnUNetTrainer._build_loss makes them."""
    weights = np.array([1 / 2**i for i in range(len(strides) - 1)])
    weights[-1] = 0
    with np.errstate(invalid="ignore"):
        return weights / weights.sum()


SLICES = [
    ((z, edge, edge + 12), (ratio, 1, 1))
    for z in (4, 5, 8, 9, 12, 14, 16, 20, 24, 40)
    for edge in (36, 80, 128)
    for ratio in (1, 1.5, 2, 3, 5, 10)
]
PLANES = [
    ((n, m), (1, ratio)) for n in (8, 12, 16, 24, 31, 40, 64, 512) for m in (8, 30, 300) for ratio in (1, 3)
]
ODD = [((80, 12, 80), (1, 3, 1)), ((64, 64, 6), (1, 1, 4)), ((128, 10, 9), (1, 2, 2)), ((8, 8, 8), (1, 1, 1))]


@pytest.mark.parametrize("patch", [None, 4, 16, 24, 32, 50])
def test_every_small_network_can_be_trained(patch):
    """Three stages or more, finite weights, a divisible patch; no axis pooled away, none stopped early."""
    for shape, spacing in (*SLICES, *PLANES, *ODD):
        edges, strides, kernels = planned_by_nnunet(shape, spacing)
        planned = configuration(edges, strides)
        planned["architecture"]["arch_kwargs"]["kernel_sizes"] = kernels
        small = shrink(planned, patch, None, features=2)
        arch = small["architecture"]["arch_kwargs"]
        where = (shape, spacing, small["patch_size"], arch["strides"])
        assert np.isfinite(supervision_weights(arch["strides"])).all(), where
        steps = [prod(axis) for axis in zip(*arch["strides"], strict=True)]
        for edge, step, largest in zip(small["patch_size"], steps, edges, strict=True):
            assert edge <= min(largest, patch or 128), where
            assert edge % step == 0, where
            assert edge // step >= (1 if step == 1 else 2), where
        in_stages = ("strides", "kernel_sizes", "features_per_stage", "n_conv_per_stage")
        assert {len(arch[key]) for key in in_stages} == {arch["n_stages"]}, where
        for axis, edge in enumerate(
            small["patch_size"]
        ):  # what is left to pool has no room, or was not planned
            left = prod(stride[axis] for stride in strides) // steps[axis]
            assert left <= 1 or edge // steps[axis] // 2 < 8, where


@pytest.mark.parametrize("residual", [False, True], ids=["plain", "residual encoder"])
@pytest.mark.parametrize(
    ("shape", "spacing", "patch"),
    [
        ((12, 80, 96), (3, 1, 1), None),
        ((20, 64, 64), (1.5, 1, 1), None),
        ((8, 64, 64), (1, 1, 1), 16),
        ((40, 12, 40), (1, 3, 1), 32),
        ((64, 64), (1, 1), 16),
        ((31, 30), (1, 1), None),
        ((12, 12), (1, 1), None),
        ((8, 8, 8), (1, 1, 1), 4),
    ],
)
def test_small_networks_of_nnunet_train(shape, spacing, patch, residual):
    """Built as nnU-Net builds them; forward and backward in training, with deep supervision."""
    import torch
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    edges, strides, kernels = planned_by_nnunet(shape, spacing)
    planned = configuration(edges, strides, "n_blocks_per_stage" if residual else "n_conv_per_stage")
    ndim, arch = len(shape), planned["architecture"]["arch_kwargs"]
    arch |= {
        "kernel_sizes": kernels, "conv_op": f"torch.nn.modules.conv.Conv{ndim}d", "conv_bias": True,
        "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{ndim}d", "norm_op_kwargs": {"affine": True},
        "dropout_op": None, "nonlin": "torch.nn.LeakyReLU", "nonlin_kwargs": {"inplace": True},
    }  # fmt: skip
    small = shrink(planned, patch, None, features=1)
    name = "ResidualEncoderUNet" if residual else "PlainConvUNet"
    network = get_network_from_plans(
        f"dynamic_network_architectures.architectures.unet.{name}", small["architecture"]["arch_kwargs"],
        ["conv_op", "norm_op", "dropout_op", "nonlin"], 1, 2, deep_supervision=True,
    )  # fmt: skip
    outputs = network(torch.randn(2, 1, *small["patch_size"]))
    assert len(outputs) == small["architecture"]["arch_kwargs"]["n_stages"] - 1 >= 2
    assert outputs[0].shape == (2, 2, *small["patch_size"])
    weights = supervision_weights(small["architecture"]["arch_kwargs"]["strides"])
    loss = sum(weight * output.square().mean() for weight, output in zip(weights, outputs, strict=True))
    loss.backward()
    assert torch.isfinite(loss)


OLD = {
    "data_identifier": "nnUNetPlans_3d_fullres", "batch_size": 2, "patch_size": [12, 80, 96],
    "UNet_class_name": "PlainConvUNet", "UNet_base_num_features": 32, "unet_max_num_features": 320,
    "n_conv_per_stage_encoder": [2] * 5, "n_conv_per_stage_decoder": [2] * 4, "num_pool_per_axis": [1, 4, 4],
    "pool_op_kernel_sizes": [[1, 1, 1], [1, 2, 2], [2, 2, 2], [1, 2, 2], [1, 2, 2]],
    "conv_kernel_sizes": [[1, 3, 3], *[[3, 3, 3]] * 4],
}  # fmt: skip


def test_plans_of_older_versions():
    before = deepcopy(OLD)
    small = shrink(OLD, None, None, features=8)
    assert before == OLD
    arch = small["architecture"]["arch_kwargs"]
    assert small["patch_size"] == [12, 64, 64]
    assert arch["strides"] == [[1, 1, 1], [1, 2, 2], [1, 2, 2], [1, 2, 2]]
    assert arch["kernel_sizes"] == [[1, 3, 3], *[[3, 3, 3]] * 3]
    assert arch["conv_op"] == "torch.nn.modules.conv.Conv3d"


@pytest.mark.parametrize(
    "change",
    [
        {"architecture": {"arch_kwargs": {"embed_dim": 400}}},
        {"architecture": {}},
        {"architecture": {"arch_kwargs": {"strides": [1, 2, 2]}}},
        {"patch_size": [64]},
        {"architecture": None, **OLD, "UNet_class_name": "Other"},
    ],
)
def test_what_is_no_unet_is_refused_by_name(planned, change):
    plans = deepcopy(PLANS)
    changed = {**plans["configurations"]["2d"], **change}
    if changed["architecture"] is None:
        del changed["architecture"]
    plans["configurations"]["2d"] = changed
    (planned / "nnUNetPlans.json").write_text(json.dumps(plans))
    with pytest.raises(UserError, match=r"nnUNetPlans.json, 2d: .*Choose others with -c"):
        write_small_plans("7")
    assert "2d" not in write_small_plans("7", ["3d_fullres"])[1]["configurations"]


@pytest.mark.parametrize("following", ["3d_cascade_fullres", ["3d_cascade_fullres"]])
def test_no_next_stage_that_is_left_out(planned, following):
    """nnU-Net would look for it after the validation, and stop there."""
    plans = deepcopy(PLANS)
    plans["configurations"]["3d_lowres"]["next_stage"] = following
    (planned / "nnUNetPlans.json").write_text(json.dumps(plans))
    _, alone = write_small_plans("7", ["3d_lowres"])
    assert "next_stage" not in alone["configurations"]["3d_lowres"]
    _, both = write_small_plans("7", ["3d_lowres", "3d_cascade_fullres"], overwrite=True)
    assert both["configurations"]["3d_lowres"]["next_stage"] == following


@pytest.fixture
def planned(nnunet_folders):
    folder = nnunet_folders["nnUNet_preprocessed"] / "Dataset007_Test"
    folder.mkdir()
    (folder / "nnUNetPlans.json").write_text(json.dumps(PLANS))
    return folder


def test_written_beside_the_plans(planned):
    path, small = write_small_plans("7", ["2d"])
    assert path == planned / "nnUNetPlansSmall.json"
    assert json.loads(path.read_text()) == small
    assert small["plans_name"] == "nnUNetPlansSmall"
    assert set(small["configurations"]) == {"2d"}
    assert json.loads((planned / "nnUNetPlans.json").read_text()) == PLANS
    assert [p.name for p in planned.iterdir() if "tmp" in p.name] == []
    assert write_small_plans("Dataset007_Test", ["2d"])[0] == path


def test_inherited_configurations_are_shrunk_too(planned):
    """A cascade brings its first stage along; a customised batch or patch is made small as well."""
    _, small = write_small_plans("7", ["3d_cascade_fullres", "custom"])
    assert set(small["configurations"]) == {"3d_lowres", "3d_cascade_fullres", "custom"}
    for content in small["configurations"].values():
        assert "inherits_from" not in content
        assert content["batch_size"] == 2
        assert max(content["patch_size"]) <= 64
        assert content["architecture"]["arch_kwargs"]["features_per_stage"][0] == 8
    assert small["configurations"]["3d_cascade_fullres"]["previous_stage"] == "3d_lowres"


def test_other_plans_of_that_name_are_not_lost(planned):
    path, _ = write_small_plans("7")
    before = path.read_text()
    with pytest.raises(UserError, match=r"exists with other settings.*--name.*--overwrite"):
        write_small_plans("7", patch=32)
    assert path.read_text() == before
    assert write_small_plans("7", patch=32, name="Tiny")[0].name == "Tiny.json"
    assert write_small_plans("7", patch=32, overwrite=True)[1]["configurations"]["2d"]["patch_size"] == [
        32,
        32,
    ]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"dataset": "8"}, r"has no dataset '8': give its number.*nnUNetv2_plan_and_preprocess"),
        ({"dataset": "*"}, r"has no dataset"),
        ({"dataset": ""}, r"has no dataset"),
        ({"dataset": "/tmp"}, r"has no dataset"),
        ({"dataset": "7", "plans": "Other"}, r"Other.json does not exist"),
        ({"dataset": "7", "configurations": ["3d"]}, r"no configuration 3d. It has: 2d, 3d_fullres"),
        ({"dataset": "7", "name": "a__b"}, r"cannot be the name"),
        ({"dataset": "7", "name": "nnUNetPlans", "overwrite": True}, r"not written by small-plans"),
    ],
)
def test_what_is_missing_is_named(planned, arguments, text):
    with pytest.raises(UserError, match=text):
        write_small_plans(**arguments)
    assert [path.name for path in planned.iterdir()] == ["nnUNetPlans.json"]


@pytest.mark.parametrize("content", ["{", "[]", "{}"])
def test_damaged_plans(planned, content):
    (planned / "nnUNetPlans.json").write_text(content)
    with pytest.raises(UserError, match=r"nnUNetPlans.json"):
        write_small_plans("7")


@pytest.mark.parametrize("name", ["dataset", "dataset_fingerprint", "splits_final"])
def test_plans_are_not_called_as_other_files_of_nnunet(planned, name):
    with pytest.raises(UserError, match=f"{name}.json is another file of nnU-Net's"):
        write_small_plans("7", name=name)
    assert not (planned / f"{name}.json").exists()


def test_unset_folder(monkeypatch):
    monkeypatch.delenv("nnUNet_preprocessed", raising=False)
    with pytest.raises(UserError, match="nnUNet_preprocessed is not set"):
        write_small_plans("7")


def test_verb_prints_a_table_and_the_command(planned, monkeypatch):
    monkeypatch.setattr("nnunet_ext.training.device.gpus", lambda: {"cuda": False, "mps": False})
    monkeypatch.setattr("nnunet_ext.cli.console.out._width", 40)  # a command is never broken
    result = CliRunner().invoke(app, ["small-plans", "-d", "7", "-c", "2d", "--patch", "64", "--batch", "2"])
    assert result.exit_code == 0, result.exception
    assert "64 × 64" in result.output
    command = "nnUNetv2_train 7 2d 0 -p nnUNetPlansSmall -tr nnUNetTrainerExt_10epochs_150iters -device cpu"
    assert command in [line.strip() for line in result.output.splitlines()]
    assert CliRunner().invoke(app, ["small-plans", "-d", "7", "--batch", "1"]).exit_code == 2
