"""Tables sort in a browser, by a click and by the keyboard."""

import json
import re
from html import unescape

import pytest

from tests.submit.report.browser import CHROMIUM, body_of

ACT = """<script>
onload = () => {
    const table = document.querySelector('#verdicts ~ table'), heads = [...table.tHead.querySelectorAll('th')];
    const first = () => [...table.tBodies[0].rows].map(row => row.cells[0].textContent);
    const said = [first()];
    const press = column => { heads[column].querySelector('button').click(); said.push(first()); };
    press(2);
    said.push(heads.map(head => head.getAttribute('aria-sort')));
    press(2);
    said.push(heads.map(head => head.getAttribute('aria-sort')));
    press(0);
    const buttons = [...document.querySelectorAll('table.sorts thead button')];
    const whole = buttons.every(button => button.closest('th') && button.tabIndex === 0 && button.type === 'button');
    buttons[0].focus();
    said.push([whole, document.activeElement === buttons[0]]);
    const map = document.querySelector('.map');
    map.querySelectorAll('thead button')[3].click();
    said.push([...map.tBodies[0].rows].map(row => row.cells[3].textContent));
    document.body.innerHTML = '<pre>' + JSON.stringify(said) + '</pre>';
};
</script>"""


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_table_sorts_up_then_down_by_the_column_that_is_pressed(decided, page_of, tmp_path):
    file = tmp_path / "page.html"
    file.write_text(page_of(decided).html.replace("</body>", f"{ACT}</body>"))
    body = body_of(file, tmp_path / "profile")
    (told,) = re.findall(r"<pre>(.*)</pre>", body)
    before, up, marked_up, down, marked_down, by_name, reachable, of_map = json.loads(unescape(told))

    # Changes of −0.217 and 0.000, with a minus sign and an interval behind each.
    assert before == up == ["without t2", "without t1"]
    assert marked_up == [None, None, "ascending", None]
    assert down == ["without t1", "without t2"]
    assert marked_down == [None, None, "descending", None]
    assert by_name == ["without t1", "without t2"]
    assert reachable == [True, True]
    values = [float(value.split()[0].replace("−", "-")) for value in of_map]
    assert values == sorted(values)


SHOW = """<script>
onload = () => {
    const image = document.querySelector('figure.chart img');
    document.body.innerHTML = '<pre>' + (image.currentSrc === image.src ? 'wide' : 'narrow') + '</pre>';
};
</script>"""


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.parametrize(("width", "kind"), [(1280, "wide"), (600, "narrow")])
def test_a_telephone_gets_the_narrow_charts(decided, written, tmp_path, width, kind):
    file = tmp_path / "page.html"
    file.write_text(written(decided).html.replace("</body>", f"{SHOW}</body>"))
    assert f"<pre>{kind}</pre>" in body_of(file, tmp_path / "profile", f"--window-size={width},900")
