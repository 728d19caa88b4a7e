"""Is one method better than another, when each was trained several times and measured on the same cases?

Two things are drawn by chance: the cases, and the trainings. Every case is predicted by every training
("crossed"), and a training belongs to one method ("nested"). Radiology has the same design: readers who read
the same patients with one of two modalities. Its analysis of variance is used here, trainings as readers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from nnunet_ext.metrics.statistics import paired_test

FloatArray = NDArray[np.float64]

MIXED = "trainings and cases"
CASES = "cases"
_LEVEL = 0.95
_BLOCK = 2_000_000  # numbers drawn at once


@dataclass(frozen=True, kw_only=True)
class RepeatedMean:
    """What one method reaches.

    Attributes
    ----------
    n_trainings, n_cases : int
        Of which the numbers below are made.
    mean : float
        Over cases and trainings.
    sd : float
        Standard deviation of the trainings' means over cases; NaN for one training.
    low, high : float
        95 % interval by bootstrap; of one training over the cases alone. NaN for one case.
    """

    n_trainings: int
    n_cases: int
    mean: float
    sd: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class RepeatedTest:
    """Two methods on the same cases.

    Attributes
    ----------
    n_trainings_a, n_trainings_b : int
        Trainings of each.
    n_pairs, n_dropped : int
        Cases with a finite number in every training of both; cases left out because one is not.
    mean_a, mean_b, difference : float
        Means over cases and trainings, and ``mean_b - mean_a``. NaN without cases.
    low, high : float
        95 % interval of the difference by bootstrap. NaN for one case.
    p : float
        Two-sided, not corrected for multiple testing.
    p_wilcoxon : float
        Wilcoxon's signed-rank test over cases, if each method has one training; else NaN.
    degrees_of_freedom : float
        Of the t-test behind `p`; NaN if it was made by permuting cases.
    chance : str
        What was taken as drawn by chance: `MIXED` or, where one method has a single training, `CASES`.
    """

    n_trainings_a: int
    n_trainings_b: int
    n_pairs: int
    n_dropped: int
    mean_a: float
    mean_b: float
    difference: float
    low: float
    high: float
    p: float
    p_wilcoxon: float
    degrees_of_freedom: float
    chance: str


def repeated_mean(values: ArrayLike, n_resamples: int = 10_000, seed: int = 0) -> RepeatedMean:
    """Mean of a method over trainings and cases, how much trainings differ, and an interval.

    Parameters
    ----------
    values : (S, N) array_like of float
        A row per training, a column per case. Cases with a NaN or infinite number are left out.
    n_resamples, seed : int
        Of the bootstrap, as in `repeated_test`.

    Returns
    -------
    RepeatedMean

    Raises
    ------
    ValueError
        If `values` has no two axes, or no training.
    """
    table = _table(values, "values")
    table = table[:, np.isfinite(table).all(0)]
    trainings, cases = table.shape
    mean = float(table.mean()) if cases else math.nan
    low, high = _interval([table], n_resamples, seed)
    return RepeatedMean(
        n_trainings=trainings,
        n_cases=cases,
        mean=mean,
        sd=float(table.mean(1).std(ddof=1)) if trainings > 1 and cases else math.nan,
        low=low,
        high=high,
    )


def repeated_test(a: ArrayLike, b: ArrayLike, n_resamples: int = 10_000, seed: int = 0) -> RepeatedTest:
    r"""Test whether the means of two methods differ by more than the chance of trainings and cases.

    With several trainings of both, the variance of the difference of means is estimated as in the analysis of
    multi-reader studies,

    .. math::
        V_a / S_a + V_b / S_b + \max(0, V_c / N - R),

    with :math:`V_a, V_b` the variances of the trainings' means, :math:`V_c` that of the cases' differences,
    and :math:`R` what both contain of the residual. The degrees of freedom are Satterthwaite's, from the
    three terms. With one training of a method nobody knows how much its trainings differ: then only the
    cases count as drawn by chance (`paired_test`, over the means of trainings).

    Parameters
    ----------
    a, b : (S_a, N) and (S_b, N) array_like of float
        A row per training, a column per case; column i of both is the same case. A case with NaN or an
        infinite number in any row of either is left out of everything, and counted.
    n_resamples : int
        Of the bootstrap behind the interval, and of the permutations; at least 1.
    seed : int
        Makes them the same each time.

    Returns
    -------
    RepeatedTest

    Raises
    ------
    ValueError
        If the arrays have no two axes, no training, or different numbers of cases.

    References
    ----------
    Dorfman, Berbaum, Metz. Receiver operating characteristic rating analysis. Invest. Radiol. 27 (1992).
    Obuchowski, Rockette. Hypothesis testing of diagnostic accuracy for multiple readers and multiple tests.
    Commun. Stat. Simul. Comput. 24 (1995). Hillis. A comparison of denominator degrees of freedom methods for
    multiple observer ROC analysis. Stat. Med. 26 (2007). Owen. The pigeonhole bootstrap. Ann. Appl. Stat. 1
    (2007), of the interval.

    Examples
    --------
    >>> a = [[0.80, 0.70, 0.91, 0.84], [0.82, 0.71, 0.90, 0.83]]
    >>> b = [[0.84, 0.75, 0.93, 0.86], [0.85, 0.74, 0.95, 0.88]]
    >>> test = repeated_test(a, b)
    >>> round(test.difference, 4), round(test.p, 3), test.chance
    (0.0363, 0.072, 'trainings and cases')
    """
    table_a, table_b = _table(a, "a"), _table(b, "b")
    if table_a.shape[1] != table_b.shape[1]:
        raise ValueError(
            f"expected the same cases in both, got {table_a.shape[1]} and {table_b.shape[1]} of them"
        )
    if n_resamples < 1:
        raise ValueError(f"n_resamples: expected 1 or more, got {n_resamples}")
    valid = np.isfinite(table_a).all(0) & np.isfinite(table_b).all(0)
    table_a, table_b = table_a[:, valid], table_b[:, valid]
    both_repeated = min(len(table_a), len(table_b)) > 1
    mean_a, mean_b = (float(table.mean()) if valid.any() else math.nan for table in (table_a, table_b))
    p, p_wilcoxon, degrees = math.nan, math.nan, math.nan
    if both_repeated and valid.any():
        variance, degrees = _variance_of_difference(table_a, table_b)
        p = _p_value(mean_b - mean_a, variance, degrees)
    elif not both_repeated:
        over_cases = paired_test(table_a.mean(0), table_b.mean(0), n_resamples, seed)
        mean_a, mean_b, p = over_cases.mean_a, over_cases.mean_b, over_cases.p_permutation
        p_wilcoxon = over_cases.p_wilcoxon if len(table_a) == len(table_b) else math.nan
    low, high = _interval([table_a, table_b], n_resamples, seed)
    return RepeatedTest(
        n_trainings_a=len(table_a),
        n_trainings_b=len(table_b),
        n_pairs=int(valid.sum()),
        n_dropped=int((~valid).sum()),
        mean_a=mean_a,
        mean_b=mean_b,
        difference=mean_b - mean_a,
        low=low,
        high=high,
        p=p,
        p_wilcoxon=p_wilcoxon,
        degrees_of_freedom=degrees,
        chance=MIXED if both_repeated else CASES,
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for their number: below α, the chance of even one false finding is below α.

    Parameters
    ----------
    p_values : sequence of float
        Of one family of tests. NaN stands for no test, is not counted, and stays.

    Returns
    -------
    list of float
        In the order given, at most 1.

    References
    ----------
    Holm. A simple sequentially rejective multiple test procedure. Scand. J. Stat. 6 (1979).

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected = [math.nan] * len(p_values)
    tested = sorted((p, index) for index, p in enumerate(p_values) if not math.isnan(p))
    largest = 0.0
    for done, (p, index) in enumerate(tested):
        largest = max(largest, min(1.0, (len(tested) - done) * p))
        corrected[index] = largest
    return corrected


def _table(values: ArrayLike, name: str) -> FloatArray:
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or not len(table):
        raise ValueError(f"{name}: expected (trainings, cases), got shape {table.shape}")
    return table


def _variance_of_mean(table: FloatArray) -> tuple[float, float]:
    """Of the mean over trainings: the part of trainings, and how much of it is residual."""
    trainings, cases = table.shape
    part = float(table.mean(1).var(ddof=1)) / trainings
    if cases < 2:
        return part, 0.0
    residual = table - table.mean(0) - table.mean(1, keepdims=True) + table.mean()
    return part, float(np.square(residual).sum()) / ((trainings - 1) * (cases - 1)) / table.size


def _variance_of_difference(*tables: FloatArray) -> tuple[float, float]:
    """Variance of a mean, or of a difference of two means, and Satterthwaite's degrees of freedom."""
    cases = tables[0].shape[1]
    parts = [_variance_of_mean(table) for table in tables if len(table) > 1]
    per_case = tables[-1].mean(0) - (tables[0].mean(0) if len(tables) > 1 else 0)
    of_cases = float(per_case.var(ddof=1)) / cases if cases > 1 else 0.0
    of_cases = max(0.0, of_cases - sum(residual for _, residual in parts))
    variance = of_cases + sum(part for part, _ in parts)
    uncertainty = of_cases**2 / (cases - 1) if cases > 1 else 0.0
    repeated = [len(table) for table in tables if len(table) > 1]
    uncertainty += sum(part**2 / (n - 1) for (part, _), n in zip(parts, repeated, strict=True))
    return variance, variance**2 / uncertainty if uncertainty else math.inf


