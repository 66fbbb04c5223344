import shutil

import numpy as np
import pytest

from examples.pretrained.weight_arrays import (
    read_weights,
    write_eight_bits,
    write_weights,
)
from tests.command_line import ROOT, check_refusal, run_here
from waveunet_tf.checkpoints.checkpoint import Checkpoint
from waveunet_tf.data.datasets import find_tracks
from waveunet_tf.errors import InputError
from waveunet_tf.evaluate.true_stems import read_true_stems
from waveunet_tf.separation.separator import load_separator

SHAPES = [(5, 2, 3), (3,), (1, 1000, 2)]
WEIGHTS = [np.random.default_rng(n).normal(size=s) for n, s in enumerate(SHAPES)]


def test_weights_come_back_in_half_precision_from_files_below_the_size(tmp_path):
    paths = write_weights(tmp_path, WEIGHTS, max_bytes=4010)
    assert [path.name for path in paths] == ["weights-0.npz", "weights-1.npz"]
    for found, weight in zip(read_weights(paths, SHAPES), WEIGHTS):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, weight, rtol=1e-3)


def test_eight_bits_are_a_factor_for_each_filter(tmp_path):
    scales = np.array([0.5, 2, 4])
    codes = np.arange(6).reshape(2, 3).astype(np.int8)
    np.savez(tmp_path / "a.npz", w0q=codes, w0s=scales)
    (found,) = read_weights([tmp_path / "a.npz"], [(2, 3)])
    np.testing.assert_array_equal(found, [[0, 2, 8], [1.5, 8, 20]])


def test_eight_bits_are_nearest_to_the_weights_of_each_filter(tmp_path):
    weights = [1e-3 * WEIGHTS[0] * [1, 100, 0], WEIGHTS[1]]
    write_eight_bits(tmp_path / "a.npz", weights)
    kernel, bias = read_weights([tmp_path / "a.npz"], SHAPES[:2])
    for number in range(3):
        step = np.abs(weights[0][..., number]).max() / 127
        error = np.abs(kernel[..., number] - weights[0][..., number])
        assert error.max() <= 0.501 * step
    np.testing.assert_allclose(bias, weights[1], rtol=1e-3)


def test_a_checkpoint_in_eight_bits_is_what_a_training_begins_with(
    kept_checkpoint, tmp_path
):
    command = ["examples.pretrained.weights_of_checkpoint"]
    command += [f"--checkpoint={kept_checkpoint}", f"--output={tmp_path / 'a.npz'}"]
    result = run_here(*command)
    assert result.returncode == 0, result.stderr
    weights = Checkpoint.open(kept_checkpoint).load_network().trainable_weights
    found = read_weights([tmp_path / "a.npz"], [weight.shape for weight in weights])
    for one, other in zip(found, weights):
        np.testing.assert_allclose(one, other, atol=np.abs(other).max() / 100)
    result = run_here(*command)
    check_refusal(result, 1, "a.npz: must be a new file")
    assert "--overwrite" not in result.stderr  # which the command has not


def test_a_checkpoint_gives_its_trainable_weights(kept_checkpoint):
    network = Checkpoint.open(kept_checkpoint).load_network()
    shapes = [weight.shape for weight in network.trainable_weights]
    found = read_weights([kept_checkpoint], shapes)
    for one, other in zip(found, network.trainable_weights):
        np.testing.assert_array_equal(one, np.asarray(other))


def test_carried_weights_make_the_checkpoint_whole_again(kept_checkpoint, tmp_path):
    """But for float16."""
    whole = Checkpoint.open(kept_checkpoint)
    network = whole.load_network()
    paths = write_weights(tmp_path, network.trainable_weights)
    best = tmp_path / "best"
    best.mkdir()
    shutil.copy(kept_checkpoint / "config.json", best)
    command = ["examples.pretrained.checkpoint_of_weights", "--checkpoint", best]
    command += [f"--weights={path}" for path in paths]
    result = run_here(*command)
    assert (result.returncode, result.stdout) == (0, f"{best}\n"), result.stderr
    made = Checkpoint.open(best)
    assert (made.config, made.training) == (whole.config, whole.training)
    for found, weight in zip(made.load_network().weights, network.weights):
        np.testing.assert_allclose(found, weight, rtol=1e-3, atol=1e-7)
    check_refusal(run_here(*command), 1, "network.weights.h5: must be a new file")


def test_weights_of_another_network_are_refused(tmp_path, kept_checkpoint):
    paths = write_weights(tmp_path, WEIGHTS)
    with pytest.raises(InputError, match="npz: must hold .* 4 weights.* but has no w3"):
        read_weights(paths, [*SHAPES, (1,)])
    for path in (paths[0], kept_checkpoint):
        with pytest.raises(
            InputError, match="must have the weights of this network, 1"
        ):
            read_weights([path], [(5, 2, 4)])
    (tmp_path / "b.npz").write_text("nothing")
    with pytest.raises(InputError, match="b.npz: must be a whole .npz of arrays"):
        read_weights([tmp_path / "b.npz"], SHAPES)
    with pytest.raises(FileNotFoundError):
        read_weights([tmp_path / "c.npz"], SHAPES)


@pytest.mark.slow
def test_the_weights_to_go_on_from_separate_music(shared_data, tmp_path):
    """As a network of their config, four decibels above the mixture and more."""
    kept = ROOT / "examples" / "pretrained" / "vocals-11m"
    shutil.copy(kept / "config.json", tmp_path)
    command = ["examples.pretrained.checkpoint_of_weights", f"--checkpoint={tmp_path}"]
    result = run_here(*command, f"--weights={kept / 'weights.npz'}")
    assert result.returncode == 0, result.stderr
    separator = load_separator(tmp_path)
    (track, *_) = find_tracks(shared_data / "musdb18-7s", subsets=("test",))
    true = read_true_stems(track, ("accompaniment", "vocals"))
    estimates = separator.separate(true.mixture, true.sample_rate_hz)
    for name, stem in true.sources.items():
        before, after = (
            np.sum((stem - estimate) ** 2)
            for estimate in (true.mixture, estimates[name])
        )
        assert 10 * np.log10(before / after) > 4
