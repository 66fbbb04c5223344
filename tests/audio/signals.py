"""Signals and files that the tests of audio share."""

import av
import numpy as np

RATE_HZ = 44100


def tone(frames=RATE_HZ, channels=2):
    """Sines of 440 and 660 Hz, (frames, channels)."""
    seconds = np.arange(frames)[:, None] / RATE_HZ
    return 0.5 * np.sin(2 * np.pi * seconds * [440.0, 660.0][:channels])


def noise(frames):
    return np.random.default_rng(0).normal(0, 0.1, (frames, 2))


def write_with_ffmpeg(
    path, codec, samples, layout="stereo", tags=(), container=None, sample=None
):
    """Writes (frames, channels) by PyAV alone.

    The container is by default the suffix's, the format of samples the codec's first.
    """
    with av.open(str(path), "w", format=container) as file:
        file.metadata.update(dict(tags))
        stream = file.add_stream(codec, rate=RATE_HZ, layout=layout)
        if sample:
            stream.format = sample
        to_codec = av.AudioResampler(
            stream.format.name, layout, RATE_HZ, stream.frame_size or None
        )
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples.T, np.float32), "fltp", layout
        )
        frame.sample_rate = RATE_HZ
        for part in [*to_codec.resample(frame), *to_codec.resample(None), None]:
            file.mux(stream.encode(part))


def write_tracks(path, levels, *, default=None, titles=(), purposes=()):
    """Writes a track of a constant level for each."""
    with av.open(str(path), "w") as file:
        tracks = [
            file.add_stream("pcm_s16le", rate=8000, layout="mono") for _ in levels
        ]
        for number, track in enumerate(tracks):
            if number == default:
                track.disposition = av.stream.Disposition.default.value
            if number < len(titles):
                track.metadata.update(
                    language=titles[number][0], title=titles[number][1]
                )
            if number in purposes:
                track.disposition = av.stream.Disposition.comment.value
        for track, level in zip(tracks, levels):
            values = np.full((1, 8000), round(level * 32768), np.int16)
            frame = av.AudioFrame.from_ndarray(values, "s16", "mono")
            frame.sample_rate = 8000
            for packet in [*track.encode(frame), *track.encode(None)]:
                file.mux(packet)
