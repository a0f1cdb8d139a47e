import json
from io import BytesIO

import numpy as np
import pandas
import pytest

from job.contract import layout
from job.contract.results import Failure
from submit.analysis.analysis import Analysis
from submit.analysis.results_table import TABLE_COLUMNS
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
    assert dict(parquet.dtypes.astype(str)) == TABLE_COLUMNS
    pandas.testing.assert_frame_equal(parquet, results.table)
    rows = storage.read("analysis/results.csv").decode().splitlines()
    assert rows[0] == ",".join(TABLE_COLUMNS)
    assert rows[3] == "2,without t1,t1,0,exam0,patient0,tumour,both-empty,,,0.0,0.0,0.0,60.0,"


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


def test_the_page_gives_the_primary_endpoint_by_arm(make_manifest, write_dice, page_of):
    manifest = make_manifest()
    write_dice(manifest, {0: 0.8, 3: 0.6, 1: 0.6, 4: 0.6})

    page = page_of(manifest)

    assert page.says("Primary endpoint: Dice of tumour")
    # Arm, n, mean ± SD, median, and the counts of statuses.
    assert page.says("reference 2 of 2 0.700 ± 0.141 0.700 2 0 0 0")
    assert page.says("without t2 2 of 2 0.600 ± 0.000 0.600 2 0 0 0")
    assert page.says("without t1 0 of 0 – – 0 0 0 0")


def test_missing_and_failed_folds_are_named(storage, make_manifest, write_dice, page_of):
    manifest = make_manifest()
    write_dice(manifest, {0: 0.8, 1: 0.6})
    failure = Failure(fold=3, attempts=2, exit_code=70, message="no memory", time="2026-01-01T00:00:00Z")
    storage.write(layout.failure(3), failure.to_json())

    page = page_of(manifest)

    assert page.says("2 of 9 folds are done")
    assert page.says("Missing (6): 2,4-8. Failed (1): 3.")
    assert page.says("3 2 70 2026-01-01T00:00:00Z no memory")


def test_a_complete_run_names_no_missing_folds(make_manifest, write_dice, page_of):
    manifest = make_manifest()
    write_dice(manifest, dict.fromkeys(range(9), 0.5))

    page = page_of(manifest)

    assert page.says("9 of 9 folds are done")
    assert not page.says("Missing (")
    assert not page.says("Not all folds")


def test_a_run_without_results_has_a_page(make_manifest, page_of):
    page = page_of(make_manifest())

    assert page.says("0 of 9 folds are done")
    assert page.says("Missing (9): 0-8.")
    assert page.says("0.0 hours")


def test_the_page_loads_nothing_from_elsewhere(make_manifest, write_dice, page_of):
    manifest = make_manifest()
    write_dice(manifest, {0: 0.5})

    page = page_of(
        manifest,
        Montages(
            shown=(
                ExamMontage(
                    exam="exam0",
                    patient="patient0",
                    compared=None,
                    difference=None,
                    structure="tumour",
                    metric="dice",
                    png=b"\x89PNG",
                ),
            ),
            tested=1,
        ),
    )

    assert len(page.loads) == 9  # folds, arms, statuses, time, wide and narrow, and the picture
    assert all(address.startswith("data:image/") for address in page.loads)
    assert not {"link", "iframe"} & set(page.tags)
    assert page.tags.count("script") == 1  # its own, which sorts tables
    assert set(page.links) <= set(page.ids)
    assert page.says("1 picture of 1 tested exam:")


def test_names_and_messages_cannot_become_markup(storage, make_manifest, make_result, score, page_of):
    manifest = make_manifest(
        [("<i>exam</i>", "a&b"), ("exam1", "c")],
        cohort={"channels": ["<b>t2", "t1 & t2"], "classes": {"x<script>y": 1}},
    )
    storage.write(layout.result(0), make_result(manifest, 0, {"x<script>y": score(0.5)}).to_json())
    failure = Failure(fold=1, attempts=1, exit_code=70, message="<script>alert(1)</script>", time="now")
    storage.write(layout.failure(1), failure.to_json())
    shown = ExamMontage(
        exam='"<i>',
        patient="a&b",
        compared="without <b>t2",
        difference=-0.1,
        structure="x<script>y",
        metric="dice",
        png=b"",
    )

    page = page_of(manifest, Montages(shown=(shown,), tested=1))

    assert not {"i", "b"} & set(page.tags)
    assert page.tags.count("script") == 1  # its own
    assert page.says("<script>alert(1)</script>")
    assert page.says("without t1 & t2")
    assert page.says("Dice of x<script>y")


