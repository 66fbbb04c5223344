"""The engine with a model whose numbers are broken."""

import numpy as np
import pytest

from tests.export.web import browser
from waveunet_tf.export.android import golden
from waveunet_tf.separation import tflite_file

pytestmark = pytest.mark.xdist_group("web")
HZ = 8000


def with_bias(content, value):
    """A TFLite file whose output layer adds a value."""
    model = tflite_file.parse("model", content)
    graph = model.subgraphs[0]
    *_, last = (each for each in graph.operators if len(each.inputs) == 3)
    bias = bytes(model.buffers[graph.tensors[last.inputs[2]].buffer].data)
    return content.replace(bias, np.full(len(bias) // 4, value, np.float32).tobytes())


@pytest.fixture
def bad_model(small_site):
    path = small_site / "models" / "bad.tflite"
    yield path
    path.unlink()  # The site is other tests', too.


def test_a_model_that_gives_no_numbers_is_told_in_one_line(
    lab, engine_name, small_site, small_separators, bad_model
):
    """Its stems would be silent from there on, in files of 16 bits."""
    whole = small_separators["stereo"][0].read_bytes()
    song = golden.song(2000, 2, HZ)
    for value in (0.1, np.nan):
        bad_model.write_bytes(with_bias(whole, value))
        browser.load(lab, f"models/bad.tflite?{value}")
        if np.isfinite(value):
            assert browser.separated(lab, small_site, song, HZ)
    if engine_name == "webkit":
        pytest.skip("the tanh that LiteRT takes there gives -1 for NaN")
    told = lab.evaluate("separate('song.wav')")
    assert told.endswith(
        "song.wav: the model must give finite samples. "
        "Received: NaN or infinity in accompaniment"
    )
