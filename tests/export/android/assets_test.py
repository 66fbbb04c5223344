"""`make android-assets` builds a model into the app."""

import shutil
import subprocess

import numpy as np
import pytest

from tests.command_line import ROOT
from tests.export.small_exports import music, one_pass
from waveunet_tf.checkpoints.checkpoint import load_network
from waveunet_tf.separation.separator import load_tflite_separator


@pytest.fixture
def make(tmp_path):
    """Calls make for a folder of assets, beside which a file of the app lies."""
    if not shutil.which("make") or not (ROOT / ".venv" / "bin" / "waveunet").exists():
        pytest.skip("needs make, and the checkout's own .venv")
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / ".gitkeep").touch()

    def call(*variables):
        return subprocess.run(
            ["make", "android-assets", *variables, f"ANDROID_ASSETS={tmp_path}/assets"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )

    return call


@pytest.mark.slow
def test_the_app_gets_the_stream_of_the_model(make, kept_checkpoint, tmp_path):
    for _ in range(2):  # a model that is there is replaced
        made = make(f"MODEL={kept_checkpoint}", "KIND=float32")
        assert made.returncode == 0, made.stderr
    written = sorted(path.name for path in (tmp_path / "assets").iterdir())
    assert written == [".gitkeep", "model.tflite"]
    separator = load_tflite_separator(tmp_path / "assets" / "model.tflite")
    mixture = music(5000)
    stems = separator.separate(mixture, separator.config.sample_rate_hz)
    expected = one_pass(separator.config, load_network(kept_checkpoint), mixture)
    for source, stem in stems.items():  # those of a separator add up to the mixture
        np.testing.assert_allclose(stem.clip(-1, 1), expected[source], atol=1e-5)


@pytest.mark.slow
def test_the_app_gets_the_licence_of_the_weights(make, kept_checkpoint, tmp_path):
    model = shutil.copytree(kept_checkpoint, tmp_path / "model")
    (model / "LICENSE").write_text("for research only")
    assert make(f"MODEL={model}", "KIND=float32").returncode == 0
    licence = tmp_path / "assets" / "MODEL-LICENSE.txt"
    assert licence.read_text() == "for research only"
    assert make(f"MODEL={kept_checkpoint}", "KIND=float32").returncode == 0
    assert not licence.exists()


@pytest.mark.slow
def test_a_model_that_is_unknown_leaves_the_app_as_it_was(make, tmp_path):
    (tmp_path / "assets" / "model.tflite").write_bytes(b"earlier")
    made = make("MODEL=nowhere")
    assert made.returncode != 0
    assert "error: nowhere: must be a checkpoint's folder" in made.stderr
    assert (tmp_path / "assets" / "model.tflite").read_bytes() == b"earlier"
