"""The study file of a layout, with comments that say what was found."""

import json
import re
import textwrap
from collections.abc import Sequence

from job.contract.presets import PRESETS
from job.data.patterns import printable
from submit.init.files import some
from submit.init.layout import FoundChannel, FoundClass, Layout
from submit.init.parts import PATIENTS_NEEDED
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
    channels = counted(len(layout.channels), "channel")
    classes = "1 class" if len(layout.classes) == 1 else f"{len(layout.classes)} classes"
    known = f"; names from {layout.known_from}" if layout.known_from else ""
    return f"Found: {exams}{complete}, {channels}, {classes}{known}"


def grid_in_words(layout: Layout) -> str:
    """How many trainings the study is."""
    exams, arms = len(layout.units) - len(layout.lacking), len(layout.channels) + 1
    return f"{counted(exams, 'exam')} x {arms} arms = {counted(exams * arms, 'fold')}"


def doubts(layout: Layout) -> list[str]:
    """What is not certain, in sentences."""
    said = list(layout.unsure)
    if layout.lacking:
        said.insert(0, _lacking(layout))
    if layout.patients < 2:
        said.append("one patient only; a study needs at least two, one to test and one to train on")
    if layout.resample_to is not None:
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


def _lacking(layout: Layout) -> str:
    names = ["/".join(filter(None, unit)) for unit in layout.lacking]
    shown = ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")
    what = list(dict.fromkeys(part for own in layout.lacking.values() for part in own))
    cannot = "is not whole" if len(names) == 1 else "are not whole"
    return (
        f"{len(names)} of {counted(len(layout.units), 'exam')} {cannot} ({shown}: {', '.join(what[:LISTED])}); see "
        "submit check, and add the files or leave the exams out with cohort.exclude"
    )


def _unsure(layout: Layout) -> list[str]:
    lines = []
    for doubt in doubts(layout):
        lines += _comment(f"unsure: {doubt}.", hanging=True)
    return lines


def _cohort(layout: Layout, root: str) -> list[str]:
    lines = ["[cohort]", f"root = {quoted(root)}"]
    patient, exam = layout.example
    first = layout.channels[0]
    of_exam = f', exam "{exam}"' if layout.has_visits else "; every patient has one exam"
    lines += _comment(f'{first.example} is of patient "{patient}"{of_exam}.')
    lines.append(f"pattern = {quoted(layout.pattern)}")
    lines.append(f"labels = {quoted(layout.labels)}")
    if layout.mask is not None:
        lines += _comment(
            f"Body or brain: what lies outside counts as background. It is {layout.mask_example}."
        )
        lines.append(f"mask = {quoted(layout.mask)}")
    if any(channel.is_map for channel in layout.channels):
        lines += _comment(
            "A parameter map has one unit in all exams, which z-scores lose: for those below that are maps, take "
            'normalisation = "fixed" with a range that holds all that occurs; 5 to 95 % of one file is given.'
        )
    lines += ["channels = [", *(f"    {_channel(each)}" for each in layout.channels), "]"]
    if layout.background != (0,):
        lines.append(f"background = {list(layout.background)}")
    if layout.ignore:
        lines += _comment("Files that the patterns would find, and that are not meant.")
        lines += ["ignore = [", *(f"    {quoted(pattern)}," for pattern in layout.ignore), "]"]
    if layout.lacking:
        names = [quoted("/".join(filter(None, unit))) for unit in layout.lacking]
        lines += [f"# exclude = [{', '.join(names)}]"]
    if layout.resample_to is not None:
        lines.append(f"# resample_to = {quoted(layout.resample_to)}")
    return [*lines, "", *_classes(layout)]


def _channel(channel: FoundChannel) -> str:
    name = quoted(channel.name)
    extra = "" if channel.files is None else f", files = {quoted(channel.files)}"
    extra += "" if channel.index is None else f", index = {channel.index}"
    entry = f"{{ name = {name}{extra} }}" if extra else name
    line = f"{entry},  # {printable(channel.example)}"
    if channel.is_map and channel.low < channel.high:
        span = f"[{channel.low:.3g}, {channel.high:.3g}]"
        line += f'; or {{ name = {name}{extra}, normalisation = "fixed", range = {span} }}'
    return line


def _classes(layout: Layout) -> list[str]:
    exams = counted(layout.counted_exams, "exam")
    what = f"Voxels in the labels of {exams}"
    if layout.counted_exams < len(layout.units) - len(layout.lacking):
        what += f" of {len(layout.units)}"
    if "{class}" in layout.labels:
        what += "; each class has a file of its own, whose name the text stands for"
    lines = [*_comment(f"{what}."), "[cohort.classes]"]
    for each in layout.classes:
        value = each.value if isinstance(each.value, int) else quoted(each.value)
        lines.append(f"{key(each.name)} = {value}  # {_said(each, layout)}")
    if layout.structures:
        lines += ["", *_comment("Unions of classes, tested beside them."), "[cohort.structures]"]
        for name, members in layout.structures.items():
            lines.append(f"{key(name)} = [{', '.join(map(quoted, members))}]")
    return lines


def _said(found: FoundClass, layout: Layout) -> str:
    said = f"{found.voxels:,} voxels, in {counted(found.exams, 'exam')}"
    if not found.is_named:
        said += "; give it a name"
    if found.patients < PATIENTS_NEEDED <= layout.patients:
        said += (
            f". In {counted(found.patients, 'patient')} only: join it to another class, or to the background"
        )
    return said


def _sweep(layout: Layout) -> list[str]:
    first = next(iter(layout.structures), layout.classes[0].name)
    return [
        "[sweep]",
        *_comment(f"Each channel is left out once: {grid_in_words(layout)}."),
        'leave_out = "channels"',
        *_comment(
            "What the verdict is about, fixed before anything runs; by default Dice of the first class."
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
    lines = [found_in_words(layout), f"  images: {layout.pattern}", f"  labels: {layout.labels}"]
    lines += [f"  mask: {layout.mask}"] if layout.mask is not None else []
    lines += [
        f"  channels: {some([channel.name for channel in layout.channels], SHOWN)}",
        f"  classes: {some([each.name for each in layout.classes], SHOWN)}",
        f"  grid: {grid_in_words(layout)}",
    ]
    return [*map(printable, lines), *(f"unsure: {doubt}" for doubt in doubts(layout))]
