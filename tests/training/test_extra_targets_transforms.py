"""Extra targets in nnU-Net's own augmentation: computed from the label that comes out, or carried to it."""

import numpy as np
import pytest
import torch
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from batchgeneratorsv2.transforms.utils.deep_supervision_downsampling import DownsampleSegForDSTransform
from batchgeneratorsv2.transforms.utils.random import RandomTransform
from batchgeneratorsv2.transforms.utils.remove_label import RemoveLabelTransform
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from scipy.ndimage import maximum_filter, minimum_filter
from toy_targets import Balance, Distances, Levels, blobs

from nnunet_ext.training.extra_targets.target import name_with, plain_labels
from nnunet_ext.training.extra_targets.trainer import at_scale_of
from nnunet_ext.training.extra_targets.transforms import ComputeMaps, add_to_pipeline

PATCHES = {"2d": ((32, 40), False), "3d": ((16, 20, 24), False), "dummy 2d": ((6, 32, 40), True)}
REGIONS = [(1, 2), (2,)]
IGNORE = 3
SPACING = (2.5, 1.0, 0.5)


class Steps(Levels):
    """Other values than `Levels`."""

    def compute(self, labels, spacing):
        return (7 * labels[None]).astype(np.float32)


def training_transforms(patch, dummy_2d, cascade=False, regions=None, ignore=None, mirror=True):
    dims = len(patch)
    scales = [[1.0] * dims, [0.5] * dims]
    return nnUNetTrainer.get_training_transforms(
        patch, (-0.5, 0.5), scales, tuple(range(dims)) if mirror else None, dummy_2d,
        use_mask_for_norm=[True, False], is_cascaded=cascade, foreground_labels=[1, 2],
        regions=regions, ignore_label=ignore,
    )  # fmt: skip


def validation_transforms(patch, _dummy_2d, cascade=False, regions=None, ignore=None):
    scales = [[1.0] * len(patch), [0.5] * len(patch)]
    return nnUNetTrainer.get_validation_transforms(scales, cascade, [1, 2], regions, ignore)


def augment_all(pipeline, spatial=True):
    """Every random step is taken; the spatial one rotates and scales, or only cuts out."""
    for step in pipeline.transforms:
        if isinstance(step, RandomTransform):
            step.apply_probability = 1
        if isinstance(step, SpatialTransform):
            step.p_rotation = step.p_scaling = float(spatial)
    return pipeline


def sample(patch, cascade=False, ignore=None, margin=4, dummy_2d=False):
    """Image (2, …) and segmentation (1 or 2, …) larger than the patch, with -1 at one side."""
    shape = tuple(edge if dummy_2d and axis == 0 else edge + margin for axis, edge in enumerate(patch))
    labels = torch.from_numpy(blobs(shape, 1))
    labels[..., -3:] = -1
    if ignore is not None:
        labels[..., 2:5, :] = ignore
    previous = torch.from_numpy(blobs(shape, 2)) if cascade else labels[:0]
    segmentation = torch.stack([labels, previous] if cascade else [labels])
    return torch.randn(2, *shape), segmentation


def run(pipeline, image, segmentation, seed=0):
    torch.manual_seed(seed)
    np.random.seed(seed)
    out = pipeline(image=image.clone(), segmentation=segmentation.clone())
    return out["image"], out["segmentation"]


def final_labels(segmentation, regions, ignore):
    """The labels behind the segmentation that comes out at full resolution; ignored ones are background."""
    full = segmentation[0].numpy()
    if regions:
        labels = full[0].astype(int) + full[1]
        return np.where(full[2], 0, labels) if ignore else labels
    return np.where(full[0] == ignore, 0, full[0])


