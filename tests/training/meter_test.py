import pytest

from waveunet_tf.training.meter import Meter


class Clock:
    """A clock that the test sets, in seconds."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_rates_are_over_the_whole_epoch():
    clock = Clock()
    meter = Meter(clock)
    for _ in range(6):
        clock.now += 0.5
        meter.add(1.0, 1.0, audio_seconds=4.0, waited_seconds=0.0)
    meter.point()
    assert meter.step_rate == pytest.approx(2)
    assert meter.audio_rate == pytest.approx(8)


def test_a_point_is_the_mean_since_the_last_one():
    clock = Clock()
    meter = Meter(clock)
    meter.add(100.0, 100.0, audio_seconds=9.0, waited_seconds=9.0)
    clock.now += 1
    assert meter.point()["loss"] == 100
    for loss in (1.0, 3.0):
        clock.now += 2
        meter.add(loss, 10 * loss, audio_seconds=8.0, waited_seconds=0.5)
    assert meter.point() == pytest.approx(
        {
            "loss": 2,
            "gradient_norm": 20,
            "steps_per_second": 0.5,
            "audio_seconds_per_second": 4,
            "input_wait_share": 0.25,
        }
    )
