"""The study: everything that defines an experiment, as frozen pydantic models.

`job.study_file.load_study` reads one from a file, and refuses what its network cannot do. Shapes are voxels
along (x, y, z) of the canonical (RAS) grid. The docstring under a field is its documentation: docs/study.md is
made from it.
"""

from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import BeforeValidator, Field, PositiveFloat, PositiveInt, model_validator

from job.contract.cloud import STACK
from job.contract.cohort import Cohort, Section
from job.contract.cohort_rules import doubled
from job.contract.grid import Arm, leave_out_arms
from job.contract.metrics import METRICS
from job.contract.networks import DEFAULT_NETWORK, Network, of_its_name
from job.contract.shapes import ShapeXYZ

STUDY_NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$"
Fraction = Annotated[float, Field(ge=0, le=1)]
if TYPE_CHECKING:
    EndpointMetric = str
else:  # a computed Literal: wrong names are refused, and the right ones documented, as those of any other choice
    EndpointMetric = Literal[tuple(name for name, metric in METRICS.items() if metric.may_be_endpoint)]


class Endpoint(Section):
    """What the verdict is about, fixed before anything runs."""

    structure: str | Annotated[tuple[str, ...], Field(min_length=1)] = Field(alias="class")
    """Name of a class or of one of `cohort.structures`, or `union` for all classes together; or a list of them, all
    of which a channel must be spared by before it is called droppable. Arms are ordered by the first."""
    metric: EndpointMetric = "dice"
    """Which metric."""

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if (twice := doubled(self.structures)) is not None:
            raise ValueError(f"class has {twice!r} twice; name each structure once")
        return self

    @property
    def structures(self) -> tuple[str, ...]:
        """All of them, the leading one first."""
        return (self.structure,) if isinstance(self.structure, str) else self.structure

    @property
    def leading(self) -> str:
        """The structure by which arms are ordered."""
        return self.structures[0]


class Sweep(Section):
    """The leave-one-out design."""

    leave_out: Literal["channels", "acquisitions", "pairs", "only-one-in"] = "channels"
    """What an arm leaves out: each channel, each acquisition, each pair of channels, or all but one channel."""
    test_unit: Literal["exam", "patient"] = "exam"
    """A fold tests one exam, or all exams of one patient. It never trains on any exam of its test patient."""
    repeats: PositiveInt = 1
    """How often the whole grid is run, each time with other random draws."""
    reference_repeats: Annotated[int, Field(ge=0)] = 0
    """Further repeats of the reference arm alone, for the noise floor of retraining."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """All random draws follow from it."""
    endpoint: Endpoint | None = None
    """Primary endpoint; default: Dice of the first class."""
    equivalence_margin: PositiveFloat | None = None
    """Difference of the primary endpoint below which a channel counts as droppable, in its own unit (Dice: below 1;
    2 % is 0.02); default: 0.02 for Dice, none for distances. Like the endpoint it is part of what a run is: with
    another, another run begins, which takes over the folds that are trained."""
    margin_justification: str | None = None
    """Why the margin is what it is, e.g. what two readers differ by; printed in the report."""
    relative_margin: Annotated[float, Field(gt=0, le=1)] = 0.25
    """The margin of Dice as a share of what the reference has, or lacks of a perfect one, whichever is less; the
    smaller of both margins counts. A loss of 0.02 is small beside a Dice of 0.8, and four times the error beside
    0.995."""
    smallest_dice: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """Mean Dice that the reference must be shown to exceed before anything is called droppable beside it."""

    @model_validator(mode="after")
    def _margin_fits_the_metric(self) -> Self:
        metric = self.endpoint.metric if self.endpoint is not None else "dice"
        if metric == "dice" and self.equivalence_margin is not None and self.equivalence_margin >= 1:
            margin = self.equivalence_margin
            raise ValueError(
                f"equivalence_margin: a Dice has no loss of {margin:g}; {margin:g} % is {margin / 100:g}"
            )
        return self


class Training(Section):
    """One training."""

    steps: PositiveInt
    """Optimiser updates."""
    batch_size: PositiveInt = 10
    """Patches per step."""
    patch_shape: ShapeXYZ | None = None
    """Voxels of a patch, the context of the sub-sampled pathways included; or give `segment_shape`."""
    segment_shape: ShapeXYZ | None = None
    """DeepMedic's way to say it: voxels that the normal pathway sees; the patch follows from it."""
    class_proportions: Literal["foreground", "equal"] | dict[str, Fraction] = "foreground"
    """How often a patch is centred on each class: `foreground` half background, half any class by its
    volume; `equal` the same for background and each class; or a table that names `background` and classes, whose
    numbers are taken relative to their sum."""
    loss: Literal["cross-entropy", "dice", "dice-cross-entropy"] = "cross-entropy"
    """Loss (soft Dice from MONAI, without background, over the batch)."""
    optimiser: Literal["rmsprop", "adamw", "sgd"] = "rmsprop"
    """`rmsprop` is DeepMedic's (rho 0.9, epsilon 1e-4, Nesterov momentum); `sgd` has Nesterov momentum."""
    learning_rate: PositiveFloat = 1e-3
    """Learning rate of the first step."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.6
    """Momentum of `rmsprop` and `sgd`."""
    weight_l1: Annotated[float, Field(ge=0)] = 1e-6
    """Factor of the sum of |w| over convolution weights."""
    weight_l2: Annotated[float, Field(ge=0)] = 1e-4
    """Factor of the sum of w² over convolution weights (for `adamw`: its decoupled weight decay)."""
    schedule: Literal["constant", "halve", "poly"] = "poly"
    """`halve` at `halve_at`; `poly`: (1 - step / steps) ** 0.9."""
    halve_at: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = ()
    """Fractions of the training after which the learning rate is halved."""
    flip_axes: tuple[Literal["x", "y", "z"], ...] = ("x",)
    """Axes along which a patch is mirrored, each with probability 0.5."""
    intensity_shift_sd: Annotated[float, Field(ge=0)] = 0.05
    """SD of the number added to a channel of a patch, in SDs of the channel over the training exams."""
    intensity_scale_sd: Annotated[float, Field(ge=0)] = 0.01
    """SD, around 1, of the factor that a channel of a patch is multiplied by."""
    precision: Literal["auto", "float32", "tf32", "bf16", "fp16"] = "auto"
    """Arithmetic of the network; `auto`: tf32 where the device has it, else float32."""
    validation_patients: Annotated[int, Field(ge=0)] = 0
    """Patients held out of training to follow Dice on whole exams; the same in every arm."""
    validate_every: PositiveInt | None = None
    """Steps between two validations; default: a fifth of the steps."""

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        if (self.patch_shape is None) == (self.segment_shape is None):
            raise ValueError("give either patch_shape or segment_shape, or a preset at the top of the file")
        if (self.schedule == "halve") != bool(self.halve_at):
            raise ValueError('halve_at belongs to schedule = "halve", which needs it')
        if isinstance(self.class_proportions, dict) and sum(self.class_proportions.values()) <= 0:
            raise ValueError("class_proportions must not all be 0")
        return self


class Evaluation(Section):
    """The test of a fold."""

    tile_shape: ShapeXYZ | None = None
    """Voxels of an inference tile, context included; default: what `segment_shape` needs."""
    segment_shape: ShapeXYZ | None = None
    """The same in DeepMedic's way; default: the training's, 20 voxels larger along axes with wide kernels."""
    tile_batch: PositiveInt = 4
    """Tiles that go through the network together."""

    @model_validator(mode="after")
    def _one_size(self) -> Self:
        if self.tile_shape is not None and self.segment_shape is not None:
            raise ValueError("give either tile_shape or segment_shape")
        return self


class Compute(Section):
    """Where and how folds run; changes nothing of the experiment itself."""

    backend: Literal["local", "batch"] = "local"
    """Executor: this machine, or AWS Batch."""
    runs: str = "runs"
    """Folder of the runs, relative to the study file, or an `s3://` URL; on AWS Batch the stack's own place."""
    stack: str = STACK
    """Name of the deployed stack, for AWS Batch."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto`: the GPUs where there are any, else the CPU."""
    cores_per_fold: PositiveInt = 1
    """CPU cores of one fold; without a GPU, as many folds run at once as the machine has cores for."""
    checkpoint_minutes: PositiveFloat = 5.0
    """Time between two checkpoints."""


