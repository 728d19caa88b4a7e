"""Stored maps: right, made once, made again when something changed, whatever is killed or runs beside."""

import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import blosc2
import numpy as np
import pytest
from acvl_utils.cropping_and_padding.bounding_boxes import crop_and_pad_nd
from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2, nnUNetDatasetNumpy
from nnunetv2.utilities.label_handling.label_handling import LabelManager
from toy_targets import Distances, Levels, Logged, blobs, die, square, stored, write_case

from nnunet_ext import worker_pool
from nnunet_ext.errors import UserError
from nnunet_ext.training.extra_targets.dataset import DatasetWithMaps, StackedChannels
from nnunet_ext.training.extra_targets.stored_maps import build, open_maps

CASES = [f"case{i}" for i in range(4)]


@pytest.fixture
def data(tmp_path):
    """Four preprocessed 2D cases; case i has blobs of seed i."""
    folder = tmp_path / "nnUNetPlans_2d"
    folder.mkdir()
    for i, case in enumerate(CASES):
        write_case(folder, case, blobs((1, 24, 20), i))
    return folder


def quiet(_text):
    pass


def maps_of(target_folder):
    return {path.name.removesuffix(".b2nd"): open_maps(path)[:] for path in target_folder.glob("*.b2nd")}


def assert_right(stored_target):
    """The stored maps against the definition, case by case; nothing left over."""
    found = maps_of(stored_target.folder)
    assert sorted(found) == CASES
    for i, case in enumerate(CASES):
        np.testing.assert_array_equal(found[case], 10.0 * blobs((1, 24, 20), i)[None])
    assert not list(stored_target.folder.glob(".*.tmp"))


def computed(log):
    return sorted(line.split()[0] for line in Path(log).read_text().splitlines())


def test_built_once_with_right_maps(data, tmp_path):
    job = stored(Logged(base=2.0, log=str(tmp_path / "log")), data)
    said = []
    build(job, CASES, 1, said.append)
    assert job.folder == tmp_path / "nnUNetPlans_2d_logged"
    assert_right(job)
    assert said == [f"Computing the maps logged of 4 cases into {job.folder}"]
    build(job, CASES, 1, said.append)
    assert computed(tmp_path / "log") == CASES
    assert len(said) == 1


def test_another_fold_adds_its_cases(data, tmp_path):
    job = stored(Logged(log=str(tmp_path / "log")), data)
    build(job, CASES[:2], 1, quiet)
    build(job, CASES, 1, quiet)
    assert computed(tmp_path / "log") == CASES


def test_changed_labels_are_noticed_case_by_case(data, tmp_path):
    job = stored(Logged(log=str(tmp_path / "log")), data)
    build(job, CASES, 1, quiet)
    labels = np.ones((1, 24, 20), np.int16)
    write_case(data, "case2", labels)
    build(job, CASES, 1, quiet)
    assert computed(tmp_path / "log") == sorted([*CASES, "case2"])
    np.testing.assert_array_equal(maps_of(job.folder)["case2"], 10.0 * labels[None])


@pytest.mark.parametrize("change", ["version", "spacing", "ignore_label", "damaged file"])
def test_made_again_when_what_they_depend_on_changes(change, data, tmp_path):
    target = Logged(log=str(tmp_path / "log"))
    build(stored(target, data), CASES, 1, quiet)
    job = stored(
        target, data,
        spacing=(2.0, 1.0) if change == "spacing" else (1.0, 1.0),
        ignore_label=2 if change == "ignore_label" else None,
    )  # fmt: skip
    if change == "version":
        object.__setattr__(target, "version", 2)
    if change == "damaged file":
        for path in job.folder.glob("*.b2nd"):
            path.write_bytes(path.read_bytes()[:40])
    build(job, CASES, 1, quiet)
    assert computed(tmp_path / "log") == sorted(2 * CASES)
    if change == "ignore_label":
        assert {value for maps in maps_of(job.folder).values() for value in np.unique(maps)} == {0, 10}


