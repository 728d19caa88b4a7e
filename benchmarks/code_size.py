"""How much code there is: files, lines by kind, median file and function.

    python benchmarks/code_size.py [CHECKOUT] [--packages]

Lines are told apart by Python's own tokenizer: a line of a docstring, an import (all lines of it), code, or
nothing but a comment or white space.
"""

from __future__ import annotations

import argparse
import ast
import io
import tokenize
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import median

PACKAGES = ("nnunet_ext", "trainers", "dataset_conversion")
SILENT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


def lines_by_kind(text: str) -> Counter[str]:
    """Count the lines of a module by "docstring", "import", "code" and "blank or comment"."""
    kind: dict[int, str] = {}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in SILENT:
            kind |= dict.fromkeys(range(token.start[0], token.end[0] + 1), "code")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            kind |= dict.fromkeys(range(node.lineno, node.end_lineno + 1), "import")
        elif (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            kind |= dict.fromkeys(range(node.lineno, node.end_lineno + 1), "docstring")
    total = len(text.splitlines())
    return Counter(kind.values()) + Counter({"blank or comment": total - len(kind), "all": total})


def function_lengths(text: str) -> Iterator[int]:
    """Lines of code of every function, its docstring, comments and blank lines not counted."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = "\n".join(text.splitlines()[node.lineno - 1 : node.end_lineno])
            indent = len(body) - len(body.lstrip())
            plain = "\n".join(line[indent:] for line in body.splitlines())
            yield lines_by_kind(plain)["code"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkout", nargs="?", type=Path, default=Path(__file__).parents[1])
    parser.add_argument("--packages", action="store_true", help="also a line per package")
    arguments = parser.parse_args()
    total, sizes, functions = Counter[str](), [], list[int]()
    folders: dict[str, Counter[str]] = defaultdict(Counter)
    for package in PACKAGES:
        for path in sorted((arguments.checkout / package).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            found = lines_by_kind(text)
            total += found
            sizes.append((found["all"], path.relative_to(arguments.checkout)))
            functions += function_lengths(text)
            folders[str(path.parent.relative_to(arguments.checkout))] += found + Counter({"files": 1})
    for folder, found in sorted(folders.items()) if arguments.packages else ():
        print(f"{folder:45}{found['files']:4} files {found['code']:6} code {found['all']:6} lines")
    print(f"files {len(sizes)}, median {median(size for size, _ in sizes):g} lines, largest:", *max(sizes))
    print(
        ", ".join(
            f"{total[kind]} {kind}" for kind in ("code", "docstring", "import", "blank or comment", "all")
        )
    )
    print(f"functions {len(functions)}, median {median(functions):g} lines of code, largest {max(functions)}")


if __name__ == "__main__":
    main()
