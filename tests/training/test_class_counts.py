"""Voxels per class over the training cases of a fold."""

import json

import numpy as np
import pytest
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2, nnUNetDatasetNumpy
from toy_targets import blobs, write_case

from nnunet_ext.errors import UserError
from nnunet_ext.training import class_counts
from nnunet_ext.training.class_counts import training_class_counts


def counted(data, cases, labels=(0, 1, 2), processes=1):
    return training_class_counts(data, nnUNetDatasetBlosc2, cases, labels, processes)


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "nnUNetPlans_3d"
    folder.mkdir()
    for i in range(3):
        write_case(folder, f"case{i}", blobs((4, 7, 6), i))
    return folder


@pytest.fixture
def read(monkeypatch):
    """The cases whose label was read."""
    cases = []
    count = class_counts.CaseCounter.__call__

    def noted(self, identifier):
        cases.append(identifier)
        return count(self, identifier)

    monkeypatch.setattr(class_counts.CaseCounter, "__call__", noted)
    return cases


def naive(seeds):
    labels = np.concatenate([blobs((4, 7, 6), seed).ravel() for seed in seeds])
    return [int((labels == label).sum()) for label in (0, 1, 2)]


def test_literal(tmp_path):
    """-1 is outside and trained as background; 3 is the ignore label; 200 does not fit into int8."""
    labels = np.array([[[-1, -1, 0, 1], [2, 2, 2, 3]]], np.int16)
    write_case(tmp_path, "a", labels)
    write_case(tmp_path, "b", np.full((1, 1, 3), 200, np.int16))
    assert counted(tmp_path, ["a"]).tolist() == [3, 1, 3]
    assert counted(tmp_path, ["a"], labels=(0, 1, 2, 3)).tolist() == [3, 1, 3, 1]
    both = counted(tmp_path, ["a", "b"], labels=(0, 1, 200))
    assert both[[0, 1, 2, 200]].tolist() == [3, 1, 0, 3]
    assert both.dtype == np.int64


def test_each_fold_counts_its_cases_and_each_case_is_read_once(data, read):
    assert counted(data, ["case0", "case1"]).tolist() == naive([0, 1])
    assert counted(data, ["case1", "case2"]).tolist() == naive([1, 2])
    assert counted(data, ["case2", "case0"]).tolist() == naive([0, 2])
    assert sorted(read) == ["case0", "case1", "case2"]
    assert [path.name for path in data.parent.glob("*.json")] == ["nnUNetPlans_3d_class_counts.json"]


def test_changed_labels_are_counted_again(data, read):
    counted(data, ["case0", "case1"])
    write_case(data, "case1", blobs((4, 7, 6), 9))
    assert counted(data, ["case0", "case1"]).tolist() == naive([0, 9])
    assert read == ["case0", "case1", "case1"]


@pytest.mark.parametrize("content", ["{", "[1]", '{"case0": 1}', '{"case0": {"file": null}}'])
def test_a_damaged_file_is_made_again(content, data):
    path = data.parent / "nnUNetPlans_3d_class_counts.json"
    path.write_text(content)
    assert counted(data, ["case0"]).tolist() == naive([0])
    assert json.loads(path.read_text())["case0"]["voxels"]["0"] == naive([0])[0]


def test_nnunets_older_format(tmp_path):
    labels = blobs((1, 7, 6), 0)
    nnUNetDatasetNumpy.save_case(np.zeros((1, 1, 7, 6)), labels[None], {}, str(tmp_path / "case"))
    counts = training_class_counts(tmp_path, nnUNetDatasetNumpy, ["case"], [0, 1, 2])
    assert counts.tolist() == [int((labels == label).sum()) for label in (0, 1, 2)]


def test_in_parts(data, monkeypatch):
    monkeypatch.setattr(class_counts, "_AT_A_TIME", 10)
    assert counted(data, ["case0", "case1"]).tolist() == naive([0, 1])


def test_in_processes(data, monkeypatch):
    monkeypatch.setattr("nnunet_ext.worker_pool.WORTH_PROCESSES", 0.0)
    cases = ["case0", "case1", "case2"]
    assert counted(data, cases, processes=2).tolist() == naive([0, 1, 2])


def test_a_folder_that_cannot_be_written_is_named(data):
    (data.parent / "nnUNetPlans_3d_class_counts.json").mkdir()
    with pytest.raises(UserError, match=r"class_counts\.json"):
        counted(data, ["case0"])
