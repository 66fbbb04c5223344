"""The recipe from songs without stems to a packed model: all of it, at a tiny size."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from tests.command_line import ROOT
from tests.examples.pretrained.spleeter_arrays import random_weights
from waveunet_tf.checkpoints import registry

SCRIPT = "examples/pretrained/teach_and_train.sh"
# Over those of the script: the last of a flag counts.
TINY = (
    "--num_levels=2 --base_filters=3 --output_frames=512 --batch_size=2 "
    "--warmup_steps=3 --steps_per_epoch=20"
).split()


def write_song(path, seconds=2, rate_hz=44100, channels=2):
    path.parent.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(abs(hash(path.name)) % 2**31)
    song = generator.normal(0, 0.05, (seconds * rate_hz, channels)).cumsum(axis=0)
    soundfile.write(path, 0.3 * song / np.abs(song).max(), rate_hz)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A song of each kind that the script asks for; MUSDB18's from the 7-s previews."""
    shared = ROOT.parent / "shared" / "data" / "musdb18-7s"
    if not shared.is_dir():
        pytest.skip(f"needs {shared}")
    root = tmp_path_factory.mktemp("recipe") / "data"
    for subset, names in {
        "train": ("Actions - One Minute Smile", "A Classic Education - NightOwl"),
        "test": (),
    }.items():
        (root / "musdb18-7s" / subset).mkdir(parents=True)
        for name in names:
            file = f"{subset}/{name}.stem.mp4"
            (root / "musdb18-7s" / file).symlink_to(shared / file)
    for song in ("Sodium", "Lithium"):
        for stem in ("vocals", "drums"):
            write_song(root / "eir-cc0" / song / f"{stem}.flac")
    index = []
    for group in ("songs", "generated", "instrumental"):
        for name, channels in {f"of {group}": 2, f"mono of {group}": 1}.items():
            index.append({"name": name, "group": group})
            write_song(root / "songs-open" / f"{name}.ogg", channels=channels)
    (root / "songs-open" / "index.json").write_text(json.dumps(index))
    return root


@pytest.fixture(scope="module")
def spleeter(tmp_path_factory):
    return random_weights(tmp_path_factory.mktemp("spleeter") / "spleeter.npz")


@pytest.mark.slow  # 40 commands, and trainings in children
def test_the_recipe_makes_a_model_by_both_ways(data, spleeter, tmp_path):
    for name, way, flags in [
        ("a", "jax", ["--budget_seconds=60", "--reserve_seconds=5"]),
        ("b", "tensorflow", ["--max_epochs=2", "--learning_rate_schedule=cosine"]),
    ]:
        result = subprocess.run(
            ["sh", SCRIPT, data, tmp_path, name, way, *TINY, *flags],
            cwd=ROOT,
            env={
                **os.environ,
                "PYTHON": sys.executable,
                "SPLEETER": str(spleeter),
                "JAX_PLATFORMS": "cpu",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stderr[-3000:]
        assert f"{name} " in result.stdout and "mixture" in result.stdout
        shares = [
            line
            for line in (result.stdout + result.stderr).splitlines()
            if "% of the excerpts from " in line
        ]
        assert len(shares) == 5  # one of each data set
        os.environ["WAVEUNET_TF_MODELS"] = str(tmp_path / "models")
        try:
            assert registry.folder_of(name).is_dir()
        finally:
            del os.environ["WAVEUNET_TF_MODELS"]
        assert list((tmp_path / "scores" / name / "valid").glob("*.json"))
    taught = json.loads((tmp_path / "data" / "songs" / "manifest.json").read_text())
    assert len(taught["tracks"]) == 2
    for entry in taught["tracks"].values():
        assert entry["channels"] == 2
        assert entry["rest"] == "accompaniment"
        assert entry["estimates"]["teacher"]["kind"] == "spleeter"


def test_without_a_way_the_script_says_how_it_is_used(tmp_path):
    for arguments in ([], ["a", "b", "c"], ["a", "b", "c", "torch"]):
        result = subprocess.run(
            ["sh", SCRIPT, *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 2
        assert result.stderr == (
            f"usage: {SCRIPT} DATA WORK NAME jax|tensorflow|parts [FLAGS]\n"
        )
