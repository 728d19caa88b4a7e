"""MoNuSeg in miniature: Aperio outlines, a __MACOSX twin, test tiles side by side with their XML."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import tifffile
from reports import notes

from nnunet_ext.dataset_conversion import UserError
from nnunet_ext.dataset_conversion.engine.run import convert
from nnunet_ext.dataset_conversion.monuseg import MoNuSeg
from nnunet_ext.images.instance_files import read_instances

SHAPE = (40, 40)
A, B = (5, 5, 12, 12), (11, 5, 20, 12)  # edges, x and y of two corners; they share a column
TRAIN = [f"TCGA-{patient}-01Z-00-DX1" for patient in ("18-5592", "21-5784", "38-6178", "A7-A13E", "NH-A8F7")]
LATER, TEST = "TCGA-XS-A8TJ-01Z-00-DX1", ["TCGA-2Z-A9J9-01A-01-TS1", "TCGA-44-2665-01B-06-BS6"]


def region(number: int, corners: Sequence[float], negative: int = 0, kind: int = 0, vertices: int = 4) -> str:
    x, y, right, bottom = corners
    points = [(x, y), (right, y), (right, bottom), (x, bottom)][:vertices]
    inner = "".join(f'<Vertex X="{px}" Y="{py}" Z="0"/>' for px, py in points)
    return (
        f'<Region Id="{number}" Type="{kind}" NegativeROA="{negative}" Area="1"><Attributes/>'
        f"<Vertices>{inner}</Vertices></Region>"
    )


def xml(*regions: str, size: str | None = "0.252500", layers: int = 1) -> str:
    layer = (
        '<Annotation Id="1" Name="" Type="4"><Attributes/><Regions><RegionAttributeHeaders/>'
        f"{''.join(regions)}</Regions><Plots/></Annotation>"
    )
    about = "" if size is None else f' MicronsPerPixel="{size}"'
    return f"<Annotations{about}>{layer * layers}</Annotations>"


def outlines(**options: object) -> str:
    """Two nuclei that overlap, one that leaves the tile, and one of two vertices."""
    beyond = region(9, (35, 35, 41, 41))
    return xml(region(1, A), region(4, B), beyond, region(12, A, vertices=2), **options)


def write(root: Path, name: str, annotation: str, test: bool = False) -> None:
    tile, file = (
        root / "MoNuSeg 2018 Training Data/Tissue Images",
        root / "MoNuSeg 2018 Training Data/Annotations",
    )
    if test:
        tile = file = root / "MoNuSegTestData"
    for folder in (tile, file):
        folder.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (*SHAPE, 3), np.uint8)
    tifffile.imwrite(
        tile / f"{name}.tif", pixels, photometric="rgb", compression="packbits" if test else "lzw"
    )
    (file / f"{name}.xml").write_text(annotation)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "monuseg"
    for name in TRAIN:
        write(root, name, outlines(size=None if "NH-A8F7" in name else "0.252500"))
    write(root, LATER, xml(region(1, A), region(2, (25, 25, 31, 31), negative=1)))
    for name in TEST:
        write(root, name, outlines(), test=True)
    twin = root / "__MACOSX/MoNuSeg 2018 Training Data/Annotations"
    twin.mkdir(parents=True)
    (twin / f"._{TRAIN[0]}.xml").write_bytes(b"no image")
    return root


def expected(shift: int = 0) -> np.ndarray:
    ids = np.zeros(SHAPE, int)
    ids[5 - shift : 12 - shift, 5 - shift : 12 - shift] = 1
    ids[5 - shift : 12 - shift, 12 - shift : 20 - shift] = 2  # the shared pixels are the first one's
    ids[35 - shift :, 35 - shift :] = 3
    return ids


def test_tiles_outlines_and_split(source: Path, raw: Path, accept: Callable[[Path], dict]) -> None:
    result = convert(MoNuSeg(), source, 524)
    assert result.report["counts"] == {"train": 5, "val": 1, "test": 2}
    assert sorted(p.stem for p in (result.folder / "labelsTs").iterdir()) == TEST
    (fold,) = json.loads((result.folder / "splits_final.json").read_text())
    assert sorted(fold["train"] + fold["val"]) == [*TRAIN, LATER]
    for path, size in ((f"Tr/{TRAIN[0]}", 0.2525), (f"Tr/{TRAIN[4]}", None), (f"Ts/{TEST[0]}", 0.2525)):
        ids, spacing = read_instances(result.folder / f"instances{path}.tif")
        np.testing.assert_array_equal(ids, expected())
        assert spacing == (size and pytest.approx((size, size)))
    tile = np.asarray(PIL.Image.open(result.folder / f"imagesTr/{TRAIN[0]}_0000.png"))
    np.testing.assert_array_equal(tile, np.random.default_rng(0).integers(0, 256, (*SHAPE, 3), np.uint8))
    label = np.asarray(PIL.Image.open(result.folder / f"labelsTr/{TRAIN[0]}.png"))
    assert label[8, [6, 11, 12, 18, 22]].tolist() == [1, 2, 2, 1, 0]
    file = f"MoNuSeg 2018 Training Data/Annotations/{TRAIN[0]}.xml"
    assert f"{file}: 7 pixels, given to the first" in notes(result.report, "overlapping objects")
    assert f"{file}: 1 polygons of fewer than 3 vertices" in notes(result.report, "dropped")
    accept(result.folder)


def test_a_split_of_ones_own_leaves_the_test_tiles(source: Path, raw: Path, tmp_path: Path) -> None:
    own = tmp_path / "split.json"
    own.write_text(json.dumps({"train": TRAIN[:2], "val": TRAIN[2:3]}))
    report = convert(MoNuSeg(split_file=own), source, 524).report
    assert report["counts"] == {"train": 2, "val": 1, "test": 2}
    assert [note["text"] for note in report["notes"] if note["kind"] == "partial dataset"] == [
        "test: 2 cases found, 14 in the complete dataset"
    ]


def test_first_release(source: Path, raw: Path) -> None:
    result = convert(MoNuSeg(release="30", split="folds"), source, 524)
    assert result.report["counts"] == {"train": 5, "val": 0, "test": 2}
    assert list(result.report["left_out"]) == [f"MoNuSeg 2018 Training Data/Tissue Images/{LATER}.tif"]
    assert notes(result.report, "partial dataset")[0] == "train: 5 cases found, 30 in the complete dataset"
    assert MoNuSeg(release="30").sizes() == {"train": 24, "val": 6, "test": 14}


@pytest.mark.parametrize(("negative", "count"), [("keep", 2), ("drop", 1)])
def test_negative_regions(source: Path, raw: Path, negative: str, count: int) -> None:
    result = convert(MoNuSeg(negative=negative), source, 524)
    done = {"keep": "kept as nuclei", "drop": "dropped"}[negative]
    kind = {"keep": "regions marked as negative", "drop": "dropped"}[negative]
    assert notes(result.report, kind)[-1] == (
        f"MoNuSeg 2018 Training Data/Annotations/{LATER}.xml: 1 regions marked as negative, {done}"
    )
    assert read_instances(result.folder / f"instancesTr/{LATER}.tif")[0].max() == count


def test_first_pixel_shifts_the_outlines(source: Path, raw: Path) -> None:
    result = convert(MoNuSeg(first_pixel=1.5), source, 524)
    ids, _ = read_instances(result.folder / f"instancesTr/{TRAIN[0]}.tif")
    np.testing.assert_array_equal(ids, expected(shift=1))


def test_older_zip_and_other_folder_names(source: Path, raw: Path) -> None:
    folder = source / "MoNuSeg 2018 Training Data"
    (folder / "Tissue Images").rename(folder / "Tissue_Images")
    folder.rename(source / "MoNuSeg Training Data")
    assert convert(MoNuSeg(), source.parent, 524).report["counts"] == {"train": 5, "val": 1, "test": 2}


def test_physical_radii_need_every_pixel_size(source: Path, raw: Path) -> None:
    physical = {"physical_radii": True, "touching_radius": 0.5, "gap_radius": 1.0}
    with pytest.raises(UserError, match=r"1 of 8 images state no spacing: .*TCGA-NH-A8F7"):
        convert(MoNuSeg(**physical), source, 524)


def test_what_is_wrong_is_listed(source: Path, raw: Path) -> None:
    for name, annotation in (
        (TRAIN[0], outlines(layers=2)),
        (TRAIN[1], xml(region(7, (4, 4, 400, 8)))),
        (TRAIN[2], xml(region(3, A, kind=2))),
        (TRAIN[3], outlines()[:-20]),
        (LATER, outlines(size="unknown")),
    ):
        write(source, name, annotation)
    (source / f"MoNuSegTestData/{TEST[0]}.tif").unlink()
    (source / f"MoNuSeg 2018 Training Data/Annotations/{TRAIN[4]}.xml").unlink()
    with pytest.raises(UserError) as caught:
        convert(MoNuSeg(), source, 524)
    for problem in (
        f"{TRAIN[3]}.xml: cannot be read as XML",
        f"Annotations/{TRAIN[4]}.xml: missing",
        f"{LATER}.xml: MicronsPerPixel is 'unknown', but a number is expected",
        f"MoNuSegTestData/{TEST[0]}.tif: missing",
    ):
        assert problem in str(caught.value)
    write(source, TRAIN[4], outlines())
    result = convert(MoNuSeg(split="folds"), source, 524, on_error="skip")
    wrong = {case: record["problems"][0] for case, record in result.report["not_converted"].items()}
    assert sorted(result.report["cases"]) == [TEST[1], TRAIN[4]]
    assert wrong[TRAIN[0]].endswith("xml: has 2 annotation layers, one is expected")
    assert wrong[TRAIN[1]].endswith("xml: region 7 lies outside its image, which is 40x40")
    assert wrong[TRAIN[2]].endswith("xml: region 3 is of type 2, an outline (0) is expected")
