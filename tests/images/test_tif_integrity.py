"""A tif that is cut short, or lacks some of its planes, strips or files, is refused; whole ones are read."""

import uuid

import numpy as np
import pytest
import tifffile

from nnunet_ext.errors import UserError
from nnunet_ext.images.files import check_whole, read_header, read_image
from nnunet_ext.images.instance_files import read_instances

STACK = np.random.default_rng(0).integers(1, 60_000, (6, 32, 48)).astype(np.uint16)
GREY = {"photometric": "minisblack"}
KINDS = {
    "plain": GREY,
    "no description": GREY | {"metadata": None},
    "deflate": GREY | {"compression": "zlib"},
    "deflate, no description": GREY | {"compression": "zlib", "metadata": None},
    "LZW": GREY | {"compression": "lzw"},
    "predictor": GREY | {"compression": "zlib", "predictor": True},
    "strips": GREY | {"rowsperstrip": 10},
    "tiles": GREY | {"tile": (16, 16)},
    "compressed tiles": GREY | {"tile": (16, 16), "compression": "zlib"},
    "volumes as tiles": GREY | {"tile": (16, 16, 16), "volumetric": True},
    "BigTIFF": GREY | {"bigtiff": True},
    "ImageJ": {"imagej": True, "metadata": {"axes": "ZYX"}},
    "ImageJ, compressed": {"imagej": True, "metadata": {"axes": "ZYX"}, "compression": "zlib"},
    "OME": {"ome": True, "metadata": {"axes": "ZYX"}},
    "OME, compressed": {"ome": True, "metadata": {"axes": "ZYX"}, "compression": "zlib"},
}
READERS = (read_header, read_image, read_instances, check_whole)


def refused(path, text):
    for read in READERS:
        with pytest.raises(UserError, match=text) as caught:
            read(path)
        assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize("kind", KINDS)
def test_a_tif_cut_anywhere_is_refused(tmp_path, kind):
    whole, cut = tmp_path / "whole.tif", tmp_path / "cut.tif"
    tifffile.imwrite(whole, STACK, **KINDS[kind])
    check_whole(whole)
    np.testing.assert_array_equal(read_image(whole).pixels[0], STACK)
    content = whole.read_bytes()
    for part in (0.002, 0.05, 0.3, 0.6, 0.9):
        cut.write_bytes(content[: int(part * len(content))])
        refused(cut, "cut short|cannot be read as a tif|of 6 slices")


def test_no_plane_is_lost_where_a_cut_falls_between_pages(tmp_path):
    """Whatever the length: all slices, or an error."""
    small = STACK[:4, :4, :4]
    tifffile.imwrite(tmp_path / "whole.tif", small, **GREY, compression="zlib", metadata=None)
    content = (tmp_path / "whole.tif").read_bytes()
    cut = tmp_path / "cut.tif"
    for length in range(0, len(content), 17):
        cut.write_bytes(content[:length])
        try:
            pixels = read_image(cut).pixels[0]
        except UserError:
            continue
        np.testing.assert_array_equal(pixels, small)


DESCRIPTION = "ImageJ=1.54f\nimages=6\nslices=6\nunit=micron\nspacing=0.5\n"


@pytest.mark.parametrize("planes", [STACK[:3], STACK[0]])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_imagej_description_that_promises_more_slices(tmp_path, planes, compression):
    tifffile.imwrite(
        tmp_path / "a.tif", planes, **GREY, compression=compression, description=DESCRIPTION, metadata=None
    )
    refused(tmp_path / "a.tif", f"holds {1 if planes.ndim == 2 else 3} of 6 slices")


