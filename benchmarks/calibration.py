"""Whether the statistics keep their promises, on simulated studies whose truth is known; new rules beside the old.

    python benchmarks/calibration.py --studies 2000

Family-wise error without any effect, coverage of the simultaneous intervals, power, false "droppable" at the margin,
harm in a second structure, the mixed model's error, and verdicts by size of the effect. Tables of results are
simulated, nothing is trained; about two hours. Prints tables in Markdown, each figure with its Monte-Carlo error.

The old rules, those of before sign flips: needed by Wilcoxon's test with Holm's adjustment, where the bootstrap
excludes 0 too; droppable by the margin at 2.5 % whatever the number of patients, or where needed says better; harm by
Wilcoxon's test with Benjamini and Hochberg's adjustment.
"""

import argparse
import gc
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from pandas import DataFrame, Index, MultiIndex, concat

from submit.analysis.adjustment import adjusted
from submit.analysis.bootstrap import Bootstrap
from submit.analysis.comparisons import compare
from submit.analysis.design import ALPHA, Design
from submit.analysis.differences import Differences
from submit.analysis.evidence import gather
from submit.analysis.harms import harms_of
from submit.analysis.mixed_model import mixed_model
from submit.analysis.noise import Noise
from submit.analysis.paired_tests import equivalence, signed_rank
from submit.analysis.pairing import TEST, differences
from submit.analysis.power import detectable, sd_of_patients
from submit.analysis.sign_flips import SignFlips
from submit.analysis.verdict import decide_all

ARMS = ("reference", *(f"without {n}" for n in range(7)))
SD = 0.1
"""Of the difference of two arms in one exam, as the reference study's group found it (0.107)."""
ICC = 0.5
"""Correlation of the differences in two exams of one patient."""
VISITS = (1,) * 16 + (2,) * 7 + (3,) * 2
"""36 exams of 25 patients."""
SINGLE = (1,) * 36
FEW = (1,) * 10
LEVEL = 0.1
"""SD of Dice between exams, the same in all arms."""
RETRAINING = 0.02
"""SD of Dice when a network is trained again; part of the spread of an exam."""

Draw = Callable[[np.random.Generator, tuple[int, ...]], NDArray[np.float64]]


