"""Pictures of tested exams: a slice of every channel, the truth, and the predictions of two arms.

Shapes as in `submit.slices`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from math import ceil
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray
from pandas import DataFrame, isna

from job.contract.errors import DataError
from job.contract.grid import REFERENCE
from job.contract.manifest import Manifest
from submit.analysis.results_table import Results
from submit.analysis.wording import METRIC_STYLES, shortened
from submit.slices import Box, as_seen, box_around, class_colour, fullest_slice

COLUMNS = 7
PANEL_INCHES = 1.6
GAP_INCHES = 0.04
TITLE_INCHES = 0.42
LEGEND_INCHES = 0.28
LEGEND_ENTRY_INCHES = 1.6
TITLE_LETTERS = 22
"""Of a line above a panel."""


@dataclass(frozen=True, kw_only=True)
class ExamImages:
    """An exam on its canonical grid."""

    image_CZYX: NDArray[Any]
    channels: tuple[str, ...]
    """Names of the image's channels, in its order."""
    truth_ZYX: NDArray[np.uint8]
    spacing_zyx_mm: tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class ExamMontage:
    """A tested exam and its picture."""

    exam: str
    patient: str
    compared: str | None
    """The arm beside the reference; None as long as no arm has been tested."""
    difference: float | None
    """Of the primary endpoint in this test: arm - reference."""
    png: bytes


@dataclass(frozen=True, kw_only=True)
class Montages:
    """Pictures of some of the exams."""

    shown: tuple[ExamMontage, ...] = ()
    tested: int = 0
    """Number of exams of which there could be a picture: those that the reference arm has tested."""
    problems: tuple[str, ...] = ()
    """Why some of those that were chosen are not shown."""


def montages_of(
    results: Results,
    manifest: Manifest,
    load_exam: Callable[[int], ExamImages],
    load_prediction: Callable[[int, int], NDArray[np.uint8]],
    limit: int = 14,
) -> Montages:
    """Pictures of the exams whose test an arm hurts most, and helps most, in its first repeat.

    The largest difference comes first; an exam is shown once for each arm at most. As long as there is no difference,
    exams spread evenly over those that the reference arm has tested.

    Args:
        results: What there is of the run.
        manifest: What the run is.
        load_exam: An exam by its number in the manifest.
        load_prediction: The prediction (Z, Y, X) of a fold for one of its test exams, both by number, on
            the exam's canonical grid.
        limit: At most this many pictures are shown.
    """
    cohort, metric = manifest.study.cohort, manifest.study.endpoint.metric
    tests = dict(_tests_by_exam(results.table, manifest))
    shown: list[ExamMontage] = []
    problems: list[str] = []
    for number, arm, difference in (extremes(tests, metric) or _spread(tests, limit))[:limit]:
        by_arm = tests[number]
        arms = [REFERENCE] if arm is None else [REFERENCE, arm]
        try:
            images = load_exam(number)
            predictions = {_title(by_arm[a], metric): load_prediction(by_arm[a].fold, number) for a in arms}
        except (DataError, FileNotFoundError) as error:
            gone = f"{error.filename} is missing" if isinstance(error, FileNotFoundError) else None
            problems.append(gone or str(error))
            continue
        png = montage(
            images.image_CZYX,
            images.truth_ZYX,
            predictions,
            images.channels,
            cohort.class_names,
            images.spacing_zyx_mm,
        )
        entry = manifest.exams[number]
        shown.append(
            ExamMontage(exam=entry.exam, patient=entry.patient, compared=arm, difference=difference, png=png)
        )
    return Montages(shown=tuple(shown), tested=len(tests), problems=tuple(problems))


def _tests_by_exam(table: DataFrame, manifest: Manifest) -> list[tuple[int, dict[str, Any]]]:
    """For each exam that the reference arm has tested: its number, and by arm the row of the endpoint."""
    rows = table[(table["repeat"] == 0) & (table["structure"] == manifest.study.endpoint.leading)]
    tests: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows.itertuples():
        tests.setdefault((str(row.patient), str(row.exam)), {})[str(row.arm)] = row
    numbered = [(n, tests.get((e.patient, e.exam), {})) for n, e in enumerate(manifest.exams)]
    return [(number, by_arm) for number, by_arm in numbered if REFERENCE in by_arm]


