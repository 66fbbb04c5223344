"""The flags, the progress bar and the end of the commands that separate songs."""

import importlib
import io
import pathlib
import sys

import numpy as np
import pytest
import soundfile
from absl import flags

from tests import command_line
from tests.separation.numpy_engine import share_separator
from waveunet_tf.commands.app import UsageError
from waveunet_tf.separation.song_batch import SongProgress
from waveunet_tf.separation.songs import SongOptions

SOURCES = ("accompaniment", "vocals")


@pytest.fixture
def song_flags():
    """The module, freshly imported, which defines its flags."""
    command_line._forget_flags()
    sys.modules.pop("waveunet_tf.commands.song_flags", None)
    module = importlib.import_module("waveunet_tf.commands.song_flags")
    yield module
    command_line._forget_flags()
    flags.FLAGS(sys.argv[:1])


@pytest.fixture
def options(song_flags):
    """Makes options of words."""

    def make(*words):
        flags.FLAGS(["command", *words])
        return song_flags.options_from_flags()

    return make


@pytest.fixture
def songs(tmp_path):
    for name in ("a", "b"):
        soundfile.write(tmp_path / f"{name}.wav", np.full((4000, 2), 0.1), 8000)
    return tmp_path


def test_without_flags_the_options_are_the_librarys(options):
    assert options() == SongOptions()


def test_each_flag_is_an_option_of_its_name(options):
    given = options(
        "--output_dir=o", "--output_template={track}/{source}-x.{ext}",
        "--format=flac", "--bit_depth=24", "--clip=clamp", "--start_seconds=1.5",
        "--duration_seconds=2", "--stems=vocals,no_vocals", "--downmix",
        "--audio_track=2", "--recursive", "--overwrite",
    )  # fmt: skip
    assert given == SongOptions(
        output_dir="o",
        output_template="{track}/{source}-x.{ext}",
        format="flac",
        bit_depth=24,
        clip="clamp",
        start_seconds=1.5,
        duration_seconds=2.0,
        stems=["vocals", "no_vocals"],
        downmix=True,
        audio_track=2,
        recursive=True,
        overwrite=True,
    )


def test_floats_of_32_bits_are_a_bit_depth_of_32(options):
    assert options("--bit_depth=32f").bit_depth == 32
    assert options("--two_stems=vocals").two_stems == "vocals"


def test_contradictions_are_bad_usage(options):
    with pytest.raises(UsageError, match="`bit_depth` of flac must be 16 or 24"):
        options("--format=flac", "--bit_depth=32f")


def test_no_audio_is_written_to_a_terminal(options, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert options("--output_dir=o").output_dir == "o"
    with pytest.raises(UsageError, match="which is not for a terminal"):
        options("--output_dir=-")


def separate(song_flags, arguments, options, load=share_separator):
    return song_flags.separate_arguments(
        list(map(str, arguments)), options, SOURCES, load
    )


def test_the_stems_of_each_song_are_printed(song_flags, songs, capsys):
    options = SongOptions(output_dir=songs / "stems")
    assert separate(song_flags, [songs], options) == 0
    output = capsys.readouterr()
    assert output.out.splitlines() == [
        f"{songs}/stems/{name}/{source}.wav" for name in "ab" for source in SOURCES
    ]
    assert output.err == ""


def test_failures_are_printed_at_the_end_and_make_the_exit_code_1(
    song_flags, songs, capsys
):
    options = SongOptions(output_dir=songs / "stems", stems=("vocals",))
    arguments = [songs / "none.wav", songs / "*.mp3", songs / "a.wav"]
    assert separate(song_flags, arguments, options) == 1
    output = capsys.readouterr()
    assert output.out == f"{songs}/stems/a/vocals.wav\n"
    assert output.err.splitlines() == [
        f"error: {songs}/*.mp3: must find files, but finds none",
        f"error: {songs}/none.wav: No such file or directory",
    ]


def test_no_network_is_loaded_where_there_is_no_work(song_flags, tmp_path, capsys):
    def load():
        raise AssertionError("there is nothing to separate")

    options = SongOptions(output_dir=tmp_path / "stems")
    assert separate(song_flags, [tmp_path / "none.wav"], options, load) == 1
    with pytest.raises(UsageError, match="Received: bass"):
        separate(song_flags, [tmp_path], SongOptions(stems=("bass",)), load)


def test_failures_are_printed_where_the_network_does_not_load(
    song_flags, songs, capsys
):
    def load():
        raise KeyboardInterrupt

    options = SongOptions(output_dir=songs / "stems")
    with pytest.raises(KeyboardInterrupt):
        separate(song_flags, [songs / "none.wav", songs / "a.wav"], options, load)
    assert "none.wav: No such file" in capsys.readouterr().err


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_shows_a_bar_to_the_end(song_flags, songs, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with song_flags.ProgressBar() as bar:
        bar.show(SongProgress(songs / "a.wav", 0.0, 10.0))
        bar.show(SongProgress(songs / "a.wav", 12.0, 12.0))
    last = terminal.getvalue().rstrip().rpartition("\r")[2]
    assert last.startswith("a: 100%")
    assert "12/12 s of audio" in last


def test_a_terminal_names_each_song_from_its_begin(song_flags, songs, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with song_flags.ProgressBar() as bar:
        for number, name in enumerate("ab"):
            bar.show(SongProgress(songs / f"{name}.wav", 9.0 * number, 18.0))
            shown = terminal.getvalue().rpartition("\r")[2]
            assert shown.startswith(f"{name}: ")


def test_a_log_shows_no_bar(song_flags, songs, capsys):
    with song_flags.ProgressBar() as bar:
        bar.show(SongProgress(songs / "a.wav", 1.0, 2.0, (songs / "x.wav",)))
    output = capsys.readouterr()
    assert (output.out, output.err) == (f"{songs}/x.wav\n", "")


def test_a_name_draws_nothing_but_its_text_into_a_bar(song_flags, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with song_flags.ProgressBar() as bar:
        bar.show(SongProgress(pathlib.Path("a\n\x1b[2Jb\x07.wav"), 1.0, 2.0))
    assert "\ra \\x1b[2Jb\\x07: " in terminal.getvalue()
    assert not {"\n", "\x1b", "\x07"} & set(terminal.getvalue().rstrip("\n"))


def test_a_list_of_songs_may_begin_as_notepad_begins_it(song_flags, tmp_path):
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbfcaf\xe9.mp3\r\nb.mp3")
    flags.FLAGS(["command", f"--songs_from={tmp_path}/list.txt"])
    assert song_flags.songs_from_flags([]) == ["caf\udce9.mp3", "b.mp3"]
