"""Keys of files in, patients, exams and roles out: no file is read."""

from collections.abc import Iterable, Sequence
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from job.data.patterns import composed, expression_of
from job.storage import StoredObject
from submit.init.files import Listing, listing_of
from submit.init.reading import Reading, best_reading

THREE = ("t1", "t2", "seg")


def listing(keys: Iterable[str]) -> Listing:
    return listing_of([StoredObject(key=key, size_bytes=1, fingerprint="") for key in sorted(keys)])


def reading(keys: Iterable[str]) -> Reading:
    found = best_reading(listing(keys).images)
    assert found is not None
    return found


def roles(keys: Iterable[str]) -> list[str]:
    return [role.text for role in reading(keys).roles]


def keys(pattern: str, exams: Sequence[str], files: Sequence[str] = THREE) -> list[str]:
    """Keys of exams; {} in the pattern is the exam, {file} what it is."""
    return [pattern.format(exam, exam, file=file) + ".nii.gz" for exam in exams for file in files]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (keys("{}/{file}", ["p1", "p2"]), "{patient}/t1"),
        (keys("{}/{file}", ["anna maria", 'otto "q" ü']), "{patient}/t1"),
        (keys("{}/{file}", ["1", "2", "3"]), "{patient}/t1"),
        (keys("{}/{}_{file}", ["p1", "p2"]), "{patient}/{patient}_t1"),
        (keys("{file}/{}", ["01", "02", "03"]), "t1/{patient}"),
        (keys("{}_{file}", ["anna_maria", "max_von_muster", "john_doe"]), "{patient}_t1"),
        (keys("{file}_{}", ["p1", "p2"]), "t1_{patient}"),
        (keys("{}/{file}", ["p1/v1", "p1/v2", "p2/v1", "p2/v2"]), "{patient}/{exam}/t1"),
        (keys("{}/{file}", ["1/1", "1/2", "2/1", "2/2"]), "{patient}/{exam}/t1"),
        (keys("{}/{file}", ["TCGA-01/2001-05-07", "TCGA-02/2003-01-01"]), "{patient}/{exam}/t1"),
        (keys("{}/nifti/{file}", ["p1", "p2"]), "{patient}/nifti/t1"),
        (keys("cohort/v2/{}/{file}", ["p1", "p2"]), "cohort/v2/{patient}/t1"),
        (keys("{}/{file}", ["p1_baseline", "p1_followup", "p2_baseline"]), "{patient}_{exam}/t1"),
        (keys("{}_{file}", ["sub-01_ses-1", "sub-01_ses-2", "sub-02_ses-1"]), "{patient}_{exam}_t1"),
        (keys("{}/{file}", ["BraTS-GLI-00000-000", "BraTS-GLI-00002-000"]), "{patient}-{exam}/t1"),
        (keys("{}/{file}", ["HGG/A", "HGG/B", "LGG/C", "LGG/D"]), "*/{patient}/t1"),
    ],
)  # fmt: skip
def test_patient_and_exam_are_read_off_the_names(found: list[str], expected: str) -> None:
    assert expected in roles(found)
    assert len(roles(found)) == 3


PATIENTS = {
    "P01": ["P01", "P02", "P03", "P04"],
    "number": ["1", "2", "3", "4"],
    "words": ["anna", "bert_b", "cora_van_dyk", "dora"],
    "BraTS": [f"BraTS20_Training_{n:03}" for n in range(1, 5)],
    "BIDS": ["sub-01", "sub-02", "sub-03", "sub-04"],
    "spaces": ["Patient 1", "Patient 2", "Patient 3", "Patient 4"],
    "TCGA": ["TCGA-02-0003", "TCGA-02-0006", "TCGA-06-0122", "TCGA-08-0350"],
    "HECKTOR": ["CHUM-001", "CHUM-002", "CHUS-001", "MDA-001"],
}
VISITS = {
    "short": ("v1", "v2"), "BIDS": ("ses-1", "ses-2"), "dates": ("2019-01-12", "2020-03-01"),
    "months": ("0mo", "12mo"), "packed dates": ("20190112", "20200301"),
    "words": ("baseline", "followup"), "OASIS": ("MR1", "MR2"),
}  # fmt: skip
ROLES = [
    ("t1", "t2", "flair", "seg"),
    ("0000", "0001", "seg"),
    ("a", "b", "c", "label"),
    ("t1_ax", "t2 tse", "GTV"),
]


