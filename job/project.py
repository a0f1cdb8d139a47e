"""A study file with its study: where its cohort, its store and its runs are, and which folds it stands for."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Self

from job.contract.errors import StudyError
from job.contract.grid import Grid
from job.contract.manifest import Manifest, grid_of
from job.contract.results import utc_now
from job.contract.study import Study
from job.data.cohort_files import ExamFiles, find_cohort
from job.data.prepare import StoreIndex
from job.request import RunsFolder
from job.run import Run
from job.storage import Storage, at_home, open_storage
from job.study_file import load_study


@dataclass(frozen=True)
class Project:
    """A study and the file that it is of; paths of the study are relative to it."""

    file: Path
    study: Study

    @classmethod
    def read(cls, file: Path) -> Self:
        """The project of a study file.

        Raises:
            StudyError: The file is not there, or the study is wrong.
        """
        return cls(file, load_study(file))

    def location(self, named: str) -> str:
        """A folder or URL of the study; folders are relative to the file, and `~` is the home folder."""
        return named if "://" in named else str(self.file.resolve().parent / at_home(named))

    @property
    def cohort(self) -> Storage:
        """The cohort's files.

        Raises:
            StudyError: There is no such folder, or nothing in the bucket's.
        """
        location = self.location(self.study.cohort.root)
        if "://" not in location and not Path(location).is_dir():
            raise StudyError(f"{self.file}: cohort.root is {location}, which is no folder; correct the path")
        root = open_storage(location)
        if "://" in location and next(iter(root.list()), None) is None:
            raise StudyError(
                f"{self.file}: cohort.root is {location}, below which there is no file; correct it"
            )
        return root

    @property
    def store(self) -> Storage:
        """The block store."""
        return open_storage(self.location(self.study.store.folder))

    @property
    def runs(self) -> RunsFolder:
        """Where runs are made."""
        return RunsFolder(self.location(self.study.compute.runs))

    def grid(self) -> Grid:
        """The folds, from the names of the cohort's files alone.

        Raises:
            StudyError: The cohort is too small.
            DataError: Files are missing or doubled.
        """
        return self.grid_over(find_cohort(self.cohort, self.study.cohort))

    def grid_over(self, exams: Sequence[ExamFiles]) -> Grid:
        """The folds over the exams of the cohort.

        Raises:
            StudyError: The cohort is too small.
        """
        try:
            return grid_of(self.study, [exam.patient for exam in exams])
        except ValueError as error:
            raise StudyError(f"{self.file}: {error}") from None

    def run_over(self, index: StoreIndex, *, image: str | None = None) -> Run:
        """The run of the study over prepared exams, whether it is there or not.

        Args:
            index: The exams.
            image: The container image that will run the folds.

        Raises:
            StudyError: The cohort is too small for the study.
        """
        try:
            manifest = Manifest.freeze(
                self.study,
                exams=index.exams,
                recipe=index.recipe,
                created=utc_now(),
                code_version=version("loosweep"),
                image=image,
            )
        except ValueError as error:
            raise StudyError(f"{self.file}: {error}") from None
        return Run(self.runs.run(manifest.run).files, manifest)

    def freeze(self, index: StoreIndex, *, image: str | None = None) -> Run:
        """Makes the run over prepared exams; the existing one, if the same experiment was submitted before.

        Args:
            index: The exams.
            image: The container image that will run the folds.

        Raises:
            StudyError: The cohort is too small for the study.
        """
        run = self.run_over(index, image=image)
        if run.create():
            return run
        existing = Run(run.files)
        if existing.manifest.digest != run.manifest.digest:
            raise StudyError(
                f"{run.url} holds another experiment (digest {existing.manifest.digest}); move it away"
            )
        if existing.manifest.folds > run.manifest.folds or existing.manifest.study == self.study:
            return existing
        # What changes no fold's numbers may change: further reference repeats add folds at the end.
        return existing.extended(run.manifest)
