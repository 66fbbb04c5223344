import numpy as np
import pytest

from waveunet_tf.audio.blocks import Queue, to_channels
from waveunet_tf.errors import InputError


def test_channels_are_repeated_or_averaged():
    stereo = np.array([[1.0, 3.0]], np.float32)
    np.testing.assert_array_equal(to_channels(stereo, 1), [[2]])
    np.testing.assert_array_equal(to_channels(stereo[:, :1], 2), [[1, 1]])
    np.testing.assert_array_equal(to_channels(stereo, 2), stereo)


@pytest.mark.parametrize(("channels", "wished"), [(6, 1), (6, 2), (1, 6), (2, 6)])
def test_more_than_two_channels_are_refused(channels, wished):
    with pytest.raises(InputError, match="1 or 2 channels. Received: 6 channels"):
        to_channels(np.zeros((5, channels)), wished)


def test_mono_made_stereo_and_mono_again_is_as_it_was():
    mono = np.random.default_rng(0).normal(size=(100, 1)).astype(np.float32)
    np.testing.assert_array_equal(to_channels(to_channels(mono, 2), 1), mono)


@pytest.mark.parametrize("seed", range(20))
def test_a_queue_gives_the_frames_of_a_list(seed):
    generator = np.random.default_rng(seed)
    queue, waiting, number = Queue(2), [], 0
    for _ in range(50):
        if generator.random() < 0.5:
            frames = int(generator.integers(0, 9))
            block = np.arange(number, number + frames, dtype=np.float32)
            number += frames
            queue.put(np.stack([block, -block], axis=1))
            waiting += list(block)
        else:
            frames = int(generator.integers(0, 12))
            seen = int(generator.integers(0, 12)) if generator.random() < 0.5 else None
            taken = queue.take(frames, seen)
            expected = waiting[: frames if seen is None else seen]
            np.testing.assert_array_equal(taken[:, 0], expected)
            np.testing.assert_array_equal(taken[:, 1], -taken[:, 0])
            assert taken.dtype == np.float32
            waiting = waiting[frames:]
        assert len(queue) == len(waiting)


def test_an_empty_queue_gives_no_frames_of_its_channels():
    assert Queue(2).take(5).shape == (0, 2)
