"""Halves of chest volumes, whichever axis is left-right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from nnunet_ext.dataset_conversion import Case, Grid, UnusableCase, UnusableCases, Volume, silent
from nnunet_ext.dataset_conversion.pulmonaryva.halves import (
    cut,
    halves,
    ignore_half,
    keep_labelled,
    labelled_halves,
)

#: x of the array runs along the patient's y, and y along -x
TURNED = Grid((2.0, 0.5, 1.0), (10.0, 20.0, 30.0), (0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0))


def test_the_axis_is_that_of_left_and_right() -> None:
    shape = (3, 5, 4)
    assert halves(shape, Grid()) == (np.s_[:, :, 0:2], np.s_[:, :, 2:4])
    assert halves(shape, TURNED) == (np.s_[:, 0:2, :], np.s_[:, 2:5, :])


def test_a_half_keeps_its_place() -> None:
    pixels = np.arange(60).reshape(3, 5, 4)
    part = cut(Volume((pixels,), pixels > 30, TURNED), 1)
    np.testing.assert_array_equal(part.channels[0], pixels[:, 2:])
    np.testing.assert_array_equal(part.label, pixels[:, 2:] > 30)
    image = sitk.GetImageFromArray(pixels)
    image.SetSpacing((1.0, 0.5, 2.0))
    image.SetOrigin(TURNED.origin)
    image.SetDirection(TURNED.direction)
    assert part.grid.origin == pytest.approx(image[:, 2:].GetOrigin())


def test_which_halves_are_labelled() -> None:
    vessels = np.zeros((1, 2, 10), bool)
    assert labelled_halves(vessels, Grid(), 0.1) == (False, False)
    vessels[0, :, :4], vessels[0, 0, 9] = True, True  # 8 and 1
    assert labelled_halves(vessels, Grid(), 0.1) == (True, True)
    assert labelled_halves(vessels, Grid(), 0.2) == (True, False)


def test_the_other_half_is_ignored() -> None:
    label = np.array([[[0, 1, 2, 0, 0, 0]]], np.uint8)
    ignored, notes = ignore_half(label, Grid(), 0.1, 3, Path("a.nii"))
    assert ignored.tolist() == [[[0, 1, 2, 3, 3, 3]]]
    assert label.tolist() == [[[0, 1, 2, 0, 0, 0]]]
    assert [note.text for note in notes] == ["a.nii: its background is ignored"]
    both, notes = ignore_half(label[..., :4], Grid(), 0.1, None, Path("a.nii"))
    assert (both.tolist(), notes) == ([[[0, 1, 2, 0]]], ())
    with pytest.raises(UnusableCase, match=r"a.nii: all vessels, or nearly, lie in one half"):
        ignore_half(label, Grid(), 0.1, None, Path("a.nii"))


def test_labels_that_cannot_be_cut(tmp_path: Path) -> None:
    empty, damaged = tmp_path / "empty.nii.gz", tmp_path / "damaged.nii.gz"
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((2, 4, 6), np.uint8)), str(empty))
    damaged.write_bytes(b"no image")
    cases = [
        Case(f"{file.name[:2]}{half}", "train", (file,), (file,))
        for file in (empty, damaged)
        for half in ("_half1", "_half2")
    ]
    with pytest.raises(UnusableCases) as caught:
        keep_labelled(cases, (1, 2), 0.1, silent)
    assert sorted(caught.value.problems) == ["da_half1", "da_half2", "em_half1", "em_half2"]
    assert caught.value.problems["em_half1"] == [f"{empty}: no artery and no vein"]
