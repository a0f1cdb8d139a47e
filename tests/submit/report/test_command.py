"""`submit report` of runs with made-up results: what the terminal says."""

import json
from pathlib import Path

import pytest

from job.contract import layout
from job.contract.errors import StudyError
from job.contract.results import Failure
from submit.report.command import make_report

NOWHERE = Path("no-study.toml")


@pytest.fixture
def told(storage, tmp_path):
    """Reports a run, and gives what is printed; its store is empty, so that there are no pictures."""

    def report(manifest, *, as_json=False, output=None):
        storage.write(layout.MANIFEST, manifest.to_json())
        store = str(tmp_path / "empty-store")
        return make_report(storage.url, NOWHERE, as_json=as_json, output=output, store=store)

    return report


def table_of(lines):
    """Cells of the table of arms."""
    start = next(number for number, line in enumerate(lines) if line.startswith("arm "))
    rows = lines[start : lines.index("", start)]
    return [[cell.strip() for cell in row.split("  ") if cell] for row in rows]


def test_the_answer_comes_first_and_every_arm_has_a_line_with_what_decided_it(decided, told):
    lines = told(decided).splitlines()
    assert lines[0] == f"run {decided.run}: 48 of 48 folds done"
    assert lines[1] == "Dice of tumour: 0.755 ± 0.036 with all channels (12 tests); margin 0.020"
    assert lines[3:7] == [
        "Most influential: t2; least: t1.",
        "With patients drawn anew from these 12, t2 comes first 100 times of 100.",
        "Needed: t2.",
        "Can be left out, one of these at a time: t1.",
    ]
    cells = table_of(lines)
    assert [row[:2] for row in cells] == [
        ["arm", "verdict"],
        ["without t2", "needed"],
        ["without t1", "droppable"],
    ]
    assert cells[1][2].startswith("−0.217 (−0.2")
    assert [row[3] for row in cells[1:]] == ["p < 0.001", "margin, p = 0.001"]
    assert lines[-2].startswith("report: ")
    assert not any("interim" in line or "*" in line or "!" in line for line in lines)


def test_what_is_within_retraining_names_the_floor(make_manifest, write_dice, told):
    manifest = make_manifest(exams=6, sweep={"reference_repeats": 1})
    arms = {3 * exam + arm: 0.7 + 0.03 * (-1) ** exam * arm for exam in range(6) for arm in range(3)}
    write_dice(manifest, arms | {18 + exam: 0.7 + 0.1 * (-1) ** exam for exam in range(6)})
    lines = told(manifest).splitlines()
    row = next(line for line in lines if line.startswith("without t2"))
    # Each exam was trained twice, with 0.7 and 0.8 or 0.6: a variance of 0.005, doubled, over six patients.
    floor = 1.959964 * (2 * 0.005 / 6) ** 0.5
    assert "not distinguishable from retraining" in row
    assert row.endswith(f"retraining, ±{floor:.3f}")
    assert any(
        line.startswith("Not known, as training the network again changes as much: ") for line in lines
    )


def test_an_unfinished_run_is_interim_and_marks_what_may_change(storage, decided, told):
    storage.delete(layout.result(2))
    storage.delete(layout.result(3))
    failure = Failure(fold=3, attempts=3, exit_code=70, message="no", time="2026-01-01T00:00:00Z")
    storage.write(layout.failure(3), failure.to_json())
    lines = told(decided).splitlines()
    assert lines[:4] == [
        f"run {decided.run}: 46 of 48 folds done",
        "failed: 3",
        "missing: 2",
        "interim: the verdict that counts is that of the whole run",
    ]
    assert ["without t1", "unfinished (10 of 12) *"] in [row[:2] for row in table_of(lines)]
    assert "* missing tests could change it" in lines


def test_a_run_without_a_result_says_so_and_has_a_page(storage, make_manifest, told):
    lines = told(make_manifest()).splitlines()
    assert lines[:2] == [f"run {make_manifest().run}: 0 of 9 folds done", "missing: 0-8"]
    assert storage.exists("analysis/report.html")


