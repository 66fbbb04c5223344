"""Writes models, songs and their stems, with which the Java core's tests compare.

    python -m waveunet_tf.export.android.golden FOLDER

The models are small networks with random weights and biases. FOLDER/cases.txt has a
line for each song: its folder, its model, and how much the Java core's stems may differ
from those in the folder, which a Separator computed. A song at another rate than the
network's is resampled by scipy, with the filter that Resampler.java documents, or by
soxr, as `separate` does.
"""

from __future__ import annotations

import contextlib
import math
import pathlib
import sys
from collections.abc import Iterator

import numpy as np
import scipy.signal
import soundfile

from waveunet_tf.audio import resample
from waveunet_tf.checkpoints import checkpoint
from waveunet_tf.configs.networks import WaveUNetConfig
from waveunet_tf.export import quantize, tflite
from waveunet_tf.separation.separator import Separator, load_tflite_separator

_HZ = 8000
_SMALL = {"num_levels": 3, "base_filters": 4, "sample_rate_hz": _HZ}
# Name → the network, mode and chunk of its file, and (rate in Hz, channels, frames) of
# its songs.
_MODELS = {
    "stereo": (
        WaveUNetConfig(**_SMALL, channels=2, output_frames=256),
        ("streaming", 256),
        [
            *[(_HZ, 2, frames) for frames in (0, 1, 255, 256, 4999)],
            (_HZ, 1, 1777),
            *[(11025, 2, frames) for frames in (0, 1, 3001)],
            (5000, 1, 1013),
        ],
    ),
    "mono": (
        WaveUNetConfig(
            **_SMALL,
            channels=1,
            output_frames=256,
            output_type="direct",
            upsampling="learned",
            sources=("bass", "drums", "other"),
        ),
        ("streaming", 8),
        [(_HZ, 2, 997), (_HZ, 1, 501), (44100, 2, 4001)],
    ),
    "window": (
        WaveUNetConfig(**_SMALL, channels=2, output_frames=200, context=False),
        ("window", 0),
        [(_HZ, 2, frames) for frames in (0, 1, 1003)] + [(6000, 1, 777)],
    ),
    "context": (
        WaveUNetConfig(**_SMALL, channels=1, output_frames=200),
        ("window", 0),
        [(_HZ, 1, 1003)],
    ),
}
_EQUAL = 1e-6
# The filters differ between passband and stopband. A network of random weights puts
# something there, and begins with a step.
_NEAR = 1e-2


