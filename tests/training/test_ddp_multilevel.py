"""The multi-level losses in two processes (gloo, CPU) must train like one on the whole batch."""

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from two_processes import assert_same, in_two_processes

from nnunet_ext.losses import MultiLevelLoss
from nnunet_ext.nnunet_files.hierarchy import hierarchy_of

pytestmark = pytest.mark.slow

TREE = {
    "labels": {"background": 0, "cell": 1, "nucleus": 2, "debris": 3},
    "nesting": {"cell": {"nucleus": {}}, "debris": {}},
}
NAMES = ("sse", "mce", "nce")


def make_loss(name):
    loss = MultiLevelLoss(hierarchy_of(TREE), name, ignore_label=4)
    loss.use_class_counts([600, 250, 50, 100])
    return loss


def make_batch():
    """The second half of the batch has many more ignored voxels."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(4, 1, 12, 12, generator=generator)
    target = torch.randint(0, 4, (4, 1, 12, 12), generator=generator)
    target[2:, ..., :9] = 4
    return images, target


def make_network():
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1))


def gradients(network, loss, images, target):
    loss(network(images), target).backward()
    return [p.grad.clone() for p in network.parameters()]


def of_half(half):
    images, target = make_batch()
    networks = {name: DistributedDataParallel(make_network()) for name in NAMES}
    return {name: gradients(networks[name], make_loss(name), images[half], target[half]) for name in NAMES}


def test_two_processes_equal_one(tmp_path):
    found = in_two_processes(of_half, tmp_path)
    for name in NAMES:
        expected = gradients(make_network(), make_loss(name), *make_batch())
        assert_same([of_one[name] for of_one in found], expected)
