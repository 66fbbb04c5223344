import keras
import numpy as np
import pytest

from waveunet_tf.errors import InputError
from waveunet_tf.networks import layers, spectrogram_layers

SIGNAL = np.array([[[1.0, 10.0], [3.0, 20.0], [-1.0, 60.0]]], np.float32)


def values(tensor):
    return keras.ops.convert_to_numpy(tensor)


def test_decimate_keeps_every_second_frame_from_the_first():
    np.testing.assert_array_equal(values(layers.Decimate()(SIGNAL)), SIGNAL[:, [0, 2]])


def test_linear_interpolation_puts_means_between():
    upsampled = values(layers.LinearInterpolation(context=True)(SIGNAL))
    np.testing.assert_allclose(
        upsampled[0], [[1, 10], [2, 15], [3, 20], [1, 40], [-1, 60]]
    )


def test_linear_interpolation_without_context_repeats_the_last_frame():
    upsampled = values(layers.LinearInterpolation(context=False)(SIGNAL))
    np.testing.assert_allclose(
        upsampled[0], [[1, 10], [2, 15], [3, 20], [1, 40], [-1, 60], [-1, 60]]
    )


@pytest.mark.parametrize("context", [True, False])
def test_learned_interpolation_weighs_the_earlier_frame_with_sigmoid(context):
    layer = layers.LearnedInterpolation(context=context)
    layer.build(SIGNAL.shape)
    layer.interpolation.assign([np.log(3.0), -np.log(4.0)])  # σ: 3/4 and 1/5
    upsampled = values(layer(SIGNAL))[0]
    np.testing.assert_allclose(upsampled[:5:2], SIGNAL[0], rtol=1e-6)
    np.testing.assert_allclose(upsampled[1], [1.5, 18], rtol=1e-6)
    np.testing.assert_allclose(upsampled[3], [2, 52], rtol=1e-6)
    if not context:  # the original's "same" convolution sees zeros after the end
        np.testing.assert_allclose(upsampled[5], [-0.75, 12], rtol=1e-6)
    assert len(upsampled) == (5 if context else 6)


def test_interpolation_of_one_frame_gives_that_frame():
    upsampled = values(layers.LinearInterpolation(context=True)(SIGNAL[:, :1]))
    np.testing.assert_array_equal(upsampled, SIGNAL[:, :1])


def test_crop_and_concat_takes_the_centre_and_puts_the_skip_first():
    skip = np.arange(7, dtype=np.float32).reshape(1, 7, 1)
    joined = values(layers.CropAndConcat()([skip, SIGNAL]))
    np.testing.assert_array_equal(joined[0, :, 0], [2, 3, 4])
    np.testing.assert_array_equal(joined[..., 1:], SIGNAL)


@pytest.mark.parametrize(("frames", "first"), [(4, 0), (6, 1), (8, 2)])
def test_an_uneven_crop_takes_one_frame_more_off_the_end(frames, first):
    skip = np.arange(frames, dtype=np.float32).reshape(1, frames, 1)
    joined = values(layers.CropAndConcat(uneven=True)([skip, SIGNAL]))
    np.testing.assert_array_equal(joined[0, :, 0], [first, first + 1, first + 2])


@pytest.mark.parametrize("frames", [2, 3, 5])
def test_a_skip_that_leaves_no_odd_number_is_refused(frames):
    with pytest.raises(InputError, match="frames must fit the network"):
        layers.CropAndConcat(uneven=True)([np.zeros((1, frames, 1), "f"), SIGNAL])


@pytest.mark.parametrize("frames", [2, 6])
def test_a_skip_without_a_centre_is_refused(frames):
    with pytest.raises(InputError, match="frames must fit the network"):
        layers.CropAndConcat()([np.zeros((1, frames, 1), np.float32), SIGNAL])


def test_audio_is_clipped_at_inference_only():
    layer = layers.AudioClip()
    loud = np.array([[[-3.0], [0.5], [2.0]]], np.float32)
    np.testing.assert_array_equal(values(layer(loud))[0, :, 0], [-1, 0.5, 1])
    np.testing.assert_array_equal(values(layer(loud, training=True)), loud)


def test_difference_output_is_the_cropped_mixture_less_the_others():
    mixture = np.array([[[9.0], [0.5], [0.25], [-2.0], [9.0]]], np.float32)
    first = np.array([[[0.25], [0.5], [0.5]]], np.float32)
    second = np.array([[[0.125], [0.0], [-0.5]]], np.float32)
    layer = layers.DifferenceOutput()
    difference = values(layer([mixture, first, second], training=True))
    np.testing.assert_array_equal(difference[0, :, 0], [0.125, -0.25, -2])
    clipped = values(layer([mixture, first, second], training=False))
    np.testing.assert_array_equal(clipped[0, :, 0], [0.125, -0.25, -1])


