import json
import threading

import pytest

from waveunet_tf.checkpoints import checkpoint
from waveunet_tf.separation import conversion_worker, engines, litert_conversion
from waveunet_tf.separation.litert import LiteRTEngine


@pytest.mark.parametrize("measure", [False, True])
def test_the_step_runs_and_lies_in_the_cache(
    tiny_checkpoint, new_cache, monkeypatch, measure
):
    monkeypatch.setattr(
        engines, "_seconds_per_frame", lambda _, engine: len(engine.name)
    )
    head, content = conversion_worker._answer(str(tiny_checkpoint), 256, 1, measure)
    assert head == {"faster": "litert" if measure else None}
    LiteRTEngine(content, chunk_frames=256, threads=1)
    (cached,) = new_cache.glob("*.tflite")
    assert cached.read_bytes() == content
    (notes,) = new_cache.glob("*.json")
    assert len(json.loads(notes.read_text())) == 1 + measure


def test_what_cannot_be_converted_is_told(tiny_checkpoint, new_cache, monkeypatch):
    def convert(*_):
        raise litert_conversion.ConversionError("cannot be converted")

    monkeypatch.setattr(litert_conversion, "convert_program", convert)
    head, _ = conversion_worker._answer(str(tiny_checkpoint), 256, 1, True)
    assert head == {"error": "ConversionError", "text": "cannot be converted"}
    (tiny_checkpoint / checkpoint.WEIGHTS).unlink()
    head, _ = conversion_worker._answer(str(tiny_checkpoint), 256, 1, True)
    assert head["error"] == "InputError"
    assert checkpoint.WEIGHTS in head["text"]


def test_of_two_that_begin_at_once_one_converts(
    tiny_checkpoint, new_cache, monkeypatch
):
    converted = []

    def convert(*_):
        converted.append(1)
        both.wait(0.2)  # for the other, which must not come here
        return b"a step"

    both = threading.Event()
    monkeypatch.setattr(litert_conversion, "convert_program", convert)
    answers = []
    threads = [
        threading.Thread(
            target=lambda: answers.append(
                conversion_worker._answer(str(tiny_checkpoint), 256, 1, False)
            )
        )
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [({"faster": None}, b"a step")] * 2
    assert converted == [1]