@pytest.mark.parametrize("make", [training_transforms, validation_transforms])
@pytest.mark.parametrize(("patch", "dummy_2d"), PATCHES.values(), ids=PATCHES)
@pytest.mark.parametrize("cascade", [False, True], ids=["", "cascade"])
@pytest.mark.parametrize("regions", [None, REGIONS], ids=["classes", "regions"])
@pytest.mark.parametrize("ignore", [None, IGNORE], ids=["", "ignore"])
def test_computed_maps_fit_the_label_that_comes_out(make, patch, dummy_2d, cascade, regions, ignore):
    image, segmentation = sample(patch, cascade, ignore, dummy_2d=dummy_2d)
    spacing = SPACING[-len(patch) :]
    counts = np.array([50, 5, 2])
    step = ComputeMaps([Distances(), Balance()], [False, False], spacing, ignore, counts)
    arguments = (patch, dummy_2d, cascade, regions, ignore)
    pipeline = augment_all(add_to_pipeline(make(*arguments), step))
    out, target = run(pipeline, image, segmentation)
    labels = final_labels(target, regions, ignore)
    assert set(np.unique(labels)) == {0, 1, 2}
    assert out.shape[0] == 2 + 2 * cascade + 3
    np.testing.assert_array_equal(out[-3:-1].numpy(), Distances().compute(labels, spacing))
    np.testing.assert_array_equal(out[-1].numpy(), np.float32([1 / 50, 1 / 5, 1 / 2])[labels])
    stock, stock_target = run(augment_all(make(*arguments)), image, segmentation)
    assert torch.equal(out[:-3], stock)  # nnU-Net's own part is untouched
    assert all(map(torch.equal, target, stock_target))


@pytest.mark.parametrize(("patch", "dummy_2d"), PATCHES.values(), ids=PATCHES)
@pytest.mark.parametrize("cascade", [False, True], ids=["", "cascade"])
@pytest.mark.parametrize("regions", [None, REGIONS], ids=["classes", "regions"])
def test_stored_maps_are_cut_and_mirrored_with_the_label(patch, dummy_2d, cascade, regions):
    """Without interpolation the map is exactly that of the label, whatever happens to intensities."""
    target, also = Levels(base=3.0), Steps(base=0.5)
    image, segmentation = sample(patch, cascade, dummy_2d=dummy_2d)
    labels = plain_labels(segmentation[0].numpy(), None)
    maps = np.concatenate([t.compute(labels, ()) for t in (target, also)])
    # stored, computed, stored: the order of the targets is that of the channels
    step = ComputeMaps([target, Distances(), also], [True, False, True], (1.0,) * len(patch), None, None)
    pipeline = augment_all(
        add_to_pipeline(training_transforms(patch, dummy_2d, cascade, regions), step), False
    )
    stock = augment_all(training_transforms(patch, dummy_2d, cascade, regions), False)
    flipped = set()
    for seed in range(4):
        out, seg = run(pipeline, torch.cat([image, torch.from_numpy(maps)]), segmentation, seed)
        found = final_labels(seg, regions, None)
        np.testing.assert_array_equal(out[-4].numpy(), 3.0 + 10 * found)
        np.testing.assert_array_equal(out[-3:-1].numpy(), Distances().compute(found, (1.0,) * len(patch)))
        np.testing.assert_array_equal(out[-1].numpy(), 0.5 + 7 * found)
        assert torch.equal(out[:-4], run(stock, image, segmentation, seed)[0])
        flipped.add(found.tobytes())
    assert len(flipped) > 1


