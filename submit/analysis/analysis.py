"""All statistics of a run, from its table of results: `analyse` gives what `verdict.json` holds."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from pandas import DataFrame

from job.contract.grid import REFERENCE
from job.contract.results import Record
from submit.analysis.comparisons import Comparison, compare
from submit.analysis.design import ALPHA, Design
from submit.analysis.detection import Detection
from submit.analysis.differences import BothFound, Differences
from submit.analysis.evidence import gather
from submit.analysis.harms import Harm, harms_of, is_worse, names_of
from submit.analysis.headline import headline
from submit.analysis.mixed_model import Model, mixed_model
from submit.analysis.noise import Noise, retraining_noise
from submit.analysis.paired_tests import Friedman, friedman
from submit.analysis.pairing import by_patient, paired_block
from submit.analysis.plan import Plan, plan_for
from submit.analysis.power import detectable
from submit.analysis.ranks import Ranks, ranks_of
from submit.analysis.sensitivity import (
    Agreement,
    StructureContrast,
    VolumeEffect,
    WorstCase,
    agreements,
    structure_contrasts,
    volume_effects,
    volumes,
    worst_cases,
)
from submit.analysis.sentences import sentence
from submit.analysis.verdict import DECIDED, LOSSES, Evidence, Floor, VerdictName, decide, decide_all

ENOUGH_TESTS = 0.9
"""Of the planned pairs of an arm; with fewer it has no place in the headline."""


class StructureVerdict(Record):
    """The answer for one arm in one structure of the endpoint. A loss below 0 is a gain."""

    structure: str
    verdict: VerdictName
    sentence: str
    """Its reason, with numbers."""
    patients: int
    """With a pair."""
    loss: float | None
    low: float | None
    """Of the simultaneous 95 % interval of the loss; so is `high`."""
    high: float | None
    p: float | None
    """That there is a difference: sign flips, two-sided, max-t over arms and structures."""
    margin: float | None
    """As it is beside this reference."""
    p_not_worse: float | None
    """That the loss is below the margin: one-sided, the larger p of t-test and bootstrap, Holm over the arms; None
    without a margin."""
    margin_level: float
    """Below which that p rules the margin out."""
    p_equivalent: float | None
    """That the difference is within the margin on both sides: the larger p of two one-sided tests, not adjusted."""
    beyond_margin: int | None
    """Patients who lose more than the margin."""
    can_see: bool
    """Whether the reference is shown to segment the structure better than `smallest_dice`; else nothing is
    droppable."""
    floor: Floor | None
    """What retraining alone changes; None if it was not measured."""
    detectable: float | None
    """The smallest difference that this study finds in this arm with 80 % power, at 5 % / arms."""
    detection: Detection
    """Lesions lost and gained, false alarms."""
    both_found: tuple[BothFound, ...]
    """Of Dice and the distances, the mean difference where both found the lesion: how well it is drawn, apart from
    whether it is found."""
    plan: Plan | None
    """What would decide it, if it is open."""


class Verdict(Record):
    """The answer for one arm."""

    arm: str
    left_out: tuple[str, ...]
    verdict: VerdictName
    """Over all structures of the endpoint: droppable is what is droppable for each of them."""
    structures: tuple[StructureVerdict, ...]
    """The leading one first."""
    found_harms: tuple[Harm, ...]
    """What is worse beside the endpoint; lesions lost and false alarms anywhere. Shown, not adjusted, or large."""
    harms: tuple[str, ...]
    """The same in words, which say what is not shown."""
    harmed: tuple[str, ...]
    """What is shown, as a headline names it."""
    suspected: tuple[str, ...]
    """The same of what is large and not shown, if it has not that name too."""
    pairs: int
    """Planned tests of which arm and reference are done."""
    planned: int
    depends_on_missing: bool
    """Whether missing tests could change the verdict: at their bounds, or as an open one is decided by more tests."""

    @property
    def leading(self) -> StructureVerdict:
        """In the structure by which arms are ordered."""
        return self.structures[0]

    @property
    def complete(self) -> bool:
        """Whether enough of its tests are done that it has a place in the headline."""
        return self.pairs >= ENOUGH_TESTS * self.planned

    @property
    def sentence(self) -> str:
        """The reasons, of all structures."""
        return " ".join(each.sentence for each in self.structures)


class Detectable(Record):
    """What this study can find."""

    sd: float
    """Median over the arms of the SD of the patients' differences."""
    patients: int
    one_arm: float | None
    """Smallest difference found with 80 % power at the level of 5 %; None if there are too few patients for any."""
    all_arms: float | None
    """The same at the level shared among the arms: 5 % / arms."""


