"""The settings of a DeepMedic, and what a network is made of them: plain values.

The arithmetic of its sizes is `job.networks.deepmedic.sizes`'.

Source: Kamnitsas et al., Med Image Anal 2017;36:61-78, and github.com/deepmedic/deepmedic at e10ba7c.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from job.contract.cohort import Section
from job.contract.shapes import ShapeXYZ


@dataclass(frozen=True, kw_only=True)
class DeepMedicArchitecture:
    """What makes one DeepMedic; all its pathways have the same stages.

    Raises:
        ValueError: A value is impossible; the message names the field.
    """

    feature_maps: tuple[int, ...]
    """Feature maps that each stage of a pathway gives."""
    kernels: tuple[ShapeXYZ, ...]
    """Kernel of each stage of a pathway; odd, so that a residual connection crops both sides alike."""
    subsampling: tuple[ShapeXYZ, ...]
    """Factor of each pathway next to the normal one; odd, so that the middle of f voxels is a voxel."""
    residual_stages: tuple[int, ...]
    """Stages of every pathway, counted from 1, whose output gets the input of the stage before added."""
    fc_features: tuple[int, ...]
    """Feature maps of the fully connected stages between concatenation and classifier."""
    fc_kernel: ShapeXYZ
    """Kernel of the first stage after the concatenation; its input is mirrored at the borders, so that
    the output keeps its size."""
    fc_residual_stages: tuple[int, ...]
    """As `residual_stages`, for the fully connected stages."""
    dropout: tuple[float, ...]
    """Rate at the input of each fully connected stage, and last of the classifier."""

    def __post_init__(self) -> None:
        _check_counts("feature_maps", self.feature_maps)
        _check_counts("fc_features", self.fc_features)
        if not self.feature_maps:
            raise ValueError("feature_maps is empty; a pathway needs at least one stage")
        _check_length("kernels", self.kernels, len(self.feature_maps), "one per stage of feature_maps")
        _check_length("dropout", self.dropout, len(self.fc_features) + 1, "fc_features plus the classifier")
        for kernel in self.kernels:
            _check_odd("kernels", kernel)
        for factor in self.subsampling:
            _check_odd("subsampling", factor)
        _check_odd("fc_kernel", self.fc_kernel)
        _check_residual("residual_stages", self.residual_stages, len(self.feature_maps))
        _check_residual("fc_residual_stages", self.fc_residual_stages, len(self.fc_features))
        for rate in self.dropout:
            if not 0 <= rate < 1:
                raise ValueError(f"dropout has a rate of {rate}; a rate is at least 0 and below 1")


def paper() -> DeepMedicArchitecture:
    """The paper's network: two pathways of eight stages, no residual connections."""
    return DeepMedicArchitecture(
        feature_maps=(30, 30, 40, 40, 40, 40, 50, 50),
        kernels=(ShapeXYZ((3, 3, 3)),) * 8,
        subsampling=(ShapeXYZ((3, 3, 3)),),
        residual_stages=(),
        fc_features=(150, 150),
        fc_kernel=ShapeXYZ((1, 1, 1)),
        fc_residual_stages=(),
        dropout=(0.0, 0.5, 0.5),
    )


def residual() -> DeepMedicArchitecture:
    """The paper's network with residual connections and a 3^3 kernel after the concatenation."""
    return DeepMedicArchitecture(
        feature_maps=(30, 30, 40, 40, 40, 40, 50, 50),
        kernels=(ShapeXYZ((3, 3, 3)),) * 8,
        subsampling=(ShapeXYZ((3, 3, 3)),),
        residual_stages=(4, 6, 8),
        fc_features=(150, 150),
        fc_kernel=ShapeXYZ((3, 3, 3)),
        fc_residual_stages=(2,),
        dropout=(0.0, 0.5, 0.5),
    )


def v084() -> DeepMedicArchitecture:
    """The default of DeepMedic 0.8.4: three pathways, residual connections, wider after concatenation."""
    return DeepMedicArchitecture(
        feature_maps=(30, 30, 40, 40, 40, 40, 50, 50),
        kernels=(ShapeXYZ((3, 3, 3)),) * 8,
        subsampling=(ShapeXYZ((3, 3, 3)), ShapeXYZ((5, 5, 5))),
        residual_stages=(4, 6, 8),
        fc_features=(250, 250),
        fc_kernel=ShapeXYZ((3, 3, 3)),
        fc_residual_stages=(2,),
        dropout=(0.0, 0.5, 0.5),
    )


VARIANTS: dict[str, Callable[[], DeepMedicArchitecture]] = {
    "paper": paper,
    "residual": residual,
    "v0.8.4": v084,
}


class DeepMedicNetwork(Section):
    """The network; what is not given comes from the variant."""

    name: Literal["deepmedic"] = "deepmedic"
    """Kind of network."""
    variant: Literal["paper", "residual", "v0.8.4"] = "paper"
    """Published configuration of DeepMedic to start from."""
    feature_maps: tuple[PositiveInt, ...] | None = None
    """Feature maps of each stage of a pathway."""
    kernels: tuple[ShapeXYZ, ...] | None = None
    """Kernel of each stage of a pathway, along (x, y, z); odd."""
    subsampling: tuple[ShapeXYZ, ...] | None = None
    """Sub-sampling factors along (x, y, z) of each pathway beside the normal one; odd."""
    residual_stages: tuple[PositiveInt, ...] | None = None
    """Stages (from 1) whose output gets the input of the stage before added."""
    fc_features: tuple[PositiveInt, ...] | None = None
    """Features of the stages after concatenation, the classifier not counted."""
    fc_kernel: ShapeXYZ | None = None
    """Kernel of the first of these stages."""
    fc_residual_stages: tuple[PositiveInt, ...] | None = None
    """Of these stages, those (from 1) whose output gets the input of the stage before added."""
    dropout: tuple[Annotated[float, Field(ge=0, lt=1)], ...] | None = None
    """Dropout rate at the input of each stage after concatenation, the classifier included."""

    @property
    def architecture(self) -> DeepMedicArchitecture:
        """The variant with this table's changes.

        Raises:
            ValueError: The parts do not fit (number of stages, even kernels, …).
        """
        changes = self.model_dump(exclude={"name", "variant"}, exclude_none=True)
        return replace(VARIANTS[self.variant](), **changes)

    @property
    def resolved(self) -> dict[str, Any]:
        """All its values, those of the variant included, for people to read."""
        return {"name": self.name, "variant": self.variant} | asdict(self.architecture)

    @model_validator(mode="after")
    def _can_be_built(self) -> Self:
        _ = self.architecture
        return self


def _check_counts(field: str, counts: Sequence[int]) -> None:
    for count in counts:
        if count < 1:
            raise ValueError(f"{field} has {count}; every stage needs at least 1 feature map")


def _check_length(field: str, values: Sequence[object], wanted: int, because: str) -> None:
    if len(values) != wanted:
        raise ValueError(f"{field} has {len(values)} entries, needs {wanted} ({because})")


def _check_odd(field: str, shape: ShapeXYZ) -> None:
    if len(shape) != 3 or any(length < 1 or length % 2 == 0 for length in shape):
        raise ValueError(f"{field} has {shape}; it takes three odd numbers from 1 up, along (x, y, z)")


def _check_residual(field: str, stages: Sequence[int], count: int) -> None:
    for stage in stages:
        if not 2 <= stage <= count:
            raise ValueError(
                f"{field} has stage {stage}; it takes stages from 2, since a residual connection comes from "
                f"the stage before, to {count}, the last"
            )
