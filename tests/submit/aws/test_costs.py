"""Dollars: what attempts cost, what a budget pays for, when jobs are ended."""

import errno
import io
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from job.contract.errors import StudyError
from job.contract.results import Heartbeat, utc_now
from job.run import Run
from job.storage import LocalStorage
from submit.aws import budget
from submit.aws.account import Account, Spent
from submit.aws.budget import Watch, affordable, follow
from submit.aws.jobs import BatchJobs
from submit.aws.liveness import lives
from submit.aws.prices import Prices
from submit.submissions import BatchSubmission, FoldJob, claim, next_key
from tests.submit.aws.deployed import DEPLOYMENT, ENDED, WELL
from tests.submit.aws.fake_batch import LOST, FakeBatch, attempt
from tests.submit.aws.market import Refusing

MACHINE = "g4dn.xlarge spot eu-central-1a"
"""0.2 USD an hour."""
OLD = "2026-01-01T00:00:00+00:00"


class BilledRun:
    """A run in a folder, and jobs of it in a fake AWS Batch."""

    def __init__(self, folder: Path, prices: Prices) -> None:
        self.batch: Any = FakeBatch()
        self.jobs = BatchJobs(self.batch, self.batch, self.batch, DEPLOYMENT)
        self.account = Account(self.jobs, prices)
        self.frozen = Run(LocalStorage(folder))
        self.submissions: list[BatchSubmission] = []

    def submit(self, job: str, folds: str, size: int, started: str | None = None) -> None:
        """A submission of one array."""
        self.batch.jobs[job] = {
            "jobId": job,
            "jobName": job,
            "jobQueue": "gpu",
            "status": "RUNNABLE",
        }
        self.batch.jobs[job]["arrayProperties"] = {"size": size, "statusSummary": {"RUNNABLE": size}}
        submission = BatchSubmission(
            host="h",
            pid=1,
            started=started or utc_now(),
            store="s",
            stack="s",
            region="r",
            study="tiny",
            token=f"token{len(self.submissions)}",
            jobs=(FoldJob(job=job, folds=folds),),
            whole=True,
        )
        claim(self.frozen, next_key(self.frozen), submission)
        self.submissions.append(submission)

    def beat(self, fold: int, *, machine: str | None = MACHINE, lost_steps: int = 0) -> None:
        """A fold's heartbeat, of 2 attempts that took two hours together."""
        beat = Heartbeat(
            fold=fold,
            attempt=2,
            host="h",
            pid=1,
            time=OLD,
            worked=OLD,
            phase="done",
            step=9,
            steps=9,
            loss=None,
            seconds_left=None,
            started=OLD,
            lost_steps=lost_steps,
            seconds={"total": 7200.0},
            machine=machine,
        )
        self.frozen.fold(fold).heartbeat.write(beat)

    def spent(self) -> Spent:
        """Until now."""
        return self.account.spent(self.frozen, self.submissions, self.account.children(self.submissions))


@pytest.fixture
def run(tmp_path: Path, prices: Prices) -> BilledRun:
    return BilledRun(tmp_path / "run", prices)


def test_attempts_cost_their_time_on_their_machine(run: BilledRun) -> None:
    run.submit("a", "5-7", 3)
    run.batch.children |= {
        "a:0": {"status": "SUCCEEDED", "attempts": [attempt(0, 1800, None, LOST), attempt(3600, 7200)]},
        "a:1": {"status": "RUNNING", "attempts": []} | attempt(time.time() - 3600, None, None),
    }
    run.beat(5, lost_steps=4)
    spent = run.spent()
    # 1.5 hours where it is known; an hour on what may be the dearest.
    assert spent.dollars == pytest.approx(1.5 * 0.2 + 0.5, rel=0.01)
    assert (spent.attempts, spent.interruptions, spent.lost_steps) == (3, 1, 4)


def test_earlier_submissions_cost_too(run: BilledRun) -> None:
    run.submit("a", "0-1", 2)
    run.submit("b", "2-3", 2)
    for child in ("a:0", "b:0"):
        run.batch.children[child] = {"status": "SUCCEEDED", "attempts": [attempt(0, 3600)]}
    assert run.spent().dollars == pytest.approx(2 * 0.5)


def test_folds_whose_jobs_are_forgotten_tell_their_time_themselves(run: BilledRun) -> None:
    run.submit("gone", "0-1", 2, started=OLD)
    del run.batch.jobs["gone"]
    run.beat(0)
    spent = run.spent()
    assert spent.dollars == pytest.approx(2 * 0.2)
    assert spent.attempts == 2


def test_what_is_forgotten_stays_spent_when_its_folds_are_submitted_again(run: BilledRun) -> None:
    run.submit("gone", "0-1", 2, started=OLD)
    del run.batch.jobs["gone"]
    run.beat(0)  # two hours at 0.2 USD, in two attempts
    run.submit("b", "0-1", 2)
    assert (run.spent().dollars, run.spent().attempts) == (pytest.approx(2 * 0.2), 2)
    run.batch.children["b:0"] = {"status": "SUCCEEDED", "attempts": [attempt(0, 3600)] * 3}
    run.batch.children["b:1"] = {"status": "SUCCEEDED", "attempts": [attempt(0, 3600)]}
    # Of fold 0 three attempts are known, which is more; of fold 1 one, on what may be the dearest machine.
    assert (run.spent().dollars, run.spent().attempts) == (pytest.approx(3 * 0.2 + 0.5), 4)


