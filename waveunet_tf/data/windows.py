"""Windows of a prepared folder's tracks: how they are read, and all in order.

A window is what the network takes at a time: the mixture of its input frames, and each
source's output frames.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from waveunet_tf.configs.networks import NetworkConfig
from waveunet_tf.configs.training import TrainingConfig
from waveunet_tf.data import readers, speeds
from waveunet_tf.data.prepared import PreparedTrack
from waveunet_tf.networks import shapes

without_autograph = tf.autograph.experimental.do_not_convert
"""Nothing here needs AutoGraph, which takes longer than all else of a data set."""


class Mixing:
    """Sums stems to sources and mixture, at their speeds."""

    def __init__(
        self,
        track: PreparedTrack,
        config: NetworkConfig,
        training: TrainingConfig | None,
    ):
        """Takes a track, of whose stems all are, and the limits of the speeds."""
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


class Windows:
    """Reads windows of tracks, and sums their stems to sources and mixture."""

    def __init__(
        self,
        tracks: list[PreparedTrack],
        config: NetworkConfig,
        reader: str,
        training: TrainingConfig | None = None,
    ):
        """Takes the tracks, and the limits of the speeds; None: no speed changes."""
        window = shapes.window_frames(config)
        self.frames = window
        self.stems = len(tracks[0].paths)
        self._mixing = Mixing(tracks[0], config, training)
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


def without_tuning(batches: tf.data.Dataset) -> tf.data.Dataset:
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
    return without_tuning(batches)


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
    return without_tuning(_windows_at(tracks, config, places, "auto").batch(count))


def _windows_at(
    tracks: list[PreparedTrack],
    config: NetworkConfig,
    places: list[tuple[int, int]],
    reader: str,
) -> tf.data.Dataset:
    """Builds windows at places: a track's number, and the first frame of the output."""
    windows = Windows(tracks, config, reader)
    stems, hop = windows.stems, windows.frames.output_frames
    lengths = tf.constant([track.frames for track in tracks], tf.int64)

    def window_at(track, start):
        mixture, sources = windows.read(
            tf.fill([stems], track),
            tf.fill([stems], start - windows.frames.context_frames),
            tf.ones(stems),
        )
        inside = start + tf.range(hop, dtype=tf.int64) < lengths[track]
        return mixture, sources, tf.cast(inside, tf.float32)[:, None], track

    track, start = np.array(places, np.int64).T
    places = tf.data.Dataset.from_tensor_slices((track.astype(np.int32), start))
    return places.map(without_autograph(window_at))
