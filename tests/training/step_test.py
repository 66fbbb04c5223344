import keras
import numpy as np
import pytest
import tensorflow as tf

from waveunet_tf.configs.training import ComputeConfig
from waveunet_tf.training.devices import Devices
from waveunet_tf.training.objective import LossValue
from waveunet_tf.training.step import TrainingStep, ValidationStep, read_results

FACTOR = 0.5
ONE_DEVICE = Devices(tf.distribute.get_strategy())
GENERATOR = np.random.default_rng(6)


def noise(*shape):
    return GENERATOR.normal(0, 0.3, shape).astype("f")


def network_of(factor=FACTOR):
    """A network of one weight: the factor of each sample."""
    dense = keras.layers.Dense(1, use_bias=False)
    network = keras.Sequential([keras.Input((None, 1)), dense])
    network.set_weights([np.full((1, 1), factor, "f")])
    return network


def factor_of(network):
    return network.get_weights()[0].item()


class SquaredError:
    """The mean squared error of source a, which the network estimates."""

    def __init__(self, network, *, with_estimates=True):
        self.network, self.with_estimates = network, with_estimates

    def __call__(self, mixture, targets, weights, *, training):
        estimate = self.network(mixture)
        weight = tf.reduce_sum(weights)
        errors = tf.square(targets["a"] - estimate) * weights
        loss = tf.reduce_sum(errors) / weight
        return LossValue(loss, weight, {"a": estimate} if self.with_estimates else None)

    def of_mixture(self, mixture, targets, weights):
        errors = tf.square(targets["a"] - mixture) * weights
        return tf.reduce_sum(errors) / tf.reduce_sum(weights)


def step_on(network, optimizer=None, *, clip_norm=0.0, mixer=None, **compute):
    # The gradient is subtracted as it is.
    optimizer = optimizer or keras.optimizers.SGD(1.0)
    optimizer.build(network.trainable_variables)
    return TrainingStep(
        ONE_DEVICE,
        network,
        optimizer,
        SquaredError(network),
        ComputeConfig(**compute),
        clip_norm=clip_norm,
        mixer=mixer,
    )


def gradient_of(mixture, target):
    """The derivative of the mean of (target - FACTOR mixture)² by the factor."""
    return float(np.mean(2 * (FACTOR * mixture - target) * mixture))


NO = tf.constant(0.0)


@pytest.mark.parametrize(
    "compute",
    [{}, {"accumulate_steps": 3}, {"accumulate_steps": 3, "jit_compile": True}],
)
def test_a_step_subtracts_the_gradient_of_the_whole_batch(compute):
    network, mixture, target = network_of(), noise(6, 20, 1), noise(6, 20, 1)
    result = step_on(network, **compute)((mixture, {"a": target}), NO)
    gradient = gradient_of(mixture, target)
    assert float(result.loss) == pytest.approx(
        np.mean((target - FACTOR * mixture) ** 2), rel=1e-5
    )
    assert float(result.gradient_norm) == pytest.approx(abs(gradient), rel=1e-5)
    assert factor_of(network) == pytest.approx(FACTOR - gradient, rel=1e-5)
    assert float(result.mixture_loss) == pytest.approx(
        np.mean((target - mixture) ** 2), rel=1e-5
    )


def test_gradients_are_scaled_down_to_the_greatest_norm():
    mixture, target = noise(4, 20, 1), noise(4, 20, 1)
    norm = abs(gradient_of(mixture, target))
    for clip_norm, expected in ((norm / 10, norm / 10), (2 * norm, norm)):
        network = network_of()
        result = step_on(network, clip_norm=clip_norm)((mixture, {"a": target}), NO)
        assert float(result.gradient_norm) == pytest.approx(norm, rel=1e-5)
        assert abs(factor_of(network) - FACTOR) == pytest.approx(expected, rel=1e-4)


def test_the_loss_scale_of_float16_changes_neither_step_nor_norm():
    network, mixture, target = network_of(), noise(4, 20, 1), noise(4, 20, 1)
    optimizer = keras.optimizers.LossScaleOptimizer(
        keras.optimizers.SGD(1.0), initial_scale=64.0
    )
    result = step_on(network, optimizer)((mixture, {"a": target}), NO)
    gradient = gradient_of(mixture, target)
    assert float(result.gradient_norm) == pytest.approx(abs(gradient), rel=1e-4)
    assert factor_of(network) == pytest.approx(FACTOR - gradient, rel=1e-4)


