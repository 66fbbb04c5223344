"""Right: a network, a song's separation and a SavedModel, against the CPU's."""

from __future__ import annotations

import pathlib

import keras
import numpy as np
import tensorflow as tf

from waveunet_tf.checkpoints import checkpoint
from waveunet_tf.checkup.differences import greatest_difference
from waveunet_tf.checkup.drills import in_way, noise_batches
from waveunet_tf.checkup.findings import Findings
from waveunet_tf.checkup.sizes import Sizes, Way
from waveunet_tf.configs.networks import WaveUNetConfig
from waveunet_tf.networks import shapes
from waveunet_tf.networks.build import build_network
from waveunet_tf.separation.separator import load_separator

# Of full scale.
_BOUND = 1e-4
_SONG_SECONDS = 2


def save_small_checkpoint(folder: pathlib.Path, sizes: Sizes) -> None:
    """Saves the small network with random weights."""
    keras.utils.set_random_seed(7)
    with tf.device("CPU:0"):
        network = build_network(sizes.small)
    checkpoint.save_checkpoint(folder, network, sizes.small)


def check_agreement(
    findings: Findings,
    sizes: Sizes,
    device: str,
    checkpoint_dir: pathlib.Path,
    saved_model_dir: pathlib.Path | None,
) -> None:
    """Compares what a device computes with what the CPU computes, without TF32.

    Args:
        findings: Takes the findings.
        sizes: Whose small network it is.
        device: The device, such as "GPU:0".
        checkpoint_dir: What save_small_checkpoint saved.
        saved_model_dir: What `waveunet export` made of it; None where it failed.
    """
    config = sizes.small
    ((mixture, _),) = noise_batches(config, sizes.batch_size, 1)
    song = np.random.default_rng(8).normal(
        0, 0.2, (_SONG_SECONDS * config.sample_rate_hz, config.channels)
    )
    song = song.astype(np.float32)

    def passed(place: str) -> dict:
        with tf.device(place):
            network = checkpoint.load_network(checkpoint_dir)
            return network(mixture, training=False)

    def separated() -> dict:
        separator = load_separator(
            checkpoint_dir,
            engine="tensorflow",
            device="cpu" if device == "CPU:0" else device.lower(),
        )
        return separator.separate(song, config.sample_rate_hz)

    def served() -> dict:
        with tf.device(device):
            loaded = tf.saved_model.load(str(saved_model_dir))
            stems = loaded.signatures["serving_default"](tf.constant(song[None]))
            return {name: stem[0] for name, stem in stems.items()}

    with in_way(Way()):
        if device != "CPU:0":
            _compare(findings, "a window", passed(device), passed("CPU:0"))
        expected = _one_pass(checkpoint_dir, config, song)
        _compare(findings, "a song", separated(), expected)
        if saved_model_dir:
            _compare(findings, "the SavedModel", served(), expected)


def _one_pass(
    checkpoint_dir: pathlib.Path, config: WaveUNetConfig, song: np.ndarray
) -> dict:
    """Separates a song on the CPU in one pass over all of it, as no engine does."""
    stride = 2**config.num_levels
    window = shapes.window_frames(config, -(-len(song) // stride) * stride)
    before = window.context_frames
    after = window.input_frames - len(song) - before
    mixture = np.pad(song, ((before, after), (0, 0)))[None]
    with tf.device("CPU:0"):
        network = checkpoint.load_network(checkpoint_dir)
        stems = network(tf.constant(mixture), training=False)
    return {name: stem[0, : len(song)] for name, stem in stems.items()}


def _compare(findings: Findings, name: str, stems: dict, expected: dict) -> None:
    difference = greatest_difference(
        (stems[source] for source in expected), expected.values()
    )
    findings.judge(
        name,
        bool(difference <= _BOUND),
        f"within {difference:.1e} of full scale of the CPU's (bound {_BOUND:.0e})",
        "compute on the CPU (`--device cpu`), or with another TensorFlow",
        difference=difference,
    )
