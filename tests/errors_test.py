import errno
import os

import pytest

from waveunet_tf.errors import InputError, naming, one_line, printable


def test_an_error_names_its_file_once():
    with pytest.raises(InputError, match=r"^song\.wav: must be short$") as caught:
        with naming("song.wav"):
            with naming("song.wav"):
                raise InputError("must be short")
    assert isinstance(caught.value.__cause__, InputError)


def test_an_error_that_names_its_file_is_passed_on_as_it_is():
    error = InputError("song.wav: must be short")
    with pytest.raises(InputError) as caught:
        with naming("song.wav"):
            raise error
    assert caught.value is error


def test_other_errors_are_not_renamed():
    with pytest.raises(FileNotFoundError):
        with naming("song.wav"):
            raise FileNotFoundError("other.wav")


def test_bad_input_is_a_value_error():
    assert issubclass(InputError, ValueError)


@pytest.mark.parametrize(
    ("error", "of", "line"),
    [
        (InputError("a: must be b"), "", "a: must be b"),
        (InputError("must be b"), "a", "a: must be b"),
        (InputError("a: must be b"), "a", "a: must be b"),
        (InputError("one\ntwo\n\nthree"), "a", "a: one two  three"),
        (OSError(errno.ENOSPC, "No space left", "disk/a"), "", "disk/a: No space left"),
        (OSError(errno.ENOSPC, "No space left"), "song", "song: No space left"),
        (OSError(errno.EACCES, "Denied", "a"), "song", "song: a: Denied"),
        (OSError("more than 4 GiB"), "song", "song: more than 4 GiB"),
        (InputError("a\x1b[31m\x9b1A\x07: no"), "", r"a\x1b[31m\x9b1A\x07: no"),
    ],
)
def test_bad_input_is_written_as_one_line(error, of, line):
    assert one_line(error, of=of) == line


def test_a_missing_file_is_named():
    with pytest.raises(OSError) as caught:
        os.stat("/no/such/file")
    assert one_line(caught.value) == "/no/such/file: No such file or directory"


def test_a_printable_name_is_utf_8_and_others_stay():
    assert printable("caf\udce9 ü").encode() == rb"caf\udce9 " + "ü".encode()


def test_a_printable_name_moves_no_cursor_but_a_text_keeps_its_lines():
    assert printable("a\x1b[2J\r\x7f\n\tb ü") == "a\\x1b[2J\\x0d\\x7f\n\tb ü"
