import errno
import io
import os
import pathlib
import threading

import pytest

from waveunet_tf.errors import InputError
from waveunet_tf.separation.song_search import Song, find_songs, seekable


@pytest.fixture
def album(tmp_path):
    """Songs, a folder of songs, and what is none."""
    for name in ("b.wav", "a.FLAC", "notes.txt", "._a.wav", "deep/c.mp3", "[x].wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "Live.wav").mkdir()
    (tmp_path / "Live.wav" / "d.ogg").touch()
    return tmp_path


def names(songs, root):
    return [str(song.path.relative_to(root)) for song in songs]


def search(name, *, recursive=False, leave_out="nowhere", on_error=None):
    return find_songs(
        name,
        recursive=recursive,
        leave_out=pathlib.Path(leave_out),
        on_error=on_error,
    )


def test_a_folder_names_the_audio_files_in_it_in_order(album):
    assert names(search(album), album) == ["[x].wav", "a.FLAC", "b.wav"]


def test_what_is_left_out_of_a_folder_is_counted_and_named(album, caplog):
    caplog.set_level("INFO", logger="absl")
    search(album)
    assert f"{album}: 1 file is left out, as no audio by name: notes.txt" in caplog.text
    for number in range(9):
        (album / f"{number}.jpg").touch()
    search(album)
    assert "10 files are left out, as no audio by name: 0.jpg, 1.jpg, " in caplog.text
    assert "4.jpg, …" in caplog.text
    caplog.clear()
    search(album / "deep")
    assert not caplog.text


def test_a_file_of_a_folder_is_not_compared_with_all_others(tmp_path, monkeypatch):
    """A folder of 100,000 songs took an hour."""
    for number in range(200):
        (tmp_path / f"{number}.wav").touch()
    compared = []
    equal = pathlib.PurePath.__eq__
    monkeypatch.setattr(
        pathlib.PurePath,
        "__eq__",
        lambda one, other: compared.append(1) or equal(one, other),
    )
    assert len(search(tmp_path)) == 200
    assert len(compared) < 200 * 20


def test_folders_in_a_folder_are_searched_if_wished(album):
    songs = search(album, recursive=True)
    assert names(songs, album) == [
        "Live.wav/d.ogg", "[x].wav", "a.FLAC", "b.wav", "deep/c.mp3",
    ]  # fmt: skip
    assert [str(song.folder) for song in songs] == ["Live.wav", ".", ".", ".", "deep"]


def test_stems_of_earlier_runs_are_no_songs(album):
    (album / "link").symlink_to(album / "deep")
    for stems in (album / "deep", album / "link"):
        songs = search(album, recursive=True, leave_out=stems)
        assert "deep/c.mp3" not in names(songs, album)


@pytest.mark.parametrize("inside", [".", "deep"])
def test_songs_in_the_output_folder_are_not_silently_taken_for_stems(album, inside):
    with pytest.raises(InputError, match=f"must not lie in the output folder, {album}"):
        search(album / inside, leave_out=album)
    song = album / "deep" / "c.mp3"
    assert search(song, leave_out=album) == [Song(song)]


@pytest.mark.parametrize(
    "address", ["http://a.org/song.mp3", "https://a.org/?.mp3", "file:///song.wav"]
)
def test_an_address_is_no_file(address):
    with pytest.raises(InputError, match="but is an address: download it first") as e:
        search(address)
    assert str(e.value).startswith(f"{address}: ")


def test_a_folder_that_cannot_be_read_is_told_and_the_rest_is_found(album, monkeypatch):
    def scandir(path):
        if str(path).endswith("deep"):  # the tests may run as root, who may read all
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return original(path)

    original, told = os.scandir, []
    monkeypatch.setattr(os, "scandir", scandir)

    def note(what, error):
        told.append((what, type(error)))

    songs = search(album, recursive=True, on_error=note)
    assert names(songs, album) == ["Live.wav/d.ogg", "[x].wav", "a.FLAC", "b.wav"]
    assert told == [(str(album / "deep"), PermissionError)]


def test_links_in_a_circle_are_no_songs(album):
    (album / "deep" / "up").symlink_to(album)
    (album / "self.wav").symlink_to(album / "self.wav")
    assert len(search(album, recursive=True)) == 5
    assert search(album / "self.wav") == [Song(album / "self.wav")]


def test_a_pattern_names_what_it_matches(album):
    assert names(search(f"{album}/?.*"), album) == ["a.FLAC", "b.wav"]
    assert names(search(f"{album}/dee*"), album) == ["deep/c.mp3"]  # a folder's songs
    deep = names(search(f"{album}/**/*.mp3"), album)
    assert deep == ["deep/c.mp3"]


def test_a_folder_without_songs_among_others_is_told_and_the_rest_is_found(album):
    (album / "covers").mkdir()
    (album / "covers" / "front.jpg").touch()
    told = []
    songs = search(f"{album}/[cd]*", on_error=lambda *error: told.append(error))
    assert names(songs, album) == ["deep/c.mp3"]
    ((what, error),) = told
    assert what == str(album / "covers")
    assert str(error) == f"{what}: must hold audio files, but has none"


def test_a_pattern_leaves_out_stems_of_earlier_runs_as_a_folder_does(album):
    for pattern in ("*", "**/*.*", "deep*"):
        found = search(f"{album}/{pattern}", leave_out=album / "nowhere")
        assert "deep/c.mp3" in names(found, album)
    for pattern in ("*", "**/*.*"):
        found = search(f"{album}/{pattern}", leave_out=album / "deep")
        assert "b.wav" in names(found, album)
        assert "deep/c.mp3" not in names(found, album)
    with pytest.raises(InputError, match=f"none outside of the output fol.* {album}/d"):
        search(f"{album}/deep*", leave_out=album / "deep")
    # Songs that lie in the output folder, as with --output_dir . beside them.
    assert names(search(f"{album}/?.*", leave_out=album), album) == ["a.FLAC", "b.wav"]


def test_a_file_whose_name_looks_like_a_pattern_is_a_file(album):
    assert search(album / "[x].wav") == [Song(album / "[x].wav")]


def test_a_file_need_not_exist_yet_and_a_home_is_found(monkeypatch, tmp_path):
    assert search(tmp_path / "none.wav") == [Song(tmp_path / "none.wav")]
    monkeypatch.setenv("HOME", str(tmp_path))
    assert search("~/none.wav") == [Song(tmp_path / "none.wav")]


@pytest.mark.parametrize("name", ["empty", "*.nothing", "emp*"])
def test_what_finds_nothing_is_refused(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="has none|finds none"):
        search(f"{tmp_path}/{name}")


def test_an_empty_name_is_not_the_folder_that_one_is_in(album, monkeypatch):
    """As of a variable of the shell that is not set."""
    monkeypatch.chdir(album)
    with pytest.raises(InputError, match="^a song must have a name. Received: ''"):
        search("")
    assert names(search("."), pathlib.Path()) == ["[x].wav", "a.FLAC", "b.wav"]


def test_pipes_become_files(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "song.mp3")
    writer = threading.Thread(
        target=(tmp_path / "song.mp3").write_bytes, args=(b"from a pipe",)
    )
    writer.start()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"from stdin")))
    (tmp_path / "plain.wav").write_bytes(b"plain")
    (tmp_path / "copies").mkdir()
    songs = [Song(pathlib.Path(tmp_path / "song.mp3")), Song(pathlib.Path("-"))]
    songs.append(Song(tmp_path / "plain.wav", pathlib.PurePath("folder")))
    files = seekable(songs, tmp_path / "copies")
    writer.join()
    contents = [song.path.read_bytes() for song in files]
    assert contents == [b"from a pipe", b"from stdin", b"plain"]
    assert files[0].path.name == "song.mp3"  # the suffix tells the format
    assert files[1].path.name == "standard input"
    assert files[2] == songs[2]
