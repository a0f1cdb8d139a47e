"""Shapes: B batch, C channels, K classes, F feature maps; Z, Y, X voxels. Sizes count in (x, y, z)."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from job.contract.deepmedic import VARIANTS, DeepMedicArchitecture, paper, residual, v084
from job.contract.shapes import ShapeXYZ
from job.networks.deepmedic.network import DeepMedic, MirroredBorder, Stages
from job.networks.deepmedic.sizes import DeepMedicSizes


@pytest.fixture(autouse=True)
def _one_thread_and_only_deterministic_operations() -> Iterator[None]:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def thin(architecture: DeepMedicArchitecture, **changes: object) -> DeepMedicSizes:
    """The sizes of an architecture with few feature maps, for speed."""
    features = {
        "feature_maps": (2,) * len(architecture.feature_maps),
        "fc_features": (3,) * len(architecture.fc_features),
    }
    return DeepMedicSizes(replace(architecture, **features, **changes))


def small(**changes: object) -> DeepMedicSizes:
    """Two stages and pathways of factor 1, 3 and 5."""
    stages = {
        "feature_maps": (2, 2),
        "kernels": ((3, 3, 3),) * 2,
        "fc_features": (2,),
        "dropout": (0.0, 0.0),
        "subsampling": ((3, 3, 3), (5, 5, 5)),
    }
    return DeepMedicSizes(replace(paper(), **(stages | changes)))


def passing_through(sizes: DeepMedicSizes, pathway: int) -> DeepMedic:
    """A network whose first logit is what one pathway sees at the centre of its kernels (if positive)."""
    network = DeepMedic(sizes, channels=1, classes=2).double().eval()
    for module in network.modules():
        if isinstance(module, nn.Conv3d):
            centre = [length // 2 for length in module.kernel_size]
            nn.init.zeros_(module.weight)
            nn.init.ones_(module.weight[0, 0, *centre])
        if isinstance(module, nn.BatchNorm3d):
            module.running_var.fill_(1 - module.eps)
    first_after_concatenation = network.classifier[0].stages[0].convolution.weight
    nn.init.zeros_(first_after_concatenation)
    nn.init.ones_(first_after_concatenation[0, pathway * sizes.architecture.feature_maps[-1]])
    return network


def coordinates(patch: ShapeXYZ) -> Tensor:
    """An image (1, 1, Z, Y, X) with the value x + 1000 y + 1000000 z at each voxel."""
    x, y, z = (torch.arange(length, dtype=torch.float64) for length in patch)
    return (x + 1e3 * y[:, None] + 1e6 * z[:, None, None])[None, None]


@pytest.mark.parametrize(
    ("variant", "channels", "classes", "parameters"),
    [
        ("paper", 7, 3, 667_727),
        ("residual", 7, 3, 1_057_727),
        ("v0.8.4", 7, 3, 2_020_564),
        ("paper", 4, 5, 663_163),
        ("v0.8.4", 2, 5, 2_008_901),
    ],
)
def test_the_variants_have_as_many_parameters_as_the_reference_implementation(
    variant: str, channels: int, classes: int, parameters: int
) -> None:
    network = DeepMedic(DeepMedicSizes(VARIANTS[variant]()), channels, classes)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("segment", "output"), [(25, 9), (37, 21), (45, 29)])
def test_a_segment_of_25_37_and_45_gives_9_21_and_29_voxels(variant: str, segment: int, output: int) -> None:
    sizes = thin(VARIANTS[variant]())
    patch = sizes.input_shape((segment,) * 3)
    network = DeepMedic(sizes, channels=1, classes=3).eval()
    with torch.no_grad():
        logits_BKZYX = network(torch.randn(1, 1, *patch), (output,) * 3)
    assert logits_BKZYX.shape == (1, 3, output, output, output)


def test_without_a_size_the_output_is_the_largest_that_the_image_serves() -> None:
    # Factor 5 reaches furthest, and reads the same for every output of 6 to 10 voxels.
    image_BCZYX = torch.randn(2, 1, *small().input_shape((11, 11, 11)))
    assert DeepMedic(small(), channels=1, classes=2)(image_BCZYX).shape == (2, 2, 10, 10, 10)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize(("make", "field"), [(paper, 51), (v084, 85)])
def test_the_measured_receptive_field_is_the_stated_one_on_each_axis(
    make: Callable[[], DeepMedicArchitecture], field: int, axis: int
) -> None:
    along = tuple(3 if i == axis else 1 for i in range(3))
    sizes = thin(
        make(),
        kernels=(along,) * 8,
        subsampling=tuple(
            tuple(factor[0] if i == axis else 1 for i in range(3)) for factor in make().subsampling
        ),
        fc_kernel=(1, 1, 1),
    )
    assert sizes.receptive_field()[axis] == field
    output = tuple(15 if i == axis else 1 for i in range(3))
    patch = tuple(150 if i == axis else 1 for i in range(3))
    start = sizes.output_start(patch, output)[axis]
    network = DeepMedic(sizes, channels=1, classes=2).double().eval()
    image_BCZYX = torch.rand(1, 1, *reversed(patch), dtype=torch.float64, requires_grad=True)
    logits = network(image_BCZYX, tuple(reversed(output)))[0, 0].flatten()

    reach = set()
    for position, logit in enumerate(logits):
        (gradient,) = torch.autograd.grad(logit, image_BCZYX, retain_graph=True)
        seen = gradient.flatten().nonzero().flatten() - start - position
        assert set(range(-8, 9)) <= set(seen.tolist())
        reach |= set(seen.tolist())
    # 15 neighbouring outputs have every position within the repeated voxels of factors 3 and 5.
    assert (min(reach), max(reach)) == (-(field // 2), field // 2)


@pytest.mark.parametrize("surplus", [0, 1, 4])
@pytest.mark.parametrize(("pathway", "factor"), [(0, (1, 1, 1)), (1, (3, 1, 5)), (2, (5, 3, 1))])
def test_each_pathway_shows_an_output_voxel_the_centre_of_the_low_resolution_voxel_around_it(
    pathway: int, factor: ShapeXYZ, surplus: int
) -> None:
    sizes = small(subsampling=((3, 1, 5), (5, 3, 1)), kernels=((3, 3, 3), (3, 1, 3)))
    output = (7, 4, 11)
    shrinkage = (4, 2, 4)
    tight = sizes.input_shape(tuple(a + b for a, b in zip(output, shrinkage, strict=True)))
    patch = tuple(length + surplus for length in tight)
    start = sizes.output_start(patch, output)
    with torch.no_grad():
        network = passing_through(sizes, pathway)
        seen_ZYX = network(coordinates(patch), tuple(reversed(output)))[0, 0]
    x, y, z = (
        torch.tensor([start[axis] + i // f * f + f // 2 for i in range(output[axis])], dtype=torch.float64)
        for axis, f in enumerate(factor)
    )
    torch.testing.assert_close(seen_ZYX, x + 1e3 * y[:, None] + 1e6 * z[:, None, None], rtol=0, atol=1e-3)


def test_a_larger_image_gives_what_its_parts_give() -> None:
    network = DeepMedic(small(), channels=2, classes=3).double().eval()
    output = (15, 15, 15)
    patch = small().input_shape((19, 19, 19))
    start = small().output_start(patch, output)
    image_BCZYX = torch.randn(1, 2, *(length + 15 for length in patch), dtype=torch.float64)
    large_start = small().output_start(tuple(length + 15 for length in patch), (30, 30, 30))
    assert large_start == start
    with torch.no_grad():
        large_BKZYX = network(image_BCZYX, (30, 30, 30))
        for z, y, x in [(0, 0, 0), (15, 0, 15), (15, 15, 15)]:
            part = image_BCZYX[:, :, z : z + patch[2], y : y + patch[1], x : x + patch[0]]
            expected = large_BKZYX[:, :, z : z + 15, y : y + 15, x : x + 15]
            torch.testing.assert_close(network(part, output), expected, rtol=0, atol=1e-12)


def line(*values: float) -> Tensor:
    """One feature along x."""
    return torch.tensor(values, dtype=torch.float32)[None, None, None, None]


def convolution(kernel_FFX: list[list[list[float]]]) -> nn.Conv3d:
    """A convolution along x with these weights."""
    weight = torch.tensor(kernel_FFX)[:, :, None, None]
    layer = nn.Conv3d(weight.shape[1], weight.shape[0], weight.shape[2:], bias=False)
    layer.weight.data = weight
    return layer


@pytest.mark.parametrize(
    ("last_kernel", "expected"),
    [
        # The residual is the middle of (x, 10 x), the input of stage 2.
        ([[[0.0, 0, 0]] * 2] * 3, [[3, 4, 5], [30, 40, 50], [0, 0, 0]]),
        ([[[0.0, 1, 0], [0, 0, 0]]], [[-3 + 3, -4 + 4, -5 + 5]]),
    ],
    ids=["missing features are zero", "surplus features are dropped"],
)
def test_a_residual_is_the_centre_of_the_input_of_the_stage_before(
    last_kernel: list[list[list[float]]], expected: list[list[float]]
) -> None:
    stages = Stages(
        [
            convolution([[[1.0]], [[10.0]]]),
            convolution([[[0.0, -1, 0], [0, 0, 0]], [[0, 0, 0], [0, 0, 0]]]),
            convolution(last_kernel),
        ],
        residual_stages=(3,),
    )
    assert stages(line(1, 2, 3, 4, 5, 6, 7))[0, :, 0, 0].tolist() == expected


@pytest.mark.parametrize(("make", "passes"), [(paper, False), (residual, True), (v084, True)])
def test_residual_connections_pass_the_image_on_where_the_kernels_are_zero(
    make: Callable[[], DeepMedicArchitecture], passes: bool
) -> None:
    network = DeepMedic(thin(make()), channels=1, classes=2).eval()
    for pathway in network.pathways:
        for stage in pathway.stages[2:]:
            nn.init.zeros_(stage.convolution.weight)
    for stage in network.classifier[0].stages[:2]:
        nn.init.zeros_(stage.convolution.weight)
    with torch.no_grad():
        logits_BKZYX = network(torch.randn(1, 1, 101, 101, 101), (3, 3, 3))
    assert bool(logits_BKZYX.std() > 1e-3) == passes


def test_the_kernel_after_the_concatenation_keeps_the_size_of_the_output_on_each_axis() -> None:
    sizes = small(fc_kernel=(5, 3, 1))
    image_BCZYX = torch.randn(1, 1, *reversed(sizes.input_shape((12, 11, 10))))
    logits_BKZYX = DeepMedic(sizes, channels=1, classes=2)(image_BCZYX, (6, 7, 8))
    assert logits_BKZYX.shape == (1, 2, 6, 7, 8)


def test_a_mirrored_border_repeats_the_voxel_at_the_border() -> None:
    bordered = MirroredBorder((0, 1, 2))(line(1, 2, 3))
    assert bordered.shape == (1, 1, 1, 3, 7)
    assert bordered[0, 0, 0].tolist() == [[2, 1, 1, 2, 3, 3, 2]] * 3


@pytest.mark.parametrize("make", [paper, v084])
def test_a_flat_patch_of_165_by_165_by_9_trains(make: Callable[[], DeepMedicArchitecture]) -> None:
    factors = tuple((x, y, 1) for x, y, _ in make().subsampling)
    kernels = ((3, 3, 1),) * 7 + ((3, 3, 3),)
    sizes = thin(make(), kernels=kernels, subsampling=factors)
    network = DeepMedic(sizes, channels=2, classes=3).train()
    logits_BKZYX = network(torch.randn(1, 2, 9, 165, 165))
    x, y, z = sizes.output_shape(sizes.segment_for((165, 165, 9)))
    assert logits_BKZYX.shape == (1, 3, z, y, x)
    logits_BKZYX.square().mean().backward()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())


def test_weights_are_normal_with_variance_two_by_fan_in_and_follow_the_global_seed() -> None:
    network, again = (torch.manual_seed(7) and DeepMedic(DeepMedicSizes(paper()), 7, 3) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True))
    weight = network.pathways[0].stages[7].convolution.weight
    assert weight.std().item() == pytest.approx((2 / (50 * 27)) ** 0.5, rel=0.01)
    slopes = [module.weight for module in network.modules() if isinstance(module, nn.PReLU)]
    assert all((slope == 0.01).all() for slope in slopes)


def test_dropout_acts_after_the_concatenation_and_only_in_training() -> None:
    network = DeepMedic(thin(paper()), channels=1, classes=2)
    rates = [module.p for module in network.classifier.modules() if isinstance(module, nn.Dropout)]
    assert rates == [0, 0.5, 0.5]
    assert all(m.p == 0 for m in network.pathways.modules() if isinstance(m, nn.Dropout))
    image_BCZYX = torch.randn(1, 1, 55, 55, 55)
    with torch.no_grad():
        assert not torch.equal(network(image_BCZYX), network(image_BCZYX))
        network.eval()
        assert torch.equal(network(image_BCZYX), network(image_BCZYX))


def test_an_image_with_other_channels_is_refused() -> None:
    network = DeepMedic(small(), channels=7, classes=2)
    with pytest.raises(ValueError, match="takes 7 channels, the image has 1"):
        network(torch.randn(1, 1, 40, 40, 40))


@pytest.mark.parametrize(("channels", "classes"), [(0, 2), (1, 1)])
def test_a_network_needs_a_channel_and_two_classes(channels: int, classes: int) -> None:
    with pytest.raises(ValueError, match=f"got {channels} channels and {classes} classes"):
        DeepMedic(DeepMedicSizes(paper()), channels, classes)
