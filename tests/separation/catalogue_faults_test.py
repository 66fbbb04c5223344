"""What a catalogue's run survives: killed workers and clients, a full disk, a cable.

Each test starts the processes that an operator would start.
"""

import collections
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
import soundfile

from tests.separation.cluster_processes import Cluster
from waveunet_tf.separation.separator import load_separator
from waveunet_tf.separation.songs import SongOptions, separate_songs

pytest.importorskip("distributed", reason="needs requirements-dask.txt")
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("dask")]


@pytest.fixture
def cluster(tmp_path):
    with Cluster(tmp_path / "cluster") as cluster:
        yield cluster


@pytest.fixture
def songs(tmp_path):
    """Songs of some seconds, of which one is broken; `here` has the others' stems."""
    folder = tmp_path / "songs"
    folder.mkdir()
    for number in range(10):
        audio = np.random.default_rng(number).normal(0, 0.1, (44100 * 4, 2))
        soundfile.write(folder / f"{number}.wav", audio, 44100)
    whole = (folder / "0.wav").read_bytes()
    (folder / "broken.wav").write_bytes(whole[:100_000])
    options = SongOptions(output_dir=tmp_path / "here")
    assert len(separate_songs(folder, options, load_separator("vocals"))) == 1
    return folder


def errors_of(client, *, seconds=150):
    """Waits for a client that fails; returns the errors that it tells."""
    _, text = client.communicate(timeout=seconds)
    assert client.returncode == 1
    assert "Traceback" not in text
    return [line for line in text.splitlines() if line.startswith("error: ")]


def last_lines(folder):
    """Song → its last line in the ledger."""
    lines = map(json.loads, (folder / "ledger.jsonl").open())
    return {pathlib.Path(line["song"]).name: line for line in lines}


def check_all_is_done(folder, songs):
    """The same bytes as without a scheduler, and a ledger that says so."""
    expected = {path: path.read_bytes() for path in (folder / "here").rglob("*.wav")}
    for path, content in expected.items():
        stem = folder / "stems" / path.relative_to(folder / "here")
        assert stem.read_bytes() == content
    lines = last_lines(folder / "stems")
    assert set(lines) == {path.name for path in songs.iterdir()} - {"broken.wav"} | (
        {"broken.wav"} & set(lines)
    )
    for name, line in lines.items():
        bad = name == "broken.wav" or "poison" in name
        assert line["status"] == ("failed" if bad else "done"), line
        assert bad or all(
            pathlib.Path(stem).stat().st_size == size
            for stem, size in line["stems"].items()
        )


def test_random_kills_for_three_minutes_lose_nothing(cluster, songs, tmp_path):
    for number in range(10, 400):  # links to the same songs
        (songs / f"{number}.wav").hardlink_to(songs / f"{number % 10}.wav")
        here = tmp_path / "here" / str(number % 10)
        shutil.copytree(here, here.with_name(str(number)), copy_function=os.link)
    (songs / "poison.wav").write_bytes((songs / "0.wav").read_bytes())
    words = [songs, f"--output_dir={tmp_path}/stems"]
    for _ in range(2):
        cluster.add_worker()
    client = cluster.start_client(*words)
    generator, kills = random.Random(3), collections.Counter()
    until = time.monotonic() + 180
    while time.monotonic() < until and client.poll() is None:
        time.sleep(generator.uniform(1, 7))
        what = generator.choice(["worker", "worker", "nanny", "client"])
        kills[what] += 1
        if what == "client":
            client.kill()
            client.communicate()
            client = cluster.start_client(*words)
        else:
            number = generator.randrange(2)
            cluster.kill_worker(number, nanny=what == "nanny")
            if what == "nanny":
                cluster.workers[number] = cluster.add_worker()
                cluster.workers.pop()
    print(kills)
    first = errors_of(client, seconds=300)
    second = errors_of(cluster.start_client(*words), seconds=300)  # It sweeps.
    for failed in (first, second):
        assert len(failed) == 2, failed
        assert "broken.wav: must be a whole audio file" in failed[0]
        assert "poison.wav: " in failed[1] and "workers died of it" in failed[1]
    check_all_is_done(tmp_path, songs)
    assert list((tmp_path / "stems").rglob(".*")) == []


def test_a_full_disk_at_one_worker_costs_no_song(cluster, songs, tmp_path):
    cluster.add_worker()
    cluster.add_worker(limit_bytes=300_000)
    client = cluster.start_client(songs, f"--output_dir={tmp_path}/stems")
    (failed,) = errors_of(client)
    assert "broken.wav" in failed
    check_all_is_done(tmp_path, songs)


