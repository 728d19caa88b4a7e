"""Weights from files, cropped and resampled as nnU-Net does the label."""

import pickle
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk
import tifffile
from nnunetv2.imageio.natural_image_reader_writer import NaturalImage2DIO
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
from nnunetv2.imageio.tif_reader_writer import Tiff3DIO
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from nnunetv2.preprocessing.resampling.default_resampling import resample_data_or_seg_to_shape
from skimage.io import imsave
from toy_targets import stored, write_case

from nnunet_ext.errors import UserError
from nnunet_ext.training.extra_targets import Case, UserWeights
from nnunet_ext.training.extra_targets.stored_maps import build, open_maps
from nnunet_ext.training.extra_targets.user_weights import user_weights


def quiet(_text):
    pass


def write_nifti(path, array, spacing):
    image = sitk.GetImageFromArray(array)
    image.SetSpacing([float(edge) for edge in spacing[::-1]])
    sitk.WriteImage(image, str(path))


def preprocess(image, label, spacing, transpose, target_spacing):
    """nnU-Net's own preprocessing, without normalisation and linear for images as well."""
    linear = {"order": 1, "order_z": 0, "force_separate_z": None}
    resample = partial(resample_data_or_seg_to_shape, **linear)
    configuration = SimpleNamespace(
        spacing=list(target_spacing),
        normalization_schemes=["NoNormalization"] * len(image),
        use_mask_for_norm=[False] * len(image),
        resampling_fn_data=partial(resample, is_seg=False),
        resampling_fn_seg=partial(resample, is_seg=True),
    )
    labels = SimpleNamespace(has_regions=False, foreground_labels=[1, 2], has_ignore_label=False)
    plans = SimpleNamespace(
        transpose_forward=list(transpose),
        foreground_intensity_properties_per_channel={str(i): {} for i in range(len(image))},
        get_label_manager=lambda _: labels,
    )
    properties = {"spacing": list(spacing)}
    return DefaultPreprocessor(verbose=False).run_case_npy(image, label, properties, plans, configuration, {})


@pytest.mark.parametrize("transpose", [(0, 1, 2), (2, 0, 1)], ids=str)
@pytest.mark.parametrize(
    "target_spacing", [(1.5, 1.0, 2.0), (1.0, 1.0, 1.0), (7.0, 1.0, 1.5), (1.0, 2.0)], ids=str
)
def test_equals_nnunets_preprocessing_of_the_map_as_an_image(transpose, target_spacing, tmp_path):
    """The same array as second channel of the image, through nnU-Net: cropped, transposed, resampled."""
    rng = np.random.default_rng(0)
    image = np.zeros((2, 14, 16, 18), np.float32)
    image[:, 2:13, 3:14, 1:15] = rng.random((2, 11, 11, 14)) + 0.1
    label = (image[:1] > 0.6).astype(np.float32)
    spacing = (1.0, 2.0, 1.5)
    data, seg, properties = preprocess(image, label, spacing, transpose, target_spacing)
    write_nifti(tmp_path / "case.nii.gz", image[1], spacing)
    weights = UserWeights(tmp_path, ".nii.gz", SimpleITKIO, transpose)
    found = weights.compute_case(Case("case", seg[0], target_spacing, properties))
    assert data.shape[1:] != image.shape[1:]
    np.testing.assert_allclose(found, data[1:], rtol=1e-5)


@pytest.mark.parametrize("unit", [1e6, 1e-9], ids=str)
def test_stored_as_they_are_in_whatever_unit_and_again_when_changed(unit, tmp_path):
    raw, data = tmp_path / "weightsTr", tmp_path / "nnUNetPlans_2d"
    raw.mkdir()
    data.mkdir()
    labels = np.zeros((1, 6, 5), np.int16)
    write_case(data, "case", labels)
    _set_properties(data / "case.pkl", (1, 6, 5), (999, 1, 1))
    weights = np.random.default_rng(0).random((6, 5)).astype(np.float32) * np.float32(unit)
    tifffile.imwrite(raw / "case.tif", weights)
    job = stored(pickle.loads(pickle.dumps(UserWeights(raw, ".tif", NaturalImage2DIO))), data)
    build(job, ["case"], 1, quiet)
    maps = open_maps(job.folder / "case.b2nd")
    assert job.folder.name == "nnUNetPlans_2d_weightsTr"
    np.testing.assert_array_equal(maps[:], weights[None, None])
    tifffile.imwrite(raw / "case.tif", 2 * weights)
    build(job, ["case"], 1, quiet)
    maps = open_maps(job.folder / "case.b2nd")
    np.testing.assert_array_equal(maps[:], 2 * weights[None, None])


def _set_properties(path, shape, spacing):
    box = [[0, edge] for edge in shape]
    found = {"shape_before_cropping": shape, "bbox_used_for_cropping": box, "spacing": list(spacing)}
    path.write_bytes(pickle.dumps(found))


def case_of(shape, spacing=(1.0, 1.0, 1.0)):
    box = [[0, edge] for edge in shape]
    properties = {"shape_before_cropping": shape, "bbox_used_for_cropping": box, "spacing": list(spacing)}
    return Case("case", np.zeros(shape, np.int16), tuple(spacing), properties)


