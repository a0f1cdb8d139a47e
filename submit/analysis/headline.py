"""What a reader takes away first: the same words on the page, on the terminal and in `Analysis.answer`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from job.contract.cohort_rules import UNION
from job.contract.metrics import METRICS
from submit.analysis.comparisons import Comparison
from submit.analysis.harms import MISSES, is_worse, names_of
from submit.analysis.verdict import LOSSES, VerdictName
from submit.analysis.wording import METRIC_STYLES
from submit.wording import counted

if TYPE_CHECKING:
    from submit.analysis.analysis import Analysis, Verdict


@dataclass(frozen=True, kw_only=True)
class Words:
    """How verdicts are said, which differs between arms that leave something out and arms of one channel."""

    verdicts: Mapping[VerdictName, str]
    """Of one arm."""
    answers: Mapping[VerdictName, str]
    """Of all arms with a verdict, in the order of the answer."""
    order: str
    """By which structure, if there are several; the first arm by loss."""
    no_order: str
    """Where no arm is shown to lose anything; the structures, the arm with the largest loss."""
    elsewhere: str
    """Of a structure beside the endpoint, patients, and arms."""
    none: str
    """Where nothing is droppable."""
    harmed: str
    """Of what is droppable by the endpoint and does harm elsewhere."""
    warning: str
    """Above the harmful arms; the endpoint."""


WITHOUT = Words(
    verdicts={
        "needed": "needed",
        "worse": "worse, perhaps by less than the margin",
        "droppable": "droppable",
        "not distinguishable": "not distinguishable from retraining",
        "undecided": "undecided",
    },
    answers={
        "needed": "Needed: {}.",
        "worse": "A loss is shown, which may be smaller than the margin: {}.",
        "droppable": "Can be left out, one of these at a time: {}.",
        "not distinguishable": "Not known, as training the network again changes as much: {}.",
        "undecided": "Undecided: {}.",
    },
    order="Most influential{}: {}",
    no_order="No channel is shown to be missed for {}. The largest loss is without {}.",
    elsewhere="Dice of {} ({}) is lower without {}: a warning, not adjusted, and no proof.",
    none="Can be left out: none is shown.",
    harmed="Not needed for {}, but something else is worse without it: {}.",
    warning="Keep these scans, whatever {} says: something else is worse without them.",
)
ALONE = Words(
    verdicts={
        "needed": "not enough alone",
        "worse": "worse alone, perhaps by less than the margin",
        "droppable": "enough alone",
        "not distinguishable": "alone not distinguishable from retraining",
        "undecided": "undecided",
    },
    answers={
        "needed": "Not enough alone: {}.",
        "worse": "A loss alone is shown, which may be smaller than the margin: {}.",
        "droppable": "Enough alone, as far as this endpoint goes: {}.",
        "not distinguishable": "Alone not told apart from training the network again: {}.",
        "undecided": "Undecided: {}.",
    },
    order="Loses most alone{}: {}",
    no_order="No channel is shown to lose anything for {} alone. The largest loss is that of {}.",
    elsewhere="Dice of {} ({}) is lower by {} alone: a warning, not adjusted, and no proof.",
    none="Enough alone: none is shown.",
    harmed="Enough for {}, but something else is worse: {}.",
    warning="Not enough alone, whatever {} says: something else is worse.",
)
UNFINISHED = "Too few tests for a verdict yet: {}."
UNSEEN = (
    "That is about the mean; a large loss that none of {} patients had may still happen in up to {:.0f} of 100 "
    "others (95 % bound)."
)
ONE_SCAN = (
    "{} come from one scan ({}): leaving out one of them saves no scan, and what is left of it may stand in; without "
    'the whole scan was not tried (leave_out = "acquisitions").'
)
BLIND = (
    "With all channels too, {} is not shown to be segmented well enough (a mean Dice above {:g}): no channel can be "
    "called droppable beside that, and an order of channels says little."
)


@dataclass(frozen=True, kw_only=True)
class HarmfulArm:
    """An arm whose verdict could be taken for leave to stop a scan, and what is worse without that scan."""

    arm: str
    name: str
    """As the headline has it."""
    harms: tuple[str, ...]
    """With their numbers."""


def words_of(analysis: "Analysis") -> Words:
    """The words for a study's kind of arms, with or without a margin."""
    words = ALONE if analysis.only_one_in else WITHOUT
    if analysis.margin is not None:
        return words
    return replace(
        words,
        verdicts={**words.verdicts, "worse": "worse; no margin stated"},
        answers={**words.answers, "worse": "A loss is shown, and no margin says whether it matters: {}."},
    )


def name_of(verdict: "Verdict", analysis: "Analysis") -> str:
    """An arm in an answer: what it leaves out, or the channel that it has."""
    return verdict.arm.removeprefix("only ") if analysis.only_one_in else " + ".join(verdict.left_out)


