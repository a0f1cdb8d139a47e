import json
from dataclasses import asdict
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from job.data.phantom import channel_truths, make_phantom
from job.data.phantom_anatomy import CLASSES, ExamKey, smooth_field

NAMES = ["t2", "t1", "t1c", "t2star", "ktrans", "ve", "adc"]
WEIGHTED = ["t2", "t1", "t1c", "t2star"]
SMALL = (24, 28, 12)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantom")
    make_phantom(folder, patients=4, visits=2, seed=7)
    return folder


def exams_of(folder: Path) -> list[Path]:
    return sorted(folder.glob("patient-*/visit-*"))


def voxels(path: Path) -> NDArray[np.float64]:
    return np.asarray(nib.load(path).dataobj, dtype=np.float64)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*z")}


def truth_of(folder: Path) -> dict[str, object]:
    truth: dict[str, object] = json.loads((folder / "truth.json").read_text())
    return truth


def dice_of_rule(exams: list[Path], left_out: set[str]) -> float:
    """Mean Dice of a reader who marks what is on the primary tumour's side of midway in every channel at hand.

    Lymph nodes are left aside: they look much like the primary tumour.
    """
    scores = []
    for exam in exams:
        label, mask = voxels(exam / "label.nii.gz"), voxels(exam / "mask.nii.gz") > 0
        tumour, marked = label == 1, mask & (label != 2)
        for name, truth in channel_truths().items():
            if name in left_out or truth.contrast["GTV-T"] == 0:
                continue
            signal = gaussian_filter(voxels(exam / f"{name}.nii.gz"), 1.0)
            midway = (np.median(signal[tumour]) + np.median(signal[mask & (label == 0)])) / 2
            marked &= (signal - midway) * truth.contrast["GTV-T"] > 0
        scores.append(2 * (marked & tumour).sum() / (marked.sum() + tumour.sum()))
    return float(np.mean(scores))


def test_the_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("first", "second"):
        make_phantom(tmp_path / name, patients=2, visits=2, seed=1, shape=SMALL)
    assert contents(tmp_path / "first") == contents(tmp_path / "second")
    assert (tmp_path / "first/truth.json").read_bytes() == (tmp_path / "second/truth.json").read_bytes()


def test_another_seed_gives_other_images_and_labels(tmp_path: Path) -> None:
    for seed in (1, 2):
        make_phantom(tmp_path / str(seed), patients=2, visits=1, seed=seed, shape=SMALL)
    first, second = contents(tmp_path / "1"), contents(tmp_path / "2")
    assert first.keys() == second.keys()
    assert all(first[path] != second[path] for path in first)


def test_an_exam_does_not_depend_on_how_many_patients_and_visits_there_are(tmp_path: Path) -> None:
    make_phantom(tmp_path / "few", patients=2, visits=2, seed=3, shape=SMALL)
    make_phantom(tmp_path / "many", patients=5, visits=3, seed=3, shape=SMALL)
    few, many = contents(tmp_path / "few"), contents(tmp_path / "many")
    assert len(few) == 3 * 9
    assert len(many) == 7 * 9
    assert few.items() <= many.items()


def test_streams_of_different_purposes_patients_and_visits_differ() -> None:
    streams = [
        ExamKey(seed, patient, visit).stream(purpose)
        for seed, patient, visit, purpose in ((0, 1, 2, "a"), (0, 2, 1, "a"), (1, 1, 2, "a"), (0, 1, 2, "b"))
    ]
    assert len({stream.integers(2**63) for stream in streams}) == 4


def test_every_second_of_each_four_patients_comes_again(cohort: Path) -> None:
    names = [exam.relative_to(cohort).as_posix() for exam in exams_of(cohort)]
    expected = ["patient-01/visit-1", "patient-02/visit-1", "patient-02/visit-2"]
    expected += ["patient-03/visit-1", "patient-04/visit-1"]
    assert names == expected
    assert truth_of(cohort)["exams"] == expected


def test_every_exam_has_seven_channels_a_label_and_a_mask_on_one_anisotropic_lps_grid(cohort: Path) -> None:
    for exam in exams_of(cohort):
        images = [nib.load(path) for path in sorted(exam.iterdir())]
        assert len(images) == 9
        assert {image.shape for image in images} == {(56, 56, 24)}
        for image in images:
            np.testing.assert_array_equal(image.affine, images[0].affine)
            np.testing.assert_allclose(image.header.get_zooms(), (3.0, 3.0, 4.0), rtol=1e-6)
            assert "".join(nib.aff2axcodes(image.affine)) == "LPS"
            assert (image.affine[:3, 3] != 0).all()