def bad(change):
    weights = np.ones((4, 5, 6), np.float32)
    if change == "shape":
        return weights[:, :4]
    if change == "zeros":
        return 0 * weights
    weights[1, 2, 3] = {"nan": np.nan, "infinity": np.inf, "negative": -0.5}[change]
    return weights


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("shape", r"\(channels, z, y, x\) is \(1, 4, 5, 6\) for this case; got \(1, 4, 4, 6\)"),
        ("nan", "got NaN or infinity"),
        ("infinity", "got NaN or infinity"),
        ("negative", r"weights are 0 or more; got -0\.5"),
        ("zeros", "every weight is 0, so nothing of this case would be learned"),
    ],
)
def test_a_wrong_map_is_refused_by_name(change, text, tmp_path):
    tifffile.imwrite(tmp_path / "case.tif", bad(change))
    weights = UserWeights(tmp_path, ".tif", Tiff3DIO)
    with pytest.raises(UserError, match=rf"case\.tif: .*{text}"):
        weights.compute_case(case_of((4, 5, 6)))


def test_shapes_are_told_in_the_order_of_the_file(tmp_path):
    tifffile.imwrite(tmp_path / "case.tif", np.ones((4, 5, 7), np.float32))
    weights = UserWeights(tmp_path, ".tif", Tiff3DIO, (2, 0, 1))
    with pytest.raises(UserError, match=r"is \(1, 4, 5, 6\) for this case; got \(1, 4, 5, 7\)"):
        weights.compute_case(case_of((6, 4, 5)))


def test_another_spacing_is_refused_where_the_format_has_one(tmp_path, capsys):
    write_nifti(tmp_path / "case.nii.gz", np.ones((4, 5, 6), np.float32), (1, 1, 1))
    tifffile.imwrite(tmp_path / "case.tif", np.ones((4, 5, 6), np.float32))
    case = case_of((4, 5, 6), (2.0, 1.0, 1.0))
    with pytest.raises(UserError, match=r"the spacing is \[2.0, 1.0, 1.0\] for this case"):
        UserWeights(tmp_path, ".nii.gz", SimpleITKIO).compute_case(case)
    assert (
        UserWeights(tmp_path, ".tif", Tiff3DIO).compute_case(case).tolist() == np.ones((1, 4, 5, 6)).tolist()
    )
    assert capsys.readouterr().out == ""


def test_axes_that_point_elsewhere_are_refused_where_the_format_says_so(tmp_path):
    """Of a cube of equal spacing neither shape nor spacing tells."""
    image = sitk.GetImageFromArray(np.random.default_rng(0).random((4, 4, 4)).astype(np.float32))
    image.SetDirection([0, 1, 0, 1, 0, 0, 0, 0, 1])
    sitk.WriteImage(image, str(tmp_path / "case.nii.gz"))
    case, weights = case_of((4, 4, 4)), UserWeights(tmp_path, ".nii.gz", SimpleITKIO)
    _, same = SimpleITKIO().read_seg(str(tmp_path / "case.nii.gz"))
    whole = weights.compute_case(replace(case, properties={**case.properties, **same}))
    np.testing.assert_array_equal(whole[0], sitk.GetArrayFromImage(image))
    other = {**same["sitk_stuff"], "direction": (1, 0, 0, 0, 1, 0, 0, 0, 1)}
    with pytest.raises(
        UserError, match=r"case\.nii\.gz: the axes point to \[1, 0, 0, 0, 1.*got .*0\.0, 1\.0, 0\.0"
    ):
        weights.compute_case(replace(case, properties={**case.properties, "sitk_stuff": other}))


def test_colours_and_damaged_files_are_refused(tmp_path):
    imsave(tmp_path / "case.png", np.zeros((6, 5, 3), np.uint8), check_contrast=False)
    weights = UserWeights(tmp_path, ".png", NaturalImage2DIO)
    with pytest.raises(UserError, match=r"is \(1, 1, 6, 5\) for this case; got \(3, 1, 6, 5\)"):
        weights.compute_case(case_of((1, 6, 5)))
    weights.path("case").write_text("no picture")
    with pytest.raises(UserError, match=r"case\.png: cannot be read"):
        weights.compute_case(case_of((1, 6, 5)))


def test_missing_files_are_listed_with_what_may_be_meant(tmp_path):
    cases = [f"cell_{i:02}" for i in range(10)]
    weights = UserWeights(tmp_path / "weightsTr", ".png", NaturalImage2DIO)
    (problem,) = weights.problems(cases)
    assert problem.startswith(f"There is no folder {tmp_path / 'weightsTr'}")
    weights.folder.mkdir()
    for name in ("cell_00.png", "cell_01_0000.png"):
        (weights.folder / name).touch()
    (problem,) = weights.problems(cases)
    assert "no .png file for 9 of 10 cases: cell_01, cell_02, cell_03, cell_04, cell_05 and 4 more" in problem
    assert "Of no case are: cell_01_0000.png." in problem
    for case in cases:
        weights.path(case).touch()
    assert weights.problems(cases) == []


def test_the_label_does_not_make_it():
    with pytest.raises(NotImplementedError, match="read once per case"):
        UserWeights.compute(None, None, None)
    assert not UserWeights.from_label


def test_user_weights_lie_beside_the_labels(monkeypatch):
    plans = SimpleNamespace(
        dataset_name="Dataset510_Cells", image_reader_writer_class=dict, transpose_forward=[1, 0, 2]
    )
    monkeypatch.setenv("nnUNet_raw", "/data/raw")
    target = user_weights(plans, {"file_ending": ".png"})
    assert str(target.path("a")) == "/data/raw/Dataset510_Cells/weightsTr/a.png"
    assert (target.reader, target.transpose, target.from_label) == (dict, (1, 0, 2), False)
    monkeypatch.delenv("nnUNet_raw")
    (problem,) = user_weights(plans, {"file_ending": ".png"}).problems(["a"])
    assert "nnUNet_raw (not set)" in problem
