"""New images to predict, added to a dataset that has test images already: nothing of those is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from nnunet_ext.dataset_conversion import UserError
from nnunet_ext.dataset_conversion.engine.report import Conversion
from nnunet_ext.dataset_conversion.engine.run import convert
from nnunet_ext.dataset_conversion.instances import Instances


def pixels(seed: int, is_label: bool) -> np.ndarray:
    if not is_label:
        return np.random.default_rng(seed).integers(0, 200, (32, 32)).astype(np.uint8)
    ids = np.zeros((32, 32), np.uint8)
    ids[2:12, 2 + seed % 8 : 12 + seed % 8], ids[16:26, 4:14] = 1, 2
    return ids


@pytest.fixture
def save(tmp_path: Path, raw: Path) -> Callable[..., Path]:
    def write(folder: str, *names: str, seed: int = 0) -> Path:
        (tmp_path / folder).mkdir(exist_ok=True)
        for number, name in enumerate(names):
            tifffile.imwrite(tmp_path / folder / f"{name}.tif", pixels(seed + number, "labels" in folder))
        return tmp_path / folder

    return write


@pytest.fixture
def add(save) -> Callable[..., Conversion]:
    """Convert two training images, with the test folders given."""
    images, labels = save("images", "a", "b"), save("labels", "a", "b")
    return lambda *test, **how: convert(Instances(labels=labels, test=test), images, 510, **how)


def contents(folder: Path) -> dict[str, bytes]:
    places = ("imagesTs", "labelsTs", "instancesTs")
    return {
        f"{place}/{file.name}": file.read_bytes() for place in places for file in (folder / place).glob("*")
    }


def test_new_images_from_another_folder(save, add) -> None:
    test = save("test", "t1", "t2", seed=10)
    before = contents(add(test, save("test_labels", "t1", "t2", seed=10)).folder)
    result = add(save("new", "n1", seed=20))
    assert result.converted == 1
    now = contents(result.folder)
    assert set(now) - set(before) == {"imagesTs/n1_0000.png"}
    assert {name: now[name] for name in before} == before
    assert result.report["counts"] == {"train": 2, "val": 0, "test": 3}
    assert result.report["instances"] == {"train": 4, "test": 4}
    kept = {note["kind"]: note["text"] for note in result.report["notes"]}["test cases of an earlier run"]
    assert kept == f"2, from {test}, are kept"
    assert json.loads((result.folder / "dataset.json").read_text())["numTraining"] == 2
    assert add(result.folder.parent.parent / "new").nothing_to_do


def test_no_test_folder_at_all(save, add) -> None:
    first = add(save("test", "t1", seed=10), save("test_labels", "t1", seed=10))
    before = contents(first.folder)
    assert add().nothing_to_do
    assert contents(first.folder) == before


def test_the_same_images_without_their_labels(save, add) -> None:
    test, labels = save("test", "t1", "t2", seed=10), save("test_labels", "t1", "t2", seed=10)
    before = contents(add(test, labels).folder)
    assert add(test).nothing_to_do
    save("test", "t3", seed=30)
    result = add(test)
    assert result.converted == 1
    assert {name: contents(result.folder)[name] for name in before} == before
    assert result.report["instances"]["test"] == 4
    texts = {note["kind"]: note["text"] for note in result.report["notes"]}
    assert texts["test labels of an earlier run"] == "2 test cases keep theirs, as --test names no labels now"


def test_labels_that_come_later(save, add) -> None:
    test = save("test", "t1", seed=10)
    assert "labelsTs/t1.png" not in contents(add(test).folder)
    result = add(test, save("test_labels", "t1", seed=10))
    assert result.converted == 1
    assert "labelsTs/t1.png" in contents(result.folder)


@pytest.mark.parametrize("with_labels", [False, True])
def test_another_image_of_the_same_name_does_not_replace_the_first(save, add, with_labels) -> None:
    test = [save("test", "t1", seed=10), *([save("test_labels", "t1", seed=10)] if with_labels else [])]
    before = contents(add(*test).folder)
    new = save("new", "t1", seed=20)
    with pytest.raises(UserError) as caught:
        add(new)
    assert f"{new / 't1.tif'}: test case 't1' was made from " in str(caught.value)
    assert contents(add(*test).folder) == before


def test_images_that_changed_lose_no_labels(save, add) -> None:
    test = save("test", "t1", seed=10)
    before = contents(add(test, save("test_labels", "t1", seed=10)).folder)
    save("test", "t1", seed=11)
    with pytest.raises(UserError, match="give their labels too"):
        add(test)
    result = add(test, save("test_labels", "t1", seed=10))
    assert result.converted == 1
    assert contents(result.folder)["imagesTs/t1_0000.png"] != before["imagesTs/t1_0000.png"]


def test_a_new_version_of_an_image_is_taken(save, add) -> None:
    test = save("test", "t1", seed=10)
    add(test)
    save("test", "t1", seed=11)
    assert add(test).converted == 1


def test_a_test_image_that_was_removed_from_its_folder_is_still_asked_about(save, add) -> None:
    test = save("test", "t1", "t2", seed=10)
    add(test)
    (test / "t2.tif").unlink()
    with pytest.raises(UserError, match=r"not in the folders given: imagesTs/t2_0000.png"):
        add(test)


def test_overwrite_keeps_what_is_given_only(save, add) -> None:
    add(save("test", "t1", seed=10))
    result = add(overwrite=True)
    assert contents(result.folder) == {}
    assert result.report["counts"]["test"] == 0


def test_a_name_that_differs_in_upper_and_lower_case_only(save, add) -> None:
    first = add(save("test", "t1", seed=10), save("test_labels", "t1", seed=10))
    before = contents(first.folder)
    with pytest.raises(UserError, match=r"T1.tif: test case 'T1' differs from 't1', made from .*t1.tif"):
        add(save("new", "T1", seed=20))
    assert contents(first.folder) == before


def test_a_training_case_of_that_name_but_for_its_letters(save, add) -> None:
    result = add(save("new", "A", seed=20))
    assert set(contents(result.folder)) == {"imagesTs/test_A_0000.png"}
