"""What a dataset is: its channels and labels for ``dataset.json``, and its row in the list of datasets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nnunet_ext.dataset_conversion.base.case import Part
from nnunet_ext.nnunet_files.hierarchy import BACKGROUND, IGNORE


@dataclass(frozen=True)
class DatasetDescription:
    """What goes into ``dataset.json``.

    Attributes
    ----------
    channel_names : tuple of str
        One per channel, an RGB file counting as three; nnU-Net picks the normalisation by them ("CT" has
        its own, other names get the z-score).
    labels : mapping
        Class name to value, background = 0, consecutive; "ignore", if there is one, is the highest. Regions,
        which may overlap, have several values each: ``{"whole": (1, 2), "core": 2}``.
    file_ending : str
        Of images and labels, with the dot. With `dimension` it selects the format that is written.
    official_counts : mapping
        Cases per part in the complete dataset, to tell a partial download.
    dimension : int
        Number of spatial axes, 2 or 3.
    regions_class_order : tuple of int
        The label that each region is written as after prediction, in the order of the regions; with regions
        only.
    nesting : mapping
        What lies in what, for the multi-level trainers: ``{"cell": {"nucleus": {}}}``. Empty for classes that
        are not nested.
    touching_radius : mapping
        How far the touching class reaches, if there is one: ``{"radius": 2.0, "unit": "voxels"}``, or
        ``"spacing"``, its unit.

    Raises
    ------
    ValueError
        If nnU-Net would not take these labels.
    """

    channel_names: tuple[str, ...]
    labels: Mapping[str, int | tuple[int, ...]]
    file_ending: str
    official_counts: Mapping[Part, int] = field(default_factory=dict)
    dimension: int = 2
    regions_class_order: tuple[int, ...] = ()
    nesting: Mapping[str, Any] = field(default_factory=dict)
    touching_radius: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        values, ignore = self.values, self.labels.get(IGNORE, self.values[-1])
        if values != tuple(range(len(values))) or ignore != values[-1] or self.labels.get("background") != 0:
            raise ValueError(
                "We expect background = 0, consecutive labels and 'ignore' as the highest. "
                f"Got: {dict(self.labels)}"
            )
        regions = [name for name in self.labels if name not in (BACKGROUND, IGNORE)]
        has_regions = any(isinstance(value, tuple) for value in self.labels.values())
        if len(self.regions_class_order) != len(regions) * has_regions:
            raise ValueError(
                f"We expect regions_class_order to have one label per region ({', '.join(regions)}), and "
                f"none without regions. Got: {self.regions_class_order}"
            )

    @property
    def values(self) -> tuple[int, ...]:
        """All values a label map may hold, the ignore label included, in order."""
        parts = (value if isinstance(value, tuple) else (value,) for value in self.labels.values())
        return tuple(sorted({number for part in parts for number in part}))


@dataclass(frozen=True)
class Facts:
    """What the list of datasets (``nnunet_ext convert --list``) and the help say about one, in words.

    Attributes
    ----------
    task : str
        What is segmented: "retinal vessels".
    dimension : str
        "2D", "3D" or "2D, 3D".
    cases : str
        Training / validation / test: "480 / 120 / 200"; a dash for a part there is none of.
    classes : str
        The classes besides the background: "artery, vein".
    registration : str
        What it takes to get the data: "no", "Kaggle account", "form and password".
    serves : str
        The paper, with its table, whose numbers these data reproduce: "SCNP, Table G.4".
    split : str
        Where the split comes from: "official test; 20 % of training, seeded, as validation".
    open_points : tuple of str
        What could not be established, which the user has to know or to give.
    """

    task: str = ""
    dimension: str = ""
    cases: str = ""
    classes: str = ""
    registration: str = "no"
    serves: str = ""
    split: str = ""
    open_points: tuple[str, ...] = ()
