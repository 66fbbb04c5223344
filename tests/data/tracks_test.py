import pathlib
import shutil

import numpy as np
import pytest
import soundfile

from tests.data.stems import write_stem
from waveunet_tf.data.datasets import find_tracks
from waveunet_tf.data.sigsep import import_sigsep
from waveunet_tf.data.tracks import AudioStream, Mending, Track
from waveunet_tf.errors import InputError


def test_accompaniment_is_the_sum_of_all_but_the_vocals(tmp_path):
    for name, value in {"vocals": 0.5, "drums": 0.125, "bass": 0.25}.items():
        write_stem(tmp_path / "train" / "song" / f"{name}.wav", value=value)
    (track,) = find_tracks(tmp_path)
    stems, rate_hz = track.read(("accompaniment", "vocals"))
    assert rate_hz == 8000
    np.testing.assert_allclose(stems["accompaniment"], 0.375, atol=1e-4)
    np.testing.assert_allclose(stems["vocals"], 0.5, atol=1e-4)
    np.testing.assert_allclose(stems["mixture"], 0.875, atol=1e-4)


def test_an_accompaniment_beside_its_parts_is_not_counted_twice(tmp_path):
    stems = {"vocals": 0.125, "drums": 0.25, "bass": 0.125, "accompaniment": 0.375}
    for name, value in stems.items():
        write_stem(tmp_path / "train" / "song" / f"{name}.wav", value=value)
    (track,) = find_tracks(tmp_path)
    np.testing.assert_allclose(track.read(("vocals",))[0]["mixture"], 0.5, atol=1e-4)


def test_a_mixture_file_is_the_mixture(tmp_path):
    write_stem(tmp_path / "train" / "song" / "vocals.wav", value=0.5)
    write_stem(tmp_path / "train" / "song" / "mixture.wav", value=0.75)
    (track,) = find_tracks(tmp_path)
    assert list(track.sources) == ["vocals"]
    np.testing.assert_allclose(track.read(("vocals",))[0]["mixture"], 0.75, atol=1e-4)


@pytest.mark.parametrize(
    "other", [{"frames": 101}, {"channels": 1}, {"rate_hz": 16000}], ids=str
)
def test_stems_that_differ_are_refused_by_name(tmp_path, other):
    write_stem(tmp_path / "train" / "song" / "vocals.wav")
    write_stem(tmp_path / "train" / "song" / "drums.wav", **other)
    (track,) = find_tracks(tmp_path)
    with pytest.raises(InputError, match=r"train/song: .* must agree .*drums\.wav"):
        track.read(("vocals",))


def test_a_source_that_is_not_there_is_named(tmp_path):
    write_stem(tmp_path / "train" / "song" / "drums.wav")
    (track,) = find_tracks(tmp_path)
    with pytest.raises(InputError, match="has no source vocals .*, only drums"):
        track.read(("vocals",))
    with pytest.raises(InputError, match="neither accompaniment nor vocals .*, only d"):
        track.read(("accompaniment",))


def test_stem_mp4_has_the_length_that_musdb_gives(shared_data):
    """6.8 s, and what fills the last packet: 293 of 1024 frames (ffmpeg 5.1)."""
    for track in find_tracks(shared_data / "musdb18-7s", subsets=("test",)):
        stems, _ = track.read(("accompaniment", "vocals"))
        assert [len(stem) for stem in stems.values()] == [300_032] * len(stems)


@pytest.mark.skipif(
    shutil.which("ffmpeg") is None, reason="musdb's decoding is ffmpeg's"
)
def test_stem_mp4_decodes_to_the_samples_of_musdbs_own_decoding(shared_data):
    root = shared_data / "musdb18-7s"
    ours = {track.name: track for track in find_tracks(root)}
    database = import_sigsep("musdb").DB(root=str(root), subsets=["test"])
    for theirs in database.tracks[:3]:
        stems, rate_hz = ours[theirs.name].read(("accompaniment", "vocals"))
        assert rate_hz == theirs.rate
        for name, expected in {
            "mixture": theirs.audio,
            "vocals": theirs.targets["vocals"].audio,
            "accompaniment": theirs.targets["accompaniment"].audio,
        }.items():
            # musdb rounds each stem to 16 bits.
            np.testing.assert_allclose(stems[name], expected, atol=2.1 / 2**15)


