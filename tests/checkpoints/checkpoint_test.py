import hashlib
import json
import pathlib
import shutil

import h5py
import keras
import numpy as np
import pytest

import waveunet_tf
from tests.checkpoints.conftest import edit_json
from tests.command_line import run_python
from waveunet_tf.checkpoints import checkpoint
from waveunet_tf.checkpoints.adam import build_adam
from waveunet_tf.checkpoints.checkpoint import Checkpoint, save_checkpoint
from waveunet_tf.configs.networks import SpectrogramUNetConfig
from waveunet_tf.configs.training import TrainingConfig
from waveunet_tf.errors import InputError
from waveunet_tf.networks import shapes
from waveunet_tf.networks.build import build_network
from waveunet_tf.system import files

TINY_U7 = SpectrogramUNetConfig(
    num_levels=2,
    base_filters=2,
    fft_frames=64,
    hop_frames=32,
    sample_rate_hz=8000,
    output_frames=64 + 32 * 3,
)


def test_a_loaded_network_computes_what_the_saved_one_did(tiny_config, tmp_path):
    network = build_network(tiny_config)
    save_checkpoint(tmp_path / "a", network, tiny_config, TrainingConfig())
    assert Checkpoint.open(tmp_path / "a").config == tiny_config
    loaded = waveunet_tf.load_network(tmp_path / "a")
    frames = shapes.window_frames(tiny_config).input_frames
    noise = np.random.default_rng(0).normal(0, 0.1, (1, frames, 2))
    for source, estimate in network(noise).items():
        np.testing.assert_array_equal(
            np.asarray(loaded(noise)[source]), np.asarray(estimate)
        )


def test_a_saved_checkpoint_is_two_files(tiny_checkpoint):
    names = sorted(path.name for path in tiny_checkpoint.iterdir())
    assert names == ["config.json", "network.weights.h5"]


@pytest.mark.parametrize("engine", ["tensorflow", "litert", "auto"])
def test_a_bias_that_is_no_number_stops_where_it_is_loaded(tiny_checkpoint, engine):
    """Else all samples would be NaN, and wav files of them silent."""
    path = tiny_checkpoint / "network.weights.h5"
    with h5py.File(path, "r+") as file:
        biases = []

        def note(_, item):
            if isinstance(item, h5py.Dataset) and item.shape == (4,):
                biases.append(item)

        file.visititems(note)
        biases[0][2] = np.nan
    with pytest.raises(InputError, match=f"^{path}: .*finite.* NaN .* in down_0/bias$"):
        waveunet_tf.load(tiny_checkpoint, engine=engine, device="cpu")


def test_weights_of_another_file_are_refused(tiny_checkpoint, tmp_path):
    path = tiny_checkpoint / "network.weights.h5"
    (tmp_path / "other.h5").write_bytes(path.read_bytes())
    with h5py.File(path, "r+") as file:
        first = next(iter(file))
        del file[first]
        file[first] = h5py.ExternalLink(str(tmp_path / "other.h5"), first)
    with pytest.raises(InputError, match=f"^{path}: must hold its arrays itself"):
        waveunet_tf.load_network(tiny_checkpoint)


@pytest.mark.parametrize(
    "change",
    [{"base_filters": 65536}, {"num_levels": 24, "base_filters": 2048}],
    ids=str,
)
def test_a_network_larger_than_its_file_is_not_built(
    tiny_checkpoint, change, monkeypatch
):
    """It could fill the memory before its weights were found to be others."""
    monkeypatch.setattr("waveunet_tf.networks.build.build_network", pytest.fail)
    network = Checkpoint.open(tiny_checkpoint).config.to_json()
    edit_json(tiny_checkpoint / "config.json", network={**network, **change})
    with pytest.raises(InputError, match="weights take at least .* bytes. Received: "):
        waveunet_tf.load(tiny_checkpoint, engine="tensorflow")


@pytest.mark.parametrize("training", [None, TrainingConfig(seed=7, batch_size=3)])
def test_a_checkpoint_keeps_how_its_network_was_trained(
    tiny_config, tmp_path, training
):
    save_checkpoint(tmp_path / "a", build_network(tiny_config), tiny_config, training)
    assert Checkpoint.open(tmp_path / "a").training == training


def test_a_network_may_be_loaded_for_windows_of_one_shape(tiny_checkpoint):
    opened = Checkpoint.open(tiny_checkpoint)
    frames = shapes.window_frames(opened.config).input_frames
    assert opened.load_network().input.shape == (None, None, 2)
    fixed = opened.load_network(frames=frames, batch_size=3)
    assert fixed.input.shape == (3, frames, 2)
    by_shortcut = waveunet_tf.load_network(tiny_checkpoint, frames=frames, batch_size=3)
    assert by_shortcut.input.shape == (3, frames, 2)


