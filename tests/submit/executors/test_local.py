"""The executor with real processes: shell commands that end as a worker may end."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from job.contract import layout
from job.contract.results import Failure
from job.contract.study import Compute
from job.run import Run
from job.storage.local import LocalStorage
from submit.executors.local import LocalExecutor, Slot, fold_command, slots_of
from submit.executors.protocol import Snapshot

ATTEMPT = 'echo x >> "$1/attempts"\n'
SUCCEED = f'{ATTEMPT} echo > "$1/result.json"'
UNTIL_TERMINATED = """
trap 'echo > "$1/checkpoint"; exit 143' TERM
echo > "$1/ready"
while true; do sleep 0.02; done
"""
UNTIL_KILLED = UNTIL_TERMINATED.replace('echo > "$1/checkpoint"; exit 143', "")
CPU = Slot(device="cpu", threads=1)

MakeExecutor = Callable[..., LocalExecutor]


@pytest.fixture
def run(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "run")


@pytest.fixture
def make_executor(run: LocalStorage) -> Iterator[MakeExecutor]:
    """An executor of shell scripts by fold; in a script, `$0` is the device and `$1` the fold's folder."""
    made: list[LocalExecutor] = []

    def make(
        scripts: dict[int, str], slots: tuple[Slot, ...] = (CPU,), pause_seconds: float = 0.0
    ) -> LocalExecutor:
        def command(fold: int, slot: Slot) -> list[str]:
            return ["sh", "-c", scripts.get(fold, SUCCEED), slot.device, str(run.root / layout.fold(fold))]

        made.append(LocalExecutor(Run(run), slots, command, pause_seconds))
        return made[-1]

    yield make
    for executor in made:
        executor.cancel(now=True)
        poll_until(executor, lambda snapshot: snapshot.finished)


def poll_until(executor: LocalExecutor, condition: Callable[[Snapshot], bool]) -> Snapshot:
    deadline = time.monotonic() + 30
    while not condition(snapshot := executor.poll()):
        assert time.monotonic() < deadline, snapshot
        time.sleep(0.005)
    return snapshot


def lines_of(run: LocalStorage, fold: int) -> tuple[list[str], list[str]]:
    """The lines of a log with which attempts begin, and the others."""
    lines = run.read(layout.log(fold)).decode().splitlines()
    marks = [line for line in lines if line.startswith("--- attempt")]
    return marks, [line for line in lines if line not in marks]


def finish(executor: LocalExecutor) -> Snapshot:
    return poll_until(executor, lambda snapshot: snapshot.finished)


def attempts(run: LocalStorage, fold: int) -> int:
    return run.read(f"{layout.fold(fold)}/attempts").count(b"\n")


@pytest.mark.parametrize(
    ("cores", "cores_per_fold", "slots"),
    [(8, 1, [1] * 8), (8, 3, [3, 3]), (2, 4, [2]), (1, 1, [1]), (8, 8, [8])],
)
def test_without_a_gpu_folds_share_the_cores(cores: int, cores_per_fold: int, slots: list[int]) -> None:
    found = slots_of(Compute(cores_per_fold=cores_per_fold), cores=cores, gpus=0)
    assert found == tuple(Slot(device="cpu", threads=threads) for threads in slots)


@pytest.mark.parametrize(("cores", "gpus", "threads"), [(16, 2, 8), (7, 2, 3), (2, 4, 1)])
def test_each_gpu_takes_one_fold_and_its_share_of_the_cores(cores: int, gpus: int, threads: int) -> None:
    found = slots_of(Compute(cores_per_fold=1), cores=cores, gpus=gpus)
    assert found == tuple(Slot(device=f"cuda:{gpu}", threads=threads) for gpu in range(gpus))


def test_gpus_stay_idle_where_the_study_asks_for_the_cpu() -> None:
    assert slots_of(Compute(device="cpu"), cores=2, gpus=2) == (CPU, CPU)


