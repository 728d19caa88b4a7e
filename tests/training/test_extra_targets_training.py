"""Extra targets from preprocessed cases to the loss of a running nnU-Net training."""

import json
import pickle

import numpy as np
import pytest
import tifffile
import torch
from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
from torch import nn
from toy_plans import toy_plans
from toy_targets import Balance, Levels, blobs, write_case

from nnunet_ext.errors import UserError
from nnunet_ext.losses import WeightedCrossEntropy
from nnunet_ext.training.extra_targets import UserWeights
from nnunet_ext.training.extra_targets.trainer import ExtraTargetLoss, ExtraTargetTrainer

DATASET = "Dataset997_Toy"
CASES = [f"case{i}" for i in range(4)]
SHAPE = (1, 48, 48)
LABELS = {"background": 0, "a": 1, "b": 2}


@pytest.fixture
def dataset(nnunet_folders, monkeypatch):
    """Four preprocessed cases, three to train on and one to validate with."""
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")
    base = nnunet_folders["nnUNet_preprocessed"] / DATASET
    data = base / "nnUNetPlans_2d"
    data.mkdir(parents=True)
    for i, case in enumerate(CASES):
        write_case(data, case, blobs(SHAPE, i))
    (base / "splits_final.json").write_text(json.dumps([{"train": CASES[:3], "val": CASES[3:]}]))
    (base / "dataset_fingerprint.json").write_text("{}")
    return base


class Checked(WeightedCrossEntropy):
    """The weighted loss, which notes down how many weights are 1 + 10 · label, and the shapes of the maps."""

    def __init__(self):
        super().__init__()
        self.fits, self.shapes = [], set()

    def forward(self, logits, target, maps):
        fits = (maps[:, :1] - (1 + 10 * target)).abs() < 1e-3
        self.fits.append(fits.float().mean().item())
        self.shapes.add(tuple(maps.shape))
        return super().forward(logits, target, maps[:, :1])


class ToyTrainer(ExtraTargetTrainer):
    targets = (Levels(base=1.0),)
    deep_supervision = True

    def __init__(self, plans, configuration, fold, dataset_json, device=torch.device("cpu")):  # noqa: B008
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs, self.num_iterations_per_epoch, self.num_val_iterations_per_epoch = 1, 2, 1
        self.enable_deep_supervision = self.deep_supervision
        self.disable_checkpointing = True

    def extra_targets(self):
        return self.targets

    def _build_loss(self):
        stock = super()._build_loss()
        self.checked = Checked()
        if isinstance(stock, DeepSupervisionWrapper):
            stock.loss = self.checked
        return self.with_maps(stock if isinstance(stock, DeepSupervisionWrapper) else self.checked)


def train(**attributes):
    content = {"labels": LABELS, "channel_names": {"0": "x"}, "file_ending": ".tif", "numTraining": 4}
    trainer = type("ToyTrainer", (ToyTrainer,), attributes)(toy_plans(DATASET), "2d", 0, content)
    torch.manual_seed(0)
    np.random.seed(0)
    trainer.run_training()
    return trainer


@pytest.mark.slow
@pytest.mark.parametrize(
    ("per_case", "deep_supervision", "workers"),
    [(False, False, "0"), (False, True, "1"), (True, False, "1"), (True, True, "0")],
)
def test_training_with_maps(per_case, deep_supervision, workers, dataset, monkeypatch):
    monkeypatch.setenv("nnUNet_n_proc_DA", workers)
    trainer = train(extra_targets_per_case=per_case, deep_supervision=deep_supervision)
    checked = trainer.checked
    edges = (32, 16) if deep_supervision else (32,)  # the loss of the lowest scale has weight 0
    assert checked.shapes == {(2, 1, edge, edge) for edge in edges}
    assert len(checked.fits) == 3 * len(checked.shapes)
    # computed from the label that comes out: exactly it; stored: interpolated where the patch is rotated. The
    # worst of 400 batches had .83.
    assert min(checked.fits) > (0.7 if per_case else 0.9999)
    assert checked.fits[-1] == 1  # of a validation patch, not rotated
    assert (dataset / "nnUNetPlans_2d_levels_base=1").is_dir() == per_case
    assert np.isfinite(trainer.logger.local_logger.my_fantastic_logging["train_losses"][0])


