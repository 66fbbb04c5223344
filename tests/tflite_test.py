import dataclasses

import numpy as np
import pytest

import waveunet_tf
from export import parity, tflite
from waveunet_tf import checkpoint, model, separate, shapes
from waveunet_tf.configs import SpectrogramUNetConfig
from waveunet_tf.errors import InputError


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"upsampling": "learned", "sources": ("bass", "drums", "vocals")},
        {"context": False, "channels": 1},
        {"output_type": "direct", "output_activation": "linear"},
    ],
    ids=str,
)
def test_a_tflite_file_equals_the_network_and_carries_its_config(
    tiny_config, tmp_path, change
):
    config = dataclasses.replace(tiny_config, **change)
    checkpoint.save_checkpoint(tmp_path / "c", model.build_network(config), config)
    (tmp_path / "x.tflite").write_bytes(tflite.convert_float32(tmp_path / "c"))
    window = tflite.TFLiteWindow(tmp_path / "x.tflite")
    frames = shapes.window_frames(config)
    assert window.metadata["network"] == config.to_dict()
    assert window.metadata["input_frames"] == frames.input_frames
    assert window.metadata["output_frames"] == frames.output_frames

    shape = (1, frames.input_frames, config.channels)
    loud = np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)
    expected = waveunet_tf.load_network(tmp_path / "c")(loud)
    actual = window(loud)
    assert sorted(actual) == sorted(config.sources)
    for source, estimate in expected.items():
        np.testing.assert_allclose(actual[source], np.asarray(estimate), atol=1e-5)
    assert parity.window_difference(tmp_path / "c", tmp_path / "x.tflite") < 1e-5


def test_a_spectrogram_network_is_refused(tmp_path):
    config = SpectrogramUNetConfig(
        num_levels=2, base_filters=2, fft_frames=16, hop_frames=8, output_frames=40
    )
    checkpoint.save_checkpoint(tmp_path, model.build_network(config), config)
    with pytest.raises(InputError, match="TFLite has no inverse Fourier transform"):
        tflite.convert_float32(tmp_path)


def test_parity_sees_other_weights(tiny_checkpoint, tiny_config, tmp_path):
    (tmp_path / "x.tflite").write_bytes(tflite.convert_float32(tiny_checkpoint))
    other = model.build_network(tiny_config)
    checkpoint.save_checkpoint(tmp_path / "other", other, tiny_config)
    assert parity.window_difference(tmp_path / "other", tmp_path / "x.tflite") > 1e-3


def test_a_truncated_tflite_is_refused(tiny_checkpoint, tmp_path):
    content = tflite.convert_float32(tiny_checkpoint)
    for size in (9, 100, len(content) // 2):
        (tmp_path / "x.tflite").write_bytes(content[:size])
        with pytest.raises(InputError, match=r"x\.tflite: must"):
            tflite.TFLiteWindow(tmp_path / "x.tflite")


@pytest.mark.parametrize("content", [b"", b"no model", b"\0\0\0\0TFL4" + bytes(99)])
def test_a_file_that_is_no_tflite_is_refused(tmp_path, content):
    (tmp_path / "x.tflite").write_bytes(content)
    with pytest.raises(InputError, match=r"x\.tflite: must be a TFLite file"):
        tflite.TFLiteWindow(tmp_path / "x.tflite")


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"output_frames": 100, "output_type": "direct", "channels": 1},
        {"context": False},
        {"upsampling": "learned", "sources": ("bass", "drums", "vocals")},
    ],
    ids=str,
)
def test_a_song_is_separated_by_a_file_as_by_its_checkpoint(
    tiny_config, tmp_path, change
):
    config = dataclasses.replace(tiny_config, **change)
    checkpoint.save_checkpoint(tmp_path / "c", model.build_network(config), config)
    (tmp_path / "x.tflite").write_bytes(tflite.convert_float32(tmp_path / "c"))
    song = np.random.default_rng(0).normal(0, 0.1, (3333, 2)).astype(np.float32)
    separator = separate.load_tflite(tmp_path / "x.tflite")
    actual = separator.separate(song, 11025)
    expected = waveunet_tf.load(tmp_path / "c", engine="tensorflow").separate(
        song, 11025
    )
    assert separator.config == config
    assert list(actual) == list(expected)
    for source, stem in expected.items():
        assert actual[source].shape == stem.shape
        np.testing.assert_allclose(actual[source], stem, atol=1e-5)


def test_metadata_of_another_kind_of_file_is_refused(tiny_checkpoint, tmp_path):
    content = tflite.convert_float32(tiny_checkpoint)
    other = content.replace(b"input_frames", b"inqut_frames")
    assert len(other) == len(content) and other != content
    (tmp_path / "x.tflite").write_bytes(other)
    with pytest.raises(InputError, match=r"x\.tflite: .* lacks 'input_frames'"):
        separate.load_tflite(tmp_path / "x.tflite")
