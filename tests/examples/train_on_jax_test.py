import dataclasses
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from examples.pretrained import jax_training
from examples.pretrained import stems as stem_file
from tests.command_line import ROOT, check_refusal, run
from waveunet_tf.checkpoints import checkpoint
from waveunet_tf.configs.training import TrainingConfig
from waveunet_tf.data import augmentation, excerpts, prepared
from waveunet_tf.errors import InputError
from waveunet_tf.networks import shapes

AUGMENTED = TrainingConfig(
    batch_size=6,
    seed=5,
    remix_probability=0.5,
    swap_probability=0.5,
    polarity_probability=0.5,
    dropout_probability=0.2,
    min_gain=0.5,
)


def write_data(stems_dir):
    """The tiny stems in one file."""
    path = stems_dir.parent / "stems.npz"
    came = run(
        "examples.pretrained.data_file",
        *("--data_dir", stems_dir, "--output", path),
    )
    assert came.returncode == 0, came.stderr
    return path


@pytest.fixture
def data(stems_dir):
    return write_data(stems_dir)


def snr_db(signal, noise):
    return 10 * np.log10(np.sum(np.square(signal)) / np.sum(np.square(noise)))


@pytest.mark.parametrize("level", [0.01, 0.3])
def test_eight_bits_keep_music_at_35_db_or_more(level):
    signal = np.random.default_rng(0).normal(0, level, 10_000).clip(-1, 1)
    decoded = np.asarray(stem_file.decode(stem_file.encode(signal)))
    assert snr_db(signal, decoded - signal) > 35
    assert (
        np.asarray(stem_file.decode(stem_file.encode(np.zeros(3)))).tolist() == [0] * 3
    )


@pytest.mark.parametrize("parts", [1, 2])
def test_excerpts_cut_on_the_device_are_those_of_the_pipeline(
    stems_dir, tiny_config, parts
):
    if parts == 2:  # of the accompaniment
        for path in stems_dir.rglob("accompaniment.wav"):
            samples, rate_hz = soundfile.read(path)
            for name, stem in {"drums": 0.5 * samples, "bass": samples[::-1]}.items():
                soundfile.write(path.with_stem(name), stem, rate_hz, subtype="FLOAT")
            path.unlink()
    data = write_data(stems_dir)
    tracks = prepared.load_prepared(stems_dir, tiny_config, "train")
    mixture, sources = next(
        iter(excerpts.random_excerpts(tracks, tiny_config, AUGMENTED))
    )
    draws = [
        tf.random.stateless_uniform(
            [1 + parts, augmentation.DRAWS],
            [AUGMENTED.seed, number],
            dtype=tf.float64,
        )
        for number in range(AUGMENTED.batch_size)
    ]
    stems = stem_file.read(data, "train", tiny_config)
    assert stems.names == ["one", "two"]
    came, middle = jax_training.cut_excerpts(
        tf.stack(draws),
        (stems.frames, stems.firsts.tolist(), stems.codes),
        shapes.window_frames(tiny_config),
        AUGMENTED,
    )
    assert snr_db(mixture, came - mixture) > 35
    for name, stem in sources.items():
        assert snr_db(stem, middle[name] - stem) > 35


def test_what_does_not_fit_loses_the_ends_of_long_tracks(
    stems_dir, tiny_config, tmp_path
):
    command = ["examples.pretrained.data_file", "--data_dir", stems_dir]
    command += ["--output", tmp_path / "stems.npz", "--max_mb"]
    frame_bytes = 2 * 2
    room = (1000 + 2500 + 3000) * frame_bytes / 1e6  # two: 2500 frames, one: 4000
    assert run(*command, room).returncode == 0
    stems = stem_file.read(tmp_path / "stems.npz", "train", tiny_config)
    assert stems.frames == [3000, 2500]
    assert (tmp_path / "stems.npz").stat().st_size < room * 1e6 + 5000
    check_refusal(run(*command, 0.001), 1, "must leave room for the valid tracks")


def test_a_file_of_another_network_or_none_is_refused(data, tiny_config, tmp_path):
    for change, text in {
        ("channels", 1): "must have the network's 8000 Hz and 1 channels. Received: 8",
        ("sample_rate_hz", 44100): "must have the network's 44100 Hz and 2 channels",
        ("sources", ("drums", "vocals")): "but lacks drums",
    }.items():
        config = dataclasses.replace(tiny_config, **dict([change]))
        with pytest.raises(InputError, match=text):
            stem_file.read(data, "train", config)
    (tmp_path / "broken.npz").write_bytes(data.read_bytes()[:3000])
    with pytest.raises(InputError, match="broken.npz: must be a file of the stems"):
        stem_file.read(tmp_path / "broken.npz", "train", tiny_config)


def train_on(data, workdir, *flags):
    """Runs the program on JAX; gives its history."""
    program = ROOT / "examples" / "pretrained" / "train_on_jax.py"
    network = "--num_levels=2 --base_filters=3 --sample_rate_hz=8000 --output_frames=64"
    training = (
        "--batch_size=4 --steps_per_epoch=30 --max_epochs=2 --nofine_tuning --loss=sdr "
        "--learning_rate=1e-2 --learning_rate_schedule=cosine --average_momentum=0.8 "
        "--clip_norm=20 --first_weights=unit_variance --remix_probability=0.5"
    )
    command = [sys.executable, program, "--data", data, "--workdir", workdir]
    came = subprocess.run(
        [*map(str, command), *network.split(), *training.split(), *flags],
        env={**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert came.returncode == 0, came.stderr
    lines = (workdir / "history.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_a_training_on_jax_learns_and_leaves_an_ordinary_checkpoint(data, tmp_path):
    first, second = train_on(data, tmp_path / "work")
    assert second["loss"] < first["loss"]
    best = checkpoint.Checkpoint.open(tmp_path / "work" / "best")
    assert best.training.learning_rate_schedule == "cosine"
    window = shapes.window_frames(best.config)
    estimates = best.load_network()(np.zeros((1, window.input_frames, 2), "f"))
    assert list(estimates) == ["accompaniment", "vocals"]


@pytest.mark.slow
def test_a_training_on_jax_goes_on_after_its_last_epoch(data, tmp_path):
    expected = train_on(data, tmp_path / "whole")
    (only,) = train_on(data, tmp_path / "parts", "--max_seconds=0")
    assert only["epoch"] == 1
    came = train_on(data, tmp_path / "parts")
    for one, other in zip(came, expected):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-5)
    assert len(came) == len(expected) == 2


def test_another_backend_is_refused():
    came = run("examples.pretrained.train_on_jax", "--data", "x.npz", "--workdir", "x")
    check_refusal(came, 2, "needs KERAS_BACKEND=jax")
