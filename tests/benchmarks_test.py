"""Every benchmark starts, and prints its figure last in a tiny run."""

import re

import numpy as np
import pytest
import soundfile

from benchmarks import common
from tests.command_line import ROOT, run, run_here

SCRIPTS = sorted(
    path.stem
    for path in (ROOT / "benchmarks").glob("*.py")
    if "app.run(main" in path.read_text(encoding="utf-8")
)


def test_each_file_is_a_script_or_what_scripts_share():
    others = {path.stem for path in (ROOT / "benchmarks").glob("*.py")} - set(SCRIPTS)
    assert others == {
        *("__init__", "common", "torch_peer", "training_parts"),
        *("peer_child", "peer_measurements", "peer_packages"),
        *("peer_plot", "peer_results", "peer_rows"),
    }


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_benchmark_starts_and_says_how_it_is_run(name):
    result = run_here(f"benchmarks.{name}", "--help")
    assert result.returncode == 0, result.stderr
    assert f"python -m benchmarks.{name}" in result.stdout


def test_noise_is_written_as_prepared_tracks(tmp_path, tiny_config):
    common.write_noise(tmp_path, tiny_config)
    tracks = sorted((tmp_path / "train").iterdir())
    assert len(tracks) == 8
    parts = {path.stem: soundfile.read(path)[0] for path in tracks[0].glob("*.wav")}
    assert sorted(parts) == ["accompaniment", "mixture", "vocals"]
    assert parts["mixture"].shape == (60 * 8000, 2)
    total = parts["accompaniment"] + parts["vocals"]
    # Each of the three files is dithered and rounded: at most 1.5 steps of 16 bits.
    np.testing.assert_allclose(parts["mixture"], total, atol=4.5 / 2**15)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "arguments", "figure"),
    [
        ("catalogue", ["--songs=0"], "deaths cost"),
        ("evaluate_workers", ["--tracks=1", "--seconds=2", "--workers=1"], "1.00"),
        ("excerpt_speed", ["--seconds=0.2", "--rounds=1"], "memory map"),
        ("separate_memory", ["--minutes=0.05,0.1"], "shortest"),
        ("separate_speed", ["--seconds=5", "--rounds=1"], "original's windows"),
        ("serving", ["--clients=1", "--seconds=1", "--requests=10"], "first tenth"),
        (
            "tflite_speed",
            ["--kinds=float32,dynamic", "--chunk_frames=8192", "--rounds=1"],
            "dynamic int8 weights",
        ),
        (
            "train_step",
            ["--small", "--batch_size=1", "--steps=1", "--rounds=1", "--synthetic"],
            "ratio to the plain port",
        ),
        ("upsampling_artifacts", ["--draws=1"], "transposed over linear"),
        ("separate_peers", ["--seconds=2", "--systems=waveunet_m4"], "waveunet_m4"),
    ],
)
def test_a_tiny_run_prints_its_figure_last(name, arguments, figure):
    result = run(f"benchmarks.{name}", *arguments)
    assert result.returncode == 0, result.stderr
    last = result.stdout.splitlines()[-1]
    assert figure in last
    assert re.search(r"\d\.\d", last)
