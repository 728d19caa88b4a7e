"""Plans that fit a laptop: nnU-Net's own, with a smaller patch, batch and network.

The preprocessed data are shared with the plans they were made from, so nothing is preprocessed again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field
from typing_extensions import NotRequired, TypedDict

from nnunet_ext.errors import UserError
from nnunet_ext.files import read_json, write_texts
from nnunet_ext.nnunet_files.folders import dataset_folder
from nnunet_ext.nnunet_files.topology import shrink_network, with_architecture

SMALL_PLANS = "nnUNetPlansSmall"
_PLAN_FIRST = "Run 'nnUNetv2_plan_and_preprocess -d ID' first, and give -d that id."
_MARK = "small_plans_of"  # key by which our plans are told from nnU-Net's own files
_TAKEN = ("dataset", "dataset_fingerprint", "splits_final")  # names of nnU-Net's other files there
_PLAN_AGAIN = "Plan the dataset again."
_DEFAULT_PATCH = {2: 128, 3: 64}
_DEFAULT_BATCH = {2: 4, 3: 2}


class _Inheriting(TypedDict):
    inherits_from: NotRequired[str]
    previous_stage: NotRequired[str | None]
    next_stage: NotRequired[str | list[str] | None]


class Plans(TypedDict):
    """What is relied on in a plans file of nnU-Net before its configurations inherit from each other."""

    configurations: Annotated[dict[str, _Inheriting], Field(min_length=1)]


def write_small_plans(
    dataset: str,
    configurations: Sequence[str] = (),
    patch: int | None = None,
    batch: int | None = None,
    features: int = 8,
    plans: str = "nnUNetPlans",
    name: str = SMALL_PLANS,
    overwrite: bool = False,
) -> tuple[Path, dict[str, Any]]:
    """Write small plans beside the plans they are made from.

    Parameters
    ----------
    dataset : str
        Dataset id or name.
    configurations : sequence of str
        Which to shrink; empty for all. Others are left out, but for the first stage of a cascade.
    patch, batch, features
        See `shrink`.
    plans : str
        The plans to start from.
    name : str
        The plans to write.
    overwrite : bool
        Replace other plans of that name. Models trained with those can then not be continued.

    Returns
    -------
    path : Path
        The file written, whole or not at all.
    small : dict
        Its content.

    Raises
    ------
    UserError
        If the dataset, its plans or a configuration is not there, or other plans of that name are.
    """
    if not re.fullmatch(r"[A-Za-z0-9]+([_-][A-Za-z0-9]+)*", name):
        raise UserError(f"'{name}' cannot be the name of plans: use letters, digits, single '_' or '-'.")
    if name in _TAKEN:
        raise UserError(f"{name}.json is another file of nnU-Net's. Choose another --name.")
    source = dataset_folder(dataset, "nnUNet_preprocessed", _PLAN_FIRST) / f"{plans}.json"
    if not source.is_file():
        raise UserError(f"{source} does not exist. Run 'nnUNetv2_plan_and_preprocess -d {dataset}' first.")
    small: dict[str, Any] = read_json(source, _PLAN_AGAIN, Plans)
    wanted = _wanted_configurations(small, configurations, source)
    small["configurations"] = {}
    for key, content in wanted.items():
        try:
            small["configurations"][key] = shrink(content, patch, batch, features)
        except UserError as error:
            raise UserError(f"{source}, {key}: {error} Choose others with -c.") from error
    small["plans_name"] = name
    small[_MARK] = plans
    target = source.with_name(f"{name}.json")
    _check_replaceable(target, small, overwrite)
    write_texts({target: json.dumps(small, indent=4)})
    return target, small


def shrink(
    configuration: dict[str, Any], patch: int | None, batch: int | None, features: int
) -> dict[str, Any]:
    """A smaller copy of one configuration of a plans file.

    Parameters
    ----------
    configuration : dict
        A configuration with all that it inherits.
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
        The copy; it names the same preprocessed data. Its network has at least three stages: nnU-Net's deep
        supervision makes every loss NaN with fewer.

    Raises
    ------
    UserError
        If it is no U-Net.
    """
    small = with_architecture(configuration)
    limit = patch or _DEFAULT_PATCH[len(small["patch_size"])]
    edges = [min(n, limit) for n in small["patch_size"]]
    small["patch_size"] = shrink_network(small["architecture"]["arch_kwargs"], edges, features)
    ndim = len(edges)
    small["batch_size"] = max(2, min(small["batch_size"], batch or _DEFAULT_BATCH[ndim]))
    return small


def _wanted_configurations(
    plans: dict[str, Any], names: Sequence[str], file: Path
) -> dict[str, dict[str, Any]]:
    """Configurations of a plans file, resolved: those named, all without names, and first stages of these."""
    planned = plans["configurations"]
    unknown = sorted(set(names) - set(planned))
    if unknown:
        raise UserError(
            f"{file.name} has no configuration {', '.join(unknown)}. It has: {', '.join(planned)}."
        )
    resolved = {key: _resolve(planned, key, file) for key in planned}
    wanted = set(names or planned)
    wanted |= {resolved[key]["previous_stage"] for key in wanted if resolved[key].get("previous_stage")}
    return {key: _without_others(content, wanted) for key, content in resolved.items() if key in wanted}


def _without_others(configuration: dict[str, Any], wanted: set[str]) -> dict[str, Any]:
    """A configuration whose next stages are wanted: nnU-Net stops after the validation at one that is not."""
    following = configuration.get("next_stage")
    if following is None or (isinstance(following, str) and following in wanted):
        return configuration
    kept = [name for name in following if name in wanted] if isinstance(following, list) else []
    rest = {key: value for key, value in configuration.items() if key != "next_stage"}
    return rest | ({"next_stage": kept} if kept else {})


def _check_replaceable(target: Path, small: dict[str, Any], overwrite: bool) -> None:
    earlier = read_json(target, "Remove it.") if target.exists() else small
    if _MARK not in earlier:
        raise UserError(f"{target} was not written by small-plans and is left alone. Choose another --name.")
    if earlier != small and not overwrite:
        raise UserError(
            f"{target} exists with other settings, and models may have been trained with it. "
            "Write under another --name, or replace it with --overwrite."
        )


def read_configurations(file: Path) -> dict[str, dict[str, Any]]:
    """The configurations of a plans file, each with all that it inherits.

    Raises
    ------
    UserError
        If the file is missing or no plans file, or a configuration inherits from one that is not there.
    """
    planned = read_json(file, _PLAN_AGAIN, Plans)["configurations"]
    return {name: _resolve(planned, name, file) for name in planned}


def _resolve(configurations: dict[str, Any], name: str, file: Path) -> dict[str, Any]:
    """A configuration with all that it inherits, as nnU-Net resolves it."""
    chain, resolved = [name], dict(configurations[name])
    while (outer := resolved.pop("inherits_from", None)) is not None:
        if outer not in configurations or outer in chain:
            what = "itself" if outer in chain else f"{outer!r}, which is not there"
            raise UserError(f"{file}: configurations.{chain[-1]} inherits from {what}. {_PLAN_AGAIN}")
        chain.append(outer)
        resolved = {**configurations[outer], **resolved}
    return resolved
