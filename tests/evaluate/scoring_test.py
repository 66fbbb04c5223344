"""Scores of tracks: those of museval, and what costs a track its scores."""

import dataclasses
import math
import types

import numpy as np
import pytest
import soundfile
import threadpoolctl

from tests.audio import planted_decoders
from tests.data.stems import contents
from tests.evaluate.short_tracks import HALVES, MIXTURE, RATE_HZ, noise, write_stems
from waveunet_tf.audio import decoder_child
from waveunet_tf.data.datasets import find_tracks
from waveunet_tf.data.estimates import Estimates
from waveunet_tf.data.sigsep import import_sigsep
from waveunet_tf.errors import InputError
from waveunet_tf.evaluate import energies, scores, scoring, true_stems
from waveunet_tf.evaluate.estimators import OracleEstimator


def test_scores_are_to_the_byte_what_museval_writes(data, estimates, tmp_path):
    tracks = find_tracks(data)[:2]
    assert not scoring.score_tracks(tracks, estimates, tmp_path / "scores")
    museval = import_sigsep("museval")
    for track in tracks:
        true, _ = track.read(HALVES)
        true = {name: np.asarray(stem, np.float64) for name, stem in true.items()}
        theirs = types.SimpleNamespace(
            name=track.name,
            subset="test",
            rate=RATE_HZ,
            targets={
                name: types.SimpleNamespace(audio=true[name])
                for name in ("vocals", "accompaniment")
            },
        )
        result = {
            name: soundfile.read(
                tmp_path / "estimates" / "test" / track.name / f"{name}.wav",
                always_2d=True,
            )[0]
            for name in HALVES
        }
        museval.eval_mus_track(theirs, result, output_dir=str(tmp_path / "theirs"))
    ours, theirs = (contents(tmp_path / name) for name in ("scores", "theirs"))
    assert {name: ours[name] for name in theirs} == theirs
    assert sorted(theirs) == ["test/a.json", "test/b.json"]
    beside = {"scored.yaml", *(f"test/{name}.energies.csv" for name in "ab")}
    assert set(ours) == beside | set(theirs)


def test_music_scores_as_museval_scores_it(shared_data, tmp_path):
    """Estimates that are neither perfect nor the mixture, of a real track in mono."""
    root = shared_data / "musdb18-7s"
    stereo = true_stems.read_true_stems(find_tracks(root, subsets=("test",))[1], HALVES)
    folder = tmp_path / "data" / "test" / "music"
    folder.mkdir(parents=True)
    for name, stem in stereo.sources.items():
        mono = stem.mean(axis=1)
        soundfile.write(folder / f"{name}.wav", mono, stereo.sample_rate_hz)
    (track,) = find_tracks(tmp_path / "data")
    true = true_stems.read_true_stems(track, HALVES)
    oracle = OracleEstimator(HALVES)
    assert not scoring.score_tracks([track], oracle, tmp_path)
    estimates = oracle.estimate(track, true)
    store = import_sigsep("museval").eval_mus_track(
        types.SimpleNamespace(
            name=track.name,
            rate=true.sample_rate_hz,
            targets={
                name: types.SimpleNamespace(audio=np.asarray(stem, np.float64))
                for name, stem in sorted(true.sources.items(), reverse=True)
            },
        ),
        {name: np.asarray(stem, np.float64) for name, stem in estimates.items()},
    )
    assert (tmp_path / "test" / f"{track.name}.json").read_text() == store.json


def test_energies_lie_beside_the_scores(data, tmp_path):
    scoring.score_tracks(find_tracks(data)[:2], MIXTURE, tmp_path)
    for name, track in energies.read_system_energies(tmp_path).items():
        assert track.frames == len(scores.read_system(tmp_path)[name].times) == 2
        # What is wrong with the mixture as the vocals is the accompaniment.
        np.testing.assert_allclose(
            track.error["vocals"], track.reference["accompaniment"], rtol=1e-4
        )


@pytest.mark.slow
def test_processes_write_the_same_bytes(data, estimates, tmp_path):
    """And so do several threads of linear algebra in one process."""
    tracks = find_tracks(data)[:2]
    for workers in (1, 2):
        with threadpoolctl.threadpool_limits(2):
            scoring.score_tracks(
                tracks, estimates, tmp_path / str(workers), workers=workers
            )
    assert contents(tmp_path / "1") == contents(tmp_path / "2")


