"""Checkpoints are read without running what may be hidden in them."""

import os
import pickle
import zipfile

import numpy as np
import pytest
import torch

from nnunet_ext.errors import UserError
from nnunet_ext.nnunet_files.checkpoint import load_checkpoint

#: of the kinds that nnU-Net 2.8 stores
CONTENT = {
    "network_weights": {"w": torch.arange(200.0)},
    "optimizer_state": {"state": {}, "param_groups": [{"lr": 0.01, "nesterov": True, "betas": (0.9, 0.999)}]},
    "grad_scaler_state": None,
    "logging": {"train_losses": [np.float32(0.5), np.float64(0.25)], "lrs": [0.01]},
    "_best_ema": np.float32(0.75),
    "init_args": {"plans": {"a": [1, "b"]}, "fold": 0, "device": torch.device("cpu")},
    "inference_allowed_mirroring_axes": (0, 1),
    "ours": {"content": [1, 2], "array": np.arange(3, dtype=np.int16), "flag": np.bool_(True)},
}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "checkpoint_final.pth"
    torch.save(CONTENT, path)
    return path


@pytest.mark.parametrize("mapped", [False, True])
def test_what_nnunet_stores_comes_back(file, mapped):
    content = load_checkpoint(file, mapped=mapped)
    assert torch.equal(content.pop("network_weights")["w"], torch.arange(200.0))
    assert content.pop("ours")["array"].tolist() == [0, 1, 2]
    assert content == {key: value for key, value in CONTENT.items() if key in content}
    assert type(content["_best_ema"]) is np.float32
    assert len(content) == 6


@pytest.mark.parametrize("package", ["numpy.core", "numpy._core"])
def test_numbers_of_either_numpy(file, package):
    """A file says in which module of NumPy 1 or 2 the function was."""
    with zipfile.ZipFile(file) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    (name,) = [name for name in records if name.endswith("data.pkl")]
    here = np.float32(0).__reduce__()[0].__module__.encode()
    assert here in records[name]
    records[name] = records[name].replace(here, f"{package}.multiarray".encode())
    with zipfile.ZipFile(file, "w") as archive:
        for name, record in records.items():
            archive.writestr(name, record)
    assert load_checkpoint(file)["_best_ema"] == 0.75


class Hidden:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder, function):
        self.call = (
            (os.mkdir, (str(folder),))
            if function == "mkdir"
            else (eval, (f"__import__('os').mkdir({str(folder)!r})",))
        )

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("function", ["mkdir", "eval"])
@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("how", ["zip", "protocol 4", "legacy", "pickle"])
def test_nothing_hidden_is_run(tmp_path, function, mapped, how):
    made, file = tmp_path / "made", tmp_path / "bad.pth"
    content = {**CONTENT, "more": Hidden(made, function)}
    if how == "pickle":
        file.write_bytes(pickle.dumps(content["more"]))
    else:
        kinds = {"legacy": {"_use_new_zipfile_serialization": False}, "protocol 4": {"pickle_protocol": 4}}
        torch.save(content, file, **kinds.get(how, {}))
    with pytest.raises(
        UserError, match=r"bad\.pth (was not loaded: it holds|cannot be read as a checkpoint)"
    ):
        load_checkpoint(file, mapped=mapped)
    assert not made.exists()
    if how in ("zip", "protocol 4"):
        load_checkpoint(file, trust=True)
        assert made.exists()  # the test would notice


def test_the_text_names_what_is_hidden_and_what_to_do(tmp_path):
    file = tmp_path / "bad.pth"
    torch.save({"x": Hidden(tmp_path / "made", "eval")}, file)
    with pytest.raises(
        UserError, match=r"it holds eval, which nnU-Net does not store, .* Go on with --trust\."
    ):
        load_checkpoint(file, remedy="Go on with --trust.")


def test_what_others_allowed_stays_allowed(file):
    before = torch.serialization.get_safe_globals()
    torch.serialization.add_safe_globals([Hidden])
    try:
        load_checkpoint(file)
        assert set(torch.serialization.get_safe_globals()) == {*before, Hidden}
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)


@pytest.mark.parametrize("part", [0, 3, 100, 0.5, 0.99])
def test_a_checkpoint_cut_short(file, part):
    content = file.read_bytes()
    file.write_bytes(content[: part if part > 1 else int(part * len(content))])
    for mapped in (False, True):
        with pytest.raises(UserError, match=r"checkpoint_final\.pth cannot be read as a checkpoint"):
            load_checkpoint(file, mapped=mapped)


def test_a_changed_bit_in_the_weights(file):
    content = bytearray(file.read_bytes())
    content[content.index(torch.arange(200.0).numpy().tobytes()) + 401] ^= 4
    file.write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        load_checkpoint(file)


def test_what_is_no_checkpoint(tmp_path):
    file = tmp_path / "other.pth"
    with pytest.raises(UserError, match=r"other\.pth cannot be read: No such file"):
        load_checkpoint(file)
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        load_checkpoint(tmp_path)
    file.write_bytes(b"nothing")
    with pytest.raises(UserError, match="cannot be read as a checkpoint: it is none"):
        load_checkpoint(file)
    torch.save([1], file)
    with pytest.raises(UserError, match="no checkpoint of nnU-Net: it holds one list"):
        load_checkpoint(file)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a", "b")
    with pytest.raises(UserError, match="none at all"):
        load_checkpoint(file)