def test_scans_that_must_not_be_stopped_are_named_after_the_arms(harmful, told):
    lines = told(harmful).splitlines()
    assert [row[:2] for row in table_of(lines)[1:]] == [
        ["without t2", "needed"],
        ["without t1", "droppable !"],
    ]
    start = lines.index(
        "! Keep these scans, whatever Dice of tumour says: something else is worse without them."
    )
    assert lines[start + 1].startswith("  t1: Dice of node −0.111 (")


def test_the_words_and_the_order_are_those_of_the_page(harmful, told, page_of):
    lines = told(harmful).splitlines()
    page = page_of(harmful)
    answer = lines[3 : lines.index("", 3)]
    assert len(answer) == 6
    assert page.says(" ".join(answer))


def test_json_has_the_aggregate_and_the_verdict_and_writes_nothing(storage, decided, told):
    found = json.loads(told(decided, as_json=True))
    assert [arm["arm"] for arm in found["arms"]] == ["reference", "without t2", "without t1"]
    assert [each["verdict"] for each in found["verdict"]["verdicts"]] == ["needed", "droppable"]
    assert not list(storage.list("analysis/"))


def test_the_report_can_be_had_in_a_folder_of_ones_own(storage, decided, told, tmp_path):
    last = told(decided, output=tmp_path / "mine").splitlines()[-1]
    assert last.strip() == f"{(tmp_path / 'mine').as_posix()}/verdict.json"
    names = {file.name for file in (tmp_path / "mine").iterdir()}
    assert names == {item.key.removeprefix("analysis/") for item in storage.list("analysis/")}
    assert (tmp_path / "mine/verdict.json").read_bytes() == storage.read("analysis/verdict.json")


def test_without_a_store_there_are_no_pictures_and_the_rest_is_there(storage, decided, told, capsys):
    told(decided)
    assert "no picture of an exam in the report" in capsys.readouterr().err
    assert b"<strong>Needed:</strong> t2." in storage.read("analysis/report.html")


def test_damaged_results_are_left_out_and_named(storage, decided, told, capsys):
    storage.write(layout.result(4), b"{")
    assert f"run {decided.run}: 47 of 48 folds done" in told(decided)
    assert f"left out of the report: {layout.result(4)}" in capsys.readouterr().err


def test_folds_of_several_conditions_are_noted(storage, decided, make_result, score, told, capsys):
    result = make_result(decided, 0, {"tumour": score(0.7)})
    cost = result.cost.model_copy(update={"conditions": ("cuda, tf32",)})
    storage.write(layout.result(0), result.model_copy(update={"cost": cost}).to_json())
    told(decided)
    assert "note: folds ran under 2 conditions" in capsys.readouterr().err


def test_a_run_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(StudyError, match=r"no folder of a run, and no-study\.toml is not there"):
        make_report(str(tmp_path / "none"), NOWHERE, as_json=False, output=None, store=None)


def test_a_run_is_reported_though_its_study_file_is_wrong_now(storage, decided, tmp_path, capsys):
    storage.write(layout.MANIFEST, decided.to_json())
    study = tmp_path / "study.toml"
    study.write_text("name = ")
    store = str(tmp_path / "empty-store")
    lines = make_report(storage.url, study, as_json=False, output=None, store=store).splitlines()
    assert lines[0] == f"run {decided.run}: 48 of 48 folds done"
    assert "note: whether the cohort was changed since is not known: " in capsys.readouterr().err


def test_of_many_exams_without_a_picture_two_are_named(decided, told, capsys):
    told(decided)
    lines = [
        line for line in capsys.readouterr().err.splitlines() if line.startswith(("no picture", "nor of"))
    ]
    assert len(lines) == 3
    assert lines[-1].startswith("nor of ")
    assert lines[-1].endswith(" other exams")
