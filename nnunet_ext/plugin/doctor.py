"""What has to be in place before ``nnUNetv2_train -tr nnUNetTrainer…`` can run here."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import io
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from nnunet_ext import __version__
from nnunet_ext.plugin.register import FOLDER, VARIABLE, listed_folders
from nnunet_ext.training.device import best_device

_NNUNET_FOLDERS = {
    "nnUNet_raw": "datasets as you convert them",
    "nnUNet_preprocessed": "what nnU-Net makes of them; put it on a fast disk",
    "nnUNet_results": "trained models",
}


@dataclass(frozen=True)
class Check:
    """One row of the doctor's table.

    `state` is "ok", "note" (training can start all the same) or "bad"; `remedy` says how to fix it.
    """

    subject: str
    state: str
    found: str
    remedy: str = ""


def _required_nnunet() -> str:
    requirements = importlib.metadata.requires("nnunet-ext") or []
    return next((r for r in requirements if r.startswith("nnunetv2")), "nnunetv2")


def check_versions() -> Iterator[Check]:
    """Which nnunet-ext, nnU-Net and torch are installed, and whether torch sees a GPU."""
    from packaging.requirements import Requirement

    yield Check("nnunet-ext", "ok", __version__)
    required = Requirement(_required_nnunet())
    try:
        version = importlib.metadata.version("nnunetv2")
    except importlib.metadata.PackageNotFoundError:
        yield Check("nnU-Net", "bad", "not installed", f"pip install '{required}'")
        return
    if version in required.specifier:
        yield Check("nnU-Net", "ok", version)
    else:
        yield Check(
            "nnU-Net", "bad", f"{version}, made for {required.specifier}", f"pip install '{required}'"
        )
    try:
        import torch
    except Exception as error:
        yield Check("torch", "bad", f"does not import: {error}", "reinstall torch and torchvision together")
        return
    yield Check("torch", "ok", torch.__version__)
    device = best_device()
    if device == "cuda":
        yield Check("GPU", "ok", f"{torch.cuda.get_device_name()} (CUDA {torch.version.cuda})")
    elif device == "mps":
        yield Check("GPU", "note", "Apple MPS, no CUDA", "add -device mps to nnU-Net's commands")
    else:
        yield Check(
            "GPU",
            "note",
            "none that PyTorch can use",
            "add -device cpu to nnUNetv2_train and nnUNetv2_predict, which otherwise end in 'Found no NVIDIA "
            "driver', and train with small plans: nnunet_ext small-plans -d DATASET -c 2d",
        )


def check_discovery() -> Iterator[Check]:
    """Whether the interpreter start announces our folder, and nnU-Net's own finder returns the trainers."""
    listed = listed_folders()
    if FOLDER in listed:
        yield Check(VARIABLE, "ok", f"lists {', '.join(listed)}")
    else:
        value = os.environ.get(VARIABLE) or "not set"
        yield Check(
            VARIABLE,
            "bad",
            f"{value}: our folder is missing",
            f"pip install again, or: export {VARIABLE}={os.pathsep.join([*listed, FOLDER])}",
        )
    from nnunet_ext.trainers import FAMILIES

    hidden = _defined_by_nnunet(FAMILIES)
    for name in FAMILIES:
        yield Check(name, "bad", "nnU-Net has one of its own") if name in hidden else check_trainer(name)


def _defined_by_nnunet(names: Iterable[str]) -> set[str]:
    """Those that are classes of nnU-Net itself, which it looks through first; its files are not imported."""
    package = importlib.util.find_spec("nnunetv2")
    folders = package.submodule_search_locations if package else None
    files = [
        file for folder in folders or () for file in Path(folder, "training", "nnUNetTrainer").rglob("*.py")
    ]
    text = "\n".join(file.read_text(encoding="utf-8") for file in files)
    return {name for name in names if re.search(rf"^class {name}\b", text, re.MULTILINE)}


def check_trainer(name: str) -> Check:
    """Have nnU-Net look for one trainer in the folders of `VARIABLE`, as it does after its own."""
    try:
        from nnunetv2.utilities.find_class_by_name import recursive_find_python_class

        found = None
        with contextlib.redirect_stdout(io.StringIO()):
            for folder in filter(os.path.exists, listed_folders()):
                found = found or recursive_find_python_class(
                    folder, name, None, base_folder=folder, cleanup_imports_from_base_folder=True
                )
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        return Check(name, "bad", f"not found by nnU-Net: {reason}", f"look into the folders of {VARIABLE}")
    if found is None:
        return Check(name, "bad", "not found by nnU-Net", f"look into the folders of {VARIABLE}")
    if not found.__module__.startswith("nnunet_ext."):
        return Check(
            name, "bad", f"another class hides ours: {found.__module__}", f"remove it from {VARIABLE}"
        )
    return Check(name, "ok", "found by nnU-Net")


def check_folder(variable: str, purpose: str) -> Check:
    """Whether one of nnU-Net's three folders is set, exists and can be written to."""
    value = os.environ.get(variable)
    if not value:
        return Check(variable, "bad", "not set", f"export {variable}=/a/folder   ({purpose})")
    folder = Path(value)
    if folder.exists() and not folder.is_dir():
        return Check(variable, "bad", f"{folder} is a file", f"export {variable}=/a/folder   ({purpose})")
    if not folder.is_dir():
        return Check(variable, "bad", f"{folder} does not exist", f"mkdir -p '{folder}'")
    if not os.access(folder, os.W_OK | os.X_OK):
        return Check(
            variable, "bad", f"{folder} is not writable", "choose another folder or change its rights"
        )
    if not folder.is_absolute():
        return Check(
            variable, "note", f"{folder}, which depends on the working directory", "give a full path"
        )
    return Check(variable, "ok", str(folder))


def examine() -> Iterator[Check]:
    """All checks, in the order a person would fix them."""
    yield from check_versions()
    yield from check_discovery()
    for variable, purpose in _NNUNET_FOLDERS.items():
        yield check_folder(variable, purpose)
