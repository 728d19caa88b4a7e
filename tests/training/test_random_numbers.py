"""Streams of random numbers, and what a batch draws from."""

import random

import numpy as np
import pytest
import torch
from batchgeneratorsv2.transforms.nnunet.random_binary_operator import ApplyRandomBinaryOperatorTransform
from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from batchgeneratorsv2.transforms.utils.random import OneOfTransform, RandomTransform

from nnunet_ext.training.numbered_batches import NumberedBatches, every_transform, in_order
from nnunet_ext.training.random_numbers import Use, numbers_of, seed_all


def draw():
    """A number of each generator that a training draws from."""
    return random.random(), np.random.rand(), torch.rand(1).item()


def drawn(seed, *key):
    with numbers_of(seed, *key):
        return draw()


def test_a_key_gives_the_same_numbers_whatever_was_drawn_before():
    first = drawn(3, Use.TRAINING_BATCH, 0, 7)
    draw()
    assert drawn(3, Use.TRAINING_BATCH, 0, 7) == first
    seed_all(3, Use.TRAINING_BATCH, 0, 7)
    assert draw() == first


def test_every_part_of_the_key_counts_for_every_generator():
    keys = [
        (3, 2, 0, 7),
        (4, 2, 0, 7),
        (3, 3, 0, 7),
        (3, 2, 1, 7),
        (3, 2, 0, 8),
        (3, 2, 7, 0),
        (2**40, 2, 0, 7),
    ]
    keys += [(3,), (3, 0), (3, 0, 0), (0, 3, 0)]
    for numbers in zip(*(drawn(*key) for key in keys), strict=True):
        assert len(set(numbers)) == len(keys)


def test_the_process_goes_on_where_it_was():
    seed_all(1)
    expected = [draw(), draw()]
    seed_all(1)
    found = [draw()]
    with pytest.raises(ZeroDivisionError), numbers_of(5):
        _ = 1 / (draw() and 0)
    found.append(draw())
    assert found == expected


class Loader:
    """Draws, and says on how many threads."""

    transforms = None

    def __next__(self):
        return {"drawn": (*draw(), torch.get_num_threads())}


def some(workers, first=0, rank=0, cached=4, count=9):
    batches = NumberedBatches(Loader(), 3, (Use.TRAINING_BATCH, rank), first, workers)
    augmenter = in_order(batches, workers, cached, False)
    try:
        return [next(augmenter)["drawn"] for _ in range(count)]
    finally:
        if workers:
            augmenter._finish()


@pytest.mark.slow
def test_batches_are_those_of_their_numbers_with_any_number_of_workers():
    torch.set_num_threads(2)
    alone = some(0)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)
    assert len(set(alone)) == 9
    assert {threads for *_, threads in alone} == {1}
    assert some(1) == some(3) == some(4, cached=1) == alone
    assert some(3, first=4, count=5) == alone[4:]
    assert not set(some(0, rank=1)) & set(alone)


def test_blur_is_not_timed_anywhere_in_the_pipeline():
    blurs = [GaussianBlurTransform(benchmark=True) for _ in range(3)]
    loader = Loader()
    loader.transforms = ComposeTransforms(
        [RandomTransform(blurs[0]), ComposeTransforms([blurs[1]]), OneOfTransform([blurs[2]])]
    )
    assert sum(isinstance(each, GaussianBlurTransform) for each in every_transform(loader.transforms)) == 3
    NumberedBatches(loader, 0, (2, 0), 0, 0)
    assert not any(blur.benchmark for blur in blurs)


class Shuffling(Loader):
    """A batch of a cascade: its transform shuffles its channels in place."""

    def __init__(self):
        step = ApplyRandomBinaryOperatorTransform([-3, -2, -1], p_per_label=1)
        self.transforms = ComposeTransforms([RandomTransform(step)])

    def __next__(self):
        parameters = self.transforms.transforms[0].transform.get_parameters(image=torch.zeros(3, 4, 4))
        return tuple(parameters["apply_to_channels"])


def test_channels_that_are_shuffled_begin_in_their_order():
    batches = NumberedBatches(Shuffling(), 0, (2, 0), 0, 0)
    orders = [next(batches) for _ in range(6)]
    assert len(set(orders)) > 1
    assert next(NumberedBatches(Shuffling(), 0, (2, 0), 5, 0)) == orders[5]
