from typing import Annotated

import pytest
from pydantic import Field
from typing_extensions import NotRequired, TypedDict

from nnunet_ext.json_shape import mismatch


class Row(TypedDict):
    file: str
    size: NotRequired[Annotated[int, Field(ge=0)]]


class Table(TypedDict):
    rows: list[Row]
    labels: dict[str, int | list[int]]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"rows": [], "labels": {}}, ""),
        ({"rows": [{"file": "a", "more": None}], "labels": {"a": 1, "b": [1, 2]}, "more": 1}, ""),
        ([], "the file is []; expected an object with keys"),
        (None, "the file is null; expected an object with keys"),
        ({"rows": []}, "the file has no 'labels'"),
        ({"rows": [{"file": "a"}, {}], "labels": {}}, "rows.1 has no 'file'"),
        ({"rows": {}, "labels": {}}, "rows is {}; expected a list"),
        ({"rows": [{"file": 3}], "labels": {}}, "rows.0.file is 3; expected a text"),
        (
            {"rows": [{"file": "a", "size": -1}], "labels": {}},
            "rows.0.size is -1; expected a number from 0",
        ),
        ({"rows": [], "labels": {"a": "x"}}, 'labels.a is "x"; expected a whole number or a list'),
        ({"rows": [], "labels": {"a": 1.5}}, "labels.a is 1.5; expected a whole number or a list"),
        ({"rows": [], "labels": {"a": True}}, "labels.a is true; expected a whole number or a list"),
        ({"rows": [], "labels": {"a": [1, "2"]}}, 'labels.a.1 is "2"; expected a whole number'),
    ],
)
def test_what_does_not_fit_is_said(content, problem):
    assert mismatch(content, Table) == problem


def test_long_values_are_cut():
    assert len(mismatch(["word " * 1000], list[int])) < 150
