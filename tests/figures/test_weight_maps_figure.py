"""Weight maps of raw cases as planes: the right slice and window, the training's own weights, files named."""

import json

import numpy as np
import pytest
import SimpleITK as sitk
from skimage.io import imread, imsave

from nnunet_ext.data.cells import crowded_cells
from nnunet_ext.errors import UserError
from nnunet_ext.figures.style import check_picture
from nnunet_ext.figures.weight_maps import CaseMaps, crowded_plane, draw, preview
from nnunet_ext.targets import weight_maps
from nnunet_ext.training.extra_targets.weight_maps import ClassBalance, UNetMap
from nnunet_ext.worker_pool import silent

LABELS = {"background": 0, "cell": 1, "touching": 2, "ignore": 3}
MAPS = {"balance": lambda cells: ClassBalance(), "unet": lambda cells: UNetMap(cells=cells)}
SPACING = (4.0, 2.0, 2.0)


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        imsave(path, pixels, check_contrast=False)
    else:
        image = sitk.GetImageFromArray(pixels)
        image.SetSpacing(SPACING[::-1])
        sitk.WriteImage(image, str(path))


def write_dataset(folder, cases, ending, labels=LABELS):
    for case, (image, label) in cases.items():
        write(folder / "imagesTr" / f"{case}_0000{ending}", image)
        write(folder / "labelsTr" / f"{case}{ending}", label)
    content = {"channel_names": {"0": "x"}, "labels": labels, "numTraining": 2, "file_ending": ending}
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder


def two_cases():
    """Sparse cells above, crowded ones below right; some of it ignored."""
    cases = {}
    for case in ("b", "a"):
        image, instances = crowded_cells((60, 80), 20, seed=ord(case))
        label = np.minimum(instances, 1).astype(np.uint8)
        label[:30] = 0
        label[5:9, 5:9] = 1
        label[:, :4] = 3
        label[20:22, 30:40] = 2
        cases[case] = image, label
    return cases


@pytest.fixture
def flat(nnunet_folders):
    return write_dataset(nnunet_folders["nnUNet_raw"] / "Dataset510_Cells", two_cases(), ".png")


@pytest.mark.parametrize("dataset", ["510", "Dataset510_Cells"])
def test_the_first_case_as_it_is_with_weights_relative_to_their_mean(flat, dataset):
    raw, (shown,) = preview(dataset, MAPS)
    image, label = two_cases()["a"]
    assert raw.folder == flat
    assert shown.title == "a"
    np.testing.assert_array_equal(shown.image, image)
    np.testing.assert_array_equal(shown.labels, label)
    counted = label != 3
    plain = np.where(counted, label, 0)
    counts = [int((label == value).sum()) for value in range(3)]
    balance = weight_maps.class_balance(plain, counts)
    np.testing.assert_allclose(shown.maps["balance"][counted], (balance / balance[counted].mean())[counted])
    for weights in shown.maps.values():
        assert np.isnan(weights[~counted]).all()
        assert weights[counted].mean() == pytest.approx(1)
    assert shown.maps["unet"].max(initial=0, where=counted) > 2


def test_frequencies_are_those_of_all_cases_shown(flat):
    _, both = preview("510", {"balance": MAPS["balance"]}, ["b", "a", "b"], progress=silent)
    assert [case.title for case in both] == ["b", "a"]
    cases = two_cases()
    counts = [sum(int((label == value).sum()) for _, label in cases.values()) for value in range(3)]
    for case in both:
        weights, labels = case.maps["balance"], case.labels
        ratio = weights[labels == 1].mean() / weights[labels == 0].mean()
        assert ratio == pytest.approx(counts[0] / counts[1], rel=1e-5)


def test_a_window_shows_the_most_cells_and_keeps_the_weights_of_the_whole(flat):
    _, (whole,) = preview("510", MAPS)
    _, (part,) = preview("510", MAPS, window=24)
    assert part.image.shape == part.labels.shape == part.maps["unet"].shape == (24, 24)
    places = [
        (y, x)
        for y in range(60 - 23)
        for x in range(80 - 23)
        if np.array_equal(whole.image[y : y + 24, x : x + 24], part.image)
    ]
    ((y, x),) = places
    assert y > 20  # where the cells are
    np.testing.assert_array_equal(part.maps["unet"], whole.maps["unet"][y : y + 24, x : x + 24])
    _, (large,) = preview("510", MAPS, window=70)
    assert large.image.shape == (60, 70)


def test_of_a_volume_the_slice_with_most_cells_in_3d_distances(nnunet_folders):
    image, instances = crowded_cells((9, 24, 30), 12, seed=1, spacing=SPACING)
    label = np.minimum(instances, 1).astype(np.uint8)
    label[[0, 1, 2, 5, 6, 7, 8]] = 0
    label[4, :15] = 0
    write_dataset(nnunet_folders["nnUNet_raw"] / "Dataset007_V", {"v": (image, label)}, ".nii.gz")
    _, (shown,) = preview("7", MAPS)
    assert shown.title == "v, slice 3 of 0–8"
    np.testing.assert_array_equal(shown.image, image[3])
    from nnunet_ext.arrays.components import label_components

    expected = weight_maps.unet(label_components(label == 1)[0], spacing=(2, 1, 1))
    np.testing.assert_allclose(shown.maps["unet"], expected[3] / expected.mean(), rtol=1e-5)


