"""Separates songs of any length, as one stream in constant memory.

blocks ─▶ network's rate ─▶ network, in chunks or windows ─▶ song's rate ─▶ stems
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

import numpy as np

from waveunet_tf.checkpoints.checkpoint import Checkpoint
from waveunet_tf.configs.networks import NetworkConfig
from waveunet_tf.errors import InputError
from waveunet_tf.networks import shapes
from waveunet_tf.separation import engines, runners, song_file, tflite_file
from waveunet_tf.separation.engine import Engine
from waveunet_tf.separation.song_stream import SongStream
from waveunet_tf.system import arguments

_BLOCK_FRAMES = 65536


class Separator:
    """Separates songs with a network; `waveunet_tf.load` makes one.

    Attributes:
        config: The network's config.
        engine: The name of the engine that computes the network, such as "litert".
    """

    def __init__(
        self,
        config: NetworkConfig,
        engine: Engine,
        windows: shapes.SongWindows | None = None,
    ):
        """Takes a network that is ready to run.

        Args:
            config: The network's config.
            engine: An engine that was made for the stream's step, or for windows.
            windows: How windows cover a song; by default None, the stream's step, or
                `shapes.song_windows` for a network that cannot stream.
        """
        self.config = config
        self.engine = engine.name
        self._engine = engine
        if windows is None and not config.can_stream:
            windows = shapes.song_windows(config, engine.chunk_frames)
        self._windows = windows

    def runner(self) -> runners.Runner:
        """Starts a runner for a song that has the network's own rate and channels."""
        return runners.start(self.config, self._engine, self._windows)

    def stream(self, sample_rate_hz: int, channels: int = 2) -> SongStream:
        """Starts a song that comes in blocks.

        Args:
            sample_rate_hz: The song's sample rate in Hz.
            channels: The song's channels, 1 or 2.

        Raises:
            InputError: The rate or the number of channels is out of range.
        """
        sample_rate_hz = arguments.rate_hz("sample_rate_hz", sample_rate_hz)
        channels = arguments.channels("channels", channels)
        return SongStream(self.config, self.runner(), sample_rate_hz, channels)

    def separate(self, song: np.ndarray, sample_rate_hz: int) -> dict[str, np.ndarray]:
        """Separates a song.

        Args:
            song: Floats `(frames, channels)` of full scale ±1, mono or stereo.
            sample_rate_hz: The song's sample rate in Hz. If the network has another
                rate, the song is resampled there and back.

        Returns:
            Source → float32 `(frames, channels)`, as long as the song. A mono network
            gives mono stems; a stereo network gives as many channels as the song has.

        Raises:
            InputError: The song is no array of floats, or of another rank, without
                frames, of more than two channels, or of samples that are not finite or
                beyond `arguments.MAX_SAMPLE`; or the rate is no whole number in range.
        """
        song = arguments.floats("song", song)
        if not len(song):
            raise InputError(
                "`song` must be an array (frames, channels) with frames. "
                f"Received: shape {song.shape}"
            )
        stream = self.stream(sample_rate_hz, song.shape[1])
        stream.argument = "song"
        blocks = [
            stream.push(song[start : start + _BLOCK_FRAMES])
            for start in range(0, len(song), _BLOCK_FRAMES)
        ]
        blocks.append(stream.finish())
        return {
            name: np.concatenate([block[name] for block in blocks])
            for name in self.config.sources
        }

    def separate_file(
        self,
        path: str | os.PathLike,
        targets: Mapping[str, str | os.PathLike],
        *,
        bit_depth: int | None = None,
        clip: str | None = None,
        start_seconds: float = 0.0,
        duration_seconds: float | None = None,
        downmix: bool = False,
        audio_track: int | None = None,
        on_progress: Callable[[float], None] | None = None,
    ) -> None:
        """Separates an audio file into files, which appear together or not at all.

        Args:
            path: The song, in any format that `decode.AudioReader` reads.
            targets: Stem → the file to write, in the format of its suffix. An existing
                file is replaced. A stem is a source, or `no_<source>`, the sum of all
                others; not every source needs a file. The song's tags are carried over.
            bit_depth: The files' bit depth, 16, 24 or 32, which is float; by default
                the song's, or the highest below it that the format has.
            clip: What happens where samples are beyond full scale. "rescale" makes all
                stems quieter by one gain, "clamp" clips, and "none" leaves them, in
                float wav files only. By default "none" for these, else "rescale".
            start_seconds: Where in the song to begin. A part has the stems that the
                whole song has there.
            duration_seconds: How much to separate; by default all that follows.
            downmix: Whether more than two channels are folded down to stereo.
            audio_track: Which audio track of a video, from 1 on; by default the one
                that the file calls its default.
            on_progress: Called with the seconds of audio done since the last call.

        Raises:
            InputError: The song cannot be read or separated, a target has no such
                source or format, or an option is out of range.
            OSError: A file cannot be read or written.
        """
        song_file.separate_file(
            self,
            path,
            targets,
            song_file.FileOptions(
                bit_depth=bit_depth,
                clip=clip,
                start_seconds=start_seconds,
                duration_seconds=duration_seconds,
                downmix=downmix,
                audio_track=audio_track,
            ),
            on_progress=on_progress,
        )


def load_separator(
    directory: str | os.PathLike,
    *,
    engine: str = "auto",
    device: str | None = None,
    threads: int | None = None,
    chunk_frames: int | None = None,
    **overrides,
) -> Separator:
    """Loads the separator of a checkpoint or of a model.

    Args:
        directory: A checkpoint, which is a folder of config.json and weights; or, where
            there is no such path, the name of a model, such as "vocals".
        engine: "tensorflow", "litert" or "auto"; see `engines.load_engine`.
        device: "cpu" or "gpu:0" (1, …); by default the first GPU, or the CPU.
        threads: Threads of the CPU; by default one for each core.
        chunk_frames: The most frames of a step, at the network's rate; by default what
            measured fastest.
        **overrides: New values for fields of the config; see `Checkpoint.open`.

    Raises:
        InputError: There is no such checkpoint or model, its files are broken or were
            changed since they were packed, or an option is out of range.
        OSError: A file cannot be read.
    """
    return separator_of(
        Checkpoint.open(directory, **overrides),
        engine=engine,
        device=device,
        threads=threads,
        chunk_frames=chunk_frames,
    )


def separator_of(checkpoint: Checkpoint, **options) -> Separator:
    """Loads the separator of an opened checkpoint.

    Args:
        checkpoint: The checkpoint.
        **options: The arguments of `engines.load_engine`.

    Raises:
        InputError: The weights are missing or broken, or an option is out of range.
    """
    engine = engines.load_engine(checkpoint, **options)
    return Separator(checkpoint.config, engine)


def load_tflite_separator(
    path: str | os.PathLike, *, threads: int | None = None
) -> Separator:
    """Loads the separator of an exported TFLite file, a stream's step or a window.

    Args:
        path: A file that `waveunet export` wrote.
        threads: Threads of the CPU; by default one for each core that this process may
            use.

    Raises:
        InputError: The file is broken, or was not written by this project.
        OSError: The file cannot be read.
    """
    return Separator(*tflite_file.load_tflite_file(path, threads=threads))
