import io
import logging as python_logging

import pytest
from absl import logging

from waveunet_tf.system import progress_lines


@pytest.fixture
def clock(monkeypatch):
    """A clock that only moves where a test moves it, by `clock.append`."""
    times = [0.0]
    monkeypatch.setattr(progress_lines.time, "monotonic", lambda: sum(times))
    return times


def lines_of(caplog, clock, seconds):
    """What is logged while each of six songs takes so long."""
    with caplog.at_level(python_logging.INFO, logger=logging.get_absl_logger().name):
        for item in progress_lines.with_progress(range(6), "teach", 6, "song"):
            clock.append(seconds)
            assert item in range(6)
    return caplog.messages


def test_a_log_has_a_line_a_minute_with_the_time_that_is_left(caplog, clock):
    assert lines_of(caplog, clock, 40) == [
        "teach: 2 of 6 songs, 0:02:40 left",
        "teach: 4 of 6 songs, 0:01:20 left",
    ]


def test_what_takes_less_than_a_minute_needs_no_line(caplog, clock):
    assert lines_of(caplog, clock, 9) == []


def test_a_terminal_has_a_bar(monkeypatch, caplog, clock):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stderr", terminal)
    assert lines_of(caplog, clock, 100) == []
    assert "teach: 100%" in terminal.getvalue()
    assert "6/6" in terminal.getvalue()
