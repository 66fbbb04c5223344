import numpy as np
import pytest
import soundfile

from tests.evaluate.report.report_songs import write_scores
from waveunet_tf.data.datasets import find_tracks
from waveunet_tf.errors import InputError
from waveunet_tf.evaluate import energies, systems
from waveunet_tf.evaluate.scores import METRICS, TrackScores


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
    errors = []
    result = systems.energies_by_system(
        {"ours": ours, "theirs": theirs},
        found,
        errors.append,
        stems={track.name: track for track in find_tracks(tmp_path / "stems")},
    )
    assert {name: list(tracks) for name, tracks in result.items()} == {
        "ours": ["a", "b"],
        "theirs": ["a", "b"],
    }
    assert list(result["ours"]["a"].estimate) == ["vocals"]
    assert result["theirs"]["a"].estimate == {}  # of another system's estimate
    np.testing.assert_allclose(result["theirs"]["b"].levels_db("vocals"), [-40, -40])
    (error,) = errors
    assert str(error).startswith(f"{ours}: ") and "of 1 tracks" in str(error)


def test_a_system_whose_energies_are_all_broken_takes_anothers(tmp_path):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder in (ours, theirs):
        folder.mkdir()
    (ours / f"a{energies.SUFFIX}").write_text("nothing to measure")
    write_energies(theirs, "a", 2)
    found = {name: {"a": scores_of("a", 2)} for name in ("ours", "theirs")}
    errors = []
    folders = {"ours": ours, "theirs": theirs}
    result = systems.energies_by_system(folders, found, errors.append)
    assert {name: list(tracks) for name, tracks in result.items()} == {
        "ours": ["a"],
        "theirs": ["a"],
    }
    (error,) = errors
    assert str(error).startswith(f"{ours / 'a'}{energies.SUFFIX}: ")


def test_stems_of_another_song_or_none_at_all_are_named(tmp_path):
    stems = tmp_path / "test" / "a"
    stems.mkdir(parents=True)
    (stems / "vocals.wav").write_bytes(b"nothing to hear")
    errors = []
    result = systems.energies_by_system(
        {"x": tmp_path},
        {"x": {"a": scores_of("a", 2)}},
        errors.append,
        stems={track.name: track for track in find_tracks(tmp_path)},
    )
    assert result == {"x": {}}
    assert len(errors) == 2 and "vocals.wav" in str(errors[0])


def test_scores_are_of_the_tracks_that_all_systems_have(tmp_path):
    for system, names in (("x", "abc"), ("y", "bcd")):
        for name in names:
            write_scores(tmp_path / system, name, {"vocals": [1.0]})
    (tmp_path / "y" / "test" / "c.json").write_text("{}")
    errors = []
    folders = {name: tmp_path / name for name in ("x", "y", "z")}
    found = systems.read_scores(folders, errors.append)
    assert {name: list(tracks) for name, tracks in found.items()} == {
        "x": ["b"],
        "y": ["b"],
    }
    texts = [str(error) for error in errors]
    assert len(texts) == 4 and "c.json: must be museval's JSON" in texts[0]
    assert f"{tmp_path}/z: must be a folder" in texts[1]
    assert texts[2] == f"{tmp_path}/x: tracks must be in all systems; left out: a, c"
    assert texts[3] == f"{tmp_path}/y: tracks must be in all systems; left out: d"


def test_systems_without_a_score_or_a_common_track_are_refused(tmp_path):
    for system, name in (("x", "a"), ("y", "b")):
        write_scores(tmp_path / system, name, {"vocals": [1.0]})
    with pytest.raises(InputError, match="x, y: must have a track in common"):
        systems.read_scores({n: tmp_path / n for n in "xy"}, pytest.fail)
    with pytest.raises(InputError, match="p, q: must have scores, but none has"):
        systems.read_scores({n: tmp_path / n for n in "pq"}, lambda _: None)
    with pytest.raises(InputError, match="p: must be a folder of museval's JSON"):
        systems.read_scores({"p": tmp_path / "p"}, pytest.fail)


def test_without_energies_and_stems_all_systems_go_without_and_one_warning_says_so(
    tmp_path, caplog
):
    found = {"x": {"a": scores_of("a", 2)}, "y": {"a": scores_of("a", 2)}}
    folders = {"x": tmp_path, "y": tmp_path}
    with caplog.at_level("WARNING", logger="absl"):
        none = systems.energies_if_any(folders, found, pytest.fail)
    assert none == {"x": {}, "y": {}}
    assert len(caplog.records) == 1
    errors = []
    systems.energies_if_any(folders, found, errors.append, stems={})
    assert len(errors) == 2 and "--data_dir" in str(errors[0])


def test_energies_of_one_system_are_enough_for_both(tmp_path):
    found = {"x": {"a": scores_of("a", 2)}, "y": {"a": scores_of("a", 2)}}
    folders = {"x": tmp_path / "x", "y": tmp_path / "y"}
    for folder in folders.values():
        folder.mkdir()
    write_energies(folders["y"], "a", 2)
    measured = systems.energies_if_any(folders, found, pytest.fail)
    np.testing.assert_allclose(measured["x"]["a"].levels_db("vocals"), [-20, -20])
    assert measured["y"]["a"].estimate


def test_energies_without_one_of_the_scored_sources_do_not_fit(tmp_path):
    write_energies(tmp_path, "a", 2, source="drums")
    errors = []
    scored = {"x": {"a": scores_of("a", 2, source="vocals")}}
    measured = systems.energies_by_system({"x": tmp_path}, scored, errors.append)
    assert measured == {"x": {}}
    assert "of 1 tracks there are none, such as a" in str(errors[0])