def test_folds_of_different_versions_are_pointed_out(storage, make_manifest, make_result, score, page_of):
    manifest = make_manifest()
    for index in range(3):
        result = make_result(manifest, index, {"tumour": score(0.5)})
        cost = result.cost.model_copy(update={"versions": {"torch": "2.11.0" if index == 1 else "2.10.0"}})
        changes = {"cost": cost, "precision": "tf32" if index == 2 else "float32"}
        storage.write(layout.result(index), result.model_copy(update=changes).to_json())

    page = page_of(manifest)

    assert page.says("Not all folds ran with the same torch: 2.10.0 (folds 0,2); 2.11.0 (folds 1).")
    assert page.says("Not all folds ran with the same precision: float32 (folds 0-1); tf32 (folds 2).")


def test_cost_and_reproducibility_are_told(make_manifest, write_dice, page_of):
    manifest = make_manifest(cohort={"acquisitions": {"weighted": ["t2", "t1"]}}, sweep={"seed": 17})
    write_dice(manifest, dict.fromkeys(range(6), 0.5))

    page = page_of(manifest)

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


def test_the_page_begins_with_the_answer(decided, page_of):
    page = page_of(decided)
    assert page.html.split("<title>")[1].startswith("small</title>")
    assert page.says(
        "Answer: Dice of tumour Most influential: t2; least: t1. "
        "With patients drawn anew from these 12, t2 comes first 100 times of 100. "
        "Needed: t2. Can be left out, one of these at a time: t1."
    )
    assert page.says("a loss of 0.020 or more is ruled out")
    assert page.says("12 further trainings of 12 exams")
    assert not page.says("Missing tests could change")
    assert not page.says("Keep these scans")


def test_verdicts_stand_in_the_order_of_the_loss_with_how_many_patients_lose_more_than_the_margin(
    make_manifest, write_dice, page_of
):
    manifest = make_manifest(exams=12)
    # Of the arms without t2 and without t1, it is the second that loses 0.1, and in ten of twelve patients.
    dice = {3 * n + arm: 0.8 + 0.001 * n - 0.1 * (arm == 2 and n > 1) for n in range(12) for arm in range(3)}
    write_dice(manifest, dice)
    page = page_of(manifest)
    assert page.says("Most influential: t1; least: t2.")
    rows = page.html.split('id="verdicts"')[1].split("</table>")[0]
    assert rows.index("without t1") < rows.index("without t2")
    assert "10 of 12" in rows.split("without t1")[1].split("</tr>")[0]
    assert "0 of 12" in rows.split("without t2")[1].split("</tr>")[0]


def test_a_verdict_that_hangs_on_missing_tests_says_so(storage, decided, page_of):
    storage.delete(layout.result(1))
    page = page_of(decided)
    assert page.says("47 of 48 folds are done")
    assert page.says("What follows is interim")
    assert page.says("Interim answer: Dice of tumour")
    assert page.says("If what is missing were as bad as can be Arm Missing tests")


def test_an_arm_with_too_few_tests_is_unfinished_and_has_no_place_in_the_answer(storage, decided, page_of):
    for exam in range(2):
        storage.delete(layout.result(3 * exam + 1))  # of `without t2`: 10 of 12 are left
    page = page_of(decided)
    assert page.says("Too few tests for a verdict yet: t2 (10 of 12).")
    assert not page.says("Needed: t2")
    assert not page.says("Most influential: t2")
    assert page.says("without t2 unfinished (10 of 12)")


def test_what_harms_another_structure_is_nothing_to_stop(storage, harmful, page_of):
    page = page_of(harmful)
    assert page.says("is lower without t1 (−")
    assert page.says("Can be left out: none is shown.")
    assert page.says("Not needed for tumour, but something else is worse without it: t1 (with harm to node).")
    assert page.says(
        "Keep these scans, whatever Dice of tumour says: something else is worse without them. "
        "t1 : Dice of node"
    )
    assert not page.says("least: t1")
    verdicts = page.html.split('id="verdicts"')[1].split("</table>")[0]
    assert 'class="verdict droppable"' not in verdicts  # nothing that harms is green
    assert '<span class="verdict harmed">droppable</span> <span class="harm">harm to node</span>' in verdicts


