import json

import numpy as np
import pytest

from tests.command_line import check_refusal, run_here
from tests.export.small_exports import export
from waveunet_tf.errors import InputError
from waveunet_tf.export import file_description
from waveunet_tf.separation import litert_conversion, tflite_file

# In one process, for the files that are converted once for all of these.
pytestmark = pytest.mark.xdist_group("tflite")


def test_all_operations_of_the_step_are_for_the_gpu_delegate(kept_files):
    found = file_description.gpu_incompatibilities(kept_files["float32"])
    if found is None:
        pytest.skip("needs a TensorFlow whose analyzer looks, such as 2.16")
    assert found == []


def test_multiply_adds_are_those_of_the_exact_stream(kept_checkpoint, tmp_path):
    """By hand: 4 first filters, 3 levels, kernels of 15 and 5; merges at two rates."""
    export(kept_checkpoint, tmp_path / "x.tflite", chunk=64)
    description = file_description.describe_tflite_file(tmp_path / "x.tflite")
    down = 64 * 15 * 2 * 4 + 32 * 15 * 4 * 8 + 16 * 15 * 8 * 12 + 8 * 15 * 12 * 16
    up = 0
    for level, (skip, low) in enumerate([(4, 8), (8, 12), (12, 16)]):
        frames = 64 >> level
        up += frames * 5 * skip * skip  # over the skip
        # Four taps over the features below, for two frames of output side by side.
        up += (frames // 2) * 4 * low * 2 * skip
    assert description.multiply_adds == down + up + 64 * 6 * 2
    assert description.multiply_adds_per_second == pytest.approx(
        description.multiply_adds * 8000 / 64
    )


def test_multiply_adds_of_integers_count_what_upsamples_and_copies(
    kept_checkpoint, tmp_path
):
    """By hand, as above, but merges over both at once, and two or one tap a feature."""
    export(kept_checkpoint, tmp_path / "x.tflite", chunk=64, kind="int8")
    down = 64 * 15 * 2 * 4 + 32 * 15 * 4 * 8 + 16 * 15 * 8 * 12 + 8 * 15 * 12 * 16
    up = 0
    for level, (skip, low) in enumerate([(4, 8), (8, 12), (12, 16)]):
        frames = 64 >> level
        up += frames * 5 * (skip + low) * skip
        up += (frames + 4) * skip  # copies the skip, with four frames before it
        up += 2 * (frames // 2 + 2) * 2 * low  # a frame between two, and a copied one
    outputs = 64 * 2 + 64 * 6 * 2  # copies the mixture
    description = file_description.describe_tflite_file(tmp_path / "x.tflite")
    assert description.multiply_adds == down + up + outputs


def test_signatures_states_and_sizes_are_those_of_the_file(kept_files, tiny_config):
    path = kept_files["float32"]
    description = file_description.describe_tflite_file(path)
    assert description.file_bytes == path.stat().st_size
    assert sorted(description.signatures) == ["initial_state", "separate"]
    step = description.signatures["separate"]
    assert step["inputs"]["mixture"] == "float32 1×1×1024×2"
    assert step["outputs"]["vocals"] == "float32 1×1×1024×2"
    shapes = {s["name"]: s["shape"] for s in description.metadata["states"]}
    assert {name for name in step["inputs"] if name != "mixture"} == set(shapes)
    values = sum(int(np.prod(shape)) for shape in shapes.values())
    assert description.state_bytes == 4 * values
    # Every convolution of the network: five at each end, three up, and the outputs.
    assert description.operations["CONV_2D"] >= 2 * tiny_config.num_levels + 2


@pytest.mark.parametrize("kind", ["float32", "int8"])
def test_a_constant_of_several_tensors_counts_once(kept_files, kind):
    """As in the file: equal constants, such as those that upsample, are there once."""
    path = kept_files[kind]
    model = tflite_file.parse(path, path.read_bytes())
    used = {tensor.buffer for graph in model.subgraphs for tensor in graph.tensors}
    data = [model.buffers[number].data for number in used]
    there = sum(len(each) for each in data if each is not None)
    found = file_description.describe_tflite_file(path).weight_bytes
    assert sum(found.values()) == there


def test_the_text_begins_with_the_metadata_and_ends_with_the_gpu(kept_files):
    description = file_description.describe_tflite_file(kept_files["dynamic"])
    text = file_description.format_file_description(description, ["no TILE"])
    head, _, rest = text.partition("\n\nsignature ")
    assert json.loads(head) == description.metadata
    assert rest.splitlines()[-1].split() == ["GPU", "delegate", "no", "TILE"]
    assert "0.128 s of audio" in text  # 1024 frames at 8000 Hz
    assert "constants, int8" in text
    text = file_description.format_file_description(description, [])
    assert text.endswith("runs all operations")


def test_an_operation_that_the_gpu_delegate_lacks_is_named(tmp_path):
    import tensorflow as tf

    def step(mixture):
        return {"vocals": tf.round(mixture)}

    signatures = {"separate": (step, {"mixture": (1, 8, 2)})}
    (tmp_path / "x.tflite").write_bytes(litert_conversion.convert(signatures, []))
    lines = file_description.gpu_incompatibilities(tmp_path / "x.tflite")
    if tuple(map(int, tf.__version__.split(".")[:2])) < (2, 17):
        assert lines[0] == "Not supported op ROUND"
    else:  # Where the analyzer finds nothing in any file, it must not be believed.
        assert lines is None or lines[0] == "Not supported op ROUND"


def test_a_file_that_is_none_of_ours_is_refused(tmp_path):
    (tmp_path / "x.tflite").write_bytes(b"no flatbuffer")
    with pytest.raises(InputError, match=r"x\.tflite: must be a TFLite file"):
        file_description.describe_tflite_file(tmp_path / "x.tflite")
    with pytest.raises(FileNotFoundError):
        file_description.describe_tflite_file(tmp_path / "none.tflite")


def test_a_broken_file_does_not_hide_the_next_one(kept_files, tmp_path):
    (tmp_path / "a.tflite").write_text("nothing")
    paths = [tmp_path / "a.tflite", kept_files["float32"]]
    result = run_here("waveunet_tf describe-file", "--nogpu", *paths)
    check_refusal(result, 1, "a.tflite: must be a TFLite file")
    assert '"mode": "streaming"' in result.stdout
