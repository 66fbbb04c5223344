"""A song of any length → its stems, as one stream in constant memory.

blocks ─▶ network's rate ─▶ network, in chunks or windows ─▶ song's rate ─▶ stems
"""

from __future__ import annotations

import math
import os

import numpy as np

from waveunet_tf import (
    audio,
    checkpoint,
    engines,
    exported,
    named_models,
    runners,
    shapes,
    song_files,
)
from waveunet_tf.errors import InputError

_BLOCK_FRAMES = 65536
# More than half of soxr's filter has taps, at the lower rate.
_RESAMPLER_FRAMES = 4096


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
            windows: with which it covers a song; None: as `engines.build_program` has
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
                "Audio must have 1 or 2 channels; run_separate's --downmix folds more "
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
    separate_file = song_files.separate_file


class SongStream:
    """One song on its way through a network.

    What comes out has the song's rate and length. It lags behind what goes in by the
    network's look-ahead, the rest of a chunk, and the resampling.

    Attributes:
        channels: channels of the stems: those of the song, or 1 of a mono network.
        latency_seconds: how long after a frame its stems come, at most.
        context_frames: how many frames of the song around a frame its stems depend on,
            at most, on each side.
    """

    def __init__(self, config, runner, sample_rate_hz: int, channels: int):
        """Starts a stream; Separator.stream does it."""
        self.channels = min(channels, config.channels)
        self.latency_seconds = (
            runner.latency_frames / config.sample_rate_hz
            + audio.resampling_seconds(sample_rate_hz, config.sample_rate_hz)
            + audio.resampling_seconds(config.sample_rate_hz, sample_rate_hz)
        )
        ratio = sample_rate_hz / config.sample_rate_hz
        self.context_frames = math.ceil(
            runner.context_frames * ratio + _RESAMPLER_FRAMES * max(ratio, 1)
        )
        # The song's frames after which the network's repeat their phase.
        common = math.gcd(sample_rate_hz, config.sample_rate_hz)
        network_stride = math.lcm(runner.stride_frames, config.sample_rate_hz // common)
        self._stride = network_stride * sample_rate_hz // config.sample_rate_hz
        self._came_channels = channels
        self._config = config
        self._runner = runner
        rates = (sample_rate_hz, config.sample_rate_hz)
        self._to_network = audio.StreamResampler(*rates, config.channels)
        # With a difference output the last source is made here, at the song's own rate,
        # so that the stems add up to the song.
        self._difference = getattr(config, "output_type", "direct") == "difference"
        names = config.sources[:-1] if self._difference else config.sources
        self._from_network = {
            name: audio.StreamResampler(*rates[::-1], self.channels) for name in names
        }
        self._song = runners.Queue(self.channels)
        self._frames, self._ended = 0, False

    def lead_in_frame(self, start: int) -> int:
        """Where in a song to begin, for stems from `start` on as of the whole song."""
        return max(start - self.context_frames, 0) // self._stride * self._stride

    def push(self, block: np.ndarray) -> dict[str, np.ndarray]:
        """Takes the song's next frames.

        Args:
            block: floats `(frames, channels)`, of any length.

        Returns:
            Source → the next `(frames, channels)` that are ready, as many of each
            source, which may be none.

        Raises:
            InputError: the block is not of finite floats, or of other channels than
                the stream.
        """
        if self._ended:
            raise InputError("`song` must not go on after its end (finish)")
        if block.ndim != 2 or block.shape[1] != self._came_channels:
            raise InputError(
                f"`song` must be of blocks (frames, {self._came_channels}). "
                f"Received: shape {block.shape}"
            )
        if not np.issubdtype(block.dtype, np.floating):
            raise InputError(
                f"`song` must be of floats, full scale ±1. Received: {block.dtype}"
            )
        finite = np.isfinite(block).all(axis=1)
        if not finite.all():
            raise InputError(
                "`song` must hold finite samples. Received: NaN or infinity in frame "
                f"{self._frames + int(np.argmin(finite))}"
            )
        block = block.astype(np.float32)  # a copy: the caller may use it again
        self._frames += len(block)
        if self._difference:
            self._song.put(audio.to_channels(block, self.channels))
        mixture = audio.to_channels(block, self._config.channels)
        stems = self._runner.push(self._to_network.push(mixture))
        return self._stems(
            {
                name: resampler.push(audio.to_channels(stems[name], self.channels))
                for name, resampler in self._from_network.items()
            }
        )

    def finish(self) -> dict[str, np.ndarray]:
        """Ends the song; gives the rest of each source."""
        self._ended = True
        rest = self._to_network.finish()
        stems = [self._runner.push(rest), self._runner.finish()]
        ended = {}
        for name, resampler in self._from_network.items():
            last = np.concatenate([block[name] for block in stems])
            pushed = resampler.push(audio.to_channels(last, self.channels))
            rest = resampler.finish(self._frames)
            ended[name] = np.concatenate([pushed, rest])
        return self._stems(ended)

    def _stems(self, stems: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if self._difference:
            others = list(stems.values())
            song = self._song.take(len(others[0]))
            stems[self._config.sources[-1]] = song - sum(others)
        return stems


def load(directory: str | os.PathLike, **options) -> Separator:
    """Loads a checkpoint's or a model's separator.

    Args:
        directory: the checkpoint, a folder of config.json and weights; or, where there
            is nothing of that path, the name of a model, such as "vocals".
        **options: see engines.load_engine.

    Raises:
        InputError: see engines.load_engine and named_models.find; the model was changed
            since it was packed.
    """
    directory = named_models.find(directory)
    # Here, too: LiteRT's cache makes do without loading the network.
    named_models.check(directory, (checkpoint.CONFIG, checkpoint.WEIGHTS))
    engine = engines.load_engine(directory, **options)
    return Separator(checkpoint.read_config(directory), engine)


def load_tflite(path: str | os.PathLike, *, threads: int | None = None) -> Separator:
    """Loads the separator of an exported TFLite file, a stream's step or a window.

    Args:
        path: a file that run_export wrote.
        threads: of the CPU; by default as many as this process has cores.

    Raises:
        InputError, OSError: see exported.load.
    """
    return Separator(*exported.load(path, threads=threads))
