import pytest

from nnunet_ext.demo.outcome import typical_case, verdict
from nnunet_ext.evaluation.comparison import compare_summaries


def summary(errors):
    cases = [
        {"prediction_file": f"/p/{name}.png", "reference_file": f"/r/{name}.png", "metrics": {"1": metrics}}
        for name, error in errors.items()
        for metrics in [{"Beta0Error": float(error)}]
    ]
    mean = {"Beta0Error": sum(errors.values()) / len(errors)}
    return {"metric_per_case": cases, "mean": {"1": mean}, "foreground_mean": mean}


@pytest.mark.parametrize(
    ("a", "b", "name"),
    [
        ({"x": 9, "y": 5, "z": 4}, {"x": 0, "y": 4, "z": 4}, "y.png"),  # differences 9, 1, 0
        ({"x": 9, "y": 5, "z": 4, "w": 0}, {"x": 0, "y": 4, "z": 4, "w": 8}, "z.png"),  # 9, 1, 0, -8
        ({"b": 1, "c": 1, "a": 1}, {"b": 1, "c": 1, "a": 1}, "b.png"),  # all alike
        ({"a": 3}, {"a": 1}, "a.png"),
    ],
)
def test_the_case_shown_is_the_one_with_the_median_difference(a, b, name):
    assert typical_case(summary(a), summary(b)) == name


def said(a, b):
    return verdict(compare_summaries(summary(a), summary(b), ["Beta0Error"]))


def test_a_difference_is_named_with_its_chance():
    many = {f"c{i:02}": 5 + i % 3 for i in range(12)}
    fewer = {name: error - 4 for name, error in many.items()}
    assert said(many, fewer).startswith(
        "Here B is wrong by 2.0 pieces per image, A by 6.0: more than chance over these 12 images"
    )
    assert said(fewer, many).startswith("Here A is wrong by 2.0 pieces per image, B by 6.0: more than")
    assert "no more than chance could bring" in said({"x": 4, "y": 1}, {"x": 1, "y": 2})
    assert said(many, many) == "Here both are wrong by as many pieces."
