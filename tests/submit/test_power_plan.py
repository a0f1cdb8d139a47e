"""What a study can find, before it runs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from job.contract.errors import StudyError
from job.contract.manifest import ExamEntry, Manifest
from job.storage import LocalStorage
from job.study_file import load_study, parse_study
from submit.analysis.power import detectable, patients_needed
from submit.power_plan import Spread, plan_power, show_plan
from tests.submit.conftest import STUDY

COHORT = STUDY["cohort"]


@pytest.fixture
def study_file(tmp_path: Path) -> Path:
    """A study of 12 patients, the first with two exams; the files are looked at by name only."""
    for patient in range(12):
        for visit in range(1 + (patient == 0)):
            for name in ("t2", "t1", "label"):
                file = tmp_path / f"cohort/p{patient:02}/v{visit}/{name}.nii.gz"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.touch()
    file = tmp_path / "study.toml"
    file.write_text(
        'name = "small"\npreset = "smoke"\n[cohort]\nroot = "cohort"\nchannels = ["t2", "t1"]\n'
        'pattern = "{patient}/{exam}/{channel}.nii.gz"\nlabels = "{patient}/{exam}/label.nii.gz"\n'
        "classes = { tumour = 1 }\n"
    )
    return file


def planned(study_file: Path, capsys: pytest.CaptureFixture[str], **options: Any) -> dict[str, Any]:
    show_plan(study_file, as_json=True, **{"sd": None, "noise_sd": None, "icc": 0.5} | options)
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_stated_spread_gives_the_smallest_loss_by_repeats(
    study_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = planned(study_file, capsys, sd=0.1, noise_sd=0.05)
    assert (plan["patients"], plan["exams"], plan["arms"]) == (12, 13, 2)
    of_patients = (0.1**2 * (11 + 0.75) / 12) ** 0.5
    noise = 2 * 0.05**2 * (11 + 0.5) / 12
    assert plan["spread"]["sd"] == pytest.approx(of_patients)
    lines = {line["repeats"]: line for line in plan["lines"]}
    assert list(lines) == [1, 2, 3, 5, 10]
    assert lines[1]["one_arm"] == [pytest.approx(detectable(of_patients, 12))]
    three = (of_patients**2 - noise + noise / 3) ** 0.5
    assert lines[3]["all_arms"] == [pytest.approx(detectable(three, 12, alpha=0.025))]


def test_where_the_noise_is_not_known_its_bounds_are_given(
    study_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = planned(study_file, capsys, sd=0.1)
    assert plan["shares"] == [0.0, 0.5, 1.0]
    none, half, all_ = plan["lines"][-1]["one_arm"]
    assert none > half > all_
    assert all_ == pytest.approx(none / 10**0.5)
    assert len(set(plan["lines"][0]["one_arm"])) == 1


def test_without_a_statement_the_reference_group_s_spread_counts(
    study_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    show_plan(study_file, sd=None, noise_sd=None, icc=1.0, as_json=False)
    told = capsys.readouterr().out
    assert (
        "SD of the patients' differences 0.107: 0.107 in one exam (found by the reference study's group"
        in told
    )
    assert "1 (study)" in told
    exact = patients_needed(0.02, 0.107, alpha=0.025)
    assert exact is not None
    assert 270 < exact <= 280
    assert (
        "To tell a loss of the margin, 0.020, from none, with that power in all arms and 1 repeat, would take about "
        "280 patients (300 exams)." in told
    )


def test_too_few_patients_find_nothing() -> None:
    study = parse_study(STUDY, source="study.toml")
    spread = Spread(sd=0.1, noise_variance=0.0, repeats=1, source="s")
    five, six = (plan_power(study, [1] * n, spread).lines[0] for n in (5, 6))
    assert (five.one_arm, five.all_arms) == ((None,), (None,))
    assert None not in (*six.one_arm, *six.all_arms)


def test_structures_of_the_endpoint_share_the_level_with_the_arms() -> None:
    cohort = {**COHORT, "classes": {"tumour": 1, "node": 2}}
    spread = Spread(sd=0.1, noise_variance=0.0, repeats=1, source="s")
    of = {
        structure: plan_power(
            parse_study(
                STUDY | {"cohort": cohort, "sweep": {"endpoint": {"class": structure}}}, source="study.toml"
            ),
            [1] * 12,
            spread,
        )
        for structure in ("tumour", ("tumour", "node"))
    }
    one, both = of.values()
    assert both.endpoint == "Dice of tumour and node"
    assert one.lines[0].one_arm == both.lines[0].one_arm
    assert one.lines[0].all_arms == (detectable(0.1, 12, alpha=0.05 / 2),)
    assert both.lines[0].all_arms == (detectable(0.1, 12, alpha=0.05 / 4),)
    assert both.patients_for_margin == patients_needed(0.02, 0.1, alpha=0.05 / 4)


def test_few_patients_must_rule_the_margin_out_at_a_sharper_level() -> None:
    """Ten of a small spread show a loss of 0.02; to rule it out takes more."""
    study = parse_study(STUDY, source="study.toml")
    plan = plan_power(study, [1] * 12, Spread(sd=0.01, noise_variance=0.0, repeats=1, source="s"))
    shown = patients_needed(0.02, 0.01, alpha=0.025)
    assert shown is not None
    assert plan.patients_for_margin is not None
    assert shown < plan.patients_for_margin < 36


def run_of(study_file: Path) -> tuple[Manifest, LocalStorage]:
    """A run of the study's 12 first visits, without a result."""
    exams = [(f"p{n:02}", f"p{n:02}/v0") for n in range(12)]
    manifest = Manifest.freeze(
        load_study(study_file),
        exams=tuple(ExamEntry(patient=p, exam=e, digest="0" * 64) for p, e in exams),
        recipe="r",
        created="2026-01-01T00:00:00+00:00",
        code_version="0.1.0",
    )
    run = LocalStorage(study_file.parent / "runs" / manifest.run)
    run.write("manifest.json", manifest.to_json())
    return manifest, run


