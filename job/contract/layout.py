"""Every key of a run and of a store, in one place. Keys are relative, with `/`, on any storage.

<runs>/<run>/
    manifest.json                    what the run is
    submission.json                  the sweep of a machine that runs it at the moment
    submissions/<number>.json        jobs of AWS Batch that were submitted together
    requests/<id>.json               a request that became it
    sweep.lock                       held by a sweep of this machine
    folds/<index>/
        heartbeat.json               replaced every few seconds while a worker is at it
        history.jsonl                one line per logged step
        checkpoint/latest.json       points to the newest state file; written after it
        checkpoint/<step>-<digest>.pt
        weights.safetensors          the trained network
        prediction.nii.gz            on the original grid (prediction-<n>.nii.gz for several test exams)
        result.json                  written last, once
        failure.json                 how the last failed attempt ended
        log.txt                      what the worker printed
        worker.lock                  held by a worker of this machine
    analysis/                        tables, figures and report
<runs>/requests/<id>/                a run of a cohort that is still to be prepared, on AWS Batch
    study.json                       the study, with all its places
    submissions/<number>.json        the jobs that will prepare, train and report
    run.json                         which run it became; written when the cohort is prepared
<store>/
    <recipe>/store.json              the exams of a prepared cohort; written last
    <recipe>/exams/<exam>.<digest>.json    commit record of one exam; written after its arrays
    <recipe>/exams/<exam>.<digest>.zarr/
"""

import re
from collections.abc import Iterable

MANIFEST = "manifest.json"
SUBMISSION = "submission.json"
FOLDS = "folds"
ANALYSIS = "analysis"
REPORT = f"{ANALYSIS}/report.html"
REQUESTS = "requests"
"""Folder beside the runs; no run is called so, for the name of a run ends with a digest."""
REQUEST_ID_LENGTH = 12
"""Hexadecimal digits."""
BATCH_SUBMISSIONS = "submissions"
REQUESTED_STUDY = "study.json"
REQUESTED_RUN = "run.json"
SWEEP_LOCK = "sweep.lock"
"""Held by the sweep that works on a run on this machine."""


def below(folder: str) -> str:
    """What the keys of all files in a folder begin with."""
    return f"{folder}/"


def request(request_id: str) -> str:
    """Folder of a request, beside the runs."""
    return f"{REQUESTS}/{request_id}"


def name_of(location: str) -> str:
    """The name of a folder or URL: of a run, or the id of a request."""
    return location.rpartition("/")[2]


def folder_of(location: str) -> str:
    """The folder or URL that another one is in: for a run, that of all runs."""
    above, separator, _ = location.rpartition("/")
    return above or ("/" if separator else ".")


def runs_of_request(location: str) -> str:
    """The folder or URL of the runs, of which a request will be one."""
    return folder_of(folder_of(location))


def request_of_run(request_id: str) -> str:
    """Says that a request became a run."""
    return f"{REQUESTS}/{request_id}.json"


def id_of_request(key: str) -> str:
    """The id in what `request_of_run` gives."""
    return name_of(key).removesuffix(".json")


def batch_submission(number: int) -> str:
    """Jobs of AWS Batch that were submitted together, numbered from 0."""
    return f"{BATCH_SUBMISSIONS}/{number:06}.json"


def number_of_submission(key: str) -> int:
    """The number in what `batch_submission` gives."""
    return int(key.removeprefix(f"{BATCH_SUBMISSIONS}/").removesuffix(".json"))


def fold(index: int) -> str:
    """Folder of a fold."""
    return f"{FOLDS}/{index}"


def heartbeat(index: int) -> str:
    """Sign of life of a fold's worker."""
    return f"{fold(index)}/heartbeat.json"


def history(index: int) -> str:
    """Loss, learning rate, Dice and seconds by phase, as JSON lines."""
    return f"{fold(index)}/history.jsonl"


def checkpoints(index: int) -> str:
    """Folder of a fold's checkpoints."""
    return f"{fold(index)}/checkpoint"


def checkpoint_pointer(index: int) -> str:
    """Names the newest state file of a fold; written after it."""
    return f"{checkpoints(index)}/latest.json"


def checkpoint(index: int, step: int, digest: str) -> str:
    """A state file: a step may be saved twice, with another history, and neither overwrites the other."""
    return f"{checkpoints(index)}/{step}-{digest[:12]}.pt"


def is_checkpoint(key: str) -> bool:
    """Whether a file is only of use until its fold is done."""
    return "/checkpoint/" in key


def weights(index: int) -> str:
    """The trained network of a fold."""
    return f"{fold(index)}/weights.safetensors"


def predictions(index: int, test_exams: int) -> tuple[str, ...]:
    """The predictions of a fold, in the order of its test exams."""
    if test_exams == 1:
        return (f"{fold(index)}/prediction.nii.gz",)
    return tuple(f"{fold(index)}/prediction-{n + 1}.nii.gz" for n in range(test_exams))


def with_digest(key: str, digest: str) -> str:
    """The name of a file beside another of the same name and other contents."""
    folder, _, name = key.rpartition("/")
    stem, _, end = name.partition(".")
    return f"{folder}/{stem}-{digest[:12]}.{end}"


def result(index: int) -> str:
    """The result of a fold: it exists if, and only if, the fold is done."""
    return f"{fold(index)}/result.json"


def failure(index: int) -> str:
    """How the last failed attempt of a fold ended."""
    return f"{fold(index)}/failure.json"


def log(index: int) -> str:
    """What a fold's worker printed."""
    return f"{fold(index)}/log.txt"


def analysis(name: str) -> str:
    """A table, a figure or a page of the report."""
    return f"{ANALYSIS}/{name}"


def folds_with(name: str, keys: Iterable[str]) -> list[int]:
    """The folds for which a file of this name is among the keys, ascending."""
    pattern = re.compile(rf"{FOLDS}/(\d+)/{re.escape(name)}")
    return sorted(int(match[1]) for key in keys if (match := pattern.fullmatch(key)))


def store_index(recipe: str) -> str:
    """The list of a prepared cohort's exams."""
    return f"{recipe}/store.json"


def exams(recipe: str) -> str:
    """Folder of all exams that were prepared in one way."""
    return f"{recipe}/exams"


def exam_record(recipe: str, exam: str, digest: str) -> str:
    """Commit record of one exam."""
    return f"{exams(recipe)}/{exam}.{digest[:12]}.json"


def exam_arrays(recipe: str, exam: str, digest: str) -> str:
    """Folder of one exam's arrays."""
    return f"{exams(recipe)}/{exam}.{digest[:12]}.zarr"


def worker_lock(index: int) -> str:
    """Held by the worker of a fold as long as it lives."""
    return f"{fold(index)}/worker.lock"
