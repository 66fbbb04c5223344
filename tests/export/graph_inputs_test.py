import io
import struct

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from tests.export.graph_checks_test import in_graph, refused
from waveunet_tf.export import graph_inputs
from waveunet_tf.export.serving import messages

SECRET = b"my secret song"


def wav(samples, rate_hz=8000, *, format="WAV", **options):
    content = io.BytesIO()
    soundfile.write(content, samples, rate_hz, format=format, **options)
    return content.getvalue()


@pytest.fixture(scope="module")
def decode():
    return in_graph(
        lambda content: graph_inputs.checked_wav(content, "wav", 8000),
        tf.TensorSpec((), tf.string),
    )


@pytest.mark.parametrize("format", ["WAV", "WAVEX"])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_wav_file_is_decoded_as_libsndfile_does(decode, channels, format):
    samples = np.random.default_rng(0).uniform(-1, 1, (50, channels))
    content = wav(samples, format=format)
    expected, _ = soundfile.read(io.BytesIO(content), always_2d=True)
    np.testing.assert_allclose(decode(tf.constant(content)), expected, atol=1e-7)


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "must be a wav file"),
        (b"RIFF", "must be a wav file"),
        (b"RIFF\0\0\0\0WAVX" + bytes(40), "must be a wav file"),
        (wav(np.zeros((9, 1)), 44100), "8000 Hz. Received: 44100"),
        (wav(np.zeros((9, 1)), subtype="PCM_24"), r"16-bit PCM.*Received: \[1 24\]"),
        (wav(np.zeros((9, 1)), subtype="FLOAT"), r"16-bit PCM.*Received: \[3 32\]"),
        (wav(np.zeros((9, 1)), subtype="PCM_U8"), r"16-bit PCM.*Received: \[1 8\]"),
        (
            wav(np.zeros((9, 1)), format="WAVEX", subtype="FLOAT"),
            r"16-bit PCM.*Received: \[3 32\]",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_another_file_than_a_16_bit_wav_of_the_rate_is_refused(decode, content, rule):
    with refused("`wav` must .*" + rule.removeprefix("must ")):
        decode(tf.constant(content))


def chunk(name, content):
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


def riff(*chunks):
    return b"RIFF\0\0\0\0WAVE" + b"".join(chunks)


FORMAT = chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 8000, 16000, 2, 16))
DATA = chunk(b"data", struct.pack("<4h", 0, 16384, -32768, 32767))


@pytest.mark.parametrize(
    "content",
    [
        riff(FORMAT, DATA),
        riff(chunk(b"JUNK", bytes(27)), FORMAT, chunk(b"bext", bytes(600)), DATA),
        riff(FORMAT + b"", DATA, chunk(b"LIST", SECRET)),
        riff(FORMAT, DATA) + b"\0",
    ],
)
def test_chunks_around_format_and_samples_are_passed_over(decode, content):
    samples = decode(tf.constant(content)).numpy()
    np.testing.assert_array_equal(samples[:, 0], np.array([0, 0.5, -1, 32767 / 32768]))


WHOLE = "`wav` must be a wav file with a format and samples, in one piece"


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (riff(FORMAT), WHOLE),
        (riff(DATA), WHOLE),
        (riff(DATA, FORMAT), WHOLE),
        (riff(FORMAT, DATA)[:-1], WHOLE),
        (riff(FORMAT, b"data" + struct.pack("<I", 2**32 - 1) + bytes(8)), WHOLE),
        (riff(b"JUNK" + struct.pack("<I", 2**31), FORMAT, DATA), WHOLE),
        (riff(*[chunk(b"JUNK", b"")] * 100, FORMAT, DATA), WHOLE),
        (riff(chunk(b"fmt ", b""), DATA), "16-bit PCM"),
        (
            riff(chunk(b"fmt ", struct.pack("<HHIIHH", 1, 0, 8000, 0, 0, 16)), DATA),
            "1 or",
        ),
    ],
)
def test_a_file_in_pieces_is_refused(decode, content, rule):
    with refused(rule):
        decode(tf.constant(content))


def edited(content, generator):
    """The content with bytes changed, cut or put in."""
    content = bytearray(content)
    for _ in range(generator.integers(1, 5)):
        at = int(generator.integers(0, len(content)))
        how = generator.integers(0, 3)
        if how == 0:
            content[at] = int(generator.choice([0, 1, 2, 18, 34, 127, 128, 255]))
        elif how == 1:
            del content[at : at + int(generator.integers(1, 9))]
        else:
            content[at:at] = bytes(generator.integers(0, 256, 3, np.uint8))
        if not content:
            break
    return bytes(content)


