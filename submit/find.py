"""What commands call to find a run: AWS Batch is asked where that is needed, and notes are printed."""

import sys
from pathlib import Path

from job.project import Project
from job.request import Request, RunsFolder
from job.run import Run
from submit.runs import run_meant
from submit.submissions import batch_submissions


class _Batch:
    """AWS Batch, whose client is loaded when it is first asked."""

    def runs_of(self, project: Project) -> RunsFolder:
        from submit.aws.jobs import connect

        deployment, _ = connect(project.study.compute.stack)
        deployment.require_study(project.study.name)
        return RunsFolder(deployment.runs_of(project.study.name))

    def lives(self, request: Request) -> bool:
        from submit.aws.jobs import connect
        from submit.aws.liveness import lives

        submissions = batch_submissions(request)
        return lives(submissions, connect(submissions[-1].stack, submissions[-1].region)[1])


BATCH = _Batch()
"""Who is asked of runs on AWS Batch."""


def find_run(name: str | None, study_file: Path, *, exact: bool = False) -> Run | Request:
    """The run that is meant (`submit.runs.run_meant`); notes go to standard error.

    Args:
        name: Of a run, a study file, a folder or URL, or the id of a request; None: the study's latest run.
        study_file: The study whose runs are meant.
        exact: Refuses a run of an earlier text of the study file.

    Raises:
        NoRunYet: The study has none at all.
        StudyError: There is no such run.
    """
    found = run_meant(name, study_file, BATCH, exact=exact)
    for note in found.notes:
        print(f"note: {note}", file=sys.stderr)
    return found.run
