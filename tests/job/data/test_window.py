import pytest

from job.data.window import Window


@pytest.mark.parametrize(
    ("read", "predicted", "offset"),
    [(5, 0, 0), (5, 6, 0), (5, 3, 3), (5, 3, -1)],
    ids=["predicts nothing", "more than it reads", "beyond what it reads", "before what it reads"],
)
def test_a_window_must_predict_within_what_it_reads(read: int, predicted: int, offset: int) -> None:
    with pytest.raises(
        ValueError, match=f"axis y a window reads {read} voxels, predicts {predicted} from voxel"
    ):
        Window(input_zyx=(9, read, 9), output_zyx=(9, predicted, 9), offset_zyx=(0, offset, 0))
