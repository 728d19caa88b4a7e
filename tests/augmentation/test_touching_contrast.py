"""The contrast of touching zones, against its definition voxel by voxel."""

import itertools

import numpy as np
import pytest
import torch
from scipy.interpolate import interpn

from nnunet_ext.augmentation import TouchingContrastTransform, modulate_touching_contrast


def reference(image, labels, factor, window):
    """One voxel after the other, with block medians interpolated by SciPy."""
    result = image.astype(float).copy()
    for channel in range(len(image)):
        plane = image[channel]
        cells = plane[labels == 1]
        sizes = [min(window, size) for size in labels.shape]
        grid = [range(0, size, width) for size, width in zip(labels.shape, sizes, strict=True)]
        medians = np.empty([len(starts) for starts in grid])
        for index in np.ndindex(medians.shape):
            box = tuple(slice(i * width, (i + 1) * width) for i, width in zip(index, sizes, strict=True))
            inside = np.sort(plane[box][labels[box] == 1])
            pool = inside if inside.size else np.sort(cells)
            medians[index] = pool[(pool.size - 1) // 2]  # the lower one, as torch has it
        centres = [np.array(starts) + (width - 1) / 2 for starts, width in zip(grid, sizes, strict=True)]
        outside = np.sort(plane[labels == 0])
        for voxel in itertools.product(*map(range, labels.shape)):
            if labels[voxel] != 2:
                continue
            at = [np.clip(v, c[0], c[-1]) for v, c in zip(voxel, centres, strict=True)]
            keep = [i for i, c in enumerate(centres) if len(c) > 1]
            local = (
                interpn([centres[i] for i in keep], medians.squeeze(), [[at[i] for i in keep]])[0]
                if keep
                else medians.item()
            )
            value = plane[voxel] + factor * (local - plane[voxel])
            if outside.size:
                floor = outside[(outside.size - 1) // 2]
                value = max(value, min(floor, plane[voxel]))
            result[(channel, *voxel)] = value
    return result


@pytest.mark.parametrize("shape", [(13,), (9, 14), (5, 9, 8)])
@pytest.mark.parametrize("factor", [-1.0, -0.3, 0.7, 1.0])
def test_equals_the_definition(shape, factor):
    rng = np.random.default_rng(3)
    labels = rng.choice([0, 1, 2, 3], shape, p=[0.2, 0.5, 0.2, 0.1])
    image = rng.normal(size=(2, *shape))
    got = modulate_touching_contrast(torch.from_numpy(image), torch.from_numpy(labels), factor, window=4)
    np.testing.assert_allclose(got, reference(image, labels, factor, 4), atol=1e-12)


def test_what_the_factors_mean():
    image = torch.tensor([[8.0, 8.0, 5.0, 8.0, 8.0, 1.0]])
    labels = torch.tensor([1, 1, 2, 1, 1, 0])
    for factor, touching in ((1.0, 8.0), (0.0, 5.0), (-1.0, 2.0)):
        expected = image.clone()
        expected[0, 2] = touching
        assert torch.equal(modulate_touching_contrast(image, labels, factor), expected)


def test_not_darker_than_the_background_unless_it_was():
    image = torch.tensor([[8.0, 8.0, 5.0, 3.0, 4.0, 4.0]])
    labels = torch.tensor([1, 1, 2, 2, 0, 0])
    got = modulate_touching_contrast(image, labels, -1.0)
    assert got.tolist() == [[8.0, 8.0, 4.0, 3.0, 4.0, 4.0]]


@pytest.mark.parametrize("labels", [[1, 1, 0], [2, 2, 0], [0, 0, 0], [-1, 3, 0]])
def test_nothing_to_blend_changes_nothing(labels):
    image = torch.tensor([[1.0, 2.0, 3.0]])
    assert torch.equal(modulate_touching_contrast(image, torch.tensor(labels), 0.5), image)


def test_wrong_shape():
    with pytest.raises(ValueError, match="image's spatial shape"):
        modulate_touching_contrast(torch.zeros(1, 3), torch.zeros(1, 3), 0.5)


def test_transform_draws_one_factor_and_leaves_labels_and_input_alone():
    np.random.seed(0)
    image = torch.full((2, 8, 8), 6.0)
    labels = torch.ones(1, 8, 8, dtype=torch.int16)
    labels[0, 3] = 2
    image[:, 3] = 2.0
    before = image.clone(), labels.clone()
    seen = []
    for _ in range(200):
        out = TouchingContrastTransform()(image=image, segmentation=labels)
        assert torch.equal(out["segmentation"], before[1])
        assert torch.equal(image, before[0])
        values = out["image"][:, 3].unique()
        assert len(values) == 1
        seen.append((values.item() - 2) / 4)
    assert -1 <= min(seen) < -0.9
    assert 0.9 < max(seen) <= 1
    assert abs(np.mean(seen)) < 0.15


def test_every_second_sample_is_left_alone():
    np.random.seed(0)
    image, labels = torch.full((1, 8, 8), 6.0), torch.ones(1, 8, 8, dtype=torch.int16)
    labels[0, 3], image[:, 3] = 2, 2.0
    transform = TouchingContrastTransform(probability=0.5)
    changed = [
        not torch.equal(transform(image=image, segmentation=labels)["image"], image) for _ in range(200)
    ]
    assert 80 < sum(changed) < 120


class Loader:
    """A data loader of batchgenerators that yields the same sample over and over."""

    def set_thread_id(self, thread_id):
        self.worker = thread_id

    def __next__(self):
        labels = torch.ones(1, 4, 4, dtype=torch.int16)
        labels[0, 1] = 2
        return {"image": torch.where(labels == 2, 2.0, 6.0), "segmentation": labels, "worker": self.worker}


class Draw:
    """The transform, of whose result only a number goes back to the parent process."""

    def __init__(self):
        self.transform = TouchingContrastTransform(probability=0.7)

    def __call__(self, worker, **sample):
        return {"worker": worker, "value": self.transform(**sample)["image"][0, 1, 0].item()}


@pytest.mark.slow
def test_workers_of_nnunets_loader_draw_different_numbers():
    from batchgenerators.dataloading.nondet_multi_threaded_augmenter import NonDetMultiThreadedAugmenter

    augmenter = NonDetMultiThreadedAugmenter(Loader(), Draw(), 2)
    draws = {0: [], 1: []}
    try:
        while min(map(len, draws.values())) < 6:
            sample = next(augmenter)
            draws[sample["worker"]].append(sample["value"])
    finally:
        augmenter._finish()
    assert len(set(draws[0])) > 1
    assert not set(draws[0]) & set(draws[1]) - {2.0}  # 2: left alone
