"""Excerpts of prepared stems, read at random by frame, inside of a tf.data graph."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import numpy as np
import soundfile
import tensorflow as tf
from absl import logging

from waveunet_tf.audio.blocks import to_channels
from waveunet_tf.errors import InputError

READERS = ("auto", "tensorflow_io", "soundfile")
# libsndfile's subtypes → what tensorflow-io gives for them, and its full scale.
_TENSORFLOW_IO_TYPES = {
    "PCM_16": (tf.int16, 2.0**15),
    "PCM_24": (tf.int32, 2.0**31),
    "FLOAT": (tf.float32, 1.0),
}


def build_reader(
    tracks: Sequence, frames: int, channels: int, *, reader: str = "auto"
) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor], list[tf.Tensor]]:
    """Builds a function that reads an excerpt of each stem.

    Args:
        tracks: prepared.PreparedTrack, of as many stems each.
        frames: of an excerpt.
        channels: of an excerpt; stereo files become mono by the mean.
        reader: "tensorflow_io", whose operations run in the graph; "soundfile", which
            calls Python; or "auto", the first if it loads here and knows the files.
            Both give the same samples.

    Returns:
        A function of three arrays `(stems,)`: each stem's track, int32, its first
        frame, int64, which may be negative, and its gain, float32. It gives a list of
        float32 `(frames, channels)`, a stem each, with zeros beyond a track's ends.

    Raises:
        InputError: the reader is unknown, or does not load or know the files.
    """
    if reader not in READERS:
        raise InputError(
            f"`reader` must be one of {', '.join(READERS)}. Received: {reader}"
        )
    kinds = frozenset().union(*(track.kinds for track in tracks))
    if reader != "soundfile":
        reason = _not_for_tensorflow_io(tracks, kinds)
        if reason is None:
            return _tensorflow_io_reader(tracks, frames, channels, kinds)
        if reader == "tensorflow_io":
            raise InputError(f"`reader` must be soundfile, for {reason}")
        logging.info("reading with soundfile, for %s", reason)
    if any("://" in path for path in tracks[0].paths):
        raise InputError(
            "`reader` must be tensorflow_io for files that are not on this machine. "
            f"Received: {tracks[0].paths[0]}"
        )
    return _soundfile_reader(tracks, frames, channels)


def _not_for_tensorflow_io(tracks: Sequence, kinds: frozenset) -> str | None:
    """Why tensorflow-io cannot read the tracks, if it cannot."""
    if len(kinds) != 1:
        return f"the stems are of several kinds: {sorted(kinds)}"
    ((container, subtype),) = kinds
    if container != "WAV" or subtype not in _TENSORFLOW_IO_TYPES:
        return f"tensorflow-io does not read {container} of {subtype} as is needed"
    try:
        # Imported here only: it loads with one version of TensorFlow.
        import tensorflow_io as tfio

        dtype, _ = _TENSORFLOW_IO_TYPES[subtype]
        for track in tracks:  # it does not see the samples behind some chunks
            came = tfio.IOTensor.graph(dtype).from_audio(track.paths[0])[:1]
            if len(came) != 1:
                return f"tensorflow-io finds no samples in {track.paths[0]}"
    except (ImportError, NotImplementedError, tf.errors.OpError, UnicodeError) as error:
        return f"tensorflow-io cannot be used: {str(error).splitlines()[0]}"
    return None


def _tensorflow_io_reader(
    tracks: Sequence, frames: int, channels: int, kinds: frozenset
) -> Callable:
    import tensorflow_io as tfio

    ((_, subtype),) = kinds
    dtype, full_scale = _TENSORFLOW_IO_TYPES[subtype]
    paths = tf.constant([[str(path) for path in track.paths] for track in tracks])
    lengths = tf.constant([track.frames for track in tracks], tf.int64)

    def read_stem(stem, track, start, gain):
        first = tf.clip_by_value(start, 0, lengths[track])
        last = tf.clip_by_value(start + frames, 0, lengths[track])
        path = paths[track, stem]
        samples = tfio.IOTensor.graph(dtype).from_audio(path)[first:last]
        # One after the other in place: excerpts are megabytes.
        samples = tf.cast(samples, tf.float32) * (1 / full_scale)
        if channels == 1:
            samples = tf.reduce_mean(samples, axis=1, keepdims=True)
        samples *= gain

        def padded():
            before = tf.clip_by_value(-start, 0, frames)
            after = frames - before - (last - first)
            return tf.pad(samples, [[before, after], [0, 0]])

        samples = tf.cond(last - first < frames, padded, lambda: samples)
        return tf.ensure_shape(samples, (frames, channels))

    def read(track, start, gain):
        return [
            read_stem(stem, track[stem], start[stem], gain[stem])
            for stem in range(len(tracks[0].paths))
        ]

    return read


def _soundfile_reader(tracks: Sequence, frames: int, channels: int) -> Callable:
    count = len(tracks[0].paths)

    def read_now(track, start, gain):
        excerpts = []
        for stem in range(count):
            of = tracks[track[stem]]
            excerpt = np.zeros((frames, channels), np.float32)
            first = max(start[stem], 0)
            last = min(start[stem] + frames, of.frames)
            if last > first:
                with soundfile.SoundFile(os.fsencode(of.paths[stem])) as file:
                    file.seek(first)
                    came = file.read(last - first, dtype="float32", always_2d=True)
                place = slice(first - start[stem], last - start[stem])
                excerpt[place] = to_channels(came, channels) * gain[stem]
            excerpts.append(excerpt)
        return excerpts

    def read(track, start, gain):
        excerpts = tf.numpy_function(
            read_now, [track, start, gain], [tf.float32] * count
        )
        return [tf.ensure_shape(excerpt, (frames, channels)) for excerpt in excerpts]

    return read
