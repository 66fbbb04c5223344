import keras
import numpy as np
import pytest

from waveunet_tf.networks import spectrogram_layers

TRANSFORM = {"fft_frames": 64, "hop_frames": 48}


def noise(frames, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, (1, frames, 1)).astype("f")


def values(tensor):
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def test_the_stft_is_that_of_hann_windows():
    audio = noise(64 + 3 * 48)
    real, imaginary = spectrogram_layers.STFT(**TRANSFORM)(audio)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(64) / 64)
    for step in range(4):
        expected = np.fft.rfft(window * audio[0, 48 * step :, 0][:64])
        np.testing.assert_allclose(values(real)[0, step], expected.real, atol=1e-5)
        np.testing.assert_allclose(values(imaginary)[0, step], expected.imag, atol=1e-5)


def test_a_mask_of_ones_gives_the_mixture_back():
    audio = noise(64 + 7 * 48)
    spectrum = spectrogram_layers.STFT(**TRANSFORM)(audio)
    ones = np.ones(spectrum[0].shape, np.float32)
    back = values(spectrogram_layers.MaskedAudio(**TRANSFORM)([ones, *spectrum]))
    assert back.shape == audio.shape
    # At both ends there is no second window to overlap with.
    np.testing.assert_allclose(back[:, 16:-16], audio[:, 16:-16], atol=1e-5)


@pytest.mark.parametrize(("fft", "hop"), [(64, 48), (64, 63), (64, 16), (32, 5)])
def test_the_way_back_to_audio_is_that_of_tensorflow(fft, hop):
    """At any ratio of window and hop, of any spectrogram, up to the ends."""
    import tensorflow as tf

    draw = np.random.default_rng(4).normal
    spectrum = [draw(size=(2, 6, fft // 2 + 1)).astype("f") for _ in range(2)]
    ones = np.ones_like(spectrum[0])
    layer = spectrogram_layers.MaskedAudio(fft_frames=fft, hop_frames=hop)
    expected = tf.signal.inverse_stft(
        tf.complex(*spectrum),
        fft,
        hop,
        window_fn=tf.signal.inverse_stft_window_fn(hop),
    )
    ours = values(layer([ones, *spectrum]))
    assert ours.shape == (2, fft + 5 * hop, 1)
    np.testing.assert_allclose(ours[..., 0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("frames", [64, 111, 112, 64 + 5 * 48])
def test_steps_are_the_windows_that_fit(frames):
    stft = spectrogram_layers.STFT(**TRANSFORM)
    real, imaginary = stft(noise(frames))
    starts = range(0, frames - 64 + 1, 48)
    assert real.shape == imaginary.shape == (1, len(starts), 33)
    assert stft.compute_output_shape((1, frames, 1)) == (real.shape, imaginary.shape)
    assert stft.frames(len(starts)) == starts[-1] + 64
    assert stft.steps(None) is stft.frames(None) is None


def test_the_networks_input_is_the_logarithm_without_the_nyquist_bin():
    magnitude = np.random.default_rng(0).uniform(0, 3, (2, 4, 33)).astype("f")
    features = values(spectrogram_layers.NetworkInput()(magnitude))
    assert features.shape == (2, 4, 32, 1)
    np.testing.assert_allclose(
        features[..., 0], np.log(1 + magnitude[..., :32]), rtol=1e-5
    )
    again = values(spectrogram_layers.NyquistMask()(features))
    np.testing.assert_array_equal(again[..., :32], features[..., 0])
    np.testing.assert_array_equal(again[..., 32], 0.5)


def test_the_magnitude_of_silence_has_a_gradient():
    import tensorflow as tf

    silence = tf.zeros((1, 2, 3))
    with tf.GradientTape() as tape:
        tape.watch(silence)
        magnitude = spectrogram_layers.Magnitude()((silence, silence))
    gradient = tape.gradient(magnitude, silence)
    np.testing.assert_array_equal(gradient, np.zeros((1, 2, 3)))
    assert values(magnitude).max() <= 1e-12


@pytest.mark.parametrize("start", ["mixture", "random"])
def test_griffin_lim_makes_the_spectrum_more_consistent_each_time(start):
    """|S - STFT(iSTFT(S))| falls with every iteration (Griffin and Lim, 1984)."""
    audio, other = noise(64 + 40 * 48), noise(64 + 40 * 48, seed=1)
    stft = spectrogram_layers.STFT(fft_frames=64, hop_frames=16)
    real, imaginary = stft(audio)
    mask = np.abs(values(stft(other)[0]))
    mask = (mask / mask.max()).astype("f")
    magnitude = mask * np.hypot(values(real), values(imaginary))
    distances = []
    for iterations in range(1, 9):
        layer = spectrogram_layers.MaskedAudio(
            fft_frames=64, hop_frames=16, phase_iterations=iterations, phase_start=start
        )
        refined = stft(layer([mask, real, imaginary]))
        reached = np.hypot(*map(values, refined))
        distances.append(np.linalg.norm(reached - magnitude))
    assert all(later < earlier for earlier, later in zip(distances, distances[1:]))
    assert distances[-1] < 0.95 * distances[0]