@pytest.mark.parametrize(
    ("sources", "parts"),
    [
        ("bass drums other vocals", "bass drums other vocals"),
        ("accompaniment vocals", "accompaniment vocals"),
        ("accompaniment bass drums vocals", "accompaniment vocals"),
        ("accompaniment bass drums", "bass drums"),
        ("accompaniment", "accompaniment"),
        ("vocals", "vocals"),
    ],
)
def test_a_mixtures_parts_are_counted_once(sources, parts):
    track = Track("song", "train", dict.fromkeys(sources.split()))
    assert track.part_names == tuple(parts.split())


def test_a_merge_is_a_sum_and_lacks_only_what_may_be_silent(tmp_path):
    for name, value in {"drums": 0.25, "bass": 0.125, "vocals": 0.5}.items():
        write_stem(tmp_path / "song" / f"{name}.wav", value=value)
    (track,) = find_tracks(tmp_path)
    merges = {"rhythm": ("drums", "bass", "claps")}
    with pytest.raises(InputError, match="has no source claps .*, only bass, drums"):
        track.read(("rhythm",), Mending(merges=merges))
    stems, _ = track.read(("rhythm",), Mending(merges=merges, missing_is_silence=True))
    np.testing.assert_allclose(stems["rhythm"], 0.375, atol=1e-4)


def test_short_and_mono_stems_are_mended_as_wished(tmp_path):
    write_stem(tmp_path / "song" / "vocals.wav", 100, 0.5)
    write_stem(tmp_path / "song" / "drums.wav", 70, 0.25, channels=1)
    (track,) = find_tracks(tmp_path)
    mending = Mending(pad_short_stems=True, mono_to_stereo=True)
    stems, _ = track.read(("drums", "vocals"), mending)
    expected = np.zeros((100, 2))
    expected[:70] = 0.25
    np.testing.assert_allclose(stems["drums"], expected, atol=1e-4)
    np.testing.assert_allclose(stems["mixture"], expected + 0.5, atol=1e-4)


def test_a_long_track_is_read_in_step_and_not_whole(tmp_path):
    """Stems of other formats come in blocks of other lengths."""
    generator = np.random.default_rng(0)
    expected = {}
    for name, suffix in {"drums": "wav", "vocals": "flac", "bass": "aiff"}.items():
        expected[name] = generator.uniform(-0.3, 0.3, (150_000, 2))
        path = tmp_path / "song" / f"{name}.{suffix}"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, expected[name], 8000, "PCM_24")
    (track,) = find_tracks(tmp_path)
    with track.open(("vocals", "drums")) as reader:
        assert (reader.sample_rate_hz, reader.channels) == (8000, 2)
        assert reader.duration_seconds == pytest.approx(150_000 / 8000)
        assert len(reader.paths) == 3
        blocks = list(reader.blocks())
    assert len(blocks) > 1
    assert all(len({len(stem) for stem in block.values()}) == 1 for block in blocks)
    for name in ("vocals", "drums"):
        whole = np.concatenate([block[name] for block in blocks])
        np.testing.assert_allclose(whole, expected[name], atol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_are_refused_with_their_time(tmp_path, bad):
    samples = np.zeros((80_000, 1))
    samples[75_000] = bad
    (tmp_path / "song").mkdir()
    soundfile.write(tmp_path / "song" / "vocals.wav", samples, 8000, subtype="FLOAT")
    (track,) = find_tracks(tmp_path)
    with pytest.raises(InputError, match=r"vocals\.wav: .*NaN or infinity after 8.2 s"):
        track.read(("vocals",))


def test_surround_stems_are_refused(tmp_path):
    write_stem(tmp_path / "song" / "vocals.wav", channels=6)
    (track,) = find_tracks(tmp_path)
    with pytest.raises(InputError, match="mono or stereo. Received: 6 channels"):
        track.read(("vocals",))


def test_a_stream_is_named_by_its_file_and_number():
    assert str(AudioStream(pathlib.Path("a/b.wav"))) == "b.wav"
    assert str(AudioStream(pathlib.Path("a/b.mp4"), 3)) == "b.mp4[3]"