class Store(Section):
    """The block store that the cohort's files are made into."""

    folder: str = "store"
    """Where it is, relative to the study file, or an `s3://` URL; on AWS Batch the stack's own place."""
    dtype: Literal["float16", "float32"] = "float16"
    """Number format of normalised images."""
    block_shape: ShapeXYZ = ShapeXYZ((64, 64, 8))
    """Voxels of a block along (x, y, z). The order in which voxels are drawn follows from it."""


class Study(Section):
    """A whole study file."""

    name: Annotated[str, Field(pattern=STUDY_NAME)]
    """Runs are named after it."""
    cohort: Cohort
    """Where the exams are and what they hold."""
    sweep: Sweep = Sweep()
    """The leave-one-out design."""
    store: Store = Store()
    """The block store that the cohort's files are made into."""
    network: Annotated[Network, BeforeValidator(of_its_name)] = DEFAULT_NETWORK
    """The network."""
    training: Training
    """One training."""
    evaluation: Evaluation = Evaluation()
    """The test of a fold."""
    compute: Compute = Compute()
    """Where and how folds run."""

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        tested = self.cohort.structure_labels
        for structure in self.sweep.endpoint.structures if self.sweep.endpoint is not None else ():
            if structure not in tested:
                raise ValueError(
                    f"sweep.endpoint.class is {structure!r}; expected one of {', '.join(tested)}"
                )
        if isinstance(self.training.class_proportions, dict):
            allowed = ("background", *self.cohort.class_names)
            if unknown := [name for name in self.training.class_proportions if name not in allowed]:
                raise ValueError(
                    f"training.class_proportions: no class {unknown[0]!r}; expected some of {', '.join(allowed)}"
                )
        _ = self.arms
        return self

    @property
    def arms(self) -> tuple[Arm, ...]:
        """The arms of the sweep, the reference first."""
        return leave_out_arms(self.cohort.channel_names, self.cohort.groups, self.sweep.leave_out)

    @property
    def endpoint(self) -> Endpoint:
        """The primary endpoint, given or default."""
        return self.sweep.endpoint or Endpoint(**{"class": self.cohort.class_names[0]})

    @property
    def margin(self) -> float | None:
        """The equivalence margin, given or default; None: none was stated."""
        if self.sweep.equivalence_margin is None:
            return METRICS[self.endpoint.metric].default_margin
        return self.sweep.equivalence_margin
