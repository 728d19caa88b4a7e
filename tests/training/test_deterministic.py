"""What ``_deterministic`` does, as far as that shows without a GPU."""

import os

import pytest
import torch
from nnunetv2.training.loss.compound_losses import DC_and_BCE_loss, DC_and_CE_loss
from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss
from nnunetv2.training.loss.robust_ce_loss import RobustCrossEntropyLoss
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch.backends import cudnn
from toy_plans import toy_plans

from nnunet_ext.errors import UserError
from nnunet_ext.trainers import get_trainer
from nnunet_ext.training.deterministic import (
    MeanOfVoxels,
    deterministic_algorithms,
    refused_operation,
    with_deterministic_sums,
)

CPU = torch.device("cpu")
NAME = "nnUNetTrainerSCNP_w5_seed1_deterministic"


def make(name, device=CPU):
    content = {"labels": {"background": 0, "a": 1}, "channel_names": {"0": "x"}, "file_ending": ".tif"}
    return get_trainer(name)(toy_plans("Dataset994_Toy"), "2d", 0, content | {"numTraining": 4}, device)


@pytest.fixture
def train(nnunet_folders, monkeypatch):
    """Let a trainer run this function in place of its epochs."""

    def run(step, name=NAME):
        monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
        monkeypatch.setattr(nnUNetTrainer, "run_training", step)
        monkeypatch.setattr(nnUNetTrainer, "perform_actual_validation", lambda self, save: step(self))
        make(name).run_training()
        make(name).perform_actual_validation()

    return run


def test_pytorch_is_asked_in_training_and_validation_and_only_there(train):
    seen = []

    def note(trainer):
        seen.append((torch.are_deterministic_algorithms_enabled(), cudnn.deterministic))

    train(note)
    assert seen == [(True, True)] * 2
    assert not torch.are_deterministic_algorithms_enabled()
    assert not cudnn.deterministic
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    train(note, "nnUNetTrainerSCNP_w5_seed1")
    assert seen[2:] == [(False, False)] * 2


def refuse(trainer):
    """An operation that has no deterministic algorithm on the CPU either."""
    torch.zeros(2).put_(torch.tensor([0]), torch.ones(1))


@pytest.mark.parametrize("command", ["nnUNetv2_train", "pytest"])
def test_a_refused_operation_ends_with_its_name_and_what_to_do(train, command, monkeypatch):
    monkeypatch.setattr("sys.argv", [command])
    with pytest.raises(SystemExit if command == "nnUNetv2_train" else UserError) as error:
        train(refuse)
    text = str(error.value)
    assert f"{NAME}: in PyTorch {torch.__version__} on cpu, the operation put_ has no determ" in text
    assert "-tr nnUNetTrainerSCNP_w5_seed1. " in text
    assert not torch.are_deterministic_algorithms_enabled()
    train(refuse, "nnUNetTrainerSCNP_w5_seed1")  # nothing refuses


CUDA = {  # what PyTorch says there
    "nll_loss2d_forward_out_cuda_template does not have a deterministic implementation, but you set "
    "'torch.use_deterministic_algorithms(True)'. You can turn off determinism just for this operation":
        "the operation nll_loss2d_forward_out_cuda_template has no deterministic algorithm",
    "Deterministic behavior was enabled with `torch.use_deterministic_algorithms(True)`, but this operation "
    "is not deterministic because it uses CuBLAS and you have CUDA >= 10.2. To enable deterministic behavior "
    "in this case, you must set an environment variable: CUBLAS_WORKSPACE_CONFIG=:4096:8 or":
        "matrix multiplication is not deterministic with CUBLAS_WORKSPACE_CONFIG=:0:0 (an environment "
        "variable; deterministic are :4096:8 and :16:8)",
    "CUDA out of memory": None,
}  # fmt: skip


@pytest.mark.parametrize("text", CUDA)
def test_what_pytorch_refuses_on_a_gpu_is_told(text, monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":0:0")
    assert refused_operation(RuntimeError(text)) == CUDA[text]
    expected = RuntimeError if CUDA[text] is None else UserError
    with pytest.raises(expected), deterministic_algorithms(NAME, torch.device("cuda")):
        raise RuntimeError(text)
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":0:0"  # the user's


@pytest.mark.parametrize("shape", [(2, 3, 9, 7), (2, 3, 5, 6, 4)])
@pytest.mark.parametrize("ignore_label", [None, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cross_entropy_is_that_of_nnunet(shape, ignore_label, dtype):
    def loss():
        dice = {"batch_dice": True, "smooth": 1e-5, "do_bg": False, "ddp": False}
        return DC_and_CE_loss(dice, {}, ignore_label=ignore_label, dice_class=MemoryEfficientSoftDiceLoss)

    logits = torch.randn(shape, dtype=dtype)
    target = torch.randint(0, 3, (2, 1, *shape[2:])).float()
    changed = with_deterministic_sums(loss())
    assert isinstance(changed.ce, MeanOfVoxels)
    found, expected = (logits.clone().requires_grad_() for _ in range(2))
    ours, theirs = changed(found, target), loss()(expected, target)
    ours.backward()
    theirs.backward()
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(found.grad, expected.grad)
    assert expected.grad.abs().max() > 1e-4


def test_other_losses_stay_as_they_are():
    weighted = torch.nn.Sequential(RobustCrossEntropyLoss(weight=torch.ones(3)))
    assert type(with_deterministic_sums(weighted)[0]) is RobustCrossEntropyLoss
    binary = DC_and_BCE_loss({}, {"batch_dice": True, "do_bg": True, "smooth": 1e-5, "ddp": False})
    assert not any(isinstance(each, MeanOfVoxels) for each in with_deterministic_sums(binary).modules())


def test_the_trainers_loss_has_it_inside_of_deep_supervision(nnunet_folders):
    trainer = make(NAME)
    assert trainer.describe_options().endswith(", seed 1, deterministic algorithms, PyTorch threads: 1")
    assert isinstance(trainer._build_loss().loss.base_loss.ce, MeanOfVoxels)
    assert isinstance(make("nnUNetTrainerExt_seed1")._build_loss().loss.ce, RobustCrossEntropyLoss)


def test_without_a_seed_it_is_refused_before_anything_is_written(nnunet_folders):
    name = "nnUNetTrainerJC_deterministic"
    with pytest.raises(UserError, match=f"{name}: without a seed.* Add one: -tr {name}_seed0"):
        make(name)
    assert not list(nnunet_folders["nnUNet_results"].iterdir())
