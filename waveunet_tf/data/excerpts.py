"""The tf.data pipeline of random excerpts, from a prepared folder of stems.

Excerpt number n is a function of the seed and n alone: its track, its start and its
gains come from stateless random numbers. So a training that resumes at step n sees the
excerpts that it would have seen.
"""

from __future__ import annotations

import os

import numpy as np
import tensorflow as tf

from waveunet_tf.configs.networks import NetworkConfig
from waveunet_tf.configs.training import TrainingConfig
from waveunet_tf.data import augmentation, readers
from waveunet_tf.data.prepared import PreparedTrack
from waveunet_tf.errors import InputError
from waveunet_tf.networks import shapes


def random_excerpts(
    tracks: list[PreparedTrack],
    config: NetworkConfig,
    training: TrainingConfig,
    *,
    first: int = 0,
    worker: int = 0,
    workers: int = 1,
    reader: str = "auto",
    parallel_calls: int | None = None,
) -> tf.data.Dataset:
    """Endless batches of random excerpts (paper, section 4.2).

    Starts are drawn uniformly over a track that has the network's context on both
    sides. The mixture is the sum of the stems after their augmentation, and so is each
    source of its own.

    Args:
        tracks: the training tracks.
        config: the network.
        training: the batch's size, the seed, how tracks are drawn, the augmentation.
        first: the number of the first excerpt.
        worker: this is worker k of `workers`, and takes the excerpts whose numbers are
            k modulo `workers`.
        workers: how many there are.
        reader: see readers.build_reader.
        parallel_calls: excerpts read at a time; by default one a core. The order does
            not depend on it.

    Returns:
        Pairs of a mixture, float32 `(batch, input frames, channels)`, and a dict of
        sources, `(batch, output frames, channels)` each, from the mixture's centre.

    Raises:
        InputError: the output of an excerpt is longer than every track; there is no
            such worker; the reader cannot read the tracks.
    """
    if not 0 <= worker < workers:
        raise InputError(
            f"`worker` must be at least 0 and below {workers}. Received: {worker}"
        )
    window = shapes.window_frames(config)
    longest = max(track.frames for track in tracks)
    if window.output_frames > longest:
        raise InputError(
            f"`output_frames` must be at most the longest track's {longest} frames. "
            f"Received: {window.output_frames} (from a wish of {config.output_frames})"
        )
    centre = slice(window.context_frames, window.context_frames + window.output_frames)
    lengths = [track.frames for track in tracks]
    read = readers.build_reader(
        tracks, window.input_frames, config.channels, reader=reader
    )

    def excerpt(number):
        # float64, because a float32 has too few steps for the frames of a long track.
        draws = tf.random.stateless_uniform(
            [len(tracks[0].paths), augmentation.DRAWS],
            tf.stack([tf.constant(training.seed, tf.int64), number]),
            dtype=tf.float64,
        )
        drawn = augmentation.excerpts_of(draws, lengths, window, training)
        stems = read(drawn.track, tf.cast(drawn.start, tf.int64), drawn.gain)
        if training.swap_probability:
            stems = [
                tf.cond(swap, lambda stem=stem: stem[:, ::-1], lambda stem=stem: stem)
                for stem, swap in zip(stems, tf.unstack(drawn.swapped))
            ]
        return _example(tracks, config, stems, centre)

    # Lanes side by side, and not one map of many calls: tensorflow-io opens a file in a
    # place that all calls of an operation share, so that each lane needs its own.
    lanes = parallel_calls or os.cpu_count() or 1
    start = first + (worker - first) % workers
    excerpts = [
        tf.data.Dataset.range(start + lane * workers, tf.int64.max, lanes * workers)
        .map(excerpt)
        .prefetch(2)
        for lane in range(lanes)
    ]
    turns = tf.data.Dataset.range(lanes).repeat()
    excerpts = tf.data.Dataset.choose_from_datasets(excerpts, turns)
    batches = excerpts.batch(training.batch_size, drop_remainder=True).prefetch(2)
    return _without_tuning(batches)


