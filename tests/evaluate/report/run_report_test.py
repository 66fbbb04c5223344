"""The report as files: what the page says, what it loads, what it refuses."""

import json
import math
import os
import re

import matplotlib.image
import numpy as np
import pytest
import soundfile

from tests import command_line
from tests.evaluate.report.html_page import Page
from tests.evaluate.report.report_songs import (
    RATE_HZ,
    decode,
    noise,
    read_peaks,
    read_track_script,
    write_scores,
    write_stems,
)
from waveunet_tf.system import own_folders

# They share a report.
pytestmark = pytest.mark.xdist_group("report")

ROOM = command_line.ROOT / "evaluate" / "report"
# Names that would break a page that does not escape them.
SYSTEM = """o'urs </script><b>&"1" $title"""
TRACK = "Ünï & <i>'so\" ♫ 50%"
SECONDS = 4
NAMES = {"index.html", "assets", "figures", "tracks", "summary.csv", "summary.json"}


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    """Two songs, estimates of one system, and scores of it and of a baseline."""
    root = tmp_path_factory.mktemp("songs")
    for seed, name in enumerate([TRACK, "plain"]):
        stems = {
            source: noise(SECONDS, seed=10 * seed + place)
            for place, source in enumerate(["accompaniment", "vocals"])
        }
        write_stems(root / "data", name, stems)
        estimates = {source: 0.5 * samples for source, samples in stems.items()}
        write_stems(root / "estimates", name, estimates)
        for system, level in [("ours", 5.25), ("baseline", -3.5)]:
            write_scores(
                root / system,
                name,
                {
                    "accompaniment": [level + seed, level + 2, math.nan, -40.0],
                    "vocals": [level - 1, level + seed, level + 3, level - 2],
                },
            )
    return root


def run_report(*arguments):
    return command_line.run_here("waveunet_tf report", *arguments)


def report_of(songs, output, *arguments):
    """Runs the command on the songs with both systems."""
    return run_report(
        f"{SYSTEM}={songs / 'ours'}",
        f"baseline={songs / 'baseline'}",
        f"--data_dir={songs / 'data'}",
        f"--output_dir={output}",
        *arguments,
    )


@pytest.fixture(scope="module")
def report(songs, tmp_path_factory):
    """The folder of a report on both songs, as the command makes it."""
    output = tmp_path_factory.mktemp("made") / "report"
    result = report_of(songs, output, f"--estimates={SYSTEM}={songs / 'estimates'}")
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"{output}/index.html\n"
    return output


@pytest.fixture(scope="module")
def parsed(report):
    return Page((report / "index.html").read_text(encoding="utf-8"))


def test_the_page_is_well_formed_and_loads_only_what_lies_beside_it(report, parsed):
    assert len(parsed.ids) == len(set(parsed.ids))
    for link in parsed.links:
        if link.startswith("#"):
            assert link[1:] in parsed.ids
        elif link != "data:,":
            assert re.fullmatch(r"[\w./-]+", link)
            assert (report / link).is_file()
    for path in report.glob("assets/*.css"):
        assert "url(" not in path.read_text(encoding="utf-8")
    for path in (ROOM / "web").iterdir():
        assert "://" not in path.read_text(encoding="utf-8")
    assert {path.name for path in report.iterdir()} == {*NAMES, own_folders.LIST}


def test_only_reports_are_overwritten(songs, tmp_path):
    site = tmp_path / "site"
    for name in ("index.html", "assets/style.css", "tracks/song.wav"):
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text("mine")
    result = report_of(songs, site, "--overwrite")
    command_line.check_refusal(
        result, 1, "site: --overwrite replaces a report only", "assets/style.css"
    )
    assert (site / "tracks" / "song.wav").read_text() == "mine"


def test_names_are_shown_as_they_are_and_never_as_markup(report, parsed):
    assert "b" not in parsed.tags and "i" not in parsed.tags
    assert set(parsed.options) == {TRACK, "plain"}
    assert [system["name"] for system in json.loads(parsed.systems)] == [
        SYSTEM,
        "baseline",
    ]
    # Sources × metrics: museval's, and what the energy of true sources gives.
    assert sum(SYSTEM in row for row in parsed.rows) == 2 * 5
    names = [read_track_script(report / f"tracks/{n}.js")["name"] for n in (1, 2)]
    assert names == parsed.options


