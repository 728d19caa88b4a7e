"""What all converters of instance labels share: the semantic classes, the survey, the reading of a case."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.arrays.semantic_classes import CLASSES
from nnunet_ext.dataset_conversion.base.case import Case, Note, Sample, UnusableCases
from nnunet_ext.dataset_conversion.base.converter import Converter, Survey, option
from nnunet_ext.dataset_conversion.base.description import DatasetDescription
from nnunet_ext.dataset_conversion.base.instance_headers import (
    CaseHeaders,
    check_spacings,
    check_uniform,
    join_channels,
    problems_with,
    survey_notes,
)
from nnunet_ext.dataset_conversion.base.instance_ids import (
    Ids,
    allows_other_values,
    as_ids,
    instance_notes,
    lost_note,
    merged_note,
    number_from_one,
    pieces,
    smaller_radii,
)
from nnunet_ext.errors import UnusableCase, UserError, out_of_memory
from nnunet_ext.images.files import HDF5_ENDINGS, ending_of, read_header, read_image
from nnunet_ext.images.hdf5 import library
from nnunet_ext.images.image import Grid, Header, Hints
from nnunet_ext.nnunet_files.hierarchy import IGNORE
from nnunet_ext.worker_pool import Progress, silent

DEFAULT_RADII = {"touching": 2.0, "gap": 7.0}  # voxels
CONSTANT = "images of one grey value"
FLOAT = "labels stored as floating-point numbers"


@dataclass(frozen=True)
class InstanceConverter(Converter):
    """Base of the converters whose labels are instances.

    A subclass says how the headers, the pixels and the ids of a case are read; the rest is done here. The
    labels for nnU-Net are the classes of `nnunet_ext.targets.semantic_from_instances`, and the instances,
    numbered from 1, are kept beside them.

    Raises
    ------
    UserError
        At construction, if a radius or the spacing is not possible.
    """

    classes: int = option(
        4, "4: background, cell, touching, gap; 3: without gap; 2: background and cell", (4, 3, 2)
    )
    touching_radius: float | None = option(
        None, "cell voxels this near to another cell are touching", shown="2 voxels"
    )
    gap_radius: float | None = option(
        None, "background that a closing with a ball of this radius fills is gap", shown="7 voxels"
    )
    physical_radii: bool = option(
        False, "the radii, which must then be given, are in the unit of the spacing, not in voxels"
    )
    spacing: tuple[float, ...] = option(
        (), "distance between voxels, where the files do not state it or state it wrongly", metavar="Z Y X"
    )
    split_components: bool = option(False, "count connected pieces as instances, whatever their ids")

    def __post_init__(self) -> None:
        super().__post_init__()
        radii = {"touching": self.touching_radius, "gap": self.gap_radius}
        for name, radius in radii.items():
            if radius is not None and not 0 <= radius < math.inf:
                raise UserError(f"--{name}-radius {radius} is not possible: give 0 or more.")
        needed = list(radii)[: max(0, self.classes - 2)]
        missing = [f"--{name}-radius" for name in needed if radii[name] is None]
        if self.physical_radii and missing:
            raise UserError(
                f"--physical-radii needs {' and '.join(missing)}, in the unit of the spacing (µm, say): "
                "the defaults are in voxels."
            )
        if not all(0 < step < math.inf for step in self.spacing):
            raise UserError(
                f"--spacing {' '.join(map(str, self.spacing))} is not possible: give steps above 0."
            )

    @abstractmethod
    def headers(self, case: Case, dimension: int | None) -> tuple[Header, Header | None]:
        """Return the headers of image and labels, the latter None for an unlabelled case.

        `dimension` is that of the dataset, if known; a label file has its own.
        """

    @abstractmethod
    def read_pixels(self, case: Case, description: DatasetDescription) -> NDArray[Any]:
        """Return the image, (channels, *spatial)."""

    @abstractmethod
    def read_ids(self, case: Case) -> tuple[Ids, tuple[Note, ...]]:
        """Return the instance ids, unsigned integers of at most 32 bits, and notes on how they were read."""

    def has_ignore(self, cases: Sequence[Case]) -> bool:
        """Tell whether `ignored` will name voxels in some of the cases: the dataset then has that label."""
        return False

    def ignored(self, case: Case, ids: Ids) -> NDArray[np.bool_] | None:
        """Return True where nothing is known (slices nobody annotated), or None; cells there stay cells."""
        return None

    def survey(self, cases: Sequence[Case], progress: Progress = silent) -> Survey:
        """Read the headers, and the ids where their type allows what no instance id is."""
        known, problems, dimension = [], {}, None
        ordered = sorted(cases, key=lambda case: case.part == "test")
        for case in progress(iter(ordered), len(ordered), "Reading headers"):
            try:
                headers = CaseHeaders(case, *self.headers(case, dimension))
                wrong = problems_with(headers)
                if not wrong and headers.label is not None and allows_other_values(headers.label):
                    self.read_ids(case)
            except UserError as error:
                wrong = [str(error)]
            except MemoryError as error:
                raise UserError(out_of_memory(case.images[0], error, "Close other programs.")) from error
            if wrong:
                problems[case.id] = wrong
            else:
                dimension = dimension or headers.dimension
                known.append(headers)
        if problems:
            raise UnusableCases(problems)
        check_uniform(known)
        check_spacings(known, self.spacing, self.physical_radii)
        return Survey(tuple(cases), self.describe_from(known), survey_notes(known, self.spacing))

    def describe_from(self, known: Sequence[CaseHeaders]) -> DatasetDescription:
        """Return channels and format: png where that loses nothing, NIfTI for NIfTI, else tif."""
        dimension, channels = known[0].dimension, known[0].image.channels
        are_bytes = all(headers.image.dtype in (np.uint8, np.bool_) for headers in known)
        if known[0].is_nifti:
            ending = ".nii.gz"
        else:
            ending = ".png" if dimension == 2 and are_bytes and channels in (1, 3) else ".tif"
        names = ("R", "G", "B") if ending == ".png" and channels == 3 else _numbered("channel", channels)
        labels = {name: value for name, value in CLASSES.items() if value < self.classes}
        if self.has_ignore([headers.case for headers in known]):
            labels[IGNORE] = self.classes
        made = {"radius": self._radius("touching"), "unit": "spacing" if self.physical_radii else "voxels"}
        return DatasetDescription(names, labels, ending, dimension=dimension, touching_radius=made)

    def _radius(self, name: str) -> float:
        given = {"touching": self.touching_radius, "gap": self.gap_radius}[name]
        return DEFAULT_RADII[name] if given is None else given

    def read_case(self, case: Case, description: DatasetDescription) -> Sample:
        """Read labels and image, and make the label map."""
        grid = CaseHeaders(case, *self.headers(case, description.dimension)).grid(self.spacing)
        label, instances = None, None
        notes: tuple[Note, ...] = ()
        if case.labels:
            ids, notes = self.read_ids(case)
            instances = pieces(ids) if self.split_components else number_from_one(ids)
            del ids
            notes += instance_notes(instances, case.labels[0] if len(case.labels) == 1 else case.images[0])
            label, more = self.make_label(case, instances, grid, description)
            notes += more
        pixels = self.read_pixels(case, description)
        notes += _check_pixels(pixels, case.images[0])
        return Sample(_files(pixels, description), label, notes, instances, grid)

    def make_label(
        self, case: Case, instances: Ids, grid: Grid, description: DatasetDescription
    ) -> tuple[NDArray[np.uint8], tuple[Note, ...]]:
        """Return the label map and notes on it; here the classes of the instances, and the ignore label."""
        label = self.make_classes(case, instances, grid.spacing)
        notes = self._lost_notes(case, instances, label, grid.spacing)
        unknown = self.ignored(case, instances)
        if unknown is not None:
            label[unknown & (instances == 0)] = description.labels[IGNORE]
        return label, notes

    def _lost_notes(
        self, case: Case, instances: Ids, label: NDArray[np.uint8], spacing: tuple[float, ...] | None
    ) -> tuple[Note, ...]:
        """Return a note if instances cannot come back, with the radius that would give them a core."""
        from nnunet_ext.targets import without_core

        if self.classes == 2:
            return merged_note(instances, case.labels[0])
        lost = without_core(instances, label)
        if not lost.size:
            return ()
        edges = spacing if self.physical_radii and spacing else (1.0,) * instances.ndim
        radius, fewest = None, lost.size
        for smaller in smaller_radii(self._radius("touching"), edges):
            left = without_core(instances, self.make_classes(case, instances, spacing, smaller)).size
            if left < fewest:
                radius, fewest = smaller, left
            if not left:
                break
        return (lost_note(case.labels[0], lost, int(instances.max()), radius, fewest),)

    def refuse_class_options(self, reason: str) -> None:
        """Raise `UserError` if options ask for classes that are not made, for this reason."""
        if self.classes != 4 or self.physical_radii or {self.touching_radius, self.gap_radius} != {None}:
            raise UserError(f"{reason}: leave out --classes and the radii.")

    def make_classes(
        self,
        case: Case,
        instances: Ids,
        spacing: tuple[float, ...] | None,
        touching_radius: float | None = None,
    ) -> NDArray[np.uint8]:
        """Return the classes of instances; override it where single slices are labelled.

        `touching_radius` takes the place of the option, to see what it would change.
        """
        from nnunet_ext.targets import semantic_from_instances

        touching = self._radius("touching") if touching_radius is None else touching_radius
        unit = spacing if self.physical_radii else None
        try:
            return semantic_from_instances(instances, touching, self._radius("gap"), self.classes, unit)
        except ValueError as error:  # a radius too large for this spacing
            raise UnusableCase(f"{case.images[0]}: {error}") from error


@dataclass(frozen=True)
class FileInstances(InstanceConverter):
    """Base of the converters of image and label files that `nnunet_ext.images` reads."""

    def headers(self, case: Case, dimension: int | None) -> tuple[Header, Header | None]:
        """Read them from the files; an unnamed axis of the image is a channel if the labels are 2D."""
        label = read_header(case.labels[0], self.label_hints()) if case.labels else None
        hints = self.image_hints(len(label.shape) if label else dimension)
        image = join_channels([read_header(file, hints) for file in case.images], case.images)
        return image, label

    def read_pixels(self, case: Case, description: DatasetDescription) -> NDArray[Any]:
        """Read the image file, or the file of each channel."""
        hints = self.image_hints(description.dimension)
        channels = [read_image(file, hints).pixels for file in case.images]
        return channels[0] if len(channels) == 1 else np.concatenate(channels)

    def read_ids(self, case: Case) -> tuple[Ids, tuple[Note, ...]]:
        """Read the label file and check its values."""
        file = case.labels[0]
        labels = read_image(file, self.label_hints()).pixels
        if len(labels) != 1:
            raise UnusableCase(f"{file}: labels of one channel are expected, found {len(labels)}")
        notes = (Note(FLOAT, f"{file}: {labels.dtype}"),) if labels.dtype.kind == "f" else ()
        ids, more = self.adapt(as_ids(labels[0], file), file)
        return ids, (*notes, *more)

    def adapt(self, ids: Ids, file: Path) -> tuple[Ids, tuple[Note, ...]]:
        """Change the ids as read, where a dataset needs it; return them with notes on what was done."""
        return ids, ()

    def image_hints(self, dimension: int | None) -> Hints:
        """Return what is known of an image file."""
        return Hints(dimension=dimension, spacing_given=bool(self.spacing))

    def label_hints(self) -> Hints:
        """Return what is known of a label file."""
        return Hints(label=True, spacing_given=bool(self.spacing))


@dataclass(frozen=True)
class Hdf5Instances(FileInstances):
    """Base of the converters of files that may be HDF5, in which images and labels have keys."""

    image_key: str = option("raw", "dataset of the image in an HDF5 file")
    label_key: str = option("label", "dataset of the labels in an HDF5 file")

    def survey(self, cases: Sequence[Case], progress: Progress = silent) -> Survey:
        """See `InstanceConverter.survey`; that h5py is missing is said once, not for every file."""
        if any(ending_of(file) in HDF5_ENDINGS for case in cases for file in case.files):
            library()
        return super().survey(cases, progress)

    def image_hints(self, dimension: int | None) -> Hints:
        """Return the key of the image, too."""
        return replace(super().image_hints(dimension), key=self.image_key)

    def label_hints(self) -> Hints:
        """Return the key of the labels, too."""
        return replace(super().label_hints(), key=self.label_key)


def _numbered(word: str, count: int) -> tuple[str, ...]:
    return (word,) if count == 1 else tuple(f"{word}{number}" for number in range(count))


def _check_pixels(pixels: NDArray[Any], file: Path) -> tuple[Note, ...]:
    """Refuse values nnU-Net cannot train on; note an image that shows nothing."""
    if pixels.dtype.kind == "f" and not all(np.isfinite(plane).all() for plane in pixels):
        raise UnusableCase(f"{file}: holds values that are not finite (NaN or infinity)")
    constant = [i for i, channel in enumerate(pixels) if channel.min() == channel.max()]
    return tuple(Note(CONSTANT, f"{file}: channel {number}") for number in constant)


def _files(pixels: NDArray[Any], description: DatasetDescription) -> tuple[NDArray[Any], ...]:
    """Return one array per nnU-Net file, in a type it reads: colours in one png, else one per channel."""
    unknown_to_nnunet = {"bool": "uint8", "float16": "float32"}
    native = pixels.dtype.name  # without a byte order
    pixels = pixels.astype(np.dtype(unknown_to_nnunet.get(native, native)), copy=False)
    if description.file_ending == ".png" and len(pixels) == 3:
        return (np.ascontiguousarray(np.moveaxis(pixels, 0, -1)),)
    return tuple(pixels)
