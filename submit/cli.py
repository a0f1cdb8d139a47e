"""The command line: each command parses and calls."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:  # heavy imports wait for the command that needs them
    from rich.console import Console

from job.contract.exit_codes import ExitCode
from job.storage import at_home
from submit.endings import exit_code_of

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

T = TypeVar("T", Path | None, str | None)


def _at_home(location: T) -> T:
    """A location of the command line: no shell replaces the `~` of `--store=~/store`."""
    return location and type(location)(at_home(str(location)))


StudyFile = Annotated[Path, typer.Argument(help="Study file.", callback=_at_home)]
Run = Annotated[
    str | None,
    typer.Argument(help="Run (folder or name), or study file; default: the newest run.", callback=_at_home),
]
StudyOption = Annotated[
    Path, typer.Option("--study", help="Study file whose runs are meant.", callback=_at_home)
]
STUDY = Path("study.toml")


@app.callback()
def submit() -> None:
    """Find out which MRI channel matters for segmenting a tumour: leave-one-channel-out, fold by fold."""


@app.command()
def phantom(
    folder: Annotated[Path, typer.Argument(help="New folder.", callback=_at_home)],
    patients: Annotated[int, typer.Option(min=2)] = 6,
    visits: Annotated[int, typer.Option(min=1, help="Visits that some of the patients have.")] = 2,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Make a cohort of simulated exams with a planted truth, and a study of it."""
    from submit.phantom import write_phantom

    study = write_phantom(folder, patients=patients, visits=visits, seed=seed)
    typer.echo(f"wrote {study}; go on with: submit check {study}")


@app.command()
def init(
    folder: Annotated[str, typer.Argument(help="Folder of NIfTI files, or an s3:// URL.")],
    output: Annotated[Path, typer.Option(help="Study file to be written.")] = STUDY,
) -> None:
    """Look at a folder of images, recognise its layout, and write a study file of it."""
    from submit.init.command import init_study

    typer.echo(init_study(folder, output, _console()))


@app.command()
def check(
    study: StudyFile = STUDY,
    output: Annotated[
        Path | None, typer.Option(help="Folder for a page with pictures of every exam (check.html).")
    ] = None,
) -> None:
    """Read every file of the cohort; show what was understood, and everything that is wrong or odd."""
    from submit.check.command import check_study

    if not check_study(study, _console(), output):
        raise typer.Exit(ExitCode.DATA)


@app.command()
def prepare(study: StudyFile = STUDY) -> None:
    """Make the block store of the cohort; a second time, only what is missing or damaged."""
    from submit.prepare import prepare_study

    typer.echo(prepare_study(study, _console()))


@app.command()
def plan(
    study: StudyFile = STUDY,
    sd: Annotated[
        float | None,
        typer.Option(min=0, help="SD of the endpoint's difference between two arms in one exam."),
    ] = None,
    noise_sd: Annotated[
        float | None, typer.Option(min=0, help="SD of the endpoint in one exam when trained again.")
    ] = None,
    icc: Annotated[
        float, typer.Option(min=0, max=1, help="Correlation of differences between visits of a patient.")
    ] = 0.5,
    json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Say how small a loss the study can find, before it runs, and how repeats change it."""
    from submit.power_plan import show_plan

    show_plan(study, sd=sd, noise_sd=noise_sd, icc=icc, as_json=json)


@app.command()
def sweep(
    study: StudyFile = STUDY,
    array: Annotated[int | None, typer.Option(help="Size of the grid, to be sure of it.")] = None,
    folds: Annotated[str | None, typer.Option(help="Only these, e.g. 0-7,12.")] = None,
    backend: Annotated[str | None, typer.Option(help="Executor; default: the study's.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be run.")] = False,
    freeze: Annotated[
        bool, typer.Option("--freeze", help="Only make the run, whose folds are started by other means.")
    ] = False,
    budget: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="USD",
            help="AWS Batch: end all jobs when the run has cost so much in all.",
        ),
    ] = None,
) -> None:
    """Run the folds that are not done yet; the same command goes on after a stop."""
    from submit.sweep import run_sweep

    code = run_sweep(
        study,
        array=array,
        folds=folds,
        backend=backend,
        dry_run=dry_run,
        freeze=freeze,
        budget_usd=budget,
        console=_console(),
    )
    raise typer.Exit(code)


@app.command()
def runs(
    study: StudyFile = STUDY,
    json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """List the runs, and in what each differs from the study as it is now."""
    from submit.run_list import show_runs

    show_runs(study, as_json=json)


@app.command()
def status(
    run: Run = None,
    study: StudyOption = STUDY,
    json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Show where the folds of a run are."""
    from submit.status import show_status

    show_status(run, study, as_json=json)


@app.command()
def logs(
    run: Run = None,
    fold: Annotated[int, typer.Option(min=0, help="Number of the fold.")] = 0,
    study: StudyOption = STUDY,
) -> None:
    """Print what the worker of a fold printed."""
    from submit.status import read_log

    typer.echo(read_log(run, study, fold), nl=False)


@app.command()
def cancel(run: Run = None, study: StudyOption = STUDY) -> None:
    """Stop a running sweep; its folds write checkpoints first."""
    from submit.status import cancel_run

    typer.echo(cancel_run(run, study))


@app.command()
def report(
    run: Run = None,
    study: StudyOption = STUDY,
    json: Annotated[
        bool, typer.Option("--json", help="Print report.json and the verdict, for scripts; write nothing.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option(help="Folder for the report; default: the run's.", callback=_at_home)
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(help="Block store, if it is not where the study file says.", callback=_at_home),
    ] = None,
) -> None:
    """Say how each arm did: tables, figures and a page."""
    from submit.report.command import make_report

    typer.echo(make_report(run, study, as_json=json, output=output, store=store))


def _console() -> "Console":
    from rich.console import Console

    return Console(stderr=True)


def main() -> None:
    """Runs the command line; what ends it is a line and an exit code, not a traceback."""
    sys.exit(exit_code_of(lambda: app(prog_name="submit")))
