import hashlib
import json

import numpy as np
import pytest
import soundfile

from tests.command_line import check_refusal, run_here
from tests.data.stems import contents
from tests.separation.numpy_engine import share_separator
from tests.system.leftovers import leave_half
from waveunet_tf.data.datasets import find_tracks
from waveunet_tf.data.manifest import Settings
from waveunet_tf.data.preparation import prepare_tracks
from waveunet_tf.data.tracks import Mending
from waveunet_tf.errors import InputError
from waveunet_tf.export import quantize, tflite
from waveunet_tf.separation.separator_source import CheckpointSource
from waveunet_tf.separation.teaching import (
    FolderTeacher,
    SeparatorTeacher,
    teach_songs,
)

RATE_HZ = 8000
TEACH = "waveunet_tf teach"
STEP = 2.0**-15


def write_song(path, *, level=0.1, frames=9000, channels=2, rate_hz=RATE_HZ):
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(frames).uniform(-level, level, (frames, channels))
    soundfile.write(path, samples, rate_hz, subtype="PCM_24")
    return samples


def teacher(**changes):
    """A teacher whose vocals are a quarter of the song."""
    values = {"kind": "checkpoint", "name": "quarter", "sha256": "ab" * 32}
    return SeparatorTeacher(share_separator(), **{**values, **changes})


@pytest.fixture
def songs(tmp_path):
    return {
        name: write_song(tmp_path / "songs" / f"{name}.wav", frames=9000 + number)
        for number, name in enumerate("ab")
    }


def tracks_of(output):
    return json.loads((output / "manifest.json").read_text())["tracks"]


def test_songs_become_tracks_of_mixture_and_estimates(songs, tmp_path):
    output = tmp_path / "taught"
    assert teach_songs([tmp_path / "songs"], output, teacher(), bit_depth=24) == []
    for name, song in songs.items():
        folder = output / "train" / name
        assert [path.name for path in sorted(folder.iterdir())] == [
            "mixture.flac",
            "vocals.flac",
        ]
        for stem, expected in {"mixture": song, "vocals": 0.25 * song}.items():
            written, rate_hz = soundfile.read(folder / f"{stem}.flac")
            assert rate_hz == RATE_HZ
            np.testing.assert_allclose(written, expected, atol=1e-6)


