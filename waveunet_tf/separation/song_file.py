"""A song's file → its stems' files, in constant memory."""

from __future__ import annotations

import contextlib
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from absl import logging

from waveunet_tf.audio import encode, formats, resample
from waveunet_tf.audio.decode import AudioReader
from waveunet_tf.errors import InputError, naming
from waveunet_tf.system import files

CLIP_MODES = ("rescale", "clamp", "none")


def separate_file(
    separator,
    path: str | os.PathLike,
    targets: dict[str, str | os.PathLike],
    *,
    bit_depth: int | None = None,
    clip: str | None = None,
    start_seconds: float = 0.0,
    duration_seconds: float | None = None,
    downmix: bool = False,
    on_progress: Callable[[float], None] | None = None,
) -> None:
    """Separates an audio file into files, which appear together or not at all.

    Args:
        separator: a separator.Separator, whose method this is.
        path: the song; see decode.AudioReader.
        targets: source → the file to write, in the format of its suffix; one of
            that name is replaced. Not all sources need one; `no_<source>` is the
            sum of all the others. The song's tags are carried over.
        bit_depth: of the files, see encode.AudioWriter; by default the song's, or
            the highest below it that the format has.
        clip: what happens where samples are beyond full scale: "rescale" makes all
            stems quieter by one gain, "clamp" clips, "none" leaves them, in float
            wav files only. By default "none" for these, else "rescale".
        start_seconds: where in the song to begin, 0 by default. The stems of a part
            are those parts of the song's stems.
        duration_seconds: how much to separate; by default all that follows.
        downmix: whether more than two channels are folded down to stereo.
        on_progress: called with the seconds of audio done since the last call.

    Raises:
        InputError: the song cannot be read or separated, its path is named; a
            target is of no source or format; an option is out of range.
        OSError: a file cannot be read or written.
    """
    sources = separator.config.sources
    _check_targets(sources, path, targets)
    with AudioReader(path, downmix=downmix) as reader, naming(path):
        depths = _bit_depths(targets, bit_depth, reader.bit_depth)
        clip = _clip_mode(clip, targets, depths)
        part = _Part(reader, start_seconds, duration_seconds)
        stream = separator.stream(reader.sample_rate_hz, reader.channels)
        rates_hz = {
            name: formats.nearest_rate_hz(target, reader.sample_rate_hz)
            for name, target in targets.items()
        }
        with files.atomic_files(targets.values()) as paths:
            # All sources, for a gain that does not depend on which are written.
            stems = part.separate(stream, tuple({**dict.fromkeys(sources), **targets}))
            if on_progress:
                stems = _told(stems, reader.sample_rate_hz, on_progress)
            stems = resample.resample_blocks(
                stems, reader.sample_rate_hz, rates_hz, stream.channels
            )
            if clip == "rescale":
                stems = _rescaled(stems, tuple(targets), paths[0].parent, path)
            with contextlib.ExitStack() as stack:
                writers = {
                    name: stack.enter_context(
                        encode.AudioWriter(
                            place,
                            rates_hz[name],
                            stream.channels,
                            bit_depth=depths[name],
                            clip=clip == "clamp",
                            tags=reader.tags,
                            expected_seconds=part.expected_seconds,
                        )
                    )
                    for name, place in zip(targets, paths)
                }
                for block in stems:
                    for name, writer in writers.items():
                        writer.write(block[name])
            clipped = sum(writer.clipped_samples for writer in writers.values())
            if clipped:
                logging.warning(
                    "%s: samples of the stems clipped to full scale: %d",
                    path,
                    clipped,
                )
            for rate_hz in sorted({*rates_hz.values()} - {reader.sample_rate_hz}):
                logging.info(
                    "%s: the stems are resampled to %d Hz, as their format asks for",
                    path,
                    rate_hz,
                )


def _check_targets(sources: tuple[str, ...], path, targets: dict) -> None:
    """Requires that targets are of stems, and files of their own."""
    known = {*sources, *(f"no_{name}" for name in sources)}
    if unknown := sorted(set(targets) - known):
        raise InputError(
            f"`targets` must be of {', '.join(sources)}, or of these with no_ before. "
            f"Received: {unknown[0]}"
        )
    places = [pathlib.Path(place).resolve() for place in (path, *targets.values())]
    if len(set(places)) < len(places) or any(place.is_dir() for place in places[1:]):
        raise InputError(
            f"{path}: `targets` must be files of their own, neither folders nor the "
            f"song. Received: {', '.join(map(str, targets.values()))}"
        )


def _bit_depths(targets: dict, bit_depth: int | None, of_song: int) -> dict[str, int]:
    """The files' bit depths: the given one, or the song's as far as there is such."""
    depths = {}
    for name, target in targets.items():
        formats.check_format(target, bit_depth)
        depths[name] = bit_depth or formats.nearest_bit_depth(target, of_song)
    return depths


