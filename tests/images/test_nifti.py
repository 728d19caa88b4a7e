"""NIfTI: reads and writes the same as SimpleITK, and sees damage, NaN and infinity, which SimpleITK hides."""

import gzip
import struct

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from nnunet_ext.dataset_conversion.engine.formats import FORMATS
from nnunet_ext.errors import UserError
from nnunet_ext.images import nifti, nifti_content
from nnunet_ext.images.files import read_header, read_image
from nnunet_ext.images.image import Grid

PIXELS = np.random.default_rng(0).integers(0, 1000, (9, 30, 31)).astype(np.int16)
DTYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8")


@pytest.fixture(autouse=True)
def without_warnings():
    """SimpleITK prints what it dislikes about a header."""
    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    yield
    sitk.ProcessObject.SetGlobalWarningDisplay(shown)


def ramp(*shape, dtype="uint8"):
    return (np.arange(np.prod(shape)) % 251).reshape(shape).astype(dtype)


def check(path, expected, spacing):
    """Header and image agree with each other and with `expected`, (channels, *spatial)."""
    header, image = read_header(path), read_image(path)
    assert (header.channels, *header.shape) == image.pixels.shape
    assert header.dtype == image.pixels.dtype
    assert header.grid == image.grid
    np.testing.assert_array_equal(image.pixels, expected)
    assert header.grid.spacing == pytest.approx(spacing)
    return header.grid


def check_as_simpleitk(path):
    """Pixels, type and geometry are those of SimpleITK."""
    theirs, ours = sitk.ReadImage(str(path)), read_image(path)
    ndim = min(theirs.GetDimension(), 3)
    pixels = sitk.GetArrayFromImage(theirs)
    if theirs.GetNumberOfComponentsPerPixel() > 1:
        pixels = np.moveaxis(pixels, -1, 0)
    direction = np.reshape(theirs.GetDirection(), (theirs.GetDimension(),) * 2)[:ndim, :ndim]
    check(path, pixels.reshape(ours.pixels.shape), theirs.GetSpacing()[:ndim][::-1])
    assert ours.pixels.dtype == pixels.dtype
    assert ours.grid.origin == pytest.approx(theirs.GetOrigin()[:ndim], rel=1e-6, abs=1e-5)
    # of a turn by 180 degrees a quaternion in float32 knows the axis to 3e-4
    np.testing.assert_allclose(ours.grid.direction, direction.ravel(), atol=5e-4)


# --- random headers against SimpleITK -----------------------------------------------------------


def turned(rng, ndim):
    """(3, 3) rotation: none, by right angles, or any; of a plane in itself."""
    kind = rng.integers(3)
    if ndim == 2:
        return Rotation.from_euler(
            "z", (0, 90 * rng.integers(4), rng.uniform(0, 360))[kind], True
        ).as_matrix()
    if kind == 0:
        return np.eye(3)
    if kind == 1:
        axes = np.eye(3)[rng.permutation(3)] * rng.choice([-1, 1], 3)
        return axes * [1, 1, np.linalg.det(axes)]
    return Rotation.random(random_state=int(rng.integers(2**31))).as_matrix()


def random_geometries(header, rng, ndim):
    """Set pixdim, qform and sform, which often differ: turned, moved, skewed, or by a rounding error."""
    steps = rng.uniform(0.1, 5, 3)
    header["pixdim"][1:4] = steps
    qform = np.eye(4)
    qform[:3, :3] = turned(rng, ndim) * [1, 1, rng.choice([-1, 1])] * steps
    qform[:3, 3] = rng.normal(0, 100, 3)
    sform = qform.copy()
    kind = rng.integers(5)
    if kind == 0:
        # not by right angles: of the same axes in other directions ITK may take either
        sform[:3, :3] = Rotation.from_euler("z", rng.uniform(20, 70), True).as_matrix() @ qform[:3, :3]
    elif kind == 1:
        sform[:3, 3] += rng.normal(0, 10, 3)
    elif kind in (2, 3):
        sform[:3, :3] += rng.normal(0, (0.3, 1e-6)[kind - 2], (3, 3))
    header.set_qform(qform, int(rng.integers(4)))
    header.set_sform(sform, int(rng.integers(5)))
    header["pixdim"][1:4] = steps


