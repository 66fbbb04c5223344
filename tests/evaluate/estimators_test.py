import dataclasses
import hashlib
import pickle

import keras
import numpy as np
import pytest
import soundfile

import waveunet_tf
from waveunet_tf.checkpoints import checkpoint
from waveunet_tf.data.datasets import find_tracks
from waveunet_tf.data.tracks import Track
from waveunet_tf.errors import InputError
from waveunet_tf.evaluate import bss, true_stems
from waveunet_tf.evaluate.estimators import (
    BASELINES,
    CheckpointEstimator,
    FolderEstimator,
    MixtureEstimator,
    OracleEstimator,
    TFLiteEstimator,
)
from waveunet_tf.evaluate.true_stems import TrueStems
from waveunet_tf.networks.build import build_network

RATE_HZ = 8000
HALVES = ("accompaniment", "vocals")
TRACK = Track("song", "test", {})


def tones(*frequencies_hz, frames=3 * RATE_HZ):
    time = np.arange(frames) / RATE_HZ
    sines = [np.sin(2 * np.pi * hz * time) for hz in frequencies_hz]
    return np.repeat(0.1 * sum(sines)[:, None], 2, axis=1).astype(np.float32)


def stems():
    """Parts that overlap in time, but not in frequency."""
    parts = {
        "drums": tones(300, 900),
        "bass": tones(100),
        "vocals": tones(500, 2000),
    }
    accompaniment = parts["drums"] + parts["bass"]
    sources = {"accompaniment": accompaniment, "vocals": parts["vocals"]}
    return TrueStems(sum(parts.values()), sources, parts, RATE_HZ)


def test_the_mixture_is_every_source():
    estimates = MixtureEstimator(HALVES).estimate(TRACK, stems())
    assert list(estimates) == list(HALVES)
    for estimate in estimates.values():
        np.testing.assert_array_equal(estimate, stems().mixture)


def test_the_oracle_separates_what_does_not_overlap():
    true = stems()
    estimates = OracleEstimator(HALVES).estimate(TRACK, true)
    for name, estimate in estimates.items():
        assert estimate.shape == true.mixture.shape
        error = estimate - true.sources[name]
        assert np.sum(error**2) < 1e-3 * np.sum(true.sources[name] ** 2)


@pytest.mark.slow
def test_the_oracle_is_far_above_the_mixture_on_music(shared_data):
    tracks = find_tracks(shared_data / "musdb18-7s", subsets=("test",))
    true = true_stems.read_true_stems(tracks[0], HALVES)
    medians = {}
    for kind, baseline in BASELINES.items():
        estimates = baseline(HALVES).estimate(tracks[0], true)
        scores = bss.score_estimates(
            "song", true.sources, estimates, true.sample_rate_hz
        )
        for target in scores.scores["targets"]:
            sdr = [float(frame["metrics"]["SDR"]) for frame in target["frames"]]
            medians[kind, target["name"]] = np.median(sdr)
    for name in HALVES:
        assert medians["oracle_irm", name] > medians["mixture", name] + 6


@pytest.fixture
def estimates_dir(tmp_path):
    folder = tmp_path / "test" / "song"
    folder.mkdir(parents=True)
    for name in HALVES:
        soundfile.write(folder / f"{name}.wav", tones(440), RATE_HZ, subtype="FLOAT")
    return tmp_path


def read_estimates(root):
    return FolderEstimator(HALVES, str(root)).estimate(TRACK, stems())


@pytest.mark.parametrize("suffix", ["flac", "ogg", "mp3"])
def test_estimates_are_read_in_any_format_and_layout(estimates_dir, suffix):
    for path in (estimates_dir / "test" / "song").iterdir():
        soundfile.write(path.with_suffix(f".{suffix}"), tones(440), RATE_HZ)
        path.unlink()
    for root in (estimates_dir, estimates_dir / "test"):
        result = read_estimates(root)
        assert list(result) == list(HALVES)
        assert np.abs(result["vocals"]).max() == pytest.approx(0.1, abs=0.01)


def test_estimates_are_found_however_the_letters_of_their_track_are_written(
    estimates_dir,
):
    (estimates_dir / "test" / "song").rename(estimates_dir / "test" / "Bjo\u0308rk")
    track = dataclasses.replace(TRACK, name="Bj\u00f6rk")
    for root in (estimates_dir, estimates_dir / "test"):
        estimator = FolderEstimator(HALVES, str(root))
        assert list(estimator.estimate(track, stems())) == list(HALVES)


def test_estimates_that_are_missing_doubled_or_of_another_rate_are_refused(
    estimates_dir,
):
    folder = estimates_dir / "test" / "song"
    soundfile.write(folder / "vocals.flac", tones(440), RATE_HZ)
    with pytest.raises(InputError, match=r"one estimate vocals.*vocals.flac, vocals"):
        read_estimates(estimates_dir)
    (folder / "vocals.wav").unlink()
    (folder / "vocals.flac").unlink()
    with pytest.raises(InputError, match="one estimate vocals.*Received: none"):
        read_estimates(estimates_dir)
    soundfile.write(folder / "vocals.wav", tones(440), 44100)
    with pytest.raises(InputError, match="rate, 8000 Hz. Received: 44100 Hz"):
        read_estimates(estimates_dir)
    with pytest.raises(InputError, match="must be a folder of estimates"):
        read_estimates(estimates_dir / "nowhere")


