import json

import numpy as np
import pytest

from nnunet_ext.data import vessels, write_vessel_dataset


@pytest.mark.parametrize("shape", [(64, 80), (24, 32, 40)])
def test_shape_type_and_seed(shape):
    image, label = vessels(shape, count=2, seed=1)
    assert image.shape == label.shape == shape
    assert image.dtype == label.dtype == np.uint8
    assert set(np.unique(label)) == {0, 1}
    assert 0.005 < label.mean() < 0.5
    again, _ = vessels(shape, count=2, seed=1)
    assert np.array_equal(image, again)
    assert not np.array_equal(image, vessels(shape, count=2, seed=2)[0])


def test_vessels_are_brighter_but_not_everywhere():
    image, label = vessels((128, 128), seed=0)
    assert image[label == 1].mean() > image[label == 0].mean() + 10
    dim = image[label == 1] < np.median(image[label == 0])
    assert dim.mean() > 0.03


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "ending"), [((32, 32), ".png"), ((8, 16, 16), ".nii.gz")])
def test_dataset_passes_nnunets_own_check(shape, ending, tmp_path):
    from nnunetv2.experiment_planning.verify_dataset_integrity import verify_dataset_integrity

    folder = tmp_path / "Dataset001_Vessels"
    write_vessel_dataset(folder, training=2, test=1, shape=shape)
    assert json.loads((folder / "dataset.json").read_text())["numTraining"] == 2
    assert [p.name for p in (folder / "imagesTs").iterdir()] == [f"vessels_002_0000{ending}"]
    verify_dataset_integrity(str(folder), num_processes=1)
