import dataclasses
import itertools

import av
import keras
import numpy as np
import pytest
import soundfile

import waveunet_tf
from tests.audio.signals import write_tracks
from tests.separation.numpy_engine import share_separator
from waveunet_tf.audio import io, resample
from waveunet_tf.audio.decode import AudioReader
from waveunet_tf.checkpoints import checkpoint
from waveunet_tf.configs.networks import SpectrogramUNetConfig
from waveunet_tf.errors import InputError
from waveunet_tf.networks.build import build_network
from waveunet_tf.system import files

# They share networks.
pytestmark = pytest.mark.xdist_group("song_file")

SOURCES = ("accompaniment", "vocals")


@pytest.fixture(scope="module")
def separator():
    return share_separator()


def noise(frames):
    return np.random.default_rng(frames).normal(0, 0.1, (frames, 2))


def write_noise(path, frames, rate_hz, *, gain=0.1, bit_depth=32, channels=2):
    song = np.random.default_rng(frames).normal(0, gain, (frames, channels))
    io.write_wav(path, song, rate_hz, bit_depth=bit_depth)
    return io.read(path)[0]


def separate(separator, song, folder, suffix="wav", **options):
    """The stems' files, by source."""
    targets = {name: folder / f"{name}.{suffix}" for name in SOURCES}
    separator.separate_file(song, targets, **options)
    return targets


SPECTROGRAM = SpectrogramUNetConfig(
    num_levels=2,
    base_filters=2,
    fft_frames=16,
    hop_frames=8,
    output_frames=296,
    sample_rate_hz=8000,
)


@pytest.fixture(
    scope="module",
    params=[{}, {"context": False}, {"upsampling": "transposed"}, SPECTROGRAM],
    ids=["stream", "windows side by side", "exact windows", "windows that fade"],
)
def network_separator(request, tiny_config, tmp_path_factory):
    """A separator of each way through a song."""
    config = request.param
    if config is not SPECTROGRAM:
        config = dataclasses.replace(tiny_config, **config)
    folder = tmp_path_factory.mktemp("checkpoint")
    keras.utils.set_random_seed(1)
    checkpoint.save_checkpoint(folder, build_network(config), config)
    return waveunet_tf.load(folder, chunk_frames=512, engine="tensorflow")


@pytest.mark.parametrize("rate_hz", [8000, 11025, 44100])
def test_a_part_has_the_stems_that_the_whole_song_has(
    network_separator, tmp_path, rate_hz
):
    write_noise(tmp_path / "song.wav", 2 * rate_hz + 5, rate_hz)
    whole = separate(network_separator, tmp_path / "song.wav", tmp_path / "whole")
    for start, duration in [(0, 0.3), (1.3, 0.6), (1.75, None), (1.9, 99)]:
        part = separate(
            network_separator,
            tmp_path / "song.wav",
            tmp_path / "part",
            start_seconds=start,
            duration_seconds=duration,
        )
        first = round(start * rate_hz)
        last = None if duration is None else first + round(duration * rate_hz)
        for name in SOURCES:
            expected = io.read(whole[name])[0][first:last]
            actual = io.read(part[name])[0]
            assert len(actual) == len(expected)
            np.testing.assert_allclose(actual, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start_seconds": 1.0}, r"within the song, of 1.00 s. Received: 1.0"),
        ({"start_seconds": 60.0}, r"within the song, of 1.00 s. Received: 60.0"),
        ({"start_seconds": -1.0}, "`start_seconds` must be at least 0"),
        ({"start_seconds": float("nan")}, "`start_seconds` must be at least 0"),
        ({"duration_seconds": 0.0}, "`duration_seconds` must be positive"),
        ({"duration_seconds": float("inf")}, "`duration_seconds` must be positive"),
        ({"clip": "soft"}, "`clip` must be one of rescale, clamp, none"),
        ({"clip": "none", "bit_depth": 16}, "alone hold samples beyond full scale"),
        ({"bit_depth": 8}, "`bit_depth` must be one of 16, 24, 32. Received: 8"),
    ],
)
def test_options_out_of_range_are_refused(separator, tmp_path, options, message):
    write_noise(tmp_path / "song.wav", 8000, 8000)
    with pytest.raises(InputError, match=message):
        separate(separator, tmp_path / "song.wav", tmp_path / "a" / "b", **options)
    assert [path.name for path in tmp_path.iterdir()] == ["song.wav"]


