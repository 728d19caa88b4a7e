"""Images and labels pair by name; what is not clear is refused, all of it by name."""

from pathlib import Path

import pytest

from nnunet_ext.dataset_conversion import (
    Pair,
    UserError,
    has_channel_numbers,
    is_label_name,
    pair_by_name,
    without_labels,
)


def images(*names):
    return [Path("images") / name for name in names]


def labels(*names):
    return [Path("labels") / name for name in names]


@pytest.mark.parametrize(
    ("image", "label", "name"),
    [
        ("a.tif", "a.tif", "a"),
        ("a.tif", "a.png", "a"),
        ("a.ome.tif", "a.tif", "a"),
        ("a.tif", "a_label.tif", "a"),
        ("a.tif", "a_labels.tif", "a"),
        ("a.tif", "a_mask.tif", "a"),
        ("a.png", "a_cp_masks.png", "a"),
        ("a.tif", "a-masks.tif", "a"),
        ("a.tif", "a-lbl.tif", "a"),
        ("a.tif", "a.label.TIF", "a"),
        ("a_raw.tif", "a_label.tif", "a"),
        ("a_img.tif", "a.tif", "a"),
        ("a_0000.tif", "a.tif", "a"),
        ("a_0000.tif", "a_0000.tif", "a_0000"),
        ("a_0000.tif", "a_0000_masks.tif", "a_0000"),
        ("a_mask.tif", "a_mask.tif", "a_mask"),
        ("a 1.tif", "a 1.nii.gz", "a 1"),
    ],
)
def test_names_that_pair(image, label, name):
    pairs = pair_by_name(images(image), labels(label))
    assert pairs == [Pair(name, tuple(images(image)), labels(label)[0])]


def test_many_pair_at_once():
    names = [f"img_{number:04d}.tif" for number in range(12)]
    pairs = pair_by_name(images(*names), labels(*names))
    assert [(pair.name, pair.images[0].name, pair.label.name) for pair in pairs] == [
        (name[:-4], name, name) for name in names
    ]


def test_channels_in_several_files():
    pairs = pair_by_name(
        images("a_0000.tif", "a_0001.tif", "b_0000.tif", "b_0001.tif"), labels("a.tif", "b.tif")
    )
    assert [pair.images for pair in pairs] == [
        tuple(images("a_0000.tif", "a_0001.tif")),
        tuple(images("b_0000.tif", "b_0001.tif")),
    ]
    assert all(map(has_channel_numbers, pairs))
    assert not any(map(has_channel_numbers, pair_by_name(images("a_0000.tif"), labels("a_0000.tif"))))


def test_everything_that_does_not_pair_is_listed():
    with pytest.raises(UserError) as caught:
        pair_by_name(
            images("a.tif", "b.tif", "c.tif", "c.png", "d.tif", "e_0000.tif", "e_0002.tif"),
            labels("b.tif", "b_mask.tif", "c.tif", "x.tif", "y.tif", "e.tif"),
        )
    assert str(caught.value).splitlines() == [
        "Images and labels do not pair by name:",
        "  images/a.tif: has no label",
        "  images/b.tif: its label could be any of labels/b.tif, labels/b_mask.tif",
        "  images/d.tif: has no label",
        "  labels/c.tif: its image could be any of images/c.tif, images/c.png",
        "  labels/e.tif: its image could be any of images/e_0000.tif, images/e_0002.tif",
        "  labels/x.tif: has no image",
        "  labels/y.tif: has no image",
    ]


def test_substrings_do_not_pair():
    with pytest.raises(UserError, match=r"images/4hrs.tif: has no label"):
        pair_by_name(images("4hrs.tif", "24hrs.tif"), labels("24hrs.tif"))


def test_names_of_labels():
    assert is_label_name(Path("a_masks.png"))
    assert is_label_name(Path("a_cp_masks.tif"))
    assert not is_label_name(Path("a.tif"))
    assert not is_label_name(Path("mask.tif"))
    assert not is_label_name(Path("bitmask.tif"))


def test_without_labels():
    files = images("a_0000.tif", "a_0001.tif")
    assert without_labels(files, channels_apart=False) == [
        Pair("a_0000", (files[0],)),
        Pair("a_0001", (files[1],)),
    ]
    assert without_labels(files, channels_apart=True) == [Pair("a", tuple(files))]
    with pytest.raises(UserError, match=r"images/a.tif, images/a.png: have the same name"):
        without_labels(images("a.tif", "a.png"), channels_apart=False)
