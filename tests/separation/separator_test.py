import concurrent.futures
import dataclasses

import keras
import numpy as np
import pytest
import soundfile

import waveunet_tf
from waveunet_tf.audio import io, resample
from waveunet_tf.checkpoints import checkpoint
from waveunet_tf.errors import InputError
from waveunet_tf.networks import shapes
from waveunet_tf.networks.build import build_network


def noise(frames, channels=2):
    return np.random.default_rng(frames).normal(0, 0.1, (frames, channels))


@pytest.fixture(scope="module")
def tiny_separator(tiny_config, tmp_path_factory):
    """Of a network that is only read."""
    folder = tmp_path_factory.mktemp("checkpoint")
    keras.utils.set_random_seed(1)
    checkpoint.save_checkpoint(folder, build_network(tiny_config), tiny_config)
    return waveunet_tf.load(folder)


def one_pass(directory, song):
    """The network's own output over the whole song, padded with silence."""
    config = checkpoint.Checkpoint.open(directory).config
    stride = 2**config.num_levels
    window = shapes.window_frames(config, -(-len(song) // stride) * stride)
    before = window.context_frames
    padded = np.pad(song, ((before, window.input_frames - before - len(song)), (0, 0)))
    estimates = waveunet_tf.load_network(directory)(padded[None])
    return {name: np.asarray(stem)[0, : len(song)] for name, stem in estimates.items()}


@pytest.mark.parametrize("engine", ["tensorflow", "litert"])
@pytest.mark.parametrize("chunk_frames", [8, 300])  # shorter and longer than delays
def test_separation_equals_one_pass_over_the_song(
    tiny_checkpoint, chunk_frames, engine
):
    separator = waveunet_tf.load(
        tiny_checkpoint, chunk_frames=chunk_frames, engine=engine
    )
    for frames in (1, 7, 256, 257, 1000, 5003):
        song = noise(frames)
        stems = separator.separate(song, 8000)
        expected = one_pass(tiny_checkpoint, song)
        assert list(stems) == list(expected)
        for name, stem in stems.items():
            assert stem.dtype == np.float32
            np.testing.assert_allclose(stem, expected[name], atol=1e-6)


def test_without_context_windows_are_side_by_side(tiny_config, tmp_path):
    config = dataclasses.replace(tiny_config, context=False)
    network = build_network(config)
    checkpoint.save_checkpoint(tmp_path, network, config)
    song = noise(600)
    stems = waveunet_tf.load(tmp_path).separate(song, 8000)
    windows = np.pad(song, ((0, 168), (0, 0))).reshape(3, 256, 2)
    for name, estimate in network(windows).items():
        expected = np.asarray(estimate).reshape(-1, 2)[:600]
        np.testing.assert_allclose(stems[name], expected, atol=1e-6)


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
    stems = waveunet_tf.load(tmp_path).separate(noise(500), 8000)
    assert {stem.shape for stem in stems.values()} == {(500, 1)}


@pytest.mark.parametrize("change", [{"upsampling": "transposed"}, {"context": False}])
def test_networks_that_cannot_stream_go_through_windows(tiny_config, tmp_path, change):
    config = dataclasses.replace(tiny_config, **change)
    network = build_network(config)
    checkpoint.save_checkpoint(tmp_path, network, config)
    for frames in (1, 256, 1000):
        song = noise(frames)
        stems = waveunet_tf.load(tmp_path, chunk_frames=300).separate(song, 8000)
        if config.context:
            expected = one_pass(tmp_path, song)
        else:
            windows = np.pad(song, ((0, -frames % 256), (0, 0))).reshape(-1, 256, 2)
            expected = {
                name: np.asarray(estimate).reshape(-1, 2)[:frames]
                for name, estimate in network(windows).items()
            }
        for name, stem in stems.items():
            np.testing.assert_allclose(stem, expected[name], atol=1e-6)


@pytest.mark.parametrize("sample_rate_hz", [8000, 11025, 32000, 44100])
@pytest.mark.parametrize("channels", [1, 2])
def test_the_stems_of_a_difference_output_add_up_to_the_song(
    tiny_separator, sample_rate_hz, channels
):
    song = 10 * noise(5003, channels)
    stems = tiny_separator.separate(song, sample_rate_hz)
    np.testing.assert_allclose(sum(stems.values()), song, atol=1e-6)


@pytest.mark.parametrize("sample_rate_hz", [8000, 44100])
def test_a_stream_does_not_depend_on_its_blocks(tiny_separator, sample_rate_hz):
    song = noise(200_003)
    expected = tiny_separator.separate(song, sample_rate_hz)
    stream = tiny_separator.stream(sample_rate_hz, 2)
    blocks, position = [], 0
    for length in (1, 100_000, 0, 77, 99_925):
        blocks.append(stream.push(song[position : position + length]))
        position += length
    blocks.append(stream.finish())
    assert position == len(song)
    for name, stem in expected.items():
        streamed = np.concatenate([block[name] for block in blocks])
        np.testing.assert_allclose(streamed, stem, atol=1e-6)


@pytest.mark.parametrize("sample_rate_hz", [8000, 11025, 44100])
def test_a_stream_takes_copies_and_lags_no_more_than_it_says(
    tiny_checkpoint, sample_rate_hz
):
    separator = waveunet_tf.load(tiny_checkpoint, chunk_frames=64)
    song = noise(3 * sample_rate_hz)
    stream = separator.stream(sample_rate_hz, 2)
    buffer = np.zeros((128, 2))
    came, gone, longest, blocks = 0, 0, 0, []
    for start in range(0, len(song) - 128, 128):
        buffer[:] = song[start : start + 128]
        blocks.append(stream.push(buffer))
        came, gone = came + 128, gone + len(blocks[-1]["vocals"])
        longest = max(longest, came - gone)
    assert 0.5 * stream.latency_seconds < longest / sample_rate_hz
    assert longest / sample_rate_hz < stream.latency_seconds + 0.02
    expected = separator.separate(song, sample_rate_hz)
    for name, stem in expected.items():
        streamed = np.concatenate([block[name] for block in blocks])
        np.testing.assert_allclose(streamed, stem[:gone], atol=1e-6)


@pytest.mark.parametrize("engine", ["tensorflow", "litert"])
def test_songs_may_be_separated_in_threads_at_once(tiny_checkpoint, engine):
    separator = waveunet_tf.load(tiny_checkpoint, engine=engine, chunk_frames=64)
    songs = [noise(20_000 + number) for number in range(4)]
    expected = [separator.separate(song, 8000)["vocals"] for song in songs]
    with concurrent.futures.ThreadPoolExecutor(4) as executor:
        came = executor.map(lambda song: separator.separate(song, 8000), songs)
        for stems, vocals in zip(came, expected):
            np.testing.assert_allclose(stems["vocals"], vocals, atol=1e-6)


@pytest.mark.parametrize("shape", [(100,), (100, 1), (100, 3)])
def test_a_stream_refuses_blocks_of_another_shape(tiny_separator, shape):
    stream = tiny_separator.stream(8000, channels=2)
    with pytest.raises(InputError, match=r"must be of blocks \(frames, 2\)"):
        stream.push(np.zeros(shape, np.float32))


def test_a_file_is_separated_as_its_samples_are(tiny_separator, tmp_path):
    song = noise(70_001).astype("f")
    io.write_wav(tmp_path / "song.wav", song, 11025, bit_depth=32)
    targets = {name: tmp_path / f"{name}.wav" for name in tiny_separator.config.sources}
    done = []
    tiny_separator.separate_file(
        tmp_path / "song.wav", targets, bit_depth=32, on_progress=done.append
    )
    assert sum(done) == pytest.approx(70_001 / 11025)
    for name, stem in tiny_separator.separate(song, 11025).items():
        written, rate_hz = io.read(targets[name])
        assert rate_hz == 11025
        np.testing.assert_allclose(written, stem, atol=1e-6)


def test_many_channels_are_refused_or_folded_down(tiny_separator, tmp_path):
    six = np.zeros((9000, 6), np.float32)
    six[:, 2] = 0.25 * np.sin(np.arange(9000) / 9)  # the centre of 5.1
    soundfile.write(tmp_path / "six.wav", six, 8000, format="WAVEX")
    targets = {"vocals": tmp_path / "vocals.wav", "no_vocals": tmp_path / "rest.wav"}
    with pytest.raises(
        InputError, match=r"six\.wav: .* --downmix folds more down. Received: 6"
    ):
        tiny_separator.separate_file(tmp_path / "six.wav", targets)
    tiny_separator.separate_file(
        tmp_path / "six.wav", targets, downmix=True, bit_depth=32
    )
    stems = [io.read(target)[0] for target in targets.values()]
    folded = sum(stems)
    assert folded.shape == (9000, 2)
    np.testing.assert_allclose(folded[:, 0], folded[:, 1], atol=1e-6)
    gain = np.dot(folded[:, 0], six[:, 2]) / np.dot(six[:, 2], six[:, 2])
    assert 0.2 < gain < 1
    np.testing.assert_allclose(folded[:, 0], gain * six[:, 2], atol=1e-4)


def test_a_target_of_no_source_is_refused(tiny_separator, tmp_path):
    io.write_wav(tmp_path / "song.wav", noise(100), 8000)
    for name, message in {
        "bass": "Received: bass",
        "vocals": "must be one of wav",
    }.items():
        with pytest.raises(InputError, match=message):
            tiny_separator.separate_file(
                tmp_path / "song.wav", {name: tmp_path / "x.xyz"}
            )


def test_a_file_that_breaks_off_leaves_nothing_behind(tiny_separator, tmp_path):
    song = noise(200_000).astype("f")
    for name, damaged in {"nan": song.copy(), "cut": song}.items():
        if name == "nan":
            damaged[150_000] = np.nan
        io.write_wav(tmp_path / f"{name}.wav", damaged, 8000, bit_depth=32)
    cut = (tmp_path / "cut.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(cut[:-9000])
    targets = {
        name: tmp_path / "out" / f"{name}.wav" for name in tiny_separator.config.sources
    }
    for name, message in {
        "nan": "nan.wav: `song` must hold finite .* in frame 150000",
        "cut": "truncated",
    }.items():
        with pytest.raises(InputError, match=message):
            tiny_separator.separate_file(tmp_path / f"{name}.wav", targets)
        assert not (tmp_path / "out").exists()


def test_another_rate_is_separated_at_the_networks_rate(tiny_separator):
    song = noise(4410)
    stems = tiny_separator.separate(song, 44100)
    at_8000 = tiny_separator.separate(resample.resample(song, 44100, 8000), 8000)
    expected = resample.resample(at_8000["accompaniment"], 8000, 44100, frames=4410)
    np.testing.assert_allclose(stems["accompaniment"], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("song", "rate_hz", "message"),
    [
        (np.zeros((0, 2)), 8000, "with frames. Received: shape (0, 2)"),
        (np.zeros(9), 8000, "Received: shape (9,)"),
        (np.zeros((9, 3)), 8000, "Received: 3 channels"),
        (np.full((9, 2), np.nan), 8000, "finite"),
        (np.full((9, 2), np.inf), 8000, "finite"),
        (np.zeros((9, 0)), 8000, "Received: shape (9, 0)"),
        (np.zeros((9, 2), np.int16), 8000, "must be of floats, full scale ±1"),
        (np.zeros((9, 2)), 0, "positive whole number. Received: 0"),
        (np.zeros((9, 2)), 8000.5, "positive whole number. Received: 8000.5"),
    ],
)
def test_what_is_no_song_is_refused(tiny_separator, song, rate_hz, message):
    with pytest.raises(InputError) as error:
        tiny_separator.separate(song, rate_hz)
    assert message in str(error.value)


def test_silence_and_full_scale_give_finite_stems(tiny_separator):
    square = np.sign(np.sin(np.arange(3000)))[:, None].repeat(2, axis=1)
    for song in (np.zeros((3000, 2)), np.ones((3000, 2)), square):
        stems = tiny_separator.separate(song, 8000)
        assert np.isfinite(stems["vocals"]).all()
        assert np.abs(stems["accompaniment"]).max() <= 1


def test_keras_network_is_independent_of_the_batch(tiny_checkpoint, tiny_config):
    frames = shapes.window_frames(tiny_config).input_frames
    batch = np.stack([noise(frames), noise(frames)[::-1]])
    network = waveunet_tf.load_network(tiny_checkpoint)
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
