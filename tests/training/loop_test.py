import dataclasses
import json
import logging
import shutil

import keras
import numpy as np
import pytest
import soundfile
import tensorflow as tf

from tests.system.leftovers import leave_half
from tests.training.trainings import MINI, MINI_U7, QUICK, Enough, history, run
from waveunet_tf.checkpoints import checkpoint
from waveunet_tf.checkpoints.adam import build_adam
from waveunet_tf.configs.training import ComputeConfig
from waveunet_tf.data import excerpts
from waveunet_tf.errors import InputError
from waveunet_tf.networks.build import build_network
from waveunet_tf.system import files
from waveunet_tf.training import loop
from waveunet_tf.training.devices import Devices
from waveunet_tf.training.step import TrainingStep

# A step too small to change a float32 weight.
STILL = dataclasses.replace(QUICK, learning_rate=1e-30, steps_per_epoch=1, max_epochs=1)


def weights_of(directory):
    return checkpoint.load_network(directory).get_weights()


def check_same_weights(directory, other, tolerance):
    for one, two in zip(weights_of(directory), weights_of(other)):
        np.testing.assert_allclose(one, two, atol=tolerance)


def check_same_history(workdir, other):
    records, others = history(workdir), history(other)
    assert len(records) == len(others)
    for one, two in zip(records, others):
        del one["seconds"], two["seconds"]
        one.update(one.pop("validation_sdr_db"))
        two.update(two.pop("validation_sdr_db"))
        assert one == pytest.approx(two, rel=1e-5)


def test_one_step_moves_every_weight_by_adams_first_step(kept_stems_dir, tmp_path):
    training = dataclasses.replace(QUICK, steps_per_epoch=1, max_epochs=1)
    run(MINI, training, kept_stems_dir, tmp_path / "work")
    keras.utils.set_random_seed(7)
    before = build_network(MINI).get_weights()
    for old, new in zip(before, weights_of(tmp_path / "work" / "best")):
        # Adam's first step is learning_rate * gradient / (|gradient| + epsilon).
        steps = np.abs(new - old)
        assert 0 < steps.max() <= 1e-3 * (1 + 1e-3)
        assert np.median(steps) > 0.9e-3


def test_training_writes_its_history_and_the_best_checkpoint(finished_dir):
    records = history(finished_dir)
    assert [record["epoch"] for record in records] == [1, 2]
    assert [record["step"] for record in records] == [3, 6]
    assert [record["stage"] for record in records] == [1, 1]
    best = checkpoint.Checkpoint.open(finished_dir / "best")
    assert best.config == MINI
    assert best.training == QUICK
    state = max((finished_dir / "state").iterdir())
    progress = json.loads((state / "progress.json").read_text())
    losses = [record["validation_loss"] for record in records]
    assert progress["best_loss"] == min(losses)
    assert progress["best_epoch"] == 1 + losses.index(min(losses))


@pytest.fixture(scope="module")
def often_saved_dir(kept_stems_dir, tmp_path_factory):
    """The workdir of the same training, without pictures, with a state a step."""
    workdir = tmp_path_factory.mktemp("often saved") / "work"
    run(MINI, QUICK, kept_stems_dir, workdir, save_seconds=0.0)
    return workdir


@pytest.mark.xdist_group("often_saved_training")
def test_the_same_seed_gives_the_same_losses_with_pictures_or_without(
    often_saved_dir, finished_dir
):
    check_same_history(often_saved_dir, finished_dir)
    assert (finished_dir / "loss.png").exists()
    assert not (often_saved_dir / "loss.png").exists()


@pytest.mark.xdist_group("often_saved_training")
def test_states_are_saved_within_an_epoch_as_often_as_asked(often_saved_dir):
    names = sorted(path.name for path in (often_saved_dir / "state").iterdir())
    # The last two: after the sixth step, and after the validation; and the one that
    # the first of them would go back to.
    assert names == ["000000003-1-0", "000000006-1-0", "000000006-2-0"]


def test_a_finished_training_has_nothing_left_to_do(kept_stems_dir, finished_dir):
    before = history(finished_dir)
    for epochs in (2, 1):  # also where fewer are asked for than there are
        training = dataclasses.replace(QUICK, max_epochs=epochs)
        progress = run(MINI, training, kept_stems_dir, finished_dir)
        assert (progress.epoch, progress.step) == (2, 6)
    assert history(finished_dir) == before


