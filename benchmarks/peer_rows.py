"""The rows of the table of separators: their scores, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.peer_child import SOURCES
from benchmarks.peer_measurements import Cost
from waveunet_tf.evaluate import summary
from waveunet_tf.evaluate.systems import Systems

COLUMNS = (
    "system",
    "vocals (dB)",
    "accompaniment (dB)",
    "work a s of sound (ms)",
    "first stems (s)",
    "peak (MiB)",
    "size (MB)",
)


def median_sdrs(systems: Systems) -> dict[str, dict[str, float]]:
    """Returns system → source → museval's median SDR over all frames, in dB."""
    return {
        system: {
            source: own.median for source, own in summary.summarize(tracks).items()
        }
        for system, tracks in systems.items()
    }


def peer_rows(
    medians: Mapping[str, Mapping[str, float]],
    costs: Mapping[str, Cost],
    sizes: Mapping[str, int],
) -> list[dict]:
    """Returns a row for each system, with None where nothing was measured.

    Args:
        medians: System → source → the median SDR in dB.
        costs: System → its cost, of those that were measured.
        sizes: System → its size in bytes.
    """
    rows = []
    for system, scores in medians.items():
        cost, size = costs.get(system), sizes.get(system)
        values = (
            *(scores.get(source) for source in reversed(SOURCES)),
            cost and cost.factor * 1000,
            cost and cost.first_seconds,
            cost and round(cost.peak_mib),
            size and size / 1e6,
        )
        rows.append(dict(zip(COLUMNS, (system, *values))))
    return rows


def closing_line(
    medians: Mapping[str, Mapping[str, float]],
    costs: Mapping[str, Cost],
    ours: str,
    others: str,
) -> str:
    """Compares the vocals of two systems, and their times where both have one.

    Args:
        medians: System → source → the median SDR in dB.
        costs: System → its cost.
        ours: The model of this project.
        others: The system that it is compared with.
    """
    difference = medians[ours]["vocals"] - medians[others]["vocals"]
    line = f"{ours} less {others}, vocals: {difference:+.2f} dB"
    if ours in costs and others in costs:
        ratio = costs[ours].factor / costs[others].factor
        line += f", in {ratio:.2f} times the time"
    return line
