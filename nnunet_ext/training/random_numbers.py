"""Random numbers that depend on what they are for, not on what was drawn before."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import numpy as np
import torch
from numpy.typing import NDArray


class Use(IntEnum):
    """What the numbers of a training are for; each use has numbers of its own."""

    WEIGHTS = 0
    EPOCH = 1  # whatever is drawn while the network trains, such as dropout
    TRAINING_BATCH = 2
    VALIDATION_BATCH = 3


def seed_all(seed: int, *key: int) -> None:
    """Seed Python, NumPy and PyTorch, its GPUs included.

    Parameters
    ----------
    seed : int
        0 or more.
    *key : int
        What the numbers are for, as `Use` with the number of an epoch or batch. Another key gives other
        numbers, independent of the first.
    """
    words = _words(seed, key)
    _seed_python_and_numpy(words)
    torch.manual_seed(int(words[0]))


@contextmanager
def numbers_of(seed: int, *key: int) -> Iterator[None]:
    """Seed what the CPU draws for as long as the context lasts, and go on afterwards as if nothing had been.

    Parameters
    ----------
    seed, *key
        As in `seed_all`. GPUs are left alone: a loader worker must not touch them.
    """
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    words = _words(seed, key)
    _seed_python_and_numpy(words)
    torch.default_generator.manual_seed(int(words[0]))
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])


def _words(seed: int, key: tuple[int, ...]) -> NDArray[np.uint32]:
    sequence = np.random.SeedSequence(seed, spawn_key=tuple(map(int, key)))
    return sequence.generate_state(8).astype(np.uint32)


def _seed_python_and_numpy(words: NDArray[np.uint32]) -> None:
    random.seed(words.tobytes())
    np.random.seed(words)
