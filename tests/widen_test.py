import dataclasses

import keras
import numpy as np
import pytest

from benchmarks.pretrained.widen import widen
from tests.commands import check_refusal, run
from waveunet_tf import checkpoint, model, shapes
from waveunet_tf.configs import VARIANTS


@pytest.mark.parametrize("upsampling", ["linear", "learned"])
def test_a_wider_network_computes_the_same_and_learns_with_all_filters(upsampling):
    keras.utils.set_random_seed(1)
    config = dataclasses.replace(
        VARIANTS["M4"],
        num_levels=3,
        base_filters=5,
        upsampling=upsampling,
        output_frames=64,
    )
    network = model.build_network(config)
    wider = dataclasses.replace(config, base_filters=7)
    wide = model.build_network(wider)
    widen(network, wide)
    frames = shapes.window_frames(config).input_frames
    mixture = np.random.default_rng(0).normal(0, 0.3, (2, frames, 2)).astype("f")
    before = network(mixture)
    for source, estimate in wide(mixture).items():
        np.testing.assert_allclose(estimate, before[source], atol=1e-6)
    wide.compile(keras.optimizers.Adam(1e-3), {"vocals": "mse", "accompaniment": None})
    silence = np.zeros_like(before["vocals"])
    kernel = wide.get_layer("up_0").kernel.numpy()
    for _ in range(3):
        wide.train_on_batch(mixture, {"vocals": silence})
    moved = wide.get_layer("up_0").kernel.numpy() != kernel
    assert moved.all(axis=0).all()


def test_the_command_writes_a_checkpoint_and_no_folder_twice(tiny_checkpoint, tmp_path):
    command = ["benchmarks.pretrained.widen", "--checkpoint", tiny_checkpoint]
    command += ["--output", tmp_path / "wide", "--base_filters"]
    check_refusal(run(*command, 1), 1, "`base_filters` must be at least")
    came = run(*command, 8)
    assert came.returncode == 0, came.stderr
    assert checkpoint.load_network(tmp_path / "wide").get_layer("down_0").filters == 8
    check_refusal(run(*command, 8), 1, "must be new, but is there")