def test_a_fold_is_run_by_the_entry_point_of_the_container(tmp_path: Path) -> None:
    run, store = LocalStorage(tmp_path / "run"), LocalStorage(tmp_path / "store")
    command = fold_command(Run(run), store, checkpoint_minutes=2.5)
    assert command(7, Slot(device="cuda:1", threads=4)) == [
        sys.executable,
        "-m",
        "job",
        "fold",
        *("--index", "7"),
        *("--run", str(tmp_path / "run")),
        *("--store", str(tmp_path / "store")),
        *("--device", "cuda:1"),
        *("--threads", "4"),
        *("--stop-with", str(os.getpid())),
        *("--checkpoint-minutes", "2.5"),
    ]


def test_folds_run_to_their_results_in_order(make_executor: MakeExecutor, run: LocalStorage) -> None:
    executor = make_executor({})
    executor.submit([2, 0, 1])
    assert executor.poll().waiting == (0, 1)
    snapshot = finish(executor)
    assert snapshot == Snapshot(waiting=(), running=(), done=(2, 0, 1), failed=(), stopped=())
    assert [attempts(run, fold) for fold in range(3)] == [1, 1, 1]


@pytest.mark.parametrize(
    ("script", "tried", "exit_code", "message"),
    [
        ("exit 0", 1, 0, "the worker ended without an error, but left no result"),
        ("echo first; echo wrong study; echo; exit 64", 1, 64, "wrong study"),
        ("echo bad data >&2; exit 65", 1, 65, "bad data"),
        ("echo Traceback; echo KeyError; exit 70", 2, 70, "KeyError"),
        ("echo disk full; exit 75", 5, 75, "disk full"),
        ("echo stopped; exit 143", 10, 143, "stopped"),
        ("exit 3", 3, 3, "no output"),
        ("echo training; kill -KILL $$", 3, -9, "killed by SIGKILL (out of memory?)"),
        ("ulimit -c 0; kill -SEGV $$", 3, -11, "killed by SIGSEGV"),
    ],
)
def test_a_fold_is_given_up_after_the_attempts_that_its_end_allows(
    make_executor: MakeExecutor, run: LocalStorage, script: str, tried: int, exit_code: int, message: str
) -> None:
    executor = make_executor({4: ATTEMPT + script})
    executor.submit([4])
    assert finish(executor).failed == (4,)
    assert attempts(run, 4) == tried
    failure = Failure.model_validate_json(run.read(layout.failure(4)))
    assert failure.model_dump(exclude={"time", "job", "ends"}) == {
        "fold": 4,
        "attempts": tried,
        "exit_code": exit_code,
        "message": message,
        "final": True,
    }
    assert failure.time.endswith("+00:00")


def test_each_attempt_in_vain_is_told_with_its_reason(make_executor: MakeExecutor, run: LocalStorage) -> None:
    executor = make_executor({0: "kill -KILL $$", 1: "echo KeyError; exit 70"})
    executor.submit([0, 1])
    snapshot = finish(executor)
    assert sorted(snapshot.retries) == [
        "fold 0: attempt 1 ended (killed by SIGKILL (out of memory?)); attempt 2 follows",
        "fold 0: attempt 2 ended (killed by SIGKILL (out of memory?)); attempt 3 follows",
        "fold 1: attempt 1 ended (KeyError); attempt 2 follows",
    ]
    assert len(lines_of(run, 0)[0]) == 3


def test_a_failing_fold_does_not_stop_the_others(make_executor: MakeExecutor) -> None:
    executor = make_executor({0: "exit 64", 2: "kill -KILL $$", 3: "exit 70"}, slots=(CPU, CPU))
    executor.submit(range(6))
    snapshot = finish(executor)
    assert sorted(snapshot.failed) == [0, 2, 3]
    assert sorted(snapshot.done) == [1, 4, 5]


