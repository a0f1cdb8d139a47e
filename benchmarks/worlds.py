"""Worlds that simulated studies are drawn from, with a truth that is known (`calibration.py`)."""

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from pandas import DataFrame, Index, MultiIndex, concat

from submit.analysis.design import Design
from submit.analysis.differences import Differences
from submit.analysis.pairing import TEST

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
RARE, LOST = 0.05, 0.8
"""How many patients lose how much, where misses are rare."""
MISSED, ALARMED = 0.05, 0.1
"""Chance that any network misses a node, and that it finds one where there is none."""

Matrix = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, ...]], Matrix]


def normal(generator: np.random.Generator, shape: tuple[int, ...]) -> Matrix:
    """Mean 0, SD 1."""
    return generator.normal(size=shape)


def skewed(generator: np.random.Generator, shape: tuple[int, ...]) -> Matrix:
    """Mean 0, SD 1, a long tail of losses (gamma of shape 2), as Dice differences have."""
    return (2 - generator.gamma(2, 1, size=shape)) / sqrt(2)


def misses(generator: np.random.Generator, shape: tuple[int, ...]) -> Matrix:
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
    sd: float = SD
    margin: float = 0.05

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
            margin=self.margin,
            exams=tuple((f"p{p}", f"e{p}.{e}") for p, n in enumerate(self.exams) for e in range(n)),
            repeats=1,
            seed=0,
        )

    def study(self, seed: int) -> DataFrame:
        """Dice of one study: exams x arms, differences correlated within patients."""
        generator = np.random.default_rng(seed)
        patient = np.repeat(np.arange(len(self.exams)), self.exams)

        def visits(draw: Draw, columns: int) -> Matrix:
            of_patients = draw(generator, (len(self.exams), columns))[patient]
            return sqrt(ICC) * of_patients + sqrt(1 - ICC) * draw(generator, (len(patient), columns))

        values = self.sd * visits(self.draw, len(ARMS)) * (sqrt(0.5) if self.alike else 1.0)
        if not self.alike:
            values[:, 0] = 0.0
        values[:, 1:] -= self.losses
        values += LEVEL * visits(normal, 1)  # how hard an exam is: it cancels in the differences
        return self.tests(values + 0.7)

    def tests(self, values: Matrix) -> DataFrame:
        """Values of exams x arms as tests."""
        index = MultiIndex.from_tuples([(0, *exam) for exam in self.design.exams], names=TEST)
        return DataFrame(values, index=index, columns=Index(ARMS, name="arm"))


@dataclass(frozen=True)
class RareMisses(World):
    """One patient in twenty loses 0.8 in an arm, a mean loss of 0.04, and the others next to nothing (`sd`)."""

    margin: float = 0.02

    def study(self, seed: int) -> DataFrame:
        """Dice of one study: exams x arms."""
        generator = np.random.default_rng(seed)
        shape = (len(self.design.exams), len(ARMS))
        values = self.sd * generator.normal(size=shape) - LOST * (generator.random(shape) < RARE)
        values[:, 0] = 0.0
        return self.tests(values + 0.85)


@dataclass(frozen=True)
class Nodes(World):
    """Nodes, which half of the patients have: any network misses some, and has false alarms where there are none."""

    lost: tuple[float, ...] = (0.0,) * 7
    """How often each arm loses a node beside that."""
    chance: bool = True
    """Whether nodes are missed, and found where there are none, by chance too: a miss is 0.7 of Dice."""

    def rows(self, seed: int) -> DataFrame:
        """Results of one study; patients take turns in having a node."""
        rows = with_noise(table_of(self.study(seed), "n"), seed)
        generator = np.random.default_rng(seed + 1)
        with_node = rows["patient"].str[1:].astype(int) % 2 == 0
        missed = MISSED * self.chance + rows["arm"].map(dict(zip(ARMS, (0.0, *self.lost), strict=True)))
        hit = generator.random(len(rows)) < np.where(with_node, missed, ALARMED * self.chance)
        rows.loc[hit, ["dice", "hd95_mm"]] = (0.0, 100.0)
        rows.loc[~with_node & ~hit, ["dice", "hd95_mm", "volume_error_ml"]] = (None, None, 0.0)
        rows.loc[~with_node, "status"] = "both-empty"
        rows.loc[hit, "status"] = np.where(with_node[hit], "miss", "false-alarm")
        return rows


def table_of(tests: DataFrame, structure: str = "t") -> DataFrame:
    """A table of results with these Dice, tests x arms."""
    rows = tests.stack().rename("dice").reset_index()
    rows.columns = Index([*TEST, "arm", "dice"])
    return rows.assign(structure=structure, status="ok", volume_error_ml=0.0)


def with_noise(rows: DataFrame, seed: int) -> DataFrame:
    """The same with distances and volumes, which say something of their own."""
    generator = np.random.default_rng(seed + 2)
    distance = 2 + 10 * (1 - rows["dice"]) + generator.normal(0, 1, len(rows))
    return rows.assign(hd95_mm=distance.abs(), volume_error_ml=generator.normal(0, 4, len(rows)))


def found_in(*tables: DataFrame, design: Design) -> Differences:
    """What is compared in these tables, one for each structure."""
    rows = concat(tables, ignore_index=True)
    return Differences(rows.assign(absolute_volume_error_ml=rows["volume_error_ml"].abs()), design)
