"""A transform in the middle of nnU-Net's own augmentation."""

import pytest
import torch
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunet_ext.training.augmentation import insert_after_spatial


class Recorder(BasicTransform):
    """Keeps what it is given."""

    def apply(self, data_dict, **params):
        self.seen = {key: data_dict[key].clone() for key in ("image", "segmentation")}
        return data_dict


def stock_transforms(patch, dummy_2d):
    return nnUNetTrainer.get_training_transforms(
        patch, (-0.5, 0.5), [[1.0] * len(patch), [0.5] * len(patch)], (0, 1), dummy_2d,
        foreground_labels=[1, 2], regions=[(1, 2), (2,)], ignore_label=3,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("patch", "dummy_2d"), [((24, 24), False), ((8, 16, 16), False), ((4, 24, 24), True)]
)
def test_extra_sees_final_geometry_and_plain_labels(patch, dummy_2d):
    recorder = Recorder()
    pipeline = insert_after_spatial(stock_transforms(patch, dummy_2d), [recorder])
    labels = torch.randint(0, 4, (1, *patch), dtype=torch.int16)
    out = pipeline(image=torch.randn(2, *patch), segmentation=labels)
    assert recorder.seen["image"].shape == (2, *patch)
    assert recorder.seen["segmentation"].shape == (1, *patch)
    assert set(recorder.seen["segmentation"].unique().tolist()) <= {-1, 0, 1, 2, 3}
    assert out["segmentation"][0].shape == (3, *patch)  # regions and ignored voxels, made afterwards
    assert len(pipeline.transforms) == len(stock_transforms(patch, dummy_2d).transforms) + 1


def test_nothing_extra_changes_nothing():
    pipeline = stock_transforms((8, 8), False)
    before = list(pipeline.transforms)
    assert insert_after_spatial(pipeline, []).transforms == before


def test_without_a_spatial_transform_it_says_so():
    with pytest.raises(RuntimeError, match="no spatial transform"):
        insert_after_spatial(ComposeTransforms([]), [Recorder()])
