"""MoNuSeg 2018: nuclei in H&E tiles of seven organs, outlined in Aperio's XML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from nnunet_ext.dataset_conversion import (
    DROPPED,
    Case,
    Facts,
    FilesByKey,
    Grid,
    Header,
    Ids,
    Note,
    Part,
    PictureInstances,
    SeededInstances,
    aperio_pixel_size,
    check_inside,
    draw_polygons,
    edge_notes,
    find_folder,
    match_files,
    option,
    read_aperio,
    read_header,
)

NEGATIVE = "regions marked as negative"
_FILE = r"(?:.*/)?(TCGA-[^/]+)\.(?:tiff?|xml)"
_SUBFOLDERS = {"tissueimages", "annotations"}
_PATIENT = 12  # characters of TCGA-XX-XXXX
#: patients of the training tiles that came with the challenge of 2018, after the first release of 30
_LATER = {
    f"TCGA-{patient}"
    for patient in ("BC-A217", "F9-A8NY", "FG-A87N", "MH-A561", "UZ-A9PJ", "UZ-A9PN", "XS-A8TJ")
}


@dataclass(frozen=True)
class MoNuSeg(SeededInstances, PictureInstances):
    """MoNuSeg (Kumar et al. 2017, 2020): 1000 x 1000 tiles at 40x, each of another patient.

    The pixel size stands in the XML.
    """

    name = "MoNuSeg"
    title = "Nuclei in H&E of seven organs (MoNuSeg 2018)"
    licence = "CC BY-NC-SA 4.0"
    url = "https://monuseg.grand-challenge.org/Data"
    reference = (
        "Kumar et al. (2020), A multi-organ nucleus segmentation challenge, IEEE Transactions on Medical "
        "Imaging 39:1380-1391"
    )
    facts = Facts(
        task="nuclei in H&E",
        dimension="2D",
        cases="30 / 7 / 14 (24 / 6 / 14 with --release 30)",
        classes="cell, touching, gap",
        registration="not established",
        serves="cascaded U-Nets for nuclei, Tables I and II (--release 30)",
        split="official test; 20 % of training, seeded by patient, as validation",
        open_points=(
            "which tiles the cascade paper validated on",
            "where the outlines' coordinates begin, to half a pixel (--first-pixel)",
            "what the 20 regions marked as negative in TCGA-XS-A8TJ are (--negative)",
            "the licence: CC BY-NC-SA 4.0 according to a mirror, CC BY-NC 4.0 according to InstanSeg",
            "pixel size of TCGA-NH-A8F7, which its XML does not state",
        ),
    )
    seeded_parts: ClassVar[tuple[Part, ...]] = ("train", "val")

    release: str = option(
        "37", "training tiles: the 37 of 2018, or the 30 of the first release among them", ("37", "30")
    )
    negative: str = option(
        "keep", "regions with NegativeROA=1; keep: nuclei, as in the official code; drop", ("keep", "drop")
    )
    first_pixel: float = option(
        0.5,
        "coordinate of the centre of the first pixel: 0.5 counts from the edge of the tile; other software "
        "draws with 0, the official MATLAB code with 1",
    )

    def sizes(self) -> Mapping[Part, int]:
        """Return 80 and 20 % of training, and the official test tiles."""
        return (
            {"train": 24, "val": 6, "test": 14}
            if self.release == "30"
            else {"train": 30, "val": 7, "test": 14}
        )

    def locate(self, source: Path) -> Path:
        """Return the folder that holds training and test tiles."""
        return find_folder(
            source, lambda folder: bool(match_files(folder, _FILE)), "holds TCGA-*.tif and .xml", self.name
        )

    def find_cases(self, root: Path) -> list[Case]:
        """Pair tiles and outlines, side by side or in folders of their own, and keep the official test."""
        files = _tiles(root)
        tiles = dict.fromkeys(key[:2] for key in sorted(files))
        cases = [self._case(root, folder, name, files) for folder, name in tiles]
        train = [case for case in cases if case.part == "train" and not case.left_out]
        return self.assign_parts(train) + [case for case in cases if case.part == "test" or case.left_out]

    def _case(self, root: Path, folder: Path, name: str, files: FilesByKey[tuple[Path, str, str]]) -> Case:
        part: Part = "test" if "test" in folder.relative_to(root).as_posix().lower() else "train"
        image = files.get((folder, name, "tif"), _expected(folder, "Tissue Images", f"{name}.tif"))
        outlines = files.get((folder, name, "xml"), _expected(folder, "Annotations", f"{name}.xml"))
        wrong = files.wrong((folder, name, "tif"), (folder, name, "xml"))
        patient = name[:_PATIENT]
        later = self.release == "30" and part == "train" and patient in _LATER
        reason = "not among the 30 tiles of the first release (--release 30)" if later else ""
        return Case(name, part, (image,), (outlines,), patient, left_out=reason, wrong=wrong)

    def headers(self, case: Case, dimension: int | None) -> tuple[Header, Header | None]:
        """Return the tile's header with the pixel size of the XML, if it states one."""
        header, step = super().headers(case, dimension)[0], aperio_pixel_size(case.labels[0])
        return (header if step is None else replace(header, grid=Grid((step, step)))), None

    def read_ids(self, case: Case) -> tuple[Ids, tuple[Note, ...]]:
        """Draw the outlines in the order of the file: a pixel of several is the first one's."""
        file, (rows, columns) = case.labels[0], read_header(case.images[0]).shape
        regions = read_aperio(file)
        check_inside(regions, (rows, columns), file)
        kept = [region for region in regions if self.negative == "keep" or not region.negative]
        outlines = [region.points - self.first_pixel for region in kept]
        ids, notes = draw_polygons(outlines, (rows, columns), file)
        notes += edge_notes(outlines, (rows, columns), file)
        negative = sum(region.negative for region in regions)
        done = "kept as nuclei" if self.negative == "keep" else "dropped"
        kind = NEGATIVE if self.negative == "keep" else DROPPED
        return ids, notes + (Note(kind, f"{file}: {negative} regions marked as negative, {done}"),) * bool(
            negative
        )


def _tiles(root: Path) -> FilesByKey[tuple[Path, str, str]]:
    """Return the files of each tile by folder, name and kind, "tif" or "xml"."""
    found = []
    for path, match in match_files(root, _FILE):
        plain = path.parent.name.lower().replace(" ", "").replace("_", "")
        folder = path.parent.parent if plain in _SUBFOLDERS else path.parent
        found.append(((folder, match[1], "xml" if path.suffix.lower() == ".xml" else "tif"), path))
    return FilesByKey(found)


def _expected(folder: Path, subfolder: str, name: str) -> Path:
    """Return where a file that is missing should be."""
    return folder / subfolder / name if (folder / subfolder).is_dir() else folder / name
