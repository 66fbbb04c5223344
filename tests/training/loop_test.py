"""Trainings through the whole loop: what they learn, keep and refuse."""

import dataclasses
import json
import logging
import shutil
from unittest import mock

import keras
import numpy as np
import pytest
import soundfile
import tensorflow as tf

from tests.training.trainings import (
    COSINE,
    MINI,
    MINI_U7,
    QUICK,
    U7,
    Begun,
    check_same_history,
    check_same_weights,
    history,
    run,
    weights_of,
)
from waveunet_tf.checkpoints import checkpoint
from waveunet_tf.checkpoints.adam import build_adam
from waveunet_tf.configs.training import ComputeConfig
from waveunet_tf.data import excerpts
from waveunet_tf.errors import InputError
from waveunet_tf.networks.build import build_network
from waveunet_tf.training import loop
from waveunet_tf.training.devices import Devices
from waveunet_tf.training.step import TrainingStep

# A step too small to change a float32 weight.
STILL = dataclasses.replace(QUICK, learning_rate=1e-30, steps_per_epoch=1, max_epochs=1)


def last_state(workdir):
    """The folder of the last state, and what it says of the progress."""
    state = max((workdir / "state").iterdir())
    return state, json.loads((state / "progress.json").read_text())


def averages_of(state):
    with np.load(state / "averages.npz") as file:
        return [file[f"arr_{number}"] for number in range(len(file.files) - 1)]


@pytest.fixture(scope="module")
def one_step_dir(kept_stems_dir, tmp_path_factory):
    """The workdir of a training of one step by clipped gradients."""
    workdir = tmp_path_factory.mktemp("one step") / "work"
    training = dataclasses.replace(
        QUICK, steps_per_epoch=1, max_epochs=1, clip_norm=0.01
    )
    run(MINI, training, kept_stems_dir, workdir)
    return workdir


@pytest.mark.xdist_group("one_step_training")
def test_one_step_moves_every_weight_by_adams_first_step(one_step_dir):
    keras.utils.set_random_seed(7)
    before = build_network(MINI).get_weights()
    for old, new in zip(before, weights_of(one_step_dir / "best")):
        # Adam's first step is learning_rate * gradient / (|gradient| + epsilon).
        steps = np.abs(new - old)
        assert 0 < steps.max() <= 1e-3 * (1 + 1e-3)
        assert np.median(steps) > 0.9e-3


@pytest.mark.xdist_group("one_step_training")
def test_gradients_are_clipped_as_the_training_says(one_step_dir):
    best = checkpoint.Checkpoint.open(one_step_dir / "best")
    adam = build_adam(best.training)
    assert best.load_adam(build_network(MINI), adam)
    # Adam's first moments are a tenth of its first gradients, here of a norm of 0.09.
    moments = [np.ravel(moment) for moment in adam._momentums]
    norm = 10 * np.linalg.norm(np.concatenate(moments))
    assert norm == pytest.approx(0.01, rel=1e-4)


def test_training_writes_its_history_and_the_best_checkpoint(finished_dir):
    records = history(finished_dir)
    assert [record["epoch"] for record in records] == [1, 2]
    assert [record["step"] for record in records] == [3, 6]
    assert [record["stage"] for record in records] == [1, 1]
    best = checkpoint.Checkpoint.open(finished_dir / "best")
    assert best.config == MINI
    assert best.training == QUICK
    _, progress = last_state(finished_dir)
    losses = [record["validation_loss"] for record in records]
    assert progress["best_loss"] == min(losses)
    assert progress["best_epoch"] == 1 + losses.index(min(losses))


@pytest.fixture(scope="module")
def often_saved_dir(kept_stems_dir, tmp_path_factory):
    """The workdir of the same training, without pictures, with a state a step."""
    workdir = tmp_path_factory.mktemp("often saved") / "work"
    run(MINI, QUICK, kept_stems_dir, workdir, save_seconds=0.0)
    return workdir


def test_the_same_seed_gives_the_same_losses_with_pictures_or_without(
    often_saved_dir, finished_dir
):
    check_same_history(often_saved_dir, finished_dir)
    assert (finished_dir / "loss.png").exists()
    assert not (often_saved_dir / "loss.png").exists()


