import av
import numpy as np
import pytest
import soundfile

from tests.audio.signals import RATE_HZ, tone
from waveunet_tf.audio.frame_blocks import FrameBlocks


def frames_of(samples, rate_hz=RATE_HZ, layout="stereo", size=1000, kind="fltp"):
    for start in range(0, len(samples), size):
        part = samples[start : start + size].astype(np.float32)
        if kind == "s16":
            part = (part * 32768).round().astype(np.int16).reshape(1, -1)
        else:
            part = part.T
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(part), kind, layout)
        frame.sample_rate = rate_hz
        yield frame


def gathered(blocks, *streams):
    parts = [part for each in streams for frame in each for part in blocks.push(frame)]
    return np.concatenate([*parts, *blocks.finish()])


@pytest.mark.parametrize("frames", [1, 1000, 16_384, 50_001])
@pytest.mark.parametrize("kind", ["fltp", "s16"])
def test_frames_become_the_same_samples(frames, kind):
    samples = gathered(
        FrameBlocks(RATE_HZ, 2, None), frames_of(tone(frames), kind=kind)
    )
    np.testing.assert_allclose(samples, tone(frames), atol=1e-4 if kind == "s16" else 0)


def test_blocks_are_not_overwritten_by_later_frames():
    blocks = FrameBlocks(RATE_HZ, 2, None)
    parts = [p for f in frames_of(tone(100_000)) for p in blocks.push(f)]
    assert len(parts) > 3
    np.testing.assert_array_equal(
        np.concatenate([*parts, *blocks.finish()]), tone(100_000).astype(np.float32)
    )


def test_another_rate_and_mono_become_like_the_first():
    blocks = FrameBlocks(RATE_HZ, 2, None)
    second = tone(22_050)[::2, :1]  # the same tone, at half of the rate
    samples = gathered(
        blocks, frames_of(tone(44_100)), frames_of(second, RATE_HZ // 2, "mono")
    )
    assert samples.shape == (66_150, 2)
    middle = tone(22_050)[4000:-4000, :1]
    np.testing.assert_allclose(
        samples[48_100:-4000], np.repeat(middle, 2, 1), atol=1e-3
    )
    assert blocks.changes == [(1.0, [RATE_HZ, 2], [RATE_HZ // 2, 1])]


@pytest.mark.parametrize("channels", [1, 2])
def test_surround_that_follows_is_folded_down_like_the_first(channels):
    """As a film does in a broadcast; the front left stays on the left."""
    blocks = FrameBlocks(RATE_HZ, channels, None)
    surround = np.zeros((20_000, 6))
    surround[:, 0] = tone(20_000)[:, 0]
    first = tone(10_000)[:, :channels]
    samples = gathered(
        blocks,
        frames_of(first, layout="stereo" if channels == 2 else "mono"),
        frames_of(surround, layout="5.1"),
    )
    assert samples.shape == (30_000, channels)
    np.testing.assert_array_equal(samples[:10_000], first.astype(np.float32))
    left = samples[10_000:, 0]
    assert np.corrcoef(left, surround[:, 0])[0, 1] > 0.999
    assert 0.2 < left.std() / surround[:, 0].std() < 1.001
    if channels == 2:
        assert not samples[10_000:, 1].any()


def test_what_is_gathered_comes_out_before_a_pause():
    blocks = FrameBlocks(RATE_HZ, 2, None)
    (frame,) = frames_of(tone(1000))
    assert blocks.push(frame) == []
    assert [len(block) for block in blocks.finish()] == [1000]
    assert blocks.finish() == []
    assert blocks.push(frame) == []


@pytest.mark.parametrize("channels", [7, 8, 9, 16])
@pytest.mark.parametrize("codec", ["pcm_s16le", "pcm_f32le"])
def test_surround_of_any_number_of_channels_is_read(tmp_path, channels, codec):
    samples = np.random.default_rng(0).integers(-9000, 9000, (20_000, channels))
    subtype = "PCM_16" if codec == "pcm_s16le" else "FLOAT"
    soundfile.write(tmp_path / "x.wav", samples / 32768, RATE_HZ, subtype)
    with av.open(str(tmp_path / "x.wav")) as container:
        blocks = FrameBlocks(RATE_HZ, channels, None)
        decoded = gathered(blocks, container.decode(audio=0))
    np.testing.assert_array_equal(decoded * 32768, samples)
