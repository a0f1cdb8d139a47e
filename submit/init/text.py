"""The study file of a layout, with comments that say what was found."""

import json
import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from job.contract.presets import PRESETS
from job.data.patterns import printable
from submit.init.files import some
from submit.init.layout import Layout
from submit.wording import counted

PRESET = "smoke"
COLUMNS = 108
"""Of a comment."""
LISTED = 6
"""Exams that a comment names."""
SHOWN = 12
"""Channels, or classes, that a terminal shows."""


def study_text(layout: Layout, *, name: str, folder: str, root: str) -> str:
    """A study file.

    Args:
        layout: What was found.
        name: Of the study.
        folder: Of the images, for a comment.
        root: Of the cohort, as the file is to name it.
    """
    others = ", ".join(preset for preset in PRESETS if preset != PRESET)
    lines = [
        *_comment(f"A leave-one-out study of the images in {folder}, as `submit init` understood them."),
        *_comment("Read what is said here, correct what is wrong, then: submit check"),
        "#",
        *_comment(f"{found_in_words(layout)}."),
        *_unsure(layout),
        "",
        f"name = {quoted(name)}",
        *_comment(f"The network and its training: {PRESET} is small, for a first try; others: {others}."),
        f"preset = {quoted(PRESET)}",
        "",
        *_cohort(layout, root),
        "",
        *_sweep(layout),
    ]
    return "\n".join(lines) + "\n"


def found_in_words(layout: Layout) -> str:
    """Patients, exams, channels and classes."""
    exams = f"{counted(len(layout.units), 'exam')} of {counted(layout.patients, 'patient')}"
    whole = len(layout.units) - len(layout.lacking)
    complete = f", {whole} of them complete" if layout.lacking else ""
    channels = counted(len(layout.table["channels"]), "channel")
    number = len(layout.table["classes"])
    known = f"; names from {layout.known_from}" if layout.known_from else ""
    return f"Found: {exams}{complete}, {channels}, {number} class{'es' if number > 1 else ''}{known}"


def grid_in_words(layout: Layout) -> str:
    """How many trainings the study is."""
    exams, arms = len(layout.units) - len(layout.lacking), len(layout.table["channels"]) + 1
    return f"{counted(exams, 'exam')} x {arms} arms = {counted(exams * arms, 'fold')}"


def doubts(layout: Layout) -> list[str]:
    """What is not certain, in sentences."""
    said = list(layout.unsure)
    if layout.lacking:
        said.insert(0, _lacking(layout))
    if layout.patients < 2:
        said.append("one patient only; a study needs at least two, one to test and one to train on")
    if "resample_to" in layout.notes:
        said.append(
            "the files of an exam are on different grids; cohort.resample_to brings them onto the grid of one channel"
        )
    return [printable(each) for each in said]


