import dataclasses

import numpy as np
import soundfile

from evaluate import energies, levels, systems
from evaluate.scores import METRICS, TrackScores
from waveunet_tf.data.datasets import find_tracks


def scores_of(name, frames, source="vocals"):
    values = dict.fromkeys(METRICS, np.arange(float(frames)))
    return TrackScores(name, np.arange(float(frames)), {source: values})


def write_energies(folder, name, seconds, source="vocals"):
    stem = {source: np.full((1000 * seconds, 1), 0.1)}
    measured = energies.measure_energies(name, stem, stem, 1000)
    energies.write_track_energies(folder / f"{name}{energies.SUFFIX}", measured)


def test_energies_are_a_systems_own_or_anothers_or_the_stems(tmp_path):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder in (ours, theirs):
        folder.mkdir()
    write_energies(ours, "a", 2)
    write_energies(theirs, "b", 3)  # of another length than the scores
    stems = tmp_path / "stems" / "test" / "b"
    stems.mkdir(parents=True)
    soundfile.write(stems / "vocals.wav", np.full(2000, 0.01), 1000, subtype="FLOAT")
    found = {
        "ours": {name: scores_of(name, 2) for name in "abc"},
        "theirs": {name: scores_of(name, 2) for name in "ab"},
    }
    told = []
    came = systems.energies_by_system(
        {"ours": ours, "theirs": theirs},
        found,
        told.append,
        stems={track.name: track for track in find_tracks(tmp_path / "stems")},
    )
    assert {name: list(tracks) for name, tracks in came.items()} == {
        "ours": ["a", "b"],
        "theirs": ["a", "b"],
    }
    assert list(came["ours"]["a"].estimate) == ["vocals"]
    assert came["theirs"]["a"].estimate == {}  # of another system's estimate
    np.testing.assert_allclose(came["theirs"]["b"].levels_db("vocals"), [-40, -40])
    (error,) = told
    assert str(error).startswith(f"{ours}: ") and "of 1 tracks" in str(error)


def test_stems_of_another_song_or_none_at_all_are_told(tmp_path):
    stems = tmp_path / "test" / "a"
    stems.mkdir(parents=True)
    (stems / "vocals.wav").write_bytes(b"nothing to hear")
    told = []
    came = systems.energies_by_system(
        {"x": tmp_path},
        {"x": {"a": scores_of("a", 2)}},
        told.append,
        stems={track.name: track for track in find_tracks(tmp_path)},
    )
    assert came == {"x": {}}
    assert len(told) == 2 and "vocals.wav" in str(told[0])


def test_rows_by_level_are_of_each_system_metric_and_source():
    stem = {"vocals": np.repeat([[0.1], [0.1], [0.001]], 1000, axis=0)}
    measured = energies.measure_energies("a", stem, stem, 1000)
    tracks = {"a": scores_of("a", 3)}
    nothing = dataclasses.replace(tracks["a"], name="b")
    rows = levels.level_rows(
        {"x": {**tracks, "b": nothing}},
        {"x": {"a": measured}},
        ["SDR", "SAR"],
        bin_db=15,
    )
    assert [
        tuple(row[column] for column in levels.LEVEL_COLUMNS[:7]) for row in rows
    ] == [
        ("x", "vocals", "SDR", -60, -45, 1, 2),
        ("x", "vocals", "SDR", -30, -15, 2, 0.5),
        ("x", "vocals", "SAR", -60, -45, 1, 2),
        ("x", "vocals", "SAR", -30, -15, 2, 0.5),
    ]
