import dataclasses
import itertools
import pathlib

import numpy as np
import pytest
import soundfile

from tests.separation.numpy_engine import share_separator
from waveunet_tf.errors import InputError
from waveunet_tf.separation.songs import OptionsError, SongOptions, separate_songs

SOURCES = ("accompaniment", "vocals")


def write_song(path, seconds=0.5, level=0.1):
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = round(8000 * seconds)
    samples = np.random.default_rng(frames).uniform(-level, level, (frames, 2))
    soundfile.write(path, samples, 8000, subtype="FLOAT")
    return soundfile.read(path, dtype="float32")[0]


def read(path):
    return soundfile.read(path, dtype="float32")[0]


def files_of(folder):
    paths = (path for path in pathlib.Path(folder).rglob("*") if path.is_file())
    return sorted(str(path.relative_to(folder)) for path in paths)


def test_two_lines_separate_the_songs_of_a_folder(tmp_path):
    songs = {name: write_song(tmp_path / "album" / f"{name}.wav") for name in "ab"}
    options = SongOptions(output_dir=tmp_path / "stems")
    assert separate_songs(tmp_path / "album", options, share_separator()) == []
    assert files_of(tmp_path / "stems") == [
        f"{name}/{source}.wav" for name, source in itertools.product("ab", SOURCES)
    ]
    for name, song in songs.items():
        vocals = read(tmp_path / "stems" / name / "vocals.wav")
        np.testing.assert_allclose(vocals, 0.25 * song, atol=1e-6)


def test_what_fails_is_returned_and_the_rest_is_done(tmp_path):
    write_song(tmp_path / "good.wav")
    (tmp_path / "text.wav").write_text("no music")
    names = [tmp_path / name for name in ("none.wav", "text.wav", "*.mp3", "good.wav")]
    options = SongOptions(output_dir=tmp_path / "stems")
    failures = separate_songs(names, options, share_separator())
    assert files_of(tmp_path / "stems") == ["good/accompaniment.wav", "good/vocals.wav"]
    # Patterns are searched before a song is opened.
    assert [failure.what for failure in failures] == [
        str(tmp_path / name) for name in ("*.mp3", "none.wav", "text.wav")
    ]
    assert [type(failure.error) for failure in failures] == [
        InputError,
        FileNotFoundError,
        InputError,
    ]
    assert str(failures[1]) == f"{tmp_path}/none.wav: No such file or directory"
    assert str(failures[2]).startswith(f"{tmp_path}/text.wav: must be an audio file")


def test_a_song_that_fails_midway_leaves_the_others(tmp_path):
    bad = write_song(tmp_path / "bad.wav", 10)
    bad[70_000] = np.nan
    soundfile.write(tmp_path / "bad.wav", bad, 8000, subtype="FLOAT")
    write_song(tmp_path / "good.wav")
    options = SongOptions(output_dir=tmp_path / "stems", stems=("vocals",))
    names = [tmp_path / "bad.wav", tmp_path / "good.wav"]
    (failure,) = separate_songs(names, options, share_separator())
    assert str(failure).startswith(f"{tmp_path}/bad.wav: `song` must hold finite")
    assert files_of(tmp_path / "stems") == ["good/vocals.wav"]


def test_existing_stems_are_replaced_only_if_wished(tmp_path):
    song = write_song(tmp_path / "song.wav")
    stem = tmp_path / "stems" / "song" / "vocals.wav"
    options = SongOptions(output_dir=tmp_path / "stems", stems=("vocals",))
    assert separate_songs(tmp_path / "song.wav", options, share_separator()) == []
    half = share_separator(0.5)
    (failure,) = separate_songs(tmp_path / "song.wav", options, half)
    assert f"{stem}: must be a new file, or --overwrite" in str(failure)
    np.testing.assert_allclose(read(stem), 0.25 * song, atol=1e-6)
    overwrite = dataclasses.replace(options, overwrite=True)
    assert separate_songs(tmp_path / "song.wav", overwrite, half) == []
    np.testing.assert_allclose(read(stem), 0.5 * song, atol=1e-6)


def test_progress_runs_to_the_length_of_all_songs(tmp_path):
    for number in (1, 2):
        write_song(tmp_path / f"{number}.wav", seconds=10 * number)
    steps = []
    options = SongOptions(output_dir=tmp_path / "stems", two_stems="vocals")
    separate_songs(tmp_path, options, share_separator(), on_progress=steps.append)
    done = [step.done_seconds for step in steps]
    assert done == sorted(done)
    assert {step.total_seconds for step in steps} == {30.0}
    assert (done[0], done[-1]) == (0.0, pytest.approx(30.0))
    assert len(done) > 6  # not only once a song
    assert [step.song.name for step in steps if step.written] == ["1.wav", "2.wav"]
    assert [path.name for path in steps[-1].written] == ["vocals.wav", "no_vocals.wav"]
    assert all(path.exists() for step in steps for path in step.written)


