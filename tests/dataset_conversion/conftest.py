"""A miniature TopoMortar, the folders nnU-Net asks for, and what nnU-Net itself says of a dataset."""

from __future__ import annotations

import contextlib
import io as text_io
from collections.abc import Callable
from multiprocessing.pool import ThreadPool
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from skimage import io

SHAPE = (24, 20)


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    io.imsave(path, pixels.astype(np.uint8), check_contrast=False)


def brick_wall(number: int) -> np.ndarray:
    """A mask with one horizontal and one vertical line of mortar: 24 + 20 - 1 = 43 of 480 pixels."""
    mask = np.zeros(SHAPE, np.uint8)
    mask[number % SHAPE[0]], mask[:, 7] = 255, 255
    return mask


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Repository root with 3 training, 2 validation and 2 test cases; noisy labels are shifted."""
    root = tmp_path / "TopoMortar"
    rng = np.random.default_rng(0)
    for part, numbers in {"train": (1, 2, 3), "val": (51, 52), "test": (71, 163)}.items():
        for number in numbers:
            name, mask = f"{number:03d}.png", brick_wall(number)
            save(root / "dataset" / part / "images" / name, rng.integers(0, 256, (*SHAPE, 3)))
            save(root / "dataset" / part / "accurate" / name, mask)
            if part != "test":
                save(root / "dataset" / part / "noisy" / name, np.roll(mask, 1, axis=1))
    grey = brick_wall(163)
    grey[0, :6] = 8
    save(root / "dataset/test/accurate/163.png", grey)
    for name in ("train/images/.DS_Store", "train/images/._001.png", "test/accurate/Thumbs.db"):
        (root / "dataset" / name).write_bytes(b"no image")
    (root / "dataset/dataset_types.txt").write_text("ID,group\n071,indistr\n163,angles\n")
    return root


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """$nnUNet_raw, beside $nnUNet_preprocessed and $nnUNet_results."""
    for name in ("raw", "preprocessed", "results"):
        monkeypatch.setenv(f"nnUNet_{name}", str(tmp_path / name))
    return tmp_path / "raw"


@pytest.fixture
def accept(raw: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], dict[str, Any]]:
    """Let nnU-Net check the integrity of a dataset folder and plan it; returns the plans.

    nnU-Net prints what it dislikes and goes on, or raises; here either is an error with its words. Threads
    stand in for its processes, each of which would import nnU-Net.
    """
    pytest.importorskip("nnunetv2")
    from nnunetv2.experiment_planning import verify_dataset_integrity as integrity
    from nnunetv2.experiment_planning.dataset_fingerprint import fingerprint_extractor as extractor
    from nnunetv2.experiment_planning.plan_and_preprocess_api import (
        extract_fingerprint_dataset,
        plan_experiment_dataset,
    )

    threads = SimpleNamespace(get_context=lambda method: SimpleNamespace(Pool=ThreadPool))

    class FewSamples(extractor.DatasetFingerprintExtractor):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self.num_foreground_voxels_for_intensitystats = 10_000  # instead of 10e7, of a few hundred

    for module in (integrity, extractor):
        monkeypatch.setattr(module, "multiprocessing", threads)

    def check(folder: Path) -> dict[str, Any]:
        number, said = int(folder.name[len("Dataset") :].partition("_")[0]), text_io.StringIO()
        with contextlib.redirect_stdout(said):
            extract_fingerprint_dataset(
                number, FewSamples, 1, check_dataset_integrity=True, show_progress_bar=False
            )
            words = said.getvalue()
            plans, _ = plan_experiment_dataset(number)
        assert "verify_dataset_integrity Done" in words
        assert "Error" not in words, words
        assert "Warning" not in words.replace("There is no spacing file", ""), words
        return dict(plans)

    return check
