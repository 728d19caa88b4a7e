"""The same random numbers in every training, in this process and in those that tests start.

nnU-Net seeds nothing: first weights, patches and augmentation differ from run to run, and each of its loader
workers draws numbers of its own.
"""

import random
import sys
from importlib.abc import MetaPathFinder
from importlib.util import find_spec

SEED = 0
TRAINER_MODULE = "nnunetv2.training.nnUNetTrainer.nnUNetTrainer"


def seed_all():
    """Seed what is loaded of Python's, NumPy's and PyTorch's random numbers."""
    random.seed(SEED)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(SEED)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(SEED)


def seed_loader_workers(trainer_module):
    """Let the loaders that nnU-Net's trainer makes seed their worker processes."""
    loader = trainer_module.NonDetMultiThreadedAugmenter

    class SeededAugmenter(loader):
        def __init__(self, data_loader, transform, num_processes, *args, seeds=None, **kwargs):
            seeds = [SEED + worker for worker in range(num_processes)]
            super().__init__(data_loader, transform, num_processes, *args, seeds=seeds, **kwargs)

    trainer_module.NonDetMultiThreadedAugmenter = SeededAugmenter


class _AfterImport(MetaPathFinder):
    """Seeds once nnU-Net's trainer is imported, without importing anything itself: start-up stays quick."""

    def find_spec(self, name, path=None, target=None):
        if name != TRAINER_MODULE:
            return None
        sys.meta_path.remove(self)
        spec = find_spec(name)
        execute = spec.loader.exec_module

        def execute_and_seed(module):
            execute(module)
            seed_loader_workers(module)
            seed_all()

        spec.loader.exec_module = execute_and_seed
        return spec


def install():
    """Seed this process as soon as it can train; once is enough."""
    if not any(isinstance(finder, _AfterImport) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterImport())
