import dataclasses
import shutil

import keras
import numpy as np
import pytest
import soundfile
import tensorflow as tf

from tests.training.trainings import MINI, QUICK, Enough, history
from waveunet_tf.checkpoints import checkpoint
from waveunet_tf.configs.training import ComputeConfig
from waveunet_tf.data import prepared
from waveunet_tf.errors import InputError
from waveunet_tf.networks import shapes
from waveunet_tf.networks.build import build_network
from waveunet_tf.training.devices import Devices
from waveunet_tf.training.objective import build_objective
from waveunet_tf.training.step import ValidationStep
from waveunet_tf.training.validation import Validation


def validation_on(tracks, network, training=QUICK):
    return Validation(
        tracks,
        MINI,
        training,
        ComputeConfig(),
        Devices(tf.distribute.get_strategy()),
        network=network,
        objective=build_objective(MINI, network, training),
    )


def separated(network, track):
    """The true and estimated sources of a whole track, `(sources, frames, channels)`.

    Read by soundfile and cut by NumPy, window by window.
    """
    stems = np.stack([soundfile.read(path, dtype="float32")[0] for path in track.paths])
    window = shapes.window_frames(MINI)
    hop, context = window.output_frames, window.context_frames
    mixture = np.pad(stems.sum(axis=0), ((context, context + hop), (0, 0)))
    windows = [
        mixture[start : start + window.input_frames]
        for start in range(0, track.frames, hop)
    ]
    estimates = network(np.stack(windows))
    return stems, np.stack(
        [
            np.asarray(estimates[name]).reshape(-1, 2)[: track.frames]
            for name in MINI.sources
        ]
    )


@pytest.fixture
def network():
    keras.utils.set_random_seed(3)
    return build_network(MINI)


def test_loss_and_sdr_are_those_of_whole_tracks(kept_stems_dir, network):
    tracks = prepared.load_prepared(kept_stems_dir, MINI, "train")
    loss, sdr_db = validation_on(tracks, network).run(lambda: False)
    errors, ratios = [], []
    for track in tracks:
        stems, estimates = separated(network, track)
        squares = np.square(stems - estimates)
        errors.append(squares.reshape(len(stems), -1))
        energies = np.square(stems).sum(axis=(1, 2))
        ratios.append(10 * np.log10(energies / squares.sum(axis=(1, 2))))
    assert loss == pytest.approx(np.mean(np.concatenate(errors, axis=1)), rel=1e-5)
    for number, name in enumerate(MINI.sources):
        expected = np.median([ratio[number] for ratio in ratios])
        assert sdr_db[name] == pytest.approx(expected, abs=1e-4)


def test_a_training_writes_the_validation_loss_of_its_best_weights(
    kept_stems_dir, finished_dir
):
    (track,) = prepared.load_prepared(kept_stems_dir, MINI, "valid")
    network = checkpoint.load_network(finished_dir / "best")
    stems, estimates = separated(network, track)
    best = min(record["validation_loss"] for record in history(finished_dir))
    assert best == pytest.approx(np.mean((stems - estimates) ** 2), rel=1e-5)


def test_a_validation_may_be_repeated_and_sees_new_weights(kept_stems_dir, network):
    tracks = prepared.load_prepared(kept_stems_dir, MINI, "valid")
    validation = validation_on(tracks, network)
    first, again = (validation.run(lambda: False)[0] for _ in range(2))
    assert first == again
    network.set_weights([0.5 * weight for weight in network.get_weights()])
    assert validation.run(lambda: False)[0] != first


class Noting:
    """A number of a batch that tells when it is read."""

    def __init__(self, value, events):
        self.value, self.events = value, events

    def __float__(self):
        self.events.append("read")
        return float(self.value)


