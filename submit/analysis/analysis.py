"""All statistics of a run, from its table of results: `analyse` gives what `verdict.json` holds."""

from typing import Literal

import numpy as np
from pandas import DataFrame

from job.contract.grid import REFERENCE
from job.contract.results import Record
from submit.analysis.bootstrap import rank_shares
from submit.analysis.comparisons import Comparison, Differences, compare
from submit.analysis.design import ALPHA, Design
from submit.analysis.mixed_model import Model, mixed_model
from submit.analysis.noise import Noise, retraining_noise
from submit.analysis.paired_tests import Friedman, friedman
from submit.analysis.pairing import by_patient, paired_block
from submit.analysis.plan import Plan, plan_for
from submit.analysis.power import detectable
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
from submit.analysis.sentences import LEFT_OUT, ONE_IN, answer, harm, is_harm, sentence
from submit.analysis.verdict import ArmEvidence, VerdictName, decide, gather


class Verdict(Record):
    """The answer for one arm. A loss is how much worse it is than the reference; below 0 it is better."""

    arm: str
    left_out: tuple[str, ...]
    verdict: VerdictName
    sentence: str
    """The verdict's reason, with numbers."""
    harms: tuple[str, ...]
    """Secondary endpoints that are worse without it (p < 0.05 after Benjamini-Hochberg), each in words."""
    patients: int
    """With a pair."""
    loss: float | None
    p: float | None
    """That there is a difference: Wilcoxon, two-sided, Holm over the arms."""
    p_not_worse: float | None
    """That the loss is below the margin: one-sided, the larger p of t-test and bootstrap, Holm over the arms; None
    without a margin."""
    p_equivalent: float | None
    """That the difference is within the margin on both sides: the larger p of two one-sided tests, not adjusted."""
    noise_floor: float | None
    """What retraining alone changes, in 95 of 100 studies; None if it was not measured."""
    detectable: float | None
    """The smallest difference that this study finds in this arm with 80 % power, at Holm's first step; None if it can
    find none."""
    plan: Plan | None
    """What would decide it, if it is undecided or not distinguishable."""
    depends_on_missing: bool
    """Whether missing tests could change the verdict: at their bounds, or as an open one is decided by more tests."""


class Ranks(Record):
    """How sure the order of the arms is."""

    arms: tuple[str, ...]
    patients: int
    """With all arms."""
    shares: tuple[tuple[float, ...], ...]
    """Arms x ranks: in what share of draws of patients each arm has each rank, 1 being the largest loss."""


class Detectable(Record):
    """What this study can find."""

    sd: float
    """Median over the arms of the SD of the patients' differences."""
    patients: int
    one_arm: float | None
    """Smallest difference found with 80 % power at the level of 5 %; None if there are too few patients for any."""
    all_arms: float | None
    """The same at Holm's first step: 5 % / arms."""


class Analysis(Record):
    """The statistics of a run, in the order of docs/statistics.md."""

    version: Literal[1] = 1
    run: str
    manifest: str
    """Digest of the manifest."""
    endpoint: dict[Literal["class", "metric"], str]
    """The primary one, fixed before the run."""
    margin: float | None
    only_one_in: bool
    """Whether every arm has one channel only: its verdict is about all others together."""
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
    def has_floor(self) -> bool:
        """Whether retraining was measured well enough to take a part in any verdict."""
        return any(verdict.noise_floor is not None for verdict in self.verdicts)

    @property
    def unseen(self) -> tuple[int, float] | None:
        """Fewest patients behind a droppable channel, and what share of all could lose a lesion with none of these.

        It is the 95 % bound, 1 - 0.05^(1/n); None if no channel is droppable.
        """
        patients = [each.patients for each in self.verdicts if each.verdict == "droppable"]
        return (min(patients), 1 - 0.05 ** (1 / min(patients))) if patients else None

    @property
    def answer(self) -> list[str]:
        """All verdicts, a sentence for each kind."""
        if self.only_one_in:
            return answer([(each.arm, each.verdict) for each in self.verdicts], ONE_IN)
        return answer([(" + ".join(each.left_out), each.verdict) for each in self.verdicts], LEFT_OUT)


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
    of_reference = table[(table["arm"] == REFERENCE) & (table["structure"] == design.structure)]
    noise = retraining_noise(of_reference, design.metric, by_patient=design.test_unit == "patient")
    comparisons = compare(found, design)
    worst = worst_cases(found, design, noise)
    dice, statuses = found.tests[design.structure, "dice"], found.statuses[design.structure]
    evidence = gather(tests, dice, statuses, design, noise)
    done = len(paired[paired["structure"] == design.structure])
    return Analysis(
        run=run,
        manifest=manifest,
        endpoint={"class": design.structure, "metric": design.metric},
        margin=design.margin,
        only_one_in=design.only_one_in,
        patients=design.patients,
        exams=len(design.exams),
        repeats=design.repeats,
        missing_tests=design.repeats * len(design.exams) * len(design.arms) - done,
        verdicts=_verdicts(evidence, comparisons, worst, design, noise),
        friedman=_friedman(tests, design),
        comparisons=comparisons,
        noise=noise,
        detectable=_detectable(evidence, design),
        model=mixed_model(tests, design.metric),
        ranks=_ranks(losses, design),
        agreements=agreements(found, design),
        volume_effects=volume_effects(losses, volumes(paired, design.structure), design),
        structure_contrasts=structure_contrasts(found, design.classes, design),
        worst_cases=worst,
    )


