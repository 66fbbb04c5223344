import keras
import numpy as np
import pytest
import tensorflow as tf

from waveunet_tf.checkup.drills import Drill, in_way, noise_batches
from waveunet_tf.checkup.sizes import Way
from waveunet_tf.networks import shapes


def test_a_course_has_the_gradient_that_a_tape_finds(mini_sizes):
    config = mini_sizes.small
    batches = noise_batches(config, 2, 2)
    drill = Drill(config, Way(), plain=True)
    mixture, targets = batches[0]
    with tf.GradientTape() as tape:
        estimates = drill.network(mixture, training=True)
        loss = tf.reduce_mean(
            [tf.reduce_mean((targets[name] - estimates[name]) ** 2) for name in targets]
        )
    weights = drill.network.trainable_variables
    expected = dict(zip([one.path for one in weights], tape.gradient(loss, weights)))
    course = drill.course(batches)
    assert course.losses[0] == pytest.approx(float(loss), rel=1e-5)
    assert len(course.losses) == 2 and course.losses[1] != course.losses[0]
    assert course.gradients.keys() == expected.keys()
    for name, gradient in course.gradients.items():
        np.testing.assert_allclose(gradient, expected[name], rtol=1e-3, atol=1e-7)


def test_a_way_sets_precision_and_tf32_and_puts_both_back():
    tf32 = tf.config.experimental.tensor_float_32_execution_enabled
    before = tf32()
    with in_way(Way("mixed_bfloat16", tf32=False)):
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
        assert not tf32()
    assert keras.config.dtype_policy().name == "float32"
    assert tf32() == before


def test_batches_are_noise_whose_sources_sum_up_to_the_mixture(mini_sizes):
    config = mini_sizes.small
    window = shapes.window_frames(config)
    first, second = noise_batches(config, 3, 2)
    mixture, targets = first
    assert mixture.shape == (3, window.input_frames, config.channels)
    centre = mixture[:, window.context_frames :][:, : window.output_frames]
    np.testing.assert_allclose(centre, sum(targets.values()), atol=1e-6)
    assert not np.allclose(mixture, second[0])


def test_the_rate_is_that_of_the_steps(mini_sizes, monkeypatch):
    drill = Drill(mini_sizes.small, Way(), plain=True)
    times = iter(np.arange(100) * 0.5)  # each look at the clock is half a second later
    monkeypatch.setattr("time.perf_counter", lambda: next(times))
    monkeypatch.setattr(drill, "step", lambda batch: type("Result", (), {"loss": 1.0}))
    # Looks: the beginning, one a step and one too many, the end.
    assert drill.steps_per_second(None, 2.0) == pytest.approx(3 / 2.5)
