import json
import math
import re

import matplotlib
import numpy as np
import pytest

from evaluate import energies, figures, levels, plots
from evaluate.scores import METRICS, TrackScores
from tests.commands.app_test import check_refusal, run
from waveunet_tf.errors import InputError

PLOTS = "evaluate.run_plots"


def track(name, **sources):
    """A track's scores, the same in all metrics."""
    arrays = {source: np.array(values, float) for source, values in sources.items()}
    frames = len(next(iter(arrays.values())))
    return TrackScores(
        name,
        np.arange(frames, dtype=float),
        {source: dict.fromkeys(METRICS, values) for source, values in arrays.items()},
    )


def track_energies(name, level_dbfs, samples=100, **more):
    """Energies of vocals of these levels, and of other sources."""
    series = {
        source: samples * 10 ** (np.array(values, float) / 10)
        for source, values in {"vocals": level_dbfs, **more}.items()
    }
    windows = np.full(len(level_dbfs), samples)
    return energies.TrackEnergies(name, 1.0, windows, series, series, series)


@pytest.fixture
def two_systems():
    """Two systems of two sources, two tracks each, with outliers and frames of NaN."""
    generator = np.random.default_rng(5)
    systems = {}
    for system, offset in (("ours", 0), ("theirs $x$", 3)):
        tracks = {}
        for name in ("a", "b"):
            vocals = generator.normal(5 + offset, 3, 200)
            vocals[:10] = -60
            vocals[10:30] = math.nan
            drums = generator.normal(10 + offset, 3, 200)
            tracks[name] = track(name, vocals=vocals, drums=drums)
        systems[system] = tracks
    return systems


def artists(axes, gid):
    """A figure's artists that show something, in the order they were drawn."""
    return [artist for artist in axes.get_children() if artist.get_gid() == gid]


def scored(systems, system, source):
    values = np.concatenate(
        [own.sources[source]["SDR"] for own in systems[system].values()]
    )
    return values[~np.isnan(values)]


def test_each_source_and_system_has_a_violin_with_its_median_and_mean(two_systems):
    figure = plots.sdr_distributions(two_systems)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["drums", "vocals"]
    for axes, source in zip(figure.axes, ("drums", "vocals")):
        assert len(artists(axes, "violin")) == 2
        labels = [label.get_text() for label in axes.get_yticklabels()]
        assert labels == ["ours", "theirs $x$"]
        for place, system in enumerate(two_systems):
            values = scored(two_systems, system, source)
            median = artists(axes, "median")[place].get_segments()[0]
            assert median[0, 0] == pytest.approx(np.median(values))
            assert median[:, 1].mean() == pytest.approx(place)
            (mean,) = artists(axes, "mean")[place].get_xdata()
            assert mean == pytest.approx(values.mean())
            quartiles = artists(axes, "quartiles")[place].get_segments()[0][:, 0]
            assert quartiles == pytest.approx(np.percentile(values, [25, 75]))


def test_frames_beyond_the_axis_and_without_a_score_are_counted(two_systems):
    axes = plots.sdr_distributions(two_systems).axes[1]
    low, high = axes.get_xlim()
    assert low > -60
    counts = [
        int(re.search(r"\d+", text.get_text())[0]) for text in artists(axes, "beyond")
    ]
    wanted = []
    for system in two_systems:
        values = scored(two_systems, system, "vocals")
        wanted += [np.count_nonzero(values < low), np.count_nonzero(values > high)]
    assert counts == [count for count in wanted if count]
    assert counts[0] >= 20
    assert sum("400 frames,\n40 without score" == t.get_text() for t in axes.texts) == 2


def test_a_violin_is_the_density_of_its_frames(two_systems):
    from scipy import stats

    values = scored(two_systems, "ours", "drums")
    axes = plots.sdr_distributions(two_systems).axes[0]
    outline = artists(axes, "violin")[0].get_paths()[0].vertices
    upper = outline[outline[:, 1] > 0]
    density = stats.gaussian_kde(values, "silverman")(upper[:, 0])
    half = upper[:, 1] / upper[:, 1].max()
    assert half == pytest.approx(density / density.max(), abs=0.05)


def test_an_axis_holds_means_and_whiskers_but_no_outliers():
    values = np.array([-60.0, 0, 1, 2, 3, 4, 5, 6, 7])
    assert figures.axis_limits([values]) == (-5, 10)  # mean -3.6, whiskers 0 and 7
    assert figures.axis_limits([values, np.array([-33.0])]) == (-35, 10)
    low, high = figures.axis_limits([np.array([5.0])])
    assert low <= 5 <= high and low < high
    assert len(figures.axis_limits([np.zeros(0)])) == 2


def test_a_source_that_one_system_lacks_is_said_to_have_no_score(two_systems):
    two_systems["third"] = {"a": track("a", vocals=[math.nan] * 3)}
    drums, vocals = plots.sdr_distributions(two_systems).axes
    for axes in (drums, vocals):
        assert "no frame has a score" in [text.get_text() for text in axes.texts]
        assert len(artists(axes, "violin")) == 2


