"""How often the test of `nnunet_ext compare` calls an effect significant where there is none; 5 % is right.

    python benchmarks/significance.py > benchmarks/results/significance.md

1000 simulated experiments for each number: two models that do not differ, each trained several times, on the
same cases. Cases differ with standard deviation 1, cases within a model with .5, the rest with .5, trainings
as the column says. "Dice": the same numbers bent as near 1; "β0 error": as counts, many of them 0. The last
table is of the usual test over cases alone, on the means of the trainings.
"""

import numpy as np

from nnunet_ext.metrics import paired_test, repeated_test

EXPERIMENTS = 1000
SHAPES = {
    "normal": lambda x: x,
    "Dice": lambda x: 1 - np.exp(0.7 * x - 2),
    "β0 error": lambda x: np.floor(np.exp(np.clip(0.7 * x, None, 7))),
}
SPREADS = (0.0, 0.3, 1.0, 10.0)


def experiment(random, trainings, cases, spread, ratio):
    """Two models (trainings, cases) without a difference; trainings of the second spread `ratio` as much."""
    case = random.normal(size=cases)
    return [
        case
        + 0.5 * random.normal(size=cases)
        + factor * spread * random.normal(size=(trainings, 1))
        + 0.5 * random.normal(size=(trainings, cases))
        for factor in (1, ratio)
    ]


def level(trainings, cases, spread, shape, ratio=1.0):
    """Per cent of experiments that the test over trainings and cases calls significant."""
    random = np.random.default_rng(0)
    found = 0
    for _ in range(EXPERIMENTS):
        tables = [SHAPES[shape](table) for table in experiment(random, trainings, cases, spread, ratio)]
        found += repeated_test(*tables, n_resamples=2).p < 0.05
    return 100 * found / EXPERIMENTS


def over_cases(cases, spread):
    """The same of a test that takes only the cases as drawn by chance."""
    random = np.random.default_rng(0)
    found = 0
    for _ in range(EXPERIMENTS):
        a, b = experiment(random, 3, cases, spread, 1.0)
        found += paired_test(a.mean(0), b.mean(0), 500).p_permutation < 0.05
    return 100 * found / EXPERIMENTS


def main():
    """Print the tables."""
    print("Significant at .05 without an effect, in % of 1000 simulated experiments:")
    print("`python benchmarks/significance.py`")
    for shape in SHAPES:
        spreads = SPREADS if shape == "normal" else SPREADS[:-1]
        print(f"\n{shape}: trainings of a model differ by a standard deviation of\n")
        print("| trainings | cases |", " | ".join(f"{spread:g}" for spread in spreads), "| 1 and .1 |")
        print("|---|---|" + "---|" * (len(spreads) + 1))
        for trainings in (2, 3, 5):
            for cases in (5, 10, 20, 100):
                numbers = [level(trainings, cases, spread, shape) for spread in spreads]
                numbers.append(level(trainings, cases, 1.0, shape, 0.1))
                print(f"| {trainings} | {cases} |", " | ".join(f"{n:.1f}" for n in numbers), "|", flush=True)
    print("\nPermutation of cases alone, 3 trainings, normal, 20 cases:\n")
    print("| 0 | .3 | 1 | 10 |\n|---|---|---|---|")
    print("|", " | ".join(f"{over_cases(20, spread):.1f}" for spread in SPREADS), "|")


if __name__ == "__main__":
    main()
