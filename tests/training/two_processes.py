"""A job in two processes of a distributed training (gloo, CPU), and the comparison with one process."""

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

WORLD = 2


def _work(rank, job, folder):
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=WORLD)
    torch.save(job(slice(2 * rank, 2 * rank + 2)), f"{folder}/{rank}")
    dist.destroy_process_group()


def in_two_processes(job, folder):
    """What `job`, a function of a module, returns for the halves of a batch of four, in a process each."""
    mp.spawn(_work, args=(job, str(folder)), nprocs=WORLD)
    return [torch.load(folder / str(rank)) for rank in range(WORLD)]


def assert_same(found, expected):
    """Compare tensors of both processes with those of the whole batch, whose last ones are gradients."""
    assert max(gradient.abs().max() for gradient in expected[-2:]) > 1e-3
    for of_one in found:
        for ours, theirs in zip(of_one, expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
