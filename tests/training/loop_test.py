import dataclasses
import io
import json
import shutil

import keras
import numpy as np
import pytest
import soundfile
import tensorflow as tf

from tests.training.trainings import QUICK, TINY_U7, Enough, history, run
from waveunet_tf.checkpoints import checkpoint
from waveunet_tf.checkpoints.adam import build_adam
from waveunet_tf.configs.training import ComputeConfig, TrainingConfig
from waveunet_tf.data import excerpts, prepared
from waveunet_tf.errors import InputError
from waveunet_tf.networks.build import build_network
from waveunet_tf.training import loop


def test_one_step_moves_every_weight_by_adams_first_step(
    stems_dir, tiny_config, tmp_path
):
    training = dataclasses.replace(QUICK, steps_per_epoch=1, max_epochs=1)
    run(tiny_config, training, stems_dir, tmp_path / "work")
    keras.utils.set_random_seed(7)
    before = build_network(tiny_config).get_weights()
    after = checkpoint.load_network(tmp_path / "work" / "best").get_weights()
    for old, new in zip(before, after):
        # Adam's first step is learning_rate * gradient / (|gradient| + epsilon).
        steps = np.abs(new - old)
        assert 0 < steps.max() <= 1e-3 * (1 + 1e-3)
        assert np.median(steps) > 0.9e-3


def test_training_writes_its_history_and_the_best_checkpoint(
    stems_dir, tiny_config, tmp_path
):
    progress = run(tiny_config, QUICK, stems_dir, tmp_path / "work")
    records = history(tmp_path / "work")
    assert [record["epoch"] for record in records] == [1, 2]
    assert [record["step"] for record in records] == [3, 6]
    losses_ = [record["validation_loss"] for record in records]
    assert progress.best_loss == min(losses_)
    assert progress.best_epoch == 1 + losses_.index(min(losses_))
    assert checkpoint.Checkpoint.open(tmp_path / "work" / "best").config == tiny_config
    values = json.loads((tmp_path / "work" / "best" / "config.json").read_text())
    assert TrainingConfig.from_dict(values["training"]) == QUICK


def test_the_validation_loss_is_the_mean_over_whole_tracks(
    stems_dir, tiny_config, tmp_path
):
    training = dataclasses.replace(QUICK, max_epochs=1)
    run(tiny_config, training, stems_dir, tmp_path / "work")
    network = checkpoint.load_network(tmp_path / "work" / "best")
    (track,) = prepared.load_prepared(stems_dir, tiny_config, "valid")
    batch = next(
        iter(excerpts.whole_track_windows([track], tiny_config, batch_size=99))
    )
    estimates = network(batch[0])
    hop = batch[2].shape[1]
    missing = hop * len(batch[0]) - track.frames
    truth = [
        np.pad(soundfile.read(path)[0], ((0, missing), (0, 0))) for path in track.paths
    ]
    errors = [
        (np.asarray(estimate).reshape(-1, 2) - stem)[: track.frames] ** 2
        for estimate, stem in zip(estimates.values(), truth)
    ]
    (record,) = history(tmp_path / "work")
    assert record["validation_loss"] == pytest.approx(np.mean(errors), rel=1e-5)


def test_the_loss_falls(stems_dir, tiny_config, tmp_path):
    training = dataclasses.replace(QUICK, steps_per_epoch=25, learning_rate=3e-3)
    run(tiny_config, training, stems_dir, tmp_path / "work")
    first, second = history(tmp_path / "work")
    assert second["loss"] < 0.9 * first["loss"]


def test_the_same_seed_gives_the_same_losses(stems_dir, tiny_config, tmp_path):
    runs = []
    for name in ("a", "b"):
        run(tiny_config, QUICK, stems_dir, tmp_path / name)
        runs.append([record["loss"] for record in history(tmp_path / name)])
    np.testing.assert_allclose(runs[0], runs[1], rtol=1e-5)


def test_patience_ends_the_training(stems_dir, tiny_config, tmp_path):
    # A step too small to change a float32 weight cannot make the loss better.
    training = dataclasses.replace(
        QUICK,
        learning_rate=1e-30,
        fine_tuning_learning_rate=1e-30,
        max_epochs=None,
        patience=3,
        steps_per_epoch=1,
    )
    alone = dataclasses.replace(training, fine_tuning=False)
    progress = run(tiny_config, alone, stems_dir, tmp_path / "one")
    assert (progress.best_epoch, progress.epoch) == (1, 4)
    progress = run(tiny_config, training, stems_dir, tmp_path / "both")
    assert (progress.best_epoch, progress.epoch) == (1, 7)
    assert progress.excerpt == 4 * 4 + 3 * 6  # batches of 4, then of 6


