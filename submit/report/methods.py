"""The methods section of a paper, as far as this run is concerned."""

from job.contract.grid import REFERENCE
from job.contract.manifest import Manifest
from job.networks.design import design_of
from submit.analysis.analysis import Analysis
from submit.analysis.bootstrap import DRAWS
from submit.analysis.design import ALPHA
from submit.analysis.headline import endpoint_name
from submit.analysis.sign_flips import ENUMERATED_UP_TO, FLIPS
from submit.analysis.verdict import FULL_LEVEL_FROM, RARE
from submit.analysis.wording import METRIC_STYLES
from submit.report.definitions import defined, overlaps
from submit.wording import counted

LEFT_OUT = {
    "channels": "each of the channels",
    "acquisitions": "each of the acquisitions",
    "pairs": "each pair of channels",
    "only-one-in": "all channels but one",
}
OPTIMISERS = {
    "rmsprop": "RMSprop with Nesterov momentum",
    "adamw": "AdamW",
    "sgd": "SGD with Nesterov momentum",
}
LOSSES = {
    "cross-entropy": "cross-entropy",
    "dice": "soft Dice loss",
    "dice-cross-entropy": "the sum of soft Dice loss and cross-entropy",
}


def methods(manifest: Manifest, analysis: Analysis, versions: dict[str, str]) -> list[str]:
    """Paragraphs: the experiment, the training, the statistics.

    Args:
        manifest: What the run is.
        analysis: What was computed.
        versions: Of packages, by name.
    """
    if not any(each.pairs for each in analysis.comparisons):
        return ["There is no result yet that a methods section could speak of."]
    missing = (
        [
            f"[Incomplete: {counted(analysis.missing_tests, 'test')} missing; complete the run, or report this.]"
        ]
        if analysis.missing_tests
        else []
    )
    return [
        *missing,
        _experiment(manifest),
        _training(manifest, analysis, versions),
        _statistics(manifest, analysis, versions),
    ]


def _experiment(manifest: Manifest) -> str:
    study, sweep = manifest.study, manifest.study.sweep
    patients = len({entry.patient for entry in manifest.exams})
    unit, arms = sweep.test_unit, counted(len(manifest.arms) - 1, "arm")
    left_out = "patient" if unit == "patient" or patients == len(manifest.exams) else "exam"
    further = (
        f"""The reference arm was trained {counted(sweep.reference_repeats, "further time")} for each {unit}, to
        measure the variation due to training alone."""
        if sweep.reference_repeats
        else ""
    )
    return _flat(
        f"""{counted(len(manifest.exams), "exam")} of {counted(patients, "patient")} with
        {len(study.cohort.channels)} channels ({", ".join(study.cohort.channel_names)}) were used in a
        leave-one-{left_out}-out design: networks were trained with all channels (reference) and with
        {LEFT_OUT[sweep.leave_out]} left out{_acquisitions(manifest)} ({arms} beside the reference), and tested on
        each {unit} in turn; all exams of the patient under test were kept out of training.
        {_repeated(sweep.repeats)} Within a repeat and a test {unit}, all arms shared the training exams, the
        positions and augmentation of patches, and the initial weights of the channels that they have in common.
        {further}"""
    )


def _acquisitions(manifest: Manifest) -> str:
    acquisitions = manifest.study.cohort.acquisitions
    if manifest.study.sweep.leave_out != "acquisitions" or not acquisitions:
        return ""
    named = [f"{name}: {', '.join(channels)}" for name, channels in acquisitions.items()]
    return f", of which some have several channels ({'; '.join(named)})"


def _normalisation(manifest: Manifest) -> str:
    kinds: dict[str, list[str]] = {}
    for channel in manifest.study.cohort.channels:
        kinds.setdefault(channel.normalisation, []).append(channel.name)
    return "; ".join(f"{kind}: {', '.join(names)}" for kind, names in kinds.items())


def _repeated(repeats: int) -> str:
    return f"The design was repeated {repeats} times with different random draws." if repeats > 1 else ""


def _training(manifest: Manifest, analysis: Analysis, versions: dict[str, str]) -> str:
    study, training = manifest.study, manifest.study.training
    torch = f" (PyTorch {versions['torch']})" if "torch" in versions else ""
    network = design_of(study).in_words()
    return _flat(
        f"""The network was {network.layers}{torch}, trained for
        {training.steps} steps of {training.batch_size} {network.patch} with {LOSSES[training.loss]},
        {OPTIMISERS[training.optimiser]}, an initial learning rate of {training.learning_rate:g} and a
        {training.schedule} schedule. Images were normalised by channel
        ({_normalisation(manifest)}). Whole exams were segmented by dense
        inference and compared with the reference segmentation on the original grid. {_definitions(analysis)}
        A lesion that was missed, or found where there is none, scored a {" and a ".join(_overlaps(analysis))} of 0
        and, as a distance, the diagonal of the image."""
    )