def test_a_fold_that_succeeds_at_last_leaves_no_failure(
    make_executor: MakeExecutor, run: LocalStorage
) -> None:
    third_time = f'{ATTEMPT} [ "$(wc -l < "$1/attempts")" -lt 3 ] && exit 75\n echo > "$1/result.json"'
    executor = make_executor({0: third_time})
    executor.submit([0])
    assert finish(executor).done == (0,)
    assert attempts(run, 0) == 3
    assert not run.exists(layout.failure(0))


def test_attempts_are_counted_for_each_way_to_end_by_itself(
    make_executor: MakeExecutor, run: LocalStorage
) -> None:
    """A fold that was stopped twice has still not failed: its first bug is tried again."""
    ends = 'case $(wc -l < "$1/attempts") in 1 | 2) exit 143;; 3) exit 70;; esac'
    executor = make_executor({0: f"{ATTEMPT} {ends}\n {SUCCEED}"})
    executor.submit([0])
    assert finish(executor).done == (0,)


def test_folds_that_end_together_leave_each_device_to_one_of_the_next(
    make_executor: MakeExecutor, run: LocalStorage
) -> None:
    slots = (Slot(device="cuda:0", threads=1), Slot(device="cuda:1", threads=1))
    executor = make_executor({2: f"echo $0; {UNTIL_TERMINATED}", 3: f"echo $0; {SUCCEED}"}, slots)
    executor.submit(range(4))
    executor.poll()
    deadline = time.monotonic() + 30
    while not all(run.exists(layout.result(fold)) for fold in (0, 1)):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    time.sleep(0.2)  # both processes have ended by now, and are collected together
    poll_until(executor, lambda snapshot: 3 in snapshot.done and run.exists("folds/2/ready"))
    assert {lines_of(run, fold)[1][0] for fold in (2, 3)} == {"cuda:0", "cuda:1"}


@pytest.mark.parametrize("end", ["exit 70", "exit 143", "kill -KILL $$"])
def test_a_fold_with_a_result_is_done_however_its_worker_ended(
    make_executor: MakeExecutor, run: LocalStorage, end: str
) -> None:
    executor = make_executor({0: f"{SUCCEED}; {end}"})
    executor.submit([0])
    assert finish(executor).done == (0,)
    assert attempts(run, 0) == 1


def test_a_fold_that_was_begun_is_tried_again_before_others_are_begun(
    make_executor: MakeExecutor, run: LocalStorage
) -> None:
    order = 'basename "$1" >> "$1/../order"; '
    executor = make_executor({0: f"{order} exit 70", 1: order + SUCCEED})
    executor.submit([0, 1])
    finish(executor)
    assert run.read(f"{layout.FOLDS}/order").split() == [b"0", b"0", b"1"]


def test_ctrl_c_does_not_reach_workers_by_itself(make_executor: MakeExecutor, run: LocalStorage) -> None:
    """A terminal sends it to all processes of its session: each worker leads one of its own."""
    executor = make_executor({0: f"echo $$; cut -d ' ' -f 6 /proc/$$/stat; {SUCCEED}"})
    executor.submit([0])
    finish(executor)
    pid, session = lines_of(run, 0)[1]
    assert pid == session


def test_other_folds_run_while_a_fold_waits_for_its_next_attempt(make_executor: MakeExecutor) -> None:
    executor = make_executor({0: "exit 70"}, pause_seconds=0.3)
    executor.submit([0, 1, 2])
    snapshot = poll_until(executor, lambda snapshot: len(snapshot.done) == 2)
    assert snapshot.waiting == (0,)
    assert finish(executor).failed == (0,)


def test_pauses_double(make_executor: MakeExecutor) -> None:
    executor = make_executor({0: "exit 3"}, pause_seconds=0.1)
    executor.submit([0])
    start = time.monotonic()
    finish(executor)
    assert time.monotonic() - start >= 0.1 + 0.2


