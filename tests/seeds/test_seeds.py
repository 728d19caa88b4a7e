import random
import subprocess
import sys

import numpy as np
import pytest
import torch

DRAW = """
import random, numpy, torch
from nnunetv2.training.nnUNetTrainer import nnUNetTrainer as trainer
print(random.random(), numpy.random.rand(), torch.rand(1).item())
print(trainer.NonDetMultiThreadedAugmenter(None, None, num_processes=2).seeds)
"""


@pytest.mark.slow
def test_a_process_that_trains_draws_the_same_numbers_each_time():
    first, second = (subprocess.check_output([sys.executable, "-c", DRAW], text=True) for _ in range(2))
    assert first == second
    assert first.endswith("\n[0, 1]\n")


@pytest.mark.parametrize("time", [1, 2])
def test_so_does_every_test(time):
    drawn = random.random(), np.random.rand(), torch.rand(1).item()
    assert drawn == pytest.approx((0.8444218515, 0.5488135039, 0.4962565899))
