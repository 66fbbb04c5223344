"""A track: a song and its true stems, read in step, and repaired if asked for."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterator, Mapping

import numpy as np
from absl import logging

from waveunet_tf.audio.blocks import Queue, to_channels
from waveunet_tf.audio.decode import AudioReader
from waveunet_tf.data.estimates import Estimates
from waveunet_tf.data.stem_sums import lack_of, stems_of
from waveunet_tf.errors import InputError

SUBSETS = ("train", "valid", "test")
# The longest block of a track.
_BLOCK_FRAMES = 65536


@dataclasses.dataclass(frozen=True)
class AudioStream:
    """One audio stream of a file.

    Attributes:
        path: The file.
        stream: The number of the stream; None: the default one.
    """

    path: pathlib.Path
    stream: int | None = None

    def __str__(self) -> str:
        return f"{self.path.name}[{self.stream}]" if self.stream else self.path.name


@dataclasses.dataclass(frozen=True)
class Mending:
    """The repairs of tracks that would be refused otherwise.

    Attributes:
        merges: Source → the stems of which it is the sum. `accompaniment`, where there
            is neither such a stem nor such an entry, is the sum of all stems but the
            vocals, as in musdb.
        missing_is_silence: Whether silence stands for a stem that a track lacks.
        pad_short_stems: Whether stems shorter than the longest go on with silence.
        mono_to_stereo: Whether mono stems get two equal channels.
        rest: A source that is the mixture less all other sources where a track has no
            stem of its name; None: there is none such.
    """

    merges: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    missing_is_silence: bool = False
    pad_short_stems: bool = False
    mono_to_stereo: bool = False
    rest: str | None = None


@dataclasses.dataclass(frozen=True)
class Track:
    """A song and its true stems.

    Attributes:
        name: The song's name.
        subset: train, valid or test.
        sources: The stems by name.
        mixture: The song itself; None: it is the sum of the stems.
        problem: The reason why the track cannot be read, as far as the names of its
            files show it.
        estimates: Which stems are no true ones, but a separator's; None: none.
    """

    name: str
    subset: str
    sources: dict[str, AudioStream]
    mixture: AudioStream | None = None
    problem: str | None = None
    estimates: Estimates | None = None

    @property
    def label(self) -> str:
        """`<subset>/<name>`, which no two tracks share."""
        return f"{self.subset}/{self.name}"

    @property
    def part_names(self) -> tuple[str, ...]:
        """The stems that add up to the mixture: no accompaniment beside its parts."""
        names, halves = set(self.sources), {"vocals", "accompaniment"}
        if names >= halves:
            names = halves
        elif names - halves:
            names -= {"accompaniment"}
        return tuple(sorted(names))

    @contextlib.contextmanager
    def open(
        self, names: tuple[str, ...], mending: Mending | None = None
    ) -> Iterator[TrackReader]:
        """Opens the mixture and the named sources.

        Args:
            names: The sources, which may be sums of stems.
            mending: The repairs that are allowed.

        Raises:
            InputError: The track has no such source, a stem cannot be read, or the
                stems differ in channels or rate.
        """
        mending = mending or Mending()
        rest, parts = self._streams(names, mending)
        with contextlib.ExitStack() as stack:
            readers = {}
            for stream in {stream: None for part in parts.values() for stream in part}:
                with _naming_stem(self.label, stream):
                    reader = AudioReader(stream.path, stream=stream.stream)
                readers[stream] = stack.enter_context(reader)
            yield TrackReader(self, parts, readers, mending, rest)

    def read(
        self, names: tuple[str, ...], mending: Mending | None = None
    ) -> tuple[dict[str, np.ndarray], int]:
        """Decodes the mixture and the named sources whole.

        Args:
            names: The sources, which may be sums of stems.
            mending: The repairs that are allowed.

        Returns:
            `mixture` and each name → float32 `(frames, channels)`; the sample rate in
            Hz.

        Raises:
            InputError: The track has no such source; its stems differ in channels, rate
                or length, are broken, cannot be read, or hold NaN or infinity.
        """
        with self.open(names, mending) as reader:
            return reader.read(), reader.sample_rate_hz

    def paths(
        self, names: tuple[str, ...], mending: Mending | None = None
    ) -> set[pathlib.Path]:
        """Returns the files that `open` reads.

        Args:
            names: The sources, which may be sums of stems.
            mending: The repairs that are allowed.

        Raises:
            InputError: The track has no such source.
        """
        _, parts = self._streams(names, mending or Mending())
        return {stream.path for part in parts.values() for stream in part}

    def _streams(
        self, names: tuple[str, ...], mending: Mending
    ) -> tuple[str | None, dict[str, tuple[AudioStream, ...]]]:
        """Returns the rest, and the streams of `mixture` and of all other names."""
        if self.problem:
            raise InputError(f"{self.label}: {self.problem}")
        rest = self._rest(names, mending)
        parts = {name: self._parts(name, mending) for name in names if name != rest}
        parts["mixture"] = (
            (self.mixture,)
            if self.mixture
            else tuple(self.sources[name] for name in self.part_names)
        )
        return rest, parts

    def _rest(self, names: tuple[str, ...], mending: Mending) -> str | None:
        """Returns the source that is the mixture less the others, if there is one."""
        if mending.rest not in names or mending.rest in self.sources:
            return None
        if self.mixture is None:
            raise InputError(
                f"{self.label}: must have a file mixture, of which {mending.rest} is "
                f"the rest, but has only {', '.join(sorted(self.sources))}"
            )
        return mending.rest

    def _parts(self, name: str, mending: Mending) -> tuple[AudioStream, ...]:
        if name in mending.merges:
            missing = [
                part for part in mending.merges[name] if part not in self.sources
            ]
            if missing and not mending.missing_is_silence:
                raise self._lacks(missing[0])
            return tuple(
                self.sources[part]
                for part in mending.merges[name]
                if part in self.sources
            )
        may_lack = mending.missing_is_silence
        stems = stems_of(name, self.sources, vocals_may_lack=may_lack)
        if not stems and not may_lack:
            raise self._lacks(name)
        return tuple(self.sources[stem] for stem in stems)

    def unused(
        self, names: tuple[str, ...], mending: Mending | None = None
    ) -> tuple[str, ...]:
        """Lists the stems that are part of none of the named sources.

        Args:
            names: The sources. Where they have the accompaniment, its stems are its
                parts.
            mending: The repairs that are allowed. Of a `rest` all stems may be parts.
        """
        mending = mending or Mending()
        if self.problem or mending.rest in names:
            return ()
        used = {"accompaniment", *names}
        for name in names:
            used.update(mending.merges.get(name) or stems_of(name, self.sources))
        return tuple(sorted(set(self.sources) - used))

    def _lacks(self, name: str) -> InputError:
        hint = f"; `prepare --rest {name}` takes it from the mixture"
        return InputError(
            f"{self.label}: has {lack_of(name, self.sources)} (in this spelling), only "
            f"{', '.join(sorted(self.sources))}{hint if self.mixture else ''}"
        )


class TrackReader:
    """A track's mixture and sources, open to be read in step (see Track.open).

    Attributes:
        sample_rate_hz: The sample rate in Hz.
        channels: The number of channels of every block.
        duration_seconds: The length that headers tell or guess; 0: unknown.
        bit_depths: `mixture` and each name → the highest bit depth of its stems: 16,
            24, or 32, which is float; 16 of lossy formats.
        paths: The files that are read.
        rest: The source that is the mixture less all others; None: there is none.
    """

    def __init__(
        self,
        track: Track,
        parts: dict[str, tuple[AudioStream, ...]],
        readers: dict[AudioStream, AudioReader],
        mending: Mending,
        rest: str | None = None,
    ):
        """Checks that the streams agree.

        Raises:
            InputError: The streams differ in channels or rate.
        """
        self._track, self._parts, self._readers = track, parts, readers
        self.rest = rest
        self.bit_depths = {
            name: max((readers[stream].bit_depth for stream in part), default=16)
            for name, part in parts.items()
        }
        self.paths = tuple({stream.path: None for stream in readers})
        self._pad = mending.pad_short_stems
        kinds = {
            stream: f"{reader.channels} channels, {reader.sample_rate_hz} Hz"
            for stream, reader in readers.items()
        }
        channels = {reader.channels for reader in readers.values()}
        rates = {reader.sample_rate_hz for reader in readers.values()}
        if mending.mono_to_stereo and channels <= {1, 2}:
            channels = {2}
        if len(rates) > 1 or len(channels) > 1:
            raise self._disagreement("channels and rate", kinds)
        self.sample_rate_hz, self.channels = rates.pop(), max(channels)
        if self.channels > 2:
            raise InputError(
                f"{track.label}: must be mono or stereo. Received: {self.channels} "
                "channels"
            )
        self.duration_seconds = max(
            reader.duration_seconds for reader in readers.values()
        )

    def _disagreement(self, what: str, found: dict[AudioStream, str]) -> InputError:
        listing = "; ".join(f"{stream}: {text}" for stream, text in found.items())
        return InputError(
            f"{self._track.label}: its stems must agree in {what}. Received: {listing}"
        )

    def blocks(self) -> Iterator[dict[str, np.ndarray]]:
        """Yields the mixture and the sources once, in step.

        Yields:
            `mixture` and each name → float32 `(frames, channels)`.

        Raises:
            InputError: Stems differ in length, are broken, cannot be read, or hold NaN
                or infinity.
        """
        streams = {
            stream: _Step(reader.blocks(), self.channels)
            for stream, reader in self._readers.items()
        }
        frames = 0
        while True:
            blocks = {}
            for stream, step in streams.items():
                with _naming_stem(self._track.label, stream):
                    blocks[stream] = step.take()
            longest = max(map(len, blocks.values()))
            if not self._pad and any(len(block) < longest for block in blocks.values()):
                raise self._disagreement(
                    "length", self._lengths(streams, blocks, frames)
                )
            if not longest:
                return
            for stream, block in blocks.items():
                if not np.isfinite(block).all():
                    raise InputError(
                        f"{stream.path}: must hold finite samples. Received: NaN or "
                        f"infinity after {frames / self.sample_rate_hz:.1f} s"
                    )
                missing = longest - len(block)
                blocks[stream] = np.pad(block, ((0, missing), (0, 0)))
            frames += longest
            silence = np.zeros((longest, self.channels), np.float32)
            sums = {
                name: sum((blocks[stream] for stream in part), start=silence)
                for name, part in self._parts.items()
            }
            if self.rest:
                others = (sums[name] for name in sums if name != "mixture")
                sums[self.rest] = sums["mixture"] - sum(others, start=silence)
            yield sums

    def read(self) -> dict[str, np.ndarray]:
        """Reads the mixture and the sources once, whole.

        Returns:
            `mixture` and each name → float32 `(frames, channels)`.

        Raises:
            InputError: As `blocks`.
        """
        blocks = list(self.blocks())
        return {
            name: np.concatenate([block[name] for block in blocks])
            for name in blocks[0]
        }

    def _lengths(self, streams: dict, blocks: dict, frames: int) -> dict:
        """Reads the rest of all streams; returns the lengths, for an error."""
        lengths = {}
        for stream, step in streams.items():
            length = frames + len(blocks[stream])
            while rest := len(step.take()):
                length += rest
            lengths[stream] = f"{length} frames"
        return lengths


@contextlib.contextmanager
def _naming_stem(label: str, stream: AudioStream) -> Iterator[None]:
    """Makes whatever a stem's file raises bad input, which names track and file.

    Errors of reading must not be taken for errors of writing: those end a whole run.
    """
    try:
        yield
    except InputError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{label}: {stream.path}: cannot be read: {reason}") from error
    except Exception as error:  # of one odd file; the other tracks must be done
        logging.debug("%s: %s", label, stream.path, exc_info=True)
        reason = f"{type(error).__name__}: {error}"
        raise InputError(f"{label}: {stream.path}: cannot be read: {reason}") from error


class _Step:
    """Turns blocks of any length into blocks of one length, the last one shorter."""

    def __init__(self, blocks: Iterator[np.ndarray], channels: int):
        self._blocks, self._channels = blocks, channels
        self._queue = Queue(channels)

    def take(self) -> np.ndarray:
        while len(self._queue) < _BLOCK_FRAMES:
            block = next(self._blocks, None)
            if block is None:
                break
            self._queue.put(to_channels(block, self._channels))
        return self._queue.take(_BLOCK_FRAMES)
