"""What a store's recipe depends on."""

from collections.abc import Callable

from job.contract.study import Study
from job.data.exam_record import recipe_of

MakeStudy = Callable[..., Study]


def test_a_recipe_does_not_depend_on_how_files_are_named(make_study: MakeStudy) -> None:
    other = make_study(
        cohort={
            "pattern": "{patient}_{channel}.nii",
            "channels": [
                {"name": "t1", "files": "T1w"},
                {"name": "t2"},
                {"name": "adc", "normalisation": "fixed", "range": [0, 3000]},
            ],
            "classes": {"GTV-T": [1], "GTV-Ln": 2},
        }
    )
    assert recipe_of(other) == recipe_of(make_study())


def test_exams_with_and_without_masks_are_of_different_recipes(make_study: MakeStudy) -> None:
    assert recipe_of(make_study(cohort={"mask": None})) != recipe_of(make_study())
