"""Post-NAT-BRCA: nuclei in H&E of breast cancer after therapy; the public annotations are points."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.dataset_conversion import (
    DROPPED,
    Case,
    Drawing,
    Facts,
    FileInstances,
    Header,
    Hints,
    Ids,
    Note,
    Progress,
    Survey,
    UnusableCase,
    UserError,
    case_id,
    check_folder,
    check_inside,
    draw_discs,
    draw_polygons,
    edge_notes,
    find_folder,
    has_area,
    match_files,
    option,
    outline_of,
    read_header,
    read_sedeen,
    read_table,
    silent,
    some_of,
    without_pixels,
)

DISCS = "discs in place of nuclei"
KINDS = "kinds of nuclei"
_FILE = r"(?:.*/)?([^/]+?)(_mask)?(?:_crop|_key)?\.(tiff?|png|xml)"


@dataclass(frozen=True)
class PostNatBrca(FileInstances):
    """Post-NAT-BRCA (Martel et al. 2019): crops of slides with what was drawn on them in Sedeen.

    What is public are points in nuclei. Outlines, or masks, have to come from elsewhere.
    """

    name = "PostNATBRCA"
    title = "Nuclei in H&E of breast cancer after neoadjuvant therapy"
    licence = "not established"
    url = "https://www.cancerimagingarchive.net/collection/post-nat-brca"
    reference = (
        "Martel et al. (2019), Assessment of residual breast cancer cellularity after neoadjuvant "
        "chemotherapy using digital pathology, The Cancer Imaging Archive"
    )
    facts = Facts(
        task="nuclei in H&E",
        dimension="2D",
        cases="92 / – / – (according to the paper)",
        classes="cell, touching, gap",
        registration="not established",
        serves="cascaded U-Nets for nuclei, pre-training",
        split="none: five folds by presumed slide, or by patient (--patients)",
        open_points=(
            "where outlines of the nuclei are: the annotations that were seen are points, so give masks "
            "(--truth masks) or settle for discs (--truth discs)",
            "which crop is of which slide and patient (--patients)",
            "the tree of TCIA's own archive, the size of the crops and of their pixels (--spacing)",
            "what the _mask.tif files of one copy show",
            "the licence",
        ),
    )
    example = "-i cells -d 526 --truth masks --masks my_masks"

    truth: str = option(
        "outlines",
        "outlines: polygons, rectangles and ellipses in the XML; masks: label images, see --masks; discs: "
        "drawn around the points in the XML, which is no segmentation",
        ("outlines", "masks", "discs"),
    )
    masks: Path | None = option(  # noqa: RUF009 - a dataclass field
        None, "folder of label images NAME_mask.tif, with --truth masks", shown="beside the crops"
    )
    disc_radius: float = option(0.0, "radius of the discs in pixels, with --truth discs", shown="none")
    patients: Path | None = option(  # noqa: RUF009 - a dataclass field
        None,
        "csv file with the columns image (100_Region 4) and patient",
        shown="guessed slides",
        decides_split=True,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.truth == "discs") != (self.disc_radius > 0):
            raise UserError("--truth discs needs --disc-radius above 0, in pixels, and only that does.")
        if self.masks is not None:
            if self.truth != "masks":
                raise UserError("--masks needs --truth masks.")
            check_folder(self.masks, "the folder of the label images with --masks")

    def locate(self, source: Path) -> Path:
        """Return the folder that holds the crops."""
        return find_folder(
            source,
            lambda folder: bool(crop_files(folder)),
            "holds N_Region M_crop.tif and _key.xml",
            self.name,
        )

    def find_cases(self, root: Path) -> list[Case]:
        """Pair crops and XML files, or masks, by name."""
        found = crop_files(root)
        masks = crop_files(self.masks.resolve()) if self.masks else found
        wanted = "mask" if self.truth == "masks" else "xml"
        # masks without a crop, of which there are many, are left out
        needed = {"image"} if self.truth == "masks" else {"image", "xml"}
        names = sorted(name for name, files in found.items() if needed & files.keys())
        groups = read_patients(self.patients, names) if self.patients else presumed_slides(names)
        cases = []
        for name in names:
            home = next(iter(found[name].values())).parent
            image = found[name].get("image", home / f"{name}_crop.tif")
            label = (
                found[name].get("xml", home / f"{name}_key.xml")
                if wanted == "xml"
                else masks.get(name, {}).get("mask", (self.masks or home) / f"{name}_mask.tif")
            )
            cases.append(Case(case_id(name), "train", (image,), (label,), group=groups.get(name)))
        return cases + [
            Case(case_id(name), "train", tuple(files.values()), left_out="a mask without its crop")
            for name, files in sorted(masks.items())
            if "mask" in files and name not in names
        ]

    def known_files(self) -> Mapping[str, str]:
        """Return the kind of annotation that is not asked for."""
        if self.truth == "masks":
            return {r"(.*/)?[^/]+\.xml": "annotations in XML (--truth)"}
        return {r"(.*/)?[^/]+_mask\.(tiff?|png)": "masks (--truth masks)"}

    def survey(self, cases: Sequence[Case], progress: Progress = silent) -> Survey:
        """See `InstanceConverter.survey`; what the groups do not tell is noted."""
        survey, there = super().survey(cases, progress), {case.id for case in cases}
        texts = []
        if self.patients:
            named = read_table(self.patients, "image", "patient")
            if missing := [name for name in named if case_id(name) not in there]:
                texts.append(f"{self.patients}: named there, but no case: {some_of(missing)}")
        elif alone := [case.id for case in cases if not case.group]:
            texts.append(f"the names of {len(alone)} crops do not tell the slide: {some_of(alone)}")
        notes = (Note("patients", text) for text in texts)
        return replace(survey, notes=(*survey.notes, *notes))

    def headers(self, case: Case, dimension: int | None) -> tuple[Header, Header | None]:
        """Read that of the crop, and that of a mask."""
        if self.truth == "masks":
            return super().headers(case, 2)
        return read_header(case.images[0], Hints(dimension=2)), None

    def read_ids(self, case: Case) -> tuple[Ids, tuple[Note, ...]]:
        """Read the mask, or draw what the XML file holds."""
        if self.truth == "masks":
            return super().read_ids(case)
        file, (rows, columns) = case.labels[0], read_header(case.images[0], Hints(dimension=2)).shape
        drawings = read_sedeen(file)
        check_inside(drawings, (rows, columns), file)
        kinds = _counts(d.description for d in drawings for _ in _objects(d))
        notes = [Note(KINDS, f"{file}: {kinds}")] if kinds else []
        used = [d for d in drawings if (d.kind == "point" if self.truth == "discs" else has_area(d))]
        unused = _counts(d.kind for d in drawings if d not in used)
        if unused and not used:
            raise UnusableCase(f"{file}: holds {unused} graphics, but {self.truth} need others; see --truth")
        if unused:
            notes.append(Note(DROPPED, f"{file}: {unused} graphics"))
        if self.truth == "discs":
            points = np.concatenate([np.zeros((0, 2)), *(d.points for d in used)])
            ids, more = _discs(points, (rows, columns), self.disc_radius, file)
        else:
            outlines = [outline_of(drawing) for drawing in used]
            ids, more = draw_polygons(outlines, (rows, columns), file)
            more += edge_notes(outlines, (rows, columns), file)
        return ids, (*notes, *more)


def crop_files(root: Path) -> dict[str, dict[str, Path]]:
    """Return the files of each crop by kind, "image", "xml" or "mask"."""
    files: dict[str, dict[str, Path]] = defaultdict(dict)
    for path, found in match_files(root, _FILE):
        kind = "xml" if path.suffix.lower() == ".xml" else "mask" if found[2] else "image"
        if (other := files[found[1]].setdefault(kind, path)) != path:
            raise UserError(f"{path} and {other} have the same name: give one of their folders with -i.")
    return files


def presumed_slides(names: Iterable[str]) -> dict[str, str]:
    """Guess which crops are of one slide, from names such as "102_Region 10".

    Numbered through, the crops of a slide follow each other with growing numbers of the region. Crops of two
    slides may be taken for one, which does no harm; names of another form are left out.

    Examples
    --------
    >>> presumed_slides(["10_Region 0", "11_Region 4", "12_Region 1", "9_Region 7"])
    {'9_Region 7': 'slide9', '10_Region 0': 'slide10', '11_Region 4': 'slide10', '12_Region 1': 'slide12'}
    """
    matches = filter(None, (re.fullmatch(r"(\d+)_Region (\d+)", name) for name in names))
    slides: dict[str, str] = {}
    slide, last = "", -1
    for number, region, name in sorted((int(m[1]), int(m[2]), m[0]) for m in matches):
        slide = slide if region > last and slide else f"slide{number}"
        slides[name], last = slide, region
    return slides


def read_patients(file: Path, names: Iterable[str]) -> dict[str, str]:
    """Read the table of patients, which must have every image."""
    patients = read_table(file, "image", "patient")
    if missing := [name for name in names if not patients.get(name)]:
        raise UserError(f"{file}: has no patient for {', '.join(missing[:5])}, {len(missing)} images in all.")
    return patients


def _objects(drawing: Drawing) -> Iterable[object]:
    """Return one thing per nucleus: a drawing of points holds many."""
    return drawing.points if drawing.kind == "point" else (drawing,)


def _discs(
    points: NDArray[np.float64], shape: tuple[int, int], radius: float, file: Path
) -> tuple[Ids, tuple[Note, ...]]:
    """Draw discs around points, of which some may be there twice."""
    single = np.unique(points, axis=0)
    if not len(single):
        return np.zeros(shape, np.uint16), ()
    notes = [Note(DISCS, f"{file}: {len(single)} discs of radius {radius:g}, no segmentation")]
    if len(single) < len(points):
        notes.append(Note(DROPPED, f"{file}: {len(points) - len(single)} points that are there twice"))
    ids = draw_discs(single, shape, radius)
    if lost := without_pixels(ids, len(single)):
        text = f"{file}: {lost} of {len(single)} discs, outside the image or all nearer to other points"
        notes.append(Note(DROPPED, text))
    return ids, tuple(notes)


def _counts(words: Iterable[str]) -> str:
    """Return "104 IDC, 9 TIL-E"."""
    return ", ".join(
        f"{number} {word or 'without a name'}" for word, number in sorted(Counter(words).items())
    )
