import pathlib

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from waveunet_tf.evaluate import figures


def test_an_axis_holds_means_and_whiskers_but_no_outliers():
    values = np.array([-60.0, 0, 1, 2, 3, 4, 5, 6, 7])
    assert figures.axis_limits([values]) == (-5, 10)  # mean -3.6, whiskers 0 and 7
    assert figures.axis_limits([values, np.array([-33.0])]) == (-35, 10)
    low, high = figures.axis_limits([np.array([5.0])])
    assert low <= 5 <= high and low < high
    assert len(figures.axis_limits([np.zeros(0)])) == 2


def line_figure():
    with matplotlib.rc_context(figures.STYLE):
        figure = Figure(figsize=(3, 2))
        figure.subplots().plot([1, 3, 2])
        figure.suptitle("costs $5 or $6")
    return figure


def test_figures_are_saved_as_png_and_as_svg_of_paths_always_the_same(tmp_path):
    for folder in ("first", "second"):
        figure = line_figure()
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

    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(OSError, match="disk full"):
        figures.save_figure(Figure(), tmp_path / "new" / "figure")
    assert not list(tmp_path.iterdir())


def test_the_paths_of_figures_are_those_that_are_written(tmp_path):
    assert figures.figure_paths("a", tmp_path / "b.c") == [
        pathlib.Path("a.png"),
        pathlib.Path("a.svg"),
        tmp_path / "b.c.png",
        tmp_path / "b.c.svg",
    ]
    figures.save_figure(line_figure(), tmp_path / "b.c")
    assert sorted(tmp_path.iterdir()) == figures.figure_paths(tmp_path / "b.c")


@pytest.mark.parametrize(("count", "rows"), [(1, 1), (2, 1), (3, 2), (4, 2)])
def test_panels_lie_in_rows_and_places_without_a_title_are_empty(count, rows):
    titles = [f"title {n}" for n in range(count)]
    figure, panels = figures.make_panels(titles, columns=2, size=(3, 2), heights=(3, 1))
    assert [panel[0].get_title(loc="left") for panel in panels] == titles
    assert [len(panel) for panel in panels] == [2] * count
    assert len(figure.axes) == 2 * count
    width, height = figure.get_size_inches()
    assert (width, height) == pytest.approx((3 * min(count, 2), 2 * rows + 0.6))


def test_six_systems_differ_in_colour_and_marker_and_a_seventh_is_like_the_first():
    for look in (figures.color_of, figures.marker_of):
        assert len({look(place) for place in range(6)}) == 6
        assert look(6) == look(0)


def test_the_legend_has_each_systems_colour_and_the_other_lines():
    figure = line_figure()
    median = Line2D([], [], color="gray", label="median")
    figures.add_legend(figure, ["ours", "_theirs"], median)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "ours",
        "_theirs",
        "median",
    ]
    colours = [handle.get_color() for handle in legend.legend_handles]
    assert colours == [figures.color_of(0), figures.color_of(1), "gray"]
