"""Shoot apical meristems of Arabidopsis: membrane stacks and their segmentation."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.dataset_conversion import (
    DROPPED,
    RELABELLED,
    RESIZED,
    Case,
    CaseHeaders,
    DatasetDescription,
    Facts,
    FileInstances,
    Grid,
    Header,
    Ids,
    Note,
    Part,
    Progress,
    Survey,
    UnusableCase,
    UserError,
    find_folder,
    match_files,
    option,
    silent,
    some_of,
)
from nnunet_ext.dataset_conversion.plantseg import find_outside

_STACKS, _LABELS = "processed_tiffs", "segmentation_tiffs"
_FILE = r"plant(\d+)/({})/(\d+)hrs_plant(\d+)[_-].*acylYFP.*\.tiff?"
#: stacks per plant in the complete dataset
_COUNTS = {1: 20, 2: 20, 4: 20, 13: 22, 15: 22, 18: 21}
_SUSPECT = (1, 4)  # plant and hour
_STRETCHED = "stretched 2.77 times in z; the authors' own analysis leaves it out (--suspect convert)"


@dataclass(frozen=True)
class Meristem(FileInstances):
    """Arabidopsis meristems (Willis et al. 2016): six plants, a stack every four hours.

    The tifs state no spacing: it is in a text file per plant, of which z is to be divided by a stretching
    factor. The outside of the tissue has the id 1.
    """

    name = "Meristem"
    title = "Arabidopsis shoot apical meristem in 3D: cells, from membrane stacks"
    licence = "not established"
    url = "https://www.repository.cam.ac.uk/handle/1810/262530"
    reference = (
        "Willis et al. (2016), Cell size and growth regulation in the Arabidopsis thaliana apical stem cell "
        "niche, PNAS 113:E8238-E8246"
    )
    facts = Facts(
        task="cells of plant tissue",
        dimension="3D",
        cases="102 / – / 22",
        classes="cell, touching, gap",
        serves="Youden's J losses, Table 2 (meristem), probably",
        split="none official: plant 15 tests, as in 3DCellSeg; five folds by plant",
        open_points=(
            "whether the meristem stack of the Youden paper is one of these",
            "whether deep slices are reliable: the authors' statistics leave them out (--drop-slices)",
            "whether the stack of plant 1 at 4 h, stretched 2.77 times in z, can be used (--suspect)",
            "the licence",
        ),
    )
    example = "-i PNAS -d 525 --physical-radii --touching-radius 0.5 --gap-radius 1.5"

    test_plants: tuple[int, ...] = option(
        (15,), "plants whose stacks are for testing; 0: none", metavar="PLANT", decides_split=True
    )
    suspect: str = option(
        "leave-out",
        "plant 1 at 4 h, which is stretched 2.77 times in z and which the authors' own analysis leaves out",
        ("leave-out", "convert"),
    )
    background: int = option(1, "id of the outside of the tissue")
    drop_slices: int = option(0, "slices to cut off at the end of each stack, which is deepest in the tissue")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.drop_slices < 0:
            raise UserError(f"--drop-slices {self.drop_slices} is not possible: give 0 or more.")

    def locate(self, source: Path) -> Path:
        """Return the folder of the plants."""
        return find_folder(
            source,
            lambda folder: bool(match_files(folder, _FILE.format(_STACKS))),
            f"holds plant1/{_STACKS}/0hrs_plant1_trim-acylYFP.tif ...",
            self.name,
        )

    def find_cases(self, root: Path) -> list[Case]:
        """Pair stack and segmentation by plant and hour: the rest of their names varies."""
        images, labels = (_by_time(root, folder) for folder in (_STACKS, _LABELS))
        homes = {time: files[0].parents[1] for time, files in {**labels, **images}.items()}
        return [
            self._case(home, *time, tuple(images.get(time, ())), tuple(labels.get(time, ())))
            for time, home in sorted(homes.items())
        ]

    def _case(
        self, home: Path, plant: int, hour: int, images: tuple[Path, ...], labels: tuple[Path, ...]
    ) -> Case:
        is_suspect = (plant, hour) == _SUSPECT
        name = f"{hour}hrs_plant{plant}_trim-acylYFP"
        part: Part = "test" if plant in self.test_plants else "train"
        return Case(
            _id(plant, hour),
            part,
            images or (home / _STACKS / f"{name}.tif",),
            labels or (home / _LABELS / f"{name}_hmin_2_asf_1_s_2.00_clean_3.tif",),
            group=f"plant{plant}",
            others=() if self.spacing else (home / f"plant{plant}_tiff_resolutions.txt",),
            left_out=_STRETCHED if is_suspect and self.suspect == "leave-out" else "",
        )

    def known_files(self) -> Mapping[str, str]:
        """Return what else the deposit holds."""
        return {
            r"(.*/)?plant\d+/processed_tiffs/[^/]*clv3[^/]*\.tiff?": "the nuclear channel (clv3)",
            r"(.*/)?plant\d+/nuclear_segmentation_tiffs/[^/]+": "segmentations of nuclei",
            r"(.*/)?plant\d+/tracking_data/.+": "tracking",
        }

    def survey(self, cases: Sequence[Case], progress: Progress = silent) -> Survey:
        """See `InstanceConverter.survey`; hours of the tables of resolutions that have no case are noted."""
        survey, notes = super().survey(cases, progress), list[Note]()
        root = cases[0].images[0].parents[2]
        there = {*_by_time(root, _STACKS), *_by_time(root, _LABELS)}
        for file, plant in sorted({(case.others[0], int(case.id[5:7])) for case in cases if case.others}):
            hours = sorted({hour for hour, _ in _rows(file)})
            if bare := [f"{hour} h" for hour in hours if (plant, hour) not in there]:
                notes.append(Note("stacks that are named and not there", f"{file}: {some_of(bare)}"))
        return replace(survey, notes=(*survey.notes, *notes))

    def headers(self, case: Case, dimension: int | None) -> tuple[Header, Header | None]:
        """Read them, with the spacing of the text file."""
        for files in (case.images, case.labels):
            if len(files) > 1:
                names = ", ".join(file.name for file in files[1:])
                raise UnusableCase(f"{files[0]}: is of the same plant and hour as {names}; keep one of them")
        image, label = super().headers(case, 3)
        if case.others:
            hour = int(case.id.rpartition("_")[2][:-1])
            grid = Grid(resolution(case.others[0], hour))
            image, label = replace(image, grid=grid), label and replace(label, grid=grid)
        if self.drop_slices >= image.shape[0]:
            raise UnusableCase(
                f"{case.images[0]}: has {image.shape[0]} slices, --drop-slices leaves none of them"
            )
        return image, label

    def describe_from(self, known: Sequence[CaseHeaders]) -> DatasetDescription:
        """Add the number of stacks in the complete dataset, those that are left out aside."""
        counts = dict(_COUNTS)
        counts[_SUSPECT[0]] -= self.suspect == "leave-out"
        test = sum(counts.get(plant, 0) for plant in self.test_plants)
        official: dict[Part, int] = {"train": sum(counts.values()) - test, "test": test}
        return replace(super().describe_from(known), official_counts=official)

    def read_pixels(self, case: Case, description: DatasetDescription) -> NDArray[Any]:
        """Return the stack without the slices to drop."""
        pixels = super().read_pixels(case, description)
        return pixels[:, : pixels.shape[1] - self.drop_slices]

    def adapt(self, ids: Ids, file: Path) -> tuple[Ids, tuple[Note, ...]]:
        """Set the outside to 0, if that is what its id is, and cut the slices to drop."""
        _check_outside(ids, self.background, file)
        notes = []
        if self.background:
            share = np.count_nonzero(ids == self.background) / ids.size
            notes.append(Note(RELABELLED, f"{file}: id {self.background}, {share:.1%} of the voxels, to 0"))
        if self.drop_slices:
            notes.append(Note(RESIZED, f"{file}: the last {self.drop_slices} of {len(ids)} slices cut off"))
        cut = ids[: len(ids) - self.drop_slices]
        cells = [np.setdiff1d(np.unique(part), (0, self.background)) for part in (ids, cut)]
        if lost := len(cells[0]) - len(cells[1]):
            text = f"{file}: {lost} of {len(cells[0])} cells lie in the slices cut off only"
            notes.append(Note(DROPPED, text))
        return np.where(cut == self.background, ids.dtype.type(0), cut), tuple(notes)


def resolution(file: Path, hour: int) -> tuple[float, float, float]:
    """Return the spacing (z, y, x) in µm of the stack of an hour.

    A row of the file holds time, x, y, z and the factor by which z was stretched, in brackets:
    ``[0hrs, (0.2196471, 0.2196471, 0.26), 1.06]``. The spacing in z is the quotient of the last two.

    Raises
    ------
    UnusableCase
        If there is not one row for the hour.
    """
    rows = [numbers for time, numbers in _rows(file) if time == hour]
    if len(rows) != 1:
        raise UnusableCase(
            f"{file}: {len(rows)} rows hold time, x, y, z, stretching factor of {hour} h, one is expected; "
            "--spacing z y x gives a spacing for all stacks"
        )
    x, y, z, factor = rows[0]
    return z / factor, y, x


def _rows(file: Path) -> list[tuple[int, list[float]]]:
    """Return the rows that hold an hour and four numbers, see `resolution`."""
    rows = []
    for line in file.read_text(encoding="utf-8-sig", errors="replace").splitlines():
        first, *cells = line.split(",")
        time = re.search(r"(\d+) *h", first) or re.search(r"(\d+)", first)
        numbers = [re.sub(r"[^0-9.eE+-]", "", cell) for cell in cells[:4]]
        if time and len(numbers) == 4 and all(map(_is_step, numbers)):
            rows.append((int(time[1]), [float(number) for number in numbers]))
    return rows


def _id(plant: int, hour: int) -> str:
    return f"plant{plant:02d}_{hour:02d}h"


def _check_outside(ids: Ids, background: int, file: Path) -> None:
    found, text = find_outside(ids)
    number, zeros = np.count_nonzero(ids == background), np.count_nonzero(ids == 0)
    if not number or found not in (0, background) or (background and zeros > number):
        wanted = f"the outside should have id {background}, {number} voxels of it found"
        raise UnusableCase(f"{file}: {wanted} (--background): {text}")


def _by_time(root: Path, folder: str) -> dict[tuple[int, int], list[Path]]:
    """Return the files of a folder of each plant by plant and hour."""
    files: dict[tuple[int, int], list[Path]] = defaultdict(list)
    for path, found in match_files(root, _FILE.format(folder)):
        if int(found[1]) != int(found[4]):
            raise UserError(
                f"{path}: is named for plant {found[4]} and lies in the folder of plant {found[1]}."
            )
        files[int(found[1]), int(found[3])].append(path)
    return files


def _is_step(text: str) -> bool:
    try:
        return 0 < float(text) < 100
    except ValueError:
        return False