def normal(generator: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Mean 0, SD 1."""
    return generator.normal(size=shape)


def skewed(generator: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Mean 0, SD 1, a long tail of losses (gamma of shape 2), as Dice differences have."""
    return (2 - generator.gamma(2, 1, size=shape)) / sqrt(2)


def misses(generator: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Mean 0, SD 1: small differences, and now and then (10 %) a lesion that is missed altogether."""
    missed = (generator.random(shape) < 0.1) - 0.1
    return (0.3 * generator.normal(size=shape) - 2 * missed) / sqrt(0.09 + 4 * 0.09)


@dataclass(frozen=True)
class World:
    """Where studies are drawn from."""

    exams: tuple[int, ...]
    """Of each patient."""
    losses: tuple[float, ...] = (0.0,) * 7
    """True mean loss of each arm."""
    draw: Draw = normal
    alike: bool = False
    """Whether the reference is drawn as the arms are, as where a channel says nothing: differences are symmetric.
    Otherwise their skew is the arms' own."""

    @property
    def design(self) -> Design:
        """Of its studies."""
        return Design(
            arms=ARMS,
            left_out=((), *((arm,) for arm in ARMS[1:])),
            structures=("t",),
            classes=("t",),
            structure="t",
            metric="dice",
            margin=0.05,
            exams=tuple((f"p{p}", f"e{p}.{e}") for p, n in enumerate(self.exams) for e in range(n)),
            repeats=1,
            seed=0,
        )

    def study(self, seed: int) -> DataFrame:
        """Results of one study: exams x arms, differences correlated within patients."""
        generator = np.random.default_rng(seed)
        patient = np.repeat(np.arange(len(self.exams)), self.exams)

        def visits(draw: Draw, columns: int) -> NDArray[np.float64]:
            of_patients = draw(generator, (len(self.exams), columns))[patient]
            return sqrt(ICC) * of_patients + sqrt(1 - ICC) * draw(generator, (len(patient), columns))

        values = SD * visits(self.draw, len(ARMS)) * (sqrt(0.5) if self.alike else 1.0)
        if not self.alike:
            values[:, 0] = 0.0
        values[:, 1:] -= self.losses
        values += LEVEL * visits(normal, 1)  # how hard an exam is: it cancels in the differences
        index = MultiIndex.from_tuples([(0, *exam) for exam in self.design.exams], names=TEST)
        return DataFrame(values + 0.7, index=index, columns=Index(ARMS, name="arm"))


def table_of(tests: DataFrame, structure: str = "t") -> DataFrame:
    """A table of results with these Dice, tests x arms."""
    rows = tests.stack().rename("dice").reset_index()
    rows.columns = Index([*TEST, "arm", "dice"])
    other = {"hd95_mm": 10.0 * (1 - rows["dice"]), "volume_error_ml": 0.0, "absolute_volume_error_ml": 0.0}
    return rows.assign(structure=structure, status="ok", **other)


def decided(world: World, seed: int) -> dict[str, list[object]]:
    """What one study found, by arm."""
    tests, design = world.study(seed), world.design
    noise = Noise(sd=RETRAINING, degrees_of_freedom=2 * len(tests), exams=len(tests))
    evidence = gather(Differences(table_of(tests), design), design, {"t": noise})
    own = [each for every in evidence.values() for each in every]
    truth = world.losses
    return {
        "p": [each.p for each in own],
        "worse side": [each.p is not None and each.p < ALPHA and (each.loss or 0) > 0 for each in own],
        "covered": [
            each.low is None or each.high is None or each.low <= loss <= each.high
            for each, loss in zip(own, truth, strict=True)
        ],
        "verdict": [decide_all(every) for every in evidence.values()],
        "old": old_verdicts(tests, design),
    }


def old_verdicts(tests: DataFrame, design: Design) -> list[object]:
    """The verdicts by the rules of before."""
    losses = -differences(tests)[list(design.compared)]
    values = losses.to_numpy(dtype=np.float64)
    means = Bootstrap(values, design.seed)
    lows, highs = means.intervals()
    at_margin = [means.p_at_or_above(n, design.margin or 0.0) for n in range(values.shape[1])]
    ranks = [signed_rank(column) for column in values.T]
    p = list(adjusted({n: each.p for n, each in enumerate(ranks)}, "holm").values())
    sides = [equivalence(column, design.margin or 0.0) for column in values.T]
    not_worse = list(
        adjusted(
            {
                n: None if side is None else max(side.p_below_upper, at_margin[n] or 0.0)
                for n, side in enumerate(sides)
            },
            "holm",
        ).values()
    )
    verdicts: list[object] = []
    for n, column in enumerate(values.T):
        mean, raw, margin = float(column.mean()), p[n], not_worse[n]
        shown = raw is not None and raw < ALPHA and (np.isnan(lows[n]) or lows[n] > 0 or highs[n] < 0)
        shown = shown and ranks[n].rank_biserial * mean > 0
        if margin is not None and margin < ALPHA / 2:
            verdicts.append("droppable")
        else:
            verdicts.append(("needed" if mean > 0 else "droppable") if shown else "open")
    return verdicts


def naive(world: World, seed: int) -> dict[str, list[object]]:
    """The same test with exams taken for patients."""
    tests = world.study(seed)
    by_exam = tests.drop(columns="reference").sub(tests["reference"], axis=0).to_numpy()
    return {
        "p": [
            *adjusted({arm: signed_rank(column).p for arm, column in enumerate(by_exam.T)}, "holm").values()
        ]
    }


def modelled(world: World, seed: int) -> dict[str, list[object]]:
    """The mixed model's p of every arm, and whether its marginal fallback had to be taken."""
    model = mixed_model(world.study(seed).clip(0, 1), "dice")
    assert model is not None
    return {
        "p": [contrast.p for contrast in model.contrasts],
        "fallback": [bool(model.not_fitted)],
    }


def harmed(world: World, seed: int) -> dict[str, list[object]]:
    """Whether harm to a second structure, where the first arm loses 0.1 Dice, is named; by the old rule too."""
    first, second = (
        world.study(seed),
        World(world.exams, (0.1, *world.losses[1:]), world.draw).study(seed + 10**6),
    )
    design = Design(**{**vars(world.design), "structures": ("t", "n")})
    found = Differences(concat([table_of(first), table_of(second, "n")], ignore_index=True), design)
    comparisons = compare(found, design, gather(found, design, {"t": None}))
    secondary = [each for each in comparisons if each.endpoint not in design.endpoints]
    old = adjusted({n: each.p_wilcoxon for n, each in enumerate(secondary)}, "fdr_bh")
    dice = next(
        n for n, each in enumerate(secondary) if (each.arm, each.endpoint) == (ARMS[1], ("n", "dice"))
    )
    p, mean = old[dice], secondary[dice].mean
    names = {each.endpoint for each in harms_of(ARMS[1], comparisons, design)}
    return {
        "named": [("n", "dice") in names],
        "old": [p is not None and p < ALPHA and mean is not None and mean < 0],
    }


def strong(world: World, seed: int) -> dict[str, list[object]]:
    """Whether the first arm's loss is found: by sign flips, by Wilcoxon's test with Holm's adjustment."""
    losses = (-differences(world.study(seed)))[list(world.design.compared)].to_numpy(dtype=np.float64)
    p = SignFlips(losses, seed).p(0, range(losses.shape[1]))
    old = adjusted({n: signed_rank(column).p for n, column in enumerate(losses.T)}, "holm")[0]
    return {"new": [p is not None and p < ALPHA], "old": [old is not None and old < ALPHA]}


def simulate(
    world: World,
    studies: int,
    pool: Executor,
    look: Callable[[World, int], dict[str, list[object]]] = decided,
) -> dict[str, NDArray[np.object_]]:
    """What many studies found: studies x arms."""
    found = list(pool.map(partial(look, world), range(studies), chunksize=50))
    return {key: np.array([each[key] for each in found]) for key in found[0]}


def percent(hits: NDArray[np.generic]) -> str:
    """A share with its Monte-Carlo error."""
    share = float(np.mean(hits.astype(float)))
    return f"{100 * share:.1f} ± {100 * sqrt(share * (1 - share) / len(hits)):.1f} %"


COHORTS = (("36 patients", SINGLE), ("25 patients, 36 exams", VISITS), ("10 patients", FEW))
WORLDS: tuple[tuple[Draw, bool], ...] = ((normal, False), (skewed, False), (misses, False), (misses, True))


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--only", help="one table: errors, power, harm, model or verdicts")
    arguments = parser.parse_args()
    tables = {"errors": errors, "power": power, "harm": harm, "model": model, "verdicts": verdicts}
    # statsmodels collects garbage at every adjustment of p; what was loaded before is left out of it.
    with ProcessPoolExecutor(initializer=gc.freeze) as pool:
        for name, table in tables.items():
            if arguments.only in (None, name):
                table(arguments.studies, pool)


def errors(studies: int, pool: Executor) -> None:
    """Studies without any effect in which an arm is found to differ; and with all losses at the margin."""
    print(
        "\n| no effect | any p < 0.05 | on the worse side | called needed or worse | old: needed "
        "| intervals that all cover | loss at the margin: needed | droppable | old: droppable |"
    )
    print(f"|---|{'---|' * 8}")
    for name, exams in COHORTS:
        for draw, alike in WORLDS:
            free, at_margin = (
                simulate(World(exams, (loss,) * 7, draw, alike), studies, pool) for loss in (0.0, 0.05)
            )
            cells = [
                percent((free["p"] < ALPHA).any(axis=1)),
                percent(free["worse side"].astype(bool).any(axis=1)),
                percent(np.isin(free["verdict"].astype(str), ("needed", "worse")).any(axis=1)),
                percent((free["old"] == "needed").any(axis=1)),
                percent(free["covered"].astype(bool).all(axis=1)),
                percent((at_margin["verdict"] == "needed").any(axis=1)),
                percent((at_margin["verdict"] == "droppable").any(axis=1)),
                percent((at_margin["old"] == "droppable").any(axis=1)),
            ]
            kind = draw.__name__ + (", in all arms alike" if alike else "")
            print(f"| {name}, {kind} | {' | '.join(cells)} |", flush=True)


def power(studies: int, pool: Executor) -> None:
    """How often a loss is found: as large as the detectable one, and of 2 SD by few patients."""
    print("\n| one arm with a loss | of | sign flips, max-t | Wilcoxon, Holm | promised |")
    print("|---|---|---|---|---|")
    for name, exams in COHORTS:
        sd = sd_of_patients(SD, exams, icc=ICC)
        loss = detectable(sd, len(exams), alpha=ALPHA / 7) or 0.0
        found = simulate(World(exams, (loss, *(0.0,) * 6)), studies, pool, strong)
        cells = [percent(found[key][:, 0]) for key in ("new", "old")]
        print(f"| {name} | {loss:.3f} | {' | '.join(cells)} | 80 % |", flush=True)
    for patients in (7, 8, 9):
        found = simulate(World((1,) * patients, (2 * SD, *(0.0,) * 6)), studies, pool, strong)
        cells = [percent(found[key][:, 0]) for key in ("new", "old")]
        print(f"| {patients} patients | {2 * SD:.3f} (2 SD) | {' | '.join(cells)} | |", flush=True)


def harm(studies: int, pool: Executor) -> None:
    """How often a loss of 0.1 Dice in a second structure is named."""
    print("\n| loss of 0.1 in a second structure | named | old: named |")
    print("|---|---|---|")
    for name, exams in COHORTS:
        for draw in (normal, skewed):
            found = simulate(World(exams, draw=draw), studies, pool, harmed)
            print(
                f"| {name}, {draw.__name__} | {percent(found['named'][:, 0])} | {percent(found['old'][:, 0])} |",
                flush=True,
            )


def model(studies: int, pool: Executor) -> None:
    """How often the sensitivity analysis finds an arm to differ where none does; its p are not adjusted."""
    print("\n| mixed model, no effect | p < 0.05, each arm | after Holm, any arm | marginal model instead |")
    print("|---|---|---|---|")
    for name, exams in COHORTS:
        found = simulate(World(exams, alike=True), studies, pool, modelled)
        any_arm = np.array([min(adjusted(dict(enumerate(p)), "holm").values()) < ALPHA for p in found["p"]])
        cells = [percent(found["p"][:, 0] < ALPHA), percent(any_arm), percent(found["fallback"][:, 0])]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def verdicts(studies: int, pool: Executor) -> None:
    """Verdicts by the size of the loss, with a margin of 0.05; new rules, then old."""
    names = ("needed", "worse", "droppable", "not distinguishable", "undecided")
    print(f"\n| loss, 36 exams of 25 patients | {' | '.join(names)} | old: needed | old: droppable |")
    print(f"|---|{'---|' * (len(names) + 2)}")
    losses = (0.0, 0.02, 0.05, 0.08, 0.1, 0.15, -0.05)
    found = simulate(World(VISITS, losses), studies, pool)
    for loss, column, old in zip(losses, found["verdict"].T, found["old"].T, strict=True):
        counts, before = Counter(column.tolist()), Counter(old.tolist())
        cells = [f"{100 * counts[name] / studies:.0f} %" for name in names]
        cells += [f"{100 * before[name] / studies:.0f} %" for name in ("needed", "droppable")]
        print(f"| {loss:+.2f} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
