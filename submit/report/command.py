"""`submit report`: reads a run, its store and its predictions, and writes the report."""

import json
import re
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from job.contract.errors import DataError, StudyError
from job.contract.fold_ranges import format_folds
from job.contract.manifest import Manifest
from job.data.nifti import read_labels
from job.data.store import open_exams
from job.run import Run
from job.storage import Storage, open_storage
from submit.analysis.aggregate import Aggregate, aggregate
from submit.analysis.analysis import Analysis, Verdict, analyse
from submit.analysis.comparisons import Comparison
from submit.analysis.design import Design
from submit.analysis.headline import harm_pictures, harmful_arms, headline, in_order, verdict_words, warning
from submit.analysis.results_table import Results, collect_results
from submit.analysis.wording import METRIC_STYLES, percent, precise, probability
from submit.cohort_changes import changes_since
from submit.find import find_run
from submit.report.chosen_exams import Endpoint
from submit.report.material import Extras, Price, Report, read_curves, reference_in_words
from submit.report.montage import ExamImages, Montages, montages_of
from submit.report.pages import write_report
from submit.runs import require_run
from submit.stores import find_store
from submit.wording import counted

PROBLEMS_SHOWN = 2
"""Exams without a picture that are named."""
REGION = re.compile(r"[a-z]+(-[a-z]+)+-\d+")
"""Of a zone, which may be a local one: us-west-2 of us-west-2-lax-1a."""


def make_report(
    name: str | None, study_file: Path, *, as_json: bool, output: Path | None, store: str | None
) -> str:
    """Writes the report of a run; what to print: the aggregate as JSON, or a table and where the page is.

    Args:
        name: The run, or None for the newest.
        study_file: The study whose runs are meant.
        as_json: Only the aggregate; no file is written.
        output: Folder to copy the report to.
        store: Root of the block store, if it is neither where the sweep had it nor where the study file has it.

    Raises:
        StudyError: There is no such run.
    """
    if name is not None and name.endswith(".toml"):
        study_file, name = Path(name), None
    run = require_run(find_run(name, study_file))
    manifest = run.manifest
    results = collect_results(run)
    if results.problems:
        print(f"left out of the report: {DataError(results.problems)}", file=sys.stderr)
    _warn_of_mixture(results)
    images = _store(run, store, study_file)
    changes = _changes(manifest, images, study_file)
    whole = aggregate(results, manifest)
    analysis = analyse(results.table, Design.of(manifest), run=manifest.run, manifest=manifest.digest)
    if as_json:
        return json.dumps(
            whole.model_dump(mode="json") | {"verdict": analysis.model_dump(mode="json")}, indent=1
        )
    curves, curve_folds = read_curves(run, results.folds, manifest.arms)
    report = Report(
        manifest=manifest,
        results=results,
        aggregate=whole,
        analysis=analysis,
        montages=_montages(run, results, harm_pictures(analysis), images),
        extras=Extras(
            curves=curves, curve_folds=curve_folds, price=_prices(results, manifest), changes=changes
        ),
    )
    write_report(run.files, report)
    folder = run.analysis_url
    if output is not None:
        target = open_storage(str(output))
        for key, file in run.analysis().items():
            target.write(key, file.read())
        folder = target.url
    files = (f"report: {folder}/report.html", f"        {folder}/verdict.json")
    return "\n".join((*_summary(whole, analysis), *files))


def _store(run: Run, named: str | None, study_file: Path) -> Storage | None:
    """The store of a run; None, with a word, where it is not to be had."""
    try:
        return open_storage(named) if named is not None else find_store(run, study_file)
    except StudyError as error:
        print(f"no pictures of exams in the report: {error}", file=sys.stderr)
        return None


def _changes(manifest: Manifest, images: Storage | None, study_file: Path) -> list[str]:
    """In what the cohort was changed since, after a word of it; a run is reported though that cannot be told."""
    try:
        changes = changes_since(manifest, images, study_file) if images is not None else []
    except (OSError, StudyError) as error:
        print(f"note: whether the cohort was changed since is not known: {error}", file=sys.stderr)
        return []
    for change in changes:
        print(f"note: since the run was prepared: {change}; `submit sweep` starts a new run", file=sys.stderr)
    return changes


