"""The table, the plot and the last line, of made-up scores."""

import csv
import pathlib

import pytest

from benchmarks import peer_plot, peer_results, peer_rows
from benchmarks.peer_measurements import OURS, Cost, Peer
from tests.evaluate.made_up_scores import track

SYSTEMS = {
    name: {"a": track("a", vocals=[low, low + 1, low + 8], accompaniment=[9.0] * 3)}
    for name, low in (
        ("small", 3.0),
        ("large", 4.0),
        ("Spleeter", 5.5),
        ("mixture", -5.0),
        ("oracle_irm", 9.0),
    )
}
COSTS = {
    "small": Cost(0.02, 0.5, 99.6),
    "large": Cost(0.08, 1.0, 150.0),
    "Spleeter": Cost(0.04, 5.0, 1200.0),
}
PEERS = [
    Peer("small", OURS, pathlib.Path("a"), 5_000_000),
    Peer("large", OURS, pathlib.Path("b"), 30_000_000),
    Peer("Spleeter", "spleeter", pathlib.Path("c"), 78_600_000),
]


def test_the_table_has_scores_and_costs_and_the_last_line_compares_the_best(tmp_path):
    text = peer_results.write_table(tmp_path, SYSTEMS, COSTS, PEERS)
    lines = text.splitlines()
    assert lines[1].split() == ["small", "4.00", "9.00", "20.00", "0.50", "100", "5.00"]
    assert lines[4].split() == ["mixture", "-4.00", "9.00", "–", "–", "–", "–"]
    assert lines[-1] == "large less Spleeter, vocals: -1.50 dB, in 2.00 times the time"
    with (tmp_path / "peers.csv").open(encoding="utf-8") as table:
        rows = {row["system"]: row for row in csv.DictReader(table)}
    assert rows["Spleeter"]["size (MB)"] == "78.6"
    assert rows["oracle_irm"]["peak (MiB)"] == ""
    assert (tmp_path / "peers.md").read_text(encoding="utf-8").count("\n") == 7
    assert (tmp_path / "peers.png").exists() and (tmp_path / "peers.svg").exists()


def test_without_others_our_best_is_compared_with_the_mixture(tmp_path):
    systems = {name: SYSTEMS[name] for name in ("small", "mixture")}
    text = peer_results.write_table(tmp_path, systems, COSTS, PEERS[:1])
    assert text.splitlines()[-1] == "small less mixture, vocals: +8.00 dB"


def test_the_plot_has_a_point_for_what_was_timed_and_a_line_for_the_rest():
    medians = peer_rows.median_sdrs(SYSTEMS)
    axes = peer_plot.draw_peers(medians, COSTS).axes[1]
    assert axes.get_title(loc="left") == "vocals"
    points = [line for line in axes.get_lines() if line.get_gid() == "point"]
    at = [(line.get_xdata()[0], line.get_ydata()[0]) for line in points]
    assert at == [(0.02, 4.0), (0.08, 5.0), (0.04, 6.5)]
    lines = [line for line in axes.get_lines() if line.get_gid() == "line"]
    assert [line.get_ydata()[0] for line in lines] == pytest.approx([-4, 10])