Choice = tuple[int, str | None, float | None]
"""Exam, arm, and difference between arm and reference."""


def _spread(tests: Mapping[int, Any], limit: int) -> list[Choice]:
    numbers = list(tests)
    places = np.linspace(0, len(numbers) - 1, min(limit, len(numbers))).round().astype(int)
    return [(numbers[place], None, None) for place in places]


def extremes(tests: Mapping[int, Mapping[str, Any]], metric: str) -> list[Choice]:
    """For each arm the exam in which it is worst beside the reference, and the one in which it is best.

    Args:
        tests: By exam and arm, rows that have the metric.
        metric: Its name.

    Returns:
        The largest differences first.
    """
    by_arm: dict[str, list[tuple[float, int]]] = {}
    for number, rows in tests.items():
        reference = getattr(rows[REFERENCE], metric)
        for arm, row in rows.items():
            value = getattr(row, metric)
            if arm != REFERENCE and not isna(value) and not isna(reference):
                by_arm.setdefault(arm, []).append((float(value) - float(reference), number))
    ends = {(end, arm) for arm, found in by_arm.items() for end in (min(found), max(found))}
    ordered = sorted(ends, key=lambda each: (-abs(each[0][0]), each[1], each[0][1]))
    return [(number, arm, difference) for (difference, number), arm in ordered]


def _title(row: Any, metric: str) -> str:
    style, value = METRIC_STYLES[metric], getattr(row, metric)
    score = "correct absence" if isna(value) else f"{style.name} {style.text(value)} {style.unit}".rstrip()
    return f"{row.arm}\n{score}"