def test_the_manifest_tells_mixture_teacher_and_estimates(songs, tmp_path):
    output = tmp_path / "taught"
    teach_songs([tmp_path / "songs"], output, teacher())
    entry = tracks_of(output)["train/a"]
    content = (tmp_path / "songs" / "a.wav").read_bytes()
    assert entry["mixture"] == {
        "path": str(tmp_path / "songs" / "a.wav"),
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    assert entry["estimates"] == {
        "stems": ["vocals"],
        "teacher": {"kind": "checkpoint", "name": "quarter", "sha256": "ab" * 32},
    }
    assert entry["frames"] == len(songs["a"])
    assert entry["level_db"] == {"vocals": pytest.approx(-12.04, abs=0.02)}
    tracks = find_tracks(output)
    assert [track.label for track in tracks] == ["train/a", "train/b"]
    assert all(track.estimates.teacher["name"] == "quarter" for track in tracks)


def test_taught_tracks_are_prepared_as_what_they_are(songs, tmp_path):
    teach_songs([tmp_path / "songs"], tmp_path / "taught", teacher())
    settings = Settings(
        RATE_HZ,
        ("accompaniment", "vocals"),
        bit_depth=32,
        mending=Mending(rest="accompaniment"),
    )
    output = tmp_path / "out"
    assert prepare_tracks(find_tracks(tmp_path / "taught"), output, settings) == []
    for name, song in songs.items():
        rest, _ = soundfile.read(output / "train" / name / "accompaniment.wav")
        np.testing.assert_allclose(rest, 0.75 * song, atol=4 * STEP)  # both dithered
    assert all(track.estimates for track in find_tracks(output))


def test_a_stopped_run_goes_on_and_what_changed_is_taught_again(songs, tmp_path):
    output = tmp_path / "taught"
    teach_songs([tmp_path / "songs"], output, teacher())
    whole = contents(output)
    for name in ("a", "b"):
        (output / "train" / name / "vocals.flac").write_bytes(name.encode())
    manifest = json.loads((output / "manifest.json").read_text())
    del manifest["tracks"]["train/a"]  # killed before it was recorded
    (output / "manifest.json").write_text(json.dumps(manifest))
    leave_half(output / "train" / "b")
    teach_songs([tmp_path / "songs"], output, teacher())
    assert contents(output) == {**whole, "train/b/vocals.flac": b"b"}
    write_song(tmp_path / "songs" / "b.wav", frames=7000)
    teach_songs([tmp_path / "songs"], output, teacher())
    assert tracks_of(output)["train/b"]["frames"] == 7000


def test_a_folder_with_a_users_files_is_not_taught_into(songs, tmp_path):
    mine = tmp_path / "taught" / "train" / "a" / "session.als"
    teach_songs([tmp_path / "songs"], tmp_path / "taught", teacher())
    mine.write_text("mine")
    write_song(tmp_path / "songs" / "a.wav", frames=7000)
    (failure,) = teach_songs([tmp_path / "songs"], tmp_path / "taught", teacher())
    assert "holds other files, such as session.als" in str(failure)
    assert mine.read_text() == "mine"


def test_a_track_is_known_as_estimates_before_it_is_there(songs, tmp_path, monkeypatch):
    """Or a killed run would leave estimates that pass for true stems."""

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.rename", killed)
    with pytest.raises(KeyboardInterrupt):
        teach_songs([tmp_path / "songs" / "a.wav"], tmp_path / "taught", teacher())
    assert list(tracks_of(tmp_path / "taught")) == ["train/a"]
    assert not (tmp_path / "taught" / "train" / "a").exists()
    monkeypatch.undo()
    assert teach_songs([tmp_path / "songs"], tmp_path / "taught", teacher()) == []
    assert (tmp_path / "taught" / "train" / "a" / "vocals.flac").exists()


@pytest.mark.parametrize(
    ("changed", "fields"),
    [
        ({"sha256": "cd" * 32}, {}),
        ({"name": "other"}, {}),
        ({}, {"bit_depth": 24}),
        ({}, {"stems": ["vocals", "accompaniment"]}),
    ],
)
def test_a_folder_takes_one_teacher(songs, tmp_path, changed, fields):
    teach_songs([tmp_path / "songs"], tmp_path / "taught", teacher())
    before = contents(tmp_path / "taught")
    with pytest.raises(InputError, match="taught: must be new, or of an earlier run"):
        teach_songs(
            [tmp_path / "songs"], tmp_path / "taught", teacher(**changed), **fields
        )
    assert contents(tmp_path / "taught") == before
    with pytest.raises(InputError, match="but holds files without a manifest.json"):
        teach_songs([tmp_path / "taught"], tmp_path / "songs", teacher())


def test_a_teacher_must_give_the_stem(songs, tmp_path):
    with pytest.raises(
        InputError,
        match="^quarter: as a teacher must give drums. Received: accompaniment, voc",
    ):
        teach_songs([tmp_path], tmp_path / "taught", teacher(), stems=["drums"])
    assert not (tmp_path / "taught").exists()


def test_what_cannot_be_taught_is_told_and_the_rest_is_taught(songs, tmp_path):
    more = tmp_path / "more"
    write_song(more / "silent.wav", level=0)
    (more / "text.wav").write_text("no music")
    write_song(more / "a.mp3.wav")
    write_song(more / "a.wav")
    arguments = [tmp_path / "songs", more, tmp_path / "none.wav", tmp_path / "*.mp3"]
    output = tmp_path / "taught"
    failures = [str(one) for one in teach_songs(arguments, output, teacher())]
    expected = [
        f"{more}/a.wav: must have a name of its own, but {tmp_path}/songs/a.wav has",
        f"{tmp_path}/*.mp3: must find files, but finds none",
        f"{more}/silent.wav: the mixture of estimates must have sound. Received: sil",
        f"{more}/text.wav: must be an audio file",
        f"{tmp_path}/none.wav: No such file or directory",
    ]
    assert len(failures) == len(expected)
    for failure, start in zip(failures, expected):
        assert failure.startswith(start) and "\n" not in failure
    assert sorted(tracks_of(output)) == ["train/a", "train/a.mp3", "train/b"]
    assert sorted(path.name for path in (output / "train").iterdir()) == [
        "a",
        "a.mp3",
        "b",
    ]


def by_folder(tmp_path, **estimate):
    """What becomes of song a with a folder that holds this estimate of it."""
    write_song(tmp_path / "stems" / "a" / "vocals.wav", **estimate)
    one = FolderTeacher(tmp_path / "stems", "theirs")
    return teach_songs([tmp_path / "songs" / "a.wav"], tmp_path / "taught", one)


def test_estimates_of_another_program_are_taken(songs, tmp_path):
    assert by_folder(tmp_path, level=0.05) == []
    vocals, _ = soundfile.read(tmp_path / "taught/train/a/vocals.flac")
    expected, _ = soundfile.read(tmp_path / "stems/a/vocals.wav")
    np.testing.assert_allclose(vocals, expected, atol=2 * STEP)
    told = tracks_of(tmp_path / "taught")["train/a"]["estimates"]["teacher"]
    assert (told["kind"], told["name"]) == ("stems", "theirs")
    assert len(told["sha256"]) == 64
    assert FolderTeacher(tmp_path / "stems").name == "stems"


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        ({"frames": 8999}, "length. Received: vocals.wav: 8999 frames; a.wav: 9000"),
        (
            {"rate_hz": 44100},
            "vocals.wav: 2 channels, 44100 Hz; a.wav: 2 channels, 8000",
        ),
        ({"channels": 1}, "vocals.wav: 1 channels, 8000 Hz"),
        ({"level": 0.9}, "at most 6 dB louder than its mixture. Received: vocals, 19."),
        (
            {"level": 0},
            "theirs's estimate of vocals must have sound. Received: silence",
        ),
    ],
)
def test_an_estimate_that_does_not_fit_is_refused(songs, tmp_path, estimate, text):
    (failure,) = by_folder(tmp_path, **estimate)
    assert str(failure).startswith(f"{tmp_path}/songs/a.wav: ")
    assert text in str(failure)
    assert not list((tmp_path / "taught").glob("train/*"))


