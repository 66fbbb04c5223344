import importlib.metadata
import json

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from examples.pretrained.stem_parts import write_stem_parts
from tests.architecture import House, paths_from
from tests.command_line import ROOT, check_refusal, run_here, run_python
from waveunet_tf.checkpoints.checkpoint import Checkpoint
from waveunet_tf.networks import shapes

TRAIN_ON_JAX = "examples.pretrained.train_on_jax"
# Runs a program in a process that lacks the packages of its first argument.
WITHOUT = """
import runpy, sys
sys.modules.update(dict.fromkeys(sys.argv[1].split(",")))
del sys.argv[:2]
sys.path[0] = ""
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def listed():
    """The packages of requirements-jax.txt."""
    lines = (ROOT / "requirements-jax.txt").read_text("utf-8").splitlines()
    return {line for line in lines if line and not line.startswith("#")}


def brought(packages):
    """These packages, and what pip brings with them."""
    found, waiting = set(), set(packages)
    while waiting:
        package = waiting.pop()
        found.add(package)
        for text in importlib.metadata.requires(package) or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting |= {canonicalize_name(requirement.name)} - found
    return found


def modules_of_others():
    """What other packages than the project can be imported here → whose it is."""
    return {
        module: {canonicalize_name(package) for package in packages}
        for module, packages in importlib.metadata.packages_distributions().items()
        if "waveunet-tf" not in packages and "waveunet_tf" not in packages
    }


@pytest.fixture
def data(kept_stems_dir, tmp_path):
    """The tiny stems in a part."""
    folder = tmp_path / "parts"
    write_stem_parts([kept_stems_dir], folder, part_bytes=10**6)
    return folder


def train_on(data, workdir, *flags, exit_code=0, without=()):
    """Runs the program on JAX, where some packages lack; returns its history."""
    program = [ROOT / "examples" / "pretrained" / "train_on_jax.py"]
    if without:
        program = ["-c", WITHOUT, ",".join(without), *program]
    network = "--num_levels=1 --base_filters=3 --sample_rate_hz=8000 --output_frames=64"
    training = (
        "--batch_size=4 --steps_per_epoch=30 --max_epochs=2 --nofine_tuning --loss=sdr "
        "--learning_rate=1e-2 --learning_rate_schedule=cosine --average_momentum=0.8 "
        "--clip_norm=20 --first_weights=unit_variance --remix_probability=0.5"
    )
    result = run_python(
        *(*program, "--data", data, "--workdir", workdir),
        *(*network.split(), *training.split(), *flags),
        KERAS_BACKEND="jax",
        JAX_PLATFORMS="cpu",
        XLA_FLAGS="--xla_backend_optimization_level=0",  # compiles faster
    )
    assert result.returncode == exit_code, result.stderr
    lines = (workdir / "history.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.slow
def test_a_training_on_jax_learns_and_leaves_an_ordinary_checkpoint(data, tmp_path):
    there = brought(listed())
    without = [name for name, of in modules_of_others().items() if not of & there]
    assert {"tensorflow", "av", "yaml"} <= {*without}
    first, second = train_on(data, tmp_path / "work", without=without)
    assert second["loss"] < first["loss"]
    best = Checkpoint.open(tmp_path / "work" / "best")
    assert best.training.learning_rate_schedule == "cosine"
    assert best.training.best_by == "sdr"
    window = shapes.window_frames(best.config)
    noise = np.random.default_rng(0).normal(0, 0.1, (1, window.input_frames, 2))
    estimates = best.load_network()(noise)
    assert list(estimates) == ["accompaniment", "vocals"]
    centre = noise[:, window.context_frames :][:, : window.output_frames]
    np.testing.assert_allclose(sum(estimates.values()), centre, atol=1e-6)


@pytest.mark.slow
def test_a_rate_far_too_high_on_jax_goes_back_three_times_and_ends(data, tmp_path):
    records = train_on(data, tmp_path / "work", "--learning_rate=30", exit_code=1)
    rates = [record["learning_rate"] for record in records]
    assert rates == [15, 7.5, 3.75]
    for record in records:
        assert "must be within ±0.99, but for 20 steps" in record["reason"]
    assert not (tmp_path / "work" / "best").exists()


@pytest.mark.slow
def test_a_training_on_jax_goes_on_after_its_last_epoch(data, tmp_path):
    expected = train_on(data, tmp_path / "whole")
    (only,) = train_on(data, tmp_path / "parts", "--max_seconds=0")
    assert only["epoch"] == 1
    resumed = train_on(data, tmp_path / "parts")
    for one, other in zip(resumed, expected):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-5)
    assert len(resumed) == len(expected) == 2
    with pytest.raises(AssertionError, match=r"seed \(\d+, now 7\)") as refusal:
        train_on(data, tmp_path / "parts", "--seed=7")
    assert f"{tmp_path / 'parts'}: holds another training" in str(refusal.value)


def test_the_list_of_what_a_jax_machine_needs_is_what_is_imported():
    """All that is imported for sure, and nothing that is imported nowhere."""
    house, packages_of = House(ROOT), modules_of_others()
    least, most = (
        {
            package
            for name in paths_from(house, TRAIN_ON_JAX, late_in=late_in)
            for package in packages_of.get(name, ())
        }
        for late_in in (lambda name: name.startswith("examples."), lambda name: True)
    )
    assert {"numpy", "tqdm", "jax"} <= least <= listed() <= most
    assert "tensorflow" in most - listed()


def test_another_backend_is_refused(monkeypatch):
    flags = ["--data", "x.npz", "--workdir", "x"]
    for backend in (None, "tensorflow"):
        monkeypatch.delenv("KERAS_BACKEND", raising=False)
        if backend:
            monkeypatch.setenv("KERAS_BACKEND", backend)
        check_refusal(run_here(TRAIN_ON_JAX, *flags), 2, "needs KERAS_BACKEND=jax")


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        ([], "needs --nofine_tuning, and --max_epochs or --budget_seconds"),
        (["--nofine_tuning"], "needs --nofine_tuning, and --max_epochs or"),
        (["--max_epochs=2"], "needs --nofine_tuning, and --max_epochs or"),
        (["--budget_seconds=9"], "needs --nofine_tuning, and --max_epochs or"),
        (
            ["--budget_seconds=9", "--max_epochs=2", "--nofine_tuning"],
            "--budget_seconds has a cosine and an end of its own",
        ),
        (
            ["--nofine_tuning", "--max_epochs=2", "--loss=magnitude_l1"],
            "--loss must be of mse, l1, sdr. Received: magnitude",
        ),
        (
            ["--nofine_tuning", "--max_epochs=2", "--validation_mixture=file"],
            "needs --validation_mixture sum",
        ),
        (
            ["--nofine_tuning", "--max_epochs=2", "--best_by=loss"],
            "needs --best_by sdr",
        ),
        (
            ["--nofine_tuning", "--max_epochs=2", "--variant=U7"],
            "trains networks of waveforms. Received: --variant U7",
        ),
    ],
)
def test_trainings_that_jax_cannot_do_are_refused(monkeypatch, flags, text):
    """The variable alone is checked; this process' backend is TensorFlow."""
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    result = run_here(TRAIN_ON_JAX, "--data=x.npz", "--workdir=x", *flags)
    check_refusal(result, 2, text)