class Analysis(Record):
    """The statistics of a run, in the order of docs/statistics.md."""

    version: Literal[2] = 2
    run: str
    manifest: str
    """Digest of the manifest."""
    endpoint: dict[Literal["class", "metric"], str]
    """The primary one, fixed before the run; of several structures the leading one."""
    structures: tuple[str, ...]
    """Of the endpoint, all of which must pass before a channel is droppable."""
    margin: float | None
    relative_margin: float
    smallest_dice: float
    only_one_in: bool
    """Whether every arm has one channel only: its verdict is about all others together."""
    acquisitions: dict[str, tuple[str, ...]]
    """Channels that come from one scan and were left out one at a time, by its name."""
    alpha: float = ALPHA
    patients: int
    exams: int
    repeats: int
    missing_tests: int
    """Of all arms, without further repeats of the reference."""
    verdicts: tuple[Verdict, ...]
    friedman: Friedman | None
    """Over patients who have all arms."""
    comparisons: tuple[Comparison, ...]
    noise: Noise | None
    """Of retraining, in the primary endpoint."""
    detectable: Detectable | None
    model: Model | None
    """Sensitivity analysis of the primary endpoint."""
    ranks: Ranks | None
    agreements: tuple[Agreement, ...]
    volume_effects: tuple[VolumeEffect, ...]
    structure_contrasts: tuple[StructureContrast, ...]
    worst_cases: tuple[WorstCase, ...]

    @property
    def of_endpoint(self) -> dict[str, Comparison]:
        """By arm, its comparison with the reference in the primary endpoint."""
        endpoint = (self.endpoint["class"], self.endpoint["metric"])
        return {each.arm: each for each in self.comparisons if (each.structure, each.metric) == endpoint}

    @property
    def by_loss(self) -> tuple[Verdict, ...]:
        """The verdicts, the largest loss first; arms without a pair last."""
        return tuple(
            sorted(self.verdicts, key=lambda each: (each.leading.loss is None, -(each.leading.loss or 0.0)))
        )

    @property
    def has_floor(self) -> bool:
        """Whether retraining was measured well enough to take a part in any verdict."""
        return any(each.floor is not None for verdict in self.verdicts for each in verdict.structures)

    @property
    def unseen(self) -> tuple[int, float] | None:
        """Fewest patients behind a droppable channel, and what share of all could lose a lesion with none of these.

        It is the 95 % bound, 1 - 0.05^(1/n), of what the headline calls droppable, in the structure of the endpoint
        that fewest have; None if it is nothing.
        """
        patients = [
            own.patients
            for each in self.verdicts
            if each.verdict == "droppable" and each.complete
            for own in each.structures
        ]
        return (min(patients), 1 - 0.05 ** (1 / min(patients))) if patients else None

    @property
    def blind_to(self) -> tuple[str, ...]:
        """Structures of the endpoint that the reference is not shown to segment well enough to judge by."""
        own = next((each.structures for each in self.verdicts if each.complete), ())
        return tuple(each.structure for each in own if not each.can_see)

    @property
    def named_by_chance(self) -> float:
        """How many secondary endpoints would have an interval on the worse side of 0 if nothing were worse."""
        return len(self._screened) * ALPHA / 2

    @property
    def named(self) -> tuple[int, int]:
        """How many secondary endpoints have an interval on the worse side of 0, and of how many."""
        return sum(is_worse(each) for each in self._screened), len(self._screened)

    @property
    def _screened(self) -> list[Comparison]:
        primary = {(structure, self.endpoint["metric"]) for structure in self.structures}
        return [each for each in self.comparisons if each.low is not None and each.endpoint not in primary]

    @property
    def answer(self) -> list[str]:
        """What a reader takes away first, a sentence each."""
        return headline(self)


def analyse(table: DataFrame, design: Design, *, run: str, manifest: str) -> Analysis:
    """All statistics of a run.

    Args:
        table: `Results.table`: all repeats, those of the reference arm alone included.
        design: The design.
        run: Its name.
        manifest: Digest of its manifest.
    """
    paired = paired_block(table, design.repeats)
    found = Differences(paired, design)
    tests = found.tests[design.endpoint]
    losses = found.by_patient[design.endpoint] * design.sign
    noise = {structure: _noise(table, structure, design) for structure in design.endpoint_structures}
    evidence = gather(found, design, noise)
    comparisons = compare(found, design, evidence)
    worst = worst_cases(paired, design, noise)
    done = len(paired[paired["structure"] == design.structure])
    return Analysis(
        run=run,
        manifest=manifest,
        endpoint={"class": design.structure, "metric": design.metric},
        structures=design.endpoint_structures,
        margin=design.margin,
        relative_margin=design.relative_margin,
        smallest_dice=design.smallest_dice,
        only_one_in=design.only_one_in,
        acquisitions=dict(design.acquisitions),
        patients=design.patients,
        exams=len(design.exams),
        repeats=design.repeats,
        missing_tests=design.repeats * len(design.exams) * len(design.arms) - done,
        verdicts=_verdicts(evidence, found, comparisons, worst, design, noise),
        friedman=_friedman(tests, design),
        comparisons=comparisons,
        noise=noise[design.structure],
        detectable=_detectable(evidence, design),
        model=mixed_model(tests, design.metric),
        ranks=ranks_of(losses, design),
        agreements=agreements(found, design),
        volume_effects=volume_effects(losses, volumes(paired, design.structure), design),
        structure_contrasts=structure_contrasts(found, design.classes, design),
        worst_cases=worst,
    )