def test_loud_stems_get_one_gain_or_are_clipped_or_left(separator, tmp_path, caplog):
    caplog.set_level("INFO", logger="absl")
    write_noise(tmp_path / "song.wav", 30_000, 8000, gain=1.0)
    stems = {}
    for clip in ("none", "clamp", "rescale"):
        files = separate(
            separator, tmp_path / "song.wav", tmp_path, bit_depth=32, clip=clip
        )
        stems[clip] = np.stack([io.read(files[name])[0] for name in SOURCES])
    peak = np.abs(stems["none"]).max()
    assert peak > 2
    np.testing.assert_allclose(stems["clamp"], stems["none"].clip(-1, 1), atol=1e-7)
    np.testing.assert_allclose(stems["rescale"], stems["none"] / peak, atol=1e-6)
    assert f"quieter by {20 * np.log10(peak):.2f} dB" in caplog.text

    default = separate(separator, tmp_path / "song.wav", tmp_path, bit_depth=24)
    written = np.stack([io.read(default[name])[0] for name in SOURCES])
    np.testing.assert_allclose(written, stems["rescale"], atol=1e-6)
    default = separate(separator, tmp_path / "song.wav", tmp_path)  # the song's: float
    written = np.stack([io.read(default[name])[0] for name in SOURCES])
    np.testing.assert_array_equal(written, stems["none"])


def test_a_format_without_the_songs_bit_depth_takes_the_next_below(separator, tmp_path):
    write_noise(tmp_path / "song.wav", 3000, 8000, bit_depth=32)
    stems = separate(separator, tmp_path / "song.wav", tmp_path, "flac")
    assert soundfile.info(stems["vocals"]).subtype == "PCM_24"


