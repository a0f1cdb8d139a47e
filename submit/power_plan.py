"""`submit plan`: the smallest loss that a study can find, before it runs, and how repeats change it."""

import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from math import ceil, sqrt
from pathlib import Path

from rich.console import Console
from rich.table import Table

from job.contract.errors import StudyError
from job.contract.grid import REFERENCE
from job.contract.study import Study
from job.project import Project
from job.request import Request
from submit.analysis.design import ALPHA, Design, trainings
from submit.analysis.evidence import MIN_FREEDOM
from submit.analysis.noise import retraining_noise
from submit.analysis.pairing import by_arm, differences, paired_block, statuses
from submit.analysis.plan import patients_for_margin, rounded
from submit.analysis.power import POWER, detectable, sd_of_patients
from submit.analysis.results_table import collect_results, structures_of
from submit.analysis.wording import METRIC_STYLES
from submit.find import find_run
from submit.runs import NoRunYet
from submit.wording import counted

DICE_SD = 0.107
"""SD of paired Dice differences in one exam that the reference study's group found (docs/statistics.md)."""
ICC = 0.5
"""Correlation of the differences in two visits of a patient, where it is not known."""
REPEATS = (1, 2, 3, 5, 10)
LARGEST_SD = 1e6
MEASURED_PATIENTS = 5
"""Fewer tell nothing of a spread."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """How much the differences between an arm and the reference scatter over patients."""

    sd: float
    """Of the patients' differences, with `repeats`; in the unit of the primary endpoint."""
    noise_variance: float | None
    """The part of its square that comes from retraining; None: not known."""
    repeats: int
    source: str
    """Where it is from, in words."""

    def with_repeats(self, repeats: int, share: float | None = None) -> float:
        """The SD with so many repeats.

        Args:
            repeats: Of every arm.
            share: Of the variance that comes from retraining, where it is not known.
        """
        noise = self.noise_variance if share is None else share * self.sd**2
        assert noise is not None
        return sqrt(max(self.sd**2 - noise, 0.0) + noise * self.repeats / repeats)


@dataclass(frozen=True, kw_only=True)
class Line:
    """What a number of repeats finds."""

    repeats: int
    one_arm: tuple[float | None, ...]
    """Smallest loss found with 80 % power at the level of 5 %, for each share of noise; None: none can be found."""
    all_arms: tuple[float | None, ...]
    """The same at 5 % / arms (and structures of the endpoint)."""


@dataclass(frozen=True, kw_only=True)
class PowerPlan:
    """What a study can find."""

    endpoint: str
    patients: int
    exams: int
    arms: int
    """Beside the reference."""
    spread: Spread
    shares: tuple[float | None, ...]
    """Shares of the variance that come from retraining, one for each column; a single None: it is known."""
    lines: tuple[Line, ...]
    margin: float | None
    patients_for_margin: int | None
    """Who would tell a loss of the margin from none, with the study's repeats, at 5 % / arms; None: no margin, or too
    many."""


def show_plan(
    study_file: Path, *, sd: float | None, noise_sd: float | None, icc: float, as_json: bool
) -> None:
    """Prints the smallest loss that a study can find, for several numbers of repeats.

    Args:
        study_file: The study; its cohort's files are looked at, and no other thing.
        sd: Of the difference between two arms in one exam; None: measured in the study's newest run, or that of the
            reference study's group.
        noise_sd: Of one test when the network is trained again; None: measured, or not known.
        icc: Correlation of the differences in two visits of a patient.
        as_json: For scripts.

    Raises:
        StudyError: There is no SD to go by.
        DataError: Files of the cohort are missing.
    """
    project = Project.read(study_file)
    study, counts = project.study, Counter(project.grid().patients)
    plan = plan_power(study, list(counts.values()), _spread(project, counts, sd, noise_sd, icc))
    if as_json:
        print(json.dumps(asdict(plan), indent=1))
    else:
        _print(plan, study)


