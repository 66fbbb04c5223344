"""The contents of a report, written from Python."""

import dataclasses
import json
import math

import numpy as np
import pytest

from tests.evaluate.made_up_scores import track, track_energies
from tests.evaluate.report.html_page import Page
from tests.evaluate.report.report_songs import (
    RATE_HZ,
    noise,
    read_track_script,
    write_scores,
    write_stems,
)
from waveunet_tf.data.datasets import find_tracks
from waveunet_tf.evaluate import energies, scores
from waveunet_tf.evaluate.report import contents, html_tables
from waveunet_tf.evaluate.systems import read_scores

HALVES = ("accompaniment", "vocals")


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    """Two songs, of which `instrumental` has no vocals, and scores of two systems."""
    root = tmp_path_factory.mktemp("songs")
    for seed, name in enumerate(["instrumental", "song"]):
        stems = {
            source: noise(3, seed=10 * seed + place, channels=1)
            for place, source in enumerate(HALVES)
        }
        if name == "instrumental":
            stems["vocals"][:] = 0
        write_stems(root / "data", name, stems)
        vocals = [math.nan] * 3 if name == "instrumental" else [3.0, 4.0, 5.0]
        for system, gain in (("ours", 0), ("theirs", -2)):
            values = {"accompaniment": [8.0, 9.0 + gain, 10.0], "vocals": vocals}
            write_scores(root / system, name, values)
    return root


@pytest.fixture
def systems(songs):
    folders = {name: songs / name for name in ("ours", "theirs")}
    return read_scores(folders, left_out=pytest.fail)


def listening_of(songs, **options):
    data = {
        track.name: track for track in find_tracks(songs / "data", subsets=("test",))
    }
    return contents.Listening(["instrumental", "song"], data, **options)


def test_energies_beside_the_scores_give_their_metrics_and_figures(songs, tmp_path):
    tracks = scores.read_system(songs / "ours")
    stems = {"vocals": noise(3.5, seed=1), "accompaniment": noise(3.5, seed=2)}
    halves = {source: 0.5 * samples for source, samples in stems.items()}
    own = {
        name: energies.measure_energies(name, stems, halves, RATE_HZ) for name in tracks
    }
    summaries, _ = contents.summarize_all({"a": tracks}, {"a": own})
    # An error of half the source: 20 log10 2, for every track.
    text = html_tables.summary_tables(summaries, [])
    rows = [row for row in Page(text).rows if "vocals" in row]
    assert rows[-1][2:7] == ["6.02", "0.00", "6.02", "0.00", "6.02"]
    pictures = contents.draw_figures(tmp_path, {"a": tracks}, {"a": own})
    assert [picture.stem for picture in pictures] == [
        "distributions",
        "by_energy",
        "quietest_left_out",
    ]
    assert {path.name for path in tmp_path.iterdir()} == {
        f"{picture.stem}.{suffix}" for picture in pictures for suffix in ("png", "svg")
    }


def test_without_energies_only_musevals_metrics_and_one_figure_are_there(
    systems, tmp_path
):
    nothing = {system: {} for system in systems}
    summaries, comparisons = contents.summarize_all(systems, nothing)
    assert list(summaries["ours"]) == ["SDR", "ISR", "SIR", "SAR"]
    assert {test.metric for test in comparisons} == {"SDR"}
    pictures = contents.draw_figures(tmp_path, systems, nothing)
    assert [picture.stem for picture in pictures] == ["distributions"]


def test_a_metric_that_a_system_cannot_have_is_a_warning(caplog):
    scored = {"a": track("a", vocals=[1, 2])}
    # As where the true stems are measured, and no estimate.
    true = dataclasses.replace(track_energies("a", [-10, -20]), estimate={})
    with caplog.at_level("WARNING", logger="absl"):
        summaries, _ = contents.summarize_all({"x": scored}, {"x": {"a": true}})
    assert list(summaries["x"]) == ["SDR", "ISR", "SIR", "SAR", "wSDR", "nSDR"]
    (warning,) = [record.getMessage() for record in caplog.records]
    assert "x: PES is left out: a: has no energies of the estimate" in warning


