import numpy as np
import pytest

from waveunet_tf.configs.training import TrainingConfig
from waveunet_tf.training import losses

DRAW = np.random.default_rng(4).normal


def noise(*shape):
    return DRAW(0, 0.1, shape).astype("f")


def test_the_loss_is_the_mean_over_sources_and_frames():
    zeros, ones = np.zeros((2, 3, 1), "f"), np.ones((2, 3, 1), "f")
    targets = {"vocals": zeros, "drums": zeros}
    estimates = {"vocals": 2 * ones, "drums": ones}
    assert float(losses.mean_squared_error(targets, estimates, ones)) == 2.5
    weights = np.array([[[1], [0], [0]], [[1], [1], [0]]], "f")
    estimates["drums"] = zeros + np.array([[1], [9], [9]], "f")
    loss = losses.mean_squared_error(targets, estimates, weights)
    assert float(loss) == pytest.approx((4 * 3 + 1 + 1 + 81) / 2 / 3)


def test_the_error_level_is_that_below_the_mixture_for_every_excerpt():
    loud, quiet = noise(1, 50, 2), 0.03 * noise(1, 50, 2)
    vocals = np.concatenate([loud, quiet])
    targets = {"accompaniment": 0 * vocals, "vocals": vocals}
    estimates = {  # errors 20 dB below the mixture, and 10
        "accompaniment": np.float32(0.1) * vocals,
        "vocals": np.float32(1 + 0.1**0.5) * vocals,
    }
    level = losses.error_level_db(targets, estimates, np.ones((2, 50, 1), "f"))
    # 0.001 more than the error's share, in both excerpts: the quiet one counts as much.
    expected = 10 * np.log10([0.01 + 0.001, 0.1 + 0.001]).mean()
    assert float(level) == pytest.approx(expected, abs=0.01)


def test_the_error_level_has_a_floor_and_silence_is_no_trap():
    silence, ones = np.zeros((1, 50, 2), "f"), np.ones((1, 50, 1), "f")
    targets = {"a": silence, "b": silence}
    assert float(losses.error_level_db(targets, targets, ones)) == pytest.approx(-30)
    stem = noise(1, 50, 2)
    targets = {"a": stem, "b": silence}
    assert float(losses.error_level_db(targets, targets, ones)) == pytest.approx(-30)


def test_a_floor_may_be_higher_and_belongs_to_the_training():
    vocals = noise(1, 50, 2)
    targets = {"accompaniment": 0 * vocals, "vocals": vocals}
    estimates = {"accompaniment": np.float32(0.1) * vocals, "vocals": vocals}
    training = TrainingConfig(loss="sdr", sdr_floor_db=-10)
    level = losses.of_waveforms(training)(targets, estimates, np.ones((1, 50, 1), "f"))
    # Errors of 20 dB below the mixture, and none.
    expected = 10 * np.log10([0.01 + 0.1, 0.1]).mean()
    assert float(level) == pytest.approx(expected, abs=0.01)


def test_frames_without_weight_do_not_change_the_error_level():
    targets = {"a": noise(2, 40, 1), "b": noise(2, 40, 1)}
    estimates = {"a": noise(2, 40, 1), "b": noise(2, 40, 1)}
    weights = np.ones((2, 40, 1), "f")
    weights[0, 30:] = weights[1] = 0

    def of_first(stems):
        return {name: stem[:1, :30] for name, stem in stems.items()}

    level = losses.error_level_db(targets, estimates, weights)
    alone = losses.error_level_db(
        of_first(targets), of_first(estimates), np.ones((1, 30, 1), "f")
    )
    assert float(level) == pytest.approx(float(alone), rel=1e-5)
    nothing = losses.error_level_db(targets, estimates, 0 * weights)
    assert float(nothing) == 0


def test_the_absolute_error_is_the_mean_over_what_has_a_weight():
    zeros = np.zeros((2, 3, 2), "f")
    weights = np.array([[[1], [0], [0]], [[1], [1], [0]]], "f")
    estimates = {
        "a": np.arange(12, dtype="f").reshape(2, 3, 2),
        "b": -np.ones((2, 3, 2), "f"),
    }
    loss = losses.mean_absolute_error({"a": zeros, "b": zeros}, estimates, weights)
    # Frames 0, 3 and 4 of a: 0 + 1 + 6 + 7 + 8 + 9.
    assert float(loss) == pytest.approx((31 + 6) / (3 * 2 * 2))


@pytest.mark.parametrize("name", ["mse", "l1", "sdr"])
def test_a_loss_is_least_where_the_estimates_are_true(name):
    loss = losses.of_waveforms(TrainingConfig(loss=name))
    targets = {"a": noise(3, 20, 2), "b": noise(3, 20, 2)}
    ones = np.ones((3, 20, 1), "f")
    values = [
        float(loss(targets, {"a": share * targets["a"], "b": targets["b"]}, ones))
        for share in (1.0, 0.9, 0.5, 0.0)
    ]
    assert values == sorted(values)
    assert len(set(values)) == 4


def test_a_loss_that_is_not_of_waveforms_has_no_function():
    with pytest.raises(KeyError):
        losses.of_waveforms(TrainingConfig(loss="magnitude_l1"))


def test_the_saturated_share_counts_samples_of_both_signs_beyond_full_scale():
    first, second = np.zeros((2, 4, 1), "f"), np.zeros((2, 4, 1), "f")
    first[0, :3], second[1, 0] = 0.995, -1.0
    second[0, 0] = 0.98
    share = losses.saturated_share({"a": first, "b": second})
    assert float(share) == pytest.approx(4 / 16)
    assert float(losses.saturated_share(None)) == 0
