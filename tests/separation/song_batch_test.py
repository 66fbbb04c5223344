import errno
import io
import pathlib
import tempfile

import numpy as np
import pytest
import soundfile

from tests.audio import planted_decoders
from tests.separation.numpy_engine import share_separator
from waveunet_tf.audio import decoder_child, decoder_process
from waveunet_tf.errors import InputError
from waveunet_tf.separation.separator import Separator
from waveunet_tf.separation.song_batch import SongBatch
from waveunet_tf.separation.songs import SongOptions

SOURCES = ("accompaniment", "vocals")


@pytest.fixture
def songs(tmp_path):
    """Two songs of half a second and of one."""
    for number, name in enumerate(("a.wav", "b.wav"), 1):
        soundfile.write(tmp_path / name, np.full((4000 * number, 1), 0.1), 8000)
    return tmp_path


def plan(names, tmp_path, **options):
    options = {"output_dir": tmp_path / "stems", **options}
    with SongBatch(names, SongOptions(**options), SOURCES) as batch:
        return batch


def raising(error):
    def call(progress):
        raise error

    return call


def texts(batch):
    return [str(failure) for failure in batch.failures]


def test_songs_are_looked_into_before_the_first_is_separated(songs):
    batch = plan([songs], songs)
    assert [job.song.path.name for job in batch.jobs] == ["a.wav", "b.wav"]
    assert [job.seconds for job in batch.jobs] == [0.5, 1.0]
    assert batch.jobs[0].targets == {
        source: songs / "stems" / "a" / f"{source}.wav" for source in SOURCES
    }
    assert not (songs / "stems").exists()


@pytest.mark.parametrize(
    ("options", "seconds"),
    [
        ({"start_seconds": 0.75}, [0.0, 0.25]),
        ({"duration_seconds": 0.6}, [0.5, 0.6]),
        ({"start_seconds": 0.25, "duration_seconds": 0.5}, [0.25, 0.5]),
    ],
)
def test_a_part_is_expected_to_be_shorter(songs, options, seconds):
    batch = plan(songs, songs, **options)
    assert [job.seconds for job in batch.jobs] == pytest.approx(seconds)


def test_a_song_that_is_named_twice_is_separated_once(songs):
    (songs / "link.wav").symlink_to(songs / "a.wav")
    batch = plan([songs / "a.wav", songs / "link.wav", f"{songs}/?.wav"], songs)
    assert len(batch.jobs) == 2
    assert batch.failures == []


@pytest.mark.parametrize("order", [1, -1])
def test_of_a_song_and_a_link_to_it_the_songs_name_is_kept(songs, order):
    (songs / "0.wav").symlink_to(songs / "a.wav")
    batch = plan([songs / "0.wav", songs / "a.wav"][::order], songs)
    assert [job.song.path.name for job in batch.jobs] == ["a.wav"]


def test_links_in_a_circle_are_told_and_the_rest_is_done(songs):
    (songs / "c.wav").symlink_to(songs / "c.wav")
    batch = plan([songs / "c.wav", songs / "a.wav"], songs)
    assert [job.song.path.name for job in batch.jobs] == ["a.wav"]
    (text,) = texts(batch)
    assert text.startswith(f"{songs}/c.wav: Too many levels of symbolic links")


def test_whatever_one_odd_song_raises_is_that_songs_failure(songs, caplog):
    class Odd(Separator):
        def separate_file(self, path, targets, **options):
            if path.name == "a.wav":
                raise IndexError("list index\nout of range")
            super().separate_file(path, targets, **options)

    caplog.set_level("DEBUG", logger="absl")
    separator = share_separator()
    separator.__class__ = Odd
    with SongBatch([songs], SongOptions(output_dir=songs / "s"), SOURCES) as batch:
        batch.separate(separator)
    (text,) = texts(batch)
    assert text == (
        f"{songs}/a.wav: cannot be separated: IndexError: list index out of range"
    )
    assert (songs / "s" / "b" / "vocals.wav").exists()
    assert "IndexError" in caplog.text and "Traceback" in caplog.text