def test_beam_writes_the_same_bytes(data, estimates, tmp_path):
    pytest.importorskip("apache_beam", reason="needs requirements-beam.txt")
    (data / "test" / "c" / "vocals.wav").write_bytes(b"nothing to hear")
    tracks = find_tracks(data)
    here = scoring.score_tracks(tracks, estimates, tmp_path / "here")
    options = ["--direct_num_workers=2", "--direct_running_mode=multi_processing"]
    beam = scoring.score_tracks(
        tracks,
        estimates,
        tmp_path / "beam",
        pipeline_runner="DirectRunner",
        pipeline_options=options,
    )
    assert beam == here and len(here) == 1
    assert contents(tmp_path / "beam") == contents(tmp_path / "here")


@pytest.mark.slow  # workers import SciPy and museval, 5 s of CPU each
@pytest.mark.xdist_group("dask")
def test_a_scheduler_writes_the_same_bytes(dask_client, data, estimates, tmp_path):
    (data / "test" / "c" / "vocals.wav").write_bytes(b"nothing to hear")
    tracks = find_tracks(data)
    here = scoring.score_tracks(tracks, estimates, tmp_path / "here")
    scheduler = dask_client.scheduler.address
    there = scoring.score_tracks(
        tracks, estimates, tmp_path / "there", scheduler=scheduler
    )
    assert there == here and len(here) == 1
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


def test_a_track_without_vocals_has_the_scores_of_its_accompaniment(
    data, estimates, tmp_path, caplog
):
    silence = np.zeros(2 * RATE_HZ)
    soundfile.write(data / "test" / "c" / "vocals.wav", silence, RATE_HZ)
    with caplog.at_level("WARNING", logger="absl"):
        assert not scoring.score_tracks(find_tracks(data), estimates, tmp_path / "out")
    (warning,) = [record.getMessage() for record in caplog.records]
    assert warning == "test/c: vocals is silent throughout: it has no score"
    sources = scores.read_system(tmp_path / "out")["c"].sources
    assert sources["accompaniment"]["SDR"] == pytest.approx([10, 10], abs=0.5)
    assert np.isnan(sources["vocals"]["SDR"]).tolist() == [True, True]
    measured = energies.read_system_energies(tmp_path / "out")["c"]
    assert measured.reference["vocals"].tolist() == [0, 0]
    assert (measured.estimate["vocals"] > 0).all()


def test_a_track_that_fails_is_one_line_and_the_rest_is_scored(data, tmp_path):
    (data / "test" / "a" / "vocals.wav").write_bytes(b"nothing to hear")
    failures = scoring.score_tracks(find_tracks(data), MIXTURE, tmp_path / "scores")
    assert len(failures) == 1 and "test/a" in failures[0] and "\n" not in failures[0]
    assert list(scores.read_system(tmp_path / "scores")) == ["b", "c"]
    write_stems(data / "test" / "a")
    assert not scoring.score_tracks(find_tracks(data), MIXTURE, tmp_path / "scores")
    assert list(scores.read_system(tmp_path / "scores")) == ["a", "b", "c"]


@pytest.mark.parametrize("length", [245, 252])  # .json has room, or nothing
def test_a_name_too_long_for_scores_is_its_tracks_failure(length, data, tmp_path):
    (data / "test" / "a").rename(data / "test" / ("a" * length))
    tracks = find_tracks(data)[:2]
    (failure,) = scoring.score_tracks(tracks, MIXTURE, tmp_path / "scores")
    assert failure.startswith(f"test/{'a' * length}: {tmp_path}/scores/test/aaa")
    assert failure.endswith(": File name too long")
    assert list(scores.read_system(tmp_path / "scores")) == ["b"]


def test_a_decoder_that_crashes_is_its_tracks_failure(data, tmp_path, monkeypatch):
    monkeypatch.setattr(decoder_child, "_START", planted_decoders.START)
    for path in (data / "test" / "b").iterdir():
        soundfile.write(path.with_suffix(".mp3"), noise(0, 2 * 8000), 8000)
        path.unlink()
    (data / "test" / "b").rename(data / "test" / "b-segv")
    (failure,) = scoring.score_tracks(find_tracks(data), MIXTURE, tmp_path / "scores")
    assert failure.startswith("test/b-segv: ") and "its decoder crashed" in failure
    assert list(scores.read_system(tmp_path / "scores")) == ["a", "c"]