def test_fields_that_leave_the_weights_alone_may_be_overridden(tmp_path):
    save_checkpoint(tmp_path, build_network(TINY_U7), TINY_U7)
    assert Checkpoint.open(tmp_path).config.phase_iterations == 0
    opened = Checkpoint.open(tmp_path, phase_iterations=2, phase_start="random")
    assert opened.config.phase_iterations == 2
    assert opened.config.has_random_phase
    for field in ("base_filters", "colour"):
        with pytest.raises(InputError) as error:
            Checkpoint.open(tmp_path, **{field: 3})
        assert str(error.value) == f"{tmp_path}: its network has no `{field}` to change"
    with pytest.raises(InputError, match="`phase_start` must be one of"):
        Checkpoint.open(tmp_path, phase_start="upside down")


def test_a_network_of_waveforms_has_no_phase_to_override(tiny_checkpoint):
    with pytest.raises(InputError, match="has no `phase_iterations` to change"):
        waveunet_tf.load_network(tiny_checkpoint, phase_iterations=1)


def test_adams_moments_are_part_of_a_checkpoint(tiny_config, tmp_path):
    network = build_network(tiny_config)
    trained = build_adam(TrainingConfig(learning_rate=1e-2))
    gradients = [np.full(weight.shape, 0.5) for weight in network.trainable_variables]
    for _ in range(2):
        trained.apply(gradients, network.trainable_variables)
    save_checkpoint(tmp_path / "a", network, tiny_config, optimizer=trained)
    resumed = build_adam(TrainingConfig(learning_rate=1e-3))
    opened = Checkpoint.open(tmp_path / "a")
    assert opened.load_adam(opened.load_network(), resumed)
    assert int(resumed.iterations) == 2
    assert float(resumed.learning_rate) == pytest.approx(1e-3)
    for first, second in zip(resumed._momentums, resumed._velocities):
        np.testing.assert_allclose(first, 0.5 * (1 - 0.9**2), rtol=1e-5)
        np.testing.assert_allclose(second, 0.25 * (1 - 0.999**2), rtol=1e-4)


def test_saving_without_adam_leaves_no_earlier_moments(tiny_config, tmp_path):
    network = build_network(tiny_config)
    optimizer = build_adam(TrainingConfig())
    optimizer.build(network.trainable_variables)
    save_checkpoint(tmp_path, network, tiny_config, optimizer=optimizer)
    assert (tmp_path / "optimizer.weights.h5").exists()
    save_checkpoint(tmp_path, network, tiny_config)
    assert not Checkpoint.open(tmp_path).load_adam(network, optimizer)
    assert len(list(tmp_path.iterdir())) == 2


def edit_network(folder, **changes):
    values = json.loads((folder / "config.json").read_text())
    edit_json(folder / "config.json", network={**values["network"], **changes})


def cut(path):
    path.write_bytes(path.read_bytes()[:5000])


