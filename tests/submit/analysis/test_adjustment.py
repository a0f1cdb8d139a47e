"""p adjusted for a family of tests."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from submit.analysis.adjustment import adjusted


def test_holm_and_benjamini_hochberg_are_those_computed_by_hand() -> None:
    p = {"a": 0.01, "b": 0.04, "c": 0.03, "d": None}
    # Holm: 4 x 0.01, 3 x 0.03, 2 x 0.04 (not below the one before). BH: 4/1 x 0.01, 4/3 x 0.04, the same, -.
    holm = {"a": pytest.approx(0.04), "b": pytest.approx(0.09), "c": pytest.approx(0.09), "d": None}
    assert adjusted(p, "holm") == holm
    assert adjusted(dict(reversed(p.items())), "holm") == holm
    third = pytest.approx(0.16 / 3)
    assert adjusted(p, "fdr_bh") == {"a": pytest.approx(0.04), "b": third, "c": third, "d": None}
    assert adjusted({}, "holm") == adjusted({}, "fdr_bh") == {}


@settings(max_examples=8, deadline=None)  # statsmodels' own take a tenth of a second each
@given(st.lists(st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.01, 0.01, 1.0])), min_size=1, max_size=12))
def test_both_are_those_of_statsmodels(values: list[float]) -> None:
    for method in ("holm", "fdr_bh"):
        found = adjusted(dict(enumerate(values)), method)
        assert list(found.values()) == pytest.approx(multipletests(values, method=method)[1])
        assert np.all(np.array(list(found.values())) >= values)
