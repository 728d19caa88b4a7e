"""Batches whose random numbers depend on their number alone, whichever process makes them.

nnU-Net's loader workers draw from one stream each and hand in batches as they are ready. Here batch 7 is the
same patches in the same augmentation with any number of workers, and a training that goes on in epoch 10
begins with the batch that an undisturbed one would have had there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from batchgenerators.dataloading.multi_threaded_augmenter import MultiThreadedAugmenter
from batchgenerators.dataloading.single_threaded_augmenter import SingleThreadedAugmenter
from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform

from nnunet_ext.training.random_numbers import numbers_of

_WAIT = 0.002  # seconds between two looks at a queue, as nnU-Net's own


class NumberedBatches:
    """The batches `first`, `first` + 1, … of a loader; in a worker, every so-many-th of them.

    Parameters
    ----------
    loader : nnUNetDataLoader
        Makes them; its transforms are changed where they choose by timing (see `without_timing`).
    seed : int
        The seed of the training.
    key : tuple of int
        What the batches are for: `Use` and the rank of the process under DDP.
    first : int
        Number of the first batch, counted from the beginning of the training.
    workers : int
        How many processes share the work; batches are taken from them in turns. 0 and 1 are the same here.
    """

    def __init__(self, loader: Any, seed: int, key: tuple[int, ...], first: int, workers: int) -> None:
        self.loader = loader
        self.seed = seed
        self.key = key
        self.next = first
        self.step = max(1, workers)
        steps = [*every_transform(loader.transforms)]
        without_timing(steps)
        self._shuffled = [(step, [*step.channel_idx]) for step in steps if hasattr(step, "channel_idx")]

    def set_thread_id(self, thread_id: int) -> None:
        """Called by batchgenerators in each worker, before its first batch."""
        self.next += thread_id
        torch.set_num_threads(1)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self

    def __next__(self) -> dict[str, Any]:
        for step, order in self._shuffled:  # these shuffle their channels in place
            step.channel_idx[:] = order
        with numbers_of(self.seed, *self.key, self.next), _one_thread():
            batch: dict[str, Any] = next(self.loader)
        self.next += self.step
        return batch


def in_order(batches: NumberedBatches, workers: int, cached: int, pin_memory: bool) -> Any:
    """Make batches in worker processes, and hand them out by their numbers.

    Parameters
    ----------
    batches : NumberedBatches
        For so many workers.
    workers : int
        Processes; 0 makes every batch when it is asked for.
    cached : int
        About how many batches to have ready, all workers together; at least one each.
    pin_memory : bool
        Whether they go to a GPU.

    Returns
    -------
    MultiThreadedAugmenter or SingleThreadedAugmenter
        Of batchgenerators; workers have started.
    """
    if workers == 0:
        return SingleThreadedAugmenter(batches, None)
    each = -(-cached // workers)
    augmenter = MultiThreadedAugmenter(batches, None, workers, each, None, pin_memory, wait_time=_WAIT)
    augmenter.restart()
    return augmenter


def every_transform(transform: Any) -> Iterator[Any]:
    """A transform of batchgeneratorsv2 and those that it is made of."""
    yield transform
    for name in ("transform", "transforms", "list_of_transforms"):
        inner = getattr(transform, name, ())
        for each in inner if isinstance(inner, (list, tuple)) else (inner,):
            yield from every_transform(each)


def without_timing(transforms: Iterable[Any]) -> None:
    """Let Gaussian blur take convolution at all times; nnU-Net has it time both ways and take the faster one.

    Each worker does that for itself, and the two round differently.
    """
    for transform in transforms:
        if isinstance(transform, GaussianBlurTransform):
            transform.benchmark = False


@contextmanager
def _one_thread() -> Iterator[None]:
    """As in a worker: a sum on several threads is rounded differently."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