def test_the_loss_falls(kept_stems_dir, tmp_path):
    training = dataclasses.replace(QUICK, steps_per_epoch=25, learning_rate=3e-3)
    run(MINI, training, kept_stems_dir, tmp_path / "work")
    first, second = history(tmp_path / "work")
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
    state = max((tmp_path / "work" / "state").iterdir())
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
    state = max((tmp_path / "state").iterdir())
    with np.load(state / "averages.npz") as file:
        averages = [file[f"arr_{number}"] for number in range(len(file.files) - 1)]
    for average, weight in zip(averages, weights_of(state)):
        np.testing.assert_allclose(average, weight, atol=1e-7)


STOPPED = dataclasses.replace(
    QUICK,
    patience=1,
    learning_rate=0.1,
    max_epochs=4,
    fine_tuning_batch_size=4,
    dropout_probability=0.2,
)


@pytest.fixture(scope="module")
def without_stop(kept_stems_dir, tmp_path_factory):
    """The workdir of a training in one go, through both stages."""
    workdir = tmp_path_factory.mktemp("whole") / "work"
    run(MINI, STOPPED, kept_stems_dir, workdir)
    assert {record["stage"] for record in history(workdir)} == {1, 2}
    return workdir


# After the first step, and in the fine-tuning; after an epoch's last step; within a
# validation.
@pytest.mark.xdist_group("stopped_training")
@pytest.mark.parametrize(
    ("calls", "ahead"),
    [
        ([1, 16], 2),
        pytest.param([3, 2], 1, marks=pytest.mark.slow),
        pytest.param([4, 2], 1, marks=pytest.mark.slow),
    ],
)
def test_a_stopped_training_goes_on_as_if_it_had_not_been(
    kept_stems_dir, tmp_path, without_stop, monkeypatch, calls, ahead
):
    """Also where steps start before those before are read, as on a GPU."""
    monkeypatch.setattr(Devices, "steps_at_once", ahead)
    workdir = tmp_path / "stopped"
    for number in calls:
        with pytest.raises(loop.Stopped, match="after step"):
            run(MINI, STOPPED, kept_stems_dir, workdir, should_stop=Enough(number))
    run(MINI, STOPPED, kept_stems_dir, workdir)
    check_same_history(workdir, without_stop)
    check_same_weights(workdir / "best", without_stop / "best", 1e-5)


@pytest.mark.slow
def test_float16_goes_on_with_its_loss_scale(kept_stems_dir, tmp_path, float16_dir):
    arguments = (MINI, QUICK, kept_stems_dir, tmp_path / "stopped")
    compute = ComputeConfig(precision="mixed_float16")
    with pytest.raises(loop.Stopped):
        run(*arguments, compute=compute, should_stop=Enough(2))
    run(*arguments, compute=compute)
    states = [
        json.loads(next((workdir / "state").glob("*6-2-0/*s.json")).read_text())
        for workdir in (float16_dir, tmp_path / "stopped")
    ]
    assert states[0]["loss_scale"] == states[1]["loss_scale"]
    assert len(states[0]["loss_scale"]) == 2


U7 = dataclasses.replace(QUICK, steps_per_epoch=20, learning_rate=3e-3)


@pytest.fixture(scope="module")
def u7_dir(kept_stems_dir, tmp_path_factory):
    """The workdir of a training of a spectrogram network, which has dropout."""
    workdir = tmp_path_factory.mktemp("u7") / "work"
    run(MINI_U7, U7, kept_stems_dir, workdir)
    return workdir


@pytest.mark.slow
@pytest.mark.xdist_group("u7_training")
def test_dropout_goes_on_where_it_stood(kept_stems_dir, tmp_path, u7_dir):
    workdir = tmp_path / "stopped"
    with pytest.raises(loop.Stopped):
        run(MINI_U7, U7, kept_stems_dir, workdir, should_stop=Enough(15))
    run(MINI_U7, dataclasses.replace(U7, max_epochs=1), kept_stems_dir, workdir)
    (record,), (expected, _) = history(workdir), history(u7_dir)
    assert record["loss"] == pytest.approx(expected["loss"], rel=1e-6)


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


def test_a_workdir_of_another_training_is_left_alone(kept_stems_dir, finished_dir):
    training = dataclasses.replace(QUICK, seed=8)
    for field, value, text in [
        ("output_activation", "linear", "output_activation (tanh, now linear)"),
        ("num_levels", 2, "num_levels (1, now 2)"),  # arrays of other shapes, too
    ]:
        config = dataclasses.replace(MINI, **{field: value})
        with pytest.raises(InputError) as error:
            run(config, training, kept_stems_dir, finished_dir)
        assert f"{text}, seed (7, now 8)" in str(error.value)


