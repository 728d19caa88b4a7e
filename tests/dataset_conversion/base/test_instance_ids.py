"""Ids as they may be in files: refused, renumbered, counted in pieces."""

from pathlib import Path

import numpy as np
import pytest

from nnunet_ext.dataset_conversion.base.instance_ids import (
    PIECES,
    SINGLE,
    as_ids,
    instance_notes,
    number_from_one,
    pieces,
)
from nnunet_ext.errors import UnusableCase

FILE = Path("labels/a.tif")


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", ">u2", "uint32", "int64", "float32", "float64"])
def test_ids_of_any_type(dtype):
    labels = np.array([[0, 1], [1, 0]], dtype)
    ids = as_ids(labels, FILE)
    assert ids.dtype == np.uint16
    np.testing.assert_array_equal(ids, [[0, 1], [1, 0]])


@pytest.mark.parametrize(
    ("largest", "dtype"), [(65_535, "uint16"), (65_536, "uint32"), (2**32 - 1, "uint32")]
)
def test_ids_beyond_16_bits_are_fine(largest, dtype):
    ids = as_ids(np.array([[0, largest]], np.int64), FILE)
    assert ids.dtype == dtype
    assert ids.max() == largest


@pytest.mark.parametrize(
    ("values", "dtype", "said"),
    [
        ([0, -1], "int16", "holds -1, but instance ids are whole numbers from 0"),
        ([0, -3], "float32", "holds -3"),
        ([0, 1.000001], "float64", "holds 1.000001, but instance ids"),
        ([0, 1.000001], "float32", "holds 1.000001, but instance ids"),
        ([0, 1.5], "float64", "holds 1.5, but instance ids are whole numbers from 0"),
        ([0, np.nan], "float32", "holds nan"),
        ([0, np.inf], "float32", "holds inf"),
        ([0, 2**24], "float32", "holds 16777216, but float32 does not tell ids from 16777216 on apart"),
        ([0, 2**11], "float16", "holds 2048, but float16"),
        ([0, 2**32], "int64", "holds 4294967296, but instance ids end at 4294967295"),
        ([0, 2**63], "uint64", "holds 9223372036854775808"),
        ([0, 1j], "complex64", "labels are complex64"),
    ],
)
def test_what_is_no_id_is_refused_by_file(values, dtype, said):
    with pytest.raises(UnusableCase, match=f"labels/a.tif: .*{said}"):
        as_ids(np.array([values], dtype), FILE)


@pytest.mark.parametrize("ids", [[[0, 7], [3, 900]], [[4, 7], [3, 900]], [[0, 0], [0, 0]], [[5, 5], [5, 5]]])
def test_numbers_follow_the_order_of_the_ids(ids):
    ids = np.array(ids, np.uint16)
    present = [value for value in np.unique(ids) if value]
    expected = np.zeros_like(ids)
    for number, value in enumerate(present, 1):
        expected[ids == value] = number
    before = ids.copy()
    numbered = number_from_one(ids)
    np.testing.assert_array_equal(numbered, expected)
    np.testing.assert_array_equal(ids, before)
    assert numbered.dtype == np.uint16


def test_large_ids_become_small_numbers():
    numbered = number_from_one(np.array([[0, 2**32 - 1, 9]], np.uint32))
    assert numbered.dtype == np.uint16
    assert numbered.tolist() == [[0, 2, 1]]


def test_pieces_touch_at_corners_and_ids_part():
    ids = np.array([[1, 0, 2, 2], [0, 1, 0, 3], [2, 0, 0, 3]], np.uint16)
    assert pieces(ids).max() == 4  # 1 over its corner, 2 twice, 3
    stack = np.zeros((3, 3, 3), np.uint16)
    stack[0, 0, 0] = stack[1, 1, 1] = 1
    assert pieces(stack).max() == 1


def test_instances_in_pieces_are_noted():
    ids = np.array([[1, 1, 0, 2, 0, 2, 0, 3, 0, 3, 0, 3]], np.uint16)
    (note,) = instance_notes(ids, FILE)
    assert note.kind == PIECES
    assert note.text == "labels/a.tif: 2 of 3 instances, 6 pieces in all"
    assert instance_notes(np.array([[1, 1, 0, 2]], np.uint16), FILE) == ()
    assert instance_notes(np.zeros((2, 2), np.uint16), FILE) == ()


def test_a_mask_instead_of_instances_is_noted():
    (note,) = instance_notes(np.array([[1, 0, 1, 0, 1]], np.uint16), FILE)
    assert note.kind == SINGLE
    assert "one id in 3 pieces" in note.text
    assert instance_notes(np.array([[1, 1, 0]], np.uint16), FILE) == ()