def test_the_map_frames_what_is_worse_in_its_row_and_column(harmful, page_of):
    table = page_of(harmful).html.split('id="map"')[1].split("</table>")[0]
    rows = [row for row in table.split("<tr>") if 'scope="row"' in row]
    assert [row.split("</th>")[0].split(">")[-1] for row in rows] == ["without t2", "without t1"]
    marked = [cell.split('title="')[1].split(",")[0] for cell in rows[1].split("<td")[1:] if " mark" in cell]
    assert "Dice of node" in marked
    assert "Dice of tumour" not in marked


def test_several_structures_of_the_endpoint_must_all_pass(storage, two_structures, page_of):
    page = page_of(two_structures)
    assert page.says("Answer: Dice of tumour and node")
    assert page.says("only if it is for all of them (intersection-union")
    assert page.says("Most influential for tumour: t2.")
    assert page.says(" tumour: droppable −0.111 ")
    assert page.says(" node: needed")
    words = page.html.split('id="verdicts"')[1].split("<details>")[1].split("</table>")[0]
    assert "<strong>tumour: droppable.</strong> Dice of tumour" in words
    assert "<strong>node: needed.</strong> Dice of node" in words
    assert page.says("A channel was called droppable only if it was for all of them")


def test_the_margin_is_given_with_its_reason(make_manifest, write_dice, page_of):
    why = "two readers differ by <0.03"
    manifest = make_manifest(sweep={"equivalence_margin": 0.03, "margin_justification": why})
    write_dice(manifest, dict.fromkeys(range(9), 0.5))
    page = page_of(manifest)
    assert page.says(
        "0.030, and at most 25 % of what the reference has, or lacks of a perfect Dice. Why: two readers"
    )
    assert page.says(
        "The margin was Dice 0.030, but at most 25 % of what the reference arm had or lacked of 1 "
        "(two readers differ by <0.03)."
    )


def test_a_margin_without_a_reason_is_said_to_have_none(decided, page_of):
    assert page_of(decided).says("Why: not stated ( sweep.margin_justification ).")


def test_a_margin_that_is_smaller_beside_a_good_reference_is_given(make_manifest, write_dice, page_of):
    manifest = make_manifest()
    write_dice(manifest, dict.fromkeys(range(9), 0.98))  # a quarter of 0.02 is less than the margin of 0.02
    assert page_of(manifest).says("or lacks of a perfect Dice; here 0.005.")


def test_without_a_margin_nobody_is_told_that_a_loss_may_be_below_it(storage, without_margin, page_of):
    page = page_of(without_margin)
    assert page.says("without t2 worse; no margin stated")
    assert not page.says("more than the margin")
    assert not page.says("The margin was")


def test_distances_are_defined_under_their_tables_and_in_the_methods(distances, page_of):
    page = page_of(distances)
    assert page.html.count('<p class="quiet">HD95: the larger of the two directed 95th percentiles') == 1
    assert page.html.count('<p class="quiet">HD95 (voxels): as nnU-Net and MedPy have it') == 1
    assert page.says("HD95 is the larger of the two directed 95th percentiles")
    assert page.says("HD95 (voxels) is as nnU-Net and MedPy have it")
    assert page.says(
        "definitions of HD95 lead to different conclusions: without t1 in tumour (HD95 worse, HD95"
    )


def test_results_of_before_have_no_second_distance(decided, page_of):
    assert not page_of(decided).says("HD95 (voxels)")


def test_an_interval_that_ends_where_the_metric_ends_says_so(
    storage, make_manifest, make_result, score, page_of
):
    manifest = make_manifest(exams=6)
    for fold in range(18):
        arm, exam = fold % 3, fold // 3
        # The reference has 1 to 6 mm, 3.5 in the mean; the arm 0, but for one exam: its mean cannot be 3.5 less.
        own = score(0.7, hd95_mm=(40.0 if exam == 5 else 0.0) if arm == 1 else 1.0 + exam)
        storage.write(layout.result(fold), make_result(manifest, fold, {"tumour": own}).to_json())
    page = page_of(manifest)
    row = page.html.split("HD95 of tumour, mm: each arm")[1].split("without t2")[1].split("</tr>")[0]
    assert "−3.5 to +34.0, cut</td>" in row


def test_inference_is_said_to_be_conditional(decided, page_of):
    page = page_of(decided)
    assert page.says("Its training sets overlap almost wholly")
    assert page.says("conditional on the networks that were trained")


