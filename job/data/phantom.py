"""A phantom cohort: MRI-like exams with tumours, and the planted truth of what each channel contributes.

    DIR/patient-01/visit-1/{t2,t1,t1c,t2star,ktrans,ve,adc}.nii.gz   label.nii.gz   mask.nii.gz
    DIR/truth.json

The channels, and T2* as the most needed one, are those of Bielak et al., Radiat Oncol 15:181 (2020). Every useful
channel shows the tumours, and with them look-alikes that only other channels betray: no channel suffices, and
leaving one out costs what it alone betrays. Arrays are (Z, Y, X).

truth.json holds
    arguments, classes, exams   what was made
    channels                    a `ChannelTruth` each
    redundant                   groups of channels of which any one is enough
    order                       by class: channels by what leaving each one out costs, equals side by side
    most_important              the first of GTV-T's order
    useless                     channels that betray nothing, alone or with others
    absent                      the structures that an exam lacks
"""

import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from job.contract.shapes import ShapeXYZ
from job.data.phantom_anatomy import (
    CLASSES,
    LOOK_ALIKES,
    NODE_FREE_EVERY,
    Anatomy,
    ExamKey,
    Floats,
    LookAlike,
    exam_anatomy,
    smooth_field,
    spacing_mm,
)

SHAPE = ShapeXYZ((56, 56, 24))
"""Voxels of a phantom's exam, unless others are asked for."""
MINIMUM_SHAPE = ShapeXYZ((24, 24, 12))
"""On a coarser grid a lymph node falls between the voxels."""
REVISIT_EVERY = 4
"""Patients 2, 6, 10, ... come to all visits, the others once."""

TISSUES = ("muscle", "fat", "bone", "fluid", "airway", "gland", "vessel", "GTV-T", "GTV-Ln")


@dataclass(frozen=True, kw_only=True)
class Channel:
    """How one channel shows the tissues."""

    name: str
    acquisition: str
    """Channels of one acquisition follow one another, share their texture, and here their information too."""
    levels: tuple[float, ...]
    """Signal of each of TISSUES."""
    noise: float
    """Standard deviation, in the signal's unit."""
    maximum: float | None = None
    """A parameter map's largest value, its smallest being 0; None for a weighted image, in the scanner's units."""
    slope: float | None = None
    """Unit of the stored 16-bit integers; None for 32-bit floats."""

    def level(self, tissue: str) -> float:
        """Signal of a tissue, without texture, bias and noise."""
        return self.levels[TISSUES.index(tissue)]


# Ktrans in 1/min, ve as a fraction, ADC in 1e-3 mm2/s. ve follows from ktrans in every tissue.
CHANNELS = tuple(
    Channel(name=name, acquisition=acquisition, levels=levels, noise=noise, maximum=maximum, slope=slope)
    for name, acquisition, levels, noise, maximum, slope in (
        ("t2", "t2", (300, 420, 190, 620, 20, 480, 110, 440, 510), 50, None, 1),
        ("t1", "t1", (400, 800, 320, 180, 20, 450, 330, 400, 400), 50, None, 1),
        ("t1c", "t1c", (400, 800, 340, 190, 20, 560, 900, 650, 550), 60, None, 1),
        ("t2star", "t2star", (500, 560, 220, 700, 20, 580, 400, 310, 290), 40, None, 1),
        ("ktrans", "dce", (0.10, 0.04, 0.06, 0, 0, 0.22, 0.70, 0.42, 0.30), 0.05, 1, None),
        ("ve", "dce", (0.15, 0.09, 0.11, 0.05, 0.05, 0.27, 0.75, 0.47, 0.35), 0.05, 1, None),
        ("adc", "adc", (1.4, 0.4, 0.7, 2.8, 0, 1.7, 1.6, 0.95, 0.65), 0.17, 3, 0.001),
    )
)


