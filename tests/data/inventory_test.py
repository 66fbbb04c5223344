import json
import pathlib
import subprocess
import sys

import matplotlib.image
import numpy as np
import pytest
import soundfile

from waveunet_tf.data import inventory
from waveunet_tf.data.datasets import find_tracks
from waveunet_tf.data.manifest import Settings
from waveunet_tf.data.preparation import prepare_tracks

RATE_HZ = 8000


@pytest.fixture
def prepared(tmp_path):
    """Two tracks: a sine and silence, a square wave and a quiet sine."""
    sine = np.sin(2 * np.pi * 1000 * np.arange(10 * RATE_HZ) / RATE_HZ)[:, None]
    for number, stems in enumerate(
        [
            {"vocals": 0.5 * sine, "accompaniment": 0 * sine},
            {"vocals": 0.25 * np.sign(sine + 1e-9), "accompaniment": 0.01 * sine},
        ]
    ):
        folder = tmp_path / "in" / "train" / f"track {number}"
        folder.mkdir(parents=True)
        for name, stem in stems.items():
            stem = np.repeat(stem, 2, axis=1)
            soundfile.write(folder / f"{name}.wav", stem, RATE_HZ, subtype="FLOAT")
    settings = Settings(RATE_HZ, ("accompaniment", "vocals"), bit_depth=32)
    prepare_tracks(find_tracks(tmp_path / "in"), tmp_path / "out", settings)
    return tmp_path / "out"


def test_levels_are_those_of_known_signals(prepared):
    levels = inventory.measure_levels(prepared)
    assert {count for count, _ in levels.values()} == {2}
    vocals = levels["train", "vocals"][1]
    assert vocals.seconds == pytest.approx(20)
    # Mean of the squares 1/8 (a sine of 1/2) and 1/16 (a square wave of 1/4).
    assert vocals.rms_dbfs == pytest.approx(10 * np.log10(3 / 32), abs=0.01)
    assert vocals.peak_dbfs == pytest.approx(20 * np.log10(0.5), abs=0.01)
    assert vocals.silence == 0
    accompaniment = levels["train", "accompaniment"][1]
    assert accompaniment.silence == pytest.approx(0.5, abs=0.02)


def run_data(*arguments):
    root = pathlib.Path(__file__).parents[2]
    return subprocess.run(
        [sys.executable, "-m", "waveunet_tf", "data", *map(str, arguments)],
        cwd=root,
        capture_output=True,
        text=True,
    )


def test_the_command_shows_draws_and_writes_what_is_there(prepared, tmp_path):
    picture, folder = tmp_path / "x.png", tmp_path / "listen"
    command = [f"--data_dir={prepared}", f"--plot={picture}", f"--listen={folder}"]
    result = run_data(*command, "--excerpts=2", "--seconds=0.5", "--min_gain=1")
    assert result.returncode == 0, result.stderr
    (line,) = [x for x in result.stdout.splitlines() if x.startswith("train   vocals")]
    assert line.split() == ["train", "vocals", "2", "0.01", "-10.3", "-6.0", "0%"]
    assert matplotlib.image.imread(picture).shape[:2] == (900, 800)
    for number in range(2):
        stems = {
            name: soundfile.read(folder / f"{number}_{name}.wav")[0]
            for name in ("mixture", "accompaniment", "vocals")
        }
        assert {stem.shape for stem in stems.values()} == {(4000, 2)}
        rest = stems["mixture"] - stems["accompaniment"] - stems["vocals"]
        assert np.abs(rest).max() < 5 / 2**15  # 16 bits with dither

    again = run_data(*command)
    assert (again.returncode, "--overwrite" in again.stderr) == (1, True)
    broken = run_data(f"--data_dir={prepared}", f"--plot={tmp_path}/x.txt")
    assert broken.returncode == 1
    assert "suffix must be one of" in broken.stderr


def test_what_is_not_prepared_is_refused(prepared, tmp_path):
    result = run_data(f"--data_dir={tmp_path}")
    assert (result.returncode, "has no manifest.json" in result.stderr) == (1, True)
    (prepared / "train" / "track 0" / "vocals.wav").unlink()
    result = run_data(f"--data_dir={prepared}")
    assert (result.returncode, "but missing" in result.stderr) == (1, True)
    manifest = json.loads((prepared / "manifest.json").read_text())
    manifest["format_version"] = 1
    (prepared / "manifest.json").write_text(json.dumps(manifest))
    result = run_data(f"--data_dir={prepared}")
    assert "`format_version` must be 2. Received: 1" in result.stderr
