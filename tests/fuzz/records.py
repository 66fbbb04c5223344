"""Target: manifests, histories, scores and energies, and the folders they describe."""

import functools
import json
import os
import pathlib
import shutil
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import soundfile
from hypothesis import strategies as st

from tests.fuzz import edits, guard
from waveunet_tf.configs.networks import WaveUNetConfig
from waveunet_tf.data import datasets, inventory, manifest, preparation, prepared
from waveunet_tf.evaluate import energies, scores
from waveunet_tf.training.history import HISTORY
from waveunet_tf.training.log import TrainingLog
from waveunet_tf.training.loss_curve import plot_losses
from waveunet_tf.training.progress import TrainingProgress

_CONFIG = WaveUNetConfig(
    num_levels=1, base_filters=2, sample_rate_hz=8000, output_frames=64
)
_SETTINGS = manifest.Settings(8000, ("accompaniment", "vocals"))
_RECORDS = [
    {
        **{"epoch": epoch, "stage": epoch // 3, "step": 10 * epoch, "seconds": 1.5},
        **{"loss": 1 / epoch, "validation_loss": 2 / epoch, "learning_rate": 1e-4},
        "validation_sdr_db": {"vocals": 1.0, "accompaniment": None},
    }
    for epoch in (1, 2, 3)
]
_METRICS = {"SDR": 1.5, "ISR": 2.0, "SIR": float("nan"), "SAR": -1}
SCORES = {
    "targets": [
        {
            "name": name,
            "frames": [
                {"time": time, "duration": 1.0, "metrics": _METRICS} for time in (0, 1)
            ],
        }
        for name in ("vocals", "accompaniment")
    ]
}


@functools.cache
def seeds():
    """Kind → files of it, name → content."""
    with tempfile.TemporaryDirectory() as text:
        folder = pathlib.Path(text)
        noise = np.random.default_rng(0).uniform(-0.4, 0.4, (600, 2))
        for subset in ("train", "valid"):
            (folder / "raw" / subset / "one").mkdir(parents=True)
            for name in ("accompaniment", "vocals"):
                path = folder / "raw" / subset / "one" / f"{name}.wav"
                soundfile.write(path, noise, 8000, "PCM_16")
        # Two tracks of one name are refused: the second gets its own.
        (folder / "raw/valid/one").rename(folder / "raw/valid/two")
        tracks = datasets.find_tracks(folder / "raw", dataset="folder")
        preparation.prepare_tracks(tracks, folder / "data", _SETTINGS)
        data = {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted((folder / "data").rglob("*"))
            if path.is_file()
        }
    frames = np.ones(2)
    of = {name: frames for name in ("vocals", "accompaniment")}
    measured = energies.TrackEnergies("one", 1.0, frames.astype(int), of, of, of)
    lines = "".join(json.dumps(record) + "\n" for record in _RECORDS)
    return {
        "data": data,
        "history": {HISTORY: lines.encode()},
        "scores": {"scores/one.json": json.dumps(SCORES).encode()},
        "energies": {
            "energies/one.energies.csv": energies.format_track_energies(
                measured
            ).encode()
        },
    }


@st.composite
def cases(draw):
    kind = draw(st.sampled_from(["data", "data", "history", "scores", "energies"]))
    case = dict(seeds()[kind])
    name = draw(st.sampled_from(sorted(case)))
    if kind == "data" and draw(st.booleans()):
        name = f"data/{manifest.MANIFEST}"
    if name.endswith(".json"):
        case[name] = draw(edits.spoiled_json([json.loads(case[name])]))
    elif kind == "history" and draw(st.booleans()):
        lines = draw(st.lists(edits.spoiled_json(_RECORDS), max_size=4))
        case[name] = b"\n".join([*lines, b""])
    else:
        case[name] = draw(edits.spoiled([case[name]]))
    return case


def check(place):
    if (place.inputs / "data").exists():
        data = place.inputs / "data"
        manifest.verify(data)
        prepared.identify(data)
        for subset in ("train", "valid"):
            if prepared.has_subset(data, subset):
                prepared.load_prepared(data, _CONFIG, subset)
        inventory.format_table(data)
    elif (place.inputs / "scores").exists():
        for track in scores.read_system(place.inputs / "scores").values():
            for source in track.sources.values():
                for values in source.values():
                    if np.isinf(values).any() or len(values) != len(track.times):
                        raise guard.Breach("scores that are no scores")
    elif (place.inputs / "energies").exists():
        energies.read_system_energies(place.inputs / "energies")
    else:
        shutil.copy(place.inputs / HISTORY, place.output)
        log = TrainingLog(place.output, _CONFIG, [], illustrate=False)
        log.go_on(TrainingProgress(epoch=2))
        plot_losses(place.output / HISTORY, place.output / "loss.png")
