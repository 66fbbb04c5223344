"""Odd answers of a server are refused, each in one line."""

import json

import numpy as np
import pytest

from waveunet_tf.configs.networks import WaveUNetConfig
from waveunet_tf.errors import InputError
from waveunet_tf.export.serving import answers, messages
from waveunet_tf.networks import layer_names, shapes

DESCRIPTION = {
    **{"format_version": 1, "stride_frames": 4, "context_frames": 0},
    "chunk_frames": None,
}


def test_a_description_is_parsed():
    assert answers.parse_description(json.dumps(DESCRIPTION)) == DESCRIPTION


@pytest.mark.parametrize(
    "text",
    ["", "no JSON", "[" * 5000, "1" * 5000, "[]", "null", "{}"]
    + [
        json.dumps({**DESCRIPTION, name: value})
        for name in ("stride_frames", "context_frames", "chunk_frames")
        for value in (-1, 0.5, "4", 10**30, True)
    ]
    + [json.dumps({**DESCRIPTION, "stride_frames": 0})]
    + [json.dumps({**DESCRIPTION, "context_frames": None})],
)
def test_what_is_no_description_is_refused(text):
    with pytest.raises(InputError, match="The server's model must"):
        answers.parse_description(text)


GOOD = np.zeros((1, 4, 2), np.float32)


@pytest.mark.parametrize(
    "array, message",
    [
        (None, "must have vocals, but has not"),
        (GOOD[0], r"of the shape \(1, 4, 2\)"),
        (GOOD[:, :3], r"of the shape \(1, 4, 2\)"),
        (GOOD.astype(np.int32), "int32"),
        (np.full_like(GOOD, np.nan), "numbers in vocals"),
        (np.full_like(GOOD, np.inf), "numbers in vocals"),
    ],
)
def test_arrays_must_be_the_wanted_ones(array, message):
    arrays = {} if array is None else {"vocals": array}
    with pytest.raises(InputError, match=message):
        answers.check_arrays(arrays, {"vocals": (1, 4, 2)})
    answers.check_arrays({"vocals": GOOD, "more": array}, {"vocals": (1, 4, 2)})


@pytest.mark.parametrize(
    "sizes", [(2**40,), (2**20, 2**20), (-1,), (-1, -1), (2**62, 4)]
)
def test_a_tensor_whose_last_value_stands_for_a_disk_full_is_odd(sizes):
    tensor = messages.to_tensor(np.ones(2, np.float32), sizes)
    with pytest.raises(ConnectionError, match="server:1: the answer is not that of"):
        with answers.refusing_odd("server:1"):
            messages.to_array(tensor)


def test_one_value_stands_for_many_without_taking_their_memory():
    tensor = messages.to_tensor(np.ones(1, np.float32), (1, 2**40, 2))
    array = messages.to_array(tensor)
    assert array.shape == (1, 2**40, 2) and array.base.size <= 1
    with pytest.raises(InputError, match=r"vocals as float32 of the shape \(1, 4, 2\)"):
        answers.check_arrays({"vocals": array}, {"vocals": (1, 4, 2)})
    some = messages.to_tensor(np.ones(1, np.float32), (1, 4, 2))
    np.testing.assert_array_equal(messages.to_array(some), np.ones((1, 4, 2)))


def test_what_is_no_tensor_is_odd():
    with pytest.raises(ConnectionError, match="server:1: the answer is not that of"):
        with answers.refusing_odd("server:1"):
            messages.parse_tensor(b"\xff\xff\xff")


CONFIG = WaveUNetConfig(num_levels=2, base_filters=2, output_frames=64)


def state_of(chunk_frames):
    frames = shapes.stream_state_frames(CONFIG, chunk_frames)
    return {
        layer_names.state(name): np.zeros((1, count, 3), np.float32)
        for name, count in frames.items()
    }


def test_a_state_must_be_that_of_the_model():
    good, mark = state_of(64), np.array([7])
    answers.check_state(good, mark, CONFIG, 64)
    (name, *_) = good
    vast = (*good[name].shape[:2], 2**40)
    for state, fingerprint, chunk_frames in [
        (good, None, 64),
        ({}, mark, 64),
        ({**good, "more": GOOD}, mark, 64),
        ({**good, name: good[name][:, :-1]}, mark, 64),
        ({**good, name: good[name][0]}, mark, 64),
        ({**good, name: good[name].repeat(2, 0)}, mark, 64),
        ({**good, name: np.broadcast_to(GOOD[:, :1, :1], vast)}, mark, 64),
        ({**good, name: good[name] * np.float32(np.nan)}, mark, 64),
        (good, mark, 63),
    ]:
        with pytest.raises(InputError, match="The server's answer"):
            answers.check_state(state, fingerprint, CONFIG, chunk_frames)
