"""Opening the cell class before instances are made of it."""

import json

import numpy as np
import pytest
from scipy import ndimage
from skimage.io import imsave
from typer.testing import CliRunner

from nnunet_ext.cli.app import app
from nnunet_ext.images.instance_files import read_instances
from nnunet_ext.instances.losses import Losses
from nnunet_ext.instances.opening import open_cells


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("shape", [(30, 34), (12, 14, 13)], ids=["2d", "3d"])
def test_equals_erosion_and_dilation(shape, size):
    rng = np.random.default_rng(0)
    labels = (ndimage.uniform_filter(rng.random(shape), 3) > 0.48).astype(np.uint8)
    labels[rng.random(shape) < 0.02] = 2
    cube = np.ones((size,) * len(shape))
    wide = np.pad(labels == 1, size, mode="edge")
    eroded = ndimage.binary_erosion(wide, cube, border_value=1)
    expected = ndimage.binary_dilation(eroded, cube)[(slice(size, -size),) * len(shape)]
    losses = Losses()
    found = open_cells(labels, 1, size, losses)
    np.testing.assert_array_equal(found == 1, expected & (labels == 1))
    np.testing.assert_array_equal(found == 2, labels == 2)
    assert found.dtype == np.uint8
    assert losses.opened_voxels == (labels == 1).sum() - (found == 1).sum() > 0


def test_cells_at_the_border_keep_their_outline_and_those_that_vanish_are_counted():
    labels = np.zeros((20, 20), np.uint8)
    labels[0:6, 0:6] = 1  # in a corner
    labels[10:16, 10:16] = 1
    labels[10, 3] = labels[18, 3:6] = 1  # specks
    losses = Losses()
    found = open_cells(labels, 1, 5, losses)
    assert found[0:6, 0:6].all()
    assert found[10:16, 10:16].all()
    assert found.sum() == 72
    assert (losses.opened_voxels, losses.opened_cells) == (4, 2)


@pytest.mark.parametrize("size", [1, 4])
def test_a_cube_has_a_middle(size):
    with pytest.raises(ValueError, match="odd number of voxels"):
        open_cells(np.zeros((3, 3), np.uint8), 1, size)


def run(*words):
    return CliRunner().invoke(app, ["instances", *map(str, words)])


@pytest.fixture
def folder(tmp_path):
    """Two cells with a bridge of one voxel, and a speck."""
    labels = np.zeros((20, 40), np.uint8)
    labels[4:14, 4:14] = labels[4:14, 20:30] = labels[8, 14:20] = labels[17, 35:37] = 1
    imsave(tmp_path / "c.png", labels, check_contrast=False)
    content = {
        "channel_names": {"0": "x"}, "labels": {"background": 0, "cell": 1}, "numTraining": 1,
        "file_ending": ".png",
    }  # fmt: skip
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    return tmp_path


def test_bridges_and_specks_go_and_that_is_said(folder):
    assert run("-i", folder, "-o", folder / "plain").exit_code == 0
    assert read_instances(folder / "plain" / "c.tif")[0].max() == 2
    result = run("-i", folder, "-o", folder / "opened", "--opening", 5)
    assert result.exit_code == 0, result.output
    instances = read_instances(folder / "opened" / "c.tif")[0]
    assert instances.max() == 2
    assert (instances[4:14, 4:14] == 1).all()
    assert (instances[4:14, 20:30] == 2).all()
    assert (instances > 0).sum() == 200
    text = " ".join(result.output.split())
    assert "8 voxels of cells are background by --opening 5" in text
    assert "1 cell gone altogether" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--opening", 4], "--opening 4: expected an odd number of voxels, 3 or more"),
        (["--opening", 5, "--method", "watershed"], "--opening works on predicted classes"),
        (["--opening", 5, "--gap", "second"], "--opening works on predicted classes"),
    ],
)
def test_refused(words, message, folder):
    assert message in str(run("-i", folder, "-o", folder / "out", *words).exception)
