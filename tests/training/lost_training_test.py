"""Trainings that are lost on purpose, through the whole loop."""

import dataclasses
import math
import re

import numpy as np
import pytest

from tests.training.trainings import MINI, QUICK, history, run
from waveunet_tf.checkpoints import checkpoint
from waveunet_tf.errors import InputError
from waveunet_tf.networks.build import build_network
from waveunet_tf.training import guard
from waveunet_tf.training.log import TrainingLog
from waveunet_tf.training.state import StateStore
from waveunet_tf.training.step import TrainingStep

TOO_FAST = dataclasses.replace(QUICK, learning_rate=30.0, steps_per_epoch=50)


def ways_back(workdir):
    return [record for record in history(workdir) if "rollback" in record]


def states(workdir):
    return sorted(path.name for path in (workdir / "state").iterdir())


@pytest.mark.slow
def test_a_rate_far_too_high_is_told_three_times_and_then_ends_the_training(
    kept_stems_dir, tmp_path, caplog
):
    with pytest.raises(InputError) as error:
        run(MINI, TOO_FAST, kept_stems_dir, tmp_path)
    assert re.match(
        r"At least half of the output's samples must be within ±0.99, but for 20 steps "
        r"\d+% are not, at step \d+ of epoch 1; a lower `learning_rate` may help",
        str(error.value),
    )
    told = ways_back(tmp_path)
    assert [record["learning_rate"] for record in told] == [15, 7.5, 3.75]
    assert {record["to_step"] for record in told} == {0}
    assert len(re.findall("back to step 0 at a learning rate of", caplog.text)) == 3
    # The first weights are still there, whole, and nothing else is.
    assert states(tmp_path)[-1] == "000000000-0-0-3"
    assert not list(tmp_path.rglob(".part*"))
    assert not (tmp_path / "best").exists()


@pytest.mark.parametrize("loss", ["sdr", pytest.param("mse", marks=pytest.mark.slow)])
def test_a_loss_above_the_mixtures_is_lost_and_half_the_rate_may_save_it(
    kept_stems_dir, tmp_path, monkeypatch, loss
):
    """Without a tanh, so that nothing is saturated."""
    monkeypatch.setattr(guard, "LOST_STEPS", 10)
    config = dataclasses.replace(MINI, output_type="direct", output_activation="linear")
    training = dataclasses.replace(
        TOO_FAST, loss=loss, learning_rate=0.5, max_epochs=1, min_gain=1.0
    )
    run(config, training, kept_stems_dir, tmp_path)
    *told, epoch = history(tmp_path)
    assert 1 <= len(told) <= 3
    for record in told:
        assert "must be below that of the mixture taken as" in record["reason"]
    assert epoch["learning_rate"] == 0.5 ** len(told) * 0.5


def planted(monkeypatch, *calls, **numbers):
    """Makes some calls of the training step return other numbers."""
    step, count = TrainingStep.__call__, iter(range(1, 10**6))

    def call(self, batch, stops):
        result = step(self, batch, stops)
        if next(count) in calls:
            result = result._replace(**numbers)
        return result

    monkeypatch.setattr(TrainingStep, "__call__", call)


def test_after_a_nan_a_training_goes_on_from_its_last_good_state(
    kept_stems_dir, tmp_path, monkeypatch, finished_dir
):
    planted(monkeypatch, 5, loss=math.nan)
    progress = run(MINI, QUICK, kept_stems_dir, tmp_path)
    first, back, second = history(tmp_path)
    assert first["loss"] == pytest.approx(history(finished_dir)[0]["loss"], rel=1e-6)
    assert (back["step"], back["to_step"]) == (5, 3)
    assert "loss must stay a finite number, but is nan" in back["reason"]
    assert back["reason"].endswith("at step 2 of epoch 2")
    # The second epoch is done again, with the same excerpts, at half the rate.
    assert (second["step"], progress.step, progress.excerpt) == (6, 6, 24)
    assert [first["learning_rate"], second["learning_rate"]] == [1e-3, 0.5e-3]


@pytest.mark.slow
def test_an_epoch_that_is_done_again_is_the_best_only_if_it_is(
    kept_stems_dir, tmp_path, monkeypatch, caplog
):
    caplog.set_level("INFO")
    planted(monkeypatch, 3, saturated=1.0)  # so the first epoch's end is no good state
    planted(monkeypatch, 5, loss=math.nan)
    run(MINI, QUICK, kept_stems_dir, tmp_path)
    lines = [line for line in caplog.messages if ", validation loss " in line]
    assert [line.partition(":")[0] for line in lines] == [
        "epoch 1",
        "epoch 1",
        "epoch 2",
    ]
    losses = [float(line.split("validation loss ")[1].split(",")[0]) for line in lines]
    assert losses[1] > losses[0]
    for place, line in enumerate(lines):
        is_best = losses[place] < min([math.inf, *losses[:place]])
        assert line.endswith("the best so far") == is_best


