import keras
import numpy as np
import pytest

from waveunet_tf.configs.training import ComputeConfig, TrainingConfig
from waveunet_tf.training.optimizer import adam_of, build_optimizer, loss_scale_of

TRAINING = TrainingConfig(learning_rate=0.01)


def test_adam_is_that_of_the_original():
    """By the formula of TensorFlow 1's AdamOptimizer, whose epsilon is 1e-8."""
    optimizer = build_optimizer(TRAINING, ComputeConfig())
    variable = keras.Variable([1.0, -2.0, 3.0])
    weights = variable.numpy().astype(np.float64)
    optimizer.build([variable])
    first = second = np.zeros(3)
    generator = np.random.default_rng(0)
    for step in range(1, 6):
        gradient = generator.normal(0, [1, 1e-3, 1e-8]).astype("f")
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [variable])
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient.astype(np.float64) ** 2
        rate = 0.01 * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
        weights = weights - rate * first / (np.sqrt(second) + 1e-8)
    np.testing.assert_allclose(variable.numpy(), weights, rtol=1e-5)


def test_only_float16_has_a_loss_scale():
    for precision in ("float32", "mixed_bfloat16"):
        optimizer = build_optimizer(TRAINING, ComputeConfig(precision=precision))
        assert adam_of(optimizer) is optimizer
        assert loss_scale_of(optimizer) == []
    optimizer = build_optimizer(TRAINING, ComputeConfig(precision="mixed_float16"))
    optimizer.build([keras.Variable([1.0])])
    assert adam_of(optimizer) is optimizer.inner_optimizer
    scale, steps = loss_scale_of(optimizer)
    assert float(scale.numpy()) > 1
    assert int(steps.numpy()) == 0


def test_gradients_that_float16_cannot_hold_halve_the_scale_and_move_no_weight():
    optimizer = build_optimizer(TRAINING, ComputeConfig(precision="mixed_float16"))
    variable = keras.Variable([1.0])
    optimizer.build([variable])
    before = float(loss_scale_of(optimizer)[0].numpy())
    optimizer.apply([keras.ops.convert_to_tensor([np.inf])], [variable])
    assert float(loss_scale_of(optimizer)[0].numpy()) == before / 2
    assert variable.numpy() == pytest.approx(1)
