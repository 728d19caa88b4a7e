"""Files of every format, written by the libraries that make them, are read with type and spacing."""

import json

import h5py
import numpy as np
import PIL.Image
import pytest
import SimpleITK as sitk
import tifffile

from nnunet_ext.errors import UserError
from nnunet_ext.images import tif
from nnunet_ext.images.files import ending_of, read_header, read_image, stem_of
from nnunet_ext.images.image import Hints

UM = {"axes": "ZYX", "spacing": 0.5, "unit": "um"}


def ramp(*shape, dtype="uint8"):
    return (np.arange(np.prod(shape)) % 251).reshape(shape).astype(dtype)


def check(path, expected, hints=Hints(), spacing=None):  # noqa: B008
    """Header and image agree with each other and with `expected`, (channels, *spatial)."""
    header, image = read_header(path, hints), read_image(path, hints)
    assert (header.channels, *header.shape) == image.pixels.shape
    assert header.dtype == image.pixels.dtype
    assert header.grid == image.grid
    np.testing.assert_array_equal(image.pixels, expected)
    if spacing is None:
        assert header.grid.spacing is None
    else:
        assert header.grid.spacing == pytest.approx(spacing)
    return header


# --- tif ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "uint16", ">u2", "float32", "int32"])
def test_plain_tif(tmp_path, dtype):
    plane, stack = ramp(8, 9, dtype=dtype), ramp(5, 8, 9, dtype=dtype)
    tifffile.imwrite(tmp_path / "a.tif", plane)
    tifffile.imwrite(tmp_path / "b.tiff", stack, photometric="minisblack")
    check(tmp_path / "a.tif", plane[None])
    check(tmp_path / "b.tiff", stack[None])
    check(tmp_path / "b.tiff", stack, Hints(dimension=2))  # beside 2D labels the planes are channels


def test_three_planes_are_a_stack_or_colours_as_the_labels_say(tmp_path):
    planes = ramp(3, 8, 9)
    tifffile.imwrite(tmp_path / "a.tif", planes)  # tifffile takes them for the planes of an RGB image
    check(tmp_path / "a.tif", planes[None], Hints(dimension=3))
    check(tmp_path / "a.tif", planes, Hints(dimension=2))


def test_colour_tif_loses_alpha(tmp_path):
    colours, with_alpha = ramp(8, 9, 3), ramp(8, 9, 4)
    tifffile.imwrite(tmp_path / "a.tif", colours, photometric="rgb")
    tifffile.imwrite(tmp_path / "b.tif", with_alpha, photometric="rgb", extrasamples=["unassalpha"])
    assert not check(tmp_path / "a.tif", colours.transpose(2, 0, 1)).alpha
    assert check(tmp_path / "b.tif", with_alpha[..., :3].transpose(2, 0, 1)).alpha


CHANNELS = ramp(8, 9, 4)


@pytest.mark.parametrize(
    ("stored", "how"),
    [
        (CHANNELS, {"photometric": "rgb", "extrasamples": ["unspecified"]}),
        (CHANNELS, {"photometric": "minisblack", "planarconfig": "contig"}),
        (CHANNELS.transpose(2, 0, 1), {"photometric": "minisblack", "planarconfig": "separate"}),
        (CHANNELS.transpose(2, 0, 1), {}),  # stored as planes of RGB with alpha, which nobody asked for
        (CHANNELS.transpose(2, 0, 1), {"imagej": True, "metadata": {"axes": "CYX"}}),
        (CHANNELS.transpose(2, 0, 1), {"ome": True, "metadata": {"axes": "CYX"}}),
        (CHANNELS.transpose(2, 0, 1), {"photometric": "minisblack", "metadata": None}),
        (CHANNELS, {"photometric": "separated"}),  # CMYK
    ],
)
def test_a_fourth_channel_that_is_no_alpha_stays(tmp_path, stored, how):
    tifffile.imwrite(tmp_path / "a.tif", stored, **how)
    assert not check(tmp_path / "a.tif", CHANNELS.transpose(2, 0, 1), Hints(dimension=2)).alpha


