"""Packing as a user does, and the commands that take a model's name."""

import hashlib
import json
import os
import shutil

import numpy as np
import pytest
import soundfile

import waveunet_tf
from tests.command_line import check_refusal, run, run_here
from waveunet_tf.audio import io
from waveunet_tf.checkpoints import registry

PACK = "waveunet_tf pack"
SEPARATE = "waveunet_tf separate"
FILES = ["config.json", "model.json", "network.weights.h5"]


@pytest.fixture
def vocals(models_dir, tiny_checkpoint):
    """The folder of a model called vocals, as `pack` writes it."""
    result = run_here(
        *(PACK, f"--checkpoint={tiny_checkpoint}", "--name=vocals"),
        *("--description=A tiny one", "--median_sdr_db=validation vocals=4.9"),
        "--nocarry_step",
    )
    assert result.returncode == 0, result.stderr
    return models_dir / "vocals"


@pytest.fixture
def song(tmp_path):
    """Noise, half a second at the tiny network's rate."""
    path = tmp_path / "song.wav"
    noise = np.random.default_rng(0).normal(0, 0.1, (4000, 2))
    soundfile.write(path, noise, 8000, subtype="FLOAT")
    return path


def change_version(folder):
    path = folder / "model.json"
    values = {**json.loads(path.read_text()), "format_version": 2}
    path.write_text(json.dumps(values))


@pytest.mark.slow
def test_packing_writes_a_model_that_another_call_may_replace(
    tiny_checkpoint, models_dir
):
    own = models_dir.parent / "own"
    command = [
        *(PACK, f"--checkpoint={tiny_checkpoint}", f"--output_dir={own}"),
        *("--name=tiny", "--description=Ein Modell, größer als nichts"),
    ]
    result = run_here(*command, "--median_sdr_db=a=b=1.5")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(f"{own}/tiny: 0.")
    assert registry.read_card(own / "tiny").median_sdr_db == {"a=b": 1.5}
    (own / "tiny" / "README.md").write_text("how it was made")
    refused = run(*command)  # in a process of its own, which needs no TensorFlow
    check_refusal(refused, 1, f"{own}/tiny/config.json: must be a new file")
    assert run_here(*command, "--overwrite").returncode == 0
    card = registry.read_card(own / "tiny")
    assert card.description == "Ein Modell, größer als nichts"
    assert card.median_sdr_db == {}
    files = sorted(os.listdir(own / "tiny"))
    assert files == ["README.md", *FILES, "step-32768.tflite"]
    assert waveunet_tf.load_network(own / "tiny")


@pytest.mark.parametrize(
    ("flag", "text"),
    [
        ("--name=../vocals", "--name must be of letters"),
        ("--name=.hidden", "--name must be of letters"),
        ("--description=a\nb", "--description must be one line"),
        ("--description= ", "--description must be one line"),
        ("--median_sdr_db=good=nan", "--median_sdr_db must be WHAT=DB"),
        ("--median_sdr_db=4.9", "--median_sdr_db must be WHAT=DB"),
        ("--median_sdr_db=vocals=loud", "--median_sdr_db must be WHAT=DB"),
    ],
)
def test_a_bad_flag_is_refused_before_anything_is_read(models_dir, flag, text):
    flags = ["--checkpoint=/nowhere", "--name=tiny", "--description=one"]
    check_refusal(run_here(PACK, *flags, flag), 2, text)
    assert not models_dir.exists()


def test_a_second_step_is_not_left_out_in_silence(models_dir):
    flags = ["--checkpoint=/nowhere", "--name=tiny", "--description=one"]
    flags += ["--nocarry_step", "--carry_dynamic_step"]
    check_refusal(run_here(PACK, *flags), 2, "--carry_dynamic_step needs --carry_step")


