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
from waveunet_tf.separation.teachers import FolderTeacher, SeparatorTeacher
from waveunet_tf.separation.teaching import teach_songs

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


def test_a_rate_that_flac_lacks_is_told_of_the_song(tmp_path):
    write_song(tmp_path / "songs" / "a.wav", rate_hz=96001)
    (failure,) = teach_songs([tmp_path / "songs"], tmp_path / "taught", teacher())
    assert str(failure).startswith(f"{tmp_path / 'songs' / 'a.wav'}: ")
    assert str(failure).endswith("such as 96010 Hz. Received: 96001 Hz")
    assert ".part-" not in str(failure)


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


def test_a_later_run_keeps_the_track_of_another_song_of_the_name(songs, tmp_path):
    output = tmp_path / "taught"
    teach_songs([tmp_path / "songs"], output, teacher())
    whole = contents(output)
    other = tmp_path / "album" / "a.wav"
    write_song(other, frames=7000)
    (failure,) = teach_songs([other], output, teacher())
    rule = f"must have a name of its own, but {tmp_path}/songs/a.wav has the same"
    assert str(failure) == f"{other}: {rule}"
    assert contents(output) == whole
    (tmp_path / "songs" / "a.wav").unlink()  # now it takes the other's place
    assert teach_songs([other], output, teacher()) == []
    assert tracks_of(output)["train/a"]["frames"] == 7000


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
    ("changed", "fields", "told"),
    [
        (
            {"sha256": "cd" * 32},
            {},
            f"`teacher`. Received: checkpoint quarter {'cd' * 32}; its manifest.json "
            f"has checkpoint quarter {'ab' * 32}",
        ),
        ({"name": "other"}, {}, "`teacher`. Received: checkpoint other ab"),
        ({}, {"bit_depth": 24}, "`bit_depth`. Received: 24; its manifest.json has 16"),
        (
            {},
            {"stems": ["vocals", "accompaniment"]},
            r'`stems`. Received: \["vocals", "accompaniment"\]; its',
        ),
    ],
)
def test_a_folder_takes_one_teacher(songs, tmp_path, changed, fields, told):
    teach_songs([tmp_path / "songs"], tmp_path / "taught", teacher())
    before = contents(tmp_path / "taught")
    text = f"taught: must be new, or of an earlier run of the same {told}"
    with pytest.raises(InputError, match=text):
        teach_songs(
            [tmp_path / "songs"], tmp_path / "taught", teacher(**changed), **fields
        )
    assert contents(tmp_path / "taught") == before
    with pytest.raises(InputError, match="but holds files without a manifest.json"):
        teach_songs([tmp_path / "taught"], tmp_path / "songs", teacher())
    (tmp_path / "songs" / "manifest.json").write_text('{"tracks": {}}')
    with pytest.raises(InputError, match="manifest.json is not what `teach` writes"):
        teach_songs([tmp_path / "taught"], tmp_path / "songs", teacher())


@pytest.mark.parametrize(
    ("stems", "text"),
    [
        ([], "different names, and not mixture. Received: none"),
        (["vocals", "vocals"], "different names, and not mixture. Received: vocals, v"),
        (["mixture"], "different names, and not mixture. Received: mixture"),
        (["../vocals"], "names of files. Received: '../vocals'"),
    ],
)
def test_stems_must_be_names_of_files_beside_the_mixture(songs, tmp_path, stems, text):
    one = FolderTeacher(tmp_path)
    with pytest.raises(InputError, match=f"^`stems` must be {text}"):
        teach_songs([tmp_path / "songs"], tmp_path / "taught", one, stems=stems)
    assert not (tmp_path / "taught").exists()


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


@pytest.mark.parametrize(
    ("level", "text"),
    [
        (0.9, "at most 6 dB louder than its mixture. Received: vocals, 19."),
        (0, "theirs's estimate of vocals must have sound. Received: silence"),
        (np.nan, "vocals.wav: must hold finite samples"),
        (0.05, None),
    ],
)
def test_estimates_that_cannot_be_the_songs_are_refused(songs, tmp_path, level, text):
    vocals = tmp_path / "stems" / "a" / "vocals.wav"
    vocals.parent.mkdir(parents=True)
    samples = np.random.default_rng(1).uniform(-1, 1, songs["a"].shape) * level
    soundfile.write(vocals, samples, RATE_HZ, subtype="FLOAT")
    one = FolderTeacher(tmp_path / "stems", "theirs")
    failures = teach_songs([tmp_path / "songs" / "a.wav"], tmp_path / "taught", one)
    if text is None:
        assert failures == []
        told = tracks_of(tmp_path / "taught")["train/a"]["estimates"]["teacher"]
        assert (told["kind"], told["name"]) == ("stems", "theirs")
        assert len(told["sha256"]) == 64
    else:
        (failure,) = failures
        assert str(failure).startswith(f"{tmp_path}/songs/a.wav: ")
        assert text in str(failure) and "\n" not in str(failure)
        assert not list((tmp_path / "taught").glob("train/*"))
        assert not (tmp_path / "taught" / "manifest.json").exists()


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
    nothing = run_here(TEACH, tmp_path / "no.wav", f"--output_dir={tmp_path / 'x'}")
    assert (nothing.returncode, nothing.stdout) == (1, f"0 songs in {tmp_path / 'x'}\n")


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
        (["--server=http://a:1"], 2, "--server must be HOST:PORT. Received: http://"),
        (
            ["--checkpoint={checkpoint}", "--stems=drums"],
            1,
            "must give drums. Received",
        ),
        (["--bit_depth=32"], 2, "bit_depth"),
        (["--rest"], 2, "--rest asks a --server. The stem that is missing is made by"),
    ],
)
def test_a_teacher_that_is_none_is_refused(
    songs, kept_checkpoint, tmp_path, flags, exit_code, text
):
    flags = [flag.format(checkpoint=kept_checkpoint) for flag in flags]
    output = f"--output_dir={tmp_path / 'taught'}"
    check_refusal(run_here(TEACH, tmp_path / "songs", output, *flags), exit_code, text)
    assert not (tmp_path / "taught").exists()
