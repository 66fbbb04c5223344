"""Audio formats: suffixes, bit depths, sample rates, codecs and tags."""

from __future__ import annotations

import os
import pathlib

from waveunet_tf.errors import InputError


def song_name(path: str | os.PathLike) -> str:
    """A song's name: its file's name without `.stem.mp4` or another suffix.

    Raises:
        InputError: nothing is left that could name a folder.
    """
    whole = pathlib.Path(path).name
    name = pathlib.Path(whole).stem
    if whole.lower().endswith(".stem.mp4"):
        name = whole[: -len(".stem.mp4")]
    if name in ("", ".", ".."):
        raise InputError(f"{path}: must have a name before its suffix")
    return name


# The suffixes by which audio files are found in a folder.
SUFFIXES = frozenset(
    ".aac .aif .aiff .au .caf .flac .m4a .mka .mkv .mov .mp3 .mp4 .oga .ogg .opus .w64 "
    ".wav .webm .wma".split()
)
# libsndfile's subtypes that 16 bits would not hold.
BIT_DEPTHS = {"PCM_24": 24, "PCM_32": 32, "FLOAT": 32, "DOUBLE": 32}


# Suffix → bit depth → libsndfile's format and subtype, or FFmpeg's container and codec.
# The bit depth 0: a lossy format has none.
CODECS = {
    ".wav": {
        16: ("WAV", "PCM_16"),
        24: ("WAV", "PCM_24"),
        32: ("WAV", "FLOAT"),
    },
    ".flac": {16: ("FLAC", "PCM_16"), 24: ("FLAC", "PCM_24")},
    ".ogg": {0: ("OGG", "VORBIS")},
    ".opus": {0: ("OGG", "OPUS")},
    ".mp3": {0: ("mp3", "libmp3lame")},  # FFmpeg's, as the next: libsndfile
    ".m4a": {0: ("ipod", "aac")},  # writes tags of mp3 that others cannot read
}


FORMATS = tuple(suffix[1:] for suffix in CODECS)


# Codecs that know few sample rates, in Hz. Opus knows lower ones, too, but players
# give 48 kHz all the same.
_RATES_HZ = {
    ".opus": (48000,),
    ".mp3": (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
    ".m4a": (
        *(8000, 11025, 12000, 16000, 22050, 24000, 32000),
        *(44100, 48000, 64000, 88200, 96000),
    ),
}


_MAX_OGG_HZ = 192_000  # libsndfile crashes above


# The tags that are carried over: libsndfile's name → FFmpeg's.
TAGS = {
    "title": "title",
    "artist": "artist",
    "album": "album",
    "date": "date",
    "genre": "genre",
    "comment": "comment",
    "tracknumber": "track",
}


def check_format(
    path: str | os.PathLike,
    bit_depth: int | None = None,
    sample_rate_hz: int | None = None,
) -> None:
    """Checks that a file of this suffix can hold audio, of this kind if given.

    Raises:
        InputError: it cannot, or the suffix is none of `FORMATS`.
    """
    suffix = pathlib.Path(path).suffix.lower()
    if suffix not in CODECS:
        raise InputError(f"{path}: its format must be one of {', '.join(FORMATS)}")
    depths = CODECS[suffix]
    if bit_depth and 0 not in depths and bit_depth not in depths:
        raise InputError(
            f"{path}: {suffix[1:]} must have a bit depth of "
            f"{' or '.join(map(str, depths))}. Received: {bit_depth}"
        )
    if sample_rate_hz and nearest_rate_hz(path, sample_rate_hz) != sample_rate_hz:
        raise InputError(
            f"{path}: {suffix[1:]} must have a sample rate that it knows, such as "
            f"{nearest_rate_hz(path, sample_rate_hz)} Hz. Received: {sample_rate_hz} Hz"
        )


def nearest_bit_depth(path: str | os.PathLike, bit_depth: int) -> int:
    """The bit depth, or the highest below it that a file of this suffix has.

    Args:
        path: the file, of a suffix in `FORMATS`.
        bit_depth: 16, 24, or 32, which is float.
    """
    depths = CODECS[pathlib.Path(path).suffix.lower()]
    return max(depth for depth in depths if depth <= bit_depth)


def is_float(path: str | os.PathLike, bit_depth: int) -> bool:
    """Whether a file of this suffix and bit depth holds samples beyond full scale."""
    return bit_depth == 32 and 0 not in CODECS[pathlib.Path(path).suffix.lower()]


def nearest_rate_hz(path: str | os.PathLike, sample_rate_hz: int) -> int:
    """The sample rate that a file of this suffix gets: the lowest that loses nothing.

    Args:
        path: the file.
        sample_rate_hz: of the audio, in Hz.
    """
    suffix = pathlib.Path(path).suffix.lower()
    rates_hz = _RATES_HZ.get(suffix, (sample_rate_hz,))
    if suffix == ".ogg" and sample_rate_hz > _MAX_OGG_HZ:
        rates_hz = (_MAX_OGG_HZ,)
    return min(
        (rate for rate in rates_hz if rate >= sample_rate_hz), default=max(rates_hz)
    )
