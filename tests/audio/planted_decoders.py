"""Decoders that crash, hang or print on files of certain names, for tests.

`START` in the place of decoder_child._START plants them in the other process.
"""

import contextlib
import os
import pathlib
import re
import signal
import sys
import time

from absl import logging

from waveunet_tf.audio import io
from waveunet_tf.audio.decoder_process import decoding_apart
from waveunet_tf.audio.ffmpeg_decoder import FFmpegDecoder

START = (
    "from tests.audio import planted_decoders; planted_decoders.plant(); "
    "from waveunet_tf.audio import decoder_worker; decoder_worker.main()"
)


def plant():
    """Changes what FFmpeg does with a file, by words of its name and folder."""
    read, open_ = FFmpegDecoder.blocks, FFmpegDecoder.__init__

    def init(self, path, file, **options):
        if "opening" in _words(path):
            _misbehave(_words(path))
        open_(self, path, file, **options)

    def blocks(self):
        words = _words(self._path)
        for number, block in enumerate(read(self)):
            yield block
            if not number and "opening" not in words:
                _misbehave(words)

    FFmpegDecoder.__init__, FFmpegDecoder.blocks = init, blocks


def _words(path):
    return [word for part in path.parts[-2:] for word in re.split(r"[-.]", part)]


def read_apart(path):
    """Reads a file, as a job of a pool; returns the other processes, and the length."""
    with decoding_apart(keep=True):
        length = len(io.read(path)[0])
        return tuple(children()), length


def children():
    """The processes that this one has started, and that have not ended."""
    found = pathlib.Path(f"/proc/{os.getpid()}/task").glob("*/children")
    pids = set()
    for path in found:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # its thread
            pids.update(map(int, path.read_text().split()))
    return pids


def wait_for_its_end(pid, deadline):
    """Waits until a process is gone, or nobody asks how it has ended."""
    stat = pathlib.Path(f"/proc/{pid}/stat")
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        while ") Z " not in stat.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.01)


def _misbehave(words):
    if "segv" in words:
        os.kill(os.getpid(), signal.SIGSEGV)
    if "killed" in words:
        os.kill(os.getpid(), signal.SIGKILL)
    if "stuck" in words:
        time.sleep(600)
    if "odd" in words:
        raise IndexError("list index out of range")
    if "garbage" in words:  # What a process with damaged memory may send.
        for descriptor in range(3, 20):
            with contextlib.suppress(OSError):
                os.write(descriptor, b"\x00\xff\n" * 9)
    if "prints" in words:
        os.write(1, b"a note of a library's\n")
        print("another", flush=True)
    if "warns" in words:
        logging.warning("a decoder warns")
        logging.info("and informs")
    if "modules" in words:
        logging.warning("%s", " ".join(sys.modules))