def test_batches_start_before_the_scores_of_those_before_are_read(
    kept_stems_dir, network, monkeypatch
):
    """As many as at once, with the same scores; a request to stop is seen at once."""
    tracks = prepared.load_prepared(kept_stems_dir, MINI, "valid") * 2
    validation = validation_on(tracks, network)
    expected = validation.run(lambda: False)
    events, call = [], ValidationStep.__call__

    def note(self, *args):
        events.append("start")
        scores = call(self, *args)
        return scores._replace(stops=Noting(scores.stops, events))

    monkeypatch.setattr(ValidationStep, "__call__", note)
    monkeypatch.setattr(Devices, "steps_at_once", 3)
    assert validation.run(lambda: False) == expected
    assert events == ["start"] * 3 + ["read"] * 3 + ["start", "read"]
    events.clear()
    assert validation.run(Enough(2)) is None
    assert events == ["start"] * 2 + ["read"] * 2


def test_a_request_to_stop_ends_a_validation(kept_stems_dir, network):
    tracks = prepared.load_prepared(kept_stems_dir, MINI, "valid")
    assert validation_on(tracks, network).run(lambda: True) is None


def test_without_tracks_there_is_no_score(network, caplog):
    validation = validation_on([], network)
    assert "lowest training loss" in caplog.text
    assert validation.run(lambda: False) == (None, None)


def test_the_sdr_as_the_score_needs_tracks(network):
    by_sdr = dataclasses.replace(QUICK, best_by="sdr")
    with pytest.raises(InputError, match="`best_by` sdr needs validation tracks"):
        validation_on([], network, by_sdr)


def test_a_track_that_is_no_number_is_refused(stems_dir, network):
    path = stems_dir / "valid" / "three" / "vocals.wav"
    soundfile.write(path, np.full((1000, 2), np.nan), 8000, subtype="FLOAT")
    tracks = prepared.load_prepared(stems_dir, MINI, "valid")
    with pytest.raises(InputError, match="validation tracks must be finite numbers"):
        validation_on(tracks, network).run(lambda: False)


def test_a_track_that_is_gone_is_refused(stems_dir, network):
    tracks = prepared.load_prepared(stems_dir, MINI, "valid")
    validation = validation_on(tracks, network)
    shutil.rmtree(stems_dir / "valid")
    with pytest.raises(InputError, match="validation tracks must be readable"):
        validation.run(lambda: False)


def test_the_mixtures_file_is_separated_where_that_is_wished(stems_dir, network):
    """The estimates are the network's of the file; the truth stays the stems."""
    (track,) = prepared.load_prepared(stems_dir, MINI, "valid")
    from_file = dataclasses.replace(QUICK, validation_mixture="file")
    with pytest.raises(InputError, match="mixture.wav: is missing, but --validation"):
        validation_on([track], network, from_file)
    stems = [soundfile.read(path, dtype="float32")[0] for path in track.paths]
    mixture = sum(stems) + np.random.default_rng(4).normal(0, 0.1, stems[0].shape)
    path = stems_dir / "valid" / "three" / "mixture.wav"
    soundfile.write(path, mixture, 8000, subtype="FLOAT")
    window = shapes.window_frames(MINI)
    hop, context = window.output_frames, window.context_frames
    padded = np.pad(mixture.astype("f"), ((context, context + hop), (0, 0)))
    starts = range(0, track.frames, hop)
    estimates = network(
        np.stack([padded[start : start + window.input_frames] for start in starts])
    )
    errors = [
        np.asarray(estimates[name]).reshape(-1, 2)[: track.frames] - stem
        for name, stem in zip(MINI.sources, stems)
    ]
    loss, _ = validation_on([track], network, from_file).run(lambda: False)
    assert loss == pytest.approx(np.mean(np.square(errors)), rel=1e-5)
    of_sums, _ = validation_on([track], network).run(lambda: False)
    assert of_sums != pytest.approx(loss, rel=1e-2)


@pytest.mark.parametrize("frames", [999, 1001])
def test_a_mixture_of_another_length_is_refused(stems_dir, network, frames):
    (track,) = prepared.load_prepared(stems_dir, MINI, "valid")
    path = stems_dir / "valid" / "three" / "mixture.wav"
    soundfile.write(path, np.zeros((frames, 2)), 8000, subtype="FLOAT")
    from_file = dataclasses.replace(QUICK, validation_mixture="file")
    with pytest.raises(InputError, match=f"must be of one length.*{frames} frames"):
        validation_on([track], network, from_file)