@pytest.mark.parametrize(("rate_hz", "expected_hz"), [(96001, 96010), (705600, 655350)])
def test_a_song_of_a_rate_that_flac_lacks_has_stems_of_the_next(
    separator, tmp_path, rate_hz, expected_hz
):
    soundfile.write(tmp_path / "song.wav", 0.1 * np.ones(rate_hz // 10), rate_hz)
    stems = separate(separator, tmp_path / "song.wav", tmp_path, "flac")
    for path in stems.values():
        written = soundfile.info(path)
        assert written.samplerate == expected_hz
        assert abs(written.frames - expected_hz / 10) <= 1


@pytest.mark.parametrize(
    ("suffix", "rate_hz", "expected_hz"),
    [
        *itertools.product(["wav", "flac", "ogg"], [96000], [96000]),
        ("opus", 44100, 48000),
        ("opus", 8000, 48000),
        ("mp3", 44100, 44100),
        ("mp3", 96000, 48000),
        ("m4a", 44100, 44100),
        ("m4a", 192000, 96000),
        ("ogg", 384000, 192000),
    ],
)
def test_every_format_holds_the_stems_and_their_tags(
    separator, tmp_path, suffix, rate_hz, expected_hz
):
    tags = {"title": "Où ça 日本", "artist": "A & B", "album": "C", "date": "2021"}
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(rate_hz) / rate_hz)
    with soundfile.SoundFile(tmp_path / "song.flac", "w", rate_hz, 1) as file:
        for name, value in tags.items():
            setattr(file, name, value)
        file.write(tone)
    expected = separator.separate(io.read(tmp_path / "song.flac")[0], rate_hz)
    stems = separate(separator, tmp_path / "song.flac", tmp_path, suffix)
    for name, path in stems.items():
        with av.open(str(path)) as container:  # another reader than most of ours
            stream = container.streams.audio[0]
            found = {**container.metadata, **stream.metadata}
            found = {key.lower(): value for key, value in found.items()}
            assert {key: found[key] for key in tags} == tags
            assert stream.rate == expected_hz
            if suffix == "m4a":  # its decoders add the padding of the last packet
                assert stream.duration * stream.time_base == 1
        decoded, _ = io.read(path)
        if suffix != "m4a":
            assert abs(len(decoded) - expected_hz) == 0
        wanted = resample.resample(expected[name], rate_hz, expected_hz)[:, 0]
        frames = min(len(wanted), len(decoded)) - 2000
        error = decoded[2000:frames, 0] - wanted[2000:frames]
        assert error.var() < 0.01 * wanted.var()  # without the mean, which Opus drops


def test_tags_that_are_not_utf_8_are_taken_for_windows_1252(separator, tmp_path):
    song = tmp_path / "song.mp3"
    with soundfile.SoundFile(song, "w", 8000, 1) as file:
        file.write(np.zeros(30_000))
    title, artist = ("Café".encode("cp1252"), "Sigur Rós".encode("cp1252"))
    with song.open("ab") as file:  # ID3v1
        file.write(b"TAG" + title.ljust(30, b"\0") + artist.ljust(30, b"\0"))
        file.write(bytes(30 + 4 + 30) + b"\xff")
    with AudioReader(song) as reader:
        assert reader.tags == {"title": "Café", "artist": "Sigur Rós"}
    stems = separate(separator, song, tmp_path, "flac")
    with soundfile.SoundFile(stems["vocals"]) as file:
        assert (file.title, file.artist) == ("Café", "Sigur Rós")

    wav = tmp_path / "song.wav"
    with soundfile.SoundFile(wav, "w", 8000, 1) as file:
        file.title = "Cafe"
        file.write(np.zeros(3000))
    wav.write_bytes(wav.read_bytes().replace(b"Cafe", title))
    with AudioReader(wav) as reader:
        assert reader.tags["title"] == "Café"


def test_each_stem_has_dither_of_its_own(separator, tmp_path):
    write_noise(tmp_path / "song.wav", 80_000, 8000)
    options = {"clip": "clamp", "bit_depth": 16}
    stems = separate(separator, tmp_path / "song.wav", tmp_path, **options)
    song, _ = io.read(tmp_path / "song.wav")
    exact = separator.separate(song, 8000)
    errors = [io.read(stems[name])[0] - exact[name] for name in SOURCES]
    correlation = np.corrcoef(errors[0].ravel(), errors[1].ravel())[0, 1]
    assert abs(correlation) < 0.05


def test_a_file_is_separated_as_its_samples_are(separator, tmp_path):
    song = noise(30_001).astype("f")
    io.write_wav(tmp_path / "song.wav", song, 11025, bit_depth=32)
    targets = {name: tmp_path / f"{name}.wav" for name in separator.config.sources}
    done = []
    separator.separate_file(
        tmp_path / "song.wav", targets, bit_depth=32, on_progress=done.append
    )
    assert sum(done) == pytest.approx(30_001 / 11025)
    for name, stem in separator.separate(song, 11025).items():
        written, rate_hz = io.read(targets[name])
        assert rate_hz == 11025
        np.testing.assert_allclose(written, stem, atol=1e-6)


def test_many_channels_are_refused_or_folded_down(separator, tmp_path):
    six = np.zeros((9000, 6), np.float32)
    six[:, 2] = 0.25 * np.sin(np.arange(9000) / 9)  # the centre of 5.1
    soundfile.write(tmp_path / "six.wav", six, 8000, format="WAVEX")
    targets = {"vocals": tmp_path / "vocals.wav", "no_vocals": tmp_path / "rest.wav"}
    with pytest.raises(
        InputError, match=r"six\.wav: .* --downmix folds more down. Received: 6"
    ):
        separator.separate_file(tmp_path / "six.wav", targets)
    separator.separate_file(tmp_path / "six.wav", targets, downmix=True, bit_depth=32)
    stems = [io.read(target)[0] for target in targets.values()]
    folded = sum(stems)
    assert folded.shape == (9000, 2)
    np.testing.assert_allclose(folded[:, 0], folded[:, 1], atol=1e-6)
    gain = np.dot(folded[:, 0], six[:, 2]) / np.dot(six[:, 2], six[:, 2])
    assert 0.2 < gain < 1
    np.testing.assert_allclose(folded[:, 0], gain * six[:, 2], atol=1e-4)


def test_the_default_track_or_a_named_one_is_separated(separator, tmp_path):
    path = tmp_path / "film.mkv"
    titles = [("eng", "Mix"), ("fra", "Version française")]
    write_tracks(path, [0.1, 0.2], default=1, titles=titles)
    targets = {"vocals": tmp_path / "vocals.wav", "no_vocals": tmp_path / "rest.wav"}
    for track, level in {None: 0.2, 1: 0.1, 2: 0.2}.items():
        separator.separate_file(path, targets, audio_track=track, bit_depth=32)
        both = sum(io.read(target)[0] for target in targets.values())
        np.testing.assert_allclose(both, level, atol=1e-3)
    with pytest.raises(InputError) as error:
        separator.separate_file(path, targets, audio_track=3)
    assert str(error.value) == (
        f"{path}: must have audio track 3, but has 2: 1 (eng, Mix), 2 (fra, Version "
        "française, default)"
    )
    for number in (0, 1.5, "2"):
        with pytest.raises(InputError, match="`audio_track` must be a whole number"):
            separator.separate_file(path, targets, audio_track=number)


def test_a_target_of_no_source_is_refused(separator, tmp_path):
    io.write_wav(tmp_path / "song.wav", noise(100), 8000)
    for name, message in {
        "bass": "Received: bass",
        "vocals": "must be one of wav",
    }.items():
        with pytest.raises(InputError, match=message):
            separator.separate_file(tmp_path / "song.wav", {name: tmp_path / "x.xyz"})


def test_a_file_that_breaks_off_leaves_nothing_behind(separator, tmp_path):
    song = noise(200_000).astype("f")
    for name, damaged in {"nan": song.copy(), "cut": song}.items():
        if name == "nan":
            damaged[150_000] = np.nan
        io.write_wav(tmp_path / f"{name}.wav", damaged, 8000, bit_depth=32)
    cut = (tmp_path / "cut.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(cut[:-9000])
    targets = {
        name: tmp_path / "out" / f"{name}.wav" for name in separator.config.sources
    }
    for name, message in {
        "nan": "nan.wav: `song` must hold finite .* in frame 150000",
        "cut": "truncated",
    }.items():
        with pytest.raises(InputError, match=message):
            separator.separate_file(tmp_path / f"{name}.wav", targets)
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("target", ["song.wav", "folder", "./folder/../song.wav"])
def test_a_target_is_a_file_of_its_own(separator, tmp_path, target):
    write_noise(tmp_path / "song.wav", 99, 8000)
    (tmp_path / "folder").mkdir()
    before = (tmp_path / "song.wav").read_bytes()
    with pytest.raises(InputError, match="must be files of their own"):
        separator.separate_file(
            tmp_path / "song.wav", {"vocals": f"{tmp_path}/{target}"}
        )
    same = dict.fromkeys(SOURCES, tmp_path / "same.wav")
    with pytest.raises(InputError, match="must be files of their own"):
        separator.separate_file(tmp_path / "song.wav", same)
    with pytest.raises(InputError, match="must have at least one file"):
        separator.separate_file(tmp_path / "song.wav", {})
    assert (tmp_path / "song.wav").read_bytes() == before


def test_folders_that_are_made_for_nothing_go_again(tmp_path):
    (tmp_path / "old").mkdir()
    targets = [tmp_path / "old" / "x", tmp_path / "new" / "deep" / "y"]
    with pytest.raises(KeyboardInterrupt):
        with files.atomic_files(targets) as parts:
            parts[1].write_text("half")
            raise KeyboardInterrupt
    assert [path.name for path in tmp_path.rglob("*")] == ["old"]
