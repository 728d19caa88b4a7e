"""Plans that fit a laptop: nnU-Net's own, with a smaller patch, batch and network.

The preprocessed data are shared with the plans they were made from, so nothing is preprocessed again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from copy import deepcopy
from math import prod
from pathlib import Path
from typing import Any

from nnunet_ext.errors import UserError
from nnunet_ext.files import write_texts

SMALL_PLANS = "nnUNetPlansSmall"
SMALLEST_FEATURE_MAP = 8  # voxels along an axis at the bottom of the U
WIDEST = 8  # the deepest stage has at most this many times the features of the first
DEFAULT_PATCH = {2: 128, 3: 64}
DEFAULT_BATCH = {2: 4, 3: 2}


def _cut_topology(arch: dict[str, Any], patch: Sequence[int], features: int) -> list[list[int]]:
    """Shorten an architecture in place to the stages that `patch` leaves room for; return its strides."""
    strides: list[list[int]] = []
    for stride in arch["strides"]:
        total = [prod(s) for s in zip(*strides, stride, strict=True)]
        if any(s > 1 and n // t < SMALLEST_FEATURE_MAP for n, s, t in zip(patch, stride, total, strict=True)):
            break
        strides.append(list(stride))
    stages = max(2, len(strides))
    strides = [list(stride) for stride in arch["strides"][:stages]]
    arch["n_stages"] = stages
    arch["features_per_stage"] = [min(features * 2**i, features * WIDEST) for i in range(stages)]
    for key in ("strides", "kernel_sizes", "n_conv_per_stage", "n_blocks_per_stage"):
        if key in arch:
            arch[key] = arch[key][:stages]
    arch["n_conv_per_stage_decoder"] = arch["n_conv_per_stage_decoder"][: stages - 1]
    return strides


def shrink(
    configuration: dict[str, Any], patch: int | None, batch: int | None, features: int
) -> dict[str, Any]:
    """A smaller copy of one configuration of a plans file.

    Parameters
    ----------
    configuration : dict
        A configuration with its own ``patch_size`` and ``architecture``.
    patch : int, optional
        Largest patch edge in voxels; None for 128 (2D) or 64 (3D). An edge is rounded down to what the
        network's strides divide, and never exceeds the planned one.
    batch : int, optional
        Largest batch; None for 4 (2D) or 2 (3D).
    features : int
        Feature maps of the first stage; doubled per stage up to 8 times.

    Returns
    -------
    dict
        The copy; it names the same preprocessed data.
    """
    small = deepcopy(configuration)
    ndim = len(small["patch_size"])
    edges = [min(n, patch or DEFAULT_PATCH[ndim]) for n in small["patch_size"]]
    strides = _cut_topology(small["architecture"]["arch_kwargs"], edges, features)
    steps = [prod(axis) for axis in zip(*strides, strict=True)]
    small["patch_size"] = [max(step, n // step * step) for n, step in zip(edges, steps, strict=True)]
    small["batch_size"] = max(2, min(small["batch_size"], batch or DEFAULT_BATCH[ndim]))
    return small


def dataset_folder(dataset: str) -> Path:
    """The preprocessed folder of a dataset id (``501``) or name (``Dataset501_TopoMortar``).

    Raises
    ------
    UserError
        If ``nnUNet_preprocessed`` is not set or holds no such dataset.
    """
    base = os.environ.get("nnUNet_preprocessed")
    if not base:
        raise UserError("nnUNet_preprocessed is not set. Run 'nnunet_ext doctor' to see what is missing.")
    pattern = f"Dataset{int(dataset):03d}_*" if dataset.isdigit() else dataset
    found = sorted(path for path in Path(base).glob(pattern) if path.is_dir())
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise UserError(
            f"one dataset folder {pattern} is expected in {base}; found: {names}. "
            f"Run 'nnUNetv2_plan_and_preprocess -d {dataset}' first."
        )
    return found[0]


def write_small_plans(
    dataset: str,
    configurations: Sequence[str] = (),
    patch: int | None = None,
    batch: int | None = None,
    features: int = 8,
    plans: str = "nnUNetPlans",
) -> tuple[Path, dict[str, Any]]:
    """Write ``nnUNetPlansSmall.json`` beside the plans it is made from.

    Parameters
    ----------
    dataset : str
        Dataset id or name.
    configurations : sequence of str
        Which to shrink; empty for all. Others are left out, but for those that a kept one inherits from.
    patch, batch, features
        See `shrink`.
    plans : str
        The plans to start from.

    Returns
    -------
    path : Path
        The file written (atomically; an earlier one is replaced).
    small : dict
        Its content.

    Raises
    ------
    UserError
        If the dataset, its plans or a configuration is not there.
    """
    source = dataset_folder(dataset) / f"{plans}.json"
    if not source.is_file():
        raise UserError(f"{source} does not exist. Run 'nnUNetv2_plan_and_preprocess -d {dataset}' first.")
    small = json.loads(source.read_text())
    planned = small["configurations"]
    unknown = sorted(set(configurations) - set(planned))
    if unknown:
        raise UserError(
            f"{source.name} has no configuration {', '.join(unknown)}. It has: {', '.join(planned)}."
        )
    wanted = set(configurations or planned)
    wanted |= {planned[name]["inherits_from"] for name in wanted if "inherits_from" in planned[name]}
    small["plans_name"] = SMALL_PLANS
    small["configurations"] = {
        name: shrink(content, patch, batch, features) if "patch_size" in content else content
        for name, content in planned.items()
        if name in wanted
    }
    target = source.with_name(f"{SMALL_PLANS}.json")
    write_texts({target: json.dumps(small, indent=4)})
    return target, small