def test_fine_tuning_starts_from_the_best_weights_with_adams_moments(
    stems_dir, tiny_config, tmp_path
):
    training = dataclasses.replace(
        QUICK, patience=1, learning_rate=0.03, fine_tuning_learning_rate=1e-30
    )
    training = dataclasses.replace(training, max_epochs=9)
    progress = run(tiny_config, training, stems_dir, tmp_path / "work")
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
    states = sorted((tmp_path / "work" / "state").iterdir())
    network = build_network(tiny_config)
    adam = build_adam(training)
    assert checkpoint.Checkpoint.open(states[-1]).load_adam(network, adam)
    steps = 3 * (progress.best_epoch + len(stages) - stages.index(2))
    assert int(adam.iterations) == steps  # those of the best epoch, and since


STOPPED = dataclasses.replace(
    QUICK, patience=1, learning_rate=0.03, max_epochs=6, dropout_probability=0.2
)


@pytest.fixture(scope="module")
def without_stop(kept_stems_dir, tiny_config, tmp_path_factory):
    """The workdir of a training in one go, through both stages."""
    workdir = tmp_path_factory.mktemp("whole") / "work"
    run(tiny_config, STOPPED, kept_stems_dir, workdir)
    assert {record["stage"] for record in history(workdir)} == {1, 2}
    return workdir


# After the first step; after an epoch's last; in a validation; some epochs later.
@pytest.mark.parametrize(
    "steps", [1, *(pytest.param(n, marks=pytest.mark.slow) for n in (3, 4)), 13]
)
def test_a_stopped_training_goes_on_as_if_it_had_not_been(
    stems_dir, tiny_config, tmp_path, without_stop, steps
):
    arguments = {"data_dirs": [stems_dir], "workdir": tmp_path / "stopped"}
    with pytest.raises(loop.Stopped, match="after step"):
        loop.train(tiny_config, STOPPED, should_stop=Enough(steps), **arguments)
    with pytest.raises(loop.Stopped):
        loop.train(tiny_config, STOPPED, should_stop=Enough(2), **arguments)
    loop.train(tiny_config, STOPPED, **arguments)
    came, expected = history(tmp_path / "stopped"), history(without_stop)
    assert len(came) == len(expected)
    for one, other in zip(came, expected):
        del one["seconds"], other["seconds"]
        one.update(one.pop("validation_sdr_db"))
        other.update(other.pop("validation_sdr_db"))
        assert one == pytest.approx(other, rel=1e-5)
    for one, other in zip(
        checkpoint.load_network(tmp_path / "stopped" / "best").get_weights(),
        checkpoint.load_network(without_stop / "best").get_weights(),
    ):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_dropout_goes_on_where_it_stood(stems_dir, tmp_path):
    training = dataclasses.replace(QUICK, steps_per_epoch=4, max_epochs=1)
    run(TINY_U7, training, stems_dir, tmp_path / "whole")
    arguments = {"data_dirs": [stems_dir], "workdir": tmp_path / "stopped"}
    with pytest.raises(loop.Stopped):
        loop.train(TINY_U7, training, should_stop=Enough(2), **arguments)
    loop.train(TINY_U7, training, **arguments)
    (came,), (expected,) = history(tmp_path / "stopped"), history(tmp_path / "whole")
    assert came["loss"] == pytest.approx(expected["loss"], rel=1e-6)


def test_float16_goes_on_with_its_loss_scale(stems_dir, tiny_config, tmp_path):
    training = dataclasses.replace(QUICK, max_epochs=1, steps_per_epoch=6)
    arguments = {
        "data_dirs": [stems_dir],
        "compute": ComputeConfig(precision="mixed_float16"),
    }
    loop.train(tiny_config, training, workdir=tmp_path / "whole", **arguments)
    arguments["workdir"] = tmp_path / "stopped"
    with pytest.raises(loop.Stopped):
        loop.train(tiny_config, training, should_stop=Enough(4), **arguments)
    loop.train(tiny_config, training, **arguments)
    states = [
        json.loads(next((tmp_path / name / "state").glob("*6-1-0/*s.json")).read_text())
        for name in ("whole", "stopped")
    ]
    assert states[0]["loss_scale"] == states[1]["loss_scale"]
    assert len(states[0]["loss_scale"]) == 2


