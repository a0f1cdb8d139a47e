"""Whether the statistics keep their promises, on simulated studies whose truth is known; new rules beside the old.

    python benchmarks/calibration.py --studies 2000

Family-wise error without any effect, coverage of the simultaneous intervals, power, false "droppable" at the margin
and where misses are rare, an endpoint of two structures, harm, the mixed model's error, and verdicts by size of the
effect. Tables of results are simulated, nothing is trained; about four hours on two cores, each table by `--only`.
Prints tables in Markdown, each figure with its Monte-Carlo error.

The old rules, those of before sign flips: needed by Wilcoxon's test with Holm's adjustment, where the bootstrap
excludes 0 too; droppable by the margin at 2.5 % whatever the number of patients, or where needed says better; harm by
Wilcoxon's test with Benjamini and Hochberg's adjustment.
"""

import argparse
import gc
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from pandas import DataFrame
from worlds import (
    FEW,
    ICC,
    RARE,
    SD,
    SINGLE,
    VISITS,
    Draw,
    Nodes,
    RareMisses,
    World,
    found_in,
    misses,
    normal,
    skewed,
    table_of,
    with_noise,
)

from submit.analysis.adjustment import adjusted
from submit.analysis.bootstrap import Bootstrap
from submit.analysis.comparisons import compare
from submit.analysis.design import ALPHA, Design
from submit.analysis.evidence import gather
from submit.analysis.harms import MISSES, harms_of
from submit.analysis.mixed_model import mixed_model
from submit.analysis.noise import Noise
from submit.analysis.paired_tests import equivalence, signed_rank
from submit.analysis.pairing import differences
from submit.analysis.power import detectable, sd_of_patients
from submit.analysis.sign_flips import SignFlips
from submit.analysis.verdict import Evidence, decide_all

RETRAINING = 0.02
"""SD of Dice when a network is trained again; part of the spread of an exam."""
NODES = 10
"""Patients with the second structure of an endpoint of two, of 36."""

Study = dict[str, list[object]]
"""What one study found, by arm."""
Found = dict[str, NDArray[np.object_]]
"""The same of many: studies x arms."""


def decided(world: World, seed: int) -> Study:
    """Tests, intervals and verdicts of one study, by the old rules too."""
    tests, design = world.study(seed), world.design
    noise = Noise(sd=RETRAINING, degrees_of_freedom=2 * len(tests), exams=len(tests))
    evidence = gather(found_in(table_of(tests), design=design), design, {"t": noise})
    return judged(list(evidence.values()), world.losses) | {"old": old_verdicts(tests, design)}


def judged(evidence: Sequence[Sequence[Evidence]], losses: Sequence[float]) -> Study:
    """What follows from the evidence, by arm: on the last structure, and the verdict on all."""
    own = [every[-1] for every in evidence]
    return {
        "p": [each.p for each in own],
        "worse side": [each.p is not None and each.p < ALPHA and (each.loss or 0) > 0 for each in own],
        "covered": [
            (each.low is None or each.low <= loss) and (each.high is None or loss <= each.high)
            for each, loss in zip(own, losses, strict=True)
        ],
        "verdict": [decide_all(every) for every in evidence],
    }


def both(worlds: tuple[World, World], seed: int) -> Study:
    """One study with an endpoint of two structures, the second of which `NODES` patients have."""
    first, second = worlds
    design = replace(first.design, structures=("t", "n"), further_structures=("n",))
    nodes = table_of(second.study(seed + 10**6), "n")
    nodes = nodes[nodes["patient"].isin([f"p{n}" for n in range(NODES)])]
    found = found_in(table_of(first.study(seed)), nodes, design=design)
    evidence = list(gather(found, design, {}).values())
    leading = judged([every[:1] for every in evidence], first.losses)
    return judged(evidence, second.losses) | {f"first {key}": values for key, values in leading.items()}


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


def naive(world: World, seed: int) -> Study:
    """The same test with exams taken for patients."""
    tests = world.study(seed)
    by_exam = tests.drop(columns="reference").sub(tests["reference"], axis=0).to_numpy()
    return {
        "p": [
            *adjusted({arm: signed_rank(column).p for arm, column in enumerate(by_exam.T)}, "holm").values()
        ]
    }


