from dataclasses import replace

import pytest

from job.contract.deepmedic import paper
from job.contract.shapes import ShapeXYZ
from tests.job.toml_studies import make_study


def cube(length: int) -> ShapeXYZ:
    return ShapeXYZ((length, length, length))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"feature_maps": (), "kernels": ()}, "feature_maps is empty"),
        ({"feature_maps": (30,) * 7 + (0,)}, "feature_maps has 0"),
        ({"fc_features": (0, 150)}, "fc_features has 0"),
        ({"kernels": (cube(3),) * 7}, "kernels has 7 entries, needs 8"),
        ({"kernels": (cube(3),) * 7 + ((3, 3, 2),)}, r"kernels has \(3, 3, 2\)"),
        ({"subsampling": ((3, 3, 3), (2, 1, 1))}, r"subsampling has \(2, 1, 1\)"),
        ({"subsampling": ((3, 3, 0),)}, r"subsampling has \(3, 3, 0\)"),
        ({"subsampling": ((3, 3),)}, r"subsampling has \(3, 3\)"),
        ({"fc_kernel": (3, 3, -1)}, r"fc_kernel has \(3, 3, -1\)"),
        ({"residual_stages": (1,)}, "residual_stages has stage 1"),
        ({"residual_stages": (9,)}, "residual_stages has stage 9"),
        ({"fc_residual_stages": (3,)}, "fc_residual_stages has stage 3"),
        ({"dropout": (0.5, 0.5)}, "dropout has 2 entries, needs 3"),
        ({"dropout": (0.0, 0.5, 1.0)}, "dropout has a rate of 1.0"),
    ],
)
def test_an_impossible_architecture_is_refused_by_the_name_of_its_field(
    changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        replace(paper(), **changes)


def test_a_table_of_the_network_changes_its_variant() -> None:
    architecture = make_study(
        "network.fc_features = [10, 11]\nnetwork.dropout = [0, 0, 0]"
    ).network.architecture
    assert architecture.fc_features == (10, 11)
    assert architecture.feature_maps == (12, 12, 16, 16)  # the preset's
    assert architecture.fc_kernel == (1, 1, 1)  # the variant's
