"""The arithmetic of DeepMedic's sizes and positions, before any tensor exists.

Everything is per axis, in (x, y, z). Lengths and positions are in voxels of the input.

    patch      the one input of the whole network, context of the sub-sampled pathways included
    segment    the part of it that the normal pathway reads: its output plus its shrinkage
    output     the voxels that get a prediction
    shrinkage  what the valid convolutions of a pathway take off: the sum of (kernel - 1)
    factor     the sub-sampling of a pathway, 1 for the normal one

Where a pathway of factor f and shrinkage r reads, for an output that starts at `start`:

    start + (f - 1)/2 - f * r/2 + f * j     for j in 0 .. ceil(output / f) + r - 1

With that, a low-resolution voxel, repeated f times, is centred on the f output voxels that it covers.
The reference implementation (deepmedic/dataManagement/sampling.py, get_subsampl_segment) reads (f - 1)/2
voxels earlier: its low-resolution voxel is centred on the first of the f voxels instead of the middle one.

Source: Kamnitsas et al., Med Image Anal 2017;36:61-78, and github.com/deepmedic/deepmedic at e10ba7c.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

from job.contract.deepmedic import DeepMedicArchitecture
from job.contract.shapes import ShapeXYZ

_AXES = ("x", "y", "z")


@dataclass(frozen=True)
class DeepMedicSizes:
    """How large, and where, what a DeepMedic reads and predicts is."""

    architecture: DeepMedicArchitecture

    @property
    def factors(self) -> tuple[ShapeXYZ, ...]:
        """Factor of every pathway, the normal one first."""
        return (ShapeXYZ((1, 1, 1)), *self.architecture.subsampling)

    def receptive_field(self) -> ShapeXYZ:
        """Voxels that the widest pathway draws on for its output; see `receptive_fields`."""
        return _per_axis(lambda axis: max(field[axis] for field in self.receptive_fields()))

    def receptive_fields(self) -> tuple[ShapeXYZ, ...]:
        """Voxels that each pathway draws on, the normal one first: factor * (shrinkage + 1).

        This is the reach over all f positions that an output voxel can have within a repeated
        low-resolution voxel; a single output voxel reaches f - 1 less. A `fc_kernel` above 1, which mixes
        neighbouring outputs, is not counted.
        """

        def of(factor: ShapeXYZ) -> ShapeXYZ:
            return _per_axis(lambda axis: factor[axis] * (self._shrinkage(axis) + 1))

        return tuple(of(factor) for factor in self.factors)

    def output_shape(self, segment: ShapeXYZ) -> ShapeXYZ:
        """Voxels predicted from a segment.

        Raises:
            ValueError: The segment is too small for any output.
        """

        def along(axis: int) -> int:
            smallest = self._shrinkage(axis) + self._smallest_output(axis)
            if segment[axis] < smallest:
                raise ValueError(
                    f"a segment of {segment[axis]} voxels along {_AXES[axis]} gives no output; "
                    f"the smallest is {smallest}"
                )
            return segment[axis] - self._shrinkage(axis)

        return _per_axis(along)

    def input_shape(self, segment: ShapeXYZ) -> ShapeXYZ:
        """The smallest patch that holds a segment and the context of every pathway.

        Raises:
            ValueError: The segment is too small for any output.
        """
        output = self.output_shape(segment)
        return _per_axis(lambda axis: self._smallest_patch(axis, output[axis]))

    def segment_for(self, patch: ShapeXYZ) -> ShapeXYZ:
        """The largest segment whose context lies in a patch.

        Raises:
            ValueError: Not even the smallest output fits.
        """

        def along(axis: int) -> int:
            shrinkage, before = self._shrinkage(axis), self._context_before(axis)
            # The largest output with before + _last(...) < patch; it is a multiple of the factor, because a
            # pathway has to read the same for every output of the same number of low-resolution voxels.
            output = min(
                f * ((patch[axis] - 1 - before - _first(f, shrinkage)) // f - shrinkage + 1)
                for f in self._factors_along(axis)
            )
            if output < self._smallest_output(axis):
                raise self._too_small(axis, patch[axis], self._smallest_output(axis))
            return output + shrinkage

        return _per_axis(along)

    def output_start(self, patch: ShapeXYZ, output: ShapeXYZ) -> ShapeXYZ:
        """Where the output's first voxel lies in the patch.

        That is where a centre crop of the patch starts, (patch - output) // 2, or the nearest voxel to it from
        which every pathway's context lies in the patch. The two differ only in a patch without room to spare
        and for an output that is no multiple of the factors, whose context is longer at the end. Where
        patch - output is odd, the centre crop leaves the larger part at the end.

        Raises:
            ValueError: The output is empty, or does not fit in the patch with its context.
        """

        def along(axis: int) -> int:
            if output[axis] < self._smallest_output(axis):
                raise ValueError(
                    f"an output of {output[axis]} voxels along {_AXES[axis]} is too small; "
                    f"the smallest is {self._smallest_output(axis)}"
                )
            smallest_patch = self._smallest_patch(axis, output[axis])
            if patch[axis] < smallest_patch:
                raise self._too_small(axis, patch[axis], output[axis])
            before = self._context_before(axis)
            centred = (patch[axis] - output[axis]) // 2
            return min(max(centred, before), before + patch[axis] - smallest_patch)

        return _per_axis(along)

    def pathway_reads(
        self, factor: ShapeXYZ, patch: ShapeXYZ, output: ShapeXYZ
    ) -> tuple[slice, slice, slice]:
        """The voxels of a patch that the pathway of a factor takes as its input, as slices in (x, y, z).

        Raises:
            ValueError: The output is empty, or does not fit in the patch with its context.
        """
        start = self.output_start(patch, output)

        def along(axis: int) -> slice:
            f, shrinkage = factor[axis], self._shrinkage(axis)
            first = start[axis] + _first(f, shrinkage)
            last = start[axis] + _last(f, shrinkage, output[axis])
            return slice(first, last + 1, f)

        return along(0), along(1), along(2)

    def values_read(self, patch: ShapeXYZ, output: ShapeXYZ) -> int:
        """Feature values that all stages read for one patch: what its memory in training is proportional to.

        Raises:
            ValueError: The output is empty, or does not fit in the patch with its context.
        """
        joined = prod(output) * (
            self.architecture.feature_maps[-1] * len(self.factors) + sum(self.architecture.fc_features)
        )
        return joined + sum(self._pathway_values(self.pathway_reads(f, patch, output)) for f in self.factors)

    def _pathway_values(self, reads: tuple[slice, slice, slice]) -> int:
        shape = [len(range(part.start, part.stop, part.step)) for part in reads]
        values = 0
        for maps, kernel in zip(self.architecture.feature_maps, self.architecture.kernels, strict=True):
            values += maps * prod(shape)
            shape = [size - (edge - 1) for size, edge in zip(shape, kernel, strict=True)]
        return values

    def _shrinkage(self, axis: int) -> int:
        return sum(kernel[axis] - 1 for kernel in self.architecture.kernels)

    def _factors_along(self, axis: int) -> list[int]:
        return [factor[axis] for factor in self.factors]

    @property
    def smallest_output(self) -> ShapeXYZ:
        """Fewest voxels that can be predicted along each axis."""
        return _per_axis(self._smallest_output)

    def _smallest_output(self, axis: int) -> int:
        """One voxel, or as many as the mirrored border of `fc_kernel` copies."""
        return max(1, self.architecture.fc_kernel[axis] // 2)

    def _context_before(self, axis: int) -> int:
        """Voxels read before the output's first one."""
        return max(-_first(f, self._shrinkage(axis)) for f in self._factors_along(axis))

    def _smallest_patch(self, axis: int, output: int) -> int:
        last = max(_last(f, self._shrinkage(axis), output) for f in self._factors_along(axis))
        return self._context_before(axis) + last + 1

    def _too_small(self, axis: int, patch: int, output: int) -> ValueError:
        return ValueError(
            f"a patch of {patch} voxels along {_AXES[axis]} is too small: to predict {output} of them, the "
            f"network must see at least {self._smallest_patch(axis, output)}; use a larger patch, or smaller "
            f"kernels or factors along {_AXES[axis]}"
        )


def _per_axis(along: Callable[[int], int]) -> ShapeXYZ:
    return ShapeXYZ((along(0), along(1), along(2)))


def _first(factor: int, shrinkage: int) -> int:
    """Where a pathway's first read lies, counted from the output's first voxel."""
    return (factor - 1) // 2 - factor * (shrinkage // 2)


def _last(factor: int, shrinkage: int, output: int) -> int:
    """Where a pathway's last read lies, counted from the output's first voxel."""
    low_resolution_output = -(-output // factor)
    return _first(factor, shrinkage) + factor * (low_resolution_output + shrinkage - 1)
