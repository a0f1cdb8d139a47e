"""Pictures of tested exams: a slice of every channel, the truth, and the predictions of two arms.

Shapes as in `submit.slices`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from io import BytesIO
from math import ceil
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray
from pandas import isna

from job.contract.errors import DataError
from job.contract.grid import REFERENCE
from job.contract.manifest import Manifest
from submit.analysis.results_table import Results
from submit.analysis.wording import METRIC_STYLES, shortened
from submit.report.chosen_exams import Endpoint, chosen_exams, rows_by_exam, value_of
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
    """Arm - reference in this test, of `metric` of `structure`."""
    structure: str
    metric: str
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
    harms: Sequence[tuple[str, Endpoint]] = (),
    limit: int = 14,
) -> Montages:
    """Pictures of tests of the first repeat: those that `chosen_exams` chooses.

    Args:
        results: What there is of the run.
        manifest: What the run is.
        load_exam: An exam by its number in the manifest.
        load_prediction: The prediction (Z, Y, X) of a fold for one of its test exams, both by number, on
            the exam's canonical grid.
        harms: Arms and what is worse in them beside the endpoint.
        limit: At most this many pictures are shown.
    """
    endpoint, labels = manifest.study.endpoint, manifest.study.cohort.structure_labels
    tests_of = cache(partial(rows_by_exam, results.table, manifest))
    shown: list[ExamMontage] = []
    problems: list[str] = []
    for choice in chosen_exams(tests_of, (endpoint.leading, endpoint.metric), harms, limit):
        by_arm = tests_of(choice.structure)[choice.exam]
        rows = [by_arm[arm] for arm in (REFERENCE, choice.arm) if arm is not None]
        try:
            images = load_exam(choice.exam)
            predictions = {_title(row, choice.metric): load_prediction(row.fold, choice.exam) for row in rows}
        except (DataError, FileNotFoundError) as error:
            gone = f"{error.filename} is missing" if isinstance(error, FileNotFoundError) else None
            problems.append(gone or str(error))
            continue
        png = montage(
            images.image_CZYX,
            images.truth_ZYX,
            predictions,
            images.channels,
            manifest.study.cohort.class_names,
            images.spacing_zyx_mm,
            labels[choice.structure],
        )
        entry = manifest.exams[choice.exam]
        shown.append(
            ExamMontage(
                exam=entry.exam,
                patient=entry.patient,
                compared=choice.arm,
                difference=choice.difference,
                structure=choice.structure,
                metric=choice.metric,
                png=png,
            )
        )
    return Montages(shown=tuple(shown), tested=len(tests_of(endpoint.leading)), problems=tuple(problems))


def _title(row: Any, metric: str) -> str:
    style, value = METRIC_STYLES[metric], value_of(row, metric)
    score = "correct absence" if isna(value) else f"{style.name} {style.text(value)} {style.unit}".rstrip()
    return f"{row.arm}\n{score}"


def montage(
    image_CZYX: NDArray[Any],
    truth_ZYX: NDArray[np.uint8],
    predictions: Mapping[str, NDArray[np.uint8]],
    channel_names: Sequence[str],
    class_names: Sequence[str],
    spacing_zyx_mm: Sequence[float],
    labels: Sequence[int] | None = None,
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
        labels: By which the slice is chosen; None: by all.
    """
    z = slice_to_show(truth_ZYX, predictions, labels)
    drawn = {"truth": truth_ZYX[z], **{title: label_ZYX[z] for title, label_ZYX in predictions.items()}}
    box = _box(image_CZYX[:, z], list(drawn.values()))
    images = [as_seen(channel_YX[box].astype(np.float32)) for channel_YX in image_CZYX[:, z]]

    _, y_mm, x_mm = spacing_zyx_mm
    rows, columns = images[0].shape
    panels = len(images) + len(drawn) + (len(predictions) == 2)
    figure, cells = _grid(panels, len(class_names), height_per_width=rows * y_mm / (columns * x_mm))
    for axes, name, image_YX in zip(cells[: len(images)], channel_names, images, strict=True):
        _draw_image(axes, name, image_YX, aspect=y_mm / x_mm)
    of_labels = cells[len(images) : len(images) + len(drawn)]
    for axes, (title, label_YX) in zip(of_labels, drawn.items(), strict=True):
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


def slice_to_show(
    truth_ZYX: NDArray[np.uint8],
    predictions: Mapping[str, NDArray[np.uint8]],
    labels: Sequence[int] | None = None,
) -> int:
    """The axial slice in which two predictions differ most.

    Else that with the most voxels of the truth; without any, of a prediction; else the middle. Where labels are
    given, only these count.
    """
    if labels is not None:
        truth_ZYX = np.isin(truth_ZYX, labels).astype(np.uint8)
        predictions = {
            name: np.where(np.isin(own_ZYX, labels), own_ZYX, 0) for name, own_ZYX in predictions.items()
        }
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
