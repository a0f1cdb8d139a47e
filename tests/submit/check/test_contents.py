from dataclasses import replace

import pytest

from job.data.cohort_files import ExamFiles
from job.data.geometry import canonical_axes
from job.storage import StoredObject
from submit.check.amounts import measured, significant
from submit.check.contents import (
    channels_table,
    classes_table,
    exams_table,
    files_table,
    grids_table,
    overview,
    patients_table,
    unusual_table,
    values_table,
)
from submit.check.outliers import RULE
from submit.check.terminal import plain_lines
from tests.submit.check.conftest import RAS


def texts(table):
    """By the name of a column, its texts."""
    return {column.name: [cell.text for cell in column.cells] for column in table.columns}


@pytest.fixture
def tables_of(make_checked_study):
    """A table of exams of the study."""

    def make(kind, exams, **changes):
        cohort = make_checked_study(**changes).cohort
        own = measured(exams, cohort)
        return kind(own, cohort) if kind in (classes_table, channels_table) else kind(own)

    return make


def test_each_role_shows_one_file_with_what_was_read_from_its_name(make_checked_study, make_exam):
    files = [make_exam("p1", "v1").files, make_exam("p2", "v1").files]
    assert texts(files_table(files, make_checked_study().cohort)) == {
        "": ["t1", "adc", "labels", "mask"],
        "one of the files": [f"p1/v1/{name}.nii.gz" for name in ("t1", "adc", "label", "mask")],
        "patient": ["p1"] * 4,
        "exam": ["v1"] * 4,
    }


def test_a_class_with_a_file_of_its_own_shows_that_of_the_first_exam_that_has_it(make_checked_study):
    def item(key):
        return StoredObject(key=key, size_bytes=1, fingerprint="")

    files = [
        ExamFiles(
            exam=patient,
            patient=patient,
            channels=(item(f"{patient}/all.nii"),) * 2,
            labels=labels,
            mask=None,
        )
        for patient, labels in (
            ("p1", ((item("p1/core.nii"),), ())),
            ("p2", ((), (item("p2/oedema.nii"),))),
            ("p3", ((item("p3/core-a.nii"), item("p3/core-b.nii")), (item("p3/oedema.nii"),))),
        )
    ]
    cohort = make_checked_study(
        pattern="{patient}/all.nii",
        labels="{patient}/{class}.nii",
        mask=None,
        classes=["core", "oedema"],
        channels=[{"name": "t1", "index": 0}, {"name": "adc", "index": 1}],
    ).cohort
    assert texts(files_table(files, cohort)) == {
        "": ["t1", "adc", "class core", "class oedema"],
        "one of the files": ["p1/all.nii, volume 0", "p1/all.nii, volume 1", "p1/core.nii", "p2/oedema.nii"],
        "patient": ["p1", "p1", "p1", "p2"],
        "files an exam": ["", "", "0 to 2", "0 to 1"],
    }


def test_how_many_files_each_exam_has_of_a_class_is_shown_where_one_has_several(make_exam, tables_of):
    exams = [make_exam("p1"), make_exam("p2")]
    (item,) = exams[0].files.labels[0]
    for exam, labels in zip(list(exams), (((item,), (item,) * 3), ((), (item,))), strict=True):
        exams[exams.index(exam)] = replace(exam, files=replace(exam.files, labels=labels))
    table = texts(tables_of(exams_table, exams))
    assert table["files of oedema"] == ["3", "1"]
    assert "files of core" not in table
    assert not any(name.startswith("files of") for name in texts(tables_of(exams_table, [make_exam()])))


def test_patients_are_grouped_by_the_names_of_their_exams(make_exam):
    exams = [("p1", "pre"), ("p2", "pre"), ("p2", "post"), ("p3", "pre")]
    table = patients_table([make_exam(*exam).files for exam in exams], unread=["p2_post"])
    assert table.title == "4 exams of 3 patients"
    assert texts(table) == {
        "exams each": ["1", "2"],
        "their names": ["pre", "pre, post"],
        "patients": ["2", "1"],
        "who": ["p1, p3", "p2"],
    }
    assert table.notes == ("1 of the exams could not be read: p2_post. What follows is of the others.",)


def test_patients_whose_exams_are_called_by_dates_are_grouped_by_their_number(make_exam):
    exams = [(f"p{n:02}", f"2026-01-{n:02}") for n in range(1, 16)] + [("p15", "2026-02-01")]
    left_out = patients_table([make_exam(*exam).files for exam in exams], excluded=["P03", "P04/post"])
    assert left_out.notes == ("2 excluded: P03, P04/post.",)
    assert texts(patients_table([make_exam(*exam).files for exam in exams])) == {
        "exams each": ["1", "2"],
        "their names, e.g.": ["2026-01-01", "2026-01-15, 2026-02-01"],
        "patients": ["14", "1"],
        "who": ["p01, p02, p03, p04, p05, p06, p07, p08 and 6 more", "p15"],
    }