def test_a_stopped_worker_is_started_again_without_a_pause(make_executor: MakeExecutor) -> None:
    executor = make_executor(
        {0: f'[ -e "$1/checkpoint" ] && {{ {SUCCEED}; exit 0; }}; echo > "$1/checkpoint"; exit 143'},
        pause_seconds=3600,
    )
    executor.submit([0])
    assert finish(executor).done == (0,)


def test_no_more_folds_run_than_there_are_slots_and_each_has_a_device_of_its_own(
    make_executor: MakeExecutor, run: LocalStorage
) -> None:
    slots = (Slot(device="cuda:0", threads=3), Slot(device="cuda:1", threads=5))
    script = f"echo $0 $OMP_NUM_THREADS $MKL_NUM_THREADS; sleep 0.05; {SUCCEED}"
    executor = make_executor(dict.fromkeys(range(5), script), slots)
    executor.submit(range(5))
    at_once = set()

    def finished(snapshot: Snapshot) -> bool:
        at_once.add(len(snapshot.running))
        return snapshot.finished

    poll_until(executor, finished)
    assert max(at_once) == 2
    logs = {tuple(lines_of(run, fold)[1]) for fold in range(5)}
    assert logs == {("cuda:0 3 3",), ("cuda:1 5 5",)}


def test_the_log_of_a_fold_keeps_what_each_attempt_printed(
    make_executor: MakeExecutor, run: LocalStorage
) -> None:
    executor = make_executor({0: "echo out; echo err >&2; exit 70"})
    executor.submit([0])
    finish(executor)
    marks, printed = lines_of(run, 0)
    assert printed == ["out", "err"] * 2
    assert [mark.split(",")[0] for mark in marks] == [
        "--- attempt 1 of this sweep",
        "--- attempt 2 of this sweep",
    ]


def test_a_fold_has_failed_until_it_is_tried_anew(make_executor: MakeExecutor, run: LocalStorage) -> None:
    for fold in (0, 1):
        run.write(layout.failure(fold), b"{}")
    executor = make_executor({0: UNTIL_TERMINATED})
    executor.submit([0, 1])
    executor.poll()
    assert not run.exists(layout.failure(0))
    executor.cancel(now=False)
    assert finish(executor).stopped == (1, 0)
    assert run.exists(layout.failure(1))


def test_cancelled_folds_write_their_checkpoint_and_are_not_started_again(
    make_executor: MakeExecutor, run: LocalStorage
) -> None:
    executor = make_executor({0: UNTIL_TERMINATED})
    executor.submit([0, 1, 2])
    poll_until(executor, lambda _: run.exists("folds/0/ready"))
    executor.cancel(now=False)
    snapshot = finish(executor)
    assert snapshot == Snapshot(waiting=(), running=(), done=(), failed=(), stopped=(1, 2, 0))
    assert run.exists("folds/0/checkpoint")
    assert not run.exists(layout.failure(0))
    assert not run.exists(layout.log(1))


def test_cancelled_at_once_folds_are_killed(make_executor: MakeExecutor, run: LocalStorage) -> None:
    executor = make_executor({0: UNTIL_KILLED})
    executor.submit([0])
    poll_until(executor, lambda _: run.exists("folds/0/ready"))
    executor.cancel(now=False)
    time.sleep(0.1)
    assert executor.poll().running == (0,)  # deaf to SIGTERM
    executor.cancel(now=True)
    assert finish(executor).stopped == (0,)


def test_a_fold_that_gets_done_while_it_is_cancelled_is_done(
    make_executor: MakeExecutor, run: LocalStorage
) -> None:
    executor = make_executor({0: UNTIL_TERMINATED.replace("/checkpoint", "/result.json")})
    executor.submit([0])
    poll_until(executor, lambda _: run.exists("folds/0/ready"))
    executor.cancel(now=False)
    assert finish(executor).done == (0,)
