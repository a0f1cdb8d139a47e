import time

import pytest
import torch

from job.training.clock import PhaseClock


def test_a_phase_is_counted_each_time_and_what_is_in_no_phase_is_idle() -> None:
    clock = PhaseClock(torch.device("cpu"))
    for _ in range(2):
        with clock.phase("sample"):
            time.sleep(0.02)
    time.sleep(0.02)
    seconds = clock.seconds()
    assert seconds["sample"] >= 0.04
    assert seconds["idle"] >= 0.02
    assert seconds["total"] == pytest.approx(seconds["sample"] + seconds["idle"], abs=0.002)


def test_what_earlier_attempts_took_is_added_phase_by_phase() -> None:
    clock = PhaseClock(torch.device("cpu"))
    clock.add_earlier({"load": 200.0, "forward": 300.0, "idle": 500.0, "total": 1000.0})
    with clock.phase("load"):
        time.sleep(0.01)
    seconds = clock.seconds()
    assert seconds["load"] == pytest.approx(200, abs=100)
    assert seconds["load"] > 200
    assert seconds["forward"] == 300
    assert seconds["idle"] == pytest.approx(500, abs=100)
    assert seconds["total"] == pytest.approx(1000, abs=100)
