"""`--scheduler` as a user runs it; the library's tests have what can go wrong."""

import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile

import waveunet_tf
from tests.command_line import ROOT, check_refusal, run_here

# They share a cluster and a converted network.
pytestmark = pytest.mark.xdist_group("dask")

SEPARATE = "waveunet_tf separate"


@pytest.fixture(scope="module")
def network(kept_checkpoint):
    """Flags of a tiny network, converted here, so that workers need no TensorFlow."""
    waveunet_tf.load(kept_checkpoint, engine="litert", threads=1)
    return [f"--checkpoint={kept_checkpoint}", "--engine=litert"]


@pytest.fixture
def songs(tmp_path):
    """Two songs, and a list of them, of one that is missing, and of an empty line."""
    for number, name in enumerate("ab", 1):
        audio = np.random.default_rng(number).normal(0, 0.1, (8000 * number, 2))
        soundfile.write(tmp_path / f"{name}.wav", audio, 8000)
    names = [f"{tmp_path}/{name}.wav\n" for name in ("a", "b", "none")]
    (tmp_path / "list.txt").write_text("\n".join(names))
    return tmp_path


def test_a_list_of_songs_is_separated_and_goes_on(dask_client, network, songs):
    flags = [
        f"--scheduler={dask_client.scheduler.address}", *network,
        f"--songs_from={songs}/list.txt", f"--output_dir={songs}/stems",
    ]  # fmt: skip
    first = run_here(SEPARATE, *flags)
    check_refusal(first, 1, f"{songs}/none.wav: No such file")
    names = [
        f"{songs}/stems/{song}/{source}.wav"
        for song in "ab"
        for source in ("accompaniment", "vocals")
    ]
    assert sorted(first.stdout.splitlines()) == names
    lines = (songs / "stems" / "ledger.jsonl").read_text().splitlines()
    done = [line for line in map(json.loads, lines) if line["status"] == "done"]
    assert sorted(name for line in done for name in line["stems"]) == names
    again = run_here(SEPARATE, *flags)
    check_refusal(again, 1, f"{songs}/none.wav: No such file")
    assert again.stdout == ""
    assert "2 songs are done already" in again.stderr


def test_a_list_needs_no_scheduler(network, songs):
    arguments = [f"--songs_from={songs}/list.txt", f"--output_dir={songs}/stems"]
    result = run_here(SEPARATE, *network, *arguments, "--stems=vocals")
    check_refusal(result, 1, f"{songs}/none.wav: No such file")
    assert result.stdout.splitlines() == [
        f"{songs}/stems/{song}/vocals.wav" for song in "ab"
    ]
    again = run_here(SEPARATE, *network, *arguments, "--stems=vocals")
    assert again.stderr.count("must be a new file") == 2
    skipping = run_here(
        SEPARATE, *network, *arguments, "--stems=vocals", "--skip_existing"
    )
    check_refusal(skipping, 1, f"{songs}/none.wav: No such file")
    assert skipping.stdout == ""


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        ([], 2, "needs audio files, folders, patterns, or -"),
        (["-", "--songs_from=-"], 2, "cannot be a song, too"),
        (["--songs_from=none.txt"], 1, "none.txt: No such file or directory"),
        (["--songs_from=/bin/sh"], 1, "/bin/sh: must name songs in lines"),
        (["--overwrite", "--skip_existing", "x.wav"], 2, "exclude each other"),
    ],
)
def test_bad_lists_are_refused(words, code, text):
    check_refusal(run_here(SEPARATE, *words), code, text)


def test_pipes_do_not_reach_workers(dask_client):
    scheduler = f"--scheduler={dask_client.scheduler.address}"
    check_refusal(run_here(SEPARATE, scheduler, "-"), 1, "pipes do not reach")


@pytest.mark.slow
def test_workers_on_this_machine_take_the_list_from_standard_input(network, songs):
    pytest.importorskip("distributed", reason="needs requirements-dask.txt")
    command = [sys.executable, "-m", *SEPARATE.split(), *network, "--scheduler=local"]
    result = subprocess.run(
        [*command, "--songs_from=-", f"--output_dir={songs}/stems"],
        cwd=ROOT,
        input=f"{songs}/a.wav\n{songs}/b.wav\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert len(list((songs / "stems").rglob("*.wav"))) == 4