def endpoint_name(analysis: "Analysis") -> str:
    """The primary endpoint: its metric and all its structures."""
    return f"{METRIC_STYLES[analysis.endpoint['metric']].name} of {' and '.join(analysis.structures)}"


def in_order(analysis: "Analysis") -> "tuple[Verdict, ...]":
    """The verdicts by loss, the largest first; those that are unfinished last."""
    return tuple(sorted(analysis.by_loss, key=lambda each: not each.complete))


def verdict_words(verdict: "Verdict", analysis: "Analysis") -> str:
    """A verdict for people; of an arm with too few tests, how many there are."""
    if not verdict.complete:
        return f"unfinished ({verdict.pairs} of {verdict.planned})"
    return verdict_name(verdict.verdict, analysis)


def verdict_name(verdict: VerdictName, analysis: "Analysis") -> str:
    """A verdict for people."""
    return words_of(analysis).verdicts[verdict]


def short_name(verdict: VerdictName, analysis: "Analysis") -> str:
    """The same where there is little room."""
    return verdict_name(verdict, analysis).split(",")[0].split(";")[0].removesuffix(" from retraining")


def headline(analysis: "Analysis") -> list[str]:
    """Which arm matters most and which least, how sure that is, and every verdict; a sentence each."""
    words = words_of(analysis)
    arms = [each for each in in_order(analysis) if each.complete]
    blind = " and ".join(analysis.blind_to)
    lines = [BLIND.format(blind, analysis.smallest_dice)] if blind else []
    lines += [line for line in (_order(analysis, words), _sureness(analysis)) if line]
    lines += _elsewhere(analysis, words)
    for kind, text in words.answers.items():
        own = [each for each in arms if each.verdict == kind]
        if kind == "droppable":
            lines += _droppable(own, bool(arms), words, analysis)
        elif own:
            lines.append(text.format(_list(own, analysis)))
    lines += _one_scan(analysis) if arms else []
    unfinished = [each for each in analysis.verdicts if not each.complete]
    counts = [f"{name_of(each, analysis)} ({each.pairs} of {each.planned})" for each in unfinished]
    return [*lines, UNFINISHED.format(", ".join(counts))] if counts else lines


def warning(analysis: "Analysis") -> str:
    """What stands above `harmful_arms`."""
    return words_of(analysis).warning.format(endpoint_name(analysis))


def harmful_arms(analysis: "Analysis") -> list[HarmfulArm]:
    """The arms that are neither needed nor worse, and without which something beside the endpoint is worse."""
    return [
        HarmfulArm(
            arm=each.arm, name=name_of(each, analysis), harms=tuple(own.told for own in each.found_harms)
        )
        for each in in_order(analysis)
        if each.complete and each.verdict not in LOSSES and any(own.shown for own in each.found_harms)
    ]


def harm_pictures(analysis: "Analysis") -> list[tuple[str, tuple[str, str]]]:
    """What pictures should show of the harms: for each of these arms, the first metric of each structure."""
    found = {each.arm: each.found_harms for each in analysis.verdicts}
    shown = []
    for harmful in harmful_arms(analysis):
        first: dict[str, str] = {}
        for each in found[harmful.arm]:
            if each.shown and each.what in METRICS:
                first.setdefault(each.structure, each.what)
        shown += [(harmful.arm, endpoint) for endpoint in first.items()]
    return shown


def _order(analysis: "Analysis", words: Words) -> str:
    """The arm with the largest loss, if one is shown, and of those that can be left out the one with the least."""
    known = _known(analysis)
    if len(known) < 2 or known[0].leading.loss == known[-1].leading.loss:
        return ""
    first = name_of(known[0], analysis)
    if not any(each.verdict in LOSSES for each in known):
        return words.no_order.format(" and ".join(analysis.structures), first)
    by = f" for {analysis.endpoint['class']}" if len(analysis.structures) > 1 else ""
    spared = [each for each in known if each.verdict == "droppable" and not each.harmed]
    least = f"; least: {name_of(spared[-1], analysis)}" if spared else ""
    return f"{words.order.format(by, first)}{least}."


def _sureness(analysis: "Analysis") -> str:
    """How often the first arm is first, had other patients been drawn; of losses shown."""
    known, ranks = _known(analysis), analysis.ranks
    if (
        ranks is None
        or not any(each.verdict in LOSSES for each in known)
        or len(known) != len(ranks.arms)
        or len(known) < 2
    ):
        return ""
    first, shares = known[0], dict(zip(ranks.arms, ranks.shares, strict=True))
    return (
        f"With patients drawn anew from these {analysis.patients}, {name_of(first, analysis)} comes first "
        f"{100 * shares[first.arm][0]:.0f} times of 100."
    )


