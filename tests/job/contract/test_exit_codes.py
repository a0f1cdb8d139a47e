import signal

import pytest

from job.contract.exit_codes import ATTEMPTS, ExitCode, attempts_allowed


def test_the_numbers_are_those_of_the_design() -> None:
    assert {code.name: code.value for code in ExitCode} == {
        "DONE": 0,
        "USAGE": 64,
        "DATA": 65,
        "GIVEN_UP": 69,
        "BUG": 70,
        "TEMPORARY": 75,
        "STOPPED": 143,
    }


def test_every_code_says_how_often_a_fold_is_started() -> None:
    assert set(ATTEMPTS) == set(ExitCode)


@pytest.mark.parametrize(("code", "attempts"), [(0, 1), (64, 1), (65, 1), (70, 2), (75, 5), (143, 10)])
def test_what_cannot_help_is_not_tried_again_and_what_may_pass_is(code: int, attempts: int) -> None:
    assert attempts_allowed(code) == attempts


@pytest.mark.parametrize("code", [-signal.SIGKILL, -signal.SIGTERM, -signal.SIGSEGV, 137, 139, 1, 2, 255])
def test_a_worker_that_was_killed_or_crashed_is_tried_three_times(code: int) -> None:
    assert attempts_allowed(code) == 3
