"""What the tables of `submit check` say: what was understood of a cohort's files, and what its exams are like.

All but `exams_table` are short for a cohort of 36 exams and for one of 3,000.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from job.contract.cohort import Channel, Cohort
from job.contract.wording import dimensions, first_of
from job.data.channel_statistics import ChannelStatistics
from job.data.cohort_files import ExamFiles, FileUse, role_names, uses_of
from job.data.cohort_summary import ExamSummary, Findings
from job.data.geometry import Geometry
from job.data.normalisation import DEFAULT_PERCENTILES
from submit.check.amounts import Amount, Measured, amount_text, middle, range_text
from submit.check.outliers import MARK, RULE
from submit.check.tables import Cell, Column, Table, column
from submit.wording import counted

NAMES_SHOWN = 8
"""Of patients or exams in one cell; of more the first are shown."""
KINDS_SHOWN = 10
"""Rows for kinds of exams; more kinds are one row."""
VALUES_SHOWN = 12
"""Rows for values of label maps; of background values those with most voxels."""
EXAMS_SHOWN = 40
"""Up to so many exams have a row each on a terminal; of more, those with a mark, and not more of them."""

RANGES = "of the median exam (smallest to largest)"

Kind = TypeVar("Kind")
Member = TypeVar("Member")


def overview(found: Findings, cohort: Cohort, own: Measured | None) -> Iterator[Table]:
    """All tables but those of exams, as far as the cohort could be read.

    Args:
        found: What is in its files.
        cohort: Channels and classes.
        own: The amounts of its exams; None if none could be read.
    """
    if found.files:
        read = {exam.exam for exam in found.exams}
        yield files_table(found.files, cohort)
        unread = [files.exam for files in found.files if files.exam not in read]
        yield patients_table(found.files, unread, cohort.exclude)
    if own is not None:
        yield classes_table(own, cohort)
        if cohort.class_files is None:
            yield values_table(own.exams, cohort)
        yield grids_table(own.exams)
        yield channels_table(own, cohort)


def files_table(files: Sequence[ExamFiles], cohort: Cohort) -> Table:
    """For each channel, the labels and the mask one file, what was read from its name, and how many an exam has."""
    uses = [(exam, use) for exam in files for use in uses_of(exam, cohort)]
    first: dict[str, tuple[ExamFiles, FileUse]] = {}
    for exam, use in uses:
        first.setdefault(use.role, (exam, use))
    counts = Counter((use.role, exam.exam) for exam, use in uses)
    examples = [first[role] for role in role_names(cohort) if role in first]
    numbers = [sorted({counts[use.role, exam.exam] for exam in files}) for _, use in examples]
    volumes = ["" if use.index is None else f", volume {use.index}" for _, use in examples]
    return Table.of(
        "Files as the patterns read them",
        column("", "key", (use.role.removeprefix("channel ") for _, use in examples)),
        column(
            "one of the files",
            "words",
            (use.file.key + volume for (_, use), volume in zip(examples, volumes, strict=True)),
        ),
        column("patient", "words", (exam.patient for exam, _ in examples)),
        column("exam", "words", (exam.visit for exam, _ in examples)),
        column(
            "files an exam",
            "numbers",
            ("" if own == [1] else f"{own[0]} to {own[-1]}" if own[1:] else f"{own[0]}" for own in numbers),
        ),
    )


def patients_table(
    files: Sequence[ExamFiles], unread: Sequence[str] = (), excluded: Sequence[str] = ()
) -> Table:
    """The patients by the exams that they have: by their names, or by their number where these are too many.

    Args:
        files: All exams.
        unread: Names of those with a problem.
        excluded: What the study leaves out.
    """
    visits = _grouped((exam.patient, exam.visit) for exam in files)
    by_names = _grouped((tuple(own), patient) for patient, own in visits.items())
    by_number = _grouped((len(own), patient) for patient, own in visits.items())
    few = len(by_names) <= KINDS_SHOWN  # else exams have names of their own, such as dates
    groups = list(by_names.values()) if few else list(by_number.values())
    groups.sort(key=lambda patients: (len(visits[patients[0]]), -len(patients)))
    return Table.of(
        f"{counted(len(files), 'exam')} of {counted(len(visits), 'patient')}",
        column("exams each", "key", (len(visits[patients[0]]) for patients in groups)),
        column(
            "their names" if few else "their names, e.g.",
            "words",
            (_some(visits[patients[0]]) for patients in groups),
        ),
        column("patients", "numbers", map(len, groups)),
        column("who", "words", map(_some, groups)),
        notes=(
            f"{len(unread)} of the exams could not be read: {_some(unread)}. What follows is of the others."
            if unread
            else "",
            f"{len(excluded)} excluded: {_some(excluded)}." if excluded else "",
        ),
    )


def classes_table(measured: Measured, cohort: Cohort) -> Table:
    """How much there is of each class."""
    exams, labels = measured.exams, range(1, len(cohort.classes) + 1)
    having = [[exam for exam in exams if exam.voxels[label]] for label in labels]
    without = [[exam.exam for exam in exams if not exam.voxels[label]] for label in labels]
    patients = len({exam.patient for exam in exams})
    values = cohort.class_values if cohort.class_files is None else [()] * len(labels)
    outside = [exam.outside_mask for exam in exams if exam.outside_mask]
    return Table.of(
        "Classes",
        column("class", "key", cohort.class_names),
        column("values", "words", (", ".join(map(str, own)) for own in values)),
        column("voxels", "numbers", (sum(exam.voxels[label] for exam in exams) for label in labels)),
        column(
            "ml, where there is any",
            "numbers",
            (range_text(value for value in amount.values if value) for amount in measured.volumes.values()),
        ),
        column("exams", "numbers", (f"{len(own)} of {len(exams)}" for own in having)),
        column("patients", "numbers", (f"{len({e.patient for e in own})} of {patients}" for own in having)),
        column("not in", "words", (_some(own) if len(own) < len(exams) / 2 else "" for own in without)),
        notes=(
            f"ml: {RANGES}.",
            f"{sum(outside):,} labelled voxels outside the mask, in {counted(len(outside), 'exam')}, count as "
            "background."
            if outside
            else "",
        ),
    )


def values_table(exams: Sequence[ExamSummary], cohort: Cohort) -> Table:
    """How much there is of each value of the label maps, so that a structure that counts as background is seen."""
    names = dict.fromkeys(cohort.background, "background")
    named = zip(cohort.class_names, cohort.class_values, strict=True)
    names |= {value: name for name, own in named for value in own}
    voxels: Counter[int] = Counter()
    having: dict[int, list[ExamSummary]] = defaultdict(list)
    for exam in exams:
        voxels.update(exam.values)
        for value in exam.values:
            having[value].append(exam)
    hidden = set(cohort.background) - {0}
    shown = [value for value in names if value not in cohort.background or voxels[value]]
    rest = sorted(shown, key=lambda value: (value in hidden, -voxels[value]))[VALUES_SHOWN:]
    shown = sorted(set(shown) - set(rest))
    patients = len({exam.patient for exam in exams})
    return Table.of(
        "Values of the label maps",
        column("value", "key", map(str, shown)),
        column("counts as", "words", (names[value] for value in shown)),
        column("voxels", "numbers", (voxels[value] for value in shown)),
        column("exams", "numbers", (f"{len(having[value])} of {len(exams)}" for value in shown)),
        column(
            "patients",
            "numbers",
            (f"{len({exam.patient for exam in having[value]})} of {patients}" for value in shown),
        ),
        notes=(
            f"{counted(len(rest), 'further value')} with fewer voxels: {_some(list(map(str, sorted(rest))))}."
            if rest
            else "",
            "As the files have them, also outside the mask." if cohort.mask else "",
        ),
    )


def grids_table(exams: Sequence[ExamSummary]) -> Table:
    """The grids of the exams, the most frequent first."""
    kinds = _grouped((_grid(exam.geometry), exam.exam) for exam in exams)
    ordered = sorted(kinds.items(), key=lambda kind: -len(kind[1]))
    if rest := ordered[KINDS_SHOWN:]:
        others = [exam for _, own in rest for exam in own]
        ordered = [*ordered[:KINDS_SHOWN], ((f"{len(rest)} others", "", "", ""), others)]
    grids = [grid for grid, _ in ordered]
    return Table.of(
        "Grids",
        column("exams", "key", (len(own) for _, own in ordered)),
        column("axes", "words", (axes for axes, *_ in grids)),
        column("spacing, mm", "words", (spacing for _, spacing, *_ in grids)),
        column("voxels", "words", (shape for _, _, shape, _ in grids)),
        column("slices", "words", (plane for *_, plane in grids)),
        column("which", "words", (_some(own) if len(own) < len(exams) / 2 else "" for _, own in ordered)),
        notes=(
            "Axes: where those of the files grow to. Spacing and voxels: along x (to the right), y (to the front) "
            "and z (up), as the network sees them.",
        ),
    )


def channels_table(measured: Measured, cohort: Cohort) -> Table:
    """What the channels' values are like over the exams, before normalisation."""
    channels = cohort.channels
    found = {c.name: [exam.channels[c.name] for exam in measured.exams] for c in channels}
    where = "inside the mask" if cohort.mask else "that are not background"
    clipped = any(channel.normalisation == "fixed" for channel in channels)
    return Table.of(
        "Channels",
        column("channel", "key", cohort.channel_names),
        column("normalisation", "words", map(_normalisation, channels)),
        column("median", "numbers", (range_text(measured.locations[c.name].values) for c in channels)),
        column("spread", "numbers", (range_text(measured.spreads[c.name].values) for c in channels)),
        column("region, %", "numbers", (_range_of(measured.regions.get(c.name)) for c in channels)),
        column(
            "clipped, %",
            "numbers",
            (_clipped(found[c.name]) if c.normalisation == "fixed" else "" for c in channels),
        ),
        column("marked", "numbers", (_marked(measured, c.name) for c in channels)),
        notes=(
            f"Of an exam's voxels {where}, before normalisation: the median, and the spread from the 5th to the 95th "
            f"percentile, {RANGES}.",
            "Region: share of the volume that is not background." if measured.regions else "",
            "Clipped: voxels at the low and at the high end of the range." if clipped else "",
        ),
    )


