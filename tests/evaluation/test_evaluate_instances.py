"""Folders of instance maps: each case, all cases together, sizes, spacing, formats, and what is refused."""

import csv
import math

import numpy as np
import pytest
import SimpleITK as sitk
import tifffile
from skimage import io

from nnunet_ext.errors import UserError
from nnunet_ext.images.instance_files import write_instances
from nnunet_ext.metrics import (
    aggregated_jaccard_index,
    compare_summaries,
    contour_f1,
    evaluate_instance_folders,
    load_summary,
    panoptic_quality,
    save_summary,
)

SAME_NAME = (
    *("recall", "f1", "accuracy", "tp", "fp", "fn"),
    *("mean_true_score", "mean_matched_dice", "mean_true_dice"),
)


def cells(rng, shape, n):
    """Boxes of several sizes, some of them touching."""
    instances = np.zeros(shape, np.int64)
    for i in range(1, n + 1):
        edges = [rng.integers(2, max(3, length // 3)) for length in shape]
        corner = [rng.integers(0, length - edge) for length, edge in zip(shape, edges, strict=True)]
        instances[tuple(slice(c, c + e) for c, e in zip(corner, edges, strict=True))] = i
    return instances


def damaged(rng, instances):
    """Shifted by a voxel, one instance lost, two merged, one invented."""
    result = np.roll(instances, 1, -1) * 3
    result[result == 6] = 0
    result[result == 9] = 12
    result[tuple(slice(0, rng.integers(2, 5)) for _ in instances.shape)] = 70_000
    return result


def write(file, instances, spacing=None):
    if file.suffix in (".tif", ".tiff"):
        write_instances(file, instances, spacing)
    elif file.suffix == ".png":
        io.imsave(file, instances.astype(np.uint16), check_contrast=False)
    else:
        image = sitk.GetImageFromArray(instances.astype(np.int32))
        image.SetSpacing((spacing or (1,) * instances.ndim)[::-1])
        sitk.WriteImage(image, str(file))


def make_folders(root, shape=(30, 34), ending=".tif", spacing=None, cases=3):
    rng = np.random.default_rng(0)
    reference, prediction = root / "instancesTs", root / "cells"
    maps = []
    for folder in (reference, prediction):
        folder.mkdir()
    for i in range(cases):
        instances = cells(rng, shape, 5 + 3 * i)
        maps.append((instances, damaged(rng, instances)))
        write(reference / f"case{i}{ending}", maps[-1][0], spacing)
        write(prediction / f"case{i}{ending}", maps[-1][1])
    return (reference, prediction), maps


def values(summary, case=0):
    return summary["metric_per_case"][case]["metrics"]["instances"]


def expected_metrics(reference, prediction):
    at_50, at_75 = panoptic_quality(reference, prediction, [0.5, 0.75])
    return {
        **{"PQ": at_50["pq"], "SQ": at_50["sq"], "RQ": at_50["rq"], "P05": at_50["precision"]},
        **{key: at_50[key] for key in (*SAME_NAME, "n_true", "n_pred")},
        **{"PQ@0.75": at_75["pq"], "SQ@0.75": at_75["sq"], "RQ@0.75": at_75["rq"]},
        **{f"{key}@0.75": at_75[key] for key in (*SAME_NAME, "precision")},
        "AJI": aggregated_jaccard_index(reference, prediction),
        **{f"ContourF1@{t}": contour_f1(reference, prediction, t) for t in range(2, 8)},
    }


@pytest.mark.parametrize(
    ("shape", "ending"), [((30, 34), ".tif"), ((12, 20, 18), ".tif"), ((12, 20, 18), ".nii.gz")]
)
def test_each_case_has_what_the_array_functions_give(tmp_path, shape, ending):
    folders, maps = make_folders(tmp_path, shape, ending)
    summary = evaluate_instance_folders(*folders, ious=[0.75])
    for i, (reference, prediction) in enumerate(maps):
        assert values(summary, i) == pytest.approx(expected_metrics(reference, prediction))
        assert 0 < values(summary, i)["PQ"] < 1
        assert 0 < values(summary, i)["ContourF1@2"] < 1
    mean = np.mean([values(summary, i)["PQ"] for i in range(3)])
    assert summary["mean"]["instances"]["PQ"] == summary["foreground_mean"]["PQ"] == pytest.approx(mean)


def test_pooled_equals_one_large_image_of_all_cases(tmp_path):
    folders, maps = make_folders(tmp_path)
    summary = evaluate_instance_folders(*folders, ious=[0.75])
    for i, pair in enumerate(maps):
        for instances in pair:
            instances[instances > 0] += 10**6 * i
    rows = [np.hstack(side) for side in zip(*maps, strict=True)]
    pooled = {key: value for key, value in expected_metrics(*rows).items() if "Contour" not in key}
    assert {key: summary["pooled"][key] for key in pooled} == pytest.approx(pooled)
    assert summary["pooled"]["PQ"] != pytest.approx(summary["mean"]["instances"]["PQ"], abs=1e-6)


def test_pooled_contours_weigh_voxels(tmp_path):
    folders, _ = make_folders(tmp_path, cases=2)
    small, large = np.zeros((2, 40, 40), int)
    small[1:4, 1:4] = 1  # 8 contour voxels, all found
    large[10:30, 10:30] = 1  # 76, none found
    for name, reference, prediction in (("case0", small, small), ("case1", large, np.roll(small, 35, 1))):
        write(folders[0] / f"{name}.tif", reference)
        write(folders[1] / f"{name}.tif", prediction)
    pooled = evaluate_instance_folders(*folders, tolerances=[2])["pooled"]["ContourF1@2"]
    precision, recall = 8 / 16, 8 / 84
    assert pooled == pytest.approx(2 * precision * recall / (precision + recall))


def test_by_size(tmp_path):
    folders, _ = make_folders(tmp_path, cases=1)
    reference = np.array([[1, 0, 2, 2, 0, 3, 3, 3, 3, 0, 4, 4, 4, 4, 4, 4, 4, 4, 0, 0]])
    prediction = np.array([[0, 0, 2, 2, 0, 3, 3, 3, 5, 5, 4, 4, 4, 4, 4, 0, 0, 0, 0, 6]])
    write(folders[0] / "case0.tif", reference)
    write(folders[1] / "case0.tif", prediction)
    bins = evaluate_instance_folders(*folders, size_bins=[2, 5])["by_size"]
    assert [(row["from"], row["below"]) for row in bins] == [(0, 2), (2, 5), (5, None)]
    # 4 is matched by 5 of its 8 voxels: in the bin of the reference's size, 8, which is where both are.
    assert [(row["tp"], row["fp"], row["fn"]) for row in bins] == [(0, 1, 1), (2, 1, 0), (1, 0, 0)]
    assert [row["PQ"] for row in bins] == pytest.approx([0, (1 + 3 / 4) / 2.5, 5 / 8])
    thirds = evaluate_instance_folders(*folders)["by_size"]  # of 1 2 4 8: above the first, above the second
    assert [(row["from"], row["n_true"]) for row in thirds] == [(0, 1), (2, 1), (4, 2)]
    write(folders[0] / "case0.tif", np.array([[1, 1, 0, 2, 2] * 4]))
    assert len(evaluate_instance_folders(*folders)["by_size"]) == 1  # all of one size
    everything = evaluate_instance_folders(*folders, size_bins=[])
    assert everything["by_size"][0]["PQ"] == everything["pooled"]["PQ"]
    assert len(everything["by_size"]) == 1


def test_a_match_larger_than_its_reference_stays_in_the_bin_of_the_reference(tmp_path):
    folders, _ = make_folders(tmp_path, cases=1)
    write(folders[0] / "case0.tif", np.array([[1, 1, 1, 0, 0]]))
    write(folders[1] / "case0.tif", np.array([[1, 1, 1, 1, 1]]))
    bins = evaluate_instance_folders(*folders, size_bins=[4])["by_size"]
    assert [(row["tp"], row["fp"], row["fn"]) for row in bins] == [(1, 0, 0), (0, 0, 0)]
    assert math.isnan(bins[1]["PQ"])


def test_spacing_counts_in_voxels_of_the_finest_axis_or_physically(tmp_path):
    spacing = (1.5, 0.25, 0.5)
    folders, maps = make_folders(tmp_path, (12, 20, 18), spacing=spacing, cases=1)
    in_voxels = evaluate_instance_folders(*folders)
    assert values(in_voxels)["ContourF1@3"] == contour_f1(*maps[0], 3, (6, 1, 2))
    assert values(in_voxels)["ContourF1@3"] != contour_f1(*maps[0], 3)
    physical = evaluate_instance_folders(*folders, physical=True, tolerances=[0.5, 1])
    assert values(physical)["ContourF1@0.5"] == contour_f1(*maps[0], 0.5, spacing)
    edges = [row["from"] for row in in_voxels["by_size"]]
    assert [row["from"] for row in physical["by_size"]] == [edge * 1.5 * 0.25 * 0.5 for edge in edges]
    assert [row["tp"] for row in physical["by_size"]] == [row["tp"] for row in in_voxels["by_size"]]
    assert physical["settings"]["unit"] == "physical"
    other = evaluate_instance_folders(*folders, spacing=(1, 1, 1))
    assert values(other)["ContourF1@3"] == contour_f1(*maps[0], 3)


def test_png_and_a_nifti_of_one_slice(tmp_path):
    (reference, prediction), maps = make_folders(tmp_path, ending=".png", cases=1)
    maps = [array.astype(np.uint16) for array in maps[0]]  # the invented 70 000 wraps
    expected = panoptic_quality(*maps)
    assert values(evaluate_instance_folders(reference, prediction))["PQ"] == expected["pq"]
    for folder, instances in ((reference, maps[0]), (prediction, maps[1])):
        write(folder / "case0.nii.gz", instances[None], (9, 0.5, 0.5))
    both = evaluate_instance_folders(reference, prediction)  # NIfTI goes before png
    assert both["metric_per_case"][0]["reference_file"].endswith("case0.nii.gz")
    assert values(both)["ContourF1@2"] == contour_f1(*maps, 2)


def test_cases_without_instances_are_left_out_of_means(tmp_path):
    folders, _ = make_folders(tmp_path, cases=2)
    for folder in folders:
        write(folder / "case1.tif", np.zeros((30, 34), int))
    summary = evaluate_instance_folders(*folders)
    nothing = values(summary, 1)
    assert all(
        math.isnan(nothing[key]) for key in ("PQ", "SQ", "P05", "AJI", "ContourF1@2", "mean_matched_dice")
    )
    assert (nothing["tp"], nothing["n_true"]) == (0, 0)
    assert summary["mean"]["instances"]["PQ"] == values(summary)["PQ"] == summary["pooled"]["PQ"]
    write(folders[0] / "case0.tif", np.zeros((30, 34), int))
    assert len(evaluate_instance_folders(*folders)["by_size"]) == 1  # no reference to make thirds of


def test_saved_and_compared(tmp_path):
    folders, maps = make_folders(tmp_path)
    summary = evaluate_instance_folders(*folders, ious=[0.75])
    json_file, csv_file = save_summary(summary, tmp_path / "a.json")
    with csv_file.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["case"] for row in rows] == ["case0.tif", "case1.tif", "case2.tif"]
    assert float(rows[2]["PQ"]) == values(summary, 2)["PQ"]
    for i, (reference, _) in enumerate(maps):
        write(folders[1] / f"case{i}.tif", reference)
    perfect = evaluate_instance_folders(*folders, ious=[0.75])
    tests = {
        row.metric: row
        for row in compare_summaries(load_summary(json_file), perfect)
        if row.class_key == "instances"
    }
    assert list(tests) == ["PQ", "SQ", "RQ", "P05", "recall", "AJI", "ContourF1@2", "mean_matched_dice"]
    assert tests["PQ"].mean_b == 1
    assert tests["PQ"].mean_a == pytest.approx(summary["mean"]["instances"]["PQ"])
    assert tests["PQ"].p == 0.25
    named = compare_summaries(summary, perfect, ["PQ@0.75", "fn@0.75", "ContourF1@7", "n_pred"])
    assert [row.higher_is_better for row in named] == [True, False, True, None]


@pytest.mark.slow
def test_several_processes_give_the_same(tmp_path):
    folders, _ = make_folders(tmp_path, (12, 14))
    assert evaluate_instance_folders(*folders, processes=2) == evaluate_instance_folders(*folders)


def test_every_unusable_case_is_named(tmp_path):
    (reference, prediction), maps = make_folders(tmp_path, cases=6)
    write(prediction / "case0.tif", maps[0][1][:, :-1])
    (prediction / "case1.tif").write_bytes(b"broken")
    tifffile.imwrite(reference / "case2.tif", maps[2][0].astype(np.float32) / 2)
    tifffile.imwrite(prediction / "case3.tif", maps[3][0].astype(np.int16) - 1)
    with pytest.raises(UserError) as error:
        evaluate_instance_folders(reference, prediction)
    header, *lines = str(error.value).splitlines()
    assert header == "4 of 6 cases cannot be evaluated:"
    for line, words in zip(
        lines,
        (
            ("cells/case0.tif", "shape (30, 33), but the reference has (30, 34)"),
            ("cells/case1.tif", "cannot be read"),
            ("instancesTs/case2.tif", "whole numbers"),
            ("cells/case3.tif", "got -1"),
        ),
        strict=True,
    ):
        assert all(word in line for word in words), line
        assert line.count(words[0]) == 1


def test_colours_are_no_ids(tmp_path):
    folders, _ = make_folders(tmp_path, ending=".png", cases=1)
    io.imsave(folders[1] / "case0.png", np.zeros((30, 34, 3), np.uint8), check_contrast=False)
    with pytest.raises(UserError, match=r"case0.png: expected one channel of instance ids, got 3"):
        evaluate_instance_folders(*folders)


def test_a_stack_that_is_cut_or_no_label_map_is_refused(tmp_path):
    folders, _ = make_folders(tmp_path, shape=(4, 20, 24), cases=3)
    first, second, third = (folders[1] / f"case{number}.tif" for number in range(3))
    first.write_bytes(first.read_bytes()[:-60])
    tifffile.imwrite(second, np.zeros((2, 20, 24), np.uint16), imagej=True, metadata={"axes": "CYX"})
    tifffile.imwrite(third, np.zeros((20, 24, 3), np.uint8), photometric="rgb")
    with pytest.raises(UserError, match=r"3 of 3 cases cannot be evaluated") as caught:
        evaluate_instance_folders(*folders)
    text = str(caught.value)
    assert f"{first}: is damaged or cut short" in text
    assert f"{second}: holds 2 channels or colours" in text
    assert f"{third}: holds 3 channels or colours" in text


def test_missing_cases_and_folders(tmp_path):
    (reference, prediction), _ = make_folders(tmp_path)
    (prediction / "case1.tif").unlink()
    with pytest.raises(UserError, match=r"for 1 references: case1.tif\n.*--chill"):
        evaluate_instance_folders(reference, prediction)
    assert len(evaluate_instance_folders(reference, prediction, chill=True)["metric_per_case"]) == 2
    with pytest.raises(UserError, match="There is no folder"):
        evaluate_instance_folders(reference, tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"No instance maps in .*\.tif, .*\.png"):
        evaluate_instance_folders(tmp_path, prediction)
    with pytest.raises(UserError, match=r"No instance maps in .*\.tif, .*\.png"):
        evaluate_instance_folders(reference, tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ious": [1]}, "--iou: expected a threshold from 0 to below 1, got 1"),
        ({"tolerances": [-2]}, "--tolerance is 0 or more"),
        ({"size_bins": [100, 20]}, "--size-bins 100 20: .*increase"),
        ({"size_bins": [0, 20]}, "--size-bins 0 20"),
        ({"spacing": (1, 1, 1)}, "case0.tif: spacing: expected 2 positive numbers"),
        ({"physical": True}, "--physical: .*give --tolerance"),
        ({"physical": True, "tolerances": [2]}, "case0.tif: has no spacing.*--spacing"),
    ],
)
def test_options_that_make_no_sense(tmp_path, options, message):
    folders, _ = make_folders(tmp_path, cases=1)
    with pytest.raises(UserError, match=message):
        evaluate_instance_folders(*folders, **options)


def test_predicted_classes_are_not_taken_for_instances(tmp_path):
    for folder in ("reference", "predicted"):
        (tmp_path / folder).mkdir()
        write_instances(tmp_path / folder / "a.tif", np.eye(4, dtype=int))
    (tmp_path / "predicted" / "dataset.json").write_text("{}")
    with pytest.raises(UserError, match="nnunet_ext instances -i"):
        evaluate_instance_folders(tmp_path / "reference", tmp_path / "predicted")
