"""The process in which FFmpeg decodes: its start, its end, and all that is told.

It may crash, hang or send nonsense; then it is lost, and says of which file it was.
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import json
import os
import pathlib
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import Any, NoReturn

import numpy as np
from absl import logging

from waveunet_tf.errors import InputError
from waveunet_tf.system import child_python

# The longest block that is sent.
BLOCK_FRAMES = 65536
_MOST_CHANNELS = 4096
# A decoder that has given nothing for so long is stuck.
_STUCK_SECONDS = 45.0
_LOOKS = 9  # that the watchdog takes in this time
_CLOSING_SECONDS = 2.0
_START = "from waveunet_tf.audio import decoder_worker; decoder_worker.main()"


class Talk:
    """Requests about one file, and the answers that have come.

    Attributes:
        path: The file, which errors name.
    """

    def __init__(self, child: DecoderChild, path: pathlib.Path):
        self.path, self._child = path, child
        self._number = child.new_number()
        self._answers: collections.deque[dict] = collections.deque()
        self._is_over = False

    def ask(self, what: str, **more: Any) -> None:
        """Sends a request."""
        self._child.ask(self, {"do": what, "number": self._number, **more})

    def answer(self) -> dict[str, Any]:
        """Waits for the next answer.

        Raises:
            InputError: The other process crashed or is stuck, or tells this error.
            Exception: The other process tells another error.
        """
        while not self._answers:
            self._child.receive()
        answer = self._answers.popleft()
        if "error" in answer:
            _raise(answer)
        return answer

    def take(self, answer: dict[str, Any]) -> None:
        """Keeps an answer, unless nobody waits for it any more."""
        if not self._is_over:
            self._answers.append(answer)

    def end(self) -> None:
        """Closes the file, if it is open."""
        self._is_over = True
        self._child.send({"do": "close", "number": self._number})


class DecoderChild:
    """A process that runs `decoder_worker`; once it is lost, so are its open files."""

    def __init__(self):
        """Starts the process, and waits until it is ready.

        Raises:
            InputError: It gives no answer.
            OSError: It cannot be started.
        """
        self._parent = os.getpid()
        self._numbers = itertools.count()
        # Whose answers are to come, in their order.
        self._waiting: collections.deque[Talk] = collections.deque()
        self._failure: str | None = None
        self._waits_since: float | None = None
        self._is_over = threading.Event()
        self._process = child_python.start_python(
            _START, bare=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        # A thread, because on Windows nothing else can end the wait for a pipe.
        threading.Thread(target=self._watch, daemon=True).start()
        with self._watched():
            is_ready = self._line().get("ready")
        if not is_ready:
            self._lose("gave no answer")

    @property
    def is_lost(self) -> bool:
        """Whether it has ended, or this process is a fork of the one that it is for."""
        return self._failure is not None or self._parent != os.getpid()

    def new_number(self) -> int:
        """Returns a number by which a file can be named."""
        return next(self._numbers)

    def ask(self, talk: Talk, request: dict[str, Any]) -> None:
        """Sends a request whose answer a talk will take."""
        self._waiting.append(talk)
        self.send(request)

    def send(self, request: dict) -> None:
        """Sends a request without an answer; `receive` tells if nobody takes it."""
        if not self.is_lost:
            with contextlib.suppress(OSError):
                self._process.stdin.write(json.dumps(request).encode() + b"\n")
                self._process.stdin.flush()

    def receive(self) -> None:
        """Waits for one answer, and gives it to the talk that has asked.

        Raises:
            InputError: The process crashed or is stuck.
        """
        if self.is_lost:
            self._fail(self._failure or "is another process'")
        with self._watched():
            answer = self._line()
            while "log" in answer:
                logging.get_absl_logger().log(answer["log"], "%s", answer["text"])
                answer = self._line()
            if answer.get("frames"):
                answer["block"] = self._block(answer["frames"], answer["channels"])
        self._waiting.popleft().take(answer)

    def _line(self) -> dict:
        try:
            answer = json.loads(self._process.stdout.readline())
        except ValueError:  # Half a line, or what a damaged process wrote.
            answer = None
        if not isinstance(answer, dict):
            self._lose("crashed")
        return answer

    def _block(self, frames: int, channels: int) -> np.ndarray:
        sizes = range(1, BLOCK_FRAMES + 1), range(1, _MOST_CHANNELS + 1)
        if frames not in sizes[0] or channels not in sizes[1]:
            self._lose("crashed")
        block = np.empty((frames, channels), np.float32)
        content = memoryview(block).cast("B")
        while content:
            count = self._process.stdout.readinto(content)
            if not count:
                self._lose("crashed")
            content = content[count:]
        return block

    @contextlib.contextmanager
    def _watched(self) -> Iterator[None]:
        """Lets the watchdog see that the body waits; gives up if it is interrupted.

        Ctrl-C may come in the middle of an answer.
        """
        self._waits_since = time.monotonic()
        try:
            yield
        except BaseException:
            self._failure = self._failure or "was interrupted"
            self.close()
            raise
        finally:
            self._waits_since = None

    def _watch(self) -> None:
        """Ends the process where an answer takes too long, as its watchdog."""
        while not self._is_over.wait(_STUCK_SECONDS / _LOOKS):
            since = self._waits_since
            if since is None or time.monotonic() < since + _STUCK_SECONDS:
                continue
            # Where both processes were stopped (Ctrl-Z), the answer may be here.
            if self._is_over.wait(_STUCK_SECONDS / _LOOKS):
                return
            if self._waits_since == since:
                self._failure = f"is stuck: it gave nothing for {_STUCK_SECONDS:.0f} s"
                self._process.kill()
                return

    def _lose(self, what: str) -> NoReturn:
        """Notes that the process has ended, and why."""
        if self._failure is None:
            try:
                code = self._process.wait(_CLOSING_SECONDS)
            except subprocess.TimeoutExpired:  # It lives, and wrote nonsense.
                code = 0
            self._failure = what + child_python.how_it_ended(code)
        self._fail(self._failure)

    def _fail(self, what: str) -> NoReturn:
        """Raises an error that names the file at work."""
        name = f"{self._waiting[0].path}: cannot be decoded: " if self._waiting else ""
        raise InputError(f"{name}its decoder {what}")

    def close(self) -> None:
        """Ends the process."""
        if self._parent != os.getpid():
            return
        self._is_over.set()
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        if self._failure is not None:
            self._process.kill()
        try:
            self._process.wait(_CLOSING_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._failure = self._failure or "was closed"


class _OtherProcessError(Exception):
    """The traceback of an error in the other process, as the cause of the error."""


def _raise(told: dict) -> NoReturn:
    """Raises an error that another process has told."""
    name, text = told["error"], told["text"]
    if "os" in told:
        code, reason, filename = told["os"]
        error = OSError(code, reason, filename) if code else OSError(text)
    elif name == "InputError":
        error = InputError(text)
    else:
        error = type(name, (Exception,), {})(text)
    raise error from _OtherProcessError(told["traceback"])
