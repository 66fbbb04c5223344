import numpy as np
import pytest

from waveunet_tf.configs.training import TrainingConfig
from waveunet_tf.data import speeds

FRAMES = 3000


def played(tone_of_frames, speed, change):
    """A tone, a function of frames, as it is heard at a speed."""
    training = TrainingConfig(max_speed_change=change)
    frames = np.arange(speeds.frames_read(FRAMES, training)) - speeds.LEAD
    samples = np.repeat(tone_of_frames(frames)[None, :, None], 2, axis=-1)
    found = speeds.play(
        samples.astype(np.float32), np.array([speed], np.int32), FRAMES, training
    )
    assert found.shape == (1, FRAMES, 2)
    return np.asarray(found)[0, :, 1]


def tone(frequency):
    return lambda frames: np.sin(2 * np.pi * frequency * frames + 0.3)


@pytest.mark.parametrize("speed", [219, 240, 270, 299])
@pytest.mark.parametrize("frequency", [0.01, 0.15, 0.3])
def test_a_tone_at_another_speed_is_a_tone_of_another_pitch(speed, frequency):
    expected = tone(frequency * speed / 256)(np.arange(FRAMES))
    error = played(tone(frequency), speed, 0.17) - expected
    assert 10 * np.log10(np.mean(expected**2) / np.mean(error**2)) > 55


def test_at_their_own_speed_samples_stay_as_they_are():
    noise = np.random.default_rng(0).normal(size=10_000).astype(np.float32)
    found = played(lambda frames: noise[frames + speeds.LEAD], 256, 0.5)
    np.testing.assert_array_equal(found, noise[speeds.LEAD : speeds.LEAD + FRAMES])


def test_a_higher_speed_keeps_out_what_is_far_above_half_the_rate():
    """At the double speed this tone would come down from above half the rate."""
    found = played(tone(0.35), 512, 1.0)
    assert 10 * np.log10(np.mean(found**2) / 0.5) < -35


@pytest.mark.parametrize("change", [0.001, 0.1, 0.17, 1.0])
def test_no_speed_needs_more_frames_than_are_read(change):
    """The last frame that is heard is the last place's at the highest speed."""
    training = TrainingConfig(max_speed_change=change)
    lowest, highest = speeds.limits(training)
    assert 1 / (1 + change) <= lowest / 256 <= 1 <= highest / 256 <= 1 + change
    after = speeds.frames_read(FRAMES, training) - speeds.LEAD
    assert (FRAMES - 1) * highest / 256 + speeds.LEAD + 1 < after + 1


def test_excerpts_have_speeds_of_their_own():
    training = TrainingConfig(max_speed_change=0.5)
    noise = np.random.default_rng(1).normal(size=(3, 80, 2)).astype(np.float32)
    speed = np.array([180, 256, 370], np.int32)
    together = np.asarray(speeds.play(noise, speed, 40, training))
    for number in range(3):
        (alone,) = speeds.play(
            noise[number : number + 1], speed[number : number + 1], 40, training
        )
        np.testing.assert_allclose(alone, together[number], atol=1e-6)
