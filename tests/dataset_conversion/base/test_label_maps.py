"""Labels as they come: values between 0 and 255, almost whole numbers, other numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nnunet_ext.dataset_conversion import Note, UnusableCase, as_labels, relabel, threshold_mask

FILE = Path("a.png")


def test_of_many_values_some_are_listed() -> None:
    mask = np.arange(256, dtype=np.uint8)
    label, (note,) = threshold_mask(mask, FILE, 128)
    assert label.sum() == 127
    assert note.kind == "thresholded"
    assert note.text == (
        "a.png: 254 pixels (value 1: 1, value 2: 1, value 3: 1, value 4: 1, value 5: 1 and 249 more values), "
        "thresholded at 128"
    )


def test_almost_whole_numbers_are_rounded() -> None:
    values = np.array([0, 0.99999999977, 2.0])
    labels, notes = as_labels(values, FILE)
    assert labels.tolist() == [0, 1, 2]
    assert [note.kind for note in notes] == ["rounded"]
    assert notes[0].text.startswith("a.png: 1 voxels such as ")
    assert as_labels(values[::2], FILE) == (pytest.approx(np.array([0, 2])), ())
    assert as_labels(np.array([True, False]), FILE)[0].tolist() == [1, 0]


def test_fractions_are_named_with_all_digits() -> None:
    with pytest.raises(UnusableCase, match=r"holds 100000\.01, but labels are whole numbers"):
        as_labels(np.array([0, 100000.01]), FILE)


@pytest.mark.parametrize("value", [0.5, 1.002, np.nan, np.inf])
def test_fractions_are_refused(value: float) -> None:
    with pytest.raises(UnusableCase, match=r"a.png: holds .*, but labels are whole numbers"):
        as_labels(np.array([0, 1, value]), FILE)


def test_relabel() -> None:
    labels, notes = relabel(np.array([0, 255, 128]), {0: 0, 128: 2, 255: 1, 7: 3}, FILE)
    assert labels.tolist() == [0, 1, 2]
    assert notes == (Note("relabelled", "a.png: 128 to 2, 255 to 1"),)
    assert relabel(np.array([0, 1]), {0: 0, 1: 1, 2: 5}, FILE)[1] == ()
    with pytest.raises(UnusableCase, match=r"a.png: label values \[3\] are not among \[0, 1\]"):
        relabel(np.array([0, 3]), {0: 0, 1: 1}, FILE)