def test_no_spoiled_wav_file_is_repeated_in_its_refusal(decode):
    """Nor does any of TensorFlow's own errors come before the rules."""
    generator = np.random.default_rng(0)
    whole = riff(chunk(b"LIST", SECRET), FORMAT, chunk(b"data", SECRET))
    refusals = 0
    for _ in range(600):
        try:
            samples = decode(tf.constant(edited(whole, generator))).numpy()
            assert np.isfinite(samples).all() and samples.shape[1] in (1, 2)
        except tf.errors.InvalidArgumentError as error:
            refusals += 1
            assert "secret" not in error.message and "`wav` must" in error.message
    assert 100 < refusals < 600


@pytest.fixture(scope="module")
def read_tensor():
    return in_graph(
        lambda content: graph_inputs.checked_tensor(content, "x"),
        tf.TensorSpec((), tf.string),
    )


def in_floats(array):
    """A TensorProto with its samples as numbers, not as bytes."""
    tensor = messages.to_tensor(array, array.shape)
    return tensor.SerializeToString()


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 300, 2), (64, 1, 1), (1, 20_000, 1)])
@pytest.mark.parametrize(
    "serialize",
    [
        lambda array: tf.io.serialize_tensor(array).numpy(),
        lambda array: tf.make_tensor_proto(array).SerializeToString(),
        lambda array: messages.to_tensor(array).SerializeToString(),
        in_floats,
    ],
    ids=["operation", "python", "client", "floats"],
)
def test_a_tensor_is_read_however_it_was_serialized(read_tensor, shape, serialize):
    array = np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)
    np.testing.assert_array_equal(read_tensor(tf.constant(serialize(array))), array)


def shaped(*sizes, values=1, dtype=np.float32):
    """A TensorProto of a shape whose last value stands for the rest."""
    return messages.to_tensor(np.ones(values, dtype), sizes).SerializeToString()


@pytest.mark.parametrize(
    "content",
    [
        shaped(1, 25_000_000, 2),  # 25 bytes for 190 MiB
        shaped(1, 4, 2, values=7),
        shaped(1, 4, 2, values=9),
        shaped(2**31, 2**31, 4, values=4),  # a product of 64 bits is 0
        shaped(2**62, 1, 1, values=1),
        shaped(1, 4, values=4),
        shaped(1, 1, 4, 1, values=4),
        shaped(0, 4, 1, values=1),
        shaped(1, 4, 1, values=4, dtype=np.int64),
        shaped(1, 4, 1, values=4) + SECRET,
        SECRET,
        b"\x08\x01",
        b"\x08\x01\x12\x7f" + b"\xff" * 99,
        b"",
    ],
)
def test_a_tensor_that_lacks_samples_is_refused_before_it_takes_memory(
    read_tensor, content
):
    with refused("`x` must be a serialized TensorProto of float32, .* holds all") as no:
        read_tensor(tf.constant(content))
    assert "secret" not in no.value.message
    assert f"Received: {len(content)} bytes" in no.value.message


def test_a_spoiled_tensor_is_refused_or_read_as_tensorflow_reads_it(read_tensor):
    generator = np.random.default_rng(1)
    whole = messages.to_tensor(np.ones((1, 6, 2), np.float32)).SerializeToString()
    refusals = 0
    for _ in range(600):
        content = tf.constant(edited(whole, generator))
        try:
            array = read_tensor(content)
            np.testing.assert_array_equal(
                array, tf.io.parse_tensor(content, tf.float32)
            )
        except tf.errors.InvalidArgumentError as error:
            refusals += 1
            assert "`x` must be a serialized" in error.message
    assert 100 < refusals < 600


@pytest.mark.parametrize("shape", [(), (1,), (2, 2), (4,)])
def test_a_request_has_a_bounded_number_of_files(shape):
    count = in_graph(
        lambda contents: graph_inputs.checked_count(contents, "wav", 4),
        tf.TensorSpec(None, tf.string),
    )
    assert count(tf.fill(shape, b"x")).shape == shape
    for wrong in ((0,), (5,), (2, 3), (4, 0)):
        with refused(r"`wav` must be 1 to 4 of them. Received: \d+"):
            count(tf.fill(wrong, b"x"))
