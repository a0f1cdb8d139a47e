"""What the deployed stack and `submit` call the same things."""

STACK = "loosweep"
"""Default name of the stack; its outputs are found by it."""

DATA_BUCKET = "DataBucket"
"""Output: bucket of cohorts; nothing but the researchers' own tools writes to it."""
RESULTS_BUCKET = "ResultsBucket"
"""Output: bucket of block stores and runs."""
GPU_QUEUE = "GpuQueue"
"""Output: name of the job queue for folds."""
CPU_QUEUE = "CpuQueue"
"""Output: name of the job queue for preparation and reports."""
IMAGE = "Image"
"""Output: URI of the container image, with its digest or the hash of its contents."""
LOG_GROUP = "LogGroup"
"""Output: name of the log group that all jobs write to."""
RESEARCHERS = "ResearchersPolicy"
"""Output: ARN of the policy for those who submit sweeps."""
STUDIES = "Studies"
"""Output: names of the studies that have roles and job definitions, comma-separated."""

PROJECT_TAG = "project"
"""Tag of everything, jobs included; its value is the name of the stack."""
CHECKPOINT_TAG = {"kind": "checkpoint"}
"""Object tag of checkpoints: their keys lie in the middle of a run, where a lifecycle prefix cannot name them."""


def prepare_definition(stack: str, study: str) -> str:
    """Name of the job definition that prepares a study's cohort."""
    return f"{stack}-{study}-prepare"


def fold_definition(stack: str, study: str) -> str:
    """Name of the job definition that trains and tests a fold of a study."""
    return f"{stack}-{study}-fold"


def report_definition(stack: str, study: str) -> str:
    """Name of the job definition that makes a study's report."""
    return f"{stack}-{study}-report"


def definitions(stack: str, study: str) -> str:
    """What the names of all job definitions of a study match, with `*` for anything."""
    return f"{stack}-{study}-*"


def cohort_prefix(study: str) -> str:
    """Keys of a study's cohort in the data bucket begin with this."""
    return f"{study}/"


def store_prefix(study: str) -> str:
    """Keys of a study's block store in the results bucket begin with this."""
    return f"{study}/store/"


def runs_prefix(study: str) -> str:
    """Keys of a study's runs in the results bucket begin with this."""
    return f"{study}/runs/"