def modelled(world: World, seed: int) -> Study:
    """The mixed model's p of every arm, and whether its marginal fallback had to be taken."""
    model = mixed_model(world.study(seed).clip(0, 1), "dice")
    assert model is not None
    return {
        "p": [contrast.p for contrast in model.contrasts],
        "fallback": [bool(model.not_fitted)],
    }


def screened(world: Nodes, seed: int) -> Study:
    """Harms of one study beside an endpoint in which nothing is lost, by arm: of nodes, and of anything.

    By the old rule, whether nodes lose Dice.
    """
    first = World(world.exams, alike=True)
    design = replace(first.design, structures=("t", "n"), classes=("t", "n"))
    tumours = with_noise(table_of(first.study(seed + 10**6)), seed + 10**6)
    found = found_in(tumours, world.rows(seed), design=design)
    comparisons = compare(found, design, gather(found, design, {}))
    secondary = [each for each in comparisons if each.endpoint not in design.endpoints]
    old = adjusted({(each.arm, *each.endpoint): each.p_wilcoxon for each in secondary}, "fdr_bh")
    means = {(each.arm, *each.endpoint): each.mean or 0.0 for each in secondary}
    study: Study = {key: [] for key in ("shown", "large", "nodes shown", "nodes large", "old")}
    for arm in design.compared:
        seen = {structure: found.detection(structure, arm) for structure in design.structures}
        harms = harms_of(arm, comparisons, seen, design)
        nodes = [each for each in harms if each.structure == "n" and each.what in ("dice", MISSES)]
        for prefix, own in (("", harms), ("nodes ", nodes)):
            study[f"{prefix}shown"].append(any(each.shown for each in own))
            study[f"{prefix}large"].append(bool(own) and not any(each.shown for each in own))
        p = old[arm, "n", "dice"]
        study["old"].append(p is not None and p < ALPHA and means[arm, "n", "dice"] < 0)
    return study


def strong(world: World, seed: int) -> Study:
    """Whether the first arm's loss is found: by sign flips, by Wilcoxon's test with Holm's adjustment."""
    losses = (-differences(world.study(seed)))[list(world.design.compared)].to_numpy(dtype=np.float64)
    p = SignFlips(losses, seed).p(0, range(losses.shape[1]))
    old = adjusted({n: signed_rank(column).p for n, column in enumerate(losses.T)}, "holm")[0]
    return {"new": [p is not None and p < ALPHA], "old": [old is not None and old < ALPHA]}


