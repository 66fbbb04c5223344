"""The tf.data pipeline of random excerpts, from a prepared folder of stems.

Excerpt number n is a function of the seed and n alone: its track, its start and its
gains come from stateless random numbers. So a training that resumes at step n sees the
excerpts that it would have seen.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib

import numpy as np
import soundfile
import tensorflow as tf

from waveunet_tf import audio, shapes
from waveunet_tf.configs import NetworkConfig
from waveunet_tf.errors import InputError
from waveunet_tf.tracks import find_tracks


@dataclasses.dataclass(frozen=True)
class PreparedTrack:
    """A track whose stems are read as the network needs them.

    Attributes:
        name: `<subset>/<track>`.
        paths: the stems' files, in the order of the config's sources.
        frames: their length.
    """

    name: str
    paths: tuple[pathlib.Path, ...]
    frames: int

    def read(self, start: int, frames: int, channels: int) -> np.ndarray:
        """Reads an excerpt of every source; beyond the track's ends are zeros.

        Returns:
            float32 `(sources, frames, channels)`.
        """
        excerpt = np.zeros((len(self.paths), frames, channels), np.float32)
        first, last = max(start, 0), min(start + frames, self.frames)
        if last > first:
            for source, path in enumerate(self.paths):
                with soundfile.SoundFile(path) as file:
                    file.seek(first)
                    block = file.read(last - first, dtype="float32", always_2d=True)
                excerpt[source, first - start : last - start] = audio.to_channels(
                    block, channels
                )
        return excerpt


def load_prepared(
    data_dir: str | os.PathLike, config: NetworkConfig, subset: str
) -> list[PreparedTrack]:
    """Lists a subset's tracks, checked against the network.

    Args:
        data_dir: what `run_prepare` wrote, or a folder of the same layout.
        config: the network.
        subset: train, valid or test.

    Raises:
        InputError: no track; a source is missing or broken; a rate that is not the
            network's; sources of one track that differ in length or channels, or are
            mono for a stereo network.
    """
    tracks = []
    for track in find_tracks(data_dir, dataset="folder", subsets=(subset,)):
        label = f"{track.subset}/{track.name}"
        if missing := [name for name in config.sources if name not in track.sources]:
            raise InputError(
                f"{data_dir}: {label} must have the network's sources "
                f"{', '.join(config.sources)}, but lacks {', '.join(missing)}; "
                "run_prepare --sources makes them"
            )
        paths = tuple(track.sources[name].path for name in config.sources)
        tracks.append(PreparedTrack(label, paths, _common_frames(paths, config)))
    return tracks


def _common_frames(paths: tuple[pathlib.Path, ...], config: NetworkConfig) -> int:
    lengths = {}
    for path in paths:
        try:
            with soundfile.SoundFile(path) as info:
                info.seek(max(info.frames - 1, 0))
                whole = len(info.read(1)) == 1
        except soundfile.LibsndfileError as error:
            raise InputError(f"{path}: must be a wav file: {error}") from error
        if not whole:
            raise InputError(f"{path}: must hold audio, to its last frame")
        if info.samplerate != config.sample_rate_hz:
            raise InputError(
                f"{path}: must have the network's sample rate, {config.sample_rate_hz} "
                f"Hz, but has {info.samplerate} Hz; run_prepare resamples"
            )
        if info.channels < config.channels or info.channels > 2:
            raise InputError(
                f"{path}: must have the network's {config.channels} channels, but has "
                f"{info.channels}"
            )
        lengths[path.name] = info.frames
    if len(set(lengths.values())) > 1:
        raise InputError(
            f"{paths[0].parent}: its sources must be of one length. Received: "
            + ", ".join(f"{name}: {frames} frames" for name, frames in lengths.items())
        )
    return info.frames


def random_excerpts(
    tracks: list[PreparedTrack],
    config: NetworkConfig,
    *,
    batch_size: int,
    seed: int,
    min_gain: float = 0.7,
    first: int = 0,
    parallel_calls: int | None = None,
) -> tf.data.Dataset:
    """Endless batches of random excerpts (paper, section 4.2).

    Tracks are drawn evenly, as in the original, starts uniformly over a track that has
    the network's context on both sides. Each source is multiplied by a gain from
    [min_gain, 1]; the mixture is their sum.

    Args:
        tracks: the training tracks.
        config: the network.
        batch_size: excerpts a batch.
        seed: of tracks, starts and gains.
        min_gain: the smallest gain.
        first: number of the first excerpt.
        parallel_calls: excerpts read at a time; by default tf.data tunes it. The order
            does not depend on it.

    Returns:
        Pairs of a mixture, float32 `(batch, input frames, channels)`, and a dict of
        sources, `(batch, output frames, channels)` each, from the mixture's centre.

    Raises:
        InputError: the output of an excerpt is longer than every track.
    """
    window = shapes.window_frames(config)
    longest = max(track.frames for track in tracks)
    if window.output_frames > longest:
        raise InputError(
            f"`output_frames` must be at most the longest track's {longest} frames. "
            f"Received: {window.output_frames} (from a wish of {config.output_frames})"
        )
    count, context = len(config.sources), window.context_frames
    lengths = np.array([track.frames for track in tracks], np.float64)
    starts = tf.constant(np.maximum(lengths + 2 * context - window.input_frames, 0))

    def read(track, start):
        return tracks[track].read(start, window.input_frames, config.channels)

    def excerpt(number):
        # float64, because a float32 has too few steps for the frames of a long track.
        draws = tf.random.stateless_uniform(
            [2 + count],
            tf.stack([tf.constant(seed, tf.int64), number]),
            dtype=tf.float64,
        )
        track = tf.cast(draws[0] * len(tracks), tf.int32)
        start = tf.cast(draws[1] * (starts[track] + 1), tf.int64) - context
        sources = tf.numpy_function(read, [track, start], tf.float32)
        sources.set_shape((count, window.input_frames, config.channels))
        gains = min_gain + (1 - min_gain) * tf.cast(draws[2:], tf.float32)
        sources *= gains[:, None, None]
        middle = tf.unstack(sources[:, context : context + window.output_frames], count)
        return tf.reduce_sum(sources, axis=0), dict(zip(config.sources, middle))

    calls = parallel_calls or tf.data.AUTOTUNE
    numbers = tf.data.Dataset.range(first, tf.int64.max)
    excerpts = numbers.map(excerpt, num_parallel_calls=calls)
    return excerpts.batch(batch_size, drop_remainder=True).prefetch(2)


def whole_track_windows(
    tracks: list[PreparedTrack], config: NetworkConfig, *, batch_size: int
) -> tf.data.Dataset:
    """Windows that cover every track once, for validation.

    They hop by the output's frames; the last of a track goes on into zeros, which
    `weights` leaves out, so that every frame of a track is scored and nothing else.

    Args:
        tracks: the validation tracks.
        config: the network.
        batch_size: windows a batch; the last batch may have fewer.

    Returns:
        Triples of mixture, sources (as `random_excerpts` gives them, without gains) and
        weights, float32 `(batch, output frames, 1)`: 1 within a track, else 0.
    """
    window = shapes.window_frames(config)
    context, hop = window.context_frames, window.output_frames

    def windows():
        for track in tracks:
            for start in range(0, track.frames, hop):
                sources = track.read(
                    start - context, window.input_frames, config.channels
                )
                middle = sources[:, context : context + hop]
                inside = np.arange(start, start + hop) < track.frames
                yield (
                    sources.sum(axis=0),
                    dict(zip(config.sources, middle)),
                    inside.astype(np.float32)[:, None],
                )

    mixture = tf.TensorSpec((window.input_frames, config.channels), tf.float32)
    source = tf.TensorSpec((hop, config.channels), tf.float32)
    signature = (
        mixture,
        dict.fromkeys(config.sources, source),
        tf.TensorSpec((hop, 1), tf.float32),
    )
    windows = tf.data.Dataset.from_generator(windows, output_signature=signature)
    return windows.batch(batch_size).prefetch(2)