def test_classes_have_voxels_millilitres_exams_and_patients(make_exam, tables_of):
    exams = [
        make_exam("p1", voxels=(3000, 2000, 1000), outside_mask=7),
        make_exam("p2", "v1", voxels=(5000, 1000, 0)),
        make_exam("p2", "v2", voxels=(0, 3000, 3000), spacing=(1, 1, 6)),
    ]
    table = tables_of(classes_table, exams)
    # 2000 x 3 mm3 = 6 ml, 1000 x 3 = 3 ml, 3000 x 6 = 18 ml; oedema: 3 and 18 ml.
    assert texts(table) == {
        "class": ["core", "oedema"],
        "values": ["1, 3", "2"],
        "voxels": ["6,000", "4,000"],
        "ml, where there is any": ["6 (3 to 18)", "10.5 (3 to 18)"],
        "exams": ["3 of 3", "2 of 3"],
        "patients": ["2 of 2", "2 of 2"],
        "not in": ["", "p2_v1"],
    }
    assert table.notes[-1] == "7 labelled voxels outside the mask, in 1 exam, count as background."


def test_each_value_of_the_label_maps_is_counted_also_one_that_counts_as_background(
    make_exam, make_checked_study
):
    """A structure that `background` hides is seen; a value of a class that no exam has too."""
    exams = [
        make_exam("p1", values={0: 2900, 1: 2000, 2: 1000, 5: 100}),
        make_exam("p2", "v1", values={0: 5000, 1: 1000}),
        make_exam("p2", "v2", values={1: 3000, 2: 2950, 5: 50}),
    ]
    cohort = make_checked_study(background=[0, 5, 7]).cohort
    table = values_table(exams, cohort)
    assert texts(table) == {
        "value": ["0", "1", "2", "3", "5"],
        "counts as": ["background", "core", "oedema", "core", "background"],
        "voxels": ["7,900", "6,000", "3,950", "0", "150"],
        "exams": ["2 of 3", "3 of 3", "2 of 3", "0 of 3", "2 of 3"],
        "patients": ["2 of 2", "2 of 2", "2 of 2", "0 of 2", "2 of 2"],
    }
    assert table.notes == ("As the files have them, also outside the mask.",)


def test_of_many_background_values_those_with_most_voxels_have_rows_and_the_others_are_named(
    make_exam, make_checked_study
):
    """As where a parcellation of the brain counts as background."""
    background = [0, *range(10, 40)]
    exam = make_exam(values={0: 9000, 1: 70, 2: 60, 3: 50} | {value: 1000 + value for value in range(10, 40)})
    table = values_table([exam], make_checked_study(background=background, mask=None).cohort)
    assert texts(table)["value"] == ["0", "1", "2", "3", *map(str, range(32, 40))]
    assert table.notes == (
        "22 further values with fewer voxels: 10, 11, 12, 13, 14, 15, 16, 17 and 14 more.",
    )


def test_files_of_classes_have_no_values(make_exam, make_checked_study, findings_of):
    cohort = make_checked_study(labels="{patient}/{exam}/{class}.nii.gz", classes=["label"]).cohort
    exams = [make_exam("p1", voxels=(3000, 2000, 0))]
    titles = [table.title for table in overview(findings_of(exams), cohort, measured(exams, cohort))]
    assert "Classes" in titles
    assert "Values of the label maps" not in titles


def test_grids_are_counted_and_the_odd_ones_named(make_exam):
    exams = [*(make_exam(f"p{n}") for n in range(3)), make_exam("p3", spacing=(0.5, 0.5, 6), directions=RAS)]
    assert texts(grids_table(exams)) == {
        "exams": ["3", "1"],
        "axes": ["LPS", "RAS"],
        "spacing, mm": ["1 x 1 x 3", "0.5 x 0.5 x 6"],
        "voxels": ["10 x 20 x 30", "10 x 20 x 30"],
        "slices": ["axial", "axial"],
        "which": ["", "p3_v1"],
    }


def test_spacing_and_voxels_are_along_the_patient_and_not_along_the_file(make_exam):
    exam = make_exam()
    turned = exam.geometry.affine[:, [2, 0, 1, 3]]  # the file's axes grow to S, L, P
    geometry = replace(
        exam.geometry, affine=turned, to_canonical=canonical_axes(turned), shape_xyz=(30, 10, 20)
    )
    table = texts(grids_table([replace(exam, geometry=geometry)]))
    assert (table["axes"], table["spacing, mm"], table["voxels"]) == (
        ["SLP"],
        ["1 x 1 x 3"],
        ["10 x 20 x 30"],
    )


def test_many_kinds_of_grids_are_ten_and_the_others(make_exam):
    exams = [make_exam(f"p{n}", spacing=(1, 1, 1 + n)) for n in range(14)] + [make_exam("p14")]
    table = texts(grids_table(exams))
    assert table["exams"] == ["2", *["1"] * 9, "4"]
    assert table["axes"][-1] == "4 others"
    assert table["spacing, mm"][0] == "1 x 1 x 3"


