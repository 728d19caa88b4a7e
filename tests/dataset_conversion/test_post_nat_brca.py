"""Post-NAT-BRCA in miniature: crops and Sedeen's XML, which holds points where outlines would be needed."""

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
from nnunet_ext.dataset_conversion.post_nat_brca import PostNatBrca, presumed_slides
from nnunet_ext.images.instance_files import read_instances

SHAPE = (36, 48)
NAMES = ["9_Region 7", "100_Region 4", "101_Region 8", "102_Region 10", "103_Region 1"]
POINTS = ("point", "IDC", "8,10 20,10"), ("point", "TIL-E", "40.5,30.5"), ("point", "IDC", "8,10")
OUTLINES = (
    ("polygon", "IDC", "3.5,3.5 12.5,3.5 12.5,12.5 3.5,12.5"),
    ("rectangle", "IDC", "12.5,3.5 20.5,3.5 20.5,12.5 12.5,12.5"),
    ("ellipse", "TIL-S", "24,20 40,20 40,32 24,32"),
    ("ruler", "", "1,1 5,5"),
)
IDS = np.zeros(SHAPE, np.uint16)
IDS[4:13, 4:13], IDS[4:13, 13:21] = 1, 700


def sedeen(*graphics: tuple[str, str, str]) -> str:
    parts = []
    for number, (kind, description, points) in enumerate(graphics):
        inner = "".join(f"<point>{point}</point>" for point in points.split())
        parts.append(
            f'<graphic type="{kind}" name="Region {number}" description="{description}">'
            f'<pen color="#005500ff" width="10"/><point-list>{inner}</point-list></graphic>'
        )
    return (
        '\ufeff<?xml version="1.0"?>\n<session software="PathCore Session Printer" version="0.1.0">'
        rf'<image identifier="Y:\histology\crop.tif"><overlays>{"".join(parts)}</overlays></image></session>'
    )


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Five crops with points; a mask of another number without a crop."""
    root = tmp_path / "breastpathq/datasets/cells"
    root.mkdir(parents=True)
    for name in NAMES:
        pixels = np.random.default_rng(0).integers(0, 256, (*SHAPE, 3), np.uint8)
        tifffile.imwrite(root / f"{name}_crop.tif", pixels, photometric="rgb")
        (root / f"{name}_key.xml").write_text(sedeen(*POINTS), encoding="utf-8")
    tifffile.imwrite(root / "106_Region 1_mask.tif", IDS)
    return root


def outlined(source: Path) -> None:
    for file in source.glob("*.xml"):
        file.write_text(sedeen(*OUTLINES), encoding="utf-8")


def texts(result: Conversion, kind: str) -> list[str]:
    return [note["text"] for note in result.report["notes"] if note["kind"] == kind]


def test_points_are_no_outlines(source: Path, raw: Path) -> None:
    with pytest.raises(UserError) as caught:
        convert(PostNatBrca(), source.parents[1], 526)
    assert "9_Region 7_key.xml: holds 3 point graphics, but outlines need others; see --truth" in str(
        caught.value
    )
    assert not (raw / "Dataset526_PostNATBRCA/dataset.json").exists()


def test_outlines(source: Path, raw: Path, accept: Callable[[Path], dict]) -> None:
    outlined(source)
    result = convert(PostNatBrca(), source, 526)
    assert result.folder == raw / "Dataset526_PostNATBRCA"
    assert sorted(result.report["cases"]) == sorted(name.replace(" ", "_") for name in NAMES)
    ids, _ = read_instances(result.folder / "instancesTr/100_Region_4.tif")
    np.testing.assert_array_equal(np.minimum(ids[:, :22], 2), np.where(IDS == 700, 2, IDS)[:, :22])
    rows, columns = np.nonzero(ids == 3)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (20, 32, 24, 40)
    assert len(rows) == pytest.approx(np.pi * 8 * 6, rel=0.05)
    assert "100_Region 4_key.xml: 1 ruler graphics" in texts(result, "dropped")
    assert "100_Region 4_key.xml: 1 without a name, 2 IDC, 1 TIL-S" in texts(result, "kinds of nuclei")
    folds = json.loads((result.folder / "splits_final.json").read_text())
    assert sorted(sorted(fold["val"]) for fold in folds) == [
        ["100_Region_4", "101_Region_8", "102_Region_10"],
        ["103_Region_1"],
        ["9_Region_7"],
    ]
    accept(result.folder)


def test_discs(source: Path, raw: Path) -> None:
    result = convert(PostNatBrca(truth="discs", disc_radius=4), source, 526)
    ids, _ = read_instances(result.folder / "instancesTr/9_Region_7.tif")
    assert np.bincount(ids.ravel())[1:].tolist() == [49, 49, 52]
    assert ids[[10, 10, 10, 31], [8, 12, 20, 41]].tolist() == [1, 1, 2, 3]
    assert "9_Region 7_key.xml: 3 discs of radius 4, no segmentation" in texts(
        result, "discs in place of nuclei"
    )
    assert "9_Region 7_key.xml: 1 points that are there twice" in texts(result, "dropped")


@pytest.mark.parametrize("options", [{"truth": "discs"}, {"disc_radius": 3}])
def test_discs_need_a_radius(options: dict) -> None:
    with pytest.raises(UserError, match="--truth discs needs --disc-radius above 0"):
        PostNatBrca(**options)


def test_masks_from_elsewhere(source: Path, raw: Path) -> None:
    masks = source.parents[2] / "masks"
    masks.mkdir()
    for name in NAMES[1:]:
        tifffile.imwrite(masks / f"{name}_mask.tif", IDS)
    with pytest.raises(UserError, match=r"masks/9_Region 7_mask.tif: missing"):
        convert(PostNatBrca(truth="masks", masks=masks), source, 526)
    tifffile.imwrite(masks / f"{NAMES[0]}_mask.tif", IDS[:30])
    with pytest.raises(UserError, match=r"9_Region 7_mask.tif: the labels are 30x48, the image"):
        convert(PostNatBrca(truth="masks", masks=masks), source, 526)
    result = convert(PostNatBrca(truth="masks", masks=masks), source, 526, on_error="skip")
    ids, _ = read_instances(result.folder / "instancesTr/103_Region_1.tif")
    np.testing.assert_array_equal(ids, np.where(IDS == 700, 2, IDS))
    for name in NAMES:
        tifffile.imwrite(source / f"{name}_mask.tif", (IDS > 0).astype(np.uint8))
    beside = convert(PostNatBrca(truth="masks"), source, 527, name="Beside").report
    assert sorted(beside["cases"]) == sorted(name.replace(" ", "_") for name in NAMES)  # not 106
    with pytest.raises(UserError, match="--masks needs --truth masks"):
        PostNatBrca(masks=masks)


def test_patients(source: Path, raw: Path, tmp_path: Path) -> None:
    outlined(source)
    table = tmp_path / "patients.csv"
    table.write_text("image,patient\n" + "".join(f"{name},P{len(name) % 2}\n" for name in NAMES[:4]))
    with pytest.raises(UserError, match=r"patients.csv: has no patient for 103_Region 1, 1 images in all"):
        convert(PostNatBrca(patients=table), source, 526)
    with table.open("a") as file:
        file.write("103_Region 1,P0\n")
    groups = convert(PostNatBrca(patients=table), source, 526).report["groups"]["train"]
    assert groups == {"P0": 4, "P1": 1}
    table.write_text("name;patient\n")
    with pytest.raises(UserError, match=r"cannot be read as a csv file with the columns|has no patient for"):
        PostNatBrca(patients=table).find_cases(source)


def test_what_is_wrong_is_listed(source: Path, raw: Path) -> None:
    outlined(source)
    (source / f"{NAMES[0]}_key.xml").unlink()
    (source / f"{NAMES[1]}_crop.tif").unlink()
    (source / f"{NAMES[2]}_key.xml").write_text(sedeen(("polygon", "", "1,1 900,1 900,900")))
    (source / f"{NAMES[3]}_key.xml").write_text(sedeen(("polygon", "", "1 2,2 3,4")))
    with pytest.raises(UserError) as caught:
        convert(PostNatBrca(), source, 526)
    assert "9_Region 7_key.xml: missing" in str(caught.value)
    assert "100_Region 4_crop.tif: missing" in str(caught.value)
    result = convert(PostNatBrca(), source, 526, on_error="skip")
    wrong = {case: record["problems"][0] for case, record in result.report["not_converted"].items()}
    assert wrong["101_Region_8"].endswith("'Region 0' lies outside its image, which is 36x48")
    assert wrong["102_Region_10"].endswith("'Region 0' has a point that is not x,y")
    assert list(result.report["cases"]) == ["103_Region_1"]


def test_presumed_slides_need_names_of_the_known_form() -> None:
    assert presumed_slides(["a", "2_Region 3", "1_Region 3"]) == {
        "1_Region 3": "slide1",
        "2_Region 3": "slide2",
    }


def test_discs_without_a_pixel_are_counted(source: Path, raw: Path) -> None:
    """Of five points one lies outside the crop, and one is so near to two others that no pixel is its own."""
    points = "10,10 10.1,10 10.2,10 30,30 48.4,20"
    (source / f"{NAMES[0]}_key.xml").write_text(sedeen(("point", "", points)))
    result = convert(PostNatBrca(truth="discs", disc_radius=0.45), source, 526)
    assert "9_Region 7_key.xml: 3 of 5 discs, outside the image or all nearer to other points" in texts(
        result, "dropped"
    )
    assert result.report["cases"]["9_Region_7"]["instances"] == 2


def test_outlines_that_leave_the_crop_are_counted(source: Path, raw: Path) -> None:
    outlined(source)
    leaving = ("polygon", "IDC", "40,10 49.5,10 49.5,20 40,20")
    (source / f"{NAMES[0]}_key.xml").write_text(sedeen(*OUTLINES, leaving), encoding="utf-8")
    result = convert(PostNatBrca(), source, 526)
    assert texts(result, "objects cut at the edge of the image") == ["9_Region 7_key.xml: 1 of 4"]


def test_masks_without_a_crop_are_left_out(source: Path, raw: Path) -> None:
    for name in NAMES:
        tifffile.imwrite(source / f"{name}_mask.tif", IDS)
    report = convert(PostNatBrca(truth="masks"), source, 526).report
    assert report["left_out"] == {"106_Region 1_mask.tif": "a mask without its crop"}
    assert report["unused_on_purpose"] == {"annotations in XML (--truth)": 5}


def test_patients_of_crops_that_are_not_there(source: Path, raw: Path, tmp_path: Path) -> None:
    outlined(source)
    table = tmp_path / "patients.csv"
    table.write_text("image;patient\n" + "".join(f"{name};P1\n" for name in (*NAMES, "7_Region 1")))
    result = convert(PostNatBrca(patients=table), source, 526)
    assert texts(result, "patients") == [f"{table}: named there, but no case: 7_Region 1"]


def test_crops_whose_names_tell_no_slide(source: Path, raw: Path) -> None:
    outlined(source)
    for file in source.glob(f"{NAMES[0]}_*"):
        file.rename(source / file.name.replace(NAMES[0], "odd"))
    result = convert(PostNatBrca(), source, 526)
    assert texts(result, "patients") == ["the names of 1 crops do not tell the slide: odd"]


@pytest.mark.parametrize("options", [{}, {"truth": "discs", "disc_radius": 3}])
def test_an_annotation_without_anything_drawn(source: Path, raw: Path, options: dict) -> None:
    if not options:
        outlined(source)
    (source / f"{NAMES[0]}_key.xml").write_text(sedeen(), encoding="utf-8")
    result = convert(PostNatBrca(**options), source, 526)
    assert texts(result, "empty masks") == ["9_Region 7_key.xml: no foreground"]
    assert not [text for text in texts(result, "kinds of nuclei") if text.startswith("9_Region 7")]