def test_an_estimator_can_be_sent_to_a_process(tmp_path):
    estimator = FolderEstimator(HALVES, str(tmp_path))
    assert pickle.loads(pickle.dumps(estimator)) == estimator
    assert estimator.identity() == {
        "estimator": "estimates_dir",
        "sources": list(HALVES),
        "path": str(tmp_path),
    }


def test_a_networks_estimates_are_its_separation(kept_checkpoint, tmp_path):
    from waveunet_tf.export import quantize, tflite

    plan = tflite.plan(kept_checkpoint, "streaming", 1024)
    ((_, content),) = quantize.convert_plan(plan, ["float32"])
    (tmp_path / "x.tflite").write_bytes(content)
    true = stems()
    expected = waveunet_tf.load(kept_checkpoint).separate(true.mixture, RATE_HZ)
    for estimator in (
        CheckpointEstimator.open(str(kept_checkpoint)),
        TFLiteEstimator.open(str(tmp_path / "x.tflite")),
    ):
        assert pickle.loads(pickle.dumps(estimator)) == estimator
        assert estimator.sources == tuple(expected)
        result = estimator.estimate(TRACK, true, threads=1)
        for name, stem in expected.items():
            np.testing.assert_allclose(result[name], stem, atol=1e-5)


def test_a_checkpoint_is_known_by_its_content(tiny_checkpoint):
    before = CheckpointEstimator.open(str(tiny_checkpoint)).identity()
    weights = tiny_checkpoint / "network.weights.h5"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    after = CheckpointEstimator.open(str(tiny_checkpoint)).identity()
    assert before["sha256"] != after["sha256"]
    assert before["path"] == after["path"]


def test_a_checkpoint_that_is_replaced_is_another_network(tiny_checkpoint, tmp_path):
    """Such as the best one of a training that goes on, scored again in one process."""
    true, path = stems(), str(tiny_checkpoint)
    opened = CheckpointEstimator.open(path)
    before = opened.estimate(TRACK, true)
    keras.utils.set_random_seed(2)
    config = checkpoint.Checkpoint.open(path).config
    checkpoint.save_checkpoint(tmp_path / "other", build_network(config), config)
    for file in (tmp_path / "other").iterdir():
        file.replace(tiny_checkpoint / file.name)
    after = CheckpointEstimator.open(path).estimate(TRACK, true)
    expected = waveunet_tf.load(path).separate(true.mixture, RATE_HZ)
    for name, stem in expected.items():
        assert np.abs(before[name] - stem).max() > 0.01
        np.testing.assert_allclose(after[name], stem, atol=1e-5)
    with pytest.raises(InputError, match="checkpoint: has changed since it was opened"):
        opened.estimate(TRACK, true)


def test_a_tflite_file_is_known_by_its_hash_and_options_by_their_values(tmp_path):
    (tmp_path / "x.tflite").write_bytes(b"network")
    estimator = TFLiteEstimator(HALVES, str(tmp_path / "x.tflite")).hashed()
    assert estimator.identity() == {
        "estimator": "tflite",
        "sources": list(HALVES),
        "path": str(tmp_path / "x.tflite"),
        "sha256": hashlib.sha256(b"network").hexdigest(),
    }
    (tmp_path / "config.json").write_bytes(b"net")
    (tmp_path / "network.weights.h5").write_bytes(b"work")
    refined = CheckpointEstimator(HALVES, str(tmp_path), (("engine", "litert"),))
    identity = refined.hashed().identity()
    assert identity["options"] == {"engine": "litert"}
    assert identity["sha256"] == hashlib.sha256(b"network").hexdigest()


def test_estimators_differ_by_kind_sources_and_path():
    different = {
        MixtureEstimator(HALVES),
        OracleEstimator(HALVES),
        OracleEstimator(HALVES[::-1]),
        FolderEstimator(HALVES, "a"),
        FolderEstimator(HALVES, "b"),
        TFLiteEstimator(HALVES, "a"),
        CheckpointEstimator(HALVES, "a"),
        CheckpointEstimator(HALVES, "a", (("engine", "litert"),)),
    }
    assert len(different) == 8
    assert MixtureEstimator(HALVES) == MixtureEstimator(HALVES)
    assert {name: cls.kind for name, cls in BASELINES.items()} == {
        "mixture": "mixture",
        "oracle_irm": "oracle_irm",
    }


def test_a_path_without_a_network_is_refused(tmp_path):
    with pytest.raises(InputError, match="must be a checkpoint"):
        CheckpointEstimator.open(str(tmp_path))
    (tmp_path / "x.tflite").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"x\.tflite"):
        TFLiteEstimator.open(str(tmp_path / "x.tflite"))


def test_the_oracle_of_a_song_without_vocals_gives_all_to_the_accompaniment():
    parts = {"drums": tones(300, 900), "vocals": 0 * tones(500)}
    sources = {"accompaniment": parts["drums"], "vocals": parts["vocals"]}
    true = TrueStems(parts["drums"], sources, parts, RATE_HZ)
    estimates = OracleEstimator(HALVES).estimate(TRACK, true)
    assert not estimates["vocals"].any()
    np.testing.assert_allclose(estimates["accompaniment"], parts["drums"], atol=1e-4)
