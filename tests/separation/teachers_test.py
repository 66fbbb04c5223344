import hashlib

import numpy as np
import pytest
import soundfile

from tests.separation.numpy_engine import share_separator
from waveunet_tf.errors import InputError
from waveunet_tf.separation.teachers import FolderTeacher, SeparatorTeacher

RATE_HZ = 8000


def write(path, *, frames=9000, channels=2, rate_hz=RATE_HZ):
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(frames).uniform(-0.1, 0.1, (frames, channels))
    soundfile.write(path, samples, rate_hz, subtype="FLOAT")
    return samples


def taken(teacher, song, stems=("vocals",)):
    """The lesson, and its blocks as whole arrays."""
    with teacher.open(song, stems) as lesson:
        blocks = list(lesson.blocks())
    return lesson, {
        name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]
    }


@pytest.mark.parametrize("channels", [1, 2])
def test_a_separator_gives_its_estimates_in_step_with_the_song(tmp_path, channels):
    song = write(tmp_path / "a.wav", channels=channels)
    teacher = SeparatorTeacher(share_separator(), "checkpoint", "quarter", "ab" * 32)
    assert teacher.sources == ("accompaniment", "vocals")
    lesson, samples = taken(teacher, tmp_path / "a.wav")
    assert (lesson.sample_rate_hz, lesson.channels) == (RATE_HZ, channels)
    assert lesson.sha256 == "ab" * 32
    assert list(samples) == ["mixture", "vocals"]
    np.testing.assert_allclose(samples["mixture"], song, atol=1e-7)
    np.testing.assert_allclose(samples["vocals"], 0.25 * song, atol=1e-6)


def test_a_song_of_more_than_two_channels_is_refused(tmp_path):
    write(tmp_path / "a.wav", channels=6)
    teacher = SeparatorTeacher(share_separator(), "checkpoint", "quarter", "ab" * 32)
    text = "a.wav: must be mono or stereo. Received: 6 channels$"  # and no flag
    with pytest.raises(InputError, match=text):
        taken(teacher, tmp_path / "a.wav")


def test_a_folder_gives_what_lies_in_it(tmp_path):
    song = write(tmp_path / "songs" / "a.wav")
    vocals = write(tmp_path / "theirs" / "a" / "vocals.wav", channels=2) * 0.5
    soundfile.write(tmp_path / "theirs/a/vocals.wav", vocals, RATE_HZ, subtype="FLOAT")
    teacher = FolderTeacher(tmp_path / "theirs")
    assert (teacher.kind, teacher.name, teacher.sources) == ("stems", "theirs", None)
    assert FolderTeacher(tmp_path / "theirs", "Program 1.2").name == "Program 1.2"
    lesson, samples = taken(teacher, tmp_path / "songs" / "a.wav")
    np.testing.assert_allclose(samples["mixture"], song, atol=1e-7)
    np.testing.assert_allclose(samples["vocals"], vocals, atol=1e-7)
    content = (tmp_path / "theirs/a/vocals.wav").read_bytes()
    own = hashlib.sha256(content).hexdigest()
    assert lesson.sha256 == hashlib.sha256(own.encode()).hexdigest()


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        ({"frames": 8999}, "length. Received: vocals.wav: 8999 frames; a.wav: 9000"),
        (
            {"rate_hz": 44100},
            "vocals.wav: 2 channels, 44100 Hz; a.wav: 2 channels, 8000",
        ),
        ({"channels": 1}, "vocals.wav: 1 channels, 8000 Hz"),
    ],
)
def test_an_estimate_of_another_form_is_refused(tmp_path, estimate, text):
    write(tmp_path / "a.wav")
    write(tmp_path / "theirs" / "a" / "vocals.wav", **estimate)
    with pytest.raises(InputError, match=text):
        taken(FolderTeacher(tmp_path / "theirs"), tmp_path / "a.wav")


def test_a_song_has_one_estimate_of_a_stem(tmp_path):
    song = tmp_path / "a.wav"
    write(song)
    teacher = FolderTeacher(tmp_path)
    one = "a: must have one estimate vocals.* of a.wav. Received: "
    with pytest.raises(InputError, match=f"{one}nothing$"):
        taken(teacher, song)
    write(tmp_path / "a" / "drums.wav")
    with pytest.raises(InputError, match=f"{one}drums.wav$"):
        taken(teacher, song)
    write(tmp_path / "a" / "vocals.wav")
    write(tmp_path / "a" / "vocals.flac.wav").tofile(tmp_path / "a" / "vocals.flac")
    with pytest.raises(InputError, match=f"{one}drums.wav, vocals.flac, vocals.flac.w"):
        taken(teacher, song)
    with pytest.raises(InputError, match="none: must be a folder of estimates"):
        FolderTeacher(tmp_path / "none")
