"""Shapes in the two orders of axes, as types that cannot be taken for one another.

Settings count along (x, y, z), arrays lie along (z, y, x): docs/decisions/0001-axis-order.md.
"""

from typing import NewType

from pydantic import PositiveInt

ShapeXYZ = NewType("ShapeXYZ", tuple[PositiveInt, PositiveInt, PositiveInt])
"""Voxels along (x, y, z) of the canonical grid: a size, or how far one voxel lies from another."""
ShapeZYX = NewType("ShapeZYX", tuple[int, int, int])
"""The same along (z, y, x)."""


def zyx_of(shape_xyz: ShapeXYZ) -> ShapeZYX:
    """The shape in the order of arrays."""
    x, y, z = shape_xyz
    return ShapeZYX((z, y, x))


def xyz_of(shape_zyx: ShapeZYX) -> ShapeXYZ:
    """The shape in the order of settings."""
    z, y, x = shape_zyx
    return ShapeXYZ((x, y, z))
