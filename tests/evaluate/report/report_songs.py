"""Songs, estimates and scores for the tests of reports."""

import base64
import io
import json
import pathlib

import numpy as np
import soundfile

METRICS = ("SDR", "ISR", "SIR", "SAR")
RATE_HZ = 8000


def write_stems(root, name, stems, *, rate_hz=RATE_HZ, subset="test", suffix="wav"):
    """Writes a track's stems, `(frames, channels)` each; gives their folder."""
    folder = pathlib.Path(root) / subset / name
    folder.mkdir(parents=True, exist_ok=True)
    for source, samples in stems.items():
        path = folder / f"{source}.{suffix}"
        kind = {"subtype": "FLOAT"} if suffix == "wav" else {}
        soundfile.write(path, samples, rate_hz, **kind)
    return folder


def write_scores(root, name, frames, *, subset="test"):
    """Writes a track's scores in museval's schema.

    Args:
        root: the folder of the system.
        name: of the track.
        frames: source → SDR of each second, whose other metrics are 1, 2 and 3 higher.
    """
    targets = [
        {
            "name": source,
            "frames": [
                {
                    "time": float(second),
                    "duration": 1.0,
                    "metrics": {
                        metric: value + place for place, metric in enumerate(METRICS)
                    },
                }
                for second, value in enumerate(values)
            ],
        }
        for source, values in frames.items()
    ]
    path = pathlib.Path(root) / subset / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"targets": targets}), encoding="utf-8")
    return path


def noise(seconds, *, seed, rate_hz=RATE_HZ, level=0.2, channels=2):
    """White noise, `(frames, channels)`, the same for the same seed."""
    generator = np.random.default_rng(seed)
    return level * generator.uniform(-1, 1, (round(seconds * rate_hz), channels))


def read_track_script(path):
    """What a track's script hands over to the page."""
    text = pathlib.Path(path).read_text(encoding="ascii")
    assert text.startswith("showTrack(") and text.endswith(");\n")
    return json.loads(text[len("showTrack(") : -len(");\n")])


def decode(lane):
    """Returns a lane's audio, `(frames, channels)`, and its rate in Hz."""
    audio = io.BytesIO(base64.b64decode(lane["audio"]))
    return soundfile.read(audio, always_2d=True)


def read_peaks(track, group=0, lane=0):
    """Returns the points of a lane's waveform, highest and lowest `(2, columns)`."""
    return np.array(track["groups"][group]["lanes"][lane]["peaks"])
