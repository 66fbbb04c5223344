import pytest

from waveunet_tf.audio.timeline import Timeline

RATE_HZ = 1000


def laid(pieces, start_seconds=None, after_damage=()):
    """The timeline after (timestamp, duration) pieces, and the silence before each."""
    timeline = Timeline(RATE_HZ, start_seconds)
    silences = [
        timeline.place(*piece, number in after_damage)
        for number, piece in enumerate(pieces)
    ]
    return timeline, silences


@pytest.mark.parametrize("first_seconds", [0.0, 10.0, -0.5, None])
def test_pieces_in_a_row_have_no_silence(first_seconds):
    """Wherever the clock begins, and also where it tells nothing."""
    times = [first_seconds and first_seconds + i for i in range(5)]
    timeline, silences = laid([(time, 1.0) for time in times])
    assert silences == [0] * 5
    assert timeline.disagreement() is None
    assert timeline.origin_seconds == (first_seconds or 0.0)


@pytest.mark.parametrize(
    ("start_seconds", "first_seconds", "silence"),
    [(0.0, 1.5, 1500), (1.4, 2.9, 1500), (0.0, 0.001, 0), (2.0, 1.0, 0)],
)
def test_audio_after_the_picture_has_a_lead_in(start_seconds, first_seconds, silence):
    timeline, silences = laid([(first_seconds, 1.0)], start_seconds)
    assert silences == [silence]
    assert timeline.lead_seconds == pytest.approx(silence / RATE_HZ)
    assert timeline.origin_seconds == pytest.approx(first_seconds - silence / RATE_HZ)


@pytest.mark.parametrize(
    ("gap", "is_damaged", "silence"),
    [(0.5, False, 500), (0.05, False, 0), (0.05, True, 50), (0.0, True, 0)],
)
def test_a_gap_is_silent_and_jitter_is_not(gap, is_damaged, silence):
    pieces = [(0.0, 1.0), (1.0 + gap, 1.0)]
    timeline, silences = laid(pieces, after_damage=[1] if is_damaged else [])
    assert silences[1] == pytest.approx(silence, abs=1)
    assert timeline.disagreement() is None


@pytest.mark.parametrize("second_seconds", [-3600.0, 0.0, 20_000.0])
def test_a_jump_of_the_clock_is_no_gap(second_seconds):
    """Two recordings in a row."""
    timeline, silences = laid([(0.0, 1.0), (second_seconds, 1.0), (None, 1.0)])
    assert silences == [0, 0, 0]
    assert timeline.disagreement() is None


@pytest.mark.parametrize("factor", [0.5, 2.0, 1.03])
def test_samples_that_do_not_fit_their_timestamps_are_told(factor):
    timeline, _ = laid([(0.02 * i, 0.02 * factor) for i in range(1000)])
    by_samples, by_timestamps = timeline.disagreement()
    assert by_samples == pytest.approx(20 * factor, rel=0.01)
    assert by_timestamps == pytest.approx(20, rel=0.01)


def test_gaps_everywhere_are_a_disagreement():
    timeline, _ = laid([(0.5 * i, 0.1) for i in range(100)])
    assert timeline.disagreement() == pytest.approx((10, 50), rel=0.02)


def test_one_percent_is_allowed():
    timeline, _ = laid([(0.02 * i, 0.0201) for i in range(1000)])
    assert timeline.disagreement() is None
