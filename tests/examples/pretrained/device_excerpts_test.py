import dataclasses

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from examples.pretrained import coded_stems
from examples.pretrained.device_excerpts import cut_excerpts, draw_numbers
from examples.pretrained.stem_parts import read_stem_parts, write_stem_parts
from waveunet_tf.configs.training import TrainingConfig
from waveunet_tf.data import augmentation, excerpts, prepared
from waveunet_tf.networks import shapes

AUGMENTED = TrainingConfig(
    batch_size=6,
    seed=5,
    remix_probability=0.5,
    swap_probability=0.5,
    polarity_probability=0.5,
    dropout_probability=0.2,
    min_gain=0.5,
)


def snr_db(signal, noise):
    return 10 * np.log10(np.sum(np.square(signal)) / np.sum(np.square(noise)))


def uniform_draws(stems, training):
    """The draws of the data pipeline's first batch."""
    return tf.stack(
        [
            tf.random.stateless_uniform(
                [stems, augmentation.count_draws(training)],
                [training.seed, number],
                dtype=tf.float64,
            )
            for number in range(training.batch_size)
        ]
    )


@pytest.mark.parametrize(("parts", "change"), [(1, 0.0), (2, 0.3)])
def test_excerpts_cut_on_the_device_are_those_of_the_pipeline(
    stems_dir, tiny_config, tmp_path, parts, change
):
    training = dataclasses.replace(AUGMENTED, max_speed_change=change)
    if parts == 2:  # of the accompaniment
        for path in stems_dir.rglob("accompaniment.wav"):
            samples, rate_hz = soundfile.read(path)
            for name, stem in {"drums": 0.5 * samples, "bass": samples[::-1]}.items():
                soundfile.write(path.with_stem(name), stem, rate_hz, subtype="FLOAT")
            path.unlink()
    folders, weights = [stems_dir, stems_dir], [1, 3]
    write_stem_parts(
        folders, tmp_path / "a", part_bytes=10**6, weights=weights, format="flac"
    )
    tracks = prepared.load_all(folders, tiny_config, "train", weights=weights)
    mixture, sources = next(
        iter(excerpts.random_excerpts(tracks, tiny_config, training))
    )
    ours, targets = cut_excerpts(
        uniform_draws(1 + parts, training),
        read_stem_parts(tmp_path / "a", "train", tiny_config),
        shapes.window_frames(tiny_config),
        training,
    )
    assert snr_db(mixture, ours - mixture) > 35
    for name, stem in sources.items():
        assert snr_db(stem, targets[name] - stem) > 35


def test_an_excerpt_of_a_track_shorter_than_the_window_is_silent_around_it(tiny_config):
    """A constant track: the mixture is constant within, and nothing leaks in beside."""
    training = TrainingConfig(batch_size=1, min_gain=1.0)
    window = shapes.window_frames(tiny_config)
    frames = 40
    codes = np.full((2 * frames, 2), coded_stems.encode_samples(np.array(0.5)))
    codes[frames:] = 127  # the next track
    stems = coded_stems.CodedStems(
        ["short", "next"],
        [frames, frames],
        {name: {name: codes} for name in tiny_config.sources},
    )
    draws = np.zeros((1, 2, 7))  # the first track, from its beginning
    draws[..., 3:] = 0.99  # no dropout, swap or change of polarity
    mixture, targets = cut_excerpts(tf.constant(draws), stems, window, training)
    mixture = np.asarray(mixture)[0]
    first = window.context_frames
    level = float(coded_stems.decode_samples(codes[:1, :1])[0, 0])
    expected = np.zeros((window.input_frames, 2))
    expected[first : first + frames] = 2 * level
    np.testing.assert_allclose(mixture, expected, atol=1e-6)
    for target in targets.values():
        middle = expected[first : first + window.output_frames] / 2
        np.testing.assert_allclose(np.asarray(target)[0], middle, atol=1e-6)


def test_swapped_channels_and_gains_are_each_stems_own(tiny_config):
    training = TrainingConfig(
        batch_size=1, min_gain=0.5, swap_probability=0.5, polarity_probability=0.5
    )
    window = shapes.window_frames(tiny_config)
    left, right = (coded_stems.encode_samples(np.array(level)) for level in (0.2, 0.6))
    codes = np.tile(np.array([[left, right]], np.int8), (5000, 1))
    stems = coded_stems.CodedStems(
        ["one"], [5000], {name: {name: codes} for name in tiny_config.sources}
    )
    draws = np.full((1, 2, 7), 0.5)
    draws[0, :, 3] = 0.0, 1.0  # gains of 0.5 and 1
    draws[0, :, 4] = 0.9, 0.1  # the second one's polarity is turned
    draws[0, :, 6] = 0.1, 0.9  # the first one's channels are swapped
    _, targets = cut_excerpts(tf.constant(draws), stems, window, training)
    decoded = np.asarray(coded_stems.decode_samples(codes[0]))
    first, second = (np.asarray(targets[name])[0, 0] for name in tiny_config.sources)
    np.testing.assert_allclose(first, 0.5 * decoded[::-1], atol=1e-6)
    np.testing.assert_allclose(second, -decoded, atol=1e-6)


def test_draws_depend_on_seed_and_step_alone():
    training = TrainingConfig(seed=3)
    codes = {"accompaniment": {"bass": None, "drums": None}, "vocals": {"vocals": None}}
    stems = coded_stems.CodedStems([], [], codes)
    first = draw_numbers(stems, training, 0, 50)
    assert first.shape == (50, 3, 7)
    assert (first.dtype, first.min() >= 0, first.max() < 1) == (np.float32, True, True)
    np.testing.assert_array_equal(first, draw_numbers(stems, training, 0, 50))
    assert np.any(first != draw_numbers(stems, training, 1, 50))
    other = dataclasses.replace(training, seed=4)
    assert np.any(first != draw_numbers(stems, other, 0, 50))
