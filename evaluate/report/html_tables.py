"""The page's tables of scores, as HTML."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence

from waveunet_tf.evaluate import figures
from waveunet_tf.evaluate.summary import Comparison, Summary

Summaries = Mapping[str, Mapping[str, Mapping[str, Summary]]]

_MUSEVAL = (
    "{} in dB, by museval (BSSEval v4) in frames of a second. The interval is that of "
    "the median of tracks, by a bootstrap over tracks; NaN: frames without a score."
)
_DEFINITIONS = {
    "SDR": _MUSEVAL.format("Signal to distortion ratio"),
    "ISR": _MUSEVAL.format("Source image to spatial distortion ratio"),
    "SIR": _MUSEVAL.format("Signal to interference ratio"),
    "SAR": _MUSEVAL.format("Signal to artifacts ratio"),
    "PES": "Predicted energy at silence in dB: of the estimate, in seconds where the "
    "true source is silent. Lower is better.",
    "wSDR": "Energy-weighted SDR in dB: a track's mean over frames, weighted by the "
    "energy of the true source.",
    "nSDR": "Whole-track SDR in dB, without distortion filters, as in the 2021 Music "
    "Demixing Challenge.",
}
_COMPARISON = (
    "Median over tracks of the difference between their median SDRs, in dB, and p of "
    "the two-sided Wilcoxon signed-rank test, not corrected for the number of tests."
)
# Attribute of Summary → heading.
_COLUMNS = {
    "median": "median",
    "mad": "MAD",
    "mean": "mean",
    "sd": "SD",
    "track_median": "median of tracks",
    "interval": "95 % interval",
    "frames": "values",
    "nan_frames": "NaN",
    "tracks": "tracks",
}


def summary_tables(systems: Summaries, comparisons: Sequence[Comparison]) -> str:
    """Returns one table a metric, the first one open, and one of the comparisons.

    Args:
        systems: System → metric → source → summary.
        comparisons: Tests of the systems against each other.
    """
    metrics = dict.fromkeys(metric for own in systems.values() for metric in own)
    parts = []
    for place, metric in enumerate(metrics):
        table = _metric_table(systems, metric)
        parts.append(_folded(metric, _DEFINITIONS[metric], table, is_open=not place))
    if comparisons:
        table = _comparison_table(comparisons)
        parts.append(_folded("Pairs of systems", _COMPARISON, table))
    return "\n".join(parts)


def _folded(title: str, definition: str, table: str, *, is_open: bool = False) -> str:
    return (
        f"<details{' open' if is_open else ''}><summary>{title}</summary>\n"
        f'<p class="note">{definition}</p>\n'
        f'<div class="scroll" tabindex="0" role="region" aria-label="{title}">\n'
        f"{table}\n</div></details>"
    )


def _metric_table(systems: Summaries, metric: str) -> str:
    sources = {source for own in systems.values() for source in own.get(metric, {})}
    bodies = []
    for source in sorted(sources):
        rows = [
            _heading(system, place) + _cells(own[metric][source])
            for place, (system, own) in enumerate(systems.items())
            if source in own.get(metric, {})
        ]
        rows[0] = (
            f'<th scope="rowgroup" rowspan="{len(rows)}">{html.escape(source)}</th>'
            + rows[0]
        )
        bodies.append(_body(rows))
    return _table(["source", "system", *_COLUMNS.values()], bodies)


def _heading(system: str, place: int) -> str:
    colour = figures.color_of(place)
    return (
        f'<th scope="row"><span class="swatch" style="background:{colour}"></span>'
        f"{html.escape(system)}</th>"
    )


def _cells(summary: Summary) -> str:
    values = dict(vars(summary))
    low, high = summary.track_median_low, summary.track_median_high
    values["interval"] = f"{_shown(low)} to {_shown(high)}" if low == low else "–"
    return "".join(f"<td>{_shown(values[column])}</td>" for column in _COLUMNS)


def _shown(value: float | int | str) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.2f}".replace("-", "−") if math.isfinite(value) else "–"


def _comparison_table(comparisons: Sequence[Comparison]) -> str:
    rows = [
        f"<th>{html.escape(test.source)}</th>"
        f"<th>{html.escape(test.first)} − {html.escape(test.second)}</th>"
        f"<td>{_shown(test.difference)}</td><td>{_p_value(test.p_value)}</td>"
        f"<td>{test.tracks}</td>"
        for test in comparisons
    ]
    return _table(["source", "pair", "difference", "p", "tracks"], [_body(rows)])


def _p_value(value: float) -> str:
    return f"{value:.2g}" if math.isfinite(value) else "–"


def _table(heads: Sequence[str], bodies: Sequence[str]) -> str:
    columns = "".join(f'<th scope="col">{head}</th>' for head in heads)
    content = "\n".join(bodies)
    return f"<table>\n<thead><tr>{columns}</tr></thead>\n{content}\n</table>"


def _body(rows: Sequence[str]) -> str:
    lines = "\n".join(f"<tr>{row}</tr>" for row in rows)
    return f"<tbody>\n{lines}\n</tbody>"
