"""The tf.data pipelines of a prepared folder's excerpts: random ones, and all in order.

Excerpt number n is a function of the seed and n alone: its track, its start and its
gains are stateless random numbers. So a training that resumes at step n sees the
excerpts that it would have seen.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from waveunet_tf.configs.networks import NetworkConfig
from waveunet_tf.configs.training import TrainingConfig
from waveunet_tf.data import augmentation, readers, speeds
from waveunet_tf.data.prepared import PreparedTrack
from waveunet_tf.errors import InputError
from waveunet_tf.networks import shapes
from waveunet_tf.system import cpus

# Nothing here needs AutoGraph, which takes longer than all else of a data set.
_without_autograph = tf.autograph.experimental.do_not_convert


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
        .map(_without_autograph(random.stored if stored else random.excerpt))
        .prefetch(2)
        for lane in range(lanes)
    ]
    turns = tf.data.Dataset.range(lanes).repeat()
    excerpts = tf.data.Dataset.choose_from_datasets(excerpts, turns)
    batches = excerpts.batch(training.batch_size, drop_remainder=True).prefetch(2)
    return _without_tuning(batches)


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
        self._mixing = _Mixing(tracks[0], config, training)
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


class _Mixing:
    """Sums stems to sources and mixture, at their speeds."""

    def __init__(
        self,
        track: PreparedTrack,
        config: NetworkConfig,
        training: TrainingConfig | None,
    ):
        self._window = window = shapes.window_frames(config)
        first = window.context_frames
        self._centre = slice(first, first + window.output_frames)
        self._track, self._sources = track, config.sources
        self._training = training

    def mix(self, stems: list, speed=None):
        """Sums stems, each `(…, frames, channels)`.

        Args:
            stems: The stems, with or without a dimension of excerpts.
            speed: What speeds.play takes, `(…, stems)`; None: nothing changes it.

        Returns:
            The mixture, which is the sum of the sources unless the tracks have a file
            of it; and the sources' centres by name.
        """
        if speed is not None:
            stems = [
                self._play(stem, own)
                for stem, own in zip(stems, tf.unstack(speed, axis=-1))
            ]
        sources = self._track.sums(stems)
        centres = [source[..., self._centre, :] for source in sources]
        has_file = len(stems) > sum(map(len, self._track.stems))
        mixture = stems[-1] if has_file else tf.add_n(sources)
        return mixture, dict(zip(self._sources, centres))

    def _play(self, stem, speed):
        frames = self._window.input_frames
        if stem.shape.rank == 3:
            return speeds.play(stem, speed, frames, self._training)
        return speeds.play(stem[None], speed[None], frames, self._training)[0]


class _Windows:
    """Reads windows of tracks, and sums their stems to sources and mixture."""

    def __init__(
        self,
        tracks: list[PreparedTrack],
        config: NetworkConfig,
        reader: str,
        training: TrainingConfig | None = None,
    ):
        window = shapes.window_frames(config)
        self.frames = window
        self.stems = len(tracks[0].paths)
        self._mixing = _Mixing(tracks[0], config, training)
        frames = window.input_frames
        if training:
            frames = speeds.frames_read(frames, training)
        self.reader = readers.build_reader(
            tracks, frames, config.channels, reader=reader
        )

    def read(self, tracks, starts, gains, swapped=None, speed=None):
        """Reads a window of each stem, of the network's input frames.

        Args:
            tracks: int32 `(stems,)`, the numbers of the tracks.
            starts: int64 `(stems,)`, the first frames of the input.
            gains: float32 `(stems,)`.
            swapped: bool `(stems,)`, whether the channels are swapped; None: nowhere.
            speed: int32 `(stems,)`, what speeds.play takes; None: nothing changes it.

        Returns:
            The mixture, `(frames, channels)`, which is the sum of the sources unless
            the tracks have a file of it; and the sources' centres by name.
        """
        stems = self.reader.read(tracks, starts, gains)
        if swapped is not None:
            stems = [
                tf.cond(swap, lambda stem=stem: stem[:, ::-1], lambda stem=stem: stem)
                for stem, swap in zip(stems, tf.unstack(swapped))
            ]
        return self._mixing.mix(stems, speed)


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
        self._windows = _Windows(tracks, config, reader, training)
        self._training = training

    def excerpt(self, number: tf.Tensor):
        """Reads excerpt `number`, a scalar int64; returns what _Windows.read does."""
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


def _without_tuning(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Keeps TensorFlow from tuning a data set, in which nothing is left to tune.

    The thread that tunes may overlook that the data set is gone, and keep the process
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
    """Builds windows that cover every track once, for validation.

    They hop by the output's frames. The last of a track goes on into zeros, which
    `weights` leaves out: every frame of a track is scored, and nothing else. The last
    batch is filled with windows of weight 0.

    Args:
        tracks: The validation tracks; those of prepared.with_mixtures have their own
            mixture.
        config: The network.
        batch_size: The number of windows in a batch.
        multiple_of: The number of windows that all workers' devices take at a time; by
            default `batch_size` times `workers`.
        worker: The number k of this worker, which takes the windows whose numbers are k
            modulo `workers`. Every worker gets as many batches as the others.
        workers: The number of workers.
        reader: The reader's name; see readers.build_reader.

    Returns:
        Batches of mixture, sources (as `random_excerpts` gives them, without gains),
        weights, float32 `(batch, frames, 1)`, 1 within a track, else 0, and the
        tracks' numbers, int32 `(batch,)`.
    """
    places = _places(tracks, config)
    beyond = (0, tracks[0].frames)
    places += [beyond] * (-len(places) % (multiple_of or batch_size * workers))
    windows = _windows_at(tracks, config, places[worker::workers], reader)
    batches = windows.batch(batch_size, drop_remainder=True).prefetch(2)
    return _without_tuning(batches)


def count_windows(tracks: list[PreparedTrack], config: NetworkConfig) -> int:
    """Counts the windows of `whole_track_windows`, without the last batch's filling."""
    return len(_places(tracks, config))