def test_weighted_images_are_integers_and_maps_come_as_floats_or_with_a_slope(cohort: Path) -> None:
    headers = {path.name[:-7]: nib.load(path).header for path in exams_of(cohort)[0].iterdir()}
    kinds = {name: str(header.get_data_dtype()) for name, header in headers.items()}
    assert kinds == {
        **dict.fromkeys([*WEIGHTED, "adc"], "int16"),
        **dict.fromkeys(["ktrans", "ve"], "float32"),
        **dict.fromkeys(["label", "mask"], "uint8"),
    }


def test_parameter_maps_keep_to_their_physical_ranges_and_muscle_to_its_values(cohort: Path) -> None:
    # Muscle has ktrans 0.1/min, ve 0.15, ADC 1.4e-3 mm2/s; fat and lesions move the median a little.
    for exam in exams_of(cohort):
        mask = voxels(exam / "mask.nii.gz") > 0
        for name, maximum, muscle in (("ktrans", 1, 0.1), ("ve", 1, 0.15), ("adc", 3, 1.4)):
            values = voxels(exam / f"{name}.nii.gz")
            assert values.min() >= 0
            assert values.max() <= maximum + 1e-6
            assert not values[~mask].any()
            assert np.median(values[mask]) == pytest.approx(muscle, rel=0.2)


def test_only_weighted_images_have_another_gain_in_each_exam(cohort: Path) -> None:
    def spread(name: str) -> float:
        medians = [
            np.median(voxels(exam / f"{name}.nii.gz")[voxels(exam / "mask.nii.gz") > 0])
            for exam in exams_of(cohort)
        ]
        return float(np.std(medians) / np.mean(medians))

    spreads = {name: spread(name) for name in NAMES}
    assert min(spreads[name] for name in WEIGHTED) > 0.05
    assert max(spreads[name] for name in ("ktrans", "ve", "adc")) < 0.05


def test_the_air_of_a_weighted_image_has_the_mean_of_rayleigh_noise(cohort: Path) -> None:
    # Complex noise of deviation 50 has a magnitude of mean 50 * sqrt(pi / 2) = 62.7.
    corner = voxels(cohort / "patient-01/visit-1/t1.nii.gz")[:5, :5]
    assert corner.mean() == pytest.approx(62.7, rel=0.1)


def test_labels_are_whole_numbers_inside_the_body(cohort: Path) -> None:
    for exam in exams_of(cohort):
        label, mask = voxels(exam / "label.nii.gz"), voxels(exam / "mask.nii.gz")
        assert set(np.unique(label)) <= {0, 1, 2}
        assert set(np.unique(mask)) == {0, 1}
        assert not label[mask == 0].any()
        assert 0.3 < mask.mean() < 0.7


def test_the_primary_tumour_is_in_every_exam_and_larger_than_the_nodes(cohort: Path) -> None:
    for exam in exams_of(cohort):
        label = voxels(exam / "label.nii.gz")
        assert (label == 1).sum() > 800
        assert (label == 1).sum() > 2 * (label == 2).sum()


def test_the_truth_names_the_exams_without_lymph_nodes(cohort: Path) -> None:
    absent = {
        exam.relative_to(cohort).as_posix(): ["GTV-Ln"]
        for exam in exams_of(cohort)
        if not (voxels(exam / "label.nii.gz") == 2).any()
    }
    assert absent == {"patient-03/visit-1": ["GTV-Ln"]}
    assert truth_of(cohort)["absent"] == absent


def test_a_tumour_shrinks_from_visit_to_visit_where_it_was(cohort: Path) -> None:
    before, after = (voxels(cohort / f"patient-02/visit-{visit}/label.nii.gz") == 1 for visit in (1, 2))
    assert 0.6 < after.sum() / before.sum() < 0.9  # 0.9 ** 3 = 0.73
    assert (before & after).sum() / after.sum() > 0.85


def test_the_truth_says_what_was_planted(cohort: Path) -> None:
    truth = truth_of(cohort)
    assert truth["arguments"] == {"patients": 4, "visits": 2, "seed": 7, "shape": [56, 56, 24]}
    assert truth["classes"] == {"GTV-T": 1, "GTV-Ln": 2}
    assert truth["redundant"] == [["ktrans", "ve"]]
    assert truth["most_important"] == "t2star"
    assert truth["useless"] == ["t1"]
    assert truth["order"] == {
        "GTV-T": [["t2star"], ["t2"], ["t1c"], ["t1", "ktrans", "ve", "adc"]],
        "GTV-Ln": [["t2star"], ["adc"], ["t2", "t1", "t1c", "ktrans", "ve"]],
    }
    assert truth["channels"] == {name: asdict(of) for name, of in channel_truths().items()}


