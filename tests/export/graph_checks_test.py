import numpy as np
import pytest
import tensorflow as tf

from waveunet_tf.export import graph_checks


def in_graph(function, *specs):
    """A function traced once for these, as a server runs it."""
    return tf.function(function, autograph=False).get_concrete_function(*specs)


def refused(match):
    return pytest.raises(tf.errors.InvalidArgumentError, match=match)


@pytest.fixture(scope="module")
def rules():
    """A number that must be positive and even."""

    def check(number):
        check = graph_checks.require(
            number,
            (number > 0, "must be positive"),
            (tf.equal(number % 2, 0), "must be even"),
        )
        return graph_checks.after([check], number)

    return in_graph(check, tf.TensorSpec((), tf.int32))


def test_what_keeps_all_rules_passes(rules):
    assert rules(tf.constant(4)).numpy() == 4


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (-2, "must be positive. Received: -2"),
        (3, "must be even. Received: 3"),
        (-3, "must be positive. Received: -3"),  # the first rule that is broken
    ],
)
def test_a_broken_rule_is_named_with_what_was_received(rules, number, message):
    with refused(message):
        rules(tf.constant(number))


def test_a_long_array_is_cut_in_the_message():
    def check(values):
        check = graph_checks.require(values, (tf.constant(False), "must be short"))
        return graph_checks.after([check], values)

    with refused("must be short. Received: ") as caught:
        in_graph(check, tf.TensorSpec((1000,), tf.int32))(tf.range(1000))
    assert "500" not in caught.value.message.splitlines()[0]


def test_a_check_of_a_shape_is_not_removed_though_it_is_known():
    """The signature says two frames, but a server feeds what a client sends."""

    def check(audio):
        audio = graph_checks.of_any_shape(audio)
        assert audio.shape.rank is None
        return tf.shape(audio)

    shape = in_graph(check, tf.TensorSpec((1, 2, 1), tf.float32))
    assert list(shape(tf.zeros((1, 2, 1))).numpy()) == [1, 2, 1]


@pytest.fixture(scope="module")
def audio():
    return in_graph(
        lambda audio: graph_checks.checked_audio(audio, "audio", (1, 2), 3, 21),
        tf.TensorSpec(None, tf.float32),
    )


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 7, 2)])
def test_audio_of_an_allowed_shape_passes(audio, shape):
    samples = np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)
    np.testing.assert_array_equal(audio(tf.constant(samples)), samples)


@pytest.mark.parametrize(
    ("shape", "rule"),
    [
        ((), r"must be \(batch, frames, channels\)"),
        ((7, 2), r"must be \(batch, frames, channels\). Received: \[7 2\]"),
        ((1, 1, 7, 2), r"must be \(batch, frames, channels\)"),
        ((0, 7, 2), "must have a batch of 1 to 3"),
        ((4, 7, 2), r"must have a batch of 1 to 3. Received: \[4 7 2\]"),
        ((1, 0, 2), "must have at least 1 frame"),
        ((1, 22, 2), r"must have at most 21 frames in all. Received: \[1 22 2\]"),
        ((3, 8, 1), "must have at most 21 frames in all"),
        ((1, 7, 0), "must have 1 or 2 channels"),
        ((1, 7, 3), r"must have 1 or 2 channels. Received: \[1 7 3\]"),
    ],
)
def test_audio_of_another_shape_is_refused(audio, shape, rule):
    with refused("`audio` " + rule):
        audio(tf.zeros(shape))


@pytest.mark.parametrize("sample", [np.nan, np.inf, -np.inf])
def test_audio_that_is_no_number_is_refused(audio, sample):
    samples = np.zeros((1, 7, 2), np.float32)
    samples[0, 3, 1] = sample
    with refused("`audio` must hold finite samples"):
        audio(tf.constant(samples))


def test_a_state_has_its_features_and_the_batch_of_the_chunk():
    check = in_graph(
        lambda state, batch: graph_checks.checked_shape(state, "up", [batch, 4, 2]),
        tf.TensorSpec(None, tf.float32),
        tf.TensorSpec((), tf.int32),
    )
    assert check(tf.ones((3, 4, 2)), tf.constant(3)).shape == (3, 4, 2)
    for shape in [(2, 4, 2), (3, 5, 2), (3, 4, 1), (4, 2), (3, 1, 4, 2), ()]:
        with refused(r"`up` must be \(batch, 4, 2\) for this model"):
            check(tf.ones(shape), tf.constant(3))
