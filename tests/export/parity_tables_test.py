import dataclasses
import json

import numpy as np
import pytest

from waveunet_tf.export import parity, parity_songs, parity_tables
from waveunet_tf.export.kinds import KINDS


def row(kind, snr_db):
    return parity.ParityRow(
        f"{kind}.tflite", kind, 1.0, snr_db, 1.0, {}, 1.0, 1.0, 1.0, 1.0
    )


def test_what_is_below_its_floor_fails():
    good = [row("float32", 101), row("int8", 22), row("mixed", 28)]
    assert parity_tables.floor_failures(good) == []
    below = [row("float32", 99), row("int8", float("nan")), row("int16x8", 39.9)]
    assert len(parity_tables.floor_failures(below)) == 3
    (line,) = parity_tables.floor_failures([row("int8", 22), row("mixed", 27.9)])
    assert "at least 6 dB above int8's. Received: +5.9 dB" in line


def test_every_kind_has_a_floor_and_no_other_kind_passes():
    assert set(parity_tables.FLOORS_DB) == set(KINDS)
    for kind in KINDS:
        assert len(parity_tables.floor_failures([row(kind, -5)])) == 1
    (line,) = parity_tables.floor_failures([row("int4", 200)])
    assert "its kind must be one of float32, " in line and "Received: int4" in line


def test_every_mixed_file_must_be_better_than_every_int8_file():
    rows = [row("mixed", 27), row("int8", 20), row("mixed", 40), row("int8", 22)]
    for order in (rows, rows[::-1]):
        (line,) = parity_tables.floor_failures(order)
        assert "above int8's. Received: +5.0 dB" in line
    rows[1] = row("int8", float("nan"))  # which nothing is better than
    assert len(parity_tables.floor_failures(rows)) == 3


@pytest.mark.parametrize(("kind", "floor_db"), parity_tables.FLOORS_DB.items())
def test_a_floor_is_the_least_that_passes(kind, floor_db):
    assert parity_tables.floor_failures([row(kind, floor_db)]) == []
    (line,) = parity_tables.floor_failures([row(kind, floor_db - 0.1)])
    assert line.startswith(f"{kind}.tflite: its SNR must be at least {floor_db:g} dB")
    assert f"Received: {floor_db - 0.1:.1f} dB" in line


def cells(line):
    return [cell.strip() for cell in line.split("|")[1:-1]]


def test_the_table_has_floats_first_and_a_column_for_each_source():
    rows = [row("int8", 22), row("mixed", 29), row("float32", 120)]
    rows[1].sdr_change_db.update(vocals=-0.25)
    head, _, *lines = parity_tables.format_parity(rows).splitlines()
    assert [cells(line)[0] for line in lines] == [
        "float32.tflite",
        "int8.tflite",
        "mixed.tflite",
    ]
    column = cells(head).index("SDR change, vocals (dB)")
    assert float(cells(lines[2])[column]) == -0.25
    assert float(cells(lines[0])[cells(head).index("SNR (dB)")]) == 120


def test_work_is_told_in_milliseconds_for_what_is_faster_than_a_hundredth():
    fast = dataclasses.replace(row("dynamic", 40), factor_1=0.0042, factor_2=0.0031)
    head, _, line = parity_tables.format_parity([fast]).splitlines()
    shown = dict(zip(cells(head), cells(line)))
    assert shown["work (ms per s), 1 thread"] == "4.20"
    assert shown["2 threads"] == "3.10"


def test_the_tables_are_written_as_text_and_as_numbers(tmp_path):
    paths = [tmp_path / name for name in parity_tables.TABLES]
    song = parity_songs.ParitySong("test/song", np.zeros((9, 2)), {})
    rows = [row(kind, 101.5) for kind in KINDS]
    parity_tables.write_tables(rows, [song], paths)
    assert paths[0].read_text() == parity_tables.format_parity(rows) + "\n"
    values = json.loads(paths[1].read_text())
    assert values["songs"] == ["test/song"]
    assert [entry["kind"] for entry in values["artefacts"]] == list(KINDS)
    assert values["artefacts"][0]["snr_db"] == 101.5


def test_a_number_that_is_none_is_written_as_none(tmp_path):
    paths = [tmp_path / name for name in parity_tables.TABLES]
    parity_tables.write_tables([row("int8", float("nan"))], [], paths)
    (entry,) = json.loads(paths[1].read_text())["artefacts"]
    assert entry["snr_db"] is None
