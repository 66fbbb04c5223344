import json
import pathlib
import subprocess
import time

import numpy as np
import pytest
import soundfile

from benchmarks import peer_measurements
from benchmarks.peer_measurements import Cost, Peer, Songs
from waveunet_tf.data.datasets import find_tracks
from waveunet_tf.errors import InputError

OURS = Peer("ours", peer_measurements.OURS, pathlib.Path("network"), 1)
THEIRS = Peer("theirs", "spleeter", pathlib.Path("weights.npz"), 2)


@pytest.fixture
def songs(stems_dir, tmp_path):
    """Two tracks of half a second and less, and a song of three seconds."""
    (tmp_path / "songs").mkdir()
    return Songs(tmp_path / "songs", find_tracks(stems_dir, subsets=("train",)), 3)


def test_songs_are_the_mixtures_and_a_longer_one_of_them_end_to_end(songs, stems_dir):
    parts = []
    for track, path in songs.mixtures:
        mixture, rate_hz = soundfile.read(path)
        stems = [
            soundfile.read(stems_dir / track.label / f"{source}.wav")[0]
            for source in ("accompaniment", "vocals")
        ]
        assert rate_hz == 8000
        np.testing.assert_allclose(mixture, sum(stems), atol=1e-6)
        parts.append(soundfile.read(path)[0])
    assert [track.name for track, _ in songs.mixtures] == ["one", "two"]
    song, rate_hz = soundfile.read(songs.long)
    assert song.shape == (3 * 44100, 2) and rate_hz == 44100
    frames = sum(len(part) * 441 // 80 + 1 for part in parts)
    # It begins anew after the last mixture, and is repeated until it is long enough.
    period = next(n for n in range(frames - 3, frames + 3) if song[n, 0] == song[0, 0])
    np.testing.assert_array_equal(song[period:], song[:-period])


def test_peers_work_in_turn_and_their_best_times_and_highest_memory_count(
    songs, tmp_path, monkeypatch
):
    jobs = []

    def run(command, *, input, **_):
        job = json.loads(input)
        jobs.append((job["separator"], [song["mixture"] for song in job["songs"]]))
        slower = len(jobs)  # each process is slower than the one before, and larger
        now = time.monotonic()
        ended = [now + slower + 10 * number for number in range(len(job["songs"]))]
        ended[-1] -= 4  # the second time it is faster
        told = json.dumps({"ended": ended, "peak_mib": 100 * slower})
        return subprocess.CompletedProcess(command, 0, f"other output\n{told}\n", "")

    monkeypatch.setattr(subprocess, "run", run)
    estimates = tmp_path / "estimates"
    costs = peer_measurements.measure_peers([OURS, THEIRS], songs, estimates, 2)
    one, two = (str(path) for _, path in songs.mixtures)
    long = str(songs.long)
    assert jobs == [
        ("wave_u_net", [one, two, long, long]),
        ("spleeter", [one, two, long, long]),
        ("wave_u_net", [one, long, long]),
        ("spleeter", [one, long, long]),
    ]
    assert costs["ours"].factor == pytest.approx(6 / 3)
    assert costs["ours"].first_seconds == pytest.approx(1, abs=0.3)
    assert costs["theirs"].first_seconds == pytest.approx(2, abs=0.3)
    assert (costs["ours"].peak_mib, costs["theirs"].peak_mib) == (300, 400)
    assert (estimates / "theirs" / "train" / "two").is_dir()


def test_a_separator_that_fails_is_named_with_its_last_line(
    songs, tmp_path, monkeypatch
):
    failed = subprocess.CompletedProcess([], 1, "", "warning: a\nerror: no weights\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(InputError, match="theirs: its process failed: no weights"):
        peer_measurements.measure_peers([THEIRS], songs, tmp_path / "estimates", 1)


def test_the_best_of_two_costs_takes_the_shorter_times_and_the_higher_memory():
    assert Cost(1, 4, 5).best(Cost(2, 3, 6)) == Cost(1, 3, 6)
