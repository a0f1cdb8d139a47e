import re
from html.parser import HTMLParser

import numpy as np
import pytest

from job.storage.local import LocalStorage
from submit.check.page import Check, write_pages
from submit.check.pictures import Album


class Shown(HTMLParser):
    """What a page says and where it points to."""

    def __init__(self, html):
        super().__init__()
        self.html, self.text, self.points, self.alts, self.scripts = html, "", [], [], 0
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.points += [found[name] for name in ("src", "href") if name in found]
        self.alts += [found["alt"]] if "alt" in found else []
        self.scripts += tag == "script"

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def pictures_of():
    """An album with a picture of every channel of exams."""

    def make(exams, channels=2):
        album, image = Album(), np.random.default_rng(0).normal(0, 1, (4, 12, 10)).astype(np.float32)
        label = np.zeros(image.shape, np.uint8)
        label[2, 3:6, 3:6] = 1
        for exam in exams:
            with album.watch(exam.files) as seen:
                for position in range(channels):
                    seen(position, image, label, exam.geometry)
        return album.exams

    return make


@pytest.fixture
def written(make_checked_study, findings_of, pictures_of, tmp_path):
    """The pages of exams by name, in the order of their names."""

    def write(exams, pictures=None, **found):
        check = Check(
            study=make_checked_study(),
            found=findings_of(exams, **found),
            pictures=pictures_of(exams) if pictures is None else pictures,
        )
        write_pages(LocalStorage(tmp_path / "page"), check)
        return {path.name: Shown(path.read_text()) for path in sorted((tmp_path / "page").glob("*.html"))}

    return write


def test_a_page_shows_every_exam_with_a_picture_of_each_channel(written, make_exam):
    (page,) = written([make_exam("p1"), make_exam("p2", "v2")]).values()
    assert page.alts == [
        f"{channel} of {exam}, {plane}"
        for exam in ("p1_v1", "p2_v2")
        for channel, plane in (("t1", "axial"), ("adc", "axial"), ("t1", "coronal"), ("t1", "sagittal"))
    ]
    assert "2 exams of 2 patients" in page.text
    assert page.text.count("core 6 ml, oedema 3 ml; slice 3 of 4 from below") == 2


def test_a_page_needs_nothing_but_itself(written, make_exam):
    (page,) = written([make_exam("p1"), make_exam("p2")]).values()
    assert page.points
    for point in page.points:
        assert point.startswith(("data:image/webp;base64,", "#", "check.html#"))
    assert "url(" not in page.html


def test_names_with_markup_are_text(written, make_exam):
    evil = '<img src=x onerror="alert(1)">'
    exam = make_exam(evil, "</script>&amp;")
    pages = written([exam], problems={exam.files.channels[0].key: evil}, warnings={evil: evil})
    page = pages["check.html"]
    assert page.text.count(evil) >= 4
    assert page.scripts == 1
    assert all(point.startswith(("data:", "#", "check.html#")) for point in page.points)
    assert page.alts[0] == f"t1 of {evil}_</script>&amp;, axial"


def test_what_is_wrong_or_odd_is_said_at_the_top_and_beside_the_exams_pictures(written, make_exam):
    good, bad = make_exam("p1"), make_exam("p2")
    (page,) = written(
        [good],
        unread=[bad],
        problems={"p2/v1/adc.nii.gz": "a damaged file"},
        warnings={"p1/v1/label.nii.gz": "odd labels"},
    ).values()
    assert "1 problem: nothing can be trained" in page.text
    top, _, pictures = page.text.partition("Pictures\n")
    assert "a damaged file" in top
    assert "odd labels" in top
    assert "problem: p2/v1/adc.nii.gz: a damaged file" in pictures
    assert "warning: p1/v1/label.nii.gz: odd labels" in pictures


def test_a_channel_that_could_not_be_read_leaves_a_gap(written, make_exam, pictures_of):
    exam = make_exam("p1")
    (page,) = written([], pictures_of([exam], channels=1), unread=[exam]).values()
    assert page.alts == ["t1 of p1_v1, axial", "t1 of p1_v1, coronal", "t1 of p1_v1, sagittal"]
    assert page.text.count("not read") == 1


def test_an_exam_without_pictures_is_named_all_the_same(written, make_exam):
    (page,) = written([], {}, unread=[make_exam("p7")], problems={"p7/v1/label.nii.gz": "no labels"}).values()
    assert page.alts == []
    assert "problem: p7/v1/label.nii.gz: no labels" in page.text


def test_marks_are_in_the_table_in_the_strips_and_beside_the_pictures(written, make_exam):
    exams = [*(make_exam(f"p{n}") for n in range(6)), make_exam("p6", t1=(3000, 200))]
    (page,) = written(exams).values()
    assert "only the 1 exam with a mark" in page.text
    assert "3,000* (200)" in page.text
    assert "Unusual: median of t1 3,000 (cohort: 300)" in page.text
    assert page.html.count('<tr class="odd">') == 1
    assert page.html.count('class="marked"><title>p6_v1: 3,000</title>') == 1
    assert page.points.count("check.html#exam-7") == 2  # from the strip and the table


def test_a_hundred_exams_have_pictures_on_a_page_and_the_first_has_the_table_of_all(written, make_exam):
    exams = [make_exam(f"p{n:03}") for n in range(201)]
    pages = written(exams)
    assert list(pages) == ["check-2.html", "check-3.html", "check.html"]
    assert [len(page.alts) for page in pages.values()] == [400, 4, 400]
    assert pages["check-3.html"].alts[0] == "t1 of p200_v1, axial"
    assert [page.html.count("data-number=") > 0 for page in pages.values()] == [False, False, True]
    links = pages["check.html"].points
    for point in (
        "check.html#exam-100",
        "check-2.html#exam-101",
        "check-3.html#exam-201",
        "check-3.html#pictures",
    ):
        assert point in links
    for name, exam in (("check.html", 100), ("check-2.html", 101), ("check-3.html", 201)):
        assert f'id="exam-{exam}"' in pages[name].html


def test_the_pages_of_a_larger_cohort_go_and_nothing_else_does(written, make_exam, tmp_path):
    written([make_exam(f"p{n:03}") for n in range(101)])
    for name in ("check-notes.html", "check-2.html.bak"):
        (tmp_path / "page" / name).write_text("mine")
    assert list(written([make_exam("p1")])) == ["check-notes.html", "check.html"]
    assert (tmp_path / "page" / "check-2.html.bak").exists()


def test_the_same_cohort_gives_the_same_page(written, make_exam):
    exams = [make_exam("p1"), make_exam("p2")]
    assert written(exams)["check.html"].html == written(exams)["check.html"].html


def test_every_class_has_a_colour_in_the_key_and_along_its_outline(written, make_exam):
    (page,) = written([make_exam()]).values()
    assert re.findall(r'class="key" style="--colour: (#\w+)">(\w+)<', page.html) == [
        ("#E69F00", "core"),
        ("#56B4E9", "oedema"),
    ]
    assert set(re.findall(r'<path d="[^"]+" stroke="(#\w+)"/>', page.html)) == {"#E69F00"}
