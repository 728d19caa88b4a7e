"""The stages of a U-Net for a smaller patch: those that nnU-Net planned, as far as each axis has room."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from copy import deepcopy
from math import prod
from typing import Annotated, Any, TypeAlias

from pydantic import Field
from typing_extensions import NotRequired, TypedDict

from nnunet_ext.errors import UserError
from nnunet_ext.json_shape import mismatch

# nnU-Net gives the last of the outputs, one less than there are stages, the weight 0 and divides by the sum:
# of two stages that is 0 / 0, and every loss NaN.
FEWEST_STAGES = 3
# Voxels along an axis that was pooled, at the bottom of the U; the first of these that leaves enough stages.
_ROOM = (8, 4, 2)
_WIDEST = 8  # the deepest stage has at most this many times the features of the first
_PER_STAGE = ("kernel_sizes", "n_conv_per_stage", "n_blocks_per_stage")

_Positive = Annotated[int, Field(ge=1)]
_EachStage: TypeAlias = _Positive | list[_Positive]


class _Kwargs(TypedDict):
    strides: Annotated[list[list[_Positive]], Field(min_length=1)]
    n_conv_per_stage: NotRequired[_EachStage]
    n_blocks_per_stage: NotRequired[_EachStage]
    n_conv_per_stage_decoder: NotRequired[_EachStage]


class _Architecture(TypedDict):
    arch_kwargs: _Kwargs


class _UNet(TypedDict):
    """What `shrink_network` relies on."""

    patch_size: list[_Positive]
    batch_size: _Positive
    architecture: _Architecture


def with_architecture(configuration: dict[str, Any]) -> dict[str, Any]:
    """A copy of a configuration of a plans file, in the form that nnU-Net has written since version 2.3.

    Raises
    ------
    UserError
        If it is no U-Net in two or three dimensions.
    """
    configuration = deepcopy(configuration)
    if "UNet_class_name" in configuration:
        from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager

        with warnings.catch_warnings():  # that this form is an old one
            warnings.simplefilter("ignore")
            try:
                configuration = ConfigurationManager(configuration).configuration
            except (KeyError, RuntimeError, TypeError, ValueError) as error:
                raise UserError(
                    f"These old plans cannot be read: {error}. Plan the dataset again."
                ) from error
    if problem := mismatch(configuration, _UNet) or _uneven(configuration):
        raise UserError(
            f"this is no U-Net in 2D or 3D with strides for each stage ({problem}), so it cannot be made "
            "smaller here."
        )
    return configuration


def _uneven(configuration: dict[str, Any]) -> str:
    """What does not go with the axes of the patch or the number of stages; "" if all does."""
    edges, arch = len(configuration["patch_size"]), configuration["architecture"]["arch_kwargs"]
    if edges not in (2, 3) or any(len(stride) != edges for stride in arch["strides"]):
        return f"strides of other axes than the {edges} of the patch"
    stages = len(arch["strides"])
    for key in _PER_STAGE:
        if isinstance(arch.get(key), list) and len(arch[key]) < stages:
            return f"{key} of {len(arch[key])} stages, strides of {stages}"
    return ""


def fit_stages(planned: Sequence[Sequence[int]], edges: Sequence[int]) -> list[tuple[int, list[int]]]:
    """The stages that a patch has room for, at least `FEWEST_STAGES`.

    Every axis is pooled as planned until it runs out of room, and is then left alone while others go on.
    Where that leaves too few stages, less room will do; at last stages follow that pool nothing.

    Parameters
    ----------
    planned : sequence of sequence of int
        Planned strides, one per stage and axis.
    edges : sequence of int
        Patch edges in voxels.

    Returns
    -------
    list of (int, list of int)
        Of every stage the number of the planned one that it is made from, and its strides. A pooled axis
        has 2 voxels or more at the bottom.

    Examples
    --------
    Twelve slices: the planes are pooled further when the slices no longer are.

    >>> fit_stages([[1, 1, 1], [1, 2, 2], [2, 2, 2], [1, 2, 2]], [12, 64, 64])
    [(0, [1, 1, 1]), (1, [1, 2, 2]), (2, [1, 2, 2]), (3, [1, 2, 2])]
    """
    ndim, number = len(edges), len(planned)
    planned = [*planned, *[[2] * ndim] * (FEWEST_STAGES - number)]
    stages: list[tuple[int, list[int]]] = []
    for room in _ROOM:
        stages = _pooled(planned, edges, room)
        if len(stages) >= FEWEST_STAGES:
            break
    stages += [(number - 1, [1] * ndim)] * (FEWEST_STAGES - len(stages))
    return [(min(index, number - 1), stride) for index, stride in stages]


def _pooled(planned: Sequence[Sequence[int]], edges: Sequence[int], room: int) -> list[tuple[int, list[int]]]:
    """The stages that pool something, and the first one."""
    stages: list[tuple[int, list[int]]] = []
    total = [1] * len(edges)
    for index, stride in enumerate(planned):
        axes = zip(stride, edges, total, strict=True)
        fitting = [s if n // (t * s) >= room else 1 for s, n, t in axes]
        if index == 0 or any(s > 1 for s in fitting):
            total = [t * s for t, s in zip(total, fitting, strict=True)]
            stages.append((index, fitting))
    return stages


def shrink_network(arch: dict[str, Any], edges: Sequence[int], features: int) -> list[int]:
    """Make an architecture smaller in place.

    Parameters
    ----------
    arch : dict
        ``arch_kwargs`` of one of nnU-Net's U-Nets, plain or with residual encoder.
    edges : sequence of int
        Largest patch edges in voxels.
    features : int
        Feature maps of the first stage; doubled per stage up to 8 times.

    Returns
    -------
    list of int
        Patch edges: `edges` rounded down to what the strides divide.
    """
    stages = fit_stages(arch["strides"], edges)
    for key in _PER_STAGE:
        if isinstance(arch.get(key), list):
            arch[key] = [arch[key][index] for index, _ in stages]
    strides = arch["strides"] = [stride for _, stride in stages]
    arch["n_stages"] = len(stages)
    arch["features_per_stage"] = [min(features * 2**i, features * _WIDEST) for i in range(len(stages))]
    decoder = arch.get("n_conv_per_stage_decoder")
    if isinstance(decoder, list):
        padded = [*decoder, *(decoder[-1:] or [1]) * len(stages)]
        arch["n_conv_per_stage_decoder"] = padded[: len(stages) - 1]
    steps = [prod(axis) for axis in zip(*strides, strict=True)]
    return [n // step * step for n, step in zip(edges, steps, strict=True)]
