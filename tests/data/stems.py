"""Folders of stems, as the tests of data and of its commands write them."""

import numpy as np
import soundfile

from waveunet_tf.data.datasets import find_tracks
from waveunet_tf.data.manifest import Settings
from waveunet_tf.data.preparation import prepare_tracks

RATE_HZ = 8000


def write_stem(path, frames=100, value=0.25, channels=2, rate_hz=8000):
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.full((frames, channels), value)
    soundfile.write(path, samples, rate_hz, format=path.suffix[1:])


def write_tracks(folder, count, frames=30_000):
    """Tracks of noise in three stems, as flac."""
    for number in range(count):
        generator = np.random.default_rng(number)
        for name in ("vocals", "drums", "bass"):
            path = folder / "train" / f"track {number}" / f"{name}.flac"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, generator.normal(0, 0.1, (frames, 2)), 44100)
    return folder


def contents(folder):
    """Every file below a folder, hidden ones too, and what is in it."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def two_known_tracks(folder):
    """Prepares two tracks: a sine and silence, a square wave and a quiet sine."""
    sine = np.sin(2 * np.pi * 1000 * np.arange(10 * RATE_HZ) / RATE_HZ)[:, None]
    for number, stems in enumerate(
        [
            {"vocals": 0.5 * sine, "accompaniment": 0 * sine},
            {"vocals": 0.25 * np.sign(sine + 1e-9), "accompaniment": 0.01 * sine},
        ]
    ):
        song = folder / "in" / "train" / f"track {number}"
        song.mkdir(parents=True)
        for name, stem in stems.items():
            stem = np.repeat(stem, 2, axis=1)
            soundfile.write(song / f"{name}.wav", stem, RATE_HZ, subtype="FLOAT")
    settings = Settings(RATE_HZ, ("accompaniment", "vocals"), bit_depth=32)
    prepare_tracks(find_tracks(folder / "in"), folder / "out", settings)
    return folder / "out"


def unreadable(path):
    """Puts a file in a stem's place that opens, but whose reading fails (EIO)."""
    path.unlink()
    path.symlink_to("/proc/self/mem")
