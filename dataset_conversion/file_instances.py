"""Instance labels in image files of the usual formats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_ext.dataset_conversion.case import Case, CaseError, Note
from nnunet_ext.dataset_conversion.description import DatasetDescription
from nnunet_ext.dataset_conversion.instance_converter import Ids, InstanceConverter
from nnunet_ext.dataset_conversion.instance_labels import FLOAT, as_ids
from nnunet_ext.dataset_conversion.instance_survey import join_channels
from nnunet_ext.dataset_conversion.options import option
from nnunet_ext.dataset_conversion.survey import Progress, Survey, silent
from nnunet_ext.images.files import HDF5_ENDINGS, ending_of, read_header, read_image
from nnunet_ext.images.hdf5 import library
from nnunet_ext.images.image import Header, Hints


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
            raise CaseError(f"{file}: labels of one channel are expected, found {len(labels)}")
        notes = (Note(FLOAT, f"{file}: {labels.dtype}"),) if labels.dtype.kind == "f" else ()
        ids, more = self.adapt(as_ids(labels[0], file), file)
        return ids, (*notes, *more)

    def adapt(self, ids: Ids, file: Path) -> tuple[Ids, tuple[Note, ...]]:
        """Change the ids as read, where a dataset needs it; return them with notes on what was done."""
        return ids, ()

    def image_hints(self, dimension: int | None) -> Hints:
        """Return what is known of an image file."""
        return Hints(dimension=dimension)

    def label_hints(self) -> Hints:
        """Return what is known of a label file."""
        return Hints(label=True)


@dataclass(frozen=True)
class Hdf5Instances(FileInstances):
    """The same for files that may be HDF5, in which images and labels have keys."""

    image_key: str = option("raw", "dataset of the image in an HDF5 file")
    label_key: str = option("label", "dataset of the labels in an HDF5 file")

    def survey(self, cases: Sequence[Case], progress: Progress = silent) -> Survey:
        """See `InstanceConverter.survey`; a missing library is said once."""
        if any(ending_of(file) in HDF5_ENDINGS for case in cases for file in case.files):
            library()
        return super().survey(cases, progress)

    def image_hints(self, dimension: int | None) -> Hints:
        """Return the key of the image, too."""
        return Hints(self.image_key, dimension)

    def label_hints(self) -> Hints:
        """Return the key of the labels, too."""
        return Hints(self.label_key, label=True)
