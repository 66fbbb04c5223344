"""Networks, tracks and estimates that several tests of the evaluation read."""

import dataclasses

import pytest
import soundfile

from tests.evaluate.short_tracks import HALVES, RATE_HZ, noise, write_stems
from waveunet_tf.evaluate.estimators import FolderEstimator


@pytest.fixture(scope="session")
def without_context(tiny_config, tmp_path_factory):
    """A checkpoint of a network without context, of random weights."""
    import keras

    from waveunet_tf.checkpoints import checkpoint
    from waveunet_tf.networks.build import build_network

    config = dataclasses.replace(tiny_config, context=False, output_frames=1024)
    folder = tmp_path_factory.mktemp("without") / "checkpoint"
    keras.utils.set_random_seed(2)
    checkpoint.save_checkpoint(folder, build_network(config), config)
    return folder


@pytest.fixture
def data(tmp_path):
    """Three tracks of two seconds."""
    for number, name in enumerate("abc"):
        write_stems(tmp_path / "data" / "test" / name, 10 * number)
    return tmp_path / "data"


@pytest.fixture
def estimates(tmp_path, data):
    """Estimates of them at 10 dB, with noise of their own."""
    for path in sorted(data.rglob("*.wav")):
        stem, _ = soundfile.read(path, always_2d=True)
        written = tmp_path / "estimates" / path.relative_to(data)
        written.parent.mkdir(parents=True, exist_ok=True)
        noisy = stem + 10**-0.5 * noise(len(path.stem), len(stem))
        soundfile.write(written, noisy, RATE_HZ, subtype="FLOAT")
    return FolderEstimator(HALVES, str(tmp_path / "estimates"))
