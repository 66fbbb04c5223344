import dataclasses

import keras
import numpy as np
import pytest

from tests.training.trainings import MINI, MINI_U7
from waveunet_tf.configs.training import TrainingConfig
from waveunet_tf.errors import InputError
from waveunet_tf.networks import shapes
from waveunet_tf.networks.build import build_network
from waveunet_tf.training.objective import build_objective

GENERATOR = np.random.default_rng(8)


def batch_of(config):
    """A mixture, targets and weights of noise; the last frames have no weight."""
    window = shapes.window_frames(config)
    mixture = GENERATOR.uniform(-0.5, 0.5, (2, window.input_frames, config.channels))
    shape = (2, window.output_frames, config.channels)
    targets = {
        source: GENERATOR.uniform(-0.5, 0.5, shape).astype("f")
        for source in config.sources
    }
    weights = np.ones((2, window.output_frames, 1), "f")
    weights[1, window.output_frames // 2 :] = 0
    return mixture.astype("f"), targets, weights


def squared_error(targets, estimates, weights):
    channels = next(iter(targets.values())).shape[-1]
    errors = [
        np.sum(weights * (targets[source] - np.asarray(estimates[source])) ** 2)
        for source in targets
    ]
    return np.mean(errors) / weights.sum() / channels


@pytest.mark.parametrize("training", [True, False])
def test_the_loss_of_waveforms_is_that_of_the_networks_output(training):
    keras.utils.set_random_seed(2)
    network = build_network(MINI)
    objective = build_objective(MINI, network, TrainingConfig())
    mixture, targets, weights = batch_of(MINI)
    value = objective(mixture, targets, weights, training=training)
    estimates = network(mixture, training=training)
    expected = squared_error(targets, estimates, weights)
    assert float(value.loss) == pytest.approx(expected, rel=1e-5)
    assert float(value.weight) == weights.sum()
    for source, estimate in estimates.items():
        np.testing.assert_allclose(value.estimates[source], estimate, atol=1e-6)


def test_a_training_may_name_another_loss():
    network = build_network(MINI)
    mixture, targets, weights = batch_of(MINI)
    losses = [
        float(
            build_objective(MINI, network, TrainingConfig(loss=name))(
                mixture, targets, weights, training=False
            ).loss
        )
        for name in ("mse", "l1", "sdr")
    ]
    assert losses[0] < losses[1]  # errors below 1 are greater than their squares
    assert losses[2] < 10 * np.log10(2)  # of an untrained network: about 0 dB


def magnitudes(audio):
    """`(batch, frames, 1)` → `(batch, steps, bins)`, by NumPy."""
    size, hop = MINI_U7.fft_frames, MINI_U7.hop_frames
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    steps = 1 + (audio.shape[1] - size) // hop
    windows = [audio[:, hop * n : hop * n + size, 0] * window for n in range(steps)]
    return np.abs(np.fft.rfft(np.stack(windows, axis=1)))


def test_the_loss_of_magnitudes_is_the_mean_absolute_difference_of_stfts():
    keras.utils.set_random_seed(2)
    network = build_network(MINI_U7)
    training = TrainingConfig(loss="magnitude_l1")
    objective = build_objective(MINI_U7, network, training)
    mixture, targets, weights = batch_of(MINI_U7)
    value = objective(mixture, targets, weights, training=False)
    masks = keras.Model(
        network.input,
        [network.get_layer(f"{name}_nyquist").output for name in MINI_U7.sources],
    )
    of_mixture = magnitudes(mixture)
    steps = of_mixture.shape[1]
    of_steps = weights[:, : steps * MINI_U7.hop_frames : MINI_U7.hop_frames]
    errors = [
        np.abs(magnitudes(targets[name]) - np.asarray(mask) * of_mixture) * of_steps
        for name, mask in zip(MINI_U7.sources, masks(mixture))
    ]
    expected = np.sum(errors) / of_steps.sum() / errors[0].shape[-1] / len(errors)
    assert float(value.loss) == pytest.approx(expected, rel=1e-4)
    assert float(value.weight) == of_steps.sum()
    assert value.estimates is None


def test_magnitudes_need_a_spectrogram_network():
    training = TrainingConfig(loss="magnitude_l1")
    with pytest.raises(InputError, match="`loss` must be mse or l1 or sdr for"):
        build_objective(MINI, build_network(MINI), training)


@pytest.mark.parametrize("name", ["mse", "l1", "sdr"])
@pytest.mark.parametrize("output_type", ["difference", "direct"])
def test_the_mixtures_loss_is_that_of_the_mixture_as_every_estimate(name, output_type):
    config = dataclasses.replace(MINI, output_type=output_type)
    objective = build_objective(
        config, build_network(config), TrainingConfig(loss=name)
    )
    mixture, targets, weights = batch_of(config)
    mixture *= 0.1
    first = shapes.window_frames(config).context_frames
    centre = mixture[:, first : first + weights.shape[1]]
    errors = [(target - centre) * weights for target in targets.values()]
    frames = weights.sum() * config.channels * len(errors)
    expected = {
        "mse": sum(np.sum(error**2) for error in errors) / frames,
        "l1": sum(np.sum(np.abs(error)) for error in errors) / frames,
        "sdr": np.average(
            np.mean([level_db(error, targets, weights) for error in errors], axis=0),
            weights=weights.sum(axis=(1, 2)),
        ),
    }
    loss = objective.of_mixture(mixture, targets, weights)
    assert float(loss) == pytest.approx(expected[name], rel=1e-4)


def level_db(error, targets, weights):
    """Each excerpt's error in dB of the true mixture, with the floor of -30 dB."""
    energies = np.sum(error**2, axis=(1, 2))
    mixture = np.sum((sum(targets.values()) * weights) ** 2, axis=(1, 2))
    return 10 * np.log10(energies / mixture + 1e-3)


def test_the_mixtures_loss_of_magnitudes_is_that_of_a_mask_of_ones():
    training = TrainingConfig(loss="magnitude_l1")
    objective = build_objective(MINI_U7, build_network(MINI_U7), training)
    mixture, targets, weights = batch_of(MINI_U7)
    of_mixture = magnitudes(mixture)
    steps = of_mixture.shape[1]
    of_steps = weights[:, : steps * MINI_U7.hop_frames : MINI_U7.hop_frames]
    errors = [
        np.abs(magnitudes(target) - of_mixture) * of_steps
        for target in targets.values()
    ]
    expected = np.sum(errors) / of_steps.sum() / errors[0].shape[-1] / len(errors)
    loss = objective.of_mixture(mixture, targets, weights)
    assert float(loss) == pytest.approx(expected, rel=1e-4)
