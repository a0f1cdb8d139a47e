"""Names in, people out: visits that no pattern tells apart, and cohorts whose names only count patients."""

import pytest

from job.data.visits import ENDS_WITH_VISIT, GROUP, VISIT, alike_but_for_zeros, begin_others, maybe_visits


def counted(name: str, *numbers: int) -> list[str]:
    return [name.format(number) for number in range(*numbers)]


def groups(patients: list[str]) -> list[tuple[str, ...]]:
    return list(maybe_visits(patients).groups)


ORDINARY = {
    "BraTS 2020": counted("BraTS20_Training_{:03}", 1, 37),
    "BraTS 2020, two parts": [
        *counted("BraTS20_Training_{:03}", 1, 4),
        *counted("BraTS20_Validation_{:03}", 1, 4),
    ],
    "BraTS 2018": [
        *("Brats18_2013_10_1", "Brats18_2013_11_1", "Brats18_CBICA_AAB_1", "Brats18_CBICA_AAG_1"),
        *("Brats18_TCIA01_131_1", "Brats18_TCIA01_147_1", "Brats18_TCIA02_117_1"),
    ],
    "BraTS since 2023, one visit each": counted("BraTS-GLI-{:05}-000", 0, 40),
    "HECKTOR": ["CHUM-001", "CHUM-002", "CHUM-006", "CHUP-000", "CHUP-001", "HGJ-007", "MDA-001", "MDA-002"],
    "HECKTOR 2020": ["CHGJ007", "CHGJ008", "CHMR001", "CHMR004", "CHUM001", "CHUM002", "CHUS003"],
    "TCGA": ["TCGA-02-0003", "TCGA-02-0006", "TCGA-02-0009", "TCGA-06-0122", "TCGA-06-0128", "TCGA-08-0350"],
    "TCGA with dates": [
        "TCGA_CS_4938_19970222",
        "TCGA_CS_4941_19960909",
        "TCGA_DU_5851_19950428",
    ],
    "UPENN-GBM": counted("UPENN-GBM-{:05}_11", 1, 40),
    "UCSF-PDGM": counted("UCSF-PDGM-{:04}_nifti", 4, 40),
    "ISLES": counted("sub-strokecase{:04}", 1, 40),
    "KiTS": counted("case_{:05}", 0, 30),
    "prostate158": counted("{:03}", 20, 60),
    "ADNI": ["002_S_0295", "002_S_0413", "002_S_0559", "006_S_0498", "006_S_0681", "007_S_0001"],
    "OASIS": counted("OAS1_{:04}_MR1", 1, 30),
    "QIN-BREAST": counted("QIN-BREAST-01-{:04}", 1, 7),
    "Calgary-Campinas": ["CC0001_philips_15_55_M", "CC0002_philips_15_56_M", "CC0003_philips_15_63_F"],
    "ATLAS": ["sub-r001s001", "sub-r001s002", "sub-r002s001", "sub-r002s002", "sub-r003s001"],
    "STS": ["STS-McGill-001", "STS-McGill-002", "STS-HMR-001"],
    "MAMA-MIA": ["DUKE_001", "DUKE_002", "ISPY1_1001", "ISPY2_100899", "NACT_01", "NACT_02"],
    "patients and controls": [*counted("patient{}", 1, 5), *counted("control{}", 1, 4)],
    "OpenNeuro's patients and controls": [*counted("sub-PAT{:02}", 1, 7), *counted("sub-CON{:02}", 1, 6)],
    "patients of sites": [*counted("site1_{:03}", 1, 4), *counted("site2_{:03}", 1, 4), "site3_001"],
    "patients of sites' codes": ["HN1", "HN2", "HN3", "BR1", "BR2", "LU1"],
    "numbers of a trial": ["01-001", "01-002", "01-003", "02-001", "02-002", "03-001"],
    "years and numbers": ["2019-001", "2019-002", "2020-001", "2020-002", "2021-001"],
    "one site": counted("site1_{:03}", 1, 21),
    "P01 to P36": counted("P{:02}", 1, 37),
    "men and women": [*counted("HN_M{:02}", 1, 4), *counted("HN_F{:02}", 1, 4)],
    "names": ["mueller_hans", "mueller_anna", "meier_otto", "schmidt_eva"],
    "scans counted through": counted("GBM_scan_{:03}", 1, 37),
    "thousands": counted("pat_{:04}", 1, 3001),
    "thousands of sites": [f"site{site}_{n:03}" for site in range(1, 400) for n in range(1, 9)],
}


@pytest.mark.parametrize("cohort", ORDINARY)
def test_an_ordinary_cohort_has_no_visits(cohort: str) -> None:
    found = maybe_visits(ORDINARY[cohort])
    assert (found.groups, found.alone) == ((), ())
    assert alike_but_for_zeros(ORDINARY[cohort]) == []
    assert begin_others(ORDINARY[cohort]) == []


def test_a_whole_name_may_begin_anothers_up_to_what_sets_its_parts_apart() -> None:
    assert begin_others(["HN", "HN_003", "HN_003-b", "HNX", "P1"]) == [
        ("HN", "HN_003"),
        ("HN_003", "HN_003-b"),
    ]


