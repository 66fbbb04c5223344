"""A song of any length → its stems, as one stream in constant memory.

blocks ─▶ network's rate ─▶ network, in chunks or windows ─▶ song's rate ─▶ stems
"""

from __future__ import annotations

import os

import numpy as np

from waveunet_tf.checkpoints import checkpoint, registry
from waveunet_tf.errors import InputError
from waveunet_tf.networks import shapes
from waveunet_tf.separation import engines, runners, song_file, tflite_file
from waveunet_tf.separation.song_stream import SongStream

_BLOCK_FRAMES = 65536


class Separator:
    """Separates songs with a network; `load` and `load_tflite` give one.

    Attributes:
        config: the network's config.
        engine: the name of the engine that computes it, "tensorflow" or "litert".
    """

    def __init__(self, config, engine, windows: shapes.SongWindows | None = None):
        """Takes an engine (see engines.py).

        Args:
            config: the network's config.
            engine: it was made for the stream's step, or for windows.
            windows: with which it covers a song; None: as `program.build_program` has
                it.
        """
        self.config = config
        self.engine = engine.name
        self._engine = engine
        if windows is None and not shapes.can_stream(config):
            windows = shapes.song_windows(config, engine.chunk_frames)
        self._windows = windows

    def runner(self) -> runners.Runner:
        """The network over a song, at its begin, that has the network's own rate."""
        return runners.start(self.config, self._engine, self._windows)

    def stream(self, sample_rate_hz: int, channels: int = 2) -> SongStream:
        """Starts a song that comes in blocks.

        Args:
            sample_rate_hz: its sample rate in Hz.
            channels: 1 or 2.

        Raises:
            InputError: the rate or the channels are out of range.
        """
        if sample_rate_hz <= 0 or int(sample_rate_hz) != sample_rate_hz:
            raise InputError(
                "`sample_rate_hz` must be a positive whole number. "
                f"Received: {sample_rate_hz}"
            )
        if channels not in (1, 2):
            raise InputError(
                "Audio must have 1 or 2 channels; `separate`'s --downmix folds more "
                f"down. Received: {channels} channels"
            )
        return SongStream(self.config, self.runner(), int(sample_rate_hz), channels)

    def separate(self, song: np.ndarray, sample_rate_hz: int) -> dict[str, np.ndarray]:
        """Separates a song.

        Args:
            song: floats `(frames, channels)` of full scale ±1, mono or stereo.
            sample_rate_hz: its sample rate in Hz; another than the network's is
                resampled there and back.

        Returns:
            Source → float32 `(frames, channels)`, as long as the song. A mono network
            gives mono stems; a stereo network gives as many channels as came.

        Raises:
            InputError: the song has another rank or type, no frames, more than two
                channels, or samples that are no finite numbers; the rate is not
                positive.
        """
        song = np.asarray(song)
        if song.ndim != 2 or not song.size:
            raise InputError(
                "`song` must be an array (frames, channels) with frames. "
                f"Received: shape {song.shape}"
            )
        stream = self.stream(sample_rate_hz, song.shape[1])
        blocks = [
            stream.push(song[start : start + _BLOCK_FRAMES])
            for start in range(0, len(song), _BLOCK_FRAMES)
        ]
        blocks.append(stream.finish())
        return {
            name: np.concatenate([block[name] for block in blocks])
            for name in self.config.sources
        }

    # A method of this class, in a file of its own.
    separate_file = song_file.separate_file


def load_separator(directory: str | os.PathLike, **options) -> Separator:
    """Loads a checkpoint's or a model's separator.

    Args:
        directory: the checkpoint, a folder of config.json and weights; or, where there
            is nothing of that path, the name of a model, such as "vocals".
        **options: see engines.load_engine.

    Raises:
        InputError: see engines.load_engine and registry.find; the model was changed
            since it was packed.
    """
    directory = registry.find(directory)
    # Here, too: LiteRT's cache makes do without loading the network.
    registry.check(directory, (checkpoint.CONFIG, checkpoint.WEIGHTS))
    engine = engines.load_engine(directory, **options)
    return Separator(checkpoint.read_config(directory), engine)


def load_tflite_separator(
    path: str | os.PathLike, *, threads: int | None = None
) -> Separator:
    """Loads the separator of an exported TFLite file, a stream's step or a window.

    Args:
        path: a file that run_export wrote.
        threads: of the CPU; by default as many as this process has cores.

    Raises:
        InputError, OSError: see tflite_file.load_tflite_file.
    """
    return Separator(*tflite_file.load_tflite_file(path, threads=threads))
