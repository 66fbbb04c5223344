import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.conftest import ROOT
from waveunet_tf.checkpoints import checkpoint
from waveunet_tf.configs.training import ComputeConfig
from waveunet_tf.errors import InputError
from waveunet_tf.training.devices import set_up_devices


def start(data_dir, workdir, cpus=1, environment=None, **fields):
    """Starts tests/training_process.py."""
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.training.training_process"),
            *(str(data_dir), str(workdir), str(cpus), json.dumps(fields)),
        ],
        cwd=ROOT,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(*processes):
    for process in processes:
        output, _ = process.communicate(timeout=240)
        assert process.returncode == 0, output


def start_workers(data_dir, workdir, count=2, **fields):
    """Starts the processes of a cluster on this machine."""
    sockets = [socket.create_server(("localhost", 0)) for _ in range(count)]
    addresses = [f"localhost:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()
    return [
        start(
            data_dir,
            workdir,
            environment={"TF_CONFIG": json.dumps(task_of(addresses, index))},
            strategy="multiworker",
            **fields,
        )
        for index in range(count)
    ]


def task_of(addresses, index):
    return {
        "cluster": {"worker": addresses},
        "task": {"type": "worker", "index": index},
    }


def result(workdir):
    """The history without its seconds, and the best weights."""
    records = []
    for line in (workdir / "history.jsonl").read_text().splitlines():
        record = json.loads(line)
        del record["seconds"]
        record.update(record.pop("validation_sdr_db"))
        records.append(record)
    return records, checkpoint.load_network(workdir / "best").get_weights()


def check_equal(came, expected, tolerance=1e-5):
    assert len(came[0]) == len(expected[0])
    for one, other in zip(came[0], expected[0]):
        assert one == pytest.approx(other, rel=tolerance)
    for one, other in zip(came[1], expected[1]):
        np.testing.assert_allclose(one, other, atol=tolerance)


@pytest.fixture(scope="module")
def of_one_device(kept_stems_dir, tmp_path_factory):
    """What one device gives."""
    workdir = tmp_path_factory.mktemp("one") / "work"
    finish(start(kept_stems_dir, workdir))
    return result(workdir)


@pytest.mark.parametrize(
    "fields",
    [
        {"cpus": 2, "strategy": "mirrored"},
        {"accumulate_steps": 2, "num_threads": 1},
        pytest.param(
            {
                **{"cpus": 2, "strategy": "mirrored"},
                **{"accumulate_steps": 2, "jit_compile": True},
            },
            marks=pytest.mark.slow,
        ),
    ],
)
def test_several_devices_and_parts_give_what_one_device_gives(
    stems_dir, tmp_path, of_one_device, fields
):
    finish(start(stems_dir, tmp_path / "work", **fields))
    check_equal(result(tmp_path / "work"), of_one_device)


def test_two_workers_give_what_one_gives(stems_dir, tmp_path, of_one_device):
    finish(*start_workers(stems_dir, tmp_path / "two"))
    check_equal(result(tmp_path / "two"), of_one_device)


@pytest.mark.slow
def test_a_killed_worker_comes_back_and_the_training_goes_on(stems_dir, tmp_path):
    fields = {"training": {"steps_per_epoch": 40}}
    finish(start(stems_dir, tmp_path / "one", **fields))
    chief, other = start_workers(stems_dir, tmp_path / "two", **fields)
    until = time.monotonic() + 120
    while not (tmp_path / "two" / "history.jsonl").exists():
        assert time.monotonic() < until
        time.sleep(0.05)
    other.send_signal(signal.SIGKILL)
    output, _ = chief.communicate(timeout=240)
    assert chief.returncode != 0, output
    other.wait()
    finish(*start_workers(stems_dir, tmp_path / "two", **fields))
    check_equal(result(tmp_path / "two"), result(tmp_path / "one"))


@pytest.mark.parametrize(
    "precision",
    [pytest.param("mixed_bfloat16", marks=pytest.mark.slow), "mixed_float16"],
)
def test_mixed_precision_learns_nearly_the_same(
    stems_dir, tmp_path, of_one_device, precision
):
    finish(start(stems_dir, tmp_path / "mixed", precision=precision))
    came, weights = result(tmp_path / "mixed")
    expected, _ = of_one_device
    for one, other in zip(came, expected):
        assert one["validation_loss"] == pytest.approx(
            other["validation_loss"], rel=0.02
        )
    assert {weight.dtype for weight in weights} == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "needs the variable TF_CONFIG"),
        ("{", "JSONDecodeError"),
        ('{"cluster": {"worker": ["a:1"]}}', "KeyError: 'task'"),
        (json.dumps(task_of(["a:1", "b:1"], 2)), "there is no worker 2"),
        (json.dumps(task_of([1], 0)), "an address is not a text"),
    ],
)
def test_a_wrong_cluster_is_refused(monkeypatch, text, reason):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if text is not None:
        monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(InputError, match=reason):
        set_up_devices(ComputeConfig(strategy="multiworker"))


def test_missing_gpus_are_refused():
    with pytest.raises(InputError, match="`device` is gpu, but TensorFlow finds none"):
        set_up_devices(ComputeConfig(device="gpu"))
    with pytest.raises(InputError, match="`strategy` mirrored needs GPUs"):
        set_up_devices(ComputeConfig(strategy="mirrored"))
