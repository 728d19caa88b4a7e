"""Volumes: values that are not finite, and resampling onto other voxels."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
from nifti_files import noise

from nnunet_ext.dataset_conversion import Case, Grid, Image, Note, fill, resample
from nnunet_ext.dataset_conversion.base.volumes import read_filled, read_resampled
from nnunet_ext.errors import UnusableCase
from nnunet_ext.images import nifti

FILE = Path("a.png")
LPS = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


def test_fill() -> None:
    pixels = np.array([1, np.nan, -np.inf], np.float32)
    filled, notes = fill(pixels, FILE, -5)
    assert filled.tolist() == [1, -5, -5]
    assert filled.dtype == np.float32
    assert notes == (Note("filled", "a.png: 2 voxels that are not finite, set to -5"),)
    assert np.isnan(pixels[1])
    assert fill(np.array([1, 2]), FILE)[1] == ()


def test_resampling_onto_the_same_voxels_in_another_order() -> None:
    pixels = noise(50)[None]
    there = Grid((2.0, 0.5, 0.4), (0.0, 0.0, 0.0), LPS)
    turned = Grid((2.0, 0.5, 0.4), (19 * 0.4, 0.0, 0.0), (-1.0, *LPS[1:]))
    moved = resample(Image(pixels, turned), there, pixels.shape[1:])
    np.testing.assert_allclose(moved.pixels, pixels[..., ::-1], rtol=1e-5)
    with pytest.raises(ValueError, match="We expect a grid with spacing, origin and direction"):
        resample(Image(pixels, Grid()), there, pixels.shape[1:])


# --- where the voxels lie -----------------------------------------------------------------------


PLACED = Grid((2.0, 0.5, 0.4), (1.0, 2.0, 3.0), LPS)


def case_of(folder: Path, *placed: bool) -> Case:
    """Return a case of two channels and a label; those not `placed` have neither sform nor qform."""
    files = [folder / name for name in ("x.nii.gz", "y.nii.gz", "label.nii.gz")]
    for file, known in zip(files, placed, strict=True):
        pixels = np.zeros((3, 4, 5), np.uint8)
        if known:
            nifti.write(file, pixels, PLACED)
        else:
            nibabel.save(nibabel.Nifti1Image(pixels.T, None), file)
    return Case("a", "train", tuple(files[:2]), (files[2],))


@pytest.mark.parametrize("placed", [(True, True, False), (False, True, True), (True, False, False)])
def test_what_a_file_does_not_state_is_that_of_the_others_and_noted(tmp_path: Path, placed) -> None:
    case = case_of(tmp_path, *placed)
    volume, notes = read_filled(case)
    assert volume.grid.origin == pytest.approx(PLACED.origin)
    assert volume.grid.spacing == pytest.approx(PLACED.spacing)
    text = "neither sform nor qform; taken to lie on the voxels of the other files"
    files = [file for file, known in zip(case.files, placed, strict=True) if not known]
    assert notes == tuple(Note("files without a position", f"{file}: {text}") for file in files)


def test_files_that_all_do_not_state_it_are_nothing_to_say(tmp_path: Path) -> None:
    volume, notes = read_filled(case_of(tmp_path, False, False, False))
    assert (volume.grid.assumed, notes) == (True, ())


def test_no_resampling_onto_or_from_an_unknown_place(tmp_path: Path) -> None:
    case = case_of(tmp_path, True, True, False)
    assert {note.kind for note in read_resampled(case)[1]} == {"files without a position"}
    nibabel.save(nibabel.Nifti1Image(np.zeros((5, 4, 2), np.uint8), None), case.labels[0])
    with pytest.raises(UnusableCase, match=r"x.nii.gz: .* neither sform nor qform.*cannot be resampled"):
        read_resampled(case)
