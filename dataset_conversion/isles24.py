"""ISLES'24: infarcts after stroke, in acute CT and follow-up MRI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nnunet_ext.dataset_conversion import (
    Case,
    DatasetDescription,
    Facts,
    FilesByKey,
    Hints,
    Note,
    Progress,
    Survey,
    UnusableCases,
    UserError,
    Volume,
    VolumeConverter,
    find_folder,
    grid_problem,
    match_files,
    option,
    read_filled,
    read_header,
    read_resampled,
    silent,
)

#: channel of --channels -> (where a file of it is expected, its name for nnU-Net, by which it normalises)
CHANNELS = {
    "adc": ("derivatives/{0}/ses-02/{0}_ses-02_space-ncct_adc.nii.gz", "ADC"),
    "dwi": ("derivatives/{0}/ses-02/{0}_ses-02_space-ncct_dwi.nii.gz", "DWI"),
    "ncct": ("raw_data/{0}/ses-01/{0}_ses-01_ncct.nii.gz", "CT"),
    "cta": ("derivatives/{0}/ses-01/{0}_ses-01_space-ncct_cta.nii.gz", "CT"),
    **{
        name: (f"derivatives/{{0}}/ses-01/perfusion-maps/{{0}}_ses-01_space-ncct_{name}.nii.gz", name.upper())
        for name in ("cbf", "cbv", "mtt", "tmax")
    },
}
_SUBJECT = (
    r"(?P<batch>.*/)?{tree}/(?P<subject>sub-stroke(?:case)?\d+)/(?P<session>ses-0*\d)/(?:perfusion-maps/)?"
)
_FILE = _SUBJECT + r"(?P=subject)_(?P=session)_(?:space-ncct_)?(?P<word>{words})\.nii\.gz"
_NCCT = _FILE.format(tree="raw_?data", words="ncct")
_OTHERS = _FILE.format(tree="derivatives", words="|".join(name for name in CHANNELS if name != "ncct"))
_LABELS = _FILE.format(tree="derivatives", words="lesion-msk")


_LABEL = "derivatives/{0}/ses-02/{0}_ses-02_space-ncct_lesion-msk.nii.gz"


@dataclass(frozen=True)
class Isles24(VolumeConverter):
    """ISLES'24 (de la Rosa et al. 2024): the final infarct, drawn on follow-up MRI, in the space of the NCCT.

    Names are those of the archive or those of its documentation (``rawdata``, ``strokecase``, ``ses-0002``).
    """

    name = "ISLES24"
    title = "Acute CT and follow-up MRI of stroke: the final infarct (ISLES 2024)"
    licence = "CC BY-NC-SA 4.0"
    url = "https://zenodo.org/records/16748089"
    reference = "de la Rosa et al. (2024), ISLES'24, arXiv:2408.10966"
    facts = Facts(
        task="infarcts in MRI or CT",
        dimension="3D",
        cases="149 / – / –",
        classes="infarct",
        serves="SCNP, Table I.11",
        split="none: nnU-Net's five folds",
        open_points=(
            "which cases were in which of the paper's five folds",
            "unit of CBV",
            "150 cases in the paper, 149 in the archive",
        ),
    )
    example = "-i train -d 521 --channels adc dwi"

    channels: tuple[str, ...] = option(
        ("adc", "dwi"),
        f"channels in their order, of {', '.join(CHANNELS)}; the challenge allows those of acute CT only",
        metavar="CHANNEL",
    )
    resample: bool = option(
        False, "resample channels that do not lie on the label's voxels onto them; otherwise they are refused"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        unknown = [name for name in self.channels if name not in CHANNELS]
        if unknown or not self.channels or len(set(self.channels)) < len(self.channels):
            raise UserError(
                f"--channels {' '.join(self.channels)} is not possible: "
                f"give some of {', '.join(CHANNELS)}, each once."
            )

    def locate(self, source: Path) -> Path:
        """Return `source`, which may hold the batches of an early release beside each other."""
        wanted = "holds derivatives/sub-stroke…/ses-02/…_lesion-msk.nii.gz in its subfolders"
        return find_folder(source, lambda folder: bool(match_files(folder, _LABELS)), wanted, self.name, 0)

    def describe(self) -> DatasetDescription:
        """Return the channels chosen, background and infarct, NIfTI."""
        names = tuple(CHANNELS[name][1] for name in self.channels)
        return DatasetDescription(names, {"background": 0, "infarct": 1}, ".nii.gz", {"train": 149}, 3)

    def find_cases(self, root: Path) -> list[Case]:
        """Return one case per subject that has any of the files, wherever their folders are."""
        files, homes = _files(root)
        labels: dict[str, list[Path]] = {subject: [] for subject in homes}
        for path, found in match_files(root, _LABELS):
            labels[found["subject"]].append(path)
        cases = []
        for subject, home in sorted(homes.items()):
            keys = [(subject, name) for name in self.channels]
            images = tuple(files.get(key, home / CHANNELS[key[1]][0].format(subject)) for key in keys)
            for label in labels[subject] or [home / _LABEL.format(subject)]:
                cases.append(Case(subject, "train", images, (label,), wrong=files.wrong(*keys)))
        return cases

    def known_files(self) -> Mapping[str, str]:
        """Return what of the archive is no channel asked for."""
        tree = "(.*/)?(raw_?data|derivatives)"
        unused = "|".join(name for name in CHANNELS if name not in self.channels)
        return {
            rf"{tree}/.*_({unused})\.nii\.gz": "channels not asked for (--channels)",
            rf"{tree}/.*_(ctp|lvo-msk|cow-msk)\.nii\.gz": "perfusion series and masks of vessels",
            r"(.*/)?raw_?data/.*": "raw scans, of which derivatives lie in one space",
            r"(.*/)?phenotype/.*": "",
        }

    def survey(self, cases: Sequence[Case], progress: Progress = silent) -> Survey:
        """Compare the voxels of channels and label by the headers."""
        problems = {}
        for case in progress(iter(cases), len(cases), "Reading headers"):
            if lines := [line for file in case.images if (line := self._problem(file, case.labels[0]))]:
                problems[case.id] = lines
        if problems:
            raise UnusableCases(problems)
        return super().survey(cases)

    def _problem(self, file: Path, label: Path) -> str:
        try:
            channels, problem = read_header(file, Hints(dimension=3)).channels, grid_problem(file, label)
        except UserError as error:
            return str(error)
        if channels != 1:
            return f"{file}: one channel is expected, found {channels}"
        return f"{problem} (--resample to bring it there)" if problem and not self.resample else ""

    def read_files(self, case: Case) -> tuple[Volume, tuple[Note, ...]]:
        """Read channels and label; with ``--resample`` bring the channels onto the label's voxels."""
        return read_resampled(case) if self.resample else read_filled(case)


def _files(root: Path) -> tuple[FilesByKey[tuple[str, str]], dict[str, Path]]:
    """Return the channels by subject and name, and the folder of the batch in which each subject is.

    Where a channel is there in the space of the NCCT and in another, the former is taken.
    """
    hits = [
        (path, (found["subject"], found["word"].lower()))
        for pattern in (_NCCT, _OTHERS)
        for path, found in match_files(root, pattern)
    ]
    subjects = _SUBJECT.format(tree="(?:raw_?data|derivatives)").partition("/(?P<session>")[0] + "/.*"
    homes = {found["subject"]: root / (found["batch"] or "") for _, found in match_files(root, subjects)}
    in_space = {key for path, key in hits if "space-ncct" in path.name.lower()}
    channels = (hit for hit in hits if hit[1] not in in_space or "space-ncct" in hit[0].name.lower())
    return FilesByKey((key, path) for path, key in channels), homes