def random_file(folder, seed, ndim):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 6, ndim))
    order, kind = rng.choice(["<", ">"]), rng.choice(DTYPES)
    dtype = np.dtype(kind).newbyteorder(order)
    header = nibabel.Nifti1Header(endianness=order)
    header.set_data_dtype(dtype)
    header.set_data_shape(shape)
    random_geometries(header, rng, ndim)
    header["xyzt_units"] = rng.choice([0, 1, 2, 3, 10, 11])
    if rng.random() < 0.4:
        header["scl_slope"] = rng.choice([0, 1, 0.5, -2.25, 0.123, np.nan])
        header["scl_inter"] = rng.choice([0, 7.5, -1024, np.nan])
    header["vox_offset"], header["magic"] = 368, b"n+1"
    values = rng.integers(0, 120, np.prod(shape)) - (0 if dtype.kind == "u" else 60)
    content = header.binaryblock + bytes(20) + values.astype(dtype).tobytes()
    path = folder / f"a.nii{rng.choice(['', '.gz'])}"
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("ndim", [2, 3, 4])
def test_random_headers_are_read_as_simpleitk_does(tmp_path, ndim):
    """Those that SimpleITK refuses, axes at no right angle or a plane without extent, are refused too."""
    compared = 0
    for seed in range(300):
        (tmp_path / str(seed)).mkdir()  # ITK takes the pixels of a.nii from an a.nii.gz beside it
        path = random_file(tmp_path / str(seed), seed, ndim)
        try:
            sitk.ReadImage(str(path))
        except RuntimeError:
            with pytest.raises(UserError, match="not at right angles"):
                read_header(path)
        else:
            check_as_simpleitk(path)
            compared += 1
    assert compared > 200


def test_a_plane_that_contains_z(tmp_path):
    image = nibabel.Nifti1Image(np.zeros((3, 4), np.uint8), np.eye(4)[[0, 2, 1, 3]])
    image.to_filename(tmp_path / "a.nii")
    with pytest.raises(RuntimeError, match="determinant is 0"):
        sitk.ReadImage(str(tmp_path / "a.nii"))
    with pytest.raises(UserError, match=r"a.nii: its axes are not at right angles"):
        read_header(tmp_path / "a.nii")


@pytest.mark.parametrize(
    ("qform_code", "sform_code", "winner"),
    [(1, 1, "s"), (0, 1, "s"), (0, 2, "s"), (1, 0, "q"), (1, 2, "q"), (2, 3, "q"), (0, 0, "")],
)
def test_which_of_two_geometries_wins(tmp_path, qform_code, sform_code, winner):
    image = nibabel.Nifti1Image(PIXELS.T, None)
    image.set_qform(np.diag([2, 2, 2, 1]), qform_code)
    shifted = np.diag([2.0, 2, 2, 1])
    shifted[:3, 3] = 7
    image.set_sform(shifted, sform_code)
    image.to_filename(tmp_path / "a.nii.gz")
    check_as_simpleitk(tmp_path / "a.nii.gz")
    grid = read_header(tmp_path / "a.nii.gz").grid
    assert grid.origin == pytest.approx({"s": (-7, -7, 7), "q": (0, 0, 0), "": (0, 0, 0)}[winner])
    assert grid.direction[0] == (-1 if winner else 1)


def test_colours_and_vectors(tmp_path):
    colours = ramp(4, 8, 9, 3)
    for name, pixels in (("rgb", colours), ("vector", colours.astype(np.float32))):
        sitk.WriteImage(sitk.GetImageFromArray(pixels, isVector=True), str(tmp_path / f"{name}.nii.gz"))
        check_as_simpleitk(tmp_path / f"{name}.nii.gz")
        assert read_header(tmp_path / f"{name}.nii.gz").channels == 3


