import math
from itertools import product

import numpy as np
import pytest
from scipy import stats

from nnunet_ext.metrics import paired_test


def naive_permutation_p(a, b):
    """All sign flips; two-sided as twice the smaller tail, like SciPy."""
    differences = np.subtract(b, a)
    means = [np.mean(differences * signs) for signs in product((1, -1), repeat=len(differences))]
    observed = np.mean(differences)
    greater = np.mean([mean >= observed - 1e-12 for mean in means])
    less = np.mean([mean <= observed + 1e-12 for mean in means])
    return min(1, 2 * min(greater, less))


def test_permutation_equals_enumeration_when_there_are_few_pairs():
    rng = np.random.default_rng(0)
    a, b = rng.random(8), rng.random(8) + 0.2
    assert paired_test(a, b).p_permutation == pytest.approx(naive_permutation_p(a, b))


def test_many_pairs_are_deterministic_and_near_the_t_test():
    rng = np.random.default_rng(1)
    a = rng.normal(size=60)
    b = a + rng.normal(0.2, 1, size=60)
    first, second = paired_test(a, b), paired_test(a, b)
    assert first == second
    assert first.p_permutation == pytest.approx(stats.ttest_rel(b, a).pvalue, abs=0.02)
    assert first.p_wilcoxon == pytest.approx(stats.wilcoxon(b, a).pvalue)
    assert paired_test(a, b, seed=1).p_permutation != first.p_permutation
    assert first.difference == pytest.approx(np.mean(b) - np.mean(a))


def test_swapping_a_and_b_changes_only_the_sign():
    rng = np.random.default_rng(2)
    a, b = rng.random(9), rng.random(9)
    forth, back = paired_test(a, b), paired_test(b, a)
    assert forth.difference == -back.difference
    assert forth.p_permutation == pytest.approx(back.p_permutation)
    assert forth.p_wilcoxon == pytest.approx(back.p_wilcoxon)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("a", "b", "n_pairs", "n_dropped", "p"),
    [
        ([0.1, 0.2, 0.3], [0.1, 0.2, 0.3], 3, 0, 1.0),
        ([0.1 + 0.2, 0.5], [0.3, 0.5], 2, 0, 1.0),  # equal but for the last bit
        ([0.1], [0.9], 1, 0, 1.0),
        ([0.1, math.nan, 0.3], [math.nan, math.nan, 0.9], 1, 2, 1.0),
        ([math.nan], [0.5], 0, 1, math.nan),
        ([], [], 0, 0, math.nan),
        ([0, 0, 1, 2], [0, 1, 1, 2], 4, 0, 1.0),  # counts with ties and zeros
        ([1.0, math.inf, 2.0], [1.0, 1.0, 1.0], 2, 1, 1.0),
        ([math.inf, -math.inf, 1, 2], [math.inf, 0, math.nan, 2], 1, 3, 1.0),
        ([-math.inf], [0.5], 0, 1, math.nan),
        ([1e308] * 4, [-1e308] * 4, 4, 0, 0.125),
        ([1e-20, 2e-20, 3e-20], [0, 0, 0], 3, 0, 0.25),
        ([0.9] * 6, [0.8] * 6, 6, 0, 0.03125),  # all ties but for a constant
    ],
)
def test_edge_cases(a, b, n_pairs, n_dropped, p):
    test = paired_test(a, b)
    assert (test.n_pairs, test.n_dropped) == (n_pairs, n_dropped)
    assert test.p_wilcoxon == pytest.approx(p, nan_ok=True)
    assert test.p_permutation == pytest.approx(p, nan_ok=True)
    assert math.isnan(test.mean_a) == (n_pairs == 0)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 6])
def test_no_p_is_below_the_smallest_possible(n):
    test = paired_test(np.arange(n), np.arange(n) + np.linspace(1, 2, n))
    assert test.p_wilcoxon == test.p_permutation == test.smallest_p == 2 / 2**n
    assert math.isnan(paired_test([], []).smallest_p)


def test_exception():
    with pytest.raises(ValueError, match=r"\(2,\) and \(3,\)"):
        paired_test([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="n_resamples: expected 1 or more, got 0"):
        paired_test([1, 2], [2, 3], n_resamples=0)
