"""Seconds that the report takes over many folds: results are made up, nothing is trained, there are no pictures.

    python benchmarks/report.py 288 12000 100000 100000x12500

Each number of folds gets a run in a temporary folder: 8 arms, as many exams as needed up to 500, or up to the number
after the x (every third patient has two), then repeats; with a history of 100 steps for every fold that the curves
may look at.
"""

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from job.artifacts import fold_result
from job.contract.manifest import ExamEntry, Manifest
from job.contract.results import Cost, ExamResult, FoldResult, Score
from job.run import Run
from job.storage import LocalStorage
from job.study_file import parse_study
from submit.analysis.aggregate import aggregate
from submit.analysis.analysis import analyse
from submit.analysis.design import Design
from submit.analysis.results_table import collect_results
from submit.report.material import Extras, Report, read_curves
from submit.report.pages import write_report

CHANNELS = ["t2", "t1", "t1c", "t2star", "ktrans", "ve", "adc"]
STUDY = {
    "name": "many",
    "preset": "smoke",
    "cohort": {
        "root": "cohort",
        "pattern": "{patient}/{exam}/{channel}.nii.gz",
        "labels": "{patient}/{exam}/label.nii.gz",
        "channels": CHANNELS,
        "classes": {"GTV-T": 1, "GTV-Ln": 2},
    },
}
STRUCTURES = ("GTV-T", "GTV-Ln", "union")


def main() -> None:
    """Prints a table in Markdown."""
    print(
        "| folds | patients | rows | read results | statistics | figures, tables, page | all | largest memory |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for argument in sys.argv[1:]:
        folds, _, exams = argument.partition("x")
        with tempfile.TemporaryDirectory() as folder:
            run = written(Path(folder), int(folds), int(exams or 500))
            patients = len({entry.patient for entry in run.manifest.exams})
            print(f"| {run.manifest.folds} | {patients} | {measured(run)}", flush=True)


def measured(run: Run) -> str:
    """The cells of a row."""
    begun, manifest = time.perf_counter(), run.manifest
    results = collect_results(run)
    curves, count = read_curves(run, results.folds, manifest.arms)
    read = time.perf_counter()
    design = Design.of(manifest)
    whole = aggregate(results, manifest)
    analysis = analyse(results.table, design, run=manifest.run, manifest=manifest.digest)
    computed = time.perf_counter()
    extras = Extras(curves=curves, curve_folds=count)
    write_report(
        run.files,
        Report(manifest=manifest, results=results, aggregate=whole, analysis=analysis, extras=extras),
    )
    ended = time.perf_counter()
    memory_gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    parts = (read - begun, computed - read, ended - computed, ended - begun)
    return f"{len(results.table)} | {' | '.join(f'{part:.1f} s' for part in parts)} | {memory_gib:.1f} GiB |"


def written(folder: Path, folds: int, most_exams: int) -> Run:
    """A run with results of all its folds."""
    count = min(folds // 8, most_exams)
    exams = [(f"p{n // 4 * 3 + min(n % 4, 2):05}", f"e{n:05}") for n in range(count)]
    manifest = Manifest.freeze(
        parse_study(STUDY | {"sweep": {"repeats": folds // (8 * count)}}, source="study.toml"),
        exams=tuple(ExamEntry(patient=patient, exam=exam, digest=f"{0:064}") for patient, exam in exams),
        recipe="recipe",
        created="2026-01-01T00:00:00+00:00",
        code_version="0",
    )
    run, draw = Run(LocalStorage(folder), manifest), np.random.default_rng(0)
    history = "".join(
        json.dumps({"step": step, "loss": 1 / step, "learning_rate": 1e-3}) + "\n" for step in range(1, 101)
    )
    for index in range(manifest.folds):
        run.fold(index).result.write(result(manifest, index, draw))
        if (index // 8) % max(manifest.folds // 8 // 400, 1) == 0:
            run.fold(index).history.write(history.encode())
    return run


def result(manifest: Manifest, index: int, draw: np.random.Generator) -> FoldResult:
    """A made-up result: one channel matters."""
    fold = manifest.grid.fold(index)
    scores = {}
    for structure in STRUCTURES:
        dice = float(np.clip(draw.normal(0.7 - 0.1 * (fold.arm.name == "without t2star"), 0.08), 0.01, 1))
        scores[structure] = Score(
            status="ok", dice=dice, hd95_mm=40 * (1 - dice), reference_ml=20.0, predicted_ml=25 * dice
        )
    (exam,) = fold.test_exams
    tested = [ExamResult(scores=scores, prediction_sha256="0" * 64, **manifest.exams[exam].model_dump())]
    cost = Cost(
        device="cpu",
        threads=1,
        attempts=1,
        lost_steps=0,
        started="2026-01-01T00:00:00+00:00",
        finished="2026-01-01T00:01:00+00:00",
        seconds={"load": 1.0, "forward": 20.0, "backward": 30.0, "inference": 9.0, "total": 60.0},
        peak_memory_gib=1.0,
        peak_device_memory_gib=None,
        versions={"loosweep": "0", "torch": "2.13.0"},
    )
    return fold_result(manifest, fold, "float32", b"", tested, cost)


if __name__ == "__main__":
    main()
