"""Pictures of a case: which panels, counts and marks they have, in 2D and 3D, with and without image."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from skimage.io import imread

from nnunet_ext.evaluation.case_mistakes import count_mistakes, find_mistakes
from nnunet_ext.evaluation.case_view import CaseView
from nnunet_ext.figures.case_figure import draw_case
from nnunet_ext.figures.case_marks import LOOKS
from nnunet_ext.figures.case_planes import Plane, planes_of
from nnunet_ext.figures.style import save
from nnunet_ext.metrics import Mark


def line_view(deep=False, image=True, models=("broken",), **extra):
    reference = np.zeros((24, 60), np.uint8)
    reference[10:14, 5:55] = 1
    prediction = reference.copy()
    prediction[:, 20:24] = 0
    prediction[2:5, 40:43] = 1
    spacing = (0.5, 0.25)
    if deep:
        empty = np.zeros_like(reference)
        reference = np.stack([empty, reference, empty, empty, empty])
        prediction = np.stack([empty, prediction, empty, empty, empty])
        prediction[4, 20:22, 5:8] = 1
        spacing = (2.0, 0.5, 0.25)
    picture = np.random.default_rng(0).normal(size=reference.shape) if image else None
    predictions = dict.fromkeys(models, prediction)
    return CaseView("case_1", picture, reference, predictions, {1: "vessel"}, spacing, **extra)


def instance_view(deep=False, image=True):
    reference = np.zeros((20, 40), np.int32)
    for number, column in enumerate(range(2, 38, 9), 1):
        reference[5:12, column : column + 7] = number
    prediction = reference.copy()
    prediction[reference == 2] = 1
    prediction[5:12, 9:11] = 1  # the gap between them
    prediction[reference == 3] = 0
    prediction[5:12, 32:36] = 9  # a piece of the fourth, which is 29 to 36
    prediction[15:18, 3:6] = 7
    if deep:
        reference, prediction = np.stack([reference] * 3), np.stack([prediction] * 3)
    picture = np.ones(reference.shape) if image else None
    return CaseView("cells", picture, reference, {"JC": prediction}, {}, None, "instances")


def titles(figure):
    return [axes.get_title().replace("\n", " ") for axes in figure.axes if axes.get_images()]


def edge_colours(axes):
    return {to_hex(collection.get_edgecolor()[0]) for collection in axes.collections} - {"#000000"}


def test_a_flat_case_has_an_image_a_truth_and_each_prediction_with_its_counts():
    figure = draw_case(line_view(models=("one", "two")))
    counted = "1 false, 0 missed, 1 break, 0 merges"
    assert titles(figure) == ["image", "truth", f"one {counted}", f"two {counted}"]
    marked = [edge_colours(axes) for axes in figure.axes]
    assert marked == [set(), set(), *[{LOOKS["false"].colour, LOOKS["break"].colour}] * 2]


def test_without_image_there_is_no_panel_for_it():
    assert [title.split(" ")[0] for title in titles(draw_case(line_view(image=False)))] == ["truth", "broken"]


def test_marks_lie_on_the_mistakes():
    view = line_view()
    marks = {mark.kind: mark for _, mark in find_mistakes(view)["broken"].marks}
    places = {
        to_hex(collection.get_edgecolor()[0]): collection.get_offsets()[0].tolist()
        for collection in draw_case(view).axes[-1].collections
    }
    for kind, mark in marks.items():
        row, column = mark.centre
        assert places[LOOKS[kind].colour] == [column, row]


def test_a_volume_shows_the_slice_with_most_mistakes_and_the_whole():
    figure = draw_case(line_view(deep=True))
    shown = titles(figure)
    assert len(shown) == 6
    assert shown[2] == (
        "broken, z 1 of 0–4 2 false, 0 missed, 1 break, 0 merges (2 of 3 mistakes in this slice)"
    )
    assert shown[5] == "broken, all slices, seen along z"  # 10 long; the others are 12 and 15
    assert [len(axes.collections) for axes in figure.axes] == [0, 0, 4, 0, 0, 4]
    assert sum(len(c.get_offsets()) for c in figure.axes[2].collections) == 2 * 2  # rim and colour
    assert sum(len(c.get_offsets()) for c in figure.axes[5].collections) == 2 * 3


def test_spacing_gives_the_pixels_their_form():
    assert draw_case(line_view()).axes[0].get_aspect() == 2
    assert [axes.get_aspect() for axes in draw_case(line_view(deep=True)).axes] == [2] * 6
    (cut, whole) = planes_of((10, 4, 8), (1.0, 1.0, 3.0), [], np.ones((10, 4, 8), bool))
    assert cut == Plane(0, 5, 10, 1 / 3)
    assert whole == Plane(1, None, 4, 1 / 3)  # seen along y: z by x


def test_of_slices_with_equally_many_marks_the_one_nearest_the_middle_is_shown():
    marks = [
        Mark("false", (1, 0, 0), ((0, 9), (0, 1), (0, 1)), 1),
        Mark("false", (9, 0, 0), ((9, 10),) * 3, 1),
    ]
    assert planes_of((10, 10, 10), None, marks, np.ones((10,) * 3, bool))[0].index == 4


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("image", [False, True])
def test_instances_in_five_colours(deep, image):
    view = instance_view(deep, image)
    counts = {"matched": 1, "missed": 1, "extra": 1, "merged": 2, "split": 1}
    assert count_mistakes(view) == {"JC": counts}
    figure = draw_case(view)
    shown = [title for title in titles(figure) if "merged" in title]
    assert "1 matched, 1 missed, 1 extra, 2 merged, 1 split" in shown[0]
    wanted = {LOOKS[kind].colour for kind in ("missed", "extra", "merged", "split")}
    assert edge_colours(figure.axes[1 + image]) == wanted
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[:3] == ["instance of the truth", "matched", "missed"]


def test_a_cell_swallowed_by_a_matched_one_is_counted_and_a_crumb_too():
    reference, prediction = np.zeros((2, 10, 30), np.int32)
    reference[2:8, 2:14], reference[2:8, 14:17], reference[2:8, 20:28] = 1, 2, 3
    prediction[2:8, 2:17], prediction[2:8, 20:26], prediction[2:8, 26:28] = 5, 6, 7
    view = CaseView("a", None, reference, {"m": prediction}, {}, None, "instances")
    assert count_mistakes(view)["m"] == {"matched": 2, "missed": 0, "extra": 0, "merged": 1, "split": 1}
    panel = draw_case(view).axes[1]
    assert edge_colours(panel) == {LOOKS["merged"].colour, LOOKS["split"].colour}
    pixels = panel.get_images()[0].get_array()
    assert not np.allclose(pixels[5, 8], pixels[5, 15])  # the swallowed cell has another colour
    np.testing.assert_allclose(pixels[5, 8], pixels[5, 22])


def test_classes_and_regions_are_counted_together_and_in_the_legend():
    labels = np.zeros((10, 30), np.uint8)
    labels[2:8, 2:28] = 1
    labels[4:6, 4:26] = 2
    broken = labels.copy()
    broken[:, 14:16] = 0
    view = CaseView("a", None, labels, {"m": broken}, {(1, 2): "whole", 2: "core"}, None)
    found = find_mistakes(view)["m"]
    assert found.counts == {"false": 0, "missed": 0, "break": 2, "merge": 0}
    assert [name for name, _ in found.marks] == ["whole", "core"]
    names = [text.get_text() for text in draw_case(view, {"m": found}).legends[0].get_texts()]
    assert names[:3] == ["whole", "core", "only in the truth"]


def test_what_nobody_judged_is_not_counted_and_is_grey():
    ignored = np.zeros((24, 60), bool)
    ignored[:8] = True
    view = line_view(ignored=ignored)
    assert count_mistakes(view)["broken"]["false"] == 0
    figure = draw_case(view)
    assert "not judged" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_five_panels_take_two_rows_and_the_width_is_as_asked():
    figure = draw_case(line_view(models=("a", "b", "c")), width=3.5)
    rows = {axes.get_subplotspec().rowspan.start for axes in figure.axes}
    assert rows == {0, 1}
    assert figure.get_figwidth() == 3.5
    assert (
        draw_case(line_view(models=("a", "b", "c")), columns=5).axes[4].get_subplotspec().rowspan.start == 0
    )


def test_colours_and_odd_values_of_an_image():
    view = line_view()
    colour = CaseView(**{**vars(view), "image": np.full((24, 60, 3), 300.0)})
    assert draw_case(colour).axes[0].get_images()[0].get_array().max() <= 1
    odd = view.image.copy()
    odd[0, :4] = np.nan, np.inf, -np.inf, 1e30
    assert np.isfinite(
        draw_case(CaseView(**{**vars(view), "image": odd})).axes[0].get_images()[0].get_array()
    ).all()


@pytest.mark.parametrize("ending", ["png", "pdf", "svg"])
def test_names_are_text_as_they_are(tmp_path, ending):
    view = line_view(models=("$a_1$ & <b>",))
    file = tmp_path / f"figure.{ending}"
    save(draw_case(view), file, dpi=60)
    if ending == "png":
        assert imread(file).ndim == 3
    elif ending == "svg":
        assert "$a_1$ &amp; &lt;b&gt;" in file.read_text(encoding="utf-8")
    else:
        assert b"/FontType 42" in file.read_bytes() or b"/Type0" in file.read_bytes()


def test_inputs_are_not_changed():
    view = instance_view()
    before = {name: array.copy() for name, array in view.predictions.items()}, view.image.copy()
    draw_case(view)
    np.testing.assert_array_equal(before[0]["JC"], view.predictions["JC"])
    np.testing.assert_array_equal(before[1], view.image)