def _definitions(analysis: Analysis) -> str:
    """What each metric is that was computed."""
    return " ".join(
        f"{metric.title} is {f'{metric.formula} of voxels' if metric.formula else metric.definition}."
        for metric in defined(each.metric for each in analysis.comparisons)
    )


def _overlaps(analysis: Analysis) -> list[str]:
    return overlaps(each.metric for each in analysis.comparisons)


def _statistics(manifest: Manifest, analysis: Analysis, versions: dict[str, str]) -> str:
    parts = [
        f"""The primary endpoint, set in the study file before the run, was {endpoint_name(analysis)}.
        {_all_pass(analysis)} The patient was the unit of analysis: differences to the {REFERENCE} arm were averaged
        over repeats and visits of a patient. Exams without a lesion have no
        {", no ".join(_overlaps(analysis))} and no distance to be compared, nor has a lesion that both arms missed;
        false alarms were counted."""
    ]
    if analysis.missing_tests:
        parts.append("Differences were taken between tests that both arms had done.")
    if analysis.friedman:
        parts.append("All arms together were compared by Friedman's test (asymptotic), with Kendall's W.")
    parts.append(
        f"""Each arm was compared with the {REFERENCE} arm by flipping the signs of whole patients (two-sided, with
        the largest t over {counted(len(analysis.verdicts) * len(analysis.structures), "comparison")}, all flips up to
        {ENUMERATED_UP_TO} patients, else {FLIPS:,})."""
    )
    if any(each.low is not None for each in analysis.comparisons):
        parts.append(
            f"""Mean differences are given with simultaneous 95 % intervals by inversion of this test, widened on the
            side of losses to those of the studentised cluster bootstrap (patients drawn with replacement, at
            least {DRAWS:,} draws) where these reach further, and cut off where the metric ends."""
        )
    parts.append(
        f"""All other structures and metrics were secondary, adjusted by Benjamini and Hochberg's method. The level
        was {100 * ALPHA:g} % for each family. As a screen for harm, those are named whose own 95 % interval lay on
        the worse side of 0."""
    )
    parts.append(_rules(manifest, analysis))
    if analysis.noise and analysis.has_floor:
        parts.append(
            f"""The variation due to training alone was estimated from
            {counted(analysis.noise.degrees_of_freedom, "repeated training")} of the {REFERENCE} arm; a difference
            that was not shown, lay within the lower 95 % bound of its range, and whose scatter was for the most part
            that of retraining, was called not distinguishable from it."""
        )
    if analysis.margin is not None:
        parts.append("Equivalence within the margin was tested by two one-sided t-tests (p not adjusted).")
    if analysis.model and analysis.model.name:
        parts.append(
            f"""As a sensitivity analysis a model was fitted on the scale of {analysis.model.scale}:
            {analysis.model.name}; Wald tests against t with {counted(analysis.model.degrees_of_freedom, "degree")} of
            freedom (patients - 1), p not adjusted."""
        )
    parts.append(
        """All inference is over patients, and conditional on the networks that were trained: the training sets of one
        cohort overlap almost wholly, so that nothing is said of networks trained on another."""
    )
    parts.append(f"Computed with loosweep {versions.get('loosweep', manifest.code_version)}.")
    return _flat(" ".join(parts))


def _all_pass(analysis: Analysis) -> str:
    """What several structures of the endpoint have in common."""
    if len(analysis.structures) == 1:
        return ""
    return """A channel was called droppable only if it was for all of them (an intersection-union test, which needs
        no adjustment for their number)."""


def _rules(manifest: Manifest, analysis: Analysis) -> str:
    """When a channel was called what."""
    style = METRIC_STYLES[analysis.endpoint["metric"]]
    why = manifest.study.sweep.margin_justification
    reason = f" ({why.rstrip('.')})" if why else ""
    if analysis.margin is None:
        return f"""No margin was stated: a channel was called worse to leave out if a loss was shown, droppable if a
        gain was shown and the mean Dice of the {REFERENCE} arm was shown to exceed {analysis.smallest_dice:g}, and
        otherwise left undecided."""
    share = (
        f", but at most {100 * analysis.relative_margin:g} % of what the {REFERENCE} arm had or lacked of 1"
    )
    at_most = share if style.metric.is_share else ""
    level = f"{100 * ALPHA / 2:g} %"
    return f"""The margin was {style.name} {style.with_unit(analysis.margin)}{at_most}{reason}. A channel was called
    droppable if a gain was shown or a loss of the margin or more was ruled out (one-sided, the larger p of a t-test
    against the margin and of the studentised bootstrap, with Holm's adjustment, below {level}; where fewer than
    {FULL_LEVEL_FROM} patients had a pair, below the stricter {level} x {level} / {1 - RARE:g}^n) beside a {REFERENCE}
    arm whose mean Dice was shown to exceed {analysis.smallest_dice:g}; needed if a loss of more than the margin was
    shown; worse if a loss was shown that may be below the margin; otherwise it was left undecided. All of this is
    about means: losses that are too rare to have hit any of these patients cannot be ruled out."""


def _flat(text: str) -> str:
    """A text on one line."""
    return " ".join(text.split())
