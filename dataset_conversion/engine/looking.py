"""Every case is looked at before anything is written; the looks are kept in the records of the cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from functools import partial
from typing import Any

from nnunet_ext.dataset_conversion.base.case import Case
from nnunet_ext.dataset_conversion.base.converter import Converter
from nnunet_ext.dataset_conversion.base.description import DatasetDescription
from nnunet_ext.dataset_conversion.base.looks import Look
from nnunet_ext.errors import UserError
from nnunet_ext.worker_pool import Progress, as_they_finish


def look_at_cases(
    converter: Converter,
    description: DatasetDescription,
    cases: Sequence[Case],
    processes: int,
    remedy: str,
    progress: Progress,
) -> dict[str, Look]:
    """Look at cases, if the converter does; return what was seen by case id.

    Cases that cannot be read are left out: the conversion says what is wrong with them.
    """
    if not cases or type(converter).look is Converter.look:
        return {}
    work = partial(_look, converter, description)
    stream = as_they_finish(work, cases, processes, remedy, name=lambda case: case.id)
    return {case_id: look for case_id, look in progress(stream, len(cases), "Looking at the images") if look}


def stored_look(record: dict[str, Any]) -> Look | None:
    """Return the look that a record holds, or None: earlier versions stored none."""
    found = record.get("look")
    if not isinstance(found, dict):
        return None
    known = {field.name for field in fields(Look)}
    return Look(**{name: value for name, value in found.items() if name in known})


def as_record(look: Look) -> dict[str, Any]:
    """Return a look as a record holds it."""
    return asdict(look)


def _look(converter: Converter, description: DatasetDescription, case: Case) -> tuple[str, Look | None]:
    try:
        return case.id, converter.look(case, description)
    except (UserError, OSError):
        return case.id, None
