import json
from io import BytesIO

import pandas
import pytest

from job.contract import layout
from job.contract.results import Failure
from submit.analysis.analysis import Analysis
from submit.analysis.results_table import SCORE_COLUMNS
from submit.analysis.wording import number, percent
from submit.report.montage import ExamMontage, Montages
from submit.report.pages import write_report


def test_the_report_is_a_page_tables_and_figures(storage, make_manifest, write_dice, report_of):
    manifest = make_manifest()
    write_dice(manifest, {0: 0.8, 1: 0.7, 2: None})
    report = report_of(manifest)
    results = report.results

    write_report(storage, report)

    names = [entry.key.removeprefix("analysis/") for entry in storage.list("analysis/")]
    figures = ["arms", "folds", "forest", "slopes", "statuses", "time", "volume"]
    assert names == sorted(
        [
            *(f"figure-{figure}.{kind}" for figure in figures for kind in ("svg", "pdf")),
            *("figure-arms.png", "figure-folds.png"),
            *("arms.csv", "comparisons.csv", "patients.csv", "results.csv", "results.parquet"),
            *("report.html", "report.json", "verdict.json"),
        ]
    )
    assert storage.read("analysis/report.json") == report.aggregate.to_json()
    assert Analysis.model_validate_json(storage.read("analysis/verdict.json")) == report.analysis
    parquet = pandas.read_parquet(BytesIO(storage.read("analysis/results.parquet")))
    assert dict(parquet.dtypes.astype(str)) == SCORE_COLUMNS
    pandas.testing.assert_frame_equal(parquet, results.table)
    rows = storage.read("analysis/results.csv").decode().splitlines()
    assert rows[0] == ",".join(SCORE_COLUMNS)
    assert rows[3] == "2,without t1,t1,0,exam0,patient0,tumour,both-empty,,,0.0,0.0,0.0,60.0"


def test_the_table_of_arms_says_what_the_json_says(storage, make_manifest, write_dice, written):
    manifest = make_manifest()
    write_dice(manifest, {0: 0.8, 1: 0.6, 4: None})
    written(manifest)

    table = pandas.read_csv(BytesIO(storage.read("analysis/arms.csv")))
    told = json.loads(storage.read("analysis/report.json"))

    assert len(table) == 3 * 3  # arms x metrics, of one structure
    row = table[(table["arm"] == "without t2") & (table["metric"] == "dice")].iloc[0]
    assert (row["tests"], row["n"], row["mean"], row["ok"], row["both-empty"]) == (2, 1, 0.6, 1, 1)
    difference = told["arms"][1]["difference"]["tumour"]["dice"]
    assert row["difference"] == pytest.approx(difference["mean"])
    assert row["relative_difference"] == pytest.approx(-0.25)
    assert row["pairs"] == 1


def test_the_page_gives_the_primary_endpoint_by_arm(make_manifest, write_dice, written):
    manifest = make_manifest()
    write_dice(manifest, {0: 0.8, 3: 0.6, 1: 0.6, 4: 0.6})

    page = written(manifest)

    assert page.says("Primary endpoint: Dice of tumour")
    # Arm, n, mean ± SD, median, and the counts of statuses.
    assert page.says("reference 2 of 2 0.700 ± 0.141 0.700 2 0 0 0")
    assert page.says("without t2 2 of 2 0.600 ± 0.000 0.600 2 0 0 0")
    assert page.says("without t1 0 of 0 – – 0 0 0 0")


def test_missing_and_failed_folds_are_named(storage, make_manifest, write_dice, written):
    manifest = make_manifest()
    write_dice(manifest, {0: 0.8, 1: 0.6})
    failure = Failure(fold=3, attempts=2, exit_code=70, message="no memory", time="2026-01-01T00:00:00Z")
    storage.write(layout.failure(3), failure.to_json())

    page = written(manifest)

    assert page.says("2 of 9 folds are done")
    assert page.says("Missing (6): 2,4-8. Failed (1): 3.")
    assert page.says("3 2 70 2026-01-01T00:00:00Z no memory")


def test_a_complete_run_names_no_missing_folds(make_manifest, write_dice, written):
    manifest = make_manifest()
    write_dice(manifest, dict.fromkeys(range(9), 0.5))

    page = written(manifest)

    assert page.says("9 of 9 folds are done")
    assert not page.says("Missing (")
    assert not page.says("Not all folds")


def test_a_run_without_results_has_a_page(make_manifest, written):
    page = written(make_manifest())

    assert page.says("0 of 9 folds are done")
    assert page.says("Missing (9): 0-8.")
    assert page.says("0.0 hours")


def test_the_page_loads_nothing_from_elsewhere(make_manifest, write_dice, written):
    manifest = make_manifest()
    write_dice(manifest, {0: 0.5})

    page = written(
        manifest,
        Montages(
            shown=(
                ExamMontage(exam="exam0", patient="patient0", compared=None, difference=None, png=b"\x89PNG"),
            ),
            tested=1,
        ),
    )

    assert len(page.loads) == 5  # folds, arms, statuses, time, and the picture
    assert all(address.startswith("data:image/") for address in page.loads)
    assert not {"script", "link", "iframe"} & set(page.tags)
    assert page.says("1 picture of 1 tested exam:")


