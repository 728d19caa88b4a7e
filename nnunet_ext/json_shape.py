"""Whether JSON has the shape its reader relies on, checked by pydantic and said in one sentence."""

from __future__ import annotations

import contextlib
import json
from functools import cache
from textwrap import shorten
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import TypeAdapter

_SHOWN = 60  # characters of a wrong value

#: pydantic's kinds of error, as what was expected
_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "a text",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "an object with keys",
    "none_required": "null",
}
_LIMITS = {"greater than or equal to": "a number from", "less than or equal to": "a number up to"}


def mismatch(content: Any, schema: Any) -> str:
    """Say in words what does not fit a schema; "" if all fits.

    Parameters
    ----------
    content : Any
        As JSON was read.
    schema : type
        What it should be, in Python's types: a `TypedDict`, ``list[int]``. Other keys are let pass.

    Examples
    --------
    >>> mismatch({"cell": [1, "2"]}, dict[str, int | list[int]])
    'cell.1 is "2"; expected a whole number'
    """
    from pydantic import ValidationError

    try:
        _adapter(schema).validate_python(content, strict=True)
        return ""
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False)
    # the deepest: of a value that may be of several types there is an error for each
    found = [(*_locate(content, each["loc"]), each) for each in errors]
    where, value, deepest = max(found, key=lambda entry: len(entry[0]))
    place = ".".join(map(str, where)) or "the file"
    if deepest["type"] == "missing":
        key = deepest["loc"][-1]
        return f"{place} has no {key!r}"
    expected = {_expected(each): None for at, _, each in found if at == where}
    return f"{place} is {shorten(json.dumps(value), _SHOWN)}; expected {' or '.join(expected)}"


@cache
def _adapter(schema: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(schema)


def _expected(error: Any) -> str:
    words = str(error["msg"]).removeprefix("Input should be ")
    for theirs, ours in _LIMITS.items():
        words = words.replace(theirs, ours)
    return _EXPECTED.get(error["type"], words)


def _locate(content: Any, location: tuple[int | str, ...]) -> tuple[tuple[int | str, ...], Any]:
    """Keys and indices that lead to a value, and the value; what pydantic adds, such as types, left out."""
    where: list[int | str] = []
    for step in location:
        with contextlib.suppress(KeyError, IndexError, TypeError):
            if isinstance(content, dict | list):
                content = content[step]  # type: ignore[index]
                where.append(step)
    return tuple(where), content
