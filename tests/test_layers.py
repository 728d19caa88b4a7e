"""Which package may import which, stated once: every import, also a late one, goes downwards."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CONVERSION = "nnunet_ext.dataset_conversion"

#: From the ground up. A module may import its own package and those of lines above; packages of one
#: line are independent of each other.
LAYERS = """
    errors processes progress
    json_shape
    files worker_pool
    outputs commands record
    arrays
    images
    nnunet_files
    losses targets metrics instances augmentation
    networks evaluation data
    training
    trainers
    thresholds postprocessing
    figures
    dataset_conversion.base
    dataset_conversion
    dataset_conversion.DATASETS
    dataset_conversion.engine
    plugin
    demo experiment pretraining
    report
    cli
"""
HEIGHT = {package: height for height, line in enumerate(LAYERS.split("\n")) for package in line.split()}
#: (importer, imported) -> why it may look upwards
EXCEPTIONS = {
    ("metrics", "evaluation"): "names of nnunet_ext.metrics that moved are still found there",
}


def modules() -> dict[str, Path]:
    """Every module of the project by its dotted name."""
    found = {}
    for folder, package in (
        ("nnunet_ext", "nnunet_ext"),
        ("trainers", "nnunet_ext.trainers"),
        ("dataset_conversion", CONVERSION),
    ):
        for path in (ROOT / folder).rglob("*.py"):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            found[".".join([package, *parts]).removesuffix(".__init__")] = path
    return found


MODULES = modules()


def package(module: str) -> str:
    """The package a module is in, as `LAYERS` names it; "" for the package itself, which imports nothing."""
    parts = module.split(".")[1:]
    if parts[:1] != ["dataset_conversion"] or len(parts) == 1:
        return parts[0] if parts else ""
    return ".".join(parts[:2]) if parts[1] in ("base", "engine") else "dataset_conversion.DATASETS"


def imported(path: Path) -> set[str]:
    """Our modules that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: import by the full name, or this test does not see it"
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Call) and "import_module" in ast.unparse(node.func):
            names |= {word.value for word in node.args[:1] if isinstance(word, ast.Constant)}
    longest = {name for name in names if name in MODULES}
    return {name for name in longest if not any(other.startswith(name + ".") for other in longest)}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_go_downwards(module):
    own = package(module)
    if not own:
        assert not imported(MODULES[module])
        return
    for other in imported(MODULES[module]) - {module}:
        there = package(other)
        below = not there or there == own or HEIGHT[there] < HEIGHT[own]
        assert below or (own, there) in EXCEPTIONS, f"{module} ({own}) must not import {other} ({there})"


def test_nothing_goes_in_circles_within_a_room():
    edges = {module: imported(path) - {module} for module, path in MODULES.items()}
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join([*trail[trail.index(module) :], module])
        if module in done:
            return
        for other in edges[module]:
            if (package(module), package(other)) not in EXCEPTIONS:
                visit(other, (*trail, module))
        done.add(module)

    for module in edges:
        visit(module, ())


def test_no_script_hides_a_module_of_python():
    """A benchmark called statistics.py is what every script beside it would import as ``statistics``."""
    names = {path.stem for path in (ROOT / "benchmarks").glob("*.py")}
    assert names
    assert not names & sys.stdlib_module_names