def test_lines_over_time_are_the_frames_and_triangles_those_beyond():
    values = [1.0, 2, 3, math.nan, 4, 5, -60, 6, 5, 4]
    compared = {
        "x": {"song": track("song", vocals=values)},
        "y": {"song": track("song", vocals=np.arange(10)), "b": track("b", vocals=[1])},
    }
    (axes,) = plots.sdr_over_time(compared, "song").axes
    first, second = artists(axes, "line")
    assert np.array_equal(first.get_ydata(), values, equal_nan=True)
    assert np.array_equal(second.get_ydata(), np.arange(10))
    (beyond,) = artists(axes, "beyond")
    assert list(beyond.get_xdata()) == [6]
    assert list(beyond.get_ydata()) == [axes.get_ylim()[0]]


def test_a_system_without_the_track_leaves_its_colour_to_none():
    compared = {
        "x": {"a": track("a", vocals=[1, 2])},
        "y": {"b": track("b", vocals=[3, 4])},
    }
    (axes,) = plots.sdr_over_time(compared, "b").axes
    (line,) = artists(axes, "line")
    assert line.get_color() == figures.COLORS[1]
    with pytest.raises(InputError, match="must be one that a system has. Received: c"):
        plots.sdr_over_time(compared, "c")


def test_levels_pair_each_scored_frame_with_the_true_sources_level():
    scores = {"a": track("a", vocals=[1, math.nan, 3]), "b": track("b", vocals=[4])}
    # A last window that is shorter than a frame has energy, but no score.
    measured = track_energies("a", [-10, -20, -30, -40])
    measured.samples[-1] = 50
    level, values = levels.levels_and_values(scores, {"a": measured}, "vocals")
    assert level == pytest.approx([-10, -30])
    assert list(values) == [1, 3]


@pytest.mark.parametrize("windows", [1, 2, 5])
def test_energies_of_other_windows_are_refused(windows):
    scores = {"a": track("a", vocals=[1, 2, 3])}
    with pytest.raises(InputError, match="a: energies must be of the 3 frames"):
        levels.levels_and_values(
            scores, {"a": track_energies("a", [-10] * windows)}, "vocals"
        )


def test_a_source_without_energies_has_no_panel_by_level():
    compared = {"x": {"a": track("a", drums=[1, 2], vocals=[3, 4])}}
    measured = {"x": {"a": track_energies("a", [-10, -20])}}
    for draw in (plots.sdr_by_energy, plots.quietest_left_out):
        titles = [axes.get_title(loc="left") for axes in draw(compared, measured).axes]
        assert [title for title in titles if title] == ["vocals"]
        with pytest.raises(InputError, match="must be of tracks and sources"):
            draw(compared, {"x": {"b": track_energies("b", [-10, -20])}})


def test_ranges_of_level_hold_each_frame_once():
    generator = np.random.default_rng(2)
    level, values = generator.uniform(-60, 0, 500), generator.normal(0, 5, 500)
    bins = levels.bin_by_level(level, values)
    assert sum(each.frames for each in bins) == 500
    for each in bins:
        inside = values[(level >= each.from_dbfs) & (level < each.to_dbfs)]
        assert each.frames == len(inside)
        assert each.median == pytest.approx(np.median(inside))
        assert each.mean == pytest.approx(np.mean(inside))
        assert each.quartiles == pytest.approx(np.quantile(inside, [0.25, 0.75]))


def test_the_figure_by_level_shows_each_ranges_median_mean_and_frames():
    compared = {
        "x": {"a": track("a", vocals=[-40, -20, 1, 2, 6])},
        "y": {"a": track("a", vocals=[0, 0, 0, 0, 3])},
    }
    measured = {"a": track_energies("a", [-57, -56, -22, -21, -21.5])}
    axes, counts = plots.sdr_by_energy(compared, dict.fromkeys("xy", measured)).axes
    assert [list(line.get_ydata()) for line in artists(axes, "median")] == [
        [-30, 2],
        [0, 0],
    ]
    assert [list(line.get_ydata()) for line in artists(axes, "mean")] == [
        [-30, 3],
        [0, 1],
    ]
    assert [bar.get_height() for bar in artists(counts, "frames")] == [2, 3, 2, 3]
    inside = [(-60, -55), (-25, -20)] * 2
    for bar, (low, high) in zip(artists(counts, "frames"), inside):
        assert low < bar.get_x() and bar.get_x() + bar.get_width() < high


def test_means_and_medians_without_the_quietest_are_those_of_the_rest():
    level = np.array([-10.0, -60, -20, -50, -30])
    values = np.array([4.0, -50, 3, -10, 2])
    left = levels.leave_out_quietest(level, values, np.array([0, 20, 40, 79, 80]))
    rests = [[-50, -10, 2, 3, 4], [-10, 2, 3, 4], [2, 3, 4], [3, 4], [4]]
    assert left.means == pytest.approx([np.mean(rest) for rest in rests])
    assert left.medians == pytest.approx([np.median(rest) for rest in rests])
    assert list(left.from_dbfs) == [-60, -50, -30, -20, -10]


