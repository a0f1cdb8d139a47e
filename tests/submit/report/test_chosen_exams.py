"""Which tests are shown as pictures."""

from functools import partial
from types import SimpleNamespace

import pytest

from job.run import Run
from submit.analysis.results_table import collect_results
from submit.report.chosen_exams import chosen_exams, extremes, rows_by_exam

NODE = ("node", "dice")


@pytest.fixture
def chosen(storage, harmful):
    def choose(*harms, limit=14):
        tests_of = partial(rows_by_exam, collect_results(Run(storage, harmful)).table, harmful)
        found = chosen_exams(tests_of, ("tumour", "dice"), harms, limit)
        return [(each.exam, each.arm, each.structure, round(each.difference, 3)) for each in found]

    return choose


def test_harm_comes_first_where_it_is_largest(chosen):
    # The node loses 0.1 + 0.002 x exam: most in the last one.
    first, second, *_ = chosen(("without t1", NODE))
    assert first == (11, "without t1", "node", -0.122)
    assert second[1:3] == ("without t2", "tumour")


def test_each_exam_is_shown_once_for_each_arm(chosen):
    found = chosen(("without t1", NODE), ("without t1", NODE))
    assert len({each[:2] for each in found}) == len(found)


def test_without_harm_the_extremes_of_the_endpoint_come_first(chosen):
    # Losses of 0.2 + 0.003 x exam, 0.002 more in even exams and less in odd ones: 0.232 in 10, 0.201 in 1.
    found = chosen()
    assert found[:2] == [(10, "without t2", "tumour", -0.232), (1, "without t2", "tumour", -0.201)]
    assert len(found) == 4


def test_no_more_than_the_limit_are_chosen(chosen):
    assert len(chosen(("without t1", NODE), limit=2)) == 2


def test_a_harm_of_an_arm_without_tests_is_passed_over(chosen):
    assert chosen(("without nothing", NODE)) == chosen()


def test_a_volume_error_is_taken_without_its_sign():
    def row(error):
        return SimpleNamespace(volume_error_ml=error)

    tests = {
        0: {"reference": row(-5.0), "without a": row(3.0)},  # 2 ml nearer
        1: {"reference": row(5.0), "without a": row(-9.0)},  # 4 ml farther
    }
    found = extremes(tests, ("node", "absolute_volume_error_ml"))
    assert [(each.exam, each.difference) for each in found] == [(1, 4.0), (0, -2.0)]