@pytest.mark.parametrize(
    "pattern",
    [
        *["{p}/{f}", "{p}/{p}_{f}", "{p}_{f}", "{f}/{p}", "{f}/{p}_{f}", "{f}_{p}", "{p}-{f}", "x/{p}/y/{f}"],
        *["{p}/{n}_{f}", "{p}/{f}_{n}", "img/{p}/{f}", "{g}/{p}/{f}", "{g}/{p}/{n}_{f}", "{g}/{p}_{f}"],
    ],
)
def test_every_file_of_a_patient_is_known_as_such(pattern: str) -> None:
    for patients, names in product(PATIENTS.values(), ROLES):
        expected = {
            pattern.format(p=patient, f=name, n=100 + 17 * n + 5 * m, g=f"site{n % 2}") + ".nii.gz": (
                patient,
                "",
            )
            for n, patient in enumerate(patients)
            for m, name in enumerate(names)
        }
        assert exams_of(expected) == expected


@pytest.mark.parametrize("visits", VISITS)
@pytest.mark.parametrize(
    "pattern",
    [
        *[
            "{p}/{v}/{f}",
            "{p}/{v}/{p}_{v}_{f}",
            "{p}_{v}/{f}",
            "{p}_{v}_{f}",
            "{p}_{v}/{p}_{v}_{f}",
            "{f}/{p}_{v}",
        ],
        *["{p}/{v}_{f}", "{p}/{p}_{v}_{f}", "{p}/{v}/anat/{f}", "{f}/{p}/{v}", "{g}/{p}/{v}/{f}"],
    ],
)
def test_every_file_of_an_exam_is_known_as_such(pattern: str, visits: str) -> None:
    """The first patient comes once, the others twice."""
    for patients, names in product(PATIENTS.values(), ROLES):
        expected = {
            pattern.format(p=patient, v=visit, f=name, g=f"site{n % 2}") + ".nii.gz": (patient, visit)
            for n, patient in enumerate(patients)
            for visit in VISITS[visits][: 1 if n == 0 else 2]
            for name in names
        }
        assert exams_of(expected) == expected


def exams_of(found: Iterable[str]) -> dict[str, tuple[str, str]]:
    """The exam of each file."""
    return {image.key: unit for role in reading(found).roles for unit, image in role.files.items()}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (  # ISBI 2015
            [
                f"training{p:02}/{folder}/training{p:02}_{v:02}_{name}.nii"
                for p in (1, 2, 3)
                for v in (1, 2, 3)
                for folder, name in (("preprocessed", "flair_pp"), ("preprocessed", "t2_pp"), ("masks", "mask1"))
            ],
            "{patient}/preprocessed/{patient}_{exam}_flair_pp",
        ),
        (  # MSLesSeg, whose visits are called as channels
            [
                f"P{p}/T{v}/P{p}_T{v}_{name}.nii.gz"
                for p in range(1, 6)
                for v in range(1, 2 + p % 3)
                for name in ("T1", "T2", "FLAIR", "MASK")
            ],
            "{patient}/{exam}/{patient}_{exam}_T1",
        ),
        (keys("{}/{file}", [f"site{s}/p{n}" for s in "AB" for n in (1, 2, 3)]), "{patient}/{exam}/t1"),
        (keys("UCSF-{}_nifti/UCSF-{}_{file}", ["0004", "0005"], ["T1", "tumor_segmentation"]),
         "{patient}_nifti/{patient}_T1"),
        (keys("lesion_study/{}/{file}", ["p1", "p2"], ["t1", "t2", "outcome"]), "lesion_study/{patient}/t1"),
        (keys("sub-{}/anat/sub-{}_{file}", ["01", "02"], [f"run-{r}_{f}" for r in (1, 2) for f in ("T1w", "dseg")]),
         "{patient}/anat/{patient}_run-1_T1w"),
        (keys("{}/{file}", ["P1/E123", "P2/E456"]), "{patient}/{exam}/t1"),
    ],
    ids=["ISBI 2015", "MSLesSeg", "sites", "UCSF", "a kind's name above", "runs", "exams' numbers"],
)  # fmt: skip
def test_labels_tell_what_an_exam_is(found: list[str], expected: str) -> None:
    assert expected in roles(found)
    assert len({image.key for role in reading(found).roles for image in role.files.values()}) == len(found)