def test_an_attempt_that_ended_costs_nothing_after_its_end(run: BilledRun) -> None:
    """Of a lost machine AWS Batch may not say when it ended; of a second attempt, when the first did."""
    run.submit("a", "0-2", 3)
    lost = attempt(0, None, None, LOST)
    run.batch.children |= {
        "a:0": {"status": "FAILED", "attempts": [lost], "stoppedAt": 3600_000},
        "a:1": {"status": "FAILED", "attempts": [lost]},
        "a:2": {"status": "RUNNING", "attempts": [lost], "stoppedAt": 3600_000}
        | attempt(time.time() - 3600, None, None)
        | {"stoppedAt": 3600_000},
    }
    assert run.spent().dollars == pytest.approx((1 + 0 + 1 + 1) * 0.5, rel=1e-3)


def test_jobs_that_are_not_shown_yet_have_cost_nothing(run: BilledRun) -> None:
    run.submit("a", "0-1", 2)
    run.batch.hidden = True
    assert run.spent() == Spent(dollars=0)


def test_without_prices_the_sum_is_not_known(tmp_path: Path) -> None:
    client: Any = Refusing()
    run = BilledRun(tmp_path, Prices(client, client))
    run.submit("a", "0-1", 2)
    assert run.spent().dollars == 0
    run.batch.children["a:0"] = {"status": "SUCCEEDED", "attempts": [attempt(0, 3600)]}
    assert run.spent().dollars is None


def test_what_has_ended_is_asked_once(run: BilledRun) -> None:
    run.submit("a", "0-149", 150)
    run.batch.move("a", "SUCCEEDED")
    run.batch.children["a:7"]["status"] = "RUNNING"
    assert len(run.account.children(run.submissions)) == 150
    run.batch.described.clear()
    assert len(run.account.children(run.submissions)) == 150
    assert run.batch.described == [1]


@given(
    total=st.integers(1, 400),
    arms=st.integers(2, 9),
    done=st.sets(st.integers(0, 399)),
    usd=st.floats(0, 500),
)
def test_a_budget_pays_for_whole_comparisons_from_the_first(
    total: int, arms: int, done: set[int], usd: float
) -> None:
    folds = [fold for fold in range(total) if fold not in done]
    chosen = affordable(folds, arms=arms, usd_a_fold=1.5, usd=usd)
    assert chosen == folds[: len(chosen)]
    assert len(chosen) * 1.5 <= usd + 1e-9
    if len(chosen) < len(folds) and chosen and chosen[0] // arms != chosen[-1] // arms:
        assert chosen[-1] // arms != folds[len(chosen)] // arms  # no comparison is cut in two
    if len(chosen) < len(folds):
        assert (len(chosen) + arms) * 1.5 > usd


@pytest.mark.parametrize(
    ("change", "alive"),
    [
        ({"status": "RUNNING"}, True),
        ({"status": "PENDING"}, True),
        ({"status": "FAILED"}, False),
        ({"status": "SUCCEEDED"}, False),
    ],
)
def test_a_submission_lives_as_long_as_its_jobs(run: BilledRun, change: dict[str, str], alive: bool) -> None:
    run.submit("a", "0-1", 2)
    run.batch.jobs["a"] |= change
    assert lives(run.submissions, run.jobs) is alive


def test_a_submission_whose_jobs_are_not_shown_lives_at_first_and_not_for_ever(run: BilledRun) -> None:
    run.submit("a", "0-1", 2)
    run.batch.hidden = True
    assert lives(run.submissions, run.jobs)
    old = [submission.model_copy(update={"started": OLD}) for submission in run.submissions]
    assert not lives(old, run.jobs)
    broken_off = [submission.model_copy(update={"whole": False}) for submission in run.submissions]
    run.batch.hidden = False
    run.batch.move("a", "SUCCEEDED")
    assert lives(broken_off, run.jobs)
    assert not lives([broken_off[0].model_copy(update={"started": OLD})], run.jobs)
    assert not lives(run.submissions, run.jobs)
    assert not lives([], run.jobs)


