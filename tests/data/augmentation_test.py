import math

import numpy as np
import pytest

from waveunet_tf.configs.training import TrainingConfig
from waveunet_tf.data import augmentation, speeds
from waveunet_tf.networks.shapes import WindowFrames

WINDOW = WindowFrames(input_frames=1000, output_frames=400)
LENGTHS = (5000, 700, 100_000)
DRAWS = 8


def excerpts_of(draws, lengths=LENGTHS, weights=None, **fields):
    """The track, start, gain, swap and perhaps speed of each stem, as NumPy arrays."""
    training = TrainingConfig(**fields)
    found = augmentation.excerpts_of(draws, lengths, WINDOW, training, weights)
    return [np.asarray(values) for values in found if values is not None]


def draw(*shape, seed=0):
    return np.random.default_rng(seed).random((*shape, DRAWS))


def one_by_one(draws, training):
    """What each stem of one excerpt becomes, in plain Python."""
    weights = LENGTHS if training.track_sampling == "length" else [1] * len(LENGTHS)
    gains, stems = [], []
    for own in draws:
        place = own if draws[0][2] < training.remix_probability else draws[0]
        track, left = 0, place[0] * sum(weights)
        while left >= weights[track]:
            left -= weights[track]
            track += 1
        context, heard, lead, speed = WINDOW.context_frames, 1000, 0, []
        if change := training.max_speed_change:
            low, high = math.ceil(256 / (1 + change)), math.floor(256 * (1 + change))
            speed = [low + int(place[7] * (high - low + 1))]
            context = context * speed[0] // 256
            heard, lead = 999 * speed[0] // 256 + 1, speeds.LEAD
        starts = max(LENGTHS[track] + 2 * context - heard, 0) + 1
        start = int(place[1] * starts) - context - lead
        gain = training.min_gain + (1 - training.min_gain) * own[3]
        gains.append(-gain if own[4] < training.polarity_probability else gain)
        stems.append([track, start, own[6] < training.swap_probability, *speed])
    silent = [own[5] < training.dropout_probability for own in draws]
    if not all(silent):
        gains = [0.0 if dropped else gain for dropped, gain in zip(silent, gains)]
    return [
        [track, start, gain, *others]
        for (track, start, *others), gain in zip(stems, gains)
    ]


@pytest.mark.parametrize("change", [0.0, 0.17])
@pytest.mark.parametrize("track_sampling", ["even", "length"])
def test_draws_become_what_plain_python_makes_of_them(track_sampling, change):
    fields = {
        "track_sampling": track_sampling,
        "max_speed_change": change,
        "min_gain": 0.3,
        "remix_probability": 0.5,
        "swap_probability": 0.4,
        "polarity_probability": 0.3,
        "dropout_probability": 0.6,
    }
    draws = draw(300, 3)
    found = np.stack(excerpts_of(draws, **fields), axis=-1)
    expected = [one_by_one(stems, TrainingConfig(**fields)) for stems in draws]
    np.testing.assert_allclose(found, np.array(expected, float), atol=1e-6)


@pytest.mark.parametrize("shape", [(2,), (5, 2), (4, 5, 3)])
def test_excerpts_have_the_shape_and_types_of_their_draws(shape):
    track, start, gain, swapped = excerpts_of(draw(*shape))
    assert {array.shape for array in (track, start, gain, swapped)} == {shape}
    assert (track.dtype, start.dtype) == (np.int32, np.int32)
    assert (gain.dtype, swapped.dtype) == (np.float32, bool)


def test_an_excerpt_does_not_depend_on_those_beside_it():
    draws = draw(20, 2)
    fields = {"remix_probability": 0.5, "dropout_probability": 0.5}
    whole = excerpts_of(draws, **fields)
    for number in range(20):
        for alone, beside in zip(excerpts_of(draws[number], **fields), whole):
            np.testing.assert_array_equal(alone, beside[number])


