"""DeepMedic, a fully convolutional network with pathways at several resolutions of one input.

    image --+-- crop the centre ------- stages ----------------------+
            +-- take every 3rd voxel -- stages -- repeat 3x -- crop -+-- concatenate -- FC stages -- logits
            +-- take every 5th voxel -- stages -- repeat 5x -- crop -+

Tensors: B batch, C input channels, F feature maps, K classes, Z Y X voxels. The sizes and positions come from
`job.networks.deepmedic.sizes`, which counts in (x, y, z). Borders are mirrored by flipping slices and voxels
repeated by expanding, because torch's padding modes and interpolation have no deterministic backward on CUDA.

Source: Kamnitsas et al., Med Image Anal 2017;36:61-78; github.com/deepmedic/deepmedic at e10ba7c,
deepmedic/neuralnet/{pathways,blocks,layers,ops}.py.
"""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from job.contract.deepmedic import DeepMedicArchitecture
from job.contract.shapes import ShapeXYZ, ShapeZYX, xyz_of, zyx_of
from job.networks.deepmedic.sizes import DeepMedicSizes

# DeepMedic predicts with the plain mean of the last 60 batches' statistics. The exponential average with
# momentum 2 / (60 + 1) has the same mean age, (60 - 1) / 2 batches, and the same variance, 1/60 of a batch's.
BATCH_NORM_MOMENTUM = 2 / 61


class DeepMedic(nn.Module):
    """Logits per voxel from one image; the context of the sub-sampled pathways is part of that image.

    The weights are drawn from torch's global generator: normal with variance 2 / fan-in (He et al. 2015).
    Compile it with `dynamic=False`: on symbolic sizes, the arithmetic of the architecture takes torch.compile
    minutes.

    Args:
        sizes: stages, kernels and sub-sampling factors, with the arithmetic of their sizes.
        channels: input channels.
        classes: classes, the background included.

    Raises:
        ValueError: There is no input channel or fewer than two classes.
    """

    def __init__(self, sizes: DeepMedicSizes, channels: int, classes: int) -> None:
        super().__init__()
        if channels < 1 or classes < 2:
            raise ValueError(
                f"DeepMedic needs at least 1 input channel and 2 classes, the background included; "
                f"got {channels} channels and {classes} classes"
            )
        self.sizes = sizes
        self.channels = channels
        self.pathways = nn.ModuleList(_pathway(sizes.architecture, channels) for _ in sizes.factors)
        self.classifier = _classifier(sizes.architecture, len(sizes.factors), classes)
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")

    def forward(self, image_BCZYX: Tensor, output_zyx: ShapeZYX | None = None) -> Tensor:
        """Logits of the output's voxels, as (B, K, Z, Y, X).

        Args:
            image_BCZYX: the input, at least the sizes' `input_shape` of the smallest segment.
            output_zyx: the output's size; by default the largest that the image serves. It lies at the
                sizes' `output_start`.

        Raises:
            ValueError: The channels are not the network's, or the output does not fit in the image.
        """
        if image_BCZYX.shape[1] != self.channels:
            # A single channel would be broadcast against the input bias without a complaint.
            raise ValueError(
                f"the network takes {self.channels} channels, the image has {image_BCZYX.shape[1]}"
            )
        z, y, x = image_BCZYX.shape[2:]
        patch = ShapeXYZ((x, y, z))
        output = self._largest_output(patch) if output_zyx is None else xyz_of(output_zyx)
        features = []
        for factor, pathway in zip(self.sizes.factors, self.pathways, strict=True):
            along_x, along_y, along_z = self.sizes.pathway_reads(factor, patch, output)
            read_BCZYX = image_BCZYX[:, :, along_z, along_y, along_x]
            maps_BFZYX = _repeated(pathway(read_BCZYX), factor)
            features.append(maps_BFZYX[:, :, : output[2], : output[1], : output[0]])
        logits_BKZYX: Tensor = self.classifier(torch.cat(features, dim=1))
        return logits_BKZYX

    def _largest_output(self, patch: ShapeXYZ) -> ShapeXYZ:
        return self.sizes.output_shape(self.sizes.segment_for(patch))