@pytest.mark.parametrize("loss_scale", [None, 64.0])
def test_an_update_that_xla_compiles_for_a_card_is_the_same(monkeypatch, loss_scale):
    mixture, target = noise(4, 20, 1), noise(4, 20, 1)
    factors, norms = [], []
    for kind in ("CPU", "GPU"):  # the CPU then computes what a card would
        monkeypatch.setattr(Devices, "kind", kind)
        network, optimizer = network_of(), keras.optimizers.Adam(0.1)
        if loss_scale:
            optimizer = keras.optimizers.LossScaleOptimizer(
                optimizer, initial_scale=loss_scale
            )
        step = step_on(network, optimizer, clip_norm=0.01, jit_compile=True)
        for _ in range(3):
            result = step((mixture, {"a": target}), NO)
        factors.append(factor_of(network))
        norms.append(float(result.gradient_norm))
        assert int(optimizer.iterations) == 3
    assert factors[1] == pytest.approx(factors[0], rel=1e-6) != FACTOR
    assert norms[1] == pytest.approx(norms[0], rel=1e-5)


@pytest.mark.parametrize("compute", [{}, {"jit_compile": True}])
def test_a_step_on_stored_excerpts_is_that_on_what_its_mixer_makes_of_them(compute):
    mixture, target = noise(4, 20, 1), noise(4, 20, 1)
    expected, network = network_of(), network_of()
    step_on(expected, **compute)((mixture, {"a": target}), NO)

    def mix(stored, half):
        return stored[0], {"a": half + half}

    step = step_on(network, mixer=mix, **compute)
    step((np.stack([mixture, target]), target / 2), NO)
    assert factor_of(network) == factor_of(expected) != FACTOR


@pytest.mark.parametrize("parts", [1, 2])
def test_saturated_is_the_share_of_samples_beyond_full_scale(parts):
    mixture = np.full((2, 8, 1), 0.1, "f")
    mixture[0, :6], mixture[1, 0] = 4, -4  # estimates of ±2
    step = step_on(network_of(), accumulate_steps=parts)
    result = step((mixture, {"a": mixture}), NO)
    assert float(result.saturated) == pytest.approx(7 / 16)


def test_results_are_read_in_order_and_a_request_to_stop_is_one_of_any_step():
    step = step_on(network_of())
    batches = [(noise(2, 4, 1), {"a": noise(2, 4, 1)}) for _ in range(3)]
    results = [
        step(batch, tf.constant(asks)) for batch, asks in zip(batches, (0.0, 1.0, 0.0))
    ]
    assert [float(result.stops) for result in results] == [0, 1, 0]
    numbers, stops = read_results(results)
    assert stops
    assert numbers == [tuple(map(float, result[:4])) for result in results]
    assert len({one.loss for one in numbers}) == 3
    assert read_results(results[2:]) == (numbers[2:], False)


@pytest.mark.parametrize("compute", [{}, {"jit_compile": True}])
@pytest.mark.parametrize("with_estimates", [True, False])
def test_scores_are_the_energies_of_each_track_within_the_weights(
    with_estimates, compute
):
    network = network_of()
    objective = SquaredError(network, with_estimates=with_estimates)

    class Sources:
        """The network as one of two sources."""

        def __call__(self, mixture, training):
            return {"a": network(mixture)}

    step = ValidationStep(
        ONE_DEVICE, Sources(), objective, ComputeConfig(**compute), num_tracks=3
    )
    mixture, target = noise(4, 20, 1), noise(4, 20, 1)
    weights = np.ones((4, 20, 1), "f")
    weights[2, 5:] = weights[3] = 0
    track = np.array([2, 0, 2, 0], "i")
    scores = step((mixture, {"a": target}, weights, track), NO)
    errors = weights * (target - FACTOR * mixture) ** 2
    assert float(scores.weight) == 45
    assert float(scores.loss) == pytest.approx(errors.sum(), rel=1e-5)
    expected = np.zeros((1, 2, 3))
    for number, one in enumerate(track):
        expected[0, 0, one] += np.sum(weights[number] * target[number] ** 2)
        expected[0, 1, one] += errors[number].sum()
    np.testing.assert_allclose(scores.energies, expected, rtol=1e-5)
    assert float(scores.stops) == 0
