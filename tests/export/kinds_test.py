"""The kinds of numbers are the same to all that know of them."""

from tests.command_line import run_here
from waveunet_tf.export import parity_tables
from waveunet_tf.export.arm64 import comparison
from waveunet_tf.export.kinds import CALIBRATED, KINDS


def test_every_kind_has_a_floor_or_is_measured_against_one_that_has():
    assert {*parity_tables.FLOORS_DB, "mixed"} == set(KINDS)
    assert len(set(KINDS)) == len(KINDS)
    assert set(CALIBRATED) < set(KINDS)


def test_every_kind_has_a_bound_on_arm():
    assert sorted(comparison.BOUNDS) == sorted(KINDS)


def test_every_kind_is_a_format_of_export():
    text = run_here("waveunet_tf export", "--help").stdout
    for kind in KINDS:
        assert f"tflite_{kind}" in text


def test_the_docs_name_every_kind():
    from tests.command_line import ROOT

    text = (ROOT / "docs" / "mobile.md").read_text(encoding="utf-8")
    for kind in KINDS:
        assert kind in text