def test_a_run_that_measured_the_spread_is_gone_by(
    study_file: Path,
    capsys: pytest.CaptureFixture[str],
    make_result: Callable[..., Any],
    score: Callable[..., Any],
) -> None:
    manifest, run = run_of(study_file)
    for fold in range(36):
        exam, arm = divmod(fold, 3)
        dice = 0.7 - (0.01 * exam if arm else 0.0)
        run.write(f"folds/{fold}/result.json", make_result(manifest, fold, {"tumour": score(dice)}).to_json())
    plan = planned(study_file, capsys)
    sd = 0.01 * (143 / 12) ** 0.5  # of 0, 0.01, …, 0.11: variance 0.01^2 (12^2 - 1) / 12 x 12 / 11
    assert plan["spread"]["sd"] == pytest.approx(sd * (12 / 11) ** 0.5)
    assert plan["spread"]["source"].startswith(f"measured in {manifest.run}, 12 patients")
    assert planned(study_file, capsys, sd=0.3)["spread"]["source"].startswith("0.300 in one exam (stated)")
    stated_noise = planned(study_file, capsys, noise_sd=0.01)["spread"]
    assert stated_noise["sd"] == plan["spread"]["sd"]
    assert stated_noise["noise_variance"] == pytest.approx(2 * 0.01**2 * (11 + 0.5) / 12)
    text = study_file.read_text()
    study_file.write_text(text + '[sweep]\nendpoint = { class = "tumour", metric = "hd95_mm" }\n')
    with pytest.raises(StudyError, match="SD of differences in HD95 is not known"):  # the run's is of Dice
        planned(study_file, capsys)


def test_a_distance_has_no_spread_to_go_by(study_file: Path) -> None:
    study_file.write_text(
        study_file.read_text() + '[sweep]\nendpoint = { class = "tumour", metric = "hd95_mm" }\n'
    )
    with pytest.raises(
        StudyError, match="SD of differences in HD95 is not known before a run with these arms"
    ):
        show_plan(study_file, sd=None, noise_sd=None, icc=0.5, as_json=False)


@pytest.mark.parametrize("sd", [0.0, float("inf"), float("nan")])
def test_what_is_no_spread_is_refused(study_file: Path, sd: float) -> None:
    with pytest.raises(StudyError, match="is no spread; state one above 0"):
        show_plan(study_file, sd=sd, noise_sd=None, icc=0.5, as_json=False)


def test_a_noise_above_the_spread_is_refused(study_file: Path) -> None:
    with pytest.raises(StudyError, match=r"--noise-sd alone gives differences an SD of 0\.277, above"):
        show_plan(study_file, sd=0.1, noise_sd=0.2, icc=0.5, as_json=False)


