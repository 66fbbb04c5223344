"""The page of a report, its place and its parts."""

import hashlib
import json
import pathlib
import re

import pytest

from tests.evaluate.report.html_page import Page
from waveunet_tf.evaluate import figures
from waveunet_tf.evaluate.report import page

ROOM = pathlib.Path(page.__file__).parent


def written(folder, **parts):
    """Writes a page of these parts; returns its text."""
    options = {"tables": "", "pictures": [], "tracks": [], "tracks_scored": 2}
    page.write_index(folder, systems=["a", "<b>"], **{**options, **parts})
    return (folder / "index.html").read_text(encoding="utf-8")


def test_a_page_has_only_the_sections_that_have_content(tmp_path):
    picture = page.Picture("by_energy", 'SDR "by" level')
    for parts, sections in [
        ({}, ["scores"]),
        ({"tracks": ["one"]}, ["scores", "listen"]),
        ({"pictures": [picture]}, ["scores", "figures"]),
    ]:
        text = written(tmp_path, **parts)
        assert re.findall('<section id="([a-z]+)"', text) == sections
        links = [link for link in Page(text).links if link.startswith("#")]
        assert links == [f"#{section}" for section in sections]
        # A page without a player loads no scripts.
        assert ("<script src=" in text) == ("listen" in sections)


def test_pictures_are_shown_small_and_linked_large(tmp_path):
    picture = page.Picture("by_energy", 'SDR "by" level')
    parsed = Page(written(tmp_path, pictures=[picture]))
    assert parsed.links[-2:] == ["figures/by_energy.svg", "figures/by_energy.png"]
    assert "SDR &quot;by&quot; level" in (tmp_path / "index.html").read_text()


def test_the_player_knows_the_systems_colours_and_the_tracks_numbers(tmp_path):
    text = written(tmp_path, tracks=["one & two", "three"])
    parsed = Page(text)
    assert json.loads(parsed.systems) == [
        {"name": "a", "colour": figures.color_of(0)},
        {"name": "<b>", "colour": figures.color_of(1)},
    ]
    assert parsed.options == ["one & two", "three"]
    assert re.findall('<option value="([0-9])"', text) == ["1", "2"]


@pytest.mark.parametrize(("count", "shown"), [(1, "1 track"), (3, "3 tracks")])
def test_the_page_counts_the_tracks_with_scores(count, shown, tmp_path):
    assert f"{shown} with scores of all systems" in written(
        tmp_path, tracks_scored=count
    )


def test_names_that_are_not_unicode_leave_a_page_that_can_be_read(tmp_path):
    text = written(tmp_path, tracks=["\udcff from a file system"])
    assert Page(text).options == ["\\udcff from a file system"]


def test_all_that_a_page_loads_is_copied_beside_it(tmp_path):
    page.write_assets(tmp_path)
    text = written(tmp_path, tracks=["one"])
    loaded = [link for link in Page(text).links if link.startswith("assets/")]
    assert len(loaded) == 11
    assert all((tmp_path / link).is_file() for link in loaded)
    assert (tmp_path / "assets" / "licences" / "uPlot.txt").is_file()


def test_the_bundled_libraries_are_those_that_the_table_names():
    table = (ROOM / "README.md").read_text(encoding="utf-8")
    named = dict(re.findall(r"^\| `([^`]+)` .* `([0-9a-f]{64})` \|$", table, re.M))
    files = [path for path in (ROOM / "vendor").iterdir() if path.is_file()]
    assert named == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }
    licences = {path.stem for path in (ROOM / "vendor/licences").iterdir()}
    assert licences == {"uPlot"}
