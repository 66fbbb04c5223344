"""Audio formats: their suffixes, bit depths, sample rates, codecs and tags."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Mapping

from waveunet_tf.errors import InputError

# The suffixes by which audio files, and videos with sound, are found in a folder: those
# that people use of what libsndfile and FFmpeg decode.
SUFFIXES = frozenset(
    """
    .3g2 .3gp .aac .aax .ac3 .aif .aifc .aiff .amr .ape .asf .au .avi .caf .dff
    .dsf .dts .eac3 .f4v .flac .flv .m2ts .m4a .m4b .m4v .mka .mkv .mlp .mov .mp2
    .mp3 .mp4 .mpc .mpeg .mpg .mts .mxf .oga .ogg .ogm .ogv .oma .opus .ra .rf64
    .rm .shn .snd .spx .svcd .swf .tak .thd .ts .tta .vob .voc .w64 .wav .wave
    .webm .wma .wmv .wv
    """.split()
)
# What lies beside stems without being one: texts, notes and pictures.
COMPANION_SUFFIXES = frozenset(
    """
    .csv .cue .db .doc .docx .html .ini .jams .jpeg .jpg .json .lab .log .lrc .m3u
    .md .mid .midi .nfo .pdf .png .rtf .sfv .svg .tsv .txt .url .webp .xml .yaml
    .yml
    """.split()
)

# libsndfile's subtypes of more than 16 bits → their bit depths.
BIT_DEPTHS = {
    **{"PCM_24": 24, "PCM_32": 32, "FLOAT": 32, "DOUBLE": 32},
    **{"ALAC_20": 24, "ALAC_24": 24, "ALAC_32": 32},
}

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


@dataclasses.dataclass(frozen=True)
class Format:
    """An audio format that this project writes.

    Attributes:
        codecs: Bit depth → libsndfile's format and subtype, or FFmpeg's container and
            codec. A lossy format has the bit depth 0 only.
        is_written_by_ffmpeg: Whether FFmpeg writes the format, not libsndfile.
        rates_hz: The sample rates of the format in Hz, ascending; empty: any.
        max_rate_hz: The highest sample rate in Hz, where `rates_hz` is empty.
        fine_rates_hz: Below this, any rate; from it on, multiples of 10 Hz.
    """

    codecs: Mapping[int, tuple[str, str]]
    is_written_by_ffmpeg: bool = False
    rates_hz: tuple[int, ...] = ()
    max_rate_hz: int | None = None
    fine_rates_hz: int | None = None

    @property
    def is_lossy(self) -> bool:
        """Whether the codec loses something, and has no bit depth."""
        return 0 in self.codecs


_LOW_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)

# The formats that are written, by their suffix without its dot.
FORMATS = {
    "wav": Format({16: ("WAV", "PCM_16"), 24: ("WAV", "PCM_24"), 32: ("WAV", "FLOAT")}),
    "flac": Format(
        {16: ("FLAC", "PCM_16"), 24: ("FLAC", "PCM_24")},
        max_rate_hz=655_350,
        fine_rates_hz=2**16,
    ),
    # libsndfile crashes at higher rates.
    "ogg": Format({0: ("OGG", "VORBIS")}, max_rate_hz=192_000),
    # Opus has lower rates, too, but players play 48 kHz all the same.
    "opus": Format({0: ("OGG", "OPUS")}, rates_hz=(48000,)),
    # Other programs cannot read the tags that libsndfile writes into an mp3.
    "mp3": Format(
        {0: ("mp3", "libmp3lame")}, is_written_by_ffmpeg=True, rates_hz=_LOW_RATES_HZ
    ),
    "m4a": Format(
        {0: ("ipod", "aac")},
        is_written_by_ffmpeg=True,
        rates_hz=(*_LOW_RATES_HZ, 64000, 88200, 96000),
    ),
}


def written_format(path: str | os.PathLike) -> Format:
    """Returns the format that the suffix of a file to be written stands for.

    Raises:
        InputError: The suffix is not in `FORMATS`.
    """
    name = pathlib.Path(path).suffix.lower()[1:]
    if name not in FORMATS:
        raise InputError(f"{path}: its format must be one of {', '.join(FORMATS)}")
    return FORMATS[name]


def check_format(
    path: str | os.PathLike,
    bit_depth: int | None = None,
    sample_rate_hz: int | None = None,
) -> None:
    """Checks that a file of this suffix can be written.

    Args:
        path: The file.
        bit_depth: The wished bit depth, which lossy formats ignore.
        sample_rate_hz: The wished sample rate in Hz.

    Raises:
        InputError: The format is unknown, or cannot hold this bit depth or rate.
    """
    known = written_format(path)
    name = pathlib.Path(path).suffix.lower()[1:]
    if bit_depth and not known.is_lossy and bit_depth not in known.codecs:
        raise InputError(
            f"{path}: {name} must have a bit depth of "
            f"{' or '.join(map(str, known.codecs))}. Received: {bit_depth}"
        )
    if sample_rate_hz:
        nearest_hz = nearest_rate_hz(path, sample_rate_hz)
        if nearest_hz != sample_rate_hz:
            raise InputError(
                f"{path}: {name} must have a sample rate of the format, such as "
                f"{nearest_hz} Hz. Received: {sample_rate_hz} Hz"
            )


def nearest_bit_depth(path: str | os.PathLike, bit_depth: int) -> int:
    """Returns the bit depth nearest to a wished one that a file of this suffix has.

    Args:
        path: A file of a suffix in `FORMATS`.
        bit_depth: The wished bit depth: 16, 24, or 32, which is float.

    Returns:
        The highest bit depth of the format that is not above the wished one; 0 where
        the format is lossy.
    """
    return max(d for d in written_format(path).codecs if d <= bit_depth)


def is_float(path: str | os.PathLike, bit_depth: int) -> bool:
    """Whether a file of this suffix and bit depth holds samples beyond full scale."""
    return bit_depth == 32 and not written_format(path).is_lossy


def nearest_rate_hz(path: str | os.PathLike, sample_rate_hz: int) -> int:
    """Returns the sample rate that a file of this suffix gets, in Hz.

    Args:
        path: A file of a suffix in `FORMATS`.
        sample_rate_hz: The sample rate of the audio, in Hz.

    Returns:
        The lowest sample rate of the format that loses nothing, or its highest.
    """
    known = written_format(path)
    if not known.rates_hz:
        if known.fine_rates_hz and sample_rate_hz >= known.fine_rates_hz:
            sample_rate_hz = -(-sample_rate_hz // 10) * 10
        return min(sample_rate_hz, known.max_rate_hz or sample_rate_hz)
    for rate_hz in known.rates_hz:
        if rate_hz >= sample_rate_hz:
            return rate_hz
    return known.rates_hz[-1]


def song_name(path: str | os.PathLike) -> str:
    """Returns a song's name: its file's name without `.stem.mp4` or another suffix.

    Raises:
        InputError: The name is empty, and could not name a folder.
    """
    whole = pathlib.Path(path).name
    name, _ = os.path.splitext(whole)  # pathlib's stem changes with Python 3.14
    if whole.lower().endswith(".stem.mp4"):
        name = whole[: -len(".stem.mp4")]
    if name in ("", ".", ".."):
        raise InputError(f"{path}: must have a name before its suffix")
    return name