@pytest.mark.parametrize("kind", ["assocalpha", "unassalpha"])
def test_what_is_declared_as_alpha_is_dropped(tmp_path, kind):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, CHANNELS, photometric="rgb", extrasamples=[kind])
    assert check(path, CHANNELS[..., :3].transpose(2, 0, 1)).alpha
    tifffile.imwrite(
        path, CHANNELS[..., :2], photometric="minisblack", planarconfig="contig", extrasamples=[kind]
    )
    assert check(path, CHANNELS[None, ..., 0]).alpha
    tifffile.imwrite(path, CHANNELS.transpose(2, 0, 1), photometric="rgb", extrasamples=[kind], metadata=None)
    assert check(path, CHANNELS[..., :3].transpose(2, 0, 1)).alpha
    tifffile.imwrite(
        path, CHANNELS, photometric="rgb", extrasamples=[kind], ome=True, metadata={"axes": "YXS"}
    )
    assert check(path, CHANNELS[..., :3].transpose(2, 0, 1)).alpha
    five = np.dstack([CHANNELS, CHANNELS[..., 0]])  # the alpha channel is not the last one
    tifffile.imwrite(path, five, photometric="rgb", extrasamples=[kind, "unspecified"])
    assert check(path, five[..., [0, 1, 2, 4]].transpose(2, 0, 1)).alpha


def test_an_image_larger_than_the_memory_is_named_before_it_is_read(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((64, 1024, 1024), np.uint16), compression="zlib")
    monkeypatch.setattr("nnunet_ext.images.memory._memory", lambda: 2.0**26)
    said = r"a.tif: 64 x 1024 x 1024 voxels of uint16 .134 MB. do not fit into memory, of which"
    with pytest.raises(UserError, match=said):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("unit", ["um", "micron", "\\u00B5m"])
def test_imagej_stack_in_micrometres(tmp_path, unit):
    stack = ramp(5, 8, 9)
    tifffile.imwrite(tmp_path / "a.tif", stack, imagej=True, resolution=(10, 5), metadata=UM | {"unit": unit})
    check(tmp_path / "a.tif", stack[None], spacing=(0.5, 0.2, 0.1))


def test_imagej_in_other_units(tmp_path):
    stack = ramp(5, 8, 9)
    tifffile.imwrite(
        tmp_path / "nm.tif", stack, imagej=True, resolution=(0.01, 0.01), metadata=UM | {"unit": "nm"}
    )
    check(tmp_path / "nm.tif", stack[None], spacing=(0.0005, 0.1, 0.1))
    for metadata in (UM | {"unit": "pixel"}, {"axes": "ZYX", "spacing": 0.5}, {"axes": "ZYX", "unit": "um"}):
        tifffile.imwrite(tmp_path / "a.tif", stack, imagej=True, resolution=(10, 10), metadata=metadata)
        check(tmp_path / "a.tif", stack[None])


def test_imagej_hyperstack(tmp_path):
    pixels = ramp(5, 2, 8, 9, dtype="uint16")
    metadata = UM | {"axes": "ZCYX"}
    tifffile.imwrite(tmp_path / "a.tif", pixels, imagej=True, resolution=(10, 10), metadata=metadata)
    check(tmp_path / "a.tif", pixels.transpose(1, 0, 2, 3), spacing=(0.5, 0.1, 0.1))


def test_ome_with_units(tmp_path):
    pixels = ramp(2, 5, 8, 9, dtype="uint16")
    metadata = {
        "axes": "CZYX",
        "PhysicalSizeX": 0.1,
        "PhysicalSizeY": 0.2,
        "PhysicalSizeZ": 500,
        "PhysicalSizeZUnit": "nm",
    }
    tifffile.imwrite(tmp_path / "a.ome.tif", pixels, metadata=metadata)
    check(tmp_path / "a.ome.tif", pixels, spacing=(0.5, 0.2, 0.1))
    tifffile.imwrite(tmp_path / "b.ome.tif", pixels, metadata={"axes": "CZYX", "PhysicalSizeX": 0.1})
    check(tmp_path / "b.ome.tif", pixels)


def test_resolution_of_a_plain_tif_is_that_of_a_printer(tmp_path):
    PIL.Image.fromarray(ramp(8, 9)).save(tmp_path / "a.tif", dpi=(72, 72))
    check(tmp_path / "a.tif", ramp(8, 9)[None])


