import itertools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from job.contract import layout
from job.run import Run
from submit.analysis.aggregate import aggregate
from submit.analysis.pairing import paired_block
from submit.analysis.results_table import collect_results
from submit.report.figures import arms_figure, encode, folds_figure

SEVEN_CHANNELS = ["t2", "t1", "t1c", "t2star", "ktrans", "ve", "adc"]


@pytest.fixture
def figures_of(storage):
    """Both figures of the results so far, of a study with the class `tumour`."""

    def draw(manifest, structures=("tumour",)):
        results = collect_results(Run(storage, manifest))
        table = paired_block(results.table, manifest.study.sweep.repeats)
        return (
            folds_figure(table, manifest.arms, structures),
            arms_figure(aggregate(results, manifest), manifest.arms, structures),
        )

    return draw


def points_by_label(figure):
    (axes,) = figure.axes
    return {
        collection.get_label(): np.asarray(collection.get_offsets())
        for collection in axes.collections
        if collection.get_label() in ("one test", "miss", "false alarm")
    }


def test_every_defined_dice_is_drawn_in_its_arm_by_status(
    storage, make_manifest, make_result, score, figures_of
):
    manifest = make_manifest(exams=4)
    scores = {
        0: score(0.9),
        3: score(None),
        6: score(0.0, status="miss", predicted_ml=0.0),
        9: score(0.0, status="false-alarm", reference_ml=0.0),
        2: score(0.7),
    }
    for index, own in scores.items():
        storage.write(layout.result(index), make_result(manifest, index, {"tumour": own}).to_json())

    points = points_by_label(figures_of(manifest)[0])

    assert sorted(points["one test"][:, 1]) == [0.7, 0.9]
    assert [round(x) for x, y in points["one test"] if y == 0.7] == [2]
    assert len(points["miss"]) == len(points["false alarm"]) == 1


def test_a_test_stands_at_the_same_place_in_the_column_of_each_arm(make_manifest, write_dice, figures_of):
    manifest = make_manifest(exams=5)
    write_dice(manifest, {index: 0.1 + 0.05 * index for index in range(15)})

    points = points_by_label(figures_of(manifest)[0])["one test"]
    by_arm = points[np.argsort(points[:, 1]), 0].reshape(5, 3) - np.arange(3)

    assert np.ptp(by_arm, axis=1) == pytest.approx(0)
    assert len(set(by_arm[:, 0].round(6))) == 5
    assert np.abs(by_arm).max() <= 0.3 + 1e-9


def test_means_and_standard_deviations_are_drawn(make_manifest, write_dice, figures_of):
    manifest = make_manifest()
    write_dice(manifest, {0: 0.4, 3: 0.6, 1: 0.3})

    (axes,) = figures_of(manifest)[1].axes
    means = [line.get_xydata()[0].tolist() for line in axes.lines if line.get_label() == "mean"]
    (reference_bar, lone_bar) = (bar.get_segments()[0][:, 1] for bar in axes.collections)

    assert means == [[0, 0.5], [1, 0.3]]
    assert reference_bar == pytest.approx([0.5 - 0.02**0.5, 0.5 + 0.02**0.5])
    assert lone_bar.tolist() == [0.3, 0.3]


def test_axes_fit_the_data_and_end_with_the_metric(make_manifest, write_dice, figures_of):
    manifest = make_manifest()
    write_dice(manifest, {0: 0.8, 3: 0.9, 1: 0.85, 4: 0.85})

    folds, arms = (figure.axes[0].get_ylim() for figure in figures_of(manifest))

    assert folds == (pytest.approx(0.795), pytest.approx(0.905))  # 0.005 beyond what is drawn
    # The mean of the reference is 0.85 with an SD of 0.0707; above it there is room for numbers.
    assert arms[0] == pytest.approx(0.85 - 0.0707 - 0.04 * 0.1414, abs=1e-3)
    assert arms[1] > 0.85 + 0.0707
    write_dice(manifest, {0: 0.0, 3: 1.0})
    low, high = figures_of(manifest)[0].axes[0].get_ylim()
    assert (low, high) == (pytest.approx(-0.04), pytest.approx(1.04))


def test_arms_stand_in_the_order_that_is_asked_for(storage, make_manifest, write_dice):
    manifest = make_manifest()
    write_dice(manifest, {0: 0.8, 1: 0.7, 2: 0.6})
    whole = aggregate(collect_results(Run(storage, manifest)), manifest)
    (axes,) = arms_figure(whole, ["reference", "without t1", "without t2"], ["tumour"]).axes
    means = [line.get_xydata()[0].tolist() for line in axes.lines if line.get_label() == "mean"]
    assert means == [[0, 0.8], [1, 0.6], [2, 0.7]]


def test_names_do_not_overlap_with_all_pairs_of_seven_channels(make_manifest, write_dice, figures_of):
    manifest = make_manifest(exams=2, cohort={"channels": SEVEN_CHANNELS}, sweep={"leave_out": "pairs"})
    assert len(manifest.arms) == 22
    write_dice(manifest, dict.fromkeys(range(44), 0.75))

    for figure in figures_of(manifest):
        FigureCanvasAgg(figure).draw()
        (axes,) = figure.axes
        means = [text.get_window_extent() for text in axes.texts]
        assert not any(a.overlaps(b) for a, b in itertools.pairwise(means))
        # Rotated lines of text are apart if their distance, across the text, exceeds its height.
        ticks = axes.transData.transform([(0, 0), (1, 0)])[:, 0]
        names = axes.get_xticklabels()
        height = names[0].get_fontsize() / 72 * figure.dpi
        assert (ticks[1] - ticks[0]) * np.sin(np.radians(names[0].get_rotation())) > height
        assert all(name.get_window_extent().x0 >= 0 for name in names)


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_the_same_results_give_the_same_bytes(kind, make_manifest, write_dice, figures_of):
    manifest = make_manifest()
    write_dice(manifest, {index: 0.1 * index for index in range(9)})

    first, second = figures_of(manifest), figures_of(manifest)

    assert [encode(figure, kind) for figure in first] == [encode(figure, kind) for figure in second]


def test_an_svg_carries_no_date(make_manifest, figures_of):
    assert b"<dc:date>" not in encode(figures_of(make_manifest())[0], "svg")


def test_a_run_without_results_has_empty_figures(make_manifest, figures_of):
    for figure in figures_of(make_manifest()):
        assert encode(figure, "png").startswith(b"\x89PNG")


def test_signs_in_names_are_drawn_as_they_are(make_manifest, write_dice, figures_of):
    manifest = make_manifest(cohort={"channels": ["$t_2$ & <b>", "t1"]})
    write_dice(manifest, {0: 0.5})

    for figure in figures_of(manifest):
        names = [label.get_text() for label in figure.axes[0].get_xticklabels()]
        assert names[1] == "without $t_2$ & <b>"
        assert not figure.axes[0].get_xticklabels()[1].get_parse_math()
        encode(figure, "svg")