@pytest.mark.parametrize(
    ("layer", "shapes"),
    [
        (layers.Decimate(), [(2, 9, 3)]),
        (layers.Decimate(), [(2, 8, 3)]),
        (layers.LinearInterpolation(context=True), [(2, 9, 3)]),
        (layers.LinearInterpolation(context=False), [(2, 9, 3)]),
        (layers.LearnedInterpolation(context=True), [(2, 9, 3)]),
        (layers.LearnedInterpolation(context=False), [(2, 9, 3)]),
        (layers.CropAndConcat(), [(2, 9, 3), (2, 5, 4)]),
        (layers.CropAndConcat(uneven=True), [(2, 9, 3), (2, 6, 4)]),
        (layers.AudioClip(), [(2, 9, 3)]),
        (layers.DifferenceOutput(), [(2, 9, 3), (2, 5, 3), (2, 5, 3)]),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_layers_tell_their_output_shape_and_survive_their_config(layer, shapes):
    arguments = [np.ones(shape, np.float32) for shape in shapes]
    single = len(shapes) == 1
    outputs = layer(arguments[0] if single else arguments)
    assert layer.compute_output_shape(shapes[0] if single else shapes) == outputs.shape
    copy = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(layer)
    )
    copy.set_weights(layer.get_weights())
    copied = copy(arguments[0] if single else arguments)
    np.testing.assert_array_equal(values(copied), values(outputs))


CUSTOM = [
    (layers.Decimate, {}, 1),
    (layers.LinearInterpolation, {"context": True}, 1),
    (layers.LinearInterpolation, {"context": False}, 1),
    (layers.LearnedInterpolation, {"context": True}, 1),
    (layers.LearnedInterpolation, {"context": False}, 1),
    (layers.CropAndConcat, {}, 2),
    (layers.AudioClip, {}, 1),
    (layers.DifferenceOutput, {}, 2),
]
SPECTRAL = [
    (spectrogram_layers.STFT, {"fft_frames": 8, "hop_frames": 4}, [(None, 1)]),
    (spectrogram_layers.Magnitude, {}, [(None, 5), (None, 5)]),
    (spectrogram_layers.NetworkInput, {}, [(None, 5)]),
    (spectrogram_layers.NyquistMask, {}, [(None, 4, 1)]),
    (
        spectrogram_layers.MaskedAudio,
        {"fft_frames": 8, "hop_frames": 4, "phase_iterations": 2},
        [(None, 5)] * 3,
    ),
]


@pytest.mark.parametrize(
    ("kind", "arguments", "shapes"),
    [(kind, arguments, [(None, 3)] * count) for kind, arguments, count in CUSTOM]
    + SPECTRAL,
)
def test_layers_are_saved_and_loaded_with_any_batch_and_length(
    kind, arguments, shapes, tmp_path
):
    inputs = [keras.Input(shape) for shape in shapes]
    layer = kind(**arguments)
    outputs = layer(inputs[0] if len(inputs) == 1 else inputs)
    network = keras.Model(inputs, outputs)
    network.save(tmp_path / "layer.keras")
    loaded = keras.saving.load_model(tmp_path / "layer.keras")
    assert loaded.layers[-1].get_config() == layer.get_config()
    generator = np.random.default_rng(0)
    for batch, frames in ((1, 16), (3, 24)):
        arrays = [
            generator.normal(0, 1, (batch, frames, *shape[1:])).astype("f")
            for shape in shapes
        ]
        expected, actual = network(arrays), loaded(arrays)
        shape = layer.compute_output_shape(
            arrays[0].shape if len(arrays) == 1 else [array.shape for array in arrays]
        )
        if kind is spectrogram_layers.STFT:
            (expected, _), (actual, _), (shape, _) = expected, actual, shape
        np.testing.assert_array_equal(values(actual), values(expected))
        assert tuple(expected.shape) == shape


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float16", 2e-3), ("bfloat16", 2e-2)]
)
@pytest.mark.parametrize("mixed", [True, False])
@pytest.mark.parametrize(("kind", "arguments", "count"), CUSTOM)
def test_layers_run_in_half_precision(kind, arguments, count, dtype, tolerance, mixed):
    signal = np.random.default_rng(0).uniform(-1, 1, (2, 9, 3)).astype("f")
    arrays = [signal, signal[:, :5]][:count]
    inputs = arrays[0] if count == 1 else arrays
    full = kind(**arguments)
    half = kind(dtype=f"mixed_{dtype}" if mixed else dtype, **arguments)
    expected = values(full(inputs))
    half(inputs)
    half.set_weights(full.get_weights())
    outputs = half(inputs)
    assert keras.backend.standardize_dtype(outputs.dtype) == dtype
    np.testing.assert_allclose(
        values(keras.ops.cast(outputs, "float32")), expected, atol=tolerance
    )


@pytest.mark.parametrize("context", [True, False])
def test_learned_interpolations_gradient_is_that_of_its_formula(context):
    """Central differences in float64, for the weight and for the input."""
    import tensorflow as tf

    layer = layers.LearnedInterpolation(context=context, dtype="float64")
    generator = np.random.default_rng(0)
    signal = generator.normal(0, 1, (2, 5, 3))
    layer.build(signal.shape)
    weight = generator.normal(0, 1, 3)
    target = generator.normal(0, 1, (2, 10 - context, 3))

    def loss(weight, signal):
        layer.interpolation.assign(weight)
        return tf.reduce_sum(layer(signal) * target)

    layer.interpolation.assign(weight)
    inputs = tf.constant(signal)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        product = tf.reduce_sum(layer(inputs) * target)
    by_weight, by_signal = tape.gradient(product, [layer.interpolation.value, inputs])
    step = 1e-6
    for index in np.ndindex(3):
        offset = np.zeros(3)
        offset[index] = step
        slope = (
            (loss(weight + offset, signal) - loss(weight - offset, signal)) / 2 / step
        )
        assert float(by_weight[index]) == pytest.approx(float(slope), abs=1e-7)
    for index in np.ndindex(signal.shape):
        offset = np.zeros(signal.shape)
        offset[index] = step
        slope = (
            (loss(weight, signal + offset) - loss(weight, signal - offset)) / 2 / step
        )
        assert float(by_signal[index]) == pytest.approx(float(slope), abs=1e-7)
