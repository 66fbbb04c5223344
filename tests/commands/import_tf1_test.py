"""Importing a TF1 checkpoint as a user does."""

import numpy as np
import pytest

from tests.command_line import check_refusal, run_here
from waveunet_tf.checkpoints import tf1
from waveunet_tf.checkpoints.checkpoint import Checkpoint
from waveunet_tf.configs.networks import WaveUNetConfig
from waveunet_tf.networks.build import build_network

IMPORT = "waveunet_tf import"
SMALL = WaveUNetConfig(num_levels=2, base_filters=3, output_frames=64)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """An .npz of the original's variables, of a small stereo network."""
    generator = np.random.default_rng(0)
    names = tf1.variable_names(SMALL)
    variables = {
        names[weight.path]: generator.normal(size=weight.shape).astype(np.float32)
        for weight in build_network(SMALL).weights
    }
    for name in list(variables):
        for slot in ("Adam", "Adam_1"):
            variables[f"separator_solver/{name}/{slot}"] = variables[name]
    path = tmp_path_factory.mktemp("original") / "m4.npz"
    arrays = {name.replace("/", "__"): value for name, value in variables.items()}
    np.savez(path, global_step=np.int64(12), **arrays)
    return path


def import_(original, output, *flags):
    return run_here(
        IMPORT, f"--tf1_checkpoint={original}", f"--output={output}", *flags
    )


def test_the_import_says_what_the_shapes_do_not_show(original, tmp_path):
    result = import_(original, tmp_path / "m4", "--sample_rate_hz=16000")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[:2] == [
        f"{tmp_path}/m4: imported as M4",
        "not in the checkpoint, but from the variant or flags:",
    ]
    config = Checkpoint.open(tmp_path / "m4").config
    assert (config.num_levels, config.base_filters, config.channels) == (2, 3, 2)
    shown = dict(line.strip().split("=") for line in lines[2:])
    assert shown["--sample_rate_hz"] == "16000" == str(config.sample_rate_hz)
    assert shown["--sources"] == "accompaniment,vocals" == ",".join(config.sources)
    for name in ("context", "output_type", "output_activation"):
        assert shown[f"--{name}"] == str(getattr(config, name))


def test_the_lines_that_it_prints_are_flags_that_give_the_same_again(
    original, tmp_path
):
    first = import_(original, tmp_path / "a")
    flags = [line.strip() for line in first.stdout.splitlines()[2:]]
    again = import_(original, tmp_path / "b", "--variant=M4", *flags)
    assert again.returncode == 0, again.stderr
    ours, theirs = (Checkpoint.open(tmp_path / name).config for name in "ab")
    assert ours == theirs


@pytest.mark.parametrize("name", ["network.weights.h5", "optimizer.weights.h5"])
def test_a_file_of_the_users_is_not_replaced_unasked(original, tmp_path, name):
    """Nor removed, as Adam's moments are where a checkpoint without them is written."""
    (tmp_path / name).write_text("mine")
    check_refusal(import_(original, tmp_path), 1, f"{name}: must be a new file")
    assert (tmp_path / name).read_text() == "mine"
    assert import_(original, tmp_path, "--overwrite").returncode == 0


@pytest.mark.parametrize(("taps", "kept"), [(15, 0), (17, 17)])
def test_the_originals_input_filter_size_may_be_given(original, tmp_path, taps, kept):
    result = import_(original, tmp_path / "a", f"--input_kernel_size={taps}")
    assert result.returncode == 0, result.stderr
    assert Checkpoint.open(tmp_path / "a").config.input_kernel_size == kept
    assert f"--input_kernel_size={kept}" in result.stdout


def test_an_input_filter_size_that_fits_no_network_is_refused(original, tmp_path):
    result = import_(original, tmp_path / "a", "--input_kernel_size=19")
    check_refusal(result, 1, "m4.npz: `input_kernel_size` must be 0", "Received: 19")
    assert not (tmp_path / "a").exists()


def test_adams_moments_come_only_where_they_are_wished_for(original, tmp_path):
    for flags, files in [
        (["--with_optimizer"], 3),
        (["--overwrite"], 2),  # and those of before are gone
    ]:
        result = import_(original, tmp_path / "m4", *flags)
        assert result.returncode == 0, result.stderr
        assert len(list((tmp_path / "m4").iterdir())) == files


def test_an_existing_checkpoint_is_kept_unless_overwrite_is_given(original, tmp_path):
    assert import_(original, tmp_path).returncode == 0
    before = (tmp_path / "network.weights.h5").read_bytes()
    refused = import_(original, tmp_path)
    check_refusal(refused, 1, f"{tmp_path}/config.json: must be a new file")
    assert (tmp_path / "network.weights.h5").read_bytes() == before


def test_a_contradiction_names_the_checkpoint_and_writes_nothing(original, tmp_path):
    refused = import_(original, tmp_path / "m3", "--variant=M3")
    check_refusal(refused, 1, f"{original}: its shapes show channels=2")
    refused = import_(tmp_path / "none", tmp_path / "m3")
    check_refusal(refused, 1, f"{tmp_path}/none: must be a TF1 checkpoint's prefix")
    assert not (tmp_path / "m3").exists()
