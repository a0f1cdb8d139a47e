from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from job.contract.deepmedic import VARIANTS
from job.contract.shapes import ShapeXYZ
from job.networks.deepmedic.sizes import DeepMedicSizes

odd = st.sampled_from([1, 3, 5])
odd_shapes = st.tuples(odd, odd, odd)


@st.composite
def any_sizes(draw: st.DrawFn) -> DeepMedicSizes:
    kernels = tuple(draw(st.lists(odd_shapes, min_size=1, max_size=4)))
    return sizes_of(
        "paper",
        feature_maps=(2,) * len(kernels),
        kernels=kernels,
        subsampling=tuple(draw(st.lists(odd_shapes, max_size=2))),
        fc_kernel=draw(odd_shapes),
    )


def sizes_of(variant: str, **changes: object) -> DeepMedicSizes:
    return DeepMedicSizes(replace(VARIANTS[variant](), **changes))


def cube(length: int) -> ShapeXYZ:
    return (length, length, length)


def smallest_output(sizes: DeepMedicSizes) -> ShapeXYZ:
    x, y, z = (max(1, length // 2) for length in sizes.architecture.fc_kernel)
    return x, y, z


def reads(sizes: DeepMedicSizes, patch: ShapeXYZ, output: ShapeXYZ, axis: int) -> list[range]:
    """The positions along one axis that each pathway takes."""
    slices = (sizes.pathway_reads(factor, patch, output)[axis] for factor in sizes.factors)
    return [range(taken.start, taken.stop, taken.step) for taken in slices]


def test_the_pathways_of_the_published_networks_see_17_51_and_85_voxels() -> None:
    assert sizes_of("paper").receptive_fields() == (cube(17), cube(51))
    assert sizes_of("v0.8.4").receptive_fields() == (cube(17), cube(51), cube(85))
    assert [sizes_of(variant).receptive_field() for variant in VARIANTS] == [cube(51), cube(51), cube(85)]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("segment", "output"), [(25, 9), (37, 21), (45, 29)])
def test_a_segment_loses_16_voxels_in_every_variant(variant: str, segment: int, output: int) -> None:
    assert sizes_of(variant).output_shape(cube(segment)) == cube(output)


def test_the_patch_of_a_segment_holds_the_context_of_the_sub_sampled_pathways() -> None:
    # 23 voxels before and after the 9 of the output; factor 5 reads from 38 before to 42 after the 21.
    assert sizes_of("paper").input_shape(cube(25)) == cube(23 + 9 + 23)
    assert sizes_of("v0.8.4").input_shape(cube(37)) == cube(38 + 21 + 42)


def test_a_patch_of_165_serves_an_output_of_117_from_its_centre() -> None:
    assert sizes_of("paper").segment_for(cube(165)) == cube(133)
    assert sizes_of("paper").input_shape(cube(133)) == cube(163)
    assert sizes_of("paper").output_start(cube(165), cube(117)) == cube(24)


def test_the_low_resolution_pathway_reads_every_third_voxel_around_the_output() -> None:
    normal, low = reads(sizes_of("paper"), cube(55), cube(9), axis=0)
    assert normal == range(15, 40)
    assert low == range(0, 55, 3)
    # The middle of the first low-resolution voxel's view is the middle of output voxels 23, 24, 25.
    assert low[8] == 24


def test_sizes_are_independent_along_each_axis() -> None:
    flat = sizes_of("paper", kernels=((3, 3, 1),) * 7 + ((3, 3, 3),), subsampling=((3, 3, 1),))
    assert flat.receptive_fields() == ((17, 17, 3), (51, 51, 3))
    assert flat.segment_for((165, 165, 9)) == (133, 133, 9)
    assert flat.output_shape((133, 133, 9)) == (117, 117, 7)
    assert flat.output_start((165, 165, 9), (117, 117, 7)) == (24, 24, 1)


@given(any_sizes(), st.integers(0, 12))
def test_every_pathway_reads_inside_the_patch_and_one_voxel_less_would_not_do(
    sizes: DeepMedicSizes, more: int
) -> None:
    x, y, z = smallest_output(sizes)
    output = (x + more, y + more, z + more)
    shrinkage = [field - 1 for field in sizes.receptive_fields()[0]]
    segment = tuple(size + less for size, less in zip(output, shrinkage, strict=True))
    patch = sizes.input_shape(segment)
    for axis in range(3):
        positions = reads(sizes, patch, output, axis)
        assert min(taken[0] for taken in positions) == 0
        assert max(taken[-1] for taken in positions) == patch[axis] - 1
        for taken, factor in zip(positions, sizes.factors, strict=True):
            assert len(taken) == -(-output[axis] // factor[axis]) + shrinkage[axis]


@given(any_sizes(), st.integers(1, 150))
def test_the_segment_of_a_patch_is_the_largest_that_fits(sizes: DeepMedicSizes, length: int) -> None:
    patch = cube(length)
    try:
        segment = sizes.segment_for(patch)
    except ValueError:
        shrinkage = [field - 1 for field in sizes.receptive_fields()[0]]
        smallest = zip(shrinkage, smallest_output(sizes), strict=True)
        assert max(sizes.input_shape(tuple(map(sum, smallest)))) > length
        return
    needed = sizes.input_shape(segment)
    more_needed = sizes.input_shape(tuple(size + 1 for size in segment))
    assert all(size <= length for size in needed)
    assert all(size > length for size in more_needed)


@given(any_sizes(), st.integers(1, 30), st.integers(0, 30))
def test_the_output_is_a_centre_crop_unless_a_pathway_would_leave_the_patch(
    sizes: DeepMedicSizes, length: int, surplus: int
) -> None:
    output = tuple(max(length, smallest) for smallest in smallest_output(sizes))
    shrinkage = [field - 1 for field in sizes.receptive_fields()[0]]
    tight = sizes.input_shape(tuple(a + b for a, b in zip(output, shrinkage, strict=True)))
    before = sizes.output_start(tight, output)
    patch = tuple(size + surplus for size in tight)
    start = sizes.output_start(patch, output)
    for axis in range(3):
        centred = (patch[axis] - output[axis]) // 2
        # The output may start from `before` on, and `surplus` later at most; nearest to the centre wins.
        possible = range(before[axis], before[axis] + surplus + 1)
        assert start[axis] == min(possible, key=lambda position, to=centred: abs(position - to))


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_output_of_whole_low_resolution_voxels_is_a_centre_crop_of_the_smallest_patch(
    variant: str,
) -> None:
    sizes = sizes_of(variant)
    patch = sizes.input_shape(cube(15 + 16))
    assert sizes.output_start(patch, cube(15)) == cube((patch[0] - 15) // 2)


def test_a_patch_too_small_names_its_axis_and_the_smallest_patch() -> None:
    message = "48 voxels along z is too small: to predict 1 of them, the network must see at least 49"
    with pytest.raises(ValueError, match=message):
        sizes_of("paper").segment_for((55, 55, 48))
    with pytest.raises(ValueError, match=r"54 voxels along y .* to predict 9 of them, .* at least 55"):
        sizes_of("paper").output_start((55, 54, 55), cube(9))
    assert sizes_of("paper").segment_for(cube(49)) == cube(19)


def test_a_segment_or_output_too_small_is_an_error() -> None:
    with pytest.raises(ValueError, match="16 voxels along x gives no output; the smallest is 17"):
        sizes_of("paper").output_shape((16, 25, 25))
    with pytest.raises(ValueError, match="output of 0 voxels along z is too small; the smallest is 1"):
        sizes_of("paper").output_start(cube(55), (9, 9, 0))
    # Mirroring two voxels at the border needs two.
    mirrored = sizes_of("residual", fc_kernel=cube(5))
    with pytest.raises(ValueError, match="output of 1 voxels along x is too small; the smallest is 2"):
        mirrored.output_start(cube(55), (1, 9, 9))
