"""Which arm found which lesion."""

from pandas import DataFrame

from submit.report.exam_detection import exam_detection

ARMS = ("reference", "without a", "without b")


def rows(*tests: tuple[str, int, str, str]) -> DataFrame:
    """Exam, repeat, arm, status; a patient has one exam."""
    return DataFrame(
        [
            {
                "patient": f"p{exam}",
                "exam": exam,
                "repeat": repeat,
                "arm": arm,
                "status": status,
                "structure": "tumour",
            }
            for exam, repeat, arm, status in tests
        ]
    )


def test_an_exam_is_listed_where_anything_but_a_find_happened() -> None:
    (found,) = exam_detection(
        rows(
            ("e0", 0, "reference", "ok"),
            ("e0", 0, "without a", "miss"),
            ("e0", 0, "without b", "ok"),
            ("e1", 0, "reference", "ok"),
            ("e1", 0, "without a", "ok"),
            ("e1", 0, "without b", "ok"),
            ("e2", 0, "reference", "both-empty"),
            ("e2", 0, "without a", "false-alarm"),
        ),
        ["tumour"],
        ARMS,
        9,
    )
    assert [(row.patient, row.exam) for row in found.rows] == [("pe0", "e0"), ("pe2", "e2")]
    assert [[row.outcomes[arm].text for arm in ARMS] for row in found.rows] == [
        ["found", "missed", "found"],
        ["correct absence", "false alarm", "–"],
    ]
    assert [row.outcomes["without b"].kind for row in found.rows] == ["ok", "missing"]
    assert (found.tested, found.further) == (3, 0)


def test_repeats_that_differ_are_counted() -> None:
    (found,) = exam_detection(
        rows(*(("e0", n, "without a", "ok" if n else "miss") for n in range(3))), ["tumour"], ARMS, 9
    )
    (row,) = found.rows
    assert (row.outcomes["without a"].text, row.outcomes["without a"].kind) == ("2 found, 1 missed", "mixed")


def test_of_many_exams_some_are_listed_and_the_others_counted() -> None:
    tests = rows(*((f"e{n}", 0, "reference", "miss") for n in range(5)))
    (found,) = exam_detection(tests, ["tumour"], ARMS, 2)
    assert (len(found.rows), found.further, found.tested) == (2, 3, 5)


def test_what_every_arm_found_has_no_row() -> None:
    (found,) = exam_detection(rows(("e0", 0, "reference", "ok")), ["tumour"], ARMS, 9)
    assert (found.rows, found.tested) == ((), 1)