@pytest.fixture
def watch(run: BilledRun, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Watches a run of 5 folds, at whose jobs something happens after each look."""
    run.submit("a", "0-4", 5)

    def start(limit_usd: float, *happenings: Any) -> tuple[list[str], str]:
        left = list(happenings)

        def sleep(_: float) -> None:
            left.pop(0)()

        monkeypatch.setattr(
            budget, "time", type("Clock", (), {"sleep": staticmethod(sleep), "monotonic": lambda: 0.0})
        )
        shown = io.StringIO()
        told = follow(
            Watch(
                run=run.frozen,
                jobs=run.jobs,
                account=run.account,
                limit_usd=limit_usd,
                console=Console(file=shown, width=200),
            )
        )
        assert not left, "the watch ended before"
        return told.lines, shown.getvalue()

    return start


def test_a_watch_that_is_not_answered_says_so_and_ends_after_an_hour(
    run: BilledRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a sign-in has ended, which the storage takes for what may pass."""
    run.submit("a", "0-4", 5)
    clock = [0.0]

    def sleep(_: float) -> None:
        clock[0] += 600

    def expired(_: object) -> None:
        raise OSError(errno.EIO, "the credentials have expired")

    monkeypatch.setattr(
        budget, "time", type("Clock", (), {"sleep": staticmethod(sleep), "monotonic": lambda: clock[0]})
    )
    monkeypatch.setattr(budget, "batch_submissions", expired)
    shown = io.StringIO()
    console = Console(file=shown, width=300)
    told = follow(Watch(run=run.frozen, jobs=run.jobs, account=run.account, limit_usd=1, console=console))
    assert told.code == 75
    assert "no longer watched, and the jobs go on: no answer for 1:00:00" in told.lines[0]
    assert [line.split(",")[0] for line in shown.getvalue().splitlines()] == [
        f"no answer for {minutes} minutes" for minutes in range(0, 60, 10)
    ]


def test_a_spent_budget_ends_the_jobs_though_some_are_forgotten(run: BilledRun) -> None:
    run.submit("gone", "0-1", 2, started=OLD)
    del run.batch.jobs["gone"]
    run.submit("a", "2-3", 2)
    run.batch.children["a:0"] = {"status": "SUCCEEDED", "attempts": [attempt(0, 36_000)]}
    console = Console(file=io.StringIO())
    watch = Watch(run=run.frozen, jobs=run.jobs, account=run.account, limit_usd=1, console=console)
    assert "the budget of 1.00 USD is spent" in follow(watch).lines[0]
    assert run.batch.jobs["a"]["status"] == "FAILED"


def hour(run: BilledRun, fold: int) -> None:
    """A fold trains for an hour: half a dollar."""
    run.batch.children[f"a:{fold}"] = {"status": "SUCCEEDED", "attempts": [attempt(0, 3600)]}


def test_jobs_are_watched_to_their_end_if_the_budget_suffices(run: BilledRun, watch: Any) -> None:
    def finish() -> None:
        hour(run, 1)
        run.batch.move("a", "SUCCEEDED")

    told, shown = watch(2.0, lambda: hour(run, 0), finish)
    assert told == [
        f"5 of 5 {WELL}; about 1.00 USD of 2.00 USD",
        ENDED,
    ]
    assert "about 0.5 USD of 2.00 USD" in shown
    assert run.batch.jobs["a"]["status"] == "SUCCEEDED"


def test_all_jobs_are_ended_when_the_budget_is_spent(run: BilledRun, watch: Any) -> None:
    told, _ = watch(1.0, lambda: hour(run, 0), lambda: hour(run, 1))
    assert told[0].startswith("the budget of 1.00 USD is spent (about 1.00 USD): 5 jobs ended early")
    assert run.batch.jobs["a"]["status"] == "FAILED"
    assert run.batch.jobs["a"]["statusReason"] == "ended by submit: the budget is spent"


def test_the_watch_goes_on_when_aws_does_not_answer_or_shows_nothing(run: BilledRun, watch: Any) -> None:
    real = run.batch.describe_jobs

    def busy(**_: Any) -> Any:
        raise OSError("throttled")

    def quiet() -> None:
        run.batch.describe_jobs = real
        run.batch.hidden = True

    def shown() -> None:
        run.batch.hidden = False
        run.batch.move("a", "SUCCEEDED")

    told, said = watch(1.0, lambda: setattr(run.batch, "describe_jobs", busy), quiet, shown)
    assert told[-1] == ENDED
    assert "no answer for 0 minutes, looking again: throttled" in said


@pytest.mark.parametrize(("state", "code"), [("SUCCEEDED", 0), ("FAILED", 1)])
def test_a_watch_ends_with_1_if_folds_failed(run: BilledRun, state: str, code: int) -> None:
    run.submit("a", "0-4", 5)
    run.batch.move("a", state)
    console = Console(file=io.StringIO())
    watch = Watch(run=run.frozen, jobs=run.jobs, account=run.account, limit_usd=1, console=console)
    assert follow(watch).code == code


def test_ctrl_c_ends_the_watch_and_not_the_jobs(run: BilledRun, watch: Any) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    (told,), _ = watch(1.0, interrupt)
    assert "no longer watched, and the jobs go on" in told
    assert run.batch.jobs["a"]["status"] == "RUNNABLE"


def test_a_budget_without_prices_is_refused_and_not_taken_for_kept(tmp_path: Path) -> None:
    client: Any = Refusing()
    run = BilledRun(tmp_path, Prices(client, client))
    run.submit("a", "0-4", 5)
    hour(run, 0)
    watch = Watch(
        run=run.frozen, jobs=run.jobs, account=run.account, limit_usd=1, console=Console(file=io.StringIO())
    )
    with pytest.raises(StudyError, match=r"no price of g4dn\.xlarge \(spot\): .*Unauthorized"):
        follow(watch)
