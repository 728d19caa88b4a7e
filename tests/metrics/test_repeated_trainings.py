"""Means and tests of several trainings on the same cases, against statsmodels, SciPy and simulated truth."""

import math
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.regression.mixed_linear_model import MixedLM
from statsmodels.stats.multitest import multipletests

from nnunet_ext.metrics import holm, paired_test, repeated_mean, repeated_test
from nnunet_ext.metrics.repeated import CASES, MIXED


def simulate(random, trainings, cases, of_training, *, of_model=(1.0, 1.0), effect=0.0, skewed=""):
    """Two models (trainings, cases): effects of case, case in model, training, and the rest."""
    case = random.normal(size=cases)
    models = []
    for number, factor in enumerate(of_model):
        table = case + 0.5 * random.normal(size=cases) + effect * number
        table = table + factor * of_training * random.normal(size=(trainings, 1))
        table = table + 0.5 * random.normal(size=(trainings, cases))
        if skewed == "Dice":
            table = 1 - np.exp(0.7 * table - 2)
        if skewed == "Betti":
            table = np.round(np.exp(0.7 * table)) - 1.0
        models.append(table)
    return models


def test_literal_numbers():
    a, b = [[1.0, 2.0], [3.0, 4.0]], [[2.0, 2.0], [4.0, 6.0]]
    mean = repeated_mean(b)
    assert (mean.n_trainings, mean.n_cases, mean.mean) == (2, 2, 3.5)
    assert mean.sd == pytest.approx(math.sqrt(((2 - 3.5) ** 2 + (5 - 3.5) ** 2) / 1))
    test = repeated_test(a, b)
    assert (test.mean_a, test.mean_b, test.difference) == (2.5, 3.5, 1.0)
    # Variances of the trainings' means: 2 and 4.5, halved; cases: differences 1 and 1, so no part of theirs.
    variance, degrees = 2 / 2 + 4.5 / 2, (1 + 2.25) ** 2 / (1 + 2.25**2)
    assert test.degrees_of_freedom == pytest.approx(degrees)
    assert test.p == pytest.approx(2 * stats.t.sf(1 / math.sqrt(variance), degrees))
    assert test.chance == MIXED