def _clip_mode(clip: str | None, targets: dict, depths: dict[str, int]) -> str:
    """What happens to samples beyond full scale: the given, or what loses least."""
    floats = [formats.is_float(targets[name], depths[name]) for name in targets]
    if clip is None:
        return "none" if all(floats) else "rescale"
    if clip not in CLIP_MODES:
        raise InputError(
            f"`clip` must be one of {', '.join(CLIP_MODES)}. Received: {clip}"
        )
    if clip == "none" and not all(floats):
        raise InputError(
            "`clip` must be rescale or clamp for all but float wav files, which alone "
            "hold samples beyond full scale. Received: none"
        )
    return clip


class _Part:
    """A part of a song, of which no more than needed goes through the network.

    Attributes:
        expected_seconds: its length, as far as the song's is known; else infinity.
    """

    def __init__(
        self, reader: AudioReader, start_seconds: float, duration_seconds: float | None
    ):
        """Checks the times.

        Raises:
            InputError: they are negative or infinite, or the duration is not positive.
        """
        if not 0 <= start_seconds < np.inf:
            raise InputError(
                "`start_seconds` must be at least 0 and finite. "
                f"Received: {start_seconds}"
            )
        if duration_seconds is not None and not 0 < duration_seconds < np.inf:
            raise InputError(
                "`duration_seconds` must be positive and finite. "
                f"Received: {duration_seconds}"
            )
        self._reader, self._start_seconds = reader, start_seconds
        self._start = round(start_seconds * reader.sample_rate_hz)
        self._end = np.inf
        known = reader.duration_seconds or np.inf
        self.expected_seconds = max(known - start_seconds, 0.0)
        if duration_seconds is not None:
            frames = max(round(duration_seconds * reader.sample_rate_hz), 1)
            self._end = self._start + frames
            self.expected_seconds = min(self.expected_seconds, duration_seconds)

    def separate(self, stream, stems: tuple[str, ...]) -> Iterator[dict]:
        """Gives the part's stems, by name, in blocks `(frames, channels)`.

        Raises:
            InputError: the song ends before the part begins.
        """
        position = stream.lead_in_frame(self._start)
        until = self._end + stream.context_frames
        for block in self._separated(stream, position, until):
            frames = len(next(iter(block.values())))
            # Of this block: what the part has of it.
            kept = slice(
                max(self._start - position, 0),
                max(min(self._end - position, frames), 0),
            )
            position += frames
            yield {name: _stem(block, name)[kept] for name in stems}

    def _separated(self, stream, first: int, until: float) -> Iterator[dict]:
        """The stems of the song's frames from `first` on, with those until `until`."""
        position = 0
        for block in self._reader.blocks():
            wanted = block[max(first - position, 0) :]
            position += len(block)
            if len(wanted):
                yield stream.push(wanted)
            if position >= until:
                break
        if position <= self._start:
            raise InputError(
                "`start_seconds` must be within the song, of "
                f"{position / self._reader.sample_rate_hz:.2f} s. "
                f"Received: {self._start_seconds}"
            )
        yield stream.finish()


def _stem(stems: dict[str, np.ndarray], name: str) -> np.ndarray:
    """A source, or with `no_` before its name the sum of all the others."""
    if name in stems:
        return stems[name]
    left_out = name.removeprefix("no_")
    return sum(stem for other, stem in stems.items() if other != left_out)


def _told(
    stems: Iterable[dict], sample_rate_hz: int, on_progress: Callable[[float], None]
) -> Iterator[dict]:
    """The same blocks, each told of when it is passed on."""
    for block in stems:
        yield block
        on_progress(len(next(iter(block.values()))) / sample_rate_hz)


def _rescaled(
    stems: Iterable[dict],
    names: tuple[str, ...],
    folder: str | os.PathLike,
    path: str | os.PathLike,
) -> Iterator[dict]:
    """The named stems with one gain, so that no sample of any is beyond full scale.

    The gain is known when the last block has come; until then they wait in a nameless
    file.
    """
    with tempfile.TemporaryFile(dir=folder) as waiting:
        shapes, peak = [], 0.0
        for block in stems:
            for stem in block.values():
                peak = max(peak, float(np.abs(stem).max(initial=0)))
            shapes.append({name: block[name].shape for name in names})
            with _os_errors_named(folder):
                for name in names:
                    waiting.write(block[name].astype(np.float32).tobytes())
        if peak > 1:
            logging.info(
                "%s: the stems are made quieter by %.2f dB, all alike, so that none "
                "clips (see --clip)",
                path,
                20 * np.log10(peak),
            )
        with _os_errors_named(folder):
            waiting.seek(0)  # writes what is still to be written
        for shape_of in shapes:
            block = {}
            for name, shape in shape_of.items():
                content = waiting.read(4 * shape[0] * shape[1])
                stem = np.frombuffer(content, np.float32).reshape(shape)
                block[name] = stem / np.float32(peak) if peak > 1 else stem
            yield block


@contextlib.contextmanager
def _os_errors_named(folder: str | os.PathLike) -> Iterator[None]:
    """A nameless file's errors have no name either."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from error