def test_the_contrast_is_in_standard_deviations_of_the_noise() -> None:
    # T2*: tumour 310, muscle 500, noise 40.
    assert channel_truths()["t2star"].contrast["GTV-T"] == pytest.approx(-4.75)
    assert channel_truths()["t1"].contrast == {"GTV-T": 0.0, "GTV-Ln": 0.0}


def test_a_channel_betrays_the_sum_of_its_look_alikes() -> None:
    # T2*: one of 0.45 beside the primary tumour, two of 0.8 beside the nodes, all betrayed by nothing else.
    t2star = channel_truths()["t2star"]
    assert t2star.betrays == t2star.betrays_alone == {"GTV-T": 0.45, "GTV-Ln": 1.6}


def test_ktrans_and_ve_betray_the_same_look_alikes_and_nothing_alone() -> None:
    ktrans, ve = channel_truths()["ktrans"], channel_truths()["ve"]
    assert ktrans.betrays == ve.betrays
    assert min(ktrans.betrays.values()) > 0
    assert ktrans.betrays_alone == ve.betrays_alone == {"GTV-T": 0, "GTV-Ln": 0}


def test_leaving_channels_out_of_a_reading_costs_what_was_planted(cohort: Path) -> None:
    exams = exams_of(cohort)
    reference = dice_of_rule(exams, set())
    drops = {name: reference - dice_of_rule(exams, {name}) for name in NAMES}
    assert reference > 0.75
    assert max(drops, key=lambda name: drops[name]) == "t2star"
    assert drops["t2star"] > 0.06
    assert drops["t2star"] > 2 * sorted(drops.values())[-2]
    assert abs(drops["ktrans"]) < 0.01
    assert abs(drops["ve"]) < 0.01
    assert reference - dice_of_rule(exams, {"ktrans", "ve"}) > 0.04


@pytest.mark.parametrize("name", [name for name in NAMES if name != "t1"])
def test_no_channel_suffices(cohort: Path, name: str) -> None:
    exams = exams_of(cohort)
    assert dice_of_rule(exams, set(NAMES) - {name}) < dice_of_rule(exams, set()) - 0.1


def test_a_finer_grid_shows_the_same_patient(tmp_path: Path) -> None:
    for name, shape in (("coarse", (28, 28, 12)), ("fine", (56, 56, 24))):
        make_phantom(tmp_path / name, patients=2, visits=1, seed=5, shape=shape)
    coarse, fine = (
        voxels(tmp_path / name / "patient-01/visit-1/label.nii.gz") for name in ("coarse", "fine")
    )
    halved = (fine == 1).reshape(28, 2, 28, 2, 12, 2).mean(axis=(1, 3, 5)) >= 0.5
    assert 2 * (halved & (coarse == 1)).sum() / (halved.sum() + (coarse == 1).sum()) > 0.95


def test_a_smooth_field_has_mean_0_and_deviation_1_and_neighbours_are_alike() -> None:
    field = smooth_field((40, 40, 40), 40.0, ExamKey(0, 1, 1).stream("test"))
    assert field.shape == (40, 40, 40)
    assert float(field.mean()) == pytest.approx(0, abs=1e-5)
    assert float(field.std()) == pytest.approx(1, abs=1e-5)
    assert np.corrcoef(field[1:].ravel(), field[:-1].ravel())[0, 1] > 0.95


@pytest.mark.parametrize(
    ("patients", "visits", "shape", "message"),
    [
        (1, 1, (56, 56, 24), "at least 2 patients.*got 1"),
        (2, 0, (56, 56, 24), "at least once.*visits=0"),
        (2, 1, (56, 56, 8), r"\(56, 56, 8\) is too coarse.*at least \(24, 24, 12\)"),
    ],
)
def test_impossible_arguments_are_refused_before_anything_is_written(
    tmp_path: Path, patients: int, visits: int, shape: tuple[int, int, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make_phantom(tmp_path / "new", patients=patients, visits=visits, seed=0, shape=shape)
    assert not (tmp_path / "new").exists()


def test_the_smallest_grid_holds_every_structure(tmp_path: Path) -> None:
    make_phantom(tmp_path, patients=2, visits=1, seed=0, shape=(24, 24, 12))
    for exam in exams_of(tmp_path):
        assert set(np.unique(voxels(exam / "label.nii.gz"))) == {0, *CLASSES.values()}
