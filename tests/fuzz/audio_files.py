"""Target: audio files, of real encoders and spoiled, are decoded and separated.

Suffixes that nothing here encodes (ape, dts, mlp, mpc, ra, shn, tak, …) are given to
files of others: decoders look at the content.
"""

import functools
import io
import pathlib
import struct
import tempfile

import av
import numpy as np
import soundfile
from hypothesis import strategies as st

from tests.fuzz import edits, guard
from tests.separation.numpy_engine import share_separator
from waveunet_tf.audio.decode import AudioReader
from waveunet_tf.audio.formats import SUFFIXES

_FRAMES = 6000
# Suffix → libsndfile's format and subtype.
_LIBSNDFILE = [
    *((".wav", "WAV", subtype) for subtype in ("PCM_16", "PCM_24", "FLOAT", "DOUBLE")),
    *(
        (".wav", "WAV", subtype)
        for subtype in ("PCM_U8", "ULAW", "IMA_ADPCM", "MS_ADPCM")
    ),
    *(
        (".wav", "WAVEX", "PCM_16"),
        (".wave", "WAVEX", "FLOAT"),
        (".rf64", "RF64", "PCM_16"),
    ),
    *(
        (".aiff", "AIFF", "PCM_16"),
        (".aif", "AIFF", "PCM_24"),
        (".aifc", "AIFF", "FLOAT"),
    ),
    *((".au", "AU", "PCM_16"), (".snd", "AU", "FLOAT"), (".w64", "W64", "PCM_24")),
    *((".caf", "CAF", "PCM_16"), (".caf", "CAF", "ALAC_16"), (".voc", "VOC", "PCM_16")),
    *((".flac", "FLAC", "PCM_16"), (".flac", "FLAC", "PCM_24")),
    *(
        (".ogg", "OGG", "VORBIS"),
        (".opus", "OGG", "OPUS"),
        (".mp3", "MP3", "MPEG_LAYER_III"),
    ),
]
# Suffix → FFmpeg's container and codec.
_FFMPEG = """
    .3g2 3g2 aac, .3gp 3gp aac, .aac adts aac, .ac3 ac3 ac3, .amr amr libopencore_amrnb,
    .asf asf wmav2, .wma asf wmav1, .wmv asf wmav2, .avi avi mp3, .avi avi pcm_s16le,
    .caf caf alac, .eac3 eac3 eac3, .f4v f4v aac, .flac flac flac, .flv flv mp3,
    .m2ts mpegts mp2, .mts mpegts ac3, .ts mpegts aac, .m4a ipod aac, .m4b ipod alac,
    .m4v mp4 aac, .mka matroska alac, .mkv matroska libvorbis, .mkv matroska pcm_s24le,
    .webm webm libopus, .mov mov pcm_s24le, .mov mov adpcm_ima_qt, .mp2 mp2 libtwolame,
    .mp3 mp3 libmp3lame, .mp4 mp4 aac, .mpeg mpeg mp2, .mpg svcd mp2, .vob vob ac3,
    .oga oga libvorbis, .ogg ogg libvorbis, .opus opus libopus, .spx spx libspeex,
    .rm rm ac3, .swf swf mp3, .tta tta tta, .voc voc pcm_u8, .w64 w64 pcm_f32le,
    .wav wav adpcm_ms, .wav wav mp3, .wv wv wavpack, .aiff aiff pcm_s32be
"""
_RATES_HZ = {"libopencore_amrnb": 8000, "libopus": 48000, "libspeex": 16000}
_MONO = ("libopencore_amrnb", "libspeex")


@functools.cache
def tones():
    seconds = np.arange(_FRAMES)[:, None] / 44100
    noise = np.random.default_rng(0).normal(0, 0.05, (_FRAMES, 2))
    return (0.4 * np.sin(2 * np.pi * seconds * [440, 660]) + noise).astype(np.float32)


def _by_libsndfile(container, subtype):
    file = io.BytesIO()
    rate_hz = 48000 if subtype == "OPUS" else 44100
    soundfile.write(file, tones(), rate_hz, subtype, format=container)
    return file.getvalue()


def _by_ffmpeg(container, codec):
    rate_hz = _RATES_HZ.get(codec, 44100)
    layout = "mono" if codec in _MONO else "stereo"
    samples = tones()[:, :1] if codec in _MONO else tones()
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "made"
        with av.open(str(path), "w", format=container) as file:
            stream = file.add_stream(codec, rate=rate_hz, layout=layout)
            if codec.startswith("wma"):
                stream.bit_rate = 64000
            stream.codec_context.open()  # its extradata belongs in the header
            frame = av.AudioFrame.from_ndarray(samples.T.copy(), "fltp", layout)
            frame.sample_rate = rate_hz
            for part in (frame, None):
                file.mux(stream.encode(part))
        return path.read_bytes()


def _dsf():
    """DSD has no encoder here: a header, and noise of a sigma-delta kind."""
    data = np.random.default_rng(1).bytes(2 * 4096)
    kind = struct.pack(
        "<4sQIIIIIIQII", b"fmt ", 52, 1, 0, 2, 2, 2822400, 1, 32768, 4096, 0
    )
    body = kind + struct.pack("<4sQ", b"data", 12 + len(data)) + data
    return struct.pack("<4sQQQ", b"DSD ", 28, 28 + len(body), 0) + body


@functools.cache
def seeds():
    """Whole files: (suffix, content)."""
    made = [(suffix, _by_libsndfile(*kind)) for suffix, *kind in _LIBSNDFILE]
    for words in _FFMPEG.split(","):
        suffix, container, codec = words.split()
        if codec not in av.codecs_available:  # Builds of PyAV differ.
            continue
        made.append((suffix, _by_ffmpeg(container, codec)))
    made.append((".dsf", _dsf()))
    ogg = next(content for suffix, content in made if suffix == ".ogg")
    made.append((".ogg", ogg + ogg))
    return made


@st.composite
def cases(draw):
    suffix, content = draw(st.sampled_from(seeds()))
    other = draw(st.sampled_from(seeds()))[1]
    if draw(st.integers(0, 9)) == 0:
        suffix = draw(st.sampled_from(sorted(SUFFIXES)))
    name = draw(st.sampled_from(["song", "song", "downmix"]))
    return {f"{name}{suffix}": draw(edits.spoiled([content, content, other]))}


@functools.cache
def _separator():
    return share_separator()


def check(place):
    (path,) = place.inputs.iterdir()
    downmix = path.stem == "downmix"
    with AudioReader(path, downmix=downmix) as reader:
        frames = sum(map(len, reader.blocks()))
        rate_hz, channels = reader.sample_rate_hz, reader.channels
    targets = {
        name: place.output / f"{name}.wav" for name in ("vocals", "accompaniment")
    }
    _separator().separate_file(path, targets, downmix=downmix, bit_depth=32)
    for target in targets.values():
        stem, stem_rate_hz = soundfile.read(target, dtype="float32", always_2d=True)
        guard.check_audio(stem)
        if len(stem) != frames or stem_rate_hz != rate_hz:
            raise guard.Breach(
                f"{len(stem)} frames of {frames}, {stem_rate_hz} of {rate_hz} Hz, of "
                f"{channels} channels"
            )