@pytest.mark.parametrize(
    ("one", "other", "another_person"),
    [
        ("P01_preop", "P01_postop", "P02_preop"),
        ("P01_bl", "P01_fu1", "P02_bl"),
        ("P01_pre1", "P01_pre2", "P02_pre1"),
        ("P01_prechemo", "P01_postchemo", "P02_prechemo"),
        ("P01_12mo", "P01_24mo", "P02_12mo"),
        ("P01_year1", "P01_year2", "P02_year1"),
        ("P01_before", "P01_after", "P02_before"),
        ("P01_first", "P01_second", "P02_first"),
        ("P01_init", "P01_final", "P02_init"),
        ("P01_scanA", "P01_scanB", "P02_scanA"),
        ("P01_visite1", "P01_visite2", "P02_visite1"),
        ("P01_T0", "P01_T1", "P02_T0"),
        ("P01_MR1", "P01_MR2", "P02_MR1"),
        ("P01_A", "P01_B", "P02_A"),
        ("P01a", "P01b", "P02a"),
        ("P01v1", "P01v2", "P02v1"),
        ("P01_0001", "P01_0002", "P02_0001"),
        ("P01_2019", "P01_2020", "P02_2019"),
        ("001-01", "001-02", "002-01"),
        ("P01_left", "P01_right", "P02_left"),
        ("P01_2019-01-01", "P01_2019-05-01", "P02_2019-01-01"),
        ("P01_2019_01_01", "P01_2019_05_01", "P02_2018_01_01"),
        ("anna_20200105", "anna_20210304", "bert_20200101"),
        ("anna_1", "anna_2", "bert_1"),
        ("anna1", "anna2", "bert1"),
        ("anna_a", "anna_b", "bert_a"),
        ("Patient 1 (1)", "Patient 1 (2)", "Patient 2 (1)"),
        ("mueller_hans_v1", "mueller_hans_v2", "meier_v1"),
        ("BraTS-GLI-00001-000", "BraTS-GLI-00001-001", "BraTS-GLI-00002-000"),
        ("UPENN-GBM-00001_11", "UPENN-GBM-00001_21", "UPENN-GBM-00002_11"),
        ("Patient-001_week-000-1", "Patient-001_week-000-2", "Patient-002_week-044"),
        ("RHUH-0001_0", "RHUH-0001_1", "RHUH-0002_0"),
        ("PatientID_0003_Timepoint_1", "PatientID_0003_Timepoint_2", "PatientID_0004_Timepoint_1"),
        ("100010_time1", "100010_time2", "100011_time1"),
        ("ReMIND-001_preop", "ReMIND-001_intraop", "ReMIND-002_preop"),
        ("training01_01", "training01_02", "training02_01"),
        ("OAS30001_MR_d0129", "OAS30001_MR_d0757", "OAS30002_MR_d0371"),
        ("PROOF036_MRI_L_T0", "PROOF036_MRI_L_T30", "PROOF128_MRI_L_T0"),
        ("P1_T1", "P1_T2", "P2_T1"),
    ],
)
def test_visits_of_one_person_are_known_beside_another_person(
    one: str, other: str, another_person: str
) -> None:
    assert groups([one, other, another_person]) == [tuple(sorted((one, other)))]


@pytest.mark.parametrize(
    ("people", "visits"), [(36, ("pre", "post")), (1500, ("1", "2")), (1500, ("a", "b"))]
)
def test_visits_of_many_people_are_known(people: int, visits: tuple[str, str]) -> None:
    names = [f"P{n:04}_{visit}" for n in range(1, people + 1) for visit in visits]
    assert len(groups(names)) == people


def test_a_name_alone_may_be_the_first_visit() -> None:
    assert groups(["P01", "P01_2", "P02"]) == [("P01", "P01_2")]


def test_numbers_of_people_are_one_with_zeros_and_without() -> None:
    assert alike_but_for_zeros(["P1", "P01", "P2", "P10"]) == [("P01", "P1")]
    assert groups(["P1_pre", "P01_post", "P2_pre"]) == [("P01_post", "P1_pre")]


def test_more_names_than_visits_of_a_person_are_counted_through() -> None:
    assert len(groups([*counted("P01_{}", 1, 7), "P02_1"])) == 1
    assert groups([*counted("P01_{}", 1, 8), "P02_1"]) == []


@pytest.mark.parametrize(
    "name", ["ses-1", "visit 2", "v1", "tp3", "week-000-1", "12mo", "preop", "2019-05-01", "baseline", "m00"]
)
def test_a_name_may_say_that_it_is_an_exams(name: str) -> None:
    assert VISIT.fullmatch(name)
    match = ENDS_WITH_VISIT.fullmatch(f"anna_{name}")
    assert match is not None
    assert (match["patient"], match["exam"]) == ("anna", name)


@pytest.mark.parametrize("name", ["anna", "p1", "t1", "1", "post_contrast", "sesame seed", "late31"])
def test_other_names_do_not(name: str) -> None:
    assert not VISIT.fullmatch(name)


@pytest.mark.parametrize(
    ("name", "is_group"),
    [
        ("site1", True),
        ("Center_Bonn", True),
        ("train", True),
        ("HGG", True),
        ("armin", False),
        ("parker", False),
    ],
)
def test_groups_are_known_by_their_names(name: str, is_group: bool) -> None:
    assert (GROUP.fullmatch(name) is not None) == is_group
