from collections.abc import Sequence
from typing import Any

import pytest

from infra import retries
from infra.retries import MAX_ATTEMPTS, attempts, retry_rules
from job.contract import exit_codes
from job.contract.exit_codes import ATTEMPTS, ATTEMPTS_AFTER_KILL, ExitCode, attempts_allowed


def tried_again(
    rules: Sequence[dict[str, Any]],
    *,
    exit_code: int | None,
    reason: str = "",
    status_reason: str = "Essential container in task exited",
) -> bool:
    """AWS Batch's evaluateOnExit: the first rule all of whose conditions match; without one, the job is retried."""
    ended = {
        "OnExitCode": None if exit_code is None else str(exit_code),
        "OnReason": reason,
        "OnStatusReason": status_reason,
    }
    for rule in rules:
        conditions = {key: value for key, value in rule.items() if key != "Action"}
        if all(_matches(pattern, ended[key]) for key, pattern in conditions.items()):
            return bool(rule["Action"].upper() == "RETRY")
    return True


def _matches(pattern: str, text: str | None) -> bool:
    if text is None:
        return False
    return text.startswith(pattern[:-1]) if pattern.endswith("*") else text == pattern


@pytest.fixture(scope="session")
def strategies(default: Any) -> list[dict[str, Any]]:
    """The retry strategies of all job definitions, as AWS gets them."""
    definitions = default.resources("AWS::Batch::JobDefinition").values()
    return [definition["RetryStrategy"] for definition in definitions]


def test_a_fold_is_tried_again_if_its_exit_code_allows_it(folds: list[Any]) -> None:
    for strategy in folds:
        rules = strategy["EvaluateOnExit"]
        tried = {code for code in range(1, 256) if tried_again(rules, exit_code=code)}
        assert tried == {code for code in range(1, 256) if attempts_allowed(code) > 1}
        assert tried >= {70, 75, 137, 143}
        assert not tried & {64, 65, 69}


def test_what_does_not_count_its_ends_is_tried_again_only_after_what_passes(
    folds: list[Any], strategies: list[Any]
) -> None:
    others = [strategy for strategy in strategies if strategy not in folds]
    assert len(others) == 2
    for strategy in others:
        rules = strategy["EvaluateOnExit"]
        assert {code for code in range(1, 256) if tried_again(rules, exit_code=code)} == {75, 143}


@pytest.fixture(scope="session")
def folds(default: Any) -> list[dict[str, Any]]:
    """Those of folds."""
    return [
        definition["RetryStrategy"]
        for name, definition in default.job_definitions().items()
        if name.endswith("-fold")
    ]


@pytest.mark.parametrize("code", [None, 0, 64, 65, 137, 143])
def test_a_job_whose_machine_was_taken_is_tried_again(strategies: list[Any], code: int | None) -> None:
    for strategy in strategies:
        assert tried_again(
            strategy["EvaluateOnExit"],
            exit_code=code,
            status_reason="Host EC2 (instance i-0123456789abcdef0) terminated.",
        )


def test_a_fold_killed_for_memory_is_tried_again(folds: list[Any]) -> None:
    for strategy in folds:
        assert tried_again(
            strategy["EvaluateOnExit"],
            exit_code=137,
            reason="OutOfMemoryError: Container killed due to memory usage",
        )


def test_a_container_that_could_not_be_started_is_not_tried_again(strategies: list[Any]) -> None:
    for strategy in strategies:
        assert not tried_again(
            strategy["EvaluateOnExit"],
            exit_code=None,
            reason="CannotStartContainerError: no such runtime",
            status_reason="Task failed to start",
        )


def test_an_image_that_could_not_be_pulled_is_pulled_again(strategies: list[Any]) -> None:
    for strategy in strategies:
        assert tried_again(
            strategy["EvaluateOnExit"],
            exit_code=None,
            reason="CannotPullContainerError: Error response from daemon: i/o timeout",
            status_reason="Task failed to start",
        )


def test_the_rules_are_as_many_as_aws_batch_takes(strategies: list[Any]) -> None:
    assert len(strategies) == 3
    for strategy in strategies:
        assert 1 <= strategy["Attempts"] <= MAX_ATTEMPTS
        assert len(strategy["EvaluateOnExit"]) <= 5
        assert strategy["EvaluateOnExit"][-1] == {"Action": "EXIT", "OnReason": "*"}


def test_attempts_are_enough_for_the_code_that_has_most() -> None:
    assert attempts() == max(*ATTEMPTS.values(), ATTEMPTS_AFTER_KILL) == 10


def test_a_final_code_that_no_rule_covers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(exit_codes.ATTEMPTS, ExitCode.BUG, 1)
    with pytest.raises(ValueError, match=r"retried unless they begin with 6"):
        retry_rules(counts=True)


def test_a_contract_without_retries_after_a_kill_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "ATTEMPTS_AFTER_KILL", 1)
    with pytest.raises(ValueError, match="retried unless they begin with 6"):
        retry_rules(counts=True)
