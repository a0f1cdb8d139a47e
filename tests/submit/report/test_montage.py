from io import BytesIO

import numpy as np
import pytest
from matplotlib.image import imread

from job.contract.errors import DataError
from job.run import Run
from submit.analysis.results_table import collect_results
from submit.report.montage import ExamImages, montage, montages_of, slice_to_show

CUBE_MM = (1.0, 1.0, 1.0)


def pixels(png):
    """Red, green and blue from 0 to 1; rows from the top."""
    return imread(BytesIO(png))[..., :3]


def coloured(rgb):
    """Whether a pixel is other than grey."""
    return np.ptp(rgb, axis=-1) > 0.1


@pytest.fixture
def exam():
    """One channel and empty labels, 4 x 20 x 20 voxels. No voxel but the corner is like the corner."""
    image_CZYX = np.zeros((1, 4, 20, 20), dtype=np.float16)
    image_CZYX[:, :, 0, 0] = 0.5
    return image_CZYX, np.zeros((4, 20, 20), dtype=np.uint8)


def test_the_patients_right_is_on_the_left_and_anterior_is_up(exam):
    image_CZYX, truth_ZYX = exam
    image_CZYX[0, :, 14:, 14:] = 1  # right, anterior

    panel = pixels(montage(image_CZYX, truth_ZYX, {}, ["t1"], ["tumour"], CUBE_MM))[50:220, :176]
    middle = (panel.shape[0] // 2, panel.shape[1] // 2)

    assert panel[10 : middle[0] // 2, 25 : middle[1] // 2].mean() > 0.9
    assert panel[middle[0] :].mean() < 0.05
    assert panel[:, middle[1] :].mean() < 0.05


def test_an_image_has_the_proportions_of_the_body(exam):
    image_CZYX, truth_ZYX = exam

    height, width, _ = pixels(montage(image_CZYX, truth_ZYX, {}, ["t1"], ["tumour"], (3.0, 2.0, 1.0))).shape

    # Two panels (channel, truth) of 1.6 x 3.2 inches; the title 0.42, the legend 0.28 and gaps of 0.04.
    assert (height, width) == (int(110 * (3.2 + 0.42 + 0.28)), int(110 * 2 * 1.64))


def test_the_image_is_cropped_to_what_differs_from_its_corner():
    image_CZYX = np.zeros((1, 1, 40, 40))
    image_CZYX[0, 0, 10:20, 5:25] = 1  # 10 x 20 voxels
    truth_ZYX = np.zeros((1, 40, 40), dtype=np.uint8)

    height, _, _ = pixels(montage(image_CZYX, truth_ZYX, {}, ["t1"], ["tumour"], CUBE_MM)).shape

    assert height == int(110 * (0.8 + 0.42 + 0.28))


def test_truth_and_predictions_are_drawn_in_their_own_panels_only(exam):
    image_CZYX, truth_ZYX = exam
    truth_ZYX[1, 5:9, 5:9] = 1
    prediction_ZYX = np.zeros_like(truth_ZYX)

    rgb = pixels(montage(image_CZYX, truth_ZYX, {"reference": prediction_ZYX}, ["t1"], ["tumour"], CUBE_MM))
    channel, truth, prediction = (coloured(rgb[50:220, i * 180 : (i + 1) * 180]) for i in range(3))

    assert truth.sum() > 500
    assert channel.sum() == prediction.sum() == 0


def test_a_label_at_the_border_has_a_closed_outline(exam):
    image_CZYX, truth_ZYX = exam
    truth_ZYX[:] = 1

    rgb = pixels(montage(image_CZYX, truth_ZYX, {}, ["t1"], ["tumour"], CUBE_MM))

    assert coloured(rgb[47, 190:340]).all()  # upper edge of the second panel


def test_a_constant_image_without_labels_can_be_drawn():
    nothing_ZYX = np.zeros((3, 8, 8), dtype=np.uint8)

    assert montage(nothing_ZYX[None], nothing_ZYX, {"reference": nothing_ZYX}, ["t1"], ["tumour"], CUBE_MM)


def test_more_than_seven_panels_are_spread_over_rows_of_the_same_length(exam):
    image_CZYX, truth_ZYX = exam
    image_CZYX = np.repeat(image_CZYX, 7, axis=0)

    _, width, _ = pixels(
        montage(image_CZYX, truth_ZYX, {"reference": truth_ZYX}, list("abcdefg"), ["tumour"], CUBE_MM)
    ).shape

    assert width == int(110 * 5 * 1.64)  # nine panels: five above four


def test_the_slice_is_that_of_the_largest_tumour():
    truth_ZYX = np.zeros((5, 4, 4), dtype=np.uint8)
    truth_ZYX[3, :2] = 2
    truth_ZYX[1, 0, 0] = 1
    prediction_ZYX = np.zeros_like(truth_ZYX)
    prediction_ZYX[4] = 1

    assert slice_to_show(truth_ZYX, {"reference": prediction_ZYX}) == 3
    assert slice_to_show(np.zeros_like(truth_ZYX), {"reference": prediction_ZYX}) == 4
    assert slice_to_show(np.zeros_like(truth_ZYX), {}) == 2


@pytest.fixture
def drawn(storage, exam):
    """Montages of the results so far, and what was loaded for them: exams, and (fold, exam)."""
    image_CZYX, truth_ZYX = exam
    images = ExamImages(
        image_CZYX=np.repeat(image_CZYX, 2, axis=0),
        channels=("t2", "t1"),
        truth_ZYX=truth_ZYX,
        spacing_zyx_mm=CUBE_MM,
    )

    def draw(manifest, **options):
        exams, predictions = [], []

        def load_exam(number):
            exams.append(number)
            return images

        def load_prediction(fold, number):
            predictions.append((fold, number))
            return truth_ZYX

        results = collect_results(Run(storage, manifest))
        return montages_of(results, manifest, load_exam, load_prediction, **options), exams, predictions

    return draw


def test_each_arm_is_shown_where_it_hurts_most_and_where_it_helps_most(make_manifest, write_dice, drawn):
    manifest = make_manifest()  # folds of exam 1: 3 reference, 4 without t2, 5 without t1
    write_dice(manifest, {0: 0.8, 1: 0.5, 2: 0.6, 3: 0.8, 4: 0.9, 5: 0.85, 6: 0.8, 7: 0.75, 8: 0.8})

    montages, _, predictions = drawn(manifest)

    assert [(shown.exam, shown.compared) for shown in montages.shown] == [
        ("exam0", "without t2"),
        ("exam0", "without t1"),
        ("exam1", "without t2"),
        ("exam1", "without t1"),
    ]
    assert [shown.difference for shown in montages.shown] == pytest.approx([-0.3, -0.2, 0.1, 0.05])
    assert predictions[:2] == [(0, 0), (1, 0)]
    assert predictions[-2:] == [(3, 1), (5, 1)]
    assert [shown.compared for shown in drawn(manifest, limit=1)[0].shown] == ["without t2"]


def test_the_largest_difference_of_distances_comes_first(make_manifest, make_result, score, storage, drawn):
    manifest = make_manifest(sweep={"endpoint": {"class": "tumour", "metric": "hd95_mm"}})
    for index, distance in {0: 4.0, 1: 30.0, 2: 5.0}.items():
        result = make_result(manifest, index, {"tumour": score(0.5, hd95_mm=distance)})
        storage.write(f"folds/{index}/result.json", result.to_json())

    assert drawn(manifest)[0].shown[0].compared == "without t2"


def test_an_exam_that_only_the_reference_has_tested_is_shown_alone(make_manifest, write_dice, drawn):
    manifest = make_manifest()
    write_dice(manifest, {0: None, 1: None, 4: 0.5})  # exam 1 has no reference

    montages, exams, predictions = drawn(manifest)

    assert montages.tested == 1
    assert montages.shown[0].compared is None
    assert (exams, predictions) == ([0], [(0, 0)])


def test_an_exam_whose_files_are_damaged_is_named_and_the_others_are_shown(
    storage, make_manifest, write_dice, exam
):
    manifest = make_manifest()
    write_dice(manifest, {0: 0.8, 3: 0.8, 6: 0.8})
    image_CZYX, truth_ZYX = exam
    images = ExamImages(
        image_CZYX=np.repeat(image_CZYX, 2, axis=0),
        channels=("t2", "t1"),
        truth_ZYX=truth_ZYX,
        spacing_zyx_mm=CUBE_MM,
    )

    def load_prediction(fold, number):
        if number == 1:
            raise DataError.of(file="folds/3/prediction.nii.gz", found="half", expected="all", remedy="x")
        return truth_ZYX

    montages = montages_of(
        collect_results(Run(storage, manifest)), manifest, lambda number: images, load_prediction
    )

    assert [shown.exam for shown in montages.shown] == ["exam0", "exam2"]
    assert montages.problems == ("folds/3/prediction.nii.gz: found half; expected all; x",)


def test_shown_exams_are_evenly_spread_and_not_too_many(make_manifest, write_dice, drawn):
    manifest = make_manifest(exams=9)
    write_dice(manifest, {3 * exam: 0.5 for exam in range(9)})

    montages, exams, _ = drawn(manifest, limit=3)

    assert exams == [0, 4, 8]
    assert montages.tested == 9


def test_a_run_without_results_has_no_montages(make_manifest, drawn):
    assert drawn(make_manifest())[0].shown == ()


def test_the_signed_difference_is_red_where_only_the_arm_and_blue_where_only_the_reference_finds_it(exam):
    """In the slice in which they differ, though the truth is in another; the box has room for all of it."""
    image_CZYX, truth_ZYX = exam
    truth_ZYX[0, 2:18, 2:18] = 1
    reference_ZYX, arm_ZYX = np.zeros_like(truth_ZYX), np.zeros_like(truth_ZYX)
    reference_ZYX[2, 0:5, 0:5] = 1  # left, posterior: below, on the right of the picture
    arm_ZYX[2, 15:20, 0:5] = 1  # left, anterior: above, on the right
    reference_ZYX[2, 0:5, 15:20], arm_ZYX[2, 0:5, 15:20] = 1, 2  # right, posterior: below, on the left
    predictions = {"reference": reference_ZYX, "arm": arm_ZYX}

    assert slice_to_show(truth_ZYX, predictions) == 2
    rgb = pixels(montage(image_CZYX, truth_ZYX, predictions, ["t1"], ["a", "b"], CUBE_MM))

    panel = rgb[46:222, 4 * 180 : 4 * 180 + 176]
    above, below = panel[10:40], panel[-40:-10]
    assert above[:, -35:-10].mean(axis=(0, 1)) == pytest.approx(
        [0.84 * 0.85, 0.19 * 0.85, 0.11 * 0.85], abs=0.05
    )
    assert below[:, -35:-10].mean(axis=(0, 1)) == pytest.approx(
        [0.13 * 0.85, 0.4 * 0.85, 0.67 * 0.85], abs=0.05
    )
    assert below[:, 10:35].mean(axis=(0, 1)) == pytest.approx(
        [0.94 * 0.85, 0.89 * 0.85, 0.26 * 0.85], abs=0.05
    )
    assert not coloured(above[:, 10:35]).any()


def test_the_picture_has_room_for_labels_outside_the_body():
    image_CZYX = np.zeros((1, 1, 40, 40))
    image_CZYX[0, 0, 10:20, 10:20] = 1
    prediction_ZYX = np.zeros((1, 40, 40), dtype=np.uint8)
    prediction_ZYX[0, 10:20, 30:40] = 1  # 10 x 30 voxels in all
    png = montage(image_CZYX, np.zeros_like(prediction_ZYX), {"r": prediction_ZYX}, ["t1"], ["a"], CUBE_MM)
    assert pixels(png).shape[0] == int(110 * (1.6 / 3 + 0.42 + 0.28))


@pytest.mark.parametrize("names", [["t1"], ["t1", "t2", "adc"]])
def test_a_picture_of_channels_without_a_name_each_is_refused(exam, names):
    """Else every title after a gap would stand above another channel."""
    image_CZYX, truth_ZYX = exam
    with pytest.raises(ValueError, match=r"zip\(\) argument 2 is (short|long)er than argument 1"):
        montage(np.repeat(image_CZYX, 2, axis=0), truth_ZYX, {}, names, ["tumour"], CUBE_MM)


def test_classes_may_have_any_name_and_be_many(exam):
    image_CZYX, truth_ZYX = exam
    names = ["GTV $bad_$", "a$x_1$b", "Ödem", *(f"a class with a very long name {n}" for n in range(12))]
    rows = [pixels(montage(image_CZYX, truth_ZYX, {}, ["t1"], names[:n], CUBE_MM)).shape[0] for n in (2, 15)]
    assert rows[1] > rows[0] + 5 * 0.28 * 110  # two in a row, below the panels


def test_the_slice_of_a_harm_is_that_of_its_structure(exam):
    _, truth_ZYX = exam
    one_ZYX, other_ZYX = truth_ZYX.copy(), truth_ZYX.copy()
    other_ZYX[1, :9] = 1  # the tumour differs most in slice 1
    other_ZYX[3, :2] = 2  # the node in slice 3
    predictions = {"reference": one_ZYX, "without t2": other_ZYX}
    assert slice_to_show(truth_ZYX, predictions) == 1
    assert slice_to_show(truth_ZYX, predictions, [2]) == 3


def test_a_picture_of_a_harm_says_what_is_harmed(storage, harmful, drawn_of):
    (first, *_), titles = drawn_of(harmful, [("without t1", ("node", "dice"))])
    assert (first.structure, first.metric, first.compared, first.exam) == (
        "node",
        "dice",
        "without t1",
        "exam11",
    )
    assert first.difference == pytest.approx(-0.122)
    assert titles[:2] == [(33, 11), (35, 11)]


@pytest.fixture
def drawn_of(storage):
    """Pictures of a run with harms, and which predictions were read, by fold and exam."""

    def draw(manifest, harms):
        read = []

        def load_exam(number):
            return ExamImages(
                image_CZYX=np.ones((2, 2, 8, 8), np.float32),
                channels=("t2", "t1"),
                truth_ZYX=np.zeros((2, 8, 8), np.uint8),
                spacing_zyx_mm=CUBE_MM,
            )

        def load_prediction(fold, number):
            read.append((fold, number))
            return np.zeros((2, 8, 8), np.uint8)

        montages = montages_of(
            collect_results(Run(storage, manifest)), manifest, load_exam, load_prediction, harms
        )
        return montages.shown, read

    return draw
