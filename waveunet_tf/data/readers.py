"""Excerpts of prepared stems, read at random by frame, inside of a tf.data graph."""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import os
import warnings
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import soundfile
import tensorflow as tf
from absl import logging

from waveunet_tf.audio.blocks import to_channels
from waveunet_tf.data.prepared import PreparedTrack
from waveunet_tf.errors import InputError

READERS = ("auto", "tensorflow_io", "soundfile")
_FULL_SCALE_OF_16_BITS = 2.0**15
# libsndfile's subtypes → the type in which tensorflow-io gives them, and full scale.
_TENSORFLOW_IO_TYPES = {
    "PCM_16": (tf.int16, _FULL_SCALE_OF_16_BITS),
    "PCM_24": (tf.int32, 2.0**31),
    "FLOAT": (tf.float32, 1.0),
}


class ExcerptReader(Protocol):
    """Reads an excerpt of each stem, inside of a graph."""

    def read_stored(self, tracks: tf.Tensor, starts: tf.Tensor) -> list[tf.Tensor]:
        """Reads one excerpt of each 16-bit stem as the file has it; see are_16_bit.

        Args:
            tracks: int32 `(stems,)`, the numbers of the tracks.
            starts: int64 `(stems,)`, the first frames, which may be negative.

        Returns:
            For each stem int16 `(frames, channels)`, with zeros beyond the track's
            ends.
        """

    def read(
        self, tracks: tf.Tensor, starts: tf.Tensor, gains: tf.Tensor
    ) -> list[tf.Tensor]:
        """Reads one excerpt of each stem, each from a track and place of its own.

        Args:
            tracks: int32 `(stems,)`, the numbers of the tracks.
            starts: int64 `(stems,)`, the first frames, which may be negative.
            gains: float32 `(stems,)`, the factors of the samples.

        Returns:
            For each stem float32 `(frames, channels)`, with zeros beyond the track's
            ends.
        """


def build_reader(
    tracks: Sequence[PreparedTrack], frames: int, channels: int, *, reader: str = "auto"
) -> ExcerptReader:
    """Builds the reader that suits the tracks. Both kinds give the same samples.

    Args:
        tracks: The tracks, all of the same stems.
        frames: The length of an excerpt.
        channels: The channels of an excerpt; stereo files become mono by the mean.
        reader: "tensorflow_io", whose operations run in the graph; "soundfile", which
            calls Python; or "auto": tensorflow_io if it works here and with the files.

    Raises:
        InputError: The reader is unknown, or cannot read the tracks.
    """
    if reader not in READERS:
        raise InputError(
            f"`reader` must be one of {', '.join(READERS)}. Received: {reader}"
        )
    if reader != "soundfile":
        problem = _problem_of_tensorflow_io(tracks)
        if problem is None:
            return TensorFlowIOReader(tracks, frames, channels)
        if reader == "tensorflow_io":
            raise InputError(f"`reader` must be soundfile, for {problem}")
        _tell_once(f"reading with soundfile, for {problem}")
    _check_remote(tracks)
    return SoundFileReader(tracks, frames, channels)


@functools.cache
def _tell_once(line: str) -> None:
    """Logs what is the same for the readers of all subsets."""
    logging.info("%s", line)


def _problem_of_tensorflow_io(tracks: Sequence[PreparedTrack]) -> str | None:
    """Returns the reason why tensorflow-io cannot read the tracks, if there is one."""
    kinds = _kinds(tracks)
    if len(kinds) != 1:
        return f"the stems are of several kinds: {sorted(kinds)}"
    ((container, subtype),) = kinds
    if container != "WAV" or subtype not in _TENSORFLOW_IO_TYPES:
        return f"tensorflow-io does not read {container} of {subtype} as is needed"
    try:
        # Imported here only: it loads with one version of TensorFlow. Beside others it
        # warns of what its error tells as well.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import tensorflow_io as tfio

        dtype, _ = _TENSORFLOW_IO_TYPES[subtype]
        # It overlooks the samples behind some chunks.
        for path in dict.fromkeys(path for track in tracks for path in track.paths):
            found = tfio.IOTensor.graph(dtype).from_audio(os.fsencode(path))[:1]
            if len(found) != 1:
                return f"tensorflow-io finds no samples in {path}"
    except (ImportError, NotImplementedError, tf.errors.OpError, UnicodeError) as error:
        return f"tensorflow-io cannot be used: {str(error).splitlines()[0]}"
    return None


def _check_remote(tracks: Sequence[PreparedTrack]) -> None:
    """Checks that there is each stem that is not on this machine, in its length."""
    for track in tracks:
        for path in track.paths:
            if "://" not in path:
                continue
            try:
                tf.io.gfile.stat(path)  # libsndfile would print a traceback
                with _open(path) as file:
                    frames = file.frames
            except (soundfile.LibsndfileError, tf.errors.OpError) as error:
                reason = str(error).splitlines()[0]
                raise InputError(f"{path}: must be a wav file: {reason}") from error
            if frames != track.frames:
                raise InputError(
                    f"{path}: must have {track.frames} frames, as the manifest says, "
                    f"but has {frames}"
                )


@contextlib.contextmanager
def _open(path: str) -> Iterator[soundfile.SoundFile]:
    """Opens an audio file, on this machine or on a file system of TensorFlow's."""
    with contextlib.ExitStack() as stack:
        file = os.fsencode(path)
        if "://" in path:
            file = stack.enter_context(tf.io.gfile.GFile(path, "rb"))
        yield stack.enter_context(soundfile.SoundFile(file))


