"""Trainings that are stopped and go on, and workdirs that are not theirs."""

import dataclasses
import json
import shutil

import pytest

from tests.system.leftovers import leave_half
from tests.training.trainings import (
    COSINE,
    MINI,
    MINI_U7,
    QUICK,
    U7,
    Begun,
    Enough,
    check_same_history,
    check_same_weights,
    history,
    run,
)
from waveunet_tf.configs.training import ComputeConfig
from waveunet_tf.errors import InputError
from waveunet_tf.system import files
from waveunet_tf.training import loop
from waveunet_tf.training.devices import Devices

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


def test_a_finished_training_has_nothing_left_to_do(kept_stems_dir, finished_dir):
    before = history(finished_dir)
    for epochs in (2, 1):  # also where fewer are asked for than there are
        training = dataclasses.replace(QUICK, max_epochs=epochs)
        progress = run(MINI, training, kept_stems_dir, finished_dir)
        assert (progress.epoch, progress.step) == (2, 6)
    assert history(finished_dir) == before


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


@pytest.mark.slow
@pytest.mark.xdist_group("u7_training")
def test_dropout_goes_on_where_it_stood(kept_stems_dir, tmp_path, u7_dir):
    workdir = tmp_path / "stopped"
    with pytest.raises(loop.Stopped):
        run(MINI_U7, U7, kept_stems_dir, workdir, should_stop=Enough(15))
    run(MINI_U7, dataclasses.replace(U7, max_epochs=1), kept_stems_dir, workdir)
    (record,), (expected, _) = history(workdir), history(u7_dir)
    assert record["loss"] == pytest.approx(expected["loss"], rel=1e-6)


@pytest.mark.slow
@pytest.mark.xdist_group("cosine_training")
def test_averages_and_a_cosine_go_on_where_they_stood(
    kept_stems_dir, tmp_path, cosine_dir
):
    workdir = tmp_path / "stopped"
    # Within the first epoch's validation, and in the second epoch.
    for calls in (26, 10):
        with pytest.raises(loop.Stopped):
            run(MINI, COSINE, kept_stems_dir, workdir, should_stop=Enough(calls))
    longer = dataclasses.replace(COSINE, max_epochs=3)
    with pytest.raises(InputError, match=r"max_epochs \(2, now 3\)"):
        run(MINI, longer, kept_stems_dir, workdir)
    run(MINI, COSINE, kept_stems_dir, workdir)
    check_same_weights(workdir / "best", cosine_dir / "best", 1e-6)


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


def test_a_workdir_with_a_training_is_left_alone(kept_stems_dir, tmp_path):
    (tmp_path / "history.jsonl").write_text("mine\n")
    with pytest.raises(InputError, match="holds history.jsonl"):
        run(MINI, QUICK, kept_stems_dir, tmp_path)
    assert (tmp_path / "history.jsonl").read_text() == "mine\n"


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
    def should_stop():
        with pytest.raises(InputError, match="another run is at work in it"):
            with files.locked_folder(tmp_path / "work"):
                pass
        raise Begun

    with pytest.raises(Begun):
        run(MINI, QUICK, kept_stems_dir, tmp_path / "work", should_stop=should_stop)
