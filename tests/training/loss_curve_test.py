import json

import matplotlib.image
import numpy as np
import pytest

from waveunet_tf.training.loss_curve import plot_losses


def write_history(path, losses, stages=None):
    records = [
        {"step": 10 * number, "loss": loss, "validation_loss": None, "stage": stage}
        for number, (loss, stage) in enumerate(zip(losses, stages or [1] * len(losses)))
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def drawn(folder, losses, stages=None):
    """The picture of a history, `(height, width, colours)`."""
    write_history(folder / "history.jsonl", losses, stages)
    plot_losses(folder / "history.jsonl", folder / "loss.png")
    return matplotlib.image.imread(folder / "loss.png")


def test_a_picture_is_drawn_without_validation_losses(tmp_path):
    picture = drawn(tmp_path, [0.3, 0.2, 0.1])
    assert picture.shape[:2] == (400, 700)
    assert np.ptp(picture[..., :3]) == 1  # not empty


def test_losses_in_db_are_drawn_although_they_have_no_logarithm(tmp_path):
    picture = drawn(tmp_path, [-3.0, -4.0, -4.5])
    blue = np.abs(picture[..., :3] - np.array([31, 119, 180]) / 255).max(axis=-1) < 0.02
    (columns,) = np.nonzero(blue.any(axis=0))
    assert np.ptp(columns) > 400  # more than the legend


def test_the_second_stage_is_marked(tmp_path):
    plain = drawn(tmp_path, [3, 2, 1])
    marked = drawn(tmp_path, [3, 2, 1], stages=[1, 2, 2])
    assert (plain != marked).any()


def test_a_picture_that_cannot_be_written_is_an_error_of_its_name(tmp_path):
    write_history(tmp_path / "history.jsonl", [1.0])
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OSError, match="file"):
        plot_losses(tmp_path / "history.jsonl", tmp_path / "file" / "loss.png")
