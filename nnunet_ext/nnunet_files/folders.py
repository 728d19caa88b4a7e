"""nnU-Net's three folders, and where a dataset lies in one of them."""

from __future__ import annotations

import os
from pathlib import Path

from nnunet_ext.errors import UserError

_LISTED = 10  # datasets in an error text
VARIABLES = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")


def environment_folder(variable: str) -> Path | None:
    """The folder that one of nnU-Net's environment variables names, or None if it is not set."""
    value = os.environ.get(variable)
    return Path(value) if value else None


def required_folder(variable: str) -> Path:
    """The same, or a `UserError` if the variable is not set."""
    folder = environment_folder(variable)
    if folder is None:
        raise UserError(f"{variable} is not set. Run 'nnunet_ext doctor' to see what is missing.")
    return folder


def dataset_folder(dataset: str, variable: str, remedy: str) -> Path:
    """The folder of a dataset id (``501``) or name (``Dataset501_TopoMortar``).

    Parameters
    ----------
    dataset : str
        Id or name.
    variable : str
        ``nnUNet_raw``, ``nnUNet_preprocessed`` or ``nnUNet_results``.
    remedy : str
        What to do if it is not there; the end of the error text.

    Raises
    ------
    UserError
        If the variable is not set or its folder holds no such dataset.
    """
    base = required_folder(variable)
    wanted = f"Dataset{int(dataset):03d}_" if dataset.isdecimal() else dataset
    folders = base.iterdir() if base.is_dir() else ()
    found = [p for p in folders if p.name == wanted or (dataset.isdecimal() and p.name.startswith(wanted))]
    if len(found) > 1:
        names = ", ".join(sorted(path.name for path in found))
        raise UserError(f"{base} has several datasets '{dataset}': {names}. {remedy}")
    if not found:
        there = sorted(path.name for path in base.glob("Dataset*_*")) if base.is_dir() else []
        more = ", …" if len(there) > _LISTED else ""
        raise UserError(
            f"{base} has no dataset '{dataset}': give its number (501) or whole name "
            f"(Dataset501_TopoMortar). There: {', '.join(there[:_LISTED]) or 'none'}{more}. {remedy}"
        )
    return found[0]