@dataclass(frozen=True, kw_only=True)
class ChannelTruth:
    """What one channel was given to contribute."""

    contrast: dict[str, float]
    """By class: signal of the tumour above muscle, in standard deviations of the noise."""
    betrays: dict[str, float]
    """By class: volume of the look-alikes that this channel tells from the tumour, relative to the tumour's."""
    betrays_alone: dict[str, float]
    """By class: the part of `betrays` that no other channel tells, which is what leaving this one out costs.

    The help that channels with unlike contrasts give in telling GTV-T from GTV-Ln is not counted.
    """


def make_phantom(folder: Path, *, patients: int, visits: int, seed: int, shape: ShapeXYZ = SHAPE) -> None:
    """Write a cohort and its truth.json below `folder`; the same arguments give the same bytes.

    Patients 2, 6, 10, ... come `visits` times, the others once. Patients 3, 6, 9, ... have no GTV-Ln. An exam
    depends on seed, patient, visit and shape only, so a larger cohort begins with the smaller one.

    Raises:
        ValueError: fewer than 2 patients, no visit, or a grid below MINIMUM_SHAPE.
    """
    _check(patients, visits, shape)
    for patient, visit in _exams(patients, visits):
        key = ExamKey(seed, patient, visit)
        anatomy = exam_anatomy(key, shape)
        exam_folder = folder / _exam_name(patient, visit)
        exam_folder.mkdir(parents=True, exist_ok=True)
        for channel, signal in zip(CHANNELS, channel_signals(key, anatomy), strict=True):
            _write(exam_folder / f"{channel.name}.nii.gz", signal, channel.slope)
        _write(exam_folder / "label.nii.gz", anatomy.label, None)
        _write(exam_folder / "mask.nii.gz", anatomy.mask, None)
    arguments = {"patients": patients, "visits": visits, "seed": seed, "shape": shape}
    truth = {"arguments": arguments, **_cohort_truth(patients, visits)}
    (folder / "truth.json").write_text(json.dumps(truth, indent=2) + "\n")


def channel_truths() -> dict[str, ChannelTruth]:
    """The planted truth of each channel, in channel order."""
    return {channel.name: _channel_truth(channel) for channel in CHANNELS}


def channel_signals(key: ExamKey, anatomy: Anatomy) -> Iterator[Floats]:
    """Each channel's image (Z, Y, X) in turn, in the signal's unit."""
    z, y, x = anatomy.mask.shape
    shape = ShapeXYZ((x, y, z))
    texture_stream, bias_stream, noise_stream = map(key.stream, ("texture", "bias", "noise"))
    for _, channels in groupby(CHANNELS, key=lambda channel: channel.acquisition):
        texture = 1 + 0.06 * smooth_field(shape, 9.0, texture_stream)
        for channel in channels:
            signal: Floats = _painted(channel, anatomy) * texture
            if channel.maximum is None:
                # Coil sensitivity and receiver gain: a weighted image has no unit to compare between exams.
                signal *= np.exp(0.1 * smooth_field(shape, 80.0, bias_stream) + bias_stream.normal(0, 0.15))
                yield _rician(signal, channel.noise, noise_stream)
            else:
                signal += channel.noise * noise_stream.standard_normal(signal.shape, np.float32)
                np.clip(signal, 0, channel.maximum, out=signal)
                yield signal * anatomy.mask


def _painted(channel: Channel, anatomy: Anatomy) -> Floats:
    """The channel's noiseless image: each region over those before it, and air outside."""
    signal = np.zeros(anatomy.mask.shape, np.float32)
    for region in anatomy.regions:
        tissue = "muscle" if channel.name in region.betrayed_by else region.tissue
        signal += region.cover * (np.float32(channel.level(tissue)) - signal)
    return signal


