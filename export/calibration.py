"""Excerpts of music on which the ranges of integer activations are measured."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator

import numpy as np

from waveunet_tf.audio import io
from waveunet_tf.audio.blocks import to_channels
from waveunet_tf.audio.formats import SUFFIXES
from waveunet_tf.configs.networks import NetworkConfig
from waveunet_tf.errors import InputError, naming
from waveunet_tf.export import tflite
from waveunet_tf.system import arguments

_MAX_EXCERPTS = 8
_EXCERPT_SECONDS = 6


def read_excerpts(
    directory: str | os.PathLike, config: NetworkConfig
) -> list[np.ndarray]:
    """Reads the middle of some songs of a folder, spread evenly over the folder.

    Args:
        directory: The folder. Where it holds files named `mixture`, as `prepare` writes
            them, only these are read, and only those in `train` if it has that folder.
        config: The network's config; the songs must have its sample rate.

    Returns:
        Excerpts `(frames, channels)`.

    Raises:
        InputError: The folder has no audio, or only silence, or a song has another
            sample rate, more than two channels, or samples that are not finite.
        OSError: A file cannot be read.
    """
    directory = pathlib.Path(directory)
    root = directory / "train" if (directory / "train").is_dir() else directory
    songs = [
        path
        for path in sorted(root.rglob("*"))
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        # Of such names are the companions that macOS leaves on other systems' disks.
        and not any(part.startswith(".") for part in path.relative_to(root).parts)
    ]
    songs = [path for path in songs if path.stem == "mixture"] or songs
    if not songs:
        raise InputError(
            f"{directory}: must be a folder with audio files, but has none"
        )
    excerpts = []
    for path in songs[:: -(-len(songs) // _MAX_EXCERPTS)]:
        song, rate_hz = io.read(path)
        if rate_hz != config.sample_rate_hz:
            raise InputError(
                f"{path}: calibration needs the network's sample rate, "
                f"{config.sample_rate_hz} Hz (`prepare` gives it). "
                f"Received: {rate_hz} Hz"
            )
        frames = _EXCERPT_SECONDS * rate_hz
        start = max(len(song) - frames, 0) // 2
        song = song[start : start + frames]
        with naming(path):
            song = arguments.samples("song", song, channels=song.shape[1])
            excerpts.append(to_channels(song, config.channels))
    if not any(excerpt.any() for excerpt in excerpts):
        raise InputError(
            f"{directory}: its songs must have something to be heard, for ranges are "
            "measured on them, but are silent"
        )
    return excerpts


def recorded_inputs(
    plan: tflite.Plan, engine, excerpts: list[np.ndarray]
) -> Iterator[dict[str, np.ndarray]]:
    """Yields the arrays that an engine is called with while it separates excerpts.

    Args:
        plan: The plan whose program the engine computes.
        engine: The engine.
        excerpts: Excerpts of songs, `(frames, channels)`.

    Yields:
        The mixture and the states of one call, by name, as the engine takes them:
        `(1, frames, channels)` and `(1, frames, features)`.
    """
    recorder = _Recorder(engine)
    for excerpt in excerpts:
        runner = plan.runner(recorder)
        for start in range(0, len(excerpt), runner.hop_frames):
            runner.push(excerpt[start : start + runner.hop_frames])
            yield from recorder.take_calls()
        # The longest delays give back the last of their frames only at the end.
        runner.finish()
        yield from recorder.take_calls()


class _Recorder:
    """An engine that keeps a copy of what it is called with."""

    def __init__(self, engine):
        self._engine, self._calls = engine, []
        self.chunk_frames, self.silence = engine.chunk_frames, engine.silence
        self.input_shapes = engine.input_shapes

    def __call__(self, **inputs) -> dict:
        self._calls.append({name: np.array(value) for name, value in inputs.items()})
        return self._engine(**inputs)

    def take_calls(self) -> list[dict[str, np.ndarray]]:
        """Returns the calls since the last time, and forgets them."""
        calls, self._calls = self._calls, []
        return calls
