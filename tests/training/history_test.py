import json

import pytest

from waveunet_tf.errors import InputError
from waveunet_tf.training.history import History

EPOCH = {"epoch": 1, "step": 2, "stage": 1, "loss": 0.5, "validation_loss": None}
BACK = {"rollback": 1, "epoch": 3, "step": 7}


def written(folder, *records, rest=""):
    """A history of these records; epochs by their number."""
    records = [
        {**EPOCH, "epoch": record} if isinstance(record, int) else record
        for record in records
    ]
    lines = [json.dumps(record) + "\n" for record in records]
    (folder / "history.jsonl").write_text("".join(lines) + rest)
    return History(folder)


def kept(history):
    lines = history.path.read_text().splitlines()
    return [
        record if "rollback" in record else record["epoch"]
        for record in map(json.loads, lines)
    ]


def test_a_line_is_added_for_each_record(tmp_path):
    history = History(tmp_path)
    history.append(EPOCH)
    history.append(BACK)
    assert kept(history) == [1, BACK]
    assert history.epochs() == [EPOCH]


def test_epochs_after_the_state_and_half_a_line_are_dropped(tmp_path):
    history = written(tmp_path, 1, 2, 3, rest='{"epoch": 4')
    history.match(2, [])
    assert kept(history) == [1, 2]
    assert history.path.read_text().endswith("}\n")


def test_ways_back_are_those_of_the_state_in_their_places(tmp_path):
    """One that the state knows stays, one that it lacks goes, a missing one comes."""
    second, third = {**BACK, "rollback": 2}, {**BACK, "rollback": 3}
    history = written(tmp_path, 1, BACK, 2, third)
    history.match(2, [BACK, second])
    assert kept(history) == [1, BACK, 2, second]
    history.match(2, [BACK, second])
    assert kept(history) == [1, BACK, 2, second]


def test_a_way_back_before_the_first_epoch_makes_the_file(tmp_path):
    history = History(tmp_path)
    history.match(0, [])
    assert not history.path.exists()
    assert history.epochs() == []
    history.match(0, [BACK])
    assert kept(history) == [BACK]


@pytest.mark.parametrize(
    "line",
    ["{", "[]", '"epoch"', '{"epoch": 1}', '{"epoch": "first"}', "\x00\xff", "NaN"]
    + ['"rollback"', "null", json.dumps({**EPOCH, "loss": None}), "[" * 100_000],
)
def test_a_broken_line_is_named_and_nothing_changed(tmp_path, line):
    text = f"{json.dumps(EPOCH)}\n{line}\n{json.dumps(EPOCH)}\n"
    (tmp_path / "history.jsonl").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match="history.jsonl, line 2: must be an epoch"):
        History(tmp_path).match(5, [])
    assert (tmp_path / "history.jsonl").read_bytes() == text.encode("latin-1")