def measured_run(
    study_file: Path, make_result: Callable[..., Any], score: Callable[..., Any], sweep: str
) -> Manifest:
    """A run of the study's 12 first visits, in which arms and repeats scatter."""
    study_file.write_text(study_file.read_text() + sweep)
    manifest, run = run_of(study_file)
    draw = np.random.default_rng(0)
    for fold in range(manifest.folds):
        own = score(0.7 + draw.normal(0, 0.03), hd95_mm=10 + draw.normal(0, 1))
        run.write(f"folds/{fold}/result.json", make_result(manifest, fold, {"tumour": own}).to_json())
    return manifest


def test_a_run_of_two_repeats_tells_what_three_would_do(
    study_file: Path,
    capsys: pytest.CaptureFixture[str],
    make_result: Callable[..., Any],
    score: Callable[..., Any],
) -> None:
    """Nothing but retraining scatters: the noise is all of the variance, and repeats divide it."""
    measured_run(study_file, make_result, score, "[sweep]\nrepeats = 2\n")
    plan = planned(study_file, capsys)
    assert plan["spread"]["repeats"] == 2
    assert plan["spread"]["noise_variance"] <= plan["spread"]["sd"] ** 2
    between = plan["spread"]["sd"] ** 2 - plan["spread"]["noise_variance"]
    lines = {line["repeats"]: line["one_arm"][0] for line in plan["lines"]}
    for repeats in (1, 2, 3):
        sd = (between + plan["spread"]["noise_variance"] * 2 / repeats) ** 0.5
        assert lines[repeats] == pytest.approx(detectable(sd, 12))
    stated = planned(study_file, capsys, noise_sd=0.01)["spread"]["noise_variance"]
    assert stated == pytest.approx(2 * 0.01**2 * (11 + 0.5) / 12 / 2)


def test_a_run_tells_the_spread_of_other_endpoints_too(
    study_file: Path,
    capsys: pytest.CaptureFixture[str],
    make_result: Callable[..., Any],
    score: Callable[..., Any],
) -> None:
    manifest = measured_run(study_file, make_result, score, "")
    dice = planned(study_file, capsys)["spread"]
    text = study_file.read_text()
    study_file.write_text(text + '[sweep]\nendpoint = { class = "tumour", metric = "hd95_mm" }\n')
    distance = planned(study_file, capsys)["spread"]
    assert distance["source"].startswith(f"measured in {manifest.run}, 12 patients")
    assert distance["sd"] > 10 * dice["sd"]


@pytest.mark.parametrize(
    ("left", "reason"),
    [(4 * 3, "has 4 patients with a pair so far; 5"), (5 * 3, None)],
)
def test_a_run_that_tells_too_little_is_named(
    study_file: Path,
    capsys: pytest.CaptureFixture[str],
    make_result: Callable[..., Any],
    score: Callable[..., Any],
    left: int,
    reason: str | None,
) -> None:
    manifest = measured_run(study_file, make_result, score, "")
    run = LocalStorage(study_file.parent / "runs" / manifest.run)
    for fold in range(left, manifest.folds):
        run.delete(f"folds/{fold}/result.json")
    show_plan(study_file, sd=None, noise_sd=None, icc=0.5, as_json=False)
    told = capsys.readouterr()
    if reason is None:
        assert f"measured in {manifest.run} (15 of 36 folds), 5 patients" in told.out
    else:
        assert f"note: {manifest.run} {reason}" in told.err
        assert "found by the reference study's group" in told.out


def test_a_run_with_other_arms_is_not_gone_by(
    study_file: Path,
    capsys: pytest.CaptureFixture[str],
    make_result: Callable[..., Any],
    score: Callable[..., Any],
) -> None:
    manifest = measured_run(study_file, make_result, score, "")
    study_file.write_text(study_file.read_text() + '[sweep]\nleave_out = "only-one-in"\n')
    show_plan(study_file, sd=None, noise_sd=None, icc=0.5, as_json=False)
    assert f"{manifest.run} has other arms or classes" in capsys.readouterr().err


def test_one_training_for_all_visits_has_its_noise_once(
    study_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    by_exam = planned(study_file, capsys, sd=0.1, noise_sd=0.02)["spread"]["noise_variance"]
    study_file.write_text(study_file.read_text() + '[sweep]\ntest_unit = "patient"\n')
    by_patient = planned(study_file, capsys, sd=0.1, noise_sd=0.02)["spread"]["noise_variance"]
    assert by_exam == pytest.approx(2 * 0.02**2 * (11 + 0.5) / 12)
    assert by_patient == pytest.approx(2 * 0.02**2)