def are_16_bit(tracks: Sequence[PreparedTrack], channels: int) -> bool:
    """Says whether excerpts of the tracks are 16-bit samples before any gain.

    Args:
        tracks: The tracks.
        channels: The channels of an excerpt. One may be a mean, which 16 bits lose.
    """
    subtypes = {subtype for _, subtype in _kinds(tracks)}
    return channels == 2 and subtypes == {"PCM_16"}


def from_stored(samples, gain):
    """Returns the float32 samples of 16-bit ones, with a gain, as readers give them."""
    return tf.cast(samples, tf.float32) * (1 / _FULL_SCALE_OF_16_BITS) * gain


def _kinds(tracks: Sequence[PreparedTrack]) -> frozenset[tuple[str, str]]:
    return frozenset().union(*(track.kinds for track in tracks))


class TensorFlowIOReader:
    """An `ExcerptReader` whose operations run in the graph, without Python."""

    def __init__(self, tracks: Sequence[PreparedTrack], frames: int, channels: int):
        """Takes tracks of one kind, which tensorflow-io can read."""
        ((_, subtype),) = _kinds(tracks)
        self._dtype, self._full_scale = _TENSORFLOW_IO_TYPES[subtype]
        self._paths = tf.constant(
            [list(map(os.fsencode, track.paths)) for track in tracks]
        )
        self._lengths = tf.constant([track.frames for track in tracks], tf.int64)
        self._stems = len(tracks[0].paths)
        self._frames, self._channels = frames, channels

    def read(self, tracks, starts, gains):
        """Reads one excerpt of each stem; see `ExcerptReader`."""
        return [
            self._to_float(samples, gains[stem])
            for stem, samples in enumerate(self._read_padded(tracks, starts))
        ]

    def read_stored(self, tracks, starts):
        """Reads one excerpt of each 16-bit stem; see `ExcerptReader`."""
        shape = (self._frames, self._channels)
        return [
            tf.ensure_shape(samples, shape)
            for samples in self._read_padded(tracks, starts)
        ]

    def _read_padded(self, tracks, starts) -> list:
        return [
            self._read_stem(
                self._paths[tracks[stem], stem],
                self._lengths[tracks[stem]],
                starts[stem],
            )
            for stem in range(self._stems)
        ]

    def _read_stem(self, path, length, start):
        import tensorflow_io as tfio

        first = tf.clip_by_value(start, 0, length)
        last = tf.clip_by_value(start + self._frames, 0, length)
        samples = tfio.IOTensor.graph(self._dtype).from_audio(path)[first:last]
        before = tf.clip_by_value(-start, 0, self._frames)
        after = self._frames - before - (last - first)
        return tf.cond(
            last - first < self._frames,
            lambda: tf.pad(samples, [[before, after], [0, 0]]),
            lambda: samples,
        )

    def _to_float(self, samples, gain):
        # One step after the other, so that TensorFlow can work in place: excerpts are
        # megabytes.
        samples = tf.cast(samples, tf.float32) * (1 / self._full_scale)
        if self._channels == 1:
            samples = tf.reduce_mean(samples, axis=1, keepdims=True)
        return tf.ensure_shape(samples * gain, (self._frames, self._channels))


class SoundFileReader:
    """An `ExcerptReader` that calls Python, and reads what libsndfile reads."""

    def __init__(self, tracks: Sequence[PreparedTrack], frames: int, channels: int):
        """Takes tracks of any kinds."""
        _end_reading_at_exit()
        self._tracks, self._stems = tracks, len(tracks[0].paths)
        self._frames, self._channels = frames, channels

    def read(self, tracks, starts, gains):
        """Reads one excerpt of each stem; see `ExcerptReader`."""
        excerpts = tf.numpy_function(
            self._read_now, [tracks, starts, gains], [tf.float32] * self._stems
        )
        shape = (self._frames, self._channels)
        return [tf.ensure_shape(excerpt, shape) for excerpt in excerpts]

    def read_stored(self, tracks, starts):
        """Reads one excerpt of each 16-bit stem; see `ExcerptReader`."""
        excerpts = tf.numpy_function(
            self._read_stored_now, [tracks, starts], [tf.int16] * self._stems
        )
        shape = (self._frames, self._channels)
        return [tf.ensure_shape(excerpt, shape) for excerpt in excerpts]

    def _read_now(self, tracks, starts, gains) -> list[np.ndarray]:
        return [
            self._read_stem(self._tracks[tracks[stem]], stem, starts[stem], "float32")
            * gains[stem]
            for stem in range(self._stems)
        ]

    def _read_stored_now(self, tracks, starts) -> list[np.ndarray]:
        return [
            self._read_stem(self._tracks[tracks[stem]], stem, starts[stem], "int16")
            for stem in range(self._stems)
        ]

    def _read_stem(self, track, stem, start, dtype) -> np.ndarray:
        excerpt = np.zeros((self._frames, self._channels), dtype)
        first, last = max(start, 0), min(start + self._frames, track.frames)
        if last > first:
            with _open(track.paths[stem]) as file:
                file.seek(first)
                samples = file.read(last - first, dtype=dtype, always_2d=True)
            excerpt[first - start : last - start] = to_channels(samples, self._channels)
        return excerpt


def _end_reading_at_exit() -> None:
    """Frees iterators that nothing uses any more before Python ends.

    An iterator of tf.data reads ahead in threads. Python stops a thread that calls it
    while it ends; the iterator, freed after that, would wait for the thread for ever.
    TensorFlow's strategies leave their iterators in cycles, which only `gc` finds.
    """
    atexit.unregister(gc.collect)
    atexit.register(gc.collect)