# --- writing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("ndim", [2, 3])
def test_simpleitk_reads_what_is_written(tmp_path, ndim):
    """As an image that SimpleITK wrote itself, and so do we; two files of one image are the same bytes."""
    for seed, dtype in enumerate(DTYPES * 4):
        rng = np.random.default_rng(seed)
        pixels = rng.integers(0, 120, rng.integers(1, 7, ndim)).astype(dtype)
        direction = turned(rng, ndim)[:ndim, :ndim] * rng.choice([-1, 1], ndim)
        spacing, origin = tuple(rng.uniform(0.01, 9, ndim)), tuple(rng.normal(0, 50, ndim))
        grid = Grid(spacing, origin, tuple(direction.ravel()))
        path = tmp_path / "a.nii.gz"
        nifti.write(path, pixels, grid)
        first = path.read_bytes()
        nifti.write(path, pixels, grid)
        assert path.read_bytes() == first
        back = sitk.ReadImage(str(path))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(back), pixels)
        assert sitk.GetArrayFromImage(back).dtype == pixels.dtype
        assert back.GetSpacing() == pytest.approx(spacing[::-1], rel=1e-6)
        assert back.GetOrigin() == pytest.approx(origin, rel=1e-6)
        assert back.GetDirection() == pytest.approx(direction.ravel(), abs=1e-6)
        check_as_simpleitk(path)


def test_nnunet_reads_what_is_written(tmp_path):
    from nnunetv2.imageio.nibabel_reader_writer import NibabelIO
    from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO

    nifti.write(
        tmp_path / "a.nii.gz", PIXELS, Grid((2.0, 0.5, 0.4), (3.0, 4.0, 5.0), tuple(np.eye(3).ravel()))
    )
    for reader in (SimpleITKIO, NibabelIO):
        pixels, properties = reader().read_images([str(tmp_path / "a.nii.gz")])
        np.testing.assert_array_equal(pixels[0], PIXELS)
        assert properties["spacing"] == pytest.approx((2.0, 0.5, 0.4))


@pytest.mark.parametrize("ending", ["nii", "nii.gz"])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "float32", "float64"])
def test_nifti_keeps_its_geometry(tmp_path, ending, dtype):
    stack = ramp(5, 8, 9, dtype=dtype)
    image = sitk.GetImageFromArray(stack)
    image.SetSpacing((0.1, 0.2, 0.5))
    image.SetOrigin((1.0, 2.0, 3.0))
    image.SetDirection((0, 1, 0, 1, 0, 0, 0, 0, -1))
    path = tmp_path / f"a.{ending}"
    sitk.WriteImage(image, str(path))
    grid = check(path, stack[None], spacing=(0.5, 0.2, 0.1))
    assert grid.origin == pytest.approx((1, 2, 3))
    assert grid.direction == pytest.approx((0, 1, 0, 1, 0, 0, 0, 0, -1))

    nifti.write(tmp_path / "b.nii.gz", stack, grid)
    back = sitk.ReadImage(str(tmp_path / "b.nii.gz"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(back), stack)
    assert back.GetSpacing() == pytest.approx(image.GetSpacing())
    assert back.GetOrigin() == pytest.approx(image.GetOrigin())
    assert back.GetDirection() == pytest.approx(image.GetDirection())


def test_grid_of_a_2d_nifti_can_be_written(tmp_path):
    nifti.write(tmp_path / "a.nii.gz", ramp(8, 9), Grid((0.5, 0.25)))
    assert read_header(tmp_path / "a.nii.gz").grid.spacing == pytest.approx((0.5, 0.25))


# --- axes and types -----------------------------------------------------------------------------


def test_nifti_channels(tmp_path):
    pixels = ramp(2, 5, 8, 9)
    series = sitk.JoinSeries([sitk.GetImageFromArray(channel) for channel in pixels])
    series.SetSpacing((0.1, 0.2, 0.5, 1))
    sitk.WriteImage(series, str(tmp_path / "a.nii.gz"))
    grid = check(tmp_path / "a.nii.gz", pixels, spacing=(0.5, 0.2, 0.1))
    assert len(grid.origin) == 3
    assert len(grid.direction) == 9
    vector = sitk.GetImageFromArray(pixels.transpose(1, 2, 3, 0), isVector=True)
    sitk.WriteImage(vector, str(tmp_path / "b.nii.gz"))
    check(tmp_path / "b.nii.gz", pixels, spacing=(1, 1, 1))


def test_flat_nifti(tmp_path):
    sitk.WriteImage(sitk.GetImageFromArray(ramp(8, 9)), str(tmp_path / "a.nii.gz"))
    check(tmp_path / "a.nii.gz", ramp(8, 9)[None], spacing=(1, 1))
    sitk.WriteImage(sitk.GetImageFromArray(ramp(1, 8, 9)), str(tmp_path / "b.nii.gz"))
    check(tmp_path / "b.nii.gz", ramp(1, 1, 8, 9), spacing=(1, 1, 1))  # geometry has three axes: kept


def test_wrong_nifti_is_refused_by_name(tmp_path):
    (tmp_path / "text.nii.gz").write_text("no image " * 99)
    (tmp_path / "nothing.nii").write_bytes(b"")
    complex_image = sitk.Cast(sitk.GetImageFromArray(ramp(5, 8, 9)), sitk.sitkComplexFloat32)
    sitk.WriteImage(complex_image, str(tmp_path / "complex.nii.gz"))
    five = nibabel.Nifti1Image(np.zeros((2, 3, 4, 2, 2), np.uint8), np.eye(4))
    five.to_filename(tmp_path / "five.nii.gz")
    line = nibabel.Nifti1Image(np.zeros(5, np.uint8), np.eye(4))
    line.to_filename(tmp_path / "line.nii.gz")
    for name, text in (
        ("text.nii.gz", "cannot be read as NIfTI"),
        ("nothing.nii", r"cannot be read as NIfTI \(empty file\)"),
        ("complex.nii.gz", "pixels are complex"),
        ("five.nii.gz", r"has the axes \(2, 3, 4, 2, 2\), but one 2D or 3D image per file is expected"),
        ("line.nii.gz", r"has the axes \(5,\), but one 2D or 3D image"),
    ):
        for read in (read_header, read_image):
            with pytest.raises(UserError, match=rf"{name}: .*{text}"):
                read(tmp_path / name)


# --- values that are not finite -----------------------------------------------------------------


def odd_volume(dtype="float32"):
    pixels = np.arange(4 * 5 * 6, dtype=dtype).reshape(4, 5, 6)
    pixels[0, 0, 0], pixels[1, 2, 3], pixels[3, 4, 5] = np.nan, np.inf, -np.inf
    return pixels


def write(path, pixels, **arguments):
    sitk.WriteImage(sitk.GetImageFromArray(pixels, **arguments), str(path))
    return path


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("block", [64, 2**22])
def test_values_that_are_not_finite_are_kept(tmp_path, monkeypatch, ending, dtype, block):
    monkeypatch.setattr(nifti_content, "_BLOCK", block)
    pixels = odd_volume(dtype)
    path = write(tmp_path / f"a{ending}", pixels)
    read = read_image(path).pixels[0]
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, pixels)
    np.testing.assert_array_equal(FORMATS[".nii.gz", 3].read(path), pixels)
    assert (sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[~np.isfinite(pixels)] == 0).all()


