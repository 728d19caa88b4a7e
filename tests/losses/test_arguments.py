import pytest
import torch

from nnunet_ext.losses import (
    JCLoss,
    MultiLevelLoss,
    SCNPLoss,
    WeightedCrossEntropy,
    same_class_neighbor_penalization,
    split_target,
)
from nnunet_ext.losses.arguments import known_labels
from nnunet_ext.losses.multilevel import mce, nce, sse
from nnunet_ext.nnunet_files.hierarchy import hierarchy_of


def test_labels_without_ignore_label():
    target = torch.tensor([[[0, 1, 2]]])
    labels, mask = split_target(target)
    assert labels is target
    assert mask is None


def test_labels_with_ignore_label():
    labels, mask = split_target(torch.tensor([[[0, 1, 2]]]), ignore_label=2)
    assert labels.tolist() == [[[0, 1, 2]]]
    assert mask.tolist() == [[[True, True, False]]]


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.float32])
def test_regions_with_ignore_channel(dtype):
    target = torch.tensor([[[1, 1, 0], [0, 1, 0], [0, 0, 1]]]).to(dtype)
    labels, mask = split_target(target, regions=True, ignore_label=3)
    assert torch.equal(labels, target[:, :2])
    assert mask.tolist() == [[[True, True, False]]]
    assert split_target(target, regions=True)[1] is None


def test_label_target_with_channels_is_refused():
    with pytest.raises(ValueError, match=r"one channel.*\(1, 2, 4\)"):
        split_target(torch.zeros(1, 2, 4))


CHAIN = hierarchy_of({"labels": {"background": 0, "cell": 1, "nucleus": 2}})
LOGITS, CHANNEL = torch.zeros(1, 3, 4), torch.tensor([[[-1.0, 0.0, 0.3, 1.0]]])


def losses(ignore_label=None):
    """Every loss as a function of the target, a map where it takes one."""
    chains = {name: MultiLevelLoss(CHAIN, name, ignore_label=ignore_label) for name in ("sse", "mce", "nce")}
    weighted, jc = WeightedCrossEntropy(ignore_label=ignore_label), JCLoss(ignore_label=ignore_label)
    return {
        **{f"chain {name}": lambda y, loss=loss: loss(CHANNEL, y) for name, loss in chains.items()},
        "JC": lambda y: jc(LOGITS, y),
        "weighted": lambda y: weighted(LOGITS, y, torch.ones(1, 1, 4)),
        "SCNP of JC": lambda y: SCNPLoss(jc, ignore_label=ignore_label)(LOGITS, y),
        "SCNP of weighted": lambda y: SCNPLoss(weighted, joint=True, ignore_label=ignore_label)(
            LOGITS, y, torch.ones(1, 1, 4)
        ),
    }


def terms():
    """The functions behind them, without an ignore label."""
    return {
        **{f.__name__: lambda y, f=f: f(CHANNEL, y, 2) for f in (sse, mce, nce)},
        "SCNP": lambda y: same_class_neighbor_penalization(LOGITS, y).sum(),
    }


@pytest.mark.parametrize("label", [-1, -3, 3, 127])
@pytest.mark.parametrize("name", [*losses(), *terms()])
def test_an_undeclared_label_is_no_other(name, label):
    loss = (losses() | terms())[name]
    assert torch.isfinite(loss(torch.tensor([[[0, 1, 2, 2]]])))
    with pytest.raises(IndexError, match=f"has label {label}, but the labels are 0 to 2"):
        loss(torch.tensor([[[0, 1, 2, label]]], dtype=torch.int16))


@pytest.mark.parametrize("name", losses())
def test_an_undeclared_label_beside_an_ignore_label(name):
    loss = losses(ignore_label=3)[name]
    expected = loss(torch.tensor([[[0, 1, 2, 3]]]))
    assert torch.isfinite(expected)
    for label in (-1, 4):
        with pytest.raises(IndexError, match=f"label {label}"):
            loss(torch.tensor([[[0, 1, label, 3]]]))


def test_on_a_gpu_a_negative_label_does_not_count_from_the_end():
    """`meta` stands for a device that nobody looks at; what would be an index is out of range there."""
    mask = torch.tensor([[[True, True, True, False]]])
    target = torch.tensor([[[0, 2, -1, -1]]])
    assert known_labels(target.to("meta"), 3, mask.to("meta")).shape == target.shape
    with pytest.raises(IndexError):
        known_labels(target, 3, mask)
    assert known_labels(target, 3, mask & (target >= 0), ignored=-100).tolist() == [[[0, 2, -100, -100]]]
