"""The page's tables, read as a browser reads HTML."""

import math
import re

import pytest

from tests.evaluate.report.html_page import Page
from waveunet_tf.evaluate import figures
from waveunet_tf.evaluate.report import html_tables
from waveunet_tf.evaluate.summary import Comparison, Summary

VOCALS = Summary(1.234, 2.0, -3.0, 4.0, 5.0, 60, 7, 8, 4.5, 5.5)
SILENT = Summary(*[math.nan] * 5, 3, 3, 1, math.nan, math.nan)


def test_a_row_has_the_numbers_of_its_summary():
    text = html_tables.summary_tables({"ours": {"SDR": {"vocals": VOCALS}}}, [])
    heads, row = Page(text).rows
    assert heads[:3] == ["source", "system", "median"]
    values = "1.23 2.00 −3.00 4.00 5.00".split()
    assert row == ["vocals", "ours", *values, "4.50 to 5.50", "60", "7", "8"]


def test_a_source_without_any_score_has_dashes_and_counts():
    systems = {"ours": {"SDR": {"vocals": SILENT, "drums": VOCALS}}}
    _, drums, vocals = Page(html_tables.summary_tables(systems, [])).rows
    assert drums[0] == "drums"
    assert vocals == ["vocals", "ours", *["–"] * 6, "3", "3", "1"]


def test_a_source_heads_the_rows_of_the_systems_that_have_it():
    systems = {
        "one": {"SDR": {"vocals": VOCALS}},
        "two": {"SDR": {"vocals": VOCALS, "bass": VOCALS}},
        "three": {"SIR": {"vocals": VOCALS}},
    }
    text = html_tables.summary_tables(systems, [])
    sdr, sir = text.split("</details>")[:2]
    assert [row[:2] for row in Page(sdr + "</details>").rows[1:]] == [
        ["bass", "two"],
        ["vocals", "one"],
        ["two", "1.23"],
    ]
    assert [row[:2] for row in Page(sir + "</details>").rows[1:]] == [
        ["vocals", "three"]
    ]
    assert re.findall(r'rowspan="(\d)"', sdr) == ["1", "2"]
    # A system has the colour that it has in the figures.
    colours = re.findall(r"background:(#\w+)", text)
    assert colours == [figures.color_of(place) for place in (1, 0, 1, 2)]


@pytest.mark.parametrize(("p_value", "shown"), [(0.00012345, "0.00012"), (1.0, "1")])
def test_a_comparison_shows_difference_p_and_tracks(p_value, shown):
    test = Comparison("a<b", "c&d", "vocals", "SDR", 8, -0.5, p_value)
    text = html_tables.summary_tables({}, [test])
    assert Page(text).rows[1] == ["vocals", "a<b − c&d", "−0.50", shown, "8"]


def test_a_comparison_without_tracks_has_dashes():
    test = Comparison("a", "b", "vocals", "SDR", 0, math.nan, math.nan)
    row = Page(html_tables.summary_tables({}, [test])).rows[1]
    assert row == ["vocals", "a − b", "–", "–", "0"]


def test_every_metric_is_defined_and_only_the_first_table_is_open():
    metrics = ("SDR", "ISR", "SIR", "SAR", "PES", "wSDR", "nSDR")
    systems = {"x": {metric: {"vocals": VOCALS} for metric in metrics}}
    text = html_tables.summary_tables(systems, [])
    assert text.count("<details open>") == 1 and text.startswith("<details open>")
    assert re.findall("<summary>(.*?)</summary>", text) == list(metrics)
    notes = re.findall('<p class="note">(.*?)</p>', text)
    assert len(set(notes)) == len(metrics)
