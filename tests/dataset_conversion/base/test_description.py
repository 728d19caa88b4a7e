"""The labels that nnU-Net takes, and those it does not."""

from __future__ import annotations

import pytest

from nnunet_ext.dataset_conversion import DatasetDescription


def test_labels_nnunet_takes() -> None:
    regions = DatasetDescription(
        ("CT",), {"background": 0, "whole": (1, 2), "core": 2, "ignore": 3}, ".nii.gz", {}, 3, (1, 2)
    )
    assert regions.values == (0, 1, 2, 3)


@pytest.mark.parametrize(
    ("labels", "order"),
    [
        ({"background": 0, "a": 2}, ()),
        ({"background": 1, "a": 0}, ()),
        ({"a": 0, "b": 1}, ()),
        ({"background": 0, "ignore": 1, "a": 2}, ()),
        ({"background": 0, "a": 1}, (1,)),
        ({"background": 0, "a": (1, 2), "b": 2}, ()),
        ({"background": 0, "a": (1, 2), "b": 2}, (1,)),
    ],
)
def test_labels_it_does_not(labels: dict, order: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="We expect"):
        DatasetDescription(("CT",), labels, ".nii.gz", regions_class_order=order)
