"""How far a SavedModel is from the network that it was made of."""

from __future__ import annotations

import json
import os

import numpy as np

from waveunet_tf.separation.separator import load_separator


def largest_difference(
    checkpoint_dir: str | os.PathLike, saved_model_dir: str | os.PathLike
) -> float:
    """The largest difference of a SavedModel's sources from a Separator's.

    The input is noise, in its second half of full scale, for the signature
    `serving_default` and, where there is one, for `stream`.

    Args:
        checkpoint_dir: the checkpoint.
        saved_model_dir: what `saved_model.save` wrote for it.

    Returns:
        The largest absolute difference over all sources and frames.
    """
    import tensorflow as tf

    separator = load_separator(checkpoint_dir, engine="tensorflow")
    signatures = tf.saved_model.load(os.fspath(saved_model_dir)).signatures
    description = json.loads(signatures["describe"]()["config"].numpy())
    chunk_frames = description["chunk_frames"] or 0
    latency_frames = description["latency_frames"] or 0
    frames = separator.config.output_frames + 2 * chunk_frames + 1  # which is odd
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
    return max(difference, _largest_difference(streamed, expected))


def _noise(frames: int, channels: int) -> np.ndarray:
    """Noise `(1, frames, channels)`, in its second half of full scale."""
    generator = np.random.default_rng(0)
    mixture = generator.normal(0, 0.1, (1, frames, channels)).astype(np.float32)
    mixture[:, frames // 2 :] *= 20
    return mixture.clip(-1, 1)


def _largest_difference(actual: dict, expected: dict) -> float:
    return max(
        float(np.abs(np.asarray(actual[source]) - np.asarray(expected[source])).max())
        for source in expected
    )
