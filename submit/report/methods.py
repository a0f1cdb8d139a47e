"""The methods section of a paper, as far as this run is concerned."""

from job.contract.grid import REFERENCE
from job.contract.manifest import Manifest
from submit.analysis.analysis import Analysis
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
    unit = sweep.test_unit
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
        {LEFT_OUT[sweep.leave_out]} left out ({counted(len(manifest.arms) - 1, "arm")} beside the reference), and
        tested on each {unit} in turn; all exams of the patient under test were kept out of training.
        {_repeated(sweep.repeats)} Within a repeat and a test {unit}, all arms shared the training exams, the
        positions and augmentation of patches, and the initial weights of the channels that they have in common.
        {further}"""
    )


def _repeated(repeats: int) -> str:
    return f"The design was repeated {repeats} times with different random draws." if repeats > 1 else ""


def _training(manifest: Manifest, versions: dict[str, str]) -> str:
    study, training = manifest.study, manifest.study.training
    torch = f" (PyTorch {versions['torch']})" if "torch" in versions else ""
    segment = " x ".join(map(str, study.training_segment))
    pathways = counted(len(study.network.architecture.subsampling) + 1, "pathway")
    return _flat(
        f"""The network was DeepMedic (variant {study.network.variant}, {pathways}){torch}, trained for
        {training.steps} steps of {training.batch_size} segments of {segment} voxels with {LOSSES[training.loss]},
        {OPTIMISERS[training.optimiser]}, an initial learning rate of {training.learning_rate:g} and a
        {training.schedule} schedule. Images were normalised by channel. Whole exams were segmented by dense
        inference and compared with the reference segmentation on the original grid; a lesion that was missed, or
        found where there is none, scored a Dice of 0."""
    )


def _statistics(manifest: Manifest, analysis: Analysis, versions: dict[str, str]) -> str:
    style = METRIC_STYLES[analysis.endpoint["metric"]]
    all_exact = all(each.test != "normal approximation" for each in analysis.comparisons)
    exact = "exact" if all_exact else f"exact up to {EXACT_UP_TO} patients"
    friedman = (
        "All arms together were compared by Friedman's test, with Kendall's W." if analysis.friedman else ""
    )
    margin = (
        f"""a loss of {style.with_unit(analysis.margin)} or more was ruled out (one-sided p below 2.5 %, the larger of
        those of a t-test against the margin and of the studentised bootstrap, with Holm's adjustment), or"""
        if analysis.margin is not None
        else ""
    )
    equivalence = (
        "Equivalence within the margin was tested by two one-sided t-tests (p not adjusted)."
        if analysis.margin is not None
        else ""
    )
    beyond = noise = model = ""
    if analysis.noise and any(verdict.noise_floor is not None for verdict in analysis.verdicts):
        beyond = ", and the difference exceeded what retraining explains"
        noise = f"""The variation due to training alone was estimated from
        {counted(analysis.noise.degrees_of_freedom, "repeated training")} of the reference arm; differences within
        its 95 % range were not taken for effects of a channel."""
    if analysis.model:
        model = f"""As a sensitivity analysis a model was fitted on the scale of {analysis.model.scale}:
        {analysis.model.name}; Wald tests, p not adjusted."""
    return _flat(
        f"""The primary endpoint, set in the study file before the run, was {style.name} of
        {analysis.endpoint["class"]}. The patient was the unit of analysis: differences to the {REFERENCE} arm were
        averaged over repeats and visits of a patient. {friedman} Each arm was compared with the {REFERENCE} arm by
        Wilcoxon's signed-rank test (two-sided, {exact}, with ties; zeros after Pratt), with Holm's adjustment over
        {counted(len(analysis.verdicts), "arm")}; mean differences are given with 95 % studentised cluster-bootstrap
        intervals (patients drawn with replacement, 10,000 draws). All other structures and metrics were secondary,
        adjusted by Benjamini and Hochberg's method. The level was 5 % for each family. A channel was called droppable
        if {margin} the arm without it was significantly better; otherwise needed if the arm was significantly worse,
        the interval of the mean excluded 0 on the same side{beyond}; otherwise it was left open. {noise}
        {equivalence} {model} Computed with loosweep {versions.get("loosweep", manifest.code_version)}."""
    )


def _flat(text: str) -> str:
    """A text on one line."""
    return " ".join(text.split())