def test_a_decoder_that_crashes_is_its_songs_failure(tmp_path, monkeypatch):
    monkeypatch.setattr(decoder_child, "_START", planted_decoders.START)
    for name in ("a", "b-segv", "c-opening-segv", "d"):
        soundfile.write(tmp_path / f"{name}.mp3", np.full((8000, 1), 0.1), 8000)
    stems = tmp_path / "s"
    with SongBatch([tmp_path], SongOptions(output_dir=stems), SOURCES) as batch:
        batch.separate(share_separator())
    assert texts(batch) == [
        f"{tmp_path}/{name}.mp3: cannot be decoded: its decoder crashed (SIGSEGV)"
        for name in ("c-opening-segv", "b-segv")
    ]
    assert sorted(path.name for path in stems.iterdir()) == ["a", "d"]


@pytest.mark.parametrize(("count", "size", "wanted"), [(1, 0, 0), (1, 9, 1), (2, 0, 1)])
def test_ffmpeg_gets_a_process_for_several_songs_or_a_long_one(
    tmp_path, monkeypatch, count, size, wanted
):
    for number in range(count):
        path = tmp_path / f"{number}.mp3"
        soundfile.write(path, np.full((8000, 1), 0.1), 8000)
        with path.open("ab") as file:
            file.write(bytes(size * 10**6))
    started = []
    start = decoder_process.DecoderChild
    monkeypatch.setattr(
        decoder_process, "DecoderChild", lambda: started.append(1) or start()
    )
    assert len(plan([tmp_path], tmp_path).jobs) == count
    assert len(started) == wanted


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_a_stop_is_no_failure_of_a_song(songs, error):
    separator = share_separator()
    with SongBatch([songs], SongOptions(output_dir=songs / "s"), SOURCES) as batch:
        with pytest.raises(error):
            batch.separate(separator, on_progress=raising(error))
    assert not batch.failures


def test_a_full_disk_ends_the_batch(songs):
    full = OSError(errno.ENOSPC, "No space left on device", "stems")
    options = SongOptions(output_dir=songs / "s")
    with SongBatch([songs], options, SOURCES) as batch:
        with pytest.raises(OSError) as error:
            batch.separate(share_separator(), on_progress=raising(full))
    assert error.value is full
    assert batch.failures == []
    other = OSError(errno.EIO, "Input/output error", "song")
    with SongBatch([songs], options, SOURCES) as batch:
        batch.separate(share_separator(), on_progress=raising(other))
    assert len(batch.failures) == 2


def test_a_song_from_a_pipe_is_not_named_by_its_temporary_file(songs, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"no music")))
    (text,) = texts(plan("-", songs))
    assert text.startswith("standard input: ")
    assert tempfile.gettempdir() not in text.replace(str(songs), "")


def test_songs_of_one_name_are_not_written_over_each_other(songs):
    (songs / "other").mkdir()
    (songs / "other" / "a.wav").write_bytes((songs / "b.wav").read_bytes())
    batch = plan([songs / "a.wav", songs / "other" / "a.wav"], songs)
    assert len(batch.jobs) == 1
    (text,) = texts(batch)
    assert text.startswith(f"{songs}/other/a.wav: its stems must have files of their")
    assert f"is a stem of {songs}/a.wav (see --output_template)" in text


def test_the_stems_of_a_song_have_files_of_their_own(songs):
    batch = plan([songs / "a.wav"], songs, output_template="{track}.{ext}")
    assert batch.jobs == []
    assert "is another stem of it" in texts(batch)[0]


def test_no_stem_is_written_over_a_song(songs):
    options = {"output_template": "{track}.{ext}", "stems": ("vocals",)}
    batch = plan(songs, songs, output_dir=songs, **options)
    assert batch.jobs == []
    batch = plan([songs / "a.wav", songs / "b.wav"], songs, output_dir=songs, **options)
    assert len(texts(batch)) == 2
    assert f"is the song {songs}/a.wav" in texts(batch)[0]