def test_other_byte_order(tmp_path):
    path = write(tmp_path / "a.nii", odd_volume())
    header, values = path.read_bytes()[:352], path.read_bytes()[352:]
    fields = np.frombuffer(header, np.uint8).copy()
    for first, count, width in (
        (0, 1, 4),
        (40, 8, 2),
        (70, 2, 2),
        (76, 8, 4),
        (108, 3, 4),
        (252, 2, 2),
        (256, 18, 4),
    ):
        part = fields[first : first + count * width].reshape(count, width)
        fields[first : first + count * width] = part[:, ::-1].ravel()
    path.write_bytes(fields.tobytes() + np.frombuffer(values, "<f4").astype(">f4").tobytes())
    np.testing.assert_array_equal(read_image(path).pixels[0], odd_volume())


def test_channels_of_a_fourth_axis_and_of_a_vector(tmp_path):
    pixels = np.zeros((2, 3, 4, 5), np.float32)
    pixels[1, 2, 3, 4] = np.nan
    image = sitk.JoinSeries([sitk.GetImageFromArray(channel) for channel in pixels])
    sitk.WriteImage(image, str(tmp_path / "a.nii.gz"))
    write(tmp_path / "b.nii.gz", np.moveaxis(pixels, 0, -1), isVector=True)
    for name in ("a", "b"):
        np.testing.assert_array_equal(read_image(tmp_path / f"{name}.nii.gz").pixels, pixels)


