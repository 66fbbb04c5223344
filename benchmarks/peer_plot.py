"""The picture of separators: quality against time."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib
from matplotlib.figure import Figure

from benchmarks.peer_measurements import Cost
from waveunet_tf.evaluate import figures


@matplotlib.rc_context(figures.STYLE)
def draw_peers(
    medians: Mapping[str, Mapping[str, float]], costs: Mapping[str, Cost]
) -> Figure:
    """Draws a point for each system that has a cost, and a line for others.

    Args:
        medians: System → source → the median SDR in dB.
        costs: System → its cost.
    """
    sources = sorted({source for own in medians.values() for source in own})
    figure, panels = figures.make_panels(sources, columns=2, size=(4.2, 3.6))
    for (axes,), source in zip(panels, sources):
        for place, (system, scores) in enumerate(medians.items()):
            color = figures.color_of(place)
            if system in costs:
                axes.plot(
                    costs[system].factor,
                    scores[source],
                    figures.marker_of(place),
                    color=color,
                    ms=9,
                    gid="point",
                )
            else:
                axes.axhline(scores[source], color=color, ls="--", gid="line")
        axes.set_xlim(0, 1.2 * max(cost.factor for cost in costs.values()))
        axes.margins(y=0.1)
        axes.set_xlabel("seconds of work for a second of sound")
        axes.set_ylabel("median SDR (dB)")
    figures.add_legend(figure, medians)
    return figure