def test_of_several_crowded_slices_the_middle_one():
    instances = np.ones((7, 3, 3), int)
    assert crowded_plane(instances)[0][0] == 3
    assert crowded_plane(np.zeros((4, 3, 3), int), 2)[0] == (2, slice(0, 2), slice(0, 2))


def test_regions(nnunet_folders):
    labels = {"background": 0, "whole": [1, 2], "core": 2}
    cases = {case: (image, label % 3) for case, (image, label) in two_cases().items()}
    folder = write_dataset(nnunet_folders["nnUNet_raw"] / "Dataset011_R", cases, ".png", labels)
    content = json.loads((folder / "dataset.json").read_text()) | {"regions_class_order": [1, 2]}
    (folder / "dataset.json").write_text(json.dumps(content))
    _, (shown,) = preview("11", {"unet": lambda cells: UNetMap(cells=cells)})
    from nnunet_ext.arrays.components import label_components

    expected = weight_maps.unet(label_components(cases["a"][1] > 0)[0])
    np.testing.assert_allclose(shown.maps["unet"], expected / expected.mean(), rtol=1e-5)


def test_the_users_weights(flat):
    with pytest.raises(UserError, match=r"There is no folder .*weightsTr"):
        preview("510", {"own": None})
    weights = np.random.default_rng(0).integers(1, 200, (60, 80)).astype(np.uint8)
    write(flat / "weightsTr" / "a.png", weights)
    _, (shown,) = preview("510", {"own": None})
    counted = shown.labels != 3
    np.testing.assert_allclose(
        shown.maps["own"][counted], (weights / weights[counted].mean())[counted], rtol=1e-5
    )
    write(flat / "weightsTr" / "a.png", weights[1:])
    with pytest.raises(UserError, match=r"a\.png: .*is \(1, 1, 60, 80\) for this case; got \(1, 1, 59, 80\)"):
        preview("510", {"own": None})


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda folder: (folder / "dataset.json").unlink(), "no file .*dataset.json"),
        (lambda folder: (folder / "labelsTr" / "a.png").unlink(), r"a\.png: cannot be read"),
        (lambda folder: (folder / "imagesTr" / "a_0000.png").write_text("x"), r"a_0000\.png: cannot be read"),
        (lambda folder: write(folder / "labelsTr/a.png", np.full((60, 80), 9, np.uint8)), "contains 9"),
        (
            lambda folder: write(folder / "labelsTr/a.png", np.ones((6, 8), np.uint8)),
            r"\(6, 8\) voxels.*\(60, 80",
        ),
        (lambda folder: [path.unlink() for path in folder.glob("imagesTr/*")], "No file ending in .png"),
        (lambda folder: (folder / "imagesTr").rename(folder / "images"), "There is no folder .*imagesTr"),
    ],
)
def test_what_is_wrong_with_a_dataset_is_named(flat, change, text):
    change(flat)
    with pytest.raises(UserError, match=text):
        preview("510", MAPS, ["a"])


def test_cases_that_are_not_there(flat):
    with pytest.raises(UserError, match=r"no training case c, d\. It has: a, b\."):
        preview("510", MAPS, ["a", "c", "d"])


def plane(title, maps):
    image = np.arange(20.0).reshape(4, 5)
    return CaseMaps(title, image, (image > 9).astype(int), maps)


def test_a_row_per_case_and_a_panel_per_map(tmp_path):
    weights = np.full((4, 5), np.nan)
    weights[0] = 2
    path = tmp_path / "new" / "maps.png"
    draw([plane("a", {"one": weights})], {0: "background", 1: "cell"}, path, "below")
    small = imread(path).shape
    draw([plane("a", {"one": weights, "two": weights})] * 2, {0: "background", 1: "cell"}, path)
    large = imread(path).shape
    assert large[0] > 1.5 * small[0]
    assert large[1] > 1.2 * small[1]
    assert [file.name for file in path.parent.iterdir()] == ["maps.png"]


def test_flat_and_ignored_images_can_be_drawn(tmp_path):
    row = CaseMaps("x" * 80, np.zeros((4, 5)), np.full((4, 5), 3), {"one": np.full((4, 5), np.nan)})
    draw([row], {0: "background", 1: "a", 3: "ignore"}, tmp_path / "maps.pdf")
    assert (tmp_path / "maps.pdf").stat().st_size > 1000


def test_a_picture_of_unknown_kind_is_refused(tmp_path):
    check_picture(tmp_path / "a.PNG")
    for name in ("a.bmpx", "a"):
        with pytest.raises(UserError, match=r"a picture ends in one of .*\.png"):
            check_picture(tmp_path / name)