def test_a_disk_that_is_full_for_all_ends_the_run(cluster, songs, tmp_path):
    """Two songs fit. With more room the same command goes on."""
    stems = tmp_path / "stems"
    stems.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m", "waveunet-test", stems]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a disk of memory")
    try:
        for _ in range(2):
            cluster.add_worker()
        started = time.monotonic()
        failed = errors_of(cluster.start_client(songs, f"--output_dir={stems}"))
        assert time.monotonic() - started < 60
        assert len(failed) == 2 and "broken.wav" in failed[0]
        assert f"error: {stems}/" in failed[1]
        assert "No space left on device (on tcp://127.0.0.1:" in failed[1]
        lines = last_lines(stems)
        lines.pop("broken.wav", None)
        statuses = [line["status"] for line in lines.values()]
        assert 2 <= statuses.count("done") <= 4
        assert statuses.count("planned") == len(statuses) - statuses.count("done")
        subprocess.run(["mount", "-o", "remount,size=64m", stems], check=True)
        (failed,) = errors_of(cluster.start_client(songs, f"--output_dir={stems}"))
        assert "broken.wav" in failed
        check_all_is_done(tmp_path, songs)
    finally:
        subprocess.run(["umount", stems], check=True)


def test_two_clients_do_not_share_a_folder(cluster, songs, tmp_path):
    cluster.add_worker()
    first = cluster.start_client(songs, f"--output_dir={tmp_path}/stems")
    while not (tmp_path / "stems" / "ledger.jsonl").exists():
        assert first.poll() is None
        time.sleep(0.1)
    second = cluster.start_client(songs, f"--output_dir={tmp_path}/stems")
    _, errors = second.communicate(timeout=60)
    assert second.returncode == 1
    assert errors == f"error: {tmp_path}/stems: another run is at work in it\n"
    first.communicate(timeout=150)
    check_all_is_done(tmp_path, songs)


def test_a_scheduler_that_dies_ends_the_run_in_one_line(cluster, songs, tmp_path):
    cluster.add_worker()
    client = cluster.start_client(songs, f"--output_dir={tmp_path}/stems")
    client.stdout.readline()
    cluster._scheduler.send_signal(signal.SIGKILL)
    _, errors = client.communicate(timeout=120)
    assert client.returncode == 1
    assert "Traceback" not in errors
    assert errors.splitlines()[-1].startswith("error: ")
    assert "the scheduler does not answer any more" in errors
    with Cluster(tmp_path / "another") as another:
        another.add_worker()
        client = another.start_client(songs, f"--output_dir={tmp_path}/stems")
        _, errors = client.communicate(timeout=150)
        assert "songs are done already" in errors or "1 songs" in errors
    check_all_is_done(tmp_path, songs)


@pytest.fixture
def cable(tmp_path):
    """A network namespace with a cable to this one: how to run in it, and its name."""
    made = ["ip", "netns", "add", "waveunet-test"]
    try:
        refused = subprocess.run(made, capture_output=True, check=False).returncode
    except FileNotFoundError:
        pytest.skip("needs iproute2")
    if refused:
        pytest.skip("needs the right to make network namespaces")
    inside = ["ip", "netns", "exec", "waveunet-test"]
    try:
        for words in (
            "ip link add waveunet-a type veth peer name waveunet-b netns waveunet-test",
            "ip addr add 10.77.0.1/24 dev waveunet-a",
            "ip link set waveunet-a up",
            f"{' '.join(inside)} ip addr add 10.77.0.2/24 dev waveunet-b",
            f"{' '.join(inside)} ip link set waveunet-b up",
            f"{' '.join(inside)} ip link set lo up",
        ):
            if subprocess.run(words.split(), capture_output=True).returncode:
                pytest.skip(f"needs the right to do this: {words}")
        yield inside, "waveunet-a"
    finally:
        subprocess.run(["ip", "netns", "del", "waveunet-test"], check=False)


@pytest.mark.parametrize("seconds", [20, 60])
def test_a_cable_that_is_pulled_for_a_while_costs_no_song(
    cable, songs, tmp_path, seconds
):
    """Two hosts with a shared folder; dask gives a silent host up after 30 s."""
    inside, link = cable
    with Cluster(tmp_path / "cluster", host="10.77.0.1") as cluster:
        cluster.add_worker(host="10.77.0.1")
        cluster.add_worker(host="10.77.0.2", before=inside)
        client = cluster.start_client(songs, f"--output_dir={tmp_path}/stems")
        while True:  # until the other host has done a song
            assert client.poll() is None
            path = tmp_path / "stems" / "ledger.jsonl"
            if path.exists() and "10.77.0.2" in path.read_text():
                break
            time.sleep(0.2)
        subprocess.run(["ip", "link", "set", link, "down"], check=True)
        time.sleep(seconds)
        subprocess.run(["ip", "link", "set", link, "up"], check=True)
        _, errors = client.communicate(timeout=150)
    assert "Traceback" not in errors
    check_all_is_done(tmp_path, songs)