def _elsewhere(analysis: "Analysis", words: Words) -> list[str]:
    """By structure beside the endpoint, the arms whose Dice is worse there, the largest loss first."""
    finished = {each.arm: name_of(each, analysis) for each in analysis.verdicts if each.complete}
    worse: dict[str, list[Comparison]] = {}
    for each in analysis.comparisons:
        beside = each.structure not in (*analysis.structures, UNION)
        if beside and each.metric == "dice" and is_worse(each) and each.arm in finished:
            worse.setdefault(each.structure, []).append(each)
    lines = []
    for structure, found in worse.items():
        ordered = sorted(found, key=lambda each: each.mean or 0.0)
        arms = [
            f"{finished[each.arm]} ({METRIC_STYLES['dice'].text(each.mean, signed=True)})" for each in ordered
        ]
        patients = counted(max(each.patients for each in found), "patient")
        lines.append(words.elsewhere.format(structure, patients, ", ".join(arms)))
    return lines


def _one_scan(analysis: "Analysis") -> list[str]:
    """Which channels are not scans of their own: a protocol has to keep or drop them together."""
    return [
        ONE_SCAN.format(f"{', '.join(channels[:-1])} and {channels[-1]}", name)
        for name, channels in analysis.acquisitions.items()
    ]


def _droppable(arms: "Sequence[Verdict]", any_arm: bool, words: Words, analysis: "Analysis") -> list[str]:
    """What can be left out, the smallest loss first; what it is not said of; what does harm elsewhere."""
    spared = [each for each in reversed(arms) if not each.harmed]
    harmful = [each for each in reversed(arms) if each.harmed]
    lines = [words.none] if any_arm and not spared else []
    if spared:
        lines.append(words.answers["droppable"].format(_list(spared, analysis)))
    if spared and analysis.unseen is not None:
        patients, share = analysis.unseen
        lines.append(UNSEEN.format(patients, 100 * share))
    if harmful:
        lines.append(words.harmed.format(" and ".join(analysis.structures), _list(harmful, analysis)))
    return lines


def _list(arms: "Sequence[Verdict]", analysis: "Analysis") -> str:
    """Arms with what a reader has to know beside their verdict."""
    notes: list[Callable[[Verdict, Analysis], str]] = [_missing, _loss, _lesions, _harm, _suspicion]
    named, noted = [], False
    for each in arms:
        own = [note for note in (said(each, analysis) for said in notes) if note]
        noted = noted or bool(own)
        named.append(name_of(each, analysis) + (f" ({'; '.join(own)})" if own else ""))
    return ("; " if noted else ", ").join(named)


def _missing(verdict: "Verdict", analysis: "Analysis") -> str:
    """Tests that are still to be done."""
    if verdict.pairs == verdict.planned:
        return ""
    could = ", the others could change it" if verdict.depends_on_missing else ""
    return f"{verdict.pairs} of {verdict.planned} tests{could}"


def _loss(verdict: "Verdict", analysis: "Analysis") -> str:
    """How large a loss is of which it is open whether it matters."""
    if verdict.verdict != "worse":
        return ""
    sign = METRICS[analysis.endpoint["metric"]].sign
    style = METRIC_STYLES[analysis.endpoint["metric"]]
    return ", ".join(
        style.with_unit(sign * own.loss, signed=True)
        + (f" {own.structure}" if len(verdict.structures) > 1 else "")
        for own in verdict.structures
        if own.verdict in LOSSES and own.loss is not None
    )


def _lesions(verdict: "Verdict", analysis: "Analysis") -> str:
    """Lesions that the reference finds and the arm does not."""
    return ", ".join(
        f"loses {own.detection.lost} of {counted(own.detection.found_by_reference, 'lesion')} of {own.structure}"
        for own in verdict.structures
        if own.detection.lost > own.detection.gained
    )


def _harm(verdict: "Verdict", analysis: "Analysis") -> str:
    names = _beside(verdict, analysis, shown=True)
    return f"with harm to {' and '.join(names)}" if names else ""


def _suspicion(verdict: "Verdict", analysis: "Analysis") -> str:
    names = [name for name in _beside(verdict, analysis, shown=False) if name not in verdict.harmed]
    return f"large loss, not shown: {' and '.join(names)}" if names else ""


def _beside(verdict: "Verdict", analysis: "Analysis", *, shown: bool) -> tuple[str, ...]:
    """What is worse beside the endpoint, of an arm that could be spared; lost lesions of its own `_lesions` tells."""
    if verdict.verdict in LOSSES:
        return ()
    own = [
        each
        for each in verdict.found_harms
        if each.shown == shown and not (each.what == MISSES and each.structure in analysis.structures)
    ]
    return names_of(own, analysis.structures)


def _known(analysis: "Analysis") -> "list[Verdict]":
    return [each for each in in_order(analysis) if each.complete and each.leading.loss is not None]