@pytest.mark.slow
def test_a_nan_of_the_validation_is_a_way_back_too(
    kept_stems_dir, tmp_path, monkeypatch
):
    from waveunet_tf.training import validation

    scores = validation.checks.call_on_devices
    count = iter(range(100))

    def call(step, batch, stops):
        result = scores(step, batch, stops)
        if isinstance(step, validation.ValidationStep) and next(count) == 0:
            result = result._replace(loss=result.loss * math.nan)
        return result

    monkeypatch.setattr(validation.checks, "call_on_devices", call)
    run(MINI, QUICK, kept_stems_dir, tmp_path)
    back, *epochs = history(tmp_path)
    assert (back["to_step"], [record["epoch"] for record in epochs]) == (0, [1, 2])
    assert "validation loss must stay a finite" in back["reason"]


@pytest.mark.slow
def test_stage_two_goes_back_to_its_own_beginning(
    kept_stems_dir, tmp_path, monkeypatch
):
    training = dataclasses.replace(
        *(QUICK,), max_epochs=2, patience=1, steps_per_epoch=1, learning_rate=1e-30,
        fine_tuning_batch_size=4,
    )  # fmt: skip
    planted(monkeypatch, 3, gradient_norm=math.inf)
    training = dataclasses.replace(training, max_epochs=3)
    progress = run(MINI, training, kept_stems_dir, tmp_path)
    (back,) = ways_back(tmp_path)
    assert (back["stage"], back["to_step"], back["step"]) == (2, 2, 3)
    assert back["learning_rate"] == 0.5e-5
    assert history(tmp_path)[-1]["learning_rate"] == 0.5e-5
    assert (progress.stage, progress.epoch, progress.step) == (1, 3, 3)


def test_samples_that_are_no_numbers_end_a_training_at_once(stems_dir, tmp_path):
    import soundfile

    for path in (stems_dir / "train").rglob("vocals.wav"):
        samples, rate_hz = soundfile.read(path)
        soundfile.write(path, samples * np.nan, rate_hz, subtype="FLOAT")
    with pytest.raises(InputError, match="samples of the excerpts must be finite"):
        run(MINI, QUICK, stems_dir, tmp_path / "work")
    assert not ways_back_or_none(tmp_path / "work")


def ways_back_or_none(workdir):
    return (workdir / "history.jsonl").exists() and ways_back(workdir)


@pytest.mark.slow
def test_a_network_that_begins_saturated_is_lost(kept_stems_dir, tmp_path):
    network = build_network(MINI)
    for layer in network.layers:
        if layer.name.startswith("output_") and layer.weights:
            layer.bias.assign([9.0, -9.0])
    checkpoint.save_checkpoint(tmp_path / "start", network, MINI)
    training = dataclasses.replace(QUICK, steps_per_epoch=50)
    arguments = {"init_from": tmp_path / "start"}
    with pytest.raises(InputError, match=r"within ±0.99, but for 20 steps [5-9]\d%"):
        run(MINI, training, kept_stems_dir, tmp_path / "work", **arguments)


class Killed(BaseException):
    """Stands for a kill: nothing of ours catches it."""


def killing(method, *, before):
    def call(*args, **kwargs):
        if not before:
            method(*args, **kwargs)
        raise Killed

    return call


@pytest.fixture(scope="module")
def gone_back(kept_stems_dir, tmp_path_factory):
    """A training that was lost in its second epoch, and never killed."""
    workdir = tmp_path_factory.mktemp("lost") / "work"
    with pytest.MonkeyPatch.context() as monkeypatch:
        planted(monkeypatch, 5, loss=math.nan)
        run(MINI, QUICK, kept_stems_dir, workdir)
    return workdir


@pytest.mark.xdist_group("gone_back")
@pytest.mark.parametrize(
    ("owner", "name", "before"),
    [
        # The good state is loaded, nothing written.
        pytest.param(StateStore, "go_back", False, marks=pytest.mark.slow),
        # The state is saved, nothing told.
        pytest.param(TrainingLog, "go_back", True, marks=pytest.mark.slow),
        # All is told, no step taken.
        pytest.param(TrainingLog, "go_back", False, marks=pytest.mark.slow),
    ],
)
def test_a_training_killed_while_it_goes_back_ends_as_if_it_had_not_been(
    kept_stems_dir, tmp_path, gone_back, owner, name, before
):
    workdir = tmp_path / "work"
    with pytest.MonkeyPatch.context() as monkeypatch:
        planted(monkeypatch, 5, loss=math.nan)
        monkeypatch.setattr(owner, name, killing(getattr(owner, name), before=before))
        with pytest.raises(Killed):
            run(MINI, QUICK, kept_stems_dir, workdir, save_seconds=0.0)
    with pytest.MonkeyPatch.context() as monkeypatch:
        if owner is StateStore:  # nothing knows of the NaN: it comes again
            planted(monkeypatch, 1, loss=math.nan)
        run(MINI, QUICK, kept_stems_dir, workdir)
    records, expected = history(workdir), history(gone_back)
    for record in [*records, *expected]:
        record.pop("seconds", None)
    assert records == expected
    for one, other in zip(weights_of(workdir), weights_of(gone_back)):
        np.testing.assert_array_equal(one, other)
    assert states(workdir) == states(gone_back)


def weights_of(workdir):
    return checkpoint.load_network(workdir / "best").get_weights()
