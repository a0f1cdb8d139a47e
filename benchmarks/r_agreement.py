"""Whether R says the same of the same tables: Debian's r-base with what it ships (stats, nlme, boot).

    apt-get install -y --no-install-recommends r-base-core r-recommended
    python benchmarks/r_agreement.py

Prints, for each quantity, the largest difference between R's number and ours over three simulated tables: 36 patients
with one exam; 36 exams of 25 patients; 12 patients with three repeats. About 20 seconds.
"""

import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
from pandas import DataFrame

from submit.analysis.adjustment import adjusted
from submit.analysis.bootstrap import Bootstrap
from submit.analysis.mixed_model import mixed_model
from submit.analysis.paired_tests import equivalence, friedman, null_distribution, signed_rank
from submit.analysis.pairing import by_arm, by_patient, differences

ARMS = ("reference", "a", "b", "c", "d")
EFFECTS = (0.0, -0.5, -0.1, 0.0, 0.2)
"""On the logit scale."""
MARGIN = 0.02
SCRIPT = Path(__file__).with_suffix(".R")
TOLERANCES = {"model estimate": 1e-5, "model error": 1e-3, "interval low": 0.005, "interval high": 0.005}
"""The bootstrap draws other patients; likelihoods end where their optimisers stop. Everything else is the same."""
SAME = 1e-8
Found = dict[tuple[str, str], float]


def simulated(visits: tuple[int, ...], repeats: int, seed: int) -> DataFrame:
    """A table of tests: patient, exam, repeat, arm, dice."""
    draw = np.random.default_rng(seed)
    rows = []
    for patient, count in enumerate(visits):
        own = draw.normal(0, 0.5)
        varies = draw.normal(0, 0.15, len(ARMS))
        for visit in range(count):
            exam = draw.normal(0, 0.3)
            for repeat in range(repeats):
                for number, arm in enumerate(ARMS):
                    value = 1 + own + exam + EFFECTS[number] + varies[number] + draw.normal(0, 0.15)
                    name = f"e{patient:02}.{visit}"
                    rows.append((f"p{patient:02}", name, repeat, arm, 1 / (1 + np.exp(-value))))
    return DataFrame(rows, columns=["patient", "exam", "repeat", "arm", "dice"]).assign(
        structure="t", status="ok"
    )


def ours(table: DataFrame) -> Found:
    """What this project makes of a table."""
    tests = by_arm(table, "t", "dice")
    values = differences(tests)
    arms = list(values.columns)
    p = {arm: signed_rank(values[arm].to_numpy()).p for arm in arms}
    found: Found = {("wilcoxon", arm): each for arm, each in p.items()}
    for name, values_of in (("holm", adjusted(p, "holm")), ("benjamini-hochberg", adjusted(p, "fdr_bh"))):
        found |= {(name, arm): each or 0.0 for arm, each in values_of.items()}
    for arm in arms:
        equal = equivalence(values[arm].to_numpy(), MARGIN)
        assert equal is not None
        found["equivalence", arm] = equal.p
    over_all = friedman(by_patient(tests).to_numpy())
    assert over_all is not None
    found["friedman", ""], found["friedman p", ""] = over_all.chi_square, over_all.p
    model = mixed_model(tests, "dice")
    assert model is not None
    print(f"model: {model.name}")
    for contrast in model.contrasts:
        found["model estimate", contrast.arm] = contrast.estimate
        found["model error", contrast.arm] = contrast.error
    for arm, low, high in zip(arms, *Bootstrap(values.to_numpy(), 0).intervals(), strict=True):
        found["interval low", arm], found["interval high", arm] = float(low), float(high)
    for n in (6, 9, 10, 25, 36, 100):
        found["signed-rank P(W <= n)", str(n)] = float(
            null_distribution(np.arange(1.0, n + 1))[: 2 * n + 1].sum()
        )
    return found


def of_r(table: DataFrame) -> Found:
    """What R makes of it."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "tests.csv")
        table.to_csv(file, index=False)
        done = subprocess.run(
            ["Rscript", "--vanilla", str(SCRIPT), str(file)], capture_output=True, text=True, check=False
        )
    if done.returncode:
        sys.exit(done.stderr)
    lines = [line.rstrip("\n").split("\t") for line in done.stdout.splitlines() if line.strip()]
    return {(name, arm): float(value) for name, arm, value in lines}


def main() -> None:
    """Prints a table in Markdown."""
    if shutil.which("Rscript") is None:
        sys.exit(
            "Rscript is not installed: apt-get install -y --no-install-recommends r-base-core r-recommended"
        )
    worst: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for seed, (visits, repeats) in enumerate(
        [((1,) * 36, 1), ((1,) * 16 + (2,) * 7 + (3,) * 2, 1), ((1,) * 12, 3)]
    ):
        table = simulated(visits, repeats, seed)
        mine, theirs = ours(table), of_r(table)
        assert set(mine) == set(theirs), set(mine) ^ set(theirs)
        for key, value in theirs.items():
            worst[key[0]].append((abs(value - mine[key]), abs(value)))
    print("\n| quantity | numbers | largest difference | of a number as large as |")
    print("|---|---|---|---|")
    for name, found in worst.items():
        difference, value = max(found)
        print(f"| {name} | {len(found)} | {difference:.1e} | {value:.2g} |")
    differing = [name for name, found in worst.items() if max(found)[0] > TOLERANCES.get(name, SAME)]
    if differing:
        sys.exit(f"R says something else of: {', '.join(differing)}")


if __name__ == "__main__":
    main()
