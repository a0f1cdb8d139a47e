"""Folders above the patients', sites or parts of a cohort: patients whose name is in several of them."""

from collections import defaultdict
from itertools import combinations

from job.contract.errors import DataError
from submit.init.files import some
from submit.init.identities import Unit
from submit.init.reading import Reading
from submit.init.templates import (
    Template,
    is_above_patient,
    with_star,
    without_placeholders,
)
from submit.init.words import LABELS, kind_of, words_of


def require_apart(reading: Reading) -> None:
    """Refuses folders of whole exams that share a name, where no pattern keeps them apart.

    Trees of one cohort (images and labels, raw and processed) have the same exams; sites that share a number do not.

    Raises:
        DataError: Two folders have exams of one name, and others that only one of them has.
    """
    for position in range(max(len(role.template) for role in reading.roles) - 1):
        groups: dict[str, dict[Template, set[Unit]]] = defaultdict(dict)
        for role in reading.roles:
            if is_above_patient(role.template, position):
                rest = with_star(role.template, position)
                groups[role.template[position]][rest] = set(role.files)
        for (one, first), (other, second) in combinations(sorted(groups.items()), 2):
            common = first.keys() & second.keys()
            kinds = [kind_of(words_of(without_placeholders(rest))) for rest in common]
            exams, others = set().union(*first.values()), set().union(*second.values())
            whole = len(common) > 1 and any(kind in LABELS for kind in kinds)
            if whole and exams & others and exams != others:
                raise _one_name(sorted(exams & others), one, other)


def _one_name(twice: list[Unit], one: str, other: str) -> DataError:
    names = list(dict.fromkeys(patient for patient, _ in twice))
    return DataError.of(
        file=some(["/".join(filter(None, (group, *unit))) for unit in twice[:1] for group in (one, other)]),
        found=f"patients of one name ({some(names)}) in the folders {one} and {other}, each of which has whole exams",
        expected="names that tell the patients of all folders apart",
        remedy=f"rename the patients ({one}-{names[0]}, {other}-{names[0]}), or name one of the folders alone: no "
        "pattern keeps them apart",
    )


def doubts_about_groups(reading: Reading) -> list[str]:
    """What is to be said of folders that patterns have a `*` for."""
    positions = {n for role in reading.roles for n, name in enumerate(role.template[:-1]) if "*" in name}
    if not positions:
        return []
    doubts = ["folders above the patients' are taken for parts of the cohort (* in the patterns)"]
    groups: dict[str, set[str]] = defaultdict(set)
    for role in reading.roles:
        for (patient, _), image in role.files.items():
            groups[patient] |= {image.components[n] for n in positions if n < len(role.template) - 1}
    several = {patient: own for patient, own in groups.items() if len(own) > len(positions)}
    shown = [f"{patient} ({' and '.join(sorted(own))})" for patient, own in sorted(several.items())]
    if shown:
        doubts.append(
            f"names of patients are in several of these folders: {some(shown)}; each is taken for one person, and "
            "if they are two people, rename them"
        )
    return doubts
