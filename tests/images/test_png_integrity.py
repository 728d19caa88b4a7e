"""A png that is cut short or damaged is refused, also where Pillow would fill up with black."""

import struct
import zlib

import numpy as np
import PIL.Image
import pytest

from nnunet_ext.errors import UserError
from nnunet_ext.images.files import check_whole, read_header, read_image
from nnunet_ext.images.image import Hints

GREY, GREY_ALPHA, COLOUR, PALETTE, COLOUR_ALPHA = 0, 4, 2, 3, 6
SAMPLES = {GREY: 1, GREY_ALPHA: 2, COLOUR: 3, PALETTE: 1, COLOUR_ALPHA: 4}
KINDS = [(GREY, 8), (GREY, 16), (GREY_ALPHA, 8), (GREY_ALPHA, 16), (COLOUR, 8), (COLOUR, 16), (PALETTE, 8)]
KINDS += [(COLOUR_ALPHA, 8), (COLOUR_ALPHA, 16)]


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(path, pixels, colour_type, depth, rows=None, end=True):
    """Write (y, x, samples) as a png of which the data may end after some rows."""
    height, width = pixels.shape[:2]
    stored = pixels.astype(f">u{depth // 8}")
    data = b"".join(b"\0" + row.tobytes() for row in stored[:rows])
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0))
        + (chunk(b"PLTE", bytes(768)) if colour_type == PALETTE else b"")
        + chunk(b"IDAT", zlib.compress(data))
        + (chunk(b"IEND", b"") if end else b"")
    )
    return path


@pytest.fixture(params=KINDS)
def kind(request):
    colour_type, depth = request.param
    shape = (7, 9, SAMPLES[colour_type])
    return np.random.default_rng(0).integers(1, 2**depth, shape), colour_type, depth


def test_whole_files_are_read(tmp_path, kind):
    pixels, colour_type, depth = kind
    path = png(tmp_path / "a.png", *kind)
    image, header = read_image(path, Hints(label=True)), read_header(path, Hints(label=True))
    kept = pixels[..., : 1 if colour_type == GREY_ALPHA else 3].transpose(2, 0, 1)
    np.testing.assert_array_equal(image.pixels, kept)
    assert (header.channels, header.dtype, header.alpha) == (
        len(kept),
        image.pixels.dtype,
        colour_type in (GREY_ALPHA, COLOUR_ALPHA),
    )
    assert image.pixels.dtype.itemsize * 8 == depth
    check_whole(path)


def test_missing_rows_are_not_black(tmp_path, kind):
    path = png(tmp_path / "a.png", *kind, rows=4)
    for read in (read_image, check_whole):
        with pytest.raises(UserError, match=r"a.png: is cut short: \d+ of \d+ bytes of its pixels are there"):
            read(path)


def test_a_png_cut_anywhere_is_refused(tmp_path, kind):
    content = png(tmp_path / "whole.png", *kind).read_bytes()
    for length in (0, 5, 20, len(content) // 2, len(content) - 14, len(content) - 1):
        (tmp_path / "a.png").write_bytes(content[:length])
        for read in (read_image, check_whole):
            with pytest.raises(UserError, match=r"a.png: (is cut short|is damaged|cannot be read)"):
                read(tmp_path / "a.png")


def test_a_changed_byte_is_noticed(tmp_path, kind):
    content = bytearray(png(tmp_path / "a.png", *kind).read_bytes())
    content[-30] ^= 1
    (tmp_path / "a.png").write_bytes(content)
    for read in (read_image, check_whole):
        with pytest.raises(UserError, match=r"a.png: (is damaged or cut short|cannot be read)"):
            read(tmp_path / "a.png")


def test_interlaced_files_and_files_in_parts_are_whole(tmp_path):
    for height, width in ((1, 1), (3, 2), (5, 9), (16, 16), (17, 31)):
        pixels = np.random.default_rng(0).integers(0, 2, (height, width)).astype(np.uint8)
        for mode in ("1", "L"):
            PIL.Image.fromarray(pixels * 255).convert(mode).save(tmp_path / "a.png")
            check_whole(tmp_path / "a.png")
    large = np.random.default_rng(0).integers(0, 255, (700, 800, 3)).astype(np.uint8)
    PIL.Image.fromarray(large).save(tmp_path / "a.png")  # more than Pillow writes into one chunk
    check_whole(tmp_path / "a.png")


def test_several_frames_and_other_formats(tmp_path):
    frames = [PIL.Image.fromarray(np.full((4, 5), value, np.uint8)) for value in (1, 2)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    with pytest.raises(UserError, match=r"a.png: holds 2 images"):
        read_image(tmp_path / "a.png")
    frames[0].save(tmp_path / "b.png", format="JPEG")
    assert read_image(tmp_path / "b.png").pixels.shape == (1, 4, 5)
    with pytest.raises(UserError, match=r"b.png: is a jpg inside, which changes the numbers of labels"):
        read_image(tmp_path / "b.png", Hints(label=True))


def test_jpg_and_bmp_that_are_cut(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (40, 50, 3)).astype(np.uint8)
    for ending in ("jpg", "bmp"):
        path = tmp_path / f"a.{ending}"
        PIL.Image.fromarray(pixels).save(path)
        path.write_bytes(path.read_bytes()[:1000])
        with pytest.raises(UserError, match=rf"a.{ending}: cannot be read as an image"):
            read_image(path)