def test_names_and_messages_cannot_become_markup(storage, make_manifest, make_result, score, written):
    manifest = make_manifest(
        [("<i>exam</i>", "a&b"), ("exam1", "c")],
        cohort={"channels": ["<b>t2", "t1 & t2"], "classes": {"x<script>y": 1}},
    )
    storage.write(layout.result(0), make_result(manifest, 0, {"x<script>y": score(0.5)}).to_json())
    failure = Failure(fold=1, attempts=1, exit_code=70, message="<script>alert(1)</script>", time="now")
    storage.write(layout.failure(1), failure.to_json())
    shown = ExamMontage(exam='"<i>', patient="a&b", compared="without <b>t2", difference=-0.1, png=b"")

    page = written(manifest, Montages(shown=(shown,), tested=1))

    assert not {"script", "i", "b"} & set(page.tags)
    assert page.says("<script>alert(1)</script>")
    assert page.says("without t1 & t2")
    assert page.says("Dice of x<script>y")


def test_folds_of_different_versions_are_pointed_out(storage, make_manifest, make_result, score, written):
    manifest = make_manifest()
    for index in range(3):
        result = make_result(manifest, index, {"tumour": score(0.5)})
        cost = result.cost.model_copy(update={"versions": {"torch": "2.11.0" if index == 1 else "2.10.0"}})
        changes = {"cost": cost, "precision": "tf32" if index == 2 else "float32"}
        storage.write(layout.result(index), result.model_copy(update=changes).to_json())

    page = written(manifest)

    assert page.says("Not all folds ran with the same torch: 2.10.0 (folds 0,2); 2.11.0 (folds 1).")
    assert page.says("Not all folds ran with the same precision: float32 (folds 0-1); tf32 (folds 2).")


def test_cost_and_reproducibility_are_told(make_manifest, write_dice, written):
    manifest = make_manifest(cohort={"acquisitions": {"weighted": ["t2", "t1"]}}, sweep={"seed": 17})
    write_dice(manifest, dict.fromkeys(range(6), 0.5))

    page = written(manifest)

    assert page.says("0.1 hours in all for the 6 folds")  # 6 x 60 s
    assert page.says("train 6 50.0 50.0")
    assert page.says("total 6 60.0 60.0")
    assert page.says("cpu 6")
    assert page.says(manifest.digest)
    assert page.says("seed 17")
    assert page.says("torch 2.10.0")
    assert page.says("channels t2 (zscore); t1 (zscore)")
    assert page.says("steps 150")


def test_the_same_results_give_the_same_files(storage, make_manifest, write_dice, written):
    manifest = make_manifest()
    write_dice(manifest, {index: 0.1 * index for index in range(9)})

    def files():
        written(manifest)
        return {entry.key: storage.read(entry.key) for entry in storage.list("analysis/")}

    assert files() == files()


@pytest.mark.parametrize(
    ("value", "decimals", "signed", "text"),
    [
        (None, 3, False, "–"),
        (0.12345, 3, False, "0.123"),
        (-0.05, 3, True, "−0.050"),
        (0.05, 1, True, "+0.1"),
        (-0.0004, 3, True, "0.000"),
        (0.0, 2, True, "0.00"),
    ],
)
def test_numbers_are_written_with_sign_and_decimals(value, decimals, signed, text):
    assert number(value, decimals, signed=signed) == text


def test_an_undefined_percentage_is_a_dash():
    assert percent(None) == "–"
    assert percent(-0.0571) == "−5.7 %"


def test_the_page_begins_with_the_verdict_of_every_arm(decided, written):
    page = written(decided)
    assert page.says(
        "Verdict: Dice of tumour Needed: t2. Can be left out, one at a time: t1. Arm Verdict Why without t2 needed"
    )
    assert page.says("without t1 droppable")
    assert page.says("a loss of 0.020 or more is ruled out")
    assert page.says("12 further trainings of 12 exams")
    assert not page.says("Missing tests could change this verdict")


def test_a_verdict_that_hangs_on_missing_tests_says_so(storage, decided, written):
    storage.delete(layout.result(1))
    page = written(decided)
    assert page.says("47 of 48 folds are done")
    assert page.says("What follows is interim")
    assert page.says("Interim verdict: Dice of tumour")
    assert page.says("If what is missing were as bad as can be Arm Missing tests")


def test_verdict_json_has_the_page_s_verdicts(storage, decided, written):
    written(decided)
    told = json.loads(storage.read("analysis/verdict.json"))
    assert [each["verdict"] for each in told["verdicts"]] == ["needed", "droppable"]
    assert told["endpoint"] == {"class": "tumour", "metric": "dice"}
    comparisons = pandas.read_csv(BytesIO(storage.read("analysis/comparisons.csv")))
    assert len(comparisons) == 2 * 3
    patients = pandas.read_csv(BytesIO(storage.read("analysis/patients.csv")))
    assert patients["without t2"].mean() == pytest.approx(told["comparisons"][0]["mean"])


