"""Models by name, as `pack` writes them."""

import json
import shutil

import keras
import pytest

from waveunet_tf.checkpoints import packing
from waveunet_tf.checkpoints.checkpoint import save_checkpoint
from waveunet_tf.networks.build import build_network

MODEL_FILES = ["config.json", "model.json", "network.weights.h5"]


@pytest.fixture(scope="session")
def packed_model(tiny_config, tmp_path_factory):
    """A model that tests only copy."""
    folder = tmp_path_factory.mktemp("packed")
    keras.utils.set_random_seed(1)
    save_checkpoint(folder / "checkpoint", build_network(tiny_config), tiny_config)
    packing.pack(
        folder / "checkpoint",
        folder / "model",
        description="A tiny one",
        median_sdr_db={"validation vocals": 4.9},
    )
    return folder / "model"


@pytest.fixture
def vocals(packed_model, models_dir):
    """The folder of a model called vocals, which the test may change."""
    return shutil.copytree(packed_model, models_dir / "vocals")


def edit_json(path, **changes):
    """Changes values of a JSON object in a file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
