"""Tables of what exported files lose and cost, and the least quality of each kind."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterable

import numpy as np

from waveunet_tf.errors import printable
from waveunet_tf.evaluate import tables
from waveunet_tf.export.kinds import KINDS
from waveunet_tf.export.parity import ParityRow
from waveunet_tf.export.parity_songs import ParitySong

# The files of a table, beside the exported files.
TABLES = ("parity.md", "parity.json")
# The least median SNR of each kind in dB, and how far mixed must be above int8.
FLOORS_DB = {
    "float32": 100.0,
    "float16": 60.0,
    "dynamic": 35.0,
    "int8": 20.0,
    "int16x8": 40.0,
    "mixed": 26.0,
}
MIXED_GAIN_DB = 6.0


def floor_failures(rows: list[ParityRow]) -> list[str]:
    """Returns a line for each file whose SNR is below its floor.

    Every file has an absolute floor. Beside int8 files, each mixed file must also be
    better than all of them, for that is what it costs more for.
    """
    int8_db = [row.snr_db for row in rows if row.kind == "int8"]
    lines = []
    for row in rows:
        if row.kind not in FLOORS_DB:
            lines.append(
                f"{row.artefact}: its kind must be one of {', '.join(FLOORS_DB)}. "
                f"Received: {row.kind}"
            )
        elif not row.snr_db >= FLOORS_DB[row.kind]:  # NaN is not
            lines.append(
                f"{row.artefact}: its SNR must be at least {FLOORS_DB[row.kind]:g} dB. "
                f"Received: {row.snr_db:.1f} dB"
            )
        elif row.kind == "mixed" and int8_db:
            gain = row.snr_db - np.max(int8_db)
            if not gain >= MIXED_GAIN_DB:
                lines.append(
                    f"{row.artefact}: its SNR must be at least {MIXED_GAIN_DB:g} dB "
                    f"above int8's. Received: {gain:+.1f} dB"
                )
    return lines


def write_tables(
    rows: list[ParityRow], songs: list[ParitySong], paths: Iterable[pathlib.Path]
) -> None:
    """Writes the table as Markdown and as JSON, the latter with the songs' names.

    Args:
        rows: The figures of the files.
        songs: The songs on which they were measured.
        paths: The two files to write, in the order of TABLES.
    """
    markdown, structured = paths
    markdown.write_text(printable(format_parity(rows)) + "\n", encoding="utf-8")
    values = {
        "songs": [song.name for song in songs],
        "artefacts": [dataclasses.asdict(row) for row in rows],
    }
    structured.write_text(printable(tables.to_json(values)) + "\n", encoding="utf-8")


def format_parity(rows: list[ParityRow]) -> str:
    """Formats the table as Markdown, the kinds in the order of kinds.KINDS."""
    sources = list(dict.fromkeys(name for row in rows for name in row.sdr_change_db))
    shown = []
    for row in sorted(rows, key=lambda row: KINDS.index(row.kind)):
        shown.append(
            {
                "artefact": row.artefact,
                "MiB": row.mib,
                "SNR (dB)": row.snr_db,
                "worst second": row.worst_snr_db,
                **{
                    f"SDR change, {name} (dB)": row.sdr_change_db.get(
                        name, float("nan")
                    )
                    for name in sources
                },
                "work (ms per s), 1 thread": 1000 * row.factor_1,
                "2 threads": 1000 * row.factor_2,
                "peak MiB": row.peak_mib,
                "load (s)": row.load_seconds,
            }
        )
    return tables.to_lines(list(shown[0]), shown, "markdown")