def test_the_patient_of_a_file_elsewhere_is_recognised() -> None:
    found = [*keys("images/{}/{file}", ["p1", "p2"], ["t1", "t2"]), "labels/p1.nii.gz", "labels/p2.nii.gz"]
    assert roles(found) == ["images/{patient}/t1", "images/{patient}/t2", "labels/{patient}"]


def test_cases_without_labels_do_not_count_as_exams() -> None:
    train, test = [f"CASE_{n:02}" for n in range(4)], [f"CASE_{n}" for n in range(50, 60)]
    numbers = ["0000", "0001"]
    found = keys("imagesTr/{}_{file}", train, numbers) + keys("imagesTs/{}_{file}", test, numbers)
    best = reading(found + [f"labelsTr/{case}.nii.gz" for case in train])
    assert best.units == tuple((case, "") for case in train)
    assert len(best.unplaced) == 20


def test_a_case_that_lacks_labels_is_an_exam_where_most_have_them() -> None:
    found = keys("{}_{file}", ["p1", "p2", "p3", "p4"])
    found.remove("p3_seg.nii.gz")
    assert len(reading(found).units) == 4


def test_cases_without_labels_do_not_count_although_their_channels_have_names() -> None:
    train, test = [f"CASE_{n:02}" for n in range(4)], [f"CASE_{n}" for n in range(50, 60)]
    found = keys("imagesTr/{}_{file}", train, ["t1", "t2"]) + keys("imagesTs/{}_{file}", test, ["t1", "t2"])
    assert reading(found + [f"labelsTr/{case}.nii.gz" for case in train]).units == tuple(
        (c, "") for c in train
    )


def test_a_split_of_a_cohort_is_taken_as_a_whole_where_all_of_it_has_labels() -> None:
    whole = keys("{}/{file}", ["train/p1", "train/p2", "test/p3", "test/p4"])
    assert "*/{patient}/seg" in roles(whole)
    tested = keys("test/{}/{file}", ["p3", "p4"], ["t1", "t2"])
    without = keys("train/{}/{file}", ["p1", "p2", "p5"]) + tested
    assert [role.text for role in reading(without).usual] == [
        f"train/{{patient}}/{name}" for name in sorted(THREE)
    ]


def test_a_patient_whose_files_lie_deeper_belongs_to_no_exam() -> None:
    found = keys("{}/{file}", ["p1", "p2", "p3"]) + keys("{}/scan1/{file}", ["p4"])
    best = reading(found)
    assert [patient for patient, _ in best.units] == ["p1", "p2", "p3"]
    assert [image.key for image in best.unplaced] == [f"p4/scan1/{name}.nii.gz" for name in sorted(THREE)]


def test_numbers_of_series_become_wildcards() -> None:
    found = [f"p{p}/{p + 2 * n:03}_{name}.nii.gz" for p in range(1, 4) for n, name in enumerate(THREE)]
    assert roles(found) == ["{patient}/*_seg", "{patient}/*_t1", "{patient}/*_t2"]


def test_both_spellings_of_a_word_become_one_pattern() -> None:
    found = [
        f"p{p}/x{p}_{name}_normali{'sz'[p % 2]}ation.nii.gz" for p in range(1, 5) for name in ("t1", "t2")
    ] + [f"p{p}/label.nii.gz" for p in range(1, 5)]
    assert "{patient}/*_t1_normali[sz]ation" in roles(found)


