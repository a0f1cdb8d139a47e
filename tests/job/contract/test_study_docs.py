import tomllib
from pathlib import Path

import pytest

from job.contract.cohort import Section
from job.contract.presets import PRESETS
from job.contract.study_docs import EXAMPLE, preset_toml, study_reference
from job.study_file import parse_study

DOCS = Path(__file__).parents[3] / "docs"


def test_the_page_in_docs_is_up_to_date() -> None:
    assert (DOCS / "study.md").read_text(encoding="utf-8") == study_reference(), (
        "run: python -m job.contract.study_docs > docs/study.md"
    )


@pytest.mark.parametrize("section", Section.__subclasses__(), ids=lambda section: section.__name__)
def test_every_key_of_every_table_is_described(section: type[Section]) -> None:
    reference = study_reference()
    for name, field in section.model_fields.items():
        assert field.description, f"{section.__name__}.{name} has no docstring"
        description = " ".join(field.description.split()).replace("|", r"\|")
        assert f"| `{field.alias or name}` | " in reference
        assert f" | {description} |\n" in reference


@pytest.mark.parametrize(
    "row",
    [
        "| `batch_size` | whole number (above 0) | `10` | Patches per step. |",
        "| `kernels` | list of lists of 3 whole numbers (above 0) |  | Kernel of each stage of a pathway, "
        "along (x, y, z); odd. |",
        '| `device` | `"auto"`, `"cpu"`, `"cuda"` | `"auto"` | `auto`: the GPUs where there are any, else the CPU. |',
        "| `class` | text or list (length at least 1) of texts | required | Name of a class or of one of "
        "`cohort.structures`, or `union` for all classes together; or a list of them, all of which a channel must be "
        "spared by before it is called droppable. Arms are ordered by the first. |",
        "| `smallest_dice` | number (at least 0, below 1) | `0.3` | Mean Dice that the reference must be shown to "
        "exceed before anything is called droppable beside it. |",
        "| `weight_l1` | number (at least 0) | `1e-06` | Factor of the sum of \\|w\\| over convolution weights. |",
    ],
)
def test_a_row_gives_key_type_default_and_meaning(row: str) -> None:
    assert f"\n{row}\n" in study_reference()


@pytest.mark.parametrize("preset", PRESETS)
def test_the_reference_quotes_the_presets_as_they_are(preset: str) -> None:
    text = preset_toml(PRESETS[preset]())
    assert tomllib.loads(text) == PRESETS[preset]()
    assert f"```toml\n{text}```" in study_reference()


def test_the_example_is_a_study() -> None:
    study = parse_study(tomllib.loads(EXAMPLE), source="docs/study.md")
    assert study.cohort.channel_names == ("t1", "t2", "adc")