def test_the_methods_are_those_of_the_study(decided, written):
    page = written(decided)
    assert page.says(
        "12 exams of 12 patients with 2 channels (t2, t1) were used in a leave-one-exam-out design"
    )
    assert page.says("The reference arm was trained 1 further time for each exam")
    assert page.says("trained for 150 steps of 8 segments of 21 x 21 x 13 voxels")
    assert page.says("All arms together were compared by Friedman's test (asymptotic), with Kendall's W.")
    assert page.says("(two-sided, exact, with ties; zeros after Pratt), with Holm's adjustment over 2 arms")
    assert page.says("droppable if a loss of 0.020 or more was ruled out (one-sided p below 2.5 %")
    assert page.says("estimated from 12 repeated trainings of the reference arm")
    assert page.says("tested by two one-sided t-tests")
    assert page.says("a model was fitted on the scale of log odds")


def test_the_methods_speak_of_what_was_done_only(make_manifest, write_dice, written):
    manifest = make_manifest(sweep={"endpoint": {"class": "tumour", "metric": "hd95_mm"}})
    write_dice(manifest, {0: 0.8, 1: 0.6})  # of one arm, of a distance: no margin, no repeats, no model
    page = written(manifest)
    for words in (
        "Friedman",
        "ruled out (one-sided",
        "repeated training",
        "two one-sided t-tests",
        "a model was",
    ):
        assert not page.says(words)
    assert page.says("[Incomplete: 7 tests missing; complete the run, or report this.]")


def test_patients_are_listed_with_their_differences(decided, written):
    page = written(decided)
    assert page.says("patient3 1 10.0 0.730 −0.209 −0.001")


def test_droppable_says_how_rare_a_loss_may_be_that_no_patient_had(decided, written):
    assert written(decided).says(
        "in up to 22 % of patients may not have happened in any of 12"
    )  # 0.78^12 = 0.05


def test_only_one_in_says_what_needed_means(make_manifest, write_dice, written):
    manifest = make_manifest(sweep={"leave_out": "only-one-in"})
    write_dice(manifest, dict.fromkeys(range(9), 0.5))
    assert written(manifest).says("Here every arm has one channel only")


def test_false_alarms_are_counted_beside_the_comparisons(storage, make_manifest, make_result, score, written):
    manifest = make_manifest()
    alarm = score(0.0, status="false-alarm", reference_ml=0.0)
    for fold, own in enumerate([score(0.8), score(0.6), score(0.8), score(None), alarm, score(None)]):
        storage.write(layout.result(fold), make_result(manifest, fold, {"tumour": own}).to_json())
    page = written(manifest)
    assert page.says("without t2: 1 false alarm, reference 0, in tests that both did.")
    assert not page.says("without t1: 1 false alarm")


def test_the_methods_count_patients_and_repeats(make_manifest, write_dice, written):
    manifest = make_manifest([("e0", "p0"), ("e1", "p0"), ("e2", "p1")], sweep={"repeats": 2})
    write_dice(manifest, {0: 0.8, 1: 0.6})
    page = written(manifest)
    assert page.says(
        "3 exams of 2 patients with 2 channels (t2, t1) were used in a leave-one-exam-out design"
    )
    assert page.says("The design was repeated 2 times with different random draws.")


def test_a_design_of_one_repeat_was_not_repeated(decided, written):
    assert not written(decided).says("The design was repeated")


def test_the_methods_name_the_channels_of_acquisitions(make_manifest, write_dice, written):
    manifest = make_manifest(
        cohort={"channels": ["t2", "ktrans", "ve"], "acquisitions": {"dce": ["ktrans", "ve"]}},
        sweep={"leave_out": "acquisitions"},
    )
    write_dice(manifest, {0: 0.8, 1: 0.6})
    page = written(manifest)
    assert page.says(
        "each of the acquisitions left out, of which some have several channels (dce: ktrans, ve)"
    )
    assert page.says("normalised by channel (zscore: t2, ktrans, ve)")


def test_arms_of_one_channel_are_enough_alone_or_not(storage, decided, make_manifest, write_dice, written):
    manifest = make_manifest(exams=12, sweep={"leave_out": "only-one-in"})
    arms = list(manifest.arms)
    dice = {3 * exam + arm: 0.7 - (0.2 + 0.01 * exam) * (arm == 1) for exam in range(12) for arm in range(3)}
    write_dice(manifest, {fold: value + 0.001 * (-1) ** fold for fold, value in dice.items()})
    page = written(manifest)
    assert page.says(f"Not enough alone: {arms[1]}. Enough alone, as far as this endpoint goes: {arms[2]}.")


def test_patients_csv_has_what_the_page_has(storage, decided, written):
    written(decided)
    table = pandas.read_csv(BytesIO(storage.read("analysis/patients.csv")))
    assert list(table.columns) == ["patient", "exams", "volume_ml", "reference", "without t2", "without t1"]
    row = table.set_index("patient").loc["patient3"]
    assert row.tolist() == [pytest.approx(value) for value in (1, 10.0, 0.73, -0.209, -0.001)]