DAMAGES = {
    "missing": (lambda folder: (folder / "config.json").unlink(), "with config.json"),
    "cut config": (
        lambda folder: (folder / "config.json").write_text("{"),
        "must be JSON",
    ),
    "bytes": (
        lambda folder: (folder / "config.json").write_bytes(b"\xff\xfe\x00"),
        "must be JSON",
    ),
    "list": (lambda folder: (folder / "config.json").write_text("[]"), "a `network`"),
    "no network": (
        lambda folder: edit_json(folder / "config.json", network=None),
        "a `network`",
    ),
    "version": (
        lambda folder: edit_json(folder / "config.json", format_version=99),
        "Received: 99",
    ),
    "training": (
        lambda folder: edit_json(folder / "config.json", training={"seed": "x"}),
        "config.json: ",
    ),
    "architecture": (
        lambda folder: edit_network(folder, architecture="transformer"),
        "Received: 'transformer'",
    ),
    "range": (lambda folder: edit_network(folder, channels=7), "`channels` must"),
    "field": (lambda folder: edit_network(folder, new=7), "has the fields"),
    "deeper": (lambda folder: edit_network(folder, num_levels=4), "arrays"),
    "flatter": (lambda folder: edit_network(folder, num_levels=2), "arrays"),
    "wider": (lambda folder: edit_network(folder, base_filters=5), "arrays"),
    "no weights": (
        lambda folder: (folder / "network.weights.h5").unlink(),
        "is missing",
    ),
    "cut weights": (lambda folder: cut(folder / "network.weights.h5"), "is broken"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_checkpoint_is_refused(tiny_checkpoint, name):
    damage, message = DAMAGES[name]
    damage(tiny_checkpoint)
    with pytest.raises(InputError) as error:
        waveunet_tf.load_network(tiny_checkpoint)
    assert message in str(error.value)
    assert str(error.value).startswith(str(tiny_checkpoint))
    assert len(str(error.value).splitlines()) == 1


def test_weights_of_other_layers_of_the_same_shapes_keep_their_place(
    tiny_config, tmp_path
):
    """Keras names arrays by class and number: the order must survive the file."""
    network = build_network(tiny_config)
    for number, weight in enumerate(network.weights):
        weight.assign(np.full(weight.shape, number))
    save_checkpoint(tmp_path / "a", network, tiny_config)
    keras.backend.clear_session()
    loaded = waveunet_tf.load_network(tmp_path / "a")
    for number, weight in enumerate(loaded.weights):
        assert np.all(np.asarray(weight) == number)


def test_a_checkpoint_appears_whole_or_stays_as_it_was(
    tiny_checkpoint, tiny_config, monkeypatch
):
    """As if the disk were full while the weights are written."""

    def fail(path):
        pathlib.Path(path).write_bytes(b"half")
        raise OSError("no space")

    before = {path: path.read_bytes() for path in tiny_checkpoint.iterdir()}
    network = build_network(tiny_config)
    monkeypatch.setattr(network, "save_weights", fail)
    with pytest.raises(OSError, match="no space"):
        save_checkpoint(tiny_checkpoint, network, tiny_config)
    assert {path: path.read_bytes() for path in tiny_checkpoint.iterdir()} == before


def test_the_weights_of_a_larger_network_need_its_space(tiny_config, tmp_path):
    """HDF5 crashes where the disk is full: the space is asked for before."""
    usage = shutil.disk_usage(tmp_path)
    network = build_network(tiny_config)
    network.count_params = lambda: usage.total
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(tmp_path / "a", network, tiny_config)
    assert list((tmp_path / "a").iterdir()) == []


@pytest.fixture
def hashed(monkeypatch):
    """The files that are hashed, but for the code, which names LiteRT's cache."""
    noted = []

    def note(path):
        if pathlib.Path(path).suffix != ".py":
            noted.append(pathlib.Path(path))
        return file_sha256(path)

    file_sha256 = files.file_sha256
    monkeypatch.setattr(files, "file_sha256", note)
    return noted


@pytest.mark.parametrize("engine", ["tensorflow", "litert"])
def test_loading_a_model_by_name_hashes_and_reads_each_of_its_files_once(
    vocals, hashed, monkeypatch, engine
):
    read = []

    def note(path, **options):
        read.append(path)
        return read_text(path, **options)

    read_text = pathlib.Path.read_text
    monkeypatch.setattr(pathlib.Path, "read_text", note)
    waveunet_tf.load("vocals", engine=engine, chunk_frames=256)
    assert sorted(hashed) == [vocals / "config.json", vocals / "network.weights.h5"]
    for name in ("config.json", "model.json"):
        assert read.count(vocals / name) == 1


def test_opening_and_loading_a_model_hashes_each_of_its_files_once(vocals, hashed):
    opened = Checkpoint.open(vocals)
    opened.load_network()
    opened.load_network(batch_size=1)
    for name in (checkpoint.CONFIG, checkpoint.WEIGHTS):
        content = (vocals / name).read_bytes()
        assert opened.sha256(name) == hashlib.sha256(content).hexdigest()
    assert len(hashed) == len(set(hashed)) == 2


def test_a_checkpoint_without_a_card_is_hashed_when_asked_for_and_once(
    tiny_checkpoint, hashed
):
    opened = Checkpoint.open(tiny_checkpoint)
    opened.load_network()
    assert hashed == []
    digests = {opened.sha256(checkpoint.WEIGHTS) for _ in range(2)}
    content = (tiny_checkpoint / checkpoint.WEIGHTS).read_bytes()
    assert digests == {hashlib.sha256(content).hexdigest()}
    assert len(hashed) == 1


def test_a_config_is_read_without_tensorflow_keras_or_hdf5(tiny_checkpoint):
    code = (
        "import sys; from waveunet_tf.checkpoints.checkpoint import Checkpoint;"
        f"print(Checkpoint.open({str(tiny_checkpoint)!r}).config.num_levels,"
        "[name for name in ('tensorflow', 'keras', 'h5py') if name in sys.modules])"
    )
    result = run_python("-c", code)
    assert result.stdout.split() == ["3", "[]"], result.stderr