def test_estimates_are_no_truth_unless_told(data, tmp_path):
    tracks = find_tracks(data)
    teacher = {"kind": "checkpoint", "name": "wise", "sha256": "ab" * 32}
    taught = Estimates(("vocals",), teacher)
    tracks[0] = dataclasses.replace(tracks[0], estimates=taught)
    output = tmp_path / "scores"
    (failure,) = scoring.score_tracks(tracks, MIXTURE, output)
    assert failure == (
        "test/a: its stems must be true ones, or --estimated_truth be given. "
        "Received: estimates of the teacher wise (hash abababababab)"
    )
    assert list(scores.read_system(output)) == ["b", "c"]
    assert scoring.score_tracks(tracks[:1], MIXTURE, tmp_path / "none") == [failure]
    assert not (tmp_path / "none").exists()
    with pytest.raises(InputError, match="estimated_truth"):  # they are kept apart
        scoring.score_tracks(tracks, MIXTURE, output, estimated_truth=True)
    asked = tmp_path / "asked"
    assert not scoring.score_tracks(tracks, MIXTURE, asked, estimated_truth=True)
    assert list(scores.read_system(asked)) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda stem: stem[:-401], "target's 8000 frames, but for 0.1 s. Received: 75"),
        (lambda stem: stem[:, [0, 0]], "target's 1 channels. Received: 2"),
        (lambda stem: stem * np.nan, "must hold finite samples"),
        (None, "must have one estimate vocals"),
    ],
)
def test_a_bad_estimate_is_one_line_that_names_it(
    data, estimates, tmp_path, change, message
):
    bad = tmp_path / "estimates" / "test" / "b" / "vocals.wav"
    bad.unlink()
    if change:
        stem = change(noise(5, 2 * RATE_HZ))
        soundfile.write(bad, stem, RATE_HZ, subtype="FLOAT")
    tracks = find_tracks(data)[1:]
    (failure,) = scoring.score_tracks(tracks, estimates, tmp_path / "scores")
    assert failure.startswith("test/b: ") and message in failure
    assert list(scores.read_system(tmp_path / "scores")) == ["c"]


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_slightly_longer_or_shorter_estimate_is_fitted_as_by_museval(
    data, estimates, tmp_path, workers, caplog
):
    folder = tmp_path / "estimates" / "test"
    changed = {
        folder / "b" / "vocals.wav": lambda stem: stem[:-400],
        folder / "c" / "accompaniment.wav": lambda stem: np.pad(stem, ((0, 1), (0, 0))),
    }
    for path, change in changed.items():
        stem, _ = soundfile.read(path, always_2d=True)
        soundfile.write(path, change(stem), RATE_HZ, subtype="FLOAT")
    tracks = find_tracks(data)[1:]
    with caplog.at_level("WARNING", logger="absl"):
        assert not scoring.score_tracks(
            tracks, estimates, tmp_path / "scores", workers=workers
        )
    warnings = sorted(record.getMessage() for record in caplog.records)
    assert warnings == [
        f"{folder}/b/vocals.wav: has 7600 frames, its target 8000: the estimate goes "
        "on with silence",
        f"{folder}/c/accompaniment.wav: has 8001 frames, its target 8000: the estimate "
        "is cut",
    ]
    for track in tracks:
        references = [track.read((name,))[0][name] for name in HALVES]
        own = [
            soundfile.read(folder / track.name / f"{name}.wav", always_2d=True)[0]
            for name in HALVES
        ]
        expected = np.array(
            [
                import_sigsep("museval").evaluate(
                    [np.float64(reference)], [estimate], win=RATE_HZ, hop=RATE_HZ
                )[0][0]
                for reference, estimate in zip(references, own)
            ]
        )
        scored = scores.read_system(tmp_path / "scores")[track.name]
        for name, sdr in zip(HALVES, expected):
            np.testing.assert_allclose(scored.sources[name]["SDR"], sdr, atol=1.1e-5)