def test_a_broken_state_gives_way_to_the_one_before(
    stems_dir, tiny_config, tmp_path, caplog
):
    run(tiny_config, QUICK, stems_dir, tmp_path / "work")
    before, last = sorted((tmp_path / "work" / "state").iterdir())
    weights = last / "network.weights.h5"
    weights.write_bytes(weights.read_bytes()[:1000])
    progress = run(tiny_config, QUICK, stems_dir, tmp_path / "work")
    assert "taking the state before" in caplog.text
    assert [record["epoch"] for record in history(tmp_path / "work")] == [1, 2]
    assert progress.epoch == 2
    for state in (tmp_path / "work" / "state").iterdir():
        (state / "progress.json").write_text("[")
    with pytest.raises(InputError, match="must hold a whole state, but none is"):
        run(tiny_config, QUICK, stems_dir, tmp_path / "work")


def test_a_workdir_of_another_training_is_left_alone(stems_dir, tiny_config, tmp_path):
    run(tiny_config, QUICK, stems_dir, tmp_path / "work")
    config = dataclasses.replace(tiny_config, output_activation="linear")
    training = dataclasses.replace(QUICK, seed=8)
    with pytest.raises(InputError) as error:
        run(config, training, stems_dir, tmp_path / "work")
    assert "output_activation (tanh, now linear), seed (7, now 8)" in str(error.value)
    longer = dataclasses.replace(QUICK, max_epochs=3)  # may change
    assert run(tiny_config, longer, stems_dir, tmp_path / "work").epoch == 3


def test_without_validation_tracks_the_training_loss_decides(
    stems_dir, tiny_config, tmp_path
):
    shutil.rmtree(stems_dir / "valid")
    progress = run(tiny_config, QUICK, stems_dir, tmp_path / "work")
    records = history(tmp_path / "work")
    assert records[0]["validation_loss"] is None
    assert progress.best_loss == min(record["loss"] for record in records)


def test_a_workdir_with_a_training_is_left_alone(stems_dir, tiny_config, tmp_path):
    (tmp_path / "history.jsonl").write_text("mine\n")
    with pytest.raises(InputError, match="holds history.jsonl"):
        run(tiny_config, QUICK, stems_dir, tmp_path)
    assert (tmp_path / "history.jsonl").read_text() == "mine\n"


def test_a_loss_that_is_no_number_ends_the_training(stems_dir, tiny_config, tmp_path):
    config = dataclasses.replace(
        tiny_config, output_type="direct", output_activation="linear"
    )
    training = dataclasses.replace(QUICK, learning_rate=1e30)
    with pytest.raises(InputError, match="must stay a finite number"):
        run(config, training, stems_dir, tmp_path / "work")


def test_a_validation_track_that_is_no_number_ends_the_training(
    stems_dir, tiny_config, tmp_path
):
    path = stems_dir / "valid" / "three" / "vocals.wav"
    soundfile.write(path, np.full((1000, 2), np.nan), 8000, subtype="FLOAT")
    with pytest.raises(InputError, match="validation loss must stay a finite number"):
        run(tiny_config, QUICK, stems_dir, tmp_path / "work")


def test_a_spectrogram_network_trains_on_audio_or_magnitudes(stems_dir, tmp_path):
    for loss in ("mse", "magnitude_l1"):
        training = dataclasses.replace(QUICK, loss=loss, steps_per_epoch=20)
        run(TINY_U7, training, stems_dir, tmp_path / loss)
        first, second = history(tmp_path / loss)
        assert second["loss"] < first["loss"]
        assert np.isfinite(second["validation_loss"])


def test_magnitudes_need_a_spectrogram_network(stems_dir, tiny_config, tmp_path):
    training = dataclasses.replace(QUICK, loss="magnitude_l1")
    with pytest.raises(InputError, match="`loss` must be mse or l1 or sdr for"):
        run(tiny_config, training, stems_dir, tmp_path / "work")