def test_channels_have_a_typical_exam_and_the_ends(make_exam, tables_of):
    exams = [make_exam(f"p{n}", t1=(t1, 200)) for n, t1 in enumerate((310, 300, 320, 290, 3000))]
    table = tables_of(channels_table, exams)
    assert texts(table) == {
        "channel": ["t1", "adc"],
        "normalisation": ["zscore", "fixed 0 to 3"],
        "median": ["310 (290 to 3,000)", "1.2"],
        "spread": ["200", "1.5"],
        "clipped, %": ["", "2, 0.4"],
        "marked": ["1*", ""],
    }


def test_without_a_mask_channels_have_regions(make_exam, tables_of):
    exams = [make_exam(f"p{n}", region=share) for n, share in enumerate((0.3, 0.31, 0.3, 0.29, 0.9))]
    channels = texts(tables_of(channels_table, exams, mask=None))
    assert channels["region, %"] == ["30 (29 to 90)", ""]
    assert channels["marked"] == ["1*", ""]
    assert texts(tables_of(exams_table, exams, mask=None))["region of t1, %"] == [
        "30",
        "31",
        "30",
        "29",
        "90*",
    ]


def test_an_exam_has_a_row_and_what_is_the_same_in_all_is_left_out(make_exam, tables_of):
    exams = [make_exam("p1"), make_exam("p2", t1=(310, 190))]
    table = tables_of(exams_table, exams)
    assert texts(table) == {
        "patient": ["p1", "p2"],
        "exam": ["v1", "v1"],
        "core, ml": ["6", "6"],
        "oedema, ml": ["3", "3"],
        "mask, %": ["25", "25"],
        "t1": ["300 (200)", "310 (190)"],
        "adc": ["1.2 (1.5)", "1.2 (1.5)"],
    }
    assert RULE not in table.notes


def test_what_is_odd_about_an_exam_is_marked_in_its_row_and_said_in_words(make_exam, make_checked_study):
    exams = [make_exam(f"p{n}") for n in range(6)]
    exams.append(
        make_exam("p6", spacing=(1, 1, 6), directions=RAS, voxels=(1, 2000, 0), t1=(3000, 200), adc=(1.2, 15))
    )
    own = measured(exams, make_checked_study().cohort)
    table = exams_table(own)
    row = {name: cells[-1] for name, cells in texts(table).items()}
    assert row == {
        "patient": "p6",
        "exam": "v1",
        "axes": "RAS*",
        "spacing, mm": "1 x 1 x 6*",
        "core, ml": "12*",
        "oedema, ml": "0*",
        "mask, %": "25",
        "t1": "3,000* (200)",
        "adc": "1.2 (15*)",
    }
    assert [cell.marked for cell in table.rows[-1]] == [False, False, *[True] * 4, False, True, True]
    assert not any(cell.marked for row in table.rows[:-1] for cell in row)
    assert RULE in table.notes
    assert own.unusual == {
        6: (
            "axes RAS",
            "spacing along z 6 mm (cohort: 3 mm)",
            "core 12 ml (cohort: 6 ml)",
            "oedema 0 ml (cohort: 3 ml)",
            "median of t1 3,000 (cohort: 300)",
            "spread of adc 15 (cohort: 1.5)",
        )
    }


def test_a_class_that_many_exams_lack_is_no_mark(make_exam, make_checked_study):
    exams = [make_exam(f"p{n}", voxels=(5000, 1000, 1000 * (n > 1))) for n in range(10)]
    assert measured(exams, make_checked_study().cohort).unusual == {}


def test_three_thousand_exams_are_as_short_as_thirty(make_exam, make_checked_study, findings_of):
    study = make_checked_study()
    exams = [
        make_exam(
            f"patient-{n // 2:04}", f"2026-{n:05}", spacing=(1, 1, 1 + 0.1 * (n % 30)), t1=(300 + n % 7, 200)
        )
        for n in range(3000)
    ]
    for n in range(0, 3000, 50):
        exams[n] = make_exam(exams[n].patient, exams[n].files.visit, t1=(9000 + n, 200))
    own = measured(exams, study.cohort)
    tables = [*overview(findings_of(exams), study.cohort, own), unusual_table(own)]
    lines = [line for table in tables for line in plain_lines(table)]
    assert tables[-1].title == "60 exams of 3,000 with something unusual"
    assert len(tables[-1].rows) == 40
    assert "20 further exams with fewer marks: see the page (--output)." in tables[-1].notes
    assert len(lines) < 90
    assert max(map(len, lines)) < 330


def test_a_cohort_of_which_nothing_could_be_read_has_its_names(make_exam, make_checked_study, findings_of):
    found = findings_of([], unread=[make_exam("p1"), make_exam("p2")])
    assert found.problems == ()
    assert [table.title for table in overview(found, make_checked_study().cohort, None)] == [
        "Files as the patterns read them",
        "2 exams of 2 patients",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.12345, "0.123"), (12.345, "12.3"), (999.4, "999"), (1234.5, "1,234"), (-2.5, "−2.5")],
)
def test_numbers_have_three_digits(value, text):
    assert significant(value) == text