def _example(tracks: list[PreparedTrack], config: NetworkConfig, stems, centre: slice):
    """The mixture of an excerpt's stems, and the middle of its sources."""
    sources = tracks[0].sums(stems)
    middle = [source[centre] for source in sources]
    return tf.add_n(sources), dict(zip(config.sources, middle))


def _without_tuning(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Keeps TensorFlow from tuning a data set, in which nothing is left to tune.

    The thread that does so may miss that the data set is dropped, and keep the process
    from ending for a minute (`Model::OptimizeLoop`, TensorFlow 2.16).
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.with_options(options)


def whole_track_windows(
    tracks: list[PreparedTrack],
    config: NetworkConfig,
    *,
    batch_size: int,
    multiple_of: int | None = None,
    worker: int = 0,
    workers: int = 1,
    reader: str = "auto",
) -> tf.data.Dataset:
    """Windows that cover every track once, for validation.

    They hop by the output's frames; the last of a track goes on into zeros, which
    `weights` leaves out, so that every frame of a track is scored and nothing else. The
    last batch is filled with windows of no weight.

    Args:
        tracks: the validation tracks.
        config: the network.
        batch_size: windows a batch.
        multiple_of: how many windows all workers' devices take at a time; by default
            `batch_size` times `workers`.
        worker: this is worker k of `workers`, and takes the windows whose numbers are k
            modulo `workers`; each worker gets as many batches.
        workers: how many there are.
        reader: see readers.build_reader.

    Returns:
        Batches of mixture, sources (as `random_excerpts` gives them, without gains),
        weights, float32 `(batch, output frames, 1)`, 1 within a track, else 0, and the
        tracks' numbers, int32 `(batch,)`.
    """
    places = _places(tracks, config)
    beyond = (0, tracks[0].frames)
    places += [beyond] * (-len(places) % (multiple_of or batch_size * workers))
    windows = _windows(tracks, config, places[worker::workers], reader)
    batches = windows.batch(batch_size, drop_remainder=True).prefetch(2)
    return _without_tuning(batches)


def count_windows(tracks: list[PreparedTrack], config: NetworkConfig) -> int:
    """How many windows `whole_track_windows` has, but for the last batch's filling."""
    return len(_places(tracks, config))


def _places(
    tracks: list[PreparedTrack], config: NetworkConfig
) -> list[tuple[int, int]]:
    hop = shapes.window_frames(config).output_frames
    return [
        (number, start)
        for number, track in enumerate(tracks)
        for start in range(0, track.frames, hop)
    ]


def listening_windows(
    tracks: list[PreparedTrack], config: NetworkConfig, seconds: float
) -> tf.data.Dataset:
    """Windows side by side from the middle of each track, to listen to.

    Returns:
        What `whole_track_windows` gives, a batch a track.
    """
    hop = shapes.window_frames(config).output_frames
    count = max(1, round(seconds * config.sample_rate_hz / hop))
    firsts = [max(0, (track.frames - count * hop) // 2) for track in tracks]
    places = [
        (number, first + hop * k)
        for number, first in enumerate(firsts)
        for k in range(count)
    ]
    return _without_tuning(_windows(tracks, config, places, "auto").batch(count))


def _windows(
    tracks: list[PreparedTrack],
    config: NetworkConfig,
    places: list[tuple[int, int]],
    reader: str,
) -> tf.data.Dataset:
    """Windows at places: a track's number, and the first frame of the output."""
    window = shapes.window_frames(config)
    context, hop = window.context_frames, window.output_frames
    centre = slice(context, context + hop)
    count = len(tracks[0].paths)
    lengths = tf.constant([track.frames for track in tracks], tf.int64)
    read = readers.build_reader(
        tracks, window.input_frames, config.channels, reader=reader
    )

    def windowed(track, start):
        stems = read(
            tf.repeat(track, count), tf.repeat(start - context, count), tf.ones(count)
        )
        mixture, sources = _example(tracks, config, stems, centre)
        inside = start + tf.range(hop, dtype=tf.int64) < lengths[track]
        return mixture, sources, tf.cast(inside, tf.float32)[:, None], track

    track, start = np.array(places, np.int64).T
    windows = tf.data.Dataset.from_tensor_slices((track.astype(np.int32), start))
    return windows.map(windowed)
