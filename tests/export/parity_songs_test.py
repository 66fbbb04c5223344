import dataclasses
import json

import numpy as np
import pytest
import soundfile

from waveunet_tf.errors import InputError
from waveunet_tf.export import parity_songs


def write_track(folder, frames=8000, rate_hz=8000, level=0.1, channels=2):
    folder.mkdir(parents=True)
    ramp = np.linspace(0, level, frames)[:, None].repeat(channels, axis=1)
    soundfile.write(folder / "vocals.wav", ramp, rate_hz, subtype="FLOAT")
    soundfile.write(folder / "accompaniment.wav", ramp / 2, rate_hz, subtype="FLOAT")


def test_songs_are_spread_evenly_over_the_test_tracks(tmp_path, tiny_config):
    for number in range(9):
        write_track(tmp_path / "test" / f"{number}")
    write_track(tmp_path / "train" / "other")
    songs = parity_songs.find_parity_songs(tmp_path, tiny_config, max_songs=4)
    assert [song.name for song in songs] == ["test/0", "test/3", "test/6"]


def test_a_part_without_end_is_the_whole_song(tmp_path, tiny_config):
    write_track(tmp_path / "test" / "song", frames=16_000)
    (song,) = parity_songs.find_parity_songs(
        tmp_path, tiny_config, max_songs=1, max_seconds=float("inf")
    )
    assert song.mixture.shape == (16_000, 2)


@pytest.mark.parametrize("subset", ["valid", "train"])
def test_without_test_tracks_others_are_taken(tmp_path, tiny_config, subset):
    write_track(tmp_path / subset / "song")
    (song,) = parity_songs.find_parity_songs(tmp_path, tiny_config, max_songs=4)
    assert song.name == f"{subset}/song"


def test_a_song_is_its_middle_and_the_mixture_the_sum_of_its_stems(
    tmp_path, tiny_config
):
    write_track(tmp_path / "test" / "song", frames=16_000, level=0.4)
    (song,) = parity_songs.find_parity_songs(
        tmp_path, tiny_config, max_songs=1, max_seconds=0.5
    )
    assert song.mixture.shape == song.stems["vocals"].shape == (4000, 2)
    np.testing.assert_allclose(song.stems["vocals"][2000], 0.2, atol=1e-3)
    np.testing.assert_allclose(
        song.mixture, song.stems["vocals"] + song.stems["accompaniment"], atol=1e-6
    )


def test_a_song_has_the_networks_rate_and_channels(tmp_path, tiny_config):
    write_track(tmp_path / "test" / "song", frames=16_000, rate_hz=16_000)
    mono = dataclasses.replace(tiny_config, channels=1)
    (song,) = parity_songs.find_parity_songs(tmp_path, mono, max_songs=1)
    assert song.mixture.shape == (8000, 1)
    assert all(stem.shape == (8000, 1) for stem in song.stems.values())


def test_stems_that_a_teacher_estimated_are_no_truth(tmp_path, tiny_config):
    write_track(tmp_path / "test" / "song")
    (tmp_path / "test" / "song" / "accompaniment.wav").rename(
        tmp_path / "test" / "song" / "mixture.wav"
    )
    teacher = {"kind": "checkpoint", "name": "wise", "sha256": "ab" * 32}
    entry = {"estimates": {"stems": ["vocals"], "teacher": teacher}}
    manifest = json.dumps({"tracks": {"test/song": entry}})
    (tmp_path / "manifest.json").write_text(manifest)
    (song,) = parity_songs.find_parity_songs(tmp_path, tiny_config, max_songs=1)
    assert song.mixture.shape == (8000, 2)
    assert song.stems == {}


def test_a_source_that_is_not_known_is_no_stem(tmp_path, tiny_config):
    write_track(tmp_path / "test" / "song")
    four = dataclasses.replace(tiny_config, sources=("bass", "drums", "vocals"))
    (song,) = parity_songs.find_parity_songs(tmp_path, four, max_songs=1)
    assert list(song.stems) == ["vocals"]


def test_the_example_is_six_seconds_of_real_music(tiny_config):
    (song,) = parity_songs.find_parity_songs(None, tiny_config, max_songs=1)
    assert 5 * 8000 < len(song.mixture) < 8 * 8000
    assert sorted(song.stems) == ["accompaniment", "vocals"]
    total = sum(song.stems.values())
    correlation = np.corrcoef(song.mixture.ravel(), total.ravel())[0, 1]
    assert correlation > 0.95 and np.abs(song.mixture).max() > 0.1


def test_a_folder_without_tracks_is_refused(tmp_path, tiny_config):
    with pytest.raises(InputError, match=str(tmp_path)):
        parity_songs.find_parity_songs(tmp_path, tiny_config, max_songs=1)