def test_the_model_s_degrees_of_freedom_are_printed(decided, page_of):
    page = page_of(decided)
    assert page.says("t with 11 degrees of freedom (patients − 1), p not adjusted")
    assert page.says("Wald tests against t with 11 degrees of freedom (patients - 1)")


def test_exams_with_a_lesion_that_is_not_found_are_listed_by_arm(
    storage, make_manifest, make_result, score, page_of
):
    manifest = make_manifest()
    alarm = score(0.0, status="false-alarm", reference_ml=0.0)
    missed = score(0.0, status="miss", predicted_ml=0.0)
    for fold, own in enumerate(
        [score(0.8), score(0.6), score(0.8), score(None), alarm, score(None), score(0.7), missed]
    ):
        storage.write(layout.result(fold), make_result(manifest, fold, {"tumour": own}).to_json())
    page = page_of(manifest)
    # Columns: the reference, then by loss: without t2 (0.2 and 0.7 lost), without t1.
    assert page.says("Exam reference without t2 without t1 exam1 correct absence false alarm correct absence")
    assert page.says("exam2 found missed – In the other 1 exam every arm found it.")
    assert page.says("Lesions lost")


def test_the_end_of_the_training_curves_is_judged(decided, page_of):
    steps = np.arange(1, 11)
    falling = np.array([np.linspace(1.0, 0.1, 10), np.linspace(1.01, 0.11, 10)])
    page = page_of(decided, curves={"reference": (steps, falling), "without t2": (steps, falling * 0 + 0.5)})
    assert page.says("Still falling by more than a twentieth over the last fifth of the steps: reference.")
    assert page.says("Levelled off: without t2.")


def test_what_is_explained_is_explained_once(decided, page_of):
    text = " ".join(page_of(decided).text)
    for words in (
        "That is not the same as no difference",
        "Nothing is adjusted for the number",
        "patients weigh equally",
    ):
        assert text.count(words) == 1


def test_tables_stand_without_a_script(decided, page_of):
    html = page_of(decided).html
    assert "<button" not in html.split("<script>")[0]
    assert html.count('class="stacks sorts') > 5


def test_verdict_json_has_the_page_s_verdicts(storage, decided, written):
    written(decided)
    told = json.loads(storage.read("analysis/verdict.json"))
    assert [each["verdict"] for each in told["verdicts"]] == ["needed", "droppable"]
    assert told["endpoint"] == {"class": "tumour", "metric": "dice"}
    comparisons = pandas.read_csv(BytesIO(storage.read("analysis/comparisons.csv")))
    assert len(comparisons) == 2 * 3
    patients = pandas.read_csv(BytesIO(storage.read("analysis/patients.csv")))
    assert patients["without t2"].mean() == pytest.approx(told["comparisons"][0]["mean"])


def test_the_methods_are_those_of_the_study(decided, page_of):
    page = page_of(decided)
    assert page.says(
        "12 exams of 12 patients with 2 channels (t2, t1) were used in a leave-one-patient-out design"
    )
    assert page.says("The reference arm was trained 1 further time for each exam")
    assert page.says("trained for 150 steps of 8 segments of 21 x 21 x 13 voxels")
    assert page.says("All arms together were compared by Friedman's test (asymptotic), with Kendall's W.")
    assert page.says("flipping the signs of whole patients (two-sided, with the largest t over 2 comparisons")
    assert page.says(
        "A channel was called droppable if a gain was shown or a loss of the margin or more was ruled out (one-sided"
    )
    assert page.says("estimated from 12 repeated trainings of the reference arm")
    assert page.says("tested by two one-sided t-tests")
    assert page.says("a model was fitted on the scale of log odds")


def test_the_methods_speak_of_what_was_done_only(make_manifest, write_dice, page_of):
    manifest = make_manifest(sweep={"endpoint": {"class": "tumour", "metric": "hd95_mm"}})
    write_dice(manifest, {0: 0.8, 1: 0.6})  # of one arm, of a distance: no margin, no repeats, no model
    page = page_of(manifest)
    for words in (
        "Friedman",
        "ruled out (one-sided",
        "repeated training",
        "two one-sided t-tests",
        "a model was",
    ):
        assert not page.says(words)
    assert page.says("[Incomplete: 7 tests missing; complete the run, or report this.]")


