"""``nnunet_ext compare``: two summaries of the same cases, with paired tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.table import Table

from nnunet_ext.cli.console import count, decimal, number_table, out, say, track, warn
from nnunet_ext.cli.evaluation_tables import footnotes

if TYPE_CHECKING:
    from nnunet_ext.evaluation.comparison import ComparisonRow

_SIGNIFICANT = 0.05
_DIRECTIONS = {True: " ↑", False: " ↓", None: ""}


def compare(
    a: Annotated[Path, typer.Argument(metavar="A.json", help="Summary of method A.")],
    b: Annotated[Path, typer.Argument(metavar="B.json", help="Summary of method B, on the same cases.")],
    metrics: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            help="Metric, repeatable. Default: Dice, clDice, Beta0Error, Beta1Error; of nested classes "
            "ExposedSurface, ExposedComponents, ExposedVoxels; of instances PQ, SQ, RQ, P05, recall, "
            "AJI, ContourF1@2, mean_matched_dice.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", help="CSV file to write the table to."),
    ] = None,
) -> None:
    """Means, differences and paired tests of two methods on the same cases.

    Reads what `nnunet_ext evaluate` wrote, and nnU-Net's own summary.json.

    Example: nnunet_ext compare baseline/evaluation.json scnp/evaluation.json
    """
    from nnunet_ext.evaluation.comparability import comparison_notes, stale_notes
    from nnunet_ext.metrics import compare_summaries, load_summary, save_comparison
    from nnunet_ext.outputs import check_output

    if output:  # evaluate left a .csv beside each
        check_output(output, [a, b, a.with_suffix(".csv"), b.with_suffix(".csv")])
    summaries = load_summary(a), load_summary(b)
    rows = compare_summaries(*summaries, metrics or None, progress=track)
    say(f"A = {a}\nB = {b}")
    out.print(comparison_table(rows))
    for line in footnotes(row.metric for row in rows):
        say(line)
    notes = [*stale_notes(a, summaries[0]), *stale_notes(b, summaries[1]), *comparison_notes(*summaries)]
    for note in [*few_pairs_notes(rows), *dict.fromkeys(notes)]:
        warn(note)
    if output:
        say(f"Wrote {save_comparison(rows, output)}")


def comparison_table(rows: Sequence[ComparisonRow]) -> Table:
    """Under each metric a row per class, narrow enough for a terminal of 80 columns.

    With one class the foreground mean says the same again, and is left out.
    """
    if len({row.class_key for row in rows}) == 2:
        rows = [row for row in rows if row.class_key != "foreground_mean"]
    caption = "↑ higher is better, ↓ lower. p: two-sided, not corrected for multiple tests."
    if any(row.n_dropped for row in rows):
        caption += "\npairs: those with a number in A and B; the others are in no mean."
    headings = ("A", "B", "B − A", "pairs", "Wilcoxon\np", "permutation\np")
    table = number_table(
        "metric\n  class", headings, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), caption=caption
    )
    metric = None
    for row in rows:
        if row.metric != metric:
            metric = row.metric
            table.add_section()
            table.add_row(metric + _DIRECTIONS[row.higher_is_better], style="bold")
        all_pairs = row.n_pairs + row.n_dropped
        table.add_row(
            "  " + f"{row.class_name} {row.class_key}".strip().replace("_mean", " mean"),
            *(decimal(number) for number in (row.mean_a, row.mean_b, row.difference)),
            f"{row.n_pairs} of {all_pairs}" if row.n_dropped else str(row.n_pairs),
            *(_p_value(p) for p in (row.p_wilcoxon, row.p_permutation)),
        )
    return table


def few_pairs_notes(rows: Sequence[ComparisonRow]) -> list[str]:
    """A text for each number of pairs with which no difference can be significant."""
    pairs = {row.n_pairs: row.smallest_p for row in rows if row.smallest_p > _SIGNIFICANT}
    return [
        f"With {count(n, 'pair')} no p can be below {p:.4g}, so no difference can be significant at "
        f"{_SIGNIFICANT}: that takes 6 cases or more."
        for n, p in sorted(pairs.items())
    ]


def _p_value(value: float) -> str:
    return "<0.0001" if value < 0.0001 else decimal(value)