# --- files that are not whole -------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_a_nifti_file_that_is_cut_off_is_not_filled_up_with_zeros(tmp_path, ending):
    path = write(tmp_path / f"a{ending}", PIXELS)
    np.testing.assert_array_equal(read_image(path).pixels[0], PIXELS)
    content = path.read_bytes()
    for length in (len(content) - 1, len(content) - 9, len(content) // 2):
        path.write_bytes(content[:length])
        # what makes the check necessary
        assert sitk.GetArrayFromImage(sitk.ReadImage(str(path))).shape == PIXELS.shape
        with pytest.raises(UserError, match=f"a{ending}: the file is (damaged or )?cut off"):
            read_image(path)
    assert read_header(path).shape == PIXELS.shape


def test_a_changed_byte_in_a_compressed_nifti_file(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 1000, (20, 100, 100)).astype(np.int16)
    path = write(tmp_path / "a.nii.gz", pixels)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    assert (sitk.GetArrayFromImage(sitk.ReadImage(str(path))) != pixels).any()
    with pytest.raises(UserError, match=r"a.nii.gz: the file is damaged or cut off"):
        read_image(path)


def test_the_checksum_is_compared(tmp_path):
    """Every value can be decoded; only the checksum at the end tells that they are others."""
    path = write(tmp_path / "a.nii.gz", PIXELS)
    content = bytearray(path.read_bytes())
    content[-8] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"a.nii.gz: the file is damaged or cut off: CRC"):
        read_image(path)


@pytest.mark.parametrize("order", ["<", ">"])
def test_both_byte_orders(tmp_path, order):
    header = nibabel.Nifti1Header(endianness=order)
    header.set_data_dtype(np.dtype(np.float32).newbyteorder(order))
    nibabel.save(nibabel.Nifti1Image(PIXELS.T.astype(np.float32), np.eye(4), header), tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(read_image(tmp_path / "a.nii.gz").pixels[0], PIXELS)
    whole = gzip.decompress((tmp_path / "a.nii.gz").read_bytes())
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(whole[:-1]))  # sound gzip, a voxel too few
    with pytest.raises(UserError, match=rf"the file is cut off: {len(whole) - 1} of {len(whole)} bytes"):
        read_image(tmp_path / "b.nii.gz")


def test_a_file_that_ends_too_soon(tmp_path):
    whole = write(tmp_path / "a.nii.gz", odd_volume())
    content = gzip.decompress(whole.read_bytes())
    for name, short in (("b.nii", content[:-1]), ("c.nii", content[:351])):
        (tmp_path / name).write_bytes(short)
    for name, size in (("b.nii", 831), ("c.nii", 351)):
        with pytest.raises(UserError, match=rf"{name}: the file is cut off: {size} of 832 bytes"):
            read_image(tmp_path / name)
    (tmp_path / "d.nii").write_bytes(content[:100])
    with pytest.raises(UserError, match=r"d.nii: cannot be read as NIfTI"):
        read_header(tmp_path / "d.nii")
    whole.write_bytes(whole.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"a\.nii\.gz: the file is damaged or cut off"):
        read_image(whole)


@pytest.mark.parametrize("edges", [(6, 5, 5), (32767, 32767, 32767)])
def test_a_header_that_promises_more_than_there_is(tmp_path, edges):
    content = bytearray(gzip.decompress(write(tmp_path / "a.nii.gz", odd_volume()).read_bytes()))
    struct.pack_into("<3h", content, 42, *edges)
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(bytes(content)))
    with pytest.raises(UserError, match=r"a\.nii\.gz: the file is (damaged or )?cut off"):
        read_image(tmp_path / "a.nii.gz")


def test_a_negative_distance_between_voxels_is_refused(tmp_path):
    header = nibabel.Nifti1Image(np.zeros((4, 3, 2), np.uint8), np.eye(4)).header
    header["pixdim"][2] = -1
    header["vox_offset"] = 352
    header["magic"] = b"n+1"
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(header.binaryblock + bytes(4 + 24)))  # nibabel would put the sign right
    with pytest.raises(UserError, match=r"a.nii.gz: the distance between its voxels is negative"):
        read_header(path)


def test_a_volume_said_to_hold_vectors_is_read_as_it_is(tmp_path):
    path = tmp_path / "a.nii"
    image = nibabel.Nifti1Image(np.arange(24, dtype=np.int16).reshape(4, 3, 2), np.eye(4))
    image.header.set_intent(1007)
    image.to_filename(path)
    np.testing.assert_array_equal(
        read_image(path).pixels[0], sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    )