def test_own_metadata_and_the_spacing_file_of_nnunet(tmp_path):
    stack = ramp(5, 8, 9)
    tif.write(tmp_path / "a.tif", stack, (0.5, 0.25, 0.2))
    check(tmp_path / "a.tif", stack[None], spacing=(0.5, 0.25, 0.2))
    (tmp_path / "a.json").write_text(json.dumps({"spacing": [3, 2, 1]}))
    check(tmp_path / "a.tif", stack[None], spacing=(3, 2, 1))
    (tmp_path / "a.tif").rename(tmp_path / "a_0000.tif")
    check(tmp_path / "a_0000.tif", stack[None], spacing=(3, 2, 1))
    for content in ("[1]", "{", '{"spacing": "abc"}', '{"unit": "mm"}'):  # not nnU-Net's
        (tmp_path / "a.json").write_text(content)
        check(tmp_path / "a_0000.tif", stack[None], spacing=(0.5, 0.25, 0.2))


def test_wrong_tifs_are_refused_by_name(tmp_path):
    (tmp_path / "text.tif").write_text("no image")
    (tmp_path / "nothing.tif").write_bytes(b"")
    tifffile.imwrite(tmp_path / "time.tif", ramp(5, 8, 9), imagej=True, metadata={"axes": "TYX"})
    with tifffile.TiffWriter(tmp_path / "two.tif") as writer:
        writer.write(ramp(8, 9), metadata=None)
        writer.write(ramp(4, 5), metadata=None)
    with pytest.warns(UserWarning, match="zero-size"):
        tifffile.imwrite(tmp_path / "empty.tif", np.zeros((0, 9), np.uint8))
    said = {
        "text": "cannot be read as a tif",
        "nothing": "cannot be read as a tif",
        "time": "time axis of length 5",
        "two": "holds 2 images",
        "empty": r"empty, its shape is \(0, 9\)",
    }
    for name, text in said.items():
        for read in (read_header, read_image):
            with pytest.raises(UserError, match=rf"{name}.tif: .*{text}"):
                read(tmp_path / f"{name}.tif")


# --- png, jpg, bmp ------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["png", "bmp"])
def test_grey_and_colour(tmp_path, ending):
    grey, colours = ramp(8, 9), ramp(8, 9, 3)
    PIL.Image.fromarray(grey).save(tmp_path / f"grey.{ending}")
    PIL.Image.fromarray(colours).save(tmp_path / f"colours.{ending}")
    check(tmp_path / f"grey.{ending}", grey[None])
    check(tmp_path / f"colours.{ending}", colours.transpose(2, 0, 1))


def test_jpg_header(tmp_path):
    PIL.Image.fromarray(ramp(8, 9, 3)).save(tmp_path / "a.jpg")
    assert read_image(tmp_path / "a.jpg").pixels.shape == (3, 8, 9)
    assert read_header(tmp_path / "a.jpg").channels == 3


@pytest.mark.parametrize(("channels", "mode"), [(2, "LA"), (4, "RGBA")])
def test_alpha_is_dropped(tmp_path, channels, mode):
    pixels = ramp(8, 9, channels)
    PIL.Image.fromarray(pixels, mode).save(tmp_path / "a.png")
    assert check(tmp_path / "a.png", pixels[..., :-1].transpose(2, 0, 1)).alpha


def test_sixteen_bits(tmp_path):
    grey = ramp(8, 9, dtype="uint16") * 200
    PIL.Image.fromarray(grey).save(tmp_path / "grey.png")
    check(tmp_path / "grey.png", grey[None])
    colours = ramp(8, 9, 3, dtype="uint16") * 200
    sitk.WriteImage(sitk.GetImageFromArray(colours, isVector=True), str(tmp_path / "colours.png"))
    check(tmp_path / "colours.png", colours.transpose(2, 0, 1))


def test_palette_is_colours_in_an_image_and_ids_in_labels(tmp_path):
    ids = ramp(8, 9) % 3
    picture = PIL.Image.fromarray(ids, "P")
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    picture.save(tmp_path / "a.png")
    colours = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0]], np.uint8)[ids]
    check(tmp_path / "a.png", colours.transpose(2, 0, 1))
    check(tmp_path / "a.png", ids[None], Hints(label=True))


def test_one_bit(tmp_path):
    mask = ramp(8, 9) % 2 == 1
    PIL.Image.fromarray(mask).save(tmp_path / "a.png")
    check(tmp_path / "a.png", mask[None])


