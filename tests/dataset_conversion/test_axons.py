"""Axons (DeepACSON), converted from a miniature of its tree."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from nnunet_ext.dataset_conversion import UnusableCase, UserError, axes_of
from nnunet_ext.dataset_conversion.axons import Axons
from nnunet_ext.dataset_conversion.engine.run import convert

h5py = pytest.importorskip("h5py")
scipy_io = pytest.importorskip("scipy.io")

SHAPE = (10, 22, 20)  # z, y, x
PLACES = [
    f"{a}_{side}" for a in ("Sham_25", "Sham_49", "TBI_2", "TBI_24", "TBI_28") for side in ("contra", "ipsi")
]


def anatomy(shape: tuple[int, int, int] = SHAPE) -> tuple[np.ndarray, np.ndarray]:
    """Ids of two axons, 3 and 367, and the myelin around the first; one voxel is both."""
    axons, myelin = np.zeros(shape, np.uint16), np.zeros(shape, np.uint8)
    myelin[:, 2:8, 3:12] = 1
    myelin[:, 3:7, 4:11] = 0
    axons[:, 3:7, 4:11], axons[2:8, 12:15, 5:9] = 3, 367
    myelin[0, 3, 4] = 1
    return axons, myelin


def volume(axons: np.ndarray, myelin: np.ndarray) -> np.ndarray:
    """Bright axons and dark myelin."""
    noise = np.random.default_rng(0).normal(120, 5, axons.shape)
    return (noise + 80 * (axons > 0) - 80.0 * (myelin > 0)).clip(0, 255).astype(np.uint8)


def save_v73(path: Path, name: str, values: np.ndarray) -> None:
    """As MATLAB does: its axes (x, y, z) reversed in HDF5, behind a header of 512 bytes."""
    with h5py.File(path, "w", userblock_size=512) as file:
        file[name] = values
    with path.open("r+b") as raw_file:
        raw_file.write(b"MATLAB 7.3 MAT-file".ljust(512, b" "))


def save_sample(folder: Path, kind: str, prefix: str = "") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{kind}_{folder.name.partition('_')[2]}"
    axons, myelin = anatomy()
    with h5py.File(folder / f"{stem}.h5", "w") as file:
        file["raw"] = volume(axons, myelin)[:, None]
    if kind == "HM":
        for name, values in (("myelinated_axons", axons), ("myelin", myelin)):
            scipy_io.savemat(folder / f"{stem}_{name}.mat", {name: values.T, "info": "proof-read"})
    else:
        save_v73(folder / f"{stem}_myelinated_axons.mat", "final_lbl", axons)
        save_v73(folder / f"{prefix}{stem}_myelin.mat", "myelin", myelin)
        save_v73(folder / f"{stem}_nucleus.mat", "final_lbl", np.zeros(SHAPE, np.uint8))


@pytest.fixture
def tissue(tmp_path: Path) -> Path:
    root = tmp_path / "White matter EM"
    for place in PLACES:
        save_sample(root / place, "HM")
    (root / "README.docx").write_bytes(b"voxel sizes")
    (root / "Sham_25_contra/._HM_25_contra.h5").write_bytes(b"no image")
    return root


def label_of(folder: Path, case: str) -> np.ndarray:
    return np.asarray(tifffile.imread(folder / f"labelsTr/{case}.tif"))


def test_ten_volumes(tissue: Path, raw: Path, accept: Callable[[Path], dict]) -> None:
    result = convert(Axons(), tissue.parent, 503)
    assert result.folder == raw / "Dataset503_Axons"
    assert sorted(result.report["cases"]) == sorted(place.replace("_", "_HM_", 1) for place in PLACES)
    axons, myelin = anatomy()
    np.testing.assert_array_equal(label_of(result.folder, "Sham_HM_25_contra"), axons > 0)
    image = tifffile.imread(result.folder / "imagesTr/Sham_HM_25_contra_0000.tif")
    np.testing.assert_array_equal(image, volume(axons, myelin))
    spacing = json.loads((result.folder / "labelsTr/Sham_HM_25_contra.json").read_text())["spacing"]
    assert spacing == [0.05, 0.015, 0.015]
    folds = json.loads((result.folder / "splits_final.json").read_text())
    assert sorted({case.split("_")[2] for case in fold["val"]} for fold in folds) == sorted(
        {animal} for animal in ("2", "24", "25", "28", "49")
    )
    assert [len(fold["val"]) for fold in folds] == [2] * 5
    assert result.report["altered"] == {"relabelled": 10, "turned": 10}
    texts = [note["text"] for note in result.report["notes"]]
    file = "Sham_25_contra/HM_25_contra_myelinated_axons.mat"
    assert f"{file}: axes xyz to zyx" in texts
    assert f"{file}: numbers up to 367 to one class" in texts
    assert accept(result.folder)["configurations"]["3d_fullres"]["spacing"] == pytest.approx(
        [0.05, 0.015, 0.015]
    )


def test_myelin(tissue: Path, raw: Path) -> None:
    axons, myelin = anatomy()
    fibres = convert(Axons(foreground="fibres"), tissue, 1, "Fibres")
    np.testing.assert_array_equal(label_of(fibres.folder, "TBI_HM_2_ipsi"), (axons > 0) | (myelin > 0))
    both = convert(Axons(foreground="both"), tissue, 2, "Both")
    expected = np.where(axons > 0, 1, 2 * myelin)
    np.testing.assert_array_equal(label_of(both.folder, "TBI_HM_2_ipsi"), expected)
    overlap = "TBI_2_ipsi/HM_2_ipsi_myelinated_axons.mat: 1 voxels are myelin too, and become axon"
    assert {"kind": "overlap", "text": overlap} in both.report["notes"]


def test_low_magnification_in_matlab_73_with_an_odd_name(tissue: Path, raw: Path) -> None:
    save_sample(tissue / "TBI_28_ipsi", "LM", prefix="mat_")
    save_sample(tissue / "Sham_25_contra", "LM")
    result = convert(Axons(foreground="both", magnification="LM"), tissue, 503)
    assert sorted(result.report["cases"]) == ["Sham_LM_25_contra", "TBI_LM_28_ipsi"]
    axons, myelin = anatomy()
    np.testing.assert_array_equal(
        label_of(result.folder, "TBI_LM_28_ipsi"), np.where(axons > 0, 1, 2 * myelin)
    )
    assert json.loads((result.folder / "imagesTr/TBI_LM_28_ipsi.json").read_text())["spacing"] == [0.05] * 3


def test_axes_of_equal_length_are_told_by_the_pixels() -> None:
    axons, myelin = anatomy((10, 20, 20))
    image, file = volume(axons, myelin), Path("a.mat")
    assert axes_of(axons.T, image, file) == "xyz"
    assert axes_of(axons.transpose(1, 2, 0), image, file) == "yxz"
    assert axes_of(myelin, image, file) == "zyx"
    with pytest.raises(UnusableCase, match=r"a.mat: the axes could be .* Say which with --label-axes"):
        axes_of(axons.T, np.full_like(image, 7), file)
    with pytest.raises(UnusableCase, match=r"a.mat: 20x20x9 voxels do not fit the image's 10x20x20 in any"):
        axes_of(axons.T[..., 1:], image, file)


def test_axes_that_are_given(tissue: Path, raw: Path) -> None:
    with pytest.raises(UserError, match=r"20x22x10 voxels with the axes yxz do not fit the image's 10x22x20"):
        convert(Axons(label_axes="yxz"), tissue, 1)
    assert convert(Axons(label_axes="xyz"), tissue, 2, "Given").report["counts"]["train"] == 10


def test_what_is_wrong_is_listed_by_file(tissue: Path, raw: Path) -> None:
    (tissue / "Sham_25_ipsi/HM_25_ipsi_myelinated_axons.mat").unlink()
    (tissue / "TBI_2_ipsi/HM_2_ipsi.h5").unlink()
    cut = tissue / "TBI_24_ipsi/HM_24_ipsi.h5"
    cut.write_bytes(cut.read_bytes()[:3000])
    two = tissue / "Sham_49_ipsi/HM_49_ipsi_myelinated_axons.mat"
    scipy_io.savemat(two, {"a": anatomy()[0].T, "b": anatomy()[0].T})
    negative = anatomy()[0].T.astype(np.int16)
    negative[0, 0, 0] = -1
    scipy_io.savemat(tissue / "TBI_28_ipsi/HM_28_ipsi_myelinated_axons.mat", {"a": negative})
    with pytest.raises(UserError) as caught:
        convert(Axons(), tissue, 503)
    for text in (
        "HM_28_ipsi_myelinated_axons.mat: holds -1, but instance ids are whole numbers from 0",
        "Sham_25_ipsi/HM_25_ipsi_myelinated_axons.mat: missing",
        "TBI_2_ipsi/HM_2_ipsi.h5: missing",
        "TBI_24_ipsi/HM_24_ipsi.h5: cannot be read as HDF5",
        "HM_49_ipsi_myelinated_axons.mat: has 2 arrays with 3 axes, one is expected",
    ):
        assert text in str(caught.value)
    assert convert(Axons(), tissue, 503, on_error="skip").report["counts"]["train"] == 5


def test_sham_and_tbi_that_were_swapped(tissue: Path, raw: Path) -> None:
    (tissue / "TBI_2_ipsi").rename(tissue / "Sham_2_ipsi")
    (tissue / "TBI_28_ipsi").rename(tissue / "TBI_24_left")
    (tissue / "TBI_24_left").rename(tissue / "TBI_49_ipsi")
    with pytest.raises(UserError) as caught:
        convert(Axons(), tissue, 503)
    assert "Sham_2_ipsi/HM_2_ipsi.h5: animal 2 belongs to TBI, not to Sham" in str(caught.value)
    assert "TBI_49_ipsi/HM_28_ipsi.h5: is not of the sample its folder names, 49_ipsi" in str(caught.value)