def test_names_of_one_role_may_differ_by_case() -> None:
    found = keys("{}/{file}", ["p1", "p2", "p3"]) + keys("{}/{file}", ["p4"], ["T1", "t2", "Seg"])
    assert roles(found) == ["{patient}/[sS]eg", "{patient}/[tT]1", "{patient}/t2"]


def test_two_roles_that_differ_by_case_stay_two() -> None:
    assert roles(keys("{}/{file}", ["p1", "p2"], ["t1", "T1", "seg"])) == [
        "{patient}/T1", "{patient}/seg", "{patient}/t1",
    ]  # fmt: skip


def test_what_means_something_in_a_pattern_stands_for_itself() -> None:
    found = keys("{}/{file}", ["p1", "p2"], ["t1 [late]", "b*?", "seg", "x{0}"])
    assert roles(found) == ["{patient}/b[*][?]", "{patient}/seg", "{patient}/t1 [[]late]", "{patient}/x[{]0}"]


def test_names_in_unicodes_two_forms_are_one() -> None:
    images = keys("images/{}/{file}", ["pa\u0308", "p2"], ["t1", "t2"])
    found = [*images, "labels/p\u00e4.nii.gz", "labels/p2.nii.gz"]
    assert reading(found).units == (("p2", ""), ("pä", ""))


def test_an_exam_that_lacks_a_file_is_an_exam_all_the_same() -> None:
    found = keys("{}/{file}", ["p1", "p2", "p3"])
    found.remove("p2/seg.nii.gz")
    best = reading(found)
    assert len(best.units) == 3
    assert [len(role.files) for role in best.roles] == [2, 3, 3]


@pytest.mark.parametrize("found", [[], ["p1/t1.nii.gz"], ["t1.nii.gz", "t2.nii.gz", "seg.nii.gz"]])
def test_files_without_a_patient_have_no_reading(found: list[str]) -> None:
    assert best_reading(listing(found).images) is None


def test_hidden_files_and_what_macos_adds_are_not_looked_at() -> None:
    found = keys("{}/{file}", ["p1", "p2"])
    odd = ["p1/._t1.nii.gz", ".trash/p1/t1.nii.gz", "__MACOSX/p1/t1.nii.gz"]
    assert len(listing(found + odd).images) == 6


NAME_PARTS = st.sampled_from(
    ["t1", "seg", "p1", "p2", "1", "01", "ses-1", "v2", "[x]", "*", "ä", "A b", "{c}"]
)
NAMES = st.lists(NAME_PARTS, min_size=1, max_size=3).map("_".join)
KEYS = st.lists(NAMES, min_size=1, max_size=3).map(lambda parts: "/".join(parts) + ".nii.gz")


@settings(deadline=None, max_examples=60)
@given(st.sets(KEYS, max_size=12))
def test_roles_of_any_files_are_patterns_that_give_them_back(found: set[str]) -> None:
    best = best_reading(listing(found).images)
    for role in best.roles if best is not None else ():
        expression = expression_of(f"{role.text}.nii.gz")
        for (patient, exam), image in role.files.items():
            match = expression.fullmatch(composed(image.key))
            assert match is not None
            assert (match["patient"], match.groupdict().get("exam", "")) == (patient, exam)


def test_thousands_of_files_are_read_by_a_sample_and_all_of_them() -> None:
    cases = [f"C{n:04}" for n in range(600)]
    found = keys("imagesTr/{}_{file}", cases, ["0000", "0001"]) + keys("labelsTr/{}", cases, [""])
    best = reading([*found, "readme/a_t1.nii.gz"])
    assert len(best.units) == 600
    assert [role.text for role in best.usual] == [
        "imagesTr/{patient}_0000",
        "imagesTr/{patient}_0001",
        "labelsTr/{patient}",
    ]