@pytest.mark.parametrize(("patch", "dummy_2d"), PATCHES.values(), ids=PATCHES)
def test_stored_maps_are_rotated_and_scaled_with_the_label(patch, dummy_2d):
    """Inside regions of one label nothing is interpolated between two values."""
    target = Levels(base=3.0)
    image, segmentation = sample(patch, dummy_2d=dummy_2d)
    labels = plain_labels(segmentation[0].numpy(), None)
    maps = torch.from_numpy(target.compute(labels, ()))
    step = ComputeMaps([target], [True], (1.0,) * len(patch), None, None)
    pipeline = augment_all(add_to_pipeline(training_transforms(patch, dummy_2d), step))
    checked = 0
    for seed in range(5):
        out, seg = run(pipeline, torch.cat([image, maps]), segmentation, seed)
        found = final_labels(seg, None, None)
        beyond = {"mode": "constant", "cval": -9}  # a voxel at the patch's border may lie at the image's
        window = [1 if dummy_2d and axis == 0 else 5 for axis in range(len(patch))]
        inside = minimum_filter(found, window, **beyond) == maximum_filter(found, window, **beyond)
        np.testing.assert_allclose(out[-1].numpy()[inside], 3.0 + 10 * found[inside], atol=1e-3)
        checked += np.count_nonzero(inside & (found > 0))
    assert checked > 100


def test_validation_patches_have_stored_maps_too():
    target = Levels(base=3.0)
    image, segmentation = sample((8, 10), margin=0)
    labels = plain_labels(segmentation[0].numpy(), None)
    maps = torch.from_numpy(target.compute(labels, ()))
    step = ComputeMaps([target], [True], (1.0, 1.0), None, None)
    pipeline = add_to_pipeline(validation_transforms((8, 10), False), step)
    out, _ = run(pipeline, torch.cat([image, maps]), segmentation)
    np.testing.assert_array_equal(out[-1].numpy(), 3.0 + 10 * labels)


@pytest.mark.parametrize("steps", [[], [RemoveLabelTransform(-1, 0)] * 2, [RemoveLabelTransform(2, 0)]])
def test_another_list_of_transforms_is_refused(steps):
    step = ComputeMaps([Levels()], [True], (1.0, 1.0), None, None)
    with pytest.raises(RuntimeError, match=r"turn the label -1 into 0; we expect one such step, got [02]"):
        add_to_pipeline(ComposeTransforms(list(steps)), step)


def test_a_map_of_the_wrong_shape_is_refused():
    class Wrong(Levels):
        channels = 2

    pipeline = add_to_pipeline(
        validation_transforms((8, 10), False), ComputeMaps([Wrong()], [False], (1.0, 1.0), None, None)
    )
    with pytest.raises(ValueError, match=r"levels_base=1 is \(2, 8, 10\) for these labels; got \(1, 8, 10\)"):
        run(pipeline, *sample((8, 10), margin=0))


@pytest.mark.parametrize("shape", [(40, 56), (37, 53), (12, 20, 28), (5, 19, 21)], ids=str)
def test_maps_at_lower_scales_belong_to_the_label_voxels(shape):
    scales = [[1.0] * len(shape), [0.5] * len(shape), [1.0, *[0.25] * (len(shape) - 1)]]
    labels = torch.randint(0, 30_000, (1, *shape), dtype=torch.int16)
    for target in DownsampleSegForDSTransform(scales)(segmentation=labels)["segmentation"]:
        maps = at_scale_of(torch.stack([labels.float(), -labels.float()]), target[None])
        assert torch.equal(maps, torch.stack([target.float(), -target.float()]))


def test_plain_labels():
    labels = np.array([[-1, 0, 1], [2, 3, 4]], np.int16)
    assert plain_labels(labels, 4).tolist() == [[0, 0, 1], [2, 3, 0]]
    assert plain_labels(labels, None).tolist() == [[0, 0, 1], [2, 3, 4]]
    assert labels[0, 0] == -1
    assert plain_labels(labels, 4).dtype == np.int16


def test_names_tell_parameters_apart():
    assert name_with("unet", w0=10, sigma=5.0) == "unet_w0=10_sigma=5"
    assert name_with("unet", w0=0.1, sigma=1e-7) == "unet_w0=0.1_sigma=1e-07"
    assert name_with("a", mode="z") == "a_mode=z"
    with pytest.raises(ValueError, match="letters, digits"):
        name_with("a/b")