def montage(
    image_CZYX: NDArray[Any],
    truth_ZYX: NDArray[np.uint8],
    predictions: Mapping[str, NDArray[np.uint8]],
    channel_names: Sequence[str],
    class_names: Sequence[str],
    spacing_zyx_mm: Sequence[float],
) -> bytes:
    """A PNG of one axial slice; truth and predictions are drawn over the first channel.

    Of two predictions the last panel shows the signed difference.

    The slice is cropped to the body. Grey runs from the 1st to the 99th percentile of what is shown.

    Args:
        image_CZYX: Channels in the order of `channel_names`.
        truth_ZYX: Label map; class k of `class_names`, counted from 1, is label k.
        predictions: Label maps (Z, Y, X) by the title that stands above each.
        channel_names: Titles of the channels.
        class_names: For the legend.
        spacing_zyx_mm: Distance between neighbouring voxels on each axis.
    """
    z = slice_to_show(truth_ZYX, predictions)
    labels = {"truth": truth_ZYX[z], **{title: label_ZYX[z] for title, label_ZYX in predictions.items()}}
    box = _box(image_CZYX[:, z], list(labels.values()))
    images = [as_seen(channel_YX[box].astype(np.float32)) for channel_YX in image_CZYX[:, z]]

    _, y_mm, x_mm = spacing_zyx_mm
    rows, columns = images[0].shape
    panels = len(images) + len(labels) + (len(predictions) == 2)
    figure, cells = _grid(panels, len(class_names), height_per_width=rows * y_mm / (columns * x_mm))
    for axes, name, image_YX in zip(cells[: len(images)], channel_names, images, strict=True):
        _draw_image(axes, name, image_YX, aspect=y_mm / x_mm)
    of_labels = cells[len(images) : len(images) + len(labels)]
    for axes, (title, label_YX) in zip(of_labels, labels.items(), strict=True):
        _draw_image(axes, title, images[0], aspect=y_mm / x_mm)
        _draw_labels(axes, as_seen(label_YX[box]))
    if len(predictions) == 2:
        one, other = (as_seen(label_ZYX[z][box]) for label_ZYX in predictions.values())
        _draw_image(cells[-1], "only arm (red), only\nreference (blue)", images[0], aspect=y_mm / x_mm)
        _draw_difference(cells[-1], one, other)
    cells[0].text(0.03, 0.97, "R", color="white", fontsize=7, va="top", transform=cells[0].transAxes)
    patches = [
        Patch(color=class_colour(k), label=shortened(name, TITLE_LETTERS))
        for k, name in enumerate(class_names, start=1)
    ]
    columns = max(1, int(figure.get_figwidth() // LEGEND_ENTRY_INCHES))
    legend = figure.legend(
        handles=patches, loc="lower left", ncols=columns, frameon=False, fontsize=8, borderaxespad=0
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
    file = BytesIO()
    figure.savefig(file, format="png", dpi=110)
    return file.getvalue()


def slice_to_show(truth_ZYX: NDArray[np.uint8], predictions: Mapping[str, NDArray[np.uint8]]) -> int:
    """The axial slice in which two predictions differ most.

    Else that with the most voxels of the truth; without any, of a prediction; else the middle.
    """
    differing = []
    if len(predictions) == 2:
        one_ZYX, other_ZYX = predictions.values()
        differing = [one_ZYX != other_ZYX]
    for labels_ZYX in (*differing, truth_ZYX, *predictions.values()):
        if (fullest := fullest_slice(labels_ZYX)) is not None:
            return fullest
    return len(truth_ZYX) // 2


def _box(image_CYX: NDArray[Any], labels: Sequence[NDArray[np.uint8]]) -> Box:
    """The smallest box around all that differs from the image's corner, and around the labels."""
    inside_YX = (image_CYX != image_CYX[:, :1, :1]).any(axis=0)
    for label_YX in labels:
        inside_YX |= label_YX > 0
    return box_around(inside_YX)


def _grid(panels: int, classes: int, *, height_per_width: float) -> tuple[Figure, list[Axes]]:
    """A figure with a cell for each panel, in rows of about the same length, above a legend of the classes."""
    rows = ceil(panels / COLUMNS)
    columns = ceil(panels / rows)
    panel_height = PANEL_INCHES * height_per_width
    width = columns * (PANEL_INCHES + GAP_INCHES)
    legend_rows = ceil(classes / max(1, width // LEGEND_ENTRY_INCHES))
    height = rows * (TITLE_INCHES + panel_height) + LEGEND_INCHES * legend_rows
    figure = Figure(figsize=(width, height))
    cells = []
    for panel in range(panels):
        row, column = divmod(panel, columns)
        left = column * (PANEL_INCHES + GAP_INCHES)
        bottom = height - (row + 1) * (TITLE_INCHES + panel_height)
        cells.append(
            figure.add_axes((left / width, bottom / height, PANEL_INCHES / width, panel_height / height))
        )
        cells[-1].set_axis_off()
    return figure, cells


def _draw_image(axes: Axes, title: str, image_YX: NDArray[np.float32], *, aspect: float) -> None:
    low, high = np.percentile(image_YX, (1, 99))
    axes.imshow(image_YX, cmap="gray", vmin=low, vmax=high, aspect=aspect)
    lines = [shortened(line, TITLE_LETTERS) for line in title.split("\n")]
    axes.set_title("\n".join(lines), fontsize=8, parse_math=False)
    axes.autoscale(enable=False)


def _draw_labels(axes: Axes, label_YX: NDArray[np.uint8]) -> None:
    """Fills each class faintly and draws its outline."""
    height, width = label_YX.shape
    x, y = np.arange(-1, width + 1), np.arange(-1, height + 1)
    for label in np.unique(label_YX[label_YX > 0]):
        mask_YX = label_YX == label
        fill_YX4 = np.zeros((height, width, 4))
        fill_YX4[mask_YX] = to_rgba(class_colour(label), alpha=0.25)
        axes.imshow(fill_YX4, aspect=axes.get_aspect())
        # A margin of one voxel closes the outline of what touches the border.
        axes.contour(x, y, np.pad(mask_YX, 1), levels=[0.5], colors=class_colour(label), linewidths=1.2)


def _draw_difference(axes: Axes, one_YX: NDArray[np.uint8], other_YX: NDArray[np.uint8]) -> None:
    """Colours voxels that only one of two predictions calls tumour, and those to which they give other classes."""
    colours = {"#2166AC": (one_YX > 0) & (other_YX == 0), "#D6301D": (one_YX == 0) & (other_YX > 0)}
    colours["#F0E442"] = (one_YX > 0) & (other_YX > 0) & (one_YX != other_YX)
    for colour, mask_YX in colours.items():
        fill_YX4 = np.zeros((*mask_YX.shape, 4))
        fill_YX4[mask_YX] = to_rgba(colour, alpha=0.85)
        axes.imshow(fill_YX4, aspect=axes.get_aspect())