def test_the_tables_have_the_statistics_of_the_scores(parsed):
    # Vocals of `ours`, in one track after the other.
    frames = np.array([4.25, 5.25, 8.25, 3.25, 4.25, 6.25, 8.25, 3.25])
    expected = [
        np.median(frames),
        np.median(np.abs(frames - np.median(frames))),
        frames.mean(),
        frames.std(),
        (4.75 + 5.25) / 2,
    ]
    rows = [row for row in parsed.rows if SYSTEM in row]
    (sdr,) = [row for row in rows[:2] if "vocals" in row]
    assert sdr[2:7] == [f"{value:.2f}" for value in expected]
    assert sdr[7] == "4.75 to 5.25"
    assert sdr[8:] == ["8", "0", "2"]
    (other,) = [row for row in rows[:2] if "accompaniment" in row]
    assert other[8:] == ["8", "2", "2"]
    baseline = [row for row in parsed.rows if "baseline" in row]
    assert baseline[0][1] == "−3.00"  # of -40, -40, -3.5, -2.5, -1.5, -1.5


def test_summaries_and_pictures_lie_beside_the_page(report):
    lines = (report / "summary.csv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1 + 2 * 2 * 5  # systems × sources × metrics
    summary = json.loads((report / "summary.json").read_text(encoding="utf-8"))
    assert len(summary["comparisons"]) == 2  # sources
    for name in ("distributions", "by_energy", "quietest_left_out"):
        assert matplotlib.image.imread(report / f"figures/{name}.png").ndim == 3


def test_a_track_has_the_audio_of_its_stems_in_step(songs, report):
    track = read_track_script(report / "tracks/1.js")
    assert (track["start"], track["duration"]) == (0, SECONDS)
    lanes = {
        (group["title"], lane["title"]): lane
        for group in track["groups"]
        for lane in group["lanes"]
    }
    assert [title for _, title in lanes] == ["mixture", *2 * ["true stem", SYSTEM]]
    folder = songs / "data/test" / track["name"]
    vocals, _ = soundfile.read(folder / "vocals.wav")
    for lane, gain in [("true stem", 1), (SYSTEM, 0.5)]:
        heard, rate_hz = decode(lanes["vocals", lane])
        assert rate_hz == 48000
        heard = heard[::6][: len(vocals)]  # to 8000 Hz; the noise goes up to 4000 Hz
        level = np.sum(heard * vocals) / np.sum(vocals**2)
        assert level == pytest.approx(gain, rel=0.05)
        likeness = np.corrcoef(heard[:, 0], vocals[:, 0])[0, 1]
        shifted = np.corrcoef(heard[1:, 0], vocals[:-1, 0])[0, 1]
        assert likeness > 0.9 and abs(shifted) < 0.3


def test_flac_keeps_the_samples_and_only_the_part_that_was_asked_for(songs, tmp_path):
    result = report_of(
        songs,
        tmp_path / "report",
        f"--estimates={SYSTEM}={songs / 'estimates'}",
        "--estimates=baseline=oracle_irm",
        "--tracks=plain",
        "--audio_format=flac",
        "--start_seconds=1.5",
        "--duration_seconds=2",
    )
    assert result.returncode == 0, result.stderr
    track = read_track_script(tmp_path / "report/tracks/1.js")
    assert (track["start"], track["duration"]) == (1.5, 2)
    lane = track["groups"][2]["lanes"][0]
    heard, rate_hz = decode(lane)
    vocals, _ = soundfile.read(songs / "data/test/plain/vocals.wav")
    assert rate_hz == RATE_HZ
    expected = vocals[12000:28000]
    np.testing.assert_allclose(heard, expected, atol=2 * 2**-15)
    # The masks of a baseline add up to one.
    masked = sum(decode(group["lanes"][2])[0] for group in track["groups"][1:])
    mixture = stem_sum(songs)[12000:28000]
    np.testing.assert_allclose(masked, mixture, atol=5 * 2**-15)
    # The waveform's points are the extremes of equal pieces, to a common scale.
    scale = np.abs(read_peaks(track)).max() / np.abs(mixture).max()
    pieces = expected[:13].max(), expected[:13].min()
    np.testing.assert_allclose(
        [lane["peaks"][0][0] / scale, lane["peaks"][1][0] / scale], pieces, atol=1e-3
    )
    # Seconds 1, 2 and 3 are heard; those of 8.25 and 3.25 whole.
    (series, _) = track["groups"][2]["chart"]["series"]
    assert series["times"] == [1, 2, 3] and series["sdr"] == [6.25, 8.25, 3.25]


def stem_sum(songs):
    folder = songs / "data/test/plain"
    return sum(soundfile.read(path)[0] for path in folder.iterdir())


def test_scores_over_time_are_those_of_the_files_with_gaps_for_nan(report):
    track = read_track_script(report / "tracks/1.js")
    assert track["name"] == "plain" or track["name"] == TRACK
    place = ["plain", TRACK].index(track["name"])
    accompaniment, vocals = (group["chart"] for group in track["groups"][1:])
    seed = 1 - place
    assert [series["system"] for series in vocals["series"]] == [0, 1]
    assert accompaniment["series"][0]["sdr"] == [5.25 + seed, 7.25, None, -40.0]
    assert vocals["series"][1]["sdr"] == [-4.5, -3.5 + seed, -0.5, -5.5]
    assert accompaniment["low"] == -26  # the axis leaves out what is far below
    assert accompaniment["high"] > 7.25


def test_without_data_there_is_no_player_and_no_script(songs, tmp_path):
    result = run_report(f"a={songs / 'ours'}", f"--output_dir={tmp_path / 'report'}")
    assert result.returncode == 0, result.stderr
    parsed = Page((tmp_path / "report/index.html").read_text(encoding="utf-8"))
    assert "script" not in parsed.tags and "#listen" not in parsed.links
    assert len([row for row in parsed.rows if "vocals" in row]) == 4  # metrics


def lines_of(result):
    assert "Traceback" not in result.stderr
    return [line for line in result.stderr.splitlines() if line.startswith("error: ")]


def test_estimates_that_do_not_fit_are_named_and_the_rest_is_done(songs, tmp_path):
    estimates = tmp_path / "estimates"
    longer = {"accompaniment": noise(SECONDS, seed=1), "vocals": noise(5, seed=2)}
    write_stems(estimates, TRACK, longer)
    write_stems(estimates, "plain", {"accompaniment": noise(SECONDS, seed=1)})
    other = {source: noise(4, seed=1) for source in ("accompaniment", "vocals")}
    write_stems(tmp_path / "others", TRACK, other, rate_hz=16000)
    result = report_of(
        songs,
        tmp_path / "report",
        f"--estimates={SYSTEM}={estimates}",
        f"--estimates=baseline={tmp_path / 'others'}",
        '--tracks=plain,Nobody,"' + TRACK.replace('"', '""') + '"',
    )
    assert result.returncode == 1
    errors = lines_of(result)
    assert len(errors) == 5
    for text in [
        f"--tracks must name tracks of {songs / 'data'}. Received: Nobody",
        "test/plain: must have one estimate vocals.<wav|flac|mp3|…>. Received: none",
        "test/plain: must be a folder of estimates, but is none",
        f"test/{TRACK}/vocals.wav: an estimate must have its target's 32000 frames, "
        "but for 0.1 s. Received: 40000 frames",
        "an estimate must have its target's rate, 8000 Hz. Received: 16000 Hz",
    ]:
        assert sum(text in line for line in errors) == 1, (text, errors)
    for number in (1, 2):
        track = read_track_script(tmp_path / f"report/tracks/{number}.js")
        assert [len(group["lanes"]) for group in track["groups"]] == [1, 1, 1]


def test_folders_without_scores_are_refused_and_leave_nothing(tmp_path):
    (tmp_path / "empty").mkdir()
    for folder in ("empty", "absent"):
        result = run_report(f"a={tmp_path / folder}", f"--output_dir={tmp_path / 'r'}")
        assert result.returncode == 1
        assert f"{tmp_path / folder}: must " in lines_of(result)[0]
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "needs systems: NAME=DIR"),
        (["scores"], "must be NAME=DIR. Received: scores"),
        (["a=x", "--estimates=b=y", "--data_dir=z"], "must name one of a. Received: b"),
        (["a=x", "--tracks=t"], "need --data_dir"),
        (["a=x", "--duration_seconds=0"], "duration_seconds"),
    ],
)
def test_wrong_usage_exits_with_2(arguments, text, tmp_path):
    result = run_report(*arguments, f"--output_dir={tmp_path / 'report'}")
    assert result.returncode == 2
    (line,) = lines_of(result)
    assert text in line