def test_a_song_without_estimates_is_named(songs, tmp_path):
    write_song(tmp_path / "stems" / "a" / "drums.wav")
    one = FolderTeacher(tmp_path / "stems")
    failures = teach_songs([tmp_path / "songs"], tmp_path / "taught", one)
    assert [str(failure).rpartition(": must have one ")[2] for failure in failures] == [
        "estimate vocals.<wav|flac|mp3|…> of a.wav. Received: drums.wav",
        "estimate vocals.<wav|flac|mp3|…> of b.wav. Received: nothing",
    ]
    with pytest.raises(InputError, match="none: must be a folder of estimates"):
        FolderTeacher(tmp_path / "none")


def test_the_command_teaches_by_a_checkpoint(songs, kept_checkpoint, tmp_path):
    output = tmp_path / "taught"
    command = [TEACH, tmp_path / "songs", f"--output_dir={output}"]
    result = run_here(*command, f"--checkpoint={kept_checkpoint}")
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"2 songs in {output}\n"
    told = tracks_of(output)["train/b"]["estimates"]["teacher"]
    assert told == {
        "kind": "checkpoint",
        "name": str(kept_checkpoint),
        "sha256": CheckpointSource.open(kept_checkpoint, overrides={}).sha256,
    }
    (output / "train" / "a" / "vocals.flac").unlink()
    again = run_here(*command, f"--checkpoint={kept_checkpoint}", tmp_path / "no.wav")
    check_refusal(again, 1, f"{tmp_path}/no.wav: No such file")


def test_the_command_teaches_by_a_tflite_file(songs, kept_checkpoint, tmp_path):
    plan = tflite.plan(kept_checkpoint, "streaming", 512)
    ((_, content),) = quantize.convert_plan(plan, ["float32"])
    (tmp_path / "step.tflite").write_bytes(content)
    output = tmp_path / "taught"
    flags = [f"--tflite={tmp_path / 'step.tflite'}", "--teacher_name=step"]
    result = run_here(TEACH, tmp_path / "songs", f"--output_dir={output}", *flags)
    assert result.returncode == 0, result.stderr
    assert tracks_of(output)["train/b"]["estimates"]["teacher"] == {
        "kind": "tflite",
        "name": "step",
        "sha256": hashlib.sha256(content).hexdigest(),
    }


@pytest.mark.parametrize(
    ("flags", "exit_code", "text"),
    [
        (["--checkpoint=none"], 1, "none: "),
        (["--estimates_dir=none"], 1, "none: must be a folder of estimates"),
        (["--tflite=x", "--checkpoint=y"], 2, "tflite"),
        (["--server=here"], 2, "--server must be HOST:PORT. Received: here"),
        (
            ["--checkpoint={checkpoint}", "--stems=drums"],
            1,
            "must give drums. Received",
        ),
        (["--bit_depth=32"], 2, "bit_depth"),
    ],
)
def test_a_teacher_that_is_none_is_refused(
    songs, kept_checkpoint, tmp_path, flags, exit_code, text
):
    flags = [flag.format(checkpoint=kept_checkpoint) for flag in flags]
    output = f"--output_dir={tmp_path / 'taught'}"
    check_refusal(run_here(TEACH, tmp_path / "songs", output, *flags), exit_code, text)
    assert not (tmp_path / "taught").exists()
