"""`submit report`: reads a run, its store and its predictions, and writes the report."""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from job.contract import layout
from job.contract.errors import DataError
from job.contract.fold_ranges import format_folds
from job.contract.manifest import Manifest
from job.contract.results import FoldResult
from job.data.nifti import read_labels
from job.data.store import ExamReader, open_exams
from job.places import read_manifest
from job.runs import read_outcome
from job.storage import Storage, open_storage
from submit.analysis.aggregate import Aggregate, aggregate
from submit.analysis.results_table import Results, collect_results
from submit.analysis.wording import METRIC_STYLES, percent
from submit.report.montage import ExamImages, Montages, montages_of
from submit.report.pages import write_report
from submit.runs import find_run, require_run
from submit.submissions import read_submission


def make_report(
    name: str | None, study_file: Path, *, as_json: bool, output: Path | None, store: str | None
) -> str:
    """Writes the report of a run; what to print: the aggregate as JSON, or a table and where the page is.

    Args:
        name: The run, or None for the newest.
        study_file: The study whose runs are meant.
        as_json: Only the aggregate; no file is written.
        output: Folder to copy the report to.
        store: Root of the block store, if it is not where the sweep had it.

    Raises:
        StudyError: There is no such run.
    """
    run = require_run(find_run(name, study_file))
    manifest = read_manifest(run)
    results = collect_results(run, manifest)
    if results.problems:
        print(f"left out of the report: {DataError(results.problems)}", file=sys.stderr)
    _warn_of_mixture(results)
    if as_json:
        return aggregate(results, manifest).to_json().decode()
    whole = write_report(run, manifest, results, _montages(run, manifest, results, store))
    folder = f"{run.url}/{layout.ANALYSIS}"
    if output is not None:
        target = open_storage(str(output))
        for item in run.list(f"{layout.ANALYSIS}/"):
            target.write(item.key.removeprefix(f"{layout.ANALYSIS}/"), run.read(item.key))
        folder = target.url
    return "\n".join((*_summary(whole), f"report: {folder}/report.html", f"        {folder}/report.json"))


def _montages(run: Storage, manifest: Manifest, results: Results, store: str | None) -> Montages:
    """Pictures of the tested exams; none, with a word, where the store is not to be had."""
    location = store or read_submission(run).store
    images = open_storage(location)

    def reader(exam: int) -> ExamReader:
        return open_exams(images, manifest, [exam])[0]

    def load_exam(exam: int) -> ExamImages:
        source = reader(exam)
        return ExamImages(
            image_CZYX=source.image(range(len(source.record.channels))),
            truth_ZYX=source.label(),
            spacing_zyx_mm=source.record.spacing_zyx_mm,
        )

    def load_prediction(fold: int, exam: int) -> NDArray[np.uint8]:
        tested = manifest.grid.fold(fold).test_exams
        key = layout.predictions(fold, len(tested))[tested.index(exam)]
        result = FoldResult.model_validate_json(run.read(layout.result(fold)))
        data = read_outcome(run, key, result.exams[tested.index(exam)].prediction_sha256)
        values_ZYX = read_labels(data, key)
        labels_ZYX = np.zeros(values_ZYX.shape, np.uint8)
        for label, values in enumerate(manifest.study.cohort.class_values, start=1):
            labels_ZYX[values_ZYX == values[0]] = label
        return labels_ZYX

    montages = montages_of(results, manifest, load_exam, load_prediction)
    for problem in montages.problems:
        print(f"no picture of an exam in the report: {problem}", file=sys.stderr)
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


def _summary(whole: Aggregate) -> list[str]:
    """The primary endpoint of every arm, for the terminal."""
    structure, metric = whole.endpoint["class"], whole.endpoint["metric"]
    style = METRIC_STYLES[metric]
    width = max(len(arm.arm) for arm in whole.arms)
    counts = whole.folds
    lines = [f"run {whole.run}: {counts.done} of {counts.total} folds done"]
    if counts.failed:
        lines.append(f"failed: {format_folds(counts.failed)}")
    if counts.missing:
        lines.append(f"missing: {format_folds(counts.missing)}")
    lines.append(
        f"{'arm':{width}}  tests  {style.name} of {structure}, mean ± SD   difference to the reference"
    )
    for arm in whole.arms:
        line = f"{arm.arm:{width}}  {arm.n:5}  "
        if arm.n:
            summary = arm.metrics[structure][metric]
            line += f"{style.text(summary.mean)} ± {style.text(summary.sd)}"
        if arm.difference:
            difference = arm.difference[structure][metric]
            line += f"   {style.text(difference.mean, signed=True)} ({percent(difference.relative)})"
        lines.append(line)
    return lines
