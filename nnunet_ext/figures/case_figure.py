"""The picture of one case: image, truth, each prediction, with its mistakes marked and counted."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from nnunet_ext.evaluation.case_mistakes import Mistakes, count_mistakes, find_mistakes
from nnunet_ext.evaluation.case_view import CaseView

__all__ = ["CaseView", "count_mistakes", "draw_case", "find_mistakes"]


def draw_case(
    view: CaseView, mistakes: Mapping[str, Mistakes] | None = None, width: float | None = None
) -> Figure:
    """Draw a case.

    Parameters
    ----------
    view : CaseView
        What to draw.
    mistakes : mapping, optional
        From `find_mistakes`, if they are known.
    width : float, optional
        Of the figure in inches. Default: as wide as the panels ask for.
    """
    raise NotImplementedError