class FilterResampler:
    """A stand-in for resample.StreamResampler: scipy's, with the Java core's filter."""

    def __init__(self, from_hz: int, to_hz: int, channels: int):
        common = math.gcd(from_hz, to_hz)
        self._up, self._down = to_hz // common, from_hz // common
        self._blocks = [np.zeros((0, channels), np.float32)]

    def push(self, block: np.ndarray) -> np.ndarray:
        """Keeps a block `(frames, channels)`; returns no frames yet."""
        self._blocks.append(block)
        return block[:0]

    def finish(self, frames: int | None = None) -> np.ndarray:
        """Returns the resampled song `(frames, channels)`."""
        song = np.concatenate(self._blocks)
        if frames is None:
            frames = -(-len(song) * self._up // self._down)
        if self._up != self._down and len(song):
            song = scipy.signal.resample_poly(
                song.astype(float), self._up, self._down, window=self._filter()
            )
        song = song[:frames].astype(np.float32)
        return np.pad(song, ((0, frames - len(song)), (0, 0)))

    def _filter(self) -> np.ndarray:
        larger = max(self._up, self._down)
        width = (140 - 7.95) / (14.36 * 0.087 / 2 * min(1, self._up / self._down))
        return scipy.signal.firwin(
            2 * math.ceil(width / 2) * self._up + 1,
            (1 + 0.913) / 2 / larger,
            window=("kaiser", 0.1102 * (140 - 8.7)),
        )


def song(frames: int, channels: int, rate_hz: int) -> np.ndarray:
    """Returns noise and tones `(frames, channels)`, some beyond full scale."""
    generator = np.random.default_rng(frames)
    seconds = np.arange(frames)[:, None] / rate_hz
    tones = np.sin(2 * np.pi * generator.uniform(50, 2000, (1, channels)) * seconds)
    noise = generator.normal(0, 0.2, (frames, channels))
    return (0.7 * tones + noise).astype(np.float32)


def below(edge_hz: float, signal: np.ndarray, rate_hz: int) -> np.ndarray:
    """Returns a signal `(frames, channels)` below a frequency, faded at its ends."""
    sos = scipy.signal.cheby2(24, 150, edge_hz, fs=rate_hz, output="sos")
    low = scipy.signal.sosfiltfilt(sos, signal, axis=0)
    return (low * np.hanning(len(low))[:, None]).astype(np.float32)


def write_model(folder: pathlib.Path, name: str) -> Separator:
    """Writes the file of a model of _MODELS, and loads it."""
    import keras

    from waveunet_tf.networks.build import build_network

    config, (mode, chunk), _ = _MODELS[name]
    keras.utils.set_random_seed(len(name))
    network = build_network(config)
    for weights in network.weights:  # without biases all states of silence are zeros
        if weights.path.endswith("bias"):
            weights.assign(keras.random.normal(weights.shape, stddev=0.1))
    checkpoint.save_checkpoint(folder / "checkpoints" / name, network, config)
    plan = tflite.plan(folder / "checkpoints" / name, mode, chunk)
    path = folder / f"{name}.tflite"
    ((_, content),) = quantize.convert_plan(plan, ["float32"], [])
    path.write_bytes(content)
    return load_tflite_separator(path, threads=1)


def write_case(
    folder: pathlib.Path, separator, rate_hz: int, mixture: np.ndarray
) -> None:
    """Separates a song `(frames, channels)`; writes it and its stems."""
    stream = separator.stream(rate_hz, mixture.shape[1])
    pushed, rest = stream.push(mixture), stream.finish()
    stems = {name: np.concatenate([pushed[name], rest[name]]) for name in rest}
    folder.mkdir()
    for name, stem in {"song": mixture, **stems}.items():
        soundfile.write(folder / f"{name}.wav", stem, rate_hz, subtype="FLOAT")


def write_resampled(folder: pathlib.Path) -> None:
    """Writes signals of the passband, and the same signals at another rate.

    One result is exact, by a Fourier transform of the whole; the other one is soxr's.
    """
    folder.mkdir()
    rates_hz = [(44100, 22050), (22050, 44100), (48000, 22050), (44100, 8192)]
    for from_hz, to_hz in rates_hz:
        frames = from_hz // math.gcd(from_hz, to_hz)
        frames *= -(-8000 // frames)
        signal = below(0.4 * min(from_hz, to_hz), song(frames, 2, from_hz), from_hz)
        signal /= np.abs(signal).max()
        results = {
            "": (signal, from_hz),
            "-exact": (
                scipy.signal.resample(signal.astype(float), frames * to_hz // from_hz),
                to_hz,
            ),
            "-soxr": (resample.resample(signal.astype(float), from_hz, to_hz), to_hz),
        }
        for kind, (result, rate_hz) in results.items():
            path = folder / f"{from_hz}-{to_hz}{kind}.wav"
            soundfile.write(path, result, rate_hz, subtype="FLOAT")


def write_wavs(folder: pathlib.Path) -> None:
    """Writes wav files of all formats, and the samples that libsndfile reads there."""
    folder.mkdir()
    for container in ("WAV", "WAVEX"):
        for subtype in ("PCM_16", "PCM_24", "PCM_32", "FLOAT"):
            path = folder / f"{container}-{subtype}.wav"
            tones = song(1001, 1, _HZ).clip(-1, 1)
            soundfile.write(path, tones, _HZ, subtype=subtype, format=container)
            read = soundfile.read(path, dtype="float32")[0]
            soundfile.write(
                folder / f"{path.stem}-read.wav", read, _HZ, subtype="FLOAT"
            )


@contextlib.contextmanager
def java_resampler() -> Iterator[None]:
    """Puts FilterResampler in the place of our resampler, and measures lags anew."""
    kept = resample.StreamResampler
    resample.StreamResampler = FilterResampler
    resample.resampling_seconds.cache_clear()
    try:
        yield
    finally:
        resample.StreamResampler = kept
        resample.resampling_seconds.cache_clear()


def main(folder: pathlib.Path) -> None:
    """Writes the models, songs, stems and signals into a new folder."""
    folder.mkdir(parents=True)
    write_resampled(folder / "resampled")
    write_wavs(folder / "wavs")
    lines = []
    for name, (_, _, songs) in _MODELS.items():
        separator = write_model(folder, name)
        with java_resampler():
            for rate_hz, channels, frames in songs:
                case = f"{name}-{rate_hz}-{channels}-{frames}"
                mixture = song(frames, channels, rate_hz)
                write_case(folder / case, separator, rate_hz, mixture)
                lines.append(f"{case} {name} {_EQUAL}\n")
        if name == "stereo":
            mixture = below(3000, song(9001, 2, 11025), 11025)
            write_case(folder / "soxr", separator, 11025, mixture)
            lines.append(f"soxr {name} {_NEAR}\n")
    (folder / "cases.txt").write_text("".join(lines))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