def exams_table(measured: Measured) -> Table:
    """A row for each exam; columns in which all exams are equal are left out, since `grids_table` has them."""
    exams = measured.exams
    grids: dict[str, list[str]] = {
        "axes": [text + MARK * odd for text, odd in zip(measured.axes, measured.odd_axes, strict=True)],
        "spacing, mm": [dimensions(each.text(n) for each in measured.spacing_xyz) for n in range(len(exams))],
        "voxels": [dimensions(reversed(exam.geometry.shape_zyx)) for exam in exams],
    }
    labels = zip(*(exam.files.labels for exam in exams), strict=True)
    parts = {
        f"files of {name}": list(map(len, own))
        for name, own in zip(measured.volumes, labels, strict=False)  # there may be one label map for all
        if max(map(len, own)) > 1
    }
    amounts: dict[str, Amount] = {f"{name}, ml": amount for name, amount in measured.volumes.items()}
    amounts |= {} if measured.mask is None else {"mask, %": measured.mask}
    amounts |= {f"{each.name}, %": each for each in measured.regions.values() if any(each.marks)}
    channels = {name: (own, measured.spreads[name]) for name, own in measured.locations.items()}
    return Table.of(
        "Exams",
        column("patient", "key", (exam.patient for exam in exams)),
        column("exam", "key", (exam.files.visit for exam in exams)),
        *(
            column(name, "words", (Cell(text=text, marked=MARK in text) for text in texts))
            for name, texts in grids.items()
            if len(set(texts)) > 1
        ),
        *(column(name, "numbers", numbers) for name, numbers in parts.items()),
        *(_amounts(name, amount) for name, amount in amounts.items()),
        *(_amounts(name, location, spread) for name, (location, spread) in channels.items()),
        notes=("Channels: median (spread).", RULE if measured.unusual else ""),
    )