def test_imagej_stack_of_one_page_that_is_cut(tmp_path):
    """Above 4 GB ImageJ writes one page, and the planes behind it without pages of their own."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK[0], **GREY, description=DESCRIPTION, metadata=None)
    with tifffile.TiffFile(path) as tif:
        start = tif.pages[0].dataoffsets[0]
    content = path.read_bytes()[:start] + STACK.tobytes()
    path.write_bytes(content)
    np.testing.assert_array_equal(read_image(path).pixels[0], STACK)
    path.write_bytes(content[:-1])
    refused(path, "holds 5 of 6 slices")


def change_tag(path, page, code, value):
    with tifffile.TiffFile(path, mode="r+b") as tif:
        tag = tif.pages[page].tags[code]
        values = list(tag.value) if isinstance(tag.value, tuple) else [tag.value]
        values[-1] = value
        tag.overwrite(tuple(values) if len(values) > 1 else value)


@pytest.mark.parametrize(
    ("kind", "code", "value", "said"),
    [
        ("no description", 273, 0, "1 of 1 strips or tiles of plane 2 hold no data"),
        ("deflate", 273, 10**8, "is cut short"),
        ("deflate", 279, 0, "1 of 1 strips or tiles of plane 2 hold no data"),
        ("tiles", 324, 0, "1 of 6 strips or tiles of plane 2 hold no data"),
        ("compressed tiles", 325, 0, "1 of 6 strips or tiles of plane 2 hold no data"),
        ("compressed tiles", 325, 60_000, "is cut short"),
    ],
)
def test_strips_and_tiles_without_data(tmp_path, kind, code, value, said):
    tifffile.imwrite(tmp_path / "a.tif", STACK, **KINDS[kind])
    change_tag(tmp_path / "a.tif", 1, code, value)
    refused(tmp_path / "a.tif", said)


@pytest.mark.parametrize("compression", ["zlib", "lzw", "packbits"])
def test_damage_inside_compressed_data(tmp_path, compression):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK, **GREY, compression=compression)
    with tifffile.TiffFile(path) as tif:
        start, length = tif.pages[2].dataoffsets[0], tif.pages[2].databytecounts[0]
    content = bytearray(path.read_bytes())
    content[start + length // 2 : start + length] = b"\xff" * (length - length // 2)
    path.write_bytes(content)
    for read in (read_image, read_instances):
        with pytest.raises(UserError, match=r"a.tif: cannot be read as a tif"):
            read(path)


def ome(*names, number=0):
    """Describe a stack of 6 planes, of which each file holds a part, as the file of that number does."""
    each = 6 // len(names)
    planes = "".join(
        f"<TiffData FirstZ='{z}' IFD='{z % each}' PlaneCount='1'>"
        f"<UUID FileName='{names[z // each]}'>urn:uuid:{uuid.UUID(int=z // each)}</UUID></TiffData>"
        for z in range(6)
    )
    return (
        f"<?xml version='1.0' encoding='UTF-8'?><OME UUID='urn:uuid:{uuid.UUID(int=number)}'>"
        "<Image ID='Image:0'><Pixels ID='Pixels:0' DimensionOrder='XYZCT' Type='uint16' "
        "SizeX='48' SizeY='32' SizeZ='6' SizeC='1' SizeT='1'>"
        f"<Channel ID='Channel:0:0' SamplesPerPixel='1'/>{planes}</Pixels></Image></OME>"
    )


@pytest.fixture
def parts(tmp_path):
    def write(*names):
        each = 6 // len(names)
        for number, name in enumerate(names):
            planes = STACK[number * each : (number + 1) * each]
            (tmp_path / name).parent.mkdir(exist_ok=True)
            text = ome(*names, number=number).encode()
            tifffile.imwrite(tmp_path / name, planes, **GREY, description=text, metadata=None)
        return [tmp_path / name for name in names]

    return write


def test_ome_stack_in_two_files(parts):
    first, second = parts("s.ome.tif", "s_1.ome.tif")
    np.testing.assert_array_equal(read_image(first).pixels[0], STACK)
    check_whole(first)
    second.rename(second.with_name("other.tif"))
    refused(first, r"holds 3 of 6 slices or channels; the others are in s_1.ome.tif, which is not beside it")


def test_second_part_of_an_ome_stack(parts):
    first, second = parts("s.ome.tif", "s_1.ome.tif")
    first.unlink()
    refused(second, r"holds 3 of 6 slices or channels; the others are in s.ome.tif")


def test_ome_part_that_is_cut(parts):
    first, second = parts("s.ome.tif", "s_1.ome.tif")
    content = second.read_bytes()
    second.write_bytes(content[:-2000])
    refused(first, r"holds 4 of 6 slices or channels; they are in s.ome.tif, s_1.ome.tif")
    second.write_bytes(content[:100])
    refused(first, "holds 3 of 6|damaged or cut short|cannot be read as a tif")


def test_ome_part_in_another_folder_is_not_read(parts):
    first, _ = parts("s.ome.tif", "elsewhere/s_1.ome.tif")
    refused(first, "names a file in another folder, elsewhere/s_1.ome.tif")


def test_ome_file_that_another_one_describes(tmp_path):
    text = "<OME><BinaryOnly MetadataFile='s.ome.tif' UUID='urn:uuid:1'/></OME>"
    tifffile.imwrite(tmp_path / "a.ome.tif", STACK[:3], **GREY, description=text, metadata=None)
    refused(tmp_path / "a.ome.tif", "is part of an image in several files, which s.ome.tif describes")


def test_ome_description_that_promises_more_slices(tmp_path):
    text = ome("a.ome.tif")
    tifffile.imwrite(tmp_path / "a.ome.tif", STACK[:3], **GREY, description=text.encode(), metadata=None)
    refused(tmp_path / "a.ome.tif", "holds 3 of 6 slices")
    without = text.replace("<TiffData", "<!--").replace("</TiffData>", "-->")
    tifffile.imwrite(tmp_path / "b.ome.tif", STACK[:3], **GREY, description=without.encode(), metadata=None)
    refused(tmp_path / "b.ome.tif", "holds 3 of 6 slices")


@pytest.mark.parametrize(
    ("description", "said"),
    [
        (b"<?xml version='1.0'?><OME><Image></OME>", "damaged: mismatched tag"),
        (b"<?xml version='1.0'?><OME xmlns='x'><Image>", "does not end in </OME>"),
        ("<?xml version='1.0' encoding='UTF-16'?><OME></OME>".encode("utf-16"), "is in UTF-16"),
        ("<?xml version='1.0' encoding='UTF-16'?><OME></OME>".encode("utf-16-be"), "is in UTF-16"),
        (b"<OME><Image><Pixels SizeZ='many' SizeC='1' SizeT='1'/></Image></OME>", "damaged: invalid literal"),
        (b"<OME><Image><Pixels SizeC='1' SizeT='1'/></Image></OME>", "damaged"),
    ],
)
def test_ome_descriptions_that_cannot_be_read(tmp_path, description, said):
    tifffile.imwrite(tmp_path / "a.ome.tif", STACK[0], **GREY, description=description, metadata=None)
    refused(tmp_path / "a.ome.tif", f"its OME description.*{said}")


def test_a_pyramid_is_one_image(tmp_path):
    tiles = GREY | {"tile": (16, 16)}
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as tif:
        tif.write(STACK, **tiles, subifds=1, metadata={"axes": "ZYX"})
        tif.write(STACK[:, ::2, ::2], **tiles, subfiletype=1)
    with tifffile.TiffWriter(tmp_path / "b.tif") as tif:
        tif.write(STACK[0], metadata=None)
        tif.write(STACK[0, ::2, ::2], metadata=None, subfiletype=1)
    np.testing.assert_array_equal(read_image(tmp_path / "a.ome.tif").pixels[0], STACK)
    np.testing.assert_array_equal(read_image(tmp_path / "b.tif").pixels[0], STACK[0])


def test_several_images_are_not_one(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as tif:
        for _ in range(2):
            tif.write(STACK, **GREY, metadata={"axes": "ZYX"})
    refused(tmp_path / "a.ome.tif", "holds 2 images")


@pytest.mark.parametrize("compression", ["zlib", "lzw", "packbits"])
def test_a_header_that_promises_more_than_its_data_can_hold(tmp_path, compression):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK[0], **GREY, compression=compression, metadata=None)
    for code in (256, 257, 278):  # width, length, rows of a strip
        change_tag(path, 0, code, 60_000)
    refused(path, r"bytes cannot hold 60000 x 60000 uint16")


def test_empty_images_compress_very_well(tmp_path):
    for compression in ("zlib", "lzw", "packbits", "zstd"):
        path = tmp_path / f"{compression}.tif"
        tifffile.imwrite(path, np.zeros((2, 2048, 1024), np.uint8), **GREY, compression=compression)
        assert not read_image(path).pixels.any()
