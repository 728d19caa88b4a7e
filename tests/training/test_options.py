import re

import pytest

from nnunet_ext.errors import UserError
from nnunet_ext.training.options import (
    COMMON,
    EPOCHS,
    JOINT,
    NEIGHBORHOOD,
    NO_MIRRORING,
    NO_TOUCHING_CONTRAST,
    ON_THE_FLY,
    YOUDEN_WEIGHT,
    Option,
    parse_options,
)

OPTIONS = (NEIGHBORHOOD, JOINT, *COMMON)


def test_words_become_attribute_values():
    values = parse_options("T", ["w7", "joint", "50epochs", "10iters", "nomirroring"], OPTIONS)
    assert values == {"neighborhood": 7, "joint": True, "epochs": 50, "iterations": 10, "mirroring": False}


@pytest.mark.parametrize("word", ["seed", "seed01", "seed-1", "seed1.5", "Seed1", "seeds1"])
def test_a_seed_is_a_whole_number(word):
    assert parse_options("T", ["joint", "seed0"], OPTIONS) == {"joint": True, "seed": 0}
    with pytest.raises(UserError, match=rf"unknown option '_{word}'. Did you mean _seed<n>.*: 0 or more"):
        parse_options("T", [word], OPTIONS)


def test_no_words_no_values():
    assert parse_options("T", [], OPTIONS) == {}


@pytest.mark.parametrize("word", ["w4", "w1", "w0", "w33", "0epochs", "0iters"])
def test_out_of_range_names_the_range(word):
    with pytest.raises(UserError, match=rf"T: option _{word} is out of range: .*(odd, 3 to 31|1 or more)"):
        parse_options("T", [word], OPTIONS)


@pytest.mark.parametrize(
    "word", ["foo", "w", "w5.5", "w-3", "w03", "epochs", "joint2", "Joint", "xw5", "w5 "]
)
def test_unknown_option_lists_the_known_ones(word):
    with pytest.raises(UserError) as caught:
        parse_options("nnUNetTrainerX", [word], OPTIONS)
    assert f"nnUNetTrainerX: unknown option '_{word}'" in str(caught.value)
    for option in OPTIONS:
        assert f"_{option.syntax}" in str(caught.value)


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("w5.5", "Did you mean _w<n>: SCNP window width in voxels.* <n> is a whole number .*: odd, 3 to 31"),
        ("W5", "Did you mean _w<n>"),
        ("w-3", "Did you mean _w<n>"),
        (
            "50epoch",
            "Did you mean _<n>epochs: train .* <n> is a whole number without leading zeros: 1 or more",
        ),
        ("Joint", r"Did you mean _joint: add the loss on the plain logits: L\(z\) \+ L\(z̃\)\? Known"),
        ("nomiroring", "Did you mean _nomirroring"),
        (
            "adam.1",
            "Did you mean _adam<x>: Adam .* <x> is a number such as 2, 0.25 or 1e-4: above 0, at most 1",
        ),
    ],
)
def test_an_option_in_another_form_is_told_which(word, text):
    with pytest.raises(UserError, match=f"unknown option '_{re.escape(word)}'. {text}"):
        parse_options("T", [word], OPTIONS)


def test_nothing_alike_nothing_meant():
    with pytest.raises(UserError, match=r"unknown option '_foo'. Known options"):
        parse_options("T", ["foo"], OPTIONS)


def test_out_of_range_says_the_unit():
    with pytest.raises(UserError, match=r"odd, 3 to 31. It stands for: SCNP window width in voxels"):
        parse_options("T", ["w4"], OPTIONS)


def test_same_setting_twice():
    with pytest.raises(UserError, match=r"_w3 is given twice. Keep one"):
        parse_options("T", ["w3", "w3"], OPTIONS)
    with pytest.raises(UserError, match=r"_w3 and _w5 set the same thing"):
        parse_options("T", ["w3", "w5"], OPTIONS)


def test_the_opposite_of_an_option_is_understood_and_changes_nothing():
    assert parse_options("T", ["onthefly"], [ON_THE_FLY]) == {"extra_targets_per_case": False}
    assert parse_options("T", ["percase"], [ON_THE_FLY]) == {"extra_targets_per_case": None}
    with pytest.raises(UserError, match="_percase and _onthefly set the same thing"):
        parse_options("T", ["percase", "onthefly"], [ON_THE_FLY])
    with pytest.raises(UserError) as caught:
        parse_options("T", ["percases"], [ON_THE_FLY])
    assert "_percase " not in str(caught.value)  # not listed


def test_option_of_another_family_is_unknown():
    with pytest.raises(UserError, match="unknown option '_w5'"):
        parse_options("T", ["w5"], COMMON)


def test_declared_options_do_not_overlap():
    options = (*OPTIONS, YOUDEN_WEIGHT, NO_TOUCHING_CONTRAST)
    samples = [option.syntax.replace("<n>", "5").replace("<x>", "0.5") for option in options]
    for sample in samples:
        assert sum(option.match(sample) is not None for option in options) == 1
    assert len({option.attribute for option in options}) == len(options)


@pytest.mark.parametrize(
    ("word", "value"), [("lambda0.25", 0.25), ("lambda2", 2.0), ("lambda0", 0.0), ("lambda1e-3", 0.001)]
)
def test_decimal_numbers(word, value):
    assert parse_options("T", [word], [YOUDEN_WEIGHT]) == {"youden_weight": value}
    assert isinstance(YOUDEN_WEIGHT.parse(word), float)


@pytest.mark.parametrize("number", ["", ".5", "00.5", "-1", "1e", "nan", "1."])
def test_what_is_no_decimal_number_is_unknown(number):
    with pytest.raises(UserError, match=f"unknown option '_lambda{re.escape(number)}'"):
        parse_options("T", [f"lambda{number}"], [YOUDEN_WEIGHT])


@pytest.mark.parametrize("word", ["adam0", "adam2", "adam0.0"])
def test_decimal_out_of_range(word):
    with pytest.raises(UserError, match="<x> in _adam<x> is above 0, at most 1"):
        parse_options("T", [word], COMMON)


def test_text_names_syntax_meaning_and_range():
    assert str(EPOCHS) == "_<n>epochs  train for <n> epochs (<n>: 1 or more)"
    assert str(NO_MIRRORING).startswith("_nomirroring  no mirroring")


def test_parsing_a_word_of_another_form_is_a_programming_error():
    with pytest.raises(ValueError, match="does not have the form"):
        Option("a<n>", "a", "").parse("b3")


def test_infinity_is_out_of_range():
    with pytest.raises(UserError, match="option _lambda1e999 is out of range"):
        parse_options("T", ["lambda1e999"], [YOUDEN_WEIGHT])