def test_the_figure_without_the_quietest_draws_mean_and_median(two_systems):
    generator = np.random.default_rng(1)
    measured = {
        name: track_energies(
            name, generator.uniform(-60, -5, 200), drums=generator.uniform(-60, -5, 200)
        )
        for name in ("a", "b")
    }
    energies_of = dict.fromkeys(two_systems, measured)
    axes = plots.quietest_left_out(two_systems, energies_of).axes[1]
    for place, system in enumerate(two_systems):
        median, mean = artists(axes, "median")[place], artists(axes, "mean")[place]
        level, values = levels.levels_and_values(
            two_systems[system], measured, "vocals"
        )
        half = values[np.argsort(level)][len(values) // 2 :]
        at = list(median.get_xdata()).index(50)
        assert median.get_ydata()[at] == pytest.approx(np.median(half))
        assert mean.get_ydata()[at] == pytest.approx(np.mean(half))
        assert mean.get_ydata()[0] == pytest.approx(np.mean(values))


def test_figures_are_saved_as_png_and_as_svg_of_paths_always_the_same(
    two_systems, tmp_path
):
    for folder in ("first", "second"):
        figure = plots.sdr_distributions(two_systems)
        saved = figures.save_figure(figure, tmp_path / folder / "figure 1.2")
        assert saved == [
            tmp_path / folder / "figure 1.2.png",
            tmp_path / folder / "figure 1.2.svg",
        ]
    png, svg = (path.read_bytes() for path in saved)
    assert png.startswith(b"\x89PNG") and svg.startswith(b"<?xml")
    assert b"<text" not in svg and b"<dc:date>" not in svg
    first = sorted((tmp_path / "first").iterdir())
    assert [path.read_bytes() for path in first] == [png, svg]


def test_a_figure_that_cannot_be_drawn_leaves_nothing(tmp_path, monkeypatch):
    def fail(self, path, **_):
        if path.suffix == ".svg":
            raise OSError("disk full")
        path.write_bytes(b"half")

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", fail)
    with pytest.raises(OSError, match="disk full"):
        figures.save_figure(matplotlib.figure.Figure(), tmp_path / "new" / "figure")
    assert not list(tmp_path.iterdir())


def write_scores(folder, name, values):
    frames = [
        {"time": float(n), "duration": 1.0, "metrics": dict.fromkeys(METRICS, value)}
        for n, value in enumerate(values)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(
        json.dumps({"targets": [{"name": "vocals", "frames": frames}]})
    )


def test_the_command_draws_the_common_tracks_and_says_what_it_left_out(tmp_path):
    x, y, out = tmp_path / "x" / "test", tmp_path / "y", tmp_path / "out"
    write_scores(x, "a, b", [1, 2, math.nan, 6])
    write_scores(y, "a, b", [1, 2, 3, 4])
    write_scores(y, "c", [9])
    energies.write_track_energies(
        y / f"a, b{energies.SUFFIX}", track_energies("a, b", [-30, -20, -10, -5])
    )
    command = [PLOTS, f"x={tmp_path / 'x'}", f"y={y}", f"--output_dir={out}"]
    result = run(*command, "--metric=SIR", '--tracks="a, b"')
    check_refusal(result, 1, "left out: c")
    names = {str(path.relative_to(out)) for path in out.rglob("*.*")}
    stems = ("distributions", "by_energy", "quietest_left_out", "over_time/a, b")
    assert names == {f"sir_{stem}.{end}" for stem in stems for end in ("png", "svg")}
    table = [line.split() for line in result.stdout.splitlines()]
    assert ["x", "vocals", "4", "1", "2.00", "1.50", "4.00", "3.00"] in table
    assert ["y", "vocals", "4", "0", "2.50", "1.75", "3.25", "2.50"] in table
    assert ["y", "vocals", "50", "-10.00", "3.50", "3.50"] in table
    check_refusal(run(*command, "--metric=SIR"), 1, "must be a new file")


def test_the_command_refuses_bad_input_in_one_line(tmp_path):
    scores, empty = tmp_path / "x", tmp_path / "empty"
    empty.mkdir()
    write_scores(scores, "song", [1, 2])
    write_scores(tmp_path / "z", "another", [1, 2])
    for code, text, *arguments in [
        (1, "must hold museval's JSON files", f"x={empty}"),
        (1, "such as song. Received: sing", f"x={scores}", "--tracks=sing"),
        (1, "a track in common", f"x={scores}", f"z={tmp_path / 'z'}"),
        (2, "metric", f"x={scores}", "--metric=PESQ"),
        (2, "NAME=DIR. Received: x", "x"),
    ]:
        result = run(PLOTS, *arguments, f"--output_dir={tmp_path / 'out'}")
        check_refusal(result, code, text)
    assert not (tmp_path / "out").exists()


def test_without_energies_there_are_no_figures_by_level(tmp_path):
    write_scores(tmp_path / "x", "song", [1, 2])
    result = run(PLOTS, f"x={tmp_path / 'x'}", f"--output_dir={tmp_path / 'out'}")
    assert result.returncode == 0
    assert "warning: no energies beside the scores" in result.stderr
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["sdr_distributions.png", "sdr_distributions.svg"]