def test_a_training_goes_on_with_the_data_that_it_began_with(
    stems_dir, tmp_path, finished_dir
):
    """Wherever they lie: `stems_dir` holds what the training was made with."""
    workdir = tmp_path / "work"
    shutil.copytree(finished_dir, workdir)
    assert run(MINI, QUICK, stems_dir, workdir).epoch == 2
    (stems_dir / "train" / "one").rename(stems_dir / "train" / "another")
    with pytest.raises(InputError, match="What differs: 1 of its folders") as error:
        run(MINI, QUICK, stems_dir, workdir)
    assert str(error.value).endswith(f"of another weight: {stems_dir}")
    assert str(error.value).startswith(f"{workdir}: ")
    assert run(MINI, QUICK, stems_dir, workdir, other_data=True).epoch == 2


@pytest.mark.slow
def test_a_training_goes_on_with_the_weights_that_it_began_with(
    stems_dir, kept_stems_dir, tmp_path, caplog
):
    (stems_dir / "train" / "one").rename(stems_dir / "train" / "another")
    workdir, data_dirs = tmp_path / "work", [stems_dir, kept_stems_dir]
    arguments = {"data_dirs": data_dirs, "data_weights": [3, 1]}
    caplog.set_level("INFO", logger="absl")
    assert run(MINI, QUICK, stems_dir, workdir, **arguments).epoch == 2
    for share, folder in zip((75, 25), data_dirs):
        assert f"{share}.0% of the excerpts from {folder} (2 tracks)" in caplog.text
    assert run(MINI, QUICK, stems_dir, workdir, **arguments).epoch == 2
    for weights, changed in [([2, 1], stems_dir), (None, stems_dir)]:
        arguments["data_weights"] = weights
        with pytest.raises(InputError, match="What differs: 1 of its folders") as error:
            run(MINI, QUICK, stems_dir, workdir, **arguments)
        assert str(error.value).endswith(f"of another weight: {changed}")
    assert run(MINI, QUICK, stems_dir, workdir, other_data=True, **arguments).epoch == 2


def test_what_a_killed_run_left_half_written_is_removed(
    kept_stems_dir, tmp_path, finished_dir
):
    workdir = tmp_path / "work"
    shutil.copytree(finished_dir, workdir)
    for place in ("state", "best"):
        leave_half(workdir / place / "000000006-1-0")
    run(MINI, QUICK, kept_stems_dir, workdir)
    assert not list(workdir.rglob(".part*"))


def test_two_runs_in_one_workdir_refuse_each_other(
    kept_stems_dir, tmp_path, finished_dir
):
    workdir = tmp_path / "work"
    shutil.copytree(finished_dir, workdir)
    with files.locked_folder(workdir):
        with pytest.raises(InputError, match="work: another run is at work in it"):
            run(MINI, QUICK, kept_stems_dir, workdir)
    assert run(MINI, QUICK, kept_stems_dir, workdir).epoch == 2


def test_a_new_workdir_is_locked_while_it_is_trained_in(kept_stems_dir, tmp_path):
    seen = []

    def should_stop():
        with pytest.raises(InputError, match="another run is at work in it"):
            with files.locked_folder(tmp_path / "work"):
                pass
        seen.append(True)
        return True

    with pytest.raises(loop.Stopped):
        run(MINI, QUICK, kept_stems_dir, tmp_path / "work", should_stop=should_stop)
    assert seen


def test_a_broken_state_gives_way_to_the_one_before_and_a_training_may_be_prolonged(
    kept_stems_dir, tmp_path, finished_dir, caplog
):
    workdir = shutil.copytree(finished_dir, tmp_path / "work")
    weights = max((workdir / "state").iterdir()) / "network.weights.h5"
    weights.write_bytes(weights.read_bytes()[:1000])
    longer = dataclasses.replace(QUICK, max_epochs=3)
    progress = run(MINI, longer, kept_stems_dir, workdir)
    assert "loading the state before" in caplog.text
    assert progress.epoch == 3
    records = history(workdir)
    assert [record["epoch"] for record in records] == [1, 2, 3]
    again = history(finished_dir)[1]
    assert records[1]["loss"] == pytest.approx(again["loss"], rel=1e-5)


def test_without_validation_tracks_the_training_loss_decides(stems_dir, tmp_path):
    shutil.rmtree(stems_dir / "valid")
    training = dataclasses.replace(QUICK, steps_per_epoch=1)
    progress = run(MINI, training, stems_dir, tmp_path / "work")
    records = history(tmp_path / "work")
    assert records[0]["validation_loss"] is None
    assert progress.best_loss == min(record["loss"] for record in records)


def test_a_workdir_with_a_training_is_left_alone(kept_stems_dir, tmp_path):
    (tmp_path / "history.jsonl").write_text("mine\n")
    with pytest.raises(InputError, match="holds history.jsonl"):
        run(MINI, QUICK, kept_stems_dir, tmp_path)
    assert (tmp_path / "history.jsonl").read_text() == "mine\n"