def test_a_part_in_another_format_goes_where_the_template_says(tmp_path):
    song = write_song(tmp_path / "in" / "deep" / "song.wav", seconds=3)
    options = SongOptions(
        output_dir=tmp_path / "out",
        output_template="{folder}/{track} - {source}.{ext}",
        format="flac",
        bit_depth=24,
        start_seconds=1.5,
        duration_seconds=0.25,
        stems=("no_vocals",),
        recursive=True,
    )
    assert separate_songs(tmp_path / "in", options, share_separator()) == []
    assert files_of(tmp_path / "out") == ["deep/song - no_vocals.flac"]
    stem = read(tmp_path / "out" / "deep" / "song - no_vocals.flac")
    np.testing.assert_allclose(stem, 0.75 * song[12_000:14_000], atol=1e-6)


def test_clip_and_bit_depth_reach_the_files(tmp_path):
    song = write_song(tmp_path / "song.wav", level=1.0)
    loud = share_separator(4.0)
    for clip, expected in {
        "none": 4 * song,
        "clamp": (4 * song).clip(-1, 1),
        "rescale": song / np.abs(song).max(),
    }.items():
        options = SongOptions(
            output_dir=tmp_path / clip, clip=clip, bit_depth=32, stems=("vocals",)
        )
        assert separate_songs(tmp_path / "song.wav", options, loud) == []
        stem = read(tmp_path / clip / "song" / "vocals.wav")
        np.testing.assert_allclose(stem, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "aiff"}, "`format` must be one of wav, flac.* Received: aiff"),
        ({"bit_depth": 8}, "`bit_depth` must be one of 16, 24, 32. Received: 8"),
        ({"bit_depth": 32, "format": "flac"}, "flac must be 16 or 24. Received: 32"),
        ({"bit_depth": 16, "format": "mp3"}, "of mp3 must be left out. Received: 16"),
        ({"clip": "soft"}, "`clip` must be one of rescale.* Received: soft"),
        ({"clip": "none", "bit_depth": 16}, "but for float wav. Received: none"),
        ({"clip": "none", "format": "ogg"}, "Received: none for ogg"),
        ({"start_seconds": -1}, "`start_seconds` must be at least 0.* Received: -1"),
        ({"start_seconds": float("nan")}, "and finite, .* Received: nan"),
        ({"duration_seconds": 0}, "`duration_seconds` must be positive.*: 0"),
        ({"output_dir": ""}, "`output_dir` must be a folder's name, but is empty"),
        ({"output_template": "x"}, "`output_template` must lead .* Received: x"),
        ({"stems": ("a",), "two_stems": "a"}, "`stems` and `two_stems` exclude each"),
        ({"stems": "vocals"}, "`stems` must be a list of texts. Received: 'vocals'"),
        ({"stems": [1]}, "`stems` must be a list of texts. Received: list"),
        ({"two_stems": ["a"]}, "`two_stems` must be a text. Received: list"),
        ({"output_dir": None}, "`output_dir` must be a path.* Received: None"),
        ({"output_template": 1}, "`output_template` must be a text. Received: 1"),
        ({"format": ["wav"]}, "`format` must be one of wav.* Received: list"),
        ({"recursive": "no"}, "`recursive` must be True or False. Received: 'no'"),
        ({"overwrite": None}, "`overwrite` must be True or False. Received: None"),
    ],
)
def test_contradictory_options_are_refused_when_they_are_made(options, message):
    with pytest.raises(OptionsError, match=message):
        SongOptions(**options)


@pytest.mark.parametrize("songs", [None, 5, ["a.wav", 5], [b"a.wav"], ["a\0.wav"]])
def test_songs_are_paths(tmp_path, songs):
    with pytest.raises(InputError, match="`songs` must be a path"):
        separate_songs(songs, SongOptions(output_dir=tmp_path), share_separator())


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["accompaniment", "vocals"]),
        ({"stems": ("vocals", "no_vocals", "vocals")}, ["vocals", "no_vocals"]),
        ({"two_stems": "vocals"}, ["vocals", "no_vocals"]),
        ({"stems": ("no_vocals",), "output_dir": "-"}, ["no_vocals"]),
    ],
)
def test_the_stems_are_sources_or_sums_of_others(options, expected):
    assert SongOptions(**options).stem_names(SOURCES) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stems": ("bass",)}, "must be of accompaniment, vocals, no_acc.*: bass"),
        ({"stems": ()}, "Received: none"),
        ({"two_stems": "no_vocals"}, "of accompaniment, vocals. Received: no_vocals"),
        ({"output_dir": "-"}, "takes one stem .* Received: 2 stems"),
        ({"output_dir": "-", "two_stems": "vocals"}, "Received: 2 stems"),
    ],
)
def test_stems_that_a_network_does_not_have_are_refused(tmp_path, options, message):
    with pytest.raises(OptionsError, match=message):
        separate_songs(tmp_path, SongOptions(**options), share_separator())


def test_standard_output_takes_one_song(tmp_path):
    for name in ("a.wav", "b.wav"):
        write_song(tmp_path / name)
    options = SongOptions(output_dir="-", stems=("vocals",))
    with pytest.raises(OptionsError, match="takes one song. Received: 2 songs"):
        separate_songs(tmp_path, options, share_separator())


def test_options_are_never_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        SongOptions().format = "flac"