def quoted(text: str) -> str:
    """A text as a TOML string."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def key(text: str) -> str:
    """A text as a TOML key."""
    return text if re.fullmatch(r"[A-Za-z0-9_-]+", text) else quoted(text)


def value(item: Any) -> str:
    """A number, a text, a list or an inline table as TOML."""
    if isinstance(item, Mapping):
        return f"{{ {', '.join(f'{key(name)} = {value(own)}' for name, own in item.items())} }}"
    if isinstance(item, str):
        return quoted(item)
    return f"[{', '.join(map(value, item))}]" if isinstance(item, Sequence) else str(item)


def _lacking(layout: Layout) -> str:
    names = ["/".join(filter(None, unit)) for unit in layout.lacking]
    cannot = "is not whole" if len(names) == 1 else "are not whole"
    return (
        f"{len(names)} of {counted(len(layout.units), 'exam')} {cannot} ({some(names, LISTED)}: "
        f"{some(layout.faults, LISTED)}); see submit check, and add the files or leave the exams out with "
        "cohort.exclude"
    )


def _unsure(layout: Layout) -> list[str]:
    return [line for doubt in doubts(layout) for line in _comment(f"unsure: {doubt}.", hanging=True)]


def _cohort(layout: Layout, root: str) -> list[str]:
    table, notes = layout.table, layout.notes
    lines = ["[cohort]", f"root = {quoted(root)}", *_comment(notes.get("pattern", ""))]
    lines += [f"pattern = {quoted(table['pattern'])}", f"labels = {quoted(table['labels'])}"]
    if "mask" in table:
        lines += _comment(f"Body or brain: what lies outside counts as background. It is {notes['mask']}.")
        lines.append(f"mask = {quoted(table['mask'])}")
    lines += _comment(notes.get("channels", ""))
    lines += ["channels = [", *(f"    {_channel(each, notes)}" for each in table["channels"]), "]"]
    if table.get("background", [0]) != [0]:
        lines.append(f"background = {value(table['background'])}")
    if "ignore" in table:
        lines += _comment("Files that the patterns would find, and that are not meant.")
        lines += ["ignore = [", *(f"    {quoted(pattern)}," for pattern in table["ignore"]), "]"]
    if layout.lacking:
        lines.append(f"# exclude = {value(['/'.join(filter(None, unit)) for unit in layout.lacking])}")
    if "resample_to" in notes:
        lines.append(f"# resample_to = {quoted(notes['resample_to'])}")
    return [*lines, "", *_classes(layout)]


def _channel(entry: str | Mapping[str, Any], notes: Mapping[str, str]) -> str:
    """A channel with a file of it and, if it is a map, with its range."""
    own = {"name": entry} if isinstance(entry, str) else dict(entry)
    name = own["name"]
    line = f"{value(entry)},  # {printable(notes.get(f'channel {name}', ''))}"
    if span := notes.get(f"range of {name}"):
        mapped = value(own | {"normalisation": "fixed"}).removesuffix(" }")
        line += f"; or {mapped}, range = {span} }}"
    return line


def _classes(layout: Layout) -> list[str]:
    table, notes = layout.table, layout.notes
    what = f"Voxels in the labels of {counted(layout.counted_exams, 'exam')}"
    if layout.counted_exams < len(layout.units) - len(layout.lacking):
        what += f" of {len(layout.units)}"
    if "{class}" in table["labels"]:
        what += "; each class has a file of its own, whose name the text stands for"
    lines = [*_comment(f"{what}."), "[cohort.classes]"]
    for name, own in table["classes"].items():
        lines.append(f"{key(name)} = {value(own)}  # {printable(notes.get(f'class {name}', ''))}")
    if table.get("structures"):
        lines += ["", *_comment("Unions of classes, tested beside them."), "[cohort.structures]"]
        lines += [f"{key(name)} = {value(members)}" for name, members in table["structures"].items()]
    return lines


def _sweep(layout: Layout) -> list[str]:
    first, unions = next(iter(layout.table["classes"])), layout.table.get("structures", {})
    others = f"; it may be a union too ({some(list(unions))})" if unions else ""
    return [
        "[sweep]",
        *_comment(f"Each channel is left out once: {grid_in_words(layout)}."),
        'leave_out = "channels"',
        *_comment(
            f"What the verdict is about, fixed before anything runs; by default Dice of the first class{others}."
        ),
        f'# endpoint = {{ class = {quoted(first)}, metric = "dice" }}',
    ]


def _comment(text: str, *, hanging: bool = False) -> list[str]:
    """A sentence as comment lines."""
    return textwrap.wrap(
        printable(text),
        COLUMNS,
        initial_indent="# ",
        subsequent_indent="#     " if hanging else "# ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def summary(layout: Layout) -> Sequence[str]:
    """What was found, for a terminal."""
    table = layout.table
    names = [entry if isinstance(entry, str) else entry["name"] for entry in table["channels"]]
    lines = [found_in_words(layout), f"  images: {table['pattern']}", f"  labels: {table['labels']}"]
    lines += [f"  mask: {table['mask']}"] if "mask" in table else []
    lines += [
        f"  channels: {some(names, SHOWN)}",
        f"  classes: {some(list(table['classes']), SHOWN)}",
        f"  grid: {grid_in_words(layout)}",
    ]
    return [*map(printable, lines), *(f"unsure: {doubt}" for doubt in doubts(layout))]
