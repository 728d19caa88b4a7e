"""What the converters of NIfTI volumes share: the reading of a case."""

from __future__ import annotations

from dataclasses import dataclass

from nnunet_ext.dataset_conversion.case import Case, Note, Sample
from nnunet_ext.dataset_conversion.converter import Converter
from nnunet_ext.dataset_conversion.description import DatasetDescription
from nnunet_ext.dataset_conversion.reading import as_labels
from nnunet_ext.dataset_conversion.volumes import Volume, read_filled


@dataclass(frozen=True)
class VolumeConverter(Converter):
    """Base of the converters whose cases are one NIfTI file per channel and one of labels.

    All files of a case must lie on the same voxels. Labels stored as almost whole numbers are rounded and
    values of an image that are not finite set to 0, which is noted; labels that are not finite are refused.
    """

    def read_case(self, case: Case, description: DatasetDescription) -> Sample:
        """Read channels and label."""
        volume, notes = self.read_files(case)
        if volume.label is None:
            return Sample(volume.channels, None, notes, grid=volume.grid)
        label, more = as_labels(volume.label, case.labels[0])
        return Sample(volume.channels, label, (*notes, *more), grid=volume.grid)

    def read_files(self, case: Case) -> tuple[Volume, tuple[Note, ...]]:
        """Read the files of a case, with notes on what was done to bring them together."""
        return read_filled(case)
