import csv
import io
import json
import math

import pytest

from waveunet_tf.evaluate import tables
from waveunet_tf.evaluate.summary import Comparison, Summary

VOCALS = Summary(1.234567, 2.0, 3.0, 4.0, 5.0, 60, 7, 8, 4.5, 5.5)
SILENT = Summary(*[math.nan] * 5, 3, 3, 1, math.nan, math.nan)
SYSTEMS = {
    "ours": {"SDR": {"vocals": VOCALS, "bass|low": SILENT}, "SIR": {"vocals": VOCALS}},
    "theirs, old": {"SDR": {"vocals": VOCALS}},
}
TEST = Comparison("ours", "theirs, old", "vocals", "SDR", 8, -0.5, 0.00012345)


def test_csv_has_the_promised_columns_and_is_read_back():
    text = tables.format_summaries(SYSTEMS, "csv", comparisons=[TEST])
    heading, *rows = csv.reader(io.StringIO(text))
    assert heading == (
        "system,source,metric,median,mad,mean,sd,track_median,frames,nan_frames,tracks"
    ).split(",")
    assert rows[0][:4] == ["ours", "bass|low", "SDR", "nan"]
    assert rows[1] == "ours vocals SDR 1.23457 2.0 3.0 4.0 5.0 60 7 8".split()
    assert [row[0] for row in rows] == ["ours", "ours", "theirs, old", "ours"]


def test_json_has_everything_and_null_for_nan():
    result = json.loads(tables.format_summaries(SYSTEMS, "json", comparisons=[TEST]))
    assert result["summaries"][0]["median"] is None
    assert result["summaries"][1]["median"] == 1.234567
    assert result["summaries"][1]["track_median_high"] == 5.5
    assert result["comparisons"][0]["p_value"] == 0.00012345


def test_text_is_aligned_and_shows_intervals_and_tests():
    table, title, tests = tables.format_summaries(SYSTEMS, comparisons=[TEST]).split(
        "\n\n"
    )
    lines = table.splitlines()
    assert lines[2].split() == (
        "ours vocals SDR 1.23 2.00 3.00 4.00 5.00 4.50 to 5.50 60 7 8".split()
    )
    assert len({line.index("SDR") for line in lines[1:4]}) == 1
    assert len({len(line) for line in lines}) == 1
    assert "Wilcoxon" in title
    assert tests.splitlines()[1].split()[-2:] == ["-0.50", "0.00012"]


def test_what_was_not_measured_is_a_dash_in_text_and_empty_in_csv():
    rows = [{"system": "a", "seconds": 1.0}, {"system": "b", "seconds": None}]
    text = tables.format_rows(["system", "seconds"], rows, "text")
    assert text.splitlines()[2].split() == ["b", "–"]
    assert tables.format_rows(["system", "seconds"], rows, "csv").endswith("\nb,")


def test_markdown_is_a_table():
    lines = tables.format_summaries(SYSTEMS, "markdown").splitlines()
    assert len(lines) == 6
    assert set(lines[1]) == set("|- :")
    assert r"bass\|low" in lines[2]
    assert {line.replace(r"\|", "").count("|") for line in lines} == {13}


@pytest.mark.parametrize("form", tables.FORMATS)
def test_a_table_without_rows_is_only_its_heading(form):
    text = tables.format_rows(["a", "b"], [], form)
    assert json.loads(text) == [] if form == "json" else text.split()