def _places(
    tracks: list[PreparedTrack], config: NetworkConfig
) -> list[tuple[int, int]]:
    """Lists each window's track, and the first frame of its output."""
    hop = shapes.window_frames(config).output_frames
    return [
        (number, start)
        for number, track in enumerate(tracks)
        for start in range(0, track.frames, hop)
    ]


def listening_windows(
    tracks: list[PreparedTrack], config: NetworkConfig, seconds: float
) -> tf.data.Dataset:
    """Builds windows side by side from the middle of each track, to listen to.

    Args:
        tracks: The tracks.
        config: The network.
        seconds: The length of each track's windows together, rounded to whole windows.

    Returns:
        What `whole_track_windows` gives, with a batch for each track.
    """
    hop = shapes.window_frames(config).output_frames
    count = max(1, round(seconds * config.sample_rate_hz / hop))
    firsts = [max(0, (track.frames - count * hop) // 2) for track in tracks]
    places = [
        (number, first + hop * k)
        for number, first in enumerate(firsts)
        for k in range(count)
    ]
    return _without_tuning(_windows_at(tracks, config, places, "auto").batch(count))


def _windows_at(
    tracks: list[PreparedTrack],
    config: NetworkConfig,
    places: list[tuple[int, int]],
    reader: str,
) -> tf.data.Dataset:
    """Builds windows at places: a track's number, and the first frame of the output."""
    windows = _Windows(tracks, config, reader)
    stems, hop = windows.stems, windows.frames.output_frames
    lengths = tf.constant([track.frames for track in tracks], tf.int64)

    def window_at(track, start):
        mixture, sources = windows.read(
            tf.repeat(track, stems),
            tf.repeat(start - windows.frames.context_frames, stems),
            tf.ones(stems),
        )
        inside = start + tf.range(hop, dtype=tf.int64) < lengths[track]
        return mixture, sources, tf.cast(inside, tf.float32)[:, None], track

    track, start = np.array(places, np.int64).T
    places = tf.data.Dataset.from_tensor_slices((track.astype(np.int32), start))
    return places.map(_without_autograph(window_at))