def test_patients_are_listed_with_their_differences(decided, page_of):
    page = page_of(decided)
    assert page.says("patient3 1 10.0 0.730 −0.209 −0.001")


def test_droppable_says_how_rare_a_loss_may_be_that_no_patient_had(decided, page_of):
    assert page_of(decided).says(
        "a large loss that none of 12 patients had may still happen in up to 22 of 100 others"
    )  # 0.78^12 = 0.05


def test_only_one_in_says_what_needed_means(make_manifest, write_dice, page_of):
    manifest = make_manifest(sweep={"leave_out": "only-one-in"})
    write_dice(manifest, dict.fromkeys(range(9), 0.5))
    assert page_of(manifest).says("Here every arm has one channel only")


def test_the_methods_count_patients_and_repeats(make_manifest, write_dice, page_of):
    manifest = make_manifest([("e0", "p0"), ("e1", "p0"), ("e2", "p1")], sweep={"repeats": 2})
    write_dice(manifest, {0: 0.8, 1: 0.6})
    page = page_of(manifest)
    assert page.says(
        "3 exams of 2 patients with 2 channels (t2, t1) were used in a leave-one-exam-out design"
    )
    assert page.says("The design was repeated 2 times with different random draws.")


def test_a_design_of_one_repeat_was_not_repeated(decided, page_of):
    assert not page_of(decided).says("The design was repeated")


def test_the_methods_name_the_channels_of_acquisitions(make_manifest, write_dice, page_of):
    manifest = make_manifest(
        cohort={"channels": ["t2", "ktrans", "ve"], "acquisitions": {"dce": ["ktrans", "ve"]}},
        sweep={"leave_out": "acquisitions"},
    )
    write_dice(manifest, {0: 0.8, 1: 0.6})
    page = page_of(manifest)
    assert page.says(
        "each of the acquisitions left out, of which some have several channels (dce: ktrans, ve)"
    )
    assert page.says("normalised by channel (zscore: t2, ktrans, ve)")


def test_arms_of_one_channel_are_enough_alone_or_not(storage, decided, make_manifest, write_dice, page_of):
    manifest = make_manifest(exams=12, sweep={"leave_out": "only-one-in"})
    arms = list(manifest.arms)
    dice = {3 * exam + arm: 0.7 - (0.2 + 0.01 * exam) * (arm == 1) for exam in range(12) for arm in range(3)}
    write_dice(manifest, {fold: value + 0.001 * (-1) ** fold for fold, value in dice.items()})
    page = page_of(manifest)
    assert arms[1:] == ["only t2", "only t1"]
    assert page.says("Loses most alone: t2; least: t1.")
    assert page.says("Not enough alone: t2. Enough alone, as far as this endpoint goes: t1.")


def test_patients_csv_has_what_the_page_has(storage, decided, written):
    written(decided)
    table = pandas.read_csv(BytesIO(storage.read("analysis/patients.csv")))
    assert list(table.columns) == ["patient", "exams", "volume_ml", "reference", "without t2", "without t1"]
    row = table.set_index("patient").loc["patient3"]
    assert row.tolist() == [pytest.approx(value) for value in (1, 10.0, 0.73, -0.209, -0.001)]


def test_a_cohort_that_was_corrected_since_is_said_before_the_answer(decided, page_of):
    page = page_of(decided, changes=("1 exam made from files that are others now (p2)",))
    words = " ".join(page.text)
    said = words.index("not of the cohort as it is now. Since it was prepared: 1 exam made from files")
    assert said < words.index("Most influential")
    assert not page_of(decided).says("not of the cohort as it is now")


def test_the_first_screen_says_how_good_the_reference_is_and_whether_training_ended_too_early(
    decided, page_of
):
    steps = np.arange(1, 101)
    flat, falling = np.ones((3, 100)), np.linspace(2, 1, 100) * np.ones((3, 1))
    curves = {"reference": (steps, flat), "without t2": (steps, falling), "without t1": (steps, flat)}
    some = page_of(decided, curves=curves)
    assert some.says(
        "Dice of tumour: 0.755 ± 0.036 with all channels (12 tests); margin 0.020. Training may have"
    )
    assert some.says("the loss of without t2 was still falling")
    every = page_of(decided, curves=dict.fromkeys(curves, (steps, falling)))
    assert every.says("the loss of every arm was still falling")
    assert not page_of(decided, curves=dict.fromkeys(curves, (steps, flat))).says("Training may have ended")
