import numpy as np
import pytest
import tensorflow as tf

from waveunet_tf.networks import cpu_gradients


@pytest.mark.parametrize("taps", [1, 4, 15])
@pytest.mark.parametrize("frames", [20, 767, 768, 1025, 1280])
def test_the_fast_gradient_of_a_convolution_is_its_gradient(taps, frames):
    draw = np.random.default_rng(1).normal
    inputs = tf.constant(draw(size=(2, frames + taps - 1, 3)), tf.float32)
    kernel = tf.constant(draw(size=(taps, 3, 5)), tf.float32)
    upstream = tf.constant(draw(size=(2, frames, 5)), tf.float32)
    computed = {}
    for function in (
        cpu_gradients.convolve,
        lambda inputs, kernel: tf.nn.conv1d(inputs, kernel, 1, "VALID"),
    ):
        with tf.GradientTape() as tape:
            tape.watch([inputs, kernel])
            outputs = function(inputs, kernel)
        gradients = tape.gradient(outputs, [inputs, kernel], upstream)
        computed[function] = [outputs, *gradients]
    for one, other in zip(*computed.values()):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_fast_gradient_of_leaky_relu_is_its_gradient(dtype):
    inputs = tf.cast([-3.0, -1.0, 0.5, 2.0], dtype)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = cpu_gradients.leaky_relu(inputs, 0.2)
    gradient = tape.gradient(outputs, inputs, tf.cast([1.0, -2.0, 3.0, -4.0], dtype))
    np.testing.assert_allclose(
        tf.cast(outputs, tf.float32), [-0.6, -0.2, 0.5, 2.0], rtol=1e-2
    )
    np.testing.assert_allclose(
        tf.cast(gradient, tf.float32), [0.2, -0.4, 3.0, -4.0], rtol=1e-2
    )


def test_the_kernels_gradient_is_the_sum_over_all_frames():
    """Against its definition in NumPy: dK[t] = sum over n of x[n + t] dy[n]."""
    draw = np.random.default_rng(2).normal
    inputs = draw(size=(2, 1000 + 8, 2)).astype("f")
    upstream = draw(size=(2, 1000, 3)).astype("f")
    kernel = tf.Variable(draw(size=(9, 2, 3)).astype("f"))
    with tf.GradientTape() as tape:
        outputs = cpu_gradients.convolve(tf.constant(inputs), kernel)
    gradient = tape.gradient(outputs, kernel, tf.constant(upstream))
    for tap in range(9):
        expected = np.einsum("bnf,bng->fg", inputs[:, tap : tap + 1000], upstream)
        np.testing.assert_allclose(gradient[tap], expected, rtol=1e-3, atol=1e-3)


def test_a_graph_of_any_number_of_frames_has_the_same_gradients():
    kernel = tf.constant(np.random.default_rng(3).normal(size=(15, 2, 3)), tf.float32)

    def gradients(inputs):
        with tf.GradientTape() as tape:
            tape.watch([inputs, kernel])
            loss = tf.reduce_sum(tf.square(cpu_gradients.convolve(inputs, kernel)))
        return tape.gradient(loss, [inputs, kernel])

    open_frames = tf.function(
        gradients, input_signature=[tf.TensorSpec((None, None, 2), tf.float32)]
    )
    inputs = tf.constant(np.random.default_rng(4).normal(size=(1, 900, 2)), tf.float32)
    for one, other in zip(open_frames(inputs), gradients(inputs)):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-2)


def test_leaky_relu_keeps_the_shape_and_has_the_given_slope():
    inputs = tf.constant(np.random.default_rng(5).normal(size=(2, 7, 3)), tf.bfloat16)
    for slope in (0.0, 0.2, 1.0):
        outputs = cpu_gradients.leaky_relu(inputs, slope)
        assert (outputs.shape, outputs.dtype) == (inputs.shape, tf.bfloat16)
        exact = tf.cast(inputs, tf.float32)
        np.testing.assert_allclose(
            tf.cast(outputs, tf.float32), np.maximum(exact, slope * exact), rtol=1e-2
        )


def test_a_gpu_is_where_tensorflow_lists_one(monkeypatch):
    for devices in ([], ["/device:GPU:0"]):
        monkeypatch.setattr(
            tf.config, "list_logical_devices", lambda kind, given=devices: given
        )
        assert cpu_gradients.on_gpu() is bool(devices)