def unusual_table(measured: Measured) -> Table:
    """The exams with a mark, and why; of many those with the most marks."""
    unusual = measured.unusual
    most = sorted(sorted(unusual, key=lambda number: -len(unusual[number]))[:EXAMS_SHOWN])
    hidden = len(unusual) - len(most)
    return Table.of(
        f"{counted(len(unusual), 'exam')} of {len(measured.exams):,} with something unusual",
        column("patient", "key", (measured.exams[number].patient for number in most)),
        column("exam", "key", (measured.exams[number].files.visit for number in most)),
        column("unusual", "words", ("; ".join(unusual[number]) for number in most)),
        notes=(
            f"{counted(hidden, 'further exam')} with fewer marks: see the page (--output)." if hidden else "",
            RULE if unusual else "",
        ),
    )


def _grouped(pairs: Iterable[tuple[Kind, Member]]) -> Mapping[Kind, list[Member]]:
    groups: dict[Kind, list[Member]] = defaultdict(list)
    for kind, member in pairs:
        groups[kind].append(member)
    return groups


def _some(names: Sequence[str]) -> str:
    return first_of(names, NAMES_SHOWN)


def _grid(geometry: Geometry) -> tuple[str, str, str, str]:
    spacing = dimensions(f"{mm:.3g}" for mm in reversed(geometry.spacing_zyx_mm))
    return geometry.orientation, spacing, dimensions(reversed(geometry.shape_zyx)), geometry.plane


def _amounts(name: str, amount: Amount, beside: Amount | None = None) -> Column:
    """An amount of every exam, and another in brackets."""
    texts = [
        amount.text(n) + (f" ({beside.text(n)})" if beside is not None else "")
        for n in range(len(amount.values))
    ]
    cells = zip(texts, amount.values, strict=True)
    return column(
        name, "numbers", (Cell(text=text, number=value, marked=MARK in text) for text, value in cells)
    )


def _normalisation(channel: Channel) -> str:
    span = channel.range or (DEFAULT_PERCENTILES if channel.normalisation == "percentile" else None)
    return channel.normalisation + ("" if span is None else f" {span[0]:g} to {span[1]:g}")


def _range_of(amount: Amount | None) -> str:
    return "" if amount is None else range_text(amount.values)


def _clipped(found: Sequence[ChannelStatistics]) -> str:
    low = middle(100 * each.at_low_end for each in found)
    high = middle(100 * each.at_high_end for each in found)
    return f"{amount_text(low)}, {amount_text(high)}"


def _marked(measured: Measured, channel: str) -> Cell | str:
    """How many exams have a mark in this channel; nothing where none has."""
    amounts = (measured.locations.get(channel), measured.spreads.get(channel), measured.regions.get(channel))
    marks = [amount.marks for amount in amounts if amount is not None]
    exams = sum(any(own) for own in zip(*marks, strict=True))
    return Cell(text=f"{exams}{MARK}", number=exams, marked=True) if exams else ""