def test_training_starts_from_a_checkpoint(kept_stems_dir, tmp_path, finished_dir):
    start = finished_dir / "best"
    run(MINI, STILL, kept_stems_dir, tmp_path / "work", init_from=start)
    check_same_weights(tmp_path / "work" / "best", start, 1e-7)
    adam = build_adam(STILL)
    kept = checkpoint.Checkpoint.open(tmp_path / "work" / "best")
    assert kept.load_adam(build_network(MINI), adam)
    best = json.loads(
        (max((finished_dir / "state").iterdir()) / "progress.json").read_text()
    )
    assert int(adam.iterations) == 3 * best["best_epoch"] + 1


def test_gradients_are_clipped_as_the_training_says(kept_stems_dir, tmp_path):
    training = dataclasses.replace(STILL, clip_norm=1e-5)
    run(MINI, training, kept_stems_dir, tmp_path / "work")
    adam = build_adam(training)
    best = checkpoint.Checkpoint.open(tmp_path / "work" / "best")
    assert best.load_adam(build_network(MINI), adam)
    # Adam's first moments are a tenth of its first gradients.
    moments = [np.ravel(moment) for moment in adam._momentums]
    norm = 10 * np.linalg.norm(np.concatenate(moments))
    assert norm == pytest.approx(1e-5, rel=1e-4)


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
    with pytest.raises(loop.Stopped):
        run(
            *(MINI, STILL, stems_dir, tmp_path / "work"),
            data_dirs=folders,
            should_stop=Enough(1),
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


COSINE = dataclasses.replace(
    QUICK,
    fine_tuning=False,
    learning_rate_schedule="cosine",
    average_momentum=0.9,
    best_by="sdr",
    steps_per_epoch=12,
)


@pytest.fixture(scope="module")
def cosine_dir(kept_stems_dir, tmp_path_factory):
    """The workdir of a training with a cosine and averages, best by its SDR."""
    workdir = tmp_path_factory.mktemp("cosine") / "work"
    run(MINI, COSINE, kept_stems_dir, workdir)
    return workdir


@pytest.mark.xdist_group("cosine_training")
def test_a_cosine_takes_the_learning_rate_down_to_nothing(cosine_dir):
    rates = [record["learning_rate"] for record in history(cosine_dir)]
    # Of the last of 12 steps, and of 24.
    expected = [0.5e-3 * (1 + np.cos(np.pi * step / 24)) for step in (11, 23)]
    assert rates == pytest.approx(expected)
    assert rates[-1] < 0.01 * COSINE.learning_rate


@pytest.mark.xdist_group("cosine_training")
def test_averages_of_the_weights_are_what_is_validated_and_kept(cosine_dir):
    state = max((cosine_dir / "state").iterdir())
    progress = json.loads((state / "progress.json").read_text())
    last = progress["epoch"] == progress["best_epoch"]
    assert last, "the test needs an epoch that is the best and the last"
    with np.load(state / "averages.npz") as file:
        averages = [file[f"arr_{number}"] for number in range(len(file.files) - 1)]
    kept, own = weights_of(cosine_dir / "best"), weights_of(state)
    for average, one in zip(averages, kept):
        np.testing.assert_array_equal(average, one)
    assert any((one != other).any() for one, other in zip(own, kept))


@pytest.mark.xdist_group("cosine_training")
def test_the_highest_sdr_may_be_what_is_best(cosine_dir):
    means = [
        np.mean(list(record["validation_sdr_db"].values()))
        for record in history(cosine_dir)
    ]
    state = max((cosine_dir / "state").iterdir())
    progress = json.loads((state / "progress.json").read_text())
    assert progress["best_epoch"] == 1 + int(np.argmax(means))
    assert progress["best_loss"] == pytest.approx(-max(means))


@pytest.mark.slow
@pytest.mark.xdist_group("cosine_training")
def test_averages_and_a_cosine_go_on_where_they_stood(
    kept_stems_dir, tmp_path, cosine_dir
):
    workdir = tmp_path / "stopped"
    # Within the first epoch's validation, and in the second epoch.
    for calls in (13, 10):
        with pytest.raises(loop.Stopped):
            run(MINI, COSINE, kept_stems_dir, workdir, should_stop=Enough(calls))
    longer = dataclasses.replace(COSINE, max_epochs=3)
    with pytest.raises(InputError, match=r"max_epochs \(2, now 3\)"):
        run(MINI, longer, kept_stems_dir, workdir)
    run(MINI, COSINE, kept_stems_dir, workdir)
    check_same_weights(workdir / "best", cosine_dir / "best", 1e-6)


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
