"""`train` as a user runs it."""

import json
import re
import signal
import subprocess
import sys
import time

import pytest

from tests.command_line import ROOT, TRAIN, check_refusal, run


def test_a_training_starts_from_a_checkpoint(stems_dir, tiny_checkpoint, tmp_path):
    flags = [
        f"--data_dir={stems_dir}", "--num_levels=3", "--base_filters=4",
        "--sample_rate_hz=8000", "--output_frames=256", "--batch_size=2",
        "--steps_per_epoch=1", "--max_epochs=1", "--learning_rate=1e-30",
    ]  # fmt: skip
    losses = []
    for name, more in {"a": [], "b": [f"--init_from={tiny_checkpoint}"]}.items():
        result = run(TRAIN, *flags, f"--workdir={tmp_path}/{name}", *more)
        assert result.returncode == 0, result.stderr
        history = (tmp_path / name / "history.jsonl").read_text()
        losses.append(json.loads(history)["loss"])
    assert losses[0] != losses[1]
    for more, text in {
        f"--init_from={tmp_path}/missing": "a folder with config.json",
        f"--init_from={tiny_checkpoint} --base_filters=5": "=4 instead of 5",
    }.items():
        result = run(TRAIN, *flags, f"--workdir={tmp_path}/c", *more.split())
        check_refusal(result, 1, text)
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(("full", "size"), [(".", "64k"), ("tensorboard", "8k")])
def test_a_full_disk_is_told_and_leaves_nothing_behind(stems_dir, tmp_path, full, size):
    """On a small file system; skipped where it may not be mounted."""
    workdir = tmp_path / "work"
    disk = workdir / full
    disk.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        result = run(
            TRAIN, f"--data_dir={stems_dir}", f"--workdir={workdir}",
            "--num_levels=3", "--base_filters=4", "--sample_rate_hz=8000",
            "--output_frames=256", "--steps_per_epoch=1", "--max_epochs=3",
        )  # fmt: skip
        check_refusal(result, 1, "No space left on device")
        assert str(disk) in result.stderr
        assert not list(workdir.rglob("*part*"))
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_ctrl_c_ends_a_training_with_one_line(stems_dir, tmp_path):
    process = subprocess.Popen(
        [
            sys.executable, "-m", *TRAIN.split(), f"--data_dir={stems_dir}",
            f"--workdir={tmp_path}/work", "--num_levels=3", "--base_filters=4",
            "--sample_rate_hz=8000", "--output_frames=256", "--steps_per_epoch=2",
        ],
        cwd=ROOT, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    best = tmp_path / "work" / "best" / "config.json"
    deadline = time.monotonic() + 60
    while not best.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert errors.endswith("which is saved; the same command goes on\n")
    assert re.search("^interrupted after step ", errors, re.MULTILINE)
    assert best.exists()
