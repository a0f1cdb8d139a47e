"""What a reader takes away first: the same words on the page and on the terminal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from job.contract.cohort_rules import UNION
from submit.analysis.analysis import Analysis, Verdict
from submit.analysis.comparisons import Comparison
from submit.analysis.harms import is_worse
from submit.analysis.sentences import LEFT_OUT, ONE_IN, VERDICT_WORDS, HeadlineArm, answer
from submit.analysis.verdict import VerdictName
from submit.analysis.wording import METRIC_STYLES

DECIDED: tuple[VerdictName, ...] = ("needed", "worse")
"""Verdicts that nobody takes for leave to stop a scan."""


@dataclass(frozen=True, kw_only=True)
class Words:
    """What differs between arms that leave something out and arms of one channel."""

    answers: Mapping[VerdictName, str]
    order: str
    """By which structure, if there are several; the first and the last arm by loss."""
    elsewhere: str
    """Of a structure beside the endpoint, and arms."""
    none: str
    """Where nothing is droppable."""
    harmed: str
    """Of what is droppable by the endpoint and does harm elsewhere."""
    warning: str
    """Above the harms."""


WITHOUT = Words(
    answers=LEFT_OUT,
    order="Most influential{}: {}; least: {}.",
    elsewhere="{} (Dice) is worse without {}.",
    none="Can be left out: none is shown.",
    harmed="Not to be left out, although {} loses nothing that matters: {}.",
    warning="Do not stop these scans because of this verdict: something else is worse without them.",
)
ALONE = Words(
    answers=ONE_IN,
    order="Loses most alone{}: {}; least: {}.",
    elsewhere="{} (Dice) is worse by {} alone.",
    none="Enough alone: none is shown.",
    harmed="Not enough alone, although {} loses nothing that matters: {}.",
    warning="Not enough alone, whatever the verdict says: something else is worse.",
)


@dataclass(frozen=True, kw_only=True)
class Harm:
    """An arm whose verdict could be taken for leave to stop a scan, and what is worse without that scan."""

    arm: str
    name: str
    """As the headline has it."""
    endpoints: tuple[str, ...]
    """With their numbers."""


def endpoint_name(analysis: Analysis) -> str:
    """The primary endpoint: its metric and all its structures."""
    return f"{METRIC_STYLES[analysis.endpoint['metric']].name} of {' and '.join(analysis.structures)}"


def in_order(analysis: Analysis) -> tuple[Verdict, ...]:
    """The verdicts by loss, the largest first; those that are unfinished last."""
    return tuple(sorted(analysis.by_loss, key=lambda each: not each.complete))


def headline(analysis: Analysis) -> list[str]:
    """Which arm matters most and which least, how sure that is, and every verdict; a sentence each."""
    words = ALONE if analysis.only_one_in else WITHOUT
    arms = [arm for arm in analysis.headline_arms if arm.done is None]
    spared = [arm for arm in arms if arm.verdict != "droppable" or not arm.harmed]
    lines = [line for line in (_order(analysis, words), _sureness(analysis)) if line]
    lines += _elsewhere(analysis, words)
    for kind in words.answers:
        own = [arm for arm in spared if arm.verdict == kind]
        lines += answer(own, words.answers, analysis.structures)
        if kind == "droppable" and arms:
            lines += [] if own else [words.none]
            lines += _harmful([arm for arm in arms if arm not in spared], words, analysis)
    unfinished = [arm for arm in analysis.headline_arms if arm.done is not None]
    return [*lines, *answer(unfinished, words.answers, analysis.structures)]


def warning(analysis: Analysis) -> str:
    """What stands above `harms`."""
    return (ALONE if analysis.only_one_in else WITHOUT).warning


def harms(analysis: Analysis) -> list[Harm]:
    """The arms that are neither needed nor worse, and without which something beside the endpoint is worse."""
    names = _names(analysis)
    return [
        Harm(arm=each.arm, name=names[each.arm], endpoints=tuple(own.text for own in found))
        for each in in_order(analysis)
        if each.complete
        and each.verdict not in DECIDED
        and (found := [own for own in each.found_harms if own.shown])
    ]


def harm_pictures(analysis: Analysis) -> list[tuple[str, tuple[str, str]]]:
    """What pictures should show of the harms: for each of these arms, the first metric of each structure."""
    found = {each.arm: each.found_harms for each in analysis.verdicts}
    shown = []
    for harm in harms(analysis):
        first: dict[str, str] = {}
        for each in found[harm.arm]:
            if each.shown and each.what in METRIC_STYLES:
                first.setdefault(each.structure, each.what)
        shown += [(harm.arm, endpoint) for endpoint in first.items()]
    return shown


def verdict_words(verdict: Verdict, analysis: Analysis) -> str:
    """A verdict for people; of an arm with too few tests, how many there are."""
    if not verdict.complete:
        return f"unfinished ({verdict.pairs} of {verdict.planned})"
    if verdict.verdict == "worse" and analysis.margin is None:
        return "worse; no margin stated"
    return VERDICT_WORDS[verdict.verdict]


def _order(analysis: Analysis, words: Words) -> str:
    """The first and the last arm by loss; empty for fewer than two."""
    known = _known(analysis)
    if len(known) < 2:
        return ""
    names = _names(analysis)
    by = f" for {analysis.endpoint['class']}" if len(analysis.structures) > 1 else ""
    return words.order.format(by, names[known[0].arm], names[known[-1].arm] + _but(known[-1]))


def _but(last: Verdict) -> str:
    """What speaks against leaving out the arm with the least loss: another structure, of the endpoint or beside."""
    missed = [own.structure for own in last.structures[1:] if own.verdict in DECIDED]
    if missed:
        return f" ({last.verdict} for {' and '.join(missed)})"
    if last.harmed and last.verdict not in DECIDED:
        return f" (with harm to {' and '.join(last.harmed)})"
    return ""


def _sureness(analysis: Analysis) -> str:
    """In how many draws of patients the first arm is first, and the last is last."""
    known, ranks = _known(analysis), analysis.ranks
    if ranks is None or len(known) != len(ranks.arms) or len(known) < 2:
        return ""
    names = _names(analysis)
    first, last = known[0].arm, known[-1].arm
    shares = dict(zip(ranks.arms, ranks.shares, strict=True))
    return (
        f"Of 100 draws of patients, {names[first]} is first in {100 * shares[first][0]:.0f}, "
        f"{names[last]} last in {100 * shares[last][-1]:.0f}."
    )


def _elsewhere(analysis: Analysis, words: Words) -> list[str]:
    """By structure beside the endpoint, the arms whose Dice is worse there, the largest loss first."""
    names = _names(analysis)
    unfinished = {each.arm for each in analysis.verdicts if not each.complete}
    worse: dict[str, list[Comparison]] = {}
    for each in analysis.comparisons:
        beside = each.structure not in (*analysis.structures, UNION)
        if beside and each.metric == "dice" and is_worse(each) and each.arm not in unfinished:
            worse.setdefault(each.structure, []).append(each)
    return [
        words.elsewhere.format(
            structure, ", ".join(names[each.arm] for each in sorted(found, key=lambda each: each.mean or 0.0))
        )
        for structure, found in worse.items()
    ]


def _known(analysis: Analysis) -> list[Verdict]:
    return [each for each in in_order(analysis) if each.complete and each.leading.loss is not None]


def _names(analysis: Analysis) -> dict[str, str]:
    """By arm, how the headline names it."""
    return {each.arm: arm.name for each, arm in zip(analysis.verdicts, analysis.headline_arms, strict=True)}


def _harmful(arms: Sequence[HeadlineArm], words: Words, analysis: Analysis) -> list[str]:
    if not arms:
        return []
    named = [f"{arm.name} (with harm to {' and '.join(arm.harmed)})" for arm in arms]
    return [words.harmed.format(" and ".join(analysis.structures), "; ".join(named))]