def test_a_changed_bit_is_noticed_and_the_maps_made_again(data, tmp_path):
    log = tmp_path / "log"
    target = stored(Logged(log=str(log)), data)
    build(target, CASES, 1, quiet)
    file, before = target.folder / "case1.b2nd", log.read_text()
    good = file.read_bytes()
    for position in range(0, len(good), 7):
        damaged = bytearray(good)
        damaged[position] ^= 1 << position % 8
        file.write_bytes(damaged)
        assert not target.is_done("case1"), position
    damaged = bytearray(good)
    damaged[len(good) // 2] ^= 1
    file.write_bytes(damaged)
    build(target, CASES, 1, quiet)
    assert_right(target)
    assert len(log.read_text().splitlines()) == len(before.splitlines()) + 1
    file.with_suffix(".crc32").unlink()  # as a run that was killed leaves it
    assert not target.is_done("case1")


def test_other_parameters_are_another_folder(data):
    first, second = stored(Levels(base=1.0), data), stored(Levels(base=2.5), data)
    build(first, CASES, 1, quiet)
    build(second, CASES, 1, quiet)
    assert first.folder.name == "nnUNetPlans_2d_levels_base=1"
    assert second.folder.name == "nnUNetPlans_2d_levels_base=2.5"
    assert_right(second)


def test_a_2d_network_gets_the_maps_of_every_slice(tmp_path):
    data = tmp_path / "plans_2d"
    data.mkdir()
    labels = blobs((3, 12, 10), 0)
    write_case(data, "case", labels)
    job = stored(Distances(), data, spacing=(3.0, 1.0))
    build(job, ["case"], 1, quiet)
    slices = [Distances().compute(plane, (3.0, 1.0)) for plane in labels]
    np.testing.assert_array_equal(maps_of(job.folder)["case"], np.stack(slices, 1))


def test_a_3d_network_gets_the_maps_of_the_volume(tmp_path):
    data = tmp_path / "plans_3d"
    data.mkdir()
    labels = blobs((6, 12, 10), 0)
    labels[0, 0, 0] = -1
    write_case(data, "case", labels)
    job = stored(Distances(), data, spacing=(3.0, 1.0, 1.0), patch_size=(4, 8, 8))
    build(job, ["case"], 1, quiet)
    labels[0, 0, 0] = 0
    np.testing.assert_array_equal(maps_of(job.folder)["case"], Distances().compute(labels, (3.0, 1.0, 1.0)))


def test_nnunets_older_format(tmp_path):
    data = tmp_path / "plans"
    data.mkdir()
    labels = blobs((1, 24, 20), 0)
    nnUNetDatasetNumpy.save_case(np.zeros((1, 1, 24, 20), np.float32), labels[None], {}, str(data / "case"))
    job = stored(Levels(), data)
    object.__setattr__(job, "dataset_class", nnUNetDatasetNumpy)
    build(job, ["case"], 1, quiet)
    np.testing.assert_array_equal(maps_of(job.folder)["case"], 10.0 * labels[None])
    assert job.is_done("case")
    os.utime(data / "case.npz", ns=(1, 1))
    assert not job.is_done("case")


@dataclass(frozen=True)
class Picky(Levels):
    name = "picky"

    def compute_case(self, case):
        if case.identifier in ("case1", "case2"):
            raise UserError(f"{case.identifier} will not do")
        return super().compute_case(case)


def test_all_unusable_cases_are_named_and_the_others_kept(data):
    job = stored(Picky(), data)
    with pytest.raises(UserError, match="picky cannot be made:\ncase1 will not do\ncase2 will not do"):
        build(job, CASES, 1, quiet)
    assert sorted(maps_of(job.folder)) == ["case0", "case3"]


def test_a_failure_names_its_case(data):
    class Failing(Levels):
        def compute(self, labels, spacing):
            raise ZeroDivisionError("too little")

    with pytest.raises(RuntimeError, match="levels_base=1 of case case0: too little"):
        build(stored(Failing(), data), CASES, 1, quiet)


def test_a_folder_that_cannot_be_written_is_named(data):
    job = stored(Levels(), data)
    job.folder.write_text("a file is in the way")
    with pytest.raises(UserError, match=r"cannot be stored in .*levels_base=1"):
        build(job, CASES, 1, quiet)


def script(data, log, seconds=0.0, before="", processes=1):
    """A process of its own that builds the maps of the four cases."""
    code = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from toy_targets import Logged, stored
from nnunet_ext import worker_pool
from nnunet_ext import worker_pool
from nnunet_ext.training.extra_targets.stored_maps import build
{before}
if __name__ == "__main__":
    job = stored(Logged(base=2.0, log={str(log)!r}, seconds={seconds}), Path({str(data)!r}))
    build(job, {CASES!r}, {processes}, lambda text: print(text, flush=True))
"""
    file = Path(log).with_suffix(".py")
    file.write_text(code)
    return subprocess.Popen([sys.executable, file], stdout=subprocess.PIPE, text=True, start_new_session=True)


KILLED_IN_RENAME = """
rename = os.replace
def die_at_second(source, target):
    if target.name == "case1.b2nd":
        os.kill(os.getpid(), signal.SIGKILL)
    rename(source, target)
os.replace = die_at_second
"""
KILLED_HALFWAY = """
import blosc2
write = blosc2.asarray
def die_at_second(array, urlpath, **options):
    if "case1" in urlpath:
        open(urlpath, "wb").write(b"half a file")
        os.kill(os.getpid(), signal.SIGKILL)
    return write(array, urlpath=urlpath, **options)
blosc2.asarray = die_at_second
"""


@pytest.mark.parametrize("before", [KILLED_IN_RENAME, KILLED_HALFWAY], ids=["renaming", "writing"])
def test_killed_while_writing_then_started_again(before, data, tmp_path):
    process = script(data, tmp_path / "log", before=before)
    assert process.wait(300) == -signal.SIGKILL
    job = stored(Logged(base=2.0, log=str(tmp_path / "log")), data)
    assert sorted(maps_of(job.folder)) == ["case0"]
    assert len(list(job.folder.glob(".case1.*.tmp"))) == 1
    build(job, CASES, 1, quiet)
    assert_right(job)
    assert computed(tmp_path / "log") == ["case0", "case1", "case1", "case2", "case3"]


@pytest.mark.slow
def test_two_started_together_build_the_maps_once(data, tmp_path):
    together = f"""
import time
Path({str(tmp_path)!r}, f"ready{{os.getpid()}}").touch()
while len(list(Path({str(tmp_path)!r}).glob("ready*"))) < 2:
    time.sleep(0.01)
"""
    both = [script(data, tmp_path / "log", seconds=0.3, before=together) for _ in range(2)]
    said = "".join(process.communicate(timeout=300)[0] for process in both)
    assert [process.returncode for process in both] == [0, 0]
    assert computed(tmp_path / "log") == CASES
    assert said.count("Computing the maps") == 1
    assert said.count("waiting for it") == 1
    assert_right(stored(Logged(base=2.0, log=str(tmp_path / "log")), data))


@pytest.mark.slow
def test_killed_parent_takes_its_workers_along_and_leaves_no_lock(data, tmp_path):
    """The lock must not stay with workers that outlive their parent."""
    process = script(
        data, tmp_path / "log", seconds=5.0, before="worker_pool.WORTH_PROCESSES = 0.0", processes=2
    )
    while len({line.split()[1] for line in _lines(tmp_path / "log")}) < 3:  # parent first, then two workers
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    workers = {int(line.split()[1]) for line in _lines(tmp_path / "log")} - {process.pid}
    job = stored(Logged(base=2.0, log=str(tmp_path / "log")), data)
    build(job, CASES, 1, quiet)
    assert_right(job)
    deadline = time.monotonic() + 60
    while any(_alive(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(_alive(pid) for pid in workers)


def _lines(path):
    return path.read_text().splitlines() if path.exists() else []


def _alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_processes_start_only_where_they_pay(monkeypatch):
    alone = list(worker_pool.over_cases(square, range(5), "Squares", 2))
    assert alone == [(n * n, os.getpid()) for n in range(5)]
    monkeypatch.setattr(worker_pool, "WORTH_PROCESSES", 0.0)
    shared = list(worker_pool.over_cases(square, range(5), "Squares", 2))
    assert sorted(value for value, _ in shared) == [0, 1, 4, 9, 16]
    assert shared[0] == alone[0]
    assert os.getpid() not in {pid for _, pid in shared[1:]}


def test_a_dead_worker_is_an_error_for_people(monkeypatch):
    monkeypatch.setattr(worker_pool, "WORTH_PROCESSES", 0.0)
    with pytest.raises(UserError, match="nnUNet_def_n_proc"):
        list(worker_pool.over_cases(die, range(3), "Deaths", 2))


@pytest.mark.parametrize("kind", ["numpy", "blosc2"])
def test_stacked_channels_are_cut_like_one_array(kind):
    rng = np.random.default_rng(0)
    image, maps = (rng.random((channels, 5, 9, 8)).astype(np.float32) for channels in (3, 2))
    convert = (lambda a: a) if kind == "numpy" else blosc2.asarray
    both = StackedChannels([convert(image), convert(maps)])
    assert both.shape == (5, 5, 9, 8)
    box = [[-1, 3], [2, 12], [-2, 10]]
    expected = crop_and_pad_nd(np.concatenate([image, maps]), box, 0)
    np.testing.assert_array_equal(crop_and_pad_nd(both, box, 0), expected)
    with pytest.raises(IndexError, match="all channels"):
        both[0]
    with pytest.raises(ValueError, match="share their spatial shape"):
        StackedChannels([image, maps[:, :4]])


@pytest.mark.parametrize("patch", [(16, 16), (2, 16, 16)], ids=["2d", "3d"])
def test_nnunets_own_loader_reads_the_maps(patch, tmp_path):
    """The maps (10 · label) behind the image lie where the labels do; 0 where the loader pads."""
    data = tmp_path / "plans"
    data.mkdir()
    for i, case in enumerate(CASES):
        write_case(data, case, blobs((3, 12, 20), i))
    job = stored(Levels(), data, spacing=(1.0,) * len(patch), patch_size=patch)
    build(job, CASES, 1, quiet)
    dataset = pickle.loads(pickle.dumps(DatasetWithMaps(nnUNetDatasetBlosc2(str(data)), [job.folder])))
    manager = LabelManager({"background": 0, "a": 1, "b": 2}, None)
    loader = nnUNetDataLoader(dataset, 4, patch, patch, manager, oversample_foreground_percent=0.5)
    np.random.seed(0)
    batch = next(loader)
    assert batch["data"].shape == (4, 2, *patch)
    assert np.array_equal(batch["data"][:, 1], np.maximum(batch["target"][:, 0].numpy(), 0) * 10.0)
    assert batch["data"][:, 1].max() == 20
    assert batch["target"].min() == -1


def test_build_checks_before_it_computes(data, tmp_path):
    class Incomplete(Logged):
        def problems(self, identifiers):
            return [f"no source for {len(identifiers)} cases"]

    job = stored(Incomplete(log=str(tmp_path / "log")), data)
    with pytest.raises(UserError, match="no source for 4 cases"):
        build(job, CASES, 1, quiet)
    assert not (tmp_path / "log").exists()
    assert not job.folder.exists()
