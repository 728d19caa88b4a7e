"""Every converter: two files for one thing, and files whose names do not fit, are refused or said."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnunet_ext.dataset_conversion import Case, Converter
from nnunet_ext.dataset_conversion.atlas2 import Atlas2
from nnunet_ext.dataset_conversion.axons import Axons
from nnunet_ext.dataset_conversion.cirrmri600 import CirrMRI600
from nnunet_ext.dataset_conversion.crack500 import Crack500
from nnunet_ext.dataset_conversion.ctc.converter import Ctc
from nnunet_ext.dataset_conversion.deepgloberoads import DeepGlobeRoads
from nnunet_ext.dataset_conversion.dsb2018.converter import Dsb2018
from nnunet_ext.dataset_conversion.engine.discovery import _check_files
from nnunet_ext.dataset_conversion.engine.unused import Unused, find_unused
from nnunet_ext.dataset_conversion.fives import Fives
from nnunet_ext.dataset_conversion.ihc_tma import IhcTma
from nnunet_ext.dataset_conversion.isles24 import Isles24
from nnunet_ext.dataset_conversion.lynsec import Lynsec
from nnunet_ext.dataset_conversion.meristem import Meristem
from nnunet_ext.dataset_conversion.monuseg import MoNuSeg
from nnunet_ext.dataset_conversion.mslesseg import MSLesSeg
from nnunet_ext.dataset_conversion.nuinsseg import NuInsSeg
from nnunet_ext.dataset_conversion.plantseg import PlantSeg
from nnunet_ext.dataset_conversion.post_nat_brca import PostNatBrca
from nnunet_ext.dataset_conversion.pulmonaryva.converter import PulmonaryVA
from nnunet_ext.dataset_conversion.topomortar import TopoMortar

MNI = "Training/R001/sub-r001s001/ses-1/anat/sub-r001s001_ses-1_space-MNI152NLin2009aSym"
PATIENT = "derivatives/sub-stroke0001/ses-02/sub-stroke0001_ses-02"
AXONS = "Sham_25_contra/HM_25_contra"
PLANT = "plant1/{}/0hrs_plant1_trim-acylYFP"
TILE = "MoNuSeg 2018 Training Data/{}/TCGA-18-5592-01Z-00-DX1"
FUNDUS = "train/Original/1_A.png", "train/Ground truth/1_A.png"
SCAN = "train/P1/T1/P1_T1_"

#: a converter and the files of one case, the image first
ONE_CASE: dict[str, tuple[Converter, tuple[str, ...]]] = {
    "atlas2": (Atlas2(), (f"{MNI}_T1w.nii.gz", f"{MNI}_label-L_desc-T1lesion_mask.nii.gz")),
    "axons": (Axons(), (f"{AXONS}.h5", f"{AXONS}_myelinated_axons.mat")),
    "cirrmri600": (
        CirrMRI600(),
        ("Cirrhosis_T2_3D/train_images/7.nii.gz", "Cirrhosis_T2_3D/train_masks/7.nii.gz"),
    ),
    "crack500": (Crack500(), ("traindata/traindata/1_2.jpg", "traindata/traindata/1_2_mask.png")),
    "ctc": (Ctc(dataset="other"), ("01/t000.tif", "01_GT/SEG/man_seg000.tif", "01_GT/TRA/man_track000.tif")),
    "deepgloberoads": (DeepGlobeRoads(), ("train/7_sat.jpg", "train/7_mask.png")),
    "dsb2018": (Dsb2018(), ("a1/images/a1.png", "a1/masks/b.png")),
    "fives": (Fives(), (*FUNDUS, *(name.replace("train", "test") for name in FUNDUS))),
    "ihc_tma": (IhcTma(), ("images/fold1_2_CD3.png", "masks/fold1_2_CD3.npy")),
    "isles24": (
        Isles24(channels=("dwi",)),
        (f"{PATIENT}_space-ncct_dwi.nii.gz", f"{PATIENT}_space-ncct_lesion-msk.nii.gz"),
    ),
    "lynsec": (Lynsec(), ("lynsec 1/0_l1.npy",)),
    "meristem": (
        Meristem(),
        (
            PLANT.format("processed_tiffs") + ".tif",
            PLANT.format("segmentation_tiffs") + "_clean_3.tif",
            "plant1/plant1_tiff_resolutions.txt",
        ),
    ),
    "monuseg": (MoNuSeg(), (TILE.format("Tissue Images") + ".tif", TILE.format("Annotations") + ".xml")),
    "mslesseg": (MSLesSeg(), tuple(f"{SCAN}{word}.nii.gz" for word in ("T1", "T2", "FLAIR", "MASK"))),
    "nuinsseg": (NuInsSeg(), ("human liver/tissue images/1.png", "human liver/label masks modify/1.tif")),
    "plantseg": (PlantSeg(), ("N_1.h5",)),
    "postnatbrca": (PostNatBrca(), ("9_Region 7_crop.tif", "9_Region 7_key.xml")),
    "pulmonaryva": (
        PulmonaryVA(images="ct/{case}.nii*", labels="seg/{case}.nii.gz"),
        ("ct/p1.nii.gz", "seg/p1.nii.gz"),
    ),
    "topomortar": (TopoMortar(), ("train/images/001.png", "train/accurate/001.png")),
}


def make(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def find(root: Path, converter: Converter) -> tuple[list[Case], list[str], Unused]:
    """The cases, what is wrong with them, and what none of them uses."""
    cases = converter.find_cases(root)
    wanted = [case for case in cases if not case.left_out]
    problems = [line for lines in _check_files(wanted).values() for line in lines]
    short = [line.replace(f"{root}/", "") for line in problems]
    return cases, short, find_unused(cases, root, converter.known_files())


@pytest.mark.parametrize("name", ONE_CASE)
def test_a_whole_case(name: str, tmp_path: Path) -> None:
    converter, files = ONE_CASE[name]
    make(tmp_path, *files)
    cases, problems, unused = find(tmp_path, converter)
    assert {str(path.relative_to(tmp_path)) for case in cases for path in case.files} == set(files)
    assert (problems, unused.files, unused.on_purpose) == ([], [], {})


PLANT_IMAGE, PLANT_LABEL = ONE_CASE["meristem"][1][:2]


@pytest.mark.parametrize(
    ("name", "second", "first"),
    [
        ("atlas2", f"{MNI}_lesion_mask.nii.gz", f"{MNI}_label-L_desc-T1lesion_mask.nii.gz"),
        ("axons", "Sham_25_contra/mat_HM_25_contra_myelinated_axons.mat", f"{AXONS}_myelinated_axons.mat"),
        ("axons", "sham_25_contra/HM_25_contra.h5", f"{AXONS}.h5"),
        ("axons", f"{AXONS}.H5", f"{AXONS}.h5"),
        ("cirrmri600", "Cirrhosis_T2_3D/more/train_images/7.nii.gz", "Cirrhosis_T2_3D/train_images/7.nii.gz"),
        ("crack500", "traindata/traindata/1_2.jpeg", "traindata/traindata/1_2.jpg"),
        ("crack500", "traindata/traindata/1_2.JPG", "traindata/traindata/1_2.jpg"),
        ("crack500", "traindata/1_2.jpg", "traindata/traindata/1_2.jpg"),
        ("ctc", "01/t000.tiff", "01/t000.tif"),
        ("ctc", "01_GT/TRA/man_track000.tiff", "01_GT/TRA/man_track000.tif"),
        ("deepgloberoads", "train/7_sat.jpeg", "train/7_sat.jpg"),
        ("deepgloberoads", "train/7_mask.PNG", "train/7_mask.png"),
        ("fives", "train/Original/1_A.PNG", "train/Original/1_A.png"),
        ("ihc_tma", "images/fold1_2_CD3.PNG", "images/fold1_2_CD3.png"),
        ("isles24", f"derivatives/x/{PATIENT}_space-ncct_dwi.nii.gz", f"{PATIENT}_space-ncct_dwi.nii.gz"),
        ("isles24", f"{PATIENT}_lesion-msk.nii.gz", f"{PATIENT}_space-ncct_lesion-msk.nii.gz"),
        ("lynsec", "lynsec_1/0_l1.npy", "lynsec 1/0_l1.npy"),
        ("monuseg", TILE.format("Tissue Images") + ".tiff", TILE.format("Tissue Images") + ".tif"),
        ("monuseg", TILE.format("Annotations") + ".XML", TILE.format("Annotations") + ".xml"),
        ("mslesseg", "train/P1/again/P1_T1_T1.nii.gz", f"{SCAN}T1.nii.gz"),
        ("nuinsseg", "human liver/label masks modify/1.tiff", "human liver/label masks modify/1.tif"),
        ("nuinsseg", "human liver/Tissue Images/1.png", "human liver/tissue images/1.png"),
        ("plantseg", "N_1.hdf5", "N_1.h5"),
        ("plantseg", "N 1.h5", "N_1.h5"),
        ("topomortar", "train/accurate/001.PNG", "train/accurate/001.png"),
    ],
)
def test_two_files_for_one_thing(name: str, second: str, first: str, tmp_path: Path) -> None:
    converter, files = ONE_CASE[name]
    make(tmp_path, *files, second)
    _, problems, _ = find(tmp_path, converter)
    assert any(first in line and second in line for line in problems), problems


@pytest.mark.parametrize(
    ("name", "file", "missing"),
    [
        ("isles24", "derivatives/sub-stroke0002/ses-02/sub-stroke0002_ses-02_space-ncct_dwi.nii.gz", "msk"),
        ("isles24", "raw_data/sub-stroke0003/ses-01/sub-stroke0003_ses-01_ncct.nii.gz", "msk.nii.gz"),
        ("dsb2018", "a2/images/a2.png", ""),
        ("dsb2018", "a2/masks/a2.png", "a2/images/a2.png"),
        ("ctc", "01_GT/SEG/man_seg003.tif", "01/t003.tif"),
        ("mslesseg", "train/P2/T1/P2_T1_T2.nii.gz", "train/P2/T1/P2_T1_MASK.nii.gz"),
        ("nuinsseg", "human lung/tissue images/4.png", "human lung/label masks modify/4.tif"),
        ("nuinsseg", "human lung/label masks modify/4.tif", "human lung/tissue images/4.png"),
        ("fives", "train/Ground truth/9_N.png", "train/Original/9_N.png"),
        ("topomortar", "train/images/002.png", "train/accurate/002.png"),
    ],
)
def test_a_part_without_the_other(name: str, file: str, missing: str, tmp_path: Path) -> None:
    converter, files = ONE_CASE[name]
    make(tmp_path, *files, file)
    cases, problems, _ = find(tmp_path, converter)
    assert len(cases) > 1
    if missing:
        assert any(line.endswith(": missing") and missing in line for line in problems), problems
    else:  # its survey says that it has no masks
        assert not cases[-1].labels


@pytest.mark.parametrize(
    ("name", "file", "said"),
    [
        ("atlas2", "Training/R001/sub-r001s002/ses-1/anat/a_T1w.nii", "Training/R001/sub-r001s002/ (1 file)"),
        ("axons", "Sham_25_ipsi/volume.h5", "Sham_25_ipsi/ (1 file)"),
        ("cirrmri600", "Cirrhosis_T2_3D/train_images/8.nii", "Cirrhosis_T2_3D/train_images/8.nii"),
        ("cirrmri600", "Cirrhosis_T2_3D/tests/8.nii.gz", "Cirrhosis_T2_3D/tests/ (1 file)"),
        ("crack500", "traindata/traindata/3_mask.tif", "traindata/traindata/3_mask.tif"),
        ("crack500", "valdata.zip", "valdata.zip"),
        ("ctc", "01/frame1.tif", "01/frame1.tif"),
        ("ctc", "01_GT/SEG/man_seg1.tif", "01_GT/SEG/man_seg1.tif"),
        ("ctc", "02_GT/SEG/seg000.tif", "02_GT/ (1 file)"),
        ("deepgloberoads", "train/x_sat.jpg", "train/x_sat.jpg"),
        ("deepgloberoads", "valid/8_mask.png", "valid/ (1 file)"),
        ("dsb2018", "a3/image/a3.png", "a3/ (1 file)"),
        ("dsb2018", "a1/masks/c.bmp", "a1/masks/c.bmp"),
        ("fives", "train/Original/3_X.png", "train/Original/3_X.png"),
        ("ihc_tma", "masks/fold4_1_CD3.npy", "masks/fold4_1_CD3.npy"),
        ("isles24", "derivatives/sub-2/ses-02/dwi.nii.gz", "derivatives/sub-2/ (1 file)"),
        ("lynsec", "lynsec 1/1_l2.npy", "lynsec 1/1_l2.npy"),
        ("lynsec", "lynsec 4/1_l4.npy", "lynsec 4/ (1 file)"),
        ("meristem", "plant1/processed_tiffs/4_plant1.tif", "plant1/processed_tiffs/4_plant1.tif"),
        ("monuseg", "MoNuSegTestData/TCGA-1.png", "MoNuSegTestData/ (1 file)"),
        ("mslesseg", "test/P9/P9_T1.nii", "test/ (1 file)"),
        ("nuinsseg", "human lung/tissue image/1.png", "human lung/ (1 file)"),
        ("nuinsseg", "human liver/tissue images/2.jpg", "human liver/tissue images/2.jpg"),
        ("plantseg", "more/N_2.h5", "more/ (1 file)"),
        ("postnatbrca", "deeper/slide.svs", "deeper/ (1 file)"),
        ("pulmonaryva", "seg/p1.mha", "seg/p1.mha"),
        ("topomortar", "train/images/0a1.png", "train/images/0a1.png"),
        ("topomortar", "train/acurate/001.png", "train/acurate/ (1 file)"),
    ],
)
def test_names_that_do_not_fit(name: str, file: str, said: str, tmp_path: Path) -> None:
    converter, files = ONE_CASE[name]
    make(tmp_path, *files, file)
    _, problems, unused = find(tmp_path, converter)
    assert problems == []
    assert unused.unexpected == [said]
    assert said in unused.notes()[0].text


@pytest.mark.parametrize(
    ("name", "known", "reason"),
    [
        ("axons", ("Sham_25_contra/LM_25_contra.h5",), "of the other magnification (--magnification)"),
        ("axons", (f"{AXONS}_myelin.mat",), "the myelin (--foreground)"),
        ("cirrmri600", ("Cirrhosis_T1_3D/train_images/1.nii.gz",), "of the other sequence (--sequence)"),
        (
            "cirrmri600",
            ("Healthy_subjects/T2_W_Healthy/T2_images/1.nii.gz",),
            "of healthy subjects (--healthy)",
        ),
        ("crack500", ("traincrop/traincrop/1_2_3_4.jpg",), "of the other kind (--pictures)"),
        ("ctc", ("01/t001.tif", "02/t000.tif"), "frames without truth"),
        ("ctc", ("01_GT/TRA/man_track004.tif",), "markers of frames without truth"),
        ("ctc", ("02_ST/SEG/man_seg000.tif",), "silver truth (--truth)"),
        (
            "isles24",
            ("raw_data/sub-stroke0001/ses-01/a_ctp.nii.gz",),
            "perfusion series and masks of vessels",
        ),
        ("meristem", ("plant1/tracking_data/a.txt", "plant1/tracking_data/b.tif"), "tracking"),
        ("nuinsseg", ("human liver/label masks/1.tif",), "other masks and maps of the dataset"),
        ("nuinsseg", ("human liver/vague areas/mask binary/1.png",), "vague areas (--vague ignore)"),
        ("topomortar", ("train/noisy/001.png", "train/pseudo/001.png"), "of other label sets (--labels)"),
    ],
)
def test_what_is_not_used_on_purpose(name: str, known: tuple[str, ...], reason: str, tmp_path: Path) -> None:
    converter, files = ONE_CASE[name]
    make(tmp_path, *files, *known, "README.md")
    _, problems, unused = find(tmp_path, converter)
    assert (problems, unused.unexpected) == ([], [])
    assert unused.on_purpose == {reason: len(known)}
