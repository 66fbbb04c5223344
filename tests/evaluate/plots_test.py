import math
import re

import numpy as np
import pytest

from tests.evaluate.made_up_scores import track, track_energies
from waveunet_tf.errors import InputError
from waveunet_tf.evaluate import figures, levels, plots


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


def test_a_source_without_energies_has_no_panel_by_level():
    compared = {"x": {"a": track("a", drums=[1, 2], vocals=[3, 4])}}
    measured = {"x": {"a": track_energies("a", [-10, -20])}}
    for draw in (plots.sdr_by_energy, plots.quietest_left_out):
        titles = [axes.get_title(loc="left") for axes in draw(compared, measured).axes]
        assert [title for title in titles if title] == ["vocals"]
        with pytest.raises(InputError, match="must be of tracks and sources"):
            draw(compared, {"x": {"b": track_energies("b", [-10, -20])}})


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
