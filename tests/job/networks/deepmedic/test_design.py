import pytest

from job.contract.shapes import ShapeXYZ, ShapeZYX
from job.networks.deepmedic.design import DeepMedicDesign
from tests.job.toml_studies import make_study


def design(changes: str, *, without: str = "") -> DeepMedicDesign:
    return DeepMedicDesign(make_study(changes, without=without))


def test_a_patch_is_cut_to_the_largest_segment_that_it_holds() -> None:
    # Four kernels of 3 shrink by 8. Along x and y the pathway of factor 3 reads 11 voxels before the output
    # and, for an output of 3 k, 3 k + 10 from its start: a patch of 3 k + 22 voxels or more.
    assert design("training.patch_shape = [33, 34, 21]").training_segment == (17, 20, 21)


def test_tiles_are_20_voxels_larger_than_training_segments_along_axes_with_wide_kernels() -> None:
    flat = f"network.kernels = {[[3, 3, 1]] * 8}\nnetwork.subsampling = [[3, 3, 1]]\n"
    settings = f"{flat}training.steps = 10\ntraining.segment_shape = [25, 27, 5]"
    assert design(settings, without="preset").evaluation_segment == (45, 47, 5)


def test_tiles_have_the_size_that_is_given() -> None:
    assert design("evaluation.segment_shape = [30, 30, 9]").evaluation_segment == (30, 30, 9)
    assert design("evaluation.tile_shape = [33, 34, 21]").evaluation_segment == (17, 20, 21)


def test_a_training_window_is_the_patch_of_the_study_with_its_output_where_the_network_puts_it() -> None:
    cut = design("training.patch_shape = [33, 34, 21]")
    window = cut.training_window()
    assert window.input_zyx == (21, 34, 33)
    assert window.output_zyx == (
        13,
        12,
        9,
    )  # the segment of 17 x 20 x 21, less what four kernels of 3 take off
    output = ShapeXYZ((9, 12, 13))
    assert window.offset_zyx == cut.sizes.output_start(ShapeXYZ((33, 34, 21)), output)[::-1]


def test_a_training_window_of_a_segment_is_the_smallest_with_its_context() -> None:
    cut = design("training.segment_shape = [17, 20, 21]")
    assert cut.training_window().input_zyx == cut.sizes.input_shape(ShapeXYZ((17, 20, 21)))[::-1]
    assert cut.training_window().output_zyx == (13, 12, 9)


@pytest.mark.parametrize("volume_zyx", [(100, 100, 100), (5, 100, 100), (100, 7, 100), (100, 100, 6)])
def test_a_tile_predicts_no_more_along_an_axis_than_the_volume_has(volume_zyx: ShapeZYX) -> None:
    """A segment of 40 x 30 x 20 (x, y, z) loses 8 voxels along each axis to four kernels of 3."""
    tiled = design("evaluation.segment_shape = [40, 30, 20]")
    assert tiled.tile_window(volume_zyx).output_zyx == tuple(map(min, (12, 22, 32), volume_zyx))


def test_tiles_lie_side_by_side() -> None:
    tiled = design("evaluation.segment_shape = [40, 30, 20]")
    window = tiled.tile_window(ShapeZYX((100, 100, 100)))
    assert tiled.tile_stride(window) == window.output_zyx == (12, 22, 32)


def test_the_memory_of_a_patch_is_that_of_all_values_that_its_stages_read() -> None:
    """One stage of 2 maps by a kernel of 3, one pathway: 5**3 voxels of it, then 3**3 of 2 + 4 maps."""
    one = design(
        "network.feature_maps = [2]\nnetwork.kernels = [[3, 3, 3]]\nnetwork.subsampling = []\n"
        "network.fc_features = [4]\nnetwork.dropout = [0, 0]\ntraining.segment_shape = [5, 5, 5]"
    )
    assert one.values_read(one.training_window()) == 2 * 5**3 + (2 + 4) * 3**3


def test_reports_speak_of_variant_pathways_stages_and_segments() -> None:
    words = design("training.segment_shape = [21, 21, 13]").in_words()
    assert words.title == "deepmedic paper"
    assert words.layers == (
        "DeepMedic (variant paper; 2 pathways of 4 convolutions with 12, 12, 16, 16 feature maps)"
    )
    assert words.patch == "segments of 21 x 21 x 13 voxels"