def _noise(table: DataFrame, structure: str, design: Design) -> Noise | None:
    of_reference = table[(table["arm"] == REFERENCE) & (table["structure"] == structure)]
    return retraining_noise(of_reference, design.metric, by_patient=design.test_unit == "patient")


def _verdicts(
    evidence: Mapping[str, tuple[Evidence, ...]],
    found: Differences,
    comparisons: tuple[Comparison, ...],
    worst: tuple[WorstCase, ...],
    design: Design,
    noise: Mapping[str, Noise | None],
) -> tuple[Verdict, ...]:
    bounds = {case.arm: {case.against, case.in_favour} for case in worst if case.missing}
    left_out = dict(zip(design.arms, design.left_out, strict=True))
    primary = {(each.arm, *each.endpoint): each for each in comparisons}
    verdicts = []
    for arm, every in evidence.items():
        verdict = decide_all(every)
        open_ = verdict not in (*LOSSES, "droppable")
        seen = {structure: found.detection(structure, arm) for structure in design.structures}
        harms = harms_of(arm, comparisons, seen, design)
        shown = names_of([each for each in harms if each.shown], design.endpoint_structures)
        large = names_of([each for each in harms if not each.shown], design.endpoint_structures)
        verdicts.append(
            Verdict(
                arm=arm,
                left_out=left_out[arm],
                verdict=verdict,
                structures=tuple(
                    _in_structure(
                        own, primary[arm, own.structure, design.metric], found, design, noise[own.structure]
                    )
                    for own in every
                ),
                found_harms=harms,
                harms=tuple(each.told for each in harms),
                harmed=shown,
                suspected=tuple(name for name in large if name not in shown),
                pairs=_pairs(found, arm, design),
                planned=design.repeats * len(design.exams),
                depends_on_missing=arm in bounds and (open_ or bounds[arm] != {verdict}),
            )
        )
    return tuple(verdicts)


def _pairs(found: Differences, arm: str, design: Design) -> int:
    """Tests that both the arm and the reference did."""
    done = found.statuses[design.structure]
    if arm not in done or REFERENCE not in done:
        return 0
    return int(done[[arm, REFERENCE]].notna().all(axis=1).sum())


def _in_structure(
    own: Evidence, comparison: Comparison, found: Differences, design: Design, noise: Noise | None
) -> StructureVerdict:
    verdict, seen = decide(own), found.detection(own.structure, own.arm)
    both_found = found.both_found(own.structure, own.arm)
    drawn = {each.metric: each for each in both_found}
    plan = plan_for(own, design, noise) if verdict not in DECIDED else None
    return StructureVerdict(
        structure=own.structure,
        verdict=verdict,
        sentence=sentence(own, comparison, seen, drawn.get(design.metric), plan, design),
        patients=own.patients,
        loss=own.loss,
        low=own.low,
        high=own.high,
        p=own.p,
        margin=own.margin,
        p_not_worse=own.p_not_worse,
        margin_level=own.margin_level,
        p_equivalent=own.p_equivalent,
        beyond_margin=own.beyond_margin,
        can_see=own.can_see,
        floor=own.floor,
        detectable=detectable(own.sd, own.patients, alpha=design.shared_level) if own.sd else None,
        detection=seen,
        both_found=both_found,
        plan=plan,
    )


def _friedman(tests: DataFrame, design: Design) -> Friedman | None:
    if set(tests.columns) != set(design.arms):
        return None
    return friedman(by_patient(tests.dropna()).to_numpy(dtype=np.float64))


def _detectable(evidence: Mapping[str, tuple[Evidence, ...]], design: Design) -> Detectable | None:
    leading = [every[0] for every in evidence.values()]
    spreads = [own.sd for own in leading if own.sd is not None]
    patients = max((own.patients for own in leading), default=0)
    if not spreads or patients < 2:
        return None
    sd = float(np.median(spreads))
    return Detectable(
        sd=sd,
        patients=patients,
        one_arm=detectable(sd, patients),
        all_arms=detectable(sd, patients, alpha=design.shared_level),
    )
