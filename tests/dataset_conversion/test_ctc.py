"""The Cell Tracking Challenge in miniature: 2D and 3D, gold, silver and simulated truth, cells left out."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import tifffile
from reports import notes
from skimage import io

from nnunet_ext.dataset_conversion import UserError
from nnunet_ext.dataset_conversion.ctc.converter import Ctc
from nnunet_ext.dataset_conversion.ctc.table import TABLE
from nnunet_ext.dataset_conversion.engine.run import convert
from nnunet_ext.images.instance_files import read_instances

FLAT, STACK = (96, 100), (6, 40, 44)
CORNERS = [(30, 30), (30, 40), (44, 34)]  # of cells of 10 x 10; two touch, a gap to the third
IGNORE = 4


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, pixels)


def frame(shape: Sequence[int], dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 250, shape).astype(dtype)


def flat(corners: Sequence[tuple[int, int]], size: int = 10, first: int = 1) -> np.ndarray:
    ids = np.zeros(FLAT, np.uint16)
    for number, (y, x) in enumerate(corners, first):
        ids[y : y + size, x : x + size] = number
    return ids


@pytest.fixture
def hela(tmp_path: Path) -> Path:
    """Gold truth of frames 0, 2 (a cell left out) and 5 (which has no markers); silver of 0 to 3."""
    root = tmp_path / "Fluo-N2DL-HeLa/Fluo-N2DL-HeLa"
    for sequence in ("01", "02"):
        for number in range(6):
            write(root / f"{sequence}/t{number:03d}.tif", frame(FLAT))
            # markers are smaller than cells, have ids of their own, and there is one at the border
            markers = flat([(y + 3, x + 3) for y, x in [*CORNERS, (2, 2)]], 4, first=7)
            if number < 5:
                write(root / f"{sequence}_GT/TRA/man_track{number:03d}.tif", markers)
        for number, corners in ((0, CORNERS), (2, CORNERS[:2]), (5, CORNERS)):
            write(root / f"{sequence}_GT/SEG/man_seg{number:03d}.tif", flat(corners))
        for number in range(4):
            write(root / f"{sequence}_ST/SEG/man_seg{number:03d}.tif", flat([*CORNERS, (5, 5)]))
        (root / f"{sequence}_GT/TRA/man_track.txt").write_text("7 0 4 0\n8 0 4 0\n")
        (root / f"{sequence}_GT/SEG/Thumbs.db").write_bytes(b"no image")
    return root


def test_gold(hela: Path, raw: Path, accept: Callable[[Path], dict]) -> None:
    result = convert(Ctc(), hela.parent, 530)
    report = result.report
    assert sorted(report["cases"]) == [f"{s}_t{n}" for s in ("01", "02") for n in ("000", "002", "005")]
    folds = json.loads((result.folder / "splits_final.json").read_text())
    assert [{case[:2] for case in fold["val"]} for fold in folds] == [{"01"}, {"02"}]

    complete, cells = io.imread(result.folder / "labelsTr/01_t000.png"), flat(CORNERS) > 0
    inside = np.zeros(FLAT, bool)
    inside[25:-25, 25:-25] = True
    assert set(np.unique(complete[cells])) == {1, 2}
    assert (complete[30:40, 38:42] == 2).all()
    assert set(np.unique(complete[inside & ~cells])) == {0, 3}
    assert (complete[~inside & ~cells] == IGNORE).all()

    partly = io.imread(result.folder / "labelsTr/01_t002.png")
    assert (partly[flat(CORNERS[:2]) == 0] == IGNORE).all()
    np.testing.assert_array_equal(partly > 0, True)
    np.testing.assert_array_equal(partly == IGNORE, flat(CORNERS[:2]) == 0)
    unchecked = io.imread(result.folder / "labelsTr/01_t005.png")
    np.testing.assert_array_equal(unchecked == IGNORE, ~cells)
    assert notes(report, "partly annotated") == [
        f"{s}_GT/SEG/man_seg002.tif: 1 of 3 markers lie in no cell (9): background is ignored"
        for s in ("01", "02")
    ]
    assert [text[:24] for text in notes(report, "no markers to check the annotation by")] == [
        "01_GT/SEG/man_seg005.tif",
        "02_GT/SEG/man_seg005.tif",
    ]
    ids, spacing = read_instances(result.folder / "instancesTr/01_t000.tif")
    np.testing.assert_array_equal(ids, flat(CORNERS))
    assert spacing == pytest.approx((0.645, 0.645))
    assert json.loads((result.folder / "dataset.json").read_text())["labels"]["ignore"] == IGNORE
    assert "01/t001.tif" in report["unused_files"]
    accept(result.folder)


def test_silver_has_no_border_to_ignore(hela: Path, raw: Path) -> None:
    result = convert(Ctc(truth="silver"), hela, 530)
    assert sorted(result.report["cases"]) == [f"{s}_t{n:03d}" for s in ("01", "02") for n in range(4)]
    label = io.imread(result.folder / "labelsTr/02_t003.png")
    np.testing.assert_array_equal(np.isin(label, (1, 2)), flat([*CORNERS, (5, 5)]) > 0)
    assert set(np.unique(label)) == {0, 1, 2, 3}


def test_both(hela: Path, raw: Path) -> None:
    result = convert(Ctc(truth="both"), hela, 530)
    assert [case[3:] for case in sorted(result.report["cases"])[:5]] == [
        "t000",
        "t001",
        "t002",
        "t003",
        "t005",
    ]
    assert result.report["cases"]["01_t002"]["instances"] == 2  # gold
    assert result.report["cases"]["01_t003"]["instances"] == 4  # silver


def test_which_background_is_known(hela: Path, raw: Path) -> None:
    def label(dataset_id: int, case: str, **options: object) -> np.ndarray:
        folder = convert(Ctc(**options), hela, dataset_id, f"D{dataset_id}").folder
        return io.imread(folder / f"labelsTr/{case}.png")

    assert IGNORE not in label(1, "01_t002", background="all", border=0)
    np.testing.assert_array_equal(label(2, "01_t000", background="none") == IGNORE, flat(CORNERS) == 0)
    near = label(3, "01_t002", missing_radius=3, border=0) == IGNORE
    # with a border of 0 the marker in the corner (of a cell nobody drew) counts as well
    y, x = np.indices(FLAT)
    expected = np.zeros(FLAT, bool)
    for top, left in ((47, 37), (5, 5)):
        dy = np.maximum(np.maximum(top - y, y - top - 3), 0)
        dx = np.maximum(np.maximum(left - x, x - left - 3), 0)
        expected |= np.hypot(dy, dx) <= 3
    np.testing.assert_array_equal(near, expected)
    assert (label(4, "01_t000", border=10) == IGNORE).sum() == 96 * 100 - 76 * 80


def test_tif_of_16_bits_and_four_digits(tmp_path: Path, raw: Path) -> None:
    root = tmp_path / "BF-C2DL-HSC"
    for number in range(2):
        write(root / f"01/t{number:04d}.tif", frame(FLAT, np.uint16) * 200)
        write(root / f"01_GT/SEG/man_seg{number:04d}.tif", flat(CORNERS))
    test = tmp_path / "test/BF-C2DL-HSC"
    write(test / "01/t0000.tif", frame(FLAT, np.uint16))
    result = convert(Ctc(background="all", test=test.parent), root, 530)
    assert sorted(result.report["cases"]) == ["01_t0000", "01_t0001", "test_01_t0000"]
    image = tifffile.imread(result.folder / "imagesTr/01_t0001_0000.tif")
    np.testing.assert_array_equal(image, frame(FLAT, np.uint16) * 200)
    assert len(json.loads((result.folder / "splits_final.json").read_text())) == 2


@pytest.fixture
def a549(tmp_path: Path) -> Path:
    """Slices 1 and 4 of frame 0 and slice 2 of frame 1; slice 4 lacks a cell that has a marker."""
    root = tmp_path / "Fluo-C3DH-A549"
    cells = np.zeros(STACK, np.uint16)
    cells[:, 5:15, 5:15], cells[:, 5:15, 15:25], cells[:, 25:35, 8:18] = 4, 9, 2
    for number in range(2):
        write(root / f"01/t{number:03d}.tif", frame(STACK, np.uint16))
        markers = np.zeros(STACK, np.uint16)
        markers[:, 8:12, 8:12], markers[:, 8:12, 18:22], markers[4, 28:32, 11:15] = 1, 2, 3
        write(root / f"01_GT/TRA/man_track{number:03d}.tif", markers)
    for number, z in ((0, 1), (0, 4), (1, 2)):
        plane = np.where(cells[z] == 2, 0, cells[z]) if z == 4 else cells[z]
        write(root / f"01_GT/SEG/man_seg_{number:03d}_{z:03d}.tif", plane.astype(np.uint16))
    return root


def test_slices_of_a_stack(a549: Path, raw: Path, accept: Callable[[Path], dict]) -> None:
    result = convert(Ctc(), a549, 530)
    label = tifffile.imread(result.folder / "labelsTr/01_t000.tif")
    assert (label[[0, 2, 3, 5]] == IGNORE).all()
    assert set(np.unique(label[1])) == {0, 1, 2, 3}  # a gap and a touching band within the slice
    assert (label[4, 5:15, 5:25] != IGNORE).all()
    assert (label[4] == IGNORE).sum() == 40 * 44 - 10 * 20
    ids, spacing = read_instances(result.folder / "instancesTr/01_t000.tif")
    assert spacing == pytest.approx((1.0, 0.126, 0.126))
    assert np.unique(ids[1]).tolist() == [0, 1, 2, 3]
    assert np.unique(ids[4]).tolist() == [0, 4, 5]
    assert notes(result.report, "single slices")[0] == (
        "01/t000.tif: 2 of 6 slices are annotated, the others are ignored"
    )
    assert notes(result.report, "partly annotated") == [
        "01_GT/SEG/man_seg_000_004.tif: 1 of 3 markers lie in no cell (3): background is ignored"
    ]
    assert json.loads((result.folder / "labelsTr/01_t000.json").read_text()) == {
        "spacing": [1.0, 0.126, 0.126]
    }
    accept(result.folder)


def test_wrong_slices_are_named(a549: Path, raw: Path) -> None:
    seg = a549 / "01_GT/SEG"
    (seg / "man_seg_001_002.tif").rename(seg / "man_seg_001_006.tif")
    write(seg / "man_seg000.tif", np.zeros(STACK, np.uint16))
    write(seg / "man_seg_003_001.tif", np.zeros(STACK[1:], np.uint16))
    with pytest.raises(UserError) as caught:
        convert(Ctc(), a549, 530)
    text = str(caught.value)
    assert "01_GT/SEG/man_seg_001_006.tif: 40x44, slice 6; 01/t001.tif is 6x40x44" in text
    assert (
        "01_GT/SEG/man_seg000.tif: 6x40x44, for the whole frame, as there are slices; 01/t000.tif is" in text
    )
    assert "01/t003.tif: missing" in text


def test_simulated_truth_is_complete(tmp_path: Path, raw: Path) -> None:
    root = tmp_path / "Fluo-N3DH-SIM+"
    cells = np.zeros(STACK, np.uint16)
    cells[1:5, 5:15, 5:15], cells[1:5, 5:15, 15:25] = 1, 2
    for number in range(2):
        write(root / f"02/t{number:03d}.tif", frame(STACK))
        write(root / f"02_GT/SEG/man_seg{number:03d}.tif", cells)
        write(root / f"02_GT/TRA/man_track{number:03d}.tif", cells)
    result = convert(Ctc(), root, 530)
    assert "ignore" not in json.loads((result.folder / "dataset.json").read_text())["labels"]
    label = tifffile.imread(result.folder / "labelsTr/02_t001.tif")
    np.testing.assert_array_equal(np.isin(label, (1, 2)), cells > 0)
    write(root / "02_GT/SEG/man_seg001.tif", np.where(cells == 2, 0, cells).astype(np.uint16))
    with pytest.raises(
        UserError, match=r"man_seg001\.tif: 1 of 2 markers .* \(2\).*simulated truth is complete"
    ):
        convert(Ctc(), root, 531, "Other")
    skipped = convert(Ctc(), root, 531, "Other", on_error="skip")
    assert sorted(skipped.report["cases"]) == ["02_t000"]


def test_lineages_have_no_background(tmp_path: Path, raw: Path) -> None:
    root = tmp_path / "Fluo-N3DL-DRO"
    cells = np.zeros(STACK, np.uint16)
    cells[1:5, 5:15, 5:15] = 1
    write(root / "01/t000.tif", frame(STACK))
    write(root / "01_GT/SEG/man_seg000.tif", cells)
    write(root / "01_GT/TRA/man_track000.tif", cells)
    result = convert(Ctc(background="all"), root, 530)
    label = tifffile.imread(result.folder / "labelsTr/01_t000.tif")
    np.testing.assert_array_equal(label, np.where(cells, 1, IGNORE))
    assert len(notes(result.report, "no background")) == 1


def test_names_and_voxel_sizes(hela: Path, raw: Path) -> None:
    renamed = hela.rename(hela.with_name("mine"))
    with pytest.raises(
        UserError, match=r"'mine' is no dataset of the challenge .* --dataset, one of: BF-C2DL-HSC"
    ):
        convert(Ctc(), renamed, 530)
    result = convert(Ctc(dataset="Fluo-C2DL-MSC", border=0), renamed, 530)
    spacings = [read_instances(result.folder / f"instancesTr/{s}_t000.tif")[1] for s in ("01", "02")]
    assert spacings == [pytest.approx((0.3, 0.3)), pytest.approx((0.3977, 0.3977))]
    other = convert(Ctc(dataset="other", spacing=(0.5, 0.4)), renamed, 531, "Other").folder
    assert read_instances(other / "instancesTr/01_t000.tif")[1] == pytest.approx((0.5, 0.4))
    with pytest.raises(UserError, match=r"01/t000\.tif: is 96x100, but the data are 3D"):
        convert(Ctc(dataset="Fluo-N3DH-CE"), renamed, 532)
    for name, about in TABLE.items():
        if about.spacing and about.dimension:
            assert len(about.spacing) == about.dimension == (3 if "3D" in name else 2), name
            assert about.spacing[0] >= about.spacing[-1], name  # z is first, and the coarsest


def test_truth_that_is_not_there(a549: Path, raw: Path) -> None:
    with pytest.raises(UserError, match=r"has no silver truth; segmentations are in: 01_GT \(--truth\)"):
        convert(Ctc(truth="silver"), a549, 530)
    with pytest.raises(UserError, match=r"--border -1 is not possible: give 0 or more"):
        Ctc(border=-1)
    write(a549 / "01_GT/TRA/man_track000.tif", np.zeros(STACK[1:], np.uint16))
    with pytest.raises(UserError, match=r"TRA/man_track000\.tif: "):
        convert(Ctc(), a549, 530)


def test_two_files_of_one_slice(a549: Path, raw: Path) -> None:
    file = a549 / "01_GT/SEG/man_seg_000_001.tif"
    file.with_suffix(".tiff").write_bytes(file.read_bytes())
    with pytest.raises(
        UserError,
        match=r"man_seg_000_001.tif, .*man_seg_000_001.tiff: one file is exp",
    ):
        convert(Ctc(), a549, 530)


def test_labels_in_colour_are_refused(hela: Path, raw: Path) -> None:
    file = hela / "01_GT/SEG/man_seg000.tif"
    tifffile.imwrite(file, np.repeat(flat(CORNERS)[..., None], 3, axis=2), photometric="rgb")
    with pytest.raises(UserError, match=r"man_seg000.tif: .*channel"):
        convert(Ctc(), hela, 530)


def test_nothing_is_said_of_what_the_challenge_always_holds(hela: Path, raw: Path) -> None:
    report = convert(Ctc(), hela, 530).report
    kinds = {note["kind"] for note in report["notes"]}
    assert not kinds & {"files of no case", "labels without spacing", "spacing of image and labels"}
    assert report["unused_on_purpose"] == {
        "frames without truth": 6,
        "markers of frames without truth": 6,
        "silver truth (--truth)": 8,
    }


def test_markers_and_frames_ending_in_tiff(hela: Path, raw: Path) -> None:
    for name in ("01/t000.tif", "01_GT/TRA/man_track000.tif"):
        (hela / name).rename(hela / f"{name}f")
    report = convert(Ctc(), hela, 530).report
    assert sorted(report["cases"])[0] == "01_t000"
    assert len(notes(report, "no markers to check the annotation by")) == 2  # of frame 5 of either sequence


def test_truth_of_test_sequences_is_not_used(hela: Path, tmp_path: Path, raw: Path) -> None:
    test = tmp_path / "test/Fluo-N2DL-HeLa"
    write(test / "01/t000.tif", frame(FLAT))
    write(test / "01_GT/SEG/man_seg000.tif", flat(CORNERS))
    report = convert(Ctc(test=test), hela, 530).report
    (text,) = notes(report, "truth of the test sequences")
    assert text.endswith("test/Fluo-N2DL-HeLa/01_GT: test cases are converted without labels")
    assert report["counts"]["test"] == 1