def test_seconds_in_which_an_estimate_is_silent_are_warned_of(
    data, estimates, tmp_path, caplog
):
    half = noise(3, 2 * RATE_HZ)
    half[RATE_HZ:] = 0
    quiet = tmp_path / "estimates" / "test" / "b" / "accompaniment.wav"
    soundfile.write(quiet, half, RATE_HZ)
    soundfile.write(data / "test" / "c" / "vocals.wav", half, RATE_HZ)
    with caplog.at_level("WARNING", logger="absl"):
        assert not scoring.score_tracks(
            find_tracks(data), estimates, tmp_path / "scores"
        )
    (warning,) = [record.getMessage() for record in caplog.records]
    assert "test/b: the estimate of accompaniment is silent in 1 of the 2" in warning
    system = scores.read_system(tmp_path / "scores")
    scored = {
        name: [math.isfinite(value) for value in track.sources["vocals"]["SDR"]]
        for name, track in system.items()
    }
    assert scored == {"a": [True, True], "b": [True, False], "c": [True, False]}


def all_zero(root, name, *sources):
    for source in sources:
        silence = np.zeros(2 * RATE_HZ)
        soundfile.write(root / "test" / name / f"{source}.wav", silence, RATE_HZ)


@pytest.mark.parametrize("silent", [("vocals",), ("accompaniment",), HALVES])
@pytest.mark.parametrize("what", ["data", "estimates"])
def test_silent_sources_and_estimates_cost_their_own_scores_only(
    data, estimates, tmp_path, what, silent
):
    all_zero(tmp_path / what, "b", *silent)
    tracks = find_tracks(data)[:2]
    assert not scoring.score_tracks(tracks, estimates, tmp_path / "out")
    system = scores.read_system(tmp_path / "out")
    for name, track in system.items():
        for source, metrics in track.sources.items():
            expected = not (name == "b" and source in silent)
            assert np.isfinite(metrics["SDR"]).tolist() == [expected] * 2
    # Energies are of the same frames, silent or not.
    measured = energies.read_system_energies(tmp_path / "out")["b"]
    series = measured.reference if what == "data" else measured.estimate
    for source in HALVES:
        assert (series[source] == 0).tolist() == [source in silent] * 2
    assert measured.frames == len(system["b"].times) == 2
    # Nothing is left to do for a second run.
    before = contents(tmp_path / "out")
    assert not scoring.score_tracks(tracks, estimates, tmp_path / "out")
    assert contents(tmp_path / "out") == before


@pytest.mark.parametrize("silent", [(), ("vocals",)])
def test_a_track_shorter_than_a_window_has_one_frame(tmp_path, silent):
    frames = RATE_HZ // 2
    write_stems(tmp_path / "data" / "test" / "a", frames=frames)
    for source in silent:
        path = tmp_path / "data" / "test" / "a" / f"{source}.wav"
        soundfile.write(path, np.zeros(frames), RATE_HZ)
    tracks = find_tracks(tmp_path / "data")
    assert not scoring.score_tracks(tracks, MIXTURE, tmp_path / "out")
    sources = scores.read_system(tmp_path / "out")["a"].sources
    assert {source: len(own["SDR"]) for source, own in sources.items()} == {
        "vocals": 1,
        "accompaniment": 1,
    }
    assert np.isnan(sources["vocals"]["SDR"][0]) == bool(silent)
    assert energies.read_system_energies(tmp_path / "out")["a"].frames == 1


def measured_of(reference, estimate):
    """Energies of vocals in frames of 100 samples."""
    arrays = (np.array(values, float) for values in (reference, estimate))
    true, estimated = ({"vocals": values} for values in arrays)
    windows = np.full(len(reference), 100)
    return energies.TrackEnergies("a", 1.0, windows, true, estimated, true)


@pytest.mark.parametrize(
    ("reference", "estimate", "texts"),
    [
        ([1, 2, 0], [1, 1, 0], []),
        ([1, 2, 0], [1, 0, 0], ["in 1 of the 2 frames in which vocals is not"]),
        ([1, 2, 3], [0, 0, 0], ["in 3 of the 3 frames"]),
        ([0, 0, 0], [1, 0, 1], ["vocals is silent throughout: it has no score"]),
        ([0, 0, 0], [0, 0, 0], ["vocals is silent throughout"]),
    ],
)
def test_warnings_are_of_silence_that_costs_scores(reference, estimate, texts):
    lines = scoring.silence_warnings("test/a", measured_of(reference, estimate))
    assert len(lines) == len(texts)
    for line, text in zip(lines, texts):
        assert line.startswith("test/a: ") and text in line