@pytest.mark.xdist_group("finished_training")  # as the test before
def test_states_are_saved_within_an_epoch_as_often_as_asked(often_saved_dir):
    names = sorted(path.name for path in (often_saved_dir / "state").iterdir())
    # The last two: after the sixth step, and after the validation; and the one that
    # the first of them would go back to.
    assert names == ["000000003-1-0", "000000006-1-0", "000000006-2-0"]


@pytest.mark.xdist_group("cosine_training")
def test_the_loss_falls(cosine_dir):
    first, second = history(cosine_dir)
    assert second["loss"] < 0.9 * first["loss"]


@pytest.mark.slow
def test_patience_ends_each_stage(kept_stems_dir, tmp_path):
    training = dataclasses.replace(
        STILL, fine_tuning_learning_rate=1e-30, max_epochs=None, patience=2
    )
    progress = run(MINI, training, kept_stems_dir, tmp_path / "work")
    assert (progress.best_epoch, progress.epoch) == (1, 5)
    stages = [record["stage"] for record in history(tmp_path / "work")]
    assert stages == [1, 1, 1, 2, 2]
    assert progress.excerpt == 3 * 4 + 2 * 8  # batches of 4, then of 8


def test_fine_tuning_starts_from_the_best_weights_with_adams_moments(
    kept_stems_dir, tmp_path
):
    training = dataclasses.replace(
        QUICK,
        patience=1,
        learning_rate=0.1,
        fine_tuning_learning_rate=1e-30,
        max_epochs=9,
        fine_tuning_batch_size=4,  # another one would need another graph
    )
    progress = run(MINI, training, kept_stems_dir, tmp_path / "work")
    records = history(tmp_path / "work")
    stages = [record["stage"] for record in records]
    assert stages[-1] == 2
    assert stages == sorted(stages)
    first_of_second = records[stages.index(2)]
    assert first_of_second["learning_rate"] == 1e-30
    # Without a step to speak of, these are the weights of the best epoch, which was
    # not the last of its stage.
    best = min(record["validation_loss"] for record in records)
    assert first_of_second["validation_loss"] == pytest.approx(best, rel=1e-6)
    assert records[stages.index(2) - 1]["validation_loss"] > best
    state, _ = last_state(tmp_path / "work")
    adam = build_adam(training)
    assert checkpoint.Checkpoint.open(state).load_adam(build_network(MINI), adam)
    steps = 3 * (progress.best_epoch + len(stages) - stages.index(2))
    assert int(adam.iterations) == steps  # those of the best epoch, and since


@pytest.mark.slow
def test_averages_of_the_second_stage_forget_the_first(
    kept_stems_dir, tmp_path, monkeypatch
):
    """Where no step moves a weight, the averages are the best weights, as they are."""
    training = dataclasses.replace(
        QUICK,
        average_momentum=0.999,
        steps_per_epoch=10,
        learning_rate=0.02,
        fine_tuning_learning_rate=1e-30,
        patience=1,
        max_epochs=3,
        fine_tuning_batch_size=4,
    )
    # The first epoch is the best, and not the last of its stage.
    scores = iter([1.0, 2.0, 3.0])
    monkeypatch.setattr(loop.checks, "epoch_score", lambda *_: next(scores))
    run(MINI, training, kept_stems_dir, tmp_path)
    state, _ = last_state(tmp_path)
    for average, weight in zip(averages_of(state), weights_of(state)):
        np.testing.assert_allclose(average, weight, atol=1e-7)


@pytest.mark.xdist_group("u7_training")
def test_a_spectrogram_network_trains(u7_dir):
    check_falling(u7_dir)


@pytest.mark.slow
def test_a_spectrogram_network_trains_on_magnitudes(kept_stems_dir, tmp_path):
    training = dataclasses.replace(U7, loss="magnitude_l1")
    run(MINI_U7, training, kept_stems_dir, tmp_path / "work")
    check_falling(tmp_path / "work")


def check_falling(workdir):
    first, second = history(workdir)
    assert second["loss"] < first["loss"]
    assert np.isfinite(second["validation_loss"])


def test_without_validation_tracks_the_training_loss_decides(stems_dir, tmp_path):
    shutil.rmtree(stems_dir / "valid")
    training = dataclasses.replace(QUICK, steps_per_epoch=1)
    progress = run(MINI, training, stems_dir, tmp_path / "work")
    records = history(tmp_path / "work")
    assert records[0]["validation_loss"] is None
    assert progress.best_loss == min(record["loss"] for record in records)


