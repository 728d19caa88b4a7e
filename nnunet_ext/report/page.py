"""The page itself: what a report holds, in words and numbers as they are shown, put into the template."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from nnunet_ext import __version__
from nnunet_ext.evaluation.comparison import ARROWS, FOREGROUND, POOLED, Comparison, Row
from nnunet_ext.images.files import stem_of
from nnunet_ext.report.content import DIFFERENT, MEDIAN, WORST, CaseTable, Subject, verdicts
from nnunet_ext.report.pictures import Picture
from nnunet_ext.report.plots import metric_plot

_DIRECTIONS = {True: "higher is better", False: "lower is better", None: "neither is better"}
_PARTS = ("page.html", "page.css", "page.js")
_SIGNIFICANT = 0.05


def render(
    subject: Subject,
    comparison: Comparison,
    tables: Sequence[CaseTable],
    pictures: Sequence[Picture],
    curves: tuple[str, Sequence[str]],
    title: str,
) -> str:
    """Return the HTML of a report; everything that comes from files or names is escaped."""
    from jinja2 import Environment
    from markupsafe import Markup

    anchors = {picture.case: f"case-{number}" for number, picture in enumerate(pictures, 1)}
    names = list(subject.models)
    parts = {name: (files("nnunet_ext.report") / name).read_text(encoding="utf-8") for name in _PARTS}
    template = Environment(autoescape=True).from_string(parts["page.html"])
    return template.render(
        version=__version__,
        title=title,
        style=Markup(parts["page.css"]),
        script=Markup(parts["page.js"]),
        date=datetime.date.today().isoformat(),
        models=subject.models,
        n_cases=len(tables[0].values),
        instances=subject.instances,
        verdicts=verdicts(comparison),
        notes=[*comparison.notes, *subject.notes],
        repeated=any(row.n_trainings > 1 for row in comparison.means),
        means=_means(comparison, names),
        differences=[_difference(row) for row in comparison.differences],
        n_tests=sum(row.p == row.p for row in comparison.differences),
        chance=" and of ".join(dict.fromkeys(row.chance for row in comparison.differences)),
        plots=[{"metric": table.metric, "address": metric_plot(table, names)} for table in tables],
        tables=[_case_table(table, names, anchors) for table in tables],
        rule=_rule(tables[0], len(names), subject),
        pictures=[_picture(picture, anchors) for picture in pictures],
        curves=curves[0],
        missing_curves=curves[1],
        reference=subject.reference,
        images=subject.images,
        versions=subject.versions,
        commands=[line for model in subject.models.values() for line in model.commands],
    )


def _means(comparison: Comparison, names: Sequence[str]) -> list[dict[str, Any]]:
    rows = []
    for metric, key in dict.fromkeys((row.metric, row.class_key) for row in comparison.means):
        of_row = {row.model: row for row in comparison.means if (row.metric, row.class_key) == (metric, key)}
        first = next(iter(of_row.values()))
        cells = []
        for name in names:
            row = of_row.get(name)
            if row is None:
                cells.append({"mean": "", "interval": ""})
                continue
            spread = "" if math.isnan(row.sd) else f" ± {number(row.sd, row.mean)}"
            cells.append({"mean": number(row.mean) + spread, "interval": _interval(row.low, row.high)})
        rows.append(
            {"metric": metric + ARROWS[first.higher_is_better], "class_name": _class(first), "cells": cells}
        )
    return rows


def _difference(row: Any) -> dict[str, Any]:
    everything = row.n_pairs + row.n_dropped
    return {
        "models": f"{row.b} − {row.a}",
        "metric": row.metric + ARROWS[row.higher_is_better],
        "class_name": _class(row),
        "difference": ("+" if row.difference > 0 else "") + number(row.difference),
        "interval": _interval(row.low, row.high),
        "cases": f"{row.n_pairs} of {everything}" if row.n_dropped else str(row.n_pairs),
        "p": _p(row.p),
        "p_holm": _p(row.p_holm),
        "significant": row.p_holm < _SIGNIFICANT,
    }


def _case_table(table: CaseTable, names: Sequence[str], anchors: Mapping[str, str]) -> dict[str, Any]:
    others = [f"{name} − {names[0]}" for name in names[1:]]
    rows = []
    for case, values in table.values.items():
        first, *rest = values
        cells = [*values, *(value - first for value in rest)]
        rows.append(
            {
                "case": _stem(case),
                "anchor": anchors.get(case, ""),
                "cells": [
                    {"value": "" if math.isnan(cell) else repr(cell), "text": number(cell)} for cell in cells
                ],
            }
        )
    return {
        "metric": table.metric,
        "direction": _DIRECTIONS[table.higher_is_better],
        "headings": ["case", *names, *others],
        "rows": rows,
    }


def _rule(table: CaseTable, models: int, subject: Subject) -> str:
    what = f"{table.metric}, {_DIRECTIONS[table.higher_is_better]}"
    text = f"Chosen by {what}: the {WORST} worst by the mean over the models, {MEDIAN} in the middle"
    text += (
        f", and the {DIFFERENT} on which a model differs most from {next(iter(subject.models))}."
        if models > 1
        else "."
    )
    if any(len(model.predictions) > 1 for model in subject.models.values()):
        text += " The predictions shown are those of the first training of each model."
    return text + " A picture is enlarged by a click."


def _picture(picture: Picture, anchors: Mapping[str, str]) -> dict[str, Any]:
    words = "; ".join(f"{name}: {text}" for name, text in picture.mistakes.items())
    return {
        "anchor": anchors[picture.case],
        "case": _stem(picture.case),
        "why": picture.why,
        "address": picture.address,
        "width": picture.width,
        "height": picture.height,
        "mistakes": list(picture.mistakes.items()),
        "alt": f"Case {_stem(picture.case)} with its predictions. {words}",
        "problem": picture.problem,
    }


def _class(row: Row) -> str:
    if row.class_key in (FOREGROUND, POOLED):
        return {FOREGROUND: "mean of classes", POOLED: "all pooled"}[row.class_key]
    return f"{row.class_name} {row.class_key}".strip()


def _stem(file: str) -> str:
    """Name of a case by that of its prediction."""
    return stem_of(Path(file))


def number(value: float, like: float | None = None) -> str:
    """A number as it is shown: three decimals, one from 10 on; a dash for NaN."""
    if math.isnan(value):
        return "–"
    return f"{value:.3f}" if abs(value if like is None else like) < 10 else f"{value:.1f}"


def _interval(low: float, high: float) -> str:
    largest = max(abs(low), abs(high))
    return "" if math.isnan(low) else f"[{number(low, largest)}, {number(high, largest)}]"


def _p(value: float) -> str:
    if math.isnan(value):
        return "–"
    return "< .001" if value < 0.001 else f"{value:.3f}"
