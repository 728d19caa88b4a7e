"""Pictures and masks in grey, colour, with palettes, alpha channels and EXIF orientations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import tifffile

from nnunet_ext.dataset_conversion import Note, UnusableCase, read_mask, read_rgb, shrink

MASK = np.array([[0, 255, 255], [0, 7, 0]], np.uint8)


def save(path: Path, pixels: np.ndarray) -> Path:
    PIL.Image.fromarray(pixels).save(path)
    return path


@pytest.mark.parametrize(("channels", "dropped"), [(0, 0), (3, 2), (4, 2)])
def test_masks_in_grey_and_colour(tmp_path: Path, channels: int, dropped: int) -> None:
    pixels = np.repeat(MASK[..., None], channels, axis=2) if channels else MASK
    if channels == 4:
        pixels[..., 3] = 255
    file = save(tmp_path / "m.png", pixels)
    mask, notes = read_mask(file)
    np.testing.assert_array_equal(mask, MASK)
    assert notes == ((Note("dropped", f"{file}: 2 channels equal to the first"),) if dropped else ())


def test_a_mask_of_colours_is_refused(tmp_path: Path) -> None:
    pixels = np.repeat(MASK[..., None], 3, axis=2)
    pixels[0, 0, 1] = 1
    with pytest.raises(
        UnusableCase, match=r"m.png: a mask of one grey channel is expected, found 3 that differ"
    ):
        read_mask(save(tmp_path / "m.png", pixels))


def test_a_palette_holds_labels(tmp_path: Path) -> None:
    picture = PIL.Image.fromarray(MASK).convert("P")
    picture.putdata([0, 1, 2, 0, 1, 0])
    picture.save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png")[0], [[0, 1, 2], [0, 1, 0]])


def test_colours(tmp_path: Path) -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    image, notes = read_rgb(save(tmp_path / "i.png", pixels))
    np.testing.assert_array_equal(image, pixels[..., :3])
    assert [(note.kind, note.text) for note in notes] == [("dropped", f"{tmp_path / 'i.png'}: alpha channel")]
    assert read_rgb(save(tmp_path / "j.png", pixels[..., :3]))[1] == ()
    with pytest.raises(UnusableCase, match=r"k.png: 8-bit colour is expected, found 1 channels of uint8"):
        read_rgb(save(tmp_path / "k.png", pixels[..., 0]))
    tifffile.imwrite(tmp_path / "l.tif", pixels[..., :3].astype(np.uint16), photometric="rgb")
    with pytest.raises(UnusableCase, match="found 3 channels of uint16"):
        read_rgb(tmp_path / "l.tif")


def test_a_photograph_is_not_turned(tmp_path: Path) -> None:
    picture = PIL.Image.fromarray(np.zeros((20, 30, 3), np.uint8))
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    picture.save(tmp_path / "p.jpg", exif=exif)
    assert read_rgb(tmp_path / "p.jpg")[0].shape == (20, 30, 3)


def test_shrinking_averages() -> None:
    image = np.repeat(np.array([[[0], [100]], [[100], [0]]], np.uint8), 3, axis=2)
    label = np.array([[1, 0], [1, 0]], np.uint8)
    small, half, notes = shrink(np.tile(image, (3, 4, 1)), np.tile(label, (3, 4)), 3, Path("a.png"))
    assert (small == 50).all()
    assert small.shape == (3, 4, 3)
    assert half.tolist() == [[1] * 4] * 3  # half of each pixel is labelled
    assert notes == (Note("resized", "a.png: 6x8 to 3x4"),)
    assert shrink(image, label, 0, Path("a.png"))[2] == ()
    assert shrink(image, label, 2, Path("a.png"))[2] == ()


def test_pieces_that_are_too_thin_when_shrunk_are_counted() -> None:
    image, label = np.zeros((16, 16, 3), np.uint8), np.zeros((16, 16), np.uint8)
    label[1, 2:14], label[8:12, 4:12], label[14, 14] = 1, 1, 1
    _, small, notes = shrink(image, label, 4, Path("a.png"))
    assert small.tolist() == [[0] * 4, [0] * 4, [0, 1, 1, 0], [0] * 4]
    assert notes[1:] == (Note("dropped", "a.png: 2 of 3 labelled pieces, too thin for this size"),)
