import numpy as np
import pytest

from waveunet_tf.configs.training import TrainingConfig
from waveunet_tf.training import losses, metrics

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
    came = losses.error_level_db(targets, estimates, np.ones((2, 50, 1), "f"))
    # 0.001 more than the error's share, in both excerpts: the quiet one counts as much.
    expected = 10 * np.log10([0.01 + 0.001, 0.1 + 0.001]).mean()
    assert float(came) == pytest.approx(expected, abs=0.01)


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
    came = losses.of_waveforms(training)(targets, estimates, np.ones((1, 50, 1), "f"))
    # Errors of 20 dB below the mixture, and none.
    expected = 10 * np.log10([0.01 + 0.1, 0.1]).mean()
    assert float(came) == pytest.approx(expected, abs=0.01)


def test_frames_without_weight_do_not_change_the_error_level():
    targets = {"a": noise(2, 40, 1), "b": noise(2, 40, 1)}
    estimates = {"a": noise(2, 40, 1), "b": noise(2, 40, 1)}
    weights = np.ones((2, 40, 1), "f")
    weights[0, 30:] = weights[1] = 0

    def of_first(stems):
        return {name: stem[:1, :30] for name, stem in stems.items()}

    came = losses.error_level_db(targets, estimates, weights)
    alone = losses.error_level_db(
        of_first(targets), of_first(estimates), np.ones((1, 30, 1), "f")
    )
    assert float(came) == pytest.approx(float(alone), rel=1e-5)
    nothing = losses.error_level_db(targets, estimates, 0 * weights)
    assert float(nothing) == 0


def test_the_validation_sdr_is_the_median_over_tracks_of_whole_tracks():
    energies = np.zeros((2, 2, 4))
    energies[0, 0], energies[0, 1] = [100, 10, 1, 1], [1, 1, 1, 1]  # 20, 10, 0, 0 dB
    energies[1, 0], energies[1, 1] = [0, 10, 0, 0], [5, 1, 2, 1]  # silent in three
    came = metrics.median_sdr_db(("a", "b"), energies)
    assert came["a"] == pytest.approx(5)
    assert came["b"] == pytest.approx(10)
    energies[1, 0] = 0
    assert metrics.median_sdr_db(("a", "b"), energies)["b"] is None
