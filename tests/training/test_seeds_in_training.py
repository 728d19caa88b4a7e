"""The same seed, the same weights: with any number of loader workers, and after a stop in the middle."""

import hashlib
import json
import random

import numpy as np
import pytest
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch.backends import cudnn
from toy_plans import toy_plans
from toy_targets import blobs, write_case

from nnunet_ext.trainers import get_trainer

DATASET = "Dataset995_Seeds"
CASES = [f"case{i}" for i in range(4)]
CELLS = {"background": 0, "cell": 1, "touching": 2}


@pytest.fixture
def dataset(nnunet_folders, monkeypatch):
    """Four preprocessed cases, three to train on and one to validate with."""
    monkeypatch.setattr("nnunetv2.training.logging.nnunet_logger.LocalLogger.plot_progress_png", nothing)
    base = nnunet_folders["nnUNet_preprocessed"] / DATASET
    data = base / "nnUNetPlans_2d"
    data.mkdir(parents=True)
    for i, case in enumerate(CASES):
        write_case(data, case, blobs((1, 48, 48), i))
    (base / "splits_final.json").write_text(json.dumps([{"train": CASES[:3], "val": CASES[3:]}]))
    (base / "dataset_fingerprint.json").write_text("{}")
    return base


def nothing(*arguments):
    """In place of the progress plot, which takes longer than the epoch."""


@pytest.fixture
def train(dataset, nnunet_folders, monkeypatch):
    """Train a name with so many loader workers; return the trainer and a digest of what it learned."""
    states = iter(range(1, 100))

    def run(name, workers=0, stop_after=None, go_on=False):
        monkeypatch.setenv("nnUNet_n_proc_DA", str(workers))
        set_generators(next(states))  # nothing may rest on where the numbers of the process stand
        trainer = make(get_trainer(name), go_on, ["cell", "touching"] if "MultiLevel" in name else None)
        if go_on:
            trainer.load_checkpoint(f"{trainer.output_folder}/checkpoint_latest.pth")
        if stop_after is None:
            trainer.run_training()
        else:
            trainer.save_every = stop_after
            trainer.on_epoch_start = stop(trainer, stop_after, trainer.on_epoch_start)
            with pytest.raises(InterruptedError):
                trainer.run_training()
        return digest(trainer)

    return run


def make(trainer, go_on=False, nesting=None):
    content = {"labels": CELLS, "channel_names": {"0": "x"}, "file_ending": ".tif", "numTraining": 4}
    if nesting:
        content["nesting"] = nesting
    plans = toy_plans(DATASET) | {"continue_training": go_on}
    architecture = plans["configurations"]["2d"]["architecture"]
    architecture["arch_kwargs"] |= {"dropout_op": "torch.nn.Dropout2d", "dropout_op_kwargs": {"p": 0.2}}
    return trainer(plans, "2d", 0, content, torch.device("cpu"))


def set_generators(state):
    random.seed(state)
    np.random.seed(state)
    torch.manual_seed(state)


def stop(trainer, epoch, start):
    """`start`, but the training is cut off where this epoch begins, its next batches already made."""

    def start_or_stop():
        if trainer.current_epoch == epoch:
            next(trainer.dataloader_train)
            next(trainer.dataloader_val)
            for loader in (trainer.dataloader_train, trainer.dataloader_val):
                if hasattr(loader, "_finish"):
                    loader._finish()
            raise InterruptedError
        start()

    return start_or_stop


