"""What the store's precision changes in the results: the demo's folds from float16 and from float32.

    python benchmarks/dtype.py out/dtype

Makes the demo's cohort, sweeps it from both stores with the same draws, and compares Dice of the endpoint fold by
fold. About 8 minutes on two cores; done folds are not done again.
"""

import sys
from pathlib import Path
from statistics import fmean, stdev
from subprocess import run

from job.study_file import load_study
from submit.analysis.results_table import collect_results
from submit.find import find_run
from submit.runs import require_run

DTYPES = ("float16", "float32")


def main() -> None:
    """Prints two lines."""
    folder = Path(sys.argv[1])
    if not folder.exists():
        submit("phantom", str(folder), "--patients", "5", "--visits", "2")
    text = (folder / "study.toml").read_text()
    dice = []
    for dtype in DTYPES:
        study = folder / f"{dtype}.toml"
        study.write_text(f'{text}\n[store]\ndtype = "{dtype}"\n')
        submit("sweep", str(study))
        dice.append(endpoint_of(study))
    pairs = [(dice[0][fold][1] - dice[1][fold][1]) for fold in sorted(dice[0])]
    print(
        f"{DTYPES[0]} - {DTYPES[1]}, {len(pairs)} folds: {fmean(pairs):+.4f} ± {stdev(pairs):.4f}, largest "
        f"{max(map(abs, pairs)):.4f}"
    )
    arms = {arm for arm, _ in dice[0].values()}
    means = [{arm: fmean(v for a, v in each.values() if a == arm) for arm in arms} for each in dice]
    print(f"arms' means: at most {max(abs(means[0][arm] - means[1][arm]) for arm in arms):.4f}")


def submit(*arguments: str) -> None:
    """A command of this project."""
    run([sys.executable, "-m", "submit", *arguments], check=True, stdout=sys.stderr)


def endpoint_of(study_file: Path) -> dict[int, tuple[str, float]]:
    """By fold, its arm and Dice of the study's endpoint."""
    rows = collect_results(require_run(find_run(None, study_file))).table
    rows = rows[rows["structure"] == load_study(study_file).endpoint.structure]
    return {int(row.fold): (str(row.arm), float(row.dice)) for row in rows.itertuples()}


if __name__ == "__main__":
    main()
