"""``nnunet_ext compare``: two models or more on the same cases, each trained once or several times."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich import box
from rich.table import Table

from nnunet_ext.cli.console import decimal, number_table, out, say, track, warn
from nnunet_ext.cli.evaluation_tables import footnotes

if TYPE_CHECKING:
    from nnunet_ext.evaluation.comparison import ComparisonRow, MeanRow, Row

R = TypeVar("R", bound="Row")
_SIDE_BY_SIDE = 3  # models that fit into 80 columns


def compare(
    evaluations: Annotated[
        list[str],
        typer.Argument(
            metavar="A.json B.json | NAME=FILE …",
            help="Summaries of the same cases. NAME=FILE: the summary of a model; the same NAME again, or a "
            "pattern as in NAME='runs/*.json', is another training of it.",
        ),
    ],
    metrics: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            help="Metric, repeatable. Default: Dice, clDice, Beta0Error, Beta1Error; of nested classes "
            "ExposedSurface, ExposedComponents, ExposedVoxels; of instances PQ, SQ, RQ, P05, recall, "
            "AJI, ContourF1@2, mean_matched_dice.",
        ),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(help="Name of the model that the others are compared with. Default: the first."),
    ] = None,
    all_pairs: Annotated[
        bool, typer.Option("--all-pairs", help="Compare every model with every other.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("-o", help="CSV file for the differences; the means go beside it, into …_means.csv."),
    ] = None,
) -> None:
    """Means, differences and paired tests of models on the same cases.

    Reads what `nnunet_ext evaluate` wrote, and nnU-Net's own summary.json.

    Example: nnunet_ext compare baseline/evaluation.json scnp/evaluation.json

    Example: nnunet_ext compare Ext='ext_seed*/evaluation.json' SCNP='scnp_seed*/evaluation.json'
    """
    from nnunet_ext.evaluation.comparability import stale_notes
    from nnunet_ext.metrics import compare_models, load_summary, save_comparison
    from nnunet_ext.outputs import check_output

    files = named_files(evaluations)
    every = [file for trainings in files.values() for file in trainings]
    means_file = output.with_name(f"{output.stem}_means{output.suffix}") if output else None
    for target in filter(None, (output, means_file)):  # evaluate left a .csv beside each
        check_output(target, [*every, *(file.with_suffix(".csv") for file in every)])
    models = {name: [load_summary(file) for file in trainings] for name, trainings in files.items()}
    result = compare_models(models, metrics or None, baseline=baseline, all_pairs=all_pairs, progress=track)
    for name, trainings in files.items():
        say(f"{name} = {', '.join(map(str, trainings))}")
    for table in (*mean_tables(result.means), *difference_tables(result.differences)):
        out.print(table)
    for line in footnotes(row.metric for row in result.means):
        say(line)
    stale = [
        note
        for name, trainings in files.items()
        for file, summary in zip(trainings, models[name], strict=True)
        for note in stale_notes(file, summary)
    ]
    for note in [*stale, *result.notes]:
        warn(note)
    if output and means_file:
        say(f"Wrote {save_comparison(result.differences, output)}")
        say(f"Wrote {save_comparison(result.means, means_file)}")


def named_files(words: Sequence[str]) -> dict[str, list[Path]]:
    """Turn the arguments into model -> summaries: A and B of two plain files, or what NAME=FILE says.

    Raises
    ------
    UserError
        If names are missing or empty, a pattern finds no file, or a file is given twice.
    """
    from nnunet_ext.errors import UserError

    named = [word.partition("=") for word in words]
    plain = [word for word in words if "=" not in word or Path(word).is_file()]
    if len(plain) == len(words) == 2:
        return {"A": [Path(words[0])], "B": [Path(words[1])]}
    if plain:
        raise UserError(
            f"{plain[0]}: give two summaries, or a name for each: "
            "nnunet_ext compare Ext=ext.json SCNP=scnp_1.json SCNP=scnp_2.json"
        )
    files: dict[str, list[Path]] = {}
    for name, _, pattern in named:
        if not name or not pattern:
            raise UserError(f"{name}={pattern}: expected NAME=FILE.")
        found = [Path(pattern)] if Path(pattern).exists() else sorted(map(Path, glob(pattern)))
        if not found:
            raise UserError(f"{name}={pattern}: there is no such file.")
        files.setdefault(name, []).extend(found)
    every = [file.resolve() for trainings in files.values() for file in trainings]
    twice = next((file for file in every if every.count(file) > 1), None)
    if twice:
        raise UserError(f"{twice} is given twice; every training counts once.")
    return files


def mean_tables(rows: Sequence[MeanRow]) -> list[Table]:
    """Under each metric a row per class; the models side by side, as many as fit into 80 columns."""
    names = list(dict.fromkeys(row.model for row in rows))
    repeated = any(row.n_trainings > 1 for row in rows)
    caption = "↑ higher is better, ↓ lower. In brackets: 95 % interval (bootstrap)."
    if repeated:
        caption = "Mean ± standard deviation of the trainings. " + caption
    if any(row.n_dropped for row in rows):
        caption += "\nCases without a number in some training are in no mean."
    tables = []
    for start in range(0, len(names), _SIDE_BY_SIDE):
        shown = names[start : start + _SIDE_BY_SIDE]
        table = number_table(
            "metric\n  class", shown, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), caption=caption
        )
        of_shown = [row for row in rows if row.model in shown]
        for metric, of_metric in _by_metric(of_shown):
            table.add_section()
            table.add_row(metric, style="bold")
            for key in dict.fromkeys(row.class_key for row in of_metric):
                cells = {row.model: _mean_cell(row) for row in of_metric if row.class_key == key}
                first = next(row for row in of_metric if row.class_key == key)
                table.add_row(_class(first), *(cells.get(name, "") for name in shown))
        tables.append(table)
    return tables


def difference_tables(rows: Sequence[ComparisonRow]) -> list[Table]:
    """A table for each pair of models: under each metric a row per class, narrow enough for 80 columns."""
    return [
        _difference_table([row for row in rows if (row.a, row.b) == pair], number_of_tests(rows))
        for pair in dict.fromkeys((row.a, row.b) for row in rows)
    ]


def number_of_tests(rows: Sequence[ComparisonRow]) -> int:
    """That Holm's correction is for: where no case has a number there is no test."""
    return sum(row.p == row.p for row in rows)


