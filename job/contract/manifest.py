"""The manifest: what a run is, frozen when it is submitted."""

import json
from collections.abc import Sequence
from functools import cached_property
from hashlib import sha256
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, model_validator

from job.contract.grid import Grid
from job.contract.study import Compute, Study


class ExamEntry(BaseModel):
    """An exam of the run, in the order of the grid."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    exam: str
    patient: str
    digest: str
    """Digest of the exam's contents in the store."""


class Manifest(BaseModel):
    """A run: the study as resolved from its file and preset, and the exams with their digests."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = 1
    """Of this format."""
    run: str
    created: str
    """UTC, ISO 8601; not part of the identity."""
    code_version: str
    """Of the code that submitted the run; each result names its own."""
    image: str | None = None
    """The container image that it was submitted with, by digest; None for processes. Not part of the identity."""
    study: Study
    recipe: str
    """The store's folder for the way in which the cohort was prepared."""
    exams: tuple[ExamEntry, ...]
    arms: tuple[str, ...]
    """Names of the arms, to be read by people; they follow from the study."""
    folds: int
    """Size of the grid; it follows from the study and the exams."""
    digest: str
    """Identity of the experiment: every result repeats it."""

    @classmethod
    def freeze(
        cls,
        study: Study,
        *,
        exams: tuple[ExamEntry, ...],
        recipe: str,
        created: str,
        code_version: str,
        image: str | None = None,
    ) -> Self:
        """The manifest of a study over prepared exams.

        The identity covers the study and the exams' digests, but not where files lie and what computes
        (`compute`, `cohort.root`): the same experiment elsewhere is the same run.

        Raises:
            ValueError: The cohort is too small for the study.
        """
        words = study.model_dump(mode="json", by_alias=True)
        digest = _identity(words, [exam.model_dump(mode="json") for exam in exams])
        return cls(
            run=f"{study.name}-{digest[:8]}",
            created=created,
            code_version=code_version,
            image=image,
            study=study,
            recipe=recipe,
            exams=exams,
            arms=tuple(arm.name for arm in study.arms),
            folds=len(grid_of(study, [exam.patient for exam in exams])),
            digest=digest,
        )

    @model_validator(mode="before")
    @classmethod
    def _identity_holds(cls, data: object) -> object:
        """Holds the digest against the file's own words: a field that a later version adds changes nothing."""
        if isinstance(data, dict) and isinstance(data.get("study"), dict):
            try:
                digest = _identity(data["study"], data["exams"])
            except (KeyError, TypeError, AttributeError):
                return data  # the fields' own checks say what is missing
            if data.get("digest") != digest:
                raise ValueError(_CHANGED)
            compute = data["study"].get("compute")
            if isinstance(
                compute, dict
            ):  # of which other versions knew other keys; none is of the experiment
                known = {key: value for key, value in compute.items() if key in Compute.model_fields}
                data = data | {"study": data["study"] | {"compute": known}}
        return data

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        names = tuple(arm.name for arm in self.study.arms)
        follows = (f"{self.study.name}-{self.digest[:8]}", names, len(self.grid))
        if (self.run, self.arms, self.folds) != follows:
            raise ValueError(_CHANGED)
        return self

    @cached_property
    def grid(self) -> Grid:
        """The folds of the run."""
        return grid_of(self.study, [exam.patient for exam in self.exams])

    def to_json(self) -> bytes:
        """The file's contents."""
        return self.model_dump_json(indent=1, by_alias=True).encode() + b"\n"


def grid_of(study: Study, patients: Sequence[str]) -> Grid:
    """The folds of a study.

    Args:
        study: The design.
        patients: The patient of each exam, in the order of the grid.

    Raises:
        ValueError: The cohort is too small for the study.
    """
    return Grid(
        arms=study.arms,
        patients=tuple(patients),
        test_unit=study.sweep.test_unit,
        repeats=study.sweep.repeats,
        reference_repeats=study.sweep.reference_repeats,
        seed=study.sweep.seed,
        validation_patients=study.training.validation_patients,
    )


def same_experiment(one: Study, other: Study) -> bool:
    """Whether two studies say the same, but for what changes no fold's numbers."""
    words = (study.model_dump(mode="json", by_alias=True) for study in (one, other))
    return len({_identity(each, []) for each in words}) == 1


def experiment_text(study: Study) -> str:
    """The experiment that a study says, with its files: not what computes, nor what changes no fold's numbers."""
    words = study.model_dump(mode="json", by_alias=True, exclude={"compute"})
    neutral = {section: keys for section, keys in _NEUTRAL.items() if section != "cohort"}
    return json.dumps(_without(words, neutral))


def _without(study: dict[str, Any], neutral: dict[str, tuple[str, ...]]) -> dict[str, Any]:
    """A study in JSON's types without some of its keys, by section."""
    return {
        section: {key: value for key, value in keys.items() if key not in neutral.get(section, ())}
        if isinstance(keys, dict)
        else keys
        for section, keys in study.items()
    }


def _identity(study: dict[str, Any], exams: list[dict[str, Any]]) -> str:
    """Digest of a study and its exams in JSON's types, without what changes no fold's numbers."""
    content = _without(study, _NEUTRAL)
    content.pop("compute", None)
    cohort = content["cohort"]
    cohort["classes"] = [  # their order counts; the names of files do not
        [name, number if isinstance(values[0] if isinstance(values, list) else values, str) else values]
        for number, (name, values) in enumerate(cohort["classes"].items(), start=1)
    ]
    cohort["channels"] = [
        {k: v for k, v in channel.items() if k not in ("files", "index")} for channel in cohort["channels"]
    ]
    content["exams"] = exams
    return sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


_NEUTRAL = {
    # Which files they are, and how they are read, is in the exams' digests.
    "cohort": ("root", "pattern", "labels", "mask", "exclude", "ignore", "geometry", "resample_to"),
    "store": ("folder",),
    # Further repeats of the reference arm come after all other folds.
    "sweep": ("reference_repeats",),
    "training": ("validate_every",),
}
"""Keys of a study's sections that leave every fold as it is."""

_CHANGED = (
    "the manifest was changed after it was written; delete it and run the sweep again, which restores it"
)
