import json
import shutil

import matplotlib.image
import numpy as np
import pytest
import soundfile

from tests.command_line import check_refusal, run_here
from tests.data.stems import two_known_tracks

DATA = "waveunet_tf data"


@pytest.fixture(scope="module")
def prepared_dir(tmp_path_factory):
    return two_known_tracks(tmp_path_factory.mktemp("known"))


def test_it_shows_draws_and_writes_what_is_there(prepared_dir, tmp_path):
    picture, folder = tmp_path / "x.png", tmp_path / "listen"
    command = [f"--data_dir={prepared_dir}", f"--plot={picture}", f"--listen={folder}"]
    result = run_here(DATA, *command, "--excerpts=2", "--seconds=0.5", "--min_gain=1")
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
        assert str(folder / f"{number}_vocals.wav") in result.stdout


@pytest.mark.parametrize("flag", ["plot", "listen"])
def test_what_exists_is_replaced_only_if_wished(prepared_dir, tmp_path, flag):
    path = tmp_path / "x.png" if flag == "plot" else tmp_path
    (tmp_path / "x.png").write_text("mine")
    command = [f"--data_dir={prepared_dir}", f"--{flag}={path}", "--seconds=0.1"]
    check_refusal(run_here(DATA, *command), 1, str(path), "--overwrite")
    assert (tmp_path / "x.png").read_text() == "mine"
    result = run_here(DATA, *command, "--overwrite", "--excerpts=1")
    assert result.returncode == 0, result.stderr


def test_a_picture_that_cannot_be_drawn_is_refused_at_once(prepared_dir, tmp_path):
    for name, text in (("x.txt", "suffix must be one of"), ("x.png", "at most 163")):
        flags = (f"--data_dir={prepared_dir}", f"--plot={tmp_path / name}")
        result = run_here(DATA, *flags, "--excerpts=164")
        check_refusal(result, 1, text)
        assert result.stdout == ""


@pytest.mark.parametrize("flag", ["max_speed_change=2", "min_gain=2"])
def test_an_augmentation_out_of_its_range_is_refused_at_once(prepared_dir, flag):
    result = run_here(DATA, f"--data_dir={prepared_dir}", f"--{flag}")
    check_refusal(result, 2, f"`{flag.split('=')[0]}` must be at ")
    assert result.stdout == ""


def test_what_is_not_prepared_is_refused(prepared_dir, tmp_path):
    check_refusal(run_here(DATA, f"--data_dir={tmp_path}"), 1, "has no manifest.json")
    folder = tmp_path / "copy"
    shutil.copytree(prepared_dir, folder)
    (folder / "train" / "track 0" / "vocals.wav").unlink()
    check_refusal(run_here(DATA, f"--data_dir={folder}"), 1, "but missing")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["format_version"] = 1
    (folder / "manifest.json").write_text(json.dumps(manifest))
    result = run_here(DATA, f"--data_dir={folder}")
    check_refusal(result, 1, "`format_version` must be 2. Received: 1")