@pytest.mark.parametrize(("lowest", "draws"), [(True, 0.0), (False, 1 - 2**-53)])
def test_the_first_and_last_starts_have_the_context_around_the_track(lowest, draws):
    for length in LENGTHS:
        values = np.full((1, DRAWS), draws)
        (track,), (start,), _, _ = excerpts_of(values, (length,))
        assert track == 0
        if lowest:
            assert start == -WINDOW.context_frames
        else:
            assert start + WINDOW.input_frames == length + WINDOW.context_frames


def test_excerpts_of_many_minutes_at_other_speeds_lie_within_their_track():
    """As `waveunet data --seconds` draws them."""
    frames, most = 40_000_000, 44_000_000  # a quarter of an hour at 44.1 kHz
    training = TrainingConfig(max_speed_change=0.1)
    window = WindowFrames(frames, frames)
    found = augmentation.excerpts_of(draw(100, 2), [2 * most], window, training)
    start, speed = (np.asarray(own)[:, 0] for own in (found.start, found.speed))
    assert start.min() >= -speeds.LEAD
    last = start + speeds.LEAD + (frames - 1) * speed.astype(np.int64) // 256
    assert 1.5 * most < last.max() < 2 * most


def test_starts_are_uniform_to_the_last_frame():
    """As many starts of each number of a track that has just a few."""
    lengths = (WINDOW.output_frames + 4,)
    draws = np.zeros((10_000, 1, DRAWS))
    draws[:, 0, 1] = (np.arange(10_000) + 0.5) / 10_000
    start = excerpts_of(draws, lengths)[1][:, 0] + WINDOW.context_frames
    np.testing.assert_array_equal(np.bincount(start), [2000] * 5)


def test_a_track_shorter_than_the_output_begins_at_its_context():
    start = excerpts_of(draw(50, 2), (10,))[1]
    assert (start == -WINDOW.context_frames).all()


def test_all_stems_have_one_place_unless_they_are_remixed():
    track, start, _, _ = excerpts_of(draw(200, 4), remix_probability=0.0)
    assert (track == track[:, :1]).all()
    assert (start == start[:, :1]).all()
    track, start, _, _ = excerpts_of(draw(200, 4), remix_probability=1.0)
    assert (start != start[:, :1]).any(axis=1).mean() > 0.95


def test_without_augmentation_every_gain_is_1():
    _, _, gain, swapped = excerpts_of(draw(100, 2), min_gain=1.0)
    assert (gain == 1).all()
    assert not swapped.any()


def test_never_are_all_stems_silent():
    _, _, gain, _ = excerpts_of(draw(500, 3), dropout_probability=0.9)
    assert (gain != 0).any(axis=1).all()
    # Some, but not all: where all are drawn, and where none is, every stem is heard.
    some = 1 - 0.9**3 - 0.1**3
    assert (gain == 0).any(axis=1).mean() == pytest.approx(some, abs=0.06)


@pytest.mark.parametrize("track_sampling", ["even", "length"])
def test_a_weight_of_three_is_a_track_that_is_there_three_times(track_sampling):
    draws = draw(300, 2)
    fields = {"track_sampling": track_sampling, "remix_probability": 0.5}
    lengths = np.array(LENGTHS)[thrice := [0, 1, 1, 1, 2]]
    track, *expected = excerpts_of(draws, lengths, **fields)
    weighted = excerpts_of(draws, weights=(1, 3, 1), **fields)
    for one, other in zip(weighted, [np.array(thrice)[track], *expected]):
        np.testing.assert_array_equal(one, other)


def test_equal_weights_of_any_size_change_nothing():
    draws = draw(300, 2)
    expected = excerpts_of(draws)
    for weight in (1, 2.5):
        for one, other in zip(excerpts_of(draws, weights=[weight] * 3), expected):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("track_sampling", "shares"), [("even", (25, 75)), ("length", (5, 95))]
)
def test_shares_of_the_excerpts_are_told_by_data_set(track_sampling, shares):
    lines = augmentation.share_lines(
        ["a", "b", "a", "b"],
        [100, 300, 100, 1600],
        TrainingConfig(track_sampling=track_sampling),
        [1, 3, 1, 3] if track_sampling == "even" else [1, 2, 1, 2],
    )
    assert lines == [
        f"{share}.0% of the excerpts from {name} (2 tracks)"
        for name, share in zip("ab", shares)
    ]
