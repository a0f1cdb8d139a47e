"""The page of `submit check`: the tables, and pictures of every exam; files that need nothing else to be read."""

import re
from base64 import b64encode
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from jinja2 import Environment, PackageLoader, StrictUndefined

from job.contract.errors import Problem
from job.contract.study import Study
from job.data.cohort_files import ExamFiles
from job.data.cohort_summary import Findings
from job.storage import Storage
from submit.check.amounts import Measured, amount_text, measured
from submit.check.contents import exams_table, overview
from submit.check.pictures import Plane, View
from submit.check.strips import Strip, strip_of
from submit.check.tables import Cell, Table
from submit.problems import by_cause
from submit.slices import CLASS_COLOURS, class_colour
from submit.wording import counted

EXAMS_PER_PAGE = 100
"""With pictures, which are about 5 MB with 7 channels; further exams are on further pages."""
FURTHER_PAGE = re.compile(r"check-\d+\.html")
SIDES: Mapping[Plane, tuple[str, str]] = {"axial": ("R", "A"), "coronal": ("R", "S"), "sagittal": ("A", "S")}
"""What is on the left of a view, and what is up."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An exam as the page shows it."""

    number: int
    """Among all exams."""
    files: ExamFiles
    read: bool
    volumes: str
    """Of the classes."""
    unusual: tuple[str, ...]
    said: tuple[str, ...]
    """Problems and warnings about its files."""
    views: tuple[View, ...]

    @property
    def link(self) -> str:
        """Where its pictures are."""
        return f"{page_name(self.number // EXAMS_PER_PAGE)}#exam-{self.number + 1}"


@dataclass(frozen=True, kw_only=True)
class Check:
    """All that the page is made from."""

    study: Study
    found: Findings
    pictures: Mapping[str, tuple[View, ...]]
    """By exam."""

    @cached_property
    def measured(self) -> Measured | None:
        """The amounts of the exams; None if none could be read."""
        return measured(self.found.exams, self.study.cohort) if self.found.exams else None

    @cached_property
    def tables(self) -> list[Table]:
        """Those that are short."""
        return list(overview(self.found, self.study.cohort, self.measured))

    @cached_property
    def problems(self) -> list[Problem]:
        """One for each cause."""
        return by_cause(self.found.problems)

    @cached_property
    def warnings(self) -> list[Problem]:
        """One for each cause."""
        return by_cause(self.found.warnings)

    @cached_property
    def entries(self) -> list[Entry]:
        """All exams, in the order of the grid."""
        about: dict[str, list[str]] = defaultdict(list)
        for kind, problems in (("problem", self.found.problems), ("warning", self.found.warnings)):
            for problem in problems:
                about[problem.file].append(f"{kind}: {problem.file}: {problem.found}")
        read = {exam.exam: number for number, exam in enumerate(self.found.exams)}
        own = self.measured
        return [
            Entry(
                number=number,
                files=files,
                read=files.exam in read,
                volumes=_volumes(own, read[files.exam]) if own and files.exam in read else "",
                unusual=own.unusual.get(read[files.exam], ()) if own and files.exam in read else (),
                said=tuple(line for item in files.all for line in about[item.key]),
                views=self.pictures.get(files.exam, ()),
            )
            for number, files in enumerate(self.found.files)
        ]

    @cached_property
    def exams(self) -> Table | None:
        """A row for each exam that could be read."""
        return exams_table(self.measured) if self.measured else None

    @property
    def rows(self) -> list[tuple[Entry, tuple[Cell, ...]]]:
        """The rows of `exams`, with where the exam's pictures are."""
        read = [entry for entry in self.entries if entry.read]
        return list(zip(read, self.exams.rows if self.exams else (), strict=True))

    @property
    def strips(self) -> list[tuple[str, Strip | None, Strip | None]]:
        """By channel, its medians and its spreads."""
        if self.measured is None:
            return []
        names = [exam.exam for exam in self.measured.exams]
        return [
            (channel, strip_of(location, names), strip_of(self.measured.spreads[channel], names))
            for channel, location in self.measured.locations.items()
        ]


def page_name(page: int) -> str:
    """The file of a page, counted from 0."""
    return "check.html" if page == 0 else f"check-{page + 1}.html"


def write_pages(folder: Storage, check: Check) -> None:
    """Writes check.html, which has all but the pictures after the first 100 exams', and check-2.html and so on.

    Those of a larger cohort are deleted. The same cohort gives the same files.
    """
    template = _environment().get_template("check.html")
    entries = check.entries
    names = [page_name(page) for page in range(max(-(-len(entries) // EXAMS_PER_PAGE), 1))]
    for page, name in enumerate(names):
        shown = entries[page * EXAMS_PER_PAGE : (page + 1) * EXAMS_PER_PAGE]
        html = template.render(check=check, page=page, names=names, shown=shown)
        folder.write(name, html.encode())
    for item in list(folder.list("check-")):
        if FURTHER_PAGE.fullmatch(item.key) and item.key not in names:
            folder.delete(item.key)


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("submit", "check"), autoescape=True, undefined=StrictUndefined
    )
    environment.filters |= {"counted": counted, "webp": _webp_url}
    environment.globals |= {"SIDES": SIDES, "CLASS_COLOURS": CLASS_COLOURS, "class_colour": class_colour}
    return environment


def _webp_url(data: bytes) -> str:
    return f"data:image/webp;base64,{b64encode(data).decode()}"


def _volumes(own: Measured, exam: int) -> str:
    return ", ".join(
        f"{name} {amount_text(amount.values[exam], 'ml')}" for name, amount in own.volumes.items()
    )
