from collections.abc import Callable

import pytest

from job.contract.study import Study
from tests.job import toml_studies


@pytest.fixture(scope="session")
def make_study() -> Callable[..., Study]:
    """The small study with some keys changed, and one left out: `make_study('sweep.seed = 1')`."""
    return toml_studies.make_study
