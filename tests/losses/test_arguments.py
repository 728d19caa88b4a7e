import pytest
import torch

from nnunet_ext.losses import split_target


def test_labels_without_ignore_label():
    target = torch.tensor([[[0, 1, 2]]])
    labels, mask = split_target(target)
    assert labels is target
    assert mask is None


def test_labels_with_ignore_label():
    labels, mask = split_target(torch.tensor([[[0, 1, 2]]]), ignore_label=2)
    assert labels.tolist() == [[[0, 1, 2]]]
    assert mask.tolist() == [[[True, True, False]]]


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.float32])
def test_regions_with_ignore_channel(dtype):
    target = torch.tensor([[[1, 1, 0], [0, 1, 0], [0, 0, 1]]]).to(dtype)
    labels, mask = split_target(target, regions=True, ignore_label=3)
    assert torch.equal(labels, target[:, :2])
    assert mask.tolist() == [[[True, True, False]]]
    assert split_target(target, regions=True)[1] is None


def test_label_target_with_channels_is_refused():
    with pytest.raises(ValueError, match=r"one channel.*\(1, 2, 4\)"):
        split_target(torch.zeros(1, 2, 4))
