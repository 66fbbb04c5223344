"""Compares a SavedModel with the network that it was made of."""

from __future__ import annotations

import json
import os

import numpy as np

from waveunet_tf.separation.separator import load_separator


def largest_difference(
    checkpoint_dir: str | os.PathLike, saved_model_dir: str | os.PathLike
) -> float:
    """Measures the largest difference of a SavedModel's sources from a Separator's.

    The input is noise, which reaches full scale in its second half. It goes through the
    signature `serving_default` and, where the model has it, through `stream`.

    Args:
        checkpoint_dir: The checkpoint.
        saved_model_dir: The folder that `saved_model.write_saved_model` wrote for it.

    Returns:
        The largest absolute difference over all sources and frames, where full scale is
        1; NaN where a number is none.

    Raises:
        InputError: The checkpoint is broken, or its network gives NaN or infinity.
    """
    import tensorflow as tf

    separator = load_separator(checkpoint_dir, engine="tensorflow")
    signatures = tf.saved_model.load(os.fspath(saved_model_dir)).signatures
    description = json.loads(signatures["describe"]()["config"].numpy())
    chunk_frames = description["chunk_frames"] or 0
    latency_frames = description["latency_frames"] or 0
    frames = separator.config.output_frames + 2 * chunk_frames + 1  # an odd number
    audio = _noise(frames, description["channels"])
    expected = separator.separate(audio[0], description["sample_rate_hz"])
    expected = {source: stem[None] for source, stem in expected.items()}
    whole = signatures["serving_default"](audio=audio)
    difference = _largest_difference(whole, expected)
    if not chunk_frames:
        return difference

    state, chunks = signatures["initial_state"](batch=tf.constant(1)), []
    hops = -(-(frames + latency_frames) // chunk_frames)
    missing = hops * chunk_frames - frames
    padded = np.pad(audio, ((0, 0), (0, missing), (0, 0)))
    for start in range(0, padded.shape[1], chunk_frames):
        chunk = padded[:, start : start + chunk_frames]
        chunks.append(signatures["stream"](chunk=tf.constant(chunk), **state))
        state = {name: chunks[-1][name] for name in state}
    streamed = {
        source: np.concatenate([chunk[source] for chunk in chunks], axis=1)[
            :, latency_frames : latency_frames + frames
        ]
        for source in expected
    }
    return float(np.max([difference, _largest_difference(streamed, expected)]))


def _noise(frames: int, channels: int) -> np.ndarray:
    """Returns noise `(1, frames, channels)`, of full scale in its second half."""
    generator = np.random.default_rng(0)
    mixture = generator.normal(0, 0.1, (1, frames, channels)).astype(np.float32)
    mixture[:, frames // 2 :] *= 20
    return mixture.clip(-1, 1)


def _largest_difference(actual: dict, expected: dict) -> float:
    """Returns the largest difference of any source; Python's max would forget NaN."""
    differences = [
        np.abs(np.asarray(actual[source]) - np.asarray(expected[source])).max()
        for source in expected
    ]
    return float(np.max(differences))