def _difference_table(rows: Sequence[ComparisonRow], n_tests: int) -> Table:
    single = _is_over_cases(rows[0])
    headings = ["difference", "95 % interval", "cases", *(["Wilcoxon\np"] if single else []), "p", "Holm\np"]
    table = number_table(
        "metric\n  class",
        headings,
        min_width=10,
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        title=f"{rows[0].b} − {rows[0].a}",
        caption=f"p: two-sided, {'permutation of cases' if single else 'over trainings and cases'}. "
        f"Holm: corrected for the {n_tests} tests made here.",
    )
    for metric, of_metric in _by_metric(rows):
        table.add_section()
        table.add_row(metric, style="bold")
        for row in of_metric:
            everything = row.n_pairs + row.n_dropped
            table.add_row(
                _class(row),
                signed(row.difference),
                interval(row),
                f"{row.n_pairs} of {everything}" if row.n_dropped else str(row.n_pairs),
                *([p_text(row.p_wilcoxon)] if single else []),
                p_text(row.p),
                p_text(row.p_holm),
            )
    return table


def _is_over_cases(row: ComparisonRow) -> bool:
    from nnunet_ext.metrics.repeated import CASES

    return row.chance == CASES


def p_text(p: float) -> str:
    """A p-value for a table."""
    return "<0.0001" if p < 0.0001 else decimal(p)


def alike(*values: float) -> list[str]:
    """Numbers with as many decimals as the largest of them has in a table."""
    largest = max(map(abs, values))
    return [decimal(value) if largest < 10 else f"{value:.2f}" for value in values]


def signed(value: float) -> str:
    """A difference for a table, with its sign."""
    return f"+{decimal(value)}" if value > 0 else decimal(value)


def interval(row: MeanRow | ComparisonRow) -> str:
    """The interval for a table; nothing if there is none."""
    return "" if row.low != row.low else "[{}, {}]".format(*alike(row.low, row.high))


def _mean_cell(row: MeanRow) -> str:
    mean = " ± ".join(alike(row.mean, row.sd)) if row.sd == row.sd else decimal(row.mean)
    return "\n".join(filter(None, (mean, interval(row))))


def _by_metric(rows: Sequence[R]) -> Iterator[tuple[str, list[R]]]:
    """Heading and rows of each metric."""
    from nnunet_ext.evaluation.comparison import ARROWS

    for metric in dict.fromkeys(row.metric for row in rows):
        of_metric = [row for row in rows if row.metric == metric]
        yield metric + ARROWS[of_metric[0].higher_is_better], of_metric


def _class(row: Row) -> str:
    if row.class_key == "pooled":
        return "  all pooled"
    return "  " + f"{row.class_name} {row.class_key}".strip().replace("_mean", " mean")
