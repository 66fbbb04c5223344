"""The report as files: what the page says, what it loads, what it refuses."""

import base64
import hashlib
import html.parser
import io
import json
import math
import pathlib
import re
import subprocess
import sys

import matplotlib.image
import numpy as np
import pytest
import soundfile

from evaluate import energies, scores
from evaluate.estimators import Estimator
from evaluate.report import contents, html_tables, page, selection
from evaluate.report.track_files import write_track_files
from tests.evaluate.report.report_songs import (
    RATE_HZ,
    noise,
    read_track_script,
    write_scores,
    write_stems,
)
from waveunet_tf.data.datasets import find_tracks
from waveunet_tf.errors import InputError

ROOT = pathlib.Path(__file__).parents[3]
ROOM = ROOT / "evaluate" / "report"
# Names that would break a page that does not escape them.
SYSTEM = """o'urs </script><b>&"1" $title"""
TRACK = "Ünï & <i>'so\" ♫ 50%"
SECONDS = 4


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
    """Runs the command from the root; gives its result with its output."""
    return subprocess.run(
        [sys.executable, "-m", "evaluate.run_report", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


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


class Page(html.parser.HTMLParser):
    """The elements of a page, and the text of its table cells and options."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.rows, self.options, self.links, self.ids = [], [], [], [], []
        self.open = []
        self.systems = ""
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append(tag)
        self.ids += [attributes["id"]] if "id" in attributes else []
        for name in ("src", "href"):
            self.links += [attributes[name]] if name in attributes else []
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag == "option":
            self.options.append("")
        if tag not in ("meta", "link", "input", "img", "path"):
            self.open.append((tag, attributes))

    def handle_endtag(self, tag):
        if tag != "path":
            assert self.open.pop()[0] == tag

    def handle_data(self, data):
        tags = [tag for tag, _ in self.open]
        if "td" in tags or "th" in tags:
            self.rows[-1][-1] += data
        if tags[-1:] == ["option"]:
            self.options[-1] += data
        if self.open and self.open[-1][1].get("id") == "systems":
            self.systems += data


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
    assert {path.name for path in report.iterdir()} == set(page.NAMES)


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


def decode(lane):
    return soundfile.read(io.BytesIO(base64.b64decode(lane["audio"])))


def stem_sum(songs):
    folder = songs / "data/test/plain"
    return sum(soundfile.read(path)[0] for path in folder.iterdir())


def read_peaks(track):
    return np.array(track["groups"][0]["lanes"][0]["peaks"])


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


def test_energies_beside_the_scores_give_their_metrics_and_figures(songs, tmp_path):
    tracks = scores.read_system(songs / "ours")
    stems = {"vocals": noise(4.5, seed=1), "accompaniment": noise(4.5, seed=2)}
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


def lines_of(result):
    assert "Traceback" not in result.stderr
    return [line for line in result.stderr.splitlines() if line.startswith("error: ")]


def test_estimates_that_do_not_fit_are_told_and_the_rest_is_done(songs, tmp_path):
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
    told = lines_of(result)
    assert len(told) == 5
    for text in [
        f"--tracks must name tracks of {songs / 'data'}. Received: Nobody",
        "test/plain: must have one estimate vocals.<wav|flac|mp3|…>. Received: none",
        "test/plain: must be a folder of estimates, but is none",
        f"vocals of {SYSTEM}: an estimate must have its target's 32000 frames. "
        "Received: 40000",
        "an estimate must have its target's rate, 8000 Hz. Received: 16000 Hz",
    ]:
        assert sum(text in line for line in told) == 1, (text, told)
    for number in (1, 2):
        track = read_track_script(tmp_path / f"report/tracks/{number}.js")
        assert [len(group["lanes"]) for group in track["groups"]] == [1, 1, 1]


def plain_track(songs):
    tracks = find_tracks(songs / "data", subsets=("test",))
    return next(track for track in tracks if track.name == "plain")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda samples: samples * np.nan, "must hold finite samples"),
        (lambda samples: samples[:, [0, 0, 0]], "target's 2 channels. Received: 3"),
    ],
)
def test_broken_estimates_are_refused(change, text, songs, tmp_path):
    stems = {source: noise(SECONDS, seed=1) for source in ("accompaniment", "vocals")}
    stems["vocals"] = change(stems["vocals"])
    write_stems(tmp_path, "plain", stems)
    estimator = Estimator("estimates_dir", tuple(stems), str(tmp_path))
    told = []
    excerpt = selection.read_excerpt(
        plain_track(songs), tuple(stems), {"ours": estimator}, left_out=told.append
    )
    assert excerpt.estimates == {}
    assert len(told) == 1 and text in str(told[0])


def test_an_excerpt_after_the_end_is_refused(songs):
    with pytest.raises(InputError, match="before its end at 4.0 s. Received: 4"):
        selection.read_excerpt(
            plain_track(songs), ("vocals",), {}, start_seconds=4, left_out=pytest.fail
        )


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


def test_only_reports_are_overwritten_and_only_when_asked(tmp_path):
    report = tmp_path / "report"
    report.mkdir()
    page.require_place(report, overwrite=False)  # an empty folder is as good as none
    (report / "index.html").write_text("old", encoding="utf-8")
    with pytest.raises(
        InputError, match="must be a new or empty folder, or --overwrite"
    ):
        page.require_place(report, overwrite=False)
    page.require_place(report, overwrite=True)
    with page.report_folder(report) as folder:
        (folder / "index.html").write_text("new", encoding="utf-8")
        assert (report / "index.html").read_text(encoding="utf-8") == "old"
    assert (report / "index.html").read_text(encoding="utf-8") == "new"
    with pytest.raises(ZeroDivisionError), page.report_folder(report):
        1 / 0  # noqa: B018
    assert (report / "index.html").read_text(encoding="utf-8") == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["report"]
    (report / "thesis.tex").write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match="holds other files, such as thesis.tex"):
        page.require_place(report, overwrite=True)


def test_silence_makes_a_track_too(tmp_path):
    silence = np.zeros((RATE_HZ, 1), np.float32)
    excerpt = selection.Excerpt("s", RATE_HZ, 0.0, silence, {"vocals": silence}, {})
    write_track_files(tmp_path / "tracks", 1, excerpt, {})
    track = read_track_script(tmp_path / "tracks/1.js")
    assert np.abs(read_peaks(track)).max() == 0
    assert track["groups"][1]["chart"] is None


def test_the_bundled_libraries_are_those_that_the_table_names():
    table = (ROOM / "README.md").read_text(encoding="utf-8")
    named = dict(re.findall(r"^\| `([^`]+)` .* `([0-9a-f]{64})` \|$", table, re.M))
    files = [path for path in (ROOM / "vendor").iterdir() if path.is_file()]
    assert named == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }
    licences = {path.stem for path in (ROOM / "vendor/licences").iterdir()}
    assert {"Tone.js", "wavesurfer.js", "uPlot"} <= licences
