import keras
import numpy as np
import pytest

from waveunet_tf.separation import litert, small_steps
from waveunet_tf.separation.litert_conversion import convert

RANDOM = np.random.default_rng(4)
SONG = RANDOM.normal(0, 1, (1, 64, 8)).astype(np.float32)


def weights_of(shape, *, half=True):
    weights = RANDOM.normal(0, 1, shape)
    return weights.astype(np.float16 if half else np.float32).astype(np.float32)


FIRST, SECOND = weights_of((5, 8, 40)), weights_of((5, 40, 8), half=False)
SECOND[:, :, 3] = 0  # a filter of no range
BIAS = weights_of((40,))


@pytest.fixture(scope="module")
def step():
    """Two convolutions, the second at half the rate; float16 holds the first."""

    def call(x):
        y = keras.ops.conv(x, FIRST, padding="valid") + BIAS
        y = keras.ops.relu(y)[:, ::2]
        return {"y": keras.ops.conv(y, SECOND, padding="valid")}

    return convert({litert.STEP: (call, {"x": SONG.shape})}, [])


def run(content):
    engine = litert.LiteRTEngine(content, chunk_frames=64, threads=1)
    return engine(x=SONG)["y"]


def expected(first, second):
    """The step in NumPy, in double precision."""

    def conv(x, weights):
        frames = len(x) - len(weights) + 1
        return sum(x[n : n + frames] @ tap for n, tap in enumerate(weights))

    y = np.maximum(conv(SONG[0].astype(np.float64), first) + BIAS, 0)[::2]
    return conv(y, second)


def test_weights_that_float16_holds_take_half_the_bytes_and_give_the_same(step):
    halved = small_steps.with_half_weights(step)
    saved = len(step) - len(halved)
    assert saved == pytest.approx(2 * (FIRST.size + BIAS.size), abs=1000)
    np.testing.assert_array_equal(run(halved), run(step))
    np.testing.assert_allclose(run(halved)[0], expected(FIRST, SECOND), rtol=1e-4)
    assert small_steps.with_half_weights(halved) == halved


@pytest.mark.parametrize("float_frames", [60, 61])
def test_layers_of_as_many_frames_keep_their_weights(step, float_frames):
    """The first convolution gives 60 frames, the second 26."""
    weights = [FIRST, SECOND]
    kept = 1 if float_frames == 60 else 0
    for number in range(kept, 2):
        scale = np.abs(weights[number]).max((0, 1)) / 127
        scale[scale == 0] = 1
        weights[number] = np.round(weights[number] / scale) * scale
    rounded = small_steps.with_byte_weights(step, float_frames)
    saved = len(step) - len(rounded)
    sizes = sum(weight.size for weight in weights[kept:])
    assert saved == pytest.approx(3 * sizes, abs=1500)
    stem, exact = run(rounded)[0], expected(*weights)
    error = np.square(stem - exact).sum() / np.square(exact).sum()
    assert error < 1e-4  # of the inputs' 8 bits; that of the weights is not in it
    assert not stem[:, 3].any()
