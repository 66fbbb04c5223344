import dataclasses

import numpy as np
import pytest

from tests.export.small_exports import save_network
from waveunet_tf.export import saved_model, saved_model_parity

# In one process, for what is made once for all of these.
pytestmark = pytest.mark.xdist_group("saved_model")


def test_a_saved_model_differs_from_its_network_by_rounding_only(tiny_model_dir):
    difference = saved_model_parity.largest_difference(
        tiny_model_dir / "checkpoint", tiny_model_dir / "waveunet" / "1"
    )
    assert 0 <= difference < 1e-5


def test_other_weights_are_seen(tiny_model_dir, tiny_config, tmp_path):
    save_network(tmp_path / "other", tiny_config, seed=2)
    difference = saved_model_parity.largest_difference(
        tmp_path / "other", tiny_model_dir / "waveunet" / "1"
    )
    assert difference > 1e-3


@pytest.mark.slow
def test_a_network_that_cannot_stream_is_compared_whole(tiny_config, tmp_path):
    config = dataclasses.replace(tiny_config, context=False, channels=1)
    save_network(tmp_path / "c", config)
    saved_model.write_saved_model(tmp_path / "c", tmp_path / "1")
    assert saved_model_parity.largest_difference(tmp_path / "c", tmp_path / "1") < 1e-5


def test_noise_reaches_full_scale_in_its_second_half():
    noise = saved_model_parity._noise(1001, 2)
    assert noise.shape == (1, 1001, 2)
    assert abs(noise[:, :500]).max() < 0.9
    assert noise[:, 500:].max() == 1 and noise[:, 500:].min() == -1


@pytest.mark.parametrize("broken", ["a", "b"])
def test_a_difference_that_is_no_number_is_the_largest(broken):
    expected = {name: np.zeros((1, 9, 2), np.float32) for name in "ab"}
    actual = {name: value.copy() for name, value in expected.items()}
    actual[broken][0, 3, 1] = np.nan
    assert np.isnan(saved_model_parity._largest_difference(actual, expected))
    assert np.isnan(saved_model_parity._largest_difference(expected, actual))


def test_a_stream_that_gives_no_numbers_does_not_equal_its_network(
    tiny_model_dir, monkeypatch
):
    """Whole songs do; the larger of the two differences counts."""
    differences = iter([0.0, float("nan")])
    monkeypatch.setattr(
        saved_model_parity, "_largest_difference", lambda *_: next(differences)
    )
    difference = saved_model_parity.largest_difference(
        tiny_model_dir / "checkpoint", tiny_model_dir / "waveunet" / "1"
    )
    assert np.isnan(difference)
