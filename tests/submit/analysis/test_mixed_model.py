"""The mixed model, and what is done where it cannot be fitted."""

import numpy as np
import pytest
from pandas import DataFrame, concat
from scipy import stats

from submit.analysis import mixed_model as module
from submit.analysis.mixed_model import EXAMS_WITHIN_PATIENTS, MARGINAL, PATIENTS, mixed_model
from submit.analysis.pairing import by_arm
from tests.submit.analysis.tables import ARMS, Test, table


def simulated(patients: int, visits: int, *, seed: int = 0, of_patients: float = 0.8) -> DataFrame:
    """Dice on the logit scale: 1 + patient + exam + noise; arm `without a` loses 0.5."""
    draw = np.random.default_rng(seed)
    tests: list[Test] = []
    for patient in range(patients):
        own = draw.normal(0, of_patients)
        for visit in range(visits):
            exam = draw.normal(0, 0.5)
            for arm in ARMS:
                value = 1 + own + exam + draw.normal(0, 0.1) - 0.5 * (arm == "without a")
                tests.append((f"p{patient}", f"e{patient}.{visit}", 0, arm, 1 / (1 + np.exp(-value))))
    return by_arm(table(tests), "tumour", "dice")


def test_contrasts_are_what_was_planted_on_the_logit_scale() -> None:
    found = mixed_model(simulated(30, 2), "dice")
    assert found is not None
    assert (found.name, found.scale, found.not_fitted) == (EXAMS_WITHIN_PATIENTS, "log odds", {})
    a, b = found.contrasts
    assert (a.arm, b.arm) == ("without a", "without b")
    assert a.low < -0.5 < a.high
    assert b.low < 0 < b.high
    assert a.p < 1e-6
    assert b.p > 0.01


def test_of_complete_data_a_contrast_is_the_mean_paired_difference() -> None:
    tests = simulated(12, 1)
    found = mixed_model(tests, "dice")
    assert found is not None
    assert found.name == PATIENTS
    count = tests.size
    squeezed = (tests * (count - 1) + 0.5) / count
    logit = np.log(squeezed / (1 - squeezed))
    paired = (logit["without a"] - logit["reference"]).mean()
    assert found.contrasts[0].estimate == pytest.approx(paired, abs=1e-4)


def test_an_estimate_is_held_against_t_with_one_degree_of_freedom_less_than_patients() -> None:
    """Of complete data the error is that of a two-way table: sqrt(2 MSE / patients)."""
    tests = simulated(5, 1)
    found = mixed_model(tests, "dice")
    assert found is not None
    squeezed = (tests * (tests.size - 1) + 0.5) / tests.size
    logit = np.log(squeezed / (1 - squeezed)).to_numpy()
    residuals = logit - logit.mean(axis=0) - logit.mean(axis=1, keepdims=True) + logit.mean()
    error = np.sqrt(2 * (residuals**2).sum() / (4 * 2) / 5)
    b = found.contrasts[1]
    assert found.degrees_of_freedom == 4
    assert b.error == pytest.approx(error, rel=1e-4)
    assert (b.low, b.high) == (
        pytest.approx(b.estimate - 2.776445 * error, rel=1e-3),  # t(0.975; 4)
        pytest.approx(b.estimate + 2.776445 * error, rel=1e-3),
    )
    assert b.p == pytest.approx(2 * stats.t.sf(abs(b.estimate) / error, 4), rel=1e-3)


def test_visits_add_no_degrees_of_freedom() -> None:
    found = mixed_model(simulated(30, 2), "dice")
    assert found is not None
    assert (found.name, found.degrees_of_freedom) == (EXAMS_WITHIN_PATIENTS, 29)


def test_a_dice_of_0_or_1_has_a_place_on_the_scale() -> None:
    tests = simulated(10, 1)
    tests.iloc[0, 0], tests.iloc[1, 1] = 0.0, 1.0
    found = mixed_model(tests, "dice")
    assert found is not None
    assert all(np.isfinite([each.low, each.high]).all() for each in found.contrasts)


def test_where_patients_do_not_differ_the_marginal_model_is_named_with_the_reason() -> None:
    draw = np.random.default_rng(3)
    values = draw.normal(1, 0.5, (8, 3))
    values -= values.mean(axis=1, keepdims=True)  # less between patients than by chance: at the edge
    tests = simulated(8, 1)
    tests[:] = 1 / (1 + np.exp(-values))
    found = mixed_model(tests, "dice")
    assert found is not None
    assert found.name == MARGINAL
    assert set(found.not_fitted) == {PATIENTS}
    assert all(found.not_fitted.values())


def test_distances_are_on_a_logarithmic_scale() -> None:
    tests = simulated(10, 1) * 20
    found = mixed_model(tests, "hd95_mm")
    assert found is not None
    assert found.scale == "log(1 + x)"


def test_too_much_for_a_likelihood_is_fitted_marginally_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_OBSERVATIONS", 10)
    found = mixed_model(simulated(10, 1), "dice")
    assert found is not None
    assert found.name == MARGINAL
    assert found.not_fitted == {PATIENTS: "30 observations are more than 10"}


def test_two_patients_or_one_arm_have_no_model() -> None:
    assert mixed_model(simulated(2, 2), "dice") is None
    assert mixed_model(simulated(9, 1)[["reference"]], "dice") is None
    assert mixed_model(simulated(9, 1)[["without a"]], "dice") is None


def test_repeats_are_averaged_within_an_exam() -> None:
    tests = simulated(12, 1)
    twice = concat([tests + 0.01, tests.rename(index={0: 1}, level="repeat") - 0.01])
    count = twice.size
    logit = np.log((one := (twice * (count - 1) + 0.5) / count) / (1 - one))
    paired = (logit["without a"] - logit["reference"]).mean()
    found = mixed_model(twice, "dice")
    assert found is not None
    assert found.contrasts[0].estimate == pytest.approx(paired, abs=1e-4)
    alone = mixed_model(tests + 0.01, "dice")
    assert alone is not None
    assert alone.contrasts[0].estimate != pytest.approx(paired, abs=1e-4)


def test_a_patient_who_reacts_does_not_count_for_each_visit() -> None:
    """Ten patients of five visits react differently: the error is that of ten, not of fifty."""
    draw = np.random.default_rng(0)
    tests: list[Test] = []
    for patient in range(10):
        own, reacts = draw.normal(0, 0.8), dict(zip(ARMS, draw.normal(0, 0.5, len(ARMS)), strict=True))
        for visit in range(5):
            exam = draw.normal(0, 0.5)
            for arm in ARMS:
                value = 1 + own + exam + reacts[arm] + draw.normal(0, 0.1)
                tests.append((f"p{patient}", f"e{patient}.{visit}", 0, arm, 1 / (1 + np.exp(-value))))
    found = mixed_model(by_arm(table(tests), "tumour", "dice"), "dice")
    assert found is not None
    assert found.name == EXAMS_WITHIN_PATIENTS
    assert found.contrasts[0].error == pytest.approx(0.5 * (2 / 10) ** 0.5, rel=0.4)
    assert found.degrees_of_freedom == 9


def test_where_nothing_can_be_fitted_the_reasons_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, rows: DataFrame, arms: list[str]) -> None:
        raise module.NotFittedError(f"not {name}")

    monkeypatch.setattr(module, "_fit", refuse)
    found = mixed_model(simulated(6, 1), "dice")
    assert found is not None
    assert (found.name, found.contrasts) == (None, ())
    assert found.not_fitted == {PATIENTS: f"not {PATIENTS}", MARGINAL: f"not {MARGINAL}"}
