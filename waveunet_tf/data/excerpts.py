"""The tf.data pipeline of random excerpts of prepared folders.

Excerpt number n is a function of the seed and n alone: its track, its start and its
gains are stateless random numbers. So a training that resumes at step n sees the
excerpts that it would have seen.
"""

from __future__ import annotations

import tensorflow as tf

from waveunet_tf.configs.networks import NetworkConfig
from waveunet_tf.configs.training import TrainingConfig
from waveunet_tf.data import augmentation, readers
from waveunet_tf.data.prepared import PreparedTrack
from waveunet_tf.data.windows import Mixing, Windows, without_autograph, without_tuning
from waveunet_tf.errors import InputError
from waveunet_tf.networks import shapes
from waveunet_tf.system import cpus


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
    stored: bool = False,
) -> tf.data.Dataset:
    """Builds endless batches of random excerpts (paper, section 4.2).

    Starts are uniform over a track that has the network's context on both sides. The
    sources, and the mixture, are sums of stems after their augmentation.

    Args:
        tracks: The training tracks, with their weights.
        config: The network.
        training: The batch's size, the seed, how tracks are drawn, the augmentation.
        first: The number of the first excerpt.
        worker: The number k of this worker, which takes the excerpts whose numbers are
            k modulo `workers`.
        workers: The number of workers.
        reader: The reader's name; see readers.build_reader.
        parallel_calls: The number of excerpts read at a time; by default one a core.
            The order does not depend on it.
        stored: Whether excerpts stay as the files have them, for StoredMixer to mix on
            the device; the tracks must be such that are_fewer_stored says so.

    Returns:
        Pairs of a mixture, float32 `(batch, frames, channels)` of the network's input
        frames, and a dict of sources, float32 `(batch, frames, channels)` of its output
        frames, from the mixture's centre. With `stored` tuples of stems, int16
        `(batch, stems, frames, channels)` of the frames that are read, gains, float32
        `(batch, stems)`, whether channels are swapped, bool `(batch, stems)`, and, if
        speeds change, these, int32 `(batch, stems)`.

    Raises:
        InputError: The output of an excerpt is longer than every track; the worker is
            not below `workers`; the reader cannot read the tracks.
    """
    if not 0 <= worker < workers:
        raise InputError(
            f"`worker` must be at least 0 and below {workers}. Received: {worker}"
        )
    random = _RandomExcerpts(tracks, config, training, reader)
    # Lanes side by side, and not one map of many calls: tensorflow-io opens a file in a
    # place that all calls of an operation share, so each lane needs its own operation.
    lanes = parallel_calls or cpus.cores()
    start = first + (worker - first) % workers
    excerpts = [
        tf.data.Dataset.range(start + lane * workers, tf.int64.max, lanes * workers)
        .map(without_autograph(random.stored if stored else random.excerpt))
        .prefetch(2)
        for lane in range(lanes)
    ]
    turns = tf.data.Dataset.range(lanes).repeat()
    excerpts = tf.data.Dataset.choose_from_datasets(excerpts, turns)
    batches = excerpts.batch(training.batch_size, drop_remainder=True).prefetch(2)
    return without_tuning(batches)


def are_fewer_stored(tracks: list[PreparedTrack], config: NetworkConfig) -> bool:
    """Says whether excerpts as the files have them are fewer bytes than mixed ones.

    Args:
        tracks: The training tracks.
        config: The network.
    """
    window = shapes.window_frames(config)
    stored = 2 * len(tracks[0].paths) * window.input_frames
    mixed = 4 * (window.input_frames + len(config.sources) * window.output_frames)
    return readers.are_16_bit(tracks, config.channels) and stored < mixed


class StoredMixer:
    """Mixes what random_excerpts gives as stored, on the device that computes a step.

    The result is what random_excerpts gives without it, bit for bit; changed speeds
    round the last bits otherwise.
    """

    def __init__(
        self,
        tracks: list[PreparedTrack],
        config: NetworkConfig,
        training: TrainingConfig,
    ):
        """Takes the arguments of random_excerpts."""
        self._mixing = Mixing(tracks[0], config, training)
        self._swaps = training.swap_probability > 0

    def __call__(self, stems, gains, swapped, speed=None):
        """Mixes a batch of random_excerpts.

        Args:
            stems: int16 `(batch, stems, frames, channels)`.
            gains: float32 `(batch, stems)`.
            swapped: bool `(batch, stems)`.
            speed: int32 `(batch, stems)`; None: nothing changes its speed.

        Returns:
            The mixture and the sources, as random_excerpts gives them.
        """
        stems = readers.from_stored(stems, gains[..., None, None])
        if self._swaps:
            swapped = swapped[..., None, None]
            stems = tf.where(swapped, tf.reverse(stems, [-1]), stems)
        if speed is not None:
            speed = tf.cast(speed, tf.int64)  # A card computes no int32.
        return self._mixing.mix(tf.unstack(stems, axis=1), speed)


class _RandomExcerpts:
    """Draws excerpt number n from the seed and n alone."""

    def __init__(
        self,
        tracks: list[PreparedTrack],
        config: NetworkConfig,
        training: TrainingConfig,
        reader: str,
    ):
        window = shapes.window_frames(config)
        self._lengths = [track.frames for track in tracks]
        self._weights = [track.weight for track in tracks]
        if window.output_frames > max(self._lengths):
            raise InputError(
                "`output_frames` must be at most the longest track's "
                f"{max(self._lengths)} frames. Received: {window.output_frames} (from "
                f"a wish of {config.output_frames})"
            )
        self._windows = Windows(tracks, config, reader, training)
        self._training = training

    def excerpt(self, number: tf.Tensor):
        """Reads excerpt `number`, a scalar int64; returns what Windows.read does."""
        drawn = self._draw(number)
        swapped = drawn.swapped if self._training.swap_probability else None
        starts = tf.cast(drawn.start, tf.int64)
        return self._windows.read(drawn.track, starts, drawn.gain, swapped, drawn.speed)

    def stored(self, number: tf.Tensor):
        """Reads the same as the files have it; returns what StoredMixer takes."""
        drawn = self._draw(number)
        starts = tf.cast(drawn.start, tf.int64)
        stems = self._windows.reader.read_stored(drawn.track, starts)
        speed = () if drawn.speed is None else (drawn.speed,)
        return tf.stack(stems), drawn.gain, drawn.swapped, *speed

    def _draw(self, number: tf.Tensor) -> augmentation.Excerpts:
        # float64: a float32 has too few steps for the frames of a long track.
        draws = tf.random.stateless_uniform(
            [self._windows.stems, augmentation.count_draws(self._training)],
            tf.stack([tf.constant(self._training.seed, tf.int64), number]),
            dtype=tf.float64,
        )
        return augmentation.excerpts_of(
            draws, self._lengths, self._windows.frames, self._training, self._weights
        )
