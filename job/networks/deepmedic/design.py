"""DeepMedic as a network design: the windows that a study gives it.

Its papers give sizes as segments, which the normal pathway reads: docs/decisions/0002-patch-and-segment.md.
"""

from typing import TYPE_CHECKING

from job.contract.deepmedic import DeepMedicNetwork
from job.contract.shapes import ShapeXYZ, ShapeZYX, xyz_of, zyx_of
from job.contract.study import Study
from job.contract.wording import counted, dimensions
from job.data.window import Window
from job.networks.deepmedic.sizes import DeepMedicSizes
from job.networks.protocol import NetworkWords

if TYPE_CHECKING:  # see `build`
    from torch import nn

TILE_SURPLUS = 20
"""Voxels by which a tile's segment is larger than a patch's, along axes with wide kernels: 45 for 25."""


class DeepMedicDesign:
    """The DeepMedic of a study.

    Raises:
        ValueError: A patch or tile is too small for the network; the message names the study's section.
    """

    def __init__(self, study: Study) -> None:
        assert isinstance(study.network, DeepMedicNetwork)
        self._settings = study.network
        self._patch = study.training.patch_shape
        self.sizes = DeepMedicSizes(study.network.architecture)
        training, evaluation = study.training, study.evaluation
        self.training_segment = self._segment("training", training.segment_shape, training.patch_shape)
        """Voxels that the normal pathway sees of a patch."""
        self.evaluation_segment = self._larger(self.training_segment)
        """Voxels that the normal pathway sees of a tile."""
        if evaluation.segment_shape or evaluation.tile_shape:
            self.evaluation_segment = self._segment(
                "evaluation", evaluation.segment_shape, evaluation.tile_shape
            )

    def training_window(self) -> Window:
        """The patch of the study, or the smallest that holds its segment's context."""
        return self._window(self.training_segment, self._patch)

    def tile_window(self, volume_zyx: ShapeZYX) -> Window:
        """The study's tile, no larger than a volume of this size needs."""
        wanted = self.sizes.output_shape(self.evaluation_segment)
        shrinkage = (s - o for s, o in zip(self.evaluation_segment, wanted, strict=True))
        x, y, z = (
            max(min(size, volume), least) + shrunk
            for size, volume, least, shrunk in zip(
                wanted, xyz_of(volume_zyx), self.sizes.smallest_output, shrinkage, strict=True
            )
        )
        return self._window(ShapeXYZ((x, y, z)))

    def tile_stride(self, window: Window) -> ShapeZYX:
        """The output's size: without padding, no voxel of a window is worse than another."""
        return window.output_zyx

    def receptive_field(self) -> ShapeXYZ:
        """Of the widest pathway."""
        return self.sizes.receptive_field()

    def values_read(self, window: Window) -> int:
        """Of all stages of all pathways."""
        return self.sizes.values_read(xyz_of(window.input_zyx), xyz_of(window.output_zyx))

    def in_words(self) -> NetworkWords:
        """Variant, pathways and stages; patches are called segments, as in DeepMedic's papers."""
        variant, architecture = self._settings.variant, self.sizes.architecture
        pathways = counted(len(self.sizes.factors), "pathway")
        convolutions = counted(len(architecture.feature_maps), "convolution")
        maps = ", ".join(map(str, architecture.feature_maps))
        return NetworkWords(
            title=f"{self._settings.name} {variant}",
            layers=f"DeepMedic (variant {variant}; {pathways} of {convolutions} with {maps} feature maps)",
            patch=f"segments of {dimensions(self.training_segment)} voxels",
        )

    def build(self, channels: int, classes: int) -> "nn.Module":
        """The network with weights from torch's global generator."""
        from job.networks.deepmedic.network import DeepMedic  # torch takes seconds to import

        return DeepMedic(self.sizes, channels, classes)

    def _window(self, segment: ShapeXYZ, patch: ShapeXYZ | None = None) -> Window:
        """What is read and predicted of a segment, or of a patch with room to spare."""
        output = self.sizes.output_shape(segment)
        patch = patch or self.sizes.input_shape(segment)
        return Window(
            input_zyx=zyx_of(patch),
            output_zyx=zyx_of(output),
            offset_zyx=zyx_of(self.sizes.output_start(patch, output)),
        )

    def _segment(self, section: str, segment: ShapeXYZ | None, patch: ShapeXYZ | None) -> ShapeXYZ:
        """The segment that a section of the study gives, itself or by its patch."""
        try:
            if segment is None:
                assert patch is not None
                return self.sizes.segment_for(patch)
            self.sizes.output_shape(segment)
        except ValueError as error:
            raise ValueError(f"[{section}] {error}") from None
        return segment

    def _larger(self, segment: ShapeXYZ) -> ShapeXYZ:
        """A tile's segment where the study gives none."""
        x, y, z = (
            size + (TILE_SURPLUS if field > 1 else 0)
            for size, field in zip(segment, self.receptive_field(), strict=True)
        )
        return ShapeXYZ((x, y, z))