def _montages(
    run: Run,
    results: Results,
    harms: Sequence[tuple[str, Endpoint]],
    images: Storage | None,
) -> Montages:
    """Pictures of the tested exams; none where there is no store."""
    if images is None:
        return Montages()
    manifest = run.manifest

    def load_exam(exam: int) -> ExamImages:
        (source,) = open_exams(images, manifest, [exam])
        return ExamImages(
            image_CZYX=source.image(range(len(source.record.channels))),
            channels=source.record.channels,
            truth_ZYX=source.label(),
            spacing_zyx_mm=source.record.spacing_zyx_mm,
        )

    def load_prediction(fold: int, exam: int) -> NDArray[np.uint8]:
        name = manifest.exams[exam].exam
        file = run.predictions(fold)[name]
        result = run.fold(fold).result.read()
        assert result is not None  # only exams of folds that are done are shown
        (digest,) = (own.prediction_sha256 for own in result.exams if own.exam == name)
        values_ZYX = read_labels(file.read(digest), file.key)
        labels_ZYX = np.zeros(values_ZYX.shape, np.uint8)
        for label, values in enumerate(manifest.study.cohort.class_values, start=1):
            labels_ZYX[values_ZYX == values[0]] = label
        return labels_ZYX

    montages = montages_of(results, manifest, load_exam, load_prediction, harms)
    problems = list(dict.fromkeys(montages.problems))
    for problem in problems[:PROBLEMS_SHOWN]:
        print(f"no picture of an exam in the report: {problem}", file=sys.stderr)
    if (more := len(problems) - PROBLEMS_SHOWN) > 0:
        print(f"nor of {counted(more, 'other exam')}", file=sys.stderr)
    return montages


def _warn_of_mixture(results: Results) -> None:
    """Says so if folds ran under conditions that differ: their numbers would not repeat bit for bit elsewhere."""
    conditions = sorted(results.folds["conditions"].unique())
    if len(conditions) > 1:
        print(
            f"note: folds ran under {len(conditions)} conditions, so that pairs differ by rounding too: "
            f"{'; '.join(conditions)}",
            file=sys.stderr,
        )


def _prices(results: Results, manifest: Manifest) -> Price | None:
    """Prices of the machines on which folds ran; None if they were one's own."""
    machines = [str(machine) for machine in results.folds["machine"].dropna().unique()]
    if not machines:
        return None
    from submit.aws.prices import connect_prices, rate_of  # loads AWS's client

    connect = cache(connect_prices)  # one for each region

    def price(machine: str) -> float | None:
        region = REGION.match(machine.split()[-1])
        return region and rate_of(machine, connect(region[0]))

    return cache(price)


def _summary(whole: Aggregate, analysis: Analysis) -> list[str]:
    """The answer and the verdict of every arm, for the terminal, in the order and the words of the page."""
    counts = whole.folds
    lines = [f"run {whole.run}: {counts.done} of {counts.total} folds done"]
    if counts.failed:
        lines.append(f"failed: {format_folds(counts.failed)}")
    if counts.missing:
        lines.append(f"missing: {format_folds(counts.missing)}")
    if not counts.done:
        return lines
    if counts.done < counts.total:
        lines.append("interim: the verdict that counts is that of the whole run")
    lines.append(reference_in_words(whole, analysis))
    verdicts = in_order(analysis)
    lines += ["", *headline(analysis), "", *_table(analysis, verdicts), ""]
    if any(verdict.depends_on_missing for verdict in verdicts):
        lines.append("* missing tests could change it")
    if found := harmful_arms(analysis):
        lines.append(f"! {warning(analysis)}")
        lines += [f"  {harm.name}: {'; '.join(harm.harms)}" for harm in found]
        lines.append(
            f"  (of {analysis.named[1]} comparisons beside the endpoint {analysis.named[0]} are on the worse side of "
            f"0, about {analysis.named_by_chance:.1f} would be by chance)"
        )
    return lines


def _table(analysis: Analysis, verdicts: Sequence[Verdict]) -> list[str]:
    """A line for every arm, the largest loss first."""
    metric, harmful = analysis.endpoint["metric"], {harm.arm for harm in harmful_arms(analysis)}
    rows = [("arm", "verdict", "mean difference (95 % interval)", "decided by")]
    rows += [
        (
            verdict.arm,
            verdict_words(verdict, analysis)
            + (" *" if verdict.depends_on_missing else "")
            + (" !" if verdict.arm in harmful else ""),
            _difference(analysis.of_endpoint[verdict.arm]),
            _reason(verdict, metric) if verdict.complete else "",
        )
        for verdict in verdicts
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return [
        f"{arm:{widths[0]}}  {verdict:{widths[1]}}  {text:{widths[2]}}  {reason}".rstrip()
        for arm, verdict, text, reason in rows
    ]


def _reason(verdict: Verdict, metric: str) -> str:
    """The number that a verdict was decided by."""
    own = next((each for each in verdict.structures if each.verdict == verdict.verdict), verdict.leading)
    if own.verdict == "droppable" and own.p_not_worse is not None:
        return f"margin, {precise(own.p_not_worse)}"
    if own.verdict == "not distinguishable" and own.floor is not None:
        return f"retraining, ±{METRIC_STYLES[metric].text(own.floor.value)}"
    return probability(own.p) if own.p is not None else ""


def _difference(found: Comparison) -> str:
    """Mean and interval, in short."""
    style = METRIC_STYLES[found.metric]
    if found.mean is None:
        return "no pairs"
    interval = "" if found.low is None else f" ({style.interval(found.low, found.high)})"
    return f"{style.with_unit(found.mean, signed=True)}{interval}, {percent(found.relative)}"
