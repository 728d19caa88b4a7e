"""What image and labels look like: noise for labels, a background with an id, copies of any format."""

import numpy as np
import pytest

from nnunet_ext.dataset_conversion import look_at
from nnunet_ext.dataset_conversion.base.looks import digest

RNG = np.random.default_rng(0)


def boxes(shape=(96, 96), side=20, step=28):
    """Nine boxes of 400 pixels; in 3D the same in every slice."""
    ids = np.zeros(shape[-2:], np.uint16)
    for n in range(9):
        y, x = 10 + step * (n // 3), 10 + step * (n % 3)
        ids[y : y + side, x : x + side] = n + 1
    return np.broadcast_to(ids, shape).copy()


def tissue(cells=64, side=12):
    """Square cells that cover everything."""
    row = int(cells**0.5)
    return np.kron(np.arange(1, cells + 1).reshape(row, row), np.ones((side, side), int)).astype(np.uint16)


def noise(shape=(96, 96), values=250):
    return RNG.integers(0, values, shape).astype(np.uint16)


def smooth(shape=(96, 96)):
    """Blobs without noise, as after denoising: rings of one value each."""
    axes = np.indices(shape)
    image = sum(np.exp(-sum((i - c) ** 2 for i, c in zip(axes, spot, strict=True)) / 60) for spot in SPOTS)
    return (255 * image / image.max()).astype(np.uint8)


SPOTS = [(20, 20), (20, 70), (70, 30), (60, 75)]


@pytest.mark.parametrize(
    "grey",
    [
        noise(),
        noise((12, 48, 48)),
        noise(values=65535),
        smooth(),
        (smooth() // 8).astype(np.uint8),
        RNG.poisson(0.1, (96, 96)).astype(np.uint8),
        RNG.poisson(2.0, (96, 96)).astype(np.uint8),
    ],
)
def test_grey_images_are_no_instances(grey):
    assert look_at(noise(grey.shape)[None], grey).fragments == "noise"


def puncta():
    ids = np.zeros(96 * 96, np.uint16)
    ids[RNG.permutation(ids.size)[:200]] = np.arange(1, 201)
    return ids.reshape(96, 96)


def with_specks(ids):
    specks = RNG.random(ids.shape) < 0.03
    return np.where(specks, RNG.permutation(ids.ravel()).reshape(ids.shape), ids)


@pytest.mark.parametrize(
    "ids",
    [
        boxes(),
        boxes((6, 96, 96)),
        boxes() + 1,
        tissue(),
        tissue(1024, 3),
        puncta(),
        (puncta() > 0).astype(np.uint8),
        with_specks(tissue()),
        np.zeros((96, 96), np.uint8),
        (boxes() > 0).astype(np.uint8),
        np.random.default_rng(1).permutation(2000)[boxes()].astype(np.uint16),
    ],
)
def test_instances_are(ids):
    assert look_at(noise(ids.shape)[None], ids).fragments == ""


def test_ids_that_were_used_for_several_cells():
    wrapped = (tissue(1024, 6) % 20 + 1).astype(np.uint8)  # each id about 50 times
    assert look_at(noise(wrapped.shape)[None], wrapped).fragments == "reused ids"


def test_the_background_has_an_id():
    found = look_at(noise()[None], boxes() + 1)
    assert (found.number, found.background, found.outside) == (10, 0.0, 1)
    inverted = (boxes() == 0).astype(np.uint8) * 255
    assert look_at(noise()[None], inverted).outside == 255
    assert look_at(noise()[None], boxes()).outside == 0
    assert look_at(noise()[None], boxes()).background == pytest.approx(1 - 9 * 400 / 96**2)
    assert look_at(noise(tissue().shape)[None], tissue()).outside == 0
    one_cell = np.zeros((96, 96), np.uint8)
    one_cell[4:92, 4:92] = 1
    assert look_at(noise()[None], one_cell).outside == 0


def test_an_image_like_labels():
    assert look_at(boxes()[None] * 100, boxes()).is_flat
    assert not look_at(boxes()[None] * 100, boxes()).is_image
    assert look_at(boxes()[None].astype(np.uint8), boxes()).is_image
    assert look_at(np.stack([noise(), boxes()]), boxes()).is_image  # one of its channels
    assert not look_at(noise()[None], boxes()).is_flat
    assert not look_at(smooth()[None], boxes()).is_image
    empty = np.zeros((96, 96), np.uint8)
    assert not look_at(empty[None], empty).is_image


def test_digests_are_of_values_not_of_types():
    image = noise()
    assert digest(image[None]) == digest(image[None].astype(">f4")) == digest([image.astype(np.int32)])
    assert digest(image[None]) != digest(image.T[None])
    assert digest(image.reshape(1, 48, 192)) != digest(image[None])
    assert digest(np.full((1, 8, 8), 7)) == ""  # says nothing


def test_no_labels():
    found = look_at(noise()[None], None)
    assert (found.number, found.label, found.fragments) == (None, "", "")
