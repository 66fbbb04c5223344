import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.command_line import run_python
from tests.conftest import ROOT
from tests.training.trainings import MINI, MINI_U7, QUICK, history, run
from waveunet_tf.checkpoints import checkpoint
from waveunet_tf.configs.training import ComputeConfig
from waveunet_tf.errors import InputError
from waveunet_tf.networks.build import build_network
from waveunet_tf.system import gpus
from waveunet_tf.training.checks import next_batch
from waveunet_tf.training.devices import (
    Devices,
    require_agreement,
    set_up_devices,
    share_weights,
)


def start(
    data_dir,
    workdir,
    cpus=1,
    environment=None,
    training=None,
    levels=0,
    ahead=1,
    calls=0,
    **compute,
):
    """Starts tests/training/training_process.py."""
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.training.training_process"),
            *(str(data_dir), str(workdir), str(cpus)),
            *(json.dumps(compute), json.dumps(training or {})),
            *map(str, (levels, ahead, calls)),
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


def start_workers(data_dir, workdir, count=2, calls=(0, 0), last_dir=None, **fields):
    """Starts the processes of a cluster here; the last one may have other data."""
    data_dirs = [data_dir] * (count - 1) + [last_dir or data_dir]
    sockets = [socket.create_server(("localhost", 0)) for _ in range(count)]
    addresses = [f"localhost:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()
    return [
        start(
            data_dirs[index],
            workdir,
            environment={"TF_CONFIG": json.dumps(task_of(addresses, index))},
            strategy="multiworker",
            calls=calls[index],
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
    records = history(workdir)
    for record in records:
        del record["seconds"]
        record.update(record.pop("validation_sdr_db"))
    return records, checkpoint.load_network(workdir / "best").get_weights()


def check_equal(workdir, other_workdir, tolerance=1e-5):
    (records, weights), (others, expected) = result(workdir), result(other_workdir)
    assert len(records) == len(others)
    for one, other in zip(records, others):
        assert one == pytest.approx(other, rel=tolerance)
    for one, other in zip(weights, expected):
        np.testing.assert_allclose(one, other, atol=tolerance)


@pytest.mark.slow
def test_parts_of_a_batch_give_what_the_whole_gives(
    kept_stems_dir, tmp_path, finished_dir
):
    compute = ComputeConfig(accumulate_steps=2)
    run(MINI, QUICK, kept_stems_dir, tmp_path / "work", compute=compute)
    check_equal(tmp_path / "work", finished_dir)


@pytest.mark.parametrize(
    "fields",
    [
        {"num_threads": 1, "ahead": 2},
        pytest.param(
            {"accumulate_steps": 2, "jit_compile": True}, marks=pytest.mark.slow
        ),
    ],
)
def test_several_devices_give_what_one_gives(
    kept_stems_dir, tmp_path, finished_dir, fields
):
    finish(start(kept_stems_dir, tmp_path / "work", 2, strategy="mirrored", **fields))
    check_equal(tmp_path / "work", finished_dir)


@pytest.mark.slow
def test_two_workers_give_what_one_gives(kept_stems_dir, tmp_path, finished_dir):
    finish(*start_workers(kept_stems_dir, tmp_path / "two"))
    check_equal(tmp_path / "two", finished_dir)


@pytest.mark.slow
def test_workers_that_run_ahead_stop_after_the_same_step(
    kept_stems_dir, tmp_path, finished_dir
):
    """The second worker is asked to stop before its first step, with two at once."""
    fields = {"ahead": 2}
    workers = start_workers(kept_stems_dir, tmp_path / "two", calls=(0, 1), **fields)
    for process in workers:
        output, _ = process.communicate(timeout=240)
        assert "Stopped: after step 2, which is saved" in output
    finish(*start_workers(kept_stems_dir, tmp_path / "two", **fields))
    check_equal(tmp_path / "two", finished_dir)


# A worker alone, which tells whether Python still hears that it should stop.
LISTENER = """
import os, signal
from waveunet_tf.configs.training import ComputeConfig
from waveunet_tf.training.devices import set_up_devices
signal.signal(signal.SIGTERM, lambda *_: print("heard"))
set_up_devices(ComputeConfig(strategy="multiworker"))
os.kill(os.getpid(), signal.SIGTERM)
"""


def listen(address):
    """Runs LISTENER as the only worker of a cluster."""
    return run_python("-c", LISTENER, TF_CONFIG=json.dumps(task_of([address], 0)))


@pytest.mark.slow
def test_a_worker_hears_sigterm_although_tensorflow_catches_it():
    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    assert listen(f"localhost:{port}").stdout == "heard\n"


@pytest.mark.slow
def test_ctrl_c_ends_a_worker_that_waits_for_another():
    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    task = task_of([f"localhost:{port}", "localhost:9"], 0)
    process = subprocess.Popen(
        [sys.executable, "-c", LISTENER],
        cwd=ROOT,
        env={**os.environ, "TF_CONFIG": json.dumps(task)},
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stderr:
        if "successfully connected" in line:  # to itself, and to nobody else
            break
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == -signal.SIGINT


@pytest.mark.slow
def test_a_port_that_is_in_use_is_told_so():
    with socket.create_server(("", 0)) as used:
        address = f"localhost:{used.getsockname()[1]}"
        errors = listen(address).stderr
    assert f"InputError: {address}: must be a free port of this machine" in errors


# Without dropout, whose masks depend on how a batch is split.
NORMALISED = dataclasses.replace(MINI_U7, num_levels=1)


@pytest.mark.slow
def test_batches_are_normalised_over_all_devices(kept_stems_dir, tmp_path):
    run(NORMALISED, QUICK, kept_stems_dir, tmp_path / "one")
    finish(start(kept_stems_dir, tmp_path / "two", 2, strategy="mirrored", levels=1))
    check_equal(tmp_path / "two", tmp_path / "one")


@pytest.mark.slow
def test_batches_are_normalised_over_all_workers(kept_stems_dir, tmp_path):
    run(NORMALISED, QUICK, kept_stems_dir, tmp_path / "one")
    finish(*start_workers(kept_stems_dir, tmp_path / "two", levels=1))
    check_equal(tmp_path / "two", tmp_path / "one")


@pytest.mark.slow
def test_a_killed_worker_comes_back_and_the_training_goes_on(stems_dir, tmp_path):
    fields = {"training": {"steps_per_epoch": 40, "max_epochs": 3}}
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
    check_equal(tmp_path / "two", tmp_path / "one")


@pytest.mark.slow
def test_a_worker_that_fails_before_the_first_step_ends_the_others(stems_dir, tmp_path):
    none = tmp_path / "none"
    chief, other = start_workers(stems_dir, tmp_path / "work", last_dir=none)
    output, _ = other.communicate(timeout=240)
    assert f"{none}: must be a folder of tracks" in output
    output, _ = chief.communicate(timeout=240)
    assert output.splitlines()[-1].endswith(
        "started again, all go on from the last state"
    )


@pytest.mark.slow
def test_a_lost_training_goes_back_on_any_devices(kept_stems_dir, tmp_path):
    """At a rate far too high, three times and to its end, with one device's history."""
    training = {"learning_rate": 30.0, "steps_per_epoch": 40}
    runs = {
        "one": [start(kept_stems_dir, tmp_path / "one", training=training)],
        "parts": [
            start(
                *(kept_stems_dir, tmp_path / "parts"),
                training=training,
                accumulate_steps=2,
            )
        ],
        "mirrored": [
            start(
                *(kept_stems_dir, tmp_path / "mirrored", 2),
                training=training,
                strategy="mirrored",
            )
        ],
        "workers": start_workers(
            kept_stems_dir, tmp_path / "workers", training=training
        ),
    }
    told = {}
    for name, processes in runs.items():
        for process in processes:
            output, _ = process.communicate(timeout=240)
            assert process.returncode == 1, output
            assert "InputError: At least half of the output's samples" in output
        told[name] = history(tmp_path / name)
        assert [record["learning_rate"] for record in told[name]] == [15, 7.5, 3.75]
    steps = {name: [record["step"] for record in told[name]] for name in told}
    assert all(numbers == steps["one"] for numbers in steps.values()), steps


def check_nearly_the_same(workdir, finished_dir):
    records, weights = result(workdir)
    for one, other in zip(records, history(finished_dir)):
        assert one["validation_loss"] == pytest.approx(
            other["validation_loss"], rel=0.02
        )
    assert {weight.dtype for weight in weights} == {np.dtype(np.float32)}
    assert keras.config.dtype_policy().name == "float32"  # as before


@pytest.mark.slow
def test_float16_learns_nearly_the_same(float16_dir, finished_dir):
    check_nearly_the_same(float16_dir, finished_dir)


@pytest.mark.slow
def test_bfloat16_learns_nearly_the_same(kept_stems_dir, tmp_path, finished_dir):
    compute = ComputeConfig(precision="mixed_bfloat16")
    run(MINI, QUICK, kept_stems_dir, tmp_path / "work", compute=compute)
    check_nearly_the_same(tmp_path / "work", finished_dir)


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


def test_a_gpu_that_is_missing_for_a_driver_too_old_is_told_so(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(gpus, "driver_version", lambda: "390.157")
    with pytest.raises(InputError, match="390.157 is too old for CUDA .*: install"):
        set_up_devices(ComputeConfig(device="gpu"))


def test_threads_cannot_be_set_once_tensorflow_has_computed():
    tf.constant(1.0)
    with pytest.raises(InputError, match="must be set before TensorFlow is used"):
        set_up_devices(ComputeConfig(num_threads=3))


def test_one_device_is_the_chief_and_has_the_whole_batch():
    devices = set_up_devices(ComputeConfig())
    assert (devices.is_chief, devices.replicas, devices.kind) == (True, 1, "CPU")
    asked = []

    def make(worker, workers, batch_size):
        asked.append((worker, workers, batch_size))
        return tf.data.Dataset.range(12).batch(batch_size).repeat()

    batches = devices.distribute(make, 4)
    assert asked == [(0, 1, 4)]
    first = [next(batches).numpy().tolist() for _ in range(4)]
    assert first == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [0, 1, 2, 3]]


def test_batches_that_are_copied_ahead_are_the_same_and_so_are_their_errors():
    def make(worker, workers, batch_size):
        def checked(number):
            tf.debugging.assert_less(number, tf.constant(8, tf.int64), "no such file")
            return tf.cast(number, tf.int16), {"a": tf.cast(number, tf.float32)}

        return tf.data.Dataset.range(12).map(checked).batch(batch_size).repeat()

    strategy = tf.distribute.get_strategy()
    batches = Devices(strategy, prefetched_to="CPU:0").distribute(make, 4)
    for first in (0, 4):
        numbers, named = next_batch(batches, "excerpts")
        assert numbers.numpy().tolist() == list(range(first, first + 4))
        assert numbers.dtype == tf.int16
        assert named["a"].numpy().tolist() == numbers.numpy().tolist()
    with pytest.raises(InputError, match="excerpts must be readable: .*no such file"):
        next_batch(batches, "excerpts")


class OtherWorker(Devices):
    """Devices of two workers, of which the other one has the numbers `others`."""

    others: list

    def mean_of_workers(self, values):
        return np.mean([values, self.others], axis=0).tolist()


def test_workers_that_differ_are_refused():
    numbers = []

    class Recorder(Devices):
        def mean_of_workers(self, values):
            numbers.append(values)
            return values

    strategy = tf.distribute.get_strategy()
    require_agreement(Recorder(strategy, 0, 2), "the same flags", 1, "a")
    other = OtherWorker(strategy, 1, 2)
    object.__setattr__(other, "others", numbers[0])
    require_agreement(other, "the same flags", 1, "a")
    with pytest.raises(InputError, match="All workers must have the same flags"):
        require_agreement(other, "the same flags", 2, "a")


def test_workers_share_the_weights_that_each_computed_by_itself():
    network = build_network(MINI)
    mine = network.get_weights()
    other = OtherWorker(tf.distribute.get_strategy(), 1, 2)
    theirs = [weight + 0.5 for weight in mine]
    flat = np.concatenate([weight.ravel() for weight in theirs])
    object.__setattr__(other, "others", flat.tolist())
    share_weights(other, network)
    for weight, one in zip(network.get_weights(), mine):
        np.testing.assert_allclose(weight, one + 0.25, atol=1e-6)
    share_weights(Devices(tf.distribute.get_strategy()), network)  # of one: as it is
    np.testing.assert_allclose(network.get_weights()[0], mine[0] + 0.25, atol=1e-6)


@pytest.mark.slow
def test_two_workers_begin_with_the_same_scaled_weights(kept_stems_dir, tmp_path):
    fields = {"training": {"first_weights": "unit_variance"}}
    finish(start(kept_stems_dir, tmp_path / "one", **fields))
    finish(*start_workers(kept_stems_dir, tmp_path / "two", **fields))
    check_equal(tmp_path / "two", tmp_path / "one")


def test_the_mean_over_one_device_is_the_value():
    devices = Devices(tf.distribute.get_strategy())
    assert devices.mean_of_workers([1.5, 2.0**40 + 1]) == [1.5, 2.0**40 + 1]
