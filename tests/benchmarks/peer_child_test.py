import io
import json

import numpy as np
import pytest
import soundfile

from benchmarks import peer_child
from tests.examples.pretrained.spleeter_arrays import random_weights


def song(folder):
    """A second of noise, at another rate than Spleeter's, and where its stems go."""
    mixture = np.random.default_rng(0).uniform(-0.5, 0.5, (8000, 1)).astype("f")
    soundfile.write(folder / "mixture.wav", mixture, 8000, subtype="FLOAT")
    names = ("mixture", *peer_child.SOURCES)
    return mixture, {name: str(folder / f"{name}.wav") for name in names}


def test_a_job_separates_its_songs_in_order_and_tells_time_and_memory(
    tmp_path, monkeypatch, capsys
):
    calls = []

    def load(path):
        return lambda mixture, stems: calls.append((path, mixture, stems))

    songs = [
        {name: f"{name} {number}" for name in ("mixture", *peer_child.SOURCES)}
        for number in range(3)
    ]
    job = {"separator": "stub", "path": "network", "songs": songs}
    monkeypatch.setitem(peer_child.SEPARATORS, "stub", load)
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(job)))
    peer_child.main()
    told = json.loads(capsys.readouterr().out)
    assert [path for path, _, _ in calls] == ["network"] * 3
    assert [mixture for _, mixture, _ in calls] == [s["mixture"] for s in songs]
    assert calls[1][2] == {s: f"{s} 1" for s in ("accompaniment", "vocals")}
    assert len(told["ended"]) == 3 and sorted(told["ended"]) == told["ended"]
    assert 10 < told["peak_mib"] < 1e5


@pytest.mark.slow  # builds Spleeter's network
def test_spleeters_stems_add_up_to_the_mixture(tmp_path):
    mixture, files = song(tmp_path)
    separate = peer_child.load_spleeter(random_weights(tmp_path / "weights.npz"))
    separate(files.pop("mixture"), files)
    stems = {name: soundfile.read(path)[0] for name, path in files.items()}
    assert stems["vocals"].shape == (8000,)
    assert 0 < np.abs(stems["vocals"]).max()
    np.testing.assert_allclose(sum(stems.values()), mixture[:, 0], atol=1e-6)