def test_separating_takes_the_model_in_the_box(vocals, song, tmp_path):
    """Without a flag, by its name, and by its path: the same stems."""
    flags = ["--engine=litert", f"--output_dir={tmp_path}/stems"]
    result = run_here(SEPARATE, *flags, song)
    assert result.returncode == 0, result.stderr
    written = sorted((tmp_path / "stems" / "song").iterdir())
    assert [path.name for path in written] == ["accompaniment.wav", "vocals.wav"]
    noise, _ = io.read(song)
    expected = waveunet_tf.load(vocals, engine="litert").separate(noise, 8000)
    for path in written:
        np.testing.assert_allclose(io.read(path)[0], expected[path.stem], atol=1e-6)
    for flag in ("--model=vocals", f"--checkpoint={vocals}", "--checkpoint=vocals"):
        before = [io.read(path)[0] for path in written]
        result = run_here(SEPARATE, *flags, "--overwrite", flag, song)
        assert result.returncode == 0, result.stderr
        for path, stem in zip(written, before):
            np.testing.assert_array_equal(io.read(path)[0], stem)


def test_separating_without_a_model_is_refused_in_one_line(models_dir, vocals, song):
    unknown = run_here(SEPARATE, "--model=vocls", song)
    check_refusal(unknown, 1, "vocls", "have vocals")
    check_refusal(run_here(SEPARATE), 2, "needs audio files")
    both = run_here(SEPARATE, "--model=vocals", "--checkpoint=a", song)
    check_refusal(both, 2, "takes at most one of")
    for path in vocals.iterdir():
        path.unlink()
    refused = run_here(SEPARATE, f"--output_dir={models_dir}/stems", song)
    check_refusal(
        refused,
        1,
        f"{models_dir} and the packages have none (--checkpoint names one of your own)",
    )
    assert not (models_dir / "stems").exists()


def test_models_are_listed_and_broken_ones_named(models_dir, vocals):
    listed = run_here("waveunet_tf models")
    size = sum((vocals / name).stat().st_size for name in FILES if name != FILES[1])
    assert listed.returncode == 0
    assert listed.stdout.splitlines() == [
        f"vocals: accompaniment, vocals; 8000 Hz stereo; {size / 1e6:.1f} MB",
        "  A tiny one",
        "  median SDR: validation vocals 4.90 dB",
    ]
    change_version(shutil.copytree(vocals, models_dir / "newer"))
    listed = run_here("waveunet_tf models")
    check_refusal(listed, 1, "newer/model.json", "Received: 2")
    assert listed.stdout.startswith("vocals: ")
    shutil.rmtree(models_dir / "newer")
    (models_dir / "a_folder" / "model.json").mkdir(parents=True)
    listed = run_here("waveunet_tf models")
    check_refusal(listed, 1, "a_folder/model.json: Is a directory")
    assert listed.stdout.startswith("vocals: ")
    shutil.rmtree(models_dir)
    listed = run_here("waveunet_tf models")
    assert (listed.returncode, listed.stdout) == (0, "")


def test_a_card_is_what_lies_beside_the_model_or_what_its_files_tell(
    models_dir, vocals
):
    shown = run_here("waveunet_tf models", "card", "vocals")
    assert shown.returncode == 0, shown.stderr
    digest = hashlib.sha256((vocals / "network.weights.h5").read_bytes()).hexdigest()
    for text in (
        "# vocals\n\nA tiny one\n",
        "\n| sample_rate_hz | 8000 |\n",
        "\n| num_levels | 3 |\n",
        f"SHA-256 {digest} |\n",
        f"{vocals}/README.md is not there",
    ):
        assert text in shown.stdout
    (vocals / "README.md").write_text("# Mine\nlearned from größere songs\n")
    shown = run_here("waveunet_tf models", "card", "vocals")
    assert shown.stdout == "# Mine\nlearned from größere songs\n"
    change_version(vocals)
    check_refusal(run_here("waveunet_tf models", "card", "vocals"), 1, "Received: 2")
    unknown = run_here("waveunet_tf models", "card", "vocls")
    check_refusal(unknown, 1, "vocls: must be a model's name", "have vocals")


def test_describing_takes_a_models_name(vocals):
    by_name, by_path = (
        run_here("waveunet_tf describe", f"--checkpoint={model}")
        for model in ("vocals", vocals)
    )
    assert by_name.returncode == 0, by_name.stderr
    assert "down_0" in by_name.stdout
    assert by_name.stdout == by_path.stdout
