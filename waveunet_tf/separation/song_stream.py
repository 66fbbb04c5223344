"""Takes one song through a network as a stream, resampled there and back."""

from __future__ import annotations

import math

import numpy as np

from waveunet_tf.audio import resample
from waveunet_tf.audio.blocks import Queue, to_channels
from waveunet_tf.configs.networks import NetworkConfig
from waveunet_tf.errors import InputError
from waveunet_tf.separation.runners import Runner
from waveunet_tf.system import arguments

# More than half of soxr's filter has taps, at the lower rate.
_RESAMPLER_FRAMES = 4096


class SongStream:
    """One song on its way through a network.

    The stems have the song's rate and length. They lag behind the song by the network's
    look-ahead, the rest of a chunk, and the resampling.

    Attributes:
        argument: What messages call the blocks.
        first_frame: The frame of the song that messages take the first block to begin
            with.
        channels: The stems' channels: those of the song, or 1 with a mono network.
        latency_seconds: The longest time from a frame of the song to its stems.
        context_frames: The most frames of the song, before and after a frame, that its
            stems depend on.
    """

    def __init__(
        self, config: NetworkConfig, runner: Runner, sample_rate_hz: int, channels: int
    ):
        """Starts a stream; `Separator.stream` checks the arguments.

        Args:
            config: The network's config.
            runner: A runner that has taken nothing yet.
            sample_rate_hz: The song's sample rate in Hz.
            channels: The song's channels, 1 or 2.
        """
        self.argument, self.first_frame = "block", 0
        self.channels = min(channels, config.channels)
        self.latency_seconds = (
            runner.latency_frames / config.sample_rate_hz
            + resample.resampling_seconds(sample_rate_hz, config.sample_rate_hz)
            + resample.resampling_seconds(config.sample_rate_hz, sample_rate_hz)
        )
        ratio = sample_rate_hz / config.sample_rate_hz
        self.context_frames = math.ceil(
            runner.context_frames * ratio + _RESAMPLER_FRAMES * max(ratio, 1)
        )
        # The frames of the song after which the network's grid repeats.
        common = math.gcd(sample_rate_hz, config.sample_rate_hz)
        network_stride = math.lcm(runner.stride_frames, config.sample_rate_hz // common)
        self._stride = network_stride * sample_rate_hz // config.sample_rate_hz
        self._song_channels = channels
        self._config = config
        self._runner = runner
        rates = (sample_rate_hz, config.sample_rate_hz)
        self._to_network = resample.StreamResampler(*rates, config.channels)
        # The last source of a difference output is computed here, at the song's own
        # rate, so that the stems add up to the song.
        self._difference = config.has_difference_output
        self._from_network = {
            name: resample.StreamResampler(*rates[::-1], self.channels)
            for name in config.estimated_sources
        }
        self._song = Queue(self.channels)
        self._frames, self._ended = 0, False

    def lead_in_frame(self, start: int) -> int:
        """Says where in a song to begin for the stems of a part.

        Args:
            start: The part's first frame.

        Returns:
            A frame of the song. A stream that begins there gives the same stems, from
            `start` on, as one that begins with the song.
        """
        return max(start - self.context_frames, 0) // self._stride * self._stride

    def push(self, block: np.ndarray) -> dict[str, np.ndarray]:
        """Takes the song's next frames.

        Args:
            block: Floats `(frames, channels)` of full scale ±1, of any length.

        Returns:
            Source → the next frames that are ready, float32 `(frames, channels)`, as
            many of each source. There may be none.

        Raises:
            InputError: The block is no array of floats, has other channels than the
                song, or samples that are not finite or beyond `arguments.MAX_SAMPLE`;
                or the song has ended.
        """
        if self._ended:
            raise InputError(
                "`push` must not follow `finish`, which ends the song. Received: "
                "another block"
            )
        block = arguments.samples(
            self.argument,
            block,
            channels=self._song_channels,
            first_frame=self.first_frame + self._frames,
        )
        self._frames += len(block)
        if self._difference:
            self._song.put(to_channels(block, self.channels))
        mixture = to_channels(block, self._config.channels)
        stems = self._runner.push(self._to_network.push(mixture))
        return self._stems(
            {
                name: resampler.push(to_channels(stems[name], self.channels))
                for name, resampler in self._from_network.items()
            }
        )

    def finish(self) -> dict[str, np.ndarray]:
        """Ends the song.

        Returns:
            Source → the rest of its frames, float32 `(frames, channels)`.

        Raises:
            InputError: The song has ended already.
        """
        if self._ended:
            raise InputError(
                "`finish` must end a song once. Received: a second `finish`"
            )
        self._ended = True
        rest = self._to_network.finish()
        stems = [self._runner.push(rest), self._runner.finish()]
        ended = {}
        for name, resampler in self._from_network.items():
            last = np.concatenate([block[name] for block in stems])
            pushed = resampler.push(to_channels(last, self.channels))
            rest = resampler.finish(self._frames)
            ended[name] = np.concatenate([pushed, rest])
        return self._stems(ended)

    def _stems(self, stems: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Adds the last source of a difference output."""
        if self._difference:
            others = list(stems.values())
            song = self._song.take(len(others[0]))
            stems[self._config.sources[-1]] = song - sum(others)
        return stems