def digest(trainer):
    """Of all weights, bit for bit, and of what the log says of them."""
    log = trainer.logger.local_logger.my_fantastic_logging
    content = [log[key] for key in ("train_losses", "val_losses", "ema_fg_dice")]
    weights = [value.numpy().tobytes() for value in trainer.network.state_dict().values()]
    return hashlib.sha256(b"".join([*weights, repr(content).encode()])).hexdigest()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "nnUNetTrainerExt",
        "nnUNetTrainerSCNP_JC",
        "nnUNetTrainerUNetWM_onthefly",
        "nnUNetTrainerMultiLevelMCE",
    ],
)
def test_a_seed_ends_with_the_same_weights(name, train):
    seeded = f"{name}_3epochs_4iters_seed7"
    alone = train(seeded, 0)
    assert train(seeded, 1) == alone
    assert train(seeded, 4) == alone
    train(seeded, 4, stop_after=2)
    assert train(seeded, 1, go_on=True) == alone
    assert train(f"{name}_3epochs_4iters_seed8", 0) != alone


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nnUNetTrainerSCNP_joint", "nnUNetTrainerJC", "nnUNetTrainerMultiLevelMCE"])
def test_nothing_on_the_cpu_refuses_to_be_deterministic(name, train):
    full = f"{name}_1epochs_4iters_seed7_deterministic"
    assert train(full, 0) == train(full, 2)


class Stock(nnUNetTrainer):
    """nnU-Net's own trainer, as long as the other."""

    def __init__(self, plans, configuration, fold, dataset_json, device):
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs, self.num_iterations_per_epoch, self.num_val_iterations_per_epoch = 2, 5, 1


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["0", "1"])
def test_without_a_seed_it_is_nnunets_training_bit_for_bit(workers, dataset, monkeypatch):
    """With the same numbers drawn: tests/seeds gives them to nnU-Net's worker."""
    monkeypatch.setenv("nnUNet_n_proc_DA", workers)
    monkeypatch.setattr("batchgeneratorsv2.transforms.noise.gaussian_blur.time", lambda: 0.0)  # no timing
    digests = []
    for trainer in (Stock, get_trainer("nnUNetTrainerExt_2epochs_5iters")):
        set_generators(5)
        made = make(trainer)
        made.run_training()
        digests.append(digest(made))
    assert digests[0] == digests[1]
    set_generators(6)
    made = make(Stock)
    made.run_training()
    assert digest(made) != digests[0]


def test_the_log_states_the_seed(dataset):
    name = "nnUNetTrainerExt_seed0"
    assert make(get_trainer(name)).describe_options().endswith(", seed 0, PyTorch threads: 1")
    assert make(get_trainer("nnUNetTrainerExt")).describe_options().endswith(", no seed")


def test_timed_choices_of_cudnn_are_off_while_a_seeded_training_runs(dataset, monkeypatch):
    seen = []
    monkeypatch.setattr(nnUNetTrainer, "run_training", lambda self: seen.append(cudnn.benchmark))
    monkeypatch.setattr(cudnn, "benchmark", True)  # nnU-Net's command switches it on
    for name in ("nnUNetTrainerExt", "nnUNetTrainerExt_seed1"):
        make(get_trainer(name)).run_training()
        assert cudnn.benchmark
    assert seen == [True, False]


def test_processes_of_one_training_have_the_same_first_weights_and_other_batches(dataset, monkeypatch):
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")
    weights, batches = [], []
    for rank in range(2):
        trainer = make(get_trainer("nnUNetTrainerExt_seed1"))
        trainer.initialize()
        trainer.local_rank = rank
        weights.append(next(trainer.network.parameters()))
        batches.append(next(trainer.get_dataloaders()[0])["data"])
    assert torch.equal(*weights)
    assert not torch.equal(*batches)


def test_trainers_of_one_seed_begin_alike(dataset, monkeypatch):
    """So that their difference is that of the method."""
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")
    names = [
        "Ext_seed1", "SCNP_joint_9epochs_seed1", "JC_notouchaug_adam1e-3_seed1", "DWM_percase_dice_seed1",
        "Ext_seed2",
    ]  # fmt: skip
    weights, images = [], []
    for name in names:
        trainer = make(get_trainer(f"nnUNetTrainer{name}"))
        trainer.initialize()
        weights.append(next(trainer.network.parameters()))
        training, validation = trainer.get_dataloaders()
        images.append(torch.cat([next(each)["data"][:, :1] for each in (training, training, validation)]))
    for found in (weights, images):
        assert [torch.equal(each, found[0]) for each in found] == [True, True, True, True, False]
