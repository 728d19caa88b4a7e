"""Paired tests: is the difference between two methods on the same cases more than chance?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class PairedTest:
    """Two methods on the same cases.

    Attributes
    ----------
    n_pairs : int
        Pairs with a finite number on both sides; everything below is computed from these.
    n_dropped : int
        Pairs left out because one side, or both, is NaN or infinite.
    mean_a, mean_b, difference : float
        Means, and ``mean_b - mean_a``. NaN without pairs.
    p_wilcoxon, p_permutation : float
        Two-sided p-values, not corrected for multiple testing. NaN without pairs.
    """

    n_pairs: int
    n_dropped: int
    mean_a: float
    mean_b: float
    difference: float
    p_wilcoxon: float
    p_permutation: float

    @property
    def smallest_p(self) -> float:
        """The smallest p that so many pairs can have: all differences of one sign, ``2 / 2 ** n_pairs``."""
        return min(1.0, 2.0 ** (1 - self.n_pairs)) if self.n_pairs else math.nan


def paired_test(a: ArrayLike, b: ArrayLike, n_resamples: int = 10_000, seed: int = 0) -> PairedTest:
    """Compare paired values with Wilcoxon's signed-rank test and a permutation test of the mean.

    The permutation test swaps A and B within pairs at random (all ways, if there are at most
    `n_resamples`) and asks how often the mean difference becomes as large as the one observed.

    Parameters
    ----------
    a, b : (N,) array_like of float
        One value per case; position i of both is the same case. Pairs with NaN or an infinite value
        are dropped, and counted: no mean of them, and no test, means anything.
    n_resamples : int
        Number of random permutations, at least 1.
    seed : int
        Makes the permutations, and so the p-value, the same each time.

    Returns
    -------
    PairedTest
        Means, difference and p-values. If all differences are zero, or there is one pair, p = 1.

    Raises
    ------
    ValueError
        If `a` and `b` are not two lists of one length, or `n_resamples` is below 1.

    References
    ----------
    Wilcoxon, F. Individual comparisons by ranking methods. Biometrics Bulletin 1 (1945);
    `scipy.stats.wilcoxon`, `scipy.stats.permutation_test` with ``permutation_type="samples"``.

    Examples
    --------
    >>> test = paired_test([0.5, 0.6, 0.7, 0.8, 0.9], [0.6, 0.7, 0.8, 0.9, float("nan")])
    >>> test.n_pairs, test.n_dropped, round(test.difference, 3), test.p_permutation
    (4, 1, 0.1, 0.125)
    """
    values_a, values_b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if values_a.ndim != 1 or values_a.shape != values_b.shape:
        raise ValueError(
            f"expected two lists of one length, got shapes {values_a.shape} and {values_b.shape}"
        )
    if n_resamples < 1:
        raise ValueError(f"n_resamples: expected 1 or more, got {n_resamples}")
    valid = np.isfinite(values_a) & np.isfinite(values_b)
    values_a, values_b = values_a[valid], values_b[valid]
    # By a power of two, so that no bit changes: huge values do not overflow, tiny ones are not rounded away.
    exponent = int(np.frexp(np.abs((values_a, values_b)).max(initial=0))[1])
    scaled_a, scaled_b = np.ldexp(values_a, -exponent), np.ldexp(values_b, -exponent)
    mean_a, mean_b = (
        math.ldexp(float(scaled.mean()), exponent) if scaled.size else math.nan
        for scaled in (scaled_a, scaled_b)
    )
    p_wilcoxon, p_permutation = _p_values(scaled_b - scaled_a, n_resamples, seed)
    return PairedTest(
        n_pairs=values_a.size,
        n_dropped=valid.size - values_a.size,
        mean_a=mean_a,
        mean_b=mean_b,
        difference=mean_b - mean_a,
        p_wilcoxon=p_wilcoxon,
        p_permutation=p_permutation,
    )


def _p_values(differences: FloatArray, n_resamples: int, seed: int) -> tuple[float, float]:
    differences = np.round(differences, 12)  # 0.9 - 0.8 and 0.8 - 0.7 are a tie, whatever their last bit
    if differences.size == 0:
        return math.nan, math.nan
    if differences.size == 1 or not differences.any():  # SciPy refuses the one, divides by zero in the other
        return 1.0, 1.0
    permutation = stats.permutation_test(
        (differences,),
        np.mean,
        permutation_type="samples",  # of one sample: random signs, which is swapping A and B in pairs
        n_resamples=n_resamples,
        batch=1000,  # bounds memory for long lists of cases
        vectorized=True,
        random_state=np.random.default_rng(seed),
    )
    return float(stats.wilcoxon(differences).pvalue), float(permutation.pvalue)
