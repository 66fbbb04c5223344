"""The files of a song's stems: their formats, their gain, and how they are written."""

from __future__ import annotations

import contextlib
import os
import pathlib
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from absl import logging

from waveunet_tf.audio import encode, formats, resample
from waveunet_tf.audio.decode import AudioReader
from waveunet_tf.errors import InputError

CLIP_MODES = ("rescale", "clamp", "none")


class StemFiles:
    """Writes a song's stems into files, each in the format of its suffix."""

    def __init__(
        self,
        song: AudioReader,
        targets: Mapping[str, str | os.PathLike],
        *,
        bit_depth: int | None = None,
        clip: str | None = None,
    ):
        """Settles the files' formats.

        Args:
            song: The song, whose rate, tags and bit depth the stems get as far as their
                formats have them.
            targets: Stem → the file that it is written to in the end.
            bit_depth: The files' bit depth; by default the song's, or the highest below
                it that a format has.
            clip: One of `CLIP_MODES`; by default "none" where all stems are float wav,
                else "rescale".

        Raises:
            InputError: A format is unknown or does not have the bit depth, or `clip` is
                "none" and a format does not hold samples beyond full scale.
        """
        self._song = song
        for target in targets.values():
            formats.check_format(target, bit_depth)
        self._depths = {
            name: bit_depth or formats.nearest_bit_depth(target, song.bit_depth)
            for name, target in targets.items()
        }
        self._rates_hz = {
            name: formats.nearest_rate_hz(target, song.sample_rate_hz)
            for name, target in targets.items()
        }
        floats = [
            formats.is_float(targets[name], self._depths[name]) for name in targets
        ]
        self._clip = clip or ("none" if all(floats) else "rescale")
        if self._clip == "none" and not all(floats):
            raise InputError(
                "`clip` must be rescale or clamp for all but float wav files, which "
                "alone hold samples beyond full scale. Received: none"
            )

    def write(
        self,
        stems: Iterable[dict[str, np.ndarray]],
        places: Sequence[pathlib.Path],
        channels: int,
        *,
        expected_seconds: float,
    ) -> None:
        """Writes the stems.

        Args:
            stems: Stem → its next frames, float32 `(frames, channels)`, at the song's
                rate. With "rescale", stems without a file count towards the gain too.
            places: The file of each target, in the targets' order.
            channels: The stems' channels.
            expected_seconds: The stems' length, as far as it is known, or infinity.

        Raises:
            OSError: A file cannot be written.
        """
        rate_hz = self._song.sample_rate_hz
        stems = resample.resample_blocks(stems, rate_hz, self._rates_hz, channels)
        if self._clip == "rescale":
            stems = self._rescaled(stems, places[0].parent)
        with contextlib.ExitStack() as stack:
            writers = {
                name: stack.enter_context(
                    encode.AudioWriter(
                        place,
                        self._rates_hz[name],
                        channels,
                        bit_depth=self._depths[name],
                        clip=self._clip == "clamp",
                        tags=self._song.tags,
                        expected_seconds=expected_seconds,
                    )
                )
                for name, place in zip(self._depths, places)
            }
            for block in stems:
                for name, writer in writers.items():
                    writer.write(block[name])
        if clipped := sum(writer.clipped_samples for writer in writers.values()):
            logging.warning(
                "%s: samples of the stems clipped to full scale: %d",
                self._song.path,
                clipped,
            )
        for other_hz in sorted({*self._rates_hz.values()} - {rate_hz}):
            logging.info(
                "%s: the stems are resampled to %d Hz, as their format asks for",
                self._song.path,
                other_hz,
            )

    def _rescaled(
        self, stems: Iterable[dict[str, np.ndarray]], folder: pathlib.Path
    ) -> Iterator[dict[str, np.ndarray]]:
        """Gives the files' stems, with one gain that keeps all stems from clipping.

        The gain is known only at the end; until then the stems wait in a nameless file
        in the folder.
        """
        with tempfile.TemporaryFile(dir=folder) as waiting:
            block_shapes, peak = [], 0.0
            for block in stems:
                for stem in block.values():
                    peak = max(peak, float(np.abs(stem).max(initial=0)))
                block_shapes.append({name: block[name].shape for name in self._depths})
                with _os_errors_named(folder):
                    for name in self._depths:
                        waiting.write(block[name].astype(np.float32).tobytes())
            if peak > 1:
                logging.info(
                    "%s: the stems are made quieter by %.2f dB, all alike, so that "
                    "none clips (see --clip)",
                    self._song.path,
                    20 * np.log10(peak),
                )
            with _os_errors_named(folder):
                waiting.seek(0)  # writes the rest of the buffer
            for shapes in block_shapes:
                block = {}
                for name, shape in shapes.items():
                    content = waiting.read(4 * shape[0] * shape[1])
                    stem = np.frombuffer(content, np.float32).reshape(shape)
                    block[name] = stem / np.float32(peak) if peak > 1 else stem
                yield block


@contextlib.contextmanager
def _os_errors_named(folder: str | os.PathLike) -> Iterator[None]:
    """Names the folder in the errors of a nameless file."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from error
