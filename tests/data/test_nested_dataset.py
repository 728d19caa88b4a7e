from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK as sitk
from skimage.io import imread

from nnunet_ext.data.nested import nested_cells, write_nested_dataset


def read(path):
    return imread(path) if path.suffix == ".png" else sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "cells", "ending", "regions"),
    [((64, 64), 3, ".png", False), ((24, 32, 32), 2, ".nii.gz", True)],
)
def test_dataset_passes_nnunets_own_check(shape, cells, ending, regions, tmp_path):
    from nnunetv2.experiment_planning.verify_dataset_integrity import verify_dataset_integrity

    folder = tmp_path / "Dataset001_Nested"
    write_nested_dataset(folder, training=2, test=1, shape=shape, cells=cells, seed=7, regions=regions)
    dataset = json.loads((folder / "dataset.json").read_text())
    assert dataset["numTraining"] == 2
    if regions:
        assert dataset["labels"] == {"background": 0, "cell": [1, 2], "nucleus": [2]}
        assert dataset["regions_class_order"] == [1, 2]
        assert "nesting" not in dataset
    else:
        assert dataset["labels"] == {"background": 0, "cell": 1, "nucleus": 2}
        assert dataset["nesting"] == {"cell": {"nucleus": {}}}
        assert "regions_class_order" not in dataset
    assert [p.name for p in (folder / "imagesTs").iterdir()] == [f"nested_002_0000{ending}"]
    verify_dataset_integrity(str(folder), num_processes=1)
    for number, place in ((0, "Tr"), (1, "Tr"), (2, "Ts")):
        image, labels = nested_cells(shape, cells, seed=7 + number)
        written = read(folder / f"images{place}/nested_{number:03d}_0000{ending}")
        assert written.dtype == np.uint8
        np.testing.assert_allclose(written / 204, image.clip(0, 1.25), atol=0.5 / 204 + 1e-6)
        np.testing.assert_array_equal(read(folder / f"labels{place}/nested_{number:03d}{ending}"), labels)


def test_no_room_leaves_no_dataset(tmp_path):
    with pytest.raises(ValueError, match="room for"):
        write_nested_dataset(tmp_path / "Dataset001_Nested", 1, 0, shape=(16, 16), cells=9)
    assert not (tmp_path / "Dataset001_Nested").exists()
