import re
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from submit.check.pictures import Album, encoded, outline

SHAPE_ZYX = (6, 20, 10)
PIECE = re.compile(r"M(\d+) (\d+)([hv])(\d+)")


def box_of(path):
    """Columns and rows between which the pieces of a path lie: left, right, top, bottom."""
    x, y = [], []
    for column, row, direction, length in PIECE.findall(path):
        x += [int(column), int(column) + int(length) * (direction == "h")]
        y += [int(row), int(row) + int(length) * (direction == "v")]
    return min(x), max(x), min(y), max(y)


def pixels(webp):
    return np.asarray(Image.open(BytesIO(webp)).convert("L")).astype(int)


@pytest.fixture
def labels():
    return np.zeros(SHAPE_ZYX, np.uint8)


@pytest.fixture
def image():
    """Noise with a frame that is not background, so that nothing is cropped."""
    return np.random.default_rng(0).normal(0, 1, SHAPE_ZYX).astype(np.float32)


@pytest.fixture
def views_of(make_exam):
    """The views of an exam whose channels are given by their positions; voxels are 1 x 1 x 3 mm."""

    def make(channels, label_ZYX):
        exam, album = make_exam(), Album()
        with album.watch(exam.files) as seen:
            for position, image_ZYX in channels.items():
                seen(position, image_ZYX, label_ZYX, exam.geometry)
        return dict(zip(("axial", "coronal", "sagittal"), album.exams["p1_v1"], strict=True))

    return make


def test_an_outline_is_the_edges_of_the_voxels():
    one = np.zeros((3, 4), bool)
    one[1, 2] = True
    assert outline(one) == "M2 1h1M2 2h1M2 1v1M3 1v1"


def test_straight_edges_are_one_piece_and_the_border_is_closed():
    assert outline(np.ones((2, 3), bool)) == "M0 0h3M0 2h3M0 0v2M3 0v2"
    assert outline(np.zeros((2, 3), bool)) == ""


def test_every_view_goes_through_most_of_the_labels(views_of, image, labels):
    labels[4, 2:5, 7] = 1  # z 4, x 7
    labels[2, 2, 1] = labels[1, 2, 2] = 1  # y 2, three with the one above
    views = views_of({0: image}, labels)
    assert {plane: (view.number, view.slices) for plane, view in views.items()} == {
        "axial": (5, 6),
        "coronal": (3, 20),
        "sagittal": (8, 10),
    }


def test_without_labels_the_views_are_in_the_middle(views_of, image, labels):
    assert [view.number for view in views_of({0: image}, labels).values()] == [4, 11, 6]


def test_the_axial_view_has_every_channel_and_the_others_the_first_that_could_be_read(
    views_of, image, labels
):
    views = views_of({1: image, 2: image}, labels)
    assert {plane: list(view.images) for plane, view in views.items()} == {
        "axial": [1, 2],
        "coronal": [1],
        "sagittal": [1],
    }


def test_right_is_on_the_left_and_anterior_or_superior_up(views_of, labels):
    image = np.full(SHAPE_ZYX, 1, np.float32)
    image[4:, 14:, 7:] = 50  # superior, anterior, right
    labels[4, 15, 8] = 1
    views = views_of({0: image}, labels)
    for view in views.values():
        shown = pixels(view.images[0])
        rows, columns = shown.shape
        bright = np.argwhere(shown > 128)
        assert bright.max(axis=0)[0] < rows / 2
        assert bright.max(axis=0)[1] < columns / 2
    # 20 rows from anterior, 10 columns from the right: y 15 is row 4, x 8 is column 1, z 4 is row 1.
    assert box_of(views["axial"].outlines[1]) == (1, 2, 4, 5)
    assert box_of(views["coronal"].outlines[1]) == (1, 2, 1, 2)
    assert box_of(views["sagittal"].outlines[1]) == (4, 5, 1, 2)


