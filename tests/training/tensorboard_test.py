import importlib
import io
import sys

import matplotlib
import numpy as np
import pytest
import soundfile
import tensorflow as tf

from tests.training.trainings import MINI, history
from waveunet_tf.checkpoints import checkpoint
from waveunet_tf.commands import app
from waveunet_tf.training.tensorboard import (
    TensorBoard,
    side_by_side,
    spectrogram_picture,
)


def test_without_tensorboard_it_is_named_before_a_training_begins(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)  # as if not installed
    monkeypatch.delitem(sys.modules, TensorBoard.__module__)
    with pytest.raises(ModuleNotFoundError) as missing:
        importlib.import_module(TensorBoard.__module__)
    assert app.explain_import(missing.value).startswith(
        "needs tensorboard: pip install"
    )


def read_events(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def points_of(events, name):
    return [
        (event.step, float(tf.make_ndarray(event.tensor_proto)))
        for event in events.Tensors(name)
    ]


@pytest.fixture(scope="module")
def events(finished_dir):
    return read_events(finished_dir / "tensorboard")


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        ("loss", "epoch/loss"),
        ("validation_loss", "epoch/validation_loss"),
        ("learning_rate", "epoch/learning_rate"),
    ],
)
def test_curves_are_those_of_the_history(finished_dir, events, name, tag):
    assert points_of(events, tag) == [
        (record["step"], pytest.approx(record[name], rel=1e-6))
        for record in history(finished_dir)
    ]


def test_there_are_curves_of_the_sdr_and_of_the_steps(finished_dir, events):
    sdr = points_of(events, "epoch/validation_sdr_db/vocals")
    record, _ = history(finished_dir)
    assert sdr[0][1] == pytest.approx(record["validation_sdr_db"]["vocals"], abs=1e-5)
    assert [step for step, _ in points_of(events, "training/loss")] == [3, 6]
    assert points_of(events, "training/gradient_norm")[0][1] > 0
    assert 0 <= points_of(events, "training/input_wait_share")[0][1] < 1


def test_stems_of_validation_tracks_are_heard_and_seen(events):
    (event, _) = events.Tensors("audio of three/vocals, estimate")
    wav = tf.make_ndarray(event.tensor_proto)[0, 0]
    sound, rate_hz = soundfile.read(io.BytesIO(wav))
    assert rate_hz == 8000
    assert len(sound) / rate_hz == pytest.approx(5, abs=0.02)
    assert len(events.Tensors("spectrogram of three/vocals, estimate")) == 2
    assert len(events.Tensors("spectrogram of three/mixture")) == 1


def test_the_true_stem_is_that_of_the_file(events, kept_stems_dir):
    (event,) = events.Tensors("audio of three/vocals, true")  # once, for all epochs
    wav = tf.make_ndarray(event.tensor_proto)[0, 0]
    sound, _ = soundfile.read(io.BytesIO(wav))
    stem, _ = soundfile.read(kept_stems_dir / "valid" / "three" / "vocals.wav")
    # The track is shorter than the excerpt, and begins it.
    np.testing.assert_allclose(sound[: len(stem)], stem, atol=2 / 2**15)
    assert not sound[len(stem) :].any()


def test_a_point_without_a_value_is_left_out(tmp_path):
    board = TensorBoard(tmp_path, MINI, [])
    board.write_points("epoch", 5, {"loss": 0.25, "validation_loss": None})
    board._writer.flush()
    events = read_events(tmp_path)
    assert events.Tags()["tensors"] == ["epoch/loss"]
    assert points_of(events, "epoch/loss") == [(5, 0.25)]


def test_without_tracks_nothing_is_heard(tmp_path, finished_dir):
    board = TensorBoard(tmp_path, MINI, [])
    board.write_stems(checkpoint.load_network(finished_dir / "best"), 1)
    board._writer.flush()
    assert read_events(tmp_path).Tags()["tensors"] == []


def test_a_folder_that_cannot_be_written_is_an_error_of_its_name(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OSError, match="file"):
        TensorBoard(tmp_path / "file" / "tensorboard", MINI, [])


@pytest.mark.parametrize("profile", [True, False])
def test_ten_steps_are_traced_if_asked_for(tmp_path, profile):
    board = TensorBoard(tmp_path, MINI, [], profile=profile)
    for step in range(21):
        board.begin_steps()
        tf.constant(step) + 1
        board.end_step()
    assert bool(list(tmp_path.rglob("*.xplane.pb"))) == profile


def test_a_trace_begins_and_ends_where_no_step_is_computed(tmp_path, caplog):
    """Of groups of seven, with the numbers of the steps that it has."""
    caplog.set_level("INFO", logger="absl")
    board = TensorBoard(tmp_path, MINI, [], profile=True)
    for _ in range(8):
        board.begin_steps()
        for _ in range(7):
            board.end_step()
    assert [line.rpartition(": ")[2] for line in caplog.messages] == [
        "a trace of steps 15 to 28"
    ]


@pytest.mark.parametrize("steps", [0, 10, 11, 15, 20, 21])
def test_a_trace_ends_with_a_training_that_is_shorter(tmp_path, steps):
    board = TensorBoard(tmp_path, MINI, [], profile=True)
    for _ in range(steps):
        board.begin_steps()
        board.end_step()
    board.close()
    assert bool(list(tmp_path.rglob("*.xplane.pb"))) == (steps > 10)
    # None is open any more.
    tf.profiler.experimental.start(str(tmp_path / "next"))
    tf.profiler.experimental.stop(save=False)


def test_windows_are_joined_in_their_order():
    windows = np.arange(24).reshape(3, 4, 2)
    joined = side_by_side(windows)
    assert joined.shape == (12, 2)
    np.testing.assert_array_equal(joined[4:8], windows[1])


def test_a_spectrogram_shows_a_sine_at_its_frequency_and_level():
    bin_, frames = 100, 8192
    sine = np.sin(2 * np.pi * bin_ / 1024 * np.arange(frames)).astype("f")
    colours = matplotlib.colormaps["magma"]
    for level_db in (0, -45):
        # The channels cancel, but each is heard.
        stem = np.float32(10 ** (level_db / 20)) * np.stack([sine, -sine], axis=1)
        picture = spectrogram_picture(stem)
        assert picture.shape == (1, 513, frames // 256, 3)
        column = picture[0, :, 10]
        assert 512 - int(column.sum(axis=-1).argmax()) == bin_
        expected = colours(1 + level_db / 90)[:3]
        np.testing.assert_allclose(column[512 - bin_], expected, atol=0.02)
        np.testing.assert_allclose(column[0], colours(0.0)[:3], atol=0.02)


def test_the_spectrogram_of_silence_is_black():
    picture = spectrogram_picture(np.zeros((2048, 1), "f"))
    np.testing.assert_allclose(picture, picture[0, 0, 0] * np.ones_like(picture))