def plan_power(study: Study, exams: Sequence[int], spread: Spread) -> PowerPlan:
    """What a study can find.

    Args:
        study: The study.
        exams: Of each patient.
        spread: Of the differences.
    """
    arms, patients = len(study.arms) - 1, len(exams)
    shares: tuple[float | None, ...] = (0.0, 0.5, 1.0) if spread.noise_variance is None else (None,)
    all_arms = ALPHA / (arms * len(study.endpoint.structures))

    def line(repeats: int) -> Line:
        sds = [spread.with_repeats(repeats, share) for share in shares]
        return Line(
            repeats=repeats,
            one_arm=tuple(detectable(sd, patients) for sd in sds),
            all_arms=tuple(detectable(sd, patients, alpha=all_arms) for sd in sds),
        )

    own = spread.with_repeats(study.sweep.repeats, shares[0])
    return PowerPlan(
        endpoint=f"{METRIC_STYLES[study.endpoint.metric].name} of {' and '.join(study.endpoint.structures)}",
        patients=patients,
        exams=sum(exams),
        arms=arms,
        spread=spread,
        shares=shares,
        lines=tuple(line(repeats) for repeats in sorted({*REPEATS, study.sweep.repeats})),
        margin=study.margin,
        patients_for_margin=patients_for_margin(study.margin, own, alpha=all_arms) if study.margin else None,
    )


def _spread(
    project: Project,
    counts: Counter[str],
    sd: float | None,
    noise_sd: float | None,
    icc: float,
) -> Spread:
    """The spread that was stated, else measured, else that of the reference study's group.

    Raises:
        StudyError: There is none.
    """
    study = project.study
    style, exams = METRIC_STYLES[study.endpoint.metric], list(counts.values())
    for name, value in (("--sd", sd), ("--noise-sd", noise_sd)):
        if value is not None and not (0 < value < LARGEST_SD or (value == 0 and name == "--noise-sd")):
            raise StudyError(
                f"{name} {value:g} is no spread; state one above 0 and below {LARGEST_SD:g}, "
                f"in the unit of {style.name}"
            )
    noise = None
    if noise_sd is not None:
        noise = sum(2 * noise_sd**2 / n for n in trainings(exams, study.sweep.test_unit)) / len(exams)
    measured = _measured(project) if sd is None else None
    if isinstance(measured, Spread):
        return measured if noise is None else _with_noise(measured, noise)
    if measured is not None:
        print(f"note: {measured}", file=sys.stderr)
    source = "stated"
    if sd is None:
        if study.endpoint.metric != "dice":
            raise StudyError(
                f"the SD of differences in {style.name} is not known before a run with these arms; "
                "state one with --sd"
            )
        sd, source = DICE_SD, "found by the reference study's group; state yours with --sd"
    of_patients = sd_of_patients(sd, exams, icc=icc)
    visits = f", visits of a patient correlated {icc:g}" if max(exams) > 1 else ""
    text = f"{style.with_unit(sd)} in one exam ({source}){visits}"
    stated = Spread(sd=of_patients, noise_variance=None, repeats=1, source=text)
    return stated if noise is None else _with_noise(stated, noise)


def _with_noise(spread: Spread, variance: float) -> Spread:
    """A spread with the variance that retraining has with one repeat.

    Raises:
        StudyError: It is more than the spread has.
    """
    if variance / spread.repeats > spread.sd**2:
        raise StudyError(
            f"--noise-sd alone gives differences an SD of {sqrt(variance / spread.repeats):.3g}, above that of all "
            f"causes ({spread.sd:.3g}); state a smaller one, or a larger --sd"
        )
    return replace(spread, noise_variance=variance / spread.repeats)