@pytest.mark.parametrize("axis", [1, 2])
def test_flipped_labels_are_drawn_on_the_other_side(views_of, image, labels, axis):
    labels[3, 2:4, 1:3] = 1
    right = views_of({0: image}, labels)["axial"]
    wrong = views_of({0: image}, np.flip(labels, axis))["axial"]
    assert box_of(right.outlines[1]) == (7, 9, 16, 18)
    assert box_of(wrong.outlines[1]) == ((1, 3, 16, 18) if axis == 2 else (7, 9, 2, 4))
    assert right.images == wrong.images


@pytest.mark.parametrize(("axis", "plane"), [(0, "coronal"), (0, "sagittal"), (1, "axial"), (2, "axial")])
def test_a_flipped_image_is_another_picture(views_of, image, labels, axis, plane):
    image = np.moveaxis(image, axis, 0)  # a ramp along the axis
    image[:] = np.linspace(1, 2, SHAPE_ZYX[axis], dtype=np.float32)[:, None, None]
    image = np.moveaxis(image, 0, axis)
    labels[3, 10, 5] = 1
    right, wrong = (
        pixels(views_of({0: each}, labels)[plane].images[0]) for each in (image, np.flip(image, axis))
    )
    assert right.shape == wrong.shape
    assert np.abs(right - wrong).mean() > 40


def test_views_are_cropped_to_body_and_labels_and_know_their_size(views_of, labels):
    image = np.zeros(SHAPE_ZYX, np.float32)
    image[1:5, 4:10, 2:8] = 1
    labels[2, 12, 3] = 1
    views = views_of({0: image, 1: 2 * image}, labels)
    # x 2 to 7, y 4 to 12, z 1 to 4, of 1 x 1 x 3 mm
    assert (views["axial"].shape, views["axial"].size_mm) == ((9, 6), (9, 6))
    assert (views["sagittal"].shape, views["sagittal"].size_mm) == ((4, 9), (12, 9))
    assert pixels(views["axial"].images[1]).shape == (9, 6)


def test_the_smaller_class_is_drawn_over_the_larger(views_of, image, labels):
    labels[3, 2:8, 2:8] = 1
    labels[3, 4, 4] = 2
    assert list(views_of({0: image}, labels)["axial"].outlines) == [1, 2]
    labels[labels > 0] = 3 - labels[labels > 0]
    assert list(views_of({0: image}, labels)["axial"].outlines) == [2, 1]


def test_background_is_black_though_it_lies_in_the_middle_of_the_values():
    image = np.tile(np.linspace(-1, 1, 40, dtype=np.float32), (40, 1))
    image[:, 18:22] = 0
    shown = pixels(encoded(image))
    assert shown[:, 20].mean() < 30
    assert shown[:, 16].mean() > 80
    assert shown[:, -1].mean() > 230


def test_an_empty_and_a_constant_slice_can_be_shown():
    assert pixels(encoded(np.zeros((8, 8), np.float32))).max() == 0
    assert pixels(encoded(np.ones((8, 8), np.float32))).shape == (8, 8)


def test_large_slices_are_made_smaller():
    shown = pixels(encoded(np.ones((600, 256), np.float32)))
    assert shown.shape == (200, 256)


def test_pictures_of_an_exam_that_turns_out_to_be_wrong_are_kept(make_exam, image, labels):
    exam, album = make_exam(), Album()

    def read():
        with album.watch(exam.files) as seen:
            seen(0, image, labels, exam.geometry)
            raise ValueError("t2 is damaged")

    with pytest.raises(ValueError, match="t2 is damaged"):
        read()
    assert list(album.exams["p1_v1"][0].images) == [0]


def test_an_exam_of_which_nothing_could_be_read_has_no_pictures(make_exam):
    album = Album()
    with album.watch(make_exam().files):
        pass
    assert album.exams == {}


def test_nothing_but_slices_is_kept(make_exam, image, labels):
    exam, album = make_exam(), Album()
    with album.watch(exam.files) as seen:
        seen(0, image, labels, exam.geometry)
        kept = [slice_YX for planes in seen.__self__.seen.values() for slice_YX in planes.values()]
        assert [slice_YX.shape for slice_YX in kept] == [(20, 10), (6, 10), (6, 20)]
        assert not any(np.shares_memory(slice_YX, image) for slice_YX in kept)
