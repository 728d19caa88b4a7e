"""Which classes of an evaluation lie in which, and their containment under the keys of a summary."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from numpy.typing import NDArray

from nnunet_ext.errors import UserError
from nnunet_ext.evaluation.summary import pool
from nnunet_ext.metrics.checks import BoolArray
from nnunet_ext.metrics.containment import Containment, containment
from nnunet_ext.nnunet_files.dataset_json import Classes
from nnunet_ext.nnunet_files.hierarchy import Hierarchy, hierarchy_of

# Key in a summary, for the prediction; `_ref` follows for the reference -> attribute of Containment.
SHARES = {
    "ExposedSurface": "surface_share",
    "ExposedComponents": "component_share",
    "ExposedVoxels": "voxel_share",
}
_COUNTS = tuple(field.name for field in fields(Containment))
_NOTHING = Containment(0, 0, 0, 0, 0, 0)


@dataclass(frozen=True)
class _NestedClass:
    """A class, or region, that lies in another.

    Attributes
    ----------
    outer_name : str
        Name of the class around it.
    inner, outer : tuple of int
        As `containment` takes them.
    """

    outer_name: str
    inner: tuple[int, ...]
    outer: tuple[int, ...]


Nesting = dict[str, _NestedClass]


def read_nesting(dataset_json: Mapping[str, Any], classes: Classes, wanted: bool = False) -> Nesting:
    """Nested classes by their key in a summary: those of ``"nesting"`` or of nested regions.

    Without either there are none, unless they are `wanted`: then each label lies in the one before.

    Raises
    ------
    UserError
        If ``"nesting"`` is wrong, or the classes are `wanted` and no class lies in another.
    """
    hierarchy = _read_hierarchy(dataset_json, classes, wanted)
    if hierarchy is None:
        return {}
    outer = {key: hierarchy.parents[name] for key, name in classes.names.items()}
    nesting = {
        key: _NestedClass(around, hierarchy.labels[classes.names[key]], hierarchy.labels[around])
        for key, around in outer.items()
        if around is not None
    }
    if wanted and not nesting:
        raise UserError("--containment: no class of dataset.json lies in another one, so none can stick out.")
    return nesting


def containment_metrics(
    prediction: NDArray[Any], reference: NDArray[Any], nested: _NestedClass | None, counted: BoolArray | None
) -> dict[str, float]:
    """Shares and counts of one class in two label maps; all NaN for a class that lies in no other."""
    if nested is None:
        return dict.fromkeys(_metrics(_NOTHING, _NOTHING), math.nan)
    return _metrics(
        *(containment(labels, nested.inner, nested.outer, counted) for labels in (prediction, reference))
    )


def pooled_containment(cases: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """The shares that follow from the counts of all cases together, and these counts."""
    return _metrics(*pool([_counts_of(metrics, suffix) for suffix in ("pred", "ref")] for metrics in cases))


def _read_hierarchy(dataset_json: Mapping[str, Any], classes: Classes, wanted: bool) -> Hierarchy | None:
    if wanted or dataset_json.get("nesting") is not None:
        return hierarchy_of(dataset_json)
    if all(len(labels) == 1 for labels in classes.regions.values()):
        return None
    try:
        return hierarchy_of(dataset_json)
    except UserError:  # regions may well overlap otherwise; then nobody asked for this score
        return None


def _metrics(prediction: Containment, reference: Containment) -> dict[str, float]:
    shares = {
        key + suffix: float(getattr(counts, attribute))
        for counts, suffix in ((prediction, ""), (reference, "_ref"))
        for key, attribute in SHARES.items()
    }
    in_prediction = {f"{name}_pred": count for name, count in asdict(prediction).items()}
    return {**shares, **in_prediction, **{f"{name}_ref": count for name, count in asdict(reference).items()}}


def _counts_of(metrics: Mapping[str, float], suffix: str) -> Containment:
    return Containment(*(int(metrics[f"{name}_{suffix}"]) for name in _COUNTS))
