"""Every command printed in README and docs is one that exists, with options that exist, and complete."""

import re
import shlex
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.main import get_command

from nnunet_ext.cli.app import app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
OURS, NNUNETS = "nnunet_ext ", "nnUNetv2_"
#: in a command that only names an option, or leaves something to the reader
PLACEHOLDER = re.compile(r"…|\.\.\.|<\w+>")
#: without these nnU-Net stops, or predicts with folds that were not trained
NEEDED = {
    "nnUNetv2_plan_and_preprocess": {"-d"},
    "nnUNetv2_predict": {"-d", "-i", "-o", "-c", "-f", "-tr"},
    "nnUNetv2_train": {"-tr"},
}


def commands_of(text):
    """(command, whole) of a page: lines of code blocks are whole commands; spans in a sentence may not be."""
    blocks = re.findall(r"(?m)^(?: {4,}|\$ )(.*)$", text)
    for fenced in re.findall(r"(?ms)^```(?:bash|sh|console)?\n(.*?)^```", text):
        blocks += fenced.splitlines()
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"(?ms)^```.*?^```", "", text))
    for found, whole in ((blocks, True), (spans, False)):
        for line in found:
            command = re.sub(r"\s+#.*", "", line).strip()
            if command.startswith((OURS, NNUNETS)):
                yield command, whole and not PLACEHOLDER.search(command)


PRINTED = sorted(
    {
        (str(page.relative_to(ROOT)), *found)
        for page in PAGES
        for found in commands_of(page.read_text("utf-8"))
    }
)


def test_commands_are_found_in_blocks_and_sentences():
    text = (
        "`nnunet_ext doctor`, then\n\n    nnUNetv2_train 1 2d 0  # long\n\n```bash\nnnunet_ext show …\n```\n"
    )
    assert list(commands_of(text)) == [
        ("nnUNetv2_train 1 2d 0", True),
        ("nnunet_ext show …", False),
        ("nnunet_ext doctor", False),
    ]
    assert len(PRINTED) > 50


def find(words):
    """The click command that the words name, and its arguments."""
    command, context = get_command(app), None
    name = "nnunet_ext"
    while hasattr(command, "commands") or hasattr(command, "load"):
        if hasattr(command, "load"):
            command = command.load()
            continue
        context = command.context_class(command, info_name=name, parent=context)
        if not words or words[0].startswith("-"):
            return command, words, context
        name, found = words[0], command.get_command(context, words[0])
        assert found is not None, f"there is no {name} under {context.command_path}"
        command, words = found, words[1:]
    return command, words, context


def options_in(words):
    return [word for word in words if re.match(r"--?[A-Za-z]", word)]


@pytest.mark.parametrize(("page", "line", "whole"), [p for p in PRINTED if p[1].startswith(OURS)])
def test_ours_exists(page, line, whole):
    words = [re.sub(r"^\$\w+$", "0", word) for word in shlex.split(line)[1:]]  # a number of a job array
    command, words, context = find([word for word in words if not PLACEHOLDER.fullmatch(word)])
    known = {flag for parameter in command.params for flag in parameter.opts} | {"-h", "--help"}
    assert set(options_in(words)) <= known, f"{page}: {line}"
    if whole:
        command.make_context(command.name, words, parent=context)  # missing or wrong: click says what


def nnunets_options(command):
    """Flags of one of nnU-Net's commands, read from the source of its parser."""
    (entry,) = entry_points(group="console_scripts", name=command)
    source = Path(find_spec(entry.module).origin).read_text("utf-8")
    if "add_argument" not in source.split(f"def {entry.attr}")[1]:
        pytest.fail(f"{command} has its parser elsewhere")
    return set(re.findall(r"['\"](--?\w+)['\"]", source))


@pytest.mark.parametrize(("page", "line", "whole"), [p for p in PRINTED if p[1].startswith(NNUNETS)])
def test_nnunets_exists(page, line, whole):
    command, *words = shlex.split(line)
    assert set(options_in(words)) <= nnunets_options(command), f"{page}: {line}"
    if whole:
        assert NEEDED.get(command, set()) <= set(words), f"{page}: {line} is incomplete"
        if command == "nnUNetv2_train":
            assert re.match(r"\d+ [23]d\w* (\d|all)\b", " ".join(words)), f"{page}: {line} is incomplete"
