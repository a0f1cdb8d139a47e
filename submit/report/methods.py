"""The methods section of a paper, as far as this run is concerned."""

from job.contract.grid import REFERENCE
from job.contract.manifest import Manifest
from job.contract.wording import dimensions
from submit.analysis.analysis import Analysis
from submit.analysis.bootstrap import DRAWS
from submit.analysis.design import ALPHA
from submit.analysis.paired_tests import EXACT_UP_TO
from submit.analysis.wording import METRIC_STYLES
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
        _training(manifest, versions),
        _statistics(manifest, analysis, versions),
    ]


def _experiment(manifest: Manifest) -> str:
    study, sweep = manifest.study, manifest.study.sweep
    patients = len({entry.patient for entry in manifest.exams})
    unit, arms = sweep.test_unit, counted(len(manifest.arms) - 1, "arm")
    further = (
        f"""The reference arm was trained {counted(sweep.reference_repeats, "further time")} for each {unit}, to
        measure the variation due to training alone."""
        if sweep.reference_repeats
        else ""
    )
    return _flat(
        f"""{counted(len(manifest.exams), "exam")} of {counted(patients, "patient")} with
        {len(study.cohort.channels)} channels ({", ".join(study.cohort.channel_names)}) were used in a
        leave-one-{unit}-out design: networks were trained with all channels (reference) and with
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


def _training(manifest: Manifest, versions: dict[str, str]) -> str:
    study, training = manifest.study, manifest.study.training
    torch = f" (PyTorch {versions['torch']})" if "torch" in versions else ""
    segment = dimensions(study.training_segment)
    architecture = study.network.architecture
    pathways = counted(len(architecture.subsampling) + 1, "pathway")
    maps = ", ".join(map(str, architecture.feature_maps))
    return _flat(
        f"""The network was DeepMedic (variant {study.network.variant}; {pathways} of
        {counted(len(architecture.feature_maps), "convolution")} with {maps} feature maps){torch}, trained for
        {training.steps} steps of {training.batch_size} segments of {segment} voxels with {LOSSES[training.loss]},
        {OPTIMISERS[training.optimiser]}, an initial learning rate of {training.learning_rate:g} and a
        {training.schedule} schedule. Images were normalised by channel
        ({_normalisation(manifest)}). Whole exams were segmented by dense
        inference and compared with the reference segmentation on the original grid; a lesion that was missed, or
        found where there is none, scored a Dice of 0 and, as HD95, the diagonal of the image."""
    )


def _statistics(manifest: Manifest, analysis: Analysis, versions: dict[str, str]) -> str:
    style, endpoint = METRIC_STYLES[analysis.endpoint["metric"]], analysis.endpoint
    all_exact = all(each.test != "normal approximation" for each in analysis.comparisons)
    exact = "exact" if all_exact else f"exact up to {EXACT_UP_TO} patients"
    parts = [
        f"""The primary endpoint, set in the study file before the run, was {style.name} of {endpoint["class"]}. The
        patient was the unit of analysis: differences to the {REFERENCE} arm were averaged over repeats and visits of
        a patient. Exams without a lesion have no Dice and no HD95 to be compared; false alarms in them were
        counted."""
    ]
    if analysis.missing_tests:
        parts.append("Differences were taken between tests that both arms had done.")
    if analysis.friedman:
        parts.append("All arms together were compared by Friedman's test (asymptotic), with Kendall's W.")
    parts.append(
        f"""Each arm was compared with the {REFERENCE} arm by Wilcoxon's signed-rank test (two-sided, {exact}, with
        ties; zeros after Pratt), with Holm's adjustment over {counted(len(analysis.verdicts), "arm")}."""
    )
    if any(each.low is not None for each in analysis.comparisons):
        parts.append(
            f"""Mean differences are given with 95 % studentised cluster-bootstrap intervals (patients drawn with
            replacement, {DRAWS:,} draws), cut off where the metric ends."""
        )
    parts.append(
        f"""All other structures and metrics were secondary, adjusted by Benjamini and Hochberg's method. The level
        was {100 * ALPHA:g} % for each family."""
    )
    parts.append(_rules(analysis))
    if analysis.noise and analysis.has_floor:
        parts.append(
            f"""The variation due to training alone was estimated from
            {counted(analysis.noise.degrees_of_freedom, "repeated training")} of the {REFERENCE} arm; a difference
            within its 95 % range, or within that of the mean over patients if this was narrower, was called not
            distinguishable from it, unless a loss of the margin was ruled out."""
        )
    if analysis.margin is not None:
        parts.append("Equivalence within the margin was tested by two one-sided t-tests (p not adjusted).")
    if analysis.model and analysis.model.name:
        parts.append(
            f"""As a sensitivity analysis a model was fitted on the scale of {analysis.model.scale}:
            {analysis.model.name}; Wald tests, p not adjusted."""
        )
    parts.append(f"Computed with loosweep {versions.get('loosweep', manifest.code_version)}.")
    return _flat(" ".join(parts))


def _rules(analysis: Analysis) -> str:
    """When a channel was called what."""
    style = METRIC_STYLES[analysis.endpoint["metric"]]
    margin = (
        f"""a loss of {style.with_unit(analysis.margin)} or more was ruled out (one-sided p below
        {100 * ALPHA / 2:g} %, the larger of those of a t-test against the margin and of the studentised bootstrap,
        with Holm's adjustment) and the {REFERENCE} arm was good enough to show such a loss, or if"""
        if analysis.margin is not None
        else ""
    )
    beyond = ", exceeding what retraining explains" if analysis.has_floor else ""
    return f"""A channel was called droppable if {margin} the arm without it was significantly better, and if the arm
    had no more false alarms than the {REFERENCE} arm; otherwise needed, if the arm was significantly worse, by ranks
    and with the interval of its mean on the same side of 0{beyond}; otherwise it was left undecided."""


def _flat(text: str) -> str:
    """A text on one line."""
    return " ".join(text.split())
