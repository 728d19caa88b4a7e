"""Where a dataset lies in one of nnU-Net's folders."""

from __future__ import annotations

import os
from pathlib import Path

from nnunet_ext.errors import UserError


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
    base = os.environ.get(variable)
    if not base:
        raise UserError(f"{variable} is not set. Run 'nnunet_ext doctor' to see what is missing.")
    wanted = f"Dataset{int(dataset):03d}_" if dataset.isdecimal() else dataset
    folders = Path(base).iterdir() if Path(base).is_dir() else ()
    found = [p for p in folders if p.name == wanted or (dataset.isdecimal() and p.name.startswith(wanted))]
    if len(found) != 1:
        names = ", ".join(sorted(path.name for path in found)) or "none"
        raise UserError(f"one dataset '{dataset}' is expected in {base}; found: {names}. {remedy}")
    return found[0]