def test_training_starts_from_a_checkpoint(stems_dir, tiny_config, tmp_path):
    run(tiny_config, QUICK, stems_dir, tmp_path / "a")
    start = tmp_path / "a" / "best"
    still = dataclasses.replace(
        QUICK, learning_rate=1e-30, steps_per_epoch=1, max_epochs=1
    )
    arguments = {"data_dirs": [stems_dir], "init_from": start}
    loop.train(tiny_config, still, workdir=tmp_path / "b", **arguments)
    for old, new in zip(
        checkpoint.load_network(start).get_weights(),
        checkpoint.load_network(tmp_path / "b" / "best").get_weights(),
    ):
        np.testing.assert_allclose(new, old, rtol=1e-6)
    other = dataclasses.replace(tiny_config, upsampling="learned")
    with pytest.raises(InputError, match="upsampling=linear instead of learned"):
        loop.train(other, still, workdir=tmp_path / "c", **arguments)


def test_a_network_for_other_sources_takes_all_but_the_output(
    stems_dir, tiny_config, tmp_path
):
    run(tiny_config, QUICK, stems_dir, tmp_path / "a")
    start = tmp_path / "a" / "best"
    still = dataclasses.replace(
        QUICK, learning_rate=1e-30, steps_per_epoch=1, max_epochs=1
    )
    other = dataclasses.replace(tiny_config, sources=("vocals", "accompaniment"))
    arguments = {"data_dirs": [stems_dir], "init_from": start}
    with pytest.raises(InputError, match="`reinit_output` allows"):
        loop.train(other, still, workdir=tmp_path / "b", **arguments)
    arguments["reinit_output"] = True
    loop.train(other, still, workdir=tmp_path / "b", **arguments)
    old, new = (
        checkpoint.load_network(folder) for folder in (start, tmp_path / "b" / "best")
    )
    for layer in new.layers:
        if layer.weights and layer.name != "output_vocals":
            for one, two in zip(
                layer.get_weights(), old.get_layer(layer.name).get_weights()
            ):
                np.testing.assert_allclose(one, two, rtol=1e-6)
    deeper = dataclasses.replace(other, num_levels=2)
    with pytest.raises(InputError, match="has num_levels=3 instead of 2$"):
        loop.train(deeper, still, workdir=tmp_path / "c", **arguments)


def test_several_folders_are_one_data_set(stems_dir, tiny_config, tmp_path):
    shutil.copytree(stems_dir / "train", tmp_path / "more" / "train")
    progress = loop.train(
        tiny_config,
        QUICK,
        data_dirs=[stems_dir, tmp_path / "more"],
        workdir=tmp_path / "work",
    )
    assert progress.epoch == 2


def test_a_batch_that_parts_do_not_divide_is_refused(stems_dir, tiny_config, tmp_path):
    with pytest.raises(InputError, match="must be multiples of 3, 1 devices times 3"):
        loop.train(
            tiny_config,
            QUICK,
            data_dirs=[stems_dir],
            workdir=tmp_path / "work",
            compute=ComputeConfig(accumulate_steps=3),
        )
    assert not (tmp_path / "work").exists()


def test_a_workdir_that_cannot_be_written_is_told_at_once(
    stems_dir, tiny_config, tmp_path
):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OSError, match="file"):
        run(tiny_config, QUICK, stems_dir, tmp_path / "file" / "work")


def test_tensorboard_holds_curves_sound_and_pictures(stems_dir, tiny_config, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run(tiny_config, QUICK, stems_dir, tmp_path / "work")
    events = EventAccumulator(str(tmp_path / "work" / "tensorboard"))
    events.Reload()
    tags = events.Tags()["tensors"]

    def points(name):
        return [
            (event.step, float(tf.make_ndarray(event.tensor_proto)))
            for event in events.Tensors(name)
        ]

    records = history(tmp_path / "work")
    for name, tag in {
        "loss": "epoch/loss",
        "validation_loss": "epoch/validation_loss",
        "learning_rate": "epoch/learning_rate",
    }.items():
        assert points(tag) == [
            (record["step"], pytest.approx(record[name], rel=1e-6))
            for record in records
        ]
    assert points("epoch/validation_sdr_db/vocals")[0][1] == pytest.approx(
        records[0]["validation_sdr_db"]["vocals"], abs=1e-5
    )
    assert points("training/gradient_norm")[0][1] > 0
    assert 0 <= points("training/input_wait_share")[0][1] < 1
    (event, _) = events.Tensors("audio of three/vocals, estimate")
    wav = tf.make_ndarray(event.tensor_proto)[0, 0]
    sound, rate_hz = soundfile.read(io.BytesIO(wav))
    assert rate_hz == 8000
    assert len(sound) / rate_hz == pytest.approx(5, abs=0.02)
    assert "spectrogram of three/mixture" in tags
    assert (tmp_path / "work" / "loss.png").stat().st_size > 1000