def test_an_output_that_is_a_file_is_refused(songs):
    with pytest.raises(InputError, match="a.wav: must be a folder, but is a file"):
        plan([songs / "b.wav"], songs, output_dir=songs / "a.wav")


def test_a_pipe_goes_through_a_file_to_standard_output(songs, monkeypatch, capfdbinary):
    content = (songs / "b.wav").read_bytes()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    monkeypatch.chdir(songs)
    options = SongOptions(output_dir="-", stems=("vocals",))
    with SongBatch("-", options, SOURCES) as batch:
        (job,) = batch.jobs
        assert job.song.path.read_bytes() == content
        batch.separate(share_separator())
    assert batch.failures == []
    stem, _ = soundfile.read(io.BytesIO(capfdbinary.readouterr().out))
    np.testing.assert_allclose(stem, 0.025, atol=1e-4)
    assert not job.song.path.exists()  # nor any stem
    assert sorted(path.name for path in songs.iterdir()) == ["a.wav", "b.wav"]


def test_a_reader_that_went_away_is_no_failure_of_a_song(songs):
    def broken(progress):
        raise BrokenPipeError

    options = SongOptions(output_dir=songs / "stems")
    with pytest.raises(BrokenPipeError):
        with SongBatch(songs, options, SOURCES) as batch:
            batch.separate(share_separator(), on_progress=broken)
    assert batch.failures == []


def test_a_length_that_a_header_understates_grows(songs, monkeypatch):
    batch = SongBatch(songs / "b.wav", SongOptions(output_dir=songs / "s"), SOURCES)
    steps = []
    with batch:
        batch.jobs[0] = batch.jobs[0]._replace(seconds=0.1)
        batch.separate(share_separator(), on_progress=steps.append)
    assert steps[0].total_seconds == 0.1
    assert steps[-1].total_seconds == steps[-1].done_seconds == pytest.approx(1.0)


def test_a_home_folder_is_found(songs, monkeypatch):
    monkeypatch.setenv("HOME", str(songs))
    batch = plan("~/a.wav", songs, output_dir="~/stems")
    assert batch.jobs[0].targets["vocals"] == pathlib.Path(songs, "stems/a/vocals.wav")


def test_stems_that_exist_are_refused_before_a_network_is_loaded(songs):
    (songs / "stems" / "a").mkdir(parents=True)
    (songs / "stems" / "a" / "vocals.wav").write_text("a user's")
    batch = plan([songs], songs)
    assert [job.song.path.name for job in batch.jobs] == ["b.wav"]
    (text,) = texts(batch)
    assert text.endswith("a/vocals.wav: must be a new file, or --overwrite be given")
    assert len(plan([songs], songs, overwrite=True).jobs) == 2


def test_stems_that_have_appeared_since_are_refused_too(songs):
    options = SongOptions(output_dir=songs / "stems")
    with SongBatch([songs], options, SOURCES) as batch:
        (songs / "stems" / "a").mkdir(parents=True)
        (songs / "stems" / "a" / "vocals.wav").write_text("a user's")
        batch.separate(share_separator())
    (text,) = texts(batch)
    assert "a/vocals.wav: must be a new file" in text
    assert (songs / "stems" / "a" / "vocals.wav").read_text() == "a user's"
    assert (songs / "stems" / "b" / "vocals.wav").exists()


def test_a_warning_of_a_song_from_a_pipe_names_no_temporary_file(
    tmp_path, monkeypatch, caplog
):
    content = io.BytesIO()
    soundfile.write(content, np.full((4000, 1), 0.1), 8000, format="WAV")
    damaged = bytearray(content.getvalue())
    damaged[40:44] = bytes(4)  # the size of its samples
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(damaged)))
    options = SongOptions(output_dir=tmp_path / "stems")
    with SongBatch("-", options, SOURCES) as batch:
        batch.separate(share_separator())
    assert texts(batch) == []
    assert [text.partition(":")[0] for text in caplog.messages] == ["standard input"]