def simulate(
    world: World | tuple[World, World],
    studies: int,
    pool: Executor,
    look: Callable[..., Study] = decided,
) -> Found:
    """What many studies found."""
    found = list(pool.map(partial(look, world), range(studies), chunksize=max(1, min(50, studies // 16))))
    return {key: np.array([each[key] for each in found]) for key in found[0]}


def percent(hits: NDArray[np.generic]) -> str:
    """A share with its Monte-Carlo error; of studies x arms that of all arms, as sure as its studies are many."""
    share = float(np.mean(hits.astype(float)))
    return f"{100 * share:.1f} ± {100 * sqrt(share * (1 - share) / len(hits)):.1f} %"


def flags(found: NDArray[np.object_]) -> NDArray[np.bool_]:
    """As true or false."""
    return found.astype(bool)


def called(verdicts: NDArray[np.object_], *names: str) -> NDArray[np.bool_]:
    """Which verdicts are among these."""
    return np.isin(verdicts.astype(str), names)


COHORTS = (("36 patients", SINGLE), ("25 patients, 36 exams", VISITS), ("10 patients", FEW))
FEWER = tuple((f"{n} patients", (1,) * n) for n in (9, 8, 7, 6))
WORLDS: tuple[tuple[Draw, bool], ...] = ((normal, False), (skewed, False), (misses, False), (misses, True))


def main() -> None:
    """Prints the tables."""
    tables = {
        each.__name__: each for each in (errors, by_exam, two_structures, rare, power, harm, model, verdicts)
    }
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--only", choices=tables, help="one table")
    arguments = parser.parse_args()
    # statsmodels collects garbage at every adjustment of p; what was loaded before is left out of it.
    with ProcessPoolExecutor(initializer=gc.freeze) as pool:
        for name, table in tables.items():
            if arguments.only in (None, name):
                table(arguments.studies, pool)


def heading(titles: str) -> None:
    """The first lines of a table."""
    print(f"\n| {titles} |\n|{'---|' * (titles.count('|') + 1)}")


def errors(studies: int, pool: Executor) -> None:
    """Studies without any effect in which an arm is found to differ; and with all losses at the margin."""
    heading(
        "no effect | any p < 0.05 | on the worse side | called needed or worse | old: needed | "
        "intervals that all cover | loss at the margin: needed | droppable | old: droppable"
    )
    cohorts = [(*each, WORLDS) for each in COHORTS] + [(*each, WORLDS[:3]) for each in FEWER]
    for name, exams, worlds in cohorts:
        for draw, alike in worlds:
            free, at_margin = (
                simulate(World(exams, (loss,) * 7, draw, alike), studies, pool) for loss in (0.0, 0.05)
            )
            cells = [
                percent((free["p"] < ALPHA).any(axis=1)),
                percent(flags(free["worse side"]).any(axis=1)),
                percent(called(free["verdict"], "needed", "worse").any(axis=1)),
                percent(called(free["old"], "needed").any(axis=1)),
                percent(flags(free["covered"]).all(axis=1)),
                percent(called(at_margin["verdict"], "needed").any(axis=1)),
                percent(called(at_margin["verdict"], "droppable").any(axis=1)),
                percent(called(at_margin["old"], "droppable").any(axis=1)),
            ]
            kind = draw.__name__ + (", in all arms alike" if alike else "")
            print(f"| {name}, {kind} | {' | '.join(cells)} |", flush=True)


def by_exam(studies: int, pool: Executor) -> None:
    """The same without any effect, if exams of one patient are taken for patients: what the tool never does."""
    heading("25 patients, 36 exams, no effect | by exam: any p < 0.05 (Wilcoxon, Holm)")
    for draw, alike in WORLDS:
        found = simulate(World(VISITS, draw=draw, alike=alike), studies, pool, naive)
        kind = draw.__name__ + (", in all arms alike" if alike else "")
        print(f"| {kind} | {percent((found['p'] < ALPHA).any(axis=1))} |", flush=True)


def two_structures(studies: int, pool: Executor) -> None:
    """Errors with an endpoint of two structures; what the second changes for the first, and the other way round."""
    heading(
        f"two structures, the second in {NODES} of 36 patients | no effect: any p < 0.05 | called needed "
        "or worse | intervals that all cover, first / second | the second loses the margin: droppable | "
        "the first loses 0.06 in one arm: p < 0.05 | with the first alone | no loss, SD 0.02: "
        "droppable, each arm | with the second alone"
    )
    loss = (0.06, *(0.0,) * 6)
    for draw in (normal, skewed, misses):
        world = World(SINGLE, draw=draw)
        small = replace(world, sd=0.02)
        free = simulate((world, world), studies, pool, both)
        lost = simulate((small, replace(world, losses=(world.margin,) * 7)), studies, pool, both)
        first = simulate((replace(world, losses=loss), world), studies, pool, both)
        alone = simulate(replace(world, losses=loss), studies, pool)
        none = simulate((small, small), studies, pool, both)
        nodes = simulate(replace(small, exams=FEW), studies, pool)
        covered = [percent(flags(free[key]).all(axis=1)) for key in ("first covered", "covered")]
        cells = [
            percent(((free["first p"] < ALPHA) | (free["p"] < ALPHA)).any(axis=1)),
            percent(called(free["verdict"], "needed", "worse").any(axis=1)),
            " / ".join(covered),
            percent(called(lost["verdict"], "droppable").any(axis=1)),
            percent(first["first p"][:, 0] < ALPHA),
            percent(alone["p"][:, 0] < ALPHA),
            percent(called(none["verdict"], "droppable")),
            percent(called(nodes["verdict"], "droppable")),
        ]
        print(f"| {draw.__name__} | {' | '.join(cells)} |", flush=True)


def rare(studies: int, pool: Executor) -> None:
    """Losses that may have hit nobody who was studied: no rule sees these; 1 - 0.05^(1/n) is printed as a bound."""
    heading(
        "5 % of patients lose 0.8, margin 0.02 | arms that hit nobody | droppable, each arm | any of 7 "
        "arms | printed bound"
    )
    for patients in (6, 8, 10, 20, 36, 72):
        for sd in (0.01, 0.02):
            found = simulate(RareMisses((1,) * patients, (0.04,) * 7, sd=sd), studies, pool)
            droppable = called(found["verdict"], "droppable")
            cells = [
                f"{100 * (1 - RARE) ** patients:.0f} %",
                percent(droppable),
                percent(droppable.any(axis=1)),
                f"{100 * (1 - 0.05 ** (1 / patients)):.0f} %",
            ]
            print(f"| {patients} patients, SD {sd} | {' | '.join(cells)} |", flush=True)


def power(studies: int, pool: Executor) -> None:
    """How often a loss is found: as large as the detectable one, and of 2 SD by few patients."""
    heading("one arm with a loss | of | sign flips, max-t | Wilcoxon, Holm | promised")
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
    """How often harm to nodes, which half of the patients have, is named; and anything of six arms that do none."""
    heading(
        "without one arm, nodes | shown | only large | old: named | an arm without harm: shown | only "
        "large | any of six: shown | only large"
    )
    none = (0.0,) * 6
    for name, exams in (("36 patients", SINGLE), ("20 patients", (1,) * 20), ("10 patients", FEW)):
        for kind, world in (
            ("lose 0.1 Dice, none missed by chance", Nodes(exams, (0.1, *none), alike=True, chance=False)),
            ("lose 0.1 Dice, normal", Nodes(exams, (0.1, *none), alike=True)),
            ("lose 0.1 Dice, skewed", Nodes(exams, (0.1, *none), skewed, alike=True)),
            ("are lost in 1 of 4", Nodes(exams, alike=True, lost=(0.25, *none))),
        ):
            found = {key: flags(each) for key, each in simulate(world, studies, pool, screened).items()}
            cells = [percent(found[key][:, 0]) for key in ("nodes shown", "nodes large", "old")]
            cells += [percent(found[key][:, 1:]) for key in ("shown", "large")]
            cells += [percent(found[key][:, 1:].any(axis=1)) for key in ("shown", "large")]
            print(f"| {name}: {kind} | {' | '.join(cells)} |", flush=True)


def model(studies: int, pool: Executor) -> None:
    """How often the sensitivity analysis finds an arm to differ where none does; its p are not adjusted."""
    heading("mixed model, no effect | p < 0.05, each arm | after Holm, any arm | marginal model instead")
    for name, exams in COHORTS:
        found = simulate(World(exams, alike=True), studies, pool, modelled)
        any_arm = np.array([min(adjusted(dict(enumerate(p)), "holm").values()) < ALPHA for p in found["p"]])
        cells = [percent(found["p"][:, 0] < ALPHA), percent(any_arm), percent(found["fallback"][:, 0])]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def verdicts(studies: int, pool: Executor) -> None:
    """Verdicts by the size of the loss, with a margin of 0.05; new rules, then old."""
    names = ("needed", "worse", "droppable", "not distinguishable", "undecided")
    heading(f"loss, 36 exams of 25 patients | {' | '.join(names)} | old: needed | old: droppable")
    losses = (0.0, 0.02, 0.05, 0.08, 0.1, 0.15, -0.05)
    found = simulate(World(VISITS, losses), studies, pool)
    for loss, column, old in zip(losses, found["verdict"].T, found["old"].T, strict=True):
        counts, before = Counter(column.tolist()), Counter(old.tolist())
        cells = [f"{100 * counts[name] / studies:.0f} %" for name in names]
        cells += [f"{100 * before[name] / studies:.0f} %" for name in ("needed", "droppable")]
        print(f"| {loss:+.2f} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