def test_several_targets_with_the_counts_of_the_fold(dataset):
    trainer = train(targets=(Levels(base=1.0), Balance(), Levels(base=2.0, stored=False)))
    assert (2, 3, 32, 32) in trainer.checked.shapes
    counts = [sum((blobs(SHAPE, i) == label).sum() for i in range(3)) for label in range(3)]
    batch = next(trainer.dataloader_val)
    labels = batch["target"][0][:, 0].long()
    expected = torch.stack([1 + 10 * labels, 1 / torch.tensor(counts)[labels], 2 + 10 * labels], 1)
    torch.testing.assert_close(batch["data"][:, 1:], expected.float())
    assert sorted(path.name for path in dataset.glob("nnUNetPlans_2d_*")) == [
        "nnUNetPlans_2d_class_counts.json",
        "nnUNetPlans_2d_levels_base=1",
    ]


def weights_in(folder):
    from nnunetv2.imageio.natural_image_reader_writer import NaturalImage2DIO

    return UserWeights(folder, ".tif", NaturalImage2DIO)


def test_the_users_weights(dataset, nnunet_folders):
    folder = nnunet_folders["nnUNet_raw"] / DATASET / "weightsTr"
    with pytest.raises(UserError, match=r"There is no folder .*weightsTr"):
        train(targets=(weights_in(folder),))
    folder.mkdir(parents=True)
    for i, case in enumerate(CASES):
        tifffile.imwrite(folder / f"{case}.tif", (1 + 10 * blobs(SHAPE, i)[0]).astype(np.float32))
        box = [[0, edge] for edge in SHAPE]
        path = dataset / "nnUNetPlans_2d" / f"{case}.pkl"
        properties = pickle.loads(path.read_bytes())
        properties |= {"shape_before_cropping": SHAPE, "bbox_used_for_cropping": box, "spacing": [999, 1, 1]}
        path.write_bytes(pickle.dumps(properties))
    # computing per patch, asked for, is not possible for this one
    trainer = train(targets=(weights_in(folder),), extra_targets_per_case=False)
    assert trainer.checked.fits[-1] == 1
    assert min(trainer.checked.fits) > 0.7


def test_without_targets_everything_is_nnunets(dataset):
    class Plain(ExtraTargetTrainer):
        pass

    content = {"labels": LABELS, "channel_names": {"0": "x"}, "file_ending": ".tif", "numTraining": 4}
    trainer = Plain(toy_plans(DATASET), "2d", 0, content, torch.device("cpu"))
    trainer.initialize()
    loss = trainer._build_loss()
    assert trainer.with_maps(loss) is loss
    trainer.num_iterations_per_epoch = 1
    trainer.on_train_start()
    batch = next(trainer.dataloader_train)
    assert batch["data"].shape == (2, 1, 32, 32)
    trainer.network.train()
    assert np.isfinite(trainer.train_step(batch)["loss"])
    trainer.validation_step(batch)
    assert [path.name for path in dataset.glob("nnUNetPlans_2d*")] == ["nnUNetPlans_2d"]


class Sum(nn.Module):
    def forward(self, output, target, maps):
        return (output + target + maps).sum()


def test_loss_takes_maps_off_the_batch_and_forgets_them():
    loss = ExtraTargetLoss(Sum(), 2)
    data = torch.arange(2 * 3 * 4.0).reshape(2, 3, 4)
    batch = {"data": data, "keys": ["a", "b"]}
    zero = torch.zeros(2, 2, 4)
    with pytest.raises(RuntimeError, match="inside taking_maps_from"):
        loss(zero, zero)
    with loss.taking_maps_from(batch, torch.device("cpu")) as images:
        assert torch.equal(images["data"], data[:, :1])
        assert images["data"].is_contiguous()
        assert images["keys"] == ["a", "b"]
        assert loss(zero, zero) == data[:, 1:].sum()
    assert batch["data"] is data
    with pytest.raises(ZeroDivisionError), loss.taking_maps_from(batch, torch.device("cpu")):
        _ = 1 / 0
    with pytest.raises(RuntimeError, match="inside taking_maps_from"):
        loss(zero, zero)
    assert not loss.state_dict()


def test_loss_gives_every_scale_its_maps():
    loss = ExtraTargetLoss(DeepSupervisionWrapper(Sum(), [1.0, 10.0]), 1)
    data = torch.arange(2 * 16.0).reshape(1, 2, 4, 4)
    zeros = [torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 2, 2)]
    with loss.taking_maps_from({"data": data}, torch.device("cpu")):
        low = data[0, 1, 1::2, 1::2].sum()  # nearest-exact takes the second of two
        assert loss(zeros, zeros) == data[:, 1:].sum() + 10 * low
