"""Target: checkpoints, model cards and states of trainings are opened and loaded."""

import functools
import hashlib
import json
import os
import pathlib
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from hypothesis import strategies as st

from tests.fuzz import edits, guard
from waveunet_tf.checkpoints import checkpoint, packing
from waveunet_tf.configs.networks import WaveUNetConfig
from waveunet_tf.configs.training import ComputeConfig, TrainingConfig
from waveunet_tf.networks import shapes
from waveunet_tf.networks.build import build_network
from waveunet_tf.training.optimizer import build_optimizer
from waveunet_tf.training.progress import TrainingProgress
from waveunet_tf.training.state import StateStore
from waveunet_tf.training.weight_average import WeightAverage

SLICE = 8
_CONFIG = WaveUNetConfig(
    num_levels=1, base_filters=2, sample_rate_hz=8000, output_frames=64
)
_TRAINING = TrainingConfig(batch_size=1, average_momentum=0.5)


def _states(workdir):
    network = build_network(_CONFIG)
    optimizer = build_optimizer(_TRAINING, ComputeConfig())
    optimizer.build(network.trainable_variables)
    average = WeightAverage(_TRAINING.average_momentum)
    average.end_step(1, network)
    return StateStore(workdir, _CONFIG, _TRAINING, network, optimizer, average)


@functools.cache
def seeds():
    """Folders of whole files, name → content: a model, and a state of a training."""
    with tempfile.TemporaryDirectory() as text:
        folder = pathlib.Path(text)
        keras.utils.set_random_seed(1)
        _states(folder).save(TrainingProgress(step=1, epoch=1))
        (state,) = (folder / "state").iterdir()
        packing.pack(state, folder / "model", description="a model")
        return [
            {
                f"{name}/{path.name}": path.read_bytes()
                for path in sorted(made.iterdir())
            }
            for name, made in (
                ("model", folder / "model"),
                ("state/000000001-1-0", state),
            )
        ]


@st.composite
def cases(draw):
    case = dict(draw(st.sampled_from(seeds())))
    for name in draw(st.lists(st.sampled_from(sorted(case)), min_size=1, max_size=2)):
        if name.endswith(".json"):
            case[name] = draw(edits.spoiled_json([json.loads(seeds_of(name))]))
        else:
            case[name] = draw(edits.spoiled([seeds_of(name)]))
    card = "model/model.json"
    if card in case and draw(st.booleans()):
        case[card] = _with_right_hashes(case)
    return case


def seeds_of(name):
    return next(seed[name] for seed in seeds() if name in seed)


def _with_right_hashes(case):
    """A card that fits the spoiled files, so that they are read."""
    values = json.loads(seeds_of("model/model.json"))
    for name, described in values["files"].items():
        content = case[f"model/{name}"]
        described["size_bytes"] = len(content)
        described["sha256"] = hashlib.sha256(content).hexdigest()
    return json.dumps(values).encode()


def check(place):
    if (place.inputs / "model").exists():
        opened = checkpoint.Checkpoint.open(place.inputs / "model")
        network = opened.load_network()
        frames = shapes.window_frames(opened.config).input_frames
        if frames < 10**5:
            silence = np.zeros((1, frames, opened.config.channels), np.float32)
            for stem in network(silence).values():
                stem = np.asarray(stem)
                if np.isnan(stem).any() and _are_finite(network):
                    raise guard.Breach("finite weights give NaN")
    else:
        _states(place.inputs).load()


def _are_finite(network):
    return all(np.isfinite(weight).all() for weight in network.get_weights())