def test_a_report_is_written_from_python_with_a_song_without_vocals(
    songs, systems, tmp_path
):
    listening = listening_of(
        songs,
        estimators={
            "ours": contents.estimator_named("mixture"),
            "absent": contents.estimator_named("mixture"),
        },
        audio_format="flac",
    )
    nothing = {system: {} for system in systems}
    contents.write_report(tmp_path, systems, nothing, listening, pytest.fail)
    assert {path.name for path in tmp_path.iterdir()} == {
        *("index.html", "assets", "figures", "tracks", "summary.csv", "summary.json")
    }
    text = (tmp_path / "summary.json").read_text(encoding="utf-8")
    rows = {
        (row["system"], row["source"]): row
        for row in json.loads(text)["summaries"]
        if row["metric"] == "SDR"
    }
    assert rows["ours", "vocals"]["nan_frames"] == 3
    assert rows["ours", "vocals"]["median"] == 4
    assert rows["theirs", "accompaniment"]["median"] == 8
    first = read_track_script(tmp_path / "tracks" / "1.js")
    assert first["name"] == "instrumental"
    lanes = [[lane["title"] for lane in group["lanes"]] for group in first["groups"]]
    assert lanes == [["mixture"], *2 * [["true stem", "ours"]]]
    vocals = first["groups"][2]
    assert np.abs(vocals["lanes"][0]["peaks"]).max() == 0
    assert [series["sdr"] for series in vocals["chart"]["series"]] == [[None] * 3] * 2


def test_systems_of_other_sources_are_heard_beside_each_other(tmp_path):
    parts = {
        source: noise(1, seed=seed)
        for seed, source in enumerate(("bass", "drums", "vocals"))
    }
    halves = {**parts, "accompaniment": parts["bass"] + parts["drums"]}
    del halves["bass"], halves["drums"]
    write_stems(tmp_path / "data", "song", parts)
    for name, stems in (("two", halves), ("three", parts)):
        write_scores(tmp_path / name, "song", {source: [1.0] for source in stems})
        write_stems(tmp_path / f"{name} stems", "song", stems)
    folders = {name: tmp_path / name for name in ("two", "three")}
    (song,) = find_tracks(tmp_path / "data")
    listening = contents.Listening(
        ["song"],
        {"song": song},
        {
            name: contents.estimator_named(str(tmp_path / f"{name} stems"))
            for name in folders
        },
    )
    systems = read_scores(folders, left_out=pytest.fail)
    contents.write_listening(tmp_path / "tracks", systems, listening, pytest.fail)
    groups = read_track_script(tmp_path / "tracks" / "1.js")["groups"]
    heard = {
        group["title"]: [lane["title"] for lane in group["lanes"]] for group in groups
    }
    assert heard == {
        "mixture": ["mixture"],
        "accompaniment": ["true stem", "two"],
        "bass": ["true stem", "three"],
        "drums": ["true stem", "three"],
        "vocals": ["true stem", "two", "three"],
    }


def test_a_track_that_cannot_be_read_is_named_and_the_next_is_written(
    songs, systems, tmp_path
):
    listening = listening_of(songs, start_seconds=2.0)
    broken = find_tracks(write_stems(tmp_path / "x", "instrumental", {
        source: noise(1, seed=1) for source in HALVES
    }).parents[1], subsets=("test",))  # fmt: skip
    listening.data["instrumental"] = broken[0]
    errors = []
    written = contents.write_listening(
        tmp_path / "tracks", systems, listening, errors.append
    )
    assert written == ["song"]
    (error,) = errors
    assert "before its end at 1.0 s. Received: 2" in str(error)
    assert read_track_script(tmp_path / "tracks" / "1.js")["name"] == "song"


def test_estimators_are_baselines_by_name_or_folders():
    assert contents.estimator_named("oracle_irm").kind == "oracle_irm"
    folder = contents.estimator_named("stems/m4")
    assert (folder.kind, folder.path) == ("estimates_dir", "stems/m4")