def _p_value(difference: float, variance: float, degrees: float) -> float:
    if variance < 1e-24 * max(1.0, difference**2):  # no spread at all: rounding, not a variance
        return 1.0 if abs(difference) < 1e-12 else 0.0
    return float(2 * stats.t.sf(abs(difference) / math.sqrt(variance), degrees))


def _interval(tables: Sequence[FloatArray], n_resamples: int, seed: int) -> tuple[float, float]:
    """95 % interval of the mean of one table, or of the difference of two, trainings and cases drawn anew."""
    cases = tables[0].shape[1]
    if cases < 2:
        return math.nan, math.nan
    means = np.zeros(n_resamples)
    of_cases = _draws(cases, n_resamples, seed)
    for number, table in enumerate(tables):
        of_trainings = _draws(len(table), n_resamples, seed + 1 + number)
        drawn = np.concatenate(
            [
                np.einsum("bs,sn,bn->b", of_trainings[rows], table, of_cases[rows], optimize=True)
                for rows in _blocks(n_resamples, cases)
            ]
        )
        means += drawn if number == len(tables) - 1 else -drawn
    centre = float(tables[-1].mean() - (tables[0].mean() if len(tables) > 1 else 0))
    _, degrees = _variance_of_difference(*tables)
    # Of few trainings a percentile interval is too short, as 1.96 standard errors are: as long as t asks for.
    tail = (1 - _LEVEL) / 2
    stretch = float(stats.t.ppf(tail, degrees) / stats.norm.ppf(tail))
    low, high = np.quantile(means, (tail, 1 - tail))
    return centre + (float(low) - centre) * stretch, centre + (float(high) - centre) * stretch


@lru_cache(maxsize=8)
def _draws(n: int, n_resamples: int, seed: int) -> FloatArray:
    """How often each of `n` was drawn, as shares: n - 1 draws, whose variance is right also for small n."""
    if n == 1:
        return np.ones((n_resamples, 1))
    random = np.random.default_rng(seed)
    return random.multinomial(n - 1, np.full(n, 1 / n), n_resamples) / (n - 1)


def _blocks(n_resamples: int, cases: int) -> list[slice]:
    step = max(1, _BLOCK // cases)
    return [slice(start, start + step) for start in range(0, n_resamples, step)]
