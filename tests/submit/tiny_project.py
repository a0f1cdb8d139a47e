"""The text of a study file of the tiny cohort."""

STUDY = """
name = "tiny"
preset = "smoke"
[cohort]
root = "cohort"
pattern = "{patient}/{exam}/{channel}.nii.gz"
labels = "{patient}/{exam}/label.nii.gz"
mask = "{patient}/{exam}/mask.nii.gz"
channels = ["t2", "t2star"]
classes = { "GTV-T" = 1, "GTV-Ln" = 2 }
[training]
steps = 20
validation_patients = 0
[compute]
device = "cpu"
"""
"""3 arms x 4 exams; each test writes what it is about."""
