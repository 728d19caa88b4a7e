"""Binary closing of label maps, of folders of them, and the choice of its size."""

import json

import numpy as np
import pytest
import SimpleITK as sitk
import tifffile
from scipy import ndimage
from skimage.io import imread, imsave
from typer.testing import CliRunner

from nnunet_ext.cli.app import app
from nnunet_ext.postprocessing import Structure, close_labels
from nnunet_ext.postprocessing.closing import binary_closing

CLASSES = (Structure("a", (1,), 1), Structure("b", (2,), 2))
NESTED = (Structure("whole", (1, 2), 1), Structure("core", (2,), 2))
LABELS = {"background": 0, "a": 1, "b": 2}


def by_definition(mask, size):
    """A voxel is filled unless some cube that contains it has none of the mask."""
    radius = size // 2
    far = np.pad(mask, 2 * radius)  # cubes may reach beyond the border
    empty = np.zeros(far.shape, bool)
    cubes = np.lib.stride_tricks.sliding_window_view(far, (size,) * mask.ndim)
    for corner in np.argwhere(~cubes.any(tuple(range(mask.ndim, 2 * mask.ndim)))):
        empty[tuple(slice(at, at + size) for at in corner)] = True
    return ~empty[tuple(slice(2 * radius, 2 * radius + edge) for edge in mask.shape)]


@pytest.mark.parametrize("size", [3, 5, 7])
@pytest.mark.parametrize("shape", [(17, 14), (9, 8, 10)], ids=["2d", "3d"])
def test_closing_is_its_definition(shape, size):
    for seed in range(5):
        mask = np.random.default_rng(seed).random(shape) < 0.08
        closed = binary_closing(mask, size)
        np.testing.assert_array_equal(closed, by_definition(mask, size))
        assert (closed >= mask).all()
        assert (closed != mask).any()
        np.testing.assert_array_equal(binary_closing(closed, size), closed)
        wide = np.pad(mask, size)
        around = ndimage.binary_closing(wide, np.ones((size,) * mask.ndim))
        np.testing.assert_array_equal(closed, around[tuple(slice(size, -size) for _ in shape)])


def test_nothing_is_lost_at_the_border():
    mask = np.zeros((5, 6), bool)
    mask[0, :] = mask[:, 5] = True
    assert not ndimage.binary_closing(mask, np.ones((3, 3)))[mask].all()  # SciPy's own does
    assert binary_closing(mask, 3)[mask].all()


def test_a_class_takes_no_voxel_from_another():
    labels = np.array([[1, 0, 1, 2, 1, 0, 2, 0, 2, 1]])
    closed = close_labels(labels, CLASSES)
    np.testing.assert_array_equal(closed.labels, [[1, 1, 1, 2, 1, 2, 2, 2, 2, 1]])
    assert closed.gained == {"a": 1, "b": 2}
    assert closed.refused == {"a": 1, "b": 1}  # the 2 between two 1, and the 1 that then is between two 2
    np.testing.assert_array_equal(labels[0, :3], [1, 0, 1])


def test_where_two_want_a_voxel_the_first_has_it_and_it_is_counted():
    labels = np.array([[0, 1, 0], [2, 0, 2], [0, 1, 0]])
    closed = close_labels(labels, CLASSES)
    np.testing.assert_array_equal(closed.labels, [[0, 1, 0], [2, 1, 2], [0, 1, 0]])
    assert closed.refused == {"a": 0, "b": 1}


def test_a_region_gains_what_it_is_a_part_of():
    labels = np.array([[1, 2, 1, 2, 1, 0, 1]])
    closed = close_labels(labels, NESTED)
    np.testing.assert_array_equal(closed.labels, [[1, 2, 2, 2, 1, 1, 1]])
    assert closed.gained == {"whole": 1, "core": 1}


def test_once_is_enough():
    """Whatever the classes keep from each other."""
    many = np.random.default_rng(0).integers(0, 9, (30, 30))
    many[many > 2] = 0
    closed = close_labels(many, CLASSES, 5)
    assert min(closed.refused.values()) > 0
    np.testing.assert_array_equal(close_labels(closed.labels, CLASSES, 5).labels, closed.labels)


@pytest.mark.parametrize("size", [1, 2, 4])
def test_a_cube_has_a_middle(size):
    with pytest.raises(ValueError, match="odd number of voxels, 3 or more"):
        close_labels(np.zeros((3, 3), int), CLASSES, size)


# folders


def run(*words, code=0):
    result = CliRunner().invoke(app, ["close", *map(str, words)])
    assert result.exit_code == code, result.output
    error = str(result.exception) if code else ""
    return " ".join(f"{result.output} {error}".split())


def broken(seed, shape=(30, 40)):
    """The truth, and a prediction with gaps of three voxels in its lines."""
    truth = np.zeros(shape, np.uint8)
    for label, row in ((1, 5), (2, 15), (1, 24)):
        truth[row : row + 3] = label
    prediction = truth.copy()
    for at in range(5 + seed, shape[1] - 8, 11):
        prediction[:, at : at + 3] = 0
    return truth, prediction


@pytest.fixture
def folders(tmp_path):
    """Predictions and references of three cases in png."""
    for name in ("pred", "ref"):
        (tmp_path / name).mkdir()
    content = {"channel_names": {"0": "x"}, "labels": LABELS, "numTraining": 3, "file_ending": ".png"}
    (tmp_path / "pred" / "dataset.json").write_text(json.dumps(content))
    for number in range(3):
        for name, labels in zip(("ref", "pred"), broken(number), strict=True):
            imsave(tmp_path / name / f"c{number}.png", labels, check_contrast=False)
    return tmp_path


