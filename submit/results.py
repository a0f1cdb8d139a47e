"""Which folds of a run are still to be done."""

from collections.abc import Sequence

from job.contract.errors import DataError
from job.run import Run
from submit.analysis.results_table import collect_results


def missing_of(run: Run, folds: Sequence[int]) -> tuple[list[int], int]:
    """Those of the folds that are not done, and how many of the run are.

    Raises:
        DataError: Results that are damaged or of another run: nothing would replace them.
    """
    results = collect_results(run)
    if results.problems:
        raise DataError(results.problems)
    done = set(results.done)
    return [fold for fold in folds if fold not in done], len(done)