def _rician(signal: Floats, noise: float, stream: np.random.Generator) -> Floats:
    """Magnitude of a complex signal with Gaussian noise in both parts (Gudbjartsson & Patz, MRM 34:910, 1995)."""
    real, imaginary = noise * stream.standard_normal((2, *signal.shape), np.float32)
    magnitude: Floats = np.hypot(signal + real, imaginary)
    return magnitude


def _channel_truth(channel: Channel) -> ChannelTruth:
    betrayed = [twin for twin in LOOK_ALIKES if channel.name in twin.betrayed_by]
    return ChannelTruth(
        contrast={c: round((channel.level(c) - channel.level("muscle")) / channel.noise, 2) for c in CLASSES},
        betrays=_shares(betrayed),
        betrays_alone=_shares([twin for twin in betrayed if twin.betrayed_by == (channel.name,)]),
    )


def _shares(look_alikes: Sequence[LookAlike]) -> dict[str, float]:
    """Relative volume of the look-alikes, by class."""
    return {c: sum((twin.share for twin in look_alikes if twin.structure == c), 0.0) for c in CLASSES}


def _cohort_truth(patients: int, visits: int) -> dict[str, object]:
    """What truth.json says beside the arguments."""
    truths = channel_truths()
    order = {c: _ranked({name: truth.betrays_alone[c] for name, truth in truths.items()}) for c in CLASSES}
    exams = list(_exams(patients, visits))
    return {
        "classes": CLASSES,
        "channels": {name: asdict(truth) for name, truth in truths.items()},
        "redundant": sorted({twin.betrayed_by for twin in LOOK_ALIKES if len(twin.betrayed_by) > 1}),
        "order": order,
        "most_important": order["GTV-T"][0][0],
        "useless": [name for name, truth in truths.items() if not any(truth.betrays.values())],
        "exams": [_exam_name(patient, visit) for patient, visit in exams],
        "absent": {
            _exam_name(patient, visit): ["GTV-Ln"]
            for patient, visit in exams
            if patient % NODE_FREE_EVERY == 0
        },
    }


def _ranked(costs: dict[str, float]) -> list[list[str]]:
    """Names by falling cost, those of equal cost together."""
    return [
        [name for name in costs if costs[name] == cost] for cost in sorted(set(costs.values()), reverse=True)
    ]


def _exams(patients: int, visits: int) -> Iterator[tuple[int, int]]:
    """(patient, visit) of every exam, both from 1."""
    for patient in range(1, patients + 1):
        for visit in range(1, (visits if patient % REVISIT_EVERY == 2 else 1) + 1):
            yield patient, visit


def _exam_name(patient: int, visit: int) -> str:
    return f"patient-{patient:02d}/visit-{visit}"


def _write(path: Path, array: NDArray[np.uint8] | Floats, slope: float | None) -> None:
    """Write one gzipped NIfTI without time stamp: LPS axes, off-centre, 16-bit integers of `slope` if given."""
    voxels = array.T if slope is None else np.rint(array.T / slope).astype(np.int16)
    x, y, z = spacing_mm(ShapeXYZ(voxels.shape))
    affine = np.diag([-x, -y, z, 1.0])
    affine[:3, 3] = (81.5, 64.25, -137.0)
    image = nib.Nifti1Image(voxels, affine)
    image.header.set_xyzt_units("mm")
    if slope is not None:
        image.header.set_slope_inter(slope, 0)
    path.write_bytes(gzip.compress(image.to_bytes(), compresslevel=6, mtime=0))


def _check(patients: int, visits: int, shape: ShapeXYZ) -> None:
    if patients < 2:
        raise ValueError(
            f"a phantom needs at least 2 patients, one to test on and one to train with; got {patients}"
        )
    if visits < 1:
        raise ValueError(f"a patient comes at least once; got visits={visits}")
    if any(voxels < least for voxels, least in zip(shape, MINIMUM_SHAPE, strict=True)):
        raise ValueError(
            f"a grid (x, y, z) of {shape} is too coarse for lymph nodes; use at least {MINIMUM_SHAPE}"
        )
