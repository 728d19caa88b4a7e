"""Small csv tables that say something of each case: which patient it is of, which kind of image it is."""

from __future__ import annotations

import csv
from pathlib import Path

from nnunet_ext.errors import UserError

_DELIMITERS = ",;\t"


def read_table(file: Path, key: str, value: str) -> dict[str, str]:
    """Return one column of a csv file by another.

    Commas, semicolons and tabs separate columns, a byte order mark may come first, and the letter case of the
    columns' names does not matter. Empty lines are skipped.

    Raises
    ------
    UserError
        If it cannot be read, a column is missing or empty in a line, or a key has two values.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            lines = [line for line in text.read().splitlines() if line.strip(f"{_DELIMITERS} ")]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read as a csv file: {error}") from error
    delimiter = max(_DELIMITERS, key=(lines or [""])[0].count)
    rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=delimiter)]
    names = [name.lower() for name in rows[0]] if rows else []
    if key.lower() not in names or value.lower() not in names:
        found = ", ".join(rows[0]) if rows else "empty"
        raise UserError(
            f"{file}: cannot be read as a csv file with the columns {key}, {value}: its first line: {found}."
        )
    columns, table = (names.index(key.lower()), names.index(value.lower())), dict[str, str]()
    for row in rows[1:]:
        cells = [row[column] if column < len(row) else "" for column in columns]
        if not all(cells):
            raise UserError(f"{file}: the line '{delimiter.join(row)}' lacks its {key} or {value}.")
        if table.setdefault(cells[0], cells[1]) != cells[1]:
            raise UserError(f"{file}: {key} {cells[0]} has two values: {table[cells[0]]} and {cells[1]}.")
    return table