def test_a_folder(folders):
    text = run("-i", folders / "pred", "-o", folders / "out")
    for number in range(3):
        expected = close_labels(broken(number)[1], CLASSES, 3).labels
        np.testing.assert_array_equal(imread(folders / "out" / f"c{number}.png"), expected)
    assert "3 closed, in" in text
    assert sorted(path.name for path in (folders / "out").iterdir()) == [
        "c0.png", "c1.png", "c2.png", "closed.json",
    ]  # fmt: skip


def test_it_goes_on_and_does_not_mix(folders):
    words = ("-i", folders / "pred", "-o", folders / "out")
    run(*words)
    assert "0 closed, 3 kept from an earlier run" in run(*words)
    whole = (folders / "out" / "c1.png").read_bytes()
    (folders / "out" / "c1.png").write_bytes(whole[:50])
    (folders / "out" / "evaluation.json").write_text('{"metric_per_case": []}')
    text = run(*words)
    assert "1 closed, 2 kept" in text
    assert "Note: Removed evaluation.json" in text
    assert (folders / "out" / "c1.png").read_bytes() == whole
    assert "closed labels made with other parameters (size 3 → 5)" in run(*words, "--size", 5, code=1)
    assert "3 closed, in" in run(*words, "--size", 5, "--overwrite")


def test_one_case_that_cannot_be_read_is_named_and_the_others_are_made(folders):
    (folders / "pred" / "c1.png").write_bytes(b"no png")
    text = run("-i", folders / "pred", "-o", folders / "out", code=1)
    assert "1 of 3 cases cannot be closed" in text
    assert "c1.png" in text
    assert (folders / "out" / "c2.png").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--size", 4], "odd number of voxels, 3 or more; got 4"),
        (["--tune"], "--tune compares with the truth: give its folder with -ref"),
        (["-ref", "ref"], "-ref is about choosing a size: add --tune"),
        (["--sizes", 3], "--sizes is about choosing a size: add --tune"),
        (["--tune", "-ref", "ref", "--metric", "n_pred"], "nobody knows which direction is better"),
        (["--tune", "-ref", "ref", "--metric", "PQ"], "--metric PQ is not measured. There are: Dice"),
    ],
)
def test_refused(words, message, folders, monkeypatch):
    monkeypatch.chdir(folders)
    assert message in run("-i", "pred", "-o", "out", *words, code=1)
    assert not list(folders.glob("out/*/*.png"))


def test_the_input_is_not_the_output(folders):
    assert "is what this command reads" in run("-i", folders / "pred", "-o", folders / "pred", code=1)


def test_tuning_on_validation_predictions(folders):
    """Gaps of three voxels need a cube of 5; 7 fills no more of them."""
    text = run("-i", folders / "pred", "-o", folders / "out", "--tune", "-ref", folders / "ref")
    assert "Of 3 cases, Beta0Error is best with size 5." in text
    assert "Next: nnunet_ext close -i PREDICTIONS -o CLOSED --size 5" in text
    for size, error in ((3, 4.5), (5, 0), (7, 0)):
        found = json.loads((folders / "out" / f"size_{size}" / "evaluation.json").read_text())
        assert found["foreground_mean"]["Beta0Error"] == error


def test_leaving_it_as_it_is_can_be_best(folders):
    for file in (folders / "ref").iterdir():
        file.write_bytes((folders / "pred" / file.name).read_bytes())
    text = run("-i", folders / "pred", "-o", folders / "out", "--tune", "-ref", folders / "ref")
    assert "Beta0Error is best without closing" in text
    assert "Next" not in text


def test_nifti_keeps_its_grid_and_tif_its_spacing(tmp_path):
    volume = np.zeros((6, 12, 14), np.uint8)
    volume[2:4, 5, :] = 1
    volume[:, :, 6] = 0
    expected = close_labels(volume, CLASSES[:1], 3).labels
    assert (expected != volume).any()
    for ending in (".nii.gz", ".tif"):
        folder = tmp_path / ending[1:4]
        folder.mkdir()
        content = {"channel_names": {"0": "x"}, "labels": LABELS, "numTraining": 1, "file_ending": ending}
        (folder / "dataset.json").write_text(json.dumps(content))
        if ending == ".tif":
            tifffile.imwrite(folder / "c.tif", volume)
            (folder / "c.json").write_text('{"spacing": [2.0, 0.5, 0.5]}')
        else:
            image = sitk.GetImageFromArray(volume)
            image.SetSpacing((0.5, 0.7, 2.0))
            image.SetOrigin((1.0, 2.0, 3.0))
            image.SetDirection((1, 0, 0, 0, -1, 0, 0, 0, 1))
            sitk.WriteImage(image, str(folder / "c.nii.gz"))
        run("-i", folder, "-o", folder / "out")
        if ending == ".tif":
            np.testing.assert_array_equal(tifffile.imread(folder / "out" / "c.tif"), expected)
            assert json.loads((folder / "out" / "c.json").read_text())["spacing"] == [2.0, 0.5, 0.5]
            continue
        made = sitk.ReadImage(str(folder / "out" / "c.nii.gz"))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(made), expected)
        for what in ("GetSpacing", "GetOrigin", "GetDirection"):
            np.testing.assert_allclose(getattr(made, what)(), getattr(image, what)(), rtol=1e-6)
