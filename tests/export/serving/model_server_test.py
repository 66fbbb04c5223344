import time

import numpy as np
import pytest

from waveunet_tf.errors import InputError
from waveunet_tf.export.serving.model_server import Server, Unavailable

QUICK = {"first_wait_seconds": 0.01, "longest_wait_seconds": 0.02}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"address": None}, "`address` must be a text"),
        ({"address": "localhost"}, "`address` must be HOST:PORT"),
        ({"address": "http://a:1"}, "`address` must be HOST:PORT"),
        ({"address": "user@a:1"}, "`address` must be HOST:PORT"),
        ({"address": "a b:1"}, "`address` must be HOST:PORT"),
        ({"address": "localhost:74036"}, "`address` must be HOST:PORT"),
        ({"model_name": None}, "`model_name` must be a text"),
        ({"version": "1"}, "`version` must be a whole number"),
        ({"label": 5}, "`label` must be a text"),
        ({"ca_file": 5}, "`ca_file` must be a text"),
        ({"token_file": 5}, "`token_file` must be a text"),
        ({"address": "a:1", "token_file": "x"}, "`token_file` must go with `ca_file`"),
        ({"retries": -1}, "`retries` must be a whole number, at least 0"),
        ({"retries": None}, "`retries` must be a whole number"),
        ({"deadline_seconds": 0}, "`deadline_seconds` must be positive"),
        ({"deadline_seconds": float("nan")}, "`deadline_seconds` must be positive"),
        ({"first_wait_seconds": "1"}, "`first_wait_seconds` must be at least 0"),
    ],
)
def test_a_server_is_told_in_full(options, message):
    with pytest.raises(InputError, match=message):
        Server(**{"address": "localhost:8500", **options})
    for address in ("localhost:1", "[::1]:8500", "model.example.org:443"):
        assert Server(address).address == address


def test_waits_double_up_to_the_longest_and_differ_between_clients(monkeypatch):
    waits = []
    monkeypatch.setattr(time, "sleep", waits.append)

    def send():
        raise Unavailable("gone")

    server = Server("a:1", retries=6, first_wait_seconds=1, longest_wait_seconds=8)
    for _ in range(20):
        with pytest.raises(ConnectionError, match="a:1: not available in 7 tries"):
            server.patiently(send)
    waits = np.array(waits).reshape(20, 6)
    longest = np.array([1, 2, 4, 8, 8, 8])
    assert (waits <= longest).all() and (waits >= longest / 2).all()
    assert (waits.std(axis=0) > 0.05 * longest).all()


def test_retries_may_be_as_many_as_one_likes(monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)

    def send():
        raise Unavailable("gone")

    server = Server("a:1", retries=1100, **QUICK)
    with pytest.raises(ConnectionError, match="not available in 1101 tries"):
        server.patiently(send)


def test_an_answer_is_what_the_last_try_gives():
    tries = iter([Unavailable("gone"), Unavailable("gone"), None])

    def send():
        if error := next(tries):
            raise error
        return "answer"

    assert Server("a:1", **QUICK).patiently(send) == "answer"


@pytest.mark.parametrize(
    ("address", "is_here"),
    [
        ("localhost:8500", True),
        ("LOCALHOST.:8500", True),
        ("model.localhost:1", True),
        ("127.3.2.1:8500", True),
        ("[::1]:8500", True),
        ("10.0.0.1:8500", False),
        ("localhost.example.org:8500", False),
        ("[fe80::1]:8500", False),
    ],
)
def test_a_server_on_this_machine_is_known_by_its_address(address, is_here):
    assert Server(address).is_loopback == is_here


def test_a_token_is_the_one_line_of_its_file(tmp_path):
    path = tmp_path / "token"
    server = Server("localhost:1", token_file=str(path))
    path.write_text("3f-A.b\n")
    assert server.authorization() == "Bearer 3f-A.b"
    assert Server("localhost:1").authorization() is None
    for text in ("", "two words", "two\nlines", "ü"):
        path.write_text(text)
        with pytest.raises(InputError, match=f"{path}: must hold a token in one line"):
            server.authorization()