def test_training_starts_from_a_checkpoint(kept_stems_dir, tmp_path, finished_dir):
    start = finished_dir / "best"
    run(MINI, STILL, kept_stems_dir, tmp_path / "work", init_from=start)
    check_same_weights(tmp_path / "work" / "best", start, 1e-7)
    adam = build_adam(STILL)
    kept = checkpoint.Checkpoint.open(tmp_path / "work" / "best")
    assert kept.load_adam(build_network(MINI), adam)
    _, progress = last_state(finished_dir)
    assert int(adam.iterations) == 3 * progress["best_epoch"] + 1


@pytest.mark.slow
def test_output_layers_may_begin_anew(kept_stems_dir, tmp_path, finished_dir):
    config = dataclasses.replace(MINI, sources=("vocals", "accompaniment"))
    start = finished_dir / "best"
    workdir = tmp_path / "work"
    arguments = {"init_from": start, "reinit_output": True}
    run(config, STILL, kept_stems_dir, workdir, **arguments)
    old, new = (checkpoint.load_network(folder) for folder in (start, workdir / "best"))
    for layer in new.layers:
        if layer.weights and not layer.name.startswith("output_"):
            expected = old.get_layer(layer.name).get_weights()
            for one, other in zip(layer.get_weights(), expected):
                np.testing.assert_allclose(one, other, rtol=1e-6)


def test_a_checkpoint_of_another_network_is_refused_and_leaves_nothing(
    kept_stems_dir, tmp_path, finished_dir
):
    config = dataclasses.replace(MINI, upsampling="learned")
    arguments = {"init_from": finished_dir / "best"}
    with pytest.raises(InputError, match="upsampling=linear instead of learned"):
        run(config, STILL, kept_stems_dir, tmp_path / "work", **arguments)
    assert not (tmp_path / "work").exists()


def test_several_folders_are_one_data_set(stems_dir, tmp_path, caplog):
    shutil.copytree(stems_dir / "train", tmp_path / "more" / "train")
    caplog.set_level(logging.INFO)
    folders = [stems_dir, tmp_path / "more"]
    with pytest.raises(Begun):
        run(
            *(MINI, STILL, stems_dir, tmp_path / "work"),
            data_dirs=folders,
            should_stop=mock.Mock(side_effect=Begun),
        )
    assert "on 4 tracks, 1 for validation, on 1 x CPU" in caplog.text


def test_a_batch_that_parts_do_not_divide_is_refused(kept_stems_dir, tmp_path):
    compute = ComputeConfig(accumulate_steps=3)
    with pytest.raises(InputError, match="must be multiples of 3, 1 devices times 3"):
        run(MINI, QUICK, kept_stems_dir, tmp_path / "work", compute=compute)
    assert not (tmp_path / "work").exists()


def test_a_workdir_that_cannot_be_written_is_told_at_once(kept_stems_dir, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OSError, match="file"):
        run(MINI, QUICK, kept_stems_dir, tmp_path / "file" / "work")


@pytest.mark.xdist_group("cosine_training")
def test_a_cosine_takes_the_learning_rate_down_to_nothing(cosine_dir):
    rates = [record["learning_rate"] for record in history(cosine_dir)]
    # Of the last of 25 steps, and of 50.
    expected = [2.5e-3 * (1 + np.cos(np.pi * step / 50)) for step in (24, 49)]
    assert rates == pytest.approx(expected)
    assert rates[-1] < 0.01 * COSINE.learning_rate


@pytest.mark.xdist_group("cosine_training")
def test_averages_of_the_weights_are_what_is_validated_and_kept(cosine_dir):
    state, progress = last_state(cosine_dir)
    last = progress["epoch"] == progress["best_epoch"]
    assert last, "the test needs an epoch that is the best and the last"
    kept, own = weights_of(cosine_dir / "best"), weights_of(state)
    for average, one in zip(averages_of(state), kept):
        np.testing.assert_array_equal(average, one)
    assert any((one != other).any() for one, other in zip(own, kept))


