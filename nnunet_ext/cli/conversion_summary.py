"""What ``nnunet_ext convert`` prints: the list of datasets, and the summary of a conversion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from nnunet_ext.cli.console import count, err, out, say, say_command, warn
from nnunet_ext.files import read_json

if TYPE_CHECKING:
    from nnunet_ext.dataset_conversion.base.converter import Converter
    from nnunet_ext.dataset_conversion.engine.report import Conversion

_WIDE = 120  # characters, below which eight columns are too narrow to read


def catalogue_table(converters: Mapping[str, type[Converter]], width: int) -> Table:
    """Return the list of datasets: what each is, what it takes to get it, which paper's numbers it serves.

    In a narrow terminal it says the same in fewer columns.
    """
    table = Table(
        title="nnunet_ext convert <name>", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 1, 0)
    )
    is_wide = width >= _WIDE
    table.add_column("name", no_wrap=True)
    wide = ("task", "dim.", "train / val / test", "classes", "licence", "registration", "serves")
    narrow = ("task, dim.: classes", "train / val / test", "licence; registration; serves")
    for heading in wide if is_wide else narrow:
        table.add_column(heading)
    for name, converter in converters.items():
        about = converter.facts
        cells: tuple[str, ...]
        task, source = about.task or converter.title, (converter.licence, about.registration)
        if is_wide:
            cells = (task, about.dimension, about.cases, about.classes, *source, about.serves)
        else:
            needed = f"registration: {source[1]}" if source[1] != "no" else ""
            words = "; ".join(filter(None, (source[0], needed, about.serves)))
            cells = (f"{task}, {about.dimension}: {about.classes}", about.cases, words)
        table.add_row(name, *cells)
    return table


def print_conversion(conversion: Conversion) -> None:
    """Print what was done, the summary tables and the next command."""
    report, folder, number = conversion.report, conversion.folder, conversion.converted
    if conversion.nothing_to_do:
        say(f"{folder.name} is complete already: nothing to do.")
    else:
        kept = f", {conversion.kept} kept from an earlier run" if conversion.kept else ""
        say(f"{count(number, 'case')} converted{kept}.")
    if conversion.waiting:
        are = "is" if conversion.waiting == 1 else "are"
        say(
            f"{count(conversion.waiting, 'case')} {are} left to other parts: "
            f"{folder.name} is complete, and has a dataset.json, when the last part has ended."
        )
        return
    _print_problems(report)
    out.print(_cases_table(folder.name, report))
    for kind in dict.fromkeys(note["kind"] for note in report["notes"]):
        _print_notes(kind, [note["text"] for note in report["notes"] if note["kind"] == kind])
    _print_split(conversion)
    say(f"Report: {folder / 'conversion_report.json'}")
    _print_next(conversion)


def _print_next(conversion: Conversion) -> None:
    """Print the command for what was converted: planning, or prediction of new test images."""
    folder = conversion.folder
    dataset_id = int(folder.name[len("Dataset") :].partition("_")[0])
    if not conversion.only_tests:
        say_command("nnUNetv2_plan_and_preprocess", "-d", dataset_id, "--verify_dataset_integrity")
        return
    from nnunet_ext.nnunet_files.trained_models import trained_models
    from nnunet_ext.training.device import device_option

    models, label = trained_models(folder.name), "Next"
    if not models:
        label = "Next, when a model is trained (-c, -f, -tr and, if you gave it, -p as for the training)"
    elif len(models) > 1:
        label = f"Next, with the newest of {len(models)} trained models"
    model = models[0].options() if models else ("-c", "CONFIGURATION", "-f", "FOLD", "-tr", "TRAINER")
    folders = ("-i", folder / "imagesTs", "-o", "predicted")
    say_command("nnUNetv2_predict", "-d", dataset_id, *model, *folders, *device_option(), label=label)


def _cases_table(title: str, report: dict[str, Any]) -> Table:
    table = Table(title=title, title_justify="left", caption_justify="left")
    table.add_column("")
    parts = [part for part, number in report["counts"].items() if number]
    for part in parts:
        table.add_column(part, justify="right")
    table.add_row("cases", *(str(report["counts"][part]) for part in parts), end_section=True)
    if any(report.get("instances", {}).values()):
        table.add_row(
            "instances", *(_thousands(report["instances"].get(part)) for part in parts), end_section=True
        )
    if any(report.get("instances_without_core", {}).values()):
        lost = report["instances_without_core"]
        table.add_row(
            "instances without a core", *(_thousands(lost.get(part)) for part in parts), end_section=True
        )
    for name, numbers in report["classes"].items():
        cells = []
        for part in parts:
            share = numbers["share"].get(part)
            cells.append("-" if share is None else f"{numbers['voxels'][part]:,} ({share:.2%})")
        table.add_row(f"voxels {name} ({numbers['value']})", *cells)
    table.caption = "\n".join(
        f"{part}: {_groups(groups)}" for part, groups in report["groups"].items() if len(groups) > 1
    )
    return table


def _groups(groups: Mapping[str, int], limit: int = 10) -> str:
    """Return "12 angles, 40 shadows", or of many groups their number."""
    if len(groups) <= limit:
        return ", ".join(f"{number} {group}" for group, number in groups.items())
    fewest, most = min(groups.values()), max(groups.values())
    return f"{len(groups)} groups of {fewest if fewest == most else f'{fewest} to {most}'} cases"


def _thousands(number: int | None) -> str:
    return "-" if number is None else f"{number:,}"


def _print_notes(kind: str, texts: list[str], limit: int = 10) -> None:
    say(f"Note: {kind}")
    for text in texts[:limit]:
        say(f"  {text}")
    if len(texts) > limit:
        say(f"  and {len(texts) - limit} more, see the report")


def _print_problems(report: dict[str, Any], limit: int = 20) -> None:
    """Print what is not in the dataset: cases that are wrong, and those that are not meant to be in it."""
    wrong = [line for record in report["not_converted"].values() for line in record["problems"]]
    if wrong:
        warn(f"{count(len(report['not_converted']), 'case')} that cannot be converted", "Skipped:")
        for line in wrong[:limit]:
            err.print(f"  {line}", soft_wrap=True)
        if len(wrong) > limit:
            err.print(f"  and {len(wrong) - limit} more lines, see the report")
    reasons = Counter(report["left_out"].values())
    for reason, number in reasons.items():
        say(f"Not converted, on purpose: {count(number, 'case')}: {reason}")
    for reason, number in report.get("unused_on_purpose", {}).items():
        say(f"Not used, on purpose: {count(number, 'file')}: {reason}")


def _print_split(conversion: Conversion) -> None:
    raw = conversion.folder / "splits_final.json"
    if not raw.exists():
        return
    last = len(read_json(raw)) - 1
    folds = f"folds 0 to {last}" if last else "fold 0"
    if conversion.installed_split is not None:
        say(f"Split: {folds}, in {conversion.installed_split}")
        return
    say(
        "Split: nnUNet_preprocessed is not set. Set it and run this again, or nnU-Net will not train on "
        f"the split of this dataset ({folds}) in {raw}"
    )
