"""`train` as a user runs it."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.command_line import ROOT, TRAIN, check_refusal, run_here
from waveunet_tf.checkpoints import checkpoint

# The network of the fixture tiny_checkpoint.
NETWORK = (
    "--num_levels=3", "--base_filters=4", "--sample_rate_hz=8000",
    "--output_frames=256",
)  # fmt: skip
# A smaller one, where no checkpoint is needed.
SMALL = (
    "--num_levels=1", "--base_filters=2", "--sample_rate_hz=8000",
    "--output_frames=256",
)  # fmt: skip
ONE_STEP = ("--batch_size=2", "--steps_per_epoch=1", "--max_epochs=1")


@pytest.mark.slow
def test_a_training_starts_from_a_checkpoint(kept_stems_dir, tiny_checkpoint, tmp_path):
    interrupt = signal.getsignal(signal.SIGINT)
    result = run_here(
        TRAIN, f"--data_dir={kept_stems_dir}", *NETWORK, *ONE_STEP,
        "--learning_rate=1e-30", f"--init_from={tiny_checkpoint}",
        f"--workdir={tmp_path}/work",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert signal.getsignal(signal.SIGINT) is interrupt
    (record,) = map(json.loads, (tmp_path / "work/history.jsonl").open())
    assert result.stdout == (
        f"{tmp_path}/work/best: epoch 1 of 1 (1 steps), validation loss "
        f"{record['validation_loss']:.3e}\n"
    )
    for one, other in zip(
        checkpoint.load_network(tmp_path / "work" / "best").get_weights(),
        checkpoint.load_network(tiny_checkpoint).get_weights(),
    ):
        np.testing.assert_allclose(one, other, atol=1e-7)


@pytest.mark.slow
def test_without_validation_tracks_no_validation_loss_is_told(kept_stems_dir, tmp_path):
    shutil.copytree(kept_stems_dir / "train", tmp_path / "data" / "train")
    result = run_here(
        TRAIN, f"--data_dir={tmp_path}/data", *SMALL, *ONE_STEP,
        f"--workdir={tmp_path}/work",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    (record,) = map(json.loads, (tmp_path / "work/history.jsonl").open())
    assert record["validation_loss"] is None
    assert result.stdout.endswith(f"(1 steps), training loss {record['loss']:.3e}\n")


@pytest.mark.parametrize(
    ("arguments", "exit_code", "text"),
    [
        ("--init_from={tmp_path}/missing", 1, "a folder with config.json"),
        ("--init_from={checkpoint} --base_filters=5", 1, "=4 instead of 5"),
        ("--reinit_output", 2, "`reinit_output` needs `init_from`"),
        ("--batch_size=0", 2, "`batch_size` must be at least 1"),
        ("--fft_frames=64", 2, "`fft_frames`"),
        ("--loss=magnitude_l1", 1, "`loss` must be mse or l1 or sdr"),
        ("--strategy=mirrored", 1, "`strategy` mirrored needs GPUs"),
        ("--save_seconds=-1", 2, "save_seconds"),
        ("--data_dir={tmp_path}/no", 1, "{tmp_path}/no"),
        ("--data_weight=0", 2, "`data_weight` must be a number from 0.000001 to"),
        ("--data_weight=nan", 2, "must be a number. Received: nan"),
        ("--data_weight=1 --data_weight=2", 2, "2 weights for 1 folders"),
    ],
)
def test_bad_input_is_refused_in_one_line_and_leaves_nothing_behind(
    kept_stems_dir, tiny_checkpoint, tmp_path, arguments, exit_code, text
):
    names = {"tmp_path": tmp_path, "checkpoint": tiny_checkpoint}
    result = run_here(
        TRAIN, f"--data_dir={kept_stems_dir}", *NETWORK, *ONE_STEP,
        f"--workdir={tmp_path}/work", *arguments.format(**names).split(),
    )  # fmt: skip
    check_refusal(result, exit_code, text.format(**names))
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize(
    ("full", "size"),
    [(".", "64k"), pytest.param("tensorboard", "8k", marks=pytest.mark.slow)],
)
def test_a_full_disk_is_told_and_leaves_nothing_behind(
    kept_stems_dir, tmp_path, full, size
):
    """On a small file system; skipped where it may not be mounted."""
    workdir = tmp_path / "work"
    disk = workdir / full
    disk.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        result = run_here(
            TRAIN, f"--data_dir={kept_stems_dir}", f"--workdir={workdir}", *SMALL,
            "--batch_size=2", "--steps_per_epoch=1", "--max_epochs=3",
        )  # fmt: skip
        check_refusal(result, 1, "No space left on device")
        assert str(disk) in result.stderr
        assert not list(workdir.rglob("*part*"))
    finally:
        # Lazily: this process may still have TensorBoard's file open.
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.mark.slow
def test_ctrl_c_ends_a_training_with_one_line_and_the_same_command_goes_on(
    kept_stems_dir, tmp_path
):
    """And its last line tells the SDR, which is the score here."""
    words = (
        f"--data_dir={kept_stems_dir}", f"--workdir={tmp_path}/work", *SMALL,
        "--batch_size=2", "--steps_per_epoch=50", "--best_by=sdr",
    )  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", *TRAIN.split(), *words],
        cwd=ROOT, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not (tmp_path / "work").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert errors.endswith("which is saved; the same command goes on\n")
    (steps,) = re.findall("^interrupted after step ([0-9]+)", errors, re.MULTILINE)
    result = run_here(TRAIN, *words, "--max_epochs=1")
    assert result.returncode == 0, result.stderr
    assert f"going on after step {steps}" in result.stderr
    (record,) = map(json.loads, (tmp_path / "work/history.jsonl").open())
    mean = np.mean(list(record["validation_sdr_db"].values()))
    assert result.stdout.endswith(f"(50 steps), validation SDR {mean:.2f} dB\n")
