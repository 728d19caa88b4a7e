import json
from copy import deepcopy
from math import prod

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
    assert stages >= 2
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
        ({"dataset": "8"}, r"one dataset '8' is expected.*found: none.*nnUNetv2_plan_and_preprocess"),
        ({"dataset": "*"}, r"found: none"),
        ({"dataset": ""}, r"found: none"),
        ({"dataset": "/tmp"}, r"found: none"),
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


def test_unset_folder(monkeypatch):
    monkeypatch.delenv("nnUNet_preprocessed", raising=False)
    with pytest.raises(UserError, match="nnUNet_preprocessed is not set"):
        write_small_plans("7")


def test_verb_prints_a_table(planned):
    result = CliRunner().invoke(app, ["small-plans", "-d", "7", "-c", "2d", "--patch", "64", "--batch", "2"])
    assert result.exit_code == 0, result.exception
    assert "64 × 64" in result.output
    assert "-p nnUNetPlansSmall" in result.output
    assert CliRunner().invoke(app, ["small-plans", "-d", "7", "--batch", "1"]).exit_code == 2
