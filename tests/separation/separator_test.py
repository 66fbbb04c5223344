import concurrent.futures
import dataclasses

import keras
import numpy as np
import pytest

import waveunet_tf
from tests.separation.numpy_engine import share_separator
from waveunet_tf.audio import resample
from waveunet_tf.checkpoints import checkpoint
from waveunet_tf.errors import InputError
from waveunet_tf.networks import shapes
from waveunet_tf.networks.build import build_network
from waveunet_tf.system import arguments

# They share networks and their conversions.
pytestmark = pytest.mark.xdist_group("separator")


def noise(frames, channels=2):
    return np.random.default_rng(frames).normal(0, 0.1, (frames, channels))


def one_pass(config, network, song):
    """The network's own output over the whole song, padded with silence."""
    stride = 2**config.num_levels
    window = shapes.window_frames(config, -(-len(song) // stride) * stride)
    before = window.context_frames
    padded = np.pad(song, ((before, window.input_frames - before - len(song)), (0, 0)))
    estimates = network(padded[None])
    return {name: np.asarray(stem)[0, : len(song)] for name, stem in estimates.items()}


@pytest.fixture(scope="module")
def expected_stems(kept_checkpoint, tiny_config):
    """Frames → the stems of noise of this length, in one pass."""
    network = waveunet_tf.load_network(kept_checkpoint)
    return {
        frames: one_pass(tiny_config, network, noise(frames))
        for frames in (1, 7, 256, 257, 1003)
    }


@pytest.mark.parametrize("engine", ["tensorflow", "litert"])
@pytest.mark.parametrize("chunk_frames", [8, 300])  # shorter and longer than delays
def test_separation_equals_one_pass_over_the_song(
    kept_checkpoint, expected_stems, chunk_frames, engine
):
    separator = waveunet_tf.load(
        kept_checkpoint, chunk_frames=chunk_frames, engine=engine
    )
    for frames, expected in expected_stems.items():
        stems = separator.separate(noise(frames), 8000)
        assert list(stems) == list(expected)
        for name, stem in stems.items():
            assert stem.dtype == np.float32
            np.testing.assert_allclose(stem, expected[name], atol=1e-6)


@pytest.mark.parametrize("sample_rate_hz", [8000, 11025, 44100])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("frames", [1, 1001])
def test_stems_have_the_songs_length_and_channels(
    tiny_separator, frames, channels, sample_rate_hz
):
    song = noise(frames, channels)
    stems = tiny_separator.separate(song, sample_rate_hz)
    for stem in stems.values():
        assert stem.shape == (frames, channels)


def test_a_mono_network_gives_mono_stems(tiny_config, tmp_path):
    config = dataclasses.replace(tiny_config, channels=1)
    checkpoint.save_checkpoint(tmp_path, build_network(config), config)
    separator = waveunet_tf.load(tmp_path, engine="tensorflow", chunk_frames=256)
    stems = separator.separate(noise(500), 8000)
    assert {stem.shape for stem in stems.values()} == {(500, 1)}


@pytest.mark.parametrize("change", [{"upsampling": "transposed"}, {"context": False}])
def test_networks_that_cannot_stream_go_through_windows(tiny_config, tmp_path, change):
    """Without context they lie side by side."""
    config = dataclasses.replace(tiny_config, **change)
    network = build_network(config)
    checkpoint.save_checkpoint(tmp_path, network, config)
    separator = waveunet_tf.load(tmp_path, chunk_frames=300)
    for frames in (1, 256, 1000):
        song = noise(frames)
        stems = separator.separate(song, 8000)
        if config.context:
            expected = one_pass(config, network, song)
        else:
            windows = np.pad(song, ((0, -frames % 256), (0, 0))).reshape(-1, 256, 2)
            expected = {
                name: np.asarray(estimate).reshape(-1, 2)[:frames]
                for name, estimate in network(windows).items()
            }
        for name, stem in stems.items():
            np.testing.assert_allclose(stem, expected[name], atol=1e-6)


@pytest.mark.parametrize(
    "engine", [pytest.param("tensorflow", marks=pytest.mark.slow), "litert"]
)
def test_songs_may_be_separated_in_threads_at_once(kept_checkpoint, engine):
    separator = waveunet_tf.load(kept_checkpoint, engine=engine, chunk_frames=300)
    songs = [noise(20_000 + number) for number in range(4)]
    expected = [separator.separate(song, 8000)["vocals"] for song in songs]
    with concurrent.futures.ThreadPoolExecutor(4) as executor:
        came = executor.map(lambda song: separator.separate(song, 8000), songs)
        for stems, vocals in zip(came, expected):
            np.testing.assert_allclose(stems["vocals"], vocals, atol=1e-6)


def test_another_rate_is_separated_at_the_networks_rate(tiny_separator):
    song = noise(4410)
    stems = tiny_separator.separate(song, 44100)
    at_8000 = tiny_separator.separate(resample.resample(song, 44100, 8000), 8000)
    expected = resample.resample(at_8000["accompaniment"], 8000, 44100, frames=4410)
    np.testing.assert_allclose(stems["accompaniment"], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("song", "rate_hz", "message"),
    [
        (np.zeros((0, 2)), 8000, "`song` .* with frames. Received: shape (0, 2)"),
        (
            np.full((9, 2), np.nan),
            8000,
            "`song` .* finite",
        ),
        (np.full((9, 2), 1e300), 8000, "`song` .* Received: 1e+300 in frame 0"),
        (np.zeros((9, 3)), 8000, "`song` .* 1 or 2 channels). Received: shape (9, 3)"),
        ([[0.1, 0.2]] * 9, 8000, "`song` .* Received: list"),
        (np.zeros((9, 2)), 0, "`sample_rate_hz` .* Received: 0"),
        (np.zeros((9, 2)), 1e30, "`sample_rate_hz` .* to 10000000. Received: 1e+30"),
    ],
)
def test_what_is_no_song_is_refused(song, rate_hz, message):
    """tests/system/arguments_test.py has more of each kind."""
    with pytest.raises(InputError) as error:
        share_separator().separate(song, rate_hz)
    begin, received = message.split(" .* ")
    assert str(error.value).startswith(begin) and received in str(error.value)


@pytest.mark.parametrize("channels", [0, 3, "2", None, True, 1.5])
def test_a_stream_has_one_or_two_channels(channels):
    with pytest.raises(InputError, match="`channels` must be"):
        share_separator().stream(8000, channels)


def test_all_kinds_of_floats_and_whole_numbers_are_taken():
    song = noise(100).astype(np.float16)
    song.flags.writeable = False
    expected = share_separator().separate(song.astype(np.float32), 8000)["vocals"]
    for kind in (np.float16, np.float32, np.float64, np.longdouble):
        for rate_hz in (8000, 8000.0, np.int64(8000), np.float32(8000)):
            stems = share_separator().separate(song.astype(kind), rate_hz)
            np.testing.assert_array_equal(stems["vocals"], expected)
    np.testing.assert_array_equal(
        share_separator().separate(song, 8000)["vocals"], expected
    )


@pytest.mark.parametrize("rate_hz", [8000, 11025])
def test_the_largest_samples_that_are_taken_give_finite_stems(tiny_separator, rate_hz):
    song = arguments.MAX_SAMPLE * np.sign(noise(3000))
    stems = tiny_separator.separate(song, rate_hz)
    assert all(np.isfinite(stem).all() for stem in stems.values())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threads": "2"}, "`threads` must be a whole number"),
        ({"threads": True}, "`threads` must be a whole number"),
        ({"threads": 0}, "`threads` must be a whole number, at least 1. Received: 0"),
        ({"chunk_frames": 0}, "`chunk_frames` must be a whole number"),
        ({"chunk_frames": np.nan}, "`chunk_frames` .* Received: nan"),
        ({"chunk_frames": 10**12}, "`chunk_frames` .* to 16777216"),
        ({"engine": None}, "`engine` must be one of auto, tensorflow, litert"),
        ({"engine": ["litert"]}, "`engine` must be one of .* Received: list"),
        ({"device": 0}, "`device` must be a text. Received: 0"),
        ({"directory": None}, "`directory` must be a path"),
        ({"directory": 5}, "`directory` must be a path"),
        ({"directory": "a\0b"}, "`directory` must be a path"),
    ],
)
def test_what_is_no_option_of_a_separator_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        waveunet_tf.load(**{"directory": "vocals", **options})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": None}, "`path` must be a path"),
        ({"path": [b"x"]}, "`path` must be a path"),
        ({"targets": None}, "`targets` must be a dict. Received: None"),
        ({"targets": ["vocals"]}, "`targets` must be a dict. Received: list"),
        ({"targets": {"vocals": 1}}, r"`targets\['vocals'\]` must be a path"),
        ({"targets": {1: "x.wav"}}, "`targets` must be of .* Received: 1"),
        ({"bit_depth": "16"}, "`bit_depth` must be one of 16, 24, 32. Received: '16'"),
        ({"bit_depth": True}, "`bit_depth` must be one of 16, 24, 32. Received: True"),
        ({"clip": ["none"]}, "`clip` must be one of .* Received: list"),
        ({"start_seconds": np.nan}, "`start_seconds` must be at least 0"),
        ({"start_seconds": "1"}, "`start_seconds` .* Received: '1'"),
        ({"start_seconds": None}, "`start_seconds` .* Received: None"),
        ({"duration_seconds": 0}, "`duration_seconds` must be positive"),
        ({"duration_seconds": 1e300}, r"`duration_seconds` .* Received: 1e\+300"),
        ({"downmix": "no"}, "`downmix` must be True or False. Received: 'no'"),
        ({"on_progress": 1}, "`on_progress` must be a function. Received: 1"),
    ],
)
def test_what_is_no_option_of_a_file_is_refused(tmp_path, options, message):
    given = {"path": tmp_path / "x.wav", "targets": {"vocals": tmp_path / "v.wav"}}
    with pytest.raises(InputError, match=message):
        share_separator().separate_file(**{**given, **options})
    assert not list(tmp_path.iterdir())


def test_silence_and_full_scale_give_finite_stems(tiny_separator):
    square = np.sign(np.sin(np.arange(3000)))[:, None].repeat(2, axis=1)
    for song in (np.zeros((3000, 2)), np.ones((3000, 2)), square):
        stems = tiny_separator.separate(song, 8000)
        assert np.isfinite(stems["vocals"]).all()
        assert np.abs(stems["accompaniment"]).max() <= 1


def test_keras_network_is_independent_of_the_batch(kept_checkpoint, tiny_config):
    frames = shapes.window_frames(tiny_config).input_frames
    batch = np.stack([noise(frames), noise(frames)[::-1]])
    network = waveunet_tf.load_network(kept_checkpoint)
    assert isinstance(network, keras.Model)
    together = network(batch)
    for number in range(2):
        alone = network(batch[number : number + 1])
        for name in alone:
            np.testing.assert_allclose(
                np.asarray(together[name])[number],
                np.asarray(alone[name])[0],
                atol=1e-6,
            )
