"""What several tests need: real data where it is, tiny configs, small data sets."""

import os
import pathlib
import shutil
import signal

# Tests run side by side, a process a core: more threads would only get in their way.
os.environ["OPENBLAS_NUM_THREADS"] = "1"  # NumPy reads it when it is imported

import numpy as np
import pytest
import soundfile

from waveunet_tf.configs.networks import WaveUNetConfig
from waveunet_tf.system import user_folders

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
for _kind in ("INTRAOP", "INTEROP"):
    os.environ.setdefault(f"TF_NUM_{_kind}_THREADS", "1")

# Started by nohup or in a shell's background, the tests and their children would
# ignore the signals that some of them send.
for _number, _handler in [
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
]:
    if signal.getsignal(_number) == signal.SIG_IGN:
        signal.signal(_number, _handler)

ROOT = pathlib.Path(__file__).parents[1]
SHARED_DATA = ROOT.parent / "shared" / "data"

TINY = WaveUNetConfig(
    num_levels=3, base_filters=4, sample_rate_hz=8000, output_frames=256
)


@pytest.fixture(scope="session", autouse=True)
def cache_dir(tmp_path_factory):
    """The folder of converted steps: never the one of who runs the tests."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ[user_folders.CACHE_VARIABLE] = str(folder)
    return folder


@pytest.fixture
def new_cache(tmp_path, monkeypatch):
    """The folder of converted steps, for a test that counts them: not there yet."""
    monkeypatch.setenv(user_folders.CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache" / "steps"


@pytest.fixture
def models_dir(tmp_path, monkeypatch):
    """An empty folder of models, for this process and the commands it runs."""
    from waveunet_tf.checkpoints import registry

    monkeypatch.setenv(registry.FOLDER_VARIABLE, str(tmp_path / "models"))
    monkeypatch.setattr(registry, "PACKAGED", tmp_path / "packaged")
    return tmp_path / "models"


@pytest.fixture
def shared_data():
    """The folder of real music and of the original's inputs and outputs."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"needs the reference data, which is not at {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture(scope="session")
def tiny_config():
    """A network of M4's kind that is quick to run: 8 kHz, 3 levels."""
    return TINY


@pytest.fixture(scope="session")
def kept_checkpoint(tiny_config, tmp_path_factory):
    """A checkpoint of a tiny network with random weights, for tests that only read it.

    Its sources are loud enough to clip.
    """
    import keras

    from waveunet_tf.checkpoints import checkpoint
    from waveunet_tf.networks.build import build_network

    folder = tmp_path_factory.mktemp("kept") / "checkpoint"
    keras.utils.set_random_seed(1)
    network = build_network(tiny_config)
    checkpoint.save_checkpoint(folder, network, tiny_config)
    return folder


@pytest.fixture
def tiny_checkpoint(kept_checkpoint, tmp_path):
    """A copy of `kept_checkpoint`, which the test may change."""
    return pathlib.Path(shutil.copytree(kept_checkpoint, tmp_path / "checkpoint"))


@pytest.fixture(scope="session")
def tiny_model_dir(kept_checkpoint, tmp_path_factory):
    """A `checkpoint`, and what `export --formats saved_model` writes for it.

    The stream's chunk is of 512 frames.
    """
    from waveunet_tf.export import saved_model
    from waveunet_tf.export.serving import server_files

    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(kept_checkpoint, folder / "checkpoint")
    (folder / "checkpoint" / "LICENSE").write_text("for research only")
    version = folder / "waveunet" / "1"
    saved_model.write_saved_model(folder / "checkpoint", version, chunk_frames=512)
    server_files.write_warm_up(version, "waveunet")
    server_files.write_configs(folder, "waveunet", 1)
    return folder


def write_stems(root):
    """Writes two training tracks and one for validation, as `prepare` does."""
    generator = np.random.default_rng(3)
    for subset, name, frames in [
        ("train", "one", 4000),
        ("train", "two", 2500),
        ("valid", "three", 1000),
    ]:
        folder = root / subset / name
        folder.mkdir(parents=True)
        for source in ("accompaniment", "vocals"):
            audio = generator.uniform(-0.4, 0.4, (frames, 2))
            soundfile.write(folder / f"{source}.wav", audio, 8000, subtype="FLOAT")
    return root


@pytest.fixture
def stems_dir(tmp_path):
    """A small prepared folder, which the test may change."""
    return write_stems(tmp_path / "stems")


@pytest.fixture(scope="session")
def kept_stems_dir(tmp_path_factory):
    """The same, for trainings that several tests look at."""
    return write_stems(tmp_path_factory.mktemp("kept") / "stems")


@pytest.fixture(scope="session")
def dask_client(cache_dir):
    """A client of a real scheduler here, with two worker processes of one thread.

    Tests that take it belong to the group "dask", so that they share one.
    """
    pytest.importorskip("distributed", reason="needs requirements-dask.txt")
    from waveunet_tf.system import dask_cluster

    with dask_cluster.connect(dask_cluster.LOCAL, workers=2) as client:
        yield client


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """Escapes names that are not UTF-8: xdist refuses to send what holds them."""
    report = yield
    report.sections = [
        (title, text.encode("utf-8", "backslashreplace").decode())
        for title, text in report.sections
    ]
    return report