@pytest.mark.parametrize("seed", range(3))
def test_the_standard_error_is_that_of_a_mixed_model(seed):
    """REML with crossed random effects, where every estimated variance is positive, equals the ANOVA."""
    random = np.random.default_rng(seed)
    tables = simulate(random, 4, 12, 1.0, effect=0.7)
    table = pd.DataFrame(
        [
            {"y": y, "model": m, "training": f"{m}{s}", "case": c, "in_model": f"{m}{c}", "all": 0}
            for m, values in enumerate(tables)
            for s, row in enumerate(values)
            for c, y in enumerate(row)
        ]
    )
    effects = {name: f"0 + C({name})" for name in ("training", "case", "in_model")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of convergence: the comparison below is the check
        fit = MixedLM.from_formula("y ~ model", groups="all", vc_formula=effects, data=table).fit(reml=True)
    test = repeated_test(*tables, n_resamples=10)
    assert min(fit.vcomp) > 0.01
    assert test.difference == pytest.approx(fit.params["model"], abs=1e-4)
    ours = abs(test.difference) / stats.t.isf(test.p / 2, test.degrees_of_freedom)
    assert ours == pytest.approx(fit.bse["model"], rel=0.01)


def test_one_training_each_is_the_paired_test_over_cases():
    random = np.random.default_rng(0)
    a, b = random.normal(size=(2, 1, 12))
    test, over_cases = repeated_test(a, b), paired_test(a[0], b[0])
    assert (test.p, test.p_wilcoxon) == (over_cases.p_permutation, over_cases.p_wilcoxon)
    assert test.chance == CASES
    assert math.isnan(test.degrees_of_freedom)
    several = repeated_test(a, np.vstack([b, b + 0.1]))
    assert several.chance == CASES  # nobody knows how much trainings of the first differ
    assert math.isnan(several.p_wilcoxon)


@pytest.mark.parametrize("skewed", ["", "Dice", "Betti"])
@pytest.mark.parametrize(("trainings", "cases"), [(3, 20), (5, 20), (3, 100)])
@pytest.mark.parametrize("of_training", [0.0, 0.3, 10.0])
def test_no_effect_is_called_significant_in_one_of_twenty(skewed, trainings, cases, of_training):
    """1000 experiments without an effect, with trainings that differ not at all, little or strongly."""
    if skewed and of_training == 10:
        of_training = 1.0  # e to the 10th power is no metric
    random = np.random.default_rng(7)
    found = sum(
        repeated_test(*simulate(random, trainings, cases, of_training, skewed=skewed), n_resamples=2).p < 0.05
        for _ in range(1000)
    )
    low = 15 if skewed and of_training else 30  # skewed numbers make it more careful, never less
    assert low <= found <= 70


def test_permuting_cases_alone_would_take_chance_for_an_effect():
    """Why trainings count: the usual test, over cases, of two models that are the same."""
    random = np.random.default_rng(0)
    found = 0
    for _ in range(200):
        a, b = simulate(random, 3, 50, 1.0)
        found += paired_test(a.mean(0), b.mean(0), 200).p_permutation < 0.05
    assert found > 100


def test_an_effect_is_found():
    random = np.random.default_rng(0)
    found = [
        repeated_test(*simulate(random, 3, 50, 0.1, effect=0.5), n_resamples=2).p < 0.05 for _ in range(100)
    ]
    assert np.mean(found) > 0.8


@pytest.mark.parametrize(("trainings", "of_training"), [(1, 0.0), (3, 0.0), (3, 1.0), (5, 0.3)])
def test_intervals_hold_the_truth(trainings, of_training):
    random = np.random.default_rng(1)
    mean, difference = 0, 0
    for _ in range(300):
        a, b = simulate(random, trainings, 20, of_training)
        test, of_b = repeated_test(a, b, 500), repeated_mean(b, 500)
        difference += test.low <= 0 <= test.high
        mean += of_b.low <= 0 <= of_b.high
    assert 0.9 < difference / 300 <= 1
    assert 0.9 < mean / 300 <= 1


def test_the_interval_of_one_training_is_that_of_scipy():
    values = np.random.default_rng(0).gamma(2, size=(1, 40))
    ours = repeated_mean(values, 20_000)
    theirs = stats.bootstrap(values, np.mean, n_resamples=20_000, method="percentile", rng=0)
    width = theirs.confidence_interval.high - theirs.confidence_interval.low
    stretched = stats.t.isf(0.025, 39) / stats.norm.isf(0.025) * math.sqrt(40 / 39)
    assert ours.high - ours.low == pytest.approx(width * stretched, rel=0.03)


def test_cases_without_a_number_are_left_out_of_everything_and_counted():
    a = [[0.1, 0.2, math.nan, 0.4, 0.3], [0.1, 0.3, 0.3, 0.5, 0.2]]
    b = [[0.2, 0.3, 0.9, 0.6, math.inf], [0.3, 0.2, 0.9, 0.6, 0.3]]
    test = repeated_test(a, b)
    kept = repeated_test(np.array(a)[:, [0, 1, 3]], np.array(b)[:, [0, 1, 3]])
    assert (test.n_pairs, test.n_dropped, kept.n_dropped) == (3, 2, 0)
    assert (test.p, test.low, test.mean_a) == (kept.p, kept.low, kept.mean_a)
    assert repeated_mean(a).n_cases == 4


def test_edges():
    same = repeated_test([[0.5, 0.6], [0.5, 0.6]], [[0.5, 0.6], [0.5, 0.6]])
    assert (same.p, same.low, same.high) == (1, 0, 0)
    nothing = repeated_test([[math.nan]], [[1.0]])
    assert nothing.n_pairs == 0
    assert all(math.isnan(x) for x in (nothing.p, nothing.low, nothing.mean_a, nothing.difference))
    one_case = repeated_test([[0.1], [0.2]], [[0.5], [0.6]])  # a t-test of the trainings
    assert one_case.p == pytest.approx(stats.ttest_ind([0.5, 0.6], [0.1, 0.2], equal_var=False).pvalue)
    assert math.isnan(one_case.low)
    with pytest.raises(ValueError, match="same cases"):
        repeated_test([[1.0]], [[1.0, 2.0]])
    with pytest.raises(ValueError, match=r"trainings, cases"):
        repeated_mean([1.0, 2.0])


def test_holm_is_that_of_statsmodels():
    random = np.random.default_rng(0)
    for size in (1, 2, 10):
        p = random.random(size) ** 3
        assert holm(p.tolist()) == pytest.approx(multipletests(p, method="holm")[1])
    with_gap = holm([0.01, math.nan, 0.04])
    assert with_gap[0] == 0.02
    assert math.isnan(with_gap[1])
    assert with_gap[2] == 0.04