class Stages(nn.Module):
    """Stages one after the other, some with a residual connection.

    Args:
        stages: the stages; none pads, but for mirrored borders that keep the size.
        residual_stages: stages, counted from 1, to whose output the input of the stage before is added.
    """

    def __init__(self, stages: Sequence[nn.Module], residual_stages: Sequence[int]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.residual_stages = frozenset(residual_stages)

    def forward(self, maps_BFZYX: Tensor) -> Tensor:
        """Feature maps of the last stage."""
        input_of_previous_stage = input_of_stage = maps_BFZYX
        for number, stage in enumerate(self.stages, start=1):
            output = stage(input_of_stage)
            if number in self.residual_stages:
                output = output + _fitted(input_of_previous_stage, output.shape)
            input_of_previous_stage, input_of_stage = input_of_stage, output
        return input_of_stage


class Bias(nn.Module):
    """Adds a learnt number to each channel; starts at zero."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, maps_BFZYX: Tensor) -> Tensor:
        """The maps with their biases added."""
        return maps_BFZYX + self.bias[:, None, None, None]


class MirroredBorder(nn.Module):
    """Adds a mirror image of the voxels at each border, the border voxel included.

    Args:
        margin_zyx: voxels to add on both sides, at most as many as the maps have.
    """

    def __init__(self, margin_zyx: ShapeZYX) -> None:
        super().__init__()
        self.margin_zyx = margin_zyx

    def forward(self, maps_BFZYX: Tensor) -> Tensor:
        """The maps, larger by twice the margin."""
        for dim, margin in enumerate(self.margin_zyx, start=2):
            if margin:
                head = maps_BFZYX.narrow(dim, 0, margin).flip(dim)
                tail = maps_BFZYX.narrow(dim, maps_BFZYX.shape[dim] - margin, margin).flip(dim)
                maps_BFZYX = torch.cat([head, maps_BFZYX, tail], dim=dim)
        return maps_BFZYX


def _pathway(architecture: DeepMedicArchitecture, channels: int) -> Stages:
    """The stages from the image to a pathway's last feature maps; the first one only adds a bias before."""
    features, kernels = architecture.feature_maps, architecture.kernels
    first = OrderedDict(bias=Bias(channels), convolution=_convolution(channels, features[0], kernels[0]))
    later = [
        _stage(features_in, features_out, kernel)
        for features_in, features_out, kernel in zip(features[:-1], features[1:], kernels[1:], strict=True)
    ]
    return Stages([nn.Sequential(first), *later], architecture.residual_stages)


def _classifier(architecture: DeepMedicArchitecture, pathways: int, classes: int) -> nn.Sequential:
    """The stages from the concatenated feature maps to the logits."""
    concatenated = architecture.feature_maps[-1] * pathways
    features = (concatenated, *architecture.fc_features, classes)
    kernels = (architecture.fc_kernel, *[ShapeXYZ((1, 1, 1))] * len(architecture.fc_features))
    stages = [
        _stage(features_in, features_out, kernel, dropout=rate, keep_size=True)
        for features_in, features_out, kernel, rate in zip(
            features[:-1], features[1:], kernels, architecture.dropout, strict=True
        )
    ]
    return nn.Sequential(Stages(stages, architecture.fc_residual_stages), Bias(classes))


def _stage(
    features_in: int, features_out: int, kernel: ShapeXYZ, *, dropout: float = 0.0, keep_size: bool = False
) -> nn.Sequential:
    """Pre-activation order: normalise, activate, drop, convolve (DeepMedic's ConvBlock)."""
    margin_x, margin_y, margin_z = (length // 2 if keep_size else 0 for length in kernel)
    return nn.Sequential(
        OrderedDict(
            norm=nn.BatchNorm3d(features_in, momentum=BATCH_NORM_MOMENTUM),
            activation=nn.PReLU(features_in, init=0.01),
            dropout=nn.Dropout(dropout),
            border=MirroredBorder(ShapeZYX((margin_z, margin_y, margin_x))),
            convolution=_convolution(features_in, features_out, kernel),
        )
    )


def _convolution(features_in: int, features_out: int, kernel: ShapeXYZ) -> nn.Conv3d:
    return nn.Conv3d(features_in, features_out, kernel_size=zyx_of(kernel), bias=False)


def _fitted(maps_BFZYX: Tensor, shape_BFZYX: Sequence[int]) -> Tensor:
    """The centre of the maps with as many features as asked: zeros are added, or the last ones dropped."""
    margin_z, margin_y, margin_x = (
        (maps_BFZYX.shape[dim] - shape_BFZYX[dim]) // 2 for dim in range(2, maps_BFZYX.dim())
    )
    added_features = shape_BFZYX[1] - maps_BFZYX.shape[1]
    # Negative padding crops. The pairs (before, after) are for x, y, z and the features.
    crop = (-margin_x, -margin_x, -margin_y, -margin_y, -margin_z, -margin_z)
    return nn.functional.pad(maps_BFZYX, (*crop, 0, added_features))


def _repeated(maps_BFZYX: Tensor, factor: ShapeXYZ) -> Tensor:
    """Every voxel f times along each axis; for factors of 1 the maps themselves."""
    batch, features, z, y, x = maps_BFZYX.shape
    factor_x, factor_y, factor_z = factor
    spread = maps_BFZYX[:, :, :, None, :, None, :, None]
    spread = spread.expand(batch, features, z, factor_z, y, factor_y, x, factor_x)
    return spread.reshape(batch, features, z * factor_z, y * factor_y, x * factor_x)
