"""Folders of references, predictions of several models and images, read one case at a time."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from nnunet_ext.evaluation.case_view import CaseView, Kind

PathLike = str | os.PathLike[str]


def view_of(
    case: str,
    reference_folder: PathLike,
    predictions: Mapping[str, PathLike],
    images_folder: PathLike | None = None,
    *,
    kind: Kind = "classes",
    dataset_json: PathLike | None = None,
    ignored: PathLike | None = None,
    spacing: Sequence[float] | None = None,
    ignore_headers: bool = False,
) -> CaseView:
    """Read one case; for several, `CaseFolders` looks at the folders once and has a method ``view``.

    Raises
    ------
    UserError
        If a folder or a case is not there, or (`UnusableCase`) a file cannot be read or does not fit.
    """
    return CaseFolders(
        reference_folder,
        predictions,
        images_folder,
        kind=kind,
        dataset_json=dataset_json,
        ignored=ignored,
        spacing=spacing,
        ignore_headers=ignore_headers,
    ).view(case)


class CaseFolders:
    """The cases of a reference folder, with the predictions of several models and their images."""

    def __init__(
        self,
        reference_folder: PathLike,
        predictions: Mapping[str, PathLike],
        images_folder: PathLike | None = None,
        *,
        kind: Kind = "classes",
        dataset_json: PathLike | None = None,
        ignored: PathLike | None = None,
        spacing: Sequence[float] | None = None,
        ignore_headers: bool = False,
    ) -> None:
        raise NotImplementedError

    cases: list[str]

    def view(self, case: str) -> CaseView:
        """Read and check one case."""
        raise NotImplementedError
