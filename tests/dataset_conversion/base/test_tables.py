"""Tables as they are found: other separators, a byte order mark, lines that lack something."""

from pathlib import Path

import pytest

from nnunet_ext.dataset_conversion import UserError, read_table, some_of


@pytest.mark.parametrize(
    "text",
    [
        "ID,group\n1,a\n2,b\n",
        "\ufeffid;extra;Group\r\n1;x;a\r\n\r\n2;y;b\r\n;;\r\n",
        "group\tID\n a \t1\nb\t 2\n",
        'ID,group\n"1",a\n2,b\n1,a\n',
    ],
    ids=["plain", "semicolons and a byte order mark", "tabs", "quotes and a line twice"],
)
def test_forms(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    assert read_table(tmp_path / "t.csv", "ID", "group") == {"1": "a", "2": "b"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "with the columns ID, group: its first line: empty"),
        ("ID,domain\n1,a\n", "with the columns ID, group: its first line: ID, domain"),
        ("ID,group\n1\n", "the line '1' lacks its ID or group"),
        ("ID,group\n,a\n", "the line ',a' lacks its ID or group"),
        ("ID,group\n1,a\n1,b\n", "ID 1 has two values: a and b"),
        ("ID,gr\xf6up\n", "cannot be read as a csv file"),
    ],
)
def test_what_is_no_table(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.csv").write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match=message):
        read_table(tmp_path / "t.csv", "ID", "group")


def test_some_of() -> None:
    assert some_of(["a", "b", "c"], 2) == "a, b and 1 more"
    assert some_of(["a", "b"], 2) == "a, b"