def test_wrong_png_is_refused_by_name(tmp_path):
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "nothing.png").write_bytes(b"")
    for name, text in (("text", "damaged, or another format"), ("nothing", "empty file")):
        for read in (read_header, read_image):
            with pytest.raises(UserError, match=rf"{name}.png: .*{text}"):
                read(tmp_path / f"{name}.png")


# --- HDF5 ---------------------------------------------------------------------------------------


@pytest.fixture
def h5(tmp_path):
    def write(name, **arrays):
        with h5py.File(tmp_path / name, "w") as file:
            for key, (data, spacing) in arrays.items():
                file[key] = data
                if spacing is not None:
                    file[key].attrs["element_size_um"] = spacing
        return tmp_path / name

    return write


def test_h5_with_its_spacing(h5):
    raw, label = ramp(5, 8, 9), ramp(5, 8, 9, dtype="uint16")
    path = h5("a.h5", raw=(raw, (0.5, 0.2, 0.1)), label=(label, None))
    check(path, raw[None], Hints("raw"), spacing=(0.5, 0.2, 0.1))
    check(path, label[None], Hints("label"))


def test_h5_channels_and_flat_images(h5):
    pixels = ramp(2, 5, 8, 9)
    path = h5(
        "a.h5", raw=(pixels, (0.5, 0.2, 0.1)), flat=(pixels[:, :1], (0.5, 0.2, 0.1)), wrong=(pixels, 1.0)
    )
    check(path, pixels, Hints("raw"), spacing=(0.5, 0.2, 0.1))
    check(path, pixels[:, 0], Hints("flat", dimension=2), spacing=(0.2, 0.1))
    check(path, pixels, Hints("wrong"))


@pytest.mark.parametrize("step", [-0.2, np.nan, np.inf])
def test_h5_with_an_impossible_spacing(h5, step):
    pixels = ramp(5, 8, 9)
    path = h5("a.h5", raw=(pixels, (0.5, step, 0.1)), zero=(pixels, (0.0, 0.2, 0.1)))
    with pytest.raises(
        UserError, match=rf"a.h5: dataset 'raw': a spacing of 0.5 x {step:g} x 0.1 .*--spacing"
    ):
        read_header(path, Hints("raw"))
    check(path, pixels[None], Hints("raw", spacing_given=True))
    check(path, pixels[None], Hints("zero"))  # a step of 0 states nothing, as in a tif


def test_h5_key_in_a_group(h5):
    check(h5("a.h5", **{"volumes/raw": (ramp(8, 9), None)}), ramp(8, 9)[None], Hints("volumes/raw"))


def test_wrong_h5_is_refused_by_name(h5, tmp_path):
    path = h5("a.h5", data=(ramp(5, 8, 9), None), line=(ramp(9), None), none=(ramp(0, 8, 9), None))
    (tmp_path / "text.hdf5").write_text("no image")
    for key, text in {
        "raw": r"has no dataset 'raw'. Datasets there: 'data' \(5, 8, 9\), 'line' \(9,\)",
        "line": r"has the shape \(9,\)",
        "none": r"is empty, its shape is \(0, 8, 9\)",
    }.items():
        with pytest.raises(UserError, match=rf"a.h5: .*{text}"):
            read_header(path, Hints(key))
    with pytest.raises(UserError, match=r"text.hdf5: cannot be read as HDF5"):
        read_header(tmp_path / "text.hdf5", Hints("raw"))


def test_without_h5py_the_message_says_what_to_install(h5, monkeypatch):
    path = h5("a.h5", raw=(ramp(5, 8, 9), None))
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(UserError, match=r"pip install 'nnunet-ext\[h5\]'"):
        read_image(path, Hints("raw"))


# --- names --------------------------------------------------------------------------------------


def test_endings_and_stems(tmp_path):
    for name, ending, stem in (
        ("a.TIF", ".tif", "a"),
        ("a.b.ome.tif", ".ome.tif", "a.b"),
        ("a.nii.gz", ".nii.gz", "a"),
        ("a.gz", "", "a.gz"),
        ("a.png", ".png", "a"),
    ):
        assert ending_of(tmp_path / name) == ending
        assert stem_of(tmp_path / name) == stem
    with pytest.raises(UserError, match=r"notes.txt: not an image file. Known endings: .*\.tif"):
        read_image(tmp_path / "notes.txt")