def _measured(project: Project) -> Spread | str | None:
    """The spread in the study's newest run, if that has the same arms; why it tells nothing; None without a run."""
    study = project.study
    try:
        run = find_run(None, project.file)
    except NoRunYet:
        return None
    except StudyError as error:  # a plan may be made before a stack is deployed, or without signing in
        return f"whether a run has measured this study's spread is not known: {error}"
    if isinstance(run, Request):
        return None
    manifest = run.manifest
    if manifest.study.arms != study.arms or study.endpoint.leading not in structures_of(manifest.study):
        return f"{manifest.run} has other arms or classes, and tells nothing of this study's spread"
    results = collect_results(run)
    table, endpoint = results.table, study.endpoint
    design = replace(
        Design.of(manifest),
        structure=endpoint.leading,
        further_structures=endpoint.structures[1:],
        metric=endpoint.metric,
    )
    paired = paired_block(table, design.repeats)
    values = differences(by_arm(paired, *design.endpoint), statuses(paired, design.structure))
    patients = 0 if values.empty else int(values.count().max())
    sd = float(values.std(ddof=1).median()) if patients >= MEASURED_PATIENTS else 0.0
    if not sd > 0:
        return (
            f"{manifest.run} has {counted(patients, 'patient')} with a pair so far; {MEASURED_PATIENTS} with "
            "differences that vary would tell this study's spread"
        )
    part = "" if len(results.done) == manifest.folds else f" ({len(results.done)} of {manifest.folds} folds)"
    source = f"measured in {manifest.run}{part}, {counted(patients, 'patient')}, median over arms"
    of_reference = table[(table["arm"] == REFERENCE) & (table["structure"] == design.structure)]
    noise = retraining_noise(of_reference, design.metric, by_patient=design.test_unit == "patient")
    if noise is None or noise.degrees_of_freedom < MIN_FREEDOM:
        return Spread(sd=sd, noise_variance=None, repeats=design.repeats, source=source)
    exams = Counter(patient for patient, _ in design.exams).values()
    variance = sum(
        noise.variance_of_difference(repeats=design.repeats, exams=n)
        for n in trainings(exams, design.test_unit)
    ) / len(exams)
    return Spread(
        sd=sd,
        noise_variance=min(variance, sd**2),
        repeats=design.repeats,
        source=f"{source}; {_share(variance, sd)} of its variance is retraining",
    )


def _share(variance: float, sd: float) -> str:
    """How much of a variance is retraining, at most: arms share their draws, which two trainings do not."""
    return f"at most {100 * variance / sd**2:.0f} %" if variance < sd**2 else "perhaps all"


def _print(plan: PowerPlan, study: Study) -> None:
    style = METRIC_STYLES[study.endpoint.metric]
    print(
        f"{counted(plan.patients, 'patient')}, {counted(plan.exams, 'exam')}, "
        f"{counted(plan.arms, 'arm')} beside the reference; primary endpoint {plan.endpoint}"
    )
    print(f"SD of the patients' differences {style.with_unit(plan.spread.sd)}: {plan.spread.source}")
    print(f"smallest loss found with a power of {100 * POWER:.0f} %:")
    table = Table("repeats")
    for share in plan.shares:
        of = "" if share is None else f",\nnoise {100 * share:.0f} %"
        table.add_column(f"one arm{of}", justify="right")
        table.add_column(f"all {plan.arms} arms{of}", justify="right")
    for line in plan.lines:
        cells = [
            "none" if value is None else style.text(value)
            for pair in zip(line.one_arm, line.all_arms, strict=True)
            for value in pair
        ]
        own = " (study)" if line.repeats == study.sweep.repeats else ""
        table.add_row(f"{line.repeats}{own}", *cells)
    console = Console()
    (console if console.is_terminal else Console(width=120)).print(table, markup=False)
    none = any(value is None for line in plan.lines for value in (*line.one_arm, *line.all_arms))
    print(
        "one arm: at 5 %; all arms: at 5 % shared among them."
        + (" none: too few patients for any." if none else "")
    )
    if plan.shares != (None,):
        print(
            "noise: share of the variance that is retraining, which repeats shrink; a first run measures it."
        )
    if plan.margin is not None:
        exams = "" if plan.patients_for_margin is None else _exams_of(plan)
        needed = "more patients than any study has" if plan.patients_for_margin is None else exams
        print(
            f"To tell a loss of the margin, {style.with_unit(plan.margin)}, from none, with that power in all "
            f"arms and {counted(study.sweep.repeats, 'repeat')}, would take {needed}."
        )


def _exams_of(plan: PowerPlan) -> str:
    assert plan.patients_for_margin is not None
    exams = rounded(ceil(plan.patients_for_margin * plan.exams / plan.patients))
    return f"about {counted(rounded(plan.patients_for_margin), 'patient')} ({counted(exams, 'exam')})"
