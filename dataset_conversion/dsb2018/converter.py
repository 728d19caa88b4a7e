"""The 2018 Data Science Bowl: nuclei in microscopy, one mask file per nucleus."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.dataset_conversion import (
    Case,
    DatasetDescription,
    Facts,
    Grid,
    Header,
    Ids,
    InstanceConverter,
    Note,
    Part,
    Progress,
    Survey,
    UnusableCase,
    UnusableCases,
    UserError,
    find_folder,
    list_files,
    option,
    read_header,
    read_image,
    read_mask,
    silent,
    size_text,
    some_of,
    subfolders,
    threshold_mask,
)
from nnunet_ext.dataset_conversion.dsb2018 import cell_bodies

#: kind of image -> how many there are in the corrected release
_OFFICIAL = {"fluorescence": 541, "brightfield": 16, "histology": 107}
MODALITIES = tuple(_OFFICIAL)
OVERLAP = "overlapping nuclei"
HIDDEN = "masks that are empty or hidden by others"
_BRIGHT = 127  # median grey value above which the background is bright


@dataclass(frozen=True)
class Dsb2018(InstanceConverter):
    """Stage 1 of the 2018 Data Science Bowl (BBBC038v1, Caicedo et al. 2019).

    The files do not say how an image was taken; its pixels do, see `modality_of`. Grey images are written
    with one channel, unless coloured ones are among them. With masks of cell bodies, `cells`, the labels are
    nested, nuclei in cells; see `cell_bodies`.
    """

    name = "DSB2018"
    title = "Nuclei in 2D: fluorescence, bright field and histology (2018 Data Science Bowl, stage 1)"
    licence = "CC0"
    url = "https://bbbc.broadinstitute.org/BBBC038"
    reference = "Caicedo et al. (2019), Nucleus segmentation across imaging experiments, Nature Methods 16"
    facts = Facts(
        task="nuclei in microscopy",
        dimension="2D",
        cases="664 / – / –",
        classes="cell, touching, gap",
        serves="multi-level activation (bright field, with cell masks of one's own)",
        split="none: nnU-Net's five folds",
        open_points=(
            "which images are tiles of one field, of which there are many: random folds share fields",
            "664 are the images of the corrected release; the original one has 670: say which you used",
        ),
    )
    example = "-i stage1_train -d 511 --modality fluorescence"

    modality: str = option("all", "kind of images to convert", (*MODALITIES, "all"))
    cells: Path | None = option(  # noqa: RUF009 - a dataclass field
        None,
        "folder with a mask of the cell bodies of each image, ID.png or ID.tif, drawn by hand; makes the "
        "classes background, cell and nucleus",
    )
    stray_nuclei: str = option(
        "keep",
        "pixels of nuclei outside every cell of --cells, which are reported; keep: they stay nucleus; "
        "clip: they become background, in the instances too; error: such a case is refused",
        cell_bodies.OUTSIDE_CHOICES,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cells is None:
            if self.stray_nuclei != "keep":
                raise UserError(f"--stray-nuclei {self.stray_nuclei} needs the cells: give --cells.")
            return
        if self.modality == "all":
            raise UserError(
                "--cells needs --modality: cell bodies are drawn for images of one kind (brightfield, say)."
            )
        self.refuse_class_options("--cells makes the classes background, cell and nucleus")

    def locate(self, source: Path) -> Path:
        """Return the folder of the image folders, ``stage1_train`` itself or what it was unpacked into."""
        return find_folder(
            source,
            lambda folder: any(_holds(sub, all) for sub in subfolders(folder)),
            "holds folders with images/ and masks/",
            self.name,
        )

    def find_cases(self, root: Path) -> list[Case]:
        """Return one case per folder; masks are sorted by name, so that their order is always the same."""
        cases = [
            Case(
                folder.name,
                "train",
                (_image_of(folder),),
                tuple(list_files(folder / "masks", r".+\.png")),
            )
            for folder in subfolders(root)
            if _holds(folder, any)
        ]
        if self.cells is not None:
            cell_bodies.check_names(self.cells, {case.id for case in cases})
        return cases

    def survey(self, cases: Sequence[Case], progress: Progress = silent) -> Survey:
        """Read the pixels to choose the images of the modality asked for."""
        modalities = _modalities(cases, progress)
        counts = Counter(modalities.values())
        found = ", ".join(f"{counts[modality]} {modality}" for modality in MODALITIES)
        wanted = MODALITIES if self.modality == "all" else (self.modality,)
        chosen = [case for case in cases if modalities[case.id] in wanted]
        others = [
            replace(case, left_out=f"{modalities[case.id]} (--modality {self.modality})")
            for case in cases
            if modalities[case.id] not in wanted
        ]
        if not chosen:
            raise UserError(f"There is no {self.modality} image among these: {found}.")
        if self.cells is not None:
            chosen = cell_bodies.with_masks(chosen, self.cells)
        survey = super().survey(chosen)
        description = survey.description
        if self.cells is not None:
            description = replace(description, labels=cell_bodies.LABELS, nesting=cell_bodies.NESTING)
        if "histology" in wanted and counts["histology"]:
            description = replace(description, channel_names=("R", "G", "B"))
        official: dict[Part, int] = {"train": sum(_OFFICIAL[modality] for modality in wanted)}
        description = replace(description, official_counts=official)
        notes = (Note("modalities", f"{found}; converted: {self.modality}"), *survey.notes)
        return Survey(survey.cases, description, notes, tuple(others))

    def headers(self, case: Case, dimension: int | None) -> tuple[Header, Header | None]:
        """Return the header of the image as if it were grey: `survey` decides on the channels."""
        return replace(read_header(case.images[0]), channels=1), None

    def read_pixels(self, case: Case, description: DatasetDescription) -> NDArray[Any]:
        """Return the three colours, or one channel where all images are grey."""
        pixels = read_image(case.images[0]).pixels
        count = len(description.channel_names)
        return pixels[:count] if len(pixels) >= count else np.repeat(pixels, count, axis=0)

    def read_ids(self, case: Case) -> tuple[Ids, tuple[Note, ...]]:
        """Number the masks, a pixel in several belonging to the first; treat what lies outside the cells."""
        ids, notes = _numbered(case)
        if self.cells is None:
            return ids, notes
        mask = case.others[0]
        ids, outside = cell_bodies.treat_outside(ids, cell_bodies.read_cells(mask), self.stray_nuclei, mask)
        return ids, notes + outside

    def make_label(
        self, case: Case, instances: Ids, grid: Grid, description: DatasetDescription
    ) -> tuple[NDArray[np.uint8], tuple[Note, ...]]:
        """With cells, these and the nuclei in them are the classes."""
        if self.cells is None:
            return super().make_label(case, instances, grid, description)
        return cell_bodies.nested_labels(instances, cell_bodies.read_cells(case.others[0])), ()


def modality_of(pixels: NDArray[Any]) -> str:
    """Tell how an image was taken.

    Parameters
    ----------
    pixels : ndarray
        (channels, y, x), uint8.

    Returns
    -------
    str
        "histology" where the colours differ anywhere (stained tissue), else "brightfield" where the
        background, the median, is bright, else "fluorescence".
    """
    if any((channel != pixels[0]).any() for channel in pixels[1:]):
        return "histology"
    return "brightfield" if np.median(pixels[0]) > _BRIGHT else "fluorescence"


def _holds(folder: Path, which: Callable[[Iterable[bool]], bool]) -> bool:
    """Tell whether a folder holds images and masks, all or any of them."""
    return which((folder / name).is_dir() for name in ("images", "masks"))


def _image_of(folder: Path) -> Path:
    """Return the image of a case, whatever the letter case of its ending."""
    found = list_files(folder / "images", rf"{re.escape(folder.name)}\.png")
    return found[0] if found else folder / "images" / f"{folder.name}.png"


def _modalities(cases: Sequence[Case], progress: Progress) -> dict[str, str]:
    """Return how each image was taken, by case id; unreadable images and cases without masks are refused."""
    problems, modalities = {}, {}
    for case in progress(iter(cases), len(cases), "Reading images"):
        try:
            modalities[case.id] = modality_of(read_image(case.images[0]).pixels)
            if not case.labels:
                problems[case.id] = [f"{case.images[0].parents[1] / 'masks'}: no masks"]
        except UserError as error:
            problems[case.id] = [str(error)]
    if problems:
        raise UnusableCases(problems)
    return modalities


def _numbered(case: Case) -> tuple[Ids, tuple[Note, ...]]:
    """Number the masks; a pixel in several masks belongs to the first."""
    ids = np.zeros(read_header(case.images[0]).shape, np.uint16)
    notes: list[Note] = []
    overlap, hidden = 0, list[str]()
    for number, file in enumerate(case.labels, 1):
        mask, channels = read_mask(file)
        if mask.shape != ids.shape:
            raise UnusableCase(f"{file}: is {size_text(mask.shape)}, its image {size_text(ids.shape)}")
        label, thresholded = threshold_mask(mask, file)
        free = (label > 0) & (ids == 0)
        overlap += np.count_nonzero(label) - np.count_nonzero(free)
        if not free.any():
            hidden.append(file.name)
        ids[free] = number
        notes += [*channels, *thresholded]
    if overlap:
        notes.append(Note(OVERLAP, f"{case.images[0]}: {overlap} pixels, given to the first mask by name"))
    if hidden:
        notes.append(Note(HIDDEN, f"{case.images[0]}: {some_of(hidden)}: {len(hidden)} masks"))
    return ids, tuple(notes)
