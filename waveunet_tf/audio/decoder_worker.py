"""What a `decoder_child.DecoderChild` runs: FFmpeg, on the files that it is told of.

Requests come as lines of JSON by standard input. Answers go by standard output in the
order of their requests: a line of JSON, and a block's samples as they lie in memory.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pathlib
import queue
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import numpy as np

from waveunet_tf.audio import ffmpeg_decoder
from waveunet_tf.audio.decoder_child import BLOCK_FRAMES
from waveunet_tf.audio.ffmpeg_decoder import FFmpegDecoder

# What is told of an open file.
_FACTS = (
    "sample_rate_hz",
    "channels",
    "bit_depth",
    "duration_seconds",
    "tags",
    "notes",
)
# How long open files may take to close, once nobody waits for them.
_CLOSING_SECONDS = 1.0


def main() -> None:
    """Answers requests until standard input ends, as it does with the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent.
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1):  # What a library prints is no answer.
        os.dup2(nothing, descriptor)
    try:
        _Worker(requests, answers).run()
    except BrokenPipeError:
        pass  # The parent has ended.
    finally:
        os._exit(0)  # All is closed, and libraries take their time to end.


class _Worker:
    """Keeps files open, and answers requests in their order."""

    def __init__(self, requests: BinaryIO, answers: BinaryIO):
        self._answers = answers
        self._files: dict[int, _File] = {}
        self._requests: queue.SimpleQueue[dict | None] = queue.SimpleQueue()
        # A thread sees the end of the parent even while a file is decoded.
        threading.Thread(target=self._listen, args=[requests], daemon=True).start()
        logging.root.handlers = [_Forwarder(self._answer)]
        logging.root.setLevel(logging.DEBUG)
        logging.getLogger("absl").setLevel(logging.DEBUG)
        self._answer({"ready": True})

    def _listen(self, requests: BinaryIO) -> None:
        for line in requests:
            self._requests.put(json.loads(line))
        self._requests.put(None)
        threading.Timer(_CLOSING_SECONDS, os._exit, [0]).start()

    def run(self) -> None:
        """Answers requests until there are no more; closes all files."""
        try:
            while request := self._requests.get():
                if request["do"] == "close":
                    if file := self._files.pop(request["number"], None):
                        file.close()
                    continue
                try:
                    answer, block = self._do(request)
                except Exception as error:
                    answer, block = _told(error), None
                self._answer(answer, block)
        finally:
            for file in self._files.values():
                file.close()

    def _do(self, request: dict[str, Any]) -> tuple[dict, np.ndarray | None]:
        number, what = request["number"], request["do"]
        if what in ("open", "tags"):
            if request["folder"]:
                os.chdir(request["folder"])
            path = pathlib.Path(request["path"])
            if what == "tags":
                return {"tags": ffmpeg_decoder.read_tags(path)}, None
            file = self._files[number] = _File(path, request["options"])
            facts = {name: getattr(file.decoder, name) for name in _FACTS}
            return {"facts": facts}, None
        file = self._files[number]
        if what == "stop":
            file.blocks.close()
            return {"notes": file.decoder.notes}, None
        block = next(file.blocks, None)
        if block is not None:
            return dict(zip(("frames", "channels"), block.shape)), block
        is_cut = file.decoder.is_cut(file.frames)
        return {"frames": 0, "notes": file.decoder.notes, "is_cut": is_cut}, None

    def _answer(self, answer: dict, block: np.ndarray | None = None) -> None:
        self._answers.write(json.dumps(answer).encode() + b"\n")
        if block is not None:
            self._answers.write(block.data)
        self._answers.flush()


class _File:
    """An open file.

    Attributes:
        decoder: What decodes it.
        blocks: Its blocks, none longer than BLOCK_FRAMES.
        frames: How many frames were decoded.
    """

    def __init__(self, path: pathlib.Path, options: dict[str, Any]):
        self.frames = 0
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(path.open("rb"))
            self.decoder = FFmpegDecoder(path, file, **options)
            stack.callback(self.decoder.close)
            self.blocks = self._sendable()
            stack.callback(self.blocks.close)
            self._stack = stack.pop_all()

    def close(self) -> None:
        self._stack.close()

    def _sendable(self) -> Iterator[np.ndarray]:
        for block in self.decoder.blocks():
            self.frames += len(block)
            for start in range(0, len(block), BLOCK_FRAMES):
                part = block[start : start + BLOCK_FRAMES]
                yield np.ascontiguousarray(part, np.float32)


def _told(error: Exception) -> dict[str, Any]:
    """Writes an error so that the parent can raise it again."""
    told = {
        "error": type(error).__name__,
        "text": str(error),
        "traceback": traceback.format_exc(),
    }
    if isinstance(error, OSError):
        name = error.filename
        told["os"] = [
            error.errno,
            error.strerror,
            None if name is None else os.fsdecode(name),
        ]
    return told


class _Forwarder(logging.Handler):
    """Sends what is logged here to the parent, which logs it as its own."""

    def __init__(self, send: Callable[[dict], None]):
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        self._send({"log": record.levelno, "text": record.getMessage()})