@pytest.mark.xdist_group("cosine_training")
def test_the_highest_sdr_may_be_what_is_best(cosine_dir):
    means = [
        np.mean(list(record["validation_sdr_db"].values()))
        for record in history(cosine_dir)
    ]
    _, progress = last_state(cosine_dir)
    assert progress["best_epoch"] == 1 + int(np.argmax(means))
    assert progress["best_loss"] == pytest.approx(-max(means))


@pytest.mark.slow
def test_first_weights_may_be_scaled_by_excerpts_of_the_data(kept_stems_dir, tmp_path):
    training = dataclasses.replace(STILL, first_weights="unit_variance")
    run(MINI, training, kept_stems_dir, tmp_path / "work")
    keras.utils.set_random_seed(7)
    before = build_network(MINI)
    after = checkpoint.load_network(tmp_path / "work" / "best")
    for layer in before.layers:
        if isinstance(layer, keras.layers.Conv1D):
            scaled = after.get_layer(layer.name).get_weights()[0]
            factors = scaled / layer.get_weights()[0]
            assert factors.std() < 1e-3 * factors.mean()
            assert abs(factors.mean() - 1) > 0.01
    with pytest.raises(InputError, match="unit_variance needs a network of waveforms"):
        run(MINI_U7, training, kept_stems_dir, tmp_path / "u7")


def test_the_sdr_needs_validation_tracks(stems_dir, tmp_path):
    shutil.rmtree(stems_dir / "valid")
    with pytest.raises(InputError, match="`best_by` sdr needs validation tracks"):
        run(MINI, COSINE, stems_dir, tmp_path / "by sdr")
    assert not (tmp_path / "by sdr").exists()


def test_a_batch_larger_than_the_machines_memory_is_refused_at_once(
    kept_stems_dir, tmp_path
):
    huge = dataclasses.replace(QUICK, batch_size=10**12)
    with pytest.raises(InputError, match="--batch_size.*--output_frames"):
        run(MINI, huge, kept_stems_dir, tmp_path / "huge")
    assert not (tmp_path / "huge").exists()


@pytest.mark.parametrize(
    "place", ["step", pytest.param("excerpts", marks=pytest.mark.slow)]
)
def test_a_batch_that_the_memory_cannot_hold_is_told_with_its_flags(
    kept_stems_dir, tmp_path, monkeypatch, place
):
    def exhausted(*_):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating\n[[x]]")

    if place == "step":
        monkeypatch.setattr(TrainingStep, "__call__", exhausted)
    else:
        batches = map(exhausted, range(1))
        monkeypatch.setattr(Devices, "distribute", lambda *_: batches)
    with pytest.raises(InputError, match="--batch_size.*--output_frames") as error:
        run(MINI, QUICK, kept_stems_dir, tmp_path)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "best").exists()
    monkeypatch.undo()
    smaller = dataclasses.replace(STILL, batch_size=2)
    assert run(MINI, smaller, kept_stems_dir, tmp_path).epoch == 1


@pytest.mark.slow
def test_a_training_whose_excerpts_are_mixed_on_the_device_is_the_same(
    kept_stems_dir, tmp_path, monkeypatch
):
    """Here the device is the CPU, which a training takes for a card."""
    folder = shutil.copytree(kept_stems_dir, tmp_path / "stems")
    for path in folder.rglob("*.wav"):
        samples, rate_hz = soundfile.read(path)
        soundfile.write(path, samples, rate_hz, subtype="PCM_16")
    # XLA, which a card would have, rounds otherwise.
    compute = ComputeConfig(jit_compile=False)
    run(MINI, QUICK, folder, tmp_path / "one", compute=compute)
    card = Devices(tf.distribute.get_strategy(), prefetched_to="CPU:0")
    monkeypatch.setattr(loop, "set_up_devices", lambda _: card)
    monkeypatch.setattr(Devices, "kind", "GPU")
    mixers = []
    build = excerpts.StoredMixer
    monkeypatch.setattr(
        excerpts,
        "StoredMixer",
        lambda *words: mixers.append(build(*words)) or mixers[0],
    )
    run(MINI, QUICK, folder, tmp_path / "other", compute=compute)
    assert len(mixers) == 1
    records, expected = history(tmp_path / "other"), history(tmp_path / "one")
    for record, other in zip(records, expected, strict=True):
        assert {**record, "seconds": 0} == {**other, "seconds": 0}
