"""The multi-level losses in two processes (gloo, CPU) must train like one on the whole batch."""

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from nnunet_ext.losses import MultiLevelLoss
from nnunet_ext.targets.hierarchy import hierarchy_of

WORLD = 2
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


def worker(rank, store, results):
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=WORLD)
    images, target = make_batch()
    half = slice(2 * rank, 2 * rank + 2)
    found = {}
    for name in NAMES:
        network = DistributedDataParallel(make_network())
        found[name] = gradients(network, make_loss(name), images[half], target[half])
    torch.save(found, f"{results}/{rank}")
    dist.destroy_process_group()


def test_two_processes_equal_one(tmp_path):
    mp.spawn(worker, args=(str(tmp_path / "store"), str(tmp_path)), nprocs=WORLD)
    for name in NAMES:
        expected = gradients(make_network(), make_loss(name), *make_batch())
        assert max(g.abs().max() for g in expected) > 1e-3
        for rank in range(WORLD):
            for ours, theirs in zip(torch.load(tmp_path / str(rank))[name], expected, strict=True):
                torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
