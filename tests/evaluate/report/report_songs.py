"""Songs, estimates and scores for the tests of reports."""

import base64
import io
import json
import math
import pathlib
import subprocess
import sys

import numpy as np
import soundfile

METRICS = ("SDR", "ISR", "SIR", "SAR")
RATE_HZ = 8000
ROOT = pathlib.Path(__file__).parents[3]
# Of the report that browsers open: twelve whole seconds have scores.
PAGE_RATE_HZ = 16000
PAGE_SECONDS = 12.5
SDR = {"vocals": [3.25, -1.5, math.nan, 4.0, 5.5, -60.0, 7.75, 8.0, 1.0, 2.0, 3.0, 6.0]}
SDR["accompaniment"] = [10.0 + value for value in SDR["vocals"]]


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


def write_noise_report(root):
    """Reports on two songs of noise, whose estimates are their stems, but quieter."""
    for seed, name in enumerate(["first & <b>best", "second"]):
        stems = {
            "accompaniment": noise(PAGE_SECONDS, seed=seed, rate_hz=PAGE_RATE_HZ),
            "vocals": noise(PAGE_SECONDS, seed=10 + seed, rate_hz=PAGE_RATE_HZ),
        }
        quieter = {source: 0.5 * samples for source, samples in stems.items()}
        write_stems(root / "data", name, stems, rate_hz=PAGE_RATE_HZ)
        write_stems(root / "estimates", name, quieter, rate_hz=PAGE_RATE_HZ)
        for system in ("ours", "other"):
            write_scores(root / system, name, SDR)
    command = [
        *(sys.executable, "-m", "waveunet_tf", "report"),
        *(f"<i>ours</i>={root / 'ours'}", f"other={root / 'other'}"),
        f"--data_dir={root / 'data'}",
        f"--estimates=<i>ours</i>={root / 'estimates'}",
        f"--output_dir={root / 'report'}",
    ]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return root / "report"