def _verdicts(
    evidence: tuple[ArmEvidence, ...],
    comparisons: tuple[Comparison, ...],
    worst: tuple[WorstCase, ...],
    design: Design,
    noise: Noise | None,
) -> tuple[Verdict, ...]:
    bounds = {case.arm: {case.against, case.in_favour} for case in worst if case.missing}
    left_out = dict(zip(design.arms, design.left_out, strict=True))
    primary = {each.arm: each for each in comparisons if (each.structure, each.metric) == design.endpoint}
    verdicts = []
    for own in evidence:
        verdict = decide(own)
        harms = tuple(
            harm(each)
            for each in comparisons
            if each.arm == own.arm and (each.structure, each.metric) != design.endpoint and is_harm(each)
        )
        open_ = verdict in ("undecided", "not distinguishable")
        plan = plan_for(own, design, noise) if open_ else None
        patients, alpha = len(own.exams), design.first_step
        verdicts.append(
            Verdict(
                arm=own.arm,
                left_out=left_out[own.arm],
                verdict=verdict,
                sentence=sentence(verdict, own, primary[own.arm], plan, design),
                harms=harms if verdict != "needed" else (),
                patients=patients,
                loss=own.loss,
                p=own.p,
                p_not_worse=own.p_not_worse,
                p_equivalent=own.equivalence.p if own.equivalence else None,
                noise_floor=own.noise_floor,
                detectable=detectable(own.sd, patients, alpha=alpha) if own.sd is not None else None,
                plan=plan,
                depends_on_missing=own.arm in bounds and (open_ or bounds[own.arm] != {verdict}),
            )
        )
    return tuple(verdicts)


def _friedman(tests: DataFrame, design: Design) -> Friedman | None:
    if set(tests.columns) != set(design.arms):
        return None
    return friedman(by_patient(tests.dropna()).to_numpy(dtype=np.float64))


def _detectable(evidence: tuple[ArmEvidence, ...], design: Design) -> Detectable | None:
    spreads = [own.sd for own in evidence if own.sd is not None]
    patients = max((len(own.exams) for own in evidence), default=0)
    if not spreads or patients < 2:
        return None
    sd = float(np.median(spreads))
    return Detectable(
        sd=sd,
        patients=patients,
        one_arm=detectable(sd, patients),
        all_arms=detectable(sd, patients, alpha=design.first_step),
    )


def _ranks(losses: DataFrame, design: Design) -> Ranks | None:
    """Of the patients who have all arms."""
    if not set(design.compared) <= set(losses.columns):
        return None
    whole = losses[list(design.compared)].dropna()
    if len(whole) < 2:
        return None
    shares = rank_shares(whole.to_numpy(dtype=np.float64), design.seed)
    return Ranks(
        arms=design.compared, patients=len(whole), shares=tuple(tuple(map(float, row)) for row in shares)
    )
