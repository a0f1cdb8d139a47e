"""Whether the statistics keep their promises, on simulated studies whose truth is known.

    python benchmarks/calibration.py --studies 2000

Family-wise error without any effect, coverage of the intervals, power at the smallest detectable difference, false
"droppable" at the margin, the mixed model's error, and verdicts by size of the effect. Tables of results are
simulated, nothing is trained; about 25 minutes. Prints tables in Markdown, each figure with its Monte-Carlo
error.
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
from pandas import DataFrame, Index, MultiIndex

from submit.analysis.bootstrap import bootstrap_means
from submit.analysis.comparisons import adjusted
from submit.analysis.design import ALPHA, Design
from submit.analysis.mixed_model import mixed_model
from submit.analysis.noise import Noise
from submit.analysis.paired_tests import signed_rank
from submit.analysis.pairing import TEST, differences
from submit.analysis.power import detectable, sd_of_patients
from submit.analysis.verdict import decide, gather

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


def decided(world: World, seed: int) -> dict[str, list[object]]:
    """What one study found, by arm."""
    tests, design = world.study(seed), world.design
    noise = Noise(sd=RETRAINING, degrees_of_freedom=2 * len(tests), exams=len(tests))
    evidence = gather(tests, tests.notna(), design, noise)
    return {
        "p": [each.p for each in evidence],
        "not worse": [each.p_not_worse for each in evidence],
        "verdict": [decide(each) for each in evidence],
    }


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


def covered(world: World, seed: int) -> dict[str, list[object]]:
    """Whether the interval of the first arm has the truth in it."""
    values = differences(world.study(seed)).to_numpy()[:, :1]
    low, high = bootstrap_means(values, seed).intervals()[:, 0]
    return {"covered": [bool(low <= -world.losses[0] <= high)]}


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


def main() -> None:
    """Prints five tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=2000)
    studies = parser.parse_args().studies
    # statsmodels collects garbage at every adjustment of p; what was loaded before is left out of it.
    with ProcessPoolExecutor(initializer=gc.freeze) as pool:
        errors(studies, pool)
        coverage(studies, pool)
        power(studies, pool)
        model(studies, pool)
        verdicts(studies, pool)


def errors(studies: int, pool: Executor) -> None:
    """Studies without any effect in which an arm is found to differ; and with all losses at the margin."""
    print(
        "\n| no effect | p < 0.05, by patient | by exam (naive) | called needed | loss at the margin: droppable |"
    )
    print("|---|---|---|---|---|")
    for name, exams in (("36 patients", SINGLE), ("25 patients, 36 exams", VISITS), ("10 patients", FEW)):
        for draw, alike in ((normal, False), (skewed, False), (misses, False), (misses, True)):
            null, at_margin = (World(exams, (loss,) * 7, draw, alike) for loss in (0.0, 0.05))
            free = simulate(null, studies, pool)
            cells = [
                percent((free["p"] < ALPHA).any(axis=1)),
                percent((simulate(null, studies, pool, naive)["p"] < ALPHA).any(axis=1)),
                percent((free["verdict"] == "needed").any(axis=1)),
                percent((simulate(at_margin, studies, pool)["verdict"] == "droppable").any(axis=1)),
            ]
            kind = draw.__name__ + (", in all arms alike" if alike else "")
            print(f"| {name}, {kind} | {' | '.join(cells)} |", flush=True)


def coverage(studies: int, pool: Executor) -> None:
    """How often the 95 % interval of the mean has the truth in it."""
    print("\n| 95 % intervals | normal | skewed | misses |")
    print("|---|---|---|---|")
    for name, exams in (("36 patients", SINGLE), ("25 patients, 36 exams", VISITS), ("10 patients", FEW)):
        worlds = [World(exams, draw=draw) for draw in (normal, skewed, misses)]
        cells = [percent(simulate(world, studies, pool, covered)["covered"][:, 0]) for world in worlds]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def power(studies: int, pool: Executor) -> None:
    """How often a loss of the size that the line of detectable differences names is found."""
    print("\n| one arm with a loss | detectable | Wilcoxon, Holm | promised |")
    print("|---|---|---|---|")
    for name, exams in (("36 patients", SINGLE), ("25 patients, 36 exams", VISITS), ("10 patients", FEW)):
        sd = sd_of_patients(SD, exams, icc=ICC)
        loss = detectable(sd, len(exams), alpha=ALPHA / 7) or 0.0
        found = simulate(World(exams, (loss, *(0.0,) * 6)), studies, pool)["p"][:, 0] < ALPHA
        print(f"| {name} | {loss:.3f} | {percent(found)} | 80 % |")


def model(studies: int, pool: Executor) -> None:
    """How often the sensitivity analysis finds an arm to differ where none does; its p are not adjusted."""
    print("\n| mixed model, no effect | p < 0.05, each arm | after Holm, any arm | marginal model instead |")
    print("|---|---|---|---|")
    for name, exams in (("36 patients", SINGLE), ("25 patients, 36 exams", VISITS), ("10 patients", FEW)):
        found = simulate(World(exams, alike=True), studies, pool, modelled)
        any_arm = np.array([min(adjusted(dict(enumerate(p)), "holm").values()) < ALPHA for p in found["p"]])
        cells = [percent(found["p"][:, 0] < ALPHA), percent(any_arm), percent(found["fallback"][:, 0])]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def verdicts(studies: int, pool: Executor) -> None:
    """Verdicts by the size of the loss, with a margin of 0.05."""
    names = ("needed", "droppable", "not distinguishable", "undecided")
    print(f"\n| loss, 36 exams of 25 patients | {' | '.join(names)} |")
    print(f"|---|{'---|' * len(names)}")
    losses = (0.0, 0.02, 0.05, 0.08, 0.1, 0.15, -0.05)
    found = simulate(World(VISITS, losses), studies, pool)["verdict"]
    for loss, column in zip(losses, found.T, strict=True):
        counts = Counter(column.tolist())
        print(f"| {loss:+.2f} | {' | '.join(f'{100 * counts[name] / studies:.0f} %' for name in names)} |")


if __name__ == "__main__":
    main()
