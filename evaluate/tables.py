"""Tables of summaries and comparisons, as text, markdown, CSV or JSON."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from waveunet_tf.evaluate.summary import Comparison, Summary

FORMATS = ("text", "markdown", "csv", "json")
COLUMNS = (
    *("system", "source", "metric", "median", "mad", "mean", "sd", "track_median"),
    *("frames", "nan_frames", "tracks"),
)
_INTERVAL = ("track_median_low", "track_median_high")


def format_summaries(
    systems: Mapping[str, Mapping[str, Mapping[str, Summary]]],
    form: str = "text",
    *,
    comparisons: Sequence[Comparison] = (),
) -> str:
    """Returns a table with one row a metric, system and source.

    Args:
        systems: System → metric → source → summary.
        form: One of FORMATS. CSV has COLUMNS; the others also have the intervals and
            the comparisons.
        comparisons: Tests of the systems against each other.
    """
    metrics = list(dict.fromkeys(metric for own in systems.values() for metric in own))
    rows = [
        {"system": system, "source": source, "metric": metric, **vars(summary)}
        for metric in metrics
        for system, own in systems.items()
        for source, summary in sorted(own.get(metric, {}).items())
    ]
    tests = [dataclasses.asdict(comparison) for comparison in comparisons]
    if form == "json":
        return to_json({"summaries": rows, "comparisons": tests})
    if form == "csv":
        return to_csv(COLUMNS, rows)
    shown = [{**row, "95 % interval": _interval(row)} for row in rows]
    columns = list(COLUMNS)
    columns.insert(columns.index("track_median") + 1, "95 % interval")
    tables = [to_lines(columns, shown, form)]
    if tests:
        title = "Wilcoxon's signed-rank test on the medians of the tracks both have:"
        columns = [field.name for field in dataclasses.fields(Comparison)]
        tables += [title, to_lines(columns, tests, form)]
    return "\n\n".join(tables)


def format_rows(columns: Sequence[str], rows: Sequence[Mapping], form: str) -> str:
    """Returns a table of rows.

    Args:
        columns: The keys of the rows that are shown, in order.
        rows: The rows: column → value.
        form: One of FORMATS.
    """
    if form == "json":
        return to_json(rows)
    return to_csv(columns, rows) if form == "csv" else to_lines(columns, rows, form)


def to_json(value: Any) -> str:
    """Returns JSON, in which NaN and infinity are null."""
    return json.dumps(_jsonable(value), indent=2, allow_nan=False, ensure_ascii=False)


def to_csv(columns: Sequence[str], rows: Sequence[Mapping]) -> str:
    """Returns CSV with a line of headings; numbers have museval's five digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        cells = [row[column] for column in columns]
        writer.writerow([round(c, 5) if isinstance(c, float) else c for c in cells])
    return text.getvalue().rstrip("\n")


def to_lines(columns: Sequence[str], rows: Sequence[Mapping], form: str) -> str:
    """Returns aligned columns or a table of markdown; numbers have two digits.

    Args:
        columns: The keys of the rows that are shown, in order.
        rows: The rows: column → value.
        form: "text" or "markdown".
    """
    texts = [[_shown(column, row[column]) for column in columns] for row in rows]
    widths = [max(len(text) for text in column) for column in zip(columns, *texts)]
    left = [
        all(isinstance(row[column], str) for row in rows) and "%" not in column
        for column in columns
    ]
    lines = [
        [
            text.ljust(width) if is_left else text.rjust(width)
            for text, width, is_left in zip(line, widths, left)
        ]
        for line in [list(columns), *texts]
    ]
    if form != "markdown":
        return "\n".join("  ".join(line).rstrip() for line in lines)
    rules = [
        "-" * max(width, 3) if is_left else "-" * max(width - 1, 2) + ":"
        for width, is_left in zip(widths, left)
    ]
    escaped = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    return "\n".join(
        f"| {' | '.join(line)} |" for line in [escaped[0], rules, *escaped[1:]]
    )


def _interval(row: Mapping) -> str:
    low, high = (row[name] for name in _INTERVAL)
    return "" if math.isnan(low) else f"{low:.2f} to {high:.2f}"


def _shown(column: str, value: Any) -> str:
    if value is None:
        return "–"
    if not isinstance(value, float):
        return str(value)
    return f"{value:.2g}" if column == "p_value" else f"{value:.2f}"


def _jsonable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _jsonable(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