@pytest.mark.slow
def test_names_that_are_not_utf_8_are_written_as_text(tmp_path):
    name = os.fsdecode(b"caf\xe9")
    stems = {"accompaniment": noise(SECONDS, seed=1), "vocals": noise(SECONDS, seed=2)}
    write_stems(tmp_path / "data", "plain", stems)
    (tmp_path / "data/test/plain").rename(tmp_path / "data/test" / name)
    frames = {"accompaniment": [1.0, 2.0, 3.0, 4.0], "vocals": [2.0, 3.0, 4.0, 5.0]}
    write_scores(tmp_path / name, name, frames)
    systems = f"{name}={tmp_path / name}"
    places = [f"--data_dir={tmp_path}/data", f"--output_dir={tmp_path}/report {name}"]
    estimates = f"--estimates={name}=mixture"
    result = run_report(systems, *places, estimates)
    assert result.returncode == 0, result.stderr
    report = tmp_path / f"report {name}"
    summary = json.loads((report / "summary.json").read_text("utf-8"))
    assert {row["system"] for row in summary["summaries"]} == {r"caf\udce9"}
    assert r"caf\udce9" in (report / "index.html").read_text("utf-8")
    plots = f"--output_dir={tmp_path}/plots"
    result = command_line.run_here("waveunet_tf plots", systems, plots)
    assert result.returncode == 0, result.stderr
