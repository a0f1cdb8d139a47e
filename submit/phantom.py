"""`submit phantom`: a simulated cohort and a study of it, to try the whole way."""

import shutil
from pathlib import Path

from job.contract.errors import StudyError
from job.data.phantom import make_phantom

STUDY = """\
# A leave-one-out study of simulated exams; cohort/truth.json says what each channel is worth.
name = "phantom"
preset = "smoke"

[cohort]
root = "cohort"
pattern = "{patient}/{exam}/{channel}.nii.gz"
labels = "{patient}/{exam}/label.nii.gz"
mask = "{patient}/{exam}/mask.nii.gz"
channels = [
    "t2",
    "t1",
    "t1c",
    "t2star",
    { name = "ktrans", normalisation = "fixed", range = [0.0, 1.0] },
    { name = "ve", normalisation = "fixed", range = [0.0, 1.0] },
    { name = "adc", normalisation = "fixed", range = [0.0, 3.0] },
]
acquisitions = { dce = ["ktrans", "ve"] }
classes = { "GTV-T" = 1, "GTV-Ln" = 2 }

[sweep]
leave_out = "channels"
endpoint = { class = "GTV-T", metric = "dice" }
equivalence_margin = 0.03
margin_justification = "simulated: about the scatter of retraining"
reference_repeats = 1

[training]
steps = 100
"""

PARTIAL = ".partial"
"""What an attempt that was interrupted leaves; the next one begins anew."""


def write_phantom(folder: Path, *, patients: int, visits: int, seed: int) -> Path:
    """The study file of a new phantom cohort; the file is there if, and only if, the cohort is whole.

    Raises:
        StudyError: The folder holds something already.
    """
    partial = folder / PARTIAL
    if folder.exists() and any(path != partial for path in folder.iterdir()):
        raise StudyError(f"{folder}: is not empty; name a new folder, or remove it first")
    if partial.exists():
        shutil.rmtree(partial)
    make_phantom(partial / "cohort", patients=patients, visits=visits, seed=seed)
    (partial / "study.toml").write_text(STUDY)
    for name in ("cohort", "study.toml"):
        (partial / name).rename(folder / name)
    partial.rmdir()
    return folder / "study.toml"
