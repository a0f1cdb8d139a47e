import pytest

from job.contract.study import Training
from job.training.schedule import learning_rate


def training(**changes: object) -> Training:
    return Training.model_validate(
        {"steps": 100, "segment_shape": (9, 9, 9), "learning_rate": 0.01, **changes}
    )


def test_a_constant_rate_stays() -> None:
    assert {learning_rate(step, training(schedule="constant")) for step in range(100)} == {0.01}


def test_halving_happens_at_the_given_fractions() -> None:
    settings = training(schedule="halve", halve_at=(0.5, 0.75))
    assert [learning_rate(step, settings) for step in (0, 49, 50, 74, 75, 99)] == [
        0.01,
        0.01,
        0.005,
        0.005,
        0.0025,
        0.0025,
    ]


def test_the_polynomial_schedule_by_hand() -> None:
    settings = training(schedule="poly")
    assert learning_rate(0, settings) == 0.01
    assert learning_rate(50, settings) == pytest.approx(0.01 * 0.5**0.9)
    assert 0 < learning_rate(99, settings) < 0.0002
